"""A classifier's training with validation: its history, a learning rate that falls on a plateau, early stopping."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, NamedTuple, Optional

from gluonbook import _check
from gluonbook._mxnet import mx
from gluonbook.training.losses import LossGuard
from gluonbook.training.supervised import EpochSums, evaluate, train_epoch

Pairs = Iterable[tuple[Any, Any]]


class Plateau(NamedTuple):
    """When the learning rate falls: after ``patience`` epochs without a better validation accuracy, by ``factor``."""

    factor: float = 2.0
    patience: int = 3


def fit(
    net: Any,
    train_iter: Pairs,
    valid_iter: Pairs,
    loss: Callable[[Any, Any], Any],
    trainer: Any,
    num_epochs: int,
    *,
    devices: Optional[Sequence[Any]] = None,
    plateau: Optional[Plateau] = None,
    patience: Optional[int] = None,
    min_change: float = 0.0,
    track_updates: bool = False,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Train a classifier and measure it on a validation split after each epoch.

    Args:
        net: a Gluon block, initialised; outputs (N, K, …).
        train_iter, valid_iter: batches of X, nd (N, …), and labels, nd (N, …), given anew at each iteration: a list,
            ``data.Batches``, a DataLoader, but no generator.
        loss: gives nd of any shape for outputs and float32 labels.
        trainer: gluon.Trainer; steps with N after each batch.
        num_epochs: at least 1.
        devices: list of mx.Context; None is the CPU.
        plateau: divides the learning rate when validation stalls; None leaves it. Not beside a scheduler.
        patience: epochs without a better validation accuracy after which training stops; None never stops it.
        min_change: an accuracy counts as better when it is so by more than this, at least 0.
        track_updates: measure ‖Δw‖ / ‖w‖ of each parameter at each step, which costs time.
        progress: show a progress bar.

    Returns:
        a dict an epoch: ``epoch`` from 1, ``lr``, ``loss`` and ``accuracy`` on the training split while it was learnt,
        ``valid_loss`` and ``valid_accuracy`` after it, ``update_ratios`` (mean over the epoch, by parameter, of the
        steps at which it was not 0, nan where there were none; empty where they are not tracked), ``seconds``.

    Raises:
        ValueError: an argument is out of range, an epoch has no batches, or a label is no class.
        training.NonFiniteLoss: the loss is infinite or not a number.
    """
    from tqdm.auto import tqdm

    _check.integer("num_epochs", num_epochs, at_least=1)
    _check.number("min_change", min_change, at_least=0)
    if patience is not None:
        _check.integer("patience", patience, at_least=1)
    if plateau is not None:
        _check.number("plateau.factor", plateau.factor, above=1)
        _check.integer("plateau.patience", plateau.patience, at_least=1)
        without_scheduler("plateau", trainer)
    devices = devices or [mx.cpu()]
    history: list[dict[str, Any]] = []
    best, stalled = -math.inf, 0
    bar = tqdm(range(1, num_epochs + 1), desc="epochs", disable=None if progress else True, dynamic_ncols=True)
    for epoch in bar:
        start, lr = time.perf_counter(), trainer.learning_rate
        updates = _Updates(net, trainer, devices[0]) if track_updates else None
        guard = LossGuard(epoch, lr, history[-1]["loss"] if history else None)
        step = updates.step if updates else trainer.step
        sums = train_epoch(net, _some("train_iter", train_iter, epoch), loss, step, devices, guard)
        valid = evaluate(_some("valid_iter", valid_iter, epoch), net, loss, devices)
        history.append(_entry(epoch, lr, sums, valid, updates, time.perf_counter() - start))
        accuracy = history[-1]["valid_accuracy"]
        best, stalled = (accuracy, 0) if accuracy > best + min_change else (best, stalled + 1)
        if patience is not None and stalled >= patience:
            break
        if plateau is not None and stalled and stalled % plateau.patience == 0:
            trainer.set_learning_rate(lr / plateau.factor)
    return history


def without_scheduler(name: str, trainer: Any) -> None:
    """Refuse a trainer whose learning rate cannot be set.

    Args:
        name: of what would set it, for the message.
        trainer: gluon.Trainer.

    Raises:
        ValueError: it has a scheduler.
    """
    if trainer.optimizer.lr_scheduler is not None:
        raise ValueError(f"{name} sets the learning rate itself: give a trainer without lr_scheduler")


def _some(name: str, pairs: Pairs, epoch: int) -> Iterator[tuple[Any, Any]]:
    count = 0
    for count, pair in enumerate(pairs, 1):  # noqa: B007
        yield pair
    if not count:
        raise ValueError(
            f"{name} must give at least one batch an epoch, got none in epoch {epoch}; "
            "a generator is used up after one: give a list, data.Batches or a DataLoader"
        )


def _entry(
    epoch: int, lr: float, sums: EpochSums, valid: EpochSums, updates: Optional["_Updates"], seconds: float
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "lr": lr,
        "loss": sums.loss / sums.loss_size,
        "accuracy": sums.correct / sums.labels,
        "valid_loss": valid.loss / valid.loss_size,
        "valid_accuracy": valid.correct / valid.labels,
        "update_ratios": updates.ratios() if updates else {},
        "seconds": seconds,
    }


class _Updates:
    """Steps of a trainer, each with the norm of the change beside that of what it changed."""

    def __init__(self, net: Any, trainer: Any, device: Any) -> None:
        self.net, self.trainer, self.device = net, trainer, device
        self.found: dict[str, list[tuple[Any, Any]]] = {}

    def step(self, batch_size: int) -> None:
        params = {name: p.data(self.device) for name, p in self._learnt().items()}
        before = {name: array.copy() for name, array in params.items()}
        self.trainer.step(batch_size)
        for name, array in params.items():
            norms = ((array - before[name]).norm(), before[name].norm())
            self.found.setdefault(name, []).append(norms)

    def ratios(self) -> dict[str, float]:
        return {name: _mean_ratio(found) for name, found in self.found.items()}

    def _learnt(self) -> dict[str, Any]:
        by_name = self.net._collect_params_with_prefix()
        return {name: param for name, param in by_name.items() if param.grad_req != "null"}


def _mean_ratio(found: Iterable[tuple[Any, Any]]) -> float:
    """Return the mean of change / norm; biases begin at 0, where there is no ratio."""
    pairs = ((float(change.asscalar()), float(norm.asscalar())) for change, norm in found)
    ratios = [change / norm for change, norm in pairs if norm != 0]
    return sum(ratios) / len(ratios) if ratios else math.nan
