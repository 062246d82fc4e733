"""Detection sets: made, found, downloaded, drawn and kept, split, summed up and told apart."""

import dataclasses
import hashlib
import io
import os
import types
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gluonbook import _files, data
from gluonbook.data import detection, drawn, records
from gluonbook.data.detection import (
    banana,
    embedded_detection,
    fingerprint,
    make_set,
    pikachu,
    read_detection,
    split_set,
    summary,
    write_drawn,
)

BOX = [0, 0.25, 0.25, 0.5, 0.75]


def picture(shade=0, height=4, width=6):
    return np.full((height, width, 3), shade, np.uint8)


def small_set(**changes):
    """Three pictures: two objects, none, one that is difficult."""
    parts = {
        "classes": ["kite", "tent"],
        "sources": [picture(0), picture(100), picture(200)],
        "labels": [[BOX, [1, 0, 0, 1, 1]], [], [[0, 0.5, 0.5, 0.75, 1]]],
        "difficult": [[False, False], [], [True]],
    }
    return make_set(**{**parts, **changes})


def numbered(count):
    """A set whose labels tell its pictures apart: picture i is from x = 0 to (i + 1) / count."""
    labels = [[[0, 0, 0, (i + 1) / count, 1]] for i in range(count)]
    return make_set(["kite"], [f"{i}.jpg" for i in range(count)], labels)


def same(one, other):
    assert one.classes == other.classes
    assert len(one) == len(other)
    for i in range(len(one)):
        np.testing.assert_array_equal(one.picture(i), other.picture(i))
        np.testing.assert_array_equal(one.labels[i], other.labels[i])
        np.testing.assert_array_equal(one.difficult[i], other.difficult[i])


# ---- made of one's own pictures ----


def test_a_set_holds_what_it_was_made_of():
    made = small_set()
    assert (len(made), made.classes, made.notes) == (3, ("kite", "tent"), ())
    assert [rows.tolist() for rows in made.labels] == [[BOX, [1, 0, 0, 1, 1]], [], [[0, 0.5, 0.5, 0.75, 1]]]
    assert [rows.shape for rows in made.labels] == [(2, 5), (0, 5), (1, 5)]
    assert {rows.dtype for rows in made.labels} == {np.dtype(np.float32)}
    assert [flags.tolist() for flags in made.difficult] == [[False, False], [], [True]]
    assert made.picture(1)[0, 0].tolist() == [100, 100, 100]


def test_without_flags_nothing_is_difficult():
    assert [flags.tolist() for flags in small_set(difficult=None).difficult] == [[False, False], [], [False]]


@pytest.mark.parametrize("empty", [[], (), np.zeros((0, 5)), np.zeros((0, 5), np.float32)])
def test_a_picture_may_be_without_objects(empty):
    made = make_set(["kite"], [picture()], [empty])
    assert (made.labels[0].shape, made.difficult[0].shape) == ((0, 5), (0,))


def test_sources_are_paths_records_and_arrays(tmp_path):
    Image.fromarray(picture(7)).save(tmp_path / "a.png")
    rec = records.write_records(tmp_path / "a.rec", [(picture(9), [BOX])])
    ((record, labels),) = records.read_labels(rec)
    made = make_set(
        ["kite"], [tmp_path / "a.png", str(tmp_path / "a.png"), record, picture(8)], [[BOX], [], labels, []]
    )
    assert [made.picture(i)[0, 0, 0] for i in range(4)] == [7, 7, 9, 8]
    assert [made.name(i) for i in range(4)] == [str(tmp_path / "a.png")] * 2 + ["a.rec@0", "3"]


def test_a_damaged_record_is_told_with_its_place(tmp_path):
    rec = records.write_records(tmp_path / "a.rec", [(picture(9), [BOX])])
    made = make_set(["kite"], [record for record, _ in records.read_labels(rec)], [[BOX]])
    content = bytearray(rec.read_bytes())
    content[60:80] = bytes(20)  # within the JPEG
    rec.write_bytes(content)
    with pytest.raises(ValueError, match=r"^a\.rec@0 is "):
        made.picture(0)


def test_a_set_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        small_set().classes = ("kite",)


def test_a_subset_is_in_the_order_given():
    made = dataclasses.replace(small_set(), notes=("odd",))
    part = made.subset([2, 0, 2])
    assert [part.picture(i)[0, 0, 0] for i in range(3)] == [200, 0, 200]
    assert [len(rows) for rows in part.labels] == [1, 2, 1]
    assert [flags.tolist() for flags in part.difficult] == [[True], [False, False], [True]]
    assert (part.classes, part.notes) == (made.classes, ("odd",))
    assert len(made.subset([])) == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": []}, r"classes must be at least one name, no two alike, got \(\)"),
        ({"classes": ["kite", "tent", "kite"]}, r"no two alike, got \('kite', 'tent', 'kite'\)"),
        ({"sources": [picture()]}, r"must be equally long, got \[1, 3\]"),
        ({"labels": [[BOX]]}, r"must be equally long, got \[1, 3\]"),
        ({"difficult": [[False, False], []]}, r"must be equally long, got \[2, 3\]"),
        ({"difficult": [[False], [], [True]]}, "picture 0: 2 labels, 1 flags of difficulty"),
        (
            {"labels": [[BOX], [[2, 0, 0, 1, 1]], []]},
            "picture 1, row 0: class must be a whole number from 0 to 1, got 2",
        ),
        ({"labels": [[BOX], [BOX, [-1, 0, 0, 1, 1]], []]}, "picture 1, row 1: class must .* got -1"),
        ({"labels": [[[0.5, 0, 0, 1, 1]], [], []]}, "picture 0, row 0: class must .* got 0.5"),
        ({"labels": [[[np.nan, 0, 0, 1, 1]], [], []]}, "picture 0, row 0: class must .* got nan"),
        ({"labels": [[], [], [BOX, [0, 0.5, 0, 0.25, 1]]]}, r"picture 2, row 1: box \(0.5, 0, 0.25, 1\) is inverted"),
        ({"labels": [[], [], [[0, 0.5, 0, 0.5, 1]]]}, r"picture 2, row 0: box \(0.5, 0, 0.5, 1\) is empty"),
        ({"labels": [[], [], [[0, 0, 0, 20, 10]]]}, r"picture 2, row 0: box \(0, 0, 20, 10\) is out of range"),
        ({"labels": [[], [], [[0, 0, np.nan, 1, 1]]]}, r"picture 2, row 0: box \(0, nan, 1, 1\) is not finite"),
        ({"labels": [[BOX[1:]] * 5, [], []]}, r"labels\[0\] must have the shape \(any, 5\), got \(5, 4\)"),
        ({"labels": [[], [[*BOX, 1]], []]}, r"labels\[1\] must have the shape \(any, 5\), got \(1, 6\)"),
        ({"labels": [[], BOX, []]}, r"labels\[1\] must have the shape \(any, 5\), got \(5,\)"),
        (
            {"sources": [picture(), picture() / 255, picture()]},
            r"picture 1 must be \(H, W, 3\) uint8, got \(4, 6, 3\) float64",
        ),
        ({"sources": [picture()[..., 0]] * 3}, r"picture 0 must be \(H, W, 3\) uint8, got \(4, 6\) uint8"),
        ({"sources": [picture()[..., :1]] * 3}, r"picture 0 must be \(H, W, 3\) uint8, got \(4, 6, 1\) uint8"),
    ],
)
def test_what_does_not_fit_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        small_set(**{"difficult": None, **changes})


def test_a_wrong_label_is_told_with_its_pictures_path():
    with pytest.raises(ValueError, match=r"picture deep/b\.jpg, row 0: class"):
        make_set(["kite"], ["a.jpg", "deep/b.jpg"], [[BOX], [[1, 0, 0, 1, 1]]])


# ---- split ----


@given(st.integers(2, 30), st.floats(0.001, 0.999), st.integers(0, 5))
@settings(deadline=None)
def test_a_split_deals_each_picture_once(count, held_out, seed):
    whole = numbered(count)
    train, val = split_set(whole, held_out, seed)
    names = [[part.name(i) for i in range(len(part))] for part in (train, val)]
    assert sorted(names[0] + names[1]) == sorted(whole.sources)
    assert names[0]
    assert names[1]
    assert abs(len(val) - count * held_out) <= 0.5 or len(val) in (1, count - 1)
    for part in (train, val):
        for i in range(len(part)):
            assert part.labels[i][0, 3] == np.float32((int(part.name(i)[:-4]) + 1) / count)
    again = split_set(whole, held_out, seed)
    assert [part.sources for part in again] == [train.sources, val.sources]


def test_the_parts_keep_the_order():
    train, val = split_set(numbered(9), 0.4)
    for part in (train, val):
        numbers = [int(name[:-4]) for name in part.sources]
        assert numbers == sorted(numbers)


def test_another_seed_splits_otherwise_and_not_by_order():
    parts = {split_set(numbered(20), 0.25, seed)[1].sources for seed in range(5)}
    assert len(parts) > 1
    assert {len(part) for part in parts} == {5}
    assert tuple(f"{i}.jpg" for i in range(15, 20)) not in parts


@pytest.mark.parametrize(
    ("held_out", "told"), [(0, "above 0"), (1, "below 1"), (-0.5, "above 0"), (float("nan"), "got nan")]
)
def test_a_share_out_of_range(tmp_path, held_out, told):
    with pytest.raises(ValueError, match=f"held_out must be .*{told}"):
        split_set(numbered(4), held_out)
    with pytest.raises(ValueError, match=f"held_out must be .*{told}"):
        read_detection(tmp_path, held_out=held_out)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_to_split(count):
    with pytest.raises(ValueError, match=f"a set of {count} picture cannot be split: it needs at least 2"):
        split_set(numbered(1).subset(range(count)), 0.5)


# ---- summed up, told apart ----


def test_a_summary_by_hand():
    """Sides: sqrt(0.25 · 0.5) = 0.354, 1, sqrt(0.25 · 0.5); percentiles 5, 50, 95 of these three by NumPy's rule."""
    made = dataclasses.replace(small_set(), notes=("2 wrong boxes were left out",))
    assert summary(made).splitlines() == [
        "3 pictures, 3 objects, at most 2 in a picture; 1 pictures without any",
        "objects by class: kite 2, tent 1",
        "side of an object, as a share of the picture's: median 0.35, nine in ten 0.35 to 0.94",  # 0.354 + 0.9 · 0.646
        "1 objects are difficult: neither learnt nor counted",
        "2 wrong boxes were left out",
    ]


def test_a_summary_of_nothing():
    made = make_set(["kite", "tent"], [picture()], [[]])
    assert summary(made).splitlines() == [
        "1 pictures, 0 objects, at most 0 in a picture; 1 pictures without any",
        "objects by class: kite 0, tent 0",
    ]
    assert summary(made.subset([])).startswith("0 pictures, 0 objects, at most 0 in a picture; 0 pictures without any")


@given(st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=6))
@settings(deadline=None)
def test_a_summarys_counts_equal_a_slow_loop(kinds):
    made = make_set(
        list("abcd"), [f"{i}" for i in range(len(kinds))], [[[k, 0, 0, 1, 1] for k in row] for row in kinds]
    )
    first, second, *rest = summary(made).splitlines()
    total, most, empty = sum(map(len, kinds)), max(map(len, kinds)), sum(not row for row in kinds)
    assert first == f"{len(kinds)} pictures, {total} objects, at most {most} in a picture; {empty} pictures without any"
    counts = [sum(row.count(k) for row in kinds) for k in range(4)]
    assert second == "objects by class: " + ", ".join(f"{name} {n}" for name, n in zip("abcd", counts))
    assert len(rest) == (total > 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["kite", "yurt"]},
        {"classes": ["tent", "kite"]},
        {"labels": [[BOX, [1, 0, 0, 1, 1]], [], [[1, 0.5, 0.5, 0.75, 1]]]},
        {"labels": [[BOX, [1, 0, 0, 1, 0.9999]], [], [[0, 0.5, 0.5, 0.75, 1]]]},
        {"labels": [[[1, 0, 0, 1, 1], BOX], [], [[0, 0.5, 0.5, 0.75, 1]]]},
        {"difficult": [[False, True], [], [True]]},
        {"sources": [picture(0), picture(101), picture(200)]},
        {"sources": [picture(100), picture(0), picture(200)]},
        {"sources": ["a.jpg", picture(100), picture(200)]},
    ],
)
def test_a_fingerprint_changes_with_what_is_learnt(changes):
    assert fingerprint(small_set(**changes)) != fingerprint(small_set())


def test_a_fingerprint_is_of_names_and_not_of_folders():
    sets = [make_set(["kite"], [f"{folder}/a.jpg"], [[BOX]]) for folder in ("here", "there")]
    assert fingerprint(sets[0]) == fingerprint(sets[1]) != fingerprint(make_set(["kite"], ["here/b.jpg"], [[BOX]]))
    assert fingerprint(small_set()) == fingerprint(small_set())
    assert len(fingerprint(sets[0])) == 16


# ---- the embedded set ----


@pytest.fixture
def tiny(isolated, monkeypatch):
    """Pictures of 32 pixels, and how often one is drawn."""
    calls = []

    def scene(split, index, seed):
        calls.append((split, index, seed))
        return drawn.scene(split, index, seed, size=32)

    monkeypatch.setattr(detection, "drawn", types.SimpleNamespace(**{**vars(drawn), "scene": scene}))
    return calls


def test_the_embedded_set_is_drawn_once_and_kept(tiny):
    first = embedded_detection(3, 2, seed=5)
    assert tiny == [("train", 0, 5), ("train", 1, 5), ("train", 2, 5), ("val", 0, 5), ("val", 1, 5)]
    second = embedded_detection(3, 2, seed=5)
    assert len(tiny) == 5
    for one, other in zip(first, second):
        same(one, other)
    folder = _files.cache_folder() / "detection" / f"drawn-{drawn.VERSION}-3-2-5"
    assert sorted(os.listdir(folder)) == ["classes.txt", "train.idx", "train.rec", "val.idx", "val.rec"]


def test_the_embedded_set_is_what_was_drawn(tiny):
    for split, found in zip(drawn.SPLITS, embedded_detection(2, 1)):
        assert found.classes == ("balloon", "fish", "teapot")
        for i in range(len(found)):
            expected = drawn.scene(split, i, 0, size=32)
            np.testing.assert_array_equal(found.labels[i], expected.labels)
            jpeg = io.BytesIO()
            Image.fromarray(expected.picture).save(jpeg, "JPEG", quality=records.JPEG_QUALITY, subsampling=0)
            np.testing.assert_array_equal(found.picture(i), np.asarray(Image.open(jpeg)))


def test_other_numbers_and_seeds_are_kept_apart(tiny):
    embedded_detection(2, 1)
    seeded, _ = embedded_detection(2, 1, seed=1)
    larger, _ = embedded_detection(3, 1)
    assert len(tiny) == 3 + 3 + 4
    first, _ = embedded_detection(2, 1)
    assert fingerprint(first) != fingerprint(seeded)
    same(first, larger.subset([0, 1]))


def test_a_half_drawn_set_is_drawn_again(tiny, monkeypatch):
    embedded_detection(2, 1)
    folder = _files.cache_folder() / "detection" / f"drawn-{drawn.VERSION}-2-1-0"
    (folder / "val.rec").unlink()
    _, val = embedded_detection(2, 1)
    assert (len(tiny), len(val)) == (6, 1)


@pytest.mark.parametrize(("counts", "told"), [((0, 1), "num_train"), ((1, 0), "num_val")])
def test_an_embedded_set_of_nothing(tiny, counts, told):
    with pytest.raises(ValueError, match=f"{told} must be at least 1, got 0"):
        embedded_detection(*counts)


def test_a_drawn_set_written_anywhere_is_read_as_a_set_of_ones_own(tiny, tmp_path):
    folder = write_drawn(tmp_path / "mine", 2, 1, seed=3)
    assert folder == tmp_path / "mine"
    for one, other in zip(read_detection(folder), embedded_detection(2, 1, seed=3)):
        same(one, other)


# ---- the book's sets ----


@pytest.fixture
def hub(served, monkeypatch):
    """The book's sets have their addresses on the test's web server."""
    sources = [
        dataclasses.replace(one, urls=(f"{served.root}/{one.filename}",))
        for one in (*detection._PIKACHU, detection._BANANA)
    ]
    monkeypatch.setattr(detection, "_PIKACHU", tuple(sources[:2]))
    monkeypatch.setattr(detection, "_BANANA", sources[2])
    return served


def write_pikachu(folder, number=1):
    """Both files; the first label's right side tells which of several sets was found."""
    for split, shade in (("train", 10), ("val", 20)):
        items = [(picture(shade, 8, 8), [[0, 0, 0, number / 10, 1]]), (picture(shade, 8, 8), np.zeros((0, 5)))]
        records.write_records(folder / f"{split}.rec", items)
        (folder / f"{split}.idx").unlink()  # the book's validation set has none


def number_of(found):
    return round(float(found.labels[0][0, 3]) * 10)


def png(shade):
    buffer = io.BytesIO()
    Image.fromarray(picture(shade, 256, 256)).save(buffer, "PNG")
    return buffer.getvalue()


def banana_zip(number=1, inner="banana-detection/"):
    """As the book's: two folders with a table and pictures of 256 pixels."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for split in ("train", "val"):
            folder = f"{inner}bananas_{split}"
            rows = f"0.png,0,64,32,{128 + number},256\n1.png,0,0,0,16,8\n"
            archive.writestr(f"{folder}/label.csv", "img_name,label,xmin,ymin,xmax,ymax\n" + rows)
            for i in range(2):
                archive.writestr(f"{folder}/images/{i}.png", png(10 * i + (split == "val")))
    return buffer.getvalue()


def banana_number(found):
    return round(float(found.labels[0][0, 3]) * 256) - 128


def places(isolated, monkeypatch):
    """The folders that are looked at, in order."""
    monkeypatch.setenv("GLUONBOOK_DATA", str(isolated / "environment"))
    return [isolated / "environment", isolated / "work" / "data", _files.cache_folder()]


def test_pikachu_is_found_in_each_place_in_order(isolated, monkeypatch, hub):
    folders = places(isolated, monkeypatch)
    for i, folder in enumerate(folders):
        write_pikachu(folder / "pikachu", i + 1)
    for i, folder in enumerate(folders):
        train, val = pikachu()
        assert (number_of(train), number_of(val)) == (i + 1, i + 1)
        for split in ("train", "val"):
            (folder / "pikachu" / f"{split}.rec").unlink()
    assert hub.asked == []


def test_pikachus_pictures_and_labels(isolated):
    write_pikachu(isolated / "work" / "data" / "pikachu", 5)
    train, val = read_detection("pikachu")
    assert train.classes == val.classes == ("pikachu",)
    assert [rows.tolist() for rows in train.labels] == [[[0, 0, 0, 0.5, 1]], []]
    assert (train.picture(0)[0, 0, 0], val.picture(1)[0, 0, 0]) == (10, 20)


@pytest.mark.parametrize("deep", [True, False])
def test_pikachu_from_a_path(isolated, deep, hub, monkeypatch):
    """The folder that holds ``pikachu``, or that itself; it goes before all others."""
    write_pikachu(isolated / "work" / "data" / "pikachu", 2)
    write_pikachu(isolated / "mine" / "pikachu", 7)
    folder = isolated / "mine" if deep else isolated / "mine" / "pikachu"
    monkeypatch.setenv("HOME", str(isolated))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in (folder, str(folder), str(folder).replace(str(isolated), "~")):
            assert [number_of(part) for part in pikachu(path)] == [7, 7]


def test_pikachu_is_downloaded_to_the_cache_once(isolated, hub, monkeypatch, tmp_path):
    write_pikachu(tmp_path / "source", 4)
    for split in ("train", "val"):
        hub.pages[f"/pikachu/{split}.rec"] = (tmp_path / "source" / f"{split}.rec").read_bytes()
    digests = [hashlib.sha1(hub.pages[f"/pikachu/{split}.rec"]).hexdigest() for split in ("train", "val")]
    right = [dataclasses.replace(one, digest=f"sha1:{digest}") for one, digest in zip(detection._PIKACHU, digests)]
    monkeypatch.setattr(detection, "_PIKACHU", tuple(right))
    for _ in range(2):
        assert [number_of(part) for part in pikachu()] == [4, 4]
    assert hub.asked == ["/pikachu/train.rec", "/pikachu/val.rec"]
    assert sorted(os.listdir(_files.cache_folder() / "pikachu")) == ["train.rec", "val.rec"]


def test_another_file_is_not_taken_for_pikachu(isolated, hub):
    hub.pages.update({"/pikachu/train.rec": b"other", "/pikachu/val.rec": b"other"})
    with pytest.raises(data.DataNotFound, match="hash"):
        pikachu()
    assert not list(_files.cache_folder().rglob("*.rec*"))


@pytest.mark.parametrize(
    ("name", "read", "file"), [("pikachu", pikachu, "pikachu/train.rec"), ("banana", banana, "banana-detection.zip")]
)
def test_the_error_says_which_file_goes_where(isolated, hub, monkeypatch, name, read, file):
    folders = places(isolated, monkeypatch)
    with pytest.raises(data.DataNotFound) as error:
        read()
    head, *looked, last = str(error.value).splitlines()
    assert head == f"the data set {name} ({file}) was found in none of these places:"
    assert [line.split(": ", 1)[0].strip() for line in looked] == [
        "$GLUONBOOK_DATA",
        "book's folder",
        "cache",
        "download",
    ]
    assert looked[0].endswith(f": {folders[0] / file}")
    assert looked[1].endswith(f": ../data/{file}")
    assert looked[2].endswith(f": {folders[2] / file}")
    assert f"{hub.root}/{file} (404" in looked[3]
    assert last == (
        "Put the file into one of these folders by hand, or use the embedded detection set "
        "(gluonbook.data.embedded_detection), which needs no network"
    )
    with pytest.raises(data.DataNotFound, match=str(isolated / "mine")):
        read(isolated / "mine")
    with pytest.raises(data.DataNotFound):
        read_detection(name)


def test_bananas_address_and_digest_are_those_of_d2l():
    url, digest = pytest.importorskip("d2l.mxnet").DATA_HUB["banana-detection"]
    assert (detection._BANANA.urls, detection._BANANA.digest) == ((url,), f"sha1:{digest}")


def test_banana_is_found_in_each_place_in_order_and_unpacked_beside(isolated, monkeypatch, hub):
    folders = places(isolated, monkeypatch)
    for i, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "banana-detection.zip").write_bytes(banana_zip(i + 1))
    for i, folder in enumerate(folders):
        assert [banana_number(part) for part in banana()] == [i + 1, i + 1]
        assert sorted(os.listdir(folder)) == ["banana-detection", "banana-detection.zip"]
        (folder / "banana-detection.zip").unlink()
    assert hub.asked == []


@pytest.mark.parametrize("inner", ["banana-detection/", ""])
def test_bananas_pictures_and_labels(isolated, inner):
    """Corners in pixels of 256: 64/256, 32/256, 128/256, 256/256."""
    (isolated / "work" / "data").mkdir()
    (isolated / "work" / "data" / "banana-detection.zip").write_bytes(banana_zip(0, inner))
    train, val = read_detection("banana")
    assert train.classes == val.classes == ("banana",)
    assert [rows.tolist() for rows in val.labels] == [[[0, 0.25, 0.125, 0.5, 1]], [[0, 0, 0, 0.0625, 0.03125]]]
    assert [part.picture(i)[0, 0, 0] for part in (train, val) for i in range(2)] == [0, 10, 1, 11]


def test_banana_from_a_path_and_unpacked_once(isolated):
    (isolated / "mine").mkdir()
    file = isolated / "mine" / "banana-detection.zip"
    file.write_bytes(banana_zip(3))
    assert banana_number(banana(isolated / "mine")[0]) == 3
    file.write_bytes(banana_zip(4))  # not unpacked again: the folder is there
    assert banana_number(banana(file)[0]) == 3


def test_banana_is_downloaded(isolated, hub, monkeypatch):
    content = banana_zip(6)
    hub.pages["/banana-detection.zip"] = content
    right = dataclasses.replace(detection._BANANA, digest=f"sha1:{hashlib.sha1(content).hexdigest()}")
    monkeypatch.setattr(detection, "_BANANA", right)
    for _ in range(2):
        assert [banana_number(part) for part in banana()] == [6, 6]
    assert hub.asked == ["/banana-detection.zip"]


def test_a_damaged_archive_leaves_nothing(isolated):
    folder = isolated / "work" / "data"
    folder.mkdir()
    whole = banana_zip()
    stored, packed = bytearray(whole), io.BytesIO()
    stored[200:260] = bytes(60)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme", "some text " * 20)
    squeezed = bytearray(packed.getvalue())
    squeezed[36:46] = b"\xff" * 10  # what follows the header of 30 bytes and the name
    for content in (b"no archive", whole[:-30], bytes(stored), bytes(squeezed)):
        (folder / "banana-detection.zip").write_bytes(content)
        with pytest.raises(ValueError, match=r"data/banana-detection\.zip cannot be read as an archive: "):
            banana()
        assert os.listdir(folder) == ["banana-detection.zip"]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (None, "FileNotFoundError"),
        ("name,xmin,ymin,xmax,ymax\n0.png,1,1,2,2\n", "KeyError"),
        ("img_name,label,xmin,ymin,xmax,ymax\n0.png,0,one,1,2,2\n", "could not convert"),
        ("img_name,label,xmin,ymin,xmax,ymax\n0.png,0,1,1\n", "TypeError"),
    ],
)
def test_an_archive_that_is_not_that_set(isolated, table, told):
    (isolated / "work" / "data").mkdir()
    with zipfile.ZipFile(isolated / "work" / "data" / "banana-detection.zip", "w") as archive:
        archive.writestr("banana-detection/readme", "")
        if table is not None:
            archive.writestr("banana-detection/bananas_train/label.csv", table)
    with pytest.raises(ValueError, match=f"banana-detection/bananas_train is not a part of the banana set: .*{told}"):
        banana()


# ---- by name and by path ----


def yolo(folder, count=4, splits=("",), row="0 0.5 0.5 0.5 0.5"):
    for split in splits:
        for i in range(count):
            for name, text in ((f"images/{split}/{i}.jpg", ""), (f"labels/{split}/{i}.txt", row)):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
    return folder


def test_a_set_without_a_split_is_split(isolated):
    train, val = read_detection(yolo(isolated / "mine", 10), held_out=0.3, seed=4)
    assert (len(train), len(val)) == (7, 3)
    for one, other in zip((train, val), read_detection(str(isolated / "mine"), "yolo", held_out=0.3, seed=4)):
        assert one.sources == other.sources
    assert read_detection(isolated / "mine", held_out=0.3, seed=5)[1].sources != val.sources


def test_a_set_with_a_split_keeps_it(isolated):
    folder = yolo(isolated / "mine", 3, ("train", "val"))
    train, val = read_detection(folder, held_out=0.9)
    assert {path.parent.name for path in train.sources} == {"train"}
    assert {path.parent.name for path in val.sources} == {"val"}


def test_a_home_folder_is_understood(isolated, monkeypatch):
    monkeypatch.setenv("HOME", str(isolated))
    yolo(isolated / "mine")
    assert len(read_detection("~/mine")[0]) == 3  # a tenth of 4 pictures, and at least one, is held out


def test_names_go_before_paths_unless_a_format_is_given(isolated, monkeypatch):
    monkeypatch.setattr(detection, "embedded_detection", lambda: ("train", "val"))
    yolo(isolated / "work" / "here" / "embedded")
    assert read_detection("embedded") == ("train", "val")
    assert len(read_detection("embedded", "yolo")[0]) == 3
    assert len(read_detection("./embedded")[0]) == 3


def rec_folder(folder, splits, names=None):
    for split, kinds in splits.items():
        items = [(picture(), [[kind, 0, 0, 1, 1]]) for kind in kinds]
        records.write_records(folder / f"{split}.rec", items)
    if names:
        (folder / "classes.txt").write_text(names)
    return folder


@pytest.mark.parametrize(("names", "classes"), [(None, ("0", "1", "2")), ("a\nb\nc\nd\n", tuple("abcd"))])
def test_a_folder_of_records(isolated, names, classes):
    train, val = read_detection(rec_folder(isolated / "mine", {"train": [0, 1], "val": [2, 0, 1]}, names))
    assert (len(train), len(val)) == (2, 3)
    assert train.classes == val.classes == classes
    assert [rows[0, 0] for rows in val.labels] == [2, 0, 1]


def test_one_rec_is_split(isolated):
    folder = rec_folder(isolated / "mine", {"train": [0] * 5})
    for path in (folder, folder / "train.rec"):
        assert [len(part) for part in read_detection(path, held_out=0.4)] == [3, 2]


def test_a_records_sixth_number_is_its_difficulty(isolated):
    from gluonbook._mxnet import mx

    labels = np.array([2, 6, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0.5, 1, 0], np.float32)
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG")
    writer = mx.recordio.MXRecordIO("a.rec", "w")
    for _ in range(2):
        writer.write(mx.recordio.pack(mx.recordio.IRHeader(0, labels, 0, 0), buffer.getvalue()))
    writer.close()
    train, _ = read_detection("a.rec")
    assert train.labels[0].tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0.5, 1]]
    assert train.difficult[0].tolist() == [True, False]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ([0, 0.5, 0, 0.25, 1], r"box \(0.5, 0, 0.25, 1\) is inverted"),
        ([0, 0, 0, 1, 1.5], r"box \(0, 0, 1, 1.5\) is out of range"),
        ([np.nan, 0, 0, 1, 1], "class must be a whole number from 0 to 0, got nan"),
        ([np.inf, 0, 0, 1, 1], "class must be a whole number from 0 to 0, got inf"),
        ([-1, 0, 0, 1, 1], "class must be a whole number from 0 to 0, got -1"),
    ],
)
def test_a_records_wrong_label_is_told_with_its_place(isolated, row, told):
    rec = records.write_records("a.rec", [(picture(), [BOX]), (picture(), [BOX, row])])
    second = [record.offset for record, _ in records.read_labels(rec)][1]
    with pytest.raises(ValueError, match=rf"picture a\.rec@{second}, row 1: {told}"):
        read_detection(rec)


def test_a_records_class_beyond_the_names(isolated):
    with pytest.raises(
        ValueError, match=r"picture train\.rec@0, row 0: class must be a whole number from 0 to 1, got 2"
    ):
        read_detection(rec_folder(isolated / "mine", {"train": [2, 0]}, "a\nb\n"))


def test_wrong_boxes_can_be_left_out(isolated):
    folder = yolo(isolated / "mine")
    (folder / "labels" / "2.txt").write_text("0 0.5 0.5 0.5 0.5\n0 0.5 0.5 3 0.5\n")
    with pytest.raises(ValueError, match=r"(?s)1 boxes are wrong .*labels/2\.txt, row 1: box \(-1, 0.25, 2, 0.75\)"):
        read_detection(folder)
    train, val = read_detection(folder, skip_bad=True)
    assert sum(len(rows) for rows in train.labels + val.labels) == 4
    assert summary(train).splitlines()[-1].startswith("1 wrong boxes were left out, the first: ")


def test_a_path_that_is_not_there(isolated):
    with pytest.raises(FileNotFoundError) as error:
        read_detection("embeded")
    assert (
        str(error.value) == "embeded is not there: expected embedded, pikachu, banana, or the path of a detection set"
    )


def test_a_folder_of_no_format(isolated):
    with pytest.raises(ValueError, match=r"the format of \. cannot be told"):
        read_detection(".")


def test_a_format_that_is_none(isolated):
    with pytest.raises(ValueError, match="format must be one of voc, coco, yolo, rec; got 'csv'"):
        read_detection(".", "csv")


@pytest.mark.parametrize("format", ["voc", "yolo"])
def test_a_set_of_no_pictures(isolated, format):
    with pytest.raises(ValueError, match=r"^\. holds no pictures to train on"):
        read_detection(".", format)


@pytest.mark.parametrize(
    ("splits", "purpose"), [({"train": [], "val": [0]}, "train"), ({"train": [0], "val": []}, "measure")]
)
def test_a_split_of_no_pictures(isolated, splits, purpose):
    with pytest.raises(ValueError, match=f"mine holds no pictures to {purpose} on"):
        read_detection(rec_folder(isolated / "mine", splits))


def test_records_that_are_not_there(isolated):
    with pytest.raises(FileNotFoundError, match=r"train\.rec is not there"):
        read_detection(".", "rec")


def test_a_set_of_one_picture_cannot_be_split(isolated):
    with pytest.raises(ValueError, match="a set of 1 picture cannot be split"):
        read_detection(yolo(isolated / "mine", 1))
