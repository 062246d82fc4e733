"""Convolution as one matrix product (im2col), and its cousin that shares no weights.

Letters: ``N`` batch, ``C, H, W`` a picture, ``O`` filters, ``kh, kw`` their size, ``OH, OW`` the output's. Like every
network's convolution it does not turn the kernel round: it is a cross-correlation.
"""

from typing import Any, Union

import numpy as np
from numpy.lib.stride_tricks import as_strided

from gluonbook import _check
from gluonbook.scratch.layers import Layer

Pair = Union[int, tuple[int, int]]


def output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Return how often a filter fits along a side: (N − F + 2P) / S + 1, with F the filter's reach.

    Args:
        size: N, at least 1.
        kernel: of the filter, at least 1; with a dilation d it reaches over (kernel − 1)·d + 1 pixels.
        stride: S, at least 1.
        padding: P, zeros on either side, at least 0.
        dilation: distance of the filter's taps, at least 1.

    Raises:
        ValueError: the filter does not fit, or the stride does not end at the border.

    >>> output_size(32, 5), output_size(227, 11, stride=4), output_size(7, 3, stride=2)
    (28, 55, 3)
    >>> output_size(7, 3, stride=3)
    Traceback (most recent call last):
    ValueError: a filter of 3 with stride 3 does not fit 7 pixels with padding 0: (7 - 3 + 0) / 3 + 1 = 2.33
    """
    _check.integer("size", size, at_least=1)
    _check.integer("kernel", kernel, at_least=1)
    _check.integer("stride", stride, at_least=1)
    _check.integer("padding", padding, at_least=0)
    _check.integer("dilation", dilation, at_least=1)
    reach = (kernel - 1) * dilation + 1
    room = size - reach + 2 * padding
    if room < 0:
        raise ValueError(f"a filter that reaches over {reach} pixels is larger than {size} with padding {padding}")
    if room % stride:
        raise ValueError(
            f"a filter of {reach} with stride {stride} does not fit {size} pixels with padding {padding}: "
            f"({size} - {reach} + {2 * padding}) / {stride} + 1 = {room / stride + 1:.2f}"
        )
    return room // stride + 1


def windows(X: np.ndarray, kernel: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> np.ndarray:
    """Return every window that a filter sees, as a view: nothing is copied but for the padding.

    Args:
        X: (N, C, H, W).
        kernel, stride, padding, dilation: one number, or (vertical, horizontal); as for ``output_size``.

    Returns:
        (N, C, kh, kw, OH, OW), read only.

    Raises:
        ValueError: X is no batch of pictures, or the filter does not fit.
    """
    if X.ndim != 4:
        raise ValueError(f"X must be (N, C, H, W), got shape {X.shape}")
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = (_pair(value) for value in (kernel, stride, padding, dilation))
    N, C, H, W = X.shape
    OH, OW = output_size(H, kh, sh, ph, dh), output_size(W, kw, sw, pw, dw)
    if ph or pw:
        X = np.pad(X, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    n, c, h, w = X.strides
    return as_strided(X, (N, C, kh, kw, OH, OW), (n, c, h * dh, w * dw, h * sh, w * sw), writeable=False)


def im2col(X: np.ndarray, kernel: Pair, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> np.ndarray:
    """Stretch every window that a filter sees into a column (Chellapilla, Puri & Simard 2006).

    Args:
        X, kernel, stride, padding, dilation: as for ``windows``.

    Returns:
        (N, C·kh·kw, OH·OW), a copy: a pixel stands in it once for each window that holds it.

    >>> im2col(np.zeros((1, 3, 227, 227)), kernel=11, stride=4).shape
    (1, 363, 3025)
    """
    view = windows(X, kernel, stride, padding, dilation)
    N, C, kh, kw, OH, OW = view.shape
    return np.array(view, order="C").reshape(N, C * kh * kw, OH * OW)  # reshape alone need not copy


def col2im(
    columns: np.ndarray,
    shape: tuple[int, ...],
    kernel: Pair,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> np.ndarray:
    """Add every column back to the window that it came from: the way back through ``im2col``.

    Args:
        columns: (N, C·kh·kw, OH·OW).
        shape: (N, C, H, W) of the pictures.
        kernel, stride, padding, dilation: as for ``im2col``.

    Returns:
        (N, C, H, W): pixels that stand in several windows get the sum.
    """
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = (_pair(value) for value in (kernel, stride, padding, dilation))
    N, C, H, W = shape
    OH, OW = output_size(H, kh, sh, ph, dh), output_size(W, kw, sw, pw, dw)
    parts = columns.reshape(N, C, kh, kw, OH, OW)
    X = np.zeros((N, C, H + 2 * ph, W + 2 * pw), columns.dtype)
    for i in range(kh):
        for j in range(kw):
            X[:, :, i * dh : i * dh + OH * sh : sh, j * dw : j * dw + OW * sw : sw] += parts[:, :, i, j]
    return X[:, :, ph : ph + H, pw : pw + W]


class Conv2D(Layer):
    """A convolutional layer: O filters slide over the pictures, each over all channels.

    Args:
        W: (O, C, kh, kw), the filters.
        b: (O,), the biases.
        stride, padding, dilation: one number, or (vertical, horizontal); as for ``output_size``.

    Inputs are (N, C, H, W), outputs (N, O, OH, OW). Every position uses the same weights, so their gradients add up
    over the positions.

    Raises:
        ValueError: shapes do not fit.

    >>> layer = Conv2D(np.ones((1, 1, 2, 2)), np.zeros(1))
    >>> layer.forward(np.arange(9.0).reshape(1, 1, 3, 3)).tolist()
    [[[[8.0, 12.0], [20.0, 24.0]]]]
    """

    def __init__(self, W: Any, b: Any, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1) -> None:
        W = _check.as_floats("W", W, None, None, None, None)
        super().__init__(W=W, b=_check.as_floats("b", b, len(W)))
        self._how = (W.shape[2:], stride, padding, dilation)

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        W, b = self.params["W"], self.params["b"]
        if X.ndim != 4 or X.shape[1] != W.shape[1]:
            raise ValueError(f"X must be (N, {W.shape[1]}, H, W), got shape {X.shape}")
        view = windows(X, *self._how)
        N, C, kh, kw, OH, OW = view.shape
        self._shape, self._columns = X.shape, view.reshape(N, C * kh * kw, OH * OW)
        Y = W.reshape(len(W), -1) @ self._columns + b[:, None]  # (N, O, OH·OW)
        return np.asarray(Y.reshape(N, len(W), OH, OW))

    def backward(self, dY: np.ndarray) -> np.ndarray:
        W = self.params["W"]
        dY = dY.reshape(len(dY), len(W), -1)  # (N, O, OH·OW)
        dW = (dY @ self._columns.transpose(0, 2, 1)).sum(axis=0)  # (O, C·kh·kw)
        self.grads = {"W": dW.reshape(W.shape), "b": dY.sum(axis=(0, 2))}
        return col2im(W.reshape(len(W), -1).T @ dY, self._shape, *self._how)


class LocallyConnected2D(Layer):
    """A convolutional layer without sharing: every position has filters of its own.

    Args:
        W: (OH, OW, O, C, kh, kw).
        b: (O, OH, OW).
        stride, padding: one number, or (vertical, horizontal).

    Inputs are (N, C, H, W), outputs (N, O, OH, OW).

    Raises:
        ValueError: shapes do not fit.
    """

    def __init__(self, W: Any, b: Any, stride: Pair = 1, padding: Pair = 0) -> None:
        W = _check.as_floats("W", W, *[None] * 6)
        super().__init__(W=W, b=_check.as_floats("b", b, W.shape[2], *W.shape[:2]))
        self._how = (W.shape[4:], stride, padding)

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        W = self.params["W"]
        view = windows(X, *self._how)  # (N, C, kh, kw, OH, OW)
        if view.shape[4:] != W.shape[:2] or view.shape[1] != W.shape[3]:
            raise ValueError(
                f"X {X.shape} gives {view.shape[4:]} positions of {view.shape[1]} channels, W is {W.shape}"
            )
        self._shape, self._windows = X.shape, view
        return np.asarray(np.einsum("ncijyx,yxocij->noyx", view, W, optimize=True) + self.params["b"])

    def backward(self, dY: np.ndarray) -> np.ndarray:
        self.grads = {
            "W": np.einsum("noyx,ncijyx->yxocij", dY, self._windows, optimize=True),
            "b": dY.sum(axis=0),
        }
        columns = np.einsum("noyx,yxocij->ncijyx", dY, self.params["W"], optimize=True)
        N, C, kh, kw, OH, OW = columns.shape
        return col2im(columns.reshape(N, C * kh * kw, OH * OW), self._shape, *self._how)


def _pair(value: Pair) -> tuple[int, int]:
    if not isinstance(value, (tuple, list)):
        return value, value
    if len(value) != 2:
        raise ValueError(f"a pair must be (vertical, horizontal), got {value}")
    return value[0], value[1]
