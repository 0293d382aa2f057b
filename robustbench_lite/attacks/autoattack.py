"""AutoAttack (Croce and Hein, https://arxiv.org/abs/2003.01690): a list of attacks, each on what those before leave."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from robustbench_lite.attacks.base import Composition
from robustbench_lite.attacks.cascade import Entries, in_turn
from robustbench_lite.engine.attack import Attack, attacks
from robustbench_lite.engine.card import Card
from robustbench_lite.registry import Number

__all__ = ["AutoAttack", "entries"]

_EDITIONS: dict[str, Entries] = {
    "standard": (
        {"apgd": {}, "as": "apgd-ce"},
        {"apgd": {"loss": "dlr_targeted"}, "as": "apgd-t"},
        {"fab": {}, "as": "fab-t"},
        "square",
    ),
    "plus": (
        {"apgd": {"restarts": 5}, "as": "apgd-ce"},
        {"apgd": {"loss": "dlr", "restarts": 5}, "as": "apgd-dlr"},
        {"fab": {"restarts": 5}, "as": "fab-t"},
        "square",
        {"apgd": {"loss": "dlr_targeted"}, "as": "apgd-t"},
    ),
    "rand": ({"apgd": {}, "as": "apgd-ce"}, {"apgd": {"loss": "dlr"}, "as": "apgd-dlr"}),
}
_STANDARD_L1: Entries = (  # as in the paper on l1, https://arxiv.org/abs/2103.01208
    {"apgd": {"restarts": 5}, "as": "apgd-ce"},
    {"apgd": {"loss": "dlr_targeted", "targets": 5}, "as": "apgd-t"},
    *_EDITIONS["standard"][2:],
)


def entries(edition: str, norm: str) -> Entries:
    """The attacks of an edition within balls of this norm, in their order."""
    return _STANDARD_L1 if (edition, norm) == ("standard", "l1") else _EDITIONS[edition]


@attacks.register("autoattack")
class AutoAttack(Composition):
    """The ensemble that published robust accuracies are measured with; it has nothing to be tuned."""

    card: ClassVar[Card] = Card(
        title="AutoAttack",
        paper=(
            "Croce and Hein, Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free "
            "attacks, ICML 2020"
        ),
        arxiv="2003.01690",
        protocol=(
            "standard: APGD-CE, APGD-T (DLR, 9 targets), FAB-T (9 targets), Square (5000 queries), 100 steps each, "
            "every one on the samples that those before left. l1: 5 restarts of APGD-CE and 5 targets of APGD-T, as in "
            "Croce and Hein, ICML 2021."
        ),
        deviations=(
            "plus: 5 restarts of FAB-T stand for FAB without targets and FAB-T.",
            "rand: gradients are averaged by `expectation` of the classifier (20 in the paper), not by the attack.",
            "Fewer classes than 4: no DLR; its numerator, the margin, is climbed, and the notes say so. Fewer than 10: "
            "as many targets as there are wrong classes.",
        ),
    )

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm of the ball.")
    epsilon: Number = Field(8 / 255, gt=0, description="Radius of the ball, for images in [0, 1].")
    edition: Literal["standard", "plus", "rand"] = Field(
        "standard",
        description="The paper's version: standard; plus, with more restarts; rand, for classifiers that are random.",
    )

    @property
    def members(self) -> dict[str, Attack]:
        return in_turn(entries(self.edition, self.norm), self.norm, self.epsilon, self.target)
