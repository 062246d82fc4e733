"""The airfoil set is read line by line, and standardised as a slow computation would."""

import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import gluonbook as gb
from gluonbook import data
from gluonbook._mxnet import mx
from gluonbook.data import airfoil
from gluonbook.data.airfoil import get_data_ch7, read_airfoil

# Rows in the form of NASA's file: tabs between the columns.
TABLE = """800\t0\t0.3048\t71.3\t0.00266337\t126.201
1000\t1.5\t0.2286\t39.6\t0.00281573\t125.201
1250\t4\t0.1016\t31.7\t0.00519617\t125.951
"""
VALUES = [
    [800, 0, 0.3048, 71.3, 0.00266337, 126.201],
    [1000, 1.5, 0.2286, 39.6, 0.00281573, 125.201],
    [1250, 4, 0.1016, 31.7, 0.00519617, 125.951],
]


def put(text, name="airfoil_self_noise.dat"):
    """The file where the book has it."""
    folder = Path("..", "data")
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


@pytest.fixture
def hub(isolated, served, monkeypatch):
    """The set's address is on the test's web server."""
    one = airfoil.AIRFOIL
    digest = "sha1:" + hashlib.sha1(TABLE.encode()).hexdigest()
    urls = (f"{served.root}/{one.filename}",)
    monkeypatch.setattr(airfoil, "AIRFOIL", data.fetch.Dataset(one.name, one.filename, urls, digest, one.embedded))
    return served


@pytest.mark.parametrize("text", [TABLE, TABLE.replace("\t", "  "), TABLE.replace("\n", "\r\n"), f"\n{TABLE}\n \n"])
def test_a_table_is_read_line_by_line(isolated, text):
    put(text)
    table = read_airfoil()
    np.testing.assert_array_equal(table, VALUES)
    assert table.dtype == np.float64


def test_a_path_is_the_file_or_its_folder_and_goes_first(isolated):
    put("1 2 3 4 5 6\n")
    (isolated / "airfoil_self_noise.dat").write_text("2 2 3 4 5 6\n")
    (isolated / "other.dat").write_text("3 2 3 4 5 6\n")
    paths = [None, isolated, isolated / "other.dat"]
    assert [read_airfoil(path).tolist() for path in paths] == [[[first, 2, 3, 4, 5, 6]] for first in (1, 2, 3)]


def slow(rows):
    """Each column minus its mean, over the root of its mean square deviation: the population's, not the sample's."""
    columns = []
    for column in zip(*rows):
        mean = math.fsum(column) / len(column)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in column) / len(column))
        columns.append([(value - mean) / std for value in column])
    return list(zip(*columns))


def test_features_and_labels_by_hand(isolated):
    """Two rows: each column is -1 and 1 by the population's deviation, and would be ±0.71 by the sample's."""
    put("1 10 0 5 2 100\n3 30 1 4 1 200\n")
    features, labels = get_data_ch7()
    np.testing.assert_allclose(features.asnumpy(), [[-1, -1, -1, 1, 1], [1, 1, 1, -1, -1]], atol=1e-6)
    np.testing.assert_allclose(labels.asnumpy(), [-1, 1], atol=1e-6)


def test_features_and_labels_equal_a_slow_computation(isolated):
    put(TABLE)
    features, labels = get_data_ch7()
    assert (features.shape, labels.shape) == ((3, 5), (3,))
    assert (features.dtype, labels.dtype) == (np.float32, np.float32)
    assert (features.context, labels.context) == (mx.cpu(0), mx.cpu(0))
    expected = np.array(slow(VALUES))
    np.testing.assert_allclose(features.asnumpy(), expected[:, :5], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(labels.asnumpy(), expected[:, 5], rtol=1e-6, atol=1e-7)


@given(npst.arrays(np.float64, st.tuples(st.integers(2, 30), st.just(6)), elements=st.floats(-1e4, 1e4, width=16)))
@settings(deadline=None, max_examples=30)
def test_every_column_has_mean_0_and_deviation_1(tmp_path_factory, table):
    if (table.max(axis=0) == table.min(axis=0)).any():
        table = table + np.arange(len(table))[:, None] * 1e6  # no column is constant
    folder = tmp_path_factory.getbasetemp()
    (folder / "airfoil_self_noise.dat").write_text("\n".join("\t".join(map(repr, row)) for row in table.tolist()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLUONBOOK_DATA", str(folder))
        features, labels = get_data_ch7()
    both = np.column_stack([features.asnumpy(), labels.asnumpy()]).astype(np.float64)
    np.testing.assert_allclose(both.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(both.std(axis=0), 1, rtol=1e-5)


def test_rows_stay_in_the_files_order(isolated):
    put("".join(f"{i} {i} {i} {i} {i} {i}\n" for i in (3, 1, 4, 1.5, 9)))
    _, labels = get_data_ch7()
    assert labels.asnumpy().argsort().tolist() == [1, 3, 0, 2, 4]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 2 3 4 5 6\n1 2 3 4 5\n", "line 2 must be 6 numbers, got '1 2 3 4 5'"),
        ("1 2 3 4 5 6 7\n", "line 1 must be 6 numbers, got '1 2 3 4 5 6 7'"),
        ("\n\n1 2 3 4 5 x\n", "line 3 must be 6 numbers, got '1 2 3 4 5 x'"),
        ("1,2,3,4,5,6\n", "line 1 must be 6 numbers, got '1,2,3,4,5,6'"),
        ("1 2 3 4 5 nan\n", "line 1 must be 6 numbers, got '1 2 3 4 5 nan'"),
        ("1 2 3 inf 5 6\n", "line 1 must be 6 numbers, got '1 2 3 inf 5 6'"),
        ("<html>404</html>\n", "line 1 must be 6 numbers, got '<html>404</html>'"),
        ("1 2 3 4 5 6\n" + "7" * 99 + "\n", f"line 2 must be 6 numbers, got '{'7' * 79}"),
    ],
)
def test_a_line_that_is_no_row_is_told_with_its_number(isolated, text, told):
    file = put(text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))}, {re.escape(told)}$"):
        read_airfoil()


def test_a_file_that_is_no_text_is_told_with_its_name(isolated):
    put("").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"airfoil_self_noise\.dat, line 1 must be 6 numbers, got "):
        read_airfoil()


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_told(isolated, text):
    put(text)
    with pytest.raises(ValueError, match=r"airfoil_self_noise\.dat is empty$"):
        get_data_ch7()


@pytest.mark.parametrize("column", [0, 3, 5])
def test_a_constant_column_is_refused(isolated, column):
    rows = [[1.0, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7]]
    rows[1][column] = rows[0][column]
    put("".join(" ".join(map(str, row)) + "\n" for row in rows))
    with pytest.raises(ValueError, match=f"^column {column} of the airfoil set is constant: it has no spread$"):
        get_data_ch7()


def test_it_is_downloaded_once(hub):
    hub.pages["/airfoil_self_noise.dat"] = TABLE.encode()
    for _ in range(2):
        assert get_data_ch7()[0].shape == (3, 5)
    assert hub.asked == ["/airfoil_self_noise.dat"]


def test_the_error_names_the_file_and_the_next_best_set(hub):
    hub.pages["/airfoil_self_noise.dat"] = b"other"
    with pytest.raises(data.DataNotFound) as error:
        get_data_ch7()
    first, *looked, last = str(error.value).splitlines()
    assert first == "the data set airfoil (airfoil_self_noise.dat) was found in none of these places:"
    assert "  book's folder: ../data/airfoil_self_noise.dat" in looked
    assert re.search(rf"download: {hub.root}/airfoil_self_noise\.dat \(.*hash", looked[-1])
    assert last == (
        "Put the file into one of these folders by hand, or use scikit-learn's diabetes set "
        "(sklearn.datasets.load_diabetes), which needs no network"
    )


def test_the_next_best_set_exists():
    diabetes = pytest.importorskip("sklearn.datasets").load_diabetes()
    assert (diabetes.data.shape, diabetes.target.shape) == ((442, 10), (442,))


def test_the_address_and_the_digest_are_those_of_d2l():
    url, digest = pytest.importorskip("d2l.mxnet").DATA_HUB["airfoil"]
    assert airfoil.AIRFOIL.urls[0] == url
    assert airfoil.AIRFOIL.digest == f"sha1:{digest}"


def test_it_is_a_public_name():
    assert gb.get_data_ch7 is get_data_ch7
