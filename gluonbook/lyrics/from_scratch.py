"""The recurrent network of the notes, written out: one-hot inputs, explicit state, parameters in a list.

Letters: ``N`` batch, ``T`` steps, ``V`` vocabulary, ``H`` hidden. Everything is MXNet ``nd``; hybridized are
the two loops of ``rnn_of_batch`` alone.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Optional

import numpy as np

from gluonbook import _check, training
from gluonbook._mxnet import autograd, gluon, mx, nd


def to_onehot(X: Any, size: int) -> list[Any]:
    """Turn a batch of rows of indices into one array of one-hot vectors a step.

    Args:
        X: (N, T) nd or NumPy array of indices from 0 to size - 1, of any dtype; (T,) is T steps of a batch of one.
        size: V, length of the vectors.

    Returns:
        T arrays (N, V) float32, on X's device.

    Raises:
        ValueError: X is neither, or holds an index that is not below V.

    >>> [step.shape for step in to_onehot(nd.arange(10).reshape((2, 5)), 1027)]
    [(2, 1027), (2, 1027), (2, 1027), (2, 1027), (2, 1027)]
    """
    if X.ndim not in (1, 2):
        raise ValueError(f"X must be (N, T) or (T,), got shape {X.shape}")
    X = X if isinstance(X, nd.NDArray) else nd.array(X)
    _check.indices("X", X.reshape(-1), below=_check.integer("size", size, at_least=1))
    return [nd.one_hot(step, size) for step in X.T]


def init_params(vocab_size: int, num_hiddens: int, device: Any = None) -> list[Any]:
    """Draw the network's parameters: weights from N(0, 0.01²), biases 0, with gradients attached.

    Args:
        vocab_size: V, inputs and outputs.
        num_hiddens: H, hidden units.
        device: mx.Context; None is the current one.

    Returns:
        W_xh (V, H), W_hh (H, H), b_h (H,), W_hy (H, V), b_y (V,).
    """
    V = _check.integer("vocab_size", vocab_size, at_least=1)
    H = _check.integer("num_hiddens", num_hiddens, at_least=1)
    device = device or mx.current_context()
    params = [
        nd.random.normal(scale=0.01, shape=(V, H), ctx=device),
        nd.random.normal(scale=0.01, shape=(H, H), ctx=device),
        nd.zeros(H, ctx=device),
        nd.random.normal(scale=0.01, shape=(H, V), ctx=device),
        nd.zeros(V, ctx=device),
    ]
    for param in params:
        param.attach_grad()
    return params


def init_state(batch_size: int, num_hiddens: int, device: Any = None) -> tuple[Any]:
    """Return the state before the first step: one (N, H) array of zeros."""
    return (nd.zeros((batch_size, num_hiddens), ctx=device or mx.current_context()),)


def rnn(inputs: Iterable[Any], state: tuple[Any], params: list[Any]) -> tuple[list[Any], tuple[Any]]:
    """Run the network over the steps of a batch.

    The weights' shapes hold no N: the same ones serve a batch of 32 in training and of 1 in prediction.

    Args:
        inputs: T arrays (N, V), one-hot.
        state: one array (N, H).
        params: as ``init_params`` gives them.

    Returns:
        outputs: T arrays (N, V) of logits; state: one array (N, H).
    """
    W_xh, W_hh, b_h, W_hy, b_y = params
    (H,) = state
    outputs = []
    for X in inputs:
        H = nd.tanh(nd.dot(X, W_xh) + nd.dot(H, W_hh) + b_h)  # (N, H)
        outputs.append(nd.dot(H, W_hy) + b_y)  # (N, V)
    return outputs, (H,)


def rnn_of_batch(X: Any, state: tuple[Any], params: list[Any]) -> tuple[Any, tuple[Any], Callable[[], None]]:
    """Run the network over a batch: ``rnn`` on its one-hot vectors, and back-propagation through time by hand.

    A one-hot vector times W_xh is a row of it, so rows are looked up. The products with W_hy, and those that give the
    gradient of W_hh, do not wait for each other: each is one product over all steps. What is left for each step is
    its product with W_hh, forward and back, and MXNet takes all steps as one graph.

    Args:
        X: (N, T) nd indices below V.
        state: one array (N, H).
        params: as ``init_params`` gives them.

    Returns:
        logits (T*N, V), time first, recorded where autograd records; state: one array (N, H), not recorded; a function
        to call after the backward pass from the logits: it completes the parameters' gradients.
    """
    W_xh, W_hh, b_h, W_hy, b_y = params
    (H,) = state
    N, T = X.shape
    projected = nd.take(W_xh, X.T)  # (T, N, H)
    with autograd.pause():
        every = _graph(_states, T, len(b_h))(projected + b_h, H, W_hh.T)  # ((T+1)*N, H)
        before, hidden, after = every[:-N], every[N:], every[-N:]  # (T*N, H), (T*N, H), (N, H): no copies
    hidden.attach_grad()
    logits = nd.FullyConnected(hidden, W_hy.T, b_y, num_hidden=len(b_y))

    def backward() -> None:
        shape = projected.shape
        dZ = _graph(_slopes, T, len(b_h))(hidden.reshape(shape), hidden.grad.reshape(shape), W_hh)  # (T*N, H)
        nd.dot(before, dZ, transpose_a=True, out=W_hh.grad)
        b_h.grad[:] = nd.dot(nd.ones_like(dZ[:, 0]), dZ)  # their sum, which MXNet's own reduction takes longer for
        projected.backward(dZ.reshape(shape))

    return logits, (after,), backward


@functools.lru_cache(maxsize=8)
def _graph(loop: Callable[..., Any], num_steps: int, num_hiddens: int) -> Any:
    """Return a loop over the steps as a function of nd arrays that MXNet runs in one call."""

    class Graph(gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, *arrays: Any) -> Any:
            return loop(F, num_steps, num_hiddens, *arrays)

    graph = Graph()
    graph.hybridize(static_alloc=True, static_shape=True)
    return graph


def _states(F: Any, num_steps: int, num_hiddens: int, Z: Any, H: Any, W: Any) -> Any:
    """Return the states before, within and after the steps ((T+1)*N, H), for inputs (T, N, H) and W_hh transposed."""
    states = [H]
    for z in F.split(Z, num_steps, axis=0, squeeze_axis=True):
        z = F.FullyConnected(states[-1], W, no_bias=True, num_hidden=num_hiddens) + z  # (N, H)
        states.append(F.Activation(z, act_type="tanh"))
    return F.concat(*states, dim=0)


def _slopes(F: Any, num_steps: int, num_hiddens: int, states: Any, gradients: Any, W_hh: Any) -> Any:
    """Return gradients (T*N, H) of the sums in tanh, for the states and their gradients by the outputs, (T, N, H)."""
    slopes = F.split(1 - F.square(states), num_steps, axis=0, squeeze_axis=True)
    gradients = F.split(gradients, num_steps, axis=0, squeeze_axis=True)
    sums: list[Any] = []  # the last step first
    for t in reversed(range(num_steps)):
        dH = gradients[t]  # (N, H)
        if sums:
            dH = F.FullyConnected(sums[-1], W_hh, no_bias=True, num_hidden=num_hiddens) + dH
        sums.append(dH * slopes[t])
    return F.concat(*reversed(sums), dim=0)


def train_epochs(
    params: list[Any],
    batches: Callable[[], Iterable[tuple[Any, Any]]],
    num_epochs: int = 250,
    lr: float = 1e2,
    theta: Optional[float] = 1e-2,
    carry_state: bool = True,
    update: Callable[[list[Any], float], None] = functools.partial(training.sgd, batch_size=1),
) -> Iterator[float]:
    """Train the network on the mean cross-entropy with clipped gradients; the defaults are the notes' recipe.

    Args:
        params: as ``init_params`` gives them; changed in place.
        batches: gives an epoch's batches X, Y, (N, T) int each, at every call.
        num_epochs: at least 1.
        lr: learning rate, above 0.
        theta: the gradients' joint norm is clipped to it; None clips nothing.
        carry_state: True for adjacent batches: the state is zero at the start of an epoch, and each batch starts from
            the state that the one before it ended with, detached. False for random batches: it is zero at each.
        update: called with the parameters, their clipped gradients attached, and the learning rate after each batch.

    Yields:
        the perplexity of each epoch, as it ends.

    Raises:
        ValueError: an argument is out of range, an index is not below V, or an epoch has no batches.
        training.NonFiniteLoss: the loss is infinite or not a number.
    """
    lr = _check.number("lr", lr, above=0)
    V, H = params[0].shape
    device = params[0].context

    backward: Callable[[], None]

    def forward(X: Any, state: Any) -> tuple[Any, Any]:
        nonlocal backward
        logits, state, backward = rnn_of_batch(X, state, params)
        return logits, state

    def step() -> None:
        backward()
        training.clip_gradients([param.grad for param in params], theta)
        update(params, lr)

    return run_epochs(
        forward, lambda N: init_state(N, H, device), step, batches, num_epochs, V, device, lr, carry_state
    )


def run_epochs(
    forward: Callable[[Any, Any], tuple[Any, Any]],
    begin_state: Callable[[int], Sequence[Any]],
    step: Callable[[], None],
    batches: Callable[[], Iterable[tuple[Any, Any]]],
    num_epochs: int,
    vocab_size: int,
    device: Any,
    lr: float,
    carry_state: bool,
) -> Iterator[float]:
    """Train any recurrent network on the mean cross-entropy.

    Args:
        forward: gives logits (T*N, V), time first, and the new state, for X (N, T) nd and a state.
        begin_state: gives the state before the first step, a sequence of nd arrays, for N.
        step: called after each batch, when the gradients are there.
        batches, num_epochs, carry_state: as for ``train_epochs``.
        vocab_size: V, tokens.
        device: mx.Context, where the network is.
        lr: for the message of the guard.

    Yields, raises:
        as ``train_epochs``.
    """
    for epoch in range(1, _check.integer("num_epochs", num_epochs, at_least=1) + 1):
        guard = training.LossGuard(epoch, lr)
        state: Any = None
        # The whole epoch at once: MXNet waits for what it computes before it takes an array.
        for X, labels in [_send(X, Y, vocab_size, device) for X, Y in batches()]:
            if state is None or not carry_state:
                state = begin_state(len(X))
            state = [s.detach() for s in state]
            with autograd.record():
                logits, state = forward(X, state)
                l = training.mean_cross_entropy(nd, logits, labels, vocab_size)
            l.backward()
            step()
            guard.add(l)
        if state is None:
            raise ValueError(f"batches must give at least one batch an epoch, got none in epoch {epoch}")
        yield training.perplexity(guard.mean())


def _send(X: Any, Y: Any, vocab_size: int, device: Any) -> tuple[Any, Any]:
    """Return X (N, T) and the labels (T*N,), time first, on a device."""
    _check.indices("X", np.ravel(X), below=vocab_size)
    _check.indices("Y", np.ravel(Y), below=vocab_size)
    return nd.array(X, ctx=device), nd.array(Y.T.reshape(-1), ctx=device)


def predict(prefix: Any, num_tokens: int, params: list[Any]) -> list[int]:
    """Continue a prefix with the most probable token each time, as the notes do: a batch of one, one step at a time.

    Args:
        prefix: (P,) indices, P at least 1.
        num_tokens: how many follow, at least 0.
        params: as ``init_params`` gives them.

    Returns:
        P + num_tokens indices; the first P are the prefix.

    Raises:
        ValueError: the prefix is empty, or an index of it is not below V.
    """
    V, H = params[0].shape
    device = params[0].context

    def forward(X: Any, state: Any) -> tuple[Any, Any]:
        (Y,), state = rnn(to_onehot(X, V), state, params)
        return Y, state  # (1, V)

    prefix = _check.indices("prefix", prefix, below=V)
    return continue_greedily(prefix, num_tokens, forward, init_state(1, H, device), device)


def continue_greedily(
    prefix: Sequence[int],
    num_tokens: int,
    forward: Callable[[Any, Any], tuple[Any, Any]],
    state: Any,
    device: Any,
) -> list[int]:
    """Continue a prefix with the most probable token each time, by any recurrent network.

    Args:
        prefix: P indices, P at least 1.
        num_tokens: how many follow, at least 0.
        forward: gives logits (1, V) and the new state, for X (1, 1) nd and a state.
        state: before the first step of a batch of one.
        device: mx.Context, where the network is.

    Returns:
        P + num_tokens indices.

    Raises:
        ValueError: the prefix is empty.
    """
    _check.integer("length of prefix", len(prefix), at_least=1)
    output = [int(prefix[0])]
    for t in range(_check.integer("num_tokens", num_tokens, at_least=0) + len(prefix) - 1):
        logits, state = forward(nd.array([output[-1:]], ctx=device), state)
        output.append(int(prefix[t + 1]) if t < len(prefix) - 1 else int(logits.argmax(axis=1).asscalar()))
    return output
