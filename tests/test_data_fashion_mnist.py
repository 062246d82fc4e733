"""Fashion-MNIST is found where it may lie, downloads are known by their digests, batches are Gluon's own."""

import dataclasses
import gzip
import hashlib
import os
import struct
import warnings

import numpy as np
import pytest

from gluonbook import data
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.data import fashion_mnist
from gluonbook.data.fashion_mnist import get_fashion_mnist_labels, load_data_fashion_mnist, read_fashion_mnist

PARTS = ("train", "t10k")
NUM_TRAIN, NUM_TEST = 23, 7
GLUON_PLACE = (".mxnet", "datasets", "fashion-mnist")


def named(value):
    """Name a test by its texts: a file's bytes hold the time."""
    return "bytes" if isinstance(value, bytes) else None


def as_idx(array):
    shape = b"".join(struct.pack(">I", side) for side in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes())


def made(seed=0):
    """The four files of a small set, by name."""
    generator, files = np.random.default_rng(seed), {}
    for part, count in zip(PARTS, (NUM_TRAIN, NUM_TEST)):
        pictures = generator.integers(0, 256, (count, 28, 28))
        pictures[:, 0, 0] = np.arange(count)  # tells them apart
        files[f"{part}-images-idx3-ubyte.gz"] = as_idx(pictures)
        files[f"{part}-labels-idx1-ubyte.gz"] = as_idx((np.arange(count) * 3 + seed) % 10)
    return files


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def corner(part):
    """What tells small sets of several seeds apart."""
    return int(part.labels[0])


@pytest.fixture
def home(isolated, monkeypatch):
    monkeypatch.setenv("HOME", str(isolated / "home"))
    return isolated / "home"


@pytest.fixture
def hub(served, home, monkeypatch):
    """The set has two addresses on the test's web server; this machine has none of its files."""

    def known(files, kind=hashlib.sha1):
        digests = {name: (kind(content).hexdigest(), "0" * 32) for name, content in files.items()}
        monkeypatch.setattr(fashion_mnist, "DIGESTS", digests)

    datasets = {
        name: dataclasses.replace(one, urls=urls)
        for name, one in fashion_mnist._DATASETS.items()
        for urls in [(f"{served.root}/first/{name}", f"{served.root}/second/{name}")]
    }
    monkeypatch.setattr(fashion_mnist, "_DATASETS", datasets)
    served.known = known
    return served


@pytest.fixture
def root(home):
    return put(home.joinpath(*GLUON_PLACE), made())


# ---- files ----


def test_a_parts_pictures_and_labels(root):
    train, test = read_fashion_mnist()
    assert (train.images.shape, train.images.dtype) == ((NUM_TRAIN, 28, 28), np.uint8)
    assert (test.images.shape, test.images.dtype) == ((NUM_TEST, 28, 28), np.uint8)
    assert (train.labels.dtype, test.labels.dtype) == (np.int32, np.int32)
    assert test.labels.tolist() == [0, 3, 6, 9, 2, 5, 8]
    assert test.images[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("train", [True, False])
def test_gluons_own_reader_gives_the_same(root, monkeypatch, train):
    module = gluon.data.vision.datasets
    monkeypatch.setattr(module, "download", lambda url, path, sha1_hash: os.path.join(path, os.path.basename(url)))
    theirs = gluon.data.vision.FashionMNIST(root=str(root), train=train)
    ours = read_fashion_mnist()[0 if train else 1]
    np.testing.assert_array_equal(ours.images[..., None], theirs._data.asnumpy())
    np.testing.assert_array_equal(ours.labels, theirs._label)
    assert ours.labels.dtype == theirs._label.dtype


def test_places_are_looked_at_in_order(home, isolated, monkeypatch, hub):
    monkeypatch.setenv("GLUONBOOK_DATA", str(isolated / "environment"))
    folders = [isolated / "mine", home.joinpath(*GLUON_PLACE)]
    folders += [isolated / "environment" / "fashion-mnist", isolated / "work" / "data" / "fashion-mnist"]
    folders += [isolated / "cache" / "gluonbook" / "fashion-mnist"]
    for seed, folder in enumerate(folders):
        put(folder, made(seed))
    hub.known(made(len(folders)))
    for name, content in made(len(folders)).items():
        hub.pages[f"/second/{name}"] = content
    for seed, folder in enumerate(folders):
        assert [corner(part) for part in read_fashion_mnist(isolated / "mine")] == [seed, seed]
        for file in folder.iterdir():
            file.unlink()
    assert hub.asked == []
    assert [corner(part) for part in read_fashion_mnist(isolated / "mine")] == [len(folders)] * 2
    asked = [f"/{place}/{name}" for name in made() for place in ("first", "second")]
    assert hub.asked == asked
    assert sorted(os.listdir(folders[-1])) == sorted(made())
    assert [corner(part) for part in read_fashion_mnist()] == [len(folders)] * 2
    assert hub.asked == asked  # kept


def test_each_file_is_looked_for_by_itself(root, isolated):
    """A download that broke off after three files of four leaves those of use."""
    name = "t10k-labels-idx1-ubyte.gz"
    (root / name).unlink()
    put(isolated / "work" / "data" / "fashion-mnist", {name: made(4)[name]})
    assert read_fashion_mnist()[1].labels.tolist() == [4, 7, 0, 3, 6, 9, 2]


def test_a_home_folder_is_understood(home):
    put(home / "clothes", made(2))
    put(home.joinpath(*GLUON_PLACE), made(1))
    for loaded in (read_fashion_mnist("~/clothes"), read_fashion_mnist(str(home / "clothes"))):
        assert [corner(part) for part in loaded] == [2, 2]
    _, test_iter = load_data_fashion_mnist(NUM_TEST, root="~/clothes")
    ((_, y),) = test_iter
    assert y[0].asscalar() == 2
    _, test_iter = load_data_fashion_mnist(NUM_TEST)
    ((_, y),) = test_iter
    assert y[0].asscalar() == 1


@pytest.mark.parametrize("kind", [hashlib.sha1, hashlib.md5])
def test_a_download_is_known_by_either_digest(hub, kind):
    hub.known(made(3), kind)
    for name, content in made(3).items():
        hub.pages[f"/first/{name}"] = content
    assert [corner(part) for part in read_fashion_mnist()] == [3, 3]


def test_the_published_digests_are_those_of_gluons_files():
    theirs = gluon.data.vision.FashionMNIST.__new__(gluon.data.vision.FashionMNIST)
    theirs._get_data = lambda: None
    for train, pair in ((True, ("_train_data", "_train_label")), (False, ("_test_data", "_test_label"))):
        theirs.__init__(train=train)
        for name, digest in (getattr(theirs, attribute) for attribute in pair):
            assert fashion_mnist.DIGESTS[name][0] == digest
    for digests in fashion_mnist.DIGESTS.values():
        assert [len(digest) for digest in digests] == [40, 32]  # SHA-1, MD5


def test_every_file_has_an_address_by_its_name():
    assert len(fashion_mnist.ADDRESSES) >= 2
    for name in made():
        one = fashion_mnist._DATASETS[name]
        assert one.urls == tuple(address + name for address in fashion_mnist.ADDRESSES)
        assert one.check is not None


def test_a_folder_without_the_files_is_told(root, isolated):
    (isolated / "mine").mkdir()
    with pytest.warns(UserWarning, match=r"mine/train-images-idx3-ubyte.gz holds no .+: using .+\.mxnet"):
        load_data_fashion_mnist(4, root=str(isolated / "mine"))


def test_another_content_is_refused_and_told_and_the_next_address_tried(hub, isolated):
    files = made()
    hub.known(files)
    name = "train-images-idx3-ubyte.gz"
    hub.pages[f"/first/{name}"] = other = made(1)[name]
    with pytest.raises(data.DataNotFound) as error:
        read_fashion_mnist()
    md5, sha1 = hashlib.md5(other).hexdigest(), hashlib.sha1(other).hexdigest()
    assert f"/first/{name} (its digests {md5}, {sha1} are not among the known ones)" in str(error.value)
    assert os.listdir(isolated / "cache" / "gluonbook" / "fashion-mnist") == []
    for name, content in files.items():
        hub.pages[f"/second/{name}"] = content
    assert [corner(part) for part in read_fashion_mnist()] == [0, 0]


def test_the_error_says_which_file_goes_where_and_what_is_next_best(hub, home, isolated, monkeypatch):
    monkeypatch.setenv("GLUONBOOK_DATA", str(isolated / "environment"))
    with pytest.raises(data.DataNotFound) as error:
        load_data_fashion_mnist(4, root=str(isolated / "mine"))
    name = "train-images-idx3-ubyte.gz"
    file = "fashion-mnist/train-images-idx3-ubyte.gz"
    head, *looked, last = str(error.value).splitlines()
    assert head == f"the data set fashion_mnist ({file}) was found in none of these places:"
    assert looked[:5] == [
        f"  path: {isolated / 'mine' / name}",
        f"  another library's folder: {home.joinpath(*GLUON_PLACE) / name}",
        f"  $GLUONBOOK_DATA: {isolated / 'environment' / file}",
        f"  book's folder: ../data/{file}",
        f"  cache: {isolated / 'cache' / 'gluonbook' / file}",
    ]
    assert [line.split(" (404")[0] for line in looked[5:]] == [
        f"  download: {hub.root}/{place}/train-images-idx3-ubyte.gz" for place in ("first", "second")
    ]
    assert last == (
        "Put the file into one of these folders by hand, or use scikit-learn's digits (sklearn.datasets.load_digits), "
        "which needs no network"
    )


def test_the_next_best_set_exists():
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    assert (digits.images.shape, set(digits.target)) == ((1797, 8, 8), set(range(10)))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("train-images-idx3-ubyte.gz", as_idx(np.zeros((22, 28, 28))), r"got \(22, 28, 28\) uint8 and \(23,\)"),
        ("train-labels-idx1-ubyte.gz", as_idx(np.zeros((23, 1))), r"got \(23, 28, 28\) uint8 and \(23, 1\)"),
        ("train-images-idx3-ubyte.gz", as_idx(np.zeros((23, 784))), r"got \(23, 784\) uint8 and \(23,\)"),
        (
            "train-images-idx3-ubyte.gz",
            gzip.compress(b"\0\0\x09\3" + struct.pack(">III", 23, 1, 1) + bytes(23)),
            r"got \(23, 1, 1\) int8 and \(23,\)",
        ),
    ],
    ids=named,
)
def test_pictures_and_labels_that_do_not_belong_together_are_refused(root, name, content, told):
    (root / name).write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"^Fashion-MNIST's train part must be \(n, H, W\) uint8 pictures with n labels, {told}$"
    ):
        read_fashion_mnist()


def test_the_message_names_the_part(root):
    (root / "t10k-labels-idx1-ubyte.gz").write_bytes(as_idx(np.zeros(6)))
    with pytest.raises(ValueError, match=r"Fashion-MNIST's t10k part must .* got \(7, 28, 28\) uint8 and \(6,\)"):
        read_fashion_mnist()


def test_a_label_out_of_range_is_refused(root):
    (root / "t10k-labels-idx1-ubyte.gz").write_bytes(as_idx(np.array([0, 9, 1, 10, 2, 3, 4])))
    with pytest.raises(ValueError, match=r"^labels\[3\] must be from 0 to 9, got 10$"):
        load_data_fashion_mnist(4)


def test_a_damaged_file_is_told(root):
    file = root / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz is not a whole gzip file"):
        read_fashion_mnist()


# ---- batches ----


def gluons_batches(root, train, resize):
    """The original's: each picture transformed by itself, in the files' order."""
    part = read_fashion_mnist(root)[0 if train else 1]
    steps = [gluon.data.vision.transforms.Resize(resize)] if resize else []
    transform = gluon.data.vision.transforms.Compose([*steps, gluon.data.vision.transforms.ToTensor()])
    return [(transform(nd.array(x[..., None], dtype="uint8")).asnumpy(), y) for x, y in zip(part.images, part.labels)]


def collected(batches):
    rows = [(X.asnumpy(), y.asnumpy()) for X, y in batches]
    return np.concatenate([X for X, _ in rows]), np.concatenate([y for _, y in rows])


@pytest.mark.parametrize("resize", [None, 14, 40])
def test_pictures_are_those_of_gluons_transforms_one_by_one(root, resize):
    train_iter, test_iter = load_data_fashion_mnist(5, resize, root)
    X, y = collected(test_iter)
    expected = gluons_batches(root, False, resize)
    assert X.shape == (NUM_TEST, 1, resize or 28, resize or 28)
    np.testing.assert_array_equal(X, [x for x, _ in expected])
    np.testing.assert_array_equal(y, [label for _, label in expected])
    X, y = collected(train_iter)
    theirs = sorted((x.tobytes(), int(label)) for x, label in gluons_batches(root, True, resize))
    assert sorted((x.tobytes(), int(label)) for x, label in zip(X, y)) == theirs


@pytest.mark.parametrize("resize", [None, 30])
def test_shapes_dtypes_and_range(root, resize):
    side = resize or 28
    for batches, count in zip(load_data_fashion_mnist(5, resize), (NUM_TRAIN, NUM_TEST)):
        assert len(batches) == -(-count // 5)  # the last batch is kept
        for i, (X, y) in enumerate(batches):
            size = min(5, count - 5 * i)
            assert (X.shape, y.shape) == ((size, 1, side, side), (size,))
            assert (X.dtype, y.dtype) == (np.float32, np.int32)
            assert 0 <= X.min().asscalar() < 0.1
            assert 0.9 < X.max().asscalar() <= 1


def test_black_is_0_and_white_is_1(root):
    pictures = np.zeros((NUM_TEST, 28, 28))
    pictures[:, 1] = 255
    pictures[:, 2] = 51
    (root / "t10k-images-idx3-ubyte.gz").write_bytes(as_idx(pictures))
    _, test_iter = load_data_fashion_mnist(NUM_TEST)
    ((X, _),) = test_iter
    assert np.unique(X.asnumpy()).tolist() == [0, np.float32(51 / 255), 1]


def test_the_test_part_is_in_order_and_the_training_part_is_not(root):
    train_iter, test_iter = load_data_fashion_mnist(4)
    numbers = [(collected(batches)[0][:, 0, 0, 0] * 255).round().astype(int).tolist() for batches in [test_iter] * 2]
    assert numbers == [list(range(NUM_TEST))] * 2
    np.random.seed(0)
    orders = [(collected(train_iter)[0][:, 0, 0, 0] * 255).round().astype(int).tolist() for _ in range(3)]
    np.random.seed(0)
    again = [(collected(train_iter)[0][:, 0, 0, 0] * 255).round().astype(int).tolist() for _ in range(3)]
    assert orders == again
    assert len({tuple(order) for order in [*orders, range(NUM_TRAIN)]}) == 4
    assert all(sorted(order) == list(range(NUM_TRAIN)) for order in orders)


def test_labels_stay_with_their_pictures(root):
    train, _ = read_fashion_mnist()
    train_iter, _ = load_data_fashion_mnist(4)
    X, y = collected(train_iter)
    numbers = (X[:, 0, 0, 0] * 255).round().astype(int)
    np.testing.assert_array_equal(y, train.labels[numbers])


def test_batches_are_made_in_this_process_on_the_cpu(root):
    for batches in load_data_fashion_mnist(4):
        assert isinstance(batches, gluon.data.DataLoader)
        assert batches._num_workers == 0
        assert {(X.context, y.context) for X, y in batches} == {(mx.cpu(0), mx.cpu(0))}


def test_a_hybridized_net_learns_from_the_batches(root):
    """By heart: 23 pictures of noise. Seeds 0 to 2: the loss falls below 0.003 of what it was."""
    mx.random.seed(0)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(2, 3), gluon.nn.Dense(10))
    net.initialize()
    net.hybridize()
    trainer, losses = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.005}), []
    train_iter, _ = load_data_fashion_mnist(8)
    for _ in range(20):
        for X, y in train_iter:
            with autograd.record():
                loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y).mean()
            loss.backward()
            trainer.step(1)
            losses.append(loss.asscalar())
    assert np.mean(losses[-3:]) < 0.3 * np.mean(losses[:3])


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((0,), ValueError, "batch_size must be at least 1, got 0"),
        ((2.5,), TypeError, r"batch_size must be a whole number, got 2\.5 \(float\)"),
        ((4, 0), ValueError, "resize must be at least 1, got 0"),
        ((4, (28, 28)), TypeError, r"resize must be a whole number, got \(28, 28\) \(tuple\)"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_looked_for(hub, arguments, error, told):
    with pytest.raises(error, match=f"^{told}$"):
        load_data_fashion_mnist(*arguments)
    assert hub.asked == []


# ---- names ----

NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


def test_the_ten_names_in_order():
    assert get_fashion_mnist_labels(range(10)) == NAMES


@pytest.mark.parametrize(
    "labels",
    [
        [9, 0, 9],
        (9.0, 0.0, 9.0),
        iter([9, 0, 9]),
        np.array([9, 0, 9], np.uint8),
        np.array([9, 0, 9], np.float32),
    ],
)
def test_every_kind_of_number_names_a_class(labels):
    assert get_fashion_mnist_labels(labels) == ["ankle boot", "t-shirt", "ankle boot"]


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8", "int64"])
def test_mxnet_arrays_of_every_dtype_name_classes(dtype):
    assert get_fashion_mnist_labels(nd.array([1, 8], dtype=dtype)) == ["trouser", "bag"]


def test_no_labels_have_no_names():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get_fashion_mnist_labels([]) == []


@pytest.mark.parametrize(
    ("labels", "error", "told"),
    [
        ([0, 1, 10, 11], ValueError, r"labels\[2\] must be from 0 to 9, got 10"),
        ([-1], ValueError, r"labels\[0\] must be from 0 to 9, got -1"),
        (nd.array([3, -2]), ValueError, r"labels\[1\] must be from 0 to 9, got -2"),
        ([0.5], TypeError, "labels must hold whole numbers, got dtype float64"),
    ],
)
def test_what_is_no_class_is_refused(labels, error, told):
    with pytest.raises(error, match=told):
        get_fashion_mnist_labels(labels)
