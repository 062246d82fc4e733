"""Suppression equals MXNet's box_nms and a slow loop; detection equals MXNet's operator and d2l's function."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gluonbook._mxnet import load, nd
from gluonbook.detection import decode, iou, multibox_detection, multibox_prior, nms
from gluonbook.detection.suppression import BLOCK

WHOLE, LEFT, CORNER = [0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0.5, 1, 1]  # LEFT's IoU with WHOLE is 1/2, CORNER's is 1/4
VARIANCES = (0.1, 0.1, 0.2, 0.2)
EXAMPLES = settings(deadline=None, max_examples=60)

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(0, 30) | st.integers(BLOCK - 1, BLOCK + 2) | st.integers(2 * BLOCK, 3 * BLOCK)
thresholds = st.sampled_from([0.1, 0.3, 0.5, 0.75])


def random_boxes(rng, count):
    """Boxes around a few centres, so that they lie in heaps."""
    centres = rng.uniform(0.2, 0.8, (6, 2))[rng.integers(0, 6, count)] + rng.normal(0, 0.05, (count, 2))
    sides = rng.uniform(0.1, 0.4, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)


def random_scores(rng, count):
    """Scores that differ."""
    return ((rng.permutation(count) + 0.5) / max(count, 1)).astype(np.float32)


def slow_iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_nms(boxes, scores, threshold, classes):
    """One box after the other against all that are kept, in float64."""
    boxes, kept = boxes.tolist(), []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(classes[i] != classes[k] or slow_iou(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
    return kept


def assume_apart(boxes, threshold):
    """Leave out boxes in whose IoU rounding could decide."""
    pairs = np.triu_indices(len(boxes), 1)
    assume(not (np.abs(iou(boxes, boxes)[pairs] - threshold) <= 1e-5).any())


def box_nms(boxes, scores, threshold, classes=None):
    """Return the indices that MXNet's operator keeps, best first."""
    kinds = np.zeros(len(boxes)) if classes is None else classes
    rows = np.column_stack([kinds, scores, boxes, np.arange(len(boxes))]).astype(np.float32)  # (A, 7)
    how = {"id_index": -1, "force_suppress": True} if classes is None else {"id_index": 0}
    kept = nd.contrib.box_nms(nd.array(rows), overlap_thresh=threshold, coord_start=2, score_index=1, **how)
    kept = kept.asnumpy()
    return kept[kept[:, 1] >= 0, 6].astype(int).tolist()


def test_a_heap_by_hand():
    """The middle box, which the best one drops, would have dropped the third."""
    heap = [[0, 0, 0.5, 1], [0.125, 0, 0.625, 1], [0.25, 0, 0.75, 1]]  # neighbours 3/5, ends 1/3
    assert nms(heap, [0.9, 0.8, 0.7]).tolist() == [0, 2]
    assert nms(heap, [0.8, 0.9, 0.7]).tolist() == [1]
    assert nms(heap, [0.7, 0.8, 0.9], threshold=0.6).tolist() == [2, 1, 0]
    assert nms(heap, [0.7, 0.8, 0.9], threshold=0.25).tolist() == [2]


@pytest.mark.parametrize("threshold", [0.5, np.float32(0.5), np.float64(0.5)])
def test_a_box_exactly_at_the_threshold_is_kept(threshold):
    assert nms([WHOLE, LEFT], [0.9, 0.8], threshold).tolist() == [0, 1]
    assert nms([WHOLE, LEFT], [0.9, 0.8], np.nextafter(np.float32(threshold), np.float32(0))).tolist() == [0]
    assert box_nms([WHOLE, LEFT], [0.9, 0.8], 0.5) == [0, 1]


def test_a_box_exactly_at_the_threshold_is_kept_in_a_later_block():
    """Boxes side by side, their corners exact in float32; behind them all, the lower half of each."""
    count = 2 * BLOCK
    boxes = np.array([[i / count, 0, (i + 1) / count, height] for height in (1, 0.5) for i in range(count)])
    assert nms(boxes, -np.arange(2.0 * count), 0.5).tolist() == list(range(2 * count))
    assert nms(boxes, -np.arange(2.0 * count), 0.49).tolist() == list(range(count))
    found = multibox_detection(
        np.stack([np.zeros(2 * count), np.linspace(0.9, 0.1, 2 * count)])[None], np.zeros((1, 8 * count)), boxes
    )
    assert len(kept_rows(found)[0]) == count


def test_thresholds_of_0_and_1():
    """At 0 what overlaps at all is dropped and what only touches is kept; at 1 nothing is dropped."""
    right = [0.5, 0, 1, 1]
    assert nms([LEFT, right, WHOLE], [0.9, 0.8, 0.7], 0).tolist() == [0, 1]
    assert nms([WHOLE, WHOLE, WHOLE], [0.7, 0.9, 0.8], 1).tolist() == [1, 2, 0]


def test_of_equal_scores_the_first_goes_first():
    assert nms([WHOLE, WHOLE, CORNER, CORNER], [0.5, 0.5, 0.5, 0.9]).tolist() == [3, 0]


def test_each_class_is_gone_through_by_itself():
    heap = [WHOLE, WHOLE, WHOLE, CORNER]
    assert nms(heap, [0.6, 0.9, 0.8, 0.7], classes=[3, 0, 3, 0]).tolist() == [1, 2, 3]
    assert nms(heap, [0.6, 0.9, 0.8, 0.7], classes=[0, 0, 0, 0]).tolist() == [1, 3]


@pytest.mark.parametrize("classes", [None, []])
def test_of_no_boxes_none_is_kept(classes):
    kept = nms([], [], classes=classes)
    assert kept.shape == (0,)
    assert kept.dtype.kind == "i"


@EXAMPLES
@given(seeds, counts, thresholds, st.integers(1, 3))
def test_suppression_equals_a_slow_loop(seed, count, threshold, num_classes):
    rng = np.random.default_rng(seed)
    boxes, scores, classes = random_boxes(rng, count), random_scores(rng, count), rng.integers(0, num_classes, count)
    assume_apart(boxes, threshold)
    assert nms(boxes, scores, threshold, classes).tolist() == slow_nms(boxes, scores, threshold, classes)
    assert nms(boxes, scores, threshold).tolist() == slow_nms(boxes, scores, threshold, np.zeros(count))


@EXAMPLES
@given(seeds, counts.filter(bool), thresholds)
def test_suppression_equals_the_operator(seed, count, threshold):
    rng = np.random.default_rng(seed)
    boxes, scores, classes = random_boxes(rng, count), random_scores(rng, count), rng.integers(0, 3, count)
    assume_apart(boxes, threshold)
    assert nms(boxes, scores, threshold).tolist() == box_nms(boxes, scores, threshold)
    assert nms(boxes, scores, threshold, classes).tolist() == box_nms(boxes, scores, threshold, classes)


@EXAMPLES
@given(seeds, counts, thresholds)
def test_suppression_is_idempotent(seed, count, threshold):
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, count), random_scores(rng, count)
    kept = nms(boxes, scores, threshold)
    assert nms(boxes[kept], scores[kept], threshold).tolist() == list(range(len(kept)))


@EXAMPLES
@given(seeds, counts, thresholds)
def test_the_order_of_the_boxes_does_not_matter_where_scores_differ(seed, count, threshold):
    rng = np.random.default_rng(seed)
    boxes, scores, classes = random_boxes(rng, count), random_scores(rng, count), rng.integers(0, 3, count)
    order = rng.permutation(count)
    shuffled = nms(boxes[order], scores[order], threshold, classes[order])
    assert order[shuffled].tolist() == nms(boxes, scores, threshold, classes).tolist()


@EXAMPLES
@given(seeds, counts, thresholds)
def test_class_by_class_equals_a_run_for_each_class(seed, count, threshold):
    rng = np.random.default_rng(seed)
    boxes, scores, classes = random_boxes(rng, count), random_scores(rng, count), rng.integers(0, 4, count)
    runs = [np.flatnonzero(classes == kind) for kind in range(4)]
    separate = [i for run in runs for i in run[nms(boxes[run], scores[run], threshold)]]
    assert nms(boxes, scores, threshold, classes).tolist() == sorted(separate, key=lambda i: -scores[i])


@pytest.mark.parametrize("count", [BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 3])
def test_boxes_of_any_number_of_blocks_drop_those_far_behind_them(count):
    """Each box is there twice, once in front and once behind all the others."""
    boxes = multibox_prior((1, count))  # of height 1 and width 1/count, side by side
    assert nms(np.concatenate([boxes, boxes]), -np.arange(2.0 * count)).tolist() == list(range(count))
    assert nms(np.concatenate([boxes] * 2), -np.arange(2.0 * count), threshold=1).tolist() == list(range(2 * count))


def test_nd_arrays_are_taken_and_nothing_is_changed():
    rng = np.random.default_rng(0)
    arrays = [random_boxes(rng, 20), random_scores(rng, 20), rng.integers(0, 2, 20)]
    before = [array.copy() for array in arrays]
    kept = nms(*arrays[:2], classes=arrays[2])
    assert nms(nd.array(arrays[0]), nd.array(arrays[1]), classes=nd.array(arrays[2])).tolist() == kept.tolist()
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boxes": np.zeros((2, 5))}, "boxes must be boxes, (…, 4), got shape (2, 5)"),
        ({"boxes": np.zeros((1, 2, 4))}, "boxes must have the shape (any, 4), got (1, 2, 4)"),
        ({"scores": [0.5]}, "scores must have the shape (2), got (1,)"),
        ({"scores": [0.5, float("nan")]}, "scores[1] must be a number, got nan"),
        ({"classes": [0, 1, 2]}, "classes must have the shape (2), got (3,)"),
        ({"threshold": -0.1}, "threshold must be at least 0 and at most 1, got -0.1"),
        ({"threshold": 1.5}, "threshold must be at least 0 and at most 1, got 1.5"),
    ],
    ids=str,
)
def test_nms_refuses_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        nms(**{"boxes": [WHOLE, LEFT], "scores": [0.9, 0.8], **arguments})


def random_output(seed, num_pictures=2, num_classes=3, num_anchors=40, spread=1.0):
    """What a network might say: probabilities (N, K + 1, A), offsets (N, A·4), and its anchors (A, 4)."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(num_classes + 1, 0.7), (num_pictures, num_anchors)).transpose(0, 2, 1)
    offsets = rng.normal(0, spread, (num_pictures, num_anchors * 4))
    return probabilities.astype(np.float32), offsets.astype(np.float32), random_boxes(rng, num_anchors)


def kept_rows(found):
    return [rows[rows[:, 0] >= 0] for rows in found]


def assert_same_rows(ours, theirs):
    for n, (rows, expected) in enumerate(zip(kept_rows(ours), kept_rows(theirs))):
        assert rows.shape == expected.shape
        np.testing.assert_array_equal(rows[:, :2], expected[:, :2])
        np.testing.assert_allclose(rows[:, 2:], expected[:, 2:], rtol=1e-6, atol=1e-6)
        assert (ours[n, len(rows) :] == -1).all()


def operator(cls_probs, box_preds, anchors, **arguments):
    arrays = [nd.array(array) for array in (cls_probs, box_preds, anchors[None])]
    return nd.contrib.MultiBoxDetection(*arrays, **arguments).asnumpy()


def assume_decoded_apart(output, nms_threshold=0.5, clip=True, variances=VARIANCES):
    """Leave out outputs in whose IoU rounding could decide."""
    _, box_preds, anchors = output
    for boxes in decode(anchors, box_preds.reshape(len(box_preds), -1, 4), variances):
        assume_apart(boxes.clip(0, 1) if clip else boxes, nms_threshold)


ARGUMENTS = [
    {},
    {"threshold": 0.5},
    {"threshold": 0},
    {"nms_threshold": 0.2},
    {"nms_threshold": 1},
    {"clip": False},
    {"force_suppress": True},
    {"nms_topk": 10},
    {"nms_topk": 1},
    {"nms_topk": 400},
    {"variances": (0.2, 0.3, 0.1, 0.05)},
    {"threshold": 0.3, "nms_threshold": 0.45, "clip": False, "force_suppress": True, "nms_topk": 15},
]


@settings(deadline=None, max_examples=10)
@given(seeds)
@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_detection_equals_the_operator(arguments, seed):
    output = random_output(seed)
    relevant = {name: value for name, value in arguments.items() if name in ("nms_threshold", "clip", "variances")}
    assume_decoded_apart(output, **relevant)
    assert_same_rows(multibox_detection(*output, **arguments), operator(*output, **arguments))


def test_the_arguments_compared_above_change_what_is_found():
    output = random_output(0)
    plain = multibox_detection(*output)
    for arguments in ARGUMENTS[1:]:
        if arguments not in ({"threshold": 0}, {"nms_topk": 400}):  # there is nothing so small, and nothing so long
            assert not np.array_equal(multibox_detection(*output, **arguments), plain)


@settings(deadline=None, max_examples=8)
@given(seeds)
def test_detection_equals_that_of_d2l(seed):
    load()  # restores the NumPy names before d2l imports MXNet
    d2l = pytest.importorskip("d2l.mxnet")
    from mxnet import np as mx_np
    from mxnet import npx

    output = random_output(seed, num_anchors=20)
    assume_decoded_apart(output, clip=False)
    cls_probs, box_preds, anchors = output
    npx.set_np()
    try:
        arrays = [mx_np.array(array) for array in (cls_probs, box_preds, anchors[None])]
        theirs = d2l.multibox_detection(*arrays).asnumpy()
    finally:
        npx.reset_np()
    assert_same_rows(multibox_detection(*output, force_suppress=True, clip=False), theirs)


def test_the_books_example_of_detection():
    """d2l 1.0, section 14.4.5: three dogs in a heap, one cat; scores and boxes as the book prints them."""
    anchors = [[0.1, 0.08, 0.52, 0.92], [0.08, 0.2, 0.56, 0.95], [0.15, 0.3, 0.62, 0.91], [0.55, 0.2, 0.9, 0.88]]
    cls_probs = [[[0, 0, 0, 0], [0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.9]]]
    found = multibox_detection(cls_probs, np.zeros((1, 16)), anchors)
    expected = [[0, 0.9, *anchors[0]], [1, 0.9, *anchors[3]], [-1] * 6, [-1] * 6]
    np.testing.assert_allclose(found, [expected], rtol=0, atol=1e-6)


def certain(*scores):
    """Return probabilities (1, 2, A) of one class with these scores."""
    return np.stack([1 - np.array(scores), np.array(scores)])[None]


def test_detection_drops_a_box_exactly_at_the_threshold():
    """IoU 1/2; as in the operator, and unlike nms."""
    cls_probs, box_preds, anchors = certain(0.9, 0.8), np.zeros((1, 8)), np.array([WHOLE, LEFT])
    found = multibox_detection(cls_probs, box_preds, anchors)
    assert len(kept_rows(found)[0]) == 1
    assert_same_rows(found, operator(cls_probs, box_preds, anchors))
    assert len(kept_rows(multibox_detection(cls_probs, box_preds, anchors, nms_threshold=0.51))[0]) == 2


@pytest.mark.parametrize("score", [0.25, 0.3])
def test_a_score_exactly_at_the_threshold_is_found(score):
    for threshold, count in ((score, 1), (score + 1e-3, 0)):
        assert len(kept_rows(multibox_detection(certain(score), np.zeros((1, 4)), [WHOLE], threshold))[0]) == count


def test_an_anchor_says_its_most_probable_class_even_where_background_is_likelier():
    cls_probs = np.array([0.6, 0.1, 0.3]).reshape(1, 3, 1)
    assert multibox_detection(cls_probs, np.zeros((1, 4)), [WHOLE]).round(6).tolist() == [
        [[1, np.float32(0.3).round(6), 0, 0, 1, 1]]
    ]


def test_nothing_found_is_rows_of_minus_1():
    found = multibox_detection(certain(0.1, 0.2), np.zeros((1, 8)), [WHOLE, LEFT], threshold=0.5)
    assert found.tolist() == [[[-1] * 6] * 2]


def test_boxes_are_clipped_before_they_are_compared():
    """Unclipped, a third of the second box lies in the picture, and they share 1/3; clipped, they are one."""
    anchors = np.array([LEFT, [-1, 0, 0.5, 1]])
    arguments = certain(0.9, 0.8), np.zeros((1, 8)), anchors
    clipped, free = (kept_rows(multibox_detection(*arguments, clip=clip))[0] for clip in (True, False))
    assert clipped[:, 2:].tolist() == [LEFT]
    assert free[:, 2:].tolist() == anchors.tolist()


def test_found_boxes_fall_by_score_in_float32():
    found = multibox_detection(*random_output(3, num_anchors=100))
    assert found.dtype == np.float32
    assert found.shape == (2, 100, 6)
    for rows in kept_rows(found):
        assert len(rows) > 10
        assert (np.diff(rows[:, 1]) <= 0).all()


@pytest.mark.parametrize(("num_pictures", "num_anchors"), [(0, 4), (2, 0)])
def test_no_pictures_or_no_anchors_give_nothing(num_pictures, num_anchors):
    output = np.zeros((num_pictures, 2, num_anchors)), np.zeros((num_pictures, num_anchors * 4))
    assert multibox_detection(*output, np.zeros((num_anchors, 4))).shape == (num_pictures, num_anchors, 6)


def test_nd_arrays_and_anchors_with_a_leading_1_are_taken():
    cls_probs, box_preds, anchors = random_output(0)
    expected = multibox_detection(cls_probs, box_preds, anchors)
    found = multibox_detection(nd.array(cls_probs), nd.array(box_preds), nd.array(anchors[None]))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"anchors": np.zeros((2, 2, 4))}, "anchors must have the shape (any, 4), got (2, 2, 4)"),
        ({"cls_probs": np.zeros((1, 2, 3))}, "cls_probs must have the shape (any, any, 2), got (1, 2, 3)"),
        (
            {"cls_probs": np.zeros((1, 1, 2))},
            "cls_probs must hold background and at least one class, got shape (1, 1, 2)",
        ),
        ({"box_preds": np.zeros((1, 2, 4))}, "box_preds must have the shape (1, 8), got (1, 2, 4)"),
        ({"box_preds": np.zeros((2, 8))}, "box_preds must have the shape (1, 8), got (2, 8)"),
        ({"threshold": 1.1}, "threshold must be at least 0 and at most 1, got 1.1"),
        ({"nms_threshold": 0}, "nms_threshold must be at most 1 and above 0, got 0"),
        ({"nms_topk": 0}, "nms_topk must be at least 1, got 0"),
    ],
    ids=str,
)
def test_detection_refuses_wrong_arguments(arguments, message):
    right = {"cls_probs": certain(0.9, 0.8), "box_preds": np.zeros((1, 8)), "anchors": [WHOLE, LEFT]}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        multibox_detection(**{**right, **arguments})
