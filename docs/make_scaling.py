"""Write ``docs/scaling.md``: how far training on several machines scales, computed from measured step times.

    python docs/make_scaling.py

All times and rates come from ``benchmarks/results.json``, sizes from the networks. A test holds the page against what
this script would write.
"""

import functools
import math
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from gluonbook import _files

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import distributed_peers as jobs  # noqa: E402

PAGE, RESULTS = ROOT / "docs" / "scaling.md", ROOT / "benchmarks" / "results.json"

LOOPBACK_VOCABULARY = 1219  # of the text that two workers, and one, trained on

BYTES = 4  # a parameter
SLICED_FROM = 1_000_000  # elements; MXNET_KVSTORE_BIGARRAY_BOUND
COUNTS = (1, 2, 4, 8, 16, 32, 64)
NETWORKS = {"1 Gbit/s": 1e9 / 8, "10 Gbit/s": 10e9 / 8, "25 Gbit/s": 25e9 / 8}
SERVERS: dict[str, Callable[[int], int]] = {"1 server": lambda n: 1, "n/4 servers": lambda n: max(1, n // 4)}
PAYS = 0.5  # efficiency


class Training(NamedTuple):
    """A training whose scaling is asked for.

    Attributes:
        name: what the page calls it.
        step: returns the job of its step, by its rows.
        averaged: steps whose mean is a round's time.
        batch, small_batch: rows.
        sizes: returns the elements of each array that a worker pushes, by its key.
    """

    name: str
    step: Callable[[int], str]
    averaged: int
    batch: int
    small_batch: int
    sizes: Callable[[], dict[int, int]]


class Work(NamedTuple):
    """What a step costs on one machine.

    Attributes:
        batch: rows.
        step: seconds, the median.
        spread: standard deviation of a step's time, as a share of it.
        fixed: share of the step that does not shrink with the batch, 0 to 1.
        sizes: elements of each array that a worker pushes, by its key.
    """

    batch: int
    step: float
    spread: float
    fixed: float
    sizes: Mapping[int, int]


class Store(NamedTuple):
    """What a server of MXNet's store takes.

    Attributes:
        rate: bytes a second through the store and ps-lite, there and back, over loopback.
        message: seconds that a server is busy with one worker's array, however small.
        round_trip: seconds for one small array, there and back.
        copy: bytes a second that a server reads and writes.
    """

    rate: float
    message: float
    round_trip: float
    copy: float


class Cluster(NamedTuple):
    """Workers and servers, each on a machine of its own.

    Attributes:
        workers, servers: how many, at least 1; one worker trains alone, without a server.
        bandwidth: bytes a second of each machine's link, each way together.
        store: what each server takes.
    """

    workers: int
    servers: int
    bandwidth: float
    store: Store


class Parts(NamedTuple):
    """Seconds of the parts of a step, one after the other."""

    compute: float
    waiting: float
    wire: float
    adding: float
    messages: float


def lyrics_sizes(vocab_size: int = jobs.VOCABULARY) -> dict[int, int]:
    """Return the arrays of the lyrics model: V as in the step that is measured if not given."""
    from gluonbook.lyrics.model import LanguageModel

    params = LanguageModel(vocab_size, "gru", jobs.HIDDEN, 1, jobs.EMBEDDING).collect_params()
    return pushed(params[name] for name in sorted(params))  # a trainer sorts a dict's names


def detection_sizes() -> dict[int, int]:
    """Return the arrays of TinySSD for the embedded set's three classes."""
    from gluonbook._mxnet import nd
    from gluonbook.detection.ssd import tiny_ssd

    net = tiny_ssd(3)
    net.infer_shape(nd.zeros((1, 3, 256, 256)))
    return pushed(net._collect_params_with_prefix().values())


def pushed(params: Iterable[Any]) -> dict[int, int]:
    """Return the elements of each parameter that is learnt, by its number in the trainer, which is its key."""
    return {key: math.prod(param.shape) for key, param in enumerate(params) if param.grad_req != "null"}


TRAININGS = (
    Training("lyrics", jobs.lyrics_step, jobs.LYRICS_STEPS, *jobs.LYRICS_ROWS, lyrics_sizes),
    Training("TinySSD", jobs.detection_step, jobs.DETECTION_STEPS, *jobs.DETECTION_ROWS, detection_sizes),
)


def find(results: Mapping[str, Any], job: str) -> list[float]:
    """Return the seconds of a job in each round.

    Raises:
        ValueError: there is no such job, or they are not seconds.
    """
    for entry in results.get("sections", {}).get(jobs.SECTION, ()):
        if entry["job"] == job:
            seconds = entry["seconds"]["gluonbook"]
            if not seconds or min(seconds) <= 0:
                raise ValueError(f"job {job!r} of {RESULTS.name} must have seconds above 0, got {seconds}")
            return list(seconds)
    raise ValueError(f"{RESULTS.name} has no job {job!r} in section {jobs.SECTION!r}: run the benchmarks first")


def measured(results: Mapping[str, Any], training: Training) -> Work:
    """Return what a training's step costs, as measured.

    Raises:
        ValueError: a job is missing, or the small batch took as long as the whole one or as little as its share.
    """
    seconds, small = (find(results, training.step(rows)) for rows in (training.batch, training.small_batch))
    step = statistics.median(seconds)
    fixed = fixed_share(step, training.batch, statistics.median(small), training.small_batch)
    one_step = spread(seconds) * math.sqrt(training.averaged)
    return Work(training.batch, step, one_step, fixed, training.sizes())


def measured_store(results: Mapping[str, Any]) -> Store:
    """Return what a server takes, from exchanges of one large array, of many small ones, and of a small one.

    Raises:
        ValueError: a job is missing, or the small array took as long as one of the others.
    """
    large, many, small = (statistics.median(find(results, job)) for job in (jobs.LARGE, jobs.MANY, jobs.SMALL))
    for job, took in ((jobs.LARGE, large), (jobs.MANY, many)):
        if took <= small:
            raise ValueError(f"job {job!r} must take longer than {jobs.SMALL!r}, {small} s, got {took} s")
    rate = 2 * BYTES * sum(jobs.EXCHANGES[jobs.LARGE]) / (large - small)
    message = (many - small) / (len(jobs.EXCHANGES[jobs.MANY]) - 1)
    return Store(rate, message, small, results["limits"]["copy"])


def fixed_share(step: float, batch: int, small_step: float, small_batch: int) -> float:
    """Return the share of a step that no rows would take: a line through two batches.

    Raises:
        ValueError: it is not from 0 to 1.
    """
    a_row = (step - small_step) / (batch - small_batch)
    share = 1 - batch * a_row / step
    if not 0 <= share <= 1:
        raise ValueError(f"steps of {batch} and {small_batch} rows give a fixed share of {share:.2f}: not from 0 to 1")
    return share


def spread(seconds: Sequence[float]) -> float:
    """Return the standard deviation of times as a share of their median; 0 of a single one."""
    return statistics.stdev(seconds) / statistics.median(seconds) if len(seconds) > 1 else 0.0


@functools.lru_cache
def expected_maximum(n: int) -> float:
    """Return how many standard deviations the slowest of n lies above the mean, for normal times: ∫ x dΦ(x)ⁿ."""
    x = np.linspace(-9, 9, 18_001)
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x]) ** n
    return float(x[-1] - ((below[1:] + below[:-1]) / 2 * np.diff(x)).sum())  # by parts


def by_key(sizes: Mapping[int, int], servers: int) -> list[list[int]]:
    """Return the sizes that each server gets, as MXNet deals them: large arrays are sliced, others go by their key."""
    dealt: list[list[int]] = [[] for _ in range(servers)]
    for key, size in sizes.items():
        if size >= SLICED_FROM:
            for i, server in enumerate(dealt):
                server.append(size * (i + 1) // servers - size * i // servers)
        else:
            dealt[key * 9973 % servers].append(size)
    return dealt


def largest_first(sizes: Mapping[int, int], servers: int) -> list[list[int]]:
    """Return the sizes that each server would get, were each array given to the least loaded, largest first."""
    dealt: list[list[int]] = [[] for _ in range(servers)]
    for size in sorted(sizes.values(), reverse=True):
        min(dealt, key=sum).append(size)
    return dealt


def busiest(dealt: Sequence[Sequence[int]]) -> int:
    """Return the elements of the server that has the most."""
    return max(map(sum, dealt))


def parts(work: Work, cluster: Cluster, rows: int) -> Parts:
    """Return what a synchronous step of a batch takes.

    Args:
        work: on one machine.
        cluster: who takes part.
        rows: of the whole batch; at least one a worker.

    Returns:
        Parts; of one worker alone only ``compute`` is not 0.
    """
    n, servers, bandwidth, store = cluster
    share = math.ceil(rows / n)
    compute = work.step * (work.fixed + (1 - work.fixed) * share / work.batch)
    if n == 1:
        return Parts(compute, 0.0, 0.0, 0.0, 0.0)
    waiting = compute * work.spread * expected_maximum(n)
    if not work.sizes:
        return Parts(compute, waiting, 0.0, 0.0, 0.0)
    dealt = by_key(work.sizes, servers)
    most = BYTES * busiest(dealt) * n
    own = BYTES * sum(work.sizes.values())
    wire = 2 * max(own, most) / min(bandwidth, store.rate)
    messages = store.round_trip + store.message * n * max(map(len, dealt))
    return Parts(compute, waiting, wire, 3 * most / store.copy, messages)


def speed_up(work: Work, cluster: Cluster, weak: bool) -> Optional[float]:
    """Return how many times faster rows are trained on than by one machine alone.

    Args:
        weak: the batch grows with the workers; else it stays.

    Returns:
        the speed-up; None where a worker would be without a row.
    """
    n = cluster.workers
    rows = work.batch * n if weak else work.batch
    if rows < n:
        return None
    return (rows / work.batch) * work.step / sum(parts(work, cluster, rows))


def best(work: Work, store: Store, network: str, servers: str, weak: bool) -> tuple[int, float, int]:
    """Return the number of workers with the best speed-up, that speed-up, and the most workers half used or better."""
    found = {n: speed_up(work, cluster(n, store, network, servers), weak) for n in COUNTS}
    known = {n: value for n, value in found.items() if value is not None}
    n = max(known, key=known.__getitem__)
    return n, known[n], max(n for n, value in known.items() if value >= PAYS * n)


def cluster(n: int, store: Store, network: str, servers: str) -> Cluster:
    """Return a cluster of the tables, by the names of its columns."""
    return Cluster(n, SERVERS[servers](n), NETWORKS[network], store)


def page(results: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        results: as ``benchmarks/results.json`` holds them.

    Raises:
        ValueError: a job was not measured, or its times cannot be.
    """
    works = {training.name: measured(results, training) for training in TRAININGS}
    store = measured_store(results)
    told = {
        "processor": results.get("machine", {}).get("processor", "a processor that results.json does not name"),
        "copy": f"{store.copy / 1e9:.1f} GB/s",
        "store": f"{store.rate / 1e9:.1f} GB/s",
        "store_bits": f"{8 * store.rate / 1e9:.0f} Gbit/s",
        "message": f"{1e6 * store.message:.0f} µs",
        "large": f"{BYTES * jobs.EXCHANGES[jobs.LARGE][0] / 1e6:.1f} MB",
        "small": f"{BYTES * jobs.EXCHANGES[jobs.SMALL][0]} bytes",
        "round_trip": _ms(store.round_trip),
        "averaged": str(jobs.LYRICS_STEPS),
        "fixed": " and ".join(_fixed(training, works[training.name]) for training in TRAININGS),
        "summary": summary(works, store),
        "sizes": sizes_table(works, store),
        "load": load_table(works),
        "example": example(works["lyrics"], store),
        "sliced": f"{SLICED_FROM:,}",
        "pays": f"{PAYS:.0%}",
        "tables": "\n\n".join(_tables(works, store)),
        "stops": stops_table(works, store),
        "checked": "\n".join(check(results, works["lyrics"], store)),
    }
    return TEXT.format(**told)


def summary(works: Mapping[str, Work], store: Store) -> str:
    """Return which number of the tables' workers is fastest with a quarter as many servers, and how fast."""
    rows = []
    for name, work in works.items():
        for weak in (False, True):
            row = [f"{name}, the batch {'grows with the workers' if weak else f'stays at {work.batch}'}"]
            for network in NETWORKS:
                n, value, _ = best(work, store, network, "n/4 servers", weak)
                row.append("one machine" if n == 1 else f"{n} workers: {value:.1f}")
            rows.append(row)
    return _table(["training", *NETWORKS], rows)


def _fixed(training: Training, work: Work) -> str:
    return f"{work.fixed:.0%} for {training.name} (from steps of {training.batch} and {training.small_batch} rows)"


def sizes_table(works: Mapping[str, Work], store: Store) -> str:
    """Return what a worker computes and sends in a step, alone on the network."""
    head = ["training", "batch", "parameters", "arrays", "step", "spread", "sent and received", *NETWORKS]
    rows = []
    for name, work in works.items():
        elements = sum(work.sizes.values())
        moved = 2 * BYTES * elements
        times = [moved / min(bandwidth, store.rate) for bandwidth in NETWORKS.values()]
        row = [name, str(work.batch), f"{elements:,}", str(len(work.sizes)), _ms(work.step), f"{work.spread:.0%}"]
        rows.append([*row, f"{moved / 1e6:.2f} MB", *map(_ms, times)])
    return _table(head, rows)


def load_table(works: Mapping[str, Work]) -> str:
    """Return the busiest server's share of the parameters, as MXNet deals them and as they could be dealt."""
    ways = {"by key": by_key, "largest first": largest_first}
    head = ["servers", "even", *(f"{name}, {way}" for name in works for way in ways)]
    rows = []
    for servers in (1, 2, 4, 8, 16):
        row = [str(servers), f"{1 / servers:.0%}"]
        for work in works.values():
            row += [f"{busiest(deal(work.sizes, servers)) / sum(work.sizes.values()):.0%}" for deal in ways.values()]
        rows.append(row)
    return _table(head, rows)


def example(work: Work, store: Store) -> str:
    """Return the parts of one step as a reader can compute them: two workers, one server, 10 Gbit/s, lyrics."""
    n, servers, bandwidth = 2, 1, NETWORKS["10 Gbit/s"]
    found = parts(work, Cluster(n, servers, bandwidth, store), work.batch)
    elements, rate = sum(work.sizes.values()), min(bandwidth, store.rate)
    sums = {
        "computing": f"{_ms(work.step)} × ({work.fixed:.2f} + {1 - work.fixed:.2f} × {work.batch // n}/{work.batch})",
        "waiting": f"{_ms(found.compute)} × {work.spread:.3f} × {expected_maximum(n):.3f}",
        "the wire": f"2 × {BYTES} × {elements:,} × {n} B ÷ {rate / 1e9:.2f} GB/s",
        "adding": f"3 × {BYTES} × {elements:,} × {n} B ÷ {store.copy / 1e9:.1f} GB/s",
        "messages": f"{_ms(store.round_trip)} + {1e6 * store.message:.0f} µs × {n} × {len(work.sizes)}",
    }
    rows = [[name, text, _ms(value)] for (name, text), value in zip(sums.items(), found)]
    gain = work.step / sum(found)
    rows.append(["the step", "", _ms(sum(found))])
    rows.append(["speed-up", f"{_ms(work.step)} ÷ {_ms(sum(found))}", f"{gain:.2f}"])
    return _table(["part", "sum", "is"], rows)


def _tables(works: Mapping[str, Work], store: Store) -> Iterator[str]:
    for name, work in works.items():
        yield f"### {name}, the batch stays at {work.batch}"
        yield speed_table(work, store, weak=False)
        yield f"### {name}, the batch is {work.batch} times the workers"
        yield speed_table(work, store, weak=True)


def speed_table(work: Work, store: Store, weak: bool) -> str:
    """Return speed-ups, and in brackets efficiencies, by workers, networks and servers."""
    columns = [(network, servers) for network in NETWORKS for servers in SERVERS]
    rows = []
    for n in COUNTS:
        values = [speed_up(work, cluster(n, store, *column), weak) for column in columns]
        rows.append([str(n), *("–" if value is None else f"{value:.2f} ({value / n:.0%})" for value in values)])
    return _table(["n", *map(", ".join, columns)], rows)


def stops_table(works: Mapping[str, Work], store: Store) -> str:
    """Return, for each column of the tables, the workers with the best speed-up and the most that are half used."""
    rows = []
    for network in NETWORKS:
        for servers in SERVERS:
            row = [f"{network}, {servers}"]
            for work in works.values():
                for weak in (False, True):
                    n, value, half = best(work, store, network, servers, weak)
                    row.append(f"{n} ({value:.1f}); {half}")
            rows.append(row)
    return _table(["", *(f"{name}, batch {kind}" for name in works for kind in ("stays", "grows"))], rows)


def check(results: Mapping[str, Any], work: Work, store: Store) -> Iterator[str]:
    """Yield what two workers and a server on one machine took, beside what the model says of them."""
    one, two = (find(results, job) for job in (jobs.ONE_WORKER, jobs.TWO_WORKERS))
    sizes = lyrics_sizes(LOOPBACK_VOCABULARY)
    alone = work._replace(step=statistics.median(one), sizes=sizes)
    found = parts(alone, Cluster(2, 1, store.rate, store), 2 * work.batch)
    took, said = statistics.median(two), sum(found)
    names = {"compute": "computing", "wire": "the wire"}
    rows = [
        ["one worker alone, measured", _ms(alone.step), "1.00"],
        ["two workers and a server, measured", _ms(took), f"{2 * alone.step / took:.2f}"],
        ["two workers and a server, computed", _ms(said), f"{2 * alone.step / said:.2f}"],
        *([f"of that: {names.get(part, part)}", _ms(value), ""] for part, value in found._asdict().items()),
    ]
    yield "Two workers and one server ran on one machine, by its loopback, beside one worker alone. Each worker had one"
    yield f"thread and {work.batch} rows. The text has a vocabulary of its own: {sum(sizes.values()):,} parameters.\n"
    yield _table(["lyrics", "step", "speed-up"], rows)
    yield f"\nThe computed step is {said / took:.2f} times the measured one. The loopback counts as a network of"
    yield f"{store.rate / 1e9:.1f} GB/s, as above. That workers and server share the processors is not in the model."


def _ms(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:.0f} ms" if value >= 99.5 else f"{value:.1f} ms" if value >= 9.95 else f"{value:.2f} ms"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


TEXT = """\
# How far training on several machines scales

Made by `docs/make_scaling.py`. The numbers are computed, from steps that were measured on one machine and from the
sizes of the networks; the section "Held against a measurement" says what was run with several workers. The machine:
{processor}.

The fastest number of workers, of 1 to 64, with one server for every four of them; and how many times the rows of one
machine alone they train on in the same time:

{summary}

## How to run it

Two workers and one server on this machine, whose processors they share: a trial of what follows.

```bash
gluonbook launch -n 2 -s 1 -- lyrics train --out out/together
gluonbook launch -n 2 -s 1 -- detect-train --out out/detector
```

On two hosts. The file names one a line; servers and workers are started on them by turns, over ssh, in a folder of the
same name with a Python of the same path:

```bash
printf 'alpha\\nbeta\\n' > hosts
gluonbook launch -n 2 -s 1 -H hosts -- lyrics train --out out/together
```

Without waiting for each other, and on from the last checkpoint:

```bash
gluonbook launch -n 2 -s 1 -- lyrics train --out out/apart --kvstore dist_async
gluonbook launch -n 2 -s 1 -- lyrics train --out out/together --resume
```

Worker 0 prints, measures and writes; the others only compute.

## What the batch and the learning rate mean

The batch is that of all workers together. Of a batch of 32, each of four workers takes 8 rows. With `dist_sync` the
servers add up what the workers found, and every worker takes the same step: it is the step that one machine would take
with all 32 rows, but for rounding. In TinySSD's batch norm a worker's mean and variance are those of its own pictures.

The learning rate is that of the whole batch. At the same batch it need not be changed when workers are added. Where the
batch is raised with the workers, raise the rate with care. For plain gradient descent Goyal et al. 2017 raise it in
proportion, after a warm-up. For Adam, which both trainings use, the square root of the proportion is the usual rule
(Malladi et al. 2022). Neither rule holds for ever: from some batch on, more rows a step no longer save steps.

With `dist_async` the server takes a step at each push, and nobody waits. Each push is a step of its own, of one
worker's share of the batch. Meanwhile the others have pushed too: with n workers of equal speed a gradient is about
n − 1 steps old when it is used, and that of a slow worker is older. The numbers differ from run to run.

## What a step is made of

With `dist_sync` every worker sends its gradients, 4 bytes a parameter, to S servers. They add up what all n workers
sent and send the sums back. Each worker then updates its own weights. The gradients of lyrics are clipped by their
joint norm after the sum; so no weight can be updated before all sums have come, and the parts are added here, one after
the other. n = 1 is one machine alone, which sends nothing.

| part | time |
|---|---|
| computing | step × (f + (1 − f) × a worker's rows ÷ the measured batch) |
| waiting | computing × spread × E(n) |
| the wire | 2 × 4 B × (P or n × p, whichever is more) ÷ rate |
| adding | 3 × 4 B × n × p ÷ {copy} |
| messages | {round_trip} + {message} × n × a |

P is the number of parameters, p of those on the server that has most, a the number of arrays on the server that has
most of them. What each part assumes, and where that is weak:

- Computing: a share f of the step does not shrink with the batch. It is the update of all weights, the start of each
  operation, and products too small for all processors. Here f is
  {fixed}.
  The rest goes with the rows, along the straight line through these two; that other batches lie on it is assumed. Other
  processors have another f.
- Waiting: the slowest worker decides. Step times are taken as normal and independent. Their spread, the standard
  deviation as a share of the step, is that of the benchmark's rounds; a round of lyrics is the mean of {averaged}
  steps, of which one spreads √{averaged} times as much. E(n) is the expected maximum of n standard normal numbers, by
  the exact integral; the known √(2 ln n) is too much for few workers. Unequal hosts, or a neighbour's load, cost more.
- The wire: P parameters pass each worker's link, n × p that of the busiest server, there and back. The two ways are
  added; over a full-duplex link they may overlap, and MXNet may send a gradient while others are still computed: the
  true time may be less. Servers have machines of their own here. `-H` with few hosts puts them beside workers, and both
  then use one link: the true time is more.
- Adding: for each push the server reads it and the sum, and writes the sum, at the measured rate of a large copy. Part
  of this is in the store's own rate already.
- Messages: all arrays are under way at once, so one round trip is waited for. A server takes one message after the
  other. TinySSD's workers also add up how many anchors of the batch have matched, between forward and backward: one
  more round trip, and one more wait for the slowest, which are not counted.

The rate is that of the network or {store} ({store_bits}), whichever is less: no more goes through MXNet's store,
however fast the network. This, the round trip and the time of a message were measured in the same run as the steps,
over loopback, with arrays of {large} and of {small} and without any training. One worker and the server, a
thread each, shared the machine. On machines of their own they may do better.

Not counted: making batches, measuring a model after an epoch, which worker 0 does alone, and how many more steps a
larger batch needs.

### By hand

Lyrics, two workers, one server, 10 Gbit/s, the batch stays at 32:

{example}

## What is sent, and what is computed

Lyrics is a GRU with 1,027 characters, embedding 128 and 256 hidden units, on rows of 35 characters; TinySSD has three
classes and pictures of 256×256. What one worker sends and receives in a step, and how long that takes on its own link:

{sizes}

Where a link takes longer than the step, no number of workers at this batch can be faster than one machine. What counts
is the bytes against the computing. A recurrent layer uses each weight at every one of 35 characters of a row, a
convolution at every pixel of a picture.

MXNet cuts arrays of {sliced} elements and more into one slice a server. A smaller one goes whole to server
(9973 × its number) mod S. All arrays of both networks are smaller, and a few hold most of the parameters, so the load
is uneven. The busiest server's share, as MXNet deals the arrays, and as it would be if the largest came first and each
went to the server that has least:

{load}

However they are dealt, the busiest server has at least the largest array, and more servers then help no more. The
tables below use the shares by key.

## Speed-up and efficiency

How many times the rows of one machine alone are trained on in the same time; in brackets that number divided by n.
Where the batch stays, the same training ends so many times sooner. Where it grows with the workers, a pass over the
data does, in fewer steps. This is how fast rows are computed, not how soon a model is good: 64 workers with 8 pictures
each take in a step half of the 1,000 pictures that the embedded set has.

{tables}

– : fewer rows than workers.

## Where it stops paying

The number of workers with the best speed-up, in brackets that speed-up; then the largest number that still has an
efficiency of {pays} or more. Of the numbers in the tables:

{stops}

Where the batch stays, the fixed part sets a bound that no network lifts: 1 ÷ f at most (Amdahl 1967). Where it grows
with one server, that server's link does: its bytes grow with n, and the speed-up comes near to a number that more
workers cannot pass.

## Held against a measurement

{checked}

## What would help

- A larger batch. Computing grows with it, bytes do not.
- More servers, up to what the shares above allow. A lower `MXNET_KVSTORE_BIGARRAY_BOUND` in all processes makes MXNet
  slice smaller arrays, and the load even.
- Fewer bytes. Gradients in float16 would halve them. MXNet's store can send 2 bits for each number and add what was
  lost to the next one, but not in the call that sends and fetches at once, which Gluon's trainer uses. Neither is done
  here.
- Networks with more work a parameter. Those of this package are small: on one machine they train in minutes.

## Sources

- Amdahl 1967, "Validity of the single processor approach to achieving large scale computing capabilities".
- Li et al. 2014, "Scaling Distributed Machine Learning with the Parameter Server".
- Goyal et al. 2017, "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour".
- Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms".
"""


if __name__ == "__main__":
    _files.write_text(PAGE, page(_files.read_json(RESULTS)))
    print(PAGE)
