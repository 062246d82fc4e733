"""Mountains: a heightfield that water has worn, and what a camera sees of it, column by column."""

from typing import NamedTuple

import numpy as np
from texture import bilinear, blur


def erode(height, cell, rng, drops, rounds=12, steps=48):
    """Let drops run down a heightfield (G, G) in metres; they carve gullies and leave fans.

    Differs from a simulation of single drops (Beyer 2015) in that those of a round run at once.
    """
    height = height.astype(np.float32) / cell  # in cells, so that a slope is a plain difference
    side = height.shape[0]
    for _ in range(rounds):
        y, x = rng.uniform(1, side - 3, (2, drops)).astype(np.float32)
        vx, vy, speed, load = (np.zeros(drops, np.float32) for _ in range(4))
        water = np.ones(drops, np.float32)
        for _ in range(steps):
            dx, dy = _gradient(height, y, x)
            vx, vy = 0.25 * vx - 0.75 * dx, 0.25 * vy - 0.75 * dy
            length = np.sqrt(vx * vx + vy * vy) + 1e-6
            vx, vy = vx / length, vy / length
            new_x, new_y = np.clip(x + vx, 1, side - 3), np.clip(y + vy, 1, side - 3)
            fall = bilinear(height, y, x) - bilinear(height, new_y, new_x)
            capacity = np.maximum(fall, 0.01) * np.sqrt(speed + 0.2) * water * 4
            uphill = fall < 0
            change = np.where(
                uphill, np.minimum(-fall, load), np.where(load > capacity, 0.2 * (load - capacity), 0)
            ) - np.where(~uphill & (load < capacity), np.minimum(0.3 * (capacity - load), 0.5 * np.abs(fall)), 0)
            load -= change
            height += _scatter(0.5 * change, y, x, side)
            speed = np.clip(speed + fall, 0, 4)
            water *= 0.97
            x, y = new_x, new_y
        height = 0.94 * height + 0.06 * blur(height, 1.0)
    return height * cell


def _gradient(table, y, x):
    r, c = y.astype(np.intp), x.astype(np.intp)
    fr, fc = y - r, x - c
    a, b, d, e = table[r, c], table[r, c + 1], table[r + 1, c], table[r + 1, c + 1]
    return (b - a) * (1 - fr) + (e - d) * fr, (d - a) * (1 - fc) + (e - b) * fc


def _scatter(amount, y, x, side):
    """Add amounts at fractional places to the four cells around each."""
    r, c = y.astype(np.intp), x.astype(np.intp)
    fr, fc = y - r, x - c
    total = np.zeros(side * side)
    corners = ((0, (1 - fr) * (1 - fc)), (1, (1 - fr) * fc), (side, fr * (1 - fc)), (side + 1, fr * fc))
    for shift, share in corners:
        total += np.bincount(r * side + c + shift, amount * share, side * side)
    return total.reshape(side, side).astype(np.float32)


def shadow_height(height, cell, sun):
    """Return (G, G) the height below which the terrain hides the sun; rows go along y, columns along x.

    Each step looks one cell further towards the sun, where a hiding ridge reaches lower by the sun's slope.
    """
    side = height.shape[0]
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    flat = np.hypot(sun[0], sun[1])
    step_x, step_y, drop = sun[0] / flat, sun[1] / flat, sun[2] / flat * cell
    hidden = np.full(height.shape, -1e4, np.float32)
    reach, longest = 1.0, (height.max() - height.min()) / drop
    while reach < longest:
        there = bilinear(height, rows + step_y * reach, columns + step_x * reach)
        hidden = np.maximum(hidden, there - drop * reach)
        reach *= 1.03
        reach += 0.5
    return hidden


class Camera(NamedTuple):
    """A camera at (0, 0, height) that looks along y with an upright picture plane.

    Its z may be negative: the mirrored camera below a lake sees what the lake reflects.
    """

    width: int
    rows: int
    focal: float  # pixels
    horizon: float  # its row
    z: float

    def tangents(self):
        """Return the slopes of the rows' rays, (rows,), and of the columns' rays, (width,)."""
        up = (self.horizon - np.arange(self.rows) - 0.5) / self.focal
        aside = (np.arange(self.width) + 0.5 - self.width / 2) / self.focal
        return up.astype(np.float32), aside.astype(np.float32)

    def project(self, x, y, z):
        """Return the column and the row of world places."""
        return self.width / 2 + self.focal * x / y, self.horizon - self.focal * (z - self.z) / y


def first_hits(heights, depths, camera, start=None):
    """Find where each pixel's ray meets the terrain.

    Args:
        heights: (D, W) of the terrain on the camera's columns, -inf where there is none.
        depths: (D,) rising.
        camera: Camera.
        start: (rows,) depth at which each row's rays begin to count; from the first by default.

    Returns:
        (rows, W) fractional index into depths, inf where the ray meets nothing.
    """
    profile = (heights - camera.z) / depths[:, None]
    ceiling = np.maximum.accumulate(profile, 0)
    up, _ = camera.tangents()
    found = np.full((camera.rows, camera.width), np.inf, np.float32)
    for column in range(camera.width):
        rising = ceiling[:, column]
        index = np.searchsorted(rising, up)
        hit = index < len(depths)
        after = index[hit]
        before = np.maximum(after - 1, 0)
        low, high = rising[before], rising[after]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where((high > low) & np.isfinite(low), (up[hit] - low) / (high - low), 1.0)
        found[hit, column] = before + np.clip(share, 0, 1)
        if start is not None:
            early = hit & (depths[np.minimum(index, len(depths) - 1)] < start)
            _search_again(found[:, column], early, profile[:, column], up, np.searchsorted(depths, start))
    return found


def _search_again(found, early, profile, up, first):
    """Replace hits that lie before a ray begins by the first one after, in place."""
    rows = np.flatnonzero(early)
    if not len(rows):
        return
    reached = (profile[None, :] >= up[rows, None]) & (np.arange(len(profile))[None, :] >= first[rows, None])
    found[rows] = np.where(reached.any(1), reached.argmax(1), np.inf)
