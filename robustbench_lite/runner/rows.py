"""What the outcome of a cell becomes in the store: a row per sample and target, images, artifacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robustbench_lite.engine.drive import Outcome
from robustbench_lite.engine.judge import Verdicts, rank
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import Classifier
from robustbench_lite.registry import canonical
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.plan import Cell
from robustbench_lite.threat.goal import Goal

if TYPE_CHECKING:
    from robustbench_lite.datasets.base import Samples

__all__ = ["Scored", "Written", "artifact_rows", "image_rows"]


@dataclass
class Scored:
    """One target's view of the candidates; everything has a row per sample."""

    target: Classifier
    clean: torch.Tensor
    goal: Goal
    verdicts: Verdicts
    control: torch.Tensor | None  # predictions under a random perturbation of the same size
    views: dict[str, torch.Tensor] = field(default_factory=dict)  # columns of counts over random views


@dataclass
class Written:
    """Everything that the rows of one target are put together from."""

    cell: Cell
    scored: Scored
    ids: list[str]
    labels: torch.Tensor
    outcome: Outcome
    origins: tuple[dict[str, Any], ...] | None  # how each image came about, where the data say so

    def rows(self) -> list[Row]:
        cell, attack = self.cell, self.cell.attack
        common = {
            "cell": cell.id,
            "suite": cell.suite,
            "dataset": cell.dataset,
            "source": cell.source,
            "model": self.scored.target.name,
            "weights": self.scored.target.weights,
            "attack": attack.registered,
            "variant": cell.variant,
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
            "status": self._status(),
            "label_rank": rank(verdicts.logits, self.labels),
            "target_rank": rank(verdicts.logits, goal.label) if goal.targeted else [None] * n,
            "control_pred": [None] * n if self.scored.control is None else self.scored.control.tolist(),
            "transform": self._transform(),
            "adv_second": verdicts.second.tolist(),
            "adv_second_confidence": verdicts.second_confidences.tolist(),
            **{name: counts.tolist() for name, counts in self.scored.views.items()},
        }

    def _transform(self) -> list[str | None]:
        names = self.cell.attack.found
        if self.origins is not None:
            return [canonical(facts) if facts else None for facts in self.origins]
        if not names:
            return [None] * len(self.ids)
        found = self.outcome.found
        known = found.isfinite().all(1).tolist()  # not where the attack failed before it found anything
        return [
            canonical(dict(zip(names, row, strict=True))) if ok else None
            for row, ok in zip(found.tolist(), known, strict=True)
        ]

    def _status(self) -> list[str]:
        """A broken contract fails the sample; a broken gradient does unless the judge saw a success all the same."""
        reasons, verdicts = self.outcome.reasons(), self.scored.verdicts
        return [
            fault or (reason if reason != "ok" and not won else "ok")
            for fault, reason, won in zip(verdicts.fault, reasons, verdicts.success.tolist(), strict=True)
        ]


def artifact_rows(cell: Cell, outcome: Outcome) -> list[Row]:
    return [
        {"cell": cell.id, "name": name, "shape": list(value.shape), "values": value.numpy().astype("<f4").tobytes()}
        for name, value in outcome.artifacts.items()
    ]


def image_rows(cell: Cell, samples: Samples, keep: list[int], outcome: Outcome) -> list[Row]:
    return [
        {
            "cell": cell.id,
            "sample": samples.ids[i],
            "shape": list(samples.images[i].shape),
            "clean": samples.images[i].tobytes(),
            "adversarial": candidate.numpy().astype("<f4").tobytes(),
        }
        for i, candidate in zip(keep, outcome.candidates, strict=True)
    ]
