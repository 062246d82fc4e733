"""Targets: which anchor learns which object, the offsets between them, and which anchors learn the background."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

import numpy as np

from gluonbook import _check
from gluonbook._check import as_array, check_labels
from gluonbook.detection.boxes import _iou, area, corner_to_center

VARIANCES = (0.1, 0.1, 0.2, 0.2)
BACKGROUND, IGNORED, PADDING = 0, -1, -1
LEAST_IOU = 1e-6  # an object that overlaps no anchor more than this gets none


class Targets(NamedTuple):
    """What a batch is to learn, as MXNet's ``MultiBoxTarget`` returns it.

    Attributes:
        box_targets: (N, A·4) float32, offsets of the matched object; 0 elsewhere.
        box_masks: (N, A·4) float32, 1 for matched anchors, 0 elsewhere.
        cls_targets: (N, A) float32: 0 background, k + 1 for class k, −1 neither (not to be learnt).
    """

    box_targets: np.ndarray
    box_masks: np.ndarray
    cls_targets: np.ndarray


def match(overlaps: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Assign objects to anchors: each object its best anchor first, then each anchor its best object above a threshold.

    First the largest entry of the matrix gives its object to its anchor, both are struck out, and so on until every
    object has one (Liu et al. 2016, section 2.2). So an anchor that two objects like best goes to the one that it
    overlaps more, and the other object takes its next best anchor. Of equal entries the first wins, anchor by anchor.

    Args:
        overlaps: (A, M) float32, IoU of each anchor with each object.
        threshold: an anchor left over takes its best object where their IoU is above this; 0 or less: none does.

    Returns:
        (A,) int, the object of each anchor, −1 for none.

    >>> match(np.array([[0.9, 0.8], [0.6, 0.3], [0.1, 0.0]])).tolist()
    [0, 1, -1]
    """
    matched = np.full(len(overlaps), -1)
    if overlaps.size == 0:
        return matched
    if threshold > 0:
        above = np.flatnonzero(overlaps.max(axis=1) > threshold)  # few: argmax of all would take longer than the rest
        matched[above] = overlaps[above].argmax(axis=1)
    left = overlaps.copy()  # (A, M)
    for _ in range(overlaps.shape[1]):
        anchor, m = divmod(int(left.argmax()), overlaps.shape[1])
        if left[anchor, m] <= LEAST_IOU:
            break
        matched[anchor] = m
        left[anchor, :] = left[:, m] = -1
    return matched


def encode(anchors: np.ndarray, boxes: np.ndarray, variances: Sequence[float] = VARIANCES) -> np.ndarray:
    """Return the offsets from anchors to boxes: what the network is to predict.

    Shifts of the centre in anchor sides, logarithms of the ratios of sides, each divided by its variance (Liu et al.
    2016, equation 2; the variances make the four about equally large).

    Args:
        anchors: (A, 4) float32, corners.
        boxes: (A, 4) float32, corners, each with a positive width and height.
        variances: four values, above 0.

    Returns:
        (A, 4) float32, (dx, dy, dw, dh).

    >>> encode([[0.0, 0.0, 0.5, 0.5]], [[0.1, 0.0, 0.6, 0.5]]).round(4).tolist()
    [[2.0, 0.0, 0.0, 0.0]]
    """
    anchors, boxes = corner_to_center(anchors), corner_to_center(boxes)
    shift = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    growth = np.log(boxes[..., 2:] / anchors[..., 2:])
    return np.concatenate([shift, growth], axis=-1) / _variances(variances)  # (A, 4)


def decode(anchors: np.ndarray, offsets: np.ndarray, variances: Sequence[float] = VARIANCES) -> np.ndarray:
    """Return the boxes that offsets from anchors say: the inverse of ``encode``.

    Args:
        anchors: (…, A, 4) float32, corners.
        offsets: (…, A, 4) float32.
        variances: as for ``encode``.

    Returns:
        (…, A, 4) float32, corners, not clipped.
    """
    anchors = corner_to_center(anchors)
    offsets = as_array("offsets", offsets) * _variances(variances)
    center = offsets[..., :2] * anchors[..., 2:] + anchors[..., :2]
    half = np.exp(offsets[..., 2:]) * anchors[..., 2:] / 2
    return np.concatenate([center - half, center + half], axis=-1)  # (…, A, 4)


def _variances(values: Sequence[float]) -> np.ndarray:
    if len(values) != 4:
        raise ValueError(f"variances must be four numbers, got {values!r}")
    return np.array([_check.number(f"variances[{i}]", value, above=0) for i, value in enumerate(values)], np.float32)


def hard_negatives(background: np.ndarray, candidates: np.ndarray, num_negatives: int) -> np.ndarray:
    """Choose the anchors that the network takes for background least, though they are.

    Args:
        background: (A,) float32, the network's probability of background.
        candidates: (A,) bool, the anchors to choose from.
        num_negatives: how many, at least 0; fewer where there are not so many candidates.

    Returns:
        (k,) int, indices of anchors, the hardest first; of equal ones the first.

    >>> hard_negatives(np.array([0.9, 0.2, 0.5, 0.1]), np.array([True, True, True, False]), 2).tolist()
    [1, 2]
    """
    indices = np.flatnonzero(candidates)
    if 0 < num_negatives < len(indices):  # only those that are hard enough are sorted
        values = background[indices]
        indices = indices[~(values > np.partition(values, num_negatives - 1)[num_negatives - 1])]
    return indices[np.argsort(background[indices], kind="stable")[:num_negatives]]


def multibox_target(
    anchors: Any,
    labels: Any,
    cls_preds: Any = None,
    overlap_threshold: float = 0.5,
    negative_mining_ratio: Optional[float] = None,
    negative_mining_thresh: float = 0.5,
    minimum_negative_samples: int = 0,
    variances: Sequence[float] = VARIANCES,
) -> Targets:
    """Return what each anchor is to learn from the true boxes of a batch, as MXNet's ``MultiBoxTarget``.

    Equal to that operator, and to ``d2l.mxnet.multibox_target`` where the two agree, but for these:
    an object that overlaps no anchor gets none, as in the operator (d2l gives it the first anchor); an anchor whose IoU
    equals the threshold takes no object, as in the operator (in d2l it does); a picture without objects is background
    everywhere (the operator ignores it, and then pictures of nothing teach nothing), and with
    ``negative_mining_ratio`` its ``minimum_negative_samples`` hardest anchors are; ``minimum_negative_samples`` holds,
    and fewer candidates than are wanted are all taken (the operator ignores the one and fails at the other); inverted,
    empty and infinite boxes and classes out of range are refused (both take them).

    Args:
        anchors: (A, 4) or (1, A, 4) float32, corners.
        labels: (N, M, 5) float32, rows (class, xmin, ymin, xmax, ymax); rows after a picture's objects hold −1.
        cls_preds: (N, K + 1, A) float32, the network's scores before softmax; needed for mining only.
        overlap_threshold: IoU above which an anchor takes an object that has a better one.
        negative_mining_ratio: negatives a matched anchor, the hardest (Liu et al. 2016, section 2.2: 3); None takes
            every anchor left over as background.
        negative_mining_thresh: anchors with an IoU of at least this are no negatives.
        minimum_negative_samples: in any picture.
        variances: as for ``encode``.

    Returns:
        Targets.

    Raises:
        ValueError: shapes do not fit, an argument is out of range, a label is wrong (picture, row and value are given),
            or mining lacks predictions.

    >>> anchors = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    >>> targets = multibox_target(anchors, np.array([[[2, 0.5, 0.5, 1, 1]]]))
    >>> targets.cls_targets.tolist(), targets.box_masks.tolist()
    ([[0.0, 3.0]], [[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]])
    """
    anchors = as_array("anchors", anchors)
    anchors = as_array("anchors", anchors[0] if anchors.ndim == 3 and len(anchors) == 1 else anchors, None, 4)
    labels = as_array("labels", labels, None, None, 5)
    N, A = len(labels), len(anchors)
    _check.number("overlap_threshold", overlap_threshold, at_most=1)
    _check.number("negative_mining_thresh", negative_mining_thresh, at_least=0, at_most=1)
    _check.integer("minimum_negative_samples", minimum_negative_samples, at_least=0)
    mined, num_classes = negative_mining_ratio is not None, None
    if mined:
        _check.number("negative_mining_ratio", negative_mining_ratio, above=0)
        if cls_preds is None:
            raise ValueError("cls_preds must be given: mining looks for the anchors that the network gets wrong")
        cls_preds = _scores(cls_preds, N, A)
        num_classes = cls_preds.shape[1] - 1
    corners, areas = np.ascontiguousarray(anchors.T), area(anchors)  # (4, A), (A,)
    box_targets, masks = np.zeros((N, A, 4), np.float32), np.zeros((N, A, 4), np.float32)
    cls_targets = np.full((N, A), IGNORED if mined else BACKGROUND, np.float32)
    free = np.zeros((N, A), bool)
    for n in range(N):
        objects = labels[n, : num_objects(labels[n])]  # (M, 5)
        check_labels(objects, num_classes, n)
        overlaps = _overlaps(corners, areas, objects[:, 1:])  # (A, M)
        matched = match(overlaps, overlap_threshold)
        free[n] = (matched < 0) & (overlaps.max(axis=1, initial=-1) < negative_mining_thresh)
        positive = np.flatnonzero(matched >= 0)
        chosen = objects[matched[positive]]
        cls_targets[n, positive] = chosen[:, 0] + 1
        box_targets[n, positive] = encode(anchors[positive], chosen[:, 1:], variances)
        masks[n, positive] = 1
    if mined:  # only now must the network have computed its scores
        background = _background_probability(as_array("cls_preds", cls_preds))  # (N, A)
        for n, num_matched in enumerate((cls_targets > 0).sum(axis=1).tolist()):
            wanted = max(int(num_matched * negative_mining_ratio), minimum_negative_samples)  # type: ignore[operator]
            cls_targets[n, hard_negatives(background[n], free[n], wanted)] = BACKGROUND
    return Targets(box_targets.reshape(N, A * 4), masks.reshape(N, A * 4), cls_targets)


def _scores(cls_preds: Any, N: int, A: int) -> Any:
    """Return scores of the right shape; those that a network still computes are not waited for."""
    if hasattr(cls_preds, "asnumpy") and len(cls_preds.shape) == 3 and cls_preds.shape[::2] == (N, A):
        return cls_preds
    return as_array("cls_preds", cls_preds, N, None, A)


def _overlaps(corners: np.ndarray, areas: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the IoU of anchors, (4, A) and their areas, with (M, 4) boxes: (A, M), a box's values side by side."""
    shares = _iou(boxes.T[:, :, None], area(boxes)[:, None], corners[:, None], areas)  # (M, A)
    return np.nan_to_num(shares, copy=False).T


def num_objects(labels: np.ndarray) -> int:
    """Count the rows of (M, 5) labels before the padding."""
    padding = np.flatnonzero(labels[:, 0] == PADDING)
    return int(padding[0]) if len(padding) else len(labels)


def _background_probability(cls_preds: np.ndarray) -> np.ndarray:
    """Return softmax's first class over (N, K + 1, A) scores, (N, A)."""
    powers = np.exp(cls_preds - cls_preds.max(axis=1, keepdims=True))
    return powers[:, 0] / powers.sum(axis=1)
