"""Class activation maps: by hand, by loops, and against the logits that they add up to."""

import numpy as np
import pytest

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.models.activation_maps import class_activation_maps, class_maps
from gluonbook.models.classifier import Classifier

nn = gluon.nn
CHANNELS, CLASSES = 5, 4


def sequential(*blocks):
    net = nn.HybridSequential()
    net.add(*blocks)
    return net


def classifier(*head, channels=CHANNELS, seed=0):
    """A convolution that leaves a third of the size, batch norm, ReLU; then the head."""
    mx.random.seed(seed)
    np.random.seed(seed)
    features = sequential(nn.Conv2D(channels, 3, strides=3), nn.BatchNorm(), nn.Activation("relu"))
    net = Classifier(features, head[0] if len(head) == 1 else sequential(*head), smallest=3)
    net.initialize(mx.init.Normal(0.5))
    return net


def give_a_bias(net):
    """One that tells the classes apart; the net has run."""
    (bias,) = net.head.collect_params(".*bias").values()
    bias.set_data(nd.array([0.5, -1, 2, 0]))
    return bias.data().asnumpy()


def pictures(*shape, seed=0):
    return nd.array(np.random.default_rng(seed).normal(size=shape))


HEADS = {
    "dense": lambda: (nn.GlobalAvgPool2D(), nn.Dense(CLASSES)),
    "flatten": lambda: (nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(CLASSES, flatten=False)),
    "dropout": lambda: (nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dropout(0.5), nn.Dense(CLASSES)),
    "dropout_first": lambda: (nn.Dropout(0.5), nn.GlobalAvgPool2D(), nn.Dense(CLASSES)),
    "nested": lambda: (sequential(nn.GlobalAvgPool2D(), nn.Dropout(0.9)), sequential(nn.Flatten(), nn.Dense(CLASSES))),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("hybrid", [False, True])
def test_the_mean_of_a_classs_map_plus_its_bias_is_its_logit(name, hybrid):
    net, X = classifier(*HEADS[name]()), pictures(3, 2, 14, 17)
    if hybrid:
        net.hybridize()
    maps = class_maps(net, X)  # of a net that has never run
    bias = give_a_bias(net)
    assert (maps.shape, maps.dtype) == ((3, CLASSES, 4, 5), np.float32)
    logits = net(X).asnumpy()
    np.testing.assert_allclose(maps.mean((2, 3)) + bias, logits, rtol=1e-5, atol=1e-5)
    assert np.ptp(logits) > 0.5


def test_a_net_without_a_dense_layer_has_its_class_maps_as_feature_maps():
    net, X = classifier(nn.GlobalAvgPool2D(), nn.Flatten(), channels=CLASSES), pictures(3, 1, 9, 12)
    maps = class_maps(net, X)
    np.testing.assert_array_equal(maps, net.features(X).asnumpy())
    np.testing.assert_allclose(maps.mean((2, 3)), net(X).asnumpy(), rtol=1e-5, atol=1e-6)


def test_global_average_pooling_alone_may_be_the_head():
    """Its logits are (N, K, 1, 1)."""
    net, X = classifier(nn.GlobalAvgPool2D(), channels=CLASSES), pictures(3, 1, 9, 12)
    best = net(X).asnumpy().reshape(3, CLASSES).argmax(1)
    assert len(set(best)) > 1
    np.testing.assert_array_equal(class_activation_maps(net, X), class_activation_maps(net, X, best))


def test_maps_by_hand():
    """Two channels: the pixel, and twice the pixel; the classes weigh them with (1, 1) and (3, -1)."""
    net = Classifier(nn.Conv2D(2, 1, use_bias=False), sequential(nn.GlobalAvgPool2D(), nn.Dense(2)), smallest=1)
    net.initialize()
    X = nd.array([[[[1, 2], [-1, 0.5]]]])
    net(X)
    net.features.weight.set_data(nd.array([1, 2]).reshape((2, 1, 1, 1)))
    net.head[1].weight.set_data(nd.array([[1, 1], [3, -1]]))
    net.head[1].bias.set_data(nd.array([0, 10]))
    assert class_maps(net, X).tolist() == [[[[3, 6], [-3, 1.5]], [[1, 2], [-1, 0.5]]]]
    assert class_activation_maps(net, X, [0]).tolist() == [[[3, 6], [-3, 1.5]]]
    # The means are 1.875 and 0.625: the second class has the largest logit by its bias.
    assert class_activation_maps(net, X).tolist() == [[[1, 2], [-1, 0.5]]]


def slow_maps(features, weight):
    N, C, H, W = features.shape
    maps = np.zeros((N, len(weight), H, W))
    for n, k, c in np.ndindex(N, len(weight), C):
        maps[n, k] += weight[k, c] * features[n, c]
    return maps


def slow_enlarged(small, height, width):
    """Bilinear, pixel after pixel: its middle is placed on the small map, within the middles of the edge."""
    large = np.zeros((height, width))
    for i, j in np.ndindex(height, width):
        y = min(max((i + 0.5) * small.shape[0] / height - 0.5, 0), small.shape[0] - 1)
        x = min(max((j + 0.5) * small.shape[1] / width - 0.5, 0), small.shape[1] - 1)
        for p in range(small.shape[0]):
            for q in range(small.shape[1]):
                large[i, j] += max(0, 1 - abs(y - p)) * max(0, 1 - abs(x - q)) * small[p, q]
    return large


@pytest.mark.parametrize(("height", "width"), [(9, 9), (14, 17), (3, 11), (3, 3)])
def test_maps_are_what_slow_loops_sum_up_and_enlarge(height, width):
    net, X, labels = classifier(*HEADS["dense"]()), pictures(3, 2, height, width), [3, 0, 3]
    maps = class_maps(net, X)
    by_loop = slow_maps(net.features(X).asnumpy(), net.head[1].weight.data().asnumpy())
    np.testing.assert_allclose(maps, by_loop, rtol=1e-5, atol=1e-6)
    found = class_activation_maps(net, X, labels)
    assert (found.shape, found.dtype) == ((3, height, width), np.float32)
    expected = [slow_enlarged(by_loop[n, label], height, width) for n, label in enumerate(labels)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_without_labels_each_picture_gets_the_map_of_its_predicted_class():
    net, X = classifier(*HEADS["dense"]()), pictures(6, 2, 12, 12)
    net(X)
    give_a_bias(net)
    best = net(X).argmax(axis=1)
    np.testing.assert_array_equal(class_activation_maps(net, X), class_activation_maps(net, X, best))
    assert (class_maps(net, X).mean((2, 3)).argmax(1) != best.asnumpy()).any(), "the bias must matter here"


def test_a_map_rises_where_the_picture_speaks_for_the_class():
    net = Classifier(nn.Conv2D(1, 3, padding=1), sequential(nn.GlobalAvgPool2D(), nn.Dense(2)), smallest=1)
    net.initialize(mx.init.One())
    X = np.zeros((1, 1, 12, 16), np.float32)
    X[0, 0, 8:11, 2:5] = 1
    found = class_activation_maps(net, nd.array(X), [1])[0]
    assert np.unravel_index(found.argmax(), found.shape) == (9, 3)


def test_training_goes_on_undisturbed_and_dropout_is_off():
    """Within ``record``, too: no statistics move, nothing is recorded, nothing is dropped."""
    net, X = classifier(*HEADS["dropout_first"]()), pictures(3, 2, 9, 9)
    before = class_maps(net, X)
    statistics = net.features[1].running_mean.data().asnumpy()
    with autograd.record():
        np.testing.assert_array_equal(class_maps(net, X), before)
        assert autograd.is_training()
    np.testing.assert_array_equal(net.features[1].running_mean.data().asnumpy(), statistics)


@pytest.mark.parametrize(
    "head",
    [
        (nn.Dense, CLASSES),
        (lambda: sequential(nn.GlobalMaxPool2D(), nn.Dense(CLASSES)),),
        (lambda: sequential(nn.AvgPool2D(3), nn.Dense(CLASSES)),),
        (lambda: sequential(nn.GlobalAvgPool2D(), nn.Dense(8), nn.Dense(CLASSES)),),
        (lambda: sequential(nn.GlobalAvgPool2D(), nn.Dense(CLASSES, activation="relu")),),
        (lambda: sequential(nn.GlobalAvgPool2D(), nn.Activation("relu")),),
        (lambda: sequential(nn.Dense(CLASSES), nn.GlobalAvgPool2D()),),
        (lambda: sequential(),),
    ],
    ids=["dense", "max_pooling", "local_pooling", "two_layers", "activation", "no_dense", "dense_first", "nothing"],
)
def test_a_head_without_class_maps_is_refused(head):
    make, *arguments = head
    net = Classifier(nn.Conv2D(2, 3), make(*arguments), smallest=3)
    net.initialize()
    for function in (class_maps, class_activation_maps):
        with pytest.raises(ValueError, match=r"net.head must be global average pooling and one dense layer.*got"):
            function(net, pictures(1, 1, 5, 5))


def test_a_dense_layer_over_one_mean_at_a_time_is_refused():
    """It would take weights (K, 1), which NumPy spreads over all the channels."""
    net = classifier(nn.GlobalAvgPool2D(), nn.Dense(CLASSES, flatten=False))
    with pytest.raises(ValueError, match=r"must take the means of all 5 feature maps, it takes 1 at a time.*Flatten"):
        class_maps(net, pictures(1, 1, 6, 6))


def test_what_is_no_classifier_and_no_picture_is_refused():
    net = classifier(*HEADS["dense"]())
    with pytest.raises(TypeError, match="net must be a Classifier, got Conv2D"):
        class_maps(nn.Conv2D(2, 3), pictures(1, 1, 5, 5))
    with pytest.raises(TypeError, match=r"X must be an nd array of pictures .*, got ndarray"):
        class_maps(net, np.zeros((1, 1, 5, 5)))
    for shape in ((1, 5, 5), (1, 1, 2, 5), (1, 1, 5, 2)):
        with pytest.raises(ValueError, match=r"X must be pictures .* of at least 3 x 3 pixels, got shape \(1"):
            class_activation_maps(net, nd.zeros(shape))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, CLASSES], r"labels\[1\] must be from 0 to 3, got 4"),
        ([-1, 0], r"labels\[0\] must be from 0 to 3, got -1"),
        ([0], r"labels must be one a picture, \(2,\), got shape \(1,\)"),
        ([0, 1, 2], r"labels must be one a picture, \(2,\), got shape \(3,\)"),
        ([[0, 1]], r"labels must be one row of indices"),
        (1, r"labels must be one row of indices"),
    ],
)
def test_labels_that_are_none_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        class_activation_maps(classifier(*HEADS["dense"]()), pictures(2, 1, 6, 6), labels)
