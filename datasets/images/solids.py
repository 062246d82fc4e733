"""Things with flat faces, and a camera or a sun that sees them: a depth buffer of face numbers, shaded afterwards."""

from typing import NamedTuple

import numpy as np


class Face(NamedTuple):
    """A convex face: corners (n, 3), its outward normal, what it is made of, its colour, and which thing it is of."""

    corners: np.ndarray
    normal: np.ndarray
    material: str
    colour: np.ndarray
    thing: int


class Solids:
    """Faces gathered thing by thing."""

    def __init__(self):
        self.faces, self.thing = [], 0

    def add(self, corners, material, colour, normal=None):
        corners = np.asarray(corners, float)
        if normal is None:
            normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
            normal = normal / (np.linalg.norm(normal) + 1e-12)
        self.faces.append(Face(corners, np.asarray(normal), material, np.asarray(colour), self.thing))

    def box(self, at, size, material, colour, turn=0.0, top=None):
        """A box on a place (x, y, z of its foot's middle), turned about the vertical."""
        low = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * np.array(size[:2]) / 2
        low = low @ _turn(turn).T + np.array(at[:2])
        bottom, lid = (np.column_stack([low, np.full(4, z)]) for z in (at[2], at[2] + size[2]))
        for i in range(4):
            j = (i + 1) % 4
            self.add([bottom[i], bottom[j], lid[j], lid[i]], material, colour)
        self.add(lid, top or material, colour)

    def prism(self, profile, at, material, colours):
        """A body of revolution about a vertical axis: profile rows are (radius, z, colour number)."""
        sides = 40
        angle = np.linspace(0, 2 * np.pi, sides + 1)
        unit = np.stack([np.cos(angle), np.sin(angle)], -1)
        for (r0, z0, number), (r1, z1, _) in zip(profile, profile[1:]):
            for i in range(sides):
                corners = [
                    (at[0] + r * unit[k][0], at[1] + r * unit[k][1], at[2] + z)
                    for r, z, k in ((r0, z0, i), (r0, z0, i + 1), (r1, z1, i + 1), (r1, z1, i))
                ]
                middle = unit[i] + unit[i + 1]
                normal = np.array([*middle * (z1 - z0), (r0 - r1) * 2])
                self.add(corners, material, colours[number], normal / (np.linalg.norm(normal) + 1e-9))

    def rod(self, a, b, width, material, colour):
        """A thin bar between two places, as a flat strip that faces the camera's way."""
        a, b = np.asarray(a, float), np.asarray(b, float)
        along = b - a
        across = np.cross(along, (0, 1, 0))
        across *= width / 2 / (np.linalg.norm(across) + 1e-9)
        self.add([a - across, a + across, b + across, b - across], material, colour, (-0.5, -0.86, 0.1))

    def patch(self, grid, material, colour):
        """A curved sheet: grid (m, n, 3) of places, its faces' normals turned towards the camera."""
        for i in range(grid.shape[0] - 1):
            for j in range(grid.shape[1] - 1):
                corners = np.array([grid[i, j], grid[i + 1, j], grid[i + 1, j + 1], grid[i, j + 1]])
                normal = np.cross(corners[2] - corners[0], corners[3] - corners[1])
                if np.linalg.norm(normal) < 1e-9:
                    continue
                normal = normal / np.linalg.norm(normal)
                self.add(corners, material, colour, -normal if normal[1] > 0 else normal)


def _turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def rasterise(polygons, nearness, shape):
    """Find the nearest face of each pixel.

    Args:
        polygons: list of (n, 2), the faces' corners as column and row.
        nearness: list of (n,) that is linear across the picture and larger for what is nearer (1/depth, or -distance).
        shape: (rows, width).

    Returns:
        (rows, width) int32 number of the face, -1 where there is none, and (rows, width) its nearness, -inf.
    """
    owner, best = np.full(shape, -1, np.int32), np.full(shape, -np.inf, np.float32)
    for number, (polygon, near) in enumerate(zip(polygons, nearness)):
        low = np.maximum(np.floor(polygon.min(0)).astype(int), 0)
        high = np.minimum(np.ceil(polygon.max(0)).astype(int) + 1, (shape[1], shape[0]))
        if (low >= high).any():
            continue
        x = np.arange(low[0], high[0])[None, :] + 0.5
        y = np.arange(low[1], high[1])[:, None] + 0.5
        following = np.roll(polygon, -1, 0)
        area = (polygon[:, 0] * following[:, 1] - polygon[:, 1] * following[:, 0]).sum()
        if abs(area) < 1e-9:
            continue
        inside = np.ones((y.size, x.size), bool)
        for (ax, ay), (bx, by) in zip(polygon, following):
            inside &= ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * np.sign(area) >= 0
        plane = _plane(polygon, near)
        depth = plane[0] * x + plane[1] * y + plane[2]
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        closer = inside & (depth > best[rows, columns])
        best[rows, columns][closer] = depth[closer]
        owner[rows, columns][closer] = number
    return owner, best


def _plane(points, values):
    """Return a, b, c with value = a*x + b*y + c through the three corners that span most."""
    design = np.column_stack([points, np.ones(len(points))])
    if len(points) == 3:
        return np.linalg.solve(design + 1e-12 * np.eye(3), values)
    return np.linalg.lstsq(design, values, rcond=None)[0]


def above_water(corners):
    """Clip a face at z = 0 (Sutherland and Hodgman 1974); of one wholly below a point is left, that covers nothing."""
    z = corners[:, 2]
    if (z >= 0).all():
        return corners
    if (z <= 0).all():
        return corners[:1]
    kept = []
    for a, b in zip(corners, np.roll(corners, -1, 0)):
        if a[2] >= 0:
            kept.append(a)
        if (a[2] < 0) != (b[2] < 0):
            kept.append(a + (b - a) * (a[2] / (a[2] - b[2])))
    return np.array(kept)


def seen_by(faces, camera):
    """Rasterise faces for a camera; return the face numbers and the depths (rows, width), inf where there is none."""
    polygons, nearness = [], []
    for face in faces:
        x, y, z = above_water(face.corners).T
        polygons.append(np.stack(camera.project(x, y, z), -1))
        nearness.append(1 / y)
    owner, near = rasterise(polygons, nearness, (camera.rows, camera.width))
    return owner, np.where(owner >= 0, 1 / np.maximum(near, 1e-9), np.inf)


class ShadowMap:
    """What the sun sees of the faces, on a plane across its rays."""

    def __init__(self, faces, sun, cells=2600):
        side = np.cross(sun, (0, 0, 1.0))
        side /= np.linalg.norm(side)
        self.axes = np.stack([side, np.cross(side, sun), sun])  # (3, 3): columns, rows, towards the sun
        turned = [face.corners @ self.axes.T for face in faces]
        low = np.min([t.min(0) for t in turned], 0)
        high = np.max([t.max(0) for t in turned], 0)
        self.low, self.scale = low, cells / (high - low)[:2].max()
        polygons = [(t[:, :2] - low[:2]) * self.scale for t in turned]
        self.towards = rasterise(polygons, [t[:, 2] for t in turned], (cells, cells))[1]

    def lit(self, places, softness=1.5, bias=0.25):
        """Return the share of sun (...) that reaches places (..., 3): the mean over a few shifted looks."""
        turned = places @ self.axes.T
        total = np.zeros(places.shape[:-1], np.float32)
        shifts = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)]
        for a, b in shifts:
            column = np.clip((turned[..., 0] - self.low[0]) * self.scale + a * softness, 0, self.towards.shape[1] - 1)
            row = np.clip((turned[..., 1] - self.low[1]) * self.scale + b * softness, 0, self.towards.shape[0] - 1)
            total += self.towards[row.astype(int), column.astype(int)] < turned[..., 2] + bias
        return total / len(shifts)
