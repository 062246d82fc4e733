"""Residual and dense networks have the published shapes and sizes, and compute what Gluon's zoo does."""

import re

import numpy as np
import pytest
from models_helpers import learnable, maps, stir, transfer

from gluonbook import models
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.models.skipping import DenseLayer, Shortcut

zoo = gluon.model_zoo.vision


@pytest.mark.parametrize(
    ("num_layers", "count"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_a_residual_network_has_the_published_number_of_parameters(num_layers, count):
    net = models.resnet(num_layers)
    assert learnable(net) == count
    assert maps(net) == (512 if num_layers < 50 else 2048, 7, 7)


@pytest.mark.parametrize(
    ("num_layers", "count", "C"),
    [(121, 7_978_856, 1024), (161, 28_681_000, 2208), (169, 14_149_480, 1664), (201, 20_013_928, 1920)],
)
def test_a_dense_network_has_the_published_number_of_parameters(num_layers, count, C):
    net = models.densenet(num_layers)
    assert learnable(net) == count
    assert maps(net) == (C, 7, 7)


def test_the_last_layer_of_resnet_18_has_513000_parameters_to_learn():
    net = models.resnet(18)
    assert learnable(net) - learnable(models.resnet(18, num_classes=1)) == 513 * 999
    assert 513 * 1000 == 513_000


@pytest.mark.parametrize("num_layers", [18, 50])
def test_a_residual_network_computes_what_the_zoos_does(num_layers):
    theirs, ours = zoo.get_model(f"resnet{num_layers}_v1", classes=7), models.resnet(num_layers, 7)
    X = nd.random.normal(shape=(2, 3, 64, 64))
    for net in (theirs, ours):
        net.initialize()
        net(X)
    stir(theirs)
    # The zoo's bottlenecks have biases in their 1x1 convolutions, which batch norm takes out again.
    superfluous = [name for name in theirs.collect_params() if re.search(r"conv\d+_bias$", name)]
    assert bool(superfluous) == (num_layers == 50)
    transfer(theirs, ours, superfluous)
    expected = theirs(X).asnumpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(ours(X).asnumpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_dense_network_computes_what_the_zoos_does():
    theirs, ours = zoo.densenet121(classes=7), models.densenet(121, 7)
    X = nd.random.normal(shape=(1, 3, 224, 224))  # the zoo's last pooling is 7x7
    for net in (theirs, ours):
        net.initialize()
        net(X)
    stir(theirs)
    transfer(theirs, ours)
    expected = theirs(X).asnumpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(ours(X).asnumpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def narrow(kind, num_layers):
    mx.random.seed(1)
    net = kind(num_layers, num_classes=4, width=0.1)
    net.initialize(mx.init.Xavier())
    return net


def convolved(X, conv, kernel, stride=1, pad=0):
    weight = conv.weight.data()
    sizes = {"kernel": (kernel, kernel), "stride": (stride, stride), "pad": (pad, pad)}
    return nd.Convolution(X, weight, no_bias=True, num_filter=len(weight), **sizes)


def normalised(X, norm):
    arrays = (array.data() for array in (norm.gamma, norm.beta, norm.running_mean, norm.running_var))
    return nd.BatchNorm(X, *arrays, eps=1e-5, fix_gamma=False, use_global_stats=True)


def block_with_projection(num_layers, X):
    """The first block of a network's second stage, which halves the maps, with parameters that matter."""
    blocks = [block for block in models.resnet(num_layers).features if isinstance(block, Shortcut)]
    block = [block for block in blocks if block.projection is not None][num_layers == 50]
    block.initialize()
    block(X)
    stir(block)
    return block


def test_a_block_of_two_convolutions_with_projection_is_what_the_operators_give():
    X = nd.random.normal(shape=(2, 64, 7, 8))
    block = block_with_projection(18, X)
    conv1, bn1, _, conv2, bn2 = block.body
    conv3, bn3 = block.projection
    Y = nd.relu(normalised(convolved(X, conv1, 3, stride=2, pad=1), bn1))
    Y = normalised(convolved(Y, conv2, 3, pad=1), bn2)
    expected = nd.relu(Y + normalised(convolved(X, conv3, 1, stride=2), bn3)).asnumpy()
    assert expected.shape == (2, 128, 4, 4)
    assert 0.2 < (expected == 0).mean() < 0.8
    np.testing.assert_allclose(block(X).asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_bottleneck_with_projection_is_what_the_operators_give():
    X = nd.random.normal(shape=(2, 256, 6, 5))
    block = block_with_projection(50, X)
    conv1, bn1, _, conv2, bn2, _, conv3, bn3 = block.body
    conv4, bn4 = block.projection
    Y = nd.relu(normalised(convolved(X, conv1, 1, stride=2), bn1))  # the stride is in the first one
    Y = nd.relu(normalised(convolved(Y, conv2, 3, pad=1), bn2))
    Y = normalised(convolved(Y, conv3, 1), bn3)
    expected = nd.relu(Y + normalised(convolved(X, conv4, 1, stride=2), bn4)).asnumpy()
    assert expected.shape == (2, 512, 3, 3)
    assert 0.2 < (expected == 0).mean() < 0.8
    np.testing.assert_allclose(block(X).asnumpy(), expected, rtol=1e-4, atol=1e-4)


def test_a_shortcut_without_projection_adds_its_input_as_it_is():
    block, X = Shortcut(gluon.nn.Conv2D(2, 1)), nd.array(np.arange(-9, 9).reshape(1, 2, 3, 3))
    block.initialize(mx.init.Zero())
    np.testing.assert_array_equal(block(X).asnumpy(), np.maximum(X.asnumpy(), 0))


def test_a_dense_layer_puts_its_new_maps_after_those_that_came_in():
    layer, X = DenseLayer(16), nd.random.normal(shape=(2, 5, 6, 7))
    layer.initialize()
    layer(X)
    stir(layer)
    bn1, _, conv1, bn2, _, conv2 = layer.body
    new = convolved(nd.relu(normalised(X, bn1)), conv1, 1)
    assert new.shape == (2, 4 * 16, 6, 7)  # the bottleneck
    new = convolved(nd.relu(normalised(new, bn2)), conv2, 3, pad=1)
    Y = layer(X)
    assert Y.shape == (2, 5 + 16, 6, 7)
    np.testing.assert_array_equal(Y[:, :5].asnumpy(), X.asnumpy())
    assert np.abs(new.asnumpy()).max() > 0.1
    np.testing.assert_allclose(Y[:, 5:].asnumpy(), new.asnumpy(), rtol=1e-4, atol=1e-4)


def along(rows, kind):
    """The shape of the last maps of each side that an operator of that kind gives, in the order of the network."""
    return list({row.shape[1:]: row.shape for row in rows if row.kind == kind}.values())


def test_the_maps_along_resnet_18():
    rows = models.layer_table(models.resnet(18), (3, 224, 224))
    sides = [row.shape[1:] for row in rows if len(row.shape) == 3 and row.kind != "global avg pooling"]
    assert list(dict.fromkeys(sides)) == [(side, side) for side in (112, 56, 28, 14, 7)]
    assert along(rows, "elemwise_add") == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert sum(row.kind == "Convolution" for row in rows) == 17 + 3  # of the 18 layers one is dense; 3 projections
    assert 1.8e9 < sum(row.multiply_adds for row in rows) < 1.9e9  # the paper, table 1: 1.8 billion


def test_the_maps_along_densenet_121():
    rows = models.layer_table(models.densenet(121), (3, 224, 224))
    sides = [row.shape[1:] for row in rows if len(row.shape) == 3 and row.kind != "global avg pooling"]
    assert list(dict.fromkeys(sides)) == [(side, side) for side in (112, 56, 28, 14, 7)]
    # 64 + 6·32, then half of it + 12·32, half + 24·32, half + 16·32
    assert along(rows, "Concat") == [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (1024, 7, 7)]
    assert along(rows, "avg pooling") == [(128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert sum(row.kind == "Convolution" for row in rows) == 120


@pytest.mark.parametrize(("kind", "num_layers", "smallest"), [(models.resnet, 18, 1), (models.densenet, 121, 29)])
def test_the_smallest_picture_is_the_smallest(kind, num_layers, smallest):
    net = narrow(kind, num_layers)
    assert net.smallest == smallest
    assert net(nd.zeros((2, 1, smallest, smallest + 3))).shape == (2, 4)
    assert maps(net, 1, smallest)[1:] == (1, 1)
    if smallest > 1:
        with pytest.raises(ValueError, match=f"at least {smallest} x {smallest} pixels"):
            net(nd.zeros((2, 1, smallest - 1, 64)))
        with pytest.raises(mx.MXNetError):  # MXNet itself has no map left
            maps(narrow(kind, num_layers), 1, smallest - 1)


@pytest.mark.parametrize(("kind", "num_layers"), [(models.resnet, 18), (models.resnet, 50), (models.densenet, 121)])
def test_hybridized_or_not_and_every_parameter_learns(kind, num_layers):
    net, X = narrow(kind, num_layers), nd.random.normal(shape=(2, 3, 40, 40))
    dynamic = net(X).asnumpy()
    net.hybridize()
    np.testing.assert_allclose(net(X).asnumpy(), dynamic, atol=1e-5)
    with autograd.record():
        loss = (net(X) ** 2).sum()
    loss.backward()
    for name, param in net.collect_params().items():
        if param.grad_req != "null" and not name.endswith("bias"):
            assert np.abs(param.grad().asnumpy()).max() > 0, name


def test_width_scales_channels_and_never_the_classes():
    assert maps(models.resnet(18, width=0.25)) == (128, 7, 7)
    assert maps(models.resnet(50, width=0.25)) == (512, 7, 7)
    assert maps(models.densenet(121, width=0.5)) == (512, 7, 7)
    assert maps(models.densenet(121, width=0.01)) == (512, 7, 7)
    net = models.resnet(34, num_classes=3, width=1e-6)
    assert maps(net) == (1, 7, 7)
    assert net(mx.sym.var("data")).infer_shape(data=(2, 3, 64, 64))[1] == [(2, 3)]


@pytest.mark.parametrize("kind", [models.resnet, models.densenet])
def test_what_cannot_be_built_is_refused(kind):
    with pytest.raises(ValueError, match="num_layers"):
        kind(20)
    with pytest.raises(ValueError, match="num_classes"):
        kind(num_classes=0)
    with pytest.raises(ValueError, match="width"):
        kind(width=0)
    with pytest.raises(ValueError, match="width"):
        kind(width=1.5)
