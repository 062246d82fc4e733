"""The vocabulary: tokens (characters or words) to indices and back, in the same order in every process."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gluonbook import _check

UNKNOWN = "<unk>"
MOST_SHOWN = 12


class Vocabulary:
    """The distinct tokens of a corpus, the most frequent first, and their indices.

    Tokens of equal count stand in the order of their code points, so the order depends on the corpus alone.

    Args:
        tokens: the corpus, a str (its characters are the tokens) or a sequence of str.
        min_count: tokens that occur less often become ``<unk>``, which then has index 0; at least 1. With 1 every token
            is kept and there is no ``<unk>``.

    Raises:
        ValueError: the corpus is empty, or has no token that often.

    >>> vocabulary = Vocabulary("分开不分开")
    >>> vocabulary.tokens, vocabulary.encode("不分").tolist(), vocabulary.decode([1, 0])
    (['分', '开', '不'], [2, 0], '开分')
    """

    def __init__(self, tokens: Iterable[str], min_count: int = 1) -> None:
        min_count = _check.integer("min_count", min_count, at_least=1)
        counts = Counter(tokens)
        if not counts:
            raise ValueError("a vocabulary needs at least one token, got an empty corpus")
        kept = sorted(
            (token for token in counts if counts[token] >= min_count), key=lambda token: (-counts[token], token)
        )
        if not kept:
            raise ValueError(
                f"min_count must be at most {max(counts.values())}, the most frequent token's count; got {min_count}"
            )
        self._set_tokens(([UNKNOWN] if min_count > 1 else []) + kept)

    @classmethod
    def from_tokens(cls, tokens: Sequence[str]) -> "Vocabulary":
        """Build the vocabulary whose token ``i`` is ``tokens[i]``, as a saved model has it.

        Raises:
            ValueError: there is none, or one stands there twice.
        """
        vocabulary = cls.__new__(cls)
        vocabulary._set_tokens(list(tokens))
        return vocabulary

    def _set_tokens(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self._index = {token: i for i, token in enumerate(tokens)}
        if not tokens or len(self._index) < len(tokens):
            twice = [token for token, count in Counter(tokens).items() if count > 1]
            raise ValueError(
                f"a vocabulary's tokens must be distinct and at least one, got {len(tokens)}, twice: {twice}"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._index

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens{', with ' + UNKNOWN if UNKNOWN in self else ''})"

    def encode(self, tokens: Sequence[str]) -> np.ndarray:
        """Return the index of each token, (L,) int32; ``<unk>`` stands in for unknown ones where there is one.

        Raises:
            ValueError: tokens are unknown and there is no ``<unk>``; the message names them and their positions.
        """
        unknown = self._index.get(UNKNOWN, -1)
        indices = np.array([self._index.get(token, unknown) for token in tokens], dtype=np.int32)
        if (indices < 0).any():
            raise ValueError(
                f"not in the vocabulary of {len(self)} tokens: {describe_positions(self.unknown(tokens))}; "
                f"leave them out, or train with min_count=2 (--min-count 2), which gives the vocabulary an {UNKNOWN}"
            )
        return indices

    def unknown(self, tokens: Sequence[str]) -> dict[str, list[int]]:
        """Return the tokens that the vocabulary lacks, each with its positions, in the order of appearance."""
        positions: dict[str, list[int]] = {}
        for position, token in enumerate(tokens):
            if token not in self._index:
                positions.setdefault(token, []).append(position)
        return positions

    def decode(self, indices: Any) -> str:
        """Return the text of (L,) indices.

        Raises:
            ValueError: an index is out of range.
        """
        return "".join(self.tokens[i] for i in _check.indices("indices", indices, below=len(self)))


def describe_positions(unknown: dict[str, list[int]]) -> str:
    """Name each unknown token with its positions, all of them: ``'鳌' at 3, 17``; long lists of positions are cut."""
    parts = []
    for token, positions in unknown.items():
        shown = ", ".join(map(str, positions[:MOST_SHOWN]))
        more = f" and {len(positions) - MOST_SHOWN} more" if len(positions) > MOST_SHOWN else ""
        parts.append(f"{token!r} at {shown}{more}")
    return "; ".join(parts)
