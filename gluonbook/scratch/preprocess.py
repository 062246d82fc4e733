"""Preprocessing that is fitted once, on the training split, and then applied to every split.

``fit_…`` returns a transform that cannot be fitted again: statistics of a validation split cannot leak into it by
accident. Letters: ``N`` examples, ``D`` features, ``k`` components.
"""

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from gluonbook import _check

EPSILON = 1e-5  # added to a variance that is divided by


@dataclass(frozen=True)
class Transform:
    """(X − shift) · rotation / scale, with numbers that were fitted on a training split.

    Attributes:
        shift: broadcast against X.
        scale: likewise; of the components where there is a rotation.
        rotation: (D, k) whose columns are orthonormal; None for none.
        variances: (k,), of the components on the training split; None without a rotation.
    """

    shift: np.ndarray
    scale: np.ndarray
    rotation: Optional[np.ndarray] = None
    variances: Optional[np.ndarray] = None

    def transform(self, X: Any) -> np.ndarray:
        """Return examples as the training split would be: (N, …), with a rotation (N, k) for (N, D).

        Raises:
            ValueError: they have other features than the training split.
        """
        X = _fitting("X", X, self.shift) - self.shift
        return np.asarray((X if self.rotation is None else X @ self.rotation) / self.scale)

    def inverse(self, Z: Any) -> np.ndarray:
        """Return what was transformed; with fewer components than features, the nearest to it.

        Raises:
            ValueError: it is no output of ``transform``.
        """
        Z = _fitting("Z", Z, self.shift if self.rotation is None else self.scale) * self.scale
        return np.asarray((Z if self.rotation is None else Z @ self.rotation.T) + self.shift)


def fit_center(X_train: Any, per: str = "feature") -> Transform:
    """Fit the subtraction of the mean.

    Args:
        X_train: (N, …), the training split; (N, C, H, W) for ``per="channel"``.
        per: ``"feature"``, each its own mean; ``"image"``, one number for all; ``"channel"``, one a channel.

    Returns:
        Transform.

    Raises:
        ValueError: ``per`` is another, or the split is empty.

    >>> fit_center([[1, 10], [3, 30]]).transform([[2, 20]]).tolist()
    [[0.0, 0.0]]
    """
    X = _split(X_train)
    axes = {"feature": 0, "image": None, "channel": (0, *range(2, X.ndim))}[
        _check.choice("per", per, ("feature", "image", "channel"))
    ]
    if per == "channel" and X.ndim != 4:
        raise ValueError(f"X_train must be (N, C, H, W) for per='channel', got shape {X.shape}")
    mean = X.mean(axis=axes, keepdims=per == "channel")
    return Transform(np.asarray(mean[0] if per == "channel" else mean), np.ones(()))


def fit_standardize(X_train: Any) -> Transform:
    """Fit mean 0 and standard deviation 1 of each feature; a constant feature is only shifted.

    Args:
        X_train: (N, …), the training split.

    Returns:
        Transform.

    >>> fit_standardize([[1, 5], [3, 5]]).transform([[1, 5], [5, 6]]).tolist()
    [[-1.0, 0.0], [3.0, 1.0]]
    """
    X = _split(X_train)
    deviation = X.std(axis=0)
    varies = (X.max(axis=0) > X.min(axis=0)) & (deviation > 0)  # a constant's deviation may be a rounding error
    return Transform(X.mean(axis=0), np.where(varies, deviation, 1.0))


def fit_range(X_train: Any) -> Transform:
    """Fit the range [−1, 1] of each feature; a constant feature becomes 0.

    Args:
        X_train: (N, …), the training split.

    Returns:
        Transform.

    >>> fit_range([[1.0], [5.0]]).transform([[1.0], [2.0], [5.0]]).tolist()
    [[-1.0], [-0.5], [1.0]]
    """
    X = _split(X_train)
    low, high = X.min(axis=0), X.max(axis=0)
    return Transform((low + high) / 2, np.where(high > low, (high - low) / 2, 1.0))


def fit_pca(
    X_train: Any, num_components: Optional[int] = None, whiten: bool = False, epsilon: float = EPSILON
) -> Transform:
    """Fit a principal component analysis: the directions of greatest variance first.

    The covariance is XᵀX/N of the centred split; its singular vectors are its eigenvectors, and its singular values are
    its eigenvalues, the variances along them. Each vector's largest entry is positive, which fixes its sign.

    Args:
        X_train: (N, D), the training split.
        num_components: k, from 1 to D; None keeps all.
        whiten: divide each component by its standard deviation, too: the covariance becomes the identity.
        epsilon: added to each variance before its root is divided by, at least 0.

    Returns:
        Transform, with its ``variances``.

    Raises:
        ValueError: an argument is out of range.

    >>> pca = fit_pca([[0, 0], [2, 2], [4, 4]], num_components=1)
    >>> pca.variances.round(3).tolist(), pca.transform([[3, 3]]).round(3).tolist()
    ([5.333], [[1.414]])
    """
    X = _split(X_train)
    if X.ndim != 2:
        raise ValueError(f"X_train must be (N, D), got shape {X.shape}")
    D = X.shape[1]
    k = D if num_components is None else _check.integer("num_components", num_components, at_least=1, at_most=D)
    _check.number("epsilon", epsilon, at_least=0)
    mean = X.mean(axis=0)
    covariance = (X - mean).T @ (X - mean) / len(X)  # (D, D)
    U, S, _ = np.linalg.svd(covariance)
    signs = np.sign(U[np.abs(U).argmax(axis=0), np.arange(D)])
    scale = np.sqrt(S[:k] + epsilon) if whiten else np.ones(k)
    return Transform(mean, scale, (U * signs)[:, :k], S[:k])


def _split(X_train: Any) -> np.ndarray:
    X = np.asarray(X_train, np.float64)
    if X.ndim < 2 or not X.size:
        raise ValueError(f"X_train must be (N, …) with at least one example, got shape {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError(f"X_train must be finite, got {X[~np.isfinite(X)][0]} in it")
    return X


def _fitting(name: str, X: Any, fitted: np.ndarray) -> np.ndarray:
    """Return examples that numbers of one example, or of its channels (C, 1, 1), or one for all, can be applied to."""
    X = np.asarray(X, np.float64)
    one = X.shape[1:]
    channels = fitted.ndim == 3 and fitted.shape[1:] == (1, 1) and len(one) == 3 and one[0] == len(fitted)
    if not (fitted.ndim == 0 or one == fitted.shape or channels):
        raise ValueError(f"{name} must be examples as those that it was fitted on, {fitted.shape} each, got {X.shape}")
    return X
