"""A trained model's folder: ``model.params`` holds its arrays, ``model.json`` the rest and the digest of the former."""

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gluonbook import _files, training
from gluonbook._mxnet import nd

PARAMS, DESCRIPTION = "model.params", "model.json"


def write(folder: _files.PathLike, weights: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> Path:
    """Write a model to a folder, which is made if missing.

    Args:
        folder: where.
        weights: arrays by name; each keeps its dtype.
        description: plain data.

    Returns:
        the path of ``model.json``.
    """
    folder = Path(folder)
    with _files.replacing(folder / PARAMS) as neighbour:
        nd.save(str(neighbour), {name: nd.array(weight, dtype=weight.dtype) for name, weight in weights.items()})
    _files.write_json(folder / DESCRIPTION, {"params_sha256": _digest(folder / PARAMS), **description})
    return folder / DESCRIPTION


def read(
    folder: _files.PathLike, needed: Collection[str], needed_settings: Collection[str], maker: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a model from its folder.

    Args:
        folder: where.
        needed: what the description must have.
        needed_settings: what its ``settings`` must have.
        maker: the command that makes such a model, for the message.

    Returns:
        float32 weights by name, and the description.

    Raises:
        FileNotFoundError: there is no model; the message says how to make one.
        ValueError: its files cannot be read, or do not belong together.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: no model in this folder; {maker} --out {folder} makes one")
    description = _files.read_json(path)
    wanted = {"settings", "params_sha256", *needed}
    missing = wanted - set(description) if isinstance(description, dict) else wanted
    if missing:
        raise ValueError(f"{path} is not a model's description: it lacks {', '.join(sorted(missing))}")
    lacking = set(needed_settings) - set(description["settings"])
    if lacking:
        raise ValueError(f"{path} is not a model's description: its settings lack {', '.join(sorted(lacking))}")
    arrays = training.load_arrays(folder / PARAMS)
    if _digest(folder / PARAMS) != description["params_sha256"]:
        raise ValueError(f"{folder / PARAMS} and {path} do not belong together: one of them was written by another run")
    return {name: array.asnumpy().astype(np.float32) for name, array in arrays.items()}, description


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
