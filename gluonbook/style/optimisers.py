"""Optimisers of one picture.

Each has its whole state as arrays and numbers, so that a stopped run goes on to the same picture; SciPy's L-BFGS cannot
be stopped and taken up again. A step replaces its arrays and changes none, so a state that was taken stays as it was.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]  # x -> value, gradient of x's shape

MEMORY = 10  # pairs that L-BFGS remembers
FIRST_CHANGE = 0.1  # of the pixel that changes most, in L-BFGS's first step
SUFFICIENT = 1e-4  # share of the decrease that the slope promises (Nocedal & Wright 2006, eq. 3.4)
LEAST_CURVATURE = 1e-8  # of a pair, as the cosine between step and change of the gradient
ROUNDING = 1e-6  # relative error of a value that was summed in float32
MAX_TRIES = 12  # of a line search
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # of Adam


class LBFGS:
    """Limited-memory BFGS with a backtracking line search (Nocedal & Wright 2006, algorithms 7.4 and 3.1).

    Args:
        x: float32 of any shape, where to start.

    Attributes:
        x: the current point; ``value`` and ``gradient`` are those there, once ``step`` has been called.
    """

    def __init__(self, x: np.ndarray) -> None:
        self.x = np.array(x, np.float32)
        self.value, self.gradient = np.nan, np.zeros(0, np.float32)
        self.steps: list[np.ndarray] = []
        self.changes: list[np.ndarray] = []

    def step(self, evaluate: Evaluate) -> bool:
        """Go to a point with a lower value; return False, without going, where none is found: x is a minimum."""
        if not self.gradient.size:
            self.value, self.gradient = evaluate(self.x)
        while True:
            direction = -self._inverse_hessian_times(self.gradient)
            slope = _dot(direction, self.gradient)
            if slope < 0 and self._search(evaluate, direction, slope):
                return True
            if not self.steps:
                return False
            self.steps, self.changes = [], []  # the curvature that was remembered is of elsewhere

    def _search(self, evaluate: Evaluate, direction: np.ndarray, slope: float) -> bool:
        size = 1.0 if self.steps else FIRST_CHANGE / float(np.abs(direction).max())
        for _ in range(MAX_TRIES):
            x = self.x + np.float32(size) * direction
            value, gradient = evaluate(x)
            if value <= self.value + SUFFICIENT * size * slope + ROUNDING * abs(self.value):
                self._remember(x - self.x, gradient - self.gradient)
                self.x, self.value, self.gradient = x, value, gradient
                return True
            # The parabola through both values and the slope; a value that is not finite only says: nearer.
            bend = value - self.value - size * slope
            nearer = -slope * size / (2 * bend) if np.isfinite(bend) and bend > 0 else 0.1
            size *= min(max(nearer, 0.1), 0.5)
        return False

    def _remember(self, step: np.ndarray, change: np.ndarray) -> None:
        curvature = _dot(step, change)
        if curvature > LEAST_CURVATURE * np.sqrt(_dot(step, step) * _dot(change, change)):
            self.steps, self.changes = [*self.steps[1 - MEMORY :], step], [*self.changes[1 - MEMORY :], change]

    def _inverse_hessian_times(self, vector: np.ndarray) -> np.ndarray:
        """Multiply by the inverse Hessian that the remembered pairs stand for: the two loops of algorithm 7.4."""
        q, shares = vector.copy(), []
        for step, change in zip(self.steps[::-1], self.changes[::-1]):
            share = _dot(step, q) / _dot(step, change)
            q -= np.float32(share) * change
            shares.append(share)
        if self.steps:
            q *= np.float32(_dot(self.steps[-1], self.changes[-1]) / _dot(self.changes[-1], self.changes[-1]))
        for step, change, share in zip(self.steps, self.changes, shares[::-1]):
            q += np.float32(share - _dot(change, q) / _dot(step, change)) * step
        return q

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what ``restore`` takes: arrays by name, and numbers."""
        arrays = {"x": self.x, "gradient": self.gradient}
        for i, (step, change) in enumerate(zip(self.steps, self.changes)):
            arrays.update({f"step:{i}": step, f"change:{i}": change})
        return arrays, {"value": float(self.value), "pairs": len(self.steps)}

    def restore(self, arrays: dict[str, np.ndarray], numbers: dict[str, Any]) -> None:
        """Take up a state again."""
        self.x, self.gradient, self.value = arrays["x"], arrays["gradient"], numbers["value"]
        self.steps = [arrays[f"step:{i}"] for i in range(numbers["pairs"])]
        self.changes = [arrays[f"change:{i}"] for i in range(numbers["pairs"])]


class Adam:
    """Adam by the book's schedule: the rate falls to a tenth every so many steps (Kingma & Ba 2015, algorithm 1).

    Args:
        x: float32 of any shape, where to start.
        lr: the first learning rate.
        drop_every: steps after which it falls to a tenth.

    Attributes:
        x: the current point.
    """

    def __init__(self, x: np.ndarray, lr: float = 0.01, drop_every: int = 200) -> None:
        self.x = np.array(x, np.float32)
        self.lr, self.drop_every = lr, drop_every
        self.mean, self.square, self.count = np.zeros_like(self.x), np.zeros_like(self.x), 0

    def step(self, evaluate: Evaluate) -> bool:
        """Take one step; return True, for Adam never knows that it has arrived."""
        _, gradient = evaluate(self.x)
        lr = self.lr * 0.1 ** (self.count // self.drop_every)
        self.count += 1
        self.mean = self.mean + np.float32(1 - BETA1) * (gradient - self.mean)
        self.square = self.square + np.float32(1 - BETA2) * (gradient * gradient - self.square)
        size = lr * (1 - BETA2**self.count) ** 0.5 / (1 - BETA1**self.count)
        self.x = self.x - np.float32(size) * self.mean / (np.sqrt(self.square) + np.float32(EPSILON))
        return True

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what ``restore`` takes: arrays by name, and numbers."""
        return {"x": self.x, "mean": self.mean, "square": self.square}, {"count": self.count}

    def restore(self, arrays: dict[str, np.ndarray], numbers: dict[str, Any]) -> None:
        """Take up a state again."""
        self.x, self.mean, self.square = arrays["x"], arrays["mean"], arrays["square"]
        self.count = numbers["count"]


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a.ravel(), b.ravel()))
