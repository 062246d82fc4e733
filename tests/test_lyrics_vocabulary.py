"""The vocabulary: its order, its round trip, and what it says of tokens that it lacks."""

import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonbook.lyrics import Vocabulary

TOKENS = st.text(st.sampled_from("分开不abc\n，"), max_size=60)


def test_order_is_by_count_then_code_point():
    assert Vocabulary("cabbac开开分分分").tokens == ["分", "a", "b", "c", "开"]


def test_order_of_words_is_by_count_then_code_points():
    assert Vocabulary(["开花", "分", "开", "分", "ab"]).tokens == ["分", "ab", "开", "开花"]


@given(TOKENS.filter(bool))
def test_order_equals_that_of_a_slow_search(tokens):
    left, expected = Counter(tokens), []
    while left:
        most = max(left.values())
        expected.append(min(token for token in left if left[token] == most))
        del left[expected[-1]]
    assert Vocabulary(tokens).tokens == expected


@given(TOKENS.filter(bool), st.randoms(use_true_random=False))
def test_order_does_not_depend_on_the_order_of_the_corpus(tokens, random):
    shuffled = list(tokens)
    random.shuffle(shuffled)
    assert Vocabulary(shuffled).tokens == Vocabulary(tokens).tokens


def test_order_is_equal_in_processes_with_different_hash_seeds():
    code = "from gluonbook.lyrics import Vocabulary; print(ascii(Vocabulary('天青色等烟雨而我在等你' * 3).tokens))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in "012"
    }
    assert len(printed) == 1
    assert printed.pop().startswith(b"['\\u7b49', '\\u4f60',")  # 等 stands there twice, 你 has the lowest code point


@given(TOKENS.filter(bool))
def test_decode_undoes_encode(text):
    assert Vocabulary(text).decode(Vocabulary(text).encode(text)) == text


@given(TOKENS.filter(bool), st.data())
def test_encode_undoes_decode(text, data):
    vocabulary = Vocabulary(text)
    indices = data.draw(st.lists(st.integers(0, len(vocabulary) - 1)))
    assert vocabulary.encode(vocabulary.decode(indices)).tolist() == indices


def test_encode_gives_int32_indices():
    indices = Vocabulary("分开不分开").encode("不分开")
    assert indices.dtype == np.int32
    assert indices.tolist() == [2, 0, 1]


def test_encode_of_nothing_is_empty():
    assert Vocabulary("分开").encode("").shape == (0,)
    assert Vocabulary("分开").decode([]) == ""


def test_length_and_membership():
    vocabulary = Vocabulary("分开不分开")
    assert len(vocabulary) == 3
    assert "开" in vocabulary
    assert "关" not in vocabulary


def test_every_unknown_character_is_named_with_all_its_positions():
    with pytest.raises(ValueError, match="not in the vocabulary of 3 tokens") as error:
        Vocabulary("分开不").encode("鳌分鼠开鳌鼠不鳌")
    assert "'鳌' at 0, 4, 7" in str(error.value)
    assert "'鼠' at 2, 5" in str(error.value)
    assert "'分'" not in str(error.value)
    assert "min_count=2" in str(error.value)


def test_forty_unknown_characters_are_all_named():
    strangers = [chr(0x4E00 + i) for i in range(40)]
    with pytest.raises(ValueError, match="not in the vocabulary") as error:
        Vocabulary("ab").encode(["a", *strangers])
    for position, token in enumerate(strangers, start=1):
        assert f"'{token}' at {position}" in str(error.value)


def test_a_long_list_of_positions_says_how_many_more_there_are():
    with pytest.raises(ValueError, match=r"'x' at 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more;"):
        Vocabulary("ab").encode("x" * 100)


def test_unknown_lists_positions_in_order_of_appearance():
    assert list(Vocabulary("ab").unknown("zaybz").items()) == [("z", [0, 4]), ("y", [2])]


def test_rare_tokens_become_unk_with_index_0():
    vocabulary = Vocabulary("aaabbc", min_count=2)
    assert vocabulary.tokens == ["<unk>", "a", "b"]
    assert vocabulary.encode("abcz").tolist() == [1, 2, 0, 0]
    assert vocabulary.unknown("abcz") == {"c": [2], "z": [3]}


def test_min_count_keeps_tokens_that_occur_that_often():
    assert Vocabulary("aaabbc", min_count=3).tokens == ["<unk>", "a"]


def test_without_min_count_there_is_no_unk():
    assert "<unk>" not in Vocabulary("aab")


def test_from_tokens_keeps_the_order():
    tokens = ["b", "<unk>", "a"]
    vocabulary = Vocabulary.from_tokens(tokens)
    assert vocabulary.tokens == tokens
    assert vocabulary.encode("abx").tolist() == [2, 0, 1]


def test_from_tokens_refuses_a_token_that_stands_there_twice():
    with pytest.raises(ValueError, match=r"must be distinct and at least one, got 3, twice: \['a'\]"):
        Vocabulary.from_tokens(["a", "b", "a"])


def test_from_tokens_refuses_emptiness():
    with pytest.raises(ValueError, match="must be distinct and at least one, got 0"):
        Vocabulary.from_tokens([])


@pytest.mark.parametrize("corpus", ["", []])
def test_an_empty_corpus_is_refused(corpus):
    with pytest.raises(ValueError, match="at least one token, got an empty corpus"):
        Vocabulary(corpus)


@pytest.mark.parametrize(("min_count", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_wrong_min_count_is_refused(min_count, error):
    with pytest.raises(error, match=f"min_count must be .* got {min_count}"):
        Vocabulary("ab", min_count)


@pytest.mark.parametrize("index", [-1, 2])
def test_decode_refuses_an_index_out_of_range(index):
    with pytest.raises(ValueError, match=rf"indices\[1\] must be from 0 to 1, got {index}"):
        Vocabulary("ab").decode([0, index])
