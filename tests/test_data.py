"""Data sets are found where they are said to be, downloads are right or refused, and every kind of text is read."""

import collections
import gzip
import hashlib
import io
import os
import random
import re
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from gluonbook import _files
from gluonbook.data import fetch, text

SONG = "分开的时候\n我们在雨中走过那条长长的街\n你说要离开这个城市\n天空慢慢暗下来\n" * 3
TRADITIONAL = "分開的時候\n我們在雨中走過那條長長的街\n你說要離開這個城市\n天空慢慢暗下來\n" * 3


def named(value):
    """Name a test by its texts alone: an archive's bytes hold the time."""
    return "bytes" if isinstance(value, bytes) else None


def dataset(*urls, digest=None, check=None):
    return fetch.Dataset("poems", "poems.txt", urls, digest, "the embedded corpus (songs)", check)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def places(isolated, monkeypatch):
    """Every folder that is looked at, each with a file of another content."""
    folders = {
        "path": isolated / "mine",
        "environment": isolated / "environment",
        "book": isolated / "work" / "data",
        "cache": isolated / "cache" / "gluonbook",
    }
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "poems.txt").write_text(name)
    monkeypatch.setenv("GLUONBOOK_DATA", str(folders["environment"]))
    return folders


def test_places_are_looked_at_in_order(places, served):
    served.pages["/poems.txt"] = b"download"
    poems = dataset(f"{served.root}/poems.txt", digest=sha256(b"download"))
    found = [fetch.find(poems, places["path"]).read_text()]
    for name in ("environment", "book", "cache"):
        found.append(fetch.find(poems).read_text())
        (places[name] / "poems.txt").unlink()
    assert served.asked == []
    found.append(fetch.find(poems).read_text())
    assert found == ["path", "environment", "book", "cache", "download"]
    assert (places["cache"] / "poems.txt").read_text() == "download"


def test_an_explicit_path_is_a_file_or_its_folder(places):
    (places["path"] / "other.txt").write_text("other")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fetch.find(dataset(), places["path"] / "other.txt").read_text() == "other"
        assert fetch.find(dataset(), str(places["path"])).read_text() == "path"


def test_a_home_folder_is_understood(places, monkeypatch):
    monkeypatch.setenv("HOME", str(places["path"]))
    monkeypatch.setenv("GLUONBOOK_DATA", "~")
    assert fetch.find(dataset()).read_text() == "path"
    assert fetch.find(dataset(), "~/poems.txt").read_text() == "path"


@pytest.mark.parametrize("name", [".", "poems.txt", "missing.txt"])
def test_a_path_that_lacks_the_file_is_told_when_another_is_used(places, name):
    (places["path"] / "poems.txt").unlink()
    wanted = places["path"] / name
    with pytest.warns(UserWarning, match="holds no poems.txt: using ") as said:
        assert fetch.find(dataset(), wanted).read_text() == "environment"
    assert str(wanted) in str(said[0].message)
    assert str(places["environment"]) in str(said[0].message)
    assert said[0].filename == __file__


def test_a_folder_of_the_files_name_is_not_the_file(places):
    (places["environment"] / "poems.txt").unlink()
    (places["environment"] / "poems.txt").mkdir()
    assert fetch.find(dataset()).read_text() == "book"


def test_a_download_is_kept_and_not_asked_for_again(isolated, served):
    served.pages["/a"] = b"right"
    poems = dataset(f"{served.root}/a", digest=sha256(b"right"))
    assert [fetch.find(poems).read_bytes() for _ in range(2)] == [b"right"] * 2
    assert served.asked == ["/a"]
    assert os.listdir(_files.cache_folder()) == ["poems.txt"]


def refused(poems):
    """Return the message of a search that ends in vain, and what it left in the cache."""
    with pytest.raises(fetch.DataNotFound) as error:
        fetch.find(poems)
    folder = _files.cache_folder()
    return str(error.value), sorted(os.listdir(folder)) if folder.exists() else []


def test_a_download_of_the_wrong_digest_is_refused(isolated, served):
    served.pages["/a"] = b"wrong"
    message, left = refused(dataset(f"{served.root}/a", digest=sha256(b"right")))
    assert f"download: {served.root}/a (" in message
    assert "hash" in message
    assert left == []


def test_a_download_of_the_wrong_content_is_refused(isolated, served):
    def check(path):
        raise ValueError(f"these are {len(path.read_bytes())} bytes of something else")

    served.pages["/a"] = b"wrong"
    message, left = refused(dataset(f"{served.root}/a", check=check))
    assert f"download: {served.root}/a (these are 5 bytes of something else)" in message
    assert left == []


@pytest.mark.parametrize("digest", [sha256(b"right"), None])
def test_a_wrong_download_leaves_the_old_file(places, served, digest):
    def check(path):
        assert path.read_bytes() == b"right"

    served.pages["/a"] = b"wrong"
    poems = dataset(f"{served.root}/a", digest=digest, check=check)
    with pytest.raises((ValueError, AssertionError)):
        fetch._download(poems, poems.urls[0])
    assert (places["cache"] / "poems.txt").read_text() == "cache"
    assert os.listdir(places["cache"]) == ["poems.txt"]


def test_what_a_stopped_run_left_behind_is_not_taken_for_the_download(isolated, served):
    served.pages["/a"] = b"right"
    folder = _files.cache_folder()
    folder.mkdir(parents=True)
    (folder / "poems.txt.part").write_bytes(b"rig")
    assert fetch.find(dataset(f"{served.root}/a", digest=sha256(b"right"))).read_bytes() == b"right"


def test_the_next_address_is_tried_when_one_fails(isolated, served):
    served.pages.update({"/wrong": b"wrong", "/right": b"right"})
    urls = [f"{served.root}/{name}" for name in ("missing", "wrong", "right", "unasked")]
    assert fetch.find(dataset(*urls, digest=sha256(b"right"))).read_bytes() == b"right"
    assert served.asked == ["/missing", "/wrong", "/right"]


def test_a_server_that_does_not_answer_is_given_up(isolated, served, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    served.silent.add("/a")
    served.pages["/b"] = b"right"
    message, left = refused(dataset(f"{served.root}/a"))
    assert re.search(r"download: http://127\.0\.0\.1:\d+/a \(.*timed out.*timeout=0\.2", message)
    assert left == []
    assert fetch.find(dataset(f"{served.root}/a", f"{served.root}/b")).read_bytes() == b"right"


def test_a_download_that_breaks_off_is_refused(isolated, served, monkeypatch):
    class Short(bytes):
        def __len__(self):
            return 99  # promised; five come

    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    served.pages["/a"] = Short(b"right")
    message, left = refused(dataset(f"{served.root}/a", digest=sha256(b"right" * 99)))
    assert "/a (" in message
    assert left == []


def test_the_error_lists_every_place_and_what_works_offline(places, served, monkeypatch):
    for folder in places.values():
        (folder / "poems.txt").unlink()
    urls = [f"{served.root}/a", f"{served.root}/b"]
    with pytest.raises(fetch.DataNotFound) as error:
        fetch.find(dataset(*urls), places["path"])
    message = str(error.value)
    looked = [f"path: {places['path'] / 'poems.txt'}", f"$GLUONBOOK_DATA: {places['environment'] / 'poems.txt'}"]
    looked += [f"book's folder: {Path('..', 'data', 'poems.txt')}", f"cache: {places['cache'] / 'poems.txt'}"]
    looked += [f"download: {url} (" for url in urls]
    positions = [message.find(place) for place in looked]
    assert -1 not in positions
    assert positions == sorted(positions)
    assert message.startswith("the data set poems (poems.txt) was found in none of these places:")
    assert message.endswith("or use the embedded corpus (songs), which needs no network")
    assert message.count("404") == 2
    assert isinstance(error.value, FileNotFoundError)


def test_a_missing_data_set_is_one_message_on_the_command_line(isolated, cli, monkeypatch):
    monkeypatch.setitem(text.BOOK_CORPORA, "time_machine", dataset())
    status, _, said = cli("lyrics", "train", "time_machine", "--device", "cpu", "--out", "run")
    assert status == 2
    assert said.startswith("gluonbook: the data set poems (poems.txt) was found in none of these places:")
    assert "Traceback" not in said


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", SONG.encode()),
        ("a.lyrics", SONG.encode()),
        ("bom.txt", SONG.encode("utf-8-sig")),
        ("crlf.txt", SONG.replace("\n", "\r\n").encode()),
        ("cr.txt", SONG.replace("\n", "\r").encode()),
        ("a.txt.gz", gzip.compress(SONG.encode())),
        ("a.txt.zip", zipped(**{"a.txt": SONG})),
        ("folder.zip", zipped(**{"songs/": "", "songs/a.txt": SONG})),
        ("mac.zip", zipped(**{"a.txt": SONG, "__MACOSX/._a.txt": "rubbish"})),
        ("A.TXT.GZ", gzip.compress(SONG.encode())),
        ("A.TXT.ZIP", zipped(**{"a.txt": SONG})),
    ],
    ids=named,
)
def test_a_text_is_read_from_every_kind_of_file(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert text.read_text(tmp_path / name) == SONG
    assert text.read_corpus(str(tmp_path / name)) == SONG


def test_a_dash_is_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SONG.encode("utf-8-sig")), encoding="ascii"))
    assert text.read_text("-") == SONG


def test_errors_of_standard_input_name_it(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    with pytest.raises(ValueError, match=r"^standard input is not UTF-8: byte 0xff at 0 "):
        text.read_text("-")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(ValueError, match=r"^standard input is empty: expected text, found 0 bytes"):
        text.read_text("-")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SONG.encode("gb18030"), "byte 0xb7 at 0 (line 1); it reads as GB18030: convert it with iconv -f GB18030"),
        (TRADITIONAL.encode("big5"), "byte 0xa4 at 0 (line 1); it reads as BIG5: convert it with iconv -f BIG5"),
        (SONG.encode("utf-16"), "byte 0xff at 0 (line 1); it reads as UTF-16: convert it with iconv -f UTF-16"),
        (b"one\ntwo\n\xe5\x88\x86\nfour \xff", "byte 0xff at 17 (line 4); save it as UTF-8"),
        (b"\n\n\xff", "byte 0xff at 2 (line 3); save it as UTF-8"),
        (SONG.encode()[:-2], f"byte 0xe6 at {len(SONG.encode()) - 4} (line 12)"),
        (random.Random(0).getrandbits(8000).to_bytes(1000, "big"), "; save it as UTF-8"),
    ],
    ids=["gb18030", "big5", "utf-16", "one byte", "blank lines", "cut", "random"],
)
@pytest.mark.parametrize("pack", [None, "gz", "zip"])
def test_another_encoding_is_told_with_the_byte_and_the_line(tmp_path, data, message, pack):
    path = tmp_path / f"a.txt.{pack or 'txt'}"
    path.write_bytes({None: data, "gz": gzip.compress(data), "zip": zipped(**{"a.txt": data})}[pack])
    with pytest.raises(ValueError, match=r"a\.txt\.\w+ is not UTF-8: byte 0x") as error:
        text.read_text(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"", "is empty: expected text, found 0 bytes"),
        ("a.txt", " \n\t\u3000\r\n".encode(), "is empty: expected text, found 8 bytes with nothing to read"),
        ("a.txt", b"\xef\xbb\xbf", "is empty: expected text, found 3 bytes"),
        ("a.gz", gzip.compress(b""), "is empty: expected text, found 0 bytes"),
        ("a.zip", zipped(**{"a.txt": ""}), "is empty: expected text, found 0 bytes"),
        ("a.zip", zipped(), "must hold one text file, found 0"),
        ("a.zip", zipped(**{"a.txt": "a", "b.txt": "b"}), "must hold one text file, found 2: a.txt, b.txt"),
        (
            "a.zip",
            zipped(**{f"{i}.txt": "a" for i in range(7)}),
            "found 7: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, …",
        ),
        ("a.zip", b"no archive", "cannot be read as a zip archive: File is not a zip file"),
        ("a.zip", b"", "cannot be read as a zip archive"),
        ("a.zip", zipped(**{"a.txt": SONG})[:-30], "cannot be read as a zip archive"),
        ("a.gz", b"no archive", "is not a whole gzip file: Not a gzipped file"),
        ("a.gz", gzip.compress(SONG.encode())[:-12], "is not a whole gzip file: Compressed file ended"),
        ("a.gz", gzip.compress(SONG.encode())[:6], "is not a whole gzip file"),
        ("a.gz", gzip.compress(SONG.encode())[:-8] + b"\0" * 8, "is not a whole gzip file: CRC check failed"),
        ("a.gz", gzip.compress(SONG.encode())[:10] + b"\xff" * 40, "is not a whole gzip file"),
    ],
    ids=named,
)
def test_a_file_that_holds_no_text_is_told_with_what_was_found(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        text.read_text(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))


def test_a_zip_whose_content_is_damaged_is_told(tmp_path):
    data = bytearray(zipped(**{"a.txt": SONG}))
    start = data.index(b"a.txt") + 5
    data[start : start + 20] = b"\xff" * 20
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.zip cannot be read as a zip archive"):
        text.read_text(tmp_path / "a.zip")


def test_an_encrypted_zip_is_told(tmp_path):
    data = bytearray(zipped(**{"a.txt": SONG}))
    for header, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag that says so
        data[data.index(header) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.zip cannot be read as a zip archive: .*(encrypted|password)"):
        text.read_text(tmp_path / "a.zip")


def test_a_folder_and_a_missing_file_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder: expected a UTF-8 text file \(\.txt, \.txt\.zip, \.txt\.gz\)"):
        text.read_text(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a\.txt is not there: expected a UTF-8 text file"):
        text.read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("data", [None, b"", SONG.encode("gb18030")])
def test_a_bad_text_is_one_line_and_status_2_on_the_command_line(isolated, cli, data):
    if data is not None:
        Path("a.txt").write_bytes(data)
    status, _, said = cli("lyrics", "train", "a.txt", "--device", "cpu", "--out", "run")
    assert status == 2
    assert said.startswith("gluonbook: a.txt is ")
    assert said.count("\n") == 1
    assert not Path("run").exists()


def test_a_corpus_of_another_name_is_refused():
    with pytest.raises(ValueError, match=r"^name must be one of jaychou_lyrics, time_machine; got 'jay'$"):
        text.book_corpus("jay")


def test_the_books_corpora_are_found_as_files(isolated):
    data = isolated / "work" / "data"
    data.mkdir()
    (data / "timemachine.txt").write_text("The Time Traveller\n")
    (data / "jaychou_lyrics.txt.zip").write_bytes(zipped(**{"jaychou_lyrics.txt": SONG}))
    assert text.read_corpus("time_machine") == "The Time Traveller\n"
    assert text.read_corpus("jaychou_lyrics") == SONG
    assert text.book_corpus("time_machine", data) == "The Time Traveller\n"


def characters(count):
    """Return the length of the book's corpus with ``count`` distinct characters, a space for a newline among them."""
    distinct = [chr(0x4E00 + i) for i in range(count - 1)]
    return "\n".join("".join(distinct[i : i + 9]) for i in range(0, len(distinct), 9)) + "\n" + distinct[0] * 10_000


@pytest.mark.parametrize(("count", "right"), [(1027, True), (1026, False), (1028, False)])
def test_the_jay_chou_lyrics_are_known_by_their_vocabulary(isolated, served, monkeypatch, count, right):
    served.pages["/lyrics.zip"] = zipped(**{"jaychou_lyrics.txt": characters(count)})
    poems = text.BOOK_CORPORA["jaychou_lyrics"]
    urls = (f"{served.root}/lyrics.zip",)
    monkeypatch.setitem(text.BOOK_CORPORA, poems.name, fetch.Dataset(**{**vars(poems), "urls": urls}))
    if right:
        assert text.read_corpus("jaychou_lyrics") == characters(count)
    else:
        message = f"the first 10000 characters should have 1027 distinct ones, these have {count}"
        with pytest.raises(fetch.DataNotFound, match=message):
            text.read_corpus("jaychou_lyrics")
        assert os.listdir(_files.cache_folder()) == []


def test_what_is_downloaded_has_an_https_address_and_a_check():
    for poems in text.BOOK_CORPORA.values():
        assert poems.urls
        assert all(url.startswith("https://") for url in poems.urls)
        assert poems.digest or poems.check
        assert "songs" in poems.embedded


SONGS = text.embedded_songs()
LINES = [line for line in SONGS.split("\n") if line]
TITLES = [line for line in LINES if line.startswith("《")]


def test_the_embedded_corpus_is_the_default():
    assert text.read_corpus() == text.read_corpus("songs") == SONGS


def test_the_embedded_corpus_is_large_enough():
    assert len(TITLES) >= 60
    assert len(SONGS) >= 15_000


def test_the_notes_vocabulary_is_about_as_large():
    assert 900 <= len(set(SONGS[:10_000].replace("\n", " "))) <= 1100


def test_no_line_and_no_title_comes_twice():
    assert [line for line, count in collections.Counter(LINES).items() if count > 1] == []


def test_every_song_is_a_block_with_its_title_on_top():
    blocks = SONGS.strip("\n").split("\n\n")
    assert len(blocks) == len(TITLES)
    for block in blocks:
        title, *lines = block.split("\n")
        assert re.fullmatch("《[\u4e00-\u9fff]+》", title)
        assert len(lines) >= 8
        assert all(re.fullmatch("[\u4e00-\u9fff]+", line) for line in lines)


def test_the_notes_prefixes_occur():
    assert SONGS.count("不分开") >= 3
    assert len(re.findall("(?<!不)分开", SONGS)) >= 3
    assert "分开" in SONGS[:10_000]
    assert "不分开" in SONGS[:10_000]
