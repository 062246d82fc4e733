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
    labels = _check.indices("labels", labels, below=logits.shape[1])
    if len(labels) != len(logits) or not len(labels):
        raise ValueError(f"labels must be as many as rows of logits, {len(logits)}, at least 1; got {len(labels)}")
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # (N, K)
    gradient = np.exp(log_probabilities)
    gradient[rows, labels] -= 1
    return float(-log_probabilities[rows, labels].mean()), gradient / len(labels)


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
    targets = np.asarray(targets, np.float64)
    if targets.shape != outputs.shape or not len(outputs):
        raise ValueError(f"targets must have the outputs' shape {outputs.shape}, got {targets.shape}")
    difference = outputs - targets
    return float((difference**2).sum() / 2 / len(outputs)), difference / len(outputs)
