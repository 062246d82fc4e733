"""Boxes: corners and centres, areas, intersection over union, clipping, checks.

A box is its corners (xmin, ymin, xmax, ymax), fractions of the picture, with no ``+1``. All functions are NumPy,
float32, and work on any leading shape: boxes are small, and MXNet's engine computes the network meanwhile.
"""

from typing import Any

import numpy as np

from gluonbook._check import as_array, as_boxes
from gluonbook._check import check_boxes as check_boxes


def corner_to_center(boxes: Any) -> np.ndarray:
    """Turn corners into centres and sides.

    Args:
        boxes: (…, 4) float32, (xmin, ymin, xmax, ymax).

    Returns:
        (…, 4) float32, (x, y, width, height).

    >>> corner_to_center([[0.25, 0.5, 0.75, 1.0]]).tolist()
    [[0.5, 0.75, 0.5, 0.5]]
    """
    boxes = as_boxes("boxes", boxes)
    low, high = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)  # (…, 4)


def center_to_corner(boxes: Any) -> np.ndarray:
    """Turn centres and sides into corners: the inverse of ``corner_to_center``.

    Args:
        boxes: (…, 4) float32, (x, y, width, height).

    Returns:
        (…, 4) float32, (xmin, ymin, xmax, ymax).
    """
    boxes = as_boxes("boxes", boxes)
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([center - half, center + half], axis=-1)  # (…, 4)


def area(boxes: Any) -> np.ndarray:
    """Return the areas of boxes, (…,) float32: shares of the picture; 0 for an inverted box.

    >>> area([[0, 0, 0.5, 0.5], [0.5, 0, 0.25, 1]]).tolist()
    [0.25, 0.0]
    """
    boxes = as_boxes("boxes", boxes)
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1)


def iou(boxes: Any, others: Any) -> np.ndarray:
    """Return the intersection over union of each box with each other box.

    Args:
        boxes: (A, 4) float32.
        others: (M, 4) float32.

    Returns:
        (A, M) float32 in [0, 1]; 0 where both boxes are empty.

    >>> iou([[0, 0, 0.5, 1]], [[0, 0, 1, 1], [0.5, 0, 1, 1], [0.25, 0, 0.5, 0.5]]).tolist()
    [[0.5, 0.0, 0.25]]
    """
    boxes, others = (
        as_array("boxes", as_boxes("boxes", boxes), None, 4),
        as_array("others", as_boxes("others", others), None, 4),
    )
    shares = _iou(boxes.T[:, :, None], area(boxes)[:, None], others.T[:, None, :], area(others)[None, :])
    return np.nan_to_num(shares, copy=False)


def _iou(boxes: np.ndarray, areas: np.ndarray, others: np.ndarray, other_areas: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes and others that broadcast, nan where both are empty; the corners come first, (4, …)."""
    shared = np.minimum(boxes[2], others[2])
    shared -= np.maximum(boxes[0], others[0])
    height = np.minimum(boxes[3], others[3])
    height -= np.maximum(boxes[1], others[1])
    shared = np.maximum(shared, 0, out=shared)
    shared *= np.maximum(height, 0, out=height)
    np.add(areas, other_areas, out=height)
    height -= shared  # the union
    with np.errstate(invalid="ignore"):
        return np.divide(shared, height, out=shared)


def clip(boxes: Any) -> np.ndarray:
    """Return the parts of boxes inside the picture, (…, 4) float32 in [0, 1]."""
    return as_boxes("boxes", boxes).clip(0, 1)
