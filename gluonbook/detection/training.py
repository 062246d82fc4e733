"""Training of a detector: augmented batches, losses of its family, mAP each epoch, checkpoints, resume."""

import inspect
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from gluonbook import _check, _files, _models, devices, runs, training
from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.data.detection import DetectionSet, fingerprint
from gluonbook.detection.batches import Batch, epoch_batches
from gluonbook.detection.metrics import MeanAP, mean_ap
from gluonbook.detection.saved import TrainedDetector, save_detector

WARM_UP = 100  # steps over which the learning rate rises to its first value
# What changes the numbers of a run: a resumed one takes these from its checkpoint.
RECIPE = ("network", "size", "num_epochs", "batch_size", "lr", "wd", "negative_ratio", "seed")


def train(
    train_set: DetectionSet,
    val_set: DetectionSet,
    out: Optional[_files.PathLike] = "out/detector",
    *,
    network: str = "tiny",
    size: int = 256,
    num_epochs: int = 11,
    batch_size: int = 8,
    lr: float = 0.0015,
    wd: float = 0.0001,
    negative_ratio: float = 3.0,
    seed: int = 0,
    device: Any = "auto",
    resume: bool = False,
    progress: bool = False,
) -> TrainedDetector:
    """Train an SSD or a YOLO on pictures with labelled boxes.

    SSD: smooth L1 and softmax over matched anchors and the hardest negatives. YOLO: ``yolo_loss``; its anchors are
    clusters of the training set's boxes (``fit_anchors``). Both: Adam with a warm-up and half a cosine, flips, crops
    and colours; each epoch ends with mAP on the validation set. An epoch draws its random numbers from the seed and its
    own number, so a run that was stopped and resumed gives the numbers of one that was not.

    Args:
        train_set: what to learn; a picture without objects teaches background.
        val_set: what to measure on, of the same classes; at least one picture.
        out: folder for checkpoints and the model; None writes nothing. A folder that holds another training is refused,
            and one that holds this very training, done, is not trained again.
        network: ``"tiny"`` (the notes' TinySSD), ``"mobilenet"``, or ``"yolo"`` (YOLOv3's heads on six convolutions).
        size: pixels of the square that pictures are squeezed to, or letterboxed to by ``"yolo"``: of that a multiple of
            32; at least 64.
        num_epochs: at least 1; more than before may be given to a resumed run.
        batch_size: N, at least 1; an incomplete last batch is left out, other pictures in each epoch.
        lr: the highest learning rate, above 0.
        wd: weight decay, at least 0.
        negative_ratio: background anchors a matched one, above 0; a YOLO learns from all, and takes no other value.
        seed: at least 0.
        device: as ``gluonbook.device`` takes it, or several, ``"gpu(0),gpu(1)"``: each batch is divided among them.
        resume: go on from the checkpoint in ``out``.
        progress: show a progress bar with the losses, and mAP after each epoch.

    Returns:
        TrainedDetector; with ``out`` it is also written there.

    Raises:
        ValueError: an argument is out of range, the sets do not fit, or they are not those of the checkpoint.
        FileNotFoundError: there is no checkpoint to resume, or a picture is gone.
        NonFiniteLoss: the loss became infinite or not a number.
        KeyboardInterrupt: after the last whole epoch was written to ``out``.
    """
    recipe = {name: value for name, value in locals().items() if name in RECIPE}
    _check_recipe(recipe)
    _check_sets(train_set, val_set)
    if resume and out is None:
        raise ValueError("resume needs out, the folder that holds the checkpoint")
    chosen = devices.device_list(device)
    largest = min(batch_size, len(train_set))
    if largest < len(chosen):
        raise ValueError(f"each device needs a picture of a batch, got {len(chosen)} devices and batches of {largest}")
    data = f"{fingerprint(train_set)}-{fingerprint(val_set)}"
    if resume or (out is not None and runs.is_finished(Path(out), _models.DESCRIPTION, recipe, data)):
        run = _resumed(out, train_set.classes, recipe, chosen, data)
    else:
        run = _Run(train_set.classes, recipe, chosen, data, _family(recipe).fit(train_set, recipe))

    num_batches = max(len(train_set) // batch_size, 1)
    with (
        runs.saving_on_interrupt(lambda: run.save(out)),
        training.interruptible() as check,
        _bar(num_batches * num_epochs, num_batches * run.epoch, progress) as bar,
    ):

        def advance(losses: Sequence[float]) -> None:
            told = " ".join(f"{name} {value:.3f}" for name, value in zip(run.family.losses, losses))
            bar.set_postfix_str(told, False)
            bar.update()
            check()

        while run.epoch < num_epochs:
            run.train_epoch(train_set, val_set, advance, check)
            run.save(out)
            if progress:
                bar.write(describe_epoch(run.history[-1]))
        run.save(out)
    return run.model()


class _Run:
    """A training as it stands: network, trainer, history; fitted is what the network takes from the training set."""

    def __init__(
        self,
        classes: Sequence[str],
        recipe: dict[str, Any],
        chosen: list[Any],
        data: str,
        fitted: Optional[dict[str, Any]] = None,
    ) -> None:
        self.classes, self.recipe, self.devices, self.data = tuple(classes), recipe, chosen, data
        self.fitted = fitted or {}
        self.history: list[dict[str, Any]] = []
        self.family = _family(recipe)
        self.net = self.family.build(len(classes), self.settings)
        self.losses = self.family.learn(self.net, recipe)
        runs.seed_epoch(recipe["seed"], 0)
        self.family.initialise(self.net, chosen)
        self.net(nd.zeros((1, 3, recipe["size"], recipe["size"]), ctx=chosen[0]))  # gives every array its shape
        self.net.hybridize(static_alloc=True)
        self.params = self.net._collect_params_with_prefix()
        settings = {"learning_rate": recipe["lr"], "wd": recipe["wd"]}
        # A list: of a dict the trainer sorts the names, which are others in each network (see restore_optimizer).
        self.trainer = gluon.Trainer(list(self.params.values()), "adam", settings, update_on_kvstore=False)
        self.snapshot = self._snapshot()

    @property
    def epoch(self) -> int:
        return len(self.history)

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.recipe, **self.fitted}

    def train_epoch(
        self,
        train_set: DetectionSet,
        val_set: DetectionSet,
        advance: Callable[[Sequence[float]], Any],
        check: Callable[[], Any],
    ) -> None:
        recipe, start = self.recipe, time.perf_counter()
        runs.seed_epoch(recipe["seed"], self.epoch + 1)
        steps = max(len(train_set) // recipe["batch_size"], 1)
        first_lr = self._learning_rate(self.epoch * steps, steps)
        guard = training.LossGuard(self.epoch + 1, first_lr, self.history[-1]["loss"] if self.history else None)
        parts: list[np.ndarray] = []  # the losses of each batch
        shape = recipe["size"], recipe["batch_size"]
        batches = epoch_batches(train_set, *shape, recipe["seed"], self.epoch + 1, recipe["network"])
        for number, batch in enumerate(batches):
            self.trainer.set_learning_rate(self._learning_rate(self.epoch * steps + number, steps))
            step = self._step(batch)
            guard.add(step.sum())
            parts.append(step.asnumpy())
            advance(np.mean(parts, axis=0))
        loss = guard.mean()
        find = self.family.find(self.net, recipe["size"], self.devices[0])
        found = evaluate(find, val_set, recipe["batch_size"], check)
        losses = dict(zip(self.family.losses, np.mean(parts, axis=0).tolist()))
        entry = {"epoch": self.epoch + 1, "loss": loss, **losses, "lr": first_lr}
        entry.update(voc07=found.voc07, voc12=found.voc12, by_class=found.by_class)
        entry["seconds"] = round(time.perf_counter() - start, 3)
        self.history.append(entry)
        self.snapshot = self._snapshot()

    def _learning_rate(self, step: int, steps: int) -> float:
        return min(1.0, (step + 1) / WARM_UP) * runs.cosine(
            step / (steps * self.recipe["num_epochs"]), self.recipe["lr"]
        )

    def _step(self, batch: Batch) -> Any:
        """Update the weights by one batch, divided among the devices; return its losses, (number of losses,)."""
        shares = [
            (X, labels) for X, labels in zip(*(np.array_split(part, len(self.devices)) for part in batch)) if len(X)
        ]
        with autograd.record():
            predictions = [self.net(nd.array(X, ctx=device)) for (X, _), device in zip(shares, self.devices)]
        losses = self.losses(predictions, [labels for _, labels in shares])
        with autograd.record():
            totals = [nd.add_n(*loss) for loss in losses]
        autograd.backward(totals)
        self.trainer.step(1)
        return sum(nd.concat(*loss, dim=0).as_in_context(self.devices[0]) for loss in losses)

    def _snapshot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Copy what a checkpoint holds, at the end of an epoch: Ctrl-C comes in the middle of the next."""
        arrays, counts = training.optimizer_state(self.trainer)
        arrays = {name: runs.on_cpu(array) for name, array in arrays.items()}
        data = {name: param.data(self.devices[0]) for name, param in self.params.items()}
        arrays.update({f"weight:{name}": runs.on_cpu(array) for name, array in data.items()})
        return arrays, {"epoch": self.epoch, "history": list(self.history), "optimizer": counts}

    def save(self, folder: Optional[_files.PathLike]) -> None:
        """Write checkpoint and model as of the last whole epoch, if there is one and a folder for them."""
        arrays, info = self.snapshot
        if folder is None or not info["epoch"]:
            return
        about = {"recipe": self.recipe, "fitted": self.fitted, "classes": list(self.classes), "data": self.data}
        training.save_checkpoint(folder, arrays, {**info, **about})
        save_detector(folder, self.model())

    def restore(self, arrays: dict[str, Any], info: dict[str, Any]) -> None:
        for name, param in self.params.items():
            param.set_data(arrays[f"weight:{name}"])
        self.history = info["history"]
        if self.history:
            training.restore_optimizer(self.trainer, arrays, info["optimizer"])
        self.snapshot = self._snapshot()

    def model(self) -> TrainedDetector:
        """Return the detector as of the last whole epoch."""
        arrays, info = self.snapshot
        weights = runs.weights_of(arrays, "weight", list(self.params))
        return TrainedDetector(weights, self.classes, self.settings, info["history"])


def _resumed(folder: Any, classes: Sequence[str], recipe: dict[str, Any], chosen: list[Any], data: str) -> _Run:
    """Return the training that a folder's checkpoint holds.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is of another training, or of something else.
    """
    arrays, info = training.load_checkpoint(folder)
    if not {"recipe", "data", "history", "optimizer", "classes"} <= set(info):
        raise ValueError(f"{Path(folder) / training.CHECKPOINT} is not a checkpoint of a detector")
    runs.check_resumable(folder, info, recipe, data, "data set")
    run = _Run(classes, recipe, chosen, data, info.get("fitted"))  # there since YOLOs are trained
    run.restore(arrays, info)
    return run


def evaluate(
    find: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
    data: DetectionSet,
    batch_size: int = 8,
    check: Callable[[], Any] = lambda: None,
) -> MeanAP:
    """Measure a detector on a detection set.

    Args:
        find: as ``Detector.find``.
        data: at least one picture.
        batch_size: pictures that are asked about together.
        check: called after each batch; may raise.

    Returns:
        MeanAP.
    """
    found: list[np.ndarray] = []
    for start in range(0, len(data), batch_size):
        chosen = range(start, min(start + batch_size, len(data)))
        found += find([data.picture(i) for i in chosen])
        check()
    return mean_ap(found, data.labels, data.classes, data.difficult)


def describe_epoch(entry: dict[str, Any]) -> str:
    """Say an epoch's number, losses and mAP in words."""
    classes = ", ".join(f"{name} {value:.3f}" for name, value in entry["by_class"].items())
    losses = ", ".join(f"{name} {entry[name]:.3f}" for name in ("cls", "box", "objectness") if name in entry)
    return (
        f"epoch {entry['epoch']}: {losses}; mAP {entry['voc07']:.3f} (VOC07), {entry['voc12']:.3f} (VOC12); {classes}"
    )


def _family(recipe: dict[str, Any]) -> Any:
    from gluonbook.detection.families import family

    return family(recipe["network"])


def _check_recipe(recipe: dict[str, Any]) -> None:
    family, network = _family(recipe), recipe["network"]
    if _check.integer("size", recipe["size"], at_least=64) % family.stride:
        raise ValueError(f"size must be a multiple of {family.stride} for {network!r}, got {recipe['size']}")
    _check.integer("num_epochs", recipe["num_epochs"], at_least=1)
    _check.integer("batch_size", recipe["batch_size"], at_least=1)
    _check.number("lr", recipe["lr"], above=0)
    _check.number("wd", recipe["wd"], at_least=0)
    _check.number("negative_ratio", recipe["negative_ratio"], above=0)
    _check.integer("seed", recipe["seed"], at_least=0)
    for name in family.unused:
        default = inspect.signature(train).parameters[name].default
        if recipe[name] != default:
            raise ValueError(f"{name} has no effect on {network!r}: leave it at {default}, got {recipe[name]}")


def _check_sets(train_set: DetectionSet, val_set: DetectionSet) -> None:
    for name, data in (("train_set", train_set), ("val_set", val_set)):
        if not len(data):
            raise ValueError(f"{name} must hold at least one picture, got none")
    if train_set.classes != val_set.classes:
        raise ValueError(f"the sets must have the same classes, got {train_set.classes} and {val_set.classes}")


def _bar(total: int, done: int, progress: bool) -> Any:
    from tqdm.auto import tqdm

    disable = None if progress else True  # None: where standard error is no terminal
    return tqdm(total=total, initial=done, unit="batch", disable=disable, dynamic_ncols=True)
