"""Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): 28x28 grey pictures of ten kinds of clothes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from gluonbook import _check, _files
from gluonbook._mxnet import gluon, nd
from gluonbook.data.fetch import Dataset, find
from gluonbook.data.idx import read_idx

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
GLUON_FOLDER = "~/.mxnet/datasets/fashion-mnist"  # where Gluon's own data set keeps its files
INSTEAD = "scikit-learn's digits (sklearn.datasets.load_digits)"


class FashionMNIST(NamedTuple):
    """One part of the set."""

    images: np.ndarray  # (n, H, W) uint8, 0 black
    labels: np.ndarray  # (n,) int32, indices into CLASSES


def read_fashion_mnist(path: Optional[_files.PathLike] = None) -> tuple[FashionMNIST, FashionMNIST]:
    """Read Fashion-MNIST, found on this machine or downloaded (31 MB).

    Args:
        path: a folder that holds its four ``.gz`` files, looked at first; then come the folder of Gluon's own data set
            and the places where every data set is looked for.

    Returns:
        the training part, 60,000 pictures, and the test part, 10,000.

    Raises:
        DataNotFound: a file is nowhere and cannot be downloaded; the message says which file goes where.
        ValueError: a file is damaged, or pictures and labels do not belong together.

    >>> train, test = read_fashion_mnist()  # doctest: +SKIP
    >>> train.images.shape, test.labels.shape  # doctest: +SKIP
    ((60000, 28, 28), (10000,))
    """
    train, test = (_read_part(split, path) for split in ("train", "t10k"))
    return train, test


def load_data_fashion_mnist(batch_size: int, resize: Optional[int] = None, root: str = GLUON_FOLDER) -> tuple[Any, Any]:
    """Load Fashion-MNIST in batches.

    Pictures are resized and converted a whole batch at a time in this process: that is faster than worker processes
    that do it one by one.

    Args:
        batch_size: N, at least 1.
        resize: side in pixels; None keeps 28.
        root: a folder that holds its four ``.gz`` files; where it does not, ``read_fashion_mnist`` says what is tried.

    Returns:
        ``gluon.data.DataLoader`` of the training part, shuffled, and of the test part, in order. Each gives X
        (N, 1, H, W) float32 from 0 to 1 and y (N,) int32; the last batch may be smaller.

    Raises:
        DataNotFound, ValueError: as ``read_fashion_mnist``, or an argument is out of range.

    >>> train_iter, test_iter = load_data_fashion_mnist(256, resize=96)  # doctest: +SKIP
    >>> for X, y in train_iter: print(X.shape, y.dtype); break  # doctest: +SKIP
    (256, 1, 96, 96) <class 'numpy.int32'>
    """
    _check.integer("batch_size", batch_size, at_least=1)
    if resize is not None:
        _check.integer("resize", resize, at_least=1)
    train, test = read_fashion_mnist(root)
    return _loader(train, batch_size, resize, shuffle=True), _loader(test, batch_size, resize, shuffle=False)


def get_fashion_mnist_labels(labels: Iterable[Any]) -> list[str]:
    """Return the English name of each class.

    Args:
        labels: (n,) whole numbers from 0 to 9, of any numeric type.

    Returns:
        n names.

    Raises:
        ValueError: a label is no class; the message gives its position.

    >>> get_fashion_mnist_labels([9, 2.0])
    ['ankle boot', 'pullover']
    """
    values = labels.asnumpy() if hasattr(labels, "asnumpy") else [float(label) for label in labels]
    return [CLASSES[i] for i in _check.indices("labels", np.ravel(values), below=len(CLASSES))]


def _loader(part: FashionMNIST, batch_size: int, resize: Optional[int], shuffle: bool) -> Any:
    images = part.images[..., None]  # (n, 28, 28, 1)

    def batch(indices: list[int]) -> tuple[Any, Any]:
        X = nd.array(images[indices], dtype="uint8")  # (N, 28, 28, 1)
        if resize is not None:
            X = nd.image.resize(X, (resize, resize))
        return nd.image.to_tensor(X), nd.array(part.labels[indices], dtype="int32")  # (N, 1, H, W), (N,)

    numbers = gluon.data.SimpleDataset(range(len(images)))
    return gluon.data.DataLoader(numbers, batch_size, shuffle=shuffle, batchify_fn=batch)


def _read_part(split: str, path: Optional[_files.PathLike]) -> FashionMNIST:
    images, labels = (read_idx(_find(f"{split}-{kind}-ubyte.gz", path)) for kind in ("images-idx3", "labels-idx1"))
    if images.ndim != 3 or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"Fashion-MNIST's {split} part must be (n, H, W) uint8 pictures with n labels, got {images.shape} "
            f"{images.dtype} and {labels.shape}"
        )
    return FashionMNIST(images, _check.indices("labels", labels, below=len(CLASSES)))


def _find(filename: str, path: Optional[_files.PathLike]) -> Path:
    own = None if path is None or str(path) == GLUON_FOLDER else Path(path) / filename
    return find(_DATASETS[filename], own)


def _known(filename: str) -> Any:
    """Return a check of a download: the set is published in two compressions, each with digests of its own."""

    def check(path: Path) -> None:
        content = path.read_bytes()
        digests = {hashlib.sha1(content).hexdigest(), hashlib.md5(content).hexdigest()}
        if not digests & set(DIGESTS[filename]):
            raise ValueError(f"its digests {', '.join(sorted(digests, key=len))} are not among the known ones")

    return check


ADDRESSES = (
    "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/dataset/fashion-mnist/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)
DIGESTS = {  # SHA-1 of Gluon's files, MD5 of Zalando's
    "train-images-idx3-ubyte.gz": ("0cf37b0d40ed5169c6b3aba31069a9770ac9043d", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "train-labels-idx1-ubyte.gz": ("236021d52f1e40852b06a4c3008d8de8aef1e40b", "25c81989df183df01b3e8a0aad5dffbe"),
    "t10k-images-idx3-ubyte.gz": ("626ed6a7c06dd17c0eec72fa3be1740f146a2863", "bef4ecab320f06d8554ea6380940ec79"),
    "t10k-labels-idx1-ubyte.gz": ("17f9ab60e7257a1620f4ad76bbbaf857c3920701", "bb300cfdad3c16e7a12a480ee83cd310"),
}
_DATASETS = {
    name: Dataset(
        "fashion_mnist",
        f"fashion-mnist/{name}",
        tuple(url + name for url in ADDRESSES),
        None,
        INSTEAD,
        _known(name),
        f"{GLUON_FOLDER}/{name}",
    )
    for name in DIGESTS
}
