"""Where VGG's ImageNet weights are: a file that the user names, a folder of this machine, or a download."""

import functools
import hashlib
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional

import numpy as np

from gluonbook import _check, _files
from gluonbook.data import fetch
from gluonbook.data.fetch import DataNotFound, Dataset
from gluonbook.weights.files import read_weights, save_weights, zipped_params
from gluonbook.weights.torch_file import BROKEN_ZIP
from gluonbook.weights.vgg import ARCHITECTURES, Converted, convert, which_architecture

OFFLINE = "--features random"
BLOCK = 1 << 20


class Place(NamedTuple):
    """Where weights may be on this machine: what the place is, the file, and what the file must be."""

    what: str
    path: Path
    dataset: Dataset


def find_weights(name: str, path: Optional[_files.PathLike] = None) -> Path:
    """Return a file of a network's ImageNet weights, downloaded and converted if need be.

    A download becomes ``vgg19.params`` in the cache, under Gluon's names, and is itself deleted.

    Args:
        name: ``"vgg16"`` or ``"vgg19"``.
        path: a file of weights of any format, or a folder that holds one under a published name; nothing else is
            looked at then.

    Returns:
        the path of a file that ``read_weights`` reads; one under a published name has the published digest.

    Raises:
        DataNotFound: it is nowhere and cannot be downloaded; the message says how each place and source failed.
        ValueError: the name is another, or a download cannot be converted.
    """
    explicit = None if path is None else Path(path).expanduser()
    if explicit is not None and explicit.is_file():
        return explicit
    reasons = []
    for place in places_of(name, explicit):
        problem = _problem(place) if place.path.is_file() else "not there"
        if problem is None:
            return place.path
        if place.path.is_file():
            warnings.warn(f"{place.path} is left aside: {problem}", stacklevel=2)
        reasons.append(f"{place.what}: {place.path} ({problem})")
    if explicit is None:
        for dataset in SOURCES.get(name, ()):
            downloaded, failures = fetch.download(dataset)
            if downloaded is not None:
                return _keep(name, downloaded)
            reasons += failures
    looked = "\n  ".join(reasons)
    raise DataNotFound(
        f"the weights {name} were found in none of these places:\n  {looked}\n"
        f"Put one of these files there by hand, name a file of your own (.params, .safetensors, .pth), or use "
        f"{OFFLINE}, which needs no download"
    )


def load_weights(name_or_path: _files.PathLike) -> tuple[str, dict[str, np.ndarray]]:
    """Read a network's weights under Gluon's names.

    Args:
        name_or_path: ``"vgg16"`` or ``"vgg19"``, as ``find_weights`` finds them; or a file of any format, whose entries
            tell the network.

    Returns:
        arch, arrays: the network's name, and float32 arrays as ``Converted.arrays``; the classifier's may be missing.

    Raises:
        DataNotFound, FileNotFoundError: there is none.
        ValueError: the file cannot be read or is no such network's; the message names it.
    """
    if name_or_path in ARCHITECTURES:
        arch = str(name_or_path)
        return arch, convert_file(find_weights(arch), arch)[1].arrays
    if not Path(name_or_path).expanduser().exists():
        names = ", ".join(ARCHITECTURES)
        raise FileNotFoundError(f"{name_or_path} is not there: expected {names}, or a file of weights")
    arch, converted = convert_file(name_or_path)
    return arch, converted.arrays


def convert_file(path: _files.PathLike, arch: Optional[str] = None) -> tuple[str, Converted]:
    """Read a file and convert its arrays.

    Args:
        path: a file of any format.
        arch: the network; None lets the entries tell.

    Returns:
        arch, converted: the network's name, and what ``convert`` returns.

    Raises:
        FileNotFoundError, ValueError: as ``read_weights``, ``which_architecture``, ``convert``; with the file's name.
    """
    arrays = read_weights(path)
    try:
        arch = which_architecture(arrays) if arch is None else arch
        return arch, convert(arrays, arch)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def places_of(name: str, folder: Optional[Path] = None) -> Iterator[Place]:
    """List where a network's weights may be on this machine, in the order in which they are looked for.

    Args:
        name: a key of ``ARCHITECTURES``.
        folder: looked at alone, if given.

    Raises:
        ValueError: the name is another.
    """
    _check.choice("name", name, ARCHITECTURES)
    converted = Dataset(name, f"{name}.params", (), None, OFFLINE)
    if folder is not None and not folder.is_dir():
        yield Place("path", folder, converted)
        return
    for dataset in (converted, *SOURCES.get(name, ())):
        known = fetch.places_of(dataset) if folder is None else [("path", folder / dataset.filename)]
        for what, path in known:
            yield Place(what, path, dataset)
        if folder is None:
            yield from _of_others(dataset)


def _of_others(dataset: Dataset) -> Iterator[Place]:
    """Yield where PyTorch and MXNet keep what they have downloaded."""
    if dataset.filename.endswith(".pth"):
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
        folder = Path(os.environ.get("TORCH_HOME") or cache).expanduser() / "hub" / "checkpoints"
        yield Place("PyTorch's cache", folder / dataset.filename, dataset)
    if dataset.filename in UNPACKED:
        unpacked = UNPACKED[dataset.filename]
        folder = Path(os.environ.get("MXNET_HOME") or "~/.mxnet").expanduser() / "models"
        yield Place("MXNet's cache", folder / unpacked.filename, unpacked)


def _problem(place: Place) -> Optional[str]:
    """Say why a file is not the published one; None if it is, or if there is none to compare it with."""
    if place.dataset.digest is not None:
        algorithm, right = place.dataset.digest.split(":")
        with open(place.path, "rb") as stream:
            found = digest(stream, algorithm)
        if found != right:
            return f"its {algorithm} begins with {found[:8]}, that of the published file with {right[:8]}"
    if place.dataset.check is not None:
        try:
            place.dataset.check(place.path)
        except ValueError as error:
            return str(error)
    return None


def _keep(name: str, downloaded: Path) -> Path:
    """Convert a download to a file in the cache that is quick to read, and delete it."""
    kept = _files.cache_folder() / f"{name}.params"
    save_weights(kept, convert_file(downloaded, name)[1].arrays)
    downloaded.unlink()
    return kept


def digest(stream: BinaryIO, algorithm: str = "sha256") -> str:
    """Return a file's digest in hexadecimal digits."""
    hashed = hashlib.new(algorithm)
    for block in iter(lambda: stream.read(BLOCK), b""):
        hashed.update(block)
    return hashed.hexdigest()


def _check_store(path: Path, sha1: str) -> None:
    """MXNet publishes no digest of its archives, but one of the file inside."""
    names = zipped_params(path)
    if not names:
        raise ValueError("it is no zip archive with one .params file")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(names[0]) as stream:
            found = digest(stream, "sha1")  # type: ignore[arg-type]
    except BROKEN_ZIP as error:
        raise ValueError(f"a broken zip archive: {error}") from None
    if found != sha1:
        raise ValueError(f"the sha1 of {names[0]} begins with {found[:8]}, that of the published file with {sha1[:8]}")


def _sources(name: str, torchvision: str, timm: str, mxnet: str) -> tuple[Dataset, ...]:
    """Return where a network's weights are published; the digests are SHA-256, SHA-256 and SHA-1."""
    of_torchvision, of_timm, of_mxnet = f"{name}-{torchvision[:8]}.pth", f"{name}.tv_in1k", f"{name}-{mxnet[:8]}.zip"
    check = functools.partial(_check_store, sha1=mxnet)
    hub = f"https://huggingface.co/timm/{of_timm}/resolve/main/model.safetensors"
    store = f"https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/models/{of_mxnet}"
    return (
        Dataset(
            name,
            of_torchvision,
            (f"https://download.pytorch.org/models/{of_torchvision}",),
            f"sha256:{torchvision}",
            OFFLINE,
        ),
        Dataset(name, f"{of_timm}.safetensors", (hub,), f"sha256:{timm}", OFFLINE),
        Dataset(name, of_mxnet, (store,), None, OFFLINE, check),
    )


# The first eight digits of torchvision's digests are in its files' names; timm's are those of the hub's file pages;
# MXNet's are in its gluon/model_zoo/model_store.py.
VGG16_SHA1 = "e660d4569ccb679ec68f1fd3cce07a387252a90a"
VGG19_SHA1 = "ad2f660d101905472b83590b59708b71ea22b2e5"
SOURCES = {
    "vgg16": _sources(
        "vgg16",
        torchvision="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        timm="57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        mxnet=VGG16_SHA1,
    ),
    "vgg19": _sources(
        "vgg19",
        torchvision="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        timm="11aea017b543ff59233749d8f1cf544cda749378f5790d2fedab841fb86b7669",
        mxnet=VGG19_SHA1,
    ),
}
# What MXNet keeps of an archive of its store.
UNPACKED = {
    f"{name}-{sha1[:8]}.zip": Dataset(name, f"{name}-{sha1[:8]}.params", (), f"sha1:{sha1}", OFFLINE)
    for name, sha1 in (("vgg16", VGG16_SHA1), ("vgg19", VGG19_SHA1))
}
