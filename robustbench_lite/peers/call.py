"""An attack that is a function of the user's: `call: {function: pkg.mod:attack, trust: true, norm: linf, ...}`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, PrivateAttr, field_validator

from robustbench_lite.engine.card import Card
from robustbench_lite.errors import UsageError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.models.imported import Home
from robustbench_lite.peers._library import accepted, filled, unknown_args
from robustbench_lite.peers.base import Batch, Peer, Proposal, peers

__all__ = ["Call"]

_GIVEN = frozenset({"model", "images", "labels", "targets", "epsilon", "eps", "norm", "seed"})
Function = Callable[..., Any]


@peers.register("call")
class Call(Peer):
    """A function (model, images, labels) that returns images, or images and which of them it takes for successes."""

    card: ClassVar[Card] = Card(
        title="A function of your own",
        paper="none",
        arxiv="0000.00000",
        protocol=(
            "`function(model, images, labels)`; with a target `function(model, images, targets=targets)`. Where it has "
            "such parameters it is given `epsilon` (or `eps`), `norm` and `seed`, too."
        ),
    )

    function: str = Field(description="`package.module:function` or `path/to/file.py:function`.")
    trust: bool = Field(default=False, exclude=True, description="Whether the code that the suite names may run.")
    _code: Function | None = PrivateAttr(None)
    _digest: str = PrivateAttr("")

    @field_validator("function")
    @classmethod
    def _placed(cls, function: str) -> str:
        if not all(function.rpartition(":")):
            raise ValueError(f"expected path/to/file.py:function or package.module:function, got '{function}'")
        return function

    @classmethod
    def of(cls, function: Function, **params: Any) -> Self:
        """The attack that a function at hand is."""
        name = f"{function.__module__}:{function.__qualname__}"
        return cls(function=name, trust=True, **params).having(function, "")

    def at(self, root: Path) -> Self:
        """The same with its function: runs the file that has it, under the suite's folder `root`. Raises UsageError."""
        if not self.trust:
            raise UsageError("'call:' runs code that the suite names; say `trust: true` if you trust it")
        place, _, name = self.function.rpartition(":")
        state = undisturbed() if "torch" in sys.modules else nullcontext()  # `validate` must not load it
        with blamed(f"'{self.function}' cannot be loaded", UsageError, "load"), state, Home(place, root) as home:
            function, digest = home.get(name), home.digest()
        if not callable(function):
            raise UsageError(f"'{self.function}': expected a function, got {function!r}")
        return self.model_copy().having(function, digest)

    def having(self, code: Function, digest: str) -> Self:
        """Itself, with the function and the hash of its sources."""
        self._code, self._digest = code, digest
        return self

    @property
    def title(self) -> str:
        return f"{self.registered}:{self.function.rpartition(':')[2]}"

    @property
    def source(self) -> str:  # type: ignore[override]  # of the class elsewhere
        return self._digest

    @property
    def edition(self) -> str:
        return self.function

    def fingerprint(self) -> str:
        """Names of files do not matter where their contents are known."""
        plain = self.model_copy(update={"function": self.function.rpartition(":")[2]}) if self._digest else self
        return super(Peer, plain).fingerprint()

    def problems(self) -> Iterator[tuple[str, str]]:
        code = self.callee()
        yield from unknown_args(self.title, code, self.args, _GIVEN)
        if self.target is not None and "targets" not in accepted(code):
            yield "target", f"target: {self.title} has no parameter `targets`"

    def propose(self, batch: Batch) -> Proposal:
        code, goal = self.callee(), batch.goal
        known = {"epsilon": self.epsilon, "eps": self.epsilon, "norm": self.norm, "seed": batch.seed}
        if goal.targeted:
            made = code(batch.model, batch.x, **filled(code, known | {"targets": goal.label}, self.args))
        else:
            made = code(batch.model, batch.x, goal.label, **filled(code, known, self.args))
        return Proposal(*made) if isinstance(made, tuple) and len(made) == 2 else Proposal(made)

    def callee(self) -> Function:
        """The function, which is looked up here where nobody has found it before."""
        return self.at(Path.cwd()).callee() if self._code is None else self._code
