"""The losses of style transfer: small differentiable pieces, whose weighted sum is the formula (Gatys et al. 2016).

Letters: N pictures, C channels of a layer, H and W its height and width.
"""

from typing import Any, Optional

from gluonbook._mxnet import nd


def content_loss(Y_hat: Any, Y: Any) -> Any:
    """Return the mean squared difference of two layers' outputs (Gatys et al. 2016, equation 1, but a mean).

    Args:
        Y_hat, Y: (N, C, H, W) float32.

    Returns:
        (1,) float32.
    """
    return nd.square(Y_hat - Y).mean()


def products(Y: Any, mask: Optional[Any] = None) -> Any:
    """Return the sums over positions of the products of two channels.

    Args:
        Y: (N, C, H, W) float32, a layer's outputs.
        mask: (1, 1, H, W) float32, how much of each output counts; None counts all of it.

    Returns:
        (N, C, C) float32, symmetric.
    """
    if mask is not None:
        Y = nd.broadcast_mul(Y, mask)
    N, C = Y.shape[:2]
    if N == 1:
        return _products(Y.reshape((C, -1))).expand_dims(0)
    return nd.stack(*[_products(Y[n].reshape((C, -1))) for n in range(N)])  # (N, C, C)


def _products(Y: Any) -> Any:
    """Return Y·Yᵀ of a Y (C, P), (C, C): by FullyConnected, whose one product back takes S + Sᵀ for a gradient S.

    With its gradient it takes half of the time of ``nd.linalg.syrk``.
    """
    half = nd.FullyConnected(Y, Y.detach(), no_bias=True, num_hidden=Y.shape[0])
    return half + half.T - half.detach()


def gram(Y: Any, mask: Optional[Any] = None) -> Any:
    """Return each picture's Gram matrix: the mean product of two channels, over positions, divided by C.

    Equation 3 of Gatys et al. 2016, divided by C·H·W as in the book, so that it does not grow with the picture. With a
    mask it is the guided Gram matrix of Gatys et al. 2017, section 3, divided by C and the mask's sum of squares.

    Args:
        Y: (N, C, H, W) float32, a layer's outputs.
        mask: (1, 1, H, W) float32, how much of each output counts, not all 0; None counts all of it.

    Returns:
        (N, C, C) float32, symmetric.
    """
    _, C, H, W = Y.shape
    count = H * W if mask is None else float(nd.square(mask).sum().asscalar())
    return products(Y, mask) / (C * count)


def style_loss(G_hat: Any, G: Any) -> Any:
    """Return the mean squared difference of two Gram matrices (Gatys et al. 2016, equation 4, but a mean).

    Args:
        G_hat, G: (N, C, C) float32.

    Returns:
        (1,) float32.
    """
    return nd.square(G_hat - G).mean()


def tv_loss(X: Any) -> Any:
    """Return the total variation: half the mean difference of neighbours below each other, plus half that beside.

    Args:
        X: (N, C, H, W) float32, pictures with at least two rows and two columns.

    Returns:
        (1,) float32.
    """
    down = nd.abs(X[:, :, 1:] - X[:, :, :-1]).mean()
    right = nd.abs(X[:, :, :, 1:] - X[:, :, :, :-1]).mean()
    return 0.5 * (down + right)
