"""Networks from Darknet's configurations compute what Darknet's layers do, and keep their weights through its files."""

import numpy as np
import pytest
from detection_helpers import randomise

from gluonbook import _files
from gluonbook._mxnet import autograd, gluon, gluoncv, mx, nd
from gluonbook.detection.darknet import (
    Darknet,
    fold_batch_norm,
    load_darknet_weights,
    save_darknet_weights,
)
from gluonbook.detection.darknet_config import read_config, with_classes, with_size
from gluonbook.detection.yolo import decode_maps
from gluonbook.weights.darknet_weights import read_darknet_weights, write_darknet_weights

FOLDER = _files.packaged("datasets") / "detection"
COPY = "[convolutional]\nfilters=6\nactivation=linear\n[yolo]\nmask=0\nanchors=8,8\nclasses=1\nnum=1\n"
# Layer 0 with batch norm, 1 with neither batch norm nor a rectifier, 2 with a rectifier alone, 3 the head.
MIXED = (
    "[net]\nheight=8\nwidth=8\n"
    "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nstride=2\nactivation=leaky\n"
    "[convolutional]\nfilters=5\nsize=3\npad=1\nactivation=linear\n"
    "[convolutional]\nfilters=4\nactivation=leaky\n[shortcut]\nfrom=0\n"
    "[convolutional]\nbatch_normalize=1\nfilters=6\nactivation=linear\n"
    "[yolo]\nmask=0\nanchors=8,8\nclasses=1\nnum=1\n"
)


@pytest.fixture
def built(tmp_path):
    """Build a network from the text of a configuration."""

    def build(text):
        path = tmp_path / "built.cfg"
        path.write_text(text)
        return Darknet(read_config(path))

    return build


@pytest.fixture
def looked_at(built):
    """Return what a few layers make of X (N, C, H, W): six of their channels are copied by a head."""

    def look(layers, X, hybridize=False):
        _, channels, height, width = X.shape
        net = built(f"[net]\nheight={height}\nwidth={width}\nchannels={channels}\n{layers}{COPY}")
        net.initialize()
        for block in net.convolutions:
            copy_channels(block[0])
        if hybridize:
            net.hybridize(static_alloc=True)
        return net(nd.array(X))[0].asnumpy()

    return look


def copy_channels(convolution):
    """Let a 1x1 convolution give its first inputs unchanged."""
    convolution.bias.set_data(nd.zeros(convolution.bias.shape))
    num_outputs, num_inputs = convolution.weight.shape[:2]
    convolution.weight.set_data(nd.array(np.eye(num_outputs, num_inputs)[:, :, None, None]))


def random_pictures(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def pooled(X, size, stride):
    """Pool as Darknet's ``forward_maxpool_layer`` does, pixel by pixel."""
    N, C, H, W = X.shape
    offset = -int((size - 1) / 2)
    rows, columns = ((side + size - 1 - size) // stride + 1 for side in (H, W))
    out = np.full((N, C, rows, columns), -np.inf, np.float32)
    for i in range(rows):
        for j in range(columns):
            for n in range(size):
                for m in range(size):
                    row, column = offset + i * stride + n, offset + j * stride + m
                    if 0 <= row < H and 0 <= column < W:
                        out[:, :, i, j] = np.maximum(out[:, :, i, j], X[:, :, row, column])
    return out


# ---- the packaged networks ----


@pytest.mark.parametrize(
    ("name", "num_values", "num_boxes", "strides"),
    [("yolov3.cfg", 62_001_757, 10_647, [32, 16, 8]), ("yolov3-tiny.cfg", 8_858_734, 2_535, [32, 16])],
)
def test_the_published_networks_have_their_weights_and_boxes(name, num_values, num_boxes, strides):
    net = Darknet(read_config(FOLDER / name))
    assert sum(np.prod(parameter.shape) for parameter in net.collect_params().values()) == num_values
    assert (net.num_classes, net.size) == (80, (416, 416))
    assert [head.stride for head in net.heads] == strides
    assert sum(len(head.anchors) * (416 // head.stride) ** 2 for head in net.heads) == num_boxes
    shapes = mx.sym.Group(net(mx.sym.var("data"))).infer_shape(data=(2, 3, 416, 416))[1]
    assert shapes == [(2, 255, 416 // stride, 416 // stride) for stride in strides]


def test_heads_have_the_anchors_of_their_masks():
    heads = Darknet(read_config(FOLDER / "yolov3.cfg")).heads
    assert [head.anchors.tolist() for head in heads] == [
        [[116, 90], [156, 198], [373, 326]],
        [[30, 61], [62, 45], [59, 119]],
        [[10, 13], [16, 30], [33, 23]],
    ]
    assert {head.anchors.dtype for head in heads} == {np.dtype(np.float32)}
    assert {(head.num_classes, head.ignore_threshold) for head in heads} == {(80, 0.7)}
    tiny = Darknet(with_classes(read_config(FOLDER / "yolov3-tiny.cfg"), 2)).heads
    assert [head.anchors[0].tolist() for head in tiny] == [[81, 82], [10, 14]]
    assert {head.num_classes for head in tiny} == {2}
    assert {head.ignore_threshold for head in Darknet(read_config(FOLDER / "yolo-small.cfg")).heads} == {0.5}


def test_the_small_network_is_small_and_takes_pictures_of_other_sizes():
    sections = read_config(FOLDER / "yolo-small.cfg")
    net = Darknet(sections)
    net.initialize()
    assert 700_000 < sum(np.prod(parameter.shape) for parameter in net.collect_params().values()) < 1_200_000
    assert (net.size, net.num_classes, [head.stride for head in net.heads]) == ((256, 256), 3, [32, 16, 8])
    wide = Darknet(with_size(sections, 64, 96))
    assert wide.size == (64, 96)
    for X in (nd.zeros((2, 3, 64, 96)), nd.zeros((1, 3, 32, 32))):
        N, _, H, W = X.shape
        assert [y.shape for y in net(X)] == [(N, 24, H // s, W // s) for s in (32, 16, 8)]


# ---- the layers ----


@pytest.mark.parametrize("normalised", [0, 1])
@pytest.mark.parametrize("activation", ["leaky", "linear"])
@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 2, "pad=1"), (1, 1, "pad=1"), (3, 1, "padding=1")])
def test_a_convolution_is_convolution_batch_norm_and_leaky_relu(built, normalised, activation, size, stride, padding):
    net = built(
        f"[net]\nheight=8\nwidth=12\n[convolutional]\nbatch_normalize={normalised}\nfilters=6\nsize={size}\n"
        f"stride={stride}\n{padding}\nactivation={activation}\n{COPY}"
    )
    randomise(net)
    copy_channels(net.convolutions[1][0])
    X = nd.array(random_pictures(2, 3, 8, 12))
    layer = net.convolutions[0]
    expected = nd.Convolution(
        X,
        layer[0].weight.data(),
        no_bias=True,
        kernel=(size, size),
        stride=(stride, stride),
        pad=(size // 2, size // 2),
        num_filter=6,
    ).asnumpy()
    column = (slice(None), None, None)
    if normalised:
        names = ("gamma", "beta", "running_mean", "running_var")
        scale, shift, mean, variance = (getattr(layer[1], name).data().asnumpy()[column] for name in names)
        expected = (expected - mean) / np.sqrt(variance + 1e-5) * scale + shift
    else:
        expected = expected + layer[0].bias.data().asnumpy()[column]
    if activation == "leaky":
        expected = np.where(expected > 0, expected, 0.1 * expected)
    np.testing.assert_allclose(net(X)[0].asnumpy(), expected, atol=1e-5)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize(("size", "stride"), [(2, 1), (2, 2), (3, 1), (4, 1), (5, 1), (3, 2), (4, 2), (1, 1)])
def test_pooling_is_darknets_at_the_borders_too(looked_at, size, stride, hybridize):
    X = random_pictures(2, 6, 6, 8) - 2  # negative, so that zeros in the padding would win
    out = looked_at(f"[maxpool]\nsize={size}\nstride={stride}\n", X, hybridize)
    assert out.shape == (2, 6, 6 // stride, 8 // stride)
    np.testing.assert_array_equal(out, pooled(X, size, stride))


def test_pooling_with_stride_one_by_hand(looked_at):
    X = np.zeros((1, 6, 2, 3), np.float32)
    X[0, 0] = [[1, 5, 2], [4, 3, -7]]
    assert looked_at("[maxpool]\nsize=2\nstride=1\n", X)[0, 0].tolist() == [[5, 5, 2], [4, 3, -7]]


def test_the_last_window_of_an_odd_map_is_half_a_one(built):
    shrinking = "[convolutional]\nfilters=6\nsize=2\nactivation=linear\n[maxpool]\nsize=2\nstride=2\n"
    net = built(f"[net]\nheight=6\nwidth=8\nchannels=6\n{shrinking}{COPY}")
    net.initialize()
    kernel = np.zeros((6, 6, 2, 2))
    kernel[:, :, 1, 1] = np.eye(6)  # drops the first row and column
    net.convolutions[0][0].weight.set_data(nd.array(kernel))
    copy_channels(net.convolutions[1][0])
    X = random_pictures(1, 6, 6, 8)
    np.testing.assert_array_equal(net(nd.array(X))[0].asnumpy(), pooled(X[:, :, 1:, 1:], 2, 2))


def test_the_gradient_of_pooling_goes_to_each_window_s_largest_pixel(built):
    net = built(f"[net]\nheight=6\nwidth=6\nchannels=6\n[maxpool]\nsize=2\nstride=1\n{COPY}")
    net.initialize()
    copy_channels(net.convolutions[0][0])
    X = nd.array(np.random.default_rng(0).permutation(216).reshape(1, 6, 6, 6))
    X.attach_grad()
    with autograd.record():
        total = net(X)[0].sum()
    total.backward()
    values, expected = X.asnumpy()[0], np.zeros((6, 6, 6))
    for c in range(6):
        for i in range(6):
            for j in range(6):
                window = values[c, i : i + 2, j : j + 2]
                n, m = np.unravel_index(window.argmax(), window.shape)
                expected[c, i + n, j + m] += 1
    np.testing.assert_array_equal(X.grad.asnumpy()[0], expected)


def test_upsampling_repeats_each_pixel_in_both_directions(looked_at):
    X = random_pictures(2, 6, 4, 6)
    out = looked_at("[maxpool]\nsize=1\nstride=2\n[upsample]\nstride=2\n", X)
    np.testing.assert_array_equal(out, X[:, :, ::2, ::2].repeat(2, axis=2).repeat(2, axis=3))


def test_routes_join_channels_in_the_order_of_their_layers_relative_and_absolute(looked_at):
    X = random_pictures(1, 3, 4, 4)
    pool = "[maxpool]\nsize=3\nstride=1\n"
    once, twice = pooled(X, 3, 1), pooled(pooled(X, 3, 1), 3, 1)
    for layers, expected in (
        ("-1,-2", [twice, once]),
        ("0,1", [once, twice]),
        ("-1, 0", [twice, once]),
        ("0,0", [once, once]),
    ):
        out = looked_at(f"{pool}{pool}[route]\nlayers={layers}\n", X)
        np.testing.assert_array_equal(out, np.concatenate(expected, axis=1))


def test_a_route_of_one_layer_goes_back_to_it(looked_at):
    X = random_pictures(1, 6, 4, 4)
    pool = "[maxpool]\nsize=3\nstride=1\n"
    np.testing.assert_array_equal(looked_at(f"{pool}{pool}{pool}[route]\nlayers=-3\n", X), pooled(X, 3, 1))


@pytest.mark.parametrize("layer", ["-2", "0"])
def test_a_shortcut_adds_the_layer_before_and_another(looked_at, layer):
    X = random_pictures(1, 6, 4, 4)
    pool = "[maxpool]\nsize=3\nstride=1\n"
    once = pooled(X, 3, 1)
    out = looked_at(f"{pool}{pool}[shortcut]\nfrom={layer}\n", X)
    np.testing.assert_allclose(out, pooled(once, 3, 1) + once, rtol=1e-6)


def test_a_hybridized_network_gives_the_same_maps_and_still_checks_its_pictures(built):
    net = randomise(built(MIXED))
    X = nd.array(random_pictures(2, 3, 8, 16))
    expected = net(X)[0].asnumpy()
    net.hybridize(static_alloc=True)
    for _ in range(2):
        maps = net(X)
        assert isinstance(maps, list)
        np.testing.assert_allclose(maps[0].asnumpy(), expected, atol=1e-6)
    with pytest.raises(ValueError, match="multiples of 2, got 7x16"):
        net(nd.zeros((2, 3, 7, 16)))


def test_it_learns(built):
    mx.random.seed(0)
    net = built(MIXED)
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.02})
    X, losses = nd.array(random_pictures(8, 3, 8, 8)), []
    y = X.slice_axis(axis=1, begin=0, end=1)[:, :, ::2, ::2] * 2 - 1
    for _ in range(40):
        with autograd.record():
            loss = ((net(X)[0] - y) ** 2).mean()
        loss.backward()
        trainer.step(1)
        losses.append(float(loss.asscalar()))
    assert losses[-1] < 0.5 * losses[0]
    for name, parameter in net.collect_params().items():
        if parameter.grad_req != "null":
            assert np.abs(parameter.grad().asnumpy()).max() > 0, name


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((1, 3, 416, 400), r"H and W that are multiples of 32, got 416x400"),
        ((1, 3, 16, 32), r"H and W that are multiples of 32, got 16x32"),
        ((1, 1, 32, 32), r"X must be pictures, \(N, 3, H, W\), got shape \(1, 1, 32, 32\)"),
        ((3, 32, 32), r"X must be pictures, \(N, 3, H, W\), got shape \(3, 32, 32\)"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(shape, match):
    net = Darknet(read_config(FOLDER / "yolo-small.cfg"))
    net.initialize()
    with pytest.raises(ValueError, match=match):
        net(nd.zeros(shape))


def test_sections_that_make_no_network_are_refused(built):
    with pytest.raises(ValueError, match=r"have a \[yolo\], got the kinds net$"):
        built("[net]\nheight=8\nwidth=8\n")
    sections = read_config(FOLDER / "yolo-small.cfg")
    with pytest.raises(ValueError, match=r"must begin with \[net\] and have a \[yolo\], got the kinds convolutional, "):
        Darknet(sections[1:])
    for wrong in ((), ["net"], [("net", 1, {})]):
        with pytest.raises(TypeError, match="sections must be what read_config returns"):
            Darknet(wrong)
    with pytest.raises(ValueError, match=r"line 25, \[yolo\]: 1 boxes of 2 classes need filters=7"):
        built(MIXED.replace("classes=1", "classes=2"))
    other = COPY.replace("classes=1", "classes=2").replace("filters=6", "filters=7")
    with pytest.raises(ValueError, match=r"line 17, \[yolo\]: classes must be 1 as in .* \(line 7\), got 2"):
        built(f"[net]\nheight=8\nwidth=8\n{COPY}[route]\nlayers=0\n{other}")


# ---- the weights ----


def mixed_values():
    """Return MIXED's weights in Darknet's order, by hand: (name in the file, shape) and its values."""
    shapes = [
        *((name, (4,)) for name in ("0 beta", "0 gamma", "0 mean", "0 variance")),
        *[("0 kernel", (4, 3, 3, 3)), ("1 bias", (5,)), ("1 kernel", (5, 4, 3, 3))],
        *[("2 bias", (4,)), ("2 kernel", (4, 5, 1, 1))],
        *((name, (6,)) for name in ("4 beta", "4 gamma", "4 mean", "4 variance")),
        ("4 kernel", (6, 4, 1, 1)),
    ]
    values, start = {}, 1
    for name, shape in shapes:
        num = int(np.prod(shape))
        values[name] = np.arange(start, start + num, dtype=np.float32).reshape(shape)
        start += num
    return values


def parameters_of(net):
    return {name: parameter.data().asnumpy() for name, parameter in net._collect_params_with_prefix().items()}


def test_each_value_of_a_file_goes_where_darknet_puts_it(built, tmp_path):
    values = mixed_values()
    write_darknet_weights(tmp_path / "net.weights", values.values(), seen=12)
    net = built(MIXED)
    assert load_darknet_weights(net, tmp_path / "net.weights") == 12
    layers = net.convolutions
    for number, layer in (("0", layers[0]), ("4", layers[3])):
        np.testing.assert_array_equal(layer[1].beta.data().asnumpy(), values[f"{number} beta"])
        np.testing.assert_array_equal(layer[1].gamma.data().asnumpy(), values[f"{number} gamma"])
        np.testing.assert_array_equal(layer[1].running_mean.data().asnumpy(), values[f"{number} mean"])
        np.testing.assert_array_equal(layer[1].running_var.data().asnumpy(), values[f"{number} variance"])
        np.testing.assert_array_equal(layer[0].weight.data().asnumpy(), values[f"{number} kernel"])
    for number in (1, 2):
        np.testing.assert_array_equal(layers[number][0].bias.data().asnumpy(), values[f"{number} bias"])
        np.testing.assert_array_equal(layers[number][0].weight.data().asnumpy(), values[f"{number} kernel"])


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0)])
def test_weights_survive_a_file(built, tmp_path, version):
    net, again = randomise(built(MIXED)), randomise(built(MIXED), seed=1)
    path = tmp_path / "net.weights"
    save_darknet_weights(net, path, seen=99)
    if version == (0, 1, 0):
        write_darknet_weights(path, [read_darknet_weights(path).values], 99, version)
    assert path.stat().st_size == (16 if version == (0, 1, 0) else 20) + 4 * sum(map(np.size, mixed_values().values()))
    assert load_darknet_weights(again, path) == 99
    expected = parameters_of(net)
    for name, values in parameters_of(again).items():
        np.testing.assert_array_equal(values, expected[name])
    X = nd.array(random_pictures(1, 3, 8, 8))
    np.testing.assert_array_equal(again(X)[0].asnumpy(), net(X)[0].asnumpy())


def test_a_hybridized_network_uses_weights_that_are_loaded_later(built, tmp_path):
    net, other = randomise(built(MIXED)), randomise(built(MIXED), seed=1)
    X = nd.array(random_pictures(1, 3, 8, 8))
    other.hybridize(static_alloc=True)
    other(X)
    save_darknet_weights(net, tmp_path / "net.weights")
    load_darknet_weights(other, tmp_path / "net.weights")
    np.testing.assert_allclose(other(X)[0].asnumpy(), net(X)[0].asnumpy(), atol=1e-6)


# Values: layer 0 has 16 + 108, layer 1 5 + 180, layer 2 4 + 20, layer 4 24 + 24.
@pytest.mark.parametrize(
    ("num_values", "match"),
    [
        (0, r"too short: layer 0 \(line 4, \[convolutional\]\) wants 496 bytes, 0 are left"),
        (123, r"too short: layer 0 \(line 4, \[convolutional\]\) wants 496 bytes, 492 are left"),
        (124, r"too short: layer 1 \(line 11, \[convolutional\]\) wants 740 bytes, 0 are left"),
        (332, r"too short: layer 2 \(line 16, \[convolutional\]\) wants 96 bytes, 92 are left"),
        (380, r"too short: layer 4 \(line 21, \[convolutional\]\) wants 192 bytes, 188 are left"),
        (382, r"too long: the network has 1524 bytes of weights, 4 are left over"),
    ],
)
def test_a_file_of_another_length_is_refused_and_changes_nothing(built, tmp_path, num_values, match):
    write_darknet_weights(tmp_path / "net.weights", [np.ones(num_values)])
    net = randomise(built(MIXED))
    before = parameters_of(net)
    with pytest.raises(ValueError, match=match):
        load_darknet_weights(net, tmp_path / "net.weights")
    for name, values in parameters_of(net).items():
        np.testing.assert_array_equal(values, before[name])


def test_a_network_that_is_not_initialised_has_no_weights_to_write_or_fold(built, tmp_path):
    for use in (fold_batch_norm, lambda net: save_darknet_weights(net, tmp_path / "net.weights")):
        with pytest.raises(ValueError, match="net must be initialised"):
            use(built(MIXED))
        with pytest.raises(TypeError, match="net must be a Darknet, got Dense"):
            use(gluon.nn.Dense(1))
    assert not (tmp_path / "net.weights").exists()


# ---- batch norm folded ----


def test_folding_keeps_the_outputs_and_the_network(built):
    net = randomise(built(MIXED))
    X = nd.array(random_pictures(2, 3, 8, 16))
    expected, before = net(X)[0].asnumpy(), parameters_of(net)
    folded = fold_batch_norm(net)
    np.testing.assert_allclose(folded(X)[0].asnumpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert not [name for name in folded.collect_params() if "running" in name or "gamma" in name]
    assert [section.options.get("batch_normalize", 0) for section in folded.sections] == [0] * len(net.sections)
    assert [section.options.get("batch_normalize") for section in net.sections[1:3]] == [1, 0]
    np.testing.assert_array_equal(net(X)[0].asnumpy(), expected)
    for name, values in parameters_of(net).items():
        np.testing.assert_array_equal(values, before[name])


def test_loading_and_folding_keep_the_devices(built, tmp_path):
    net, devices = built(MIXED), [mx.cpu(1), mx.cpu(2)]
    net.initialize(ctx=devices)
    save_darknet_weights(randomise(built(MIXED)), tmp_path / "net.weights")
    load_darknet_weights(net, tmp_path / "net.weights")
    X = nd.array(random_pictures(1, 3, 8, 8))
    for device in devices:
        expected = net(X.as_in_context(device))[0]
        y = fold_batch_norm(net)(X.as_in_context(device))[0]
        assert y.context == device
        np.testing.assert_allclose(y.asnumpy(), expected.asnumpy(), atol=1e-4)


def test_folding_by_hand(built):
    net = built("[net]\nheight=2\nwidth=2\nchannels=1\n" + COPY.replace("activation", "batch_normalize=1\nactivation"))
    net.initialize()
    convolution, norm = net.convolutions[0]
    convolution.weight.set_data(nd.full((6, 1, 1, 1), 3))
    for parameter, value in ((norm.gamma, 2), (norm.beta, 5), (norm.running_mean, 7), (norm.running_var, 16 - 1e-5)):
        parameter.set_data(nd.full(6, value))
    folded = fold_batch_norm(net).convolutions[0][0]
    assert folded.weight.data()[:, 0, 0, 0].asnumpy() == pytest.approx(3 * 2 / 4)
    assert folded.bias.data().asnumpy() == pytest.approx(5 - 7 * 2 / 4)


def test_a_folded_network_folds_to_itself_and_survives_a_file(built, tmp_path):
    folded = fold_batch_norm(randomise(built(MIXED)))
    again = Darknet(folded.sections)
    save_darknet_weights(folded, tmp_path / "net.weights")
    load_darknet_weights(again, tmp_path / "net.weights")
    expected = parameters_of(folded)
    for net in (again, fold_batch_norm(folded)):
        for name, values in parameters_of(net).items():
            np.testing.assert_array_equal(values, expected[name])


def test_all_heads_of_the_small_network_survive_folding():
    net = randomise(Darknet(read_config(FOLDER / "yolo-small.cfg")))
    X = nd.array(random_pictures(1, 3, 64, 96))
    folded = fold_batch_norm(net)
    folded.hybridize(static_alloc=True)
    for y, expected in zip(folded(X), net(X)):
        expected = expected.asnumpy()
        np.testing.assert_allclose(y.asnumpy(), expected, atol=1e-5 * np.abs(expected).max())


# ---- against gluoncv ----


def cells_of(block):
    """Return the (convolution, batch norm) pairs and bare convolutions below a block, in the order of computation."""
    if isinstance(block, gluon.nn.Conv2D):
        return [(block, None)]
    children = list(block._children.values())
    if len(children) == 3 and isinstance(children[0], gluon.nn.Conv2D):
        return [(children[0], children[1])]
    return [cell for child in children for cell in cells_of(child)]


def darknet_order(theirs):
    """Return the arrays of gluoncv's YOLOv3 in the order of Darknet's file."""
    cells = cells_of(theirs.stages)
    for number, (block, output) in enumerate(zip(theirs.yolo_blocks, theirs.yolo_outputs)):
        cells += cells_of(theirs.transitions[number - 1]) if number else []
        cells += [*cells_of(block), (output.prediction, None)]
    for convolution, norm in cells:
        if norm is None:
            yield convolution.bias.data().asnumpy()
        else:
            for parameter in (norm.beta, norm.gamma, norm.running_mean, norm.running_var):
                yield parameter.data().asnumpy()
        yield convolution.weight.data().asnumpy()


def test_yolov3_is_gluoncvs_with_its_weights_through_a_file(tmp_path):
    theirs = gluoncv().model_zoo.get_model("yolo3_darknet53_coco", pretrained_base=False)
    theirs.initialize(mx.init.Zero())
    theirs(nd.zeros((1, 3, 32, 32)))  # fixes the shapes that are not known yet
    random = np.random.default_rng(0)
    for name, parameter in theirs.collect_params().items():
        if name.endswith("weight"):  # small enough that the residual sums do not overflow
            values = random.standard_normal(parameter.shape, np.float32) * (1 / np.prod(parameter.shape[1:])) ** 0.5
        elif name.endswith(("gamma", "running_var")):
            values = random.uniform(0.5, 1.5, parameter.shape)
        elif name.endswith(("beta", "running_mean", "bias")):
            values = random.normal(0, 0.3, parameter.shape)
        else:
            continue  # their tables of anchors and offsets
        parameter.set_data(nd.array(values))
    maps = []
    for output in theirs.yolo_outputs:
        output.prediction.register_forward_hook(lambda block, inputs, y: maps.append(y.asnumpy()))
    X = nd.array(random_pictures(1, 3, 64, 96))
    theirs.set_nms(nms_thresh=-1, post_nms=-1)
    _, scores, boxes = (part[0].asnumpy() for part in theirs(X))

    write_darknet_weights(tmp_path / "net.weights", darknet_order(theirs))
    ours = Darknet(read_config(FOLDER / "yolov3.cfg"))
    load_darknet_weights(ours, tmp_path / "net.weights")
    ours.hybridize(static_alloc=True)
    results = [y.asnumpy() for y in ours(X)]
    assert [y.shape for y in results] == [y.shape for y in maps] == [(1, 255, 64 // s, 96 // s) for s in (32, 16, 8)]
    for y, expected in zip(results, maps):
        assert 0.1 < expected.std() < 1e4
        np.testing.assert_allclose(y, expected, atol=1e-4 * expected.std())
    # gluoncv lists their anchors finest first, and its outputs coarsest first, as here.
    for head, output in zip(ours.heads, theirs.yolo_outputs):
        np.testing.assert_array_equal(head.anchors, output.anchors.data().asnumpy().reshape(-1, 2))
        assert head.stride == output._stride
    start, rows = 0, decode_maps(results, ours.heads)[0]  # (A, 85)
    for y in results:  # theirs are class by class at each scale, in pixels
        A = 3 * y.shape[2] * y.shape[3]
        here, there = rows[start // 80 : start // 80 + A], slice(start, start + 80 * A)
        by_class = scores[there].reshape(80, A).T
        np.testing.assert_allclose(here[:, 4:5] * here[:, 5:], by_class, atol=1e-4)
        np.testing.assert_allclose(here[:, :4] * (96, 64, 96, 64), boxes[there][:A], rtol=1e-4, atol=1e-2)
        start += 80 * A
    assert start == 80 * len(rows) == len(boxes)
