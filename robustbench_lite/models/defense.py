"""What a defence is: something that stands in front of a classifier and shows it other images than it was given.

One per file in `defenses/`. The attacker that knows it goes through it (`stand_in`, the mean over `draws`); one that
does not attacks the classifier behind. How far apart the two numbers are is what a defence hides (Athalye, Carlini and
Wagner, https://arxiv.org/abs/1802.00420).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from robustbench_lite.engine.card import Card
from robustbench_lite.errors import SuiteError, UsageError
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Config, Records, canonical

if TYPE_CHECKING:
    from torch import nn

__all__ = ["By", "Defense", "defenses"]


class Defense(Config, ABC):
    """A frozen record of parameters that is also the algorithm, as attacks are. `version`: as theirs.

    Called with a module, images (N, C, H, W) in [0, 1] to logits (N, K), it gives the module that it defends.
    """

    version: ClassVar[int] = 1
    card: ClassVar[Card]

    @property
    def draws(self) -> int:
        """Views of each image that the classifier is shown; its answer is the mean of its probabilities."""
        return 1

    @property
    def through(self) -> str:
        """How the attacker that knows it goes back through it, in few words: what a note on the cell says."""
        return "gradients go straight through it"

    @abstractmethod
    def see(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """What the classifier is shown in draw `number` of images x (N, C, H, W) in [0, 1], each for itself alone.

        Random numbers depend on the draw alone, so that an image gets the same answer in every batch and every process.
        """

    def stand_in(self, x: torch.Tensor, number: int) -> torch.Tensor | None:  # noqa: ARG002
        """What is differentiated in its place (BPDA), of the same shape; None: `see` gives the gradient itself."""
        return x

    def around(self, net: nn.Module) -> nn.Module:
        """The classifier with the defence in front of it."""
        from robustbench_lite.models.archs.behind import Behind  # its class statement needs torch

        return Behind(net, self)

    def content(self) -> str:
        """A hash of what else it is made of, a generator's weights; empty: of its parameters alone."""
        return ""

    def identity(self) -> str:
        """Everything about it that changes an answer, as text."""
        return canonical([self.registered, self.version, self.params(), self.content()])

    def __call__(self, net: nn.Module) -> nn.Module:
        """The module that it defends, in the mode of `net`. Raises UsageError for what is no module."""
        if not isinstance(net, torch.nn.Module):
            raise UsageError(f"{self.registered}: expected an nn.Module to stand in front of, got {type(net).__name__}")
        return self.around(net).train(net.training)


defenses: Records[Defense] = Records("defence", "robustbench_lite.defenses")


def _built(value: object) -> Defense:
    """The defence of an entry: a name, or {name: parameters}. Raises ValueError."""
    if isinstance(value, Defense):
        return value
    entry = {value: None} if isinstance(value, str) else value
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError(f"expected the name of one defence, or {{name: parameters}}, got {value!r}")
    ((name, params),) = entry.items()
    if params is not None and not isinstance(params, dict):
        raise ValueError(f"expected {{{name}: parameters}} with a mapping of parameters, got {params!r}")
    try:
        return defenses.build(str(name), params)
    except SuiteError as error:
        raise ValueError("; ".join(f"{name}: {problem.message}" for problem in error.problems)) from None


_plain: Callable[[Defense], dict[str, Any]] = lambda value: {value.registered: value.params()}
By = Annotated[
    Defense,
    PlainValidator(_built),
    PlainSerializer(_plain),
    WithJsonSchema({"type": "object", "format": "defense"}),  # written out once, in suite/_shapes.py
]
