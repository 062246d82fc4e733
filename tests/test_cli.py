"""The command's frame: help, chapters, env, errors in one line."""

import subprocess
import sys

import click
import pytest

import gluonbook
from gluonbook import cli as command_line
from gluonbook import devices


def test_help_imports_no_numpy():
    code = "import sys; from gluonbook.cli import main; main(['--help']); print({'numpy', 'mxnet'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    assert "lyrics" in done.stdout


def test_every_command_is_what_help_says():
    group = command_line.command
    context = click.Context(group)
    assert group.list_commands(context) == list(command_line.COMMANDS)
    for name, (_, _, about) in command_line.COMMANDS.items():
        assert group.get_command(context, name).help.split("\n")[0].startswith(about.split(";")[0].rstrip(".")[:20])


def test_version(cli):
    assert cli("--version") == (0, f"gluonbook {gluonbook.__version__}\n", "")


def test_chapters_lists_number_title_question_time(cli):
    status, out, _ = cli("chapters")
    assert status == 0
    assert "16  lyrics from a recurrent network" in out
    assert "how does a network read a corpus" in out
    assert "on two cores" in out


def test_run_refuses_a_chapter_that_is_not_there(cli):
    status, out, err = cli("run", "99")
    assert (status, out) == (2, "")
    assert err.startswith("gluonbook: there is no chapter 99; there are 1, 2")


def test_run_passes_flags_on(tmp_path):
    command = [sys.executable, "-m", "gluonbook", "run", "15", "--quick", "--out", str(tmp_path / "here")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "metrics.json").is_file()


def test_run_refuses_an_unknown_flag_with_status_2(tmp_path):
    command = [sys.executable, "-m", "gluonbook", "run", "15", "--colour", "red"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unrecognized arguments: --colour red" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["nothing"], ["lyrics", "nothing"], ["env", "more"], ["--nothing"]])
def test_wrong_words_are_one_line_and_status_2(cli, arguments):
    status, out, err = cli(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("gluonbook: ")
    assert err.count("\n") == 1


def test_env_prints_what_a_bug_report_needs(cli, isolated, monkeypatch):
    monkeypatch.setenv("GLUONBOOK_DATA", "/somewhere")
    status, out, _ = cli("env")
    assert status == 0
    facts = {line[:18].strip(): line[18:] for line in out.splitlines()}
    assert facts["gluonbook"].startswith(gluonbook.__version__)
    assert {"Python", "MXNet builds", "numpy", "MXNet", "threads", "devices", "cache"} <= set(facts)
    assert "1.9.1, features" in facts["MXNet"]
    assert facts["GLUONBOOK_DATA"] == "/somewhere"


def test_env_says_of_each_gpu_whether_it_works(cli, monkeypatch):
    gpus = (devices.GPU(0, None), devices.GPU(1, "its compute capability is 9.0"))
    monkeypatch.setattr(devices, "probe_gpus", lambda: gpus)
    _, out, _ = cli("env")
    assert "gpu(0): works" in out
    assert "gpu(1): its compute capability is 9.0" in out


def test_env_tells_of_a_broken_mxnet_and_goes_on(cli, monkeypatch):
    from gluonbook import _mxnet

    def broken():
        raise ImportError("no build")

    monkeypatch.setattr(_mxnet, "load", broken)
    status, out, _ = cli("env")
    assert status == 0
    assert "does not work: no build" in out
    assert "cache" in out


def test_a_library_error_is_one_line_and_debug_shows_it_all(cli, monkeypatch):
    status, _, err = cli("lyrics", "generate", "--model", "nowhere", "--prefix", "分开")
    assert status == 2
    assert err.startswith("gluonbook: nowhere/model.json is not there")
    assert err.count("\n") == 1
    with pytest.raises(FileNotFoundError):
        command_line.main(["lyrics", "generate", "--model", "nowhere", "--prefix", "分开", "--debug"])


def test_a_closed_pipe_is_quiet():
    done = subprocess.run(f"{sys.executable} -m gluonbook env | head -1", shell=True, capture_output=True, text=True)
    assert done.stdout.startswith("gluonbook")
    assert done.stderr == ""


def test_python_m_gluonbook_gives_the_status():
    assert subprocess.run([sys.executable, "-m", "gluonbook", "nothing"], capture_output=True).returncode == 2


def test_a_chapter_whose_claim_fails_under_given_flags_says_so(tmp_path):
    command = [sys.executable, "-m", "gluonbook", "run", "15", "--num-steps", "3"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    told = "claim 15.3 of the notes does not hold in ch15_bptt; the flags that were given change what it computes"
    assert done.stderr.splitlines()[-1] == f"gluonbook: {told}"
