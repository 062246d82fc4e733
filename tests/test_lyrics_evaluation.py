"""Perplexity against a slow loop, on whole texts and on the held-out tail."""

import math

import numpy as np
import pytest

from gluonbook._mxnet import mx, nd
from gluonbook.data import embedded_songs
from gluonbook.lyrics import LanguageModel, TrainedModel, evaluate, evaluate_text, evaluation, tokenize, train
from gluonbook.lyrics.saved import build_net

TEXT = embedded_songs()[:600]


SMALL = {
    "num_hiddens": 16,
    "embedding_size": 8,
    "batch_size": 4,
    "num_steps": 15,
    "num_epochs": 4,
    "lr": 0.03,
    "device": "cpu",
}


CELLS = ["rnn", "rnn_relu", "gru", "lstm"]


EVERY_CELL = pytest.mark.parametrize("cell", CELLS)


def slow_perplexity(model, corpus):
    """Token by token, the cross-entropy in float64."""
    net, total = build_net(model, mx.cpu()), 0.0
    state = net.begin_state(1, mx.cpu())
    for token, label in zip(corpus[:-1], corpus[1:]):
        logits, *state = net(nd.array([[token]], dtype="int32"), *state)
        logits = logits.asnumpy()[0, 0].astype(np.float64)
        total += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]
    return math.exp(total / (len(corpus) - 1))


@pytest.fixture(scope="module")
def model():
    """A model that two epochs trained."""
    return train(TEXT, None, **{**SMALL, "num_epochs": 2})


@EVERY_CELL
@pytest.mark.parametrize("num_steps", [7, 256])
def test_evaluate_equals_a_slow_loop(cell, num_steps):
    model = train(TEXT, None, **{**SMALL, "num_epochs": 1, "cell": cell, "num_layers": 2})
    corpus = model.vocabulary.encode(TEXT[:100])
    found = evaluate(build_net(model, mx.cpu()), corpus, mx.cpu(), num_steps=num_steps)
    assert found == pytest.approx(slow_perplexity(model, corpus), rel=1e-5)


def test_evaluate_in_rows_reads_each_from_a_zero_state_and_leaves_out_the_rest(model):
    corpus = model.vocabulary.encode(TEXT[:102])  # 101 to predict: 3 rows of 33, the last two are left out
    rows = [slow_perplexity(model, corpus[start : start + 34]) for start in (0, 33, 66)]
    found = evaluate(build_net(model, mx.cpu()), corpus, mx.cpu(), num_rows=3, num_steps=10)
    assert found == pytest.approx(np.prod(rows) ** (1 / 3), rel=1e-5)
    assert found != pytest.approx(slow_perplexity(model, corpus[:100]), rel=1e-4)


def test_evaluate_without_dropout():
    model = train(TEXT, None, **{**SMALL, "num_epochs": 1, "dropout": 0.5})
    corpus = model.vocabulary.encode(TEXT[:50])
    assert len({evaluate(build_net(model, mx.cpu()), corpus, mx.cpu()) for _ in range(3)}) == 1


@pytest.mark.parametrize("num_rows", [1, 4])
def test_claim_16_5_uniform_probabilities_give_the_vocabularys_size(model, num_rows):
    zeros = {name: np.zeros_like(weight) for name, weight in model.weights.items()}
    uniform = TrainedModel(zeros, model.vocabulary, model.settings)
    corpus = model.vocabulary.encode(TEXT)
    found = evaluate(build_net(uniform, mx.cpu()), corpus, mx.cpu(), num_rows=num_rows)
    assert found == pytest.approx(len(model.vocabulary), rel=1e-6)


def test_claim_16_5_always_right_gives_1_and_certain_and_wrong_gives_infinity(model):
    weights = {name: np.zeros_like(weight) for name, weight in model.weights.items()}
    weights["dense.bias"][0] = 1e4
    net = build_net(TrainedModel(weights, model.vocabulary, model.settings), mx.cpu())
    assert evaluate(net, np.zeros(50, int), mx.cpu()) == pytest.approx(1, abs=1e-5)  # float32
    assert evaluate(net, np.ones(50, int), mx.cpu()) == math.inf


def test_the_held_out_perplexity_is_that_of_the_tail():
    model = train(TEXT, None, **{**SMALL, "batch_size": 1, "num_epochs": 2, "held_out": 0.1})
    tail = model.vocabulary.encode(TEXT)[539:]
    assert model.history[-1]["held_out"] == pytest.approx(slow_perplexity(model, tail), rel=1e-5)


def test_evaluate_text_gives_perplexity_and_bits_per_character(model):
    found = evaluate_text(model, TEXT[:80], "cpu")
    assert sorted(found) == ["bits_per_character", "perplexity", "tokens", "unknown"]
    assert (found["tokens"], found["unknown"]) == (79, 0)
    assert found["perplexity"] == pytest.approx(slow_perplexity(model, model.vocabulary.encode(TEXT[:80])), rel=1e-5)
    assert found["bits_per_character"] == pytest.approx(math.log2(found["perplexity"]), rel=1e-12)


def test_bits_of_words_are_counted_by_character(isolated):
    model = train(TEXT, None, **{**SMALL, "num_epochs": 1, "level": "word", "num_steps": 5})
    words = tokenize(TEXT[:80], "word")
    assert len(words) < 70
    found = evaluate_text(model, TEXT[:80], "cpu")
    assert found["tokens"] == len(words) - 1
    bits = math.log2(found["perplexity"]) * (len(words) - 1)
    assert found["bits_per_character"] == pytest.approx(bits / (80 - len(words[0])), rel=1e-12)


def test_unknown_characters_are_counted_where_there_is_unk():
    model = train(TEXT, None, **{**SMALL, "num_epochs": 1, "min_count": 2})
    known = next(token for token in model.vocabulary.tokens if token != "<unk>")
    found = evaluate_text(model, f"鳌{known}鳌{known}鼠", "cpu")
    assert (found["tokens"], found["unknown"]) == (4, 2)  # the first character is only read


def test_unknown_characters_are_refused_where_there_is_no_unk(model):
    with pytest.raises(ValueError, match="'鳌' at 1, 3"):
        evaluate_text(model, TEXT[0] + "鳌" + TEXT[0] + "鳌", "cpu")


@pytest.mark.parametrize("text", ["", TEXT[0]])
def test_a_text_that_is_too_short_to_measure_is_refused(model, text):
    with pytest.raises(ValueError, match=f"at least 2 tokens are needed, got {len(text)}"):
        evaluate_text(model, text, "cpu")


def test_evaluate_refuses_an_index_that_the_network_does_not_know():
    net = LanguageModel(5, num_hiddens=4, embedding_size=4)
    net.initialize()
    with pytest.raises(ValueError, match=r"corpus\[1\] must be from 0 to 4, got 5"):
        evaluate(net, np.array([0, 5, 1]), mx.cpu())


@pytest.mark.parametrize(("length", "rows"), [(2, 1), (511, 1), (513, 2), (5000, 8)])
def test_a_tail_is_measured_in_few_long_rows(monkeypatch, length, rows):
    monkeypatch.setattr(evaluation, "evaluate", lambda net, corpus, device, num_rows: num_rows)
    assert evaluation.evaluate_tail(None, np.zeros(length), None) == rows
