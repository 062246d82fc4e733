"""The search for hyper-parameters: its draws, its files, how it goes on after a stop, and how it narrows a range."""

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tqdm.auto
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gluonbook import search
from gluonbook.search import Choice, LogUniform, Trial, Uniform, best, coarse_to_fine, draw, narrow, random_search

SPACE = {
    "lr": LogUniform(1e-6, 1e2),
    "momentum": Uniform(-1, 3),
    "units": Choice((16, 32, 64)),
}


def quality(lr, momentum, units):
    """The better, the nearer lr is to 0.01."""
    return -abs(math.log10(lr) + 2) + momentum / 100 + units / 1e4


class Counted:
    """An evaluation that notes what it was asked, and raises an error at one of its calls."""

    def __init__(self, at=None, error=None, function=quality):
        self.asked, self.at, self.error, self.function = [], at, error, function

    def __call__(self, **settings):
        self.asked.append(settings)
        if len(self.asked) - 1 == self.at:
            raise self.error
        return self.function(**settings)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


# ---- draws ----


def test_a_trials_settings_depend_on_seed_and_number_alone():
    in_order = [draw(SPACE, 3, number) for number in range(20)]
    assert [draw(SPACE, 3, number) for number in reversed(range(20))] == in_order[::-1]
    np.random.seed(0)
    trials = random_search(quality, SPACE, 20, seed=3)
    assert [trial.settings for trial in trials] == in_order
    assert [trial.number for trial in trials] == list(range(20))
    assert [trial.settings for trial in random_search(quality, SPACE, 7, seed=3)] == in_order[:7]


def test_every_trial_and_every_seed_draws_anew():
    drawn = [draw(SPACE, seed, number)["lr"] for seed in range(10) for number in range(50)]
    assert len(set(drawn)) == len(drawn)


def test_the_order_in_which_a_space_names_its_settings_does_not_matter():
    for number in range(5):
        reordered = draw({name: SPACE[name] for name in reversed(SPACE)}, 0, number)
        assert reordered == draw(SPACE, 0, number)
        assert list(reordered) == ["units", "momentum", "lr"]


def test_settings_of_one_range_are_drawn_apart():
    twins = draw({"a": Uniform(0, 1), "b": Uniform(0, 1)}, 0, 0)
    assert twins["a"] != twins["b"]


@pytest.mark.parametrize("hashes", ["1", "2"])
def test_another_process_draws_the_same(hashes):
    code = (
        "import json; from gluonbook.search import *; "
        "space = dict(lr=LogUniform(1e-6, 1e2), momentum=Uniform(-1, 3), units=Choice((16, 32, 64))); "
        "print(json.dumps([draw(space, 4, i) for i in range(10)]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hashes}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert json.loads(result.stdout) == [draw(SPACE, 4, number) for number in range(10)]


def test_a_search_needs_no_mxnet():
    code = (
        "import sys; from gluonbook.search import *; random_search(lambda x: x, dict(x=Uniform(0, 1)), 1); "
        "print('mxnet' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


COUNT = 3000
DRAWN = {name: np.array([draw(SPACE, 0, number)[name] for number in range(COUNT)]) for name in SPACE}


def test_a_uniform_setting_is_spread_evenly():
    """Kolmogorov-Smirnov, at one seed: of right draws one in 20 seeds gives a p below 0.05."""
    assert -1 <= DRAWN["momentum"].min() < -0.99
    assert 2.99 < DRAWN["momentum"].max() <= 3
    assert stats.kstest(DRAWN["momentum"], stats.uniform(-1, 4).cdf).pvalue > 0.05


def test_the_logarithm_of_a_log_uniform_setting_is_spread_evenly():
    assert 1e-6 <= DRAWN["lr"].min() < 1.1e-6
    assert 90 < DRAWN["lr"].max() <= 1e2
    assert stats.kstest(DRAWN["lr"], stats.loguniform(1e-6, 1e2).cdf).pvalue > 0.05
    for low in range(-6, 2):  # an eighth in each decade: 375, with a deviation of 18
        assert abs(np.sum((10.0**low <= DRAWN["lr"]) & (DRAWN["lr"] < 10.0 ** (low + 1))) - COUNT / 8) < 4 * 18


def test_each_choice_is_as_likely():
    counts = [int((DRAWN["units"] == value).sum()) for value in (16, 32, 64)]
    assert sum(counts) == COUNT
    assert stats.chisquare(counts).pvalue > 0.05


def test_settings_do_not_go_with_each_other():
    for a, b in (("lr", "momentum"), ("lr", "units"), ("momentum", "units")):
        assert abs(stats.spearmanr(DRAWN[a], DRAWN[b]).statistic) < 4 / math.sqrt(COUNT)


@settings(max_examples=60, deadline=None)
@given(
    ends=st.tuples(st.floats(1e-30, 1e30), st.floats(1e-30, 1e30)),
    seed=st.integers(0, 2**40),
    number=st.integers(0, 10**6),
)
def test_draws_are_plain_numbers_within_the_range(ends, seed, number):
    low, high = sorted(ends)
    found = draw({"a": LogUniform(low, high), "b": Uniform(low, high)}, seed, number)
    assert (type(found["a"]), type(found["b"])) == (float, float)
    assert low <= found["a"] <= high
    assert low <= found["b"] <= high


def test_a_range_of_one_value_gives_that_value():
    space = {"a": Uniform(2, 2), "b": LogUniform(8, 8), "c": Choice(("only",))}
    for number in range(3):
        assert draw(space, 0, number) == {"a": 2, "b": 8, "c": "only"}


def test_a_choice_may_be_anything():
    value = object()
    assert draw({"layer": Choice((value,))}, 0, 0)["layer"] is value


# ---- a search ----


def test_each_setting_is_a_keyword_and_each_score_is_kept():
    counted = Counted()
    trials = random_search(counted, SPACE, 5)
    assert counted.asked == [trial.settings for trial in trials]
    assert [trial.score for trial in trials] == [quality(**asked) for asked in counted.asked]
    assert all(type(trial.score) is float for trial in trials)


def test_a_score_may_be_any_number():
    scores = iter([1, np.float32(0.5), np.array([2.0]), True])
    trials = random_search(lambda x: next(scores), {"x": Uniform(0, 1)}, 4)
    assert [trial.score for trial in trials] == [1, 0.5, 2, 1]


def test_a_search_finds_what_is_good():
    """The best of 60 over eight decades is within half a decade of 0.01 but for one seed in 2000: (1 − 1/8)^60."""
    found = best(random_search(quality, SPACE, 60))
    assert abs(math.log10(found.settings["lr"]) + 2) < 0.5


@pytest.mark.parametrize(
    ("scores", "number"),
    [([1, 3, 2], 1), ([2, 2, 1], 0), ([-math.inf, -5], 1), ([-math.inf, -math.inf], 0), ([0], 0)],
)
def test_the_best_has_the_highest_score_and_of_equals_is_the_first(scores, number):
    trials = [Trial(i, {"x": i}, score) for i, score in enumerate(scores)]
    assert best(trials) is trials[number]


def test_the_best_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^trials must be at least one, got none$"):
        best([])


@pytest.mark.parametrize(
    ("score", "told"),
    [(math.nan, "the score is nan"), (math.inf, "the score is inf"), (-math.inf, "the score is -inf")],
)
@pytest.mark.parametrize("kept", [False, True])
def test_a_score_that_is_not_finite_is_that_of_a_failure(isolated, score, told, kept):
    path = isolated / "search.json" if kept else None
    message = rf"^trial 0 with \{{'x': 0\.\d+\}} failed: {told}$"
    with pytest.warns(UserWarning, match=message) as warned:
        (trial,) = random_search(lambda x: score, {"x": Uniform(0, 1)}, 1, path=path)
    assert (len(warned), trial.score) == (1, -math.inf)
    if kept:
        assert read(path)["trials"][0]["score"] is None
        assert random_search(lambda x: 1 / 0, {"x": Uniform(0, 1)}, 1, path=path) == [trial]


@pytest.mark.parametrize("error", [ArithmeticError("the loss is nan"), OverflowError("too large"), ZeroDivisionError()])
def test_a_training_that_fails_is_told_and_the_search_goes_on(isolated, error):
    path, counted = isolated / "search.json", Counted(at=1, error=error)
    with pytest.warns(UserWarning, match=rf"^trial 1 with \{{'lr': .+\}} failed: {error}$") as warned:
        trials = random_search(counted, SPACE, 3, path=path)
    assert len(warned) == 1
    assert warned[0].filename == __file__  # the line that asked for the search
    assert trials[1].score == -math.inf
    assert all(math.isfinite(trials[i].score) for i in (0, 2))
    assert [trial["score"] is None for trial in read(path)["trials"]] == [False, True, False]
    assert random_search(Counted(at=0, error=AssertionError), SPACE, 3, path=path) == trials


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"num_trials": 0}, ValueError, "num_trials must be at least 1, got 0"),
        ({"num_trials": 2.0}, TypeError, r"num_trials must be a whole number, got 2\.0 \(float\)"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"space": {}}, ValueError, "space must have at least one setting, got none"),
        ({"space": {"lr": LogUniform(0, 1)}}, ValueError, r"lr\.low must be above 0, got 0"),
        ({"space": {"lr": LogUniform(-1, 1)}}, ValueError, r"lr\.low must be above 0, got -1"),
        ({"space": {"lr": LogUniform(2, 1)}}, ValueError, r"lr\.high must be at least 2, got 1"),
        ({"space": {"lr": Uniform(2, 1)}}, ValueError, r"lr\.high must be at least 2, got 1"),
        ({"space": {"lr": Uniform(0, math.inf)}}, ValueError, r"lr\.high must be at least 0, got inf"),
        ({"space": {"lr": Uniform(math.nan, 1)}}, ValueError, r"lr\.low must be finite, got nan"),
        ({"space": {"lr": Uniform("0", 1)}}, TypeError, r"lr\.low must be a number, got '0' \(str\)"),
        ({"space": {"lr": Choice(())}}, ValueError, "number of values of lr must be at least 1, got 0"),
        (
            {"space": {"lr": (0.1, 1)}},
            TypeError,
            r"lr must be a LogUniform, a Uniform or a Choice, got \(0\.1, 1\)",
        ),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_tried(arguments, error, told):
    counted = Counted()
    with pytest.raises(error, match=f"^{told}$"):
        random_search(counted, **{"space": SPACE, "num_trials": 1, **arguments})
    assert counted.asked == []


@pytest.mark.parametrize(("progress", "disable"), [(False, True), (True, None)])  # None: shown in a terminal
def test_a_bar_counts_the_trials_from_where_the_search_goes_on(isolated, monkeypatch, progress, disable):
    made = []

    class Bar(tqdm.tqdm):
        def __init__(self, **how):
            made.append((self, how))
            super().__init__(**{**how, "disable": False, "file": open(os.devnull, "w")})  # noqa: SIM115

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    random_search(quality, SPACE, 2, path="search.json", progress=progress)
    random_search(quality, SPACE, 5, path="search.json", progress=progress)
    assert [(bar.n, bar.total, how["initial"], how["disable"]) for bar, how in made] == [
        (2, 2, 0, disable),
        (5, 5, 2, disable),
    ]


def test_nothing_is_printed(capfd):
    random_search(quality, SPACE, 3)
    assert capfd.readouterr() == ("", "")


# ---- its file ----


def test_a_file_tells_the_search_and_its_trials(isolated):
    trials = random_search(quality, SPACE, 2, seed=5, path="search.json")
    assert read(isolated / "work" / "here" / "search.json") == {
        "seed": 5,
        "space": {
            "lr": ["LogUniform", 1e-6, 100],
            "momentum": ["Uniform", -1, 3],
            "units": ["Choice", 16, 32, 64],
        },
        "trials": [{"number": i, "settings": t.settings, "score": t.score} for i, t in enumerate(trials)],
    }


def test_the_file_is_there_after_each_trial_with_all_up_to_it(isolated):
    path, seen = isolated / "deep" / "search.json", []

    def watched(**settings):
        seen.append(len(read(path)["trials"]) if path.exists() else None)
        return quality(**settings)

    random_search(watched, SPACE, 3, path=path)
    assert seen == [None, 1, 2]
    assert len(read(path)["trials"]) == 3
    assert os.listdir(path.parent) == ["search.json"]


@pytest.mark.parametrize("error", [RuntimeError("no memory"), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("k", [0, 1, 4])
def test_a_search_that_was_stopped_goes_on_to_the_same_trials(isolated, k, error):
    whole = random_search(quality, SPACE, 6, seed=2)
    path = isolated / "search.json"
    with pytest.raises(type(error)):
        random_search(Counted(at=k, error=error), SPACE, 6, seed=2, path=path)
    assert path.exists() is (k > 0)
    counted = Counted()
    assert random_search(counted, SPACE, 6, seed=2, path=path) == whole
    assert counted.asked == [trial.settings for trial in whole[k:]]
    again = Counted()
    assert random_search(again, SPACE, 6, seed=2, path=str(path)) == whole
    assert again.asked == []


def test_more_trials_may_be_asked_for_later(isolated):
    random_search(quality, SPACE, 2, path="search.json")
    counted = Counted()
    assert random_search(counted, SPACE, 5, path="search.json") == random_search(quality, SPACE, 5)
    assert len(counted.asked) == 3


def test_fewer_trials_than_the_file_holds_are_its_first_and_none_is_lost(isolated):
    whole = random_search(quality, SPACE, 5, path="search.json")
    counted = Counted()
    assert random_search(counted, SPACE, 2, path="search.json") == whole[:2]
    assert random_search(counted, SPACE, 5, path="search.json") == whole
    assert counted.asked == []


OTHERS = {
    "seed": (SPACE, 1),
    "an end": ({**SPACE, "lr": LogUniform(1e-6, 1e3)}, 0),
    "another spread": ({**SPACE, "lr": Uniform(1e-6, 1e2)}, 0),
    "another choice": ({**SPACE, "units": Choice((16, 32))}, 0),
    "another order of choices": ({**SPACE, "units": Choice((16, 64, 32))}, 0),
    "a float for a whole number": ({**SPACE, "units": Choice((16, 32, 64.0))}, 0),
    "one setting less": ({"lr": SPACE["lr"], "units": SPACE["units"]}, 0),
    "one setting more": ({**SPACE, "more": Uniform(0, 1)}, 0),
    "another name": ({"rate": SPACE["lr"], "momentum": SPACE["momentum"], "units": SPACE["units"]}, 0),
}


@pytest.mark.parametrize(("space", "seed"), OTHERS.values(), ids=OTHERS)
def test_the_file_of_another_search_is_refused_and_kept(isolated, space, seed):
    path = isolated / "search.json"
    random_search(quality, SPACE, 2, path=path)
    before, counted = path.read_bytes(), Counted()
    message = f"^{re.escape(str(path))} holds another search: give another file, or remove that one$"
    with pytest.raises(ValueError, match=message):
        random_search(counted, space, 3, seed, path)
    assert counted.asked == []
    assert path.read_bytes() == before


def test_the_same_space_told_otherwise_is_the_same_search(isolated):
    whole = random_search(quality, SPACE, 2, path="search.json")
    other = {"units": Choice([16, 32, 64]), "momentum": Uniform(-1.0, np.int64(3)), "lr": LogUniform(1e-6, 100)}
    counted = Counted()
    assert random_search(counted, other, 2, np.int64(0), "search.json") == whole
    assert counted.asked == []


@pytest.mark.parametrize("values", [((16, 16), (32,)), ([1, [2]], [3]), ("relu", None, True, 1, 1.0)], ids=str)
def test_a_choice_comes_back_from_the_file_as_it_is(isolated, values):
    """JSON knows no tuples; and 1, 1.0 and True are equal, but not the same."""
    space = {"layers": Choice(values)}
    whole = random_search(lambda layers: 1.0, space, 12, path="search.json")
    assert {repr(trial.settings["layers"]) for trial in whole} == set(map(repr, values))
    again = random_search(lambda layers: 1 / 0, space, 12, path="search.json")
    assert repr(again) == repr(whole)


@pytest.mark.parametrize("value", [np.int64(3), {1, 2}, object, np.zeros(2)], ids=lambda value: type(value).__name__)
def test_a_choice_that_no_file_can_hold_is_refused_before_anything_is_tried(isolated, value):
    counted = Counted(function=lambda kind: 1.0)
    with pytest.raises(TypeError, match=rf"^kind has a value that a JSON file cannot hold: {re.escape(repr(value))}$"):
        random_search(counted, {"kind": Choice((1, value))}, 2, path="search.json")
    assert counted.asked == []
    assert len(random_search(counted, {"kind": Choice((value,))}, 2)) == 2


@pytest.mark.parametrize("text", ["", "{", '{"seed": 0', "分开", "\ufeff{}"])
def test_a_file_that_is_no_json_is_refused(isolated, text):
    path = isolated / "search.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} is not a JSON file: "):
        random_search(quality, SPACE, 1, path=path)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"trials": []}', '{"seed": 0, "trials": []}'])
def test_a_file_of_something_else_is_refused(isolated, text):
    path = isolated / "search.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="holds another search"):
        random_search(quality, SPACE, 1, path=path)


DAMAGES = {
    "no trials": lambda found: found.pop("trials"),
    "trials that are none": lambda found: found.update(trials=3),
    "a trial that is none": lambda found: found["trials"].append(7),
    "a trial without a score": lambda found: found["trials"][1].pop("score"),
    "a score that is none": lambda found: found["trials"][1].update(score="good"),
    "a trial that is missing": lambda found: found["trials"].pop(0),
    "a trial without settings": lambda found: found["trials"][1].pop("settings"),
    "a setting that is missing": lambda found: found["trials"][1]["settings"].pop("lr"),
    "a setting that is no number": lambda found: found["trials"][1]["settings"].update(lr=None),
    "a choice that is none": lambda found: found["trials"][1]["settings"].update(units=17),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_and_kept(isolated, damage):
    path, counted = isolated / "search.json", Counted()
    random_search(quality, SPACE, 2, path=path)
    found = read(path)
    damage(found)
    path.write_text(json.dumps(found), encoding="utf-8")
    message = f"^{re.escape(str(path))} is damaged: its trials are not those of a search; remove it$"
    with pytest.raises(ValueError, match=message):
        random_search(counted, SPACE, 3, path=path)
    assert counted.asked == []
    assert read(path) == found


# ---- a smaller range ----


def trials_of(name, values, scores):
    return [Trial(i, {name: value}, score) for i, (value, score) in enumerate(zip(values, scores))]


@pytest.mark.parametrize(
    ("range_", "values", "scores", "keep", "expected"),
    [
        # the best two are 4 and 6: from 4 − 1 to 6 + 1
        (Uniform(0, 10), [1, 4, 6, 9], [0, 3, 2, 1], 2, Uniform(3, 7)),
        (Uniform(0, 10), [6, 1, 9, 4], [2, 0, 1, 3], 2, Uniform(3, 7)),
        # the best three are 4, 6 and 9: 2.5 on either side, and no further than the old range
        (Uniform(0, 10), [1, 4, 6, 9], [0, 3, 2, 1], 3, Uniform(1.5, 10)),
        (Uniform(0, 10), [1, 4, 6, 9], [3, 2, 1, 0], 3, Uniform(0, 8.5)),
        (Uniform(-4, 4), [-3, -1], [1, 1], 2, Uniform(-4, 0)),
        (Uniform(0, 10), [5, 5], [1, 1], 2, Uniform(5, 5)),
        # half of the logarithms' distance: 1e-3 to 1e-1 are two decades, one more on either side
        (LogUniform(1e-6, 1e2), [1e-3, 1e-1, 10], [2, 1, 0], 2, LogUniform(1e-4, 1)),
        (LogUniform(1e-6, 1e2), [1e-5, 1e-1, 10], [2, 1, 0], 2, LogUniform(1e-6, 10)),
        (LogUniform(1e-6, 1e2), [1e-5, 1e-1, 10], [0, 1, 2], 2, LogUniform(1e-2, 1e2)),
        (LogUniform(1e-6, 1e2), [4, 4], [1, 1], 2, LogUniform(4, 4)),
        # those that failed do not count
        (Uniform(0, 10), [1, 4, 6, 9], [-math.inf, 3, 2, -math.inf], 2, Uniform(3, 7)),
        # of equals the first
        (Uniform(0, 10), [4, 6, 1, 9], [1, 1, 1, 1], 2, Uniform(3, 7)),
        # choices that were among the best, in the old order
        (Choice((16, 32, 64)), [64, 32, 16, 32], [0, 3, 2, 1], 2, Choice((16, 32))),
        (Choice(("a", "b", "c")), ["c", "b", "c"], [3, 1, 2], 2, Choice(("c",))),
        (Choice(((1, 2), (3,))), [(3,), (1, 2), (3,)], [3, 1, 2], 2, Choice(((3,),))),
    ],
)
def test_a_smaller_range_by_hand(range_, values, scores, keep, expected):
    found = narrow({"x": range_}, trials_of("x", values, scores), keep)["x"]
    assert type(found) is type(expected)
    if isinstance(expected, Choice):
        assert found == expected
    else:
        assert tuple(found) == pytest.approx(tuple(expected), rel=1e-12)
        assert found.low >= range_.low
        assert found.high <= range_.high


def test_by_default_three_trials_span_the_range():
    trials = trials_of("x", [1, 4, 6, 9], [0, 3, 2, 1])
    assert narrow({"x": Uniform(0, 10)}, trials) == {"x": Uniform(1.5, 10)}


def test_each_setting_is_narrowed_by_itself():
    trials = [Trial(0, {"a": 2, "b": 0.1, "c": 1}, 5), Trial(1, {"a": 4, "b": 10, "c": 3}, 4)]
    trials.append(Trial(2, {"a": 9, "b": 1e3, "c": 2}, 1))
    space = {"a": Uniform(0, 10), "b": LogUniform(1e-3, 1e3), "c": Choice((1, 2, 3))}
    found = narrow(space, trials, keep=2)
    assert list(found) == ["a", "b", "c"]
    assert found["a"] == (1, 5)
    assert tuple(found["b"]) == pytest.approx((0.01, 100), rel=1e-12)
    assert found["c"] == Choice((1, 3))
    assert space["a"] == Uniform(0, 10)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), keep=st.integers(2, 6))
def test_a_smaller_range_holds_the_best_and_lies_in_the_old_one(seed, keep):
    trials = random_search(quality, SPACE, 8, seed)
    found = narrow(SPACE, trials, keep)
    for trial in sorted(trials, key=lambda trial: trial.score)[-keep:]:
        assert found["lr"].low <= trial.settings["lr"] <= found["lr"].high
        assert found["momentum"].low <= trial.settings["momentum"] <= found["momentum"].high
        assert trial.settings["units"] in found["units"].values
    for name in ("lr", "momentum"):
        assert SPACE[name].low <= found[name].low <= found[name].high <= SPACE[name].high


@pytest.mark.parametrize(
    ("scores", "keep", "error", "told"),
    [
        ([1, 2], 3, ValueError, "trials must hold at least 3 with a finite score, got 2"),
        ([], 2, ValueError, "trials must hold at least 2 with a finite score, got 0"),
        ([1, -math.inf, math.nan], 2, ValueError, "trials must hold at least 2 with a finite score, got 1"),
        ([1, 2], 1, ValueError, "keep must be at least 2, got 1"),
        ([1, 2], 2.0, TypeError, r"keep must be a whole number, got 2\.0 \(float\)"),
    ],
)
def test_too_few_trials_span_no_range(scores, keep, error, told):
    with pytest.raises(error, match=f"^{told}$"):
        narrow({"x": Uniform(0, 10)}, trials_of("x", [1] * len(scores), scores), keep)


# ---- stages ----


def staged(stage, **settings):
    return stage + quality(**settings)


def test_each_stage_searches_the_range_that_the_best_of_the_one_before_span():
    counted = Counted(function=staged)
    stages = coarse_to_fine(counted, SPACE, [12, 6, 4], seed=7, keep=4)
    assert [len(trials) for trials in stages] == [12, 6, 4]
    assert [asked["stage"] for asked in counted.asked] == [0] * 12 + [1] * 6 + [2] * 4
    space = SPACE
    for stage, trials in enumerate(stages):
        assert [trial.settings for trial in trials] == [draw(space, 7 + stage, i) for i in range(len(trials))]
        assert [trial.score for trial in trials] == [staged(stage, **trial.settings) for trial in trials]
        narrowed = narrow(space, trials, 4)
        assert narrowed["lr"].high / narrowed["lr"].low < space["lr"].high / space["lr"].low
        space = narrowed
    assert "stage" not in stages[0][0].settings


def test_later_stages_lie_inside_the_range_of_the_best():
    first, second = coarse_to_fine(staged, SPACE, [20, 30])
    three = sorted(first, key=lambda trial: -trial.score)[:3]  # the default
    ends = np.log([min(t.settings["lr"] for t in three), max(t.settings["lr"] for t in three)])
    margin = (ends[1] - ends[0]) / 2
    for trial in second:
        assert ends[0] - margin <= math.log(trial.settings["lr"]) <= ends[1] + margin
        assert trial.settings["units"] in [t.settings["units"] for t in three]


def test_a_stage_does_not_repeat_the_draws_of_the_one_before():
    """Of a range that stays as it is: two trials at either end keep it whole."""
    space = {"x": Uniform(0, 1)}
    first, second = coarse_to_fine(lambda stage, x: abs(x - 0.5), space, [40, 5], keep=30)
    assert narrow(space, first, 30) == space
    assert not {trial.settings["x"] for trial in first} & {trial.settings["x"] for trial in second}


def test_a_search_in_stages_has_a_file_a_stage_and_goes_on_where_it_was_stopped(isolated):
    whole, folder = coarse_to_fine(staged, SPACE, [5, 4]), isolated / "stages"
    for k, files in ((2, ["stage0.json"]), (5, ["stage0.json", "stage1.json"])):
        with pytest.raises(KeyboardInterrupt):
            coarse_to_fine(Counted(at=k, error=KeyboardInterrupt, function=staged), SPACE, [5, 4], path=folder)
        assert sorted(os.listdir(folder)) == files
    counted = Counted(function=staged)
    assert coarse_to_fine(counted, SPACE, [5, 4], path=str(folder)) == whole
    assert [asked["stage"] for asked in counted.asked] == [1, 1]  # 2 + 5 of 9 were there
    assert len(read(folder / "stage0.json")["trials"]) == 5
    assert read(folder / "stage1.json")["seed"] == 1


def test_one_stage_is_a_search_at_random():
    assert coarse_to_fine(staged, SPACE, [3], seed=2) == [random_search(quality, SPACE, 3, seed=2)]


@settings(max_examples=60, deadline=None)
@given(value=st.floats(1e-30, 1e30))
def test_a_range_of_one_value_stays_what_it_is(value):
    """exp(log(8)) is a little less than 8."""
    stages = coarse_to_fine(lambda stage, x: x, {"x": LogUniform(value, value)}, [2, 2, 1], keep=2)
    assert {trial.settings["x"] for trials in stages for trial in trials} == {value}


def test_settings_may_be_called_like_anything_else():
    names = ["path", "seed", "space", "num_trials", "evaluate", "progress", "keep", "self", "number", "settings"]
    space = {name: Uniform(i, i + 1) for i, name in enumerate(names)}
    alone = [random_search(lambda **s: sum(s.values()), space, 3)]
    for stages in (alone, coarse_to_fine(lambda stage, **s: stage + sum(s.values()), space, [3, 2])):
        for stage, trials in enumerate(stages):
            for trial in trials:
                assert [math.floor(trial.settings[name]) for name in names] == list(range(len(names)))
                assert trial.score == stage + sum(trial.settings.values())


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (
            {"space": {**SPACE, "stage": Uniform(0, 1)}},
            ValueError,
            "space must not have a setting called stage: evaluate gets the stage's number by that name",
        ),
        ({"num_trials": []}, ValueError, "num_trials must have at least one stage, got none"),
        ({"num_trials": [2, 5]}, ValueError, r"num_trials\[0\] must be at least 3, got 2"),
        ({"num_trials": [3, 2, 1]}, ValueError, r"num_trials\[1\] must be at least 3, got 2"),
        ({"num_trials": [5, 4], "keep": 5}, None, ""),
        ({"num_trials": [4, 4], "keep": 5}, ValueError, r"num_trials\[0\] must be at least 5, got 4"),
        ({"num_trials": [3, 0]}, ValueError, r"num_trials\[1\] must be at least 1, got 0"),
        ({"num_trials": [3, 1.5]}, TypeError, r"num_trials\[1\] must be a whole number, got 1\.5 \(float\)"),
        ({"keep": 1}, ValueError, "keep must be at least 2, got 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"space": {}}, ValueError, "space must have at least one setting, got none"),
    ],
)
def test_wrong_stages_are_refused_before_anything_is_tried(arguments, error, told):
    counted = Counted(function=staged)
    how = {"space": SPACE, "num_trials": [3, 1], **arguments}
    if error is None:
        assert len(coarse_to_fine(counted, **how)) == 2
        return
    with pytest.raises(error, match=f"^{told}$"):
        coarse_to_fine(counted, **how)
    assert counted.asked == []


def test_a_stage_of_which_too_few_trainings_worked_is_told():
    def diverges(stage, lr):
        raise ArithmeticError("the loss is nan")

    told = r"^trials must hold at least 3 with a finite score, got 0$"
    with pytest.warns(UserWarning, match="the loss is nan"), pytest.raises(ValueError, match=told):
        coarse_to_fine(diverges, {"lr": SPACE["lr"]}, [3, 1])


def test_ranges_of_two_kinds_are_equal_tuples_and_still_told_apart():
    assert search._about({"x": Uniform(1, 2)}, 0) != search._about({"x": LogUniform(1, 2)}, 0)


def test_a_table_has_the_best_trials_first():
    trials = [search.Trial(i, {"lr": 10.0**-i, "cell": cell}, score) for i, cell, score in TABLE]
    lines = search.table(trials, most=3).splitlines()
    assert [line.split() for line in lines] == [
        ["score", "trial", "lr", "cell"],
        ["0.75", "2", "0.01", "lstm"],
        ["0.5", "1", "0.1", "gru"],
        ["0.5", "3", "0.001", "rnn"],
    ]
    assert search.table(trials).splitlines()[-1].split() == ["-inf", "0", "1", "gru"]
    assert {line.index(word) for line, word in zip(lines, ("cell", "lstm", "gru", "rnn"))} == {lines[0].index("cell")}


TABLE = [(0, "gru", -math.inf), (1, "gru", 0.5), (2, "lstm", 0.75), (3, "rnn", 0.5)]


def test_a_table_of_no_trials_is_its_heading():
    assert search.table([]).split() == ["score", "trial"]


def test_a_table_needs_a_line():
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        search.table([], most=0)
