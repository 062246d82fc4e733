"""``gluonbook weights``: list, fetch, convert."""

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import click

from gluonbook.weights import files, sources, vgg


@click.group()
def weights() -> None:
    """List, fetch and convert the ImageNet weights of VGG networks."""


@weights.command("list")
def list_() -> None:
    """Say which weights are on this machine, and where each is published."""
    for name in vgg.ARCHITECTURES:
        there = [place for place in sources.places_of(name) if place.path.is_file()]
        click.echo(f"{name:<8}{there[0].path} ({there[0].what})" if there else f"{name:<8}not on this machine")
        for dataset in sources.SOURCES.get(name, ()):
            for url in dataset.urls:
                click.echo(f"{'':<8}{url}")


@weights.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Download NAME, vgg16 or vgg19, unless it is on this machine, and convert it."""
    path = sources.find_weights(name)
    click.echo(path)
    click.echo(f"SHA-256  {_digest(path)}")
    _tell(sources.convert_file(path, name)[1])


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--arch", help="vgg16 or vgg19; told by the file's entries if not given.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help=".params file to write.")
def convert(file: Path, arch: Optional[str], out: Path) -> None:
    """Convert FILE, a .params, .safetensors or .pth of others, to a .params that Gluon's VGG loads."""
    file, out = file.expanduser(), out.expanduser()
    if out.exists() and file.exists() and out.samefile(file):
        raise ValueError(f"{out} would overwrite the file that is read: give another place (-o)")
    if out.is_dir():
        raise ValueError(f"{out} is a folder: give the name of a file to write (-o)")
    told, converted = sources.convert_file(file, arch)
    files.save_weights(out, converted.arrays)
    click.echo(f"{file}: {files.format_of(file)}, SHA-256 {_digest(file)}")
    click.echo(f"network  {told}{'' if arch else ', as its entries tell'}")
    _tell(converted)
    click.echo(f"{out}: SHA-256 {_digest(out)}")


def _tell(converted: vgg.Converted) -> None:
    click.echo(f"taken    {len(converted.arrays)} arrays")
    for what, names in (("missing", converted.missing), ("surplus", converted.surplus)):
        _tell_names(what, names)


def _tell_names(what: str, names: Sequence[str]) -> None:
    click.echo(f"{what:<9}{len(names) or 'none'}")
    for name in names:
        click.echo(f"{'':<9}{name}")


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return sources.digest(stream)
