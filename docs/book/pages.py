"""The pages that are made from tables: claims, errata, glossary, public names, and the list of the chapters."""

import csv
import importlib
import inspect
import re
import textwrap
import types
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import make_api
import make_errata
from markdown_to_rst import markdown_to_rst

import gluonbook as gb
from gluonbook import notebooks
from gluonbook.chapter import Chapter

HERE = Path(__file__).resolve().parent
PARTS = {  # of the list on the front page; the numbers of their chapters
    "Foundations 基础": range(1, 9),
    "Learning 训练": range(9, 13),
    "Networks 网络结构": range(13, 16),
    "Things to make 应用": range(16, 21),
    "Beyond 其他": range(21, 23),
}
TRANSLATED = ("index", "chapters/ch16_rnn_lyrics", "chapters/ch20_style_transfer")  # pages with a Chinese catalogue
CLAIMS_HEAD = """Claims 笔记的论断
=================

What the notes say, and what the chapters found. Each number leads to the line that shows it: the chapter does not end
without an error where a claim does not hold.

"""
ERRATA_HEAD = """Errata 勘误
===========

What the notes say where a chapter found otherwise. Each number leads to the line that shows it.

"""
GLOSSARY_HEAD = """Glossary 术语表
===============

Terms in English and in the Chinese of the notes, with the chapter that shows them.

"""
API_HEAD = """Public names 接口
=================

What ``import gluonbook as gb`` gives, by purpose. N is the batch size, ``nd`` an array of MXNet's. The examples are run
by the tests. A † marks a name of gluonbook 0.8, with its signature, results and printed lines.

.. toctree::
   :maxdepth: 1

"""


def heading(entry: Chapter) -> str:
    """Return a chapter's own heading, with the notes' term: ``Pooling (汇聚层)``."""
    return notebooks.read_cells(entry.path)[0].source.partition("\n")[0].removeprefix("# ")


def read_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a table that lies beside this file, by its first line's names."""
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def claim_link(identifier: str, chapters: Sequence[Chapter]) -> str:
    """Return a link to the line that shows a claim, or its number alone where the book lacks the chapter."""
    found = [entry for entry in chapters if identifier in entry.claims]
    return f"`{identifier} <chapters/{found[0].path.stem}.html#claim-{identifier}>`__" if found else identifier


def list_table(rows: Sequence[Sequence[str]], widths: str, name: str) -> str:
    """Return a table with a line of headings; cells are reStructuredText."""
    lines = [f".. list-table::\n   :header-rows: 1\n   :widths: {widths}\n   :class: {name}\n"]
    for row in rows:
        cells = [textwrap.indent(cell.strip(), " " * 7).strip() for cell in row]
        lines.append("\n".join(f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(cells)))
    return "\n".join(lines) + "\n"


def claims_page(chapters: Sequence[Chapter]) -> str:
    """Return the table of claims, a section a chapter.

    Raises:
        ValueError: the table and the chapters name different claims.
    """
    rows = read_table("claims.csv")
    table = {row["id"]: row for row in rows}
    named = [claim for entry in gb.chapter.chapters() for claim in entry.claims]
    if [row["id"] for row in rows] != named:
        odd = sorted(set(table) ^ set(named)) or "order or number"
        raise ValueError(f"claims.csv and the chapters' own claims differ in {odd}")
    sections = [CLAIMS_HEAD]
    for entry in chapters:
        cells = [(claim_link(claim, chapters), table[claim]["notes"], table[claim]["holds"]) for claim in entry.claims]
        title = f":doc:`{entry.number} {heading(entry)} <chapters/{entry.path.stem}>`"
        table_text = list_table([("", "the notes say", "what was found"), *cells], "6 47 47", "claims")
        sections.append(f"{title}\n{'-' * 2 * len(title)}\n\n{table_text}\n")
    return "".join(sections)


def errata_page(chapters: Sequence[Chapter]) -> str:
    """Return the table of the notes' slips, from what the chapters record."""
    rows = [
        (claim_link(e.identifier, chapters), markdown_to_rst(e.notes), markdown_to_rst(e.truth))
        for e in make_errata.errata()
    ]
    return ERRATA_HEAD + list_table([("", "the notes say", "what is true"), *rows], "6 47 47", "claims")


def glossary_page(chapters: Sequence[Chapter]) -> str:
    """Return the glossary, by English term, and a list of the Chinese terms by their sound."""
    pages = {entry.number: entry.path.stem for entry in chapters}
    entries = []
    rows = read_table("glossary.csv")
    for row in rows:
        number = int(row["chapter"])
        where = f":doc:`chapter {number} <chapters/{pages[number]}>`" if number in pages else f"chapter {number}"
        terms = "\n".join(f"   {term}" for term in (row["english"], *chinese_terms(row)))
        entries.append(f"{terms}\n      *{row['pinyin']}*. {row['meaning']} ({where})\n")
    by_sound = sorted((without_tones(row["pinyin"]), term) for row in rows for term in chinese_terms(row)[:1])
    terms = ",\n".join(f":term:`{term}`" for _, term in by_sound)
    return f"{GLOSSARY_HEAD}.. glossary::\n\n{chr(10).join(entries)}\n按拼音 By pinyin\n----------------\n\n{terms}\n"


def without_tones(pinyin: str) -> str:
    """Return a sound in plain letters, for sorting: ``kùn huò dù`` becomes ``kun huo du``."""
    apart = unicodedata.normalize("NFD", pinyin.lower())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def chinese_terms(row: dict[str, str]) -> list[str]:
    """Return the Chinese terms of a row of the glossary, the notes' own first, without one that is its English term."""
    terms = [term.strip() for term in row["chinese"].split("/")]
    return [term for term in terms if term != row["english"]]


def chapter_list(chapters: Sequence[Chapter]) -> str:
    """Return the front page's list of the chapters."""
    parts = []
    for title, numbers in PARTS.items():
        lines = [
            f"      - :doc:`{entry.number} {heading(entry)} <chapters/{entry.path.stem}>`"
            for entry in chapters
            if entry.number in numbers
        ]
        if lines:
            parts.append("\n".join([f"   .. container:: part\n\n      .. rubric:: {title}\n", *lines]) + "\n")
    return ".. container:: finder\n\n" + "\n".join(parts)


def api_pages() -> dict[str, str]:
    """Return the pages of the public names, by path: one a purpose, one a part of the package."""
    pages = {}
    for title, names in make_api.SECTIONS.items():
        if title.startswith("Parts"):
            for name in names.split():
                pages[f"api/gluonbook.{name}"] = part_page(name)
        else:
            body = "".join(directive(f"gluonbook.{name}", name not in make_api.OWN) for name in names.split())
            pages["api/" + slug(title)] = underlined(title) + "\n" + body
    listed = "".join(f"   {path.partition('/')[2]}\n" for path in pages)
    return {"api/index": API_HEAD + listed, **pages}


def part_page(name: str) -> str:
    """Return the page of one of the package's modules: what it is, and its names that no other page has."""
    module = getattr(gb, name)
    own = [n for n in make_api.public(module) if getattr(module, n) is not getattr(gb, n, None)]
    body = "".join(directive(f"gluonbook.{name}.{n}") for n in own)
    return underlined(f"gluonbook.{name}") + f"\n.. automodule:: {module.__name__}\n   :no-members:\n\n" + body


def directive(path: str, old: bool = False) -> str:
    """Return the directive that shows a public name."""
    parent, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(parent), name)
    mark = "*since gluonbook 0.8* †\n\n" if old else ""
    if name in make_api.CONSTANTS:
        return f".. py:data:: {path}\n\n   {make_api.CONSTANTS[name].replace('`', '``')}\n\n"
    if isinstance(found, types.ModuleType):
        return f".. py:data:: {path}\n   :no-index:\n\n   The module ``{found.__name__}``.\n\n"
    if inspect.isclass(found):
        return f"{mark}.. autoclass:: {path}\n   :members:\n\n"
    if callable(found):
        return f"{mark}.. autofunction:: {path}\n\n"
    return f".. py:data:: {path}\n\n   {constant(found)}\n\n"


def constant(value: object) -> str:
    """Return what a constant is, short enough for a line."""
    text = repr(value)
    return f"``{text}``" if len(text) < 100 else f"A {type(value).__name__} of {len(value)} entries."  # type: ignore


def underlined(title: str) -> str:
    return f"{title}\n{'=' * 2 * len(title)}\n"


def slug(title: str) -> str:
    """Return a page's name: the English words of its title."""
    return "-".join(re.findall(r"[a-z]+", title.lower()))
