"""``gluonbook lyrics``: what it writes and prints, its defaults, its errors, and Ctrl-C."""

import gzip
import inspect
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile

import click
import pytest
from cli_helpers import assert_refused

from gluonbook.cli import lyrics, main
from gluonbook.data import embedded_songs
from gluonbook.lyrics import Vocabulary, evaluate_text, generation, load_model, save_model, training

TEXT = embedded_songs()[:600]
SMALL = ["--hidden", "16", "--embedding", "8", "--batch-size", "4", "--steps", "15", "--epochs", "2", "--device", "cpu"]
SETTINGS = {"num_hiddens": 16, "embedding_size": 8, "batch_size": 4, "num_steps": 15, "num_epochs": 2, "device": "cpu"}


@pytest.fixture
def here(isolated, monkeypatch):
    """An empty working folder with ``songs.txt`` in it; nothing is downloaded."""

    def refuse(dataset, url):
        raise OSError("no network in tests")

    monkeypatch.setattr("gluonbook.data.fetch._download", refuse)
    folder = isolated / "work" / "here"
    (folder / "songs.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def made():
    """A trained model."""
    return training.train(TEXT, None, **SETTINGS)


@pytest.fixture
def model(here, made):
    """``here`` with that model in the folder ``model``."""
    save_model(here / "model", made)
    return made


def last_line(text):
    return text.replace("\r", "\n").strip().splitlines()[-1]


# train


def test_train_writes_model_plot_and_sample_and_prints_where_they_are(here, cli):
    status, out, err = cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m")
    assert status == 0
    for name in ("model.json", "model.params", "loss.png", "sample.txt"):
        assert f"  {os.path.join('m', name)}\n" in out
        assert (here / "m" / name).stat().st_size > 0
    assert (here / "m" / "loss.png").read_bytes().startswith(b"\x89PNG")
    last = load_model("m").history[-1]
    assert f"training perplexity {last['train']:.3f}, held-out {last['held_out']:.1f}; " in out
    assert err == ""
    samples = (here / "m" / "sample.txt").read_text(encoding="utf-8")
    assert samples == "\n\n".join(generation.generate(load_model("m"), ["分开", "不分开"], 200, seed=0)) + "\n"


def test_the_command_that_train_prints_last_writes_lyrics(here, cli):
    _, out, _ = cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m")
    command = shlex.split(last_line(out).partition(": ")[2])
    assert command[0] == "gluonbook"
    status, text, _ = cli(*command[1:])
    assert status == 0
    assert text.startswith("分开")
    assert len(text.rstrip("\n")) <= 52


def test_train_without_a_held_out_part_says_nothing_of_one(here, cli):
    status, out, _ = cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m", "--held-out", 0)
    assert status == 0
    assert "held-out" not in out


def test_train_samples_the_given_prefixes(here, cli):
    status, _, _ = cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m", "--prefix", "雨停", "--prefix", "花")
    assert status == 0
    first, _, second = (here / "m" / "sample.txt").read_text(encoding="utf-8").partition("\n\n花")
    assert first.startswith("雨停")
    assert len(second) > 100


@pytest.mark.parametrize("kind", ["songs.txt.zip", "songs.txt.gz", "-"])
def test_train_takes_archives_and_standard_input(here, cli, monkeypatch, kind):
    data = TEXT.encode("utf-8")
    if kind.endswith("zip"):
        with zipfile.ZipFile(kind, "w") as archive:
            archive.writestr("songs.txt", data)
    elif kind.endswith("gz"):
        (here / kind).write_bytes(gzip.compress(data))
    else:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    status, _, _ = cli("lyrics", "train", kind, *SMALL, "--epochs", 1, "--out", "m")
    assert status == 0
    assert load_model("m").vocabulary.tokens == Vocabulary(TEXT).tokens


def test_train_writes_what_the_python_function_writes(here, cli, made):
    cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m")
    assert load_model("m").settings == made.settings
    for name, weight in load_model("m").weights.items():
        assert (weight == made.weights[name]).all()


# Flags


def spy(monkeypatch, module, name):
    """Replace a function by one that ends the command; returns the list of the keyword arguments it was called with."""
    calls = []

    def end(*args, **settings):
        calls.append(settings)
        raise ValueError("the spy has seen enough")

    monkeypatch.setattr(module, name, end)
    return calls


def defaults(function):
    parameters = inspect.signature(function).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}


def test_train_passes_on_the_python_functions_own_defaults(here, cli, monkeypatch):
    expected = defaults(training.train)
    given = []
    monkeypatch.setattr(
        training, "train", lambda text, out, **settings: given.append({"out": out, **settings}) or 1 / 0
    )
    assert cli("lyrics", "train", "songs.txt")[0] == 2
    assert given == [{**expected, "progress": True}]


def test_generate_passes_on_the_python_functions_own_defaults(model, cli, monkeypatch):
    expected = defaults(generation.stream)
    calls = spy(monkeypatch, generation, "stream")
    assert cli("lyrics", "generate", "--model", "model", "--prefix", "分")[0] == 2
    assert calls == [expected] == [defaults(generation.generate)]


@pytest.mark.parametrize(
    ("table", "function", "command"),
    [
        (lyrics.TRAIN_FLAGS, training.train, lyrics.train),
        (lyrics.GENERATE_FLAGS, generation.generate, lyrics.generate),
    ],
)
def test_every_flags_default_is_the_python_functions_own(table, function, command):
    own = inspect.signature(function).parameters
    params = {param.name: param for param in command.params}
    context = click.Context(command)
    for name, (flag, _, about) in table.items():
        assert params[name].opts == [flag]
        assert params[name].help == about
        found = params[name].get_default(context)
        assert (found or None if name == "prefixes" else found) == own[name].default  # click's none of many is ()


def test_every_parameter_of_train_and_generate_has_a_flag():
    parameters = inspect.signature(training.train).parameters
    assert set(parameters) - set(lyrics.TRAIN_FLAGS) == {"text", "progress"}
    assert set(inspect.signature(generation.generate).parameters) - set(lyrics.GENERATE_FLAGS) == {"model", "prefixes"}
    assert set(lyrics.TRAIN_FLAGS) <= set(parameters)


@pytest.mark.parametrize(
    ("flag", "value", "name", "expected"),
    [
        ("--level", "word", "level", "word"),
        ("--cell", "lstm", "cell", "lstm"),
        ("--hidden", "7", "num_hiddens", 7),
        ("--layers", "3", "num_layers", 3),
        ("--embedding", "9", "embedding_size", 9),
        ("--embedding", "0", "embedding_size", None),
        ("--dropout", "0.25", "dropout", 0.25),
        ("--batch-size", "5", "batch_size", 5),
        ("--steps", "6", "num_steps", 6),
        ("--epochs", "8", "num_epochs", 8),
        ("--lr", "0.5", "lr", 0.5),
        ("--theta", "0.1", "theta", 0.1),
        ("--theta", "0", "theta", None),
        ("--held-out", "0.3", "held_out", 0.3),
        ("--min-count", "2", "min_count", 2),
        ("--keep", "best", "keep", "best"),
        ("--sample-every", "4", "sample_every", 4),
        ("--prefix", "雨", "prefixes", ["雨"]),
        ("--checkpoint-every", "11", "checkpoint_every", 11),
        ("--seed", "12", "seed", 12),
        ("--device", "cpu", "device", "cpu"),
    ],
)
def test_each_flag_of_train_sets_its_parameter_and_no_other(here, cli, monkeypatch, flag, value, name, expected):
    own = {key: default for key, default in defaults(training.train).items() if key != "out"}
    calls = spy(monkeypatch, training, "train")
    assert cli("lyrics", "train", "songs.txt", flag, value)[0] == 2
    assert calls == [{**own, "progress": True, name: expected}]


def test_the_corpus_is_the_embedded_one_by_default(here, cli, monkeypatch):
    texts = []
    monkeypatch.setattr(training, "train", lambda text, out, **settings: texts.append(text) or 1 / 0)
    assert cli("lyrics", "train")[0] == 2
    assert texts == [embedded_songs()]


@pytest.mark.parametrize("command", ["train", "generate", "evaluate"])
def test_help_names_every_flag(cli, command):
    status, out, _ = cli("lyrics", command, "--help")
    assert status == 0
    for param in getattr(lyrics, command).params:
        if isinstance(param, click.Option):
            assert param.opts[0] in out


# Going on


def test_resume_takes_the_settings_from_the_checkpoint(here, cli, interrupt):
    interrupt(2)
    special = ["--cell", "rnn", "--embedding", 0, "--theta", 0, "--held-out", 0.2, "--epochs", 4, "--keep", "best"]
    assert cli("lyrics", "train", "songs.txt", *SMALL, *special, "--out", "m")[0] == 130
    assert len(load_model("m").history) == 1
    status, out, _ = cli("lyrics", "train", "songs.txt", "--out", "m", "--resume")
    assert status == 0
    assert "loss.png" in out
    resumed = load_model("m")
    settings = {**SETTINGS, "cell": "rnn", "embedding_size": None, "theta": None, "held_out": 0.2, "num_epochs": 4}
    never_stopped = training.train(TEXT, None, **settings, keep="best")
    assert resumed.settings == never_stopped.settings
    assert [entry["train"] for entry in resumed.history] == [entry["train"] for entry in never_stopped.history]


def test_resume_takes_more_epochs_from_the_command_line(here, cli):
    cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m")
    assert cli("lyrics", "train", "songs.txt", "--out", "m", "--resume", "--epochs", 3, "--hidden", 16)[0] == 0
    assert len(load_model("m").history) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["songs.txt", "--hidden", 8], "made with other settings: num_hiddens was 16, now 8"),
        (["songs.txt", "--embedding", 0], "made with other settings: embedding_size was 8, now None"),
        (["songs.txt", "--hidden", 256], "made with other settings: num_hiddens was 16, now 256"),  # the default
        (["songs.txt", "--epochs", 1], "num_epochs must be at least 2, which the checkpoint has; got 1"),
        (["songs"], "the text is not the one that the checkpoint in m was trained on"),
    ],
)
def test_resume_refuses_a_flag_that_differs(here, cli, arguments, message):
    cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m")
    status, out, err = cli("lyrics", "train", *arguments, "--out", "m", "--resume")
    assert (status, out) == (2, "")
    assert err.startswith("gluonbook: ")
    assert err.endswith(message + "\n")
    assert err.count("\n") == 1


# Errors


def write_bad_files(folder):
    (folder / "empty.txt").write_text("")
    (folder / "blank.txt").write_text(" \n\n")
    (folder / "short.txt").write_text("雨停在路口", encoding="utf-8")
    (folder / "gbk.txt").write_bytes(TEXT.encode("gb18030"))
    (folder / "folder").mkdir()
    (folder / "not.gz").write_bytes(b"not gzip")
    (folder / "cut.gz").write_bytes(gzip.compress(TEXT.encode("utf-8"))[:50])
    (folder / "not.zip").write_bytes(b"not a zip")
    for name, members in [("two.zip", ["a.txt", "b.txt"]), ("none.zip", [])]:
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member in members:
                archive.writestr(member, TEXT)


BAD_TEXTS = [
    ("empty.txt", "empty.txt is empty: expected text, found 0 bytes"),
    ("blank.txt", "blank.txt is empty: expected text, found 3 bytes"),
    ("gbk.txt", "gbk.txt is not UTF-8: byte 0xa1 at 0 (line 1); it reads as GB18030: convert it with iconv"),
    ("folder", "folder is a folder: expected a UTF-8 text file"),
    ("missing.txt", "missing.txt is not there: expected a UTF-8 text file (.txt, .txt.zip, .txt.gz) or -"),
    ("not.gz", "not.gz is not a whole gzip file"),
    ("cut.gz", "cut.gz is not a whole gzip file"),
    ("not.zip", "not.zip cannot be read as a zip archive"),
    ("two.zip", "two.zip must hold one text file, found 2: a.txt, b.txt"),
    ("none.zip", "none.zip must hold one text file, found 0"),
]


@pytest.mark.parametrize(
    ("name", "message"), [*BAD_TEXTS, ("short.txt", "4 rows of at least 16 need 64 tokens, got 5")]
)
def test_train_refuses_a_bad_text_in_one_line(here, cli, name, message):
    write_bad_files(here)
    assert_refused(cli("lyrics", "train", name, *SMALL, "--out", "m"), message)
    assert not (here / "m").exists()


@pytest.mark.parametrize(("name", "message"), [*BAD_TEXTS, ("one.txt", "at least 2 tokens are needed, got 1")])
def test_evaluate_refuses_a_bad_text_in_one_line(here, model, cli, name, message):
    write_bad_files(here)
    (here / "one.txt").write_text("雨", encoding="utf-8")
    assert_refused(cli("lyrics", "evaluate", name, "--model", "model", "--device", "cpu"), message)


@pytest.mark.parametrize("name", ["jaychou_lyrics", "time_machine"])
def test_a_missing_data_set_lists_the_places_and_the_embedded_one(here, cli, name):
    status, out, err = cli("lyrics", "train", name, *SMALL, "--out", "m")
    assert (status, out) == (2, "")
    assert err.startswith(f"gluonbook: the data set {name} ")
    for place in ("book's folder: ", "cache: ", "download: https://", "no network in tests", "embedded corpus (songs)"):
        assert place in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hidden", 0], "num_hiddens must be at least 1, got 0"),
        (["--layers", 0], "num_layers must be at least 1, got 0"),
        (["--embedding", -1], "embedding_size must be at least 1, got -1"),
        (["--dropout", 1], "dropout must be at least 0 and below 1, got 1.0"),
        (["--batch-size", 0], "batch_size must be at least 1, got 0"),
        (["--steps", 0], "num_steps must be at least 1, got 0"),
        (["--steps", 1000], "too short for one batch: 4 rows of at least 1001 need 4004 tokens, got 540"),
        (["--epochs", 0], "num_epochs must be at least 1, got 0"),
        (["--lr", "nan"], "lr must be above 0, got nan"),
        (["--theta", -1], "theta must be above 0, got -1.0"),
        (["--held-out", 1], "held_out must be at least 0 and below 1, got 1.0"),
        (["--min-count", 0], "min_count must be at least 1, got 0"),
        (["--keep", "best", "--held-out", 0], "keep='best' needs a held-out part"),
        (["--seed", -1], "seed must be at least 0, got -1"),
        (["--sample-every", 0], "sample_every must be at least 1, got 0"),
        (["--checkpoint-every", 0], "checkpoint_every must be at least 1, got 0"),
        (["--device", "tpu"], "device must be auto, cpu, gpu or gpu(N), got 'tpu'"),
        (["--device", "gpu(99)"], "device gpu(99) cannot be used: "),
        (["--cell", "sru"], "'sru' is not one of 'rnn', 'rnn_relu', 'gru', 'lstm'"),
        (["--level", "line"], "'line' is not one of 'char', 'word'"),
        (["--hidden", "many"], "'many' is not a valid integer"),
        (["--no-such-flag"], "--no-such-flag"),
        (["--prefix", "分鳌"], "'鳌' at 1"),
        (["--prefix", ""], "none empty"),
        (["--resume"], "checkpoint.json is not there: no training to resume in this folder"),
        (["--out", "songs.txt"], "songs.txt"),
    ],
)
def test_train_refuses_a_bad_flag_in_one_line(here, cli, arguments, message):
    assert_refused(cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m", *arguments), message)
    assert [path.name for path in here.iterdir()] == ["songs.txt"]


def test_train_refuses_to_overwrite_another_training(here, cli):
    cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m")
    again = cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m", "--seed", 1)
    assert_refused(again, "m holds another training: give another folder (--out)")


def test_train_refuses_an_output_folder_that_cannot_be_before_it_trains(here, cli):
    result = cli("lyrics", "train", "songs.txt", *SMALL, "--out", os.path.join("songs.txt", "m"))
    assert_refused(result, "songs.txt")


def test_a_diverging_training_says_where_and_with_which_learning_rate(here, cli):
    arguments = ["--cell", "rnn_relu", "--lr", "1e9", "--theta", 0, "--out", "m"]
    status, out, err = cli("lyrics", "train", "songs.txt", *SMALL, *arguments)
    assert (status, out) == (2, "")
    assert last_line(err).startswith("gluonbook: the loss is ")
    assert "at epoch 1, batch 2, learning rate 1e+09; last finite loss: 5." in last_line(err)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prefix", "分", "--length", 0], "length must be at least 1, got 0"),
        (["--prefix", "分", "--temperature", -1], "temperature must be at least 0, got -1.0"),
        (["--prefix", "分", "--temperature", "hot"], "'hot' is not a valid float"),
        (["--prefix", "分", "--top-k", 0], "top_k must be at least 1, got 0"),
        (["--prefix", "分", "--top-p", 0], "above 0, got 0.0"),
        (["--prefix", "分", "--top-p", 1.5], "top_p must be at most 1"),
        (["--prefix", "分", "--seed", -1], "seed must be at least 0, got -1"),
        (["--prefix", "分", "--prefix", ""], "none empty"),
        (["--prefix", "开鳌分鼠鳌"], "not in the vocabulary of 225 tokens: '鳌' at 1, 4; '鼠' at 3; leave them out"),
        ([], "Missing option '--prefix'"),
    ],
)
def test_generate_refuses_a_bad_flag_in_one_line(model, cli, arguments, message):
    assert_refused(cli("lyrics", "generate", "--model", "model", *arguments), message)


@pytest.mark.parametrize("command", [["generate", "--prefix", "分"], ["evaluate", "songs.txt"]])
def test_a_missing_model_says_how_to_make_one(here, cli, command):
    result = cli("lyrics", *command, "--model", "nowhere")
    assert_refused(result, "no model in this folder; gluonbook lyrics train --out nowhere makes one")


@pytest.mark.parametrize("command", [["generate", "--prefix", "分"], ["evaluate", "songs.txt"]])
def test_a_broken_model_is_refused_in_one_line(here, model, cli, command):
    path = here / "model" / "model.params"
    path.write_bytes(path.read_bytes()[:200])
    assert_refused(cli("lyrics", *command, "--model", "model"), "model.params")


def test_evaluate_names_unknown_characters(here, model, cli):
    (here / "other.txt").write_text("雨鳌雨鳌", encoding="utf-8")
    assert_refused(cli("lyrics", "evaluate", "other.txt", "--model", "model", "--device", "cpu"), "'鳌' at 1, 3; leave")


@pytest.mark.parametrize("place", [0, 1, 99])
def test_debug_raises_wherever_it_stands(here, place):
    arguments = ["lyrics", "train", "missing.txt"]
    arguments.insert(place, "--debug")
    with pytest.raises(FileNotFoundError, match=r"missing\.txt is not there"):
        main(arguments)


# generate and evaluate


def test_generate_writes_what_the_python_function_returns(model, cli):
    limits = ["--length", 30, "--temperature", 1.2, "--top-k", 50, "--top-p", 0.9, "--seed", 3]
    prefixes = ["--prefix", "分开", "--prefix", "不分开", "--prefix", "雨"]
    status, out, err = cli("lyrics", "generate", "--model", "model", *prefixes, *limits)
    texts = generation.generate(
        model, ["分开", "不分开", "雨"], length=30, temperature=1.2, top_k=50, top_p=0.9, seed=3
    )
    assert (status, err) == (0, "")
    assert out == "\n\n".join(texts) + "\n"


def test_generate_shows_the_first_text_as_it_grows(model, cli, monkeypatch):
    shown = []
    echo = click.echo
    monkeypatch.setattr(click, "echo", lambda *args, **settings: shown.append(args[0]) or echo(*args, **settings))
    cli("lyrics", "generate", "--model", "model", "--prefix", "分开", "--length", 5, "--seed", 0)
    (text,) = generation.generate(model, "分开", 5, seed=0)
    assert [part for part in shown if part] == ["分开", *text[2:]]


def test_generate_with_a_seed_repeats_itself(model, cli):
    command = ["lyrics", "generate", "--model", "model", "--prefix", "分", "--temperature", 1]
    assert cli(*command, "--seed", 1) == cli(*command, "--seed", 1)
    assert cli(*command, "--seed", 1) != cli(*command, "--seed", 2)


def test_generate_tells_of_characters_that_it_reads_as_unk(here, cli):
    save_model("m", training.train(TEXT, None, **{**SETTINGS, "num_epochs": 1, "min_count": 2}))
    prefixes = ["--prefix", "分鳌", "--prefix", "分", "--prefix", "鳌"]
    status, out, err = cli("lyrics", "generate", "--model", "m", *prefixes, "--length", 9, "--seed", 0)
    assert status == 0
    assert out.startswith("分鳌")
    assert "<unk>" not in out
    assert err.splitlines() == [
        "分鳌: not in the vocabulary, read as <unk>: '鳌' at 1",
        "鳌: not in the vocabulary, read as <unk>: '鳌' at 0",
    ]


def test_evaluate_prints_perplexity_and_bits(here, model, cli):
    status, out, err = cli("lyrics", "evaluate", "songs.txt", "--model", "model", "--device", "cpu")
    found = evaluate_text(model, TEXT, "cpu")
    assert (status, err) == (0, "")
    assert [line.split()[-1] for line in out.splitlines()] == [
        "599",
        f"{found['perplexity']:.3f}",
        f"{found['bits_per_character']:.3f}",
    ]


def test_evaluate_counts_what_it_reads_as_unk(here, cli):
    save_model("m", training.train(TEXT, None, **{**SETTINGS, "num_epochs": 1, "min_count": 2}))
    (here / "other.txt").write_text("雨鳌雨鳌", encoding="utf-8")
    status, _, err = cli("lyrics", "evaluate", "other.txt", "--model", "m", "--device", "cpu")
    assert status == 0
    assert "2 of 3 tokens are not in the vocabulary, read as <unk>" in err


# Ctrl-C


def test_ctrl_c_says_how_to_go_on_and_the_command_does(here, cli, interrupt):
    (here / "my songs.txt").write_text(TEXT, encoding="utf-8")
    interrupt(2)
    status, _, err = cli("lyrics", "train", "my songs.txt", *SMALL, "--out", "the model")
    assert status == 130
    assert "stopped; saved in the model." in err
    assert "Traceback" not in err
    command = shlex.split(last_line(err).partition("Go on with: ")[2])
    assert command == ["gluonbook", "lyrics", "train", "my songs.txt", "--out", "the model", "--resume"]
    assert cli(*command[1:])[0] == 0
    assert len(load_model("the model").history) == 2


def test_ctrl_c_in_the_first_epoch_says_that_nothing_is_saved(here, cli, interrupt):
    interrupt(1)
    status, _, err = cli("lyrics", "train", "songs.txt", *SMALL, "--out", "m")
    assert status == 130
    assert "stopped in the first epoch: nothing to save" in err
    assert "Traceback" not in err
    assert not (here / "m").exists()


def test_ctrl_c_in_generation_has_status_130(model, cli, monkeypatch):
    def stop(self, tokens):
        raise KeyboardInterrupt

    monkeypatch.setattr(generation.Stepper, "__call__", stop)
    status, _, err = cli("lyrics", "generate", "--model", "model", "--prefix", "分")
    assert status == 130
    assert "Traceback" not in err


def test_a_real_sigint_gives_130_and_a_folder_to_go_on_with(here, cli):
    process = subprocess.Popen(
        [sys.executable, "-m", "gluonbook", "lyrics", "train", "songs.txt", *SMALL, "--epochs", "3000", "--out", "m"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell's & ignores it
    )
    try:
        deadline = time.monotonic() + 60
        while not (here / "m" / "checkpoint.json").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"Go on with: gluonbook lyrics train songs.txt --out m --resume" in err
    assert b"Traceback" not in err
    done = len(load_model("m").history)
    assert done == json.loads((here / "m" / "checkpoint.json").read_text(encoding="utf-8"))["epoch"] >= 1
    assert cli("lyrics", "train", "songs.txt", "--out", "m", "--resume", "--epochs", done + 1)[0] == 0
    assert len(load_model("m").history) == done + 1


def test_train_tells_the_numbers_of_the_epoch_whose_weights_it_keeps(here, cli):
    _, out, _ = cli("lyrics", "train", "songs.txt", *SMALL, "--keep", "best", "--epochs", 6, "--lr", 0.3, "--out", "m")
    history = load_model("m").history
    best = min(history, key=lambda entry: entry["held_out"])
    assert best["epoch"] < 6
    assert f"epoch {best['epoch']}: training perplexity {best['train']:.3f}, held-out {best['held_out']:.1f}; " in out


def test_an_error_of_mxnets_is_one_line(here, cli, monkeypatch):
    def failing(*arguments, **settings):
        raise RuntimeError("Traceback (most recent call last):\n  File ndarray.cc\nMXNetError: out of memory")

    monkeypatch.setattr(training, "train", failing)
    assert_refused(cli("lyrics", "train", "songs.txt"), "MXNetError: out of memory")
