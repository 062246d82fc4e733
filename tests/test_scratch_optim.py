"""Optimisers of scratch layers change what they should, in place, and as other people's do."""

import copy
import inspect
import math
from functools import partial

import numpy as np
import pytest

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.scratch import (
    BatchNorm,
    Dense,
    Network,
    ReLU,
    adadelta,
    adagrad,
    adam,
    momentum,
    nesterov,
    rmsprop,
    sgd,
    update,
)

RULES = {f.__name__: f for f in (sgd, momentum, nesterov, adagrad, rmsprop, adadelta, adam)}
NUM_STEPS = 40
SCALES = np.array([1.0, 30.0, 1e-4, 1e-8])  # of the gradient's entries: where it is small, the epsilons weigh
HALF_ULP = {"float32": 2.0**-24, "float64": 2.0**-53}

# MXNet's name and settings, our rule with the same, the type that MXNet's states have. What passes to its operators
# passes through float32: numbers that it has exactly.
SAME = {
    "sgd": ("sgd", {}, sgd, "float64"),
    "momentum": ("sgd", {"momentum": 0.875}, partial(momentum, mu=0.875), "float64"),
    "nesterov": ("nag", {"momentum": 0.875}, partial(nesterov, mu=0.875), "float64"),
    "adagrad": ("adagrad", {}, adagrad, "float32"),
    "adagrad, eps": ("adagrad", {"eps": 0.25}, partial(adagrad, epsilon=0.25), "float32"),
    "rmsprop": ("rmsprop", {}, rmsprop, "float32"),
    "rmsprop, γ": ("rmsprop", {"gamma1": 0.5, "epsilon": 0.25}, partial(rmsprop, gamma=0.5, epsilon=0.25), "float32"),
    "adadelta": ("adadelta", {}, adadelta, "float32"),
    "adadelta, ρ": ("adadelta", {"rho": 0.5, "epsilon": 0.25}, partial(adadelta, rho=0.5, epsilon=0.25), "float32"),
    "adam": ("adam", {}, adam, "float32"),
    "adam, βs": (
        "adam",
        {"beta1": 0.75, "beta2": 1 - 2.0**-6, "epsilon": 0.25},
        partial(adam, beta1=0.75, beta2=1 - 2.0**-6, epsilon=0.25),
        "float64",
    ),
}


def given_gradients(seed=0, num_steps=NUM_STEPS):
    return np.random.default_rng(seed).normal(size=(num_steps, 3, 4)) * SCALES


def given_weights(seed=1):
    return np.random.default_rng(seed).normal(size=(3, 4))


def rates(num_steps=NUM_STEPS):
    """A learning rate that falls on the way."""
    return [0.125 if t < num_steps // 2 else 0.03125 for t in range(num_steps)]


def ours(rule, W, gradients, lrs):
    """The weights after each step."""
    param, state, path = W.copy(), {}, []
    for gradient, lr in zip(gradients, lrs):
        rule(param, gradient.astype(W.dtype), state, lr)
        path.append(param.copy())
    return np.array(path)


def trainers(name, settings, W, gradients, lrs, weight_decay=0.0):
    """The same by a trainer: the loss Σ g·w has the gradient g."""
    param = gluon.Parameter("w", shape=W.shape, dtype=W.dtype)
    param.initialize()
    param.set_data(nd.array(W, dtype=W.dtype))
    trainer = gluon.Trainer([param], name, {"learning_rate": lrs[0], "wd": weight_decay, **settings})
    path = []
    for gradient, lr in zip(gradients, lrs):
        trainer.set_learning_rate(lr)
        with autograd.record():
            loss = (param.data() * nd.array(gradient, dtype=W.dtype)).sum()
        loss.backward()
        trainer.step(1)
        path.append(param.data().asnumpy())
    return np.array(path)


def rounding(path, W, dtype, of_steps=0.0):
    """Bound what rounding may add up to: each step rounds the weight, and is itself the result of some roundings.

    ``of_steps`` is a relative error that each step has besides.
    """
    steps = np.abs(np.diff(path, axis=0, prepend=W[None])).sum(axis=0)
    largest = np.maximum(np.abs(path).max(axis=0), np.abs(W))
    return HALF_ULP[dtype] * (len(path) * largest + 16 * steps) + of_steps * steps


def agree(path, right, W, dtype, of_steps=0.0):
    assert path.shape == right.shape == (NUM_STEPS, 3, 4)
    assert (np.abs(path - right) <= rounding(right.astype(np.float64), W, dtype, of_steps)).all()


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_rule_equals_a_gluon_trainers_step_for_step(case, seed):
    """Adam's rate, with its corrections, passes through float32, and β₂ = 0.999, too: 1 − β₂ is then off by 2⁻²⁵."""
    name, settings, rule, dtype = SAME[case]
    W = given_weights().astype(dtype)
    right = trainers(name, settings, W, given_gradients(seed), rates())
    of_steps = {"adam": 2.0**-25 / 0.001 + 2.0**-24, "adam, βs": 2.0**-24}.get(case, 0.0)
    lrs = [1.0] * NUM_STEPS if name == "adadelta" else rates()  # MXNet's takes 1, whatever it is told
    agree(ours(rule, W.astype(np.float64), given_gradients(seed), lrs), right, W, dtype, of_steps)
    assert len(np.unique(right, axis=0)) == NUM_STEPS


def decayed(rule, W, lrs):
    """The weights after each step of ``update`` with a weight decay of 0.25."""
    layer, states, path = Dense(W.copy(), np.zeros(4)), {}, []
    for gradient, lr in zip(given_gradients(), lrs):
        layer.grads = {"W": gradient, "b": np.zeros(4)}
        update([layer], states, lr, rule, weight_decay=0.25)
        path.append(layer.params["W"].copy())
    return np.array(path)


@pytest.mark.parametrize("case", ["sgd", "momentum", "rmsprop", "rmsprop, γ", "adam", "adam, βs"])
def test_weight_decay_is_what_mxnet_makes_of_it_with_four_rules(case):
    """A weight's error passes into the next gradient: the bound is wider than without."""
    name, settings, rule, dtype = SAME[case]
    W = given_weights().astype(dtype)
    right = trainers(name, settings, W, given_gradients(), rates(), weight_decay=0.25)
    of_steps = {"adam": 2.0**-25 / 0.001 + 2.0**-24, "adam, βs": 2.0**-24}.get(case, 0.0)
    agree(decayed(rule, W.astype(np.float64), rates()), right, W, dtype, 8 * of_steps + 64 * HALF_ULP[dtype])
    assert np.abs(right - trainers(name, settings, W, given_gradients(), rates())).max() > 0.1


def test_mxnets_nesterov_takes_the_velocitys_decay_at_the_weight_after_the_step():
    W, mu = given_weights(), 0.875
    right = trainers("nag", {"momentum": mu}, W, given_gradients(), rates(), weight_decay=0.25)
    w, v, path = W.copy(), np.zeros_like(W), []
    for gradient, lr in zip(given_gradients(), rates()):
        push = lr * (gradient + 0.25 * w)
        w = w + mu * (mu * v - push) - push
        v = mu * v - lr * (gradient + 0.25 * w)
        path.append(w)
    agree(np.array(path), right, W, "float64", 64 * HALF_ULP["float64"])
    with_the_weight_before = decayed(partial(nesterov, mu=mu), W, rates())
    np.testing.assert_allclose(with_the_weight_before[0], right[0], rtol=1e-14)
    assert np.abs(with_the_weight_before - right).max() > 0.1


@pytest.mark.parametrize("case", ["adagrad", "adagrad, eps", "adadelta", "adadelta, ρ"])
def test_mxnets_adagrad_and_adadelta_take_the_decay_from_the_weight_beside_the_rule(case):
    """η·λ·w and λ·w; ours puts λ·w into the gradient."""
    name, settings, rule, _ = SAME[case]
    W = given_weights().astype("float32")
    right = trainers(name, settings, W, given_gradients(), rates(), weight_decay=0.25)
    lrs = [1.0] * NUM_STEPS if name == "adadelta" else rates()
    beside, state, path = W.astype(np.float64), {}, []
    inside, inside_state = W.astype(np.float64), {}
    for gradient, lr in zip(given_gradients(), lrs):
        decay = lr * 0.25 * beside
        rule(beside, gradient, state, lr)
        beside -= decay
        path.append(beside.copy())
        rule(inside, gradient + 0.25 * inside, inside_state, lr)
    agree(np.array(path), right, W, "float32")
    np.testing.assert_array_equal(decayed(rule, W.astype(np.float64), lrs)[-1], inside)
    assert np.abs(inside - right[-1]).max() > 0.01


@pytest.mark.parametrize(
    ("name", "rule", "names"),
    [
        ("adagrad", adagrad, {"epsilon": "float_stable_eps"}),
        ("rmsprop", rmsprop, {"gamma": "gamma1", "epsilon": "epsilon"}),
        ("adadelta", adadelta, {"rho": "rho", "epsilon": "epsilon"}),
        ("adam", adam, {"beta1": "beta1", "beta2": "beta2", "epsilon": "epsilon"}),
    ],
)
def test_defaults_are_mxnets(name, rule, names):
    parameters = inspect.signature(rule).parameters
    theirs = mx.optimizer.create(name)
    for here, there in names.items():
        assert parameters[here].default == getattr(theirs, there)
    settings = {key for key, value in parameters.items() if value.default is not inspect.Parameter.empty}
    assert settings - {"lr"} == set(names)


def test_the_momentum_of_both_rules_is_nine_tenths():
    for rule in (momentum, nesterov):
        default, told = np.ones(1), np.ones(1)
        states = {}, {}
        for _ in range(3):
            rule(default, np.ones(1), states[0], 0.1)
            rule(told, np.ones(1), states[1], 0.1, mu=0.9)
        assert default == told


# By hand: three steps with the gradients 2, 2, -4 from w = 1, at settings that leave short numbers.
TABLE = {
    "sgd": (sgd, 0.25, [0.5, 0.0, 1.0]),
    "momentum": (partial(momentum, mu=0.5), 0.25, [0.5, -0.25, 0.375]),  # v = -0.5, -0.75, 0.625
    "nesterov": (partial(nesterov, mu=0.5), 0.25, [0.25, -0.625, 0.6875]),
    "adagrad": (partial(adagrad, epsilon=0), 1.0, [0, -2 / 8**0.5, -2 / 8**0.5 + 4 / 24**0.5]),  # s = 4, 8, 24
    "rmsprop": (
        partial(rmsprop, gamma=0.5, epsilon=2),
        1.0,
        [0, -2 / 5**0.5, -2 / 5**0.5 + 4 / 11.5**0.5],
    ),  # 2, 3, 9.5
    "adam": (  # m = 1, 1.5, -1.25 over 1/2, 3/4, 7/8; v = 1, 1.75, 5.3125 over 1/4, 7/16, 37/64
        partial(adam, beta1=0.5, beta2=0.75, epsilon=0),
        1.0,
        [0, -1, -1 + (1.25 / (7 / 8)) / (5.3125 / (37 / 64)) ** 0.5],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_three_steps_are_as_by_hand(name):
    rule, lr, expected = TABLE[name]
    path = ours(rule, np.array([1.0]), np.array([[2.0], [2.0], [-4.0]]), [lr] * 3)
    np.testing.assert_allclose(path.ravel(), expected, rtol=0, atol=1e-14)


def test_two_steps_of_adadelta_are_as_by_hand():
    """s = 2, 3 and ε = 2: d = 2·√2/√4; u = 1, and d = 2·√3/√5; u = (1 + 12/5)/2."""
    param, state = np.array([1.0]), {}
    adadelta(param, np.array([2.0]), state, rho=0.5, epsilon=2)
    np.testing.assert_allclose([param.item(), state["s"].item(), state["u"].item()], [1 - 2**0.5, 2, 1], rtol=1e-14)
    adadelta(param, np.array([2.0]), state, lr=0.5, rho=0.5, epsilon=2)
    expected = [1 - 2**0.5 - 0.5 * 2 * 0.6**0.5, 3, 1.7]
    np.testing.assert_allclose([param.item(), state["s"].item(), state["u"].item()], expected, rtol=1e-14)


def adam_of_the_paper(gradients, w, lr, beta1, beta2):
    """Kingma & Ba 2015, algorithm 1, with ε = 0, one number at a time."""
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        w = w - lr * m_hat / math.sqrt(v_hat)
    return w


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)])
def test_adam_is_the_papers_algorithm_1(beta1, beta2):
    gradients, W = given_gradients(), given_weights()
    last = ours(partial(adam, beta1=beta1, beta2=beta2, epsilon=0), W, gradients, [0.1] * NUM_STEPS)[-1]
    for place in np.ndindex(W.shape):
        expected = adam_of_the_paper(gradients[(slice(None), *place)], W[place], 0.1, beta1, beta2)
        assert last[place] == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9])
def test_nesterov_is_the_textbooks_look_ahead_in_the_variable_of_the_point_ahead(mu):
    """v ← μ·v − η·∇f(θ + μ·v), θ ← θ + v; ours is at θ + μ·v."""

    def slope(x):
        return np.array([1.0, 8.0]) * x + x**3

    theta, v = np.array([1.0, -0.5]), np.zeros(2)
    param, state = theta.copy(), {}
    for lr in rates():
        v = mu * v - lr * slope(theta + mu * v)
        theta = theta + v
        nesterov(param, slope(param), state, lr, mu=mu)
        np.testing.assert_allclose(param, theta + mu * v, rtol=0, atol=1e-13)
        np.testing.assert_allclose(state["v"], v, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rule", [momentum, nesterov])
def test_without_momentum_both_are_plain_descent(rule):
    path = ours(partial(rule, mu=0), given_weights(), given_gradients(), rates())
    np.testing.assert_allclose(path, ours(sgd, given_weights(), given_gradients(), rates()), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rule", [adagrad, rmsprop, adam])
def test_a_diagonal_rescaling_of_the_gradient_changes_no_bit_with_epsilon_0(rule):
    """Powers of two change no mantissa; and so plain descent's steps are rescaled exactly."""
    scales = 2.0 ** np.array([-30, -3, 0, 20])
    runs = [
        ours(partial(rule, epsilon=0), given_weights(), given_gradients() * by, rates()) for by in (np.ones(4), scales)
    ]
    np.testing.assert_array_equal(*runs)


def test_a_diagonal_rescaling_passes_into_the_steps_of_plain_descent():
    W, scales = np.zeros((3, 4)), 2.0 ** np.array([-30, -3, 0, 20])
    plain, scaled = (ours(sgd, W, given_gradients() * by, rates()) for by in (np.ones(4), scales))
    np.testing.assert_array_equal(scaled, plain * scales)


@pytest.mark.parametrize("lr", [0.001, 0.5])
def test_adams_first_step_is_the_learning_rate_whatever_the_gradient(lr):
    gradient = given_gradients()[0]
    (path,) = ours(partial(adam, epsilon=0), np.zeros((3, 4)), [gradient], [lr])
    np.testing.assert_allclose(path, -lr * np.sign(gradient), rtol=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_a_step_is_made_in_place_and_leaves_the_gradient_alone(name):
    whole = np.ones((4, 3))
    param, gradient, state = whole[:, 1], np.array([1.0, -2.0, 3.0, 4.0]), {}
    given = gradient.copy()
    for _ in range(2):
        assert RULES[name](param, gradient, state, 0.1) is None
    np.testing.assert_array_equal(gradient, given)
    assert (whole[:, 1] != 1).all()
    assert (whole[:, [0, 2]] == 1).all()
    assert not any(np.shares_memory(kept, other) for kept in state.values() for other in (param, gradient))


KEPT = {
    "sgd": set(),
    "momentum": {"v"},
    "nesterov": {"v"},
    "adagrad": {"s"},
    "rmsprop": {"s"},
    "adadelta": {"s", "u"},
    "adam": {"m", "v", "t"},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_a_state_is_plain_and_of_the_parameters_type_which_stays(name, dtype):
    param, state = given_weights().astype(dtype), {}
    for gradient in given_gradients()[:3]:  # of float64
        RULES[name](param, gradient, state, 0.1)
    assert param.dtype == dtype
    assert set(state) == KEPT[name]
    assert all(type(value) is np.ndarray and value.dtype == dtype for key, value in state.items() if key != "t")
    assert all(value.shape == param.shape for key, value in state.items() if key != "t")
    assert state.get("t", 3) == 3


@pytest.mark.parametrize("name", RULES)
def test_a_run_resumed_from_a_copy_of_its_states_gives_the_same_numbers(name):
    layer, states = Dense(given_weights(), np.ones(4)), {}
    gradients = given_gradients()

    def go(layer, states, gradients):
        for gradient in gradients:
            layer.grads = {"W": gradient, "b": gradient.sum(axis=0)}
            update([layer], states, 0.125, RULES[name])

    go(layer, states, gradients[:15])
    kept = copy.deepcopy((layer.params, states))
    go(layer, states, gradients[15:])
    other = Dense(kept[0]["W"], kept[0]["b"])
    go(other, kept[1], gradients[15:])
    for key in ("W", "b"):
        np.testing.assert_array_equal(other.params[key], layer.params[key])
    forgetful = Dense(given_weights(), np.ones(4))
    go(forgetful, {}, gradients[:15])
    go(forgetful, {}, gradients[15:])
    assert (forgetful.params["W"] != layer.params["W"]).any() == (name != "sgd")


@pytest.mark.parametrize("name", RULES)
def test_a_gradient_of_zero_moves_nothing_at_first(name):
    param, state = given_weights(), {}
    for _ in range(3):
        RULES[name](param, np.zeros((3, 4)), state, 0.5)
    np.testing.assert_array_equal(param, given_weights())


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,)])
def test_parameters_of_any_shape_are_taken(name, shape):
    param, state = np.ones(shape), {}
    for _ in range(2):
        RULES[name](param, np.ones(shape), state, 0.25)
    assert param.shape == shape
    assert (param < 1).all()


@pytest.mark.parametrize("name", RULES)
def test_a_learning_rate_of_0_changes_nothing_but_the_state(name):
    param, state = given_weights(), {}
    RULES[name](param, given_gradients()[0], state, 0)
    np.testing.assert_array_equal(param, given_weights())
    assert set(state) == KEPT[name]


def test_with_epsilon_0_an_entry_that_never_had_a_gradient_is_no_number():
    for rule in (adagrad, rmsprop, adam):
        param = np.ones(2)
        with np.errstate(invalid="ignore"):
            rule(param, np.array([0.0, 1.0]), {}, 0.1, epsilon=0)
        assert np.isnan(param).tolist() == [True, False]


@pytest.mark.parametrize(
    ("rule", "settings", "error", "message"),
    [
        (momentum, {"mu": 1}, ValueError, "mu must be at least 0 and below 1, got 1"),
        (nesterov, {"mu": -0.1}, ValueError, r"mu must be at least 0 and below 1, got -0\.1"),
        (nesterov, {"mu": "0.9"}, TypeError, r"mu must be a number, got '0\.9' \(str\)"),
        (adagrad, {"epsilon": -1}, ValueError, "epsilon must be at least 0, got -1"),
        (rmsprop, {"gamma": 1.0}, ValueError, r"gamma must be at least 0 and below 1, got 1\.0"),
        (rmsprop, {"epsilon": math.nan}, ValueError, "epsilon must be at least 0, got nan"),
        (adadelta, {"rho": 1}, ValueError, "rho must be at least 0 and below 1, got 1"),
        (adadelta, {"epsilon": 0}, ValueError, "epsilon must be above 0, got 0"),
        (adam, {"beta1": 1}, ValueError, "beta1 must be at least 0 and below 1, got 1"),
        (adam, {"beta2": 1}, ValueError, "beta2 must be at least 0 and below 1, got 1"),
        (adam, {"epsilon": -1e-8}, ValueError, "epsilon must be at least 0, got -1e-08"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_changes(rule, settings, error, message):
    param, state = np.ones(2), {}
    with pytest.raises(error, match=f"^{message}$"):
        rule(param, np.ones(2), state, 0.1, **settings)
    assert param.tolist() == [1, 1]
    assert state == {}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_refuses_what_it_can_not_step_with(name):
    rule = RULES[name]
    with pytest.raises(ValueError, match=r"^gradient must have the parameter's shape \(3,\), got \(1,\)$"):
        rule(np.ones(3), np.ones(1), {}, 0.1)  # NumPy would repeat it
    with pytest.raises(ValueError, match=r"^lr must be at least 0, got -0\.1$"):
        rule(np.ones(3), np.ones(3), {}, -0.1)
    with pytest.raises(TypeError, match=r"^param must be an array of floats, to be changed in place, got \[1\.0\]$"):
        rule([1.0], np.ones(1), {}, 0.1)  # would be left as it is
    with pytest.raises(
        TypeError, match=r"^param must be an array of floats, to be changed in place, got array\(\[1\]\)$"
    ):
        rule(np.array([1]), np.ones(1), {}, 0.1)


def test_weight_decay_shrinks_weights_named_W_and_spares_biases_and_batch_norm():
    net = Network([Dense(np.ones((3, 8)), np.zeros(8)), BatchNorm(np.full(8, 2.0), np.full(8, 3.0))])
    net.layers[0].params["b"] += 5
    before = {(i, name): param.copy() for i, layer in enumerate(net.layers) for name, param in layer.params.items()}
    for layer in net.layers:
        layer.grads = {name: np.zeros_like(param) for name, param in layer.params.items()}
    update(net.layers, {}, lr=0.1, weight_decay=0.5)
    for (i, name), value in before.items():
        shrunk = value * (1 - 0.1 * 0.5) if name == "W" else value
        np.testing.assert_allclose(net.layers[i].params[name], shrunk, rtol=1e-14)
    assert {name for _, name in before} == {"W", "b", "gamma", "beta"}


def test_l1_shrinks_weights_by_a_constant_and_leaves_0_and_all_but_W_alone():
    layer = Dense(np.array([[4.0, -0.5, 0.0]]), np.array([1.0, -1.0, 2.0]))
    norm = BatchNorm(np.full(3, 2.0), np.full(3, 3.0))
    for each in (layer, norm):
        each.grads = {name: np.zeros_like(param) for name, param in each.params.items()}
    update([layer, norm], {}, lr=0.25, l1=0.5)
    assert layer.params["W"].tolist() == [[3.875, -0.375, 0]]
    assert layer.params["b"].tolist() == [1, -1, 2]
    assert (norm.params["gamma"].tolist(), norm.params["beta"].tolist()) == ([2] * 3, [3] * 3)


def test_both_penalties_are_taken_at_the_weights_before_the_step_and_the_gradients_stay():
    layer = Dense(np.array([[4.0, -2.0]]), np.zeros(2))
    layer.grads = {"W": np.array([[1.0, 1.0]]), "b": np.zeros(2)}
    update([layer], {}, lr=0.5, weight_decay=0.25, l1=0.5)
    assert layer.params["W"].tolist() == [[4 - 0.5 * (1 + 1 + 0.5), -2 - 0.5 * (1 - 0.5 - 0.5)]]
    assert layer.grads["W"].tolist() == [[1, 1]]


def test_a_step_goes_against_the_gradient_in_place():
    net = Network([Dense([[1.0, 2.0]], [3.0, 4.0]), ReLU()])
    W = net.layers[0].params["W"]
    net.layers[0].grads = {"W": np.array([[10.0, -10.0]]), "b": np.array([1.0, 0.0])}
    update(net.layers, {}, lr=0.1)
    assert net.layers[0].params["W"] is W
    np.testing.assert_allclose(W, [[0, 3]], atol=1e-15)
    np.testing.assert_allclose(net.layers[0].params["b"], [2.9, 4])


def test_every_parameter_of_every_layer_has_a_state_of_its_own():
    layers, states = [Dense(np.zeros((1, 1)), np.zeros(1)), ReLU(), Dense(np.zeros((1, 1)), np.zeros(1))], {}
    for size, layer in zip((1.0, 4.0), (layers[0], layers[2])):
        layer.grads = {"W": np.full((1, 1), size), "b": np.full(1, 2 * size)}
    for _ in range(2):
        update(layers, states, 0.5, partial(momentum, mu=0.5))
    velocities = {key: state["v"].item() for key, state in states.items()}
    assert velocities == {(0, "W"): -0.75, (0, "b"): -1.5, (2, "W"): -3, (2, "b"): -6}


def test_updates_wrong_arguments_are_refused_with_nothing_changed():
    layer = Dense(np.ones((1, 1)), np.ones(1))
    with pytest.raises(ValueError, match=r"^layers\[1\] has no gradient for W: backward must come before a step$"):
        update([ReLU(), layer], {}, 0.1)
    layer.grads = {"W": np.ones((1, 1)), "b": np.ones(1)}
    for settings, message in (
        ({"weight_decay": -1}, "weight_decay must be at least 0, got -1"),
        ({"l1": -0.5}, r"l1 must be at least 0, got -0\.5"),
        ({"lr": -0.5}, r"lr must be at least 0, got -0\.5"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            update([layer], {}, **{"lr": 0.1, **settings})
    assert (layer.params["W"].item(), layer.params["b"].item()) == (1, 1)
