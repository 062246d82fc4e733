"""Element types by the names that safetensors gives them, and how their values become NumPy arrays of one's own."""

import numpy as np

BFLOAT16 = "BF16"

# As NumPy stores them; bfloat16, which it does not know, is the upper half of a float32.
TYPES = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    BFLOAT16: "u2",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def dtype(kind: str, byteorder: str = "little") -> np.dtype:
    """Return the NumPy type of stored elements.

    Args:
        kind: a key of ``TYPES``.
        byteorder: ``"little"`` or ``"big"``.
    """
    return np.dtype(TYPES[kind]).newbyteorder("<" if byteorder == "little" else ">")


def own(name: str, values: np.ndarray, kind: str) -> np.ndarray:
    """Copy stored elements to an array that shares no memory with them.

    Args:
        name: the entry's, for the message.
        values: any shape, strided as it may be.
        kind: ``"BF16"`` for the upper halves of float32, uint16; of other values the dtype tells enough.

    Returns:
        the same shape, contiguous, in the machine's byte order: floats as float32, others as they are.

    Raises:
        ValueError: a float64 is too large for float32.
    """
    if kind == BFLOAT16:
        bits = np.left_shift(values.astype(np.uint32, order="C"), np.uint32(16))
        return np.asarray(bits).view(np.float32)  # of a single value NumPy makes no array
    if values.dtype.kind != "f":
        return values.astype(values.dtype.newbyteorder("="), order="C")
    with np.errstate(over="ignore"):  # told below
        floats = values.astype(np.float32, order="C")
    if values.dtype.itemsize > 4 and not np.array_equal(np.isfinite(values), np.isfinite(floats)):
        raise ValueError(f"entry {name!r:.80} has float64 values beyond the range of float32")
    return floats
