"""What travels with the package: the embedded model is what datasets/README.md says it is."""

import re
import shlex
from pathlib import Path

import pytest

from gluonbook import data, lyrics
from gluonbook.lyrics import evaluation, saved, training

README = (Path(__file__).resolve().parent.parent / "datasets" / "README.md").read_text(encoding="utf-8")
(COMMAND,) = re.findall(r"^(gluonbook lyrics train .+)$", README, re.MULTILINE)


@pytest.fixture(scope="module")
def model():
    return lyrics.load_model(lyrics.embedded_model())


def test_the_model_is_under_3_mb():
    assert sum(path.stat().st_size for path in lyrics.embedded_model().iterdir()) < 3e6


def test_its_held_out_perplexity_is_the_recorded_one(model):
    """Measured again on the tail that its settings hold out: the same number, to the digits that a processor keeps."""
    settings = model.settings
    corpus = model.vocabulary.encode(data.embedded_songs())
    _, tail = training.split(corpus, settings["held_out"], settings["batch_size"], settings["num_steps"])
    device = training.devices.device("cpu")
    found = evaluation.evaluate_tail(saved.build_net(model, device), tail, device)
    assert found == pytest.approx(min(entry["held_out"] for entry in model.history), rel=1e-4)


def test_its_vocabulary_is_that_of_the_songs(model):
    assert model.vocabulary.tokens == lyrics.Vocabulary(data.embedded_songs(), model.settings["min_count"]).tokens


def test_the_command_makes_a_model_like_it(model, cli, isolated):
    """The documented command, with two small changes that make it quick, gives the same settings and vocabulary."""
    status, _, err = cli(*shlex.split(COMMAND)[1:], "--epochs", "2", "--hidden", "8", "--out", "small")
    assert status == 0, err
    small = lyrics.load_model("small")
    assert small.settings == {**model.settings, "num_epochs": 2, "num_hiddens": 8}
    assert small.vocabulary.tokens == model.vocabulary.tokens
    assert small.history[1]["train"] < small.history[0]["train"] < 2 * len(small.vocabulary)


def test_each_file_is_listed():
    listed = set(re.findall(r"^\| `(.+?)` \|", README, re.MULTILINE))
    assert listed == {"lyrics/songs.txt", "lyrics/model/", "fonts/gluonbook-cjk.otf"}


def test_the_numbers_told_of_the_songs_are_theirs():
    songs = data.embedded_songs()
    assert f"{songs.count('《')} Chinese song lyrics" in README
    assert f"{len(songs):,} characters" in README
    assert f"The first 10,000 characters have {len(set(songs[:10_000]))} distinct ones" in README
