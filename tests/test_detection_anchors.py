"""Anchors equal MXNet's operator bit by bit, d2l's function, and a table made by hand."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook._mxnet import load, nd
from gluonbook.detection import multibox_prior

SIZES = [[0.3], [0.2, 0.272], [0.75, 0.5, 0.25], [1.5, 0.1, 0.9, 0.333]]
RATIOS = [[1], [1, 2, 0.5], [0.7, 3], [2.5, 0.1, 4, 1, 0.5]]

positive = st.floats(1 / 64, 5, width=16)
sides = st.integers(1, 9)


def operator(shape, **arguments):
    return nd.contrib.MultiBoxPrior(nd.zeros((1, 1, *shape)), **arguments).asnumpy()[0]


def assert_same_bits(ours, theirs):
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours.view(np.int32), theirs.view(np.int32))


def slow_priors(height, width, sizes, ratios):
    """One anchor after the other, in Python's float64."""
    anchors = []
    for row in range(height):
        for column in range(width):
            for s, r in [(s, ratios[0]) for s in sizes] + [(sizes[0], r) for r in ratios[1:]]:
                x, y = (column + 0.5) / width, (row + 0.5) / height
                w, h = s * r**0.5 * height / width, s / r**0.5
                anchors.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    return anchors


def test_the_five_anchors_of_three_sizes_and_three_ratios_by_hand():
    """One pixel in the middle of a map one high, two wide: shares of the height are half as large in width.

    Ratios 1, 4 and 1/4 have the roots 1, 2 and 1/2: sides (s·√r/2, s/√r), half of which goes to either side of the
    centres x = 1/4 and y = 1/2.
    """
    anchors = multibox_prior((1, 2), sizes=[0.5, 0.25, 1], ratios=[1, 4, 0.25])
    halves = [(0.125, 0.25), (0.0625, 0.125), (0.25, 0.5), (0.25, 0.125), (0.0625, 0.5)]
    assert len(anchors) == 2 * len(halves)
    assert anchors[:5].tolist() == [[0.25 - w, 0.5 - h, 0.25 + w, 0.5 + h] for w, h in halves]
    assert anchors[5:].tolist() == [[0.75 - w, 0.5 - h, 0.75 + w, 0.5 + h] for w, h in halves]


def test_the_first_ratio_goes_with_every_size():
    """Root 2: width 1/2 · 2, height 1/2 ÷ 2; the second size likewise; the second ratio with the first size only."""
    anchors = multibox_prior((1, 1), sizes=[0.5, 0.25], ratios=[4, 1])
    sides = [(1.0, 0.25), (0.5, 0.125), (0.5, 0.5)]
    assert (anchors[:, 2:] - anchors[:, :2]).tolist() == [list(pair) for pair in sides]


def test_centres_go_row_by_row_pixel_by_pixel():
    anchors = multibox_prior((2, 4), sizes=[0.25])
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres.tolist() == [[x, y] for y in (0.25, 0.75) for x in (0.125, 0.375, 0.625, 0.875)]


def test_an_anchor_of_ratio_1_is_a_square_of_pixels():
    (xmin, ymin, xmax, ymax), *_ = multibox_prior((4, 8), sizes=[0.5])
    assert ((xmax - xmin) * 8, (ymax - ymin) * 4) == (2, 2)


def test_steps_and_offsets_by_hand():
    """Centres (column + 1/4) · 1/2 and (row + 3/4) · 1/8."""
    anchors = multibox_prior((2, 2), sizes=[0.25], steps=(0.125, 0.5), offsets=(0.75, 0.25))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres.tolist() == [[x, y] for y in (0.09375, 0.21875) for x in (0.125, 0.625)]


def test_clip_cuts_at_the_border_and_nowhere_else():
    free = multibox_prior((3, 3), sizes=[0.5, 0.125])
    clipped = multibox_prior((3, 3), sizes=[0.5, 0.125], clip=True)
    assert free.min() < 0
    assert free.max() > 1
    np.testing.assert_array_equal(clipped, np.minimum(np.maximum(free, 0), 1))


@settings(deadline=None)
@given(sides, sides, st.lists(positive, min_size=1, max_size=4), st.lists(positive, min_size=1, max_size=4))
def test_anchors_equal_a_slow_loop(height, width, sizes, ratios):
    anchors = multibox_prior((height, width), sizes, ratios)
    assert anchors.shape == (height * width * (len(sizes) + len(ratios) - 1), 4)
    np.testing.assert_allclose(anchors, slow_priors(height, width, sizes, ratios), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 4), (32, 32), (1, 9)])
@pytest.mark.parametrize("sizes", SIZES, ids=len)
@pytest.mark.parametrize("ratios", RATIOS, ids=len)
def test_anchors_have_the_bits_of_the_operator(shape, sizes, ratios):
    assert_same_bits(multibox_prior(shape, sizes, ratios), operator(shape, sizes=sizes, ratios=ratios))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"clip": True},
        {"steps": (0.1, 0.07)},
        {"offsets": (0.3, 0.6)},
        {"offsets": (0, 0), "clip": True},
        {"steps": (0.3, 0.2), "offsets": (0, 1), "clip": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4)])
def test_every_argument_has_the_operators_meaning(shape, arguments):
    arguments = {"sizes": [0.4, 0.15], "ratios": [1.3, 2, 0.5], **arguments}
    assert_same_bits(multibox_prior(shape, **arguments), operator(shape, **arguments))


def test_the_defaults_are_the_operators():
    assert_same_bits(multibox_prior((3, 5)), operator((3, 5)))


@settings(deadline=None)
@given(
    shape=st.tuples(sides, sides),
    sizes=st.lists(positive, min_size=1, max_size=4),
    ratios=st.lists(positive, min_size=1, max_size=4),
    steps=st.none() | st.tuples(positive, positive),
    offsets=st.tuples(st.floats(0, 1, width=16), st.floats(0, 1, width=16)),
    clip=st.booleans(),
)
def test_any_anchors_have_the_bits_of_the_operator(shape, steps, **arguments):
    arguments.update({} if steps is None else {"steps": steps})
    assert_same_bits(multibox_prior(shape, **arguments), operator(shape, **arguments))


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 4), (16, 16)])
@pytest.mark.parametrize(("sizes", "ratios"), [([0.75, 0.5, 0.25], [1, 2, 0.5]), ([0.3], [0.7, 3]), ([0.1, 0.9], [2])])
def test_anchors_equal_those_of_d2l(shape, sizes, ratios):
    load()  # restores the NumPy names before d2l imports MXNet
    d2l = pytest.importorskip("d2l.mxnet")
    from mxnet import np as mx_np
    from mxnet import npx

    npx.set_np()
    try:
        theirs = d2l.multibox_prior(mx_np.zeros((1, 1, *shape)), sizes, ratios).asnumpy()
    finally:
        npx.reset_np()
    assert theirs.shape[0] == 1
    np.testing.assert_allclose(multibox_prior(shape, sizes, ratios), theirs[0], rtol=0, atol=3e-7)  # a few roundings


@pytest.mark.parametrize("values", [(0.5, 0.25), np.array([0.5, 0.25]), [np.float32(0.5), np.float64(0.25)]])
def test_numbers_of_any_kind_are_taken(values):
    np.testing.assert_array_equal(
        multibox_prior(np.array([2, 3]), values, values), multibox_prior((2, 3), *[[0.5, 0.25]] * 2)
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sizes": []}, ValueError, "sizes must be at least one number, got none"),
        ({"ratios": ()}, ValueError, "ratios must be at least one number, got none"),
        ({"sizes": [0.5, 0]}, ValueError, "sizes[1] must be above 0, got 0"),
        ({"ratios": [1, 2, -0.5]}, ValueError, "ratios[2] must be above 0, got -0.5"),
        ({"sizes": [float("nan")]}, ValueError, "sizes[0] must be above 0, got nan"),
        ({"ratios": ["1"]}, TypeError, "ratios[0] must be a number, got '1' (str)"),
        ({"shape": (0, 3)}, ValueError, "shape must be at least 1, got 0"),
        ({"shape": (3, 2.5)}, TypeError, "shape must be a whole number, got 2.5 (float)"),
        ({"shape": (1, 3, 3)}, ValueError, "shape must be two numbers, (y, x), got (1, 3, 3)"),
        ({"steps": (0.1,)}, ValueError, "steps must be two numbers, (y, x), got (0.1,)"),
        ({"steps": (0.1, 0)}, ValueError, "steps[1] must be above 0, got 0"),
        ({"offsets": (0.5, 1.5)}, ValueError, "offsets[1] must be at least 0 and at most 1, got 1.5"),
        ({"offsets": (float("nan"), 0)}, ValueError, "offsets[0] must be at least 0 and at most 1, got nan"),
        ({"offsets": (0.5, 0.5, 0.5)}, ValueError, "offsets must be two numbers, (y, x), got (0.5, 0.5, 0.5)"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        multibox_prior(**{"shape": (2, 2), **arguments})
