"""Claims 2.1 to 2.11: convolution by im2col equals loops, numeric differences, Gluon's layer and SciPy."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scratch_helpers import numeric

from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.scratch import Conv2D, LocallyConnected2D, col2im, convolution, im2col, output_size

# (C, H, W), kernel, stride, padding, dilation
GEOMETRIES = [
    ((1, 5, 5), (3, 3), (1, 1), (0, 0), (1, 1)),
    ((3, 6, 7), (3, 2), (1, 1), (0, 0), (1, 1)),
    ((2, 7, 9), (3, 5), (2, 2), (0, 0), (1, 1)),
    ((2, 5, 4), (3, 2), (2, 1), (1, 2), (1, 1)),
    ((2, 9, 8), (3, 2), (2, 3), (2, 1), (2, 3)),
    ((3, 4, 5), (1, 1), (1, 1), (0, 0), (1, 1)),
    ((2, 4, 3), (4, 3), (1, 1), (0, 0), (1, 1)),
    ((1, 7, 1), (1, 1), (3, 2), (0, 0), (1, 1)),
    ((2, 4, 4), (2, 2), (3, 3), (1, 1), (2, 2)),
]


def taps(shape, kernel, stride, padding, dilation):
    """Every (row of im2col, column of it, channel, y, x) whose pixel is inside the picture, by plain loops."""
    C, H, W = shape
    OH, OW = (
        (n + 2 * p - ((k - 1) * d + 1)) // s + 1 for n, k, s, p, d in zip((H, W), kernel, stride, padding, dilation)
    )
    for c in range(C):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                for oy in range(OH):
                    for ox in range(OW):
                        y = oy * stride[0] + i * dilation[0] - padding[0]
                        x = ox * stride[1] + j * dilation[1] - padding[1]
                        if 0 <= y < H and 0 <= x < W:
                            yield (c * kernel[0] + i) * kernel[1] + j, oy * OW + ox, c, y, x


def slow_convolution(X, W, b, stride, padding, dilation):
    N, O = len(X), len(W)
    (OH, OW) = (
        output_size(n, k, s, p, d) for n, k, s, p, d in zip(X.shape[2:], W.shape[2:], stride, padding, dilation)
    )
    Y = np.zeros((N, O, OH * OW)) + b[:, None]
    for row, column, c, y, x in taps(X.shape[1:], W.shape[2:], stride, padding, dilation):
        Y[:, :, column] += X[:, c, y, x, None] * W.reshape(O, -1)[:, row]
    return Y.reshape(N, O, OH, OW)


def drawn(shape, kernel, N=2, O=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, *shape)), rng.normal(size=(O, shape[0], *kernel)), rng.normal(size=O)


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ((32, 5), 28),
        ((227, 11, 4), 55),
        ((7, 3, 2), 3),
        ((11, 5, 2), 4),
        ((5, 3, 1, 1), 5),
        ((5, 5, 1, 2), 5),
        ((4, 4), 1),
        ((1, 1), 1),
        ((1, 3, 1, 1), 1),
        ((7, 3, 1, 0, 2), 3),
        ((7, 3, 1, 0, 3), 1),
        ((9, 3, 2, 1, 2), 4),
    ],
)
def test_claims_2_2_and_2_3_output_sizes(arguments, size):
    assert output_size(*arguments) == size


@given(
    size=st.integers(1, 20),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
)
def test_an_output_size_counts_the_places_where_the_filter_fits(size, kernel, stride, padding, dilation):
    reach = 1 + (kernel - 1) * dilation
    starts = [y for y in range(-padding, size + padding) if y + reach <= size + padding]
    if not starts or (len(starts) - 1) % stride:
        with pytest.raises(ValueError, match=r"^a filter (that reaches over|of) "):
            output_size(size, kernel, stride, padding, dilation)
    else:
        assert output_size(size, kernel, stride, padding, dilation) == len(starts[::stride])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (7, 3, 3),
            r"a filter of 3 with stride 3 does not fit 7 pixels with padding 0: \(7 - 3 \+ 0\) / 3 \+ 1 = 2.33",
        ),
        (
            (10, 3, 2, 1),
            r"a filter of 3 with stride 2 does not fit 10 pixels with padding 1: \(10 - 3 \+ 2\) / 2 \+ 1 = 5.50",
        ),
        (
            (8, 3, 2, 0, 2),
            r"a filter of 5 with stride 2 does not fit 8 pixels with padding 0: \(8 - 5 \+ 0\) / 2 \+ 1 = 2.50",
        ),
        ((4, 5), "a filter that reaches over 5 pixels is larger than 4 with padding 0"),
        ((4, 3, 1, 0, 2), "a filter that reaches over 5 pixels is larger than 4 with padding 0"),
        ((2, 7, 1, 2), "a filter that reaches over 7 pixels is larger than 2 with padding 2"),
        ((0, 1), "size must be at least 1, got 0"),
        ((4, 0), "kernel must be at least 1, got 0"),
        ((4, 1, 0), "stride must be at least 1, got 0"),
        ((4, 1, 1, -1), "padding must be at least 0, got -1"),
        ((4, 1, 1, 0, 0), "dilation must be at least 1, got 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_the_arithmetic(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        output_size(*arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stride": 1.5}, r"stride must be a whole number, got 1\.5 \(float\)"),
        ({"padding": (1, 0.5)}, r"padding must be a whole number, got 0\.5 \(float\)"),
        ({"dilation": "2"}, r"dilation must be a whole number, got '2' \(str\)"),
        ({"stride": None}, r"stride must be a whole number, got None \(NoneType\)"),
    ],
)
def test_what_is_no_whole_number_is_refused_by_its_name(settings, message):
    with pytest.raises(TypeError, match=f"^{message}$"):
        im2col(np.zeros((1, 1, 5, 5)), 3, **settings)


@pytest.mark.parametrize("pair", [(1, 1, 1), (1,), []])
def test_a_pair_has_two_numbers(pair):
    with pytest.raises(ValueError, match=r"^a pair must be \(vertical, horizontal\), got [(\[]"):
        im2col(np.zeros((1, 1, 5, 5)), 3, stride=pair)


def test_im2col_by_hand():
    X = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    assert im2col(X, 2).tolist() == [[[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]]
    assert im2col(X, (1, 3)).tolist() == [[[1, 4, 7], [2, 5, 8], [3, 6, 9]]]
    assert im2col(X, 2, dilation=2).tolist() == [[[1], [3], [7], [9]]]
    assert im2col(X[:, :, :1, :2], 1, padding=(0, 1)).tolist() == [[[0, 1, 2, 0]]]


def test_claim_2_11_im2col_of_alexnets_first_layer():
    X = np.random.default_rng(0).normal(size=(1, 3, 227, 227))
    columns = im2col(X, 11, stride=4)
    assert columns.shape == (1, 363, 3025)
    np.testing.assert_array_equal(columns[0, :, 0], X[0, :, :11, :11].ravel())
    np.testing.assert_array_equal(columns[0, :, 55 * 2 + 3], X[0, :, 8:19, 12:23].ravel())
    np.testing.assert_array_equal(columns[0, :, -1], X[0, :, 216:, 216:].ravel())


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_im2col_and_col2im_equal_loops(geometry):
    shape, *how = geometry
    X = drawn(*geometry[:2])[0]
    columns = im2col(X, *how)
    slow = np.zeros(columns.shape)
    for row, column, c, y, x in taps(shape, *how):
        slow[:, row, column] = X[:, c, y, x]
    np.testing.assert_array_equal(columns, slow)
    Y = np.random.default_rng(1).normal(size=columns.shape)
    back = np.zeros(X.shape)
    for row, column, c, y, x in taps(shape, *how):
        back[:, c, y, x] += Y[:, row, column]
    np.testing.assert_allclose(col2im(Y, X.shape, *how), back, atol=1e-14)


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_col2im_is_the_adjoint_of_im2col(data):
    """⟨im2col(x), y⟩ = ⟨x, col2im(y)⟩ for all x and y."""
    kernel, stride, padding, dilation = (
        tuple(data.draw(st.integers(low, high)) for _ in range(2)) for low, high in ((1, 4), (1, 3), (0, 2), (1, 3))
    )
    places = [data.draw(st.integers(1, 4)) for _ in range(2)]
    size = [(n - 1) * s + (k - 1) * d + 1 - 2 * p for n, k, s, p, d in zip(places, kernel, stride, padding, dilation)]
    assume(min(size) >= 1)
    shape = (data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3)), *size)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    x = rng.normal(size=shape)
    columns = im2col(x, kernel, stride, padding, dilation)
    assert columns.shape == (shape[0], shape[1] * kernel[0] * kernel[1], places[0] * places[1])
    y = rng.normal(size=columns.shape)
    back = col2im(y, shape, kernel, stride, padding, dilation)
    assert back.shape == shape
    assert (columns * y).sum() == pytest.approx((x * back).sum(), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("kernel", [1, 2, (4, 5)])
def test_im2col_is_a_copy(kernel):
    X = np.ones((1, 2, 4, 5))
    columns = im2col(X, kernel)
    columns[:] = 7
    assert X.sum() == X.size


def test_windows_are_a_view_that_cannot_be_written():
    X = np.zeros((1, 1, 4, 4))
    view = convolution.windows(X, 2)
    assert np.shares_memory(view, X)
    with pytest.raises(ValueError, match="read-only"):
        view[:] = 1


def test_pictures_may_be_views_with_any_strides():
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(2, 12, 11, 6))  # (N, H, W, C)
    X = whole.transpose(0, 3, 1, 2)[:, ::-2, 1::2, ::-1]
    for padding in (0, 1):
        np.testing.assert_array_equal(im2col(X, 3, padding=padding), im2col(X.copy(), 3, padding=padding))


@pytest.mark.parametrize("shape", [(5, 5), (1, 5, 5), (1, 1, 1, 5, 5)])
def test_what_is_no_batch_of_pictures_is_refused(shape):
    with pytest.raises(ValueError, match=r"^X must be \(N, C, H, W\), got shape \("):
        im2col(np.zeros(shape), 1)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_convolution_equals_loops_and_its_gradients_numeric_differences(geometry):
    shape, kernel, *how = geometry
    X, W, b = drawn(shape, kernel)
    layer = Conv2D(W, b, *how)
    Y = layer.forward(X)
    np.testing.assert_allclose(Y, slow_convolution(X, W, b, *how), atol=1e-12)
    dY = np.random.default_rng(1).normal(size=Y.shape)
    dX, grads = layer.backward(dY), dict(layer.grads)

    def loss():
        return (layer.forward(X) * dY).sum()

    np.testing.assert_allclose(dX, numeric(loss, X), rtol=1e-6, atol=1e-7)
    for name, param in layer.params.items():
        np.testing.assert_allclose(grads[name], numeric(loss, param), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_convolution_equals_gluons(geometry):
    shape, kernel, stride, padding, dilation = geometry
    X, W, b = drawn(shape, kernel, N=3, O=4, seed=2)
    layer = Conv2D(W, b, stride, padding, dilation)
    theirs = gluon.nn.Conv2D(4, kernel, stride, padding, dilation, in_channels=shape[0])
    theirs.cast("float64")
    theirs.initialize()
    theirs.weight.set_data(nd.array(W, dtype="float64"))
    theirs.bias.set_data(nd.array(b, dtype="float64"))
    x = nd.array(X, dtype="float64")
    x.attach_grad()
    with autograd.record():
        y = theirs(x)
    dY = np.random.default_rng(3).normal(size=y.shape)
    y.backward(nd.array(dY, dtype="float64"))
    np.testing.assert_allclose(layer.forward(X), y.asnumpy(), atol=1e-12)
    np.testing.assert_allclose(layer.backward(dY), x.grad.asnumpy(), atol=1e-12)
    np.testing.assert_allclose(layer.grads["W"], theirs.weight.grad().asnumpy(), atol=1e-12)
    np.testing.assert_allclose(layer.grads["b"], theirs.bias.grad().asnumpy(), atol=1e-12)


def test_claim_2_7_a_layer_does_not_turn_the_kernel_round():
    X, W, _ = drawn((1, 6, 7), (3, 2), N=1, O=1)
    layer = Conv2D(W, [0.0])
    np.testing.assert_allclose(layer.forward(X)[0, 0], scipy.signal.correlate2d(X[0, 0], W[0, 0], "valid"), atol=1e-13)
    turned = Conv2D(W[:, :, ::-1, ::-1], [0.0])
    np.testing.assert_allclose(turned.forward(X)[0, 0], scipy.signal.convolve2d(X[0, 0], W[0, 0], "valid"), atol=1e-13)


def test_claim_2_10_the_volume_of_the_notes():
    rng = np.random.default_rng(4)
    X = rng.normal(size=(11, 11, 4))  # as the notes index it
    W0, W1, b0, b1 = rng.normal(size=(5, 5, 4)), rng.normal(size=(5, 5, 4)), 0.3, -0.7
    layer = Conv2D(np.stack([W0, W1]).transpose(0, 3, 1, 2), [b0, b1], stride=2)
    V = layer.forward(X.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)
    assert V.shape == (4, 4, 2)
    for i in range(4):
        assert V[i, 0, 0] == pytest.approx((X[2 * i : 2 * i + 5, :5, :] * W0).sum() + b0)
    assert V[0, 1, 1] == pytest.approx((X[:5, 2:7, :] * W1).sum() + b1)
    assert V[2, 3, 1] == pytest.approx((X[4:9, 6:11, :] * W1).sum() + b1)


def test_claim_2_5_gradients_of_shared_weights_add_over_positions():
    """A locally connected layer with the same filters everywhere has them one by one."""
    X, W, b = drawn((2, 6, 5), (3, 2))
    shared = Conv2D(W, b)
    OH, OW = 4, 4
    single = LocallyConnected2D(np.broadcast_to(W, (OH, OW, *W.shape)), np.tile(b[:, None, None], (1, OH, OW)))
    Y = shared.forward(X)
    np.testing.assert_allclose(single.forward(X), Y, atol=1e-13)
    dY = np.random.default_rng(5).normal(size=Y.shape)
    np.testing.assert_allclose(shared.backward(dY), single.backward(dY), atol=1e-12)
    np.testing.assert_allclose(shared.grads["W"], single.grads["W"].sum(axis=(0, 1)), atol=1e-12)
    np.testing.assert_allclose(shared.grads["b"], single.grads["b"].sum(axis=(1, 2)), atol=1e-12)


@pytest.mark.parametrize("layer", ["shared", "single"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_floating_type_stays(layer, dtype):
    X, W, b = (array.astype(dtype) for array in drawn((2, 4, 4), (3, 3)))
    if layer == "single":
        W, b = np.broadcast_to(W, (2, 2, *W.shape)), np.broadcast_to(b[:, None, None], (3, 2, 2))
    layer = Conv2D(W, b) if layer == "shared" else LocallyConnected2D(W, b)
    Y = layer.forward(X)
    dX = layer.backward(np.ones_like(Y))
    assert {array.dtype for array in (Y, dX, *layer.params.values(), *layer.grads.values())} == {np.dtype(dtype)}


def test_whole_numbers_become_float64():
    layer = Conv2D(np.ones((1, 1, 2, 2), int), [0])
    assert {param.dtype for param in layer.params.values()} == {np.dtype("float64")}


@pytest.mark.parametrize("kind", [Conv2D, LocallyConnected2D])
def test_a_layer_keeps_no_reference_to_the_callers_weights(kind):
    W = np.ones((1, 1, 2, 2) if kind is Conv2D else (2, 2, 1, 1, 2, 2))
    b = np.zeros((1,) if kind is Conv2D else (1, 2, 2))
    layer = kind(W, b)
    W[:] = b[:] = 9
    assert layer.forward(np.ones((1, 1, 3, 3))).tolist() == [[[[4, 4], [4, 4]]]]


@pytest.mark.parametrize("shape", [(1, 3, 5, 5), (1, 1, 5, 5), (2, 5, 5)])
def test_pictures_of_other_channels_are_refused(shape):
    layer = Conv2D(np.zeros((1, 2, 3, 3)), [0])
    with pytest.raises(ValueError, match=r"^X must be \(N, 2, H, W\), got shape \("):
        layer.forward(np.zeros(shape))


def test_a_stride_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"^a filter of 3 with stride 2 does not fit 6 pixels with padding 0: "):
        Conv2D(np.zeros((1, 1, 3, 3)), [0], stride=2).forward(np.zeros((1, 1, 5, 6)))


@pytest.mark.parametrize(
    ("W", "b", "message"),
    [
        (np.zeros((2, 3, 3)), np.zeros(2), r"W must have the shape \(any, any, any, any\), got \(2, 3, 3\)"),
        (np.zeros((2, 1, 3, 3)), np.zeros(3), r"b must have the shape \(2\), got \(3,\)"),
    ],
)
def test_filters_that_do_not_fit_are_refused(W, b, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Conv2D(W, b)


def locally_connected(stride, padding):
    """A layer on (2, 5, 6) pictures, with kernels of (3, 2)."""
    rng = np.random.default_rng(6)
    OH, OW = output_size(5, 3, stride[0], padding[0]), output_size(6, 2, stride[1], padding[1])
    return LocallyConnected2D(rng.normal(size=(OH, OW, 3, 2, 3, 2)), rng.normal(size=(3, OH, OW)), stride, padding)


@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (0, 0)), ((2, 4), (0, 0)), ((1, 2), (2, 1))])
def test_claim_2_9_a_locally_connected_layer_equals_loops_and_numeric_differences(stride, padding):
    layer, X = locally_connected(stride, padding), np.random.default_rng(7).normal(size=(2, 2, 5, 6))
    W, b = layer.params["W"], layer.params["b"]
    padded = np.pad(X, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    Y = layer.forward(X)
    for n, o, y, x in np.ndindex(Y.shape):
        part = padded[n, :, y * stride[0] : y * stride[0] + 3, x * stride[1] : x * stride[1] + 2]
        assert Y[n, o, y, x] == pytest.approx((part * W[y, x, o]).sum() + b[o, y, x], abs=1e-12)
    dY = np.random.default_rng(8).normal(size=Y.shape)
    dX, grads = layer.backward(dY), dict(layer.grads)

    def loss():
        return (layer.forward(X) * dY).sum()

    np.testing.assert_allclose(dX, numeric(loss, X), rtol=1e-6, atol=1e-7)
    for name, param in layer.params.items():
        np.testing.assert_allclose(grads[name], numeric(loss, param), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("shape", "found"),
    [((1, 2, 6, 6), r"\(4, 5\) positions of 2"), ((1, 3, 5, 6), r"\(3, 5\) positions of 3")],
)
def test_a_locally_connected_layer_serves_one_size_of_picture(shape, found):
    layer = locally_connected((1, 1), (0, 0))
    with pytest.raises(ValueError, match=rf"^X \(.*\) gives {found} channels, W is \(3, 5, 3, 2, 3, 2\)$"):
        layer.forward(np.zeros(shape))


@pytest.mark.parametrize(
    ("W", "b", "message"),
    [
        ((2, 2, 1, 1, 2), (1, 2, 2), r"W must have the shape \(any, any, any, any, any, any\), got \(2, 2, 1, 1, 2\)"),
        ((2, 3, 4, 1, 2, 2), (4, 3, 2), r"b must have the shape \(4, 2, 3\), got \(4, 3, 2\)"),
    ],
)
def test_a_locally_connected_layers_weights_must_fit(W, b, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        LocallyConnected2D(np.zeros(W), np.zeros(b))
