"""In a notebook the book's figures appear under their cells as SVG; outside of one, nothing of it is loaded."""

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import matplotlib as mpl
import pytest

import gluonbook as gb
from gluonbook.book import figures

ROOT = Path(gb.__file__).resolve().parents[1]
CELLS = (
    "import gluonbook as gb, numpy as np\nfrom gluonbook.book import figures\ngb.set_figsize((4, 3))",
    'gb.semilogy([1, 2, 3], [9, 3, 1], "epochs", "loss", [1, 2, 3], [9, 6, 5], ["train", "test"])',
    "axes = gb.show_images([np.eye(4)] * 2, 1, 2)",
    "figures.plot_losses([3.0, 2.0], 1)",
    "figures.plot_losses([5.0, 4.0], 1)",
    'gb.show_bboxes(gb.plt.imshow(np.eye(9)).axes, [[1, 1, 5, 5]], "dog")',
    "print(figures.in_notebook(), figures._waiting, gb.plt.get_fignums(), 'mxnet' in gb.sys.modules)",
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook of these cells, run; returns each cell's outputs, and the files that lie in its folder afterwards."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    resources = {"metadata": {"path": str(folder)}}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)  # the kernel sets its own
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        client = nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources)
        client.execute()  # and ends the kernel, which runs what is due at its end
    assert client.shutdown_kernel == "graceful"
    return [cell.outputs for cell in notebook.cells], sorted(path.name for path in folder.iterdir())


def pictures(outputs):
    return [output.data for output in outputs if output.output_type == "display_data"]


@pytest.mark.parametrize("cell", range(1, 6))
def test_each_figure_appears_once_under_its_cell_as_svg(executed, cell):
    (picture,) = pictures(executed[0][cell])
    assert "image/svg+xml" in picture
    assert "image/png" not in picture
    assert picture["image/svg+xml"].count("<svg ") == 1


def test_nothing_else_is_written_under_the_cells(executed):
    assert executed[0][0] == []
    for outputs in executed[0][1:-1]:
        assert [output.output_type for output in outputs if output.output_type == "stream"] == []


def test_figures_have_the_size_that_was_set(executed):
    """Semilogy sets its own size; cut to the drawing, each is a little smaller than asked for."""
    sizes = []
    for cell in (1, 5):
        svg = pictures(executed[0][cell])[0]["image/svg+xml"]
        sizes.append(
            [float(value) / 72 for value in re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups()]
        )
    assert 2.8 < sizes[0][0] < 3.7
    assert 1.9 < sizes[0][1] < 2.7


def test_no_figure_waits_for_the_end_and_none_becomes_a_file(executed):
    outputs, files = executed
    assert outputs[-1][0].text == "True [] [] False\n"
    assert files == []


def test_outside_of_a_notebook_use_svg_display_does_nothing(tmp_path):
    code = """
import gluonbook as gb, sys
gb.use_svg_display()
print([name for name in ("IPython", "matplotlib_inline", "matplotlib", "mxnet") if name in sys.modules])
gb.set_figsize((5, 4))
print([name for name in ("IPython", "matplotlib_inline", "mxnet") if name in sys.modules])
print(gb.plt.rcParams["figure.figsize"], gb.plt.get_backend().lower())
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n[]\n[5.0, 4.0] agg\n", "")


# ---- with stand-ins ----


@pytest.fixture
def kernel(monkeypatch):
    """This process seems to be a notebook's kernel; returns what IPython is asked for."""
    asked = []

    def stand_in(name, **contents):
        module = types.ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    def formats(module):
        return lambda *kinds: asked.append((module, *kinds))

    shell = types.SimpleNamespace(kernel="a kernel")
    ipython = stand_in("IPython", get_ipython=lambda: shell)
    ipython.display = stand_in("IPython.display", set_matplotlib_formats=formats("IPython.display"))
    inline = stand_in("matplotlib_inline")
    inline.backend_inline = stand_in("matplotlib_inline.backend_inline", set_matplotlib_formats=formats("inline"))
    return types.SimpleNamespace(asked=asked, shell=shell, ipython=ipython, patch=monkeypatch)


def test_a_notebook_is_asked_for_svg(kernel):
    assert gb.use_svg_display() is None
    assert kernel.asked == [("inline", "svg")]


def test_where_matplotlib_inline_is_missing_ipython_itself_is_asked(kernel):
    kernel.patch.setitem(sys.modules, "matplotlib_inline", None)
    kernel.patch.setitem(sys.modules, "matplotlib_inline.backend_inline", None)
    gb.use_svg_display()
    assert kernel.asked == [("IPython.display", "svg")]


def test_set_figsize_asks_for_svg_too_and_sets_the_size(kernel):
    with mpl.rc_context():
        assert gb.set_figsize() is None
        assert mpl.rcParams["figure.figsize"] == [3.5, 2.5]
        gb.set_figsize((6, 1))
        assert mpl.rcParams["figure.figsize"] == [6, 1]
    assert kernel.asked == [("inline", "svg")] * 2


@pytest.mark.parametrize("shell", [None, types.SimpleNamespace()], ids=["no shell", "a terminal's shell"])
def test_ipython_without_a_kernel_is_no_notebook(kernel, shell):
    kernel.patch.setattr(kernel.ipython, "get_ipython", lambda: shell)
    assert not figures.in_notebook()
    gb.use_svg_display()
    assert kernel.asked == []
