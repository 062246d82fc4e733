"""SSD: predictions in the order of the anchors, a backbone's own features, and the two losses by the formula."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.detection import ssd
from gluonbook.detection.ssd import (
    NETWORKS,
    SIZES,
    SSD,
    backbone_ssd,
    halving_block,
    mobilenet_ssd,
    ssd_loss,
    tiny_ssd,
)
from gluonbook.detection.targets import Targets, multibox_target

A_PIXEL = 4  # anchors: two sizes and three ratios, one pair in both
CLS_ERROR = 1e-5  # an anchor: MXNet's log_softmax was measured to be up to 5e-6 off on the CPU for scores below 20


def ready(net, height=64, width=64, seed=0):
    """Give a network its weights and their shapes."""
    mx.random.seed(seed)
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, 3, height, width)))
    return net


@pytest.fixture(scope="module")
def tiny():
    return ready(tiny_ssd(2))


# TinySSD


def test_tiny_ssd_has_the_notes_maps_and_anchors():
    net = tiny_ssd(1)
    assert net.map_shapes(256, 256) == [(32, 32), (16, 16), (8, 8), (4, 4), (1, 1)]
    anchors = net.anchors(256, 256)
    assert (32**2 + 16**2 + 8**2 + 4**2 + 1) * A_PIXEL == 5444
    assert anchors.shape == (5444, 4)
    assert anchors.dtype == np.float32


def test_tiny_ssd_predicts_for_each_anchor(tiny):
    cls_preds, box_preds = tiny(nd.random.normal(shape=(1, 3, 256, 256)))
    assert cls_preds.shape == (1, 5444, 3)
    assert box_preds.shape == (1, 5444 * 4)


def test_a_halving_block_halves():
    block = halving_block(5)
    block.initialize()
    assert block(nd.zeros((2, 3, 12, 9))).shape == (2, 5, 6, 4)
    kinds = ["Conv2D", "BatchNorm", "Activation", "Conv2D", "BatchNorm", "MaxPool2D", "Activation"]
    assert [type(layer).__name__ for layer in block] == kinds


def test_a_halving_block_gives_the_numbers_of_one_that_pools_last():
    """Values and gradients are the very same: of a window whose largest is below 0, nothing comes back either way."""
    block, X = halving_block(5), nd.random.normal(shape=(2, 3, 12, 10))
    block.initialize(mx.init.Xavier())
    block(X)
    for norm in (block[1], block[4]):
        norm.gamma.set_data(nd.array([-1.5, 0.5, 1, 2, 0.1]))
        norm.beta.set_data(nd.array([-1, 0, 1, -0.2, 0.3]))
    found = []
    for order in ((0, 1, 2, 3, 4, 5, 6), (0, 1, 2, 3, 4, 6, 5)):
        with autograd.record():
            Y = X
            for i in order:
                Y = block[i](Y)
        Y.backward(nd.arange(Y.size).reshape(Y.shape))
        gradients = [param.grad().asnumpy() for param in block.collect_params().values() if param.grad_req != "null"]
        found.append([Y.asnumpy(), *gradients])
    assert (found[0][0] == 0).any()
    for ours, right in zip(*found):
        assert ours.any()
        np.testing.assert_array_equal(ours, right)


def test_anchors_stand_map_by_map_with_their_sizes():
    """The first anchor of each map's first pixel has its first size and stands in the middle of that pixel."""
    anchors, start = tiny_ssd(1).anchors(256, 256), 0
    for side, size in zip((32, 16, 8, 4, 1), SIZES):
        xmin, ymin, xmax, ymax = anchors[start]
        assert (xmax - xmin, ymax - ymin) == pytest.approx((size[0], size[0]), rel=1e-5)
        assert ((xmin + xmax) / 2, (ymin + ymax) / 2) == pytest.approx((0.5 / side, 0.5 / side), rel=1e-4)
        start += side**2 * A_PIXEL
    assert start == len(anchors)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("shape", [(64, 64), (65, 100), (96, 64), (127, 90), (111, 111)])
def test_there_are_as_many_anchors_as_predictions(name, shape, tiny):
    net = tiny if name == "tiny" else ready(NETWORKS[name](2))
    cls_preds, box_preds = net(nd.zeros((2, 3, *shape)))
    assert cls_preds.shape == (2, len(net.anchors(*shape)), 3)
    assert box_preds.shape == (2, len(net.anchors(*shape)) * 4)
    assert net.map_shapes(*shape) == [x.shape[2:] for x in net.feature_maps(nd.zeros((2, 3, *shape)))]


@pytest.mark.parametrize("shape", [(63, 64), (64, 63), (32, 32), (1, 1)])
def test_pictures_too_small_are_refused(shape, tiny):
    told = f"^size must be larger: {shape[0]}x{shape[1]} leaves a feature map without pixels$"
    for ask in (tiny.map_shapes, tiny.anchors, tiny_ssd(1).map_shapes):
        with pytest.raises(ValueError, match=told):
            ask(*shape)
    assert len(tiny.anchors(64, 64)) == (64 + 16 + 4 + 1 + 1) * A_PIXEL


def test_shapes_are_known_before_there_are_weights():
    net = tiny_ssd(3)
    assert net.map_shapes(96, 64) == [(12, 8), (6, 4), (3, 2), (1, 1), (1, 1)]
    with pytest.raises(RuntimeError, match="has not been initialized"):
        next(iter(net.collect_params().values())).data()


@pytest.mark.parametrize("num_classes", [0, -1])
def test_a_network_of_no_class_is_refused(num_classes):
    with pytest.raises(ValueError, match=f"num_classes must be at least 1, got {num_classes}"):
        tiny_ssd(num_classes)


@pytest.mark.parametrize(("sizes", "told"), [(SIZES[:4], "5 maps, 4 tuples"), ((*SIZES, (1.0,)), "5 maps, 6 tuples")])
def test_sizes_for_other_maps_are_refused(sizes, told):
    whole = tiny_ssd(2)
    net = SSD(whole.base, list(whole.extras), 2, sizes=sizes)
    with pytest.raises(ValueError, match=f"sizes must hold one tuple a feature map: {told}$"):
        net.anchors(64, 64)


# The order of the predictions


def changed(before, after, num_values):
    """Return which anchors' predictions differ, (A,) bool; ``num_values`` of each."""
    return (before.asnumpy() != after.asnumpy()).reshape(-1, num_values).any(axis=1)


def near(anchors, pixel, shape):
    """Return which anchors a 3×3 kernel over ``pixel`` of a map of ``shape`` sees, by where they stand, (A,) bool."""
    height, width = shape
    row = (anchors[:, 1] + anchors[:, 3]) / 2 * height - 0.5
    column = (anchors[:, 0] + anchors[:, 2]) / 2 * width - 0.5
    return (np.abs(row - pixel[0]) < 1.5) & (np.abs(column - pixel[1]) < 1.5)


@pytest.mark.parametrize("picture", [(256, 256), (128, 320)])
@pytest.mark.parametrize("number", range(5))
def test_a_pixel_of_a_map_changes_the_predictions_of_the_anchors_around_it(picture, number):
    """One pixel of one map is another, and by their coordinates the anchors there are those whose predictions are."""
    net = ready(tiny_ssd(2))
    shapes, anchors = net.map_shapes(*picture), net.anchors(*picture)
    maps = [nd.random.normal(shape=(1, c, *shape)) for c, shape in zip((64, 128, 128, 128, 128), shapes)]
    net.feature_maps = lambda X: maps
    before = net(nd.zeros((1, 3, *picture)))
    height, width = shapes[number]
    of_map = np.repeat(np.arange(5), [h * w * A_PIXEL for h, w in shapes]) == number
    for pixel in {(0, 0), (0, width - 1), (height - 1, 0), (height // 2, width // 3)}:
        kept, maps[number] = maps[number], maps[number].copy()
        maps[number][0, :, pixel[0], pixel[1]] += 1
        after = net(nd.zeros((1, 3, *picture)))
        maps[number] = kept
        expected = of_map & near(anchors, pixel, shapes[number])
        assert expected.sum() >= A_PIXEL
        for one, other, num_values in zip(before, after, (3, 4)):
            np.testing.assert_array_equal(changed(one, other, num_values), expected)


def test_a_heads_channels_are_anchor_by_anchor_and_in_each_class_by_class():
    """Without kernels a head predicts its biases, at each pixel: channel b·(K + 1) + k is class k of anchor b."""
    net = ready(tiny_ssd(2))
    for number, (cls_head, box_head) in enumerate(zip(net.cls_heads, net.box_heads)):
        for head in (cls_head, box_head):
            head.weight.set_data(nd.zeros(head.weight.shape))
            head.bias.set_data(nd.arange(head.bias.shape[0]) + 100 * number)
    cls_preds, box_preds = (array.asnumpy() for array in net(nd.random.normal(shape=(2, 3, 64, 64))))
    rows = []
    for number, pixels in enumerate((64, 16, 4, 1, 1)):
        rows += [100 * number + anchor for _ in range(pixels) for anchor in range(A_PIXEL)]
    for picture in range(2):
        for index, row in enumerate(rows):
            number, anchor = divmod(row, 100)
            assert cls_preds[picture, index].tolist() == [100 * number + anchor * 3 + k for k in range(3)]
            assert box_preds[picture, index * 4 : index * 4 + 4].tolist() == [
                100 * number + anchor * 4 + k for k in range(4)
            ]


def test_pictures_of_a_batch_do_not_mix(tiny):
    X = nd.random.normal(shape=(3, 3, 64, 64))
    cls_preds, box_preds = tiny(X)
    for n in range(3):
        alone = tiny(X[n : n + 1])
        np.testing.assert_allclose(cls_preds[n].asnumpy(), alone[0][0].asnumpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(box_preds[n].asnumpy(), alone[1][0].asnumpy(), rtol=1e-4, atol=1e-5)


def test_hybridized_it_computes_the_same(tiny):
    X = nd.random.normal(shape=(2, 3, 64, 64))
    plain = [array.asnumpy() for array in tiny(X)]
    net = tiny_ssd(2)
    net.initialize()
    net(X)
    for ours, theirs in zip(net._collect_params_with_prefix().values(), tiny._collect_params_with_prefix().values()):
        ours.set_data(theirs.data())
    net.hybridize(static_alloc=True)
    for ours, right in zip(net(X), plain):
        np.testing.assert_allclose(ours.asnumpy(), right, rtol=1e-4, atol=1e-5)


# Layers of another network


def little():
    """A network of two convolutions and a dense layer, with weights."""
    net = gluon.nn.HybridSequential(prefix="little_")
    with net.name_scope():
        net.add(
            gluon.nn.Conv2D(4, 3, strides=2, padding=1, activation="relu"),
            gluon.nn.BatchNorm(),
            gluon.nn.Conv2D(6, 3, strides=2, padding=1),
            gluon.nn.Flatten(),
            gluon.nn.Dense(3),
        )
    mx.random.seed(3)
    net.initialize(mx.init.Xavier())
    net(nd.zeros((1, 3, 32, 32)))
    return net


TWO_SIZES = [(0.2, 0.3), (0.5,)]


@pytest.mark.parametrize("layers", [["batchnorm0_fwd", "conv1_fwd"], ["little_batchnorm0_fwd", "little_conv1_fwd"]])
def test_the_maps_are_the_layers_own_outputs(layers):
    net, X = little(), nd.random.normal(shape=(2, 3, 32, 32))
    ssd = backbone_ssd(net, layers, 2, sizes=TWO_SIZES)
    fine, coarse = ssd.feature_maps(X)
    np.testing.assert_array_equal(fine.asnumpy(), net[1](net[0](X)).asnumpy())
    np.testing.assert_array_equal(coarse.asnumpy(), net[2](net[1](net[0](X))).asnumpy())
    assert ssd.map_shapes(32, 32) == [(16, 16), (8, 8)]


def test_maps_stand_in_the_order_in_which_the_layers_are_named():
    ssd = backbone_ssd(little(), ["conv1_fwd", "conv0_fwd"], 2, sizes=TWO_SIZES)
    assert ssd.map_shapes(32, 32) == [(8, 8), (16, 16)]


def test_one_layer_and_extras_are_maps_too():
    net = little()
    extras = [halving_block(5), gluon.nn.GlobalMaxPool2D()]
    ssd = backbone_ssd(net, ["conv0_relu_fwd"], 3, extras, [(0.2, 0.3), (0.5,), (0.9,)], [1.0, 2.0])
    for part in (ssd.extras, ssd.cls_heads, ssd.box_heads):
        part.initialize()
    cls_preds, box_preds = ssd(nd.zeros((2, 3, 32, 32)))
    assert ssd.map_shapes(32, 32) == [(16, 16), (8, 8), (1, 1)]
    num_anchors = 16 * 16 * 3 + 8 * 8 * 2 + 2
    assert cls_preds.shape == (2, num_anchors, 4)
    assert box_preds.shape == (2, num_anchors * 4)
    assert ssd.anchors(32, 32).shape == (num_anchors, 4)


def test_the_backbone_keeps_its_weights_and_the_ssd_uses_them():
    net, X = little(), nd.random.normal(shape=(1, 3, 32, 32))
    before = net(X).asnumpy()
    ssd = backbone_ssd(net, ["conv1_fwd"], 2, sizes=TWO_SIZES[:1])
    for part in (ssd.cls_heads, ssd.box_heads):
        part.initialize()
    ssd(X)
    np.testing.assert_array_equal(net(X).asnumpy(), before)
    net[0].weight.set_data(net[0].weight.data() * 2)
    np.testing.assert_array_equal(ssd.feature_maps(X)[0].asnumpy(), net[2](net[1](net[0](X))).asnumpy())


def test_the_backbone_learns_with_the_ssd():
    net, X = little(), nd.random.normal(shape=(1, 3, 32, 32))
    ssd = backbone_ssd(net, ["conv1_fwd"], 2, sizes=TWO_SIZES[:1])
    for part in (ssd.cls_heads, ssd.box_heads):
        part.initialize()
    with autograd.record():
        total = (ssd(X)[0] ** 2).sum()
    total.backward()
    assert np.abs(net[0].weight.grad().asnumpy()).max() > 0


def test_an_unknown_layer_is_refused_with_those_that_there_are():
    told = (
        r"layers must be names of the network's layers, got 'conv9_fwd'; it has "
        r"conv0_fwd, conv0_relu_fwd, batchnorm0_fwd, conv1_fwd, .*, dense0_fwd$"
    )
    with pytest.raises(ValueError, match=told):
        backbone_ssd(little(), ["conv0_fwd", "conv9_fwd"], 2)


def test_mobilenet_gives_maps_at_strides_8_16_32_and_two_more():
    assert mobilenet_ssd(1).map_shapes(256, 256) == [(32, 32), (16, 16), (8, 8), (4, 4), (1, 1)]


def test_two_mobilenets_name_their_weights_alike():
    """A detector is saved by one instance of its network and read by another."""
    names = [list(mobilenet_ssd(1)._collect_params_with_prefix()) for _ in range(2)]
    assert names[0] == names[1]


# The losses


def losses_slowly(cls_preds, box_preds, targets, num_matched):
    """Compute both by their formulas, in float64, an anchor at a time."""
    cls_loss = box_loss = 0.0
    for n, a in np.ndindex(targets.cls_targets.shape):
        kind = int(targets.cls_targets[n, a])
        if kind < 0:
            continue
        scores = np.float64(cls_preds[n, a])
        cls_loss += math.log(sum(math.exp(s - scores.max()) for s in scores)) + scores.max() - scores[kind]
    for n, i in np.ndindex(targets.box_targets.shape):
        if targets.box_masks[n, i]:
            error = abs(float(box_preds[n, i]) - float(targets.box_targets[n, i]))
            box_loss += error**2 / 2 if error < 1 else error - 0.5
    return cls_loss / max(num_matched, 1), box_loss / max(num_matched, 1)


def some_targets(rng, N=2, A=7, K=3):
    """Random predictions and targets: matched anchors, background and ignored ones."""
    cls_targets = rng.integers(-1, K + 1, (N, A)).astype(np.float32)
    masks = np.repeat(cls_targets > 0, 4, axis=1).astype(np.float32)
    box_targets = (rng.standard_normal((N, A * 4)) * 2).astype(np.float32) * masks
    cls_preds = rng.standard_normal((N, A, K + 1)).astype(np.float32) * 3
    box_preds = rng.standard_normal((N, A * 4)).astype(np.float32) * 2
    return cls_preds, box_preds, Targets(box_targets, masks, cls_targets)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), num_matched=st.integers(0, 9))
def test_the_losses_are_their_formulas(seed, num_matched):
    cls_preds, box_preds, targets = some_targets(np.random.default_rng(seed))
    losses = ssd_loss(nd.array(cls_preds), nd.array(box_preds), targets, num_matched)
    assert losses.cls.shape == losses.box.shape == (1,)
    right = losses_slowly(cls_preds, box_preds, targets, num_matched)
    assert losses.cls.asscalar() == pytest.approx(right[0], rel=1e-6, abs=targets.cls_targets.size * CLS_ERROR)
    assert losses.box.asscalar() == pytest.approx(right[1], rel=1e-5)


def test_a_hand_sized_example():
    """Two anchors: class 1 with scores (0, log 3) and offsets 0.5 and 3 off; background with (log 3, 0).

    −log(3/4) for each; 0.5²/2 and 3 − 0.5; over two matched anchors, as another device may say.
    """
    cls_preds = nd.array([[[0, math.log(3)], [math.log(3), 0]]])
    targets = Targets(
        np.array([[0.5, 3, 0, 0, 0, 0, 0, 0]], np.float32),
        np.array([[1, 1, 1, 1, 0, 0, 0, 0]], np.float32),
        np.array([[1, 0]], np.float32),
    )
    losses = ssd_loss(cls_preds, nd.array([[0, 0, 0, 0, 9, 9, 9, 9]]), targets, num_matched=2)
    assert losses.cls.asscalar() == pytest.approx(-math.log(3 / 4), abs=2 * CLS_ERROR)
    assert losses.box.asscalar() == pytest.approx((0.125 + 2.5) / 2, rel=1e-6)


def test_ignored_anchors_do_not_count():
    cls_preds, box_preds, targets = some_targets(np.random.default_rng(1))
    ignored = targets.cls_targets < 0
    assert ignored.any()
    before = ssd_loss(nd.array(cls_preds), nd.array(box_preds), targets, 3)
    cls_preds[ignored] = [50, -7, 30, 0]
    box_preds.reshape(2, 7, 4)[ignored] = 1e6
    after = ssd_loss(nd.array(cls_preds), nd.array(box_preds), targets, 3)
    assert [array.asscalar() for array in after] == [array.asscalar() for array in before]


def test_ignored_anchors_get_no_gradient_and_background_none_for_its_box():
    cls_preds, box_preds, targets = some_targets(np.random.default_rng(2))
    arrays = [nd.array(cls_preds), nd.array(box_preds)]
    for array in arrays:
        array.attach_grad()
    with autograd.record():
        losses = ssd_loss(*arrays, targets, 4)
        total = losses.cls + losses.box
    total.backward()
    of_class = np.abs(arrays[0].grad.asnumpy()).max(axis=2)  # (N, A)
    of_box = np.abs(arrays[1].grad.asnumpy()).reshape(2, 7, 4).max(axis=2)  # (N, A)
    kinds = targets.cls_targets
    assert len(np.unique(np.sign(kinds))) == 3  # ignored, background and matched anchors are all there
    np.testing.assert_array_equal(of_class > 0, kinds >= 0)
    np.testing.assert_array_equal(of_box > 0, kinds > 0)


def test_the_gradient_is_softmax_less_the_true_class_over_the_matched():
    cls_preds, box_preds, targets = some_targets(np.random.default_rng(3))
    scores = nd.array(cls_preds)
    scores.attach_grad()
    with autograd.record():
        loss = ssd_loss(scores, nd.array(box_preds), targets, 5).cls
    loss.backward()
    powers = np.exp(cls_preds)
    right = powers / powers.sum(axis=2, keepdims=True) - np.eye(4)[targets.cls_targets.astype(int)]
    right = right * (targets.cls_targets >= 0)[..., None] / 5
    np.testing.assert_allclose(scores.grad.asnumpy(), right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("num_matched", [0, 1])
def test_where_nothing_is_matched_the_background_is_learnt_undivided(num_matched):
    cls_preds, box_preds, _ = some_targets(np.random.default_rng(4))
    targets = Targets(np.zeros((2, 28), np.float32), np.zeros((2, 28), np.float32), np.zeros((2, 7), np.float32))
    losses = ssd_loss(nd.array(cls_preds), nd.array(box_preds), targets, num_matched)
    right = losses_slowly(cls_preds, box_preds, targets, 1)[0]
    assert right > 1
    assert losses.cls.asscalar() == pytest.approx(right, abs=14 * CLS_ERROR)
    assert losses.box.asscalar() == 0


def test_all_ignored_the_losses_are_0():
    cls_preds, box_preds, _ = some_targets(np.random.default_rng(5))
    targets = Targets(np.zeros((2, 28), np.float32), np.zeros((2, 28), np.float32), np.full((2, 7), -1, np.float32))
    assert [loss.asscalar() for loss in ssd_loss(nd.array(cls_preds), nd.array(box_preds), targets, 0)] == [0, 0]


def test_the_losses_of_two_devices_add_up_to_those_of_one():
    cls_preds, box_preds, targets = some_targets(np.random.default_rng(6), N=5)
    num_matched = int((targets.cls_targets > 0).sum())
    whole = ssd_loss(nd.array(cls_preds), nd.array(box_preds), targets, num_matched)
    parts = []
    for ctx, chosen in ((mx.cpu(0), slice(0, 3)), (mx.cpu(1), slice(3, 5))):
        share = Targets(*(part[chosen] for part in targets))
        predictions = (nd.array(part[chosen], ctx=ctx) for part in (cls_preds, box_preds))
        parts.append(ssd_loss(*predictions, share, num_matched))
        assert parts[-1].cls.context == parts[-1].box.context == ctx
    for one, *several in zip(whole, *parts):
        assert sum(part.asscalar() for part in several) == pytest.approx(one.asscalar(), rel=1e-5)


def test_targets_are_taken_to_the_device_of_the_predictions(monkeypatch):
    """Where devices are CPUs MXNet would mix them in silence."""
    cls_preds, box_preds, targets = some_targets(np.random.default_rng(7))
    predictions = [nd.array(part, ctx=mx.cpu(1)) for part in (cls_preds, box_preds)]
    contexts, array = [], nd.array
    monkeypatch.setattr(
        ssd.nd, "array", lambda *args, **kwargs: contexts.append(kwargs["ctx"]) or array(*args, **kwargs)
    )
    ssd.ssd_loss(*predictions, targets, 1)
    assert contexts == [mx.cpu(1)] * 3


def test_right_predictions_cost_next_to_nothing(tiny):
    """Scores that are sure of the true class, and the offsets that are wanted."""
    anchors = tiny.anchors(64, 64)
    targets = multibox_target(anchors, np.array([[[1, 0.1, 0.2, 0.5, 0.6]]], np.float32))
    assert (targets.cls_targets == 2).sum() >= 1
    cls_preds = 40 * np.eye(3)[targets.cls_targets.astype(int)]
    losses = ssd_loss(nd.array(cls_preds), nd.array(targets.box_targets), targets, 1)
    assert losses.cls.asscalar() == pytest.approx(0, abs=len(anchors) * CLS_ERROR)
    assert losses.box.asscalar() == 0
