"""Shapes of the embedded detection set: coloured polygons laid over each other, each time a little different."""

import colorsys

import numpy as np

Colour = tuple[float, float, float]  # RGB, from 0 to 1
Layer = tuple[np.ndarray, Colour]  # (P, 2) points about the square [-1, 1]², y downwards; later layers lie on top


def balloon(rng: np.random.Generator) -> list[Layer]:
    """Draw a hot-air balloon: an envelope of coloured gores, ropes, a basket."""
    colours, gores = palette(rng, 3), int(rng.integers(5, 10))
    y = np.linspace(-1, 0.55, 40)
    t = (y + 1) / 1.55
    half = 0.78 * np.sqrt(np.clip(1 - (2 * t**0.85 - 0.95) ** 2 / 1.1, 0, 1)) * (1 - 0.35 * t**3)  # (40,)
    edges = np.sin(np.linspace(-np.pi / 2, np.pi / 2, gores + 1))
    pattern = rng.permutation(3)[: rng.integers(2, 4)]
    layers: list[Layer] = []
    for side in (-1, 1):
        rope = np.array([[0.22, 0.5], [0.2, 0.5], [0.15, 0.8], [0.17, 0.8]]) * [side, 1]
        layers.append((rope, (0.2, 0.15, 0.1)))
    for i, (left, right) in enumerate(zip(edges[:-1], edges[1:])):
        shade = 1 - 0.35 * max(0.0, (left + right) / 2) ** 2
        gore = _band(np.stack([left * half, y], 1), np.stack([right * half, y], 1))
        layers.append((gore, shaded(colours[pattern[i % len(pattern)]], shade)))
    if rng.random() < 0.4:
        inside = (y > -0.45) & (y < -0.2)
        layers.append((_upright(half[inside], y[inside]), colours[pattern[-1]]))
    basket = np.array([[-0.19, 0.76], [0.19, 0.76], [0.15, 1.0], [-0.15, 1.0]])
    layers.append((basket, shaded((0.6, 0.4, 0.2), rng.uniform(0.7, 1.2))))
    return layers


def fish(rng: np.random.Generator) -> list[Layer]:
    """Draw a fish from the side: tail, fins, body, with stripes or without, an eye."""
    body, fin, stripe = palette(rng, 3)
    height, tail = rng.uniform(0.32, 0.55), rng.uniform(0.28, 0.5)
    x = np.linspace(-1, 0.55, 40)
    t = (x + 1) / 1.55
    half = height * np.sin(np.pi * t**0.7) ** 0.8 * (1 - 0.25 * t) + 0.05 * t  # (40,)
    layers: list[Layer] = [
        (np.array([[0.45, 0.06], [1.0, tail], [0.82, 0.0], [1.0, -tail], [0.45, -0.06]]), fin),
        (np.array([[-0.4, -0.8 * height], [0.1, -height - 0.28], [0.32, -0.45 * height]]), fin),
        (np.array([[-0.1, 0.7 * height], [0.2, height + 0.2], [0.28, 0.4 * height]]), fin),
        (_lying(x, half, -1, 0.55), body),
    ]
    for centre in np.linspace(-0.45, 0.35, 4)[: rng.integers(0, 5)]:
        layers.append((_lying(x, half, centre - 0.07, centre + 0.07), stripe))
    belly = _band(np.stack([x, 0.45 * half], 1), np.stack([x, half], 1))
    layers.append((belly, shaded(body, 1.25)))
    layers.append((ellipse(-0.68, -0.2 * height, 0.11, 0.11), (0.97, 0.97, 0.95)))
    layers.append((ellipse(-0.7, -0.2 * height, 0.055, 0.055), (0.05, 0.05, 0.08)))
    return layers


def teapot(rng: np.random.Generator) -> list[Layer]:
    """Draw a teapot: handle, spout, body with a band or dots, lid."""
    body, band, lid = palette(rng, 3)
    y = np.linspace(-0.42, 0.6, 30)
    half = rng.uniform(0.5, 0.6) * np.sqrt(np.clip(1 - ((y - 0.12) / 0.62) ** 2, 0, 1)) + 0.04  # (30,)
    angle = np.linspace(-1.9, 1.5, 24)
    outer = np.stack([0.52 + 0.44 * np.cos(angle), 0.06 + 0.4 * np.sin(angle)], 1)
    inner = np.stack([0.5 + 0.3 * np.cos(angle), 0.05 + 0.27 * np.sin(angle)], 1)
    upper_spout = np.array([[-0.35, 0.02], [-0.7, -0.1], [-0.82, -0.42], [-1.0, -0.46]])
    lower_spout = np.array([[-0.35, 0.42], [-0.7, 0.32], [-0.92, -0.02]])
    layers: list[Layer] = [
        (_band(outer, inner), shaded(body, 0.75)),
        (_band(upper_spout, lower_spout), shaded(body, 0.85)),
        (_upright(half, y), body),
    ]
    low = rng.uniform(-0.15, 0.25)
    if rng.random() < 0.7:
        inside = (y > low) & (y < low + 0.22)
        layers.append((_upright(half[inside], y[inside]), band))
    else:
        layers += [(ellipse(x, 0.12, 0.09, 0.09), band) for x in (-0.28, 0.0, 0.28)]
    layers.append((ellipse(-0.22, -0.05, 0.1, 0.2), shaded(body, 1.3)))
    layers.append((ellipse(0, -0.43, 0.36, 0.13), lid))
    layers.append((ellipse(0, -0.58, 0.09, 0.09), shaded(lid, 0.8)))
    return layers


def dog() -> list[Layer]:
    """Draw a dog that sits, from the side."""
    coat, light, dark = (0.76, 0.55, 0.32), (0.95, 0.88, 0.76), (0.45, 0.29, 0.16)
    back = np.array([[-0.02, -0.42], [0.2, -0.2], [0.46, 0.12], [0.66, 0.5], [0.68, 0.93]])
    chest = np.array([[-0.42, -0.3], [-0.44, 0.05], [-0.36, 0.3], [-0.3, 0.6], [-0.28, 0.93]])
    upper_tail = np.array([[0.55, 0.72], [0.84, 0.66], [0.97, 0.36]])
    lower_tail = np.array([[0.55, 0.92], [0.92, 0.82], [1.0, 0.38]])
    return [
        (_band(upper_tail, lower_tail), dark),
        (_band(back, chest), coat),
        (ellipse(0.4, 0.68, 0.32, 0.28), shaded(coat, 0.93)),
        (np.array([[-0.4, 0.2], [-0.12, 0.25], [-0.14, 0.92], [-0.34, 0.92]]), shaded(coat, 0.97)),
        (ellipse(-0.27, 0.92, 0.17, 0.07), light),
        (ellipse(0.24, 0.92, 0.2, 0.07), light),
        (ellipse(-0.36, 0.08, 0.13, 0.24), light),
        (ellipse(-0.24, -0.56, 0.36, 0.33), coat),
        (ellipse(-0.56, -0.44, 0.27, 0.16), light),
        (ellipse(-0.79, -0.51, 0.09, 0.075), (0.1, 0.08, 0.08)),
        (np.array([[-0.08, -0.86], [0.14, -0.72], [0.2, -0.34], [0.1, -0.18], [-0.04, -0.36]]), dark),
        (ellipse(-0.42, -0.66, 0.05, 0.06), (0.1, 0.08, 0.08)),
        (np.array([[-0.34, -0.28], [0.04, -0.22], [0.06, -0.12], [-0.36, -0.18]]), (0.72, 0.2, 0.2)),
    ]


def distractor(rng: np.random.Generator) -> list[Layer]:
    """Draw something that is none of the classes: a disc, a star, a bar, a rectangle, in two colours."""
    one, two, _ = palette(rng, 3)
    kind = rng.integers(4)
    if kind == 0:
        return [(ellipse(0, 0, 1, rng.uniform(0.5, 1)), one), (ellipse(0, 0, 0.6, 0.4), two)]
    if kind == 1:
        points = 2 * int(rng.integers(4, 8))
        angle = np.arange(points) * 2 * np.pi / points
        radius = np.where(np.arange(points) % 2, rng.uniform(0.35, 0.6), 1.0)
        return [(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), one)]
    width = rng.uniform(0.15, 0.3) if kind == 2 else rng.uniform(0.5, 1)
    return [(rectangle(width, 1), one), (rectangle(width, 0.3), two)]


def occluder(rng: np.random.Generator) -> list[Layer]:
    """Draw something to hide parts of objects: a leaf with its rib, or a slat."""
    if rng.random() < 0.5:
        green = (rng.uniform(0.1, 0.4), rng.uniform(0.3, 0.6), rng.uniform(0.05, 0.3))
        x = np.linspace(-1, 1, 24)
        half = rng.uniform(0.15, 0.3) * np.sin(np.pi * (x + 1) / 2)
        return [(_lying(x, half, -1, 1), green), (rectangle(0.98, 0.015), shaded(green, 0.7))]
    return [(rectangle(rng.uniform(0.05, 0.14), 1), palette(rng, 1)[0])]


def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """Return an ellipse's outline, (40, 2)."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], 1)


def rectangle(half_width: float, half_height: float) -> np.ndarray:
    """Return a rectangle's outline about the origin, (4, 2)."""
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [half_width, half_height]


def palette(rng: np.random.Generator, count: int) -> list[Colour]:
    """Draw colours whose hues lie apart."""
    hue = rng.random()
    colours = []
    for i in range(count):
        own = (hue + i / count + rng.uniform(-0.1, 0.1)) % 1
        colours.append(colorsys.hsv_to_rgb(own, rng.uniform(0.25, 1), rng.uniform(0.45, 1)))
    return [colours[i] for i in rng.permutation(count)]


def shaded(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker (below 1) or lighter."""
    red, green, blue = (min(1.0, part * factor) for part in colour)
    return red, green, blue


def _band(one_side: np.ndarray, other_side: np.ndarray) -> np.ndarray:
    """Return the outline between two lines that run the same way."""
    return np.concatenate([one_side, other_side[::-1]])


def _upright(half: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the outline of a shape that reaches ``half`` to the left and right at each ``y``."""
    return _band(np.stack([-half, y], 1), np.stack([half, y], 1))


def _lying(x: np.ndarray, half: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Return the outline, from ``start`` to ``stop``, of a shape that reaches ``half`` up and down at each ``x``."""
    xs = np.linspace(start, stop, 16)
    heights = np.interp(xs, x, half)
    return _band(np.stack([xs, -heights], 1), np.stack([xs, heights], 1))
