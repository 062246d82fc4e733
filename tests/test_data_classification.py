"""Digits and Fashion-MNIST in three splits, parts of them, and batches that can be gone through again and again."""

import dataclasses
import functools
import gzip
import pathlib
import re
import struct

import numpy as np
import pytest

from gluonbook import data
from gluonbook._mxnet import mx, nd
from gluonbook.data import Batches, LabelledPictures, fashion_mnist, read_classes
from gluonbook.data.classification import scaled
from gluonbook.data.distortions import distort
from gluonbook.data.fashion_mnist import CLASSES

sklearn_datasets = pytest.importorskip("sklearn.datasets")


def made(labels=(2, 0, 1, 2, 2, 0, 3)):
    """Pictures that tell which they are: picture i is full of i."""
    images = np.repeat(np.arange(len(labels), dtype=np.float32), 2 * 3).reshape(-1, 1, 2, 3)
    return LabelledPictures(images, np.array(labels, np.int32), ("zero", "one", "two", "three"))


def numbers(pictures):
    """Which pictures of ``made`` these are."""
    images = pictures.asnumpy() if hasattr(pictures, "asnumpy") else pictures.images
    assert images.shape[1:] == (1, 2, 3)
    assert all((image == image[0, 0, 0]).all() for image in images)
    return images[:, 0, 0, 0].astype(int).tolist()


def rows_of(*splits):
    """Each picture's bytes and its label."""
    return [(image.tobytes(), int(label)) for split in splits for image, label in zip(split.images, split.labels)]


# ---- digits ----


def test_digits_have_three_splits_of_the_documented_sizes():
    splits = read_classes()
    assert splits._fields == ("train", "valid", "test")
    for split, count in zip(splits, (1197, 300, 300)):
        assert (split.images.shape, split.images.dtype) == ((count, 1, 8, 8), np.float32)
        assert (split.labels.shape, split.labels.dtype) == ((count,), np.int32)
        assert split.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
        assert set(split.labels) == set(range(10))


@pytest.mark.parametrize("seed", [0, 1])
def test_the_splits_are_scikit_learns_pictures_each_once(seed):
    theirs = sklearn_datasets.load_digits()
    images = (theirs.images / 16).astype(np.float32)
    expected = [(image.tobytes(), int(label)) for image, label in zip(images, theirs.target)]
    assert sorted(rows_of(*read_classes("digits", seed))) == sorted(expected)
    assert len(set(expected)) == len(expected)  # no picture is there twice: so the splits have none in common


def test_black_is_0_and_white_is_1():
    for split in read_classes():
        assert (split.images.min(), split.images.max()) == (0, 1)


def test_a_seed_gives_a_split_and_another_seed_another():
    first, again, other = (rows_of(read_classes(seed=seed).valid) for seed in (0, 0, 1))
    assert first == again
    assert len(set(first) & set(other)) < 100  # by chance 300 · 300/1797 = 50, with a deviation of 6
    assert not set(rows_of(read_classes(seed=0).valid)) & set(rows_of(read_classes(seed=0).test))


def test_the_split_does_not_depend_on_numpys_own_seed():
    np.random.seed(0)
    first = rows_of(read_classes().train)
    np.random.seed(1)
    assert rows_of(read_classes().train) == first


def test_every_split_is_mixed():
    """scikit-learn's digits come in the order in which people wrote them: 0 to 9, again and again."""
    for split in read_classes():
        assert split.labels[:20].tolist() != list(range(10)) * 2
        shares = np.bincount(split.labels, minlength=10) / len(split.labels)
        assert (abs(shares - 0.1) < 4 * np.sqrt(0.1 * 0.9 / len(split.labels))).all()


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (("mnist",), ValueError, "name must be one of digits, fashion_mnist; got 'mnist'"),
        (("digits", -1), ValueError, "seed must be at least 0, got -1"),
        (("digits", 0.5), TypeError, r"seed must be a whole number, got 0\.5 \(float\)"),
    ],
)
def test_other_sets_and_seeds_are_refused(arguments, error, told):
    with pytest.raises(error, match=f"^{told}$"):
        read_classes(*arguments)


# ---- Fashion-MNIST ----


def as_idx(array):
    shape = b"".join(struct.pack(">I", side) for side in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes())


@pytest.fixture
def clothes(isolated, monkeypatch):
    """Put a set with the given numbers of pictures beside the working folder; picture i has i in its corner."""
    monkeypatch.setenv("HOME", str(isolated / "home"))
    folder = isolated / "work" / "data" / "fashion-mnist"
    folder.mkdir(parents=True)

    def put(num_train, num_test):
        for part, count in (("train", num_train), ("t10k", num_test)):
            pictures = np.zeros((count, 28, 28))
            pictures[:, 0, 0] = np.arange(count) % 256
            pictures[:, 0, 1] = np.arange(count) // 256
            pictures[:, 5, 6], pictures[:, 6, 5] = 255, 51
            (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(as_idx(pictures))
            (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(as_idx(np.arange(count) % 10))

    return put


def places(split):
    """Where the pictures of ``clothes`` were in their file."""
    corners = (split.images[:, 0, 0, :2] * 255).round().astype(int)
    found = (corners[:, 0] + 256 * corners[:, 1]).tolist()
    assert split.labels.tolist() == [place % 10 for place in found]
    return found


@pytest.mark.parametrize(("num_train", "num_valid"), [(24, 4), (23, 3)])
def test_a_sixth_of_the_clothes_is_for_validation(clothes, num_train, num_valid):
    clothes(num_train, 7)
    splits = read_classes("fashion_mnist", seed=3)
    for split, count in zip(splits, (num_train - num_valid, num_valid, 7)):
        assert (split.images.shape, split.images.dtype) == ((count, 1, 28, 28), np.float32)
        assert (split.labels.shape, split.labels.dtype) == ((count,), np.int32)
        assert split.classes == CLASSES
    assert sorted(places(splits.train) + places(splits.valid)) == list(range(num_train))
    assert places(splits.test) == list(range(7))  # in the file's order


def test_of_the_whole_set_ten_thousand_are_for_validation(monkeypatch):
    images = np.zeros((60_000, 1, 1), np.uint8)
    part = fashion_mnist.FashionMNIST(images, np.zeros(60_000, np.int32))
    monkeypatch.setattr(data.classification, "read_fashion_mnist", lambda: (part, part))
    splits = read_classes("fashion_mnist")
    assert [len(split.labels) for split in splits] == [50_000, 10_000, 60_000]
    more = fashion_mnist.FashionMNIST(np.zeros((90_000, 1, 1), np.uint8), np.zeros(90_000, np.int32))
    monkeypatch.setattr(data.classification, "read_fashion_mnist", lambda: (more, part))
    assert [len(split.labels) for split in read_classes("fashion_mnist")] == [80_000, 10_000, 60_000]


def test_the_clothes_are_scaled_and_lie_as_in_the_file(clothes):
    clothes(12, 3)
    for split in read_classes("fashion_mnist"):
        assert set(split.images[:, 0, 5, 6]) == {np.float32(1)}
        assert set(split.images[:, 0, 6, 5]) == {np.float32(51 / 255)}
        assert split.images.min() == 0


def test_a_seed_splits_the_clothes(clothes):
    clothes(300, 3)
    first, again, other = (places(read_classes("fashion_mnist", seed).valid) for seed in (0, 0, 1))
    assert first == again
    assert first != sorted(first)
    assert set(first) != set(other)


def test_clothes_that_are_nowhere_are_told(isolated, monkeypatch):
    monkeypatch.setenv("HOME", str(isolated / "home"))
    offline = {name: dataclasses.replace(one, urls=()) for name, one in fashion_mnist._DATASETS.items()}
    monkeypatch.setattr(fashion_mnist, "_DATASETS", offline)
    with pytest.raises(data.DataNotFound, match=r"the data set fashion_mnist .* was found in none of these places"):
        read_classes("fashion_mnist")


# ---- parts of a split ----


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([4, 0, 4], [4, 0, 4]),
        ((0, 1), [0, 1]),
        (range(1, 7, 2), [1, 3, 5]),
        (slice(2), [0, 1]),
        (slice(None, None, -3), [6, 3, 0]),
        (np.array([6, 1]), [6, 1]),
        (np.array([-1]), [6]),
        (np.array([True, False] * 3 + [True]), [0, 2, 4, 6]),
        ([False] * 6 + [True], [6]),
        ([], []),
        ((), []),
        (np.zeros(7, bool), []),
    ],
    ids=str,
)
def test_some_pictures_of_a_split(rows, expected):
    part = made().subset(rows)
    assert numbers(part) == expected
    assert part.labels.tolist() == [made().labels[i] for i in expected]
    assert (part.images.dtype, part.labels.dtype, part.classes) == (np.float32, np.int32, made().classes)


def test_a_picture_that_is_not_there_is_refused():
    with pytest.raises(IndexError, match="index 7 is out of bounds"):
        made().subset([0, 7])


@pytest.mark.parametrize(
    ("kinds", "expected", "labels"),
    [
        ([0, 1], [1, 2, 5], [0, 1, 0]),
        ([1, 0], [1, 2, 5], [1, 0, 1]),
        ((3, 2), [0, 3, 4, 6], [1, 1, 1, 0]),
        (range(4), [0, 1, 2, 3, 4, 5, 6], [2, 0, 1, 2, 2, 0, 3]),
        (np.array([2]), [0, 3, 4], [0, 0, 0]),
        ([], [], []),
    ],
    ids=str,
)
def test_some_classes_are_numbered_anew_in_the_order_given(kinds, expected, labels):
    part = made().of_classes(kinds)
    assert numbers(part) == expected
    assert part.labels.tolist() == labels
    assert part.labels.dtype == np.int32
    assert part.classes == tuple(made().classes[kind] for kind in kinds)


def test_a_class_without_pictures_keeps_its_number():
    part = made((1, 1, 3)).of_classes([0, 1])
    assert (part.labels.tolist(), part.classes) == ([1, 1], ("zero", "one"))


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ([0, 4], "kinds[1] must be from 0 to 3, got 4"),
        ([-1], "kinds[0] must be from 0 to 3, got -1"),
        ([2, 0, 2], "kinds must be different classes, got [2, 0, 2]"),
    ],
)
def test_classes_that_are_none_or_given_twice_are_refused(kinds, told):
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        made().of_classes(kinds)


def test_the_split_itself_stays_what_it_is():
    whole = made()
    whole.of_classes([1, 0]).labels[:] = 9
    whole.subset([0]).images[:] = 9
    assert numbers(whole) == list(range(7))
    assert whole.labels.tolist() == made().labels.tolist()


def test_zeros_and_ones_are_a_fifth_of_the_digits():
    train = read_classes().train
    two = train.of_classes([0, 1])
    assert len(two.labels) == np.sum(train.labels < 2)
    assert set(two.labels) == {0, 1}
    assert abs(len(two.labels) / len(train.labels) - 0.2) < 0.02


# ---- batches ----


def passed(batches):
    """One pass: the pictures' numbers and labels of each batch."""
    return [(numbers(X), y.asnumpy().tolist()) for X, y in batches]


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [
        (3, [[0, 1, 2], [3, 4, 5], [6]]),
        (7, [[0, 1, 2, 3, 4, 5, 6]]),
        (100, [[0, 1, 2, 3, 4, 5, 6]]),
        (1, [[0], [1], [2], [3], [4], [5], [6]]),
        (4, [[0, 1, 2, 3], [4, 5, 6]]),
    ],
)
def test_without_a_seed_the_order_is_the_splits_at_each_pass(batch_size, expected):
    batches, labels = Batches(made(), batch_size), made().labels
    for _ in range(2):
        assert passed(batches) == [(rows, [labels[i] for i in rows]) for rows in expected]
    assert len(batches) == len(expected)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_with_a_seed_each_pass_has_every_picture_once_in_another_order(batch_size):
    batches, orders = Batches(made(), batch_size, seed=0), []
    for _ in range(6):
        found = passed(batches)
        assert len(found) == len(batches) == -(-7 // batch_size)
        assert [len(rows) for rows, _ in found] == [min(batch_size, 7 - i) for i in range(0, 7, batch_size)]
        orders.append([i for rows, _ in found for i in rows])
        assert sorted(orders[-1]) == list(range(7))
        assert [label for _, labels in found for label in labels] == [made().labels[i] for i in orders[-1]]
    assert len({tuple(order) for order in [*orders, range(7)]}) == 7


@pytest.mark.parametrize("seed", [0, 3, np.random.SeedSequence(5)], ids=["0", "3", "sequence"])
def test_a_seed_gives_the_same_passes_again(seed):
    first, again, other = (Batches(made(), 3, seed=s) for s in (seed, seed, 17))
    passes = [passed(first) for _ in range(3)]
    assert [passed(again) for _ in range(3)] == passes
    assert [passed(other) for _ in range(3)] != passes


def test_the_passes_do_not_depend_on_other_seeds():
    orders = []
    for other in (0, 1):
        np.random.seed(other)
        mx.random.seed(other)
        orders.append(passed(Batches(made(), 3, seed=0)))
    assert orders[0] == orders[1]


def test_batches_are_arrays_of_mxnet_on_the_cpu():
    for X, y in Batches(made(), 3, seed=0):
        assert (type(X), type(y)) == (nd.NDArray, nd.NDArray)
        assert (X.dtype, y.dtype) == (np.float32, np.int32)
        assert (X.context, y.context) == (mx.cpu(0), mx.cpu(0))
        assert (X.shape, y.shape) == ((len(y), 1, 2, 3), (len(y),))


def test_pictures_of_other_dtypes_become_float32_and_labels_int32():
    pictures = LabelledPictures(made().images.astype(np.float64), made().labels.astype(np.int64), made().classes)
    ((X, y),) = Batches(pictures, 7)
    assert (X.dtype, y.dtype) == (np.float32, np.int32)


def test_a_pass_that_was_left_does_not_shorten_the_next():
    batches = Batches(made(), 2, seed=0)
    next(iter(batches))
    assert sorted(i for rows, _ in passed(batches) for i in rows) == list(range(7))


def test_two_passes_at_once_do_not_disturb_each_other():
    batches = Batches(made(), 2, seed=0)
    found = [[], []]
    for pair in zip(batches, batches):
        for rows, (X, _) in zip(found, pair):
            rows += numbers(X)
    assert [sorted(rows) for rows in found] == [list(range(7))] * 2


@pytest.mark.parametrize("seed", [None, 0])
def test_no_pictures_are_no_batches(seed):
    batches = Batches(made().subset([]), 4, seed=seed)
    assert (len(batches), list(batches)) == (0, [])


@pytest.mark.parametrize(
    ("batch_size", "error", "told"),
    [
        (0, ValueError, "batch_size must be at least 1, got 0"),
        (2.5, TypeError, r"batch_size must be a whole number, got 2\.5 \(float\)"),
    ],
)
def test_a_batch_of_nothing_is_refused(batch_size, error, told):
    with pytest.raises(error, match=f"^{told}$"):
        Batches(made(), batch_size)


# ---- other sizes ----


@pytest.mark.parametrize("size", [8, 9, 16, 28, 32])
def test_enlarged_digits_are_mxnets_bilinear_ones(size):
    for split, small in zip(read_classes(seed=4, size=size), read_classes(seed=4)):
        assert (split.images.shape, split.images.dtype) == ((len(small.labels), 1, size, size), np.float32)
        theirs = nd.contrib.BilinearResize2D(nd.array(small.images), height=size, width=size, align_corners=False)
        np.testing.assert_allclose(split.images, theirs.asnumpy(), atol=1e-5)
        assert split.labels.tolist() == small.labels.tolist()
        assert split.classes == small.classes


@pytest.mark.parametrize("size", [1, 2, 4])
def test_reduced_digits_are_the_means_of_blocks(size):
    small, block = read_classes(size=size).valid, 8 // size
    means = read_classes().valid.images.reshape(-1, 1, size, block, size, block).mean((3, 5))
    np.testing.assert_allclose(small.images, means, atol=1e-6)


def test_clothes_are_resized_too(clothes):
    clothes(24, 7)
    for split, small in zip(read_classes("fashion_mnist", size=56), read_classes("fashion_mnist")):
        assert (split.images.shape, split.images.dtype) == ((len(small.labels), 1, 56, 56), np.float32)
        theirs = nd.contrib.BilinearResize2D(nd.array(small.images), height=56, width=56, align_corners=False)
        np.testing.assert_allclose(split.images, theirs.asnumpy(), atol=1e-5)
        assert split.labels.tolist() == small.labels.tolist()


def test_a_split_without_pictures_has_another_size_too(clothes):
    clothes(5, 2)
    splits = read_classes("fashion_mnist", size=14)
    assert [split.images.shape for split in splits] == [(5, 1, 14, 14), (0, 1, 14, 14), (2, 1, 14, 14)]


@pytest.mark.parametrize(
    ("size", "error", "told"),
    [
        (0, ValueError, "size must be at least 1, got 0"),
        (8.0, TypeError, r"size must be a whole number, got 8\.0 \(float\)"),
    ],
)
@pytest.mark.parametrize("name", ["digits", "fashion_mnist", "photos/"])
def test_sizes_that_are_none_are_refused(name, size, error, told):
    with pytest.raises(error, match=f"^{told}$"):
        read_classes(name, size=size)


@pytest.mark.parametrize("name", ["photos/none", "./photos", "~/photos/none", pathlib.Path("photos")], ids=str)
def test_a_path_where_nothing_is_is_told(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"photos\S* is not there: it must be a folder with a sub-folder"):
        read_classes(name)


@pytest.mark.parametrize("name", ["", 3, None], ids=repr)
def test_what_is_neither_name_nor_path_is_refused(name):
    with pytest.raises(ValueError, match=f"^name must be one of digits, fashion_mnist; got {name!r}$"):
        read_classes(name)


def test_a_set_comes_before_a_folder_of_its_name(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_classes("digits").train.images.shape == (1197, 1, 8, 8)
    with pytest.raises(ValueError, match=r"^digits must hold a sub-folder of pictures"):
        read_classes("./digits")


# ---- pictures of whole numbers ----


def test_scaled_pictures_are_float32():
    whole = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    assert scaled(whole).dtype == np.float32
    np.testing.assert_array_equal(scaled(whole), (np.arange(256) / 255).astype(np.float32).reshape(4, 1, 8, 8))
    floats = whole.astype(np.float32) / 300
    assert scaled(floats) is floats
    double = scaled(floats.astype(np.float64))
    assert double.dtype == np.float32
    np.testing.assert_array_equal(double, floats)


def test_batches_scale_pictures_of_whole_numbers():
    images = np.arange(7 * 6, dtype=np.uint8).reshape(7, 1, 2, 3)
    ((X, _),) = Batches(LabelledPictures(images, made().labels, made().classes), 7)
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X.asnumpy(), images.astype(np.float32) / 255)
    assert images.dtype == np.uint8


def test_parts_of_a_split_of_whole_numbers_stay_so():
    whole = LabelledPictures(made().images.astype(np.uint8), made().labels, made().classes)
    assert whole.subset([1, 2]).images.dtype == whole.of_classes([0]).images.dtype == np.uint8


# ---- augmented batches ----


def test_each_batch_is_augmented_with_one_generator():
    seen = []

    def augment(X, rng):
        seen.append((numbers(X), rng))
        return X + 100

    found = passed(Batches(made(), 3, seed=0, augment=augment))
    assert [[i - 100 for i in rows] for rows, _ in found] == [rows for rows, _ in seen]
    assert [len(rows) for rows, _ in seen] == [3, 3, 1]
    assert len({id(rng) for _, rng in seen}) == 1
    assert isinstance(seen[0][1], np.random.Generator)
    assert [labels for _, labels in found] == [[made().labels[i] for i in rows] for rows, _ in seen]


def test_what_is_augmented_is_float32_from_0_to_1():
    images = np.full((3, 1, 2, 2), 255, np.uint8)
    seen = []
    batches = Batches(LabelledPictures(images, np.zeros(3, np.int32), ("a",)), 2, 0, lambda X, rng: seen.append(X) or X)
    assert len(list(batches)) == 2
    for X in seen:
        assert (X.dtype, X.min().asscalar(), X.max().asscalar()) == (np.float32, 1, 1)


def test_a_seed_gives_the_same_augmented_passes_again_and_each_pass_is_another():
    noise = read_classes().train.subset(range(20))
    augment = functools.partial(distort, shift=0.2, degrees=20, brightness=0.3)
    first, again, other = (Batches(noise, 8, seed=seed, augment=augment) for seed in (0, 0, 1))
    passes = [[X.asnumpy().tobytes() for X, _ in first] for _ in range(3)]
    assert [[X.asnumpy().tobytes() for X, _ in again] for _ in range(3)] == passes
    assert [[X.asnumpy().tobytes() for X, _ in other] for _ in range(3)] != passes
    assert len({tuple(one) for one in passes}) == 3


def test_an_augmentation_may_change_the_pictures_size():
    batches = Batches(made(), 3, seed=0, augment=lambda X, rng: X[:, :, :1])
    assert [X.shape for X, _ in batches] == [(3, 1, 1, 3), (3, 1, 1, 3), (1, 1, 1, 3)]


def test_augmenting_leaves_the_split_as_it_is():
    pictures = made()

    def augment(X, rng):
        X[:] = 9
        return X

    list(Batches(pictures, 3, seed=0, augment=augment))
    assert numbers(pictures) == list(range(7))


def test_augmenting_without_a_seed_or_by_nothing_is_refused():
    told = "augment needs a seed, from which its random numbers come, got seed=None"
    with pytest.raises(ValueError, match=f"^{told}$"):
        Batches(made(), 3, augment=lambda X, rng: X)
    with pytest.raises(TypeError, match=r"^augment must be a function of X and rng, got 15 \(int\)$"):
        Batches(made(), 3, seed=0, augment=15)


@pytest.mark.parametrize(
    ("augment", "got"),
    [
        (lambda X, rng: None, "NoneType"),
        (lambda X, rng: X[:2], r"shape \(2, 1, 2, 3\)"),
        (lambda X, rng: X.asnumpy(), "ndarray"),
    ],
    ids=["nothing", "fewer", "NumPy"],
)
def test_an_augmentation_that_returns_something_else_is_told(augment, got):
    with pytest.raises(ValueError, match=f"^augment must return an nd array of 3 pictures, got {got}$"):
        list(Batches(made(), 3, seed=0, augment=augment))
