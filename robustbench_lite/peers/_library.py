"""An attack of an installed library: found by its name, its parameters checked against what it takes."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar

from pydantic import Field

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.peers.base import Peer

__all__ = ["Library", "accepted", "filled", "imported", "unknown_args", "version_of"]

_OPEN = inspect.Parameter.VAR_KEYWORD
# what a peer may call what stands beside `args`
_OURS = {
    "eps": "epsilon", "epsilon": "epsilon", "ε": "epsilon", "norm": "norm", "targeted": "target",
    "seed": "the suite's seed", "batch_size": "batch",
}  # fmt: skip


def accepted(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function, or of the constructor of a class."""
    return dict(inspect.signature(function).parameters)


def filled(function: Callable[..., Any], known: Mapping[str, Any], args: Mapping[str, Any]) -> dict[str, Any]:
    """Of what is known that which the function takes, and `args` before it."""
    taken = accepted(function)
    return {name: value for name, value in known.items() if name in taken and value is not None} | dict(args)


def unknown_args(
    title: str, function: Callable[..., Any], args: Mapping[str, Any], given: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """(args, sentence) for each of `args` that the function does not take, or that is `given` to it already."""
    taken = accepted(function)
    free = [name for name, one in taken.items() if name not in given and one.kind != _OPEN]
    for name in args:
        if name in given and name in taken:
            ours = _OURS.get(name, "")
            yield "args", f"args: {title} is given '{name}'" + (f"; say `{ours}` beside args" if ours else " already")
        elif name not in taken and not any(one.kind == _OPEN for one in taken.values()):
            yield "args", f"args: {title} takes no '{name}'{did_you_mean(name, free)}"


@cache
def imported(name: str) -> ModuleType:
    """The module of another library, which leaves every global setting as it was. Raises UsageError."""
    with blamed(f"'{name}' cannot be imported", UsageError, "load"), undisturbed():
        return import_module(name)


@cache
def _installed(module: str) -> bool:
    return find_spec(module) is not None


@cache
def version_of(distribution: str) -> str:
    """As pip has it; empty where that does not know it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


class Library(Peer):
    """An attack of an installed library by its name there."""

    package: ClassVar[str]  # what is imported
    home: ClassVar[str]  # the module whose names are attacks
    distribution: ClassVar[str]  # what pip calls it
    extra: ClassVar[str] = "pip install 'robustbench-lite[peers]'"
    given: ClassVar[frozenset[str]]  # what is passed on from the keys beside `args`

    attack: str = Field(description="Its name in the library.")

    @property
    def title(self) -> str:
        return f"{self.registered}:{self.attack}"

    @property
    def edition(self) -> str:
        return f"{self.package} {version_of(self.distribution)}".strip()

    @abstractmethod
    def known(self) -> Mapping[str, Callable[..., Any]]:
        """Every attack of the library by its name."""

    @abstractmethod
    def bounded(self, code: Callable[..., Any]) -> bool:
        """Whether the attack works within a budget."""

    def code(self) -> Callable[..., Any]:
        """The class or function. Raises UsageError."""
        if not _installed(self.package):
            raise UsageError(f"{self.registered}: {self.package} is not installed; {self.extra} (docs/peers.md)")
        known = self.known()
        if self.attack not in known:
            raise UsageError(f"attack: {self.package} has no attack '{self.attack}'{did_you_mean(self.attack, known)}")
        return known[self.attack]

    def problems(self) -> Iterator[tuple[str, str]]:
        try:
            code = self.code()
        except UsageError as error:
            yield "attack", str(error)
            return
        yield from unknown_args(self.title, code, self.args, self.given)
        if self.bounded(code) and self.epsilon is None:
            yield "attack", f"epsilon: {self.title} works within a budget; state it"
        if not self.bounded(code) and self.epsilon is not None:
            yield "epsilon", f"epsilon: {self.title} takes no budget; leave it out, or it would only be judged by it"
        if self.target is not None and not self.targets(code):
            yield "target", f"target: {self.title} takes no targets"
        yield from self.more_problems(code)

    def targets(self, code: Callable[..., Any]) -> bool:
        """Whether it can be aimed at a class."""
        return "targeted" in accepted(code)

    def more_problems(self, code: Callable[..., Any]) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """What else is wrong, as in `problems`."""
        yield from ()
