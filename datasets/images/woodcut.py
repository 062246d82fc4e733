"""A woodcut in black, cream and vermilion: a wave, a mountain and a low sun, cut in lines that swell with the tone."""

from typing import NamedTuple

import cv2
import numpy as np
from texture import blur, fbm, grid, mix, perlin, rgb, shrink, smoothstep, to_bytes

SIZE = (920, 700)
SUN = (0.98, 0.30, 0.135)
PITCH = 0.0125  # between two cuts, in picture heights


class Block(NamedTuple):
    """What the cutter is to cut: darkness from 0 to 1, and a phase whose whole numbers are the cuts' middles."""

    tone: np.ndarray
    phase: np.ndarray


def _lay(block, inside, tone, phase):
    return Block(np.where(inside, tone, block.tone), np.where(inside, phase, block.phase))


def _sky(x, y, seed):
    """Rays from the sun that break into level clouds."""
    dx, dy = x - SUN[0], y - SUN[1]
    distance, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    ring = distance / PITCH / 1.15 + 0.7 * fbm(x * 2.2, y * 2.2, seed + 1, 3)
    tone = 0.16 + 0.62 * smoothstep(0.2, 1.1, distance) + 0.10 * fbm(x * 4, y * 4, seed + 2, 3)
    return Block(tone + 0 * angle, ring)


def _clouds(block, x, y):
    for number, (cx, cy, wide, tall) in enumerate(
        ((0.25, 0.20, 0.30, 0.06), (0.62, 0.10, 0.26, 0.045), (1.20, 0.18, 0.2, 0.04), (0.60, 0.36, 0.2, 0.03))
    ):
        u, v = (x - cx) / wide, (y - cy) / tall
        puff = 0.45 * np.abs(np.sin(7.5 * u + number)) + 0.25 * np.abs(np.sin(15 * u + 2 * number))
        top = np.sqrt(np.clip(1 - u * u, 0, 1)) * (0.65 + puff)
        inside = (np.abs(u) < 1) & (v > -top) & (v < 0.30 * np.sqrt(np.clip(1 - u * u, 0, 1)))
        depth = v + top
        tone = np.where(depth < 0.0035 / tall, 1.2, 0.06 + 0.62 * smoothstep(0.45, 1.35, depth / np.maximum(top, 0.3)))
        block = _lay(block, inside, tone + 0.12 * np.sin(5 * u + number), depth * tall / PITCH * 0.85 + 0.3)
    return block


def _mountain(block, x, y, seed):
    """A cone with a ridge: cuts run down both faces, dense on the one away from the sun."""
    peak_x, peak_y = 0.52, 0.235
    fall = np.maximum(y - peak_y, 0)
    left = 0.62 * fall + 0.75 * fall**1.7
    right = 0.66 * fall + 0.75 * fall**1.7
    rough = 0.012 * fbm(x * 9, y * 9, seed + 10, 3)
    ridge = peak_x + 0.05 * np.sin(9 * fall) * smoothstep(0, 0.15, fall) + 0.02 * fbm(y * 14, 0 * y, seed + 11, 3)
    inside = (x > peak_x - left * 1.25 + rough) & (x < peak_x + right * 1.25 + rough) & (fall > 0)
    shaded = x < ridge
    u = np.where(shaded, (x - ridge) / np.maximum(left, 0.02), (x - ridge) / np.maximum(right, 0.02))
    jag = 0.11 + 0.05 * np.abs(((u * 5.5) % 1) - 0.5) * 2 + 0.05 * fbm(x * 9, y * 5, seed + 12, 3)
    snow = fall < jag
    bent = (ridge - peak_x) * np.exp(-(((x - ridge) / 0.07) ** 2))  # only the cuts beside the ridge follow it
    run = (x - peak_x - bent) / np.maximum(left, 0.02) * np.maximum(fall, 0.06)
    phase = run / PITCH * 1.05 + 0.25 * fbm(x * 4, y * 6, seed + 13, 2)
    tone = np.where(shaded, 0.80, 0.42) + 0.30 * fbm(u * 7, fall * 5, seed + 14, 3)
    tone = np.where(snow, np.where(shaded, 0.30, 0.0), tone)
    block = _lay(block, inside, tone, phase)
    outline = inside & ~((x > peak_x - left * 1.25 + rough + 0.0045) & (x < peak_x + right * 1.25 + rough - 0.0045))
    return _lay(block, outline, 1.2, block.phase)


def _sea(block, x, y, seed):
    level = 0.60
    depth = np.clip(y - level, 0, 1)
    swell = 0.012 * np.sin(x * 9 + 40 * depth**0.7) * smoothstep(0, 0.1, depth)
    phase = np.sqrt(depth + swell * 0.6 + 0.0004) * 21 + 0.5 * fbm(x * 3, depth * 14, seed + 20, 3)
    glitter = np.exp(-(((x - SUN[0]) / (0.06 + 0.35 * depth)) ** 2))
    chop = fbm(x * 7, np.sqrt(depth + 0.002) * 26, seed + 21, 3)
    tone = 0.66 - 0.75 * glitter * smoothstep(-0.5, 0.2, chop) + 0.28 * chop
    return _lay(block, y > level, tone, phase)


def _far_shore(block, x, y, seed):
    crest = 0.588 - 0.022 * np.abs(fbm(x * 5, 0 * y, seed + 25, 4))
    inside = (y > crest) & (y < 0.602)
    return _lay(block, inside, 1.15, block.phase)


def _junk(block, scale):
    """Two far boats with battened sails."""
    black, light = np.zeros(block.tone.shape, np.uint8), np.zeros(block.tone.shape, np.uint8)
    for at, foot, size in ((0.80, 0.632, 0.062), (0.69, 0.614, 0.034)):
        for shift, tall, wide in ((-0.10, 1.0, 0.46), (0.36, 0.72, 0.36)):
            sail = np.array(
                [(shift, -0.16), (shift + wide, -0.20), (shift + 0.8 * wide, -0.75 * tall), (shift + 0.1, -1.05 * tall)]
            )
            cv2.fillPoly(black, [((sail * size + (at, foot)) * scale).astype(np.int32)], 1)
            for k in range(1, 5):
                a = sail[0] + (sail[3] - sail[0]) * k / 5 + (0.05, 0)
                b = sail[1] + (sail[2] - sail[1]) * k / 5 - (0.04, 0)
                ends = [tuple(((p * size + (at, foot)) * scale).astype(int)) for p in (a, b)]
                cv2.line(light, *ends, 1, max(1, int(0.0022 * scale)))
        hull = np.array([(-0.42, -0.13), (0.95, -0.16), (0.78, 0.08), (-0.28, 0.08)])
        cv2.fillPoly(black, [((hull * size + (at, foot)) * scale).astype(np.int32)], 1)
    around = cv2.dilate(black, np.ones((3, 3), np.uint8), iterations=max(1, int(0.002 * scale))) > 0
    block = _lay(block, around, -0.3, block.phase)
    block = _lay(block, black > 0, 1.3, block.phase)
    return _lay(block, light > 0, -0.3, block.phase)


def _wave(block, x, y, seed):
    """A breaking wave whose back is cut along its sweep, and the swell before it."""
    curl_x, curl_y, radius = 0.47, 0.665, 0.135
    back = 1.02 - 0.62 * np.exp(-(((x - 0.27) / 0.235) ** 2)) + 0.012 * np.sin(25 * x)
    dx, dy = x - curl_x, y - curl_y
    distance, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    lip = np.hypot((x - 0.44) / 1.15, (y - 0.645)) - 0.205
    body = ((y > back) & (x < 0.50)) | ((lip < 0) & (x < 0.585) & (y < 0.66))
    body &= ~((distance < radius) & (x > 0.30))
    body &= ~((x > curl_x) & (y > 0.60) & (distance < 0.5))
    swell_top = 0.865 - 0.06 * np.sin(4.5 * x + 0.3) + 0.012 * np.sin(21 * x)
    foot = np.where(x < curl_x, 0.8198 + 2.0 * (curl_x - x) ** 2, swell_top)
    swell = y > foot
    phase = distance / PITCH * 0.72 + 0.55 * np.sin(3 * angle) + 0.4 * fbm(x * 3, y * 3, seed + 30, 2)
    tone = 0.70 + 0.32 * np.sin(distance * 26 - 2.0 * angle) + 0.22 * fbm(x * 5, y * 5, seed + 31, 3)
    block = _lay(block, body, tone, phase)
    below = y - foot
    level = (below + 0.10 * below * np.sin(7 * x + 2)) / PITCH * 0.75 + 0.4 * fbm(x * 4, y * 9, seed + 33, 2)
    dark = 0.66 + 0.36 * np.sin(40 * below - 5 * x) + 0.2 * fbm(x * 5, y * 9, seed + 32, 2)
    dark = np.where(below < 0.007, -0.3, dark)
    return _lay(block, swell, dark, level), body | swell


def _foam(block, inside, x, y, seed, scale):
    """White along the wave's edge that ends in claws, each with a black outline; flecks fly from it."""
    rng = np.random.default_rng([seed, 4])
    contours, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    edge = max(contours, key=len)[:, 0].astype(float) / scale
    edge = edge[(edge[:, 1] < 0.93) & (edge[:, 0] > 0.03) & (edge[:, 0] < x.max() - 0.03)]
    inward = blur(inside.astype(np.float32), scale * 0.02)
    gy, gx = np.gradient(inward)
    white, flecks = np.zeros(x.shape, np.uint8), np.zeros(x.shape, np.uint8)
    for at in edge[rng.permutation(len(edge))[:520]]:
        row, column = int(at[1] * scale), int(at[0] * scale)
        out = -np.array([gx[row, column], gy[row, column]])
        out /= np.linalg.norm(out) + 1e-9
        curl = at[1] < 0.70
        cv2.circle(white, (column, row), int(scale * (0.005 + 0.009 * rng.random() ** 2)), 1, -1)
        if rng.random() < (0.55 if curl else 0.25):
            _claw(white, at, out, (0.012 + 0.036 * rng.random()) * (1 if curl else 0.6), scale)
        if curl and rng.random() < 0.75:
            away = at + out * rng.exponential(0.017) + rng.normal(0, 0.012, 2) + (0.012, 0.0)
            cv2.circle(flecks, tuple((away * scale).astype(int)), int(scale * rng.uniform(0.0012, 0.0042)), 1, -1)
    white = np.maximum(white, flecks)
    ring = cv2.dilate(white, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)), iterations=int(scale * 0.0022)) > 0
    shade = cv2.erode(white, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)), iterations=int(scale * 0.0065)) > 0
    block = _lay(block, ring, 1.2, block.phase)
    block = _lay(block, white > 0, -0.3, block.phase)
    return _lay(block, shade & (perlin(x * 34, y * 34, seed + 35) > 0.22), 0.40, (x + y) / PITCH * 1.1), white > 0


def _claw(white, at, out, reach, scale):
    """A finger of foam that goes out from the edge and hooks to the fore."""
    side = np.array([-out[1], out[0]]) * (1 if out[1] > 0 or out[0] > 0 else -1)
    for t in np.linspace(0, 1, 14):
        place = at + out * reach * t + (side * 0.5 + np.array([0.25, 0.25])) * reach * t * t
        cv2.circle(white, tuple((place * scale).astype(int)), max(1, int(scale * 0.0062 * (1 - 0.8 * t))), 1, -1)


def _crag(block, x, y, seed):
    """The rock that the pine grows on: black, with slanting cuts on its lit side."""
    top = (
        0.86
        - 0.50 * (x - 1.02)
        + 0.05 * np.abs(fbm(x * 7, 0 * y, seed + 36, 4))
        - 0.03 * np.abs(fbm(x * 20, 0 * y, seed + 38, 2))
    )
    left = 1.03 + 0.05 * fbm(y * 9, 0 * y, seed + 39, 4) - 0.25 * (y - 0.86)
    inside = (x > left) & (y > top)
    facets = perlin(x * 10 + 0.3 * fbm(x * 9, y * 9, seed + 34, 2), y * 8, seed + 37)
    one, other = (0.55 * x + 0.8 * y) / PITCH * 0.9, (0.85 * x - 0.45 * y) / PITCH * 0.9
    tone = np.where(facets > 0.08, 0.45 + 0.9 * (x - 1.05), np.where(facets < -0.3, 0.75, 0.97)) + 0.1 * fbm(
        x * 9, y * 9, seed + 33, 2
    )
    block = _lay(block, inside, tone, np.where(facets > 0.08, one, other))
    rim = inside & ((y < top + 0.007) | (x < left + 0.006))
    return _lay(block, rim, 1.3, block.phase), inside


def _pine(block, x, y, seed, scale):
    """A leaning pine at the right: solid black with cuts of light along its needles."""
    rng = np.random.default_rng([seed, 5])
    black, light = np.zeros(x.shape, np.uint8), np.zeros(x.shape, np.uint8)
    t = np.linspace(0, 1, 60)
    trunk_x = 1.30 - 0.13 * t + 0.05 * np.sin(4.2 * t) - 0.10 * t**3
    trunk_y = 1.02 - 0.83 * t
    for i in range(59):
        a, b = ((int(trunk_x[j] * scale), int(trunk_y[j] * scale)) for j in (i, i + 1))
        cv2.line(black, a, b, 1, max(2, int(scale * 0.036 * (1 - 0.82 * t[i]))))
        if rng.random() < 0.8:
            shift = int(scale * rng.uniform(-0.012, 0.002) * (1 - t[i]))
            cv2.line(light, (a[0] + shift, a[1]), (b[0] + shift + 2, b[1]), 1, max(1, int(scale * 0.0022)))
    for at in (0.42, 0.52, 0.60, 0.68, 0.76, 0.84, 0.91, 0.97, 1.0):
        for side in (-1, 1):
            _branch(black, light, rng, np.interp(at, t, trunk_x), np.interp(at, t, trunk_y), side, at, scale)
    block = _lay(block, black > 0, 1.3, block.phase)
    return _lay(block, (light > 0) & (black > 0), -0.3, block.phase)


def _branch(black, light, rng, x0, y0, side, at, scale):
    reach = (0.27 - 0.17 * at) * rng.uniform(0.75, 1.15) * (1.15 if side < 0 else 0.7)
    s = np.linspace(0, 1, 24)
    xs, ys = x0 + side * reach * s, y0 - 0.035 * np.sin(2.6 * s) + 0.02 * s
    points = (np.stack([xs, ys], -1) * scale).astype(np.int32)
    cv2.polylines(black, [points], False, 1, max(2, int(scale * 0.006)))
    for s0 in np.arange(0.25, 1.05, 0.16):
        cx, cy = np.interp(s0, s, xs), np.interp(s0, s, ys) - 0.012
        _tuft(black, light, rng, cx, cy, rng.uniform(0.026, 0.042) * (1.2 - 0.4 * at), scale)


def _tuft(black, light, rng, cx, cy, size, scale):
    """A pad of needles: black needles fan upwards, with white ones cut between."""
    for number, angle in enumerate(np.radians(np.linspace(196, 344, 19))):
        length = size * rng.uniform(0.8, 1.15)
        foot = (cx + 0.5 * size * np.cos(angle) * 0.9, cy + 0.1 * size)
        tip = (cx + 1.5 * length * np.cos(angle), cy + length * np.sin(angle))
        a, b = (tuple(int(v * scale) for v in p) for p in (foot, tip))
        cv2.line(black, a, b, 1, max(2, int(scale * 0.0062)))
        if number % 3 == 1:
            c = tuple(int(scale * (f + (e - f) * 0.85)) for f, e in zip(foot, tip))
            cv2.line(light, a, c, 1, max(1, int(scale * 0.0019)))
    cv2.ellipse(
        black,
        (int(cx * scale), int((cy + 0.1 * size) * scale)),
        (int(1.1 * size * scale), int(0.2 * size * scale)),
        0,
        0,
        360,
        1,
        -1,
    )


def cut(block, x, y, seed):
    """Return (H, W) ink from 0 to 1: each cut is as wide as its tone leaves, and wavers as a gouge does."""
    waver = 0.11 * fbm(x * 26, y * 26, seed + 40, 3) + 0.05 * perlin(x * 120, y * 120, seed + 41)
    phase = block.phase + waver
    near = np.abs(phase - np.floor(phase) - 0.5) * 2  # 0 in the middle of an inked line, 1 in the middle of a cut
    stroke = np.floor(phase).astype(np.float32)
    chatter = 0.20 * perlin(x * 9 + 7.3 * stroke, y * 9 - 3.1 * stroke, seed + 42)  # each cut starts and ends by itself
    width = np.clip(
        block.tone + chatter * smoothstep(1.15, 0.9, block.tone) * smoothstep(-0.2, 0.05, block.tone), -0.2, 1.3
    )
    gy, gx = np.gradient(near)
    steep = np.clip(np.hypot(gx, gy), 0.01, 0.5)
    return smoothstep(-0.9, 0.9, (width - near) / steep)


def print_on_paper(ink, sun, x, y, seed):
    """Press: ink thins over the grain of the wood and the tooth of the paper, and lies thicker at the lines' rims."""
    grain = fbm(x * 3.5 + 0.15 * fbm(x * 2, y * 2, seed + 50, 2), y * 70, seed + 51, 4)
    tooth = fbm(x * 170, y * 170, seed + 52, 3)
    patch = fbm(x * 2.3, y * 2.3, seed + 53, 3)
    fibre = 1.6 * smoothstep(
        0.45, 0.75, np.abs(fbm(x * 16 + 2 * fbm(x * 4, y * 4, seed + 55, 2), y * 60, seed + 54, 3))
    )
    paper = rgb("#efe3c8") * (1 + 0.030 * tooth - 0.022 * fibre + 0.03 * patch)[..., None]
    rim = ink - blur(ink, 0.0022 * x.shape[0])
    press = 0.95 - 0.10 * patch - 0.22 * smoothstep(0.25, 0.8, grain) - 0.30 * smoothstep(0.35, 0.9, tooth) + 0.25 * rim
    red = np.clip(sun * (0.93 - 0.22 * smoothstep(0.1, 0.7, grain) - 0.25 * smoothstep(0.3, 0.8, tooth)), 0, 1)
    page = paper * mix(np.ones(3), rgb("#cf3a22"), red)
    return mix(page, rgb("#1d1a1c"), np.clip(ink * press, 0, 1))


def _sun_block(x, y, seed):
    """The second block, in vermilion, a hair out of register: the sun, its rays' foot, and light upon the sea."""
    x = x + 0.0022
    disc = smoothstep(SUN[2] + 0.002, SUN[2] - 0.002, np.hypot(x - SUN[0], y - SUN[1]))
    depth = np.clip(y - 0.60, 0, 1)
    bars = np.sin(np.sqrt(depth + 0.0004) * 21 * np.pi * 2 + 1.2 * fbm(x * 3, depth * 14, seed + 60, 2))
    road = smoothstep(0.0, 0.4, bars - 0.6 + 1.1 * np.exp(-(((x - SUN[0]) / (0.05 + 0.25 * depth)) ** 2)))
    return np.maximum(disc, road * (y > 0.603) * (y < 0.83))


def draw(seed=0, width=SIZE[0], oversampling=2):
    """Return (H, W, 3) uint8, the print."""
    height = round(width * SIZE[1] / SIZE[0])
    tall, wide = height * oversampling, width * oversampling
    x, y = grid(tall, wide)
    block = _sky(x, y, seed)
    sun_disc = np.hypot(x - SUN[0], y - SUN[1]) < SUN[2] + 0.004
    block = _lay(block, sun_disc, np.where(np.hypot(x - SUN[0], y - SUN[1]) > SUN[2] - 0.001, 1.2, -0.3), block.phase)
    block = _clouds(block, x, y)
    block = _mountain(block, x, y, seed)
    block = _sea(block, x, y, seed)
    block = _far_shore(block, x, y, seed)
    block = _junk(block, tall)
    block, wave = _wave(block, x, y, seed)
    block, crag = _crag(block, x, y, seed)
    block, foam = _foam(block, wave & ~crag, x, y, seed, tall)
    block = _pine(block, x, y, seed, tall)
    ink = cut(block, x, y, seed)
    aspect = wide / tall
    side = np.minimum(np.minimum(x, aspect - x), np.minimum(y, 1 - y)) + 0.0015 * fbm(x * 12, y * 12, seed + 70, 3)
    inside = smoothstep(0.028, 0.0295, side)
    frame = smoothstep(0.0275, 0.029, side) * smoothstep(0.036, 0.0345, side)
    ink = np.maximum(ink * inside, frame)
    sun = _sun_block(x, y, seed) * inside * (block.tone < 1.1) * ~(wave | crag | foam)
    return to_bytes(shrink(print_on_paper(ink, sun, x, y, seed), width, height))
