"""The pikachu set comes in MXNet's iterators; its index is MXNet's own; wrong labels are refused."""

import dataclasses
import hashlib
import os
import random
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import gluonbook as gb
from gluonbook import _files, data, utils
from gluonbook._mxnet import mx
from gluonbook.book.pikachu import load_data_pikachu
from gluonbook.data import detection, records

NUM_TRAIN, NUM_VAL = 10, 5


def picture(shade, side=32):
    """Grey, but for a bright column on the left and a bright row on top."""
    made = np.full((side, side, 3), shade, np.uint8)
    made[:, :4] = made[:4] = 250
    return made


def items(count, first=0):
    """Shades and boxes tell the pictures apart: picture i is 10 i dark, its box is i / 100 smaller than the half."""
    return [
        (picture(10 * (first + i)), [[0, 0.25, 0.125, 0.75 - i / 100, 0.875]])
        for i in range(count)
    ]  # fmt: skip


def write_pikachu(folder, train=None, val=None):
    """Both files, without an index: the book's validation set has none."""
    for split, rows in (("train", train or items(NUM_TRAIN)), ("val", val or items(NUM_VAL, first=10))):
        records.write_records(folder / f"{split}.rec", rows)
        (folder / f"{split}.idx").unlink()
    return folder


@pytest.fixture
def book(isolated):
    """The set, where the book has it."""
    return write_pikachu(isolated / "work" / "data" / "pikachu")


def collected(batches):
    batches.reset()
    rows = [(batch.data[0].asnumpy(), batch.label[0].asnumpy(), batch.pad) for batch in batches]
    X, y = (np.concatenate([row[i][: len(row[i]) - row[2]] for row in rows]) for i in range(2))
    return X, y


# ---- the iterators ----


def test_batches_have_the_books_shapes(book):
    for batches, count in zip(load_data_pikachu(2, 48), (NUM_TRAIN, NUM_VAL)):
        assert isinstance(batches, mx.image.ImageDetIter)
        assert batches.provide_data == [("data", (2, 3, 48, 48))]
        assert batches.provide_label == [("label", (2, 1, 5))]
        found = list(batches)
        assert sum(len(batch.data[0]) - batch.pad for batch in found) == count
        for batch in found:
            assert (batch.data[0].shape, batch.label[0].shape) == ((2, 3, 48, 48), (2, 1, 5))
            assert (batch.data[0].dtype, batch.label[0].dtype) == (np.float32, np.float32)
            assert (batch.data[0].context, batch.label[0].context) == (mx.cpu(0), mx.cpu(0))


def test_the_default_edge_is_256(book):
    assert [part.provide_data[0][1] for part in load_data_pikachu(3)] == [(3, 3, 256, 256)] * 2
    assert gb.load_data_pikachu is load_data_pikachu


def test_pixels_are_from_0_to_255_and_labels_fractions(book):
    for batches in load_data_pikachu(2, 32):
        X, y = collected(batches)
        assert X.min() >= 0
        assert 200 < X.max() <= 255
        assert set(y[:, 0, 0]) == {0}
        assert ((y[:, :, 1:] >= 0) & (y[:, :, 1:] <= 1)).all()
        assert (y[:, :, 3:] > y[:, :, 1:3]).all()


def test_the_validation_part_is_in_order_and_whole(book):
    """Neither cropped nor shuffled: at the pictures' own size, what was written comes out."""
    _, val_iter = load_data_pikachu(2, 32)
    for _ in range(2):
        X, y = collected(val_iter)
        np.testing.assert_allclose(y[:, 0], [rows[0] for _, rows in items(NUM_VAL)], atol=1e-6)
        written = [made.transpose(2, 0, 1).astype(int) for made, _ in items(NUM_VAL, first=10)]
        assert np.abs(X - written).max() <= 6  # what a JPEG of quality 92 changes at an edge


def test_channels_are_red_green_blue(book, isolated):
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    write_pikachu(book, val=[(red, [[0, 0, 0, 1, 1]])])
    X, _ = collected(load_data_pikachu(1, 32)[1])
    np.testing.assert_allclose(X.mean(axis=(0, 2, 3)), [200, 0, 0], atol=3)


def orders(train_iter, times):
    """The shades of the pictures' lower right corners, in the order in which they come."""
    return [tuple((collected(train_iter)[0][:, 0, -1, -1] / 10).round().astype(int)) for _ in range(times)]


def test_the_training_part_is_shuffled_by_pythons_random(book):
    random.seed(0)
    first = orders(load_data_pikachu(2, 32)[0], 4)
    assert all(sorted(order) == list(range(NUM_TRAIN)) for order in first)
    assert len({*first, tuple(range(NUM_TRAIN))}) == 5
    random.seed(0)
    assert orders(load_data_pikachu(2, 32)[0], 4) == first


def test_the_training_part_is_cropped_around_its_objects(book):
    """A crop keeps 95 % of each object; as the picture gets smaller, the object's share of it grows."""
    random.seed(1)
    train_iter, _ = load_data_pikachu(2, 32)
    shares = []
    for _ in range(5):
        _, y = collected(train_iter)
        shares += ((y[:, 0, 3] - y[:, 0, 1]) * (y[:, 0, 4] - y[:, 0, 2])).tolist()
    written = [(0.5 - i / 100) * 0.75 for i in range(NUM_TRAIN)]
    assert min(shares) > 0.95 * min(written)
    assert max(shares) > 1.2 * max(written)
    assert np.mean(shares) > 1.05 * np.mean(written)
    (augmenter,) = [one for one in train_iter.auglist if isinstance(one, mx.image.DetRandomSelectAug)]
    assert {(one.min_object_covered, one.max_attempts) for one in augmenter.aug_list} == {(0.95, 200)}


def test_pictures_of_every_size_become_squares(book):
    write_pikachu(book, val=[(np.full((20, 50, 3), 90, np.uint8), [[0, 0.1, 0.2, 0.3, 0.4]])])
    X, y = collected(load_data_pikachu(1, 40)[1])
    assert X.shape == (1, 3, 40, 40)
    np.testing.assert_allclose(y[0, 0], [0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)  # fractions stay


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((0,), ValueError, "batch_size must be at least 1, got 0"),
        ((2, 0), ValueError, "edge_size must be at least 1, got 0"),
        ((2, 25.5), TypeError, r"edge_size must be a whole number, got 25\.5 \(float\)"),
        (("2",), TypeError, r"batch_size must be a whole number, got '2' \(str\)"),
    ],
)
def test_wrong_arguments_are_refused(book, arguments, error, told):
    with pytest.raises(error, match=f"^{told}$"):
        load_data_pikachu(*arguments)


def write_raw(path, rows):
    """Labels as they are, by MXNet's own writer; returns where each record begins."""
    index = path.with_suffix(".raw")
    writer = mx.recordio.MXIndexedRecordIO(str(index), str(path), "w")
    for i, labels in enumerate(rows):
        header = mx.recordio.IRHeader(0, np.float32([2, 5, *np.ravel(labels)]), i, 0)
        writer.write_idx(i, mx.recordio.pack_img(header, picture(50), quality=92, img_fmt=".jpg"))
    writer.close()
    return [int(line.split("\t")[1]) for line in index.read_text().splitlines()]


GOOD = [0, 0.25, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ([0, 0.5, 0.25, 0.25, 0.75], r"box \(0\.5, 0\.25, 0\.25, 0\.75\) is inverted: xmax must be above xmin"),
        ([0, 0.25, 0.75, 0.5, 0.75], r"box \(0\.25, 0\.75, 0\.5, 0\.75\) is empty: ymax must be above ymin"),
        ([0, 0.25, 0.25, 0.5, 1.5], r"box \(0\.25, 0\.25, 0\.5, 1\.5\) is out of range"),
        ([1, 0.25, 0.25, 0.5, 0.75], "class must be a whole number from 0 to 0, got 1"),
    ],
)
def test_a_wrong_label_is_refused_with_picture_and_row(book, split, bad, told):
    """MXNet would leave such a box out, or learn from it."""
    offsets = write_raw(book / f"{split}.rec", [[GOOD], [GOOD, bad]])
    with pytest.raises(ValueError, match=rf"^picture {split}\.rec@{offsets[1]}, row 1: {told}"):
        load_data_pikachu(2, 32)


def test_a_picture_without_objects_is_told(book):
    """MXNet's iterator stops at one with "Label shape is invalid", without saying where."""
    rec = records.write_records(book / "val.rec", [*items(2), (picture(7), np.zeros((0, 5)))])
    offset = [record.offset for record, _ in records.read_labels(rec)][-1]
    with pytest.raises(ValueError, match=rf"^picture val\.rec@{offset} must have an object, it has none$"):
        load_data_pikachu(2, 32)


def test_a_part_without_pictures_is_told(book):
    (book / "val.rec").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^the pikachu set must hold pictures in both parts, one has none$"):
        load_data_pikachu(2, 32)


def test_a_damaged_file_is_told(book):
    (book / "val.rec").write_bytes((book / "val.rec").read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"val\.rec is cut short: the record at byte \d+ needs \d+ bytes"):
        load_data_pikachu(2, 32)


# ---- the index ----


def test_the_index_is_mxnets_own(tmp_path):
    """MXNet writes one beside the records; ours is made afterwards from the records alone."""
    rec = records.write_records(tmp_path / "a.rec", items(7))
    index = records.write_index(rec, tmp_path / "deep" / "b.idx")
    assert index == tmp_path / "deep" / "b.idx"
    assert index.read_text() == (tmp_path / "a.idx").read_text()
    assert records.write_index(str(rec), str(tmp_path / "c.idx")).read_text() == index.read_text()
    lines = [line.split("\t") for line in index.read_text().splitlines()]
    assert [int(number) for number, _ in lines] == list(range(7))


def test_mxnet_jumps_by_the_index(tmp_path):
    rec = records.write_records(tmp_path / "a.rec", items(7))
    (tmp_path / "a.idx").unlink()
    index = records.write_index(rec, tmp_path / "b.idx")
    reader = mx.recordio.MXIndexedRecordIO(str(index), str(rec), "r")
    assert reader.keys == list(range(7))
    for i in (5, 0, 6):
        header, _ = mx.recordio.unpack(reader.read_idx(i))
        np.testing.assert_allclose(header.label[2:], items(7)[i][1][0], atol=1e-6)
    reader.close()


def test_an_index_of_no_records_is_empty(tmp_path):
    (tmp_path / "a.rec").touch()
    assert records.write_index(tmp_path / "a.rec", tmp_path / "a.idx").read_text() == ""


def test_a_damaged_record_leaves_the_old_index(tmp_path):
    rec = records.write_records(tmp_path / "a.rec", items(2))
    before = (tmp_path / "a.idx").read_text()
    rec.write_bytes(rec.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"a\.rec is cut short"):
        records.write_index(rec, tmp_path / "a.idx")
    assert (tmp_path / "a.idx").read_text() == before
    with pytest.raises(FileNotFoundError, match=r"b\.rec is not there"):
        records.write_index(tmp_path / "b.rec", tmp_path / "b.idx")
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.rec"]


def test_the_iterator_takes_an_index_of_the_cache_and_not_a_strangers(book):
    """An index of another version of the file would lead MXNet into the middle of records."""
    (book / "train.idx").write_text("0\t4\n")
    load_data_pikachu(2, 32)
    assert (book / "train.idx").read_text() == "0\t4\n"  # the user's folder is left as it was
    assert sorted(os.listdir(book)) == ["train.idx", "train.rec", "val.rec"]
    index = _files.cache_folder() / "pikachu" / "train.idx"
    assert [int(line.split("\t")[0]) for line in index.read_text().splitlines()] == list(range(NUM_TRAIN))
    write_pikachu(book, train=items(4))
    X, _ = collected(load_data_pikachu(2, 32)[0])
    assert len(X) == len(index.read_text().splitlines()) == 4


# ---- _download_pikachu ----


@pytest.fixture
def hub(isolated, served, monkeypatch, tmp_path):
    """The set is on the test's web server, with the digests of its files."""
    source, found = write_pikachu(tmp_path / "source"), []
    for one in detection._PIKACHU:
        content = (source / Path(one.filename).name).read_bytes()
        served.pages[f"/{one.filename}"] = content
        digest = f"sha1:{hashlib.sha1(content).hexdigest()}"
        found.append(dataclasses.replace(one, urls=(f"{served.root}/{one.filename}",), digest=digest))
    monkeypatch.setattr(detection, "_PIKACHU", tuple(found))
    served.source = source
    return served


def check_folder(folder, source):
    assert sorted(os.listdir(folder)) == ["train.idx", "train.rec", "val.rec"]
    for split in ("train", "val"):
        assert (Path(folder) / f"{split}.rec").read_bytes() == (source / f"{split}.rec").read_bytes()
    reader = mx.recordio.MXIndexedRecordIO(str(Path(folder) / "train.idx"), str(Path(folder) / "train.rec"), "r")
    assert [mx.recordio.unpack(reader.read_idx(i))[0].id for i in reader.keys] == list(range(NUM_TRAIN))
    reader.close()


@pytest.mark.parametrize("place", ["../data/pikachu", "mine"])
def test_the_three_files_are_downloaded_to_a_folder(hub, place):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the folder holds no pikachu, yet
        assert utils._download_pikachu(place) is None
    check_folder(place, hub.source)
    assert hub.asked == ["/pikachu/train.rec", "/pikachu/val.rec"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        utils._download_pikachu(Path(place))
    check_folder(place, hub.source)
    assert len(hub.asked) == 2


def test_a_folder_that_holds_them_gets_its_index_only(hub, isolated):
    folder = write_pikachu(isolated / "mine", train=items(NUM_TRAIN), val=items(2))
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}
    utils._download_pikachu(folder)  # and 100 MB are not copied onto themselves
    assert {name: ((folder / name).stat().st_ino, (folder / name).read_bytes()) for name in before} == before
    assert sorted(os.listdir(folder)) == ["train.idx", "train.rec", "val.rec"]
    assert hub.asked == []


def test_a_home_folder_is_understood(hub, isolated, monkeypatch):
    monkeypatch.setenv("HOME", str(isolated))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        utils._download_pikachu("~/mine")
    check_folder(isolated / "mine", hub.source)
    assert os.listdir() == []


def test_nothing_wrong_is_put_into_the_folder(hub, isolated):
    hub.pages["/pikachu/val.rec"] = b"other"
    with pytest.raises(data.DataNotFound, match=r"the data set pikachu \(pikachu/val\.rec\)"):
        utils._download_pikachu(isolated / "mine")
    assert not (isolated / "mine").exists()


def test_the_error_names_the_next_best_set(isolated, hub):
    hub.pages.clear()
    with pytest.raises(data.DataNotFound) as error:
        load_data_pikachu(2, 32)
    assert re.search(
        r"by hand, or use the embedded detection set \(gluonbook\.data\.embedded_detection\)", str(error.value)
    )
