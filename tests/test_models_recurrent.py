"""The book's language model around a Gluon layer: its rows stand time first, and equal a loop over steps."""

import re

import numpy as np
import pytest

import gluonbook as gb
from gluonbook._mxnet import autograd, gluon, mx, nd

V, H, N, T = 6, 5, 3, 4
LAYERS = [gluon.rnn.RNN, gluon.rnn.GRU, gluon.rnn.LSTM]


def model_of(layer, **settings):
    mx.random.seed(0)
    model = gb.RNNModel(layer(H, **settings), V)
    model.initialize(mx.init.Normal(0.5))
    return model


def inputs(dtype="float32"):
    return nd.array(np.random.default_rng(0).integers(0, V, (N, T)), dtype=dtype)


def start(model):
    """A state that is not 0."""
    generator = np.random.default_rng(1)
    return [nd.array(generator.normal(size=s.shape)) for s in model.begin_state(batch_size=N, ctx=mx.cpu())]


def test_output_and_state_equal_a_loop_over_single_examples_and_steps():
    """Row t * N + n holds the logits of example n after its step t."""
    model, X = model_of(gluon.rnn.RNN, activation="tanh"), inputs().asnumpy().astype(int)
    state = start(model)
    output, (after,) = model(inputs(), state)
    params = {name.rsplit("l0_", 1)[-1]: p.data().asnumpy() for name, p in model.rnn.collect_params().items()}
    W, b = model.dense.weight.data().asnumpy(), model.dense.bias.data().asnumpy()
    assert output.shape == (T * N, V)
    for n in range(N):
        h = state[0].asnumpy()[0, n]
        for t in range(T):
            step = params["i2h_weight"][:, X[n, t]] + params["i2h_bias"]
            h = np.tanh(step + params["h2h_weight"] @ h + params["h2h_bias"])
            np.testing.assert_allclose(output.asnumpy()[t * N + n], W @ h + b, atol=1e-5)
        np.testing.assert_allclose(after.asnumpy()[0, n], h, atol=1e-5)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_it_equals_the_layer_between_one_hot_vectors_and_a_dense_layer(layer, settings):
    model = model_of(layer, **settings)
    state = start(model)
    output, after = model(inputs(), state)
    one_hot = np.eye(V)[inputs().asnumpy().astype(int)].transpose(1, 0, 2)  # (T, N, V)
    steps, expected_after = model.rnn(nd.array(one_hot), state)
    rows = [model.dense(step).asnumpy() for step in steps]
    np.testing.assert_allclose(output.asnumpy(), np.concatenate(rows), atol=1e-6)
    assert len(after) == len(expected_after) == (2 if layer is gluon.rnn.LSTM else 1)
    for s, expected in zip(after, expected_after):
        np.testing.assert_allclose(s.asnumpy(), expected.asnumpy(), atol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_two_halves_with_the_state_handed_on_are_the_whole(layer):
    model = model_of(layer)
    whole, last = model(inputs(), start(model))
    first, state = model(inputs()[:, :1], start(model))
    rest, after = model(inputs()[:, 1:], state)
    np.testing.assert_allclose(nd.concat(first, rest, dim=0).asnumpy(), whole.asnumpy(), atol=1e-5)
    for s, expected in zip(after, last):
        np.testing.assert_allclose(s.asnumpy(), expected.asnumpy(), atol=1e-5)


def test_labels_of_the_books_order_fit_the_rows():
    """As its training reshapes them: y.T.reshape((-1,))."""
    model, seen = model_of(gluon.rnn.GRU), inputs()
    losses = gluon.loss.SoftmaxCrossEntropyLoss()(model(seen, start(model))[0], seen.T.reshape((-1,)))
    logits = model(seen, start(model))[0].asnumpy()
    for t, n in np.ndindex(T, N):
        row = logits[t * N + n]
        expected = np.log(np.exp(row).sum()) - row[int(seen[n, t].asscalar())]
        assert losses[t * N + n].asscalar() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
def test_indices_may_be_of_any_dtype(dtype):
    model = model_of(gluon.rnn.RNN)
    np.testing.assert_array_equal(
        model(inputs(dtype), start(model))[0].asnumpy(), model(inputs(), start(model))[0].asnumpy()
    )


def test_the_gradient_reaches_both_children():
    model = model_of(gluon.rnn.LSTM)
    model(inputs(), start(model))
    with autograd.record():
        output, _ = model(inputs(), start(model))
        l = gluon.loss.SoftmaxCrossEntropyLoss()(output, inputs().T.reshape((-1,))).mean()
    l.backward()
    for param in model.collect_params().values():
        assert param.grad().abs().sum().asscalar() > 0


@pytest.mark.parametrize("layer", LAYERS)
def test_begin_state_is_the_layers(layer):
    """It takes whatever that takes."""
    model = model_of(layer, num_layers=2)
    ours, theirs = (block.begin_state(7, ctx=mx.cpu(1)) for block in (model, model.rnn))
    assert [(s.shape, s.context) for s in ours] == [(s.shape, s.context) for s in theirs]
    assert [(s.shape, s.context) for s in ours] == [((2, 7, H), mx.cpu(1))] * (2 if layer is gluon.rnn.LSTM else 1)
    assert not any(s.asnumpy().any() for s in ours)
    (ones, *_) = model.begin_state(batch_size=2, func=nd.ones)
    assert ones.asnumpy().min() == 1


def test_it_has_the_books_children_and_attributes():
    layer = gluon.rnn.RNN(H)
    model = gb.RNNModel(layer, V, prefix="book_")
    assert list(model._children) == ["rnn", "dense"]
    assert model.rnn is layer
    assert (model.vocab_size, model.dense._units, model.prefix) == (V, V, "book_")
    assert isinstance(model, gluon.nn.Block)
    assert not isinstance(model, gluon.nn.HybridBlock)


def test_parameters_of_the_books_class_are_read(tmp_path):
    class BooksRNNModel(gluon.nn.Block):
        def __init__(self, rnn_layer, vocab_size, **kwargs):
            super().__init__(**kwargs)
            self.rnn = rnn_layer
            self.vocab_size = vocab_size
            self.dense = gluon.nn.Dense(vocab_size)

        def forward(self, inputs, state):
            X = nd.one_hot(inputs.T, self.vocab_size)
            Y, state = self.rnn(X, state)
            return self.dense(Y.reshape((-1, Y.shape[-1]))), state

    theirs = BooksRNNModel(gluon.rnn.LSTM(H), V)
    theirs.initialize(mx.init.Normal(0.5))
    expected, _ = theirs(inputs(), theirs.rnn.begin_state(batch_size=N))
    theirs.save_parameters(str(tmp_path / "model.params"))
    ours = gb.RNNModel(gluon.rnn.LSTM(H), V)
    ours.load_parameters(str(tmp_path / "model.params"))
    np.testing.assert_allclose(
        ours(inputs(), ours.begin_state(batch_size=N))[0].asnumpy(), expected.asnumpy(), atol=1e-6
    )


@pytest.mark.parametrize("shape", [(4,), (2, 3, 1)])
def test_inputs_that_are_no_rows_are_refused(shape):
    with pytest.raises(ValueError, match=rf"^inputs must be \(N, T\), got shape {re.escape(str(shape))}$"):
        model_of(gluon.rnn.RNN)(nd.zeros(shape), None)


@pytest.mark.parametrize(
    ("vocab_size", "error", "message"),
    [
        (0, ValueError, "vocab_size must be at least 1, got 0"),
        (2.0, TypeError, r"vocab_size must be a whole number, got 2\.0"),
    ],
)
def test_a_vocabulary_of_no_size_is_refused(vocab_size, error, message):
    with pytest.raises(error, match=f"^{message}"):
        gb.RNNModel(gluon.rnn.RNN(H), vocab_size)
