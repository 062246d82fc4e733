"""What the groups of the command line share: flags taken from Python functions, settings of a resumed run."""

import inspect
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from gluonbook import training

KVSTORE_HELP = "How workers that gluonbook launch started train together; there dist_sync by default."
Flags = dict[str, tuple[str, Any, str]]  # parameter of a function: flag, type (None for a switch), help


def flags(function: Callable[..., Any], table: Flags, multiple: Sequence[str] = ()) -> Callable[..., Any]:
    """Decorate a command with a function's parameters as flags, each with the function's own default.

    Args:
        function: whose parameters they are.
        table: the flags, in the order of the help.
        multiple: parameters whose flag may be repeated.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for parameter, (flag, kind, about) in reversed(table.items()):
            default = inspect.signature(function).parameters[parameter].default
            shape: dict[str, Any] = {"is_flag": True} if kind is None else {"type": kind, "default": default}
            if parameter in multiple:
                shape["multiple"] = True
            command = click.option(flag, parameter, help=about, show_default=default is not None, **shape)(command)
        return command

    return decorate


def take_saved(context: click.Context, settings: dict[str, Any], recipe: dict[str, Any]) -> None:
    """Take a checkpoint's settings where the user gave none: a flag that is given and differs is refused later."""
    for name, value in recipe.items():
        if context.get_parameter_source(name) != click.core.ParameterSource.COMMANDLINE:
            settings[name] = value


def tell_stopped(out: str, command: Sequence[str]) -> None:
    """Say after Ctrl-C what was saved and which command goes on."""
    if (Path(out) / training.CHECKPOINT).exists():
        again = shlex.join(["gluonbook", *command, "--out", str(out), "--resume"])
        click.echo(f"\nstopped; saved in {out}. Go on with: {again}", err=True)
    else:
        click.echo("\nstopped in the first epoch: nothing to save", err=True)
