"""Poppies and cornflowers in watercolour: washes of pigment that pool at their edges, bleed, bloom and granulate."""

from typing import NamedTuple

import cv2
import numpy as np
from texture import blur, fbm, grid, perlin, relief, shrink, smoothstep, to_bytes

SIZE = (900, 700)


class Pigment(NamedTuple):
    """How much a wash of it absorbs of red, green and blue, and how it granulates."""

    absorbs: tuple
    grain: float


SCARLET = Pigment((0.05, 1.75, 2.05), 0.25)
ROSE = Pigment((0.12, 1.55, 0.80), 0.15)
ORANGE = Pigment((0.02, 0.75, 2.1), 0.15)
ULTRAMARINE = Pigment((1.75, 1.15, 0.22), 0.75)
COBALT = Pigment((1.45, 0.62, 0.12), 0.55)
VIOLET = Pigment((1.15, 1.55, 0.45), 0.45)
SAP = Pigment((1.05, 0.42, 1.75), 0.30)
VIRIDIAN = Pigment((1.65, 0.45, 0.85), 0.45)
OCHRE = Pigment((0.16, 0.48, 1.45), 0.40)
INDIGO = Pigment((2.2, 1.75, 1.15), 0.50)


class Sheet:
    """A sheet of rough paper: its tooth, and what the washes on it absorb (H, W, 3)."""

    def __init__(self, height, width, seed):
        self.scale, self.seed = height, seed
        self.x, self.y = grid(height, width)
        tooth = fbm(self.x * 75, self.y * 75, seed + 1, 4, gain=0.6) + 0.35 * perlin(
            self.x * 260, self.y * 260, seed + 2
        )
        self.tooth = tooth.astype(np.float32)
        self.absorbed = np.zeros((height, width, 3), np.float32)
        self.rng = np.random.default_rng([seed, 1])
        self.number = 0

    def outline(self, points):
        """Fill an outline given in picture heights; return (H, W) from 0 to 1."""
        mask = np.zeros(self.x.shape, np.uint8)
        cv2.fillPoly(mask, [np.round(np.asarray(points) * self.scale * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return mask.astype(np.float32) / 255

    def wash(self, mask, pigment, strength=0.5, wet=0.0, edge=1.0, tide=0.25, dry=0.0, spread=0.0032):
        """Lay a wash where a mask is.

        Args:
            mask: (H, W) from 0 to 1.
            pigment: Pigment.
            strength: of the pigment in the water.
            wet: how far it bleeds into wet paper, in picture heights.
            edge: pigment carried to the drying edge.
            tide: unevenness within.
            dry: share of the paper's tops that a dry brush leaves out.
            spread: how far it creeps on dry paper, in picture heights; what is finer than that does not take.
        """
        self.number += 1
        rows, columns = _box(mask, int((0.03 + 3 * wet) * self.scale))
        if rows is None:
            return
        x, y, tooth, scale = self.x[rows, columns], self.y[rows, columns], self.tooth[rows, columns], self.scale
        own = self.seed + 1000 * self.number
        wobble = 0.65 * fbm(x * 30, y * 30, own + 3, 5) + 0.25 * tooth
        reach = spread + 0.9 * wet
        soft = blur(mask[rows, columns], reach * scale)
        near = smoothstep(
            0.5 - 0.5 * min(1, 0.1 + wet * 60),
            0.5 + 0.5 * min(1, 0.1 + wet * 60),
            soft + 0.30 * wobble * soft * (1 - soft) * 4,
        )
        rim = np.clip(near - blur(near, 0.0035 * scale), 0, 1) + 0.5 * np.clip(near - blur(near, 0.011 * scale), 0, 1)
        pool = fbm(x * 6, y * 6, own + 4, 5) + 0.5 * fbm(x * 19, y * 19, own + 5, 3)
        density = near * np.clip(1 + 1.9 * tide * pool, 0.1, 3) + 2.6 * edge * rim * near
        density *= np.clip(1 - pigment.grain * 1.25 * tooth, 0.15, 3)  # grains settle in the valleys of the paper
        if dry:
            density *= smoothstep(dry - 0.55, dry - 0.35, -tooth + 0.3 * pool + 0.4)
        self.absorbed[rows, columns] += (strength * density)[..., None] * np.array(pigment.absorbs, np.float32)

    def lift(self, mask, share=0.9):
        """Take the pigment off again where a mask is, as a painter does who leaves the place free."""
        self.absorbed *= (1 - share * smoothstep(0.3, 0.7, blur(mask, 0.0015 * self.scale)))[..., None]

    def bloom(self, at, radius, amount=0.6):
        """Let a drop of clear water push pigment outwards to a ragged, dark fringe (a back-run)."""
        self.number += 1
        dx, dy = self.x - at[0], self.y - at[1]
        angle = np.arctan2(dy, dx)
        own = self.seed + 1000 * self.number
        ragged = (
            1
            + 0.35 * fbm(np.cos(angle) * 2.2, np.sin(angle) * 2.2, own, 5)
            + 0.16 * fbm(self.x * 40, self.y * 40, own + 1, 3)
        )
        distance = np.hypot(dx, dy) / (radius * ragged)
        lighter = 1 - amount * smoothstep(1.0, 0.45, distance) * 0.75
        fringe = (
            1
            + amount * np.exp(-(((distance - 1.0) / 0.055) ** 2))
            + 0.3 * amount * np.exp(-(((distance - 1.09) / 0.12) ** 2))
        )
        self.absorbed *= (lighter * fringe)[..., None]

    def spatter(self, at, spread, pigment, count, strength):
        mask = np.zeros(self.x.shape, np.uint8)
        for _ in range(count):
            cx, cy = (np.array(at) + self.rng.normal(0, spread, 2)) * self.scale
            r = self.scale * (0.0009 + 0.0045 * self.rng.random() ** 4)
            cv2.circle(mask, (int(cx * 16), int(cy * 16)), int(r * 16), 255, -1, cv2.LINE_AA, 4)
        self.wash(mask.astype(np.float32) / 255, pigment, strength, edge=0.8)

    def picture(self):
        paper = np.array([0.985, 0.972, 0.940], np.float32)
        light = paper * np.exp(-self.absorbed)
        diffuse = relief(self.tooth * 0.55, (-0.55, -0.6, 0.75))[0]
        return light * (0.80 + 0.265 * diffuse)[..., None]


def _box(mask, margin):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None, None
    low_r, high_r = max(rows[0] - margin, 0), rows[-1] + margin
    low_c, high_c = max(columns[0] - margin, 0), columns[-1] + margin
    return slice(low_r, high_r), slice(low_c, high_c)


def loose(rng, points, roughness=0.25, rounds=4):
    """Deform an outline as a loaded brush would: move each side's middle, and again (after Hobbs)."""
    points = np.asarray(points, float)
    for _ in range(rounds):
        following = np.roll(points, -1, 0)
        side = following - points
        across = np.stack([-side[:, 1], side[:, 0]], -1)
        middles = (
            points
            + side * rng.uniform(0.35, 0.65, (len(points), 1))
            + across * rng.normal(0, roughness, (len(points), 1))
        )
        points = np.stack([points, middles], 1).reshape(-1, 2)
        roughness *= 0.72
    return points


def ring(at, radius, count=9, squash=1.0, turn=0.0):
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False) + turn
    return np.array(at) + radius * np.stack([np.cos(angle), squash * np.sin(angle)], -1)


def ground(sheet):
    """Pale wet-in-wet colour behind the flowers."""
    rng = sheet.rng
    spots = (
        ((0.20, 0.30), 0.20, COBALT, 0.17),
        ((0.62, 0.18), 0.22, COBALT, 0.14),
        ((1.05, 0.25), 0.20, VIOLET, 0.10),
        ((0.95, 0.50), 0.20, OCHRE, 0.22),
        ((0.35, 0.55), 0.18, OCHRE, 0.17),
        ((0.62, 0.62), 0.24, SAP, 0.20),
        ((0.25, 0.80), 0.22, SAP, 0.28),
        ((1.02, 0.82), 0.22, VIRIDIAN, 0.20),
        ((0.65, 0.90), 0.27, SAP, 0.42),
        ((0.15, 0.97), 0.20, VIRIDIAN, 0.32),
        ((1.10, 1.00), 0.22, SAP, 0.40),
        ((0.45, 1.02), 0.22, INDIGO, 0.16),
        ((0.50, 0.33), 0.12, ROSE, 0.10),
    )
    for at, radius, pigment, strength in spots:
        mask = sheet.outline(loose(rng, ring(at, radius, 9, 0.7, rng.uniform(0, 6)), 0.35))
        sheet.wash(mask, pigment, strength, wet=rng.uniform(0.022, 0.05), edge=0.2, tide=0.5)
    blooms = (
        ((0.10, 0.33), 0.075),
        ((0.64, 0.10), 0.06),
        ((1.17, 0.20), 0.075),
        ((0.90, 0.66), 0.06),
        ((0.52, 0.74), 0.07),
        ((1.10, 0.86), 0.06),
        ((0.27, 0.80), 0.065),
    )
    for at, radius in blooms:
        sheet.bloom(at, radius, 0.9)


def petal(rng, at, angle, length, width, ruffle=0.10):
    """Outline of a broad petal from its root outwards."""
    t = np.linspace(-1, 1, 11)
    out = np.cos(t * np.pi / 2) ** 0.55 * (1 + ruffle * np.sin(5 * t + rng.uniform(0, 6)))
    u, v = 0.06 + out, np.sin(t * np.pi / 2) * (0.35 + 0.65 * out) * 1.0
    points = np.stack([u * length, v * width], -1)
    points[[0, -1]] = (0, 0)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.array(at) + points @ turn


def poppy(sheet, at, size, tilt):
    """Four petals, back ones first, wet colour dropped into them; a dark heart with stamens."""
    rng = sheet.rng
    outlines = []
    for number, angle in enumerate(np.radians([-158, -28, -93, 82]) + rng.normal(0, 0.10, 4) + tilt):
        long, wide = size * (0.95, 0.95, 1.0, 0.70)[number], size * (0.68, 0.68, 0.80, 1.02)[number]
        outlines.append((angle, long, sheet.outline(loose(rng, petal(rng, at, angle, long, wide), 0.10, 4))))
    sheet.lift(np.max([mask for *_, mask in outlines], 0), 0.985)
    for number, (angle, long, mask) in enumerate(outlines):
        pigment, drop = ((SCARLET, ORANGE), (ORANGE, SCARLET), (SCARLET, ROSE), (SCARLET, ORANGE))[number]
        if number > 1:
            sheet.lift(mask, 0.55)
        sheet.wash(mask, pigment, rng.uniform(0.36, 0.52), edge=1.2, tide=0.75)
        shore = np.array(at) + 0.85 * long * np.array([np.cos(angle), np.sin(angle)])
        sheet.wash(
            sheet.outline(loose(rng, ring(shore, 0.34 * size, 8), 0.4)) * mask,
            pigment,
            0.30,
            wet=0.012,
            edge=0.2,
            tide=0.6,
        )
        tip = np.array(at) + 0.62 * long * np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.1, 2) * size
        inner = sheet.outline(loose(rng, ring(tip, 0.30 * size, 8, 0.8, rng.uniform(0, 6)), 0.3)) * mask
        sheet.wash(inner, drop, 0.45, wet=0.010, edge=0.2, tide=0.4)
        root = np.array(at) + 0.22 * long * np.array([np.cos(angle), np.sin(angle)])
        sheet.wash(sheet.outline(loose(rng, ring(root, 0.16 * size, 7), 0.3)) * mask, VIOLET, 0.35, wet=0.007, edge=0.1)
        for _ in range(12):
            fold = angle + rng.uniform(-0.75, 0.75)
            a, b = (
                np.array(at) + long * r * np.array([np.cos(fold), np.sin(fold)]) for r in (0.2, rng.uniform(0.5, 0.95))
            )
            sheet.wash(_brush(sheet, a, b, 0.012 * size, rng) * mask, pigment, 0.30, edge=0.4, spread=0.0010)
    sheet.wash(sheet.outline(loose(rng, ring(at, 0.155 * size, 9), 0.3)), INDIGO, 0.95, wet=0.003, edge=0.8, tide=0.5)
    sheet.wash(sheet.outline(loose(rng, ring(at, 0.07 * size, 7), 0.3)), SAP, 0.5, edge=0.6)
    for angle in rng.uniform(0, 2 * np.pi, 34):
        end = np.array(at) + size * rng.uniform(0.20, 0.36) * np.array([np.cos(angle), 0.85 * np.sin(angle)])
        sheet.wash(
            sheet.outline(ring(end, 0.020 * size * rng.uniform(0.5, 1.3), 7)), INDIGO, 0.9, edge=0.3, spread=0.0012
        )
        sheet.wash(_brush(sheet, at, end, 0.0060 * size, rng), INDIGO, 0.6, edge=0.2, spread=0.0008)


def _brush(sheet, a, b, width, rng, bow=0.0, taper=True):
    """Mask of one touch of a pointed brush from a to b."""
    t = np.linspace(0, 1, 16)[:, None]
    a, b = np.asarray(a, float), np.asarray(b, float)
    across = np.array([-(b - a)[1], (b - a)[0]])
    middle = a + (b - a) * t + across * bow * np.sin(np.pi * t)
    direction = np.gradient(middle, axis=0)
    normal = np.stack([-direction[:, 1], direction[:, 0]], -1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    half = width * (
        np.sin(np.pi * np.clip(t, 0.02, 0.98)) ** 0.7 if taper else 1 + 0.35 * np.sin(7 * t + rng.uniform(0, 6)) * 0.5
    )
    return sheet.outline(np.concatenate([middle + normal * half, (middle - normal * half)[::-1]]))


def cornflower(sheet, at, size):
    rng = sheet.rng
    sheet.lift(sheet.outline(ring(at, 0.8 * size, 12, 0.8)), 0.8)
    for angle in np.linspace(0, 2 * np.pi, 11, endpoint=False) + rng.uniform(0, 1):
        angle += rng.normal(0, 0.12)
        way = np.array([np.cos(angle), 0.8 * np.sin(angle)])
        side = np.array([-way[1], way[0]])
        long = size * rng.uniform(0.8, 1.15)
        tip = [
            way * 1.0 + side * 0.26,
            way * 0.84 + side * 0.13,
            way * 1.08,
            way * 0.84 - side * 0.13,
            way * 1.0 - side * 0.26,
        ]
        points = np.array([way * 0.1, way * 0.45 + side * 0.12, *tip, way * 0.45 - side * 0.12])
        outline = loose(rng, np.array(at) + long * points, 0.08, 3)
        sheet.wash(
            sheet.outline(outline),
            (ULTRAMARINE, COBALT, VIOLET)[rng.integers(3)],
            rng.uniform(0.4, 0.75),
            edge=0.9,
            tide=0.5,
        )
    sheet.wash(sheet.outline(loose(rng, ring(at, 0.26 * size, 8), 0.3)), VIOLET, 0.8, wet=0.004, edge=0.4, tide=0.5)
    for angle in rng.uniform(0, 2 * np.pi, 12):
        way = np.array([np.cos(angle), np.sin(angle)])
        sheet.wash(
            _brush(sheet, at, np.array(at) + way * size * rng.uniform(0.25, 0.42), 0.02 * size, rng),
            INDIGO,
            0.6,
            edge=0.3,
        )


def stems(sheet, tops):
    rng = sheet.rng
    for (x, y), pigment in tops:
        foot = (x + rng.normal(0, 0.09), 1.04)
        bow = rng.normal(0, 0.06)
        sheet.wash(_brush(sheet, foot, (x, y), 0.0042, rng, bow, taper=False), pigment, 0.75, edge=0.6, tide=0.5)
    for _ in range(64):
        x = rng.uniform(0.04, 1.25)
        height = rng.uniform(0.14, 0.46) * (1 - 0.3 * abs(x - 0.64))
        foot, tip = (x, 1.03), (x + rng.normal(0, 0.10), 1.03 - height)
        pigment = (SAP, VIRIDIAN, SAP, OCHRE)[rng.integers(4)]
        mask = _brush(sheet, foot, tip, rng.uniform(0.0025, 0.012), rng, rng.normal(0, 0.10))
        sheet.wash(mask, pigment, rng.uniform(0.25, 0.8), edge=0.8, tide=0.5, dry=0.5 * (rng.random() < 0.25))


def leaf(sheet, at, angle, length):
    """A lobed leaf in two greens, one dropped into the other."""
    rng = sheet.rng
    for s in np.linspace(0.1, 1, 6):
        for side in (-1, 1):
            root = np.array(at) + s * length * np.array([np.cos(angle), np.sin(angle)])
            turn = angle + side * 0.75
            tip = root + length * 0.34 * (1.1 - 0.7 * s) * np.array([np.cos(turn), np.sin(turn)])
            sheet.wash(
                _brush(sheet, root, tip, 0.05 * length, rng, 0.12 * side),
                (SAP, VIRIDIAN)[rng.integers(2)],
                rng.uniform(0.35, 0.7),
                edge=0.9,
                tide=0.5,
            )
    end = np.array(at) + length * 1.1 * np.array([np.cos(angle), np.sin(angle)])
    sheet.wash(_brush(sheet, at, end, 0.03 * length, rng), SAP, 0.6, edge=0.7)


def bud(sheet, at, size, angle):
    rng = sheet.rng
    way = np.array([np.cos(angle), np.sin(angle)])
    sheet.wash(
        sheet.outline(loose(rng, petal(rng, at, angle, size, 0.42 * size, 0.02), 0.06)), SAP, 0.65, edge=1.0, tide=0.5
    )
    tip = np.array(at) + way * size * 0.75
    sheet.wash(sheet.outline(loose(rng, ring(tip, 0.22 * size, 8), 0.25)), SCARLET, 0.6, wet=0.003, edge=0.6)


POPPIES = (
    ((0.40, 0.38), 0.190, 0.1),
    ((0.80, 0.30), 0.165, -0.35),
    ((0.98, 0.54), 0.135, 0.4),
    ((0.62, 0.60), 0.125, -0.1),
    ((0.17, 0.58), 0.105, -0.3),
)
CORNFLOWERS = (
    ((0.60, 0.20), 0.070),
    ((0.24, 0.25), 0.062),
    ((1.10, 0.32), 0.066),
    ((0.37, 0.66), 0.058),
    ((0.82, 0.70), 0.056),
    ((1.15, 0.66), 0.05),
)


def draw(seed=0, width=SIZE[0], oversampling=1.5):
    """Return (H, W, 3) uint8, the sheet."""
    height = round(width * SIZE[1] / SIZE[0])
    sheet = Sheet(round(height * oversampling), round(width * oversampling), seed)
    ground(sheet)
    tops = [((at[0], at[1] + 0.3 * size), SAP) for at, size, _ in POPPIES]
    tops += [((at[0], at[1] + 0.3 * size), VIRIDIAN) for at, size in CORNFLOWERS]
    stems(sheet, [*tops, ((0.50, 0.19), SAP), ((1.20, 0.46), SAP)])
    for at, angle, length in (
        ((0.52, 0.86), -2.3, 0.16),
        ((0.72, 0.88), -0.9, 0.17),
        ((0.25, 0.88), -2.0, 0.15),
        ((1.02, 0.86), -1.2, 0.16),
        ((0.90, 0.9), -2.1, 0.13),
    ):
        leaf(sheet, at, angle, length)
    for at, size in CORNFLOWERS:
        cornflower(sheet, at, size)
    for at, size, tilt in sorted(POPPIES, key=lambda flower: flower[1]):
        poppy(sheet, at, size, tilt)
    bud(sheet, (0.50, 0.20), 0.07, -1.3)
    bud(sheet, (1.20, 0.47), 0.06, -1.8)
    for at, pigment in (
        ((0.45, 0.45), SCARLET),
        ((0.85, 0.35), SCARLET),
        ((0.65, 0.3), ULTRAMARINE),
        ((0.6, 0.8), SAP),
    ):
        sheet.spatter(at, 0.17, pigment, 45, 0.5)
    return to_bytes(shrink(sheet.picture(), width, height))
