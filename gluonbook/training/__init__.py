"""What every training of the package shares: its epochs, clipping, guards, Ctrl-C and checkpoints."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
