"""SSD: one network that says, for each anchor, which class it covers and how its box differs from the anchor.

Liu et al. 2016, "SSD: Single Shot MultiBox Detector".
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gluonbook import _check
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.detection.anchors import multibox_prior
from gluonbook.detection.targets import Targets

# The settings of the notes' book: two sizes a feature map, coarser maps for larger objects.
SIZES = ((0.2, 0.272), (0.37, 0.447), (0.54, 0.619), (0.71, 0.79), (0.88, 0.961))
RATIOS = (1.0, 2.0, 0.5)


class SSD(gluon.HybridBlock):
    """A network with a class head and a box head on each of several feature maps.

    Args:
        base: HybridBlock, pictures to one feature map or a list of them, finest first.
        extras: HybridBlocks, each from the map before it to a coarser one.
        num_classes: K, background not counted, at least 1.
        sizes: the anchor sizes of each map, as ``multibox_prior`` takes them; as many tuples as maps.
        ratios: the anchor ratios of all maps.

    Call:
        X: (N, 3, H, W) float32, standardised pictures.

    Returns:
        cls_preds (N, A, K + 1), scores before softmax, class 0 the background; and box_preds (N, A·4), offsets from
        the anchors, in the order of ``anchors``.
    """

    def __init__(
        self,
        base: Any,
        extras: Sequence[Any],
        num_classes: int,
        sizes: Sequence[Sequence[float]] = SIZES,
        ratios: Sequence[float] = RATIOS,
    ) -> None:
        super().__init__()
        self.num_classes = _check.integer("num_classes", num_classes, at_least=1)
        self.sizes, self.ratios = tuple(map(tuple, sizes)), tuple(ratios)
        with self.name_scope():
            self.base = base
            self.extras, self.cls_heads, self.box_heads = (gluon.nn.HybridSequential() for _ in range(3))
            self.extras.add(*extras)
            for size in self.sizes:
                num_anchors = len(size) + len(self.ratios) - 1
                self.cls_heads.add(gluon.nn.Conv2D(num_anchors * (num_classes + 1), 3, padding=1))
                self.box_heads.add(gluon.nn.Conv2D(num_anchors * 4, 3, padding=1))

    def feature_maps(self, X: Any) -> list[Any]:
        """Return the maps that the heads look at, finest first: (N, C, H, W) each."""
        maps = self.base(X)
        maps = list(maps) if isinstance(maps, (list, tuple)) else [maps]
        for stage in self.extras:
            maps.append(stage(maps[-1]))
        if len(maps) != len(self.sizes):
            raise ValueError(f"sizes must hold one tuple a feature map: {len(maps)} maps, {len(self.sizes)} tuples")
        return maps

    def hybrid_forward(self, F: Any, X: Any) -> tuple[Any, Any]:
        maps = self.feature_maps(X)
        scores = [F.transpose(head(x), (0, 2, 3, 1)).flatten() for head, x in zip(self.cls_heads, maps)]
        offsets = [F.transpose(head(x), (0, 2, 3, 1)).flatten() for head, x in zip(self.box_heads, maps)]
        cls_preds = F.concat(*scores, dim=1).reshape((0, -1, self.num_classes + 1))  # (N, A, K + 1)
        return cls_preds, F.concat(*offsets, dim=1)  # (N, A·4)

    def map_shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Return (H, W) of each feature map for pictures of a size, without computing anything.

        Raises:
            ValueError: the pictures are too small.
        """
        maps = mx.sym.Group(self.feature_maps(mx.sym.var("data")))
        try:
            shapes = maps.infer_shape_partial(data=(1, 3, height, width))[1]  # infer_shape would print
        except mx.MXNetError:
            shapes = []
        if not shapes or min(min(shape[2:]) for shape in shapes) < 1:
            raise ValueError(f"size must be larger: {height}x{width} leaves a feature map without pixels")
        return [(shape[2], shape[3]) for shape in shapes]

    def anchors(self, height: int, width: int) -> np.ndarray:
        """Return the anchors for pictures of a size, (A, 4) float32, in the order of the predictions."""
        shapes = self.map_shapes(height, width)
        return np.concatenate([multibox_prior(s, size, self.ratios) for s, size in zip(shapes, self.sizes)])


def halving_block(channels: int) -> Any:
    """Return two 3×3 convolutions, each with batch norm and ReLU, and 2×2 max pooling: (C, H, W) to (c, H/2, W/2).

    Differs from the book: the convolutions have no bias, which batch norm would subtract again; and the second ReLU
    comes after the pooling, where it has a quarter of the values: the largest of several is the same before and after.
    """
    block, nn = gluon.nn.HybridSequential(), gluon.nn
    for last in ((nn.Activation("relu"),), (nn.MaxPool2D(2), nn.Activation("relu"))):
        block.add(nn.Conv2D(channels, 3, padding=1, use_bias=False), nn.BatchNorm(), *last)
    return block


def tiny_ssd(num_classes: int) -> SSD:
    """Return the notes' network: 256×256 pictures give maps of 32, 16, 8, 4, 1 pixels and 5,444 anchors.

    Args:
        num_classes: K, background not counted, at least 1.

    Returns:
        SSD, not initialised; about a million weights.
    """
    base = gluon.nn.HybridSequential()
    base.add(*(halving_block(channels) for channels in (16, 32, 64)))
    extras = [*(halving_block(128) for _ in range(3)), gluon.nn.GlobalMaxPool2D()]
    return SSD(base, extras, num_classes)


def backbone_ssd(
    net: Any,
    layers: Sequence[str],
    num_classes: int,
    extras: Sequence[Any] = (),
    sizes: Sequence[Sequence[float]] = SIZES,
    ratios: Sequence[float] = RATIOS,
) -> SSD:
    """Return an SSD whose first feature maps are named layers of another network, with its weights.

    Args:
        net: any Gluon HybridBlock on pictures, from the model zoo or of your own; not changed.
        layers: names of the layers to look at, finest first, without the network's prefix: ``"relu10_fwd"``.
        num_classes: K, background not counted, at least 1.
        extras, sizes, ratios: as for ``SSD``; ``halving_block`` makes an extra.

    Returns:
        SSD; only its heads and extras are to be initialised where ``net`` was.

    Raises:
        ValueError: a layer has another name; the message lists the network's.
    """
    data = mx.sym.var("data", dtype="float32")
    outputs = net(data).get_internals()
    names = [name for name in outputs.list_outputs() if name.endswith("_output")]
    known = {name[: -len("_output")]: name for name in names}
    chosen = []
    for layer in layers:
        found = known.get(net.prefix + layer, known.get(layer))
        if found is None:
            short = [name[len(net.prefix) :] if name.startswith(net.prefix) else name for name in known]
            raise ValueError(f"layers must be names of the network's layers, got {layer!r}; it has {', '.join(short)}")
        chosen.append(outputs[found])
    return SSD(gluon.SymbolBlock(chosen, data, net.collect_params()), extras, num_classes, sizes, ratios)


def mobilenet_ssd(num_classes: int) -> SSD:
    """Return an SSD on MobileNet 0.5 of Gluon's model zoo: maps at strides 8, 16, 32, then two coarser ones."""
    net = gluon.model_zoo.vision.mobilenet0_5()
    layers = ["relu10_fwd", "relu22_fwd", "relu26_fwd"]
    return backbone_ssd(net, layers, num_classes, [halving_block(128), gluon.nn.GlobalMaxPool2D()])


NETWORKS = {"tiny": tiny_ssd, "mobilenet": mobilenet_ssd}


class Losses(NamedTuple):
    """The two losses of a batch, (1,) float32 each."""

    cls: Any
    box: Any


def ssd_loss(cls_preds: Any, box_preds: Any, targets: Targets, num_matched: float) -> Losses:
    """Return softmax cross-entropy and smooth L1, each summed and divided by the number of matched anchors.

    Liu et al. 2016, equations 1–3, with α = 1. Where nothing is matched, the division is by one: pictures of nothing
    still say what background looks like.

    Args:
        cls_preds: (N, A, K + 1) float32.
        box_preds: (N, A·4) float32.
        targets: of the same pictures; anchors whose class is −1 are left out.
        num_matched: matched anchors of the whole batch, of all its devices.

    Returns:
        Losses.
    """
    ctx, scale = cls_preds.context, 1 / max(num_matched, 1)
    box_targets, box_masks, cls_targets = (nd.array(target, ctx=ctx) for target in targets)
    of_true_class = nd.pick(nd.log_softmax(cls_preds), nd.maximum(cls_targets, 0))  # (N, A)
    cls_loss = -(of_true_class * (cls_targets >= 0)).sum() * scale
    box_loss = nd.smooth_l1((box_preds - box_targets) * box_masks, scalar=1.0).sum() * scale
    return Losses(cls_loss, box_loss)
