"""Losses, each with its gradient."""

from typing import Any

import numpy as np

from gluonbook import _check


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return each row's probabilities, eᶻ / Σ eᶻ, without overflow.

    Args:
        logits: (N, K).

    Returns:
        (N, K), rows that sum to 1.

    >>> softmax(np.array([[1000.0, 1000.0], [0.0, -1000.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def softmax_cross_entropy(logits: np.ndarray, labels: Any) -> tuple[float, np.ndarray]:
    """Return the mean cross-entropy of softmax, in nats, and its gradient with respect to the logits, (p − y) / N.

    Args:
        logits: (N, K).
        labels: (N,) int, from 0 to K - 1.

    Returns:
        the loss; the gradient, (N, K).

    Raises:
        ValueError: a label is no class, or the lengths differ.

    >>> loss, gradient = softmax_cross_entropy(np.zeros((1, 10)), [3])
    >>> round(loss, 3), gradient[0, 3].round(3)
    (2.303, -0.9)
    """
    labels = _labels(labels, "logits", logits)
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (N, K)
    gradient = np.exp(log_probabilities)
    gradient[rows, labels] -= 1
    return float(-log_probabilities[rows, labels].mean()), gradient / len(labels)


def sigmoid_cross_entropy(logits: np.ndarray, targets: Any) -> tuple[float, np.ndarray]:
    """Return the cross-entropy of independent yes-or-no outputs, in nats, and its gradient, (σ(z) − y) / N.

    −y·log σ(z) − (1 − y)·log(1 − σ(z)), summed over the outputs, the mean over the examples. The logarithms are taken
    of z, not of σ(z), which may be 0 or 1: max(z, 0) − z·y + log(1 + e^−|z|).

    Args:
        logits: (N, K), z, before the sigmoid.
        targets: (N, K), y, probabilities from 0 to 1.

    Returns:
        the loss; the gradient, (N, K).

    Raises:
        ValueError: the shapes differ, there are no examples, or a target is no probability.

    >>> loss, gradient = sigmoid_cross_entropy(np.array([[0.0], [-1000.0]]), [[1], [1]])
    >>> round(loss, 3), gradient.tolist()
    (500.347, [[-0.25], [-0.5]])
    """
    targets = _like("targets", targets, logits)
    if not ((targets >= 0) & (targets <= 1)).all():
        worst = targets[~((targets >= 0) & (targets <= 1))][0]
        raise ValueError(f"targets must be probabilities from 0 to 1, got {worst:g}")
    losses = np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))
    gradient = 0.5 * np.tanh(0.5 * logits) + 0.5 - targets  # e⁻ᶻ would overflow
    return float(losses.sum() / len(logits)), gradient / len(logits)


def hinge(outputs: np.ndarray, signs: Any) -> tuple[float, np.ndarray]:
    """Return the hinge loss, max(0, 1 − y·a) summed over the outputs, the mean over the examples, and its gradient.

    Args:
        outputs: (N, K), a, of which the sign is the answer (Cortes & Vapnik 1995).
        signs: (N, K), y, -1 or 1.

    Returns:
        the loss; the gradient, (N, K): −y / N where y·a is below 1, otherwise 0.

    Raises:
        ValueError: the shapes differ, there are no examples, or a sign is another.

    >>> loss, gradient = hinge(np.array([[0.5], [3.0]]), [[1], [1]])
    >>> loss, gradient.tolist()
    (0.25, [[-0.5], [0.0]])
    """
    signs = _like("signs", signs, outputs)
    if not np.isin(signs, (-1, 1)).all():
        raise ValueError(f"signs must be -1 or 1, got {signs[~np.isin(signs, (-1, 1))][0]:g}")
    margins = 1 - signs * outputs
    gradient = np.where(margins > 0, -signs, 0.0)
    return float(np.maximum(margins, 0).sum() / len(outputs)), gradient / len(outputs)


def multiclass_hinge(scores: np.ndarray, labels: Any) -> tuple[float, np.ndarray]:
    """Return the hinge loss of several classes, Σ max(0, s_j − s_y + 1) over the wrong ones, and its gradient.

    Args:
        scores: (N, K) (Weston & Watkins 1999; the sum, not the worst class alone).
        labels: (N,) int, from 0 to K - 1.

    Returns:
        the mean loss; the gradient, (N, K).

    Raises:
        ValueError: a label is no class, or the lengths differ.

    >>> loss, gradient = multiclass_hinge(np.array([[3.0, 2.5, 1.0]]), [0])
    >>> loss, gradient.tolist()
    (0.5, [[-1.0, 1.0, 0.0]])
    """
    labels = _labels(labels, "scores", scores)
    rows = np.arange(len(labels))
    margins = scores - scores[rows, labels][:, None] + 1  # (N, K)
    margins[rows, labels] = 0
    gradient = (margins > 0).astype(scores.dtype)
    gradient[rows, labels] = -gradient.sum(axis=1)
    return float(np.maximum(margins, 0).sum() / len(labels)), gradient / len(labels)


def quadratic(outputs: np.ndarray, targets: Any) -> tuple[float, np.ndarray]:
    """Return half the squared distance, the mean over the examples, and its gradient, (a − y) / N.

    Args:
        outputs: (N, K).
        targets: (N, K).

    Returns:
        the loss; the gradient, (N, K).

    Raises:
        ValueError: the shapes differ.

    >>> quadratic(np.array([[1.0, 2.0]]), [[0.0, 2.0]])[0]
    0.5
    """
    difference = outputs - _like("targets", targets, outputs)
    return float((difference**2).sum() / 2 / len(outputs)), difference / len(outputs)


def _like(name: str, values: Any, outputs: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.shape != outputs.shape or not len(outputs):
        raise ValueError(f"{name} must have the outputs' shape {outputs.shape}, got {values.shape}")
    return values


def _labels(labels: Any, name: str, outputs: np.ndarray) -> np.ndarray:
    labels = np.asarray(_check.indices("labels", labels, below=outputs.shape[1]))
    if len(labels) != len(outputs) or not len(labels):
        raise ValueError(f"labels must be as many as rows of {name}, {len(outputs)}, at least 1; got {len(labels)}")
    return labels
