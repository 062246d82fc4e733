"""The Gluon language model: shapes, the same numbers by every road, its loss, its arguments, its dropout."""

import numpy as np
import pytest

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.lyrics import LanguageModel
from gluonbook.lyrics.model import NextTokenLoss

V, H, N, T = 11, 6, 3, 5
CELLS = ["rnn", "rnn_relu", "gru", "lstm"]
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)
EVERY_DEPTH = pytest.mark.parametrize("num_layers", [1, 2])
EVERY_INPUT = pytest.mark.parametrize("embedding_size", [4, None])
X = np.random.default_rng(0).integers(0, V, (N, T))
Y = np.random.default_rng(1).integers(0, V, (N, T))


def language_model(seed=0, **settings):
    """A small model whose weights are far enough from 0 for every term to matter."""
    mx.random.seed(seed)
    net = LanguageModel(V, **{"num_hiddens": H, "embedding_size": 4, **settings})
    net.initialize(mx.init.Uniform(0.8))
    for name, param in net.collect_params().items():
        if name.endswith("bias"):
            param.set_data(nd.random.uniform(-0.8, 0.8, param.shape))
    return net


def random_state(net, seed=2):
    mx.random.seed(seed)
    return [nd.random.normal(shape=state.shape) for state in net.begin_state(N, mx.cpu())]


def numbers(arrays):
    return [array.asnumpy() for array in arrays]


def log_softmax(logits):
    logits = logits.astype(np.float64)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@EVERY_CELL
@EVERY_DEPTH
@EVERY_INPUT
def test_outputs_have_the_shapes_that_are_promised(cell, num_layers, embedding_size):
    net = language_model(cell=cell, num_layers=num_layers, embedding_size=embedding_size)
    state = net.begin_state(N, mx.cpu())
    assert [s.shape for s in state] == [(1, N, H)] * num_layers * (2 if cell == "lstm" else 1)
    assert not any(s.asnumpy().any() for s in state)
    logits, *after = net(nd.array(X, dtype="int32"), *state)
    assert logits.shape == (T, N, V)
    assert [s.shape for s in after] == [s.shape for s in state]


@EVERY_CELL
@EVERY_DEPTH
@EVERY_INPUT
def test_hybridized_equals_not_hybridized(cell, num_layers, embedding_size):
    net = language_model(cell=cell, num_layers=num_layers, embedding_size=embedding_size)
    state = random_state(net)
    plain = numbers(net(nd.array(X, dtype="int32"), *state))
    net.hybridize(static_alloc=True, static_shape=True)
    for fast, slow in zip(numbers(net(nd.array(X, dtype="int32"), *state)), plain):
        np.testing.assert_allclose(fast, slow, atol=1e-6)


@EVERY_CELL
@EVERY_DEPTH
@EVERY_INPUT
def test_it_equals_gluons_fused_stack_with_the_same_weights(cell, num_layers, embedding_size):
    net = language_model(cell=cell, num_layers=num_layers, embedding_size=embedding_size)
    kinds = {"gru": gluon.rnn.GRU, "lstm": gluon.rnn.LSTM}
    kind = kinds.get(cell) or (lambda *a, **k: gluon.rnn.RNN(*a, activation=cell[4:] or "tanh", **k))
    stack = kind(H, num_layers, input_size=embedding_size or V)
    stack.initialize()
    weights = net._collect_params_with_prefix()
    for i in range(num_layers):
        for part in ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias"):
            getattr(stack, f"l{i}_{part}").set_data(weights[f"layers.{i}._unfused.0.{part}"].data())
    # Layer by layer here, kind by kind in the stack: (h0, c0, h1, c1) and (h0 h1, c0 c1).
    state, each = random_state(net), 2 if cell == "lstm" else 1
    stacked = [nd.concat(*state[k::each], dim=0) for k in range(each)]
    inputs = nd.array(X.T)
    vectors = (
        nd.one_hot(inputs, V)
        if embedding_size is None
        else nd.Embedding(inputs, weights["embedding.weight"].data(), input_dim=V, output_dim=4)
    )
    outputs, after = stack(vectors, stacked)
    expected = nd.FullyConnected(
        outputs, weights["dense.weight"].data(), weights["dense.bias"].data(), num_hidden=V, flatten=False
    )
    logits, *new_state = net(nd.array(X, dtype="int32"), *state)
    np.testing.assert_allclose(logits.asnumpy(), expected.asnumpy(), atol=1e-5)
    for k in range(each):
        np.testing.assert_allclose(nd.concat(*new_state[k::each], dim=0).asnumpy(), after[k].asnumpy(), atol=1e-6)


@EVERY_CELL
@EVERY_DEPTH
def test_two_halves_with_the_state_carried_equal_the_whole(cell, num_layers):
    net = language_model(cell=cell, num_layers=num_layers)
    state = random_state(net)
    whole, *after = net(nd.array(X, dtype="int32"), *state)
    first, *between = net(nd.array(X[:, :2], dtype="int32"), *state)
    second, *end = net(nd.array(X[:, 2:], dtype="int32"), *between)
    np.testing.assert_allclose(nd.concat(first, second, dim=0).asnumpy(), whole.asnumpy(), atol=1e-6)
    for ours, theirs in zip(numbers(end), numbers(after)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_cells_differ():
    """Else the tests over every cell would be one test."""
    logits = [
        net(nd.array(X), *net.begin_state(N, mx.cpu()))[0].asnumpy()
        for net in (language_model(cell=cell) for cell in CELLS)
    ]
    for i in range(len(CELLS)):
        for j in range(i):
            assert np.abs(logits[i] - logits[j]).max() > 0.01


@EVERY_CELL
@pytest.mark.parametrize("hybridize", [False, True])
def test_the_loss_equals_a_cross_entropy_by_hand(cell, hybridize):
    net = language_model(cell=cell, num_layers=2)
    state = random_state(net)
    logits, *after = numbers(net(nd.array(X, dtype="int32"), *state))
    by_hand = -np.mean([log_softmax(logits[t, n])[Y[n, t]] for n in range(N) for t in range(T)])
    step = NextTokenLoss(net)
    if hybridize:
        step.hybridize(static_alloc=True, static_shape=True)
    loss, *new_state = step(nd.array(X.T, dtype="int32"), nd.array(Y.T, dtype="int32"), *state)
    assert loss.shape == (1,)
    assert loss.asscalar() == pytest.approx(by_hand, rel=1e-5)
    for ours, theirs in zip(numbers(new_state), after):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_dropout_acts_in_training_only():
    settings = {"cell": "gru", "num_layers": 2}
    net, without = language_model(dropout=0.5, **settings), language_model(dropout=0.0, **settings)
    for name, param in net._collect_params_with_prefix().items():
        without._collect_params_with_prefix()[name].set_data(param.data())
    tokens, state = nd.array(X, dtype="int32"), random_state(net)
    calm = net(tokens, *state)[0].asnumpy()
    np.testing.assert_array_equal(calm, without(tokens, *state)[0].asnumpy())
    with autograd.record():
        first, second = net(tokens, *state)[0].asnumpy(), net(tokens, *state)[0].asnumpy()
    assert np.abs(first - calm).max() > 0.01
    assert np.abs(first - second).max() > 0.01


def test_dropout_zeroes_its_share_of_the_embedding_and_doubles_the_rest():
    net = language_model(embedding_size=1000, dropout=0.5)
    tokens = nd.array(X, dtype="int32")
    calm = net.embed(nd, tokens).asnumpy()
    with autograd.train_mode():
        dropped = net.embed(nd, tokens).asnumpy()
    assert (dropped == 0).mean() == pytest.approx(0.5, abs=0.02)
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], 2 * calm[kept], rtol=1e-6)


def test_dropout_leaves_one_hot_inputs_and_states_alone():
    net = language_model(embedding_size=None, dropout=0.9)
    tokens, state = nd.array(X, dtype="int32"), random_state(net)
    calm = numbers(net(tokens, *state)[1:])
    with autograd.train_mode():
        np.testing.assert_array_equal(net.embed(nd, tokens).asnumpy(), np.eye(V)[X])
        for ours, theirs in zip(numbers(net(tokens, *state)[1:]), calm):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_dropout_acts_after_each_recurrent_layer():
    """One-hot inputs are not dropped: layer 1 is calm, layer 2 reads what was dropped, and so does the dense layer."""
    net = language_model(cell="rnn", num_layers=2, embedding_size=None, dropout=0.5)
    tokens, state = nd.array(X, dtype="int32"), random_state(net)
    _, first, second = numbers(net(tokens, *state))
    with autograd.train_mode():
        _, first_dropped, second_dropped = numbers(net(tokens, *state))
    np.testing.assert_allclose(first_dropped, first, atol=1e-6)
    assert np.abs(second_dropped - second).max() > 0.01
    net = language_model(cell="rnn", num_layers=1, embedding_size=None, dropout=0.5)
    calm = net(tokens, *state[:1])[0].asnumpy()
    with autograd.train_mode():
        assert np.abs(net(tokens, *state[:1])[0].asnumpy() - calm).max() > 0.01


@EVERY_CELL
def test_every_layers_dropout_follows_mxnets_seed(cell):
    """What a resumed run needs: the operator's own dropout would draw from C's rand()."""
    net = language_model(cell=cell, num_layers=2, dropout=0.5)
    tokens, state = nd.array(X, dtype="int32"), random_state(net)
    drawn = []
    for seed in (7, 7, 8):
        mx.random.seed(seed)
        with autograd.train_mode():
            drawn.append(net(tokens, *state)[0].asnumpy())
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"vocab_size": 0}, ValueError, "vocab_size must be at least 1, got 0"),
        ({"num_hiddens": 0}, ValueError, "num_hiddens must be at least 1, got 0"),
        ({"num_hiddens": 2.5}, TypeError, "num_hiddens must be a whole number, got 2.5"),
        ({"num_layers": 0}, ValueError, "num_layers must be at least 1, got 0"),
        ({"embedding_size": 0}, ValueError, "embedding_size must be at least 1, got 0"),
        ({"dropout": 1}, ValueError, "dropout must be at least 0 and below 1, got 1"),
        ({"dropout": -0.1}, ValueError, "dropout must be at least 0 and below 1, got -0.1"),
        ({"dropout": "0.1"}, TypeError, "dropout must be a number, got '0.1'"),
        ({"cell": "transformer"}, ValueError, "cell must be one of rnn, rnn_relu, gru, lstm; got 'transformer'"),
    ],
)
def test_wrong_arguments_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        LanguageModel(**{"vocab_size": V, **settings})
