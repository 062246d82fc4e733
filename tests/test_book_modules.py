"""The modules that gluonbook 0.8 exposed are there under its names, each imported when it is first used."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import gluonbook
from gluonbook import utils
from gluonbook.book.modules import MODULES

ROOT = Path(gluonbook.__file__).resolve().parents[1]
# What utils.py of gluonbook 0.8.10 had in its namespace by its own imports.
NAMES_OF_0_8 = [
    *("autograd", "collections", "display", "gdata", "gloss", "gluon", "gutils", "image", "init", "math", "mx"),
    *("nd", "nn", "np", "os", "plt", "random", "sys", "tarfile", "text", "time", "zipfile"),
]
WITHOUT_IPYTHON = """
import importlib.machinery, sys
class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.split(".")[0] != "IPython":
            return super().find_spec(name, path, target)
sys.meta_path[:] = [Without if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
"""


@pytest.fixture
def python(tmp_path):
    """Run code in a new Python, in an empty folder; returns what it prints."""

    def run(code):
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def public(code):
    """Run an import into an empty namespace; returns what it brought."""
    namespace = {}
    exec(code, namespace)
    del namespace["__builtins__"]
    return namespace


def test_the_names_are_those_of_0_8():
    assert sorted(MODULES) == NAMES_OF_0_8


@pytest.mark.parametrize("name", NAMES_OF_0_8)
def test_each_name_is_the_very_module(name):
    if name == "display":
        pytest.importorskip("IPython")
    module = importlib.import_module(MODULES[name])
    assert inspect.ismodule(module)
    assert getattr(gluonbook, name) is module
    assert getattr(utils, name) is module


def test_the_short_names_mean_what_the_book_means():
    import matplotlib.pyplot
    import mxnet
    import numpy
    from mxnet.gluon import data, loss, nn
    from mxnet.gluon import utils as gluon_utils

    gb = gluonbook
    assert (gb.mx, gb.nd, gb.autograd, gb.gluon) == (mxnet, mxnet.nd, mxnet.autograd, mxnet.gluon)
    assert (gb.gdata, gb.gloss, gb.nn, gb.gutils) == (data, loss, nn, gluon_utils)
    assert (gb.image, gb.init, gb.text) == (mxnet.image, mxnet.init, mxnet.contrib.text)
    assert (gb.np, gb.plt) == (numpy, matplotlib.pyplot)
    assert gb.init.Normal(0.01).dumps() == '["normal", {"sigma": 0.01}]'
    assert gb.text.vocab.Vocabulary is mxnet.contrib.text.vocab.Vocabulary


def test_a_module_of_the_standard_library_loads_neither_mxnet_nor_matplotlib(python):
    code = """
import gluonbook as gb, sys
assert gb.math.pi > 3 and gb.zipfile.ZipFile and gb.os is __import__("os")
print([name for name in ("mxnet", "matplotlib", "IPython", "numpy") if name in sys.modules])
assert gb.np.pi == gb.math.pi
print([name for name in ("mxnet", "matplotlib", "IPython", "numpy") if name in sys.modules])
"""
    assert python(code) == "[]\n['numpy']\n"


def test_nd_is_mxnet_prepared_for_this_numpy(python):
    code = """
import numpy
before = "bool" in numpy.__dict__
import gluonbook as gb
array = gb.nd.ones(2)
assert numpy.__dict__["bool"] is bool, numpy.__dict__.get("bool")
import mxnet, os, sys
print(before, gb.nd is mxnet.nd, (array > 0).asnumpy().tolist(), "matplotlib" in sys.modules)
"""
    assert re.fullmatch(r"False True \[1\.0, 1\.0\] False\n", python(code))


def test_without_ipython_all_else_is_there_and_display_says_how_to_install_it(python):
    code = f"""{WITHOUT_IPYTHON}
from gluonbook import *
import gluonbook, types
assert "IPython" not in sys.modules
assert set(gluonbook.__all__) <= set(globals()), set(gluonbook.__all__) - set(globals())
use_svg_display()  # no notebook, no IPython: nothing to do
assert isinstance(display, types.ModuleType) and gluonbook.utils.display.__name__ == "IPython.display"
print(display.__doc__)
print(hasattr(display, "__path__"))  # inspect and doctest ask such things
for call in (lambda: display.display(1), lambda: display.set_matplotlib_formats("svg")):
    try:
        call()
    except ImportError as error:
        print(error)
"""
    assert python(code) == (
        "Stands for IPython.display, which is not installed.\n"
        "False\n"
        "display.display is IPython's, which is not installed: pip install ipython\n"
        "display.set_matplotlib_formats is IPython's, which is not installed: pip install ipython\n"
    )


@pytest.mark.parametrize("module", ["gluonbook", "gluonbook.utils", "gluonbook.book", "gluonbook.book.modules"])
def test_an_unknown_name_is_an_attribute_error(module):
    found = importlib.import_module(module)
    with pytest.raises(AttributeError, match=f"(?i)^(module|no) ?'?{re.escape(module)}.* attribute '?tensorflow'?"):
        found.tensorflow  # noqa: B018
    assert not hasattr(found, "load_data_mnist")


def test_utils_has_the_same_names_and_things():
    pytest.importorskip("IPython")  # else each access of display is another stand-in
    from_package, from_utils = public("from gluonbook import *"), public("from gluonbook.utils import *")
    assert set(from_package) == set(from_utils) == set(gluonbook.__all__)
    assert [name for name in from_package if from_package[name] is not from_utils[name]] == []
    assert utils.train_ch3 is gluonbook.train_ch3
    assert from_package["utils"] is utils


def test_the_private_helpers_of_utils_are_reachable_and_not_public():
    helpers = ["_download_pikachu", "_get_batch", "_make_list"]
    assert all(callable(getattr(utils, name)) for name in helpers)
    assert not set(helpers) & (
        set(utils.__all__) | set(gluonbook.__all__) | set(public("from gluonbook.utils import *"))
    )
    assert [name for name in utils.__all__ if name.startswith("_")] == []


@pytest.mark.parametrize(
    ("value", "default", "result"),
    [("dog", None, ["dog"]), (0, (), [0]), (["a"], (), ["a"]), (("a", "b"), (), ("a", "b")), (None, [7], [7])],
)
def test_make_list_wraps_one_value(value, default, result):
    assert utils._make_list(value, default) == result
    assert utils._make_list(None) is None
