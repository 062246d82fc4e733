"""Archives are unpacked whole or not at all, once, and nothing of them comes to lie outside of their folder."""

import errno
import io
import os
import re
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook import _files
from gluonbook.data import fetch

CONTENT = {"set/a.txt": "a", "set/deep/b.txt": "b", "set/deep/er/c.txt": ""}


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def tarred(files, mode="w", members=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content.encode())
            packed.addfile(member, io.BytesIO(content.encode()))
        for member in members:
            packed.addfile(member)
    return buffer.getvalue()


def gz(files):
    return tarred(files, "w:gz")


PACKERS = [zipped, tarred, gz]


def put(folder, content, name="archive"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def everything(folder):
    """Path to content of all files, those of hidden neighbours too."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


# ---- unpack ----


@pytest.mark.parametrize("pack", PACKERS)
def test_the_archives_folder_is_unpacked_under_its_name(tmp_path, pack, capsys):
    into = tmp_path / "new" / "into"
    files = {**CONTENT, "readme.txt": "beside the folder: not needed"}
    assert fetch.unpack(put(tmp_path, pack(files)), into, "set") == into / "set"
    assert everything(into) == CONTENT
    assert os.listdir(into) == ["set"]
    assert capsys.readouterr() == ("", "")  # a progress bar is for a terminal


@pytest.mark.parametrize("pack", PACKERS)
def test_an_archive_without_that_folder_is_unpacked_whole(tmp_path, pack):
    into = tmp_path / "into"
    assert fetch.unpack(put(tmp_path, pack({"x/a.txt": "a", "b.txt": "b"})), into, "set") == into / "set"
    assert everything(into) == {"set/x/a.txt": "a", "set/b.txt": "b"}


@pytest.mark.parametrize("pack", PACKERS)
def test_an_empty_archive_is_an_empty_folder(tmp_path, pack):
    assert os.listdir(fetch.unpack(put(tmp_path, pack({})), tmp_path, "set")) == []


@pytest.mark.parametrize("pack", PACKERS)
def test_a_deep_folder_is_put_beside_its_neighbours(tmp_path, pack):
    """VOC2007 and VOC2012 share the folder VOCdevkit."""
    into = tmp_path / "into"
    put(into / "VOCdevkit" / "VOC2007", b"old", "a.txt")
    archive = put(tmp_path, pack({"VOCdevkit/VOC2012/a.txt": "new", "VOCdevkit/VOC2012/b/c.txt": "deep"}))
    found = fetch.unpack(archive, into, "VOCdevkit/VOC2012")
    assert found == into / "VOCdevkit" / "VOC2012"
    expected = {"VOC2007/a.txt": "old", "VOC2012/a.txt": "new", "VOC2012/b/c.txt": "deep"}
    assert everything(into / "VOCdevkit") == expected
    assert os.listdir(into) == ["VOCdevkit"]


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("folder", ["set", "other"])
def test_other_users_may_read_what_was_unpacked(tmp_path, pack, folder):
    found = fetch.unpack(put(tmp_path, pack(CONTENT)), tmp_path / "into", folder)
    for path in (found, *found.rglob("*")):
        needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
        assert path.stat().st_mode & needed == needed, path


def test_the_modes_of_a_tar_are_not_taken(tmp_path):
    member = tarfile.TarInfo("set/none")
    member.mode = 0o000
    folder = tarfile.TarInfo("set/shut")
    folder.type, folder.mode = tarfile.DIRTYPE, 0o000
    late = tarfile.TarInfo("set/shut/late")
    found = fetch.unpack(put(tmp_path, tarred({}, members=[folder, member, late])), tmp_path / "into", "set")
    assert (found / "none").stat().st_mode & 0o777 == 0o644
    assert (found / "shut").stat().st_mode & 0o700 == 0o700
    assert (found / "shut" / "late").is_file()


@given(
    st.dictionaries(
        st.lists(st.sampled_from(["a", "b", "ü", "c d"]), min_size=1, max_size=3).map("/".join),
        st.text(alphabet="xyé", max_size=9),
        max_size=6,
    ),
    st.sampled_from(PACKERS),
)
@settings(deadline=None, max_examples=60)
def test_what_was_packed_is_unpacked(tmp_path_factory, files, pack):
    files = {name + ".txt": content for name, content in files.items()}  # no file has a folder's name
    folder = tmp_path_factory.mktemp("any")
    archive = put(folder, pack({f"set/{name}": content for name, content in files.items()}))
    assert everything(fetch.unpack(archive, folder / "into", "set")) == files


def link(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def special(name, kind):
    member = tarfile.TarInfo(name)
    member.type = kind
    return member


OUTSIDE = {
    "zip ..": (zipped({"set/a.txt": "a", "set/../../evil.txt": "x"}), "set/../../evil.txt"),
    "zip absolute": (zipped({"set/a.txt": "a", "/evil.txt": "x"}), "/evil.txt"),
    "tar ..": (tarred({"set/a.txt": "a", "../evil.txt": "x"}), "../evil.txt"),
    "tar .. within": (tarred({"set/a.txt": "a", "set/../b.txt": "x"}), "set/../b.txt"),
    "tar absolute": (tarred({"set/a.txt": "a", "/evil.txt": "x"}), "/evil.txt"),
    "symlink out": (tarred({"set/a.txt": "a"}, members=[link("set/l", "../../../evil")]), "set/l"),
    "symlink in": (tarred({"set/a.txt": "a"}, members=[link("set/l", "a.txt")]), "set/l"),
    "absolute symlink": (tarred({"set/a.txt": "a"}, members=[link("set/l", "/etc/passwd")]), "set/l"),
    "hard link": (tarred({"set/a.txt": "a"}, members=[link("set/l", "set/a.txt", tarfile.LNKTYPE)]), "set/l"),
    "hard link out": (tarred({}, members=[link("set/l", "/etc/passwd", tarfile.LNKTYPE)]), "set/l"),
    "pipe": (tarred({"set/a.txt": "a"}, members=[special("set/p", tarfile.FIFOTYPE)]), "set/p"),
    "device": (tarred({"set/a.txt": "a"}, members=[special("set/d", tarfile.CHRTYPE)]), "set/d"),
}


@pytest.mark.parametrize("filters", [True, False])
@pytest.mark.parametrize("case", OUTSIDE)
def test_what_lies_outside_is_refused_and_nothing_is_left(tmp_path, monkeypatch, case, filters):
    """With Python's filters and, on older ones, without."""
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    content, name = OUTSIDE[case]
    archive = put(tmp_path / "place", content)
    message = f"^{re.escape(str(archive))} is refused: {re.escape(name)} is no file or folder inside of it$"
    with pytest.raises(ValueError, match=message):
        fetch.unpack(archive, tmp_path / "place" / "into", "set")
    assert set(tmp_path.rglob("*")) == {archive.parent, archive, archive.parent / "into"}
    assert not Path("/evil.txt").exists()


@pytest.mark.parametrize("filters", [True, False])
@pytest.mark.parametrize("pack", [tarred, gz])
def test_tars_are_unpacked_with_filters_and_without(tmp_path, monkeypatch, pack, filters):
    if not filters:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    assert everything(fetch.unpack(put(tmp_path, pack(CONTENT)), tmp_path / "into", "set").parent) == CONTENT


def encrypted(files):
    content = bytearray(zipped(files))
    for header, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag that says so
        content[content.index(header) + offset] |= 1
    return bytes(content)


def spoilt_zip():
    content = bytearray(zipped({"set/a.txt": "a" * 1000}))
    start = content.index(b"set/a.txt") + len("set/a.txt")
    content[start : start + 9] = b"\xff" * 9
    return bytes(content)


LONG = {"set/a.txt": "".join(map(str, range(5000)))}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>404</html>",
        gz(LONG)[:-500],
        gz(LONG)[:30],
        gz(LONG)[:200] + b"\xff" * 200 + gz(LONG)[400:],
        tarred(LONG)[:5000],
        zipped(LONG)[:-30],
        zipped(LONG)[:50] + zipped(LONG)[60:],
        spoilt_zip(),
        encrypted({"set/a.txt": "a"}),
    ],
    ids=["empty", "page", "cut gz", "cut gz head", "spoilt gz", "cut tar", "cut zip", "short zip", "spoilt", "locked"],
)
def test_a_damaged_archive_is_told_and_leaves_nothing(tmp_path, content):
    archive = put(tmp_path, content)
    with pytest.raises(ValueError, match=f"^{re.escape(str(archive))} cannot be read as an archive: "):
        fetch.unpack(archive, tmp_path / "into", "set")
    assert os.listdir(tmp_path / "into") == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize(("pack", "kind"), [(zipped, zipfile.ZipFile), (gz, tarfile.TarFile)])
def test_a_stopped_run_leaves_nothing_half(tmp_path, monkeypatch, pack, kind, stop):
    into = tmp_path / "into"
    put(into / "VOCdevkit" / "VOC2007", b"old", "a.txt")
    archive = put(tmp_path, pack({f"VOCdevkit/VOC2012/{i}.txt": "new" for i in range(4)}))
    extract, seen = kind.extract, []

    def stopping(packed, member, path, **how):
        seen.append(sorted(os.listdir(into)))
        if len(seen) == 3:
            raise stop
        return extract(packed, member, path, **how)

    monkeypatch.setattr(kind, "extract", stopping)
    with pytest.raises(stop):
        fetch.unpack(archive, into, "VOCdevkit/VOC2012")
    assert len(seen[-1]) == 2  # the neighbour was there
    assert everything(into) == {"VOCdevkit/VOC2007/a.txt": "old"}
    assert os.listdir(into) == ["VOCdevkit"]
    fetch.unpack(archive, into, "VOCdevkit/VOC2012")  # seen[3:] go through
    assert len(everything(into)) == 5


def test_what_a_killed_run_left_behind_is_not_in_the_way(tmp_path, monkeypatch):
    archive, into = put(tmp_path, zipped(CONTENT)), tmp_path / "into"
    with monkeypatch.context() as patch:
        patch.setattr(fetch.shutil, "rmtree", lambda *arguments, **how: None)
        patch.setattr(zipfile.ZipFile, "extract", lambda *arguments, **how: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fetch.unpack(archive, into, "set")
    (left,) = os.listdir(into)
    assert left.startswith(".")  # hidden
    found = fetch.unpack(archive, into, "set")
    assert sorted(os.listdir(into)) == sorted([left, "set"])
    assert {f"set/{name}": content for name, content in everything(found).items()} == CONTENT


def test_a_full_disk_is_told_as_such_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*arguments, **how):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        fetch.unpack(put(tmp_path, zipped(CONTENT)), tmp_path / "into", "set")
    assert error.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path / "into") == []


def test_a_folder_that_is_in_use_is_not_overwritten(tmp_path):
    put(tmp_path / "into" / "set", b"mine", "a.txt")
    found = fetch.unpack(put(tmp_path, zipped(CONTENT)), tmp_path / "into", "set")
    assert found == tmp_path / "into" / "set"
    assert everything(tmp_path / "into") == {"set/a.txt": "mine"}
    assert os.listdir(tmp_path / "into") == ["set"]


# ---- find_folder ----


@pytest.fixture
def homes(isolated, monkeypatch):
    """The folders that are looked at, in order."""
    monkeypatch.setenv("GLUONBOOK_DATA", str(isolated / "environment"))
    return [isolated / "environment", isolated / "work" / "data", _files.cache_folder()]


def dataset(*urls, embedded=None):
    return fetch.Dataset("poems", "poems.zip", urls, None, embedded)


def poems(note):
    return zipped({"poems/a.txt": note})


def note_of(found):
    return (found / "a.txt").read_text()


def test_folders_are_looked_for_in_order_then_archives_in_order_then_the_web(homes, served):
    served.pages["/poems.zip"] = poems("web")
    archive = dataset(f"{served.root}/poems.zip")
    for i, home in enumerate(homes):
        put(home / "poems", f"folder {i}".encode(), "a.txt")
        put(home, poems(f"archive {i}"), "poems.zip")
    found = []
    for home in homes:  # a folder of the last place goes before an archive of the first
        found.append(note_of(fetch.find_folder(archive, "poems")))
        (home / "poems" / "a.txt").unlink()
        (home / "poems").rmdir()
    for home in homes:
        path = fetch.find_folder(archive, "poems")
        found.append(note_of(path))
        assert path.resolve() == (home / "poems").resolve()  # unpacked beside its archive
        assert note_of(fetch.find_folder(archive, "poems")) == found[-1]
        (home / "poems").rename(home / "used")
        (home / "poems.zip").unlink()
    assert served.asked == []
    path = fetch.find_folder(archive, "poems")
    found.append(note_of(path))
    assert path == homes[2] / "poems"
    expected = [f"folder {i}" for i in range(3)] + [f"archive {i}" for i in range(3)] + ["web"]
    assert found == expected
    assert note_of(fetch.find_folder(archive, "poems")) == "web"
    assert served.asked == ["/poems.zip"]


def test_a_folder_asked_for_is_there_or_unpacked_to(homes, isolated):
    put(homes[0] / "poems", b"elsewhere", "a.txt")  # no substitute for the folder that is asked for
    put(homes[1], poems("archive"), "poems.zip")
    into = isolated / "mine"
    for path in (into, str(into)):
        found = fetch.find_folder(dataset(), "poems", path)
        assert (found, note_of(found)) == (into / "poems", "archive")
    assert os.listdir(into) == ["poems"]
    assert os.listdir(homes[1]) == ["poems.zip"]
    (into / "poems" / "a.txt").write_text("kept")
    assert note_of(fetch.find_folder(dataset(), "poems", into)) == "kept"


def test_an_archive_in_the_folder_asked_for_goes_first(homes, isolated, recwarn):
    for i, home in enumerate(homes):
        put(home, poems(str(i)), "poems.zip")
    put(isolated / "mine", poems("mine"), "poems.zip")
    assert note_of(fetch.find_folder(dataset(), "poems", isolated / "mine")) == "mine"
    assert note_of(fetch.find_folder(dataset(), "poems", isolated / "other")) == "0"
    assert [str(one.message) for one in recwarn if issubclass(one.category, UserWarning)] == []


def test_a_home_folder_is_understood(isolated, monkeypatch):
    monkeypatch.setenv("HOME", str(isolated))
    put(isolated / "mine", poems("mine"), "poems.zip")
    found = fetch.find_folder(dataset(), "poems", "~/mine")
    assert (found, note_of(found)) == (isolated / "mine" / "poems", "mine")
    monkeypatch.setenv("GLUONBOOK_DATA", "~/mine")
    assert fetch.find_folder(dataset(), "poems") == found


def test_a_file_of_the_folders_name_is_not_the_folder(homes):
    put(homes[0], b"a file", "poems")
    put(homes[1] / "poems", b"folder", "a.txt")
    assert note_of(fetch.find_folder(dataset(), "poems")) == "folder"


def test_a_deep_folder_is_looked_for_as_such(homes):
    put(homes[0] / "VOCdevkit" / "VOC2007", b"another", "a.txt")
    put(homes[1] / "VOCdevkit" / "VOC2012", b"this", "a.txt")
    assert note_of(fetch.find_folder(dataset(), "VOCdevkit/VOC2012")) == "this"


def test_a_damaged_archive_is_told_with_its_place(homes):
    put(homes[1], b"rubbish", "poems.zip")
    with pytest.raises(ValueError, match=r"^\.\./data/poems\.zip cannot be read as an archive: "):
        fetch.find_folder(dataset(), "poems")
    assert os.listdir(homes[1]) == ["poems.zip"]


@pytest.mark.parametrize("into", [None, "mine"])
def test_the_error_offers_what_there_is_offline_and_nothing_where_nothing_is(homes, isolated, into):
    with pytest.raises(fetch.DataNotFound) as error:
        fetch.find_folder(dataset(), "poems", into)
    first, *looked, last = str(error.value).splitlines()
    assert first == "the data set poems (poems.zip) was found in none of these places:"
    assert looked == [
        f"  $GLUONBOOK_DATA: {homes[0] / 'poems.zip'}",
        "  book's folder: ../data/poems.zip",
        f"  cache: {homes[2] / 'poems.zip'}",
    ]
    assert last == "Put the file into one of these folders by hand"
    with pytest.raises(fetch.DataNotFound, match=r"by hand, or use the songs, which needs no network$"):
        fetch.find_folder(dataset(embedded="the songs"), "poems", into)
    assert list(isolated.rglob("poems*")) == []


def test_a_folder_that_another_process_unpacked_meanwhile_is_taken(tmp_path, monkeypatch):
    extract = fetch._extract

    def beside_another(packed, members, folder, **how):
        extract(packed, members, folder, **how)
        put(tmp_path / "set", b"theirs", "a.txt")

    monkeypatch.setattr(fetch, "_extract", beside_another)
    archive = put(tmp_path / "from", zipped(CONTENT))
    assert fetch.unpack(archive, tmp_path, "set") == tmp_path / "set"
    assert everything(tmp_path / "set") == {"a.txt": "theirs"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["from", "set"]


def test_a_file_in_the_folders_place_is_told(tmp_path):
    put(tmp_path, b"a file", "set")
    with pytest.raises(NotADirectoryError):
        fetch.unpack(put(tmp_path / "from", zipped(CONTENT)), tmp_path, "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["from", "set"]
