"""Arrays in the idx format, in which MNIST and its like are published: a magic number, the sides, the values."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from gluonbook import _files

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: _files.PathLike) -> np.ndarray:
    """Read an idx file, compressed by gzip or not.

    Its bytes: 0, 0, a code of the dtype, the number of axes; each axis as a big-endian uint32; the values, the last
    axis fastest (LeCun, Cortes & Burges, the MNIST database).

    Returns:
        an array of the file's shape and dtype, in the machine's byte order.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is damaged or no idx file; the message gives the byte counts.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there")
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a whole gzip file: {error}") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in DTYPES:
        raise ValueError(f"{path} is no idx file: it begins with {content[:4].hex(' ') or 'nothing'}")
    dtype, ndim = np.dtype(DTYPES[content[2]]), content[3]
    start = 4 + 4 * ndim
    shape = struct.unpack(f">{ndim}I", content[4:start]) if len(content) >= start else ()
    size = math.prod(shape) * dtype.itemsize
    if len(content) != start + size:
        raise ValueError(f"{path} is damaged: its header asks for {start + size} bytes, it has {len(content)}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
