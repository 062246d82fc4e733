"""IMDB's reviews are found, unpacked, read in a random order that a seed fixes, and made into indices."""

import collections
import io
import os
import random
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonbook import _files, data
from gluonbook._mxnet import mx
from gluonbook.data import imdb
from gluonbook.data.imdb import (
    count_tokens,
    download_imdb,
    get_tokenized_imdb,
    get_vocab_imdb,
    preprocess_imdb,
    read_imdb,
)

REVIEWS = {
    ("train", "pos"): ["A Fine film.", "so\ngood\n", "très bon, 好看", "again  and again"],
    ("train", "neg"): ["BAD.", "no"],
    ("test", "pos"): ["yes"],
    ("test", "neg"): ["never", "Nor this"],
}


def write_reviews(folder, reviews=REVIEWS):
    """As the archive holds them: a file each."""
    for (split, name), texts in reviews.items():
        inner = folder / "aclImdb" / split / name
        inner.mkdir(parents=True, exist_ok=True)
        for i, text in enumerate(texts):
            (inner / f"{i}_7.txt").write_bytes(text.encode())
    return folder / "aclImdb"


def archive(note="yes"):
    """The archive, with one review that tells several apart."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for (split, name), texts in {**REVIEWS, ("test", "pos"): [note]}.items():
            for i, text in enumerate(texts):
                member = tarfile.TarInfo(f"aclImdb/{split}/{name}/{i}_7.txt")
                member.size = len(text.encode())
                packed.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def note_in(folder):
    return Path(folder, "aclImdb", "test", "pos", "0_7.txt").read_text()


@pytest.fixture
def book(isolated):
    return isolated / "work" / "data"


@pytest.fixture
def hub(isolated, served, monkeypatch):
    """The archive's address is on the test's web server, without a digest."""
    one = imdb.IMDB
    urls = (f"{served.root}/{one.filename}",)
    monkeypatch.setattr(imdb, "IMDB", data.fetch.Dataset(one.name, one.filename, urls, None, one.embedded))
    return served


# ---- the archive ----


def test_the_archive_in_data_dir_is_unpacked_there_and_once(isolated, hub, monkeypatch):
    folder = isolated / "mine"
    folder.mkdir()
    (folder / "aclImdb_v1.tar.gz").write_bytes(archive())
    assert download_imdb(folder) is None
    assert sorted(os.listdir(folder)) == ["aclImdb", "aclImdb_v1.tar.gz"]
    found = {path.relative_to(folder / "aclImdb") for path in folder.rglob("*.txt")}
    assert found == {Path(*key, f"{i}_7.txt") for key, texts in REVIEWS.items() for i in range(len(texts))}
    (folder / "aclImdb_v1.tar.gz").write_bytes(b"not looked at again")
    download_imdb(str(folder))
    assert note_in(folder) == "yes"
    assert hub.asked == []


def test_archives_are_looked_for_in_order(isolated, hub, monkeypatch):
    """data_dir, the environment's folder, the book's, the cache, the web: each is unpacked into data_dir."""
    monkeypatch.setenv("GLUONBOOK_DATA", str(isolated / "environment"))
    folders = [isolated / name for name in ("mine", "environment", "work/data", "cache/gluonbook")]
    for i, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "aclImdb_v1.tar.gz").write_bytes(archive(str(i)))
    hub.pages["/aclImdb_v1.tar.gz"] = archive("web")
    for i, folder in enumerate([*folders, None]):
        download_imdb(isolated / "mine")
        assert note_in(isolated / "mine") == ("web" if folder is None else str(i))
        assert [path for path in folders[1:] if (path / "aclImdb").exists()] == []
        (isolated / "mine" / "aclImdb").rename(isolated / f"done-{i}")
        if folder is not None:
            (folder / "aclImdb_v1.tar.gz").unlink()
    assert hub.asked == ["/aclImdb_v1.tar.gz"]


def test_the_default_is_the_books_folder(isolated, hub, book):
    hub.pages["/aclImdb_v1.tar.gz"] = archive()
    assert download_imdb() is None
    assert note_in(book) == "yes"
    assert os.listdir(book) == ["aclImdb"]
    assert os.listdir(_files.cache_folder()) == ["aclImdb_v1.tar.gz"]  # the archive is kept for other folders


def test_a_folder_that_is_there_is_left_alone(isolated, hub, book):
    write_reviews(book)
    download_imdb()
    assert os.listdir(book) == ["aclImdb"]
    assert hub.asked == []


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", archive()[:-100], archive()[:40]], ids=["empty", "page", "cut", "head"]
)
def test_a_damaged_archive_is_told_and_leaves_nothing(isolated, hub, book, content):
    book.mkdir()
    (book / "aclImdb_v1.tar.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"aclImdb_v1\.tar\.gz cannot be read as an archive: "):
        download_imdb()
    assert os.listdir(book) == ["aclImdb_v1.tar.gz"]


def test_without_an_archive_the_error_says_where_to_put_it_and_offers_nothing_else(isolated, hub, book):
    with pytest.raises(data.DataNotFound) as error:
        download_imdb()
    first, *looked, last = str(error.value).splitlines()
    assert first == "the data set imdb (aclImdb_v1.tar.gz) was found in none of these places:"
    assert "  book's folder: ../data/aclImdb_v1.tar.gz" in looked
    assert looked[-1].startswith(f"  download: {hub.root}/aclImdb_v1.tar.gz (404")
    assert last == "Put the file into one of these folders by hand"
    with pytest.raises(data.DataNotFound):
        read_imdb()


def test_the_digest_is_that_of_d2l():
    url, digest = pytest.importorskip("d2l.mxnet").DATA_HUB["aclImdb"]
    assert imdb.IMDB.digest == f"sha1:{digest}"
    assert url in imdb.IMDB.urls


# ---- reading ----


def test_reviews_come_with_their_labels_in_lower_case_without_newlines(book):
    write_reviews(book)
    train = read_imdb("train")
    expected = [["a fine film.", 1], ["sogood", 1], ["très bon, 好看", 1], ["again  and again", 1]]
    assert sorted(train) == sorted([*expected, ["bad.", 0], ["no", 0]])
    assert sorted(read_imdb("test")) == [["never", 0], ["nor this", 0], ["yes", 1]]
    assert sorted(read_imdb()) == sorted(train)
    assert all(type(pair) is list and type(pair[0]) is str and type(pair[1]) is int for pair in train)


def test_only_texts_are_reviews(book):
    folder = write_reviews(book)
    (folder / "test" / "pos" / "urls.log").write_text("rubbish")
    (folder / "test" / "unsup").mkdir()
    (folder / "test" / "unsup" / "0_0.txt").write_text("not labelled")
    assert len(read_imdb("test")) == 3


def test_utf8_is_read_whatever_the_locale_says(book):
    write_reviews(book)
    code = "import gluonbook as gb; print(ascii(sorted(gb.read_imdb())))"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(data.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)
    assert ascii("très bon, 好看") in said.stdout, said.stderr


def test_the_order_is_random_and_that_of_a_seed(book):
    write_reviews(book, {("train", "pos"): [f"good {i}" for i in range(20)], ("train", "neg"): ["bad"] * 10})
    orders = []
    for seed in (0, 1, 0):
        random.seed(seed)
        orders.append(read_imdb())
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    labels = [label for _, label in orders[0]]
    assert 0 < sum(labels[:15]) < 15  # mixed: not the positive ones first
    positives = [text for text, label in orders[0] if label]
    assert positives != sorted(positives)


def test_the_files_are_taken_by_name_before_they_are_shuffled(book, monkeypatch):
    """Else one seed would give several orders: a folder lists its files in an order of its own."""
    write_reviews(book, {("train", "pos"): [f"{i:02}" for i in range(12)], ("train", "neg"): ["no"]})
    monkeypatch.setattr(random, "shuffle", lambda rows: None)
    expected = [text for _, text in sorted((f"{i}_7.txt", f"{i:02}") for i in range(12))]
    glob = Path.glob
    for turn in (list, lambda paths: list(paths)[::-1]):
        monkeypatch.setattr(Path, "glob", lambda path, pattern, turn=turn: turn(glob(path, pattern)))
        assert [text for text, label in read_imdb() if label] == expected


@pytest.mark.parametrize("place", ["environment", "work/data", "cache/gluonbook"])
def test_a_folder_or_an_archive_is_read_from_each_place(isolated, hub, monkeypatch, place):
    monkeypatch.setenv("GLUONBOOK_DATA", str(isolated / "environment"))
    folder = isolated / place
    folder.mkdir(parents=True)
    (folder / "aclImdb_v1.tar.gz").write_bytes(archive(place))
    assert [place, 1] in read_imdb("test")
    assert sorted(os.listdir(folder)) == ["aclImdb", "aclImdb_v1.tar.gz"]  # unpacked where it lies
    (folder / "aclImdb_v1.tar.gz").unlink()
    assert [place, 1] in read_imdb("test")
    assert hub.asked == []


def test_a_missing_set_is_downloaded_once(isolated, hub):
    hub.pages["/aclImdb_v1.tar.gz"] = archive()
    assert [len(read_imdb(split)) for split in ("train", "test", "train")] == [6, 3, 6]
    assert hub.asked == ["/aclImdb_v1.tar.gz"]
    assert sorted(os.listdir(_files.cache_folder())) == ["aclImdb", "aclImdb_v1.tar.gz"]


@pytest.mark.parametrize("folder", ["val", "pos", "", "Train"])
def test_another_part_is_refused_before_anything_is_looked_for(isolated, hub, folder):
    with pytest.raises(ValueError, match=f"^folder must be one of train, test; got '{folder}'$"):
        read_imdb(folder)
    assert hub.asked == []


@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_or_empty_part_is_told(book, empty):
    folder = write_reviews(book, {key: texts for key, texts in REVIEWS.items() if key != ("train", "neg")})
    if empty:
        (folder / "train" / "neg").mkdir()
        (folder / "train" / "neg" / "urls.log").touch()
    told = r"\.\./data/aclImdb/train/neg holds no reviews \(\*\.txt\): unpack aclImdb_v1\.tar\.gz again"
    with pytest.raises(ValueError, match=f"^{told}$"):
        read_imdb()
    assert len(read_imdb("test")) == 3


def test_a_review_that_is_not_utf8_is_told_with_the_byte(book):
    folder = write_reviews(book)
    (folder / "train" / "pos" / "1_7.txt").write_bytes("abc très".encode("latin-1"))
    with pytest.raises(ValueError, match=r"^\.\./data/aclImdb/train/pos/1_7\.txt is not UTF-8: byte 6$"):
        read_imdb()


# ---- tokens and vocabulary ----


def test_reviews_are_split_at_single_spaces():
    pairs = [["A Fine  film, so!", 1], ("UND", 0), ["", 0], [" a", 1], ["a\tb", 1]]
    assert get_tokenized_imdb(pairs) == [["a", "fine", "", "film,", "so!"], ["und"], [""], ["", "a"], ["a\tb"]]
    assert get_tokenized_imdb([]) == []


def test_tokens_are_counted():
    counted = count_tokens([["so", "so", "good"], [], ["good", "so"]])
    assert type(counted) is collections.Counter
    assert counted == {"so": 3, "good": 2}
    assert count_tokens([]) == {}
    assert count_tokens(iter([iter("aab")])) == {"a": 2, "b": 1}


@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=8), max_size=8))
def test_counts_equal_those_of_mxnet(samples):
    text = "\n".join(" ".join(tokens) for tokens in samples)
    assert count_tokens(samples) == mx.contrib.text.utils.count_tokens_from_str(text)


def reviews_of(counts):
    """Reviews in which each token occurs as often as said, no two alike."""
    return [[" ".join([token] * count), i % 2] for i, (token, count) in enumerate(counts.items())]


def test_the_vocabulary_is_of_tokens_that_occur_five_times_the_most_frequent_first():
    vocab = get_vocab_imdb(reviews_of({"four": 4, "five": 5, "nine": 9, "six": 6, "Six": 1, "one": 1}))
    assert vocab.idx_to_token == ["<unk>", "nine", "six", "five"]
    assert vocab.token_to_idx == {"<unk>": 0, "nine": 1, "six": 2, "five": 3}
    assert vocab.to_indices(["four", "FIVE", "five", "never"]) == [0, 0, 3, 0]
    assert type(vocab) is mx.contrib.text.vocab.Vocabulary
    assert len(vocab) == 4


def test_a_vocabulary_of_nothing_knows_the_unknown_token():
    assert get_vocab_imdb([]).idx_to_token == ["<unk>"]


def test_the_vocabulary_is_the_same_in_every_process():
    code = (
        "import gluonbook as gb\n"
        "words = [f'w{i * 7919 % 101}' for i in range(101)]\n"
        "print(*gb.get_vocab_imdb([[' '.join(words * 5), 1], [' '.join(words[:30]), 0]]).idx_to_token)"
    )
    orders = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        paths = [str(Path(data.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        command = [sys.executable, "-W", "ignore", "-c", code]
        orders.add(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    (order,) = orders
    assert len(order.split()) == 102


# ---- indices ----


@pytest.fixture
def vocab():
    return get_vocab_imdb(reviews_of({"a": 7, "b": 6, "c": 5}))


def test_reviews_become_500_indices_each(vocab):
    features, labels = preprocess_imdb([["a b x c", 1], ["", 0], ["B a  a", 0]], vocab)
    assert (features.shape, labels.shape) == ((3, 500), (3,))
    assert (features.dtype, labels.dtype) == (np.float32, np.float32)
    assert (features.context, labels.context) == (mx.cpu(0), mx.cpu(0))
    assert features[:, :5].asnumpy().tolist() == [[1, 2, 0, 3, 0], [0, 0, 0, 0, 0], [2, 1, 0, 1, 0]]
    assert not features[:, 5:].asnumpy().any()
    assert labels.asnumpy().tolist() == [1, 0, 0]


@pytest.mark.parametrize("length", [1, 499, 500, 501, 1200])
def test_long_reviews_lose_their_end_and_short_ones_are_filled(vocab, length):
    tokens = random.Random(length).choices("abcx", k=length)
    features, _ = preprocess_imdb([[" ".join(tokens), 1]], vocab)
    expected = [{"a": 1, "b": 2, "c": 3, "x": 0}[token] for token in tokens[:500]] + [0] * (500 - length)
    assert features[0].asnumpy().tolist() == expected


@given(st.lists(st.tuples(st.text(alphabet="abx  ", max_size=30), st.integers(0, 1)), min_size=1, max_size=5))
def test_indices_lead_back_to_the_tokens(pairs):
    vocab = get_vocab_imdb(reviews_of({"a": 6, "b": 5, "": 1}))
    features, labels = preprocess_imdb(pairs, vocab)
    assert labels.asnumpy().tolist() == [label for _, label in pairs]
    for row, (text, _) in zip(features.asnumpy().astype(int).tolist(), pairs):
        tokens = text.split(" ")
        known = [token if token in ("a", "b") else "<unk>" for token in tokens]
        assert vocab.to_tokens(row)[: len(tokens)] == known
        assert set(row[len(tokens) :]) <= {0}


def test_no_reviews_are_refused(vocab):
    with pytest.raises(ValueError, match=r"^data must hold at least one review, got none$"):
        preprocess_imdb([], vocab)


def test_indices_of_large_vocabularies_are_exact():
    """float32 holds whole numbers up to 2**24; the book's vocabulary has 46,152 tokens."""

    class Vocab:
        def to_indices(self, tokens):
            return [2**24 - 1 - int(token) for token in tokens]

    features, _ = preprocess_imdb([["0 1 2", 1]], Vocab())
    assert features[0, :3].asnumpy().astype(int).tolist() == [2**24 - 1, 2**24 - 2, 2**24 - 3]
