"""The one module of gluonbook 0.8: all public names are here, too, and three helpers that were reachable in it."""

import shutil
from pathlib import Path
from typing import Any

import gluonbook
from gluonbook import _files
from gluonbook.book.figures import as_list as _make_list  # noqa: F401
from gluonbook.data.detection import pikachu_files
from gluonbook.data.records import write_index
from gluonbook.training.supervised import divide

__all__ = list(vars(gluonbook)["__all__"])


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(gluonbook, name)


def _download_pikachu(data_dir: _files.PathLike) -> None:
    """Make sure that the pikachu set's ``train.rec``, ``train.idx`` and ``val.rec`` are in a folder."""
    folder = Path(data_dir).expanduser()
    for file in pikachu_files(folder if (folder / "train.rec").is_file() else None):
        if file.parent != folder:
            with _files.replacing(folder / file.name) as neighbour:
                shutil.copyfile(file, neighbour)
    write_index(folder / "train.rec", folder / "train.idx")


def _get_batch(batch: tuple[Any, Any], ctx: list[Any]) -> tuple[list[Any], list[Any], int]:
    """Return a batch's features and labels, divided among devices, and its size; labels get the features' dtype."""
    features, labels = batch
    parts = [part for part in divide(features, labels, ctx) if part.counts]
    return [part.X for part in parts], [part.y.astype(features.dtype) for part in parts], len(features)
