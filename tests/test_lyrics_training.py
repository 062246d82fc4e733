"""Training: it learns, stops and goes on with the same numbers, refuses what is wrong, and measures rightly."""

import inspect
import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from gluonbook import runs
from gluonbook import training as shared
from gluonbook._mxnet import mx
from gluonbook.data import embedded_songs
from gluonbook.lyrics import (
    TrainedModel,
    Vocabulary,
    evaluate,
    load_model,
    save_model,
    train,
)
from gluonbook.lyrics import training as module
from gluonbook.lyrics.evaluation import evaluate_tail
from gluonbook.lyrics.saved import build_net
from gluonbook.training import NonFiniteLoss, load_checkpoint

TEXT = embedded_songs()[:600]
SMALL = {
    "num_hiddens": 16,
    "embedding_size": 8,
    "batch_size": 4,
    "num_steps": 15,
    "num_epochs": 4,
    "lr": 0.03,
    "device": "cpu",
}
CELLS = ["rnn", "rnn_relu", "gru", "lstm"]
EVERY_CELL = pytest.mark.parametrize("cell", CELLS)
LONGER = embedded_songs()[:1000]  # with these settings the held-out perplexity is lowest in epoch 2
SOON_BEST = {"num_epochs": 8, "lr": 0.005, "num_hiddens": 32, "held_out": 0.2}
REFRAIN = "分开就分开，不分开也罢。" * 20


def without_seconds(history):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in history]


def assert_same_model(ours, theirs):
    """Bit for bit."""
    assert without_seconds(ours.history) == without_seconds(theirs.history)
    assert ours.settings == theirs.settings
    assert ours.vocabulary.tokens == theirs.vocabulary.tokens
    assert list(ours.weights) == list(theirs.weights)
    for name, weight in ours.weights.items():
        np.testing.assert_array_equal(weight, theirs.weights[name])


def train_interrupted(interrupt, out, epoch, batch=2, **settings):
    interrupt(epoch, batch)
    with pytest.raises(KeyboardInterrupt):
        train(TEXT, out, **{**SMALL, **settings})


@pytest.fixture(scope="module")
def model():
    """A model that two epochs trained."""
    return train(TEXT, None, **{**SMALL, "num_epochs": 2})


# What training returns and writes


@EVERY_CELL
def test_each_cell_learns_a_refrain(cell):
    model = train(REFRAIN, None, **{**SMALL, "cell": cell, "num_epochs": 30, "num_hiddens": 32})
    perplexities = [entry["train"] for entry in model.history]
    assert perplexities[0] > 3
    assert perplexities[-1] < 1.2
    assert model.history[-1]["held_out"] < 1.2


@pytest.mark.parametrize("settings", [{"num_layers": 2}, {"embedding_size": None}, {"dropout": 0.2}, {"theta": None}])
def test_it_learns_with_other_settings(settings):
    model = train(REFRAIN, None, **{**SMALL, "cell": "gru", "num_epochs": 30, **settings})
    assert model.history[0]["train"] > 3
    assert model.history[-1]["train"] < 1.5


def test_history_has_an_entry_an_epoch(model):
    assert [entry["epoch"] for entry in model.history] == [1, 2]
    for entry in model.history:
        assert sorted(entry) == ["epoch", "held_out", "lr", "seconds", "train"]
        assert entry["seconds"] >= 0
    assert model.history[1]["train"] < model.history[0]["train"]


def test_settings_are_the_arguments_that_change_the_numbers(model):
    parameters = inspect.signature(train).parameters
    left = {name: parameters[name].default for name in module.RECIPE if name not in SMALL}
    assert model.settings == {**left, **{k: v for k, v in SMALL.items() if k != "device"}, "num_epochs": 2}


def test_the_same_seed_gives_the_same_model_and_another_seed_another(model):
    settings = {**SMALL, "num_epochs": 2}
    assert_same_model(train(TEXT, None, **settings), model)
    other = train(TEXT, None, **settings, seed=1)
    assert np.abs(other.weights["dense.weight"] - model.weights["dense.weight"]).max() > 0.01


def test_without_a_held_out_part_none_is_measured():
    model = train(TEXT, None, **{**SMALL, "num_epochs": 1, "held_out": 0})
    assert [entry["held_out"] for entry in model.history] == [None]


def test_the_whole_model_is_written_to_its_folder(tmp_path):
    model = train(TEXT, tmp_path / "out", **SMALL)
    assert_same_model(load_model(tmp_path / "out"), model)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["checkpoint-00004.params", "checkpoint.json", "model.json", "model.params"]


def test_without_a_folder_nothing_is_written(isolated):
    train(TEXT, None, **{**SMALL, "num_epochs": 1})
    assert list((isolated / "work" / "here").iterdir()) == []


def test_unk_stands_for_rare_characters():
    model = train(TEXT, None, **{**SMALL, "num_epochs": 1, "min_count": 3})
    assert model.vocabulary.tokens[0] == "<unk>"
    assert len(model.vocabulary) == 1 + sum(TEXT.count(character) >= 3 for character in set(TEXT))


def test_the_history_has_the_schedules_learning_rates(model):
    assert [entry["lr"] for entry in model.history] == [runs.cosine(0, 0.03), runs.cosine(0.5, 0.03)]


def test_the_optimizer_takes_the_schedules_learning_rate(monkeypatch):
    """A schedule that ends at 0 leaves the weights as they are."""
    one = train(TEXT, None, **{**SMALL, "num_epochs": 1})
    monkeypatch.setattr(runs, "cosine", lambda done, lr: lr if done == 0 else 0.0)
    three = train(TEXT, None, **{**SMALL, "num_epochs": 3})
    for name, weight in one.weights.items():
        np.testing.assert_array_equal(three.weights[name], weight)


def test_gradients_are_clipped_to_theta(monkeypatch):
    seen, clip = [], shared.clip_gradients

    def spy(gradients, theta):
        clip(gradients, theta)
        seen.append(math.sqrt(sum(float((g**2).sum().asscalar()) for g in gradients)))

    monkeypatch.setattr(shared, "clip_gradients", spy)
    net = train(TEXT, None, **{**SMALL, "num_epochs": 1, "theta": 1e-3})
    assert len(seen) == (540 // 4 - 1) // 15
    assert max(seen) == pytest.approx(1e-3, rel=1e-4)
    assert len(net.history) == 1


def test_keep_best_returns_the_epoch_with_the_lowest_held_out_perplexity():
    settings = {**SMALL, **SOON_BEST}
    model = train(LONGER, None, keep="best", **settings)
    held_out = [entry["held_out"] for entry in model.history]
    best = int(np.argmin(held_out))
    assert 0 < best < 7  # else "first" or "last" would do as well
    _, tail = module.split(model.vocabulary.encode(LONGER), 0.2, 4, 15)
    assert evaluate_tail(build_net(model, mx.cpu()), tail, mx.cpu()) == held_out[best]
    last = train(LONGER, None, keep="last", **settings)
    assert without_seconds(last.history) == without_seconds(model.history)
    assert evaluate_tail(build_net(last, mx.cpu()), tail, mx.cpu()) == held_out[-1]


def test_a_diverging_run_names_epoch_batch_learning_rate_and_last_finite_loss():
    with pytest.raises(NonFiniteLoss, match=r"epoch 1, batch 2, learning rate 1e\+09; last finite loss: 5\.\d{4}\."):
        train(TEXT, None, **{**SMALL, "cell": "rnn_relu", "lr": 1e9, "theta": None})


def test_the_last_finite_loss_may_be_of_the_epoch_before(monkeypatch):
    """One batch an epoch: the loss of epoch 2, batch 1 follows that of epoch 1."""
    monkeypatch.setattr(module.nd.NDArray, "detach", lambda array: array * (math.nan if seen else 1))
    seen, read = [], shared.LossGuard._read
    monkeypatch.setattr(shared.LossGuard, "_read", lambda guard: read(guard) or seen.extend(guard.losses))
    with pytest.raises(NonFiniteLoss, match=r"the loss is nan at epoch 2, batch 1, .* last finite loss: ") as error:
        train(TEXT[:80], None, **{**SMALL, "held_out": 0})
    assert f"last finite loss: {seen[-1]:.4f}." in str(error.value)


def test_a_diverging_run_leaves_the_last_whole_epochs_checkpoint(tmp_path, monkeypatch):
    train(TEXT, tmp_path / "whole", **SMALL)
    add = shared.LossGuard.add
    monkeypatch.setattr(
        shared.LossGuard, "add", lambda guard, loss: add(guard, loss * math.nan if guard.epoch == 3 else loss)
    )
    with pytest.raises(NonFiniteLoss, match="epoch 3, batch 1"):
        train(TEXT, tmp_path / "out", **SMALL)
    monkeypatch.setattr(shared.LossGuard, "add", add)
    assert load_checkpoint(tmp_path / "out")[1]["epoch"] == 2
    assert_same_model(train(TEXT, tmp_path / "out", **SMALL, resume=True), load_model(tmp_path / "whole"))


# Stopped and gone on


@EVERY_CELL
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "dropout": 0.3, "keep": "best"}])
def test_a_resumed_run_gives_the_numbers_of_one_never_stopped(tmp_path, interrupt, cell, settings):
    never_stopped = train(TEXT, None, **SMALL, cell=cell, **settings)
    train_interrupted(interrupt, tmp_path, 3, cell=cell, **settings)
    assert load_checkpoint(tmp_path)[1]["epoch"] == 2
    resumed = train(TEXT, tmp_path, **SMALL, cell=cell, **settings, resume=True)
    assert_same_model(resumed, never_stopped)
    assert_same_model(load_model(tmp_path), never_stopped)


def test_a_run_may_be_stopped_again_and_again(tmp_path, interrupt):
    never_stopped = train(TEXT, None, **SMALL, dropout=0.2)
    train_interrupted(interrupt, tmp_path, 2, batch=1, dropout=0.2)
    for epoch, batch in [(2, 3), (3, 1), (4, 8)]:
        train_interrupted(interrupt, tmp_path, epoch, batch, dropout=0.2, resume=True)
        assert load_checkpoint(tmp_path)[1]["epoch"] == epoch - 1
    assert_same_model(train(TEXT, tmp_path, **SMALL, dropout=0.2, resume=True), never_stopped)


def test_resuming_keeps_the_best_epoch_from_before_the_stop(tmp_path, interrupt):
    settings = {**SMALL, **SOON_BEST, "keep": "best"}
    never_stopped = train(LONGER, None, **settings)
    best = 1 + int(np.argmin([entry["held_out"] for entry in never_stopped.history]))
    interrupt(best + 2, 2)
    with pytest.raises(KeyboardInterrupt):
        train(LONGER, tmp_path, **settings)
    resumed = train(LONGER, tmp_path, **settings, resume=True)
    assert_same_model(resumed, never_stopped)


def test_ctrl_c_leaves_the_last_whole_epochs_model(tmp_path, interrupt):
    train_interrupted(interrupt, tmp_path, 3, checkpoint_every=100)
    arrays, info = load_checkpoint(tmp_path)
    model = load_model(tmp_path)
    assert info["epoch"] == len(model.history) == 2
    for name, weight in model.weights.items():
        np.testing.assert_array_equal(arrays[f"weight:{name}"].asnumpy(), weight)
    before = [entry["train"] for entry in model.history]
    resumed = train(TEXT, tmp_path, **SMALL, resume=True)
    assert [entry["train"] for entry in resumed.history[:2]] == before


def test_ctrl_c_in_the_first_epoch_leaves_nothing(tmp_path, interrupt):
    train_interrupted(interrupt, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_is_not_lost_where_python_ignores_exceptions(tmp_path, monkeypatch):
    """MXNet frees arrays in ``__del__``, where Python prints a KeyboardInterrupt and forgets it."""

    class Freed:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    add = shared.LossGuard.add

    def freeing(guard, loss):
        add(guard, loss)
        if (guard.epoch, len(guard.losses)) == (3, 1):
            Freed()

    monkeypatch.setattr(shared.LossGuard, "add", freeing)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(TEXT, tmp_path, **SMALL)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, handler)
    assert load_checkpoint(tmp_path)[1]["epoch"] == len(load_model(tmp_path).history) == 2


@pytest.mark.parametrize("epoch", [1, 3])
def test_ctrl_c_between_an_epoch_and_its_snapshot_leaves_model_and_checkpoint_of_one_epoch(
    tmp_path, monkeypatch, epoch
):
    snapshot = module._Run._snapshot

    def interrupting(run):
        if run.epoch == epoch:
            monkeypatch.setattr(module._Run, "_snapshot", snapshot)
            raise KeyboardInterrupt
        return snapshot(run)

    monkeypatch.setattr(module._Run, "_snapshot", interrupting)
    with pytest.raises(KeyboardInterrupt):
        train(TEXT, tmp_path, **SMALL)
    if (tmp_path / "model.json").exists():
        assert len(load_model(tmp_path).history) == load_checkpoint(tmp_path)[1]["epoch"] == epoch - 1
    else:
        assert epoch == 1
    assert_same_model(train(TEXT, tmp_path, **SMALL, resume=epoch > 1), train(TEXT, None, **SMALL))


def test_a_hard_kill_loses_at_most_the_current_epoch(tmp_path):
    """The process kills itself in batch 2 of epoch 3: no handler runs, no file is closed."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    code = (
        "import os, pathlib, signal\n"
        "from gluonbook import training\n"
        "from gluonbook.lyrics import train\n"
        "add = training.LossGuard.add\n"
        "def kill(guard, loss):\n"
        "    add(guard, loss)\n"
        "    if (guard.epoch, len(guard.losses)) == (3, 1):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "training.LossGuard.add = kill\n"
        f"train(pathlib.Path('text.txt').read_text(encoding='utf-8'), 'out', **{SMALL!r})\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert load_checkpoint(tmp_path / "out")[1]["epoch"] == 2
    resumed = train(TEXT, tmp_path / "out", **SMALL, resume=True)
    assert_same_model(resumed, train(TEXT, None, **SMALL))


def test_a_finished_run_may_be_given_more_epochs(tmp_path):
    train(TEXT, tmp_path, **SMALL)
    resumed = train(TEXT, tmp_path, **{**SMALL, "num_epochs": 6}, resume=True)
    assert [entry["epoch"] for entry in resumed.history] == [1, 2, 3, 4, 5, 6]
    assert [entry["lr"] for entry in resumed.history[4:]] == [runs.cosine(4 / 6, 0.03), runs.cosine(5 / 6, 0.03)]
    assert_same_model(load_model(tmp_path), resumed)


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    model = train(TEXT, tmp_path, **SMALL)
    assert_same_model(train(TEXT, tmp_path, **SMALL, resume=True), model)


@pytest.mark.parametrize(("every", "saved"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (100, [5])])
def test_checkpoints_are_written_every_so_many_epochs_and_at_the_end(tmp_path, monkeypatch, every, saved):
    epochs, save = [], shared.save_checkpoint
    monkeypatch.setattr(
        shared,
        "save_checkpoint",
        lambda folder, arrays, info: epochs.append(info["epoch"]) or save(folder, arrays, info),
    )
    train(TEXT, tmp_path, **{**SMALL, "num_epochs": 5}, checkpoint_every=every)
    assert epochs == saved


# What is refused


def test_another_text_is_not_gone_on_with(tmp_path, interrupt):
    train_interrupted(interrupt, tmp_path, 2)
    with pytest.raises(ValueError, match=r"the text is not the one that the checkpoint in .* was trained on"):
        train(TEXT + "。", tmp_path, **SMALL, resume=True)


def test_other_settings_are_named_with_both_values(tmp_path, interrupt):
    train_interrupted(interrupt, tmp_path, 2)
    with pytest.raises(ValueError, match=r"other settings: num_hiddens was 16, now 8; lr was 0.03, now 0.5$"):
        train(TEXT, tmp_path, **{**SMALL, "num_hiddens": 8, "lr": 0.5}, resume=True)


def test_fewer_epochs_than_the_checkpoint_has_are_refused(tmp_path):
    train(TEXT, tmp_path, **SMALL)
    with pytest.raises(ValueError, match="num_epochs must be at least 4, which the checkpoint has; got 3"):
        train(TEXT, tmp_path, **{**SMALL, "num_epochs": 3}, resume=True)


def test_an_empty_folder_cannot_be_gone_on_with(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoint\.json is not there: no training to resume"):
        train(TEXT, tmp_path, **SMALL, resume=True)


def test_resume_needs_a_folder():
    with pytest.raises(ValueError, match="resume needs out"):
        train(TEXT, None, **SMALL, resume=True)


def test_a_half_done_run_is_not_begun_anew_by_a_forgotten_flag(tmp_path, interrupt):
    train_interrupted(interrupt, tmp_path, 3)
    before = (tmp_path / "checkpoint.json").read_bytes()
    with pytest.raises(ValueError, match=r"stopped after epoch 2 of 4: go on with resume=True \(--resume\)"):
        train(TEXT, tmp_path, **SMALL)
    assert (tmp_path / "checkpoint.json").read_bytes() == before


@pytest.mark.parametrize("text", [TEXT, TEXT + "。"])
def test_another_training_is_not_overwritten(tmp_path, text):
    train(TEXT, tmp_path, **SMALL)
    before = (tmp_path / "model.params").read_bytes()
    with pytest.raises(ValueError, match=r"holds another training: give another folder \(--out\)"):
        train(text, tmp_path, **SMALL, seed=int(text == TEXT))
    assert (tmp_path / "model.params").read_bytes() == before


def test_the_same_finished_training_may_be_run_again(tmp_path):
    model = train(TEXT, tmp_path, **SMALL)
    assert_same_model(train(TEXT, tmp_path, **SMALL), model)


def test_a_checkpoint_whose_weights_are_cut_off_is_refused(tmp_path, interrupt):
    train_interrupted(interrupt, tmp_path, 3)
    weights = tmp_path / "checkpoint-00002.params"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"checkpoint-00002\.params is not a readable"):
        train(TEXT, tmp_path, **SMALL, resume=True)


def test_a_checkpoint_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "checkpoint.json").write_text("{", encoding="utf-8")
    for resume in (True, False):
        with pytest.raises(ValueError, match=r"checkpoint\.json is not a JSON file"):
            train(TEXT, tmp_path, **SMALL, resume=resume)


def test_json_of_another_kind_is_no_checkpoint(tmp_path):
    (tmp_path / "checkpoint.json").write_text(json.dumps({"epoch": 3}), encoding="utf-8")
    for resume in (True, False):
        with pytest.raises(ValueError, match=r"checkpoint\.json"):
            train(TEXT, tmp_path, **SMALL, resume=resume)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_epochs": 0}, ValueError, "num_epochs must be at least 1, got 0"),
        ({"num_epochs": 1.5}, TypeError, "num_epochs must be a whole number, got 1.5"),
        ({"lr": 0}, ValueError, "lr must be above 0, got 0"),
        ({"lr": math.nan}, ValueError, "lr must be above 0, got nan"),
        ({"theta": 0}, ValueError, "theta must be above 0, got 0"),
        ({"held_out": 1}, ValueError, "held_out must be at least 0 and below 1, got 1"),
        ({"held_out": -0.1}, ValueError, "held_out must be at least 0 and below 1, got -0.1"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"keep": "first"}, ValueError, "keep must be one of last, best; got 'first'"),
        ({"keep": "best", "held_out": 0}, ValueError, "keep='best' needs a held-out part to judge by, got held_out=0"),
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every must be at least 1, got 0"),
        ({"sample_every": 0}, ValueError, "sample_every must be at least 1, got 0"),
        ({"min_count": 0}, ValueError, "min_count must be at least 1, got 0"),
        ({"level": "line"}, ValueError, "level must be one of char, word; got 'line'"),
        ({"cell": "sru"}, ValueError, "cell must be one of rnn, rnn_relu, gru, lstm; got 'sru'"),
        ({"num_hiddens": 0}, ValueError, "num_hiddens must be at least 1, got 0"),
        ({"num_layers": 0}, ValueError, "num_layers must be at least 1, got 0"),
        ({"embedding_size": 0}, ValueError, "embedding_size must be at least 1, got 0"),
        ({"dropout": 1.0}, ValueError, "dropout must be at least 0 and below 1, got 1.0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"num_steps": 0}, ValueError, "num_steps must be at least 1, got 0"),
        ({"device": "tpu"}, ValueError, "device must be auto, cpu, gpu or .*, got 'tpu'"),
        ({"prefixes": ["分", "鳌"]}, ValueError, "not in the vocabulary of .* tokens: '鳌' at 0"),
        ({"prefixes": [""]}, ValueError, "none empty"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, settings, error, message):
    with pytest.raises(error, match=message):
        train(TEXT, tmp_path / "out", **{**SMALL, **settings})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "分开"])
def test_a_text_shorter_than_a_batch_is_refused(text):
    with pytest.raises(ValueError, match=r"empty corpus|4 rows of at least 16 need 64 tokens, got 2"):
        train(text, None, **SMALL)


def test_a_text_of_spaces_is_trained_on_as_any_other():
    model = train("  \n" * 200, None, **{**SMALL, "num_epochs": 1})
    assert model.vocabulary.tokens == [" ", "\n"]


def test_a_vocabulary_of_unk_alone_is_refused():
    with pytest.raises(ValueError, match="min_count"):
        train(TEXT, None, **{**SMALL, "num_epochs": 1, "min_count": 1000})


# Parts


def test_split_gives_the_tail_the_last_token_before_it():
    kept, tail = module.split(np.arange(100), 0.1, 4, 5)
    assert kept.tolist() == list(range(90))
    assert tail.tolist() == list(range(89, 100))


def test_split_holds_nothing_out_where_the_share_is_0():
    kept, tail = module.split(np.arange(100), 0, 4, 5)
    assert (kept.tolist(), tail.tolist()) == (list(range(100)), [])


def test_split_refuses_what_is_too_short_without_the_tail():
    assert len(module.split(np.arange(24), 0, 4, 5)[0]) == 24
    with pytest.raises(ValueError, match="4 rows of at least 6 need 24 tokens, got 22"):
        module.split(np.arange(24), 0.1, 4, 5)


def test_samples_continue_the_notes_prefixes_or_the_first_token(model):
    assert module.sample_prefixes(model, TEXT) == ["分开", "不分开"]
    other = TrainedModel({}, Vocabulary("\n雨夜"), {"level": "char"})
    assert module.sample_prefixes(other, "\n雨夜") == ["雨"]


def test_progress_shows_a_bar_and_sample_lines(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train(TEXT, None, **{**SMALL, "num_epochs": 5}, progress=True, sample_every=2, prefixes=["雨停"])
    output = capsys.readouterr()
    assert [line.split(":")[0] for line in output.out.splitlines() if line.startswith("epoch")] == [
        "epoch 2",
        "epoch 4",
        "epoch 5",
    ]
    samples = [line for line in output.out.splitlines() if line.startswith(" - 雨停")]
    assert [len(line) for line in samples] == [len(" - 雨停") + 50] * 3
    assert "char/s" in output.err
    assert "perplexity=" in output.err
    assert "100%" in output.err


def test_there_is_no_bar_where_nobody_sees_it(capsys):
    train(TEXT, None, **{**SMALL, "num_epochs": 1}, progress=True)
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.startswith("epoch 1: training perplexity 2")


def test_without_progress_nothing_is_printed(capsys):
    train(TEXT, None, **{**SMALL, "num_epochs": 1})
    assert capsys.readouterr() == ("", "")


def test_the_training_perplexity_is_the_mean_over_the_epochs_batches(monkeypatch):
    losses, read = [], shared.LossGuard._read
    monkeypatch.setattr(shared.LossGuard, "_read", lambda guard: read(guard) or losses.append(list(guard.losses)))
    model = train(TEXT, None, **{**SMALL, "num_epochs": 1})
    assert len(losses[-1]) == (540 // 4 - 1) // 15
    assert model.history[0]["train"] == pytest.approx(math.exp(np.mean(losses[-1])), rel=1e-6)
    assert losses[-1][0] == pytest.approx(math.log(len(model.vocabulary)), rel=0.1)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_training_reads_adjacent_batches_and_carries_the_state(cell):
    """With a learning rate of next to nothing an epoch measures each row of the text from its start to its end."""
    model = train(TEXT, None, **{**SMALL, "num_epochs": 1, "lr": 1e-12, "cell": cell, "held_out": 0})
    corpus = model.vocabulary.encode(TEXT)
    length = (len(corpus) // 4 - 1) // 15 * 15
    rows = [
        evaluate(build_net(model, mx.cpu()), corpus[start : start + length + 1], mx.cpu())
        for start in range(0, 600, 150)
    ]
    assert model.history[0]["train"] == pytest.approx(np.prod(rows) ** (1 / 4), rel=1e-5)


def test_keep_best_without_a_tail_is_refused():
    with pytest.raises(ValueError, match=r"keep='best' needs a held-out part: held_out=0\.0001 of "):
        train(TEXT, None, **{**SMALL, "keep": "best", "held_out": 0.0001})


def test_a_folder_with_a_model_alone_is_not_overwritten(tmp_path):
    save_model(tmp_path, train(TEXT, None, **{**SMALL, "num_epochs": 1}))
    before = (tmp_path / "model.params").read_bytes()
    with pytest.raises(ValueError, match="holds a model: give another folder"):
        train(TEXT, tmp_path, **SMALL)
    assert (tmp_path / "model.params").read_bytes() == before


def test_a_finished_training_is_not_done_again(tmp_path, interrupt):
    first = train(TEXT, tmp_path, **SMALL)
    interrupt(1, 2)  # nothing is left to be stopped
    assert_same_model(train(TEXT, tmp_path, **SMALL), first)


def test_a_checkpoint_that_lacks_a_setting_is_named(tmp_path, interrupt):
    train_interrupted(interrupt, tmp_path, 2)
    info = json.loads((tmp_path / "checkpoint.json").read_text(encoding="utf-8"))
    del info["recipe"]["lr"]
    (tmp_path / "checkpoint.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the settings lr"):
        train(TEXT, tmp_path, **SMALL, resume=True)
