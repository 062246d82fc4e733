"""A contact sheet shows every picture in its place, whole and undistorted."""

import numpy as np
import pytest

from gluonbook.data.pictures import resize
from gluonbook.style.sheets import CELL, GAP, GROUND, MISSING, contact_sheet


def plain(colour, height=6, width=6):
    return np.full((height, width, 3), colour, np.uint8)


def cell_of(sheet, row, column, cell):
    top, left = GAP + row * (cell + GAP), GAP + column * (cell + GAP)
    return sheet[top : top + cell, left : left + cell]


def test_a_sheet_by_hand():
    """Two contents on the left, three styles on top, each result where its row and column meet."""
    contents = [plain([10 * row] * 3) for row in (1, 2)]
    styles = [plain([0, 0, 50 * column]) for column in (1, 2, 3)]
    results = {(row, column): plain([200, 10 * row, 10 * column]) for row in range(2) for column in range(3)}
    sheet = contact_sheet(contents, styles, results, cell=12)
    assert (sheet.shape, sheet.dtype) == ((8 + 3 * 20, 8 + 4 * 20, 3), np.uint8)
    assert (cell_of(sheet, 0, 0, 12) == GROUND).all()
    for row in range(2):
        assert (cell_of(sheet, row + 1, 0, 12) == [10 * (row + 1)] * 3).all()
        for column in range(3):
            assert (cell_of(sheet, row + 1, column + 1, 12) == [200, 10 * row, 10 * column]).all()
    for column in range(3):
        assert (cell_of(sheet, 0, column + 1, 12) == [0, 0, 50 * (column + 1)]).all()


def test_between_the_cells_is_the_ground():
    sheet = contact_sheet([plain(0)] * 2, [plain(0)], {(0, 0): plain(0), (1, 0): plain(0)}, cell=10)
    gaps = np.ones(sheet.shape[:2], bool)
    for row in range(3):
        for column in range(2):
            cell_of(gaps, row, column, 10)[:] = False
    assert (sheet[gaps] == GROUND).all()
    assert (sheet == 0).all(2).sum() == 5 * 100  # all cells but the corner


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(30, 60, slice(5, 15), slice(0, 20)), (60, 30, slice(0, 20), slice(5, 15)), (10, 41, slice(7, 12), slice(0, 20))],
)
def test_a_picture_keeps_its_aspect_in_the_middle_of_its_cell(height, width, rows, columns):
    """10 by 41 becomes 5 by 20: seven rows above, eight below."""
    for sheet, place in (
        (contact_sheet([plain(9, height, width)], [plain(0)], {}, cell=20), (1, 0)),
        (contact_sheet([plain(0)], [plain(9, height, width)], {}, cell=20), (0, 1)),
        (contact_sheet([plain(0)], [plain(0)], {(0, 0): plain(9, height, width)}, cell=20), (1, 1)),
    ):
        expected = np.full((20, 20, 3), GROUND, np.uint8)
        expected[rows, columns] = 9
        np.testing.assert_array_equal(cell_of(sheet, *place, 20), expected)


def test_a_picture_is_shown_whole_and_the_right_way_round():
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    sheet = contact_sheet([picture], [plain(0)], {}, cell=30)
    np.testing.assert_array_equal(cell_of(sheet, 1, 0, 30)[5:25], resize(picture, (20, 30)))


def test_what_is_missing_is_grey():
    sheet = contact_sheet([plain(0), None], [None, plain(0)], {(0, 1): plain(7)}, cell=10)
    for place in ((2, 0), (0, 1), (1, 1), (2, 1), (2, 2)):
        assert (cell_of(sheet, *place, 10) == MISSING).all()
    assert (cell_of(sheet, 1, 2, 10) == 7).all()
    assert (sheet == MISSING).all(2).sum() == 5 * 100
    assert 0 < MISSING < GROUND


def test_the_pictures_are_not_changed_and_cells_are_320_pixels():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    before = picture.copy()
    sheet = contact_sheet([picture], [picture], {(0, 0): picture})
    np.testing.assert_array_equal(picture, before)
    assert sheet.shape == (2 * (320 + GAP) + GAP, 2 * (320 + GAP) + GAP, 3)
    assert CELL == 320


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (2, 0), (0, 3)])
def test_a_sheet_of_nothing_has_its_size_all_the_same(rows, columns):
    sheet = contact_sheet([plain(0)] * rows, [plain(0)] * columns, {}, cell=10)
    assert sheet.shape == (8 + 18 * (rows + 1), 8 + 18 * (columns + 1), 3)
    assert (sheet == 0).all(2).sum() == 100 * (rows + columns)
