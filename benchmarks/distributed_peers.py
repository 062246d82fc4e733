"""What ``distributed.py`` measures in processes of their own, and the jobs that ``docs/make_scaling.py`` looks for.

    python benchmarks/distributed_peers.py worker|server|scheduler PORT

One worker and one server of MXNet's parameter server meet over loopback, at the scheduler's port; server and scheduler
end with the worker. Run by ``measuring.Peer``.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from measuring import serve

SECTION = "distributed"
# All processors, one machine: the steps that the model starts from, of a whole batch and of a small one.
LYRICS_ROWS, DETECTION_ROWS = (32, 4), (8, 2)
LYRICS_STEPS, DETECTION_STEPS = 10, 1  # steps whose mean is a round's time
VOCABULARY, EMBEDDING, HIDDEN, STEPS, SIDE = 1027, 128, 256, 35, 256
# A thread each, in processes that `gluonbook launch` starts.
CHARACTERS, ROWS, EPOCHS = 20_000, 32, 4
ONE_WORKER = "lyrics step, 1 worker, same threads"
TWO_WORKERS = "lyrics step, 2 workers, 1 server, loopback"
# Arrays of float32 that one worker pushes and pulls, all at once: elements of each.
LARGE, MANY, SMALL = "parameter server, 900,000", "parameter server, 100 × 16", "parameter server, 16"
EXCHANGES = {LARGE: (900_000,), MANY: (16,) * 100, SMALL: (16,)}
REPEATS = 20  # exchanges whose median is a round's time
ADDRESS = "127.0.0.1"


def lyrics_step(rows: int) -> str:
    """Return the name of the job of a lyrics step.

    >>> lyrics_step(32)
    'lyrics step, batch 32, all processors'
    """
    return f"lyrics step, batch {rows}, all processors"


def detection_step(rows: int) -> str:
    """Return the name of the job of a step of TinySSD."""
    return f"TinySSD step, batch {rows}, all processors"


def exchange(store: Any, first_key: int, sizes: Sequence[int]) -> Callable[[], dict[str, float]]:
    """Make arrays known to the servers; return a job that pushes and pulls them as a trainer does, many times.

    Args:
        store: MXNet's kvstore.
        first_key: of the arrays, which take the numbers from there.
        sizes: elements of each.

    Returns:
        function that returns the median time, ``{"seconds": …}``.
    """
    from gluonbook._mxnet import nd

    arrays = {first_key + i: nd.ones((size,)) for i, size in enumerate(sizes)}
    for key, array in arrays.items():
        store.init(key, array)

    def once() -> float:
        start = time.perf_counter()
        for i, (key, array) in enumerate(arrays.items()):
            store.pushpull(key, [array], priority=-i)
        nd.waitall()
        return time.perf_counter() - start

    return lambda: {"seconds": statistics.median(once() for _ in range(REPEATS))}


def work() -> None:
    """Serve the exchanges as the only worker; all arrays are with the server before the first."""
    from gluonbook._mxnet import mx, nd

    store = mx.kv.create("dist_sync")
    jobs = {}
    for number, (name, sizes) in enumerate(EXCHANGES.items()):
        jobs[name] = exchange(store, 1000 * number, sizes)
    nd.waitall()
    store._barrier()
    serve(jobs)


def main(role: str, port: str) -> None:
    """Take part as worker, server or scheduler."""
    os.environ.update(DMLC_ROLE=role, DMLC_PS_ROOT_URI=ADDRESS, DMLC_PS_ROOT_PORT=port, DMLC_NODE_HOST=ADDRESS)
    os.environ.update(DMLC_NUM_WORKER="1", DMLC_NUM_SERVER="1")
    if role == "worker":
        work()
        return
    from gluonbook import _mxnet

    _mxnet.load()  # returns, or ends the process, when the worker has ended


if __name__ == "__main__":
    main(*sys.argv[1:])
