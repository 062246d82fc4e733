"""Batches of a corpus for a recurrent network: adjacent ones, whose state is carried on, and random ones.

Letters: ``L`` length of the corpus, ``N`` batch size (rows), ``T`` steps.
"""

from collections.abc import Iterator
from typing import Any, Optional

import numpy as np

from gluonbook import _check


def batches_adjacent(corpus: Any, batch_size: int, num_steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut a corpus into batches whose rows continue each other.

    The corpus becomes ``batch_size`` long rows; batch ``k`` holds columns ``k*num_steps`` to ``(k+1)*num_steps`` of all
    of them, so the hidden state of one batch is the right start for the next (notes, section 14; Zaremba et al. 2014).

    Args:
        corpus: (L,) int, indices into the vocabulary.
        batch_size: N, rows, at least 1.
        num_steps: T, characters that a batch sees, at least 1.

    Returns:
        an iterator over the (L // N - 1) // T batches X, Y: (N, T) int32 each; ``Y[:, t]`` is the character after
        ``X[:, t]``.

    Raises:
        ValueError: the corpus is too short for one batch; the message gives both lengths.

    >>> [X[:, 0].tolist() for X, _ in batches_adjacent(range(30), batch_size=2, num_steps=6)]
    [[0, 15], [6, 21]]
    """
    num_steps = _check.integer("num_steps", num_steps, at_least=1)
    rows = _check.as_rows("corpus", corpus, batch_size, at_least=num_steps + 1)  # (N, L // N)
    return (
        (rows[:, start : start + num_steps], rows[:, start + 1 : start + num_steps + 1])  # (N, T)
        for start in range(0, rows.shape[1] - num_steps, num_steps)
    )


def batches_random(
    corpus: Any, batch_size: int, num_steps: int, seed: Optional[int] = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut a corpus into windows that do not overlap and deal them out in random order.

    Neighbouring rows have nothing to do with each other, so the hidden state starts anew with each batch (notes,
    section 14).

    Args:
        corpus: (L,) int, indices into the vocabulary.
        batch_size: N, windows in a batch, at least 1.
        num_steps: T, characters in a window, at least 1.
        seed: of the order, at least 0; None takes it from NumPy's global generator.

    Returns:
        an iterator over the (L - 1) // T // N batches X, Y: (N, T) int32 each; ``Y[:, t]`` is the character after
        ``X[:, t]``. Windows that do not fill a last batch are left out.

    Raises:
        ValueError: the corpus is too short for one batch; the message gives both lengths.

    >>> X, Y = next(batches_random(range(30), batch_size=2, num_steps=6, seed=1))
    >>> (Y - X).tolist() == [[1] * 6] * 2
    True
    """
    num_steps = _check.integer("num_steps", num_steps, at_least=1)
    batch_size = _check.integer("batch_size", batch_size, at_least=1)
    if seed is not None:
        seed = _check.integer("seed", seed, at_least=0)
    row = _check.indices("corpus", corpus)
    num_windows = (len(row) - 1) // num_steps
    if num_windows < batch_size:
        raise ValueError(
            f"corpus is too short for one batch: {batch_size} windows of {num_steps} and the character after need "
            f"{batch_size * num_steps + 1} tokens, got {len(row)}; take fewer rows or steps, or more text"
        )
    shuffle = np.random.shuffle if seed is None else np.random.default_rng(seed).shuffle
    starts = np.arange(num_windows) * num_steps
    shuffle(starts)
    starts = starts[: num_windows // batch_size * batch_size].reshape(-1, batch_size, 1)  # (batches, N, 1)
    columns = np.arange(num_steps)  # (T,)
    return ((row[first + columns], row[first + columns + 1]) for first in starts)  # (N, T)
