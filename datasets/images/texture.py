"""Noise, blends and relief that the pictures are made of; every function is a pure one of its arguments."""

import cv2
import numpy as np

TURN = (0.8, 0.6)  # cosine and sine that turn each octave's lattice, so that no axis shows


def grid(height, width):
    """Return x and y (H, W) float32 of the pixels' centres, in units of the picture's height."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (x + 0.5) / height, (y + 0.5) / height


def mix(a, b, t):
    """Go from colour a to colour b (3,) or (..., 3) with t, a number or a mask (...)."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return a + (b - a) * np.asarray(t, np.float32)[..., None]


def between(a, b, t):
    """Go from number a to number b with t."""
    return a + (b - a) * t


def smoothstep(low, high, x):
    """Rise from 0 at low to 1 at high with flat ends; low may be above high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def rgb(code):
    """Read "#rrggbb" as three floats from 0 to 1."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


def linear(code):
    """Read "#rrggbb" as linear light."""
    return rgb(code) ** 2.2


def blur(picture, sigma):
    """Smooth with a Gaussian of ``sigma`` pixels."""
    return cv2.GaussianBlur(np.asarray(picture, np.float32), (0, 0), max(sigma, 1e-3), borderType=cv2.BORDER_REFLECT)


def _hash(x, y, seed):
    """Return a byte for each lattice point."""
    with np.errstate(over="ignore"):
        h = x.astype(np.uint32) * np.uint32(374761393) + y.astype(np.uint32) * np.uint32(668265263)
        h += np.uint32((seed * 2246822519 + 3266489917) & 0xFFFFFFFF)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    return ((h ^ (h >> np.uint32(16))) & np.uint32(255)).astype(np.intp)


_ANGLES = np.arange(256) * (2 * np.pi / 256)
_COS, _SIN = np.cos(_ANGLES).astype(np.float32), np.sin(_ANGLES).astype(np.float32)


def perlin(x, y, seed=0):
    """Gradient noise about -1 to 1 with a lattice of spacing 1 (Perlin 1985, with the smoother fade of 2002)."""
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    left, top = np.floor(x), np.floor(y)
    u, v = x - left, y - top
    ix, iy = left.astype(np.int64), top.astype(np.int64)
    fade_u, fade_v = (w * w * w * (w * (w * 6 - 15) + 10) for w in (u, v))
    rows = []
    for dy in (0, 1):
        corner = []
        for dx in (0, 1):
            h = _hash(ix + dx, iy + dy, seed)
            corner.append(_COS[h] * (u - dx) + _SIN[h] * (v - dy))
        rows.append(corner[0] + (corner[1] - corner[0]) * fade_u)
    return (rows[0] + (rows[1] - rows[0]) * fade_v) * 1.5


def fbm(x, y, seed=0, octaves=5, gain=0.5, ridge=False):
    """Sum octaves of noise to about -1 to 1; with ``ridge`` each octave is folded to sharp crests."""
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    total, amplitude, whole = np.zeros(np.broadcast(x, y).shape, np.float32), 1.0, 0.0
    for octave in range(octaves):
        layer = perlin(x, y, seed + 101 * octave)
        total += amplitude * (1 - 2 * np.abs(layer) if ridge else layer)
        whole += amplitude
        amplitude *= gain
        x, y = 2.03 * (TURN[0] * x - TURN[1] * y) + 17.3, 2.03 * (TURN[1] * x + TURN[0] * y) - 9.1
    return total / whole * (1.0 if ridge else 1.4)


def ridged(x, y, seed=0, octaves=7, gain=2.0, offset=1.0):
    """Ridged multifractal from 0 to about 1: crests rough, valleys smooth (Musgrave 1994)."""
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    total, weight, amplitude, whole = np.zeros(x.shape, np.float32), np.float32(1), 1.0, 0.0
    for octave in range(octaves):
        signal = (offset - np.abs(perlin(x, y, seed + 101 * octave))) ** 2 * weight
        weight = np.clip(signal * gain, 0, 1)
        total += amplitude * signal
        whole += amplitude
        amplitude *= 0.48
        x, y = 2.07 * (TURN[0] * x - TURN[1] * y) + 31.7, 2.07 * (TURN[1] * x + TURN[0] * y) - 5.9
    return total / whole


def bilinear(table, rows, columns):
    """Sample (R, C) or (R, C, K) at fractional places; outside, the edge goes on."""
    rows = np.clip(rows, 0, table.shape[0] - 1.001)
    columns = np.clip(columns, 0, table.shape[1] - 1.001)
    r, c = rows.astype(np.intp), columns.astype(np.intp)
    fr, fc = (rows - r).astype(np.float32), (columns - c).astype(np.float32)
    if table.ndim == 3:
        fr, fc = fr[..., None], fc[..., None]
    top = table[r, c] * (1 - fc) + table[r, c + 1] * fc
    return top * (1 - fr) + (table[r + 1, c] * (1 - fc) + table[r + 1, c + 1] * fc) * fr


def slopes(height):
    """Return the derivatives of (H, W) along x and y, per pixel."""
    height = np.asarray(height, np.float32)
    return (cv2.Sobel(height, cv2.CV_32F, *order, ksize=3, scale=0.125) for order in ((1, 0), (0, 1)))


def relief(height, light=(-0.5, -0.6, 0.65)):
    """Light a bumpy surface: return the diffuse part and a highlight (H, W); a level place has about ``light[2]``."""
    dx, dy = slopes(height)
    length = np.sqrt(dx * dx + dy * dy + 1)
    light = np.array(light, np.float32) / np.linalg.norm(light)
    half = light + np.array([0, 0, 1])  # towards an eye straight above
    half /= np.linalg.norm(half)
    diffuse = (-dx * light[0] - dy * light[1] + light[2]) / length
    shine = (-dx * half[0] - dy * half[1] + half[2]) / length
    return np.clip(diffuse, 0, None), np.clip(shine, 0, None) ** 40


def over(canvas, colour, alpha):
    """Lay a colour over a canvas (H, W, 3) with a cover (H, W)."""
    return canvas + (np.asarray(colour, np.float32) - canvas) * alpha[..., None]


def film(light, exposure=1.0):
    """Map linear light to display values, with a filmic shoulder (Narkowicz 2015's fit of ACES)."""
    x = np.clip(light, 0, None) * exposure
    return np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1) ** (1 / 2.2)


def grade(picture, contrast=1.1, saturation=1.1):
    """Bend display values about the middle by a gentle S, and move colours from grey."""
    bent = picture + (contrast - 1) * (smoothstep(0, 1, picture) - picture) * 2
    grey = bent @ np.array([0.30, 0.59, 0.11], np.float32)
    return grey[..., None] + (bent - grey[..., None]) * saturation


def to_bytes(picture):
    """Round a picture from 0 to 1 to uint8."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def shrink(picture, width, height):
    """Average an oversampled picture down to its size."""
    return cv2.resize(np.asarray(picture, np.float32), (width, height), interpolation=cv2.INTER_AREA)
