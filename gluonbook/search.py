"""Search for hyper-parameters: at random, then in a smaller range around the best; resumable.

A trial's settings depend on the space, the seed and its number alone, so a search that was stopped goes on to the same
trials.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional, Union

import numpy as np

from gluonbook import _check, _files


class LogUniform(NamedTuple):
    """A number whose logarithm is spread evenly from low to high, both above 0: for learning rates and the like."""

    low: float
    high: float


class Uniform(NamedTuple):
    """A number spread evenly from low to high."""

    low: float
    high: float


class Choice(NamedTuple):
    """One of some values, each as likely."""

    values: tuple[Any, ...]


Range = Union[LogUniform, Uniform, Choice]
Space = Mapping[str, Range]


class Trial(NamedTuple):
    """Settings that were tried, and how good they were."""

    number: int  # from 0
    settings: dict[str, Any]
    score: float  # the larger the better; −inf where the training failed


def random_search(
    evaluate: Callable[..., float],
    space: Space,
    num_trials: int,
    seed: int = 0,
    path: Optional[_files.PathLike] = None,
    progress: bool = False,
) -> list[Trial]:
    """Try settings drawn at random (Bergstra & Bengio 2012).

    Args:
        evaluate: gives the score, the larger the better, for a setting a keyword. A trial that raises ArithmeticError
            (a loss that is not finite), or whose score is not finite, has failed: a warning, and the score −inf.
        space: a range for each setting.
        num_trials: at least 1.
        seed: of the draws, at least 0.
        path: a JSON file that holds the results after each trial; one that is there already is gone on from. A
            ``Choice`` must then be among numbers, texts and the like, or lists or tuples of them.
        progress: show a progress bar.

    Returns:
        the trials, in order; ``best`` finds the best.

    Raises:
        ValueError: a range is wrong, or the file holds another search, or none.
        TypeError: a setting has no range, or a value that a JSON file cannot hold.

    >>> trials = random_search(lambda x: -abs(x - 3), {"x": Uniform(0, 10)}, num_trials=50)
    >>> abs(best(trials).settings["x"] - 3) < 0.5
    True
    """
    from tqdm.auto import tqdm

    _check.integer("num_trials", num_trials, at_least=1)
    _check.integer("seed", seed, at_least=0)
    _check_space(space)
    trials = [] if path is None else _read(Path(path), space, seed)[:num_trials]
    done = len(trials)
    with tqdm(total=num_trials, initial=done, desc="trials", disable=None if progress else True) as bar:
        for number in range(done, num_trials):
            settings = draw(space, seed, number)
            try:
                score = float(evaluate(**settings))
                if not math.isfinite(score):
                    raise ArithmeticError(f"the score is {score}")
            except ArithmeticError as error:
                warnings.warn(f"trial {number} with {settings} failed: {error}", stacklevel=2)
                score = -math.inf
            trials.append(Trial(number, settings, score))
            if path is not None:
                _files.write_json(path, {**_about(space, seed), "trials": [_plain(trial) for trial in trials]})
            bar.update()
    return trials


def coarse_to_fine(
    evaluate: Callable[..., float],
    space: Space,
    num_trials: Sequence[int],
    seed: int = 0,
    path: Optional[_files.PathLike] = None,
    keep: int = 3,
    progress: bool = False,
) -> list[list[Trial]]:
    """Search in stages, each in the range that the best settings of the one before span.

    Args:
        evaluate: called with the settings and ``stage``, from 0, so that later stages may train for longer.
        space, seed, progress: as for ``random_search``; no setting is called ``stage``.
        num_trials: of each stage, at least ``keep`` of all but the last.
        path: a folder with a JSON file a stage, each as for ``random_search``.
        keep: how many of the best span the next range, at least 2.

    Returns:
        the trials of each stage.

    Raises:
        ValueError, TypeError: as ``random_search``; or fewer than ``keep`` trials of a stage worked.
    """
    if "stage" in space:
        raise ValueError("space must not have a setting called stage: evaluate gets the stage's number by that name")
    if not len(num_trials):
        raise ValueError("num_trials must have at least one stage, got none")
    _check.integer("keep", keep, at_least=2)
    for stage, count in enumerate(num_trials):
        _check.integer(f"num_trials[{stage}]", count, at_least=1 if stage == len(num_trials) - 1 else keep)
    stages: list[list[Trial]] = []
    for stage, count in enumerate(num_trials):
        if stages:
            space = narrow(space, stages[-1], keep)
        file = None if path is None else Path(path) / f"stage{stage}.json"

        def evaluate_stage(stage: int = stage, **settings: Any) -> float:
            return evaluate(stage=stage, **settings)

        stages.append(random_search(evaluate_stage, space, count, seed + stage, file, progress))
    return stages


def table(trials: Sequence[Trial], most: int = 10) -> str:
    """Return the best trials as lines of text: score, number, settings.

    Args:
        trials: any number.
        most: lines, at least 1.

    >>> print(table([Trial(0, {"lr": 0.5, "cell": "gru"}, 0.25), Trial(1, {"lr": 0.125, "cell": "rnn"}, 0.5)]))
      score  trial           lr  cell
        0.5      1        0.125  rnn
       0.25      0          0.5  gru
    """
    _check.integer("most", most, at_least=1)
    shown = sorted(trials, key=lambda trial: -trial.score)[:most]
    names = list(shown[0].settings) if shown else []
    rows = [["score", "trial", *names]]
    rows += [[_short(t.score), str(t.number), *(_short(t.settings[name]) for name in names)] for t in shown]
    numbers = [7, 5, *(11 if all(isinstance(t.settings[n], (int, float)) for t in shown) else 0 for n in names)]
    widths = [max(least, *(len(row[i]) for row in rows)) for i, least in enumerate(numbers)]
    cells = [[c.rjust(w) if least else c.ljust(w) for c, w, least in zip(row, widths, numbers)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest score; of equals the first.

    Raises:
        ValueError: there are no trials.
    """
    if not trials:
        raise ValueError("trials must be at least one, got none")
    return max(trials, key=lambda trial: trial.score)


def narrow(space: Space, trials: Sequence[Trial], keep: int = 3) -> dict[str, Range]:
    """Return the space that the best trials span, widened by half of it on either side, inside the old one.

    Args:
        space: of the trials.
        trials: at least ``keep`` of them with a finite score.
        keep: how many of the best, at least 2.

    Raises:
        ValueError: fewer trials worked.

    >>> trials = [Trial(i, {"lr": 10.0**-i}, -abs(i - 2)) for i in range(5)]
    >>> {name: (round(r.low, 4), round(r.high, 4)) for name, r in narrow({"lr": LogUniform(1e-4, 1)}, trials).items()}
    {'lr': (0.0001, 1.0)}
    """
    _check.integer("keep", keep, at_least=2)
    good = sorted((t for t in trials if math.isfinite(t.score)), key=lambda t: -t.score)[:keep]
    if len(good) < keep:
        raise ValueError(f"trials must hold at least {keep} with a finite score, got {len(good)}")
    return {name: _narrowed(range_, [trial.settings[name] for trial in good]) for name, range_ in space.items()}


def draw(space: Space, seed: int, number: int) -> dict[str, Any]:
    """Return the settings of a trial: the same for the same seed and number, in whatever order the space names them."""
    rng = np.random.default_rng([seed, number])
    drawn = {name: _draw(space[name], rng) for name in sorted(space)}
    return {name: drawn[name] for name in space}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _draw(range_: Range, rng: np.random.Generator) -> Any:
    if isinstance(range_, Choice):
        return range_.values[int(rng.integers(len(range_.values)))]
    if isinstance(range_, LogUniform):
        value = math.exp(rng.uniform(math.log(range_.low), math.log(range_.high)))
        return _within(range_, value)  # the exponential of a logarithm may be a little beyond
    return float(rng.uniform(range_.low, range_.high))


def _within(range_: Union[LogUniform, Uniform], value: float) -> float:
    return float(min(max(value, range_.low), range_.high))


def _narrowed(range_: Range, values: Sequence[Any]) -> Range:
    if isinstance(range_, Choice):
        return Choice(tuple(value for value in range_.values if value in values))
    logarithmic = isinstance(range_, LogUniform)
    low, high = (math.log(v) if logarithmic else v for v in (min(values), max(values)))
    margin = (high - low) / 2
    ends = [math.exp(e) if logarithmic else e for e in (low - margin, high + margin)]
    return type(range_)(_within(range_, ends[0]), _within(range_, ends[1]))


def _check_space(space: Space) -> None:
    if not space:
        raise ValueError("space must have at least one setting, got none")
    for name, range_ in space.items():
        if not isinstance(range_, (LogUniform, Uniform, Choice)):
            raise TypeError(f"{name} must be a LogUniform, a Uniform or a Choice, got {range_!r}")
        if isinstance(range_, Choice):
            _check.integer(f"number of values of {name}", len(range_.values), at_least=1)
            continue
        _check.number(f"{name}.low", range_.low, above=0 if isinstance(range_, LogUniform) else None)
        _check.number(f"{name}.high", range_.high, at_least=range_.low)


def _about(space: Space, seed: int) -> dict[str, Any]:
    """Return which search this is, as a file says it."""
    return {"seed": int(seed), "space": {name: _told(name, range_) for name, range_ in space.items()}}


def _told(name: str, range_: Range) -> list[Any]:
    if not isinstance(range_, Choice):
        return [type(range_).__name__, float(range_.low), float(range_.high)]
    for value in range_.values:
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name} has a value that a JSON file cannot hold: {value!r}") from None
    return [type(range_).__name__, *range_.values]


def _plain(trial: Trial) -> dict[str, Any]:
    score = trial.score if math.isfinite(trial.score) else None  # JSON has no word for it
    return {"number": trial.number, "settings": trial.settings, "score": score}


def _text(value: Any) -> str:
    """Return what tells values in JSON apart: 1, 1.0 and true, which Python takes for the same, too."""
    return json.dumps(value, sort_keys=True)


def _read(path: Path, space: Space, seed: int) -> list[Trial]:
    about = _about(space, seed)
    if not path.exists():
        return []
    found = _files.read_json(path)
    if not isinstance(found, dict) or _text({key: found.get(key) for key in about}) != _text(about):
        raise ValueError(f"{path} holds another search: give another file, or remove that one")
    try:
        return [_trial(number, told, space) for number, told in enumerate(found["trials"])]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path} is damaged: its trials are not those of a search; remove it") from None


def _trial(number: int, told: Any, space: Space) -> Trial:
    if told["number"] != number:
        raise ValueError
    score = -math.inf if told["score"] is None else float(told["score"])
    return Trial(number, {name: _again(range_, told["settings"][name]) for name, range_ in space.items()}, score)


def _again(range_: Range, told: Any) -> Any:
    """Return the setting that a file tells: JSON has no tuples, so a choice is looked up."""
    if isinstance(range_, Choice):
        return range_.values[[_text(value) for value in range_.values].index(_text(told))]
    return float(told)
