"""Labelled pictures of a user's own: a folder with a sub-folder for each class."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gluonbook import _check, _files, _memory
from gluonbook.data.classification import LabelledPictures, Splits
from gluonbook.data.pictures import read_picture, resize


def image_folder(path: _files.PathLike, size: int, seed: int = 0, valid: float = 0.2, test: float = 0.2) -> Splits:
    """Read a folder of pictures with a sub-folder for each class.

    Each picture is cut to its largest square in the middle, which keeps its ratio, then resized: enlarged bilinearly,
    or reduced to the means of the areas.

    Only files directly within a class's folder count. Hidden files and folders, whose names begin with a dot, are
    ignored; a file whose name does not end as a picture's is skipped, and a warning says how many were.

    Args:
        path: the folder. Its sub-folders' names, sorted, are the classes; their pictures may be of any format that
            ``read_picture`` knows, and of any size.
        size: the pictures' side in pixels, at least 1.
        seed: of the split, at least 0.
        valid: share of each class that is for validation, above 0; of every class at least one picture.
        test: the same for the test; together they are below 1.

    Returns:
        Splits of (n, 3, size, size) uint8, each in random order, with every class in every split.

    Raises:
        FileNotFoundError: the folder is not there.
        ValueError: it is a file; it holds fewer than two classes; a class has too few pictures for the three splits; a
            picture is damaged (the message names the file); or an argument is out of range.
        MemoryError: the pictures need more memory than is free.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for kind, colour in (("sky", "blue"), ("grass", "green")):
    ...         (Path(folder) / kind).mkdir()
    ...         for i in range(5):
    ...             Image.new("RGB", (40 + i, 30), colour).save(Path(folder) / kind / f"{i}.png")
    ...     train, valid, test = image_folder(folder, size=16)
    >>> train.images.shape, train.images.dtype, train.classes, sorted(valid.labels.tolist())
    ((6, 3, 16, 16), dtype('uint8'), ('grass', 'sky'), [0, 1])
    """
    from tqdm.auto import tqdm

    _check.integer("size", size, at_least=1)
    rng = np.random.default_rng(_check.integer("seed", seed, at_least=0))
    _check.number("valid", valid, above=0, below=1)
    _check.number("test", test, above=0, below=1)
    if valid + test >= 1:
        raise ValueError(f"valid + test must be below 1, got {valid} + {test}")
    found = _find(Path(path).expanduser())
    parts = _split(found, rng, valid, test)
    num_pictures = sum(len(files) for files in found.values())
    check_memory(num_pictures * 3 * size**2, f"{num_pictures} pictures of {size}x{size}")
    with tqdm(
        total=num_pictures, desc="reading", unit="picture", disable=None, dynamic_ncols=True, leave=False
    ) as progress:
        return Splits(*(_read(part, size, tuple(found), progress) for part in parts))


def check_memory(need: int, what: str) -> None:
    """Refuse what does not fit into the free memory of the machine, or of the container that limits it.

    Args:
        need: bytes.
        what: the thing that needs them, for the message.

    Raises:
        MemoryError: with both numbers.
    """
    free = _memory.free_bytes()
    if need > free:
        raise MemoryError(
            f"{what} need {need / 2**30:.2f} GiB of memory, and {free / 2**30:.2f} GiB can be taken: choose a smaller "
            "size, or fewer pictures"
        )


def _find(folder: Path) -> dict[str, list[Path]]:
    """Return the picture files of each class, both sorted by name."""
    from PIL import Image

    if not folder.exists():
        raise FileNotFoundError(
            f"{folder} is not there: it must be a folder with a sub-folder of pictures for each class"
        )
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file: it must be a folder with a sub-folder of pictures for each class")
    kinds = [entry for entry in _visible(folder) if entry.is_dir()]
    if len(kinds) < 2:
        held = f"only one, {kinds[0].name}" if kinds else "none"
        raise ValueError(
            f"{folder} must hold a sub-folder of pictures for each of two or more classes, it holds {held}"
        )
    suffixes = set(Image.registered_extensions())
    files = [file for kind in kinds for file in _visible(kind) if file.is_file()]
    others = [file for file in files if file.suffix.lower() not in suffixes]
    if others:
        what = "1 file is no picture and was" if len(others) == 1 else f"{len(others)} files are no pictures and were"
        warnings.warn(f"{what} skipped, by the name's end: {others[0]}", stacklevel=3)
    pictures = [file for file in files if file.suffix.lower() in suffixes]
    return {kind.name: [file for file in pictures if file.parent == kind] for kind in kinds}


def _visible(folder: Path) -> list[Path]:
    return sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _split(
    found: dict[str, list[Path]], rng: np.random.Generator, valid: float, test: float
) -> list[list[tuple[Path, int]]]:
    """Return the files of the three splits with their labels, each split in random order."""
    parts: list[list[tuple[Path, int]]] = [[], [], []]
    for label, (kind, files) in enumerate(found.items()):
        num_valid, num_test = (max(1, round(share * len(files))) for share in (valid, test))
        if num_valid + num_test >= len(files):
            raise ValueError(
                f"class {kind} has {len(files)} pictures directly within its folder, too few for three splits with "
                f"valid={valid} and test={test}: {num_valid} + {num_test} would leave none to learn from"
            )
        order = np.split(rng.permutation(len(files)), [num_valid, num_valid + num_test])
        for part, rows in zip(parts, (order[2], order[0], order[1])):
            part.extend((files[row], label) for row in rows)
    return [[part[row] for row in rng.permutation(len(part))] for part in parts]


def _read(part: list[tuple[Path, int]], size: int, classes: tuple[str, ...], progress: Any) -> LabelledPictures:
    images = np.empty((len(part), 3, size, size), np.uint8)
    for image, (file, _) in zip(images, part):
        image[:] = resize(_square(read_picture(file)), size).transpose(2, 0, 1)
        progress.update()
    return LabelledPictures(images, np.array([label for _, label in part], np.int32), classes)


def _square(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]
