"""Targets equal MXNet's operator and d2l's function where they agree; each difference has a test of its own."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gluonbook._mxnet import load, mx, nd
from gluonbook.detection import decode, encode, iou, match, multibox_target, targets
from gluonbook.detection.targets import LEAST_IOU, hard_negatives, num_objects

# d2l 1.0, section 14.4: a dog (class 0), a cat (class 1), and five anchors
BOOK_LABELS = [[0, 0.1, 0.08, 0.52, 0.92], [1, 0.55, 0.2, 0.9, 0.88]]
BOOK_ANCHORS = [
    [0, 0.1, 0.2, 0.3],
    [0.15, 0.2, 0.4, 0.4],
    [0.63, 0.05, 0.88, 0.98],
    [0.66, 0.45, 0.8, 0.8],
    [0.57, 0.3, 0.92, 0.9],
]
PADDING = [-1, -1, -1, -1, -1]
LEFT, RIGHT, WHOLE = [0, 0, 0.5, 1], [0.5, 0, 1, 1], [0, 0, 1, 1]
EXAMPLES = settings(deadline=None, max_examples=60)

seeds = st.integers(0, 2**32 - 1)


def random_anchors(rng, count):
    centres, sides = rng.uniform(0, 1, (count, 2)), rng.uniform(0.1, 0.6, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1).astype(np.float32)


def random_labels(rng, counts, num_classes):
    """Pictures of so many objects each, padded to the largest number and one row more."""
    labels = np.full((len(counts), max(counts) + 1, 5), -1, np.float32)
    for row, count in zip(labels, counts):
        low, sides = rng.uniform(0, 0.6, (count, 2)), rng.uniform(0.05, 0.4, (count, 2))
        row[:count] = np.column_stack([rng.integers(0, num_classes, count), low, low + sides])
    return labels


def random_scores(rng, num_pictures, num_classes, num_anchors):
    """Scores whose probabilities of background lie apart, so that rounding changes no order."""
    background = np.stack([rng.permutation(num_anchors) + 0.5 for _ in range(num_pictures)]) / num_anchors  # (N, A)
    rest = rng.dirichlet(np.ones(num_classes), background.shape) * (1 - background)[..., None]  # (N, A, K)
    probabilities = np.concatenate([background[..., None], np.maximum(rest, 1e-9)], axis=2)
    return (np.log(probabilities) + rng.normal(0, 3, (*background.shape, 1))).transpose(0, 2, 1).astype(np.float32)


def operator(anchors, labels, cls_preds, **arguments):
    arrays = [nd.array(np.asarray(array, np.float32)) for array in (np.asarray(anchors)[None], labels, cls_preds)]
    return [part.asnumpy() for part in nd.contrib.MultiBoxTarget(*arrays, **arguments)]


def d2l_target(anchors, labels):
    load()  # restores the NumPy names before d2l imports MXNet
    d2l = pytest.importorskip("d2l.mxnet")
    from mxnet import np as mx_np
    from mxnet import npx

    npx.set_np()
    try:
        parts = d2l.multibox_target(mx_np.array(np.asarray(anchors)[None], "float32"), mx_np.array(labels, "float32"))
        return [part.asnumpy() for part in parts]
    finally:
        npx.reset_np()


def assert_same_targets(ours, theirs, atol=1e-5):
    np.testing.assert_allclose(ours.box_targets, theirs[0], rtol=0, atol=atol)
    np.testing.assert_array_equal(ours.box_masks, theirs[1])
    np.testing.assert_array_equal(ours.cls_targets, theirs[2])


def slow_match(overlaps, threshold):
    """Entry by entry; of equal ones the first stays."""
    num_anchors, num_objects = overlaps.shape
    taken = {}
    while True:
        best, pair = LEAST_IOU, None
        for a in range(num_anchors):
            for m in range(num_objects):
                if a not in taken and m not in taken.values() and overlaps[a, m] > best:
                    best, pair = overlaps[a, m], (a, m)
        if pair is None:
            break
        taken[pair[0]] = pair[1]
    for a in range(num_anchors):
        if a not in taken and threshold > 0 and num_objects:
            best = max(range(num_objects), key=lambda m: overlaps[a, m])
            if overlaps[a, best] > threshold:
                taken[a] = best
    return [taken.get(a, -1) for a in range(num_anchors)]


def test_match_by_hand():
    """The largest entry, 0.9, gives object 1 to anchor 2; then 0.6, object 0 to anchor 0; anchor 3 is above 0.5."""
    overlaps = np.array([[0.6, 0.5], [0.3, 0.4], [0.8, 0.9], [0.1, 0.7]], np.float32)
    assert match(overlaps).tolist() == [0, -1, 1, 1]
    assert match(overlaps, threshold=0.35).tolist() == [0, 1, 1, 1]


def test_an_anchor_that_two_objects_like_best_goes_to_the_one_it_overlaps_more():
    """Both like anchor 0; object 1 overlaps it more; object 0 takes its next best, though that is far below 0.5."""
    assert match(np.array([[0.6, 0.7], [0.1, 0.65], [0.2, 0.0]], np.float32)).tolist() == [1, 1, 0]


@pytest.mark.parametrize("threshold", [0, -1])
def test_a_threshold_of_0_or_less_leaves_each_object_one_anchor(threshold):
    overlaps = np.array([[0.9, 0.8], [0.8, 0.7], [0.9, 0.9]], np.float32)
    assert match(overlaps, threshold).tolist() == [0, -1, 1]


@pytest.mark.parametrize("value", [0.5, 0.3])
def test_an_anchor_at_the_threshold_takes_no_object(value):
    overlaps = np.array([[0.9], [value], [np.nextafter(np.float32(value), np.float32(1))]], np.float32)
    assert match(overlaps, threshold=value).tolist() == [0, -1, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_overlap_of_no_account_matches_nothing(dtype):
    overlaps = np.array([[LEAST_IOU, 0], [0, 0]], dtype)
    assert match(overlaps).tolist() == [-1, -1]
    assert match(np.nextafter(overlaps, np.array(1, dtype))).tolist() == [0, -1]  # object 1 still overlaps by less


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_no_anchors_or_no_objects_match_nothing(shape):
    assert match(np.zeros(shape, np.float32)).tolist() == [-1] * shape[0]


@settings(deadline=None)
@given(seeds, st.integers(1, 9), st.integers(0, 5), st.sampled_from([0, 0.25, 0.3, 0.5]), st.booleans())
def test_match_equals_a_slow_loop(seed, num_anchors, num_objects, threshold, with_ties):
    rng = np.random.default_rng(seed)
    overlaps = rng.uniform(0, 1, (num_anchors, num_objects)).astype(np.float32)
    overlaps = np.round(overlaps * 4) / 4 if with_ties else overlaps
    before = overlaps.copy()
    assert match(overlaps, threshold).tolist() == slow_match(overlaps, threshold)
    np.testing.assert_array_equal(overlaps, before)


@settings(deadline=None)
@given(seeds, st.integers(1, 6), st.integers(0, 6))
def test_every_object_that_overlaps_all_anchors_gets_one(seed, num_objects, more):
    overlaps = np.random.default_rng(seed).uniform(0.01, 1, (num_objects + more, num_objects))
    assert set(match(overlaps)) >= set(range(num_objects))


def test_offsets_by_hand():
    """Centre shifted by a tenth of the width: 0.1/0.1; twice as high: ln 2 / 0.2, and the centre by half: 0.5/0.1."""
    offsets = encode([[0, 0, 0.5, 0.25], [0, 0, 0.5, 0.25]], [[0.05, 0, 0.55, 0.25], [0, 0, 0.5, 0.5]])
    np.testing.assert_allclose(offsets, [[1, 0, 0, 0], [0, 5, 0, np.log(2) / 0.2]], rtol=1e-6, atol=1e-6)


def test_each_variance_divides_its_own_offset():
    anchor, box = [[0, 0, 0.5, 0.5]], [[0.25, 0.125, 0.5, 0.75]]
    plain = encode(anchor, box, variances=(1, 1, 1, 1))
    np.testing.assert_allclose(encode(anchor, box, variances=(1, 2, 4, 8)), plain / [1, 2, 4, 8], rtol=1e-6)
    np.testing.assert_allclose(encode(anchor, box), plain / [0.1, 0.1, 0.2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(plain, [[0.25, 0.375, np.log(0.5), np.log(1.25)]], rtol=1e-6)


@settings(deadline=None)
@given(seeds, st.integers(0, 20), st.sampled_from([(0.1, 0.1, 0.2, 0.2), (1, 0.5, 0.25, 2)]))
def test_decoding_what_was_encoded_gives_the_boxes_again(seed, count, variances):
    rng = np.random.default_rng(seed)
    anchors, boxes = random_anchors(rng, count), random_anchors(rng, count)
    decoded = decode(anchors, encode(anchors, boxes, variances), variances)
    np.testing.assert_allclose(decoded, boxes, rtol=0, atol=2e-6)  # ln of up to 6 loses as many units of 1.2e-7


@settings(deadline=None)
@given(seeds, st.integers(0, 20))
def test_encoding_what_was_decoded_gives_the_offsets_again(seed, count):
    rng = np.random.default_rng(seed)
    anchors, offsets = random_anchors(rng, count), rng.normal(0, 2, (count, 4)).astype(np.float32)
    np.testing.assert_allclose(encode(anchors, decode(anchors, offsets)), offsets, rtol=0, atol=2e-4)


def test_offsets_of_0_are_the_anchors_of_every_picture():
    anchors = random_anchors(np.random.default_rng(0), 5)
    decoded = decode(anchors, np.zeros((3, 5, 4)))
    assert decoded.shape == (3, 5, 4)
    np.testing.assert_allclose(decoded, np.stack([anchors] * 3), rtol=0, atol=1e-7)


def test_hard_negatives_by_hand():
    background = np.array([0.9, 0.2, 0.5, 0.1, 0.2])
    candidates = np.array([True, True, True, False, True])
    assert hard_negatives(background, candidates, 2).tolist() == [1, 4]
    assert hard_negatives(background, candidates, 3).tolist() == [1, 4, 2]
    assert hard_negatives(background, candidates, 9).tolist() == [1, 4, 2, 0]
    assert hard_negatives(background, candidates, 0).tolist() == []
    assert hard_negatives(background, ~candidates, 1).tolist() == [3]


@pytest.mark.parametrize("levels", [1, 3, 40, None])
@pytest.mark.parametrize("num_negatives", [0, 1, 7, 29, 30, 31, 99])
def test_hard_negatives_are_the_first_of_all_candidates_sorted(levels, num_negatives):
    """Of few levels, most are equal."""
    rng = np.random.default_rng(num_negatives)
    background = rng.random(60, np.float32) if levels is None else rng.integers(levels, size=60).astype(np.float32)
    candidates = np.zeros(60, bool)
    candidates[rng.choice(60, 30, replace=False)] = True
    right = sorted(np.flatnonzero(candidates), key=lambda a: background[a])[:num_negatives]
    assert hard_negatives(background, candidates, num_negatives).tolist() == right


@pytest.mark.parametrize("num_negatives", [1, 3, 5])
def test_what_is_not_a_number_is_taken_last_and_not_left_out(num_negatives):
    background = np.array([np.nan, 0.5, np.nan, 0.1, np.nan], np.float32)
    assert hard_negatives(background, np.ones(5, bool), num_negatives).tolist() == [3, 1, 0, 2, 4][:num_negatives]
    alone = np.full(5, np.nan, np.float32)
    assert hard_negatives(alone, np.ones(5, bool), num_negatives).tolist() == list(range(num_negatives))


def test_objects_are_counted_up_to_the_first_padding():
    rows = np.array([[0, 0, 0, 1, 1], PADDING, [0, 0, 0, 1, 1]], np.float32)
    assert [num_objects(rows[:count]) for count in range(4)] == [0, 1, 1, 1]
    assert num_objects(rows[1:]) == 0


def test_the_books_example():
    targets = multibox_target(BOOK_ANCHORS, [BOOK_LABELS])
    assert targets.cls_targets.tolist() == [[0, 1, 2, 0, 2]]
    assert targets.box_masks.tolist() == [[0] * 4 + [1] * 8 + [0] * 4 + [1] * 4]
    objects = np.array([BOOK_LABELS[0], BOOK_LABELS[1], BOOK_LABELS[1]])[:, 1:]
    expected = np.zeros((5, 4), np.float32)
    expected[[1, 2, 4]] = encode(np.array(BOOK_ANCHORS)[[1, 2, 4]], objects)
    np.testing.assert_allclose(targets.box_targets, expected.reshape(1, 20), rtol=1e-6)
    assert_same_targets(targets, operator(BOOK_ANCHORS, [BOOK_LABELS], np.zeros((1, 3, 5))))


@EXAMPLES
@given(
    seeds,
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from([0.5, 0.3, 0.7]),
    st.sampled_from([(0.1, 0.1, 0.2, 0.2), (0.3, 0.2, 0.1, 0.4)]),
)
def test_targets_equal_the_operators(seed, counts, threshold, variances):
    rng = np.random.default_rng(seed)
    anchors, labels = random_anchors(rng, 40), random_labels(rng, counts, num_classes=3)
    assume_apart(anchors, labels, threshold)
    arguments = {"overlap_threshold": threshold, "variances": variances}
    theirs = operator(anchors, labels, np.zeros((len(counts), 4, 40)), **arguments)
    assert_same_targets(multibox_target(anchors, labels, **arguments), theirs)


@EXAMPLES
@given(
    seeds,
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from([0.5, 1, 2.5, 3]),
    st.sampled_from([0.5, 0.2, 0.05]),
)
def test_mined_targets_equal_the_operators(seed, counts, ratio, thresh):
    rng = np.random.default_rng(seed)
    anchors, labels = random_anchors(rng, 60), random_labels(rng, counts, num_classes=3)
    cls_preds = random_scores(rng, len(counts), 3, 60)
    assume_apart(anchors, labels, 0.5, thresh)
    arguments = {"negative_mining_ratio": ratio, "negative_mining_thresh": thresh}
    ours = multibox_target(anchors, labels, cls_preds, **arguments)
    for rows, cls_targets in zip(labels, ours.cls_targets):  # of too few candidates the operator makes an error
        free = (cls_targets <= 0) & (iou(anchors, rows[: num_objects(rows), 1:]).max(axis=1) < thresh)
        assume(free.sum() >= (cls_targets > 0).sum() * ratio)
    assert_same_targets(ours, operator(anchors, labels, cls_preds, **arguments))


def assume_apart(anchors, labels, *thresholds):
    """Leave out batches in which rounding could change on which side of a threshold an IoU lies."""
    for rows in labels:
        overlaps = iou(anchors, rows[: num_objects(rows), 1:])
        assume(all(np.abs(overlaps - threshold).min() > 1e-6 for threshold in (LEAST_IOU * 3, *thresholds)))


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(1, 4))
def test_targets_equal_those_of_d2l(seed, count):
    rng = np.random.default_rng(seed)
    anchors, labels = random_anchors(rng, 40), random_labels(rng, [count, count], num_classes=3)[:, :count]
    assume_apart(anchors, labels, 0.5)
    for rows in labels:
        assume(set(match(iou(anchors, rows[:, 1:]))) >= set(range(count)))
    ours, theirs = multibox_target(anchors, labels), d2l_target(anchors, labels)
    assert_same_targets(ours, theirs, atol=1e-4)  # d2l adds 1e-6 to ratios, here above 0.08, and multiplies by 5


def test_an_object_that_overlaps_no_anchor_gets_none():
    """As in the operator; d2l gives it an anchor, with an IoU of 0."""
    anchors, labels = [LEFT, [0, 0, 0.4, 1]], [[[0, *LEFT], [1, 0.75, 0, 1, 1]]]
    targets = multibox_target(anchors, labels)
    assert targets.cls_targets.tolist() == [[1, 1]]
    assert_same_targets(targets, operator(anchors, labels, np.zeros((1, 3, 2))))


def test_d2l_gives_an_object_that_overlaps_nothing_an_anchor():
    anchors, labels = [LEFT, [0, 0, 0.4, 1]], [[[0, *LEFT], [1, 0.75, 0, 1, 1]]]
    assert d2l_target(anchors, labels)[2].tolist() == [[1, 2]]


def test_two_objects_that_like_the_same_anchor_get_one_each():
    """The left anchor's IoU with the first object is 0.5/0.9, with the second 0.5/0.6; the other anchor's is small."""
    anchors, labels = [LEFT, [0, 0, 0.1, 0.5]], [[[0, 0, 0, 0.9, 1], [1, 0, 0, 0.6, 1]]]
    targets = multibox_target(anchors, labels)
    assert targets.cls_targets.tolist() == [[2, 1]]
    assert_same_targets(targets, operator(anchors, labels, np.zeros((1, 3, 2))))


def test_an_anchor_at_the_threshold_is_background():
    """IoU 1/2 exactly; as in the operator."""
    targets = multibox_target([WHOLE, LEFT], [[[0, *WHOLE]]])
    assert targets.cls_targets.tolist() == [[1, 0]]
    assert_same_targets(targets, operator([WHOLE, LEFT], [[[0, *WHOLE]]], np.zeros((1, 2, 2))))


def test_d2l_matches_an_anchor_at_the_threshold():
    assert d2l_target([WHOLE, LEFT], [[[0, *WHOLE]]])[2].tolist() == [[1, 1]]


def test_a_picture_without_objects_is_background_everywhere():
    """The operator ignores such a picture: −1 everywhere."""
    labels = [[[1, *LEFT]], [PADDING]]
    targets = multibox_target([LEFT, RIGHT], labels)
    assert targets.cls_targets.tolist() == [[2, 0], [0, 0]]
    assert not targets.box_masks[1].any()
    assert not targets.box_targets[1].any()
    assert operator([LEFT, RIGHT], labels, np.zeros((2, 3, 2)))[2].tolist() == [[2, 0], [-1, -1]]


@pytest.mark.parametrize("labels", [np.zeros((2, 0, 5)), np.full((2, 3, 5), -1)], ids=["no rows", "padding"])
def test_a_batch_without_objects_is_background(labels):
    targets = multibox_target([LEFT, RIGHT], labels)
    assert [part.tolist() for part in targets] == [[[0] * 8] * 2, [[0] * 8] * 2, [[0, 0]] * 2]


def row_of_anchors(count):
    """Anchors side by side, and scores that take the last for background least."""
    edges = np.arange(count + 1) / count
    anchors = [[low, 0, high, 1] for low, high in zip(edges, edges[1:])]
    return anchors, np.stack([-np.arange(count, dtype=np.float32), np.zeros(count, np.float32)])[None]  # (1, 2, A)


def test_a_picture_without_objects_teaches_its_hardest_anchors():
    anchors, cls_preds = row_of_anchors(6)
    for minimum in (0, 2, 9):
        targets = multibox_target(
            anchors, [[PADDING]], cls_preds, negative_mining_ratio=3, minimum_negative_samples=minimum
        )
        hardest = min(minimum, 6)
        assert targets.cls_targets.tolist() == [[-1] * (6 - hardest) + [0] * hardest]
        assert not targets.box_masks.any()


def test_mining_takes_the_hardest_that_overlap_little():
    """One match, ratio 2: of six anchors the last two are the hardest, but the last overlaps the object by 0.6."""
    anchors, cls_preds = row_of_anchors(6)
    anchors = [*anchors[:5], [0, 0, 0.1, 1]]
    labels = [[[0, *anchors[0]]]]  # a sixth; the last anchor's IoU with it is 0.6
    arguments = {"overlap_threshold": 0.7, "negative_mining_ratio": 2}
    targets = multibox_target(anchors, labels, cls_preds, **arguments)
    assert targets.cls_targets.tolist() == [[1, -1, -1, 0, 0, -1]]
    assert_same_targets(targets, operator(anchors, labels, cls_preds, **arguments))
    looser = multibox_target(anchors, labels, cls_preds, negative_mining_thresh=0.65, **arguments)
    assert looser.cls_targets.tolist() == [[1, -1, -1, -1, 0, 0]]


def test_an_anchor_that_matches_is_no_negative_however_little_it_overlaps():
    """The object's only anchor overlaps it by 0.3, and the network takes it for background least of all."""
    anchors, cls_preds = row_of_anchors(6)
    labels, arguments = [[[0, *anchors[5][:3], 0.3]]], {"negative_mining_ratio": 2}
    targets = multibox_target(anchors, labels, cls_preds, **arguments)
    assert targets.cls_targets.tolist() == [[-1, -1, -1, 0, 0, 1]]
    assert_same_targets(targets, operator(anchors, labels, cls_preds, **arguments))


def test_an_anchor_at_the_mining_threshold_is_no_negative():
    cls_preds = np.zeros((1, 2, 2))
    arguments = {"negative_mining_ratio": 1, "overlap_threshold": 0.6}
    half = multibox_target([WHOLE, LEFT], [[[0, *WHOLE]]], cls_preds, negative_mining_thresh=0.5, **arguments)
    above = multibox_target([WHOLE, LEFT], [[[0, *WHOLE]]], cls_preds, negative_mining_thresh=0.51, **arguments)
    assert (half.cls_targets.tolist(), above.cls_targets.tolist()) == ([[1, -1]], [[1, 0]])


def test_what_is_not_mined_has_no_box_to_learn():
    anchors, cls_preds = row_of_anchors(6)
    targets = multibox_target(anchors, [[[0, *anchors[1]]]], cls_preds, negative_mining_ratio=1)
    assert targets.cls_targets.tolist() == [[-1, 1, -1, -1, -1, 0]]
    assert targets.box_masks.reshape(6, 4).sum(axis=1).tolist() == [0, 4, 0, 0, 0, 0]


def test_the_minimum_of_negatives_holds_where_the_operator_ignores_it():
    """One match, ratio 1, minimum 3."""
    anchors, cls_preds = row_of_anchors(6)
    labels, arguments = [[[0, *anchors[0]]]], {"negative_mining_ratio": 1, "minimum_negative_samples": 3}
    targets = multibox_target(anchors, labels, cls_preds, **arguments)
    assert targets.cls_targets.tolist() == [[1, -1, -1, 0, 0, 0]]
    assert operator(anchors, labels, cls_preds, **arguments)[2].tolist() == [[1, -1, -1, -1, -1, 0]]


def test_a_minimum_below_the_ratio_changes_nothing():
    anchors, cls_preds = row_of_anchors(6)
    targets = multibox_target(
        anchors, [[[0, *anchors[0]]]], cls_preds, negative_mining_ratio=3, minimum_negative_samples=2
    )
    assert targets.cls_targets.tolist() == [[1, -1, -1, 0, 0, 0]]


def test_too_few_candidates_are_all_taken_where_the_operator_fails():
    """Three anchors: one matches, one overlaps the object by 0.45/0.5, so of three wanted there is one."""
    anchors, labels = [LEFT, [0, 0, 0.45, 1], RIGHT], [[[0, *LEFT]]]
    arguments = {"overlap_threshold": 0.95, "negative_mining_ratio": 3}
    targets = multibox_target(anchors, labels, np.zeros((1, 2, 3)), **arguments)
    assert targets.cls_targets.tolist() == [[1, -1, 0]]
    with pytest.raises(mx.MXNetError, match="Check failed"):
        operator(anchors, labels, np.zeros((1, 2, 3)), **arguments)


@pytest.mark.filterwarnings("error")
def test_scores_of_any_size_can_be_mined():
    anchors, cls_preds = row_of_anchors(6)
    for factor in (1e4, -1e4):  # of the anchors that are left, all are equally hard in float32
        targets = multibox_target(anchors, [[[0, *anchors[0]]]], cls_preds * factor, negative_mining_ratio=1)
        assert targets.cls_targets.tolist() == [[1, 0, -1, -1, -1, -1]]


def test_a_class_is_background_plus_one_and_its_own_object_decides():
    anchors = [LEFT, RIGHT]
    assert multibox_target(anchors, [[[7, *RIGHT], [3, *LEFT]]]).cls_targets.tolist() == [[4, 8]]


def test_pictures_of_a_batch_do_not_touch_each_other():
    rng = np.random.default_rng(0)
    anchors, labels = random_anchors(rng, 20), random_labels(rng, [2, 0, 3], num_classes=2)
    cls_preds = random_scores(rng, 3, 2, 20)
    arguments = {"negative_mining_ratio": 2, "minimum_negative_samples": 4}
    batch = multibox_target(anchors, labels, cls_preds, **arguments)
    for n in range(3):
        alone = multibox_target(anchors, labels[n : n + 1], cls_preds[n : n + 1], **arguments)
        for part, whole in zip(alone, batch):
            np.testing.assert_array_equal(part[0], whole[n])


def test_nd_arrays_and_anchors_with_a_leading_1_are_taken_and_nothing_is_changed():
    anchors, labels = np.array(BOOK_ANCHORS, np.float32), np.array([[*BOOK_LABELS, PADDING]], np.float32)
    cls_preds = random_scores(np.random.default_rng(0), 1, 2, 5)
    arrays = [anchors, labels, cls_preds]
    before = [array.copy() for array in arrays]
    expected = multibox_target(*arrays, negative_mining_ratio=1)
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)
    as_nd = multibox_target(nd.array(anchors[None]), nd.array(labels), nd.array(cls_preds), negative_mining_ratio=1)
    for ours, theirs in zip(as_nd, expected):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 0.5, 0.1, 0.3, 0.2], "picture 1, row 2: box (0.5, 0.1, 0.3, 0.2) is inverted: xmax must be above xmin"),
        ([0, 0.1, 0.5, 0.3, 0.5], "picture 1, row 2: box (0.1, 0.5, 0.3, 0.5) is empty: ymax must be above ymin"),
        ([0, 0.1, 0.5, np.inf, 0.6], "picture 1, row 2: box (0.1, 0.5, inf, 0.6) is not finite"),
        ([-2, *LEFT], "picture 1, row 2: class must be a whole number at least 0, got -2"),
        ([0.5, *LEFT], "picture 1, row 2: class must be a whole number at least 0, got 0.5"),
        ([np.inf, *LEFT], "picture 1, row 2: class must be a whole number at least 0, got inf"),
    ],
    ids=str,
)
def test_a_wrong_label_is_refused_with_picture_and_row(row, message):
    labels = np.array([[[0, *LEFT]] * 3] * 2)
    labels[1, 2] = row
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        multibox_target([LEFT, RIGHT], labels)


def test_a_wrong_label_after_the_padding_is_padding():
    assert multibox_target([LEFT, RIGHT], [[[0, *LEFT], PADDING, [9, 5, 5, 4, 4]]]).cls_targets.tolist() == [[1, 0]]


def test_the_predictions_say_how_many_classes_there_are():
    with pytest.raises(ValueError, match=r"^picture 0, row 0: class must be a whole number from 0 to 1, got 2$"):
        multibox_target([LEFT, RIGHT], [[[2, *LEFT]]], np.zeros((1, 3, 2)), negative_mining_ratio=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"anchors": np.zeros((2, 2, 4))}, "anchors must have the shape (any, 4), got (2, 2, 4)"),
        ({"anchors": np.zeros((2, 5))}, "anchors must have the shape (any, 4), got (2, 5)"),
        ({"labels": [[0, *LEFT]]}, "labels must have the shape (any, any, 5), got (1, 5)"),
        ({"labels": np.zeros((1, 1, 6))}, "labels must have the shape (any, any, 5), got (1, 1, 6)"),
        ({"negative_mining_ratio": 0}, "negative_mining_ratio must be above 0, got 0"),
        (
            {"negative_mining_ratio": 3},
            "cls_preds must be given: mining looks for the anchors that the network gets wrong",
        ),
        (
            {"negative_mining_ratio": 3, "cls_preds": np.zeros((1, 2, 3))},
            "cls_preds must have the shape (1, any, 2), got (1, 2, 3)",
        ),
        (
            {"negative_mining_ratio": 3, "cls_preds": np.zeros((2, 2, 2))},
            "cls_preds must have the shape (1, any, 2), got (2, 2, 2)",
        ),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        multibox_target(**{"anchors": [LEFT, RIGHT], "labels": [[[0, *LEFT]]], **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overlap_threshold": 1.5}, "overlap_threshold must be at most 1, got 1.5"),
        ({"negative_mining_thresh": -0.1}, "negative_mining_thresh must be at least 0 and at most 1, got -0.1"),
        ({"minimum_negative_samples": -1}, "minimum_negative_samples must be at least 0, got -1"),
        ({"variances": (0.1, 0.1, 0.2)}, "variances must be four numbers"),
        ({"variances": (0.1, 0.1, 0.0, 0.2)}, r"variances\[2\] must be above 0, got 0.0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    labels = np.array([[[0, 0.1, 0.1, 0.5, 0.5]]], np.float32)
    with pytest.raises(ValueError, match=message):
        multibox_target([[0.1, 0.1, 0.5, 0.5]], labels, **arguments)


def test_scores_are_waited_for_when_all_else_is_done(monkeypatch):
    """A network that is still computing them goes on meanwhile."""
    events = []

    class Computing:
        shape = (2, 4, 3)

        def asnumpy(self):
            events.append("waited")
            return np.zeros(self.shape, np.float32)

    monkeypatch.setattr(targets, "encode", lambda *args: events.append("encoded") or encode(*args))
    labels = np.array([[[0, 0, 0, 0.3, 1]], [[2, 0.3, 0, 0.6, 1]]], np.float32)
    multibox_target(row_of_anchors(3)[0], labels, Computing(), negative_mining_ratio=1)
    assert events == ["encoded", "encoded", "waited"]


@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 2, 2), (2, 2)])
def test_a_networks_scores_of_another_shape_are_refused(shape):
    labels = [[[0, 0, 0, 0.5, 1]]]
    with pytest.raises(ValueError, match=r"^cls_preds must have the shape \(1, any, 2\), got \("):
        multibox_target([LEFT, RIGHT], labels, nd.zeros(shape), negative_mining_ratio=3)
