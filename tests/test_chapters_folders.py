"""Chapters that train on pictures take a folder of one's own, whose pictures come as bytes and must be scaled."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_chapters import CLAIMS, FIGURES, SCRIPTS, run

FROM_SCRATCH = (1, 5, 6, 8, 9, 11, 12)  # train by ``scratch.train``; chapter 7 by Gluon on ``Batches``, which scale

# Runs a chapter; ends with an error where pictures that are learnt from, or tried, are not from 0 to 1. With "first",
# the run ends as soon as pictures are learnt from.
WATCHED = """
import runpy, sys
from gluonbook import scratch
how, *sys.argv = sys.argv[1:]
train, accuracy, seen = scratch.train, scratch.Network.accuracy, set()
def check(X, what):
    if X[0].size == 3 * 16 * 16:
        assert X.dtype == "float32" and 0 <= X.min() and 0.5 < X.max() <= 1, (what, X.dtype, X.max())
        seen.add(what)
def watched(network, X, *more, **settings):
    check(X, "learnt")
    if how == "first" and seen:
        sys.exit("pictures are from 0 to 1")
    return train(network, X, *more, **settings)
def tried(network, X, labels):
    check(X, "tried")
    return accuracy(network, X, labels)
scratch.train, scratch.Network.accuracy = watched, tried
runpy.run_path(sys.argv[0], run_name="__main__")
assert seen == {"learnt", "tried"}, seen
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write three classes of 40 pictures, each with a colour of its own under noise."""
    path, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for channel, kind in enumerate(("clay", "moss", "sky")):
        (path / kind).mkdir()
        for i in range(40):
            pixels = rng.integers(0, 160, (20, 24, 3))
            pixels[..., channel] += rng.integers(30, 96)
            Image.fromarray(pixels.astype(np.uint8)).save(path / kind / f"{i}.png")
    return path


def watch(number, how, folder, out):
    command = [sys.executable, "-c", WATCHED, how, str(SCRIPTS[number].path)]
    command += ["--quick", "--data", str(folder), "--out", str(out)]
    return subprocess.run(command, cwd=out.parent, capture_output=True, text=True)


@pytest.mark.parametrize(("number", "left_out"), [(9, set()), (6, {"6.2"})])
def test_a_chapter_runs_on_a_folder_and_claims_nothing_that_was_measured_on_digits(number, left_out, folder, tmp_path):
    done = watch(number, "whole", folder, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["claims"] == [claim for claim in CLAIMS[number] if claim not in left_out]
    assert {file.name for file in (tmp_path / "out").glob("*.png")} == FIGURES[number]


def test_chapter_7_draws_what_units_see_of_coloured_pictures(folder, tmp_path):
    metrics, _ = run(SCRIPTS[7].path, tmp_path / "run", "--quick", "--num-epochs", "1", "--data", str(folder))
    assert metrics["claims"] == []
    assert {file.name for file in (tmp_path / "run" / "results").glob("*.png")} == FIGURES[7]


def test_chapter_14_trains_each_network_on_a_folder_turned_and_shifted_on_two_devices(folder, tmp_path):
    small = ["--num-train", "6", "--num-valid", "6", "--largest", "32", "--epochs", "0"]
    moved = ["--degrees", "10", "--shift", "0.1", "--device", "cpu(0),cpu(1)"]
    metrics, _ = run(SCRIPTS[14].path, tmp_path / "run", *small, *moved, "--quick", "--data", str(folder))
    assert metrics["claims"] == CLAIMS[14]
    assert len(metrics["results"]["accuracy"]) == 7


@pytest.mark.parametrize("number", [number for number in FROM_SCRATCH if number not in (6, 9)])
def test_what_a_chapter_learns_from_is_scaled(number, folder, tmp_path):
    done = watch(number, "first", folder, tmp_path / "out")
    assert done.stderr.endswith("pictures are from 0 to 1\n"), done.stderr


@pytest.mark.parametrize("number", [*FROM_SCRATCH, 7, 14])
def test_help_says_that_a_folder_will_do(number):
    source = SCRIPTS[number].path.read_text(encoding="utf-8")
    assert re.search(r'data=chapter\.option\("digits", help="digits, fashion_mnist or a folder; ', source)


def test_too_few_pictures_for_two_batches_are_refused_by_chapter_11(tmp_path):
    for kind in ("day", "night"):
        (tmp_path / kind).mkdir()
        for i in range(46):
            Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / kind / f"{i}.png")
    done = watch(11, "first", tmp_path, tmp_path / "out")
    assert re.search(
        r"^ValueError: --data .* has 56 pictures to learn from; 60 or more are needed here$", done.stderr, re.M
    )
