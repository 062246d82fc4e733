"""Make the book's pages from the chapters: HTML in English, and under ``zh/`` in Chinese.

    python docs/make_book.py [--full] [--chapters 3 15] [--gettext]

Chapters are run with ``--quick`` unless ``--full`` is given; a chapter runs again only where it, or the package, has
changed. Every warning is an error. A book of some chapters is made beside the whole one, in ``_build/some``.

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
BOOK = DOCS / "book"
sys.path[:0] = [str(BOOK), str(DOCS)]


def main() -> int:
    """Make the pages and return an exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="run the chapters in full")
    known = range(1, 23)
    parser.add_argument("--chapters", type=int, nargs="+", metavar="N", choices=known, help="some only, for a look")
    parser.add_argument("--gettext", action="store_true", help="bring the translated pages' catalogues up to date")
    chosen = parser.parse_args()
    if chosen.gettext and chosen.chapters:
        parser.error("--gettext is for the whole book: leave --chapters out")
    build = DOCS / "_build" / "some" if chosen.chapters else DOCS / "_build"
    assemble(build, chosen.chapters, quick=not chosen.full)
    environment = {**os.environ, "BOOK_BUILD": str(build), "BOOK_FULL": "1" if chosen.full else ""}
    environment["PYTHONPATH"] = os.pathsep.join([str(BOOK), str(DOCS), os.environ.get("PYTHONPATH", "")])
    environment["OMP_NUM_THREADS"] = "1"  # two chapters run at a time
    if chosen.gettext:
        return sphinx("gettext", "en", build / "gettext", environment) or update_catalogues(build)
    html = build / "html"
    status = sphinx("html", "en", html, environment) or sphinx("html", "zh_CN", html / "zh", environment)
    if status == 0:
        print(f"the book: {html / 'index.html'}")
    return status


def sphinx(builder: str, language: str, out: Path, environment: dict[str, str]) -> int:
    """Run Sphinx once and return its exit status."""
    build = Path(environment["BOOK_BUILD"])
    words = ["-W", "--keep-going", "-b", builder, "-c", str(BOOK), "-d", str(build / f"doctrees-{builder}-{language}")]
    command = [sys.executable, "-m", "sphinx", *words, str(build / "source"), str(out)]
    return subprocess.run(command, env={**environment, "BOOK_LANGUAGE": language}).returncode


def update_catalogues(build: Path) -> int:
    """Bring the catalogues of the translated pages up to date with the messages, and return an exit status."""
    import pages

    messages = build / "messages"
    shutil.rmtree(messages, ignore_errors=True)
    for name in pages.TRANSLATED:
        write(messages / f"{name}.pot", (build / "gettext" / f"{name}.pot").read_text(encoding="utf-8"))
    words = ["update", "-p", str(messages), "-l", "zh_CN", "-d", str(BOOK / "locale")]
    return subprocess.run([sys.executable, "-m", "sphinx_intl", *words]).returncode


def assemble(build: Path, numbers: Optional[list[int]], quick: bool) -> None:
    """Write what Sphinx reads: the pages from tables, the chapters' scripts, what can be downloaded, the pictures.

    Args:
        build: the folder for all that is made.
        numbers: of the chapters; None takes all.
        quick: whether they run with ``--quick``.

    Raises:
        ValueError: there is no chapter of such a number.
    """
    import gallery
    import pages

    from gluonbook import chapter, notebooks

    chapters = [entry for entry in chapter.chapters() if not numbers or entry.number in numbers]
    if numbers and len(chapters) != len(set(numbers)):
        raise ValueError(f"chapters must be among 1 to 22, got {numbers}")
    source = build / "source"
    gallery.write_scripts(build / "scripts", chapters, quick, digest())
    texts = {
        "index": (BOOK / "index.rst").read_text(encoding="utf-8"),
        "parts/chapters": pages.chapter_list(chapters),
        "claims": pages.claims_page(chapters),
        "errata": pages.errata_page(chapters),
        "glossary": pages.glossary_page(chapters),
        **pages.api_pages(),
    }
    for name, text in texts.items():
        write(source / f"{name}.rst", text)
    remove_stale(build, {*texts, "chapters/index", *(f"chapters/{entry.path.stem}" for entry in chapters)})
    terms = [term for row in pages.read_table("glossary.csv") for term in pages.chinese_terms(row)]
    write(build / "terms.txt", "".join(f"{term}\n" for term in terms))
    for entry in chapters:
        downloads = source / "chapters" / "downloads"
        write(downloads / entry.path.name, entry.path.read_text(encoding="utf-8"))
        made = json.dumps(notebooks.notebook(entry.path), ensure_ascii=False, indent=1)
        write(downloads / f"{entry.path.stem}.ipynb", made + "\n")
    shutil.copytree(DOCS / "images", source / "images", dirs_exist_ok=True)


def remove_stale(build: Path, pages: set[str]) -> None:
    """Remove the sources of pages that the book no longer has, and the pages."""
    for source in (build / "source").rglob("*.rst"):
        name = source.relative_to(build / "source").with_suffix("").as_posix()
        if name not in pages:
            for path in (source, *(build / "html" / language / f"{name}.html" for language in ("", "zh"))):
                path.unlink(missing_ok=True)


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
