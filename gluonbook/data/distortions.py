"""Random shifts, turns and colours for a batch of pictures at once, on its own device."""

from typing import Any

import numpy as np

from gluonbook import _check
from gluonbook._mxnet import nd
from gluonbook.data.pictures import GREY

ROUNDING = 1e-4  # what an earlier sampling may have added to a value of 1


def distort(
    X: Any,
    rng: np.random.Generator,
    shift: float = 0.0,
    degrees: float = 0.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
) -> Any:
    """Shift, turn and recolour each picture of a batch by amounts of its own.

    Pictures are first turned about their centre, then shifted, then recoloured; what comes in at the border is black
    before the colours change. Every amount is drawn whether it is used or not: so a generator gives the same shifts
    with and without colours.

    Args:
        X: nd (N, C, H, W) float32, from 0 to 1.
        rng: where the random numbers come from; six for each picture.
        shift: largest shift to either side, as a share of the picture's width and of its height, from 0 to 1.
        degrees: largest turn to either side, from 0 to 180.
        brightness: every value is multiplied by a factor from 1 - brightness to 1 + brightness; from 0 to below 1.
        contrast: the same for the distances from the picture's mean grey.
        saturation: the same for the distances of the colours from their pixel's grey; grey pictures have none.

    Returns:
        nd (N, C, H, W) float32 on X's device. With all amounts at 0 it equals X; changed colours are cut at 0 and 1.

    Raises:
        TypeError: X is no nd array, or rng no generator.
        ValueError: an amount is out of range; X has another shape or dtype; colours are to change and X has other than
            1 or 3 channels, or values outside of 0 to 1; pictures are to move and have a side of one pixel.

    >>> X = nd.arange(18).reshape((2, 1, 3, 3)) / 18
    >>> distort(X, np.random.default_rng(0), shift=0.1, degrees=15).shape
    (2, 1, 3, 3)
    """
    _check_batch(X)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng must be a numpy.random.Generator, got {rng!r:.80} ({type(rng).__name__})")
    _check.number("shift", shift, at_least=0, at_most=1)
    _check.number("degrees", degrees, at_least=0, at_most=180)
    colours = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, value in colours.items():
        _check.number(name, value, at_least=0, below=1)
    drawn = rng.uniform(-1, 1, (6, len(X)))
    if shift or degrees:
        height, width = X.shape[2:]
        X = move(X, drawn[0] * shift * width, drawn[1] * shift * height, drawn[2] * degrees)
    if any(colours.values()):
        X = recolour(X, *(1 + amounts * value for amounts, value in zip(drawn[3:], colours.values())))
    return X


def move(X: Any, right: Any, down: Any, degrees: Any) -> Any:
    """Turn each picture about its centre, then shift it; values between pixels are interpolated bilinearly.

    Args:
        X: nd (N, C, H, W) float32; a side has at least 2 pixels.
        right: (N,) pixels; negative to the left.
        down: (N,) pixels; negative upwards.
        degrees: (N,) counter-clockwise, as ``np.rot90``.

    Returns:
        nd (N, C, H, W) float32 on X's device; what comes in at the border is 0.

    Raises:
        TypeError, ValueError: X is no such batch, or an amount is no row of N finite numbers.

    Source: the sampler of Jaderberg et al. 2015, Spatial Transformer Networks, section 3.

    >>> move(nd.array([[[[1, 2, 3], [4, 5, 6]]]]), right=[1], down=[0], degrees=[0]).asnumpy()[0, 0].tolist()
    [[0.0, 1.0, 2.0], [0.0, 4.0, 5.0]]
    """
    _check_batch(X)
    count, _, height, width = X.shape
    if min(height, width) < 2:
        raise ValueError(f"X must have at least 2 pixels a side to be moved, got shape {X.shape}")
    right, down = _amounts("right", right, count), _amounts("down", down, count)
    turn = np.deg2rad(_amounts("degrees", degrees, count))
    if count == 0:
        return X
    cos, sin = np.cos(turn), np.sin(turn)
    # The operators' coordinates run from -1 to 1 between the centres of the outermost pixels, and the grid holds, for
    # each pixel of the result, where it comes from: the inverse of the turn and of the shift.
    across, along = (width - 1) / 2, (height - 1) / 2
    affine = np.stack(
        [
            *(cos, -sin * along / across, (sin * down - cos * right) / across),
            *(sin * across / along, cos, -(sin * right + cos * down) / along),
        ],
        axis=1,
    )  # (N, 6)
    grid = nd.GridGenerator(
        nd.array(affine, ctx=X.context, dtype="float32"), transform_type="affine", target_shape=(height, width)
    )  # (N, 2, H, W)
    return nd.BilinearSampler(X, grid)


def recolour(X: Any, brightness: Any, contrast: Any, saturation: Any) -> Any:
    """Change the colours of each picture by factors of its own; 1 keeps them.

    Args:
        X: nd (N, C, H, W) float32, from 0 to 1; C is 1 for grey or 3 for RGB.
        brightness: (N,) factors of every value.
        contrast: (N,) factors of the distances from the picture's mean grey.
        saturation: (N,) factors of the distances from the pixel's grey; without effect on grey pictures.

    Returns:
        nd (N, C, H, W) float32 on X's device, cut at 0 and 1.

    Raises:
        TypeError, ValueError: X is no such batch, or a factor is no row of N finite numbers.

    >>> X = nd.array([0.0, 0.4]).reshape((1, 1, 1, 2))
    >>> recolour(X, brightness=[2], contrast=[0.5], saturation=[1]).asnumpy().ravel().round(3)
    array([0.2, 0.6], dtype=float32)
    """
    _check_batch(X)
    count, num_channels = X.shape[:2]
    if num_channels not in (1, 3):
        raise ValueError(f"X must have 1 channel or 3 to change its colours, got shape {X.shape}")
    if count == 0:
        return X
    lowest, highest = X.min().asscalar(), X.max().asscalar()
    if not (lowest >= -ROUNDING and highest <= 1 + ROUNDING):
        raise ValueError(f"X must be from 0 to 1 to change its colours, got {lowest:.6g} to {highest:.6g}")
    named = (("brightness", brightness), ("contrast", contrast), ("saturation", saturation))
    bright, contrasted, saturated = (
        nd.array(_amounts(name, factors, count), ctx=X.context, dtype="float32").reshape((-1, 1, 1, 1))
        for name, factors in named
    )
    X = X * bright
    mean = _grey(X).mean(axis=(1, 2, 3), keepdims=True)  # (N, 1, 1, 1)
    X = (X - mean) * contrasted + mean
    grey = _grey(X)  # (N, 1, H, W)
    return ((X - grey) * saturated + grey).clip(0, 1)


def _grey(X: Any) -> Any:
    if X.shape[1] == 1:
        return X
    return (X * nd.array(GREY, ctx=X.context).reshape((1, 3, 1, 1))).sum(axis=1, keepdims=True)  # (N, 1, H, W)


def _check_batch(X: Any) -> None:
    if not isinstance(X, nd.NDArray):
        raise TypeError(f"X must be an nd array, got {type(X).__name__}")
    if X.ndim != 4 or X.dtype != np.float32:
        raise ValueError(f"X must be (N, C, H, W) float32, got shape {X.shape} {np.dtype(X.dtype)}")


def _amounts(name: str, values: Any, count: int) -> np.ndarray:
    row = _check.as_array(name, values, count).astype(np.float64)
    if not np.isfinite(row).all():
        raise ValueError(f"{name} must be finite, got {row.tolist()}")
    return row
