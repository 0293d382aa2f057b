"""One process at a time: a lock that goes with the process, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["UnlockableError", "exclusive", "shared"]


class UnlockableError(OSError):
    """The system has no locks for files: there results are read, not written."""


@contextmanager
def exclusive(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, which is created where it is not there; nothing is ever written to it.

    Raises BlockingIOError where another process holds it and nobody wants to `wait`, UnlockableError, OSError.
    """
    with _held(path, alone=True, wait=wait):
        yield


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold it beside others that share it, while nobody has it alone. Raises as `exclusive` does."""
    with _held(path, alone=False, wait=False):
        yield


@contextmanager
def _held(path: Path, *, alone: bool, wait: bool) -> Iterator[None]:
    try:
        import fcntl  # where there is none everything else must work
    except ImportError:
        raise UnlockableError("this system has no file locks (fcntl), as Linux and macOS have") from None
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # no link, no waiting pipe
    with os.fdopen(os.open(path, flags, 0o644), "rb", buffering=0) as file:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
        yield
