"""Letterboxing: any picture on a grey ground of the network's size, its ratio kept, and its boxes there and back."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Union

import numpy as np

from gluonbook import _check
from gluonbook.data.pictures import resize

GREY = 128  # Differs from Darknet, whose ground is 0.5, between 127 and 128 of 255
Size = Union[int, tuple[int, int]]


class _Placement(NamedTuple):
    """Where a picture lies in its letterbox, in whole pixels."""

    top: int
    left: int
    height: int
    width: int


def letterbox(picture: np.ndarray, size: Size) -> np.ndarray:
    """Return a picture resized to fit a size with its ratio kept, centred on grey.

    As Darknet's ``letterbox_image``: the longer side, relative to the size, fills it; the other is rounded down, to
    no less than a pixel, and of an odd number of grey rows or columns the greater half comes after the picture.

    Args:
        picture: (H, W, 3) uint8, RGB.
        size: pixels of a square's side, or (height, width); at least 1.

    Returns:
        (height, width, 3) uint8, RGB, 128 around the picture.

    Raises:
        TypeError, ValueError: it is no such picture, it is empty, or the size is none.

    >>> letterbox(np.zeros((1, 2, 3), np.uint8), 4)[:, 0, 0].tolist()
    [128, 0, 0, 128]
    """
    picture, (height, width) = _as_picture("picture", picture), as_size("size", size)
    place = _place(picture.shape, (height, width))
    box = np.full((height, width, 3), GREY, np.uint8)
    rows, columns = slice(place.top, place.top + place.height), slice(place.left, place.left + place.width)
    box[rows, columns] = resize(picture, (place.height, place.width))
    return box


def letterbox_boxes(boxes: Any, shape: Sequence[int], size: Size) -> np.ndarray:
    """Turn boxes in a picture into boxes in its letterbox.

    Args:
        boxes: (…, 4) float32, corners as fractions of the picture.
        shape: the picture's, (H, W) or (H, W, 3), in pixels.
        size: as for ``letterbox``.

    Returns:
        (…, 4) float32, corners as fractions of the letterbox.

    Raises:
        TypeError, ValueError: they are no boxes, or shape or size is none.

    >>> letterbox_boxes([0, 0, 1, 1], (1, 2), 4).tolist()
    [0.0, 0.25, 1.0, 0.75]
    """
    shift, scale = _shift_and_scale(shape, size)
    return (_check.as_boxes("boxes", boxes) * scale + shift).astype(np.float32)  # (…, 4)


def unletterbox_boxes(boxes: Any, shape: Sequence[int], size: Size) -> np.ndarray:
    """Turn boxes in a letterbox into boxes in its picture: the inverse of ``letterbox_boxes``.

    Args:
        boxes: (…, 4) float32, corners as fractions of the letterbox.
        shape: the picture's, (H, W) or (H, W, 3), in pixels.
        size: as for ``letterbox``.

    Returns:
        (…, 4) float32, corners as fractions of the picture; not clipped: what lies on the grey is outside of [0, 1].

    Raises:
        TypeError, ValueError: they are no boxes, or shape or size is none.

    >>> unletterbox_boxes([0, 0.25, 1, 0.5], (1, 2), 4).tolist()
    [0.0, 0.0, 1.0, 0.5]
    """
    shift, scale = _shift_and_scale(shape, size)
    return ((_check.as_boxes("boxes", boxes) - shift) / scale).astype(np.float32)  # (…, 4)


def as_input(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return letterboxed pictures as Darknet's networks take them.

    Args:
        pictures: N of (H, W, 3) uint8, RGB, all of one size; at least one.

    Returns:
        (N, 3, H, W) float32 in [0, 1].

    Raises:
        TypeError, ValueError: there is none, one is no such picture, or their sizes differ.

    >>> as_input([np.array([[[0, 255, 0]]], np.uint8)]).tolist()
    [[[[0.0]], [[1.0]], [[0.0]]]]
    """
    checked = [_as_picture(f"pictures[{i}]", picture) for i, picture in enumerate(pictures)]
    if not checked:
        raise ValueError("pictures must hold at least one picture, got none")
    for i, picture in enumerate(checked):
        if picture.shape != checked[0].shape:
            raise ValueError(
                f"pictures must be of one size, got {checked[0].shape} and, at {i}, {picture.shape}: letterbox them"
            )
    planes = np.ascontiguousarray(np.stack(checked).transpose(0, 3, 1, 2))  # (N, 3, H, W)
    return np.divide(planes, 255, dtype=np.float32)


def from_bgr(picture: np.ndarray) -> np.ndarray:
    """Return a picture that OpenCV has read, blue first, as red, green, blue.

    Args:
        picture: (H, W, 3) uint8, BGR.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        TypeError, ValueError: it is no such picture.

    >>> from_bgr(np.array([[[1, 2, 3]]], np.uint8)).tolist()
    [[[3, 2, 1]]]
    """
    return np.ascontiguousarray(_as_picture("picture", picture)[:, :, ::-1])


def _place(shape: Sequence[int], size: tuple[int, int]) -> _Placement:
    """Place a picture of (H, W, …) pixels in the middle of (height, width): the one geometry, in whole numbers."""
    (H, W), (height, width) = shape[:2], size
    wide = width * H < height * W  # the width is full first
    inner = (max(H * width // W, 1), width) if wide else (height, max(W * height // H, 1))
    return _Placement((height - inner[0]) // 2, (width - inner[1]) // 2, *inner)


def _shift_and_scale(shape: Sequence[int], size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Return (4,) float64 each: a letterbox's fractions are a picture's · scale + shift."""
    height, width = as_size("size", size)
    place = _place(_as_shape(shape), (height, width))
    whole = np.array([width, height, width, height], float)
    shift = np.array([place.left, place.top] * 2) / whole
    return shift, np.array([place.width, place.height] * 2) / whole


def _as_picture(name: str, picture: Any) -> np.ndarray:
    picture = np.asarray(picture)
    if picture.dtype != np.uint8:
        raise TypeError(f"{name} must be uint8, from 0 to 255, got dtype {picture.dtype}")
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"{name} must have the shape (H, W, 3), got {picture.shape}")
    if not picture.size:
        raise ValueError(f"{name} must have at least one pixel, got shape {picture.shape}")
    return picture


def _as_shape(shape: Sequence[int]) -> tuple[int, int]:
    if not isinstance(shape, (tuple, list)) or len(shape) not in (2, 3):
        raise ValueError(f"shape must be the picture's, (H, W) or (H, W, 3), got {shape!r}")
    return _check.integer("shape[0]", shape[0], at_least=1), _check.integer("shape[1]", shape[1], at_least=1)


def as_size(name: str, size: Size) -> tuple[int, int]:
    """Return (height, width) of a square's side or of (height, width) in pixels.

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(size, (tuple, list)):
        if len(size) != 2:
            raise ValueError(f"{name} must be a number of pixels or (height, width), got {size!r}")
        return _check.integer(f"{name}[0]", size[0], at_least=1), _check.integer(f"{name}[1]", size[1], at_least=1)
    side = _check.integer(name, size, at_least=1)
    return side, side
