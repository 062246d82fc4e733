"""Darknet's ``.cfg`` files: a network as a list of sections, read, checked, and changed to other classes or sizes.

Redmon, "Darknet: Open Source Neural Networks in C", 2013–2018, ``src/parser.c``: ``[net]`` first, then one section a
layer, in order. Layers are counted from 0, ``[net]`` not included.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from gluonbook import _check, _files


class Section(NamedTuple):
    """A section of a configuration.

    Attributes:
        kind: ``"net"``, ``"convolutional"``, ``"shortcut"``, ``"route"``, ``"upsample"``, ``"maxpool"`` or ``"yolo"``.
        line: where it begins in its file, from 1.
        options: values by name: int, float, str, or a tuple of them. Those that shape the network are always there.
    """

    kind: str
    line: int
    options: dict[str, Any]


class Option(NamedTuple):
    """What an option's value may be: of ``type``, a row of them where ``many``, within bounds or one of ``words``."""

    type: type = int
    default: Any = None  # None leaves the option out where the file does
    at_least: Optional[float] = None
    at_most: Optional[float] = None
    words: Sequence[str] = ()
    many: bool = False
    required: bool = False


WHOLE, NUMBER, WORD = Option(), Option(float), Option(str)
SWITCH = Option(default=0, at_least=0, at_most=1)
COUNT = Option(at_least=1, required=True)
OF_ANY_LAYER = {"stopbackward": WHOLE}  # only Darknet's own training reads it
KNOWN: dict[str, dict[str, Option]] = {
    "net": {
        "height": COUNT,
        "width": COUNT,
        "channels": Option(default=3, at_least=1),
        # All others are of Darknet's own training.
        **dict.fromkeys(("batch", "subdivisions", "burn_in", "max_batches", "step", "max_crop", "min_crop"), WHOLE),
        **dict.fromkeys(("learning_rate", "momentum", "decay", "scale", "gamma", "power"), NUMBER),
        **dict.fromkeys(("angle", "aspect", "saturation", "exposure", "hue"), NUMBER),
        "policy": WORD,
        "steps": Option(many=True),
        "scales": Option(float, many=True),
    },
    "convolutional": {
        **OF_ANY_LAYER,
        "batch_normalize": SWITCH,
        "filters": Option(default=1, at_least=1),
        "size": Option(default=1, at_least=1),
        "stride": Option(default=1, at_least=1),
        "pad": SWITCH,
        "padding": Option(default=0, at_least=0),
        "activation": Option(str, words=("leaky", "linear"), required=True),
    },
    "shortcut": {
        **OF_ANY_LAYER,
        "from": Option(required=True),
        "activation": Option(str, default="linear", words=("linear",)),
    },
    "route": {**OF_ANY_LAYER, "layers": Option(many=True, required=True)},
    "upsample": {**OF_ANY_LAYER, "stride": Option(default=2, at_least=2, at_most=2)},
    "maxpool": {**OF_ANY_LAYER, "size": COUNT, "stride": Option(default=1, at_least=1)},
    "yolo": {
        **OF_ANY_LAYER,
        "mask": Option(many=True, required=True, at_least=0),
        "anchors": Option(float, many=True, required=True, at_least=0),
        "classes": COUNT,
        "num": COUNT,
        "ignore_thresh": Option(float, default=0.5, at_least=0, at_most=1),
        "truth_thresh": NUMBER,
        "jitter": NUMBER,
        "random": NUMBER,
        "max": WHOLE,
    },
}


def read_config(path: _files.PathLike) -> tuple[Section, ...]:
    """Read a Darknet configuration.

    Comments begin with ``#`` or ``;``. Options that only Darknet's own training reads are known and kept.

    Args:
        path: a ``.cfg`` file.

    Returns:
        the sections in order, ``[net]`` first.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: a section or option that is not known here, given twice, missing, of the wrong type or out of its
            range, or no ``[net]`` first; the message names the file, the line, and what is known.

    >>> from gluonbook import _files
    >>> sections = read_config(_files.packaged("datasets") / "detection" / "yolov3-tiny.cfg")
    >>> [section.kind for section in sections[:4]]
    ['net', 'convolutional', 'maxpool', 'convolutional']
    >>> sections[-1].options["mask"], sections[-1].options["classes"]
    ((0, 1, 2), 80)
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: expected a Darknet configuration (.cfg)")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no Darknet configuration (.cfg): {error}") from None
    sections: list[Section] = []
    for number, line in enumerate(lines, 1):
        content = re.split("[#;]", line)[0].strip()
        try:
            if content.startswith("["):
                sections.append(_open_section(content, number, is_first=not sections))
            elif content:
                _add_option(sections, content)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not sections:
        raise ValueError(f"{path} is no Darknet configuration (.cfg): it has no sections, [net] must come first")
    for section in sections:
        try:
            _complete(section)
        except ValueError as error:
            raise ValueError(f"{path}, line {section.line}, [{section.kind}]: {error}") from None
    return tuple(sections)


def with_classes(sections: Sequence[Section], num_classes: int) -> tuple[Section, ...]:
    """Return a configuration for another number of classes.

    Args:
        sections: as ``read_config`` returns them; not changed.
        num_classes: K, at least 1: ``classes`` of each ``[yolo]``, and ``filters`` = B·(5 + K) of the convolution
            before it.

    Raises:
        ValueError: a ``[yolo]`` does not follow a ``[convolutional]``; the message gives its line.

    >>> sections = [Section("convolutional", 1, {"filters": 18}), Section("yolo", 5, {"mask": (0, 1), "classes": 4})]
    >>> [section.options for section in with_classes(sections, 3)]
    [{'filters': 16}, {'mask': (0, 1), 'classes': 3}]
    """
    num_classes = _check.integer("num_classes", num_classes, at_least=1)
    changed = list(sections)
    for index, section in enumerate(sections):
        if section.kind == "yolo":
            before = _convolution_before(sections, index)
            num_filters = len(section.options["mask"]) * (5 + num_classes)
            changed[index - 1] = before._replace(options={**before.options, "filters": num_filters})
            changed[index] = section._replace(options={**section.options, "classes": num_classes})
    return tuple(changed)


def with_size(sections: Sequence[Section], height: int, width: int) -> tuple[Section, ...]:
    """Return a configuration for pictures of another size; weights serve any.

    Args:
        sections: as ``read_config`` returns them; not changed.
        height, width: pixels, multiples of the network's largest stride.

    Raises:
        ValueError: they are no multiples; the message gives the stride.

    >>> from gluonbook import _files
    >>> sections = read_config(_files.packaged("datasets") / "detection" / "yolo-small.cfg")
    >>> with_size(sections, 200, 256)
    Traceback (most recent call last):
    ValueError: height must be a multiple of the network's largest stride, 32, got 200
    """
    largest = max(layer_strides(sections))
    size = {"height": height, "width": width}
    for name, value in size.items():
        if _check.integer(name, value, at_least=1) % largest:
            raise ValueError(f"{name} must be a multiple of the network's largest stride, {largest}, got {value}")
    return (sections[0]._replace(options={**sections[0].options, **size}), *sections[1:])


def layer_sources(sections: Sequence[Section]) -> list[tuple[int, ...]]:
    """Return which layers each layer reads, from 0, in its own order; −1 stands for the picture.

    Raises:
        ValueError: a layer reads a ``[yolo]``, whose map is an output; the message gives its line.
    """
    found = []
    for index, section in enumerate(sections[1:]):
        sources = _sources(index, section)
        for source in sources:
            if source >= 0 and sections[source + 1].kind == "yolo":
                raise _refusal(section, f"reads layer {source}, a [yolo] (line {sections[source + 1].line})")
        found.append(sources)
    return found


def layer_strides(sections: Sequence[Section]) -> list[int]:
    """Return for each layer how many of the picture's pixels its map's pixels are wide.

    Raises:
        ValueError: an ``[upsample]`` goes beyond the picture; the message gives its line.
    """
    strides = {-1: 1}
    for index, (section, sources) in enumerate(zip(sections[1:], layer_sources(sections))):
        stride = strides[sources[0]]
        if section.kind in ("convolutional", "maxpool"):
            stride *= section.options["stride"]
        elif section.kind == "upsample":
            stride, rest = divmod(stride, section.options["stride"])
            if rest:
                raise _refusal(section, "its map would have more pixels than the picture")
        strides[index] = stride
    return [strides[index] for index in range(len(sections) - 1)]


def layer_shapes(sections: Sequence[Section]) -> list[tuple[int, int, int]]:
    """Return (C, H, W) of each layer's map, for pictures of the size in ``[net]``.

    Raises:
        ValueError: layers do not fit each other or the size; the message gives the line.
    """
    net, strides = sections[0].options, layer_strides(sections)
    height, width = net["height"], net["width"]
    largest = max(strides, default=1)
    if height % largest or width % largest:
        raise _refusal(sections[0], f"size must be multiples of the largest stride, {largest}, got {height}x{width}")
    shapes = {-1: (net["channels"], height, width)}
    for index, (section, sources) in enumerate(zip(sections[1:], layer_sources(sections))):
        shape = _shape(section, [shapes[source] for source in sources])
        if section.kind == "yolo":
            _check_head(sections, index + 1, shape, (height // strides[index], width // strides[index]))
        shapes[index] = shape
    return [shapes[index] for index in range(len(sections) - 1)]


def padding_of(section: Section) -> int:
    """Return the zeros that a ``[convolutional]`` puts on each side, in pixels."""
    return section.options["size"] // 2 if section.options["pad"] else section.options["padding"]


def _sources(index: int, section: Section) -> tuple[int, ...]:
    if section.kind == "route":
        return tuple(_absolute(index, layer) for layer in section.options["layers"])
    if section.kind == "shortcut":
        return index - 1, _absolute(index, section.options["from"])
    return (index - 1,)


def _shape(section: Section, shapes: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    options, (channels, height, width) = section.options, shapes[0]
    if section.kind == "convolutional":
        room = 2 * padding_of(section) - options["size"]
        height, width = ((side + room) // options["stride"] + 1 for side in (height, width))
        if min(height, width) < 1:
            raise _refusal(section, f"size={options['size']} is larger than the map, {shapes[0][1]}x{shapes[0][2]}")
        return options["filters"], height, width
    if section.kind == "maxpool":  # padded by size − 1 in all
        return channels, (height - 1) // options["stride"] + 1, (width - 1) // options["stride"] + 1
    if section.kind == "upsample":
        return channels, height * options["stride"], width * options["stride"]
    if section.kind == "shortcut" and shapes[0] != shapes[1]:
        raise _refusal(section, f"adds maps of different shapes, (C, H, W): {shapes[0]} and {shapes[1]}")
    if section.kind == "route":
        if len({shape[1:] for shape in shapes}) > 1:
            raise _refusal(section, f"joins maps of different sizes, (C, H, W): {', '.join(map(str, shapes))}")
        channels = sum(shape[0] for shape in shapes)
    return channels, height, width


def _check_head(sections: Sequence[Section], at: int, shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    section, before = sections[at], _convolution_before(sections, at)
    num_boxes, num_classes = len(section.options["mask"]), section.options["classes"]
    right = num_boxes * (5 + num_classes)
    if shape[0] != right:
        raise _refusal(
            section,
            f"{num_boxes} boxes of {num_classes} classes need filters={right} in the [convolutional] before it "
            f"(line {before.line}), got {shape[0]}",
        )
    if before.options["activation"] != "linear":
        raise _refusal(section, f"the [convolutional] before it (line {before.line}) must have activation=linear")
    if shape[1:] != size:
        told = f"{shape[1]}x{shape[2]} pixels, its stride needs {size[0]}x{size[1]}"
        raise _refusal(section, f"its map has {told}: convolutions before it lack padding or have too much")


def _convolution_before(sections: Sequence[Section], at: int) -> Section:
    if sections[at - 1].kind != "convolutional":
        raise _refusal(sections[at], f"must follow a [convolutional], got [{sections[at - 1].kind}]")
    return sections[at - 1]


def _refusal(section: Section, fault: str) -> ValueError:
    return ValueError(f"line {section.line}, [{section.kind}]: {fault}")


def _absolute(index: int, layer: int) -> int:
    return layer if layer >= 0 else index + layer


def _open_section(content: str, line: int, is_first: bool) -> Section:
    if not content.endswith("]"):
        raise ValueError(f"a section must be written [name], got {content!r}")
    kind = _check.choice("section", content[1:-1].strip(), KNOWN)
    if (kind == "net") != is_first:
        raise ValueError("[net] must come first" + (f", got [{kind}]" if is_first else " and once"))
    return Section(kind, line, {})


def _add_option(sections: list[Section], content: str) -> None:
    name, equals, text = (part.strip() for part in content.partition("="))
    if not equals:
        raise ValueError(f"an option must be written name=value, got {content!r}")
    if not sections:
        raise ValueError(f"[net] must come first, got {content!r}")
    section = sections[-1]
    option = KNOWN[section.kind][_check.choice(f"option of [{section.kind}]", name, KNOWN[section.kind])]
    if name in section.options:
        raise ValueError(f"{name} must be given once in a section, got it again in [{section.kind}]")
    parts = text.split(",") if option.many else [text]
    values = tuple(_read_value(name, part.strip(), option) for part in parts)
    if name in ("from", "layers"):
        for value in values:
            _check_layer(name, value, len(sections) - 2)
    section.options[name] = values if option.many else values[0]


def _read_value(name: str, text: str, option: Option) -> Any:
    if option.type is str:
        return _check.choice(name, text, option.words) if option.words else text
    try:
        value = option.type(text)
    except ValueError:
        kind = "a whole number" if option.type is int else "a number"
        raise ValueError(f"{name} must be {kind}, got {text!r}") from None
    return _check.number(name, value, at_least=option.at_least, at_most=option.at_most)


def _check_layer(name: str, value: int, index: int) -> None:
    if not 0 <= _absolute(index, value) < index:
        right = f"from {-index} to -1, or from 0 to {index - 1}" if index else "no layer: none is before the first"
        raise ValueError(f"{name} of layer {index} must be {right}, got {value}")


def _complete(section: Section) -> None:
    """Fill in the defaults and check what takes more than one option."""
    options = section.options
    for name, option in KNOWN[section.kind].items():
        if option.required and name not in options:
            raise ValueError(f"{name} is missing")
        if option.default is not None:
            options.setdefault(name, option.default)
    if section.kind == "yolo":
        num, anchors = options["num"], options["anchors"]
        if len(anchors) != 2 * num:
            raise ValueError(f"anchors must hold 2 values for each of num={num}, got {len(anchors)}")
        if max(options["mask"]) >= num:
            raise ValueError(f"mask must be below num={num}, got {max(options['mask'])}")
