"""A harbour in the last sun: a lighthouse on its cliff, a village on the hill, boats, and the water between."""

import cv2
import numpy as np
from harbour_things import build
from solids import ShadowMap, seen_by
from terrain import Camera, first_hits, shadow_height
from texture import bilinear, blur, fbm, film, grade, linear, mix, perlin, shrink, smoothstep, to_bytes
from trees import KINDS, LARGEST, small_fir
from water import Ripples, mirror

SIZE = (1200, 800)
EYE = 5.2
SUN = np.array([-0.84, -0.34, 0.235]) / np.linalg.norm([-0.84, -0.34, 0.235])
SUNLIGHT, SKYLIGHT = np.array([1.0, 0.64, 0.36]) * 2.7, np.array([0.40, 0.47, 0.74]) * 0.60
RIPPLES = Ripples(0.006, 0.016, 60.0, (3.2, 1.3, 0.55), (0.012, 0.040, 0.052), 0.02)
SEED_LAND = 400


def land(x, y):
    """Height of the ground above the sea: a headland on the left, the village's hill on the right."""
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    head = _headland(x, y)
    tongue = np.hypot((x + 52) / 1.1, (y - 228) * 1.0)
    skerries = 3.2 * fbm(x / 14, y / 14, SEED_LAND + 2, 4, ridge=True) - 2.6 + 3 * smoothstep(52, 28, tongue)
    rocks = np.where(np.hypot(x + 40, y - 218) < 60, skerries, -4)
    climb = np.clip((y - 103) * 0.34 + 0.05 * (x - 10), -4, 26) + 1.2 * fbm(x / 20, y / 20, SEED_LAND + 3, 3)
    hill = climb + 22 * smoothstep(150, 260, y + 0.4 * x) + 6 * fbm(x / 70, y / 70, SEED_LAND + 4, 4)
    hill = -5 + (hill + 5) * smoothstep(-6, 8, x - 0.10 * (y - 100) + 7 * fbm(x / 13, y / 13, SEED_LAND + 5, 4)) * (
        y > 100
    )
    isles = -40 + 330 * np.clip(fbm(x / 1500 + 4.3, y / 1700, SEED_LAND + 6, 5) + 0.16, 0, 1) * smoothstep(
        1700, 2600, y
    )
    return np.maximum(np.maximum(head, rocks), np.maximum(hill, np.where(y > 1500, isles + 40 * (isles > -40) - 1, -5)))


def _headland(x, y):
    """A table of rock; its wall climbs bed by bed, harder ones stand out."""
    edge = 11 * fbm(x / 38, y / 38, SEED_LAND, 3) + 4 * fbm(x / 20, y / 20, SEED_LAND + 8, 3, ridge=True)
    top = 25 + 3.0 * fbm(x / 60, y / 60, SEED_LAND + 1, 3) - 0.05 * (x + 57)
    distance = np.hypot((x + 96) / 1.15, (y - 240) / 0.8) + edge
    tongue = np.hypot((x + 56) / 1.25, y - 230) + 0.8 * edge
    cliff = np.maximum(smoothstep(70, 46, distance), smoothstep(36, 13, tongue))
    head = -4 + (top + 4) * cliff**0.6
    bed = head / 4.2 + 0.06 * x / 4.2 + 0.5 * fbm(x / 16, y / 16, SEED_LAND + 10, 2)
    step = 0.5 - np.cos(np.pi * smoothstep(0.25, 0.75, bed - np.floor(bed))) / 2
    return head + 0.55 * 4.2 * (np.floor(bed) + step - bed) * smoothstep(0.5, 5, top - head)


class Ground:
    """The land on a camera's columns."""

    def __init__(self, camera):
        self.depths = np.concatenate([np.geomspace(92, 420, 2000), np.geomspace(422, 6000, 500)]).astype(np.float32)
        _, aside = camera.tangents()
        self.x, self.y = self.depths[:, None] * aside, np.repeat(self.depths[:, None], camera.width, 1)
        self.z = land(self.x, self.y)
        crag = smoothstep(0.5, 3, self.z)
        self.z += crag * 0.55 * fbm(self.x / 2.6, self.y / 2.6, SEED_LAND + 9, 4, ridge=True)
        along = np.gradient(self.z, axis=0) / np.gradient(self.depths)[:, None]
        across = np.gradient(self.z, axis=1) / (self.depths[:, None] / camera.focal)
        normal = np.stack([-across, -(along - across * self.x / self.y), np.ones_like(self.z)], -1)
        self.normal = normal / np.linalg.norm(normal, axis=-1, keepdims=True)

    def colour(self, seed):
        """Return (D, W, 3): grass and gorse above, layered rock where it is steep, dark weed at the waterline."""
        x, y, z, steep = self.x, self.y, self.z, 1 - self.normal[..., 2]
        layers = fbm((x + y) / 60, z / 2.1 + 0.02 * x, seed + 1, 5)
        cracks = fbm((x + 0.6 * y) / 3.0, z / 9, seed + 2, 4, ridge=True)
        rock = mix(linear("#5a4a40"), linear("#b39a80"), np.clip(0.5 + 0.55 * layers + 0.3 * cracks, 0, 1))
        grass = mix(linear("#3f4a1f"), linear("#8a8438"), np.clip(0.5 + 0.7 * fbm(x / 7, y / 7, seed + 3, 5), 0, 1))
        bush = smoothstep(0.05, 0.3, fbm(x / 9, y / 9, seed + 4, 4))
        grass = mix(grass, linear("#22321a"), bush * 0.8)
        colour = mix(grass, rock, smoothstep(0.22, 0.45, steep + 0.1 * layers))
        colour = mix(colour, rock * 0.8, smoothstep(3.0, 1.5, z))
        return mix(colour, linear("#1c1a16"), smoothstep(1.0, 0.3, z + 0.3 * layers) * 0.85)


def sky(camera, seed):
    """Return (rows, W, 3): gold low on the left, rose and blue above, clouds lit from below."""
    up, aside = camera.tangents()
    up, aside = np.maximum(up, 0.0015)[:, None], aside[None, :]
    level = np.clip(up / 0.36, 0, 1) ** 0.62
    colour = mix(linear("#f6b684") * 1.3, linear("#d79c9c") * 1.0, smoothstep(0, 0.38, level) * np.ones_like(aside))
    colour = mix(colour, linear("#35709f") * 0.80, smoothstep(0.22, 1.0, level))
    glow = np.exp(-((aside + 0.62) ** 2) * 3.2 - up * 5.5)
    colour = colour + glow[..., None] * np.array([1.25, 0.62, 0.16]) * 1.2
    far = 1 / (up + 0.085)
    x, y = aside * far, far + 0 * aside
    bent_x, bent_y = x + 0.45 * fbm(x * 0.7, y * 0.7, seed + 30, 3), y + 0.45 * fbm(x * 0.7, y * 0.7, seed + 31, 3)
    density = fbm(bent_x * 0.62, bent_y * 1.0, seed + 32, 7) + 0.06
    toward = fbm(bent_x * 0.62 - 0.18, bent_y * 1.0 - 0.10, seed + 32, 5)
    near = fbm(bent_x * 0.62, bent_y * 1.0, seed + 32, 5)
    shade = np.clip(0.45 + 1.5 * (near - toward), 0, 1)
    warm = mix(
        np.array([1.7, 0.80, 0.42]), np.array([1.30, 0.70, 0.56]), smoothstep(-0.4, 0.5, aside) * np.ones_like(up)
    )
    cloud = mix(np.array([0.36, 0.31, 0.42]) * np.ones_like(warm), warm, shade)
    return mix(colour, cloud, smoothstep(-0.02, 0.5, density) * 0.92 * smoothstep(0.0, 0.08, up))


def air(light, distance):
    """Add the warm haze of the evening."""
    through = np.exp(-distance[..., None] / np.array([2600.0, 2100.0, 1700.0]))
    return light * through + np.array([0.98, 0.62, 0.48]) * (1 - through)


def _hash(*numbers):
    value = sum(np.asarray(n, np.float64) * k for n, k in zip(numbers, (12.9898, 78.233, 37.719, 94.673)))
    value = np.sin(value) * 43758.5453
    return (value - np.floor(value)).astype(np.float32)


class Surface:
    """Pixels that show faces: where they are, and the frames of their faces."""

    def __init__(self, faces, owner, depth, camera):
        self.rows, self.columns = np.nonzero(owner >= 0)
        self.face = owner[self.rows, self.columns]
        up, aside = camera.tangents()
        distance = depth[self.rows, self.columns]
        self.places = np.stack([distance * aside[self.columns], distance, camera.z + distance * up[self.rows]], -1)
        self.normal = np.array([f.normal for f in faces], np.float32)[self.face]
        self.colour = np.array([f.colour for f in faces], np.float32)[self.face]
        names = sorted({f.material for f in faces})
        self.material = np.array([names.index(f.material) for f in faces])[self.face]
        self.names = names
        self.thing = np.array([f.thing for f in faces])[self.face]
        foot = np.array([f.corners[:, 2].min() for f in faces], np.float32)[self.face]
        middle = np.array([f.corners.mean(0) for f in faces])
        span = np.array([_span(f) for f in faces], np.float32)
        along = np.array([_level(f.normal) for f in faces])
        self.u = ((self.places - middle[self.face]) * along[self.face]).sum(-1)  # metres along the wall from its middle
        self.v = self.places[:, 2] - foot
        self.wide, self.tall = span[self.face].T
        self.glow = np.zeros_like(self.colour)

    def of(self, *materials):
        return np.isin(self.material, [self.names.index(m) for m in materials if m in self.names])


def _level(normal):
    flat = np.array([-normal[1], normal[0], 0.0])
    return flat / (np.linalg.norm(flat) + 1e-9) if np.linalg.norm(flat) > 1e-6 else np.array([1.0, 0, 0])


def _span(face):
    along = face.corners @ _level(face.normal)
    corners_z = np.sort(face.corners[:, 2])
    return along.max() - along.min(), corners_z[len(corners_z) // 2] - corners_z[0]


def paint_walls(s, seed):
    """Plaster with stains and a darker foot; windows with frames, shutters and sills, some of them lit; doors."""
    w = s.of("wall", "tower")
    u, v, wide, tall, thing, face = s.u[w], s.v[w], s.wide[w], s.tall[w], s.thing[w], s.face[w]
    colour = s.colour[w] * (1 + 0.16 * fbm(u * 0.9 + 7.0 * thing, v * 0.6, seed + 1, 5))[:, None]
    streak = smoothstep(0.1, 0.7, fbm(u * 2.2 + 3.0 * thing, v * 0.22, seed + 2, 3))
    colour = colour * (1 - 0.28 * streak * smoothstep(0, 3, v))[:, None]
    colour = mix(colour, linear("#7d7264"), 0.75 * smoothstep(0.9, 0.75, v + 0.1 * perlin(u * 2, v * 2, seed + 3)))
    glow = np.zeros_like(colour)
    count = np.maximum(np.floor(wide / 2.3), 1)
    pitch = wide / count
    column = np.floor((u + wide / 2) / pitch)
    storey = np.floor((v - 0.3) / 2.75)
    du, dv = u + wide / 2 - (column + 0.5) * pitch, v - 0.3 - storey * 2.75 - 1.45
    fits = (wide > 1.6) & (storey >= 0) & ((storey + 1) * 2.75 < tall + 1.1) & (np.abs(u) < wide / 2 - 0.3)
    fits &= _hash(face, column, storey, 1.0) < 0.86
    door = fits & (storey == 0) & (np.floor(count / 2) == column)
    tint = _hash(thing, 3.0)
    shutter = mix(linear("#2f5d50"), linear("#34507a"), (tint > 0.5).astype(np.float32))
    shutter = np.where((tint > 0.8)[:, None], linear("#7a2f26"), shutter)
    pane = fits & (np.abs(du) < 0.46) & (np.abs(dv) < 0.68) & ~door
    frame = fits & (np.abs(du) < 0.58) & (np.abs(dv) < 0.80) & ~pane & ~door
    leaf = fits & (np.abs(du) >= 0.58) & (np.abs(du) < 1.02) & (np.abs(dv) < 0.76) & ~door & (pitch > 2.15)
    sill = fits & (np.abs(du) < 0.72) & (np.abs(dv + 0.86) < 0.07) & ~door
    bars = pane & ((np.abs(du) < 0.04) | (np.abs(dv - 0.15) < 0.04))
    lit = _hash(face, column, storey, 2.0) < 0.42
    warmth = 0.65 + 0.7 * _hash(face, column, storey, 5.0)
    curtain = 0.55 + 0.45 * smoothstep(-0.7, 0.6, dv) - 0.25 * smoothstep(0.2, 0.45, np.abs(du))
    colour = np.where(frame[:, None] | sill[:, None], linear("#e9e2d2"), colour)
    slats = 0.85 + 0.3 * ((dv / 0.11) % 1 > 0.5)
    colour = np.where(leaf[:, None], shutter * slats[:, None], colour)
    colour = np.where(pane[:, None], linear("#181c24"), colour)
    light = np.array([1.75, 0.72, 0.14]) * (warmth * curtain)[:, None]
    glow = np.where((pane & lit & ~bars)[:, None], light, glow)
    glow = np.where((pane & ~lit & ~bars)[:, None], np.array([0.05, 0.055, 0.09]), glow)
    colour = np.where(bars[:, None], linear("#d8d0c0"), colour)
    leafed = door & (np.abs(du) < 0.55) & (v < 2.3)
    colour = np.where(leafed[:, None], shutter * 0.8, colour)
    colour = np.where((door & ~leafed & (np.abs(du) < 0.72) & (v < 2.45))[:, None], linear("#cfc4ae"), colour)
    s.colour[w], s.glow[w] = colour, glow


def paint_rest(s, seed):
    """Tiles, stones, planks, slates, cloth."""
    w = s.of("roof")
    u, v = s.u[w], s.v[w]
    course = np.floor(v / 0.24)
    tile = np.floor(u / 0.34 + 0.5 * (course % 2))
    own = _hash(s.thing[w], course, tile)
    edge = smoothstep(0.0, 0.35, (v / 0.24) % 1) * (0.72 + 0.28 * np.sin(np.pi * ((u / 0.34 + 0.5 * (course % 2)) % 1)))
    moss = smoothstep(0.2, 0.6, fbm(u * 0.5 + 9.0 * s.thing[w], v * 0.7, seed + 5, 4))
    s.colour[w] = mix(
        s.colour[w] * ((0.70 + 0.6 * own) * (0.62 + 0.38 * edge))[:, None], linear("#6a6a3a"), 0.35 * moss
    )
    w = s.of("stone", "tower_round")
    course = np.floor(s.v[w] / 0.55)
    own = _hash(course, np.floor(s.u[w] / 1.1 + 0.5 * (course % 2)), s.thing[w])
    weather = fbm(s.places[w, 0] * 0.8, s.places[w, 2] * 0.5, seed + 6, 4)
    s.colour[w] *= (0.88 + 0.22 * own + 0.16 * weather)[:, None]
    wet = s.of("stone") & (s.places[:, 2] < 0.9)
    s.colour[wet] *= (0.35 + 0.65 * smoothstep(0.2, 0.9, s.places[wet, 2]))[:, None]
    w = s.of("wood", "deck")
    s.colour[w] *= (
        0.8
        + 0.35 * _hash(np.floor(s.places[w, 0] / 0.22), 1.0)
        + 0.2 * perlin(s.places[w, 0] * 9, s.places[w, 1], seed + 7)
    )[:, None]
    w = s.of("sail")
    seams = smoothstep(0.05, 0.0, np.abs((s.places[w, 2] / 0.95) % 1 - 0.5))
    s.colour[w] *= (1 - 0.22 * seams)[:, None]
    w = s.of("cabin")
    port = (np.abs(s.v[w] - 0.35) < 0.11) & (np.abs((s.u[w] / 0.7) % 1 - 0.5) < 0.25) & (np.abs(s.normal[w, 2]) < 0.5)
    s.glow[w] += np.where(port[:, None], np.array([1.6, 0.85, 0.3]), 0)
    w = s.of("lantern")
    s.glow[w] += np.array([5.5, 3.6, 1.5])
    w = s.of("lamp")
    s.glow[w] += np.array([4.5, 2.5, 0.9])


def light_faces(faces, owner, depth, camera, shadows, seed):
    """Return the light (n, 3) that each pixel with a face sends, and their rows and columns."""
    s = Surface(faces, owner, depth, camera)
    paint_walls(s, seed)
    paint_rest(s, seed)
    facing = np.clip(s.normal @ SUN.astype(np.float32), 0, 1)
    lit = shadows.lit(s.places + 0.15 * s.normal)
    ambient = 0.62 + 0.38 * s.normal[:, 2] - 0.12 * s.normal[:, 1]
    light = s.colour * ((facing * lit)[:, None] * SUNLIGHT + ambient[:, None] * SKYLIGHT)
    bounce = np.clip(-s.normal[:, 2] * 0.3 + 0.2, 0, 1) * smoothstep(6, 0, s.places[:, 2])
    light += s.colour * bounce[:, None] * np.array([0.7, 0.45, 0.3]) * 0.35
    cloth = s.of("sail")
    through = np.clip(-s.normal[cloth] @ SUN.astype(np.float32), 0, 1) + 0.15
    light[cloth] += s.colour[cloth] * through[:, None] * SUNLIGHT * 0.42  # sun from behind shines through
    return air(light + s.glow, s.places[:, 1]), s.rows, s.columns


def view(camera, ground, land_light, faces, shadows, seed):
    """Return what a camera sees, the water left out: light (rows, W, 3) and depth (rows, W)."""
    picture = sky(camera, seed)
    up, _ = camera.tangents()
    start = None if camera.z > 0 else -camera.z / np.maximum(up, 1e-6)  # where a mirrored ray leaves the water
    index = first_hits(np.where(ground.z > 0.12, ground.z, -np.inf), ground.depths, camera, start)
    rows, columns = np.nonzero(np.isfinite(index))
    at = index[rows, columns]
    depth = np.full(index.shape, np.inf, np.float32)
    depth[rows, columns] = np.interp(at, np.arange(len(ground.depths)), ground.depths)
    picture[rows, columns] = bilinear(land_light, at, columns.astype(np.float32))
    owner, near = seen_by(faces, camera)
    owner = np.where(near < depth, owner, -1)
    light, rows, columns = light_faces(faces, owner, near, camera, shadows, seed)
    picture[rows, columns] = light
    depth = np.where(owner >= 0, near, depth)
    picture = picture * nooks(depth)[..., None]
    trees(picture, depth, camera, seed)
    return picture, depth


def trees(picture, depth, camera, seed, count=170):
    """Firs and cypresses between the houses and on the hill, in place."""
    rng = np.random.default_rng([seed, 33])
    y = np.sort(rng.uniform(106, 205, count))[::-1]
    x = 4 + 0.06 * (y - 100) + rng.uniform(0, 0.62, count) * y
    tall, kinds = rng.uniform(4.0, 8.5, count), rng.integers(0, KINDS, count)
    z = land(x, y)
    for i in np.flatnonzero(z > 2):
        column, foot = camera.project(x[i], y[i], z[i] - 0.4)
        cover, shade = small_fir(int(kinds[i]), min(LARGEST, max(4, int(tall[i] / y[i] * camera.focal))))
        top, left = int(foot) - cover.shape[0], int(column - cover.shape[1] / 2)
        if top < 0 or left < 0 or left + cover.shape[1] > camera.width or foot >= camera.rows:
            continue
        box = slice(top, int(foot)), slice(left, left + cover.shape[1])
        green = linear("#3c4f22") * rng.uniform(0.7, 1.2)
        light = air((shade[..., None] * SUNLIGHT * 0.9 + SKYLIGHT) * green, np.full(cover.shape, y[i], np.float32))
        picture[box] += (light - picture[box]) * (cover * (depth[box] > y[i] - 1))[..., None]


def nooks(depth):
    """Darken what lies behind its neighbours (after Luft, Colditz and Deussen 2006)."""
    log = np.log(np.clip(depth, 10, 400)).astype(np.float32)
    size = depth.shape[0] / 110
    behind = np.clip(log - blur(log, size), 0, 0.12)
    return np.where(depth < 390, 1 - 2.6 * behind, 1).astype(np.float32)


def glare(picture):
    """Let what is very bright spill over, as in a lens."""
    bright = np.clip(picture - 1.15, 0, 6)
    rows = picture.shape[0]
    return (
        picture
        + 0.55 * blur(bright, rows * 0.004)
        + 0.35 * blur(bright, rows * 0.016)
        + 0.22 * blur(bright, rows * 0.06)
    )


GULLS = ((0.47, 0.24, 17), (0.515, 0.205, 13), (0.43, 0.30, 12), (0.555, 0.28, 10), (0.36, 0.17, 9), (0.60, 0.36, 7))


def gulls(picture, seed):
    """A few gulls over the water: two bent wings each, bright above and dark below."""
    rng = np.random.default_rng([seed, 31])
    rows, width = picture.shape[:2]
    for x, y, size in GULLS:
        span, tilt, lift = size * width / 1200, rng.normal(0, 0.25), rng.uniform(0.25, 0.5)
        t = np.linspace(-1, 1, 31)
        arc = np.abs(t) * (1 - 0.62 * np.abs(t)) * 1.9 * lift
        xs, ys = x * width + span * t, y * rows - span * arc + span * tilt * t
        thick = span * (0.10 * (1 - np.abs(t)) ** 0.7 + 0.10 * np.exp(-((t / 0.09) ** 2)) + 0.012)
        outline = np.concatenate([np.stack([xs, ys - thick], -1), np.stack([xs, ys + thick], -1)[::-1]])
        mask = np.zeros((rows, width), np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        alpha = mask[..., None].astype(np.float32) / 255
        picture += (np.array([0.30, 0.25, 0.28], np.float32) - picture) * alpha * 0.9


def light_land(ground, shadows, seed):
    """Return (D, W, 3) the light that the land sends, in the sun or in the shadow of itself and of the houses."""
    y, x = np.mgrid[0:420, 0:420].astype(np.float32)
    hidden = shadow_height(land(x - 190, y), 1.0, SUN)
    sun = np.clip(ground.normal @ SUN.astype(np.float32), 0, 1)
    sun *= smoothstep(-0.8, 0.8, ground.z - bilinear(hidden, ground.y, ground.x + 190))
    close = ground.depths < 260
    places = np.stack([ground.x[close], ground.y[close], ground.z[close] + 0.4], -1)
    sun[close] *= shadows.lit(places.reshape(-1, 3)).reshape(sun[close].shape)
    ambient = 0.55 + 0.45 * ground.normal[..., 2]
    light = ground.colour(seed) * (sun[..., None] * SUNLIGHT + ambient[..., None] * SKYLIGHT)
    return air(light, np.hypot(ground.x, ground.y))


def draw(seed=0, width=SIZE[0], oversampling=2):
    """Return (H, W, 3) uint8, the harbour."""
    height = width * SIZE[1] // SIZE[0]
    wide, rows = width * oversampling, height * oversampling
    camera = Camera(wide, rows, 1.15 * wide, 0.56 * rows, EYE)
    ground = Ground(camera)
    faces = build(lambda x, y: float(land(np.array([x]), np.array([y]))[0]), seed)
    shadows = ShadowMap([face for face in faces if face.material != "lamp"], SUN)
    land_light = light_land(ground, shadows, seed)
    picture, depth = view(camera, ground, land_light, faces, shadows, seed)
    below = camera._replace(z=-EYE, rows=int(camera.horizon))
    mirrored, _ = view(below, ground, land_light, faces, shadows, seed)
    sea = mirror(np.concatenate([mirrored, picture[len(mirrored) :]]), camera, RIPPLES, seed)
    up, _ = camera.tangents()
    water = (up < 0)[:, None] & (EYE / np.maximum(-up, 1e-9)[:, None] < depth)
    picture = np.where(water[..., None], sea, picture)
    gulls(picture, seed)
    picture = glare(picture)
    return to_bytes(grade(film(shrink(picture, width, height), 0.75), 1.12, 1.03))
