"""The watch over a job: who fails, is killed or falls silent ends it for all, and nobody is left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from distributed_helpers import Job

from gluonbook import _mxnet
from gluonbook.distributed import member, watching
from gluonbook.distributed.watching import JobFailed, Watch

WAIT = "time.sleep(1000)"
SAVE = """
rank = join()
(folder / f"ready{rank}").touch()
try:
    time.sleep(1000)
except KeyboardInterrupt:
    time.sleep(1)
    (folder / f"saved{rank}").touch()
    raise
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Job(tmp_path, monkeypatch)


def test_a_job_ends_when_all_workers_have_and_only_worker_0_prints(job, capfd):
    job.run("print('rank', join()); os.system('echo from the shell'); print('bar', file=sys.stderr)")
    out, err = capfd.readouterr()
    assert out.count("from the shell") == 1
    assert (out.replace("from the shell\n", ""), err) == ("rank 0\n", "bar\n")
    assert len(job.processes()) == 4
    assert job.left() == []


def test_what_a_member_s_library_writes_to_standard_error_is_seen_of_every_rank(job, capfd):
    job.run("join(); os.system('echo crash >&2')")
    assert capfd.readouterr().err == "crash\ncrash\n"


def test_a_worker_that_fails_is_named_and_its_error_told(job, capfd):
    code = "rank = join()\nif rank == 0: time.sleep(1000)\ncomplain('--lr is too large')\nstatus = 3"
    with pytest.raises(JobFailed, match=r"^worker 1 \(.+, process \d+\) ended with status 3$") as failure:
        job.run(code)
    assert int(str(failure.value).split("process ")[1].split(")")[0]) in job.processes()
    assert capfd.readouterr().err == "worker 1: --lr is too large\n"
    assert job.left() == []


def test_an_exception_is_status_1_and_its_traceback_is_seen(job, capfd, monkeypatch):
    job.write(before="import gluonbook.cli\ndef main(arguments, complain): return 1 / 0\ngluonbook.cli.main = main\n")
    script = job.folder / "member.py"
    script.write_text(script.read_text(encoding="utf-8").replace("sys.argv[1:], work", "sys.argv[1:]"))
    with pytest.raises(JobFailed, match=r"^worker \(.+, process \d+\) ended with status 1$"):
        job.run("")
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert "worker: ZeroDivisionError: division by zero\n" in err


def test_a_worker_that_is_killed_ends_the_job(job):
    with pytest.raises(JobFailed, match=r"^worker 1 \(.+\) was killed or cut off$"):
        job.run("if join() == 1: os.kill(os.getpid(), signal.SIGKILL)\n" + WAIT)
    assert job.left() == []


def test_a_worker_that_falls_silent_ends_the_job_and_is_ended(job):
    job.set(SILENCE=1.0)
    with pytest.raises(JobFailed, match=r"^worker 1 \(.+\) was silent for 1 s$"):
        job.run("if join() == 1: os.kill(os.getpid(), signal.SIGSTOP)\n" + WAIT)
    assert job.left() == []


def test_a_worker_that_waits_and_beats_is_not_silent(job):
    job.set(SILENCE=1.0)
    job.run("join(); time.sleep(1.5)")


def test_a_launcher_that_was_halted_goes_on(job):
    """Ctrl-Z halts the launcher, not its members: what they said meanwhile is read before their silence counts."""
    job.set(SILENCE=2.0)
    launcher = job.start("join(); time.sleep(4)")
    job.wait_for("rank1")
    launcher.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    launcher.send_signal(signal.SIGCONT)
    assert launcher.wait(20) == 0


def test_a_job_whose_machine_was_halted_goes_on(job):
    """The members wake up later than the launcher: none has said anything meanwhile."""
    job.set(SILENCE=3.0)
    launcher = job.start("join(); time.sleep(1)")
    job.wait_for("rank1")
    processes = [launcher.pid, *job.processes()]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    time.sleep(3.5)
    for process in processes:
        os.kill(process, signal.SIGCONT)
        time.sleep(0.1)
    assert launcher.wait(20) == 0


def test_a_launcher_that_was_halted_between_hearing_and_judging_goes_on(job, monkeypatch):
    check, halted = Watch._check, []

    def halt_once(watch):
        if not halted and (job.folder / "rank1").exists():
            halted.append(time.sleep(2.5))
        check(watch)

    monkeypatch.setattr(Watch, "_check", halt_once)
    job.set(SILENCE=2.0)
    job.run("join(); time.sleep(4)")
    assert len(halted) == 1


def test_a_server_that_fails_ends_the_job(job):
    job.write(server_status=4)
    with pytest.raises(JobFailed, match=r"^server \(.+\) ended with status 4$"):
        job.run("join(); " + WAIT)
    assert job.left() == []


def test_servers_that_stay_are_ended_after_the_workers_and_the_job_is_well(job):
    job.write(server_time=1000)
    job.run("join()")
    assert job.left() == []


def test_worker_0_saves_when_another_fails(job):
    job.set(GRACE=4.0)
    with pytest.raises(JobFailed, match="worker 1"):
        job.run(SAVE.replace("try:", "if rank == 1: sys.exit(5)\ntry:"))
    assert sorted(path.name for path in job.folder.glob("saved*")) == ["saved0"]


def test_who_does_not_heed_the_interrupt_is_ended_after_the_grace(job):
    job.set(GRACE=0.5)
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\nif join() == 1: status = 1\nelse: " + WAIT
    with pytest.raises(JobFailed, match="worker 1"):
        job.run(code)
    assert job.left() == []


def test_no_worker_leaves_before_all_are_through(job):
    """MXNet waits for the others in a place where no thread of Python's watches any more."""
    code = """
if join() == 1:
    time.sleep(1)
    (folder / "late").touch()
else:
    import atexit
    atexit.register(lambda: (folder / ("after" if (folder / "late").exists() else "before")).touch())
"""
    job.run(code)
    assert (job.folder / "after").exists()


def test_ctrl_c_lets_worker_0_save_and_a_second_one_does_not_break_that(job):
    job.set(GRACE=4.0)
    launcher = job.start(SAVE)
    job.wait_for("ready0")
    job.wait_for("ready1")
    launcher.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        launcher.wait(0.2)
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(20) == -signal.SIGINT
    assert sorted(path.name for path in job.folder.glob("saved*")) == ["saved0"]
    assert job.left() == []


def test_no_member_is_left_when_the_launcher_is_killed_and_worker_0_saves(job):
    job.write(server_time=1000)
    job.set(GRACE=4.0)
    launcher = job.start(SAVE)
    job.wait_for("ready0")
    job.wait_for("ready1")
    launcher.kill()
    launcher.wait()
    assert len(job.processes()) == 4
    assert job.left() == []
    assert sorted(path.name for path in job.folder.glob("saved*")) == ["saved0"]


def test_who_does_not_heed_the_interrupt_ends_when_the_launcher_is_killed(job):
    launcher = job.start("signal.signal(signal.SIGINT, signal.SIG_IGN)\njoin()\n" + WAIT)
    job.wait_for("rank1")
    launcher.kill()
    launcher.wait()
    assert job.left() == []


def test_who_does_not_connect_is_named_and_ended(job):
    job.set(START_TIME=2.0)
    job.write(before="if os.environ['DMLC_ROLE'] == 'server': time.sleep(1000)")
    with pytest.raises(JobFailed, match=r"^the job did not start within 2 s: the server did not connect$"):
        job.run("join()")
    assert job.left() == []


def test_who_ends_before_it_connects_is_told_at_once(job):
    job.write(before="if os.environ['DMLC_ROLE'] == 'server': sys.exit(7)")
    with pytest.raises(JobFailed, match=r"^a process ended with status 7 before it had connected$"):
        job.run("join()")
    assert job.left() == []


def test_a_worker_that_does_not_reach_the_servers_ends_the_job(job):
    job.set(START_TIME=2.0)
    with pytest.raises(JobFailed, match=r"did not reach the job's scheduler and servers within 2 s$"):
        job.run("member.report_joining(); " + WAIT)
    assert job.left() == []


def test_workers_may_read_their_data_for_longer_than_the_start_takes(job):
    job.set(START_TIME=1.5)
    job.run("time.sleep(2); join()")


def test_workers_share_the_processors_of_their_machine_and_servers_take_one(job, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    job.write()
    job.run("(folder / f'threads{join()}').write_text(os.environ['OMP_NUM_THREADS'])", workers=2)
    for rank in (0, 1):
        threads = int((job.folder / f"threads{rank}").read_text())
        assert threads == max(1, _mxnet.usable_cpus() // 2)


def test_a_worker_alone_takes_all_processors(job, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    job.run("(folder / 'threads').write_text(os.environ['OMP_NUM_THREADS'])", workers=1)
    assert int((job.folder / "threads").read_text()) == _mxnet.usable_cpus()


def test_threads_that_the_user_has_set_stay(job, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    job.run("(folder / 'threads').write_text(os.environ['OMP_NUM_THREADS'])", workers=1)
    assert (job.folder / "threads").read_text() == "5"


@pytest.fixture
def short(monkeypatch):
    """Whoever is not there or does not go at once is given up."""
    for name, seconds in {"START_TIME": 0.5, "GRACE": 0.1, "KILL_TIME": 0.1, "POLL": 0.02}.items():
        monkeypatch.setattr(watching, name, seconds)


def make_watch(**settings):
    given = {"arguments": [], "folder": ".", "environment": {}, "address": "127.0.0.1", "remote": False, "tell": print}
    return Watch(1, 1, **{**given, **settings})


def say(watch, line):
    host, port = watch.place.split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall(line)
    return connection


def hello(watch, **changes):
    about = {"token": watch.token, "role": "worker", "host": "h", "machine": "m", "process": 1, "processors": 1}
    return json.dumps({**about, **changes}).encode() + b"\n"


def test_a_stranger_is_refused_and_does_no_harm(short):
    watch = make_watch()
    strangers = [hello(watch, token="x"), hello(watch, role="king"), b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b"x" * 5000]
    connections = [say(watch, line) for line in strangers]
    while len(watch.members) < len(strangers):
        watch._accept()
    for _ in range(10):
        watch._hear()
    assert watch.members == []
    with pytest.raises(JobFailed, match="the scheduler and the server and the worker did not connect"):
        watch.guard()
    assert [connection.recv(100) for connection in connections] == [b""] * len(strangers)


def test_who_says_the_token_is_a_member(short):
    watch = make_watch()
    connection = say(watch, hello(watch))
    with pytest.raises(JobFailed, match="s: the scheduler and the server did not connect"):
        watch.guard()
    answers = [json.loads(line) for line in connection.makefile("rb")]
    assert [next(iter(answer)) for answer in answers] == ["welcome", "interrupt", "end"]


def test_a_mistake_that_every_worker_makes_is_told_once():
    told = []
    watch = make_watch(tell=told.append)
    lines = [hello(watch) + json.dumps({"status": 2, "error": error}).encode() + b"\n" for error in ("a", "a", "b")]
    connections = [say(watch, line) for line in lines]
    while len(told) < 2 or not all(member.status for member in watch.members) or len(watch.members) < len(lines):
        watch._hear()
    assert sorted(told) == ["worker: a", "worker: b"]
    watch._close()
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(("remote", "silence"), [(False, None), (True, 20.0)])
def test_members_on_other_machines_end_when_the_watch_is_silent(short, remote, silence):
    watch = make_watch(remote=remote)
    connection = say(watch, hello(watch))
    with pytest.raises(JobFailed):
        watch.guard()
    assert json.loads(connection.makefile("rb").readline())["welcome"]["silence"] == silence


def test_a_member_ends_when_a_watch_on_another_machine_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "gluonbook.distributed.member", place, "token"]
        member = subprocess.Popen(command, env={**os.environ, "DMLC_ROLE": "server"})
        connection, _ = listener.accept()
        hello = json.loads(connection.makefile("rb").readline())
        assert (hello["token"], hello["role"], hello["process"]) == ("token", "server", member.pid)
        pace = {"heartbeat": 0.1, "grace": 0.1, "leave": 1, "silence": 0.3}
        connection.sendall(json.dumps({"welcome": pace}).encode() + b"\n")
        assert member.wait(20) == 130


def test_reports_do_nothing_where_nobody_watches(capfd):
    member.report_joining()
    member.report_rank(1)
    os.system("echo still here")
    assert capfd.readouterr().out == "still here\n"


def test_a_member_without_a_job_says_so_in_one_line():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{unused.getsockname()[1]}"
        command = [sys.executable, "-m", "gluonbook.distributed.member", place, "token"]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"gluonbook: no job at {place}: ")
    assert done.stderr.count("\n") == 1
