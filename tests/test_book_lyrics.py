"""The book's recurrent networks: corpora, batches, prediction, training; against loops by hand and other libraries."""

import json
import math
import os
import random
import re
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gluonbook as gb
from gluonbook import training
from gluonbook._mxnet import autograd, gluon, load, mx, nd
from gluonbook.data import DataNotFound, fetch
from gluonbook.lyrics import from_scratch

ROOT = Path(gb.__file__).resolve().parents[1]
CPU = mx.cpu()
V, H = 7, 5
IDX_TO_CHAR = list("abcdefg")
CHAR_TO_IDX = {char: i for i, char in enumerate(IDX_TO_CHAR)}
VOCABULARY = (IDX_TO_CHAR, CHAR_TO_IDX)
LYRICS = "想要有直升机\n想要和你飞到宇宙去\n想要和你融化在一起\n"
STORY = "The Time Traveller (for so it WILL be convenient)\n\nÉté — café\n"
RANDOM, CONSECUTIVE = gb.data_iter_random, gb.data_iter_consecutive
BOTH = pytest.mark.parametrize("batches", [RANDOM, CONSECUTIVE])


# ---- corpora ----


@pytest.fixture
def corpora(isolated):
    """The book's two files where its notebooks expect them."""
    folder = isolated / "work" / "data"
    folder.mkdir()
    write_lyrics(folder, LYRICS * 400)
    (folder / "timemachine.txt").write_bytes((STORY * 200).encode("utf-8"))
    return folder


def write_lyrics(folder, text):
    with zipfile.ZipFile(folder / "jaychou_lyrics.txt.zip", "w") as archive:
        archive.writestr("jaychou_lyrics.txt", text.encode("utf-8"))


LOADED = [(gb.load_data_jay_lyrics, LYRICS * 400), (gb.load_data_time_machine, (STORY * 200).lower())]


@pytest.mark.parametrize(("function", "text"), LOADED, ids=["jay", "time machine"])
def test_a_corpus_is_its_first_10000_characters_with_newlines_as_spaces(corpora, function, text):
    corpus_indices, char_to_idx, idx_to_char, vocab_size = function()
    expected = text.replace("\n", " ")[:10000]
    assert len(text) > 10000
    assert "".join(idx_to_char[i] for i in corpus_indices) == expected
    assert len(corpus_indices) == 10000
    assert vocab_size == len(set(expected)) == len(idx_to_char)
    assert char_to_idx == {char: i for i, char in enumerate(idx_to_char)}
    assert [char_to_idx[char] for char in expected] == corpus_indices


@pytest.mark.parametrize("function", [gb.load_data_jay_lyrics, gb.load_data_time_machine])
def test_a_corpus_has_the_types_of_2018(corpora, function):
    loaded = function()
    assert [type(part) for part in loaded] == [list, dict, list, int]
    corpus_indices, char_to_idx, idx_to_char, _ = loaded
    assert {type(i) for i in corpus_indices} == {type(i) for i in char_to_idx.values()} == {int}
    assert {type(char) for char in idx_to_char} == {type(char) for char in char_to_idx} == {str}


def test_the_most_frequent_character_is_the_first(corpora):
    corpus_indices, _, idx_to_char, vocab_size = gb.load_data_jay_lyrics()
    counts = [corpus_indices.count(i) for i in range(vocab_size)]
    assert counts == sorted(counts, reverse=True)
    assert set(idx_to_char[:2]) == {"想", "要"}


def test_characters_beyond_the_first_10000_are_in_no_vocabulary(corpora):
    write_lyrics(corpora, "天" * 9999 + "地" + "人" * 5)
    corpus_indices, char_to_idx, _, vocab_size = gb.load_data_jay_lyrics()
    assert corpus_indices == [0] * 9999 + [1]
    assert (char_to_idx, vocab_size) == ({"天": 0, "地": 1}, 2)


def test_a_short_corpus_is_taken_whole(corpora):
    write_lyrics(corpora, "爱你\n爱我")
    corpus_indices, char_to_idx, _, vocab_size = gb.load_data_jay_lyrics()
    assert len(corpus_indices) == 5
    assert set(char_to_idx) == set("爱你我 ")
    assert vocab_size == 4


def test_a_capital_is_a_letter_of_the_lyrics_and_none_of_the_time_machine(corpora):
    write_lyrics(corpora, "Oh oh")
    assert "O" in gb.load_data_jay_lyrics()[1]
    assert not any(char.isupper() for char in gb.load_data_time_machine()[1])


def test_corpora_are_the_same_in_every_process_and_utf8_whatever_the_locale(corpora):
    code = """
import gluonbook as gb, json, locale
print(locale.getpreferredencoding(False).lower(), json.dumps([gb.load_data_jay_lyrics(), gb.load_data_time_machine()]))
"""
    here = json.dumps([gb.load_data_jay_lyrics(), gb.load_data_time_machine()])
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for seed, changes in (("1", settings), ("2", {})):
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, **changes}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        encoding, _, there = done.stdout.strip().partition(" ")
        assert there == here, done.stderr
        if changes:
            assert encoding in ("ansi_x3.4-1968", "ascii", "us-ascii")


@pytest.mark.parametrize("function", [gb.load_data_jay_lyrics, gb.load_data_time_machine])
@pytest.mark.parametrize("place", ["GLUONBOOK_DATA", "cache"])
def test_a_corpus_may_lie_in_the_data_folder_of_the_environment_or_in_the_cache(
    corpora, isolated, monkeypatch, function, place
):
    expected = function()
    other = isolated / "other" if place == "GLUONBOOK_DATA" else isolated / "cache" / "gluonbook"
    other.parent.mkdir(exist_ok=True)
    corpora.rename(other)
    monkeypatch.setenv("GLUONBOOK_DATA", str(isolated / "other"))
    assert function() == expected


@pytest.mark.parametrize(
    ("function", "name", "file"),
    [
        (gb.load_data_jay_lyrics, "jaychou_lyrics", "jaychou_lyrics.txt.zip"),
        (gb.load_data_time_machine, "time_machine", "timemachine.txt"),
    ],
)
def test_a_missing_corpus_is_an_error_that_says_where_to_put_it(isolated, monkeypatch, function, name, file):
    monkeypatch.setattr(fetch, "download", lambda dataset: (None, [f"download: {dataset.urls[0]} (no network)"]))
    with pytest.raises(DataNotFound) as error:
        function()
    lines = str(error.value).split("\n")
    assert lines[0] == f"the data set {name} ({file}) was found in none of these places:"
    assert lines[1:3] == [
        f"  book's folder: {Path('..', 'data', file)}",
        f"  cache: {isolated / 'cache' / 'gluonbook' / file}",
    ]
    assert re.fullmatch(rf"  download: https://\S+/{re.escape(file)} \(no network\)", lines[3])
    assert lines[4] == (
        "Put the file into one of these folders by hand, or use the embedded corpus (songs), which needs no network"
    )


# ---- batches ----


def as_lists(batches):
    return [(X.asnumpy().tolist(), Y.asnumpy().tolist()) for X, Y in batches]


def test_consecutive_batches_of_the_books_table():
    """The book's section 6.3: range(30), batch 2, steps 6."""
    assert as_lists(CONSECUTIVE(range(30), batch_size=2, num_steps=6)) == [
        ([[0, 1, 2, 3, 4, 5], [15, 16, 17, 18, 19, 20]], [[1, 2, 3, 4, 5, 6], [16, 17, 18, 19, 20, 21]]),
        ([[6, 7, 8, 9, 10, 11], [21, 22, 23, 24, 25, 26]], [[7, 8, 9, 10, 11, 12], [22, 23, 24, 25, 26, 27]]),
    ]


def test_random_batches_of_the_books_table():
    """The four windows of the book's section 6.3, in any order, two by two."""
    batches = as_lists(RANDOM(range(30), batch_size=2, num_steps=6))
    assert [len(X) for X, _ in batches] == [2, 2]
    rows = [(x, y) for X, Y in batches for x, y in zip(X, Y)]
    assert sorted(rows) == [(list(range(a, a + 6)), list(range(a + 1, a + 7))) for a in (0, 6, 12, 18)]


@BOTH
def test_batches_are_float32_arrays_on_the_device(batches):
    for X, Y in batches(list(range(30)), 2, 6, ctx=CPU):
        assert isinstance(X, nd.NDArray)
        assert isinstance(Y, nd.NDArray)
        assert X.dtype == Y.dtype == np.float32
        assert X.shape == Y.shape == (2, 6)
        assert X.context == Y.context == CPU


@BOTH
def test_the_device_is_the_one_asked_for_and_else_the_current_one(batches):
    other, third = mx.Context("cpu", 1), mx.Context("cpu", 2)
    assert [array.context for array in next(batches(range(30), 2, 6, other))] == [other] * 2
    with third:
        assert [array.context for array in next(batches(range(30), 2, 6))] == [third] * 2


@st.composite
def cuts(draw):
    """A length that is enough for a batch of either kind, N and T."""
    N, T = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    return draw(st.integers(N * (T + 1), N * (T + 1) + 40)), N, T


@given(cuts())
def test_there_are_as_many_batches_as_the_formulas_say(cut):
    L, N, T = cut
    assert len(list(RANDOM(range(L), N, T))) == (L - 1) // T // N
    assert len(list(CONSECUTIVE(range(L), N, T))) == (L // N - 1) // T


@given(cuts(), st.integers(0, 99))
def test_random_windows_are_disjoint_and_all_of_them_where_the_last_batch_is_full(cut, seed):
    L, N, T = cut
    random.seed(seed)
    X, Y = (np.concatenate([part.asnumpy() for part in parts]) for parts in zip(*RANDOM(range(L), N, T)))
    windows = {tuple(range(start, start + T)) for start in range(0, L - T, T)}
    dealt = [tuple(row) for row in X.astype(int)]
    assert len(set(dealt)) == len(dealt) == len(windows) // N * N
    assert set(dealt) <= windows
    np.testing.assert_array_equal(Y, X + 1)


@given(cuts())
def test_consecutive_rows_continue_each_other_and_leave_out_less_than_a_batch(cut):
    L, N, T = cut
    X, Y = (np.concatenate([part.asnumpy() for part in parts], axis=1) for parts in zip(*CONSECUTIVE(range(L), N, T)))
    length = L // N
    for row in range(N):
        first = row * length
        np.testing.assert_array_equal(X[row], np.arange(first, first + X.shape[1]))
        assert length - 1 - X.shape[1] < T
    np.testing.assert_array_equal(Y, X + 1)


def test_random_batches_follow_pythons_generator():
    def deal(seed):
        random.seed(seed)
        return as_lists(RANDOM(range(200), 3, 4))

    assert deal(3) == deal(3)
    assert len({str(deal(seed)) for seed in range(8)}) == 8
    random.seed(3)
    first, second = as_lists(RANDOM(range(200), 3, 4)), as_lists(RANDOM(range(200), 3, 4))
    assert first == deal(3)
    assert second != first


def test_the_order_of_windows_is_no_favourite():
    """Each of the 6 orders of 3 windows comes about 100 times in 600: within four standard deviations, 9.1 each."""
    random.seed(0)
    orders = [tuple(int(X[0, 0].asscalar()) for X, _ in RANDOM(range(7), 1, 2)) for _ in range(600)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert max(abs(count - 100) for count in counts) < 37


def test_numpys_and_mxnets_generators_are_left_alone():
    np.random.seed(1)
    mx.random.seed(1)
    before = np.random.rand(), nd.random.uniform(shape=1).asscalar()
    np.random.seed(1)
    mx.random.seed(1)
    list(RANDOM(range(60), 2, 4))
    assert (np.random.rand(), nd.random.uniform(shape=1).asscalar()) == before


def test_windows_are_examples_of_d2ls():
    """d2l 1.0 has every window of the text, overlapping; ours are some of these, inputs and labels."""
    load()  # restores the NumPy names before d2l imports MXNet
    d2l = pytest.importorskip("d2l.mxnet")
    text = "the time machine by h g wells an introduction the time traveller" * 3

    class Corpus(d2l.TimeMachine):
        def _download(self):
            return text

    try:
        examples = Corpus(batch_size=2, num_steps=5)
        corpus = examples.build(text)[0]
        theirs = {
            (tuple(x), tuple(y)) for x, y in zip(examples.X.astype(int).tolist(), examples.Y.astype(int).tolist())
        }
    finally:
        mx.util.reset_np()  # d2l switches MXNet to NumPy's semantics
    for batches in (RANDOM, CONSECUTIVE):
        ours = {
            (tuple(map(int, x)), tuple(map(int, y))) for X, Y in as_lists(batches(corpus, 2, 5)) for x, y in zip(X, Y)
        }
        assert ours <= theirs
        assert len(ours) > 10


@BOTH
@pytest.mark.parametrize("kind", [list, np.array, nd.array, tuple], ids=["list", "NumPy", "nd", "tuple"])
def test_batches_of_lists_and_arrays_are_the_same(batches, kind):
    random.seed(5)
    expected = as_lists(batches(range(3, 45), 2, 6))
    random.seed(5)
    assert as_lists(batches(kind(list(range(3, 45))), 2, 6)) == expected


@pytest.mark.parametrize(
    ("batches", "enough", "message"),
    [
        (RANDOM, 13, "2 windows of 6 and the character after need 13 tokens, got 12"),
        (CONSECUTIVE, 14, "2 rows of at least 7 need 14 tokens, got 13"),
    ],
)
def test_a_corpus_that_is_too_short_is_refused_at_the_call(batches, enough, message):
    assert len(list(batches(range(enough), 2, 6))) == 1
    with pytest.raises(ValueError, match=f"^corpus is too short for one batch: {message}"):
        batches(range(enough - 1), 2, 6)
    with pytest.raises(ValueError, match="corpus is too short for one batch"):
        batches([], 1, 1)


@BOTH
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((range(30), 0, 6), ValueError, "batch_size must be at least 1, got 0"),
        ((range(30), 2, 0), ValueError, "num_steps must be at least 1, got 0"),
        ((range(30), 2.0, 6), TypeError, r"batch_size must be a whole number, got 2\.0"),
        (([0, -1] * 9, 2, 6), ValueError, r"corpus\[1\] must be at least 0, got -1"),
        (([0.5] * 30, 2, 6), TypeError, "corpus must hold whole numbers, got dtype float64"),
    ],
)
def test_batches_refuse_wrong_arguments(batches, arguments, error, message):
    with pytest.raises(error, match=message):
        batches(*arguments)


# ---- networks of the tests ----


def vanilla(inputs, state, params):
    """The book's section 6.4; two biases, as Gluon has them, where there are six parameters."""
    W_xh, W_hh, *biases, W_hy, b_y = params
    (S,) = state
    outputs = []
    for X in inputs:
        S = nd.tanh(nd.dot(X, W_xh) + nd.dot(S, W_hh) + sum(biases))
        outputs.append(nd.dot(S, W_hy) + b_y)
    return outputs, (S,)


def gru(inputs, state, params):
    """The book's section 6.7; the parameters of the gates come first."""
    b, W, U, W_hy, b_y = params  # (3, H), (3, V, H), (3, H, H)
    (S,) = state
    outputs = []
    for X in inputs:
        Z = nd.sigmoid(nd.dot(X, W[0]) + nd.dot(S, U[0]) + b[0])
        R = nd.sigmoid(nd.dot(X, W[1]) + nd.dot(S, U[1]) + b[1])
        S = Z * S + (1 - Z) * nd.tanh(nd.dot(X, W[2]) + nd.dot(R * S, U[2]) + b[2])
        outputs.append(nd.dot(S, W_hy) + b_y)
    return outputs, (S,)


def lstm(inputs, state, params):
    """The book's section 6.8: two states."""
    W, U, b, W_hy, b_y = params  # (V, 4H), (H, 4H), (4H,)
    S, C = state
    outputs = []
    for X in inputs:
        gates = nd.split(nd.dot(X, W) + nd.dot(S, U) + b, 4, axis=1)
        C = nd.sigmoid(gates[0]) * C + nd.sigmoid(gates[1]) * nd.tanh(gates[3])
        S = nd.sigmoid(gates[2]) * nd.tanh(C)
        outputs.append(nd.dot(S, W_hy) + b_y)
    return outputs, (S, C)


def embedded(inputs, state, params):
    """An embedding of 3 stands before the recurrent layer."""
    E, *others = params
    return vanilla([nd.dot(X, E) for X in inputs], state, others)


def delayed(inputs, state, params):
    """Its outputs are those of the states before, so that no loss reaches the last state of a batch."""
    W_xh, W_hh, b_h, W_hy, b_y = params
    (S,) = state
    outputs = []
    for X in inputs:
        outputs.append(nd.dot(S, W_hy) + b_y)
        S = nd.tanh(nd.dot(X, W_xh) + nd.dot(S, W_hh) + b_h)
    return outputs, (S,)


NETS = {
    "vanilla": (vanilla, [(V, H), (H, H), (H,), (H, V), (V,)], 1),
    "two biases": (vanilla, [(V, H), (H, H), (H,), (H,), (H, V), (V,)], 1),
    "gru": (gru, [(3, H), (3, V, H), (3, H, H), (H, V), (V,)], 1),
    "lstm": (lstm, [(V, 4 * H), (H, 4 * H), (4 * H,), (H, V), (V,)], 2),
    "delayed": (delayed, [(V, H), (H, H), (H,), (H, V), (V,)], 1),
    "embedding": (embedded, [(V, 3), (3, H), (H, H), (H,), (H, V), (V,)], 1),
}
EACH_NET = pytest.mark.parametrize("net", NETS)


def drawn(shapes, seed=0, scale=0.5):
    """Parameters far enough from 0 for every term to matter."""
    generator = np.random.default_rng(seed)
    params = [nd.array(generator.normal(size=shape) * scale) for shape in shapes]
    for param in params:
        param.attach_grad()
    return params


def zeros(count=1):
    """The book's init_rnn_state."""
    return lambda batch_size, num_hiddens, ctx: tuple(nd.zeros((batch_size, num_hiddens), ctx) for _ in range(count))


REFRAIN = [0, 1, 2, 3, 4, 5, 6, 0, 0, 2] * 10  # what follows a, and what follows aa, depends on what was before


def corpus(length=60, seed=1):
    return np.random.default_rng(seed).integers(0, V, length).tolist()


def in_double(params):
    return [param.asnumpy().astype(np.float64) for param in params]


# ---- prediction ----


def slow_greedy(prefix, num_chars, params):
    """The book's predict_rnn in NumPy, for the vanilla network."""
    W_xh, W_hh, b_h, W_hy, b_y = in_double(params)
    s, output = np.zeros(H), [CHAR_TO_IDX[prefix[0]]]
    for t in range(num_chars + len(prefix) - 1):
        s = np.array([math.tanh(W_xh[output[-1], j] + s @ W_hh[:, j] + b_h[j]) for j in range(H)])
        logits = [s @ W_hy[:, k] + b_y[k] for k in range(V)]
        output.append(CHAR_TO_IDX[prefix[t + 1]] if t < len(prefix) - 1 else max(range(V), key=logits.__getitem__))
    return "".join(IDX_TO_CHAR[i] for i in output)


def gluon_model(params):
    """An RNNModel with the parameters of the vanilla network; Gluon's second bias is 0."""
    W_xh, W_hh, b_h, W_hy, b_y = params
    model = gb.RNNModel(gluon.rnn.RNN(H, activation="tanh"), V)
    model.initialize()
    model(nd.zeros((1, 1)), model.begin_state(batch_size=1))
    layer = model.rnn
    for parameter, value in [
        (layer.l0_i2h_weight, W_xh.T), (layer.l0_h2h_weight, W_hh.T), (layer.l0_i2h_bias, b_h),
        (model.dense.weight, W_hy.T), (model.dense.bias, b_y),
    ]:  # fmt: skip
        parameter.set_data(value)
    return model


def predict(prefix, num_chars, net="vanilla", params=None):
    rnn, shapes, states = NETS[net]
    params = drawn(shapes) if params is None else params
    return gb.predict_rnn(prefix, num_chars, rnn, params, zeros(states), H, V, CPU, *VOCABULARY)


def predict_gluon(prefix, num_chars, params=None):
    model = gluon_model(drawn(NETS["vanilla"][1]) if params is None else params)
    return gb.predict_rnn_gluon(prefix, num_chars, model, V, CPU, *VOCABULARY)


BOTH_PREDICT = pytest.mark.parametrize("function", [predict, predict_gluon], ids=["scratch", "gluon"])


@BOTH_PREDICT
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("prefix", ["a", "d", "bad", "gggac"])
@pytest.mark.parametrize("num_chars", [0, 1, 25])
def test_prediction_equals_a_loop_in_numpy(function, seed, prefix, num_chars):
    params = drawn(NETS["vanilla"][1], seed)
    text = function(prefix, num_chars, params=params)
    assert type(text) is str
    assert len(text) == len(prefix) + num_chars
    assert text.startswith(prefix)
    assert text == slow_greedy(prefix, num_chars, params)


@BOTH_PREDICT
def test_a_prediction_depends_on_what_was_read(function):
    """Else the test above would hold little."""
    texts = {function(prefix, 12)[-12:] for prefix in ("a", "b", "c", "d", "ga", "gb", "gc")}
    assert len(texts) > 3
    assert all(len(set(text)) > 1 for text in texts)


@pytest.mark.parametrize("prefix", ["a", "bad"])
def test_prediction_equals_that_of_d2l(prefix):
    load()  # restores the NumPy names before d2l imports MXNet
    d2l = pytest.importorskip("d2l.mxnet")
    params = drawn(NETS["vanilla"][1])
    values = [param.asnumpy() for param in params]
    vocab = type("Vocab", (), {"__getitem__": lambda self, char: CHAR_TO_IDX[char], "idx_to_token": IDX_TO_CHAR})()
    try:
        model = d2l.RNNLMScratch(d2l.RNNScratch(V, H), V)
        rnn = model.rnn
        rnn.W_xh, rnn.W_hh, rnn.b_h, model.W_hq, model.b_q = (mx.np.array(value) for value in values)
        theirs = model.predict(prefix, 20, vocab)
    finally:
        mx.util.reset_np()  # d2l switches MXNet to NumPy's semantics
    assert predict(prefix, 20, params=params) == theirs


@EACH_NET
def test_any_network_of_the_book_predicts(net):
    text = predict("ab", 9, net)
    assert re.fullmatch("ab[a-g]{9}", text)
    assert text == predict("ab", 9, net)


def test_a_network_is_fed_one_character_of_a_batch_of_one_each_time():
    fed = []

    def network(inputs, state, params):
        fed.append([(X.shape, int(X.argmax(axis=1).asscalar()), float(X.sum().asscalar())) for X in inputs])
        assert params == ["the parameters"]
        ((step,),) = (state,)
        return [nd.one_hot((step + 1).reshape(-1), V)], (step + 1,)  # the most probable one is the number of steps

    asked = []

    def begin(*arguments):
        asked.append(arguments)
        return (nd.zeros((1, 1)),)

    text = gb.predict_rnn("gab", 2, network, ["the parameters"], begin, H, V, CPU, *VOCABULARY)
    assert fed == [[((1, V), place, 1)] for place in (6, 0, 1, 3)]
    assert text == "gab" + "de"
    assert asked == [(1, H, CPU)]


def test_the_models_state_is_of_a_batch_of_one_on_the_device():
    model, asked = gluon_model(drawn(NETS["vanilla"][1])), []
    begin_state = model.begin_state
    model.begin_state = lambda **settings: asked.append(settings) or begin_state(**settings)
    gb.predict_rnn_gluon("a", 3, model, V, CPU, *VOCABULARY)
    assert asked == [{"batch_size": 1, "ctx": CPU}]


@BOTH_PREDICT
@pytest.mark.parametrize(
    ("prefix", "num_chars", "error", "message"),
    [
        ("", 3, ValueError, "prefix must be characters of the vocabulary, at least one; got none"),
        (
            "axy",
            3,
            ValueError,
            "prefix must be characters of the vocabulary, at least one; got [\"'x' at 1\", \"'y' at 2\"]",
        ),
        ("A", 0, ValueError, "prefix must be characters of the vocabulary, at least one; got [\"'A' at 0\"]"),
        ("a", -1, ValueError, "num_tokens must be at least 0, got -1"),
        ("a", 1.0, TypeError, "num_tokens must be a whole number, got 1.0 (float)"),
    ],
)
def test_prediction_refuses_wrong_arguments(function, prefix, num_chars, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        function(prefix, num_chars)


# ---- training ----

LINE = r"epoch (\d+), perplexity (\d+\.\d{6}|inf), time \d+\.\d{2} sec"


def train(
    net="vanilla", params=None, tokens=None, is_random_iter=False, num_epochs=4, num_steps=5, lr=0.8,
    clipping_theta=0.3, batch_size=3, pred_period=1, pred_len=4, prefixes=(), vocab_size=V, get_params=None,
):  # fmt: skip
    """train_and_predict_rnn on a net of the table above."""
    rnn, shapes, states = NETS[net]
    params = drawn(shapes) if params is None else params
    return gb.train_and_predict_rnn(
        rnn, get_params or (lambda: params), zeros(states), H, vocab_size, CPU, corpus() if tokens is None else tokens,
        *VOCABULARY, is_random_iter, num_epochs, num_steps, lr, clipping_theta, batch_size, pred_period, pred_len,
        prefixes,
    )  # fmt: skip


def train_gluon(
    model=None, tokens=None, num_epochs=4, num_steps=5, lr=0.8, clipping_theta=0.3, batch_size=3, pred_period=1,
    pred_len=4, prefixes=(), vocab_size=V,
):  # fmt: skip
    """train_and_predict_rnn_gluon on a plain RNN."""
    model = model or gb.RNNModel(gluon.rnn.RNN(H, activation="tanh"), V)
    return gb.train_and_predict_rnn_gluon(
        model, "not used", vocab_size, CPU, corpus() if tokens is None else tokens, *VOCABULARY, num_epochs, num_steps,
        lr, clipping_theta, batch_size, pred_period, pred_len, prefixes,
    )  # fmt: skip


BOTH_TRAIN = pytest.mark.parametrize("function", [train, train_gluon], ids=["scratch", "gluon"])


def perplexities(out):
    """Read the printed lines; each must have the format of 2018, and nothing else may be printed."""
    matches = [re.fullmatch(LINE, line) for line in out.splitlines()]
    assert all(matches), out
    return [float(match[2]) for match in matches]


def slow_windows(tokens, N, T):
    """The consecutive batches, token by token: [(X, Y)], (N, T) lists each."""
    length = len(tokens) // N
    return [
        tuple([[tokens[n * length + k * T + t + shift] for t in range(T)] for n in range(N)] for shift in (0, 1))
        for k in range((length - 1) // T)
    ]


def slow_step(params, X, Y, state):
    """Loss, gradients by back-propagation through time, and the state after, for the vanilla network, in double."""
    W_xh, W_hh, *biases, W_hy, b_y = params
    N, T = len(X), len(X[0])
    states, loss = [state], 0.0
    gradients = [np.zeros_like(param) for param in params]
    errors = []
    for t in range(T):
        S = np.tanh(W_xh[[row[t] for row in X]] + states[-1] @ W_hh + sum(biases))
        logits = S @ W_hy + b_y
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        for n in range(N):
            loss -= math.log(p[n, Y[n][t]]) / (N * T)
            p[n, Y[n][t]] -= 1
        states.append(S)
        errors.append(p / (N * T))
    after = np.zeros_like(state)
    for t in reversed(range(T)):
        gradients[-2] += states[t + 1].T @ errors[t]
        gradients[-1] += errors[t].sum(0)
        before_tanh = (errors[t] @ W_hy.T + after) * (1 - states[t + 1] ** 2)
        for n in range(N):
            gradients[0][X[n][t]] += before_tanh[n]
        gradients[1] += states[t].T @ before_tanh
        for bias in range(2, 2 + len(biases)):
            gradients[bias] += before_tanh.sum(0)
        after = before_tanh @ W_hh.T
    return loss, gradients, states[-1]


def slow_training(params, epochs, carry, lr, theta):
    """The description in NumPy: the printed perplexities, and the share of steps that were clipped."""
    params, printed, clipped = [param.copy() for param in params], [], []
    for batches in epochs:
        losses, state = [], None
        for X, Y in batches:
            if state is None or not carry:
                state = np.zeros((len(X), H))
            loss, gradients, state = slow_step(params, X, Y, state)
            norm = math.sqrt(sum((gradient**2).sum() for gradient in gradients))
            scale = 1 if theta is None else min(1, theta / norm)
            clipped.append(scale < 1)
            params = [param - lr * scale * gradient for param, gradient in zip(params, gradients)]
            losses.append(loss)
        printed.append(math.exp(sum(losses) / len(losses)))
    return printed, np.mean(clipped), params


def test_the_slow_gradients_are_those_of_numeric_differences():
    """The reference of the tests below is right itself."""
    params = in_double(drawn(NETS["two biases"][1]))
    ((X, Y),) = slow_windows(corpus(12), 2, 5)
    state = np.random.default_rng(2).normal(size=(2, H))
    _, gradients, _ = slow_step(params, X, Y, state)
    for param, gradient in zip(params, gradients):
        for place in np.ndindex(param.shape):
            value, sides = param[place], []
            for moved in (value + 1e-5, value - 1e-5):
                param[place] = moved
                sides.append(slow_step(params, X, Y, state)[0])
            param[place] = value
            assert gradient[place] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("theta", "share"), [(None, 0), (0.01, 1), (0.5, None)])
def test_consecutive_training_prints_the_perplexities_of_a_slow_loop(capsys, theta, share):
    params, tokens = drawn(NETS["vanilla"][1]), corpus(100)
    batches = slow_windows(tokens, 3, 5)
    expected, clipped, _ = slow_training(in_double(params), [batches] * 6, True, 0.8, theta)
    assert clipped == share or (share is None and 0.1 < clipped < 0.9)
    train(params=params, tokens=tokens, num_epochs=6, clipping_theta=theta)
    assert perplexities(capsys.readouterr().out) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("theta", [None, 0.5])
def test_random_training_prints_the_perplexities_of_a_slow_loop(capsys, theta):
    params, tokens = drawn(NETS["vanilla"][1]), corpus(100)
    random.seed(4)  # each epoch deals the windows anew, as data_iter_random does
    epochs = [[(np.int32(X), np.int32(Y)) for X, Y in as_lists(RANDOM(tokens, 3, 5))] for _ in range(6)]
    assert len({str(batches) for batches in epochs}) == 6
    expected, _, _ = slow_training(in_double(params), epochs, False, 0.8, theta)
    random.seed(4)
    train(params=params, tokens=tokens, num_epochs=6, clipping_theta=theta, is_random_iter=True)
    assert perplexities(capsys.readouterr().out) == pytest.approx(expected, rel=1e-5)


def test_the_state_and_the_kind_of_batch_change_the_perplexities_enough_to_be_seen():
    """Else the two tests above would hold little."""
    params, batches = in_double(drawn(NETS["vanilla"][1])), slow_windows(corpus(100), 3, 5)
    carried, _, _ = slow_training(params, [batches] * 6, True, 0.8, 0.5)
    anew, _, _ = slow_training(params, [batches] * 6, False, 0.8, 0.5)
    backwards, _, _ = slow_training(params, [batches[::-1]] * 6, False, 0.8, 0.5)
    for one, other in ((carried, anew), (anew, backwards)):
        assert min(abs(a - b) for a, b in zip(one[1:], other[1:])) > 1e-3


def test_the_parameters_are_trained_in_place(capsys):
    params, tokens = drawn(NETS["vanilla"][1]), corpus(100)
    _, _, expected = slow_training(in_double(params), [slow_windows(tokens, 3, 5)] * 4, True, 0.8, 0.3)
    train(params=params, tokens=tokens)
    for param, value in zip(params, expected):
        np.testing.assert_allclose(param.asnumpy(), value, atol=1e-5)


def autograd_training(rnn, params, states, batches, num_epochs, lr, theta):
    """The description with MXNet's autograd, for any network: a loop of its own, the loss by hand."""
    printed = []
    for _ in range(num_epochs):
        losses, state = [], None
        for X, Y in batches:
            if state is None:
                state = [nd.zeros((len(X), H)) for _ in range(states)]
            state = [nd.array(s.asnumpy()) for s in state]  # a copy knows no history
            with autograd.record():
                outputs, state = rnn([nd.one_hot(nd.array([row[t] for row in X]), V) for t in range(5)], state, params)
                steps = [-nd.log_softmax(y).pick(nd.array([row[t] for row in Y])) for t, y in enumerate(outputs)]
                loss = sum(step.mean() for step in steps) / len(steps)
            loss.backward()
            norm = math.sqrt(sum(float((param.grad**2).sum().asscalar()) for param in params))
            for param in params:
                param -= lr * min(1, theta / norm) * param.grad
            losses.append(loss.asscalar())
        printed.append(math.exp(np.mean(losses)))
    return printed


@EACH_NET
def test_any_network_of_the_book_is_trained_whatever_its_first_parameter_is(capsys, net):
    """A GRU's gates, an LSTM with two states, an embedding: the size of the vocabulary is that of the argument."""
    rnn, shapes, states = NETS[net]
    tokens = corpus(100)
    expected = autograd_training(rnn, drawn(shapes), states, slow_windows(tokens, 3, 5), 4, 0.8, 0.3)
    train(net, tokens=tokens)
    assert perplexities(capsys.readouterr().out) == pytest.approx(expected, rel=1e-5)
    assert expected[-1] < expected[0]


def starting_from(seed):
    """An RNNModel's initial parameters after a seed, as the training draws them: W_xh, W_hh, b_xh, b_hh, W_hy, b_y."""
    mx.random.seed(seed)
    model = gb.RNNModel(gluon.rnn.RNN(H, activation="tanh"), V)
    model.initialize(mx.init.Normal(0.01))
    model(nd.zeros((3, 5)), model.begin_state(batch_size=3))
    layer, dense = model.rnn, model.dense
    parameters = (
        layer.l0_i2h_weight,
        layer.l0_h2h_weight,
        layer.l0_i2h_bias,
        layer.l0_h2h_bias,
        dense.weight,
        dense.bias,
    )
    return [nd.array(p.data().T.asnumpy()) if p.data().ndim == 2 else p.data().copy() for p in parameters]


def attached(params):
    for param in params:
        param.attach_grad()
    return params


@pytest.mark.parametrize("theta", [None, 0.22])
def test_gluon_training_equals_training_from_scratch_and_a_slow_loop(capsys, theta):
    """Gluon's layer adds two biases, and each gets the gradient: so must the network written out have two."""
    initial, settings = starting_from(7), {"num_epochs": 20, "lr": 1.0, "clipping_theta": theta}
    expected, clipped, _ = slow_training(in_double(initial), [slow_windows(REFRAIN, 3, 5)] * 20, True, 1.0, theta)
    assert clipped == 0 if theta is None else 0.1 < clipped < 0.9
    mx.random.seed(7)
    train_gluon(tokens=REFRAIN, **settings)
    of_gluon = perplexities(capsys.readouterr().out)
    train("two biases", attached(initial), REFRAIN, **settings)
    of_scratch = perplexities(capsys.readouterr().out)
    assert of_gluon == pytest.approx(of_scratch, abs=1e-4)
    assert of_gluon == pytest.approx(expected, abs=1e-4)
    assert of_gluon[-1] < 1.5


@pytest.mark.parametrize("theta", [None, 0.22])
def test_with_one_bias_the_network_from_scratch_learns_otherwise_than_gluons(capsys, theta):
    """What follows from two biases: their sum moves twice as fast, and the clipped norm counts the gradient twice."""
    initial, settings = starting_from(7), {"num_epochs": 20, "lr": 1.0, "clipping_theta": theta}
    mx.random.seed(7)
    train_gluon(tokens=REFRAIN, **settings)
    of_gluon = perplexities(capsys.readouterr().out)
    train("vanilla", attached([*initial[:3], *initial[4:]]), REFRAIN, **settings)
    of_scratch = perplexities(capsys.readouterr().out)
    assert of_gluon[0] == pytest.approx(of_scratch[0], abs=0.01)
    assert max(abs(a - b) for a, b in zip(of_gluon, of_scratch)) > 0.1


def test_a_model_is_initialised_anew_from_a_normal_distribution_of_1_percent(capsys):
    model = gb.RNNModel(gluon.rnn.RNN(60, activation="tanh"), V)
    model.initialize(mx.init.Constant(9))
    model(nd.zeros((3, 5)), model.begin_state(batch_size=3))
    mx.random.seed(0)
    train_gluon(model, num_epochs=1, lr=1e-9)
    weights = [p.data().asnumpy() for name, p in model.collect_params().items() if name.endswith("weight")]
    biases = [p.data().asnumpy() for name, p in model.collect_params().items() if name.endswith("bias")]
    assert sorted(weight.shape for weight in weights) == [(7, 60), (60, 7), (60, 60)]
    for weight in weights:
        deviation = 0.01 / math.sqrt(2 * weight.size)  # of the standard deviation of that many numbers
        assert weight.std() == pytest.approx(0.01, abs=4 * deviation)
        assert abs(weight.mean()) < 4 * 0.01 / math.sqrt(weight.size)
    assert all(abs(bias).max() < 1e-6 for bias in biases)


def test_a_models_frozen_parameters_are_neither_clipped_nor_changed(capsys):
    """With Gluon's second bias frozen at 0, its network is that from scratch with one."""
    model, settings = gb.RNNModel(gluon.rnn.RNN(H, activation="tanh"), V), {"num_epochs": 20, "lr": 1.0}
    model.rnn.l0_h2h_bias.grad_req = "null"
    mx.random.seed(7)
    train_gluon(model, REFRAIN, clipping_theta=0.22, **settings)
    of_gluon = perplexities(capsys.readouterr().out)
    assert not model.rnn.l0_h2h_bias.data().asnumpy().any()
    initial = starting_from(7)
    train("vanilla", attached([*initial[:3], *initial[4:]]), REFRAIN, clipping_theta=0.22, **settings)
    assert of_gluon == pytest.approx(perplexities(capsys.readouterr().out), abs=1e-4)


@pytest.mark.parametrize("layer", [gluon.rnn.RNN, gluon.rnn.GRU, gluon.rnn.LSTM])
def test_each_layer_of_gluon_is_trained_and_predicts(capsys, layer):
    mx.random.seed(1)
    model = gb.RNNModel(layer(8), V)
    train_gluon(model, REFRAIN, num_epochs=30, lr=3.0, clipping_theta=1.0, pred_period=15, prefixes=["ab"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    first, last = perplexities("\n".join(lines[::2]))
    assert last < first < V  # that of a guess without knowledge
    assert lines[3] == " - " + gb.predict_rnn_gluon("ab", 4, model, V, CPU, *VOCABULARY)


@BOTH_TRAIN
def test_samples_are_printed_every_few_epochs_one_line_a_prefix(capsys, function):
    assert function(num_epochs=7, pred_period=3, pred_len=6, prefixes=["a", "bad"]) is None
    out, err = capsys.readouterr()
    sample = r" - a[a-g]{6}\n - bad[a-g]{6}\n"
    match = re.fullmatch(rf"{LINE}\n{sample}{LINE}\n{sample}", out)
    assert match, out
    assert (match[1], match[3]) == ("3", "6")
    assert err == ""


@BOTH_TRAIN
def test_a_printed_perplexity_is_that_of_its_own_epoch(capsys, function):
    mx.random.seed(3)
    function(num_epochs=6, pred_period=1)
    each = perplexities(capsys.readouterr().out)
    mx.random.seed(3)
    function(num_epochs=6, pred_period=2)
    assert perplexities(capsys.readouterr().out) == each[1::2]
    assert len(set(each)) == 6


@BOTH_TRAIN
def test_the_printed_seconds_are_those_of_the_epoch_alone(capsys, monkeypatch, function):
    """A clock that gains a second at each look: two looks an epoch, one of them after its samples."""
    from gluonbook.book import lyrics

    clock = iter(range(100))
    monkeypatch.setattr(lyrics, "time", types.SimpleNamespace(time=lambda: next(clock)))
    function(num_epochs=4, pred_period=2, prefixes=["a"])
    out = capsys.readouterr().out
    assert re.findall(r"time (\S+) sec", out) == ["1.00", "1.00"]


@BOTH_TRAIN
def test_a_period_longer_than_the_training_prints_nothing(capsys, function):
    function(num_epochs=3, pred_period=4, prefixes=["a"])
    assert capsys.readouterr().out == ""


def test_samples_are_predictions_with_the_parameters_of_that_epoch(capsys):
    params = drawn(NETS["vanilla"][1])
    train(params=params, num_epochs=2, pred_period=2, pred_len=12, prefixes=["c", "bad"], lr=5.0, clipping_theta=None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [f" - {slow_greedy(prefix, 12, params)}" for prefix in ("c", "bad")]


@pytest.mark.parametrize(("is_random_iter", "states"), [(True, 2 * 3), (False, 2)])
def test_the_state_is_asked_for_at_each_random_batch_and_once_an_epoch_of_consecutive_ones(
    capsys, is_random_iter, states
):
    asked = []

    def begin(*arguments):
        asked.append(arguments)
        return zeros()(*arguments)

    params = drawn(NETS["vanilla"][1])
    assert len(list(RANDOM(corpus(), 3, 5))) == len(list(CONSECUTIVE(corpus(), 3, 5))) == 3
    gb.train_and_predict_rnn(
        vanilla, lambda: params, begin, H, V, CPU, corpus(), *VOCABULARY, is_random_iter, 2, 5, 0.1, 1, 3, 9, 4, []
    )
    assert asked == [(3, H, CPU)] * states


@BOTH_TRAIN
def test_a_corpus_may_be_a_list_or_an_array(capsys, function):
    printed = []
    for tokens in (corpus(), np.array(corpus()), nd.array(corpus()), tuple(corpus())):
        mx.random.seed(2)
        function(tokens=tokens, num_epochs=2)
        printed.append(perplexities(capsys.readouterr().out))
    assert printed[1:] == printed[:1] * 3


@BOTH_TRAIN
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lr": 0}, ValueError, "^lr must be above 0, got 0$"),
        ({"lr": float("nan")}, ValueError, "^lr must be above 0, got nan$"),
        ({"lr": "fast"}, TypeError, "^lr must be a number, got 'fast'"),
        ({"num_epochs": 0}, ValueError, "^num_epochs must be at least 1, got 0$"),
        ({"num_epochs": 2.0}, TypeError, r"^num_epochs must be a whole number, got 2\.0"),
        ({"num_steps": 0}, ValueError, "^num_steps must be at least 1, got 0$"),
        ({"batch_size": 0}, ValueError, "^batch_size must be at least 1, got 0$"),
        ({"clipping_theta": 0}, ValueError, "^theta must be above 0, got 0$"),
        ({"pred_period": 0}, ValueError, "^pred_period must be at least 1, got 0$"),
        ({"pred_len": -1, "prefixes": ["a"]}, ValueError, "^num_tokens must be at least 0, got -1$"),
        ({"prefixes": ["ax"]}, ValueError, r"got \[\"'x' at 1\"\]$"),
        ({"prefixes": [""]}, ValueError, "at least one; got none$"),
        (
            {"tokens": list(range(6)) * 2},
            ValueError,
            "^corpus is too short for one batch: 3 rows of at least 6 need 18",
        ),
        (
            {"tokens": [1] * 7 + [7] + [1] * 55},
            ValueError,
            r"^X\[2\] must be from 0 to 6, got 7$",
        ),  # in the second batch
        ({"tokens": [1] * 5 + [7] + [1] * 12}, ValueError, r"^Y\[4\] must be from 0 to 6, got 7$"),  # the last label
        ({"tokens": [0, 1, -2] * 9}, ValueError, r"^corpus\[2\] must be at least 0, got -2$"),
        ({"tokens": [0.5] * 30}, TypeError, "^corpus must hold whole numbers, got dtype float64$"),
    ],
)
def test_training_refuses_wrong_arguments(function, settings, error, message):
    with pytest.raises(error, match=message):
        function(**settings)


@pytest.mark.parametrize("is_random_iter", [True, False])
def test_training_with_a_vocabulary_that_is_too_small_is_refused(is_random_iter):
    with pytest.raises(ValueError, match=r"^[XY]\[\d+\] must be from 0 to 5, got 6$"):
        train(vocab_size=6, is_random_iter=is_random_iter)


@BOTH_TRAIN
def test_a_diverging_training_stops_at_its_first_loss_that_is_not_finite(capsys, function):
    with pytest.raises(
        training.NonFiniteLoss, match=r"at epoch [12], batch \d, learning rate 1e\+38; last finite loss: \d"
    ):
        function(lr=1e38, clipping_theta=None, prefixes=["a"])


def test_a_training_that_starts_from_nan_stops_in_its_first_batch(capsys):
    params = drawn(NETS["vanilla"][1])
    params[-1][:] = math.nan
    with pytest.raises(
        training.NonFiniteLoss,
        match=r"^the loss is nan at epoch 1, batch 1, learning rate 0\.8; last finite loss: none",
    ):
        train(params=params)
    assert capsys.readouterr().out == ""


def test_the_parameters_are_drawn_once():
    calls = []

    def get_params():
        calls.append(1)
        return drawn(NETS["vanilla"][1])

    train(get_params=get_params, num_epochs=3, prefixes=["a"])
    assert calls == [1]


def test_run_epochs_refuses_an_epoch_without_batches():
    used_up = iter([np.zeros((2, 1, 3), np.int32)])
    params = drawn(NETS["vanilla"][1])

    def forward(X, state):
        outputs, state = vanilla(from_scratch.to_onehot(X, V), state, params)
        return nd.concat(*outputs, dim=0), state

    epochs = from_scratch.run_epochs(
        forward, lambda N: zeros()(N, H, CPU), lambda: None, lambda: used_up, 2, V, CPU, 1.0, carry_state=True
    )
    assert next(epochs) > 1
    with pytest.raises(ValueError, match=r"^batches must give at least one batch an epoch, got none in epoch 2$"):
        next(epochs)


def test_continue_greedily_reads_a_prefix_before_it_predicts():
    read = []

    def forward(X, state):
        read.append((X.shape, int(X.asscalar()), state))
        return nd.one_hot((X[0] + 1) % 4, 4), state + 1

    assert from_scratch.continue_greedily([2, 0], 3, forward, 0, CPU) == [2, 0, 1, 2, 3]
    assert read == [((1, 1), 2, 0), ((1, 1), 0, 1), ((1, 1), 1, 2), ((1, 1), 2, 3)]
    assert from_scratch.continue_greedily(np.int32([3]), 0, forward, 0, CPU) == [3]
    with pytest.raises(ValueError, match=r"^length of prefix must be at least 1, got 0$"):
        from_scratch.continue_greedily([], 3, forward, 0, CPU)
