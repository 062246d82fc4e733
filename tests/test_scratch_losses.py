"""Claims 7.1, 9.2 and 9.3: losses and their gradients, by hand, by numeric differences, and as Gluon's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scratch_helpers import numeric_of

from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.scratch import quadratic, softmax, softmax_cross_entropy

LOGITS = arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-700, 700))


def drawn(N=5, K=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, K)) * 3, rng.integers(0, K, N)


def test_softmax_by_hand():
    np.testing.assert_allclose(softmax(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]], rtol=1e-14)


@given(LOGITS)
def test_claim_9_3_softmax_gives_rows_that_sum_to_1_and_keep_their_order(logits):
    p = softmax(logits)
    assert p.shape == logits.shape
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(softmax(logits + 123.0), p, rtol=1e-9, atol=1e-15)  # a constant changes nothing
    for row, values in zip(p, logits):
        assert (np.diff(row[values.argsort()]) >= 0).all()


def test_claim_9_3_softmax_is_stable_for_large_logits():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        p = softmax(np.array([[1e4, 0.0, 1e4], [-1e4, -1e4, -1e5], [1e300, -1e300, 0.0]]))
    assert p.tolist() == [[0.5, 0, 0.5], [0.5, 0.5, 0], [1, 0, 0]]


def test_softmax_and_the_cross_entropy_equal_gluons():
    logits, labels = drawn()
    x = nd.array(logits, dtype="float64")
    np.testing.assert_allclose(softmax(logits), nd.softmax(x).asnumpy(), rtol=1e-12)
    x.attach_grad()
    with autograd.record():
        theirs = gluon.loss.SoftmaxCrossEntropyLoss()(x, nd.array(labels, dtype="float64")).mean()
    theirs.backward()
    loss, gradient = softmax_cross_entropy(logits, labels)
    assert loss == pytest.approx(theirs.asscalar(), rel=1e-12)
    np.testing.assert_allclose(gradient, x.grad.asnumpy(), rtol=1e-10, atol=1e-15)


def test_claim_7_1_the_first_loss_is_the_logarithm_of_the_number_of_classes():
    loss, _ = softmax_cross_entropy(np.zeros((7, 10)), np.arange(7))
    assert type(loss) is float
    assert loss == pytest.approx(math.log(10), rel=1e-15)


def test_the_cross_entropy_equals_a_loop():
    logits, labels = drawn()
    losses = [-math.log(math.exp(z[y]) / sum(math.exp(v) for v in z)) for z, y in zip(logits, labels)]
    assert softmax_cross_entropy(logits, labels)[0] == pytest.approx(sum(losses) / len(losses), rel=1e-13)


@pytest.mark.parametrize("N", [1, 5])
def test_claim_9_2_the_gradient_is_p_minus_y_and_equals_numeric_differences(N):
    logits, labels = drawn(N)
    _, gradient = softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(gradient, (softmax(logits) - np.eye(4)[labels]) / N, atol=1e-15)
    expected = numeric_of(lambda z: softmax_cross_entropy(z, labels)[0], logits)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


def test_a_certain_and_wrong_answer_costs_its_margin_and_not_infinity():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, gradient = softmax_cross_entropy(np.array([[1000.0, 0.0]]), [1])
    assert loss == 1000
    assert gradient.tolist() == [[1, -1]]


@pytest.mark.parametrize("labels", [[1, 0], (1, 0), np.array([1, 0], "uint8"), np.array([1.0, 0.0]), nd.array([1, 0])])
def test_labels_of_any_kind_are_taken(labels):
    logits = np.array([[0.0, 5.0], [5.0, 0.0]])
    assert softmax_cross_entropy(logits, labels)[0] == pytest.approx(math.log(1 + math.exp(-5)))


def test_the_cross_entropy_leaves_logits_and_labels_as_they_are():
    logits, labels = drawn()
    before = logits.copy(), labels.copy()
    softmax_cross_entropy(logits, labels)
    softmax(logits)
    np.testing.assert_array_equal(logits, before[0])
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], r"labels\[1\] must be from 0 to 2, got 3"),
        ([-1, 0], r"labels\[0\] must be from 0 to 2, got -1"),
        ([0], "labels must be as many as rows of logits, 2, at least 1; got 1"),
        ([0, 1, 2], "labels must be as many as rows of logits, 2, at least 1; got 3"),
        ([[0, 1]], r"labels must be one row of indices, \(L,\), got shape \(1, 2\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        softmax_cross_entropy(np.zeros((2, 3)), labels)


def test_labels_that_are_no_whole_numbers_are_refused():
    with pytest.raises(TypeError, match=r"^labels must hold whole numbers, got dtype float64$"):
        softmax_cross_entropy(np.zeros((2, 3)), [0.5, 1])


def test_no_examples_have_no_mean():
    with pytest.raises(ValueError, match=r"^labels must be as many as rows of logits, 0, at least 1; got 0$"):
        softmax_cross_entropy(np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match=r"^targets must have the outputs' shape \(0, 3\), got \(0, 3\)$"):
        quadratic(np.zeros((0, 3)), np.zeros((0, 3)))


def test_the_quadratic_loss_by_hand():
    loss, gradient = quadratic(np.array([[1.0, 2.0], [0.0, 4.0]]), [[0, 2], [3, 0]])
    assert (loss, type(loss)) == ((1 / 2 + (9 + 16) / 2) / 2, float)
    assert gradient.tolist() == [[0.5, 0], [-1.5, 2]]


def test_the_quadratic_loss_equals_gluons_and_numeric_differences():
    """Gluon's is the mean over an example's outputs, too."""
    rng = np.random.default_rng(1)
    outputs, targets = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    x = nd.array(outputs, dtype="float64")
    x.attach_grad()
    with autograd.record():
        theirs = gluon.loss.L2Loss()(x, nd.array(targets, dtype="float64")).mean() * 3
    theirs.backward()
    loss, gradient = quadratic(outputs, targets)
    assert loss == pytest.approx(theirs.asscalar(), rel=1e-12)
    np.testing.assert_allclose(gradient, x.grad.asnumpy(), rtol=1e-12)
    np.testing.assert_allclose(gradient, numeric_of(lambda a: quadratic(a, targets)[0], outputs), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(2,), (2, 1), (1, 3), (3, 2), (2, 3, 1)])
def test_targets_of_another_shape_are_refused(shape):
    """NumPy would repeat some of them without a word."""
    with pytest.raises(ValueError, match=r"^targets must have the outputs' shape \(2, 3\), got \("):
        quadratic(np.zeros((2, 3)), np.zeros(shape))
