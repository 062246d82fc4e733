"""What a network is made of, operator by operator, read off its symbol graph: nothing is initialised or computed."""

import ast
import contextlib
import io
import json
from collections.abc import Callable
from math import gcd, lcm, prod
from typing import Any, NamedTuple, Optional

from gluonbook._mxnet import gluon, mx

MIXING = {"FullyConnected", "InstanceNorm", "GroupNorm", "L2Normalization", "RNN"}  # of all places, whatever the shape
SOFTMAX = {"softmax", "log_softmax", "softmin"}
HEADER = ("layer", "kind", "output", "parameters", "multiply-adds", "sees", "jump")


class LayerRow(NamedTuple):
    """One operator of a network.

    Attributes:
        name: of its node in the graph; a block that is used twice gives two rows of one name.
        kind: MXNet's name of the operator; an activation's and a pooling's own.
        shape: of its (first) output, without N.
        parameters: how many learnable numbers come in here that no row above has counted.
        multiply_adds: for one picture; biases, normalisations and activations are not counted.
        receptive_field: pixels of the input's side that one value of the output may see, the longer side where they
            differ, the padding included; None: the whole picture, or it is not known: what lies together is no longer
            told by the shape, as after a reshape, or the maps were resized to a size of their own (BilinearResize2D).
        jump: pixels of the input from one value to the next, below 1 where maps are enlarged; None as above.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    receptive_field: Optional[int]
    jump: Optional[float]


class _View(NamedTuple):
    """Along one axis: value ``o`` sees pixels ``first[o]`` to ``last[o]``; after a period all is ``step`` further."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    step: int

    def at(self, o: int) -> tuple[int, int]:
        turn, phase = divmod(o, len(self.first))
        return self.first[phase] + turn * self.step, self.last[phase] + turn * self.step


_Views = Optional[tuple[_View, ...]]  # along height and width


def layer_table(net: Any, shape: Any) -> list[LayerRow]:
    """List the operators of a network with their sizes, in the order of the graph.

    Args:
        net: a hybrid block, or a Sequential of such; initialised or not. It is not changed.
        shape: (C, H, W) of one picture, or (D,) of one row of features, without N.

    Returns:
        a ``LayerRow`` for each operator. Learnable are the parameters whose ``grad_req`` is not "null": not the running
        statistics of a batch normalisation, nor a gamma that is fixed. Of shortcuts and concatenations, the receptive
        field reaches as far as any branch does (Araujo et al. 2019, "Computing receptive fields", section 3).

    Raises:
        TypeError: the net is no block, or takes arrays only.
        ValueError: the shape is none, or none that the net takes: pictures too small, for one.

    >>> net = gluon.nn.HybridSequential()
    >>> net.add(gluon.nn.Conv2D(8, 3, padding=1), gluon.nn.MaxPool2D(2), gluon.nn.Dense(10))
    >>> [(row.shape, row.parameters, row.multiply_adds, row.receptive_field) for row in layer_table(net, (1, 8, 8))]
    [((8, 8, 8), 80, 4608, 3), ((8, 4, 4), 0, 0, 4), ((10,), 1290, 1280, None)]
    """
    shape = _checked_shape(shape)
    nodes, shapes = _graph(net, shape)
    uncounted = {p.name for p in net.collect_params().values() if p.grad_req != "null"}
    start = _View((0,), (0,), 1)
    views: dict[int, _Views] = {}  # of the nodes that depend on the data
    rows = []
    for i, node in enumerate(nodes):
        if node["op"] == "null":
            if node["name"] == "data":
                views[i] = (start, start) if len(shape) == 3 else None
            continue
        inputs = [(j, shapes[j, output]) for j, output, _ in node["inputs"]]
        learnt = {nodes[j]["name"]: size for j, size in inputs if nodes[j]["name"] in uncounted}
        uncounted -= set(learnt)
        attrs = {key: _value(text) for key, text in node.get("attrs", {}).items()}
        seen = [views[j] for j, _ in inputs if j in views]
        sizes = [size for _, size in inputs]
        if seen:
            views[i] = _views(node["op"], attrs, _joined(seen), sizes[0], shapes[i, 0])
        row = (node["name"], _kind(node["op"], attrs), shapes[i, 0][1:], sum(map(prod, learnt.values())))
        rows.append(LayerRow(*row, _multiply_adds(node["op"], attrs, sizes, shapes[i, 0]), *_measures(views.get(i))))
    return rows


def summary(net: Any, shape: Any) -> list[LayerRow]:
    """Print the table of a network's operators, with totals, and return its rows.

    Args:
        net, shape: as for ``layer_table``.

    Raises:
        TypeError, ValueError: as ``layer_table``.

    >>> net = gluon.nn.HybridSequential(prefix="")
    >>> net.add(gluon.nn.Conv2D(8, 3, padding=1, prefix="conv_"), gluon.nn.Dense(10, prefix="dense_"))
    >>> rows = summary(net, (1, 8, 8))
    layer      kind            output     parameters  multiply-adds  sees  jump
    conv_fwd   Convolution     8 x 8 x 8          80          4,608     3     1
    dense_fwd  FullyConnected  10              5,130          5,120   all
    total                                      5,210          9,728
    """
    rows = layer_table(net, shape)
    total = ("total", "", "", f"{sum(row.parameters for row in rows):,}", f"{sum(row.multiply_adds for row in rows):,}")
    lines = [HEADER, *map(_told, rows), (*total, "", "")]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = [cell.ljust(width) if i < 3 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())
    return rows


def _checked_shape(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else ()
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in sizes)
    if len(sizes) not in (1, 3) or not whole:
        raise ValueError(f"shape must be (C, H, W) or (D,), whole numbers of at least 1, got {shape!r}")
    return sizes


def _graph(net: Any, shape: tuple[int, ...]) -> tuple[list[dict[str, Any]], dict[tuple[int, int], tuple[int, ...]]]:
    """Return the nodes of the net's graph, and the shapes of their outputs by node and output."""
    if not isinstance(net, gluon.Block):
        raise TypeError(f"net must be a Gluon block, got {type(net).__name__}")
    try:
        outputs = net(mx.sym.var("data"))
        graph = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
        internals = graph.get_internals()
    except Exception as error:  # whatever a forward that needs an array raises
        raise TypeError(
            f"net must be hybrid, so that its graph can be read: called with a Symbol for an array, "
            f"{type(net).__name__} raised {type(error).__name__}: {error}"
        ) from error
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # MXNet prints the arguments before it raises
            sizes = internals.infer_shape(data=(1, *shape))[1]
    except mx.MXNetError as error:
        raise ValueError(f"net does not take the shape {shape}: {str(error).splitlines()[0]}") from error
    if sizes is None:
        raise ValueError(f"net does not say all of its shapes for an input of the shape {shape}")
    described = json.loads(internals.tojson())
    return described["nodes"], {(i, k): tuple(size) for (i, k, *_), size in zip(described["heads"], sizes)}


def _value(text: str) -> Any:
    """Return an attribute of a node as what it says: a number, a tuple, a truth value, or text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _kind(op: str, attrs: dict[str, Any]) -> str:
    if op == "Pooling":
        return f"{'global ' if attrs.get('global_pool') else ''}{attrs.get('pool_type', 'max')} pooling"
    return str(attrs.get("act_type", op)) if op in ("Activation", "LeakyReLU") else op


def _is_bilinear(op: str, attrs: dict[str, Any]) -> bool:
    """Tell an enlargement that is a transposed convolution, one channel a group, of which MXNet chooses the sizes."""
    return op == "UpSampling" and attrs["sample_type"] == "bilinear"


def _multiply_adds(op: str, attrs: dict[str, Any], inputs: list[tuple[int, ...]], output: tuple[int, ...]) -> int:
    if op in ("Convolution", "FullyConnected"):  # weights (C', C / groups, k, k) or (units, D)
        return prod(output[1:]) * prod(inputs[1][1:])
    if op == "Deconvolution" or _is_bilinear(op, attrs):  # weight (C, C' / groups, k, k): each input value is spread
        return prod(inputs[0][1:]) * prod(inputs[1][1:])
    return 0


def _views(op: str, attrs: dict[str, Any], views: _Views, taken: tuple[int, ...], given: tuple[int, ...]) -> _Views:
    """Return what the values of an operator's output see, where its inputs see ``views``."""
    if views is None or len(given) != 4 or op in MIXING or attrs.get("global_pool"):
        return None
    if op in SOFTMAX and attrs.get("axis", -1) != 1:
        return None
    if op == "UpSampling":
        return _upsampled(views, attrs)
    if op in ("Convolution", "Pooling", "Deconvolution"):
        window = _transposed if op == "Deconvolution" else _window
        settings = [attrs.get(key) or (default,) * 2 for key, default in (("stride", 1), ("pad", 0), ("dilate", 1))]
        return tuple(window(view, *numbers) for view, *numbers in zip(views, attrs["kernel"], *settings))
    return views if taken[2:] == given[2:] else None


def _upsampled(views: tuple[_View, ...], attrs: dict[str, Any]) -> _Views:
    scale = int(attrs["scale"])
    if _is_bilinear("UpSampling", attrs):
        return tuple(_transposed(view, 2 * scale - scale % 2, scale, scale // 2, 1) for view in views)
    if attrs.get("num_args", 1) > 1:  # maps of several sizes, each enlarged by a factor of its own
        return None
    return tuple(_enlarged(view, scale, lambda o: [o // scale]) for view in views)


def _window(view: _View, kernel: int, stride: int, pad: int, dilate: int) -> _View:
    period, common = len(view.first), gcd(len(view.first), stride)

    def taps(o: int) -> list[int]:
        return [o * stride - pad + t * dilate for t in range(kernel)]

    return _spread(view, period // common, view.step * stride // common, taps)


def _transposed(view: _View, kernel: int, stride: int, pad: int, dilate: int) -> _View:
    def taps(o: int) -> list[int]:
        places = [o + pad - t * dilate for t in range(kernel)]
        return [place // stride for place in places if place % stride == 0] or [places[0] // stride]

    return _enlarged(view, stride, taps)


def _enlarged(view: _View, scale: int, taps: Callable[[int], list[int]]) -> _View:
    return _spread(view, len(view.first) * scale, view.step, taps)


def _spread(view: _View, period: int, step: int, taps: Callable[[int], list[int]]) -> _View:
    """Return the view of values of which ``o`` is computed from the values ``taps(o)`` of ``view``."""
    return _hull([[view.at(i) for i in taps(o)] for o in range(period)], step)


def _joined(views: list[_Views]) -> _Views:
    """Return what a value sees that the values of the same place of several inputs go into."""
    known = [view for view in views if view is not None]
    if len(known) < len(views):
        return None
    axes = []
    for branches in zip(*known):
        period = lcm(*(len(view.first) for view in branches))
        step = max(view.step * period // len(view.first) for view in branches)
        axes.append(_hull([[view.at(o) for view in branches] for o in range(period)], step))
    return tuple(axes)


def _hull(seen: list[list[tuple[int, int]]], step: int) -> _View:
    """Return the view that reaches, for each value of a period, over all that is seen."""
    first = tuple(min(low for low, _ in ends) for ends in seen)
    return _View(first, tuple(max(high for _, high in ends) for ends in seen), step)


def _measures(views: _Views) -> tuple[Optional[int], Optional[float]]:
    """Return receptive field and jump."""
    if views is None:
        return None, None
    longest = max(last - first + 1 for view in views for first, last in zip(view.first, view.last))
    return longest, max(view.step / len(view.first) for view in views)


def _told(row: LayerRow) -> tuple[str, ...]:
    seen = ("all", "") if row.receptive_field is None else (f"{row.receptive_field:,}", f"{row.jump:g}")
    size = " x ".join(map(str, row.shape))
    return (row.name, row.kind, size, f"{row.parameters:,}", f"{row.multiply_adds:,}", *seen)
