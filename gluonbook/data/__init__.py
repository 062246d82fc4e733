"""Data sets: the embedded ones, a user's own files, and the book's, found on this machine or downloaded."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
