"""The modules that gluonbook 0.8 exposed, because its one file imported them; each is imported at its first use."""

import importlib
import importlib.util
import types
from typing import Any

MODULES = {
    "autograd": "mxnet.autograd",
    "collections": "collections",
    "display": "IPython.display",
    "gdata": "mxnet.gluon.data",
    "gloss": "mxnet.gluon.loss",
    "gluon": "mxnet.gluon",
    "gutils": "mxnet.gluon.utils",
    "image": "mxnet.image",
    "init": "mxnet.initializer",
    "math": "math",
    "mx": "mxnet",
    "nd": "mxnet.ndarray",
    "nn": "mxnet.gluon.nn",
    "np": "numpy",
    "os": "os",
    "plt": "matplotlib.pyplot",
    "random": "random",
    "sys": "sys",
    "tarfile": "tarfile",
    "text": "mxnet.contrib.text",
    "time": "time",
    "zipfile": "zipfile",
}


class _Missing(types.ModuleType):
    """Stands for IPython's display where IPython is not installed, so that ``from gluonbook import *`` works."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError(f"display.{name} is IPython's, which is not installed: pip install ipython")


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = MODULES[name]
    if module.startswith("mxnet"):
        from gluonbook import _mxnet

        _mxnet.load()
    if name == "display" and importlib.util.find_spec("IPython") is None:
        return _Missing(module, "Stands for IPython.display, which is not installed.")
    return importlib.import_module(module)
