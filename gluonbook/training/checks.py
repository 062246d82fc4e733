"""What to try before a long training: the first loss, a tiny subset, a range of learning rates."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from gluonbook import _check
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.training.fitting import without_scheduler
from gluonbook.training.losses import LossGuard
from gluonbook.training.supervised import check_classes, divide, evaluate, train_epoch

DIVERGED = 4.0  # times the smallest loss: the range test stops there
SMOOTHING = 0.7  # of the losses, before their slope is looked at


class InitialLoss(NamedTuple):
    """The loss before the first step, beside that of a network that knows nothing."""

    loss: float
    expected: float  # log K
    passed: bool


def initial_loss(
    net: Callable[[Any], Any],
    batches: Iterable[tuple[Any, Any]],
    loss: Callable[[Any, Any], Any],
    num_classes: int,
    tolerance: float = 0.1,
    devices: Optional[Sequence[Any]] = None,
) -> InitialLoss:
    """Compare the cross-entropy of an untrained classifier with log K.

    One that is far above is too sure of wrong answers: the weights begin too large, or the inputs are not scaled.

    Args:
        net: gives logits (N, K).
        batches: of X and labels.
        loss: cross-entropy, an element an example.
        num_classes: K, at least 2.
        tolerance: share of log K that the loss may be away from it, above 0.
        devices: list of mx.Context; None is the CPU.

    Returns:
        InitialLoss.
    """
    _check.integer("num_classes", num_classes, at_least=2)
    _check.number("tolerance", tolerance, above=0)
    sums = evaluate(batches, net, loss, devices or [mx.cpu()])
    measured, expected = sums.loss / sums.loss_size, math.log(num_classes)
    return InitialLoss(measured, expected, abs(measured - expected) <= tolerance * expected)


class TinyFit(NamedTuple):
    """How a tiny subset was learnt by heart."""

    passed: bool
    epochs: int  # that it took, or that were tried
    losses: list[float]  # an epoch
    accuracies: list[float]


def overfit_tiny(
    net: Callable[[Any], Any],
    batch: tuple[Any, Any],
    loss: Callable[[Any, Any], Any],
    trainer: Any,
    num_epochs: int = 200,
    devices: Optional[Sequence[Any]] = None,
) -> TinyFit:
    """Train on a few examples until all are right: a network that cannot do that has a mistake in it.

    Args:
        net: gives outputs (N, K); without regularisation.
        batch: X and labels of a few examples, in one batch.
        loss, devices: as for ``initial_loss``.
        trainer: gluon.Trainer, without weight decay.
        num_epochs: at most so many, at least 1.

    Returns:
        TinyFit.

    Raises:
        training.NonFiniteLoss: the loss is infinite or not a number.
    """
    losses: list[float] = []
    accuracies: list[float] = []
    for epoch in range(1, _check.integer("num_epochs", num_epochs, at_least=1) + 1):
        guard = LossGuard(epoch, trainer.learning_rate, losses[-1] if losses else None)
        sums = train_epoch(net, [batch], loss, trainer.step, devices or [mx.cpu()], guard)
        losses.append(sums.loss / sums.loss_size)
        accuracies.append(sums.correct / sums.labels)
        if accuracies[-1] == 1:
            break
    return TinyFit(accuracies[-1] == 1, len(losses), losses, accuracies)


class RateRange(NamedTuple):
    """Losses over rising learning rates."""

    lrs: list[float]
    losses: list[float]
    suggested: float  # where the smoothed loss falls most steeply over log lr


def lr_range_test(
    net: Any,
    batches: Iterable[tuple[Any, Any]],
    loss: Callable[[Any, Any], Any],
    trainer: Any,
    low: float = 1e-4,
    high: float = 10.0,
    num_steps: int = 100,
    device: Any = None,
) -> RateRange:
    """Let the learning rate rise with every batch and note the losses (Smith 2017, section 3.3).

    The test ends when the loss is above four times its smallest, or not finite. The net's weights and the trainer's
    learning rate are afterwards what they were; the optimiser's own state is not.

    Args:
        net: a Gluon block, initialised, on one device.
        batches: of X and labels, gone round as often as needed.
        loss: as for ``initial_loss``.
        trainer: gluon.Trainer, without a scheduler.
        low, high: first and last learning rate, above 0.
        num_steps: from low to high, at least 2.
        device: mx.Context; None is the CPU.

    Returns:
        RateRange.

    Raises:
        ValueError: an argument is out of range, there are no batches, or a label is no class.
    """
    _check.number("low", low, above=0)
    _check.number("high", high, above=low)
    _check.integer("num_steps", num_steps, at_least=2)
    without_scheduler("lr_range_test", trainer)
    device = device or mx.cpu()
    pairs = _round_and_round(batches)
    first = next(pairs)
    kept, rate = _weights(net, first[0], device), trainer.learning_rate
    lrs: list[float] = []
    losses: list[float] = []
    try:
        for lr, (X, y) in zip(np.geomspace(low, high, num_steps).tolist(), itertools.chain([first], pairs)):
            (part,) = divide(X, y, [device])
            trainer.set_learning_rate(lr)
            with autograd.record():
                output = net(part.X)
                l = loss(output, part.y)
            check_classes(y, output)
            l.backward()
            trainer.step(len(X))
            value = float(nd.mean(l).asscalar())
            if not math.isfinite(value) or (losses and value > DIVERGED * min(losses)):
                break
            lrs.append(lr)
            losses.append(value)
    finally:
        trainer.set_learning_rate(rate)
        for name, param in net.collect_params().items():
            param.set_data(kept[name])
    return RateRange(lrs, losses, _steepest(lrs, losses))


def _weights(net: Any, X: Any, device: Any) -> dict[str, Any]:
    """Return copies of a net's parameters, of which none is without its shape afterwards."""
    params = net.collect_params()
    try:
        return {name: param.data(device).copy() for name, param in params.items()}
    except gluon.parameter.DeferredInitializationError:
        net(X.as_in_context(device))
        return {name: param.data(device).copy() for name, param in params.items()}


def _round_and_round(batches: Iterable[tuple[Any, Any]]) -> Any:
    while True:
        count = 0
        for pair in batches:
            count += 1
            yield pair
        if not count:
            raise ValueError("batches must give at least one batch, got none")


def _steepest(lrs: Sequence[float], losses: Sequence[float]) -> float:
    if len(lrs) < 3:
        return lrs[0] if lrs else math.nan
    smooth = [losses[0]]
    for value in losses[1:]:
        smooth.append(SMOOTHING * smooth[-1] + (1 - SMOOTHING) * value)
    slopes = np.gradient(smooth, np.log(lrs))[: max(int(np.argmin(smooth)), 1)]  # behind its minimum the loss explodes
    return float(lrs[int(slopes.argmin())])
