"""GoogLeNet, whose blocks look at their input through windows of several sizes at once."""

from collections.abc import Sequence
from typing import Any

from gluonbook import _check
from gluonbook._mxnet import gluon
from gluonbook.models.classifier import CONCATENATED, Classifier, chain, check_sizes, scaled

# Szegedy et al. 2015, table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj; None is a pooling.
BLOCKS = (
    *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None),
    *((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)),
    *((112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None),
    *((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


class Inception(gluon.nn.HybridBlock):
    """Four paths beside each other (Szegedy et al. 2015, figure 2b).

    Args:
        channels: of the 1x1 convolution; of the 1x1 and the 3x3; of the 1x1 and the 5x5; of the 1x1 after a pooling.
        kwargs: ``prefix`` and ``params``, as every Gluon block has.

    Called with (N, C, H, W), it returns (N, C', H, W), the paths' channels in their order. ReLU follows each
    convolution. The children are ``ones threes fives pooled``.

    Raises:
        TypeError, ValueError: the channels are not six whole numbers of at least 1.

    >>> from gluonbook import nd
    >>> block = Inception((1, 2, 3, 4, 5, 6))
    >>> block.initialize()
    >>> block(nd.zeros((2, 3, 8, 8))).shape
    (2, 15, 8, 8)
    """

    def __init__(self, channels: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if len(channels) != 6:
            raise ValueError(f"channels must be six numbers, got {tuple(channels)}")
        for number in channels:
            _check.integer("channels", number, at_least=1)
        ones, before_threes, threes, before_fives, fives, pooled = channels
        self.ones = _convolution(ones, 1)
        self.threes = chain(_convolution(before_threes, 1), _convolution(threes, 3, padding=1))
        self.fives = chain(_convolution(before_fives, 1), _convolution(fives, 5, padding=2))
        self.pooled = chain(gluon.nn.MaxPool2D(3, 1, 1), _convolution(pooled, 1))

    def hybrid_forward(self, F: Any, X: Any) -> Any:
        return F.concat(self.ones(X), self.threes(X), self.fives(X), self.pooled(X), dim=1)


def googlenet(num_classes: int = 1000, width: float = 1) -> Classifier:
    """Build GoogLeNet (Szegedy et al. 2015, "Going deeper with convolutions", table 1).

    Args:
        num_classes: K, at least 1.
        width: factor on the channels, above 0, at most 1; those that are concatenated stay multiples of 16. Of others
            MXNet's CPU build cannot compute the gradient.

    Returns:
        Classifier, uninitialised, for pictures (N, C, H, W) of at least 47 x 47 pixels. Pictures of 224 x 224 pixels
        become maps of 112, 56, 28, 14 and 7 pixels; the head is global average pooling, dropout of 0.4 and a dense
        layer.

    Raises:
        TypeError, ValueError: an argument is out of range.

    Differs from Szegedy et al.: there are no auxiliary classifiers and no local response normalisation.

    >>> from gluonbook import nd
    >>> net = googlenet(num_classes=10, width=0.125)
    >>> net.initialize()
    >>> net.features(nd.zeros((2, 3, 64, 64))).shape, net(nd.zeros((2, 3, 64, 64))).shape
    ((2, 128, 2, 2), (2, 10))
    """
    check_sizes(num_classes, width)
    first, second, third = scaled((64, 64, 192), width)
    features = chain(
        *(_convolution(first, 7, strides=2, padding=3), _halving()),
        *(_convolution(second, 1), _convolution(third, 3, padding=1), _halving()),
    )
    for channels in BLOCKS:
        features.add(_halving() if channels is None else Inception(_scaled_block(channels, width)))
    head = chain(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dropout(0.4), gluon.nn.Dense(num_classes))
    return Classifier(features, head, smallest=47)


def _scaled_block(channels: Sequence[int], width: float) -> list[int]:
    inner, given = scaled(channels, width), scaled(channels, width, groups=CONCATENATED)
    return [given[0], inner[1], given[2], inner[3], given[4], given[5]]


def _convolution(channels: int, kernel_size: int, **options: int) -> Any:
    return gluon.nn.Conv2D(channels, kernel_size, activation="relu", **options)


def _halving() -> Any:
    return gluon.nn.MaxPool2D(3, 2, ceil_mode=True)
