"""A mountain lake in the morning: eroded ridges, snow, forests, haze, and the water that mirrors them."""

import cv2
import numpy as np
from terrain import Camera, erode, first_hits, shadow_height
from texture import between, bilinear, blur, fbm, film, grade, linear, mix, perlin, ridged, shrink, smoothstep, to_bytes
from trees import KINDS, LARGEST, paste, small_fir, tall_fir
from water import Ripples, mirror

SIZE = (1200, 800)
SIDE, EXTENT = 1024, 11_000.0  # cells of the heightfield, and its metres
CELL = EXTENT / SIDE
SUN = np.array([-0.80, -0.22, 0.40]) / np.linalg.norm([-0.80, -0.22, 0.40])
SUNLIGHT, SKYLIGHT = np.array([1.0, 0.80, 0.58]) * 3.1, np.array([0.34, 0.48, 0.74]) * 0.62
PEAKS = (  # x, y, height, metres a metre of fall: the massif, and the valley's two sides
    (-500, 5600, 1850, 0.62),
    (-1500, 6300, 1500, 0.60),
    (700, 6300, 1350, 0.60),
    (2300, 6900, 1650, 0.55),
    (3900, 6900, 1500, 0.5),
    (-3300, 6400, 1500, 0.55),
    (-2300, 3100, 900, 0.55),
    (-3000, 4400, 1200, 0.5),
    (2300, 3500, 800, 0.48),
    (2900, 4800, 1150, 0.5),
    (700, 9300, 1700, 0.4),
    (-4200, 9000, 1700, 0.4),
)
TREE_LINE, SNOW_LINE = 560.0, 820.0
EYE = 9.0  # metres above the lake
RIPPLES = Ripples(0.0016, 0.009, 700.0, (9.0, 4.0, 1.7, 0.7), (0.014, 0.070, 0.075))


def heightfield(rng, seed, drops):
    """Return (SIDE, SIDE) metres above the lake, rows along y from 0, columns along x about 0."""
    y, x = (np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + 0.5) * CELL
    x -= EXTENT / 2
    bent_x = x + 420 * fbm(x / 1700, y / 1700, seed + 1, 4)
    bent_y = y + 420 * fbm(x / 1700, y / 1700, seed + 2, 4)
    envelope = np.full(x.shape, -60, np.float32)
    for px, py, top, fall in PEAKS:
        distance = np.hypot(bent_x - px, bent_y - py)
        envelope = np.maximum(envelope, top - fall * distance + 0.00003 * distance**2)
    envelope = blur(envelope, 6)
    crest = ridged(x / 2300 + 3.1, y / 2300, seed + 3, 8)
    above = np.clip(envelope, 0, None)
    land = envelope + above * (0.75 * crest - 0.42) + 70 * fbm(x / 900, y / 900, seed + 4, 4)
    far = np.hypot(bent_x - 100, (bent_y - 900) * 0.9)  # the lake is a bent disc with a flat valley around it
    shore = smoothstep(1250, 2100, far + 160 * fbm(x / 700, y / 700, seed + 5, 3))
    ground = between(-25.0, np.maximum(land, 4 + 30 * fbm(x / 500, y / 500, seed + 6, 3)), shore)
    worn = erode(ground, CELL, rng, drops)
    return between(worn, blur(worn, 3.0), 0.85 * smoothstep(1000, 450, worn))  # soil fills the lower gullies


def place(x, y):
    """Return the row and the column of the heightfield at world places."""
    return y / CELL - 0.5, (x + EXTENT / 2) / CELL - 0.5


def detail(x, y, seed):
    """Metres of roughness finer than the heightfield's cells."""
    return 9 * fbm(x / 55, y / 55, seed + 20, 4, ridge=True)


def crags(x, y, z, seed):
    """Metres of broken rock above the trees."""
    return 7 * fbm(x / 17, y / 17, seed + 21, 3, ridge=True) * smoothstep(500, 900, z)


class Ground:
    """The terrain on a camera's columns, and what its surface is like there."""

    def __init__(self, world, hidden, width, focal, seed, near=330.0, count=3000):
        self.depths = np.geomspace(near, 10_900, count).astype(np.float32)
        aside = (np.arange(width) + 0.5 - width / 2).astype(np.float32) / focal
        self.x, self.y = self.depths[:, None] * aside, np.repeat(self.depths[:, None], width, 1)
        rows, columns = place(self.x, self.y)
        z = bilinear(world, rows, columns)
        rough = detail(self.x, self.y, seed)
        self.z = z + rough * smoothstep(3, 60, z) + crags(self.x, self.y, z, seed)
        self.lit = smoothstep(-12, 14, self.z - bilinear(hidden, rows, columns))
        self.normal = self._normals(focal)

    def _normals(self, focal):
        """From differences along the depth and across the columns, which the perspective skews."""
        along = np.gradient(self.z, axis=0) / np.gradient(self.depths)[:, None]
        across = np.gradient(self.z, axis=1) / (self.depths[:, None] / focal)
        dz_dy = along - across * self.x / self.y
        normal = np.stack([-across, -dz_dy, np.ones_like(across)], -1)
        return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def sky(camera, seed):
    """Return (rows, W, 3) light of the sky: a gradient, a glow towards the sun, two layers of cloud."""
    up, aside = camera.tangents()
    up, aside = np.maximum(up, 0.001)[:, None], aside[None, :]
    t = np.clip(up / 0.40, 0, 1) ** 0.5
    colour = mix(linear("#e9dcc8") * 1.25, linear("#2472b4") * 0.74, t * np.ones_like(aside))
    glow = np.exp(-((aside + 0.75) ** 2) * 2.2 - up * 5)
    colour = colour + glow[..., None] * np.array([1.0, 0.62, 0.28]) * 0.55
    far = 1 / (up + 0.10)  # a flat layer above, bent down at the horizon so that it does not shrink to nothing
    x, y = aside * far * 1.2, far * 1.2
    return _clouds(colour, x, y, up, seed)


def _clouds(colour, x, y, up, seed):
    x, y = x + 0 * y, y + 0 * x
    wide_x, wide_y = x + 0.5 * fbm(x * 0.7, y * 0.7, seed + 30, 3), y + 0.5 * fbm(x * 0.7, y * 0.7, seed + 31, 3)
    density = fbm(wide_x * 0.75, wide_y * 0.95, seed + 32, 7)
    toward = fbm(wide_x * 0.75 - 0.16, wide_y * 0.95 + 0.03, seed + 32, 4)
    cover = smoothstep(0.02, 0.50, density + 0.06)
    shade = np.clip(0.62 + 0.9 * (fbm(wide_x * 0.75, wide_y * 0.95, seed + 32, 4) - toward), 0, 1)
    cloud = mix(np.array([0.48, 0.52, 0.66]), np.array([1.55, 1.32, 1.08]), shade)
    wisps = smoothstep(0.0, 0.9, fbm(x * 0.5 + 4, y * 2.2 + 0.6 * density, seed + 40, 6)) * 0.22
    colour = mix(colour, np.array([1.15, 1.06, 0.98]), wisps * smoothstep(0.02, 0.2, up))
    return mix(colour, cloud, cover * 0.9 * smoothstep(-0.02, 0.10, up))


def surface(ground, seed):
    """Return (D, W, 3) the light that the terrain sends back, before the haze."""
    x, y, z, normal = ground.x, ground.y, ground.z, ground.normal
    steep = 1 - normal[..., 2]
    mottle = fbm(x / 160, y / 160, seed + 50, 4)
    fine = perlin(x / 9, y / 9, seed + 51)
    strata = fbm(x / 900 + 0.02 * z, z / 34 + 0.004 * x, seed + 52, 4)
    rock = mix(linear("#5b5550"), linear("#8d8176"), np.clip(0.5 + 0.6 * strata + 0.2 * fine, 0, 1))
    meadow = mix(linear("#4c5c26"), linear("#8a7a3c"), np.clip(0.35 + 0.7 * mottle + z / 1600 + 0.2 * fine, 0, 1))
    scree = smoothstep(0.0, 0.5, fbm(x / 210, y / 120, seed + 53, 5) + (z - 420) / 900)
    meadow = mix(meadow, mix(linear("#6f665c"), linear("#8f8578"), 0.5 + 0.5 * fine), 0.8 * scree)
    wood = mix(linear("#16281c"), linear("#2c3f20"), np.clip(0.5 + 0.5 * mottle + 0.4 * fine, 0, 1))
    ground_colour = mix(meadow, wood, forest(x, y, z, steep, seed))
    high = smoothstep(TREE_LINE, TREE_LINE + 260, z + 120 * mottle)
    bare = np.clip(smoothstep(0.28, 0.46, steep + 0.06 * mottle - 0.12 * high) * 0.9 + 0.7 * high, 0, 1)
    ground_colour = mix(ground_colour, rock, bare)
    ground_colour = mix(ground_colour, linear("#2e3322"), 0.85 * smoothstep(9, 4, z + 3 * fine))  # reeds and alders
    drift = z + 200 * mottle + 60 * fine - 900 * np.clip(steep - 0.16, 0, 1) + 150 * normal[..., 1]
    snow = smoothstep(SNOW_LINE - 60, SNOW_LINE + 100, drift) * smoothstep(0.58, 0.42, steep)
    ground_colour = mix(ground_colour, np.array([0.90, 0.92, 0.96]), snow)
    sun = np.clip(normal @ SUN.astype(np.float32), 0, 1) * ground.lit
    ambient = 0.55 + 0.45 * normal[..., 2]
    return ground_colour * (sun[..., None] * SUNLIGHT + ambient[..., None] * SKYLIGHT)


def forest(x, y, z, steep, seed):
    """Share of the ground that trees hide, 0 to 1."""
    ragged = fbm(x / 260, y / 260, seed + 60, 4)
    below = smoothstep(TREE_LINE + 60, TREE_LINE - 120, z + 230 * ragged)
    clearing = smoothstep(-0.55, -0.2, fbm(x / 420, y / 420, seed + 61, 3) + z / 900)
    return below * clearing * smoothstep(0.78, 0.55, steep) * smoothstep(1.0, 3, z)


def haze(light, x, y, z, strength=1.0):
    """Add the air between: blue, paler towards the sun, thicker low in the valley."""
    distance = np.hypot(x, y)
    thin = np.exp(-np.clip(z, 0, None) / 900)
    depth = distance * (0.35 + 0.65 * thin) / 19000 * strength
    toward = smoothstep(0.5, -0.6, x / np.maximum(y, 1))
    air = mix(np.array([0.46, 0.60, 0.82]), np.array([0.98, 0.84, 0.68]), 0.75 * toward)
    through = np.exp(-depth[..., None] * np.array([0.75, 1.0, 1.35]))
    return light * through + air * (1 - through)


def view(ground, light, camera, seed):
    """Return (rows, W, 3) and the depth (rows, W) that the camera sees, the lake left out."""
    solid = np.where(ground.z > 0.4, ground.z, -np.inf)
    up, _ = camera.tangents()
    start = None if camera.z > 0 else -camera.z / np.maximum(up, 1e-6)  # where a mirrored ray leaves the water
    index = first_hits(solid, ground.depths, camera, start)
    seen = np.isfinite(index)
    picture = sky(camera, seed)
    rows, columns = np.nonzero(seen)
    at = index[rows, columns]
    picture[rows, columns] = bilinear(light, at, columns.astype(np.float32))
    depth = np.full(index.shape, np.inf, np.float32)
    depth[rows, columns] = np.interp(at, np.arange(len(ground.depths)), ground.depths)
    return picture, depth


def plant(picture, depth, ground, camera, seed, spacing=9.5):
    """Draw every tree of the forests that the terrain does not hide, the far ones first."""
    rng = np.random.default_rng([seed, 5])
    span = ground.depths[[0, -1]] * [1.05, 0.52]
    half = camera.width / camera.focal / 2 * 1.05
    count = int((span[1] ** 2 - span[0] ** 2) * half / spacing**2)
    y = np.sort(np.sqrt(rng.uniform(span[0] ** 2, span[1] ** 2, count)))[::-1].astype(np.float32)
    aside = rng.uniform(-half, half, count).astype(np.float32)
    row = np.interp(y, ground.depths, np.arange(len(ground.depths))).astype(np.float32)
    column = aside * camera.focal + camera.width / 2 - 0.5
    x, z, normal, lit = aside * y, *(bilinear(part, row, column) for part in (ground.z, ground.normal, ground.lit))
    keep = rng.random(count) < forest(x, y, z, 1 - normal[:, 2], seed)
    x, y, z, lit, normal = x[keep], y[keep], z[keep], lit[keep], normal[keep]
    tall = rng.uniform(11, 24, len(x)) * smoothstep(TREE_LINE + 180, TREE_LINE - 300, z + 60)
    facing = np.clip(normal @ SUN.astype(np.float32) * 1.1 + 0.25, 0, 1) * lit
    hue = np.clip(0.5 + 0.7 * fbm(x / 300, y / 300, seed + 70, 3) + rng.normal(0, 0.22, len(x)), 0, 1)
    gold = (rng.random(len(x)) < 0.6 * smoothstep(0.1, 0.5, fbm(x / 350, y / 350, seed + 71, 3)))[:, None]
    green = mix(linear("#14291d"), linear("#3a4a22"), hue)
    colour = np.where(gold, mix(linear("#8a5f16"), linear("#b98a26"), hue), green)
    bright = colour * (facing[:, None] * SUNLIGHT * 1.15)
    dim = colour * SKYLIGHT * 0.8
    _stand(picture, depth, camera, (x, y, z, tall), (bright, dim), rng)


def _stand(picture, depth, camera, trees, colours, rng):
    x, y, z, tall = trees
    column, foot = camera.project(x, y, z - 1.5)
    pixels = np.round(tall / y * camera.focal).astype(int)
    kinds = rng.integers(0, KINDS, len(x))
    near_air, far_air = haze(np.zeros((len(x), 3)), x, y, z), haze(np.ones((len(x), 3)), x, y, z)
    through = far_air - near_air
    for i in np.flatnonzero(pixels >= 2):
        cover, shade = small_fir(int(kinds[i]), int(min(pixels[i], LARGEST)))
        top, left = int(foot[i]) - cover.shape[0], int(column[i] - cover.shape[1] / 2)
        r, c = slice(max(top, 0), max(int(foot[i]), 0)), slice(max(left, 0), max(left + cover.shape[1], 0))
        behind = depth[r, c]
        if not behind.size:
            continue
        part = (
            slice(r.start - top, r.start - top + behind.shape[0]),
            slice(c.start - left, c.start - left + behind.shape[1]),
        )
        alpha = (cover[part] * (behind > y[i] - 4))[..., None]
        light = (shade[part][..., None] * colours[0][i] + colours[1][i]) * through[i] + near_air[i]
        picture[r, c] += (light - picture[r, c]) * alpha


def mist(picture, depth, camera, seed):
    """Lay a thin mist on the far water, torn along the shore, in place."""
    up, aside = camera.tangents()
    above = np.abs(up)[:, None] * 1600  # metres above the lake at the far shore
    torn = fbm(aside[None, :] * 5, up[:, None] * 60, seed + 140, 4)
    veil = 0.33 * np.exp(-((above / (11 + 9 * torn)) ** 2)) * smoothstep(-0.35, 0.35, torn) * (depth > 1200)
    picture += (np.array([0.80, 0.83, 0.86], np.float32) - picture) * veil[..., None]


def near_shore(camera, seed):
    """Return the bank at the camera's feet: its light (rows, W, 3) and where it is (rows, W)."""
    rng = np.random.default_rng([seed, 6])
    depths = np.geomspace(22, 90, 1400).astype(np.float32)
    _, aside = camera.tangents()
    x, y = depths[:, None] * aside, np.repeat(depths[:, None], camera.width, 1)
    edge = (
        38.5
        - 17 * aside
        + 26 * aside**2
        + 3.0 * fbm(x / 9, 0 * y, seed + 110, 4)
        + 1.2 * fbm(x / 3, y / 3, seed + 111, 3)
    )
    z = (0.10 * (edge - y)).clip(-2, 1.2) + 0.10 * fbm(x / 1.6, y / 1.6, seed + 112, 4)
    stone = np.zeros(z.shape, np.float32)
    lumps = 0.16 * fbm(x / 0.9, y / 0.9, seed + 113, 5, ridge=True)
    for _ in range(150):
        cx = rng.uniform(-22, 22)
        cy = float(np.interp(cx, x[700], edge[700])) + rng.normal(0.3, 2.0)
        size = 0.25 + 1.5 * rng.random() ** 3
        z, stone = _boulder(z, stone, (x, y), (cx, cy, size, rng.uniform(0.5, 0.9), rng.uniform(0.7, 1.6)), lumps)
    along = np.gradient(z, axis=0) / np.gradient(depths)[:, None]
    across = np.gradient(z, axis=1) / (depths[:, None] / camera.focal)
    normal = np.stack([-across, -(along - across * x / y), np.ones_like(z)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = _bank_light(x, y, z, normal, stone, seed)
    index = first_hits(np.where(z > 0.0, z, -np.inf), depths, camera)
    seen = np.isfinite(index)
    rows, columns = np.nonzero(seen)
    picture = np.zeros((camera.rows, camera.width, 3), np.float32)
    picture[rows, columns] = bilinear(light, index[rows, columns], columns.astype(np.float32))
    return picture, seen, (depths, z, stone)


def _boulder(z, stone, place, boulder, lumps):
    cx, cy, size, flat, long = boulder
    inside = 1 - ((place[0] - cx) / (size * long)) ** 2 - ((place[1] - cy) / size) ** 2
    top = np.sqrt(np.clip(inside, 0, None)) * size * flat - 0.15 * size + lumps * np.sqrt(size)
    higher = (inside > 0) & (top > z)
    return np.where(higher, top, z), np.where(higher, 1.0, stone)


def _bank_light(x, y, z, normal, stone, seed):
    grain = fbm(x / 0.5, y / 0.5, seed + 120, 5)
    lichen = smoothstep(0.25, 0.5, fbm(x / 0.8, y / 0.8, seed + 121, 5)) * smoothstep(0.15, 0.5, z)
    rock = mix(linear("#4b4744"), linear("#8c8479"), np.clip(0.5 + 0.6 * grain, 0, 1))
    rock = mix(rock, linear("#8d8a4c"), 0.5 * lichen)
    soil = mix(linear("#3b3a1c"), linear("#6d6a33"), np.clip(0.5 + 0.7 * grain, 0, 1))
    colour = mix(soil, rock, np.maximum(stone, smoothstep(0.25, 0.1, z)))
    colour = colour * between(0.35, 1.0, smoothstep(0.02, 0.14, z))[..., None]  # wet at the waterline
    sun = np.clip(normal @ SUN.astype(np.float32), 0, 1)
    ambient = 0.35 + 0.65 * normal[..., 2]
    return colour * (sun[..., None] * SUNLIGHT + ambient[..., None] * SKYLIGHT * 1.2)


def grass(picture, bank, camera, seed, blades=34_000):
    """Draw the bank's grass blade by blade, the far ones first: lit ones yellow, those between green and brown."""
    rng = np.random.default_rng([seed, 8])
    depths, height, stone = bank
    y = np.sort(rng.uniform(26, 47, blades))[::-1]
    aside = rng.uniform(-0.5, 0.5, blades)
    row, column = (
        np.interp(y, depths, np.arange(len(depths))),
        (aside * camera.focal + camera.width / 2).clip(0, camera.width - 2),
    )
    z, hard = bilinear(height, row, column), bilinear(stone, row, column)
    clump = fbm(aside * y / 1.3, y / 1.3, seed + 130, 3)
    tall = rng.uniform(0.10, 0.34, blades) * (1 + 0.9 * np.clip(clump, -0.5, 1))
    x0, y0 = camera.project(aside * y, y, z - 0.03)
    lean = 0.35 * clump + rng.normal(0, 0.25, blades)
    x1, y1 = camera.project(aside * y + lean * tall, y, z + tall)
    share = np.clip(0.45 + 0.35 * clump + rng.normal(0, 0.28, blades), 0, 1)
    colours = mix(linear("#18260d"), linear("#8d9a3a") * 1.25, share * np.clip(0.75 + 0.9 * clump, 0.2, 1.1))
    straw = rng.random(blades) < 0.10
    colours[straw] = linear("#d2b66c") * 1.3
    for i in np.flatnonzero((z > 0.16) & (hard < 0.3)):
        ends = [(round(float(a)), round(float(b))) for a, b in ((x0[i], y0[i]), (x1[i], y1[i]))]
        cv2.line(picture, *ends, colours[i].tolist(), 1)


FIRS = (
    (-0.44, 37, 19.0),
    (-0.375, 40, 13.5),
    (-0.485, 34, 12.0),
    (-0.33, 41, 7.0),
    (0.47, 33.0, 12.0),
    (0.425, 33.5, 6.5),
    (0.385, 34, 3.4),
)


def tall_firs(picture, camera, seed):
    """Plant the firs of the bank: (aside, metres away, metres tall)."""
    for number, (aside, away, tall) in enumerate(sorted(FIRS, key=lambda fir: -fir[1])):
        rng = np.random.default_rng([seed, 7, number])
        pixels = int(tall / away * camera.focal)
        patch = tall_fir(rng, pixels, linear("#a9a04e") * 1.6, linear("#0c1a14"))
        column, foot = camera.project(aside * away, away, 0.4)
        paste(picture, patch, int(column - patch.shape[1] / 2), int(foot) - pixels)


def draw(seed=0, width=SIZE[0], oversampling=2, drops=60_000):
    """Return (H, W, 3) uint8, the lake; fewer drops wear the mountains less, and are quicker."""
    rng = np.random.default_rng(seed)
    height = width * SIZE[1] // SIZE[0]
    world = heightfield(rng, seed, drops)
    hidden = shadow_height(world, CELL, SUN)
    wide, rows = width * oversampling, height * oversampling
    focal = 1.05 * wide
    ground = Ground(world, hidden, wide, focal, seed)
    light = haze(surface(ground, seed), ground.x, ground.y, ground.z)
    camera = Camera(wide, rows, focal, 0.575 * rows, EYE)
    picture, depth = view(ground, light, camera, seed)
    plant(picture, depth, ground, camera, seed)
    mist(picture, depth, camera, seed)
    below = camera._replace(z=-EYE, rows=int(camera.horizon))
    mirrored, mirrored_depth = view(ground, light, below, seed)
    plant(mirrored, mirrored_depth, ground, below, seed)
    mist(mirrored, mirrored_depth, below, seed)
    lake = mirror(np.concatenate([mirrored, picture[len(mirrored) :]]), camera, RIPPLES, seed)
    up, _ = camera.tangents()
    water = (up < 0)[:, None] & (EYE / np.maximum(-up, 1e-9)[:, None] < depth)
    picture = np.where(water[..., None], lake, picture)
    bank, seen, bank_z = near_shore(camera, seed)
    picture = np.where(seen[..., None], bank, picture)
    grass(picture, bank_z, camera, seed)
    tall_firs(picture, camera, seed)
    return to_bytes(grade(film(shrink(picture, width, height), 0.85), 1.30, 1.14))
