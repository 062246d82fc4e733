"""Style transfer: a picture with the content of one and the style of others, coarse to fine (Gatys et al. 2016; the
notes' schedule)."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from gluonbook import _check, _files, devices, runs, training
from gluonbook._mxnet import nd
from gluonbook.data.pictures import resize
from gluonbook.style import memory, pictures
from gluonbook.style.features import LEAST_SIDE, Features, Weights, standardise, to_picture, vgg_features
from gluonbook.style.objective import Losses, Style, evaluate, make_objective
from gluonbook.style.optimisers import LBFGS, Adam
from gluonbook.style.random_filters import random_features

NOTES_STAGES = ((300, 200), (1200, 800))  # (width, height): the schedule of the notes
OPTIMIZERS: dict[str, Any] = {"lbfgs": LBFGS, "adam": Adam}
STEPS = {"lbfgs": (60, 30), "adam": (500, 300)}  # of the first stage, and of each later one; Adam's are the book's
FRINGE = 16  # pixels around a picture while it is made: padding marks the edges of what a network sees
FRAME_SIDE = 480  # pixels of a GIF's longer side
FRAMES = 30  # of a stage, in a GIF, after its first steps
FRAME_MILLISECONDS = 80
LAST_FRAME_MILLISECONDS = 2500
RANDOM = "random"
# What changes the numbers of a run: a resumed one takes these from its checkpoint.
RECIPE = (
    *("stages", "features", "content_weight", "style_weight", "tv_weight", "steps", "optimizer", "keep_colors"),
    *("stretch", "seed"),
)

Make = Callable[[int, int], Features]  # height, width -> the features for pictures of that size


class StylePicture(NamedTuple):
    """A picture whose style is taken.

    Attributes:
        picture: (H', W', 3) uint8, RGB.
        weight: among several, above 0.
        mask: (h, w) of any size and uint8 from 0 to 255, laid over the content: where it acts; None is everywhere.
    """

    picture: np.ndarray
    weight: float = 1.0
    mask: Optional[np.ndarray] = None


class Stylized(NamedTuple):
    """The result of a transfer.

    Attributes:
        picture: (H, W, 3) uint8, RGB.
        history: a dict a step, with ``stage`` and ``step`` from 1, the losses ``content``, ``style``, ``tv`` with their
            weights, and ``seconds`` since the start.
        settings: what made it.
    """

    picture: np.ndarray
    history: list[dict[str, Any]]
    settings: dict[str, Any]


class Stage(NamedTuple):
    """A stage before it starts: its size in pixels, its steps, the bytes it needs, its tiles' side if any."""

    height: int
    width: int
    steps: int
    need: int
    tile: Optional[int]


def stylize(
    content: np.ndarray,
    styles: Union[np.ndarray, Sequence[StylePicture]],
    out: Optional[_files.PathLike] = None,
    *,
    stages: Sequence[tuple[int, int]] = NOTES_STAGES,
    features: str = RANDOM,
    content_weight: Optional[float] = None,
    style_weight: Optional[float] = None,
    tv_weight: Optional[float] = None,
    steps: Union[int, Sequence[int], None] = None,
    optimizer: str = "lbfgs",
    keep_colors: bool = False,
    stretch: bool = False,
    seed: int = 0,
    device: Any = "auto",
    preview_every: int = 10,
    gif: Optional[_files.PathLike] = None,
    resume: bool = False,
    progress: bool = False,
    tell: Callable[[str], Any] = lambda line: None,
) -> Stylized:
    """Give a picture the style of others.

    The first stage starts from the content, each later one from the result before, enlarged.

    Args:
        content: (H, W, 3) uint8, RGB.
        styles: one picture, (H', W', 3) uint8, or several with weights and masks; scaled to as many pixels as a stage.
        out: picture file for the result and its previews; beside it is, until the result is there, the folder
            ``NAME.run``; None writes nothing.
        stages: (width, height) in pixels, coarse to fine; the content is fitted into each.
        features: ``"random"`` needs no download; ``"vgg19"``, ``"vgg16"`` or a file of such weights, as
            ``gluonbook.weights`` finds and reads them.
        content_weight, style_weight, tv_weight: of the three losses, at least 0; None takes what suits the features:
            for a VGG the book's 1, 1000 and 10.
        steps: of each stage, or one number for all; None takes what suits the optimizer.
        optimizer: ``"lbfgs"``, or ``"adam"`` with the book's settings.
        keep_colors: the style changes luminance only.
        stretch: the result has the stages' sizes exactly, whatever the content's aspect ratio.
        seed: of random features, at least 0.
        device: as ``gluonbook.device`` takes it.
        preview_every: steps between previews and checkpoints; 0 writes none before the end.
        gif: file for the way from content to result; needs ``out``.
        resume: go on from where the run that writes ``out`` was stopped.
        progress: show a progress bar with the losses.
        tell: called with a line about the features and one about each stage before anything is computed.

    Returns:
        Stylized; with ``out`` it is also written there.

    Raises:
        ValueError: an argument is out of range, a picture too small, or the run to resume is another.
        FileNotFoundError: there is no run to resume, or no weights can be found; the message says how to get them.
        MemoryError: a stage does not fit into what is free; the message gives both numbers.
        NonFiniteLoss: the loss became infinite or not a number.
        KeyboardInterrupt: after the current picture and a checkpoint were written.

    >>> lake, woodcut = data.sample_picture("lake"), data.sample_picture("woodcut")  # doctest: +SKIP
    >>> stylize(lake, woodcut, stages=[(300, 200)]).picture.shape  # doctest: +SKIP
    (200, 300, 3)
    """
    recipe = {name: value for name, value in locals().items() if name in RECIPE}
    recipe.update(features=str(features), seed=_check.integer("seed", seed, at_least=0), stages=_check_stages(stages))
    recipe["steps"] = _check_steps(steps, len(stages), _check.choice("optimizer", optimizer, OPTIMIZERS))
    sources = _check_pictures(content, styles)
    _check.integer("preview_every", preview_every, at_least=0)
    if out is None and (resume or gif is not None):
        raise ValueError("resume and gif need out, the file beside which the run keeps its state")
    if out is not None and Path(out).suffix.lower() not in pictures.FORMATS:
        raise ValueError(f"{out} must end in one of {', '.join(pictures.FORMATS)}")
    chosen = devices.device(device)
    make = _feature_maker(features, seed, chosen)
    tell(_about(features, seed))
    plan = plan_stages(content.shape, recipe, make, memory.free_bytes(chosen))
    for number, stage in enumerate(plan, 1):
        tell(f"stage {number}: {describe_stage(stage)}")
    _take_weights(recipe, make(plan[0].height + 2 * FRINGE, plan[0].width + 2 * FRINGE).weights)
    run = _Run(content, sources, recipe, plan, make, chosen, out, gif)
    run.begin(resume)
    every = preview_every or None
    with (
        runs.saving_on_interrupt(run.save),
        training.interruptible() as check,
        _bar(sum(stage.steps for stage in plan), len(run.history), progress) as bar,
    ):
        for losses in run.steps():
            if losses is not None:
                shown = " ".join(f"{name} {value:.3g}" for name, value in losses._asdict().items())
                bar.set_description(f"{run.stage.width}x{run.stage.height}", refresh=False)
                bar.set_postfix_str(shown, refresh=False)
                bar.update(len(run.history) - bar.n)
                if every and len(run.history) % every == 0:
                    run.save()
            check()
    return run.finish()


def plan_stages(shape: Sequence[int], recipe: dict[str, Any], make: Make, free: int) -> list[Stage]:
    """Work out each stage's size, memory and tiles before anything is computed.

    Args:
        shape: (H, W, 3) of the content.
        recipe: with ``stages``, ``steps`` and ``stretch``.
        make: gives the features for a size.
        free: bytes that may be taken.

    Raises:
        ValueError: the picture is too small at a stage; the message gives the smallest usable size.
        MemoryError: a stage does not fit.
    """
    plan = []
    for box, steps in zip(recipe["stages"], recipe["steps"]):
        height, width = pictures.fit_size(tuple(shape), tuple(box), recipe["stretch"])
        _check_size(f"stage {box[0]}x{box[1]} gives a picture", height, width)
        outer = height + 2 * FRINGE, width + 2 * FRINGE
        features = make(*outer)
        try:
            tile = memory.choose_tile(features, *outer, free)
        except MemoryError as error:
            raise MemoryError(f"stage {width}x{height}: {error}") from None
        plan.append(Stage(height, width, steps, memory.estimate(features, *outer, tile), tile))
    return plan


class _Run:
    """A transfer under way: its pictures, its settings, and how far it has come."""

    def __init__(
        self, content: np.ndarray, sources: Sequence[StylePicture], recipe: dict[str, Any], plan: Sequence[Stage],
        make: Make, device: Any, out: Optional[_files.PathLike], gif: Optional[_files.PathLike],
    ) -> None:  # fmt: skip
        self.content, self.sources, self.recipe, self.plan, self.make = content, sources, recipe, plan, make
        self.device, self.out, self.gif = device, None if out is None else Path(out), gif
        self.data = _fingerprint(content, sources)
        self.number = 0  # of the stage, from 0
        self.history: list[dict[str, Any]] = []
        self.optimiser: Any = None
        self.start = time.perf_counter()

    @property
    def stage(self) -> Stage:
        return self.plan[self.number]

    def begin(self, resume: bool) -> None:
        """Start at the content, or where the checkpoint is."""
        if resume and self.out is not None:
            self._restore(self.out)
            return
        if self.out is not None and (run_folder(self.out) / training.CHECKPOINT).exists():
            raise ValueError(
                f"{run_folder(self.out)} holds a transfer that was stopped: go on with resume=True (--resume), or "
                "remove that folder"
            )
        if self.gif is not None and self.out is not None:  # what a run left that ended without a checkpoint
            shutil.rmtree(run_folder(self.out), ignore_errors=True)
        self.optimiser = OPTIMIZERS[self.recipe["optimizer"]](self._content())
        self._take_frame()

    def steps(self) -> Iterator[Optional[Losses]]:
        """Yield after each step its losses; None where a stage has come to a minimum."""
        while True:
            objective = self._objective()
            last: list[Any] = []  # losses and gradient where the optimiser looked last

            def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
                losses, gradient = evaluate(objective, x)  # noqa: B023
                last[:] = losses, gradient  # noqa: B023
                return losses.total, gradient

            done = sum(entry["stage"] == self.number + 1 for entry in self.history)
            for step in range(done + 1, self.stage.steps + 1):
                moved = self.optimiser.step(value_and_gradient)
                if last:
                    self._check_finite(step, *last)
                if not moved:
                    break
                passed = round(time.perf_counter() - self.start, 3)
                self.history.append({"stage": self.number + 1, "step": step, **last[0]._asdict(), "seconds": passed})
                self._take_frame()
                yield last[0]
            yield None
            if self.number + 1 == len(self.plan):
                return
            self._next_stage()

    def _next_stage(self) -> None:
        inner = self.optimiser.x[0, :, FRINGE:-FRINGE, FRINGE:-FRINGE].transpose(1, 2, 0)  # (H, W, 3)
        self.number += 1
        larger = _with_fringe(pictures.enlarge(inner, self.stage[:2])).transpose(2, 0, 1)[None]
        self.optimiser = OPTIMIZERS[self.recipe["optimizer"]](larger)

    def _content(self) -> np.ndarray:
        return standardise(_with_fringe(resize(self._shown(), self.stage[:2])))

    def _objective(self) -> Any:
        height, width = self.stage[:2]
        styles = []
        for source in self.sources:
            picture = self._shown_style(source.picture)
            size = pictures.same_area(picture.shape, height, width, LEAST_SIDE)
            mask = None
            if source.mask is not None:
                mask = _with_fringe(resize(source.mask.astype(np.float32) / 255, (height, width)))
            styles.append(Style(standardise(resize(picture, size)), source.weight, mask))
        weights = Weights(*(self.recipe[f"{name}_weight"] for name in Weights._fields))
        X = self._content()
        return make_objective(self.make(*X.shape[2:]), X, styles, weights, self.stage.tile, self.device)

    def _shown(self) -> np.ndarray:
        return pictures.luminance(self.content) if self.recipe["keep_colors"] else self.content

    def _shown_style(self, picture: np.ndarray) -> np.ndarray:
        return pictures.match_luminance(picture, self.content) if self.recipe["keep_colors"] else picture

    def picture(self) -> np.ndarray:
        """Return the picture as it is now, (H, W, 3) uint8."""
        picture = to_picture(self.optimiser.x[:, :, FRINGE:-FRINGE, FRINGE:-FRINGE])
        if not self.recipe["keep_colors"]:
            return picture
        return pictures.recolour(picture, resize(self.content, self.stage[:2]))

    def _check_finite(self, step: int, losses: Losses, gradient: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.linalg.norm(gradient)  # an optimiser that cannot square it goes nowhere
        if not np.isfinite(losses.total + norm):
            before = f"{self.history[-1]}" if self.history else "none"
            raise training.NonFiniteLoss(
                f"the loss is {losses.total} in step {step} of stage {self.number + 1}, the norm of its gradient "
                f"{norm}; last finite losses: {before}. Give smaller weights"
            )

    def _take_frame(self, last: bool = False) -> None:
        if self.gif is None or self.out is None:
            return
        step = len(self.history)
        if step > 5 and step % max(1, self.stage.steps // FRAMES) and not last:
            return
        from PIL import Image

        picture = self.picture()
        size = pictures.fit_size(picture.shape, (FRAME_SIDE, FRAME_SIDE))
        with _files.replacing(run_folder(self.out) / "frames" / f"{step:05d}.png") as neighbour:
            Image.fromarray(resize(picture, size)).save(neighbour)

    def save(self) -> None:
        """Write the picture as it is, and a checkpoint."""
        if self.out is None or self.optimiser is None:
            return
        arrays, numbers = self.optimiser.state()
        info = {"recipe": self.recipe, "data": self.data, "history": self.history, "stage": self.number}
        training.save_checkpoint(
            run_folder(self.out),
            {name: nd.array(array, dtype=array.dtype) for name, array in arrays.items()},
            {**info, "optimizer": numbers, "epoch": len(self.history)},
        )
        pictures.write_picture(self.out, self.picture(), {**self.recipe, "finished": False})

    def _restore(self, out: Path) -> None:
        folder = run_folder(out)
        if not (folder / training.CHECKPOINT).exists():
            raise FileNotFoundError(f"{folder} is not there: no stopped transfer to resume for {out}")
        arrays, info = training.load_checkpoint(folder)
        runs.check_resumable(folder, info, self.recipe, self.data, "content or style")
        self.number, self.history = info["stage"], info["history"]
        self.start -= self.history[-1]["seconds"] if self.history else 0
        self.optimiser = OPTIMIZERS[self.recipe["optimizer"]](np.zeros(0, np.float32))
        self.optimiser.restore({name: array.asnumpy() for name, array in arrays.items()}, info["optimizer"])

    def finish(self) -> Stylized:
        """Write the result and what belongs to it; remove the run's folder."""
        settings = {**self.recipe, "finished": True}
        if self.history:
            settings["losses"] = {name: self.history[-1][name] for name in Losses._fields}
        result = Stylized(self.picture(), self.history, settings)
        if self.out is not None:
            pictures.write_picture(self.out, result.picture, settings)
            if self.gif is not None:
                self._take_frame(last=True)
                _write_gif(run_folder(self.out) / "frames", Path(self.gif))
            shutil.rmtree(run_folder(self.out), ignore_errors=True)
        return result


def run_folder(out: _files.PathLike) -> Path:
    """Return the folder beside a result that a run keeps its state in until it is done."""
    return Path(out).with_suffix(".run")


def _with_fringe(picture: np.ndarray) -> np.ndarray:
    """Mirror a picture, (H, W, …), at its edges."""
    edges = [(FRINGE, FRINGE)] * 2 + [(0, 0)] * (picture.ndim - 2)
    return np.pad(picture, edges, mode="reflect")


def _feature_maker(name: str, seed: int, device: Any) -> Make:
    if name == RANDOM:
        return lru_cache(maxsize=None)(lambda height, width: random_features(height, width, seed, device))
    from gluonbook.weights import load_weights

    features = vgg_features(*load_weights(name), device)
    return lambda height, width: features


def _about(features: str, seed: int) -> str:
    if features == RANDOM:
        return (
            f"features: random filters, seed {seed}; no download (--features vgg19 takes weights learned on ImageNet)"
        )
    return f"features: {features}"


def describe_stage(stage: Stage) -> str:
    """Say a stage's size and memory in words."""
    how = "" if stage.tile is None else f", in tiles of {stage.tile} pixels"
    return f"{stage.width}x{stage.height}, {stage.steps} steps, about {memory.gibibytes(stage.need)} of memory{how}"


def _write_gif(folder: Path, path: Path) -> None:
    from PIL import Image

    frames = [Image.open(name).convert("RGB") for name in sorted(folder.glob("*.png"))]
    size = frames[-1].size
    frames = [frame.resize(size, Image.Resampling.BICUBIC).quantize(256) for frame in frames]
    times = [FRAME_MILLISECONDS] * (len(frames) - 1) + [LAST_FRAME_MILLISECONDS]
    with _files.replacing(path) as neighbour:
        frames[0].save(neighbour, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)


def _fingerprint(content: np.ndarray, sources: Sequence[StylePicture]) -> str:
    digest = hashlib.sha256()
    for part in (content, *(part for source in sources for part in source)):
        array = np.asarray(-1 if part is None else part)
        digest.update(str((array.shape, array.dtype)).encode() + array.tobytes())
    return digest.hexdigest()[:16]


def _check_pictures(content: Any, styles: Any) -> tuple[StylePicture, ...]:
    if isinstance(styles, (np.ndarray, StylePicture)):
        styles = [styles if isinstance(styles, StylePicture) else StylePicture(styles)]
    if not isinstance(styles, Sequence):
        raise ValueError(f"styles must be a picture, (H, W, 3) uint8, or a list of StylePicture, got {_told(styles)}")
    if not styles:
        raise ValueError("styles must be at least one picture, got none")
    for i, style in enumerate(styles):
        if not isinstance(style, StylePicture):
            raise ValueError(f"styles[{i}] must be a StylePicture, got {_told(style)}")
    for name, picture in (("content", content), *((f"styles[{i}]", style.picture) for i, style in enumerate(styles))):
        if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.shape[2:] == (3,)):
            raise ValueError(f"{name} must be a picture, (H, W, 3) uint8, got {_told(picture)}")
        _check_size(name, *picture.shape[:2])
    for i, style in enumerate(styles):
        _check.number(f"styles[{i}].weight", style.weight, above=0)
        mask = style.mask
        if mask is not None and not (isinstance(mask, np.ndarray) and mask.ndim == 2 and mask.dtype == np.uint8):
            raise ValueError(f"styles[{i}].mask must be (h, w) uint8, got {_told(mask)}")
        if mask is not None and not mask.any():
            raise ValueError(f"styles[{i}].mask must be above 0 somewhere: all of it is black")
    return tuple(styles)


def _told(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_size(what: str, height: int, width: int) -> None:
    if min(height, width) < LEAST_SIDE:
        raise ValueError(f"{what} of {width}x{height} pixels: the smallest usable size is {LEAST_SIDE} pixels a side")


def _check_stages(stages: Any) -> list[list[int]]:
    """Return stages as plain lists [width, height], which JSON keeps."""
    if not isinstance(stages, Sequence):
        raise ValueError(f"stages must be a list of (width, height), got {stages!r}")
    found = []
    for i, stage in enumerate(stages):
        if not isinstance(stage, Sequence) or len(stage) != 2:
            raise ValueError(f"stages[{i}] must be (width, height), got {stage!r}")
        found.append([_check.integer(f"stages[{i}]", side, at_least=1) for side in stage])
        if i and (found[i][0] < found[i - 1][0] or found[i][1] < found[i - 1][1]):
            raise ValueError(f"stages must go from coarse to fine, got {found[i - 1]} before {found[i]}")
    if not found:
        raise ValueError("stages must be at least one (width, height), got none")
    return found


def _check_steps(steps: Any, num_stages: int, optimizer: str) -> list[int]:
    """Return the steps of each stage."""
    if steps is None:
        first, later = STEPS[optimizer]
        return [first] + [later] * (num_stages - 1)
    counts = list(steps) if isinstance(steps, Sequence) else [steps]
    counts = counts * num_stages if len(counts) == 1 else counts
    if len(counts) != num_stages:
        raise ValueError(f"steps must be one number, or one for each of {num_stages} stages, got {len(counts)}")
    return [_check.integer("steps", count, at_least=1) for count in counts]


def _take_weights(recipe: dict[str, Any], suited: Weights) -> None:
    """Put the weights that suit the features where none were given."""
    for name, value in suited._asdict().items():
        given = recipe[f"{name}_weight"]
        recipe[f"{name}_weight"] = value if given is None else _check.number(f"{name}_weight", given, at_least=0)


def _bar(total: int, done: int, progress: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, unit="step", disable=None if progress else True, dynamic_ncols=True)
