"""The losses equal slow loops and numbers by hand; Gram matrices have the properties that the formula gives them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook._mxnet import autograd, nd
from gluonbook.style.losses import content_loss, gram, products, style_loss, tv_loss

EXAMPLES = settings(deadline=None, max_examples=30)

seeds = st.integers(0, 2**32 - 1)
shapes = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 6), st.integers(2, 6))


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def number(loss):
    assert loss.shape == (1,)
    assert loss.dtype == np.float32
    return float(loss.asscalar())


def slow_content(Y_hat, Y):
    total = 0.0
    for place in np.ndindex(Y.shape):
        total += (float(Y_hat[place]) - float(Y[place])) ** 2
    return total / Y.size


def slow_grams(Y, mask=None):
    """Position by position."""
    N, C, H, W = Y.shape
    mask = np.ones((1, 1, H, W)) if mask is None else mask
    grams, count = np.zeros((N, C, C)), sum(float(value) ** 2 for value in mask.ravel())
    for n, a, b, row, column in np.ndindex(N, C, C, H, W):
        share = float(mask[0, 0, row, column]) ** 2
        grams[n, a, b] += share * float(Y[n, a, row, column]) * float(Y[n, b, row, column])
    return grams / (C * count)


def slow_tv(X):
    N, C, H, W = X.shape
    down = [abs(X[n, c, i + 1, j] - X[n, c, i, j]) for n, c, i, j in np.ndindex(N, C, H - 1, W)]
    right = [abs(X[n, c, i, j + 1] - X[n, c, i, j]) for n, c, i, j in np.ndindex(N, C, H, W - 1)]
    return 0.5 * (np.mean(down, dtype=float) + np.mean(right, dtype=float))


def gradient(loss, *arrays):
    """Return the derivatives of a loss by the first array."""
    parts = [nd.array(array) for array in arrays]
    parts[0].attach_grad()
    with autograd.record():
        value = loss(*parts)
    value.backward()
    return parts[0].grad.asnumpy()


def numeric(loss, array, *others):
    """Return centred differences of a loss that computes in float64."""
    array, found, step = array.astype(np.float64), np.zeros(array.shape), 1e-5
    for place in np.ndindex(array.shape):
        higher, lower = array.copy(), array.copy()
        higher[place] += step
        lower[place] -= step
        found[place] = (loss(higher, *others) - loss(lower, *others)) / (2 * step)
    return found


def test_content_by_hand():
    """Differences 1, −2, 0 and 3: (1 + 4 + 0 + 9) / 4."""
    Y_hat, Y = nd.array([[[[2, 0], [5, 7]]]]), nd.array([[[[1, 2], [5, 4]]]])
    assert number(content_loss(Y_hat, Y)) == 3.5
    assert number(content_loss(Y, Y_hat)) == 3.5


def test_a_gram_matrix_by_hand():
    """Channels (1, 2, 0) and (3, −1, 1): products 5, 1 and 11, divided by 2 channels and 3 positions."""
    Y = nd.array([[[[1, 2, 0]], [[3, -1, 1]]]])
    np.testing.assert_allclose(gram(Y).asnumpy(), np.array([[[5, 1], [1, 11]]]) / 6, rtol=1e-6)
    assert products(Y).asnumpy().tolist() == [[[5, 1], [1, 11]]]


def test_a_guided_gram_matrix_by_hand():
    """Weights 1, 1/2 and 0: channels (1, 1, 0) and (3, −1/2, 0); the weights' squares are 5/4 together."""
    Y, mask = nd.array([[[[1, 2, 0]], [[3, -1, 1]]]]), nd.array([[[[1, 0.5, 0]]]])
    np.testing.assert_allclose(gram(Y, mask).asnumpy(), np.array([[[2, 2.5], [2.5, 9.25]]]) / 2.5, rtol=1e-6)
    assert products(Y, mask).asnumpy().tolist() == [[[2, 2.5], [2.5, 9.25]]]


def test_style_by_hand():
    """Squares 1, 4, 4 and 0 of four entries."""
    assert number(style_loss(nd.array([[[1, 3], [3, 5]]]), nd.array([[[2, 1], [1, 5]]]))) == 2.25


def test_total_variation_by_hand():
    """Two rows (0, 2, 2) and (1, 2, −3): below each other 1, 0, 5; beside 2, 0, 1, 5."""
    assert number(tv_loss(nd.array([[[[0, 2, 2], [1, 2, -3]]]]))) == 0.5 * (6 / 3 + 8 / 4)


@EXAMPLES
@given(seeds, shapes)
def test_content_equals_a_slow_loop(seed, shape):
    Y_hat, Y = drawn(seed, 2, *shape)
    np.testing.assert_allclose(number(content_loss(nd.array(Y_hat), nd.array(Y))), slow_content(Y_hat, Y), rtol=1e-5)


@EXAMPLES
@given(seeds, shapes, st.booleans())
def test_gram_matrices_equal_a_slow_loop(seed, shape, masked):
    Y = drawn(seed, *shape)
    mask = np.random.default_rng(seed).uniform(0.1, 1, (1, 1, *shape[2:])).astype(np.float32) if masked else None
    found = gram(nd.array(Y), None if mask is None else nd.array(mask))
    assert found.shape == (shape[0], shape[1], shape[1])
    np.testing.assert_allclose(found.asnumpy(), slow_grams(Y, mask), rtol=1e-4, atol=1e-6)


@EXAMPLES
@given(seeds, st.integers(1, 3), st.integers(1, 5))
def test_style_equals_a_slow_loop(seed, num_pictures, num_channels):
    G_hat, G = drawn(seed, 2, num_pictures, num_channels, num_channels)
    np.testing.assert_allclose(number(style_loss(nd.array(G_hat), nd.array(G))), slow_content(G_hat, G), rtol=1e-5)


@EXAMPLES
@given(seeds, shapes)
def test_total_variation_equals_a_slow_loop(seed, shape):
    X = drawn(seed, *shape)
    np.testing.assert_allclose(number(tv_loss(nd.array(X))), slow_tv(X), rtol=1e-5)


@EXAMPLES
@given(seeds, shapes)
def test_a_gram_matrix_is_symmetric_and_has_no_eigenvalue_below_0(seed, shape):
    found = gram(nd.array(drawn(seed, *shape))).asnumpy()
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))
    assert np.linalg.eigvalsh(found.astype(np.float64)).min() >= -1e-6 * np.abs(found).max()


@EXAMPLES
@given(seeds, shapes)
def test_where_a_texture_lies_does_not_change_its_gram_matrix(seed, shape):
    Y = drawn(seed, *shape)
    flat = Y.reshape(*shape[:2], -1)
    shuffled = flat[..., np.random.default_rng(seed).permutation(flat.shape[2])].reshape(shape)
    np.testing.assert_allclose(gram(nd.array(shuffled)).asnumpy(), gram(nd.array(Y)).asnumpy(), rtol=1e-4, atol=1e-6)


@EXAMPLES
@given(seeds, shapes)
def test_each_picture_of_a_batch_has_the_gram_matrix_that_it_has_alone(seed, shape):
    Y = drawn(seed, *shape)
    batch = gram(nd.array(Y)).asnumpy()
    for n in range(shape[0]):
        np.testing.assert_allclose(gram(nd.array(Y[n : n + 1])).asnumpy()[0], batch[n], rtol=1e-5, atol=1e-7)


def test_a_gram_matrix_does_not_grow_with_the_picture_nor_a_mean_square_with_the_channels():
    Y = drawn(0, 1, 3, 4, 5)
    once = gram(nd.array(Y)).asnumpy()
    np.testing.assert_allclose(gram(nd.array(np.tile(Y, (1, 1, 2, 3)))).asnumpy(), once, rtol=1e-5)
    np.testing.assert_allclose(gram(nd.array(np.tile(Y, (1, 2, 1, 1)))).asnumpy()[:, :3, :3], once / 2, rtol=1e-5)


@EXAMPLES
@given(seeds, shapes)
def test_a_mask_of_ones_is_no_mask(seed, shape):
    Y = nd.array(drawn(seed, *shape))
    np.testing.assert_array_equal(gram(Y, nd.ones((1, 1, *shape[2:]))).asnumpy(), gram(Y).asnumpy())


@EXAMPLES
@given(seeds, shapes, st.data())
def test_a_mask_of_0_and_1_cuts_out(seed, shape, data):
    top, left = (data.draw(st.integers(0, length - 1)) for length in shape[2:])
    bottom, right = (data.draw(st.integers(low + 1, length)) for low, length in zip((top, left), shape[2:]))
    Y, mask = drawn(seed, *shape), np.zeros((1, 1, *shape[2:]), np.float32)
    mask[..., top:bottom, left:right] = 1
    cut = gram(nd.array(Y[..., top:bottom, left:right])).asnumpy()
    np.testing.assert_allclose(gram(nd.array(Y), nd.array(mask)).asnumpy(), cut, rtol=1e-4, atol=1e-6)


@EXAMPLES
@given(seeds, st.sampled_from([0.25, 0.5, 2.0]))
def test_a_masks_brightness_does_not_count(seed, factor):
    """Numbers that a power of two multiplies lose nothing."""
    Y = nd.array(drawn(seed, 2, 3, 4, 5))
    mask = np.random.default_rng(seed).uniform(0.1, 1, (1, 1, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(
        gram(Y, nd.array(factor * mask)).asnumpy(), gram(Y, nd.array(mask)).asnumpy(), rtol=1e-5, atol=1e-7
    )


def test_equal_things_lose_nothing():
    Y = nd.array(drawn(0, 2, 3, 4, 5))
    assert number(content_loss(Y, Y)) == number(style_loss(gram(Y), gram(Y))) == 0
    assert number(tv_loss(nd.full((1, 3, 4, 5), 0.3))) == 0


def test_one_channel_and_one_position_are_enough():
    assert gram(nd.array([[[[3]]]])).asnumpy().tolist() == [[[9]]]
    assert gram(nd.zeros((2, 3, 1, 1))).asnumpy().tolist() == [[[0] * 3] * 3] * 2


def test_gradients_equal_centred_differences():
    Y_hat, Y, X = drawn(0, 2, 2, 3, 4), drawn(1, 2, 2, 3, 4), drawn(2, 1, 2, 4, 3)
    cases = [
        (content_loss, slow_content, Y_hat, Y),
        (style_loss, slow_content, drawn(3, 1, 3, 3), drawn(4, 1, 3, 3)),
        (tv_loss, slow_tv, X),
    ]
    for loss, slow, *arrays in cases:
        np.testing.assert_allclose(gradient(loss, *arrays), numeric(slow, *arrays), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_through_a_gram_matrix_equals_centred_differences(masked):
    Y, G = drawn(0, 1, 3, 3, 4), drawn(1, 1, 3, 3)
    mask = np.random.default_rng(2).uniform(0.1, 1, (1, 1, 3, 4)).astype(np.float32) if masked else None

    def loss(Y):
        return style_loss(gram(Y, None if mask is None else nd.array(mask)), nd.array(G))

    def slow(Y):
        return float(np.square(slow_grams(Y, mask) - G).mean())

    np.testing.assert_allclose(gradient(loss, Y), numeric(slow, Y), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("num_pictures", [1, 2])
def test_products_take_a_gradient_that_is_not_symmetric(num_pictures):
    """The derivative of the sum of S ∘ Y·Yᵀ is (S + Sᵀ)·Y."""
    Y, S = drawn(0, num_pictures, 3, 4, 5), drawn(1, num_pictures, 3, 3)
    found = gradient(lambda Y: (products(Y) * nd.array(S)).sum(), Y)
    expected = (S + S.transpose(0, 2, 1)) @ Y.reshape(num_pictures, 3, 20)
    np.testing.assert_allclose(found, expected.reshape(Y.shape), rtol=1e-5, atol=1e-5)


def test_products_leave_what_they_are_taken_of_as_it_was():
    """MXNet may bring a dense layer's weights, here a view of Y, into a layout of its own where nothing is recorded."""
    values = drawn(0, 1, 64, 24, 40)
    Y = nd.array(values)
    first = products(Y).asnumpy()
    assert np.array_equal(Y.asnumpy(), values)
    assert np.array_equal((Y + 0).asnumpy(), values)
    assert np.array_equal(products(Y).asnumpy(), first)
    assert np.array_equal(products(nd.array(values)).asnumpy(), first)


def test_what_a_mask_hides_has_no_gradient():
    mask = nd.array([[[[1, 0.5, 0, 1]]]])
    found = gradient(lambda Y: style_loss(gram(Y, mask), nd.zeros((1, 2, 2))), drawn(0, 1, 2, 1, 4))
    assert (found[..., 2] == 0).all()
    assert (found[..., [0, 1, 3]] != 0).all()


def test_the_pieces_with_their_weights_are_the_formula():
    """1·content + 1000·style + 10·tv, the book's weights, of a layer's outputs that are the picture itself."""
    X, Y, S = (drawn(seed, 1, 3, 5, 6) for seed in range(3))
    pieces = (content_loss(*map(nd.array, (X, Y))), style_loss(*map(gram, map(nd.array, (X, S)))), tv_loss(nd.array(X)))
    total = sum(weight * number(piece) for weight, piece in zip((1, 1000, 10), pieces))
    grams = [slow_grams(part)[0] for part in (X, S)]
    np.testing.assert_allclose(
        total, slow_content(X, Y) + 1000 * np.square(grams[0] - grams[1]).mean() + 10 * slow_tv(X), rtol=1e-5
    )


def test_a_batchs_loss_is_the_mean_of_its_pictures():
    Y_hat, Y = drawn(0, 2, 2, 3, 4), drawn(1, 2, 2, 3, 4)
    alone = [number(content_loss(nd.array(Y_hat[n : n + 1]), nd.array(Y[n : n + 1]))) for n in range(2)]
    np.testing.assert_allclose(number(content_loss(nd.array(Y_hat), nd.array(Y))), np.mean(alone), rtol=1e-6)
