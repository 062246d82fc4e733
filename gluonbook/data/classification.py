"""Labelled pictures in three splits, and batches of them: digits, offline; Fashion-MNIST; a folder of one's own."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Union

import numpy as np

from gluonbook import _check, _files
from gluonbook._mxnet import nd
from gluonbook.data.fashion_mnist import CLASSES, read_fashion_mnist
from gluonbook.data.pictures import resize

NAMES = ("digits", "fashion_mnist")
NUM_VALID, NUM_TEST = 300, 300  # of the 1,797 digits
NUM_VALID_FASHION = 10_000  # of its 60,000 training pictures
FOLDER_SIZE = 64  # pixels of a folder's pictures, where no size is given


class LabelledPictures(NamedTuple):
    """One split of a set.

    Attributes:
        images: (n, C, H, W), float32 from 0 to 1, or uint8 from 0 to 255, which takes a quarter of the memory; what
            goes through ``Batches`` or ``scaled`` is float32 from 0 to 1 in either case.
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
        augment: called as ``augment(X, rng)`` with each batch and the generator that the seed began; it returns N
            pictures, nd (N, …), in the same order. For example ``functools.partial(distort, degrees=15)``. None leaves
            the pictures as they are.

    Iterating gives X, nd (N, C, H, W) float32 from 0 to 1, and y, nd (N,) int32, on the CPU.

    Raises:
        TypeError: batch_size is no whole number, or augment can not be called.
        ValueError: batch_size is out of range, or augment is given without a seed; while iterating: augment returned
            something else than N pictures.

    >>> rows = read_classes().train.subset(range(5))
    >>> [X.shape for X, y in Batches(rows, 2, seed=0, augment=lambda X, rng: X * rng.uniform())]
    [(2, 1, 8, 8), (2, 1, 8, 8), (1, 1, 8, 8)]
    """

    def __init__(
        self,
        pictures: LabelledPictures,
        batch_size: int,
        seed: Any = None,
        augment: Optional[Callable[[Any, np.random.Generator], Any]] = None,
    ) -> None:
        self.pictures, self.batch_size = pictures, _check.integer("batch_size", batch_size, at_least=1)
        if augment is not None and not callable(augment):
            raise TypeError(f"augment must be a function of X and rng, got {augment!r} ({type(augment).__name__})")
        if augment is not None and seed is None:
            raise ValueError("augment needs a seed, from which its random numbers come, got seed=None")
        self.augment = augment
        self._rng = None if seed is None else np.random.default_rng(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.pictures.labels) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        count = len(self.pictures.labels)
        order = np.arange(count) if self._rng is None else self._rng.permutation(count)
        for start in range(0, count, self.batch_size):
            chosen = self.pictures.subset(order[start : start + self.batch_size])
            yield self._augmented(nd.array(scaled(chosen.images))), nd.array(chosen.labels, dtype="int32")

    def _augmented(self, X: Any) -> Any:
        if self.augment is None:
            return X
        changed = self.augment(X, self._rng)  # type: ignore[arg-type]  # with augment there is a seed
        if not isinstance(changed, nd.NDArray) or changed.shape[:1] != X.shape[:1]:
            got = f"shape {changed.shape}" if isinstance(changed, nd.NDArray) else type(changed).__name__
            raise ValueError(f"augment must return an nd array of {len(X)} pictures, got {got}")
        return changed


def scaled(images: np.ndarray) -> np.ndarray:
    """Return pictures as float32; uint8 ones are divided by 255.

    Args:
        images: (n, C, H, W), uint8 from 0 to 255, or floats, which keep their values.

    Returns:
        (n, C, H, W) float32; float32 itself comes back uncopied.

    >>> scaled(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images.astype(np.float32, copy=False)


def read_classes(name: _files.PathLike = "digits", seed: int = 0, size: Optional[int] = None) -> Splits:
    """Read a set of small labelled pictures in three splits.

    Args:
        name: ``"digits"``: scikit-learn's 1,797 handwritten digits, 8x8, of which 300 are for validation and 300 for
            the test; ``"fashion_mnist"``, found or downloaded, 28x28, of whose training part 10,000 are for
            validation; or the path of a folder with a sub-folder of pictures for each class, as ``image_folder`` reads
            it.
        seed: of the split.
        size: the pictures' side in pixels; None keeps digits and clothes as they are and gives a folder's pictures 64.
            They are enlarged bilinearly, or reduced to the means of the areas.

    Returns:
        Splits; digits and clothes are (n, 1, H, W) float32, a folder's pictures (n, 3, H, W) uint8.

    Raises:
        ValueError: the name is another, or an argument is out of range; or as ``image_folder``.
        FileNotFoundError: a folder is not there.
        DataNotFound: Fashion-MNIST is nowhere and cannot be downloaded.
        MemoryError: pictures of that size need more memory than is free.

    >>> splits = read_classes()
    >>> splits.train.images.shape, splits.valid.labels.shape, splits.test.classes[:3]
    ((1197, 1, 8, 8), (300,), ('0', '1', '2'))
    """
    from gluonbook.data.folders import image_folder  # which itself needs this module

    _check.integer("seed", seed, at_least=0)
    if size is not None:
        _check.integer("size", size, at_least=1)
    if _is_path(name):
        return image_folder(name, FOLDER_SIZE if size is None else size, seed)
    rng = np.random.default_rng(seed)
    splits = _digits(rng) if _check.choice("name", name, NAMES) == "digits" else _clothes(rng)
    return splits if size is None else _resized(splits, size)


def _is_path(name: Any) -> bool:
    """Tell a folder's path, there or not, from the name of a set."""
    if not isinstance(name, str):
        return isinstance(name, os.PathLike)
    return name not in ("", *NAMES) and (Path(name).expanduser().exists() or Path(name).name != name)


def _digits(rng: np.random.Generator) -> Splits:
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images[:, None] / 16).astype(np.float32)
    whole = LabelledPictures(images, found.target.astype(np.int32), tuple("0123456789"))
    valid, test, train = np.split(rng.permutation(len(images)), [NUM_VALID, NUM_VALID + NUM_TEST])
    return Splits(*(whole.subset(rows) for rows in (train, valid, test)))


def _clothes(rng: np.random.Generator) -> Splits:
    train_part, test_part = (
        LabelledPictures(part.images[:, None].astype(np.float32) / 255, part.labels, CLASSES)
        for part in read_fashion_mnist()
    )
    order = rng.permutation(len(train_part.labels))
    num_valid = min(NUM_VALID_FASHION, len(order) // 6)
    return Splits(train_part.subset(order[num_valid:]), train_part.subset(order[:num_valid]), test_part)


def _resized(splits: Splits, size: int) -> Splits:
    from gluonbook.data.folders import check_memory

    count = sum(len(split.labels) for split in splits)
    check_memory(4 * count * size**2, f"{count} pictures of {size}x{size}")

    def images(split: LabelledPictures) -> np.ndarray:
        larger = np.empty((len(split.images), 1, size, size), np.float32)
        for out, image in zip(larger, split.images):
            out[0] = resize(image[0], size)
        return larger

    return Splits(*(split._replace(images=images(split)) for split in splits))
