"""PyTorch's files of tensors, ``.pth``, read without PyTorch: zip archives since version 1.6, and those of before."""

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from gluonbook.weights import elements
from gluonbook.weights.tensor_pickle import MOST_BYTES, Storage, Tensor, Unpickler

OLD_MAGIC, OLD_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
WRAPPERS = ("state_dict", "model")  # where training scripts put the state dict among other things
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, struct.error, OverflowError)

ReadStorage = Callable[[Storage], bytes]


def read_zip(stream: BinaryIO) -> dict[str, np.ndarray]:
    """Read the tensors of a zip archive: ``NAME/data.pkl``, ``NAME/data/0``, …, and ``NAME/byteorder`` if it is there.

    Args:
        stream: the open file.

    Returns:
        arrays by name, in the file's order, that share no memory; as ``elements.own``.

    Raises:
        ValueError: it is damaged, no file of tensors, or holds something else as well; the message says what.

    Source: ``torch/serialization.py`` of PyTorch 2, ``_save`` and ``_load``.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            return _read_archive(archive, os.fstat(stream.fileno()).st_size)
    except BROKEN_ZIP as error:
        raise ValueError(f"a broken zip archive: {error}") from None


def _read_archive(archive: zipfile.ZipFile, num_bytes: int) -> dict[str, np.ndarray]:
    names = archive.namelist()
    pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("a zip archive that torch.save did not write: it has no data.pkl in its one folder")
    root = pickles[0][: -len("data.pkl")]
    tree = Unpickler(io.BytesIO(_content(archive, pickles[0], min(MOST_BYTES, num_bytes)))).load()
    order = "little"  # of files that do not say
    if f"{root}byteorder" in names:
        order = _content(archive, f"{root}byteorder", 16).decode("latin-1")
    if order not in ("little", "big"):
        raise ValueError(f"its byte order must be little or big, got {order!r}")
    return _arrays(tree, lambda storage: _content(archive, f"{root}data/{storage.key}", num_bytes), order)


def _content(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return an entry's bytes, which lie in the archive as they are: no entry is larger than the archive."""
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"{name[:80]!r} is missing in the archive") from None
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
        raise ValueError(f"{name[:80]!r} in the archive is compressed or encrypted, which torch.save never does")
    if info.file_size > most:
        raise ValueError(f"{name[:80]!r} in the archive should have at most {most} bytes, it has {info.file_size}")
    return archive.read(info)


def is_old(head: bytes) -> bool:
    """Tell by its first 32 bytes whether a file is one of before version 1.6."""
    if not head.startswith(b"\x80"):  # of a pickle, whatever its protocol
        return False
    try:
        magic = Unpickler(io.BytesIO(head)).load()
    except ValueError:
        return False
    return type(magic) is int and magic == OLD_MAGIC


def read_old(stream: BinaryIO) -> dict[str, np.ndarray]:
    """Read the tensors of a file that PyTorch wrote before version 1.6; torchvision's VGG weights are of that kind.

    Five pickles (a magic number, the protocol, facts on the machine, the object, the keys of its storages), then for
    each key the number of elements, int64, and the elements, all little-endian.

    Args, returns, raises: as ``read_zip``.

    Source: ``torch/serialization.py`` of PyTorch 2, ``_legacy_save`` and ``_legacy_load``.
    """
    _magic, protocol, _machine = (Unpickler(stream).load() for _ in range(3))
    if type(protocol) is not int or protocol != OLD_PROTOCOL:
        raise ValueError(f"it is of another protocol than {OLD_PROTOCOL}")
    described = Unpickler(stream)
    tree = described.load()
    keys = Unpickler(stream).load()
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise ValueError("the keys of its storages are no list of texts")
    places = _old_places(stream, keys, described.storages)

    def read(storage: Storage) -> bytes:
        if storage.key not in places:
            raise ValueError(f"its storage {storage.key!r:.80} is missing")
        stream.seek(places[storage.key])
        return stream.read(storage.total * elements.dtype(storage.kind).itemsize)

    return _arrays(tree, read, "little")


def _old_places(stream: BinaryIO, keys: list[str], described: dict[str, tuple[str, int]]) -> dict[str, int]:
    """Return where each storage's elements begin."""
    places: dict[str, int] = {}
    position, num_bytes = stream.tell(), os.fstat(stream.fileno()).st_size
    for key in keys:
        if key not in described or key in places:
            raise ValueError(f"it has the storage {key!r:.80}, which no tensor needs or which was there before")
        kind, total = described[key]
        stream.seek(position)
        count = int.from_bytes(stream.read(8), "little")
        end = position + 8 + total * elements.dtype(kind).itemsize
        if end > num_bytes:
            raise ValueError(f"it is cut short: its storage {key!r:.80} ends at byte {end}, the file at {num_bytes}")
        if count != total:
            raise ValueError(f"its storage {key!r:.80} should have {total} elements, it has {count}")
        places[key], position = position + 8, end
    return places


def _arrays(tree: Any, read: ReadStorage, byteorder: str) -> dict[str, np.ndarray]:
    """Turn descriptions into arrays. A storage is read once, and kept no longer than its tensors need it."""
    tensors = _state_dict(tree)
    in_storage: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        in_storage.setdefault(tensor.storage.key, []).append(name)
    arrays: dict[str, np.ndarray] = {}
    for names in in_storage.values():
        storage = tensors[names[0]].storage
        data, dtype = read(storage), elements.dtype(storage.kind, byteorder)
        right = storage.total * dtype.itemsize
        if len(data) != right:
            raise ValueError(f"its storage {storage.key!r:.80} should have {right} bytes, it has {len(data)}")
        values: np.ndarray = np.ndarray((storage.total,), dtype, data)
        for name in names:
            arrays[name] = elements.own(name, _view(tensors[name], values), storage.kind)
    return {name: arrays[name] for name in tensors}


def _state_dict(tree: Any) -> dict[str, Tensor]:
    """Return the named tensors: of the object itself, or of the state dict in a training script's checkpoint.

    Raises:
        ValueError: it is no dict, or an entry is no tensor; the message names it.
    """
    if type(tree) is not dict:
        raise ValueError(f"it holds an object of type {type(tree).__name__}, not a dict of tensors by name")
    inner = [tree[name] for name in WRAPPERS if type(tree.get(name)) is dict]
    found: dict[Any, Any] = inner[0] if inner else tree
    for name, value in found.items():
        if type(name) is not str:  # and not shown: a number of a million digits takes minutes
            raise ValueError("it has an entry whose name is no text")
        if not isinstance(value, Tensor):
            raise ValueError(f"its entry {name[:80]!r} is no tensor but of type {type(value).__name__}")
    return found


def _view(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """Return a tensor as a view of its whole storage; the unpickler has checked that it lies inside."""
    if math.prod(tensor.size) == 0:
        return np.zeros(tensor.size, values.dtype)
    # A stride along a side of 1 is never walked, and may be any number.
    strides = [step * values.itemsize if n > 1 else 0 for n, step in zip(tensor.size, tensor.stride)]
    start = tensor.storage.start + tensor.offset
    return np.lib.stride_tricks.as_strided(values[start:], tensor.size, strides, writeable=False)
