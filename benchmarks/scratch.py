"""The convolution that is written in NumPy beside MXNet's own, in one run.

    python benchmarks/scratch.py [--rounds 15] [--out benchmarks/scratch.json]

The first layer of AlexNet forward: a picture of 227×227×3, 96 filters of 11×11, stride 4, with the same weights for
all. ``scratch`` is ``gluonbook.scratch.Conv2D``, in float64 and in float32; ``mxnet`` is ``nd.Convolution`` in float32,
waited for; with the threads that MXNet and NumPy take by themselves. The three take turns, after a call each that is
not counted; a ratio compares medians. The reach is three times MXNet's time. The largest difference from MXNet's
output, and the parts of the float64 layer, are told besides.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lyrics import machine

REACH = 3.0


def jobs():
    """Return the work to time, one function a way of doing it; each returns (1, 96, 55, 55)."""
    from gluonbook import scratch
    from gluonbook._mxnet import nd

    rng = np.random.default_rng(0)
    X, b = rng.normal(size=(1, 3, 227, 227)), rng.normal(size=96)
    W = scratch.weights((96, 3, 11, 11), "he", rng)
    arrays = [nd.array(array) for array in (X, W, b)]

    def theirs():
        Y = nd.Convolution(*arrays, kernel=(11, 11), stride=(4, 4), num_filter=96)
        Y.wait_to_read()
        return Y

    work = {"mxnet float32": theirs}
    for dtype in ("float64", "float32"):
        layer = scratch.Conv2D(W.astype(dtype), b.astype(dtype), stride=4)
        work[f"scratch {dtype}"] = functools.partial(layer.forward, X.astype(dtype))
    columns, rows = scratch.im2col(X, 11, 4), W.reshape(96, -1)
    parts = {"im2col": lambda: scratch.im2col(X, 11, 4), "matrix product": lambda: rows @ columns}
    return work, parts


def alternating(work, rounds):
    """Return each function's seconds by name: all take turns, after one call that is not counted."""
    seconds = {name: [] for name in work}
    for function in work.values():
        function()
    for _ in range(rounds):
        for name, function in work.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="calls of each, at least 7")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    chosen = parser.parse_args()
    if chosen.rounds < 7:
        parser.error(f"--rounds must be at least 7, got {chosen.rounds}")
    found = machine()
    print(" ".join(f"{name} {value}" for name, value in found.items()))
    work, parts = jobs()
    right = work["mxnet float32"]().asnumpy()
    seconds = alternating(work, chosen.rounds)
    base = statistics.median(seconds["mxnet float32"])
    print(f"{'227x227x3, 96 of 11x11, stride 4':<34}{'median':>9}{'least':>9}{'× mxnet':>10}{'difference':>12}")
    ratios = {}
    for name, times in seconds.items():
        output = work[name]()
        off = np.abs((output.asnumpy() if hasattr(output, "asnumpy") else output) - right).max()
        ratios[name] = statistics.median(times) / base
        print(f"{name:<34}{statistics.median(times) * 1e3:>7.2f}ms{min(times) * 1e3:>7.2f}ms", end="")
        print(f"{ratios[name]:>10.2f}{off:>12.1e}")
    for name, times in alternating(parts, chosen.rounds).items():
        print(f"{'  float64, ' + name:<34}{statistics.median(times) * 1e3:>7.2f}ms{min(times) * 1e3:>7.2f}ms")
    worst = max(ratios.values())
    print(f"within {REACH:g} times of MXNet: {'yes' if worst <= REACH else 'no'} ({worst:.2f})")
    if chosen.out:
        chosen.out.write_text(json.dumps({"machine": found, "seconds": seconds, "ratios": ratios}, indent=1) + "\n")


if __name__ == "__main__":
    main()
