"""Each claim of each chapter is judged; apart from test_chapters.py, so that both can run side by side."""

import ast
import re
import subprocess
import sys

import pytest
from test_chapters import CLAIMS, SCRIPTS

EACH = [(number, claim) for number in CLAIMS for claim in CLAIMS[number]]


def judgements(number, claim):
    """The conditions that a chapter gives for a claim, and whether one stands where an error could be caught."""
    tree = ast.parse(SCRIPTS[number].path.read_text(encoding="utf-8"))
    guarded = {id(node) for block in ast.walk(tree) if isinstance(block, ast.Try) for node in ast.walk(block)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    calls = [call for call in calls if ast.unparse(call.func) in ("chapter.claim", "chapter.erratum")]
    calls = [call for call in calls if isinstance(call.args[0], ast.Constant) and call.args[0].value == claim]
    return [call.args[1] for call in calls], any(id(call) in guarded for call in calls)


@pytest.mark.parametrize(("number", "claim"), EACH)
def test_a_claim_depends_on_what_was_computed_and_nothing_catches_its_failure(number, claim):
    conditions, guarded = judgements(number, claim)
    assert conditions
    assert not guarded
    for condition in conditions:
        assert any(isinstance(node, ast.Name) for node in ast.walk(condition)), ast.unparse(condition)


@pytest.mark.parametrize("number", CLAIMS)
def test_a_claim_turned_round_ends_the_chapter_with_its_name(number, tmp_path):
    """The first line that records a claim, negated, stops the chapter."""
    source = SCRIPTS[number].path.read_text(encoding="utf-8")
    negated, count = re.subn(r'(chapter\.claim\("[\d.]+", )(.+)\)\n', r"\1not (\2))\n", source, count=1)
    assert count == 1
    claim = re.search(r'chapter\.claim\("([\d.]+)", not', negated)[1]
    broken = tmp_path / SCRIPTS[number].path.name
    broken.write_text(negated, encoding="utf-8")
    done = subprocess.run([sys.executable, str(broken), "--quick"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"claim {claim} of the notes does not hold" in done.stderr
