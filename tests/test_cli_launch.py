"""``gluonbook launch``: what it accepts, its lines and its status; the processes are those of test_distributed_*."""

import shlex
import signal
import subprocess
import sys
import time

import pytest
from cli_helpers import assert_refused

from gluonbook import training
from gluonbook.distributed import launching
from gluonbook.distributed.launching import JobFailed


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def launched(monkeypatch):
    """Records the jobs that would be started; ``error`` is what they raise."""

    class Jobs(list):
        error = None

    jobs = Jobs()

    def launch(arguments, num_workers, num_servers, host_file, tell):
        jobs.append((list(arguments), num_workers, num_servers, host_file))
        if jobs.error is not None:
            tell("worker 1: too bad")
            raise jobs.error

    monkeypatch.setattr(launching, "launch", launch)
    return jobs


def write_checkpoint(folder):
    folder.mkdir(parents=True)
    (folder / training.CHECKPOINT).write_text("{}")


def test_what_follows_the_dashes_goes_to_the_workers(here, cli, launched):
    (here / "hosts").write_text("one\n")
    words = ["lyrics", "train", "songs.txt", "--prefix", "它's 分开", "--epochs", "3", "--debug"]
    assert cli("launch", "-n", "2", "-s", "3", "-H", "hosts", "--", *words) == (0, "", "")
    assert cli("launch", "-n", 1, "--", "detect-train", "--epochs", "3") == (0, "", "")
    assert launched == [(words, 2, 3, "hosts"), (["detect-train", "--epochs", "3"], 1, 1, None)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--", "lyrics", "train"], "Missing option '-n'"),
        (["-n", "0", "--", "lyrics", "train"], "Invalid value for '-n' / '--workers': 0"),
        (["-n", "2", "-s", "0", "--", "lyrics", "train"], "Invalid value for '-s' / '--servers': 0"),
        (["-n", "2"], "the command must be lyrics train … or detect-train …, got none"),
        (["-n", "2", "--", "lyrics", "generate"], "the command must be lyrics train … or detect-train …"),
        (["-n", "2", "--", "detect"], "the command must be lyrics train … or detect-train …, got detect"),
        (
            ["-n", "2", "-H", "none", "--", "lyrics", "train"],
            "none is not there: expected a file of hosts, one",
        ),
        (["-n", "2", "-H", "empty", "--", "lyrics", "train"], "empty must list at least one host, got none"),
        (["-n", "2", "--", "lyrics", "train", "--epochs", "x"], "Invalid value for '--epochs': 'x'"),
        (["-n", "2", "--", "detect-train", "--colour", "red"], "--colour"),
        (["-n", "2", "--", "lyrics", "train", "-"], "cannot share standard input"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_started(here, cli, launched, words, message):
    (here / "empty").touch()
    assert_refused(cli("launch", *words), message)
    assert launched == []


def test_help_of_the_command_is_shown_without_a_job(cli, launched):
    status, out, _ = cli("launch", "-n", "2", "--", "lyrics", "train", "--help")
    assert status == 0
    assert "--epochs" in out
    assert launched == []


def test_help_says_how_it_is_called(cli):
    status, out, _ = cli("launch", "--help")
    assert status == 0
    assert "gluonbook launch -n 2 -- lyrics train" in out
    for flag in ("-n, --workers", "-s, --servers", "-H, --hosts"):
        assert flag in out


def test_a_failed_job_says_who_failed_and_how_to_go_on(here, cli, launched):
    write_checkpoint(here / "my out")
    launched.error = JobFailed("worker 1 (vm, process 4711) ended with status 2")
    words = ["lyrics", "train", "--prefix", "它's", "--out", "my out"]
    status, out, err = cli("launch", "-n", "2", "--", *words)
    again = """gluonbook launch -n 2 -s 1 -- lyrics train --prefix '它'"'"'s' --out 'my out' --resume"""
    said = f"worker 1 (vm, process 4711) ended with status 2; the job was stopped. Go on with: {again}"
    assert (status, out, err) == (2, "", f"worker 1: too bad\ngluonbook: {said}\n")


def test_the_way_on_names_the_hosts_and_says_resume_once(here, cli, launched):
    write_checkpoint(here / "out" / "detector")  # where detect-train writes if not told
    (here / "hosts").write_text("one\n")
    launched.error = JobFailed("x")
    _, _, err = cli("launch", "-n", "2", "-H", "hosts", "--", "detect-train", "--resume")
    assert err.endswith("Go on with: gluonbook launch -n 2 -s 1 -H hosts -- detect-train --resume\n")


def test_no_way_on_is_told_where_there_is_no_checkpoint(here, cli, launched):
    launched.error = JobFailed("worker 1 (vm, process 4711) was killed or cut off")
    status, _, err = cli("launch", "-n", "2", "--", "lyrics", "train")
    assert status == 2
    assert err.endswith("gluonbook: worker 1 (vm, process 4711) was killed or cut off; the job was stopped.\n")


@pytest.mark.parametrize("saved", [True, False])
def test_ctrl_c_is_status_130_and_says_what_was_saved(here, cli, launched, saved):
    if saved:
        write_checkpoint(here / "m")
    launched.error = KeyboardInterrupt()
    status, _, err = cli("launch", "-n", "2", "--", "lyrics", "train", "--out", "m")
    assert status == 130
    again = "saved in m. Go on with: gluonbook launch -n 2 -s 1 -- lyrics train --out m --resume"
    assert f"\nstopped; {again if saved else 'nothing saved in m'}\n" in err


def test_a_wrong_setting_that_a_worker_finds_is_told_once_and_ends_the_job(here):
    command = [sys.executable, "-m", "gluonbook", "launch", "-n", "2", "--", "lyrics", "train", "none.txt"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    first, second = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert first.startswith("worker: ")
    assert "none.txt" in first
    assert second.startswith("gluonbook: worker (")
    assert second.endswith(" ended with status 2; the job was stopped.")


def test_debug_behind_the_dashes_shows_the_worker_s_traceback(here):
    command = [sys.executable, "-m", "gluonbook", "launch", "-n", "1", "--", "lyrics", "train", "none.txt", "--debug"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("Traceback") == 1
    assert "none.txt" in done.stderr


@pytest.mark.slow
def test_two_workers_train_lyrics_and_ctrl_c_saves_what_can_be_resumed(here):
    (here / "songs.txt").write_text("想要有直升机 想要和你飞到宇宙去 想要和你融化在一起 " * 20, encoding="utf-8")
    small = shlex.split("--hidden 16 --embedding 8 --batch-size 4 --steps 15 --device cpu --out m")
    command = [sys.executable, "-m", "gluonbook", "launch", "-n", "2", "--", "lyrics", "train", "songs.txt", *small]
    restored = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    job = subprocess.Popen(
        [*command, "--epochs", "100000", "--checkpoint-every", "1"],
        cwd=here,
        stderr=subprocess.PIPE,
        text=True,
        **restored,
    )
    while not (here / "m" / training.CHECKPOINT).exists() and job.poll() is None:
        time.sleep(0.05)
    job.send_signal(signal.SIGINT)
    err = job.communicate()[1]
    assert job.returncode == 130, err
    again = err.partition("\nstopped; saved in m. Go on with: gluonbook ")[2].split()
    assert again[:6] == ["launch", "-n", "2", "-s", "1", "--"]
    assert again[-1] == "--resume"
    epoch = training.read_checkpoint(here / "m")["epoch"]
    command = [sys.executable, "-m", "gluonbook", *again, "--epochs", str(epoch + 2)]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("write with it: gluonbook lyrics generate --model m") == 1
    assert "terminate" not in done.stderr
