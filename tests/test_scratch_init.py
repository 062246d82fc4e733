"""Initial weights: the deviation that each kind promises, for a dense layer and for a convolution."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonbook.scratch import weights

DEVIATIONS = {
    "zeros": lambda n: 0,
    "small": lambda n: 0.01,
    "xavier": lambda n: 1 / math.sqrt(n),
    "he": lambda n: math.sqrt(2 / n),
}


@pytest.mark.parametrize("kind", DEVIATIONS)
@pytest.mark.parametrize(("shape", "num_inputs"), [((400, 300), 400), ((50, 900), 50), ((64, 16, 5, 3), 16 * 5 * 3)])
def test_weights_have_mean_0_and_the_kinds_deviation(kind, shape, num_inputs):
    W = weights(shape, kind, np.random.default_rng(0))
    expected, n = DEVIATIONS[kind](num_inputs), np.prod(shape)
    assert (W.shape, W.dtype) == (shape, np.float64)
    assert abs(W.mean()) <= 5 * expected / math.sqrt(n)
    assert abs(W.std() - expected) <= 5 * expected / math.sqrt(2 * n)


def test_weights_are_normal():
    W = weights((300, 300), "small", np.random.default_rng(0)) / 0.01
    for bound, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert (np.abs(W) < bound).mean() == pytest.approx(share, abs=5 * 0.5 / 300)


@given(seed=st.integers(0, 2**32))
def test_a_seed_gives_the_same_weights_whatever_their_scale(seed):
    first, second, small = (
        weights((3, 2), kind, np.random.default_rng(seed)) for kind in ("xavier", "xavier", "small")
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(small, first * math.sqrt(3) * 0.01, rtol=1e-14)


def test_the_generator_goes_on():
    rng = np.random.default_rng(0)
    assert (weights((3, 2), "he", rng) != weights((3, 2), "he", rng)).all()


@pytest.mark.parametrize("depth", [20])
def test_claim_5_3_xavier_keeps_a_linear_stacks_variance_and_he_a_relu_stacks(depth):
    rng = np.random.default_rng(0)
    linear = relu = rng.normal(size=(200, 300))
    wrong = linear
    for _ in range(depth):
        linear = linear @ weights((300, 300), "xavier", rng)
        relu = np.maximum(relu, 0) @ weights((300, 300), "he", rng)
        wrong = np.maximum(wrong, 0) @ weights((300, 300), "xavier", rng)
    assert 0.5 < linear.std() < 2
    assert 0.5 < relu.std() < 2
    assert wrong.std() < 3 * 2 ** (-depth / 2)


@pytest.mark.parametrize("shape", [(), (3,), (3, 2, 2), (1, 2, 3, 4, 5)])
def test_a_shape_of_neither_is_refused(shape):
    with pytest.raises(ValueError, match=r"^shape must be \(D, K\) or \(O, C, kh, kw\), got \("):
        weights(shape, "he", np.random.default_rng(0))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0, 3, 3)])
@pytest.mark.parametrize("kind", DEVIATIONS)
def test_a_neuron_without_inputs_is_refused(shape, kind):
    with pytest.raises(ValueError, match=r"^inputs of a neuron must be at least 1, got 0$"):
        weights(shape, kind, np.random.default_rng(0))


def test_a_layer_without_neurons_has_no_weights():
    assert weights((3, 0), "he", np.random.default_rng(0)).shape == (3, 0)


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"^kind must be one of zeros, small, xavier, he; got 'kaiming'$"):
        weights((3, 2), "kaiming", np.random.default_rng(0))
