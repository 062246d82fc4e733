"""An epoch of a classifier's training, and its accuracy, on one device or divided among several.

Letters: ``N`` batch, ``K`` classes. A net's outputs are (N, K, …): segmentation has a class at every pixel.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, NamedTuple

import numpy as np

from gluonbook._mxnet import autograd, nd
from gluonbook.training.losses import LossGuard


class EpochSums(NamedTuple):
    """What an epoch adds up to."""

    loss: float  # the sum of the loss's elements
    loss_size: int  # how many those are
    correct: int  # labels that the largest output names
    labels: int


class Part(NamedTuple):
    """A device's share of a batch."""

    X: Any
    y: Any
    counts: bool  # False where the batch has fewer rows than there are devices: a row that another device has


def train_epoch(
    net: Callable[[Any], Any],
    batches: Iterable[tuple[Any, Any]],
    loss: Callable[[Any, Any], Any],
    update: Callable[[int], None],
    devices: Sequence[Any],
    guard: LossGuard,
) -> EpochSums:
    """Train a classifier for an epoch.

    The gradient is that of the sum of the loss's elements. Nothing waits for the device but the guard, one batch late.

    Args:
        net: gives outputs (N, K, …) for X.
        batches: of X, nd (N, …), and labels, nd (N, …), whole numbers from 0 to K - 1 of any dtype. Rows are divided
            among the devices as evenly as they can be.
        loss: gives nd of any shape for the outputs and float32 labels.
        update: called with N after each batch, when the gradients are there: ``trainer.step``, for example.
        devices: at least one mx.Context, where the net is.
        guard: collects the batches' mean losses.

    Returns:
        EpochSums.

    Raises:
        ValueError: there are no batches, or a label is no class; the message gives its value.
        training.NonFiniteLoss: the loss is infinite or not a number.
    """
    loss_sizes, counts, num_labels = [], [], 0
    for X, y in batches:
        parts = divide(X, y, devices)
        with autograd.record():
            outputs = [net(part.X) for part in parts]
            losses = [loss(output, part.y) for output, part in zip(outputs, parts)]
            losses = [l if part.counts else l * 0 for l, part in zip(losses, parts)]
        check_classes(y, outputs[0])
        autograd.backward(losses)
        update(len(X))
        counting = [l for l, part in zip(losses, parts) if part.counts]
        loss_sizes.append(sum(l.size for l in counting))
        guard.add(_total([l.sum() for l in counting], devices[0]) / loss_sizes[-1])
        counts.append(_total(_hits(outputs, parts), devices[0]))
        num_labels += y.size
    if not num_labels:
        raise ValueError(f"batches must give at least one batch an epoch, got none in epoch {guard.epoch}")
    guard.mean()
    loss_sum = sum(mean * size for mean, size in zip(guard.losses, loss_sizes))
    return EpochSums(loss_sum, sum(loss_sizes), sum(int(count.asscalar()) for count in counts), num_labels)


def accuracy(batches: Iterable[tuple[Any, Any]], net: Callable[[Any], Any], devices: Sequence[Any]) -> float:
    """Return the share of labels that the net's largest output names.

    Args:
        batches, net, devices: as for ``train_epoch``.

    Returns:
        from 0 to 1.

    Raises:
        ValueError: there are no batches, or a label is no class.
    """
    correct, num_labels = 0.0, 0
    for hits, size in _one_late(_count(batches, net, devices)):
        correct += hits
        num_labels += size
    if not num_labels:
        raise ValueError("batches must give at least one batch, got none")
    return correct / num_labels


def evaluate(
    batches: Iterable[tuple[Any, Any]],
    net: Callable[[Any], Any],
    loss: Callable[[Any, Any], Any],
    devices: Sequence[Any],
) -> EpochSums:
    """Return a classifier's loss and hits on a data set, without training.

    Args:
        batches, net, loss, devices: as for ``train_epoch``.

    Returns:
        EpochSums.

    Raises:
        ValueError: there are no batches, or a label is no class.
    """
    total, size, correct, labels = 0.0, 0, 0, 0
    for X, y in batches:
        parts = [part for part in divide(X, y, devices) if part.counts]
        outputs = [net(part.X) for part in parts]
        check_classes(y, outputs[0])
        losses = [loss(output, part.y) for output, part in zip(outputs, parts)]
        total += float(_total([l.sum() for l in losses], devices[0]).asscalar())
        size += sum(l.size for l in losses)
        correct += int(_total(_hits(outputs, parts), devices[0]).asscalar())
        labels += y.size
    if not labels:
        raise ValueError("batches must give at least one batch, got none")
    return EpochSums(total, size, correct, labels)


def divide(X: Any, y: Any, devices: Sequence[Any]) -> list[Part]:
    """Divide a batch among devices, the first rows to the first device; labels become float32.

    A device for which no row is left gets the last one, which does not count: a ``gluon.Trainer`` adds up all devices'
    gradients and refuses those that are not new.

    Args:
        X, y: nd (N, …), N at least 1.
        devices: D of them.

    Returns:
        D parts.

    Raises:
        ValueError: X and y are not equally long, or hold nothing.
    """
    if len(X) != len(y) or not len(X):
        raise ValueError(f"a batch must have as many labels as rows, at least 1; got {len(X)} rows, {len(y)} labels")
    y = y.astype("float32")
    bounds = np.linspace(0, len(X), len(devices) + 1).round().astype(int) if len(X) >= len(devices) else None
    parts = []
    for i, device in enumerate(devices):
        start, stop = (int(bounds[i]), int(bounds[i + 1])) if bounds is not None else (i, i + 1)
        counts = stop <= len(X)
        rows = slice(start, stop) if counts else slice(len(X) - 1, len(X))
        parts.append(Part(X[rows].as_in_context(device), y[rows].as_in_context(device), counts))
    return parts


def check_classes(y: Any, output: Any) -> None:
    """Refuse labels that are none of the classes: MXNet's losses would take the nearest class for them.

    Args:
        y: nd (N, …).
        output: nd (N, K, …); where K is 1 there are no classes, and nothing is checked.

    Raises:
        ValueError: with the first wrong label and its place.
    """
    if output.ndim < 2:
        raise ValueError(f"a classifier's output must be (N, K, …), got shape {output.shape}")
    num_classes = output.shape[1]
    labels = y.asnumpy()
    with np.errstate(invalid="ignore"):
        wrong = ~((labels >= 0) & (labels < num_classes) & (labels == np.floor(labels)))
    if num_classes > 1 and wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = place[0] if len(place) == 1 else place
        raise ValueError(f"label {where} must be a class from 0 to {num_classes - 1}, got {labels[place]:g}")


def _count(batches: Iterable[Any], net: Callable[[Any], Any], devices: Sequence[Any]) -> Iterator[tuple[Any, int]]:
    for X, y in batches:
        parts = [part for part in divide(X, y, devices) if part.counts]
        outputs = [net(part.X) for part in parts]
        check_classes(y, outputs[0])
        yield _total(_hits(outputs, parts), devices[0]), y.size


def _hits(outputs: Sequence[Any], parts: Sequence[Part]) -> list[Any]:
    """Return how many labels each device's outputs name, one (1,) array each."""
    pairs = [(output.argmax(axis=1), part.y) for output, part in zip(outputs, parts) if part.counts]
    return [(best == y.astype(best.dtype)).sum() for best, y in pairs]


def _total(values: Sequence[Any], device: Any) -> Any:
    return nd.add_n(*[value.as_in_context(device) for value in values])


def _one_late(counts: Iterable[tuple[Any, int]]) -> Iterator[tuple[float, int]]:
    """Read each count when the next one has been queued."""
    pending = None
    for now in counts:
        if pending is not None:
            yield float(pending[0].asscalar()), pending[1]
        pending = now
    if pending is not None:
        yield float(pending[0].asscalar()), pending[1]
