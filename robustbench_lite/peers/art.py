"""Attacks of the Adversarial Robustness Toolbox (Nicolae et al., https://arxiv.org/abs/1807.01069): `art:DeepFool`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from robustbench_lite.engine.card import Card
from robustbench_lite.lazy import torch
from robustbench_lite.peers._library import Library, accepted, filled, imported
from robustbench_lite.peers.base import Batch, Proposal, peers

__all__ = ["ART"]

_ORDER = {"l0": 0, "l1": 1, "l2": 2, "linf": float("inf")}


@peers.register("art")
class ART(Library):
    """Any evasion attack of the Adversarial Robustness Toolbox, by the name of its class."""

    card: ClassVar[Card] = Card(
        title="Attacks of the Adversarial Robustness Toolbox",
        paper="Nicolae et al., Adversarial Robustness Toolbox v1.0.0, 2018",
        arxiv="1807.01069",
        protocol="That of the attack. What it claims is what the classifier says of its images.",
    )
    package: ClassVar[str] = "art"
    home: ClassVar[str] = "art.attacks.evasion"
    distribution: ClassVar[str] = "adversarial-robustness-toolbox"
    given: ClassVar[frozenset[str]] = frozenset(
        {"eps", "norm", "targeted", "batch_size", "verbose", "estimator", "classifier"}
    )

    def known(self) -> Mapping[str, Callable[..., Any]]:
        base = imported("art.attacks.attack").EvasionAttack
        found = vars(imported(self.home)).items()
        return {name: one for name, one in found if inspect.isclass(one) and issubclass(one, base)}

    def bounded(self, code: Callable[..., Any]) -> bool:
        return "eps" in accepted(code)

    def propose(self, batch: Batch) -> Proposal:
        code, goal = self.code(), batch.goal
        estimator = imported("art.estimators.classification").PyTorchClassifier(
            batch.model,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=tuple(batch.x.shape[1:]),
            nb_classes=goal.classes,
            clip_values=(0.0, 1.0),
            device_type="cpu" if batch.x.device.type == "cpu" else "gpu",
        )
        known = {"eps": self.epsilon, "norm": _ORDER.get(self.norm or ""), "batch_size": len(batch.x), "verbose": False}
        attack = code(estimator, **filled(code, known | {"targeted": goal.targeted}, self.args))
        return Proposal(attack.generate(batch.x.cpu().numpy(), goal.label.cpu().numpy()))
