"""Generation: the same greedy text by three roads, the choice of a token, several prefixes, streaming."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gluonbook._mxnet import mx, nd
from gluonbook.lyrics import (
    LanguageModel,
    TrainedModel,
    Vocabulary,
    batches_adjacent,
    from_scratch,
    generate,
    probabilities,
    stream,
)
from gluonbook.lyrics.generation import Stepper, choose
from gluonbook.lyrics.saved import build_net

CHARACTERS = "分开不雨夜的你我，\n风花"
REFRAIN = "分开就分开，不分开也罢。" * 12
HIDDEN = 8
EVERY_CELL = pytest.mark.parametrize("cell", ["rnn", "rnn_relu", "gru", "lstm"])


def random_model(cell="gru", num_layers=1, embedding_size=4, seed=0, tokens=CHARACTERS, level="char"):
    """A model that nobody trained, its weights far enough from 0 for texts to vary."""
    mx.random.seed(seed)
    settings = {
        "cell": cell,
        "num_hiddens": HIDDEN,
        "num_layers": num_layers,
        "embedding_size": embedding_size,
        "dropout": 0.0,
    }
    net = LanguageModel(len(tokens), **settings)
    net.initialize(mx.init.Uniform(0.6))
    for name, param in net.collect_params().items():
        if name.endswith("bias"):
            param.set_data(nd.random.uniform(-0.6, 0.6, param.shape))
    weights = {name: param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}
    return TrainedModel(weights, Vocabulary.from_tokens(list(tokens)), {**settings, "level": level})


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def trained():
    """The refrain learnt by the network from scratch: its parameters, and the same as a TrainedModel."""
    vocabulary = Vocabulary(REFRAIN)
    tokens = vocabulary.encode(REFRAIN)
    mx.random.seed(1)
    params = from_scratch.init_params(len(vocabulary), 16)
    *_, perplexity = from_scratch.train_epochs(params, lambda: batches_adjacent(tokens, 2, 12), 20)
    assert perplexity < 1.1
    W_xh, W_hh, b_h, W_hy, b_y = (param.asnumpy() for param in params)
    weights = {
        "layers.0._unfused.0.i2h_weight": W_xh.T,
        "layers.0._unfused.0.h2h_weight": W_hh.T,
        "layers.0._unfused.0.i2h_bias": b_h,
        "layers.0._unfused.0.h2h_bias": np.zeros_like(b_h),
        "dense.weight": W_hy.T,
        "dense.bias": b_y,
    }
    settings = {"cell": "rnn", "num_hiddens": 16, "num_layers": 1, "embedding_size": None, "dropout": 0.0}
    return params, TrainedModel(weights, vocabulary, {**settings, "level": "char"})


def greedy_by_gluon(model, prefix, length):
    net = build_net(model, mx.cpu())
    state, tokens = net.begin_state(1, mx.cpu()), model.vocabulary.encode(prefix).tolist()
    inputs = nd.array([tokens], dtype="int32")
    for _ in range(length):
        logits, *state = net(inputs, *state)
        tokens.append(int(logits[-1, 0].argmax(axis=0).asscalar()))
        inputs = nd.array([tokens[-1:]], dtype="int32")
    return model.vocabulary.decode(tokens)


def softmax(logits):
    p = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return p / p.sum()


# The same text by three roads


@pytest.mark.parametrize("prefix", ["分", "不分开", "，", "罢。分开就分开，不分"])
def test_scratch_gluon_and_numpy_write_the_same_greedy_text(trained, prefix):
    params, model = trained
    text = model.vocabulary.decode(from_scratch.predict(model.vocabulary.encode(prefix), 40, params))
    assert generate(model, prefix, 40, temperature=0) == [text]
    assert greedy_by_gluon(model, prefix, 40) == text


def test_the_trained_text_is_the_refrain(trained):
    assert generate(trained[1], "不分开也", 20, temperature=0) == ["不分开也罢。分开就分开，不分开也罢。分开就分开，"]


@EVERY_CELL
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("embedding_size", [4, None])
def test_numpy_steps_give_the_language_models_logits(cell, num_layers, embedding_size):
    model = random_model(cell, num_layers, embedding_size)
    X = np.random.default_rng(0).integers(0, len(CHARACTERS), (3, 9))
    net = build_net(model, mx.cpu())
    expected = net(nd.array(X, dtype="int32"), *net.begin_state(3, mx.cpu()))[0].asnumpy()
    stepper = Stepper(model.weights, cell, 3)
    for t in range(9):
        logits = stepper(X[:, t])
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected[t], atol=1e-5 * max(1, np.abs(expected[t]).max()))


@EVERY_CELL
def test_gluon_and_numpy_write_the_same_greedy_text_with_every_cell(cell):
    model = random_model(cell, num_layers=2)
    for prefix in ("分开", "雨"):
        assert generate(model, prefix, 25, temperature=0) == [greedy_by_gluon(model, prefix, 25)]


def test_an_unknown_cell_is_refused(model):
    with pytest.raises(ValueError, match="cell must be one of rnn, rnn_relu, gru, lstm; got 'sru'"):
        Stepper(model.weights, "sru", 1)


# The choice of a token

LOGITS = st.lists(st.integers(-40, 40), min_size=1, max_size=8).map(lambda row: np.array([row], np.float32) / 10)
UNIFORM = st.floats(0, 1, exclude_max=True)


def slow_choice(logits, uniform, temperature, top_k, top_p):
    """Sort, keep, walk along the line of probabilities; None where rounding may decide."""
    p = softmax(np.asarray(logits, np.float64) / temperature)
    ranked = sorted(range(len(p)), key=lambda i: (-p[i], i))
    kept = [i for i in ranked if logits[i] >= sorted(logits, reverse=True)[min(top_k, len(p)) - 1]] if top_k else ranked
    if top_p:
        all_kept, kept = kept, []
        for i in all_kept:
            mass = sum(p[j] for j in kept) / sum(p[j] for j in all_kept)
            if abs(mass - top_p) < 1e-9:
                return None
            if mass < top_p:
                kept.append(i)
    mark, mass = uniform * sum(p[i] for i in kept), 0.0
    for i in sorted(kept):
        mass += p[i]
        if abs(mass - mark) < 1e-9:
            return None
        if mass > mark:
            return i
    return None


@given(LOGITS, UNIFORM)
def test_temperature_0_takes_the_first_of_the_most_probable(logits, uniform):
    row = logits[0].tolist()
    assert choose(logits, np.array([uniform]), temperature=0).tolist() == [row.index(max(row))]


@given(st.permutations(range(6)), UNIFORM, st.floats(0.1, 5))
def test_top_k_of_1_and_a_tiny_top_p_are_greedy(order, uniform, temperature):
    logits, uniform = np.array([order], np.float32), np.array([uniform])
    greedy = choose(logits, uniform, temperature=0).tolist()
    assert choose(logits, uniform, temperature, top_k=1).tolist() == greedy
    assert choose(logits, uniform, temperature, top_p=1e-9).tolist() == greedy


@given(
    LOGITS,
    UNIFORM,
    st.sampled_from([0.3, 1.0, 2.5]),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(0.01, 1.0),
)
def test_a_choice_equals_that_of_a_slow_walk(logits, uniform, temperature, top_k, top_p):
    expected = slow_choice(logits[0].tolist(), uniform, temperature, top_k, top_p)
    assume(expected is not None)
    assert choose(logits, np.array([uniform]), temperature, top_k, top_p).tolist() == [expected]


def choosable(logits, **limits):
    """The tokens that some number in a fine grid chooses."""
    grid = (np.arange(4000) + 0.5) / 4000
    return set(choose(np.repeat([logits], 4000, axis=0), grid, **limits).tolist())


def test_the_sets_of_top_k_and_top_p_by_hand():
    logits = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))
    assert choosable(logits) == {0, 1, 2, 3}
    assert choosable(logits, top_k=2) == {1, 3}
    assert choosable(logits, top_k=3) == {1, 2, 3}
    assert choosable(logits, top_k=9) == {0, 1, 2, 3}
    assert choosable(logits, top_p=0.39) == {1}
    assert choosable(logits, top_p=0.41) == {1, 3}  # the one that crosses p belongs to it
    assert choosable(logits, top_p=0.71) == {1, 2, 3}
    assert choosable(logits, top_p=1.0) == {0, 1, 2, 3}
    assert choosable(logits, top_k=3, top_p=0.43) == {1}  # 0.4 / 0.9 of what top_k leaves
    assert choosable(logits, temperature=0.5, top_p=0.5) == {1}  # 0.16 / 0.3


def test_top_k_keeps_those_that_tie_with_the_kth():
    assert choosable(np.array([1.0, 3.0, 2.0, 2.0, 0.0], np.float32), top_k=2) == {1, 2, 3}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_match_the_softmax(temperature):
    logits = np.array([0.3, -1.0, 1.2, 0.0, 2.0, -0.4], np.float32)
    expected = 20_000 * softmax(logits / temperature)
    uniform = np.random.default_rng(0).random(20_000)
    found = np.bincount(choose(np.repeat([logits], 20_000, axis=0), uniform, temperature), minlength=6)
    assert ((found - expected) ** 2 / expected).sum() < 20.5  # chi-square, 5 degrees of freedom: 1 in 1000


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=30), st.floats(0.05, 3))
def test_a_number_just_below_1_chooses_no_impossible_token(finite, temperature):
    logits = np.array([[-np.inf, *finite, -np.inf, -np.inf]], np.float32)
    for uniform in (np.nextafter(1, 0), 0.0):
        (token,) = choose(logits, np.array([uniform]), temperature)
        assert 1 <= token <= len(finite)


def test_each_row_is_chosen_by_its_own_number():
    logits = np.zeros((3, 4), np.float32)
    assert choose(logits, np.array([0.9, 0.1, 0.6])).tolist() == [3, 0, 2]


def test_huge_logits_do_not_overflow():
    logits = np.array([[3e38, 1e38, -3e38]], np.float32)
    assert choose(logits, np.array([0.99])).tolist() == [0]


# Texts


def test_a_text_is_the_prefix_and_as_many_new_tokens_as_asked(model):
    for length in (1, 7, 50):
        (text,) = generate(model, "不分开", length, seed=0)
        assert text.startswith("不分开")
        assert len(text) == 3 + length


def test_the_length_is_50_by_default(model):
    assert len(generate(model, "雨")[0]) == 51


def test_sampling_follows_the_models_probabilities(model):
    """4,000 first characters after the same prefix, against the softmax at temperature 0.8."""
    stepper = Stepper(model.weights, "gru", 1)
    expected = 4000 * softmax([stepper(np.array([i])) for i in model.vocabulary.encode("分开")][-1][0] / 0.8)
    texts = generate(model, ["分开"] * 4000, 1, seed=0)
    found = np.array([sum(text[2] == token for text in texts) for token in CHARACTERS])
    assert ((found - expected) ** 2 / expected).sum() < 31.3  # 11 degrees of freedom: 1 in 1000


def test_the_same_seed_writes_the_same_text_and_another_seed_another(model):
    first, again, other = (generate(model, "分开", 40, temperature=1, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_without_a_seed_each_text_is_new(model):
    assert generate(model, "分开", 60, temperature=1) != generate(model, "分开", 60, temperature=1)


def test_greedy_texts_need_no_seed(model):
    assert generate(model, "分开", 40, temperature=0) == generate(model, "分开", 40, temperature=0, seed=9)


def test_a_lower_temperature_is_bolder(model):
    """The share of characters that are the most probable one grows as the temperature falls."""
    shares = []
    for temperature in (5.0, 0.8, 0.2):
        texts = generate(model, ["分开"] * 500, 1, temperature=temperature, seed=0)
        shares.append(sum(text == generate(model, "分开", 1, temperature=0)[0] for text in texts) / 500)
    assert shares[0] + 0.05 < shares[1] < shares[2] - 0.05


def test_several_prefixes_give_greedily_what_each_gives_alone(model):
    prefixes = ["分开", "不分开，风", "雨"]
    alone = [generate(model, prefix, 20, temperature=0)[0] for prefix in prefixes]
    assert generate(model, prefixes, 20, temperature=0) == alone
    assert alone[0][-20:] != alone[1][-20:]


def test_a_rows_text_does_not_depend_on_the_rows_beside_it(model):
    first = generate(model, ["分开", "雨", "不"], 30, temperature=1, seed=5)
    second = generate(model, ["你我的夜", "雨"], 30, temperature=1, seed=5)
    assert second[1] == first[1]
    assert generate(model, "分开", 30, temperature=1, seed=5)[0] == first[0]


def test_equal_prefixes_draw_their_own_numbers(model):
    assert len(set(generate(model, ["分开"] * 5, 30, temperature=1, seed=0))) == 5


def test_stream_gives_none_while_a_prefix_is_read_and_when_a_text_is_complete(model):
    steps = list(stream(model, ["雨", "不分开"], length=4, seed=0))
    assert [[token is not None for token in row] for row in zip(*steps)] == [
        [True, True, True, True, False, False],
        [False, False, True, True, True, True],
    ]
    texts = [prefix + "".join(token or "" for token in row) for prefix, row in zip(["雨", "不分开"], zip(*steps))]
    assert texts == generate(model, ["雨", "不分开"], length=4, seed=0)


def test_stream_takes_one_step_of_the_model_for_each_token_it_gives(model, monkeypatch):
    taken, step = [], Stepper.__call__
    monkeypatch.setattr(Stepper, "__call__", lambda self, tokens: taken.append(tokens.tolist()) or step(self, tokens))
    steps = stream(model, ["分开"], 1000, seed=0)
    assert taken == []
    assert next(steps) == [None]
    assert taken == [[0]]
    (token,) = next(steps)
    assert taken == [[0], [1]]
    assert token in CHARACTERS
    next(steps)
    assert taken == [[0], [1], [CHARACTERS.index(token)]]


def test_generation_calls_no_mxnet(model, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("MXNet was called")

    monkeypatch.setattr(mx.base._LIB, "MXImperativeInvokeEx", forbidden)
    with pytest.raises(AssertionError, match="MXNet was called"):
        nd.zeros(1) + 1
    assert len(generate(model, "分开", 20)[0]) == 22


def test_a_longer_text_starts_with_the_shorter_one(model):
    """Each new token has a random number of its own, the last one too."""
    whole = generate(model, ["分开", "风"], 12, temperature=3, seed=0)
    for length in range(1, 12):
        shorter = generate(model, ["分开", "风"], length, temperature=3, seed=0)
        assert shorter == [text[: len(prefix) + length] for text, prefix in zip(whole, ["分开", "风"])]


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 3.0}, {"top_k": 1}, {"top_p": 0.1}])
@pytest.mark.parametrize("place", [0, 3])
def test_unk_is_never_written(settings, place):
    tokens = list(CHARACTERS)
    tokens.insert(place, "<unk>")
    model = random_model(tokens=tokens)
    model.weights["dense.bias"][place] = 50  # by far the most probable
    assert next(iter(probabilities(model, "分"))) == "<unk>"
    texts = generate(model, ["分开", "鳌"], 100, seed=0, **settings)  # 鳌 is read as <unk>
    assert not any("<unk>" in text for text in texts)
    assert [len(text) for text in texts] == [102, 101]
    assert texts[1].startswith("鳌")


def test_the_word_level_reads_and_writes_words(isolated):
    model = random_model(tokens=["分开", "就", "不", "我们", "，"], level="word")
    words = [token for (token,) in stream(model, ["我们"], 10, seed=0)]
    assert set(words) <= {"分开", "就", "不", "我们", "，"}
    assert generate(model, "我们", 10, seed=0) == ["我们" + "".join(words)]
    with pytest.raises(ValueError, match="not in the vocabulary of 5 tokens: '分' at 0"):
        generate(model, "分")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"length": 0}, ValueError, "length must be at least 1, got 0"),
        ({"length": 1.5}, TypeError, "length must be a whole number, got 1.5"),
        ({"temperature": -0.1}, ValueError, "temperature must be at least 0, got -0.1"),
        ({"temperature": float("nan")}, ValueError, "temperature must be at least 0, got nan"),
        ({"temperature": float("inf")}, ValueError, "temperature must be at least 0, got inf"),
        ({"temperature": "1"}, TypeError, "temperature must be a number, got '1'"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1, got 0"),
        ({"top_k": 2.0}, TypeError, "top_k must be a whole number, got 2.0"),
        ({"top_p": 0}, ValueError, "top_p must be .*above 0, got 0"),
        ({"top_p": 1.01}, ValueError, "top_p must be at most 1 .*, got 1.01"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"prefixes": []}, ValueError, r"at least one text, none empty; got \[\]"),
        ({"prefixes": ["分", ""]}, ValueError, r"at least one text, none empty; got \['分', ''\]"),
        ({"prefixes": "分开"}, ValueError, "prefixes must be a list of at least one text, .*; got '分开'"),
        ({"prefixes": ["分", 3]}, ValueError, r"prefixes must be a list .*; got \['分', 3\]"),
        ({"prefixes": ["开鳌分鼠"]}, ValueError, "not in the vocabulary of 12 tokens: '鳌' at 1; '鼠' at 3"),
    ],
)
def test_stream_refuses_wrong_arguments_before_its_first_step(model, arguments, error, message):
    with pytest.raises(error, match=message):
        stream(model, **{"prefixes": ["分开"], **arguments})


@EVERY_CELL
def test_probabilities_sum_to_1_are_sorted_and_are_the_softmax_of_the_logits(cell):
    model = random_model(cell)
    found = probabilities(model, "不分开")
    assert sorted(found) == sorted(CHARACTERS)
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    net = build_net(model, mx.cpu())
    inputs = nd.array([model.vocabulary.encode("不分开")], dtype="int32")
    expected = softmax(net(inputs, *net.begin_state(1, mx.cpu()))[0][-1, 0].asnumpy())
    assert [found[token] for token in CHARACTERS] == pytest.approx(expected, rel=1e-4)


def test_the_most_probable_token_is_the_greedy_one(model):
    assert generate(model, "风花", 1, temperature=0) == ["风花" + next(iter(probabilities(model, "风花")))]


@pytest.mark.parametrize(("prefix", "message"), [("", "none empty"), ("鳌", "'鳌' at 0")])
def test_probabilities_refuse_an_empty_or_unknown_prefix(model, prefix, message):
    with pytest.raises(ValueError, match=message):
        probabilities(model, prefix)
