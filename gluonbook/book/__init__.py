"""The names of gluonbook 0.8 that have no better home: thin, over the other modules. Nothing else here calls them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
