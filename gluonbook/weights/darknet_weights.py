"""Darknet's ``.weights`` files as raw parts: a header, then float32 values in the order of the network's layers.

Redmon's Darknet, ``src/parser.c``, ``load_weights_upto`` and ``save_weights_upto``.
"""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gluonbook import _check, _files

VERSION = struct.Struct("<3i")
SEEN_OLD, SEEN = struct.Struct("<i"), struct.Struct("<q")
FIRST_TRANSPOSED = 1000


class DarknetWeights(NamedTuple):
    """The parts of a file.

    Attributes:
        version: (major, minor, revision).
        seen: how many pictures the weights have been trained on.
        values: (L,) float32.
    """

    version: tuple[int, int, int]
    seen: int
    values: np.ndarray


def read_darknet_weights(path: _files.PathLike) -> DarknetWeights:
    """Read a Darknet file of weights.

    Args:
        path: a ``.weights`` file.

    Returns:
        DarknetWeights, in the machine's byte order.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: its header is cut short or no Darknet's, its values are no whole number of float32, or one is not
            finite; the message names the file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected a Darknet file of weights (.weights)")
    num_bytes = path.stat().st_size
    with open(path, "rb") as stream:
        head = stream.read(VERSION.size + SEEN.size)
    try:
        version = VERSION.unpack_from(head)
        seen_format = _seen_format(version)
        (seen,) = seen_format.unpack_from(head, VERSION.size)
    except struct.error:
        raise ValueError(
            f"{path} is no Darknet file of weights: its header is cut short at {len(head)} bytes"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is no Darknet file of weights that can be read: {error}") from None
    start = VERSION.size + seen_format.size
    if (num_bytes - start) % 4:
        raise ValueError(f"{path} is cut short or damaged: {num_bytes - start} bytes of values are no whole float32s")
    values = np.fromfile(path, "<f4", offset=start).astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ValueError(f"{path} is damaged: value {np.flatnonzero(~np.isfinite(values))[0]} is not finite")
    return DarknetWeights(version, seen, values)


def write_darknet_weights(
    path: _files.PathLike, arrays: Iterable[np.ndarray], seen: int = 0, version: tuple[int, int, int] = (0, 2, 0)
) -> None:
    """Write a Darknet file of weights.

    Args:
        path: where; an older file is replaced when the new one is whole.
        arrays: written one after the other as float32, of any shape.
        seen: how many pictures the weights have been trained on; at least 0.
        version: (major, minor, revision), below 1000 each; the default is what Darknet writes.

    Raises:
        ValueError: ``seen`` or ``version`` is out of range.

    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name) / "net.weights"
    >>> write_darknet_weights(path, [np.ones(2), np.zeros((1, 3))], seen=64)
    >>> path.stat().st_size
    40
    >>> read_darknet_weights(path)
    DarknetWeights(version=(0, 2, 0), seen=64, values=array([1., 1., 0., 0., 0.], dtype=float32))
    >>> folder.cleanup()
    """
    seen_format = _seen_format(version)
    most = 2 ** (8 * seen_format.size - 1) - 1
    head = VERSION.pack(*version) + seen_format.pack(_check.integer("seen", seen, at_least=0, at_most=most))
    with _files.replacing(path) as neighbour, open(neighbour, "wb") as stream:
        stream.write(head)
        for array in arrays:
            stream.write(np.ascontiguousarray(array, "<f4").tobytes())


def _seen_format(version: tuple[int, ...]) -> struct.Struct:
    """Return how ``seen`` is stored: in 64 bits from version 0.2 on."""
    major, minor, _ = version
    if min(major, minor) < 0:
        raise ValueError(f"version must be at least 0.0, got {major}.{minor}")
    if max(major, minor) >= FIRST_TRANSPOSED:
        raise ValueError(
            f"version must be below {FIRST_TRANSPOSED}, got {major}.{minor}: later ones store dense layers transposed"
        )
    return SEEN if major * 10 + minor >= 2 else SEEN_OLD
