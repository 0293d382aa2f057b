"""What can go wrong, as a tree. Each leaf knows its exit code; its text is the one sentence that a user reads.

RobustbenchError                5   something that we have a sentence for
├── UsageError                  2   the command line asks for what is not there
│   ├── SuiteError              2   the suite file is wrong: every problem, each with its place
│   ├── DataError               2   a dataset is missing or unreadable
│   ├── ModelError              2   a classifier cannot be loaded, or breaks its contract
│   └── DeviceError             2   a device that this machine lacks
├── StoreError                  5   results cannot be read or written (disk full, foreign file)
│   └── NoResultsError          2   a folder that was named holds no results of that kind
├── BaselineError               4   a baseline is missing or incompatible
└── AttackError                 3   an attack broke its contract: a failed cell, never a success
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = [
    "AttackError",
    "BaselineError",
    "DataError",
    "DeviceError",
    "ModelError",
    "NoResultsError",
    "Problem",
    "RobustbenchError",
    "StoreError",
    "SuiteError",
    "UsageError",
    "did_you_mean",
]


class RobustbenchError(Exception):
    """Base of every error that ends in a sentence instead of a traceback.

    `stage` is when it happened (load, inspect, attack, judge), `traceback` that of a user's code behind it.
    """

    exit_code = 5
    stage = ""
    traceback = ""


class UsageError(RobustbenchError):
    exit_code = 2


class DataError(UsageError):
    pass


class ModelError(UsageError):
    pass


class DeviceError(UsageError):
    pass


class StoreError(RobustbenchError):
    exit_code = 5


class NoResultsError(StoreError):
    exit_code = 2


class BaselineError(RobustbenchError):
    exit_code = 4


class AttackError(RobustbenchError):
    exit_code = 3


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong at one place. `place` reads `file:line:column`, or names the option."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class SuiteError(UsageError):
    """All problems of a suite at once, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known name, else the list of what is known."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(names)}" if names else ""
