"""Files of weights: told by their content, read to NumPy arrays, and written as Gluon's ``.params``."""

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gluonbook import _files, training
from gluonbook._mxnet import nd
from gluonbook.weights import elements, torch_file

PARAMS, ZIPPED_PARAMS = "Gluon .params", "zip archive of a Gluon .params"
SAFETENSORS = "safetensors file"
TORCH_ZIP, TORCH_OLD = "PyTorch .pth", "PyTorch .pth of before version 1.6"

PARAMS_MAGIC = (0x112).to_bytes(8, "little")
ZIP_MAGIC = b"PK\3\4"
MXNET_PREFIXES = ("arg:", "aux:")  # of the files that go with a symbol
MXNET_BFLOAT16 = "bfloat16"  # the field of the records that stand for it in NumPy


def format_of(path: _files.PathLike) -> str:
    """Tell a file of weights by its content, whatever its name.

    Args:
        path: the file.

    Returns:
        one of the names above, such as ``"PyTorch .pth"``.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is a folder, empty, or no file of weights; the message says how it begins.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ValueError(f"{path} is a folder: expected a file of weights (.params, .safetensors, .pth)")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected a file of weights (.params, .safetensors, .pth)")
    with open(path, "rb") as stream:
        head = stream.read(32)
    if head.startswith(ZIP_MAGIC):
        return ZIPPED_PARAMS if zipped_params(path) else TORCH_ZIP
    if torch_file.is_old(head):
        return TORCH_OLD
    if head.startswith(PARAMS_MAGIC):
        return PARAMS
    if head[8:9] == b"{":
        return SAFETENSORS
    begins = f"it begins with {head[:8]!r}" if head else "it is empty"
    raise ValueError(f"{path} is no file of weights (.params, .safetensors, .pth): {begins}")


def read_weights(path: _files.PathLike) -> dict[str, np.ndarray]:
    """Read the arrays of a file of weights: Gluon's, safetensors or PyTorch's.

    A PyTorch file may be a state dict, or a checkpoint that holds one as ``state_dict`` or ``model``. Nothing in a file
    is run (``tensor_pickle``). The prefixes ``arg:`` and ``aux:`` of MXNet's names are dropped.

    Args:
        path: the file; its content tells the format, not its name.

    Returns:
        arrays by the file's own names: float16, bfloat16, float32 and float64 as float32, whole numbers and truths as
        they are. No two share memory.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is none of these, cut short or damaged, or holds what is no array; the message names the file
            and what is wrong.
    """
    path = Path(path).expanduser()
    kind = format_of(path)
    if kind == PARAMS:
        arrays = _read_params(path)
    elif kind == ZIPPED_PARAMS:
        arrays = _read_zipped_params(path)
    else:
        read = {SAFETENSORS: _read_safetensors, TORCH_ZIP: torch_file.read_zip, TORCH_OLD: torch_file.read_old}[kind]
        try:
            with open(path, "rb") as stream:
                arrays = read(stream)
        except ValueError as error:
            raise ValueError(f"{path} is not a readable {kind}: {error}") from None
    strange = [name for name in arrays if not name.isprintable()]
    if strange or not arrays:
        raise ValueError(f"{path} holds {f'an entry named {strange[0][:80]!r}' if strange else 'no arrays'}")
    return arrays


def save_weights(path: _files.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a ``.params`` file, which ``load_parameters`` of a Gluon network reads.

    Args:
        path: where; an older file is replaced when the new one is whole.
        arrays: by the network's names; each keeps its dtype.
    """
    with _files.replacing(path) as neighbour:
        nd.save(str(neighbour), {name: nd.array(array, dtype=array.dtype) for name, array in arrays.items()})


def _read_params(path: Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    loaded = training.load_arrays(path)
    for key in list(loaded):
        name = key[4:] if key.startswith(MXNET_PREFIXES) else key
        if name in arrays:
            raise ValueError(f"{path} holds the entry {name!r:.80} twice")
        values = loaded.pop(key).asnumpy()  # MXNet's copy goes at once
        kind = ""
        if values.dtype.names == (MXNET_BFLOAT16,):
            values, kind = values.view("u2"), elements.BFLOAT16
        try:
            arrays[name] = elements.own(name, values, kind)
        except ValueError as error:
            raise ValueError(f"{path} is not a readable {PARAMS}: {error}") from None
    return arrays


def zipped_params(path: Path) -> list[str]:
    """Return the ``.params`` file in a zip archive, as MXNet's model store packs it; nothing where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except torch_file.BROKEN_ZIP:
        return []
    found = [name for name in names if name.endswith(".params")]
    return found if len(found) == 1 and not any(name.endswith("data.pkl") for name in names) else []


def _read_zipped_params(path: Path) -> dict[str, np.ndarray]:
    (name,) = zipped_params(path)
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / "unpacked.params"
        try:
            with zipfile.ZipFile(path) as archive, archive.open(name) as source, open(unpacked, "wb") as target:
                shutil.copyfileobj(source, target)
            return _read_params(unpacked)
        except (ValueError, *torch_file.BROKEN_ZIP) as error:
            reason = str(error).replace(str(unpacked), name)
            raise ValueError(f"{path} is not a readable {ZIPPED_PARAMS}: {reason}") from None


def _read_safetensors(stream: BinaryIO) -> dict[str, np.ndarray]:
    import safetensors

    try:
        entries = safetensors.deserialize(stream.read())
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    arrays = {}
    for name, entry in sorted(entries, key=lambda item: item[0]):
        kind = entry["dtype"]
        if kind not in elements.TYPES:
            raise ValueError(f"entry {name!r:.80} has elements of type {kind}: expected {', '.join(elements.TYPES)}")
        values: np.ndarray = np.ndarray(entry["shape"], elements.dtype(kind), entry["data"])
        arrays[name] = elements.own(name, values, kind)
    return arrays
