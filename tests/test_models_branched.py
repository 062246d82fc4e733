"""GoogLeNet has the channels of the paper's table, and its blocks are their four paths."""

import numpy as np
import pytest
from models_helpers import learnable, maps

from gluonbook import models
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.models.branched import BLOCKS

# Szegedy et al. 2015, table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj, and the channels that come out.
TABLE = {
    "3a": ((64, 96, 128, 16, 32, 32), 256),
    "3b": ((128, 128, 192, 32, 96, 64), 480),
    "4a": ((192, 96, 208, 16, 48, 64), 512),
    "4b": ((160, 112, 224, 24, 64, 64), 512),
    "4c": ((128, 128, 256, 24, 64, 64), 512),
    "4d": ((112, 144, 288, 32, 64, 64), 528),
    "4e": ((256, 160, 320, 32, 128, 128), 832),
    "5a": ((256, 160, 320, 32, 128, 128), 832),
    "5b": ((384, 192, 384, 48, 128, 128), 1024),
}


def by_hand(num_classes=1000):
    """The parameters of table 1, kernel by kernel, biases included."""

    def convolution(before, after, size):
        return before * after * size**2 + after

    count, C = convolution(3, 64, 7) + convolution(64, 64, 1) + convolution(64, 192, 3), 192
    for (a, b, c, d, e, f), out in TABLE.values():
        count += convolution(C, a, 1) + convolution(C, b, 1) + convolution(b, c, 3)
        count += convolution(C, d, 1) + convolution(d, e, 5) + convolution(C, f, 1)
        C = out
    return count + C * num_classes + num_classes


def test_googlenet_has_the_parameters_of_the_table():
    assert learnable(models.googlenet()) == by_hand() == 6_998_552
    assert learnable(models.googlenet(10), channels=1) == by_hand(10) - 2 * 64 * 49


def test_the_blocks_have_the_channels_of_the_table():
    assert [block for block in BLOCKS if block is not None] == [channels for channels, _ in TABLE.values()]
    assert [sum(channels[i] for i in (0, 2, 4, 5)) for channels, _ in TABLE.values()] == [
        out for _, out in TABLE.values()
    ]
    assert [i for i, block in enumerate(BLOCKS) if block is None] == [2, 8]  # poolings after 3b and 4e


def test_the_maps_are_as_large_as_in_the_table():
    net, X, pooled = models.googlenet(), mx.sym.var("data"), []
    for block in net.features:
        X = block(X)
        if isinstance(block, gluon.nn.MaxPool2D):
            pooled.append(X.infer_shape(data=(1, 3, 224, 224))[1][0][1:])
    assert pooled == [(64, 56, 56), (192, 28, 28), (480, 14, 14), (832, 7, 7)]
    assert maps(net) == (1024, 7, 7)


def test_a_block_is_its_four_paths_beside_each_other():
    block = models.Inception((2, 3, 4, 2, 3, 5))
    block.initialize(mx.init.Normal(0.3))
    X = nd.random.normal(shape=(2, 3, 7, 6))
    found = block(X)
    parts = list(block.collect_params().values())
    weights = [(weight.data(), bias.data()) for weight, bias in zip(parts[::2], parts[1::2])]

    def convolved(X, number, pad):
        weight, bias = weights[number]
        Y = nd.Convolution(X, weight, bias, kernel=weight.shape[2:], num_filter=len(bias), pad=(pad, pad))
        return nd.maximum(Y, 0)

    pooled = nd.Pooling(X, kernel=(3, 3), pool_type="max", stride=(1, 1), pad=(1, 1))
    expected = [convolved(X, 0, 0), convolved(convolved(X, 1, 0), 2, 1)]
    expected += [convolved(convolved(X, 3, 0), 4, 2), convolved(pooled, 5, 0)]
    assert found.shape == (2, 14, 7, 6)
    np.testing.assert_allclose(found.asnumpy(), nd.concat(*expected, dim=1).asnumpy(), rtol=1e-5, atol=1e-6)


def narrow():
    net = models.googlenet(num_classes=4, width=0.1)
    net.initialize(mx.init.Xavier())
    return net


def test_the_smallest_picture_is_the_smallest():
    net = narrow()
    assert net.smallest == 47
    assert net(nd.zeros((2, 1, 47, 50))).shape == (2, 4)
    for shape in ((2, 1, 46, 64), (2, 1, 64, 46)):
        with pytest.raises(ValueError, match="at least 47 x 47 pixels"):
            net(nd.zeros(shape))
    with pytest.raises(mx.MXNetError):  # MXNet itself has no room for a pooling
        maps(models.googlenet(), 1, 46)


def test_hybridized_or_not_and_dropout_only_in_training():
    net, X = narrow(), nd.random.normal(shape=(2, 3, 64, 64))
    dynamic = net(X).asnumpy()
    net.hybridize()
    np.testing.assert_allclose(net(X).asnumpy(), dynamic, atol=1e-6)
    with autograd.record():
        first, second = net(X), net(X)
        loss = (first**2).sum()
    assert np.abs((first - second).asnumpy()).max() > 0
    loss.backward()
    for name, param in net.collect_params().items():
        assert np.isfinite(param.grad().asnumpy()).all(), name


def test_width_scales_channels_and_never_the_classes():
    assert maps(models.googlenet(width=0.5)) == (512, 7, 7)
    assert maps(models.googlenet(width=0.01)) == (4 * 16, 7, 7)
    assert models.googlenet(7, width=0.01)(mx.sym.var("data")).infer_shape(data=(2, 3, 64, 64))[1] == [(2, 7)]


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="num_classes"):
        models.googlenet(0)
    with pytest.raises(ValueError, match="width"):
        models.googlenet(width=0)
    with pytest.raises(ValueError, match="channels must be six numbers"):
        models.Inception((1, 2, 3))
    with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
        models.Inception((1, 2, 3, 0, 5, 6))
    with pytest.raises(TypeError, match="channels"):
        models.Inception((1, 2, 3, 4.5, 5, 6))
