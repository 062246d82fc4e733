"""Optimisers: what is done with a gradient.

Each rule changes one parameter in place and keeps what it must remember in a dict of its own, empty before the first
step: plain arrays and numbers. All equal ``gluon.Trainer``'s rules of the same names and defaults, whose momentum alone
is 0 where none is given. Each refuses a parameter that is no array of floats, a gradient of another shape, and a
negative learning rate.
"""

import math
from collections.abc import Iterable
from typing import Any, Callable

import numpy as np

from gluonbook import _check
from gluonbook.scratch.layers import Layer

State = dict[str, Any]
Rule = Callable[[np.ndarray, np.ndarray, State, float], None]


def sgd(param: np.ndarray, gradient: np.ndarray, state: State, lr: float) -> None:
    """Step against the gradient: w ← w − η·g.

    Args:
        param: floats of any shape; changed in place.
        gradient: of its shape.
        state: stays empty.
        lr: η, learning rate, at least 0.

    Raises:
        TypeError: param is no array of floats.
        ValueError: the gradient has another shape, or lr is below 0.

    >>> w = np.array([1.0])
    >>> sgd(w, np.array([2.0]), {}, lr=0.25)
    >>> w.tolist()
    [0.5]
    """
    _check_step(param, gradient, lr)
    param -= lr * gradient


def momentum(param: np.ndarray, gradient: np.ndarray, state: State, lr: float, mu: float = 0.9) -> None:
    """Step along a velocity that the gradients push: v ← μ·v − η·g, w ← w + v (Polyak 1964).

    Args:
        param, gradient, lr: as for ``sgd``.
        state: gets ``v``.
        mu: μ, what stays of the velocity, from 0 to below 1.

    Raises:
        ValueError: mu is out of range.

    >>> w, state = np.array([1.0]), {}
    >>> for _ in range(2):
    ...     momentum(w, np.array([1.0]), state, lr=0.25, mu=0.5)
    >>> w.tolist(), state["v"].tolist()
    ([0.375], [-0.375])
    """
    v = _velocity(param, gradient, state, lr, mu)
    param += v


def nesterov(param: np.ndarray, gradient: np.ndarray, state: State, lr: float, mu: float = 0.9) -> None:
    """Step along the velocity as it will be after the next push of the same gradient: w ← w + μ·v − η·g.

    Nesterov's gradient is taken at the point that the velocity alone would lead to; in the variable of that point the
    step is this one (Bengio, Boulanger-Lewandowski & Pascanu 2013, section 3.5), and the gradient is that of w.

    Args:
        param, gradient, state, lr, mu: as for ``momentum``.

    Raises:
        ValueError: mu is out of range.

    >>> w = np.array([1.0])
    >>> nesterov(w, np.array([1.0]), {}, lr=0.25, mu=0.5)
    >>> w.tolist()
    [0.625]
    """
    v = _velocity(param, gradient, state, lr, mu)
    param += mu * v - lr * gradient


def _velocity(param: np.ndarray, gradient: np.ndarray, state: State, lr: float, mu: float) -> np.ndarray:
    _check_step(param, gradient, lr)
    _check.number("mu", mu, at_least=0, below=1)
    v = _kept(state, "v", param)
    v *= mu
    v -= lr * gradient
    return v


def adagrad(param: np.ndarray, gradient: np.ndarray, state: State, lr: float, epsilon: float = 1e-7) -> None:
    """Divide each entry's step by the root of the sum of its squared gradients (Duchi, Hazan & Singer 2011).

    s ← s + g², w ← w − η·g / √(s + ε).

    Args:
        param, gradient, lr: as for ``sgd``.
        state: gets ``s``.
        epsilon: ε, at least 0; with 0, an entry whose gradients were all 0 becomes 0/0, not a number.

    Raises:
        ValueError: epsilon is below 0.

    >>> w, state = np.array([1.0]), {}
    >>> adagrad(w, np.array([3.0]), state, lr=0.5, epsilon=0)
    >>> w.tolist(), state["s"].tolist()
    ([0.5], [9.0])
    """
    _check_step(param, gradient, lr)
    _check.number("epsilon", epsilon, at_least=0)
    s = _kept(state, "s", param)
    s += gradient**2
    param -= lr * gradient / np.sqrt(s + epsilon)


def rmsprop(
    param: np.ndarray, gradient: np.ndarray, state: State, lr: float, gamma: float = 0.9, epsilon: float = 1e-8
) -> None:
    """Divide each entry's step by the root of a moving mean of its squared gradients (Tieleman & Hinton 2012).

    s ← γ·s + (1 − γ)·g², w ← w − η·g / √(s + ε).

    Args:
        param, gradient, lr: as for ``sgd``.
        state: gets ``s``.
        gamma: γ, what stays of the mean, from 0 to below 1.
        epsilon: ε, at least 0; as for ``adagrad``.

    Raises:
        ValueError: gamma or epsilon is out of range.

    >>> w = np.array([1.0])
    >>> rmsprop(w, np.array([4.0]), {}, lr=0.25, gamma=0.75, epsilon=0)
    >>> w.tolist()
    [0.5]
    """
    _check_step(param, gradient, lr)
    _check.number("gamma", gamma, at_least=0, below=1)
    _check.number("epsilon", epsilon, at_least=0)
    s = _mean(state, "s", param, gradient**2, gamma)
    param -= lr * gradient / np.sqrt(s + epsilon)


def adadelta(
    param: np.ndarray, gradient: np.ndarray, state: State, lr: float = 1.0, rho: float = 0.9, epsilon: float = 1e-5
) -> None:
    """Step by the ratio of two moving means, of past steps and of gradients: no learning rate is needed (Zeiler 2012).

    s ← ρ·s + (1 − ρ)·g², d = g·√(u + ε) / √(s + ε), u ← ρ·u + (1 − ρ)·d², w ← w − η·d.

    Args:
        param, gradient: as for ``sgd``.
        state: gets ``s`` and ``u``.
        lr: η, 1 in the paper. MXNet's rule has none and takes 1, whatever the trainer says.
        rho: ρ, what stays of the means, from 0 to below 1.
        epsilon: ε, above 0: of it the first step is made.

    Raises:
        ValueError: rho or epsilon is out of range.

    >>> w, state = np.array([1.0]), {}
    >>> adadelta(w, np.array([1.0]), state, rho=0.5, epsilon=0.5)
    >>> w.round(4).tolist(), state["s"].tolist(), state["u"].round(4).tolist()
    ([0.2929], [0.5], [0.25])
    """
    _check_step(param, gradient, lr)
    _check.number("rho", rho, at_least=0, below=1)
    _check.number("epsilon", epsilon, above=0)
    s = _mean(state, "s", param, gradient**2, rho)
    change = np.sqrt(_kept(state, "u", param) + epsilon) / np.sqrt(s + epsilon) * gradient
    _mean(state, "u", param, change**2, rho)
    param -= lr * change


def adam(
    param: np.ndarray,
    gradient: np.ndarray,
    state: State,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> None:
    """Step by a moving mean of gradients over the root of one of their squares, both freed of their start at 0.

    m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², η̂ = η·√(1 − β₂ᵗ) / (1 − β₁ᵗ), w ← w − η̂·m / (√v + ε)
    (Kingma & Ba 2015, the form at the end of section 2). In the paper's algorithm 1, ε stands beside the corrected
    root, √(v / (1 − β₂ᵗ)); MXNet, as here, has it beside √v: in the first steps it weighs more.

    Args:
        param, gradient, lr: as for ``sgd``.
        state: gets ``m``, ``v`` and ``t``, the number of steps.
        beta1: β₁, from 0 to below 1.
        beta2: β₂, from 0 to below 1.
        epsilon: ε, at least 0; as for ``adagrad``.

    Raises:
        ValueError: a beta or epsilon is out of range.

    >>> w = np.array([1.0, 1.0])
    >>> adam(w, np.array([2.0, 200.0]), {}, lr=0.25, epsilon=0)
    >>> w.round(4).tolist()
    [0.75, 0.75]
    """
    _check_step(param, gradient, lr)
    _check.number("beta1", beta1, at_least=0, below=1)
    _check.number("beta2", beta2, at_least=0, below=1)
    _check.number("epsilon", epsilon, at_least=0)
    m = _mean(state, "m", param, gradient, beta1)
    v = _mean(state, "v", param, gradient**2, beta2)
    t = state["t"] = state.get("t", 0) + 1
    rate = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
    param -= rate * m / (np.sqrt(v) + epsilon)


def _check_step(param: np.ndarray, gradient: np.ndarray, lr: float) -> None:
    if not isinstance(param, np.ndarray) or param.dtype.kind != "f":
        raise TypeError(f"param must be an array of floats, to be changed in place, got {param!r}")
    if np.shape(gradient) != param.shape:
        raise ValueError(f"gradient must have the parameter's shape {param.shape}, got {np.shape(gradient)}")
    _check.number("lr", lr, at_least=0)


def _kept(state: State, name: str, param: np.ndarray) -> np.ndarray:
    """Return what the state keeps by that name, zeros before the first step."""
    return np.asarray(state.setdefault(name, np.zeros_like(param)))


def _mean(state: State, name: str, param: np.ndarray, value: np.ndarray, stays: float) -> np.ndarray:
    """Move a mean towards a value, in place."""
    mean = _kept(state, name, param)
    mean *= stays
    mean += (1 - stays) * value
    return mean


def update(
    layers: Iterable[Layer],
    states: dict[tuple[int, str], State],
    lr: float,
    rule: Rule = sgd,
    weight_decay: float = 0.0,
    l1: float = 0.0,
) -> None:
    """Take one step with every parameter of some layers, in place; penalties act on those named W alone.

    Args:
        layers: each with the gradients of the last ``backward``.
        states: what the rule keeps, by the layer's number and the parameter's name; empty before the first step.
        lr: η, learning rate, at least 0.
        rule: what to do with a gradient; its settings by ``functools.partial``.
        weight_decay: λ of the penalty λ/2·Σw², at least 0: λ·w is added to the gradient. MXNet does the same, but
            its AdaGrad and AdaDelta take η·λ·w and λ·w from the weight beside the rule, and what its Nesterov adds to
            the velocity is λ·w of the weight after the step.
        l1: λ of the penalty λ·Σ|w|, at least 0: λ·sign(w) is added, 0 where w is 0.

    Raises:
        TypeError: a parameter is no array of floats.
        ValueError: an argument is out of range, or a layer has not seen ``backward``.

    >>> from gluonbook.scratch import Dense
    >>> layer = Dense(np.array([[1.0]]), np.array([1.0]))
    >>> layer.grads = {"W": np.array([[2.0]]), "b": np.array([2.0])}
    >>> update([layer], {}, lr=0.25, weight_decay=0.5)
    >>> layer.params["W"].item(), layer.params["b"].item()
    (0.375, 0.5)
    """
    _check.number("weight_decay", weight_decay, at_least=0)
    _check.number("l1", l1, at_least=0)
    for number, layer in enumerate(layers):
        for name, param in layer.params.items():
            if name not in layer.grads:
                raise ValueError(f"layers[{number}] has no gradient for {name}: backward must come before a step")
            gradient = layer.grads[name]
            if name == "W" and weight_decay:
                gradient = gradient + weight_decay * param
            if name == "W" and l1:
                gradient = gradient + l1 * np.sign(param)
            rule(param, gradient, states.setdefault((number, name), {}), lr)
