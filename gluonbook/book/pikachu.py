"""The book's detection set in MXNet's iterators."""

from typing import Any

from gluonbook import _check, _files
from gluonbook._mxnet import mx
from gluonbook.data import detection, records

LEAST_COVERED, MAX_ATTEMPTS = 0.95, 200  # of the random crops


def load_data_pikachu(batch_size: int, edge_size: int = 256) -> tuple[Any, Any]:
    """Load the pikachu set in batches, found on this machine or downloaded (103 MB).

    Args:
        batch_size: N, at least 1.
        edge_size: of the pictures, in pixels, at least 1.

    Returns:
        two ``mx.image.ImageDetIter``, of the training part, shuffled and randomly cropped, and of the validation part.
        Each gives data, nd (N, 3, H, W) float32 from 0 to 255, and labels, nd (N, 1, 5): (class, xmin, ymin, xmax,
        ymax), corners as fractions.

    Raises:
        DataNotFound: a file is nowhere and cannot be downloaded; the message says which file goes where.
        ValueError: an argument is out of range; or a label is wrong, with picture, row and value.

    >>> train_iter, val_iter = load_data_pikachu(32)  # doctest: +SKIP
    >>> batch = train_iter.next()  # doctest: +SKIP
    >>> batch.data[0].shape, batch.label[0].shape  # doctest: +SKIP
    ((32, 3, 256, 256), (32, 1, 5))
    """
    _check.integer("batch_size", batch_size, at_least=1)
    shape = (3, edge_size, _check.integer("edge_size", edge_size, at_least=1))
    for part in detection.pikachu():
        detection.check_set(part)
        if not len(part):
            raise ValueError("the pikachu set must hold pictures in both parts, one has none")
        for i, labels in enumerate(part.labels):  # MXNet's iterators would stop without saying where
            if not len(labels):
                raise ValueError(f"picture {part.name(i)} must have an object, it has none")
    train, val = detection.pikachu_files()
    index = records.write_index(train, _files.cache_folder() / "pikachu" / "train.idx")
    train_iter = mx.image.ImageDetIter(
        batch_size, shape, path_imgrec=str(train), path_imgidx=str(index), shuffle=True, rand_crop=1,
        min_object_covered=LEAST_COVERED, max_attempts=MAX_ATTEMPTS,
    )  # fmt: skip
    return train_iter, mx.image.ImageDetIter(batch_size, shape, path_imgrec=str(val), shuffle=False)
