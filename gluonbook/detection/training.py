"""Training of a detector: augmented batches, losses of its family, mAP each epoch, checkpoints, resume."""

import functools
import inspect
import time
from collections.abc import Sequence
from typing import Any, Callable, Optional

import numpy as np

from gluonbook import _check, _files, _models, devices, runs, training
from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.data.detection import DetectionSet, fingerprint
from gluonbook.detection.batches import Batch, epoch_batches
from gluonbook.detection.metrics import MeanAP, mean_ap
from gluonbook.detection.saved import TrainedDetector, save_detector
from gluonbook.distributed import group as groups

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
    kvstore: Optional[str] = None,
    resume: bool = False,
    progress: bool = False,
) -> TrainedDetector:
    """Train an SSD or a YOLO on pictures with labelled boxes.

    SSD: smooth L1 and softmax over matched anchors and the hardest negatives. YOLO: ``yolo_loss``; its anchors are
    clusters of the training set's boxes (``fit_anchors``). Both: Adam with a warm-up and half a cosine, flips, crops
    and colours; each epoch ends with mAP on the validation set. An epoch draws its random numbers from the seed and its
    own number, so a run that was stopped and resumed gives the numbers of one that was not.

    Among several workers (``gluonbook launch``) each takes its share of every batch's pictures, and batch norm its
    statistics of that share. In ``dist_sync`` the numbers are those of one worker with as many devices, but for
    rounding. In ``dist_async`` each push is a step of its own with a worker's share, the schedule follows the servers'
    steps, the losses are those of worker 0's share, and a resumed run begins Adam's moments anew.

    Args:
        train_set: what to learn; a picture without objects teaches background.
        val_set: what to measure on, of the same classes; at least one picture.
        out: folder for checkpoints and the model; None writes nothing. A folder that holds another training is refused,
            and one that holds this very training, done, is not trained again. Worker 0 alone reads and writes it.
        network: ``"tiny"`` (the notes' TinySSD), ``"mobilenet"``, or ``"yolo"`` (YOLOv3's heads on six convolutions).
        size: pixels of the square that pictures are squeezed to, or letterboxed to by ``"yolo"``: of that a multiple of
            32; at least 64.
        num_epochs: at least 1; more than before may be given to a resumed run.
        batch_size: N, of all workers together, at least one picture for each of their devices; an incomplete last
            batch is left out, other pictures in each epoch.
        lr: the highest learning rate, above 0.
        wd: weight decay, at least 0.
        negative_ratio: background anchors a matched one, above 0; a YOLO learns from all, and takes no other value.
        seed: at least 0.
        device: as ``gluonbook.device`` takes it, or several, ``"gpu(0),gpu(1)"``: each batch is divided among them.
        kvstore: how several workers train together, ``"dist_sync"`` or ``"dist_async"``; None is ``"dist_sync"`` in a
            process that ``gluonbook launch`` started, and alone elsewhere.
        resume: go on from the checkpoint in ``out``.
        progress: show a progress bar with the losses, and mAP after each epoch.

    Returns:
        TrainedDetector; with ``out`` it is also written there. The mAP of each epoch is in worker 0's alone.

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
    chosen, group = devices.device_list(device), groups.join(kvstore)
    rows = groups.share(group, min(batch_size, len(train_set)))
    if rows.stop - rows.start < len(chosen):
        raise ValueError(
            f"each device needs a picture of a batch, got {len(chosen)} devices and batches of {rows.stop - rows.start}"
        )
    data = f"{fingerprint(train_set)}-{fingerprint(val_set)}"
    saved = runs.Saved(_models.DESCRIPTION, recipe, data, "data set", "a detector", ("classes",))
    state = groups.from_first(group, lambda: runs.saved_state(out, saved, resume))
    # What was fitted is in checkpoints since YOLOs are trained.
    fitted = _family(recipe).fit(train_set, recipe) if state is None else state[1].get("fitted")
    run = _Run(train_set.classes, recipe, chosen, data, fitted, group)
    if state is not None:
        run.restore(*state)
    run.begin(len(train_set))
    if group.rank:
        out, progress = None, False

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
        group: groups.Group = groups.ALONE,
    ) -> None:
        self.classes, self.recipe, self.devices, self.data = tuple(classes), recipe, chosen, data
        self.fitted, self.group = fitted or {}, group
        self.history: list[dict[str, Any]] = []
        self.family = _family(recipe)
        self.net = self.family.build(len(classes), self.settings)
        self.losses = self.family.learn(self.net, recipe)
        runs.seed_epoch(recipe["seed"], 0)
        self.family.initialise(self.net, chosen)
        self.net.infer_shape(nd.zeros((1, 3, recipe["size"], recipe["size"]), ctx=chosen[0]))
        for param in self.net.collect_params().values():
            param._finish_deferred_init()
        self.net.hybridize(static_alloc=True)
        self.params = self.net._collect_params_with_prefix()
        settings = {"learning_rate": recipe["lr"], "wd": recipe["wd"]}
        # A list: of a dict the trainer sorts the names, which are others in each network (see restore_optimizer).
        distributed = {"update_on_kvstore": False, **groups.trainer_settings(group)}
        self.trainer = gluon.Trainer(list(self.params.values()), "adam", settings, **distributed)
        self.snapshot = self._snapshot()

    @property
    def epoch(self) -> int:
        return len(self.history)

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.recipe, **self.fitted}

    def begin(self, num_pictures: int) -> None:
        """Let all workers start from the same weights."""
        steps = max(num_pictures // self.recipe["batch_size"], 1)
        schedule = functools.partial(_rate_after, self.recipe, steps, self.epoch, self.group.size)
        groups.begin(self.group, self.trainer, schedule)

    def train_epoch(
        self,
        train_set: DetectionSet,
        val_set: DetectionSet,
        advance: Callable[[Sequence[float]], Any],
        check: Callable[[], Any],
    ) -> None:
        recipe, group, start = self.recipe, self.group, time.perf_counter()
        runs.seed_epoch(recipe["seed"], self.epoch + 1, group.rank)
        steps = max(len(train_set) // recipe["batch_size"], 1)
        first_lr = _learning_rate(recipe, self.epoch * steps, steps)
        guard = training.LossGuard(self.epoch + 1, first_lr, self.history[-1]["loss"] if self.history else None)
        parts: list[np.ndarray] = []  # the losses of each batch, read when the next has been queued
        before: Any = None

        def tell(step: Any) -> None:
            parts.append(step.asnumpy())
            advance(np.mean(parts, axis=0))

        shape = recipe["size"], recipe["batch_size"]
        rows = groups.share(group, min(recipe["batch_size"], len(train_set)))
        batches = epoch_batches(train_set, *shape, recipe["seed"], self.epoch + 1, recipe["network"], rows)
        for number, batch in enumerate(batches):
            if not group.is_async:
                self.trainer.set_learning_rate(_learning_rate(recipe, self.epoch * steps + number, steps))
            step = self._step(batch)
            guard.add(step.sum())
            if before is not None:
                tell(before)
            before = step
        tell(before)
        loss, *each = groups.total(group, [guard.mean(), *np.mean(parts, axis=0)]).tolist()
        entry = {"epoch": self.epoch + 1, "loss": loss, **dict(zip(self.family.losses, each)), "lr": first_lr}
        if group.rank == 0:
            find = self.family.find(self.net, recipe["size"], self.devices[0])
            found = evaluate(find, val_set, recipe["batch_size"], check)
            entry.update(voc07=found.voc07, voc12=found.voc12, by_class=found.by_class)
        entry["seconds"] = round(time.perf_counter() - start, 3)
        self.history.append(entry)
        self.snapshot = self._snapshot()

    def _step(self, batch: Batch) -> Any:
        """Update the weights by one batch, divided among the devices; return its losses, (number of losses,)."""
        shares = [
            (X, labels) for X, labels in zip(*(np.array_split(part, len(self.devices)) for part in batch)) if len(X)
        ]
        with autograd.record():
            predictions = [self.net(nd.array(X, ctx=device)) for (X, _), device in zip(shares, self.devices)]
        losses = self.losses(predictions, [labels for _, labels in shares], self._total)
        with autograd.record():
            totals = [nd.add_n(*loss) for loss in losses]
        autograd.backward(totals)
        self.trainer.step(1)
        return sum(nd.concat(*loss, dim=0).as_in_context(self.devices[0]) for loss in losses)

    def _total(self, count: float) -> float:
        """Return a count of this worker's share of a batch for the whole batch."""
        return float(groups.total(self.group, count)[0])

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
        if self.history and not self.group.is_async and any(name.startswith("optimizer:") for name in arrays):
            training.restore_optimizer(self.trainer, arrays, info["optimizer"])
        self.snapshot = self._snapshot()

    def model(self) -> TrainedDetector:
        """Return the detector as of the last whole epoch."""
        arrays, info = self.snapshot
        weights = runs.weights_of(arrays, "weight", list(self.params))
        return TrainedDetector(weights, self.classes, self.settings, info["history"])


def _learning_rate(recipe: dict[str, Any], step: int, steps: int) -> float:
    """Return the learning rate of a step, counted from 0 over all epochs, of which each has ``steps``."""
    done = min(step / (steps * recipe["num_epochs"]), 1.0)
    return min(1.0, (step + 1) / WARM_UP) * runs.cosine(done, recipe["lr"])


def _rate_after(recipe: dict[str, Any], steps: int, epochs_done: int, num_workers: int, num_update: int) -> float:
    """Return the learning rate after so many updates of the servers, which count one for each worker and batch."""
    return _learning_rate(recipe, epochs_done * steps + num_update // num_workers, steps)


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
