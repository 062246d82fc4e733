"""Members of a job without MXNet: a worker runs the Python that follows ``lyrics train``."""

import subprocess
import sys
import time

import pytest

from gluonbook.distributed import launching, watching

MEMBER = """
import itertools, os, signal, sys, time
from pathlib import Path
from gluonbook.distributed import member

FOLDER = Path({folder!r})


def work(arguments, complain):
    names = {{"arguments": arguments, "complain": complain, "folder": FOLDER, "status": 0, "join": join}}
    exec(arguments[2], {{**globals(), **names}}, names)
    return names["status"]


def join():
    member.report_joining()
    for rank in itertools.count():
        try:
            (FOLDER / f"rank{{rank}}").touch(exist_ok=False)
        except FileExistsError:
            continue
        member.report_rank(rank)
        return rank


def serve():
    is_server = os.environ["DMLC_ROLE"] == "server"
    time.sleep({server_time!r} if is_server else 0.1)
    return {server_status!r} if is_server else 0


if __name__ == "__main__":
    (FOLDER / f"process{{os.getpid()}}").touch()
    exec({before!r})
    member._serve = serve
    sys.exit(member.main(sys.argv[1:], work))
"""
# Seconds: short, for tests.
PACE = {"HEARTBEAT": 0.2, "SILENCE": 4.0, "GRACE": 1.5, "KILL_TIME": 0.5, "LEAVE_TIME": 1.0, "POLL": 0.02}


class Job:
    """Starts jobs whose members are in a folder's ``member.py``, and knows their processes."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch, self.pace = folder, monkeypatch, {}
        self.set(**PACE)
        monkeypatch.setattr(launching, "ENTRY", (str(folder / "member.py"),))
        self.write()

    def write(self, before="", server_status=0, server_time=0.1):
        """Say what members do before they connect, and how servers end."""
        settings = {"before": before, "server_status": server_status, "server_time": server_time}
        (self.folder / "member.py").write_text(MEMBER.format(folder=str(self.folder), **settings), encoding="utf-8")

    def set(self, **pace):
        self.pace.update(pace)
        for name, seconds in pace.items():
            self.monkeypatch.setattr(watching, name, seconds)

    def run(self, code, *more, workers=2, servers=1, **settings):
        launching.launch(["lyrics", "train", code, *more], workers, servers, **settings)

    def start(self, code):
        """Start a launcher of its own; Ctrl-C reaches it as in a terminal."""
        pace = "".join(f"watching.{name} = {seconds}\n" for name, seconds in self.pace.items())
        program = f"""
import signal
from gluonbook.distributed import launching, watching
signal.signal(signal.SIGINT, signal.default_int_handler)
{pace}
launching.ENTRY = {launching.ENTRY!r}
launching.launch(["lyrics", "train", {code!r}], 2)
"""
        return subprocess.Popen([sys.executable, "-c", program], cwd=self.folder, stderr=subprocess.DEVNULL)

    def processes(self):
        return [int(path.name[len("process") :]) for path in self.folder.glob("process*")]

    def left(self):
        """Return those that are still there after some seconds."""
        for _ in range(100):
            here = [process for process in self.processes() if _is_alive(process)]
            if not here:
                return []
            time.sleep(0.1)
        return here

    def wait_for(self, name):
        for _ in range(300):
            if (self.folder / name).exists():
                return
            time.sleep(0.05)
        pytest.fail(f"{name} did not come")


def _is_alive(process):
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in ("", "Z")
