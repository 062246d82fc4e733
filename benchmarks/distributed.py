"""What training among workers is computed from: steps on one machine, the parameter server, two workers beside one.

    python benchmarks/distributed.py [--rounds 7]

Steps of lyrics (GRU, vocabulary 1,027, embedding 128, hidden 256, 35 steps, random tokens; the mean of an epoch of 10)
and of TinySSD (256×256), each at its batch and at a smaller one, with all processors. Then the parameter server by
itself: one worker and one server, a thread each, push and pull arrays over loopback; the median of 20 times is a round.
At last lyrics among workers: two with 32 rows each and a server share the machine, a thread each; the one worker has
32 rows and a thread, too. The difference is what gradients, sums and waiting cost where the network is memory. These
steps are those of whole epochs after the first, without measuring; the median of a run is a round.
``docs/make_scaling.py`` reads all.
"""

import contextlib
import inspect
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import gluonbook  # noqa: F401  before NumPy: see measuring

import numpy as np  # isort: skip
from distributed_peers import (
    CHARACTERS,
    DETECTION_ROWS,
    EMBEDDING,
    EPOCHS,
    EXCHANGES,
    HIDDEN,
    LYRICS_ROWS,
    LYRICS_STEPS,
    ONE_WORKER,
    ROWS,
    SIDE,
    STEPS,
    TWO_WORKERS,
    VOCABULARY,
    detection_step,
    lyrics_step,
)
from measuring import LEAST_ROUNDS, OWN, Figure, Peer, Way, alternate, main, timed

ROLES = ("scheduler", "server", "worker")
MOST = 60.0  # seconds that all rounds with the parameter server may take
END = 10.0  # seconds that each of its processes has to end by itself


def figures(rounds: int = LEAST_ROUNDS) -> list[Figure]:
    """Measure steps, the parameter server, and workers."""
    launched = {
        ONE_WORKER: launched_step(ROWS, []),
        TWO_WORKERS: launched_step(2 * ROWS, ["launch", "-n", "2", "-s", "1", "--"]),
    }
    seconds = {**steps(rounds), **exchanges(rounds), **alternate(launched, rounds)}
    return [Figure(job, {OWN: values}) for job, values in seconds.items()]


def steps(rounds: int) -> dict[str, list[float]]:
    """Measure the steps in this process by job; batches of one training take turns, before the other is built."""
    return {
        **alternate({lyrics_step(rows): lyrics(rows) for rows in LYRICS_ROWS}, rounds),
        **alternate({detection_step(rows): detection(rows) for rows in DETECTION_ROWS}, rounds),
    }


def lyrics(rows: int) -> Way:
    """Return a way that trains the default recipe for an epoch of a few steps and takes the seconds of one."""
    from gluonbook import lyrics
    from gluonbook._mxnet import mx, nd
    from gluonbook.lyrics import training

    vocabulary = lyrics.Vocabulary.from_tokens([chr(0x4E00 + i) for i in range(VOCABULARY)])
    corpus = np.random.default_rng(0).integers(0, VOCABULARY, rows * (LYRICS_STEPS * STEPS + 1)).astype(np.int32)
    defaults = {name: given.default for name, given in inspect.signature(lyrics.train).parameters.items()}
    recipe = {name: defaults[name] for name in training.RECIPE}
    recipe.update(cell="gru", embedding_size=EMBEDDING, num_hiddens=HIDDEN, batch_size=rows, num_steps=STEPS)
    run = training._Run(vocabulary, recipe, mx.cpu())

    def epoch() -> None:
        run.history.clear()
        run.train_epoch(corpus, corpus[:0], lambda count: None)
        nd.waitall()

    whole = timed(epoch)
    return lambda: whole() / LYRICS_STEPS


def detection(rows: int) -> Way:
    """Return a way that takes a step of TinySSD."""
    from gluonbook import data
    from gluonbook._mxnet import mx, nd
    from gluonbook.detection import training

    train_set, _ = data.embedded_detection()
    recipe = {"network": "tiny", "size": SIDE, "num_epochs": 1, "batch_size": rows, "lr": 1e-3, "wd": 0.0}
    recipe.update(negative_ratio=3.0, seed=0)
    run = training._Run(train_set.classes, recipe, [mx.cpu()], "benchmark")
    batch = next(training.epoch_batches(train_set.subset(range(rows)), SIDE, rows, 0, 1))

    def step() -> None:
        run._step(batch)
        nd.waitall()

    return timed(step)


def exchanges(rounds: int) -> dict[str, list[float]]:
    """Measure the parameter server by job."""
    with parameter_server() as worker:
        return alternate({job: worker.way(job) for job in EXCHANGES}, rounds)


@contextlib.contextmanager
def parameter_server() -> Iterator[Peer]:
    """Start a scheduler, a server and a worker, which is yielded; none of them is there afterwards, come what may."""
    from gluonbook.distributed.launching import _free_port

    port, peers = str(_free_port()), []
    try:
        for role in ROLES:
            peers.append(Peer("distributed_peers.py", role, port, threads=1))
        *_, worker = peers
        limit = threading.Timer(MOST, worker.process.kill)  # its answer then fails
        limit.daemon = True
        limit.start()
        try:
            yield worker
        finally:
            limit.cancel()
    finally:
        for peer in reversed(peers):  # the others end when the worker has
            end(peer)


def end(peer: Peer) -> None:
    """Let a process end; kill it where it does not soon."""
    assert peer.process.stdin is not None
    assert peer.process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        peer.process.stdin.close()
    try:
        peer.process.wait(END)
    except subprocess.TimeoutExpired:
        peer.process.kill()
        peer.process.wait()
    peer.process.stdout.close()


def launched_step(rows: int, launch: list[str]) -> Way:
    """Return a way that trains in processes of its own and takes the seconds of a step."""

    def way() -> float:
        from gluonbook import data

        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "songs.txt"
            corpus.write_text(data.embedded_songs()[:CHARACTERS], encoding="utf-8")
            settings = {"batch-size": rows, "steps": STEPS, "epochs": EPOCHS, "held-out": 0, "out": f"{folder}/out"}
            flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
            gluonbook = [sys.executable, "-W", "ignore", "-m", "gluonbook"]
            command = [*gluonbook, *launch, "lyrics", "train", str(corpus), *flags, "--device", "cpu"]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            history = json.loads((Path(folder) / "out" / "model.json").read_text(encoding="utf-8"))["history"]
        batches = (CHARACTERS // rows - 1) // STEPS
        return statistics.median(entry["seconds"] for entry in history[1:]) / batches

    return way


if __name__ == "__main__":
    main(figures, __doc__ or "")
