"""Attacks of foolbox (Rauber et al., https://arxiv.org/abs/1707.04131): `foolbox:LinfPGD`, `foolbox:DDN`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.peers._library import Library, filled, imported
from robustbench_lite.peers.base import Batch, Proposal, peers

__all__ = ["Foolbox"]

_ORDER = {"l0": 0, "l1": 1, "l2": 2, "linf": float("inf")}
_ENDING = "Attack"  # foolbox:DDN is DDNAttack


@peers.register("foolbox")
class Foolbox(Library):
    """Any attack of foolbox, by the name of its class, with or without `Attack` at its end."""

    card: ClassVar[Card] = Card(
        title="Attacks of foolbox",
        paper="Rauber et al., Foolbox: A Python toolbox to benchmark the robustness of machine learning models, 2017",
        arxiv="1707.04131",
        protocol="That of the attack. What it claims is its `is_adv`, on what it has clipped.",
    )
    package: ClassVar[str] = "foolbox"
    home: ClassVar[str] = "foolbox.attacks"
    distribution: ClassVar[str] = "foolbox"
    given: ClassVar[frozenset[str]] = frozenset({"distance"})

    def known(self) -> Mapping[str, Callable[..., Any]]:
        home, base = imported(self.home), imported("foolbox.attacks.base").Attack
        found = {
            name: one
            for name, one in vars(home).items()
            if inspect.isclass(one) and issubclass(one, base) and not inspect.isabstract(one)
        }
        return {name.removesuffix(_ENDING): one for name, one in found.items()} | found

    def bounded(self, code: Callable[..., Any]) -> bool:
        return isinstance(code, type) and issubclass(code, imported("foolbox.attacks.base").FixedEpsilonAttack)

    def targets(self, code: Callable[..., Any]) -> bool:  # noqa: ARG002
        return True  # its criterion says so, or it raises

    def more_problems(self, code: Callable[..., Any]) -> Iterator[tuple[str, str]]:
        try:
            order = getattr(self._built(code).distance, "p", None)
        except Exception:  # noqa: BLE001  (it is told when the attack runs)
            return
        own = next((name for name, value in _ORDER.items() if value == order), None)
        if own is not None and own != self.norm:
            yield "norm", f"norm: {self.title} measures {own}, got {self.norm}"

    def propose(self, batch: Batch) -> Proposal:
        foolbox, attack = imported(self.package), self._built(self.code())
        model = foolbox.PyTorchModel(batch.model, bounds=(0, 1), device=batch.x.device)
        kind = foolbox.criteria.TargetedMisclassification if batch.goal.targeted else foolbox.criteria.Misclassification
        measured = isinstance(attack, imported("foolbox.attacks.base").AttackWithDistance)
        more = {"epsilons": self.epsilon} if measured else {}
        _, images, claimed = attack(model, batch.x, kind(batch.goal.label), **more)
        return Proposal(images, claimed)

    def _built(self, code: Callable[..., Any]) -> Any:
        distances = imported("foolbox.distances")
        own = None if self.norm is None else distances.LpDistance(_ORDER[self.norm])
        return code(**filled(code, {"distance": own}, self.args))
