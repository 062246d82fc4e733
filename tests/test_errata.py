"""ERRATA.md is what the chapters record, and every slip of the notes is in it."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SLIPS = ["2.8", "3.6", "4.4", "18.2", "20.3", "20.4", "21.2"]  # of the chapters that are there


@pytest.fixture(scope="module")
def make_errata():
    spec = importlib.util.spec_from_file_location("make_errata", ROOT / "docs" / "make_errata.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(make_errata):
    stale = "ERRATA.md is stale: python docs/make_errata.py"
    assert (ROOT / "ERRATA.md").read_text(encoding="utf-8") == make_errata.page(), stale


def test_every_slip_of_the_notes_is_listed(make_errata):
    assert [erratum.identifier for erratum in make_errata.errata()] == SLIPS


def test_each_line_that_is_named_records_its_slip(make_errata):
    for erratum in make_errata.errata():
        lines = (ROOT / erratum.path).read_text(encoding="utf-8").splitlines()
        call = "\n".join(lines[erratum.line - 1 : erratum.line + 2])
        assert re.match(rf'\s*chapter\.erratum\(\s*"{erratum.identifier}"', call), erratum


@pytest.mark.parametrize("call", ['chapter.erratum("2.8", True, notes="so", truth=x)', "chapter.erratum()"])
def test_a_record_that_cannot_be_read_is_refused(make_errata, call):
    import ast

    (node,) = [n for n in ast.walk(ast.parse(call)) if isinstance(n, ast.Call)]
    with pytest.raises(ValueError, match=r"chapters/x\.py, line 1: an erratum must give"):
        make_errata._read(node, "chapters/x.py")
