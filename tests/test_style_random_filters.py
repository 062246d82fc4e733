"""Random features equal slow NumPy, are the same for the same seed, and look at what they say they look at."""

import re

import mxnet
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from style_helpers import outputs, photo, pyramid, reach_of, slow_convolution, slow_pyramid

from gluonbook._mxnet import autograd, mx, nd
from gluonbook.style import random_filters
from gluonbook.style.random_filters import (
    CHROMATIC,
    NUM_COLOURS,
    NUM_CONTENT,
    NUM_FILTERS,
    NUM_SUMS,
    SIZE,
    UNWHITENED,
    WINDOW,
    content_level,
    num_levels_of,
    random_features,
)


def array(parameter):
    return parameter.data().asnumpy()


def named(features, x):
    return dict(zip(features.layers, (part[0] for part in outputs(features, x))))


def photograph_like(height, width, seed):
    """Return (3, height, width): noise whose amplitudes fall as 1/f, mostly grey, of deviation 1."""
    rng = np.random.default_rng(seed)
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij"))
    amplitudes = np.where(frequencies > 0, 1 / np.maximum(frequencies, 1e-9), 0)
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((3, height, width))) * amplitudes).real
    noise = noise.mean(0) + random_filters.CHROMA * (noise - noise.mean(0))
    return noise / noise.std()


# ---- what they are ----


@pytest.mark.parametrize(("height", "width"), [(48, 70), (61, 51)])
@pytest.mark.parametrize("levels", [2, 3])
def test_the_outputs_equal_slow_numpy(levels, height, width):
    features, x = pyramid(levels), photo(height, width)
    slow = slow_pyramid(features.net, levels, x[0])
    for name, got in named(features, x).items():
        np.testing.assert_allclose(got, slow[name], rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("height", "width", "levels"),
    [(48, 48, 2), (95, 500, 2), (96, 97, 3), (200, 300, 4), (800, 1200, 6), (232, 332, 4)],
)
def test_layers_strides_and_content_by_hand(height, width, levels):
    features = random_features(height, width, 0, mx.cpu())
    names = [f"{kind}{level}" for level in range(levels) for kind in ("filters", "sums")]
    grey = f"grey{levels - 2}"
    assert num_levels_of(height, width) == num_levels_of(width, height) == levels
    assert features.layers == (*names, grey)
    assert features.strides == (*(2**level for level in range(levels) for _ in "fs"), 2 ** (levels - 2))
    assert tuple(features.style) == tuple(names)
    assert tuple(features.content) == (grey,)
    assert features.relative


def test_a_layers_size_is_the_pictures_over_its_stride_and_a_fraction_counts_as_one():
    shapes = {name: part.shape for name, part in named(pyramid(3), photo(101, 75)).items()}
    sizes = [(101, 75), (51, 38), (26, 19)]
    assert shapes == {
        **{f"filters{level}": (NUM_FILTERS, *size) for level, size in enumerate(sizes)},
        **{f"sums{level}": (NUM_SUMS, *size) for level, size in enumerate(sizes)},
        "grey1": (NUM_CONTENT, 51, 38),
    }


@settings(deadline=None)
@given(st.integers(48, 5000), st.integers(48, 5000))
def test_the_coarsest_level_has_24_to_48_rows_or_columns(height, width):
    levels = num_levels_of(height, width)
    assert 24 <= min(height, width) / 2 ** (levels - 1) < 48
    assert levels >= 2


def test_the_content_is_looked_for_at_the_level_next_to_the_coarsest():
    assert [content_level(count) for count in (1, 2, 3, 6)] == [0, 0, 1, 4]


def test_every_style_layer_has_the_same_weight_and_all_together_1():
    for levels in (2, 3):
        weights = list(pyramid(levels).style.values())
        assert len(set(weights)) == 1
        assert sum(weights) == pytest.approx(1)


def test_all_levels_share_their_filters():
    """What the second level finds is what the first finds in the halved picture."""
    x = photo(61, 80)
    halved = np.stack(
        [slow_convolution(np.pad(part, 2, "reflect")[None], binomial()[None, None], stride=2)[0] for part in x[0]]
    )
    second, first = named(pyramid(), x), named(pyramid(), halved[None].astype(np.float32))
    for kind in ("filters", "sums"):
        np.testing.assert_allclose(second[f"{kind}1"], first[f"{kind}0"], rtol=1e-3, atol=1e-4)


def binomial():
    """The products of 1/16, 4/16, 6/16, 4/16 and 1/16 (Burt & Adelson 1983)."""
    row = np.array([1, 4, 6, 4, 1]) / 16
    return np.outer(row, row)


def test_nothing_is_learnt_the_network_is_compiled_and_the_picture_has_a_gradient():
    features, x = pyramid(), nd.array(photo(48, 50))
    assert {param.grad_req for param in features.net.collect_params().values()} == {"null"}
    assert features.net._active
    assert dict(features.net._flags)["static_alloc"]
    x.attach_grad()
    with autograd.record():
        loss = sum(part.sum() for part in features.net(x))
    loss.backward()
    assert (np.abs(x.grad.asnumpy()) > 0).mean() > 0.9


# ---- seeds ----


def test_the_same_seed_gives_the_same_features_whatever_was_drawn_before():
    found = []
    for _ in range(2):
        np.random.seed(len(found))
        mxnet.random.seed(len(found))
        nd.random.normal(shape=(3,)).asnumpy()
        found.append(outputs(random_features(60, 70, 7, mx.cpu()), photo(60, 70)))
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)


def test_the_size_of_the_picture_does_not_change_what_is_drawn():
    small, large = (random_features(side, side, 3, mx.cpu()) for side in (50, 210))
    for name in ("filters", "sums", "grey"):
        np.testing.assert_array_equal(*(array(getattr(features.net, name).weight) for features in (small, large)))


def test_another_seed_gives_others():
    one, other = (pyramid(2, seed).net for seed in (0, 1))
    for name in ("filters", "sums", "grey"):
        kernels = [array(getattr(net, name).weight).reshape(-1) for net in (one, other)]
        assert abs(np.corrcoef(*kernels)[0, 1]) < 0.2
    assert not np.array_equal(array(one.filters.bias), array(other.filters.bias))
    assert not np.array_equal(array(one.sums.bias), array(other.sums.bias))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_two_filters_are_alike(seed):
    net = pyramid(2, seed).net
    for kernels in (array(net.filters.weight)[NUM_COLOURS:], array(net.sums.weight), array(net.grey.weight)):
        rows = kernels.reshape(len(kernels), -1)
        assert np.abs(np.corrcoef(rows) - np.eye(len(rows))).max() < 0.95


# ---- what they see ----


@pytest.mark.parametrize("seed", [0, 1])
def test_filters_sum_to_0_but_those_of_colours(seed):
    net = pyramid(2, seed).net
    sums = array(net.filters.weight).astype(np.float64).sum((2, 3))
    scale = np.abs(array(net.filters.weight)).sum((2, 3))
    assert (np.abs(sums[NUM_COLOURS:]) <= 1e-5 * scale[NUM_COLOURS:]).all()
    assert (np.abs(sums[:NUM_COLOURS]).max(1) > 0.1).all()
    assert np.abs(array(net.sums.weight).astype(np.float64).sum((1, 2, 3))).max() < 1e-4
    assert np.abs(array(net.grey.weight).astype(np.float64).sum((2, 3))).max() < 1e-5


@pytest.mark.parametrize("colour", [(0, 0, 0), (1.5, -0.7, 0.2)])
def test_in_a_plain_picture_all_but_colours_is_the_bias(colour):
    x = np.broadcast_to(np.array(colour, np.float32)[:, None, None], (3, 50, 60))[None]
    features = pyramid()
    found, biases = named(features, x), array(features.net.filters.bias)
    for level in range(2):
        plain = found[f"filters{level}"]
        expected = np.maximum(biases, 0)[NUM_COLOURS:, None, None]
        np.testing.assert_allclose(plain[NUM_COLOURS:], np.broadcast_to(expected, plain[NUM_COLOURS:].shape), atol=1e-4)
        assert plain.std((1, 2)).max() < 1e-4
    assert np.abs(found["grey0"]).max() < 1e-4


def test_a_colour_filter_is_a_colour_through_a_bell():
    """Three numbers times one window, whose deviation is its side over 2.5."""
    bell = np.exp(-np.square((np.arange(SIZE) - SIZE // 2) / (SIZE / WINDOW)) / 2)
    for kernel in array(pyramid().net.filters.weight)[:NUM_COLOURS]:
        colour = kernel[:, SIZE // 2, SIZE // 2]
        expected = colour[:, None, None] * np.outer(bell, bell)
        np.testing.assert_allclose(kernel, expected, rtol=1e-4, atol=1e-5 * np.abs(colour).max())


def test_every_second_filter_is_blind_to_grey():
    grey, features = photo(60, 70)[:, :1].repeat(3, 1), pyramid()
    found, biases = named(features, grey), array(features.net.filters.bias)
    for level in range(2):
        blind = found[f"filters{level}"][::CHROMATIC]
        expected = np.maximum(biases, 0)[::CHROMATIC, None, None]
        np.testing.assert_allclose(blind, np.broadcast_to(expected, blind.shape), atol=1e-4)
    assert found["filters0"][NUM_COLOURS + 1 :: CHROMATIC].std((1, 2)).min() > 0.1
    assert named(features, photo(60, 70))["filters0"][::CHROMATIC].std((1, 2)).min() > 0.1


def test_grey_filters_see_no_hue():
    x, features = photo(60, 70), pyramid()
    kernels = array(features.net.grey.weight)
    np.testing.assert_array_equal(kernels, kernels[:, :1].repeat(3, 1))
    hue = photo(60, 70, 9)
    hue -= hue.mean(1, keepdims=True)  # three channels that sum to 0
    before, after = (named(features, array)["grey0"] for array in (x, x + hue))
    np.testing.assert_allclose(after, before, atol=1e-3)
    assert np.abs(named(features, x + hue)["filters0"] - named(features, x)["filters0"]).max() > 1


@pytest.mark.parametrize("seed", [0, 1])
def test_on_noise_like_photographs_everything_has_a_deviation_of_about_1(seed):
    """Of noise that the features were not scaled on: so no filter drowns the others."""
    net, noise = pyramid(2, seed).net, photograph_like(160, 240, 77)
    kernels, biases = array(net.filters.weight), array(net.filters.bias)
    found = slow_convolution(noise, kernels, biases)
    sums = slow_convolution(np.maximum(found, 0), array(net.sums.weight), array(net.sums.bias))
    for values in (found, sums, slow_convolution(noise, array(net.grey.weight))):
        deviations = values.std((1, 2))
        assert 0.6 < deviations.min() <= np.median(deviations) <= deviations.max() < 1.5
        assert 0.8 < np.median(deviations) < 1.2


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sums_bias_alone_decides_in_how_many_places_it_is_on(seed):
    """What it finds on the average is taken off: what is left does not depend on that."""
    net, noise = pyramid(2, seed).net, photograph_like(160, 240, 78)
    found = np.maximum(slow_convolution(noise, array(net.filters.weight), array(net.filters.bias)), 0)
    found = slow_convolution(found, array(net.sums.weight))
    sums = found + array(net.sums.bias)[:, None, None]
    assert found.mean((1, 2)).std() > 0.5
    assert abs(np.corrcoef(found.mean((1, 2)), sums.mean((1, 2)))[0, 1]) < 0.4  # of 64 draws
    assert abs(sums.mean()) < 0.4
    assert 0.4 < (sums > 0).mean() < 0.6


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_whitened_filters_see_fine_noise_that_the_others_hardly_see(seed):
    """All have deviation 1 on noise like photographs; on noise of single pixels it is a kernel's norm."""
    norms = np.sqrt(np.square(array(pyramid(2, seed).net.filters.weight)).sum((1, 2, 3)))
    first = int(NUM_FILTERS * UNWHITENED)
    for kind in range(CHROMATIC):  # those that are blind to grey, and the others
        unwhitened = norms[NUM_COLOURS:first][kind::CHROMATIC]
        whitened = norms[first:][kind::CHROMATIC]
        assert np.median(whitened) > 1.2 * np.median(unwhitened)
    assert whitened.min() > unwhitened.max()


# ---- how far they look ----


@pytest.mark.parametrize(("levels", "margin"), [(2, 10), (3, 24)])
def test_a_pixel_farther_away_than_the_margin_changes_nothing(levels, margin):
    """A coarsest position of stride s looks 4 s far, and the halvings 2 + 4 + … + s: 8 + 2, and 16 + 6, of 4 · 6."""
    features = pyramid(levels)
    assert features.margin == margin
    stride, x = features.strides[-2], photo(112, 112)
    farthest = 0
    for i in range(stride):
        place = (56 + i, 56 - i)
        reaches = {layer: reach_of(features, layer, x, place) for layer in features.layers}
        assert max(reaches.values()) <= margin
        farthest = max(farthest, max(reaches.values()))
    assert farthest > margin - stride - 1


def test_the_margin_of_the_notes_larger_stage_is_a_multiple_of_every_stride():
    features = random_features(800, 1200, 0, mx.cpu())
    assert features.margin == 192  # 2 · 31 + 32 · 4 = 190
    assert all(features.margin % stride == 0 for stride in features.strides)


# ---- refused ----


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((47, 60, 0), "height must be at least 48, got 47"),
        ((60, 47, 0), "width must be at least 48, got 47"),
        ((60, 60, -1), "seed must be at least 0, got -1"),
    ],
)
def test_too_small_pictures_and_seeds_below_0_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        random_features(*arguments, mx.cpu())


def test_a_seed_that_is_no_whole_number_is_refused():
    with pytest.raises(TypeError, match=r"^seed must be a whole number, got 0\.5 \(float\)$"):
        random_features(60, 60, 0.5, mx.cpu())
