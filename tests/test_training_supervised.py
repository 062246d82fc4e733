"""An epoch of a classifier equals a slow loop in NumPy, on one device and divided among several; and plain descent."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook import training
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.training import supervised

CPUS = [mx.cpu(i) for i in range(6)]
d, K = 5, 4
SIZES = (8, 7, 2, 1)  # rows of the batches: the last ones are smaller than the number of devices


def batches(sizes=SIZES, seed=0, dtype="int32"):
    generator = np.random.default_rng(seed)
    drawn = [(generator.normal(size=(N, d)), generator.integers(0, K, N)) for N in sizes]
    return [(nd.array(X), nd.array(y, dtype=dtype)) for X, y in drawn]


def network(devices, seed=0):
    mx.random.seed(seed)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(6, in_units=d, activation="tanh"), gluon.nn.Dense(K, in_units=6))
    net.initialize(mx.init.Xavier(), ctx=devices)
    return net


def epoch(net, train_batches, devices, hyper=None, loss=None, number=1):
    """Train for an epoch with Gluon's trainer, on sums."""
    trainer = gluon.Trainer(net.collect_params(), "sgd", hyper or {"learning_rate": 0.3, "momentum": 0.9})
    loss = loss or gluon.loss.SoftmaxCrossEntropyLoss()
    guard = training.LossGuard(number, trainer.learning_rate)
    return training.train_epoch(net, train_batches, loss, trainer.step, devices, guard)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def slow_epoch(W, b, train_batches, lr):
    """Softmax regression, example by example; returns W and b after it, and what it adds up to."""
    loss, correct, labels = 0.0, 0, 0
    for X, y in [(X.asnumpy().astype(float), y.asnumpy().astype(int)) for X, y in train_batches]:
        gradient_W, gradient_b = np.zeros_like(W), np.zeros_like(b)
        for x, label in zip(X, y):
            log_p = log_softmax((x @ W + b)[None])[0]
            loss -= log_p[label]
            correct += int(np.argmax(log_p) == label)
            labels += 1
            error = np.exp(log_p) - np.eye(K)[label]
            gradient_W += np.outer(x, error)
            gradient_b += error
        W, b = W - lr * gradient_W / len(X), b - lr * gradient_b / len(X)
    return W, b, (loss, labels, correct, labels)


def linear(devices, seed=3):
    generator = np.random.default_rng(seed)
    W, b = generator.normal(size=(d, K)), generator.normal(size=K)
    net = gluon.nn.Dense(K, in_units=d)
    net.initialize(ctx=devices)
    net.weight.set_data(nd.array(W.T))
    net.bias.set_data(nd.array(b))
    return net, W, b


@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_an_epoch_equals_a_loop_over_single_examples(num_devices):
    devices = CPUS[:num_devices]
    net, W, b = linear(devices)
    W, b, expected = slow_epoch(W, b, batches(), lr=0.3)
    sums = epoch(net, batches(), devices, {"learning_rate": 0.3})
    assert tuple(sums) == (pytest.approx(expected[0], rel=1e-5), *expected[1:])
    assert 0 < sums.correct < sums.labels
    for device in devices:
        np.testing.assert_allclose(net.weight.data(device).asnumpy().T, W, atol=1e-5)
        np.testing.assert_allclose(net.bias.data(device).asnumpy(), b, atol=1e-5)


@pytest.mark.parametrize("num_devices", [2, 3, 5])
@pytest.mark.parametrize("hybridized", [False, True])
def test_several_devices_make_what_one_makes(num_devices, hybridized):
    """Batches of 2 and of 1 have fewer rows than devices: a row that is computed twice must count once."""
    trained = []
    for devices in (CPUS[:1], CPUS[:num_devices]):
        net = network(devices)
        if hybridized:
            net.hybridize()
        trained.append((net, epoch(net, batches(), devices)))
    (one, its_sums), (several, sums) = trained
    assert (sums.loss_size, sums.correct, sums.labels) == its_sums[1:]
    assert sums.loss == pytest.approx(its_sums.loss, rel=1e-5)
    assert its_sums.labels == sum(SIZES)
    for right, param in zip(one.collect_params().values(), several.collect_params().values()):
        assert param.list_ctx() == CPUS[:num_devices]
        for device in CPUS[:num_devices]:
            np.testing.assert_allclose(param.data(device).asnumpy(), right.data().asnumpy(), atol=1e-5)


def test_the_devices_share_what_a_loss_reduced_by_gluon_gives_each():
    """A loss that is a mean has one element a device; the sum of those is what is differentiated."""
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    net = network(CPUS[:2])
    sums = epoch(net, batches((8, 1)), CPUS[:2], {"learning_rate": 1e-12}, lambda y_hat, y: loss(y_hat, y).mean())
    each = [
        loss(net(part), y).mean().asscalar() for X, Y in batches((8,)) for part, y in ((X[:4], Y[:4]), (X[4:], Y[4:]))
    ]
    ((_, (X, y))) = batches((8, 1))
    each.append(loss(net(X), y).asscalar())
    assert sums.loss == pytest.approx(sum(each), rel=1e-5)
    assert (sums.loss_size, sums.labels) == (3, 9)


@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_accuracy_equals_a_loop_over_single_examples(num_devices):
    devices = CPUS[:num_devices]
    net = network(devices)
    hits = [
        max(range(K), key=row.__getitem__) == label
        for X, y in batches()
        for row, label in zip(net(X).asnumpy().tolist(), y.asnumpy())
    ]
    assert 0 < sum(hits) < len(hits) == sum(SIZES)
    assert training.accuracy(iter(batches()), net, devices) == sum(hits) / len(hits)


@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_an_evaluation_adds_up_what_an_epoch_without_steps_does(num_devices):
    devices, loss = CPUS[:num_devices], gluon.loss.SoftmaxCrossEntropyLoss()
    net, W, b = linear(devices)
    _, _, expected = slow_epoch(W, b, batches(), lr=0)
    sums = supervised.evaluate(iter(batches()), net, loss, devices)
    assert tuple(sums) == (pytest.approx(expected[0], rel=1e-5), *expected[1:])
    with pytest.raises(ValueError, match=r"^batches must give at least one batch, got none$"):
        supervised.evaluate([], net, loss, devices)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "int8", "float16", "float32", "float64"])
def test_labels_may_be_of_any_dtype(dtype):
    net, W, b = linear(CPUS[:2])
    _, _, expected = slow_epoch(W, b, batches(), lr=1e-12)
    assert training.accuracy(batches(dtype=dtype), net, CPUS[:2]) == expected[2] / expected[1]
    sums = epoch(net, batches(dtype=dtype), CPUS[:2], {"learning_rate": 1e-12})
    assert tuple(sums) == (pytest.approx(expected[0], rel=1e-5), *expected[1:])


def test_outputs_of_float64_are_compared_with_labels_of_float32():
    outputs = nd.array([[0, 1], [1, 0]], dtype="float64")
    assert training.accuracy([(outputs, nd.array([1, 1]))], lambda X: X, CPUS[:1]) == 0.5


@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_a_class_at_every_pixel(num_devices):
    """Segmentation: outputs (N, K, h, w), labels (N, h, w); Gluon's loss is one value a picture."""
    devices, generator = CPUS[:num_devices], np.random.default_rng(2)
    mx.random.seed(0)
    net = gluon.nn.Conv2D(K, kernel_size=1, in_channels=3)
    net.initialize(mx.init.Normal(1), ctx=devices)
    drawn = [(generator.normal(size=(N, 3, 2, 5)), generator.integers(0, K, (N, 2, 5))) for N in (4, 1)]
    loss, correct = 0.0, 0
    for X, y in drawn:
        outputs = net(nd.array(X)).asnumpy()
        for n, i, j in np.ndindex(y.shape):
            log_p = log_softmax(outputs[n, :, i, j][None])[0]
            loss -= log_p[y[n, i, j]] / (2 * 5)
            correct += int(np.argmax(log_p) == y[n, i, j])
    pictures = [(nd.array(X), nd.array(y, dtype="int32")) for X, y in drawn]
    assert 0 < correct < 50
    assert training.accuracy(pictures, net, devices) == correct / 50
    sums = epoch(net, pictures, devices, {"learning_rate": 1e-12}, gluon.loss.SoftmaxCrossEntropyLoss(axis=1))
    assert tuple(sums) == (pytest.approx(loss, rel=1e-5), 5, correct, 50)


@pytest.mark.parametrize("devices", [CPUS[:1], CPUS[:3]], ids=len)
def test_the_update_comes_after_each_batch_with_its_rows_and_its_gradients(devices):
    net, called = network(devices), []

    def update(N):
        called.append((N, *(net[0].weight.grad(device).abs().sum().asscalar() > 0 for device in devices)))

    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    training.train_epoch(net, batches((8, 3)), loss, update, devices, training.LossGuard(1, 0.1))
    assert called == [(8, *[True] * len(devices)), (3, *[True] * len(devices))]


def test_a_net_is_in_training_mode_in_training_only():
    modes, net = [], network(CPUS[:1])

    def watched(X):
        modes.append((autograd.is_training(), autograd.is_recording()))
        return net(X)

    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    training.train_epoch(watched, batches((2,)), loss, lambda N: None, CPUS[:1], training.LossGuard(1, 0.1))
    training.accuracy(batches((2,)), watched, CPUS[:1])
    assert modes == [(True, True), (False, False)]


def test_the_guard_gets_each_batchs_mean_loss():
    net, guard = network(CPUS[:2]), training.LossGuard(1, 0.1)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    training.train_epoch(net, batches((8, 3)), loss, lambda N: None, CPUS[:2], guard)
    expected = [loss(net(X), y).mean().asscalar() for X, y in batches((8, 3))]
    assert guard.losses == pytest.approx(expected, rel=1e-5)


def test_a_loss_gets_labels_of_float32_on_its_device():
    seen, net, loss = [], network(CPUS[:2]), gluon.loss.SoftmaxCrossEntropyLoss()

    def watched(output, y):
        seen.append((output.context, y.context, y.dtype))
        return loss(output, y)

    epoch(net, batches((8,), dtype="uint8"), CPUS[:2], loss=watched)
    assert seen == [(device, device, np.float32) for device in CPUS[:2]]


WRONG = [
    ([0, 1, 4, 5], "label 2 must be a class from 0 to 3, got 4"),
    ([0, -1, 4, 2], "label 1 must be a class from 0 to 3, got -1"),
    ([0, 1, 2, 2.5], "label 3 must be a class from 0 to 3, got 2.5"),
    ([math.nan, 1, 2, 3], "label 0 must be a class from 0 to 3, got nan"),
    ([0, math.inf, 2, 3], "label 1 must be a class from 0 to 3, got inf"),
]


@pytest.mark.parametrize(("labels", "message"), WRONG)
@pytest.mark.parametrize("num_devices", [1, 3])
def test_a_label_that_is_no_class_is_refused_before_it_teaches(labels, message, num_devices):
    net, before = network(CPUS[:num_devices]), network(CPUS[:1])
    wrong = [(nd.ones((4, d)), nd.array(labels))]
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        epoch(net, wrong, CPUS[:num_devices])
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        training.accuracy(wrong, net, CPUS[:num_devices])
    for param, old in zip(net.collect_params().values(), before.collect_params().values()):
        np.testing.assert_array_equal(param.data(CPUS[0]).asnumpy(), old.data().asnumpy())


@pytest.mark.parametrize(("dtype", "value"), [("uint8", 255), ("int32", -1), ("float16", 7)])
def test_a_wrong_label_of_any_dtype_is_refused(dtype, value):
    wrong = [(nd.ones((2, d)), nd.array([3, value], dtype=dtype))]
    with pytest.raises(ValueError, match=f"^label 1 must be a class from 0 to 3, got {value}$"):
        training.accuracy(wrong, network(CPUS[:1]), CPUS[:1])


def test_a_wrong_pixel_is_named_by_its_place():
    y = np.zeros((2, 3, 3))
    y[1, 0, 2] = 255  # VOC's border
    with pytest.raises(ValueError, match=r"^label \(1, 0, 2\) must be a class from 0 to 1, got 255$"):
        supervised.check_classes(nd.array(y, dtype="uint8"), nd.zeros((2, 2, 3, 3)))


def test_one_output_is_no_choice_among_classes():
    assert supervised.check_classes(nd.array([-1.5, 8]), nd.zeros((2, 1))) is None


def test_outputs_without_classes_are_refused():
    with pytest.raises(ValueError, match=r"^a classifier's output must be \(N, K, …\), got shape \(3,\)$"):
        training.accuracy([(nd.ones(3), nd.zeros(3))], lambda X: X, CPUS[:1])


@pytest.mark.parametrize(("rows", "labels"), [(3, 2), (2, 3), (0, 0), (0, 1), (1, 0)])
def test_a_batch_of_unequal_lengths_or_of_nothing_is_refused(rows, labels):
    message = f"a batch must have as many labels as rows, at least 1; got {rows} rows, {labels} labels"
    batch = (np.zeros((rows, d)), np.zeros(labels))  # MXNet itself has no empty arrays
    with pytest.raises(ValueError, match=f"^{message}$"):
        supervised.divide(*batch, CPUS[:2])
    with pytest.raises(ValueError, match=f"^{message}$"):
        training.accuracy([batch], network(CPUS[:1]), CPUS[:1])


@pytest.mark.parametrize("nothing", [[], iter(())], ids=["list", "iterator"])
def test_an_epoch_without_batches_is_refused(nothing):
    with pytest.raises(ValueError, match=r"^batches must give at least one batch an epoch, got none in epoch 7$"):
        epoch(network(CPUS[:1]), nothing, CPUS[:1], number=7)
    with pytest.raises(ValueError, match=r"^batches must give at least one batch, got none$"):
        training.accuracy(nothing, network(CPUS[:1]), CPUS[:1])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("num_devices", [1, 3])
def test_a_loss_that_is_not_finite_stops_the_epoch(value, place, num_devices):
    """The last batch, too, which nothing follows; and one that has fewer rows than there are devices."""
    made = batches((4, 4, 1))
    net, loss = network(CPUS[:num_devices]), gluon.loss.SoftmaxCrossEntropyLoss()
    losses = iter([value if i == place else 0.0 for i in range(3) for _ in range(num_devices)])
    guard = training.LossGuard(3, 0.25)
    message = (
        rf"^the loss is {value} at epoch 3, batch {place + 1}, learning rate 0\.25; last finite loss: (.*)\. Take a"
    )
    with pytest.raises(training.NonFiniteLoss, match=message) as error:
        training.train_epoch(
            net, made, lambda y_hat, y: loss(y_hat, y) + next(losses), lambda N: None, CPUS[:num_devices], guard
        )
    before = [loss(net(X), y).mean().asscalar() for X, y in made[:place]]
    told = re.search(message, str(error.value))[1]
    assert told == "none" if not before else float(told) == pytest.approx(before[-1], abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(N=st.integers(1, 20), D=st.integers(1, 6))
def test_a_batch_is_divided_evenly_in_its_order(N, D):
    X, y = nd.arange(2 * N).reshape((N, 2)), nd.arange(N, dtype="int32")
    parts = supervised.divide(X, y, CPUS[:D])
    assert [(part.X.context, part.y.context) for part in parts] == [(device, device) for device in CPUS[:D]]
    counting = [part for part in parts if part.counts]
    assert len(counting) == min(N, D)
    assert [row for part in counting for row in part.X.asnumpy().tolist()] == X.asnumpy().tolist()
    assert [label for part in counting for label in part.y.asnumpy()] == list(range(N))
    sizes = [len(part.X) for part in counting]
    assert max(sizes) - min(sizes) <= 1
    for part in parts[len(counting) :]:
        assert (part.X.asnumpy().tolist(), part.y.asnumpy().tolist()) == ([[2 * N - 2, 2 * N - 1]], [N - 1])


@pytest.mark.parametrize(
    ("N", "D", "sizes"),
    [(6, 1, [6]), (6, 2, [3, 3]), (10, 3, [3, 4, 3]), (3, 3, [1, 1, 1]), (2, 3, [1, 1, 1]), (1, 2, [1, 1])],
)
def test_the_devices_shares_by_hand(N, D, sizes):
    parts = supervised.divide(nd.zeros((N, 2)), nd.zeros(N), CPUS[:D])
    assert [len(part.y) for part in parts] == sizes
    assert [part.counts for part in parts] == [i < N for i in range(D)]


def test_the_rows_keep_their_dtype_and_the_labels_become_float32():
    (part,) = supervised.divide(nd.ones((2, 3), dtype="int32"), nd.ones(2, dtype="int64"), CPUS[:1])
    assert (part.X.dtype, part.y.dtype) == (np.int32, np.float32)


# Plain descent


def with_gradient(value, gradient, ctx=None):
    param = nd.array(value, ctx=ctx)
    param.attach_grad()
    param.grad[:] = nd.array(gradient, ctx=ctx)
    return param


def test_a_step_of_descent_by_hand():
    params = [with_gradient([1.0, 2.0], [4.0, -8.0]), with_gradient([[3.0]], [[0.0]])]
    assert training.sgd(params, lr=0.5, batch_size=4) is None
    assert [param.asnumpy().tolist() for param in params] == [[0.5, 3.0], [[3.0]]]


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_a_step_of_descent_equals_gluons(batch_size):
    param, slope = gluon.Parameter("w", shape=(3, 4)), np.random.default_rng(0).normal(size=(3, 4))
    param.initialize()
    before = param.data().asnumpy()
    own = with_gradient(before, slope)
    with autograd.record():
        l = (param.data() * nd.array(slope)).sum()
    l.backward()
    gluon.Trainer([param], "sgd", {"learning_rate": 0.3}).step(batch_size)
    training.sgd([own], 0.3, batch_size)
    assert np.abs(own.asnumpy() - before).max() > 1e-4
    np.testing.assert_allclose(own.asnumpy(), param.data().asnumpy(), atol=1e-6)


def test_descent_keeps_the_array_and_its_gradient_buffer():
    """Else the next backward pass would write where nobody looks."""
    w = with_gradient([1.0, -2.0], [0.0, 0.0])
    buffer = w.grad
    for expected in ([0.5, -1.0], [0.25, -0.5]):
        with autograd.record():
            l = (w * w).sum()
        l.backward()
        training.sgd([w], lr=0.25, batch_size=1)
        assert w.asnumpy().tolist() == expected
    assert buffer.asnumpy().tolist() == w.grad.asnumpy().tolist() == [1, -2]


def test_descent_works_on_each_parameters_device():
    w = with_gradient([1.0], [1.0], ctx=CPUS[2])
    training.sgd([w], 0.25, 1)
    assert (w.context, w.asscalar()) == (CPUS[2], 0.75)


def test_no_parameters_are_nothing_to_descend():
    assert training.sgd([], 0.1, 1) is None


# An evaluation


def slow_evaluation(net, given):
    """Example by example, and pixel by pixel, on the first device: a loss a label."""
    loss, correct, labels = 0.0, 0, 0
    for X, y in given:
        outputs, kinds = net(X).asnumpy().astype(float), y.asnumpy().astype(int)
        for place in np.ndindex(kinds.shape):
            scores = outputs[(place[0], slice(None), *place[1:])]
            loss -= scores[kinds[place]] - np.log(np.exp(scores).sum())
            correct += int(np.argmax(scores) == kinds[place])
            labels += 1
    return loss, labels, correct, labels


def sum_over_labels(outputs, y):
    return -nd.pick(nd.log_softmax(outputs, axis=1), y, axis=1)


@pytest.mark.parametrize("num_devices", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32"])
def test_an_evaluation_equals_a_loop_over_single_examples(num_devices, dtype):
    devices, loss = CPUS[:num_devices], gluon.loss.SoftmaxCrossEntropyLoss()
    net = network(devices)
    expected = slow_evaluation(net, batches())
    sums = supervised.evaluate(iter(batches(dtype=dtype)), net, loss, devices)
    assert tuple(sums) == (pytest.approx(expected[0], rel=1e-5), *expected[1:])
    assert 0 < sums.correct < sums.labels == sum(SIZES)
    assert (type(sums.loss), type(sums.correct)) == (float, int)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_an_evaluation_of_a_class_at_every_pixel(num_devices):
    """A loss an element of which belongs to each pixel; and Gluon's, of which one belongs to each picture."""
    devices, generator = CPUS[:num_devices], np.random.default_rng(2)
    mx.random.seed(0)
    net = gluon.nn.Conv2D(K, kernel_size=1, in_channels=3)
    net.initialize(mx.init.Normal(1), ctx=devices)
    drawn = [(generator.normal(size=(N, 3, 2, 5)), generator.integers(0, K, (N, 2, 5))) for N in (4, 1)]
    pictures = [(nd.array(X), nd.array(y, dtype="int32")) for X, y in drawn]
    loss, labels, correct, _ = slow_evaluation(net, pictures)
    assert 0 < correct < labels == 50
    assert tuple(supervised.evaluate(pictures, net, sum_over_labels, devices)) == (
        pytest.approx(loss, rel=1e-5), 50, correct, 50,
    )  # fmt: skip
    sums = supervised.evaluate(pictures, net, gluon.loss.SoftmaxCrossEntropyLoss(axis=1), devices)
    assert tuple(sums) == (pytest.approx(loss / 10, rel=1e-5), 5, correct, 50)


def test_an_evaluation_predicts_and_changes_nothing():
    modes, net, loss = [], network(CPUS[:1]), gluon.loss.SoftmaxCrossEntropyLoss()
    net.add(gluon.nn.BatchNorm(in_channels=K), gluon.nn.Dropout(0.5))
    net.initialize()  # of the new layers; the others say that they are

    def watched(X):
        modes.append((autograd.is_training(), autograd.is_recording()))
        return net(X)

    def bits():
        return [param.data().asnumpy().tobytes() for param in net.collect_params().values()]

    before = bits()
    assert len({supervised.evaluate(batches(), watched, loss, CPUS[:1]) for _ in range(3)}) == 1
    assert set(modes) == {(False, False)}
    assert bits() == before


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_evaluation_tells_a_loss_that_is_not_finite(value):
    net, loss = network(CPUS[:1]), gluon.loss.SoftmaxCrossEntropyLoss()
    values = iter([0, value, 0, 0])
    sums = supervised.evaluate(batches(), net, lambda y_hat, y: loss(y_hat, y) + next(values), CPUS[:1])
    assert str(sums.loss) == str(value)
    assert sums.labels == sum(SIZES)


def test_an_evaluations_loss_gets_labels_of_float32_on_its_device():
    seen, net, loss = [], network(CPUS[:2]), gluon.loss.SoftmaxCrossEntropyLoss()

    def watched(output, y):
        seen.append((output.context, y.context, y.dtype, len(y)))
        return loss(output, y)

    supervised.evaluate(batches((8, 1), dtype="uint8"), net, watched, CPUS[:2])
    shares = [(CPUS[0], 4), (CPUS[1], 4), (CPUS[0], 1)]  # a row that the second device only repeats is not asked for
    assert seen == [(device, device, np.float32, rows) for device, rows in shares]


@pytest.mark.parametrize(("labels", "message"), WRONG)
def test_an_evaluation_refuses_a_label_that_is_no_class(labels, message):
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        supervised.evaluate([(nd.ones((4, d)), nd.array(labels))], network(CPUS[:1]), loss, CPUS[:1])


@pytest.mark.parametrize(("rows", "labels"), [(3, 2), (0, 0)])
def test_an_evaluation_refuses_a_batch_of_unequal_lengths_or_of_nothing(rows, labels):
    message = f"a batch must have as many labels as rows, at least 1; got {rows} rows, {labels} labels"
    with pytest.raises(ValueError, match=f"^{message}$"):
        supervised.evaluate([(np.zeros((rows, d)), np.zeros(labels))], network(CPUS[:1]), sum_over_labels, CPUS[:1])
