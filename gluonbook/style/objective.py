"""What a transfer minimises, with its gradient: at once, or tile by tile where that needs too much memory.

The losses need the features of a whole picture only through its Gram matrices. So tiles are gone over twice: first
their products are summed to the Gram matrices, then the derivative by these is carried back through each tile. A tile
is computed with a margin as wide as its features look, of which nothing is counted: it leaves no seams.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np

from gluonbook._mxnet import autograd, mx, nd
from gluonbook.style.features import Features, Weights
from gluonbook.style.losses import content_loss, products, style_loss, tv_loss

FAINT = 0.02  # energy of a channel, as a share of the mean, below which it counts less
TINY = 1e-12  # a layer that finds nothing, in a picture of one colour


class Losses(NamedTuple):
    """The three losses, each with its weight: what is summed."""

    content: float
    style: float
    tv: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.content + self.style + self.tv


class Style(NamedTuple):
    """A picture whose style is taken.

    Attributes:
        X: (1, 3, H', W') float32, standardised.
        weight: among several, above 0.
        mask: (H, W) float32 of the content's size, from 0 to 1, where it acts; None is everywhere.
    """

    X: np.ndarray
    weight: float = 1.0
    mask: Optional[np.ndarray] = None


class Measure(NamedTuple):
    """A Gram matrix that is taken of the picture.

    Attributes:
        layer: of which.
        mask: (1, 1, H, W) float32, how much each position counts; None is all.
        divisor: C times the positions, or times the mask's sum of squares.
    """

    layer: str
    mask: Any
    divisor: float


class ContentTerm(NamedTuple):
    """A layer, what its outputs are compared with, (1, C, H, W) float32, and the weight of that."""

    layer: str
    target: Any
    weight: float


class StyleTerm(NamedTuple):
    """A term of the style loss.

    Attributes:
        measure: the number of the Gram matrix that is compared.
        target: (1, C, C) float32, with what.
        weight: of the term.
        scale: (1, C, C) float32, what both are multiplied by first; None leaves them.
    """

    measure: int
    target: Any
    weight: float
    scale: Any


class Objective(NamedTuple):
    """What is minimised: the sum of all terms and of the total variation.

    Attributes:
        features: the network.
        content, style: the terms.
        measures: the Gram matrices that the style's terms compare.
        tv_weight: of the total variation.
        tile: pixels of a tile's side with its margins, a multiple of every stride; None computes all at once.
        device: mx.Context.
    """

    features: Features
    content: tuple[ContentTerm, ...]
    style: tuple[StyleTerm, ...]
    measures: tuple[Measure, ...]
    tv_weight: float
    tile: Optional[int]
    device: Any


class Tile(NamedTuple):
    """Rows and columns (start, stop) of a part of a picture, without and with the margin around it."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    outer_rows: tuple[int, int]
    outer_columns: tuple[int, int]


def make_objective(
    features: Features, content: np.ndarray, styles: Sequence[Style], weights: Weights, tile: Optional[int], device: Any
) -> Objective:
    """Compute what a picture is compared with.

    Args:
        features: the network and its layers' weights.
        content: (1, 3, H, W) float32, standardised.
        styles: at least one.
        weights: of the three losses.
        tile: pixels of a tile's side with its margins; None computes all at once.
        device: mx.Context.

    Returns:
        Objective.
    """
    content_terms = []
    for layer, target in _layer_outputs(features, nd.array(content, ctx=device), tile).items():
        scale = float(nd.square(target).mean().asscalar()) if features.relative else 1.0
        weight = weights.content * features.content[layer] / max(scale, TINY)
        content_terms.append(ContentTerm(layer, target, weight))
    measures: list[Measure] = []
    style_terms = []
    total = sum(style.weight for style in styles)
    shared: dict[Any, int] = {}  # the first measure without a mask: several styles compare the same Gram matrices
    for number, style in enumerate(styles):
        key = None if style.mask is None else number
        if key not in shared:
            shared[key] = len(measures)
            measures += _measures(features, content.shape, style.mask, device)
        X = nd.array(style.X, ctx=device)
        own = _measures(features, style.X.shape, None, device)
        for i, (measure, target) in enumerate(zip(own, _grams(features, X, own, tile))):
            weight = weights.style * features.style[measure.layer] * style.weight / total
            style_terms.append(
                StyleTerm(shared[key] + i, target, weight, _scale(target) if features.relative else None)
            )
    terms = tuple(content_terms), tuple(style_terms), tuple(measures)
    return Objective(features, *terms, weights.tv, tile, device)


def evaluate(objective: Objective, x: np.ndarray) -> tuple[Losses, np.ndarray]:
    """Return a picture's losses and the gradient of their sum.

    Args:
        objective: what the picture is compared with.
        x: (1, 3, H, W) float32, standardised, of the content's size.

    Returns:
        Losses, and (1, 3, H, W) float32.
    """
    X = nd.array(x, ctx=objective.device)
    X.attach_grad()
    if objective.tile is not None:
        return _evaluate_tiles(objective, X, objective.tile)
    with autograd.record():
        outputs = _named(objective.features, X)
        content = _sum(term.weight * content_loss(outputs[term.layer], term.target) for term in objective.content)
        grams = [products(outputs[measure.layer], measure.mask) / measure.divisor for measure in objective.measures]
        style = _style_loss(objective, grams)
        tv = objective.tv_weight * tv_loss(X)
        total = content + style + tv
    total.backward()
    return Losses(*(float(part.asscalar()) for part in (content, style, tv))), X.grad.asnumpy()


def _evaluate_tiles(objective: Objective, X: Any, side: int) -> tuple[Losses, np.ndarray]:
    features, measures = objective.features, objective.measures
    grams = _grams(features, X, measures, side)
    for matrix in grams:
        matrix.attach_grad()
    with autograd.record():
        style = _style_loss(objective, grams)
        tv = objective.tv_weight * tv_loss(X)
        total = style + tv
    total.backward()
    gradient, content = X.grad.asnumpy(), 0.0
    shapes = layer_shapes(features, *X.shape[2:])
    for tile in _tiles(features, X, side):
        place = (..., slice(*tile.outer_rows), slice(*tile.outer_columns))
        part = X[place].copy()
        part.attach_grad()
        with autograd.record():
            inner = _inner(features, _named(features, part), tile, shapes)
            own = _sum(
                term.weight / term.target.size * nd.square(inner[term.layer] - target).sum()
                for term in objective.content
                for target in [_of_tile(features, term.layer, term.target, tile, shapes)]
            )
            carried = _sum(
                (matrix.grad * products(inner[measure.layer], mask)).sum() / measure.divisor
                for measure, matrix in zip(measures, grams)
                for mask in [_of_tile(features, measure.layer, measure.mask, tile, shapes)]
            )
            total = own + carried
        total.backward()
        gradient[place] += part.grad.asnumpy()
        content += float(own.asscalar())
    return Losses(content, float(style.asscalar()), float(tv.asscalar())), gradient


def layer_shapes(features: Features, height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """Return (C, H, W) of each layer for a picture of that size, without computing anything."""
    _, shapes, _ = mx.sym.Group(features.net(mx.sym.var("X"))).infer_shape(X=(1, 3, height, width))
    return {layer: tuple(shape[1:]) for layer, shape in zip(features.layers, shapes)}


def tiles(height: int, width: int, side: int, margin: int, stride: int) -> list[Tile]:
    """Cut a picture into tiles, row by row.

    All have one size with their margins, but for what the last of a row or column has more where a stride does not
    divide the picture: MXNet keeps memory for each size that it has seen.

    Args:
        height, width: of the picture, in pixels.
        side: of a tile with its margins, in pixels, above twice the margin.
        margin: around a tile, as far as the picture reaches, in pixels.
        stride: side, margin and every start are multiples of it.

    Raises:
        ValueError: the side is no multiple of the stride, or a tile would be nothing but margin.

    >>> [(tile.columns, tile.outer_columns) for tile in tiles(10, 50, 32, 8, 4)]
    [((0, 24), (0, 32)), ((24, 50), (16, 50))]
    """
    if side <= 2 * margin or side % stride:
        raise ValueError(f"a tile's side must be a multiple of {stride} above {2 * margin}, got {side}")

    def cut(length: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        parts, start, done = [], 0, 0
        while start + side < length:
            parts.append(((done, start + side - margin), (start, start + side)))
            done = start + side - margin
            start = min(start + side - 2 * margin, (length - side) // stride * stride)
            if start + side + stride > length:
                break
        return [*parts, ((done, length), (start, length))]

    return [
        Tile(rows, columns, outer_rows, outer_columns)
        for rows, outer_rows in cut(height)
        for columns, outer_columns in cut(width)
    ]


def _tiles(features: Features, X: Any, side: int) -> list[Tile]:
    height, width = X.shape[2:]
    return tiles(height, width, side, features.margin, max(features.strides))


def _named(features: Features, X: Any) -> dict[str, Any]:
    return dict(zip(features.layers, features.net(X)))


def _style_loss(objective: Objective, grams: Sequence[Any]) -> Any:
    return _sum(
        term.weight * style_loss(grams[term.measure], term.target)
        if term.scale is None
        else term.weight * style_loss(grams[term.measure] * term.scale, term.target * term.scale)
        for term in objective.style
    )


def _sum(parts: Iterable[Any]) -> Any:
    first, *rest = parts
    for part in rest:
        first = first + part
    return first


def _scale(target: Any) -> Any:
    """Return what brings a Gram matrix's diagonal near 1: a channel that finds little in the style counts like others.

    Without that a hue that the style does not have would be a small part of a layer's loss.
    """
    energy = np.diagonal(target.asnumpy()[0])
    root = (energy + FAINT * energy.mean() + TINY) ** -0.5
    return nd.array(np.outer(root, root)[None], ctx=target.context)


def _measures(features: Features, shape: Sequence[int], mask: Optional[np.ndarray], device: Any) -> list[Measure]:
    """Return the Gram matrices of the style layers, for pictures of a shape (…, H, W)."""
    found = []
    for layer, (C, H, W) in layer_shapes(features, *shape[-2:]).items():
        if layer in features.style:
            smaller = None if mask is None else _shrink(mask, H, W)
            count = H * W if smaller is None else float(np.square(smaller).sum())
            found.append(
                Measure(layer, None if smaller is None else nd.array(smaller[None, None], ctx=device), C * count)
            )
    return found


def _shrink(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA))


def _grams(features: Features, X: Any, measures: Sequence[Measure], tile: Optional[int]) -> list[Any]:
    sums = [0] * len(measures)
    for part, inner, shapes in _parts(features, X, tile):
        for i, measure in enumerate(measures):
            mask = measure.mask if part is None else _of_tile(features, measure.layer, measure.mask, part, shapes)
            sums[i] = sums[i] + products(inner[measure.layer], mask) / measure.divisor
    return sums


def _layer_outputs(features: Features, X: Any, tile: Optional[int]) -> dict[str, Any]:
    """Return the outputs of the content layers."""
    whole: dict[str, Any] = {}
    for part, inner, shapes in _parts(features, X, tile):
        for layer in features.content:
            if part is None:
                whole[layer] = inner[layer].copy()
                continue
            if layer not in whole:
                whole[layer] = nd.zeros((1, *shapes[layer]), ctx=X.context)
            whole[layer][(..., *_positions(features, layer, part, shapes))] = inner[layer]
    return whole


def _parts(
    features: Features, X: Any, tile: Optional[int]
) -> Iterator[tuple[Optional[Tile], dict[str, Any], dict[str, tuple[int, int, int]]]]:
    """Yield each tile, its layers' outputs without those of the margin, and the layers' shapes of the whole picture."""
    shapes = layer_shapes(features, *X.shape[2:])
    if tile is None:
        yield None, _named(features, X), shapes
        return
    for part in _tiles(features, X, tile):
        outputs = _named(features, X[..., slice(*part.outer_rows), slice(*part.outer_columns)])
        yield part, _inner(features, outputs, part, shapes), shapes
        nd.waitall()  # the next tile takes this one's memory


def _inner(features: Features, outputs: dict[str, Any], tile: Tile, shapes: Any) -> dict[str, Any]:
    """Cut off what a tile's margin gave."""
    inner = {}
    for layer, stride in zip(features.layers, features.strides):
        rows, columns = _positions(features, layer, tile, shapes)
        top, left = tile.outer_rows[0] // stride, tile.outer_columns[0] // stride
        inner[layer] = outputs[layer][
            :, :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
    return inner


def _of_tile(features: Features, layer: str, array: Any, tile: Tile, shapes: Any) -> Any:
    return None if array is None else array[(..., *_positions(features, layer, tile, shapes))]


def _positions(features: Features, layer: str, tile: Tile, shapes: Any) -> tuple[slice, slice]:
    """Return the rows and columns of a layer that are a tile's own."""
    stride = features.strides[features.layers.index(layer)]
    _, H, W = shapes[layer]

    def own(span: tuple[int, int], length: int) -> slice:
        # The last tile's end need not be a multiple of the stride: it has all that is left.
        return slice(span[0] // stride, min(-(-span[1] // stride), length))

    return own(tile.rows, H), own(tile.columns, W)
