"""Attacks of adversarial-library (https://github.com/jeromerony/adversarial-library): `adv_lib:alma`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.peers._library import Library, accepted, filled, imported
from robustbench_lite.peers.base import Batch, Proposal, peers

__all__ = ["AdvLib"]

_ORDER = {"l0": 0, "l1": 1, "l2": 2, "linf": float("inf")}
_BUDGETS = ("eps", "ε")  # those that have to be given: `tr` and `fab` call something else so


@peers.register("adv_lib")
class AdvLib(Library):
    """Any attack of adversarial-library, by the name of its function."""

    card: ClassVar[Card] = Card(
        title="Attacks of adversarial-library",
        paper="Rony et al., Augmented Lagrangian Adversarial Attacks, ICCV 2021, and others",
        arxiv="2011.11857",
        protocol="That of the attack. What it claims is what the classifier says of its images.",
    )
    package: ClassVar[str] = "adv_lib"
    home: ClassVar[str] = "adv_lib.attacks"
    distribution: ClassVar[str] = "adv-lib"
    extra: ClassVar[str] = "pip install --no-deps adv-lib, and what it imports"
    given: ClassVar[frozenset[str]] = frozenset(
        {"model", "inputs", "images", "labels", "norm", "distance", "p", "targeted", "num_classes"}
    )

    def known(self) -> Mapping[str, Callable[..., Any]]:
        return {name: one for name, one in vars(imported(self.home)).items() if inspect.isfunction(one)}

    def bounded(self, code: Callable[..., Any]) -> bool:
        return any(name in _BUDGETS and one.default is one.empty for name, one in accepted(code).items())

    def propose(self, batch: Batch) -> Proposal:
        code, goal = self.code(), batch.goal
        known = {"norm": _ORDER.get(self.norm or ""), "p": _ORDER.get(self.norm or ""), "distance": self.norm}
        known |= {"targeted": goal.targeted, "num_classes": goal.classes}
        if self.bounded(code):
            known |= dict.fromkeys(_BUDGETS, self.epsilon)
        return Proposal(code(batch.model, batch.x, goal.label, **filled(code, known, self.args)))
