"""What is tried before a long training: the first loss, a tiny subset, and the range test with all that it restores."""

import math
import re
import types

import numpy as np
import pytest

from gluonbook import data, training
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.training import checks, initial_loss, lr_range_test, overfit_tiny

CPUS = [mx.cpu(0), mx.cpu(1)]
d, K = 3, 4
cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()


def batches(sizes, seed=0, num_classes=K):
    generator = np.random.default_rng(seed)
    drawn = [(generator.normal(size=(N, d)), generator.integers(0, num_classes, N)) for N in sizes]
    return [(nd.array(X), nd.array(y, dtype="int32")) for X, y in drawn]


def network(devices=CPUS[:1], init=None, norm=False, in_units=d, hybridized=False):
    mx.random.seed(0)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(16, in_units=in_units, activation="relu"))
    if norm:
        net.add(gluon.nn.BatchNorm(in_channels=16))
    net.add(gluon.nn.Dense(K, in_units=16))
    net.initialize(init or mx.init.Xavier(), ctx=devices)
    if hybridized:
        net.hybridize()
    return net


def trainer_of(net, lr=0.1, **hyper):
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr, **hyper})


def bits(net, device=CPUS[0]):
    return [param.data(device).asnumpy().tobytes() for param in net.collect_params().values()]


def constant(value):
    """A loss that is the same for every example."""
    return lambda outputs, y: outputs.sum(axis=1) * 0 + value


# ---- the first loss ----


@pytest.mark.parametrize("num_classes", [2, 10])
@pytest.mark.parametrize("devices", [None, CPUS[:1], CPUS], ids=str)
def test_claim_7_1_weights_of_0_have_the_loss_log_k(num_classes, devices):
    net = gluon.nn.Dense(num_classes, in_units=d)
    net.initialize(mx.init.Zero(), ctx=devices)
    found = initial_loss(net, batches((5, 1), num_classes=num_classes), cross_entropy, num_classes, devices=devices)
    assert found.expected == math.log(num_classes)
    assert found.loss == pytest.approx(math.log(num_classes), rel=5e-6)  # MXNet's log is off by 2e-6 of it
    assert found.passed


def test_weights_that_begin_too_large_do_not_pass():
    small, large = (initial_loss(network(init=mx.init.Normal(s)), batches((64,)), cross_entropy, K) for s in (0.01, 3))
    assert (small.passed, large.passed) == (True, False)
    assert large.loss > 2 * large.expected


@pytest.mark.parametrize(
    ("share", "tolerance", "passed"),
    [
        (1.24, 0.25, True),
        (1.26, 0.25, False),
        (0.76, 0.25, True),
        (0.74, 0.25, False),
        (0.0, 1.0, True),  # exactly at the bound
        (1.09, None, True),  # a tenth, unless another is given
        (1.11, None, False),
        (0.91, None, True),
        (0.89, None, False),
    ],
)
def test_the_loss_may_be_away_from_log_k_by_a_share_of_it_on_both_sides(share, tolerance, passed):
    how = {} if tolerance is None else {"tolerance": tolerance}
    found = initial_loss(network(), batches((2,)), constant(share * math.log(K)), K, **how)
    assert found.loss == pytest.approx(share * math.log(K), rel=1e-6)
    assert found.passed is passed


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_first_loss_that_is_not_finite_does_not_pass(bad):
    found = initial_loss(network(), batches((2,)), constant(bad), K)
    assert str(found.loss) == str(bad)
    assert found.passed is False


def test_every_example_counts_alike():
    """Three of loss 1 and one of loss 5 are 2 in the mean; a mean of the batches' would be 3."""
    values = iter([1, 5])
    found = initial_loss(network(), batches((3, 1)), lambda o, y: o.sum(axis=1) * 0 + next(values), K)
    assert found.loss == 2


def test_the_first_loss_is_taken_in_prediction_and_changes_nothing():
    net = network(norm=True)
    before = bits(net)
    modes = []

    def watched(X):
        modes.append((autograd.is_training(), autograd.is_recording()))
        return net(X)

    initial_loss(watched, batches((4,)), cross_entropy, K)
    assert modes == [(False, False)]
    assert bits(net) == before


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"num_classes": 1}, ValueError, "num_classes must be at least 2, got 1"),
        ({"num_classes": 2.5}, TypeError, r"num_classes must be a whole number, got 2\.5 \(float\)"),
        ({"tolerance": 0}, ValueError, "tolerance must be above 0, got 0"),
        ({"tolerance": math.nan}, ValueError, "tolerance must be above 0, got nan"),
        ({"batches": []}, ValueError, "batches must give at least one batch, got none"),
        (
            {"batches": [(nd.ones((2, d)), nd.array([0, K]))]},
            ValueError,
            "label 1 must be a class from 0 to 3, got 4",
        ),
    ],
)
def test_wrong_arguments_of_the_first_loss_are_refused(arguments, error, told):
    how = {"batches": batches((2,)), "num_classes": K, **arguments}
    with pytest.raises(error, match=f"^{told}$"):
        initial_loss(network(), loss=cross_entropy, **how)


# ---- a few examples ----


class Pupil:
    """A net and its trainer that know as many of four labels as the script says, an epoch each."""

    def __init__(self, known):
        self.script, self.steps, self.learning_rate = iter(known), [], 0.25
        self.w = nd.zeros(1)
        self.w.attach_grad()

    def __call__(self, X):
        known = next(self.script)
        scores = nd.one_hot(nd.array([0 if i < known else 1 for i in range(4)]), K)
        return scores + self.w

    def step(self, batch_size):
        self.steps.append(batch_size)


FOUR = (nd.ones((4, d)), nd.zeros(4))


@pytest.mark.parametrize(
    ("known", "num_epochs", "epochs", "passed"),
    [
        ([4, 0, 0], 3, 1, True),
        ([1, 2, 4, 3], 4, 3, True),
        ([3, 3, 4], 3, 3, True),
        ([3, 3, 3, 4], 3, 3, False),
        ([0], 1, 1, False),
        ([0, 3, 2, 1], 4, 4, False),
    ],
)
def test_learning_by_heart_ends_at_the_first_epoch_without_a_mistake(known, num_epochs, epochs, passed):
    pupil = Pupil(known)
    found = overfit_tiny(pupil, FOUR, cross_entropy, pupil, num_epochs)
    assert (found.passed, found.epochs) == (passed, epochs)
    assert found.accuracies == [right / 4 for right in known[:epochs]]
    assert pupil.steps == [4] * epochs
    right, wrong = math.log(math.e + 3) - 1, math.log(math.e + 3)
    losses = [(n * right + (4 - n) * wrong) / 4 for n in known[:epochs]]
    assert found.losses == pytest.approx(losses, rel=1e-5)


def test_by_default_two_hundred_epochs_are_tried():
    pupil = Pupil([3] * 300)
    assert overfit_tiny(pupil, FOUR, cross_entropy, pupil).epochs == 200


@pytest.mark.parametrize("devices", [None, CPUS], ids=str)
def test_learning_by_heart_is_a_plain_training(devices):
    (batch,) = batches((10,))
    net, slow = network(devices), network()
    found = overfit_tiny(net, batch, cross_entropy, trainer_of(net, 1.0), 6, devices)
    trainer, (X, y), losses, accuracies = trainer_of(slow, 1.0), batch, [], []
    for _ in range(6):
        with autograd.record():
            outputs = slow(X)
            l = cross_entropy(outputs, y)
        l.backward()
        trainer.step(10)
        losses.append(float(l.asnumpy().mean()))
        accuracies.append(float((outputs.asnumpy().argmax(axis=1) == y.asnumpy()).mean()))
    assert found.epochs == 6
    assert found.losses == pytest.approx(losses, rel=1e-5)
    assert found.accuracies == accuracies


def test_claim_7_2_a_net_learns_by_heart_and_a_broken_one_does_not():
    """Ten points of noise: seeds 0 to 7 take 12 to 43 epochs, the broken one, whose weights never change, has 0.4."""
    (batch,) = batches((10,))
    net = network()
    assert overfit_tiny(net, batch, cross_entropy, trainer_of(net, 1.0)).passed
    broken = network()
    broken[0].weight.grad_req = broken[1].weight.grad_req = "null"
    stuck = overfit_tiny(broken, batch, cross_entropy, trainer_of(broken, 1.0), 50)
    assert (stuck.passed, stuck.epochs) == (False, 50)
    assert stuck.accuracies[-1] < 1


@pytest.mark.parametrize(("epoch", "before"), [(1, "none"), (3, "0.9937")])
def test_a_tiny_training_stops_at_a_loss_that_is_not_finite(epoch, before):
    """log(e + 3) − 3/4 = 0.9937 is the loss where three of four are right."""
    pupil, count = Pupil([3] * 9), iter(range(1, 9))
    message = (
        rf"^the loss is nan at epoch {epoch}, batch 1, learning rate 0\.25; last finite loss: {re.escape(before)}\. "
        r"Take a smaller learning rate$"
    )
    with pytest.raises(training.NonFiniteLoss, match=message):
        overfit_tiny(
            pupil, FOUR, lambda o, y: cross_entropy(o, y) + (math.nan if next(count) == epoch else 0), pupil, 9
        )


@pytest.mark.parametrize(
    ("num_epochs", "error", "told"),
    [
        (0, ValueError, "num_epochs must be at least 1, got 0"),
        (1.5, TypeError, r"num_epochs must be a whole number, got 1\.5 \(float\)"),
    ],
)
def test_a_tiny_training_of_no_epochs_is_refused(num_epochs, error, told):
    pupil = Pupil([])
    with pytest.raises(error, match=f"^{told}$"):
        overfit_tiny(pupil, FOUR, cross_entropy, pupil, num_epochs)


def test_a_tiny_subset_of_nothing_is_refused():
    pupil = Pupil([])
    with pytest.raises(ValueError, match=r"^a batch must have as many labels as rows, at least 1; got 0 rows, 0 "):
        overfit_tiny(pupil, (np.zeros((0, d)), np.zeros(0)), cross_entropy, pupil)


# ---- a range of rates ----


def scripted(values):
    """A loss of the given values, one a batch, with a gradient of 1 towards each output."""
    script = iter(values)

    def loss(outputs, y):
        total = outputs.sum(axis=1)
        return total - total.detach() + next(script)

    return loss


@pytest.mark.parametrize("hybridized", [False, True])
def test_the_losses_are_those_of_a_slow_loop_over_rising_rates(hybridized):
    train, slow, net = batches((6, 4, 1)), network(norm=True), network(norm=True, hybridized=hybridized)
    rates = [1e-3 * (2 / 1e-3) ** (i / 7) for i in range(8)]
    trainer, losses = trainer_of(slow, momentum=0.9), []
    for i, rate in enumerate(rates):
        X, y = train[i % 3]
        trainer.set_learning_rate(rate)
        with autograd.record():
            l = cross_entropy(slow(X), y)
        l.backward()
        trainer.step(len(X))
        losses.append(float(l.asnumpy().mean()))
    found = lr_range_test(net, train, cross_entropy, trainer_of(net, momentum=0.9), 1e-3, 2, 8)
    assert len(found.lrs) == 8  # these losses stay below four times their smallest
    assert found.lrs == pytest.approx(rates, rel=1e-12)
    assert found.losses == pytest.approx(losses, rel=1e-4)


def test_the_rates_go_from_low_to_high_by_equal_factors():
    net = network()
    found = lr_range_test(net, batches((2,)), constant(1.0), trainer_of(net))
    assert (len(found.lrs), found.lrs[0], found.lrs[-1]) == (100, 1e-4, 10)
    factors = np.divide(found.lrs[1:], found.lrs[:-1])
    np.testing.assert_allclose(factors, 1e5 ** (1 / 99), rtol=1e-9)


def test_each_step_is_made_with_its_rate_and_its_rows():
    net, made = network(), []
    trainer = trainer_of(net, 0.7)
    step = trainer.step
    trainer.step = lambda rows: (made.append((trainer.learning_rate, rows)), step(rows))
    lr_range_test(net, batches((3, 2)), scripted([1.0] * 3), trainer, 0.01, 1, 3)
    assert made == [(0.01, 3), (pytest.approx(0.1), 2), (1, 3)]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([2, 1, 3.9, 4.1, 1], 3),
        ([2, 1, 4, 4, 1], 5),  # four times the smallest is not yet above it
        ([2, 1, 0.5, 2.1, 0.1], 3),  # the smallest may come late
        ([1, 2, 3, 3.9, 4.5], 4),
        ([9, 8, 7, 6, 5], 5),
        ([2, 1, math.nan, 1, 1], 2),
        ([2, 1, math.inf, 1, 1], 2),
        ([-1, -math.inf, 1, 1, 1], 1),
        ([math.nan, 1, 1, 1, 1], 0),
    ],
)
def test_the_test_ends_when_the_loss_explodes_or_is_not_finite(values, kept):
    net = network()
    before = bits(net)
    trainer = trainer_of(net, 0.7)
    found = lr_range_test(net, batches((2,)), scripted(values), trainer, 1e-2, 1e2, 5)
    assert found.losses == pytest.approx(values[:kept])
    assert found.lrs == pytest.approx([1e-2, 1e-1, 1, 10, 100][:kept])
    assert math.isnan(found.suggested) is (kept == 0)
    assert bits(net) == before
    assert trainer.learning_rate == 0.7


class Stop(Exception):
    pass


def stopping(values, error):
    """A loss that raises after the given values."""
    yield from values
    raise error


@pytest.mark.parametrize("error", [Stop(), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["loss", "batches", "step"])
def test_weights_and_rate_are_what_they_were_even_where_the_test_is_stopped(place, error):
    """The statistics of the batch norm, too. At the third step; two have changed everything."""
    net = network(norm=True)
    trainer, before, seen = trainer_of(net, 0.7), bits(net), []
    script = {name: stopping([1.0] * 2, error) if name == place else iter([1.0] * 9) for name in ("loss", "step")}
    pairs = batches((4,)) * 2
    step = trainer.step

    def watched_step(rows):
        next(script["step"])
        step(rows)
        seen.append((bits(net), trainer.learning_rate))

    trainer.step = watched_step
    given = stopping(pairs, error) if place == "batches" else pairs
    with pytest.raises(type(error)):
        lr_range_test(net, given, lambda o, y: cross_entropy(o, y) + next(script["loss"]), trainer, 0.1, 1, 5)
    assert len(seen) == 2
    for i, (now, rate) in enumerate(seen):
        assert all(a != b for a, b in zip(now, before)), i  # no parameter stood still
        assert rate != 0.7
    assert bits(net) == before
    assert trainer.learning_rate == 0.7


def test_weights_and_rate_are_what_they_were_after_a_whole_test():
    net = network(norm=True)
    trainer, before = trainer_of(net, 0.7), bits(net)
    assert len(lr_range_test(net, batches((4,)), cross_entropy, trainer, 1e-3, 1e-2, 6).lrs) == 6
    assert bits(net) == before
    assert trainer.learning_rate == 0.7
    trained = training.fit(net, batches((4,)), batches((4,)), cross_entropy, trainer, 1)
    fresh = network(norm=True)
    expected = training.fit(fresh, batches((4,)), batches((4,)), cross_entropy, trainer_of(fresh, 0.7), 1)
    assert trained[0]["valid_loss"] == expected[0]["valid_loss"]


def test_shapes_may_be_deferred():
    """The weights are afterwards those of a net that was only called."""
    net, called, train, seen = network(norm=True, in_units=0), network(norm=True, in_units=0), batches((4, 2)), []
    mx.random.seed(5)
    called(train[0][0])
    mx.random.seed(5)

    def watched(outputs, y):
        seen.append(y.asnumpy().tolist())
        return cross_entropy(outputs, y)

    found = lr_range_test(net, train, watched, trainer_of(net), 0.01, 0.1, 3)
    assert bits(net) == bits(called)
    assert seen == [train[i][1].asnumpy().tolist() for i in (0, 1, 0)]  # no batch is lost
    assert found.losses[0] == pytest.approx(float(cross_entropy(*first_outputs(called, train)).mean().asscalar()))


def first_outputs(net, train):
    X, y = train[0]
    with autograd.train_mode():
        return net(X), y


def test_batches_are_gone_round_as_often_as_needed():
    net, seen, passes = network(), [], []

    class Short:
        def __iter__(self):
            passes.append(len(seen))
            return iter(batches((2, 3)))

    def watched(outputs, y):
        seen.append(len(y))
        return constant(1.0)(outputs, y)

    found = lr_range_test(net, Short(), watched, trainer_of(net), num_steps=7)
    assert (len(found.lrs), seen, passes) == (7, [2, 3, 2, 3, 2, 3, 2], [0, 2, 4, 6])


def test_a_generator_does_for_as_many_steps_as_it_has_batches():
    net = network()
    trainer, before = trainer_of(net), bits(net)
    assert len(lr_range_test(net, iter(batches((2,) * 4)), constant(1.0), trainer, num_steps=4).lrs) == 4
    with pytest.raises(ValueError, match=r"^batches must give at least one batch, got none$"):
        lr_range_test(net, iter(batches((2,) * 3)), scripted([1.0] * 9), trainer, num_steps=4)
    assert bits(net) == before
    assert trainer.learning_rate == 0.1


def test_a_net_on_another_device_is_tried_there():
    there = mx.cpu(1)
    net, here = network([there]), network()
    found = lr_range_test(net, batches((4, 2)), cross_entropy, trainer_of(net), 0.01, 1, 5, there)
    expected = lr_range_test(here, batches((4, 2)), cross_entropy, trainer_of(here), 0.01, 1, 5)
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)
    assert bits(net, there) == bits(network([there]), there)


def slow_suggestion(lrs, losses):
    """Smooth, take the slopes one by one, and the steepest before the smoothed loss is at its smallest."""
    smooth = [losses[0]]
    for value in losses[1:]:
        smooth.append(0.7 * smooth[-1] + 0.3 * value)
    x = [math.log(lr) for lr in lrs]
    steepest, suggested = math.inf, None
    for i in range(max(smooth.index(min(smooth)), 1)):
        left, right = max(i - 1, 0), min(i + 1, len(x) - 1)
        slope = (smooth[right] - smooth[left]) / (x[right] - x[left])
        if slope < steepest:
            steepest, suggested = slope, lrs[i]
    return suggested


@pytest.mark.parametrize(
    ("losses", "place"),
    [
        ([4, 2, 1], 1),  # smooth 4, 3.4, 2.68: slopes −0.6, −0.66
        ([4, 1, 2, 3.9], 0),  # smooth 4, 3.1, 2.77, 3.109: slopes −0.9, −0.615
        ([1, 2, 3], 0),  # it only rises
        ([2, 2, 2], 0),
        ([2, 1], 0),
        ([2], 0),
    ],
)
def test_the_suggestion_by_hand(losses, place):
    net = network()
    found = lr_range_test(net, batches((2,)), scripted([*losses, math.nan]), trainer_of(net), 1, 1e5, 6)
    assert found.losses == pytest.approx(losses)
    assert found.suggested == found.lrs[place] == pytest.approx(10**place)


CURVES = {
    "falls in the middle": [2.0] * 10 + [1.8, 1.5, 1.1, 0.8, 0.7] + [0.7] * 10 + [1.0, 1.5, 2.5],
    "falls most steeply behind its smallest": [2.0] * 5 + [1.6, 1.3, 1.1] + [1.0] * 9 + [3.9] * 4 + [1.5, 1.4, 1.4],
    "noise": [2, 2.1, 1.9, 2.05, 1.7, 1.9, 1.5, 1.2, 1.4, 1.1, 1.0, 1.3, 1.2, 2.0, 2.9],
}


@pytest.mark.parametrize("losses", CURVES.values(), ids=CURVES)
def test_the_suggestion_is_where_the_smoothed_loss_falls_most_steeply(losses):
    net, count = network(), len(losses)
    found = lr_range_test(net, batches((2,)), scripted(losses), trainer_of(net), 1e-3, 10, count)
    assert found.losses == pytest.approx(losses)
    assert found.suggested == slow_suggestion(found.lrs, found.losses)
    assert found.lrs[0] < found.suggested < found.lrs[int(np.argmin(losses))]


def test_the_suggestion_trains_and_rates_far_from_it_do_not():
    """The loss on digits after an epoch. Seeds 0 to 7: 0.75–1.15 at the suggested rate, 2.25 at a hundredth of it."""
    splits = data.read_classes("digits")
    train, reached = splits.train.subset(slice(400)), {}
    mx.random.seed(0)
    for factor in (None, 1, 1 / 100):
        net = gluon.nn.Dense(10)
        net.initialize(mx.init.Zero())
        if factor is None:
            rate = lr_range_test(
                net, data.Batches(train, 20, seed=0), cross_entropy, trainer_of(net), 1e-3, 30, 60
            ).suggested
            continue
        how = (data.Batches(train, 20, seed=0), data.Batches(splits.valid, 300), cross_entropy)
        reached[factor] = training.fit(net, *how, trainer_of(net, rate * factor), 1)[0]["valid_loss"]
    assert reached[1] < 1.5 < 2.1 < reached[1 / 100]


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"low": 0}, ValueError, "low must be above 0, got 0"),
        ({"low": math.nan}, ValueError, "low must be above 0, got nan"),
        ({"low": 1, "high": 1}, ValueError, "high must be above 1, got 1"),
        ({"high": math.inf}, ValueError, r"high must be above 0\.0001, got inf"),
        ({"num_steps": 1}, ValueError, "num_steps must be at least 2, got 1"),
        ({"num_steps": 9.5}, TypeError, r"num_steps must be a whole number, got 9\.5 \(float\)"),
        ({"batches": []}, ValueError, "batches must give at least one batch, got none"),
        ({"batches": iter([])}, ValueError, "batches must give at least one batch, got none"),
        (
            {"batches": [(nd.ones((2, d)), nd.array([0, K]))]},
            ValueError,
            "label 1 must be a class from 0 to 3, got 4",
        ),
        (
            {"batches": [(nd.ones((2, d)), nd.zeros(3))]},
            ValueError,
            "a batch must have as many labels as rows, at least 1; got 2 rows, 3 labels",
        ),
    ],
)
def test_wrong_arguments_of_the_range_test_are_refused_and_change_nothing(arguments, error, told):
    net = network()
    trainer, before = trainer_of(net), bits(net)
    how = {"batches": batches((2,)), **arguments}
    with pytest.raises(error, match=f"^{told}$"):
        lr_range_test(net, loss=cross_entropy, trainer=trainer, **how)
    assert bits(net) == before
    assert trainer.learning_rate == 0.1


def test_a_trainer_with_a_scheduler_is_refused():
    trainer = types.SimpleNamespace(optimizer=types.SimpleNamespace(lr_scheduler=lambda step: 0.1))
    with pytest.raises(ValueError, match=r"^lr_range_test sets the learning rate itself: give a trainer without"):
        lr_range_test(network(), batches((2,)), cross_entropy, trainer)


def test_the_bounds_are_the_documented_ones():
    assert (checks.DIVERGED, checks.SMOOTHING) == (4, 0.7)
