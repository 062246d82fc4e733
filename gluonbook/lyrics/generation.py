"""Generation: from prefixes to text, with the weights as NumPy arrays and no MXNet call per token.

Letters: ``B`` prefixes, ``V`` vocabulary, ``H`` hidden, ``G`` gates times H.
"""

from collections.abc import Iterator, Sequence
from typing import Optional, Union

import numpy as np

from gluonbook import _check
from gluonbook.lyrics import cells
from gluonbook.lyrics.saved import TrainedModel
from gluonbook.lyrics.tokens import tokenize
from gluonbook.lyrics.vocabulary import UNKNOWN

LAYER = "layers.{}._unfused.0.{}"  # MXNet's name for a parameter of a fused layer


class Stepper:
    """A model that reads one token a row and gives the logits of the next, in NumPy.

    The first layer's input product is done once for the whole vocabulary, so an input costs one row look-up.

    Args:
        weights: as in ``TrainedModel``.
        cell: as in ``LanguageModel``.
        batch_size: B, rows.
    """

    def __init__(self, weights: dict[str, np.ndarray], cell: str, batch_size: int) -> None:
        self.step = cells.STEPS[_check.choice("cell", cell, cells.STEPS)]
        self.layers: list[list[np.ndarray]] = []
        while LAYER.format(len(self.layers), "i2h_weight") in weights:
            names = [
                LAYER.format(len(self.layers), part) for part in ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias")
            ]
            self.layers.append([np.ascontiguousarray(weights[name].T) for name in names])
        W_i, _, b_i, _ = self.layers[0]  # (E or V, G)
        embedding = weights.get("embedding.weight")
        self.table = (W_i if embedding is None else embedding @ W_i) + b_i  # (V, G)
        self.W_dense = np.ascontiguousarray(weights["dense.weight"].T)  # (H, V)
        self.b_dense = weights["dense.bias"]
        zeros = np.zeros((batch_size, self.W_dense.shape[0]), np.float32)  # (B, H)
        self.states: list[cells.State] = [(zeros, zeros) if cell == "lstm" else (zeros,) for _ in self.layers]

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """Read the tokens (B,) int and return the logits of the next ones, (B, V) float32."""
        x = self.table[tokens]  # (B, G)
        for i, (_, W_h, _, b_h) in enumerate(self.layers):
            if i:
                W_i, _, b_i, _ = self.layers[i]
                x = self.states[i - 1][0] @ W_i + b_i  # (B, G)
            self.states[i] = self.step(x, self.states[i], W_h, b_h)
        return self.states[-1][0] @ self.W_dense + self.b_dense  # (B, V)


def choose(
    logits: np.ndarray,
    uniform: np.ndarray,
    temperature: float = 1.0,
    top_k: Optional[int] = None,
    top_p: Optional[float] = None,
) -> np.ndarray:
    """Choose a token for each row of logits.

    Args:
        logits: (B, V) float.
        uniform: (B,) numbers from 0 to below 1 that decide; equal numbers choose equal tokens.
        temperature: divides the logits, at least 0; 0 chooses the most probable token (the first of equals).
        top_k: only the k most probable tokens may be chosen (Fan et al. 2018), and those that tie with the k-th.
        top_p: only the fewest tokens may be chosen whose probabilities sum to at least p (Holtzman et al. 2020),
            among those that top_k leaves.

    Returns:
        (B,) int.
    """
    if temperature == 0:
        return logits.argmax(axis=1)
    scaled = (logits - logits.max(axis=1, keepdims=True)).astype(np.float64) / temperature
    if top_k is not None and top_k < scaled.shape[1]:
        kth = np.partition(scaled, -top_k, axis=1)[:, -top_k, None]
        scaled[scaled < kth] = -np.inf
    p = np.exp(scaled)
    if top_p is not None:
        order = np.argsort(-p, axis=1, kind="stable")
        ranked = np.take_along_axis(p, order, axis=1)
        before = np.cumsum(ranked, axis=1) - ranked  # the mass of all more probable tokens
        ranked[before >= top_p * ranked.sum(axis=1, keepdims=True)] = 0
        np.put_along_axis(p, order, ranked, axis=1)
    mass = np.cumsum(p, axis=1)  # (B, V)
    total = mass[:, -1:]
    # The first token whose mass passes the mark; the mark stays below the total even where the product rounds up.
    return (mass > np.minimum(uniform[:, None] * total, np.nextafter(total, 0))).argmax(axis=1)


def stream(
    model: TrainedModel,
    prefixes: Sequence[str],
    length: int = 50,
    temperature: float = 0.8,
    top_k: Optional[int] = None,
    top_p: Optional[float] = None,
    seed: Optional[int] = None,
) -> Iterator[list[Optional[str]]]:
    """Write on from several prefixes at once, token by token.

    While a prefix lasts its next token is fed, then the chosen one (notes, section 14). Row b draws from its own random
    numbers, made from the seed and b, so its text does not depend on the rows beside it.

    Args:
        model: from ``train`` or ``load_model``.
        prefixes: B texts, at least one, none empty. Characters that the vocabulary lacks are read as ``<unk>`` where it
            has one.
        length: new tokens a row, at least 1.
        temperature: below 1 bolder in what is probable, above 1 more varied; 0 is greedy.
        top_k: at least 1.
        top_p: above 0, at most 1.
        seed: at least 0, makes the same text again; None a new one each time.

    Returns:
        an iterator over lists of B: row b's next token, or None at a step at which its prefix is still read or its
        text is complete.

    Raises:
        ValueError: an argument is out of range, or a prefix holds an unknown character and there is no ``<unk>``.
    """
    length = _check.integer("length", length, at_least=1)
    temperature = _check.number("temperature", temperature, at_least=0)
    if top_k is not None:
        top_k = _check.integer("top_k", top_k, at_least=1)
    if top_p is not None:
        top_p = _check.number("top_p", top_p, above=0, at_most=1)
    if seed is not None:
        seed = _check.integer("seed", seed, at_least=0)
    return _steps(model, encode_prefixes(model, prefixes), length, temperature, top_k, top_p, seed)


def _steps(
    model: TrainedModel,
    given: list[np.ndarray],
    length: int,
    temperature: float,
    top_k: Optional[int],
    top_p: Optional[float],
    seed: Optional[int],
) -> Iterator[list[Optional[str]]]:
    seeds = np.random.SeedSequence(seed).spawn(len(given))
    uniform = np.array([np.random.default_rng(own).random(length) for own in seeds])  # (B, length)
    stepper = Stepper(model.weights, model.settings["cell"], len(given))
    tokens = np.array([prefix[0] for prefix in given])
    never = [model.vocabulary.tokens.index(UNKNOWN)] if UNKNOWN in model.vocabulary else []
    lengths = np.array([len(prefix) for prefix in given])
    rows = np.arange(len(given))
    for t in range(lengths.max() + length - 1):
        logits = stepper(tokens)  # (B, V)
        if never:
            logits[:, never] = -np.inf
        new = t - lengths + 1  # each row's count of new tokens before this step; negative while its prefix lasts
        tokens = choose(logits, uniform[rows, np.minimum(np.maximum(new, 0), length - 1)], temperature, top_k, top_p)
        for row in np.flatnonzero(new < 0):
            tokens[row] = given[row][t + 1]
        yield [model.vocabulary.tokens[i] if 0 <= n < length else None for i, n in zip(tokens, new)]


def generate(
    model: TrainedModel,
    prefixes: Union[str, Sequence[str]],
    length: int = 50,
    temperature: float = 0.8,
    top_k: Optional[int] = None,
    top_p: Optional[float] = None,
    seed: Optional[int] = None,
) -> list[str]:
    """Write on from one prefix or several; arguments and errors are those of ``stream``.

    Returns:
        one text a prefix: the prefix unchanged, and ``length`` new tokens.
    """
    prefixes = [prefixes] if isinstance(prefixes, str) else list(prefixes)
    texts = list(prefixes)
    for step in stream(model, prefixes, length, temperature, top_k, top_p, seed):
        texts = [text + (token or "") for text, token in zip(texts, step)]
    return texts


def encode_prefixes(model: TrainedModel, prefixes: Sequence[str]) -> list[np.ndarray]:
    """Return each prefix's indices.

    Raises:
        ValueError: there is no prefix, one is empty, or one holds an unknown character and there is no ``<unk>``.
    """
    if isinstance(prefixes, str) or not prefixes or not all(isinstance(p, str) and p for p in prefixes):
        raise ValueError(f"prefixes must be a list of at least one text, none empty; got {prefixes!r}")
    return [model.vocabulary.encode(tokenize(prefix, model.settings["level"])) for prefix in prefixes]


def probabilities(model: TrainedModel, prefix: str) -> dict[str, float]:
    """Return the probability of each token to follow a prefix, the most probable first.

    Args:
        model: from ``train`` or ``load_model``.
        prefix: at least one token.

    Returns:
        V probabilities by token; they sum to 1.
    """
    stepper = Stepper(model.weights, model.settings["cell"], 1)
    for token in encode_prefixes(model, [prefix])[0]:
        logits = stepper(np.array([token]))[0].astype(np.float64)  # (V,)
    p = np.exp(logits - logits.max())
    p /= p.sum()
    return {model.vocabulary.tokens[i]: float(p[i]) for i in np.argsort(-p, kind="stable")}
