"""The embedded detection set: drawn objects of three classes on photographs and drawn backgrounds, from a seed.

Every picture has its own random numbers, so picture 7 is the same whether it is drawn alone or among a thousand.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gluonbook import _check
from gluonbook.data import shapes

CLASSES = ("balloon", "fish", "teapot")
DRAW = (shapes.balloon, shapes.fish, shapes.teapot)  # in their order
VERSION = 1  # of the drawing: another one gives other pictures from the same seed
SPLITS = ("train", "val")
SIZE = 256  # pixels, of a square picture
OVERSAMPLING = 3
SMALLEST, LARGEST = 0.25, 0.75  # longest side of an object, as a share of the picture's
MIN_VISIBLE = 0.7  # share of an object that other objects leave, and then of that what things in front leave
DOG_HEIGHT = 0.8  # of the scene's
MIN_INSIDE, FEWEST_PIXELS = 0.8, 40  # share of an object inside the picture, and its pixels there


class Scene(NamedTuple):
    """A drawn picture and its objects.

    Attributes:
        picture: (H, W, 3) uint8, RGB.
        labels: (M, 5) float32, rows (class, xmin, ymin, xmax, ymax): an index into ``CLASSES``, and the visible part's
            box as fractions of the picture.
    """

    picture: np.ndarray
    labels: np.ndarray


def scene(split: str, index: int, seed: int = 0, size: int = SIZE) -> Scene:
    """Draw one picture of the embedded detection set.

    Args:
        split: ``"train"`` or ``"val"``; they show different parts of the photographs.
        index: which picture, at least 0.
        seed: of the whole set, at least 0.
        size: pixels of a side, at least 32.

    Returns:
        Scene, of one to three objects.

    Raises:
        ValueError: an argument is out of range.
    """
    _check.choice("split", split, SPLITS)
    index, seed = _check.integer("index", index, at_least=0), _check.integer("seed", seed, at_least=0)
    size = _check.integer("size", size, at_least=32)
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    canvas = _background(rng, split, size)
    for _ in range(rng.integers(0, 3)):
        canvas = _paste(canvas, _patch(shapes.distractor(rng), rng, size, rng.uniform(0.06, 0.3)))[0]
    wanted = rng.integers(1, 4)
    classes: list[int] = []
    while not classes:
        canvas, classes, masks = _place_objects(canvas, rng, size, wanted)
    whole = [mask.sum() for mask in masks]
    for _ in range(rng.integers(0, 2)):
        covered, hidden = _paste(canvas, _patch(shapes.occluder(rng), rng, size, rng.uniform(0.15, 0.5)))
        left = [mask & ~hidden for mask in masks]
        if all(mask.sum() >= MIN_VISIBLE * area for mask, area in zip(left, whole)):
            canvas, masks = covered, left
    labels = [(kind, *_box(mask)) for kind, mask in zip(classes, masks)]
    noisy = canvas + rng.uniform(0, 0.03) * rng.standard_normal(canvas.shape, np.float32)
    return Scene((noisy.clip(0, 1) * 255).round().astype(np.uint8), np.array(labels, np.float32))


def dog_scene(height: int = 300, width: int = 400) -> Scene:
    """Draw a dog that sits on a meadow, the scene of the notes' anchors: its box is about square, 4/5 of the height.

    Args:
        height, width: of the picture, in pixels, at least 32.

    Returns:
        Scene with one object, of class 0, whose centre is the picture's.
    """
    height = _check.integer("height", height, at_least=32)
    width = _check.integer("width", width, at_least=32)
    y = np.linspace(0, 1, height)[:, None, None]
    sky, grass = np.array([0.62, 0.8, 0.93]), np.array([0.42, 0.62, 0.3])
    meadow = np.where(y < 0.6, sky + 0.1 * y, grass * (1.3 - 0.5 * y)).clip(0, 1)  # (H, 1, 3)
    canvas = np.broadcast_to(meadow, (height, width, 3)).astype(np.float32)
    dog = _rasterise(shapes.dog(), DOG_HEIGHT * height, np.array([width, height]) / 2, light=0.06)
    canvas, mask = _paste(canvas, dog)
    return Scene((canvas * 255).round().astype(np.uint8), np.array([(0, *_box(mask))], np.float32))


def _place_objects(
    canvas: np.ndarray, rng: np.random.Generator, size: int, wanted: int
) -> tuple[np.ndarray, list[int], list[np.ndarray]]:
    """Paste up to ``wanted`` objects; each stays visible enough, and no two share most of their place."""
    classes: list[int] = []
    masks: list[np.ndarray] = []
    whole: list[int] = []
    for _ in range(wanted * 3):
        if len(classes) == wanted:
            break
        kind = int(rng.integers(len(CLASSES)))
        share = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
        patch = _patch(DRAW[kind](rng), rng, size, share)
        pasted, mask = _paste(canvas, patch)
        left = [other & ~mask for other in masks]
        enough = mask.sum() >= max(MIN_INSIDE * patch.area, FEWEST_PIXELS)
        if enough and all(now.sum() >= MIN_VISIBLE * area for now, area in zip(left, whole)):
            canvas, masks = pasted, [*left, mask]
            classes.append(kind)
            whole.append(int(mask.sum()))
    return canvas, classes, masks


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Return the box around a mask's pixels, as fractions."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = mask.shape
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


class _Patch(NamedTuple):
    """A drawn thing as it lies in a picture: colours (h, w, 3) and cover (h, w) from 0 to 1, at (top, left)."""

    colour: np.ndarray
    cover: np.ndarray
    top: int
    left: int
    area: int  # pixels that it covers, those outside of the picture included


def _patch(layers: list[shapes.Layer], rng: np.random.Generator, size: int, share: float) -> _Patch:
    """Draw layers turned, mirrored, stretched, somewhere in a picture; ``share`` is the longest side."""
    angle = rng.normal(0, 0.3)
    stretch = np.exp(rng.normal(0, 0.12))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    change = turn @ np.diag([stretch * rng.choice([-1, 1]), 1 / stretch])  # (2, 2)
    turned = [(outline @ change.T, colour) for outline, colour in layers]
    return _rasterise(turned, share * size, rng.uniform(0, 1, 2) * size, light=rng.uniform(0, 0.25))


def _rasterise(layers: list[shapes.Layer], longest: float, centre: np.ndarray, light: float) -> _Patch:
    """Draw layers about a centre (x, y), ``longest`` pixels long; ``light`` brightens above and darkens below."""
    from PIL import Image, ImageDraw

    points = np.concatenate([outline for outline, _ in layers])
    low, high = points.min(0), points.max(0)
    scale = longest / (high - low).max()
    width, height = (int(side) + 2 for side in np.ceil((high - low) * scale))
    drawn = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING))
    cover = Image.new("L", drawn.size)
    for outline, colour in layers:
        pixels = [tuple(p) for p in (((outline - low) * scale + 1) * OVERSAMPLING).tolist()]
        ImageDraw.Draw(drawn).polygon(pixels, fill=tuple(int(255 * part) for part in colour))
        ImageDraw.Draw(cover).polygon(pixels, fill=255)
    alpha = np.asarray(cover.reduce(OVERSAMPLING), np.float32) / 255  # (h, w)
    # Divided by the cover, so that the edge has no black rim.
    colours = np.asarray(drawn.reduce(OVERSAMPLING), np.float32) / 255 / np.maximum(alpha, 1 / 255)[..., None]
    shade = 1 + light * np.linspace(1, -1, height, dtype=np.float32)[:, None, None]
    top, left = int(centre[1] - height / 2), int(centre[0] - width / 2)
    return _Patch((colours * shade).clip(0, 1), alpha, top, left, int((alpha > 0.5).sum()))


def _paste(canvas: np.ndarray, patch: _Patch) -> tuple[np.ndarray, np.ndarray]:
    """Lay a patch over a canvas; return the new one and the (H, W) mask of what it hides."""
    height, width = patch.cover.shape
    rows = slice(max(patch.top, 0), min(patch.top + height, canvas.shape[0]))
    columns = slice(max(patch.left, 0), min(patch.left + width, canvas.shape[1]))
    part = (
        slice(rows.start - patch.top, rows.stop - patch.top),
        slice(columns.start - patch.left, columns.stop - patch.left),
    )
    alpha = patch.cover[part][..., None]  # (h, w, 1)
    canvas, mask = canvas.copy(), np.zeros(canvas.shape[:2], bool)
    canvas[rows, columns] = canvas[rows, columns] * (1 - alpha) + patch.colour[part] * alpha
    mask[rows, columns] = alpha[..., 0] > 0.5
    return canvas, mask


def _background(rng: np.random.Generator, split: str, size: int) -> np.ndarray:
    """Return (H, W, 3) from 0 to 1: a part of a photograph, or something drawn."""
    picture = _photo_part(rng, split, size) if rng.random() < 0.6 else _drawn_background(rng, size)
    gain, shift = rng.uniform(0.7, 1.15, 3), rng.uniform(-0.08, 0.08, 3)
    return (picture * gain + shift).clip(0, 1).astype(np.float32)


@lru_cache(maxsize=1)
def _photographs() -> tuple[Any, ...]:
    from PIL import Image
    from sklearn.datasets import load_sample_image

    return tuple(Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg"))


def _photo_part(rng: np.random.Generator, split: str, size: int) -> np.ndarray:
    """Cut a square from a photograph, turned and mirrored: validation from its right third, training from the rest."""
    from PIL import Image

    photo = _photographs()[rng.integers(2)]
    border = photo.width * 2 // 3
    left, right = (0, border) if split == "train" else (border, photo.width)
    side = rng.uniform(0.35, 1.0) * min(photo.height, right - left)
    x, y = rng.uniform(left, right - side), rng.uniform(0, photo.height - side)
    part = photo.resize((size, size), Image.Resampling.BILINEAR, box=(x, y, x + side, y + side))
    pixels = np.rot90(np.asarray(part, np.float32) / 255, rng.integers(4))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def _drawn_background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Blend two colours along clouds, waves or a slope."""
    one, two = (np.array(colour) * rng.uniform(0.4, 1) for colour in shapes.palette(rng, 2))
    y, x = np.mgrid[0:size, 0:size] / size
    kind = rng.integers(3)
    if kind == 0:
        blend = _clouds(rng, size)
    elif kind == 1:
        angle, frequency = rng.uniform(0, np.pi), rng.uniform(3, 25)
        blend = 0.5 + 0.5 * np.sin(frequency * (x * np.cos(angle) + y * np.sin(angle)) + 4 * _clouds(rng, size))
    else:
        blend = (y + 0.25 * _clouds(rng, size)).clip(0, 1)
    return one * blend[..., None] + two * (1 - blend[..., None])


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return (H, W) smooth noise from 0 to 1: grids of random values, each finer and fainter than the one before."""
    from PIL import Image

    total = np.zeros((size, size))
    for octave in range(2, 6):
        grid = rng.random((2**octave, 2**octave)).astype(np.float32)
        total += np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)) / 2**octave
    low, high = total.min(), total.max()
    return (total - low) / (high - low)
