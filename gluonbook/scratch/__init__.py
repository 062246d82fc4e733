"""Networks from first principles, in NumPy and float64: graphs, layers, losses, what chapters 1 to 12 build."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
