"""An evening over wheat in thick oil paint: strokes along a flow, coarse to fine, lit from the side."""

from typing import NamedTuple

import cv2
import numpy as np
from texture import blur, fbm, grid, mix, perlin, relief, rgb, shrink, smoothstep, to_bytes

SIZE = (920, 720)
SUN = (0.86, 0.27)  # x and y in picture heights
SWIRLS = (
    (0.30, 0.20, 0.20, 1),
    (0.86, 0.27, 0.30, 1),
    (0.55, 0.40, 0.10, -1),
    (1.16, 0.10, 0.14, -1),
    (0.06, 0.40, 0.12, -1),
)
HOUSES = ((0.985, 0.05, 0.030), (1.04, 0.04, 0.036), (1.085, 0.055, 0.03), (1.135, 0.04, 0.04), (0.94, 0.034, 0.026))
VILLAGE = 0.607  # their feet
WALLS, ROOFS = ("#f0dcae", "#d9b58d", "#cfd8d6"), ("#c2492c", "#a8402f")


class Motif(NamedTuple):
    """What is painted: colours (H, W, 3), the strokes' direction (H, W) and the finest layer allowed (H, W)."""

    colour: np.ndarray
    angle: np.ndarray
    detail: np.ndarray


def motif(height, width, seed):
    """Compute the scene: a swirling sky about a low sun, blue hills, a village, wheat, a path, two cypresses."""
    x, y = grid(height, width)
    colour, angle = _sky(x, y, seed)
    detail = np.full(x.shape, 0.35, np.float32)
    for part in (_hills, _field, _village, _cypresses):
        colour, angle, detail = part(x, y, seed, colour, angle, detail)
    return Motif(np.clip(colour, 0, 1), angle, detail)


def _sky(x, y, seed):
    vx, vy = np.ones_like(x), 0.25 * np.sin(7 * x + 3 * y) + 0.4 * fbm(x * 2.5, y * 2.5, seed + 1, 2)
    band = np.zeros_like(x)
    for sx, sy, size, turn in SWIRLS:
        dx, dy = x - sx, y - sy
        distance = np.hypot(dx, dy) + 1e-3
        pull = 3.2 * np.exp(-((distance / size) ** 2))
        vx, vy = vx - turn * dy / distance * pull, vy + turn * dx / distance * pull
        whole = np.exp(-((distance / (0.62 * size)) ** 4))  # close in, nothing but the swirl
        vx, vy = vx + (-3 * turn * dy / distance - vx) * whole, vy + (3 * turn * dx / distance - vy) * whole
        rings = np.sin(2 * np.pi * (distance / size * 2.6 + turn * np.arctan2(dy, dx) / (2 * np.pi)))
        band += np.exp(-((distance / size) ** 2)) * rings
    night = mix(rgb("#16307f"), rgb("#2f6fb5"), smoothstep(-0.1, 0.5, y + 0.25 * fbm(x * 3, y * 5, seed + 2, 3)))
    dusk = mix(night, rgb("#7fc0b4"), smoothstep(0.25, 0.52, y))
    dusk = mix(dusk, rgb("#f4d27a"), 0.8 * smoothstep(0.40, 0.58, y))
    dusk = mix(dusk, rgb("#8fc9dd"), np.clip(band, 0, 1) * 0.75)
    dusk = mix(dusk, rgb("#0f2268"), np.clip(-band, 0, 1) * 0.55)
    distance = np.hypot(x - SUN[0], y - SUN[1])
    halo = np.exp(-((distance / 0.21) ** 2)) * (0.75 + 0.25 * np.sin(distance * 110))
    glow = mix(
        rgb("#f8c93c"), rgb("#7fd0b0"), smoothstep(0.13, 0.27, distance)
    )  # by way of green, or it greys the blue
    dusk = mix(dusk, glow, np.clip(halo * 1.35, 0, 1))
    dusk = mix(dusk, rgb("#ee8a24"), np.exp(-(((distance - 0.088) / 0.016) ** 2)) * 0.85)
    dusk = mix(dusk, rgb("#fff3b0"), smoothstep(0.075, 0.06, distance))
    for sx, sy, size, _ in SWIRLS[:1] + SWIRLS[2:]:
        star = np.hypot(x - sx, y - sy) / size
        dusk = mix(dusk, rgb("#f7e9a0"), smoothstep(0.20, 0.12, star))
        dusk = mix(dusk, rgb("#cfe3c0"), 0.6 * np.exp(-(((star - 0.36) / 0.1) ** 2)))
    return dusk, np.arctan2(vy, vx)


def _hills(x, y, seed, colour, angle, detail):
    for number, (base, swing, low, high) in enumerate(
        ((0.50, 0.075, "#3a4f9e", "#8ea6cf"), (0.545, 0.05, "#274a7c", "#5d93a8"), (0.585, 0.03, "#1f5a50", "#6fa564"))
    ):
        crest = base + swing * fbm(x * 1.7 + 3 * number, 0 * y, seed + 10 + number, 3)
        inside = smoothstep(-0.004, 0.004, y - crest)
        shade = np.clip(0.5 + 0.8 * fbm(x * 4 + y * 6, y * 9, seed + 15 + number, 3) - 5 * (y - crest), 0, 1)
        colour = mix(colour, mix(rgb(low), rgb(high), shade), inside)
        lean = 0.35 * np.sin(6 * x + number) + 0.5
        angle = np.where(inside > 0.5, lean, angle)
        detail = np.where(inside > 0.5, 0.5, detail)
    return colour, angle, detail


def _field(x, y, seed, colour, angle, detail):
    edge = 0.605 + 0.012 * fbm(x * 2, 0 * y, seed + 20, 2)
    inside = smoothstep(-0.004, 0.004, y - edge)
    depth = np.clip((y - edge) / (1 - 0.6), 0, 1)
    wave = fbm(x * 3 / (0.25 + depth), np.log(0.04 + depth) * 3.2, seed + 21, 4)
    wheat = mix(rgb("#c98a1e"), rgb("#f3cf52"), np.clip(0.5 + 0.9 * wave, 0, 1))
    wheat = mix(wheat, rgb("#8d5a1f"), smoothstep(0.15, 0.6, -wave) * 0.8)
    wheat = mix(wheat, rgb("#6b8f3a"), smoothstep(0.25, 0.5, fbm(x * 2.2, y * 6, seed + 22, 3)) * 0.7)
    middle = path_middle(depth)
    path = np.abs(x - middle) / (0.012 + 0.17 * depth**1.3)
    earth = mix(rgb("#b9705a"), rgb("#e7b79a"), np.clip(0.5 + perlin(x * 9, y * 40, seed + 23), 0, 1))
    on_path = smoothstep(1.08, 0.92, path)
    ground = mix(wheat, rgb("#3f7a3c"), smoothstep(1.5, 1.15, path))
    ground = mix(ground, earth, on_path)
    furrow = smoothstep(0.1, 0.5, fbm(x * 1.6 + 2, depth * 7, seed + 26, 3))
    ground = mix(ground, rgb("#7a5a8c"), 0.45 * furrow * (path > 1.2))  # violet shade, yellow's complement
    ground = mix(
        ground, rgb("#2d3f6a"), 0.6 * np.exp(-(((x - 0.05 - 1.2 * (y - 0.8)) / 0.06) ** 2)) * (y > 0.8) * (path > 1.2)
    )
    blades = -1.35 + 0.55 * fbm(x * 3, y * 5, seed + 25, 2) - 0.5 * (x - 0.6)
    along = np.where(path < 1.1, 0.3 + 1.2 * (x - middle), blades)
    return mix(colour, ground, inside), np.where(inside > 0.5, along, angle), np.where(inside > 0.5, 0.7, detail)


def path_middle(depth):
    return 0.60 + 0.30 * depth**0.8 * np.sin(2.6 * depth + 0.6) - 0.10 * depth


def _village(x, y, seed, colour, angle, detail):
    for number, (left, wide, tall) in enumerate(HOUSES):
        base = VILLAGE
        wall = (np.abs(x - left) < wide / 2) & (y < base) & (y > base - tall)
        roof = (y > base - tall - 0.024) & (y < base - tall + 0.001)
        roof &= np.abs(x - left) < wide * 0.55 * (0.45 + (y - base + tall + 0.024) / 0.044)
        colour = np.where(wall[..., None], rgb(WALLS[number % 3]), colour)
        colour = np.where(roof[..., None], rgb(ROOFS[number % 2]), colour)
        window = (np.abs(x - left - 0.006) < 0.005) & (np.abs(y - base + 0.6 * tall) < 0.006)
        colour = np.where(window[..., None], rgb("#ffd13d"), colour)
        detail = np.where(wall | roof, 1.0, detail)
        angle = np.where(wall, np.pi / 2, np.where(roof, 0.1, angle))
    return colour, angle, detail


def _cypresses(x, y, seed, colour, angle, detail):
    for number, (at, foot, tall, wide) in enumerate(((0.155, 0.90, 0.84, 0.072), (0.265, 0.84, 0.55, 0.05))):
        v = (foot - y) / tall
        flame = at + 0.018 * np.sin(9 * v + number) + 0.012 * fbm(y * 9, 0 * x, seed + 30, 2)
        half = wide * np.clip(v + 0.02, 0, 1) ** 0.35 * np.clip(1 - v, 0, 1) ** 0.75 * 1.35
        half = half * (1 + 0.25 * fbm(x * 20, y * 16, seed + 31, 2))
        inside = smoothstep(1.1, 0.9, np.abs(x - flame) / np.maximum(half, 1e-4)) * (v > 0) * (v < 1)
        lick = fbm(x * 22 + 2 * np.sin(9 * y), y * 6, seed + 32 + number, 3)
        green = mix(rgb("#0d2b2a"), rgb("#2f6a3c"), np.clip(0.45 + 0.9 * lick, 0, 1))
        green = mix(
            green, rgb("#b58a2c"), smoothstep(0.1, 0.9, (x - flame) / np.maximum(half, 1e-4) + 0.5 * lick) * 0.75
        )
        colour = mix(colour, green, inside)
        rise = -np.pi / 2 + 0.5 * np.sin(8 * y + number) + 4.5 * (x - flame)
        angle = np.where(inside > 0.5, rise, angle)
        detail = np.where(inside > 0.5, 0.8, detail)
    return colour, angle, detail


class Layer(NamedTuple):
    """One going-over: strokes of a width and a length in picture heights."""

    width: float
    length: float
    cover: float  # times that the strokes cover the picture
    body: float  # thickness of the paint
    least: float  # detail that a place needs to be gone over


LAYERS = (
    Layer(0.040, 0.16, 2.6, 0.5, 0.0),
    Layer(0.022, 0.11, 2.6, 0.8, 0.0),
    Layer(0.0135, 0.075, 1.9, 1.0, 0.0),
    Layer(0.0085, 0.045, 1.3, 0.9, 0.45),
    Layer(0.0055, 0.026, 1.0, 0.8, 0.75),
)


class Paint:
    """A canvas of wet paint: colours and how thick they lie."""

    def __init__(self, height, width, seed):
        self.rng = np.random.default_rng([seed, 1])
        x, y = grid(height, width)
        self.colour = np.ones((height, width, 3), np.float32) * rgb("#b98f5e")
        self.thick = (0.05 * (np.sin(x * height * 0.9) + np.sin(y * height * 0.9))).astype(np.float32)  # the weave
        self.bristles = blur(self.rng.standard_normal((64, 512)), 0.9) * 2.2
        self.bristles = cv2.blur(self.bristles, (61, 1)) * 3.5  # long along the stroke, fine across

    def stroke(self, centre, angle, bend, length, width, colours, body):
        """Draw one curved stroke whose bristles carry two colours, thick at its sides and its end."""
        reach = 0.5 * length + width
        left, top = int(centre[0] - reach), int(centre[1] - reach)
        rows = slice(max(top, 0), min(int(centre[1] + reach) + 1, self.thick.shape[0]))
        columns = slice(max(left, 0), min(int(centre[0] + reach) + 1, self.thick.shape[1]))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        dy = (np.arange(rows.start, rows.stop, dtype=np.float32) - np.float32(centre[1]))[:, None]
        dx = (np.arange(columns.start, columns.stop, dtype=np.float32) - np.float32(centre[0]))[None, :]
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        s = dx * cos + dy * sin
        t = dy * cos - dx * sin - np.float32(bend) * (s * s - np.float32(length * length / 12))
        u, v = s / np.float32(0.5 * length), t / np.float32(0.5 * width)
        row = (np.clip(v * 0.5 + 0.5, 0, 1) * 24).astype(np.intp) + self.rng.integers(0, 39)
        column = (np.clip(u * 0.5 + 0.5, 0, 1) * min(length * 1.5, 380)).astype(np.intp) + self.rng.integers(0, 130)
        bristle = self.bristles[row, column]
        ends = 1 - np.abs(u) - 0.07 * bristle - np.float32(0.55 * width / length) * v * v
        alpha = np.clip((1 - np.abs(v)) * width * 0.4, 0, 1) * np.clip(ends * length * 0.16, 0, 1)
        alpha *= np.clip(1.25 - 0.55 * (u * 0.5 + 0.5) + 0.5 * bristle, 0, 1)  # the brush runs dry
        mixture = np.clip(0.5 + 0.55 * bristle + 0.25 * v, 0, 1)[..., None]
        colour = colours[0] + (colours[1] - colours[0]) * mixture
        ridge = (
            0.55 + 0.55 * bristle + 0.9 * np.exp(-(((np.abs(v) - 0.82) / 0.16) ** 2)) + 0.8 * np.clip(u - 0.55, 0, 1)
        )
        here = self.thick[rows, columns]
        self.colour[rows, columns] += (colour - self.colour[rows, columns]) * (alpha * 0.96)[..., None]
        here += (np.float32(body * width * 0.16) * ridge + 0.35 * here - here) * alpha


def palette_shift(rng, colour, amount=0.055):
    """Break a colour as the painters did: a neighbour that is warmer or cooler, lighter or darker."""
    warm = np.array([1.0, 0.35, -1.0]) * rng.normal(0, amount)
    shifted = colour + warm + rng.normal(0, amount * 0.9) + rng.normal(0, amount * 0.6, 3)
    grey = shifted.mean()
    return np.clip(grey + (shifted - grey) * 1.18, 0, 1).astype(np.float32)


def paint(scene, seed, scale):
    """Go over a canvas with each layer; scale is pixels of a picture height."""
    height, width = scene.angle.shape
    canvas = Paint(height, width, seed)
    canvas.colour[:] = 0.35 * canvas.colour + 0.6 * blur(scene.colour, 0.02 * scale)  # a thin first laying-in
    rng = canvas.rng
    for layer in LAYERS:
        soft = blur(scene.colour, layer.width * scale * 0.35)
        count = int(layer.cover * (width / height) / (layer.width * layer.length))
        for _ in range(count):
            cx, cy = rng.uniform(-0.02, 1.02) * width, rng.uniform(-0.02, 1.02) * height
            length, wide = layer.length * rng.uniform(0.6, 1.25), layer.width * rng.uniform(0.75, 1.25)
            col, row = int(np.clip(cx, 0, width - 1)), int(np.clip(cy, 0, height - 1))
            if scene.detail[row, col] < layer.least:
                continue
            angle = scene.angle[row, col]
            bend = _bend(scene.angle, cx, cy, angle, 0.3 * length * scale)
            angle += rng.normal(0, 0.10)
            colour = soft[row, col]
            colours = palette_shift(rng, colour), palette_shift(rng, colour, 0.085)
            canvas.stroke((cx, cy), angle, bend, length * scale, wide * scale, colours, layer.body)
    touch_lights(canvas, rng, scale)
    touch_village(canvas, rng, scale)
    touch_poppies(canvas, rng, scale)
    return canvas


def touch_lights(canvas, rng, scale):
    """Set the sun and the stars last, in thick rings of short dabs that close in on a blob."""
    for sx, sy, size, _ in SWIRLS:
        sun = (sx, sy) == SUN
        core = 0.066 if sun else 0.19 * size
        for r in np.linspace(core, 0.12 * core, 8):
            for angle in np.arange(0, 2 * np.pi, 0.013 / r * (1.0 if sun else 0.8)):
                angle += rng.uniform(-0.2, 0.2)
                at = (sx + r * np.cos(angle)) * scale, (sy + r * np.sin(angle)) * scale
                colour = mix(rgb("#fffbe0"), rgb("#f7d25a"), np.clip(r / core + rng.normal(0, 0.2), 0, 1) ** 1.5)
                bend = 0.35 / (r * scale)
                dab = (0.024, 0.0090) if sun else (0.017, 0.0075)
                canvas.stroke(
                    at,
                    angle + np.pi / 2,
                    bend,
                    dab[0] * scale,
                    dab[1] * scale,
                    (colour, palette_shift(rng, colour)),
                    1.1,
                )


def touch_village(canvas, rng, scale):
    """Put the houses in with a few sure strokes each: walls upright, roofs along their pitch, a yellow window."""
    for number, (left, wide, tall) in enumerate(HOUSES):
        wall, roof = rgb(WALLS[number % 3]), rgb(ROOFS[number % 2])
        for x in np.linspace(left - 0.42 * wide, left + 0.42 * wide, 7):
            at = (x * scale, (VILLAGE - 0.5 * tall) * scale)
            shade = wall * (0.72 if x > left + 0.15 * wide else 1.04)
            canvas.stroke(
                at, np.pi / 2, 0.0, tall * 1.1 * scale, 0.0085 * scale, (shade, palette_shift(rng, shade, 0.03)), 0.7
            )
        for row in range(3):
            y, half = VILLAGE - tall - 0.004 - 0.008 * row, wide * (0.60 - 0.12 * row)
            at = (left * scale, y * scale)
            canvas.stroke(
                at,
                rng.normal(0, 0.03),
                0.0,
                2 * half * scale,
                0.0095 * scale,
                (roof, palette_shift(rng, roof, 0.05)),
                0.9,
            )
        at = ((left + 0.006) * scale, (VILLAGE - 0.5 * tall) * scale)
        canvas.stroke(at, np.pi / 2, 0.0, 0.015 * scale, 0.0075 * scale, (rgb("#ffe06a"), rgb("#f6a623")), 1.0)
    for x in np.linspace(0.90, 1.18, 26):  # bushes at their feet
        green = mix(rgb("#1f5a3a"), rgb("#6d9a3c"), rng.random())
        at = ((x + rng.normal(0, 0.006)) * scale, (VILLAGE + 0.003 + rng.normal(0, 0.003)) * scale)
        canvas.stroke(
            at, rng.normal(0, 0.5), 0.0, 0.022 * scale, 0.010 * scale, (green, palette_shift(rng, green)), 0.9
        )


def touch_poppies(canvas, rng, scale):
    """Dot the near wheat with poppies, larger towards the foot of the picture, in loose drifts."""
    for _ in range(420):
        depth = rng.random() ** 0.7
        x, y = rng.uniform(0, 1.28), 0.64 + 0.36 * depth
        middle = path_middle(depth)
        drift = perlin(np.array([x * 5 + 3]), np.array([y * 9]), 77)[0]
        if abs(x - middle) < 0.05 + 0.22 * depth or drift < 0.12:
            continue
        red = mix(rgb("#c81f1a"), rgb("#f2552a"), rng.random())
        size = 0.005 + 0.012 * depth
        for _ in range(2):
            at = ((x + rng.normal(0, 0.3 * size)) * scale, (y + rng.normal(0, 0.3 * size)) * scale)
            canvas.stroke(
                at,
                rng.uniform(-0.8, 0.8),
                0.0,
                1.7 * size * scale,
                size * scale,
                (red, palette_shift(rng, red, 0.08)),
                1.0,
            )


def _bend(angles, cx, cy, angle, step):
    """Return the curvature / 2 of the flow about a place, bounded so that a stroke stays a stroke."""
    col = int(np.clip(cx + np.cos(angle) * step, 0, angles.shape[1] - 1))
    row = int(np.clip(cy + np.sin(angle) * step, 0, angles.shape[0] - 1))
    turn = (angles[row, col] - angle + np.pi / 2) % np.pi - np.pi / 2
    if abs(turn) > 0.8:  # the middle of a swirl has no direction
        return 0.0
    return float(np.clip(turn, -0.6, 0.6)) / step / 2


def varnish(canvas, scale):
    """Light the paint's relief from the upper left."""
    thick = blur(canvas.thick, scale * 0.0007)
    diffuse, shine = relief(thick * 0.75, (-0.55, -0.6, 0.62))
    lit = canvas.colour * (0.46 + 0.80 * diffuse)[..., None]
    return lit + 0.13 * shine[..., None]


def draw(seed=0, width=SIZE[0], oversampling=1.5):
    """Return (H, W, 3) uint8, the painting."""
    height = round(width * SIZE[1] / SIZE[0])
    tall, wide = round(height * oversampling), round(width * oversampling)
    canvas = paint(motif(tall, wide, seed), seed, tall)
    return to_bytes(shrink(varnish(canvas, tall), width, height))
