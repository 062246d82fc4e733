"""A process of a job: scheduler, server or worker, with its connection to the watch in the launcher's process.

``python -m gluonbook.distributed.member HOST:PORT TOKEN`` is one. MXNet knows its part by ``DMLC_ROLE``. It says who it
is, runs what the watch tells it, beats meanwhile, and says at last how it ended. One whose connection breaks ends by
itself, so none is left when the launcher is killed.
"""

import contextlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Optional

from gluonbook.distributed.watching import START_TIME, as_line

FAILED, INTERRUPTED = 2, 130  # statuses
Command = Callable[[list[str], Callable[[str], None]], int]  # arguments, what takes an error's line; gives the status


class _Link:
    """A member's connection to the watch."""

    def __init__(self, place: str, token: str, role: str) -> None:
        from gluonbook._mxnet import usable_cpus

        host, _, port = place.rpartition(":")
        self.role = role
        self.rank: Optional[int] = None
        self.store: Any = None
        self.orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.released = threading.Event()  # by the watch's word to leave, or to stop
        self.stopped = False
        self.lock = threading.Lock()
        self.connection = socket.create_connection((host, int(port)), timeout=START_TIME)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a word is not kept for the next
        self.address = self.connection.getsockname()[0]
        self.lines = self.connection.makefile("rb")
        self.send(
            token=token,
            role=role,
            host=os.environ.get("DMLC_NODE_HOST") or socket.gethostname(),
            machine=socket.gethostname(),
            process=os.getpid(),
            processors=usable_cpus(),
        )
        welcome = self.lines.readline()
        if not welcome:
            raise ConnectionError(f"the watch at {place} refused this process")
        self.pace = json.loads(welcome)["welcome"]
        self.connection.settimeout(self.pace["silence"])

    def send(self, **message: Any) -> None:
        """Tell the watch; a broken connection is noticed by who listens."""
        with self.lock, contextlib.suppress(OSError):
            self.connection.sendall(as_line(message))

    def beat(self) -> None:
        """Give signs of life for as long as the process lives: MXNet releases Python's lock when it waits."""
        while True:
            time.sleep(self.pace["heartbeat"])
            self.send(beat=True)

    def listen(self) -> None:
        """Do what the watch says; end the process when it says so, and when it is gone."""
        with contextlib.suppress(OSError, ValueError):
            for line in self.lines:
                message = json.loads(line)
                if "go" in message:
                    self.orders.put(message["go"])
                elif "leave" in message:
                    self.released.set()
                elif "interrupt" in message:
                    self.interrupt()
                elif "end" in message:
                    os._exit(INTERRUPTED)
        if self.role == "worker" and not self.rank:
            self.interrupt()
        time.sleep(self.pace["grace"])  # the others serve worker 0 while it saves
        os._exit(INTERRUPTED)

    def interrupt(self) -> None:
        """Let the main thread save what it can, as after Ctrl-C; the process ends after the grace, whatever it does."""
        if self.stopped:
            return
        self.stopped = True
        _silence()  # the launcher tells what was saved
        self.released.set()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


_links: list[_Link] = []  # of this process: at most one


def report_joining() -> None:
    """Tell the watch that this worker is about to join the parameter server; nothing where nobody watches.

    MXNet waits there for all workers. From when the last one has begun, all must be through within a minute.
    """
    for link in _links:
        link.send(joining=True)


def report_rank(rank: int, store: Any = None) -> None:
    """Tell the watch this worker's rank, and silence it unless that is 0; nothing where nobody watches.

    Args:
        rank: as the kvstore gives it.
        store: the kvstore, which is closed when all workers are through. MXNet's servers end then. One that lives until
            the interpreter's end is not closed there: the process crashes, and the servers stay.
    """
    for link in _links:
        link.rank, link.store = rank, store
        link.send(joining=True, rank=rank)
        if rank:
            _silence()


def _close(store: Any) -> None:
    """Let MXNet wait for the other workers and, in worker 0, end the servers."""
    store.__del__()
    store.handle = None  # which it closes again when it is freed: nothing happens


def _silence() -> None:
    """Send to nowhere what is printed from now on, save what MXNet's library writes to standard error."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    os.dup2(nowhere.fileno(), 1)
    sys.stdout = sys.stderr = nowhere


def main(arguments: Sequence[str], command: Optional[Command] = None) -> int:
    """Be a member of a job.

    Args:
        arguments: HOST:PORT of the watch, and the job's token.
        command: what a worker runs; None is ``gluonbook``'s command line.

    Returns:
        0, when the job is over. A member that failed or was stopped ends the process instead, without MXNet's wait for
        the others at exit: they may be gone.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # one in the background hands down that it ignores it
    place, token = arguments
    try:
        link = _Link(place, token, os.environ.get("DMLC_ROLE", ""))
    except (OSError, ValueError) as error:
        print(f"gluonbook: no job at {place}: {error}", file=sys.stderr)
        return FAILED
    _links.append(link)
    for task in (link.listen, link.beat):
        threading.Thread(target=task, daemon=True).start()
    status, said = _run(link, command or _command_line)
    link.send(status=status, error=said)
    if link.role == "worker" and status == 0:
        link.released.wait()
    _flush()
    if status or link.stopped:
        os._exit(status or INTERRUPTED)
    if link.store is not None:
        _close(link.store)
    # The interpreter's end stops the threads above, and may wait for the others.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, link.pace["leave"])
    return 0


def _run(link: _Link, command: Command) -> tuple[int, str]:
    """Do a member's part; return its status and the line of its error."""
    said: list[str] = []
    begun = False
    try:
        order = link.orders.get()
        os.environ.update(order["environment"])
        os.environ.setdefault("OMP_NUM_THREADS", str(order["threads"]))
        os.environ["DMLC_NODE_HOST"] = link.address  # a host's name is none that a server can bind
        os.chdir(order["folder"])
        begun = link.role == "worker"
        status = command(order["arguments"], said.append) if begun else _serve()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception as problem:
        if begun or not isinstance(problem, (ImportError, OSError)):
            traceback.print_exc(file=sys.__stderr__)
            status, said = 1, [f"{type(problem).__name__}: {problem}"]
        else:
            status, said = FAILED, [str(problem)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status, said[-1] if said else ""


def _command_line(arguments: list[str], complain: Callable[[str], None]) -> int:
    from gluonbook import cli

    try:
        return cli.main(arguments, complain)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)


def _serve() -> int:
    """Be the scheduler or a server until the job is over: MXNet becomes one when it is imported."""
    from gluonbook import _mxnet

    try:
        _mxnet.load()
    except SystemExit as leave:
        return leave.code or 0  # type: ignore[return-value]
    raise ImportError("this build of MXNet became no server: it lacks DIST_KVSTORE (gluonbook env)")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


if __name__ == "__main__":
    from gluonbook.distributed import member  # not this copy of it: report_rank looks there

    sys.exit(member.main(sys.argv[1:]))
