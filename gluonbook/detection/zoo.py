"""Detectors of gluoncv's model zoo, trained by others on Pascal VOC and COCO."""

import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gluonbook import _mxnet, devices
from gluonbook._mxnet import nd
from gluonbook.detection.inference import MEAN, STD, Detector

KINDS = ("ssd_", "yolo3_")
SHORT_SIDE, LONG_SIDE = {"ssd_512": 512, "ssd_300": 300, "yolo3": 416}, 1024
LEAST_SIDE = 288  # a shorter one leaves the last maps of some SSDs without pixels
MODELS_FOLDER = Path("~") / ".mxnet" / "models"


def pretrained_names() -> list[str]:
    """List the detectors of gluoncv's zoo that have published weights."""
    zoo = _mxnet.gluoncv().model_zoo
    return [name for name in zoo.pretrained_model_list() if name.startswith(KINDS)]


def pretrained_detector(name: str, device: Any = "auto", root: Any = MODELS_FOLDER) -> Detector:
    """Return a detector of gluoncv's zoo, its weights found in a folder or downloaded to it.

    Args:
        name: ``"ssd_512_mobilenet1.0_voc"``, …; ``pretrained_names`` lists them.
        device: as ``gluonbook.device`` takes it.
        root: the folder of weights; gluoncv takes ``$MXNET_HOME/models`` instead where that variable is set.

    Returns:
        Detector.

    Raises:
        ValueError: there is no such detector; the message lists them.
        FileNotFoundError: its weights are not in the folder and cannot be downloaded; the message says which file goes
            where, and what works without it.
    """
    known = pretrained_names()
    if name.lower() not in known:
        raise ValueError(f"pretrained must be one of {', '.join(known)}; got {name!r}")
    name, device, root = name.lower(), devices.device(device), _weights_folder(root)
    gluoncv = _mxnet.gluoncv()
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():  # it prints what it downloads
            warnings.filterwarnings("ignore", "Cannot decide type")  # MXNet's, of every network on a backbone
            net = gluoncv.model_zoo.get_model(name, pretrained=True, root=str(root), ctx=device)
    except Exception as error:  # gluoncv, requests and urllib3 each raise their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        file = f"{name}-{gluoncv.model_zoo.model_store.short_hash(name)}.params"
        raise FileNotFoundError(
            f"the weights of {name} are not here and could not be downloaded ({reason}). Put the file {file} "
            f"into {root} by hand, or use the detector that comes with the package (without --pretrained), or "
            "one of your own (gluonbook detect-train, then --model)"
        ) from None
    short = next(side for prefix, side in SHORT_SIDE.items() if name.startswith(prefix))
    net.hybridize()

    def find(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [_find(net, picture, short, device) for picture in pictures]

    return Detector(tuple(net.classes), find)


def _weights_folder(root: Any) -> Path:
    home = os.environ.get("MXNET_HOME")
    return (Path(root) if home is None else Path(home) / "models").expanduser()


def _find(net: Any, picture: np.ndarray, short: int, device: Any) -> np.ndarray:
    """Ask a network of gluoncv about one picture; return (k, 6) rows with corners as fractions."""
    import cv2

    height, width = picture.shape[:2]
    scale = min(short / min(height, width), LONG_SIDE / max(height, width))
    sides = [max(LEAST_SIDE, round(side * scale / 32) * 32) for side in (width, height)]  # YOLO's strides divide them
    X = (cv2.resize(np.ascontiguousarray(picture), tuple(sides)) - MEAN) / STD  # (H, W, 3)
    classes, scores, boxes = net(nd.array(X.transpose(2, 0, 1)[None], ctx=device))
    rows = np.concatenate([part[0].asnumpy() for part in (classes, scores, boxes)], axis=1)  # (k, 6)
    rows = rows[rows[:, 0] >= 0]
    rows[:, 2:] = (rows[:, 2:] / np.tile(sides, 2)).clip(0, 1)
    return rows[np.argsort(-rows[:, 1], kind="stable")]
