"""What every chapter shares: flags, seeds, claims, the report, and the header that says what it is about."""

import json
import random
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from gluonbook import _files, chapter
from gluonbook._mxnet import mx, nd


@pytest.fixture(autouse=True)
def script(isolated, monkeypatch):
    """Run each test as if it were the script ``ch99_test.py``, in an empty folder."""
    monkeypatch.setattr(chapter, "_running", None)
    monkeypatch.setattr(chapter, "_notebook", None)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/somewhere/ch99_test.py", raising=False)
    monkeypatch.setattr(sys, "argv", ["ch99_test.py", "--device", "cpu"])


@pytest.fixture
def argv(monkeypatch):
    """Give the chapter these arguments, on the CPU."""
    return lambda *arguments: monkeypatch.setattr(sys, "argv", ["ch99_test.py", "--device", "cpu", *arguments])


@pytest.fixture
def notebook(monkeypatch):
    """Make it look as if an IPython kernel ran this code."""
    shell = types.SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(chapter.devices, "try_all_gpus", lambda: [mx.cpu()])
    return shell


def test_without_arguments_the_defaults_hold():
    opt = chapter.options(filters=96, rate=0.5, name="a", limit=None)
    assert (opt.filters, opt.rate, opt.name, opt.limit) == (96, 0.5, "a", None)
    assert (opt.quick, opt.seed, opt.show) == (False, 0, False)
    assert opt.out.as_posix() == "out/ch99_test"
    assert opt.device == mx.cpu(0)


def test_flags_take_the_type_of_their_default(argv):
    argv("--num-epochs", "7", "--rate", "2", "--name", "b", "--limit", "c", "--seed", "3", "--out", "there")
    opt = chapter.options(num_epochs=30, rate=0.5, name="a", limit=None)
    assert (opt.num_epochs, opt.rate, opt.name, opt.limit) == (7, 2.0, "b", "c")
    assert type(opt.rate) is float
    assert opt.seed == 3
    assert opt.out.as_posix() == "there"


def test_quick_swaps_defaults_and_a_flag_that_is_given_wins(argv):
    argv("--quick", "--given", "5", "--same", "4")
    opt = chapter.options(
        filters=chapter.option(96, quick=8),
        given=chapter.option(10, quick=1),
        same=chapter.option(4, quick=2),
        none=chapter.option(3, quick=0),
        plain=7,
    )
    assert opt.quick
    assert (opt.filters, opt.given, opt.same, opt.none, opt.plain) == (8, 5, 4, 0, 7)


def test_without_quick_no_default_is_swapped():
    assert chapter.options(filters=chapter.option(96, quick=8)).filters == 96


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter-size", "3"], "unrecognized arguments: --filter-size 3"),
        (["--filters", "many"], "argument --filters: invalid int value: 'many'"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
    ],
)
def test_a_wrong_flag_ends_with_status_2_and_a_message(argv, capsys, arguments, message):
    argv(*arguments)
    with pytest.raises(SystemExit) as stop:
        chapter.options(filters=96)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_help_tells_of_every_flag(argv, capsys):
    argv("--help")
    with pytest.raises(SystemExit) as stop:
        chapter.options(filters=chapter.option(96, quick=8, help="filters in the example"), num_epochs=30)
    assert stop.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "filters in the example (default 96, quick 8)" in told
    assert "(default 30)" in told
    assert all(flag in told for flag in ("--num-epochs", "--quick", "--out", "--seed", "--device", "--show"))


@pytest.mark.parametrize(("flags", "shuffle"), [([], True), (["--shuffle"], True), (["--no-shuffle"], False)])
def test_a_yes_or_no_setting_is_a_flag_and_its_opposite(argv, flags, shuffle):
    argv(*flags)
    assert chapter.options(shuffle=True).shuffle is shuffle


def drawn():
    return random.random(), np.random.rand(), float(nd.random.uniform().asscalar())


def test_a_seed_gives_the_same_numbers_twice(argv):
    argv("--seed", "3")
    chapter.options()
    first = drawn()
    assert all(a != b for a, b in zip(first, drawn()))
    chapter.options()
    assert drawn() == first
    argv("--seed", "4")
    chapter.options()
    assert all(a != b for a, b in zip(first, drawn()))


def test_a_notebook_leaves_the_kernels_arguments_alone(monkeypatch, notebook):
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json", "--quick"])
    monkeypatch.setattr(chapter.devices, "try_all_gpus", lambda: ["all", "of them"])
    opt = chapter.options(filters=chapter.option(96, quick=8))
    assert (opt.filters, opt.quick, opt.device, opt.devices) == (96, False, "all", ["all", "of them"])


def test_a_notebook_that_says_its_chapter_has_its_folder_and_arguments(notebook):
    chapter.notebook("ch16_rnn_lyrics", "--quick --name 'a b'")
    opt = chapter.options(filters=chapter.option(96, quick=8), name="")
    assert (opt.filters, opt.quick, opt.name) == (8, True, "a b")
    assert opt.out.as_posix() == "out/ch16_rnn_lyrics"
    chapter.report()
    assert metrics("out/ch16_rnn_lyrics")["chapter"] == "ch16_rnn_lyrics"


def test_the_latest_arguments_of_a_notebook_hold_each_time(notebook):
    for arguments, found in (("--filters 5", 5), ("--filters 6", 6), ("", 96)):
        chapter.notebook("ch16_rnn_lyrics", arguments)
        assert [chapter.options(filters=96).filters for _ in range(2)] == [found, found]
    chapter.notebook("ch15_bptt")
    assert chapter.options().out.as_posix() == "out/ch15_bptt"


def test_outside_of_a_notebook_the_command_line_holds(argv):
    argv("--filters", "7")
    chapter.notebook("ch16_rnn_lyrics", "--filters 5")
    opt = chapter.options(filters=96)
    assert (opt.filters, opt.out.as_posix()) == (7, "out/ch99_test")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--filter-size 3", "unrecognized arguments: --filter-size 3"),
        ("--filters many", "argument --filters: invalid int value: 'many'"),
        ("--quick --seed", "argument --seed: expected one argument"),
    ],
)
def test_a_wrong_argument_in_a_notebook_is_an_error_that_says_which_are_right(notebook, capsys, arguments, message):
    chapter.notebook("ch16_rnn_lyrics", arguments)
    with pytest.raises(ValueError, match=r"^arguments of chapter\.notebook: ") as refused:
        chapter.options(filters=96)
    first, usage = str(refused.value).split("\n", 1)
    assert first == f"arguments of chapter.notebook: {message}"
    assert usage.startswith("usage: ch16_rnn_lyrics [-h] [--filters FILTERS]")
    assert refused.value.__suppress_context__
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("",), ValueError, "name must be a chapter's, such as 'ch16_rnn_lyrics', got ''"),
        (("out/ch16",), ValueError, "name must be a chapter's, such as 'ch16_rnn_lyrics', got 'out/ch16'"),
        (("ch16", "--out 'a"), ValueError, 'arguments must be words as on a command line, got "--out \'a": No closing'),
        (("ch16", ["--quick"]), TypeError, r"arguments must be a text, such as '--quick', got \['--quick'\] \(list\)"),
    ],
)
def test_a_notebook_s_wrong_words_are_refused_and_the_former_hold(notebook, arguments, error, message):
    chapter.notebook("ch15_bptt", "--seed 3")
    with pytest.raises(error, match=f"^{message}"):
        chapter.notebook(*arguments)
    opt = chapter.options()
    assert (opt.out.as_posix(), opt.seed) == ("out/ch15_bptt", 3)


def test_several_devices_are_there_for_trainings_and_the_first_for_all_else(argv):
    argv("--device", "cpu(1),cpu(0)")
    opt = chapter.options()
    assert (opt.device, opt.devices) == (mx.cpu(1), [mx.cpu(1), mx.cpu(0)])


def test_a_notebook_keeps_its_backend_and_a_script_draws_without_windows(monkeypatch, argv):
    used = []
    monkeypatch.setattr("matplotlib.use", used.append)
    chapter.options()
    assert used == ["agg"]
    argv("--show")
    chapter.options()
    monkeypatch.setattr(chapter, "in_notebook", lambda: True)
    chapter.options()
    assert used == ["agg"]


def test_a_notebook_is_an_ipython_kernel(monkeypatch, notebook):
    assert chapter.in_notebook()
    del notebook.kernel  # as in a terminal
    assert not chapter.in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not chapter.in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not chapter.in_notebook()


@pytest.mark.parametrize("use", [lambda: chapter.claim("16.5", True), chapter.report, lambda: chapter.figure("a")])
def test_options_must_come_first(use):
    with pytest.raises(RuntimeError, match=r"^chapter\.options\(\) must be called first$"):
        use()


@pytest.mark.parametrize("holds", [False, 0, np.bool_(False), None])
def test_a_claim_that_does_not_hold_ends_the_chapter_with_its_name(holds):
    chapter.options()
    with pytest.raises(chapter.ClaimFailed, match=r"^claim 16\.5 of the notes does not hold in ch99_test$"):
        chapter.claim("16.5", holds)


def test_a_claim_that_failed_once_is_not_reported_as_shown(argv):
    chapter.options()
    with pytest.raises(chapter.ClaimFailed):
        chapter.claim("16.5", False)
    chapter.claim("16.6", True)
    chapter.report()
    assert metrics()["claims"] == ["16.6"]


def metrics(folder="out/ch99_test"):
    return json.loads(Path(folder, "metrics.json").read_text(encoding="utf-8"))


def test_the_report_holds_the_claims_in_order_and_the_results(argv, capsys):
    argv("--quick", "--out", "there")
    chapter.options()
    for identifier in ("16.10", "16.9", "2.11", "16.9"):
        chapter.claim(identifier, True)
    chapter.report(
        loss=np.float32(0.5),
        shape=(363, 3025),
        rows=np.arange(3),
        text_written="分开",
        table={1: np.float64(2.5)},
        nested=[np.int64(1), (2.0, None)],
    )
    assert metrics("there") == {
        "chapter": "ch99_test",
        "quick": True,
        "claims": ["2.11", "16.9", "16.10"],
        "results": {
            "loss": 0.5,
            "shape": [363, 3025],
            "rows": [0, 1, 2],
            "text_written": "分开",
            "table": {"1": 2.5},
            "nested": [1, [2.0, None]],
        },
    }
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "loss          0.5"
    assert lines[1] == "shape         363, 3025"
    assert lines[3] == "text written  分开"
    assert lines[4] == "table         1 2.5"
    assert lines[-2:] == ["claims shown: 2.11 16.9 16.10", "figures and numbers: there"]


def test_figures_are_written_beside_the_numbers():
    chapter.options()
    ax = chapter.figure("curve")
    ax.plot([1, 2], [3, 4])
    left, right = chapter.figure("困惑度", 1, 2, figsize=(4, 2))
    assert left.figure is right.figure
    chapter.report()
    folder = Path("out/ch99_test")
    assert sorted(path.name for path in folder.iterdir()) == ["curve.png", "metrics.json", "困惑度.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.glob("*.png"))


def test_a_second_chapter_in_the_same_process_starts_anew():
    chapter.options()
    chapter.claim("1.1", True)
    chapter.figure("first")
    chapter.options()
    chapter.report()
    assert metrics()["claims"] == []
    assert [path.name for path in Path("out/ch99_test").iterdir()] == ["metrics.json"]


@pytest.mark.parametrize(("flags", "times"), [([], 0), (["--show"], 1)])
def test_figures_are_shown_only_where_asked_for(argv, monkeypatch, flags, times):
    shown = []
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: shown.append(True))
    argv(*flags)
    chapter.options()
    chapter.report()
    assert len(shown) == times


HEADER = '''"""Chapter 7: what does a thing: do?

Asks:    how large is it, and
         how many are there?
Needs:   no data, no GPU.  Time: 4 s (--quick 2 s) on two cores.
Claims:  7.1 7.2
         7.10
"""
'''


def written(folder, name, source):
    (folder / name).write_text(source, encoding="utf-8")
    return folder / name


def test_a_header_is_read_without_running_the_chapter(tmp_path):
    path = written(tmp_path, "ch07_thing.py", HEADER + "raise SystemExit('it ran')\n")
    assert chapter.read_header(path) == chapter.Chapter(
        number=7,
        path=path,
        title="what does a thing: do?",
        question="how large is it, and how many are there?",
        needs="no data, no GPU.",
        time="4 s (--quick 2 s) on two cores",
        claims=("7.1", "7.2", "7.10"),
    )


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ("Chapter 7: ", "Chapter seven: ", "title"),
        ("Asks: ", "Wants: ", "question"),
        ("Needs: ", "Wants: ", "needs"),
        ("Time: ", "", "time"),
        ("Claims: ", "Shows: ", "claims"),
        (HEADER, "x = 1\n", "title, question, needs, time, claims"),
    ],
)
def test_a_header_without_a_part_is_refused_with_its_name(tmp_path, old, new, missing):
    path = written(tmp_path, "ch07_thing.py", HEADER.replace(old, new))
    with pytest.raises(ValueError, match=rf"^ch07_thing\.py does not say its {missing} in its docstring$"):
        chapter.read_header(path)


def test_chapters_are_listed_in_order(tmp_path, monkeypatch):
    for number in (16, 2):
        written(tmp_path, f"ch{number:02d}_thing.py", HEADER.replace("Chapter 7", f"Chapter {number}"))
    written(tmp_path, "helper.py", "no chapter")
    monkeypatch.setattr(_files, "packaged", lambda folder: tmp_path)
    assert [entry.number for entry in chapter.chapters()] == [2, 16]


@pytest.fixture
def runnable(tmp_path, monkeypatch):
    """A package of one chapter, number 7."""
    source = HEADER + (
        "from gluonbook import chapter\n"
        "opt = chapter.options(filters=chapter.option(96, quick=8))\n"
        "chapter.claim('7.1', opt.filters in (96, 8, 5))\n"
        "chapter.report(filters=opt.filters)\n"
    )
    folder = tmp_path / "chapters"
    folder.mkdir()
    path = written(folder, "ch07_thing.py", source)
    monkeypatch.setattr(_files, "packaged", lambda name: folder)
    monkeypatch.delattr(sys.modules["__main__"], "__file__")
    return path


def test_the_command_lists_chapters(runnable, cli):
    status, out, _ = cli("chapters")
    assert status == 0
    assert [line.strip() for line in out.splitlines()] == [
        "7  what does a thing: do?",
        "how large is it, and how many are there?",
        "4 s (--quick 2 s) on two cores",
    ]


@pytest.mark.parametrize(("flags", "filters"), [([], 96), (["--quick"], 8), (["--quick", "--filters", "5"], 5)])
def test_the_command_runs_a_chapter_with_its_flags(runnable, cli, flags, filters):
    status, out, said = cli("run", "7", "--device", "cpu", "--out", "there", *flags)
    assert (status, said) == (0, "")
    assert f"filters  {filters}" in out
    assert metrics("there")["results"] == {"filters": filters}


def test_a_chapter_that_is_run_is_known_by_its_own_name(runnable, cli):
    assert cli("run", "7", "--device", "cpu")[0] == 0
    assert metrics("out/ch07_thing")["chapter"] == "ch07_thing"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["9"], "there is no chapter 9; there are 7"),
        (["7", "--unknown"], "unrecognized arguments: --unknown"),
        (["7", "--device", "tpu"], "gluonbook: device must be auto, cpu, gpu or gpu(N), got 'tpu'"),
        (["x"], "is not a valid integer"),
    ],
)
def test_a_mistake_in_running_a_chapter_is_status_2(runnable, cli, arguments, message):
    status, _, said = cli("run", *arguments)
    assert status == 2
    assert message in said
    assert "Traceback" not in said


def test_a_claim_that_fails_is_one_line_and_status_2(runnable, cli):
    status, _, err = cli("run", "7", "--device", "cpu", "--filters", "4")
    assert status == 2
    assert err.startswith("gluonbook: claim 7.1 of the notes does not hold in ch07_thing; the flags")
    assert "Traceback" not in err


def test_an_erratum_is_a_claim_that_tells_what_the_notes_say():
    chapter.options()
    chapter.erratum("2.8", True, notes="so", truth="otherwise")
    assert list(chapter._running.claims) == ["2.8"]
    with pytest.raises(chapter.ClaimFailed, match=r"claim 2\.9 of the notes does not hold"):
        chapter.erratum("2.9", False, notes="so", truth="otherwise")


@pytest.mark.parametrize("texts", [{"notes": "", "truth": "otherwise"}, {"notes": "so", "truth": ""}])
def test_an_erratum_without_words_is_refused(texts):
    chapter.options()
    with pytest.raises(ValueError, match="notes and truth must be told"):
        chapter.erratum("2.8", True, **texts)
