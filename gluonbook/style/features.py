"""Features of pictures: the outputs of chosen layers of a fixed network, by name.

A picture is (N, 3, H, W) float32, standardised per channel: mean 0 and deviation 1 over the photographs of ImageNet.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gluonbook import _check
from gluonbook._mxnet import gluon, nd

MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet's photographs, RGB, from 0 to 1
STD = np.array([0.229, 0.224, 0.225], np.float32)
LEAST_SIDE = 48  # pixels of the smallest picture: three positions of the coarsest layers

CONVOLUTIONS = {
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}  # a block (Simonyan & Zisserman 2015, table 1: D, E)
STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_LAYERS = {"vgg16": ("conv4_3",), "vgg19": ("conv4_4",)}


class Weights(NamedTuple):
    """How much each loss counts."""

    content: float
    style: float
    tv: float


class Features(NamedTuple):
    """A fixed network, and what a transfer takes from it.

    Attributes:
        net: (N, 3, H, W) float32 -> a list of (N, C, H // stride, W // stride) float32, one a layer; a fraction of a
            row or column is dropped or counts as one.
        layers: their names.
        strides: pixels of the picture from one position of a layer to the next.
        margin: how far beyond a part of a picture its features may look, in pixels; a multiple of every stride.
        content: weights of the content layers, by name.
        style: weights of the style layers, by name.
        relative: whether losses are relative to what is compared with: a content layer's to its mean square, a Gram
            matrix's entries to the energies of their two channels.
        weights: that make a good picture.
    """

    net: Any
    layers: tuple[str, ...]
    strides: tuple[int, ...]
    margin: int
    content: Mapping[str, float]
    style: Mapping[str, float]
    relative: bool
    weights: Weights


def standardise(picture: np.ndarray) -> np.ndarray:
    """Return a picture as the networks take it.

    Args:
        picture: (H, W, 3) uint8, RGB.

    Returns:
        (1, 3, H, W) float32.
    """
    return ((picture / np.float32(255) - MEAN) / STD).transpose(2, 0, 1)[None]  # (1, 3, H, W)


def to_picture(X: np.ndarray) -> np.ndarray:
    """Return the picture that ``standardise`` made of it, values out of range cut off.

    Args:
        X: (1, 3, H, W) float32.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    values = X[0].transpose(1, 2, 0) * STD + MEAN  # (H, W, 3)
    return np.asarray((values * 255).round().clip(0, 255).astype(np.uint8))


def layer_names(arch: str) -> tuple[str, ...]:
    """List the layers of a VGG before its dense ones, in order, by their usual names: conv1_1, relu1_1, …, pool5.

    Args:
        arch: ``"vgg16"`` or ``"vgg19"``.

    >>> layer_names("vgg19")[:5], len(layer_names("vgg19"))
    (('conv1_1', 'relu1_1', 'conv1_2', 'relu1_2', 'pool1'), 37)
    """
    names = []
    for block, count in enumerate(CONVOLUTIONS[_check.choice("arch", arch, CONVOLUTIONS)], 1):
        for i in range(1, count + 1):
            names += [f"conv{block}_{i}", f"relu{block}_{i}"]
        names.append(f"pool{block}")
    return tuple(names)


def vgg_features(
    arch: str,
    arrays: Mapping[str, np.ndarray],
    device: Any,
    content: Sequence[str] = (),
    style: Sequence[str] = STYLE_LAYERS,
) -> Features:
    """Return the features of a VGG with given weights, cut after the last layer used.

    The defaults are the book's layers: the first convolution of each block for the style, the last of block four for
    the content (Gatys et al. 2016 take conv4_2), all before their activation.

    Args:
        arch: ``"vgg16"`` or ``"vgg19"``.
        arrays: float32 by Gluon's names, ``"features.0.weight"`` …, as ``gluonbook.weights`` gives them.
        device: mx.Context.
        content: names of layers; none given are the book's.
        style: names of layers.

    Returns:
        Features.

    Raises:
        ValueError: there is no such architecture or layer, or a weight is missing.
    """
    content = tuple(content) or CONTENT_LAYERS[_check.choice("arch", arch, CONVOLUTIONS)]
    names = layer_names(arch)
    for name in (*content, *style):
        _check.choice("layer", name, names)
    taps = tuple(name for name in names if name in content or name in style)
    names = names[: names.index(taps[-1]) + 1]
    net = _tapped([_block(arch, name) for name in names], [names.index(name) for name in taps])
    net.initialize(ctx=device)
    net.collect_params().setattr("grad_req", "null")
    for name, param in net._collect_params_with_prefix().items():
        own = name.replace("blocks", "features")
        if own not in arrays:
            raise ValueError(f"the weights lack {own}, which {arch} needs")
        param.set_data(nd.array(arrays[own], ctx=device))
    net.hybridize(static_alloc=True)
    strides, margin = _geometry(names)
    equal = dict.fromkeys
    return Features(
        net,
        taps,
        tuple(strides[names.index(name)] for name in taps),
        margin,
        equal(content, 1.0),
        equal(style, 1.0),
        relative=False,
        weights=Weights(1.0, 1e3, 10.0),
    )


def _block(arch: str, name: str) -> Any:
    nn, kind = gluon.nn, name[:4]
    if kind == "relu":
        return nn.Activation("relu")
    if kind == "pool":
        return nn.MaxPool2D(2, 2)
    block, number = (int(digit) for digit in name[4:].split("_"))
    channels = [64, 128, 256, 512, 512]
    before = channels[block - 1] if number > 1 else channels[block - 2] if block > 1 else 3
    return nn.Conv2D(channels[block - 1], 3, padding=1, in_channels=before)


def _tapped(blocks: Sequence[Any], taps: Sequence[int]) -> Any:
    """Return blocks in a row as one network that gives the outputs of those numbered in ``taps``."""

    class Tapped(gluon.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = gluon.nn.HybridSequential()
            self.blocks.add(*blocks)

        def hybrid_forward(self, F: Any, X: Any) -> Any:
            outputs = []
            for i, block in enumerate(self.blocks._children.values()):
                X = block(X)
                if i in taps:
                    outputs.append(X)
            return outputs

    return Tapped()


def _geometry(names: Sequence[str]) -> tuple[list[int], int]:
    """Return each layer's stride, and how far the last one looks, rounded up to its stride.

    Pooling looks no farther: a part of a picture begins and ends at multiples of every stride, or at the edge.
    """
    stride, reach, strides = 1, 0, []
    for name in names:
        if name.startswith("conv"):
            reach += stride
        elif name.startswith("pool"):
            stride *= 2
        strides.append(stride)
    return strides, -(-reach // stride) * stride
