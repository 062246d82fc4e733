"""What the convolutional classifiers share: feature maps first, then a head over the classes."""

from collections.abc import Sequence
from typing import Any

from gluonbook import _check
from gluonbook._mxnet import gluon, mx

CONCATENATED = 16  # "could not construct a sub-memory": oneDNN goes back through no concatenation of other multiples


class Classifier(gluon.nn.HybridBlock):
    """A convolutional network in two parts, for pictures of any size from a smallest on.

    Args:
        features: hybrid block from pictures (N, C, H, W) to maps (N, C', H', W').
        head: hybrid block from the maps to logits (N, K).
        smallest: the least height and width, in pixels, of which a map is left, at least 1.
        kwargs: ``prefix`` and ``params``, as every Gluon block has.

    Called with pictures (N, C, H, W) float32, it returns (N, K). The children are ``features`` and ``head``. The first
    call settles the number of channels, and where the head has dense layers over whole maps the size, too.

    Raises:
        ValueError: called with what is no batch of pictures, or with pictures that are too small.

    >>> from gluonbook import nd
    >>> net = Classifier(gluon.nn.Conv2D(4, 3), gluon.nn.Dense(10), smallest=3)
    >>> net.initialize()
    >>> net(nd.zeros((2, 1, 8, 8))).shape
    (2, 10)
    """

    def __init__(self, features: Any, head: Any, smallest: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.smallest = _check.integer("smallest", smallest, at_least=1)
        self.features, self.head = features, head

    def forward(self, X: Any, *args: Any) -> Any:
        if isinstance(X, mx.nd.NDArray) and (X.ndim != 4 or min(X.shape[2:]) < self.smallest):
            raise ValueError(
                f"X must be pictures (N, C, H, W) of at least {self.smallest} x {self.smallest} pixels, "
                f"got shape {X.shape}"
            )
        return super().forward(X, *args)

    def hybrid_forward(self, F: Any, X: Any) -> Any:
        return self.head(self.features(X))  # (N, K)


def check_sizes(num_classes: int, width: float) -> None:
    _check.integer("num_classes", num_classes, at_least=1)
    _check.number("width", width, above=0, at_most=1)


def scaled(channels: Sequence[int], width: float, groups: int = 1) -> list[int]:
    """Return each of ``channels`` times ``width``, rounded to a multiple of ``groups``, and at least that."""
    return [groups * max(1, round(width * number / groups)) for number in channels]


def chain(*blocks: Any) -> Any:
    net = gluon.nn.HybridSequential()
    net.add(*blocks)
    return net
