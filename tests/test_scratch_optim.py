"""Optimisers of scratch layers change what they should, in place."""

import numpy as np

from gluonbook.scratch import BatchNorm, Dense, Network, ReLU, update


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


def test_a_step_goes_against_the_gradient_in_place():
    net = Network([Dense([[1.0, 2.0]], [3.0, 4.0]), ReLU()])
    W = net.layers[0].params["W"]
    net.layers[0].grads = {"W": np.array([[10.0, -10.0]]), "b": np.array([1.0, 0.0])}
    update(net.layers, {}, lr=0.1)
    assert net.layers[0].params["W"] is W
    np.testing.assert_allclose(W, [[0, 3]], atol=1e-15)
    np.testing.assert_allclose(net.layers[0].params["b"], [2.9, 4])
