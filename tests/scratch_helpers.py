"""Numeric gradients that tests of scratch share; written apart from the package's own."""

import numpy as np


def numeric(f, x, step=1e-6):
    """Centred differences, an entry at a time, made in x itself: so parameters can be moved, too."""
    gradient = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        value = x[place]
        sides = []
        for moved in (value + step, value - step):
            x[place] = moved
            sides.append(f())
        x[place] = value
        gradient[place] = (sides[0] - sides[1]) / (2 * step)
    return gradient


def numeric_of(f, x, step=1e-6):
    """Centred differences of a function of one array, an entry at a time."""
    gradient = np.zeros(np.shape(x))
    for place in np.ndindex(gradient.shape):
        moved = [np.array(x, np.float64), np.array(x, np.float64)]
        moved[0][place] += step
        moved[1][place] -= step
        gradient[place] = (f(moved[0]) - f(moved[1])) / (2 * step)
    return gradient


def agree(layer, X, train=False, seed=9):
    """The way back beside numeric differences, for the input and for every parameter."""
    dY = np.random.default_rng(seed).normal(size=layer.forward(X, train).shape)
    layer.forward(X, train)
    dX = layer.backward(dY)
    grads = {name: grad.copy() for name, grad in layer.grads.items()}
    assert dX.shape == X.shape
    assert grads.keys() == layer.params.keys()
    np.testing.assert_allclose(dX, numeric(lambda: (layer.forward(X, train) * dY).sum(), X), rtol=1e-6, atol=1e-7)
    for name, param in layer.params.items():
        assert grads[name].shape == param.shape
        expected = numeric(lambda: (layer.forward(X, train) * dY).sum(), param)
        np.testing.assert_allclose(grads[name], expected, rtol=1e-6, atol=1e-7)
