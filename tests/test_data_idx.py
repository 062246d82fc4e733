"""idx files of every dtype and shape are read, compressed or not; what is damaged is told with the byte counts."""

import gzip
import math
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gluonbook.data import idx
from gluonbook.data.idx import read_idx

# By the description of the MNIST database: the code of each dtype, and how struct writes a value of it, big-endian.
CODES = {"uint8": (0x08, ">B"), "int8": (0x09, ">b"), "int16": (0x0B, ">h"), "int32": (0x0C, ">i")}
CODES.update({"float32": (0x0D, ">f"), "float64": (0x0E, ">d")})
PICTURES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def named(value):
    """Name a test by its texts: a file's bytes tell a reader nothing."""
    return "bytes" if isinstance(value, bytes) else None


def as_idx(array):
    """An array in the format, value by value."""
    code, form = CODES[array.dtype.name]
    head = bytes([0, 0, code, array.ndim]) + b"".join(struct.pack(">I", side) for side in array.shape)
    return head + b"".join(struct.pack(form, value) for value in array.ravel().tolist())


def read(folder, content, name="a.idx"):
    (folder / name).write_bytes(content)
    return read_idx(folder / name)


def test_a_file_written_by_hand_is_read(tmp_path):
    """Two axes, 2 and 3; the last axis fastest; 0x0102 is 258, 0xFFFE is -2 by two's complement."""
    content = bytes.fromhex("0000 0b02 00000002 00000003 0000 0001 0102 7fff fffe 8000")
    found = read(tmp_path, content)
    np.testing.assert_array_equal(found, [[0, 1, 258], [32767, -2, -32768]])
    assert found.dtype == np.int16


@pytest.mark.parametrize(
    ("code", "value", "dtype", "expected"),
    [
        ("08", "ff", np.uint8, 255),
        ("09", "ff", np.int8, -1),
        ("0b", "00 ff", np.int16, 255),
        ("0c", "00 00 01 00", np.int32, 256),
        ("0d", "3f 80 00 00", np.float32, 1),
        ("0e", "c0 00 00 00 00 00 00 00", np.float64, -2),
    ],
)
def test_each_code_is_its_dtype_in_the_machines_byte_order(tmp_path, code, value, dtype, expected):
    found = read(tmp_path, bytes.fromhex(f"0000 {code} 01 00000001 {value}"))
    assert (found.dtype, found.shape, found[0]) == (np.dtype(dtype), (1,), expected)
    assert found.dtype.isnative


def test_no_other_code_is_known():
    assert sorted(idx.DTYPES) == sorted(code for code, _ in CODES.values())


ARRAYS = st.sampled_from(sorted(CODES)).flatmap(
    lambda name: npst.arrays(name, npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@given(ARRAYS, st.booleans())
@settings(deadline=None, max_examples=200)
def test_what_was_written_is_read_again(tmp_path_factory, array, packed):
    content = as_idx(array)
    found = read(tmp_path_factory.getbasetemp(), gzip.compress(content, 1) if packed else content)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_the_content_tells_whether_it_is_compressed_and_not_the_name(tmp_path):
    for name in ("a.gz", "a", "a-idx3-ubyte"):
        for content in (as_idx(PICTURES), gzip.compress(as_idx(PICTURES))):
            np.testing.assert_array_equal(read(tmp_path, content, name), PICTURES)


def test_a_path_may_be_text_and_the_array_may_be_written_to(tmp_path):
    (tmp_path / "a").write_bytes(as_idx(PICTURES))
    found = read_idx(str(tmp_path / "a"))
    found[0, 0, 0] = 9
    assert found[0, 0, 0] == 9


def test_no_examples_are_an_empty_array(tmp_path):
    assert read(tmp_path, as_idx(np.zeros((0, 28, 28), np.uint8))).shape == (0, 28, 28)


def test_sides_that_are_longer_than_two_bytes(tmp_path):
    array = np.arange(70_000) % 251
    np.testing.assert_array_equal(read(tmp_path, as_idx(array.astype(np.uint8))), array)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (as_idx(PICTURES)[:-1], "is damaged: its header asks for 40 bytes, it has 39"),
        (as_idx(PICTURES)[:16], "is damaged: its header asks for 40 bytes, it has 16"),
        (as_idx(PICTURES) + b"\0", "is damaged: its header asks for 40 bytes, it has 41"),
        (as_idx(PICTURES.astype(np.float64))[:-8], "is damaged: its header asks for 208 bytes, it has 200"),
        (as_idx(PICTURES)[:15], "is damaged: its header asks for 17 bytes, it has 15"),  # 16, and a value at the least
        (as_idx(PICTURES)[:4], "is damaged: its header asks for 17 bytes, it has 4"),
        (b"\0\0\x08\1" + b"\xff" * 4, f"is damaged: its header asks for {8 + 2**32 - 1} bytes, it has 8"),
        (
            b"\0\0\x08\3" + b"\x80\0\0\0" * 2 + b"\0\0\0\4",
            f"is damaged: its header asks for {16 + 2**64} bytes, it has 16",
        ),
        (b"", "is no idx file: it begins with nothing"),
        (b"\0\0\x08", "is no idx file: it begins with 00 00 08"),
        (b"\0\0\x0a\1\0\0\0\0", "is no idx file: it begins with 00 00 0a 01"),  # a code between two dtypes
        (b"\0\1\x08\1\0\0\0\0", "is no idx file: it begins with 00 01 08 01"),
        (b"\1\0\x08\1\0\0\0\0", "is no idx file: it begins with 01 00 08 01"),
        (b"\1\x08\0\0\0\0\0\0", "is no idx file: it begins with 01 08 00 00"),  # the magic number the other way round
        (b"<html>404</html>", "is no idx file: it begins with 3c 68 74 6d"),
    ],
    ids=named,
)
@pytest.mark.parametrize("packed", [False, True])
def test_another_content_is_refused_with_what_was_found(tmp_path, content, told, packed):
    message = f"^{re.escape(str(tmp_path / 'a.idx'))} {re.escape(told)}$"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, gzip.compress(content) if packed else content)


WHOLE = gzip.compress(as_idx(PICTURES))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (WHOLE[:-9], "Compressed file ended before the end-of-stream marker was reached"),
        (WHOLE[:-4], "Compressed file ended before the end-of-stream marker was reached"),
        (WHOLE[:5], "Compressed file ended before the end-of-stream marker was reached"),
        (WHOLE[:-8] + bytes(4) + WHOLE[-4:], "CRC check failed"),
        (WHOLE[:-4] + bytes(4), "Incorrect length of data produced"),
        (WHOLE + b"more", r"Not a gzipped file \(b'mo'\)"),
        (WHOLE[:10] + b"\xff" * 30, "Error -3 while decompressing"),
    ],
    ids=["cut", "no length", "header", "checksum", "length", "longer", "rubbish"],
)
def test_a_damaged_gzip_file_is_told(tmp_path, content, told):
    with pytest.raises(ValueError, match=rf"a\.idx is not a whole gzip file: {told}"):
        read(tmp_path, content)


@given(st.integers(0, 39))
@settings(deadline=None, max_examples=40)
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, length):
    with pytest.raises(ValueError, match=r"is damaged|is no idx file"):
        read(tmp_path_factory.getbasetemp(), as_idx(PICTURES)[:length])


def test_a_file_and_a_folder_that_are_no_file_are_told(tmp_path):
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(str(path))} is not there$"):
            read_idx(path)


def test_a_scalar_has_no_axes(tmp_path):
    found = read(tmp_path, as_idx(np.array(math.pi)))
    assert (found.shape, float(found)) == ((), math.pi)
