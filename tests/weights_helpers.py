"""Writers of PyTorch's files, pickle by pickle, without PyTorch; safetensors' bfloat16; and a web server."""

import json
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TORCH_TYPES = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "BFloat16": "u2",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
}
OF_DTYPE = {np.dtype(code): name for name, code in TORCH_TYPES.items() if name != "BFloat16"}
OLD_BEGIN = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})


@dataclass(frozen=True)
class Name:
    """A global."""

    text: str


@dataclass(frozen=True)
class Call:
    """A function called with arguments."""

    function: Any
    arguments: Any


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are."""

    data: bytes


@dataclass(frozen=True)
class Storage:
    """A storage; what a persistent id says of it may be replaced by ``parts``."""

    key: str
    values: np.ndarray
    kind: str = ""
    view: Any = None
    parts: Any = None

    @property
    def type_name(self):
        return self.kind or OF_DTYPE[self.values.dtype.newbyteorder("=")]

    def parts_of(self, old):
        if self.parts is not None:
            return self.parts
        name = Name(f"torch.{self.type_name}Storage")
        return ("storage", name, self.key, "cpu", self.values.size, *([self.view] if old else []))


@dataclass(frozen=True)
class Ordered:
    """An OrderedDict with attributes; in Python 2's way if so asked."""

    items: dict
    state: Any = None
    python2: bool = False


def emit(value, old=False):
    """Return the opcodes that build a value."""

    def go(inner):
        return emit(inner, old)

    if isinstance(value, Raw):
        return value.data
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):  # Python 2's str
        return b"U" + bytes([len(value)]) + value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(go, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(go, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(go(key) + go(inner) for key, inner in value.items()) + b"u"
    if isinstance(value, Ordered):
        return _emit_ordered(value, go)
    if isinstance(value, Name):
        return b"c" + "\n".join(value.text.rsplit(".", 1)).encode() + b"\n"
    if isinstance(value, Call):
        return go(value.function) + go(value.arguments) + b"R"
    if isinstance(value, Storage):
        return go(value.parts_of(old)) + b"Q"
    raise TypeError(type(value))


def _emit_ordered(value, go):
    if value.python2:
        pairs = [[key.encode(), inner] for key, inner in value.items.items()]
        return go(Call(Name("collections.OrderedDict"), (pairs,)))
    data = go(Call(Name("collections.OrderedDict"), ()))
    data += b"(" + b"".join(go(key) + go(inner) for key, inner in value.items.items()) + b"u"
    return data if value.state is None else data + go(value.state) + b"b"


def dumps(value, old=False):
    """Return a pickle of protocol 2."""
    return b"\x80\x02" + emit(value, old) + b"."


def contiguous(size):
    """Return the strides, in elements, of an array in C order."""
    return tuple(int(np.prod(size[i + 1 :], dtype=int)) for i in range(len(size)))


def tensor(storage, size=None, stride=None, offset=0, version="_v2"):
    """Return a call that rebuilds a tensor; ``version`` "" is PyTorch's before 0.4."""
    size = storage.values.shape if size is None else size
    stride = contiguous(size) if stride is None else stride
    more = (False, Call(Name("collections.OrderedDict"), ())) if version else ()
    return Call(Name(f"torch._utils._rebuild_tensor{version}"), (storage, offset, size, stride, *more))


def parameter(inner):
    """Return a call that rebuilds a parameter."""
    return Call(Name("torch._utils._rebuild_parameter"), (inner, True, Call(Name("collections.OrderedDict"), ())))


def tree_of(arrays, **options):
    """Return a state dict of contiguous arrays, and its storages."""
    storages = [Storage(str(i), array) for i, array in enumerate(arrays.values())]
    return Ordered({name: tensor(s) for name, s in zip(arrays, storages)}, **options), storages


def write_zip(path, tree, storages, byteorder="little", folder="archive", pickle=None, extra=(), compress=()):
    """Write what ``torch.save`` writes since version 1.6."""
    entries = {f"{folder}/data.pkl": dumps(tree) if pickle is None else pickle}
    if byteorder is not None:
        entries[f"{folder}/byteorder"] = byteorder.encode()
    for storage in storages:
        entries[f"{folder}/data/{storage.key}"] = _bytes(storage.values, byteorder or "little")
    entries.update(extra)
    entries[f"{folder}/version"] = b"3\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if name in compress else zipfile.ZIP_STORED)
    return path


def write_old(path, tree, storages, keys=None, begin=OLD_BEGIN, counts=None):
    """Write what ``torch.save`` wrote before version 1.6."""
    keys = [storage.key for storage in storages] if keys is None else keys
    data = b"".join(dumps(part) for part in begin) + dumps(tree, old=True) + dumps(keys)
    for storage in storages:
        count = (counts or {}).get(storage.key, storage.values.size)
        data += struct.pack("<q", count) + _bytes(storage.values, "little")
    Path(path).write_bytes(data)
    return path


def _bytes(values, byteorder):
    return values.astype(values.dtype.newbyteorder("<" if byteorder == "little" else ">")).tobytes()


def write_safetensors(path, entries):
    """Write arrays of types that NumPy does not know, ``{name: (type, shape, bytes)}``, by safetensors' format."""
    header, data = {}, b""
    for name, (kind, shape, content) in entries.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def upper_halves(values):
    """Return float32 values as bfloat16: their upper halves, as uint16."""
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)
