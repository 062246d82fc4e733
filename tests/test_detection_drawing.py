"""Boxes drawn into a picture: each pixel at its place, all others as they were, each label whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook.detection import draw_detections
from gluonbook.plot import COLORS

CLASSES = ("cat", "dog", "hen", "fox", "cow", "owl")
GREY = 90
UP_TO = 400  # pixels of the shorter side up to which text has its smallest size


def grey(height, width):
    return np.full((height, width, 3), GREY, np.uint8)


def noise(height, width):
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rgb(kind):
    return [int(COLORS[kind % 5][i : i + 2], 16) for i in (1, 3, 5)]


def draw(picture, *rows, classes=CLASSES):
    return draw_detections(picture, np.array(rows, np.float32).reshape(-1, 6), classes)


def ring(height, width, left, top, right, bottom, line):
    """The (H, W) mask of an outline whose outer edges are at the corners and that is ``line`` pixels wide."""
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = True
    mask[top + line : bottom - line, left + line : right - line] = False
    return mask


def label(text, kind=0):
    """The label's pixels as they are drawn where there is room."""
    drawn = draw(grey(UP_TO, UP_TO), (kind, 0.5, 0.1, 0.5, 0.9, 0.9), classes=[text] * 6)
    changed = (drawn[:200] != GREY).any(-1)  # the box begins at row 200, column 40
    rows, columns = changed.any(1).nonzero()[0], changed.any(0).nonzero()[0]
    return drawn[rows[0] : 200, 40 : columns[-1] + 1]


def holds(picture, part):
    """Say whether a part is somewhere in a picture, whole."""
    if any(side < own for side, own in zip(picture.shape, part.shape)):
        return False
    windows = np.lib.stride_tricks.sliding_window_view(picture, part.shape)
    return bool((windows == part).all((-1, -2, -3)).any())


# Boxes


def test_a_box_is_drawn_at_its_place_with_its_label_above_and_nothing_else_changes():
    picture = noise(100, 200)
    drawn = draw(picture, (1, 0.9, 0.2, 0.6, 0.8, 0.9))
    outline = ring(100, 200, 40, 60, 160, 90, line=2)  # 0.2·200, 0.6·100, 0.8·200, 0.9·100
    assert (drawn[outline] == rgb(1)).all()
    changed = (drawn != picture).any(-1) & ~outline
    rows, columns = changed.any(1).nonzero()[0], changed.any(0).nonzero()[0]
    assert (rows[-1], columns[0]) == (59, 40)  # the label stands on the box's upper left corner
    assert rows[0] > 35
    assert columns[-1] < 120


def test_a_box_on_the_left_is_no_box_on_the_right_or_below():
    """Axes swapped or mirrored would move it."""
    drawn = draw(grey(100, 200), (0, 0.9, 0.0, 0.5, 0.1, 0.75))
    outline = ring(100, 200, 0, 50, 20, 75, line=2)
    assert (drawn[outline] == rgb(0)).all()
    assert (drawn[75:] == GREY).all()
    assert (drawn[:, 100:] == GREY).all()


def test_the_whole_pictures_box_is_its_rim():
    drawn = draw(grey(100, 200), (0, 0.9, 0, 0, 1, 1))
    right_and_below = ring(100, 200, 0, 0, 200, 100, line=2)
    right_and_below[:50, :100] = False  # there is the label
    assert (drawn[right_and_below] == rgb(0)).all()
    assert (drawn[50:98, 2:198] == GREY).all()


@pytest.mark.parametrize(("shorter", "line"), [(100, 2), (600, 2), (1000, 4), (2000, 8)])
def test_lines_grow_with_the_picture(shorter, line):
    drawn = draw(grey(shorter, shorter + 100), (0, 0.9, 0.1, 0.5, 0.9, 0.9))
    column = (drawn[shorter // 2 : shorter * 7 // 10, shorter // 2] == rgb(0)).all(-1)
    assert column.sum() == line


def test_text_grows_with_the_picture():
    heights = []
    for shorter in (200, 400, 800, 1600):
        changed = (draw(grey(shorter, shorter), (0, 0.9, 0.1, 0.5, 0.9, 0.9))[: shorter // 2] != GREY).any((1, 2))
        heights.append(int(changed.sum()))
    assert heights[0] == heights[1] < heights[2]
    assert heights[3] == pytest.approx(2 * heights[2], rel=0.2)


@settings(max_examples=50, deadline=None)
@given(st.integers(30, 90), st.integers(80, 120), st.tuples(*[st.floats(0, 1)] * 4))
def test_pixels_outside_the_box_and_its_label_are_the_pictures_own(height, width, corners):
    x, y = sorted(corners[::2]), sorted(corners[1::2])
    picture = noise(height, width)
    drawn = draw(picture, (2, 0.5, x[0], y[0], x[1], y[1]))
    left, top, right, bottom = (round(v * s) for v, s in zip((x[0], y[0], x[1], y[1]), (width, height) * 2))
    tall, wide = label("hen").shape[:2]
    may_change = np.zeros((height, width), bool)
    may_change[top : max(bottom, top + 1), left : max(right, left + 1)] = True
    upper, leftmost = max(min(top, height) - tall, 0), max(min(left, width - wide), 0)
    may_change[upper : upper + 2 * tall, leftmost : leftmost + wide] = True
    assert (drawn == picture)[~may_change].all()


@settings(max_examples=50, deadline=None)
@given(st.integers(40, 90), st.integers(60, 120), st.tuples(*[st.floats(0, 1)] * 4), st.integers(0, 5))
def test_labels_stay_whole_inside_the_picture(height, width, corners, kind):
    x, y = sorted(corners[::2]), sorted(corners[1::2])
    drawn = draw(noise(height, width), (kind, 0.5, x[0], y[0], x[1], y[1]), classes=["hen"] * 6)
    assert holds(drawn, label("hen", kind))


@pytest.mark.parametrize("height", [20, 25, 30])
@pytest.mark.parametrize("top", [0, 0.3, 0.5, 0.9, 1])
def test_labels_stay_whole_in_a_picture_that_is_hardly_higher(height, top):
    assert label("hen").shape[0] <= 20
    assert holds(draw(noise(height, 80), (0, 0.5, 0.2, top, 0.7, 1)), label("cat"))


def test_a_label_that_is_longer_than_the_picture_begins_at_its_left_edge():
    long = "a very long name of a class"
    drawn = draw(grey(60, 60), (0, 0.5, 0.5, 0.8, 1, 1), classes=[long])
    part = label(long)
    assert part.shape[1] > 60
    top = 48 - len(part)  # 0.8·60
    np.testing.assert_array_equal(drawn[top:48], part[:, :60])


@pytest.mark.parametrize(("thick", "filled"), [(0, 1), (1, 1), (2, 2), (3, 3), (4, 4)])
def test_a_box_that_is_thinner_than_its_line_is_filled(thick, filled):
    drawn = draw(grey(1000, 1000), (0, 0.9, 0.1, 0.5, 0.9, 0.5 + thick / 1000))  # its line would have 4 pixels
    rows = (drawn[:, 800] != GREY).any(-1).nonzero()[0]
    assert rows.tolist() == list(range(500, 500 + filled))


@pytest.mark.parametrize("top", [0, 5, 12])
def test_a_label_without_room_above_its_box_begins_at_the_pictures_upper_edge(top):
    drawn = draw(grey(100, 100), (0, 0.5, 0.1, top / 100, 0.9, 0.9))
    part = label("cat")
    assert len(part) > top
    np.testing.assert_array_equal(drawn[: len(part), 10 : 10 + part.shape[1]], part)


# Classes, scores, order


def test_a_class_has_its_own_colour_of_five():
    drawn = [draw(grey(50, 50), (kind, 0.9, 0.1, 0.6, 0.9, 0.9))[44, 25].tolist() for kind in range(6)]
    assert drawn == [rgb(kind) for kind in range(6)]
    assert len({tuple(colour) for colour in drawn}) == 5


def test_the_best_is_drawn_on_top():
    box = (0.1, 0.5, 0.9, 0.9)
    both = draw(grey(100, 100), (3, 0.9, *box), (0, 0.6, *box))
    alone = draw(grey(100, 100), (3, 0.9, *box))
    np.testing.assert_array_equal(both[50:], alone[50:])
    assert holds(both, label("fox", 3)) is False  # which has the score 0.5
    assert (both[51, 11] == rgb(3)).all()


def test_the_label_says_class_and_score_to_two_digits():
    row = (0.1, 0.5, 0.9, 0.9)
    pictures = [draw(grey(100, 100), (0, score, *row)) for score in (0.88, 0.876, 0.884, 0.87)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])
    assert (pictures[0] != pictures[3]).any()
    other = draw(grey(100, 100), (0, 0.88, *row), classes=("cut",))
    assert (pictures[0] != other).any()


def test_chinese_names_are_drawn_and_not_as_empty_boxes():
    names = ["气", "球", "鱼", "茶", "壶", "猫", "\ue000", "\ue001"]  # the last two are of no font
    drawn = [draw(grey(100, 100), (0, 0.5, 0.1, 0.5, 0.9, 0.9), classes=[name]).tobytes() for name in names]
    assert drawn[-1] == drawn[-2]
    assert len(set(drawn)) == 7


# The picture


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (200, 3), (1, 70), (7, 7), (60, 80)])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (0.2, 0.3, 0.6, 0.9), (1, 1, 1, 1), (0, 0, 0, 0), (0.5, 0.5, 0.5, 0.5)])
def test_a_picture_of_any_size_takes_any_box(shape, box):
    drawn = draw(noise(*shape), (0, 0.5, *box))
    assert (drawn.shape, drawn.dtype) == ((*shape, 3), np.uint8)
    assert (drawn != noise(*shape)).any()


def test_nothing_found_is_the_same_picture():
    picture = noise(30, 40)
    np.testing.assert_array_equal(draw(picture), picture)


@pytest.mark.parametrize("rows", [[], [(0, 0.5, 0.2, 0.2, 0.8, 0.8)]])
def test_the_result_is_a_new_picture_that_can_be_drawn_into(rows):
    picture = noise(30, 40)
    before = picture.copy()
    drawn = draw(picture, *rows)
    drawn[:] = 0
    np.testing.assert_array_equal(picture, before)


def test_views_are_drawn_into_as_their_copies_are():
    mirrored = noise(60, 80)[:, ::-1]
    row = (0, 0.5, 0.2, 0.2, 0.8, 0.8)
    np.testing.assert_array_equal(draw(mirrored, row), draw(mirrored.copy(), row))
