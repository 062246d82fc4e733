"""Training of an SSD: augmented batches, targets with hard negatives, mAP each epoch, checkpoints, resume."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from gluonbook import _check, _files, _models, devices, runs, training
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.data.detection import DetectionSet, fingerprint
from gluonbook.detection.augmentation import augment
from gluonbook.detection.inference import find_boxes, resize, standardise
from gluonbook.detection.metrics import MeanAP, mean_ap
from gluonbook.detection.saved import TrainedDetector, save_detector
from gluonbook.detection.targets import PADDING, Targets, multibox_target

MIN_NEGATIVES = 8  # background anchors that a picture without objects teaches
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
    """Train an SSD on pictures with labelled boxes.

    Smooth L1 and softmax over matched anchors and the hardest negatives, Adam with a warm-up and half a cosine, flips,
    crops and colours; each epoch ends with mAP on the validation set. An epoch draws its random numbers from the seed
    and its own number, so a run that was stopped and resumed gives the numbers of one that was not.

    Args:
        train_set: what to learn; a picture without objects teaches background.
        val_set: what to measure on, of the same classes; at least one picture.
        out: folder for checkpoints and the model; None writes nothing. A folder that holds another training is refused,
            and one that holds this very training, done, is not trained again.
        network: ``"tiny"`` (the notes' TinySSD) or ``"mobilenet"``.
        size: pixels of the square that pictures are squeezed to, at least 64.
        num_epochs: at least 1; more than before may be given to a resumed run.
        batch_size: N, at least 1; an incomplete last batch is left out, other pictures in each epoch.
        lr: the highest learning rate, above 0.
        wd: weight decay, at least 0.
        negative_ratio: background anchors a matched one, above 0.
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
    run = _Run(train_set.classes, recipe, chosen, data)
    if resume or (out is not None and runs.is_finished(Path(out), _models.DESCRIPTION, recipe, data)):
        run.restore(out)

    num_batches = max(len(train_set) // batch_size, 1)
    with (
        runs.saving_on_interrupt(lambda: run.save(out)),
        training.interruptible() as check,
        _bar(num_batches * num_epochs, num_batches * run.epoch, progress) as bar,
    ):

        def advance(losses: Sequence[float]) -> None:
            bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in zip(("cls", "box"), losses)), False)
            bar.update()
            check()

        while run.epoch < num_epochs:
            run.train_epoch(train_set, val_set, advance, check)
            run.save(out)
            if progress:
                bar.write(describe_epoch(run.history[-1]))
        run.save(out)
    return run.model()


class Batch(NamedTuple):
    """N pictures as the network takes them, (N, 3, H, W) float32, and their labels, (N, M, 5), padded with −1."""

    X: np.ndarray
    labels: np.ndarray


def epoch_batches(data: DetectionSet, size: int, batch_size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """Yield an epoch's batches, each prepared while the one before it is in use.

    Args:
        data: the training set; difficult objects are left out.
        size: pixels of a side.
        batch_size: N; of fewer pictures, all are one batch.
        seed, epoch: each picture's random numbers come from these and its own number.

    Yields:
        Batch.
    """
    order = np.random.default_rng([seed, epoch]).permutation(len(data))
    count = max(len(data) // batch_size, 1)

    def prepare(number: int) -> Batch:
        chosen = order[number * batch_size : (number + 1) * batch_size]
        pairs = [_training_pair(data, int(i), size, np.random.default_rng([seed, epoch, int(i)])) for i in chosen]
        return Batch(standardise([picture for picture, _ in pairs]), pad_labels([labels for _, labels in pairs]))

    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(prepare, 0)
        for number in range(count):
            batch = coming.result()
            if number + 1 < count:
                coming = worker.submit(prepare, number + 1)
            yield batch


def _training_pair(data: DetectionSet, i: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return augment(data.picture(i), data.labels[i][~data.difficult[i]], rng, size)


def pad_labels(labels: Sequence[np.ndarray]) -> np.ndarray:
    """Return labels (N, M, 5) of N pictures; those with fewer than M objects end in rows of −1.

    >>> pad_labels([np.array([[0, 0, 0, 1, 1.0]]), np.zeros((0, 5))])[:, :, 0].tolist()
    [[0.0], [-1.0]]
    """
    padded = np.full((len(labels), max(map(len, labels)), 5), PADDING, np.float32)
    for row, objects in zip(padded, labels):
        row[: len(objects)] = objects
    return padded


class _Run:
    """A training as it stands: network, trainer, history."""

    def __init__(self, classes: Sequence[str], recipe: dict[str, Any], chosen: list[Any], data: str) -> None:
        from gluonbook.detection.ssd import NETWORKS

        self.classes, self.recipe, self.devices, self.data = tuple(classes), recipe, chosen, data
        self.history: list[dict[str, Any]] = []
        self.net = NETWORKS[recipe["network"]](len(classes))
        self.anchors = self.net.anchors(recipe["size"], recipe["size"])
        runs.seed_epoch(recipe["seed"], 0)
        self.net.initialize(mx.init.Xavier(), ctx=chosen)
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
        parts: list[np.ndarray] = []  # (2,) each: cls and box loss
        batches = epoch_batches(train_set, recipe["size"], recipe["batch_size"], recipe["seed"], self.epoch + 1)
        for number, batch in enumerate(batches):
            self.trainer.set_learning_rate(self._learning_rate(self.epoch * steps + number, steps))
            losses = self._step(batch)
            guard.add(losses.sum())
            parts.append(losses.asnumpy())
            advance(np.mean(parts, axis=0))
        loss = guard.mean()
        cls_loss, box_loss = np.mean(parts, axis=0).tolist()
        found = evaluate(self.net, val_set, recipe["size"], self.anchors, self.devices[0], recipe["batch_size"], check)
        entry = {"epoch": self.epoch + 1, "loss": loss, "cls": cls_loss, "box": box_loss, "lr": first_lr}
        entry.update(voc07=found.voc07, voc12=found.voc12, by_class=found.by_class)
        entry["seconds"] = round(time.perf_counter() - start, 3)
        self.history.append(entry)
        self.snapshot = self._snapshot()

    def _learning_rate(self, step: int, steps: int) -> float:
        return min(1.0, (step + 1) / WARM_UP) * runs.cosine(
            step / (steps * self.recipe["num_epochs"]), self.recipe["lr"]
        )

    def _step(self, batch: Batch) -> Any:
        """Update the weights by one batch, divided among the devices; return its losses, (2,)."""
        from gluonbook.detection.ssd import ssd_loss

        shares = [
            (X, labels) for X, labels in zip(*(np.array_split(part, len(self.devices)) for part in batch)) if len(X)
        ]
        with autograd.record():
            predictions = [self.net(nd.array(X, ctx=device)) for (X, _), device in zip(shares, self.devices)]
        targets = [self._targets(labels, cls_preds) for (_, labels), (cls_preds, _) in zip(shares, predictions)]
        num_matched = sum(int((target.cls_targets > 0).sum()) for target in targets)
        with autograd.record():
            losses = [ssd_loss(cls, box, target, num_matched) for (cls, box), target in zip(predictions, targets)]
            totals = [loss.cls + loss.box for loss in losses]
        autograd.backward(totals)
        self.trainer.step(1)
        return sum(nd.concat(*loss, dim=0).as_in_context(self.devices[0]) for loss in losses)

    def _targets(self, labels: np.ndarray, cls_preds: Any) -> Targets:
        return multibox_target(
            self.anchors,
            labels,
            cls_preds.transpose((0, 2, 1)),  # (N, K + 1, A)
            negative_mining_ratio=self.recipe["negative_ratio"],
            minimum_negative_samples=MIN_NEGATIVES,
        )

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
        about = {"recipe": self.recipe, "classes": list(self.classes), "data": self.data}
        training.save_checkpoint(folder, arrays, {**info, **about})
        save_detector(folder, self.model())

    def restore(self, folder: Any) -> None:
        arrays, info = training.load_checkpoint(folder)
        if not {"recipe", "data", "history", "optimizer", "classes"} <= set(info):
            raise ValueError(f"{Path(folder) / training.CHECKPOINT} is not a checkpoint of a detector")
        runs.check_resumable(folder, info, self.recipe, self.data, "data set")
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
        return TrainedDetector(weights, self.classes, self.recipe, info["history"])


def evaluate(
    net: Any,
    data: DetectionSet,
    size: int,
    anchors: np.ndarray,
    device: Any,
    batch_size: int = 8,
    check: Callable[[], Any] = lambda: None,
) -> MeanAP:
    """Measure an SSD on a detection set.

    Args:
        net: SSD, on ``device``.
        data: at least one picture.
        size: pixels of the square that pictures are squeezed to.
        anchors: (A, 4) float32, for that size.
        device: mx.Context.
        batch_size: pictures that go through the network together.
        check: called after each batch; may raise.

    Returns:
        MeanAP.
    """
    found: list[np.ndarray] = []
    for start in range(0, len(data), batch_size):
        chosen = range(start, min(start + batch_size, len(data)))
        found += find_boxes(net, [resize(data.picture(i), size) for i in chosen], anchors, device)
        check()
    return mean_ap(found, data.labels, data.classes, data.difficult)


def describe_epoch(entry: dict[str, Any]) -> str:
    """Say an epoch's number, losses and mAP in words."""
    classes = ", ".join(f"{name} {value:.3f}" for name, value in entry["by_class"].items())
    return (
        f"epoch {entry['epoch']}: cls {entry['cls']:.3f}, box {entry['box']:.3f}; "
        f"mAP {entry['voc07']:.3f} (VOC07), {entry['voc12']:.3f} (VOC12); {classes}"
    )


def _check_recipe(recipe: dict[str, Any]) -> None:
    from gluonbook.detection.ssd import NETWORKS

    _check.choice("network", recipe["network"], NETWORKS)
    _check.integer("size", recipe["size"], at_least=64)
    _check.integer("num_epochs", recipe["num_epochs"], at_least=1)
    _check.integer("batch_size", recipe["batch_size"], at_least=1)
    _check.number("lr", recipe["lr"], above=0)
    _check.number("wd", recipe["wd"], at_least=0)
    _check.number("negative_ratio", recipe["negative_ratio"], above=0)
    _check.integer("seed", recipe["seed"], at_least=0)


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
