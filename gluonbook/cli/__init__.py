"""The ``gluonbook`` command: its groups are imported when they are called, and a mistake is one line and status 2."""

import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Any, Optional

import click

import gluonbook

# name: (module, attribute, what --help says); the modules are imported when the command is used.
COMMANDS = {
    "lyrics": ("gluonbook.cli.lyrics", "lyrics", "Train on song lyrics, write new ones, measure a model."),
    "detect": ("gluonbook.cli.detection", "detect", "Find objects in pictures (files, folders, globs) or in a video."),
    "detect-train": ("gluonbook.cli.detection", "detect_train", "Train a detector on DATA."),
    "launch": ("gluonbook.cli.launch", "launch", "Run a training in several processes, here or over ssh."),
    "weights": ("gluonbook.cli.weights", "weights", "List, fetch and convert the ImageNet weights of VGG networks."),
    "stylize": ("gluonbook.cli.style", "stylize", "Give CONTENT the style of STYLE: two pictures in, a third one out."),
    "chapters": ("gluonbook.cli.chapters", "chapters", "List the chapters: number, title, question, time."),
    "run": ("gluonbook.cli.chapters", "run", "Run a chapter by its number."),
    "notebook": ("gluonbook.cli.chapters", "notebook", "Write a chapter as a Jupyter notebook."),
    "env": ("gluonbook.cli.env", "env", "Print what a bug report needs."),
}
INTERRUPTED = 130
NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # click 8.1 shows the help by itself


class _Commands(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, _, about) in COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere.")
@click.version_option(gluonbook.__version__, message="%(prog)s %(version)s")
def command(debug: bool) -> None:
    """Run the chapters of the notes, and make things with what they teach."""


def main(arguments: Optional[list[str]] = None, complain: Optional[Callable[[str], None]] = None) -> int:
    """Run the command line and return its exit status.

    Args:
        arguments: without the program's name; None takes ``sys.argv``.
        complain: takes the line of an error; None prints it on standard error.

    Returns:
        0; 2 for a mistake of the caller's, which is told in one line; 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    complain = complain or _complain
    launched = "launch" in arguments[:2] and "--" in arguments  # what stands behind -- is for the workers
    own = arguments[: arguments.index("--")] if launched else arguments
    debug = "--debug" in own
    warnings.showwarning = _show_warning
    try:
        words = [word for word in own if word != "--debug"] + arguments[len(own) :]
        return command.main(words, prog_name="gluonbook", standalone_mode=False) or 0
    except click.exceptions.Abort:  # click's word for Ctrl-C
        return INTERRUPTED
    except click.ClickException as error:
        if isinstance(error, NO_ARGUMENTS):
            error.show()
        else:
            complain(error.format_message())
        return 2
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError) as error:
        if debug:
            raise
        complain(str(error) or type(error).__name__)
        return 2
    except RuntimeError as error:  # MXNet's, whose last line says what and whose others say where
        if debug:
            raise
        complain((str(error).strip().splitlines() or [type(error).__name__])[-1])
        return 2


def _complain(message: str) -> None:
    click.echo(f"gluonbook: {message}", err=True)


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    if not issubclass(category, (DeprecationWarning, PendingDeprecationWarning, FutureWarning)):  # of others' code
        _complain(str(message))
