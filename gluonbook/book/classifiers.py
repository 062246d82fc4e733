"""The book's trainings of classifiers: each prints a line an epoch, in the format of 2018."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Optional

import numpy as np

from gluonbook import _check, devices, training
from gluonbook._mxnet import gluon, mx, nd


def evaluate_accuracy(data_iter: Iterable[Any], net: Callable[[Any], Any], ctx: Any = [mx.cpu()]) -> Any:  # noqa: B006, B008
    """Return the share of labels that the net's largest output names.

    Args:
        data_iter: batches of X, nd (N, …), and labels, nd (N, …), from 0 to K - 1.
        net: gives outputs (N, K, …): also a class at every pixel.
        ctx: mx.Context or a list of them, among which each batch is divided; the net is on all.

    Returns:
        numpy.float64 from 0 to 1.

    Raises:
        ValueError: there are no batches, or a label is no class.

    >>> batches = [(nd.array([[1, 0], [0, 1], [3, 2]]), nd.array([0, 1, 1]))]
    >>> round(float(evaluate_accuracy(batches, lambda X: X)), 3)
    0.667
    """
    return np.float64(training.accuracy(data_iter, net, devices.device_list(ctx)))


def train(
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    net: Callable[[Any], Any],
    loss: Callable[[Any, Any], Any],
    trainer: Any,
    ctx: Any,
    num_epochs: int,
) -> None:
    """Train a classifier on one device or several, and print its loss and accuracies after each epoch.

    Args:
        train_iter, test_iter: batches of X, nd (N, …), and labels, nd (N, …), from 0 to K - 1.
        net: gives outputs (N, K, …); on all devices.
        loss: gives nd of any shape for outputs and float32 labels; the printed loss is the mean of its elements.
        trainer: gluon.Trainer; steps with N after each batch.
        ctx: mx.Context or a list of them.
        num_epochs: at least 1.

    Raises:
        ValueError: an epoch has no batches, or a label is no class.
        training.NonFiniteLoss: the loss is infinite or not a number.

    >>> train(train_iter, test_iter, net, gb.gloss.SoftmaxCrossEntropyLoss(), trainer, mx.cpu(), 1)  # doctest: +SKIP
    training on cpu(0)
    epoch 1, loss 0.5173, train acc 0.812, test acc 0.871, time 54.6 sec
    """
    print("training on", ctx)
    sums = None
    for epoch in range(1, _check.integer("num_epochs", num_epochs, at_least=1) + 1):
        start = time.time()
        sums = _train_epoch(net, train_iter, loss, trainer.step, ctx, epoch, trainer.learning_rate, sums)
        test_acc = evaluate_accuracy(test_iter, net, ctx)
        print(f"{_line(epoch, sums.loss / sums.loss_size, sums, test_acc)}, time {time.time() - start:.1f} sec")


def train_ch3(
    net: Callable[[Any], Any],
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    loss: Callable[[Any, Any], Any],
    num_epochs: int,
    batch_size: int,
    params: Optional[Sequence[Any]] = None,
    lr: Optional[float] = None,
    trainer: Any = None,
) -> None:
    """Train a classifier on the CPU, from scratch or with Gluon, and print its loss and accuracies after each epoch.

    Args:
        net: gives outputs (N, K).
        train_iter, test_iter: batches of X, nd (N, …), and labels, nd (N,), from 0 to K - 1.
        loss: gives the loss of each example for outputs and float32 labels; the printed one is their mean.
        num_epochs: at least 1.
        batch_size: by which the gradients of the summed loss are divided.
        params: nd arrays with gradients attached, which ``sgd`` changes; needed where there is no trainer.
        lr: learning rate of ``sgd``; needed where there is no trainer.
        trainer: gluon.Trainer; None takes ``sgd``.

    Raises:
        ValueError: neither a trainer nor params and lr are given, an epoch has no batches, or a label is no class.
        training.NonFiniteLoss: the loss is infinite or not a number.

    >>> train_ch3(net, train_iter, test_iter, cross_entropy, 1, 256, [W, b], 0.1)  # doctest: +SKIP
    epoch 1, loss 0.7885, train acc 0.746, test acc 0.801
    """
    if trainer is None and (params is None or lr is None):
        raise ValueError(f"params and lr must be given where trainer is None, got params={params!r:.40}, lr={lr!r}")

    def update(_: int) -> None:
        if trainer is not None:
            trainer.step(batch_size)
        elif params is not None and lr is not None:
            training.sgd(params, lr, batch_size)

    sums = None
    for epoch in range(1, _check.integer("num_epochs", num_epochs, at_least=1) + 1):
        rate = lr if trainer is None else trainer.learning_rate
        sums = _train_epoch(net, train_iter, loss, update, mx.cpu(), epoch, rate, sums)
        print(_line(epoch, sums.loss / sums.labels, sums, evaluate_accuracy(test_iter, net)))


def train_ch5(
    net: Callable[[Any], Any],
    train_iter: Iterable[Any],
    test_iter: Iterable[Any],
    batch_size: int,
    trainer: Any,
    ctx: Any,
    num_epochs: int,
) -> None:
    """Train a classifier with cross-entropy on one device, and print its loss and accuracies after each epoch.

    Args:
        net: gives logits (N, K).
        train_iter, test_iter: batches of X, nd (N, …), and labels, nd (N,), from 0 to K - 1.
        batch_size: by which the gradients of the summed loss are divided.
        trainer: gluon.Trainer.
        ctx: mx.Context, where the net is.
        num_epochs: at least 1.

    Raises:
        ValueError: an epoch has no batches, or a label is no class.
        training.NonFiniteLoss: the loss is infinite or not a number.

    >>> train_ch5(net, train_iter, test_iter, 256, trainer, mx.cpu(), 1)  # doctest: +SKIP
    training on cpu(0)
    epoch 1, loss 2.3203, train acc 0.104, test acc 0.102, time 3.9 sec
    """
    print("training on", ctx)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    sums = None
    for epoch in range(1, _check.integer("num_epochs", num_epochs, at_least=1) + 1):
        start = time.time()
        rate = trainer.learning_rate
        sums = _train_epoch(net, train_iter, loss, lambda _: trainer.step(batch_size), ctx, epoch, rate, sums)
        test_acc = evaluate_accuracy(test_iter, net, ctx)
        print(f"{_line(epoch, sums.loss / sums.labels, sums, test_acc)}, time {time.time() - start:.1f} sec")


def predict_sentiment(net: Callable[[Any], Any], vocab: Any, sentence: Sequence[str]) -> str:
    """Say whether a sentence is positive.

    Args:
        net: gives outputs (1, 2) for (1, T) indices on the device that ``try_gpu`` returns; the second is positive.
        vocab: with ``to_indices``.
        sentence: T tokens, at least 1.

    Returns:
        ``"positive"`` or ``"negative"``.

    Raises:
        TypeError: the sentence is one string, whose letters would be the tokens.
        ValueError: it is empty.

    >>> predict_sentiment(net, vocab, ["this", "movie", "is", "so", "great"])  # doctest: +SKIP
    'positive'
    """
    if isinstance(sentence, str):
        raise TypeError(f"sentence must be a list of tokens, got {sentence!r:.80}")
    _check.integer("length of sentence", len(sentence), at_least=1)
    tokens = nd.array(vocab.to_indices(sentence), ctx=devices.try_gpu()).reshape((1, -1))  # (1, T)
    return "positive" if net(tokens).argmax(axis=1).asscalar() == 1 else "negative"


def _train_epoch(
    net: Any,
    batches: Iterable[Any],
    loss: Any,
    update: Callable[[int], None],
    ctx: Any,
    epoch: int,
    lr: Any,
    before: Optional[training.EpochSums],
) -> training.EpochSums:
    guard = training.LossGuard(epoch, lr, before and before.loss / before.loss_size)
    return training.train_epoch(net, batches, loss, update, devices.device_list(ctx), guard)


def _line(epoch: int, loss: float, sums: training.EpochSums, test_acc: float) -> str:
    return f"epoch {epoch}, loss {loss:.4f}, train acc {sums.correct / sums.labels:.3f}, test acc {test_acc:.3f}"
