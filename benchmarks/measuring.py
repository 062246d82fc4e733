"""What the benchmarks share: ways that take turns, peers in processes of their own, the machine's limits, tables.

A *way* is a function without arguments that does the work once and returns its seconds. Ways of one job take turns,
with a pause before each: the threads of the one before go on spinning for a while. The first round is not counted.
NumPy is imported late: where it is imported before gluonbook, its matrix products are slow on recent processors.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional

Way = Callable[[], float]
OWN = "gluonbook"
LEAST_ROUNDS = 7
STEP_TURNS = 3  # a training step, to which a reach within the noise is set, takes so many times the rounds
PAUSE = 0.15  # seconds; OpenBLAS's threads spin for 0.11 after a product
SIDE, COPIED = 2048, 2**28  # of the matrices whose product is the limit; bytes whose copy is


class Figure(NamedTuple):
    """A job and what each way took.

    Attributes:
        job: its name, and what it is done on.
        seconds: way -> seconds of each counted round; the first is this package's.
        flops: multiplications and additions that the work cannot do without.
        moved: bytes that it must read or write at least.
        unit: "ms", "s", or "1/s": then each round did ``count`` of something and a rate is shown.
        count: how many, for a rate.
        reach: way -> the most that this package's median may be, as a share of that way's; shown with yes or no.
        note: a sentence below the table.
        bound: seconds that this package's median may take at most; 0 is none.
    """

    job: str
    seconds: dict[str, list[float]]
    flops: float = 0.0
    moved: float = 0.0
    unit: str = "ms"
    count: int = 1
    reach: Mapping[str, float] = types.MappingProxyType({})
    note: str = ""
    bound: float = 0.0


class Limits(NamedTuple):
    """What the machine does at most, measured: multiplications and additions a second (float32), bytes a second."""

    gemm: float
    copy: float


def timed(function: Callable[[], Any]) -> Way:
    """Return a way from a function that does the work and waits for it."""

    def way() -> float:
        start = time.perf_counter()
        function()
        return time.perf_counter() - start

    return way


def alternate(ways: dict[str, Way], rounds: int = LEAST_ROUNDS, pause: float = PAUSE) -> dict[str, list[float]]:
    """Return the seconds of each way in each counted round: all take turns, the first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            time.sleep(pause)
            passed = way()
            if number:
                seconds[name].append(passed)
    return seconds


SET_HERE = ("OMP_NUM_THREADS", "MXNET_CPU_PARALLEL_SIZE")  # by this package, when it imports MXNet


class Peer:
    """A script in a process of its own, with its own threads, that does jobs when asked (see ``serve``)."""

    def __init__(self, script: str, *arguments: str, threads: Optional[int] = None) -> None:
        own = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        environment = {name: value for name, value in os.environ.items() if name not in SET_HERE}
        command = [sys.executable, "-W", "ignore", str(Path(__file__).resolve().parent / script), *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**environment, **own}
        )

    def ask(self, job: str) -> dict[str, Any]:
        """Let it do a job; return its answer, in which are ``seconds``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(job + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer {self.process.args} ended at {job!r} with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def way(self, job: str) -> Way:
        """Return a job as a way."""
        return lambda: float(self.ask(job)["seconds"])

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve(jobs: dict[str, Callable[[], Any]]) -> None:
    """Answer each line of standard input, a job's name, with its seconds and what else it returns as a dict."""
    for line in sys.stdin:
        start = time.perf_counter()
        answer = jobs[line.strip()]()
        passed = time.perf_counter() - start
        print(json.dumps({"seconds": passed, **(answer if isinstance(answer, dict) else {})}), flush=True)


def has_torch() -> bool:
    """Say whether PyTorch, the extra [bench], is installed."""
    import importlib.util

    return importlib.util.find_spec("torch") is not None


def measure_limits(rounds: int = LEAST_ROUNDS) -> Limits:
    """Measure a large float32 matrix product and a large copy: the best of the rounds is the limit.

    The product is that of ``nd.FullyConnected`` (oneDNN) or of NumPy (OpenBLAS), whichever is faster; ``nd.dot`` is
    slower than both. The copy is larger than the caches of the processors.
    """
    import gluonbook  # noqa: F401  before NumPy
    import numpy as np  # isort: skip

    from gluonbook._mxnet import nd, usable_cpus

    A, B, C = (np.ones((SIDE, SIDE), np.float32) for _ in range(3))
    X, W = nd.array(A), nd.array(B)
    parts = np.ones((2, usable_cpus(), COPIED // 4 // usable_cpus()), np.float32)  # from and to, a row a processor
    pool = ThreadPoolExecutor(usable_cpus())
    seconds = alternate(
        {
            "oneDNN": timed(lambda: nd.FullyConnected(X, W, no_bias=True, num_hidden=SIDE).wait_to_read()),
            "NumPy": timed(lambda: np.matmul(A, B, out=C)),
            "copy": timed(lambda: list(pool.map(np.copyto, parts[1], parts[0]))),
        },
        rounds,
    )
    pool.shutdown()
    return Limits(2 * SIDE**3 / min(seconds["oneDNN"] + seconds["NumPy"]), 2 * COPIED / min(seconds["copy"]))


def share_of_limit(figure: Figure, limits: Limits) -> Optional[float]:
    """Return the least time that the machine needs for the work, as a share of this package's median."""
    least = max(figure.flops / limits.gemm, figure.moved / limits.copy)
    return least / statistics.median(figure.seconds[OWN]) if least else None


def machine() -> dict[str, Any]:
    """Say what this is measured on: the processor, the threads and kernels that libraries are told, versions."""
    import importlib.metadata

    from gluonbook import _mxnet

    found: dict[str, Any] = {
        "processor": _processor(),
        "processors": _mxnet.usable_cpus(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        "OpenBLAS": os.environ.get("OPENBLAS_CORETYPE", "not set"),
        "system": platform.system(),
        "python": platform.python_version(),
        **_mxnet.installed_builds(),
    }
    for name in ("numpy", "gluoncv", "d2l", "torch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def table(figures: Sequence[Figure], limits: Optional[Limits] = None) -> str:
    """Return figures as Markdown: medians with their spread, ratios to each peer, share of the limit.

    Neighbours with the same ways share a table; the notes stand below all.
    """
    parts: list[list[Figure]] = []
    for figure in figures:
        if parts and list(parts[-1][0].seconds) == list(figure.seconds):
            parts[-1].append(figure)
        else:
            parts.append([figure])
    notes = "\n".join(f"- {_plain(figure.job)}: {figure.note}" for figure in figures if figure.note)
    return "\n\n".join([_same_ways(part, limits) for part in parts] + ([notes] if notes else []))


def _same_ways(figures: Sequence[Figure], limits: Optional[Limits]) -> str:
    own, *peers = figures[0].seconds
    shares = [None if limits is None else share_of_limit(figure, limits) for figure in figures]
    head = ["job", own, *peers, *(f"÷ {peer}" for peer in peers)]
    rows = [
        [figure.job, _own_cell(figure), *(_cell(figure, peer) for peer in peers), *(_ratio(figure, p) for p in peers)]
        for figure in figures
    ]
    if any(share is not None for share in shares):
        head.append("of the limit")
        for row, share in zip(rows, shares):
            row.append("–" if share is None else f"{share:.0%}")
    lines = ["| " + " | ".join(map(_plain, row)) + " |" for row in [head, *rows]]
    return "\n".join([lines[0], "|---" + "|---:" * (len(head) - 1) + "|", *lines[1:]])


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _own_cell(figure: Figure) -> str:
    cell = _cell(figure, OWN)
    return f"{cell}, {_mark(meets_bound(figure))} at most {figure.bound:g} s" if figure.bound else cell


def _cell(figure: Figure, way: str) -> str:
    values = figure.seconds[way]
    if figure.unit == "1/s":
        shown, unit = [figure.count / value for value in values], "/s"
    else:
        shown, unit = [value * (1e3 if figure.unit == "ms" else 1.0) for value in values], f" {figure.unit}"
    middle, least, most = (_three_digits(value) for value in (statistics.median(shown), min(shown), max(shown)))
    if len(values) == 1:
        return f"{middle}{unit} (once)"
    return f"{middle}{unit} ({least}–{most}{'' if len(values) >= LEAST_ROUNDS else f', {len(values)} rounds'})"


def _three_digits(value: float) -> str:
    decimals = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:,.{max(0, decimals)}f}"


def ratio(figure: Figure, peer: str) -> float:
    """Return this package's median time over a peer's."""
    return statistics.median(figure.seconds[OWN]) / statistics.median(figure.seconds[peer])


def meets_reach(figure: Figure, peer: str) -> bool:
    """Say whether this package's median is at most the share of a peer's that the figure wants."""
    return ratio(figure, peer) <= figure.reach[peer]


def meets_bound(figure: Figure) -> bool:
    """Say whether this package's median is within the figure's bound."""
    return statistics.median(figure.seconds[OWN]) <= figure.bound


def _mark(met: bool) -> str:
    return "✓" if met else "✗"


def _ratio(figure: Figure, peer: str) -> str:
    value = ratio(figure, peer)
    reached = f" {_mark(meets_reach(figure, peer))}" if peer in figure.reach else ""
    return f"{value:.3f}{reached}" if value < 0.095 else f"{value:.2f}{reached}"


def main(measure: Callable[[int], list[Figure]], description: str) -> None:
    """Run one benchmark by itself and print its table."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="counted rounds of each way")
    chosen = parser.parse_args()
    if chosen.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {chosen.rounds}")
    from gluonbook import _mxnet

    _mxnet.load()
    import numpy as np

    np.random.seed(0)
    print(" ".join(f"{name} {value}" for name, value in machine().items()), flush=True)
    limits = measure_limits()
    print(f"limits: {limits.gemm / 1e9:,.0f} GFLOP/s, {limits.copy / 1e9:.1f} GB/s", flush=True)
    print(table(measure(chosen.rounds), limits))
