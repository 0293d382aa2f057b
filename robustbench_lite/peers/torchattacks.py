"""Attacks of torchattacks (Kim, https://arxiv.org/abs/2010.01950): `torchattacks:APGD`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.peers._library import Library, accepted, filled, imported
from robustbench_lite.peers.base import Batch, Proposal, peers

__all__ = ["TorchAttacks"]

_NAME = {"l0": "L0", "l1": "L1", "l2": "L2", "linf": "Linf"}


@peers.register("torchattacks")
class TorchAttacks(Library):
    """Any attack of torchattacks, by the name of its class."""

    card: ClassVar[Card] = Card(
        title="Attacks of torchattacks",
        paper="Kim, Torchattacks: A PyTorch Repository for Adversarial Attacks, 2020",
        arxiv="2010.01950",
        protocol="That of the attack. What it claims is what the classifier says of its images.",
    )
    package: ClassVar[str] = "torchattacks"
    home: ClassVar[str] = "torchattacks"
    distribution: ClassVar[str] = "torchattacks"
    given: ClassVar[frozenset[str]] = frozenset({"model", "eps", "norm", "seed", "n_classes"})

    def known(self) -> Mapping[str, Callable[..., Any]]:
        base = imported("torchattacks.attack").Attack
        found = vars(imported(self.home)).items()
        return {name: one for name, one in found if inspect.isclass(one) and issubclass(one, base)}

    def bounded(self, code: Callable[..., Any]) -> bool:
        return "eps" in accepted(code)

    def targets(self, code: Callable[..., Any]) -> bool:  # noqa: ARG002
        return True  # its mode says so, or it raises

    def propose(self, batch: Batch) -> Proposal:
        code, goal = self.code(), batch.goal
        known = {"eps": self.epsilon, "norm": _NAME.get(self.norm or ""), "seed": batch.seed, "n_classes": goal.classes}
        attack = code(batch.model, **filled(code, known, self.args))
        if goal.targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        return Proposal(attack(batch.x, goal.label))
