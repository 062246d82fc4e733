"""PyTorch's convolution for ``scratch.py``, in a process of its own."""

from collections.abc import Callable
from typing import Any

import torch
from measuring import serve
from scratch import BOTH, DTYPES, FORWARD, STRIDE, arrays


def jobs(dtype: str) -> dict[str, Callable[[], Any]]:
    """Return PyTorch's way of each job, by job and dtype."""
    X, W, b, dY = (torch.from_numpy(array) for array in arrays(dtype))
    for tensor in (X, W, b):
        tensor.requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            torch.nn.functional.conv2d(X, W, b, stride=STRIDE)

    def both() -> None:
        for tensor in (X, W, b):
            tensor.grad = None
        torch.nn.functional.conv2d(X, W, b, stride=STRIDE).backward(dY)

    return {f"{FORWARD} {dtype}": forward, f"{BOTH} {dtype}": both}


if __name__ == "__main__":
    serve({name: job for dtype in DTYPES for name, job in jobs(dtype).items()})
