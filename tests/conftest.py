"""Fixtures that several modules of tests share."""

import os

# Two workers run side by side, and their nets are tiny: a thread each, set before anything loads MXNet.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import http.server
import signal
import threading
import types

import pytest

from gluonbook import training
from gluonbook.cli import main

os.environ.setdefault("MPLBACKEND", "agg")  # no test opens a window
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background; what tests start would ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    """An empty working folder, an empty cache, and no data of this machine; returns the folder that holds both."""
    work = tmp_path / "work" / "here"  # its neighbour ../data is inside tmp_path, too
    work.mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GLUONBOOK_DATA", raising=False)
    monkeypatch.chdir(work)
    return tmp_path


@pytest.fixture
def served(monkeypatch):
    """A web server on this machine: ``pages`` by path, those in ``silent`` never answer; ``asked`` records requests."""
    pages, silent, asked, done = {}, set(), [], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path in silent:
                done.wait(10)
                return
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    root = f"http://127.0.0.1:{server.server_port}"
    yield types.SimpleNamespace(root=root, pages=pages, silent=silent, asked=asked)
    done.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def cli(capsys):
    """Run ``gluonbook ARGUMENTS`` in this process; returns (status, standard output, standard error)."""

    def run(*arguments):
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        output = capsys.readouterr()
        return status or 0, output.out, output.err

    return run


@pytest.fixture
def interrupt(monkeypatch):
    """Call it with an epoch and a batch: there the next training gets a Ctrl-C; later trainings run through."""

    def at(epoch, batch=1):
        add = training.LossGuard.add

        def interrupting(guard, loss):
            add(guard, loss)
            if guard.epoch == epoch and len(guard.losses) == batch - 1:
                monkeypatch.setattr(training.LossGuard, "add", add)
                raise KeyboardInterrupt

        monkeypatch.setattr(training.LossGuard, "add", interrupting)

    return at
