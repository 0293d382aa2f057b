"""What a suite asks to be proven before anything is attacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from robustbench_lite.registry import Config
from robustbench_lite.trust.certificates.ladder import NORMS, Method

if TYPE_CHECKING:
    from robustbench_lite.engine.attack import Attack

__all__ = ["Certify"]

_VERSION = 1  # of what is proven: part of a cell's id


class Certify(Config):
    """The `certify:` of a suite."""

    method: Method = Field(
        "crown",
        description=(
            "How far to go for a proof, each after what is cheaper: ibp (intervals), crown_ibp, crown (linear bounds "
            "throughout), alpha_crown (their slopes chosen by gradient ascent)."
        ),
    )
    models: tuple[str, ...] | None = Field(
        None, description="The classifiers of which something is to be proven; null: all of the suite."
    )
    skip: bool = Field(
        True, description="Whether attacks leave out what is proven. Then they cannot show that a proof is wrong."
    )

    def covers(self, attack: Attack) -> bool:
        """Whether a proof can say something of an attack: it has a budget in a norm, for images in [0, 1] as such."""
        bounded = attack.budget is not None and attack.threat in NORMS
        return bounded and attack.boxed and attack.under is None and attack.sources is None and _plain(attack)

    def asks(self, attack: Attack, model: str) -> bool:
        """Whether something is to be proven before this attack on this classifier."""
        return self.covers(attack) and (self.models is None or model in self.models)

    def identity(self) -> dict[str, Any]:
        """What of it changes rows."""
        return {"method": self.method, "skip": self.skip, "version": _VERSION}


def _plain(attack: Attack) -> bool:
    """Whether it is about images, not about an object before a camera."""
    return attack.needs is None or bool(attack.images_to_fit)
