"""Arguments are refused with their name, their value and what would be right."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonbook import _check
from gluonbook._mxnet import nd


@pytest.mark.parametrize("value", [3, np.int32(3), np.int64(3), np.uint8(3)])
def test_whole_numbers_become_ints(value):
    result = _check.integer("n", value, at_least=0, at_most=3)
    assert result == 3
    assert type(result) is int


def test_a_large_numpy_integer_keeps_its_last_digit():
    assert _check.integer("n", np.int64(2**53 + 1), at_least=0) == 2**53 + 1


@pytest.mark.parametrize("value", [3.0, "3", True, None, np.bool_(True), [3]])
def test_what_is_no_whole_number_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^n must be a whole number, got .+ \(\w+\)$"):
        _check.integer("n", value, at_least=0)


@pytest.mark.parametrize("value", [0, 5, -(10**400), 10**400], ids=["below", "above", "far below", "far above"])
def test_a_whole_number_out_of_range_is_refused_with_the_range(value):
    with pytest.raises(ValueError, match=r"^n must be at least 1 and at most 4, got -?\d+$"):
        _check.integer("n", value, at_least=1, at_most=4)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.float64(0.5), np.int64(1)])
def test_numbers_keep_their_value(value):
    assert _check.number("x", value, above=0, at_most=1) == value


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-1, {"at_least": 0}, "x must be at least 0, got -1"),
        (2, {"at_most": 1}, "x must be at most 1, got 2"),
        (0, {"above": 0}, "x must be above 0, got 0"),
        (1.0, {"at_least": 0, "below": 1}, "x must be at least 0 and below 1, got 1.0"),
        (float("nan"), {}, "x must be finite, got nan"),
        (float("inf"), {"above": 0}, "x must be above 0, got inf"),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_the_bounds(value, bounds, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        _check.number("x", value, **bounds)


@pytest.mark.parametrize(
    ("value", "bounds"),
    [(0, {"at_least": 0}), (1, {"at_most": 1}), (1e-9, {"above": 0}), (1 - 1e-9, {"below": 1})],
)
def test_bounds_are_closed_or_open_as_they_say(value, bounds):
    assert _check.number("x", value, **bounds) == value


@pytest.mark.parametrize("value", ["1", None, True, 1j])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="x must be a number, got"):
        _check.number("x", value)


def test_a_choice_is_one_of_those_allowed():
    assert _check.choice("cell", "gru", ("rnn", "gru")) == "gru"
    with pytest.raises(ValueError, match=r"^cell must be one of rnn, gru; got 'lstm'$"):
        _check.choice("cell", "lstm", ("rnn", "gru"))


@pytest.mark.parametrize(
    "values",
    [[0, 2, 1], (0, 2, 1), np.array([0, 2, 1], "uint8"), np.array([0.0, 2.0, 1.0]), nd.array([0, 2, 1])],
    ids=["list", "tuple", "uint8", "float64", "nd"],
)
def test_indices_of_any_kind_become_int32(values):
    row = _check.indices("corpus", values, below=3)
    assert row.tolist() == [0, 2, 1]
    assert row.dtype == np.int32


def test_no_indices_are_an_empty_row():
    assert _check.indices("corpus", []).shape == (0,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 3, 5], r"corpus\[1\] must be from 0 to 2, got 3"),
        ([0, 1, -1], r"corpus\[2\] must be from 0 to 2, got -1"),
        ([[0, 1]], r"corpus must be one row of indices, \(L,\), got shape \(1, 2\)"),
        (7, r"corpus must be one row of indices, \(L,\), got shape \(\)"),
    ],
)
def test_a_bad_index_is_named_with_its_position(values, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        _check.indices("corpus", values, below=3)


@pytest.mark.parametrize("value", [-1, 2**31 - 1, 2**40, float("inf")])
def test_an_index_that_int32_cannot_count_is_refused(value):
    with pytest.raises(ValueError, match=r"corpus\[0\] must be"):
        _check.indices("corpus", [value])


@pytest.mark.parametrize("values", [["a"], [0.5], [float("nan")], [True], [None]])
def test_indices_must_be_whole_numbers(values):
    with pytest.raises(TypeError, match="corpus must hold whole numbers, got"):
        _check.indices("corpus", values)


@given(length=st.integers(1, 60), num_rows=st.integers(1, 9))
def test_rows_hold_the_row_in_order_less_what_is_left_over(length, num_rows):
    values = np.arange(length)
    if length // num_rows < 1:
        with pytest.raises(ValueError, match=f"need {num_rows} tokens, got {length}"):
            _check.as_rows("corpus", values, num_rows, at_least=1)
    else:
        rows = _check.as_rows("corpus", values, num_rows, at_least=1)
        assert rows.shape == (num_rows, length // num_rows)
        assert rows.ravel().tolist() == values[: rows.size].tolist()


def test_rows_that_would_be_too_short_are_refused_with_both_lengths():
    with pytest.raises(
        ValueError, match="corpus is too short for one batch: 2 rows of at least 6 need 12 tokens, got 11"
    ):
        _check.as_rows("corpus", range(11), 2, at_least=6)
    assert _check.as_rows("corpus", range(12), 2, at_least=6).shape == (2, 6)


def test_the_number_of_rows_is_called_batch_size():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        _check.as_rows("corpus", range(11), 0, at_least=1)


@pytest.mark.parametrize(
    "value",
    [[[1, 2], [3, 4]], ((1, 2), (3, 4)), np.array([[1, 2], [3, 4]], "uint8"), nd.array([[1, 2], [3, 4]])],
    ids=["list", "tuple", "uint8", "nd"],
)
def test_arrays_of_any_kind_become_float32(value):
    array = _check.as_array("x", value, 2, None)
    assert array.tolist() == [[1, 2], [3, 4]]
    assert array.dtype == np.float32


def test_an_array_of_any_shape_is_taken_where_none_is_asked_for():
    assert _check.as_array("x", 3).shape == ()
    assert _check.as_array("x", np.zeros((2, 0, 3))).shape == (2, 0, 3)


@pytest.mark.parametrize(
    ("value", "shape", "message"),
    [
        (np.zeros((2, 3)), (2, 4), "x must have the shape (2, 4), got (2, 3)"),
        (np.zeros((2, 3)), (None, 4), "x must have the shape (any, 4), got (2, 3)"),
        (np.zeros((2, 3)), (2, 3, None), "x must have the shape (2, 3, any), got (2, 3)"),
        (np.zeros((2, 3)), (None,), "x must have the shape (any), got (2, 3)"),
        (np.zeros((0, 3)), (1, 3), "x must have the shape (1, 3), got (0, 3)"),
        (7, (None, 4), "x must have the shape (any, 4), got ()"),
    ],
)
def test_an_array_of_another_shape_is_refused(value, shape, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _check.as_array("x", value, *shape)


@pytest.mark.parametrize("value", ["boxes", {"xmin": 0}, object(), [[1, 2], [3]], ["a", "b"]])
def test_what_holds_no_numbers_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^x must be an array of numbers, got .{1,80}$"):
        _check.as_array("x", value)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (0, 4), (2, 0, 4)])
def test_boxes_have_four_corners_and_any_leading_shape(shape):
    assert _check.as_boxes("boxes", np.zeros(shape)).shape == shape


def test_an_empty_list_is_no_boxes():
    assert _check.as_boxes("boxes", []).shape == (0, 4)


@pytest.mark.parametrize(
    ("value", "shape"), [(7, "()"), ([1, 2, 3], "(3,)"), (np.zeros((4, 5)), "(4, 5)"), ([[]], "(1, 0)")]
)
def test_what_is_no_boxes_is_refused_with_its_shape(value, shape):
    with pytest.raises(ValueError, match=rf"^boxes must be boxes, \(…, 4\), got shape {re.escape(shape)}$"):
        _check.as_boxes("boxes", value)


@pytest.mark.parametrize("boxes", [[], [[0, 0, 1, 1]], [[[0, 0, 0.1, 1]], [[0.5, 0.25, 1, 0.75]]], np.zeros((3, 0, 4))])
def test_right_boxes_pass(boxes):
    assert _check.check_boxes(boxes) is None


BAD_BOXES = [
    ([0.6, 0.2, 0.5, 0.4], "box (0.6, 0.2, 0.5, 0.4) is inverted: xmax must be above xmin"),
    ([0.1, 0.4, 0.5, 0.2], "box (0.1, 0.4, 0.5, 0.2) is inverted: ymax must be above ymin"),
    ([0.5, 0.2, 0.5, 0.4], "box (0.5, 0.2, 0.5, 0.4) is empty: xmax must be above xmin"),
    ([0.1, 0.4, 0.5, 0.4], "box (0.1, 0.4, 0.5, 0.4) is empty: ymax must be above ymin"),
    ([0.5, 0.5, 0.2, 0.2], "box (0.5, 0.5, 0.2, 0.2) is inverted: xmax must be above xmin"),
    ([0.1, 0.2, 0.3, float("nan")], "box (0.1, 0.2, 0.3, nan) is not finite"),
    ([-float("inf"), 0.2, 0.3, 0.4], "box (-inf, 0.2, 0.3, 0.4) is not finite"),
    ([-0.1, 0.2, 0.3, 0.4], "box (-0.1, 0.2, 0.3, 0.4) is out of range: corners must be fractions of the picture"),
    ([0.1, 0.2, 0.3, 1.25], "box (0.1, 0.2, 0.3, 1.25) is out of range: corners must be fractions of the picture"),
    ([10, 20, 300, 400], "box (10, 20, 300, 400) is out of range: corners must be fractions of the picture"),
]


@pytest.mark.parametrize(("box", "message"), BAD_BOXES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_wrong_box_is_refused_with_picture_row_and_value(box, message):
    batch = np.tile(np.array([0, 0, 1, 1], np.float32), (2, 3, 1))
    batch[1, 2] = box
    with pytest.raises(ValueError, match=f"^picture 1, row 2: {re.escape(message)}"):
        _check.check_boxes(batch)
    with pytest.raises(ValueError, match=f"^picture cat.jpg, row 2: {re.escape(message)}"):
        _check.check_boxes(batch, ["dog.jpg", "cat.jpg"])
    with pytest.raises(ValueError, match=f"^picture 0, row 2: {re.escape(message)}"):
        _check.check_boxes(batch[1])


def test_the_first_wrong_box_is_told():
    with pytest.raises(ValueError, match=r"^picture 0, row 1: box .* is empty"):
        _check.check_boxes([[[0, 0, 1, 1], [0, 0, 0, 1]], [[1, 0, 0, 1], [0, 0, 1, 1]]])


def test_boxes_of_pictures_of_pictures_are_refused():
    with pytest.raises(ValueError, match=r"^boxes must have the shape \(any, any, 4\), got \(1, 1, 1, 4\)$"):
        _check.check_boxes([[[[0, 0, 1, 1]]]])


def labelled(*kinds):
    return np.array([[kind, 0, 0, 0.5, 1] for kind in kinds], np.float32).reshape(-1, 5)


@pytest.mark.parametrize(("kinds", "num_classes"), [((), 1), ((0,), 1), ((0, 2, 1), 3), ((0, 10**6), None)])
def test_right_labels_pass(kinds, num_classes):
    assert _check.check_labels(labelled(*kinds), num_classes, "dog.jpg") is None


@pytest.mark.parametrize(
    ("kind", "num_classes", "message"),
    [
        (3, 3, "class must be a whole number from 0 to 2, got 3"),
        (-1, 3, "class must be a whole number from 0 to 2, got -1"),
        (0.5, 3, "class must be a whole number from 0 to 2, got 0.5"),
        (np.nan, 3, "class must be a whole number from 0 to 2, got nan"),
        (-1, None, "class must be a whole number at least 0, got -1"),
        (1.5, None, "class must be a whole number at least 0, got 1.5"),
        (np.nan, None, "class must be a whole number at least 0, got nan"),
        (np.inf, None, "class must be a whole number at least 0, got inf"),
    ],
)
def test_a_class_that_is_none_is_refused_with_picture_and_row(kind, num_classes, message):
    with pytest.raises(ValueError, match=f"^picture dog.jpg, row 1: {re.escape(message)}$"):
        _check.check_labels(labelled(0, kind, 0), num_classes, "dog.jpg")


@pytest.mark.parametrize(("box", "message"), BAD_BOXES[:1] + BAD_BOXES[-1:])
def test_the_box_of_a_label_is_checked_too(box, message):
    labels = labelled(0, 1)
    labels[1, 1:] = box
    with pytest.raises(ValueError, match=f"^picture dog.jpg, row 1: {re.escape(message)}"):
        _check.check_labels(labels, 2, "dog.jpg")


@pytest.mark.parametrize(
    "value",
    [(60, 45, 378, 516), [60.0, 45.0, 378.0, 516.0], np.array([60, 45, 378, 516]), nd.array([60, 45, 378, 516])],
    ids=["tuple", "list", "int64", "nd"],
)
def test_a_rectangle_of_any_kind_becomes_float32(value):
    box = _check.as_rectangle("bbox", value)
    assert box.tolist() == [60, 45, 378, 516]
    assert box.dtype == np.float32


@pytest.mark.parametrize(
    "value", [[-7, -9, 1e6, 2e6], [3, 1, 3, 2], [1, 3, 2, 3], [0, 0, 0, 0], [-3e38, -3e38, 3e38, 3e38]]
)
def test_a_rectangle_may_have_any_unit_and_no_width_or_height(value):
    np.testing.assert_array_equal(_check.as_rectangle("bbox", value), np.float32(value))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([5, 2, 3, 4], "bboxes[3]: box (5, 2, 3, 4) is inverted: xmax must be above xmin"),
        ([1, 4, 3, 2], "bboxes[3]: box (1, 4, 3, 2) is inverted: ymax must be above ymin"),
        ([1, 4, 1, 2], "bboxes[3]: box (1, 4, 1, 2) is inverted: ymax must be above ymin"),  # no width is no fault
        ([5, 4, 3, 4], "bboxes[3]: box (5, 4, 3, 4) is inverted: xmax must be above xmin"),
        ([3, 4, 1, 2], "bboxes[3]: box (3, 4, 1, 2) is inverted: xmax must be above xmin"),
        ([0, 0, np.nan, 1], "bboxes[3]: box (0, 0, nan, 1) is not finite"),
        ([np.inf, 0, 1, 1], "bboxes[3]: box (inf, 0, 1, 1) is not finite"),
        ([0, -np.inf, 1, 1], "bboxes[3]: box (0, -inf, 1, 1) is not finite"),
        ([1, 2, 3], "bboxes[3] must have the shape (4), got (3,)"),
        ([[1, 2, 3, 4]], "bboxes[3] must have the shape (4), got (1, 4)"),
        (7, "bboxes[3] must have the shape (4), got ()"),
    ],
)
def test_what_is_no_rectangle_is_refused_with_its_value(value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _check.as_rectangle("bboxes[3]", value)


def test_a_rectangle_of_words_is_a_type_error():
    with pytest.raises(TypeError, match=r"^bbox must be an array of numbers, got \['a', 'b', 'c', 'd'\]$"):
        _check.as_rectangle("bbox", list("abcd"))


def test_a_box_that_is_both_empty_and_inverted_is_called_inverted():
    with pytest.raises(ValueError, match=r"^picture 0, row 0: box .* is inverted: ymax must be above ymin$"):
        _check.check_boxes([[0.5, 0.4, 0.5, 0.2]])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_keep_their_type_and_are_copied(dtype):
    array = np.array([[1, 2], [3, 4]], dtype)
    floats = _check.as_floats("W", array, 2, None)
    assert floats.dtype == dtype
    array[:] = 9
    assert floats.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("value", [[[1, 2]], ((1, 2),), np.array([[1, 2]]), np.array([[1, 2]], "uint8"), [[1.0, 2]]])
def test_what_is_no_floating_array_becomes_float64(value):
    floats = _check.as_floats("W", value, None, 2)
    assert floats.tolist() == [[1, 2]]
    assert floats.dtype == np.float64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_are_read_from_mxnets_arrays(dtype):
    floats = _check.as_floats("W", nd.array([[1, 2], [3, 4]], dtype=dtype), 2, 2)
    assert floats.tolist() == [[1, 2], [3, 4]]
    assert floats.dtype == dtype
    assert _check.as_floats("b", nd.array([1, 2], dtype="int32")).dtype == np.float64


def test_floats_keep_their_last_digit_and_their_range():
    value = [1 + 2**-52, 1e300, -1e-300]
    with np.errstate(over="ignore"):
        assert _check.as_floats("W", value).tolist() == value


def test_floats_of_another_shape_or_kind_are_refused():
    with pytest.raises(ValueError, match=r"^W must have the shape \(2, any\), got \(2,\)$"):
        _check.as_floats("W", np.zeros(2), 2, None)
    with pytest.raises(TypeError, match=r"^W must be an array of numbers, got \['a'\]$"):
        _check.as_floats("W", ["a"])
