"""Small labelled pictures for the chapters: scikit-learn's digits, offline, or Fashion-MNIST."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Union

import numpy as np

from gluonbook import _check
from gluonbook._mxnet import nd
from gluonbook.data.fashion_mnist import CLASSES, read_fashion_mnist

NAMES = ("digits", "fashion_mnist")
NUM_VALID, NUM_TEST = 300, 300  # of the 1,797 digits
NUM_VALID_FASHION = 10_000  # of its 60,000 training pictures


class LabelledPictures(NamedTuple):
    """One split of a set.

    Attributes:
        images: (n, C, H, W) float32, from 0 to 1.
        labels: (n,) int32, indices into the classes.
        classes: K names.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def subset(self, rows: Union[Sequence[int], slice, np.ndarray]) -> "LabelledPictures":
        """Return the split of some of its pictures: their numbers, a slice, or a mask."""
        if not isinstance(rows, slice):
            rows = np.asarray(rows) if len(rows) else np.zeros(0, int)
        return LabelledPictures(self.images[rows], self.labels[rows], self.classes)

    def of_classes(self, kinds: Sequence[int]) -> "LabelledPictures":
        """Return the pictures of some classes alone, which are numbered anew in the order given.

        Raises:
            ValueError: one is no class of the set, or given twice.
        """
        chosen = _check.indices("kinds", kinds, below=len(self.classes)).tolist()
        if len(set(chosen)) < len(chosen):
            raise ValueError(f"kinds must be different classes, got {chosen}")
        rows = np.flatnonzero(np.isin(self.labels, chosen))
        labels = np.array([chosen.index(label) for label in self.labels[rows]], np.int32)
        return LabelledPictures(self.images[rows], labels, tuple(self.classes[kind] for kind in chosen))


class Splits(NamedTuple):
    """A set in three parts: to learn from, to choose by, to report on."""

    train: LabelledPictures
    valid: LabelledPictures
    test: LabelledPictures


class Batches:
    """Batches of a split that can be gone through again and again, each time in another order.

    Args:
        pictures: a split.
        batch_size: N, at least 1; the last batch may be smaller.
        seed: of the orders; None keeps the split's own order.

    Iterating gives X, nd (N, C, H, W) float32, and y, nd (N,) int32, on the CPU.
    """

    def __init__(self, pictures: LabelledPictures, batch_size: int, seed: Any = None) -> None:
        self.pictures, self.batch_size = pictures, _check.integer("batch_size", batch_size, at_least=1)
        self._rng = None if seed is None else np.random.default_rng(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.pictures.labels) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        count = len(self.pictures.labels)
        order = np.arange(count) if self._rng is None else self._rng.permutation(count)
        for start in range(0, count, self.batch_size):
            chosen = self.pictures.subset(order[start : start + self.batch_size])
            yield nd.array(chosen.images, dtype="float32"), nd.array(chosen.labels, dtype="int32")


def read_classes(name: str = "digits", seed: int = 0) -> Splits:
    """Read a set of small labelled pictures in three splits.

    Args:
        name: ``"digits"``: scikit-learn's 1,797 handwritten digits, 8x8, of which 300 are for validation and 300 for
            the test; or ``"fashion_mnist"``, found or downloaded, 28x28, of whose training part 10,000 are for
            validation.
        seed: of the split.

    Returns:
        Splits.

    Raises:
        ValueError: the name is another.
        DataNotFound: Fashion-MNIST is nowhere and cannot be downloaded.

    >>> splits = read_classes()
    >>> splits.train.images.shape, splits.valid.labels.shape, splits.test.classes[:3]
    ((1197, 1, 8, 8), (300,), ('0', '1', '2'))
    """
    rng = np.random.default_rng(_check.integer("seed", seed, at_least=0))
    if _check.choice("name", name, NAMES) == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        images = (found.images[:, None] / 16).astype(np.float32)
        whole = LabelledPictures(images, found.target.astype(np.int32), tuple("0123456789"))
        valid, test, train = np.split(rng.permutation(len(images)), [NUM_VALID, NUM_VALID + NUM_TEST])
        return Splits(*(whole.subset(rows) for rows in (train, valid, test)))
    train_part, test_part = (
        LabelledPictures(part.images[:, None].astype(np.float32) / 255, part.labels, CLASSES)
        for part in read_fashion_mnist()
    )
    order = rng.permutation(len(train_part.labels))
    num_valid = min(NUM_VALID_FASHION, len(order) // 6)
    return Splits(train_part.subset(order[num_valid:]), train_part.subset(order[:num_valid]), test_part)
