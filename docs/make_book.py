"""Make the book's pages from the chapters: HTML in English, and under ``zh/`` in Chinese.

    python docs/make_book.py [--full] [--chapters 3 15] [--gettext]

Chapters are run with ``--quick`` unless ``--full`` is given; a chapter runs again only where it, or the package, has
changed. Every warning is an error.

``--gettext`` brings the Chinese catalogues in ``book/locale`` up to date: what is new or has changed is empty or marked
as fuzzy there until somebody translates it. ``pages.TRANSLATED`` names the pages that have one.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
BOOK, BUILD = DOCS / "book", DOCS / "_build"
SOURCE, SCRIPTS, HTML = BUILD / "source", BUILD / "scripts", BUILD / "html"
sys.path[:0] = [str(BOOK), str(DOCS)]


def main() -> int:
    """Make the pages and return an exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="run the chapters in full")
    known = range(1, 23)
    parser.add_argument("--chapters", type=int, nargs="+", metavar="N", choices=known, help="some only, for a look")
    parser.add_argument("--gettext", action="store_true", help="bring the translated pages' catalogues up to date")
    chosen = parser.parse_args()
    assemble(chosen.chapters, quick=not chosen.full)
    environment = {**os.environ, "BOOK_FULL": "1" if chosen.full else "", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(BOOK), str(DOCS), os.environ.get("PYTHONPATH", "")])
    if chosen.gettext:
        return sphinx("gettext", "en", BUILD / "gettext", environment) or update_catalogues()
    status = sphinx("html", "en", HTML, environment) or sphinx("html", "zh_CN", HTML / "zh", environment)
    if status == 0:
        print(f"the book: {HTML / 'index.html'}")
    return status


def sphinx(builder: str, language: str, out: Path, environment: dict[str, str]) -> int:
    """Run Sphinx once and return its exit status."""
    words = ["-W", "--keep-going", "-b", builder, "-c", str(BOOK), "-d", str(BUILD / f"doctrees-{builder}-{language}")]
    command = [sys.executable, "-m", "sphinx", *words, str(SOURCE), str(out)]
    return subprocess.run(command, env={**environment, "BOOK_LANGUAGE": language}).returncode


def update_catalogues() -> int:
    """Bring the catalogues of the translated pages up to date with the messages, and return an exit status."""
    import pages

    messages = BUILD / "messages"
    shutil.rmtree(messages, ignore_errors=True)
    for name in pages.TRANSLATED:
        write(messages / f"{name}.pot", (BUILD / "gettext" / f"{name}.pot").read_text(encoding="utf-8"))
    words = ["update", "-p", str(messages), "-l", "zh_CN", "-d", str(BOOK / "locale")]
    return subprocess.run([sys.executable, "-m", "sphinx_intl", *words]).returncode


def assemble(numbers: Optional[list[int]], quick: bool) -> None:
    """Write what Sphinx reads: the pages from tables, the chapters' scripts, what can be downloaded, the pictures.

    Raises:
        ValueError: there is no chapter of such a number.
    """
    import gallery
    import pages

    from gluonbook import chapter, notebooks

    chapters = [entry for entry in chapter.chapters() if not numbers or entry.number in numbers]
    if numbers and len(chapters) != len(set(numbers)):
        raise ValueError(f"chapters must be among 1 to 22, got {numbers}")
    gallery.write_scripts(SCRIPTS, chapters, quick, digest())
    texts = {
        "index": (BOOK / "index.rst").read_text(encoding="utf-8"),
        "parts/chapters": pages.chapter_list(chapters),
        "claims": pages.claims_page(chapters),
        "errata": pages.errata_page(chapters),
        "glossary": pages.glossary_page(chapters),
        **pages.api_pages(),
    }
    for name, text in texts.items():
        write(SOURCE / f"{name}.rst", text)
    terms = [term for row in pages.read_table("glossary.csv") for term in pages.chinese_terms(row)]
    write(BUILD / "terms.txt", "".join(f"{term}\n" for term in terms))
    for entry in chapters:
        downloads = SOURCE / "chapters" / "downloads"
        write(downloads / entry.path.name, entry.path.read_text(encoding="utf-8"))
        made = json.dumps(notebooks.notebook(entry.path), ensure_ascii=False, indent=1)
        write(downloads / f"{entry.path.stem}.ipynb", made + "\n")
    shutil.copytree(DOCS / "images", SOURCE / "images", dirs_exist_ok=True)


def write(path: Path, text: str) -> None:
    """Write a file where it differs, so that Sphinx reads again only what has changed."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def digest() -> str:
    """Return a digest of all that a chapter's result depends on beside its script: the package and its data."""
    found = hashlib.sha256()
    for folder in (ROOT / "gluonbook", ROOT / "datasets"):
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(ROOT)
            if path.is_file() and not {"__pycache__", "cli"} & set(name.parts):
                found.update(name.as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main())
