"""Augmentation: the boxes follow the pixels, windows keep their bounds, colours change and nothing else."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook.detection import augment
from gluonbook.detection.augmentation import CROPPED, LEAST_LEFT, change_colours, crop, flip, random_window

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, by hand
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
NO_OBJECTS = np.zeros((0, 5), np.float32)

seeds = st.integers(0, 2**32 - 1)


@st.composite
def scenes(draw):
    """A blue picture with a red rectangle of whole pixels in it, and its label, of class 3."""
    height, width = draw(st.integers(4, 40)), draw(st.integers(4, 40))
    left, top = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    picture = np.full((height, width, 3), BLUE, np.uint8)
    picture[top:bottom, left:right] = RED
    box = [left / width, top / height, right / width, bottom / height]
    return picture, np.array([[3, *box]], np.float32)


@st.composite
def windows(draw):
    """Corners of a window, at least a hundredth wide and high."""
    low = [draw(st.floats(0, 0.99)) for _ in range(2)]
    return np.array([*low, *(draw(st.floats(corner + 0.01, 1)) for corner in low)])


def is_red(picture):
    """Tell the rectangle's pixels from the background's, whatever became of the colours."""
    return picture[..., 0] > picture[..., 2]


def seen_box(mask):
    """Return the corners of the pixels that are true, as fractions."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return [columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height]


def coordinates(height, width):
    """A picture each of whose pixels says its own column and row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, columns * 0], axis=2).astype(np.uint8)


@settings(deadline=None)
@given(scenes(), seeds)
def test_the_label_is_where_the_rectangle_is(scene, seed):
    picture, labels = augment(*scene, np.random.default_rng(seed))
    assert labels.shape == (1, 5)
    assert labels.dtype == np.float32
    assert labels[0, 0] == 3
    np.testing.assert_allclose(labels[0, 1:], seen_box(is_red(picture)), rtol=0, atol=1e-5)


@settings(deadline=None)
@given(scenes(), seeds)
def test_augmenting_changes_neither_the_picture_nor_the_labels_it_was_given(scene, seed):
    before = [part.copy() for part in scene]
    augment(*scene, np.random.default_rng(seed))
    for part, copy in zip(scene, before):
        np.testing.assert_array_equal(part, copy)


def augmented_sizes_and_sides(count):
    """Return how often a picture with its object on the left was cropped, and how often it was mirrored."""
    picture = np.full((30, 40, 3), BLUE, np.uint8)
    picture[:, :10] = RED
    labels, cropped, mirrored = np.array([[0, 0, 0, 0.25, 1]], np.float32), 0, 0
    for seed in range(count):
        changed, _ = augment(picture, labels, np.random.default_rng(seed))
        cropped += changed.shape != picture.shape
        mirrored += is_red(changed)[0].argmax() > 0
    return cropped / count, mirrored / count


def test_half_of_the_pictures_are_mirrored_and_a_share_is_cropped():
    """Of 400, five standard deviations are √(0.25 / 400) · 5 = 0.125 for a half, and less for other shares."""
    cropped, mirrored = augmented_sizes_and_sides(400)
    assert mirrored == pytest.approx(0.5, abs=0.125)
    assert cropped == pytest.approx(CROPPED, abs=0.125)


def test_a_picture_without_objects_is_augmented_too():
    sizes = set()
    for seed in range(30):
        picture, labels = augment(coordinates(30, 40), NO_OBJECTS, np.random.default_rng(seed))
        assert labels.shape == (0, 5)
        sizes.add(picture.shape)
    assert len(sizes) > 1


def test_the_same_generator_gives_the_same_and_another_another():
    results = []
    for seed in (1, 1, 2):
        picture, labels = augment(coordinates(20, 30), np.array([[0, 0.2, 0.2, 0.8, 0.9]]), np.random.default_rng(seed))
        results.append((picture.shape, picture.tobytes(), labels.tolist()))
    assert results[0] == results[1]
    assert results[0] != results[2]


def test_flip_by_hand():
    picture = coordinates(1, 4)
    flipped, labels = flip(picture, np.array([[2, 0.25, 0.5, 0.375, 1], [1, 0, 0, 1, 0.75]], np.float32))
    assert flipped[0, :, 0].tolist() == [3, 2, 1, 0]
    assert labels.tolist() == [[2, 0.625, 0.5, 0.75, 1], [1, 0, 0, 1, 0.75]]


@settings(deadline=None)
@given(scenes())
def test_flip_twice_is_identity(scene):
    picture, labels = flip(*flip(*scene))
    np.testing.assert_array_equal(picture, scene[0])
    np.testing.assert_allclose(labels, scene[1], rtol=0, atol=1.2e-7)  # 1 − (1 − x) in float32


def test_flip_without_objects():
    assert flip(coordinates(2, 3), NO_OBJECTS)[1].shape == (0, 5)


def test_crop_by_hand():
    """The right half of the upper half: one object wholly in it, one half in it, one outside."""
    picture = coordinates(4, 8)
    labels = np.array([[0, 0.5, 0, 0.75, 0.25], [1, 0.25, 0.25, 0.75, 0.5], [2, 0, 0, 0.25, 1]], np.float32)
    cut, left = crop(picture, labels, np.array([0.5, 0, 1, 0.5]))
    np.testing.assert_array_equal(cut, picture[:2, 4:])
    assert left.tolist() == [[0, 0, 0, 0.5, 0.5], [1, 0, 0.5, 0.5, 1]]


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), windows())
def test_a_crop_is_the_window_widened_to_whole_pixels(height, width, window):
    cut, _ = crop(coordinates(height, width), NO_OBJECTS, window)
    (left, top, _), (right, bottom, _) = cut[0, 0].tolist(), cut[-1, -1].tolist()
    edges = np.array([left, top, right + 1, bottom + 1])
    asked = window * [width, height, width, height]
    widened = (asked - edges) * [1, 1, -1, -1]  # by less than a pixel on each side
    assert (widened >= 0).all()
    assert (widened < 1).all()


@settings(deadline=None)
@given(scenes(), windows())
def test_a_crop_cuts_the_box_with_the_pixels_or_drops_it(scene, window):
    picture, labels = scene
    cut, left = crop(picture, labels, window)
    share = is_red(cut).sum() / is_red(picture).sum()
    if abs(share - LEAST_LEFT) > 1e-5:  # else rounding decides
        assert len(left) == (share > LEAST_LEFT)
    if len(left):
        np.testing.assert_allclose(left[0], [3, *seen_box(is_red(cut))], rtol=0, atol=1e-5)
        assert left.dtype == np.float32
        assert left[:, 1:].min() >= 0
        assert left[:, 1:].max() <= 1


@pytest.mark.parametrize(("right", "kept"), [(0.25, False), (0.3125, True), (0.5, True)])
def test_an_object_of_which_little_is_left_is_dropped(right, kept):
    """Of an object as large as the picture, a window shows just its own share."""
    _, left = crop(coordinates(16, 16), np.array([[0, 0, 0, 1, 1]], np.float32), np.array([0, 0, right, 1]))
    assert left.tolist() == ([[0, 0, 0, 1, 1]] if kept else [])


def test_an_object_that_only_touches_the_window_is_dropped():
    _, left = crop(coordinates(8, 8), np.array([[0, 0, 0, 0.5, 1]], np.float32), np.array([0.5, 0, 1, 1]))
    assert left.shape == (0, 5)


def test_an_empty_box_is_dropped():
    """Its share of nothing could be taken for all of it; learning from it is refused later on."""
    labels = np.array([[0, 0.5, 0.25, 0.5, 1], [1, 0.25, 0.25, 1, 1]], np.float32)
    assert crop(coordinates(8, 8), labels, np.array([0, 0, 1, 1]))[1].tolist() == labels[1:].tolist()


def test_the_whole_picture_is_a_window():
    picture, labels = coordinates(5, 7), np.array([[1, 0.25, 0, 1, 0.5]], np.float32)
    cut, left = crop(picture, labels, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(cut, picture)
    assert left.tolist() == labels.tolist()


def slow_cover(box, window):
    """Return the share of a box inside a window."""
    sides = [max(min(box[i + 2], window[i + 2]) - max(box[i], window[i]), 0) for i in (0, 1)]
    return sides[0] * sides[1] / ((box[2] - box[0]) * (box[3] - box[1]))


@settings(deadline=None)
@given(scenes(), scenes(), seeds, st.floats(0, 1), st.floats(0.05, 1), st.floats(1, 3))
def test_a_window_keeps_its_bounds(scene, other, seed, min_object_covered, min_area, max_aspect):
    labels = np.concatenate([scene[1], other[1]])
    window = random_window(labels, np.random.default_rng(seed), min_object_covered, min_area, max_aspect)
    if window is None:
        return
    width, height = window[2:] - window[:2]
    assert window.min() >= 0
    assert window.max() <= 1 + 1e-12
    assert width * height >= min_area - 1e-12
    assert max(width / height, height / width) <= max_aspect + 1e-9
    assert max(slow_cover(box.tolist(), window) for box in labels[:, 1:]) >= min_object_covered - 1e-5


def many_windows(labels, count=300, **arguments):
    """Return the windows of so many draws, (count, 4)."""
    rng = np.random.default_rng(0)
    return np.array([random_window(labels, rng, **arguments) for _ in range(count)])


def test_windows_use_the_room_that_their_bounds_leave():
    found = many_windows(NO_OBJECTS, min_area=0.3, max_aspect=1.8)
    widths, heights = (found[:, 2:] - found[:, :2]).T
    assert (widths * heights).min() < 0.35
    assert (widths * heights).max() > 0.9
    assert (widths / heights).max() > 1.7
    assert (heights / widths).max() > 1.7
    assert (found[:, :2].min(axis=0) < 0.02).all()
    assert (found[:, 2:].max(axis=0) > 0.98).all()


def test_one_object_that_is_seen_well_is_enough():
    """Of two objects in opposite corners, some windows show the one, some the other, and not all of them both."""
    corners = np.array([[0, 0, 0, 0.1, 0.1], [0, 0.9, 0.9, 1, 1]], np.float32)
    found = many_windows(corners, 100, max_attempts=10**4)
    shown = np.array([[slow_cover(box.tolist(), window) >= 0.75 - 1e-6 for box in corners[:, 1:]] for window in found])
    assert shown.any(axis=1).all()
    assert shown.any(axis=0).all()
    assert not shown.all()


@settings(deadline=None)
@given(seeds)
def test_the_only_window_of_the_whole_area_is_the_picture(seed):
    window = random_window(NO_OBJECTS, np.random.default_rng(seed), min_area=1, max_aspect=1)
    assert window.tolist() == [0, 0, 1, 1]


def test_where_no_window_shows_an_object_well_there_is_none():
    """To show all of an object as large as the picture, a window would have to be as large."""
    whole = np.array([[0, 0, 0, 1, 1]], np.float32)
    assert random_window(whole, np.random.default_rng(0), min_object_covered=1) is None
    assert random_window(NO_OBJECTS, np.random.default_rng(0), max_attempts=0) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_object_covered": 1.1}, "min_object_covered must be at least 0 and at most 1, got 1.1"),
        ({"min_object_covered": -0.1}, "min_object_covered must be at least 0 and at most 1, got -0.1"),
        ({"min_area": 0}, "min_area must be at most 1 and above 0, got 0"),
        ({"min_area": 1.5}, "min_area must be at most 1 and above 0, got 1.5"),
        ({"max_aspect": 0.9}, "max_aspect must be at least 1, got 0.9"),
    ],
    ids=str,
)
def test_a_window_of_impossible_bounds_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        random_window(NO_OBJECTS, np.random.default_rng(0), **arguments)


def random_picture(seed, height=6, width=5):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def slow_colours(picture, brightness, contrast, saturation):
    """Pixel by pixel, in float64."""
    pixels = [[[value * brightness for value in pixel] for pixel in row] for row in picture.tolist()]
    mean = np.mean([sum(share * value for share, value in zip(GREY, pixel)) for row in pixels for pixel in row])
    changed = np.zeros(picture.shape)
    for i, row in enumerate(pixels):
        for j, pixel in enumerate(row):
            pixel = [(value - mean) * contrast + mean for value in pixel]
            grey = sum(share * value for share, value in zip(GREY, pixel))
            changed[i, j] = [(value - grey) * saturation + grey for value in pixel]
    return changed.clip(0, 255)


@settings(deadline=None)
@given(seeds, st.floats(0, 0.9))
def test_colours_equal_a_slow_loop(seed, strength):
    picture = random_picture(seed)
    factors = np.random.default_rng(seed).uniform(1 - strength, 1 + strength, 3)
    changed = change_colours(picture, np.random.default_rng(seed), strength)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    np.testing.assert_allclose(changed, slow_colours(picture, *factors), rtol=0, atol=0.501)  # rounded


@settings(deadline=None)
@given(seeds)
def test_no_strength_changes_nothing(seed):
    picture = random_picture(seed)
    np.testing.assert_array_equal(change_colours(picture, np.random.default_rng(seed), 0), picture)


@settings(deadline=None)
@given(seeds)
def test_grey_stays_grey(seed):
    grey = np.repeat(random_picture(seed)[..., :1], 3, axis=2)
    changed = change_colours(grey, np.random.default_rng(seed), 0.9).astype(int)
    assert np.ptp(changed, axis=2).max() <= 1  # the shares of grey add up to one but for a rounding


def test_colours_become_both_brighter_and_darker():
    means = [change_colours(random_picture(0), np.random.default_rng(seed)).mean() for seed in range(20)]
    assert min(means) < random_picture(0).mean() < max(means)


def test_changing_colours_leaves_the_picture_given_alone():
    picture = random_picture(0)
    change_colours(picture, np.random.default_rng(0), 0.9)
    np.testing.assert_array_equal(picture, random_picture(0))


@pytest.mark.parametrize("strength", [-0.1, 1, float("nan")])
def test_a_strength_out_of_range_is_refused(strength):
    with pytest.raises(ValueError, match=f"^strength must be at least 0 and below 1, got {strength}$"):
        change_colours(random_picture(0), np.random.default_rng(0), strength)
