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

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

__all__ = [
    "AttackError",
    "BaselineError",
    "DataError",
    "DeviceError",
    "ExitCode",
    "ModelError",
    "NoResultsError",
    "Problem",
    "RobustbenchError",
    "StoreError",
    "SuiteError",
    "UsageError",
    "did_you_mean",
    "nearest",
    "problems_of",
    "suggestion",
]

Steps = tuple[str | int, ...]  # from a record down to the value that is meant
_EXPECTED = "Input should be "
_LITERAL = re.compile(r"'([^']*)'")
# how pydantic calls the branches of a union within a path
_BRANCH = re.compile(r"(literal|tuple|list|nullable|function-\w+)\[.*\]|constrained-\w+|int|float|str|bool|none")


class ExitCode(IntEnum):
    """How a verb ends; every other code is click's or the system's."""

    OK = 0
    FAILED_GATE = 1  # or values that `verify` finds to disagree, or a bracket that fails
    USAGE = 2  # an invalid suite too: nothing was run
    FAILED_CELLS = 3  # all others finished
    BASELINE = 4  # missing or not comparable, or a gate that matched nothing
    INTERNAL = 5
    INTERRUPTED = 130  # what is finished is in the store
    TERMINATED = 143


class RobustbenchError(Exception):
    """Base of every error that ends in a sentence instead of a traceback.

    `stage` is when it happened (load, inspect, attack, judge), `traceback` that of a user's code behind it.
    `next_step` is what to do about any of its kind; `with_next` says what to do about this one.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    next_step: str = "the same command again goes on where it stopped"
    stage = ""
    traceback = ""

    def with_next(self, step: str) -> Self:
        """The same with a next step of its own; empty: it says itself what to do."""
        self.next_step = step
        return self


class UsageError(RobustbenchError):
    exit_code: ClassVar[ExitCode] = ExitCode.USAGE
    next_step = "`robustbench-lite VERB --help` has the options, `robustbench-lite list` the names"


class DataError(UsageError):
    next_step = "mend the data or its entry (docs/datasets.md); `robustbench-lite validate SUITE` checks it"


class ModelError(UsageError):
    next_step = "mend the classifier or its entry (docs/models.md), then run the same command again"


class DeviceError(UsageError):
    next_step = "`robustbench-lite doctor` shows the devices of this machine"


class StoreError(RobustbenchError):
    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    next_step = "mend the folder or name another (docs/reliability.md); what is stored is not run again"


class NoResultsError(StoreError):
    exit_code: ClassVar[ExitCode] = ExitCode.USAGE
    next_step = "name a folder with a whole run in it; `robustbench-lite run SUITE` makes one, and mends one"


class BaselineError(RobustbenchError):
    exit_code: ClassVar[ExitCode] = ExitCode.BASELINE
    next_step = "`robustbench-lite baseline RESULTS -o FILE` writes a new baseline (docs/ci.md)"


class AttackError(RobustbenchError):
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED_CELLS
    next_step = "mend the entry of the attack; `robustbench-lite describe ATTACK` has its parameters"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong at one place. `place` reads `file:line:column`, or names the option."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class SuiteError(UsageError):
    """All problems of a suite at once, in the order of the file."""

    next_step = "mend these; `robustbench-lite validate SUITE` checks it again (docs/suites.md)"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


# what other libraries (foolbox, ART, torchattacks, cleverhans, datasets) call what has another name here
_ALSO = {
    "epsilon": "eps epsilons radius bound budget maxnorm maxperturbation perturbation magnitude xi",
    "step_size": "epsiter epsstep alpha absstepsize relstepsize learningrate lr",
    "lr": "learningrate alpha",
    "steps": "nbiter niter numiter iter iters iterations maxiter maxiters maxiterations maxsteps nsteps numsteps",
    "restarts": "nrestarts numrestarts nbrestarts nrandomrestarts numrandominit randomrestarts",
    "random_start": "randinit randstart randominit randomstart randominitialization",
    "decay": "momentum decayfactor mu",
    "norm": "p ord order lp distance metric",
    "linf": "inf infinity linfinity max chebyshev",
    "l2": "2 euclidean",
    "l1": "1 manhattan",
    "target": "targeted ytarget targetclass targetlabel",
    "clip": "clipmin clipmax clipminmax bounds",
    "samples": "n nsamples numsamples maxsamples nexamples numexamples limit",
    "size": "imagesize imgsize inputsize cropsize crop",
    "resize": "resizesize",
    "labels": "classmap classnames names classtoidx",
    "classes": "numclasses nclasses nbclasses",
    "data": "dataset datasets",
    "models": "model net nets classifier classifiers networks",
    "mean": "means mu",
    "std": "stds sigma stddev",
    "fgsm": "fgm fastgradientmethod fastgradientsignmethod",
    "pgd": "projectedgradientdescent linfpgd l2pgd l1pgd pgdlinf pgdl2 madry",
    "mifgsm": "mim momentumiterativemethod mifgm",
    "universal": "uap universalperturbation universaladversarialperturbation",
    "mnist": "digits",
    "fashion_mnist": "fmnist fashion",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name that is meant, else the list of what is known."""
    names = sorted(known)
    return suggestion(word, names) or (f"; known: {', '.join(names)}" if names else "")


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where it is clear what is meant; else nothing."""
    found = nearest(word, known)
    return f"; did you mean '{found}'?" if found else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that is meant: another spelling, another library's name; empty where that is not clear."""
    names, plain = sorted(known), _plain(word)
    for meant in (lambda name: _plain(name) == plain, lambda name: plain in _ALSO.get(name, "").split(), None):
        close = [name for name in names if meant(name)] if meant else _close(plain, names)
        if close and plain:
            return close[0]
    return ""


def _plain(word: str) -> str:
    return "".join(c for c in word.casefold() if c.isalnum())


def _close(plain: str, names: list[str]) -> list[str]:
    """Names a slip away, the nearest first: `eps` is not a slip of `steps`, nor `pgd` of `fgsm`."""
    found = []
    for name in names:
        other = _plain(name)
        ratio = SequenceMatcher(None, plain, other).ratio()
        begins = len(plain) > 2 and other.startswith(plain)
        swapped = sorted(plain) == sorted(other)
        if begins or swapped or ratio >= (0.7 if plain[:1] == other[:1] else 0.8):
            found.append((-ratio, name))
    return [name for _, name in sorted(found)]


def problems_of(error: ValidationError, record: type[BaseModel]) -> list[tuple[Steps, str]]:
    """Pydantic's complaints as (path within the record, sentence), one each, in our words."""
    problems: list[tuple[Steps, str]] = []
    expected: dict[Steps, list[str]] = {}  # where a value may be one of several things: all of them in one sentence
    for detail in error.errors(include_url=False):
        path: Steps = tuple(part for part in detail["loc"] if not _BRANCH.fullmatch(str(part)))
        key = ".".join(str(part) for part in path)
        if detail["type"] == "extra_forbidden":
            message = f"unknown key '{path[-1]}'{did_you_mean(str(path[-1]), record.model_fields)}"
        elif detail["type"] == "missing":
            message = f"'{key}' is missing"
        elif detail["type"] == "value_error":
            text = str(detail["ctx"]["error"])
            field = text.partition(":")[0]
            if not key and field in record.model_fields:  # about one field, said where all of them are known
                path = (field,)
            message = f"{key + ': ' if key else ''}{text}"
        elif detail["msg"].startswith(_EXPECTED):
            others = expected.setdefault(path, [])
            others.append(detail["msg"].removeprefix(_EXPECTED).split(", unable to parse")[0])
            message = f"{key}: expected {', or '.join(others)}, got {detail['input']!r}"
            message += suggestion(str(detail["input"]), _LITERAL.findall(" ".join(others)))
            if len(others) > 1:
                problems = [problem for problem in problems if problem[0] != path]
        else:
            message = f"{key}: {detail['msg']}, got {detail['input']!r}"
        problems.append((path, message))
    return problems
