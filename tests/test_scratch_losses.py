"""Claims 7.1, 9.2 and 9.3: losses and their gradients, by hand, by numeric differences, and as Gluon's."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scratch_helpers import numeric_of

from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.scratch import (
    hinge,
    multiclass_hinge,
    quadratic,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
)

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


def signs_drawn(N=5, K=3, seed=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, K)) * 2, rng.choice([-1, 1], (N, K))


def test_the_sigmoid_cross_entropy_by_hand():
    """σ(log 3) is 3/4."""
    loss, gradient = sigmoid_cross_entropy(np.log([[3.0, 1.0], [1.0, 3.0]]), [[1, 1], [0, 0]])
    assert type(loss) is float
    assert loss == pytest.approx((math.log(4 / 3) + 2 * math.log(2) + math.log(4)) / 2, rel=1e-14)
    np.testing.assert_allclose(gradient, [[-1 / 8, -1 / 4], [1 / 4, 3 / 8]], rtol=1e-14)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 1), (5, 4)])
def test_claim_9_2_the_sigmoid_cross_entropy_equals_a_loop_gluons_and_numeric_differences(shape):
    """Gluon's is the mean over an example's outputs. The targets are soft, too."""
    rng = np.random.default_rng(3)
    logits, targets = rng.normal(size=shape) * 3, rng.random(shape)
    loss, gradient = sigmoid_cross_entropy(logits, targets)
    total = 0.0
    for z, y in zip(logits.ravel(), targets.ravel()):
        p = 1 / (1 + math.exp(-z))
        total += -y * math.log(p) - (1 - y) * math.log(1 - p)
    assert loss == pytest.approx(total / shape[0], rel=1e-12)
    x = nd.array(logits, dtype="float64")
    x.attach_grad()
    with autograd.record():
        theirs = gluon.loss.SigmoidBinaryCrossEntropyLoss()(x, nd.array(targets, dtype="float64")).mean() * shape[1]
    theirs.backward()
    assert loss == pytest.approx(theirs.asscalar(), rel=1e-12)
    np.testing.assert_allclose(gradient, x.grad.asnumpy(), rtol=1e-10)
    np.testing.assert_allclose(gradient, (1 / (1 + np.exp(-logits)) - targets) / shape[0], rtol=1e-12)
    expected = numeric_of(lambda z: sigmoid_cross_entropy(z, targets)[0], logits)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9)


def test_at_a_logit_of_0_the_gradient_is_a_half_where_gluons_is_not():
    """Gluon's loss is made of max(z, 0) and |z|, and MXNet gives both the slope 0 at 0."""
    targets = [[0.0], [1.0], [0.5]]
    assert (sigmoid_cross_entropy(np.zeros((3, 1)), targets)[1] * 3).tolist() == [[0.5], [-0.5], [0.0]]
    x = nd.zeros((3, 1))
    x.attach_grad()
    with autograd.record():
        theirs = gluon.loss.SigmoidBinaryCrossEntropyLoss()(x, nd.array(targets))
    theirs.backward()
    assert x.grad.asnumpy().tolist() == [[0.0], [-1.0], [-0.5]]


def test_claim_9_3_logits_far_out_cost_their_size_and_not_infinity():
    logits, targets = np.array([[1e4, -1e4, 1e4, -1e4], [1e300, -1e300, 0, 0]]), [[0, 1, 1, 0], [1, 0, 0, 1]]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, gradient = sigmoid_cross_entropy(logits, targets)
    assert loss == pytest.approx((2e4 + 2 * math.log(2)) / 2, rel=1e-15)
    assert gradient.tolist() == [[0.5, -0.5, 0, 0], [0, 0, 0.25, -0.25]]


@given(LOGITS, st.integers(0, 2**32 - 1))
def test_the_sigmoid_cross_entropy_is_never_negative_and_turned_round_it_is_the_same(logits, seed):
    targets = np.random.default_rng(seed).integers(0, 2, logits.shape)
    loss, gradient = sigmoid_cross_entropy(logits, targets)
    turned, turned_gradient = sigmoid_cross_entropy(-logits, 1 - targets)
    assert loss >= 0
    assert (np.sign(gradient) * (2 * targets - 1) <= 0).all()  # always toward the target
    assert turned == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(turned_gradient, -gradient, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("targets", "value"), [([[0, 2]], "2"), ([[-0.5, 1]], "-0.5"), ([[0, 1.001]], "1.001"), ([[0, math.nan]], "nan")]
)
def test_targets_that_are_no_probabilities_are_refused(targets, value):
    with pytest.raises(ValueError, match=f"^targets must be probabilities from 0 to 1, got {value}$"):
        sigmoid_cross_entropy(np.zeros((1, 2)), targets)


def test_the_hinge_loss_by_hand():
    """At a margin of 1 exactly nothing is lost, and nothing is learnt."""
    loss, gradient = hinge(np.array([[2.0, 0.25], [-3.0, 1.0]]), [[1, -1], [1, 1]])
    assert (loss, type(loss)) == ((0 + 1.25 + 4 + 0) / 2, float)
    assert gradient.tolist() == [[0, 0.5], [-0.5, 0]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (5, 1), (5, 3)])
def test_the_hinge_loss_equals_a_loop_gluons_and_numeric_differences(shape):
    """Gluon's is the mean over an example's outputs."""
    outputs, signs = signs_drawn(*shape)
    loss, gradient = hinge(outputs, signs)
    total = sum(max(0.0, 1 - y * a) for y, a in zip(signs.ravel(), outputs.ravel()))
    assert loss == pytest.approx(total / shape[0], rel=1e-13)
    x = nd.array(outputs, dtype="float64")
    x.attach_grad()
    with autograd.record():
        theirs = gluon.loss.HingeLoss()(x, nd.array(signs, dtype="float64")).mean() * shape[1]
    theirs.backward()
    assert loss == pytest.approx(theirs.asscalar(), rel=1e-12)
    np.testing.assert_allclose(gradient, x.grad.asnumpy(), rtol=1e-12)
    np.testing.assert_allclose(gradient, numeric_of(lambda a: hinge(a, signs)[0], outputs), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("signs", "value"), [([[1, 0]], "0"), ([[2, 1]], "2"), ([[1, -0.5]], "-0.5")])
def test_signs_other_than_1_are_refused(signs, value):
    with pytest.raises(ValueError, match=f"^signs must be -1 or 1, got {value}$"):
        hinge(np.zeros((1, 2)), signs)


def test_the_multiclass_hinge_loss_by_hand():
    """5 − 3.25 + 1, and the third class is far enough below; in the second row nothing is lost."""
    loss, gradient = multiclass_hinge(np.array([[3.25, 5.0, -1.75], [1.0, 2.0, 0.0]]), [0, 1])
    assert (loss, type(loss)) == (2.75 / 2, float)
    assert gradient.tolist() == [[-0.5, 0.5, 0], [0, 0, 0]]


@pytest.mark.parametrize(("N", "K"), [(1, 1), (1, 4), (6, 2), (6, 4)])
def test_the_multiclass_hinge_loss_equals_a_loop_and_numeric_differences(N, K):
    scores, labels = drawn(N, K, seed=4)
    loss, gradient = multiclass_hinge(scores, labels)
    total, expected = 0.0, np.zeros((N, K))
    for i, y in enumerate(labels):
        for j in range(K):
            if j != y and scores[i, j] - scores[i, y] + 1 > 0:
                total += scores[i, j] - scores[i, y] + 1
                expected[i, j] += 1 / N
                expected[i, y] -= 1 / N
    assert loss == pytest.approx(total / N, rel=1e-13)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)
    differences = numeric_of(lambda s: multiclass_hinge(s, labels)[0], scores)
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-8)


def test_with_two_classes_the_multiclass_hinge_loss_is_the_hinge_loss_of_their_difference():
    scores, labels = drawn(6, 2, seed=5)
    difference = scores[:, :1] - scores[:, 1:]
    expected = hinge(difference, 1 - 2 * labels[:, None])[0]
    assert multiclass_hinge(scores, labels)[0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("loss", [hinge, multiclass_hinge])
def test_a_hinge_loss_of_far_outputs_is_exact(loss):
    truth = [[1, -1], [-1, 1]] if loss is hinge else [0, 1]
    with np.errstate(over="raise", invalid="raise"):
        value, gradient = loss(np.array([[1e300, -1e300], [-1e300, 1e300]]), truth)
    assert value == 0
    assert not gradient.any()


@pytest.mark.parametrize(
    ("loss", "truth"),
    [
        (sigmoid_cross_entropy, np.array([[0, 1, 0], [1, 1, 0]])),
        (hinge, np.array([[-1, 1, -1], [1, 1, -1]])),
        (multiclass_hinge, np.array([0, 2])),
    ],
)
def test_the_losses_leave_outputs_and_truth_as_they_are_and_take_lists(loss, truth):
    outputs = np.random.default_rng(6).normal(size=(2, 3))
    before = outputs.copy(), truth.copy()
    value, gradient = loss(outputs, truth)
    np.testing.assert_array_equal(outputs, before[0])
    np.testing.assert_array_equal(truth, before[1])
    again, same = loss(outputs, truth.tolist())
    assert again == value
    np.testing.assert_array_equal(same, gradient)


@pytest.mark.parametrize("shape", [(3,), (2, 1), (1, 3), (3, 2), (2, 3, 1)])
@pytest.mark.parametrize(("loss", "name"), [(sigmoid_cross_entropy, "targets"), (hinge, "signs")])
def test_the_losses_of_each_output_refuse_another_shape(loss, name, shape):
    with pytest.raises(
        ValueError, match=rf"^{name} must have the outputs' shape \(2, 3\), got {re.escape(str(shape))}$"
    ):
        loss(np.zeros((2, 3)), np.ones(shape))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 3], r"labels\[1\] must be from 0 to 2, got 3"),
        ([-1, 0], r"labels\[0\] must be from 0 to 2, got -1"),
        ([0], "labels must be as many as rows of scores, 2, at least 1; got 1"),
    ],
)
def test_the_multiclass_hinge_loss_refuses_labels_that_are_no_classes(labels, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        multiclass_hinge(np.zeros((2, 3)), labels)


def test_losses_of_no_examples_are_refused():
    for loss, name in ((sigmoid_cross_entropy, "targets"), (hinge, "signs")):
        with pytest.raises(ValueError, match=rf"^{name} must have the outputs' shape \(0, 3\), got \(0, 3\)$"):
            loss(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"^labels must be as many as rows of scores, 0, at least 1; got 0$"):
        multiclass_hinge(np.zeros((0, 3)), [])
