"""``gluonbook stylize``."""

import json
import re
import shlex
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, Optional

import click
import numpy as np

from gluonbook import runs, training
from gluonbook.cli._shared import Flags, flags, take_saved
from gluonbook.data.pictures import WHITE, find_pictures, read_picture
from gluonbook.style import pictures, sheets, transfer

SOME_FAILED = 1
SMALLER = 4  # times: the first stage of --size, as in the notes
SHEET = "contact_sheet.png"


class Sizes(click.ParamType):
    """``300x200`` or several with commas, as (width, height) in pixels."""

    name = "WxH[,WxH…]"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        parts = value.split(",")
        found = [re.fullmatch(r"\s*([0-9]+)[xX×]([0-9]+)\s*", part) for part in parts]
        if not all(found):
            self.fail(f"expected WIDTHxHEIGHT such as 1200x800, got {value!r}", param, ctx)
        return [(int(match[1]), int(match[2])) for match in found if match]


class Counts(click.ParamType):
    """``80`` or several with commas."""

    name = "N[,N…]"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return [int(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"expected a whole number, or several with commas, got {value!r}", param, ctx)


class Colour(click.ParamType):
    """``#rrggbb``, or a name that Pillow knows."""

    name = "COLOUR"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        from PIL import ImageColor

        if not isinstance(value, str):
            return value
        try:
            return ImageColor.getrgb(value)[:3]
        except ValueError:
            self.fail(f"expected a colour such as white or #f4ecd8, got {value!r}", param, ctx)


STYLIZE_FLAGS: Flags = {
    "features": ("--features", str, "random, vgg19, vgg16, or a FILE of such weights."),
    "content_weight": ("--content-weight", float, "Of the content loss; what suits the features if not given."),
    "style_weight": ("--style-weight", float, "Of the style loss."),
    "tv_weight": ("--tv-weight", float, "Of the total variation: more is smoother."),
    "steps": ("--steps", Counts(), "Steps of each stage, or one number for all."),
    "optimizer": ("--optimizer", click.Choice(list(transfer.OPTIMIZERS)), "L-BFGS, or Adam with the book's settings."),
    "keep_colors": ("--keep-colors", None, "The style changes luminance only."),
    "stretch": ("--stretch", None, "Take the sizes exactly, whatever the content's aspect ratio."),
    "preview_every": ("--preview-every", int, "Steps between previews, which are checkpoints too; 0 for none."),
    "seed": ("--seed", int, "Of the random filters."),
    "device": ("--device", str, "auto, cpu, gpu(0)."),
    "gif": ("--gif", click.Path(dir_okay=False), "Write the way from content to result."),
    "resume": ("--resume", None, "Go on with what was stopped, with its settings."),
}


@click.command()
@click.argument("content")
@click.argument("style")
@click.option("-o", "--out", required=True, type=click.Path(), help="Picture to write; a folder for several.")
@click.option("--size", type=Sizes(), help="Of the result: two stages, the first four times smaller.")
@click.option(
    "--stages",
    type=Sizes(),
    default=transfer.NOTES_STAGES,
    show_default=",".join(f"{width}x{height}" for width, height in transfer.NOTES_STAGES),
    help="Sizes from coarse to fine; the content is fitted into each.",
)
@flags(transfer.stylize, STYLIZE_FLAGS)
@click.option("--blend", multiple=True, metavar="PICTURE[:WEIGHT]", help="A further style; may be repeated.")
@click.option(
    "--mask",
    "masks",
    multiple=True,
    metavar="PICTURE",
    help="Where STYLE acts (white), then each --blend; the last one takes the rest.",
)
@click.option("--background", type=Colour(), default="white", show_default=True, help="Under transparent pictures.")
@click.pass_context
def stylize(
    context: click.Context, content: str, style: str, out: str, size: Any, blend: tuple[str, ...],
    masks: tuple[str, ...], background: Any, resume: bool, gif: Optional[str], **settings: Any,
) -> int:  # fmt: skip
    """Give CONTENT the style of STYLE: two pictures, or folders of them for every content in every style.

    Writes the picture, with its settings inside where it is a PNG, and NAME.losses.png beside it; of folders, a contact
    sheet, too.
    """
    if size is not None:
        if context.get_parameter_source("stages") == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("give --size or --stages, not both")
        if len(size) != 1:
            raise click.UsageError("--size is one size; several are --stages")
    contents, styles = find_pictures([content]), find_pictures([style])
    if len(contents) * len(styles) == 1 and not Path(content).is_dir() and not Path(style).is_dir():
        path = Path(out)
        _check_format(path)
        written = [path, _figure_of(path), *([Path(gif)] if gif else [])]
        _check_out(written, [*contents, *styles, *(Path(_split(entry)[0]) for entry in blend), *map(Path, masks)])
        if resume and (folder := transfer.run_folder(path)).is_dir():
            take_saved(context, settings, runs.saved_recipe(folder))
        sources, picture = read_styles(styles[0], blend, masks, background), read_picture(contents[0], background)
        if size is not None:
            settings["stages"] = _stages(size[0], picture.shape, settings["stretch"])
        _one(picture, sources, path, resume, gif, settings, sys.argv[1:])
        return 0
    if blend or masks or gif:
        raise click.UsageError("--blend, --mask and --gif go with one content and one style, not with folders")
    given = {name for name in settings if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE}
    if size is not None:
        given.add("stages")
    return _all(contents, styles, Path(out), resume, background, size, settings, given)


def _stages(size: tuple[int, int], shape: tuple[int, ...], stretch: bool) -> list[tuple[int, int]]:
    """Return the stages of --size for a content of a shape: two, or one where the first would be too small."""
    smaller = size[0] // SMALLER, size[1] // SMALLER
    fits = min(pictures.fit_size(shape, smaller, stretch)) >= transfer.LEAST_SIDE
    return [smaller, size] if fits else [size]


def _check_format(path: Path) -> None:
    if path.suffix.lower() not in pictures.FORMATS:
        raise click.UsageError(f"{path} must end in one of {', '.join(pictures.FORMATS)}")


def _check_out(written: Sequence[Path], read: Sequence[Path]) -> None:
    places = {other.resolve(): "overwrite a picture that is read" for other in read if other.exists()}
    for path in written:
        if path.resolve() in places:
            raise click.UsageError(f"{path} would {places[path.resolve()]}: give another place")
        places[path.resolve()] = "be written twice"


def read_styles(
    style: Path, blend: Sequence[str], masks: Sequence[str], background: tuple[int, int, int] = WHITE
) -> list[transfer.StylePicture]:
    """Read the styles of a transfer and where each acts.

    Args:
        style: the first picture.
        blend: further ones, ``"PICTURE"`` or ``"PICTURE:WEIGHT"``; the first has weight 1.
        masks: grey pictures, white where a style acts: none, one a style, or one fewer: the last style takes the rest.
        background: RGB under transparent pictures.

    Raises:
        ValueError: there is another number of masks, they differ in size, or a picture cannot be read.
    """
    places = [(str(style), 1.0), *map(_split, blend)]
    regions = [read_picture(mask, (0, 0, 0)).mean(2).round().astype(np.uint8) for mask in masks]
    if len({region.shape for region in regions}) > 1:
        raise ValueError(f"masks must be of one size, got {' and '.join(sorted({str(r.shape) for r in regions}))}")
    if regions and len(regions) == len(places) - 1:
        covered = np.sum([region.astype(int) for region in regions], axis=0).clip(0, 255)
        regions.append((255 - covered).astype(np.uint8))
    if regions and len(regions) != len(places):
        raise ValueError(f"{len(places)} styles take {len(places)} masks or one fewer, got {len(masks)}")
    regions = regions or [None] * len(places)
    return [
        transfer.StylePicture(read_picture(place, background), weight, mask)
        for (place, weight), mask in zip(places, regions)
    ]


def _split(entry: str) -> tuple[str, float]:
    """Take PICTURE:WEIGHT apart; a name may hold colons itself."""
    if Path(entry).exists():
        return entry, 1.0
    place, colon, weight = entry.rpartition(":")
    try:
        return (place, float(weight)) if colon else (entry, 1.0)
    except ValueError:
        return entry, 1.0


def _one(
    content: np.ndarray, styles: list[transfer.StylePicture], out: Path, resume: bool, gif: Optional[str],
    settings: dict[str, Any], command: Sequence[str],
) -> transfer.Stylized:  # fmt: skip
    start = time.perf_counter()
    try:
        result = transfer.stylize(
            content, styles, out, resume=resume, gif=gif, progress=True, tell=click.echo, **settings
        )
    except KeyboardInterrupt:
        again = shlex.join(["gluonbook", *(word for word in command if word != "--resume"), "--resume"])
        saved = (transfer.run_folder(out) / training.CHECKPOINT).exists()
        told = f"the picture so far is {out}. Go on with: {again}" if saved else "nothing was made yet"
        click.echo(f"\nstopped; {told}", err=True)
        raise
    figures = [write_losses(result.history, out)] if result.history else []
    height, width = result.picture.shape[:2]
    losses = ", ".join(f"{name} {value:.3g}" for name, value in result.settings.get("losses", {}).items())
    click.echo(f"{width}x{height} in {time.perf_counter() - start:.1f} s; losses: {losses or 'least at the content'}")
    for path in (out, *figures, *([Path(gif)] if gif else [])):
        click.echo(f"  {path}")
    return result


def write_losses(history: Sequence[dict[str, Any]], out: Path) -> Path:
    """Write the figure of a transfer's losses beside its picture and return its path."""
    import matplotlib

    from gluonbook import plot

    matplotlib.use("agg")
    path = _figure_of(out)
    ax = plot.transfer_losses(history)
    plot.save(ax.figure, path)
    return path


def _figure_of(out: Path) -> Path:
    return out.with_suffix(".losses.png")


def _all(
    contents: Sequence[Path], styles: Sequence[Path], out: Path, resume: bool, background: Any, size: Any,
    settings: dict[str, Any], given: set[str],
) -> int:  # fmt: skip
    """Write every content in every style and a contact sheet; what cannot be read is told, and the others go on."""
    if out.suffix.lower() in pictures.FORMATS:
        raise click.UsageError(f"{out} is a file's name: {len(contents) * len(styles)} pictures need a folder (-o)")
    targets = dict(zip(product(contents, styles), _targets(contents, styles, out)))
    _check_out([out / SHEET, *targets.values(), *map(_figure_of, targets.values())], [*contents, *styles])
    read = {path: _readable(path, background) for path in (*contents, *styles)}
    results = {}
    for (content, style), path in targets.items():
        first, second = read[content], read[style]
        if first is None or second is None:
            continue
        own = dict(settings)
        if size is not None:
            own["stages"] = _stages(size[0], first.shape, settings["stretch"])
        if resume and _is_finished(path, own, given):
            click.echo(f"{path} is finished")
            results[content, style] = read_picture(path)
            continue
        click.echo(f"{content} in the style of {style}")
        folder = transfer.run_folder(path)
        going_on = resume and (folder / training.CHECKPOINT).exists()
        try:
            if going_on:
                own.update({name: value for name, value in runs.saved_recipe(folder).items() if name not in given})
            sources = [transfer.StylePicture(second)]
            results[content, style] = _one(first, sources, path, going_on, None, own, sys.argv[1:]).picture
        except (ValueError, ArithmeticError, MemoryError) as error:
            click.echo(f"gluonbook: {path}: {error}", err=True)
    sheet = sheets.contact_sheet(
        [read[path] for path in contents],
        [read[path] for path in styles],
        {(contents.index(content), styles.index(style)): picture for (content, style), picture in results.items()},
    )
    pictures.write_picture(out / SHEET, sheet, {})
    failed = len(targets) - len(results)
    click.echo(f"{len(results)} of {len(targets)} pictures made, {failed} failed\n  {out / SHEET}")
    if not results:
        return 2
    return SOME_FAILED if failed else 0


def _readable(path: Path, background: Any) -> Optional[np.ndarray]:
    try:
        return read_picture(path, background)
    except (ValueError, OSError) as error:
        click.echo(f"gluonbook: {error}", err=True)
        return None


def _targets(contents: Sequence[Path], styles: Sequence[Path], out: Path) -> list[Path]:
    """Name a picture of each content in each style; of two alike the second gets a number."""
    names: list[str] = []
    for content, style in product(contents, styles):
        name = wanted = f"{content.stem}-{style.stem}"
        number = 2
        while name.lower() in [taken.lower() for taken in names]:
            name, number = f"{wanted}-{number}", number + 1
        names.append(name)
    return [out / f"{name}.png" for name in names]


def _is_finished(path: Path, settings: dict[str, Any], given: set[str]) -> bool:
    """Say whether a picture was made with the settings that were given."""
    made = pictures.read_settings(path)
    wanted = json.loads(json.dumps({name: settings[name] for name in given if name in transfer.RECIPE}))
    if len(wanted.get("steps", ())) == 1:
        wanted["steps"] *= len(made.get("stages", ()))
    return bool(made.get("finished")) and all(made.get(name) == value for name, value in wanted.items())
