"""The book's comparisons of optimisers, as a reader runs them, on a set in the file and the shape of the airfoil's.

Bounds lie beside what seeds 0 to 2 gave, which a comment says; 0.5 is half the variance of the labels.
"""

import re

import numpy as np
import pytest

import gluonbook as gb
from gluonbook.book import figures

LINE = r"loss: (\d+\.\d{6}), \d+\.\d{6} sec per epoch\n"


@pytest.fixture(autouse=True)
def clean():
    """Seeds, which the book's programs set none of; and no figures, which would be saved when pytest ends."""
    gb.plt.close("all")
    gb.mx.random.seed(0)
    gb.np.random.seed(0)
    yield
    gb.plt.close("all")
    figures._waiting.clear()


@pytest.fixture
def airfoil(isolated):
    """../data/airfoil_self_noise.dat: 1503 rows of five columns of unlike scales, and a noisy sum of them."""
    generator = np.random.default_rng(0)
    columns = generator.normal(size=(1503, 5))
    columns[:, 4] += columns[:, 1]  # two are correlated, as in the real set
    noise = columns @ [-1.0, -0.6, -0.8, 0.4, -0.3] + 0.9 * generator.normal(size=1503)
    table = np.column_stack([columns * [3000, 6, 0.1, 15, 0.013] + [2900, 7, 0.14, 51, 0.011], 125 + 7 * noise])
    (isolated / "work" / "data").mkdir()
    np.savetxt(isolated / "work" / "data" / "airfoil_self_noise.dat", table, fmt="%.9g", delimiter="\t")
    return table


@pytest.fixture
def best(airfoil):
    """The smallest loss that any weights have."""
    table = (airfoil - airfoil.mean(axis=0)) / airfoil.std(axis=0)
    return float(np.linalg.lstsq(table[:, :-1], table[:, -1], rcond=None)[1][0]) / (2 * len(table))


@pytest.fixture
def run(airfoil, capsys):
    """Run a training; returns the loss that was printed and the losses of its figure."""

    def train(function, *arguments, batch_size=10, num_epochs=2, rows=1503):
        gb.plt.close("all")
        capsys.readouterr()
        features, labels = gb.get_data_ch7()
        assert function(*arguments, features[:rows], labels[:rows], batch_size, num_epochs) is None
        match = re.fullmatch(LINE, capsys.readouterr().out)
        assert match
        (axes,) = gb.plt.gcf().axes
        (line,) = axes.lines
        x, losses = line.get_xdata(), line.get_ydata()
        noted = sum(number * batch_size % 100 == 0 for number in range(1, -(-rows // batch_size) + 1))
        assert len(losses) == 1 + num_epochs * noted
        np.testing.assert_allclose(x, np.linspace(0, num_epochs, len(losses)))
        assert f"{losses[-1]:f}" == match[1]
        assert losses[0] == pytest.approx(0.5, abs=0.03)  # the weights begin near 0
        return float(match[1]), losses

    return train


def sgd(params, states, hyperparams):
    for p in params:
        p[:] -= hyperparams["lr"] * p.grad


def sgd_momentum(params, states, hyperparams):
    for p, v in zip(params, states):
        v[:] = hyperparams["momentum"] * v + hyperparams["lr"] * p.grad
        p[:] -= v


def adam(params, states, hyperparams):
    beta1, beta2, eps = 0.9, 0.999, 1e-6
    for p, (v, s) in zip(params, states):
        v[:] = beta1 * v + (1 - beta1) * p.grad
        s[:] = beta2 * s + (1 - beta2) * p.grad.square()
        v_bias_corr = v / (1 - beta1 ** hyperparams["t"])
        s_bias_corr = s / (1 - beta2 ** hyperparams["t"])
        p[:] -= hyperparams["lr"] * v_bias_corr / (s_bias_corr.sqrt() + eps)
    hyperparams["t"] += 1


def pair():
    return gb.nd.zeros((5, 1)), gb.nd.zeros(1)


def scratch(name):
    """The arguments of train_ch7."""
    return {
        "sgd": (sgd, None, {"lr": 0.05}),
        "momentum": (sgd_momentum, pair(), {"lr": 0.02, "momentum": 0.5}),
        "adam": (adam, [tuple(state) for state in zip(pair(), pair())], {"lr": 0.01, "t": 1}),
    }[name]


GLUON = {
    "sgd": ("sgd", {"learning_rate": 0.05}),
    "momentum": ("sgd", {"learning_rate": 0.02, "momentum": 0.5}),
    "adagrad": ("adagrad", {"learning_rate": 0.1}),
    "rmsprop": ("rmsprop", {"learning_rate": 0.01, "gamma1": 0.9}),
    "adadelta": ("adadelta", {"rho": 0.9}),
    "adam": ("adam", {"learning_rate": 0.01}),
}


def test_the_set_has_the_shape_and_the_scale_of_the_airfoils(airfoil):
    features, labels = gb.get_data_ch7()
    assert (features.shape, labels.shape) == ((1503, 5), (1503,))
    for column in [*features.asnumpy().T, labels.asnumpy()]:
        assert (abs(column.mean()), column.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, abs=1e-5))
    assert (features.shape[1] + 1) == airfoil.shape[1]


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_an_optimiser_from_scratch_descends_as_gluons_does(name, run, best):
    """With one seed both begin at the same weights and see the same batches."""
    last, losses = run(gb.train_ch7, *scratch(name))
    assert best < last < 1.1 * best  # seeds 0-2: 1.007-1.020 times the best
    assert losses[5] < losses[0] / 2
    gb.mx.random.seed(0)
    gb.np.random.seed(0)
    gluons, its_losses = run(gb.train_gluon_ch7, *GLUON[name])
    assert gluons == pytest.approx(last, abs=2e-6)  # both are rounded to 6 digits, and add in another order
    np.testing.assert_allclose(its_losses, losses, atol=1e-5)


@pytest.mark.parametrize("name", list(GLUON))
def test_an_optimiser_of_gluons_descends(name, run, best):
    last, losses = run(gb.train_gluon_ch7, *GLUON[name])
    assert best < last < 1.1 * best  # seeds 0-2: 1.004-1.022 times the best
    assert losses[8] < losses[0] / 2


def test_batches_of_one_descend_in_one_epoch(run, best):
    last, losses = run(gb.train_ch7, sgd, None, {"lr": 0.005}, batch_size=1, num_epochs=1)
    assert best < last < 1.1 * best  # seeds 0-2: 1.003-1.022 times the best
    assert losses[4] < losses[0] / 2


def test_small_batches_descend_further_than_the_whole_set_at_once(run):
    """The book's comparison; 1500 rows, as its page keeps, are a multiple of 100."""
    whole = 1500
    last = {}
    for batch_size in (whole, 10):
        gb.mx.random.seed(0)
        gb.np.random.seed(0)
        last[batch_size], _ = run(
            gb.train_ch7, sgd, None, {"lr": 0.05}, batch_size=batch_size, num_epochs=1, rows=whole
        )
    assert last[10] < 0.2  # seeds 0-2: 0.11
    assert last[whole] > 0.4  # seeds 0-2: 0.45-0.47, a single step


# A walk


def f_2d(x1, x2):
    return 0.1 * x1**2 + 2 * x2**2


def gd_2d(x1, x2, s1, s2):
    eta = 0.4
    return x1 - eta * 0.2 * x1, x2 - eta * 4 * x2, 0, 0


def momentum_2d(x1, x2, v1, v2):
    eta, gamma = 0.4, 0.5
    v1 = gamma * v1 + eta * 0.2 * x1
    v2 = gamma * v2 + eta * 4 * x2
    return x1 - v1, x2 - v2, v1, v2


def test_gradient_descent_walks_to_the_minimum(capsys):
    walk = gb.train_2d(gd_2d)
    expected = [(-5 * 0.92**i, -2 * (-0.6) ** i) for i in range(21)]
    np.testing.assert_allclose(walk, expected, rtol=1e-9)
    assert capsys.readouterr().out == "epoch 20, x1 -0.943467, x2 -0.000073\n"  # the book's line, too
    gb.show_trace_2d(f_2d, walk)
    (axes,) = gb.plt.gcf().axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), expected, rtol=1e-6)


def test_momentum_walks_further_than_gradient_descent(capsys):
    walk = gb.train_2d(momentum_2d)
    line = capsys.readouterr().out
    ends = []
    for slope, x in ((0.2, -5), (4, -2)):
        step = np.array([[1 - 0.4 * slope, -0.5], [0.4 * slope, 0.5]])  # of (x, v)
        ends.append((np.linalg.matrix_power(step, 20) @ [x, 0])[0])
    assert walk[-1] == pytest.approx(ends)
    assert line == f"epoch 20, x1 {ends[0]:f}, x2 {ends[1]:f}\n"
    assert f_2d(*walk[-1]) < f_2d(*gb.train_2d(gd_2d)[-1]) / 100
