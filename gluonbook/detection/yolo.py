"""YOLOv3's output: from the raw maps of its heads to boxes.

Redmon and Farhadi 2018, "YOLOv3: An Incremental Improvement". Letters: B anchors a cell, K classes, (h, w) cells of a
map, A = Σ B·h·w predictions of a picture, in the order heads, cells row by row, anchors.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gluonbook import _check
from gluonbook._check import as_array
from gluonbook.detection.suppression import nms

if TYPE_CHECKING:
    from gluonbook.detection.darknet import Head

LARGEST_GROWTH = 30  # e to this, times an anchor, is beyond any picture, and its square still is a float32
MARGIN = 1e-3  # by which a bound on logits is below the one on probabilities that decides


class Cells(NamedTuple):
    """Where predictions stand on their map.

    Attributes:
        corners: (A, 2) float32, (x, y) of the cell's upper left corner, in cells.
        priors: (A, 2) float32, (width, height) of the anchor, in cells.
        grids: (A, 2) float32, (w, h), the map's.
    """

    corners: np.ndarray
    priors: np.ndarray
    grids: np.ndarray


def decode_maps(maps: Sequence[Any], heads: "Sequence[Head]") -> np.ndarray:
    """Turn all raw maps into boxes and probabilities (Redmon and Farhadi 2018, section 2.1).

    In cells, the centre is ``sigmoid(t) + cell`` and a side ``anchor / stride · exp(t)``; objectness and each class are
    sigmoids by themselves: a box may be of several classes.

    Args:
        maps: one (N, B·(5 + K), h, w) float32 a head; for each anchor the channels are tx, ty, tw, th, objectness and
            K classes, as Darknet orders them.
        heads: what each map predicts: anchors (B, 2) in input pixels, stride, num_classes K.

    Returns:
        (N, A, 5 + K) float32, rows (xmin, ymin, xmax, ymax, objectness, probabilities of classes), corners as fractions
        of the network's input, not clipped.

    Raises:
        TypeError, ValueError: maps and heads do not fit.

    >>> from types import SimpleNamespace
    >>> head = SimpleNamespace(anchors=np.array([[16, 32]]), stride=32, num_classes=1)
    >>> decode_maps([np.zeros((1, 6, 1, 2))], [head]).tolist()
    [[[0.125, 0.0, 0.375, 1.0, 0.5, 0.5], [0.625, 0.0, 0.875, 1.0, 0.5, 0.5]]]
    """
    arrays = check_maps(maps, heads)
    parts = []
    for raw, head in zip(arrays, heads):
        N, _, h, w = raw.shape
        B, channels = len(head.anchors), 5 + head.num_classes
        by_anchor = raw.reshape(N, B, channels, h * w)
        parts.append(by_anchor.transpose(0, 3, 1, 2).reshape(N, h * w * B, channels))
    rows = np.concatenate(parts, axis=1)  # (N, A, 5 + K)
    cells = all_cells(heads, [raw.shape[2:] for raw in arrays])
    return np.concatenate([decode_boxes(rows[..., :4], cells), sigmoid(rows[..., 4:])], axis=-1)


def find_yolo(
    maps: Sequence[Any],
    heads: "Sequence[Head]",
    threshold: float,
    nms_threshold: float = 0.45,
    nms_topk: int = 400,
    most: int = 100,
) -> list[np.ndarray]:
    """Turn raw maps into the boxes that are left after suppression, class by class.

    The score of a box for a class is objectness times the class's probability. As in Darknet and gluoncv, a box speaks
    for every class for which its score reaches the threshold. Few boxes do: objectness alone, compared before any
    sigmoid, leaves out nearly all, and only the rest is decoded.

    Args:
        maps, heads: as for ``decode_maps``.
        threshold: smallest score, from 0 to 1.
        nms_threshold: IoU above which the weaker of two boxes of a class is dropped, from 0 to 1.
        nms_topk: pairs of a box and a class that go into the suppression, the best of a picture; at least 1.
        most: rows a picture, at least 1.

    Returns:
        N arrays (k, 6) float32, rows (class, score, xmin, ymin, xmax, ymax) by falling score, corners as fractions of
        the network's input, not clipped; of equal scores the first prediction comes first, and its first class.

    Raises:
        TypeError, ValueError: maps and heads do not fit, an argument is out of range, or objectness is not a number.

    >>> from types import SimpleNamespace
    >>> head = SimpleNamespace(anchors=np.array([[16, 32]]), stride=32, num_classes=1)
    >>> certain = np.array([0, 0, 0, 0, 50, 0]).reshape(1, 6, 1, 1)
    >>> find_yolo([certain], [head], threshold=0.5)[0].tolist()
    [[0.0, 0.5, 0.25, 0.0, 0.75, 1.0]]
    """
    arrays = check_maps(maps, heads)
    _check.number("threshold", threshold, at_least=0, at_most=1)
    _check.number("nms_threshold", nms_threshold, at_least=0, at_most=1)
    _check.integer("nms_topk", nms_topk, at_least=1)
    _check.integer("most", most, at_least=1)
    least, cells = _least_logit(threshold), all_cells(heads, [raw.shape[2:] for raw in arrays])
    found = []
    for n in range(len(arrays[0])):
        rows, indices = _candidates([raw[n] for raw in arrays], heads, least, n)
        scores = sigmoid(rows[:, 4:5]) * sigmoid(rows[:, 5:])  # (k, K)
        best = _best(scores.ravel(), threshold, nms_topk)
        box, kind = np.divmod(best, scores.shape[1])
        boxes = decode_boxes(rows[box, :4], Cells(*(part[indices[box]] for part in cells)))
        values = scores[box, kind]
        kept = nms(boxes, values, nms_threshold, kind)[:most]
        found.append(np.column_stack([kind[kept], values[kept], boxes[kept]]).astype(np.float32))  # (k, 6)
    return found


def _candidates(
    raws: Sequence[np.ndarray], heads: "Sequence[Head]", least: float, picture: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return one picture's predictions whose objectness reaches a logit, (k, 5 + K) raw, and their indices, (k,)."""
    rows, indices, start = [], [], 0
    for raw, head in zip(raws, heads):
        B = len(head.anchors)
        by_anchor = raw.reshape(B, 5 + head.num_classes, -1)  # (B, 5 + K, h·w)
        objectness = by_anchor[:, 4].T  # (h·w, B)
        if np.isnan(objectness).any():
            raise ValueError(f"maps of picture {picture} must be numbers, got nan for objectness")
        cell, anchor = np.nonzero(objectness >= least)
        rows.append(by_anchor[anchor, :, cell])  # (k, 5 + K)
        indices.append(start + cell * B + anchor)
        start += objectness.size
    return np.concatenate(rows), np.concatenate(indices)


def _least_logit(probability: float) -> float:
    """Return a logit that is surely below those of a probability and more, float32's 1 included."""
    if probability <= 0:
        return -np.inf
    odds = np.log(probability) - np.log1p(-min(probability, 1 - 1e-7))
    return float(odds - MARGIN)


def _best(scores: np.ndarray, threshold: float, topk: int) -> np.ndarray:
    """Return the indices of the topk scores that reach a threshold, the best first; of equal ones the first."""
    indices = np.flatnonzero(scores >= threshold)
    if len(indices) > topk:
        values = scores[indices]
        indices = indices[values >= np.partition(values, -topk)[-topk]]
    return indices[np.argsort(-scores[indices], kind="stable")][:topk]


def decode_boxes(offsets: np.ndarray, cells: Cells) -> np.ndarray:
    """Return the boxes that offsets say: (…, 4) float32 corners as fractions of the input, of (…, 4) tx, ty, tw, th."""
    center = (sigmoid(offsets[..., :2]) + cells.corners) / cells.grids
    half = np.exp(np.minimum(offsets[..., 2:], LARGEST_GROWTH)) * cells.priors / (2 * cells.grids)
    return np.concatenate([center - half, center + half], axis=-1)  # (…, 4)


def all_cells(heads: "Sequence[Head]", shapes: Sequence[tuple[int, ...]]) -> Cells:
    """Return the cells of all A predictions of maps of (h, w) cells: heads, then row by row, then anchors."""
    corners, priors, grids = [], [], []
    for head, (h, w) in zip(heads, shapes):
        y, x = np.divmod(np.arange(h * w, dtype=np.int32), w)
        corners.append(np.repeat(np.stack([x, y], axis=1), len(head.anchors), axis=0))  # (h·w·B, 2)
        priors.append(np.tile(np.asarray(head.anchors, np.float32) / np.float32(head.stride), (h * w, 1)))
        grids.append(np.full_like(priors[-1], (w, h)))
    return Cells(*(np.concatenate(part).astype(np.float32) for part in (corners, priors, grids)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(−x)), exact for small ones, too."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def check_heads(heads: "Sequence[Head]") -> None:
    """Refuse heads that are none, whose anchors or strides are no sizes, or that differ in their classes.

    Raises:
        TypeError, ValueError: with the head's number.
    """
    if not len(heads):
        raise ValueError("heads must hold at least one head, got none")
    for i, head in enumerate(heads):
        anchors = as_array(f"heads[{i}].anchors", head.anchors, None, 2)
        if not (len(anchors) and np.isfinite(anchors).all() and (anchors > 0).all()):
            raise ValueError(f"heads[{i}].anchors must be widths and heights above 0, got {anchors.tolist()}")
        _check.integer(f"heads[{i}].stride", head.stride, at_least=1)
        _check.integer(f"heads[{i}].num_classes", head.num_classes, at_least=1)
        if head.num_classes != heads[0].num_classes:
            raise ValueError(
                f"heads must have the same classes, got {heads[0].num_classes} and, at {i}, {head.num_classes}"
            )


def check_maps(maps: Sequence[Any], heads: "Sequence[Head]") -> list[np.ndarray]:
    """Return raw maps as float32 NumPy.

    Raises:
        TypeError, ValueError: they are none, or do not fit the heads or each other.
    """
    arrays = [as_array(f"maps[{i}]", raw) for i, raw in enumerate(maps)]
    check_shapes([raw.shape for raw in arrays], heads)
    return arrays


def check_shapes(shapes: Sequence[tuple[int, ...]], heads: "Sequence[Head]") -> None:
    """Refuse shapes of maps that do not fit the heads or each other.

    Raises:
        TypeError, ValueError: with the map's number.
    """
    check_heads(heads)
    if len(shapes) != len(heads):
        raise ValueError(f"maps must be one a head, got {len(shapes)} maps and {len(heads)} heads")
    sizes = []
    for i, (shape, head) in enumerate(zip(shapes, heads)):
        channels = len(head.anchors) * (5 + head.num_classes)
        if len(shape) != 4 or shape[1] != channels or not shape[2] * shape[3]:
            raise ValueError(f"maps[{i}] must have the shape (N, {channels}, h, w), h and w above 0, got {shape}")
        sizes.append((shape[0], shape[2] * head.stride, shape[3] * head.stride))
        if sizes[i] != sizes[0]:
            told = " and ".join(f"{count} of {height}x{width} pixels" for count, height, width in (sizes[0], sizes[i]))
            raise ValueError(f"maps must be of the same pictures, got, at 0 and {i}, {told}")
