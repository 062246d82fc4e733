"""Pooling: a window's maximum or mean, channel by channel; nothing to learn.

Letters: ``N`` batch, ``C, H, W`` a picture, ``OH, OW`` the output's size.
"""

from typing import Optional

import numpy as np

from gluonbook.scratch.convolution import Pair, col2im, windows
from gluonbook.scratch.layers import Layer


class _Pool2D(Layer):
    def __init__(self, size: Pair = 2, stride: Optional[Pair] = None) -> None:
        super().__init__()
        self.size, self.stride = size, size if stride is None else stride

    def _windows(self, X: np.ndarray) -> np.ndarray:
        """Return each window's values in a row of its own, (N, C, OH, OW, kh·kw)."""
        view = windows(X, self.size, self.stride)
        N, C, kh, kw, OH, OW = view.shape
        self._shape, self._kernel = X.shape, (kh, kw)
        return view.transpose(0, 1, 4, 5, 2, 3).reshape(N, C, OH, OW, kh * kw)

    def _back(self, shares: np.ndarray) -> np.ndarray:
        """Add (N, C, OH, OW, kh·kw) gradients to the pixels that the windows hold."""
        N, _, OH, OW, _ = shares.shape
        columns = shares.transpose(0, 1, 4, 2, 3).reshape(N, -1, OH * OW)  # (N, C·kh·kw, OH·OW)
        return col2im(columns, self._shape, self.size, self.stride)


class MaxPool2D(_Pool2D):
    """The maximum of each window. The way back leads to the place where it was, which ``forward`` notes (switches).

    Args:
        size: F, of the window: one number, or (vertical, horizontal).
        stride: S; None takes F, so that windows do not overlap.

    Attributes:
        switches: (N, C, OH, OW) int, after ``forward``: the place of the maximum in its window, row by row; of equals
            the first.

    Inputs are (N, C, H, W), outputs (N, C, OH, OW) with OH = (H − F) / S + 1.

    Raises:
        ValueError: the windows do not fit.

    >>> layer = MaxPool2D(2)
    >>> layer.forward(np.array([[[[1.0, 2.0], [4.0, 3.0]]]])).tolist(), layer.switches.tolist()
    ([[[[4.0]]]], [[[[2]]]])
    >>> layer.backward(np.ones((1, 1, 1, 1))).tolist()
    [[[[0.0, 0.0], [1.0, 0.0]]]]
    """

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        values = self._windows(X)
        self.switches = values.argmax(axis=-1)
        return np.take_along_axis(values, self.switches[..., None], axis=-1)[..., 0]

    def backward(self, dY: np.ndarray) -> np.ndarray:
        kh, kw = self._kernel
        shares = np.zeros((*dY.shape, kh * kw), dY.dtype)
        np.put_along_axis(shares, self.switches[..., None], dY[..., None], axis=-1)
        return self._back(shares)


class AvgPool2D(_Pool2D):
    """The mean of each window, as ``MaxPool2D``; the way back divides the gradient evenly.

    >>> AvgPool2D(2).forward(np.array([[[[1.0, 2.0], [4.0, 3.0]]]])).tolist()
    [[[[2.5]]]]
    """

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        return self._windows(X).mean(axis=-1)

    def backward(self, dY: np.ndarray) -> np.ndarray:
        kh, kw = self._kernel
        return self._back(np.repeat(dY[..., None] / (kh * kw), kh * kw, axis=-1))
