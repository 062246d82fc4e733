"""Which places of a picture speak for a class: class activation maps (Zhou et al. 2016)."""

from typing import Any, Optional

import numpy as np

from gluonbook import _check
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.models.classifier import Classifier


def class_maps(net: Any, X: Any) -> np.ndarray:
    """Compute the map of each class, as large as the feature maps (Zhou et al. 2016, section 2).

    A class's map is the sum of the feature maps, each times the weight that the dense layer gives its mean for this
    class. So the mean of a class's map, plus the class's bias, is its logit. Without a dense layer (Lin et al. 2014)
    the feature maps are the maps of the classes.

    Args:
        net: a ``Classifier``, initialised, whose head is global average pooling and one dense layer without activation,
            or global average pooling alone; Dropout and Flatten may stand between.
        X: pictures (N, C, H, W) float32, an nd array on the net's device.

    Returns:
        (N, K, H', W') float32, computed as out of training.

    Raises:
        TypeError: the net is no ``Classifier``, or X no nd array.
        ValueError: the head is another; or X is no batch of pictures that are large enough.

    >>> head = gluon.nn.HybridSequential()
    >>> head.add(gluon.nn.GlobalAvgPool2D(), gluon.nn.Dense(10))
    >>> net = Classifier(gluon.nn.Conv2D(4, 3, strides=2), head, smallest=3)
    >>> net.initialize()
    >>> class_maps(net, nd.zeros((2, 1, 9, 9))).shape
    (2, 10, 4, 4)
    """
    return _maps_and_logits(net, X)[0]


def class_activation_maps(net: Any, X: Any, labels: Optional[Any] = None) -> np.ndarray:
    """Show where a classifier sees a class: its map for each picture, as large as the picture.

    Args:
        net, X: as for ``class_maps``.
        labels: (N,) int, whose map to take, from 0 to K - 1; None takes the class of the largest logit.

    Returns:
        (N, H, W) float32, enlarged bilinearly, the edges of map and picture on each other: high where the picture
        speaks for the class, low where it speaks against.

    Raises:
        TypeError, ValueError: as ``class_maps``; and for labels that are none.

    >>> net = Classifier(gluon.nn.Conv2D(10, 3, strides=2), gluon.nn.GlobalAvgPool2D(), smallest=3)
    >>> net.initialize()
    >>> class_activation_maps(net, nd.zeros((2, 1, 9, 9)), labels=[7, 0]).shape
    (2, 9, 9)
    """
    maps, logits = _maps_and_logits(net, X)
    rows = logits.argmax(1) if labels is None else _check.indices("labels", labels, below=maps.shape[1])
    if len(rows) != len(maps):
        raise ValueError(f"labels must be one a picture, ({len(maps)},), got shape {rows.shape}")
    chosen = nd.array(maps[np.arange(len(maps)), rows][:, None])  # (N, 1, H', W')
    height, width = X.shape[2:]
    enlarged = nd.contrib.BilinearResize2D(chosen, height=height, width=width, align_corners=False)  # (N, 1, H, W)
    return np.asarray(enlarged.asnumpy()[:, 0])


def _maps_and_logits(net: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps (N, K, H', W'), and the logits (N, K)."""
    dense = _dense(net)
    if not isinstance(X, mx.nd.NDArray):
        raise TypeError(f"X must be an nd array of pictures (N, C, H, W), got {type(X).__name__}")
    if X.ndim != 4 or min(X.shape[2:]) < net.smallest:
        raise ValueError(
            f"X must be pictures (N, C, H, W) of at least {net.smallest} x {net.smallest} pixels, got shape {X.shape}"
        )
    with autograd.pause(train_mode=False):
        features = net.features(X)  # (N, C', H', W')
        logits = net.head(features).asnumpy()  # settles the dense layer's shape, too
    maps = features.asnumpy()
    if dense is not None:
        if dense.weight.shape[1] != maps.shape[1]:
            raise ValueError(
                f"net.head's dense layer must take the means of all {maps.shape[1]} feature maps, it takes "
                f"{dense.weight.shape[1]} at a time: put nn.Flatten() before it, or leave out flatten=False"
            )
        maps = np.einsum("kc,nchw->nkhw", dense.weight.data(X.ctx).asnumpy(), maps)
    return maps, logits.reshape(len(maps), -1)


def _dense(net: Any) -> Any:
    """Return the dense layer of the net's head, None where it has none, and refuse a head that has no class maps."""
    if not isinstance(net, Classifier):
        raise TypeError(f"net must be a Classifier, got {type(net).__name__}")
    kept = (gluon.nn.Dropout, gluon.nn.Flatten)
    layers = [layer for layer in _layers(net.head) if not isinstance(layer, kept)]
    pooled = bool(layers) and isinstance(layers[0], gluon.nn.GlobalAvgPool2D)
    if pooled and len(layers) == 1:
        return None
    if pooled and len(layers) == 2 and isinstance(layers[1], gluon.nn.Dense) and layers[1].act is None:
        return layers[1]
    names = ", ".join(type(layer).__name__ for layer in layers)
    raise ValueError(
        "net.head must be global average pooling and one dense layer without activation, or global average pooling "
        f"alone, for its class maps; got {names}"
    )


def _layers(block: Any) -> list[Any]:
    if isinstance(block, (gluon.nn.Sequential, gluon.nn.HybridSequential)):
        return [layer for child in block for layer in _layers(child)]
    return [block]
