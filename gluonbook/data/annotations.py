"""Labels of detection sets in the formats that labelling tools write: Pascal VOC, COCO, YOLO.

Each reader returns one or two splits (training, validation) with boxes as fractions; every box is checked.
"""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple

import numpy as np

from gluonbook import _check
from gluonbook.data.pictures import picture_size

TOLERANCE = 0.005  # share of the picture by which rounding may put a corner outside
MOST_TOLD = 5  # wrong boxes that an error lists
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


class Annotations(NamedTuple):
    """A split as its files tell of it; as ``DetectionSet`` with paths for sources."""

    classes: tuple[str, ...]
    paths: list[Path]
    labels: list[np.ndarray]
    difficult: list[np.ndarray]
    notes: tuple[str, ...]


class _Collector:
    """Collects pictures and boxes; knows every box that is none before it complains."""

    def __init__(self, skip_bad: bool) -> None:
        self.skip_bad, self.faults = skip_bad, list[str]()
        self.paths: list[Path] = []
        self.labels: list[np.ndarray] = []
        self.difficult: list[np.ndarray] = []

    def add(self, path: Path, rows: Sequence[Sequence[float]], difficult: Sequence[bool], where: str) -> None:
        """Take a picture's rows (class, xmin, ymin, xmax, ymax); ``where`` names the file that they are from."""
        kept, flags = [], []
        for i, (row, flag) in enumerate(zip(rows, difficult)):
            box = np.array(row[1:], np.float64)
            if np.isfinite(box).all() and (box >= -TOLERANCE).all() and (box <= 1 + TOLERANCE).all():
                box = box.clip(0, 1)
            try:
                _check.check_boxes(box[None])
            except ValueError as error:
                self.faults.append(f"{where}, row {i}: {str(error).split(': ', 1)[1]}")
                continue
            kept.append((row[0], *box))
            flags.append(flag)
        self.paths.append(path)
        self.labels.append(np.array(kept, np.float32).reshape(-1, 5))
        self.difficult.append(np.array(flags, bool))

    def finish(self, classes: Sequence[str]) -> Annotations:
        """Return the split.

        Raises:
            ValueError: boxes are wrong, and they are not to be skipped.
        """
        if self.faults and not self.skip_bad:
            more = f"\n  and {len(self.faults) - MOST_TOLD} more" if len(self.faults) > MOST_TOLD else ""
            listed = "\n  ".join(self.faults[:MOST_TOLD])
            raise ValueError(f"{len(self.faults)} boxes are wrong (skip_bad leaves them out):\n  {listed}{more}")
        notes = (f"{len(self.faults)} wrong boxes were left out, the first: {self.faults[0]}",) if self.faults else ()
        return Annotations(tuple(classes), self.paths, self.labels, self.difficult, notes)


def guess_format(path: Path) -> str:
    """Tell a detection set's format by its files: ``"voc"``, ``"coco"``, ``"yolo"`` or ``"rec"``.

    Raises:
        ValueError: it is none of them.
    """
    if path.suffix.lower() == ".rec" or (path / "train.rec").is_file():
        return "rec"
    if any((path / "Annotations").glob("*.xml")) or any(path.glob("*.xml")):
        return "voc"
    if path.suffix.lower() == ".json" or any((path / "annotations").glob("*.json")):
        return "coco"
    if path.suffix.lower() in (".yaml", ".yml") or (path / "labels").is_dir() or (path / "data.yaml").is_file():
        return "yolo"
    if any(path.glob("*.json")):  # only now: labelling tools leave notes of their own as JSON
        return "coco"
    if any(path.glob("*.txt")):
        return "yolo"
    raise ValueError(
        f"the format of {path} cannot be told: expected Annotations/*.xml (voc), annotations/*.json (coco), "
        "labels/*.txt (yolo) or train.rec (rec)"
    )


def read_names(folder: Path) -> list[str]:
    """Return the class names that ``classes.txt`` or ``obj.names`` lists, one a line; none where neither is there."""
    for name in ("classes.txt", "obj.names"):
        if (folder / name).is_file():
            return [line.strip() for line in (folder / name).read_text(encoding="utf-8").splitlines() if line.strip()]
    return []


# ---- Pascal VOC ----


def read_voc(path: Path, skip_bad: bool = False) -> list[Annotations]:
    """Read Pascal VOC's XML files (Everingham et al. 2010).

    Corners are pixels counted from 1, the last one included: xmin − 1 and xmax are the box's edges.

    Args:
        path: a folder with ``Annotations/*.xml`` (or ``*.xml``), and pictures in ``JPEGImages/``, ``images/`` or
            beside; ``ImageSets/Main/train.txt`` and ``val.txt`` name the splits, ``classes.txt`` the classes.
        skip_bad: leave out wrong boxes.

    Returns:
        one or two splits.
    """
    folder = path / "Annotations" if (path / "Annotations").is_dir() else path
    lists = [path / "ImageSets" / "Main" / f"{split}.txt" for split in ("train", "val")]
    if lists[0].is_file():
        stems = [[line.split()[0] for line in f.read_text().splitlines() if line.strip()] for f in lists if f.is_file()]
    else:
        stems = [sorted(file.stem for file in folder.glob("*.xml"))]
    parsed = [[_read_xml(folder / f"{stem}.xml") for stem in split] for split in stems]
    found = {obj[0] for split in parsed for _, objects in split for obj in objects}
    classes = read_names(path) or (list(VOC_CLASSES) if found and found <= set(VOC_CLASSES) else sorted(found))
    unknown = sorted(found - set(classes))
    if unknown:
        raise ValueError(f"{path}: the objects {', '.join(unknown)} are not among the classes {', '.join(classes)}")
    splits = []
    for names, files in zip(stems, parsed):
        collected = _Collector(skip_bad)
        for stem, (header, objects) in zip(names, files):
            picture = _find_picture(path, header["filename"], stem, ("JPEGImages", "images", ".", "Annotations"))
            size = header["height"], header["width"]
            height, width = size if all(size) else picture_size(picture)
            rows = [
                (
                    classes.index(name),
                    _before(box[0]) / width,
                    _before(box[1]) / height,
                    box[2] / width,
                    box[3] / height,
                )
                for name, _, box in objects
            ]
            collected.add(picture, rows, [flag for _, flag, _ in objects], str(folder / f"{stem}.xml"))
        splits.append(collected.finish(classes))
    return splits


def _before(pixel: float) -> float:
    """Return the edge before a pixel counted from 1; 0 is taken for the first pixel, and what is below stays wrong."""
    return pixel - min(max(pixel, 0), 1)


def _read_xml(path: Path) -> tuple[dict[str, Any], list[tuple[str, bool, list[float]]]]:
    """Return a file's picture name and size, and its objects: name, difficult, corners in pixels."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        root = ElementTree.parse(path).getroot()
        header = {
            "filename": (root.findtext("filename") or "").strip(),
            "width": int(float(root.findtext("size/width") or 0)),
            "height": int(float(root.findtext("size/height") or 0)),
        }
        objects = []
        for entry in root.iter("object"):
            name = (entry.findtext("name") or "").strip()
            corners = [
                float(entry.findtext(f"bndbox/{corner}") or "nan") for corner in ("xmin", "ymin", "xmax", "ymax")
            ]
            if not name:
                raise ValueError("an object has no name")
            objects.append((name, (entry.findtext("difficult") or "0").strip() == "1", corners))
    except (ElementTree.ParseError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a VOC annotation: {error}") from None
    return header, objects


# ---- COCO ----


def _coco_files(path: Path) -> list[Path]:
    """Return the JSON files with instances: training first."""
    for folder in (path / "annotations", path):
        files = sorted(folder.glob("*.json"))
        # COCO has captions and keypoints beside them.
        files = [file for file in files if "instances" in file.name] or files
        train = [file for file in files if "train" in file.name]
        train = train or [file for file in files if "val" not in file.name and "test" not in file.name]
        if train:
            return train[:1] + [file for file in files if "val" in file.name and file not in train][:1]
    return []


def read_coco(path: Path, skip_bad: bool = False) -> list[Annotations]:
    """Read COCO's JSON of instances (Lin et al. 2014): boxes are (x, y, width, height) in pixels.

    Args:
        path: one JSON file, or a folder with ``annotations/*train*.json`` and ``*val*.json``; pictures lie in
            ``train2017/``, ``val2017/``, ``images/`` or beside. Crowds are difficult.
        skip_bad: leave out wrong boxes.

    Returns:
        one or two splits, with the classes in the order of their identifiers.
    """
    files = [path] if path.is_file() else _coco_files(path)
    if not files:
        raise FileNotFoundError(f"{path} holds no annotations/*.json")
    root = files[0].parent.parent if files[0].parent.name == "annotations" else files[0].parent
    contents = [_read_coco_file(file) for file in files]
    categories = {c["id"]: c["name"] for content in contents for c in content["categories"]}
    order = sorted(categories)
    splits = []
    for file, content in zip(files, contents):
        collected = _Collector(skip_bad)
        by_picture: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            if annotation["image_id"] not in by_picture or annotation["category_id"] not in categories:
                raise ValueError(
                    f"{file}: annotation {annotation.get('id')} names picture {annotation['image_id']} and category "
                    f"{annotation['category_id']}, of which one is not in the file"
                )
            by_picture[annotation["image_id"]].append(annotation)
        is_val = "val" in file.name and "train" not in file.name
        own, other = ("val", "train") if is_val else ("train", "val")  # two splits may use the same names
        folders = [f"{own}2017", f"images/{own}", own, "images", ".", f"{other}2017", f"images/{other}", other]
        for image in content["images"]:
            picture = _find_picture(root, image["file_name"], Path(image["file_name"]).stem, folders)
            rows = []
            for annotation in by_picture[image["id"]]:
                x, y, width, height = annotation["bbox"]
                box = (
                    x / image["width"],
                    y / image["height"],
                    (x + width) / image["width"],
                    (y + height) / image["height"],
                )
                rows.append((order.index(annotation["category_id"]), *box))
            crowds = [bool(annotation.get("iscrowd")) for annotation in by_picture[image["id"]]]
            collected.add(picture, rows, crowds, f"{file}, picture {image['file_name']}")
        splits.append(collected.finish([categories[i] for i in order]))
    return splits


def _read_coco_file(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for part, keys in (
            ("images", ("id", "file_name", "width", "height")),
            ("annotations", ("image_id", "category_id", "bbox")),
            ("categories", ("id", "name")),
        ):
            for i, entry in enumerate(content[part]):
                missing = [key for key in keys if key not in entry]
                if missing:
                    raise ValueError(f"{part}[{i}] has no {', '.join(missing)}")
                if part == "annotations":
                    entry["bbox"] = _check.as_array(f"annotations[{i}]: bbox", entry["bbox"], 4).tolist()
                if part == "images" and not (entry["width"] > 0 and entry["height"] > 0):
                    raise ValueError(f"images[{i}] is {entry['width']}x{entry['height']} pixels")
    except KeyError as error:
        raise ValueError(f"{path} is not a COCO file: it has no {error}") from None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not a COCO file: {error}") from None
    return dict(content)


# ---- YOLO ----


def read_yolo(path: Path, skip_bad: bool = False) -> list[Annotations]:
    """Read YOLO's text labels: rows ``class x y width height``, centre and sides as fractions.

    Args:
        path: a folder with ``images/`` and ``labels/`` (each with ``train/`` and ``val/``, or without), or with
            pictures and ``.txt`` beside each other; ``data.yaml`` (``names``), ``classes.txt`` or ``obj.names`` name
            the classes. Or the ``data.yaml`` itself. A picture without a text file has no objects.
        skip_bad: leave out wrong boxes.

    Returns:
        one or two splits.
    """
    config = path if path.is_file() else path / "data.yaml"
    root = config.parent if path.is_file() else path
    names, listed = _read_yaml(config) if config.is_file() else ([], [])
    names = names or read_names(root)
    if listed:
        places = [(root / place).resolve() for place in listed]
    else:
        both = [root / "images" / split for split in ("train", "val")]
        places = [folder for folder in both if folder.is_dir()] if both[0].is_dir() else []
        places = places or [root / "images" if (root / "images").is_dir() else root]
    read = [_read_yolo_folder(folder) for folder in places]
    highest = max((int(row[0]) for split in read for _, _, rows in split for row in rows), default=-1)
    if names and highest >= len(names):
        raise ValueError(f"{path}: a label has class {highest}, but {len(names)} classes are named")
    classes = names or [str(kind) for kind in range(max(highest + 1, 1))]
    splits = []
    for split in read:
        collected = _Collector(skip_bad)
        for picture, label, rows in split:
            corners = [(c, x - w / 2, y - h / 2, x + w / 2, y + h / 2) for c, x, y, w, h in rows]
            collected.add(picture, corners, [False] * len(rows), str(label))
        splits.append(collected.finish(classes))
    return splits


def _read_yolo_folder(folder: Path) -> list[tuple[Path, Path, list[tuple[float, ...]]]]:
    """Return each picture with its label file and the rows of that."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there")
    found = []
    for picture in sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES):
        parts = list(picture.parts)
        if "images" in parts:
            parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
        label, beside = Path(*parts).with_suffix(".txt"), picture.with_suffix(".txt")
        label = beside if beside.is_file() and not label.is_file() else label
        found.append((picture, label, _read_yolo_rows(label) if label.is_file() else []))
    return found


def _read_yolo_rows(path: Path) -> list[tuple[float, ...]]:
    rows: list[tuple[float, ...]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = tuple(float(word) for word in line.split())
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: {line.strip()[:60]!r} holds something that is no number"
            ) from None
        if len(row) != 5 or row[0] < 0 or not row[0].is_integer():
            raise ValueError(f"{path}, line {number}: expected a class and four numbers, got {line.strip()[:60]!r}")
        rows.append(row)
    return rows


def _read_yaml(path: Path) -> tuple[list[str], list[str]]:
    """Return the class names and the folders of training and validation pictures that ``data.yaml`` gives."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold names, train and val, got {type(content).__name__}")
    names = content.get("names") or []
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise ValueError(f"{path}: names must number the classes from 0 on, got {', '.join(map(str, names))}")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list):
        raise ValueError(f"{path}: names must be a list, got {names!r}")
    base = str(content.get("path") or "")
    places = [str(Path(base) / content[split]) for split in ("train", "val") if isinstance(content.get(split), str)]
    return [str(name) for name in names], places if isinstance(content.get("train"), str) else []


def _find_picture(root: Path, filename: str, stem: str, folders: Sequence[str]) -> Path:
    """Return the picture's path: by its name, else by the annotation's with any suffix."""
    for name in (filename, *(f"{stem}{suffix}" for suffix in SUFFIXES)):
        for folder in folders:
            if (root / folder / name).is_file():
                return root / folder / name
    raise FileNotFoundError(f"the picture {filename or stem} is in none of {', '.join(str(root / f) for f in folders)}")


READERS: dict[str, Callable[..., list[Annotations]]] = {"voc": read_voc, "coco": read_coco, "yolo": read_yolo}
