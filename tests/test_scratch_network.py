"""Networks of scratch layers train as Gluon's do, step for step, and stop where the loss is no number."""

import math
from functools import partial

import numpy as np
import pytest

from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.scratch import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Layer,
    MaxPool2D,
    Network,
    ReLU,
    Sigmoid,
    Tanh,
    adam,
    momentum,
    nesterov,
    quadratic,
    softmax_cross_entropy,
    train,
    weights,
)
from gluonbook.training import NonFiniteLoss


class Seen(Layer):
    """Note every batch that passes in training."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, X, train=False):
        if train:
            self.batches.append(X.copy())
        return X

    def backward(self, dY):
        return dY


class Heard(Layer):
    """Note what it is given, and whether in training."""

    def __init__(self):
        super().__init__()
        self.trains, self.inputs = [], []

    def forward(self, X, train=False):
        self.trains.append(train)
        self.inputs.append(X.copy())
        return X

    def backward(self, dY):
        return dY


def dense(D, K, rng, kind="xavier"):
    return Dense(weights((D, K), kind, rng), np.zeros(K))


def blobs(n=60, K=3, seed=0):
    """Clouds around the corners of a triangle."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % K
    angles = 2 * np.pi * labels / K
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * 2 + rng.normal(size=(n, 2)) * 0.4, labels


def small(seed=0, extra=()):
    rng = np.random.default_rng(seed)
    return Network([dense(2, 8, rng), *extra, ReLU(), dense(8, 3, rng)])


def all_params(net):
    return [param for layer in net.layers for param in layer.params.values()]


def test_layers_are_passed_in_order_and_back_in_reverse():
    net = Network([Dense([[2.0]], [1.0]), Dense([[10.0]], [0.5])])
    assert net.forward(np.array([[3.0]])).tolist() == [[70.5]]
    assert net.backward(np.array([[1.0]])).tolist() == [[20]]
    assert (net.layers[0].grads["W"].tolist(), net.layers[1].grads["W"].tolist()) == ([[30]], [[7]])


@pytest.mark.parametrize("training", [True, False])
def test_every_layer_hears_whether_this_is_training(training):
    heard = [Heard(), Heard()]
    Network(heard).forward(np.zeros((1, 1)), training)
    assert [layer.trains for layer in heard] == [[training]] * 2


def test_a_deep_networks_gradients_equal_numeric_differences():
    rng = np.random.default_rng(0)
    net = Network(
        [
            Conv2D(rng.normal(size=(3, 2, 3, 3)) * 0.4, rng.normal(size=3), padding=1),
            BatchNorm(rng.uniform(0.5, 2, 3), rng.normal(size=3)),
            Tanh(),
            MaxPool2D(2),
            Dense(rng.normal(size=(12, 5)) * 0.5, rng.normal(size=5)),
            Sigmoid(),
            Dense(rng.normal(size=(5, 4)), rng.normal(size=4)),
        ]
    )
    X, labels = rng.normal(size=(3, 2, 4, 4)), np.array([0, 3, 1])

    def loss():
        return softmax_cross_entropy(net.forward(X, train=True), labels)[0]

    dX = net.backward(softmax_cross_entropy(net.forward(X, train=True), labels)[1])
    grads = [layer.grads[name].copy() for layer in net.layers for name in layer.params]
    for array, gradient in zip([X, *all_params(net)], [dX, *grads]):
        assert gradient.shape == array.shape
        for place in np.ndindex(array.shape):
            value, sides = array[place], []
            for moved in (value + 1e-6, value - 1e-6):
                array[place] = moved
                sides.append(loss())
            array[place] = value
            assert gradient[place] == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-4, abs=1e-8)


def test_accuracy_is_the_share_of_right_answers_at_prediction():
    X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [5.0, 9.0]])
    net = Network([Dropout(0.9, np.random.default_rng(0)), Dense(np.eye(2), np.zeros(2))])
    assert net.accuracy(X, np.array([0, 1, 1, 1])) == 0.75
    assert net.accuracy(X, [1, 0, 1, 0]) == 0


def test_a_network_keeps_its_own_list_of_layers():
    layers = [ReLU()]
    net = Network(layers)
    layers.append(Tanh())
    assert len(net.layers) == 1


def test_a_network_without_layers_is_refused():
    with pytest.raises(ValueError, match=r"^a network needs at least one layer, got none$"):
        Network([])


@pytest.mark.parametrize("seed", range(4))
def test_training_falls_and_fits(seed):
    """Over eight seeds the first loss was 0.49 at least, the last one 0.017 at most."""
    X, labels = blobs(seed=seed)
    net = small(seed)
    epochs = list(train(net, X, labels, num_epochs=25, lr=0.3, batch_size=8, seed=seed))
    assert [epoch.number for epoch in epochs] == list(range(1, 26))
    losses = [epoch.loss for epoch in epochs]
    assert losses[-1] < 0.1 < 0.3 < losses[0]
    assert net.accuracy(X, labels) == 1


def test_training_goes_on_as_the_caller_asks_for_epochs():
    X, labels = blobs()
    net = small()
    before = all_params(net)[0].copy()
    epochs = train(net, X, labels, 2, 0.2)
    np.testing.assert_array_equal(all_params(net)[0], before)
    assert next(epochs).number == 1
    assert (all_params(net)[0] != before).any()


def test_an_epochs_loss_is_the_mean_of_its_batches_losses():
    X, labels = blobs(n=10)
    net = small()
    seen = Seen()
    net.layers.insert(0, seen)
    (epoch,) = train(net, X, labels, 1, lr=1e-15, batch_size=4)  # as good as no step
    assert [len(batch) for batch in seen.batches] == [4, 4, 2]
    losses = [softmax_cross_entropy(net.forward(batch), labels_of(batch, X, labels))[0] for batch in seen.batches]
    assert epoch.loss == pytest.approx(np.mean(losses), rel=1e-9)


def labels_of(batch, X, labels):
    """The labels of a batch's examples, which are found by their values."""
    rows = [int(np.flatnonzero((X.reshape(len(X), -1) == x.ravel()).all(axis=1))[0]) for x in batch]
    return labels[rows]


@pytest.mark.parametrize(("batch_size", "sizes"), [(4, [4, 4, 2]), (5, [5, 5]), (10, [10]), (99, [10]), (1, [1] * 10)])
def test_every_example_is_in_one_batch_an_epoch_in_an_order_of_its_own(batch_size, sizes):
    X, labels = blobs(n=10)
    seen = Seen()
    net = small()
    net.layers.insert(0, seen)
    list(train(net, X, labels, 2, 0.1, batch_size=batch_size))
    assert [len(batch) for batch in seen.batches] == sizes * 2
    epochs = [np.concatenate(seen.batches[: len(sizes)]), np.concatenate(seen.batches[len(sizes) :])]
    for epoch in epochs:
        assert sorted(map(tuple, epoch)) == sorted(map(tuple, X))
    assert (epochs[0] != X).any()
    assert (epochs[0] != epochs[1]).any()


def test_a_seed_gives_the_same_numbers_and_another_seed_others():
    X, labels = blobs()
    runs = []
    for seed in (3, 3, 4):
        net = small()
        losses = [epoch.loss for epoch in train(net, X, labels, 3, 0.1, batch_size=7, seed=seed)]
        runs.append((losses, np.concatenate([param.ravel() for param in all_params(net)]).tolist()))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


@pytest.mark.parametrize("weight_decay", [0.0, 0.25])
def test_training_equals_a_gluon_trainers_step_for_step(weight_decay):
    """The same weights, the same batches; Gluon's biases are spared the decay by their ``wd_mult``.

    Its learning rate and decay pass through float32: numbers that it has exactly.
    """
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(11, 2, 6, 6)), rng.integers(0, 3, 11)
    W, b = rng.normal(size=(4, 2, 3, 3)) * 0.3, rng.normal(size=4)
    W2, b2 = rng.normal(size=(16, 3)) * 0.3, rng.normal(size=3)
    seen = Seen()
    ours = Network([seen, Conv2D(W, b), ReLU(), MaxPool2D(2), Dense(W2, b2)])
    losses = [epoch.loss for epoch in train(ours, X, labels, 3, 0.25, batch_size=4, weight_decay=weight_decay)]
    theirs = gluon.nn.Sequential()
    theirs.add(
        gluon.nn.Conv2D(4, 3, in_channels=2),
        gluon.nn.Activation("relu"),
        gluon.nn.MaxPool2D(2),
        gluon.nn.Dense(3, in_units=16),
    )
    theirs.cast("float64")
    theirs.initialize()
    params = [theirs[0].weight, theirs[0].bias, theirs[3].weight, theirs[3].bias]
    for param, value in zip(params, (W, b, W2.T, b2)):
        param.set_data(nd.array(value, dtype="float64"))
    for bias in params[1::2]:
        bias.wd_mult = 0
    trainer = gluon.Trainer(theirs.collect_params(), "sgd", {"learning_rate": 0.25, "wd": weight_decay})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    means = []
    for batch in seen.batches:
        y = nd.array(labels_of(batch, X, labels), dtype="float64")
        with autograd.record():
            mean = loss(theirs(nd.array(batch, dtype="float64")), y).mean()
        mean.backward()
        trainer.step(1)
        means.append(mean.asscalar())
    assert len(means) == 9
    np.testing.assert_allclose(losses, np.reshape(means, (3, 3)).mean(axis=1), rtol=1e-10)
    for param, value in zip(params, all_params(ours)):
        right = param.data().asnumpy()
        np.testing.assert_allclose(value, right if right.ndim != 2 else right.T, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("rule", "name", "settings"),
    [
        (partial(momentum, mu=0.875), "sgd", {"momentum": 0.875}),
        (partial(nesterov, mu=0.875), "nag", {"momentum": 0.875}),
        (
            partial(adam, beta1=0.75, beta2=0.9375, epsilon=2.0**-10),
            "adam",
            {"beta1": 0.75, "beta2": 0.9375, "epsilon": 2.0**-10},
        ),
    ],
)
def test_training_by_another_rule_and_loss_equals_a_gluon_trainers_step_for_step(rule, name, settings):
    """What a rule keeps lasts from batch to batch and from epoch to epoch; Adam's rate passes through float32."""
    rng = np.random.default_rng(0)
    X, targets = rng.normal(size=(11, 4)), rng.normal(size=(11, 2))
    W, b, W2, b2 = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(3, 2)), rng.normal(size=2)
    seen = Seen()
    ours = Network([seen, Dense(W, b), Tanh(), Dense(W2, b2)])
    losses = [epoch.loss for epoch in train(ours, X, targets, 3, 0.125, batch_size=4, loss=quadratic, rule=rule)]
    theirs = gluon.nn.Sequential()
    theirs.add(gluon.nn.Dense(3, in_units=4, activation="tanh"), gluon.nn.Dense(2, in_units=3))
    theirs.cast("float64")
    theirs.initialize()
    params = [theirs[0].weight, theirs[0].bias, theirs[1].weight, theirs[1].bias]
    for param, value in zip(params, (W, b, W2, b2)):
        param.set_data(nd.array(value.T, dtype="float64"))
    trainer = gluon.Trainer(theirs.collect_params(), name, {"learning_rate": 0.125, **settings})
    means = []
    for batch in seen.batches:
        y = nd.array(labels_of(batch, X, targets), dtype="float64")
        with autograd.record():
            mean = ((theirs(nd.array(batch, dtype="float64")) - y) ** 2).sum() / 2 / len(batch)
        mean.backward()
        trainer.step(1)
        means.append(mean.asscalar())
    tolerance = 1e-5 if name == "adam" else 1e-9
    np.testing.assert_allclose(losses, np.reshape(means, (3, 3)).mean(axis=1), rtol=tolerance)
    for param, value in zip(params, all_params(ours)):
        np.testing.assert_allclose(value, param.data().asnumpy().T, rtol=tolerance, atol=tolerance)


def test_the_loss_is_given_outputs_and_the_labels_of_their_rows():
    X, given = np.arange(5.0)[:, None], []

    def loss(outputs, labels):
        given.append((outputs.ravel().tolist(), labels.tolist()))
        return 7.0, np.zeros_like(outputs)

    labels = [[x, -x] for x in range(5)]
    (epoch,) = train(Network([Dense([[2.0]], [1.0])]), X, labels, 1, 0.1, batch_size=2, loss=loss)
    assert [len(outputs) for outputs, _ in given] == [2, 2, 1]
    assert all(labels == [[(y - 1) / 2, (1 - y) / 2] for y in outputs] for outputs, labels in given)
    assert epoch.loss == 7


def test_l1_shrinks_a_weight_by_as_much_each_step_whatever_its_size_and_spares_biases():
    """The loss has no gradient here: one step an epoch by the penalty alone."""
    net = Network([Dense([[4.0, -1.0, 0.0]], [1.0, 1.0, 1.0])])

    def flat(outputs, labels):
        return 0.0, np.zeros_like(outputs)

    found = []
    for _ in train(net, np.ones((2, 1)), [0, 0], 3, lr=0.25, loss=flat, l1=0.5):
        found.append(net.layers[0].params["W"].ravel().tolist())
    assert found == [[3.875, -0.875, 0], [3.75, -0.75, 0], [3.625, -0.625, 0]]
    assert net.layers[0].params["b"].tolist() == [1, 1, 1]


def test_loss_rule_and_l1_are_given_by_name_alone():
    X, labels = blobs()
    with pytest.raises(TypeError, match="positional arguments"):
        train(small(), X, labels, 1, 0.1, 8, 0.0, 0, softmax_cross_entropy)


@pytest.mark.parametrize("penalty", ["l1", "weight_decay"])
def test_an_epochs_loss_has_no_penalty_in_it(penalty):
    X, labels = blobs()
    plain, penalised = (
        next(train(small(), X, labels, 1, lr=1e-12, batch_size=60, **{penalty: value})).loss for value in (0, 100.0)
    )
    assert penalised == pytest.approx(plain, rel=1e-9)


def test_training_makes_use_of_dropout_and_batch_statistics():
    X, labels = blobs()
    dropout, norm, heard = Dropout(0.5, np.random.default_rng(0)), BatchNorm(np.ones(8), np.zeros(8)), Heard()
    list(train(small(extra=[norm, dropout, heard]), X, labels, 1, 0.1))
    assert norm.running_mean.any()
    assert heard.trains == [True] * 2
    assert all(0.3 < (X == 0).mean() < 0.7 for X in heard.inputs)


def test_a_float32_network_stays_float32():
    X, labels = blobs()
    rng = np.random.default_rng(0)
    net = Network(
        [
            Dense(weights((2, 8), "he", rng).astype("float32"), np.zeros(8, "float32")),
            ReLU(),
            Dense(weights((8, 3), "he", rng).astype("float32"), np.zeros(3, "float32")),
        ]
    )
    epochs = list(train(net, X.astype("float32"), labels, 25, 0.3, batch_size=8))
    assert {param.dtype for param in all_params(net)} == {np.dtype("float32")}
    assert epochs[-1].loss < 0.1


def test_claim_7_4_a_diverging_run_names_epoch_batch_and_learning_rate():
    X, labels = blobs()
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            NonFiniteLoss,
            match=r"^the loss is (nan|inf) at epoch [1-9], batch [12], learning rate 1e\+200; last finite",
        ),
    ):
        list(train(small(), X, labels, 9, lr=1e200))


def test_a_run_that_starts_from_nan_stops_in_epoch_1_batch_1():
    X, labels = blobs()
    X[:] = math.nan
    with pytest.raises(NonFiniteLoss, match=r"^the loss is nan at epoch 1, batch 1, learning rate 0\.5; last finite"):
        list(train(small(), X, labels, 1, lr=0.5))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ({"num_epochs": 1.5}, TypeError, r"num_epochs must be a whole number, got 1\.5 \(float\)"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"lr": 0}, ValueError, "lr must be above 0, got 0"),
        ({"weight_decay": -0.1}, ValueError, r"weight_decay must be at least 0, got -0\.1"),
        ({"l1": -0.1}, ValueError, r"l1 must be at least 0, got -0\.1"),
        ({"rule": partial(momentum, mu=1)}, ValueError, "mu must be at least 0 and below 1, got 1"),
    ],
)
def test_training_refuses_wrong_arguments(settings, error, message):
    X, labels = blobs()
    arguments = {"num_epochs": 1, "lr": 0.1, **settings}
    with pytest.raises(error, match=f"^{message}$"):
        next(train(small(), X, labels, **arguments))


@pytest.mark.parametrize("count", [0, 59, 61])
def test_as_many_labels_as_examples_are_wanted(count):
    X, _ = blobs()
    with pytest.raises(ValueError, match=f"^X and labels must be equally many, at least 1; got 60 and {count}$"):
        next(train(small(), X, np.zeros(count, int), 1, 0.1))


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match=r"^X and labels must be equally many, at least 1; got 0 and 0$"):
        next(train(small(), np.zeros((0, 2)), [], 1, 0.1))


def test_a_label_that_is_no_class_is_refused():
    X, labels = blobs()
    labels[7] = 3
    with pytest.raises(ValueError, match=r"^labels\[\d+\] must be from 0 to 2, got 3$"):
        list(train(small(), X, labels, 1, 0.1))
