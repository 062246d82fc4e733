"""A leaded window: a sunrise over hills and a stream behind irises, cut into pieces of coloured glass."""

import cv2
import numpy as np
from texture import blur, fbm, grid, mix, relief, rgb, shrink, smoothstep, to_bytes

SIZE = (900, 700)
SUN = (0.70, 0.43)
RINGS = (0.0, 0.105, 0.175, 0.25, 0.335, 0.43, 0.54, 0.66, 0.80, 0.97, 1.3)
RING_COLOURS = (
    ("#fff1a8", "#ffe680"),
    ("#ffd94a", "#ffc21f"),
    ("#ffb319", "#ff8f0f"),
    ("#ff8412", "#f2600e"),
    ("#ee4a17", "#d92b1c"),
    ("#d81f3a", "#b3124f"),
    ("#a8176e", "#7a1a86"),
    ("#5f24a0", "#3a2bb0"),
    ("#2432b4", "#1553c8"),
    ("#0f3a9e", "#0a2a78"),
)


class Window:
    """Labels (H, W) of the pieces and the glass (H, W, 3) that each is cut from."""

    def __init__(self, height, width, seed):
        self.x, self.y = grid(height, width)
        self.seed = seed
        self.label = np.zeros(self.x.shape, np.int64)
        self.glass = np.zeros((*self.x.shape, 3), np.float32)
        self.count = 0

    def lay(self, inside, label, low, high):
        """Put pieces where a mask is; each has its own hue between two colours."""
        self.count += 1
        own = self.count * 1_000_003 + label
        share = np.sin(own * 0.7357 + self.seed) * 9973.17
        share = (share - np.floor(share)).astype(np.float32)
        self.label = np.where(inside, own, self.label)
        self.glass = np.where(inside[..., None], mix(rgb(low), rgb(high), share), self.glass)


def design(height, width, seed):
    window = Window(height, width, seed)
    _sky(window)
    _hills(window)
    _stream(window)
    _irises(window)
    _border(window, width / height)
    return window


def _sky(window):
    """Rings about the sun; the joints between their pieces curl outward."""
    x, y = window.x - SUN[0], window.y - SUN[1]
    distance = np.hypot(x, y) * (1 + 0.05 * np.sin(3 * np.arctan2(y, x) + 1))
    turn = np.arctan2(y, x) / (2 * np.pi)
    for ring, (inner, outer) in enumerate(zip(RINGS, RINGS[1:])):
        pieces = 1 if ring == 0 else (12, 15, 17, 18, 19, 20, 21, 22, 23)[ring - 1]
        spin = 0.9 * (distance - inner) + 0.37 * ring + 0.012 * np.sin(9 * ring + 10 * np.pi * turn)
        label = np.floor((turn + spin) * pieces).astype(np.int64) % pieces
        inside = (distance >= inner) & (distance < outer)
        window.lay(inside, label * (ring > 0), *RING_COLOURS[ring])


def _hills(window):
    x, y = window.x, window.y
    bands = (
        (0.56, 0.055, 3.1, 0.4, "#2b3fa0", "#5a7bd0", 0.16),
        (0.63, 0.050, 4.3, 2.2, "#0f6a78", "#2ba39a", 0.14),
        (0.71, 0.045, 3.7, 4.1, "#0e7a4c", "#58b947", 0.13),
        (0.80, 0.040, 4.9, 0.9, "#2f8f2f", "#a9cf3a", 0.12),
    )
    for number, (base, swing, rate, phase, low, high, wide) in enumerate(bands):
        crest = base + swing * np.sin(rate * x + phase) + 0.02 * np.sin(9 * x + phase)
        along = x + 0.5 * (y - crest) * np.cos(rate * x + phase) + 0.03 * np.sin(20 * y)
        label = np.floor(along / wide + 0.3 * number).astype(np.int64)
        window.lay(y > crest, label, low, high)


def _stream(window):
    """Water that winds down from the hills, wider as it nears, in long pieces along its flow."""
    x, y = window.x, window.y
    v = np.clip((y - 0.655) / 0.345, 0, 1)
    middle = 0.72 - 0.02 * v + 0.13 * np.sin(5.2 * v**0.8 + 0.4) * (0.35 + v)
    across = (x - middle) / (0.030 + 0.23 * v**1.25)
    inside = (np.abs(across) < 1) & (y > 0.66)
    lane = np.floor((across + 1) * 1.5 + 0.25 * np.sin(8 * v)).astype(np.int64)
    joint = np.floor(v * 6 + 0.37 * lane + 0.5 * across**2).astype(np.int64)
    window.lay(inside, lane * 17 + joint, "#1f8fd0", "#bfeaf5")


def _petal(x, y, at, angle, length, width, bend=0.0):
    """Return where a petal is (a drop from a point outwards) and the coordinates along and across it."""
    dx, dy = x - at[0], y - at[1]
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / length
    v = (-dx * np.sin(angle) + dy * np.cos(angle)) / width - bend * u * u
    shape = np.clip(u, 0, 1) ** 0.6 * np.clip(1 - u, 0, 1) ** 0.42 * 1.35
    return (u > 0) & (u < 1) & (np.abs(v) < shape), u, v


def _leaf(window, foot, top, bow, width, pieces, colours, taper):
    """A blade from the ground up, narrowing, cut across into pieces."""
    low, high = colours
    x, y = window.x, window.y
    v = np.clip((foot[1] - y) / (foot[1] - top[1]), 0, 1)
    middle = foot[0] + (top[0] - foot[0]) * v + bow * np.sin(np.pi * v)
    across = (x - middle) / (width * (1 - v) ** taper + 1e-4)
    inside = (np.abs(across) < 1) & (y < foot[1]) & (y > top[1])
    window.lay(inside, np.floor(v * pieces).astype(np.int64), low, high)


def _irises(window):
    leaves = (
        ((0.085, 1.0), (0.085, 0.50), 0.015, 0.034, 3),
        ((0.225, 1.0), (0.30, 0.60), -0.03, 0.032, 3),
        ((0.42, 1.0), (0.47, 0.72), -0.02, 0.028, 2),
        ((1.075, 1.0), (1.03, 0.66), 0.02, 0.030, 2),
        ((1.225, 1.0), (1.235, 0.60), -0.01, 0.028, 2),
    )
    stems = (
        ((0.155, 1.0), (0.17, 0.42), 0.012),
        ((0.345, 1.0), (0.365, 0.62), 0.012),
        ((1.15, 1.0), (1.155, 0.56), -0.008),
    )
    for foot, top, bow in stems:
        _leaf(window, foot, top, bow, 0.0125, 2, ("#2c7a2c", "#4f9f35"), 0.05)
    for foot, top, bow, width, pieces in leaves:
        _leaf(window, foot, top, bow, width, pieces, ("#0b6a3a", "#7fcf3f"), 0.6)
    for at, size in (((0.17, 0.335), 0.165), ((0.365, 0.545), 0.125), ((1.155, 0.475), 0.135)):
        _iris(window, at, size)


def _iris(window, at, size):
    """Three falls, three standards, and a yellow beard on the middle fall."""
    falls, standards = ("#4a1fa0", "#7d3fd0"), ("#8a4be0", "#c79bf2")
    plan = (
        (np.radians(158), 1.0, 0.30, -0.35, falls),
        (np.radians(22), 1.0, 0.30, 0.35, falls),
        (np.radians(-128), 0.95, 0.27, 0.25, standards),
        (np.radians(-52), 0.95, 0.27, -0.25, standards),
        (np.radians(-90), 1.12, 0.30, 0.0, standards),
        (np.radians(90), 1.05, 0.36, 0.0, falls),
    )
    for angle, length, width, bend, colours in plan:
        inside, _, v = _petal(window.x, window.y, at, angle, length * size, width * size, bend)
        window.lay(inside, (v > 0).astype(np.int64), *colours)
    inside, _, _ = _petal(window.x, window.y, at, np.radians(90), 0.5 * size, 0.13 * size)
    window.lay(inside, np.zeros(inside.shape, np.int64), "#ffc400", "#ffe04a")


def _border(window, aspect):
    """A frame of small oblongs with square corners."""
    x, y, wide = window.x, window.y, 0.036
    to_side, to_top = np.minimum(x, aspect - x), np.minimum(y, 1 - y)
    inside = np.minimum(to_side, to_top) < wide
    flat = to_top < to_side
    label = np.floor(np.where(flat, x, y) / 0.1007 + 0.5 * (np.where(flat, y, x) > 0.5)).astype(np.int64)
    window.lay(inside, label + 100 * flat + 1000 * (np.where(flat, y, x) > 0.5), "#5a0f1e", "#a81a2c")
    corner = (to_side < wide) & (to_top < wide)
    window.lay(corner, np.zeros(x.shape, np.int64), "#e0a020", "#e0a020")


def edges(label):
    """Return (H, W) bool, the pixels whose right or lower neighbour is of another piece."""
    edge = np.zeros(label.shape, bool)
    edge[:, :-1] |= label[:, 1:] != label[:, :-1]
    edge[:-1] |= label[1:] != label[:-1]
    return edge


def shed_slivers(label, least):
    """Join pieces too small to cut to a neighbour; return each pixel's piece and the pixel that gives it its glass."""
    boundary = (~edges(label)).astype(np.uint8)
    _, part, stats, _ = cv2.connectedComponentsWithStats(boundary, connectivity=4)
    small = np.isin(part, np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < least)) | (part == 0)
    small |= boundary == 0
    _, nearest = cv2.distanceTransformWithLabels(small.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    lookup = np.zeros(nearest.max() + 1, np.int64)
    lookup[nearest[~small]] = part[~small]
    owner = np.zeros(nearest.max() + 1, np.int64)
    flat = np.flatnonzero(~small.ravel())
    owner[nearest.ravel()[flat]] = flat
    return lookup[nearest], owner[nearest]


def glass_light(window, part, seed, scale):
    """Return (H, W, 3) the light that comes through: streaks, seeds and ripples of each piece, daylight behind."""
    x, y = window.x, window.y
    count = part.max() + 1
    rng = np.random.default_rng([seed, 3])
    angle = rng.uniform(0, np.pi, count)[part].astype(np.float32)
    offset = rng.uniform(0, 50, count)[part].astype(np.float32)
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    streak = fbm(u * 5 + offset, v * 26 + 1.3 * fbm(u * 9, v * 9, seed + 5, 3), seed + 6, 4)
    wisp = fbm(x * 11 + offset, y * 11, seed + 7, 4)
    depth = 1.0 + 0.55 * streak + 0.32 * wisp + rng.normal(0, 0.13, count)[part]
    light = np.clip(window.glass, 0.012, 1) ** (0.85 * np.clip(depth, 0.25, 2.4)[..., None] + 0.18)
    light = mix(light, np.ones(3), 0.24 * smoothstep(0.15, 0.75, streak))
    hammered = fbm(x * 60 + 0.5 * streak, y * 60, seed + 8, 3)
    lens = relief(hammered * 1.7, (-0.4, -0.5, 0.75))[0]
    day = 1.12 - 0.42 * np.hypot((x - SUN[0]) * 0.75, (y - SUN[1]) * 0.95)
    light = light * (day * (0.62 + 0.66 * lens))[..., None]
    return light + _seeds(x.shape, rng, scale)[..., None] * light


def _seeds(shape, rng, scale):
    """Small bubbles: a bright spot with a dark rim."""
    spots = np.zeros(shape, np.float32)
    for _ in range(900):
        cx, cy, r = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), scale * rng.uniform(0.0008, 0.0026)
        cv2.circle(spots, (int(cx), int(cy)), max(1, int(r * 1.4)), -0.22, -1)
        cv2.circle(spots, (int(cx), int(cy)), max(1, int(r * 0.8)), 0.30, -1)
    return blur(spots, scale * 0.0006)


def lead(part, scale, seed, x, y):
    """Return cover (H, W) and light (H, W) of the cames: rounded bars, dull grey, solder where they meet."""
    line = edges(part)
    distance = cv2.distanceTransform((~line).astype(np.uint8), cv2.DIST_L2, 5) / scale
    busy = blur(line.astype(np.float32), scale * 0.007) * scale
    joint = smoothstep(62, 95, busy)
    half = 0.0039 * (1 + 0.10 * fbm(x * 8, y * 8, seed + 15, 2)) + 0.0022 * joint
    cover = smoothstep(half + 0.0008, half - 0.0008, distance)
    bow = np.sqrt(np.clip(1 - (distance / half) ** 2, 0, 1)) * half * scale
    diffuse, shine = relief(
        blur(bow, scale * 0.0009) * 1.2 + 0.12 * fbm(x * 90, y * 90, seed + 16, 3), (-0.5, -0.65, 0.5)
    )
    return cover, 0.045 + 0.13 * diffuse**2 + 0.55 * shine + 0.05 * joint


def draw(seed=0, width=SIZE[0], oversampling=2):
    """Return (H, W, 3) uint8, the window."""
    height = round(width * SIZE[1] / SIZE[0])
    tall, wide = height * oversampling, width * oversampling
    window = design(tall, wide, seed)
    part, owner = shed_slivers(window.label, (0.012 * tall) ** 2)
    window.glass = window.glass.reshape(-1, 3)[owner]
    light = glass_light(window, part, seed, tall)
    cover, metal = lead(part, tall, seed, window.x, window.y)
    near_lead = np.exp(-((cv2.distanceTransform((cover < 0.5).astype(np.uint8), cv2.DIST_L2, 5) / tall / 0.009) ** 2))
    light = light * (1 - 0.48 * near_lead)[..., None]  # grime gathers along the lead
    light = mix(light, np.array([1.0, 1.02, 1.08]) * metal[..., None], cover)
    glow = blur(np.clip(light - 0.25, 0, None), tall * 0.012) + 0.6 * blur(np.clip(light - 0.4, 0, None), tall * 0.05)
    return to_bytes(shrink(np.clip(light + 0.20 * glow, 0, None), width, height) ** 0.92)
