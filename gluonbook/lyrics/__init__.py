"""Text to lyrics: vocabulary, batches, recurrent networks from scratch and with Gluon, training, generation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
