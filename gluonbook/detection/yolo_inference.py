"""From pictures of any size to the boxes that a YOLO network sees in them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gluonbook._mxnet import nd
from gluonbook.detection.inference import LEAST_SCORE, MOST_FOUND, NMS_THRESHOLD, NMS_TOPK
from gluonbook.detection.letterboxing import Size, as_input, letterbox, unletterbox_boxes
from gluonbook.detection.yolo import find_yolo


def find_in_letterbox(
    net: Any, pictures: Sequence[np.ndarray], size: Size, device: Any, threshold: float = LEAST_SCORE
) -> list[np.ndarray]:
    """Ask a YOLO network for everything that it sees, suppressed class by class.

    Args:
        net: Darknet, on ``device``.
        pictures: N of (H, W, 3) uint8, RGB, each of a size of its own.
        size: of the letterboxes in pixels, a square's side or (height, width); a multiple of the largest stride.
        device: the network's.
        threshold: smallest score, from 0 to 1.

    Returns:
        N arrays (k, 6) float32, k at most 100, rows (class, score, xmin, ymin, xmax, ymax) by falling score, corners as
        fractions of the picture, clipped; boxes that lie on the letterbox's grey alone are left out.
    """
    if not len(pictures):
        return []
    maps = net(nd.array(as_input([letterbox(picture, size) for picture in pictures]), ctx=device))
    found = find_yolo(maps, net.heads, threshold, NMS_THRESHOLD, NMS_TOPK, MOST_FOUND)
    return [_in_picture(rows, picture.shape, size) for rows, picture in zip(found, pictures)]


def _in_picture(rows: np.ndarray, shape: tuple[int, ...], size: Size) -> np.ndarray:
    rows[:, 2:] = unletterbox_boxes(rows[:, 2:], shape, size).clip(0, 1)
    return rows[(rows[:, 4:] > rows[:, 2:4]).all(axis=1)]
