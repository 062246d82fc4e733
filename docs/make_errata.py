"""Write ``ERRATA.md``: each slip of the notes, what is true, and the line of the chapter that shows it.

    python docs/make_errata.py

The chapters' ``chapter.erratum`` calls are read, not run; a test holds the page against what this script would write.
"""

import ast
from pathlib import Path
from typing import NamedTuple

from gluonbook import _files, chapter

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "ERRATA.md"
HEAD = """# Errata of the notes

What the notes say where a chapter found otherwise. Each line of a chapter is checked when the chapter runs. Made by
`docs/make_errata.py` from the chapters.

| | the notes say | what is true | shown in |
|---|---|---|---|
"""


class Erratum(NamedTuple):
    identifier: str
    notes: str
    truth: str
    path: str  # of the chapter, from the root
    line: int


def errata() -> list[Erratum]:
    """Return what the chapters record, in their order.

    Raises:
        ValueError: a call does not give its texts as they are; the message names the line.
    """
    found = []
    for entry in chapter.chapters():
        for node in ast.walk(ast.parse(entry.path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "chapter.erratum":
                found.append(_read(node, f"chapters/{entry.path.name}"))
    return sorted(found, key=lambda erratum: [int(part) for part in erratum.identifier.split(".")])


def page() -> str:
    """Return the page."""
    return HEAD + "".join(
        f"| {e.identifier} | {e.notes} | {e.truth} | [{Path(e.path).name}]({e.path}#L{e.line}) |\n" for e in errata()
    )


def _read(call: ast.Call, path: str) -> Erratum:
    texts = {keyword.arg: keyword.value for keyword in call.keywords}
    values = [call.args[0] if call.args else None, texts.get("notes"), texts.get("truth")]
    if not all(isinstance(value, ast.Constant) and isinstance(value.value, str) for value in values):
        raise ValueError(f"{path}, line {call.lineno}: an erratum must give its identifier, notes and truth as texts")
    identifier, notes, truth = (str(value.value) for value in values)  # type: ignore[union-attr]
    return Erratum(identifier, notes, truth, path, call.lineno)


if __name__ == "__main__":
    _files.write_text(PAGE, page())
    print(PAGE)
