"""A file is written whole or not at all."""

import os
import stat

import pytest

from gluonbook import _files


@pytest.fixture
def umask():
    """Set the process's umask for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_a_new_file_takes_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with _files.replacing(path) as neighbour:
        neighbour.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["a.txt"]


def write_half(path, error):
    with _files.replacing(path) as neighbour:
        neighbour.write_text("ha")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_whole_and_no_neighbour(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_block_that_fails_makes_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a.txt", KeyboardInterrupt)
    assert os.listdir(tmp_path) == []


def test_the_neighbour_lies_in_the_same_folder_and_keeps_the_suffix(tmp_path):
    with _files.replacing(tmp_path / "a.png") as neighbour:
        assert neighbour.parent == tmp_path
        assert neighbour.suffix == ".png"
        assert neighbour.name.startswith(".")


def test_two_writers_of_one_file_do_not_share_a_neighbour(tmp_path):
    with _files.replacing(tmp_path / "a") as first, _files.replacing(tmp_path / "a") as second:
        assert first != second


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path, umask, mask, mode):
    umask(mask)
    _files.write_text(tmp_path / "a.txt", "text")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode
    assert os.umask(mask) == mask


def test_text_is_utf8_with_the_line_ends_as_given(tmp_path):
    _files.write_text(tmp_path / "a.txt", "分开\r\n不分开\n")
    assert (tmp_path / "a.txt").read_bytes() == "分开\r\n不分开\n".encode()


def test_json_comes_back_and_is_readable(tmp_path):
    value = {"text": "分开", "list": [1, 2.5, None]}
    _files.write_json(tmp_path / "a.json", value)
    assert _files.read_json(tmp_path / "a.json") == value
    assert "分开" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path):
    _files.write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        _files.write_json(tmp_path / "a.json", {"x": object()})
    assert _files.read_json(tmp_path / "a.json") == 1


@pytest.mark.parametrize(
    ("data", "place"), [(b'{"a": 1,\n"b" 2}', "line 2 column 5"), (b"", "line 1 column 1"), (b"\xff\xfe", "position 0")]
)
def test_a_file_that_is_not_json_is_named_with_the_place(tmp_path, data, place):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match=rf"a\.json is not a JSON file: .*{place}"):
        _files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("folder", ["datasets", "chapters"])
def test_packaged_folders_exist(folder):
    assert _files.packaged(folder).is_dir()


def test_a_packaged_folder_is_inside_the_package_or_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "__file__", str(tmp_path / "gluonbook" / "_files.py"))
    assert _files.packaged("datasets") == tmp_path / "datasets"
    (tmp_path / "gluonbook" / "datasets").mkdir(parents=True)
    assert _files.packaged("datasets") == tmp_path / "gluonbook" / "datasets"


def test_the_cache_is_where_the_environment_says(isolated):
    assert _files.cache_folder() == isolated / "cache" / "gluonbook"
