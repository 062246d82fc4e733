"""The small things of the book: a clock, a folder, linear regression, its loss, clipping, a convolution, batches."""

import math
import os
import random
import re
import time
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gluonbook as gb
from gluonbook._mxnet import autograd, gluon, load, mx, nd

# Benchmark


@pytest.mark.parametrize(
    ("arguments", "prefix", "line"),
    [
        ((), "", r"time: \d+\.\d{4} sec\n"),
        ((None,), "", r"time: \d+\.\d{4} sec\n"),
        (("",), "", r"time: \d+\.\d{4} sec\n"),
        (("Workloads are queued.",), "Workloads are queued. ", r"Workloads are queued\. time: \d+\.\d{4} sec\n"),
    ],
)
def test_a_benchmark_prints_its_prefix_and_the_seconds(arguments, prefix, line, capsys):
    benchmark = gb.Benchmark(*arguments)
    assert benchmark.prefix == prefix
    with benchmark as entered:
        assert capsys.readouterr().out == ""
    assert entered is None
    assert re.fullmatch(line, capsys.readouterr().out)


def test_a_benchmark_measures_from_its_start_to_its_end(monkeypatch, capsys):
    clock = iter([1000.5, 1012.75])
    with monkeypatch.context() as stopped:
        stopped.setattr(time, "time", lambda: next(clock))
        benchmark = gb.Benchmark("done")
        with benchmark:
            pass
    assert benchmark.start == 1000.5
    assert capsys.readouterr().out == "done time: 12.2500 sec\n"


def test_a_benchmark_may_be_used_twice(capsys):
    benchmark = gb.Benchmark()
    for _ in range(2):
        with benchmark:
            pass
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_a_benchmark_prints_after_an_error_too_and_lets_it_through(error, capsys):
    with pytest.raises(type(error)) as caught, gb.Benchmark("failed"):
        raise error
    assert caught.value is error
    assert re.fullmatch(r"failed time: \d+\.\d{4} sec\n", capsys.readouterr().out)


# mkdir_if_not_exist


def test_a_folder_is_made_with_its_parents_and_kept_where_it_is(isolated):
    assert gb.mkdir_if_not_exist(["..", "data", "kaggle", "train"]) is None
    folder = isolated / "work" / "data" / "kaggle" / "train"
    assert folder.is_dir()
    (folder / "a.csv").write_text("1")
    gb.mkdir_if_not_exist(["..", "data", "kaggle", "train"])
    assert (folder / "a.csv").read_text() == "1"


def test_a_folder_of_one_part(isolated):
    gb.mkdir_if_not_exist(["models"])
    assert os.listdir() == ["models"]


def test_a_path_that_is_one_string_is_refused(isolated):
    with pytest.raises(TypeError, match=r"^path must be a list of the path's parts, got '\.\./data'$"):
        gb.mkdir_if_not_exist("../data")
    assert os.listdir() == []


def test_a_file_in_the_folders_place_is_an_error_and_stays(isolated):
    (isolated / "work" / "data").write_text("mine")
    with pytest.raises(FileExistsError):
        gb.mkdir_if_not_exist(["..", "data"])
    assert (isolated / "work" / "data").read_text() == "mine"


# linreg and squared_loss


def test_linear_regression_by_hand():
    X, w, b = nd.array([[1, 2], [3, 4], [-1, 0.5]]), nd.array([[2], [-1]]), nd.array([0.5])
    assert gb.linreg(X, w, b).asnumpy().tolist() == [[0.5], [2.5], [-2]]


def test_linear_regression_equals_gluons_dense_layer():
    mx.random.seed(0)
    layer = gluon.nn.Dense(3, in_units=5)
    layer.initialize(mx.init.Normal(1))
    layer.bias.set_data(nd.array([1, -2, 3]))
    X = nd.random.normal(shape=(7, 5))
    ours = gb.linreg(X, layer.weight.data().T, layer.bias.data())
    np.testing.assert_allclose(ours.asnumpy(), layer(X).asnumpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "labels_shape"), [((3, 1), (3,)), ((3,), (3, 1)), ((3, 1), (3, 1)), ((3, 1), (1, 3)), ((2, 3), (6,))]
)
def test_the_loss_has_the_shape_of_the_prediction_whatever_that_of_the_labels(shape, labels_shape):
    """(N, 1) - (N,) would be (N, N) in NumPy."""
    size = math.prod(shape)
    y_hat, y = np.arange(size) * 1.5, np.arange(size)[::-1] * 0.5
    loss = gb.squared_loss(nd.array(y_hat.reshape(shape)), nd.array(y.reshape(labels_shape)))
    assert loss.shape == shape
    assert loss.asnumpy().ravel().tolist() == [(a - b) ** 2 / 2 for a, b in zip(y_hat, y)]


def test_the_loss_and_its_gradient_equal_gluons():
    y_hat, y = nd.random.normal(shape=(6, 1)), nd.random.normal(shape=(6,))
    y_hat.attach_grad()
    gradients = []
    for loss in (gb.squared_loss, gluon.loss.L2Loss()):
        with autograd.record():
            l = loss(y_hat, y)
        l.backward()
        gradients.append(y_hat.grad.asnumpy())
        np.testing.assert_allclose(l.asnumpy().ravel(), (y_hat.asnumpy().ravel() - y.asnumpy()) ** 2 / 2, atol=1e-6)
    np.testing.assert_allclose(*gradients, atol=1e-6)
    np.testing.assert_allclose(gradients[0], y_hat.asnumpy() - y.asnumpy()[:, None], atol=1e-6)


def test_labels_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"^y must have as many elements as y_hat, 3, got 6$"):
        gb.squared_loss(nd.zeros((3, 1)), nd.zeros(6))


# grad_clipping


def parameters(*gradients):
    params = [nd.zeros(np.shape(gradient)) for gradient in gradients]
    for param, gradient in zip(params, gradients):
        param.attach_grad()
        param.grad[:] = nd.array(gradient)
    return params


def slow_clipping(gradients, theta):
    norm = math.sqrt(sum(float(value) ** 2 for gradient in gradients for value in np.ravel(gradient)))
    return [np.asarray(gradient) * min(1.0, theta / norm) for gradient in gradients]


@pytest.mark.parametrize("theta", [0.01, 1, 3.5, 100.0])
def test_gradients_are_clipped_by_their_joint_norm(theta):
    generator = np.random.default_rng(0)
    gradients = [generator.normal(size=shape) for shape in ((3, 4), (5,), (1, 2, 2))]
    params = parameters(*gradients)
    assert gb.grad_clipping(params, theta, mx.cpu()) is None
    for param, expected in zip(params, slow_clipping(gradients, theta)):
        np.testing.assert_allclose(param.grad.asnumpy(), expected, rtol=1e-5, atol=1e-7)
        assert not param.asnumpy().any()  # the parameters themselves stay


@pytest.mark.parametrize("theta", [0.5, 1.5, 50.0])
def test_gradients_are_clipped_as_d2l_clips_them(theta):
    load()  # restores the NumPy names before d2l imports MXNet
    d2l = pytest.importorskip("d2l.mxnet")
    params = parameters([3.0, -1.0], [[2.0]])
    mx.npx.set_np()
    try:
        others = [types.SimpleNamespace(grad=param.grad.copy().as_np_ndarray()) for param in params]
        d2l.grad_clipping(types.SimpleNamespace(params=others), theta)
        theirs = [other.grad.asnumpy() for other in others]
    finally:
        mx.npx.reset_np()
    gb.grad_clipping(params, theta, mx.cpu())
    for param, their in zip(params, theirs):
        np.testing.assert_allclose(param.grad.asnumpy(), their, rtol=1e-6)


def test_no_bound_clips_nothing():
    (param,) = parameters([3e10, 4e10])
    before = param.grad.asnumpy()
    assert gb.grad_clipping([param], None, mx.cpu()) is None
    np.testing.assert_array_equal(param.grad.asnumpy(), before)
    assert gb.grad_clipping([nd.zeros(2)], None, mx.cpu()) is None


@pytest.mark.parametrize("ctx", [mx.cpu(), mx.cpu(1), None])
def test_gradients_are_clipped_where_they_are(ctx):
    (param,) = parameters([3.0, 4.0])
    gb.grad_clipping([param], 1, ctx)
    np.testing.assert_allclose(param.grad.asnumpy(), [0.6, 0.8], rtol=1e-6)


def test_a_parameter_without_a_gradient_is_named():
    with pytest.raises(ValueError, match=r"^params\[1\] has no gradient: call attach_grad\(\) before the comp"):
        gb.grad_clipping([*parameters([3.0]), nd.zeros(2)], 1.0, mx.cpu())


@pytest.mark.parametrize("theta", [0, -1, math.nan])
def test_a_bound_that_is_none_is_refused(theta):
    with pytest.raises(ValueError, match=f"^theta must be above 0, got {theta}$"):
        gb.grad_clipping(parameters([3.0]), theta, mx.cpu())


# corr2d


def slow_corr2d(X, K):
    (h, w), (kh, kw) = X.shape, K.shape
    Y = np.zeros((h - kh + 1, w - kw + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            for a in range(kh):
                for b in range(kw):
                    Y[i, j] += X[i + a, j + b] * K[a, b]
    return Y


SHAPES = [((3, 3), (2, 2)), ((6, 8), (1, 2)), ((5, 4), (3, 1)), ((4, 7), (4, 7)), ((1, 1), (1, 1)), ((9, 3), (5, 3))]


@pytest.mark.parametrize(("shape", "kernel_shape"), SHAPES)
def test_corr2d_equals_four_loops(shape, kernel_shape):
    generator = np.random.default_rng(0)
    X, K = generator.normal(size=shape), generator.normal(size=kernel_shape)
    Y = gb.corr2d(nd.array(X), nd.array(K))
    assert Y.shape == (shape[0] - kernel_shape[0] + 1, shape[1] - kernel_shape[1] + 1)
    np.testing.assert_allclose(Y.asnumpy(), slow_corr2d(X, K), atol=1e-5)


def test_corr2d_finds_the_edges_of_the_books_picture():
    X = nd.ones((6, 8))
    X[:, 2:6] = 0
    edges = [[0, 1, 0, 0, 0, -1, 0]] * 6
    assert gb.corr2d(X, nd.array([[1, -1]])).asnumpy().tolist() == edges
    assert not gb.corr2d(X.T, nd.array([[1, -1]])).asnumpy().any()


@pytest.mark.parametrize(("shape", "kernel_shape"), SHAPES)
def test_corr2d_equals_that_of_d2l(shape, kernel_shape):
    load()  # restores the NumPy names before d2l imports MXNet
    d2l = pytest.importorskip("d2l.mxnet")
    generator = np.random.default_rng(1)
    X, K = generator.normal(size=shape), generator.normal(size=kernel_shape)
    mx.npx.set_np()
    try:
        theirs = d2l.corr2d(mx.np.array(X), mx.np.array(K)).asnumpy()
    finally:
        mx.npx.reset_np()
    np.testing.assert_allclose(gb.corr2d(nd.array(X), nd.array(K)).asnumpy(), theirs, atol=1e-5)


@pytest.mark.parametrize(("shape", "kernel_shape"), SHAPES)
def test_corr2ds_gradients_equal_numeric_differences(shape, kernel_shape):
    generator, step = np.random.default_rng(2), 1e-5
    X, K = generator.normal(size=shape), generator.normal(size=kernel_shape)
    slope = generator.normal(size=(shape[0] - kernel_shape[0] + 1, shape[1] - kernel_shape[1] + 1))
    arrays = [nd.array(X), nd.array(K)]
    for array in arrays:
        array.attach_grad()
    with autograd.record():
        l = (gb.corr2d(*arrays) * nd.array(slope)).sum()
    l.backward()
    for array, values in zip(arrays, (X, K)):
        numeric = np.zeros_like(values)
        for place in np.ndindex(values.shape):
            value, sides = values[place], []
            for moved in (value + step, value - step):
                values[place] = moved
                sides.append((slow_corr2d(X, K) * slope).sum())
            values[place] = value
            numeric[place] = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(array.grad.asnumpy(), numeric, atol=1e-4)


def test_corr2d_works_on_the_arrays_device():
    assert gb.corr2d(nd.ones((2, 2), ctx=mx.cpu(1)), nd.ones((1, 1), ctx=mx.cpu(1))).context == mx.cpu(1)


@pytest.mark.parametrize(
    ("shape", "kernel_shape"),
    [((3, 3), (4, 1)), ((3, 3), (1, 4)), ((3,), (2, 2)), ((3, 3), (2,)), ((1, 3, 3), (2, 2)), ((3, 3), (1, 2, 2))],
)
def test_corr2d_refuses_what_does_not_fit(shape, kernel_shape):
    told = re.escape(f"X must be a matrix (h, w), K one that fits into it; got {shape} and {kernel_shape}")
    with pytest.raises(ValueError, match=f"^{told}$"):
        gb.corr2d(nd.zeros(shape), nd.zeros(kernel_shape))


# data_iter


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), batch_size=st.integers(1, 35))
def test_a_pass_over_the_data_is_a_permutation_in_batches(n, batch_size):
    features, labels = nd.arange(3 * n).reshape((n, 3)), nd.arange(n) * 10
    batches = [(X.asnumpy(), y.asnumpy()) for X, y in gb.data_iter(batch_size, features, labels)]
    full, rest = divmod(n, batch_size)
    assert [len(y) for _, y in batches] == [batch_size] * full + [rest] * (rest > 0)
    for X, y in batches:
        assert X.shape[1:] == (3,)
        np.testing.assert_array_equal(X[:, 0], y / 10 * 3)  # the label is its own features'
    assert sorted(label for _, y in batches for label in y) == [10 * i for i in range(n)]


def order(seed=None, n=40):
    if seed is not None:
        random.seed(seed)
    return [int(label) for _, y in gb.data_iter(7, nd.zeros((n, 2)), nd.arange(n)) for label in y.asnumpy()]


def test_a_pass_is_shuffled_and_follows_pythons_seed():
    first = order(3)
    assert order(3) == first
    assert order(4) != first
    assert first != sorted(first)
    assert order() != order()


def test_a_pass_gives_the_order_that_a_shuffled_list_has():
    found = order(5)
    random.seed(5)
    expected = list(range(40))
    random.shuffle(expected)
    assert found == expected


def test_features_of_pictures_and_labels_of_integers_keep_their_shapes_and_dtypes():
    features, labels = nd.zeros((3, 2, 4, 4), dtype="uint8"), nd.zeros((3, 2), dtype="int32")
    (batch,) = gb.data_iter(8, features, labels)
    assert [(array.shape, array.dtype) for array in batch] == [((3, 2, 4, 4), np.uint8), ((3, 2), np.int32)]


@pytest.mark.parametrize(
    ("batch_size", "rows", "labels", "error", "message"),
    [
        (0, 3, 3, ValueError, "batch_size must be at least 1, got 0"),
        (-2, 3, 3, ValueError, "batch_size must be at least 1, got -2"),
        (1.5, 3, 3, TypeError, r"batch_size must be a whole number, got 1\.5"),
        (2, 3, 4, ValueError, "features and labels must be equally long, got 3 and 4"),
    ],
)
def test_a_pass_refuses_wrong_arguments_at_once(batch_size, rows, labels, error, message):
    with pytest.raises(error, match=f"^{message}"):
        gb.data_iter(batch_size, nd.zeros((rows, 2)), nd.zeros(labels))


# The helpers that were reachable in the one module of 0.8


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        (None, None, None),
        (None, ["b"], ["b"]),
        ("dog", None, ["dog"]),
        (["dog", "cat"], ["b"], ["dog", "cat"]),
        (("dog",), None, ("dog",)),
        (0, ["b"], [0]),
        ([], ["b"], []),
    ],
)
def test_make_list_wraps_one_value_and_keeps_several(value, default, expected):
    assert gb.utils._make_list(value, default) == expected
    if default is None:
        assert gb.utils._make_list(value) == expected


@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_get_batch_divides_features_and_labels(num_devices):
    ctx = [mx.cpu(i) for i in range(num_devices)]
    features, labels = nd.arange(12).reshape((6, 2)), nd.arange(6, dtype="int32")
    X, y, batch_size = gb.utils._get_batch((features, labels), ctx)
    assert batch_size == 6
    assert [part.context for part in X] == [part.context for part in y] == ctx
    assert [part.dtype for part in y] == [np.float32] * num_devices  # that of the features
    theirs = gluon.utils.split_and_load(features, ctx), gluon.utils.split_and_load(labels, ctx)
    for ours, their in zip((X, y), theirs):
        assert [part.asnumpy().tolist() for part in ours] == [part.asnumpy().tolist() for part in their]


def test_get_batch_gives_labels_the_features_dtype():
    X, y, _ = gb.utils._get_batch((nd.ones((2, 3), dtype="float64"), nd.array([1, 0], dtype="int32")), [mx.cpu()])
    assert (X[0].dtype, y[0].dtype) == (np.float64, np.float64)
    assert y[0].asnumpy().tolist() == [1, 0]


def test_get_batch_gives_no_row_twice():
    X, y, batch_size = gb.utils._get_batch((nd.ones((2, 3)), nd.array([1, 0])), [mx.cpu(i) for i in range(3)])
    assert ([part.shape for part in X], [part.asscalar() for part in y], batch_size) == ([(1, 3)] * 2, [1, 0], 2)
