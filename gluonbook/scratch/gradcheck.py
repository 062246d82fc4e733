"""Gradients by centred differences, and how far others are from them."""

from typing import Any, Callable, NamedTuple

import numpy as np

from gluonbook import _check

STEP = 1e-5  # float64: the difference's own error is then near 1e-10
FLOOR = 1e-7  # gradients below it are compared absolutely


class GradCheck(NamedTuple):
    """The entry in which a gradient is worst."""

    error: float  # |analytic − numeric| / max(|analytic|, |numeric|, FLOOR)
    place: tuple[int, ...]
    analytic: float
    numeric: float


def numeric_gradient(f: Callable[[np.ndarray], Any], x: Any, step: float = STEP) -> np.ndarray:
    """Return (f(x + h) − f(x − h)) / 2h for each entry of x.

    Args:
        f: gives a number for an array of x's shape; it may keep no reference to it.
        x: float64 array of any shape; left as it is.
        step: h, above 0.

    Returns:
        float64 array of x's shape.

    >>> numeric_gradient(lambda x: (x**2).sum(), np.array([1.0, -3.0])).round(6).tolist()
    [2.0, -6.0]
    """
    _check.number("step", step, above=0)
    x = np.array(x, np.float64)
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        value = x[place]
        x[place] = value + step
        above = float(f(x))
        x[place] = value - step
        gradient[place] = (above - float(f(x))) / (2 * step)
        x[place] = value
    return gradient


def check_gradient(f: Callable[[np.ndarray], Any], x: Any, gradient: Any, step: float = STEP) -> GradCheck:
    """Compare a gradient with centred differences.

    A right one has an error below 1e-6 where f is smooth; at a kink (ReLU at 0, a tie of a maximum) there is none.

    Args:
        f, x, step: as for ``numeric_gradient``.
        gradient: of x's shape, of f with respect to x.

    Returns:
        GradCheck: the worst entry.

    Raises:
        ValueError: the gradient has another shape than x, or x is empty.

    >>> check_gradient(lambda x: (x**2).sum(), np.array([1.0, -3.0]), [2.0, 6.0]).place
    (1,)
    """
    x, analytic = np.asarray(x, np.float64), np.asarray(gradient, np.float64)
    if analytic.shape != x.shape or not x.size:
        raise ValueError(f"gradient must have x's shape {x.shape}, with an entry at least; got {analytic.shape}")
    numeric = numeric_gradient(f, x, step)
    scale = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), FLOOR)
    with np.errstate(invalid="ignore"):  # infinite by infinite
        errors = np.abs(analytic - numeric) / scale
    errors = np.where(np.isnan(errors), np.inf, errors)
    place = tuple(int(i) for i in np.unravel_index(errors.argmax(), x.shape))
    return GradCheck(float(errors[place]), place, float(analytic[place]), float(numeric[place]))
