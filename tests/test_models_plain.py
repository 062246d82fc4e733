"""LeNet-5, AlexNet, VGG and NiN: published shapes and counts, slow loops, and Gluon's zoo as the oracle."""

import gc
import json
import math

import numpy as np
import pytest

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.models import plain

VGGS = [(num_layers, batch_norm) for num_layers in (11, 13, 16, 19) for batch_norm in (False, True)]


def zoo_vgg(num_layers, batch_norm):
    return getattr(gluon.model_zoo.vision, f"vgg{num_layers}{'_bn' if batch_norm else ''}")


NARROW = {
    "lenet": lambda: plain.lenet(3),
    "alexnet 2012": lambda: plain.alexnet(3, 2012, width=1 / 32),
    "alexnet 2014": lambda: plain.alexnet(3, 2014, width=1 / 32),
    "vgg": lambda: plain.vgg(11, 3, width=1 / 32),
    "vgg with batch norm": lambda: plain.vgg(13, 3, batch_norm=True, width=1 / 32),
    "nin": lambda: plain.nin(3, width=1 / 32),
}
each_net = pytest.mark.parametrize("build", NARROW.values(), ids=NARROW)


def shapes_of(symbol, picture):
    """Shapes of the learnable parameters in order, of the statistics, and of the output, without a number allocated."""
    arguments, outputs, statistics = symbol.infer_shape(data=(1, *picture))
    return [shape for name, shape in zip(symbol.list_arguments(), arguments) if name != "data"], statistics, outputs[0]


def parameters_of(net, picture):
    return sum(math.prod(shape) for shape in shapes_of(net(mx.sym.var("data")), picture)[0])


def maps_of(net, picture):
    """(C, H, W) after each block of the features."""
    X, maps = mx.sym.var("data"), []
    for block in net.features:
        X = block(X)
        maps.append(shapes_of(X, picture)[2][1:])
    return maps


def steps_of(net):
    """(operator, its options) one after another, flattening apart: a dense layer flattens by itself."""
    nodes = json.loads(net(mx.sym.var("data")).tojson())["nodes"]
    return [(node["op"], node.get("attrs")) for node in nodes if node["op"] not in ("null", "Flatten")]


def operators_of(net):
    return [op for op, _ in steps_of(net)]


def stirred(net, picture):
    """The net after a call, with biases and statistics of batch norm that are not 0 and 1."""
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, *picture)))
    for param in net.collect_params().values():
        if len(param.shape) == 1:
            param.set_data(nd.random.uniform(0.1, 0.9, shape=param.shape))
    return net


def pictures(*shape):
    return nd.array(np.random.default_rng(0).normal(size=shape))


# Published sizes


def test_lenet_has_the_published_maps():
    assert maps_of(plain.lenet(), (1, 32, 32)) == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5)]


def test_alexnet_of_2012_has_the_published_maps():
    maps = [(channels, side) for channels, side, _ in maps_of(plain.alexnet(), (3, 227, 227))]
    first, second = [(96, 55), (96, 55), (96, 27)], [(256, 27), (256, 27), (256, 13)]  # convolved, normalised, pooled
    assert maps == [*first, *second, (384, 13), (384, 13), (256, 13), (256, 6)]


def test_alexnet_of_2014_has_the_zoos_maps():
    maps = [(channels, side) for channels, side, _ in maps_of(plain.alexnet(year=2014), (3, 224, 224))]
    assert maps == [(64, 55), (64, 27), (192, 27), (192, 13), (384, 13), (256, 13), (256, 13), (256, 6)]


@pytest.mark.parametrize(("num_layers", "batch_norm"), VGGS)
def test_vgg_halves_its_maps_five_times(num_layers, batch_norm):
    net = plain.vgg(num_layers, batch_norm=batch_norm)
    pooled = [
        maps for block, maps in zip(net.features, maps_of(net, (3, 224, 224))) if isinstance(block, gluon.nn.MaxPool2D)
    ]
    assert pooled == [(64, 112, 112), (128, 56, 56), (256, 28, 28), (512, 14, 14), (512, 7, 7)]


def test_nin_has_its_authors_maps():
    maps = [(channels, side) for channels, side, _ in maps_of(plain.nin(), (3, 224, 224))]
    assert maps == [
        *[(96, 54)] * 3,
        (96, 27),
        *[(256, 27)] * 3,
        (256, 13),
        *[(384, 13)] * 3,
        *[(384, 6)] * 2,  # pooled, dropped out
        *[(1024, 6)] * 2,
        (1000, 6),
    ]


@pytest.mark.parametrize(
    ("build", "picture", "parameters"),
    [
        (plain.lenet, (1, 32, 32), 61_706),
        (plain.alexnet, (3, 227, 227), 60_965_224),
        (lambda: plain.alexnet(year=2014), (3, 224, 224), 61_100_840),
        (lambda: plain.vgg(11), (3, 224, 224), 132_863_336),
        (lambda: plain.vgg(13), (3, 224, 224), 133_047_848),
        (plain.vgg, (3, 224, 224), 138_357_544),
        (lambda: plain.vgg(19), (3, 224, 224), 143_667_240),
        # two more for each of the 2752 channels of the convolutions of VGG-11, and so on
        (lambda: plain.vgg(11, batch_norm=True), (3, 224, 224), 132_863_336 + 2 * 2752),
        (lambda: plain.vgg(13, batch_norm=True), (3, 224, 224), 133_047_848 + 2 * 2944),
        (lambda: plain.vgg(16, batch_norm=True), (3, 224, 224), 138_357_544 + 2 * 4224),
        (lambda: plain.vgg(19, batch_norm=True), (3, 224, 224), 143_667_240 + 2 * 5504),
        (plain.nin, (3, 224, 224), 34_944 + 2 * 9_312 + 614_656 + 2 * 65_792 + 885_120 + 2 * 147_840 + 5_614_568),
    ],
)
def test_a_net_has_the_published_number_of_parameters(build, picture, parameters):
    assert parameters_of(build(), picture) == parameters


def test_the_layers_parameters_by_hand():
    assert shapes_of(plain.lenet(7)(mx.sym.var("data")), (1, 32, 32))[0] == [
        *[(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,)],
        *[(120, 400), (120,), (84, 120), (84,), (7, 84), (7,)],
    ]
    assert shapes_of(plain.alexnet()(mx.sym.var("data")), (3, 227, 227))[0][::2] == [
        *[(96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3), (256, 192, 3, 3)],  # 48: of one GPU
        *[(4096, 9216), (4096, 4096), (1000, 4096)],
    ]
    assert shapes_of(plain.nin(7)(mx.sym.var("data")), (3, 224, 224))[0][::2] == [
        *[(96, 3, 11, 11), (96, 96, 1, 1), (96, 96, 1, 1), (256, 96, 5, 5), (256, 256, 1, 1), (256, 256, 1, 1)],
        *[(384, 256, 3, 3), (384, 384, 1, 1), (384, 384, 1, 1), (1024, 384, 3, 3), (1024, 1024, 1, 1), (7, 1024, 1, 1)],
    ]


# The zoo


@pytest.mark.parametrize(("num_layers", "batch_norm"), VGGS)
def test_vgg_computes_what_the_zoos_does(num_layers, batch_norm):
    ours, zoos = plain.vgg(num_layers, 7, batch_norm), zoo_vgg(num_layers, batch_norm)(classes=7)
    assert steps_of(ours) == steps_of(zoos)
    data = mx.sym.var("data")
    assert shapes_of(ours(data), (3, 224, 224)) == shapes_of(zoos(data), (3, 224, 224))


def test_alexnet_of_2014_computes_what_the_zoos_does():
    ours, zoos = plain.alexnet(7, 2014), gluon.model_zoo.vision.alexnet(classes=7)
    assert steps_of(ours) == steps_of(zoos)
    data = mx.sym.var("data")
    assert shapes_of(ours(data), (3, 224, 224)) == shapes_of(zoos(data), (3, 224, 224))


def assert_equal_after_transfer(ours, zoos, X):
    gc.collect()  # the nets of the test before: a block refers to itself
    for net in (zoos, ours):
        net.collect_params().setattr("grad_req", "null")  # half of the memory
    stirred(zoos, X.shape[1:])
    ours.initialize(mx.init.Zero())
    ours(X)
    given, taken = list(zoos.collect_params().values()), list(ours.collect_params().values())
    assert [param.shape for param in taken] == [param.shape for param in given]
    for param, other in zip(taken, given):
        param.set_data(other.data())
    expected = zoos(X).asnumpy()
    assert np.ptp(expected, axis=1).min() > 0.1  # the logits of a picture differ
    np.testing.assert_allclose(ours(X).asnumpy(), expected, rtol=1e-6)


@pytest.mark.parametrize(("num_layers", "batch_norm"), VGGS)
def test_vgg_gives_the_zoos_logits_with_the_zoos_parameters(num_layers, batch_norm):
    zoos = zoo_vgg(num_layers, batch_norm)(classes=7)
    assert_equal_after_transfer(plain.vgg(num_layers, 7, batch_norm), zoos, pictures(2, 3, 32, 32))


def test_alexnet_of_2014_gives_the_zoos_logits_with_the_zoos_parameters():
    zoos = gluon.model_zoo.vision.alexnet(classes=7)
    assert_equal_after_transfer(plain.alexnet(7, 2014), zoos, pictures(2, 3, 63, 70))


# The order of the layers, and slow loops


def test_the_operators_follow_each_other_as_published():
    convolved = ["Convolution", "Activation"]
    dense = ["FullyConnected", "Activation", "Dropout"] * 2 + ["FullyConnected"]
    assert operators_of(plain.lenet()) == [
        *[*convolved, "Pooling"] * 2,
        *["FullyConnected", "Activation"] * 2,
        "FullyConnected",
    ]
    assert operators_of(plain.alexnet()) == [*[*convolved, "LRN", "Pooling"] * 2, *convolved * 3, "Pooling", *dense]
    mlpconv = convolved * 3
    assert operators_of(plain.nin()) == [*[*mlpconv, "Pooling"] * 3, "Dropout", *mlpconv, "Pooling"]


def test_nins_last_pooling_is_a_mean_over_the_whole_maps():
    assert steps_of(plain.nin())[-1][1]["global_pool"] == "True"
    net = stirred(NARROW["nin"](), (1, 60, 80))
    X = pictures(2, 1, 60, 80)
    maps = net.features(X).asnumpy()
    assert maps.shape == (2, 3, 1, 2)
    assert maps.min() >= 0
    assert maps.max() > 0
    np.testing.assert_allclose(net(X).asnumpy(), maps.mean((2, 3)), rtol=1e-6)
    assert not list(net.head.collect_params())


@pytest.mark.parametrize(("build", "dropouts"), [(plain.alexnet, 2), (plain.vgg, 2), (plain.nin, 1)])
def test_dropout_drops_a_half(build, dropouts):
    assert [options["p"] for op, options in steps_of(build()) if op == "Dropout"] == ["0.5"] * dropouts


def slow_convolution(X, conv, stride, padding, groups):
    """One output after another: X (C, H, W)."""
    weight, bias = conv.weight.data().asnumpy().astype(float), conv.bias.data().asnumpy()
    X, k = np.pad(X, ((0, 0), (padding, padding), (padding, padding))), weight.shape[2]
    height, width = ((side - k) // stride + 1 for side in X.shape[1:])
    Y = np.zeros((len(weight), height, width))
    seen = len(X) // groups
    for c, i, j in np.ndindex(Y.shape):
        start = c // (len(weight) // groups) * seen
        field = X[start : start + seen, i * stride : i * stride + k, j * stride : j * stride + k]
        Y[c, i, j] = (field * weight[c]).sum() + bias[c]
    return Y


def slow_pooling(X, size, stride, reduced):
    height, width = ((side - size) // stride + 1 for side in X.shape[1:])
    Y = np.zeros((len(X), height, width))
    for c, i, j in np.ndindex(Y.shape):
        Y[c, i, j] = reduced(X[c, i * stride : i * stride + size, j * stride : j * stride + size])
    return Y


def slow_normalisation(X):
    Y = np.zeros(X.shape)
    for c in range(len(X)):
        Y[c] = X[c] / (2 + 1e-4 / 5 * (X[max(0, c - 2) : c + 3] ** 2).sum(0)) ** 0.75
    return Y


def slow_dense(X, *layers):
    for layer in layers:
        X = layer.weight.data().asnumpy().astype(float) @ X.ravel() + layer.bias.data().asnumpy()
        yield X


def test_lenet_equals_slow_loops():
    net, X = stirred(plain.lenet(3), (2, 16, 20)), pictures(1, 2, 16, 20)
    Y = X[0].asnumpy().astype(float)
    for conv in (net.features[0], net.features[2]):
        Y = slow_pooling(np.tanh(slow_convolution(Y, conv, 1, 0, 1)), 2, 2, np.mean)
    for layer in net.head:
        (Y,) = slow_dense(Y, layer)
        Y = Y if layer is net.head[2] else np.tanh(Y)
    np.testing.assert_allclose(net(X)[0].asnumpy(), Y, atol=1e-5)


def test_alexnet_of_2012_equals_slow_loops():
    net, X = stirred(plain.alexnet(3, width=1 / 24), (1, 67, 75)), 200 * pictures(1, 1, 67, 75)  # large: LRN is seen
    Y, weighted = X[0].asnumpy().astype(float), [block for block in net.features if hasattr(block, "weight")]
    for conv, (stride, padding, groups) in zip(weighted, [(4, 0, 1), (1, 2, 2), (1, 1, 1), (1, 1, 2), (1, 1, 2)]):
        Y = np.maximum(slow_convolution(Y, conv, stride, padding, groups), 0)
        if conv in weighted[:2]:
            Y = slow_normalisation(Y)
        if conv not in weighted[2:4]:
            Y = slow_pooling(Y, 3, 2, np.max)
    np.testing.assert_allclose(net.features(X)[0].asnumpy(), Y, rtol=1e-4, atol=1e-4 * Y.max())
    for layer in [block for block in net.head if hasattr(block, "weight")]:
        (Y,) = slow_dense(Y, layer)
        Y = Y if layer is net.head[4] else np.maximum(Y, 0)
    np.testing.assert_allclose(net(X)[0].asnumpy(), Y, rtol=1e-4)


def test_vgg_normalises_between_convolution_and_relu():
    net, X = stirred(plain.vgg(11, 3, batch_norm=True, width=1 / 32), (1, 32, 32)), pictures(1, 1, 32, 32)
    conv, bn = net.features[0], net.features[1]
    arrays = (bn.running_mean, bn.running_var, bn.gamma, bn.beta)
    mean, var, gamma, beta = (array.data().asnumpy()[:, None, None] for array in arrays)
    Y = (slow_convolution(X[0].asnumpy().astype(float), conv, 1, 1, 1) - mean) / np.sqrt(var + 1e-5) * gamma + beta
    np.testing.assert_allclose(
        net.features[:4](X)[0].asnumpy(), slow_pooling(np.maximum(Y, 0), 2, 2, np.max), atol=1e-4
    )


# Width


def convolutions_of(net):
    return [block._channels for block in net.features if isinstance(block, gluon.nn.Conv2D)]


def units_of(net):
    return [block._units for block in net.head if isinstance(block, gluon.nn.Dense)]


def test_a_narrow_net_has_fewer_channels_and_as_many_classes():
    net = plain.alexnet(7, width=1 / 8)
    assert (convolutions_of(net), units_of(net)) == ([12, 32, 48, 48, 32], [512, 512, 7])
    net = plain.alexnet(7, 2014, width=0.25)
    assert (convolutions_of(net), units_of(net)) == ([16, 48, 96, 64, 64], [1024, 1024, 7])
    net = plain.vgg(13, 7, width=1 / 16)
    assert (convolutions_of(net), units_of(net)) == ([4, 4, 8, 8, 16, 16, 32, 32, 32, 32], [256, 256, 7])
    assert convolutions_of(plain.nin(7, width=1 / 32)) == [3, 3, 3, 8, 8, 8, 12, 12, 12, 32, 32, 7]


def test_channels_are_rounded_and_stay_even_where_there_are_two_groups():
    assert convolutions_of(plain.alexnet(width=0.1)) == [10, 26, 38, 38, 26]  # 9.6, 25.6, 38.4, 38.4, 25.6
    assert convolutions_of(plain.alexnet(width=0.05)) == [4, 12, 20, 20, 12]  # 4.8, 12.8, 19.2, 19.2, 12.8
    assert convolutions_of(plain.alexnet(year=2014, width=0.05)) == [3, 10, 19, 13, 13]  # 3.2, 9.6, 19.2, 12.8, 12.8
    assert units_of(plain.vgg(width=0.1))[0] == 410


def test_the_narrowest_net_has_one_channel_a_group():
    assert convolutions_of(plain.alexnet(width=1e-6)) == [2] * 5
    assert convolutions_of(plain.alexnet(year=2014, width=1e-6)) == [1] * 5
    net = plain.vgg(11, width=1e-6)
    assert (convolutions_of(net), units_of(net)) == ([1] * 8, [1, 1, 1000])
    assert convolutions_of(plain.nin(5, width=1e-6)) == [1] * 11 + [5]
    net = plain.alexnet(5, width=1e-6)
    net.initialize()
    assert net(nd.ones((1, 1, 67, 67))).shape == (1, 5)


# Calls


@each_net
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_net_takes_the_smallest_picture_and_refuses_a_smaller_one(build, channels):
    net = build()
    net.initialize()
    assert net(nd.zeros((2, channels, net.smallest, net.smallest))).shape == (2, 3)
    for side in [(net.smallest - 1, net.smallest), (net.smallest, net.smallest - 1)]:
        with pytest.raises(ValueError, match=f"at least {net.smallest} x {net.smallest} pixels"):
            net(nd.zeros((2, channels, *side)))


@each_net
def test_no_map_is_left_of_a_picture_below_the_smallest(build):
    net = build()
    symbol = net.features(mx.sym.var("data"))
    assert symbol.infer_shape(data=(1, 3, net.smallest, net.smallest))[1][0][2:] == (1, 1)
    with pytest.raises(mx.base.MXNetError, match=r"(?i)kernel size"):
        symbol.infer_shape(data=(1, 3, net.smallest - 1, net.smallest))


def test_the_smallest_pictures():
    assert [build().smallest for build in NARROW.values()] == [16, 67, 63, 32, 32, 55]


@each_net
def test_features_and_head_make_the_net(build):
    net = stirred(build(), (2, 70, 80))
    X = pictures(3, 2, 70, 80)
    assert list(net._children) == ["features", "head"]
    assert net.features(X).ndim == 4
    np.testing.assert_array_equal(net.head(net.features(X)).asnumpy(), net(X).asnumpy())


@each_net
def test_a_hybridized_net_gives_the_same(build):
    net = stirred(build(), (2, 70, 80))
    X = pictures(3, 2, 70, 80)
    expected = net(X).asnumpy()
    net.hybridize()
    np.testing.assert_allclose(net(X).asnumpy(), expected, rtol=1e-5, atol=1e-6)


@each_net
def test_the_loss_depends_on_every_parameter(build):
    net = stirred(build(), (2, 70, 70))
    X, y = pictures(4, 2, 70, 70), nd.array([0, 1, 2, 0])
    with autograd.record():
        gluon.loss.SoftmaxCrossEntropyLoss()(net(X), y).backward()
    for param in net.collect_params().values():
        if param.grad_req != "null":
            gradient = param.grad().asnumpy()
            assert np.isfinite(gradient).all(), param.name
            assert gradient.any(), param.name


def test_a_new_net_is_uninitialised():
    for build in NARROW.values():
        params = build().collect_params().values()
        assert params
        assert all(param._data is None and not param._deferred_init for param in params)


def test_the_defaults_are_the_published_numbers_of_classes():
    assert [net.head[-1]._units for net in (plain.lenet(), plain.alexnet(), plain.vgg())] == [10, 1000, 1000]
    assert convolutions_of(plain.nin())[-1] == 1000


# Mistakes


@pytest.mark.parametrize("build", [plain.lenet, plain.alexnet, lambda K: plain.vgg(num_classes=K), plain.nin])
def test_a_wrong_number_of_classes_is_refused(build):
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        build(0)
    with pytest.raises(TypeError, match=r"num_classes must be a whole number, got 2\.5"):
        build(2.5)
    assert build(1) is not None


@pytest.mark.parametrize("build", [plain.alexnet, plain.vgg, plain.nin])
@pytest.mark.parametrize("width", [0, -0.5, 1.01, math.nan, math.inf])
def test_a_wrong_width_is_refused(build, width):
    with pytest.raises(ValueError, match=f"width must be at most 1 and above 0, got {width}"):
        build(width=width)


@pytest.mark.parametrize("build", [plain.alexnet, plain.vgg, plain.nin])
def test_a_width_that_is_no_number_is_refused(build):
    with pytest.raises(TypeError, match="width must be a number, got 'half'"):
        build(width="half")


@pytest.mark.parametrize("year", [2013, 12, "2012", None])
def test_a_wrong_year_is_refused(year):
    with pytest.raises(ValueError, match=f"year must be one of 2012, 2014; got {year!r}"):
        plain.alexnet(year=year)


@pytest.mark.parametrize("num_layers", [0, 12, 18, "16", None, [16]])
def test_a_wrong_number_of_layers_is_refused(num_layers):
    with pytest.raises(ValueError, match=r"num_layers must be one of 11, 13, 16, 19; got "):
        plain.vgg(num_layers)
