"""``gluonbook launch``: train with several processes."""

import shlex
from pathlib import Path
from typing import Any, Optional

import click

from gluonbook import training
from gluonbook.distributed import launching

Names = tuple[str, ...]


@click.command(context_settings={"allow_interspersed_args": False}, options_metavar="-n WORKERS [OPTIONS]")
@click.option(
    "-n", "--workers", "num_workers", type=click.IntRange(min=1), required=True, help="Workers; each learns its share."
)
@click.option(
    "-s",
    "--servers",
    "num_servers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Servers; the parameters are spread over them.",
)
@click.option(
    "-H", "--hosts", "host_file", metavar="FILE", help="Hosts to use over ssh, one a line: name or name:port."
)
@click.argument("arguments", metavar="-- COMMAND…", nargs=-1, type=click.UNPROCESSED)
def launch(num_workers: int, num_servers: int, host_file: Optional[str], arguments: Names) -> None:
    """Run a training in several processes, here or over ssh: COMMAND is `lyrics train …` or `detect-train …`.

    \b
      gluonbook launch -n 2 -- lyrics train --epochs 10

    The workers share each batch; MXNet's parameter server adds up their gradients. Without -H all run on this machine
    and share its processors. With -H servers and workers are started on the hosts by turns: ssh must let you in without
    a password, and each host needs this folder and this Python by the same paths. MXNet's servers take what anybody
    sends them: use hosts in a network that you trust.

    Worker 0 prints what COMMAND prints. If a worker fails, is killed or falls silent, all are stopped and the status is
    2; after Ctrl-C worker 0 saves, and the status is 130.
    """
    if host_file is not None:
        launching.read_hosts(host_file)
    out = _checked_settings(arguments)["out"]
    again = ["gluonbook", "launch", "-n", str(num_workers), "-s", str(num_servers)]
    again += ["-H", host_file] if host_file is not None else []
    again += ["--", *arguments, *(() if "--resume" in arguments else ("--resume",))]
    try:
        launching.launch(arguments, num_workers, num_servers, host_file, tell=_tell)
    except launching.JobFailed as error:
        go_on = f" Go on with: {shlex.join(again)}" if _can_go_on(out) else ""
        raise click.ClickException(f"{error}; the job was stopped.{go_on}") from error
    except KeyboardInterrupt:
        saved = f"saved in {out}. Go on with: {shlex.join(again)}" if _can_go_on(out) else f"nothing saved in {out}"
        click.echo(f"\nstopped; {saved}", err=True)
        raise


def _checked_settings(arguments: Names) -> dict[str, Any]:
    """Return the settings of the command that the workers run: a wrong flag is told before anything is started."""
    from gluonbook.cli import detection, lyrics

    name = launching.check_command(arguments)
    command = {"lyrics": lyrics.train, "detect-train": detection.detect_train}[name[0]]
    words = [word for word in arguments[len(name) :] if word != "--debug"]
    with command.make_context(" ".join(name), words, parent=click.get_current_context()) as context:
        return context.params


def _can_go_on(out: str) -> bool:
    return (Path(out) / training.CHECKPOINT).exists()


def _tell(line: str) -> None:
    click.echo(line, err=True)
