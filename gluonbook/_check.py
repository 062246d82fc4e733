"""Checks of a caller's arguments: errors that give the name, the value, and what would be right."""

import math
import numbers
from collections.abc import Collection, Sequence
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


def as_array(name: str, value: Any, *shape: Optional[int]) -> np.ndarray:
    """Return ``value`` as float32 NumPy, read from its device if need be.

    Args:
        name: what the caller calls it.
        value: an nd array, or whatever NumPy makes an array of.
        shape: what it must have; None stands for any length. None given admits every shape.

    Raises:
        TypeError: it holds no numbers.
        ValueError: it has another shape.
    """
    try:
        array = np.asarray(value.asnumpy() if hasattr(value, "asnumpy") else value, np.float32)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be an array of numbers, got {value!r:.80}") from None
    fits = len(shape) == array.ndim and all(right in (None, n) for right, n in zip(shape, array.shape))
    if shape and not fits:
        right_shape = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} must have the shape ({right_shape}), got {array.shape}")
    return array


def as_floats(name: str, value: Any, *shape: Optional[int]) -> np.ndarray:
    """Return a copy of ``value`` in float64, or in the floating dtype that it has.

    Args:
        name, shape: as for ``as_array``.

    Raises:
        TypeError, ValueError: as ``as_array``.
    """
    with np.errstate(over="ignore"):  # float64 may hold more than float32
        as_array(name, value, *shape)
    value = value.asnumpy() if hasattr(value, "asnumpy") else value
    dtype = getattr(value, "dtype", np.dtype(np.float64))
    return np.array(value, dtype if np.issubdtype(dtype, np.floating) else np.float64)


def as_boxes(name: str, value: Any) -> np.ndarray:
    """Return boxes as (…, 4) float32; an empty list is no boxes.

    Raises:
        TypeError, ValueError: they are none.
    """
    array = as_array(name, value)
    if array.shape == (0,):
        return array.reshape(0, 4)
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ValueError(f"{name} must be boxes, (…, 4), got shape {array.shape}")
    return array


def check_boxes(boxes: Any, pictures: Optional[Sequence[Any]] = None) -> None:
    """Refuse boxes that MXNet would accept and learn nonsense from.

    Args:
        boxes: (M, 4) of one picture, or (N, M, 4).
        pictures: the names of N pictures, for the message; None numbers them.

    Raises:
        ValueError: a box is inverted, empty, not finite or outside of [0, 1]; the message gives picture, row and value.

    >>> check_boxes([[0.1, 0.1, 0.4, 0.5], [0.6, 0.2, 0.5, 0.4]], ["dog.jpg"])
    Traceback (most recent call last):
    ValueError: picture dog.jpg, row 1: box (0.6, 0.2, 0.5, 0.4) is inverted: xmax must be above xmin
    """
    boxes = as_boxes("boxes", boxes)
    if boxes.ndim == 2:
        boxes = boxes[None]
    as_array("boxes", boxes, None, None, 4)
    low, high = boxes[..., :2], boxes[..., 2:]
    with np.errstate(invalid="ignore"):
        wrong = ~(np.isfinite(boxes).all(-1) & (boxes >= 0).all(-1) & (boxes <= 1).all(-1) & (high > low).all(-1))
    if wrong.any():
        n, row = (int(i) for i in np.argwhere(wrong)[0])
        picture = n if pictures is None else pictures[n]
        raise ValueError(f"picture {picture}, row {row}: box {_told(boxes[n, row])} {_fault(boxes[n, row])}")


def as_rectangle(name: str, value: Any) -> np.ndarray:
    """Return one box in any unit as (4,) float32.

    Raises:
        TypeError, ValueError: it is none, not finite, or inverted; the message gives its value.
    """
    box = as_array(name, value, 4)
    if not np.isfinite(box).all() or (box[2:] < box[:2]).any():
        raise ValueError(f"{name}: box {_told(box)} {_fault(box)}")
    return box


def check_labels(labels: np.ndarray, num_classes: Optional[int], picture: Any) -> None:
    """Refuse a picture's labels whose class is no class or whose box is none.

    Args:
        labels: (M, 5) float32, rows (class, xmin, ymin, xmax, ymax).
        num_classes: K; None admits any class from 0 on.
        picture: its name, for the message.

    Raises:
        ValueError: with picture, row and value.
    """
    kinds = labels[:, 0]
    highest = np.inf if num_classes is None else num_classes - 1
    wrong = np.flatnonzero(~((kinds >= 0) & (kinds <= highest) & (kinds == np.floor(kinds)) & np.isfinite(kinds)))
    if len(wrong):
        bound = "at least 0" if num_classes is None else f"from 0 to {num_classes - 1}"
        value = f"{kinds[wrong[0]]:g}"
        raise ValueError(f"picture {picture}, row {wrong[0]}: class must be a whole number {bound}, got {value}")
    check_boxes(labels[:, 1:], [picture])


def _told(box: np.ndarray) -> str:
    return f"({', '.join(f'{value:.6g}' for value in box)})"


def _fault(box: np.ndarray) -> str:
    """Say what is wrong with a box."""
    if not np.isfinite(box).all():
        return "is not finite"
    for word, wrong in (("inverted", np.less), ("empty", np.equal)):  # in this order: a box may be both
        for axis, low, high in (("x", box[0], box[2]), ("y", box[1], box[3])):
            if wrong(high, low):
                return f"is {word}: {axis}max must be above {axis}min"
    return "is out of range: corners must be fractions of the picture, from 0 to 1"
