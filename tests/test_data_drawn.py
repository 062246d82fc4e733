"""Drawn scenes: the same from the same numbers, with boxes around what can be seen, in classes that differ."""

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gluonbook import _check
from gluonbook.data import drawn, shapes
from gluonbook.data.drawn import scene

SIZE = 64  # pixels; a scene of this size takes a hundredth of a second
COLOURS = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]  # of classes 0, 1, 2
BLACK = (0.0, 0.0, 0.0)
SQUARE, THREAD = shapes.rectangle(1, 1), shapes.rectangle(0.001, 1)  # a thread hides no pixel
DIAMOND = np.array([[0, -1.0], [0.6, 0], [0, 1], [-0.6, 0]])


@pytest.fixture(scope="module")
def scenes():
    """Sixty pictures of each split."""
    return {split: [scene(split, i, size=SIZE) for i in range(60)] for split in drawn.SPLITS}


def every(scenes):
    return [one for split in drawn.SPLITS for one in scenes[split]]


# ---- the same from the same numbers ----


def equal(one, other):
    return np.array_equal(one.picture, other.picture) and np.array_equal(one.labels, other.labels)


@given(st.sampled_from(drawn.SPLITS), st.integers(0, 10**6), st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_a_scene_is_the_same_whenever_it_is_drawn(split, index, seed):
    np.random.seed(index % 1000)
    assert equal(scene(split, index, seed, size=32), scene(split, index, seed, size=32))


def test_a_scene_does_not_depend_on_those_before(scenes):
    for i in (7, 3, 5):
        assert equal(scene("train", i, size=SIZE), scenes["train"][i])


@pytest.mark.parametrize("other", [("val", 4, 2), ("train", 5, 2), ("train", 4, 3), ("train", 2, 4)])
def test_split_index_and_seed_each_give_another_scene(other):
    assert not equal(scene("train", 4, 2, size=SIZE), scene(*other, size=SIZE))


def test_no_two_scenes_are_alike(scenes):
    pictures = {one.picture.tobytes() for one in every(scenes)}
    assert len(pictures) == 120


def test_the_drawing_leaves_the_callers_generators(scenes):
    state = np.random.get_state()[1].tolist()
    scene("train", 0, size=32)
    assert np.random.get_state()[1].tolist() == state


# ---- pictures and labels ----


@pytest.mark.parametrize("size", [32, 33, 100])
def test_a_picture_is_square_of_the_size_wanted(size):
    made = scene("val", 1, size=size)
    assert (made.picture.shape, made.picture.dtype) == ((size, size, 3), np.uint8)
    assert (made.labels.shape[1:], made.labels.dtype) == ((5,), np.float32)


def test_a_picture_has_256_pixels_unless_told():
    assert scene("train", 0).picture.shape == (256, 256, 3)


def test_boxes_lie_inside_and_are_boxes(scenes):
    for i, one in enumerate(every(scenes)):
        _check.check_labels(one.labels, len(drawn.CLASSES), i)


def test_boxes_end_at_pixels(scenes):
    for one in every(scenes):
        np.testing.assert_array_equal(one.labels[:, 1:] * SIZE, np.round(one.labels[:, 1:] * SIZE))


def test_there_are_one_to_three_objects_and_each_number_occurs(scenes):
    assert {len(one.labels) for one in every(scenes)} == {1, 2, 3}


@pytest.mark.parametrize("split", drawn.SPLITS)
def test_each_class_occurs_about_equally(scenes, split):
    """Drawn with 1/3 each: of some 150 objects 50, with a standard deviation of 5.8; four of them is the bound."""
    kinds = np.concatenate([one.labels[:, 0] for one in scenes[split]]).astype(int)
    expected, deviation = len(kinds) / 3, np.sqrt(len(kinds) * 2 / 9)
    assert np.abs(np.bincount(kinds, minlength=3) - expected).max() < 4 * deviation


def test_objects_are_small_and_large(scenes):
    """At most LARGEST and a pixel at each end; at least what is hidden and cut off leaves of SMALLEST."""
    sides = np.concatenate([(one.labels[:, 3:] - one.labels[:, 1:3]).max(1) for one in every(scenes)])
    assert sides.max() <= drawn.LARGEST + 2 / SIZE
    assert sides.max() > 0.9 * drawn.LARGEST
    assert np.quantile(sides, 0.2) < 1.5 * drawn.SMALLEST
    assert sides.min() > 0.5 * drawn.SMALLEST


def test_pictures_are_not_flat(scenes):
    assert min(one.picture.std() for one in every(scenes)) > 10  # of 255
    assert 60 < np.mean([one.picture.mean() for one in every(scenes)]) < 200


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"split": "test"}, "split must be one of train, val; got 'test'"),
        ({"index": -1}, "index must be at least 0, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"size": 31}, "size must be at least 32, got 31"),
    ],
)
def test_arguments_out_of_range(arguments, told):
    with pytest.raises(ValueError, match=told):
        scene(**{"split": "train", "index": 0, **arguments})


# ---- boxes are around what can be seen ----


@pytest.fixture
def plain(monkeypatch):
    """Pure colours by class before black; what is in front and behind is black too. Returns what may be replaced."""
    outlines = types.SimpleNamespace(object=DIAMOND, occluder=SQUARE * [0.1, 1], crowded=False)

    def colour(i):
        return lambda rng: [(outlines.object, COLOURS[i])]

    monkeypatch.setattr(drawn, "DRAW", tuple(colour(i) for i in range(3)))
    monkeypatch.setattr(drawn, "_background", lambda rng, split, size: np.zeros((size, size, 3), np.float32))
    monkeypatch.setattr(shapes, "distractor", lambda rng: [(SQUARE, BLACK)])
    monkeypatch.setattr(shapes, "occluder", lambda rng: [(outlines.occluder, BLACK)])
    return outlines


def seen(one):
    """The pixels of each class; noise has at most a third of a shaded colour (3% times 4 of 75%)."""
    brightest = one.picture.argmax(2)
    return [(brightest == kind) & (one.picture[..., kind] > 96) for kind in range(3)]


def around(mask):
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_a_box_is_the_visible_parts_to_a_pixel(plain):
    """Of scenes whose objects differ in class, measured in the picture."""
    compared = 0
    for i in range(150):
        one = scene("train", i, size=SIZE)
        kinds = one.labels[:, 0].astype(int)
        if len(set(kinds)) < len(kinds):
            continue
        masks = seen(one)
        for kind, box in zip(kinds, one.labels[:, 1:] * SIZE):
            assert np.abs(np.array(around(masks[kind])) - box).max() <= 1, i
            compared += 1
        assert all(masks[kind].sum() <= 4 for kind in set(range(3)) - set(kinds)), i
    assert compared > 100


def test_rows_and_columns_are_not_swapped(plain):
    """Objects three times as wide as high, turned by less than half a right angle nearly always."""
    plain.object = SQUARE * [1, 1 / 3]
    boxes = np.concatenate([scene("train", i, size=SIZE).labels[:, 1:] for i in range(40)])
    wider = (boxes[:, 2] - boxes[:, 0]) > (boxes[:, 3] - boxes[:, 1])
    assert wider.mean() > 0.8


@pytest.fixture
def visible_shares(plain, monkeypatch):
    """Of scenes with a single object: its visible pixels as a share of its whole, in or out of the picture."""
    patches, original = [], drawn._patch

    def recorded(*arguments):
        patch = original(*arguments)
        if plain.crowded:  # half of the way towards the middle, so that much lies upon much
            height, width = patch.cover.shape
            patch = patch._replace(
                top=(patch.top + (SIZE - height) // 2) // 2, left=(patch.left + (SIZE - width) // 2) // 2
            )
        patches.append(patch)
        return patch

    def shares(count):
        found = []
        for i in range(count):
            patches.clear()
            one = scene("train", i, size=SIZE)
            kind = int(one.labels[0, 0])
            of_kind = [patch for patch in patches if patch.colour[..., kind].max() > 0.5]
            if len(one.labels) == len(of_kind) == 1:
                found.append(seen(one)[kind].sum() / of_kind[0].area)
        return found

    monkeypatch.setattr(drawn, "_patch", recorded)
    return shares


def test_what_is_in_front_leaves_more_than_half_of_an_object(plain, visible_shares, monkeypatch):
    """A black square larger than the object would hide it; such a one is left out."""
    plain.occluder, plain.crowded = SQUARE, True
    monkeypatch.setattr(drawn, "LARGEST", 0.3)  # the square is up to 0.5 long
    shares = visible_shares(150)
    assert len(shares) > 40
    assert min(shares) > drawn.MIN_VISIBLE - 0.05  # of pixels at the edge; all lie inside
    assert min(shares) < 0.9  # and some are in part hidden


def test_objects_leave_more_than_half_of_each_other(plain):
    """Without anything in front: pairs that overlap, each visible enough, by the two areas known from their boxes."""
    plain.object, plain.occluder = SQUARE, THREAD
    for i in range(100):
        one = scene("train", i, size=SIZE)
        kinds = one.labels[:, 0].astype(int)
        if len(set(kinds)) < len(kinds):
            continue
        for kind, box in zip(kinds, one.labels[:, 1:] * SIZE):
            whole = (box[2] - box[0]) * (box[3] - box[1])
            # A square that is turned fills half of its box at least; a corner of it may lie under another.
            assert seen(one)[kind].sum() > 0.5 * drawn.MIN_VISIBLE * whole - 4, i


def test_objects_lie_inside_for_the_most_part(plain, visible_shares):
    plain.occluder = THREAD
    shares = visible_shares(120)
    assert min(shares) > drawn.MIN_INSIDE - 0.05  # of pixels at the edge
    assert min(shares) < 0.9  # and some are cut off


# ---- the dog ----


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (561, 728), (100, 100)])
def test_the_dog_sits_in_the_middle_and_its_box_is_about_square(height, width):
    made = drawn.dog_scene(height, width)
    assert (made.picture.shape, made.picture.dtype) == ((height, width, 3), np.uint8)
    ((kind, *box),) = made.labels.tolist()
    assert kind == 0
    x0, y0, x1, y1 = np.array(box) * [width, height, width, height]
    assert 0.9 < (x1 - x0) / (y1 - y0) < 1.15
    assert max(x1 - x0, y1 - y0) == pytest.approx(drawn.DOG_HEIGHT * height, abs=2)  # pixels
    np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], [width / 2, height / 2], atol=1.5)  # pixels


def test_the_dogs_box_is_where_the_picture_is_no_meadow():
    """A meadow's rows are of one colour each, which its first column shows."""
    made = drawn.dog_scene(150, 200)
    differs = (np.abs(made.picture.astype(int) - made.picture[:, :1]) > 30).any(2)
    np.testing.assert_allclose(around(differs), made.labels[0, 1:] * [200, 150, 200, 150], atol=1)


def test_the_dog_is_the_same_each_time():
    assert equal(drawn.dog_scene(), drawn.dog_scene(300, 400))


@pytest.mark.parametrize("name", ["height", "width"])
def test_a_scene_too_small_for_the_dog(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 32, got 31"):
        drawn.dog_scene(**{name: 31})


# ---- backgrounds ----


def test_training_and_validation_show_different_parts_of_the_photographs(monkeypatch):
    """Photographs that are black in the two thirds for training and white in the third for validation."""
    photo = np.zeros((400, 600, 3), np.uint8)
    photo[:, 400:] = 255
    monkeypatch.setattr(drawn, "_photographs", lambda: (Image.fromarray(photo),) * 2)
    for i in range(30):
        train, val = (drawn._photo_part(np.random.default_rng(i), split, SIZE) for split in drawn.SPLITS)
        assert train.shape == val.shape == (SIZE, SIZE, 3)
        # Bilinear sampling looks two pixels beyond the border; a strip of a side at most.
        assert (train > 0).mean() <= 2 / SIZE
        assert (val < 1).mean() <= 2 / SIZE


def test_both_photographs_are_shown_from_all_over_their_part(monkeypatch):
    """Red grows to the right, green downwards, blue tells the photograph: what occurs reaches from end to end."""
    y, x = np.mgrid[0:400, 0:600]
    photos = [np.stack([x * 255 / 599, y * 255 / 399, np.full(x.shape, blue)], 2).astype(np.uint8) for blue in (0, 255)]
    monkeypatch.setattr(drawn, "_photographs", lambda: tuple(map(Image.fromarray, photos)))
    for split, low, high in (("train", 0, 2 / 3), ("val", 2 / 3, 1)):
        parts = np.stack([drawn._photo_part(np.random.default_rng(i), split, 32) for i in range(200)])
        red, green, blue = parts.reshape(-1, 3).T
        assert low - 0.01 <= red.min() < low + 0.02
        assert high - 0.02 < red.max() <= high + 0.01
        assert green.min() < 0.02
        assert green.max() > 0.98
        assert set(blue.round().tolist()) == {0, 1}


def test_photographs_and_drawn_backgrounds_both_occur(monkeypatch):
    called = {"photo": 0, "drawn": 0}

    def counted(name, shape):
        def make(rng, *arguments):
            called[name] += 1
            return np.full(shape, 0.5)

        return make

    monkeypatch.setattr(drawn, "_photo_part", counted("photo", (32, 32, 3)))
    monkeypatch.setattr(drawn, "_drawn_background", counted("drawn", (32, 32, 3)))
    for i in range(200):
        drawn._background(np.random.default_rng(i), "train", 32)
    assert 90 < called["photo"] < 150  # 120 of 200, with a standard deviation of 7: four of them are 28
    assert sum(called.values()) == 200


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_backgrounds_are_from_0_to_1(seed):
    for split in drawn.SPLITS:
        made = drawn._background(np.random.default_rng(seed), split, 32)
        assert (made.shape, made.dtype) == ((32, 32, 3), np.float32)
        assert made.min() >= 0
        assert made.max() <= 1


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_clouds_are_smooth_and_reach_from_0_to_1(seed):
    clouds = drawn._clouds(np.random.default_rng(seed), 64)
    assert (clouds.min(), clouds.max()) == (0, 1)
    assert np.abs(np.diff(clouds, axis=0)).mean() < 0.1  # independent values from 0 to 1 differ by 1/3 on average


# ---- pasting ----


def patch_at(top, left, cover, colour=(1.0, 0.5, 0.0)):
    cover = np.array(cover, np.float32)
    return drawn._Patch(
        np.broadcast_to(np.float32(colour), (*cover.shape, 3)), cover, top, left, int((cover > 0.5).sum())
    )


def test_pasting_by_hand():
    """A canvas of 0.2; covered wholly, by 0.6, by a half and not at all."""
    canvas = np.full((2, 4, 3), 0.2, np.float32)
    got, mask = drawn._paste(canvas, patch_at(1, 0, [[1, 0.6, 0.5, 0]]))
    np.testing.assert_allclose(got[1, :, 0], [1, 0.68, 0.6, 0.2], atol=1e-6)  # 0.6 + 0.4 · 0.2, 0.5 + 0.5 · 0.2
    np.testing.assert_allclose(got[1, :, 2], [0, 0.08, 0.1, 0.2], atol=1e-6)
    np.testing.assert_array_equal(got[0], canvas[0])
    assert mask.tolist() == [[False] * 4, [True, True, False, False]]
    assert (canvas == np.float32(0.2)).all()


@given(st.integers(-4, 8), st.integers(-4, 9))
@settings(deadline=None)
def test_pasting_across_the_border_equals_a_slow_loop(top, left):
    cover = np.random.default_rng(0).random((3, 4)).astype(np.float32)
    canvas = np.random.default_rng(1).random((6, 7, 3)).astype(np.float32)
    if top + 3 <= 0 or left + 4 <= 0 or top >= 6 or left >= 7:
        return
    expected, hidden = canvas.copy(), np.zeros((6, 7), bool)
    for y in range(3):
        for x in range(4):
            if 0 <= top + y < 6 and 0 <= left + x < 7:
                place = top + y, left + x
                expected[place] = cover[y, x] * np.float32([1, 0.5, 0]) + (1 - cover[y, x]) * canvas[place]
                hidden[place] = cover[y, x] > 0.5
    got, mask = drawn._paste(canvas, patch_at(top, left, cover))
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(mask, hidden)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1))
@settings(deadline=None)
def test_a_box_around_a_mask_equals_a_slow_loop(places):
    mask = np.zeros((5, 7), bool)
    for y, x in places:
        mask[y, x] = True
    ys, xs = [y for y, _ in places], [x for _, x in places]
    assert drawn._box(mask) == (min(xs) / 7, min(ys) / 5, (max(xs) + 1) / 7, (max(ys) + 1) / 5)


# ---- shapes ----


@pytest.mark.parametrize("draw", [*drawn.DRAW, shapes.distractor, shapes.occluder])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_shapes_are_outlines_in_the_square_in_colours(draw, seed):
    layers = draw(np.random.default_rng(seed))
    assert layers
    for outline, colour in layers:
        assert outline.ndim == 2
        assert outline.shape[0] >= 3
        assert outline.shape[1] == 2
        assert np.abs(outline).max() <= 1 + 1e-9
        assert len(colour) == 3
        assert min(colour) >= 0
        assert max(colour) <= 1
    longest = max(np.abs(outline).max() for outline, _ in layers)
    assert longest == pytest.approx(1)  # it fills the square along a side


@pytest.mark.parametrize("draw", drawn.DRAW)
def test_no_two_objects_of_a_class_are_alike(draw):
    drawings = {
        repr([(outline.tolist(), colour) for outline, colour in draw(np.random.default_rng(i))]) for i in range(50)
    }
    assert len(drawings) == 50


def test_classes_are_drawn_by_their_names():
    assert [draw.__name__ for draw in drawn.DRAW] == list(drawn.CLASSES)


def test_an_ellipse_by_its_equation():
    points = shapes.ellipse(0.2, -0.1, 0.5, 0.3)
    assert points.shape == (40, 2)
    np.testing.assert_allclose(((points - [0.2, -0.1]) / [0.5, 0.3]) ** 2 @ [1, 1], 1)
    np.testing.assert_allclose([points.min(0), points.max(0)], [[-0.3, -0.4], [0.7, 0.2]], atol=1e-9)


def test_a_rectangle_by_hand():
    assert shapes.rectangle(0.25, 1).tolist() == [[-0.25, -1], [0.25, -1], [0.25, 1], [-0.25, 1]]


@given(st.integers(0, 10**6), st.integers(2, 4))
@settings(deadline=None)
def test_the_hues_of_a_palette_lie_apart(seed, count):
    """By 1 / count, of which each may lose a tenth."""
    import colorsys

    colours = shapes.palette(np.random.default_rng(seed), count)
    hues = sorted(colorsys.rgb_to_hsv(*colour)[0] for colour in colours)
    gaps = np.diff([*hues, hues[0] + 1])
    assert len(colours) == count
    assert gaps.min() >= 1 / count - 0.2 - 1e-9
    for colour in colours:
        _, saturation, value = colorsys.rgb_to_hsv(*colour)
        assert saturation >= 0.25 - 1e-9
        assert value >= 0.45 - 1e-9


@pytest.mark.parametrize(
    ("factor", "expected"), [(0, (0, 0, 0)), (0.5, (0.1, 0.25, 0.4)), (1, (0.2, 0.5, 0.8)), (2, (0.4, 1, 1))]
)
def test_a_shade_by_hand(factor, expected):
    assert shapes.shaded((0.2, 0.5, 0.8), factor) == pytest.approx(expected)
