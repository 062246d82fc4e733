"""Claims 16.3 and 16.4: the network of the notes, its shapes, its gradients, its training and its prediction."""

import math

import numpy as np
import pytest

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.lyrics import Vocabulary, batches_adjacent, batches_random, from_scratch
from gluonbook.training import NonFiniteLoss

V, H = 7, 5
REFRAIN = "分开就分开，不分开也罢。" * 12  # a period of 12, 8 distinct characters


@pytest.fixture
def params():
    """Parameters far enough from 0 for every term to matter."""
    generator = np.random.default_rng(0)
    drawn = [nd.array(generator.normal(size=shape) * 0.5) for shape in ((V, H), (H, H), (H,), (H, V), (V,))]
    for param in drawn:
        param.attach_grad()
    return drawn


def in_numpy(params):
    return [param.asnumpy().astype(np.float64) for param in params]


def slow_forward(X, state, params):
    """One example and one step at a time: (N, T) indices and (N, H) to logits (N, T, V) and (N, H)."""
    W_xh, W_hh, b_h, W_hy, b_y = params
    logits, after = [], []
    for row, h in zip(X, state):
        steps = []
        for token in row:
            h = np.array([math.tanh(W_xh[token, j] + h @ W_hh[:, j] + b_h[j]) for j in range(len(h))])
            steps.append(h @ W_hy + b_y)
        logits.append(steps)
        after.append(h)
    return np.array(logits), np.array(after)


def slow_loss(X, Y, state, params):
    """Mean cross-entropy over all steps of all rows, and the state after."""
    logits, after = slow_forward(X, state, params)
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return -np.mean([np.log(p[n, t, Y[n, t]]) for n in range(X.shape[0]) for t in range(X.shape[1])]), after


def numeric_gradients(X, Y, params, state=None, step=1e-5):
    state = np.zeros((len(X), H)) if state is None else state
    gradients = []
    for param in params:
        gradient = np.zeros_like(param)
        for place in np.ndindex(param.shape):
            value = param[place]
            sides = []
            for moved in (value + step, value - step):
                param[place] = moved
                sides.append(slow_loss(X, Y, state, params)[0])
            param[place] = value
            gradient[place] = (sides[0] - sides[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


def corpus(length=60, seed=1):
    return np.random.default_rng(seed).integers(0, V, length)


def test_to_onehot_gives_a_matrix_a_step():
    steps = from_scratch.to_onehot(np.array([[0, 2], [1, 1], [3, 0]]), 4)
    assert [step.dtype for step in steps] == [np.float32, np.float32]
    np.testing.assert_array_equal(steps[0].asnumpy(), [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(steps[1].asnumpy(), [[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]])


def test_to_onehot_takes_mxnet_arrays_as_well():
    X = np.array([[0, 5, 3], [1, 6, 2]])
    for ours, theirs in zip(from_scratch.to_onehot(nd.array(X), V), from_scratch.to_onehot(X, V)):
        np.testing.assert_array_equal(ours.asnumpy(), theirs.asnumpy())


def test_to_onehot_takes_the_steps_of_a_batch_of_one():
    steps = from_scratch.to_onehot(nd.array([2, 0]), 3)
    assert [step.asnumpy().tolist() for step in steps] == [[[0, 0, 1]], [[1, 0, 0]]]


def test_to_onehot_refuses_what_is_no_batch_of_rows():
    with pytest.raises(ValueError, match=r"X must be \(N, T\) or \(T,\), got shape \(1, 2, 3\)"):
        from_scratch.to_onehot(np.zeros((1, 2, 3)), V)


@pytest.mark.parametrize("X", [[[0, 1], [7, 2]], [[0, 1], [-1, 2]]])
def test_to_onehot_refuses_an_index_that_mxnet_would_make_zeros_of(X):
    with pytest.raises(ValueError, match=r"X\[2\] must be from 0 to 6, got"):
        from_scratch.to_onehot(np.array(X), V)


def test_claim_16_3_the_shapes_of_the_notes_batch():
    batch = nd.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])  # the notes' inputs are its columns
    inputs = from_scratch.to_onehot(batch, 1027)
    assert [X.argmax(axis=1).asnumpy().tolist() for X in inputs] == [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]]
    assert [X.shape for X in inputs] == [(2, 1027)] * 5
    state = from_scratch.init_state(2, 256)
    assert [s.shape for s in state] == [(2, 256)]
    outputs, state = from_scratch.rnn(inputs, state, from_scratch.init_params(1027, 256))
    assert [Y.shape for Y in outputs] == [(2, 1027)] * 5
    assert [s.shape for s in state] == [(2, 256)]


def test_parameters_have_the_shapes_and_the_spread_of_the_notes():
    mx.random.seed(0)
    params = from_scratch.init_params(1027, 256)
    assert [param.shape for param in params] == [(1027, 256), (256, 256), (256,), (256, 1027), (1027,)]
    for weight in (params[0], params[1], params[3]):
        assert abs(weight.mean().asscalar()) < 1e-4
        assert weight.asnumpy().std() == pytest.approx(0.01, rel=0.02)
    for bias in (params[2], params[4]):
        assert not bias.asnumpy().any()
    assert all(param.grad is not None for param in params)


def test_the_first_state_is_zero():
    assert not from_scratch.init_state(3, 4)[0].asnumpy().any()


def test_claim_16_3_the_same_parameters_serve_batches_of_1_and_of_32(params):
    X = np.random.default_rng(0).integers(0, V, (32, 4))
    together, (state,) = from_scratch.rnn(from_scratch.to_onehot(X, V), from_scratch.init_state(32, H), params)
    for row in range(32):
        inputs = from_scratch.to_onehot(X[row : row + 1], V)
        alone, (own,) = from_scratch.rnn(inputs, from_scratch.init_state(1, H), params)
        for t in range(4):
            np.testing.assert_allclose(alone[t].asnumpy()[0], together[t].asnumpy()[row], atol=1e-6)
        np.testing.assert_allclose(own.asnumpy()[0], state.asnumpy()[row], atol=1e-6)


def test_forward_equals_a_loop_over_single_examples(params):
    generator = np.random.default_rng(1)
    X, start = generator.integers(0, V, (3, 6)), generator.normal(size=(3, H))
    outputs, (state,) = from_scratch.rnn(from_scratch.to_onehot(X, V), (nd.array(start),), params)
    logits, after = slow_forward(X, start, in_numpy(params))
    np.testing.assert_allclose(np.stack([Y.asnumpy() for Y in outputs], axis=1), logits, atol=1e-5)
    np.testing.assert_allclose(state.asnumpy(), after, atol=1e-6)


def test_forward_equals_gluons_rnn_layer(params):
    W_xh, W_hh, b_h, W_hy, b_y = params
    layer = gluon.rnn.RNN(H, activation="tanh", input_size=V)
    layer.initialize()
    for name, value in [("i2h_weight", W_xh.T), ("h2h_weight", W_hh.T), ("i2h_bias", b_h)]:
        getattr(layer, f"l0_{name}").set_data(value)
    inputs = from_scratch.to_onehot(np.random.default_rng(2).integers(0, V, (3, 6)), V)
    outputs, (state,) = from_scratch.rnn(inputs, from_scratch.init_state(3, H), params)
    theirs, (after,) = layer(nd.stack(*inputs), [nd.zeros((1, 3, H))])
    for Y, step in zip(outputs, theirs):
        np.testing.assert_allclose(Y.asnumpy(), (nd.dot(step, W_hy) + b_y).asnumpy(), atol=1e-5)
    np.testing.assert_allclose(state.asnumpy(), after[0].asnumpy(), atol=1e-6)


def test_gradients_equal_numeric_differences(params):
    generator = np.random.default_rng(3)
    X, Y = generator.integers(0, V, (2, 4)), generator.integers(0, V, (2, 4))
    double = [param.astype("float64") for param in params]
    for param in double:
        param.attach_grad()
    with autograd.record():
        inputs = [step.astype("float64") for step in from_scratch.to_onehot(X, V)]
        outputs, _ = from_scratch.rnn(inputs, (nd.zeros((2, H), dtype="float64"),), double)
        losses = [-nd.log_softmax(y).pick(nd.array(Y[:, t])).mean() for t, y in enumerate(outputs)]
        loss = sum(losses) / len(losses)
    loss.backward()
    for param, gradient in zip(double, numeric_gradients(X, Y, in_numpy(params))):
        np.testing.assert_allclose(param.grad.asnumpy(), gradient, rtol=1e-5, atol=1e-8)


def gradients_of(forward, params, Y):
    """Return logits (T*N, V), the state after, and the parameters' gradients of the mean cross-entropy."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    with autograd.record():
        logits, (state,), complete = forward()
        l = loss(logits, nd.array(Y.T.reshape(-1))).mean()
    l.backward()
    complete()
    return [array.asnumpy() for array in (logits, state, *(param.grad for param in params))]


@pytest.mark.parametrize(("N", "T"), [(3, 6), (2, 1), (1, 4), (1, 1)])
def test_a_batch_at_once_equals_the_network_step_by_step(params, N, T):
    """Outputs, state and all gradients: those by hand are autograd's."""
    generator = np.random.default_rng(4)
    X, Y = generator.integers(0, V, (N, T)), generator.integers(0, V, (N, T))
    X[0] = X[0, 0]  # a token that comes more than once: its row's gradients add up
    state = (nd.array(generator.normal(size=(N, H))),)

    def by_steps():
        outputs, after = from_scratch.rnn(from_scratch.to_onehot(X, V), state, params)
        return nd.concat(*outputs, dim=0), after, lambda: None

    expected = gradients_of(by_steps, params, Y)
    for param in params:
        param.grad[:] = math.nan
    found = gradients_of(lambda: from_scratch.rnn_of_batch(nd.array(X), state, params), params, Y)
    assert len(found) == 7
    for ours, theirs in zip(found, expected):
        assert ours.shape == theirs.shape
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_batchs_states_outlive_the_next_batch_of_any_size(params):
    """The loops' memory is their own: nothing that they gave changes later, and no size is taken for another."""
    given, found = [], []
    for N in (2, 3, 2):
        X, state = nd.array(np.arange(N * 4).reshape(N, 4) % V), nd.full((N, H), 0.5)
        with autograd.record():
            logits, (after,), _ = from_scratch.rnn_of_batch(X, (state,), params)
        found.append((logits, after))
        given.append(from_scratch.rnn(from_scratch.to_onehot(X, V), (state,), params))
    for (logits, after), (outputs, (expected,)) in zip(found, given):
        np.testing.assert_allclose(logits.asnumpy(), nd.concat(*outputs, dim=0).asnumpy(), atol=1e-6)
        np.testing.assert_allclose(after.asnumpy(), expected.asnumpy(), atol=1e-6)


def test_the_state_after_a_batch_is_not_recorded(params):
    with autograd.record():
        _, (after,), _ = from_scratch.rnn_of_batch(nd.array([[1, 2]]), from_scratch.init_state(1, H), params)
        l = (after * 2).sum()
    with pytest.raises(mx.MXNetError, match="computational graph"):
        l.backward()


@pytest.mark.parametrize("theta", [None, 0.05, 100.0])
def test_a_step_of_training_equals_numeric_gradient_descent(params, theta):
    tokens = corpus(2 * 4 + 2)
    before = in_numpy(params)
    ((X, Y),) = batches_adjacent(tokens, 2, 4)
    gradients = numeric_gradients(X, Y, before)
    norm = math.sqrt(sum((g**2).sum() for g in gradients))
    scale = 1 if theta is None else min(1, theta / norm)
    assert (scale < 1) == (theta == 0.05)
    (perplexity,) = from_scratch.train_epochs(params, lambda: [(X, Y)], num_epochs=1, lr=0.7, theta=theta)
    assert perplexity == pytest.approx(math.exp(slow_loss(X, Y, np.zeros((2, H)), before)[0]), rel=1e-5)
    for param, old, gradient in zip(params, before, gradients):
        np.testing.assert_allclose(param.asnumpy() - old, -0.7 * scale * gradient, rtol=1e-3, atol=2e-6)


def test_a_carried_state_is_a_constant_to_the_next_batchs_gradient(params):
    """Truncated back-propagation: no gradient reaches the batch before."""
    batches = list(batches_adjacent(corpus(2 * 9), 2, 4))
    assert len(batches) == 2
    expected, state = in_numpy(params), np.zeros((2, H))
    for X, Y in batches:
        gradients = numeric_gradients(X, Y, expected, state)
        _, state = slow_loss(X, Y, state, expected)
        expected = [param - 0.7 * gradient for param, gradient in zip(expected, gradients)]
    list(from_scratch.train_epochs(params, lambda: batches, num_epochs=1, lr=0.7, theta=None))
    for param, value in zip(params, expected):
        np.testing.assert_allclose(param.asnumpy(), value, atol=1e-5)


@pytest.mark.parametrize(("carry", "states"), [(True, 3), (False, 3 * 4)])
def test_adjacent_batches_carry_the_state_and_random_ones_do_not(params, monkeypatch, carry, states):
    made, init_state = [], from_scratch.init_state
    monkeypatch.setattr(from_scratch, "init_state", lambda *args: made.append(args[:2]) or init_state(*args))
    tokens = corpus(2 * 21)
    assert len(list(batches_adjacent(tokens, 2, 5))) == 4
    list(from_scratch.train_epochs(params, lambda: batches_adjacent(tokens, 2, 5), 3, 1e-3, carry_state=carry))
    assert made == [(2, H)] * states


@pytest.mark.parametrize("carry", [True, False])
def test_an_epochs_perplexity_is_that_of_a_slow_loop_over_its_batches(params, carry):
    batches = list(batches_adjacent(corpus(2 * 21), 2, 5))
    losses, state = [], np.zeros((2, H))
    for X, Y in batches:
        loss, after = slow_loss(X, Y, state, in_numpy(params))
        losses.append(loss)
        state = after if carry else np.zeros((2, H))
    epochs = from_scratch.train_epochs(params, lambda: batches, 2, lr=1e-12, carry_state=carry)  # as good as no steps
    assert list(epochs) == pytest.approx([math.exp(np.mean(losses))] * 2, rel=1e-5)


@pytest.mark.parametrize(("carry", "bound"), [(True, 1.1), (False, 1.3)])
def test_it_learns_a_refrain(carry, bound):
    """Without the state the first characters of a window are ambiguous, which keeps the perplexity above 1.1."""
    vocabulary = Vocabulary(REFRAIN)
    tokens = vocabulary.encode(REFRAIN)
    mx.random.seed(1)
    params = from_scratch.init_params(len(vocabulary), 16)

    def batches():
        return batches_adjacent(tokens, 2, 12) if carry else batches_random(tokens, 2, 11, seed=0)

    perplexities = list(from_scratch.train_epochs(params, batches, 25, carry_state=carry))
    assert perplexities[0] > 4
    assert perplexities[-1] < bound
    assert (
        vocabulary.decode(from_scratch.predict(vocabulary.encode("也罢"), 13, params))
        == "也罢。分开就分开，不分开也罢。"
    )


def test_a_diverging_run_names_epoch_batch_and_learning_rate(params):
    batches = list(batches_adjacent(corpus(), 2, 8))
    with pytest.raises(NonFiniteLoss, match=r"at epoch 1, batch \d, learning rate 1e\+38; last finite loss: \d"):
        list(from_scratch.train_epochs(params, lambda: batches, 5, lr=1e38, theta=None))


def test_a_run_that_starts_from_nan_stops_in_epoch_1_batch_1(params):
    params[4][:] = math.nan
    epochs = from_scratch.train_epochs(params, lambda: batches_adjacent(corpus(), 2, 8), 5, lr=0.5)
    with pytest.raises(NonFiniteLoss, match=r"nan at epoch 1, batch 1, learning rate 0\.5; last finite loss: none"):
        next(epochs)


def hand_written_prediction(prefix, num_chars, params):
    """The notes' predict_rnn, with the bounds of claim 16.4."""
    W_xh, W_hh, b_h, W_hy, b_y = params
    h, output = np.zeros(H), [prefix[0]]
    for t in range(num_chars + len(prefix) - 1):
        h = np.tanh(W_xh[output[-1]] + h @ W_hh + b_h)
        if t < len(prefix) - 1:
            output.append(prefix[t + 1])
        else:
            output.append(int(np.argmax(h @ W_hy + b_y)))
    return output


@pytest.mark.parametrize("prefix", [[3], [0, 1], [6, 6, 6, 0, 2]])
@pytest.mark.parametrize("num_tokens", [0, 1, 20])
def test_claim_16_4_prediction_keeps_the_prefix_and_adds_what_a_loop_by_hand_does(params, prefix, num_tokens):
    predicted = from_scratch.predict(prefix, num_tokens, params)
    assert predicted[: len(prefix)] == prefix
    assert len(predicted) == len(prefix) + num_tokens
    assert predicted == hand_written_prediction(prefix, num_tokens, in_numpy(params))


def test_prediction_is_no_constant(params):
    """Else the test above would hold little: the text depends on what was read."""
    texts = [from_scratch.predict([first], 20, params)[1:] for first in range(V)]
    assert len({tuple(text) for text in texts}) > 2
    assert all(len(set(text)) > 1 for text in texts)


@pytest.mark.parametrize(
    ("prefix", "num_tokens", "error", "message"),
    [
        ([], 3, ValueError, "length of prefix must be at least 1, got 0"),
        ([0, V], 3, ValueError, rf"prefix\[1\] must be from 0 to {V - 1}, got {V}"),
        ([-1], 3, ValueError, rf"prefix\[0\] must be from 0 to {V - 1}, got -1"),
        ([0], -1, ValueError, "num_tokens must be at least 0, got -1"),
        ([0], 1.5, TypeError, "num_tokens must be a whole number, got 1.5"),
    ],
)
def test_prediction_refuses_wrong_arguments(params, prefix, num_tokens, error, message):
    with pytest.raises(error, match=message):
        from_scratch.predict(prefix, num_tokens, params)


@pytest.mark.parametrize(("sizes", "name"), [((0, 4), "vocab_size"), ((4, 0), "num_hiddens")])
def test_empty_networks_are_refused(sizes, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        from_scratch.init_params(*sizes)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ({"num_epochs": 1.5}, TypeError, "num_epochs must be a whole number, got 1.5"),
        ({"lr": -1}, ValueError, "lr must be above 0, got -1"),
        ({"theta": 0}, ValueError, "theta must be above 0, got 0"),
    ],
)
def test_training_refuses_wrong_arguments(settings, error, message):
    params = from_scratch.init_params(30, 4)
    with pytest.raises(error, match=message):
        next(from_scratch.train_epochs(params, lambda: batches_adjacent(range(30), 2, 6), **settings))


def test_an_epoch_without_batches_is_refused():
    used_up = iter([next(batches_adjacent(range(30), 2, 6))])
    epochs = from_scratch.train_epochs(from_scratch.init_params(30, 4), lambda: used_up)
    next(epochs)
    with pytest.raises(ValueError, match="batches must give at least one batch an epoch, got none in epoch 2"):
        next(epochs)


@pytest.mark.parametrize("place", [0, 1])
def test_training_refuses_an_index_that_the_network_does_not_know(place):
    batch = [np.zeros((2, 3), np.int32), np.zeros((2, 3), np.int32)]
    batch[place][1, 2] = 30
    epochs = from_scratch.train_epochs(from_scratch.init_params(30, 4), lambda: [batch])
    with pytest.raises(ValueError, match=rf"{'XY'[place]}\[5\] must be from 0 to 29, got 30"):
        next(epochs)
