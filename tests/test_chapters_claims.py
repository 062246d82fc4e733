"""Each claim of each chapter is judged; apart from test_chapters.py, so that both can run side by side."""

import re
import subprocess
import sys

import pytest
from test_chapters import CLAIMS, SCRIPTS


@pytest.mark.parametrize(("number", "claim"), [(number, claim) for number in CLAIMS for claim in CLAIMS[number]])
def test_a_claim_turned_round_ends_the_chapter_with_its_name(number, claim, tmp_path):
    """Each claim is judged: the first line that records it, negated, stops the chapter."""
    source = SCRIPTS[number].path.read_text(encoding="utf-8")
    negated, count = re.subn(rf'(chapter\.claim\("{claim}", )(.+)\)\n', r"\1not (\2))\n", source, count=1)
    assert count == 1
    broken = tmp_path / SCRIPTS[number].path.name
    broken.write_text(negated, encoding="utf-8")
    done = subprocess.run([sys.executable, str(broken), "--quick"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"claim {claim} of the notes does not hold" in done.stderr
