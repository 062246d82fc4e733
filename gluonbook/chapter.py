"""What every chapter script shares: options, seeds, figures, claims, and the report of its results.

A chapter is a script in ``# %%`` cells. Run without arguments it works offline on a CPU.
"""

import argparse
import ast
import math
import re
import shlex
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, Optional

import numpy as np

from gluonbook import _files, devices, plot
from gluonbook._mxnet import mx


@dataclass(frozen=True)
class option:
    """A chapter's setting: its default, what ``--quick`` makes of it, and what it is."""

    default: Any
    quick: Any = None
    help: str = ""


class ClaimFailed(AssertionError):
    """A claim of the notes did not hold."""


@dataclass
class _State:
    """The chapter that is running in this process."""

    name: str
    options: SimpleNamespace
    claims: dict[str, None]  # those that held, in the order in which they were shown
    figures: dict[str, Any]


_running: Optional[_State] = None
_notebook: Optional[tuple[str, list[str]]] = None  # the chapter's name and arguments, where a notebook gave them


def notebook(name: str, arguments: str = "") -> None:
    """Say which chapter this notebook is, and with which arguments of its command line ``options`` works from here on.

    The kernel's own arguments mean nothing to a chapter. Called again, the latest call holds. Outside of a notebook,
    the command line does.

    Args:
        name: of the chapter's script; figures and numbers go to ``out/NAME``.
        arguments: as behind ``gluonbook run 16``.

    Raises:
        ValueError: a name that is a path, or a quotation that does not end; what the chapter does not know, ``options``
            refuses.
        TypeError: arguments that are no text.

    >>> notebook("ch16_rnn_lyrics", "--quick --seed 3")
    """
    global _notebook
    if not name or Path(name).name != name:
        raise ValueError(f"name must be a chapter's, such as 'ch16_rnn_lyrics', got {name!r}")
    if not isinstance(arguments, str):
        raise TypeError(f"arguments must be a text, such as '--quick', got {arguments!r} ({type(arguments).__name__})")
    try:
        _notebook = name, shlex.split(arguments)
    except ValueError as error:
        raise ValueError(f"arguments must be words as on a command line, got {arguments!r}: {error}") from None


class _NotebookParser(argparse.ArgumentParser):
    """Raises where a command line would print a usage and leave: in a kernel there is nothing to leave."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"arguments of chapter.notebook: {message}\n{self.format_usage()}".rstrip()) from None


def options(**settings: Any) -> SimpleNamespace:
    """Turn keyword defaults into command-line flags, parse them, and seed Python, NumPy and MXNet.

    Every chapter also has ``--quick`` (smaller defaults; a flag that is given wins), ``--out DIR``, ``--seed``,
    ``--device`` and ``--show``. In a notebook the kernel's arguments are left alone: those that ``notebook`` was given
    hold, or the defaults.

    Args:
        settings: by name, a value or an ``option``; ``num_epochs=30`` becomes ``--num-epochs 30``.

    Returns:
        a namespace with a value a setting, and ``quick``, ``out`` (Path), ``seed``, ``device`` (mx.Context),
        ``devices`` (all that were named, ``device`` first, for trainings that divide their batches; ``auto`` takes
        every GPU), ``show``.

    Raises:
        ValueError: in a notebook, an argument that the chapter does not know, or whose value is wrong.
        SystemExit: in a script, the same.
    """
    global _running
    parser, script, arguments = _command_line()
    settings = {name: value if isinstance(value, option) else option(value) for name, value in settings.items()}
    for name, setting in settings.items():
        about = (
            f"{setting.help} (default {setting.default}{'' if setting.quick is None else f', quick {setting.quick}'})"
        )
        kind: dict[str, Any] = {"type": str if setting.default is None else type(setting.default)}
        if isinstance(setting.default, bool):
            kind = {"action": argparse.BooleanOptionalAction}
        parser.add_argument("--" + name.replace("_", "-"), default=None, help=about.strip(), **kind)
    parser.add_argument("--quick", action="store_true", help="smaller defaults, for a look within seconds")
    parser.add_argument("--out", type=Path, default=Path("out") / script.stem, help="folder for figures and numbers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", help="auto, cpu, gpu(0), or several: gpu(0),gpu(1)")
    parser.add_argument("--show", action="store_true", help="show the figures in windows, too")
    chosen = parser.parse_args(arguments)
    for name, setting in settings.items():
        if getattr(chosen, name) is None:
            use_quick = chosen.quick and setting.quick is not None
            setattr(chosen, name, setting.quick if use_quick else setting.default)
    _prepare(chosen)
    _running = _State(script.stem, SimpleNamespace(**vars(chosen)), {}, {})
    return _running.options


def _command_line() -> tuple[argparse.ArgumentParser, Path, Optional[list[str]]]:
    """Return an empty parser, the script's path, and the arguments to parse; None is ``sys.argv``."""
    main = sys.modules["__main__"]
    script = Path(getattr(main, "__file__", None) or "notebook")
    if not in_notebook():
        about = (main.__doc__ or "").split("\n")[0]
        return argparse.ArgumentParser(prog=script.name, description=about), script, None
    name, arguments = _notebook or (script.stem, [])
    return _NotebookParser(prog=name), Path(name), arguments


def _prepare(chosen: argparse.Namespace) -> None:
    import random

    random.seed(chosen.seed)
    np.random.seed(chosen.seed)
    mx.random.seed(chosen.seed)
    auto = chosen.device == "auto"
    with warnings.catch_warnings():  # on the CPU build there is nothing to fall back from
        warnings.filterwarnings("ignore", "computing on the CPU: MXNet's CPU build is installed")
        chosen.devices = devices.try_all_gpus() if auto else devices.device_list(chosen.device)
    chosen.device = chosen.devices[0]
    if not chosen.show and not in_notebook():
        import matplotlib

        matplotlib.use("agg")


def in_notebook() -> bool:
    """Say whether this process is a notebook's kernel, which shows figures at a cell's end by itself."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def figure(name: str, *grid: int, **settings: Any) -> Any:
    """Make a figure that ``report`` writes to ``out/NAME.png``.

    Args:
        name: of the file.
        grid: rows and columns of Axes.
        settings: of ``plt.subplots``.

    Returns:
        the Axes, as ``plt.subplots`` gives them.
    """
    fig, axes = plot.figure(*grid, **settings)
    _state().figures[name] = fig
    return axes


def claim(identifier: str, holds: Any) -> None:
    """Record that a claim of the notes was shown.

    Args:
        identifier: ``"16.5"``.
        holds: whether it is true; a claim that is shown in several places must hold in all.

    Raises:
        ClaimFailed: it is not; the message names the claim.
    """
    if not holds:
        _state().claims.pop(identifier, None)
        raise ClaimFailed(f"claim {identifier} of the notes does not hold in {_state().name}")
    _state().claims[identifier] = None


def erratum(identifier: str, holds: Any, notes: str, truth: str) -> None:
    """Record that a slip of the notes was shown; ``ERRATA.md`` is made from these calls.

    Args:
        identifier: ``"2.8"``.
        holds: whether what is true was seen to hold.
        notes: what the notes say.
        truth: what is true.

    Raises:
        ClaimFailed: it does not hold; the message names the claim.
    """
    if not notes or not truth:
        raise ValueError(f"notes and truth must be told, got {notes!r} and {truth!r}")
    claim(identifier, holds)


def report(**results: Any) -> None:
    """Print the results as a table, and write them with the claims to ``out/metrics.json`` and the figures beside it.

    Args:
        results: by name; numbers, texts, NumPy arrays, or lists of them.
    """
    state = _state()
    plain = {name: _plain(value) for name, value in results.items()}
    width = max(map(len, plain), default=0)
    for name, value in plain.items():
        print(f"{name.replace('_', ' '):<{width}}  {_short(value)}")
    out = state.options.out
    for name, fig in state.figures.items():
        plot.save(fig, out / f"{name}.png")
    claims = sorted(state.claims, key=lambda i: [int(part) for part in i.split(".")])
    _files.write_json(
        out / "metrics.json",
        {"chapter": state.name, "quick": state.options.quick, "claims": claims, "results": plain},
    )
    print(f"claims shown: {' '.join(claims)}\nfigures and numbers: {out}")
    if state.options.show:
        import matplotlib.pyplot as plt

        plt.show()


def _state() -> _State:
    if _running is None:
        raise RuntimeError("chapter.options() must be called first")
    return _running


def _plain(value: Any) -> Any:
    if hasattr(value, "asnumpy"):
        value = value.asnumpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    return str(value)


@dataclass(frozen=True)
class Chapter:
    """A chapter as its script's first lines tell of it."""

    number: int
    path: Path
    title: str  # "back-propagation through time", from the file's name
    question: str
    needs: str
    time: str
    claims: tuple[str, ...]


def chapters() -> list[Chapter]:
    """List the chapters, in order, without running them."""
    return [read_header(path) for path in sorted(_files.packaged("chapters").glob("ch[0-9][0-9]_*.py"))]


def read_header(path: Path) -> Chapter:
    """Read a chapter's docstring: ``Chapter N: title``, ``Asks:``, ``Needs: … Time: …``, ``Claims:``.

    Raises:
        ValueError: a part is missing.
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    patterns = {
        "title": r"^Chapter (\d+): (.+)$",
        "question": r"^Asks: +((?:.+\n?)+?)(?=^\w+: )",
        "needs": r"^Needs: +((?s:.+?))(?=\s*Time: |^\w+: )",
        "time": r"Time: (.+?)\.?$",
        "claims": r"^Claims: +((?:.+\n?)+)",
    }
    found = {part: re.search(pattern, text, re.MULTILINE) for part, pattern in patterns.items()}
    missing = [part for part, match in found.items() if match is None]
    if missing:
        raise ValueError(f"{path.name} does not say its {', '.join(missing)} in its docstring")
    part = {name: match for name, match in found.items() if match is not None}
    return Chapter(
        int(part["title"][1]),
        path,
        part["title"][2],
        " ".join(part["question"][1].split()),
        " ".join(part["needs"][1].split()),
        part["time"][1],
        tuple(part["claims"][1].split()),
    )
