"""Checks of a caller's arguments: errors that give the name, the value, and what would be right."""

import math
import numbers
from collections.abc import Collection
from typing import Any, Optional

import numpy as np


def integer(name: str, value: Any, at_least: int, at_most: Optional[int] = None) -> int:
    """Return ``value`` as an int.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r} ({type(value).__name__})")
    value = int(value)
    number(name, value, at_least=at_least, at_most=at_most)
    return value


def number(
    name: str,
    value: Any,
    at_least: Optional[float] = None,
    at_most: Optional[float] = None,
    above: Optional[float] = None,
    below: Optional[float] = None,
) -> float:
    """Return ``value``, a finite number within the bounds.

    Raises:
        TypeError: it is no number.
        ValueError: it is out of range, infinite or not a number.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})")
    value = value if isinstance(value, int) else float(value)
    wrong = (
        (isinstance(value, float) and not math.isfinite(value))
        or (at_least is not None and value < at_least)
        or (at_most is not None and value > at_most)
        or (above is not None and value <= above)
        or (below is not None and value >= below)
    )
    if wrong:
        bounds = [("at least", at_least), ("at most", at_most), ("above", above), ("below", below)]
        right = " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None) or "finite"
        raise ValueError(f"{name} must be {right}, got {value}")
    return value


def choice(name: str, value: Any, allowed: Collection[Any]) -> Any:
    """Return ``value``, one of ``allowed``.

    Raises:
        ValueError: it is something else.
    """
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}; got {value!r}")
    return value


def indices(name: str, values: Any, below: Optional[int] = None) -> np.ndarray:
    """Return ``values`` as a row of int32 indices.

    Args:
        name: what the caller calls them.
        values: (L,) whole numbers of any dtype, at least 0.
        below: V; each index must be smaller.

    Raises:
        TypeError: they are no numbers, or no whole ones.
        ValueError: they are no row, or one is out of range; the message gives its position.
    """
    row = np.asarray(values.asnumpy() if hasattr(values, "asnumpy") else values)
    if row.ndim != 1:
        raise ValueError(f"{name} must be one row of indices, (L,), got shape {row.shape}")
    if row.dtype.kind not in "iuf" or (row.dtype.kind == "f" and not np.array_equal(row, np.trunc(row))):
        raise TypeError(f"{name} must hold whole numbers, got dtype {row.dtype}")
    highest = (np.iinfo(np.int32).max if below is None else below) - 1
    bad = np.flatnonzero((row < 0) | (row > highest))
    if bad.size:
        right = "at least 0" if below is None and row[bad[0]] < 0 else f"from 0 to {highest}"
        raise ValueError(f"{name}[{bad[0]}] must be {right}, got {row[bad[0]]}")
    return row.astype(np.int32)


def as_rows(name: str, values: Any, num_rows: int, at_least: int) -> np.ndarray:
    """Cut a row of indices into ``num_rows`` rows of equal length, dropping what is left over.

    Args:
        name: what the caller calls the indices.
        values: (L,) int, at least 0.
        num_rows: N, at least 1.
        at_least: the shortest useful row, in indices.

    Returns:
        (N, L // N) int32.

    Raises:
        ValueError: the rows would be shorter than ``at_least``; the message gives both lengths.
    """
    row = indices(name, values)
    num_rows = integer("batch_size", num_rows, at_least=1)
    length = len(row) // num_rows
    if length < at_least:
        raise ValueError(
            f"{name} is too short for one batch: {num_rows} rows of at least {at_least} need {num_rows * at_least} "
            f"tokens, got {len(row)}; take fewer rows or steps, or more text"
        )
    return row[: num_rows * length].reshape(num_rows, length)  # (N, L // N)
