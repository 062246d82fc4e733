"""How well a lyrics model guesses a text: perplexity a token, bits a character."""

import math
from typing import Any

import numpy as np

from gluonbook import _check, devices, training
from gluonbook._mxnet import gluon, nd
from gluonbook.lyrics.saved import TrainedModel, build_net
from gluonbook.lyrics.tokens import tokenize

ROW, MOST_ROWS = 256, 8  # the held-out tail is measured in rows of at least so many tokens, at most so many at once


def evaluate(net: Any, corpus: np.ndarray, device: Any, num_rows: int = 1, num_steps: int = 256) -> float:
    """Return a network's perplexity on a corpus.

    Args:
        net: LanguageModel.
        corpus: (L,) int, at least 2 tokens, below V: the first is only read.
        device: mx.Context, where the net is.
        num_rows: the corpus is read in that many rows at once, each from a zero state; 1 is exact, more are faster
            and leave out up to num_rows - 1 tokens at the end.
        num_steps: tokens a call, which bounds the memory.

    Returns:
        exp(mean cross-entropy), at least 1.

    Raises:
        ValueError: the corpus is too short, or holds an index that the network does not know.
    """
    corpus = _check.indices("corpus", corpus, below=net.vocab_size)
    rows = _check.as_rows("corpus", corpus[:-1], num_rows, at_least=1)  # (N, R)
    labels = _check.as_rows("corpus", corpus[1:], num_rows, at_least=1)  # (N, R)
    state = net.begin_state(num_rows, device)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    total = nd.zeros(1, ctx=device)
    for start in range(0, rows.shape[1], num_steps):
        X = nd.array(rows[:, start : start + num_steps], ctx=device, dtype="int32")
        Y = nd.array(labels[:, start : start + num_steps].T, ctx=device)  # (T, N)
        logits, *state = net(X, *state)
        total = total + loss(logits.reshape((-3, 0)), Y.reshape((-1,))).sum()
    return training.perplexity(max(0.0, float(total.asscalar()) / labels.size))  # float32 gives -1e-6 when always right


def evaluate_tail(net: Any, tail: np.ndarray, device: Any) -> float:
    """Return a network's perplexity on the held-out tail that ``split`` gives: in one row, or in a few long ones."""
    return evaluate(net, tail, device, num_rows=max(1, min(MOST_ROWS, (len(tail) - 1) // ROW)))


def evaluate_text(model: TrainedModel, text: str, device: Any = "auto") -> dict[str, float]:
    """Measure a model on a text.

    Args:
        model: from ``train`` or ``load_model``.
        text: at least two tokens.
        device: as ``gluonbook.device`` takes it.

    Returns:
        ``tokens`` predicted, ``unknown`` among them (read as ``<unk>``), ``perplexity`` a token,
        ``bits_per_character``.

    Raises:
        ValueError: the text is too short, or holds unknown tokens and the vocabulary has no ``<unk>``.
    """
    device = devices.device(device)
    tokens = tokenize(text, model.settings["level"])
    corpus = model.vocabulary.encode(tokens)
    if len(corpus) < 2:
        raise ValueError(f"text is too short to measure: at least 2 tokens are needed, got {len(corpus)}")
    value = evaluate(build_net(model, device), corpus, device)
    characters = len("".join(tokens[1:]))
    return {
        "tokens": len(corpus) - 1,
        "unknown": sum(map(len, model.vocabulary.unknown(tokens[1:]).values())),
        "perplexity": value,
        "bits_per_character": math.log2(value) * (len(corpus) - 1) / characters,
    }
