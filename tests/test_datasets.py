"""What travels with the package: the embedded model is what datasets/README.md says it is."""

import importlib
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest

from gluonbook import data, detection, lyrics
from gluonbook.data import drawn
from gluonbook.detection import training as detector_training
from gluonbook.lyrics import evaluation, saved, training

FOLDER = Path(__file__).resolve().parent.parent / "datasets"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
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
    rows = re.findall(r"^\| (`.+?`) \|", README, re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(.+?)`", row)}
    assert listed == {
        *("lyrics/songs.txt", "lyrics/model/", "detection/model/", "detection/samples/", "fonts/gluonbook-cjk.otf"),
        *(f"images/{path.name}" for path in (FOLDER / "images").glob("*.jpg")),
        *(f"detection/{path.name}" for path in (FOLDER / "detection").glob("yolo*")),
    }


def test_the_numbers_told_of_the_songs_are_theirs():
    songs = data.embedded_songs()
    assert f"{songs.count('《')} Chinese song lyrics" in README
    assert f"{len(songs):,} characters" in README
    assert f"The first 10,000 characters have {len(set(songs[:10_000]))} distinct ones" in README


@pytest.fixture(scope="module")
def detector():
    return detection.load_detector(detection.embedded_detector())


def test_the_detector_is_under_3_mb():
    assert sum(path.stat().st_size for path in detection.embedded_detector().iterdir()) < 3e6


def test_the_detectors_map_is_the_recorded_one(detector, tmp_path, monkeypatch):
    """Measured again on the validation pictures, with the kernels that are kept, in float16: to a hundredth."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, val_set = data.embedded_detection(num_train=1)
    found = detector_training.evaluate(detection.make_detector(detector, "cpu").find, val_set)
    last = detector.history[-1]
    assert found.voc07 == pytest.approx(last["voc07"], abs=0.01)
    assert found.voc12 == pytest.approx(last["voc12"], abs=0.01)
    assert f"its mAP@0.5 is {last['voc07']:.2f} by the rule" in README
    assert f"and {last['voc12']:.2f} by that of 2012" in README


def test_the_small_yolo_finds_what_is_told(tmp_path, monkeypatch):
    """Its Darknet files on the validation pictures; mAP@0.5 of 0.89, of which a new Pillow may take a little."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, val_set = data.embedded_detection(num_train=1)
    paths = [FOLDER / "detection" / f"yolo-small.{suffix}" for suffix in ("cfg", "weights", "names")]
    detector = detection.darknet_detector(*paths, device="cpu")
    assert detector.classes == val_set.classes
    found = detector_training.evaluate(detector.find, val_set)
    assert found.voc07 > 0.85
    (told,) = re.findall(r"its mAP@0\.5 is ([0-9.]+) by the\nrule", README)
    assert found.voc07 == pytest.approx(float(told), abs=0.01)


def test_the_detector_reached_what_was_asked_in_a_quarter_of_an_hour(detector):
    """As its own record tells: mAP@0.5 of at least 0.85, fifteen minutes on two cores."""
    passed = 0.0
    for entry in detector.history:
        passed += entry["seconds"]
        if entry["voc07"] >= 0.85:
            break
    assert entry["voc07"] >= 0.85
    assert passed < 15 * 60
    minutes = sum(entry["seconds"] for entry in detector.history) / 60
    assert f"on two cores in {minutes:.0f} min" in README


def test_the_detectors_command_made_it(detector, cli, isolated, monkeypatch):
    """The documented command gives its settings; here with a training that only looks."""
    (line,) = re.findall(r"^(gluonbook detect-train .+)$", README, re.MULTILINE)
    taken = {}

    def look(train_set, val_set, out, **settings):
        taken.update(settings, classes=train_set.classes)
        raise ValueError("looked")

    pictures = [drawn.scene("val", i, size=32) for i in range(2)]
    tiny = data.make_set(drawn.CLASSES, [p.picture for p in pictures], [p.labels for p in pictures])
    importlib.import_module("gluonbook.cli.detection")  # takes the flags' defaults from the real function
    monkeypatch.setattr("gluonbook.data.detection.embedded_detection", lambda: (tiny, tiny))
    monkeypatch.setattr("gluonbook.detection.training.train", look)
    status, _, err = cli(*shlex.split(line)[1:])
    assert status == 2
    assert "looked" in err
    assert {name: taken[name] for name in detector.settings} == detector.settings
    assert taken["classes"] == detector.classes


def test_the_samples_are_what_their_script_draws(tmp_path):
    """Drawn again by the script, they differ by JPEG's rounding at most; their grounds are no photographs."""
    script = runpy.run_path(str(FOLDER / "detection" / "make_detection.py"))
    script["write_samples"](tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(path.name for path in (FOLDER / "detection" / "samples").iterdir())
    for name in names:
        drawn_again, shipped = (
            data.read_picture(tmp_path / name),
            data.read_picture(FOLDER / "detection" / "samples" / name),
        )
        assert np.abs(drawn_again.astype(int) - shipped).mean() < 2


def test_the_detector_finds_the_samples_objects(detector):
    """The objects of the samples are found, all but one at most, with the right class and an IoU above 0.5."""
    script = runpy.run_path(str(FOLDER / "detection" / "make_detection.py"))
    chosen = script["SAMPLES"]
    find = detection.make_detector(detector, "cpu").find
    hits, objects = 0, 0
    for index in chosen["indices"]:
        scene = drawn.scene("val", index, chosen["seed"], chosen["size"])
        rows = find([scene.picture])[0]
        rows = rows[rows[:, 1] >= 0.5]
        overlaps = detection.iou(rows[:, 2:], scene.labels[:, 1:]) * (rows[:, :1] == scene.labels[None, :, 0])
        hits += int((overlaps.max(axis=0, initial=0) > 0.5).sum())
        objects += len(scene.labels)
    assert hits >= objects - 1
