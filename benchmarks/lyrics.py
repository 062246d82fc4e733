"""Training and generation of lyrics models beside PyTorch and beside the 2018 book.

    python benchmarks/lyrics.py [--rounds 7]

``book`` is MXNet as the book uses it: the threads that MXNet takes by itself (half of the processors), one-hot inputs,
nothing hybridized, loss and gradients' norm read back at each step, plain gradient descent. PyTorch does this package's
work: embedding, Adam (its fused form), cosine schedule; its network from scratch multiplies one-hot vectors.

A training step is one of 10 of an epoch on random tokens: vocabulary 1,027, batch 32, 35 steps, hidden 256, embedding
128. The time to a training perplexity of 1.3 is on the first 10,000 characters of the embedded songs. This package's
default recipe runs in a fresh process each round, and measures a held-out part after each epoch; importing MXNet is not
counted. PyTorch's process stays, and holds nothing out. Generation draws 500 characters of one row with random weights;
the book's takes the most probable ones.
"""

import inspect
import statistics
from typing import Any

import gluonbook  # noqa: F401  before NumPy: see measuring

import numpy as np  # isort: skip
from lyrics_peers import (
    BOOK_RATE,
    BOOK_THETA,
    BOUND,
    CELLS,
    LEARN,
    LENGTH,
    SCRATCH,
    STEP,
    STEPS,
    TEMPERATURE,
    WRITE,
    E,
    H,
    N,
    T,
    V,
    batches,
    random_corpus,
)
from measuring import LEAST_ROUNDS, OWN, STEP_TURNS, Figure, Peer, Way, alternate, has_torch, main, timed

TORCH, BOOK = "PyTorch", "book"
STEP_REACH, LEARN_REACH = 1.1, 1 / 50
FLOAT = 4  # bytes
PRODUCTS = 3  # forward, and two backward


def figures(rounds: int = LEAST_ROUNDS) -> list[Figure]:
    """Measure steps, times to the bound, and generation."""
    peers = {TORCH: Peer("lyrics_peers.py", "torch")} if has_torch() else {}
    peers[BOOK] = Peer("lyrics_peers.py", "book", threads=max(1, processors() // 2))
    try:
        found = [step(kind, rounds, peers) for kind in (SCRATCH, *CELLS)]
        found += learning(rounds, peers)
        return found + [generation(cell, rounds, peers) for cell in CELLS]
    finally:
        for peer in peers.values():
            peer.close()


def processors() -> int:
    """Count the processors of this process."""
    from gluonbook import _mxnet

    return _mxnet.usable_cpus()


def step(kind: str, rounds: int, peers: dict[str, Peer]) -> Figure:
    """Measure a training step: from scratch, or by a cell."""
    job = f"{STEP}, {kind}"
    ways = {OWN: scratch_epoch() if kind == SCRATCH else cell_epoch(kind)}
    ways.update({name: peer.way(job) for name, peer in peers.items()})
    seconds = {
        name: [value / STEPS for value in values] for name, values in alternate(ways, STEP_TURNS * rounds).items()
    }
    recurrent = H * H if kind == SCRATCH else CELLS[kind] * H * (E + H)
    params = V * H + H + recurrent + H * V + V if kind == SCRATCH else V * E + recurrent + H * V + V
    accesses = 2 if kind == SCRATCH else 6  # weights, and with Adam its two moments: read and written
    return Figure(
        job,
        seconds,
        flops=2.0 * PRODUCTS * N * T * (recurrent + H * V),
        moved=float(accesses * FLOAT * params),
        reach={TORCH: STEP_REACH},
    )


def scratch_epoch() -> Way:
    """Return an epoch of the network from scratch."""
    from gluonbook._mxnet import mx, nd
    from gluonbook.lyrics import from_scratch

    mx.random.seed(0)
    params, given = from_scratch.init_params(V, H), batches(random_corpus())

    def epoch() -> None:
        list(from_scratch.train_epochs(params, lambda: given, 1, BOOK_RATE, BOOK_THETA))
        nd.waitall()

    return timed(epoch)


def cell_epoch(cell: str) -> Way:
    """Return an epoch of the default recipe with a cell."""
    from gluonbook import lyrics
    from gluonbook._mxnet import mx, nd
    from gluonbook.lyrics import training

    defaults = {name: given.default for name, given in inspect.signature(lyrics.train).parameters.items()}
    recipe = {**{name: defaults[name] for name in training.RECIPE}, "cell": cell, "held_out": 0.0}
    run = training._Run(vocabulary(), recipe, mx.cpu())
    corpus = random_corpus()

    def epoch() -> None:
        run.history.clear()
        run.train_epoch(corpus, corpus[:0], lambda count: None)
        nd.waitall()

    return timed(epoch)


def vocabulary() -> Any:
    """Return a vocabulary of V characters."""
    from gluonbook import lyrics

    return lyrics.Vocabulary.from_tokens([chr(0x4E00 + i) for i in range(V)])


def learning(rounds: int, peers: dict[str, Peer]) -> list[Figure]:
    """Measure the time to the bound by each cell, in turn with PyTorch's, and the book's once."""
    book = peers[BOOK].ask(LEARN)
    ended = f"after {book['epochs']} epochs with perplexity {book['perplexity']:.2f}"
    note = f"the book's recipe (from scratch) ran once and ended {ended}"
    if book["perplexity"] >= BOUND:
        note += "; it did not get there, and its whole time is compared"
    found = []
    for cell in CELLS:
        job, answers = f"{LEARN}, {cell}", []

        def own(job: str = job, answers: list[dict[str, Any]] = answers) -> float:
            peer = Peer("lyrics_peers.py", "package")
            answers.append(peer.ask(job))
            peer.close()
            return float(answers[-1]["passed"])

        ways = {OWN: own, **({TORCH: peers[TORCH].way(job)} if TORCH in peers else {})}
        seconds = {**alternate(ways, rounds), BOOK: [book["seconds"]]}
        epochs = statistics.median(answer["epochs"] for answer in answers)
        missed = sum(answer["perplexity"] >= BOUND for answer in answers)
        said = f"{note}; {OWN} took {epochs:g} epochs" + (f", {missed} runs missed the bound" if missed else "")
        found.append(Figure(job, seconds, unit="s", reach={BOOK: LEARN_REACH}, note=said))
    return found


def generation(cell: str, rounds: int, peers: dict[str, Peer]) -> Figure:
    """Measure generation with random weights."""
    from gluonbook import lyrics

    job, model = f"{WRITE}, {cell}", random_model(cell)
    prefix = model.vocabulary.tokens[0]
    ways = {OWN: timed(lambda: lyrics.generate(model, prefix, LENGTH, temperature=TEMPERATURE, seed=0))}
    ways.update({name: peer.way(job) for name, peer in peers.items()})
    flops = 2.0 * LENGTH * (CELLS[cell] * H * H + H * V)
    return Figure(job, alternate(ways, rounds), flops=flops, unit="1/s", count=LENGTH)


def random_model(cell: str) -> Any:
    """Return a model whose weights nobody trained."""
    from gluonbook import lyrics

    gates, rng = CELLS[cell], np.random.default_rng(0)
    shapes = {
        "embedding.weight": (V, E),
        "dense.weight": (V, H),
        "dense.bias": (V,),
        "layers.0._unfused.0.i2h_weight": (gates * H, E),
        "layers.0._unfused.0.h2h_weight": (gates * H, H),
        "layers.0._unfused.0.i2h_bias": (gates * H,),
        "layers.0._unfused.0.h2h_bias": (gates * H,),
    }
    weights = {name: rng.normal(scale=0.1, size=shape).astype(np.float32) for name, shape in shapes.items()}
    return lyrics.TrainedModel(weights, vocabulary(), {"cell": cell, "level": "char"})


if __name__ == "__main__":
    main(figures, __doc__)
