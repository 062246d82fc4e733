"""gluonbook: the companion package to a reader's deep-learning notes, on Apache MXNet 1.9.1.

    import gluonbook as gb

imports neither MXNet nor matplotlib: each public name is loaded when it is first used. The names are those of the stub
beside this file, which type checkers read too. MXNet 1.9.1 needs some preparation with today's NumPy; from here on any
import of it finds that done.
"""

import lazy_loader

from gluonbook import _mxnet

__version__ = "0.9.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_mxnet.prepare_for_import()
