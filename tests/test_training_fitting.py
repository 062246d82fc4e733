"""`training.fit` equals a slow loop; its learning rate and its end follow tables of validation accuracies by hand."""

import math
import re
import time

import numpy as np
import pytest
import tqdm.auto

from gluonbook import training
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.training import Plateau, fit

CPUS = [mx.cpu(0), mx.cpu(1)]
d, K = 3, 4
KEYS = ["epoch", "lr", "loss", "accuracy", "valid_loss", "valid_accuracy", "update_ratios", "seconds"]
cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()


def batches(sizes, seed=0):
    generator = np.random.default_rng(seed)
    drawn = [(generator.normal(size=(N, d)), generator.integers(0, K, N)) for N in sizes]
    return [(nd.array(X), nd.array(y, dtype="int32")) for X, y in drawn]


TRAIN, VALID = batches((8, 5, 1), seed=0), batches((6, 3), seed=1)


def network(devices=CPUS[:1], norm=True):
    """With statistics that differ between training and prediction, unless ``norm`` is False."""
    mx.random.seed(0)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(5, in_units=d, activation="tanh"))
    if norm:
        net.add(gluon.nn.BatchNorm(in_channels=5))
    net.add(gluon.nn.Dense(K, in_units=5))
    net.initialize(mx.init.Xavier(), ctx=devices)
    return net


def trainer_of(net, lr=0.3, name="sgd", **hyper):
    return gluon.Trainer(net.collect_params(), name, {"learning_rate": lr, **hyper})


def named(net):
    """Return the parameters that learn by their place in the net: 0.weight, 0.bias, …"""
    names = ("weight", "bias", "gamma", "beta")
    found = {f"{i}.{name}": getattr(layer, name, None) for i, layer in enumerate(net) for name in names}
    return {name: param for name, param in found.items() if param is not None and param.grad_req != "null"}


def norm(array):
    return math.sqrt(sum(float(value) ** 2 for value in array.ravel()))


def slow_fit(net, trainer, num_epochs, train=TRAIN, valid=VALID):
    """Epoch by epoch and example by example, on one device; ratios of all parameters."""
    history = []
    for epoch in range(1, num_epochs + 1):
        lr, losses, hits, ratios = trainer.learning_rate, [], [], {name: [] for name in named(net)}
        for X, y in train:
            with autograd.record():
                outputs = net(X)
                l = cross_entropy(outputs, y)
            l.backward()
            before = {name: param.data().asnumpy() for name, param in named(net).items()}
            trainer.step(len(X))
            for name, param in named(net).items():
                if before[name].any():
                    ratios[name].append(norm(param.data().asnumpy() - before[name]) / norm(before[name]))
            losses += l.asnumpy().tolist()
            hits += hits_of(outputs, y)
        valid_losses, valid_hits = [], []
        for X, y in valid:
            valid_losses += cross_entropy(net(X), y).asnumpy().tolist()
            valid_hits += hits_of(net(X), y)
        values = [epoch, lr, *(sum(values) / len(values) for values in (losses, hits, valid_losses, valid_hits))]
        mean = {name: sum(found) / len(found) for name, found in ratios.items()}
        history.append(dict(zip(KEYS, [*values, mean, None])))
    return history


def hits_of(outputs, y):
    rows = zip(outputs.asnumpy().tolist(), y.asnumpy().tolist())
    return [max(range(K), key=row.__getitem__) == label for row, label in rows]


def assert_equal(history, expected, tracked=False, rel=1e-5):
    assert len(history) == len(expected)
    for entry, right in zip(history, expected):
        assert list(entry) == KEYS
        assert (entry["epoch"], entry["lr"]) == (right["epoch"], right["lr"])
        assert (entry["accuracy"], entry["valid_accuracy"]) == (right["accuracy"], right["valid_accuracy"])
        for key in ("loss", "valid_loss"):
            assert entry[key] == pytest.approx(right[key], rel=rel)
        assert entry["update_ratios"] == (pytest.approx(right["update_ratios"], rel=1e-4) if tracked else {})


def assert_same_weights(net, other, devices=CPUS[:1]):
    for param, right in zip(net.collect_params().values(), other.collect_params().values()):
        for device in devices:
            np.testing.assert_allclose(param.data(device).asnumpy(), right.data().asnumpy(), atol=1e-5)


# ---- the history ----


@pytest.mark.parametrize("hybridized", [False, True])
@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize(("name", "hyper"), [("sgd", {"lr": 0.3, "momentum": 0.9}), ("adam", {"lr": 0.01})])
def test_the_history_is_that_of_a_slow_loop(name, hyper, tracked, hybridized):
    """Batches of 8, 5 and 1: a mean of the batches' means would be another number."""
    slow, net = network(), network()
    expected = slow_fit(slow, trainer_of(slow, name=name, **hyper), 4)
    if hybridized:
        net.hybridize()
    history = fit(net, TRAIN, VALID, cross_entropy, trainer_of(net, name=name, **hyper), 4, track_updates=tracked)
    assert_equal(history, expected, tracked)
    assert_same_weights(net, slow)
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4]
    assert len({entry["valid_loss"] for entry in history}) == 4  # it did learn


@pytest.mark.parametrize("hybridized", [False, True])
@pytest.mark.parametrize("devices", [CPUS, [mx.cpu(2), mx.cpu(1), mx.cpu(0)]], ids=len)
def test_several_devices_give_the_history_of_one(devices, hybridized):
    """The last batch has one row, fewer than there are devices."""
    slow, net = network(norm=False), network(devices, norm=False)
    expected = slow_fit(slow, trainer_of(slow, momentum=0.9), 3)
    if hybridized:
        net.hybridize()
    trainer = trainer_of(net, momentum=0.9)
    history = fit(net, TRAIN, VALID, cross_entropy, trainer, 3, devices=devices, track_updates=True)
    assert_equal(history, expected, tracked=True)
    assert_same_weights(net, slow, devices)


def test_without_devices_the_cpu_is_taken():
    for devices in (None, []):
        net = network()
        assert len(fit(net, TRAIN, VALID, cross_entropy, trainer_of(net), 1, devices=devices)) == 1


def test_a_net_on_another_device_is_trained_there():
    slow, net = network(), network([mx.cpu(3)])
    expected = slow_fit(slow, trainer_of(slow), 2)
    trainer = trainer_of(net)
    history = fit(net, TRAIN, VALID, cross_entropy, trainer, 2, devices=[mx.cpu(3)], track_updates=True)
    assert_equal(history, expected, tracked=True)


def test_the_seconds_are_those_of_each_epoch():
    net, start = network(), time.perf_counter()
    history = fit(net, TRAIN, VALID, cross_entropy, trainer_of(net), 3)
    assert min(entry["seconds"] for entry in history) > 0
    assert sum(entry["seconds"] for entry in history) <= time.perf_counter() - start


def test_a_schedulers_rate_is_in_the_history():
    """Three steps an epoch: before the first of each, 0, 3 and 6 have been made."""
    net = network()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"lr_scheduler": lambda step: 1 / (1 + step)})
    history = fit(net, TRAIN, VALID, cross_entropy, trainer, 3, patience=5)
    assert [entry["lr"] for entry in history] == [1, 1 / 4, 1 / 7]


def test_the_steps_are_on_means():
    """A batch that is there twice, as one of twice as many rows, teaches the same."""
    ((X, y),) = batches((4,))
    twice = [(nd.concat(X, X, dim=0), nd.concat(y, y, dim=0))]
    one, two = network(norm=False), network(norm=False)
    fit(one, [(X, y)], VALID, cross_entropy, trainer_of(one), 3)
    fit(two, twice, VALID, cross_entropy, trainer_of(two), 3)
    assert_same_weights(one, two)


# ---- ‖Δw‖ / ‖w‖ ----


def slope(outputs, y):
    """A loss that is an example's first output: the gradient of the first row of weights is the sum of the inputs."""
    return outputs[:, 0]


def weights_only(rows):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(2, in_units=1, use_bias=False))
    net.initialize()
    net[0].weight.set_data(nd.array(rows))
    return net


def test_an_update_ratio_by_hand():
    """w = (3, 4), ‖w‖ = 5. Two steps of 0.5 down the first of them: 0.5/5, then 0.5/‖(2.5, 4)‖."""
    net, one = weights_only([[3], [4]]), [(nd.ones((1, 1)), nd.zeros(1))] * 2
    history = fit(net, one, one, slope, trainer_of(net, 0.5), 2, track_updates=True)
    expected = [[0.5 / math.hypot(w, 4) for w in pair] for pair in ((3, 2.5), (2, 1.5))]
    for entry, pair in zip(history, expected):
        assert entry["update_ratios"] == {"0.weight": pytest.approx(sum(pair) / 2, rel=1e-6)}
    assert net[0].weight.data().asnumpy().ravel().tolist() == [1, 4]


def test_a_parameter_that_is_0_has_no_ratio_at_that_step():
    """Biases begin at 0. Three steps of 0.5: none, 0.5/0.5, 0.5/1."""
    net, one = weights_only([[0], [0]]), [(nd.ones((1, 1)), nd.zeros(1))] * 3
    history = fit(net, one, one, slope, trainer_of(net, 0.5), 1, track_updates=True)
    assert history[0]["update_ratios"] == {"0.weight": pytest.approx((1 + 0.5) / 2)}


def test_a_parameter_that_stays_0_has_no_ratio_at_all():
    net, one = weights_only([[0], [0]]), [(nd.ones((1, 1)), nd.zeros(1))]
    net[0].weight.lr_mult = 0
    history = fit(net, one, one, slope, trainer_of(net, 0.5), 1, track_updates=True)
    assert list(history[0]["update_ratios"]) == ["0.weight"]
    assert math.isnan(history[0]["update_ratios"]["0.weight"])


def test_a_parameter_that_stands_still_has_the_ratio_0():
    net, one = weights_only([[3], [4]]), [(nd.ones((1, 1)), nd.zeros(1))]
    net[0].weight.lr_mult = 0
    history = fit(net, one, one, slope, trainer_of(net, 0.5), 1, track_updates=True)
    assert history[0]["update_ratios"] == {"0.weight": 0}


def test_what_does_not_learn_is_not_tracked():
    net = network()
    net[0].weight.grad_req = "null"
    (entry,) = fit(net, TRAIN, VALID, cross_entropy, trainer_of(net), 1, track_updates=True)
    assert sorted(entry["update_ratios"]) == ["0.bias", "1.beta", "1.gamma", "2.bias", "2.weight"]


def test_shapes_may_be_deferred_when_updates_are_tracked():
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(K))
    net.initialize()
    (entry,) = fit(net, TRAIN, VALID, cross_entropy, trainer_of(net), 1, track_updates=True)
    assert sorted(entry["update_ratios"]) == ["0.bias", "0.weight"]


# ---- a plateau, and the end ----


class Scripted:
    """Batches of 8 labels of which as many are 0 as the script says, one number a pass."""

    def __init__(self, eighths):
        self.script = iter(eighths)

    def __iter__(self):
        right = next(self.script)
        yield nd.ones((8, 1)), nd.array([0] * right + [1] * (8 - right))


def run(eighths, lr=1.0, **how):
    """Train a net that says 0 whatever it is asked, for as many epochs as there are numbers."""
    net = weights_only([[50], [-50]])
    trainer, train = trainer_of(net, lr), [(nd.ones((2, 1)), nd.zeros(2))]
    history = fit(net, train, Scripted(eighths), cross_entropy, trainer, len(eighths), **how)
    assert [8 * entry["valid_accuracy"] for entry in history] == eighths[: len(history)]
    return history, trainer


@pytest.mark.parametrize(
    ("eighths", "patience", "rates"),
    [
        ([4, 5, 6, 7, 8], 1, [1, 1, 1, 1, 1, 1]),
        ([4, 4, 4, 5, 5, 3], 1, [1, 1, 1 / 2, 1 / 4, 1 / 4, 1 / 8, 1 / 16]),
        ([4, 5, 5, 5, 5, 5, 6, 6, 6], 2, [1, 1, 1, 1, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 4, 1 / 8]),
        ([4, 3, 4, 4, 4], 2, [1, 1, 1, 1 / 2, 1 / 2, 1 / 4]),  # as good as the best is not better
        ([6, 2, 3, 4, 5], 2, [1, 1, 1, 1 / 2, 1 / 2, 1 / 4]),  # nor is better than the epoch before
        ([4, 3, 3, 5, 5, 5, 5, 4], 3, [1, 1, 1, 1, 1, 1, 1, 1 / 2, 1 / 2]),  # a better one begins the count anew
        ([0, 0, 0], 2, [1, 1, 1, 1 / 2]),
        ([4], 1, [1, 1]),
    ],
)
def test_the_rate_falls_when_validation_has_stalled_for_so_many_epochs(eighths, patience, rates):
    """The last of the rates is that which a further epoch would have had."""
    history, trainer = run(eighths, plateau=Plateau(2.0, patience))
    assert [*(entry["lr"] for entry in history), trainer.learning_rate] == rates


def test_the_rate_is_divided_by_the_factor():
    history, trainer = run([4, 4, 4], lr=0.9, plateau=Plateau(3, patience=1))
    rates = [*(entry["lr"] for entry in history), trainer.learning_rate]
    assert rates == pytest.approx([0.9, 0.9, 0.3, 0.1], rel=1e-12)


def test_a_plateau_has_the_defaults_of_the_notes():
    assert tuple(Plateau()) == (2, 3)


def test_the_new_rate_is_the_trainers():
    """Of a step: w falls by lr/2 for two examples with a slope of 1 each, and a step is on their mean."""
    net, two = weights_only([[50], [-50]]), [(nd.ones((2, 1)), nd.zeros(2))]
    trainer, seen, before = trainer_of(net, 1.0), [], 50.0
    step = trainer.step

    def watched(batch_size):
        nonlocal before
        step(batch_size)
        now = float(net[0].weight.data()[0].asscalar())
        seen.append(before - now)
        before = now

    trainer.step = watched
    fit(net, two, Scripted([4, 4, 4, 4]), slope, trainer, 4, plateau=Plateau(4, patience=1))
    assert seen == [1, 1, 1 / 4, 1 / 16]


@pytest.mark.parametrize(
    ("eighths", "patience", "epochs"),
    [
        ([4, 5, 6, 7], 1, 4),
        ([4, 5, 5, 6], 1, 3),
        ([4, 4], 1, 2),
        ([4, 3, 5, 5, 5, 6], 2, 5),
        ([4, 3, 3, 5, 4, 4, 4, 8], 3, 7),
        ([6, 2, 3, 4, 5, 6], 3, 4),
        ([0, 0, 0, 0], 2, 3),
        ([4, 4, 4], 5, 3),
    ],
)
def test_training_stops_when_validation_has_stalled_for_so_many_epochs(eighths, patience, epochs):
    history, trainer = run(eighths, patience=patience)
    assert len(history) == epochs
    assert trainer.learning_rate == 1


def test_without_patience_training_goes_on():
    assert len(run([4] * 12)[0]) == 12


@pytest.mark.parametrize(
    ("eighths", "min_change", "patience", "epochs"),
    [
        ([1, 2, 3, 4, 5], 0, 1, 5),
        ([2, 3, 4, 5, 6], 1 / 8, 2, 5),  # 4/8 is by more than 1/8 better than the best that counted, 2/8
        ([2, 3, 4, 5, 6], 1 / 8, 1, 2),  # better by 1/8 exactly does not count
        ([2, 3, 3, 4, 8], 1 / 8, 2, 3),
        ([2, 3, 4, 5, 8], 3 / 8, 3, 4),
        ([8, 8, 8, 8], 2, 2, 3),  # the first always counts
    ],
)
def test_a_change_must_be_large_enough_to_count(eighths, min_change, patience, epochs):
    assert len(run(eighths, patience=patience, min_change=min_change)[0]) == epochs


def test_a_small_change_does_not_keep_the_rate_from_falling():
    history, _ = run([2, 3, 3, 4, 4], plateau=Plateau(2, patience=2), min_change=1 / 8)
    assert [entry["lr"] for entry in history] == [1, 1, 1, 1 / 2, 1 / 2]


@pytest.mark.parametrize(
    ("eighths", "patience", "plateau", "rates"),
    [
        ([4] * 8, 4, 2, [1, 1, 1, 1 / 2, 1 / 2, 1 / 2]),
        ([4] * 8, 2, 2, [1, 1, 1, 1]),  # it stops: no further fall
        ([4, 4, 4, 5, 5, 5, 5, 5], 3, 2, [1, 1, 1, 1 / 2, 1 / 2, 1 / 2, 1 / 4, 1 / 4]),
    ],
)
def test_the_rate_falls_first_and_then_training_stops(eighths, patience, plateau, rates):
    history, trainer = run(eighths, patience=patience, plateau=Plateau(2, plateau))
    assert [*(entry["lr"] for entry in history), trainer.learning_rate] == rates


# ---- what goes wrong ----


def scripted_loss(values):
    """A loss of the given values, one a training batch; 0 in validation."""
    script = iter(values)
    return lambda outputs, y: outputs.sum(axis=1) * 0 + (next(script) if autograd.is_training() else 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("values", "where", "before"),
    [
        ([], "epoch 1, batch 1", "none"),
        ([1], "epoch 1, batch 2", "1.0000"),
        ([1, 3], "epoch 2, batch 1", "1.5000"),  # the mean of the epoch before: three examples of 1 and one of 3
        ([1, 3, 2], "epoch 2, batch 2", "2.0000"),
        ([1, 3, 2, 6], "epoch 3, batch 1", "3.0000"),
    ],
)
def test_a_loss_that_is_not_finite_stops_the_training(values, where, before, bad):
    net = weights_only([[50], [-50]])
    train = [(nd.ones((3, 1)), nd.zeros(3)), (nd.ones((1, 1)), nd.zeros(1))]
    loss = scripted_loss([*values, bad, *[0] * 9])
    message = (
        rf"^the loss is {bad} at {where}, learning rate 0\.25; last finite loss: {re.escape(before)}\. "
        r"Take a smaller learning rate$"
    )
    with pytest.raises(training.NonFiniteLoss, match=message):
        fit(net, train, train, loss, trainer_of(net, 0.25), 4)


def test_the_message_has_the_rate_to_which_it_fell():
    net, one = weights_only([[50], [-50]]), [(nd.ones((1, 1)), nd.zeros(1))]
    loss, plateau = scripted_loss([1, 2, math.nan]), Plateau(2, patience=1)
    message = r"epoch 3, batch 1, learning rate 0\.5; last finite loss: 2\.0000"
    with pytest.raises(training.NonFiniteLoss, match=message):
        fit(net, one, Scripted([4, 4, 4]), loss, trainer_of(net, 1.0), 3, plateau=plateau)


def generator(pairs):
    yield from pairs


@pytest.mark.parametrize("once", ["train_iter", "valid_iter"])
@pytest.mark.parametrize(("kind", "epoch"), [(generator, 2), (iter, 2), (lambda pairs: [], 1)])
def test_batches_that_are_given_once_do_for_one_epoch(once, kind, epoch):
    how = {"train_iter": TRAIN, "valid_iter": VALID}
    message = (
        rf"^{once} must give at least one batch an epoch, got none in epoch {epoch}; "
        r"a generator is used up after one: give a list, data\.Batches or a DataLoader$"
    )
    net = network()
    with pytest.raises(ValueError, match=message):
        fit(net, loss=cross_entropy, trainer=trainer_of(net), num_epochs=2, **{**how, once: kind(how[once])})
    if epoch == 2:
        net, slow = network(), network()
        how[once] = kind(how[once])
        history = fit(net, loss=cross_entropy, trainer=trainer_of(net), num_epochs=1, **how)
        assert_equal(history, slow_fit(slow, trainer_of(slow), 1))


@pytest.mark.parametrize("place", ["train_iter", "valid_iter"])
def test_a_label_that_is_no_class_is_refused(place):
    net, how = network(), {"train_iter": TRAIN, "valid_iter": VALID, place: [(nd.ones((2, d)), nd.array([0, K]))]}
    with pytest.raises(ValueError, match=r"^label 1 must be a class from 0 to 3, got 4$"):
        fit(net, loss=cross_entropy, trainer=trainer_of(net), num_epochs=1, **how)


class Untouched:
    def __iter__(self):
        raise AssertionError("trained before the arguments were looked at")


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ({"num_epochs": 1.5}, TypeError, r"num_epochs must be a whole number, got 1\.5 \(float\)"),
        ({"patience": 0}, ValueError, "patience must be at least 1, got 0"),
        ({"patience": 2.5}, TypeError, r"patience must be a whole number, got 2\.5 \(float\)"),
        ({"min_change": -0.1}, ValueError, r"min_change must be at least 0, got -0\.1"),
        ({"min_change": math.nan}, ValueError, "min_change must be at least 0, got nan"),
        ({"plateau": Plateau(1, 3)}, ValueError, r"plateau\.factor must be above 1, got 1"),
        ({"plateau": Plateau(0.5, 3)}, ValueError, r"plateau\.factor must be above 1, got 0\.5"),
        ({"plateau": Plateau(math.inf, 3)}, ValueError, r"plateau\.factor must be above 1, got inf"),
        ({"plateau": Plateau(2, 0)}, ValueError, r"plateau\.patience must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_trained(arguments, error, told):
    net = network()
    how = {"num_epochs": 1, **arguments}
    with pytest.raises(error, match=f"^{told}$"):
        fit(net, Untouched(), Untouched(), cross_entropy, trainer_of(net), **how)


def test_a_plateau_beside_a_scheduler_is_refused_before_anything_is_trained():
    net = network()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"lr_scheduler": mx.lr_scheduler.FactorScheduler(step=1)})
    message = r"^plateau sets the learning rate itself: give a trainer without lr_scheduler$"
    with pytest.raises(ValueError, match=message):
        fit(net, Untouched(), Untouched(), cross_entropy, trainer, 1, plateau=Plateau())


@pytest.mark.parametrize(("progress", "disable"), [(False, True), (True, None)])  # None: shown in a terminal
def test_a_bar_counts_the_epochs_where_it_is_asked_for(monkeypatch, progress, disable):
    asked = []

    def bar(iterable, **how):
        asked.append((list(iterable), how["disable"]))
        return asked[0][0]

    monkeypatch.setattr(tqdm.auto, "tqdm", bar)
    net = network()
    assert len(fit(net, TRAIN, VALID, cross_entropy, trainer_of(net), 3, progress=progress)) == 3
    assert asked == [([1, 2, 3], disable)]


def test_nothing_is_printed(capfd):
    net = network()
    fit(net, TRAIN, VALID, cross_entropy, trainer_of(net), 2, patience=1, plateau=Plateau(), track_updates=True)
    assert capfd.readouterr() == ("", "")
