"""Text to tokens: characters, and words by jieba, which is to be quiet and to keep to the package's cache."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonbook.data import embedded_songs
from gluonbook.lyrics import tokenize

CODE = """
from gluonbook import _files
from gluonbook.lyrics import tokenize
print(ascii(tokenize("天青色等烟雨，而我在等你", "word")))
print(_files.cache_folder())
"""


def run_jieba(**environment):
    """Cut a line in a new process; returns (words as printed, the package's cache folder, standard error)."""
    done = subprocess.run([sys.executable, "-c", CODE], env={**os.environ, **environment}, capture_output=True)
    words, cache = done.stdout.decode().splitlines()
    return words, cache, done.stderr.decode()


@given(st.text(max_size=50))
def test_char_level_gives_each_character(text):
    tokens = tokenize(text, "char")
    assert "".join(tokens) == text
    assert all(len(token) == 1 for token in tokens)


def test_char_is_the_default_level():
    assert tokenize("不分\n开") == ["不", "分", "\n", "开"]


@pytest.mark.parametrize("text", ["", "我们 都  是\n\n中国人，hello world\t3.14 %\n", "鳌\u3000𠮷😀e\u0301"])
def test_words_join_back_to_the_text(text, isolated):
    assert "".join(tokenize(text, "word")) == text


def test_words_of_the_songs_join_back_and_are_words(isolated):
    text = embedded_songs()[:2000]
    words = tokenize(text, "word")
    assert "".join(words) == text
    assert {"花店", "路口"} <= set(words)


def test_another_level_is_refused():
    with pytest.raises(ValueError, match="level must be one of char, word; got 'line'"):
        tokenize("分开", "line")


def test_jieba_loads_quietly_and_caches_in_the_packages_folder(tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words, cache, said = run_jieba(XDG_CACHE_HOME=str(tmp_path / "cache"), TMPDIR=str(temporary))
    assert words == ascii(["天", "青色", "等", "烟雨", "，", "而", "我", "在", "等", "你"])
    assert said == ""
    assert cache == str(tmp_path / "cache" / "gluonbook")
    assert [path.name for path in (tmp_path / "cache" / "gluonbook").iterdir()] == ["jieba.cache"]
    assert list(temporary.iterdir()) == []


def test_an_unwritable_cache_and_no_temporary_folder_are_no_trouble(tmp_path):
    file = tmp_path / "file"
    file.write_text("no folder")
    nowhere = str(file / "in")
    words, _, said = run_jieba(XDG_CACHE_HOME=str(file), TMPDIR=nowhere, TEMP=nowhere, TMP=nowhere)
    assert words == ascii(["天", "青色", "等", "烟雨", "，", "而", "我", "在", "等", "你"])
    assert said == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
