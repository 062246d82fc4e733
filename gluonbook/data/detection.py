"""Detection sets: pictures with labelled boxes; the embedded one, the book's two, and a user's own."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional, Union

import numpy as np

from gluonbook import _check, _files
from gluonbook.data import annotations, drawn, records
from gluonbook.data.fetch import Dataset, find, unpack
from gluonbook.data.pictures import decode_picture, read_picture

Source = Union[Path, records.Record, np.ndarray]
EMBEDDED, PIKACHU, BANANA = "embedded", "pikachu", "banana"
FORMATS = ("voc", "coco", "yolo", "rec")
NUM_TRAIN, NUM_VAL = 1000, 100  # of the embedded set
INSTEAD = "the embedded detection set (gluonbook.data.embedded_detection)"


@dataclass(frozen=True)
class DetectionSet:
    """Pictures and what is in them.

    Attributes:
        classes: K names.
        sources: where each of N pictures is: a file, a record, or the picture itself, (H, W, 3) uint8.
        labels: N arrays (M, 5) float32, rows (class, xmin, ymin, xmax, ymax), corners as fractions of the picture.
        difficult: N arrays (M,) bool: objects that are not learnt and not counted.
        notes: what was odd about the files, one sentence each.
    """

    classes: tuple[str, ...]
    sources: tuple[Source, ...]
    labels: tuple[np.ndarray, ...]
    difficult: tuple[np.ndarray, ...]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.sources)

    def picture(self, i: int) -> np.ndarray:
        """Return picture ``i``, (H, W, 3) uint8, RGB."""
        source = self.sources[i]
        if isinstance(source, np.ndarray):
            return source
        if isinstance(source, records.Record):
            return decode_picture(records.read_content(source), self.name(i))
        return read_picture(source)

    def name(self, i: int) -> str:
        """Return what picture ``i`` is called in messages."""
        source = self.sources[i]
        if isinstance(source, records.Record):
            return f"{source.path.name}@{source.offset}"
        return str(i) if isinstance(source, np.ndarray) else str(source)

    def subset(self, indices: Sequence[int]) -> "DetectionSet":
        """Return the set of some of its pictures, in the order given."""
        sources, labels = tuple(self.sources[i] for i in indices), tuple(self.labels[i] for i in indices)
        return DetectionSet(self.classes, sources, labels, tuple(self.difficult[i] for i in indices), self.notes)


def make_set(
    classes: Sequence[str], sources: Sequence[Source], labels: Sequence[Any], difficult: Optional[Sequence[Any]] = None
) -> DetectionSet:
    """Make a detection set of your own pictures, checked.

    Args:
        classes: K names, at least one, no two alike.
        sources: N pictures: paths, or (H, W, 3) uint8 arrays.
        labels: N lists of rows (class, xmin, ymin, xmax, ymax): an index into ``classes``, corners as fractions.
        difficult: N lists of whether each object is left out of training and measure; None takes none for difficult.

    Returns:
        DetectionSet.

    Raises:
        ValueError: a label is wrong (picture, row and value are given), or the lengths differ.
    """
    rows = tuple(
        _check.as_array(f"labels[{i}]", label if len(label) else np.zeros((0, 5)), None, 5)
        for i, label in enumerate(labels)
    )
    flags = (
        [np.zeros(len(row), bool) for row in rows] if difficult is None else [np.asarray(f, bool) for f in difficult]
    )
    made = DetectionSet(tuple(classes), tuple(sources), rows, tuple(flags))
    check_set(made)
    return made


def check_set(data: DetectionSet) -> None:
    """Refuse a detection set whose parts do not fit or whose labels are wrong.

    Raises:
        ValueError: the message gives picture, row and value.
    """
    if not data.classes or len(set(data.classes)) < len(data.classes):
        raise ValueError(f"classes must be at least one name, no two alike, got {data.classes!r}")
    lengths = {len(data.sources), len(data.labels), len(data.difficult)}
    if len(lengths) > 1:
        raise ValueError(f"sources, labels and difficult must be equally long, got {sorted(lengths)}")
    for i, rows in enumerate(data.labels):
        source = data.sources[i]
        if isinstance(source, np.ndarray) and (source.dtype != np.uint8 or source.shape[2:] != (3,)):
            raise ValueError(f"picture {i} must be (H, W, 3) uint8, got {source.shape} {source.dtype}")
        _check.check_labels(rows, len(data.classes), data.name(i))
        if len(data.difficult[i]) != len(rows):
            raise ValueError(
                f"picture {data.name(i)}: {len(rows)} labels, {len(data.difficult[i])} flags of difficulty"
            )


def embedded_detection(
    num_train: int = NUM_TRAIN, num_val: int = NUM_VAL, seed: int = 0
) -> tuple[DetectionSet, DetectionSet]:
    """Return the embedded set: drawn balloons, fish and teapots on photographs and drawn backgrounds.

    It is drawn once, in under a minute, and kept in the cache as RecordIO.

    Args:
        num_train, num_val: pictures, at least 1.
        seed: other numbers give other pictures.

    Returns:
        the training and the validation set.
    """
    folder = _files.cache_folder() / "detection" / f"drawn-{drawn.VERSION}-{num_train}-{num_val}-{seed}"
    if not all((folder / f"{split}.rec").is_file() for split in drawn.SPLITS):
        write_drawn(folder, num_train, num_val, seed)
    train, val = (_read_rec(folder / f"{split}.rec", drawn.CLASSES) for split in drawn.SPLITS)
    return train, val


def write_drawn(folder: _files.PathLike, num_train: int = NUM_TRAIN, num_val: int = NUM_VAL, seed: int = 0) -> Path:
    """Draw the embedded set and write ``train.rec``, ``val.rec``, their ``.idx`` and ``classes.txt`` to a folder."""
    from tqdm.auto import tqdm

    for split, count in zip(drawn.SPLITS, (num_train, num_val)):
        count = _check.integer(f"num_{split}", count, at_least=1)
        bar = tqdm(range(count), desc=f"drawing {split} pictures", disable=None, dynamic_ncols=True, leave=False)
        records.write_records(Path(folder) / f"{split}.rec", (drawn.scene(split, i, seed) for i in bar))
    _files.write_text(Path(folder) / "classes.txt", "\n".join(drawn.CLASSES) + "\n")
    return Path(folder)


def pikachu(path: Optional[_files.PathLike] = None) -> tuple[DetectionSet, DetectionSet]:
    """Return the notes' book's set: one class, pikachu; found on this machine or downloaded.

    Args:
        path: a folder that holds ``pikachu/train.rec`` and ``pikachu/val.rec``, or those two.

    Raises:
        DataNotFound: it is nowhere and cannot be downloaded; the message says which file goes where.
    """
    train, val = (_read_rec(file, ("pikachu",)) for file in pikachu_files(path))
    return train, val


def pikachu_files(path: Optional[_files.PathLike] = None) -> list[Path]:
    """Return the paths of the pikachu set's ``train.rec`` and ``val.rec``; as ``pikachu``."""
    return [find(dataset, _beside(path, dataset)) for dataset in _PIKACHU]


def banana(path: Optional[_files.PathLike] = None) -> tuple[DetectionSet, DetectionSet]:
    """Return the book's later set: one class, banana; found on this machine or downloaded.

    Args:
        path: the ``banana-detection.zip``, or a folder that holds it.

    Raises:
        DataNotFound: it is nowhere and cannot be downloaded; the message says which file goes where.
        ValueError: the archive is not that set.
    """
    archive = find(_BANANA, path)
    folder = archive.with_suffix("")
    if not folder.is_dir():
        unpack(archive, archive.parent, folder.name)
    train, val = (_read_banana(folder / f"bananas_{split}") for split in ("train", "val"))
    return train, val


def read_detection(
    data: _files.PathLike, format: Optional[str] = None, held_out: float = 0.1, seed: int = 0, skip_bad: bool = False
) -> tuple[DetectionSet, DetectionSet]:
    """Read a detection set by name or from a user's files.

    Args:
        data: ``"embedded"``, ``"pikachu"``, ``"banana"``, or a path: a folder with Pascal VOC's ``Annotations``, with
            COCO's JSON files, with YOLO's ``labels``, or with ``train.rec``; or one JSON or ``.rec`` file.
        format: ``"voc"``, ``"coco"``, ``"yolo"`` or ``"rec"``; None looks at the files.
        held_out: share of the pictures for validation where the files have no such split, above 0 and below 1.
        seed: of that split.
        skip_bad: leave out boxes that are no boxes, and count them in the set's notes, instead of refusing the set.

    Returns:
        the training and the validation set, both checked.

    Raises:
        FileNotFoundError: the path or a picture of it is not there.
        ValueError: the format cannot be told, a file is damaged, a label is wrong; the message gives file and value.
    """
    named: dict[str, Callable[[], Any]] = {EMBEDDED: embedded_detection, PIKACHU: pikachu, BANANA: banana}
    if str(data) in named and format is None:
        train, val = named[str(data)]()
        return train, val
    path = Path(data).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: expected {', '.join(named)}, or the path of a detection set")
    _check.number("held_out", held_out, above=0, below=1)
    format = annotations.guess_format(path) if format is None else _check.choice("format", format, FORMATS)
    splits = _rec_splits(path) if format == "rec" else annotations.READERS[format](path, skip_bad)
    made = [split if isinstance(split, DetectionSet) else _from_annotations(split) for split in splits]
    for purpose, split in zip(("train", "measure"), made):
        if not len(split):
            raise ValueError(f"{path} holds no pictures to {purpose} on")
        check_set(split)
    return (made[0], made[1]) if len(made) == 2 else split_set(made[0], held_out, seed)


def split_set(data: DetectionSet, held_out: float, seed: int = 0) -> tuple[DetectionSet, DetectionSet]:
    """Split a set at random into a part to train on and a part to measure on.

    Args:
        data: at least 2 pictures.
        held_out: share of the second part, above 0 and below 1; each part gets at least one picture.
        seed: at least 0.

    Raises:
        ValueError: there are fewer than two pictures, or the share is out of range.
    """
    _check.number("held_out", held_out, above=0, below=1)
    if len(data) < 2:
        raise ValueError(
            f"a set of {len(data)} picture cannot be split: it needs at least 2, or a validation set of its own"
        )
    order = np.random.default_rng(seed).permutation(len(data))
    size = min(max(round(len(data) * held_out), 1), len(data) - 1)
    return data.subset(sorted(order[size:])), data.subset(sorted(order[:size]))


def summary(data: DetectionSet) -> str:
    """Say in a few lines what is in a detection set."""
    rows = np.concatenate([np.zeros((0, 5), np.float32), *data.labels])
    sides = np.sqrt((rows[:, 3] - rows[:, 1]) * (rows[:, 4] - rows[:, 2]))
    empty = sum(len(labels) == 0 for labels in data.labels)
    most = max((len(labels) for labels in data.labels), default=0)
    counts = np.bincount(rows[:, 0].astype(int), minlength=len(data.classes))
    lines = [
        f"{len(data)} pictures, {len(rows)} objects, at most {most} in a picture; {empty} pictures without any",
        "objects by class: " + ", ".join(f"{name} {count}" for name, count in zip(data.classes, counts)),
    ]
    if len(rows):
        low, middle, high = np.percentile(sides, [5, 50, 95])
        lines.append(
            f"side of an object, as a share of the picture's: median {middle:.2f}, nine in ten {low:.2f} to {high:.2f}"
        )
    num_difficult = sum(int(flags.sum()) for flags in data.difficult)
    if num_difficult:
        lines.append(f"{num_difficult} objects are difficult: neither learnt nor counted")
    return "\n".join([*lines, *data.notes])


def fingerprint(data: DetectionSet) -> str:
    """Return a short hash that tells detection sets apart by classes, names and labels."""
    digest = hashlib.sha256(repr(data.classes).encode())
    for i, (labels, flags) in enumerate(zip(data.labels, data.difficult)):
        source = data.sources[i]
        name = (
            hashlib.sha256(source.tobytes()).hexdigest() if isinstance(source, np.ndarray) else Path(data.name(i)).name
        )
        digest.update(name.encode())
        digest.update(labels.tobytes() + flags.tobytes())
    return digest.hexdigest()[:16]


def _beside(path: Optional[_files.PathLike], dataset: Dataset) -> Optional[_files.PathLike]:
    """Return a data set's file where ``path`` is the innermost folder that holds it, otherwise ``path``."""
    file = Path(path or "").expanduser() / Path(dataset.filename).name
    return file if path is not None and file.is_file() else path


def _from_annotations(parsed: annotations.Annotations) -> DetectionSet:
    return DetectionSet(
        parsed.classes, tuple(parsed.paths), tuple(parsed.labels), tuple(parsed.difficult), parsed.notes
    )


def _read_rec(path: Path, classes: Optional[Sequence[str]] = None) -> DetectionSet:
    found = list(records.read_labels(path))
    labels = tuple(np.array(rows[:, :5]) for _, rows in found)
    if classes is None:
        kinds = np.concatenate([np.zeros(1), *(rows[:, 0] for rows in labels)])
        highest = int(kinds[np.isfinite(kinds)].max())
        classes = annotations.read_names(path.parent) or [str(kind) for kind in range(highest + 1)]
    difficult = tuple(rows[:, 5] > 0 if rows.shape[1] > 5 else np.zeros(len(rows), bool) for _, rows in found)
    return DetectionSet(tuple(classes), tuple(record for record, _ in found), labels, difficult)


def _rec_splits(path: Path) -> list[DetectionSet]:
    if path.is_file():
        return [_read_rec(path)]
    if not (path / "train.rec").is_file():
        raise FileNotFoundError(f"{path / 'train.rec'} is not there")
    both = [_read_rec(path / f"{split}.rec") for split in ("train", "val") if (path / f"{split}.rec").is_file()]
    classes = max((one.classes for one in both), key=len)
    return [DetectionSet(classes, one.sources, one.labels, one.difficult) for one in both]


def _read_banana(folder: Path) -> DetectionSet:
    import csv

    try:
        with (folder / "label.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        corners = [[float(row[name]) / 256 for name in ("xmin", "ymin", "xmax", "ymax")] for row in rows]
        paths = [folder / "images" / row["img_name"] for row in rows]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{folder} is not a part of the banana set: {error!r}") from None
    return make_set(["banana"], paths, [[[0, *box]] for box in corners])


_PIKACHU_HUBS = (
    "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/dataset/pikachu/",  # MXNet's own store
    "https://apache-mxnet.s3-accelerate.amazonaws.com/gluon/dataset/pikachu/",  # the book's address for it
)
_PIKACHU = tuple(
    Dataset("pikachu", f"pikachu/{name}", tuple(hub + name for hub in _PIKACHU_HUBS), f"sha1:{digest}", INSTEAD)
    for name, digest in (
        ("train.rec", "e6bcb6ffba1ac04ff8a9b1115e650af56ee969c8"),
        ("val.rec", "d6c33f799b4d058e82f2cb5bd9a976f69d72d520"),
    )
)
_BANANA = Dataset(
    "banana",
    "banana-detection.zip",
    ("http://d2l-data.s3-accelerate.amazonaws.com/banana-detection.zip",),
    "sha1:5de26c8fce5ccdea9f91267273464dc968d20d72",
    INSTEAD,
)
