"""Layers in a row, and their training by gradient descent."""

from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple

import numpy as np

from gluonbook import _check, training
from gluonbook.scratch.layers import Layer
from gluonbook.scratch.losses import softmax_cross_entropy
from gluonbook.scratch.optim import Rule, State, sgd, update

Loss = Callable[[np.ndarray, Any], tuple[float, np.ndarray]]


class Network:
    """Layers, each of which takes the output of the one before.

    Args:
        layers: at least one.

    >>> from gluonbook.scratch import Dense, ReLU
    >>> network = Network([Dense(np.eye(2), np.zeros(2)), ReLU()])
    >>> network.forward(np.array([[1.0, -1.0]])).tolist()
    [[1.0, 0.0]]
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        if not layers:
            raise ValueError("a network needs at least one layer, got none")
        self.layers = list(layers)

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        """Return the last layer's output."""
        for layer in self.layers:
            X = layer.forward(X, train)
        return X

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Fill every layer's ``grads``; return the gradient with respect to the input."""
        for layer in reversed(self.layers):
            dY = layer.backward(dY)
        return dY

    def accuracy(self, X: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of labels that the largest output names."""
        return float((self.forward(X).argmax(axis=1) == labels).mean())


class Epoch(NamedTuple):
    """What an epoch of training adds up to."""

    number: int  # from 1
    loss: float  # mean of the batches' losses, without the penalties


def train(
    network: Network,
    X: np.ndarray,
    labels: Any,
    num_epochs: int,
    lr: float,
    batch_size: int = 32,
    weight_decay: float = 0.0,
    seed: int = 0,
    *,
    loss: Loss = softmax_cross_entropy,
    rule: Rule = sgd,
    l1: float = 0.0,
) -> Iterator[Epoch]:
    """Train a network by mini-batches.

    Args:
        network: outputs logits (N, K), or what the loss takes.
        X: (n, …).
        labels: (n, …), what the loss takes; (n,) int, from 0 to K - 1, for cross-entropy.
        num_epochs: at least 1.
        lr: learning rate, above 0.
        batch_size: N, at least 1; the last batch may be smaller.
        weight_decay: λ of the penalty λ/2·Σw² on the weights named W, at least 0.
        seed: of the batches' order.
        loss: gives a batch's mean loss and its gradient with respect to the outputs.
        rule: of ``scratch.optim``; its settings by ``functools.partial``.
        l1: λ of the penalty λ·Σ|w|, likewise.

    Yields:
        Epoch, as it ends.

    Raises:
        ValueError: an argument is out of range.
        training.NonFiniteLoss: the loss is infinite or not a number.
    """
    _check.integer("num_epochs", num_epochs, at_least=1)
    _check.integer("batch_size", batch_size, at_least=1)
    _check.number("lr", lr, above=0)
    _check.number("weight_decay", weight_decay, at_least=0)
    _check.number("l1", l1, at_least=0)
    labels = np.asarray(labels)
    states: dict[tuple[int, str], State] = {}
    if len(X) != len(labels) or not len(X):
        raise ValueError(f"X and labels must be equally many, at least 1; got {len(X)} and {len(labels)}")
    rng = np.random.default_rng(seed)
    for number in range(1, num_epochs + 1):
        guard = training.LossGuard(number, lr)
        order = rng.permutation(len(X))
        for rows in np.split(order, range(batch_size, len(order), batch_size)):
            value, gradient = loss(network.forward(X[rows], train=True), labels[rows])
            guard.add(np.float64(value))
            network.backward(gradient)
            update(network.layers, states, lr, rule, weight_decay, l1)
        yield Epoch(number, guard.mean())
