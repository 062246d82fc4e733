"""What is done with gradients: clipping, and a step down along them."""

from collections.abc import Sequence
from typing import Any, Optional

from gluonbook import _check
from gluonbook._mxnet import nd


def clip_gradients(gradients: Sequence[Any], theta: Optional[float]) -> Optional[Any]:
    """Scale gradients in place so that their joint L2 norm does not exceed ``theta``.

    The direction is kept, and gradients below the bound are left as they are to the last bit. Nothing is read back
    from the device: the norm stays an array (Pascanu et al. 2013, algorithm 1).

    Args:
        gradients: nd float32 arrays of any shapes, on one device; at least one. A joint norm above 1e19 overflows.
        theta: the bound, above 0; None does nothing.

    Returns:
        the norm before clipping, (1,) float32; None where theta is None.

    Raises:
        ValueError: theta is not above 0, or there are no gradients.

    >>> gradient = nd.array([3, 4])
    >>> clip_gradients([gradient], 2.5).asscalar(), gradient.asnumpy().tolist()
    (5.0, [1.5, 2.0])
    """
    if theta is None:
        return None
    theta = _check.number("theta", theta, above=0)
    if not gradients:  # MXNet would end the process
        raise ValueError("gradients must be at least one array, got none")
    flat = [gradient.reshape(-1) for gradient in gradients]  # the same memory
    norm = nd.add_n(*[nd.dot(gradient, gradient) for gradient in flat]).sqrt()  # (1,)
    scale = nd.minimum(theta / norm, 1)  # 1 where the norm is 0: theta / 0 is infinite
    for gradient in flat:
        nd.broadcast_mul(gradient, scale, out=gradient)
    return norm


def sgd(params: Sequence[Any], lr: float, batch_size: int) -> None:
    """Take one step of mini-batch gradient descent, in place.

    Args:
        params: nd arrays with gradients attached, of the sum of a batch's losses.
        lr: learning rate.
        batch_size: N, by which the gradients are divided; 1 where the loss is a mean already.

    >>> from gluonbook import autograd
    >>> w = nd.array([1.0, 2.0])
    >>> w.attach_grad()
    >>> with autograd.record():
    ...     l = (w * w).sum()
    >>> l.backward()
    >>> sgd([w], lr=0.5, batch_size=2)
    >>> w.asnumpy().tolist()
    [0.5, 1.0]
    """
    for param in params:
        descent = lr * param.grad
        if batch_size != 1:
            descent /= batch_size
        nd.elemwise_sub(param, descent, out=param)
