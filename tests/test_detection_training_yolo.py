"""Training of a YOLO: what it starts from, what it is shown, that it learns, stops and goes on with the same numbers.

What training has in common for all networks: test_detection_training. The loss and its targets: test_detection_yolo*.
"""

import json
import math
import os
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from detection_helpers import assert_same_model, without_seconds
from PIL import Image

from gluonbook import _files, data, plot
from gluonbook import training as shared
from gluonbook._mxnet import mx, nd
from gluonbook.data import make_set
from gluonbook.data.detection import DetectionSet
from gluonbook.data.records import write_records
from gluonbook.detection import (
    TrainedDetector,
    families,
    load_detector,
    make_detector,
    save_detector,
    train,
    yolo_learning,
)
from gluonbook.detection import training as module
from gluonbook.detection.augmentation import change_colours, reframe
from gluonbook.detection.batches import Batch, epoch_batches, pad_labels
from gluonbook.detection.darknet_config import read_config
from gluonbook.detection.letterboxing import letterbox, letterbox_boxes
from gluonbook.detection.saved import build_net
from gluonbook.training import load_checkpoint

SIZE, HEIGHT, WIDTH = 64, 48, 64  # a picture lies in its letterbox between rows 8 and 56
CLASSES = ("red", "blue")
COLOURS = ((230, 40, 30), (30, 60, 230))
SMALL = {"network": "yolo", "size": SIZE, "num_epochs": 3, "batch_size": 2, "lr": 0.01, "device": "cpu"}
TWO = {**SMALL, "device": [mx.cpu(0), mx.cpu(1)]}
RECIPE = {"network": "yolo", "size": SIZE, "seed": 0}


def draw(index, num_objects):
    """Draw rectangles of two colours on dark noise; their rows (class, xmin, ymin, xmax, ymax)."""
    rng = np.random.default_rng(index)
    picture, rows = rng.integers(0, 80, (HEIGHT, WIDTH, 3)).astype(np.uint8), []
    for number in range(num_objects):
        kind, (w, h) = (index + number) % 2, (int(side) for side in rng.integers(14, 28, 2))
        x, y = int(rng.integers(0, WIDTH - w)), int(rng.integers(0, HEIGHT - h))
        picture[y : y + h, x : x + w] = COLOURS[kind]
        rows.append((kind, x / WIDTH, y / HEIGHT, (x + w) / WIDTH, (y + h) / HEIGHT))
    return picture, rows


def drawn(indices, num_objects=None, difficult=None):
    """A set of drawn pictures, with one or two objects in turn or with ``num_objects`` each."""
    pairs = [draw(i, 1 + i % 2 if num_objects is None else num_objects) for i in indices]
    return make_set(CLASSES, [picture for picture, _ in pairs], [rows for _, rows in pairs], difficult)


TRAIN, VAL = drawn(range(7)), drawn(range(100, 103))


@pytest.fixture(scope="module")
def whole():
    """A training that was never stopped."""
    return train(TRAIN, VAL, None, **SMALL)


@pytest.fixture(scope="module")
def whole_on_two():
    return train(TRAIN, VAL, None, **TWO)


@pytest.fixture(scope="module")
def learnt():
    """A detector that forty epochs taught eight pictures, which it is measured on, too."""
    return train(drawn(range(8)), drawn(range(8)), None, **{**SMALL, "num_epochs": 40})


def a_run(chosen=("cpu",), classes=CLASSES, **changes):
    settings = {"num_epochs": 3, "batch_size": 2, "lr": 0.01, "wd": 1e-4, "negative_ratio": 3.0, **RECIPE, **changes}
    devices = [mx.cpu()] if chosen == ("cpu",) else chosen
    return module._Run(classes, settings, devices, "data", families.fit_anchors(TRAIN, settings))


def train_stopped(interrupt, out, epoch, batch, **settings):
    interrupt(epoch, batch)
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VAL, out, **settings)


# Learning


def test_the_loss_falls_and_it_finds_what_it_was_shown(learnt):
    """Over seeds 0 to 5 a third to 0.45 of the loss was left, 0.2 to 0.34 of objectness; mAP went from 0 to 0.92."""
    first, last = learnt.history[0], learnt.history[-1]
    assert last["loss"] < 0.6 * first["loss"]
    assert last["objectness"] < 0.5 * first["objectness"]
    assert first["voc12"] < 0.2
    assert last["voc12"] > 0.75


@pytest.mark.slow
def test_three_hundred_embedded_pictures_teach_it(isolated):
    """Seeds 0 and 1 gave a mAP of 0.60 and 0.53 after ten epochs."""
    train_set, val_set = data.embedded_detection(300, 100)
    history = train(train_set, val_set, None, network="yolo", size=128, num_epochs=10, lr=0.003).history
    assert history[-1]["voc07"] > 0.4
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_history_has_an_entry_an_epoch_with_the_three_losses(whole):
    assert [entry["epoch"] for entry in whole.history] == [1, 2, 3]
    names = ["epoch", "loss", "cls", "box", "objectness", "lr", "voc07", "voc12", "by_class", "seconds"]
    for entry in whole.history:
        assert list(entry) == names
        assert entry["loss"] == pytest.approx(entry["cls"] + entry["box"] + entry["objectness"], rel=1e-6)
        assert min(entry["cls"], entry["box"], entry["objectness"]) > 0


def test_the_losses_are_those_of_yolo_loss_under_their_names():
    run = a_run()
    batch = next(epoch_batches(TRAIN, SIZE, 2, 0, 1, "yolo"))
    mx.random.seed(0)
    with mx.autograd.train_mode():
        maps = run.net(nd.array(batch.X))
    right = yolo_learning.yolo_loss(maps, run.net.heads, yolo_learning.yolo_targets(batch.labels, run.net.heads, SIZE),
                                    batch.labels)  # fmt: skip
    losses = dict(zip(run.family.losses, run._step(batch).asnumpy()))
    assert losses == pytest.approx({name: value.asscalar() for name, value in right._asdict().items()}, rel=1e-5)


def test_the_last_map_is_that_of_the_returned_detector(learnt):
    found = module.evaluate(make_detector(learnt, "cpu").find, drawn(range(8)), batch_size=2)
    last = learnt.history[-1]
    assert (found.voc07, found.voc12, found.by_class) == (last["voc07"], last["voc12"], last["by_class"])


@pytest.mark.parametrize("change", [{"wd": 0.5}, {"lr": 0.02}, {"batch_size": 3}, {"size": 96}, {"seed": 1}])
def test_every_setting_changes_the_numbers(whole, change):
    settings = {**SMALL, **change, "num_epochs": 2}
    assert train(TRAIN, VAL, None, **settings).history[-1]["loss"] != whole.history[1]["loss"]


def test_pictures_without_objects_teach_background():
    model = train(drawn(range(4), num_objects=0), VAL, None, **SMALL)
    assert [(entry["box"], entry["cls"]) for entry in model.history] == [(0, 0)] * 3
    losses = [entry["objectness"] for entry in model.history]
    assert 0 < losses[-1] < losses[0]


# Anchors


def test_settings_are_the_arguments_and_the_anchors(whole):
    given = {name: value for name, value in SMALL.items() if name != "device"}
    assert whole.settings == {**given, "wd": 0.0001, "negative_ratio": 3.0, "seed": 0,
                              "anchors": whole.settings["anchors"]}  # fmt: skip
    assert np.shape(whole.settings["anchors"]) == (9, 2)
    assert json.loads(json.dumps(whole.settings)) == whole.settings


def in_letterbox(rows):
    """By hand: 48×64 pixels in a square of 64."""
    rows = np.array(rows, np.float32).reshape(-1, 5)
    rows[:, [2, 4]] = rows[:, [2, 4]] * 0.75 + 0.125
    return rows


def test_anchors_are_clusters_of_the_letterboxed_boxes():
    order = np.random.default_rng(3).permutation(7)
    labels = [in_letterbox(TRAIN.labels[i]) for i in order]
    right = yolo_learning.cluster_anchors(labels, 9, SIZE, 3).anchors
    assert families.fit_anchors(TRAIN, {**RECIPE, "seed": 3}) == {"anchors": right.tolist()}
    assert (np.diff(right.prod(axis=1)) >= 0).all()
    wide = max(rows[:, 3].max() - rows[:, 1].min() for rows in TRAIN.labels if len(rows) == 1) * SIZE
    assert 14 <= right.min() <= right.max() <= max(wide, 28)  # the sides that were drawn, in pixels


def test_anchors_are_in_pixels_of_the_size():
    small, large = (np.array(families.fit_anchors(TRAIN, {**RECIPE, "size": size})["anchors"]) for size in (64, 128))
    np.testing.assert_allclose(large, 2 * small, rtol=1e-5)


def of_the_configuration(size):
    """The anchors that the file gives for 256 pixels, at another size."""
    sections = read_config(_files.packaged("datasets") / "detection" / "yolo-small.cfg")
    return (np.array(sections[-1].options["anchors"]).reshape(9, 2) * size / 256).tolist()


@pytest.mark.parametrize(("num_objects", "size"), [(0, 64), (1, 64), (2, 256), (2, 96)])
def test_too_few_different_boxes_leave_the_anchors_of_the_configuration_at_the_size(num_objects, size):
    anchors = families.fit_anchors(drawn(range(4), num_objects), {**RECIPE, "size": size})["anchors"]
    assert anchors == of_the_configuration(size)


def test_nine_different_boxes_are_enough():
    few, enough = drawn(range(8), 1), drawn(range(9), 1)
    assert families.fit_anchors(few, RECIPE)["anchors"] == of_the_configuration(SIZE)
    anchors = families.fit_anchors(enough, RECIPE)["anchors"]
    sides = [(x1 - x0) * WIDTH for _, x0, _, x1, _ in np.concatenate(enough.labels).tolist()]
    np.testing.assert_allclose(sorted(width for width, _ in anchors), sorted(sides), rtol=1e-5)


def test_boxes_that_only_rounding_tells_apart_are_one():
    """Forty boxes of four sizes, as wide as 0.2, 0.25, 0.3, 0.35 in float32: their differences are not quite those."""
    left = np.arange(40, dtype=np.float32) * np.float32(0.0137)
    rows = [[[0, x, 0.1, x + np.float32(0.2 + 0.05 * (i % 4)), 0.6]] for i, x in enumerate(left)]
    wide = np.concatenate([np.array(row, np.float32) for row in rows])
    assert len(np.unique(wide[:, 3] - wide[:, 1])) > 9
    alike = make_set(["a"], [np.zeros((64, 64, 3), np.uint8)] * 40, rows)
    assert families.fit_anchors(alike, RECIPE)["anchors"] == of_the_configuration(SIZE)


def test_difficult_objects_choose_no_anchors():
    flagged = drawn(range(9), 1, [[True]] + [[False]] * 8)
    assert families.fit_anchors(flagged, RECIPE)["anchors"] == of_the_configuration(SIZE)


def test_a_large_set_is_measured_on_some_pictures_that_the_seed_draws(monkeypatch):
    monkeypatch.setattr(families, "MEASURED", 5)
    read, picture = [], DetectionSet.picture
    monkeypatch.setattr(DetectionSet, "picture", lambda self, i: read.append(i) or picture(self, i))
    families.fit_anchors(TRAIN, {**RECIPE, "seed": 1})
    assert read == np.random.default_rng(1).permutation(7)[:5].tolist()


def test_the_networks_heads_have_the_anchors_largest_first(whole):
    net = build_net(whole, mx.cpu())
    assert [head.stride for head in net.heads] == [32, 16, 8]
    found = np.concatenate([head.anchors for head in net.heads[::-1]])
    np.testing.assert_array_equal(found, np.array(whole.settings["anchors"], np.float32))
    assert net.size == (SIZE, SIZE)


# The first weights


def test_at_first_it_says_that_nothing_is_anywhere():
    run = a_run(size=128)
    batch = next(epoch_batches(TRAIN, 128, 7, 0, 1, "yolo"))
    for raw in run.net(nd.array(batch.X)):
        objectness = raw.asnumpy().reshape(7, 3, 7, -1)[:, :, 4]
        assert np.abs(objectness + 6).max() < 1


def test_kernels_begin_as_he_says_and_those_of_the_heads_small():
    run = a_run()
    for block in run.net.convolutions:
        kernel = block[0].weight.data().asnumpy()
        right = 0.01 if block[0].bias is not None else math.sqrt(2 / (1 + 0.1**2) / kernel[0].size)
        assert kernel.std() == pytest.approx(right, rel=0.1)


def test_all_devices_begin_with_the_same_weights():
    for param in a_run(TWO["device"]).params.values():
        one, two = (array.asnumpy() for array in param.list_data())
        assert one.tobytes() == two.tobytes()


def test_the_first_weights_are_those_of_the_seed():
    one, same, other = (a_run(seed=seed).params["convolutions.0.0.weight"].data().asnumpy() for seed in (0, 0, 1))
    assert one.tobytes() == same.tobytes() != other.tobytes()


# Batches


@pytest.mark.parametrize("batch_size", [2, 7])
def test_batches_are_those_of_a_slow_loop(batch_size):
    """Moved, letterboxed, then coloured; what was not cropped is letterboxed by hand."""
    order = np.random.default_rng([5, 3]).permutation(7)
    batches = list(epoch_batches(TRAIN, SIZE, batch_size, 5, 3, "yolo"))
    assert len(batches) == 7 // batch_size
    cropped = []
    for number, batch in enumerate(batches):
        assert (batch.X.shape, batch.X.dtype) == ((batch_size, 3, SIZE, SIZE), np.float32)
        for n, i in enumerate(order[number * batch_size : (number + 1) * batch_size]):
            rng = np.random.default_rng([5, 3, i])
            picture, rows = reframe(TRAIN.picture(i), TRAIN.labels[i], rng)
            cropped.append(picture.shape != (HEIGHT, WIDTH, 3))
            if cropped[-1]:
                square, corners = letterbox(picture, SIZE), letterbox_boxes(rows[:, 1:], picture.shape, SIZE)
            else:
                square, corners = np.full((SIZE, SIZE, 3), 128, np.uint8), in_letterbox(rows)[:, 1:]
                square[8:56] = picture
            right = change_colours(square, rng).transpose(2, 0, 1) / 255
            np.testing.assert_allclose(batch.X[n], right, atol=1e-6)
            np.testing.assert_array_equal(batch.labels[n, : len(rows), 0], rows[:, 0])
            np.testing.assert_allclose(batch.labels[n, : len(rows), 1:], corners, atol=1e-6)
            assert (batch.labels[n, len(rows) :] == -1).all()
    assert {True, False} == set(cropped)


def test_boxes_lie_on_their_objects_cropped_or_not():
    """Inside of a box is its class's colour, in its middle and near its corners, and outside of it is dark or grey."""
    single = drawn(range(20), 1)
    for i in range(20):
        square, rows = families.YOLO.prepare(single.picture(i), single.labels[i], np.random.default_rng(i), SIZE)
        assert square.shape == (SIZE, SIZE, 3)
        coloured = np.abs(square[:, :, 0].astype(int) - square[:, :, 2]) > 90  # red from blue
        for kind, *box in rows:
            left, top, right, bottom = np.array(box) * SIZE
            mask = np.zeros((SIZE, SIZE), bool)
            mask[round(top) : round(bottom), round(left) : round(right)] = True
            assert (coloured & mask).sum() > 0.85 * (coloured | mask).sum()
            red, _, blue = square[mask].mean(axis=0)
            assert (red > blue) == (kind == 0)


def test_difficult_objects_are_not_learnt():
    flagged = drawn(range(3), difficult=[[True], [False, True], [False]])
    (batch,) = epoch_batches(flagged, SIZE, 3, 0, 1, "yolo")
    order = np.random.default_rng([0, 1]).permutation(3)
    assert [int((labels[:, 0] >= 0).sum()) for labels in batch.labels] == [[0, 1, 1][i] for i in order]


# Stopped and gone on


@pytest.mark.parametrize("settings", [SMALL, TWO], ids=["one device", "two devices"])
@pytest.mark.parametrize(("epoch", "batch"), [(2, 2), (3, 3)])
def test_a_resumed_run_gives_the_numbers_of_one_never_stopped(
    tmp_path, interrupt, settings, epoch, batch, whole, whole_on_two, monkeypatch
):
    """Its anchors are the checkpoint's: they are not chosen again."""
    train_stopped(interrupt, tmp_path, epoch, batch, **settings)
    assert load_checkpoint(tmp_path)[1]["epoch"] == len(load_detector(tmp_path).history) == epoch - 1
    monkeypatch.setattr(yolo_learning, "cluster_anchors", None)
    resumed = train(TRAIN, VAL, tmp_path, **settings, resume=True)
    assert_same_model(resumed, whole if settings is SMALL else whole_on_two)
    assert load_detector(tmp_path).settings == resumed.settings


def test_a_finished_training_is_not_done_again_and_may_be_given_more_epochs(tmp_path, whole, monkeypatch):
    train(TRAIN, VAL, tmp_path, **SMALL)
    with monkeypatch.context() as patched:
        patched.setattr(module._Run, "train_epoch", None)
        assert_same_model(train(TRAIN, VAL, tmp_path, **SMALL), whole)
    longer = train(TRAIN, VAL, tmp_path, **{**SMALL, "num_epochs": 4}, resume=True)
    assert without_seconds(longer.history[:3]) == without_seconds(whole.history)
    assert longer.settings == {**whole.settings, "num_epochs": 4}


def test_an_ssds_training_is_not_gone_on_with(tmp_path):
    train(TRAIN, VAL, tmp_path, **{**SMALL, "network": "tiny", "num_epochs": 1})
    with pytest.raises(ValueError, match=r"other settings: network was 'tiny', now 'yolo'$"):
        train(TRAIN, VAL, tmp_path, **SMALL, resume=True)


def test_an_ssds_checkpoint_from_before_there_were_yolos_is_gone_on_with(tmp_path):
    settings = {**SMALL, "network": "tiny", "num_epochs": 2}
    train(TRAIN, VAL, tmp_path, **{**settings, "num_epochs": 1})
    path = tmp_path / shared.CHECKPOINT
    info = json.loads(path.read_text(encoding="utf-8"))
    assert info.pop("fitted") == {}
    path.write_text(json.dumps(info), encoding="utf-8")
    assert [entry["epoch"] for entry in train(TRAIN, VAL, tmp_path, **settings, resume=True).history] == [1, 2]


# Several devices


@pytest.mark.parametrize(("num_objects", "batch_size"), [(0, 2), (1, 2), (2, 3)])
def test_a_batch_divided_among_two_devices_has_the_losses_and_gradients_of_one(num_objects, batch_size):
    """All pictures are one, so batch norm sees the same means on each device as on one.

    Rounding may move a value across a leaky ReLU's kink: one such value is some ten thousandths of the gradient.
    """
    square, rows = families.YOLO.prepare(*draw_labelled(3, num_objects), np.random.default_rng(0), SIZE)
    batch = Batch(families.YOLO.as_input([square] * batch_size), pad_labels([rows] * batch_size))
    losses, gradients = [], []
    for chosen in ([mx.cpu(0)], TWO["device"]):
        run = a_run(chosen)
        losses.append(run._step(batch).asnumpy())
        learnt = [param for param in run.params.values() if param.grad_req != "null"]
        gradients.append(np.concatenate([param.list_grad()[-1].asnumpy().ravel() for param in learnt]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert (losses[0] > 0).tolist() == [num_objects > 0, num_objects > 0, True]
    assert np.linalg.norm(gradients[1] - gradients[0]) < 2e-3 * np.linalg.norm(gradients[0])


def draw_labelled(index, num_objects):
    picture, rows = draw(index, num_objects)
    return picture, np.array(rows, np.float32).reshape(-1, 5)


@pytest.mark.parametrize("parts", [(1, 2), (3,), (1, 1, 1)])
def test_the_devices_losses_add_up_to_the_batchs_however_it_is_divided(parts):
    net = a_run().net
    rng = np.random.default_rng(0)
    maps = [rng.standard_normal((3, 21, side, side)).astype(np.float32) for side in (2, 4, 8)]
    labels = pad_labels([in_letterbox(draw(i, i)[1]) for i in range(3)])
    right = yolo_learning.yolo_loss(
        [nd.array(raw) for raw in maps], net.heads, yolo_learning.yolo_targets(labels, net.heads, SIZE), labels
    )
    cuts = np.cumsum((0, *parts))
    shares = [slice(start, stop) for start, stop in zip(cuts, cuts[1:])]
    losses = families.YOLO.learn(net, RECIPE)([[nd.array(raw[n]) for raw in maps] for n in shares],
                                              [labels[n] for n in shares], float)  # fmt: skip
    sums = [sum(part.asscalar() for part in parts) for parts in zip(*losses)]
    assert sums == pytest.approx([right.cls.asscalar(), right.box.asscalar(), right.objectness.asscalar()], rel=1e-5)


# Saved


def test_a_saved_model_finds_the_same_boxes_in_pictures_of_any_shape(learnt, tmp_path):
    """Kernels in float16 move scores and corners by less than a hundredth."""
    save_detector(tmp_path, learnt)
    pictures = [drawn([i]).picture(0) for i in range(6)]
    pictures += [np.pad(pictures[1], ((0, 40), (0, 0), (0, 0))), pictures[0].repeat(2, axis=1)]
    loaded = load_detector(tmp_path)
    assert (loaded.settings, loaded.history) == (learnt.settings, learnt.history)
    ours, theirs = (make_detector(one, "cpu").find(pictures) for one in (learnt, loaded))
    assert min(map(len, ours[:6])) > 0
    for one, other in zip(ours, theirs):
        for row in one[one[:, 1] > 0.2]:
            alike = other[other[:, 0] == row[0]]
            assert np.abs(alike[:, 1:] - row[1:]).max(axis=1).min() < 0.01


def test_a_model_without_anchors_is_no_yolo(whole, tmp_path):
    settings = {name: value for name, value in whole.settings.items() if name != "anchors"}
    save_detector(tmp_path, TrainedDetector(whole.weights, CLASSES, settings))
    with pytest.raises(ValueError, match=r"does not hold a whole detector: its settings lack anchors$"):
        load_detector(tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda anchors: anchors[1:],
            ValueError,
            r"^settings\['anchors'\] must have the shape \(9, 2\), got \(8, 2\)$",
        ),
        (lambda anchors: [[0, 5], *anchors[1:]], ValueError, "must be widths and heights above 0, got "),
        (lambda anchors: [[math.nan, 5], *anchors[1:]], ValueError, "must be widths and heights above 0, got "),
        (lambda anchors: "anchors", TypeError, "must be an array of numbers, got 'anchors'"),
    ],
)
def test_anchors_that_are_none_are_refused(whole, change, error, message):
    settings = {**whole.settings, "anchors": change(whole.settings["anchors"])}
    with pytest.raises(error, match=message):
        build_net(TrainedDetector(whole.weights, CLASSES, settings), mx.cpu())


def test_weights_for_other_classes_are_refused(whole):
    with pytest.raises(
        ValueError, match=r"not those of the network 'yolo' for 3 classes: convolutions\.\d+\.0\..* not"
    ):
        build_net(TrainedDetector(whole.weights, ("a", "b", "c"), whole.settings), mx.cpu())


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 100}, "^size must be a multiple of 32 for 'yolo', got 100$"),
        ({"size": 32}, "^size must be at least 64, got 32$"),
        ({"negative_ratio": 2.0}, "^negative_ratio has no effect on 'yolo': leave it at 3.0, got 2.0$"),
        ({"network": "yolov9"}, "^network must be one of tiny, mobilenet, yolo; got 'yolov9'$"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(TRAIN, VAL, tmp_path / "out", **{**SMALL, **settings})
    assert not (tmp_path / "out").exists()


# What is said and drawn


def test_an_epoch_is_told_with_its_objectness():
    entry = {"epoch": 7, "cls": 1.23456, "box": 0.5, "objectness": 2, "voc07": 0.25, "voc12": 0.5, "by_class": {"a": 1}}
    told = "epoch 7: cls 1.235, box 0.500, objectness 2.000; mAP 0.250 (VOC07), 0.500 (VOC12); a 1.000"
    assert module.describe_epoch(entry) == told


def test_progress_shows_the_three_losses(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    model = train(TRAIN, VAL, None, **{**SMALL, "num_epochs": 1}, progress=True)
    last = model.history[0]
    told = f"cls {last['cls']:.3f} box {last['box']:.3f} objectness {last['objectness']:.3f}"
    assert told in capsys.readouterr().err


def test_the_history_is_drawn_with_three_losses(whole):
    left, right = plot.detector_history(whole.history)
    drawn_lines = {line.get_label(): list(line.get_ydata()) for line in left.lines}
    names = {"classes": "cls", "boxes": "box", "objectness": "objectness"}
    assert drawn_lines == {label: [entry[key] for entry in whole.history] for label, key in names.items()}
    assert left.get_title() == "loss, a picture"
    assert len({line.get_color() for line in left.lines}) == 3
    assert len(right.lines) == 2
    plt.close(left.figure)


# The command


FLAGS = ["--network", "yolo", "--size", SIZE, "--epochs", 1, "--batch-size", 2, "--lr", 0.01, "--device", "cpu"]


@pytest.fixture
def records(isolated):
    """A set of RecordIO files in an empty working folder."""
    here = isolated / "work" / "here"
    for split, indices in (("train", range(4)), ("val", range(4, 6))):
        write_records(here / "data" / f"{split}.rec", (draw_labelled(i, 1 + i % 2) for i in indices))
    return here


def test_the_command_trains_goes_on_and_finds(records, cli):
    status, out, err = cli("detect-train", "data", *FLAGS, "--out", "m")
    assert (status, err) == (0, "")
    for name in ("model.json", "model.params", "history.png", "samples.png"):
        assert (records / "m" / name).stat().st_size > 0
    assert ", objectness " in out
    status, out, err = cli("detect-train", "data", "--out", "m", "--resume", "--epochs", 25, "--device", "cpu")
    assert (status, err) == (0, "")
    model = load_detector("m")
    assert [entry["epoch"] for entry in model.history] == list(range(1, 26))
    assert (model.settings["network"], model.settings["size"], len(model.settings["anchors"])) == ("yolo", SIZE, 9)
    Image.fromarray(draw(0, 2)[0]).save("a.png")
    status, out, _ = cli("detect", "a.png", "--model", "m", "--json", "--threshold", 0.05, "--device", "cpu")
    assert status == 0
    (result,) = json.loads(out)
    assert (result["width"], result["height"]) == (WIDTH, HEIGHT)
    assert len(result["objects"]) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--negatives", 5], "negative_ratio has no effect on 'yolo': leave it at 3.0, got 5.0"),
        (["--size", 100], "size must be a multiple of 32 for 'yolo', got 100"),
    ],
)
def test_the_command_refuses_flags_that_do_not_fit_a_yolo(records, cli, arguments, message):
    status, _, err = cli("detect-train", "data", *FLAGS, "--out", "m", *arguments)
    assert (status, err) == (2, f"gluonbook: {message}\n")
    assert os.listdir(".") == ["data"]
