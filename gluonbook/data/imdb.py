"""IMDB's film reviews (Maas et al. 2011): 25,000 to train on and as many to test on, half of each positive."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gluonbook import _check, _files
from gluonbook._mxnet import mx, nd
from gluonbook.data.fetch import Dataset, find_folder

FOLDER = "aclImdb"
MAX_LENGTH = 500  # tokens of a review that are kept
MIN_FREQ = 5
IMDB = Dataset(
    "imdb",
    "aclImdb_v1.tar.gz",
    (
        "http://d2l-data.s3-accelerate.amazonaws.com/aclImdb_v1.tar.gz",
        "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    ),
    "sha1:01ada507287d82875905620988597833ad4e0903",
    None,
)


def download_imdb(data_dir: _files.PathLike = "../data") -> None:
    """Make sure that ``data_dir/aclImdb`` is there: found, unpacked from the archive, or downloaded (84 MB).

    Args:
        data_dir: where; made if missing. An archive in it, ``aclImdb_v1.tar.gz``, is used.

    Raises:
        DataNotFound: the archive is nowhere and cannot be downloaded; the message says where to put it.
        ValueError: the archive is damaged.

    >>> download_imdb()  # doctest: +SKIP
    """
    find_folder(IMDB, FOLDER, data_dir)


def read_imdb(folder: str = "train") -> list[list[Any]]:
    """Read the reviews of one part, in random order (Python's ``random``).

    Args:
        folder: ``"train"`` or ``"test"``.

    Returns:
        n pairs ``[text, label]``: text in lower case without newlines, label 1 for positive, 0 for negative.

    Raises:
        DataNotFound: the set is nowhere and cannot be downloaded.
        ValueError: the folder is another, or a part of it is missing or empty, or a file is not UTF-8.

    >>> data = read_imdb("test")  # doctest: +SKIP
    >>> len(data), sum(label for _, label in data)  # doctest: +SKIP
    (25000, 12500)
    """
    _check.choice("folder", folder, ("train", "test"))
    part = find_folder(IMDB, FOLDER) / folder
    data = [[text, label] for name, label in (("pos", 1), ("neg", 0)) for text in _read_reviews(part / name)]
    random.shuffle(data)
    return data


def get_tokenized_imdb(data: Iterable[Sequence[Any]]) -> list[list[str]]:
    """Split each review at single spaces, in lower case; two spaces give an empty token between them.

    Args:
        data: n pairs (text, label).

    Returns:
        n lists of tokens.

    >>> get_tokenized_imdb([["A fine film", 1]])
    [['a', 'fine', 'film']]
    """
    return [[token.lower() for token in text.split(" ")] for text, _ in data]


def count_tokens(samples: Iterable[Iterable[str]]) -> "Counter[str]":
    """Count the tokens of all samples.

    Args:
        samples: sequences of tokens.

    Returns:
        collections.Counter.

    >>> count_tokens([["so", "so"], ["good"]])
    Counter({'so': 2, 'good': 1})
    """
    return Counter(token for sample in samples for token in sample)


def get_vocab_imdb(data: Iterable[Sequence[Any]]) -> Any:
    """Make the vocabulary of the tokens that occur at least five times.

    Args:
        data: n pairs (text, label).

    Returns:
        mxnet.contrib.text.vocab.Vocabulary: index 0 is the unknown token, then the most frequent first.

    >>> vocab = get_vocab_imdb([["good good good good good film", 1]])
    >>> vocab.idx_to_token, vocab.to_indices(["good", "film"])
    (['<unk>', 'good'], [1, 0])
    """
    return mx.contrib.text.vocab.Vocabulary(count_tokens(get_tokenized_imdb(data)), min_freq=MIN_FREQ)


def preprocess_imdb(data: Sequence[Sequence[Any]], vocab: Any) -> tuple[Any, Any]:
    """Turn reviews into indices, each cut or filled with zeros to 500.

    Args:
        data: n pairs (text, label), n at least 1.
        vocab: from ``get_vocab_imdb``, or any with ``to_indices``.

    Returns:
        features (n, 500) and labels (n,), nd float32.

    Raises:
        ValueError: there are no reviews.

    >>> data = [["good good good good good film", 1]]
    >>> features, labels = preprocess_imdb(data, get_vocab_imdb(data))
    >>> features.shape, features[0, :7].asnumpy().tolist()
    ((1, 500), [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    """
    if not len(data):
        raise ValueError("data must hold at least one review, got none")
    rows = [vocab.to_indices(tokens)[:MAX_LENGTH] for tokens in get_tokenized_imdb(data)]
    features = nd.array([row + [0] * (MAX_LENGTH - len(row)) for row in rows])  # (n, 500)
    return features, nd.array([label for _, label in data])


def _read_reviews(folder: Path) -> list[str]:
    paths = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    if not paths:
        raise ValueError(f"{folder} holds no reviews (*.txt): unpack {IMDB.filename} again")
    return [_read_review(path) for path in paths]


def _read_review(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8").replace("\n", "").lower()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start}") from None
