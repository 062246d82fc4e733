"""A sheet of water that mirrors what a camera below it sees."""

from typing import NamedTuple

import cv2
import numpy as np
from texture import bilinear, fbm, mix, smoothstep


class Ripples(NamedTuple):
    """How rough the water is: slopes of calm and of ruffled water, and the wind patches' size in metres."""

    calm: float
    ruffled: float
    patch: float
    waves: tuple  # their lengths in metres
    deep: tuple  # linear light that comes out of the water itself
    smear: float = 0.025  # how far ruffled water blurs upwards, in picture heights


def mirror(picture, camera, ripples, seed):
    """Return the rows below the horizon filled with what the water reflects; ``picture`` is the mirrored camera's.

    Waves shorter than a pixel's footprint average out, so far water is smooth but for the wind's patches.
    """
    up, aside = camera.tangents()
    below = up < -0.35 / camera.focal
    down = -up[below][:, None]
    eye = abs(camera.z)
    y = eye / down + 0 * aside[None, :]
    x = y * aside[None, :]
    footprint = y * y / (eye * camera.focal)
    tilt_y, tilt_x = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.float32)
    for octave, length in enumerate(ripples.waves):
        fade = np.clip(length / (2.5 * footprint) - 0.3, 0, 1)
        tilt_y += fade * fbm(x / length / 3.2, y / length, seed + 80 + octave, 2)
        tilt_x += fade * fbm(x / length / 3.2, y / length, seed + 90 + octave, 2)
    wind = smoothstep(0.0, 0.5, fbm(x / ripples.patch, 4 * y / ripples.patch, seed + 99, 4))
    wind += 0.6 * smoothstep(0.25, 0.5, fbm(2.3 * x / ripples.patch - 7, 16 * y / ripples.patch, seed + 98, 3))
    strength = ripples.calm + ripples.ruffled * wind
    slope = np.abs(down + strength * (tilt_y + 0.5 * wind))
    row, column = camera.horizon - slope * camera.focal, np.arange(camera.width)[None, :]
    column = column + strength * 0.6 * tilt_x * camera.focal
    smooth = cv2.blur(picture, (3, max(3, int(camera.rows * ripples.smear))))
    seen = mix(bilinear(picture, row, column), bilinear(smooth, row, column), np.clip(wind * 0.8, 0, 1))
    facing = np.clip(down + 0.6 * strength * tilt_y, 0, 1)
    grazing = 0.02 + 0.98 * (1 - facing) ** 5  # Schlick's approximation of Fresnel's reflectance
    picture = picture.copy()
    picture[below] = mix(np.array(ripples.deep, np.float32) + 0 * seen, seen, grazing * 0.94)
    return picture
