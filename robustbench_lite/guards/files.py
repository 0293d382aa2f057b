"""Files of unknown origin, read only where they are regular ones, and no more of them than is allowed.

A pipe may never answer, /dev/zero never ends, a link may lead to itself. What is refused here is an OSError, so that
whoever reads a file says in its own sentence what it was for.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["RefusedError", "contents", "no_programs", "regular"]

_BLOCK = 2**20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class RefusedError(OSError):
    """A file that is not read, and why."""


def regular(path: Path, most: int | None = None) -> Path:
    """The same path, where it leads to a regular file of at most `most` bytes. Raises OSError.

    For libraries that open files by name; nothing is opened here.
    """
    _check(path.stat(), most)
    return path


def contents(path: Path, most: int) -> bytes:
    """The bytes of a regular file, at most `most` of them. Raises OSError."""
    about = path.stat()
    _check(about, most)
    with path.open("rb") as file:
        data = file.read(about.st_size + 1)
        while len(data) > about.st_size:  # it has grown; those of /proc do not know their size
            more = file.read(_BLOCK)
            data += more
            if len(data) > most:
                raise RefusedError(_too_large(most))
            if not more:
                break
    return data


def no_programs() -> None:
    """Pillow hands PostScript to another program; from now on it does not, for libraries that open any picture."""
    from PIL import EpsImagePlugin

    EpsImagePlugin.gs_binary = False


def _check(found: os.stat_result, most: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((text for is_kind, text in _KINDS if is_kind(found.st_mode)), "something else")
        raise RefusedError(f"expected a regular file, got {kind}")
    if most is not None and found.st_size > most:
        raise RefusedError(_too_large(most))


def _too_large(most: int) -> str:
    return f"larger than {most / 2**20:,.0f} MiB, the most that is read"
