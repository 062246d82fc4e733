"""L-BFGS equals the formula of BFGS and does as well as SciPy's; Adam equals MXNet's; both go on from a state."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from gluonbook._mxnet import mx, nd
from gluonbook.style.optimisers import FIRST_CHANGE, LBFGS, MAX_TRIES, MEMORY, Adam

EXAMPLES = settings(deadline=None, max_examples=20)
START = np.array([-1.2, 1.0, -0.5, 0.8], np.float32)

seeds = st.integers(0, 2**32 - 1)


def rosenbrock(x):
    """SciPy's own, whose minimum is 0 at ones."""
    wide = x.astype(np.float64).ravel()
    value, gradient = optimize.rosen(wide), optimize.rosen_der(wide)
    return float(np.float32(value)), gradient.astype(np.float32).reshape(x.shape)


def quadratic(seed, size=12, condition=100.0):
    """Return a convex quadratic, x ↦ ½ (x − m)ᵀ A (x − m) + 1, its matrix A, and its minimum m."""
    rng = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(rng.standard_normal((size, size)))
    matrix = directions * np.geomspace(1, condition, size) @ directions.T
    minimum = rng.standard_normal(size)

    def evaluate(x):
        away = x.astype(np.float64).ravel() - minimum
        return float(away @ matrix @ away / 2 + 1), (matrix @ away).astype(np.float32).reshape(x.shape)

    return evaluate, matrix, minimum


class Recorder:
    """An evaluation that remembers where it was asked."""

    def __init__(self, evaluate):
        self.evaluate, self.asked = evaluate, []

    def __call__(self, x):
        self.asked.append(x.copy())
        return self.evaluate(x)


def run(optimiser, evaluate, count):
    """Take so many steps, or fewer; return the values."""
    values = []
    for _ in range(count):
        if not optimiser.step(evaluate):
            break
        values.append(evaluate(optimiser.x)[0])
    return values


def inverse_hessian(steps, changes):
    """Nocedal & Wright 2006, equation 6.17, pair by pair, from the multiple of 1 in equation 7.20."""
    steps, changes = (np.array(part, np.float64).reshape(len(part), -1) for part in (steps, changes))
    size = steps.shape[1]
    matrix = np.eye(size) * (steps[-1] @ changes[-1]) / (changes[-1] @ changes[-1])
    for step, change in zip(steps, changes):
        rho = 1 / (change @ step)
        left = np.eye(size) - rho * np.outer(step, change)
        matrix = left @ matrix @ left.T + rho * np.outer(step, step)
    return matrix


def saved(state):
    """Write a state and read it again, as a checkpoint does."""
    arrays, numbers = state
    return {name: nd.array(array, dtype=array.dtype).asnumpy() for name, array in arrays.items()}, json.loads(
        json.dumps(numbers)
    )


# ---- L-BFGS ----


@pytest.mark.parametrize("count", [1, 2, 5, MEMORY, MEMORY + 4])
def test_a_step_goes_along_bfgss_direction_of_the_last_ten_pairs(count):
    """The first point that is asked after so many steps is x − H g."""
    evaluate, _, _ = quadratic(3, 20)
    optimiser, points = LBFGS(np.zeros(20, np.float32)), [np.zeros(20, np.float32)]
    for _ in range(count):
        assert optimiser.step(evaluate)
        points.append(optimiser.x)
    gradients = [evaluate(x)[1] for x in points]
    pairs = [(b - a, d - c) for a, b, c, d in zip(points, points[1:], gradients, gradients[1:])][-MEMORY:]
    recorder = Recorder(evaluate)
    optimiser.step(recorder)
    expected = points[-1] - inverse_hessian(*zip(*pairs)) @ gradients[-1]
    moved = np.abs(expected - points[-1]).max()
    np.testing.assert_allclose(recorder.asked[0], expected, rtol=0, atol=1e-3 * moved)
    if count > MEMORY:  # an eleventh pair would have changed it
        more = [(b - a, d - c) for a, b, c, d in zip(points, points[1:], gradients, gradients[1:])]
        other = points[-1] - inverse_hessian(*zip(*more)) @ gradients[-1]
        assert np.abs(other - expected).max() > 1e-2 * moved


def test_ten_pairs_are_remembered_and_no_more():
    optimiser, evaluate = LBFGS(np.zeros(20, np.float32)), quadratic(3, 20)[0]
    numbers = []
    for _ in range(MEMORY + 3):
        optimiser.step(evaluate)
        numbers.append(optimiser.state()[1]["pairs"])
    assert numbers == [*range(1, MEMORY + 1), MEMORY, MEMORY, MEMORY]
    assert MEMORY == 10


def test_with_one_pair_of_one_number_it_is_newtons_method():
    """½ (x − 3)²: the first step, down the gradient, moves by a tenth; the second lands in the minimum."""

    def evaluate(x):
        return float((x[0] - 3) ** 2 / 2), x - 3

    recorder = Recorder(evaluate)
    optimiser = LBFGS(np.array([1.0]))
    assert optimiser.step(recorder)
    assert optimiser.x == pytest.approx(1 + FIRST_CHANGE)
    assert optimiser.step(recorder)
    assert optimiser.x == pytest.approx(3)
    assert len(recorder.asked) == 3  # the start, and once each step


def test_the_first_step_changes_no_number_by_more_than_a_tenth_whatever_the_gradients_size():
    for factor in (1e-6, 1.0, 1e6):
        evaluate, _, _ = quadratic(0)
        scaled = Recorder(lambda x: tuple(np.float32(factor) * part for part in evaluate(x)))  # noqa: B023
        LBFGS(np.zeros(12, np.float32)).step(scaled)
        assert np.abs(scaled.asked[1] - scaled.asked[0]).max() == pytest.approx(FIRST_CHANGE, rel=1e-5)


def test_rosenbrocks_valley_ends_as_low_as_with_scipy():
    theirs = optimize.minimize(
        lambda x: (optimize.rosen(x), optimize.rosen_der(x)),
        START,
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": MEMORY, "maxiter": 60},
    )
    optimiser = LBFGS(START)
    values = run(optimiser, rosenbrock, 60)
    assert values[-1] <= max(theirs.fun, 1e-9)
    np.testing.assert_allclose(optimiser.x, 1, atol=1e-3)


@EXAMPLES
@given(seeds, st.sampled_from([3.0, 30.0, 300.0]))
def test_quadratics_end_as_low_as_with_scipy(seed, condition):
    evaluate, _, minimum = quadratic(seed, condition=condition)
    start = np.zeros(12, np.float32)
    theirs = optimize.minimize(
        lambda x: (evaluate(x)[0], evaluate(x)[1].astype(np.float64)),
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": MEMORY},
    )
    optimiser = LBFGS(start)
    run(optimiser, evaluate, 150)
    assert evaluate(optimiser.x)[0] <= theirs.fun + 1e-5  # of values about 1, in float32
    np.testing.assert_allclose(optimiser.x, minimum, atol=5e-3)


@EXAMPLES
@given(seeds)
def test_no_step_goes_up(seed):
    rng = np.random.default_rng(seed)
    start = rng.uniform(-2, 2, 8).astype(np.float32)
    values = [rosenbrock(start)[0], *run(LBFGS(start), rosenbrock, 40)]
    for before, after in zip(values, values[1:]):
        assert after <= before * (1 + 2e-6)
    assert values[-1] < values[0]


def test_values_that_rounding_makes_equal_do_not_stop_it():
    """Of a million, float32 knows sixteenths: near the minimum a step gains less; the gradient still leads there."""
    evaluate, _, minimum = quadratic(1, condition=3.0)
    optimiser = LBFGS(np.zeros(12, np.float32))
    run(optimiser, lambda x: (float(np.float32(1e6 + evaluate(x)[0])), evaluate(x)[1]), 30)
    np.testing.assert_allclose(optimiser.x, minimum, atol=0.02)


@pytest.mark.parametrize(("minimum", "second"), [(0.03, 0.03), (0.045, 0.045), (0.005, 0.01)])
def test_a_step_too_far_is_followed_by_one_to_the_minimum_of_a_parabola(minimum, second):
    """A tenth at first; then where a parabola through both values has its minimum, but a tenth of that at least."""
    recorder = Recorder(lambda x: (50 * float((x[0] - minimum) ** 2), 100 * (x - np.float32(minimum))))
    assert LBFGS(np.zeros(1)).step(recorder)
    np.testing.assert_allclose([x[0] for x in recorder.asked[:3]], [0, FIRST_CHANGE, second], rtol=1e-4)


@pytest.mark.parametrize("shape", [(4,), (1, 3, 5, 7), (1, 1)])
def test_at_a_minimum_it_stops_and_stays(shape):
    optimiser = LBFGS(np.ones(shape))
    for _ in range(3):
        assert not optimiser.step(lambda x: (float(np.square(x - 1).sum()), 2 * (x - 1)))
        np.testing.assert_array_equal(optimiser.x, np.ones(shape))
        assert optimiser.x.dtype == np.float32
    assert optimiser.value == 0


def test_it_says_so_when_it_has_come_to_a_minimum():
    optimiser = LBFGS(np.array([5.0, -2.0]))
    values = run(optimiser, lambda x: (float(np.square(x).sum()), 2 * x), 100)
    assert len(values) < 20
    np.testing.assert_allclose(optimiser.x, 0, atol=1e-3)


def test_the_minimum_on_an_edge_is_found_where_a_gradient_leads_nowhere():
    """|x| below 0.05: each step down the gradient ends higher than it began, until the tries are over."""
    recorder = Recorder(lambda x: (float(abs(x[0])), np.sign(x) + (x == 0)))
    optimiser = LBFGS(np.array([0.0]))
    assert not optimiser.step(recorder)
    assert len(recorder.asked) == 1 + MAX_TRIES
    assert optimiser.x.tolist() == [0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("bad_gradient", [False, True])
def test_where_far_away_nothing_is_finite_it_goes_nearer(bad, bad_gradient):
    """½ (x − 0.5)² within 1 of 0, and no number beyond: a direction that leads there is shortened."""

    def evaluate(x):
        if np.abs(x).max() > 1:
            return bad, np.full_like(x, bad) if bad_gradient else x
        return float(np.square(x - 0.5).sum() / 2), x - np.float32(0.5)

    optimiser = LBFGS(np.array([-0.99, 0.99, 0.95]))
    values = run(optimiser, evaluate, 40)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(optimiser.x, 0.5, atol=1e-3)


def test_a_remembered_curvature_that_leads_out_of_the_finite_is_shortened():
    """−log of the distance to 1 and to −1, summed: Newton's steps from near the edge are far too long."""

    def evaluate(x):
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(-np.log1p(-np.square(x)).sum()), 2 * x / (1 - np.square(x))

    optimiser = LBFGS(np.array([0.999, -0.9, 0.3]))
    values = run(optimiser, evaluate, 50)
    assert np.isfinite(values).all()
    assert all(after <= before * (1 + 2e-6) + 1e-12 for before, after in zip(values, values[1:]))
    np.testing.assert_allclose(optimiser.x, 0, atol=1e-3)


def test_what_is_finite_nowhere_is_left_where_it_is():
    for value, gradient in ((np.nan, 1.0), (1.0, np.nan), (np.nan, np.nan)):
        optimiser = LBFGS(np.zeros(3))
        assert not optimiser.step(lambda x: (value, np.full_like(x, gradient)))  # noqa: B023
        assert optimiser.x.tolist() == [0, 0, 0]


def test_flat_functions_are_survived():
    """No slope at all stops it; a slope that the value does not follow is walked down, and remembered is nothing."""
    flat = LBFGS(np.zeros(3))
    assert not flat.step(lambda x: (5.0, np.zeros_like(x)))
    lying = LBFGS(np.zeros(3))
    with np.errstate(all="raise"):
        for _ in range(5):
            lying.step(lambda x: (5.0, np.full_like(x, 1e-6)))
    assert lying.state()[1]["pairs"] == 0
    assert np.isfinite(lying.x).all()


def test_curvature_below_0_is_not_remembered():
    """cos x from 1 on bends down at first: a pair from there would make the direction go up."""
    optimiser = LBFGS(np.array([0.5]))
    evaluate = Recorder(lambda x: (float(np.cos(x[0])), -np.sin(x)))
    for _ in range(3):
        optimiser.step(evaluate)
        assert optimiser.state()[1]["pairs"] == 0
    assert run(optimiser, evaluate, 40)[-1] == pytest.approx(-1, abs=1e-6)


def test_a_memory_that_leads_nowhere_is_forgotten_and_the_gradient_tried():
    """A function is finite where both numbers are equal; the pair's direction leaves that line, the gradient's not."""
    recorder = Recorder(lambda x: (float(np.square(x - 3).sum()) if x[0] == x[1] else np.inf, 2 * (x - 3)))
    optimiser = LBFGS(np.zeros(2))
    value, gradient = recorder(optimiser.x)
    pair = {"step:0": np.array([2, 0], np.float32), "change:0": np.array([1, 0.5], np.float32)}
    optimiser.restore({"x": optimiser.x, "gradient": gradient, **pair}, {"value": value, "pairs": 1})
    assert optimiser.step(recorder)
    assert optimiser.x.tolist() == pytest.approx([FIRST_CHANGE] * 2)
    assert len(recorder.asked) == 1 + MAX_TRIES + 1
    assert optimiser.state()[0]["step:0"].tolist() == pytest.approx([FIRST_CHANGE] * 2)
    assert optimiser.state()[1]["pairs"] == 1


def test_the_start_is_copied_and_may_have_any_dtype():
    for optimiser in (LBFGS, Adam):
        start = np.array([1, 2, 3])
        made = optimiser(start)
        made.step(lambda x: (float(np.square(x).sum()), 2 * x))
        assert start.tolist() == [1, 2, 3]
        assert made.x.dtype == np.float32
        start = np.ones(2, np.float32)
        made = optimiser(start)
        start[:] = 7
        assert made.x.tolist() == [1, 1]


# ---- states ----


OPTIMISERS = pytest.mark.parametrize(
    ("make", "evaluate"),
    [
        (lambda: LBFGS(START), rosenbrock),
        (lambda: LBFGS(np.zeros((1, 3, 2, 2))), quadratic(5)[0]),
        (lambda: Adam(START, drop_every=7), rosenbrock),
        (lambda: Adam(np.zeros((1, 3, 2, 2)), lr=0.1), quadratic(5)[0]),
    ],
    ids=["L-BFGS", "L-BFGS of a picture", "Adam", "Adam of a picture"],
)


@OPTIMISERS
@pytest.mark.parametrize("stop", [0, 1, 2, 7, 13])
def test_a_run_that_was_stopped_gives_the_same_bits(make, evaluate, stop):
    straight = make()
    run(straight, evaluate, 20)
    stopped = make()
    run(stopped, evaluate, stop)
    again = make()
    again.restore(*saved(stopped.state()))
    run(again, evaluate, 20 - stop)
    (arrays, numbers), (expected, expected_numbers) = again.state(), straight.state()
    assert arrays.keys() == expected.keys()
    assert numbers == expected_numbers or np.isnan(numbers["value"])
    for name, array in arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@OPTIMISERS
def test_a_state_that_was_taken_is_not_changed_by_later_steps(make, evaluate):
    optimiser = make()
    for _ in range(15):
        optimiser.step(evaluate)
        arrays, numbers = optimiser.state()
        before = {name: array.copy() for name, array in arrays.items()}
        copied = dict(numbers)
        optimiser.step(evaluate)
        optimiser.step(evaluate)
        assert numbers == copied
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_restored_run_does_not_ask_again_where_it_is():
    first = LBFGS(START)
    run(first, rosenbrock, 5)
    second, recorder = LBFGS(START), Recorder(rosenbrock)
    second.restore(*saved(first.state()))
    second.step(recorder)
    assert not any(np.array_equal(x, first.x) for x in recorder.asked)


# ---- Adam ----


def mxnets_adam(start, evaluate, count, lr, drop_every):
    scheduler = mx.lr_scheduler.FactorScheduler(step=drop_every, factor=0.1, base_lr=lr)
    updater = mx.optimizer.get_updater(mx.optimizer.Adam(learning_rate=lr, lr_scheduler=scheduler))
    x = nd.array(start)
    points = []
    for _ in range(count):
        updater(0, nd.array(evaluate(x.asnumpy())[1]), x)
        points.append(x.asnumpy())
    return points


@pytest.mark.parametrize(("lr", "drop_every"), [(0.01, 200), (0.1, 5), (0.05, 1)])
def test_adam_equals_mxnets_with_the_rate_that_falls(lr, drop_every):
    """Both add epsilon to the root before that is corrected, which a gradient of 1e-7 shows.

    MXNet computes 1 − 0.999 in float32, 1.3e-5 too small, and each step becomes half of that share too long.
    """
    evaluate = quadratic(2)[0]

    def faint(x):
        return 1.0, np.float32(1e-7) * evaluate(x)[1]

    for function in (evaluate, faint):
        optimiser = Adam(np.zeros(12), lr, drop_every)
        for step, expected in enumerate(mxnets_adam(np.zeros(12), function, 30, lr, drop_every), 1):
            assert optimiser.step(function)
            np.testing.assert_allclose(optimiser.x, expected, rtol=0, atol=lr * step * 1e-5)


def test_the_rate_falls_to_a_tenth_after_so_many_steps_and_again_after_as_many():
    """Of a constant gradient every step is as long as the rate."""
    optimiser, places = Adam(np.zeros(2), lr=0.1, drop_every=3), [0.0]
    for _ in range(8):
        optimiser.step(lambda x: (1.0, np.array([1, -1], np.float32)))
        places.append(-float(optimiser.x[0]))
    np.testing.assert_allclose(np.diff(places), [0.1] * 3 + [0.01] * 3 + [0.001] * 2, rtol=1e-3)
    assert optimiser.x[1] == -optimiser.x[0]


def test_adams_first_two_steps_by_hand():
    """Gradients 4, then −2, rate 0.1: the first step is the rate, whatever the gradient."""
    gradients = iter([4.0, -2.0])
    optimiser = Adam(np.zeros(1), lr=0.1)
    found = []
    for _ in range(2):
        optimiser.step(lambda x: (0.0, np.array([next(gradients)], np.float32)))
        found.append(float(optimiser.x[0]))
    mean = (0.9 * 0.1 * 4 - 0.1 * 2) / (1 - 0.9**2)
    square = (0.999 * 0.001 * 16 + 0.001 * 4) / (1 - 0.999**2)
    np.testing.assert_allclose(found, [-0.1, -0.1 - 0.1 * mean / square**0.5], rtol=1e-4)


def test_the_books_settings_are_the_defaults():
    optimiser = Adam(np.zeros(1))
    assert (optimiser.lr, optimiser.drop_every) == (0.01, 200)


def test_adam_goes_nowhere_without_a_gradient():
    optimiser = Adam(np.array([1.0, 2.0]))
    with np.errstate(all="raise"):
        assert optimiser.step(lambda x: (0.0, np.zeros_like(x)))
    assert optimiser.x.tolist() == [1, 2]
