"""The code that makes the book's pages: scripts, tables, addresses. No page is built and no chapter is run."""

import ast
import collections
import dataclasses
import doctest
import functools
import html
import importlib
import inspect
import itertools
import os
import re
import sys
import types
from pathlib import Path

import babel.messages.pofile
import pytest
from docutils import nodes
from pygments.lexers import PythonLexer
from pygments.token import STANDARD_TYPES
from sphinx.highlighting import PygmentsBridge
from sphinx_gallery import gen_rst
from sphinx_gallery.py_source_parser import remove_ignore_blocks, split_code_and_text_blocks

import gluonbook as gb
from gluonbook import chapter, notebooks

DOCS = Path(__file__).resolve().parent.parent / "docs"
sys.path[:0] = [str(DOCS / "book"), str(DOCS)]
import extension  # noqa: E402
import gallery  # noqa: E402
import make_api  # noqa: E402
import make_book  # noqa: E402
import pages  # noqa: E402

CHAPTERS = chapter.chapters()


@pytest.mark.parametrize("entry", CHAPTERS, ids=lambda entry: entry.path.stem)
def test_sphinx_gallery_finds_the_cells_of_a_chapter_in_its_script(entry, tmp_path):
    gallery.write_scripts(tmp_path, [entry], quick=True, sources="abc")
    script = (tmp_path / entry.path.name).read_text(encoding="utf-8")
    ast.parse(script)
    assert script.count("# abc, quick: True") == script.count("sphinx_gallery_start_ignore") == 1
    found, blocks = split_code_and_text_blocks(tmp_path / entry.path.name)
    number = gallery.THUMBNAILS.get(entry.number)
    assert found == ({"thumbnail_number": number} if number else {})
    cells = notebooks.read_cells(entry.path)
    code = [remove_ignore_blocks(content).strip("\n") for kind, content, _ in blocks if kind == "code"]
    assert code == [cell.source for cell in cells if cell.kind == "code"]
    order = [kind for kind, _ in itertools.groupby("code" if cell.kind == "code" else "text" for cell in cells)]
    assert [kind for kind, _ in itertools.groupby(kind for kind, _, _ in blocks)] == order
    top = blocks[0][1]
    assert top.strip().startswith(f"{entry.number} {pages.heading(entry)}\n==")
    assert re.findall(r"<#claim-([\d.]+)>", top) == list(entry.claims)


def test_only_the_kind_of_run_and_the_sources_change_a_script(monkeypatch):
    entry = CHAPTERS[0]
    quick = gallery.gallery_script(entry, quick=True, sources="abc").splitlines()
    monkeypatch.setenv("BOOK_FULL", "1")
    assert gallery.gallery_script(entry, quick=True, sources="abc").splitlines() == quick
    for other, count in [({"quick": False, "sources": "abc"}, 2), ({"quick": True, "sources": "abd"}, 1)]:
        changed = gallery.gallery_script(entry, **other).splitlines()
        assert sum(a != b for a, b in zip(quick, changed)) == count
        assert len(changed) == len(quick)


def test_a_script_of_no_chapter_goes(tmp_path):
    folder = tmp_path / "scripts"
    gallery.write_scripts(folder, CHAPTERS[:2], quick=True, sources="")
    first = (folder / CHAPTERS[0].path.name).read_bytes()
    gallery.write_scripts(folder, CHAPTERS[:1], quick=True, sources="")
    assert {path.name for path in folder.iterdir()} == {CHAPTERS[0].path.name, "GALLERY_HEADER.rst"}
    assert (folder / CHAPTERS[0].path.name).read_bytes() == first


@pytest.mark.parametrize("prose", ["# # A\n#\n# > no", "# No heading"])
def test_prose_that_cannot_be_converted_is_told_with_file_and_line(prose, tmp_path):
    path = tmp_path / "ch99_odd.py"
    path.write_text(f'"""Odd."""\n\n# %% [markdown]\n{prose}\n', encoding="utf-8")
    entry = dataclasses.replace(CHAPTERS[0], path=path)
    with pytest.raises(ValueError, match=r"ch99_odd\.py, line [45]: "):
        gallery.gallery_script(entry, quick=True, sources="")


def test_chapters_run_quickly_but_for_a_full_book(monkeypatch):
    for full, arguments in [("", ["--device", "cpu", "--quick"]), ("1", ["--device", "cpu"])]:
        monkeypatch.setenv("BOOK_FULL", full)
        assert gallery.arguments({}, {}) == arguments


LINK = re.compile(r"`([\d.]+) <chapters/(\w+)\.html#claim-([\d.]+)>`__")


def test_the_page_of_claims_links_to_each_once():
    every = [(claim, entry.path.stem, claim) for entry in CHAPTERS for claim in entry.claims]
    assert LINK.findall(pages.claims_page(CHAPTERS)) == every
    some = pages.claims_page(CHAPTERS[1:3])
    assert LINK.findall(some) == [link for link in every if link[0][:2] in ("2.", "3.")]
    assert re.findall(r"^:doc:`(\d+) .* <chapters/", some, re.MULTILINE) == ["2", "3"]


@pytest.mark.parametrize(
    ("change", "odd"),
    [
        (lambda rows: rows[1:], r"\['1.1'\]"),
        (lambda rows: [*rows, {**rows[0], "id": "99.1"}], r"\['99.1'\]"),
        (lambda rows: rows[::-1], "order or number"),
        (lambda rows: [*rows, rows[-1]], "order or number"),
    ],
)
def test_a_table_of_other_claims_is_told(change, odd, monkeypatch):
    rows = pages.read_table("claims.csv")
    monkeypatch.setattr(pages, "read_table", lambda name: change(rows))
    with pytest.raises(ValueError, match=f"own claims differ in {odd}$"):
        pages.claims_page(CHAPTERS)


def test_the_page_of_errata_links_to_what_the_book_has():
    slips = ["2.8", "3.6", "4.4", "18.2", "20.3", "20.4", "21.2"]
    assert [link[2] for link in LINK.findall(pages.errata_page(CHAPTERS))] == slips
    some = pages.errata_page(CHAPTERS[:3])
    assert [link[2] for link in LINK.findall(some)] == slips[:2]
    assert re.findall(r"^   \* - ([\d.]+)$", some, re.MULTILINE) == slips[2:]


def test_the_glossary():
    rows = pages.read_table("glossary.csv")
    terms = [row["english"] for row in rows]
    assert terms == sorted(terms, key=str.lower)
    every = [term for row in rows for term in (row["english"], *pages.chinese_terms(row))]
    assert [term for term, count in collections.Counter(every).items() if count > 1] == []
    assert {int(row["chapter"]) for row in rows} <= set(range(1, 23))
    assert {"anchor box", "perplexity"} <= set(terms)
    whole, some = pages.glossary_page(CHAPTERS), pages.glossary_page(CHAPTERS[:1])
    assert whole.count("(:doc:`chapter ") == len(rows)
    assert some.count("(:doc:`chapter 1 <chapters/ch01_backprop>`)") == some.count("(:doc:`")
    listed = re.findall(r":term:`(.+?)`", whole.partition("By pinyin")[2])
    by_sound = ["饱和", "边界框", "二次代价", "卷积"]  # bǎo, biān, èr, juǎn
    assert [term for term in listed if term in by_sound] == by_sound
    assert sorted(listed) == sorted(terms[0] for terms in map(pages.chinese_terms, rows) if terms)


def test_the_list_of_chapters_holds_each_once():
    assert sorted(itertools.chain(*pages.PARTS.values())) == list(range(1, 23))
    listed = re.findall(r":doc:`(\d+) .+ <chapters/(\w+)>`", pages.chapter_list(CHAPTERS))
    assert listed == [(str(entry.number), entry.path.stem) for entry in CHAPTERS]
    some = pages.chapter_list(CHAPTERS[:2])
    assert (some.count(":doc:"), some.count("rubric")) == (2, 1)


def public_names():
    """The path of each public name: a part's name that the package has as well is shown as the package's."""
    (parts,) = [names.split() for title, names in make_api.SECTIONS.items() if title.startswith("Parts")]
    yield from (f"gluonbook.{name}" for name in gb.__all__)
    for part in parts:
        module = getattr(gb, part)
        own = [name for name in make_api.public(module) if getattr(module, name) is not getattr(gb, name, None)]
        yield from (f"gluonbook.{part}.{name}" for name in own)


def test_each_public_name_has_one_directive():
    text = "\n".join(pages.api_pages().values())
    shown = re.findall(r"^\.\. (?:auto\w+|py:data):: (\S+)$", text, re.MULTILINE)
    assert sorted(shown) == sorted(public_names())


def test_the_tests_run_each_example_of_a_public_name():
    finder = functools.cache(lambda home: {test.name for test in doctest.DocTestFinder().find(home) if test.examples})
    for path in public_names():
        parent, _, name = path.rpartition(".")
        found = getattr(importlib.import_module(parent), name)
        if inspect.isclass(found) or inspect.isfunction(found):
            home = inspect.getmodule(found)
            assert home.__name__.startswith("gluonbook."), path
            has_example = ">>> " in (found.__doc__ or "")
            assert has_example or parent != "gluonbook", path
            assert not has_example or f"{home.__name__}.{found.__qualname__}" in finder(home), path


def highlighted(code):
    """Code as pygments gives it to Sphinx."""
    return PygmentsBridge("html", "sphinx").highlight_block(code, "python")


def linked(code):
    """Code as sphinx-gallery gives it: a node a token, and a link around a public name."""
    tokens = ((STANDARD_TYPES[kind], html.escape(text)) for kind, text in PythonLexer().get_tokens(code))
    made = "".join(f'<span class="{kind}">{text}</span>' for kind, text in tokens)
    call = r'(<span class="n">chapter</span><span class="o">.</span><span class="n">claim</span>)'
    return re.sub(call, r'<a class="reference internal" href="../api.html" title="claim">\1</a>', made)


@pytest.mark.parametrize("show", [highlighted, linked])
@pytest.mark.parametrize("entry", CHAPTERS, ids=lambda entry: entry.path.stem)
def test_each_claim_of_a_chapter_gets_one_address(entry, show):
    code = [cell.source for cell in notebooks.read_cells(entry.path) if cell.kind == "code"]
    marked = extension.mark_claims("".join(map(show, code)))
    assert sorted(re.findall(r'<span class="claim" id="claim-([\d.]+)">', marked)) == sorted(entry.claims)
    assert re.sub(r"<[^>]*>", "", marked) == re.sub(r"<[^>]*>", "", "".join(map(show, code)))


def test_the_first_line_of_a_claim_is_marked():
    call = '<span class="n">chapter</span><span class="o">.</span><span class="n">{}</span><span class="p">(</span>'
    first = call.format("erratum") + '<span class="s2">&quot;2.8&quot;</span>'
    second = call.format("claim") + '\n    <span class="s2">"2.8"</span>'
    other = call.format("figure") + '<span class="s2">&quot;2.9&quot;</span>'
    assert extension.mark_claims(other + first + second) == (
        f'{other}<span class="claim" id="claim-2.8">{first}</span>{second}'
    )


def test_a_formula_is_mathml():
    translator = types.SimpleNamespace(body=[])
    for as_block in (False, True):
        with pytest.raises(nodes.SkipNode):
            extension.formula(as_block)(translator, nodes.math("", r"\frac{a}{b}"))
    inline, block = translator.body
    assert re.fullmatch(r"<math .*<mfrac>.*</math>", inline, re.DOTALL)
    assert re.fullmatch(r'<div class="formula"><math .*display="block".*</math>\s*</div>', block, re.DOTALL)


@pytest.mark.parametrize("language", ["en", "zh_CN"])
@pytest.mark.parametrize("name", ["index", "chapters/ch01_backprop"])
def test_the_addresses_of_a_page_in_both_languages(name, language):
    app = types.SimpleNamespace(
        builder=types.SimpleNamespace(get_target_uri=lambda name: f"{name}.html"),
        config=types.SimpleNamespace(language=language, translated_pages=["index"]),
    )
    context = {"body": highlighted('chapter.claim("1.1", True)')}
    extension.page_context(app, name, "page.html", context, None)
    addresses = {"english": f"/{name}.html", "chinese": f"/zh/{name}.html"}
    here = os.path.dirname(addresses["chinese" if language == "zh_CN" else "english"])
    assert {key: os.path.normpath(os.path.join(here, context[key])) for key in addresses} == addresses
    assert (context["in_chinese"], context["translated"]) == (language == "zh_CN", name == "index")
    assert ('id="claim-1.1"' in context["body"]) == (name != "index")


def test_the_head_and_the_foot_of_sphinx_gallery_go(tmp_path):
    own = "\nTitle\n=====\n\n.. container:: about\n\nLast words.\n"
    conf = {"src_dir": tmp_path, "binder": {}, "jupyterlite": None, "min_reported_time": 10**6, "show_memory": False}
    conf.update(notebook_extensions={".py"}, recommender={"enable": False}, show_signature=True)
    (tmp_path / "chapters").mkdir()
    gen_rst.save_rst_example(own, tmp_path / "chapters" / "ch01_backprop.py", 1, 0, conf)
    made = (tmp_path / "chapters" / "ch01_backprop.rst").read_text(encoding="utf-8")
    gone = ["to download", "sphx-glr-download-python", "only::"]
    assert [text in made for text in gone] == [True] * 3
    content = [made]
    extension.trim_gallery(None, "index", content)
    assert content == [made]
    extension.trim_gallery(None, "chapters/ch01_backprop", content)
    assert own in content[0]
    assert [text in content[0] for text in gone] == [False] * 3
    assert ".. _sphx_glr_chapters_ch01_backprop.py:" in content[0]


def test_a_file_that_is_the_same_is_left_alone(tmp_path):
    path = tmp_path / "a" / "b.rst"
    make_book.write(path, "一")
    os.utime(path, (1, 1))
    make_book.write(path, "一")
    assert path.stat().st_mtime == 1
    make_book.write(path, "二")
    assert path.read_text(encoding="utf-8") == "二"


def test_the_digest_is_of_the_package_and_its_data_but_for_the_command_line(tmp_path, monkeypatch):
    root = tmp_path / "cli" / "here"  # where the repository lies does not matter
    monkeypatch.setattr(make_book, "ROOT", root)
    for name in ["gluonbook/a.py", "gluonbook/cli/b.py", "gluonbook/__pycache__/c.pyc", "datasets/d/e.txt"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")
    digests = [make_book.digest()]
    for name in ["gluonbook/a.py", "datasets/d/e.txt", "gluonbook/cli/b.py", "gluonbook/__pycache__/c.pyc"]:
        (root / name).write_bytes(b"2")
        digests.append(make_book.digest())
    (root / "gluonbook" / "a.py").rename(root / "gluonbook" / "z.py")
    digests.append(make_book.digest())
    assert [digests.index(found) for found in digests] == [0, 1, 2, 2, 2, 5]


def test_pages_that_the_book_no_longer_has_are_removed(tmp_path):
    make_book.assemble(tmp_path, [3, 15], quick=True)
    made = [f"source/chapters/{name}.rst" for name in ("index", "ch03_pooling", "ch15_bptt")]
    made += ["source/api/old.rst", *(f"html/{part}chapters/ch15_bptt.html" for part in ("", "zh/")), "html/search.html"]
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    make_book.assemble(tmp_path, [3], quick=True)
    assert [name for name in made if (tmp_path / name).exists()] == [*made[:2], "html/search.html"]
    assert {path.name for path in (tmp_path / "scripts").glob("*.py")} == {"ch03_pooling.py"}
    assert "ch15_bptt" not in (tmp_path / "source" / "claims.rst").read_text(encoding="utf-8")


def test_an_unknown_chapter_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(make_book, "write", None)  # nothing is written
    with pytest.raises(ValueError, match=r"chapters must be among 1 to 22, got \[3, 99\]"):
        make_book.assemble(tmp_path, [3, 99], quick=True)
    monkeypatch.setattr(sys, "argv", ["make_book.py", "--chapters", "3", "99"])
    with pytest.raises(SystemExit, match="2"):
        make_book.main()
    assert "argument --chapters: invalid choice: 99" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["make_book.py", "--gettext", "--chapters", "3"])
    with pytest.raises(SystemExit, match="2"):
        make_book.main()
    assert "--gettext is for the whole book" in capsys.readouterr().err


@pytest.mark.parametrize("page", pages.TRANSLATED)
def test_catalogue_is_translated_whole(page):
    path = DOCS / "book" / "locale" / "zh_CN" / "LC_MESSAGES" / f"{page}.po"
    with path.open("rb") as file:
        messages = [message for message in babel.messages.pofile.read_po(file) if message.id]
    assert len(messages) > 30
    assert [message.id for message in messages if not message.string or message.fuzzy] == []
    for message in messages:
        for mark in (r"``[^`]+``", r":\w+:`[^`<]*<([^>]+)>`", r":math:`[^`]+`"):
            assert len(re.findall(mark, message.id)) == len(re.findall(mark, message.string)), message.id
