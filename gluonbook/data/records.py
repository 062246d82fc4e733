"""Detection sets in RecordIO, the format of MXNet's ``ImageDetIter``: a ``.rec`` of pictures with their labels.

Reading is done here, with plain files: MXNet's reader needs an ``.idx`` to jump, which the book's validation set lacks,
and says nothing of where a file is damaged.
"""

import io
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gluonbook import _files
from gluonbook._mxnet import mx

MAGIC = struct.pack("<I", 0xCED7230A)
WHOLE, FIRST, LAST = 0, 1, 3  # parts of a record; others lie between
HEADER = struct.Struct("<IfQQ")  # number of labels, one label, two identifiers
LABEL_HEADER = (2, 5)  # its own width, and that of an object: class, xmin, ymin, xmax, ymax
JPEG_QUALITY = 92


class Record(NamedTuple):
    """Where a picture lies in a ``.rec``."""

    path: Path
    offset: int


def write_records(path: _files.PathLike, items: Iterable[tuple[np.ndarray, np.ndarray]]) -> Path:
    """Write pictures and labels as ``PATH.rec`` with its ``.idx``, which ``mx.image.ImageDetIter`` reads.

    Args:
        path: of the ``.rec``.
        items: pictures (H, W, 3) uint8, RGB, with labels (M, 5), rows (class, xmin, ymin, xmax, ymax).

    Returns:
        the path of the ``.rec``.
    """
    from PIL import Image

    path = Path(path)
    with _files.replacing(path) as rec, _files.replacing(path.with_suffix(".idx")) as idx:
        writer = mx.recordio.MXIndexedRecordIO(str(idx), str(rec), "w")
        try:
            for i, (picture, labels) in enumerate(items):
                jpeg = io.BytesIO()
                Image.fromarray(picture).save(jpeg, "JPEG", quality=JPEG_QUALITY, subsampling=0)
                numbers = np.concatenate([LABEL_HEADER, np.asarray(labels, np.float32).ravel()]).astype(np.float32)
                writer.write_idx(i, mx.recordio.pack(mx.recordio.IRHeader(0, numbers, i, 0), jpeg.getvalue()))
        finally:
            writer.close()
    return path


def write_index(path: _files.PathLike, index: _files.PathLike) -> Path:
    """Write the ``.idx`` of a ``.rec``, by which MXNet's iterators jump in it: records are numbered from 0.

    Args:
        path: of the ``.rec``.
        index: where.

    Returns:
        the path of the index.

    Raises:
        FileNotFoundError, ValueError: as ``read_labels``.
    """
    lines = [f"{number}\t{record.offset}\n" for number, (record, _) in enumerate(read_labels(path))]
    _files.write_text(index, "".join(lines))
    return Path(index)


def read_labels(path: _files.PathLike) -> Iterator[tuple[Record, np.ndarray]]:
    """Yield every record of a ``.rec`` with its labels, (M, 5 or more) float32.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is damaged, or its labels are not a detection set's; the message gives the byte or the record.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        number = 0
        while (offset := file.tell()) < end:
            content = _read_record(file, path)
            yield Record(path, offset), _labels(content, f"{path}, record {number}")
            number += 1


def read_content(record: Record) -> bytes:
    """Return the picture file that a record holds."""
    with record.path.open("rb") as file:
        file.seek(record.offset)
        content = _read_record(file, record.path)
    return content[HEADER.size + 4 * HEADER.unpack_from(content)[0] :]


def _read_record(file: Any, path: Path) -> bytes:
    """Read the record at the file's place; records whose content holds the magic number lie in parts."""
    parts = []
    while True:
        offset = file.tell()
        head = file.read(8)
        if len(head) < 8 or head[:4] != MAGIC:
            raise ValueError(f"{path} is damaged at byte {offset}: no record begins there")
        kind, length = divmod(struct.unpack("<I", head[4:])[0], 1 << 29)
        content = file.read(length)
        if len(content) < length:
            raise ValueError(
                f"{path} is cut short: the record at byte {offset} needs {length} bytes, {len(content)} left"
            )
        file.seek(-length % 4, os.SEEK_CUR)
        parts.append(content)
        if kind in (WHOLE, LAST):
            return MAGIC.join(parts)


def _labels(content: bytes, name: str) -> np.ndarray:
    if len(content) < HEADER.size:
        raise ValueError(f"{name}: {len(content)} bytes are no packed picture")
    count = HEADER.unpack_from(content)[0]
    if count < 2 or len(content) < HEADER.size + 4 * count:
        raise ValueError(f"{name} has no labels of objects: not a detection set")
    numbers = np.frombuffer(content, "<f4", count, HEADER.size)
    head, width = numbers[:2].tolist()
    whole = head.is_integer() and width.is_integer()
    if not whole or not 2 <= head <= count or width < 5 or (count - head) % width:
        raise ValueError(f"{name}: {count} numbers are no header of {head:g} and rows of {width:g}")
    return numbers[int(head) :].reshape(-1, int(width))
