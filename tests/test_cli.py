"""The command's frame: help, chapters, env, errors in one line."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_helpers import assert_refused

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


def test_notebook_writes_a_chapter_here_and_says_how_to_open_it(cli, isolated):
    status, out, err = cli("notebook", "16", "--quick")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == "ch16_rnn_lyrics.ipynb"
    assert "jupyter lab ch16_rnn_lyrics.ipynb" in out
    made = json.loads(Path("ch16_rnn_lyrics.ipynb").read_text(encoding="utf-8"))
    assert 'chapter.notebook("ch16_rnn_lyrics", "--quick")' in made["cells"][1]["source"]
    assert any("循环神经网络" in cell["source"] for cell in made["cells"])
    assert [path.name for path in Path().iterdir()] == ["ch16_rnn_lyrics.ipynb"]


@pytest.mark.parametrize(("there", "told"), [(True, False), (False, True)])
def test_notebook_says_how_to_install_jupyter_where_it_is_missing(cli, isolated, monkeypatch, there, told):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: there if name == "jupyterlab" else find_spec(name))
    _, out, _ = cli("notebook", "15", "-o", "my notes/a.ipynb")
    assert "jupyter lab 'my notes/a.ipynb'" in out
    assert ("pip install jupyterlab" in out) is told
    assert 'chapter.notebook("ch15_bptt")' in Path("my notes/a.ipynb").read_text(encoding="utf-8").replace("\\", "")


def test_notebook_keeps_what_a_reader_changed_unless_forced(cli, isolated):
    path = Path("ch15_bptt.ipynb")
    cli("notebook", "15")
    written = path.read_bytes()
    assert cli("notebook", "15")[0] == 0  # nothing to lose
    path.write_bytes(written + b"\n")
    for flags in ([], ["--quick"]):
        assert_refused(cli("notebook", "15", *flags), "ch15_bptt.ipynb is there and holds something else; --force")
        assert path.read_bytes() == written + b"\n"
    assert cli("notebook", "15", "--force")[0] == 0
    assert path.read_bytes() == written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["99"], "there is no chapter 99; there are 1, 2"),
        (["15", "-o", "bptt.json"], "-o must name a file that ends in .ipynb, got 'bptt.json'"),
        (["15", "-o", "."], "-o must name a file that ends in .ipynb, got '.'"),
        (["15", "--seed", "3"], "No such option"),
    ],
)
def test_notebook_refuses_what_it_cannot_write(cli, isolated, arguments, message):
    assert_refused(cli("notebook", *arguments), message)
    assert list(Path().iterdir()) == []


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


def device_lines(out):
    """The lines of ``gluonbook env`` about devices."""
    lines = [(line[:18].strip(), line[18:]) for line in out.splitlines()]
    first = [name for name, _ in lines].index("devices")
    return [lines[first][1], *(text for _, text in itertools.takewhile(lambda line: not line[0], lines[first + 1 :]))]


@pytest.fixture
def gpus(monkeypatch):
    """Set what MXNet's build is, the problems of the GPUs that it counts, and the GPUs of the NVIDIA driver."""

    def set_gpus(build, problems, known):
        counted = tuple(devices.GPU(number, problem) for number, problem in enumerate(problems))
        found = None if known is None else tuple(devices.DriverGPU(i, *gpu) for i, gpu in enumerate(known))
        monkeypatch.setattr(devices, "probe_gpus", lambda: counted)
        monkeypatch.setattr(devices, "driver_gpus", lambda: found)
        monkeypatch.setattr(devices, "_is_cpu_build", lambda: build == "cpu")

    return set_gpus


def test_env_says_of_the_cpu_whether_it_works_and_with_how_many_threads(cli, gpus, monkeypatch):
    gpus("cpu", [], None)
    threads = os.environ["OMP_NUM_THREADS"]
    monkeypatch.setattr("gluonbook._mxnet.usable_cpus", lambda: 5)
    (cpu, none) = device_lines(cli("env")[1])
    assert cpu == f"cpu(0): works; processors 5, threads {threads}"
    assert none == "no GPU: no NVIDIA driver answers, and MXNet's CPU build is installed"
    monkeypatch.setattr(devices, "kernel_problem", lambda context: f"no sum on {context}")
    assert device_lines(cli("env")[1])[0].startswith("cpu(0): no sum on cpu(0); ")


H100, RTX = ("NVIDIA H100", (9, 0), 80 * 2**30), ("NVIDIA RTX 3090", (8, 6), 24 * 2**30)
H100_NAME, RTX_NAME = (
    "NVIDIA H100 (80.0 GiB, compute capability 9.0)",
    "NVIDIA RTX 3090 (24.0 GiB, compute capability 8.6)",
)
NO_CODE = "MXNet's builds hold code for compute capability 5.0 to 8.9, not for 9.0"


@pytest.mark.parametrize(
    ("build", "problems", "known", "told"),
    [
        ("cuda", [None], [RTX], [f"gpu(0) {RTX_NAME}: works"]),
        ("cuda", [None], None, ["gpu(0): works"]),
        ("cuda", [NO_CODE], [H100], [f"gpu(0) {H100_NAME}: cannot be used: {NO_CODE}; the CPU is used"]),
        (
            *("cuda", [NO_CODE, None], [H100, RTX]),
            [f"gpu(0) {H100_NAME}: cannot be used: {NO_CODE}", f"gpu(1) {RTX_NAME}: works"],
        ),
        (
            *("cuda", [], [RTX]),
            [
                f"gpu(0) {RTX_NAME}: cannot be used: MXNet's CUDA build is installed, but does not find it; "
                "the CPU is used"
            ],
        ),
        (
            *("cpu", [], [RTX, H100]),
            [
                f"gpu(0) {RTX_NAME}: cannot be used: MXNet's CPU build is installed; "
                'pip install "gluonbook[cu112]" in a fresh environment would use it; the CPU is used',
                f"gpu(1) {H100_NAME}: cannot be used: MXNet's CPU build is installed; {NO_CODE}; the CPU is used",
            ],
        ),
        ("cpu", [], [], ["no GPU: the NVIDIA driver counts none, and MXNet's CPU build is installed"]),
        (
            *("cuda", [], []),
            ["no GPU: the NVIDIA driver counts none, and MXNet's CUDA build is installed, but it finds no NVIDIA GPU"],
        ),
    ],
)
def test_env_says_of_each_gpu_whether_it_works_and_what_would_help(cli, gpus, build, problems, known, told):
    gpus(build, problems, known)
    assert device_lines(cli("env")[1])[1:] == told


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
