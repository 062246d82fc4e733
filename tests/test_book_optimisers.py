"""The walk of a point and the two regressions of the book equal slow loops: what they print, draw and learn."""

import math
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

import gluonbook as gb
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.book import figures
from gluonbook.training import NonFiniteLoss

LINE = r"loss: (\d+\.\d{6}), \d+\.\d{6} sec per epoch\n"
n, d = 230, 3


@pytest.fixture(autouse=True)
def no_figures():
    """Leave none behind: it would be saved when pytest ends."""
    plt.close("all")
    yield
    plt.close("all")
    figures._waiting.clear()


@pytest.fixture
def data():
    """A linear regression with noise: features (n, d) and labels (n,)."""
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n, d))
    return nd.array(X), nd.array(X @ [1.0, -2.0, 0.5] + 0.7 + 0.1 * generator.normal(size=n))


def curve():
    """The one curve of the one figure."""
    (axes,) = plt.gcf().axes
    (line,) = axes.lines
    return line.get_xdata(), line.get_ydata()


def printed(capsys):
    match = re.fullmatch(LINE, capsys.readouterr().out)
    assert match
    return float(match[1])


def sgd(params, states, hyperparams):
    for p in params:
        p[:] -= hyperparams["lr"] * p.grad


# train_2d


def test_a_walk_makes_20_updates_from_the_books_point(capsys):
    points = gb.train_2d(lambda x1, x2, s1, s2: (x1 + 0.25, x2 * 0.5, s1, s2))
    assert points == [(-5 + 0.25 * i, -2 * 0.5**i) for i in range(21)]
    assert capsys.readouterr().out == "epoch 20, x1 0.000000, x2 -0.000002\n"


def test_a_walk_hands_the_states_on_from_0(capsys):
    seen = []

    def trainer(x1, x2, s1, s2):
        seen.append((s1, s2))
        return x1, x2, s1 + 1, s2 - 2

    points = gb.train_2d(trainer)
    assert seen == [(i, -2 * i) for i in range(20)]
    assert points == [(-5, -2)] * 21
    assert capsys.readouterr().out == "epoch 20, x1 -5.000000, x2 -2.000000\n"


# train_ch7 and train_gluon_ch7


def slow_descent(data, w, lr, batch_size, num_epochs, seed):
    """Linear regression by plain descent in NumPy; returns the losses that are to be noted, and w and b."""
    X, y = (array.asnumpy().astype(float) for array in data)
    generator, b = np.random.RandomState(seed), 0.0

    def loss():
        return np.mean([(x @ w + b - label) ** 2 / 2 for x, label in zip(X, y)])

    losses = [loss()]
    for _ in range(num_epochs):
        order = np.arange(len(y))
        generator.shuffle(order)
        for number, start in enumerate(range(0, len(y), batch_size), 1):
            rows = order[start : start + batch_size]
            errors = X[rows] @ w + b - y[rows]
            w, b = w - lr * errors @ X[rows] / len(rows), b - lr * errors.mean()
            if number * batch_size % 100 == 0:
                losses.append(loss())
    return losses, w, b


@pytest.mark.parametrize(("batch_size", "num_epochs"), [(10, 2), (1, 1), (20, 3), (100, 2), (150, 2), (50, 1)])
def test_a_regression_from_scratch_equals_a_slow_loop(data, batch_size, num_epochs, capsys):
    """The last batch is short where the size does not divide 230, and counts with the rows that it has."""
    first = []

    def trainer_fn(params, states, hyperparams):
        if not first:
            first.append([param.asnumpy() for param in params])
        sgd(params, states, hyperparams)
        first.append(params)

    np.random.seed(5)
    mx.random.seed(0)
    gb.train_ch7(trainer_fn, None, {"lr": 0.1}, *data, batch_size, num_epochs)
    (w, b), params = first[0], first[-1]
    assert (w.shape, b.tolist()) == ((d, 1), [0])
    losses, right_w, right_b = slow_descent(data, w[:, 0], 0.1, batch_size, num_epochs, seed=5)
    x, y = curve()
    np.testing.assert_allclose(y, losses, rtol=1e-4)
    np.testing.assert_allclose(x, [i * num_epochs / max(1, len(losses) - 1) for i in range(len(losses))])
    assert printed(capsys) == pytest.approx(losses[-1], rel=1e-4, abs=1e-6)
    np.testing.assert_allclose(params[0].asnumpy()[:, 0], right_w, atol=1e-5)
    np.testing.assert_allclose(params[1].asnumpy(), [right_b], atol=1e-5)


@pytest.fixture
def net(monkeypatch):
    """The net that train_gluon_ch7 will make."""
    made, add = [], gluon.nn.Sequential.add
    monkeypatch.setattr(gluon.nn.Sequential, "add", lambda self, *blocks: made.append(self) or add(self, *blocks))
    return made


@pytest.mark.parametrize(("batch_size", "num_epochs"), [(10, 2), (20, 3), (100, 2), (150, 2)])
def test_a_regression_with_gluon_equals_a_slow_loop(data, net, batch_size, num_epochs, capsys):
    np.random.seed(5)
    mx.random.seed(0)
    gb.train_gluon_ch7("sgd", {"learning_rate": 1e-12}, *data, batch_size, 1)
    w = net[-1][0].weight.data().asnumpy()[0]  # as drawn: the steps were none
    np.random.seed(5)
    mx.random.seed(0)
    plt.close("all")
    capsys.readouterr()
    gb.train_gluon_ch7("sgd", {"learning_rate": 0.1}, *data, batch_size, num_epochs)
    losses, right_w, right_b = slow_descent(data, w, 0.1, batch_size, num_epochs, seed=5)
    x, y = curve()
    np.testing.assert_allclose(y, losses, rtol=1e-4)
    np.testing.assert_allclose(x, [i * num_epochs / max(1, len(losses) - 1) for i in range(len(losses))])
    assert printed(capsys) == pytest.approx(losses[-1], rel=1e-4, abs=1e-6)
    np.testing.assert_allclose(net[-1][0].weight.data().asnumpy()[0], right_w, atol=1e-5)
    np.testing.assert_allclose(net[-1][0].bias.data().asnumpy(), [right_b], atol=1e-5)


def test_the_first_weights_are_small_and_the_same_kind_in_both(net):
    """N(0, 0.01²): 2000 weights have that spread to a tenth."""
    wide, labels, seen = nd.zeros((1, 2000)), nd.zeros(1), []
    gb.train_ch7(lambda params, *_: seen.append(params[0].asnumpy()), None, {}, wide, labels, 1, 1)
    gb.train_gluon_ch7("sgd", {"learning_rate": 1e-12}, wide, labels, 1, 1)
    seen.append(net[-1][0].weight.data().asnumpy())
    for weights in seen:
        assert weights.size == 2000
        assert weights.std() == pytest.approx(0.01, rel=0.1)
        assert abs(weights.mean()) < 0.001


def test_the_optimiser_gets_the_callers_states_and_settings_and_fresh_gradients(data):
    states, hyperparams, calls = object(), {"lr": 0.1, "t": 1}, []

    def trainer_fn(params, its_states, its_hyperparams):
        assert its_states is states
        assert its_hyperparams is hyperparams
        calls.append([param.grad.asnumpy() for param in params])

    gb.train_ch7(trainer_fn, states, hyperparams, *data, 10, 1)
    assert len(calls) == 23
    assert [gradient.shape for gradient in calls[0]] == [(d, 1), (1,)]
    assert not np.array_equal(calls[0][0], calls[1][0])


@pytest.mark.parametrize(("batch_size", "points"), [(10, 2), (1, 2), (20, 2), (40, 1), (100, 3), (200, 2), (500, 1)])
def test_the_loss_is_noted_at_the_start_and_every_100_examples(data, batch_size, points):
    """A short last batch counts as a whole one: 230 examples are batches 100, 200 and "300" of 100."""
    gb.train_ch7(sgd, None, {"lr": 0.01}, *data, batch_size, 2)
    x, y = curve()
    assert len(x) == len(y) == 1 + 2 * points
    assert (x[0], x[-1]) == (0, 2)


def test_the_loss_told_is_the_last_one_and_not_the_smallest(data, capsys):
    gb.train_ch7(sgd, None, {"lr": -0.01}, *data)  # uphill
    losses = curve()[1]
    assert losses[0] < losses[1] < losses[-1]
    assert printed(capsys) == pytest.approx(losses[-1], abs=1e-6)


def test_where_the_batches_never_meet_100_examples_the_loss_of_the_start_stands(data, capsys):
    gb.train_ch7(sgd, None, {"lr": 0.1}, *data, 64, 2)
    x, y = curve()
    assert len(x) == len(y) == 1
    assert printed(capsys) == pytest.approx(y[0], abs=1e-6)


def test_the_figure_has_the_books_labels_and_size(data):
    gb.train_ch7(sgd, None, {"lr": 0.1}, *data)
    (axes,) = plt.gcf().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "loss")
    assert plt.gcf().get_size_inches().tolist() == [3.5, 2.5]


def test_each_run_has_a_figure_of_its_own(data):
    gb.train_ch7(sgd, None, {"lr": 0.1}, *data)
    gb.train_gluon_ch7("sgd", {"learning_rate": 0.1}, *data)
    assert len(plt.get_fignums()) == 2
    assert [len(plt.figure(number).axes[0].lines) for number in plt.get_fignums()] == [1, 1]


def test_batches_of_10_in_2_epochs_are_the_default(data, net, capsys):
    gb.train_ch7(sgd, None, {"lr": 0.01}, *data)
    gb.train_gluon_ch7("sgd", {"learning_rate": 0.01}, *data)
    for number in plt.get_fignums():
        x = plt.figure(number).axes[0].lines[0].get_xdata()
        assert (len(x), x[-1]) == (1 + 2 * 2, 2)


def test_a_seed_gives_the_same_regression_and_another_one_another(data):
    curves = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        mx.random.seed(seed)
        plt.close("all")
        gb.train_ch7(sgd, None, {"lr": 0.1}, *data, 10, 1)
        curves.append(curve()[1].tolist())
    assert curves[0] == curves[1] != curves[2]


def both(name, data, *arguments, lr=0.1):
    if name == "train_ch7":
        gb.train_ch7(sgd, None, {"lr": lr}, *data, *arguments)
    else:
        gb.train_gluon_ch7("sgd", {"learning_rate": lr}, *data, *arguments)


NAMES = ["train_ch7", "train_gluon_ch7"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 2), ValueError, "batch_size must be at least 1, got 0"),
        ((1.5, 2), TypeError, r"batch_size must be a whole number, got 1\.5"),
        ((10, 0), ValueError, "num_epochs must be at least 1, got 0"),
        ((10, 2.5), TypeError, r"num_epochs must be a whole number, got 2\.5"),
    ],
)
def test_wrong_sizes_are_refused(name, data, arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        both(name, data, *arguments)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", NAMES)
def test_features_and_labels_of_unequal_lengths_are_refused(name, data):
    features, labels = data
    message = f"^features and labels must be equally long, got {n} and {n - 1}$"
    with pytest.raises(ValueError, match=message):
        both(name, (features, labels[:-1]))


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_that_grows_without_end_stops_the_run(name, data):
    message = r"^the loss is (inf|nan) at epoch 1, batch \d, learning rate 1e\+20; last finite loss: \d+\.\d{4}\. Take"
    with pytest.raises(NonFiniteLoss, match=message):
        both(name, data, lr=1e20)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_before_the_first_step_is_the_last_finite_one(name, data, monkeypatch):
    features, labels = data
    mean = 0.5 * float((labels**2).mean().asscalar())
    with pytest.raises(NonFiniteLoss, match=r"at epoch 1, batch 1, .* last finite loss: (\d+\.\d{4})\.") as error:
        both(name, (features, labels), 100, 1, lr=1e38)
    told = float(re.search(r"last finite loss: (\d+\.\d{4})\.", str(error.value))[1])
    assert told == pytest.approx(mean, rel=0.1)  # the weights are as good as 0


def test_settings_without_a_learning_rate_are_told_without_one(data):
    def explode(params, states, hyperparams):
        params[0][:] = math.nan

    with pytest.raises(NonFiniteLoss, match=r"^the loss is nan at epoch 1, batch 1; last finite loss: "):
        gb.train_ch7(explode, None, {"rho": 0.9}, *data)
    with pytest.raises(NonFiniteLoss, match=r"^the loss is nan at epoch 1, batch 1; last finite loss: "):
        gb.train_ch7(explode, None, None, *data)


def test_labels_may_stand_in_a_column(data, capsys):
    features, labels = data
    losses = []
    for y in (labels, labels.reshape((-1, 1))):
        np.random.seed(0)
        mx.random.seed(0)
        gb.train_ch7(sgd, None, {"lr": 0.1}, features, y)
        losses.append(printed(capsys))
    assert losses[0] == losses[1]
