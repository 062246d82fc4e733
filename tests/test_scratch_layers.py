"""Dense layers, activations and dropout: forward and back as by hand, by numeric differences, and as Gluon's."""

import numpy as np
import pytest
from scratch_helpers import agree

from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.scratch import Dense, Dropout, Layer, ReLU, Sigmoid, Tanh


def dense(D=4, K=3, seed=0):
    rng = np.random.default_rng(seed)
    return Dense(rng.normal(size=(D, K)), rng.normal(size=K))


def test_a_dense_layer_by_hand():
    layer = Dense([[1, 2], [3, 4], [5, 6]], [10, 20])
    assert layer.forward(np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])).tolist() == [[6, 16], [16.5, 29]]
    assert layer.backward(np.array([[1.0, 0.0], [0.0, 10.0]])).tolist() == [[1, 3, 5], [20, 40, 60]]
    assert layer.grads["W"].tolist() == [[1, 5], [0, 20], [-1, 0]]
    assert layer.grads["b"].tolist() == [1, 10]


def test_a_dense_layer_equals_a_loop():
    layer, X = dense(), np.random.default_rng(1).normal(size=(5, 4))
    W, b = layer.params["W"], layer.params["b"]
    expected = [[sum(X[n, d] * W[d, k] for d in range(4)) + b[k] for k in range(3)] for n in range(5)]
    np.testing.assert_allclose(layer.forward(X), expected, rtol=1e-13)


@pytest.mark.parametrize("shape", [(5, 4), (1, 4), (3, 2, 2), (2, 1, 4, 1)])
def test_a_dense_layers_gradients_equal_numeric_differences(shape):
    agree(dense(), np.random.default_rng(2).normal(size=shape))


@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 2)])
def test_a_dense_layer_equals_gluons_with_the_transposed_weights(shape):
    layer, X = dense(), np.random.default_rng(3).normal(size=shape)
    theirs = gluon.nn.Dense(3, in_units=4, dtype="float64")
    theirs.initialize()
    theirs.weight.set_data(nd.array(layer.params["W"].T, dtype="float64"))
    theirs.bias.set_data(nd.array(layer.params["b"], dtype="float64"))
    x, dY = nd.array(X, dtype="float64"), np.random.default_rng(4).normal(size=(len(X), 3))
    x.attach_grad()
    with autograd.record():
        y = theirs(x)
    y.backward(nd.array(dY, dtype="float64"))
    np.testing.assert_allclose(layer.forward(X), y.asnumpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(dY), x.grad.asnumpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.grads["W"], theirs.weight.grad().asnumpy().T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(layer.grads["b"], theirs.bias.grad().asnumpy(), rtol=1e-12)


def test_a_dense_layer_takes_no_examples():
    layer = dense()
    assert layer.forward(np.zeros((0, 2, 2))).shape == (0, 3)
    assert layer.backward(np.zeros((0, 3))).shape == (0, 2, 2)
    assert not layer.grads["W"].any()


@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 3), (4,), (0, 5)])
def test_a_dense_layer_refuses_examples_of_another_length(shape):
    with pytest.raises(ValueError, match=r"^X must have 4 values an example, got shape \("):
        dense().forward(np.zeros(shape))


@pytest.mark.parametrize(
    ("W", "b", "message"),
    [
        (np.zeros((3, 2)), np.zeros(3), r"b must have the shape \(2\), got \(3,\)"),
        (np.zeros((3, 2)), np.zeros((1, 2)), r"b must have the shape \(2\), got \(1, 2\)"),
        (np.zeros(3), np.zeros(3), r"W must have the shape \(any, any\), got \(3,\)"),
        (0.0, 0.0, r"W must have the shape \(any, any\), got \(\)"),
    ],
)
def test_a_dense_layer_refuses_weights_that_do_not_fit(W, b, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Dense(W, b)


def test_a_layer_keeps_no_reference_to_the_callers_weights():
    W, b = np.ones((2, 2)), np.ones(2)
    layer = Dense(W, b)
    W[:] = b[:] = 7
    assert layer.params["W"].tolist() == [[1, 1], [1, 1]]
    layer.params["b"] -= 0.5
    assert layer.params["b"].tolist() == [0.5, 0.5]
    assert b.tolist() == [7, 7]


def test_a_layer_takes_mxnets_arrays():
    layer = Dense(nd.array([[1, 2], [3, 4]]), nd.array([5, 6]))
    assert layer.params["W"].dtype == np.float32
    assert layer.forward(np.array([[1, 1]], "float32")).tolist() == [[9, 12]]


# By name: the layer, the same by a formula, and MXNet's.
ACTIVATIONS = {
    "relu": (ReLU, lambda x: x if x > 0 else 0.0),
    "sigmoid": (Sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": (Tanh, lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 2, 2)])
def test_an_activation_equals_its_formula_numeric_differences_and_gluons(name, shape):
    kind, formula = ACTIVATIONS[name]
    layer, X = kind(), np.random.default_rng(5).normal(size=shape) * 2
    np.testing.assert_allclose(layer.forward(X), np.vectorize(formula)(X), rtol=1e-12)
    agree(layer, X)
    theirs, x = gluon.nn.Activation(name), nd.array(X, dtype="float64")
    x.attach_grad()
    dY = np.random.default_rng(6).normal(size=shape)
    with autograd.record():
        y = theirs(x)
    y.backward(nd.array(dY, dtype="float64"))
    np.testing.assert_allclose(layer.forward(X), y.asnumpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(dY), x.grad.asnumpy(), rtol=1e-10)


def test_relus_gradient_is_0_at_0_and_1_above():
    layer = ReLU()
    assert layer.forward(np.array([-1.0, 0.0, 1e-300, 5.0])).tolist() == [0, 0, 1e-300, 5]
    assert layer.backward(np.full(4, 3.0)).tolist() == [0, 0, 3, 3]


def test_sigmoids_gradient_is_a_quarter_at_0_and_never_more():
    layer = Sigmoid()
    X = np.linspace(-8, 8, 101)
    layer.forward(X)
    gradient = layer.backward(np.ones_like(X))
    assert gradient.argmax() == 50
    assert gradient.max() == 0.25


@pytest.mark.parametrize("kind", [Sigmoid, Tanh])
def test_far_out_activations_saturate_without_a_warning(kind):
    layer, X = kind(), np.array([-1e4, 1e4])
    with np.errstate(all="raise"):
        Y = layer.forward(X)
        assert layer.backward(np.ones(2)).tolist() == [0, 0]
    assert Y.tolist() == [0 if kind is Sigmoid else -1, 1]


@pytest.mark.parametrize("kind", [ReLU, Sigmoid, Tanh])
def test_an_activation_leaves_its_input_as_it_is(kind):
    X = np.array([-1.0, 2.0])
    dY = np.array([3.0, 4.0])
    layer = kind()
    layer.forward(X)
    layer.backward(dY)
    assert (X.tolist(), dY.tolist()) == ([-1, 2], [3, 4])
    assert layer.params == layer.grads == {}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("make", [ReLU, Sigmoid, Tanh, lambda: Dropout(0.5, np.random.default_rng(0))])
def test_float32_stays_float32(make, train):
    layer = make()
    assert layer.forward(np.ones((3, 2), "float32"), train).dtype == np.float32
    assert layer.backward(np.ones((3, 2), "float32")).dtype == np.float32


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_claim_10_4_dropout_keeps_the_mean_and_drops_its_share(rate):
    layer, X = Dropout(rate, np.random.default_rng(0)), np.full((400, 250), 3.0)
    Y = layer.forward(X, train=True)
    n = X.size
    assert abs((Y == 0).mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / n)
    assert abs(Y.mean() - 3) < 5 * 3 * np.sqrt(rate / (1 - rate) / n)
    np.testing.assert_allclose(np.unique(Y), [0, 3 / (1 - rate)], rtol=1e-14)


def test_dropout_does_nothing_at_prediction_and_draws_nothing():
    rng = np.random.default_rng(0)
    layer, X = Dropout(0.9, rng), np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(layer.forward(X), X)
    np.testing.assert_array_equal(layer.backward(X + 1), X + 1)
    assert rng.random() == np.random.default_rng(0).random()


def test_dropouts_way_back_has_the_same_mask():
    layer, X = Dropout(0.5, np.random.default_rng(0)), np.full((20, 20), 3.0)
    for _ in range(2):  # each batch has a mask of its own
        Y = layer.forward(X, train=True)
        dY = np.random.default_rng(1).normal(size=X.shape)
        np.testing.assert_allclose(layer.backward(dY), dY * Y / X, rtol=1e-14)
    assert (layer.forward(X, train=True) != Y).any()


def test_dropout_drops_value_by_value_and_reproducibly():
    masks = [Dropout(0.5, np.random.default_rng(7)).forward(np.ones((8, 8)), train=True) for _ in range(2)]
    np.testing.assert_array_equal(*masks)
    assert len({tuple(row) for row in masks[0]}) == len({tuple(column) for column in masks[0].T}) == 8


def test_dropout_of_rate_0_drops_nothing():
    X = np.random.default_rng(0).normal(size=(50, 50))
    np.testing.assert_array_equal(Dropout(0, np.random.default_rng(0)).forward(X, train=True), X)


@pytest.mark.parametrize("rate", [1, -0.1, 1.5, float("nan")])
def test_a_rate_must_be_from_0_to_below_1(rate):
    with pytest.raises(ValueError, match=rf"^rate must be at least 0 and below 1, got {rate}$"):
        Dropout(rate, np.random.default_rng(0))


def test_the_base_of_all_layers_goes_neither_way():
    layer = Layer(W=np.ones(2))
    assert layer.params["W"].tolist() == [1, 1]
    assert layer.grads == {}
    with pytest.raises(NotImplementedError):
        layer.forward(np.ones(2))
    with pytest.raises(NotImplementedError):
        layer.backward(np.ones(2))
