"""``gluonbook chapters`` and ``gluonbook run``."""

import runpy
import sys

import click

from gluonbook import chapter


@click.command()
def chapters() -> None:
    """List the chapters: number, title, question, time."""
    for entry in chapter.chapters():
        click.echo(f"{entry.number:>2}  {entry.title}\n    {entry.question}\n    {entry.time}")


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    options_metavar="[--quick] [--out DIR] [--seed N] [--device D] [--show] …",
)
@click.argument("number", type=int)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(number: int, arguments: tuple[str, ...]) -> None:
    """Run a chapter by its number; `gluonbook run 16 --help` lists its own options."""
    paths = {entry.number: entry.path for entry in chapter.chapters()}
    if number not in paths:
        raise click.UsageError(f"there is no chapter {number}; there are {', '.join(map(str, paths))}")
    sys.argv = [str(paths[number]), *arguments]
    try:
        runpy.run_path(str(paths[number]), run_name="__main__")
    except chapter.ClaimFailed as error:
        hint = "; the flags that were given change what it computes" if arguments else ""
        raise click.ClickException(f"{error}{hint}") from error
    except SystemExit as leave:  # argparse has said what was wrong
        sys.exit(leave.code)
