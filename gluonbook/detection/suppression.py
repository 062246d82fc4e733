"""Non-maximum suppression, and the way from a network's output to boxes."""

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from gluonbook import _check
from gluonbook._check import as_array, as_boxes
from gluonbook.detection.boxes import _iou, area
from gluonbook.detection.targets import VARIANCES, decode

BLOCK = 64  # boxes that are settled among themselves at a time
FEW = 1024  # boxes of all classes that go through together: less to do than class by class, though more to compute


def nms(boxes: Any, scores: Any, threshold: float = 0.5, classes: Any = None) -> np.ndarray:
    """Keep the best box of each heap: go by falling score, and drop what overlaps a box that is kept.

    A box is dropped where its IoU with a better one that is kept is above the threshold, as in MXNet's ``box_nms``
    (``MultiBoxDetection`` drops at equality, too). With classes, each class is gone through by itself.

    Args:
        boxes: (A, 4) float32, corners.
        scores: (A,) float32; of equal ones the first box goes first.
        threshold: IoU, from 0 to 1.
        classes: (A,) int, the class of each box; None suppresses across all.

    Returns:
        (k,) int, the indices of the boxes that are kept, best first.

    Raises:
        ValueError: shapes do not fit, a score is not a number, or the threshold is out of range.

    >>> heap = [[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 0.2, 0.2]]
    >>> nms(heap, [0.8, 0.9, 0.7]).tolist(), nms(heap, [0.8, 0.9, 0.7], classes=[0, 1, 0]).tolist()
    ([1, 2], [1, 0, 2])
    """
    boxes = as_array("boxes", as_boxes("boxes", boxes), None, 4)
    scores = as_array("scores", scores, len(boxes))
    _check.number("threshold", threshold, at_least=0, at_most=1)
    if np.isnan(scores).any():
        raise ValueError(f"scores[{int(np.isnan(scores).argmax())}] must be a number, got nan")
    kinds = None if classes is None else as_array("classes", classes, len(boxes))
    order = np.argsort(-scores, kind="stable")
    above = np.nextafter(np.float32(threshold), np.float32(2))  # 2 alone would make it float64
    kept = _suppress(boxes[order], None if kinds is None else kinds[order], above)
    return order[kept]


def _suppress(boxes: np.ndarray, kinds: Optional[np.ndarray], reaches: float) -> np.ndarray:
    """Return which of (A, 4) boxes, best first, stay when IoU that reaches a bound drops; class by class."""
    if kinds is None or len(boxes) <= FEW:
        return _suppress_blocks(boxes, np.zeros(len(boxes)) if kinds is None else kinds, reaches)
    parts = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    return np.sort(np.concatenate([part[_suppress_blocks(boxes[part], kinds[part], reaches)] for part in parts]))


def _suppress_blocks(boxes: np.ndarray, kinds: np.ndarray, reaches: float) -> np.ndarray:
    """Settle the best boxes among themselves, a block at a time; those that stay drop what they overlap further on.

    Only boxes of one class drop each other.
    """
    corners, areas = np.ascontiguousarray(boxes.T), area(boxes)  # (4, A), (A,)
    left, kept = np.arange(len(boxes)), [np.zeros(0, int)]
    while len(left):
        head, head_areas, head_kinds = corners[:, :BLOCK], areas[:BLOCK], kinds[:BLOCK]
        overlaps = _iou(head[:, :, None], head_areas[:, None], head[:, None], head_areas) >= reaches  # (B, B)
        overlaps &= head_kinds[:, None] == head_kinds
        stays = np.ones(len(overlaps), bool)
        overlaps[np.tri(len(overlaps), dtype=bool)] = False  # each is dropped by better ones alone
        for i in np.flatnonzero(overlaps.any(axis=1)):
            if stays[i]:
                stays[overlaps[i]] = False
        kept.append(left[:BLOCK][stays])
        left, corners, areas, kinds = left[BLOCK:], corners[:, BLOCK:], areas[BLOCK:], kinds[BLOCK:]
        if not len(left):
            break
        dropped = _iou(head[:, stays, None], head_areas[stays, None], corners[:, None], areas) >= reaches  # (k, rest)
        dropped &= head_kinds[stays, None] == kinds
        rest = np.flatnonzero(~dropped.any(axis=0))
        left, corners, areas, kinds = left[rest], corners[:, rest], areas[rest], kinds[rest]
    return np.concatenate(kept)


def multibox_detection(
    cls_probs: Any,
    box_preds: Any,
    anchors: Any,
    threshold: float = 0.01,
    nms_threshold: float = 0.5,
    clip: bool = True,
    force_suppress: bool = False,
    nms_topk: Optional[int] = None,
    variances: Sequence[float] = VARIANCES,
) -> np.ndarray:
    """Turn a network's output into boxes: decode, score, suppress class by class, as MXNet's ``MultiBoxDetection``.

    Every anchor says one thing: its most probable class that is not background. Equal to that operator, and to
    ``d2l.mxnet.multibox_detection``'s kept rows with ``force_suppress=True, clip=False``.

    Args:
        cls_probs: (N, K + 1, A) float32, probabilities; class 0 is background.
        box_preds: (N, A·4) float32, offsets.
        anchors: (A, 4) or (1, A, 4) float32, corners.
        threshold: smallest score, from 0 to 1.
        nms_threshold: IoU that drops the weaker box, above 0, at most 1.
        clip: cut boxes at the picture's border.
        force_suppress: suppress across classes.
        nms_topk: boxes a picture that go into the suppression, the best; None takes all.
        variances: as for ``targets.encode``.

    Returns:
        (N, A, 6) float32, rows (class, score, xmin, ymin, xmax, ymax) by falling score, class from 0; rows of −1 follow
        where nothing else was found.

    Raises:
        ValueError: shapes do not fit, or an argument is out of range.

    >>> anchors = np.array([[0.25, 0.25, 0.75, 0.75], [0.25, 0.25, 0.75, 1]])
    >>> probabilities = np.array([[[0.25, 0.5], [0.75, 0.5]]])  # background and one class
    >>> multibox_detection(probabilities, np.zeros((1, 8)), anchors).tolist()
    [[[0.0, 0.75, 0.25, 0.25, 0.75, 0.75], [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0]]]
    """
    anchors = as_array("anchors", anchors)
    anchors = as_array("anchors", anchors[0] if anchors.ndim == 3 and len(anchors) == 1 else anchors, None, 4)
    A = len(anchors)
    cls_probs = as_array("cls_probs", cls_probs, None, None, A)
    N, channels, _ = cls_probs.shape
    if channels < 2:
        raise ValueError(f"cls_probs must hold background and at least one class, got shape {cls_probs.shape}")
    box_preds = as_array("box_preds", box_preds, N, A * 4).reshape(N, A, 4)
    _check.number("threshold", threshold, at_least=0, at_most=1)
    _check.number("nms_threshold", nms_threshold, above=0, at_most=1)
    topk = A if nms_topk is None else _check.integer("nms_topk", nms_topk, at_least=1)

    scores = cls_probs[:, 1:].max(axis=1)  # (N, A)
    found = np.full((N, A, 6), -1, np.float32)
    for n in range(N):
        candidates = np.flatnonzero(scores[n] >= threshold)
        order = candidates[np.argsort(-scores[n, candidates], kind="stable")][:topk]
        kinds = cls_probs[n, 1:, order].argmax(axis=1)  # (k,): that of all anchors would take most of the time
        boxes = decode(anchors[order], box_preds[n, order], variances)  # (k, 4)
        if clip:
            np.minimum(np.maximum(boxes, 0, out=boxes), 1, out=boxes)
        kept = _suppress(boxes, None if force_suppress else kinds, float(np.float32(nms_threshold)))
        rows = found[n, : len(kept)]
        rows[:, 0], rows[:, 1], rows[:, 2:] = kinds[kept], scores[n, order[kept]], boxes[kept]
    return found
