"""Batches to train a detector on: augmented pictures with padded labels, each prepared while the one before is used."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from gluonbook.data.detection import DetectionSet
from gluonbook.detection.targets import PADDING


class Batch(NamedTuple):
    """N pictures as the network takes them, (N, 3, H, W) float32, and their labels, (N, M, 5), padded with −1."""

    X: np.ndarray
    labels: np.ndarray


def epoch_batches(
    data: DetectionSet,
    size: int,
    batch_size: int,
    seed: int,
    epoch: int,
    network: str = "tiny",
    rows: slice = slice(None),
) -> Iterator[Batch]:
    """Yield an epoch's batches, each prepared while the one before it is in use.

    Args:
        data: the training set; difficult objects are left out.
        size: pixels of a side.
        batch_size: N; of fewer pictures, all are one batch.
        seed, epoch: each picture's random numbers come from these and its own number.
        network: for which they are.
        rows: which pictures of each batch are prepared: a worker's share.

    Yields:
        Batch.
    """
    from gluonbook.detection.families import family

    kind = family(network)
    order = np.random.default_rng([seed, epoch]).permutation(len(data))
    count = max(len(data) // batch_size, 1)

    def prepare(number: int) -> Batch:
        chosen = order[number * batch_size : (number + 1) * batch_size][rows]
        pairs = [pair(int(i)) for i in chosen]
        return Batch(kind.as_input([picture for picture, _ in pairs]), pad_labels([labels for _, labels in pairs]))

    def pair(i: int) -> tuple[np.ndarray, np.ndarray]:
        labels = data.labels[i][~data.difficult[i]]
        return kind.prepare(data.picture(i), labels, np.random.default_rng([seed, epoch, i]), size)

    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(prepare, 0)
        for number in range(count):
            batch = coming.result()
            if number + 1 < count:
                coming = worker.submit(prepare, number + 1)
            yield batch


def pad_labels(labels: Sequence[np.ndarray]) -> np.ndarray:
    """Return labels (N, M, 5) of N pictures; those with fewer than M objects end in rows of −1.

    >>> pad_labels([np.array([[0, 0, 0, 1, 1.0]]), np.zeros((0, 5))])[:, :, 0].tolist()
    [[0.0], [-1.0]]
    """
    padded = np.full((len(labels), max(map(len, labels)), 5), PADDING, np.float32)
    for row, objects in zip(padded, labels):
        row[: len(objects)] = objects
    return padded
