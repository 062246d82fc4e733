"""Claims 16.1, 16.2 and 16.7: how a corpus is cut into adjacent and into random batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gluonbook._mxnet import load
from gluonbook.lyrics import batches_adjacent, batches_random

BOTH = pytest.mark.parametrize("batches", [batches_adjacent, batches_random])


@st.composite
def cuts(draw):
    """A corpus long enough for a batch, with N and T."""
    N, T = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    return draw(st.integers(N * (T + 1), N * (T + 1) + 60)), N, T


def as_lists(batches):
    return [(X.tolist(), Y.tolist()) for X, Y in batches]


def slow_adjacent(corpus, N, T):
    """Token by token."""
    length = len(corpus) // N
    return [
        tuple([[corpus[row * length + k * T + t + shift] for t in range(T)] for row in range(N)] for shift in (0, 1))
        for k in range((length - 1) // T)
    ]


def slow_windows(corpus, T):
    """Each window of T that does not overlap another and has a character after it."""
    windows, start = [], 0
    while start + T < len(corpus):
        windows.append((list(corpus[start : start + T]), list(corpus[start + 1 : start + T + 1])))
        start += T
    return windows


def test_claim_16_1_the_label_of_9_10_11_is_10_11_12():
    X, Y = list(batches_adjacent(range(30), batch_size=1, num_steps=3))[3]
    assert (X.tolist(), Y.tolist()) == ([[9, 10, 11]], [[10, 11, 12]])
    windows = [(X[0].tolist(), Y[0].tolist()) for X, Y in batches_random(range(30), 1, 3, seed=0)]
    assert ([9, 10, 11], [10, 11, 12]) in windows


@given(cuts(), st.integers(0, 3))
def test_claim_16_1_labels_are_data_shifted_by_one(cut, seed):
    L, N, T = cut
    corpus = np.random.default_rng(L).integers(0, 1000, L)
    places = {(a, b) for a, b in zip(corpus[:-1], corpus[1:])}
    for X, Y in [*batches_adjacent(corpus, N, T), *batches_random(corpus, N, T, seed)]:
        np.testing.assert_array_equal(X[:, 1:], Y[:, :-1])
        assert {(x, y) for x, y in zip(X[:, -1], Y[:, -1])} <= places


def test_claim_16_2_the_table_of_0_to_29_with_batch_2_and_6_steps():
    (X1, Y1), (X2, Y2) = batches_adjacent(range(30), batch_size=2, num_steps=6)
    assert X1.tolist() == [[0, 1, 2, 3, 4, 5], [15, 16, 17, 18, 19, 20]]
    assert Y1.tolist() == [[1, 2, 3, 4, 5, 6], [16, 17, 18, 19, 20, 21]]
    assert X2.tolist() == [[6, 7, 8, 9, 10, 11], [21, 22, 23, 24, 25, 26]]
    assert Y2.tolist() == [[7, 8, 9, 10, 11, 12], [22, 23, 24, 25, 26, 27]]


@given(cuts())
def test_claim_16_2_row_i_continues_row_i_of_the_batch_before(cut):
    L, N, T = cut
    batches = list(batches_adjacent(range(L), N, T))
    assert [X[0, 0] for X, _ in batches[:1]] == [0]
    for (_, before), (X, _) in zip(batches, batches[1:]):
        np.testing.assert_array_equal(X[:, 0], before[:, -1])


@given(cuts())
def test_adjacent_batches_equal_a_slow_loop(cut):
    L, N, T = cut
    assert as_lists(batches_adjacent(range(L), N, T)) == slow_adjacent(range(L), N, T)


@given(cuts(), st.integers(0, 3))
def test_random_batches_hold_windows_of_a_slow_loop_each_at_most_once(cut, seed):
    L, N, T = cut
    dealt = [(x, y) for X, Y in as_lists(batches_random(range(L), N, T, seed)) for x, y in zip(X, Y)]
    windows = slow_windows(range(L), T)
    assert all(window in windows for window in dealt)
    assert len({x[0] for x, _ in dealt}) == len(dealt) == len(windows) // N * N


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.data())
def test_random_batches_cover_each_window_exactly_once(N, T, num_batches, data):
    L = N * T * num_batches + data.draw(st.integers(1, T))  # the windows fill the batches
    starts = [x[0] for X, _ in as_lists(batches_random(range(L), N, T, seed=0)) for x in X]
    assert sorted(starts) == list(range(0, N * T * num_batches, T))


def test_random_batches_leave_out_other_windows_with_other_seeds():
    left_out = set()
    for seed in range(20):  # 5 windows, 4 of them in a batch
        starts = [x[0] for X, _ in as_lists(batches_random(range(11), 4, 2, seed)) for x in X]
        left_out |= {0, 2, 4, 6, 8} - set(starts)
    assert left_out == {0, 2, 4, 6, 8}


def test_random_batches_are_equal_for_the_same_seed_and_differ_for_others():
    dealt = [as_lists(batches_random(range(200), 4, 5, seed)) for seed in (1, 1, 2)]
    assert dealt[0] == dealt[1]
    assert dealt[0] != dealt[2]


def test_random_batches_without_a_seed_follow_numpys_global_generator():
    dealt = []
    for seed in (5, 5, 6):
        np.random.seed(seed)
        dealt.append(as_lists(batches_random(range(200), 4, 5)))
    assert dealt[0] == dealt[1]
    assert dealt[0] != dealt[2]


@given(cuts())
def test_claim_16_7_the_number_of_iterations_in_an_epoch(cut):
    L, N, T = cut
    assert len(list(batches_adjacent(range(L), N, T))) == (L // N - 1) // T
    assert len(list(batches_random(range(L), N, T))) == (L - 1) // T // N


def test_claim_16_7_the_arithmetic_of_the_notes_corpus():
    """10,000 characters, batch 32, 35 steps: 312 characters a row, 8 iterations an epoch of either kind."""
    for batches in (batches_adjacent, batches_random):
        epoch = list(batches(range(10_000), 32, 35))
        assert len(epoch) == 8
        assert sum(X.size for X, _ in epoch) == 8 * 32 * 35


@BOTH
def test_batches_are_int32_of_the_right_shape(batches):
    for X, Y in batches(np.arange(100), 3, 4):
        assert X.shape == Y.shape == (3, 4)
        assert X.dtype == Y.dtype == np.int32


@BOTH
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_whole_numbers_of_any_dtype_are_taken(batches, dtype):
    corpus = np.arange(40)
    np.random.seed(0)
    expected = as_lists(batches(corpus, 2, 3))
    np.random.seed(0)
    assert as_lists(batches(corpus.astype(dtype), 2, 3)) == expected


@BOTH
def test_the_shortest_corpus_gives_one_batch(batches):
    """Adjacent rows need their own last label each; random windows share theirs with the next window."""
    shortest = {batches_adjacent: 2 * 7, batches_random: 2 * 6 + 1}[batches]
    assert len(list(batches(range(shortest), 2, 6))) == 1
    with pytest.raises(ValueError, match=f"need {shortest} tokens, got {shortest - 1}; take fewer rows"):
        batches(range(shortest - 1), 2, 6)


@BOTH
def test_an_empty_corpus_is_refused_with_both_lengths(batches):
    with pytest.raises(ValueError, match=r"corpus is too short for one batch: .* need 2 tokens, got 0"):
        batches([], 1, 1)


@BOTH
@pytest.mark.parametrize(
    ("corpus", "error", "message"),
    [
        ([0, 1, -2, 3], ValueError, r"corpus\[2\] must be at least 0, got -2"),
        ([0, float("nan"), 2], TypeError, "corpus must hold whole numbers, got dtype float64"),
        ([0, 1.5, 2], TypeError, "corpus must hold whole numbers, got dtype float64"),
        (["a", "b", "c"], TypeError, "corpus must hold whole numbers, got dtype <U1"),
        ([True, False, True], TypeError, "corpus must hold whole numbers, got dtype bool"),
        ([None, 1, 2], TypeError, "corpus must hold whole numbers, got dtype object"),
        (np.zeros((3, 4)), ValueError, r"corpus must be one row of indices, \(L,\), got shape \(3, 4\)"),
        ("abc", ValueError, r"corpus must be one row of indices, \(L,\), got shape \(\)"),
    ],
)
def test_what_is_no_row_of_indices_is_refused(batches, corpus, error, message):
    with pytest.raises(error, match=message):
        batches(corpus, 1, 1)


@BOTH
@pytest.mark.parametrize("value", [2**31, float("inf")])
def test_an_index_that_is_too_large_is_not_called_too_small(batches, value):
    with pytest.raises(ValueError, match=r"corpus\[1\] must be") as error:
        batches([0, value, 2], 1, 1)
    assert "must be at least 0, got" not in str(error.value)


@BOTH
@pytest.mark.parametrize("name", ["batch_size", "num_steps"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-3, ValueError), (2.0, TypeError), ("2", TypeError)])
def test_a_wrong_batch_size_or_number_of_steps_is_refused(batches, name, value, error):
    with pytest.raises(error, match=f"{name} must be .*, got {value!r}"):
        batches(range(100), **{"batch_size": 2, "num_steps": 3, name: value})


def test_a_wrong_seed_is_refused_by_name():
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        batches_random(range(100), 2, 3, seed=-1)


def test_d2l_cuts_the_same_windows():
    """d2l 1.0 holds every window of the corpus: row ``i`` of batch ``k`` is the one that starts at its first token."""
    pytest.importorskip("d2l")
    load()  # restores the NumPy names before d2l imports MXNet
    from d2l import mxnet as d2l

    class Numbers(d2l.TimeMachine):
        def _download(self):
            return ""

        def build(self, raw_text, vocab=None):
            return list(range(30)), None

    N, T = 2, 6
    theirs = Numbers(N, T)
    X, Y = theirs.X.asnumpy().astype(int), theirs.Y.asnumpy().astype(int)
    adjacent = list(batches_adjacent(range(30), N, T))
    for k, (ours_X, ours_Y) in enumerate(adjacent):
        places = [row * (30 // N) + k * T for row in range(N)]
        np.testing.assert_array_equal(ours_X, X[places])
        np.testing.assert_array_equal(ours_Y, Y[places])
    ours = [(x, y) for batch in batches_random(range(30), N, T, seed=0) for x, y in zip(*map(np.ndarray.tolist, batch))]
    assert sorted(ours) == [(x, y) for x, y in zip(X[:24:T].tolist(), Y[:24:T].tolist())]
