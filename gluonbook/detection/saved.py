"""A trained detector as plain data: NumPy weights, classes, settings, history; and its folder on disk."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gluonbook import _files, _models
from gluonbook._mxnet import nd


@dataclass(frozen=True)
class TrainedDetector:
    """What training returns and detection reads.

    Attributes:
        weights: float32 arrays by the names that the network's ``save_parameters`` gives them.
        classes: K names.
        settings: the arguments of ``train`` that made it; ``network`` and ``size`` are always there, and ``anchors`` of
            a YOLO, [[width, height], …] in pixels.
        history: one dict an epoch: ``epoch``, ``loss`` and its parts ``cls`` and ``box``, of a YOLO ``objectness``,
            too; ``voc07`` and ``voc12`` mAP on the validation set, ``by_class``, ``lr`` (the epoch's first),
            ``seconds``.
    """

    weights: dict[str, np.ndarray]
    classes: tuple[str, ...]
    settings: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)


def embedded_detector() -> Path:
    """Return the folder of the detector that ships with the package."""
    return _files.packaged("datasets") / "detection" / "model"


def save_detector(folder: _files.PathLike, model: TrainedDetector) -> Path:
    """Write a detector to a folder: ``model.params`` and ``model.json``.

    Kernels are kept in float16, which halves the file; all else in float32.

    Returns:
        the path of ``model.json``.
    """
    weights = {name: _halved(weight) for name, weight in model.weights.items()}
    description = {"settings": model.settings, "classes": list(model.classes), "history": model.history}
    return _models.write(folder, weights, description)


def load_detector(folder: _files.PathLike) -> TrainedDetector:
    """Read a detector from its folder.

    Raises:
        FileNotFoundError: there is no model; the message says how to make one.
        ValueError: its files cannot be read, do not belong together, or are no detector's.
    """
    needed = ("history", "classes")
    weights, description = _models.read(folder, needed, ("network", "size"), maker="gluonbook detect-train DATA")
    settings = description["settings"]
    from gluonbook.detection.families import family, networks

    if settings["network"] not in networks():
        known = ", ".join(networks())
        raise ValueError(f"{folder} holds a network {settings['network']!r} that this version does not know: {known}")
    lacking = [name for name in family(settings["network"]).fitted if name not in settings]
    if lacking:
        raise ValueError(f"{folder} does not hold a whole detector: its settings lack {', '.join(lacking)}")
    return TrainedDetector(weights, tuple(description["classes"]), settings, description["history"])


def build_net(model: TrainedDetector, device: Any) -> Any:
    """Return the Gluon network with the detector's weights, hybridized, on a device.

    Raises:
        ValueError: the weights are not this network's; the message names one.
    """
    from gluonbook.detection.families import family

    net = family(model.settings["network"]).build(len(model.classes), model.settings)
    params = net._collect_params_with_prefix()
    told = f"the weights are not those of the network {model.settings['network']!r} for {len(model.classes)} classes"
    if set(params) != set(model.weights):
        odd = sorted(set(params) ^ set(model.weights))[0]
        raise ValueError(f"{told}: {odd}")
    for name, param in params.items():
        shape = model.weights[name].shape
        if len(shape) != len(param.shape) or any(n not in (0, found) for n, found in zip(param.shape, shape)):
            raise ValueError(f"{told}: {name} is {shape}, not {param.shape}")
        param.shape = shape
    net.initialize(ctx=device)
    for name, param in params.items():
        param.set_data(nd.array(model.weights[name], ctx=device))
    net.hybridize(static_alloc=True)
    return net


def _halved(weight: np.ndarray) -> np.ndarray:
    if weight.ndim < 2 or np.abs(weight).max(initial=0) > np.finfo(np.float16).max:
        return weight
    return weight.astype(np.float16)
