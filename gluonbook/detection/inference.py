"""From pictures to boxes: one way to ask a detector of this package, and one of gluoncv's zoo."""

from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

import numpy as np

from gluonbook import _check, devices
from gluonbook._mxnet import nd
from gluonbook.data.pictures import resize
from gluonbook.detection.saved import TrainedDetector, build_net
from gluonbook.detection.suppression import multibox_detection

MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255  # of ImageNet, RGB
STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
LEAST_SCORE = 0.01  # what is kept for measuring
NMS_THRESHOLD, NMS_TOPK, MOST_FOUND = 0.45, 400, 100  # Liu et al. 2016, section 2.2: 0.45, 200 a picture


class Detector(NamedTuple):
    """A detector that is ready.

    Attributes:
        classes: K names.
        find: pictures, each (H, W, 3) uint8, RGB, to an array (k, 6) each: rows (class, score, xmin, ymin, xmax, ymax)
            by falling score, corners as fractions of the picture.
    """

    classes: tuple[str, ...]
    find: Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def standardise(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures of one size as the network takes them.

    Args:
        pictures: N of (H, W, 3) uint8, RGB.

    Returns:
        (N, 3, H, W) float32, each channel less ImageNet's mean, over its standard deviation.
    """
    X = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32, order="C")  # (N, 3, H, W)
    X -= MEAN[:, None, None]
    X /= STD[:, None, None]
    return X


def find_boxes(net: Any, pictures: Sequence[np.ndarray], anchors: np.ndarray, device: Any) -> list[np.ndarray]:
    """Ask an SSD for everything that it sees with a score of at least 0.01, suppressed class by class.

    Args:
        net: SSD.
        pictures: N of (H, W, 3) uint8, RGB, of one size.
        anchors: (A, 4) float32, for that size.
        device: the network's.

    Returns:
        N arrays (k, 6) float32, k at most 100, rows as of ``Detector.find``.
    """
    if not len(pictures):
        return []
    cls_preds, box_preds = net(nd.array(standardise(pictures), ctx=device))
    probabilities = nd.softmax(cls_preds).transpose((0, 2, 1))  # (N, K + 1, A)
    rows = multibox_detection(
        probabilities, box_preds, anchors, LEAST_SCORE, nms_threshold=NMS_THRESHOLD, nms_topk=NMS_TOPK
    )
    return [found[: min(int((found[:, 0] >= 0).sum()), MOST_FOUND)] for found in rows]


def ssd_finder(net: Any, size: int, device: Any) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """Return an SSD as a function of pictures of any size, which are squeezed to a square of ``size`` pixels."""
    anchors = net.anchors(size, size)
    return lambda pictures: find_boxes(net, [resize(picture, size) for picture in pictures], anchors, device)


def make_detector(model: TrainedDetector, device: Any = "auto", batch_size: int = 8) -> Detector:
    """Return a trained detector, ready.

    Args:
        model: as ``load_detector`` returns it.
        device: as ``gluonbook.device`` takes it.
        batch_size: pictures that go through the network together, at least 1.

    Returns:
        Detector.
    """
    from gluonbook.detection.families import family

    device = devices.device(device)
    batch_size = _check.integer("batch_size", batch_size, at_least=1)
    settings = model.settings
    find_few = family(settings["network"]).find(build_net(model, device), settings["size"], device)

    def find(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = []
        for start in range(0, len(pictures), batch_size):
            found += find_few(pictures[start : start + batch_size])
        return found

    return Detector(model.classes, find)
