"""How much memory a stage of a transfer needs, how much is free, and which tiles make it fit."""

from typing import Any, Optional

import numpy as np

from gluonbook import _memory
from gluonbook._mxnet import mx
from gluonbook.style.features import Features

WHOLE = 3.2  # peak over the sum of all outputs in the network, forward and backward: measured 1.9 (VGG) to 3.1
TILED = 5.0  # the same of a tile: measured up to 4.9, for several sizes of tiles keep their memory
PICTURES = 34  # float32 pictures of the stage's size: L-BFGS remembers 20, the rest are content, tests and drafts
SMALLEST_TILE = 2  # a tile's own side, in margins


def estimate(features: Features, height: int, width: int, tile: Optional[int] = None) -> int:
    """Return the bytes that a stage needs at its peak, beyond what the process holds.

    Args:
        features: the network.
        height, width: of the picture, in pixels.
        tile: pixels of a tile's side with its margins; None computes all at once.
    """
    sides = (height, width) if tile is None else (min(height, tile), min(width, tile))
    outputs = activation_bytes(features, *sides) * (WHOLE if tile is None else TILED)
    return int(outputs + PICTURES * 3 * 4 * height * width)


def activation_bytes(features: Features, height: int, width: int) -> int:
    """Return the bytes of all outputs within the network, for a picture of that size."""
    symbol = mx.sym.Group(features.net(mx.sym.var("X"))).get_internals()
    _, shapes, _ = symbol.infer_shape(X=(1, 3, height, width))
    weights = set(symbol.list_arguments())
    return sum(4 * int(np.prod(shape)) for name, shape in zip(symbol.list_outputs(), shapes) if name not in weights)


def choose_tile(features: Features, height: int, width: int, free: int) -> Optional[int]:
    """Return None where a stage fits at once, else the side of the largest tiles with which it fits.

    Args:
        features: the network.
        height, width: of the picture, in pixels.
        free: bytes.

    Raises:
        MemoryError: it does not fit with any; the message gives both numbers and what would help.
    """
    if estimate(features, height, width) <= free:
        return None
    stride = max(features.strides)
    smallest = (SMALLEST_TILE + 2) * features.margin
    side = max(height, width) // stride * stride
    while side > smallest and estimate(features, height, width, side) > free:
        side -= stride
    if side < smallest or estimate(features, height, width, side) > free:
        need = min(estimate(features, height, width), estimate(features, height, width, smallest))
        raise MemoryError(
            f"{width}x{height} needs about {gibibytes(need)} of memory, and {gibibytes(free)} can be taken: "
            "choose a smaller --size (or --stages)"
        )
    return side


def free_bytes(device: Any) -> int:
    """Return the bytes that a transfer may take: a share of what is free on the device, within a container's limit."""
    if device.device_type == "gpu":
        return int(_memory.RESERVE * mx.context.gpu_memory_info(device.device_id)[0])
    return _memory.free_bytes()


def gibibytes(count: int) -> str:
    """Say a number of bytes in GiB.

    >>> gibibytes(3 * 2**29)
    '1.5 GiB'
    """
    return f"{count / 2**30:.1f} GiB"
