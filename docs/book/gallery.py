"""The chapters as scripts that sphinx-gallery makes pages of: the same code, the prose as reStructuredText."""

import os
import textwrap
from collections.abc import Iterable
from pathlib import Path

from markdown_to_rst import markdown_to_rst

from gluonbook import notebooks
from gluonbook.chapter import Chapter

# Which figure stands for a page in the gallery, if not the first.
THUMBNAILS = {2: 4, 4: 2, 7: 5, 8: 4, 9: 2, 10: 5, 11: 2, 14: 6, 17: 4, 19: 5, 20: 3, 21: 3}
HEADER = """Chapters 目录
=============

Each page is a script that was run from top to bottom when these pages were made: its prose, its code, what it printed
and what it drew. The script and the notebook can be downloaded from the top of each.
"""
TOP = """{title}
.. container:: about

   :Asks: {question}
   :Needs: {needs}
   :Time: {time}
   :Claims: {claims}
   :Run it: ``gluonbook run {number}``, or ``gluonbook notebook {number}`` for a notebook; {run}
   :Take it: :download:`the script <downloads/{name}.py>` · :download:`the notebook <downloads/{name}.ipynb>`

"""
RUNS = {
    True: "this page shows ``gluonbook run {number} --quick``, with smaller numbers than the whole chapter",
    False: "this page shows the whole chapter, without ``--quick``",
}


def write_scripts(folder: Path, chapters: Iterable[Chapter], quick: bool, sources: str) -> None:
    """Write the scripts, and the gallery's header, into a folder; a script that is there for no chapter goes.

    Args:
        folder: made where it is not there.
        chapters: those that the book has.
        quick: whether they run with ``--quick``.
        sources: a digest of what they import; where it changes, they run again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"GALLERY_HEADER.rst": HEADER}
    texts.update({entry.path.name: gallery_script(entry, quick, sources) for entry in chapters})
    for path in folder.glob("*.py"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def gallery_script(entry: Chapter, quick: bool, sources: str) -> str:
    """Return a chapter as sphinx-gallery reads it.

    Raises:
        ValueError: the prose cannot be converted, or does not begin with a heading; the message names file and line.
    """
    first, *rest = notebooks.read_cells(entry.path)
    title, _, prose = first.source.partition("\n")
    if first.kind != "markdown" or not title.startswith("# "):
        raise ValueError(f"{entry.path.name}, line {first.line}: the first cell must begin with a heading")
    numbered = notebooks.Cell("markdown", f"# {entry.number} {title[2:]}", first.line)
    top = TOP.format(
        title=converted(entry, numbered) + "\n" + converted(entry, notebooks.Cell("markdown", prose, first.line + 1)),
        name=entry.path.stem,
        run=RUNS[quick].format(number=entry.number),
        claims=" ".join(f"`{claim} <#claim-{claim}>`__" for claim in entry.claims),
        **{field: getattr(entry, field) for field in ("question", "needs", "time", "number")},
    )
    hidden = [f"# {sources}, quick: {quick}", f'__file__ = "{entry.path.name}"']
    if entry.number in THUMBNAILS:
        hidden.append(f"# sphinx_gallery_thumbnail_number = {THUMBNAILS[entry.number]}")
    hidden = ["# sphinx_gallery_start_ignore", *hidden, "# sphinx_gallery_end_ignore", ""]
    parts = [f'r"""\n{top}"""\n\n']
    for cell in rest:
        if cell.kind == "code":
            parts.append("# %%\n\n" + "\n".join(hidden) + cell.source + "\n\n")
            hidden = []
        else:
            parts.append("# %%\n" + textwrap.indent(converted(entry, cell), "# ", lambda line: True) + "\n")
    return "".join(parts)


def converted(entry: Chapter, cell: notebooks.Cell) -> str:
    """Return the prose of a cell as reStructuredText.

    Raises:
        ValueError: it cannot be converted; the message names file and line.
    """
    try:
        return markdown_to_rst(cell.source)
    except ValueError as error:
        raise ValueError(f"{entry.path.name}, line {cell.line}: {error}") from None


def arguments(_gallery: dict, _script: dict) -> list[str]:
    """Return the arguments with which sphinx-gallery runs every script: on the CPU, so that a page shows one thing."""
    return ["--device", "cpu", *([] if os.environ.get("BOOK_FULL") else ["--quick"])]
