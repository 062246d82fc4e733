"""Other people's ImageNet weights: their files read without their frameworks, their names turned into Gluon's."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
