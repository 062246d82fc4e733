"""Numeric gradients are right, and a wrong gradient is found with its place."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonbook.scratch import check_gradient, gradcheck, numeric_gradient


def test_differences_of_a_polynomial_are_its_derivative():
    x = np.array([[1.0, -3.0], [0.5, 2.0]])
    np.testing.assert_allclose(numeric_gradient(lambda x: (x**3).sum(), x), 3 * x**2, rtol=1e-8)


def test_a_centred_difference_of_a_quadratic_is_exact_for_any_step():
    """A one-sided one would be off by the step."""
    gradient = numeric_gradient(lambda x: (x**2).sum(), np.array([1.0, -3.0]), step=0.25)
    assert gradient.tolist() == [2, -6]


def test_a_larger_step_errs_by_its_square():
    exact = math.exp(1)
    errors = [float(numeric_gradient(lambda x: np.exp(x).sum(), 1.0, step)) - exact for step in (0.2, 0.1)]
    assert errors[1] == pytest.approx(exact * 0.1**2 / 6, rel=0.01)
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.01)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_a_linear_functions_gradient_is_its_coefficients(coefficients):
    a = np.array(coefficients)
    np.testing.assert_allclose(numeric_gradient(lambda x: a @ x, np.ones(len(a))), a, atol=1e-9)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (2, 1, 2), (0,), (2, 0)])
def test_a_gradient_has_the_shape_of_x(shape):
    gradient = numeric_gradient(lambda x: x.sum(), np.ones(shape))
    assert (gradient.shape, gradient.dtype) == (shape, np.float64)
    np.testing.assert_allclose(gradient, np.ones(shape), rtol=1e-9)


@pytest.mark.parametrize("x", [[1, 2], (1, 2), np.array([1, 2], "int64"), np.array([1, 2], "float32")])
def test_x_of_any_kind_is_moved_in_float64(x):
    np.testing.assert_allclose(numeric_gradient(lambda x: (x**2).sum(), x), [2, 4], rtol=1e-9)
    assert check_gradient(lambda x: (x**2).sum(), x, [2, 4]).error < 1e-9


def test_x_is_left_as_it_is():
    x = np.random.default_rng(0).normal(size=(2, 3))
    before = x.copy()
    numeric_gradient(lambda x: (x**2).sum(), x)
    check_gradient(lambda x: (x**2).sum(), x, 2 * x)
    np.testing.assert_array_equal(x, before)
    numeric_gradient(lambda moved: np.testing.assert_array_equal(x, before) or 0.0, x)  # meanwhile, too


def test_every_other_entry_stands_where_it_was_while_one_is_moved():
    x, seen = np.array([0.1, 0.2, 0.3]), []
    numeric_gradient(lambda x: seen.append(x.copy()) or 0.0, x, step=0.5)
    assert len(seen) == 6
    for i in range(3):
        for sign, moved in zip((1, -1), seen[2 * i : 2 * i + 2]):
            expected = x.copy()
            expected[i] += sign * 0.5
            np.testing.assert_array_equal(moved, expected)


def test_a_right_gradient_has_a_small_error():
    x = np.random.default_rng(1).normal(size=(3, 4))
    result = check_gradient(lambda x: (np.sin(x) * x).sum(), x, np.cos(x) * x + np.sin(x))
    assert result.error < 1e-6


@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 3)])
@pytest.mark.parametrize("broken", [lambda g: g * 1.001, lambda g: -g, lambda g: 0.0, lambda g: g + 1])
def test_the_entry_that_was_broken_is_named_with_both_values(place, broken):
    x = np.random.default_rng(2).uniform(1, 2, (3, 4))
    gradient = 3 * x**2
    right = gradient[place]
    gradient[place] = broken(right)
    result = check_gradient(lambda x: (x**3).sum(), x, gradient)
    assert result.place == place
    assert result.analytic == gradient[place]
    assert result.numeric == pytest.approx(right, rel=1e-8)
    expected = abs(gradient[place] - right) / max(abs(gradient[place]), abs(right))
    assert result.error == pytest.approx(expected, rel=1e-5)


def test_of_two_broken_entries_the_relatively_worse_is_named():
    x = np.array([1.0, 1000.0])
    result = check_gradient(lambda x: (x**2).sum(), x, [2.2, 2010.0])  # off by 0.2 and by 10
    assert result.place == (0,)
    assert result.error == pytest.approx(0.2 / 2.2, rel=1e-4)  # f is near 1e6 there


def test_gradients_near_zero_are_compared_absolutely():
    result = check_gradient(lambda x: 0.0, [1.0], [1e-9])
    assert result.error == pytest.approx(1e-9 / gradcheck.FLOOR)
    assert check_gradient(lambda x: 0.0, [1.0], [0.0]) == (0, (0,), 0, 0)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_the_worst_entry(wrong):
    x = np.ones((2, 2))
    gradient = np.array([[2.0, 99.0], [wrong, 2.0]])
    with np.errstate(all="raise"):
        result = check_gradient(lambda x: (x**2).sum(), x, gradient)
    assert result.place == (1, 0)
    assert result.error == math.inf


def test_a_function_that_is_not_a_number_is_an_infinite_error():
    result = check_gradient(lambda x: math.nan if x[1] > 2 else x.sum(), [1.0, 2.0], [1.0, 1.0])
    assert (result.error, result.place) == (math.inf, (1,))


def test_at_a_kink_no_gradient_is_right_and_beside_it_the_usual_one_is():
    def relu(x):
        return np.maximum(x, 0).sum()

    for gradient in (0.0, 1.0):
        assert check_gradient(relu, [0.0], [gradient]).error == pytest.approx(0.5 if gradient else 1)
    assert check_gradient(relu, [0.0], [0.5]).error < 1e-9
    assert check_gradient(relu, [1e-4, -1e-4], [1.0, 0.0]).error < 1e-9
    assert check_gradient(relu, [1e-4], [1.0], step=1e-3).error > 0.4  # a step that reaches over the kink


def test_at_a_tie_of_a_maximum_the_difference_halves():
    numeric = numeric_gradient(lambda x: x.max(), [2.0, 2.0, 1.0])
    np.testing.assert_allclose(numeric, [0.5, 0.5, 0], atol=1e-9)


def test_a_scalar_has_a_place_too():
    assert check_gradient(lambda x: float(x) ** 2, 3.0, 7.0).place == ()


@pytest.mark.parametrize(
    ("x", "gradient", "shapes"),
    [
        ([1.0, 2.0], [1.0], r"\(2,\), .*; got \(1,\)"),
        ([1.0, 2.0], [[1.0, 2.0]], r"\(2,\), .*; got \(1, 2\)"),
        ([1.0, 2.0], 1.0, r"\(2,\), .*; got \(\)"),
        (np.zeros((2, 0)), np.zeros((2, 0)), r"\(2, 0\), .*; got \(2, 0\)"),
    ],
)
def test_a_gradient_of_another_shape_or_of_nothing_is_refused(x, gradient, shapes):
    with pytest.raises(ValueError, match=rf"^gradient must have x's shape {shapes}$"):
        check_gradient(lambda x: x.sum(), x, gradient)


@pytest.mark.parametrize("check", [numeric_gradient, lambda f, x, step: check_gradient(f, x, x, step)])
@pytest.mark.parametrize("step", [0, -1e-5, math.nan])
def test_a_step_must_be_above_zero(check, step):
    with pytest.raises(ValueError, match=rf"^step must be above 0, got {step}$"):
        check(lambda x: x.sum(), np.ones(2), step=step)
