"""Chapters as Jupyter notebooks: a script's ``# %%`` cells, read without running them, and written in Jupyter's format.

Neither MXNet nor matplotlib is imported, until ``notebook`` reads a chapter's header.
"""

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gluonbook import _files

MARKERS = {"# %%": "code", "# %% [markdown]": "markdown"}
BEGIN = " or ".join(f"`{marker}`" for marker in MARKERS)
BETWEEN = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}
RETURN_NOTHING = {"print", "chapter"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class Cell(NamedTuple):
    """A cell of a chapter's script."""

    kind: str  # "markdown" or "code"
    source: str
    line: int  # of its first source line in the script, from 1


def read_cells(path: _files.PathLike) -> list[Cell]:
    """Split a chapter's script into the cells that its lines ``# %%`` and ``# %% [markdown]`` begin.

    The docstring before the first of them is no cell. Markdown loses its ``# ``; blank lines at a cell's ends, and
    cells that hold nothing else, are left out.

    Raises:
        ValueError: the script has no cells, code before the first, a line in markdown that is no comment, or lines that
            are no Python; the message names file and line.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8").split("\n")
    markers = _markers(path, lines)
    starts = list(markers)
    cells = []
    for start, end in zip(starts, [*starts[1:], len(lines) + 1]):
        numbered = [(number, lines[number - 1]) for number in range(start + 1, end)]
        if markers[start] == "markdown":
            numbered = [(number, _markdown(path, number, line)) for number, line in numbered]
        filled = [i for i, (_, line) in enumerate(numbered) if line.strip()]
        if filled:
            kept = numbered[filled[0] : filled[-1] + 1]
            cells.append(Cell(markers[start], "\n".join(line for _, line in kept), kept[0][0]))
    return cells


def notebook(path: _files.PathLike, arguments: str = "") -> dict[str, Any]:
    """Return a chapter as a notebook in Jupyter's format 4.5: what it is about, its settings, and its cells.

    Args:
        path: the chapter's script.
        arguments: of its command line, such as ``"--quick"``; the second cell holds them and may be edited.

    Returns:
        plain data, to be written as JSON.

    Raises:
        ValueError: the script is no chapter; the message says what it lacks.
    """
    from gluonbook import chapter  # imports MXNet

    path = Path(path)
    header = chapter.read_header(path)
    words = ", ".join(json.dumps(word, ensure_ascii=False) for word in (path.stem, arguments) if word)
    first = [
        Cell("markdown", _about(header), 1),
        Cell("code", f"from gluonbook import chapter\n\nchapter.notebook({words})", 1),
    ]
    cells = [_formatted(f"c{i:02d}", cell) for i, cell in enumerate([*first, *read_cells(path)], 1)]
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _markers(path: Path, lines: list[str]) -> dict[int, str]:
    """Return the kind of the cell that begins at each marker, by line; a marker inside a string is none."""
    markers: dict[int, str] = {}
    for token in _tokens(path, lines):
        line, column = token.start
        if token.type == tokenize.COMMENT and column == 0 and re.match(r"# ?%%", token.string):
            if token.string.rstrip() not in MARKERS:
                raise ValueError(f"{path}, line {line}: a cell begins with {BEGIN}, got {token.string[:60]!r}")
            markers[line] = MARKERS[token.string.rstrip()]
        elif not markers and token.type not in {*BETWEEN, tokenize.STRING}:
            raise ValueError(f"{path}, line {line}: code must follow a line {BEGIN}, got {token.line.strip()[:60]!r}")
    if not markers:
        raise ValueError(f"{path}, line {len(lines)}: the script ends and no line {BEGIN} began a cell")
    return markers


def _tokens(path: Path, lines: list[str]) -> Iterator[tokenize.TokenInfo]:
    try:
        yield from tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline)
    except tokenize.TokenError as error:
        raise ValueError(f"{path}, line {error.args[1][0]}: {error.args[0]}") from None
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None


def _markdown(path: Path, number: int, line: str) -> str:
    if line.strip() and not line.startswith("#"):
        raise ValueError(f"{path}, line {number}: a markdown cell holds comments only, got {line.strip()[:60]!r}")
    return line[2:] if line.startswith("# ") else line[1:]


def _about(header: Any) -> str:
    """Return the first cell's text, of a ``chapter.Chapter``."""
    return "\n\n".join(
        [
            f"**Asks:** {header.question}",
            f"**Needs:** {header.needs}",
            f"**Time:** {header.time}",
            f"**Claims:** {', '.join(header.claims)}",
            "The next cell says with which arguments the chapter runs: none are the whole chapter, `--quick` is a look "
            f"within seconds, and `gluonbook run {header.number} --help` lists the others. After a change, run all "
            f"cells again. Figures and numbers are written to `out/{header.path.stem}`, too.",
        ]
    )


def _formatted(identifier: str, cell: Cell) -> dict[str, Any]:
    made: dict[str, Any] = {"cell_type": cell.kind, "id": identifier, "metadata": {}, "source": cell.source}
    if cell.kind == "code":
        made.update(execution_count=None, outputs=[], source=_quiet(cell.source))
    return made


def _quiet(source: str) -> str:
    """End a cell's last expression with ``;``: a kernel would print what a call returns that a script makes to draw."""
    statements = ast.parse(source).body
    if not statements or not isinstance(statements[-1], ast.Expr) or _root(statements[-1].value) in RETURN_NOTHING:
        return source
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    last = [token for token in tokens if token.type not in BETWEEN][-1]
    if last.string == ";":
        return source
    lines, (row, column) = source.split("\n"), last.end
    lines[row - 1] = f"{lines[row - 1][:column]};{lines[row - 1][column:]}"
    return "\n".join(lines)


def _root(expression: ast.expr) -> str:
    """Return ``a`` of ``a(…)`` and of ``a.b(…)``."""
    while isinstance(expression, (ast.Call, ast.Attribute)):
        expression = expression.func if isinstance(expression, ast.Call) else expression.value
    return getattr(expression, "id", "")
