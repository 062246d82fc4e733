"""Batch normalisation (Ioffe & Szegedy 2015): every feature gets mean 0 and variance 1 over the batch."""

from typing import Any

import numpy as np

from gluonbook import _check
from gluonbook.scratch.layers import Layer


class BatchNorm(Layer):
    """Normalise each feature or channel, then scale and shift it by what is learnt (algorithm 1).

    Args:
        gamma: (C,), the scale.
        beta: (C,), the shift.
        momentum: how much of the running statistics stays at each batch, from 0 to 1.
        epsilon: added to the variance, above 0.

    Attributes:
        running_mean, running_var: (C,), what ``forward`` uses out of training; 0 and 1 at first. The variance is the
            batch's own, divided by its size, as in Gluon.

    Inputs and outputs are (N, C) or (N, C, H, W): over N, or over N, H and W, the statistics are taken.

    Raises:
        ValueError: shapes do not fit.

    >>> layer = BatchNorm(np.ones(1), np.zeros(1))
    >>> layer.forward(np.array([[1.0], [3.0]]), train=True).round(3).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(self, gamma: Any, beta: Any, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        gamma = _check.as_floats("gamma", gamma, None)
        super().__init__(gamma=gamma, beta=_check.as_floats("beta", beta, len(gamma)))
        self.momentum = _check.number("momentum", momentum, at_least=0, at_most=1)
        self.epsilon = _check.number("epsilon", epsilon, above=0)
        self.running_mean, self.running_var = np.zeros_like(gamma), np.ones_like(gamma)

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        gamma, beta = self.params["gamma"], self.params["beta"]
        if X.ndim not in (2, 4) or X.shape[1] != len(gamma):
            raise ValueError(f"X must be (N, {len(gamma)}) or (N, {len(gamma)}, H, W), got shape {X.shape}")
        self._axes = (0,) if X.ndim == 2 else (0, 2, 3)
        mean, var = self.running_mean, self.running_var
        if train:
            mean, var = X.mean(axis=self._axes), X.var(axis=self._axes)
            keep = self.momentum
            self.running_mean = keep * self.running_mean + (1 - keep) * mean
            self.running_var = keep * self.running_var + (1 - keep) * var
        self._train, self._deviation = train, np.sqrt(var + self.epsilon)
        self._normal = (X - self._wide(mean, X)) / self._wide(self._deviation, X)
        return np.asarray(self._wide(gamma, X) * self._normal + self._wide(beta, X))

    def backward(self, dY: np.ndarray) -> np.ndarray:
        self.grads = {"gamma": (dY * self._normal).sum(axis=self._axes), "beta": dY.sum(axis=self._axes)}
        dX = dY * self._wide(self.params["gamma"], dY)
        if self._train:  # mean and variance depend on every value of the batch
            across = dX - dX.mean(axis=self._axes, keepdims=True)
            dX = across - self._normal * (dX * self._normal).mean(axis=self._axes, keepdims=True)
        return np.asarray(dX / self._wide(self._deviation, dY))

    def _wide(self, values: np.ndarray, X: np.ndarray) -> np.ndarray:
        return values.reshape(1, -1, *[1] * (X.ndim - 2))
