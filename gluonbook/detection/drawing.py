"""Detections drawn into a picture at its own size."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gluonbook import _files
from gluonbook.plot import COLORS

FINEST_LINE, FINEST_TEXT = 2, 12  # pixels
LINE_SHARE, TEXT_SHARE = 1 / 250, 1 / 32  # of the picture's shorter side


def draw_detections(picture: np.ndarray, rows: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Draw each detection's box, class and score, the best on top.

    Args:
        picture: (H, W, 3) uint8, RGB.
        rows: (k, 6), rows (class, score, xmin, ymin, xmax, ymax), corners as fractions, by falling score.
        classes: K names; each has a colour of its own, of five.

    Returns:
        (H, W, 3) uint8, a new picture.
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    canvas = ImageDraw.Draw(image)
    height, width = picture.shape[:2]
    shorter = min(height, width)
    line = min(max(FINEST_LINE, round(shorter * LINE_SHARE)), max(shorter // 8, 1))
    font = _font(max(FINEST_TEXT, round(shorter * TEXT_SHARE)))
    for kind, score, *box in rows[::-1].tolist():
        colour = COLORS[int(kind) % len(COLORS)]
        left, top, right, bottom = (round(value * side) for value, side in zip(box, (width, height) * 2))
        how: dict[str, Any] = {"outline": colour, "width": line}
        if min(right - left, bottom - top) < 2 * line:  # Pillow's outline would reach beyond the box
            how = {"fill": colour}
        canvas.rectangle([left, top, max(right - 1, left), max(bottom - 1, top)], **how)
        _label(canvas, f"{classes[int(kind)]} {score:.2f}", left, top, colour, font, (width, height))
    return np.array(image)


def _label(canvas: Any, text: str, left: int, top: int, colour: str, font: Any, sides: Any) -> None:
    """Write a label on a ground of the box's colour, above the box where there is room, always inside the picture."""
    low_x, low_y, high_x, high_y = canvas.textbbox((0, 0), text, font=font)
    pad = 2
    wide, tall = high_x - low_x + 2 * pad, high_y - low_y + 2 * pad
    x, y = (max(min(low, side - own), 0) for low, side, own in zip((left, top - tall), sides, (wide, tall)))
    canvas.rectangle([x, y, x + wide - 1, y + tall - 1], fill=colour)
    canvas.text((x + pad - low_x, y + pad - low_y), text, fill="white", font=font)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(str(_files.packaged("datasets") / "fonts" / "gluonbook-cjk.otf"), size)
