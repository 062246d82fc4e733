"""Batches are shifted, turned and recoloured, each picture by its own amounts; a generator gives the same again."""

import math
import re

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

from gluonbook._mxnet import mx, nd
from gluonbook.data import read_classes, sample_picture
from gluonbook.data.distortions import distort, move, recolour
from gluonbook.data.pictures import resize

EXACT = 1e-5  # of values up to 1: float32 coordinates of at most some dozens of pixels
COLOURS = ("brightness", "contrast", "saturation")


def noise(*shape, low=0.0, high=1.0, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def moved(values, right=0.0, down=0.0, degrees=0.0):
    """All pictures of a batch moved alike."""
    return move(nd.array(values), *([amount] * len(values) for amount in (right, down, degrees))).asnumpy()


def recoloured(values, **factors):
    rows = [[factors.get(name, 1.0)] * len(values) for name in COLOURS]
    return recolour(nd.array(values), *rows).asnumpy()


# ---- shifts and turns ----


@pytest.mark.parametrize("turns", [-3, -1, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("side", [2, 5, 8])
def test_quarter_turns_of_squares_are_numpys(side, turns):
    values = noise(2, 3, side, side)
    np.testing.assert_allclose(moved(values, degrees=90 * turns), np.rot90(values, turns, (2, 3)), atol=EXACT)


@pytest.mark.parametrize(("height", "width"), [(6, 9), (7, 4)])
def test_half_a_turn_of_a_rectangle_reverses_both_sides(height, width):
    values = noise(1, 1, height, width)
    np.testing.assert_allclose(moved(values, degrees=180), values[:, :, ::-1, ::-1], atol=EXACT)


def test_a_quarter_turn_of_a_rectangle_keeps_its_middle_and_fills_the_rest_with_black():
    values = noise(1, 1, 3, 7)
    expected = np.zeros_like(values)
    expected[..., 2:5] = np.rot90(values[..., 2:5], 1, (2, 3))
    np.testing.assert_allclose(moved(values, degrees=90), expected, atol=EXACT)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 0), (-3, 0), (0, 1), (0, -2), (3, -1), (-1, 3)])
def test_a_shift_by_whole_pixels_is_numpys_roll_with_zeros_at_the_border(right, down):
    values = noise(2, 3, 5, 6)
    expected = np.roll(values, (down, right), (2, 3))
    expected[:, :, : max(down, 0)] = expected[:, :, 5 + min(down, 0) :] = 0
    expected[..., : max(right, 0)] = expected[..., 6 + min(right, 0) :] = 0
    np.testing.assert_allclose(moved(values, right, down), expected, atol=EXACT)


@pytest.mark.parametrize("right", [6, -6, 60])
def test_nothing_is_left_of_a_picture_shifted_by_its_width(right):
    assert not moved(noise(1, 1, 5, 6, low=0.5), right).any()


def test_half_a_pixel_is_the_mean_of_two():
    got = moved(np.array([[[[1, 3, 7], [2, 4, 4]]]], np.float32), right=0.5)
    np.testing.assert_allclose(got, [[[[0.5, 2, 5], [1, 3, 4]]]], atol=EXACT)


def sampled(picture, right, down, degrees):
    """One (H, W) picture by a loop over the result's pixels: where each comes from, and its four neighbours."""
    height, width = picture.shape
    middle_x, middle_y, turn = (width - 1) / 2, (height - 1) / 2, math.radians(degrees)
    got = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            x, y = column - right - middle_x, row - down - middle_y
            from_x = math.cos(turn) * x - math.sin(turn) * y + middle_x
            from_y = math.sin(turn) * x + math.cos(turn) * y + middle_y
            for i in (math.floor(from_y), math.floor(from_y) + 1):
                for j in (math.floor(from_x), math.floor(from_x) + 1):
                    if 0 <= i < height and 0 <= j < width:
                        got[row, column] += picture[i, j] * (1 - abs(from_y - i)) * (1 - abs(from_x - j))
    return got


AMOUNTS = {"right": [0.3, -2.6, 1.25, 0.0], "down": [1.7, 0.2, -0.5, -3.1], "degrees": [12.0, -75.0, 143.0, 31.0]}


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 11), (9, 5)])
def test_each_picture_is_moved_by_its_own_amounts_as_a_loop_moves_it(height, width):
    values = noise(4, 2, height, width)
    got = move(nd.array(values), **AMOUNTS).asnumpy()
    for picture, found, *amounts in zip(values, got, *AMOUNTS.values()):
        for channel, out in zip(picture, found):
            np.testing.assert_allclose(out, sampled(channel, *amounts), atol=EXACT)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (6, 11)])
def test_moving_is_scipys_affine_transform(height, width):
    values = noise(4, 1, height, width)
    got = move(nd.array(values), **AMOUNTS).asnumpy()
    middle = np.array([height - 1, width - 1]) / 2
    for picture, found, right, down, degrees in zip(values, got, *AMOUNTS.values()):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        matrix = np.array([[cos, sin], [-sin, cos]])  # of (row, column)
        offset = middle - matrix @ (middle + np.array([down, right]))
        theirs = ndimage.affine_transform(picture[0].astype(float), matrix, offset, order=1, mode="grid-constant")
        np.testing.assert_allclose(found[0], theirs, atol=EXACT)


def test_moving_keeps_shape_dtype_and_device():
    X = nd.array(noise(4, 3, 6, 7), ctx=mx.cpu(1))
    for got in (move(X, **AMOUNTS), recolour(X, *[[1.1] * 4] * 3), distort(X, np.random.default_rng(0), 0.1, 5, 0.1)):
        assert (got.shape, got.dtype, got.context) == ((4, 3, 6, 7), np.float32, mx.cpu(1))


def test_whatever_is_made_on_the_way_lies_on_the_pictures_device(monkeypatch):
    """Two devices in one operator are an error where one is a GPU; CPUs are told apart by their numbers alone."""
    X, array, made = nd.array(noise(2, 3, 4, 4), ctx=mx.cpu(1)), nd.array, []
    monkeypatch.setattr(
        nd, "array", lambda *arguments, **options: made.append(array(*arguments, **options)) or made[-1]
    )
    distort(X, np.random.default_rng(0), 0.1, 5, 0.1, 0.1, 0.1)
    assert [one.context for one in made] == [mx.cpu(1)] * len(made)
    assert len(made) >= 4  # the maps and three rows of factors


def test_the_batch_itself_stays_what_it_is():
    values = noise(4, 3, 6, 7)
    X = nd.array(values)
    distort(X, np.random.default_rng(0), 0.2, 30, 0.3, 0.3, 0.3).wait_to_read()
    np.testing.assert_array_equal(X.asnumpy(), values)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"right": [1]}, ValueError, "right must have the shape (2), got (1,)"),
        ({"down": 1}, ValueError, "down must have the shape (2), got ()"),
        ({"degrees": [0, np.nan]}, ValueError, "degrees must be finite, got [0.0, nan]"),
        ({"right": ["a", "b"]}, TypeError, "right must be an array of numbers, got ['a', 'b']"),
        ({"X": np.zeros((2, 1, 3, 3), np.float32)}, TypeError, "X must be an nd array, got ndarray"),
        ({"X": nd.zeros((2, 3, 3))}, ValueError, "X must be (N, C, H, W) float32, got shape (2, 3, 3) float32"),
        (
            {"X": nd.zeros((2, 1, 3, 3), dtype="uint8")},
            ValueError,
            "X must be (N, C, H, W) float32, got shape (2, 1, 3, 3) uint8",
        ),
        (
            {"X": nd.zeros((2, 1, 1, 3))},
            ValueError,
            "X must have at least 2 pixels a side to be moved, got shape (2, 1, 1, 3)",
        ),
    ],
)
def test_moves_that_are_none_are_refused(arguments, error, told):
    right = {"X": nd.zeros((2, 1, 3, 3)), "right": [0, 0], "down": [0, 0], "degrees": [0, 0]}
    with pytest.raises(error, match=f"^{re.escape(told)}$"):
        move(**{**right, **arguments})


# ---- colours ----


def test_colours_of_two_pixels_by_hand():
    """Grey is 0.299 R + 0.587 G + 0.114 B: 0.4 and 0.2, whose mean is 0.3."""
    values = np.array([[[[0.4, 0.2]], [[0.4, 0.2]], [[0.4, 0.2]]]], np.float32)
    np.testing.assert_allclose(recoloured(values, brightness=1.5)[0, 0, 0], [0.6, 0.3], atol=EXACT)
    np.testing.assert_allclose(recoloured(values, contrast=0.5)[0, 0, 0], [0.35, 0.25], atol=EXACT)
    np.testing.assert_allclose(recoloured(values, saturation=0.5), values, atol=EXACT)
    red = np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1)
    half = recoloured(red, saturation=0.5).ravel()
    np.testing.assert_allclose(half, [0.5 + 0.299 / 2, 0.299 / 2, 0.299 / 2], atol=EXACT)


@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize("factors", [(1.2, 0.7, 1.4), (0.6, 1.3, 0.2)])
def test_all_colours_at_once_as_a_loop_changes_them(num_channels, factors):
    values = noise(3, num_channels, 4, 5)
    brightness, contrast, saturation = factors
    weights = [0.299, 0.587, 0.114] if num_channels == 3 else [1.0]
    for picture, got in zip(values, recoloured(values, **dict(zip(COLOURS, factors)))):
        bright = picture.astype(float) * brightness
        mean = sum(weight * channel for weight, channel in zip(weights, bright)).mean()
        expected = np.zeros_like(bright)
        for row, column in np.ndindex(4, 5):
            pixel = [(value - mean) * contrast + mean for value in bright[:, row, column]]
            grey = sum(weight * value for weight, value in zip(weights, pixel))
            pixel = [(value - grey) * saturation + grey if num_channels == 3 else value for value in pixel]
            expected[:, row, column] = [min(max(value, 0), 1) for value in pixel]
        np.testing.assert_allclose(got, expected, atol=EXACT)


@pytest.mark.parametrize("name", COLOURS)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.3])
def test_each_colour_is_pillows(name, factor):
    picture = resize(sample_picture("lake"), 48)
    enhance = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    theirs = np.asarray(enhance[name](Image.fromarray(picture)).enhance(factor), float)
    got = recoloured(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255, **{name: factor})
    assert abs(got[0].transpose(1, 2, 0) * 255 - theirs).max() <= 1.5  # it rounds the grey and the result


def test_each_picture_has_its_own_factors_and_its_own_mean():
    values = np.concatenate([noise(1, 3, 4, 4, high=0.3), noise(1, 3, 4, 4, low=0.6)])
    got = recolour(nd.array(values), [1.1, 0.9], [0.5, 0.8], [0.3, 1.2]).asnumpy()
    for i, factors in enumerate([(1.1, 0.5, 0.3), (0.9, 0.8, 1.2)]):
        alone = recoloured(values[i : i + 1], **dict(zip(COLOURS, factors)))
        np.testing.assert_allclose(got[i : i + 1], alone, atol=EXACT)


def test_changed_colours_stay_from_0_to_1():
    values = np.array([[[[0.0, 0.3, 0.9, 1.0]]]], np.float32)
    assert recoloured(values, brightness=1.9).ravel().tolist() == pytest.approx([0, 0.57, 1, 1])
    assert recoloured(values, contrast=1.9).min() == 0


@pytest.mark.parametrize(
    ("X", "told"),
    [
        (nd.zeros((2, 2, 3, 3)), "X must have 1 channel or 3 to change its colours, got shape (2, 2, 3, 3)"),
        (nd.full((1, 3, 2, 2), 255), "X must be from 0 to 1 to change its colours, got 255 to 255"),
        (nd.full((1, 3, 2, 2), -0.5), "X must be from 0 to 1 to change its colours, got -0.5 to -0.5"),
        (nd.full((1, 1, 2, 2), np.nan), "X must be from 0 to 1 to change its colours, got nan to nan"),
    ],
)
def test_pictures_without_colours_are_refused(X, told):
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        recolour(X, *[[1.0] * len(X)] * 3)
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        distort(X, np.random.default_rng(0), contrast=0.1)


def test_factors_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"^contrast must be finite, got \[inf\]$"):
        recolour(nd.zeros((1, 1, 2, 2)), [1], [np.inf], [1])
    with pytest.raises(ValueError, match=r"^saturation must have the shape \(1\), got \(2,\)$"):
        recolour(nd.zeros((1, 1, 2, 2)), [1], [1], [1, 1])


# ---- drawn amounts ----


@pytest.mark.parametrize("num_channels", [1, 2, 3])
def test_without_amounts_the_pictures_come_back(num_channels):
    values = noise(4, num_channels, 7, 6)
    np.testing.assert_array_equal(distort(nd.array(values), np.random.default_rng(0)).asnumpy(), values)


def test_distorting_is_moving_and_then_recolouring_by_the_drawn_amounts():
    X = nd.array(noise(5, 3, 6, 10))
    u = np.random.default_rng(3).uniform(-1, 1, (6, 5))
    expected = move(X, 0.2 * 10 * u[0], 0.2 * 6 * u[1], 25 * u[2])
    expected = recolour(expected, 1 + 0.3 * u[3], 1 + 0.4 * u[4], 1 + 0.5 * u[5])
    got = distort(X, np.random.default_rng(3), 0.2, 25, brightness=0.3, contrast=0.4, saturation=0.5)
    np.testing.assert_array_equal(got.asnumpy(), expected.asnumpy())


@pytest.mark.parametrize(
    "how", [{"shift": 0.2}, {"degrees": 20}, {"brightness": 0.4}, {"contrast": 0.4}, {"saturation": 0.4}]
)
def test_each_amount_alone_changes_each_picture_in_its_own_way(how):
    values = np.repeat(noise(1, 3, 8, 8), 20, 0)
    got = distort(nd.array(values), np.random.default_rng(0), **how).asnumpy()
    assert len({picture.tobytes() for picture in got}) == 20
    again = distort(nd.array(values), np.random.default_rng(0), **how).asnumpy()
    np.testing.assert_array_equal(again, got)
    assert (distort(nd.array(values), np.random.default_rng(1), **how).asnumpy() != got).any()


def test_a_generator_goes_on_from_batch_to_batch():
    rng, X = np.random.default_rng(0), nd.array(noise(2, 1, 8, 8))
    first, second = (distort(X, rng, shift=0.2).asnumpy() for _ in range(2))
    assert (first != second).any()


def test_the_shifts_are_the_same_with_colours_and_without():
    X = nd.array(noise(6, 1, 8, 8, high=0.5))
    plain = distort(X, np.random.default_rng(0), shift=0.3, degrees=20)
    u = np.random.default_rng(0).uniform(-1, 1, (6, 6))
    bright = distort(X, np.random.default_rng(0), shift=0.3, degrees=20, brightness=0.5).asnumpy()
    np.testing.assert_allclose(bright, plain.asnumpy() * (1 + 0.5 * u[3]).reshape(-1, 1, 1, 1), atol=EXACT)


def test_shifts_reach_both_sides_up_to_the_share_and_no_further():
    """A bright pixel tells how far its picture went; between two pixels it is the centre of their brightness."""
    values = np.zeros((400, 1, 21, 41), np.float32)
    values[:, :, 10, 20] = 1
    got = distort(nd.array(values), np.random.default_rng(0), shift=0.2).asnumpy()[:, 0]
    for axis, side in ((1, 41), (2, 21)):
        places = got.sum(axis) @ np.arange(side) - side // 2
        assert abs(places).max() <= 0.2 * side + EXACT * side
        assert places.min() < -0.19 * side  # each misses by chance with 0.975, all 400 with 4e-5
        assert places.max() > 0.19 * side


def test_turns_reach_both_sides_up_to_the_degrees_and_no_further():
    values = np.zeros((400, 1, 41, 41), np.float32)
    values[:, :, 20, 35] = 1  # 15 pixels right of the centre
    got = distort(nd.array(values), np.random.default_rng(0), degrees=30).asnumpy()[:, 0]
    across, along = got.sum(1) @ np.arange(41) / got.sum((1, 2)), got.sum(2) @ np.arange(41) / got.sum((1, 2))
    turns = np.degrees(np.arctan2(20 - along, across - 20))
    slack = np.degrees(0.15 / 15)  # the interpolated pixel's centre of brightness is some hundredths of a pixel off
    assert abs(turns).max() <= 30 + slack
    assert turns.min() < -28
    assert turns.max() > 28


def test_grey_pictures_have_no_saturation():
    values = noise(3, 1, 5, 5)
    got = distort(nd.array(values), np.random.default_rng(0), saturation=0.9).asnumpy()
    np.testing.assert_allclose(got, values, atol=EXACT)


def test_digits_that_are_shifted_a_little_are_still_most_of_themselves():
    X = nd.array(read_classes().valid.images)
    got = distort(X, np.random.default_rng(0), shift=0.1, degrees=10).asnumpy()
    assert got.shape == X.shape
    kept = got.sum((1, 2, 3)) / X.asnumpy().sum((1, 2, 3))
    assert 0.75 < kept.mean() < 1  # the shifts lose at most a tenth of the height and of the width


def test_no_pictures_are_distorted_to_none():
    X = nd.array(np.zeros((0, 3, 4, 4)))
    assert distort(X, np.random.default_rng(0), 0.1, 10, 0.1, 0.1, 0.1).shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"shift": -0.1}, ValueError, "shift must be at least 0 and at most 1, got -0.1"),
        ({"shift": 2}, ValueError, "shift must be at least 0 and at most 1, got 2"),
        ({"degrees": 181}, ValueError, "degrees must be at least 0 and at most 180, got 181"),
        ({"degrees": -1}, ValueError, "degrees must be at least 0 and at most 180, got -1"),
        ({"degrees": "15"}, TypeError, "degrees must be a number, got '15' (str)"),
        ({"brightness": 1}, ValueError, "brightness must be at least 0 and below 1, got 1"),
        ({"contrast": -0.2}, ValueError, "contrast must be at least 0 and below 1, got -0.2"),
        ({"saturation": float("nan")}, ValueError, "saturation must be at least 0 and below 1, got nan"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, got 0 (int)"),
        ({"X": np.zeros((1, 1, 2, 2))}, TypeError, "X must be an nd array, got ndarray"),
        ({"X": nd.zeros((3, 8, 8))}, ValueError, "X must be (N, C, H, W) float32, got shape (3, 8, 8) float32"),
    ],
)
def test_distortions_that_are_none_are_refused(arguments, error, told):
    with pytest.raises(error, match=f"^{re.escape(told)}$"):
        distort(**{"X": nd.zeros((2, 1, 3, 3)), "rng": np.random.default_rng(0), **arguments})
