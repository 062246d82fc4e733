"""Whole programs in the manner of the book, on small sets in the files of Fashion-MNIST: they print, and they learn.

Bounds lie below what seeds 0 to 2 gave, which a comment beside each says; chance is 0.1.
"""

import gzip
import math
import re
import struct

import numpy as np
import pytest

import gluonbook as gb

PLAIN = r"epoch (\d+), loss (\d+\.\d{4}), train acc ([01]\.\d{3}), test acc ([01]\.\d{3})"
TIMED = PLAIN + r", time \d+\.\d sec"


def write_idx(path, array):
    """Write uint8 values as the published files hold them."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes(), compresslevel=1))


def write_set(folder, num_train, num_test):
    """Write pictures: each is its class's, bright squares on black, shifted by up to two pixels, under noise."""
    generator = np.random.default_rng(0)
    classes = (generator.uniform(size=(10, 7, 7)) < 0.3).repeat(4, axis=1).repeat(4, axis=2)  # (10, 28, 28)
    for split, count in (("train", num_train), ("t10k", num_test)):
        labels = generator.permutation(np.arange(count) % 10).astype(np.uint8)
        shifts = generator.integers(-2, 3, (count, 2))
        pictures = np.stack([np.roll(classes[label], shift, (0, 1)) for label, shift in zip(labels, shifts)])
        pictures = 150 * pictures + generator.normal(0, 110, pictures.shape)
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", pictures.clip(0, 255).astype(np.uint8))
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", labels)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("fashion-mnist"), 1000, 200)


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("fashion-mnist"), 300, 100)


@pytest.fixture(autouse=True)
def seeds():
    """The book's programs set none."""
    gb.mx.random.seed(0)
    gb.np.random.seed(0)


def slow_accuracy(net, batches):
    """One picture after another."""
    hits = []
    for X, y in batches:
        outputs = net(X).asnumpy()
        hits += [max(range(10), key=outputs[i].__getitem__) == int(y[i].asscalar()) for i in range(len(outputs))]
    return sum(hits) / len(hits)


@pytest.fixture
def printed(capsys):
    """A function that reads what was printed: losses, accuracies in training and accuracies in the test, by epoch."""

    def read(pattern, num_epochs, first=None):
        lines = capsys.readouterr().out.splitlines()
        if first is not None:
            assert lines.pop(0) == first
        rows = [re.fullmatch(pattern, line) for line in lines]
        assert all(rows), lines
        assert [int(row[1]) for row in rows] == list(range(1, num_epochs + 1))
        return [[float(row[i]) for row in rows] for i in (2, 3, 4)]

    return read


def test_softmax_regression_from_scratch(folder, printed):
    batch_size, num_inputs, num_outputs = 50, 784, 10
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size, root=folder)
    W = gb.nd.random.normal(scale=0.01, shape=(num_inputs, num_outputs))
    b = gb.nd.zeros(num_outputs)
    W.attach_grad()
    b.attach_grad()

    def softmax(X):
        X_exp = X.exp()
        return X_exp / X_exp.sum(axis=1, keepdims=True)

    def net(X):
        return softmax(gb.nd.dot(X.reshape((-1, num_inputs)), W) + b)

    def cross_entropy(y_hat, y):
        return -gb.nd.pick(y_hat, y).log()

    untrained = gb.evaluate_accuracy(test_iter, net)
    gb.train_ch3(net, train_iter, test_iter, cross_entropy, 5, batch_size, [W, b], 0.1)
    loss, train_acc, test_acc = printed(PLAIN, 5)
    assert untrained < 0.25  # seeds 0-2: 0.06-0.11
    assert loss == sorted(loss, reverse=True)
    assert loss[0] < math.log(10)  # the loss of an even guess
    assert loss[-1] < 0.5  # seeds 0-2: 0.33-0.34
    assert train_acc[-1] > 0.95  # seeds 0-2: 0.998-1
    assert test_acc[-1] > 0.9  # seeds 0-2: 0.98-0.99
    assert test_acc[-1] == pytest.approx(slow_accuracy(net, test_iter), abs=5e-4)


def test_softmax_regression_with_gluon(folder, printed):
    batch_size = 50
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size, root=folder)
    net = gb.nn.Sequential()
    net.add(gb.nn.Dense(10))
    net.initialize(gb.init.Normal(sigma=0.01))
    loss = gb.gloss.SoftmaxCrossEntropyLoss()
    trainer = gb.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    gb.train_ch3(net, train_iter, test_iter, loss, 5, batch_size, None, None, trainer)
    loss, train_acc, test_acc = printed(PLAIN, 5)
    assert loss == sorted(loss, reverse=True)
    assert loss[0] < math.log(10)
    assert loss[-1] < 0.5  # seeds 0-2: 0.34
    assert train_acc[-1] > 0.95  # seeds 0-2: 0.999-1
    assert test_acc[-1] > 0.9  # seeds 0-2: 0.98-0.99
    assert test_acc[-1] == pytest.approx(slow_accuracy(net, test_iter), abs=5e-4)


def test_a_multilayer_perceptron_from_scratch(folder, printed):
    batch_size, num_inputs, num_outputs, num_hiddens = 50, 784, 10, 64
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size, root=folder)
    W1 = gb.nd.random.normal(scale=0.01, shape=(num_inputs, num_hiddens))
    b1 = gb.nd.zeros(num_hiddens)
    W2 = gb.nd.random.normal(scale=0.01, shape=(num_hiddens, num_outputs))
    b2 = gb.nd.zeros(num_outputs)
    params = [W1, b1, W2, b2]
    for param in params:
        param.attach_grad()

    def relu(X):
        return gb.nd.maximum(X, 0)

    def net(X):
        X = X.reshape((-1, num_inputs))
        H = relu(gb.nd.dot(X, W1) + b1)
        return gb.nd.dot(H, W2) + b2

    loss = gb.gloss.SoftmaxCrossEntropyLoss()
    gb.train_ch3(net, train_iter, test_iter, loss, 6, batch_size, params, 0.2)
    loss, train_acc, test_acc = printed(PLAIN, 6)
    assert loss == sorted(loss, reverse=True)
    assert loss[-1] < 0.4  # seeds 0-2: 0.11-0.13
    assert train_acc[0] < 0.4  # seeds 0-2: 0.15-0.23
    assert train_acc[-1] > 0.9  # seeds 0-2: 0.997-1
    assert test_acc[-1] > 0.9  # seeds 0-2: 0.985-0.995
    assert test_acc[-1] == pytest.approx(slow_accuracy(net, test_iter), abs=5e-4)


def test_a_multilayer_perceptron_with_gluon(folder, printed):
    batch_size = 50
    net = gb.nn.Sequential()
    net.add(gb.nn.Dense(64, activation="relu"), gb.nn.Dense(10))
    net.initialize(gb.init.Normal(sigma=0.01))
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size, root=folder)
    loss = gb.gloss.SoftmaxCrossEntropyLoss()
    trainer = gb.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.2})
    gb.train_ch3(net, train_iter, test_iter, loss, 6, batch_size, None, None, trainer)
    loss, train_acc, test_acc = printed(PLAIN, 6)
    assert loss == sorted(loss, reverse=True)
    assert loss[-1] < 0.4  # seeds 0-2: 0.11-0.13
    assert train_acc[0] < 0.4  # seeds 0-2: 0.15-0.23
    assert train_acc[-1] > 0.9  # seeds 0-2: 0.997-1
    assert test_acc[-1] > 0.9  # seeds 0-2: 0.985-0.995
    assert test_acc[-1] == pytest.approx(slow_accuracy(net, test_iter), abs=5e-4)


def test_lenet(folder, printed):
    net = gb.nn.Sequential()
    net.add(
        gb.nn.Conv2D(channels=6, kernel_size=5, activation="sigmoid"),
        gb.nn.MaxPool2D(pool_size=2, strides=2),
        gb.nn.Conv2D(channels=16, kernel_size=5, activation="sigmoid"),
        gb.nn.MaxPool2D(pool_size=2, strides=2),
        gb.nn.Dense(120, activation="sigmoid"),
        gb.nn.Dense(84, activation="sigmoid"),
        gb.nn.Dense(10),
    )
    batch_size = 10
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size=batch_size, root=folder)
    lr, num_epochs, ctx = 0.003, 7, gb.mx.cpu()
    net.initialize(force_reinit=True, ctx=ctx, init=gb.init.Xavier())
    trainer = gb.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": lr})
    gb.train_ch5(net, train_iter, test_iter, batch_size, trainer, ctx, num_epochs)
    loss, train_acc, test_acc = printed(TIMED, num_epochs, "training on cpu(0)")
    assert loss[-1] < loss[0] / 4  # seeds 0-2: a twentieth, after two or three epochs on a plateau, as in the book
    assert train_acc[0] < 0.2  # seeds 0-2: 0.08-0.11
    assert train_acc[-1] > 0.85  # seeds 0-2: 0.98-0.99
    assert test_acc[-1] > 0.8  # seeds 0-2: 0.94-0.98
    assert test_acc[-1] == pytest.approx(slow_accuracy(net, test_iter), abs=5e-4)


def test_resnet18_on_two_devices(small_folder, printed):
    ctx = [gb.mx.cpu(0), gb.mx.cpu(1)]
    batch_size, num_epochs = 20, 4
    train_iter, test_iter = gb.load_data_fashion_mnist(batch_size, resize=6, root=small_folder)
    net = gb.resnet18(10)
    net.initialize(init=gb.init.Xavier(), ctx=ctx)
    trainer = gb.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.02})
    loss = gb.gloss.SoftmaxCrossEntropyLoss()
    gb.train(train_iter, test_iter, net, loss, trainer, ctx, num_epochs)
    loss, train_acc, test_acc = printed(TIMED, num_epochs, "training on [cpu(0), cpu(1)]")
    assert loss == sorted(loss, reverse=True)
    assert loss[-1] < 1  # seeds 0-2: 0.31-0.57
    assert train_acc[-1] > 0.7  # seeds 0-2: 0.83-0.88
    assert test_acc[-1] > 0.4  # seeds 0-2: 0.63-0.74; 60 batches are few for the running statistics
    for param in net.collect_params().values():
        assert param.list_ctx() == ctx
        if param.grad_req != "null":  # running statistics are each device's own
            first, second = param.list_data()
            np.testing.assert_array_equal(first.asnumpy(), second.asnumpy())
