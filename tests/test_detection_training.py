"""Training of a detector: it learns, stops and goes on with the same numbers, on one device and on two.

Most tests train a network of two small convolutions: what is tested is the training around it.
"""

import inspect
import json
import math
import shutil
import signal
import sys
import threading

import numpy as np
import pytest
from detection_helpers import assert_same_model, without_seconds

from gluonbook import runs
from gluonbook import training as shared
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.data import make_set
from gluonbook.data.detection import DetectionSet
from gluonbook.detection import (
    TrainedDetector,
    batches,
    families,
    inference,
    load_detector,
    make_detector,
    save_detector,
    ssd,
    train,
)
from gluonbook.detection import training as module
from gluonbook.detection.augmentation import augment
from gluonbook.detection.batches import epoch_batches, pad_labels
from gluonbook.detection.boxes import iou
from gluonbook.detection.inference import resize, standardise
from gluonbook.detection.saved import build_net
from gluonbook.detection.ssd import NETWORKS, SSD
from gluonbook.detection.training import evaluate
from gluonbook.training import NonFiniteLoss, load_checkpoint

SIZE = 64
CLASSES = ("red", "blue")
COLOURS = ((230, 40, 30), (30, 60, 230))
SMALL = {"network": "little", "size": SIZE, "num_epochs": 3, "batch_size": 2, "lr": 0.01, "device": "cpu"}
STEPS = 3  # an epoch: seven pictures, two a batch
TWO = {**SMALL, "device": [mx.cpu(0), mx.cpu(1)]}
ON_ONE_AND_TWO = pytest.mark.parametrize("settings", [SMALL, TWO], ids=["one device", "two devices"])


def little_ssd(num_classes):
    """Return an SSD with maps of 8 and 4 pixels and 320 anchors for pictures of 64."""
    base, extra = gluon.nn.HybridSequential(), gluon.nn.HybridSequential()
    base.add(gluon.nn.Conv2D(16, 8, strides=8), gluon.nn.BatchNorm(), gluon.nn.Activation("relu"))
    extra.add(gluon.nn.Conv2D(16, 3, strides=2, padding=1), gluon.nn.BatchNorm(), gluon.nn.Activation("relu"))
    return SSD(base, [extra], num_classes, sizes=[(0.2, 0.3), (0.4, 0.5)])


@pytest.fixture(scope="module", autouse=True)
def _little_network():
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(NETWORKS, "little", little_ssd)
        yield


def draw(index, num_objects):
    """Draw squares of two colours on dark noise; their rows (class, xmin, ymin, xmax, ymax)."""
    rng = np.random.default_rng(index)
    picture, rows = rng.integers(0, 80, (SIZE, SIZE, 3)).astype(np.uint8), []
    for number in range(num_objects):
        kind, side = (index + number) % 2, int(rng.integers(16, 32))
        x, y = (int(value) for value in rng.integers(0, SIZE - side, 2))
        picture[y : y + side, x : x + side] = COLOURS[kind]
        rows.append((kind, x / SIZE, y / SIZE, (x + side) / SIZE, (y + side) / SIZE))
    return picture, rows


def drawn(indices, num_objects=None, difficult=None):
    """A set of drawn pictures, with one or two objects in turn or with ``num_objects`` each."""
    pairs = [draw(i, 1 + i % 2 if num_objects is None else num_objects) for i in indices]
    return make_set(CLASSES, [picture for picture, _ in pairs], [rows for _, rows in pairs], difficult)


TRAIN, VAL = drawn(range(7)), drawn(range(100, 103))


def assert_same_file(folder, model, tmp_path):
    """The folder holds the very bytes that saving the model gives."""
    save_detector(tmp_path / "saved", model)
    assert (folder / "model.params").read_bytes() == (tmp_path / "saved" / "model.params").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that was never stopped: the model and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return train(TRAIN, VAL, folder, **SMALL), folder


@pytest.fixture(scope="module")
def whole_on_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return train(TRAIN, VAL, folder, **TWO), folder


@pytest.fixture(scope="module")
def learnt():
    """A detector that twenty epochs taught six pictures, which it is measured on, too."""
    return train(drawn(range(6)), drawn(range(6)), None, **{**SMALL, "lr": 0.03, "num_epochs": 20})


@pytest.fixture
def model(whole):
    return whole[0]


@pytest.fixture
def folder(whole, tmp_path):
    """A copy of the whole training's folder."""
    return shutil.copytree(whole[1], tmp_path / "copy")


@pytest.fixture
def ctrl_c(monkeypatch):
    """Call it with an epoch and a batch: there the next training gets a Ctrl-C; later trainings run through."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def at(epoch, batch):
        add = shared.LossGuard.add

        def pressing(guard, loss):
            add(guard, loss)
            if (guard.epoch, len(guard.losses) + 1) == (epoch, batch):
                monkeypatch.setattr(shared.LossGuard, "add", add)
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(shared.LossGuard, "add", pressing)

    yield at
    signal.signal(signal.SIGINT, before)


def train_stopped(ctrl_c, out, epoch, batch, **settings):
    ctrl_c(epoch, batch)
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VAL, out, **settings)


def fail(*args, **kwargs):
    raise AssertionError("this was not to be called")


# What training returns and writes


@pytest.mark.parametrize("seed", range(2))
def test_the_loss_falls(seed):
    """Over seeds 0 to 9 the fourth epoch had 0.45 to 0.67 of the first one's loss."""
    history = train(TRAIN, VAL, None, **{**SMALL, "network": "tiny", "num_epochs": 4, "seed": seed}).history
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["cls"] < 0.8 * history[0]["cls"]


def test_it_finds_what_it_was_shown(learnt):
    """Over seeds 0 to 5 the mAP was 0.96 to 1 in the end and at most 0.01 at first."""
    assert learnt.history[-1]["voc12"] > 0.8
    assert learnt.history[0]["voc12"] < 0.1


def test_history_has_an_entry_an_epoch(model):
    assert [entry["epoch"] for entry in model.history] == [1, 2, 3]
    for entry in model.history:
        assert sorted(entry) == sorted(["epoch", "loss", "cls", "box", "lr", "voc07", "voc12", "by_class", "seconds"])
        assert list(entry["by_class"]) == list(CLASSES)
        assert entry["loss"] == pytest.approx(entry["cls"] + entry["box"], rel=1e-6)
        assert entry["voc07"] == pytest.approx(np.mean(list(entry["by_class"].values())))
        assert 0 <= entry["voc12"] <= 1
        assert entry["seconds"] > 0


def test_the_last_map_is_that_of_the_returned_weights(learnt):
    find = inference.ssd_finder(build_net(learnt, mx.cpu()), SIZE, mx.cpu())
    found = evaluate(find, drawn(range(6)), batch_size=2)
    last = learnt.history[-1]
    assert (found.voc07, found.voc12, found.by_class) == (last["voc07"], last["voc12"], last["by_class"])


def test_settings_are_the_arguments_that_change_the_numbers(model):
    parameters = inspect.signature(train).parameters
    left = {name: parameters[name].default for name in module.RECIPE if name not in SMALL}
    assert model.settings == {**left, **{name: value for name, value in SMALL.items() if name != "device"}}
    assert set(module.RECIPE) | {"train_set", "val_set", "out", "device", "kvstore", "resume", "progress"} == set(
        parameters
    )


def test_the_same_seed_gives_the_same_model_and_another_seed_another(model):
    assert_same_model(train(TRAIN, VAL, None, **SMALL), model)
    other = train(TRAIN, VAL, None, **{**SMALL, "seed": 1, "num_epochs": 1})
    assert other.history[0]["loss"] != model.history[0]["loss"]


@pytest.mark.parametrize(
    "change", [{"wd": 0.5}, {"negative_ratio": 1.0}, {"lr": 0.02}, {"batch_size": 3}, {"size": 72}]
)
def test_every_setting_changes_the_numbers(model, change):
    assert train(TRAIN, VAL, None, **{**SMALL, **change}).history[-1]["loss"] != model.history[-1]["loss"]


def test_a_model_and_a_checkpoint_are_written(whole, tmp_path):
    model, folder = whole
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["checkpoint-00003.params", "checkpoint.json", "model.json", "model.params"]
    loaded = load_detector(folder)
    assert (loaded.settings, loaded.history, loaded.classes) == (model.settings, model.history, CLASSES)
    assert_same_file(folder, model, tmp_path)
    arrays, info = load_checkpoint(folder)
    assert info["epoch"] == 3
    assert info["classes"] == list(CLASSES)
    for name, weight in model.weights.items():
        assert arrays[f"weight:{name}"].asnumpy().tobytes() == weight.tobytes()


def test_without_a_folder_nothing_is_written(isolated):
    train(TRAIN, VAL, None, **{**SMALL, "num_epochs": 1})
    assert list((isolated / "work" / "here").iterdir()) == []


def test_the_learning_rate_warms_up_and_falls_by_half_a_cosine(monkeypatch):
    """Step s of S has min(1, (s + 1)/4) of the cosine's learning rate at s/S; the history has each epoch's first."""
    monkeypatch.setattr(module, "WARM_UP", 4)
    rates, set_rate = [], gluon.Trainer.set_learning_rate
    monkeypatch.setattr(
        gluon.Trainer, "set_learning_rate", lambda trainer, lr: rates.append(lr) or set_rate(trainer, lr)
    )
    model = train(TRAIN, VAL, None, **SMALL)
    right = [
        min(1, (step + 1) / 4) * 0.01 * (0.05 + 0.95 * (1 + math.cos(math.pi * step / 9)) / 2) for step in range(9)
    ]
    assert rates == pytest.approx(right, rel=1e-9)
    assert [entry["lr"] for entry in model.history] == pytest.approx(right[::STEPS], rel=1e-9)


def test_the_optimizer_takes_the_schedules_learning_rate(monkeypatch):
    """A schedule that is 0 after the first epoch leaves the learnt weights as they are."""
    cosine = runs.cosine
    monkeypatch.setattr(runs, "cosine", lambda done, lr: cosine(done, lr) if done < 0.3 else 0.0)
    snapshots, snapshot = [], module._Run._snapshot
    monkeypatch.setattr(module._Run, "_snapshot", lambda run: snapshots.append(snapshot(run)) or snapshots[-1])
    train(TRAIN, VAL, None, **SMALL)
    _, first, second, third = (arrays for arrays, _ in snapshots)
    for name, weight in first.items():
        if name.startswith("weight:") and "running" not in name:
            assert second[name].asnumpy().tobytes() == third[name].asnumpy().tobytes() == weight.asnumpy().tobytes()


def test_mobilenet_trains_and_is_read_back(tmp_path):
    model = train(TRAIN, VAL, tmp_path, **{**SMALL, "network": "mobilenet", "num_epochs": 1})
    assert np.isfinite(model.history[0]["loss"])
    loaded = load_detector(tmp_path)
    net = build_net(loaded, mx.cpu())
    cls_preds, box_preds = net(nd.zeros((1, 3, SIZE, SIZE)))
    assert cls_preds.shape == (1, len(net.anchors(SIZE, SIZE)), 3)
    assert np.isfinite(box_preds.asnumpy()).all()


# Stopped and gone on


@ON_ONE_AND_TWO
@pytest.mark.parametrize(("epoch", "batch"), [(2, 2), (3, 3)])
def test_a_resumed_run_gives_the_numbers_of_one_never_stopped(
    tmp_path, ctrl_c, settings, epoch, batch, whole, whole_on_two
):
    never_stopped, _ = whole if settings is SMALL else whole_on_two
    train_stopped(ctrl_c, tmp_path / "out", epoch, batch, **settings)
    _, info = load_checkpoint(tmp_path / "out")
    assert info["epoch"] == len(load_detector(tmp_path / "out").history) == epoch - 1
    resumed = train(TRAIN, VAL, tmp_path / "out", **settings, resume=True)
    assert_same_model(resumed, never_stopped)
    assert_same_file(tmp_path / "out", never_stopped, tmp_path)


@pytest.mark.parametrize("settings", [SMALL, TWO], ids=["one device", "two devices"])
def test_the_notes_network_goes_on_with_the_same_numbers(tmp_path, ctrl_c, settings):
    settings, few = {**settings, "network": "tiny", "num_epochs": 2}, TRAIN.subset(range(4))
    ctrl_c(2, 2)
    with pytest.raises(KeyboardInterrupt):
        train(few, VAL, tmp_path, **settings)
    resumed = train(few, VAL, tmp_path, **settings, resume=True)
    assert_same_model(resumed, train(few, VAL, None, **settings))


def test_a_run_may_be_stopped_again_and_again(tmp_path, ctrl_c, model):
    train_stopped(ctrl_c, tmp_path, 2, 1, **SMALL)
    for epoch, batch in [(2, 3), (3, 1), (3, 2)]:
        train_stopped(ctrl_c, tmp_path, epoch, batch, **SMALL, resume=True)
        assert load_checkpoint(tmp_path)[1]["epoch"] == epoch - 1
    assert_same_model(train(TRAIN, VAL, tmp_path, **SMALL, resume=True), model)


def test_a_run_resumed_after_other_networks_were_made_gives_the_same_numbers(tmp_path, ctrl_c, model):
    """Gluon counts layers up in a process, and batchnorm10 sorts before batchnorm9: each keeps its own state."""
    with mx.name.NameManager():  # counts from 0
        train_stopped(ctrl_c, tmp_path, 3, 1, **SMALL)
    with mx.name.NameManager():
        others = [gluon.nn.BatchNorm() for _ in range(9)]
        assert others[-1].name == "batchnorm8"
        assert_same_model(train(TRAIN, VAL, tmp_path, **SMALL, resume=True), model)
        assert gluon.nn.BatchNorm().name == "batchnorm11"


def test_ctrl_c_leaves_the_model_of_the_last_whole_epoch(tmp_path, ctrl_c, model):
    train_stopped(ctrl_c, tmp_path, 2, 2, **SMALL)
    arrays, _ = load_checkpoint(tmp_path)
    stopped = load_detector(tmp_path)
    assert without_seconds(stopped.history) == without_seconds(model.history[:1])
    for name, weight in stopped.weights.items():
        np.testing.assert_allclose(weight, arrays[f"weight:{name}"].asnumpy(), rtol=2**-11, atol=2**-25)  # float16


def test_ctrl_c_while_the_map_is_measured_belongs_to_that_epoch(tmp_path, monkeypatch, ctrl_c, model):
    find, calls = inference.find_boxes, []

    def pressing(*args):
        calls.append(1)
        if len(calls) == 3:  # two batches a measurement
            signal.raise_signal(signal.SIGINT)
        return find(*args)

    with monkeypatch.context() as patched:
        patched.setattr(inference, "find_boxes", pressing)
        with pytest.raises(KeyboardInterrupt):
            train(TRAIN, VAL, tmp_path, **SMALL)
    assert len(calls) == 3  # it did not go on measuring
    assert load_checkpoint(tmp_path)[1]["epoch"] == 1
    assert_same_model(train(TRAIN, VAL, tmp_path, **SMALL, resume=True), model)


def test_stopped_between_an_epoch_and_its_snapshot_model_and_checkpoint_are_of_one_epoch(tmp_path, monkeypatch, model):
    """A second Ctrl-C does not wait."""
    snapshot = module._Run._snapshot

    def stopping(run):
        if run.epoch == 2:
            raise KeyboardInterrupt
        return snapshot(run)

    with monkeypatch.context() as patched:
        patched.setattr(module._Run, "_snapshot", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(TRAIN, VAL, tmp_path, **SMALL)
    _, info = load_checkpoint(tmp_path)
    assert info["epoch"] == len(info["history"]) == len(load_detector(tmp_path).history) == 1
    assert_same_model(train(TRAIN, VAL, tmp_path, **SMALL, resume=True), model)


def test_a_checkpoint_that_ctrl_c_stopped_is_written_again(tmp_path, monkeypatch, model):
    save, stopped = shared.save_checkpoint, []

    def stopping(folder, arrays, info):
        if info["epoch"] == 2 and not stopped:
            stopped.append(info["epoch"])
            raise KeyboardInterrupt
        return save(folder, arrays, info)

    monkeypatch.setattr(shared, "save_checkpoint", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VAL, tmp_path, **SMALL)
    assert load_checkpoint(tmp_path)[1]["epoch"] == len(load_detector(tmp_path).history) == 2
    assert_same_model(train(TRAIN, VAL, tmp_path, **SMALL, resume=True), model)


def test_ctrl_c_in_the_first_epoch_leaves_nothing(tmp_path, ctrl_c):
    train_stopped(ctrl_c, tmp_path / "out", 1, 2, **SMALL)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_without_a_folder_is_raised(ctrl_c):
    train_stopped(ctrl_c, None, 2, 1, **SMALL)


def test_a_finished_training_is_not_done_again(folder, model, monkeypatch):
    before = (folder / "model.params").read_bytes()
    monkeypatch.setattr(module._Run, "train_epoch", fail)
    for resume in (False, True):
        assert_same_model(train(TRAIN, VAL, folder, **SMALL, resume=resume), model)
    assert (folder / "model.params").read_bytes() == before


def test_a_finished_training_may_be_given_more_epochs(folder, model):
    longer = train(TRAIN, VAL, folder, **{**SMALL, "num_epochs": 5}, resume=True)
    assert [entry["epoch"] for entry in longer.history] == [1, 2, 3, 4, 5]
    assert longer.history[:3] == model.history
    rates = [(step + 1) / module.WARM_UP * runs.cosine(step / 15, 0.01) for step in (9, 12)]
    assert [entry["lr"] for entry in longer.history[3:]] == pytest.approx(rates)
    assert longer.settings["num_epochs"] == load_detector(folder).settings["num_epochs"] == 5
    assert load_detector(folder).history == longer.history


def test_a_training_stopped_by_another_device_goes_on_there(tmp_path, ctrl_c):
    """What is saved on two devices is read by one: the weights are those of the first."""
    train_stopped(ctrl_c, tmp_path, 3, 1, **TWO)
    resumed = train(TRAIN, VAL, tmp_path, **SMALL, resume=True)
    assert [entry["epoch"] for entry in resumed.history] == [1, 2, 3]
    assert resumed.history[2]["loss"] < resumed.history[0]["loss"]


def test_a_second_cpu_alone_gives_the_same_numbers_and_resumes(tmp_path, ctrl_c, model):
    settings = {**SMALL, "device": "cpu(1)"}
    train_stopped(ctrl_c, tmp_path, 3, 1, **settings)
    train_stopped(ctrl_c, tmp_path, 3, 2, **settings, resume=True)
    assert_same_model(train(TRAIN, VAL, tmp_path, **settings, resume=True), model)


# While a batch is computed


def test_a_batchs_losses_are_read_when_the_next_has_been_queued(monkeypatch):
    events, step = [], module._Run._step
    monkeypatch.setattr(module._Run, "_step", lambda run, batch: events.append("queued") or step(run, batch))
    run = module._Run(CLASSES, recipe(), [mx.cpu(0)], "data")
    run.train_epoch(TRAIN, VAL, events.append, lambda: None)
    assert [type(event) for event in events] == [str, str, np.ndarray, str, np.ndarray, np.ndarray]
    assert events[-1].tolist() == [run.history[0]["cls"], run.history[0]["box"]]


# Two devices


def test_two_devices_hold_the_same_weights_after_each_step():
    run = module._Run(CLASSES, recipe(), TWO["device"], "data")
    for batch in epoch_batches(TRAIN, SIZE, 2, 0, 1):
        run._step(batch)
    for param in run.params.values():
        if param.grad_req != "null":
            one, two = (array.asnumpy() for array in param.list_data())
            assert one.tobytes() == two.tobytes()


def recipe(**changes):
    parameters = inspect.signature(train).parameters
    left = {name: parameters[name].default for name in module.RECIPE}
    return {**left, **{name: value for name, value in SMALL.items() if name in module.RECIPE}, **changes}


@pytest.mark.parametrize(("num_objects", "batch_size"), [(0, 2), (1, 2), (2, 2), (2, 3), (1, 5)])
def test_a_batch_divided_among_two_devices_has_the_losses_and_gradients_of_one(num_objects, batch_size):
    """All pictures are one, so batch norm sees the same means on each device as on one."""
    pictures = drawn([3] * batch_size, num_objects)
    batch = batches.Batch(standardise([pictures.picture(0)] * batch_size), pad_labels(pictures.labels))
    losses, gradients = [], []
    for chosen in ([mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]):
        run = module._Run(CLASSES, recipe(), chosen, "data")
        losses.append(run._step(batch).asnumpy())
        learnt = [param for param in run.params.values() if param.grad_req != "null"]
        gradients.append([param.list_grad()[-1].asnumpy() for param in learnt])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0][0] > 0
    assert (losses[0][1] > 0) == (num_objects > 0)
    one, two = (np.concatenate([gradient.ravel() for gradient in each]) for each in gradients)
    assert np.linalg.norm(two - one) < 1e-4 * np.linalg.norm(one)


def test_losses_are_divided_by_the_matched_anchors_of_all_devices(monkeypatch):
    given, loss = [], ssd.ssd_loss
    monkeypatch.setattr(ssd, "ssd_loss", lambda *args: given.append(args) or loss(*args))
    run = module._Run(CLASSES, recipe(batch_size=4), TWO["device"], "data")
    (batch,) = epoch_batches(TRAIN.subset(range(4)), SIZE, 4, 0, 1)
    run._step(batch)
    shares = [[(kinds > 0).sum() for kinds in targets.cls_targets] for _, _, targets, _ in given]
    assert [len(matched) for matched in shares] == [2, 2]
    assert [num_matched for *_, num_matched in given] == [np.sum(shares)] * 2
    assert min(map(np.sum, shares)) > 0


@pytest.mark.parametrize(("indices", "batch_size", "largest"), [(range(7), 1, 1), (range(1), 4, 1)])
def test_more_devices_than_pictures_of_a_batch_are_refused(tmp_path, indices, batch_size, largest):
    told = f"each device needs a picture of a batch, got 2 devices and batches of {largest}$"
    with pytest.raises(ValueError, match=told):
        train(drawn(indices), VAL, tmp_path / "out", **{**TWO, "batch_size": batch_size})
    assert not (tmp_path / "out").exists()


# A loss that is not finite


def test_a_diverging_run_names_epoch_batch_learning_rate_and_last_finite_loss(tmp_path, monkeypatch, model):
    add = shared.LossGuard.add

    def spoil(guard, loss):
        add(guard, loss * math.nan if (guard.epoch, len(guard.losses)) == (2, 0) else loss)

    with monkeypatch.context() as patched:
        patched.setattr(shared.LossGuard, "add", spoil)
        with pytest.raises(NonFiniteLoss) as error:
            train(TRAIN, VAL, tmp_path, **SMALL)
    first, second = model.history[:2]
    assert str(error.value).startswith(
        f"the loss is nan at epoch 2, batch 1, learning rate {second['lr']:g}; last finite loss: {first['loss']:.4f}."
    )
    assert load_checkpoint(tmp_path)[1]["epoch"] == 1
    assert_same_model(train(TRAIN, VAL, tmp_path, **SMALL, resume=True), model)


def test_weights_that_explode_stop_the_run(monkeypatch):
    monkeypatch.setattr(module, "WARM_UP", 1)
    with pytest.raises(NonFiniteLoss, match=r"the loss is \S+ at epoch [12], batch [123], learning rate \d.*e\+\d\d; "):
        train(TRAIN, VAL, None, **{**SMALL, "lr": 1e25})


# Pictures without objects, difficult objects


def test_pictures_without_objects_teach_background():
    empty = drawn(range(4), num_objects=0)
    model = train(empty, VAL, None, **SMALL)
    assert [entry["box"] for entry in model.history] == [0, 0, 0]
    losses = [entry["cls"] for entry in model.history]
    assert losses[-1] < losses[0]


def test_where_there_is_nothing_to_find_there_is_no_map_and_the_run_resumes(tmp_path, ctrl_c):
    empty = drawn(range(4), num_objects=0)
    ctrl_c(2, 2)
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, empty, tmp_path, **SMALL)
    model = train(TRAIN, empty, tmp_path, **SMALL, resume=True)
    assert [math.isnan(entry[name]) for entry in model.history for name in ("voc07", "voc12")] == [True] * 6
    assert all(math.isnan(value) for value in load_detector(tmp_path).history[-1]["by_class"].values())
    assert model.history[-1]["loss"] < model.history[0]["loss"]


def test_difficult_objects_are_not_learnt():
    flags = [[True], [False, True], [False]]
    data = drawn(range(3), difficult=flags)
    (batch,) = epoch_batches(data, SIZE, 3, seed=0, epoch=1)
    order = np.random.default_rng([0, 1]).permutation(3)
    assert [int((labels[:, 0] >= 0).sum()) for labels in batch.labels] == [[0, 1, 1][i] for i in order]


def test_difficult_objects_are_not_counted():
    """A detector that finds all but one is perfect where that one is difficult."""
    labels = VAL.labels
    found = [np.concatenate([rows[:, :1], np.full((len(rows), 1), 0.9), rows[:, 1:]], 1) for rows in labels]
    assert len(found[1]) == 2
    found[1] = found[1][:1]
    flags = [np.zeros(len(rows), bool) for rows in labels]
    flags[1][1] = True
    hard = DetectionSet(VAL.classes, VAL.sources, VAL.labels, tuple(flags))
    for data, perfect in ((hard, True), (VAL, False)):
        coming = iter(found)
        measured = evaluate(lambda pictures, coming=coming: [next(coming) for _ in pictures], data, batch_size=2)
        assert (measured.voc12 == 1) == perfect


def test_evaluation_shows_each_picture_once_squeezed_to_the_networks_size(monkeypatch):
    shown, checks = [], []
    monkeypatch.setattr(
        inference, "find_boxes", lambda net, pictures, *_: shown.append(pictures) or [np.zeros((0, 6))] * len(pictures)
    )
    data, find = drawn(range(5)), inference.ssd_finder(little_ssd(2), 32, mx.cpu())
    assert evaluate(find, data, batch_size=2, check=lambda: checks.append(1)).voc07 == 0
    assert [len(pictures) for pictures in shown] == [2, 2, 1]
    assert len(checks) == 3
    for i, picture in enumerate(picture for pictures in shown for picture in pictures):
        np.testing.assert_array_equal(picture, resize(data.picture(i), 32))


@pytest.mark.parametrize(("ratio", "num_objects"), [(3.0, 2), (1.5, 1), (3.0, 0), (0.1, 1)])
def test_a_batch_teaches_the_hardest_negatives_so_many_a_matched_anchor(ratio, num_objects):
    data = drawn([0, 1], num_objects)
    run = module._Run(CLASSES, recipe(negative_ratio=ratio), [mx.cpu(0)], "data")
    cls_preds, _ = run.net(nd.array(standardise([data.picture(i) for i in range(2)])))
    anchors = run.net.anchors(SIZE, SIZE)
    targets = families.ssd_targets(anchors, pad_labels(data.labels), cls_preds, run.recipe["negative_ratio"])
    for n, kinds in enumerate(targets.cls_targets):
        matched = int((kinds > 0).sum())
        assert (matched > 0) == (num_objects > 0)
        wanted = max(int(ratio * matched), 8)
        background = nd.softmax(cls_preds)[n].asnumpy()[:, 0]  # (A,)
        overlaps = np.column_stack([np.zeros(len(kinds)), iou(anchors, data.labels[n][:, 1:])])  # (A, 1 + M)
        free = np.flatnonzero((overlaps.max(axis=1) < 0.5) & (kinds <= 0))
        hardest = free[np.argsort(background[free], kind="stable")[:wanted]]
        assert sorted(hardest) == np.flatnonzero(kinds == 0).tolist()


# Batches


def batches_slowly(data, size, batch_size, seed, epoch):
    """One picture after the other, without a thread."""
    order = list(np.random.default_rng([seed, epoch]).permutation(len(data)))
    for start in range(0, max(len(data) - batch_size, 0) + 1, batch_size):
        pictures, labels = [], []
        for i in order[start : start + batch_size]:
            learnt = np.array([row for row, hard in zip(data.labels[i], data.difficult[i]) if not hard])
            learnt = learnt.reshape(-1, 5).astype(np.float32)
            picture, rows = augment(data.picture(i), learnt, np.random.default_rng([seed, epoch, i]), size)
            pictures.append(picture)
            labels.append(rows)
        yield standardise(pictures), labels


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 9])
def test_batches_are_those_of_a_slow_loop(batch_size):
    fast = list(epoch_batches(TRAIN, 48, batch_size, seed=5, epoch=3))
    slow = list(batches_slowly(TRAIN, 48, batch_size, seed=5, epoch=3))
    assert len(fast) == len(slow) == max(7 // batch_size, 1)
    for batch, (X, labels) in zip(fast, slow):
        assert batch.X.shape == (min(batch_size, 7), 3, 48, 48)
        np.testing.assert_array_equal(batch.X, X)
        for padded, rows in zip(batch.labels, labels):
            np.testing.assert_array_equal(padded[: len(rows)], rows)
            assert (padded[len(rows) :] == -1).all()


def test_a_picture_is_augmented_alike_in_whatever_batch_it_is():
    alone, together = (list(epoch_batches(TRAIN, SIZE, size, seed=0, epoch=1)) for size in (1, 7))
    np.testing.assert_array_equal(np.concatenate([batch.X for batch in alone]), together[0].X)


def test_another_epoch_and_another_seed_give_other_pictures():
    def pixels(seed, epoch):
        return next(epoch_batches(TRAIN, SIZE, 7, seed, epoch)).X

    np.testing.assert_array_equal(pixels(0, 1), pixels(0, 1))
    assert not np.array_equal(pixels(0, 1), pixels(0, 2))
    assert not np.array_equal(pixels(0, 1), pixels(1, 1))


class Watched:
    """A detection set of three plain pictures that remembers which were read, by their level of grey."""

    def __init__(self, count, broken=()):
        self.read, self.broken, self.count = [], broken, count
        self.labels = self.difficult = [np.zeros((0, 5), np.float32)] * count
        self.difficult = [np.zeros(0, bool)] * count
        self.changed = threading.Condition()

    def __len__(self):
        return self.count

    def picture(self, i):
        with self.changed:
            self.read.append(i)
            self.changed.notify_all()
        if i in self.broken:
            raise FileNotFoundError(f"{i}.jpg is gone")
        return np.full((8, 8, 3), i, np.uint8)


def test_an_epoch_takes_each_picture_once_but_for_an_incomplete_batch():
    left_out = set()
    for epoch in range(1, 9):
        data = Watched(7)
        assert len(list(epoch_batches(data, 8, 2, 0, epoch))) == 3
        assert len(data.read) == len(set(data.read)) == 6
        left_out |= set(range(7)) - set(data.read)
    assert len(left_out) > 2  # other pictures in each epoch


@pytest.mark.parametrize("count", [1, 3])
def test_fewer_pictures_than_a_batch_are_one_batch(count):
    data = Watched(count)
    (batch,) = epoch_batches(data, 8, 4, 0, 1)
    assert batch.X.shape == (count, 3, 8, 8)
    assert batch.labels.shape == (count, 0, 5)
    assert sorted(data.read) == list(range(count))


def test_the_next_batch_is_prepared_while_one_is_in_use_and_no_further():
    data = Watched(8)
    batches = epoch_batches(data, 8, 2, 0, 1)
    assert data.read == []
    next(batches)
    with data.changed:
        assert data.changed.wait_for(lambda: len(data.read) == 4, timeout=30)
        assert not data.changed.wait_for(lambda: len(data.read) > 4, timeout=0.1)
    batches.close()
    assert len(data.read) == 4


def test_a_picture_that_cannot_be_read_ends_the_epoch_at_its_batch():
    order = np.random.default_rng([0, 1]).permutation(6)
    batches = epoch_batches(Watched(6, broken=[order[3]]), 8, 2, 0, 1)
    assert next(batches).X.shape == (2, 3, 8, 8)
    with pytest.raises(FileNotFoundError, match=rf"{order[3]}\.jpg is gone"):
        next(batches)


def test_labels_are_padded_to_the_longest():
    rows = [np.array([[0, 0, 0, 1, 1], [1, 0, 0, 0.5, 0.5]]), np.zeros((0, 5)), np.array([[2, 0.5, 0, 1, 1]])]
    padded = pad_labels(rows)
    assert padded.dtype == np.float32
    assert padded.tolist() == [rows[0].tolist(), [[-1] * 5] * 2, [[2, 0.5, 0, 1, 1], [-1] * 5]]


# What is refused


@pytest.mark.parametrize("change", ["a setting", "the training set", "the validation set", "epochs"])
def test_another_training_is_not_overwritten(folder, change):
    before = (folder / "model.params").read_bytes()
    train_set = drawn(range(1, 8)) if change == "the training set" else TRAIN
    val_set = drawn(range(3)) if change == "the validation set" else VAL
    settings = {"a setting": {"seed": 1}, "epochs": {"num_epochs": 2}}.get(change, {})
    with pytest.raises(ValueError, match=r"holds another training: give another folder \(--out\)"):
        train(train_set, val_set, folder, **{**SMALL, **settings})
    assert (folder / "model.params").read_bytes() == before


def test_a_half_done_run_is_not_begun_anew_by_a_forgotten_flag(tmp_path, ctrl_c):
    train_stopped(ctrl_c, tmp_path, 3, 1, **SMALL)
    before = (tmp_path / "checkpoint.json").read_bytes()
    with pytest.raises(ValueError, match=r"stopped after epoch 2 of 3: go on with resume=True \(--resume\)"):
        train(TRAIN, VAL, tmp_path, **SMALL)
    assert (tmp_path / "checkpoint.json").read_bytes() == before


def test_a_folder_with_a_model_alone_is_not_overwritten(tmp_path, model):
    save_detector(tmp_path, model)
    before = (tmp_path / "model.params").read_bytes()
    with pytest.raises(ValueError, match="holds a model: give another folder"):
        train(TRAIN, VAL, tmp_path, **SMALL)
    assert (tmp_path / "model.params").read_bytes() == before


@pytest.mark.parametrize("sets", [(VAL, VAL), (TRAIN, TRAIN), (VAL, TRAIN)])
def test_another_data_set_is_not_gone_on_with(folder, sets):
    with pytest.raises(ValueError, match=r"^the data set is not the one that the checkpoint in .* was trained on$"):
        train(*sets, folder, **SMALL, resume=True)


def test_other_settings_are_named_with_both_values(folder):
    with pytest.raises(ValueError, match=r"other settings: batch_size was 2, now 3; lr was 0\.01, now 0\.5$"):
        train(TRAIN, VAL, folder, **{**SMALL, "lr": 0.5, "batch_size": 3}, resume=True)


def test_fewer_epochs_than_the_checkpoint_has_are_refused(folder):
    with pytest.raises(ValueError, match="num_epochs must be at least 3, which the checkpoint has; got 2"):
        train(TRAIN, VAL, folder, **{**SMALL, "num_epochs": 2}, resume=True)


def test_an_empty_folder_cannot_be_gone_on_with(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.json is not there: no training to resume"):
        train(TRAIN, VAL, tmp_path, **SMALL, resume=True)


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match=r"^resume needs out, the folder that holds the checkpoint$"):
        train(TRAIN, VAL, None, **SMALL, resume=True)


@pytest.mark.parametrize("key", ["recipe", "data", "history", "optimizer", "classes"])
def test_a_checkpoint_of_something_else_is_refused(folder, key):
    info = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    del info[key]
    (folder / "checkpoint.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(ValueError, match=r"checkpoint\.json is not a checkpoint of a detector$"):
        train(TRAIN, VAL, folder, **SMALL, resume=True)


def test_sets_of_different_classes_are_refused():
    other = DetectionSet(("blue", "red"), VAL.sources, VAL.labels, VAL.difficult)
    with pytest.raises(ValueError, match=r"same classes, got \('red', 'blue'\) and \('blue', 'red'\)$"):
        train(TRAIN, other, None, **SMALL)


@pytest.mark.parametrize(
    ("sets", "name"), [((TRAIN.subset([]), VAL), "train_set"), ((TRAIN, VAL.subset([])), "val_set")]
)
def test_a_set_without_pictures_is_refused(sets, name):
    with pytest.raises(ValueError, match=f"^{name} must hold at least one picture, got none$"):
        train(*sets, None, **SMALL)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"network": "vgg"}, ValueError, "network must be one of tiny, mobilenet.*; got 'vgg'"),
        ({"size": 63}, ValueError, "size must be at least 64, got 63"),
        ({"size": 64.0}, TypeError, "size must be a whole number, got 64.0"),
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"lr": 0}, ValueError, "lr must be above 0, got 0"),
        ({"lr": math.nan}, ValueError, "lr must be above 0, got nan"),
        ({"wd": -0.1}, ValueError, "wd must be at least 0, got -0.1"),
        ({"negative_ratio": 0}, ValueError, "negative_ratio must be above 0, got 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"device": "tpu"}, ValueError, "device must be auto, cpu, gpu or .*, got 'tpu'"),
        ({"device": "cpu,cpu"}, ValueError, "devices must be at least one, no two alike, got 'cpu,cpu'"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        train(TRAIN, VAL, tmp_path / "out", **{**SMALL, **settings})
    assert not (tmp_path / "out").exists()


# What is said


def test_an_epoch_is_told_in_words():
    entry = {"epoch": 7, "cls": 1.23456, "box": 0.5, "voc07": 0.25, "voc12": math.nan, "by_class": {"a": 0.5, "b": 0.0}}
    told = "epoch 7: cls 1.235, box 0.500; mAP 0.250 (VOC07), nan (VOC12); a 0.500, b 0.000"
    assert module.describe_epoch(entry) == told


def test_progress_shows_a_bar_and_each_epochs_map(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    model = train(TRAIN, VAL, None, **{**SMALL, "num_epochs": 2}, progress=True)
    output = capsys.readouterr()
    lines = [line for line in output.out.splitlines() if line.startswith("epoch")]
    assert lines == [module.describe_epoch(entry) for entry in model.history]
    assert f"{2 * STEPS}/{2 * STEPS}" in output.err
    assert f"cls {model.history[1]['cls']:.3f} box {model.history[1]['box']:.3f}" in output.err


def test_the_bar_of_a_resumed_run_starts_where_it_stopped(capsys, monkeypatch, tmp_path, ctrl_c):
    train_stopped(ctrl_c, tmp_path, 3, 1, **SMALL)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    capsys.readouterr()
    train(TRAIN, VAL, tmp_path, **SMALL, resume=True, progress=True)
    told = capsys.readouterr().err.replace("\r", "\n")
    assert f" {2 * STEPS}/{3 * STEPS} " in told
    assert f" {STEPS}/{3 * STEPS} " not in told


def test_without_progress_nothing_is_printed(capsys):
    train(TRAIN, VAL, None, **{**SMALL, "num_epochs": 1})
    assert capsys.readouterr() == ("", "")


# The trained detector at work


def test_the_written_detector_finds_what_the_returned_one_does(learnt, tmp_path):
    """Kernels in float16 move scores and corners by less than a hundredth."""
    assert isinstance(learnt, TrainedDetector)
    save_detector(tmp_path, learnt)
    pictures = [drawn([i]).picture(0) for i in range(6)]
    ours, theirs = (make_detector(one, "cpu").find(pictures) for one in (learnt, load_detector(tmp_path)))
    for one, other in zip(ours, theirs):
        strong = one[one[:, 1] > 0.2]
        assert len(strong) > 0
        for row in strong:
            alike = other[other[:, 0] == row[0]]
            assert np.abs(alike[:, 1:] - row[1:]).max(axis=1).min() < 0.01
