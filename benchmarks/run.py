"""All benchmarks in one run: ``RESULTS.md`` for readers, ``results.json`` for programs.

    python benchmarks/run.py [--rounds 7] [--only lyrics,style] [--out FOLDER]

Measures the machine's limits, each section in a process of its own, and the limits again. A section that fails is told,
the others stand. With ``--only`` the other sections stay as an earlier run on the same machine left them, each with its
own date. Both files are written at the end, whole or not at all; the hand-written ``changes.md`` closes ``RESULTS.md``.
"""

import argparse
import datetime
import importlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from measuring import (
    LEAST_ROUNDS,
    OWN,
    SIDE,
    STEP_TURNS,
    Figure,
    Limits,
    machine,
    measure_limits,
    meets_bound,
    meets_reach,
    ratio,
    table,
)

from gluonbook import _files

FOLDER = Path(__file__).resolve().parent
SECTIONS = {
    "lyrics": "Lyrics",
    "style": "Style transfer",
    "detection": "Detection",
    "scratch": "Convolution in NumPy",
    "startup": "Startup",
    "distributed": "Several workers on this machine",
}
LIMITS = "limits"
RESULTS, REPORT, CHANGES = "results.json", "RESULTS.md", "changes.md"
LEGEND = """\
Each figure is a median with the least and the most of its rounds: {least} or more, or as many as are told, and {turns}
times as many of a training step. The ways of one job take turns in one run, and the first round is not counted. `÷ X`
is this package's median time divided by X's (below 1 this package is faster), for rates too. `of the limit` is the
least time that the machine would need for the work that cannot be left out, by its limits, divided by this package's
median; work on data that stay in the processor's caches can exceed it. ✓ and ✗ say whether a reach that was set
beforehand was met."""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure, and write both files; return 1 where a section failed, else 0."""
    chosen = read_options(arguments)
    if chosen.section:
        _files.write_json(chosen.out, measure_here(chosen.section, chosen.rounds))
        return 0
    earlier = read_results(chosen.out)
    before = in_process(LIMITS, chosen.rounds)
    check_machine(earlier, before["machine"], chosen.only)
    figures, failed = {}, {}
    for name in chosen.only:
        try:
            figures[name] = in_process(name, chosen.rounds)
        except RuntimeError as error:
            failed[name] = str(error)
    after = in_process(LIMITS, chosen.rounds)
    results = merge(earlier, before, after["limits"], figures, failed, today(), chosen.rounds)
    write(chosen.out, results)
    for name, message in failed.items():
        print(f"{name} failed: {message}", file=sys.stderr)
    return 1 if failed else 0


def read_options(arguments: Optional[Sequence[str]]) -> argparse.Namespace:
    """Read the command line; a result with few rounds does not get where the kept ones are."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="counted rounds of each way")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas; the others stay")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the results")
    parser.add_argument("--section", choices=[LIMITS, *SECTIONS], help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    chosen.only = [name.strip() for name in chosen.only.split(",")]
    unknown = [name for name in chosen.only if name not in SECTIONS]
    if unknown:
        parser.error(f"--only must be of {', '.join(SECTIONS)}; got {', '.join(map(repr, unknown))}")
    if chosen.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {chosen.rounds}")
    if chosen.rounds < LEAST_ROUNDS and chosen.out.resolve() == FOLDER:
        parser.error(
            f"--rounds must be at least {LEAST_ROUNDS} for the results that are kept, got {chosen.rounds}: "
            "give another folder (--out)"
        )
    return chosen


def today() -> str:
    """Return the date, as results hold it."""
    return datetime.date.today().isoformat()


def measure_here(name: str, rounds: int) -> dict[str, Any]:
    """Measure a section, or the limits, in this process."""
    from gluonbook import _mxnet

    if name == LIMITS:
        _mxnet.load()
        limits = measure_limits(rounds)
        return {"machine": machine(), "limits": limits._asdict()}
    figures = importlib.import_module(name).figures(rounds)
    return {"figures": [plain(figure) for figure in figures]}


def plain(figure: Figure) -> dict[str, Any]:
    """Return a figure as JSON can hold it, its seconds with six digits."""
    seconds = {way: [float(f"{value:.6g}") for value in values] for way, values in figure.seconds.items()}
    if not seconds or next(iter(seconds)) != OWN or not all(seconds.values()):
        raise ValueError(f"the first way of {figure.job!r} must be {OWN!r}, and each must have seconds; got {seconds}")
    return {**figure._asdict(), "seconds": seconds, "reach": dict(figure.reach)}


def in_process(name: str, rounds: int) -> Any:
    """Measure a section in a process of its own, with a line of progress.

    Raises:
        RuntimeError: it failed; the message is the last line of what it said.
    """
    print(f"{name} …", end="", file=sys.stderr, flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "section.json"
        command = [sys.executable, "-W", "ignore", __file__, "--section", name, "--rounds", str(rounds)]
        done = subprocess.run([*command, "--out", str(path)], capture_output=True, text=True)
        passed = time.perf_counter() - start
        if done.returncode or not path.exists():
            print(f" failed after {passed:.0f} s\n{done.stderr}", file=sys.stderr, flush=True)
            said = done.stderr.strip().splitlines()
            raise RuntimeError(said[-1] if said else f"status {done.returncode}")
        print(f" {passed:.0f} s", file=sys.stderr, flush=True)
        return _files.read_json(path)


def read_results(folder: Path) -> dict[str, Any]:
    """Return the results of an earlier run, or {}."""
    path = folder / RESULTS
    return _files.read_json(path) if path.exists() else {}  # type: ignore[no-any-return]


def check_machine(earlier: dict[str, Any], found: dict[str, Any], names: Sequence[str]) -> None:
    """Refuse to put figures of two machines, or of two sets of versions, into one file."""
    kept = [name for name in earlier.get("sections", {}) if name not in names]
    if not kept or earlier["machine"] == found:
        return
    changed = sorted(key for key in {*earlier["machine"], *found} if earlier["machine"].get(key) != found.get(key))
    raise SystemExit(
        f"--only would keep {', '.join(kept)} as another machine or other versions gave them "
        f"({', '.join(changed)} changed): measure all sections"
    )


def merge(
    earlier: dict[str, Any],
    before: dict[str, Any],
    limits_after: dict[str, float],
    figures: dict[str, dict[str, Any]],
    failed: dict[str, str],
    date: str,
    rounds: int,
) -> dict[str, Any]:
    """Return an earlier run's results with those of this one in their places.

    A section that failed keeps its earlier figures, with their date, and says when and why it failed.
    """
    best = {kind: max(value, limits_after[kind]) for kind, value in before["limits"].items()}
    sections, measured = dict(earlier.get("sections", {})), dict(earlier.get("measured", {}))
    failures = dict(earlier.get("failed", {}))
    for name, found in figures.items():
        sections[name] = found["figures"]
        measured[name] = {"date": date, "rounds": rounds, "limits": best}
        failures.pop(name, None)
    failures.update({name: {"date": date, "message": message} for name, message in failed.items()})
    return {
        "machine": before["machine"],
        "date": date,
        "limits": before["limits"],
        "limits_after": limits_after,
        "measured": {name: measured[name] for name in SECTIONS if name in measured},
        "failed": failures,
        "sections": {name: sections[name] for name in SECTIONS if name in sections},
    }


def write(folder: Path, results: dict[str, Any]) -> None:
    """Write both files; the report is made before either is touched."""
    text = report(results, (FOLDER / CHANGES).read_text(encoding="utf-8"))
    _files.write_json(folder / RESULTS, results)
    _files.write_text(folder / REPORT, text)


def report(results: dict[str, Any], changes: str) -> str:
    """Return ``RESULTS.md``: machine, limits, a table a section, what was reached, and the hand-written changes."""
    parts = ["# Benchmarks", "Written by `make bench`; the figures are in `results.json`, too."]
    parts += [
        LEGEND.format(least=LEAST_ROUNDS, turns=STEP_TURNS),
        "## Machine",
        _machine(results),
        "## Limits",
        _limits(results),
    ]
    for name, title in SECTIONS.items():
        parts += [f"## {title}", *_section(results, name)]
    return "\n\n".join([*parts, "## Reach", *_reach(results), changes.strip()]) + "\n"


def _machine(results: dict[str, Any]) -> str:
    rows = [f"| {name} | {value} |" for name, value in {**results["machine"], "date": results["date"]}.items()]
    return "\n".join(["| what | which |", "|---|---|", *rows])


def _limits(results: dict[str, Any]) -> str:
    units = {"gemm": ("matrix product, float32", "GFLOP/s"), "copy": ("large copy, read and written", "GB/s")}
    lines = ["| limit | before the run | after it |", "|---|---:|---:|"]
    for kind, (what, unit) in units.items():
        values = (results[place][kind] / 1e9 for place in ("limits", "limits_after"))
        lines.append(f"| {what} | " + " | ".join(f"{value:,.1f} {unit}" for value in values) + " |")
    note = (
        f"The product is of {SIDE} × {SIDE} matrices, by `nd.FullyConnected` (oneDNN) or NumPy (OpenBLAS),\n"
        "whichever is faster; the best round counts. Where before and after differ, the machine was not quiet; shares\n"
        "are of the better."
    )
    return "\n".join(lines) + "\n\n" + note


def _section(results: dict[str, Any], name: str) -> Iterator[str]:
    failure = results["failed"].get(name)
    if failure:
        yield f"Failed on {failure['date']}: `{failure['message']}`"
    if name not in results["sections"]:
        yield "Not measured."
        return
    measured = results["measured"][name]
    yield f"Measured on {measured['date']}, {measured['rounds']} rounds."
    yield table(figures_of(results, name), Limits(**measured["limits"]))


def figures_of(results: dict[str, Any], name: str) -> list[Figure]:
    """Return a section's figures."""
    return [Figure(**entry) for entry in results["sections"].get(name, [])]


def _reach(results: dict[str, Any]) -> Iterator[str]:
    rows, met = [], 0
    for name, title in SECTIONS.items():
        for figure in figures_of(results, name):
            for wanted, came, holds in reaches(figure):
                met += holds
                job = figure.job.replace("|", "\\|")
                rows.append(f"| {title} | {job} | {wanted} | {came} | {'✓' if holds else '✗'} |")
    if rows:
        yield "\n".join(["| section | job | wanted | came | met |", "|---|---|---|---:|---|", *rows])
        yield f"{met} of {len(rows)} met."
    steps = [pair for name in SECTIONS for pair in torch_steps(figures_of(results, name))]
    faster = sum(value < 1 for _, value in steps)
    yield f"{faster} of {len(steps)} training steps are faster than PyTorch's."


def reaches(figure: Figure) -> Iterator[tuple[str, str, bool]]:
    """Yield what a figure wants, what came, and whether it was met."""
    for peer, share in figure.reach.items():
        if peer in figure.seconds:
            yield f"at most {share:g} of {peer}", f"{ratio(figure, peer):.3g}", meets_reach(figure, peer)
        else:
            yield f"at most {share:g} of {peer}", "not measured", False
    if figure.bound:
        yield f"at most {figure.bound:g} s", f"{statistics.median(figure.seconds[OWN]):.3g} s", meets_bound(figure)


def torch_steps(figures: Sequence[Figure]) -> list[tuple[str, float]]:
    """Return the steps of trainings that PyTorch took too: job, and this package's time as a share of its.

    They are the jobs whose names say "training step"; of several ways of PyTorch's the fastest counts.
    """
    found = []
    for figure in figures:
        peers = [way for way in figure.seconds if way.startswith("PyTorch")]
        if peers and "training step" in figure.job:
            found.append((figure.job, max(ratio(figure, peer) for peer in peers)))
    return found


if __name__ == "__main__":
    sys.exit(main())
