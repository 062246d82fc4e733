"""The book's comparisons of optimisers: a walk over a surface, and a linear regression."""

import time
from collections.abc import Mapping
from typing import Any, Callable

import numpy as np

from gluonbook import _check, training
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.book import basics, figures

NUM_UPDATES = 20
RECORD_EVERY = 100  # examples
Update = Callable[[float, float, float, float], tuple[float, float, float, float]]


def train_2d(trainer: Update) -> list[tuple[float, float]]:
    """Update a point 20 times, from (-5, -2), and print where it ends.

    Args:
        trainer: gives (x1, x2, s1, s2) for (x1, x2, s1, s2); the states begin with 0.

    Returns:
        21 points (x1, x2), the first one included.

    >>> points = train_2d(lambda x1, x2, s1, s2: (x1 / 2, x2 / 2, s1, s2))
    epoch 20, x1 -0.000005, x2 -0.000002
    """
    x1, x2, s1, s2 = -5.0, -2.0, 0.0, 0.0
    points: list[tuple[float, float]] = [(x1, x2)]
    for _ in range(NUM_UPDATES):
        x1, x2, s1, s2 = trainer(x1, x2, s1, s2)
        points.append((x1, x2))
    print(f"epoch {NUM_UPDATES}, x1 {x1:f}, x2 {x2:f}")
    return points


def train_ch7(
    trainer_fn: Callable[[list[Any], Any, Any], None],
    states: Any,
    hyperparams: Any,
    features: Any,
    labels: Any,
    batch_size: int = 10,
    num_epochs: int = 2,
) -> None:
    """Train a linear regression with an optimiser of your own; print the last loss and draw the losses.

    Args:
        trainer_fn: called with [w, b], states and hyperparams after each batch: w (d, 1) and b (1,) have the gradients
            of the batch's mean loss attached.
        states: whatever the optimiser needs, its own.
        hyperparams: likewise.
        features: nd (n, d) float32.
        labels: nd (n,) float32.
        batch_size: N, at least 1.
        num_epochs: at least 1.

    Raises:
        ValueError: an argument is out of range.
        training.NonFiniteLoss: the loss of all examples is infinite or not a number.

    >>> train_ch7(sgd, None, {"lr": 0.05}, features, labels)  # doctest: +SKIP
    loss: 0.243605, 0.418205 sec per epoch
    """
    w = nd.random.normal(scale=0.01, shape=(features.shape[1], 1))
    b = nd.zeros(1)
    w.attach_grad()
    b.attach_grad()

    def loss_of(X: Any, y: Any) -> Any:
        return basics.squared_loss(basics.linreg(X, w, b), y).mean()

    def step(X: Any, y: Any) -> None:
        with autograd.record():
            l = loss_of(X, y)
        l.backward()
        trainer_fn([w, b], states, hyperparams)

    lr = hyperparams.get("lr") if isinstance(hyperparams, Mapping) else None
    _train(loss_of, step, features, labels, batch_size, num_epochs, lr)


def train_gluon_ch7(
    trainer_name: str,
    trainer_hyperparams: dict[str, Any],
    features: Any,
    labels: Any,
    batch_size: int = 10,
    num_epochs: int = 2,
) -> None:
    """Train a linear regression with an optimiser of Gluon's; print the last loss and draw the losses.

    Args:
        trainer_name: an optimiser's name: ``"sgd"``, ``"adam"``, …
        trainer_hyperparams: its settings: ``{"learning_rate": 0.05}``.
        features, labels, batch_size, num_epochs: as for ``train_ch7``.

    Raises:
        ValueError: an argument is out of range.
        training.NonFiniteLoss: the loss of all examples is infinite or not a number.

    >>> train_gluon_ch7("sgd", {"learning_rate": 0.05}, features, labels)  # doctest: +SKIP
    loss: 0.243605, 0.418205 sec per epoch
    """
    net = gluon.nn.Sequential()
    net.add(gluon.nn.Dense(1))
    net.initialize(mx.init.Normal(sigma=0.01))
    trainer = gluon.Trainer(net.collect_params(), trainer_name, trainer_hyperparams)
    loss = gluon.loss.L2Loss()

    def step(X: Any, y: Any) -> None:
        with autograd.record():
            l = loss(net(X), y)
        l.backward()
        trainer.step(len(X))

    def loss_of(X: Any, y: Any) -> Any:
        return loss(net(X), y).mean()

    _train(loss_of, step, features, labels, batch_size, num_epochs, trainer.learning_rate)


def _train(
    loss_of: Callable[[Any, Any], Any],
    step: Callable[[Any, Any], None],
    features: Any,
    labels: Any,
    batch_size: int,
    num_epochs: int,
    lr: Any,
) -> None:
    """Descend in shuffled batches (NumPy's generator, as Gluon's loader); note the loss of all every 100 examples."""
    _check.integer("batch_size", batch_size, at_least=1)
    _check.integer("num_epochs", num_epochs, at_least=1)
    if len(features) != len(labels) or not len(labels):
        raise ValueError(f"features and labels must be equally long, got {len(features)} and {len(labels)}")
    losses = [float(loss_of(features, labels).asscalar())]
    for epoch in range(1, num_epochs + 1):
        start = time.time()
        guard = training.LossGuard(epoch, lr, losses[-1])
        order = np.arange(len(labels))
        np.random.shuffle(order)
        for i in range(0, len(order), batch_size):
            rows = nd.array(order[i : i + batch_size], dtype="int32")
            step(features.take(rows), labels.take(rows))
            if (i + batch_size) % RECORD_EVERY == 0:
                guard.add(loss_of(features, labels))
        guard.mean()
        losses += guard.losses
        seconds = time.time() - start
    print(f"loss: {losses[-1]:f}, {seconds:f} sec per epoch")
    figures.plot_losses(losses, num_epochs)
