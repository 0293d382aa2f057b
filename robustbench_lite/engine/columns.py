"""A judged outcome as rows: the columns of SAMPLES, a row per sample and scored classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.certificate import Certificate
from robustbench_lite.engine.drive import Outcome
from robustbench_lite.engine.judge import Verdicts, rank
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical
from robustbench_lite.results.schema import Row
from robustbench_lite.threat.goal import Goal

__all__ = ["Scored", "Written", "called"]


@dataclass
class Scored:
    """One target's view of the candidates; everything has a row per sample."""

    target: str  # what the classifier is called
    weights: str | None  # content hash of it; null: not taken
    clean: torch.Tensor
    goal: Goal
    verdicts: Verdicts
    control: torch.Tensor | None = None  # predictions under a random perturbation of the same size
    views: dict[str, torch.Tensor] = field(default_factory=dict)  # columns of counts over random views
    opinion: dict[str, torch.Tensor] = field(default_factory=dict)  # columns of what a second classifier says
    certificate: Certificate | None = None  # what is proven of the classifier around the clean images


def called(attack: Attack) -> str:
    """Its name; one that nobody has registered is called as its class, in lower case."""
    return attack.registered or type(attack).__name__.lower()


@dataclass
class Written:
    """Everything that the rows of one target are put together from; `named` are columns that say whose they are."""

    attack: Attack
    named: Row
    scored: Scored
    ids: list[str]
    labels: torch.Tensor
    outcome: Outcome
    origins: tuple[dict[str, Any], ...] | None = None  # how each image came about, where the data say so

    def rows(self) -> list[Row]:
        attack = self.attack
        common = self.named | {
            "model": self.scored.target,
            "weights": self.scored.weights,
            "attack": called(attack),
            "params": canonical(attack.params()),
            "norm": attack.threat,
            "eps": attack.budget,
            "goal": attack.aim,
        }
        columns = self._columns()
        names = list(columns)
        return [common | dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _columns(self) -> dict[str, list[Any]]:
        outcome, verdicts, clean = self.outcome, self.scored.verdicts, self.scored.clean
        goal, n = self.scored.goal, len(self.ids)
        predictions = clean.argmax(1)
        return {
            "sample": self.ids,
            "label": self.labels.tolist(),
            "target": goal.label.tolist() if goal.targeted else [None] * n,
            "clean_pred": predictions.tolist(),
            "clean_correct": (predictions == self.labels).tolist(),
            "clean_confidence": clean.double().softmax(1).amax(1).tolist(),
            "adv_pred": verdicts.predictions.tolist(),
            "adv_confidence": verdicts.confidences.tolist(),
            "success": verdicts.success.tolist(),
            "success_8bit": verdicts.success_8bit.tolist(),
            "margin": verdicts.margin.tolist(),
            "near_tie": verdicts.near_tie.tolist(),
            **{name: value.tolist() for name, value in verdicts.sizes.items()},
            "forwards": outcome.forwards.tolist(),
            "backwards": outcome.backwards.tolist(),
            "zero_gradient": outcome.zero_gradient.tolist(),
            "seconds": outcome.seconds.tolist(),
            "status": self.status(),
            "label_rank": rank(verdicts.logits, self.labels),
            "target_rank": rank(verdicts.logits, goal.label) if goal.targeted else [None] * n,
            "control_pred": [None] * n if self.scored.control is None else self.scored.control.tolist(),
            "transform": self._transform(),
            "adv_second": verdicts.second.tolist(),
            "adv_second_confidence": verdicts.second_confidences.tolist(),
            "broken_by": self._broken_by(),
            **{name: column.tolist() for name, column in (self.scored.views | self.scored.opinion).items()},
            **self._certified(),
        }

    def _certified(self) -> dict[str, list[Any]]:
        proven = self.scored.certificate
        if proven is None:
            return {}
        return {"certified_class": proven.classes.tolist(), "certified_radius": proven.radii.tolist()}

    def _transform(self) -> list[str | None]:
        """How each image came about, and the numbers that the attack found: where both have a name, the latter."""
        names, found = self.outcome.names, self.outcome.found
        known = found.isfinite().all(1).tolist()  # not where the attack failed before it found anything
        facts = [
            {**origin, **(dict(zip(names, row, strict=True)) if ok else {})}
            for origin, row, ok in zip(self.origins or ({},) * len(self.ids), found.tolist(), known, strict=True)
        ]
        return [canonical(one) if one else None for one in facts]

    def _broken_by(self) -> list[str | None]:
        """Which of the attacks inside made the candidate with which the sample is broken, as the judge says."""
        maker, names = self.outcome.maker, self.attack.makers
        if maker is None:
            return [None] * len(self.ids)
        won = self.scored.verdicts.success.tolist()
        return [names[i] if ok and i >= 0 else None for i, ok in zip(maker.tolist(), won, strict=True)]

    def status(self) -> list[str]:
        """A broken contract fails the sample; a broken gradient does unless the judge saw a success all the same."""
        reasons, verdicts = self.outcome.reasons(), self.scored.verdicts
        return [
            fault or (reason if reason != "ok" and not won else "ok")
            for fault, reason, won in zip(verdicts.fault, reasons, verdicts.success.tolist(), strict=True)
        ]
