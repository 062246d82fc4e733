"""Darknet's files of weights are read and written to the byte, and those that are none are told so."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonbook.weights.darknet_weights import read_darknet_weights, write_darknet_weights


@pytest.mark.parametrize(
    ("version", "seen_format"),
    [
        ((0, 1, 0), "<i"),
        ((0, 1, 9), "<i"),
        ((0, 2, 0), "<q"),
        ((0, 2, 5), "<q"),
        ((1, 0, 0), "<q"),
        ((0, 999, 0), "<q"),
    ],
)
def test_a_file_packed_by_hand_is_read_and_the_same_bytes_are_written(tmp_path, version, seen_format):
    path, values = tmp_path / "net.weights", [0.5, -1.25, 3.0]
    content = struct.pack("<3i", *version) + struct.pack(seen_format, 640) + struct.pack("<3f", *values)
    path.write_bytes(content)
    stored = read_darknet_weights(path)
    assert (stored.version, stored.seen, stored.values.tolist()) == (version, 640, values)
    assert stored.values.dtype == np.float32
    assert stored.values.dtype.isnative
    write_darknet_weights(tmp_path / "again.weights", [np.array(values)], 640, version)
    assert (tmp_path / "again.weights").read_bytes() == content


@given(
    arrays=st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)), max_size=3),
    version_and_seen=st.one_of(
        st.tuples(st.just((0, 1, 0)), st.integers(0, 2**31 - 1)),
        st.tuples(st.just((0, 2, 0)), st.integers(0, 2**63 - 1)),
    ),
)
def test_what_is_written_is_read_again(tmp_path_factory, arrays, version_and_seen):
    version, seen = version_and_seen
    path = tmp_path_factory.mktemp("weights") / "net.weights"
    write_darknet_weights(path, [np.array(array, np.float32) for array in arrays], seen, version)
    stored = read_darknet_weights(path)
    assert (stored.version, stored.seen) == (version, seen)
    assert stored.values.tolist() == [value for array in arrays for value in array]


def test_arrays_of_any_shape_dtype_and_order_are_written_row_by_row(tmp_path):
    path = tmp_path / "net.weights"
    turned = np.arange(6.0).reshape(2, 3).T
    write_darknet_weights(path, [turned, np.arange(2, dtype=">f4"), np.array([[7]])])
    assert read_darknet_weights(path).values.tolist() == [0, 3, 1, 4, 2, 5, 0, 1, 7]


def test_darknets_own_version_is_the_default(tmp_path):
    write_darknet_weights(tmp_path / "net.weights", [])
    assert (tmp_path / "net.weights").read_bytes() == struct.pack("<3iq", 0, 2, 0, 0)


def test_missing_folders_are_made_and_a_stopped_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "deep" / "er" / "net.weights"
    write_darknet_weights(path, [np.ones(3)])
    before = path.read_bytes()

    def failing():
        yield np.zeros(3)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_darknet_weights(path, failing())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "its header is cut short at 0 bytes"),
        (struct.pack("<2i", 0, 2), "its header is cut short at 8 bytes"),
        (struct.pack("<3i", 0, 1, 0), "its header is cut short at 12 bytes"),
        (struct.pack("<4i", 0, 2, 0, 0), "its header is cut short at 16 bytes"),
        (struct.pack("<5i", 1000, 0, 0, 0, 0), r"version must be below 1000, got 1000\.0: .*dense layers transposed"),
        (struct.pack("<5i", 0, 1000, 0, 0, 0), r"version must be below 1000, got 0\.1000"),
        (b"PK\3\4" + bytes(30), r"no Darknet file of weights .*version must be below 1000, got 67324752\.0"),
        (struct.pack("<5i", -1, 20, 0, 0, 0), r"version must be at least 0\.0, got -1\.20"),
        (struct.pack("<3iq", 0, 2, 0, 0) + bytes(7), "cut short or damaged: 7 bytes of values are no whole float32s"),
        (struct.pack("<4i", 0, 1, 0, 0) + bytes(5), "cut short or damaged: 5 bytes of values are no whole float32s"),
        (struct.pack("<3iq2f", 0, 2, 0, 0, 1, float("nan")), "damaged: value 1 is not finite"),
        (struct.pack("<3iq2f", 0, 2, 0, 0, float("-inf"), 1), "damaged: value 0 is not finite"),
    ],
)
def test_what_is_no_file_of_weights_is_refused_by_name_and_fault(tmp_path, content, match):
    path = tmp_path / "net.weights"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as refusal:
        read_darknet_weights(path)
    assert str(refusal.value).startswith(str(path))


def test_a_file_that_is_not_there_is_told_so(tmp_path):
    for path in (tmp_path / "none.weights", tmp_path):
        with pytest.raises(FileNotFoundError, match="is not there: expected a Darknet file of weights"):
            read_darknet_weights(path)


@pytest.mark.parametrize(
    ("seen", "version", "match"),
    [
        (-1, (0, 2, 0), "seen must be at least 0 .*got -1"),
        (2**31, (0, 1, 0), "seen must be .*at most 2147483647, got 2147483648"),
        (2**63, (0, 2, 0), "seen must be .*at most 9223372036854775807, got"),
        (0, (0, 1000, 0), r"version must be below 1000, got 0\.1000"),
        (0, (-1, 0, 0), r"version must be at least 0\.0, got -1\.0"),
    ],
)
def test_a_header_that_cannot_be_written_is_refused_before_the_file_is_touched(tmp_path, seen, version, match):
    path = tmp_path / "net.weights"
    with pytest.raises(ValueError, match=match):
        write_darknet_weights(path, [np.ones(1)], seen, version)
    assert not path.exists()
