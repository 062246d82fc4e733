"""Every chapter, run as a reader runs it: exactly the claims of the notes hold, and its figures are there."""

import json
import re
import subprocess
import sys

import pytest

from gluonbook import _files, chapter

# The claims of the notes, by chapter.
CLAIMS = {
    1: ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "1.9"],
    2: ["2.1", "2.2", "2.3", "2.4", "2.5", "2.6", "2.7", "2.8", "2.9", "2.10", "2.11", "2.12"],
    3: ["3.1", "3.2", "3.3", "3.4", "3.5", "3.6", "3.7"],
    4: ["4.1", "4.2", "4.3", "4.4", "4.5", "4.6"],
    5: ["5.1", "5.2", "5.3", "5.4"],
    6: ["6.1", "6.2", "6.3"],
    7: ["7.1", "7.2", "7.3", "7.4", "7.5"],
    8: ["8.1", "8.2", "8.3", "8.4", "8.5", "8.6", "8.7", "8.8"],
    9: ["9.1", "9.2", "9.3"],
    10: ["10.1", "10.2", "10.3", "10.4", "10.5", "10.6"],
    11: ["11.1", "11.2", "11.3", "11.4"],
    12: ["12.1", "12.2"],
    13: ["13.1", "13.2", "13.3"],
    14: ["14.1", "14.2", "14.3", "14.4", "14.5", "14.6"],
    15: ["15.1", "15.2", "15.3", "15.4"],
    16: ["16.1", "16.2", "16.3", "16.4", "16.5", "16.6", "16.7"],
    17: ["17.1"],
    18: ["18.1", "18.2", "18.3", "18.4", "18.5", "18.6"],
    19: ["19.1", "19.2", "19.3", "19.4", "19.5"],
    20: ["20.1", "20.2", "20.3", "20.4", "20.5", "20.6"],
    21: ["21.1", "21.2"],
    22: ["22.1"],
}
FIGURES = {
    1: {"gates.png", "neuron.png", "sizes.png"},
    2: {"sliding.png", "padding.png", "brightness.png", "edges.png", "filters.png"},
    3: {"switches.png", "shifts.png", "first_layers.png"},
    4: {"cloud.png", "directions.png", "variance_kept.png"},
    5: {"layers.png", "sizes.png"},
    6: {"scales.png", "saturation.png"},
    7: {"tiny_rate.png", "rates.png", "history.png", "update_ratios.png", "first_layer.png"},
    8: {"rates.png", "plateau.png", "batch_sizes.png", "grid_or_chance.png", "coarse_to_fine.png"},
    9: {"neuron.png", "slope.png", "digits.png", "from_probabilities.png"},
    10: {
        *("overfitting.png", "histograms.png", "noise.png", "ensemble.png", "augmentation.png", "recipes.png"),
    },
    11: {"batches.png", "ravine.png", "rescaling.png", "race.png"},
    12: {"slopes.png", "depths.png", "epochs.png", "accuracy.png"},
    13: {"graph.png", "steps.png", "speed.png"},
    14: {
        *("alexnet.png", "three_for_seven.png", "permuted.png", "published.png", "cost.png", "class_maps.png"),
    },
    15: {"gradient_norms.png", "clipping.png"},
    16: {"batches.png", "perplexity.png", "next_characters.png"},
    17: {"matrix.png", "no_inverse.png", "bilinear.png", "checkerboard.png"},
    18: {
        *("anchors_at_a_pixel.png", "anchors_at_three_scales.png", "matching.png", "offsets.png", "suppression.png"),
        *("augmentation.png", "training.png", "detections.png"),
    },
    19: {"anchors_on_grids.png", "grid.png", "three_steps.png", "training.png", "detections.png"},
    20: {
        *("features.png", "gram.png", "each_loss_alone.png", "staged_or_not.png", "two_stages.png", "weights.png"),
        "lake.png",
    },
    21: {"paths.png", "losses.png", "boundaries.png"},
    22: {"manifolds.png"},
}
SCRIPTS = {entry.number: entry for entry in chapter.chapters()}


def run(path, out, *arguments):
    """Run a chapter in an empty folder; return its metrics."""
    out.mkdir()
    command = [sys.executable, "-W", "error:Glyph", str(path), "--out", str(out / "results"), *arguments]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "results" / "metrics.json").read_text(encoding="utf-8")), done.stdout


@pytest.mark.parametrize("number", CLAIMS)
def test_quick_run_shows_exactly_its_claims(number, tmp_path):
    metrics, printed = run(SCRIPTS[number].path, tmp_path / "run", "--quick")
    assert metrics["claims"] == CLAIMS[number]
    assert metrics["quick"] is True
    assert {path.name for path in (tmp_path / "run" / "results").glob("*.png")} == FIGURES[number]
    assert f"claims shown: {' '.join(CLAIMS[number])}" in printed


@pytest.mark.slow
@pytest.mark.parametrize("number", CLAIMS)
def test_full_run_shows_exactly_its_claims(number, tmp_path):
    assert run(SCRIPTS[number].path, tmp_path / "run")[0]["claims"] == CLAIMS[number]


@pytest.mark.parametrize("number", CLAIMS)
def test_header_names_the_claims(number):
    assert list(SCRIPTS[number].claims) == CLAIMS[number]


def test_every_chapter_is_tested():
    assert sorted(SCRIPTS) == sorted(CLAIMS)


@pytest.mark.parametrize("path", sorted(_files.packaged("chapters").glob("*.py")), ids=lambda path: path.stem)
def test_chapter_does_not_import_another(path):
    assert not re.search(r"^\s*(import|from) (chapters|ch\d\d)", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_two_quick_runs_give_the_same_numbers(tmp_path):
    results = [run(SCRIPTS[15].path, tmp_path / name, "--quick")[0]["results"] for name in "ab"]
    assert results[0] == results[1]
