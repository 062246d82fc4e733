"""What stands and floats in the harbour: houses, a church, a lighthouse, quays and boats."""

import numpy as np
from solids import Solids
from texture import linear

PLASTER = ("#e8d3a8", "#c9624a", "#e9e2d0", "#8fa9bb", "#e0b46a", "#b4c2aa", "#d8a08c", "#efe0c0", "#d98f5c", "#a9b8c4")
SAILCLOTH, WOOD, WHITE = linear("#f3e6cc"), linear("#6a4426"), linear("#f2efe6")


def house(solids, at, size, turn, colour, roof, rng):
    """Four walls under a gable, a chimney, and at times a dormer; its ridge runs along x before it is turned."""
    solids.thing += 1
    wide, deep, tall = size
    rise = 0.36 * deep * rng.uniform(0.85, 1.2)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def world(x, y, z):
        return (*(turned @ (x, y) + np.array(at[:2])), at[2] + z)

    w, d = wide / 2, deep / 2
    walls = [
        [(-w, -d, 0), (w, -d, 0), (w, -d, tall), (-w, -d, tall)],
        [(w, d, 0), (-w, d, 0), (-w, d, tall), (w, d, tall)],
        [(w, -d, 0), (w, d, 0), (w, d, tall), (w, 0, tall + rise), (w, -d, tall)],
        [(-w, d, 0), (-w, -d, 0), (-w, -d, tall), (-w, 0, tall + rise), (-w, d, tall)],
    ]
    for wall in walls:
        solids.add([world(*p) for p in wall], "wall", colour)
    o, drop = 0.35, 0.35 * rise / d  # the eaves reach over the walls
    for side in (-1, 1):
        eave = [
            (-w - o, side * (d + o), tall - drop),
            (w + o, side * (d + o), tall - drop),
            (w + o, 0, tall + rise),
            (-w - o, 0, tall + rise),
        ]
        eave = eave if side < 0 else eave[::-1]
        solids.add([world(*p) for p in eave], "roof", roof)
    along = rng.uniform(-0.3, 0.3) * wide
    brick, lid = linear("#8a5a45"), 1.15 * rise + 0.5
    solids.box(world(along, 0.22 * d, tall + 0.45 * rise), (0.62, 0.62, lid - 0.45 * rise), "stone", brick, turn)
    solids.box(world(along, 0.22 * d, tall + lid), (0.82, 0.82, 0.16), "stone", linear("#b9a68c"), turn)
    solids.box(world(along, 0.22 * d, tall + lid + 0.16), (0.3, 0.3, 0.4), "stone", linear("#a8502f"), turn)


def village(solids, ground, rng):
    """Rows of houses that climb the hill behind the quay, and a church above them."""
    rows = (
        (97, 4, 52, 6.6, (6.0, 9.5)),
        (111, 2, 62, 7.0, (5.5, 8.5)),
        (126, 4, 72, 7.4, (5.0, 8.0)),
        (143, 10, 84, 8.6, (4.5, 7.0)),
        (163, 20, 96, 11.0, (4.5, 6.5)),
    )
    number = 0
    for away, start, stop, pitch, (low, high) in rows:
        x = start + rng.uniform(0, 2)
        while x < stop:
            wide = pitch * rng.uniform(0.8, 1.15)
            y = away + rng.uniform(-1.5, 1.5) + 0.06 * (x - 20)
            z = ground(x + wide / 2, y) - 1.2 if away > 100 else 1.9
            turn = rng.choice([0.0, np.pi / 2], p=[0.45, 0.55]) + rng.normal(0, 0.07)
            number = (number + rng.integers(1, len(PLASTER) - 1)) % len(PLASTER)  # never that of the house beside
            colour = linear(PLASTER[number]) * rng.uniform(0.85, 1.05)
            roof = linear(("#a8502f", "#8f4229", "#b5613a", "#6b5148")[rng.integers(4)]) * rng.uniform(0.85, 1.15)
            across, deep = (wide, 8.0) if abs(np.sin(turn)) < 0.5 else (8.0, wide)
            house(solids, (x + wide / 2, y, z), (across, deep, rng.uniform(low, high)), turn, colour, roof, rng)
            x += wide + rng.exponential(0.5 if away < 100 else 2.2)
    church(solids, (38, 152, ground(38, 152) - 0.5), rng)


def church(solids, at, rng):
    x, y, z = at
    house(solids, (x + 8, y + 2, z), (17, 9, 8), 0.0, linear("#e6dcc6"), linear("#7a4632"), rng)
    solids.thing += 1
    solids.box((x - 3, y, z), (5, 5, 17), "tower", linear("#e3d6bb"))
    solids.box((x - 3, y, z + 17), (5.6, 5.6, 0.6), "stone", linear("#b9a888"))
    solids.prism(
        [(3.3, 17.6, 0), (2.2, 20, 0), (0.9, 25, 0), (0.02, 30, 0)], (x - 3, y, z), "slate", [linear("#4a5a58")]
    )


def lighthouse(solids, at):
    """A white tower with red bands, a gallery with rails, a glazed lantern and a cap; the keeper's house beside it."""
    solids.thing += 1
    white, red, iron = linear("#f4eee0"), linear("#b5312a"), linear("#3a3734")
    profile, steps = [], 20
    for i in range(steps + 1):
        v = i / steps
        profile.append((3.3 - 1.35 * v**0.8, 19 * v, int(v * 5) % 2))
    solids.prism(profile, at, "tower_round", [white, red])
    x, y, z = at
    solids.prism([(1.95, 18.6, 0), (2.9, 19.2, 0), (2.9, 19.5, 0), (0.1, 19.52, 0)], at, "plain", [iron])
    for angle in np.linspace(0, 2 * np.pi, 20, endpoint=False):
        p = (x + 2.75 * np.cos(angle), y + 2.75 * np.sin(angle))
        solids.rod((*p, z + 19.5), (*p, z + 20.7), 0.10, "plain", iron)
    for up in (20.1, 20.7):
        ring = np.linspace(0, 2 * np.pi, 25)
        for a, b in zip(ring, ring[1:]):
            solids.rod(*((x + 2.75 * np.cos(k), y + 2.75 * np.sin(k), z + up) for k in (a, b)), 0.10, "plain", iron)
    solids.prism([(1.5, 19.5, 0), (1.5, 20.3, 0)], at, "plain", [red])
    solids.prism([(1.38, 20.3, 0), (1.38, 22.5, 0)], at, "lantern", [np.array([1.0, 0.78, 0.36])])
    solids.prism(
        [(1.8, 22.5, 0), (1.5, 23.2, 0), (0.7, 24.1, 0), (0.14, 24.5, 0), (0.10, 25.6, 0), (0.0, 25.7, 0)],
        at,
        "plain",
        [red],
    )
    rng = np.random.default_rng(3)
    house(solids, (x + 10, y + 2, z - 0.6), (10, 6.5, 3.8), 0.05, linear("#f0e8d8"), linear("#8f4229"), rng)
    house(solids, (x - 9, y + 3, z - 0.4), (6, 5, 3.0), 0.05, linear("#efe6d4"), linear("#8a4a33"), rng)


def quay(solids):
    """The quay wall with its lamps and bollards, and a jetty on piles."""
    solids.thing += 1
    stone = linear("#8f8372")
    solids.box((40, 101, -3), (84, 24, 4.9), "stone", stone, top="paving")
    for x in np.arange(3, 60, 8.0):
        solids.rod((x, 89.6, 1.9), (x, 89.6, 5.6), 0.16, "plain", linear("#26241f"))
        solids.box((x, 89.6, 5.5), (0.42, 0.42, 0.6), "lamp", np.array([1.0, 0.72, 0.34]))
    solids.thing += 1
    for y in np.arange(66, 92, 4.0):
        for x in (8.2, 10.8):
            solids.box((x, y, -2), (0.36, 0.36, 4.0), "wood", WOOD)
    solids.box((9.5, 78, 1.35), (2.8, 25, 0.22), "wood", linear("#8a6a48"))


def hull(solids, at, length, beam, heading, colours, deep=1.0, open_boat=False):
    """A lofted hull: sections from transom to stem, a painted strake, a deck."""
    solids.thing += 1
    along, across = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    stations, girth = 22, 8
    side_grids = []
    for side in (-1, 1):
        grid = np.zeros((stations, girth, 3))
        for i, s in enumerate(np.linspace(0, 1, stations)):
            half = beam / 2 * (1 - s**3.2) ** 0.9 * (0.72 + 0.28 * np.sin(np.pi * min(1, s * 1.25) / 1.25 + 0.4))
            sheer = deep * (0.88 + 0.55 * (s - 0.35) ** 2 * 2)
            for j, g in enumerate(np.linspace(0, 1, girth)):
                reach = half * np.sin(0.5 * np.pi * (0.12 + 0.88 * g)) ** 0.8
                x = (s - 0.5) * length + 0.09 * length * s**4 * g
                grid[i, j, :2] = np.array(at[:2]) + along * x + across * reach * side
                grid[i, j, 2] = at[2] - 0.45 * deep + (sheer + 0.45 * deep) * g
        side_grids.append(grid)
        solids.patch(grid[:, : girth - 1], "hull", colours[0])
        solids.patch(grid[:, girth - 2 :], "hull", colours[1])
    left, right = side_grids
    if open_boat:
        return _inside(solids, left, right, colours[2], along)
    for i in range(stations - 1):
        solids.add([left[i, -1], left[i + 1, -1], right[i + 1, -1], right[i, -1]], "deck", colours[2], (0, 0, 1))
    for j in range(girth - 1):
        solids.add([left[0, j], right[0, j], right[0, j + 1], left[0, j + 1]], "hull", colours[0], (*-along, 0.1))
    return along, across, deep


def _inside(solids, left, right, wood, along):
    """Planking inside, a floor, thwarts and the transom of an open boat."""
    middle = (left + right) / 2
    for grid in (left, right):
        solids.patch(grid + 0.06 * (middle - grid) + np.array([0, 0, 0.0]), "wood", wood)
    for i in range(len(left) - 2):
        corners = [left[i, 3], left[i + 1, 3], right[i + 1, 3], right[i, 3]]
        solids.add(corners, "wood", wood * 0.6, (0, 0, 1))
    for i in (4, 9, 14):
        drop = np.array([0, 0, -0.10])
        solids.add(
            [left[i, -1] + drop, left[i + 1, -1] + drop, right[i + 1, -1] + drop, right[i, -1] + drop],
            "wood",
            wood * 1.5,
            (0, 0, 1),
        )
    for a, b in zip(left[0], left[0][1:]):
        c, d = (2 * middle[0, 0] - p for p in (b, a))
        c[2], d[2] = b[2], a[2]
        solids.add([a, d, c, b], "wood", wood * 0.9, (*-along, 0.1))


def rowing_boat(solids, at, heading, colours):
    hull(solids, at, 4.4, 1.7, heading, colours, 0.62, open_boat=True)
    along, across = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    for side in (-1, 1):  # shipped oars
        a = np.array([*(np.array(at[:2]) - 1.7 * along + 0.35 * side * across), at[2] + 0.52])
        b = np.array([*(np.array(at[:2]) + 1.5 * along + 0.25 * side * across), at[2] + 0.66])
        solids.rod(a, b, 0.07, "plain", linear("#c9a06a"))


def sail(corners, belly, away, count=16):
    """A triangular sail as a patch (m, n, 3) that the wind fills towards ``away``."""
    tack, clew, head = (np.asarray(c, float) for c in corners)
    u, v = np.meshgrid(np.linspace(0, 1, count), np.linspace(0, 1, count), indexing="ij")
    foot = tack + (clew - tack) * u[..., None]
    places = foot + (head - foot) * v[..., None]
    fill = np.sin(np.pi * u) * (1 - v) ** 0.8 * np.sin(np.pi * np.clip(v * 0.85 + 0.15, 0, 1)) ** 0.5
    return places + (belly * fill)[..., None] * np.array(away)


def sloop(solids, at, length, heading, colours, sails=True, cloth=SAILCLOTH):
    """A small sailing boat with a cabin, a mast, shrouds, and her sails set or furled on the boom."""
    along, across, deep = hull(solids, at, length, 0.30 * length, heading, colours, 0.11 * length)
    base = np.array([*at[:2], at[2] + deep])

    def world(x, y, z):
        return base + np.array([*(along * x * length + across * y * length), z * length])

    solids.box(world(-0.03, 0, -0.01), (0.30 * length, 0.17 * length, 0.055 * length), "cabin", WHITE, heading)
    mast, head = world(0.10, 0, 0), world(0.10, 0, 1.25)
    solids.rod(mast, head, 0.016 * length, "plain", linear("#7a5632"))
    solids.rod(world(0.10, 0, 0.13), world(-0.40, 0.04, 0.13), 0.013 * length, "plain", linear("#7a5632"))
    for x, y in ((0.55, 0), (-0.49, 0), (0.08, 0.13), (0.08, -0.13)):
        solids.rod(world(x, y, 0.02), world(0.10, 0, 1.2), 0.0055 * length, "plain", linear("#4a4038"))
    if not sails:
        for k in range(6):
            solids.rod(
                world(0.08 - 0.08 * k, 0, 0.155), world(0.0 - 0.08 * k, 0, 0.158), 0.035 * length, "plain", cloth * 0.8
            )
        return
    wind = np.array([*(across * -1.0), 0.0])
    main = sail((world(0.085, 0, 0.15), world(-0.40, 0.07, 0.15), world(0.095, 0, 1.22)), 0.085 * length, wind)
    jib = sail((world(0.54, 0, 0.05), world(0.13, 0.09, 0.09), world(0.115, 0, 1.08)), 0.075 * length, wind)
    solids.patch(main, "sail", cloth)
    solids.patch(jib, "sail", cloth)


def boats(solids):
    white, navy, red = WHITE, linear("#1f3350"), linear("#a8362b")
    teak = linear("#a97a4a")
    sloop(solids, (-8.6, 78, 0), 10.5, np.pi - 0.25, (navy, white, teak))
    sloop(solids, (-39, 168, 0), 10.0, 0.3, (white, red, teak), cloth=linear("#c8583a"))
    sloop(solids, (-4.5, 235, 0), 10.0, np.pi - 0.2, (white, navy, teak))
    sloop(solids, (14.6, 66, 0), 8.5, 0.5 * np.pi + 0.12, (red, white, teak), sails=False)
    sloop(solids, (20.5, 72, 0), 9.0, np.pi + 0.15, (white, navy, teak), sails=False)
    sloop(solids, (29, 80, 0), 9.5, 0.15, (navy, white, teak), sails=False)
    for x, y, heading, colour in (
        (6.0, 60, 0.5, "#2f6b62"),
        (5.6, 71, 1.2, "#c98a2d"),
        (3.2, 84, 0.2, "#b5402f"),
        (17, 84, 0.1, "#3a5f8f"),
        (-9.2, 36.5, 0.45, "#2b5f86"),
    ):
        rowing_boat(solids, (x, y, 0), heading, (linear(colour), white, linear("#7d5a38")))


def build(ground, seed):
    """Return the harbour's faces; ground gives the terrain's height at x, y."""
    solids = Solids()
    rng = np.random.default_rng([seed, 21])
    quay(solids)
    village(solids, ground, rng)
    lighthouse(solids, (-57, 226, ground(-57, 226) - 0.5))
    boats(solids)
    return solids.faces
