"""The strongest list of attacks that we have: more targets, losses, restarts and steps than AutoAttack's."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from robustbench_lite.attacks.autoattack import entries
from robustbench_lite.attacks.base import Composition
from robustbench_lite.attacks.cascade import in_turn
from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.registry import Number

__all__ = ["Strongest"]

_LAST = {"apgd": {"loss": "margin", "targets": 9, "steps": 200, "restarts": 5}, "as": "apgd-margin-t"}


@attacks.register("strongest")
class Strongest(Composition):
    """A cascade for the last word on a few samples: AutoAttack, and more of what helps most."""

    card: ClassVar[Card] = Card(
        title="Strongest",
        paper="none: AutoAttack of Croce and Hein, ICML 2020, with more targets, losses, restarts and steps",
        arxiv="2003.01690",
        protocol=(
            "AutoAttack; after its APGDs PGD on the margins to 9 classes, 3 restarts of 100 steps from corner to "
            "corner of the ball by gradients of a smoothed loss; on what all leave APGD on these margins, 5 restarts "
            "of 200 steps."
        ),
    )

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(8 / 255, gt=0, description="Radius of the ball, for images in [0, 1].")

    @property
    def members(self) -> dict[str, Attack]:
        usual = entries("standard", self.norm)  # the smoothed steps after those that need few passes
        return in_turn((*usual[:2], self._smoothed, *usual[2:], _LAST), self.norm, self.epsilon, self.target)

    @property
    def _smoothed(self) -> dict[str, Any]:
        """From corner to corner of the ball with a view far beyond it: what leads off a plateau."""
        targets = 9 if self.target is None else 1
        steps = {"steps": 100, "step_size": 2 * self.epsilon, "smoothing": 8, "restarts": 3}
        return {"pgd": {"loss": "margin", "targets": targets, **steps}, "as": "pgd-smoothed-t"}
