"""What differs between the networks that training and detection know: one ``Family`` for the SSDs, one for YOLO."""

from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

import numpy as np

from gluonbook import _check, _files
from gluonbook._mxnet import autograd, mx, nd
from gluonbook.data.detection import DetectionSet
from gluonbook.detection import ssd, yolo_learning
from gluonbook.detection.augmentation import augment, change_colours, reframe
from gluonbook.detection.darknet import SLOPE, Darknet
from gluonbook.detection.darknet_config import Section, read_config, with_classes, with_size
from gluonbook.detection.inference import ssd_finder, standardise
from gluonbook.detection.letterboxing import as_input, letterbox, letterbox_boxes
from gluonbook.detection.targets import Targets, multibox_target
from gluonbook.detection.yolo_inference import find_in_letterbox

MIN_NEGATIVES = 8  # background anchors that a picture without objects teaches an SSD
YOLO_CONFIGS = {"yolo": "yolo-small.cfg"}
# A YOLO begins by saying that nothing is anywhere, as nearly everywhere is right (Lin et al. 2017, section 4.1): large
# first gradients of objectness would stay in Adam's second moments, and slow down the rest, for a thousand steps.
FIRST_OBJECTNESS, FIRST_DEVIATION = -6.0, 0.01  # bias before sigmoid (0.0025), and of the heads' kernels
MEASURED = 1000  # pictures whose boxes choose the anchors

Pair = tuple[np.ndarray, np.ndarray]
Rows = list[np.ndarray]
Total = Callable[[float], float]


class Family(NamedTuple):
    """What training and detection ask of a kind of network; settings are the arguments of ``train``.

    Attributes:
        losses: names of its losses, in the order of ``learn`` and of the history.
        stride: pixels that the size must be a multiple of.
        unused: settings that have no effect on it.
        fitted: names of what ``fit`` takes from the training set; a trained detector's settings hold them, too.
        fit: training set and settings to those, plain data.
        build: number of classes and settings, with what was fitted, to the network, not initialised.
        initialise: gives a network its first weights, on devices.
        prepare: picture (H, W, 3) uint8, labels (M, 5), random numbers, size: the augmented square and its labels.
        as_input: N such squares to (N, 3, H, W) float32.
        learn: network and settings to a function of the recorded predictions and the labels (n, M, 5) of each device,
            and of what gives a count of these pictures for the whole batch, which other workers share; it returns each
            device's losses, recorded, (1,) each; over devices and workers they add up to the batch's.
        find: network, size and device to a function of pictures of any size, as ``Detector.find``.
    """

    losses: tuple[str, ...]
    stride: int
    unused: tuple[str, ...]
    fitted: tuple[str, ...]
    fit: Callable[[DetectionSet, dict[str, Any]], dict[str, Any]]
    build: Callable[[int, dict[str, Any]], Any]
    initialise: Callable[[Any, list[Any]], None]
    prepare: Callable[[np.ndarray, np.ndarray, np.random.Generator, int], Pair]
    as_input: Callable[[Sequence[np.ndarray]], np.ndarray]
    learn: Callable[
        [Any, dict[str, Any]], Callable[[Sequence[Any], Sequence[np.ndarray], Total], list[tuple[Any, ...]]]
    ]
    find: Callable[[Any, int, Any], Callable[[Sequence[np.ndarray]], Rows]]


def networks() -> tuple[str, ...]:
    """Return the names of all networks."""
    return (*ssd.NETWORKS, *YOLO_CONFIGS)


def family(network: str) -> Family:
    """Return the family of a network.

    Raises:
        ValueError: there is no such network; the message lists their names.

    >>> family("tiny").losses, family("yolo").losses
    (('cls', 'box'), ('cls', 'box', 'objectness'))
    """
    return YOLO if _check.choice("network", network, networks()) in YOLO_CONFIGS else SSD


# SSD


def _build_ssd(num_classes: int, settings: dict[str, Any]) -> Any:
    return ssd.NETWORKS[settings["network"]](num_classes)


def _initialise_ssd(net: Any, devices: list[Any]) -> None:
    net.initialize(mx.init.Xavier(), ctx=devices)


def _prepare_ssd(picture: np.ndarray, labels: np.ndarray, rng: np.random.Generator, size: int) -> Pair:
    return augment(picture, labels, rng, size)


def _learn_ssd(net: Any, settings: dict[str, Any]) -> Callable[..., list[tuple[Any, ...]]]:
    anchors = net.anchors(settings["size"], settings["size"])

    def losses(predictions: Sequence[Any], labels: Sequence[np.ndarray], total: Total) -> list[tuple[Any, ...]]:
        targets = [
            ssd_targets(anchors, rows, cls_preds, settings["negative_ratio"])
            for rows, (cls_preds, _) in zip(labels, predictions)
        ]
        num_matched = total(sum(int((target.cls_targets > 0).sum()) for target in targets))
        with autograd.record():
            return [ssd.ssd_loss(cls, box, target, num_matched) for (cls, box), target in zip(predictions, targets)]

    return losses


def ssd_targets(anchors: np.ndarray, labels: np.ndarray, cls_preds: Any, negative_ratio: float) -> Targets:
    """Return what an SSD learns from a batch: matched anchors, and the hardest negatives.

    Args:
        anchors: (A, 4) float32.
        labels: (N, M, 5) float32, padded with −1.
        cls_preds: (N, A, K + 1), the network's.
        negative_ratio: background anchors a matched one, above 0.

    Returns:
        Targets.
    """
    return multibox_target(
        anchors,
        labels,
        cls_preds.transpose((0, 2, 1)),  # (N, K + 1, A)
        negative_mining_ratio=negative_ratio,
        minimum_negative_samples=MIN_NEGATIVES,
    )


SSD = Family(
    losses=("cls", "box"),
    stride=1,
    unused=(),
    fitted=(),
    fit=lambda train_set, settings: {},
    build=_build_ssd,
    initialise=_initialise_ssd,
    prepare=_prepare_ssd,
    as_input=standardise,
    learn=_learn_ssd,
    find=ssd_finder,
)


# YOLO


def _config(settings: dict[str, Any]) -> tuple[Section, ...]:
    return read_config(_files.packaged("datasets") / "detection" / YOLO_CONFIGS[settings["network"]])


def _anchors_of(sections: Sequence[Section]) -> np.ndarray:
    """Return the anchors of all heads, (B, 2), in pixels of the size in ``[net]``."""
    options = next(section.options for section in sections if section.kind == "yolo")
    return np.array(options["anchors"], float).reshape(-1, 2)


def fit_anchors(train_set: DetectionSet, settings: dict[str, Any]) -> dict[str, Any]:
    """Choose a YOLO's anchors: clusters of the training set's boxes, letterboxed.

    Where fewer boxes differ, in whole pixels, than the network has anchors, they are those of its configuration, scaled
    to the size.

    Args:
        train_set: of its pictures a thousand, drawn by the seed, are measured; difficult objects do not count.
        settings: ``network``, ``size`` and ``seed``.

    Returns:
        ``anchors``, [[width, height], …] in whole pixels, as in Darknet's files, by rising area.
    """
    sections, size, seed = _config(settings), settings["size"], settings["seed"]
    measured = np.random.default_rng(seed).permutation(len(train_set))[:MEASURED]
    labels = [_letterboxed(train_set, int(i), size) for i in measured]
    anchors = _anchors_of(sections)
    pixels = np.rint(np.concatenate([rows[:, 3:] - rows[:, 1:3] for rows in labels]) * size)  # (M, 2)
    if len(np.unique(pixels, axis=0)) < len(anchors):
        anchors = anchors * size / sections[0].options["width"]
    else:
        anchors = np.maximum(np.rint(yolo_learning.cluster_anchors(labels, len(anchors), size, seed).anchors), 1)
    return {"anchors": anchors.tolist()}


def _letterboxed(data: DetectionSet, i: int, size: int) -> np.ndarray:
    labels = data.labels[i][~data.difficult[i]]
    return _labels_in_letterbox(labels, data.picture(i).shape, size) if len(labels) else labels


def _labels_in_letterbox(labels: np.ndarray, shape: tuple[int, ...], size: int) -> np.ndarray:
    return np.concatenate([labels[:, :1], letterbox_boxes(labels[:, 1:], shape, size)], axis=1)


def _build_yolo(num_classes: int, settings: dict[str, Any]) -> Darknet:
    sections, size = _config(settings), settings["size"]
    num_anchors = len(_anchors_of(sections))
    anchors = _check.as_array("settings['anchors']", settings["anchors"], num_anchors, 2)
    if not (np.isfinite(anchors).all() and (anchors > 0).all()):
        raise ValueError(f"settings['anchors'] must be widths and heights above 0, got {settings['anchors']}")
    values = tuple(anchors.ravel().tolist())
    return Darknet(
        [
            section._replace(options={**section.options, "anchors": values}) if section.kind == "yolo" else section
            for section in with_size(with_classes(sections, num_classes), size, size)
        ]
    )


def _initialise_yolo(net: Darknet, devices: list[Any]) -> None:
    lasts = [block[0] for block in net.convolutions if block[0].bias is not None]  # one a head, without batch norm
    for last in lasts:
        last.weight.init = mx.init.Normal(FIRST_DEVIATION)
    net.initialize(mx.init.MSRAPrelu("in", SLOPE), ctx=devices)  # He et al. 2015, for leaky ReLUs
    for last in lasts:
        bias = np.zeros(last.bias.shape, np.float32)
        bias.reshape(-1, 5 + net.num_classes)[:, 4] = FIRST_OBJECTNESS
        last.bias.set_data(nd.array(bias))


def _prepare_yolo(picture: np.ndarray, labels: np.ndarray, rng: np.random.Generator, size: int) -> Pair:
    picture, labels = reframe(picture, labels, rng)
    labels = _labels_in_letterbox(labels, picture.shape, size)
    return change_colours(letterbox(picture, size), rng), labels  # the grey ground's, too, as in Darknet


def _learn_yolo(net: Darknet, settings: dict[str, Any]) -> Callable[..., list[tuple[Any, ...]]]:
    def losses(predictions: Sequence[Any], labels: Sequence[np.ndarray], total: Total) -> list[tuple[Any, ...]]:
        targets = [yolo_learning.yolo_targets(rows, net.heads, settings["size"]) for rows in labels]
        N = total(sum(map(len, labels)))
        with autograd.record():
            found = [
                yolo_learning.yolo_loss(maps, net.heads, learnt, rows)
                for maps, learnt, rows in zip(predictions, targets, labels)
            ]
            shares = [len(rows) / N for rows in labels]  # each device's losses are a mean over its own pictures
            return [(part.cls * n, part.box * n, part.objectness * n) for part, n in zip(found, shares)]

    return losses


def _find_yolo(net: Darknet, size: int, device: Any) -> Callable[[Sequence[np.ndarray]], Rows]:
    return lambda pictures: find_in_letterbox(net, pictures, size, device)


YOLO = Family(
    losses=("cls", "box", "objectness"),
    stride=32,
    unused=("negative_ratio",),
    fitted=("anchors",),
    fit=fit_anchors,
    build=_build_yolo,
    initialise=_initialise_yolo,
    prepare=_prepare_yolo,
    as_input=as_input,
    learn=_learn_yolo,
    find=_find_yolo,
)
