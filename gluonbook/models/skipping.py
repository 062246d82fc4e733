"""Convolutional classifiers whose layers see more than the layer before: residual and dense networks."""

from typing import Any

from gluonbook import _check
from gluonbook._mxnet import gluon
from gluonbook.models.classifier import CONCATENATED, Classifier, chain, check_sizes, scaled

RESNET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECKS = (50, 101, 152)  # networks of three convolutions a block, of which the last has four times the channels
RESNET_CHANNELS = (64, 128, 256, 512)  # of the four stages
DENSENETS = {  # growth rate, layers of each block
    121: (32, (6, 12, 24, 16)),
    161: (48, (6, 12, 36, 24)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
}


class Shortcut(gluon.nn.HybridBlock):
    """A body of layers whose output is added to the input, then ReLU (He et al. 2016, figure 2).

    Args:
        body: hybrid block from (N, C, H, W) to (N, C', H', W').
        projection: the same for the input; None passes it as it is, which needs C' = C and no stride.
        kwargs: ``prefix`` and ``params``, as every Gluon block has.
    """

    def __init__(self, body: Any, projection: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body, self.projection = body, projection

    def hybrid_forward(self, F: Any, X: Any) -> Any:
        return F.relu(self.body(X) + (X if self.projection is None else self.projection(X)))


class DenseLayer(gluon.nn.HybridBlock):
    """New maps beside those that came in (Huang et al. 2017, section 3, with bottleneck).

    Args:
        growth: k, new channels.
        kwargs: ``prefix`` and ``params``, as every Gluon block has.
    """

    def __init__(self, growth: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body = chain(*_activated_convolution(4 * growth, 1), *_activated_convolution(growth, 3, padding=1))

    def hybrid_forward(self, F: Any, X: Any) -> Any:
        return F.concat(X, self.body(X), dim=1)  # (N, C + k, H, W)


def resnet(num_layers: int = 18, num_classes: int = 1000, width: float = 1) -> Classifier:
    """Build a residual network (He et al. 2016, "Deep residual learning for image recognition", table 1).

    Args:
        num_layers: 18 or 34 (two 3x3 convolutions a block), 50, 101 or 152 (1x1, 3x3, 1x1).
        num_classes: K, at least 1.
        width: factor on the channels, above 0, at most 1.

    Returns:
        Classifier, uninitialised, for pictures (N, C, H, W) of any size. Pictures of 224 x 224 pixels become maps of
        112, 56, 28, 14 and 7 pixels; the head is global average pooling and a dense layer.

    Raises:
        TypeError, ValueError: an argument is out of range.

    The stride of a bottleneck is in its first 1x1 convolution, as in the paper. Unlike ``resnet18``, which the notes'
    book builds for small pictures, convolutions have no biases, and projections batch norm.

    >>> from gluonbook import nd
    >>> net = resnet(18, num_classes=10, width=0.125)
    >>> net.initialize()
    >>> net.features(nd.zeros((2, 3, 64, 64))).shape, net(nd.zeros((2, 3, 64, 64))).shape
    ((2, 64, 2, 2), (2, 10))
    """
    check_sizes(num_classes, width)
    blocks = RESNET_BLOCKS[_check.choice("num_layers", num_layers, tuple(RESNET_BLOCKS))]
    channels = scaled(RESNET_CHANNELS, width)
    features = chain(*_stem(channels[0]))
    C = channels[0]
    for stage, (count, inner) in enumerate(zip(blocks, channels)):
        out = 4 * inner if num_layers in BOTTLENECKS else inner
        for number in range(count):
            strides = 2 if stage > 0 and number == 0 else 1
            body = _bottleneck(inner, out, strides) if num_layers in BOTTLENECKS else _pair(out, strides)
            projection = chain(*_normalised_convolution(out, 1, strides=strides)) if strides > 1 or out != C else None
            features.add(Shortcut(body, projection))
            C = out
    return Classifier(features, chain(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(num_classes)), smallest=1)


def densenet(num_layers: int = 121, num_classes: int = 1000, width: float = 1) -> Classifier:
    """Build a dense network (Huang et al. 2017, "Densely connected convolutional networks", table 1).

    Args:
        num_layers: 121, 161, 169 or 201.
        num_classes: K, at least 1.
        width: factor on the growth rate, above 0, at most 1; the rate stays a multiple of 16, and the first convolution
            has twice as many channels. Of others MXNet's CPU build cannot compute the gradient of a concatenation.

    Returns:
        Classifier, uninitialised, for pictures (N, C, H, W) of at least 29 x 29 pixels. Pictures of 224 x 224 pixels
        become maps of 112, 56, 28, 14 and 7 pixels; the head is global average pooling and a dense layer.

    Raises:
        TypeError, ValueError: an argument is out of range.

    >>> from gluonbook import nd
    >>> net = densenet(121, num_classes=10, width=0.125)
    >>> net.initialize()
    >>> net.features(nd.zeros((2, 3, 32, 32))).shape, net(nd.zeros((2, 3, 32, 32))).shape
    ((2, 512, 1, 1), (2, 10))
    """
    check_sizes(num_classes, width)
    published, blocks = DENSENETS[_check.choice("num_layers", num_layers, tuple(DENSENETS))]
    [growth] = scaled([published], width, groups=CONCATENATED)
    C = 2 * growth
    features = chain(*_stem(C))
    for number, count in enumerate(blocks):
        if number:
            C //= 2
            features.add(*_activated_convolution(C, 1), gluon.nn.AvgPool2D(2))
        features.add(*(DenseLayer(growth) for _ in range(count)))
        C += count * growth
    features.add(gluon.nn.BatchNorm(), gluon.nn.Activation("relu"))
    return Classifier(features, chain(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(num_classes)), smallest=29)


def _stem(channels: int) -> list[Any]:
    relu, pooling = gluon.nn.Activation("relu"), gluon.nn.MaxPool2D(3, 2, 1)
    return [*_normalised_convolution(channels, 7, strides=2, padding=3), relu, pooling]


def _pair(channels: int, strides: int) -> Any:
    return chain(
        *_normalised_convolution(channels, 3, strides=strides, padding=1),
        gluon.nn.Activation("relu"),
        *_normalised_convolution(channels, 3, padding=1),
    )


def _bottleneck(inner: int, out: int, strides: int) -> Any:
    return chain(
        *_normalised_convolution(inner, 1, strides=strides),
        gluon.nn.Activation("relu"),
        *_normalised_convolution(inner, 3, padding=1),
        gluon.nn.Activation("relu"),
        *_normalised_convolution(out, 1),
    )


def _normalised_convolution(channels: int, kernel_size: int, **options: int) -> list[Any]:
    return [gluon.nn.Conv2D(channels, kernel_size, use_bias=False, **options), gluon.nn.BatchNorm()]


def _activated_convolution(channels: int, kernel_size: int, **options: int) -> list[Any]:
    """Return batch norm and ReLU before a convolution."""
    convolution = gluon.nn.Conv2D(channels, kernel_size, use_bias=False, **options)
    return [gluon.nn.BatchNorm(), gluon.nn.Activation("relu"), convolution]
