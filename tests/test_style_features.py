"""A VGG's outputs are those of Gluon's own network with the same weights; strides and margins are what they say."""

import contextlib
import re

import numpy as np
import pytest
from style_helpers import CHANNELS, outputs, photo, reach_of, slow_vgg, thin_vgg, vgg_arrays

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.style.features import (
    CONTENT_LAYERS,
    MEAN,
    STD,
    STYLE_LAYERS,
    layer_names,
    standardise,
    to_picture,
    vgg_features,
)

EACH = pytest.mark.parametrize("arch", ["vgg16", "vgg19"])
DEEP = {"content": ["relu1_1", "pool2"], "style": ["conv1_2", "conv2_1", "pool1", "conv3_2"]}


def ours(arch, **layers):
    return vgg_features(arch, vgg_arrays(arch, share=1), mx.cpu(), **layers)


def of_the_model_zoo(arch, arrays):
    """Return the layers before the first dense one of Gluon's own network."""
    layers = list(getattr(gluon.model_zoo.vision, arch)().features._children.values())
    layers = layers[: [isinstance(layer, gluon.nn.Dense) for layer in layers].index(True)]
    for place, layer in enumerate(layers):
        if isinstance(layer, gluon.nn.Conv2D):
            layer.initialize()
            layer(nd.zeros((1, arrays[f"features.{place}.weight"].shape[1], 4, 4)))  # which tells it its shape
            for kind in ("weight", "bias"):
                getattr(layer, kind).set_data(nd.array(arrays[f"features.{place}.{kind}"]))
    return layers


# ---- pictures ----


def test_standardising_is_the_formula():
    """(v / 255 − mean) / deviation, each channel with its own."""
    picture = np.array([[[255, 0, 51], [0, 102, 255]]], np.uint8)
    expected = [
        [[(1 - 0.485) / 0.229, -0.485 / 0.229]],
        [[-0.456 / 0.224, (0.4 - 0.456) / 0.224]],
        [[(0.2 - 0.406) / 0.225, (1 - 0.406) / 0.225]],
    ]
    got = standardise(picture)
    assert (got.shape, got.dtype) == ((1, 3, 1, 2), np.float32)
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-6)


def test_standardising_equals_the_model_zoos_own():
    """Gluon's transforms for its pretrained networks, whose numbers are those of ImageNet."""
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    transforms = gluon.data.vision.transforms
    theirs = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(
        transforms.ToTensor()(nd.array(picture, dtype="uint8"))
    )
    np.testing.assert_allclose(standardise(picture)[0], theirs.asnumpy(), rtol=1e-5, atol=1e-6)


def test_a_picture_with_the_mean_and_deviation_of_imagenet_gets_mean_0_and_deviation_1():
    signs = np.where(np.indices((8, 8)).sum(0) % 2, 1, -1)[..., None]
    picture = (255 * (MEAN + STD * signs)).round().astype(np.uint8)
    got = standardise(picture)
    np.testing.assert_allclose(got.mean((0, 2, 3)), 0, atol=0.01)  # a step of 1/255 is 0.017 deviations
    np.testing.assert_allclose(got.std((0, 2, 3)), 1, atol=0.01)


def test_every_value_comes_back():
    values = np.arange(256, dtype=np.uint8)
    picture = np.stack([values, values[::-1], np.roll(values, 77)], 1).reshape(16, 16, 3)
    back = to_picture(standardise(picture))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, picture)


def test_values_out_of_range_are_cut_off():
    X = np.array([-100, -2.2, 0, 100], np.float32).reshape(1, 1, 1, 4).repeat(3, 1)
    expected = [[0] * 3, [0] * 3, [124, 116, 104], [255] * 3]  # 0.485 · 255 = 123.7, 116.3, 103.5
    assert to_picture(X)[0].tolist() == expected


def test_half_a_step_is_rounded_and_not_cut():
    X = standardise(np.full((1, 1, 3), 100, np.uint8))
    steps = np.array([-0.6, -0.4, 0.4, 0.6]) / 255
    values = [to_picture((X + (step / STD)[None, :, None, None]).astype(np.float32))[0, 0, 0] for step in steps]
    assert values == [99, 100, 100, 101]


# ---- names ----


def test_the_names_of_vgg16_by_hand():
    assert " ".join(layer_names("vgg16")) == (
        "conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 relu2_1 conv2_2 relu2_2 pool2 "
        "conv3_1 relu3_1 conv3_2 relu3_2 conv3_3 relu3_3 pool3 conv4_1 relu4_1 conv4_2 relu4_2 conv4_3 relu4_3 pool4 "
        "conv5_1 relu5_1 conv5_2 relu5_2 conv5_3 relu5_3 pool5"
    )


def test_vgg19_has_one_convolution_more_in_each_of_the_last_three_blocks():
    more = set(layer_names("vgg19")) - set(layer_names("vgg16"))
    assert more == {f"{kind}{block}_4" for kind in ("conv", "relu") for block in (3, 4, 5)}
    assert len(layer_names("vgg19")) == 37


@EACH
def test_the_books_layers_are_the_first_convolution_of_each_block_and_the_last_of_block_four(arch):
    """d2l, section 14.12: layers 0, 5, 10, 19, 28 and 25 of Gluon's VGG-19."""
    names = layer_names(arch)
    assert " ".join(STYLE_LAYERS) == "conv1_1 conv2_1 conv3_1 conv4_1 conv5_1"
    (content,) = CONTENT_LAYERS[arch]
    assert content == max(name for name in names if name.startswith("conv4"))
    if arch == "vgg19":
        assert [names.index(name) for name in (*STYLE_LAYERS, content)] == [0, 5, 10, 19, 28, 25]


# ---- the network ----


@EACH
def test_every_layer_equals_the_one_of_gluons_model_zoo(arch):
    arrays, x = vgg_arrays(arch, share=1), photo(41, 50)
    features = vgg_features(arch, arrays, mx.cpu(), content=layer_names(arch), style=["conv1_1"])
    assert features.layers == layer_names(arch)
    theirs, layers = nd.array(x), of_the_model_zoo(arch, arrays)
    assert len(layers) == len(features.layers)
    for name, got, layer in zip(features.layers, features.net(nd.array(x)), layers):
        theirs = layer(theirs)
        np.testing.assert_allclose(got.asnumpy(), theirs.asnumpy(), rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("height", "width"), [(24, 36), (25, 39)])
def test_the_outputs_equal_slow_numpy(height, width):
    features, arrays = thin_vgg("vgg19", **DEEP)
    x = photo(height, width)
    slow = slow_vgg(arrays, "vgg19", x[0])
    for name, got in zip(features.layers, outputs(features, x)):
        np.testing.assert_allclose(got[0], slow[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_outputs_are_in_the_networks_order_whatever_the_callers():
    features, _ = thin_vgg(**DEEP)
    assert features.layers == ("relu1_1", "conv1_2", "pool1", "conv2_1", "pool2", "conv3_2")
    assert features.strides == (1, 1, 2, 2, 4, 4)
    shapes = [part.shape[1:] for part in outputs(features, photo(33, 50))]
    assert shapes == [(4, 33, 50), (4, 33, 50), (4, 16, 25), (8, 16, 25), (8, 8, 12), (16, 8, 12)]
    assert (dict(features.content), dict(features.style)) == (
        dict.fromkeys(DEEP["content"], 1),
        dict.fromkeys(DEEP["style"], 1),
    )


def test_a_layer_may_serve_content_and_style():
    features, _ = thin_vgg(content=["conv1_1"], style=["conv1_1"])
    assert features.layers == ("conv1_1",)
    assert len(outputs(features, photo(8, 8))) == 1


@EACH
def test_the_defaults_are_the_books(arch):
    features, _ = thin_vgg(arch)
    assert features.layers == (*STYLE_LAYERS[:4], *CONTENT_LAYERS[arch], STYLE_LAYERS[4])
    assert tuple(features.content) == CONTENT_LAYERS[arch]
    assert tuple(features.style) == STYLE_LAYERS
    assert features.strides == (1, 2, 4, 8, 8, 16)
    assert not features.relative
    assert tuple(features.weights) == (1, 1000, 10)


def test_a_batch_is_its_pictures():
    features, _ = thin_vgg(**DEEP)
    x = np.concatenate([photo(20, 24, seed) for seed in range(3)])
    for n in range(3):
        for whole, alone in zip(outputs(features, x), outputs(features, x[n : n + 1])):
            np.testing.assert_allclose(whole[n : n + 1], alone, rtol=1e-4, atol=1e-5)


@EACH
def test_the_network_ends_after_the_last_layer_that_is_used(arch):
    """conv3_1 is the fifth convolution; of what comes after it there need be no weights."""
    arrays = {name: array for name, array in vgg_arrays(arch).items() if int(name.split(".")[1]) <= 10}
    features, _ = thin_vgg(arch, content=["relu2_1"], style=["conv3_1", "conv1_1"])
    assert len(arrays) == len(features.net.collect_params().keys()) == 2 * 5
    assert len(features.net.blocks) == 11
    first = {name: array for name, array in vgg_arrays(arch, share=1).items() if int(name.split(".")[1]) <= 10}
    assert vgg_features(arch, first, mx.cpu(), ["relu2_1"], ["conv3_1"]).layers == ("relu2_1", "conv3_1")


def test_the_defaults_end_before_the_second_convolution_of_block_five():
    features, _ = thin_vgg("vgg19")
    assert len(features.net.blocks) == 29
    assert [param.shape[0] for param in features.net.collect_params(".*weight").values()] == [
        count // 16 for count, times in zip(CHANNELS, (2, 2, 4, 4, 1)) for _ in range(times)
    ]


def test_the_channels_are_those_of_the_paper():
    features = ours("vgg16", content=["conv3_1"], style=["conv1_1"])
    shapes = [param.shape for param in features.net.collect_params(".*weight").values()]
    assert shapes == [(64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3), (128, 128, 3, 3), (256, 128, 3, 3)]


def test_nothing_in_the_network_is_learnt_and_it_is_compiled():
    features, _ = thin_vgg(**DEEP)
    assert {param.grad_req for param in features.net.collect_params().values()} == {"null"}
    assert features.net._active
    assert dict(features.net._flags)["static_alloc"]  # memory taken anew at each step costs a tenth of its time
    x = nd.array(photo(16, 16))
    x.attach_grad()
    with mx.autograd.record():
        loss = features.net(x)[-1].sum()
    loss.backward()
    assert np.abs(x.grad.asnumpy()).max() > 0


def test_outputs_stay_when_another_picture_goes_through():
    """The network keeps its memory from one picture to the next."""
    found, _ = thin_vgg()
    X, other = nd.array(photo(48, 64)), nd.array(photo(48, 64, 1))
    for recording in (False, True):
        with autograd.record() if recording else contextlib.nullcontext():
            first = found.net(X)
        kept = [Y.asnumpy() for Y in first]
        with autograd.record() if recording else contextlib.nullcontext():
            found.net(other)
        nd.waitall()
        assert all(np.array_equal(Y.asnumpy(), values) for Y, values in zip(first, kept))


def test_the_weights_given_are_not_changed_and_the_network_keeps_its_own():
    arrays = vgg_arrays("vgg16", share=1)
    features = vgg_features("vgg16", arrays, mx.cpu(), ["conv1_1"], ["conv1_2"])
    before = outputs(features, photo(8, 8))
    arrays["features.0.weight"][:] = 0
    for one, other in zip(before, outputs(features, photo(8, 8))):
        np.testing.assert_array_equal(one, other)


# ---- how far it looks ----


@pytest.mark.parametrize(
    ("last", "stride", "margin"),
    [
        ("conv1_1", 1, 1),
        ("relu1_1", 1, 1),
        ("conv1_2", 1, 2),
        ("pool1", 2, 2),
        ("conv2_1", 2, 4),
        ("conv2_2", 2, 6),
        ("pool2", 4, 8),  # 6, and a multiple of 4
        ("conv3_1", 4, 12),  # 10
        ("conv3_3", 4, 20),  # 18
        ("pool3", 8, 24),
        ("conv4_1", 8, 32),  # 26
        ("conv5_1", 16, 64),  # 18 + 3 · 8 + 16 = 58
    ],
)
def test_margins_by_hand(last, stride, margin):
    """Each convolution looks one position farther, of its own stride."""
    features, _ = thin_vgg("vgg16", content=[last], style=["conv1_1"])
    assert (features.strides[-1], features.margin) == (stride, margin)


def test_margins_of_vgg19_by_hand():
    """Blocks one and two look 2 + 2 · 2 far, three and four another 4 · 4 + 4 · 8, conv5_1 another 16."""
    assert thin_vgg("vgg19", style=["conv1_1"])[0].margin == 56  # 54, and a multiple of 8
    assert thin_vgg("vgg19")[0].margin == 80  # 70, and a multiple of 16


@pytest.mark.parametrize(
    ("last", "reach"), [("conv1_1", 1), ("conv1_2", 2), ("pool1", 2), ("conv2_1", 4), ("pool2", 6), ("conv3_2", 14)]
)
def test_a_pixel_changes_what_is_as_far_away_as_the_layers_look_and_nothing_beyond_the_margin(last, reach):
    features, _ = thin_vgg("vgg16", content=[last], style=["conv1_1"])
    x, stride = photo(64, 64), features.strides[-1]
    found = [reach_of(features, last, x, (32 + i, 32 + j)) for i in range(stride) for j in range(stride)]
    assert max(found) == reach
    assert features.margin - stride < reach <= features.margin
    assert all(reach_of(features, layer, x, (32, 33)) <= reach for layer in features.layers)


# ---- refused ----


@pytest.mark.parametrize("call", [lambda: layer_names("vgg11"), lambda: vgg_features("vgg11", {}, mx.cpu())])
def test_an_unknown_architecture_is_refused(call):
    with pytest.raises(ValueError, match=r"^arch must be one of vgg16, vgg19; got 'vgg11'$"):
        call()


@pytest.mark.parametrize("layers", [{"content": ["conv3_4"]}, {"style": ["conv1_1", "conv3_4"]}])
def test_an_unknown_layer_is_refused_with_those_that_there_are(layers):
    expected = f"layer must be one of {', '.join(layer_names('vgg16'))}; got 'conv3_4'"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        thin_vgg("vgg16", **layers)
    assert "conv3_4" in thin_vgg("vgg19", content=["conv3_4"])[0].layers


@pytest.mark.parametrize("name", ["features.0.weight", "features.2.bias"])
def test_a_missing_weight_is_refused_by_its_name(name):
    arrays = vgg_arrays("vgg19", share=1)
    del arrays[name]
    with pytest.raises(ValueError, match=rf"^the weights lack {re.escape(name)}, which vgg19 needs$"):
        vgg_features("vgg19", arrays, mx.cpu(), ["conv1_2"], ["conv1_1"])
