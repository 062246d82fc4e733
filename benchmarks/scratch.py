"""The convolution that is written in NumPy beside MXNet's and PyTorch's.

    python benchmarks/scratch.py [--rounds 7]

The first layer of AlexNet: a picture of 227×227×3, 96 filters of 11×11, stride 4, with the same weights for all;
``gluonbook.scratch.Conv2D`` is the package's. Forward alone, and forward and backward to pictures, filters and biases.
MXNet's and PyTorch's take the same dtype.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import gluonbook  # noqa: F401  before NumPy: see measuring

import numpy as np  # isort: skip
from measuring import LEAST_ROUNDS, OWN, Figure, Peer, alternate, has_torch, main, timed

REACH = 3.0
MANY = 3  # times as many rounds as asked for: each takes milliseconds
FILTERS, KERNEL, STRIDE, SIDE, OUT = 96, 11, 4, 227, 55
PRODUCT = 2 * FILTERS * 3 * KERNEL**2 * OUT**2  # multiplications and additions
DTYPES = ("float32", "float64")
FORWARD, BOTH = "forward", "forward and backward"


class Arrays(NamedTuple):
    """What all compute with: X (1, 3, 227, 227), W (96, 3, 11, 11), b (96,), dY (1, 96, 55, 55)."""

    X: np.ndarray
    W: np.ndarray
    b: np.ndarray
    dY: np.ndarray


def arrays(dtype: str) -> Arrays:
    """Return the same numbers in every process."""
    from gluonbook import scratch

    rng = np.random.default_rng(0)
    found = (
        rng.normal(size=(1, 3, SIDE, SIDE)),
        scratch.weights((FILTERS, 3, KERNEL, KERNEL), "he", rng),
        rng.normal(size=FILTERS),
        rng.normal(size=(1, FILTERS, OUT, OUT)),
    )
    return Arrays(*(array.astype(dtype) for array in found))


def figures(rounds: int = LEAST_ROUNDS) -> list[Figure]:
    """Measure each job in each dtype."""
    torch = Peer("scratch_peers.py") if has_torch() else None
    found = [figure for dtype in DTYPES for figure in of_dtype(dtype, rounds, torch)]
    if torch:
        torch.close()
    return found


def of_dtype(dtype: str, rounds: int, torch: Any) -> Iterator[Figure]:
    """Yield the figures of a dtype."""
    from gluonbook import scratch

    held = arrays(dtype)
    layer = scratch.Conv2D(held.W, held.b, stride=STRIDE)
    theirs = mxnet_layer(held)

    def both() -> None:
        layer.forward(held.X)
        layer.backward(held.dY)

    apart = np.abs(layer.forward(held.X) - theirs[FORWARD]().asnumpy()).max()
    own = {FORWARD: lambda: layer.forward(held.X), BOTH: both}
    for job, products in ((FORWARD, 1), (BOTH, 3)):
        ways = {OWN: timed(own[job]), "MXNet": timed(theirs[job])}
        if torch:
            ways["PyTorch"] = torch.way(f"{job} {dtype}")
        yield Figure(
            f"{job}, {dtype}",
            alternate(ways, MANY * rounds),
            flops=products * PRODUCT * held.X.itemsize / 4,  # the machine's limit is float32's: half as fast in float64
            moved=sum(array.nbytes for array in held) * (1 if job == FORWARD else 2),
            reach={"MXNet": REACH},
            note=f"the largest difference from MXNet's output is {apart:.1e}" if job == FORWARD else "",
        )


def mxnet_layer(held: Arrays) -> dict[str, Any]:
    """Return MXNet's way of each job, waited for."""
    from gluonbook._mxnet import autograd, nd

    X, W, b, dY = (nd.array(array, dtype=array.dtype) for array in held)
    for array in (X, W, b):
        array.attach_grad()

    def convolve() -> Any:
        Y = nd.Convolution(X, W, b, kernel=(KERNEL, KERNEL), stride=(STRIDE, STRIDE), num_filter=FILTERS)
        Y.wait_to_read()
        return Y

    def both() -> None:
        with autograd.record():
            Y = convolve()
        Y.backward(dY)
        nd.waitall()

    return {FORWARD: convolve, BOTH: both}


if __name__ == "__main__":
    main(figures, __doc__ or "")
