"""Convolutional classifiers that are one chain of layers: LeNet-5, AlexNet, VGG, NiN."""

from collections.abc import Sequence
from typing import Any

from gluonbook import _check
from gluonbook._mxnet import gluon
from gluonbook.models.classifier import Classifier, chain, check_sizes, scaled

VGG_CHANNELS = (64, 128, 256, 512, 512)  # of the five blocks, each of which ends with a pooling
VGG_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # a block
HIDDEN = 4096  # units in each of the two hidden dense layers of AlexNet and VGG


def lenet(num_classes: int = 10) -> Classifier:
    """Build LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B).

    Args:
        num_classes: K, at least 1.

    Returns:
        Classifier, uninitialised, for pictures (N, C, H, W) of at least 16 x 16 pixels. Two times a 5x5 convolution
        (6 and 16 channels), tanh and average pooling by 2, then dense layers of 120, 84 and K units. Pictures of
        32 x 32 pixels, as published, become maps of 28, 14, 10 and 5 pixels.

    Raises:
        TypeError, ValueError: ``num_classes`` is no whole number, or below 1.

    Differs from LeCun et al.: each channel of the second convolution sees all 6 maps, not a chosen 3, 4 or 6 of them;
    pooling has no weight, bias and squashing of its own; tanh is not scaled; C5 is a dense layer, which for 32 x 32
    pixels is the same as their 5x5 convolution; a dense layer stands for the RBF units.

    >>> from gluonbook import nd
    >>> net = lenet()
    >>> net.initialize()
    >>> net.features(nd.zeros((2, 1, 32, 32))).shape, net(nd.zeros((2, 1, 32, 32))).shape
    ((2, 16, 5, 5), (2, 10))
    """
    _check.integer("num_classes", num_classes, at_least=1)
    nn = gluon.nn
    features = chain(
        nn.Conv2D(6, 5, activation="tanh"),
        nn.AvgPool2D(2),
        nn.Conv2D(16, 5, activation="tanh"),
        nn.AvgPool2D(2),
    )
    head = chain(nn.Dense(120, activation="tanh"), nn.Dense(84, activation="tanh"), nn.Dense(num_classes))
    return Classifier(features, head, smallest=16)


def alexnet(num_classes: int = 1000, year: int = 2012, width: float = 1) -> Classifier:
    """Build AlexNet, in two groups (2012) or in one tower (2014).

    Args:
        num_classes: K, at least 1.
        year: 2012 for Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep convolutional neural
            networks", sections 3 and 4.2; 2014 for Krizhevsky, "One weird trick for parallelizing convolutional neural
            networks", in the form of Gluon's and torchvision's zoo.
        width: factor on the channels and the hidden units, above 0, at most 1; channels stay even in 2012.

    Returns:
        Classifier, uninitialised, for pictures (N, C, H, W) of at least 67 x 67 (2012) or 63 x 63 pixels (2014). Five
        convolutions with ReLU, 3x3 max pooling by 2 after the first, second and last, two hidden dense layers of 4096
        units with ReLU and dropout 0.5, a dense layer of K. In 2012 convolutions 2, 4 and 5 have two groups, and local
        response normalisation stands between ReLU and pooling 1 and 2.

    Raises:
        TypeError, ValueError: an argument is no number of its kind, or out of range.

    Differs from Krizhevsky et al. 2012: two groups stand for the two GPUs; the initial weights are the caller's
    business; ``nd.LRN`` divides their alpha = 1e-4 by the 5 channels of its window, which the formula of their section
    3.3 does not. Their pictures of 224 pixels give the published maps (55, 27, 13, 6) with 227 pixels.
    Differs from Krizhevsky's program of 2014 (cuda-convnet2): no response normalisation; the first convolution pads
    by 2, as the zoos have it.

    >>> from gluonbook import nd
    >>> net = alexnet(10, width=1 / 16)
    >>> net.initialize()
    >>> net.features(nd.zeros((1, 3, 227, 227))).shape
    (1, 16, 6, 6)
    """
    check_sizes(num_classes, width)
    _check.choice("year", year, (2012, 2014))
    features = _alexnet_in_two_groups(width) if year == 2012 else _alexnet_in_one_tower(width)
    return Classifier(features, _dense_head(num_classes, width), smallest=67 if year == 2012 else 63)


def vgg(num_layers: int = 16, num_classes: int = 1000, batch_norm: bool = False, width: float = 1) -> Classifier:
    """Build a VGG network (Simonyan & Zisserman 2015, section 2.1, table 1: A, B, D, E).

    Args:
        num_layers: those with weights: 11, 13, 16 or 19.
        num_classes: K, at least 1.
        batch_norm: normalise between each convolution and its ReLU.
        width: factor on the channels and the hidden units, above 0, at most 1.

    Returns:
        Classifier, uninitialised, for pictures (N, C, H, W) of at least 32 x 32 pixels. Five blocks of 3x3 convolutions
        with ReLU (64, 128, 256, 512, 512 channels), each ending with 2x2 max pooling, two hidden dense layers of 4096
        units with ReLU and dropout 0.5, a dense layer of K. Pictures of 224 pixels end in maps of 7.

    Raises:
        TypeError, ValueError: an argument is no number of its kind, or out of range.

    Differs from Simonyan & Zisserman: the initial weights are the caller's business; batch norm is Gluon's and
    torchvision's addition.

    >>> from gluonbook import nd
    >>> net = vgg(11, num_classes=10, width=1 / 16)
    >>> net.initialize()
    >>> net.features(nd.zeros((1, 3, 64, 64))).shape
    (1, 32, 2, 2)
    """
    check_sizes(num_classes, width)
    _check.choice("num_layers", num_layers, tuple(VGG_CONVOLUTIONS))
    nn, features = gluon.nn, chain()
    for channels, convolutions in zip(scaled(VGG_CHANNELS, width), VGG_CONVOLUTIONS[num_layers]):
        for _ in range(convolutions):
            features.add(nn.Conv2D(channels, 3, padding=1))
            if batch_norm:
                features.add(nn.BatchNorm())
            features.add(nn.Activation("relu"))
        features.add(nn.MaxPool2D(2))
    return Classifier(features, _dense_head(num_classes, width), smallest=32)


def nin(num_classes: int = 1000, width: float = 1) -> Classifier:
    """Build a network in network (Lin, Chen & Yan 2014, section 3) as its authors had it for ImageNet.

    Args:
        num_classes: K, at least 1.
        width: factor on the channels, K apart, above 0, at most 1.

    Returns:
        Classifier, uninitialised, for pictures (N, C, H, W) of at least 55 x 55 pixels. Four convolutions (11x11 by 4,
        5x5, 3x3, 3x3; 96, 256, 384, 1024 channels), each followed by two 1x1 convolutions, the very last of which has
        K channels; each of the twelve has a ReLU. Between the four stand 3x3 max poolings by 2, and dropout 0.5 before
        the last. ``head`` averages each of the K maps. Pictures of 224 pixels become maps of 54, 27, 13 and 6.

    Raises:
        TypeError, ValueError: an argument is no number of its kind, or out of range.

    The sizes, which the paper's section 3 leaves open, are of the authors' Caffe file, whose pooling rounds a map's
    size up. Its ReLU on the last maps stays: no logit is below 0. Differs from that file: the average is over
    maps of any size, not 6 x 6; the initial weights are the caller's business.

    >>> from gluonbook import nd
    >>> net = nin(10, width=1 / 16)
    >>> net.initialize()
    >>> net.features(nd.zeros((1, 3, 224, 224))).shape
    (1, 10, 6, 6)
    """
    check_sizes(num_classes, width)
    nn = gluon.nn
    first, second, third, last = scaled((96, 256, 384, 1024), width)
    features = chain(
        *_mlpconv((first, first, first), 11, strides=4),
        nn.MaxPool2D(3, 2, ceil_mode=True),
        *_mlpconv((second, second, second), 5, padding=2),
        nn.MaxPool2D(3, 2, ceil_mode=True),
        *_mlpconv((third, third, third), 3, padding=1),
        nn.MaxPool2D(3, 2, ceil_mode=True),
        nn.Dropout(0.5),
        *_mlpconv((last, last, num_classes), 3, padding=1),
    )
    return Classifier(features, chain(nn.GlobalAvgPool2D(), nn.Flatten()), smallest=55)


def _dense_head(num_classes: int, width: float) -> Any:
    nn = gluon.nn
    (hidden,) = scaled([HIDDEN], width)
    return chain(
        nn.Dense(hidden, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(hidden, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(num_classes),
    )


def _alexnet_in_two_groups(width: float) -> Any:
    nn = gluon.nn
    first, second, third, fourth, fifth = scaled((96, 256, 384, 384, 256), width, groups=2)
    return chain(
        nn.Conv2D(first, 11, strides=4, activation="relu"),
        nn.HybridLambda(_normalised),
        nn.MaxPool2D(3, 2),
        nn.Conv2D(second, 5, padding=2, groups=2, activation="relu"),
        nn.HybridLambda(_normalised),
        nn.MaxPool2D(3, 2),
        nn.Conv2D(third, 3, padding=1, activation="relu"),
        nn.Conv2D(fourth, 3, padding=1, groups=2, activation="relu"),
        nn.Conv2D(fifth, 3, padding=1, groups=2, activation="relu"),
        nn.MaxPool2D(3, 2),
    )


def _alexnet_in_one_tower(width: float) -> Any:
    nn = gluon.nn
    first, second, third, fourth, fifth = scaled((64, 192, 384, 256, 256), width)
    return chain(
        nn.Conv2D(first, 11, strides=4, padding=2, activation="relu"),
        nn.MaxPool2D(3, 2),
        nn.Conv2D(second, 5, padding=2, activation="relu"),
        nn.MaxPool2D(3, 2),
        nn.Conv2D(third, 3, padding=1, activation="relu"),
        nn.Conv2D(fourth, 3, padding=1, activation="relu"),
        nn.Conv2D(fifth, 3, padding=1, activation="relu"),
        nn.MaxPool2D(3, 2),
    )


def _normalised(F: Any, X: Any) -> Any:
    """Divide by what the five nearest channels hold at the same pixel (Krizhevsky et al. 2012, section 3.3)."""
    return F.LRN(X, nsize=5, alpha=1e-4, beta=0.75, knorm=2)


def _mlpconv(channels: Sequence[int], kernel_size: int, **options: int) -> list[Any]:
    """Return a convolution with ``options`` and two 1x1 convolutions, each with ReLU."""
    nn, (first, second, third) = gluon.nn, channels
    return [
        nn.Conv2D(first, kernel_size, activation="relu", **options),
        nn.Conv2D(second, 1, activation="relu"),
        nn.Conv2D(third, 1, activation="relu"),
    ]
