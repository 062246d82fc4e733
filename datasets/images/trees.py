"""Conifers: small ones that a wooded slope is full of, and tall ones drawn twig by twig."""

from functools import lru_cache

import cv2
import numpy as np

KINDS, LARGEST = 16, 96


@lru_cache(maxsize=4096)
def small_fir(kind, height):
    """Return cover (h, w) and shade (h, w) of a fir ``height`` pixels tall, lit from the left."""
    if height < LARGEST:
        cover, shade = small_fir(kind, LARGEST)
        width = max(2, round(cover.shape[1] * height / LARGEST))
        small = [cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA) for part in (cover, cover * shade)]
        return small[0], small[1] / np.maximum(small[0], 1e-3)
    rng = np.random.default_rng([71, kind])
    width = int(LARGEST * rng.uniform(0.34, 0.5))
    v, u = np.mgrid[0:LARGEST, 0:width].astype(np.float32)
    v, u = (v + 0.5) / LARGEST, (u + 0.5 - width / 2) / (width / 2)
    tiers = rng.uniform(7, 11)
    saw = (v * tiers + 0.35 * np.abs(u) + rng.uniform(0, 1)) % 1
    grain = cv2.GaussianBlur(rng.standard_normal(v.shape).astype(np.float32), (0, 0), 1.3) * 2
    edge = (v**0.85) * (0.66 + 0.34 * saw) * (1 + 0.22 * grain)
    cover = np.clip((edge - np.abs(u)) * 9, 0, 1) * (v > 0.01)
    shade = 0.50 - 0.42 * u / np.maximum(v, 0.1) + 0.40 * (0.5 - saw) + 0.24 * grain
    return cover, np.clip(shade, 0.06, 1.25)


def tall_fir(rng, height, lit, dark, slender=0.20):
    """Draw a fir twig by twig; return (h, w, 4) colours and cover, premultiplied.

    Boughs hang in whorls, shorter towards the top; those on the far side come first and darker.
    """
    width = int(height * slender * 2.3)
    canvas = np.zeros((height, width, 4), np.float32)
    middle = width / 2
    thick = max(1.0, height / 160)
    trunk = np.array([(middle, 0), (middle + thick, height), (middle - thick, height)])
    cv2.fillConvexPoly(canvas, trunk.astype(np.int32), (*(dark * 0.8).tolist(), 1))
    for back in (True, False):
        v = 0.012
        while v < 0.93:
            reach = height * slender * (0.06 + 0.94 * v**0.78) * rng.uniform(0.72, 1.08)
            for _ in range(rng.integers(3, 5)):
                turn = rng.uniform(-1, 1)
                _bough(canvas, rng, (middle, v * height), reach * turn, reach, back, lit, dark)
            v += 0.010 + 0.014 * v * rng.uniform(0.6, 1.2)
    return canvas


def _bough(canvas, rng, root, across, reach, back, lit, dark):
    """One bough: it sinks, lifts at its tip, and carries twigs with needles on both sides."""
    steps = max(5, int(reach / 4))
    t = np.linspace(0, 1, steps)
    sag = reach * rng.uniform(0.26, 0.42)
    xs = root[0] + across * t
    ys = root[1] + sag * (t - 0.42 * t**3) + reach * 0.04 * np.sin(7 * t + rng.uniform(0, 6))
    side = across / max(reach, 1e-6)
    for x, y, s in zip(xs, ys, t):
        light = np.clip(0.30 - 0.62 * side * (0.4 + 0.6 * s) + rng.normal(0, 0.16), 0, 1) * (0.30 if back else 1.0)
        colour = dark + (lit - dark) * light * (0.25 + 0.75 * s)
        for _ in range(2):
            length = reach * rng.uniform(0.06, 0.20) * (1.15 - 0.55 * s) + 2
            lean = np.sign(across) * rng.uniform(0.0, 1.0) + rng.normal(0, 0.35)
            tip = (int((x + lean * length) * 8), int((y + length * rng.uniform(0.15, 0.9)) * 8))
            cv2.line(canvas, (int(x * 8), int(y * 8)), tip, (*colour.tolist(), 1), 1, cv2.LINE_AA, 3)


def paste(canvas, patch, left, top):
    """Lay a premultiplied patch (h, w, 4) over a canvas (H, W, 3), in place."""
    rows = slice(max(top, 0), min(top + patch.shape[0], canvas.shape[0]))
    columns = slice(max(left, 0), min(left + patch.shape[1], canvas.shape[1]))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    part = patch[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    canvas[rows, columns] = canvas[rows, columns] * (1 - part[..., 3:]) + part[..., :3]
