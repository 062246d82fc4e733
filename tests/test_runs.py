"""A training in its folder: which one may go on, which is done, which is another; and what Ctrl-C saves."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from gluonbook import runs, training
from gluonbook._mxnet import mx, nd

RECIPE = {"cell": "gru", "num_epochs": 4, "lr": 0.03, "theta": None, "seed": 0}
DATA = "0123456789abcdef"


def checkpoint(folder, epoch, **changes):
    """Write a checkpoint of this training, or with ``changes`` of another."""
    info = {"epoch": epoch, "recipe": RECIPE, "data": DATA, **changes}
    training.save_checkpoint(folder, {"weight": nd.ones((2,))}, info)
    return training.read_checkpoint(folder)


# The schedule and the seeds


def test_the_learning_rate_falls_by_half_a_cosine_to_a_twentieth():
    """lr·(0.05 + 0.95·(1 + cos(π·done))/2), by hand: cos is 1, √½, 0, −√½, −1."""
    rates = [runs.cosine(done, 0.02) for done in (0, 0.25, 0.5, 0.75, 1)]
    assert rates == pytest.approx([0.02, 0.0172175, 0.0105, 0.0037825, 0.001], rel=1e-5)


def test_an_epochs_numbers_come_from_the_seed_and_its_own_number():
    def draw(seed, epoch):
        rng = runs.seed_epoch(seed, epoch)
        return (*mx.nd.random.uniform(shape=(3,)).asnumpy().tolist(), *rng.random(3).tolist())

    assert draw(3, 1) == draw(3, 1)
    drawn = [draw(seed, epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    assert len({numbers[:3] for numbers in drawn}) == len({numbers[3:] for numbers in drawn}) == 9


def test_numbers_drawn_before_do_not_matter():
    runs.seed_epoch(0, 5)
    first = mx.nd.random.uniform(shape=(3,)).asnumpy()
    mx.nd.random.uniform(shape=(7,)).wait_to_read()
    runs.seed_epoch(0, 5)
    np.testing.assert_array_equal(mx.nd.random.uniform(shape=(3,)).asnumpy(), first)


# What may go on


def test_the_very_training_may_go_on(tmp_path):
    info = checkpoint(tmp_path, 2)
    for num_epochs in (2, 4, 9):
        runs.check_resumable(tmp_path, info, {**RECIPE, "num_epochs": num_epochs}, DATA, "text")


def test_fewer_epochs_than_the_checkpoint_has_are_refused(tmp_path):
    info = checkpoint(tmp_path, 2)
    with pytest.raises(ValueError, match=r"^num_epochs must be at least 2, which the checkpoint has; got 1$"):
        runs.check_resumable(tmp_path, info, {**RECIPE, "num_epochs": 1}, DATA, "text")


@pytest.mark.parametrize("what", ["text", "data set"])
def test_other_data_is_not_gone_on_with(tmp_path, what):
    info = checkpoint(tmp_path, 2)
    told = rf"^the {what} is not the one that the checkpoint in .*{tmp_path.name} was trained on$"
    with pytest.raises(ValueError, match=told):
        runs.check_resumable(tmp_path, info, RECIPE, DATA[::-1], what)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("cell", "lstm", "cell was 'gru', now 'lstm'"),
        ("lr", 0.5, r"lr was 0\.03, now 0\.5"),
        ("theta", 1.0, r"theta was None, now 1\.0"),
        ("seed", 1, "seed was 0, now 1"),
    ],
)
def test_every_setting_but_the_number_of_epochs_is_compared(tmp_path, name, value, told):
    info = checkpoint(tmp_path, 2)
    with pytest.raises(ValueError, match=f"was made with other settings: {told}$"):
        runs.check_resumable(tmp_path, info, {**RECIPE, name: value}, DATA, "text")


def test_all_that_changed_is_named(tmp_path):
    info = checkpoint(tmp_path, 2)
    with pytest.raises(ValueError, match=r"cell was 'gru', now 'rnn'; seed was 0, now 7$"):
        runs.check_resumable(tmp_path, info, {**RECIPE, "cell": "rnn", "seed": 7}, DATA, "text")


def test_settings_that_a_checkpoint_lacks_are_named(tmp_path):
    info = checkpoint(tmp_path, 2)
    with pytest.raises(ValueError, match=r"lacks the settings keep, wd$"):
        runs.check_resumable(tmp_path, info, {**RECIPE, "wd": 0, "keep": "last"}, DATA, "text")


def test_a_checkpoints_settings_are_read(tmp_path):
    checkpoint(tmp_path, 2)
    assert runs.saved_recipe(tmp_path) == RECIPE


def test_without_a_checkpoint_there_are_no_settings(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.json is not there: no training to resume"):
        runs.saved_recipe(tmp_path)


# What is done


def is_finished(folder, recipe=RECIPE, data=DATA):
    return runs.is_finished(folder, "model.json", recipe, data)


def test_an_empty_or_missing_folder_holds_nothing(tmp_path):
    assert is_finished(tmp_path) is False
    assert is_finished(tmp_path / "missing") is False


def test_a_folder_with_files_of_others_may_be_used(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert is_finished(tmp_path) is False


@pytest.mark.parametrize("epoch", [4, 5])
def test_this_very_training_done_is_finished(tmp_path, epoch):
    checkpoint(tmp_path, epoch)
    assert is_finished(tmp_path) is True


def test_a_model_alone_is_not_overwritten(tmp_path):
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds a model: give another folder \(--out\), or remove that one$"):
        is_finished(tmp_path)


def test_this_training_half_done_is_not_begun_anew(tmp_path):
    checkpoint(tmp_path, 3)
    told = (
        r"holds this training, stopped after epoch 3 of 4: go on with resume=True \(--resume\), or remove the folder$"
    )
    with pytest.raises(ValueError, match=told):
        is_finished(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"data": "another"}, {"recipe": {**RECIPE, "seed": 1}}, {"recipe": {**RECIPE, "num_epochs": 9}}, {"recipe": None}],
    ids=["data", "a setting", "epochs", "no settings"],
)
def test_another_training_is_not_overwritten(tmp_path, changes):
    checkpoint(tmp_path, 4, **changes)
    with pytest.raises(ValueError, match=r"holds another training: give another folder \(--out\)"):
        is_finished(tmp_path)


def test_a_checkpoint_that_is_none_is_told(tmp_path):
    (tmp_path / "checkpoint.json").write_text(json.dumps({"epoch": 4}))
    with pytest.raises(ValueError, match=r"checkpoint\.json is not a checkpoint"):
        is_finished(tmp_path)


# Ctrl-C


def test_ctrl_c_saves_and_goes_on_its_way():
    saved = []
    with pytest.raises(KeyboardInterrupt), runs.saving_on_interrupt(lambda: saved.append(1)):
        raise KeyboardInterrupt
    assert saved == [1]


def test_what_ends_well_or_in_another_error_is_not_saved():
    saved = []
    with runs.saving_on_interrupt(lambda: saved.append(1)):
        pass
    with pytest.raises(ArithmeticError, match="nan"), runs.saving_on_interrupt(lambda: saved.append(1)):
        raise ArithmeticError(math.nan)
    assert saved == []


# Weights


def test_weights_are_found_by_their_kind_in_the_order_of_the_names():
    arrays = {
        "weight:a": nd.array([1, 2]),
        "best:a": nd.array([3, 4]),
        "weight:b": nd.array([5]),
        "best:b": nd.zeros(1),
    }
    found = runs.weights_of(arrays, "weight", ["b", "a"])
    assert {name: weight.tolist() for name, weight in found.items()} == {"b": [5], "a": [1, 2]}
    assert list(found) == ["b", "a"]
    assert runs.weights_of(arrays, "best", ["a"])["a"].tolist() == [3, 4]


def test_a_copy_on_the_cpu_does_not_change_with_its_original():
    original = nd.ones((2,), ctx=mx.cpu(1))
    copy = runs.on_cpu(original)
    original[:] = 7
    assert copy.context == mx.cpu(0)
    assert copy.asnumpy().tolist() == [1, 1]


def test_a_folders_training_is_told_without_mxnet(tmp_path):
    """``gluonbook ... --resume`` reads the settings before anything heavy is imported."""
    checkpoint(tmp_path, 2)
    code = (
        f"import sys; from gluonbook import runs; runs.saved_recipe({str(tmp_path)!r}); print('mxnet' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.split() == ["False"], result.stderr
