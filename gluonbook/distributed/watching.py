"""The watch over the processes of a job: whoever fails, is killed or falls silent ends it for all.

MXNet's parameter server waits for ever for a worker that is gone. So each process of a job, a member, keeps a
connection to the ``Watch`` in the launcher's process: lines of JSON over TCP, opened with the job's token. A member
says who it is, waits until all are there, runs the command that the watch tells it, beats meanwhile, and says at last
how it ended. The watch ends the job where a member says that it failed, where a connection breaks without a word, and
where a beat is missing. A member whose connection breaks ends by itself, so none is left when the launcher is killed.
The other end is in ``member``.
"""

import contextlib
import dataclasses
import hmac
import json
import secrets
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

# Seconds.
START_TIME = 60.0  # in which all members connect, and later all workers join the parameter server
HEARTBEAT = 4.0  # between two signs of life
SILENCE = 20.0  # after which a member counts as lost
GRACE = 10.0  # from the interrupt to the end of a worker that saves
KILL_TIME = 3.0  # for the others, who save nothing
LEAVE_TIME = 20.0  # from the last worker's end to that of the servers
HELLO_TIME = 10.0  # in which whoever connects says the token
SEND_TIME = 5.0
POLL = 0.1
LONGEST_STEP = 1.0  # of the watch's clock

LONGEST_HELLO = 4096  # bytes
ROLES = ("scheduler", "server", "worker")


class JobFailed(RuntimeError):
    """A job that was stopped; the message says who failed and how."""


@dataclasses.dataclass(eq=False)
class Member:
    """A process of the job, as the watch knows it."""

    connection: socket.socket
    heard: float  # when it last spoke, by the watch's clock
    received: bytes = b""
    role: str = ""  # empty until it has said the token
    host: str = ""
    machine: str = ""
    process: int = 0
    processors: int = 1
    joining: bool = False
    rank: Optional[int] = None
    status: Optional[int] = None
    gone: bool = False

    @property
    def name(self) -> str:
        """What an error's line is marked with: ``worker 1``."""
        return self.role if self.rank is None else f"{self.role} {self.rank}"

    def __str__(self) -> str:
        return f"{self.name} ({self.host}, process {self.process})"


class Watch:
    """Waits for the members of a job, lets them begin, and stays until the last one has ended.

    Its clock counts the seconds in which it listens. It stands still while the launcher is halted (Ctrl-Z) or its whole
    machine is (a closed laptop): that is nobody's silence.

    Args:
        num_workers, num_servers: at least 1 each; there is one scheduler.
        arguments: of the workers' command.
        folder: in which the workers run.
        environment: variables that every member gets.
        address: of this machine, where members connect.
        remote: whether members run on other machines: they then end when they hear nothing of the watch, too.
        tell: takes a line, the error of a member.
    """

    def __init__(
        self,
        num_workers: int,
        num_servers: int,
        arguments: Sequence[str],
        folder: str,
        environment: dict[str, str],
        address: str,
        remote: bool,
        tell: Callable[[str], None],
    ) -> None:
        self.expected = dict(zip(ROLES, (1, num_servers, num_workers)))
        self.work = {"arguments": list(arguments), "folder": folder, "environment": environment}
        self.remote, self.tell = remote, tell
        self.token = secrets.token_hex(16)
        self.members: list[Member] = []
        self.told: set[str] = set()
        self.listener = socket.create_server((address, 0))
        self.place = f"{address}:{self.listener.getsockname()[1]}"
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.clock = 0.0
        self.looked = self.beaten = time.monotonic()

    def guard(self, fault: Callable[[], Optional[str]] = lambda: None) -> None:
        """Watch over the job until it is over.

        Args:
            fault: says what went wrong in starting a member, or None.

        Raises:
            JobFailed: a member failed, or did not come; the others have been stopped.
            KeyboardInterrupt: Ctrl-C came; all have been stopped, after worker 0 had time to save.
        """
        with _held_interrupts() as pressed:
            try:
                self._begin(fault, pressed)
                self._until(lambda: all(worker.joining or worker.status == 0 for worker in self._workers()), pressed)
                if not self._until(lambda: not self._strangers(), pressed, START_TIME):
                    who = ", ".join(map(str, self._strangers()))
                    raise JobFailed(f"{who} did not reach the job's scheduler and servers within {START_TIME:g} s")
                self._until(lambda: all(worker.status == 0 for worker in self._workers()), pressed)
                self._send(self._workers(), {"leave": True})
                self._wait_for(self.members, LEAVE_TIME, pressed)
                self._send(self.members, {"end": True})
            except (JobFailed, KeyboardInterrupt):
                self._stop()
                raise
            finally:
                self._close()

    def _begin(self, fault: Callable[[], Optional[str]], pressed: list[int]) -> None:
        """Wait until all members have connected, and let them begin."""

        def is_complete() -> bool:
            problem = fault()
            if problem is not None:
                raise JobFailed(problem)
            return not self._missing()

        if not self._until(is_complete, pressed, START_TIME):
            raise JobFailed(f"the job did not start within {START_TIME:g} s: {self._missing()} did not connect")
        for member in self._known():
            neighbours = sum(worker.machine == member.machine for worker in self._workers())
            threads = max(1, member.processors // neighbours) if member.role == "worker" else 1
            self._send([member], {"go": {**self.work, "threads": threads}})

    def _known(self) -> list[Member]:
        return [member for member in self.members if member.role]

    def _workers(self) -> list[Member]:
        return [member for member in self.members if member.role == "worker"]

    def _strangers(self) -> list[Member]:
        return [worker for worker in self._workers() if worker.rank is None and worker.status != 0]

    def _missing(self) -> str:
        """Say who has not connected; empty if nobody."""
        parts = []
        for role, expected in self.expected.items():
            here = sum(member.role == role for member in self.members)
            if here < expected:
                parts.append(f"the {role}" if expected == 1 else f"{expected - here} of {expected} {role}s")
        return " and ".join(parts)

    def _until(self, condition: Callable[[], bool], pressed: list[int], seconds: Optional[float] = None) -> bool:
        """Hear the members until a condition holds; False after ``seconds``. Raises when one fails, and for Ctrl-C."""
        end = None if seconds is None else self.clock + seconds
        while True:
            self._hear()
            self._check()
            if pressed:
                raise KeyboardInterrupt
            if condition():
                return True
            if end is not None and self.clock > end:
                return False

    def _wait_for(self, members: Sequence[Member], seconds: float, pressed: Sequence[int] = ()) -> None:
        """Hear the members until some are gone, at most ``seconds``, whatever happens meanwhile."""
        end = self.clock + seconds
        while not all(member.gone for member in members) and self.clock < end and not pressed:
            self._hear()

    def _check(self) -> None:
        """Raise for the first member that failed."""
        for member in self._known():
            if member.status:
                raise JobFailed(f"{member} ended with status {member.status}")
            if member.status is None and member.gone:
                raise JobFailed(f"{member} was killed or cut off")
            if member.status is None and self.clock - member.heard > SILENCE:
                raise JobFailed(f"{member} was silent for {SILENCE:g} s")

    def _stop(self) -> None:
        """End all members: worker 0 first, who saves, for it may wait for what the others send it."""
        self._hear()  # who is worker 0 may just have come
        saving = [worker for worker in self._workers() if not worker.rank and worker.status is None]
        self._send(saving, {"interrupt": True})
        self._wait_for(saving, GRACE)
        self._send(self.members, {"end": True})
        self._wait_for(self.members, KILL_TIME)

    def _close(self) -> None:
        for member in self.members:
            member.connection.close()
        self.selector.close()
        self.listener.close()

    def _send(self, members: Sequence[Member], message: dict[str, Any]) -> None:
        for member in members:
            if member.role and not member.gone:
                with contextlib.suppress(OSError):  # a broken connection is found when it is read
                    member.connection.sendall(as_line(message))

    def _hear(self) -> None:
        """Take what has come within a moment, and give a sign of life."""
        ready = self.selector.select(POLL)
        now = time.monotonic()
        self.clock += min(now - self.looked, LONGEST_STEP)
        self.looked = now
        for key, _ in ready:
            if key.fileobj is self.listener:
                self._accept()
            else:
                self._receive(key.data)
        for member in self.members.copy():
            if not member.role and self.clock - member.heard > HELLO_TIME:
                self._drop(member)
        if now - self.beaten > HEARTBEAT:
            self.beaten = now
            self._send(self.members, {"beat": True})

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(SEND_TIME)
        member = Member(connection, self.clock)
        self.members.append(member)
        self.selector.register(connection, selectors.EVENT_READ, member)

    def _receive(self, member: Member) -> None:
        try:
            received = member.connection.recv(65536)
        except OSError:
            received = b""
        if not received:
            self._drop(member)
            return
        *lines, member.received = (member.received + received).split(b"\n")
        for line in lines:
            if member.role:
                member.heard = self.clock
                self._take(member, json.loads(line))
            elif not self._greet(member, line):
                self._drop(member)
                return
        if not member.role and len(member.received) > LONGEST_HELLO:
            self._drop(member)

    def _drop(self, member: Member) -> None:
        """Give a connection up; who never said the token was no member."""
        self.selector.unregister(member.connection)
        member.connection.close()
        member.gone = True
        if not member.role:
            self.members.remove(member)

    def _greet(self, member: Member, line: bytes) -> bool:
        """Admit who says the token; whether it did."""
        try:
            hello = json.loads(line)
            known = hmac.compare_digest(str(hello["token"]).encode(), self.token.encode())
        except (ValueError, KeyError, TypeError):
            return False
        if not known or hello["role"] not in ROLES:
            return False
        member.role, member.host, member.machine = hello["role"], hello["host"], hello["machine"]
        member.process, member.processors = hello["process"], hello["processors"]
        pace = {
            "heartbeat": HEARTBEAT,
            "grace": GRACE,
            "leave": LEAVE_TIME,
            "silence": SILENCE if self.remote else None,
        }
        self._send([member], {"welcome": pace})
        return True

    def _take(self, member: Member, message: dict[str, Any]) -> None:
        member.joining = member.joining or "joining" in message
        member.rank = message.get("rank", member.rank)
        member.status = message.get("status", member.status)
        error = message.get("error")
        if error and error not in self.told:  # a mistake of the user's is every worker's
            self.told.add(error)
            self.tell(f"{member.name}: {error}")


@contextlib.contextmanager
def _held_interrupts() -> Iterator[list[int]]:
    """Yield a list that is no longer empty after Ctrl-C, which raises nothing meanwhile."""
    pressed: list[int] = []
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed
        return
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def as_line(message: dict[str, Any]) -> bytes:
    """Return what is said as it goes over the connection."""
    return json.dumps(message).encode() + b"\n"
