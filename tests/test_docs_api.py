"""docs/api.md is what its script would write now, and lists every public name."""

import importlib.util
import re
from pathlib import Path

import pytest

import gluonbook as gb

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def make_api():
    spec = importlib.util.spec_from_file_location("make_api", DOCS / "make_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(make_api):
    stale = "docs/api.md is stale: python docs/make_api.py"
    assert (DOCS / "api.md").read_text(encoding="utf-8") == make_api.page(), stale


def test_the_page_lists_each_public_name_once(make_api):
    names = re.findall(r"^(?:### |- )`(\w+)`", make_api.page(), re.MULTILINE)
    assert sorted(names) == sorted(gb.__all__)


@pytest.mark.parametrize("change", [("stylize", ""), ("stylize", "stylize stylize"), ("stylize", "stylize styles")])
def test_a_name_that_is_missing_twice_there_or_unknown_is_told(make_api, monkeypatch, change):
    changed = {title: names.replace(*change) for title, names in make_api.SECTIONS.items()}
    monkeypatch.setattr(make_api, "SECTIONS", changed)
    with pytest.raises(ValueError, match=r"sections and public names differ: styl"):
        make_api.page()


def test_links_to_sections_lead_somewhere(make_api):
    page = make_api.page()
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert re.findall(r"\]\(#(.+?)\)", page) == [make_api.anchor(heading) for heading in headings]


def test_names_of_the_old_package_are_marked(make_api):
    from test_book_interface import CONSTANTS, RE_EXPORTED, TABLE, name_of

    old = {name_of(row) for row in TABLE} | CONSTANTS | set(RE_EXPORTED) | {"utils"}
    assert old == set(gb.__all__) - make_api.OWN
