"""Layers with a way forward and a way back: dense, activations, dropout; the others build on ``Layer``.

Letters: ``N`` batch, ``D`` inputs, ``K`` outputs. Everything is float64 unless the inputs are not.
"""

import math
from typing import Any

import numpy as np

from gluonbook import _check


class Layer:
    """What every layer has.

    ``forward`` keeps what ``backward`` needs; ``backward`` takes the loss's gradient with respect to the layer's
    output, fills ``grads``, and returns that with respect to its input.

    Attributes:
        params: arrays by name; changed in place by an optimiser.
        grads: of each, after ``backward``, of the same shapes.
    """

    def __init__(self, **params: np.ndarray) -> None:
        self.params = params
        self.grads: dict[str, np.ndarray] = {}

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        """Return the layer's output; ``train`` tells the layers that behave otherwise in training."""
        raise NotImplementedError

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to the input of the last ``forward``."""
        raise NotImplementedError


class Dense(Layer):
    """Y = XW + b.

    Args:
        W: (D, K).
        b: (K,).

    Inputs (N, …) are flattened to (N, D); outputs are (N, K). dX = dY·Wᵀ, dW = Xᵀ·dY, db = Σ dY.

    Raises:
        ValueError: shapes do not fit.

    >>> layer = Dense(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 0.0]))
    >>> layer.forward(np.array([[1.0, 1.0]])).tolist()
    [[4.5, 6.0]]
    """

    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W=_check.as_floats("W", W, None, None), b=_check.as_floats("b", b, np.shape(W)[-1]))

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        W = self.params["W"]
        if math.prod(X.shape[1:]) != len(W):
            raise ValueError(f"X must have {len(W)} values an example, got shape {X.shape}")
        self._X = X
        return np.asarray(X.reshape(len(X), len(W)) @ W + self.params["b"])  # (N, K)

    def backward(self, dY: np.ndarray) -> np.ndarray:
        X = self._X.reshape(len(self._X), len(self.params["W"]))  # (N, D)
        self.grads = {"W": X.T @ dY, "b": dY.sum(axis=0)}
        return np.asarray((dY @ self.params["W"].T).reshape(self._X.shape))


class ReLU(Layer):
    """max(0, x), element by element; at 0 the gradient is 0.

    >>> ReLU().forward(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        self._positive = X > 0
        return np.maximum(X, 0)

    def backward(self, dY: np.ndarray) -> np.ndarray:
        return dY * self._positive


class Sigmoid(Layer):
    """σ(x) = 1 / (1 + e⁻ˣ), element by element; its gradient is σ (1 − σ), at most 0.25.

    >>> Sigmoid().forward(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        self._Y = 0.5 * np.tanh(0.5 * X) + 0.5  # e⁻ˣ would overflow
        return self._Y

    def backward(self, dY: np.ndarray) -> np.ndarray:
        return dY * self._Y * (1 - self._Y)


class Tanh(Layer):
    """tanh x, element by element; its gradient is 1 − tanh² x.

    >>> Tanh().forward(np.array([0.0, 1000.0])).tolist()
    [0.0, 1.0]
    """

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        self._Y = np.tanh(X)
        return self._Y

    def backward(self, dY: np.ndarray) -> np.ndarray:
        return dY * (1 - self._Y**2)


class Dropout(Layer):
    """In training each value is set to 0 with a probability, and the others grow so that the mean stays.

    Out of training nothing happens (Srivastava et al. 2014, section 10, with the scaling moved into training).

    Args:
        rate: probability of 0, from 0 to below 1.
        rng: where the random numbers come from.

    >>> Dropout(0.5, np.random.default_rng(0)).forward(np.ones(4), train=True).tolist()
    [2.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.rate, self.rng = _check.number("rate", rate, at_least=0, below=1), rng

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        self._mask = np.ones_like(X)
        if train:
            kept = self.rng.random(X.shape) >= self.rate
            self._mask = kept.astype(np.result_type(X, np.float32)) / (1 - self.rate)
        return X * self._mask

    def backward(self, dY: np.ndarray) -> np.ndarray:
        return dY * self._mask
