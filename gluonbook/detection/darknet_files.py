"""A detector from files that Darknet's users have: a configuration, its weights, and the names of its classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from gluonbook import _check, _files, devices
from gluonbook._mxnet import mx
from gluonbook.detection.darknet import Darknet, fold_batch_norm, load_darknet_weights
from gluonbook.detection.darknet_config import read_config
from gluonbook.detection.inference import Detector
from gluonbook.detection.yolo_inference import find_in_letterbox

COCO_NAMES = tuple(  # Lin et al. 2014, in the order of Darknet's coco.names, spelled as COCO itself does
    """person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
    teddy bear, hair drier, toothbrush""".replace("\n   ", "").split(", ")
)


def darknet_detector(
    config: _files.PathLike,
    weights: _files.PathLike,
    names: Optional[_files.PathLike] = None,
    device: Any = "auto",
    batch_size: int = 8,
) -> Detector:
    """Return a YOLO network in Darknet's files as a detector.

    Pictures are letterboxed to the size in the configuration. Batch norm is folded into the convolutions.

    Args:
        config: a ``.cfg`` file, as ``read_config`` takes it, for pictures of three channels.
        weights: a ``.weights`` file of the same network.
        names: a file with the name of a class a line, such as Darknet's ``coco.names``; without one the classes are
            COCO's where there are 80, else ``"class 0"``, ``"class 1"``, …
        device: as ``gluonbook.device`` takes it.
        batch_size: pictures that go through the network together, at least 1.

    Returns:
        Detector.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: one cannot be read, they do not belong together, or the network is not for colour pictures; the
            message names the file.

    >>> import tempfile
    >>> from gluonbook.detection.darknet import save_darknet_weights
    >>> folder = tempfile.TemporaryDirectory()
    >>> config, weights = _files.packaged("datasets") / "detection" / "yolo-small.cfg", f"{folder.name}/small.weights"
    >>> net = Darknet(read_config(config))
    >>> net.initialize(mx.init.Zero())
    >>> save_darknet_weights(net, weights)
    >>> detector = darknet_detector(config, weights, device="cpu")
    >>> detector.classes, len(detector.find([np.zeros((40, 60, 3), np.uint8)]))
    (('class 0', 'class 1', 'class 2'), 1)
    >>> folder.cleanup()
    """
    device = devices.device(device)
    batch_size = _check.integer("batch_size", batch_size, at_least=1)
    net = _read_net(config)
    classes = default_names(net.num_classes) if names is None else read_names(names)
    if len(classes) != net.num_classes:
        raise ValueError(f"{names} must name the {net.num_classes} classes of {config}, got {len(classes)} names")
    net.initialize(mx.init.Zero(), ctx=device)
    load_darknet_weights(net, weights)
    folded = fold_batch_norm(net)
    folded.hybridize(static_alloc=True)

    def find(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = []
        for start in range(0, len(pictures), batch_size):
            found += find_in_letterbox(folded, pictures[start : start + batch_size], folded.size, device)
        return found

    return Detector(classes, find)


def read_names(path: _files.PathLike) -> tuple[str, ...]:
    """Read the names of classes: one a line, blank lines left out.

    Args:
        path: a text file in UTF-8, such as Darknet's ``coco.names``.

    Returns:
        K names in order.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no text, or holds no name.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected the names of classes, one a line (.names)")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no file of names in UTF-8: {error}") from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f"{path} must hold the names of classes, one a line, got none")
    return names


def default_names(num_classes: int) -> tuple[str, ...]:
    """Return names for classes that have none: COCO's for 80, else their numbers.

    Args:
        num_classes: K, at least 1.

    >>> default_names(2), default_names(80)[:2]
    (('class 0', 'class 1'), ('person', 'bicycle'))
    """
    num_classes = _check.integer("num_classes", num_classes, at_least=1)
    if num_classes == len(COCO_NAMES):
        return COCO_NAMES
    return tuple(f"class {k}" for k in range(num_classes))


def _read_net(config: _files.PathLike) -> Darknet:
    sections = read_config(config)
    try:
        net = Darknet(sections)
    except ValueError as error:
        raise ValueError(f"{config}: {error}") from None
    if net.channels != 3:
        raise ValueError(f"{config} must be for pictures with channels=3, got {net.channels}")
    return net
