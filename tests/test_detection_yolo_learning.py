"""YOLOv3's learning: targets as gluoncv's, gradients as Darknet's, anchors as a slow search finds them."""

import itertools
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook import _mxnet
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.detection import iou
from gluonbook.detection.yolo import decode_maps, find_yolo
from gluonbook.detection.yolo_learning import cluster_anchors, yolo_loss, yolo_targets

EXAMPLES = settings(deadline=None, max_examples=40)
PADDING = [-1.0] * 5
BELOW_1 = float(np.nextafter(np.float32(1), np.float32(0)))

seeds = st.integers(0, 2**32 - 1)


def head(anchors, stride, num_classes=3, ignore_threshold=0.5):
    return SimpleNamespace(
        anchors=np.array(anchors, np.float32),
        stride=stride,
        num_classes=num_classes,
        ignore_threshold=ignore_threshold,
    )


# Anchors of small pictures, 64 by 32 for the most part: coarse map of 1 by 2 cells, fine one of 2 by 4.
HEADS = [
    head([[20, 30], [40, 20], [60, 30]], 32, ignore_threshold=0.3),
    head([[6, 8], [16, 10]], 16, ignore_threshold=0.15),
]
HEIGHT, WIDTH = 32, 64
A = 2 * 3 + 8 * 2


def random_labels(rng, counts, num_classes=3):
    labels = np.full((len(counts), max([1, *counts]), 5), -1, np.float32)
    for rows, count in zip(labels, counts):
        corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1)
        corners[:, 1] = np.maximum(corners[:, 1], corners[:, 0] + 0.03)
        corners = corners / np.maximum(corners[:, 1:], 1)
        rows[:count] = np.concatenate([rng.integers(0, num_classes, (count, 1)), corners.reshape(count, 4)], axis=1)
    return labels


def random_maps(rng, heads, count, height=HEIGHT, width=WIDTH, spread=1.0):
    return [
        rng.normal(
            0, spread, (count, len(h.anchors) * (5 + h.num_classes), height // h.stride, width // h.stride)
        ).astype(np.float32)
        for h in heads
    ]


def slow_responsible(row, heads, height, width):
    """Return the prediction that is responsible for one object, its head and anchor, cell, and targets; in float64."""
    kind, xmin, ymin, xmax, ymax = (float(value) for value in row)
    w, h, x, y = xmax - xmin, ymax - ymin, (xmin + xmax) / 2, (ymin + ymax) / 2
    best, start = None, 0
    for number, candidate in enumerate(heads):
        rows, columns, B = height // candidate.stride, width // candidate.stride, len(candidate.anchors)
        for b, (pw, ph) in enumerate(candidate.anchors.astype(float)):
            shared = min(w * width, pw) * min(h * height, ph)
            overlap = shared / (w * width * h * height + pw * ph - shared)
            if best is None or overlap > best[0] + 1e-7:
                i, j = min(int(x * columns), columns - 1), min(int(y * rows), rows - 1)
                offsets = [x * columns - i, y * rows - j, np.log(w * width / pw), np.log(h * height / ph)]
                best = (overlap, start + (j * columns + i) * B + b, offsets, number, b, i, j)
        start += rows * columns * B
    return SimpleNamespace(
        index=best[1],
        offsets=best[2],
        head=best[3],
        anchor=best[4],
        i=best[5],
        j=best[6],
        weight=2 - w * h,
        kind=int(kind),
    )


def slow_targets(labels, heads, height, width):
    N, K = len(labels), heads[0].num_classes
    count = sum(len(h.anchors) * (height // h.stride) * (width // h.stride) for h in heads)
    boxes, weights, objectness = np.zeros((N, count, 4)), np.zeros((N, count)), np.zeros((N, count))
    classes = np.zeros((N, count, K))
    for n in range(N):
        for row in labels[n]:
            if row[0] == -1:
                break
            found = slow_responsible(row, heads, height, width)
            boxes[n, found.index], weights[n, found.index], objectness[n, found.index] = found.offsets, found.weight, 1
            classes[n, found.index] = 0
            classes[n, found.index, found.kind] = 1
    return boxes, weights, objectness, classes


def test_targets_by_hand():
    """Pictures of 64 by 32 pixels; the first holds an object of 40 by 20 at (0.75, 0.5), the second one of 6 by 8."""
    large = [2, 0.75 - 20 / 64 + 1 / 16, 0.5 - 10 / 32, 0.75 + 20 / 64 - 1 / 16, 0.5 + 10 / 32]  # 32 by 20 pixels
    small = [0, 0.3 - 3 / 64, 0.9 - 3 / 32, 0.3 + 3 / 64, 0.9 + 3 / 32]  # 6 by 6 pixels
    targets = yolo_targets([[large, PADDING], [small, PADDING]], HEADS, (HEIGHT, WIDTH))
    assert [part.shape for part in targets] == [(2, A, 4), (2, A), (2, A), (2, A, 3)]
    assert {part.dtype for part in targets} == {np.dtype(np.float32)}
    # 40 by 20, in the right one of two cells: 1 · 3 + 1.  6 by 8, in row 1, column 1 of four: 6 + (4 + 1) · 2.
    assert np.argwhere(targets.objectness).tolist() == [[0, 4], [1, 16]]
    np.testing.assert_allclose(targets.boxes[0, 4], [0.5, 0.5, np.log(32 / 40), 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(targets.boxes[1, 16], [0.2, 0.8, 0, np.log(6 / 8)], rtol=0, atol=1e-6)
    np.testing.assert_allclose(targets.weights[[0, 1], [4, 16]], [2 - 0.5 * 0.625, 2 - 36 / 2048], rtol=1e-6)
    assert targets.classes[[0, 1], [4, 16]].tolist() == [[0, 0, 1], [1, 0, 0]]
    for part in targets:  # and nothing else
        assert np.count_nonzero(part.reshape(2, A, -1).any(axis=2)) == 2


@EXAMPLES
@given(seeds, st.lists(st.integers(0, 6), min_size=1, max_size=3))
def test_targets_equal_a_slow_loop(seed, counts):
    labels = random_labels(np.random.default_rng(seed), counts)
    for ours, slow in zip(yolo_targets(labels, HEADS, (HEIGHT, WIDTH)), slow_targets(labels, HEADS, HEIGHT, WIDTH)):
        assert ours.shape == slow.shape
        np.testing.assert_allclose(ours, slow, rtol=0, atol=1e-5)


def gluoncv_targets(labels, heads, height, width):
    """Return what its generator makes: (objectness, centres, scales, weights, classes), numbers in its order."""
    generator = _mxnet.gluoncv().model_zoo.yolo.yolo_target.YOLOV3PrefetchTargetGenerator(heads[0].num_classes)
    maps, offsets = [], []
    for h in heads:
        rows, columns = height // h.stride, width // h.stride
        maps.append(nd.zeros((1, 1, rows, columns)))
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1)
        offsets.append(nd.array(grid.reshape(1, -1, 1, 2)))
    boxes = np.where(labels[..., :1] < 0, -1, labels[..., 1:] * [width, height, width, height])
    parts = generator(
        nd.zeros((1, 3, height, width)),
        maps,
        [nd.array(h.anchors.reshape(1, 1, -1, 2)) for h in heads],
        offsets,
        nd.array(boxes),
        nd.array(labels[..., :1]),
    )
    return [part.asnumpy() for part in parts]


@pytest.mark.parametrize("seed", range(5))
def test_targets_equal_gluoncvs(seed):
    """Its order is ours; its classes are −1 where nothing is to be learnt; no side is below a pixel, its least."""
    rng = np.random.default_rng(seed)
    labels = random_labels(rng, [0, 3, 5, 8])
    height, width = 64, 96
    objectness, centres, scales, weights, classes = gluoncv_targets(labels, HEADS, height, width)
    ours = yolo_targets(labels, HEADS, (height, width))
    assert ours.objectness.sum() > 10
    np.testing.assert_array_equal(ours.objectness, objectness[..., 0])
    np.testing.assert_allclose(ours.boxes[..., :2], centres, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.boxes[..., 2:], scales, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.weights, weights[..., 0], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(ours.classes, np.maximum(classes, 0))


def test_of_two_objects_in_one_cell_and_anchor_the_last_wins_whole():
    first, last = [0, 0.1, 0.2, 0.4, 0.9], [2, 0.15, 0.2, 0.4, 0.9]
    both = yolo_targets([[first, last]], HEADS, (HEIGHT, WIDTH))
    alone = yolo_targets([[last, PADDING]], HEADS, (HEIGHT, WIDTH))
    for ours, expected in zip(both, alone):
        np.testing.assert_array_equal(ours, expected)
    turned = yolo_targets([[last, first]], HEADS, (HEIGHT, WIDTH))
    assert turned.classes[0].sum(axis=0).tolist() == [1, 0, 0]


def test_two_objects_in_one_cell_with_several_anchors_are_both_learnt():
    wide, high = [0, 0.1, 0.2, 0.7, 0.8], [1, 0.3, 0.05, 0.6, 0.95]
    targets = yolo_targets([[wide, high]], HEADS, (HEIGHT, WIDTH))
    assert np.flatnonzero(targets.objectness).tolist() == [0, 1]
    assert targets.classes[0, :2].argmax(axis=1).tolist() == [1, 0]


def test_of_equal_anchors_the_first_is_responsible():
    heads = [head([[16, 8], [8, 16]], 32), head([[8, 16]], 16)]
    targets = yolo_targets([[[0, 0, 0, 0.25, 0.25]]], heads, 32)  # 8 by 8
    assert np.flatnonzero(targets.objectness).tolist() == [0]


def test_an_object_at_the_border_is_in_the_last_cell():
    """Half of the corners' sum is rounded to 1: the centre is on the border, its offset 1, not 0 of a cell beyond."""
    thin = [1, BELOW_1, BELOW_1, 1, 1]
    targets = yolo_targets([[thin]], HEADS, (HEIGHT, WIDTH))
    assert np.flatnonzero(targets.objectness).tolist() == [6 + 7 * 2]
    assert targets.boxes[0, 20, :2].tolist() == [1, 1]
    assert np.isfinite(targets.boxes).all()


def test_pictures_without_objects_teach_no_box():
    for labels in (np.full((2, 1, 5), -1), np.zeros((2, 0, 5))):
        targets = yolo_targets(labels, HEADS, (HEIGHT, WIDTH))
        assert [part.shape for part in targets] == [(2, A, 4), (2, A), (2, A), (2, A, 3)]
        assert not any(part.any() for part in targets)
    assert yolo_targets(np.zeros((0, 3, 5)), HEADS, (HEIGHT, WIDTH)).boxes.shape == (0, A, 4)


def test_maps_that_hold_the_targets_are_decoded_to_the_objects():
    """Logits of the targets; a centre exactly on a cell's edge would need an infinite one, and none is."""
    labels = random_labels(np.random.default_rng(8), [1, 1, 1, 1])
    targets = yolo_targets(labels, HEADS, (HEIGHT, WIDTH))
    rows = np.concatenate([targets.boxes, targets.objectness[..., None], targets.classes], axis=2)
    rows[..., :2] = np.log(rows[..., :2].clip(1e-6) / (1 - rows[..., :2]).clip(1e-6))
    maps, start = [], 0
    for h in HEADS:
        grid, B = (HEIGHT // h.stride, WIDTH // h.stride), len(h.anchors)
        part = rows[:, start : start + B * grid[0] * grid[1]].reshape(4, *grid, B, 8)
        maps.append(part.transpose(0, 3, 4, 1, 2).reshape(4, B * 8, *grid))
        start += B * grid[0] * grid[1]
    decoded = decode_maps(maps, HEADS)
    for n in range(4):
        np.testing.assert_allclose(decoded[n, targets.objectness[n] > 0, :4], labels[n, :1, 1:], rtol=0, atol=1e-5)


def slow_darknet(maps, heads, labels, height, width):
    """Return the losses and, negated, Darknet's deltas: forward_yolo_layer, number by number, in float64.

    Box and class of an object that another one follows in its cell and anchor are the last one's (Darknet keeps both
    classes).
    """
    N, decoded = len(labels), decode_maps(maps, heads)
    losses, deltas = np.zeros(3), [np.zeros(raw.shape) for raw in maps]
    for n in range(N):
        objects = [row for row in labels[n] if row[0] >= 0]
        responsible = {}
        for row in objects:
            found = slow_responsible(row, heads, height, width)
            responsible[found.index] = found
        index = 0
        for raw, delta, h in zip(maps, deltas, heads):
            for j, i, b in itertools.product(range(raw.shape[2]), range(raw.shape[3]), range(len(h.anchors))):
                first = b * (5 + h.num_classes)
                t = raw[n, first : first + 5 + h.num_classes, j, i].astype(float)
                d = delta[n, first : first + 5 + h.num_classes, j, i]
                p = 1 / (1 + np.exp(-t))
                best = max([iou(decoded[n, index : index + 1, :4], [row[1:]])[0, 0] for row in objects], default=0)
                found = responsible.get(index)
                if found is not None:
                    x, y, w, s = found.offsets
                    losses[0] -= found.weight * (x * np.log(p[0]) + (1 - x) * np.log(1 - p[0]))
                    losses[0] -= found.weight * (y * np.log(p[1]) + (1 - y) * np.log(1 - p[1]))
                    losses[0] += found.weight * ((t[2] - w) ** 2 + (t[3] - s) ** 2) / 2
                    d[:4] = found.weight * np.array([p[0] - x, p[1] - y, t[2] - w, t[3] - s])
                    losses[1] -= np.log(p[4])
                    d[4] = p[4] - 1
                    for k in range(h.num_classes):
                        losses[2] -= np.log(p[5 + k] if k == found.kind else 1 - p[5 + k])
                        d[5 + k] = p[5 + k] - (k == found.kind)
                elif best <= h.ignore_threshold:
                    losses[1] -= np.log(1 - p[4])
                    d[4] = p[4]
                index += 1
    return losses / N, [delta / N for delta in deltas]


def recorded(maps, heads, labels, size=(HEIGHT, WIDTH)):
    """Return the losses and the gradients of their sum."""
    arrays = [nd.array(raw) for raw in maps]
    for array in arrays:
        array.attach_grad()
    targets = yolo_targets(labels, heads, size)
    with autograd.record():
        losses = yolo_loss(arrays, heads, targets, labels)
        total = losses.box + losses.objectness + losses.cls
    total.backward()
    return [loss.asscalar() for loss in losses], [array.grad.asnumpy() for array in arrays]


def test_the_loss_by_hand():
    """One cell of 16 pixels, two anchors. The object is the second one's; of the first, which overlaps it by 1/4 and
    is background, only objectness counts."""
    one = head([[16, 16], [8, 8]], 16, num_classes=2)
    ln3 = np.log(3)
    maps = [np.array([9, 9, 0, 0, ln3, 9, 9, 0, ln3, 1, 2, -ln3, ln3, 0], np.float32).reshape(1, 14, 1, 1)]
    labels = [[[1, 0.25, 0.25, 0.75, 0.75]]]  # 8 by 8: centre 1/2, weight 2 − 1/4
    box = np.log(2) - np.log(3 / 4) / 2 - np.log(1 / 4) / 2 + (1 + 4) / 2
    losses, _ = recorded(maps, [one], labels, 16)
    np.testing.assert_allclose(losses, [1.75 * box, -np.log(1 / 4) * 2, -np.log(1 / 4) + np.log(2)], rtol=1e-6)


@settings(deadline=None, max_examples=15)
@given(seeds, st.lists(st.integers(0, 4), min_size=1, max_size=2))
def test_losses_and_gradients_are_darknets(seed, counts):
    rng = np.random.default_rng(seed)
    labels, maps = random_labels(rng, counts), random_maps(rng, HEADS, len(counts))
    losses, grads = recorded(maps, HEADS, labels)
    slow_losses, deltas = slow_darknet(maps, HEADS, labels, HEIGHT, WIDTH)
    np.testing.assert_allclose(losses, slow_losses, rtol=1e-4, atol=1e-4)
    for grad, delta in zip(grads, deltas):
        np.testing.assert_allclose(grad, delta, rtol=0, atol=1e-5)


def test_the_gradient_is_the_numeric_one():
    """In steps of 0.01, where float32's rounding of the loss weighs little; the maps are such that none is ignored."""
    rng = np.random.default_rng(0)
    heads = [head([[20, 30], [40, 20]], 32, num_classes=2, ignore_threshold=1)]
    labels, maps = random_labels(rng, [2, 1], 2), random_maps(rng, heads, 2)
    targets = yolo_targets(labels, heads, (HEIGHT, WIDTH))
    _, (grad,) = recorded(maps, heads, labels)

    def total(raw):
        return sum(loss.asscalar() for loss in yolo_loss([nd.array(raw)], heads, targets, labels))

    assert np.count_nonzero(grad) == 4 * 2 + 3 * (4 + 2)  # all objectness, and three objects' boxes and classes
    for position in np.ndindex(maps[0].shape):
        step = np.zeros_like(maps[0])
        step[position] = 0.01
        numeric = (total(maps[0] + step) - total(maps[0] - step)) / 0.02
        assert abs(numeric - grad[position]) < 2e-3


def test_the_losses_are_gluoncvs_but_for_its_absolute_error_of_sides():
    rng = np.random.default_rng(4)
    heads = [head(h.anchors, h.stride, ignore_threshold=0.25) for h in HEADS]  # it has one threshold
    labels, maps = random_labels(rng, [3, 0, 5]), random_maps(rng, heads, 3)
    parts, size = gluoncv_targets(labels, heads, HEIGHT, WIDTH), [WIDTH, HEIGHT] * 2
    rows = [
        raw.reshape(3, len(h.anchors), 8, -1).transpose(0, 3, 1, 2).reshape(3, -1, 8) for raw, h in zip(maps, heads)
    ]
    rows = np.concatenate(rows, axis=1)
    merger = _mxnet.gluoncv().model_zoo.yolo.yolo_target.YOLOV3TargetMerger(3, 0.25)
    merged = merger(
        *(nd.array(part) for part in (decode_maps(maps, heads)[..., :4] * size, labels[..., 1:] * size, *parts))
    )
    preds = [nd.array(part) for part in np.split(rows, [4, 5], axis=2)]
    xy, sides = preds[0].split(2, axis=2)
    theirs = _mxnet.gluoncv().loss.YOLOV3Loss()(preds[1], xy, sides, preds[2], *merged)
    found, centre, _, cls = (loss.mean().asscalar() for loss in theirs)
    targets = yolo_targets(labels, heads, (HEIGHT, WIDTH))
    assert (merged[0].asnumpy() < 0).any()
    ours = yolo_loss([nd.array(raw) for raw in maps], heads, targets, labels)
    squares = np.square(rows[..., 2:4] - targets.boxes[..., 2:]).sum(axis=2) / 2 * targets.weights
    np.testing.assert_allclose(ours.box.asscalar(), centre + squares.sum() / 3, rtol=1e-5)
    np.testing.assert_allclose(ours.objectness.asscalar(), found, rtol=1e-5)
    np.testing.assert_allclose(ours.cls.asscalar(), cls, rtol=1e-5)


def test_a_prediction_that_overlaps_by_more_than_its_heads_threshold_is_ignored_and_at_it_is_not():
    """An object of 8 by 16 in a cell of 16 is the second anchor's; the first one's box overlaps it by 1/2."""
    labels = [[[0, 0.25, 0, 0.75, 1]]]
    for threshold, gradients in [(0.5, [0.5, -0.5]), (0.49, [0, -0.5]), (1, [0.5, -0.5])]:
        heads = [head([[16, 16], [8, 16]], 16, num_classes=1, ignore_threshold=threshold)]
        _, (grad,) = recorded([np.zeros((1, 12, 1, 1))], heads, labels, 16)
        assert grad[0, [4, 10], 0, 0].tolist() == gradients


def test_pictures_without_objects_teach_their_background_alone():
    for labels in (np.full((2, 3, 5), -1), np.zeros((2, 0, 5))):
        losses, grads = recorded([np.zeros((2, 24, 1, 2)), np.zeros((2, 16, 2, 4))], HEADS, labels)
        np.testing.assert_allclose(losses, [0, A * np.log(2), 0], rtol=1e-5)
        np.testing.assert_allclose(grads[0].reshape(2, 3, 8, 2)[:, :, 4], 0.25)
        assert sum(np.count_nonzero(grad) for grad in grads) == 2 * A


def test_large_logits_give_finite_losses_and_gradients():
    maps = [np.full((1, 24, 1, 2), 100), np.full((1, 16, 2, 4), -100)]  # exp(100) is no float32
    losses, grads = recorded(maps, HEADS, random_labels(np.random.default_rng(0), [3]))
    assert np.isfinite(losses).all()
    assert all(np.isfinite(grad).all() for grad in grads)
    assert losses[1] >= 6 * 100 - 3 * 100  # the coarse map's background


def test_a_batch_counts_as_the_mean_of_its_pictures():
    rng = np.random.default_rng(2)
    labels, maps = random_labels(rng, [3, 1]), random_maps(rng, HEADS, 2)
    alone = [recorded([raw[n : n + 1] for raw in maps], HEADS, labels[n : n + 1])[0] for n in range(2)]
    np.testing.assert_allclose(recorded(maps, HEADS, labels)[0], np.mean(alone, axis=0), rtol=1e-5)


def test_a_tiny_network_learns_one_picture_by_heart():
    """A bright rectangle and a dark one on grey; two convolutions a map; both are found to an IoU above 0.8."""
    mx.random.seed(0)
    picture = np.full((1, 3, HEIGHT, WIDTH), 0.5, np.float32)
    picture[:, :, 6:26, 4:40], picture[:, :, 17:26, 47:61] = 1, 0
    labels = np.array([[[2, 4 / 64, 6 / 32, 40 / 64, 26 / 32], [0, 47 / 64, 17 / 32, 61 / 64, 26 / 32]]])
    targets = yolo_targets(labels, HEADS, (HEIGHT, WIDTH))
    body, coarse, fine = gluon.nn.HybridSequential(), gluon.nn.Conv2D(24, 2, 2), gluon.nn.Conv2D(16, 1)
    body.add(gluon.nn.Conv2D(16, 8, 8, activation="relu"), gluon.nn.Conv2D(32, 2, 2, activation="relu"))
    params = gluon.ParameterDict()
    for block in (body, coarse, fine):
        params.update(block.collect_params())
    params.initialize(mx.init.Xavier())
    trainer, X = gluon.Trainer(params, "adam"), nd.array(picture)

    def forward():
        features = body(X)
        return [coarse(features), fine(features)]

    for step in range(80):
        trainer.set_learning_rate(0.01 * (1 - step / 80))
        with autograd.record():
            losses = yolo_loss(forward(), HEADS, targets, labels)
            total = losses.box + losses.objectness + losses.cls
        total.backward()
        trainer.step(1)
    (found,) = find_yolo(forward(), HEADS, threshold=0.5)
    assert losses.objectness.asscalar() + losses.cls.asscalar() < 0.1  # that of the box has the entropy of x and y left
    assert sorted(found[:, 0]) == [0, 2]
    for kind, *box in labels[0]:
        assert iou(found[found[:, 0] == kind, 2:], [box])[0, 0] > 0.8


@pytest.mark.parametrize(
    ("labels", "size", "error", "told"),
    [
        ([[[3, 0, 0, 1, 1]]], 32, ValueError, "picture 0, row 0: class must be a whole number from 0 to 2, got 3"),
        ([[PADDING], [[0, 0.5, 0, 0.4, 1]]], 32, ValueError, "picture 1, row 0: box (0.5, 0, 0.4, 1) is inverted"),
        ([[[0, 0, 0, 1, 1.1]]], 32, ValueError, "picture 0, row 0: box (0, 0, 1, 1.1) is out of range"),
        ([[0, 0, 0, 1, 1]], 32, ValueError, "labels must have the shape (any, any, 5), got (1, 5)"),
        ([[PADDING]], (32, 48), ValueError, "size must be a multiple of each stride, got 32x48 and stride 32"),
        ([[PADDING]], (48, 32), ValueError, "size must be a multiple of each stride, got 48x32 and stride 32"),
        ([[PADDING]], 0, ValueError, "size must be at least 1, got 0"),
    ],
)
def test_wrong_labels_and_sizes_are_refused(labels, size, error, told):
    with pytest.raises(error, match=re.escape(told)):
        yolo_targets(labels, HEADS, size)


def test_a_loss_of_parts_that_do_not_fit_is_refused():
    labels, maps = [[PADDING]], [nd.zeros((1, 24, 1, 2)), nd.zeros((1, 16, 2, 4))]
    targets = yolo_targets(labels, HEADS, (HEIGHT, WIDTH))
    calls = [
        (lambda: yolo_loss(maps[:1], HEADS, targets, labels), "maps must be one a head, got 1 maps and 2 heads"),
        (lambda: yolo_loss(maps, HEADS, targets, [labels]), "labels must have the shape (1, any, 5), got (1, 1, 1, 5)"),
        (
            lambda: yolo_loss(maps, HEADS, yolo_targets(labels, HEADS, 32), labels),
            f"targets.boxes must have the shape (1, {A}, 4), got (1, {A // 2}, 4)",
        ),
        (
            lambda: yolo_loss(maps, HEADS, targets._replace(classes=targets.classes[..., :2]), labels),
            f"targets.classes must have the shape (1, {A}, 3), got (1, {A}, 2)",
        ),
        (
            lambda: yolo_loss(maps, [HEADS[0], head(HEADS[1].anchors, 16, ignore_threshold=2)], targets, labels),
            "heads[1].ignore_threshold must be at least 0 and at most 1, got 2",
        ),
    ]
    for call, told in calls:
        with pytest.raises(ValueError, match=re.escape(told)):
            call()


def with_sides(sides):
    """Labels of boxes with given sides, as fractions, all at the upper left corner."""
    sides = np.asarray(sides, np.float32)
    return np.concatenate([np.zeros((len(sides), 3), np.float32), sides], axis=1)


def mean_best_iou(sides, anchors):
    """One pair after the other."""
    best = []
    for w, h in np.asarray(sides, float):
        shared = [min(w, a) * min(h, b) for a, b in np.asarray(anchors, float)]
        best.append(max(s / (w * h + a * b - s) for s, (a, b) in zip(shared, np.asarray(anchors, float))))
    return np.mean(best)


def test_anchors_of_boxes_of_two_shapes_by_hand():
    """The means of two heaps: 8, 10 and 12 by 4 make 10 by 4, whose IoU are 8/10, 1 and 10/12; 30 by 40."""
    sides = np.array([[30, 40], [8, 4], [10, 4], [12, 4]]) / 64
    found = cluster_anchors([with_sides(sides[:1]), with_sides(sides[1:])], 2, 64)
    np.testing.assert_allclose(found.anchors, [[10, 4], [30, 40]], rtol=1e-6)
    assert found.anchors.dtype == np.float32
    assert found.mean_iou == pytest.approx((1 + 0.8 + 1 + 10 / 12) / 4, abs=1e-6)


def test_an_anchor_moves_to_the_mean_of_its_boxes():
    """10 by 10 overlaps the boxes of 8 by 10 and 12 by 10, and these turned, by 8/10 and 10/12; no box does better."""
    sides = np.array([[8, 10], [12, 10], [10, 8], [10, 12]]) / 32
    found = cluster_anchors([with_sides(sides)], 1, 32)
    np.testing.assert_allclose(found.anchors, [[10, 10]], rtol=1e-6)
    assert found.mean_iou == pytest.approx((8 / 10 + 10 / 12) / 2, abs=1e-6)


def test_where_the_mean_fits_worse_the_anchor_stays():
    """8 by 12 and 12 by 8 overlap by 1/2; each overlaps their mean, 10 by 10, by 80/116 only."""
    found = cluster_anchors([with_sides(np.array([[8, 12], [12, 8]]) / 32)], 1, 32)
    assert found.mean_iou == pytest.approx((1 + 1 / 2) / 2, abs=1e-6)
    assert sorted(found.anchors[0].tolist()) == [8, 12]


def test_one_anchor_is_the_mean_box_or_a_better_one():
    sides = np.random.default_rng(0).uniform(0.1, 0.9, (50, 2)).astype(np.float32)
    found = cluster_anchors([with_sides(sides)], 1, 100)
    assert found.mean_iou >= mean_best_iou(sides, [sides.mean(axis=0)]) - 1e-6


def test_as_many_anchors_as_boxes_fit_exactly():
    sides = np.random.default_rng(1).uniform(0.1, 0.9, (6, 2)).astype(np.float32)
    found = cluster_anchors([with_sides(np.repeat(sides, 5, axis=0))], 6, (200, 100))
    assert found.mean_iou == pytest.approx(1, abs=1e-6)
    pixels = sides * [100, 200]
    np.testing.assert_allclose(found.anchors, pixels[np.argsort(pixels.prod(axis=1))], rtol=1e-5)


@settings(deadline=None, max_examples=15)
@given(seeds, st.integers(1, 5))
def test_anchors_are_sorted_and_fit_as_well_as_said(seed, num_anchors):
    sides = np.random.default_rng(seed).uniform(0.02, 1, (30, 2)).astype(np.float32)
    found = cluster_anchors([with_sides(sides[:10]), with_sides(sides[10:])], num_anchors, (60, 90), seed=3)
    assert found.anchors.shape == (num_anchors, 2)
    assert (np.diff(found.anchors.prod(axis=1)) >= 0).all()
    assert found.mean_iou == pytest.approx(mean_best_iou(sides * [90, 60], found.anchors), abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_anchors_of_clear_heaps_are_found_from_every_seed(seed):
    """Nine heaps with a spread of 2 %: k-means from one unlucky start would merge two."""
    rng = np.random.default_rng(0)
    centres = np.array([[w, h] for w in (0.05, 0.2, 0.8) for h in (0.05, 0.2, 0.8)])
    sides = (centres[:, None] * rng.uniform(0.98, 1.02, (9, 20, 2))).reshape(-1, 2)
    found = cluster_anchors([with_sides(sides)], 9, 100, seed=seed)
    assert found.mean_iou > 0.97
    nearest = {tuple(centres[np.abs(np.log(anchor / 100 / centres)).sum(axis=1).argmin()]) for anchor in found.anchors}
    assert len(nearest) == 9


@pytest.mark.parametrize("seed", range(5))
def test_anchors_fit_better_than_those_of_euclidean_k_means(seed):
    """Boxes of all sizes, as in data sets: with Euclid's distance the large ones draw most anchors to them."""
    from sklearn.cluster import KMeans

    sides = np.exp(np.random.default_rng(seed).normal(-2, 0.8, (300, 2))).clip(0.01, 1).astype(np.float32)
    theirs = KMeans(5, n_init=10, random_state=0).fit(sides).cluster_centers_
    assert cluster_anchors([with_sides(sides)], 5, 1).mean_iou > mean_best_iou(sides, theirs)


def test_every_seed_gives_anchors_that_fit_about_as_well():
    """Eight heaps with a spread of 10 %, some close together: single starts differ by some hundredths."""
    rng = np.random.default_rng(2)
    centres = rng.uniform(0.05, 1, (8, 2))
    sides = (centres[:, None] * rng.uniform(0.9, 1.1, (8, 6, 2))).reshape(-1, 2).clip(0, 1)
    fits = [cluster_anchors([with_sides(sides)], 8, 1, seed=seed).mean_iou for seed in range(6)]
    assert np.ptp(fits) < 0.005


def test_the_same_seed_gives_the_same_anchors():
    sides = np.random.default_rng(7).uniform(0.05, 1, (200, 2))
    first, again = (cluster_anchors([with_sides(sides)], 7, 416, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.anchors, again.anchors)
    assert first.mean_iou == again.mean_iou


def test_boxes_that_differ_by_a_rounding_still_give_anchors():
    sides = np.array([[0.5, 0.5], [0.5, np.nextafter(np.float32(0.5), np.float32(1))]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # one anchor has no box of its own
        found = cluster_anchors([with_sides(sides)], 2, 64)
    assert np.isfinite(found.anchors).all()
    assert found.mean_iou == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("labels", "num_anchors", "told"),
    [
        ([np.zeros((0, 5))], 1, "num_anchors must be at most the boxes that differ, 0, got 1"),
        ([], 1, "num_anchors must be at most the boxes that differ, 0, got 1"),
        ([with_sides([[0.5, 0.5]] * 3)], 2, "num_anchors must be at most the boxes that differ, 1, got 2"),
        ([with_sides([[0.5, 0.5]])], 0, "num_anchors must be at least 1, got 0"),
        ([np.zeros((0, 5)), with_sides([[0.5, 0]])], 1, "picture 1, row 0: box (0, 0, 0.5, 0) is empty"),
        ([np.zeros((1, 4))], 1, "labels[0] must have the shape (any, 5), got (1, 4)"),
    ],
)
def test_too_few_and_wrong_boxes_are_refused(labels, num_anchors, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        cluster_anchors(labels, num_anchors, 64)
