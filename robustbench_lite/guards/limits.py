"""What user code may take: seconds; and whose interrupt it is.

A signal reaches Python between two steps of its own, so that an endless loop, a sleep, a lock or a wait for another
process end in time. One call of native code that never comes back is not interrupted.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from robustbench_lite.errors import UsageError

__all__ = ["Interrupted", "Overtime", "Stopped", "limited", "listening"]

_AGAIN = 1.0  # seconds after which it is said again, to code that did not want to hear it
_SOON = 1e-3


class Interrupted(KeyboardInterrupt):
    """Somebody has pressed Ctrl-C: unlike a KeyboardInterrupt that user code has raised."""


class Stopped(BaseException):
    """SIGTERM, as an exception, so that what is written is whole."""


class Overtime(BaseException):
    """The time is over. No Exception, so that user code does not catch it by the way."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"took longer than {seconds:g} s, the limit that `timeout` or --cell-timeout sets")


@contextmanager
def limited(seconds: float | None) -> Iterator[None]:
    """Raise Overtime in what takes longer; null: for as long as it takes. Limits may lie inside each other.

    Raises UsageError in another thread than the main one, where nothing can be interrupted.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        raise UsageError("a time limit of cells needs the main thread, and a system with timers")
    running = True

    def over(_: int, __: FrameType | None) -> None:
        if running:
            raise Overtime(seconds)

    start, before = time.monotonic(), signal.signal(signal.SIGALRM, over)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # a limit around this one
            signal.setitimer(signal.ITIMER_REAL, max(_SOON, left - (time.monotonic() - start)), interval)


@contextmanager
def listening() -> Iterator[None]:
    """Ctrl-C raises Interrupted; in other threads, and where somebody else listens, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


def _interrupted(_: int, __: FrameType | None) -> NoReturn:
    raise Interrupted
