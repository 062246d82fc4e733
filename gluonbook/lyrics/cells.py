"""One step of each recurrent cell in NumPy, over the parameters of Gluon's layers.

A step of one character is a few small matrix products: calling MXNet for each would cost more than computing them.
The gates' order in the stacked matrices is MXNet's: GRU reset, update, new; LSTM input, forget, new, output.
Letters: ``B`` rows, ``H`` hidden, ``G`` gates times H.
"""

from typing import Callable

import numpy as np

State = tuple[np.ndarray, ...]
# The projected input X W_i + b_i (B, G), the state, W_h transposed (H, G), b_h (G,): the new state, output first.
Step = Callable[[np.ndarray, State, np.ndarray, np.ndarray], State]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), by tanh, which does not overflow."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def rnn_step(x: np.ndarray, state: State, W_h: np.ndarray, b_h: np.ndarray) -> State:
    """Return (tanh(x + H W_h + b_h),)."""
    return (np.tanh(x + state[0] @ W_h + b_h),)


def rnn_relu_step(x: np.ndarray, state: State, W_h: np.ndarray, b_h: np.ndarray) -> State:
    """Return (max(0, x + H W_h + b_h),)."""
    return (np.maximum(x + state[0] @ W_h + b_h, 0),)


def gru_step(x: np.ndarray, state: State, W_h: np.ndarray, b_h: np.ndarray) -> State:
    """Return the GRU's new state (Cho et al. 2014; the reset gate acts after the product, as in cuDNN and MXNet)."""
    (H,) = state
    size = H.shape[1]
    h = H @ W_h + b_h  # (B, 3H)
    gates = sigmoid(x[:, : 2 * size] + h[:, : 2 * size])  # (B, 2H)
    reset, update = gates[:, :size], gates[:, size:]
    new = np.tanh(x[:, 2 * size :] + reset * h[:, 2 * size :])  # (B, H)
    return ((1 - update) * new + update * H,)


def lstm_step(x: np.ndarray, state: State, W_h: np.ndarray, b_h: np.ndarray) -> State:
    """Return the LSTM's new output and cell (Hochreiter & Schmidhuber 1997, with Gers et al.'s forget gate)."""
    H, C = state
    size = H.shape[1]
    gates = x + H @ W_h + b_h  # (B, 4H)
    both = sigmoid(gates[:, : 2 * size])  # (B, 2H)
    inputs, forget = both[:, :size], both[:, size:]
    new, output = np.tanh(gates[:, 2 * size : 3 * size]), sigmoid(gates[:, 3 * size :])
    C = forget * C + inputs * new  # (B, H)
    return output * np.tanh(C), C


STEPS: dict[str, Step] = {"rnn": rnn_step, "rnn_relu": rnn_relu_step, "gru": gru_step, "lstm": lstm_step}
