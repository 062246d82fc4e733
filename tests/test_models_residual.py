"""The residual block and ResNet-18 of the book: shapes, names, sizes by hand; the book's class is the oracle."""

import math

import numpy as np
import pytest

import gluonbook as gb
from gluonbook._mxnet import autograd, gluon, mx, nd


class BooksResidual(gluon.nn.Block):
    """The block as the book describes it: not hybrid."""

    def __init__(self, num_channels, use_1x1conv=False, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.conv1 = gluon.nn.Conv2D(num_channels, kernel_size=3, padding=1, strides=strides)
        self.conv2 = gluon.nn.Conv2D(num_channels, kernel_size=3, padding=1)
        self.conv3 = gluon.nn.Conv2D(num_channels, kernel_size=1, strides=strides) if use_1x1conv else None
        self.bn1 = gluon.nn.BatchNorm()
        self.bn2 = gluon.nn.BatchNorm()

    def forward(self, X):
        Y = nd.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3:
            X = self.conv3(X)
        return nd.relu(Y + X)


def books_resnet18(num_classes, residual=BooksResidual):
    def stage(num_channels, first=False):
        blocks = gluon.nn.Sequential()
        blocks.add(residual(num_channels) if first else residual(num_channels, use_1x1conv=True, strides=2))
        blocks.add(residual(num_channels))
        return blocks

    net = gluon.nn.Sequential()
    net.add(gluon.nn.Conv2D(64, kernel_size=3, strides=1, padding=1), gluon.nn.BatchNorm(), gluon.nn.Activation("relu"))
    net.add(stage(64, first=True), stage(128), stage(256), stage(512))
    net.add(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(num_classes))
    return net


def stirred(net, X):
    """The net with statistics that are not 0 and 1, as after a while of training."""
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    net(X)
    for i, param in enumerate(net.collect_params().values()):
        if "gamma" in param.name or "var" in param.name:
            param.set_data(nd.random.uniform(0.5, 1.5, shape=param.shape))
        elif "weight" not in param.name:
            param.set_data(nd.random.normal(scale=0.1 + i / 1000, shape=param.shape))
    return net


def slow_convolution(X, weight, bias, stride, padding):
    """One output after another: X (C, H, W), weight (C', C, k, k)."""
    X, k = np.pad(X, ((0, 0), (padding, padding), (padding, padding))), weight.shape[2]
    height, width = ((side - k) // stride + 1 for side in X.shape[1:])
    Y = np.zeros((len(weight), height, width))
    for c, i, j in np.ndindex(Y.shape):
        Y[c, i, j] = (X[:, i * stride : i * stride + k, j * stride : j * stride + k] * weight[c]).sum() + bias[c]
    return Y


def slow_residual(X, block, stride):
    def convolved(X, conv, stride, padding):
        return slow_convolution(X, conv.weight.data().asnumpy(), conv.bias.data().asnumpy(), stride, padding)

    def normalised(X, bn):
        arrays = (bn.running_mean, bn.running_var, bn.gamma, bn.beta)
        mean, var, gamma, beta = (array.data().asnumpy()[:, None, None] for array in arrays)
        return (X - mean) / np.sqrt(var + 1e-5) * gamma + beta

    Y = np.maximum(normalised(convolved(X, block.conv1, stride, 1), block.bn1), 0)
    Y = normalised(convolved(Y, block.conv2, 1, 1), block.bn2)
    if block.conv3 is not None:
        X = convolved(X, block.conv3, stride, 0)
    return np.maximum(Y + X, 0)


KINDS = [(3, False, 1), (3, True, 1), (5, True, 1), (6, True, 2), (4, True, 3)]


@pytest.mark.parametrize(("num_channels", "use_1x1conv", "strides"), KINDS)
@pytest.mark.parametrize("side", [5, 6])
def test_a_block_equals_slow_loops(num_channels, use_1x1conv, strides, side):
    X = nd.array(np.random.default_rng(0).normal(size=(2, 3, side, side + 1)))
    block = stirred(gb.Residual(num_channels, use_1x1conv, strides), X)
    Y = block(X).asnumpy()
    assert Y.shape == (2, num_channels, math.ceil(side / strides), math.ceil((side + 1) / strides))
    for n in range(2):
        np.testing.assert_allclose(Y[n], slow_residual(X.asnumpy()[n], block, strides), atol=1e-4)


def test_a_block_of_zeros_passes_on_what_is_above_0():
    block = gb.Residual(2)
    block.initialize(mx.init.Zero())
    X = nd.array(np.arange(-9, 9).reshape(1, 2, 3, 3))
    np.testing.assert_array_equal(block(X).asnumpy(), np.maximum(X.asnumpy(), 0))


def test_a_block_has_the_books_children():
    block, narrow = gb.Residual(4, use_1x1conv=True, strides=2), gb.Residual(4)
    assert list(block._children) == ["conv1", "conv2", "conv3", "bn1", "bn2"]
    assert list(narrow._children) == ["conv1", "conv2", "bn1", "bn2"]
    assert narrow.conv3 is None
    assert isinstance(block, gluon.nn.Block)
    kinds = [type(getattr(block, name)) for name in block._children]
    assert kinds == [gluon.nn.Conv2D] * 3 + [gluon.nn.BatchNorm] * 2


def test_a_block_takes_a_prefix_as_every_block_does():
    assert gb.Residual(4, prefix="first_").prefix == "first_"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0,), ValueError, "num_channels must be at least 1, got 0"),
        ((2.5,), TypeError, r"num_channels must be a whole number, got 2\.5"),
        ((4, True, 0), ValueError, "strides must be at least 1, got 0"),
        ((4, True, (2, 2)), TypeError, r"strides must be a whole number, got \(2, 2\)"),
    ],
)
def test_a_block_of_no_size_is_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        gb.Residual(*arguments)


@pytest.mark.parametrize("num_classes", [0, -1])
def test_a_net_without_classes_is_refused(num_classes):
    with pytest.raises(ValueError, match=f"^num_classes must be at least 1, got {num_classes}$"):
        gb.resnet18(num_classes)


def test_resnet18_has_the_books_children():
    net = gb.resnet18(10)
    kinds = ["Conv2D", "BatchNorm", "Activation", *["Sequential"] * 4, "GlobalAvgPool2D", "Dense"]
    assert [type(child).__name__ for child in net] == kinds
    assert type(net) is gluon.nn.Sequential
    for stage in net[3:7]:
        assert [type(block) for block in stage] == [gb.Residual] * 2
    assert [[block.conv3 is not None for block in stage] for stage in net[3:7]] == [[False] * 2] + [[True, False]] * 3


def test_resnet18_is_uninitialised():
    with pytest.raises(RuntimeError, match="has not been initialized"):
        gb.resnet18(10)(nd.zeros((1, 1, 8, 8)))


def test_the_shapes_inside_of_resnet18():
    net, X = gb.resnet18(7), nd.zeros((2, 1, 20, 18))
    net.initialize()
    shapes = []
    for child in net:
        X = child(X)
        shapes.append(X.shape)
    sides = [(64, 20, 18)] * 4 + [(128, 10, 9), (256, 5, 5), (512, 3, 3), (512, 1, 1)]
    assert shapes == [*[(2, *side) for side in sides], (2, 7)]


@pytest.mark.parametrize(("channels", "num_classes"), [(1, 10), (3, 2)])
def test_the_number_of_resnet18s_parameters_by_hand(channels, num_classes):
    def convolution(c_in, c_out, k):
        return c_in * c_out * k * k + c_out

    def norm(c):
        return 4 * c  # gamma, beta, mean, variance

    def block(c_in, c_out):
        narrow = convolution(c_in, c_out, 3) + convolution(c_out, c_out, 3) + 2 * norm(c_out)
        return narrow + (convolution(c_in, c_out, 1) if c_in != c_out else 0)

    expected = convolution(channels, 64, 3) + norm(64) + 512 * num_classes + num_classes
    for c_in, c_out in ((64, 64), (64, 128), (128, 256), (256, 512)):
        expected += block(c_in, c_out) + block(c_out, c_out)
    net = gb.resnet18(num_classes)
    net.initialize()
    net(nd.zeros((1, channels, 8, 8)))
    assert sum(param.data().size for param in net.collect_params().values()) == expected


@pytest.mark.parametrize("make", [lambda: gb.Residual(6, True, 2), lambda: gb.Residual(3), lambda: gb.resnet18(4)])
def test_hybridized_or_not_the_outputs_are_the_same(make):
    X = nd.array(np.random.default_rng(0).normal(size=(2, 3, 9, 9)))
    net = stirred(make(), X)
    plain = net(X).asnumpy()
    net.hybridize()
    np.testing.assert_allclose(net(X).asnumpy(), plain, rtol=1e-5, atol=1e-5)
    assert np.ptp(plain) > 0.1


@pytest.mark.parametrize(("num_channels", "use_1x1conv", "strides"), KINDS)
def test_a_blocks_gradients_equal_the_books(num_channels, use_1x1conv, strides, tmp_path):
    X, gradients, file = nd.random.normal(shape=(2, 3, 6, 6)), [], str(tmp_path / "block.params")
    for make in (BooksResidual, gb.Residual):
        block = make(num_channels, use_1x1conv, strides)
        if not gradients:
            stirred(block, X).save_parameters(file)
        else:
            block.load_parameters(file)
            block.hybridize()
        with autograd.record():
            l = (block(X) ** 2).sum()
        l.backward()
        learnt = {name: p for name, p in block._collect_params_with_prefix().items() if p.grad_req != "null"}
        gradients.append({name: param.grad().asnumpy() for name, param in learnt.items()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], gradient, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("num_channels", "use_1x1conv", "strides"), KINDS)
def test_parameters_of_the_books_block_are_read(num_channels, use_1x1conv, strides, tmp_path):
    X, file = nd.array(np.random.default_rng(0).normal(size=(2, 3, 6, 6))), str(tmp_path / "block.params")
    theirs = stirred(BooksResidual(num_channels, use_1x1conv, strides), X)
    theirs.save_parameters(file)
    ours = gb.Residual(num_channels, use_1x1conv, strides)
    ours.load_parameters(file)
    np.testing.assert_allclose(ours(X).asnumpy(), theirs(X).asnumpy(), rtol=1e-6, atol=1e-6)


def test_parameters_of_the_books_resnet18_are_read_and_the_book_reads_ours(tmp_path):
    X, file = nd.array(np.random.default_rng(0).normal(size=(2, 1, 12, 12))), str(tmp_path / "resnet.params")
    theirs = stirred(books_resnet18(10), X)
    theirs.save_parameters(file)
    ours = gb.resnet18(10)
    ours.load_parameters(file)
    assert np.ptp(theirs(X).asnumpy()) > 0.1
    np.testing.assert_allclose(ours(X).asnumpy(), theirs(X).asnumpy(), rtol=1e-5, atol=1e-5)
    ours.save_parameters(file)
    again = books_resnet18(10)
    again.load_parameters(file)
    np.testing.assert_allclose(again(X).asnumpy(), theirs(X).asnumpy(), rtol=1e-5, atol=1e-5)


def test_a_net_of_the_books_own_may_be_built_of_our_blocks():
    """As its chapter builds it, with the one class in a Sequential."""
    net = books_resnet18(5, residual=gb.Residual)
    net.initialize()
    assert net(nd.zeros((2, 1, 16, 16))).shape == (2, 5)


def test_other_channels_need_the_1x1_convolution():
    X, block = nd.ones((1, 3, 4, 4)), gb.Residual(4)
    block.initialize()
    with pytest.raises(Exception, match=r"(?i)shape"):
        block(X).wait_to_read()  # 3 channels cannot be added to 4
