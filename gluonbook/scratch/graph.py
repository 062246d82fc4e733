"""A computational graph: values flow forward through named gates, gradients flow back through them (reverse mode)."""

from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

import numpy as np

Operand = Union["Node", float, np.ndarray]
Backward = Callable[[np.ndarray], Sequence[np.ndarray]]  # the output's gradient to one gradient an input


class Node:
    """A value in a graph: an input, or the output of a gate.

    Nodes are added, multiplied, … with ``+ - * / @`` and the gates of this module. A number beside an operator becomes
    part of the gate (``x + 1`` is the gate "+1"); an array becomes an input.

    Args:
        value: a number or an array; becomes float64.
        name: for drawings.

    Attributes:
        value: float64 array, () for a scalar.
        grad: float64 array of the same shape: the gradient that the last ``backward`` brought here; 0 before.
        gate: the gate's name, "input" for an input.
        parents: the gate's inputs.

    >>> x, y, z = Node(-2), Node(5), Node(-4)
    >>> f = (x + y) * z
    >>> f.backward()
    >>> float(f.value), [float(node.grad) for node in (x, y, z)]
    (-12.0, [-4.0, -4.0, 3.0])
    """

    __array_ufunc__ = None  # NumPy leaves array * node to the node

    def __init__(self, value: Any, name: str = "") -> None:
        self.value = np.asarray(value, np.float64)
        self.grad = np.zeros_like(self.value)
        self.name, self.gate = name, "input"
        self.parents: tuple[Node, ...] = ()
        self._backward: Optional[Backward] = None

    def backward(self, gradient: Any = 1.0) -> None:
        """Send a gradient from here to every node that this one depends on; where paths meet, gradients add up.

        Args:
            gradient: of something with respect to this node; a number stands for an array of it.

        Raises:
            ValueError: the gradient has another shape than the value.
        """
        gradient = np.asarray(gradient, np.float64)
        if gradient.shape not in ((), self.value.shape):
            raise ValueError(f"gradient must have the value's shape {self.value.shape}, got {gradient.shape}")
        order = ancestors(self)
        for node in order:
            node.grad = np.zeros_like(node.value)
        self.grad = np.broadcast_to(gradient, self.value.shape).copy()
        for node in reversed(order):
            if node._backward is not None:
                for parent, share in zip(node.parents, node._backward(node.grad)):
                    parent.grad = parent.grad + _to_shape(share, parent.value.shape)

    def __repr__(self) -> str:
        return f"Node({self.value.tolist()}, {self.name or self.gate!r})"

    def __add__(self, other: Operand) -> "Node":
        return add(self, other)

    def __mul__(self, other: Operand) -> "Node":
        return multiply(self, other)

    def __neg__(self) -> "Node":
        return multiply(self, -1)

    def __sub__(self, other: Operand) -> "Node":
        return add(self, -other if isinstance(other, Node) else -np.asarray(other, np.float64))

    def __rsub__(self, other: Operand) -> "Node":
        return add(-self, other)

    def __truediv__(self, other: Operand) -> "Node":
        return multiply(self, reciprocal(other) if isinstance(other, Node) else 1 / np.asarray(other, np.float64))

    def __rtruediv__(self, other: Operand) -> "Node":
        return reciprocal(self) if _is_number(other) and other == 1 else multiply(reciprocal(self), other)

    def __matmul__(self, other: Operand) -> "Node":
        return matmul(self, other)

    def __rmatmul__(self, other: Operand) -> "Node":
        return matmul(other, self)

    __radd__, __rmul__ = __add__, __mul__


def ancestors(node: Node) -> list[Node]:
    """List a node and all that it depends on, each once, inputs before what they go into."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(node, False)]
    while stack:  # no recursion: a graph may be deeper than Python's stack
        current, expanded = stack.pop()
        if expanded:
            order.append(current)
        elif id(current) not in seen:
            seen.add(id(current))
            stack.append((current, True))
            stack += [(parent, False) for parent in reversed(current.parents)]
    return order


# ---- gates ----


def add(a: Operand, b: Operand) -> Node:
    """Add: the output's gradient goes to both inputs as it is, whatever they were."""
    if _is_number(a) or _is_number(b):
        node, number = _with_number(a, b)
        return _gate(f"{number:+g}".replace("-", "−"), node.value + number, (node,), lambda g: (g,))
    a, b = _as_node(a), _as_node(b)
    return _gate("+", a.value + b.value, (a, b), lambda g: (g, g))


def multiply(a: Operand, b: Operand) -> Node:
    """Multiply, element by element: each input gets the output's gradient times the other input."""
    if _is_number(a) or _is_number(b):
        node, number = _with_number(a, b)
        return _gate(f"×{number:g}".replace("-", "−"), node.value * number, (node,), lambda g: (g * number,))
    a, b = _as_node(a), _as_node(b)
    return _gate("×", a.value * b.value, (a, b), lambda g: (g * b.value, g * a.value))


def maximum(a: Operand, b: Operand) -> Node:
    """Take the larger, element by element: it gets all of the output's gradient; of equals the first one does."""
    a, b = _as_node(a), _as_node(b)
    first = a.value >= b.value
    return _gate("max", np.maximum(a.value, b.value), (a, b), lambda g: (g * first, g * ~first))


def reciprocal(x: Operand) -> Node:
    """Return 1 / x, with the local gradient −1 / x²."""
    x = _as_node(x)
    return _gate("1/x", 1 / x.value, (x,), lambda g: (-g / x.value**2,))


def exp(x: Operand) -> Node:
    """Return eˣ, which is its own local gradient."""
    x = _as_node(x)
    value = np.exp(x.value)
    return _gate("exp", value, (x,), lambda g: (g * value,))


def log(x: Operand) -> Node:
    """Return the natural logarithm, with the local gradient 1 / x."""
    x = _as_node(x)
    return _gate("log", np.log(x.value), (x,), lambda g: (g / x.value,))


def sigmoid(x: Operand) -> Node:
    """Return f = 1 / (1 + e⁻ˣ) as one gate, with the local gradient f (1 − f)."""
    x = _as_node(x)
    value = 0.5 * np.tanh(0.5 * x.value) + 0.5  # e⁻ˣ would overflow
    return _gate("σ", value, (x,), lambda g: (g * value * (1 - value),))


def tanh(x: Operand) -> Node:
    """Return f = tanh x, with the local gradient 1 − f²."""
    x = _as_node(x)
    value = np.tanh(x.value)
    return _gate("tanh", value, (x,), lambda g: (g * (1 - value**2),))


def relu(x: Operand) -> Node:
    """Return max(0, x), with the local gradient 1 where x is above 0, otherwise 0."""
    x = _as_node(x)
    return _gate("ReLU", np.maximum(x.value, 0), (x,), lambda g: (g * (x.value > 0),))


def total(x: Operand) -> Node:
    """Return the sum of all elements, a scalar; each element gets the output's gradient."""
    x = _as_node(x)
    return _gate("Σ", x.value.sum(), (x,), lambda g: (np.broadcast_to(g, x.value.shape),))


def matmul(a: Operand, b: Operand) -> Node:
    """Return the matrix product of a (n, d) and b (d, k): dA = dY·Bᵀ, dB = Aᵀ·dY.

    Raises:
        ValueError: one is no matrix, or the inner sizes differ.
    """
    a, b = _as_node(a), _as_node(b)
    if a.value.ndim != 2 or b.value.ndim != 2 or a.value.shape[1] != b.value.shape[0]:
        raise ValueError(f"a and b must be matrices (n, d) and (d, k), got {a.value.shape} and {b.value.shape}")
    return _gate("·", a.value @ b.value, (a, b), lambda g: (g @ b.value.T, a.value.T @ g))


def _gate(name: str, value: Any, parents: tuple[Node, ...], backward: Backward) -> Node:
    node = Node(value)
    node.gate, node.parents, node._backward = name, parents, backward
    return node


def _as_node(value: Operand) -> Node:
    return value if isinstance(value, Node) else Node(value)


def _is_number(value: Operand) -> bool:
    return not isinstance(value, Node) and np.ndim(value) == 0


def _with_number(a: Operand, b: Operand) -> tuple[Node, float]:
    node, number = (b, a) if _is_number(a) else (a, b)
    return _as_node(node), float(number)  # type: ignore[arg-type]


def _to_shape(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient over the axes along which its input was repeated."""
    extra = tuple(range(gradient.ndim - len(shape)))
    summed = gradient.sum(axis=extra)
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and summed.shape[i] != 1)
    return np.asarray(summed.sum(axis=repeated, keepdims=True)) if repeated else np.asarray(summed)
