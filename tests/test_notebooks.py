"""Chapters as notebooks: no line of a script is lost, Jupyter's format is kept, and each runs in a kernel."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from test_chapters import CLAIMS, FIGURES, SCRIPTS

from gluonbook import notebooks

SOON = (5, 15, 17, 22)  # run by `make test`, and all the others by `make slow`
ROOT = Path(notebooks.__file__).resolve().parents[1]
SCRIPT = '''"""Chapter 7: things

Asks:    what is it?
Needs:   no data, no
         GPU.  Time: 4 s.
Claims:  7.1 7.2
"""

# of the head

# %% [markdown]
#
# # Things (事物)
# Some `x`,
#
# #hash and  spaces
# %%

x = """
# %%
"""  # a string

# %%


# of f
def f():
    # %% [markdown]
    return x

# %% [markdown]
#

# %%
# %%
f()
'''
CELLS = [
    notebooks.Cell("markdown", "# Things (事物)\nSome `x`,\n\n#hash and  spaces", 13),
    notebooks.Cell("code", 'x = """\n# %%\n"""  # a string', 19),
    notebooks.Cell("code", "# of f\ndef f():\n    # %% [markdown]\n    return x", 26),
    notebooks.Cell("code", "f()", 36),
]

PICTURES = {"lake.png"}  # chapter 20 writes it without a figure


@pytest.fixture
def written(tmp_path):
    def write(source):
        path = tmp_path / "ch07_things.py"
        path.write_bytes(source.encode("utf-8"))
        return path

    return write


def test_cells_are_split_at_their_markers(written):
    assert notebooks.read_cells(written(SCRIPT)) == CELLS
    assert notebooks.read_cells(str(written(SCRIPT.rstrip("\n").replace("\n", "\r\n")))) == CELLS


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("", 1, "the script ends and no line `# %%` or `# %% [markdown]` began a cell"),
        ('"""No cells."""\n\n# %%%\n', 3, "a cell begins with `# %%` or `# %% [markdown]`, got '# %%%'"),
        ('"""Told."""\nx = 1\n\n# %%\ny = 2\n', 2, "code must follow a line `# %%` or `# %% [markdown]`, got 'x = 1'"),
        ("# %% [raw]\n", 1, "a cell begins with `# %%` or `# %% [markdown]`, got '# %% [raw]'"),
        ("#%%\nx = 1\n", 1, "a cell begins with `# %%` or `# %% [markdown]`, got '#%%'"),
        ("# %% [markdown]\n# a\n\nit is\n\n# b\n", 4, "a markdown cell holds comments only, got 'it is'"),
        ("# %% [markdown]\n# a\n  # b\n# c\n", 3, "a markdown cell holds comments only, got '# b'"),
        ("# %%\nif x:\n    a\n  b\n", 4, "unindent does not match any outer indentation level"),
        ("# %%\nx = (\n", None, "EOF in multi-line statement"),
    ],
)
def test_a_script_that_is_no_chapter_is_refused_with_file_and_line(written, source, line, message):
    path = written(source)
    with pytest.raises(ValueError, match="ch07_things") as refused:
        notebooks.read_cells(path)
    place, told = str(refused.value).split(": ", 1)
    assert told.startswith(message)
    assert place == f"{path}, line {line}" if line else place.startswith(f"{path}, line ")


def test_reading_cells_imports_no_mxnet_and_no_matplotlib():
    code = (
        "import sys; from gluonbook import notebooks; notebooks.read_cells(sys.argv[1]);"
        "print({'mxnet', 'numpy', 'matplotlib', 'nbformat'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, SCRIPTS[16].path], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_notebook_begins_with_what_it_is_about_and_its_settings(written):
    made = notebooks.notebook(written(SCRIPT), '--quick --name "a b"')
    about, settings, *cells = made["cells"]
    assert about["source"].startswith(
        "**Asks:** what is it?\n\n**Needs:** no data, no GPU.\n\n**Time:** 4 s\n\n**Claims:** 7.1, 7.2\n\n"
    )
    assert "gluonbook run 7 --help" in about["source"]
    assert "out/ch07_things" in about["source"]
    asked = []
    imported, called = settings["source"].split("\n\n")
    exec(called, {"chapter": type("chapter", (), {"notebook": lambda *words: asked.extend(words)})})
    assert imported == "from gluonbook import chapter"
    assert asked == ["ch07_things", '--quick --name "a b"']
    assert [(cell["cell_type"], cell["source"]) for cell in cells] == [
        *(cell[:2] for cell in CELLS[:-1]),
        ("code", "f();"),
    ]
    assert [cell["id"] for cell in made["cells"]] == ["c01", "c02", "c03", "c04", "c05", "c06"]
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
    assert made["metadata"]["kernelspec"]["name"] == "python3"
    assert made["metadata"]["language_info"]["name"] == "python"


def test_without_arguments_the_settings_name_the_chapter_alone(written):
    settings = notebooks.notebook(written(SCRIPT))["cells"][1]
    assert settings["source"].endswith('chapter.notebook("ch07_things")')


@pytest.mark.parametrize(
    ("source", "held"),
    [
        ("ax.legend()", "ax.legend();"),
        ("axes[0].set(\n    title='é',\n)  # why\n# so", "axes[0].set(\n    title='é',\n);  # why\n# so"),
        ("x", "x;"),
        ("(draw());", "(draw());"),
        ("print(x)", "print(x)"),
        ("chapter.report(loss=2)", "chapter.report(loss=2)"),
        ("x = draw()", "x = draw()"),
        ("for x in y:\n    draw(x)", "for x in y:\n    draw(x)"),
        ("# nothing", "# nothing"),
    ],
)
def test_no_value_that_a_script_drops_appears_under_a_cell(written, source, held):
    head, _ = SCRIPT.split("# %%\nf()")
    assert notebooks.notebook(written(f"{head}# %%\n{source}\n"))["cells"][-1]["source"] == held


@pytest.mark.parametrize("number", CLAIMS)
def test_the_cells_of_a_chapter_are_its_lines(number):
    """Each line of a cell is where the cell says; between the cells are markers and blank lines."""
    path = SCRIPTS[number].path
    lines = path.read_text(encoding="utf-8").splitlines()
    held = {
        cell.line + i: f"# {line}".rstrip() if cell.kind == "markdown" else line
        for cell in notebooks.read_cells(path)
        for i, line in enumerate(cell.source.splitlines())
    }
    assert held == {number: lines[number - 1] for number in sorted(held)}
    rest = [line for number, line in enumerate(lines, 1) if number not in held]
    assert set(rest[rest.index("# %% [markdown]") :]) == {"", "# %%", "# %% [markdown]"}


@pytest.mark.parametrize("number", CLAIMS)
def test_a_notebook_is_valid_and_its_code_is_the_script_s(number):
    path = SCRIPTS[number].path
    made = notebooks.notebook(path, "--quick")
    nbformat.validate(made)
    script = ast.parse(path.read_text(encoding="utf-8"))
    code = ast.parse("\n".join(cell["source"] for cell in made["cells"][2:] if cell["cell_type"] == "code"))
    assert ast.dump(code) == ast.dump(ast.Module(script.body[1:], []))
    told = [cell["source"] for cell in made["cells"][2:] if cell["cell_type"] == "markdown"]
    assert told == [cell.source for cell in notebooks.read_cells(path) if cell.kind == "markdown"]


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Make this interpreter the kernel of notebooks, apart from the settings of whoever runs the tests."""
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = {"argv": command, "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(kernel), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel sets its own


def execute(path, folder, arguments):
    """Run a chapter's notebook in a folder; return it with its outputs."""
    folder.mkdir()
    made = nbformat.from_dict(notebooks.notebook(path, arguments))
    client = nbclient.NotebookClient(
        made, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    return client.execute()


@pytest.mark.parametrize("number", [pytest.param(n, marks=[pytest.mark.slow] * (n not in SOON)) for n in CLAIMS])
def test_a_notebook_runs_and_shows_the_chapter_s_claims_and_figures(number, kernel, tmp_path):
    path = SCRIPTS[number].path
    ran = execute(path, tmp_path / "run", "--quick")
    out = tmp_path / "run" / "out" / path.stem
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["chapter"], metrics["quick"], metrics["claims"]) == (path.stem, True, CLAIMS[number])
    assert {path.name for path in out.glob("*.png")} == FIGURES[number]
    outputs = [output for cell in ran.cells for output in cell.get("outputs", [])]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(shown) == len(FIGURES[number] - PICTURES)
    assert {output.output_type for output in outputs} == {"display_data", "stream"}
