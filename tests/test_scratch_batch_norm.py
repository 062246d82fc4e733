"""Claim 6.1: batch normalisation forward and back, in training and with running statistics, equals Gluon's."""

import math

import numpy as np
import pytest
from scratch_helpers import numeric

from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.scratch import BatchNorm

SHAPES = [(6, 3), (4, 3, 2, 3)]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape) * 3 + 2


def layer_of(momentum=0.9, epsilon=1e-5, dtype="float64"):
    """A layer whose statistics, scale and shift are no 0 and no 1."""
    layer = BatchNorm(
        np.array([0.5, -1.5, 2.0], dtype), np.array([1.0, 0.25, -3.0], dtype), momentum=momentum, epsilon=epsilon
    )
    layer.running_mean, layer.running_var = np.array([0.5, 1.0, 2.0], dtype), np.array([1.0, 4.0, 0.5], dtype)
    return layer


def gluons(layer):
    theirs = gluon.nn.BatchNorm(momentum=layer.momentum, epsilon=layer.epsilon, in_channels=3)
    theirs.initialize()
    for param, value in (
        (theirs.gamma, layer.params["gamma"]),
        (theirs.beta, layer.params["beta"]),
        (theirs.running_mean, layer.running_mean),
        (theirs.running_var, layer.running_var),
    ):
        param.set_data(nd.array(value))
    return theirs


def test_a_batch_by_hand():
    layer = BatchNorm([2.0], [10.0], epsilon=1e-12)
    np.testing.assert_allclose(layer.forward(np.array([[1.0], [3.0]]), train=True), [[8], [12]], rtol=1e-11)
    assert layer.running_mean.tolist() == pytest.approx([0.2])
    assert layer.running_var.tolist() == pytest.approx([1.0])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_channel_gets_mean_0_and_variance_1_over_the_batch(shape):
    X = drawn(shape)
    Y = BatchNorm(np.ones(3), np.zeros(3), epsilon=1e-12).forward(X, train=True)
    for c in range(3):
        assert Y[:, c].mean() == pytest.approx(0, abs=1e-12)
        assert Y[:, c].var() == pytest.approx(1, rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_training_equals_a_loop_over_channels(shape):
    X, layer = drawn(shape), layer_of(momentum=0.7, epsilon=0.1)
    Y = layer.forward(X, train=True)
    for c in range(3):
        values = X[:, c].ravel().tolist()
        mean = sum(values) / len(values)
        var = sum((v - mean) ** 2 for v in values) / len(values)
        gamma, beta = layer.params["gamma"][c], layer.params["beta"][c]
        expected = [gamma * (v - mean) / math.sqrt(var + 0.1) + beta for v in values]
        np.testing.assert_allclose(Y[:, c].ravel(), expected, rtol=1e-12)
        before = layer_of()
        assert layer.running_mean[c] == pytest.approx(0.7 * before.running_mean[c] + 0.3 * mean, rel=1e-12)
        assert layer.running_var[c] == pytest.approx(0.7 * before.running_var[c] + 0.3 * var, rel=1e-12)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_equal_numeric_differences(shape, train):
    X, layer = drawn(shape), layer_of(epsilon=0.05)
    statistics = layer.running_mean, layer.running_var

    def forward():
        layer.running_mean, layer.running_var = statistics
        return layer.forward(X, train)

    dY = np.random.default_rng(1).normal(size=shape)
    forward()
    dX, grads = layer.backward(dY), dict(layer.grads)
    np.testing.assert_allclose(dX, numeric(lambda: (forward() * dY).sum(), X, step=1e-5), rtol=1e-5, atol=1e-8)
    assert grads.keys() == {"gamma", "beta"}
    for name, param in layer.params.items():
        expected = numeric(lambda: (forward() * dY).sum(), param, step=1e-5)
        np.testing.assert_allclose(grads[name], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_claim_6_1_forward_backward_and_statistics_equal_gluons(shape, train):
    """Over three batches; MXNet's has float32 only."""
    layer = layer_of(momentum=0.8, epsilon=1e-3)
    theirs = gluons(layer)
    for seed in range(3):
        X, dY = drawn(shape, seed), np.random.default_rng(seed + 10).normal(size=shape)
        x = nd.array(X)
        x.attach_grad()
        with autograd.record(train_mode=train):
            y = theirs(x)
        y.backward(nd.array(dY), train_mode=train)
        np.testing.assert_allclose(layer.forward(X, train), y.asnumpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(layer.backward(dY), x.grad.asnumpy(), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(layer.grads["gamma"], theirs.gamma.grad().asnumpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(layer.grads["beta"], theirs.beta.grad().asnumpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(layer.running_mean, theirs.running_mean.data().asnumpy(), rtol=1e-5)
        np.testing.assert_allclose(layer.running_var, theirs.running_var.data().asnumpy(), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_out_of_training_the_running_statistics_serve_and_stay(shape):
    X, layer = drawn(shape), layer_of(epsilon=0.1)
    Y = layer.forward(X)
    wide = (1, 3) + (1,) * (len(shape) - 2)
    mean, var = layer_of().running_mean.reshape(wide), layer_of().running_var.reshape(wide)
    gamma, beta = layer.params["gamma"].reshape(wide), layer.params["beta"].reshape(wide)
    np.testing.assert_allclose(Y, gamma * (X - mean) / np.sqrt(var + 0.1) + beta, rtol=1e-12)
    assert layer.running_mean.tolist() == layer_of().running_mean.tolist()
    assert layer.running_var.tolist() == layer_of().running_var.tolist()
    np.testing.assert_allclose(layer.forward(X[:1]), Y[:1], rtol=1e-12)  # whatever else is in the batch


def test_at_first_the_running_statistics_change_next_to_nothing():
    layer = BatchNorm(np.ones(3), np.zeros(3))
    X = drawn((5, 3))
    assert (layer.running_mean.tolist(), layer.running_var.tolist()) == ([0, 0, 0], [1, 1, 1])
    np.testing.assert_allclose(layer.forward(X), X / math.sqrt(1 + 1e-5), rtol=1e-14)


def test_the_running_statistics_have_the_type_of_the_scale():
    layer = BatchNorm(np.ones(3, "float32"), np.zeros(3, "float32"))
    assert layer.forward(drawn((5, 3)).astype("float32")).dtype == np.float32
    assert (layer.running_mean.dtype, layer.running_var.dtype) == (np.float32, np.float32)


def test_after_many_batches_the_running_statistics_are_the_datas():
    layer, rng = BatchNorm(np.ones(1), np.zeros(1), momentum=0.9), np.random.default_rng(0)
    for _ in range(200):
        layer.forward(rng.normal(5, 3, (1000, 1)), train=True)
    assert layer.running_mean[0] == pytest.approx(5, abs=0.15)
    assert layer.running_var[0] == pytest.approx(9, rel=0.05)


@pytest.mark.parametrize(("momentum", "stays"), [(0, 0.0), (1, 1.0)])
def test_momentum_is_what_stays(momentum, stays):
    layer, X = layer_of(momentum=momentum), drawn((6, 3))
    layer.forward(X, train=True)
    np.testing.assert_allclose(layer.running_mean, layer_of().running_mean if stays else X.mean(axis=0))


def test_a_batch_of_one_and_a_constant_feature_become_the_shift():
    layer = BatchNorm([2.0, 3.0], [5.0, 7.0])
    assert layer.forward(np.array([[4.0, -1.0]]), train=True).tolist() == [[5, 7]]
    assert layer.backward(np.ones((1, 2))).tolist() == [[0, 0]]
    assert layer.grads["gamma"].tolist() == [0, 0]
    assert layer.grads["beta"].tolist() == [1, 1]


def test_a_layer_keeps_no_reference_to_the_callers_arrays():
    gamma, beta = np.ones(2), np.zeros(2)
    layer = BatchNorm(gamma, beta)
    gamma[:] = beta[:] = 9
    assert (layer.params["gamma"].tolist(), layer.params["beta"].tolist()) == ([1, 1], [0, 0])


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_float32_stays_float32_and_the_input_as_it_is(shape, train):
    layer, X = layer_of(dtype="float32"), drawn(shape).astype("float32")
    before = X.copy()
    Y = layer.forward(X, train)
    dX = layer.backward(np.ones_like(Y))
    assert {a.dtype for a in (Y, dX, layer.running_mean, layer.running_var, *layer.grads.values())} == {
        np.dtype("float32")
    }
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("shape", [(5,), (5, 3, 2), (5, 4), (5, 4, 3, 3), (3, 5)])
def test_examples_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"^X must be \(N, 3\) or \(N, 3, H, W\), got shape \("):
        layer_of().forward(np.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [1.0, 2.0]), r"beta must have the shape \(1\), got \(2,\)"),
        (([[1.0]], [1.0]), r"gamma must have the shape \(any\), got \(1, 1\)"),
        (([1.0], [1.0], -0.1), "momentum must be at least 0 and at most 1, got -0.1"),
        (([1.0], [1.0], 1.1), "momentum must be at least 0 and at most 1, got 1.1"),
        (([1.0], [1.0], 0.9, 0), "epsilon must be above 0, got 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        BatchNorm(*arguments)
