"""Training with several processes on MXNet's parameter server: their launcher, and the watch over them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
