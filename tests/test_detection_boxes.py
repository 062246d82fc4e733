"""Boxes: corners and centres, areas, intersection over union, clipping, against pixels that are counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook._mxnet import nd
from gluonbook.detection import area, center_to_corner, check_boxes, clip, corner_to_center, iou

GRID = 8  # corners on eighths are exact in float32
FUNCTIONS = pytest.mark.parametrize("function", [area, center_to_corner, clip, corner_to_center])

fractions = st.floats(0, 1, width=32)
boxes = st.lists(st.tuples(fractions, fractions, fractions, fractions), min_size=1, max_size=6).map(
    lambda rows: np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in rows], np.float32)
)


@st.composite
def grid_boxes(draw):
    """One to five boxes with corners on the lines of a GRID x GRID raster; some are empty."""
    rows = draw(st.lists(st.tuples(*[st.integers(0, GRID)] * 4), min_size=1, max_size=5))
    return [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rows]


def pixels(box):
    """Return the set of raster cells in a box."""
    xmin, ymin, xmax, ymax = box
    return {(x, y) for x in range(xmin, xmax) for y in range(ymin, ymax)}


def as_fractions(rows):
    return np.array(rows, np.float32) / GRID


def test_corners_and_centres_by_hand():
    corners = [[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 1.0, 0.5]]
    centers = [[0.5, 0.75, 0.5, 0.5], [0.5, 0.25, 1.0, 0.5]]
    assert corner_to_center(corners).tolist() == centers
    assert center_to_corner(centers).tolist() == corners


@settings(deadline=None)
@given(boxes)
def test_centres_and_corners_are_inverse(rows):
    np.testing.assert_allclose(center_to_corner(corner_to_center(rows)), rows, rtol=0, atol=2e-7)  # three roundings
    np.testing.assert_allclose(corner_to_center(center_to_corner(rows)), rows, rtol=0, atol=2e-7)


@settings(deadline=None)
@given(grid_boxes())
def test_the_area_is_the_count_of_pixels(rows):
    assert area(as_fractions(rows)).tolist() == [len(pixels(box)) / GRID**2 for box in rows]


@pytest.mark.parametrize("box", [(0.5, 0, 0.25, 1), (0, 0.5, 1, 0.25), (0.5, 0.5, 0.25, 0.25), (0.5, 0, 0.5, 1)])
def test_an_inverted_or_empty_box_has_no_area(box):
    assert area([box]).tolist() == [0]


@settings(deadline=None)
@given(grid_boxes(), grid_boxes())
def test_iou_is_the_count_of_shared_pixels_over_the_count_of_all(rows, others):
    expected = np.zeros((len(rows), len(others)), np.float32)
    for i, box in enumerate(rows):
        for j, other in enumerate(others):
            a, b = pixels(box), pixels(other)
            expected[i, j] = np.float32(len(a & b)) / np.float32(max(len(a | b), 1))
    assert iou(as_fractions(rows), as_fractions(others)).tolist() == expected.tolist()


@settings(deadline=None)
@given(boxes, boxes)
def test_iou_is_symmetric_and_from_0_to_1(rows, others):
    overlaps = iou(rows, others)
    assert overlaps.shape == (len(rows), len(others))
    assert overlaps.dtype == np.float32
    assert overlaps.min() >= 0
    assert overlaps.max() <= 1
    np.testing.assert_array_equal(overlaps, iou(others, rows).T)


@settings(deadline=None)
@given(boxes)
def test_iou_of_a_box_with_itself_is_1_unless_it_is_empty(rows):
    np.testing.assert_array_equal(np.diag(iou(rows, rows)), (area(rows) > 0).astype(np.float32))


def test_iou_by_hand():
    """Half of a square, a square beside it, and one that shares a quarter: 1/2, 0, 1/4 ÷ (1/2 + 1/2 − 1/4)."""
    overlaps = iou([[0, 0, 0.5, 1]], [[0, 0, 1, 1], [0.5, 0, 1, 1], [0.25, 0, 0.75, 1]])
    assert overlaps.tolist() == [[0.5, 0, np.float32(0.25) / np.float32(0.75)]]


def test_iou_of_boxes_apart_on_both_axes_is_0():
    """Two negative sides must not make a positive area."""
    assert iou([[0, 0, 0.25, 0.25]], [[0.5, 0.5, 1, 1]]).tolist() == [[0]]


@pytest.mark.filterwarnings("error")
def test_iou_of_empty_boxes_is_0_without_a_warning():
    point = [[0.5, 0.5, 0.5, 0.5]]
    assert iou(point, point).tolist() == [[0]]


@pytest.mark.parametrize(("first", "second", "shape"), [(0, 2, (0, 2)), (2, 0, (2, 0)), (0, 0, (0, 0))])
def test_iou_with_no_boxes_is_an_empty_matrix(first, second, shape):
    assert iou([[0, 0, 1, 1]] * first, [[0, 0, 1, 1]] * second).shape == shape


@pytest.mark.parametrize("place", ["boxes", "others"])
def test_iou_takes_rows_of_boxes_only(place):
    given = {"boxes": [[0, 0, 1, 1]], "others": [[0, 0, 1, 1]], place: np.zeros((2, 3, 4))}
    with pytest.raises(ValueError, match=rf"^{place} must have the shape \(any, 4\), got \(2, 3, 4\)$"):
        iou(**given)


def test_clip_by_hand():
    rows = [[-0.5, 0.25, 0.5, 1.5], [0.25, 0.25, 0.5, 0.5], [1.5, -2, 3, -1]]
    assert clip(rows).tolist() == [[0, 0.25, 0.5, 1], [0.25, 0.25, 0.5, 0.5], [1, 0, 1, 0]]


@FUNCTIONS
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 4), (2, 0, 4)])
def test_any_leading_shape_is_taken(function, shape):
    rows = np.random.default_rng(0).uniform(-1, 2, shape)
    result = function(rows)
    assert result.dtype == np.float32
    assert result.shape == (shape[:-1] if function is area else shape)
    single = np.array([function(row) for row in rows.reshape(-1, 4)], np.float32)
    np.testing.assert_array_equal(result.ravel(), single.ravel())


@FUNCTIONS
def test_lists_and_nd_arrays_are_taken_and_not_changed(function):
    rows = np.array([[-0.5, 0.25, 0.5, 1.5]], np.float32)
    expected = function(rows.tolist())
    np.testing.assert_array_equal(function(nd.array(rows)), expected)
    np.testing.assert_array_equal(function(rows), expected)
    assert rows.tolist() == [[-0.5, 0.25, 0.5, 1.5]]


@FUNCTIONS
def test_an_empty_list_is_no_boxes(function):
    assert function([]).shape == ((0,) if function is area else (0, 4))


@FUNCTIONS
def test_what_is_no_box_is_refused(function):
    with pytest.raises(ValueError, match=r"^boxes must be boxes, \(…, 4\), got shape \(2, 5\)$"):
        function(np.zeros((2, 5)))


def test_check_boxes_is_public():
    with pytest.raises(ValueError, match=r"^picture 0, row 0: box \(0.5, 0, 0.25, 1\) is inverted"):
        check_boxes([[0.5, 0, 0.25, 1]])
