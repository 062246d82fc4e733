"""Networks built from Darknet's configurations, with weights from and to Darknet's files: YOLOv3 and its like.

Redmon & Farhadi 2018, "YOLOv3: An Incremental Improvement".
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gluonbook import _files
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.detection.darknet_config import Section, layer_shapes, layer_sources, layer_strides, padding_of
from gluonbook.weights import darknet_weights

# Darknet adds 1e-6 to the standard deviation on the CPU and 1e-5 to the variance on the GPU; readers of its files,
# gluoncv among them, take the latter.
EPSILON = 1e-5
SLOPE = 0.1


class Head(NamedTuple):
    """What one map of a YOLO network predicts.

    Attributes:
        anchors: (B, 2) float32, widths and heights in pixels of the network's input.
        stride: s, pixels of the input per pixel of the map.
        num_classes: K, classes.
        ignore_threshold: IoU above which a box that is not responsible is no background.
    """

    anchors: np.ndarray
    stride: int
    num_classes: int
    ignore_threshold: float


class Darknet(gluon.HybridBlock):
    """A network as a Darknet configuration describes it.

    Args:
        sections: as ``read_config``, ``with_classes`` and ``with_size`` return them.

    Attributes:
        sections: the same.
        num_classes: K, classes.
        size: (H, W) of ``[net]``; other multiples of the largest stride serve as well.
        heads: one ``Head`` for each ``[yolo]``, in the file's order.

    Call:
        X: (N, C, H, W) float32, RGB from 0 to 1, H and W multiples of the largest stride.

    Returns:
        a list with one raw map a head, (N, B·(5 + K), H/s, W/s): for each anchor x, y, width, height, objectness and
        the classes, before sigmoid and exponential.

    Raises:
        ValueError: the layers do not fit each other (the message gives the section's line), or the pictures do not
            fit the network.

    >>> from gluonbook import _files
    >>> from gluonbook.detection.darknet_config import read_config
    >>> net = Darknet(read_config(_files.packaged("datasets") / "detection" / "yolo-small.cfg"))
    >>> net.initialize()
    >>> [y.shape for y in net(nd.zeros((1, 3, 128, 192)))]
    [(1, 24, 4, 6), (1, 24, 8, 12), (1, 24, 16, 24)]
    >>> [head.stride for head in net.heads]
    [32, 16, 8]
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        super().__init__()
        self.sections = _checked(sections)
        options = self.sections[0].options
        shapes, strides = layer_shapes(self.sections), layer_strides(self.sections)
        self.size, self.channels = (options["height"], options["width"]), options["channels"]
        self.largest_stride = max(strides)
        self.heads = tuple(
            _head(section, stride) for section, stride in zip(self.sections[1:], strides) if section.kind == "yolo"
        )
        self.num_classes = _one_number_of_classes(self.sections)
        self._sources = layer_sources(self.sections)
        self._last_uses = {source: at for at, sources in enumerate(self._sources) for source in sources}
        channels = {-1: self.channels, **{index: shape[0] for index, shape in enumerate(shapes)}}
        with self.name_scope():
            self.convolutions = gluon.nn.HybridSequential()
            for index, section in enumerate(self.sections[1:]):
                if section.kind == "convolutional":
                    self.convolutions.add(_convolution(section, channels[index - 1]))

    def forward(self, X: Any) -> list[Any]:
        if isinstance(X, nd.NDArray):
            self._check_pictures(X.shape)
        return super().forward(X)

    def hybrid_forward(self, F: Any, X: Any) -> list[Any]:
        convolutions, outputs, maps = iter(self.convolutions), {-1: X}, []
        for index, (section, sources) in enumerate(zip(self.sections[1:], self._sources)):
            inputs = [outputs[source] for source in sources]
            if section.kind == "convolutional":
                outputs[index] = next(convolutions)(inputs[0])
            elif section.kind == "yolo":
                maps.append(inputs[0])
            else:
                outputs[index] = OPERATORS[section.kind](F, section.options, *inputs)
            for source in sources:
                if self._last_uses[source] == index:  # its memory serves other layers
                    outputs.pop(source, None)
        return maps

    def _check_pictures(self, shape: tuple[int, ...]) -> None:
        stride = self.largest_stride
        if len(shape) != 4 or shape[1] != self.channels:
            raise ValueError(f"X must be pictures, (N, {self.channels}, H, W), got shape {shape}")
        if 0 in shape or shape[2] % stride or shape[3] % stride:
            raise ValueError(f"X must have H and W that are multiples of {stride}, got {shape[2]}x{shape[3]}")


def load_darknet_weights(net: Darknet, path: _files.PathLike) -> int:
    """Give a network the weights of a Darknet file.

    The file has, for each convolution in order, its biases, or batch norm's shifts, scales, running means and running
    variances; then its kernels, (O, I, kh, kw).

    Args:
        net: is initialised on the current device where it is not yet; its layers must be the file's.
        path: a ``.weights`` file.

    Returns:
        how many pictures the weights have been trained on, as the file says.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no Darknet file, or too short or too long for the network; the message says in which layer
            it ran out, or how many bytes are left over. The network is then as it was.
    """
    stored, start = darknet_weights.read_darknet_weights(path), 0
    layers = list(_layers(net))
    for number, section, parameters in layers:
        wanted, had = sum(_size(parameter) for parameter in parameters), len(stored.values) - start
        if wanted > had:
            raise ValueError(
                f"{path} is too short: layer {number} (line {section.line}, [convolutional]) wants {4 * wanted} bytes, "
                f"{4 * had} are left; it must be of another network, or cut short"
            )
        start += wanted
    if start < len(stored.values):
        left = 4 * (len(stored.values) - start)
        raise ValueError(f"{path} is too long: the network has {4 * start} bytes of weights, {left} are left over")
    start = 0
    for _, _, parameters in layers:
        for parameter in parameters:
            if not _is_initialised(parameter):
                parameter.initialize(mx.init.Zero())
            values = stored.values[start : start + _size(parameter)]
            parameter.set_data(nd.array(values.reshape(parameter.shape)))
            start += len(values)
    return stored.seen


def save_darknet_weights(net: Darknet, path: _files.PathLike, seen: int = 0) -> None:
    """Write a network's weights as a Darknet file, which Darknet and its readers read with the same configuration.

    Args:
        net: initialised.
        path: where; an older file is replaced when the new one is whole.
        seen: how many pictures the weights have been trained on.

    Raises:
        ValueError: the network is not initialised, or ``seen`` is out of range.
    """
    arrays = [_values(parameter) for _, _, parameters in _layers(net) for parameter in parameters]
    darknet_weights.write_darknet_weights(path, arrays, seen)


def fold_batch_norm(net: Darknet) -> Darknet:
    """Return a network with the same outputs whose batch norm is part of its kernels and biases.

    At inference batch norm is a scale and a shift for each channel: γ/√(σ² + ε) goes into the kernels,
    β − μ·γ/√(σ² + ε) into the biases.

    Args:
        net: initialised; not changed.

    Returns:
        a network on the same devices, faster at inference. It is not meant to be trained.

    Raises:
        ValueError: the network is not initialised.
    """
    arrays = [array for _, _, parameters in _layers(net) for array in _folded(*map(_values, parameters))]
    sections = [
        section._replace(options={**section.options, "batch_normalize": 0})
        if section.kind == "convolutional"
        else section
        for section in net.sections
    ]
    folded = Darknet(sections)
    folded.initialize(mx.init.Zero(), ctx=next(iter(net.collect_params().values())).list_ctx())
    targets = [parameter for _, _, parameters in _layers(folded) for parameter in parameters]
    for parameter, array in zip(targets, arrays):
        parameter.set_data(nd.array(array))
    return folded


def _folded(*arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(arrays) == 2:
        return arrays  # type: ignore[return-value]
    shift, scale, mean, variance, kernel = arrays
    scale = scale / np.sqrt(variance + EPSILON)
    return shift - mean * scale, kernel * scale[:, None, None, None]  # (O,), (O, I, kh, kw)


def _layers(net: Darknet) -> Iterator[tuple[int, Section, list[Any]]]:
    """Yield number, section and parameters, in Darknet's order, of each convolution."""
    if not isinstance(net, Darknet):
        raise TypeError(f"net must be a Darknet, got {type(net).__name__}")
    sections = [(n, section) for n, section in enumerate(net.sections[1:]) if section.kind == "convolutional"]
    for (number, section), block in zip(sections, net.convolutions):
        convolution = block[0]
        if section.options["batch_normalize"]:
            norm = block[1]
            parameters = [norm.beta, norm.gamma, norm.running_mean, norm.running_var, convolution.weight]
        else:
            parameters = [convolution.bias, convolution.weight]
        yield number, section, parameters


def _size(parameter: Any) -> int:
    return int(np.prod(parameter.shape))


def _is_initialised(parameter: Any) -> bool:
    try:
        parameter.list_ctx()
    except RuntimeError:
        return False
    return True


def _values(parameter: Any) -> np.ndarray:
    if not _is_initialised(parameter):
        raise ValueError("net must be initialised: call net.initialize(), or load weights")
    return parameter.data(parameter.list_ctx()[0]).asnumpy()


def _checked(sections: Sequence[Section]) -> tuple[Section, ...]:
    sections = tuple(sections)
    if not sections or not all(isinstance(section, Section) for section in sections):
        raise TypeError("sections must be what read_config returns: a row of Section")
    if sections[0].kind != "net" or all(section.kind != "yolo" for section in sections):
        kinds = ", ".join(dict.fromkeys(section.kind for section in sections))
        raise ValueError(f"sections must begin with [net] and have a [yolo], got the kinds {kinds}")
    return sections


def _head(section: Section, stride: int) -> Head:
    options = section.options
    anchors = np.array(options["anchors"], np.float32).reshape(-1, 2)[list(options["mask"])]  # (B, 2)
    return Head(anchors, stride, options["classes"], options["ignore_thresh"])


def _one_number_of_classes(sections: Sequence[Section]) -> int:
    first, *others = (section for section in sections if section.kind == "yolo")
    for other in others:
        if other.options["classes"] != first.options["classes"]:
            raise ValueError(
                f"line {other.line}, [yolo]: classes must be {first.options['classes']} as in the first [yolo] "
                f"(line {first.line}), got {other.options['classes']}"
            )
    return first.options["classes"]


def _convolution(section: Section, in_channels: int) -> Any:
    options, nn = section.options, gluon.nn
    block, normalised = nn.HybridSequential(), bool(options["batch_normalize"])
    block.add(
        nn.Conv2D(
            options["filters"],
            options["size"],
            strides=options["stride"],
            padding=padding_of(section),
            use_bias=not normalised,
            in_channels=in_channels,
        )
    )
    if normalised:  # the running statistics move by a tenth each step, Gluon's default; Darknet's by a hundredth
        block.add(nn.BatchNorm(epsilon=EPSILON, in_channels=options["filters"]))
    if options["activation"] == "leaky":
        block.add(nn.LeakyReLU(SLOPE))
    return block


def _shortcut(F: Any, options: dict[str, Any], before: Any, other: Any) -> Any:
    return before + other


def _route(F: Any, options: dict[str, Any], *maps: Any) -> Any:
    return F.concat(*maps, dim=1) if len(maps) > 1 else maps[0]


def _upsample(F: Any, options: dict[str, Any], x: Any) -> Any:
    return F.UpSampling(x, scale=options["stride"], sample_type="nearest")


def _maxpool(F: Any, options: dict[str, Any], x: Any) -> Any:
    """Pool a map that is padded by size − 1 in all, the smaller half on the left and at the top, as Darknet does."""
    size, stride = options["size"], options["stride"]
    window = {"kernel": (size, size), "stride": (stride, stride), "pool_type": "max"}
    if size == stride == 2:
        return F.Pooling(x, pooling_convention="full", **window)  # of odd sides the last window is half a one
    low, high = (size - 1) // 2, size // 2
    # The edge repeated gives the same maxima as minus infinity: every window has a true pixel of that edge.
    x = F.pad(x, mode="edge", pad_width=(0, 0, 0, 0, low, high, low, high))
    return F.Pooling(x, **window)


OPERATORS = {"shortcut": _shortcut, "route": _route, "upsample": _upsample, "maxpool": _maxpool}
