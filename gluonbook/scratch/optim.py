"""Optimisers: what is done with a layer's gradients."""

from collections.abc import Iterable

from gluonbook.scratch.layers import Layer


def sgd(layers: Iterable[Layer], lr: float, weight_decay: float = 0.0) -> None:
    """Take one step of gradient descent, in place; weights named W shrink by lr·λ of themselves besides.

    Args:
        layers: each with the gradients of the last ``backward``.
        lr: η, learning rate.
        weight_decay: λ of the penalty λ/2·Σw².

    >>> import numpy as np
    >>> from gluonbook.scratch import Dense
    >>> layer = Dense(np.array([[1.0]]), np.array([1.0]))
    >>> layer.grads = {"W": np.array([[2.0]]), "b": np.array([2.0])}
    >>> sgd([layer], lr=0.25, weight_decay=0.5)
    >>> layer.params["W"].item(), layer.params["b"].item()
    (0.375, 0.5)
    """
    for layer in layers:
        for name, param in layer.params.items():
            gradient = layer.grads[name]
            param -= lr * (gradient + weight_decay * param if name == "W" and weight_decay else gradient)
