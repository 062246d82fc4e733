"""A training in its folder: what may be resumed, what is finished, what Ctrl-C saves."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from gluonbook import _files, training
from gluonbook._mxnet import mx

LAST_LR = 0.05  # the schedule's last learning rate, as a share of its first


def cosine(done: float, lr: float) -> float:
    """Return the learning rate when a share of the run is done: half a cosine from ``lr`` to a twentieth of it.

    >>> cosine(0, 0.1), round(cosine(1, 0.1), 6)
    (0.1, 0.005)
    """
    return lr * (LAST_LR + (1 - LAST_LR) * 0.5 * (1 + math.cos(math.pi * done)))


def seed_epoch(seed: int, epoch: int, rank: int = 0) -> np.random.Generator:
    """Seed MXNet's generator for an epoch and return a NumPy one: a resumed run draws what a whole one does.

    Args:
        seed, epoch: at least 0.
        rank: of a worker among several, which each draw other numbers.
    """
    sequence = np.random.SeedSequence([seed, epoch, rank] if rank else [seed, epoch])
    mx.random.seed(int(sequence.generate_state(1)[0] >> 1))
    return np.random.default_rng(sequence)


def saved_recipe(folder: _files.PathLike) -> dict[str, Any]:
    """Return the settings that made the checkpoint in a folder.

    Raises:
        FileNotFoundError: there is none.
    """
    return dict(training.read_checkpoint(folder).get("recipe", {}))


def check_resumable(folder: Any, info: dict[str, Any], recipe: dict[str, Any], data: str, what: str) -> None:
    """Refuse a checkpoint that this run cannot go on from.

    Args:
        folder: of the checkpoint.
        info: the checkpoint's plain data.
        recipe: this run's settings; all but ``num_epochs`` must be the checkpoint's.
        data: the fingerprint of this run's data.
        what: the data's name, for the message: ``"text"``.

    Raises:
        ValueError: the message says what differs.
    """
    if info["data"] != data:
        raise ValueError(f"the {what} is not the one that the checkpoint in {folder} was trained on")
    saved = info["recipe"]
    if set(recipe) - set(saved):
        raise ValueError(f"the checkpoint in {folder} lacks the settings {', '.join(sorted(set(recipe) - set(saved)))}")
    changed = [
        f"{k} was {saved[k]!r}, now {recipe[k]!r}" for k in recipe if k != "num_epochs" and saved[k] != recipe[k]
    ]
    if changed:
        raise ValueError(f"the checkpoint in {folder} was made with other settings: {'; '.join(changed)}")
    if recipe.get("num_epochs", math.inf) < info["epoch"]:
        raise ValueError(
            f"num_epochs must be at least {info['epoch']}, which the checkpoint has; got {recipe['num_epochs']}"
        )


def is_finished(folder: Path, model_file: str, recipe: dict[str, Any], data: str) -> bool:
    """Say whether a folder holds this very training, done.

    Args:
        folder: where.
        model_file: the file that a trained model has there.
        recipe, data: as for ``check_resumable``.

    Raises:
        ValueError: it holds another, or this one half done: neither is to be lost by a forgotten flag.
    """
    if not (folder / training.CHECKPOINT).exists():
        if (folder / model_file).exists():
            raise ValueError(f"{folder} holds a model: give another folder (--out), or remove that one")
        return False
    info = training.read_checkpoint(folder)
    if info.get("recipe") != recipe or info.get("data") != data:
        raise ValueError(f"{folder} holds another training: give another folder (--out), or remove that one")
    if info["epoch"] < recipe["num_epochs"]:
        raise ValueError(
            f"{folder} holds this training, stopped after epoch {info['epoch']} of {recipe['num_epochs']}: "
            "go on with resume=True (--resume), or remove the folder"
        )
    return True


class Saved(NamedTuple):
    """What a folder must hold for this training to go on from it.

    Attributes:
        model_file: that a trained model has there.
        recipe, data, what: as for ``check_resumable``.
        kind: of training, for the message: ``"a detector"``.
        more: entries of its checkpoint besides those of every training.
    """

    model_file: str
    recipe: dict[str, Any]
    data: str
    what: str
    kind: str
    more: Sequence[str] = ()


def saved_state(
    folder: Optional[_files.PathLike], saved: Saved, resume: bool
) -> Optional[tuple[dict[str, Any], dict[str, Any]]]:
    """Return what a folder holds of a training, to go on from or already done; None where it holds nothing.

    Args:
        folder: None where nothing is written; then ``resume`` is False.
        saved: of which training.
        resume: it must be there.

    Returns:
        nd arrays by name, and plain data.

    Raises:
        FileNotFoundError, ValueError: as ``is_finished`` and ``check_resumable``, or the checkpoint is of another kind.
    """
    if folder is None:
        return None
    if not resume and not is_finished(Path(folder), saved.model_file, saved.recipe, saved.data):
        return None
    arrays, info = training.load_checkpoint(folder)
    if not {"recipe", "data", "history", "optimizer", *saved.more} <= set(info):
        raise ValueError(f"{Path(folder) / training.CHECKPOINT} is not a checkpoint of {saved.kind}")
    check_resumable(folder, info, saved.recipe, saved.data, saved.what)
    return arrays, info


@contextlib.contextmanager
def saving_on_interrupt(save: Callable[[], Any]) -> Iterator[None]:
    """Call ``save`` when Ctrl-C ends the block, and let it end."""
    try:
        yield
    except KeyboardInterrupt:
        save()
        raise


def weights_of(arrays: dict[str, Any], kind: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the NumPy weights that a snapshot holds under ``kind:name``."""
    return {name: arrays[f"{kind}:{name}"].asnumpy() for name in names}


def on_cpu(array: Any) -> Any:
    """Copy an array to the CPU: a checkpoint of one machine's GPU is read on any other."""
    return array.copyto(mx.cpu(0))
