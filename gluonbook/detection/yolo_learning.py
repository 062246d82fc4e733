"""What YOLOv3 learns: the prediction that is responsible for each object, the loss, and anchors from boxes.

Letters as in ``yolo``: B anchors a cell, K classes, A predictions of a picture.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gluonbook import _check
from gluonbook._check import as_array, check_labels
from gluonbook._mxnet import autograd, nd
from gluonbook.detection.boxes import corner_to_center, iou
from gluonbook.detection.letterboxing import Size, as_size
from gluonbook.detection.targets import num_objects
from gluonbook.detection.yolo import all_cells, check_heads, check_shapes, decode_boxes

if TYPE_CHECKING:
    from gluonbook.detection.darknet import Head

STARTS, MAX_ROUNDS = 10, 100  # of k-means
NEGLIGIBLE = 1e-30  # a chance for boxes whose distance from an anchor is rounded to 0: all may be such


class YoloTargets(NamedTuple):
    """What a batch is to learn, in the order of ``decode_maps``; 0 where a prediction is responsible for no object.

    Attributes:
        boxes: (N, A, 4) float32: x and y of the object's centre in its cell, from 0 to 1, and the logarithms of its
            width and height over the anchor's.
        weights: (N, A) float32, 2 − the object's share of the picture: small boxes count more.
        objectness: (N, A) float32, 1 where responsible.
        classes: (N, A, K) float32, 1 for the object's class.
    """

    boxes: np.ndarray
    weights: np.ndarray
    objectness: np.ndarray
    classes: np.ndarray


class YoloLosses(NamedTuple):
    """The three losses of a batch, (1,) float32 each."""

    box: Any
    objectness: Any
    cls: Any


class AnchorClusters(NamedTuple):
    """Anchors, and how well they fit.

    Attributes:
        anchors: (B, 2) float32, widths and heights in pixels, by rising area.
        mean_iou: mean over the boxes of the IoU with the best anchor, both at one corner.
    """

    anchors: np.ndarray
    mean_iou: float


def yolo_targets(labels: Any, heads: "Sequence[Head]", size: Size) -> YoloTargets:
    """Return what each prediction is to learn from the true boxes of a batch (Redmon and Farhadi 2018, section 2.1).

    Of all anchors of all heads one is responsible for an object: that whose width and height overlap the object's most,
    both at one corner (of equal ones the first), in the cell that holds the object's centre. A centre on the picture's
    right or lower border is in the last cell. Of objects that meet in one cell and anchor the last wins, as in Darknet;
    Differs from Darknet: the class of the one before is forgotten with its box.

    Args:
        labels: (N, M, 5) float32, rows (class, xmin, ymin, xmax, ymax), corners as fractions of the network's input;
            rows after a picture's objects hold −1.
        heads: anchors (B, 2) in input pixels, stride and num_classes K of each.
        size: of the network's input in pixels, a square's side or (height, width); a multiple of each stride.

    Returns:
        YoloTargets.

    Raises:
        TypeError, ValueError: shapes do not fit, the size is no multiple of a stride, or a label is wrong (picture, row
            and value are given).

    >>> from types import SimpleNamespace
    >>> head = SimpleNamespace(anchors=np.array([[16, 16], [32, 32]]), stride=32, num_classes=2)
    >>> targets = yolo_targets([[[1, 0.5, 0.25, 1, 0.75]]], [head], 64)  # its centre: 1.5 and 1 cells
    >>> np.argwhere(targets.objectness).tolist(), targets.boxes[0, 7].tolist(), targets.classes[0, 7].tolist()
    ([[0, 7]], [0.5, 0.0, 0.0, 0.0], [0.0, 1.0])
    """
    check_heads(heads)
    labels, (height, width) = as_array("labels", labels, None, None, 5), as_size("size", size)
    for head in heads:
        if height % head.stride or width % head.stride:
            raise ValueError(f"size must be a multiple of each stride, got {height}x{width} and stride {head.stride}")
    anchors, N, K = _all_anchors(heads, height, width), len(labels), heads[0].num_classes
    A = sum(len(head.anchors) * (height // head.stride) * (width // head.stride) for head in heads)
    targets = YoloTargets(*(np.zeros(shape, np.float32) for shape in ((N, A, 4), (N, A), (N, A), (N, A, K))))
    for n in range(N):
        objects = labels[n, : num_objects(labels[n])]  # (M, 5)
        check_labels(objects, K, n)
        center, sides = np.split(corner_to_center(objects[:, 1:]), 2, axis=1)  # (M, 2) each
        pixels = sides * np.array([width, height], np.float32)
        chosen = _overlaps(pixels, anchors.sides).argmax(axis=1)
        best = _Anchors(*(part[chosen] for part in anchors))
        cell = np.minimum(np.floor(center * best.grids), best.grids - 1)  # (M, 2)
        index = best.starts + (cell[:, 1] * best.grids[:, 0] + cell[:, 0]).astype(int) * best.counts
        offsets = np.concatenate([center * best.grids - cell, np.log(pixels / best.sides)], axis=1)  # (M, 4)
        classes = np.eye(K, dtype=np.float32)[objects[:, 0].astype(int)]  # (M, K)
        for part, values in zip(targets, (offsets, 2 - sides.prod(axis=1), 1, classes)):
            part[n, index] = values  # of an index that comes twice, the last value stays
    return targets


class _Anchors(NamedTuple):
    """The anchors of all heads, one a row: sides in pixels, the map's (w, h), the prediction in its first cell, B."""

    sides: np.ndarray
    grids: np.ndarray
    starts: np.ndarray
    counts: np.ndarray


def _all_anchors(heads: "Sequence[Head]", height: int, width: int) -> _Anchors:
    rows, start = [], 0
    for head in heads:
        B, h, w = len(head.anchors), height // head.stride, width // head.stride
        rows += [(side, (w, h), start + b, B) for b, side in enumerate(np.asarray(head.anchors))]
        start += B * h * w
    sides, grids, starts, counts = map(np.array, zip(*rows))
    return _Anchors(sides.astype(np.float32), grids.astype(np.float32), starts, counts)


def yolo_loss(maps: Sequence[Any], heads: "Sequence[Head]", targets: YoloTargets, labels: Any) -> YoloLosses:
    """Return the three losses of raw maps, each summed over predictions and divided by the pictures of the batch.

    Box: of responsible predictions, binary cross-entropy of sigmoid(tx) and sigmoid(ty), half the squared error of tw
    and th, times the target's weight. Objectness: binary cross-entropy of all predictions but those that are not
    responsible and whose box overlaps a true one by more than the head's threshold. Classes: binary cross-entropy of
    each class by itself, of responsible predictions (Redmon and Farhadi 2018, sections 2.1 and 2.2).

    Differs from the paper: cross-entropy for x and y where it says squared error. Their gradients with respect to the
    maps are thus what Darknet's code propagates, ``truth − sigmoid(t)`` and ``truth − t``, but for objects that meet in
    one cell and anchor (see ``yolo_targets``). Which predictions are ignored has no gradient.

    Args:
        maps: nd arrays, one (N, B·(5 + K), h, w) a head, as for ``decode_maps``; recorded by autograd or not.
        heads: as for ``decode_maps``, and ignore_threshold, an IoU from 0 to 1, of each.
        targets: of the same pictures.
        labels: (N, M, 5), those that the targets were made of.

    Returns:
        YoloLosses, on the maps' device.

    Raises:
        TypeError, ValueError: shapes do not fit.

    >>> from types import SimpleNamespace
    >>> head = SimpleNamespace(anchors=np.array([[32, 32]]), stride=32, num_classes=2, ignore_threshold=0.5)
    >>> labels = [[[1, 0, 0, 1, 1]]]
    >>> losses = yolo_loss([nd.zeros((1, 7, 1, 1))], [head], yolo_targets(labels, [head], 32), labels)
    >>> [round(loss.asscalar() / np.log(2), 4) for loss in losses]  # x and y, objectness, two classes
    [2.0, 1.0, 2.0]
    """
    check_shapes([raw.shape for raw in maps], heads)
    rows = nd.concat(*(_by_prediction(raw, head) for raw, head in zip(maps, heads)), dim=1)  # (N, A, 5 + K)
    N, A, channels = rows.shape
    labels = as_array("labels", labels, N, None, 5)
    shapes = ((N, A, 4), (N, A), (N, A), (N, A, channels - 5))
    for name, part, shape in zip(targets._fields, targets, shapes):
        as_array(f"targets.{name}", part, *shape)
    cells = all_cells(heads, [raw.shape[2:] for raw in maps])
    with autograd.pause():
        boxes = decode_boxes(rows.slice_axis(axis=2, begin=0, end=4).asnumpy(), cells)  # (N, A, 4)
    counted = (targets.objectness > 0) | ~_overlapping(boxes, labels, _thresholds(heads, maps))  # (N, A)
    true_boxes, weights, objectness, classes = (nd.array(part, ctx=rows.context) for part in targets)
    xy, sides = (rows.slice_axis(axis=2, begin=start, end=start + 2) for start in (0, 2))
    true_xy, true_sides = (true_boxes.slice_axis(axis=2, begin=start, end=start + 2) for start in (0, 2))
    box = _cross_entropy(xy, true_xy).sum(axis=2) + nd.square(sides - true_sides).sum(axis=2) / 2  # (N, A)
    found = _cross_entropy(rows.slice_axis(axis=2, begin=4, end=5).reshape((N, A)), objectness)
    named = _cross_entropy(rows.slice_axis(axis=2, begin=5, end=None), classes).sum(axis=2)  # (N, A)
    terms = (box * weights, found * nd.array(counted, ctx=rows.context), named * objectness)
    return YoloLosses(*(term.sum() / N for term in terms))


def _by_prediction(raw: Any, head: "Head") -> Any:
    """Return a map, (N, B·(5 + K), h, w), as (N, h·w·B, 5 + K)."""
    channels = 5 + head.num_classes
    by_anchor = raw.reshape((0, len(head.anchors), channels, -1))  # (N, B, 5 + K, h·w)
    return by_anchor.transpose((0, 3, 1, 2)).reshape((0, -1, channels))  # (N, h·w·B, 5 + K)


def _cross_entropy(logits: Any, truth: Any) -> Any:
    """Return −truth · ln p − (1 − truth) · ln(1 − p) of p = sigmoid(logits): ln(1 + exp(logits)) − truth · logits."""
    return nd.Activation(logits, act_type="softrelu") - truth * logits


def _thresholds(heads: "Sequence[Head]", maps: Sequence[Any]) -> np.ndarray:
    """Return each prediction's IoU above which it is ignored, (A,) float32."""
    counts = [len(head.anchors) * raw.shape[2] * raw.shape[3] for head, raw in zip(heads, maps)]
    values = [
        _check.number(f"heads[{i}].ignore_threshold", head.ignore_threshold, at_least=0, at_most=1)
        for i, head in enumerate(heads)
    ]
    return np.repeat(np.array(values, np.float32), counts)


def _overlapping(boxes: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return which of (N, A, 4) boxes overlap any true one by more than a threshold, (N, A) bool."""
    best = [iou(boxes[n], labels[n, : num_objects(labels[n]), 1:]).max(axis=1, initial=0) for n in range(len(boxes))]
    return np.stack(best) > thresholds


def cluster_anchors(labels: Sequence[Any], num_anchors: int, size: Size, seed: int = 0) -> AnchorClusters:
    """Find anchors for a data set: k-means over widths and heights, 1 − IoU the distance.

    Redmon and Farhadi 2017, section 2, "dimension clusters". Each of ten starts draws boxes that are far from those
    drawn before (k-means++); a mean need not lower this distance, so the best anchors of all rounds are kept.

    Args:
        labels: (M, 5) float32 a picture, rows (class, xmin, ymin, xmax, ymax), corners as fractions of the network's
            input; all of a data set.
        num_anchors: B, at least 1; at most the boxes that differ in width or height.
        size: of the network's input in pixels, a square's side or (height, width).
        seed: at least 0.

    Returns:
        AnchorClusters.

    Raises:
        TypeError, ValueError: a label is wrong (picture, row and value are given), there are too few boxes, or an
            argument is out of range.

    >>> labels = np.array([[0, 0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1, 1], [0, 0, 0, 0.25, 0.125]])
    >>> cluster_anchors([labels], 2, 64)
    AnchorClusters(anchors=array([[16.,  8.],
           [32., 32.]], dtype=float32), mean_iou=1.0)
    """
    _check.integer("num_anchors", num_anchors, at_least=1)
    height, width = as_size("size", size)
    rng = np.random.default_rng(_check.integer("seed", seed, at_least=0))
    rows = [as_array(f"labels[{i}]", objects, None, 5) for i, objects in enumerate(labels)]
    for i, objects in enumerate(rows):
        check_labels(objects, None, i)
    boxes = corner_to_center(np.concatenate([np.zeros((0, 5)), *rows])[:, 1:])  # (M, 4)
    sides = boxes[:, 2:] * np.array([width, height], np.float32)
    differing = len(np.unique(sides, axis=0))
    if differing < num_anchors:
        raise ValueError(f"num_anchors must be at most the boxes that differ, {differing}, got {num_anchors}")
    runs = (_k_means(sides, num_anchors, rng) for _ in range(STARTS))
    best = max(runs, key=lambda run: run.mean_iou)
    return AnchorClusters(best.anchors[np.argsort(best.anchors.prod(axis=1), kind="stable")], best.mean_iou)


def _k_means(sides: np.ndarray, num_anchors: int, rng: np.random.Generator) -> AnchorClusters:
    anchors = _scattered(sides, num_anchors, rng)
    best, nearest = AnchorClusters(anchors, -1.0), np.zeros(0, int)
    for _ in range(MAX_ROUNDS):
        overlaps = _overlaps(sides, anchors)  # (M, B)
        mean_iou = float(overlaps.max(axis=1).mean(dtype=float))
        if mean_iou > best.mean_iou:
            best = AnchorClusters(anchors, mean_iou)
        before, nearest = nearest, overlaps.argmax(axis=1)
        if np.array_equal(before, nearest):
            break
        groups = [sides[nearest == b] for b in range(num_anchors)]
        anchors = np.stack([group.mean(axis=0) if len(group) else anchors[b] for b, group in enumerate(groups)])
    return best


def _scattered(sides: np.ndarray, num_anchors: int, rng: np.random.Generator) -> np.ndarray:
    """Draw (B, 2) of (M, 2) sides, each with a chance that grows with the square of its distance from the others."""
    chosen = [sides[rng.integers(len(sides))]]
    while len(chosen) < num_anchors:
        distances = 1 - _overlaps(sides, np.stack(chosen)).max(axis=1).astype(float)  # (M,)
        chances = np.square(distances) + NEGLIGIBLE
        chosen.append(sides[rng.choice(len(sides), p=chances / chances.sum())])
    return np.stack(chosen)


def _overlaps(sides: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU of (M, 2) widths and heights with (B, 2) others, all at one corner: (M, B)."""
    corners, other_corners = (np.concatenate([np.zeros_like(part), part], axis=1) for part in (sides, others))
    return iou(corners, other_corners)
