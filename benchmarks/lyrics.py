"""Training of lyrics models beside the notes' recipe, and generation, in one run.

    python benchmarks/lyrics.py [--rounds 3] [--out benchmarks/lyrics.json]

Each figure comes from a process of its own. All train on the first 10,000 characters of the embedded songs, hidden 256,
batch 32, 35 steps. ``notes``: the network from scratch, plain gradient descent, learning rate 100, gradients clipped to
0.01, 250 epochs, with the threads that MXNet takes by itself (half of the processors). ``rnn``, ``gru``, ``lstm``: this
package's default recipe. Its held-out perplexity is that of the 1,111 characters which follow. Times are wall time
from the first epoch on, to the first epoch below a perplexity of 1.3, and in all; importing MXNet is not in them.
``times faster`` compares the times to 1.3; where the notes' recipe does not get there, its 250 epochs in all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHARACTERS, HELD_OUT, BOUND = 10_000, 1_111, 1.3
CELLS = ("rnn", "gru", "lstm")


def notes():
    """Train by the notes' recipe."""
    from gluonbook import data, lyrics
    from gluonbook._mxnet import mx
    from gluonbook.lyrics import from_scratch

    text = data.embedded_songs()[:CHARACTERS].replace("\n", " ")
    vocabulary = lyrics.Vocabulary(text)
    corpus = vocabulary.encode(text)
    mx.random.seed(0)
    params = from_scratch.init_params(len(vocabulary), 256)
    figures = {"to_bound": None, "epochs_to_bound": None, "held_out": None}
    start = time.perf_counter()
    epochs = from_scratch.train_epochs(params, lambda: lyrics.batches_adjacent(corpus, 32, 35))
    for epoch, perplexity in enumerate(epochs, 1):
        if perplexity < BOUND and figures["to_bound"] is None:
            figures.update(to_bound=time.perf_counter() - start, epochs_to_bound=epoch)
    return {**figures, "total": time.perf_counter() - start, "perplexity": perplexity}


def package(cell):
    """Train a Gluon network by this package's default recipe."""
    from gluonbook import _mxnet, data, lyrics

    _mxnet.load()
    text = data.embedded_songs()[: CHARACTERS + HELD_OUT].replace("\n", " ")
    start = time.perf_counter()
    model = lyrics.train(text, None, cell=cell, held_out=HELD_OUT / len(text), device="cpu")
    total = time.perf_counter() - start
    passed, reached, epoch = 0.0, None, None
    for entry in model.history:
        passed += entry["seconds"]
        if entry["train"] < BOUND and reached is None:
            reached, epoch = passed, entry["epoch"]
    last = model.history[-1]
    return {
        "to_bound": reached,
        "epochs_to_bound": epoch,
        "total": total,
        "perplexity": last["train"],
        "held_out": last["held_out"],
    }


def generation():
    """Generate on one core with 256 hidden units: characters a second, by cell."""
    import numpy as np

    from gluonbook import lyrics

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    trained = lyrics.load_model(lyrics.embedded_model())
    V, E, H, rng = len(trained.vocabulary), 128, 256, np.random.default_rng(0)
    rates = {}
    for cell, gates in zip(CELLS, (1, 3, 4)):
        shapes = {
            "embedding.weight": (V, E),
            "dense.weight": (V, H),
            "dense.bias": (V,),
            "layers.0._unfused.0.i2h_weight": (gates * H, E),
            "layers.0._unfused.0.h2h_weight": (gates * H, H),
            "layers.0._unfused.0.i2h_bias": (gates * H,),
            "layers.0._unfused.0.h2h_bias": (gates * H,),
        }
        weights = {name: rng.normal(scale=0.1, size=shape).astype("float32") for name, shape in shapes.items()}
        model = lyrics.TrainedModel(weights, trained.vocabulary, {"cell": cell, "level": "char"})
        start = time.perf_counter()
        lyrics.generate(model, "分开", 10_000, seed=0)
        rates[cell] = 10_000 / (time.perf_counter() - start)
    return rates


def in_process(job, threads):
    """Run a job in a new process with that many threads and return its figures."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    command = [sys.executable, "-W", "ignore", __file__, "--job", job]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def median(runs, key):
    """Return the median of a figure over runs; nan where a run has none."""
    values = [run[key] for run in runs]
    return float("nan") if None in values else statistics.median(values)


def machine():
    """Say what this was measured on."""
    import platform

    import numpy

    from gluonbook import _mxnet

    versions = {**_mxnet.installed_builds(), "numpy": numpy.__version__}
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processors": cpus, "python": platform.python_version(), **versions}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of this package's recipes; the notes' is run once")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.job:
        print(json.dumps({"notes": notes, "generation": generation}.get(chosen.job, lambda: package(chosen.job))()))
        return
    found = machine()
    cpus = found["processors"]
    print(" ".join(f"{name} {value}" for name, value in found.items()))
    figures = {cell: [in_process(cell, cpus) for _ in range(chosen.rounds)] for cell in CELLS}
    figures["notes"] = [in_process("notes", max(1, cpus // 2))]
    rates = [in_process("generation", 1) for _ in range(chosen.rounds)]
    print(f"{'recipe':<8}{'epochs':>8}{'to 1.3':>9}{'in all':>9}{'perplexity':>12}{'held out':>10}{'times faster':>14}")
    baseline = figures["notes"][0]["to_bound"] or figures["notes"][0]["total"]
    for name, runs in figures.items():
        row = {key: median(runs, key) for key in ("epochs_to_bound", "to_bound", "total", "perplexity", "held_out")}
        cells = [f"{value:.3f}" if key == "perplexity" else f"{value:.1f}" for key, value in row.items()]
        print(f"{name:<8}{cells[0]:>8}{cells[1]:>8}s{cells[2]:>8}s", end="")
        print(f"{cells[3]:>12}{cells[4]:>10}{baseline / row['to_bound']:>14.1f}")
    for cell in CELLS:
        print(f"generation, {cell}, one core: {statistics.median(run[cell] for run in rates):,.0f} characters/s")
    if chosen.out:
        chosen.out.write_text(json.dumps({"machine": found, "training": figures, "generation": rates}, indent=1) + "\n")


if __name__ == "__main__":
    main()
