"""Objects in pictures: boxes, anchors, targets, suppression, SSD, its training and its use."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
