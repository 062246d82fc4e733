"""Small things that the chapters of the book define as they go."""

import os
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from gluonbook import _check, training
from gluonbook._mxnet import nd


class Benchmark:
    """Print how long a block took, in seconds, when it ends, whether by an error or not.

    MXNet computes while Python goes on: read a result inside of the block, or call ``nd.waitall()``.

    Args:
        prefix: stands before the time; None for none.

    Attributes:
        prefix: with a space behind it, or empty.
        start: seconds since the epoch, once the block has begun.

    >>> with Benchmark("done"): pass  # doctest: +ELLIPSIS
    done time: 0.0... sec
    """

    def __init__(self, prefix: Optional[str] = None) -> None:
        self.prefix = f"{prefix} " if prefix else ""

    def __enter__(self) -> None:
        self.start = time.time()

    def __exit__(self, *args: object) -> None:
        print(f"{self.prefix}time: {time.time() - self.start:.4f} sec")


def mkdir_if_not_exist(path: Sequence[str]) -> None:
    """Make a folder with its parents; one that is there stays as it is.

    Args:
        path: the parts of its path, at least one.

    Raises:
        TypeError: it is one string, whose letters would be the parts.

    >>> mkdir_if_not_exist(["..", "data", "kaggle_house"])  # doctest: +SKIP
    """
    if isinstance(path, str):
        raise TypeError(f"path must be a list of the path's parts, got {path!r}")
    os.makedirs(os.path.join(*path), exist_ok=True)


def linreg(X: Any, w: Any, b: Any) -> Any:
    """Return the outputs of a linear regression, Xw + b.

    Args:
        X: nd (N, d).
        w: nd (d, 1), or (d, K).
        b: nd (1,), or (K,).

    Returns:
        nd (N, 1), or (N, K).

    >>> linreg(nd.array([[1, 2]]), nd.array([[3], [4]]), nd.array([5])).asnumpy().tolist()
    [[16.0]]
    """
    return nd.dot(X, w) + b


def squared_loss(y_hat: Any, y: Any) -> Any:
    """Return half of each squared error, not reduced.

    Args:
        y_hat: nd of any shape.
        y: nd with as many elements; takes the shape of ``y_hat``.

    Returns:
        nd of the shape of ``y_hat``.

    Raises:
        ValueError: the numbers of elements differ.

    >>> squared_loss(nd.array([[1], [4]]), nd.array([1, 2])).asnumpy().tolist()
    [[0.0], [2.0]]
    """
    if y.size != y_hat.size:
        raise ValueError(f"y must have as many elements as y_hat, {y_hat.size}, got {y.size}")
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


def grad_clipping(params: Sequence[Any], theta: Optional[float], ctx: Any) -> None:
    """Scale the gradients of all parameters in place so that their joint L2 norm does not exceed ``theta``.

    ``gluonbook.clip_gradients`` does the same to gradients and returns the norm.

    Args:
        params: nd arrays with gradients attached.
        theta: the bound, above 0; None does nothing.
        ctx: not used: the gradients are clipped where they are.

    Raises:
        ValueError: theta is not above 0, or a parameter has no gradient.

    >>> w = nd.array([3.0, 4.0])
    >>> w.attach_grad()
    >>> w.grad[:] = w
    >>> grad_clipping([w], 2.5, w.context)
    >>> w.grad.asnumpy().tolist()
    [1.5, 2.0]
    """
    if theta is None:
        return
    for i, param in enumerate(params):
        if param.grad is None:
            raise ValueError(f"params[{i}] has no gradient: call attach_grad() before the computation is recorded")
    training.clip_gradients([param.grad for param in params], theta)


def corr2d(X: Any, K: Any) -> Any:
    """Return the two-dimensional cross-correlation of a matrix and a kernel, without padding, with stride 1.

    It can be differentiated with respect to both.

    Args:
        X: nd (h, w) float.
        K: nd (kh, kw), at most as large as X.

    Returns:
        nd (h - kh + 1, w - kw + 1), on X's device; element (i, j) is the sum of ``X[i:i+kh, j:j+kw] * K``.

    Raises:
        ValueError: one is no matrix, or the kernel is larger than X.

    >>> corr2d(nd.arange(9).reshape((3, 3)), nd.array([[0, 1], [2, 3]])).asnumpy().tolist()
    [[19.0, 25.0], [37.0, 43.0]]
    """
    if X.ndim != 2 or K.ndim != 2 or not all(0 < k <= x for k, x in zip(K.shape, X.shape)):
        raise ValueError(f"X must be a matrix (h, w), K one that fits into it; got {X.shape} and {K.shape}")
    maps = nd.Convolution(
        X.reshape((1, 1, *X.shape)), K.reshape((1, 1, *K.shape)), kernel=K.shape, num_filter=1, no_bias=True
    )  # (1, 1, h - kh + 1, w - kw + 1)
    return maps.reshape(maps.shape[2:])


def data_iter(batch_size: int, features: Any, labels: Any) -> Iterator[tuple[Any, Any]]:
    """Go once over a data set in random order (Python's ``random``).

    Args:
        batch_size: N, at least 1.
        features: nd (n, …).
        labels: nd (n, …).

    Returns:
        an iterator over batches of features (N, …) and labels (N, …); the last may be smaller.

    Raises:
        ValueError: features and labels are not equally long.

    >>> for X, y in data_iter(2, nd.zeros((3, 4)), nd.zeros(3)): print(X.shape, y.shape)
    (2, 4) (2,)
    (1, 4) (1,)
    """
    _check.integer("batch_size", batch_size, at_least=1)
    if len(features) != len(labels):
        raise ValueError(f"features and labels must be equally long, got {len(features)} and {len(labels)}")
    order = list(range(len(features)))
    random.shuffle(order)
    chosen = (nd.array(order[i : i + batch_size], dtype="int32") for i in range(0, len(order), batch_size))
    return ((features.take(rows), labels.take(rows)) for rows in chosen)
