"""Clipping, the guard, checkpoints: what every training of the package shares."""

import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gluonbook import _files, _mxnet, training
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.training import losses

FLOATS = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
GRADIENTS = st.lists(
    hnp.arrays("float32", hnp.array_shapes(max_dims=3, max_side=4), elements=FLOATS), min_size=1, max_size=4
)


def clip_slowly(gradients, theta):
    """Clip by the formula, in float64, an element at a time."""
    total = 0.0
    for gradient in gradients:
        for value in gradient.ravel():
            total += float(value) ** 2
    norm = math.sqrt(total)
    return [gradient * min(1.0, theta / norm if norm else 1.0) for gradient in map(np.float64, gradients)], norm


def joint_norm(arrays):
    return math.sqrt(sum(float((np.float64(array) ** 2).sum()) for array in arrays))


@settings(max_examples=60, deadline=None)
@given(gradients=GRADIENTS, theta=st.floats(1e-3, 1e4))
def test_clipping_is_the_formula(gradients, theta):
    arrays = [nd.array(gradient) for gradient in gradients]
    returned = training.clip_gradients(arrays, theta)
    wanted, norm = clip_slowly(gradients, theta)
    assert returned.shape == (1,)
    assert returned.asscalar() == pytest.approx(norm, rel=1e-5, abs=1e-15)
    for array, right in zip(arrays, wanted):
        np.testing.assert_allclose(array.asnumpy(), right, rtol=1e-5, atol=1e-30)
    assert joint_norm([array.asnumpy() for array in arrays]) <= theta * (1 + 1e-5)


@settings(max_examples=30, deadline=None)
@given(gradients=GRADIENTS, theta=st.floats(1e-3, 1e4))
def test_clipping_agrees_with_gluons(gradients, theta):
    ours, theirs = ([nd.array(gradient) for gradient in gradients] for _ in range(2))
    training.clip_gradients(ours, theta)
    gluon.utils.clip_global_norm(theirs, theta)
    for a, b in zip(ours, theirs):  # gluon's divides by norm + 1e-8
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("fast", [False, True])
def test_the_mean_cross_entropy_and_its_gradient_are_those_by_hand(hybridize, dtype, fast, monkeypatch):
    """In float64; a head gradient scales it. The last rows' labels are impossible, and right, to float32."""
    monkeypatch.setattr(losses, "_has_fast_gradient", lambda: fast)

    class Loss(gluon.HybridBlock):
        def hybrid_forward(self, F, logits, labels):
            return training.mean_cross_entropy(F, logits, labels, 5)

    rows = np.random.RandomState(0).randn(7, 5).astype("float32") * 3
    rows[-2:] = [[0, 500, 0, 0, 0], [-400, 0, 0, 300, 0]]
    y = np.array([0, 4, 1, 1, 2, 0, 3])
    loss, logits = Loss(), nd.array(rows)
    logits.attach_grad()
    if hybridize:
        loss.hybridize(static_alloc=True, static_shape=True)
    with autograd.record():
        l = loss(logits, nd.array(y, dtype=dtype))
    l.backward(nd.array([3.0]))
    shifted = rows.astype("float64") - rows.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    assert l.shape == (1,)
    assert l.asscalar() == pytest.approx(-log_p[range(7), y].mean(), rel=1e-6)
    assert l.asscalar() > 500 / 7
    slopes = 3 * (np.exp(log_p) - np.eye(5)[y]) / 7
    # oneDNN's kernel for the gradient has an exponential of its own.
    np.testing.assert_allclose(logits.grad.asnumpy(), slopes, rtol=0, atol=2e-6 if fast else 1e-7)


@settings(max_examples=30, deadline=None)
@given(
    logits=hnp.arrays("float32", hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(-30, 30, width=32)),
    fast=st.booleans(),
    data=st.data(),
)
def test_the_mean_cross_entropy_agrees_with_gluons(logits, fast, data):
    M, K = logits.shape
    labels = nd.array(data.draw(hnp.arrays("int32", M, elements=st.integers(0, K - 1))))
    found = []
    for loss in (
        lambda X: training.mean_cross_entropy(nd, X, labels, K),
        lambda X: gluon.loss.SoftmaxCrossEntropyLoss()(X, labels).mean(),
    ):
        X = nd.array(logits)
        X.attach_grad()
        with pytest.MonkeyPatch.context() as patch, autograd.record():
            patch.setattr(losses, "_has_fast_gradient", lambda: fast)
            l = loss(X)
        l.backward()
        found.append((l.asnumpy(), X.grad.asnumpy()))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=4e-6)  # oneDNN's log_softmax of a 0 alone is -1.4e-6


@pytest.mark.parametrize("logits", [[math.nan, 1], [math.inf, 1], [1, math.inf], [-3e38, 3e38]])
@pytest.mark.parametrize("fast", [False, True])
def test_a_mean_cross_entropy_that_is_not_finite_is_seen(logits, fast, monkeypatch):
    monkeypatch.setattr(losses, "_has_fast_gradient", lambda: fast)
    l = training.mean_cross_entropy(nd, nd.array([logits, [0, 0]]), nd.array([0, 0]), 2)
    assert not math.isfinite(l.asscalar())


class Recorder:
    """Stands for ``nd`` and keeps which operators are asked for."""

    def __init__(self):
        self.asked = set()

    def __getattr__(self, name):
        self.asked.add(name)
        return getattr(nd, name)


@pytest.mark.parametrize(("kernels", "by_hand"), [("SKYLAKEX", False), ("HASWELL", True), (None, True)])
def test_the_gradient_by_hand_is_for_processors_without_avx512(kernels, by_hand, monkeypatch):
    monkeypatch.setattr(_mxnet, "kernels", lambda: kernels)
    monkeypatch.setattr(losses, "_has_fast_gradient", losses._has_fast_gradient.__wrapped__)
    F = Recorder()
    training.mean_cross_entropy(F, nd.zeros((2, 3)), nd.array([0, 1]), 3)
    assert ("one_hot" in F.asked) is by_hand


def test_clipping_a_hand_sized_example():
    gradients = [nd.array([[3.0], [0.0]]), nd.array([4.0])]
    assert training.clip_gradients(gradients, 1).asscalar() == 5
    np.testing.assert_allclose(gradients[0].asnumpy(), [[0.6], [0]], rtol=1e-6)
    np.testing.assert_allclose(gradients[1].asnumpy(), [0.8], rtol=1e-6)


def test_clipping_is_in_place_and_keeps_the_direction():
    gradient = nd.array([3.0, -4.0])
    alias = gradient
    training.clip_gradients([gradient], 0.01)
    clipped = alias.asnumpy()
    assert np.linalg.norm(clipped) == pytest.approx(0.01)
    assert clipped @ [3, -4] == pytest.approx(0.01 * 5)  # the cosine is 1


@pytest.mark.parametrize("theta", [5.0, 5.1, 1e9])
def test_gradients_within_the_bound_keep_every_bit(theta):
    rows = np.random.RandomState(0).randn(7, 5).astype("float32")
    rows *= np.float32(4.99 / np.linalg.norm(rows))
    arrays = [nd.array(rows), nd.array([1e-30, -0.0])]
    before = [array.asnumpy().tobytes() for array in arrays]
    training.clip_gradients(arrays, theta)
    assert [array.asnumpy().tobytes() for array in arrays] == before


def test_a_norm_equal_to_the_bound_is_not_clipped():
    gradient = nd.array([3.0, 4.0])
    training.clip_gradients([gradient], 5)
    assert gradient.asnumpy().tolist() == [3, 4]


def test_zero_gradients_stay_zero():
    gradients = [nd.zeros((2, 3)), nd.zeros((4,))]
    assert training.clip_gradients(gradients, 0.01).asscalar() == 0
    assert [float(gradient.norm().asscalar()) for gradient in gradients] == [0, 0]


def test_a_gradient_that_is_not_finite_is_not_hidden():
    gradient = nd.array([math.nan, 1.0])
    assert math.isnan(training.clip_gradients([gradient], 1).asscalar())
    assert np.isnan(gradient.asnumpy()).any()


def test_gradients_too_large_to_square_do_not_pass_the_bound():
    gradient = nd.array([3e30, -4e30])
    training.clip_gradients([gradient], 5)
    assert np.linalg.norm(gradient.asnumpy()) <= 5


def test_no_bound_does_nothing():
    gradient = nd.array([3e30, 4.0])
    before = gradient.asnumpy()
    assert training.clip_gradients([gradient], None) is None
    np.testing.assert_array_equal(gradient.asnumpy(), before)


@pytest.mark.parametrize("theta", [0, -1.0, math.nan, math.inf])
def test_a_bad_bound_is_refused(theta):
    gradient = nd.array([3.0, 4.0])
    with pytest.raises(ValueError, match=f"theta must be above 0, got {theta}"):
        training.clip_gradients([gradient], theta)
    assert gradient.asnumpy().tolist() == [3, 4]


def test_no_gradients_are_refused_and_do_not_end_the_process():
    code = "from gluonbook.training import clip_gradients; clip_gradients([], 1.0)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1
    assert "ValueError: gradients" in result.stderr


@pytest.mark.parametrize(
    ("loss", "perplexity"), [(0.0, 1), (math.log(1027), 1027), (math.inf, math.inf), (710.0, math.inf)]
)
def test_perplexity(loss, perplexity):
    assert training.perplexity(loss) == pytest.approx(perplexity)


def test_perplexity_has_no_edge_before_it_is_infinite():
    assert training.perplexity(708.99) < math.inf
    assert math.isnan(training.perplexity(math.nan)) or training.perplexity(math.nan) == math.inf


class Counted:
    """A loss that counts how often it is read."""

    def __init__(self, value):
        self.value, self.reads = value, 0

    def asscalar(self):
        self.reads += 1
        return self.value


def test_the_guard_gives_the_mean():
    guard = training.LossGuard(epoch=1, lr=0.1)
    for loss in (1.0, 2.0, 6.0):
        guard.add(nd.array([loss]))
    assert guard.mean() == 3
    assert guard.mean() == 3
    assert guard.losses == [1, 2, 6]


def test_the_guard_works_with_one_batch_and_with_none():
    guard = training.LossGuard(epoch=1, lr=0.1)
    assert math.isnan(guard.mean())
    guard.add(nd.array([2.5]))
    assert guard.mean() == 2.5


def test_the_guard_reads_a_loss_once_and_one_batch_late():
    first, second = Counted(1.0), Counted(2.0)
    guard = training.LossGuard(epoch=1, lr=0.1)
    guard.add(first)
    assert first.reads == 0
    guard.add(second)
    assert (first.reads, second.reads) == (1, 0)
    guard.mean()
    assert (first.reads, second.reads) == (1, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_with_all_that_is_known(bad):
    guard = training.LossGuard(epoch=7, lr=0.25, last_finite=9.0)
    for loss in (1.5, 1.25, bad):
        guard.add(nd.array([loss]))
    with pytest.raises(training.NonFiniteLoss) as error:
        guard.add(nd.array([1.0]))
    assert f"the loss is {bad} at epoch 7, batch 3, learning rate 0.25; last finite loss: 1.2500." in str(error.value)


@pytest.mark.parametrize(("before", "said"), [(None, "none"), (2.0, "2.0000")])
def test_the_first_loss_is_held_against_the_epoch_before(before, said):
    guard = training.LossGuard(epoch=3, lr=1e-4, last_finite=before)
    guard.add(nd.array([math.nan]))
    with pytest.raises(training.NonFiniteLoss, match=rf"epoch 3, batch 1, learning rate 0\.0001; .* loss: {said}\."):
        guard.mean()


ARRAYS = {"weight": [[1.0, 2.0]], "bias": [3.0]}


def save(folder, epoch, scale=1.0):
    arrays = {name: nd.array(value) * scale for name, value in ARRAYS.items()}
    return training.save_checkpoint(folder, arrays, {"epoch": epoch, "history": [1.5, None], "cell": "分开"})


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    rows = nd.array(np.random.RandomState(0).randn(50, 3))
    counts = nd.array([1, 2**31 - 1], dtype="int32")
    path = training.save_checkpoint(tmp_path / "run", {"a": rows, "b": counts}, {"epoch": 3, "lr": 0.1})
    assert path == tmp_path / "run" / "checkpoint.json"
    arrays, info = training.load_checkpoint(tmp_path / "run")
    assert info == {"epoch": 3, "lr": 0.1}
    assert set(arrays) == {"a", "b"}
    assert arrays["a"].asnumpy().tobytes() == rows.asnumpy().tobytes()
    assert arrays["b"].dtype == np.int32
    assert arrays["b"].asnumpy().tolist() == counts.asnumpy().tolist()


def test_a_new_checkpoint_replaces_the_old_one(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2, scale=10)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-00002.params", "checkpoint.json"]
    arrays, info = training.load_checkpoint(tmp_path)
    assert info["epoch"] == 2
    assert arrays["bias"].asscalar() == 30


def test_a_checkpoint_of_the_same_epoch_may_be_written_again(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 1, scale=10)
    assert training.load_checkpoint(tmp_path)[0]["bias"].asscalar() == 30


def test_what_else_lies_in_the_folder_stays(tmp_path):
    (tmp_path / "model.params").write_text("mine")
    save(tmp_path, 1)
    save(tmp_path, 2)
    assert (tmp_path / "model.params").read_text() == "mine"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_stopped_while_the_arrays_are_written_the_old_checkpoint_is_whole(tmp_path, monkeypatch, error):
    save(tmp_path, 1)

    def write_half(name, arrays):
        with open(name, "wb") as file:
            file.write(b"half")
        raise error

    monkeypatch.setattr(nd, "save", write_half)
    with pytest.raises(type(error)):
        save(tmp_path, 2)
    arrays, info = training.load_checkpoint(tmp_path)
    assert (info["epoch"], arrays["bias"].asscalar()) == (1, 3)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-00001.params", "checkpoint.json"]


def test_stopped_between_the_two_files_the_old_checkpoint_is_whole(tmp_path, monkeypatch):
    save(tmp_path, 1)
    with monkeypatch.context() as broken:
        broken.setattr(_files, "write_json", lambda path, value: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, 2, scale=10)
    arrays, info = training.load_checkpoint(tmp_path)
    assert (info["epoch"], arrays["bias"].asscalar()) == (1, 3)
    save(tmp_path, 3)
    assert sorted(os.listdir(tmp_path)) == ["checkpoint-00003.params", "checkpoint.json"]


def test_a_folder_without_a_checkpoint_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.json is not there: no training to resume in this folder"):
        training.load_checkpoint(tmp_path)


def test_a_checkpoint_without_its_arrays_is_told(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "checkpoint-00001.params").unlink()
    with pytest.raises(FileNotFoundError, match=r"checkpoint-00001\.params is not there"):
        training.load_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"epoch": 1}', '{"params": 3}', "null"])
def test_a_checkpoint_whose_json_is_another_is_refused(tmp_path, text):
    save(tmp_path, 1)
    (tmp_path / "checkpoint.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "checkpoint.json"))):
        training.load_checkpoint(tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 20, 60, -1])
def test_arrays_cut_short_are_refused_in_one_line(tmp_path, keep):
    save(tmp_path, 1)
    path = tmp_path / "checkpoint-00001.params"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"checkpoint-00001\.params is not a readable \.params file") as error:
        training.load_checkpoint(tmp_path)
    assert "Traceback" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_text_file_is_not_taken_for_arrays(tmp_path):
    (tmp_path / "a.params").write_text("分开" * 100, encoding="utf-8")
    with pytest.raises(ValueError, match="is not a readable"):
        training.load_arrays(tmp_path / "a.params")


def test_arrays_without_names_are_refused(tmp_path):
    nd.save(str(tmp_path / "a.params"), [nd.ones((2,))])
    with pytest.raises(ValueError, match="holds arrays without names: not written by this package"):
        training.load_arrays(tmp_path / "a.params")


def schedule():
    return mx.lr_scheduler.FactorScheduler(step=3, factor=0.5, base_lr=0.1)


OPTIMIZERS = {
    "adam": ("adam", lambda: {"learning_rate": 0.05}),
    "sgd with momentum": ("sgd", lambda: {"learning_rate": 0.1, "momentum": 0.9}),
    "plain sgd": ("sgd", lambda: {"learning_rate": 0.1}),
    "scheduled adam": ("adam", lambda: {"lr_scheduler": schedule()}),
}


def network(seed):
    mx.random.seed(seed)
    net = gluon.nn.Sequential()
    net.add(gluon.nn.Dense(4, in_units=3, activation="tanh"), gluon.nn.Dense(1, in_units=4))
    net.initialize(mx.init.Xavier())
    return net


def train(net, trainer, steps):
    for step in steps:
        X = nd.array(np.random.RandomState(step).randn(8, 3))  # (N, 3)
        with autograd.record():
            loss = ((net(X) - X.sum(axis=1, keepdims=True)) ** 2).mean()
        loss.backward()
        trainer.step(1)


def weights(net):
    return [param.data() for param in net.collect_params().values()]


@pytest.mark.parametrize(("name", "hyper"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path, name, hyper):
    whole = network(seed=0)
    trainer = gluon.Trainer(whole.collect_params(), name, hyper())
    train(whole, trainer, range(5))
    arrays, counts = training.optimizer_state(trainer)
    arrays.update({f"weight:{i}": weight for i, weight in enumerate(weights(whole))})
    training.save_checkpoint(tmp_path, arrays, {"epoch": 5, "counts": counts})

    resumed = network(seed=1)
    arrays, info = training.load_checkpoint(tmp_path)
    for i, param in enumerate(resumed.collect_params().values()):
        param.set_data(arrays[f"weight:{i}"])
    again = gluon.Trainer(resumed.collect_params(), name, hyper())
    training.restore_optimizer(again, arrays, info["counts"])
    assert again.optimizer.num_update == 5
    assert again.learning_rate == trainer.learning_rate

    train(whole, trainer, range(5, 12))
    train(resumed, again, range(5, 12))
    assert again.optimizer.num_update == trainer.optimizer.num_update == 12
    for ours, theirs in zip(weights(resumed), weights(whole)):
        assert ours.asnumpy().tobytes() == theirs.asnumpy().tobytes()


def test_the_state_of_an_optimizer_is_arrays_and_plain_data(tmp_path):
    net = network(seed=0)
    trainer = gluon.Trainer(net.collect_params(), "adam")
    assert training.optimizer_state(trainer)[0] == {}
    train(net, trainer, range(2))
    arrays, counts = training.optimizer_state(trainer)
    assert sorted(arrays) == [f"optimizer:{index}:{i}" for index in range(4) for i in range(2)]
    _files.write_json(tmp_path / "counts.json", counts)
    assert _files.read_json(tmp_path / "counts.json") == {"num_update": 2, "counts": dict.fromkeys("0123", 2)}


# Several devices


def network_with_statistics(seed, contexts):
    mx.random.seed(seed)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(4, in_units=3), gluon.nn.BatchNorm(in_channels=4), gluon.nn.Dense(1, in_units=4))
    net.initialize(mx.init.Xavier(), ctx=contexts)
    return net


def train_on(net, trainer, contexts, steps):
    for step in steps:
        X = np.random.RandomState(step).randn(8, 3).astype("float32")  # (N, 3)
        with autograd.record():
            shares = [nd.array(share, ctx=ctx) for share, ctx in zip(np.array_split(X, len(contexts)), contexts)]
            losses = [((net(X) - X.sum(axis=1, keepdims=True)) ** 2).sum() for X in shares]
        autograd.backward(losses)
        trainer.step(8)


def restored(net, contexts, arrays, counts):
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.05}, update_on_kvstore=False)
    training.restore_optimizer(trainer, arrays, counts)
    return trainer


DEVICES = [[mx.cpu(0)], [mx.cpu(3)], [mx.cpu(0), mx.cpu(1)], [mx.cpu(2), mx.cpu(1), mx.cpu(0)]]


@pytest.mark.parametrize("contexts", DEVICES, ids=str)
def test_a_training_on_any_devices_goes_on_bit_for_bit(contexts):
    """Stopped twice, the second time before a step was made: what is taken from the restored trainer is whole, too."""
    whole = network_with_statistics(0, contexts)
    trainer = gluon.Trainer(whole.collect_params(), "adam", {"learning_rate": 0.05}, update_on_kvstore=False)
    train_on(whole, trainer, contexts, range(5))
    again, twice = network_with_statistics(1, contexts), network_with_statistics(2, contexts)
    values = [param.data(contexts[0]) for param in whole.collect_params().values()]
    for net in (again, twice):
        for param, value in zip(net.collect_params().values(), values):
            param.set_data(value)
    state = training.optimizer_state(trainer)
    first = restored(again, contexts, *state)
    arrays, counts = training.optimizer_state(first)
    assert counts == state[1]
    assert counts["num_update"] == 5
    assert sorted(arrays) == sorted(state[0])
    second = restored(twice, contexts, arrays, counts)
    for net, its in ((whole, trainer), (again, first), (twice, second)):
        train_on(net, its, contexts, range(5, 9))
    for net in (again, twice):
        for param, right in zip(net.collect_params().values(), whole.collect_params().values()):
            if param.grad_req != "null":  # running statistics are each device's own
                for ctx in contexts:
                    assert param.data(ctx).asnumpy().tobytes() == right.data(contexts[0]).asnumpy().tobytes()


def test_arrays_that_no_gradient_changes_have_no_state():
    contexts = [mx.cpu(0)]
    net = network_with_statistics(0, contexts)
    trainer = gluon.Trainer(net.collect_params(), "adam", update_on_kvstore=False)
    train_on(net, trainer, contexts, range(2))
    arrays, counts = training.optimizer_state(trainer)
    learnt = [i for i, param in enumerate(trainer._params) if param.grad_req != "null"]
    assert 0 < len(learnt) < len(trainer._params)
    assert sorted(arrays) == sorted(f"optimizer:{index}:{i}" for index in learnt for i in range(2))
    again = restored(network_with_statistics(1, contexts), contexts, arrays, counts)
    assert sorted(again._updaters[0].states) == learnt


def test_a_state_may_go_on_on_other_devices():
    one, two = DEVICES[0], DEVICES[2]
    whole = network_with_statistics(0, one)
    trainer = gluon.Trainer(whole.collect_params(), "adam", {"learning_rate": 0.05}, update_on_kvstore=False)
    train_on(whole, trainer, one, range(3))
    divided = network_with_statistics(1, two)
    again = restored(divided, two, *training.optimizer_state(trainer))
    assert [again.optimizer._all_index_update_counts[ctx.device_id][0] for ctx in two] == [3, 3]
    for number, ctx in enumerate(two):
        mean, _ = again._updaters[number].states[0]
        assert mean.context == ctx
        assert mean.asnumpy().tobytes() == trainer._updaters[0].states[0][0].asnumpy().tobytes()


# A guard without a learning rate


@pytest.mark.parametrize(("before", "said"), [(None, "none"), (2.0, "2.0000")])
def test_a_run_without_a_learning_rate_is_told_without_one(before, said):
    guard = training.LossGuard(epoch=4, lr=None, last_finite=before)
    guard.add(nd.array([math.inf]))
    told = f"the loss is inf at epoch 4, batch 1; last finite loss: {said}. Take a smaller learning rate"
    with pytest.raises(training.NonFiniteLoss, match=f"^{re.escape(told)}$"):
        guard.mean()


def test_a_learning_rate_of_0_is_told():
    guard = training.LossGuard(epoch=4, lr=0)
    guard.add(nd.array([math.nan]))
    with pytest.raises(training.NonFiniteLoss, match=r"^the loss is nan at epoch 4, batch 1, learning rate 0; last"):
        guard.mean()


# A guard of plain numbers, and of huge ones


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, lambda value: nd.array([value])])
def test_the_guard_takes_plain_numbers_and_arrays(kind):
    guard = training.LossGuard(epoch=1, lr=0.1)
    for loss in (1.0, 2.5, 0.0):
        guard.add(kind(loss))
    assert guard.mean() == pytest.approx(3.5 / 3, rel=1e-15)
    assert guard.losses == [1, 2.5, 0]
    assert {type(loss) for loss in guard.losses} == {float}


def test_the_guard_takes_whole_numbers_and_0_is_a_loss():
    guard = training.LossGuard(epoch=1, lr=0.1)
    for loss in (0, 3):
        guard.add(loss)
    assert guard.mean() == 1.5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_plain_number_that_is_not_finite_is_told_one_batch_late(bad):
    guard = training.LossGuard(epoch=7, lr=0.25)
    guard.add(1.5)
    guard.add(bad)
    told = (
        f"the loss is {bad} at epoch 7, batch 2, learning rate 0.25; last finite loss: 1.5000. "
        "Take a smaller learning rate"
    )
    with pytest.raises(training.NonFiniteLoss, match=f"^{re.escape(told)}$"):
        guard.add(1.0)


TOLD = [
    (0.0, "0.0000"),
    (2.30259, "2.3026"),
    (-1.5, "-1.5000"),
    (999999.25, "999999.2500"),
    (1e6, "1e+06"),
    (1234567.0, "1.235e+06"),
    (-2e7, "-2e+07"),
    (3.4e38, "3.4e+38"),
]


@pytest.mark.parametrize(("before", "said"), TOLD)
@pytest.mark.parametrize("place", ["the batch before", "the epoch before"])
def test_the_last_finite_loss_is_told_by_its_power_of_ten_where_it_is_huge(before, said, place):
    guard = training.LossGuard(epoch=2, lr=1e6, last_finite=before if place == "the epoch before" else 0.5)
    if place == "the batch before":
        guard.add(before)
    guard.add(math.nan)
    batch = len(guard.losses) + 1
    told = (
        f"the loss is nan at epoch 2, batch {batch}, learning rate 1e+06; last finite loss: {said}. "
        "Take a smaller learning rate"
    )
    with pytest.raises(training.NonFiniteLoss, match=f"^{re.escape(told)}$"):
        guard.mean()
