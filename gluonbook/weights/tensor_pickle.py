"""A reader of pickles that can build plain data and descriptions of tensors, and nothing else.

Python's own unpickler imports what a file names and calls it. This one has no import and no call: it knows the opcodes
that ``torch.save`` writes for a state dict, and the few globals in them stand for functions of this module. Whatever
else a file asks for ends the reading with a ValueError, before anything comes of it.
"""

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Optional

from gluonbook.weights import elements

MOST_BYTES = 8 << 20  # of a pickle: descriptions of some 40,000 tensors
MOST_DIMENSIONS = 32  # of a NumPy array


@dataclass(frozen=True)
class Storage:
    """Elements in a row somewhere in the file.

    Attributes:
        key: what the file calls them.
        kind: their type, a key of ``elements.TYPES``.
        total: how many there are under this key.
        start, count: the part that is meant.
    """

    key: str
    kind: str
    total: int
    start: int
    count: int


@dataclass(frozen=True)
class Tensor:
    """A strided view of a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    """A name that the pickle asked for, and what it stands for here: an element type, or a function of this module."""

    name: str
    kind: Optional[str] = None
    make: Optional[Callable[[tuple[Any, ...]], Any]] = None


class _Bounded:
    """The bytes that a pickle may have: no length in it makes anybody reserve more."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.left = stream, MOST_BYTES

    def read(self, count: int) -> bytes:
        return self._counted(self.stream.read(min(count, self.left)))

    def readline(self) -> bytes:
        return self._counted(self.stream.readline(self.left))

    def _counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left == 0:
            raise ValueError(f"its pickle is longer than {MOST_BYTES >> 20} MiB")
        return data


class Unpickler:
    """Read one pickle from a stream, which stands right behind it afterwards.

    Args:
        stream: where the pickle begins.

    Attributes:
        storages: element type and number of elements of each storage that was named, by its key.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.storages: dict[str, tuple[str, int]] = {}
        self._opcodes = pickletools.genops(_Bounded(stream))  # type: ignore[arg-type]  # it uses no other method
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under the open marks
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Return what the pickle describes.

        Returns:
            numbers, texts, None, lists, tuples, dicts (those with an order, too), and ``Tensor`` descriptions.

        Raises:
            ValueError: it is cut short, no pickle, or asks for something else; the message names it.
        """
        for opcode, argument, _ in self._opcodes:
            if opcode.name == "STOP":
                break
            if opcode.name not in _STEPS:
                raise ValueError(f"its pickle uses the opcode {opcode.name}, which no state dict needs")
            _STEPS[opcode.name](self, argument)
        return self._pop()

    def _pop(self) -> Any:
        if not self._stack:
            raise ValueError("its pickle takes more from its stack than it has put there")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        if not self._below:
            raise ValueError("its pickle closes a group that it has not opened")
        items, self._stack = self._stack, self._below.pop()
        return items

    def _top(self, kind: type, what: str) -> Any:
        """Return the topmost object if it is exactly of a kind: a subclass might do something when it is written to."""
        if not self._stack or type(self._stack[-1]) is not kind:
            raise ValueError(f"its pickle {what} something that is no {kind.__name__}")
        return self._stack[-1]

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _tuple(self, length: int) -> None:
        items = [self._pop() for _ in range(length)]
        self._push(tuple(reversed(items)))

    def _append(self, items: list[Any]) -> None:
        self._top(list, "appends to").extend(items)

    def _set_items(self, items: list[Any]) -> None:
        _fill(self._top(dict, "sets items of"), items)

    def _put(self, index: Optional[int]) -> None:
        if not self._stack:
            raise ValueError("its pickle remembers what is not there")
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError(f"its pickle recalls object {index}, which it has not remembered")
        self._push(self._memo[index])

    def _global(self, name: str) -> None:
        if name not in _GLOBALS:
            raise ValueError(f"its pickle asks for {name[:80]!r}, which is not admitted; nothing of it was run")
        self._push(_GLOBALS[name])

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        if not (type(module) is str and type(name) is str):
            raise ValueError("its pickle asks for something whose name is no text")
        self._global(f"{module}.{name}")

    def _reduce(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Global) or function.make is None:
            raise ValueError(f"its pickle calls {_called(function)}, which is no function")
        if type(arguments) is not tuple:
            raise ValueError(f"its pickle calls {function.name} with something that is no tuple")
        self._push(function.make(arguments))

    def _build(self, _: Any) -> None:
        """Skip the attributes of an ordered dict: PyTorch keeps version numbers of modules in one, ``_metadata``."""
        state = self._pop()
        self._top(dict, "sets attributes of")
        if type(state) is not dict or set(state) - {"_metadata"}:
            raise ValueError("its pickle sets attributes of a dict that no state dict has")

    def _persistent(self, _: Any) -> None:
        storage = _storage(self._pop())
        described = (storage.kind, storage.total)
        if self.storages.setdefault(storage.key, described) != described:
            raise ValueError(f"its pickle describes the storage {storage.key!r:.80} in two ways")
        self._push(storage)


def _called(value: Any) -> str:
    return value.name if isinstance(value, _Global) else f"an object of type {type(value).__name__}"


def _fill(target: dict[Any, Any], items: list[Any]) -> None:
    """Put keys and values, in turn, into a dict. Keys are plain: a deeply nested tuple's hash ends the process."""
    if len(items) % 2:
        raise ValueError("its pickle sets a key of a dict without a value")
    for key, value in zip(items[::2], items[1::2]):
        if type(key) not in (str, int):
            raise ValueError(f"its pickle has a dict with a key of type {type(key).__name__}")
        target[key] = value


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _are_counts(values: Any) -> bool:
    return type(values) in (tuple, list) and all(_is_count(value) for value in values)


def _storage(parts: Any) -> Storage:
    """Read a persistent id: ("storage", type, key, device, count), and a sixth part in files of before PyTorch 1.6.

    That part is None, or (key, start, count) of a storage that is a part of another one.
    """
    wrong = ValueError("its pickle refers to something that is no storage")
    if type(parts) is not tuple or len(parts) not in (5, 6) or type(parts[0]) is not str or parts[0] != "storage":
        raise wrong
    _, global_, key, _, total, *view = parts
    if not isinstance(global_, _Global) or global_.kind is None or type(key) is not str or not _is_count(total):
        raise wrong
    if not view or view[0] is None:
        return Storage(key, global_.kind, total, 0, total)
    if type(view[0]) is not tuple or len(view[0]) != 3 or not _are_counts(view[0][1:]):
        raise wrong
    _, start, count = view[0]
    if start + count > total:
        raise ValueError(f"its pickle has a part of the storage {key!r:.80} that lies outside of it")
    return Storage(key, global_.kind, total, start, count)


def _ordered(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Stand for ``OrderedDict()``, and for ``OrderedDict([[key, value], …])``, which Python 2 wrote."""
    entries: dict[Any, Any] = {}
    if not arguments:
        return entries
    if len(arguments) != 1 or type(arguments[0]) is not list:
        raise ValueError("its pickle makes an OrderedDict of something that is no list of pairs")
    for pair in arguments[0]:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise ValueError("its pickle makes an OrderedDict of something that is no list of pairs")
        _fill(entries, list(pair))
    return entries


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    """Stand for ``_rebuild_tensor`` and ``_rebuild_tensor_v2``, whose further arguments are about gradients."""
    if not 4 <= len(arguments) <= 7 or not isinstance(arguments[0], Storage) or not _is_count(arguments[1]):
        raise ValueError("its pickle makes a tensor of something that is no storage with an offset")
    storage, offset, size, stride = arguments[:4]
    if not (_are_counts(size) and _are_counts(stride) and len(size) == len(stride) <= MOST_DIMENSIONS):
        raise ValueError(f"its pickle has a tensor in the storage {storage.key!r:.80} with no proper shape and strides")
    tensor = Tensor(storage, offset, tuple(size), tuple(stride))
    num_elements = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride))
    if num_elements and (last >= storage.count or num_elements > storage.count):
        raise ValueError(
            f"its pickle has a tensor that does not fit into its storage {storage.key!r:.80}: offset {offset}, shape "
            f"{size!r:.80}, strides {stride!r:.80} of {storage.count} elements"
        )
    return tensor


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    """Stand for ``_rebuild_parameter``: a tensor, and whether it has a gradient."""
    if not 1 <= len(arguments) <= 3 or not isinstance(arguments[0], Tensor):
        raise ValueError("its pickle makes a parameter of something that is no tensor")
    return arguments[0]


_TORCH_NAMES = {
    "Double": "F64",
    "Float": "F32",
    "Half": "F16",
    "BFloat16": elements.BFLOAT16,
    "Long": "I64",
    "Int": "I32",
    "Short": "I16",
    "Char": "I8",
    "Byte": "U8",
    "Bool": "BOOL",
}
_MAKERS = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}
_GLOBALS = {name: _Global(name, make=make) for name, make in _MAKERS.items()}
_GLOBALS |= {
    name: _Global(name, kind=kind)
    for module in ("torch", "torch.cuda")
    for of_torch, kind in _TORCH_NAMES.items()
    for name in [f"{module}.{of_torch}Storage"]
}

_STEPS: dict[str, Callable[[Unpickler, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": Unpickler._mark,
    "NONE": lambda machine, _: machine._push(None),
    "NEWTRUE": lambda machine, _: machine._push(True),
    "NEWFALSE": lambda machine, _: machine._push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), Unpickler._push),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), Unpickler._push),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), Unpickler._push),  # Python 2's
    "EMPTY_TUPLE": lambda machine, _: machine._push(()),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "TUPLE": lambda machine, _: machine._push(tuple(machine._pop_to_mark())),
    "EMPTY_LIST": lambda machine, _: machine._push([]),
    "APPEND": lambda machine, _: machine._append([machine._pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._pop_to_mark()),
    "EMPTY_DICT": lambda machine, _: machine._push({}),
    "SETITEM": lambda machine, _: machine._set_items([machine._pop(), machine._pop()][::-1]),
    "SETITEMS": lambda machine, _: machine._set_items(machine._pop_to_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), Unpickler._put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), Unpickler._get),
    "GLOBAL": lambda machine, name: machine._global(name.replace(" ", ".", 1)),
    "STACK_GLOBAL": Unpickler._stack_global,
    "REDUCE": Unpickler._reduce,
    "BUILD": Unpickler._build,
    "BINPERSID": Unpickler._persistent,
}
