"""Mean average precision: gluoncv's metrics of the Pascal VOC challenges, on NumPy arrays."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from gluonbook import _mxnet

ADDED = np.array([0.0, 0, 1, 1])  # what gluoncv's metrics add to corners, which they take for whole pixels


class MeanAP(NamedTuple):
    """Average precisions at an IoU of 0.5, from 0 to 1.

    Attributes:
        voc07: their mean over the classes, by the challenge of 2007 (eleven points of the curve).
        voc12: their mean, by the challenges since 2010 (the whole area under the curve).
        by_class: by the rule of 2007; nan for a class that no picture shows. Both means are over the others.
    """

    voc07: float
    voc12: float
    by_class: dict[str, float]


def mean_ap(
    found: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    classes: Sequence[str],
    difficult: Optional[Sequence[np.ndarray]] = None,
    iou_threshold: float = 0.5,
) -> MeanAP:
    """Measure detections against the truth (Everingham et al. 2010, section 4.2).

    Args:
        found: N arrays (k, 6), rows (class, score, xmin, ymin, xmax, ymax).
        labels: N arrays (M, 5), rows (class, xmin, ymin, xmax, ymax).
        classes: K names.
        difficult: N arrays (M,) bool, objects that count neither way; None takes none for difficult.
        iou_threshold: IoU from which a detection is right.

    Returns:
        MeanAP.

    Raises:
        ValueError: the lengths differ.
    """
    if len(found) != len(labels):
        raise ValueError(f"found and labels must be of the same pictures, got {len(found)} and {len(labels)}")
    flags = (
        [np.zeros(len(truth)) for truth in labels] if difficult is None else [np.asarray(f, float) for f in difficult]
    )
    if [len(f) for f in flags] != [len(truth) for truth in labels]:
        raise ValueError("difficult must hold a flag for each object of each picture")
    if all(np.all(f) for f in flags):  # nothing to find: gluoncv's metrics would fail or warn
        return MeanAP(math.nan, math.nan, dict.fromkeys(classes, math.nan))
    metrics = _mxnet.gluoncv().utils.metrics
    values = []
    for metric_class in (metrics.VOC07MApMetric, metrics.VOCMApMetric):
        metric = metric_class(iou_threshold, list(classes))
        for rows, truth, hard in zip(found, labels, flags):
            boxes, objects = rows[:, 2:] - ADDED, truth[:, 1:] - ADDED  # (k, 4), (M, 4)
            parts = (boxes, rows[:, :1], rows[:, 1:2], objects, truth[:, :1], hard[:, None])
            metric.update(*(part[None] for part in parts))
        values.append(dict(zip(*metric.get())))
    by_class = {name: _rounded(values[0][name]) for name in classes}
    return MeanAP(_rounded(values[0]["mAP"]), _rounded(values[1]["mAP"]), by_class)


def _rounded(value: float) -> float:
    return round(float(value), 12)  # eleven elevenths add up to more than one
