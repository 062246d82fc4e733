"""Anchor boxes: where a detector looks, n + m − 1 at every pixel of a feature map."""

from collections.abc import Sequence
from typing import Optional

import numpy as np

from gluonbook import _check


def multibox_prior(
    shape: Sequence[int],
    sizes: Sequence[float] = (1.0,),
    ratios: Sequence[float] = (1.0,),
    steps: Optional[Sequence[float]] = None,
    offsets: Sequence[float] = (0.5, 0.5),
    clip: bool = False,
) -> np.ndarray:
    """Return the anchors of a feature map: at each pixel (sᵢ, r₁) for every size, then (s₁, rⱼ) for j ≥ 2.

    The pair (s₁, r₁) stands in both lists and is taken once: n + m − 1 anchors a pixel (Liu et al. 2016, section 2.2,
    with the pairs that MXNet's ``MultiBoxPrior`` takes, in its order and with its float32 arithmetic). A size is a
    share of the picture's height, a ratio is width over height in pixels of a picture of the map's proportions:
    width s·√r·H/W, height s/√r.

    Args:
        shape: (H, W) of the feature map, at least 1.
        sizes: n values, above 0.
        ratios: m values, above 0.
        steps: (y, x) between centres, fractions of the picture; None takes (1/H, 1/W).
        offsets: (y, x) of the first centre, in steps, from 0 to 1.
        clip: cut the anchors at the picture's border.

    Returns:
        (H·W·(n + m − 1), 4) float32, corners as fractions; row by row, pixel by pixel.

    Raises:
        ValueError: there is no size or no ratio, or an argument is out of range.

    >>> multibox_prior((1, 1), sizes=[0.5, 0.25], ratios=[1, 4]).tolist()
    [[0.25, 0.25, 0.75, 0.75], [0.375, 0.375, 0.625, 0.625], [0.0, 0.375, 1.0, 0.625]]
    """
    height, width = (_check.integer("shape", side, at_least=1) for side in _pair("shape", shape))
    size, ratio = _above_zero("sizes", sizes), _above_zero("ratios", ratios)
    step_y, step_x = (np.float32(1) / np.float32(height), np.float32(1) / np.float32(width))
    if steps is not None:
        step_y, step_x = _above_zero("steps", _pair("steps", steps))
    for i, offset in enumerate(_pair("offsets", offsets)):
        _check.number(f"offsets[{i}]", offset, at_least=0, at_most=1)
    offset_y, offset_x = np.array(offsets, np.float32)

    root = np.sqrt(np.concatenate([np.repeat(ratio[:1], len(size)), ratio[1:]]))  # (n + m − 1,)
    size = np.concatenate([size, np.repeat(size[:1], len(ratio) - 1)])  # (n + m − 1,)
    half_width = size * np.float32(height) / np.float32(width) * root / 2
    half_height = size / root / 2
    y = (np.arange(height, dtype=np.float32) + offset_y) * step_y
    x = (np.arange(width, dtype=np.float32) + offset_x) * step_x
    anchors = np.empty((height, width, len(size), 4), np.float32)
    anchors[..., 0] = x[None, :, None] - half_width
    anchors[..., 1] = y[:, None, None] - half_height
    anchors[..., 2] = x[None, :, None] + half_width
    anchors[..., 3] = y[:, None, None] + half_height
    anchors = anchors.reshape(-1, 4)  # (H·W·(n + m − 1), 4)
    return anchors.clip(0, 1) if clip else anchors


def _pair(name: str, values: Sequence[float]) -> tuple[float, float]:
    if len(values) != 2:
        raise ValueError(f"{name} must be two numbers, (y, x), got {values!r}")
    return values[0], values[1]


def _above_zero(name: str, values: Sequence[float]) -> np.ndarray:
    if len(values) == 0:
        raise ValueError(f"{name} must be at least one number, got none")
    return np.array([_check.number(f"{name}[{i}]", value, above=0) for i, value in enumerate(values)], np.float32)
