"""YOLOv3's boxes: tables by hand, a slow loop, gluoncv's output layer, and MXNet's box_nms."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gluonbook import _mxnet
from gluonbook._mxnet import nd
from gluonbook.detection import iou
from gluonbook.detection.yolo import decode_maps, find_yolo

EXAMPLES = settings(deadline=None, max_examples=40)
PRIORS = np.array(
    [[116, 90], [156, 198], [373, 326], [30, 61], [62, 45], [59, 119], [10, 13], [16, 30], [33, 23]], np.float32
).reshape(3, 3, 2)  # of YOLOv3, coarse maps first

seeds = st.integers(0, 2**32 - 1)


class Head(NamedTuple):
    """What the functions under test read of a head."""

    anchors: Any
    stride: int
    num_classes: int
    ignore_threshold: float = 0.5


def yolov3_heads(num_classes):
    return [Head(priors, stride, num_classes) for priors, stride in zip(PRIORS, (32, 16, 8))]


def random_maps(rng, heads, height, width, count=1, objectness=-1.0, spread=1.5):
    """Raw maps for an input of height by width pixels, objectness around a value."""
    maps = []
    for head in heads:
        B, h, w = len(head.anchors), height // head.stride, width // head.stride
        raw = rng.normal(0, spread, (count, B, 5 + head.num_classes, h, w))
        raw[:, :, 2:4] *= 0.3
        raw[:, :, 4] += objectness
        maps.append(raw.reshape(count, -1, h, w).astype(np.float32))
    return maps


def one_map(*predictions):
    """A map of one cell: a prediction an anchor."""
    return np.array(predictions, np.float32).reshape(1, -1, 1, 1)


def slow_sigmoid(x):
    return 1 / (1 + np.exp(-float(x)))


def slow_decode(maps, heads):
    """One number after the other, in float64, by the paper's formulas."""
    pictures = []
    for n in range(len(maps[0])):
        rows = []
        for raw, head in zip(maps, heads):
            h, w = raw.shape[2:]
            for y in range(h):
                for x in range(w):
                    for b, (pw, ph) in enumerate(np.asarray(head.anchors, float)):
                        first = b * (5 + head.num_classes)
                        t = [float(raw[n, first + c, y, x]) for c in range(5 + head.num_classes)]
                        bx, by = slow_sigmoid(t[0]) + x, slow_sigmoid(t[1]) + y
                        bw, bh = pw / head.stride * np.exp(t[2]), ph / head.stride * np.exp(t[3])
                        box = [(bx - bw / 2) / w, (by - bh / 2) / h, (bx + bw / 2) / w, (by + bh / 2) / h]
                        rows.append(box + [slow_sigmoid(value) for value in t[4:]])
        pictures.append(rows)
    return np.array(pictures)


def slow_find(decoded, threshold, nms_threshold=0.45, nms_topk=400, most=100):
    """Over every box and class of one picture."""
    rows = []
    for values in decoded.tolist():
        for k, probability in enumerate(values[5:]):
            if values[4] * probability >= threshold:
                rows.append([k, values[4] * probability, *values[:4]])
    rows = sorted(rows, key=lambda row: -row[1])[:nms_topk]
    kept = []
    for row in rows:
        if all(row[0] != other[0] or slow_iou(row[2:], other[2:]) <= nms_threshold for other in kept):
            kept.append(row)
    return np.array(kept[:most]).reshape(-1, 6)


def slow_iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def assume_apart(decoded, threshold, nms_threshold):
    """Leave out maps in which rounding could decide: scores near the threshold or each other, IoU near its bound."""
    scores = (decoded[:, 4:5] * decoded[:, 5:]).ravel()
    assume(np.abs(scores - threshold).min() > 1e-6)
    candidates = np.sort(scores[scores >= threshold])
    assume(not len(candidates) or np.diff(candidates).min(initial=1) > 1e-6)
    boxes = decoded[(decoded[:, 4:5] * decoded[:, 5:] >= threshold).any(axis=1), :4]
    pairs = np.triu_indices(len(boxes), 1)
    assume(not (np.abs(iou(boxes, boxes)[pairs] - nms_threshold) <= 1e-5).any())


def test_decoding_by_hand():
    """Two anchors, one row of two cells of 8 pixels; exp(ln 2) = 2, sigmoid(ln 3) = 3/4."""
    head = Head(np.array([[8, 4], [4, 2]]), 8, 2)
    raw = np.zeros((1, 14, 1, 2), np.float32)
    raw[0, :7, 0, 1] = [np.log(3), 0, np.log(2), 0, np.log(3), 0, -np.log(3)]  # first anchor, right cell
    raw[0, 7:, 0, 0] = [0, np.log(3), 0, np.log(2), -np.log(3), np.log(3), 0]  # second anchor, left cell
    expected = [
        [0, 0.25, 0.5, 0.75, 0.5, 0.5, 0.5],  # centre 1/2 of 2 cells, 1/2 of 1; 1 by 1/2 cells
        [0.125, 0.5, 0.375, 1, 0.25, 0.75, 0.5],  # centre 1/4, 3/4; 1/2 by 1/2 cells
        [0.375, 0.25, 1.375, 0.75, 0.75, 0.5, 0.25],  # centre (3/4 + 1)/2, 1/2; 2 by 1/2 cells
        [0.625, 0.375, 0.875, 0.625, 0.5, 0.5, 0.5],
    ]
    decoded = decode_maps([raw], [head])
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, [expected], rtol=0, atol=1e-7)


def test_yolov3_makes_10647_boxes_of_416_pixels_coarse_maps_first():
    heads = yolov3_heads(1)
    decoded = decode_maps([np.zeros((1, 18, side, side)) for side in (13, 26, 52)], heads)
    assert decoded.shape == (1, 10647, 6)
    widths = (decoded[0, :, 2] - decoded[0, :, 0]) * 416
    np.testing.assert_allclose(widths[:3], [116, 156, 373], rtol=1e-5)
    np.testing.assert_allclose(widths[13 * 13 * 3 :][:3], [30, 62, 59], rtol=1e-5)
    np.testing.assert_allclose(widths[-3:], [10, 16, 33], rtol=1e-4)


@EXAMPLES
@given(seeds, st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3))
def test_decoding_equals_a_slow_loop(seed, rows, columns, count, num_classes):
    rng = np.random.default_rng(seed)
    heads = [Head(PRIORS[0], 32, num_classes), Head(PRIORS[1, :2], 16, num_classes)]
    maps = random_maps(rng, heads, 32 * rows, 32 * columns, count)
    decoded = decode_maps(maps, heads)
    assert decoded.shape == (count, rows * columns * 11, 5 + num_classes)
    np.testing.assert_allclose(decoded, slow_decode(maps, heads), rtol=1e-6, atol=2e-6)


def gluoncv_detections(maps, heads):
    """Return what gluoncv's output layers say of raw maps: (N, K · A, 6), class by class of each map."""
    layer = _mxnet.gluoncv().model_zoo.yolo.yolo3.YOLOOutputV3
    parts = []
    for i, (raw, head) in enumerate(zip(maps, heads)):
        channels = raw.shape[1]
        output = layer(i, head.num_classes, np.asarray(head.anchors), head.stride)
        output.prediction.initialize()
        output.prediction(nd.zeros((1, channels, 1, 1)))
        output.prediction.weight.set_data(nd.eye(channels).reshape((channels, channels, 1, 1)))
        output.prediction.bias.set_data(nd.zeros(channels))
        output.initialize()
        parts.append(output(nd.array(raw)))
    return nd.concat(*parts, dim=1)


@pytest.mark.parametrize("shape", [(64, 96), (32, 32)])
def test_decoding_equals_gluoncvs_output_layer(shape):
    heads, K = yolov3_heads(4), 4
    maps = random_maps(np.random.default_rng(0), heads, *shape, count=2)
    theirs = gluoncv_detections(maps, heads).asnumpy()
    ours, start, first = decode_maps(maps, heads), 0, 0
    for raw in maps:
        count = 3 * raw.shape[2] * raw.shape[3]
        part, rows = theirs[:, start : start + K * count].reshape(2, K, count, 6), ours[:, first : first + count]
        start, first = start + K * count, first + count
        for k in range(K):
            assert (part[:, k, :, 0] == k).all()
            np.testing.assert_allclose(rows[..., 4] * rows[..., 5 + k], part[:, k, :, 1], rtol=1e-5)
            np.testing.assert_allclose(rows[..., :4] * (shape[::-1] * 2), part[:, k, :, 2:], rtol=1e-5, atol=1e-4)


def test_found_boxes_equal_gluoncvs():
    """Its detections through box_nms with its network's settings: 0.45, 400 boxes, scores above 0.01."""
    heads, rng, compared = yolov3_heads(5), np.random.default_rng(1), 0
    maps = random_maps(rng, heads, 64, 64, count=3, objectness=-3)
    theirs = nd.contrib.box_nms(
        gluoncv_detections(maps, heads), overlap_thresh=0.45, valid_thresh=0.01, topk=400, id_index=0, coord_start=2
    ).asnumpy()[:, :100]
    for ours, rows in zip(find_yolo(maps, heads, 0.01), theirs):
        rows = rows[rows[:, 0] >= 0]
        assert len(ours) == len(rows)
        np.testing.assert_array_equal(ours[:, 0], rows[:, 0])
        np.testing.assert_allclose(ours[:, 1], rows[:, 1], rtol=1e-5)
        np.testing.assert_allclose(ours[:, 2:] * 64, rows[:, 2:], rtol=1e-4, atol=1e-3)
        compared += len(rows)
    assert compared > 100


def test_finding_by_hand():
    """Two anchors in one cell of 16 pixels: 16 by 16, and 16 by 8, their IoU 1/2; objectness 1/2 and 3/4."""
    head = Head(np.array([[16, 16], [16, 8]]), 16, 2)
    raw = one_map([0, 0, 0, 0, 0, 50, 0], [0, 0, 0, 0, np.log(3), 0, np.log(3)])
    whole, middle = [0, 0, 1, 1], [0, 0.25, 1, 0.75]
    scores = {(0, "whole"): 0.5, (1, "whole"): 0.25, (0, "middle"): 0.375, (1, "middle"): 0.5625}
    everything = [[1, 0.5625, *middle], [0, 0.5, *whole], [0, 0.375, *middle], [1, 0.25, *whole]]
    assert sorted(scores.values(), reverse=True) == [row[1] for row in everything]

    def found(threshold, *arguments):
        return find_yolo([raw], [head], threshold, *arguments)[0]

    np.testing.assert_allclose(found(0.2, 0.51), everything, rtol=1e-6)
    np.testing.assert_allclose(found(0.2), everything[:2], rtol=1e-6)  # each class drops its weaker box
    np.testing.assert_allclose(found(0.3, 0.51), everything[:3], rtol=1e-6)
    np.testing.assert_allclose(found(0.2, 0.51, 3), everything[:3], rtol=1e-6)  # three go in
    np.testing.assert_allclose(found(0.2, 0.51, 400, 2), everything[:2], rtol=1e-6)  # two come out
    assert found(0.6).shape == (0, 6)


def test_a_score_at_the_threshold_is_found_and_an_overlap_at_its_threshold_stays():
    head = Head(np.array([[16, 16], [16, 8]]), 16, 1)
    maps = [one_map([0, 0, 0, 0, 0, 50], [0, 0, 0, 0, 0, 0])]
    assert find_yolo(maps, [head], 0.25, 0.5)[0][:, 1].tolist() == [0.5, 0.25]
    assert len(find_yolo(maps, [head], np.nextafter(np.float32(0.25), np.float32(1)), 0.5)[0]) == 1
    assert len(find_yolo(maps, [head], 0.25, 0.49)[0]) == 1


@pytest.mark.parametrize("threshold", [0, 1, 0.999999, 1e-7])
def test_extreme_thresholds_lose_no_box_that_reaches_them(threshold):
    """Two boxes side by side; the left one's score rounds to 1, the right one's is below 1e-7."""
    head = Head(np.array([[8, 8]]), 16, 1)
    raw = np.zeros((1, 6, 1, 2), np.float32)
    raw[0, 4:, 0] = [[20, -20], [20, 0]]
    found = find_yolo([raw], [head], threshold)[0]
    assert len(found) == (2 if threshold == 0 else 1)
    assert found[0, 1] == 1


@EXAMPLES
@given(
    seeds,
    st.integers(1, 2),
    st.sampled_from([0.05, 0.2, 0.5]),
    st.sampled_from([0.3, 0.45, 0.7]),
    st.sampled_from([1, 5, 400]),
    st.sampled_from([1, 4, 100]),
)
def test_finding_equals_the_slow_way(seed, count, threshold, nms_threshold, topk, most):
    heads = [Head(PRIORS[0], 32, 3), Head(PRIORS[1], 16, 3)]
    maps = random_maps(np.random.default_rng(seed), heads, 64, 32, count)
    decoded = decode_maps(maps, heads)
    for rows in decoded:
        assume_apart(rows, threshold, nms_threshold)
    found = find_yolo(maps, heads, threshold, nms_threshold, topk, most)
    assert len(found) == count
    for ours, rows in zip(found, decoded):
        slow = slow_find(rows, threshold, nms_threshold, topk, most)
        assert ours.dtype == np.float32
        assert ours.shape == slow.shape
        np.testing.assert_allclose(ours, slow, rtol=1e-5, atol=1e-6)


def test_with_every_box_a_candidate_finding_still_equals_the_slow_way():
    """567 boxes of 20 classes; scores are spread, so that 400 of 11,340 pairs are clear."""
    heads = yolov3_heads(20)
    maps = random_maps(np.random.default_rng(3), heads, 96, 96, objectness=6)
    decoded = decode_maps(maps, heads)[0]
    assert (decoded[:, 4:5] * decoded[:, 5:] >= 1e-4).all()
    ours, slow = find_yolo(maps, heads, 1e-4)[0], slow_find(decoded, 1e-4)
    assert len(slow) == 100
    np.testing.assert_array_equal(ours[:, 0], slow[:, 0])
    np.testing.assert_allclose(ours, slow, rtol=1e-5, atol=1e-6)


def test_of_equal_scores_the_first_prediction_and_its_first_class_come_first():
    head = Head(np.array([[2, 2], [3, 3]]), 16, 2)
    found = find_yolo([np.zeros((1, 14, 1, 2))], [head], 0.2)[0]
    assert found[:, 0].tolist() == [0, 1] * 4
    np.testing.assert_allclose((found[:, 4] - found[:, 2]) * 32, [2, 2, 3, 3, 2, 2, 3, 3], rtol=1e-6)
    np.testing.assert_allclose((found[:, 2] + found[:, 4]) / 2, [0.25] * 4 + [0.75] * 4, rtol=1e-6)
    assert find_yolo([np.zeros((1, 14, 1, 2))], [head], 0.2, nms_topk=3)[0].tolist() == found[:3].tolist()


def test_of_many_equal_scores_the_first_are_kept_in_their_order():
    """300 boxes of one class in a map of 10 by 10 cells; a sort that is not stable mixes more than 16."""
    head = Head(np.array([[1, 1], [0.5, 0.5], [2, 2]]), 16, 1)
    (found,) = find_yolo([np.zeros((1, 18, 10, 10))], [head], 0.2, nms_threshold=1, nms_topk=200)
    widths, rows, columns = (
        (found[:, 4] - found[:, 2]) * 160,
        (found[:, 3] + found[:, 5]) * 5,
        found[:, [2, 4]].sum(1) * 5,
    )
    assert len(found) == 100
    np.testing.assert_allclose(widths, np.resize([1, 0.5, 2], 100), rtol=1e-4)
    np.testing.assert_allclose(columns, (np.arange(100) // 3) % 10 + 0.5, rtol=1e-5)
    np.testing.assert_allclose(rows, np.arange(100) // 30 + 0.5, rtol=1e-5)


def test_each_picture_of_a_batch_is_found_by_itself_on_arrays_of_either_library():
    heads = yolov3_heads(3)
    maps = random_maps(np.random.default_rng(5), heads, 64, 64, count=3)
    alone = [find_yolo([raw[n : n + 1] for raw in maps], heads, 0.1)[0] for n in range(3)]
    assert min(map(len, alone)) > 3
    for together in (find_yolo(maps, heads, 0.1), find_yolo([nd.array(raw) for raw in maps], heads, 0.1)):
        for ours, expected in zip(together, alone):
            np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_no_pictures_and_no_candidates_give_nothing():
    heads = yolov3_heads(3)
    maps = random_maps(np.random.default_rng(0), heads, 64, 64, count=2, objectness=-20)
    assert [rows.shape for rows in find_yolo(maps, heads, 0.5)] == [(0, 6), (0, 6)]
    assert find_yolo([raw[:0] for raw in maps], heads, 0.5) == []
    assert decode_maps([raw[:0] for raw in maps], heads).shape == (0, 3 * 84, 8)


def test_wild_maps_give_finite_boxes_without_warnings():
    head = Head(np.array([[16, 16]]), 16, 1)
    with np.errstate(over="raise", invalid="raise"):
        found = find_yolo([one_map([-200, 200, 500, -80, 200, 200])], [head], 0.5)[0]
    assert np.isfinite(found).all()
    assert found[0, 4] - found[0, 2] > 1e6
    assert np.isfinite(decode_maps([one_map([-200, 200, 500, 500, -200, 200])], [head])).all()


HEAD = Head(np.array([[16, 16], [8, 8]]), 16, 1)


@pytest.mark.parametrize(
    ("maps", "heads", "error", "told"),
    [
        ([], [], ValueError, "heads must hold at least one head, got none"),
        ([np.zeros((1, 12, 1, 1))], [HEAD, HEAD], ValueError, "maps must be one a head, got 1 maps and 2 heads"),
        ([np.zeros((1, 11, 1, 1))], [HEAD], ValueError, "maps[0] must have the shape (N, 12, h, w)"),
        ([np.zeros((12, 1, 1))], [HEAD], ValueError, "h and w above 0, got (12, 1, 1)"),
        ([np.zeros((1, 12, 0, 1))], [HEAD], ValueError, "h and w above 0, got (1, 12, 0, 1)"),
        ([np.zeros((1, 12, 1, 0))], [HEAD], ValueError, "h and w above 0, got (1, 12, 1, 0)"),
        (["none"], [HEAD], TypeError, "maps[0] must be an array of numbers, got 'none'"),
        (
            [np.zeros((1, 12, 1, 2)), np.zeros((2, 12, 1, 2))],
            [HEAD, HEAD],
            ValueError,
            "maps must be of the same pictures, got, at 0 and 1, 1 of 16x32 pixels and 2 of 16x32 pixels",
        ),
        (
            [np.zeros((1, 12, 1, 2)), np.zeros((1, 12, 2, 2))],
            [HEAD, HEAD],
            ValueError,
            "got, at 0 and 1, 1 of 16x32 pixels and 1 of 32x32 pixels",
        ),
        (
            [np.zeros((1, 12, 1, 1)), np.zeros((1, 14, 1, 1))],
            [HEAD, HEAD._replace(num_classes=2)],
            ValueError,
            "heads must have the same classes, got 1 and, at 1, 2",
        ),
        ([np.zeros((1, 12, 1, 1))], [HEAD._replace(stride=0)], ValueError, "heads[0].stride must be at least 1, got 0"),
        (
            [np.zeros((1, 10, 1, 1))],
            [HEAD._replace(num_classes=0)],
            ValueError,
            "heads[0].num_classes must be at least 1, got 0",
        ),
        (
            [np.zeros((1, 12, 1, 1))],
            [HEAD._replace(anchors=np.array([[16, 16], [8, 0]]))],
            ValueError,
            "heads[0].anchors must be widths and heights above 0, got [[16.0, 16.0], [8.0, 0.0]]",
        ),
        (
            [np.zeros((1, 0, 1, 1))],
            [HEAD._replace(anchors=np.zeros((0, 2)))],
            ValueError,
            "heads[0].anchors must be widths and heights above 0, got []",
        ),
        (
            [np.zeros((1, 6, 1, 1))],
            [HEAD._replace(anchors=np.array([[np.inf, 8]]))],
            ValueError,
            "heads[0].anchors must be widths and heights above 0, got [[inf, 8.0]]",
        ),
        (
            [np.zeros((1, 12, 1, 1))],
            [HEAD._replace(anchors=[16, 16])],
            ValueError,
            "heads[0].anchors must have the shape (any, 2), got (2,)",
        ),
    ],
)
def test_maps_and_heads_that_do_not_fit_are_refused(maps, heads, error, told):
    for function in (decode_maps, lambda *arguments: find_yolo(*arguments, 0.5)):
        with pytest.raises(error, match=re.escape(told)):
            function(maps, heads)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"threshold": 1.1}, ValueError, "threshold must be at least 0 and at most 1, got 1.1"),
        ({"threshold": float("nan")}, ValueError, "threshold must be at least 0 and at most 1, got nan"),
        ({"threshold": 0.5, "nms_threshold": -0.1}, ValueError, "nms_threshold must be at least 0 and at most 1"),
        ({"threshold": 0.5, "nms_topk": 0}, ValueError, "nms_topk must be at least 1, got 0"),
        ({"threshold": 0.5, "most": 0}, ValueError, "most must be at least 1, got 0"),
        ({"threshold": 0.5, "most": 1.5}, TypeError, "most must be a whole number, got 1.5"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, error, told):
    with pytest.raises(error, match=re.escape(told)):
        find_yolo([np.zeros((1, 12, 1, 1))], [HEAD], **arguments)


def test_an_objectness_that_is_not_a_number_is_refused():
    maps = np.zeros((2, 12, 1, 1))
    maps[1, 10] = np.nan
    with pytest.raises(ValueError, match="maps of picture 1 must be numbers, got nan for objectness"):
        find_yolo([maps], [HEAD], 0.5)
