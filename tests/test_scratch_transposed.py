"""Claim 17.1: a transposed convolution is the convolution's matrix transposed, a scatter loop's sum, and Gluon's."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scratch_helpers import agree

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.scratch.convolution import Conv2D, output_size
from gluonbook.scratch.transposed import ConvTranspose2D, bilinear_kernel, convolution_matrix, transposed_size

# (C, O), (H, W), kernel, stride, padding
GEOMETRIES = [
    ((1, 1), (2, 2), (3, 3), (1, 1), (0, 0)),
    ((2, 3), (3, 4), (3, 2), (2, 1), (1, 0)),
    ((3, 2), (4, 2), (2, 4), (3, 2), (0, 1)),
    ((2, 1), (3, 3), (4, 4), (2, 2), (1, 1)),
    ((1, 2), (5, 4), (1, 1), (1, 2), (0, 0)),
    ((2, 2), (2, 3), (1, 2), (3, 3), (0, 0)),
    ((2, 2), (1, 1), (3, 5), (2, 3), (1, 2)),
]


def drawn(channels, size, kernel, N=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, channels[0], *size)), rng.normal(size=(*channels, *kernel)), rng.normal(size=channels[1])


def scattered(X, W, b, stride, padding):
    """Add a copy of the kernel for each input pixel, by plain loops, and cut the padding off."""
    H, width = X.shape[2:]
    O, kh, kw = W.shape[1:]
    Y = np.zeros((len(X), O, (H - 1) * stride[0] + kh, (width - 1) * stride[1] + kw))
    for n, c, y, x in np.ndindex(X.shape):
        for o, i, j in np.ndindex(W.shape[1:]):
            Y[n, o, y * stride[0] + i, x * stride[1] + j] += X[n, c, y, x] * W[c, o, i, j]
    Y = Y[:, :, padding[0] : Y.shape[2] - padding[0], padding[1] : Y.shape[3] - padding[1]]
    return Y + b.reshape(1, O, 1, 1)


def test_the_output_has_n_minus_1_times_s_minus_2p_plus_f_pixels():
    table = {(2, 3, 1, 0): 4, (2, 3, 2, 0): 5, (3, 3, 2, 1): 5, (14, 4, 2, 1): 28, (1, 5, 7, 0): 5, (1, 3, 1, 1): 1}
    assert {case: transposed_size(*case) for case in table} == table
    assert transposed_size(4, 3) == 6


def test_a_convolution_of_the_same_settings_brings_the_size_back():
    cases = [(N, F, S, P) for N in (1, 2, 5) for F in (1, 2, 3, 6) for S in (1, 2, 3) for P in (0, 1, 2)]
    fit = [(N, F, S, P) for N, F, S, P in cases if (N - 1) * S - 2 * P + F >= 1]
    assert len(fit) > 60
    for N, F, S, P in fit:
        assert output_size(transposed_size(N, F, S, P), F, S, P) == N


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "size must be at least 1, got 0"),
        ((3, 0), "kernel must be at least 1, got 0"),
        ((3, 3, 0), "stride must be at least 1, got 0"),
        ((3, 3, 1, -1), "padding must be at least 0, got -1"),
        ((2, 3, 1, 2), r"padding 2 leaves no pixel: \(2 - 1\) \* 1 - 2 \* 2 \+ 3 = 0, and it must be at least 1"),
    ],
)
def test_a_size_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        transposed_size(*arguments)


@pytest.mark.parametrize("place", range(4))
def test_a_size_of_no_whole_pixels_is_refused(place):
    arguments = [3, 3, 1, 1]
    arguments[place] = 1.5
    with pytest.raises(TypeError, match=r"(size|kernel|stride|padding) must be a whole number, got 1\.5"):
        transposed_size(*arguments)


def test_the_matrix_of_a_2_by_2_kernel_on_3_by_3_pixels_by_hand():
    expected = [
        [1, 2, 0, 3, 4, 0, 0, 0, 0],
        [0, 1, 2, 0, 3, 4, 0, 0, 0],
        [0, 0, 0, 1, 2, 0, 3, 4, 0],
        [0, 0, 0, 0, 1, 2, 0, 3, 4],
    ]
    np.testing.assert_array_equal(convolution_matrix([[1, 2], [3, 4]], 3), expected)


def test_the_matrix_with_stride_and_padding_by_hand():
    np.testing.assert_array_equal(convolution_matrix([[1, 2]], (1, 2), (1, 2), (0, 1)), [[2, 0], [0, 1]])
    np.testing.assert_array_equal(convolution_matrix([[1], [2]], (2, 1), padding=(1, 0)), [[2, 0], [1, 2], [0, 1]])


@pytest.mark.parametrize(("channels", "size", "kernel", "stride", "padding"), GEOMETRIES)
def test_the_matrix_convolves_and_its_transpose_is_the_layer(channels, size, kernel, stride, padding):
    X, W, _ = drawn((1, 1), size, kernel)
    layer = ConvTranspose2D(W, [0], stride, padding)
    Y = layer.forward(X)
    matrix = convolution_matrix(W[0, 0], Y.shape[2:], stride, padding)
    assert matrix.shape == (X[0].size, Y[0].size)
    np.testing.assert_allclose(Y.reshape(2, -1), X.reshape(2, -1) @ matrix, atol=1e-12)
    convolved = Conv2D(W, [0], stride, padding).forward(Y)
    np.testing.assert_allclose(convolved.reshape(2, -1), Y.reshape(2, -1) @ matrix.T, atol=1e-12)
    np.testing.assert_allclose(layer.backward(Y), convolved, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "size", "message"),
    [
        ([1, 2], 3, r"kernel must have the shape \(any, any\), got \(2,\)"),
        ([[1]], 0, "size must be at least 1, got 0"),
        ([[1]], (2, 3, 4), r"a pair must be \(vertical, horizontal\), got \(2, 3, 4\)"),
        ([[1, 2]], 1, "a filter that reaches over 2 pixels is larger than 1 with padding 0"),
        (np.zeros((0, 2)), 3, "kernel must be at least 1, got 0"),
    ],
)
def test_a_matrix_that_cannot_be_is_refused(kernel, size, message):
    with pytest.raises(ValueError, match=message):
        convolution_matrix(kernel, size)


@pytest.mark.parametrize(("channels", "size", "kernel", "stride", "padding"), GEOMETRIES)
def test_the_layer_adds_a_copy_of_the_kernel_for_each_pixel(channels, size, kernel, stride, padding):
    X, W, b = drawn(channels, size, kernel)
    Y = ConvTranspose2D(W, b, stride, padding).forward(X)
    np.testing.assert_allclose(Y, scattered(X, W, b, stride, padding), atol=1e-12)


@pytest.mark.parametrize(("channels", "size", "kernel", "stride", "padding"), GEOMETRIES)
def test_outputs_and_gradients_are_those_of_gluon(channels, size, kernel, stride, padding):
    X, W, b = drawn(channels, size, kernel)
    layer = ConvTranspose2D(W, b, stride, padding)
    Y = layer.forward(X)
    dY = np.random.default_rng(1).normal(size=Y.shape)
    theirs = gluon.nn.Conv2DTranspose(channels[1], kernel, stride, padding, in_channels=channels[0])
    theirs.cast("float64")
    theirs.initialize()
    theirs.weight.set_data(nd.array(W, dtype="float64"))
    theirs.bias.set_data(nd.array(b, dtype="float64"))
    x = nd.array(X, dtype="float64")
    x.attach_grad()
    with autograd.record():
        y = theirs(x)
    y.backward(nd.array(dY, dtype="float64"))
    np.testing.assert_allclose(Y, y.asnumpy(), atol=1e-10)
    np.testing.assert_allclose(layer.backward(dY), x.grad.asnumpy(), atol=1e-10)
    np.testing.assert_allclose(layer.grads["W"], theirs.weight.grad().asnumpy(), atol=1e-10)
    np.testing.assert_allclose(layer.grads["b"], theirs.bias.grad().asnumpy(), atol=1e-10)


@pytest.mark.parametrize(("channels", "size", "kernel", "stride", "padding"), GEOMETRIES)
def test_the_way_back_agrees_with_numeric_differences(channels, size, kernel, stride, padding):
    X, W, b = drawn(channels, size, kernel)
    agree(ConvTranspose2D(W, b, stride, padding), X)


@pytest.mark.parametrize(("channels", "size", "kernel", "stride", "padding"), GEOMETRIES)
def test_it_is_the_way_back_through_a_convolution_with_the_same_weights(channels, size, kernel, stride, padding):
    dY, W, _ = drawn(channels, size, kernel)
    Y = ConvTranspose2D(W, np.zeros(channels[1]), stride, padding).forward(dY)
    convolution = Conv2D(W, np.zeros(channels[0]), stride, padding)
    convolution.forward(np.zeros(Y.shape))
    np.testing.assert_allclose(Y, convolution.backward(dY), atol=1e-12)


def test_single_precision_stays():
    W = np.ones((1, 1, 2, 2), np.float32)
    layer = ConvTranspose2D(W, np.zeros(1, np.float32))
    assert layer.forward(np.ones((1, 1, 2, 2), np.float32)).dtype == np.float32
    assert convolution_matrix(W[0, 0], 2).dtype == np.float32


def test_no_picture_gives_no_picture_and_gradients_of_0():
    layer = ConvTranspose2D(np.ones((2, 3, 2, 2)), np.ones(3), stride=2)
    assert layer.forward(np.zeros((0, 2, 3, 4))).shape == (0, 3, 6, 8)
    assert layer.backward(np.zeros((0, 3, 6, 8))).shape == (0, 2, 3, 4)
    assert not layer.grads["W"].any()
    assert not layer.grads["b"].any()


def test_the_caller_keeps_the_weights():
    W = np.ones((1, 1, 1, 1))
    ConvTranspose2D(W, [0]).params["W"] += 1
    assert W == 1


@pytest.mark.parametrize(
    ("W", "b", "settings", "message"),
    [
        ((2, 3, 2), 3, {}, r"W must have the shape \(any, any, any, any\), got \(2, 3, 2\)"),
        ((2, 3, 2, 2), 2, {}, r"b must have the shape \(3\), got \(2,\)"),
        ((2, 3, 2, 2), 3, {"stride": (1, 2, 3)}, r"a pair must be \(vertical, horizontal\), got \(1, 2, 3\)"),
        ((2, 3, 2, 2), 3, {"padding": (1,)}, r"a pair must be \(vertical, horizontal\), got \(1,\)"),
    ],
)
def test_a_layer_of_other_shapes_is_refused(W, b, settings, message):
    with pytest.raises(ValueError, match=message):
        ConvTranspose2D(np.ones(W), np.ones(b), **settings)


@pytest.mark.parametrize("shape", [(1, 3, 4, 4), (2, 4, 4)])
def test_an_input_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"X must be \(N, 2, H, W\), got shape"):
        ConvTranspose2D(np.ones((2, 3, 2, 2)), np.ones(3)).forward(np.ones(shape))


def test_padding_that_leaves_no_pixel_is_refused():
    with pytest.raises(ValueError, match="padding 2 leaves no pixel"):
        ConvTranspose2D(np.ones((1, 1, 2, 2)), [0], padding=2).forward(np.ones((1, 1, 2, 2)))


@pytest.mark.parametrize(
    ("factor", "row"), [(1, [1]), (2, [0.25, 0.75, 0.75, 0.25]), (3, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])]
)
def test_the_bilinear_kernel_by_hand(factor, row):
    np.testing.assert_allclose(bilinear_kernel(factor), np.outer(row, row)[None, None], atol=1e-15)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 5])
def test_the_bilinear_kernel_enlarges_as_scipy_and_pillow_do(factor):
    X = np.random.default_rng(factor).normal(size=(1, 3, 5, 7))
    layer = ConvTranspose2D(bilinear_kernel(factor, 3), np.zeros(3), stride=factor, padding=factor // 2)
    Y = layer.forward(X)
    assert Y.shape == (1, 3, 5 * factor, 7 * factor)
    places = np.mgrid[: 5 * factor, : 7 * factor]
    places = (places + 0.5) / factor - 0.5
    inside = (slice(factor, -factor), slice(factor, -factor))
    for channel, enlarged in zip(X[0], Y[0]):
        interpolated = ndimage.map_coordinates(channel, places, order=1, mode="grid-constant")  # zeros beyond
        np.testing.assert_allclose(enlarged, interpolated, atol=1e-12)
        image = Image.fromarray(channel.astype(np.float32))
        resized = np.asarray(image.resize((7 * factor, 5 * factor), Image.BILINEAR))
        np.testing.assert_allclose(enlarged[inside], resized[inside], atol=1e-5)


def test_the_bilinear_kernel_is_that_of_mxnet():
    weight = nd.zeros((1, 1, 4, 4))
    mx.init.Bilinear()._init_weight("w", weight)
    np.testing.assert_allclose(bilinear_kernel(2), weight.asnumpy())


def test_the_bilinear_kernel_keeps_channels_apart():
    kernel = bilinear_kernel(2, 3)
    assert kernel.shape == (3, 3, 4, 4)
    for c, o in np.ndindex(3, 3):
        np.testing.assert_array_equal(kernel[c, o], bilinear_kernel(2)[0, 0] * (c == o))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0,), "factor must be at least 1, got 0"), ((2, 0), "num_channels must be at least 1, got 0")],
)
def test_a_bilinear_kernel_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        bilinear_kernel(*arguments)
