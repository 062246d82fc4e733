"""Augmentation for detection: flips, crops, colours; the boxes follow.

A picture is (H, W, 3) uint8, RGB; labels are (M, 5) float32, rows (class, xmin, ymin, xmax, ymax), fractions.
"""

from typing import Optional

import numpy as np

from gluonbook import _check
from gluonbook.data.pictures import GREY, resize
from gluonbook.detection.boxes import area

LEAST_LEFT = 0.3  # an object of which a crop shows less than this share is no longer labelled
CROPPED = 0.3  # share of the pictures; in a short training more crops cost more than they teach


def flip(picture: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirror a picture left to right; flipped twice, it is as it was.

    Returns:
        picture and labels, of the same shapes.
    """
    flipped = labels.copy()
    flipped[:, 1], flipped[:, 3] = 1 - labels[:, 3], 1 - labels[:, 1]
    return picture[:, ::-1], flipped


def crop(picture: np.ndarray, labels: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut a window out of a picture; boxes are cut with it.

    Args:
        picture: (H, W, 3) uint8.
        labels: (M, 5) float32.
        window: (4,) corners as fractions; widened to whole pixels.

    Returns:
        the window's pixels, and the labels of the objects of which it shows at least 0.3, as fractions of it.
    """
    height, width = picture.shape[:2]
    scale = np.array([width, height, width, height])
    pixels = np.concatenate([np.floor(window[:2] * scale[:2]), np.ceil(window[2:] * scale[2:])]).astype(int)
    left, top, right, bottom = pixels.clip(0, scale).tolist()
    low, high = np.array([left / width, top / height]), np.array([right / width, bottom / height])
    visible = labels.copy()
    visible[:, 1:3], visible[:, 3:5] = labels[:, 1:3].clip(low, high), labels[:, 3:5].clip(low, high)
    stays = area(visible[:, 1:]) >= LEAST_LEFT * area(labels[:, 1:])
    visible[:, 1:] = (visible[:, 1:] - np.tile(low, 2)) / np.tile(high - low, 2)
    visible[:, 1:] = visible[:, 1:].clip(0, 1)  # float32 may end a hair outside
    return picture[top:bottom, left:right], visible[stays & (area(visible[:, 1:]) > 0)]


def random_window(
    labels: np.ndarray,
    rng: np.random.Generator,
    min_object_covered: float = 0.75,
    min_area: float = 0.4,
    max_aspect: float = 1.8,
    max_attempts: int = 30,
) -> Optional[np.ndarray]:
    """Draw a window that shows at least one object well.

    Args:
        labels: (M, 5) float32; without objects every window will do.
        rng: where the random numbers come from.
        min_object_covered: share of some object that the window must show, from 0 to 1.
        min_area: smallest window, as a share of the picture, above 0, at most 1.
        max_aspect: longest side over shortest, as shares of the picture's, at least 1.
        max_attempts: windows to try.

    Returns:
        (4,) float64, corners as fractions; None where no window was found.

    Raises:
        ValueError: an argument is out of range.
    """
    _check.number("min_object_covered", min_object_covered, at_least=0, at_most=1)
    _check.number("min_area", min_area, above=0, at_most=1)
    _check.number("max_aspect", max_aspect, at_least=1)
    for _ in range(max_attempts):
        size, aspect = rng.uniform(min_area, 1), np.exp(rng.uniform(-1, 1) * np.log(max_aspect))
        sides = np.sqrt([size * aspect, size / aspect])
        if (sides > 1).any():
            continue
        low = rng.uniform(0, 1 - sides)
        window = np.concatenate([low, low + sides])
        if not len(labels) or _covered(labels[:, 1:], window).max() >= min_object_covered:
            return window
    return None


def _covered(boxes: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Return the share of each box inside a window, (M,)."""
    inside = np.concatenate([boxes[:, :2].clip(window[:2], window[2:]), boxes[:, 2:].clip(window[:2], window[2:])], 1)
    return area(inside) / area(boxes)


def change_colours(picture: np.ndarray, rng: np.random.Generator, strength: float = 0.2) -> np.ndarray:
    """Change brightness, contrast and saturation, each by a factor drawn from 1 − strength to 1 + strength.

    Args:
        picture: (H, W, 3) uint8.
        rng: where the random numbers come from.
        strength: from 0 to below 1; 0 changes nothing.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: the strength is out of range.
    """
    _check.number("strength", strength, at_least=0, below=1)
    brightness, contrast, saturation = rng.uniform(1 - strength, 1 + strength, 3).astype(np.float32)
    planes = picture.transpose(2, 0, 1).astype(np.float32, order="C")  # (3, H, W): three times as fast as (H, W, 3)
    planes *= brightness
    grey = sum(weight * plane for weight, plane in zip(np.array(GREY, np.float32), planes))  # (H, W)
    mean = grey.mean()
    for values in (planes, grey):
        values -= mean
        values *= contrast
        values += mean
    planes -= grey
    planes *= saturation
    planes += grey
    np.rint(np.minimum(np.maximum(planes, 0, out=planes), 255, out=planes), out=planes)
    changed = np.empty(picture.shape, np.uint8)
    changed.transpose(2, 0, 1)[...] = planes
    return changed


def augment(
    picture: np.ndarray, labels: np.ndarray, rng: np.random.Generator, size: Optional[int] = None
) -> tuple[np.ndarray, np.ndarray]:
    """Flip in half of the cases, crop in some, and change the colours: what training does to each picture.

    Args:
        picture: (H, W, 3) uint8.
        labels: (M, 5) float32.
        rng: where the random numbers come from.
        size: pixels of the square that the picture is squeezed to before its colours change; None leaves its size.

    Returns:
        picture, of another size unless ``size`` is given, and the labels of what it still shows.
    """
    picture, labels = reframe(picture, labels, rng)
    picture = picture if size is None else resize(picture, size)
    return change_colours(picture, rng), labels


def reframe(picture: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Flip in half of the cases and crop in some: the part of ``augment`` that moves boxes.

    Args:
        picture: (H, W, 3) uint8.
        labels: (M, 5) float32.
        rng: where the random numbers come from.

    Returns:
        picture, of another size where it was cropped, and the labels of what it still shows.
    """
    if rng.random() < 0.5:
        picture, labels = flip(picture, labels)
    if rng.random() < CROPPED:
        window = random_window(labels, rng)
        if window is not None:
            picture, labels = crop(picture, labels, window)
    return picture, labels
