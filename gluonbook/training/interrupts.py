"""Ctrl-C, held back until the code asks for it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def interruptible() -> Iterator[Any]:
    """Hold Ctrl-C back until the code asks for it.

    Python forgets a KeyboardInterrupt that is raised while an array is being freed, and elsewhere it may come between
    two lines that belong together.

    Yields:
        a function that raises the KeyboardInterrupt that came since. A second Ctrl-C does not wait for it. Where the
        code runs in another thread, or somebody else handles Ctrl-C, it does nothing.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: None
        return
    pressed: list[int] = []

    def hold(number: int, frame: Any) -> None:
        if pressed:
            signal.default_int_handler(number, frame)
        pressed.append(number)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, hold)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    check()
