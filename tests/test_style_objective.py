"""What is minimised equals the formula in slow NumPy, and tiles leave no seams."""

import functools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from style_helpers import perturbed, photo, pyramid, slow_gram, slow_pyramid, slow_tv, slow_vgg, thin_vgg

from gluonbook._mxnet import mx, nd
from gluonbook.style import objective
from gluonbook.style.features import Weights
from gluonbook.style.objective import FAINT, Losses, Style, evaluate, layer_shapes, make_objective, tiles

# A rounding that turns a ReLU on would move the gradient by more than rounding: the examples are the same in every run.
FEW = settings(deadline=None, max_examples=6, derandomize=True)
BOOKS = Weights(1.0, 1000.0, 10.0)
LAYERS = {"content": ["conv2_2", "relu1_1"], "style": ["conv1_1", "conv2_1", "conv3_1"]}


@functools.cache
def shallow():
    """A thin VGG that looks 12 pixels far, and its weights."""
    return thin_vgg("vgg16", **LAYERS)


def features_of(kind):
    return {"vgg": lambda: shallow()[0], "relative vgg": relative, "random": pyramid}[kind]()


def relative():
    return shallow()[0]._replace(relative=True)


def slow_outputs(kind, x):
    if kind == "random":
        return slow_pyramid(pyramid().net, 2, x[0])
    return slow_vgg(shallow()[1], "vgg16", x[0])


def shares_of(old, new):
    """Return (new, old): how much of each old position a new one covers, as shares of the new one."""
    edges, positions = np.linspace(0, old, new + 1), np.arange(old)
    overlap = np.minimum(edges[1:, None], positions + 1) - np.maximum(edges[:-1, None], positions)
    return np.maximum(overlap, 0) * new / old


def slow_losses(kind, x, content, styles, weights):
    """The formula: (content, style, total variation), with their weights, in float64."""
    features, found, wanted = features_of(kind), slow_outputs(kind, x), slow_outputs(kind, content)
    content_loss = sum(
        weight
        * np.square(found[layer] - wanted[layer]).mean()
        / (np.square(wanted[layer]).mean() if features.relative else 1)
        for layer, weight in features.content.items()
    )
    style_loss, total = 0.0, sum(style.weight for style in styles)
    for style in styles:
        of_style = slow_outputs(kind, style.X)
        for layer, weight in features.style.items():
            height, width = found[layer].shape[1:]
            mask = style.mask
            if mask is not None:
                mask = shares_of(mask.shape[0], height) @ mask @ shares_of(mask.shape[1], width).T
            G_hat, G = slow_gram(found[layer], mask), slow_gram(of_style[layer])
            squares = np.square(G_hat - G)
            if features.relative:  # to the energies of an entry's two channels, the faint ones raised
                energies = np.diag(G) + FAINT * np.diag(G).mean()
                squares = squares / energies[:, None] / energies
            style_loss += style.weight / total * weight * squares.mean()
    return weights.content * content_loss, weights.style * style_loss, weights.tv * slow_tv(x[0].astype(np.float64))


def pictures(height, width, which):
    """Return x, content and styles: one, several with weights, of which none, one, or two of three have masks."""
    content = photo(height, width)
    styles = [Style(photo(height + 5, width - 4, 2))]
    if which != "one":
        styles = [styles[0]._replace(weight=1.0), Style(photo(height - 3, width + 8, 3), 3.0)]
    if which in ("mask", "masks"):
        mask = np.random.default_rng(4).uniform(0, 1, (height, width)).astype(np.float32)
        mask[: height // 3] = 0
        styles[0] = styles[0]._replace(mask=mask)
        styles += [Style(photo(height, width, 5), 0.5, 1 - mask)] if which == "masks" else []
    return perturbed(content), content, styles


def whole_and_tiled(features, x, content, styles, side, weights=BOOKS):
    return [evaluate(make_objective(features, content, styles, weights, tile, mx.cpu()), x) for tile in (None, side)]


def assert_no_seams(features, x, content, styles, side):
    (losses, gradient), (tiled_losses, tiled_gradient) = whole_and_tiled(features, x, content, styles, side)
    np.testing.assert_allclose(tiled_losses, losses, rtol=1e-5)
    assert np.abs(tiled_gradient - gradient).max() <= 1e-5 * np.abs(gradient).max()


# ---- the formula ----


@pytest.mark.parametrize("which", ["one", "several", "masks"])
@pytest.mark.parametrize("kind", ["vgg", "relative vgg", "random"])
def test_the_losses_equal_the_formula(kind, which):
    x, content, styles = pictures(26, 35, which)
    losses, gradient = evaluate(make_objective(features_of(kind), content, styles, BOOKS, None, mx.cpu()), x)
    np.testing.assert_allclose(losses, slow_losses(kind, x, content, styles, BOOKS), rtol=2e-4)
    assert losses.total == sum(losses)
    assert (gradient.shape, gradient.dtype) == (x.shape, np.float32)


@pytest.mark.parametrize("which", ["one", "masks"])
@pytest.mark.parametrize("kind", ["vgg", "relative vgg", "random"])
def test_the_gradient_equals_centred_differences(kind, which):
    """Of the formula in float64, at the corners and at a few other places."""
    x, content, styles = pictures(26, 35, which)
    _, gradient = evaluate(make_objective(features_of(kind), content, styles, BOOKS, None, mx.cpu()), x)
    rng, step = np.random.default_rng(0), 1e-6
    places = [(0, 0, 0, 0), (0, 2, 25, 34), *(tuple(rng.integers(0, x.shape)) for _ in range(6))]
    for place in places:
        values = []
        for sign in (1, -1):
            moved = x.astype(np.float64)
            moved[place] += sign * step
            values.append(sum(slow_losses(kind, moved, content, styles, BOOKS)))
        expected = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(gradient[place], expected, rtol=1e-3, atol=1e-3 * np.abs(gradient).max())


def test_each_loss_has_its_own_weight():
    x, content, styles = pictures(26, 35, "several")
    losses = [
        evaluate(make_objective(features_of("vgg"), content, styles, weights, None, mx.cpu()), x)[0]
        for weights in (Weights(1, 1, 1), Weights(2, 30, 0.5), Weights(0, 0, 0))
    ]
    np.testing.assert_allclose(losses[1], np.multiply(losses[0], (2, 30, 0.5)), rtol=1e-5)
    assert losses[2] == Losses(0, 0, 0)


def test_each_layer_has_its_own_weight():
    x, content, styles = pictures(26, 35, "one")
    heavier = shallow()[0]._replace(
        content={"conv2_2": 2.0, "relu1_1": 0.5}, style={"conv1_1": 0.0, "conv2_1": 3.0, "conv3_1": 1.0}
    )
    losses, _ = evaluate(make_objective(heavier, content, styles, BOOKS, None, mx.cpu()), x)
    found, wanted, of_style = (slow_outputs("vgg", array) for array in (x, content, styles[0].X))
    grams = [np.square(slow_gram(found[layer]) - slow_gram(of_style[layer])).mean() for layer in ("conv2_1", "conv3_1")]
    means = [np.square(found[layer] - wanted[layer]).mean() for layer in ("conv2_2", "relu1_1")]
    np.testing.assert_allclose(losses[:2], (np.dot(means, (2, 0.5)), 1000 * np.dot(grams, (3, 1))), rtol=1e-4)


@pytest.mark.parametrize("tile", [None, 40])
def test_a_picture_has_its_own_content_and_its_own_style(tile):
    _, content, _ = pictures(50, 61, "one")
    losses, gradient = evaluate(
        make_objective(features_of("vgg"), content, [Style(content)], Weights(1, 1000, 0), tile, mx.cpu()), content
    )
    np.testing.assert_allclose(losses, 0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_several_styles_are_the_mean_of_each_by_its_share():
    x, content, (one, other) = pictures(26, 35, "several")

    def style_loss(*styles):
        return evaluate(make_objective(features_of("vgg"), content, styles, BOOKS, None, mx.cpu()), x)[0].style

    alone = style_loss(one), style_loss(other)
    assert alone[0] != pytest.approx(alone[1], rel=0.01)
    for weights, factor in (((1, 3), 1), ((1, 3), 100), ((5, 1), 0.01)):
        weighted = [style._replace(weight=factor * weight) for style, weight in zip((one, other), weights)]
        assert style_loss(*weighted) == pytest.approx(np.average(alone, weights=weights), rel=1e-5)
    assert style_loss(one._replace(weight=7.0)) == pytest.approx(alone[0], rel=1e-6)
    assert style_loss(one, one) == pytest.approx(alone[0], rel=1e-6)


def test_a_mask_of_ones_is_no_mask_and_its_brightness_does_not_count():
    x, content, (style,) = pictures(26, 35, "one")
    found = []
    for mask in (None, np.ones((26, 35), np.float32), np.full((26, 35), 0.25, np.float32)):
        masked = style._replace(mask=mask)
        found.append(evaluate(make_objective(features_of("random"), content, [masked], BOOKS, None, mx.cpu()), x))
    for losses, gradient in found[1:]:
        np.testing.assert_allclose(losses, found[0][0], rtol=1e-5)
        np.testing.assert_allclose(gradient, found[0][1], rtol=1e-4, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("tile", [None, 20])
def test_a_style_acts_where_its_mask_is_and_nowhere_else(tile):
    """The first convolution looks one pixel far."""
    features, _ = thin_vgg(content=["conv1_1"], style=["conv1_1"])
    x, content, (style,) = pictures(41, 50, "one")
    mask = np.zeros((41, 50), np.float32)
    mask[10:30, 15:35] = 1
    task = make_objective(features, content, [style._replace(mask=mask)], Weights(0, 1000, 0), tile, mx.cpu())
    acts = (evaluate(task, x)[1][0] != 0).any(0)
    assert acts[9:31, 14:36].all()
    assert acts.sum() == 22 * 22


def test_styles_without_a_mask_compare_the_same_gram_matrices():
    _, content, styles = pictures(26, 35, "several")

    def measures(*styles):
        return len(make_objective(features_of("vgg"), content, styles, BOOKS, None, mx.cpu()).measures)

    masked = [style._replace(mask=np.ones((26, 35), np.float32)) for style in styles]
    assert measures(*styles) == 3
    assert measures(*masked) == 6
    assert measures(styles[0], masked[0], styles[1]) == 6


@pytest.mark.parametrize("which", ["content", "style"])
def test_relative_losses_do_not_know_the_scale_of_the_features(which):
    """Outputs twice as large make mean squares four times as large; those of Gram matrices 16 times."""
    x, content, styles = pictures(26, 35, "one")
    scaled, _ = thin_vgg(content=["conv1_1"], style=["conv1_1"])
    layer = {"content": {"conv1_1": 1.0}, "style": {"conv1_1": 1.0}}
    found = []
    for factor in (1, 2):
        for param in scaled.net.collect_params().values():
            param.set_data(param.data() * factor)
        for relative in (False, True):
            features = scaled._replace(relative=relative, **layer)
            losses, _ = evaluate(make_objective(features, content, styles, BOOKS, None, mx.cpu()), x)
            found.append(getattr(losses, which))
    assert found[2] == pytest.approx(found[0] * {"content": 4, "style": 16}[which], rel=1e-5)
    assert found[3] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize("tile", [None, 40])
@pytest.mark.parametrize("value", [0.0, 1.3])
def test_a_picture_of_one_colour_has_losses_and_a_gradient(value, tile):
    """The differences that the content's filters look for are 0, and what is relative to them is not."""
    plain, other = np.full((1, 3, 50, 51), value, np.float32), photo(50, 51)
    with np.errstate(all="raise"):
        for features in (pyramid(), relative()):
            for content, style in ((plain, other), (other, plain), (plain, plain)):
                task = make_objective(features, content, [Style(style)], BOOKS, tile, mx.cpu())
                for x in (plain, other):
                    losses, gradient = evaluate(task, x)
                    assert np.isfinite(losses).all()
                    assert np.isfinite(gradient).all()


def test_layers_that_find_nothing_are_compared_with_nothing_and_not_with_its_square():
    features, _ = thin_vgg(content=["conv1_1"], style=["conv1_1"])
    for param in features.net.collect_params().values():
        param.set_data(nd.zeros_like(param.data()))
    x, content, styles = pictures(26, 35, "one")
    for relative in (False, True):
        task = make_objective(features._replace(relative=relative), content, styles, BOOKS, None, mx.cpu())
        losses, gradient = evaluate(task, x)
        assert losses[:2] == (0, 0)
        assert np.isfinite(gradient).all()


def test_the_picture_is_not_changed_and_the_same_twice_is_the_same():
    x, content, styles = pictures(50, 60, "masks")
    for tile in (None, 40):
        task, before = make_objective(features_of("vgg"), content, styles, BOOKS, tile, mx.cpu()), x.copy()
        first, second = evaluate(task, x), evaluate(task, x)
        assert first[0] == second[0]
        np.testing.assert_array_equal(first[1], second[1])
        np.testing.assert_array_equal(x, before)


def test_a_later_picture_is_compared_with_the_same():
    """What was computed for one picture is not left over in the next."""
    x, content, styles = pictures(50, 60, "several")
    for tile in (None, 40):
        fresh = evaluate(make_objective(features_of("vgg"), content, styles, BOOKS, tile, mx.cpu()), x)
        task = make_objective(features_of("vgg"), content, styles, BOOKS, tile, mx.cpu())
        evaluate(task, perturbed(x, 2.0))
        again = evaluate(task, x)
        assert again[0] == fresh[0]
        np.testing.assert_array_equal(again[1], fresh[1])


# ---- tiles ----


@pytest.mark.parametrize("which", ["one", "mask", "masks"])
@pytest.mark.parametrize(("height", "width", "side"), [(60, 75, 40), (67, 41, 32), (53, 130, 48)])
def test_tiles_of_a_vgg_leave_no_seams(height, width, side, which):
    assert_no_seams(features_of("vgg"), *pictures(height, width, which), side)


@pytest.mark.parametrize(("levels", "height", "width", "side"), [(2, 60, 81, 40), (2, 57, 75, 32), (3, 101, 71, 64)])
def test_tiles_of_random_features_leave_no_seams(levels, height, width, side):
    assert_no_seams(pyramid(levels), *pictures(height, width, "mask"), side)


def test_tiles_of_the_books_layers_leave_no_seams():
    """Five blocks, which look 64 pixels far."""
    assert_no_seams(thin_vgg("vgg16")[0], *pictures(201, 263, "mask"), 176)


@FEW
@given(st.integers(40, 70), st.integers(40, 70), st.integers(9, 14), st.booleans())
def test_tiles_of_any_size_leave_no_seams(height, width, quarter, of_vgg):
    features = shallow()[0] if of_vgg else pyramid()
    assert_no_seams(features, *pictures(height, width, "mask"), 4 * quarter)


@pytest.mark.parametrize("kind", ["vgg", "random"])
def test_a_margin_that_is_a_stride_smaller_leaves_seams(kind):
    """conv2_1 looks 4 pixels far, random features of two levels 10: 2 and 8 are not enough."""
    features = thin_vgg(content=["conv1_1"], style=["conv2_1"])[0] if kind == "vgg" else pyramid()
    assert features.margin == {"vgg": 4, "random": 10}[kind]
    x, content, styles = pictures(60, 71, "one")
    assert_no_seams(features, x, content, styles, 40)
    narrow = features._replace(margin=features.margin - 2)
    (_, gradient), (_, tiled) = whole_and_tiled(narrow, x, content, styles, 40)
    assert np.abs(tiled - gradient).max() > 1e-4 * np.abs(gradient).max()


def test_a_tile_larger_than_the_picture_is_the_picture():
    x, content, styles = pictures(50, 61, "masks")
    (losses, gradient), (tiled_losses, tiled) = whole_and_tiled(features_of("vgg"), x, content, styles, 64)
    np.testing.assert_allclose(tiled_losses, losses, rtol=1e-6)
    np.testing.assert_allclose(tiled, gradient, rtol=1e-4, atol=1e-6 * np.abs(gradient).max())


def test_tiles_by_hand():
    """Of 70 pixels, tiles of 32 with margins of 8: 24 at the borders, 16 within, and what is left."""
    spans = [(tile.columns, tile.outer_columns) for tile in tiles(8, 70, 32, 8, 4)]
    assert spans == [((0, 24), (0, 32)), ((24, 40), (16, 48)), ((40, 56), (32, 64)), ((56, 70), (36, 70))]
    assert {(tile.rows, tile.outer_rows) for tile in tiles(8, 70, 32, 8, 4)} == {((0, 8), (0, 8))}
    assert [tile.rows for tile in tiles(50, 50, 32, 8, 4)] == [(0, 24), (0, 24), (24, 50), (24, 50)]
    assert tiles(32, 32, 32, 8, 4) == [objective.Tile((0, 32), (0, 32), (0, 32), (0, 32))]


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 120), st.integers(1, 120), st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, 3), st.integers(1, 6)
)
def test_tiles_cover_each_pixel_once_within_margins_and_are_of_few_sizes(height, width, stride, margins, own):
    margin, side = margins * stride, (2 * margins + own) * stride
    parts = tiles(height, width, side, margin, stride)
    covered, sizes = np.zeros((height, width), int), set()
    for part in parts:
        covered[slice(*part.rows), slice(*part.columns)] += 1
        sizes.add((part.outer_rows[1] - part.outer_rows[0], part.outer_columns[1] - part.outer_columns[0]))
        axes = ((part.rows, part.outer_rows, height), (part.columns, part.outer_columns, width))
        for (start, stop), (outer_start, outer_stop), length in axes:
            assert 0 <= outer_start <= start < stop <= outer_stop <= length
            assert outer_start == 0 or start - outer_start >= margin
            assert outer_stop == length or outer_stop - stop >= margin
            assert start % stride == outer_start % stride == 0
            assert stop == length or stop % stride == 0
            assert outer_stop - outer_start <= side + stride - 1
            assert outer_stop - outer_start == min(side, length) or outer_stop == length
    assert (covered == 1).all()
    assert len(sizes) <= 4
    needed = [-(-max(length - side, 0) // (own * stride)) + 1 for length in (height, width)]
    assert len(parts) <= needed[0] * needed[1]


@pytest.mark.parametrize(("side", "margin", "stride"), [(16, 8, 4), (12, 8, 4), (0, 0, 1), (34, 8, 4), (-4, 8, 4)])
def test_tiles_that_are_all_margin_or_no_multiple_of_the_stride_are_refused(side, margin, stride):
    expected = f"a tile's side must be a multiple of {stride} above {2 * margin}, got {side}"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        tiles(100, 100, side, margin, stride)


def test_a_transfer_with_such_tiles_is_refused_before_anything_is_computed():
    _, content, styles = pictures(60, 70, "one")
    with pytest.raises(ValueError, match="a tile's side must be a multiple of 4 above 24, got 24"):
        make_objective(features_of("vgg"), content, styles, BOOKS, 24, mx.cpu())


@pytest.mark.parametrize("kind", ["vgg", "random"])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (49, 71)])
def test_the_shapes_of_layers_are_told_without_computing_them(kind, height, width):
    features = features_of(kind)
    computed = [part.shape[1:] for part in features.net(nd.zeros((1, 3, height, width)))]
    assert layer_shapes(features, height, width) == dict(zip(features.layers, computed))
