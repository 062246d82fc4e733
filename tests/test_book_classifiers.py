"""The book's trainings print what a loop in NumPy finds, in the format of 2018, and leave its parameters behind."""

import re

import numpy as np
import pytest

import gluonbook as gb
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.training import NonFiniteLoss

PLAIN = r"epoch (\d+), loss (\d+\.\d{4}), train acc ([01]\.\d{3}), test acc ([01]\.\d{3})"
TIMED = PLAIN + r", time \d+\.\d sec"
d, K, BATCH_SIZE = 5, 4, 6
CPUS = [mx.cpu(i) for i in range(4)]
NO_STEPS = 1e-12  # a learning rate that is as good as none


def data(sizes, seed=0):
    generator = np.random.default_rng(seed)
    return [
        (nd.array(generator.normal(size=(N, d))), nd.array(generator.integers(0, K, N), dtype="int32")) for N in sizes
    ]


TRAIN, TEST = data((6, 6, 2)), data((6, 1), seed=1)  # the last batches are small


def weights(seed=3):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(d, K)), generator.normal(size=K)


def linear(ctx=None, lr=0.3):
    """Softmax regression in Gluon, and its trainer."""
    W, b = weights()
    net = gluon.nn.Dense(K, in_units=d)
    net.initialize(ctx=ctx)
    net.weight.set_data(nd.array(W.T))
    net.bias.set_data(nd.array(b))
    return net, gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr})


def slow_accuracy(W, b, batches):
    hits = [int(np.argmax(x @ W + b)) == int(label) for X, y in batches for x, label in zip(X.asnumpy(), y.asnumpy())]
    return sum(hits) / len(hits)


def slow_training(num_epochs, lr, divisor):
    """Softmax regression, example by example; the rows that are printed, W and b."""
    W, b = weights()
    rows = []
    for epoch in range(1, num_epochs + 1):
        loss, hits = [], []
        for X, y in TRAIN:
            gradient_W, gradient_b = np.zeros_like(W), np.zeros_like(b)
            for x, label in zip(X.asnumpy().astype(float), y.asnumpy()):
                logits = x @ W + b
                p = np.exp(logits) / np.exp(logits).sum()
                loss.append(-np.log(p[label]))
                hits.append(np.argmax(p) == label)
                gradient_W += np.outer(x, p - np.eye(K)[label])
                gradient_b += p - np.eye(K)[label]
            W, b = W - lr * gradient_W / divisor(len(X)), b - lr * gradient_b / divisor(len(X))
        rows.append((epoch, np.mean(loss), np.mean(hits), slow_accuracy(W, b, TEST)))
    return rows, W, b


def read(text, pattern, first=None):
    """The rows of (epoch, loss, train acc, test acc) that were printed; every line must match."""
    lines = text.splitlines()
    if first is not None:
        assert lines.pop(0) == first
    matches = [re.fullmatch(pattern, line) for line in lines]
    assert all(matches), lines
    return [(int(match[1]), *(float(match[i]) for i in (2, 3, 4))) for match in matches]


def assert_rows(found, expected):
    """Printed are 4 digits of the loss and 3 of the accuracies."""
    assert len(found) == len(expected)
    for row, right in zip(found, expected):
        assert row[0] == right[0]
        assert row[1] == pytest.approx(right[1], abs=6e-5)
        assert row[2:] == pytest.approx(right[2:], abs=5.1e-4)


def assert_weights(net, W, b, devices):
    for ctx in devices:
        np.testing.assert_allclose(net.weight.data(ctx).asnumpy().T, W, atol=1e-5)
        np.testing.assert_allclose(net.bias.data(ctx).asnumpy(), b, atol=1e-5)


# evaluate_accuracy


@pytest.mark.parametrize("ctx", [None, CPUS[1], CPUS[:1], CPUS[:3], "cpu(0)"], ids=str)
def test_accuracy_equals_a_slow_loop_on_any_devices(ctx):
    devices = ctx if isinstance(ctx, list) else [mx.cpu(0) if ctx in (None, "cpu(0)") else ctx]
    net, _ = linear(devices)
    found = gb.evaluate_accuracy(TRAIN, net) if ctx is None else gb.evaluate_accuracy(TRAIN, net, ctx)
    assert type(found) is np.float64
    assert found == slow_accuracy(*weights(), TRAIN)
    assert 0 < found < 1


@pytest.mark.parametrize("num_devices", [1, 2])
def test_accuracy_counts_each_pixel(num_devices):
    """The book's segmentation: (N, K, h, w) outputs, (N, h, w) labels."""
    generator = np.random.default_rng(0)
    outputs, labels = generator.normal(size=(3, K, 2, 2)), generator.integers(0, K, (3, 2, 2))
    right = sum(np.argmax(outputs[n, :, i, j]) == labels[n, i, j] for n, i, j in np.ndindex(labels.shape))
    batches = [(nd.array(outputs), nd.array(labels))]
    assert gb.evaluate_accuracy(batches, lambda X: X, CPUS[:num_devices]) == right / labels.size


@pytest.mark.parametrize(("labels", "accuracy"), [([1, 0], 1.0), ([0, 1], 0.0), ([1, 1], 0.5)])
def test_accuracy_by_hand(labels, accuracy):
    assert gb.evaluate_accuracy([(nd.array([[1, 2], [2, 1]]), nd.array(labels))], lambda X: X) == accuracy


def test_accuracy_of_no_batches_and_of_labels_that_are_no_class_is_refused():
    with pytest.raises(ValueError, match=r"^batches must give at least one batch, got none$"):
        gb.evaluate_accuracy(iter(()), lambda X: X)
    with pytest.raises(ValueError, match=r"^label 1 must be a class from 0 to 1, got 2$"):
        gb.evaluate_accuracy([(nd.zeros((2, 2)), nd.array([0, 2]))], lambda X: X)


# The three trainings


@pytest.mark.parametrize("ctx", [CPUS[0], CPUS[1], CPUS[:1], CPUS[:2], CPUS[:3]], ids=str)
def test_train_prints_and_learns_what_a_slow_loop_does(ctx, capsys):
    """It steps with each batch's own number of rows; the last one has fewer than three."""
    devices = ctx if isinstance(ctx, list) else [ctx]
    net, trainer = linear(devices)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    assert gb.train(iter_of(TRAIN), iter_of(TEST), net, loss, trainer, ctx, 3) is None
    rows, W, b = slow_training(3, 0.3, lambda N: N)
    assert_rows(read(capsys.readouterr().out, TIMED, f"training on {ctx}"), rows)
    assert_weights(net, W, b, devices)


def iter_of(batches):
    """A loader: each epoch goes over it anew."""
    return gluon.data.DataLoader(gluon.data.SimpleDataset(batches), batch_size=1, batchify_fn=lambda batch: batch[0])


def test_what_is_trained_on_is_printed_as_it_was_given(capsys):
    for ctx, line in ((CPUS[0], "training on cpu(0)"), (CPUS[:2], "training on [cpu(0), cpu(1)]")):
        net, trainer = linear(ctx)
        gb.train(TRAIN, TEST, net, gluon.loss.SoftmaxCrossEntropyLoss(), trainer, ctx, 1)
        assert capsys.readouterr().out.splitlines()[0] == line


@pytest.mark.parametrize("ctx", [CPUS[0], CPUS[1]], ids=str)
def test_train_ch5_prints_and_learns_what_a_slow_loop_does(ctx, capsys):
    """It divides by the given batch size, also where a batch is smaller."""
    net, trainer = linear(ctx)
    assert gb.train_ch5(net, iter_of(TRAIN), iter_of(TEST), BATCH_SIZE, trainer, ctx, 3) is None
    rows, W, b = slow_training(3, 0.3, lambda N: BATCH_SIZE)
    assert_rows(read(capsys.readouterr().out, TIMED, f"training on {ctx}"), rows)
    assert_weights(net, W, b, [ctx])


def test_train_ch3_with_a_trainer_prints_and_learns_what_a_slow_loop_does(capsys):
    net, trainer = linear()
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    assert gb.train_ch3(net, iter_of(TRAIN), iter_of(TEST), loss, 3, BATCH_SIZE, trainer=trainer) is None
    rows, W, b = slow_training(3, 0.3, lambda N: BATCH_SIZE)
    assert_rows(read(capsys.readouterr().out, PLAIN), rows)
    assert_weights(net, W, b, [mx.cpu()])


@pytest.mark.parametrize("batch_size", [BATCH_SIZE, 1, 100])
def test_train_ch3_from_scratch_prints_and_learns_what_a_slow_loop_does(batch_size, capsys):
    W, b = (nd.array(weight) for weight in weights())
    W.attach_grad()
    b.attach_grad()

    def net(X):
        return nd.softmax(nd.dot(X, W) + b)

    def cross_entropy(y_hat, y):
        return -nd.pick(y_hat, y).log()

    gb.train_ch3(net, TRAIN, TEST, cross_entropy, 2, batch_size, [W, b], 0.05)
    rows, right_W, right_b = slow_training(2, 0.05, lambda N: batch_size)
    assert_rows(read(capsys.readouterr().out, PLAIN), rows)
    np.testing.assert_allclose(W.asnumpy(), right_W, atol=1e-5)
    np.testing.assert_allclose(b.asnumpy(), right_b, atol=1e-5)


def test_train_ch3_takes_the_trainer_where_there_are_params_too(capsys):
    net, trainer = linear(lr=0.1)
    loss, param = gluon.loss.SoftmaxCrossEntropyLoss(), nd.ones(1)
    param.attach_grad()
    param.grad[:] = 1
    gb.train_ch3(net, TRAIN, TEST, loss, 1, BATCH_SIZE, [param], 5.0, trainer)
    _, W, b = slow_training(1, 0.1, lambda N: BATCH_SIZE)
    assert_weights(net, W, b, [mx.cpu()])
    assert param.asscalar() == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [((), "params=None, lr=None"), (([],), r"params=\[\], lr=None"), ((None, 0.1), r"params=None, lr=0\.1")],
)
def test_train_ch3_needs_a_trainer_or_params_and_lr(arguments, told):
    net, _ = linear()
    with pytest.raises(ValueError, match=f"^params and lr must be given where trainer is None, got {told}$"):
        gb.train_ch3(net, TRAIN, TEST, gluon.loss.SoftmaxCrossEntropyLoss(), 1, BATCH_SIZE, *arguments)


def test_the_printed_loss_is_a_mean_over_losses_or_over_labels(capsys):
    """One loss a row of K labels, outputs (N, K, K): train divides by losses, the book's other two by labels."""
    generator = np.random.default_rng(0)
    outputs = [nd.array(generator.normal(size=(N, K, K))) for N in (4, 2)]
    batches = [(X, nd.array(generator.integers(0, K, (len(X), K)))) for X in outputs]
    scale = gluon.Parameter("scale", shape=(1,))
    scale.initialize(mx.init.One())
    trainer = gluon.Trainer([scale], "sgd", {"learning_rate": NO_STEPS})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    losses = np.concatenate([loss(X, y).asnumpy() for X, y in batches])
    assert losses.shape == (6,)
    hits = np.mean(np.concatenate([(X.argmax(axis=1) == y).asnumpy() for X, y in batches]))
    assert 0 < hits < 1

    def net(X):
        return X * scale.data()

    gb.train(batches, batches, net, loss, trainer, mx.cpu(), 1)
    ((_, printed, *accuracies),) = read(capsys.readouterr().out, TIMED, "training on cpu(0)")
    assert printed == pytest.approx(losses.mean(), abs=6e-5)
    assert accuracies == pytest.approx([hits, hits], abs=5.1e-4)
    gb.train_ch3(net, batches, batches, loss, 1, 4, trainer=trainer)
    ((_, printed, *accuracies),) = read(capsys.readouterr().out, PLAIN)
    assert printed == pytest.approx(losses.sum() / (6 * K), abs=6e-5)
    assert accuracies == pytest.approx([hits, hits], abs=5.1e-4)
    gb.train_ch5(net, batches, batches, 4, trainer, mx.cpu(), 1)
    ((_, printed, *accuracies),) = read(capsys.readouterr().out, TIMED, "training on cpu(0)")
    assert printed == pytest.approx(losses.sum() / (6 * K), abs=6e-5)
    assert accuracies == pytest.approx([hits, hits], abs=5.1e-4)


def train_with(name, train_iter, test_iter, num_epochs=2, lr=0.1):
    """Run one of the trainings on softmax regression."""
    net, trainer = linear(lr=lr)
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    if name == "train":
        gb.train(train_iter, test_iter, net, loss, trainer, mx.cpu(), num_epochs)
    elif name == "train_ch5":
        gb.train_ch5(net, train_iter, test_iter, BATCH_SIZE, trainer, mx.cpu(), num_epochs)
    elif name == "train_ch3":
        gb.train_ch3(net, train_iter, test_iter, loss, num_epochs, BATCH_SIZE, trainer=trainer)
    else:
        params = [net.weight.data(), net.bias.data()]
        gb.train_ch3(net, train_iter, test_iter, loss, num_epochs, BATCH_SIZE, params, lr)


TRAININGS = ["train", "train_ch5", "train_ch3", "train_ch3 from scratch"]


@pytest.mark.parametrize("name", TRAININGS)
def test_batches_used_up_in_the_first_epoch_are_told_in_the_second(name, capsys):
    with pytest.raises(ValueError, match=r"^batches must give at least one batch an epoch, got none in epoch 2$"):
        train_with(name, iter(TRAIN), TEST)
    assert capsys.readouterr().out.splitlines()[-1].startswith("epoch 1, loss ")
    with pytest.raises(ValueError, match=r"^batches must give at least one batch, got none$"):
        train_with(name, TRAIN, iter(TEST))


@pytest.mark.parametrize("name", TRAININGS)
def test_a_label_that_is_no_class_is_refused(name):
    wrong = [(nd.zeros((2, d)), nd.array([0, K]))]
    for arguments in ((wrong, TEST), (TRAIN, wrong)):
        with pytest.raises(ValueError, match=f"^label 1 must be a class from 0 to {K - 1}, got {K}$"):
            train_with(name, *arguments)


@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize(
    ("num_epochs", "error", "message"),
    [
        (0, ValueError, "num_epochs must be at least 1, got 0"),
        (1.5, TypeError, r"num_epochs must be a whole number, got 1\.5"),
    ],
)
def test_the_number_of_epochs_is_checked(name, num_epochs, error, message):
    with pytest.raises(error, match=f"^{message}"):
        train_with(name, TRAIN, TEST, num_epochs)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_loss_that_is_not_finite_names_epoch_batch_and_learning_rate(name):
    bad = (nd.array(np.full((2, d), np.nan)), nd.array([0, 1]))
    epochs = iter([TRAIN, [*TRAIN, bad]])

    class Loader:
        def __iter__(self):
            return iter(next(epochs))

    told = r"^the loss is nan at epoch 2, batch 4, learning rate 0\.125; last finite loss: \d\.\d{4}\. Take a smaller"
    with pytest.raises(NonFiniteLoss, match=told):
        train_with(name, Loader(), TEST, lr=0.125)


@pytest.mark.parametrize("name", TRAININGS)
def test_the_last_finite_loss_may_be_the_epochs_before(name, capsys):
    epochs = iter([TRAIN, [(nd.array(np.full((2, d), np.nan)), nd.array([0, 1]))]])

    class Loader:
        def __iter__(self):
            return iter(next(epochs))

    with pytest.raises(NonFiniteLoss, match=r"at epoch 2, batch 1, .*; last finite loss: \d\.\d{4}\.") as error:
        train_with(name, Loader(), TEST)
    printed = re.search(r"epoch 1, loss (\d\.\d{4}),", capsys.readouterr().out)[1]
    assert f"last finite loss: {printed}." in str(error.value)


@pytest.mark.parametrize("name", ["train", "train_ch5", "train_ch3"])
def test_the_learning_rate_told_is_the_trainers_of_that_time(name):
    net, _ = linear()
    schedule = mx.lr_scheduler.FactorScheduler(step=3, factor=0.5, base_lr=0.5)
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"lr_scheduler": schedule})
    epochs = iter([TRAIN, TRAIN, [(nd.array(np.full((2, d), np.nan)), nd.array([0, 1]))]])

    class Loader:
        def __iter__(self):
            return iter(next(epochs))

    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    arguments = {
        "train": (Loader(), TEST, net, loss, trainer, mx.cpu(), 3),
        "train_ch5": (net, Loader(), TEST, BATCH_SIZE, trainer, mx.cpu(), 3),
        "train_ch3": (net, Loader(), TEST, loss, 3, BATCH_SIZE, None, None, trainer),
    }
    with pytest.raises(NonFiniteLoss, match=r"at epoch 3, batch 1, learning rate 0\.25;"):
        getattr(gb, name)(*arguments[name])


def test_a_dropout_layer_drops_in_training_and_not_in_the_test(capsys):
    net = gluon.nn.Sequential()
    modes = []

    class Watch(gluon.nn.Block):
        def forward(self, X):
            modes.append(autograd.is_training())
            return X

    net.add(Watch(), gluon.nn.Dense(K))
    net.initialize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
    gb.train_ch5(net, TRAIN, TEST, BATCH_SIZE, trainer, mx.cpu(), 1)
    assert modes == [True] * len(TRAIN) + [False] * len(TEST)


def test_a_line_by_hand(capsys):
    """Four examples, one of a wrong label; a right one's loss is log(1 + 3 exp(-10)), and 10 more where it is wrong."""
    X, y = nd.array(np.eye(K) * 10), nd.array([0, 1, 2, 0], dtype="int32")
    scale = gluon.Parameter("scale", shape=(1,))
    scale.initialize(mx.init.One())
    trainer = gluon.Trainer([scale], "sgd", {"learning_rate": NO_STEPS})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    gb.train_ch3(lambda X: X * scale.data(), [(X, y)], [(X[:3], y[:3])], loss, 1, K, trainer=trainer)
    assert capsys.readouterr().out == "epoch 1, loss 2.5001, train acc 0.750, test acc 1.000\n"


# predict_sentiment


class Words:
    """A vocabulary: a word's index is its length."""

    def to_indices(self, tokens):
        return [len(token) for token in tokens]


@pytest.mark.parametrize(
    ("outputs", "said"), [([0.1, 0.2], "positive"), ([0.2, 0.1], "negative"), ([-1, -2], "negative")]
)
def test_a_sentence_is_positive_where_the_second_output_is_larger(outputs, said):
    seen = []

    def net(tokens):
        seen.append((tokens.asnumpy().tolist(), tokens.context))
        return nd.array([outputs])

    assert gb.predict_sentiment(net, Words(), ["this", "is", "so", "great"]) == said
    assert seen == [([[4, 2, 2, 5]], gb.try_gpu())]


def test_a_sentence_of_one_word_and_an_unknown_one_with_mxnets_vocabulary():
    vocab = gb.text.vocab.Vocabulary(gb.collections.Counter({"good": 2, "bad": 1}))
    embedding = {vocab.to_indices("good"): "positive", vocab.to_indices("bad"): "negative", 0: "negative"}

    def net(tokens):
        assert tokens.shape == (1, 1)
        positive = embedding[int(tokens[0, 0].asscalar())] == "positive"
        return nd.array([[0, 1] if positive else [1, 0]])

    assert [gb.predict_sentiment(net, vocab, [word]) for word in ("good", "bad", "ugly")] == [
        "positive",
        "negative",
        "negative",
    ]


def test_a_sentence_that_is_one_string_or_empty_is_refused():
    with pytest.raises(TypeError, match=r"^sentence must be a list of tokens, got 'so great'$"):
        gb.predict_sentiment(lambda X: X, Words(), "so great")
    with pytest.raises(ValueError, match=r"^length of sentence must be at least 1, got 0$"):
        gb.predict_sentiment(lambda X: X, Words(), [])
