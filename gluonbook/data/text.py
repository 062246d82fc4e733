"""Texts: a user's own files, and the corpora that the package knows by name."""

import gzip
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Optional

from gluonbook import _files
from gluonbook.data.fetch import Dataset, find

EMBEDDED = "songs"
OTHER_ENCODINGS = ("gb18030", "big5", "utf-16")
BOOK_LENGTH, BOOK_VOCABULARY = 10_000, 1027  # the notes: "each X is (2, 1027)"


def read_text(path: _files.PathLike) -> str:
    """Read a UTF-8 text.

    Args:
        path: a plain file, a ``.zip`` with one file in it, a ``.gz``, or ``"-"`` for standard input.

    Returns:
        the text, its line ends as newlines, without a byte order mark.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is empty, not UTF-8 (the message gives byte and line), or no such archive.
    """
    data = sys.stdin.buffer.read() if str(path) == "-" else _read_bytes(Path(path))
    name = "standard input" if str(path) == "-" else str(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at {error.start} (line {line}){_guess(data)}"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{name} is empty: expected text, found {len(data)} bytes with nothing to read")
    return text


def _read_bytes(path: Path) -> bytes:
    path = path.expanduser()
    if path.is_dir():
        raise ValueError(f"{path} is a folder: expected a UTF-8 text file (.txt, .txt.zip, .txt.gz)")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected a UTF-8 text file (.txt, .txt.zip, .txt.gz) or -")
    if path.suffix.lower() == ".zip":
        return _unzip(path)
    if path.suffix.lower() == ".gz":
        try:
            return gzip.decompress(path.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a whole gzip file: {error}") from None
    return path.read_bytes()


def _unzip(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
            if len(names) != 1:
                found = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
                raise ValueError(f"{path} must hold one text file, found {len(names)}{': ' + found if names else ''}")
            return archive.read(names[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise ValueError(f"{path} cannot be read as a zip archive: {error}") from None


def _guess(data: bytes) -> str:
    """Name the encoding that fits, and how to convert; nothing where none does."""
    for encoding in OTHER_ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if sum("\u4e00" <= c <= "\u9fff" or c.isascii() for c in text) > 0.8 * len(text):
            return f"; it reads as {encoding.upper()}: convert it with iconv -f {encoding.upper()} -t UTF-8"
    return "; save it as UTF-8"


def embedded_songs() -> str:
    """Return the corpus that ships with the package: original Chinese song lyrics, CC0 (``datasets/README.md``)."""
    return read_text(_files.packaged("datasets") / "lyrics" / "songs.txt")


def read_corpus(source: _files.PathLike = EMBEDDED) -> str:
    """Read a corpus by name, or a user's own by path.

    Args:
        source: ``"songs"`` (embedded), ``"jaychou_lyrics"`` or ``"time_machine"`` (the book's, found or downloaded),
            or what ``read_text`` takes.

    Returns:
        the text.

    Raises:
        DataNotFound: a named corpus is nowhere and cannot be downloaded.
        ValueError, FileNotFoundError: as ``read_text``.
    """
    if source == EMBEDDED:
        return embedded_songs()
    if source in BOOK_CORPORA:
        return book_corpus(str(source))
    return read_text(source)


def book_corpus(name: str, path: Optional[_files.PathLike] = None) -> str:
    """Read one of the book's corpora as it is.

    Args:
        name: ``"jaychou_lyrics"`` or ``"time_machine"``.
        path: the file or its folder, looked at first.

    Raises:
        DataNotFound: it is nowhere and cannot be downloaded.
        ValueError: the name is another, or the file is none.
    """
    if name not in BOOK_CORPORA:
        raise ValueError(f"name must be one of {', '.join(BOOK_CORPORA)}; got {name!r}")
    return read_text(find(BOOK_CORPORA[name], path))


def _check_jaychou(path: Path) -> None:
    """No digest of this archive is published: hold its text against what the notes say of it."""
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[0]).decode("utf-8")
    found = len(set(text.replace("\n", " ").replace("\r", " ")[:BOOK_LENGTH]))
    if found != BOOK_VOCABULARY:
        raise ValueError(
            f"the first {BOOK_LENGTH} characters should have {BOOK_VOCABULARY} distinct ones, these have {found}"
        )


BOOK_CORPORA = {
    "jaychou_lyrics": Dataset(
        "jaychou_lyrics",
        "jaychou_lyrics.txt.zip",
        (
            "https://raw.githubusercontent.com/d2l-ai/d2l-zh/89403b9792861d86a0f1735cdd4a3d60c423f5a2/data/jaychou_lyrics.txt.zip",
            "https://github.com/d2l-ai/d2l-zh/raw/89403b9792861d86a0f1735cdd4a3d60c423f5a2/data/jaychou_lyrics.txt.zip",
        ),
        None,
        f"the embedded corpus ({EMBEDDED})",
        _check_jaychou,
    ),
    "time_machine": Dataset(
        "time_machine",
        "timemachine.txt",
        (
            "https://d2l-data.s3-accelerate.amazonaws.com/timemachine.txt",
            "https://raw.githubusercontent.com/d2l-ai/d2l-zh/592fbef84a684e752393edbf267c07dbc53e082b/data/timemachine.txt",
        ),
        "sha1:090b5e7e70c295757f55df93cb0a180b9691891a",
        f"the embedded corpus ({EMBEDDED})",
    ),
}
