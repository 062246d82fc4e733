"""What ``make bench`` measures with and writes: turns, peers, tables, the report; the kept report is current."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))

import measuring  # noqa: E402
import run  # noqa: E402
from measuring import Figure, Limits  # noqa: E402

# Turns


def test_ways_take_turns_and_the_first_round_is_not_counted():
    calls = []

    def way(name, *seconds):
        answers = iter(seconds)

        def once():
            calls.append(name)
            return next(answers)

        return once

    seconds = measuring.alternate({"a": way("a", 9.0, 1.0, 2.0), "b": way("b", 8.0, 3.0, 4.0)}, 2, pause=0)
    assert seconds == {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    assert calls == ["a", "b"] * 3


def test_there_is_a_pause_before_each_turn(monkeypatch):
    slept = []
    monkeypatch.setattr(measuring.time, "sleep", slept.append)
    measuring.alternate({"a": lambda: 1.0, "b": lambda: 1.0}, 1, pause=0.25)
    assert slept == [0.25] * 4


def test_a_way_gives_the_seconds_of_its_function(monkeypatch):
    clock = iter([10.0, 12.5])
    done = []
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    assert measuring.timed(lambda: done.append(1))() == 2.5
    assert done == [1]


# Peers


@pytest.fixture
def peer(tmp_path):
    """Start a peer that does the jobs of a given dict's source."""
    peers = []

    def start(jobs, **settings):
        script = tmp_path / "peer.py"
        head = f"import os, sys, time\nsys.path.insert(0, {str(BENCHMARKS)!r})\nfrom measuring import serve\n"
        script.write_text(f"{head}serve({jobs})\n")
        peers.append(measuring.Peer(str(script), **settings))
        return peers[-1]

    yield start
    for one in peers:
        one.close()


def test_a_peer_does_jobs_in_a_process_of_its_own_and_times_them(peer, monkeypatch):
    clock = "clock = iter([1.0, 3.5, 10.0, 10.25]); time.perf_counter = lambda: next(clock)"
    one = peer(f"(exec({clock!r}, globals()), {{'pid': lambda: {{'pid': os.getpid()}}, 'none': lambda: None}})[1]")
    answer = one.ask("pid")
    assert answer == {"seconds": 2.5, "pid": one.process.pid}
    assert one.way("none")() == 0.25


@pytest.mark.parametrize(("threads", "told"), [(None, None), (3, "3")])
def test_a_peer_chooses_its_threads_unless_it_is_told_them(peer, monkeypatch, threads, told):
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    one = peer("{'threads': lambda: {'threads': os.environ.get('OMP_NUM_THREADS')}}", threads=threads)
    assert one.ask("threads")["threads"] == told


def test_a_peer_that_dies_is_told_with_the_job_and_its_status(peer):
    one = peer("{'die': lambda: sys.exit(5)}")
    with pytest.raises(RuntimeError, match=r"peer\.py.* ended at 'die' with status 5$"):
        one.ask("die")


# Figures

LIMITS = Limits(gemm=200e9, copy=10e9)
STEP = Figure(
    "training step, a|b",
    {"gluonbook": [0.0104] * 4 + [0.009] + [0.012] * 2, "MXNet": [0.02] * 7, "PyTorch": [0.0080] * 7},
    flops=0.52e9,
    moved=1e6,
    reach={"MXNet": 0.6, "PyTorch": 1.0},
    note="a note",
)
LONG = Figure("long", {"gluonbook": [2.0, 4.0, 3.0], "MXNet": [6.0], "PyTorch": [1.5] * 7}, moved=15e9, unit="s")
RATE = Figure("rate", {"gluonbook": [0.5] * 7, "notes": [20.0] * 7}, unit="1/s", count=10_000)
HELP = Figure("help", {"gluonbook": [0.4] * 7, "notes": [0.04] * 7}, bound=0.5)

TABLE = """\
| job | gluonbook | MXNet | PyTorch | ÷ MXNet | ÷ PyTorch | of the limit |
|---|---:|---:|---:|---:|---:|---:|
| training step, a\\|b | 10.4 ms (9.00–12.0) | 20.0 ms (20.0–20.0) | 8.00 ms (8.00–8.00) | 0.52 ✓ | 1.30 ✗ | 25% |
| long | 3.00 s (2.00–4.00, 3 rounds) | 6.00 s (once) | 1.50 s (1.50–1.50) | 0.50 | 2.00 | 50% |

| job | gluonbook | notes | ÷ notes |
|---|---:|---:|---:|
| rate | 20,000/s (20,000–20,000) | 500/s (500–500) | 0.025 |
| help | 400 ms (400–400), ✓ at most 0.5 s | 40.0 ms (40.0–40.0) | 10.00 |

- training step, a\\|b: a note"""


def test_the_table_is_the_one_that_was_typed_by_hand():
    assert measuring.table([STEP, LONG, RATE, HELP], LIMITS) == TABLE


def test_without_limits_the_table_has_no_share_of_them():
    assert measuring.table([LONG]) == (
        "| job | gluonbook | MXNet | PyTorch | ÷ MXNet | ÷ PyTorch |\n|---|---:|---:|---:|---:|---:|\n"
        "| long | 3.00 s (2.00–4.00, 3 rounds) | 6.00 s (once) | 1.50 s (1.50–1.50) | 0.50 | 2.00 |"
    )


@pytest.mark.parametrize(
    ("flops", "moved", "share"),
    [(0.0, 0.0, None), (1e9, 0.0, 0.5), (0.0, 2e7, 0.2), (1e9, 2e7, 0.5), (1e8, 4e7, 0.4)],
)
def test_the_share_of_the_limit_is_of_whichever_takes_longer(flops, moved, share):
    figure = Figure("job", {"gluonbook": [0.01, 0.001, 0.1]}, flops, moved)
    found = measuring.share_of_limit(figure, LIMITS)
    assert found == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(("seconds", "met"), [(0.3, True), (0.301, False)])
def test_a_reach_and_a_bound_are_met_up_to_their_value(seconds, met):
    figure = Figure("job", {"gluonbook": [seconds], "PyTorch": [0.6]}, reach={"PyTorch": 0.5}, bound=0.3)
    assert measuring.meets_reach(figure, "PyTorch") is met
    assert measuring.meets_bound(figure) is met
    assert measuring.table([figure]).count("✓" if met else "✗") == 2


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.1234, "123 ms"), (0.01234, "12.3 ms"), (0.001234, "1.23 ms"), (1.2e-5, "0.0120 ms"), (12.34, "12,340 ms")],
)
def test_three_digits_are_shown(seconds, shown):
    assert f"| {shown} (once) |" in measuring.table([Figure("job", {"gluonbook": [seconds]})])


def test_the_limits_are_the_best_rounds_of_the_faster_product_and_of_the_copy(monkeypatch):
    taken = []

    def alternate(ways, rounds):
        taken.append(rounds)
        for way in ways.values():
            way()  # each does its work
        return {"oneDNN": [0.2, 0.1], "NumPy": [0.3, 0.05], "copy": [0.5, 0.25]}

    monkeypatch.setattr(measuring, "alternate", alternate)
    monkeypatch.setattr(measuring, "SIDE", 16)
    monkeypatch.setattr(measuring, "COPIED", 1024)
    assert measuring.measure_limits(9) == Limits(gemm=2 * 16**3 / 0.05, copy=2 * 1024 / 0.25)
    assert taken == [9]


# The report

MACHINE = {"processor": "Some Processor", "mxnet": "1.9.1"}
BEFORE = {"machine": MACHINE, "limits": {"gemm": 200e9, "copy": 8e9}}
AFTER = {"gemm": 180e9, "copy": 10e9}


def results(earlier=None, failed=None, date="2026-11-30", **sections):
    figures = {name: {"figures": [run.plain(figure) for figure in found]} for name, found in sections.items()}
    return json.loads(json.dumps(run.merge(earlier or {}, BEFORE, AFTER, figures, failed or {}, date, 7)))


def test_the_report_tells_machine_limits_sections_reach_and_changes():
    text = run.report(results(lyrics=[STEP, LONG], startup=[HELP]), "## Changes\n\nby hand\n")
    assert "| processor | Some Processor |\n| mxnet | 1.9.1 |\n| date | 2026-11-30 |" in text
    assert "| matrix product, float32 | 200.0 GFLOP/s | 180.0 GFLOP/s |" in text
    assert "| large copy, read and written | 8.0 GB/s | 10.0 GB/s |" in text
    assert f"## Lyrics\n\nMeasured on 2026-11-30, 7 rounds.\n\n{measuring.table([STEP, LONG], LIMITS)}\n" in text
    assert "## Detection\n\nNot measured.\n" in text
    assert text.endswith("\n\n## Changes\n\nby hand\n")
    reach = text[text.index("## Reach") : text.index("## Changes")]
    assert reach == (
        "## Reach\n\n| section | job | wanted | came | met |\n|---|---|---|---:|---|\n"
        "| Lyrics | training step, a\\|b | at most 0.6 of MXNet | 0.52 | ✓ |\n"
        "| Lyrics | training step, a\\|b | at most 1 of PyTorch | 1.3 | ✗ |\n"
        "| Startup | help | at most 0.5 s | 0.4 s | ✓ |\n\n"
        "2 of 3 met.\n\n0 of 1 training steps are faster than PyTorch's.\n\n"
    )
    assert [text.index(f"## {title}") for title in run.SECTIONS.values()] == sorted(
        text.index(f"## {title}") for title in run.SECTIONS.values()
    )


def test_a_step_counts_as_faster_only_beside_the_fastest_of_pytorchs_ways():
    def step(own, first, second, job="training step"):
        return Figure(job, {"gluonbook": [own], "PyTorch": [first], "PyTorch, compiled": [second], "MXNet": [9.0]})

    steps = [step(1.0, 2.0, 1.5), step(1.0, 2.0, 0.5), step(1.0, 0.5, 2.0), step(1.0, 2.0, 2.0, "forward")]
    assert [share for _, share in run.torch_steps(steps)] == [1 / 1.5, 2.0, 2.0]
    assert run.torch_steps([Figure("training step", {"gluonbook": [1.0], "MXNet": [2.0]})]) == []
    assert "1 of 3 training steps are faster" in run.report(results(lyrics=steps), "")


def test_a_reach_beside_a_peer_that_was_not_there_is_not_met():
    figure = Figure("job", {"gluonbook": [1.0]}, reach={"PyTorch": 1.0})
    assert "| job | at most 1 of PyTorch | not measured | ✗ |\n\n0 of 1 met." in run.report(results(style=[figure]), "")


def test_a_section_alone_leaves_the_others_as_they_were_with_their_dates_and_limits():
    first = results(date="2026-01-01", lyrics=[STEP], style=[RATE])
    first["measured"]["lyrics"]["limits"] = {"gemm": 1e9, "copy": 1e9}
    second = results(first, date="2026-02-02", style=[HELP])
    assert second["sections"]["lyrics"] == first["sections"]["lyrics"]
    assert second["measured"]["lyrics"] == first["measured"]["lyrics"]
    assert second["measured"]["style"] == {"date": "2026-02-02", "rounds": 7, "limits": {"gemm": 200e9, "copy": 10e9}}
    assert second["date"] == "2026-02-02"
    text = run.report(second, "")
    assert "## Lyrics\n\nMeasured on 2026-01-01" in text
    assert "| 5000% |" in text
    assert "| help |" in text
    assert "| rate |" not in text


def test_a_section_that_failed_is_told_and_keeps_what_it_had_until_it_is_measured_again():
    first = results(date="2026-01-01", lyrics=[STEP], style=[RATE])
    second = results(first, {"style": "ValueError: no", "detection": "no memory"}, date="2026-02-02")
    text = run.report(second, "")
    assert "## Style transfer\n\nFailed on 2026-02-02: `ValueError: no`\n\nMeasured on 2026-01-01" in text
    assert "## Detection\n\nFailed on 2026-02-02: `no memory`\n\nNot measured.\n" in text
    third = results(second, date="2026-03-03", style=[RATE])
    assert list(third["failed"]) == ["detection"]


def test_figures_of_two_machines_do_not_get_into_one_file():
    kept = results(lyrics=[STEP], style=[RATE])
    run.check_machine(kept, MACHINE, ["lyrics"])
    run.check_machine(kept, {**MACHINE, "mxnet": "2"}, ["lyrics", "style"])
    run.check_machine({}, MACHINE, ["lyrics"])
    with pytest.raises(SystemExit, match=r"--only would keep style as another machine .*\(mxnet, torch changed\)"):
        run.check_machine(kept, {**MACHINE, "mxnet": "2", "torch": "3"}, ["lyrics"])


@pytest.mark.parametrize("seconds", [{}, {"MXNet": [1.0]}, {"MXNet": [1.0], "gluonbook": [1.0]}, {"gluonbook": []}])
def test_a_figure_must_begin_with_this_package_and_have_seconds(seconds):
    with pytest.raises(ValueError, match=r"^the first way of 'job' must be 'gluonbook', and each must have seconds"):
        run.plain(Figure("job", seconds))


# The command


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rounds", "6"], "--rounds must be at least 7 for the results that are kept, got 6"),
        (
            ["--rounds", "6", "--out", str(BENCHMARKS / "." / "..") + "/benchmarks"],
            "at least 7 for the results that are",
        ),
        (["--rounds", "0", "--out", "elsewhere"], "--rounds must be at least 1, got 0"),
        (
            ["--only", "lyrics,cooking"],
            "startup, distributed; got 'cooking'",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(capsys, monkeypatch, arguments, told):
    monkeypatch.setattr(run, "in_process", None)
    with pytest.raises(SystemExit) as stop:
        run.main(arguments)
    assert stop.value.code == 2
    assert told in capsys.readouterr().err


def test_few_rounds_go_elsewhere():
    assert run.read_options(["--rounds", "1", "--out", "elsewhere"]).rounds == 1
    assert run.read_options(["--only", "style, lyrics"]).only == ["style", "lyrics"]
    assert run.read_options([]).only == list(run.SECTIONS)


STUB = """
from measuring import Figure

def figures(rounds):
    return [Figure("the stub's", {"gluonbook": [1.0] * rounds, "PyTorch": [2.0] * rounds}, reach={"PyTorch": 0.5})]
"""


def test_a_failing_section_is_told_and_does_not_lose_the_others(tmp_path, monkeypatch):
    """The command itself, on three sections of which one fails; the limits are measured once each."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    shutil.copy(BENCHMARKS / "run.py", folder)
    measured = (BENCHMARKS / "measuring.py").read_text(encoding="utf-8")
    small = measured.replace("SIDE, COPIED = 2048, 2**28", "SIDE, COPIED = 64, 2**16")
    (folder / "measuring.py").write_text(small, encoding="utf-8")
    (folder / "changes.md").write_text("## Changes\n\nby hand\n")
    (folder / "lyrics.py").write_text(STUB)
    (folder / "style.py").write_text("import sys\n\ndef figures(rounds):\n    raise ValueError('no picture')\n")
    (folder / "startup.py").write_text(STUB + "\nprint('noise')\n")
    command = [sys.executable, str(folder / "run.py"), "--rounds", "2", "--only", "lyrics,style,startup"]
    done = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.endswith("style failed: ValueError: no picture\n")
    progress = [line for line in done.stderr.splitlines() if "…" in line]
    assert [line.split(" …")[0] for line in progress] == ["limits", "lyrics", "style", "startup", "limits"]
    kept = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert kept["sections"]["lyrics"][0]["seconds"] == {"gluonbook": [1.0, 1.0], "PyTorch": [2.0, 2.0]}
    assert kept["sections"]["startup"] == kept["sections"]["lyrics"]
    assert kept["failed"]["style"]["message"] == "ValueError: no picture"
    assert min(*kept["limits"].values(), *kept["limits_after"].values()) > 0
    assert small != measured
    text = (tmp_path / "out" / "RESULTS.md").read_text(encoding="utf-8")
    monkeypatch.setattr(run, "SIDE", 64)
    assert text == run.report(kept, "## Changes\n\nby hand\n")
    assert "2 of 2 met." in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["RESULTS.md", "results.json"]


def test_nothing_is_written_where_the_limits_cannot_be_measured(tmp_path, monkeypatch):
    def broken(name, rounds):
        raise RuntimeError("MXNet is not installed")

    monkeypatch.setattr(run, "in_process", broken)
    with pytest.raises(RuntimeError, match="MXNet is not installed"):
        run.main(["--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_every_section_has_a_script_with_figures():
    for name in run.SECTIONS:
        assert "\ndef figures(" in (BENCHMARKS / f"{name}.py").read_text(encoding="utf-8"), name


def test_the_kept_report_is_what_the_kept_results_give():
    kept = json.loads((BENCHMARKS / "results.json").read_text(encoding="utf-8"))
    changes = (BENCHMARKS / "changes.md").read_text(encoding="utf-8")
    assert (BENCHMARKS / "RESULTS.md").read_text(encoding="utf-8") == run.report(kept, changes)
    assert list(kept["sections"]) == list(run.SECTIONS)
    assert kept["failed"] == {}
    assert min(section["rounds"] for section in kept["measured"].values()) >= measuring.LEAST_ROUNDS
