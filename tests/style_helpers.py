"""A VGG with few channels, and the networks of style transfer as slow NumPy, in float64."""

import functools

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from gluonbook._mxnet import gluon, mx, nd
from gluonbook.style import features, random_filters

CHANNELS = (64, 128, 256, 512, 512)  # Simonyan & Zisserman 2015, table 1
SHARE = 16  # of a VGG's channels, one is left


def vgg_arrays(arch, share=SHARE, seed=0):
    """Return random weights by Gluon's names; they keep the outputs' deviation (He et al. 2015)."""
    rng, arrays, before = np.random.default_rng(seed), {}, 3
    for place, name in enumerate(features.layer_names(arch)):
        if name.startswith("conv"):
            count = CHANNELS[int(name[4]) - 1] // share
            kernels = rng.standard_normal((count, before, 3, 3), np.float32) * np.sqrt(2 / (9 * before))
            arrays[f"features.{place}.weight"] = kernels.astype(np.float32)
            arrays[f"features.{place}.bias"] = (0.1 * rng.standard_normal(count)).astype(np.float32)
            before = count
    return arrays


def thin_vgg(arch="vgg16", seed=0, **layers):
    """Return the features of a VGG with a sixteenth of the channels, and its weights."""
    whole, arrays = features._block, vgg_arrays(arch, seed=seed)

    def thin(arch, name):
        block = whole(arch, name)
        if not name.startswith("conv"):
            return block
        count, before = block.weight.shape[:2]
        return gluon.nn.Conv2D(count // SHARE, 3, padding=1, in_channels=max(before // SHARE, 3))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "_block", thin)
        return features.vgg_features(arch, arrays, mx.cpu(), **layers), arrays


@functools.cache
def pyramid(num_levels=2, seed=0):
    """Return random features of so many levels: they take pictures of any size."""
    return random_filters.random_features(15 * 2**num_levels, 25 * 2**num_levels, seed, mx.cpu())


def photo(height, width, seed=0):
    """Return (1, 3, height, width) float32: a standardised picture of large and small things."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.standard_normal((3, -(-height // 9), -(-width // 9))), np.ones((9, 9)))[:, :height, :width]
    return (coarse + 0.5 * rng.standard_normal((3, height, width)))[None].astype(np.float32)


def perturbed(x, amount=0.5, seed=1):
    return (x + amount * np.random.default_rng(seed).standard_normal(x.shape)).astype(np.float32)


def outputs(features, x):
    """Return what a network finds in a picture, as NumPy."""
    return [part.asnumpy() for part in features.net(nd.array(x))]


def reach_of(features, layer, x, place):
    """Return how far from a pixel, in pixels, the farthest position of a layer begins that it changes."""
    changed = x.copy()
    changed[..., place[0], place[1]] += 10
    before, after = (outputs(features, array)[features.layers.index(layer)] for array in (x, changed))
    stride, reach = features.strides[features.layers.index(layer)], 0
    for at, axis in zip(place, (3, 2)):
        found = np.flatnonzero((before != after).any((0, 1, axis)))
        end_of_first, start_of_last = (found.min() + 1) * stride - 1, found.max() * stride
        reach = max(reach, at - end_of_first, start_of_last - at)
    return reach


# ---- slow ----


def slow_convolution(X, kernels, biases=0.0, stride=1):
    """(C, H, W) and (O, C, k, k) -> (O, H', W'), without padding."""
    windows = sliding_window_view(X, kernels.shape[2:], (1, 2))[:, ::stride, ::stride]  # (C, H', W', k, k)
    return np.tensordot(kernels, windows, ((1, 2, 3), (0, 3, 4))) + np.reshape(biases, (-1, 1, 1))


def slow_vgg(arrays, arch, X):
    """Return the outputs of all layers that there are weights for, by name, of (3, H, W)."""
    X, outputs = X.astype(np.float64), {}
    for place, name in enumerate(features.layer_names(arch)):
        if name.startswith("conv"):
            if f"features.{place}.weight" not in arrays:
                break
            kernels, biases = (arrays[f"features.{place}.{kind}"].astype(np.float64) for kind in ("weight", "bias"))
            X = slow_convolution(np.pad(X, ((0, 0), (1, 1), (1, 1))), kernels, biases)
        elif name.startswith("relu"):
            X = np.maximum(X, 0)
        else:
            C, H, W = X.shape[0], X.shape[1] // 2, X.shape[2] // 2
            X = X[:, : 2 * H, : 2 * W].reshape(C, H, 2, W, 2).max((2, 4))
        outputs[name] = X
    return outputs


def slow_pyramid(net, num_levels, X):
    """Return the outputs of random features, by name, of (3, H, W)."""

    def padded(values, reach):
        return np.pad(values, ((0, 0), (reach, reach), (reach, reach)), "reflect")

    def array(parameter):
        return parameter.data().asnumpy().astype(np.float64)

    X, outputs = X.astype(np.float64), {}
    binomial = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    for level in range(num_levels):
        if level:
            X = np.stack([slow_convolution(padded(part[None], 2), binomial[None, None], stride=2)[0] for part in X])
        found = slow_convolution(padded(X, 3), array(net.filters.weight), array(net.filters.bias))
        outputs[f"filters{level}"] = found = np.maximum(found, 0)
        sums = slow_convolution(padded(found, 1), array(net.sums.weight), array(net.sums.bias))
        outputs[f"sums{level}"] = np.maximum(sums, 0)
        outputs[f"grey{level}"] = slow_convolution(padded(X, 3), array(net.grey.weight))
    return outputs


def slow_gram(Y, mask=None):
    """(C, H, W), (H, W) -> (C, C)."""
    C, H, W = Y.shape
    mask = np.ones((H, W)) if mask is None else mask
    rows = (Y * mask).reshape(C, -1)
    return rows @ rows.T / (C * np.square(mask).sum())


def slow_tv(X):
    """(C, H, W) -> a number."""
    return 0.5 * (np.abs(np.diff(X, axis=1)).mean() + np.abs(np.diff(X, axis=2)).mean())
