"""The strongest list of attacks that we have: more targets, losses, restarts and steps than AutoAttack's."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from robustbench_lite.attacks.autoattack import entries
from robustbench_lite.attacks.base import Composition
from robustbench_lite.attacks.cascade import Entries, in_turn
from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.registry import Number

__all__ = ["Strongest"]

_MORE: Entries = ({"apgd": {"loss": "margin", "targets": 9, "steps": 200, "restarts": 5}, "as": "apgd-margin-t"},)


@attacks.register("strongest")
class Strongest(Composition):
    """A cascade for the last word on a few samples: AutoAttack, and more of what helps most."""

    card: ClassVar[Card] = Card(
        title="Strongest",
        paper="none: AutoAttack of Croce and Hein, ICML 2020, with more targets, losses, restarts and steps",
        arxiv="2003.01690",
        protocol="AutoAttack; on what it leaves APGD on the margins to 9 classes, 5 restarts of 200 steps.",
    )

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(8 / 255, gt=0, description="Radius of the ball, for images in [0, 1].")

    @property
    def members(self) -> dict[str, Attack]:
        return in_turn(entries("standard", self.norm) + _MORE, self.norm, self.epsilon, self.target)
