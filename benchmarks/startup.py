"""What a user waits for before anything is computed: imports and help, each in a fresh process.

    python benchmarks/startup.py [--rounds 7]

The ways of a job take turns; ``python`` is an interpreter that does nothing, and is in every other time.
"""

import subprocess
import sys

from measuring import LEAST_ROUNDS, OWN, Figure, Way, alternate, has_torch, main, timed

HELP_BOUND = 0.5  # seconds


def figures(rounds: int = LEAST_ROUNDS) -> list[Figure]:
    """Measure imports and help."""
    nothing = {"python": python("-c", "pass")}
    torch = {"PyTorch": python("-c", "import torch")} if has_torch() else {}
    imported = {
        OWN: python("-c", "import gluonbook"),
        "MXNet, by gluonbook": python("-c", "from gluonbook import _mxnet; _mxnet.load()"),
        **torch,
        **nothing,
    }
    found = [Figure("import", alternate(imported, rounds), note="`import gluonbook` does not import MXNet")]
    for words in (["--help"], ["lyrics", "--help"]):
        ways = {OWN: python("-m", "gluonbook", *words), **nothing}
        found.append(Figure(f"gluonbook {' '.join(words)}", alternate(ways, rounds), bound=HELP_BOUND))
    return found


def python(*arguments: str) -> Way:
    """Return a fresh interpreter as a way."""
    command = [sys.executable, *arguments]
    return timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True))


if __name__ == "__main__":
    main(figures, __doc__ or "")
