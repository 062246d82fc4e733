"""Transposed convolution: the way back through a convolution as a layer of its own.

A convolution of one channel is a matrix; this layer multiplies by the transposed one, so each input pixel adds a copy
of the kernel to the output. Letters: ``N`` batch, ``C, H, W`` the input, ``O`` output channels, ``kh, kw`` the
kernel's size, ``OH, OW`` the output's.
"""

from typing import Any

import numpy as np

from gluonbook import _check
from gluonbook.scratch.convolution import Pair, _pair, col2im, im2col
from gluonbook.scratch.layers import Layer


def transposed_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    """Return how many pixels a transposed convolution makes along a side: (N − 1)·S − 2P + F.

    Args:
        size: N, at least 1.
        kernel: F, at least 1.
        stride: S, the distance of two pixels' copies of the kernel, at least 1.
        padding: P, at least 0: so many pixels are cut off on either side.

    Returns:
        the size whose convolution with F, S and P has N outputs (Dumoulin & Visin 2016, section 4).

    Raises:
        ValueError: a number is out of range, or padding leaves no pixel.

    >>> transposed_size(2, 3), transposed_size(14, 4, stride=2, padding=1)
    (4, 28)
    >>> transposed_size(1, 2, padding=1)
    Traceback (most recent call last):
    ValueError: padding 1 leaves no pixel: (1 - 1) * 1 - 2 * 1 + 2 = 0, and it must be at least 1
    """
    _check.integer("size", size, at_least=1)
    _check.integer("kernel", kernel, at_least=1)
    _check.integer("stride", stride, at_least=1)
    _check.integer("padding", padding, at_least=0)
    result = (size - 1) * stride - 2 * padding + kernel
    if result < 1:
        raise ValueError(
            f"padding {padding} leaves no pixel: ({size} - 1) * {stride} - 2 * {padding} + {kernel} = {result}, "
            "and it must be at least 1"
        )
    return result


def convolution_matrix(kernel: Any, size: Pair, stride: Pair = 1, padding: Pair = 0) -> np.ndarray:
    """Write a convolution of one channel as a matrix that multiplies the picture, row after row in one column.

    Args:
        kernel: (kh, kw).
        size: of the picture, one number or (H, W), each at least 1. Small ones: nothing is left out that is 0.
        stride, padding: one number, or (vertical, horizontal); as for ``output_size``.

    Returns:
        (OH·OW, H·W): ``matrix @ picture.ravel()`` is the convolution; ``matrix.T`` is the transposed convolution
        (Dumoulin & Visin 2016, section 4.1).

    Raises:
        ValueError: the kernel is no matrix, or does not fit.

    >>> convolution_matrix([[1, 2]], (1, 3))
    array([[1., 2., 0.],
           [0., 1., 2.]])
    """
    kernel = _check.as_floats("kernel", kernel, None, None)
    H, W = (_check.integer("size", side, at_least=1) for side in _pair(size))
    pixels = np.eye(H * W, dtype=kernel.dtype).reshape(H * W, 1, H, W)  # a picture for each pixel
    columns = im2col(pixels, kernel.shape, stride, padding)  # (H·W, kh·kw, OH·OW)
    return np.asarray((kernel.ravel() @ columns).T)


def bilinear_kernel(factor: int, num_channels: int = 1) -> np.ndarray:
    """Make the weights with which a transposed convolution enlarges pictures by bilinear interpolation.

    Its stride is the factor f, its padding ⌈(f − 1)/2⌉, that is f // 2; H·f × W·f pixels come out. Beyond the picture
    it sees zeros, so its outermost pixels are darker (Long, Shelhamer & Darrell 2015, section 3.3).

    Args:
        factor: f, at least 1.
        num_channels: C, at least 1; each is enlarged by itself.

    Returns:
        (C, C, k, k) float64 with k = 2f − f mod 2, zeros between different channels.

    Raises:
        ValueError: a number is out of range.

    >>> bilinear_kernel(2)[0, 0, 0].tolist()
    [0.0625, 0.1875, 0.1875, 0.0625]
    >>> layer = ConvTranspose2D(bilinear_kernel(2), np.zeros(1), stride=2, padding=1)
    >>> layer.forward(np.ones((1, 1, 3, 3)))[0, 0, 2].tolist()
    [0.75, 1.0, 1.0, 1.0, 1.0, 0.75]
    """
    _check.integer("factor", factor, at_least=1)
    _check.integer("num_channels", num_channels, at_least=1)
    k = 2 * factor - factor % 2
    row = 1 - np.abs(np.arange(k) - (k - 1) / 2) / factor  # a triangle
    return np.eye(num_channels)[:, :, None, None] * np.outer(row, row)


class ConvTranspose2D(Layer):
    """A transposed convolution: each input pixel adds its multiple of the kernel to the output.

    Args:
        W: (C, O, kh, kw), input channels first, as in MXNet: the weights of the convolution from O to C channels
            whose way back this layer goes.
        b: (O,), the biases.
        stride, padding: one number, or (vertical, horizontal); as for ``transposed_size``.

    Inputs are (N, C, H, W), outputs (N, O, OH, OW). Forward is a convolution's backward, and backward its forward.

    Raises:
        ValueError: shapes do not fit.

    >>> layer = ConvTranspose2D([[[[1, 2], [3, 4]]]], [0], stride=2)
    >>> layer.forward(np.array([[[[1.0, 10.0]]]])).tolist()
    [[[[1.0, 2.0, 10.0, 20.0], [3.0, 4.0, 30.0, 40.0]]]]
    """

    def __init__(self, W: Any, b: Any, stride: Pair = 1, padding: Pair = 0) -> None:
        W = _check.as_floats("W", W, None, None, None, None)
        super().__init__(W=W, b=_check.as_floats("b", b, W.shape[1]))
        self._how = (W.shape[2:], _pair(stride), _pair(padding))

    def forward(self, X: np.ndarray, train: bool = False) -> np.ndarray:
        W, b = self.params["W"], self.params["b"]
        C, O = W.shape[:2]
        if X.ndim != 4 or X.shape[1] != C:
            raise ValueError(f"X must be (N, {C}, H, W), got shape {X.shape}")
        N, _, H, width = X.shape
        OH, OW = (transposed_size(*side) for side in zip((H, width), *self._how))
        self._X = X
        columns = W.reshape(C, -1).T @ X.reshape(N, C, H * width)  # (N, O·kh·kw, H·W)
        return np.asarray(col2im(columns, (N, O, OH, OW), *self._how) + b[:, None, None])

    def backward(self, dY: np.ndarray) -> np.ndarray:
        W, X = self.params["W"], self._X
        N, C, H, width = X.shape
        columns = im2col(dY, *self._how)  # (N, O·kh·kw, H·W)
        dW = (X.reshape(N, C, H * width) @ columns.transpose(0, 2, 1)).sum(axis=0)  # (C, O·kh·kw)
        self.grads = {"W": dW.reshape(W.shape), "b": dY.sum(axis=(0, 2, 3))}
        return np.asarray((W.reshape(C, -1) @ columns).reshape(X.shape))
