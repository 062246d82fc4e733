"""A folder with a sub-folder a class becomes three splits of squares; what is wrong with it is told by its name."""

import collections
import io
import re
import types
import warnings

import numpy as np
import psutil
import pytest
import tqdm.auto
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gluonbook import _memory
from gluonbook.data import Batches, LabelledPictures, pictures, read_classes
from gluonbook.data import folders as module
from gluonbook.data.folders import check_memory, image_folder

WITH_FILES = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path):
    """Write classes with the given numbers of pictures: each 5x5 and of one colour, (class, its number, 7)."""

    def write(name="photos", **counts):
        for label, (kind, count) in enumerate(sorted(counts.items())):
            (tmp_path / name / kind).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (5, 5), (label, i, 7)).save(tmp_path / name / kind / f"{i:03}.png")
        return tmp_path / name

    return write


def members(split):
    """(class, number) of each picture of ``folder``; checks colours and labels."""
    assert (split.images == split.images[:, :, :1, :1]).all()
    colours = split.images[:, :, 0, 0]
    assert set(colours[:, 2]) <= {7}
    assert split.labels.tolist() == colours[:, 0].tolist()
    return [(int(label), int(number)) for label, number, _ in colours]


# ---- splits ----


def test_sub_folders_are_classes_in_alphabetical_order(folder):
    splits = image_folder(folder(dog=5, cat=6, Zebra=7), size=4)
    for split, count in zip(splits, (18 - 3 - 3, 3, 3)):
        assert isinstance(split, LabelledPictures)
        assert split.classes == ("Zebra", "cat", "dog")
        assert (split.images.shape, split.images.dtype) == ((count, 3, 4, 4), np.uint8)
        assert (split.labels.shape, split.labels.dtype) == ((count,), np.int32)


@pytest.mark.parametrize(
    ("count", "valid", "test", "expected"),
    [
        (3, 0.2, 0.2, (1, 1, 1)),
        (10, 0.2, 0.2, (6, 2, 2)),
        (20, 0.1, 0.3, (12, 2, 6)),
        (13, 0.2, 0.2, (7, 3, 3)),
        (100, 0.001, 0.5, (49, 1, 50)),
        (10, 0.45, 0.1, (5, 4, 1)),
    ],
)
def test_each_class_is_split_by_the_shares(folder, count, valid, test, expected):
    splits = image_folder(folder(a=count, b=10), 1, valid=valid, test=test)
    assert tuple(int((split.labels == 0).sum()) for split in splits) == expected


@given(
    st.lists(st.integers(3, 12), min_size=2, max_size=4),
    st.integers(0, 2**31),
    st.floats(0.01, 0.3),
    st.floats(0.01, 0.3),
)
@WITH_FILES
def test_every_picture_is_in_one_split_and_every_class_in_every_split(counts, seed, valid, test):
    found = {str(i): [module.Path(f"{i}/{j}") for j in range(count)] for i, count in enumerate(counts)}
    parts = module._split(found, np.random.default_rng(seed), valid, test)
    placed = [(str(file), label) for part in parts for file, label in part]
    assert sorted(placed) == sorted((f"{i}/{j}", i) for i, count in enumerate(counts) for j in range(count))
    for part in parts:
        assert {label for _, label in part} == set(range(len(counts)))


def test_the_pictures_keep_their_labels_and_each_is_there_once(folder):
    splits = image_folder(folder(a=9, b=5, c=12), 3)
    found = [member for split in splits for member in members(split)]
    assert sorted(found) == [(label, i) for label, count in enumerate((9, 5, 12)) for i in range(count)]


def test_a_seed_gives_a_split_and_another_seed_another(folder):
    path = folder(a=30, b=30)
    first, again, other = ([members(split) for split in image_folder(path, 1, seed)] for seed in (0, 0, 1))
    assert first == again
    for one, two in zip(first, other):
        assert set(one) != set(two)


def test_the_splits_are_mixed(folder):
    for split in image_folder(folder(a=40, b=40), 1):
        labels, found = split.labels.tolist(), members(split)
        assert labels != sorted(labels)
        assert [i for label, i in found if label == 0] != sorted(i for label, i in found if label == 0)


def test_the_split_does_not_depend_on_the_order_in_which_the_system_lists_files(folder, monkeypatch):
    path = folder(a=10, b=10)
    first = [members(split) for split in image_folder(path, 1)]
    listed = module.Path.iterdir
    monkeypatch.setattr(module.Path, "iterdir", lambda folder: sorted(listed(folder), reverse=True))
    assert [members(split) for split in image_folder(path, 1)] == first


# ---- pictures ----


def only(tmp_path, values, size, suffix="png", **options):
    """The one picture of a class of three copies, as ``image_folder`` gives it."""
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    for kind in "ab":
        (tmp_path / kind).mkdir()
        for i in range(3):
            image.save(tmp_path / kind / f"{i}.{suffix}", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none of them is skipped
        splits = image_folder(tmp_path, size)
    found = np.concatenate([split.images for split in splits])
    assert len({picture.tobytes() for picture in found}) == 1
    return found[0]


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (6, 6, slice(0, 6), slice(0, 6)),
        (6, 10, slice(0, 6), slice(2, 8)),
        (10, 6, slice(2, 8), slice(0, 6)),
        (6, 9, slice(0, 6), slice(1, 7)),
        (7, 6, slice(0, 6), slice(0, 6)),
        (1, 40, slice(0, 1), slice(19, 20)),
    ],
)
def test_a_picture_is_cut_to_the_square_in_its_middle(tmp_path, height, width, rows, columns):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    got = only(tmp_path, values, min(height, width))
    np.testing.assert_array_equal(got.transpose(1, 2, 0), values[rows, columns])


def test_a_larger_picture_is_reduced_to_means_and_a_smaller_one_enlarged(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (6, 10, 3), np.uint8)
    got = only(tmp_path, values, 3).transpose(1, 2, 0)
    means = values[:, 2:8].astype(float).reshape(3, 2, 3, 2, 3).mean((1, 3))
    assert abs(got - means).max() <= 0.5
    (tmp_path / "more").mkdir()
    got = only(tmp_path / "more", values[:, :6], 12).transpose(1, 2, 0)
    np.testing.assert_array_equal(got, pictures.resize(values[:, :6], 12))


def test_red_green_and_blue_are_the_first_second_and_third_channel(tmp_path):
    got = only(tmp_path, Image.new("RGB", (8, 8), (10, 120, 230)), 2)
    assert got[:, 0, 0].tolist() == [10, 120, 230]


@pytest.mark.parametrize(
    ("image", "suffix", "colour", "off"),
    [
        (Image.new("L", (8, 6), 90), "png", (90, 90, 90), 0),
        (Image.new("1", (8, 6), 1), "bmp", (255, 255, 255), 0),
        (Image.new("RGBA", (8, 6), (200, 0, 0, 0)), "png", (255, 255, 255), 0),
        (Image.new("RGB", (8, 6), (200, 100, 50)), "JPG", (200, 100, 50), 3),
        (Image.new("RGB", (8, 6), (200, 100, 50)), "webp", (200, 100, 50), 6),
        (Image.new("P", (8, 6)), "gif", (0, 0, 0), 0),
    ],
    ids=["grey", "bits", "transparent", "jpeg", "webp", "gif"],
)
def test_every_kind_of_picture_becomes_rgb(tmp_path, image, suffix, colour, off):
    got = only(tmp_path, image, 4, suffix)
    assert abs(got.astype(int) - np.array(colour).reshape(3, 1, 1)).max() <= off


def test_pictures_of_all_sizes_and_formats_lie_in_one_folder(tmp_path):
    for kind in "ab":
        (tmp_path / kind).mkdir()
        for i, suffix in enumerate(("png", "jpg", "bmp", "tif", "gif", "ppm")):
            Image.new("RGB", (3 + 9 * i, 20 - 3 * i), (80, 80, 80)).save(tmp_path / kind / f"{i}.{suffix}")
    for split in image_folder(tmp_path, 8):
        assert abs(split.images.astype(int) - 80).max() <= 2


def test_batches_of_a_folder_are_float32_from_0_to_1(folder):
    splits = image_folder(folder(a=9, b=9), 2)
    for X, y in Batches(splits.train, 4, seed=0):
        assert (X.dtype, y.dtype) == (np.float32, np.int32)
        np.testing.assert_array_equal(X[:, 0, 0, 0].asnumpy(), y.asnumpy().astype(np.float32) / 255)
        np.testing.assert_array_equal(X[:, 2].asnumpy(), np.full((len(y), 2, 2), np.float32(7) / np.float32(255)))


def test_a_folders_path_is_a_name_of_classes(folder, monkeypatch):
    path = folder(cat=5, dog=5)
    expected = image_folder(path, 64, seed=2)
    monkeypatch.chdir(path.parent)
    for name in (path, str(path), "photos", "./photos", "photos/"):
        for split, right in zip(read_classes(name, seed=2), expected):
            np.testing.assert_array_equal(split.images, right.images)
            assert split.labels.tolist() == right.labels.tolist()
            assert split.classes == ("cat", "dog")
    assert read_classes(path, size=9).train.images.shape == (6, 3, 9, 9)


def test_a_home_folder_is_found(folder, monkeypatch):
    path = folder(cat=5, dog=5)
    monkeypatch.setenv("HOME", str(path.parent))
    assert len(image_folder("~/photos", 1).train.labels) == len(read_classes("~/photos").train.labels) == 6


# ---- what else lies in a folder ----


def test_hidden_files_and_folders_are_ignored(folder):
    path = folder(a=5, b=5)
    (path / ".git").mkdir()
    (path / "a" / ".DS_Store").write_bytes(b"\0")
    (path / "a" / "._000.png").write_bytes(b"\0")
    (path / "README.txt").write_text("beside the classes")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splits = image_folder(path, 1)
    assert (sum(len(split.labels) for split in splits), splits.train.classes) == (10, ("a", "b"))


def test_files_that_are_no_pictures_are_skipped_with_a_warning(folder):
    path = folder(a=5, b=5)
    (path / "b" / "notes.txt").write_text("no picture")
    told = f"1 file is no picture and was skipped, by the name's end: {path / 'b' / 'notes.txt'}"
    with pytest.warns(UserWarning, match=f"^{re.escape(told)}$") as caught:
        splits = image_folder(path, 1)
    assert [record.filename for record in caught] == [__file__]
    assert sum(len(split.labels) for split in splits) == 10
    (path / "a" / "none").write_text("no picture")
    with pytest.warns(UserWarning, match=r"^2 files are no pictures and were skipped, by the name's end: \S+/a/none$"):
        image_folder(path, 1)


def test_folders_within_a_class_are_not_searched(folder):
    path = folder(a=5, b=5)
    (path / "a" / "more").mkdir()
    Image.new("RGB", (5, 5)).save(path / "a" / "more" / "1.png")
    assert sum(len(split.labels) for split in image_folder(path, 1)) == 10


# ---- errors ----


def test_a_folder_that_is_none_is_told(tmp_path):
    told = "it must be a folder with a sub-folder of pictures for each class"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(str(tmp_path / 'photos'))} is not there: {told}$"):
        image_folder(tmp_path / "photos", 8)
    (tmp_path / "photos").write_text("")
    with pytest.raises(ValueError, match=f"photos is a file: {told}$"):
        image_folder(tmp_path / "photos", 8)


@pytest.mark.parametrize(
    ("kinds", "told"), [([], "it holds none"), (["cat"], "it holds only one, cat"), ([".cat", "dog"], "only one, dog")]
)
def test_fewer_than_two_classes_are_refused(tmp_path, kinds, told):
    for kind in kinds:
        (tmp_path / kind).mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "1.png")
    with pytest.raises(
        ValueError, match=f"must hold a sub-folder of pictures for each of two or more classes, .*{told}$"
    ):
        image_folder(tmp_path, 8)


@pytest.mark.parametrize(
    ("count", "shares", "told"),
    [
        (2, {}, "class b has 2 pictures .* with valid=0.2 and test=0.2: 1 [+] 1 would leave none to learn from"),
        (0, {}, "class b has 0 pictures directly within its folder, too few for three splits"),
        (
            4,
            {"valid": 0.4, "test": 0.5},
            "class b has 4 pictures .* valid=0.4 and test=0.5: 2 [+] 2 would leave none",
        ),
    ],
)
def test_a_class_with_too_few_pictures_is_told_before_any_is_read(folder, monkeypatch, count, shares, told):
    path = folder(a=8, b=count)
    monkeypatch.setattr(module, "read_picture", lambda path: pytest.fail("was read"))
    with pytest.raises(ValueError, match=told):
        image_folder(path, 4, **shares)


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "is empty: 0 bytes"), (b"nothing", "is not a picture: no known format")]
)
def test_a_picture_that_cannot_be_read_is_named(folder, content, told):
    path = folder(a=5, b=5)
    (path / "b" / "bad.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path / 'b' / 'bad.jpg'))} {told}$"):
        image_folder(path, 4)


def test_a_picture_that_is_cut_short_is_named(folder):
    path, whole = folder(a=5, b=5), io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(whole, "JPEG")
    (path / "a" / "half.jpg").write_bytes(whole.getvalue()[:700])
    with pytest.raises(ValueError, match=r"a/half\.jpg is cut short"):
        image_folder(path, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"size": 0}, ValueError, "size must be at least 1, got 0"),
        ({"size": (8, 8)}, TypeError, r"size must be a whole number, got \(8, 8\) \(tuple\)"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"valid": 0}, ValueError, "valid must be above 0 and below 1, got 0"),
        ({"test": 1.5}, ValueError, r"test must be above 0 and below 1, got 1\.5"),
        ({"valid": 0.5, "test": 0.5}, ValueError, r"valid \+ test must be below 1, got 0\.5 \+ 0\.5"),
    ],
)
def test_arguments_out_of_range_are_refused(folder, arguments, error, told):
    with pytest.raises(error, match=f"^{told}$"):
        image_folder(folder(a=3, b=3), **{"size": 4, **arguments})


# ---- memory ----


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the given free bytes, within a container of the given limit."""

    def has(available, limit=None, used=0):
        monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=available))
        monkeypatch.setattr(_memory, "CGROUP", tmp_path / "cgroup")
        (tmp_path / "cgroup").mkdir(exist_ok=True)
        (tmp_path / "cgroup" / "memory.max").write_text("max\n" if limit is None else f"{limit}\n")
        (tmp_path / "cgroup" / "memory.current").write_text(f"{used}\n")

    return has


def test_what_needs_more_than_nine_tenths_of_the_free_memory_is_refused(machine):
    machine(10_000)
    check_memory(9_000, "pictures")
    with pytest.raises(MemoryError):
        check_memory(9_001, "pictures")


def test_a_containers_limit_counts(machine):
    machine(10_000, limit=8_000, used=7_000)
    check_memory(900, "pictures")
    with pytest.raises(MemoryError):
        check_memory(901, "pictures")
    machine(10_000, limit=8_000, used=9_000)
    with pytest.raises(MemoryError):
        check_memory(1, "pictures")
    machine(1_000, limit=8_000)
    with pytest.raises(MemoryError):
        check_memory(901, "pictures")


def test_pictures_that_do_not_fit_are_told_before_any_is_read(folder, machine, monkeypatch):
    path, size = folder(a=5, b=5), 1000
    need = 10 * 3 * size**2
    machine(int(need / 0.9) + 2)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_read", lambda *arguments: "read")
        assert image_folder(path, size) == ("read",) * 3
    machine(int(need / 0.9) - 2)
    monkeypatch.setattr(module, "read_picture", lambda path: pytest.fail("was read"))
    told = "10 pictures of 1000x1000 need 0.03 GiB of memory, and 0.03 GiB can be taken: choose a smaller size"
    with pytest.raises(MemoryError, match=f"^{re.escape(told)}, or fewer pictures$"):
        image_folder(path, size)


def test_enlarged_digits_that_do_not_fit_are_told(machine):
    machine(1797 * 4 * 100**2)
    told = "1797 pictures of 100x100 need 0.07 GiB of memory, and 0.06 GiB can be taken"
    with pytest.raises(MemoryError, match=f"^{re.escape(told)}"):
        read_classes("digits", size=100)


# ---- progress ----


def test_the_bar_counts_every_picture_and_shows_on_a_terminal_alone(folder, capfd, monkeypatch):
    path, bars = folder(a=5, b=6), []

    class Bar(tqdm.tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            bars.append((self, options, collections.Counter()))

        def update(self, n=1):
            bars[-1][2]["pictures"] += n
            return super().update(n)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    image_folder(path, 2)
    ((bar, options, counted),) = bars
    assert (options["total"], counted["pictures"]) == (11, 11)
    assert options["disable"] is None  # tqdm's word for: on a terminal alone
    assert bar.disable
    assert capfd.readouterr() == ("", "")
