"""Files: where the package's own are, where its cache is, and how a file is written so that none is ever half there."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

PathLike = Union[str, "os.PathLike[str]"]


def packaged(folder: str) -> Path:
    """Return the path of ``datasets`` or ``chapters``: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / folder
    return inside if inside.is_dir() else package.parent / folder


def cache_folder() -> Path:
    """Return the folder for downloads and dictionaries: ``$XDG_CACHE_HOME/gluonbook`` or the system's like of it."""
    import pooch

    return Path(pooch.os_cache("gluonbook"))


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Yield a neighbour of ``path`` to write to; it takes that name when the block ends, and goes if the block fails.

    A stopped run leaves the old file or the new one, never half of one. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The neighbour keeps the name's end: writers such as Pillow choose their format by it.
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    neighbour = Path(name)
    try:
        yield neighbour
        mask = os.umask(0)
        os.umask(mask)
        neighbour.chmod(0o666 & ~mask)  # mkstemp makes files that only their owner can read
        neighbour.replace(path)
    finally:
        neighbour.unlink(missing_ok=True)


def write_text(path: PathLike, text: str) -> None:
    """Write UTF-8 text, with the line ends as given."""
    with replacing(path) as neighbour:
        neighbour.write_bytes(text.encode("utf-8"))


def write_json(path: PathLike, value: Any) -> None:
    """Write plain data as JSON that a person can read."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def read_json(path: PathLike) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: it is not JSON; the message names the file and the place.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from None
