"""VGG networks by their description, the names that Gluon, torchvision and timm give their weights, and conversion."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gluonbook import _check

KERNEL = 3  # each convolution is 3×3 (Simonyan & Zisserman 2015, section 2.1)
LONGEST_PREFIX, LONGEST_REASON, MOST_SHOWN = 100, 160, 4


@dataclass(frozen=True)
class VGG:
    """A VGG network.

    Attributes:
        convolutions: how many there are in each block; a pooling ends a block.
        channels: of the convolutions in each block.
        hidden: units of either hidden layer.
        classes: K, outputs.
        side: height and width of what the last pooling gives; 7 of a 224×224 picture.
    """

    convolutions: tuple[int, ...]
    channels: tuple[int, ...]
    hidden: int = 4096
    classes: int = 1000
    side: int = 7


CHANNELS = (64, 128, 256, 512, 512)

# Simonyan & Zisserman 2015, table 1, columns D and E.
ARCHITECTURES = {"vgg16": VGG((2, 2, 3, 3, 3), CHANNELS), "vgg19": VGG((2, 2, 4, 4, 4), CHANNELS)}


@dataclass(frozen=True)
class Entry:
    """One array of a network.

    Attributes:
        name: Gluon's, as ``save_parameters`` writes it.
        shape: Gluon's.
        known: each name that files give it, Gluon's too, and the shape that it has there.
        is_feature: it belongs to a convolution, not to the classifier.
    """

    name: str
    shape: tuple[int, ...]
    known: dict[str, tuple[int, ...]]
    is_feature: bool


class Converted(NamedTuple):
    """Weights under Gluon's names.

    Attributes:
        arrays: float32, by the names that ``gluon.model_zoo.vision.vgg19().load_parameters`` knows, in its order.
        missing: the network's names that the file has nothing for; only the classifier's may be.
        surplus: the file's names that the network has no place for.
        names: what the file calls each array, by Gluon's name.
    """

    arrays: dict[str, np.ndarray]
    missing: tuple[str, ...]
    surplus: tuple[str, ...]
    names: dict[str, str]


def entries_of(arch: str) -> list[Entry]:
    """List the arrays of a network in Gluon's order: kernels (O, C, 3, 3), matrices (units out, units in), biases.

    torchvision numbers the features as Gluon does and the classifier apart; timm writes the hidden layers as
    convolutions; Gluon's older files count convolutions and dense layers.

    Args:
        arch: a key of ``ARCHITECTURES``.

    Raises:
        ValueError: it is another.

    >>> [entry.name for entry in entries_of("vgg19")][-4:]
    ['features.39.weight', 'features.39.bias', 'output.weight', 'output.bias']
    """
    vgg = ARCHITECTURES[_check.choice("arch", arch, ARCHITECTURES)]
    found: list[Entry] = []
    place, number, C = 0, 0, 3
    for length, O in zip(vgg.convolutions, vgg.channels):
        for _ in range(length):
            kernel = (O, C, KERNEL, KERNEL)
            found += _layer(f"features.{place}.", kernel, {f"conv{number}_": kernel}, True)
            place, number, C = place + 2, number + 1, O  # a ReLU lies between
        place += 1  # the pooling
    matrices = [(vgg.hidden, C * vgg.side**2), (vgg.hidden, vgg.hidden), (vgg.classes, vgg.hidden)]
    of_timm = {
        "pre_logits.fc1.": (vgg.hidden, C, vgg.side, vgg.side),
        "pre_logits.fc2.": (vgg.hidden, vgg.hidden, 1, 1),
        "head.fc.": matrices[2],
    }
    stems = [f"features.{place}.", f"features.{place + 2}.", "output."]  # a dropout lies between
    for i, (stem, matrix, (timm, window)) in enumerate(zip(stems, matrices, of_timm.items())):
        found += _layer(stem, matrix, {f"classifier.{3 * i}.": matrix, timm: window, f"dense{i}_": matrix}, False)
    return found


def _layer(
    stem: str, shape: tuple[int, ...], others: dict[str, tuple[int, ...]], is_feature: bool
) -> tuple[Entry, Entry]:
    """Return a layer's weight and bias; ``others`` are the stems of its other names, and the weight's shape there."""
    shapes = {stem: shape, **others}
    weight = Entry(f"{stem}weight", shape, {f"{name}weight": there for name, there in shapes.items()}, is_feature)
    bias = Entry(f"{stem}bias", shape[:1], {f"{name}bias": shape[:1] for name in shapes}, is_feature)
    return weight, bias


def convert(arrays: Mapping[str, np.ndarray], arch: str) -> Converted:
    """Give a network's weights Gluon's names and shapes.

    What stands before all names, such as ``module.`` or ``vgg0_``, is left out.

    Args:
        arrays: floats by the names of Gluon (new or old), torchvision or timm.
        arch: a key of ``ARCHITECTURES``.

    Returns:
        float32 arrays, which may share memory with the given ones; and what is missing and surplus.

    Raises:
        ValueError: a convolution is missing (the message lists all that are), or an entry is there twice, has another
            shape or no floats.
    """
    entries = entries_of(arch)
    known = {name: entry for entry in entries for name in entry.known}
    start = _prefix_length(arrays, known)
    names: dict[str, str] = {}
    for name in arrays:
        entry = known.get(name[start:])
        if entry is not None and names.setdefault(entry.name, name) != name:
            raise ValueError(f"the entries {names[entry.name]!r} and {name!r} are both {entry.name} of {arch}")
    missing = [entry for entry in entries if entry.name not in names]
    if any(entry.is_feature for entry in missing):
        lacking = ", ".join(entry.name for entry in missing if entry.is_feature)
        raise ValueError(f"convolutions of {arch} are missing: {lacking}")
    converted = {}
    for entry in entries:
        if entry.name in names:
            name = names[entry.name]
            _check_entry(name, arrays[name], entry.known[name[start:]], arch)
            converted[entry.name] = arrays[name].astype(np.float32, copy=False).reshape(entry.shape)
    taken = set(names.values())
    surplus = tuple(name for name in arrays if name not in taken)
    return Converted(converted, tuple(entry.name for entry in missing), surplus, names)


def _prefix_length(names: Collection[str], known: Collection[str]) -> int:
    """Return how much of the part that all names begin with has to go, so that most of them are known."""
    low, high = min(names, default=""), max(names, default="")  # what these two share, all in between share
    shared = next((i for i, (a, b) in enumerate(zip(low, high)) if a != b), len(low))
    ends = [0, *(i + 1 for i in range(min(shared, LONGEST_PREFIX)) if low[i] in "._")]
    return max(ends, key=lambda end: sum(name[end:] in known for name in names))


def _check_entry(name: str, array: np.ndarray, shape: tuple[int, ...], arch: str) -> None:
    if array.shape != shape:
        raise ValueError(f"the entry {name!r} must have the shape {shape} in {arch}, got {array.shape}")
    if array.dtype.kind != "f":
        raise ValueError(f"the entry {name!r} must hold floats, got {array.dtype}")


def which_architecture(arrays: Mapping[str, np.ndarray]) -> str:
    """Tell whose weights these are, by the names and shapes of the convolutions.

    Args:
        arrays: as ``convert`` takes them.

    Returns:
        a key of ``ARCHITECTURES``: of those that the weights fit, the deepest.

    Raises:
        ValueError: they fit none; the message says what was found, and why each does not fit.
    """
    fitting, reasons = {}, []
    for arch, vgg in ARCHITECTURES.items():
        try:
            convert(arrays, arch)
            fitting[arch] = sum(vgg.convolutions)
        except ValueError as error:
            reason = str(error)
            reasons.append(f"{arch}: {reason if len(reason) <= LONGEST_REASON else reason[:LONGEST_REASON] + '…'}")
    if fitting:
        return max(fitting, key=lambda arch: fitting[arch])
    shown = [f"{name} {array.shape}" for name, array in list(arrays.items())[:MOST_SHOWN]]
    more = f" and {len(arrays) - MOST_SHOWN} more" if len(arrays) > MOST_SHOWN else ""
    raise ValueError(f"weights of no known network: {', '.join(shown)}{more}; {'; '.join(reasons)}")
