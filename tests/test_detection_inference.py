"""From pictures to boxes: what the network is given, what becomes of its outputs, and that nothing else matters."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook._mxnet import mx, nd
from gluonbook.detection import TrainedDetector, inference, multibox_detection
from gluonbook.detection.ssd import NETWORKS

SIZE = 64
CLASSES = ("cat", "dog", "hen")
SHAPES = [(64, 64), (1, 1), (3, 200), (90, 120), (300, 10), (64, 65), (500, 500)]


def noise(height, width, seed=0):
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def make_net(classes=CLASSES):
    """The tiny network with random weights, and those weights."""
    mx.random.seed(0)
    net = NETWORKS["tiny"](len(classes))
    net.initialize(mx.init.Xavier(magnitude=6))
    net(nd.zeros((1, 3, SIZE, SIZE)))
    return net, {name: param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}


@pytest.fixture(scope="module")
def net():
    return make_net()[0]


@pytest.fixture(scope="module")
def model():
    return TrainedDetector(make_net()[1], CLASSES, {"network": "tiny", "size": SIZE})


def knowing(box, classes=CLASSES, kind=1, logit=12.0):
    """A detector that finds one box in any picture: all weights are 0, and the last map's first anchor is biased.

    That anchor is as wide and as high as 0.88 of the picture, about its centre.
    """
    weights = {name: np.zeros_like(weight) for name, weight in make_net(classes)[1].items()}
    width, height = box[2] - box[0], box[3] - box[1]
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    offsets = [
        (x - 0.5) / 0.88 / 0.1,
        (y - 0.5) / 0.88 / 0.1,
        math.log(width / 0.88) / 0.2,
        math.log(height / 0.88) / 0.2,
    ]
    for name in weights:
        if name.startswith("cls_heads") and name.endswith("bias"):
            weights[name].reshape(4, len(classes) + 1)[:, 0] = logit
    last = weights["cls_heads.4.bias"].reshape(4, len(classes) + 1)
    last[0, 0], last[0, kind + 1] = 0, logit
    weights["box_heads.4.bias"][:4] = offsets
    return TrainedDetector(weights, classes, {"network": "tiny", "size": SIZE})


# What the network is given


def test_standardise_takes_imagenets_mean_and_deviation_of_each_channel():
    """Red 255: (1 − 0.485)/0.229; green 0: −0.456/0.224; blue 51, a fifth: (0.2 − 0.406)/0.225."""
    X = inference.standardise([np.full((2, 3, 3), (255, 0, 51), np.uint8)])
    assert X.shape == (1, 3, 2, 3)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    np.testing.assert_allclose(X[0].transpose(1, 2, 0), np.broadcast_to(expected, (2, 3, 3)), rtol=1e-5)


def test_standardise_equals_a_slow_loop():
    pictures = [noise(4, 5, seed) for seed in range(3)]
    X = inference.standardise(pictures)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for n, c, y, x in np.ndindex(3, 3, 4, 5):
        assert X[n, c, y, x] == pytest.approx((pictures[n][y, x, c] / 255 - mean[c]) / std[c], abs=1e-5)


def test_standardise_gives_float32_in_one_block_and_leaves_the_pictures_alone():
    picture = noise(4, 5)
    before = picture.copy()
    X = inference.standardise([picture])
    assert X.dtype == np.float32
    assert X.flags.c_contiguous
    np.testing.assert_array_equal(picture, before)


def test_resize_takes_the_mean_of_all_pixels_that_become_one():
    """Of 6×6 pixels 2×2 become: nine each."""
    picture = np.zeros((6, 6, 3), np.uint8)
    picture[0, 5] = (90, 180, 9)  # in a corner of its nine
    assert inference.resize(picture, 2).tolist() == [[[0, 0, 0], [10, 20, 1]], [[0, 0, 0], [0, 0, 0]]]


def test_resize_enlarges_linearly():
    """Of the pixels 0 and 100 four become: centres at −0.25, 0.25, 0.75, 1.25 of the old ones."""
    picture = np.zeros((4, 2, 3), np.uint8)
    picture[:, 1] = 100
    assert inference.resize(picture, 4)[0, :, 0].tolist() == [0, 25, 75, 100]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(0, 255))
def test_resize_gives_a_square_of_bytes_and_keeps_a_plain_colour(height, width, size, value):
    squeezed = inference.resize(np.full((height, width, 3), value, np.uint8), size)
    assert (squeezed.shape, squeezed.dtype) == ((size, size, 3), np.uint8)
    assert (squeezed == value).all()


def test_resize_takes_views_and_returns_a_picture_of_the_size_as_it_is():
    picture = noise(8, 8)
    assert inference.resize(picture, 8) is picture
    mirrored = picture[:, ::-1]
    np.testing.assert_array_equal(inference.resize(mirrored, 4), inference.resize(mirrored.copy(), 4))


# What becomes of the outputs


def test_find_boxes_are_multibox_detection_of_the_nets_outputs(net):
    pictures = [noise(SIZE, SIZE, seed) for seed in range(2)]
    anchors = net.anchors(SIZE, SIZE)
    found = inference.find_boxes(net, pictures, anchors, mx.cpu())
    cls_preds, box_preds = (part.asnumpy() for part in net(nd.array(inference.standardise(pictures))))
    powers = np.exp(cls_preds - cls_preds.max(-1, keepdims=True))  # (N, A, K + 1)
    probabilities = (powers / powers.sum(-1, keepdims=True)).transpose(0, 2, 1)
    rows = multibox_detection(probabilities, box_preds, anchors, 0.01, nms_threshold=0.45, nms_topk=400)
    for ours, theirs in zip(found, rows):
        assert 0 < len(ours) == min((theirs[:, 0] >= 0).sum(), 100)
        np.testing.assert_allclose(ours, theirs[: len(ours)], atol=1e-5)


def test_find_boxes_equal_mxnets_operator(net):
    pictures = [noise(SIZE, SIZE, seed) for seed in range(2)]
    anchors = net.anchors(SIZE, SIZE)
    cls_preds, box_preds = net(nd.array(inference.standardise(pictures)))
    theirs = nd.contrib.MultiBoxDetection(
        nd.softmax(cls_preds).transpose((0, 2, 1)),
        box_preds,
        nd.array(anchors[None]),
        threshold=0.01,
        nms_threshold=0.45,
        nms_topk=400,
    ).asnumpy()
    for ours, rows in zip(inference.find_boxes(net, pictures, anchors, mx.cpu()), theirs):
        np.testing.assert_allclose(ours, rows[rows[:, 0] >= 0][:100], atol=1e-5)


class Saying:
    """A stand-in for a network: it says a class's score for each anchor, whatever it is shown; boxes are anchors."""

    def __init__(self, scores):
        self.scores = np.array(scores)  # (A, K + 1), probabilities

    def __call__(self, X):
        N, A = X.shape[0], len(self.scores)
        return nd.array(np.log(self.scores)[None].repeat(N, 0)), nd.zeros((N, A * 4))


def spread(count):
    """``count`` small boxes that do not overlap, in rows of 32."""
    y, x = np.divmod(np.arange(count), 32)
    return (np.column_stack([x, y, x + 0.9, y + 0.9]) / 32).astype(np.float32)


def test_find_boxes_gives_the_hundred_best_by_falling_score():
    scores = np.linspace(0.1, 0.9, 150)
    rows = inference.find_boxes(Saying(np.column_stack([1 - scores, scores])), [noise(4, 4)], spread(150), mx.cpu())[0]
    assert rows.shape == (100, 6)
    np.testing.assert_allclose(rows[:, 1], scores[::-1][:100], atol=1e-6)
    np.testing.assert_allclose(rows[:, 2:], spread(150)[::-1][:100], atol=1e-6)


def test_find_boxes_leaves_out_scores_below_a_hundredth():
    scores = np.array([0.5, 0.0101, 0.0099, 0.001])
    (rows,) = inference.find_boxes(Saying(np.column_stack([1 - scores, scores])), [noise(4, 4)], spread(4), mx.cpu())
    np.testing.assert_allclose(rows[:, 1], [0.5, 0.0101], atol=1e-6)


@pytest.mark.parametrize(("height", "kept"), [(0.46, 1), (0.44, 2)])
def test_find_boxes_suppresses_at_an_iou_of_045_within_a_class_only(height, kept):
    anchors = np.array([[0, 0, 1, 1], [0, 0, 1, height], [0, 0, 1, height]], np.float32)
    scores = [[0.1, 0.9, 0], [0.2, 0.8, 0], [0.3, 0, 0.7]]
    (rows,) = inference.find_boxes(Saying(np.array(scores) + 1e-9), [noise(4, 4)], anchors, mx.cpu())
    assert rows[:, 0].tolist() == [0] * kept + [1]


def test_find_boxes_of_nothing_is_nothing(net):
    assert inference.find_boxes(net, [], net.anchors(SIZE, SIZE), mx.cpu()) == []
    nothing = Saying(np.array([[1 - 1e-6, 1e-6]] * 4))
    (rows,) = inference.find_boxes(nothing, [noise(4, 4)], spread(4), mx.cpu())
    assert rows.shape == (0, 6)


# The detector


def test_a_detector_has_the_models_classes_and_finds_rows_that_are_in_order(model):
    detector = inference.make_detector(model, "cpu")
    assert detector.classes == CLASSES
    for rows in detector.find([noise(*shape) for shape in SHAPES]):
        assert rows.shape == (len(rows), 6)
        assert 0 < len(rows) <= 100
        assert set(rows[:, 0]) <= {0, 1, 2}
        assert (np.diff(rows[:, 1]) <= 0).all()
        assert ((rows[:, 2:] >= 0) & (rows[:, 2:] <= 1)).all()
        assert (rows[:, 2:4] <= rows[:, 4:]).all()


@pytest.fixture(scope="module")
def detectors(model):
    return {batch_size: inference.make_detector(model, "cpu", batch_size) for batch_size in (1, 2, 3, 8)}


@pytest.fixture(scope="module")
def alone(detectors):
    """What is found in each of five pictures by itself."""
    return [detectors[1].find([noise(*shape)])[0] for shape in SHAPES[:5]]


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(5)), st.sampled_from([1, 2, 3, 8]))
def test_what_is_found_depends_neither_on_the_batch_nor_on_the_order(detectors, alone, order, batch_size):
    found = detectors[batch_size].find([noise(*SHAPES[i]) for i in order])
    assert len(found) == 5
    for i, rows in zip(order, found):
        np.testing.assert_allclose(rows, alone[i], atol=1e-5)


def test_different_pictures_are_found_different(detectors):
    one, other = detectors[8].find([noise(64, 64, 1), noise(64, 64, 2)])
    assert one.shape != other.shape or not np.allclose(one, other, atol=1e-3)


def test_what_is_found_stays_when_the_next_pictures_are_asked_about(detectors):
    first = detectors[2].find([noise(64, 64, 1)])[0]
    before = first.copy()
    detectors[2].find([noise(64, 64, 2)])
    np.testing.assert_array_equal(first, before)


def test_a_detector_of_no_pictures_finds_nothing(detectors):
    assert detectors[2].find([]) == []


def test_pictures_are_squeezed_to_the_models_size(model, detectors):
    picture = noise(90, 120)
    squeezed = inference.resize(picture, SIZE)
    np.testing.assert_array_equal(detectors[1].find([picture])[0], detectors[1].find([squeezed])[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_corners_are_fractions_of_the_original_picture(shape):
    """The box of the stand-in is known: it lies there in a picture of any size and proportions."""
    box = [0.25, 0.125, 0.75, 0.5]
    (rows,) = inference.make_detector(knowing(box), "cpu").find([noise(*shape)])
    assert len(rows) == 1
    np.testing.assert_allclose(rows[0], [1, 1, *box], atol=1e-4)


def test_the_outputs_of_the_whole_network_are_called_by_hand(net, model):
    picture = noise(64, 64)
    (rows,) = inference.make_detector(model, "cpu").find([picture])
    (expected,) = inference.find_boxes(net, [picture], net.anchors(SIZE, SIZE), mx.cpu())
    np.testing.assert_allclose(rows, expected, atol=1e-5)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (2.0, TypeError)])
def test_a_wrong_batch_size_is_refused(model, value, error):
    with pytest.raises(error, match=f"batch_size must be .*, got {value!r}"):
        inference.make_detector(model, "cpu", value)


def test_a_wrong_device_is_refused(model):
    with pytest.raises(ValueError, match=r"device must be auto, cpu, gpu or gpu\(N\), got 'tpu'"):
        inference.make_detector(model, "tpu")
