"""README.md tells the truth, and README.zh-CN.md says the same."""

import re
import shlex
from pathlib import Path

import click
import pytest

from gluonbook import chapter, detection, lyrics
from gluonbook.cli import command

ROOT = Path(__file__).resolve().parent.parent
README, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))


def blocks(text, language=""):
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for of, block in found if of == language]


def commands(text):
    """The shell commands of a page, without comments and prompts; output lines are left out."""
    lines = []
    for block in blocks(text.replace("\\\n", "")):  # a command that goes on in the next line
        prompted = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
        lines += prompted or [line for line in block.splitlines() if line.strip()]
    return [line.split(" #")[0].rstrip() for line in lines]


def test_the_lyrics_are_what_the_command_writes(cli):
    (block,) = [block for block in blocks(README) if block.startswith("$ gluonbook lyrics generate")]
    line, printed = block.split("\n", 1)
    status, out, _ = cli(*shlex.split(line)[2:])
    assert status == 0
    assert out == printed


@pytest.mark.parametrize("line", [line for line in commands(README) if line.startswith("gluonbook ")])
def test_each_command_parses(line, tmp_path, monkeypatch):
    """Darknet's files and a video are the reader's own: empty ones stand in."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    for word in words:
        if word.endswith((".cfg", ".weights", ".names", ".mp4")):
            (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / word).touch()
    context, found = click.Context(command), command
    while isinstance(found, click.Group):
        context = click.Context(found, parent=context)
        _, found, words = found.resolve_command(context, words)
    assert found.make_context("command", words).command is found


def test_the_table_lists_every_chapter_as_its_header_does():
    for text in (README, CHINESE):
        rows = re.findall(r"^\| \[(\d+) .+?\]\((.+?)\) \| .+? \| (.+?) \|", text, re.MULTILINE)
        assert rows == [
            (str(entry.number), f"chapters/{entry.path.name}", entry.time.replace(" on two cores", ""))
            for entry in chapter.chapters()
        ]
    for entry in chapter.chapters():
        assert f"[{entry.number} {entry.title}]" in README
        assert entry.question in README


def test_the_example_in_the_book_s_manner_finds_the_line():
    code = blocks(README, "python")[1]
    printed = []
    exec(code, {"print": lambda *values: printed.extend(values)})
    assert abs(printed[0] - [2, -3.4]).max() < 0.02
    assert abs(printed[1] - 4.2) < 0.02


def test_the_python_example_runs():
    code = blocks(README, "python")[0]
    printed = []
    exec(code, {"print": printed.append})
    assert [text[:2] for text in printed[0]] == ["分开", "不分"]
    assert [len(text) for text in printed[0]] == [22, 23]
    assert printed[1] == (64, 96, 3)


def test_ci_runs_the_test_command():
    assert "make test" in commands(README)
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_files_that_are_named_are_there():
    for text in (README, CHINESE):
        for link in re.findall(r"\]\((?!http)(.+?)\)", text):
            assert (ROOT / link).is_file(), link


def test_the_chinese_page_is_in_step():
    assert commands(CHINESE) == commands(README)
    assert re.findall(r"^(#+) ", CHINESE, re.MULTILINE) == re.findall(r"^(#+) ", README, re.MULTILINE)
    drawn = re.compile(r"#.*")
    assert [drawn.sub("", code) for code in blocks(CHINESE, "python")] == [
        drawn.sub("", code) for code in blocks(README, "python")
    ]


def test_the_perplexity_that_is_told_is_the_model_s():
    history = lyrics.load_model(lyrics.embedded_model()).history
    best = min(history, key=lambda entry: entry["held_out"])
    data = (ROOT / "datasets" / "README.md").read_text(encoding="utf-8")
    assert f"was not trained on, {best['held_out']:.1f};" in README
    assert f"（{best['held_out']:.1f}）" in CHINESE
    assert f"epoch {best['epoch']}, held-out perplexity {best['held_out']:.1f}" in data
    assert f"{best['train']:.1f} (with dropout)" in " ".join(data.split())


def test_the_map_that_is_told_is_the_detector_s():
    last = detection.load_detector(detection.embedded_detector()).history[-1]
    assert f"mAP@0.5 is {last['voc07']:.2f} by the rule" in README
    assert f"mAP@0.5 为 {last['voc07']:.2f}" in CHINESE
