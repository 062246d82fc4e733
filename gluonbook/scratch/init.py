"""Initial weights: how large, for how many inputs."""

from collections.abc import Sequence
from typing import Callable

import numpy as np

from gluonbook import _check

SCALES: dict[str, Callable[[int], float]] = {  # standard deviation, for n inputs of a neuron
    "zeros": lambda n: 0.0,
    "small": lambda n: 0.01,
    "xavier": lambda n: 1 / np.sqrt(n),  # keeps a linear or tanh layer's variance
    "he": lambda n: np.sqrt(2 / n),  # keeps a ReLU layer's (He et al. 2015, section 2.2)
}


def weights(shape: Sequence[int], kind: str, rng: np.random.Generator) -> np.ndarray:
    """Draw weights from a normal distribution with mean 0.

    Args:
        shape: (D, K) of a dense layer, or (O, C, kh, kw) of a convolution; a neuron has n = D or C·kh·kw inputs.
        kind: ``"zeros"``; ``"small"``, deviation 0.01; ``"xavier"``, 1/√n; ``"he"``, √(2/n).
        rng: where the random numbers come from.

    Returns:
        float64 array of that shape.

    Raises:
        ValueError: the kind is another, or the shape is neither, or a neuron has no input.

    >>> weights((400, 300), "he", np.random.default_rng(0)).std().round(3)
    0.071
    """
    if len(shape) not in (2, 4):
        raise ValueError(f"shape must be (D, K) or (O, C, kh, kw), got {tuple(shape)}")
    num_inputs = _check.integer("inputs of a neuron", shape[0] if len(shape) == 2 else np.prod(shape[1:]), at_least=1)
    return rng.normal(size=shape) * SCALES[_check.choice("kind", kind, SCALES)](num_inputs)
