"""Start the processes of a job, on this machine or over ssh, and stay until it is over.

MXNet comes with a tracker, ``dmlc_tracker``, that starts scheduler, servers and workers. It was written for older
Pythons, quotes nothing, asks for a network where it needs none, and does not know which processes it has started.
``launch`` mends that for as long as the job lasts. All processes are started by the same plain words: what they run
comes to them over their connection to the watch (``watching``), so prefixes in any script, spaces and quotes arrive
whole.

MXNet's servers take what anybody sends them: a job over ssh belongs in a network whose users trust each other.
"""

import contextlib
import functools
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from gluonbook import _check, _files
from gluonbook.distributed import watching
from gluonbook.distributed.watching import JobFailed, Watch

ENTRY = ("-m", "gluonbook.distributed.member")  # what Python runs as a member
COMMANDS = (("lyrics", "train"), ("detect-train",))
PASSED_ON = ("GLUONBOOK_", "MXNET_", "OMP_NUM_THREADS", "XDG_CACHE_HOME")  # beginnings of names of variables
PORTS = 100  # that are tried for the scheduler
HOST = re.compile(r"(\w[\w.-]*@)?\w[\w.-]*(:[0-9]+)?")
THIS_MACHINE = "127.0.0.1"


def launch(
    arguments: Sequence[str],
    num_workers: int,
    num_servers: int = 1,
    host_file: Optional[_files.PathLike] = None,
    tell: Optional[Callable[[str], None]] = None,
) -> None:
    """Train with several processes that share a parameter server, and return when all have ended.

    Worker 0 prints what the command prints, the others nothing. Where one fails, all are stopped. The workers of a
    machine share its processors, unless ``OMP_NUM_THREADS`` is set.

    Args:
        arguments: a command of ``gluonbook`` without that word: ``lyrics train …`` or ``detect-train …``.
        num_workers: at least 1; each learns from its share of a batch.
        num_servers: at least 1; the parameters are spread over them.
        host_file: a host a line, ``host`` or ``host:port`` of its ssh; servers and workers are started on them by
            turns, in a folder of the same name with a Python of the same path. None starts all on this machine.
        tell: takes the lines of workers' errors; None prints them on standard error.

    Raises:
        ValueError, TypeError: the command is another, a number is out of range, the file lists no host or a wrong one.
        OSError: the file is not there, or this machine has no address in a network.
        ImportError: MXNet's tracker is missing.
        JobFailed: a process failed, or did not come; all have been stopped.
        KeyboardInterrupt: Ctrl-C; all have been stopped, worker 0 has saved what it had.
    """
    check_command(arguments)
    _check.integer("num_workers", num_workers, at_least=1)
    _check.integer("num_servers", num_servers, at_least=1)
    if host_file is not None:
        read_hosts(host_file)
    address = THIS_MACHINE if host_file is None else _own_address()
    environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    watch = Watch(
        num_workers,
        num_servers,
        arguments,
        folder=os.getcwd(),
        environment=environment,
        address=address,
        remote=host_file is not None,
        tell=tell or functools.partial(print, file=sys.stderr),
    )
    words = [sys.executable, *ENTRY, watch.place, watch.token]
    if host_file is not None and "PYTHONPATH" in os.environ:
        words = ["env", f"PYTHONPATH={os.environ['PYTHONPATH']}", *words]
    job = types.SimpleNamespace(
        num_workers=num_workers,
        num_servers=num_servers,
        command=[escaped(word) for word in words],
        local_num_attempt=0,
        host_file=None if host_file is None else os.fspath(host_file),
        host_ip=address,
        sync_dst_dir=None,
    )
    processes = _Processes()
    with _mended_tracker(address, processes) as (local, ssh):
        submit = local.submit if host_file is None else ssh.submit
        starter = threading.Thread(target=processes.attempt, args=(submit, job), daemon=True)
        starter.start()
        try:
            watch.guard(processes.fault)
        finally:
            processes.end()
            starter.join(1)


def check_command(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the name of the command that arguments begin with.

    Raises:
        ValueError: it is none that trains with others, or reads its text from standard input.

    >>> check_command(["lyrics", "train", "songs.txt"])
    ('lyrics', 'train')
    """
    for name in COMMANDS:
        if tuple(arguments[: len(name)]) == name:
            if "-" in arguments:
                raise ValueError("several workers cannot share standard input: give the name of a file instead of -")
            return name
    allowed = " or ".join(f"{' '.join(name)} …" for name in COMMANDS)
    raise ValueError(f"the command must be {allowed}, got {shlex.join(arguments[:2]) or 'none'}")


def read_hosts(path: _files.PathLike) -> list[str]:
    """Return the hosts that a file lists, each once for each line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lists none, or a line is no host; the message gives its number.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there: expected a file of hosts, one a line: name or name:port")
    hosts = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        if not HOST.fullmatch(line.strip()):
            raise ValueError(f"{path}, line {number}: a host must be name or name:port, got {line.strip()!r}")
        hosts.append(line.strip())
    if not hosts:
        raise ValueError(f"{path} must list at least one host, got none")
    return hosts


def escaped(word: str) -> str:
    """Return a word that a shell takes as one, and takes so again out of single quotes, which the tracker adds for ssh.

    Raises:
        ValueError: it holds an apostrophe or a line's end, for which there is no such way.

    >>> print(escaped("/opt/my python/bin/python"))
    /opt/my\\ python/bin/python
    """
    if "'" in word or "\n" in word:
        raise ValueError(f"paths of Python and of the working folder must hold no apostrophe, got {word!r}")
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", word)


def _own_address() -> str:
    tracker, _, _ = _tracker()
    try:
        return str(tracker.get_host_ip())
    except OSError as error:
        raise OSError(f"this machine has no address that other hosts could reach: {error}") from error


def _tracker() -> tuple[Any, Any, Any]:
    try:
        from dmlc_tracker import local, ssh, tracker
    except ImportError as error:
        raise ImportError(f"MXNet's wheel brings dmlc_tracker, which is not there: {error}") from error
    return tracker, local, ssh


class _Processes:
    """Stands for ``subprocess`` within the tracker: the processes have no terminal and no input, and can be ended."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self.problems: list[str] = []
        self.closed = False

    def call(self, command: str, **options: Any) -> int:
        """Run a command to its end; 0 whatever its status: the tracker would begin it again, or raise in a thread."""
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        except OSError as error:
            self.problems.append(f"a process could not be started: {error}")
            return 0
        self.started.append(process)
        if self.closed:
            self.end()
        status = process.wait()
        if status:
            what = f"ssh to {command.split()[3]}" if command.startswith("ssh ") else "a process"
            self.problems.append(f"{what} ended with status {status} before it had connected")
        return 0

    check_call = call

    def attempt(self, submit: Callable[[Any], None], job: Any) -> None:
        """Let the tracker start a job."""
        try:
            submit(job)
        except Exception as error:
            self.problems.append(f"the job could not be started: {error}")

    def fault(self) -> Optional[str]:
        """Return what went wrong first, or None."""
        return self.problems[0] if self.problems else None

    def end(self) -> None:
        """Wait until all are gone; whoever is not so soon is killed."""
        self.closed = True
        self._wait()
        for process in list(self.started):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + watching.KILL_TIME
        for process in list(self.started):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))


@contextlib.contextmanager
def _mended_tracker(address: str, processes: _Processes) -> Iterator[tuple[Any, Any]]:
    """Let MXNet's tracker run on today's Python, quote, and start processes in a way that they can be ended.

    Yields:
        its modules ``local`` and ``ssh``.
    """
    tracker, local, ssh = _tracker()
    quoting = types.SimpleNamespace(getcwd=lambda: escaped(os.getcwd()), getenv=_escaped_variable)
    port = _free_port()
    changes: list[tuple[Any, str, Any]] = [
        (tracker, "subprocess", processes),
        (local, "subprocess", processes),
        (ssh, "subprocess", processes),
        (ssh, "os", quoting),
        (tracker, "get_host_ip", lambda hostIP=None: address),
        # Its own ports begin at 9091 for every job: two that start at once would meet.
        (tracker, "PSTracker", functools.partial(tracker.PSTracker, port=port, port_end=port + PORTS)),
        (threading.Thread, "setDaemon", lambda thread, daemon: setattr(thread, "daemon", daemon)),
    ]
    if not hasattr(threading.Thread, "isAlive"):  # until Python 3.8
        changes.append((threading.Thread, "isAlive", threading.Thread.is_alive))
    before = [(owner, name, getattr(owner, name, None)) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield local, ssh
    finally:
        for owner, name, value in before:
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


def _escaped_variable(name: str) -> Optional[str]:
    value = os.environ.get(name)
    return None if value is None else escaped(value)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


__all__ = ["JobFailed", "launch"]
