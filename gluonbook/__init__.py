"""gluonbook: the companion package to a reader's deep-learning notes, on Apache MXNet 1.9.1.

    import gluonbook as gb

imports neither MXNet nor matplotlib: each public name is loaded when it is first used. The names are those of the stub
beside this file, which type checkers read too.
"""

import lazy_loader

__version__ = "0.9.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
