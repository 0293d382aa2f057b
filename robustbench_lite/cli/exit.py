"""How the command line ends: which exit code, and what is said on stderr."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

import click

from robustbench_lite.errors import ExitCode, RobustbenchError, SuiteError, UsageError
from robustbench_lite.guards.limits import Stopped
from robustbench_lite.text import lines, plural

__all__ = ["exit_code", "say", "write"]


def say(text: str) -> None:
    """Text of unknown origin on stderr: what it would do to a terminal is seen instead of done."""
    click.echo(lines(text), err=True)


def exit_code(work: Callable[[], int | None]) -> int:
    """The exit code of some work; whatever it raises becomes a sentence, and a bug its traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with redirect_stdout(cast("TextIO", _Patient(sys.stdout))):
            code = work() or 0
    except (click.ClickException, click.Abort) as error:
        code = _refuse(error)
    except RobustbenchError as error:
        code = _told(error)
    except SystemExit as error:
        code = _ended(error)
    except Stopped:
        say("terminated; finished cells are in the store, the same command goes on from there")
        code = ExitCode.TERMINATED
    except Exception:  # noqa: BLE001  (a bug prints its traceback and says that it is one)
        say(f"{traceback.format_exc()}internal error: this is a bug of robustbench_lite; please report the lines above")
        code = ExitCode.INTERNAL
    return code


class _Patient:
    """A stream that goes on where nobody reads it any more: `run | head` runs to its end, `check | true` has a verdict.

    click would end the program with 1 there, which says that a gate has failed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._unheard():
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._unheard():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:  # what is still in the buffer goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def write(path: Path, content: str | bytes) -> None:
    """Replace a file, whole or not at all. Raises UsageError."""
    from robustbench_lite.results.sealed import write_bytes, write_text

    try:
        write_text(path, content) if isinstance(content, str) else write_bytes(path, content)
    except OSError as error:
        step = "the same command with another place (`-o`), or with leave to write there"
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})").with_next(step) from None


def _terminated(_: int, __: FrameType | None) -> NoReturn:
    raise Stopped


def _told(error: RobustbenchError) -> int:
    if isinstance(error, SuiteError):
        say(f"{error}\n{plural(len(error.problems), 'problem')}; nothing was run")
    else:
        say(f"error: {error}")
    if error.next_step and "`robustbench-lite " not in str(error):  # which says it better for this very case
        say(f"next: {error.next_step}")
    return error.exit_code


def _ended(error: SystemExit) -> int:
    """The code of a verb that says how it went; none of them says that with 0."""
    if isinstance(error.code, int) and error.code:
        return error.code
    say("error: code that the suite names ended the program; what it was asked for was not done")
    return ExitCode.FAILED_CELLS


def _refuse(error: click.ClickException | click.Abort) -> int:
    if isinstance(error, click.Abort):  # what click makes of a KeyboardInterrupt
        say("interrupted; finished cells are in the store, the same command goes on from there")
        return ExitCode.INTERRUPTED
    shown = io.StringIO()
    error.show(shown)
    say(shown.getvalue().rstrip("\n"))
    return ExitCode.USAGE if isinstance(error, click.UsageError) else error.exit_code
