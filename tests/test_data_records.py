"""RecordIO: what is written is read again, by this package and by MXNet; what is damaged is told with its place."""

import io
import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from gluonbook._mxnet import mx
from gluonbook.data import records
from gluonbook.data.pictures import decode_picture

MAGIC = b"\x0a\x23\xd7\xce"  # 0xced7230a, little-endian (dmlc/recordio.h)
WITH_FILES = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JPEG_ERROR = 6  # of 255: what quality 92 changes in a slope


def named(value):
    """Name a test by its texts: a record's bytes tell a reader nothing."""
    return "bytes" if isinstance(value, bytes) else None


def slope(shade, height=24, width=32):
    """A picture that a JPEG keeps."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([4 * x, 6 * y, np.full_like(x, shade)], 2).astype(np.uint8)


ITEMS = [
    (slope(40), np.array([[0, 0.1, 0.2, 0.3, 0.4], [2, 0.25, 0.5, 1, 1]], np.float32)),
    (slope(90, 30, 20), np.array([[1, 0, 0, 1, 1]], np.float32)),
    (slope(200), np.zeros((0, 5), np.float32)),
    (slope(140, 16, 16), np.array([[0, 1 / 3, 1 / 7, 2 / 3, 0.9]], np.float32)),
]


def packed(numbers, content=b"jpeg"):
    """A record's content as mx.recordio.pack lays it out: how many numbers, one label, two identifiers, the numbers."""
    return struct.pack("<IfQQ", len(numbers), 0, 0, 0) + np.asarray(numbers, "<f4").tobytes() + content


def framed(content, kind=0):
    """A record by the specification: magic, kind and length in one word, content, zeros up to four bytes."""
    return MAGIC + struct.pack("<I", kind << 29 | len(content)) + content + bytes(-len(content) % 4)


def written(tmp_path, content):
    (tmp_path / "a.rec").write_bytes(content)
    return tmp_path / "a.rec"


def mxnet_contents(path):
    """The records as MXNet reads them."""
    reader, contents = mx.recordio.MXRecordIO(str(path), "r"), []
    while (content := reader.read()) is not None:
        contents.append(content)
    reader.close()
    return contents


@pytest.fixture
def rec(tmp_path):
    return records.write_records(tmp_path / "set.rec", iter(ITEMS))


def test_labels_come_back_exactly(rec):
    found = [rows for _, rows in records.read_labels(rec)]
    assert len(found) == len(ITEMS)
    for rows, (_, labels) in zip(found, ITEMS):
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, labels)


def test_pictures_come_back_within_the_error_of_a_jpeg(rec):
    for (record, _), (picture, _) in zip(records.read_labels(rec), ITEMS):
        got = decode_picture(records.read_content(record), "a")
        assert got.shape == picture.shape
        assert np.abs(got.astype(int) - picture).max() <= JPEG_ERROR


def test_records_can_be_read_in_any_order(rec):
    found = [record for record, _ in records.read_labels(rec)]
    forwards = [records.read_content(record) for record in found]
    assert len(set(forwards)) == len(ITEMS)
    assert [records.read_content(record) for record in found[::-1]] == forwards[::-1]


def test_the_files_are_a_rec_and_its_idx(rec):
    assert sorted(os.listdir(rec.parent)) == ["set.idx", "set.rec"]
    listed = [line.split("\t") for line in rec.with_suffix(".idx").read_text().splitlines()]
    expected = [[str(i), str(record.offset)] for i, (record, _) in enumerate(records.read_labels(rec))]
    assert listed == expected


def test_the_rec_is_that_of_the_specification(rec):
    """Header (2, 5) and rows; the picture's number as its identifier; JPEG."""
    content = mxnet_contents(rec)[1]
    header, jpeg = mx.recordio.unpack(content)
    assert header.label.tolist() == [2, 5, 1, 0, 0, 1, 1]
    assert (header.id, header.id2) == (1, 0)
    with Image.open(io.BytesIO(jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (20, 30))
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4, colours as sharp as light
    assert rec.read_bytes() == b"".join(framed(content) for content in mxnet_contents(rec))


def test_mxnets_detection_iterator_reads_the_same(tmp_path):
    """Only pictures with objects: MXNet's iterator refuses the others."""
    items = [item for item in ITEMS if len(item[1])]
    rec = records.write_records(tmp_path / "set.rec", items)
    index = rec.with_suffix(".idx")
    found = mx.image.ImageDetIter(1, (3, 24, 32), path_imgrec=str(rec), path_imgidx=str(index))
    for picture, labels in items:
        batch = found.next()
        rows = batch.label[0].asnumpy()[0]  # (2, 5): padded with -1 to the most objects of a picture
        np.testing.assert_array_equal(rows[: len(labels)], labels)
        assert (rows[len(labels) :] == -1).all()
        pixels = batch.data[0].asnumpy()[0].transpose(1, 2, 0)  # (H, W, 3), RGB
        if picture.shape[:2] == (24, 32):
            assert np.abs(pixels - picture).max() <= JPEG_ERROR
    with pytest.raises(StopIteration):
        found.next()


def test_nothing_written_reads_as_nothing(tmp_path):
    rec = records.write_records(tmp_path / "deep" / "set.rec", [])
    assert list(records.read_labels(rec)) == []


def test_a_failed_writing_leaves_the_old_files(rec):
    before = {path.name: path.read_bytes() for path in rec.parent.iterdir()}

    def breaking():
        yield ITEMS[0]
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        records.write_records(rec, breaking())
    assert {path.name: path.read_bytes() for path in rec.parent.iterdir()} == before


# ---- contents that hold the magic number ----

pieces = st.lists(st.one_of(st.just(MAGIC), st.just(MAGIC[:2]), st.binary(max_size=9)), max_size=8).map(b"".join)


@given(st.lists(pieces, min_size=1, max_size=5))
@WITH_FILES
def test_mxnets_files_are_read_whatever_their_content(tmp_path, contents):
    path = tmp_path / "a.rec"
    writer = mx.recordio.MXRecordIO(str(path), "w")
    for content in contents:
        writer.write(packed([2, 5], content))
    writer.close()
    found = [record for record, _ in records.read_labels(path)]
    assert [records.read_content(record) for record in found] == contents
    assert mxnet_contents(path) == [packed([2, 5], content) for content in contents]


def test_a_content_with_the_magic_number_lies_in_parts(tmp_path):
    """As dmlc-core writes it: cut at the magic number where that is aligned, kinds 1, 2, 3; it is left out there."""
    head, content = packed([2, 5]), b"1234" + MAGIC + b"5678" + MAGIC + b"90"
    path = tmp_path / "a.rec"
    writer = mx.recordio.MXRecordIO(str(path), "w")
    writer.write(head + content)
    writer.write(packed([2, 5], b"next"))
    writer.close()
    parts = framed(head + b"1234", 1) + framed(b"5678", 2) + framed(b"90", 3)
    assert path.read_bytes() == parts + framed(packed([2, 5], b"next"))
    (first, _), (second, _) = records.read_labels(path)
    assert records.read_content(first) == b"jpeg" + content
    assert (second.offset, records.read_content(second)) == (len(parts), b"next")


def test_labels_that_hold_the_magic_number(tmp_path):
    (number,) = np.frombuffer(MAGIC, "<f4")  # -1.8e9
    numbers = [2, 6, 0, 0, 0, 1, 1, number]
    writer = mx.recordio.MXRecordIO(str(tmp_path / "a.rec"), "w")
    writer.write(packed(numbers))
    writer.close()
    ((record, rows),) = records.read_labels(tmp_path / "a.rec")
    assert rows.tolist() == [[0, 0, 0, 1, 1, number]]
    assert records.read_content(record) == b"jpeg"


def test_a_file_that_changed_since_is_told(rec):
    record = next(records.read_labels(rec))[0]
    rec.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"set\.rec is damaged at byte 0"):
        records.read_content(record)


# ---- labels ----


@pytest.mark.parametrize(
    ("numbers", "rows"),
    [
        ([2, 5], []),
        ([2, 5, 1, 0, 0.25, 0.5, 1], [[1, 0, 0.25, 0.5, 1]]),
        ([4, 5, 640, 480, 1, 0, 0.25, 0.5, 1], [[1, 0, 0.25, 0.5, 1]]),  # a longer header, with the picture's size
        ([4, 5, 640, 480], []),
        ([2, 6, 1, 0, 0, 0.5, 1, 1], [[1, 0, 0, 0.5, 1, 1]]),  # wider rows, with a sign of difficulty
    ],
)
def test_headers_and_rows_may_be_wider(tmp_path, numbers, rows):
    ((_, found),) = records.read_labels(written(tmp_path, framed(packed(numbers))))
    assert found.tolist() == rows
    assert found.shape == (len(rows), numbers[1])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "record 1: 0 bytes are no packed picture"),
        (b"x" * 23, "record 1: 23 bytes are no packed picture"),
        (packed([]), "record 1 has no labels of objects: not a detection set"),
        (packed([3]), "record 1 has no labels of objects"),  # a class: a set for classification
        (struct.pack("<IfQQ", 9, 0, 0, 0) + bytes(35), "record 1 has no labels of objects"),
        (struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0) + bytes(35), "record 1 has no labels of objects"),
        (packed([2, 5, 0, 0, 0, 1]), "record 1: 6 numbers are no header of 2 and rows of 5"),
        (packed([1, 5, 0, 0, 0, 1]), "record 1: 6 numbers are no header of 1 and rows of 5"),
        (packed([2, 4, 0, 0, 1, 1]), "record 1: 6 numbers are no header of 2 and rows of 4"),
        (packed([2, 0, 0, 0, 1, 1]), "record 1: 6 numbers are no header of 2 and rows of 0"),
        (packed([7, 5]), "record 1: 2 numbers are no header of 7 and rows of 5"),
        (packed([2.5, 5, 0, 0, 0, 1, 1]), "record 1: 7 numbers are no header of 2.5 and rows of 5"),
        (packed([np.nan, 5]), "record 1: 2 numbers are no header of nan and rows of 5"),
        (packed([2, np.inf]), "record 1: 2 numbers are no header of 2 and rows of inf"),
    ],
    ids=named,
)
def test_labels_that_are_none_of_a_detection_set(tmp_path, content, told):
    path = written(tmp_path, framed(packed([2, 5])) + framed(content))
    found = records.read_labels(path)
    next(found)
    with pytest.raises(ValueError, match=f"^{path}, {told}"):
        next(found)


# ---- files that are none ----


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.rec is not there"):
        list(records.read_labels(tmp_path / "a.rec"))


@pytest.mark.parametrize(
    "content", [b"text that is no record", b"\n", MAGIC[::-1] + bytes(8), MAGIC, MAGIC + b"\1\0\0"]
)
def test_a_file_that_is_no_rec(tmp_path, content):
    with pytest.raises(ValueError, match=r"a\.rec is damaged at byte 0: no record begins there"):
        list(records.read_labels(written(tmp_path, content)))


@pytest.mark.parametrize("tail", [b"\0", b"text and text", MAGIC, MAGIC + b"\1\0\0"], ids=named)
def test_what_follows_the_records_is_told_with_its_byte(tmp_path, tail):
    whole = framed(packed([2, 5], b"odd"))
    path = written(tmp_path, whole + tail)
    with pytest.raises(ValueError, match=rf"a\.rec is damaged at byte {len(whole)}: no record begins there"):
        list(records.read_labels(path))


def test_a_file_cut_short_is_told_with_its_byte(rec):
    offsets = [record.offset for record, _ in records.read_labels(rec)]
    content, length = rec.read_bytes(), offsets[-1] - offsets[-2]
    rec.write_bytes(content[: offsets[-2] + 100])
    found = records.read_labels(rec)
    assert [next(found)[0].offset for _ in offsets[:-2]] == offsets[:-2]
    with pytest.raises(ValueError, match="is cut short") as error:
        next(found)
    needs = len(mxnet_content_at(content, offsets[-2]))
    assert needs <= length - 8
    assert str(error.value) == (
        f"{rec} is cut short: the record at byte {offsets[-2]} needs {needs} bytes, 92 left"  # 100 less 8 of the frame
    )


def mxnet_content_at(content, offset):
    """The bytes of the record there, by its frame."""
    (length,) = struct.unpack_from("<I", content, offset + 4)
    return content[offset + 8 : offset + 8 + length]


def test_parts_without_an_end_are_told(tmp_path):
    first = framed(packed([2, 5]), 1)
    with pytest.raises(ValueError, match=rf"a\.rec is damaged at byte {len(first)}"):
        list(records.read_labels(written(tmp_path, first)))


def test_a_byte_changed_within_a_frame_is_told(rec):
    offsets = [record.offset for record, _ in records.read_labels(rec)]
    content = bytearray(rec.read_bytes())
    content[offsets[2]] ^= 1
    rec.write_bytes(content)
    with pytest.raises(ValueError, match=f"is damaged at byte {offsets[2]}: no record begins there"):
        list(records.read_labels(rec))


@given(st.data())
@WITH_FILES
def test_a_cut_anywhere_is_refused_or_lies_between_records(tmp_path, data):
    rec = records.write_records(tmp_path / "set.rec", [(slope(0, 4, 4), labels) for _, labels in ITEMS[:2]])
    content = rec.read_bytes()
    second = [record.offset for record, _ in records.read_labels(rec)][1]
    cut = data.draw(st.integers(0, len(content)))
    rec.write_bytes(content[:cut])
    padding = -len(mxnet_content_at(content, second)) % 4
    first_padding = -len(mxnet_content_at(content, 0)) % 4
    whole = {0: 0, **{second - i: 1 for i in range(first_padding + 1)}}
    whole.update({len(content) - i: 2 for i in range(padding + 1)})  # the zeros at the end are not missed
    if cut in whole:
        assert len(list(records.read_labels(rec))) == whole[cut]
    else:
        with pytest.raises(ValueError, match=r"set\.rec is (damaged at|cut short: the record at) byte \d+"):
            list(records.read_labels(rec))
