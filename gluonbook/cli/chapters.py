"""``gluonbook chapters``, ``gluonbook run`` and ``gluonbook notebook``."""

import importlib.util
import json
import runpy
import shlex
import sys
from pathlib import Path
from typing import Optional

import click

from gluonbook import _files, chapter, notebooks


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
    path = _script(number)
    sys.argv = [str(path), *arguments]
    try:
        runpy.run_path(str(path), run_name="__main__")
    except chapter.ClaimFailed as error:
        hint = "; the flags that were given change what it computes" if arguments else ""
        raise click.ClickException(f"{error}{hint}") from error
    except SystemExit as leave:  # argparse has said what was wrong
        sys.exit(leave.code)


@click.command()
@click.argument("number", type=int)
@click.option("--quick", is_flag=True, help="Smaller settings, for a look within seconds.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="File to write.  [default: the chapter's name, here]"
)
@click.option("--force", is_flag=True, help="Overwrite a notebook that was edited or run.")
def notebook(number: int, quick: bool, out: Optional[Path], force: bool) -> None:
    """Write a chapter as a Jupyter notebook; its second cell holds the chapter's settings.

    Editors such as VS Code open the chapters' scripts themselves as notebooks: they need no conversion.
    """
    script = _script(number)
    path = out or Path(f"{script.stem}.ipynb")
    if path.suffix != ".ipynb":
        raise click.UsageError(f"-o must name a file that ends in .ipynb, got {str(path)!r}")
    text = json.dumps(notebooks.notebook(script, "--quick" if quick else ""), ensure_ascii=False, indent=1) + "\n"
    if path.exists() and not force and path.read_bytes() != text.encode():
        raise click.ClickException(f"{path} is there and holds something else; --force overwrites it")
    _files.write_text(path, text)
    install = "" if importlib.util.find_spec("jupyterlab") else " (after pip install jupyterlab)"
    click.echo(f"{path}\nopen it in an editor such as VS Code, or with: jupyter lab {shlex.quote(str(path))}{install}")


def _script(number: int) -> Path:
    paths = {entry.number: entry.path for entry in chapter.chapters()}
    if number not in paths:
        raise click.UsageError(f"there is no chapter {number}; there are {', '.join(map(str, paths))}")
    return paths[number]
