"""Search for hyper-parameters: at random, then in a smaller range around the best; resumable.

A trial's settings depend on the seed and its number alone, so a search that was stopped goes on to the same trials.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Union

import numpy as np

from gluonbook import _check, _files


class LogUniform(NamedTuple):
    """A number whose logarithm is spread evenly from low to high, both above 0: for learning rates and the like."""

    low: float
    high: float


class Uniform(NamedTuple):
    """A number spread evenly from low to high."""

    low: float
    high: float


class Choice(NamedTuple):
    """One of some values, each as likely."""

    values: tuple[Any, ...]


Range = Union[LogUniform, Uniform, Choice]
Space = Mapping[str, Range]


class Trial(NamedTuple):
    """Settings that were tried, and how good they were."""

    number: int  # from 0
    settings: dict[str, Any]
    score: float  # the larger the better; −inf where the training failed


def random_search(
    evaluate: Callable[..., float],
    space: Space,
    num_trials: int,
    seed: int = 0,
    path: Optional[_files.PathLike] = None,
    progress: bool = False,
) -> list[Trial]:
    """Try settings drawn at random (Bergstra & Bengio 2012).

    Args:
        evaluate: gives the score, the larger the better, for a setting a keyword. One that raises ArithmeticError (a
            loss that is not finite) has the score −inf.
        space: a range for each setting.
        num_trials: at least 1.
        seed: of the draws, at least 0.
        path: a JSON file that holds the results after each trial; one that is there already is gone on from.
        progress: show a progress bar.

    Returns:
        the trials, in order; ``best`` finds the best.

    Raises:
        ValueError: a range is wrong, or the file holds another search.

    >>> trials = random_search(lambda x: -abs(x - 3), {"x": Uniform(0, 10)}, num_trials=50)
    >>> abs(best(trials).settings["x"] - 3) < 0.5
    True
    """
    from tqdm.auto import tqdm

    _check.integer("num_trials", num_trials, at_least=1)
    _check.integer("seed", seed, at_least=0)
    _check_space(space)
    about = {"seed": seed, "space": {name: _told(range_) for name, range_ in space.items()}}
    trials = [] if path is None else _read(Path(path), about)[:num_trials]
    bar = tqdm(range(num_trials), initial=len(trials), desc="trials", disable=None if progress else True)
    for number in range(len(trials), num_trials):
        settings = draw(space, seed, number)
        try:
            score = float(evaluate(**settings))
        except ArithmeticError as error:
            warnings.warn(f"trial {number} with {settings} failed: {error}", stacklevel=2)
            score = -math.inf
        trials.append(Trial(number, settings, -math.inf if math.isnan(score) else score))
        if path is not None:
            _files.write_json(path, {**about, "trials": [_plain(trial) for trial in trials]})
        bar.update()
    bar.close()
    return trials


def coarse_to_fine(
    evaluate: Callable[..., float],
    space: Space,
    num_trials: Sequence[int],
    seed: int = 0,
    path: Optional[_files.PathLike] = None,
    keep: int = 3,
    progress: bool = False,
) -> list[list[Trial]]:
    """Search in stages, each in the range that the best settings of the one before span.

    Args:
        evaluate: called with the settings and ``stage``, from 0, so that later stages may train for longer.
        space, seed, progress: as for ``random_search``.
        num_trials: of each stage.
        path: a folder with a JSON file a stage, each as for ``random_search``.
        keep: how many of the best span the next range, at least 2.

    Returns:
        the trials of each stage.
    """
    stages: list[list[Trial]] = []
    for stage, count in enumerate(num_trials):
        if stages:
            space = narrow(space, stages[-1], keep)
        file = None if path is None else Path(path) / f"stage{stage}.json"

        def evaluate_stage(stage: int = stage, **settings: Any) -> float:
            return evaluate(stage=stage, **settings)

        stages.append(random_search(evaluate_stage, space, count, seed + stage, file, progress))
    return stages


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest score; of equals the first.

    Raises:
        ValueError: there are no trials.
    """
    if not trials:
        raise ValueError("trials must be at least one, got none")
    return max(trials, key=lambda trial: trial.score)


def narrow(space: Space, trials: Sequence[Trial], keep: int = 3) -> dict[str, Range]:
    """Return the space that the best trials span, widened by half of it on either side, inside the old one.

    Args:
        space: of the trials.
        trials: at least ``keep`` of them with a finite score.
        keep: how many of the best, at least 2.

    Raises:
        ValueError: fewer trials worked.

    >>> trials = [Trial(i, {"lr": 10.0**-i}, -abs(i - 2)) for i in range(5)]
    >>> {name: (round(r.low, 4), round(r.high, 4)) for name, r in narrow({"lr": LogUniform(1e-4, 1)}, trials).items()}
    {'lr': (0.0001, 1)}
    """
    _check.integer("keep", keep, at_least=2)
    good = sorted((t for t in trials if math.isfinite(t.score)), key=lambda t: -t.score)[:keep]
    if len(good) < keep:
        raise ValueError(f"trials must hold at least {keep} with a finite score, got {len(good)}")
    return {name: _narrowed(range_, [trial.settings[name] for trial in good]) for name, range_ in space.items()}


def draw(space: Space, seed: int, number: int) -> dict[str, Any]:
    """Return the settings of a trial: the same for the same seed and number."""
    rng = np.random.default_rng([seed, number])
    return {name: _draw(range_, rng) for name, range_ in space.items()}


def _draw(range_: Range, rng: np.random.Generator) -> Any:
    if isinstance(range_, Choice):
        return range_.values[int(rng.integers(len(range_.values)))]
    if isinstance(range_, LogUniform):
        return float(math.exp(rng.uniform(math.log(range_.low), math.log(range_.high))))
    return float(rng.uniform(range_.low, range_.high))


def _narrowed(range_: Range, values: Sequence[Any]) -> Range:
    if isinstance(range_, Choice):
        return Choice(tuple(value for value in range_.values if value in values))
    logarithmic = isinstance(range_, LogUniform)
    low, high = (math.log(v) if logarithmic else v for v in (min(values), max(values)))
    margin = (high - low) / 2
    ends = [math.exp(e) if logarithmic else e for e in (low - margin, high + margin)]
    return type(range_)(max(ends[0], range_.low), min(ends[1], range_.high))


def _check_space(space: Space) -> None:
    if not space:
        raise ValueError("space must have at least one setting, got none")
    for name, range_ in space.items():
        if isinstance(range_, Choice):
            _check.integer(f"number of values of {name}", len(range_.values), at_least=1)
            continue
        _check.number(f"{name}.low", range_.low, above=0 if isinstance(range_, LogUniform) else None)
        _check.number(f"{name}.high", range_.high, at_least=range_.low)


def _told(range_: Range) -> list[Any]:
    return [type(range_).__name__, *(list(range_.values) if isinstance(range_, Choice) else range_)]


def _plain(trial: Trial) -> dict[str, Any]:
    score = trial.score if math.isfinite(trial.score) else None  # JSON has no word for it
    return {"number": trial.number, "settings": trial.settings, "score": score}


def _read(path: Path, about: dict[str, Any]) -> list[Trial]:
    if not path.exists():
        return []
    found = _files.read_json(path)
    if not isinstance(found, dict) or {key: found.get(key) for key in about} != about:
        raise ValueError(f"{path} holds another search: give another file, or remove that one")
    return [
        Trial(trial["number"], trial["settings"], -math.inf if trial["score"] is None else trial["score"])
        for trial in found["trials"]
    ]
