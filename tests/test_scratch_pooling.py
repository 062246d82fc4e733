"""Claims 3.1 and 3.2: pooling equals loops, numeric differences and Gluon's layers, overlapping windows included."""

import numpy as np
import pytest

from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.scratch import AvgPool2D, MaxPool2D

# (H, W), size, stride
GEOMETRIES = [
    ((4, 6), 2, None),
    ((5, 7), 3, 2),
    ((5, 5), 3, 1),
    ((4, 5), (2, 3), (1, 2)),
    ((7, 4), (1, 2), (3, 2)),
    ((3, 2), (3, 2), None),
    ((3, 3), 1, None),
]
KINDS = {MaxPool2D: gluon.nn.MaxPool2D, AvgPool2D: gluon.nn.AvgPool2D}


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def distinct(shape, seed=0):
    """Values that differ by 0.1 at least: a small step changes no maximum."""
    return np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape) / 10.0


def slow(X, size, stride):
    """Every window with its output's place, by loops."""
    (kh, kw), (sh, sw) = pair(size), pair(size if stride is None else stride)
    OH, OW = (X.shape[2] - kh) // sh + 1, (X.shape[3] - kw) // sw + 1
    for n, c, y, x in np.ndindex(*X.shape[:2], OH, OW):
        yield (n, c, y, x), X[n, c, y * sh : y * sh + kh, x * sw : x * sw + kw]


def test_claim_3_1_pooling_by_hand():
    X = np.array([[[[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]]])
    assert MaxPool2D().forward(X).tolist() == [[[[6, 8], [3, 4]]]]
    assert AvgPool2D().forward(X).tolist() == [[[[3.25, 5.25], [2, 2]]]]
    assert MaxPool2D(3, stride=1).forward(X).tolist() == [[[[7, 8], [7, 8]]]]


@pytest.mark.parametrize(("size", "outcome"), [((224, 2, 2), 112), ((55, 3, 2), 27), ((6, 2, None), 3)])
def test_claim_3_1_the_output_has_the_depth_of_the_input_and_there_are_no_parameters(size, outcome):
    side, window, stride = size
    layer = MaxPool2D(window, stride)
    assert layer.forward(np.zeros((1, 3, side, side))).shape == (1, 3, outcome, outcome)
    assert layer.params == {}


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("kind", KINDS)
def test_pooling_equals_loops_and_its_gradient_numeric_differences(kind, geometry):
    shape, size, stride = geometry
    X, layer = distinct((2, 3, *shape)), kind(size, stride)
    Y = layer.forward(X)
    for place, window in slow(X, size, stride):
        assert Y[place] == pytest.approx(window.max() if kind is MaxPool2D else window.mean(), rel=1e-14)
    dY = np.random.default_rng(1).normal(size=Y.shape)
    dX = layer.backward(dY)
    numeric = np.zeros(X.shape)
    for place in np.ndindex(X.shape):
        sides = []
        for step in (1e-3, -1e-3):  # linear between ties: exact for any small step
            moved = X.copy()
            moved[place] += step
            sides.append((layer.forward(moved) * dY).sum())
        numeric[place] = (sides[0] - sides[1]) / 2e-3
    assert dX.shape == X.shape
    np.testing.assert_allclose(dX, numeric, atol=1e-9)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("kind", KINDS)
def test_claim_3_2_pooling_and_its_way_back_equal_gluons(kind, geometry):
    shape, size, stride = geometry
    X, layer = distinct((2, 3, *shape), seed=2), kind(size, stride)
    theirs, x = KINDS[kind](size, stride), nd.array(X, dtype="float64")
    x.attach_grad()
    with autograd.record():
        y = theirs(x)
    dY = np.random.default_rng(3).normal(size=y.shape)
    y.backward(nd.array(dY, dtype="float64"))
    np.testing.assert_allclose(layer.forward(X), y.asnumpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.backward(dY), x.grad.asnumpy(), atol=1e-13)


def test_switches_name_the_place_in_the_window_and_of_equals_the_first():
    layer = MaxPool2D((2, 3))
    X = np.array([[[[0, 0, 1, 5, 5, 5], [0, 9, 9, 5, 5, 5.0]]]])
    layer.forward(X)
    assert layer.switches.tolist() == [[[[4, 0]]]]
    assert layer.backward(np.array([[[[2.0, 3.0]]]])).tolist() == [[[[0, 0, 0, 3, 0, 0], [0, 2, 0, 0, 0, 0]]]]


def test_a_pixel_that_is_the_maximum_of_several_windows_gets_the_sum():
    X = np.zeros((1, 1, 3, 3))
    X[0, 0, 1, 1] = 1
    layer = MaxPool2D(2, stride=1)
    assert layer.forward(X).tolist() == [[[[1, 1], [1, 1]]]]
    assert layer.backward(np.array([[[[1.0, 10.0], [100.0, 1000.0]]]])).tolist() == [
        [[[0, 0, 0], [0, 1111, 0], [0, 0, 0]]]
    ]


def test_maxima_below_zero_are_found():
    assert MaxPool2D(2).forward(np.array([[[[-3.0, -1.0], [-2.0, -4.0]]]])).tolist() == [[[[-1]]]]


def test_averages_share_the_gradient_evenly():
    layer = AvgPool2D(2, stride=1)
    layer.forward(np.zeros((1, 1, 2, 3)))
    assert layer.backward(np.array([[[[4.0, 8.0]]]])).tolist() == [[[[1, 3, 2], [1, 3, 2]]]]


@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32(kind):
    layer = kind(2)
    assert layer.forward(np.ones((1, 1, 4, 4), "float32")).dtype == np.float32
    assert layer.backward(np.ones((1, 1, 2, 2), "float32")).dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_the_input_is_left_as_it_is(kind):
    X = distinct((1, 1, 4, 4))
    before, layer = X.copy(), kind(2)
    Y = layer.forward(X)
    Y[:] = 7
    layer.backward(np.ones((1, 1, 2, 2)))
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("kind", KINDS)
def test_windows_that_do_not_fit_are_refused(kind):
    with pytest.raises(ValueError, match=r"^a filter of 2 with stride 2 does not fit 5 pixels with padding 0: "):
        kind(2).forward(np.zeros((1, 1, 4, 5)))
    with pytest.raises(ValueError, match=r"^a filter that reaches over 3 pixels is larger than 2 with padding 0$"):
        kind(3).forward(np.zeros((1, 1, 2, 5)))
    with pytest.raises(ValueError, match=r"^X must be \(N, C, H, W\), got shape \(4, 4\)$"):
        kind(2).forward(np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"^stride must be at least 1, got 0$"):
        kind(2, stride=0).forward(np.zeros((1, 1, 4, 4)))
