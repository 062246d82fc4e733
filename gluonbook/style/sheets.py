"""A contact sheet: every content in every style, with what went in along its edges."""

from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from gluonbook.data.pictures import resize
from gluonbook.style.pictures import fit_size

CELL = 320  # pixels of a cell's longer side
GAP = 8
GROUND = 255
MISSING = 230  # grey of a cell whose picture could not be made


def contact_sheet(
    contents: Sequence[Optional[np.ndarray]],
    styles: Sequence[Optional[np.ndarray]],
    results: Mapping[tuple[int, int], np.ndarray],
    cell: int = CELL,
) -> np.ndarray:
    """Lay out results in a row a content and a column a style, with the contents on the left and the styles on top.

    Args:
        contents, styles: (H, W, 3) uint8, RGB, each of its own size; None where one could not be read.
        results: by (number of the content, number of the style); one that is missing leaves a grey cell.
        cell: pixels of a cell's side.

    Returns:
        (H, W, 3) uint8, RGB.

    >>> red = np.full((4, 4, 3), [255, 0, 0], np.uint8)
    >>> contact_sheet([red], [red, red], {(0, 1): red}, cell=10).shape
    (44, 62, 3)
    """
    step = cell + GAP
    sheet = np.full((step * (len(contents) + 1) + GAP, step * (len(styles) + 1) + GAP, 3), GROUND, np.uint8)

    def put(row: int, column: int, picture: Any) -> None:
        place = sheet[GAP + row * step :, GAP + column * step :][:cell, :cell]
        if picture is None:
            place[:] = MISSING
            return
        smaller = resize(picture, fit_size(picture.shape, (cell, cell)))
        top, left = ((cell - side) // 2 for side in smaller.shape[:2])
        place[top : top + smaller.shape[0], left : left + smaller.shape[1]] = smaller

    for column, picture in enumerate(styles, 1):
        put(0, column, picture)
    for row, picture in enumerate(contents, 1):
        put(row, 0, picture)
        for column in range(1, len(styles) + 1):
            put(row, column, results.get((row - 1, column - 1)))
    return sheet
