"""Letterboxes: tables by hand, Darknet's own arithmetic, and boxes there and back."""

import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook.detection.letterboxing import as_input, from_bgr, letterbox, letterbox_boxes, unletterbox_boxes

sides = st.integers(1, 700)
sizes = st.integers(1, 700) | st.tuples(st.integers(1, 700), st.integers(1, 700))


def flat(height, width, value=7):
    return np.full((height, width, 3), value, np.uint8)


def darknet_place(shape, size):
    """Darknet's letterbox_image, its integers and floats as they are: (top, left, height, width)."""
    (imh, imw), (h, w) = shape, (size, size) if isinstance(size, int) else size
    if np.float32(w) / np.float32(imw) < np.float32(h) / np.float32(imh):
        new_w, new_h = w, imh * w // imw
    else:
        new_h, new_w = h, imw * h // imh
    return (h - new_h) // 2, (w - new_w) // 2, new_h, new_w


def inner_place(box, value=7):
    """Where a picture of one value lies in its letterbox."""
    rows, columns = np.nonzero((box == value).all(axis=2))
    return rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1


@pytest.mark.parametrize(
    ("shape", "size", "place"),
    [
        ((480, 640), 416, (52, 0, 312, 416)),  # 480 · 416 / 640 = 312, (416 − 312) / 2 = 52
        ((640, 480), 416, (0, 52, 416, 312)),
        ((5, 3), 10, (0, 2, 10, 6)),
        ((3, 10), 8, (3, 0, 2, 8)),  # 2.4 rows: 2
        ((2, 3), 10, (2, 0, 6, 10)),  # 6.7 rows: 6
        ((10, 10), (4, 8), (0, 2, 4, 4)),
        ((1, 1000), 8, (3, 0, 1, 8)),  # less than a row: one, and of 7 grey ones the greater half below
        ((1000, 1), 8, (0, 3, 8, 1)),
        ((8, 8), 8, (0, 0, 8, 8)),
        ((1, 1), 3, (0, 0, 3, 3)),
    ],
)
def test_where_the_picture_lies(shape, size, place):
    box = letterbox(flat(*shape), size)
    assert inner_place(box) == place
    top, left, height, width = place
    outside = np.ones(box.shape[:2], bool)
    outside[top : top + height, left : left + width] = False
    assert (box[outside] == 128).all()
    assert box.dtype == np.uint8
    assert box.shape == ((size, size, 3) if isinstance(size, int) else (*size, 3))


@settings(deadline=None)
@given(sides, sides, sizes)
def test_the_place_is_darknets(height, width, size):
    place = darknet_place((height, width), size)
    if min(place[2:]) == 0:  # Darknet makes an empty picture of it
        place = tuple(inner_place(letterbox(flat(height, width), size)))
        assert min(place[2:]) == 1
    assert inner_place(letterbox(flat(height, width), size)) == place


def test_the_picture_inside_is_the_resized_picture():
    picture = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    expected = cv2.resize(picture, (10, 15), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(letterbox(picture, 15)[:, 2:12], expected)


def test_a_picture_of_the_size_stays_and_is_not_shared():
    picture = flat(4, 6)
    box = letterbox(picture, (4, 6))
    np.testing.assert_array_equal(box, picture)
    assert not np.shares_memory(box, picture)


def test_boxes_by_hand():
    """A picture twice as wide as high fills the middle half of the rows; beside it, one twice as high."""
    boxes = [[0, 0, 1, 1], [0.5, 0.5, 1, 0.75], [0.25, 0, 0.5, 0.5]]
    assert letterbox_boxes(boxes, (100, 200), 64).tolist() == [
        [0, 0.25, 1, 0.75],
        [0.5, 0.5, 1, 0.625],
        [0.25, 0.25, 0.5, 0.5],
    ]
    assert letterbox_boxes(boxes, (200, 100, 3), 64).tolist() == [
        [0.25, 0, 0.75, 1],
        [0.5, 0.5, 0.75, 0.75],
        [0.375, 0, 0.5, 0.5],
    ]
    assert unletterbox_boxes([[0, 0, 1, 1]], (100, 200), 64).tolist() == [[0, -0.5, 1, 1.5]]


def test_boxes_use_the_whole_pixels_that_the_picture_got():
    """10 by 3 in 8 by 8: 2 rows from the third, where 2.4 from 2.8 would be the ratio's."""
    np.testing.assert_allclose(letterbox_boxes([0, 0, 1, 1], (3, 10), 8), [0, 3 / 8, 1, 5 / 8], rtol=1e-7)


@settings(deadline=None)
@given(sides, sides, sizes, st.integers(0, 2**32 - 1))
def test_boxes_come_back(height, width, size, seed):
    """Each way rounds once to float32; where the picture is thin in its letterbox, that weighs more on the way back."""
    boxes = np.random.default_rng(seed).uniform(0, 1, (3, 5, 4)).astype(np.float32)
    back = unletterbox_boxes(letterbox_boxes(boxes, (height, width), size), (height, width), size)
    place = inner_place(letterbox(flat(height, width), size))
    shape = np.array([size, size] if isinstance(size, int) else size)
    stretch = (shape / place[2:]).max()
    assert back.dtype == np.float32
    assert back.shape == boxes.shape
    np.testing.assert_allclose(back, boxes, rtol=0, atol=1.2e-7 * stretch)


@settings(deadline=None)
@given(sides, sides, sizes, st.integers(0, 2**32 - 1))
def test_boxes_of_a_letterbox_come_back(height, width, size, seed):
    boxes = np.random.default_rng(seed).uniform(0, 1, (5, 4)).astype(np.float32)
    there = unletterbox_boxes(boxes, (height, width), size)
    np.testing.assert_allclose(letterbox_boxes(there, (height, width), size), boxes, rtol=0, atol=2e-7)


@settings(deadline=None)
@given(st.integers(32, 128), st.integers(32, 128), st.integers(64, 300))
def test_a_drawn_rectangle_is_where_its_box_is(height, width, size):
    """The corners of a black quarter of the picture, found in the letterbox's pixels, are those of its box to one."""
    picture = flat(height, width, 255)
    picture[: height // 2, : width // 2] = 0
    box = np.array([0, 0, width // 2 / width, height // 2 / height])
    rows, columns = np.nonzero(letterbox(picture, size).max(axis=2) < 127)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert np.abs(letterbox_boxes(box, picture.shape, size) * size - found).max() <= 1


def test_no_boxes_stay_none():
    assert letterbox_boxes([], (3, 4), 8).shape == (0, 4)
    assert unletterbox_boxes(np.zeros((0, 4)), (3, 4), 8).shape == (0, 4)


def test_input_by_hand():
    """Two pictures of two rows and one column: channels come before rows, and 255 becomes 1."""
    pictures = np.array([[[[0, 51, 255]], [[1, 2, 3]]], [[[4, 5, 6]], [[7, 8, 9]]]], np.uint8)
    X = as_input(list(pictures))
    assert X.dtype == np.float32
    assert X.flags["C_CONTIGUOUS"]
    expected = [[[[0], [1]], [[51], [2]], [[255], [3]]], [[[4], [7]], [[5], [8]], [[6], [9]]]]
    np.testing.assert_array_equal(X, np.array(expected, np.float32) / np.float32(255))


def test_bgr_becomes_rgb_and_what_opencv_reads_is_what_pillow_reads(tmp_path):
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "noise.png")
    read = from_bgr(cv2.imread(str(tmp_path / "noise.png")))
    np.testing.assert_array_equal(read, picture)
    assert read.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(from_bgr(from_bgr(picture)), picture)


@pytest.mark.parametrize("function", [lambda p: letterbox(p, 8), from_bgr, lambda p: as_input([p])])
@pytest.mark.parametrize(
    ("picture", "error", "told"),
    [
        (np.zeros((4, 4, 3), np.float32), TypeError, "must be uint8, from 0 to 255, got dtype float32"),
        (np.zeros((4, 4), np.uint8), ValueError, "must have the shape (H, W, 3), got (4, 4)"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, "must have the shape (H, W, 3), got (4, 4, 4)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "must have at least one pixel, got shape (0, 4, 3)"),
        (np.zeros((4, 0, 3), np.uint8), ValueError, "must have at least one pixel, got shape (4, 0, 3)"),
    ],
)
def test_what_is_no_picture_is_refused(function, picture, error, told):
    with pytest.raises(error, match=r"picture(s\[0\])? " + re.escape(told)):
        function(picture)


@pytest.mark.parametrize(
    ("size", "error", "told"),
    [
        (0, ValueError, "size must be at least 1, got 0"),
        (1.5, TypeError, "size must be a whole number, got 1.5"),
        ((8, 0), ValueError, "size[1] must be at least 1, got 0"),
        ((0, 8), ValueError, "size[0] must be at least 1, got 0"),
        ((8, 8, 3), ValueError, "size must be a number of pixels or (height, width), got (8, 8, 3)"),
    ],
)
def test_what_is_no_size_is_refused(size, error, told):
    calls = [
        lambda: letterbox(flat(2, 2), size),
        lambda: letterbox_boxes([0, 0, 1, 1], (2, 2), size),
        lambda: unletterbox_boxes([0, 0, 1, 1], (2, 2), size),
    ]
    for call in calls:
        with pytest.raises(error, match=re.escape(told)):
            call()


@pytest.mark.parametrize("function", [letterbox_boxes, unletterbox_boxes])
def test_what_are_no_boxes_and_no_shape_is_refused(function):
    with pytest.raises(ValueError, match=re.escape("boxes must be boxes, (…, 4), got shape (1, 5)")):
        function([[0, 0, 0, 1, 1]], (2, 2), 8)
    with pytest.raises(ValueError, match=re.escape("shape must be the picture's, (H, W) or (H, W, 3), got 4")):
        function([0, 0, 1, 1], 4, 8)
    with pytest.raises(ValueError, match=re.escape("shape[1] must be at least 1, got 0")):
        function([0, 0, 1, 1], (2, 0), 8)
    with pytest.raises(ValueError, match=re.escape("shape[0] must be at least 1, got 0")):
        function([0, 0, 1, 1], (0, 2), 8)


def test_no_pictures_and_pictures_of_several_sizes_are_refused():
    with pytest.raises(ValueError, match="pictures must hold at least one picture, got none"):
        as_input([])
    with pytest.raises(ValueError, match=re.escape("got (2, 2, 3) and, at 1, (2, 3, 3): letterbox them")):
        as_input([flat(2, 2), flat(2, 3)])
