"""Pictures before and after a transfer: their size at a stage, their colours, and how a result is written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import gluonbook
from gluonbook import _files

FORMATS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")  # that a result may have, by its name's end
METADATA = "gluonbook"  # the key of a PNG's text chunk


def fit_size(shape: tuple[int, ...], box: tuple[int, int], stretch: bool = False) -> tuple[int, int]:
    """Return (height, width) of a picture as large as fits into a box.

    Args:
        shape: (H, W, …) of the picture.
        box: (width, height) in pixels.
        stretch: give up the picture's aspect ratio and take the whole box.

    >>> fit_size((427, 640, 3), (300, 200)), fit_size((427, 640, 3), (100, 200)), fit_size((4, 4), (9, 6), stretch=True)
    ((200, 300), (67, 100), (6, 9))
    """
    height, width = shape[:2]
    if stretch:
        return box[1], box[0]
    scale = min(box[0] / width, box[1] / height)
    return max(round(height * scale), 1), max(round(width * scale), 1)


def enlarge(X: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (H', W', 3) float32 at a larger size (H, W), by cubics: straight lines would leave a lattice."""
    import cv2

    return np.asarray(cv2.resize(np.ascontiguousarray(X), size[::-1], interpolation=cv2.INTER_CUBIC))


def same_area(shape: tuple[int, ...], height: int, width: int, least: int) -> tuple[int, int]:
    """Return (height, width) of a picture scaled to as many pixels as another has, no side below ``least``."""
    scale = max((height * width / (shape[0] * shape[1])) ** 0.5, least / min(shape[:2]))
    return max(round(shape[0] * scale), least), max(round(shape[1] * scale), least)


def luminance(picture: np.ndarray) -> np.ndarray:
    """Return a picture without its colours, (H, W, 3) uint8."""
    import cv2

    return np.asarray(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def match_luminance(style: np.ndarray, content: np.ndarray) -> np.ndarray:
    """Return a style's luminance with mean and deviation of the content's (Gatys et al. 2016, preserving color, eq. 4).

    Args:
        style: (H', W', 3) uint8, RGB.
        content: (H, W, 3) uint8, RGB.

    Returns:
        (H', W', 3) uint8, grey.
    """
    own, wanted = (luminance(picture).astype(np.float32) for picture in (style, content))
    matched = (own - own.mean()) * (wanted.std() / max(own.std(), 1.0)) + wanted.mean()
    return np.asarray(matched.round().clip(0, 255).astype(np.uint8))


def recolour(picture: np.ndarray, content: np.ndarray) -> np.ndarray:
    """Return a picture's luminance with the content's colours, all (H, W, 3) uint8, RGB."""
    import cv2

    light, colours = (cv2.cvtColor(part, cv2.COLOR_RGB2YCrCb) for part in (picture, content))
    return np.asarray(cv2.cvtColor(np.dstack([light[..., :1], colours[..., 1:]]), cv2.COLOR_YCrCb2RGB))


def write_picture(path: _files.PathLike, picture: np.ndarray, settings: Mapping[str, Any]) -> None:
    """Write a picture, whole or not at all; a PNG holds the settings that made it, as JSON under ``gluonbook``."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    with _files.replacing(path) as neighbour:
        how: dict[str, Any] = {"quality": 92}
        if Path(path).suffix.lower() == ".png":
            text = PngInfo()
            text.add_itxt("Software", f"gluonbook {gluonbook.__version__}")
            text.add_itxt(METADATA, json.dumps(dict(settings), ensure_ascii=False))
            how = {"pnginfo": text}
        Image.fromarray(picture).save(neighbour, **how)


def read_settings(path: _files.PathLike) -> dict[str, Any]:
    """Return the settings that a PNG was made with; empty where it holds none or is no picture."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()  # text may stand behind the pixels
            found = json.loads(image.info.get(METADATA, "{}"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return {}
    return found if isinstance(found, dict) else {}
