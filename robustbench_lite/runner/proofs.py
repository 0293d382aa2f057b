"""What is proven of the samples of a cell before they are attacked; attacks may leave that out, the judge does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Ledger, Oracle
from robustbench_lite.engine.outcome import Outcome, Tally
from robustbench_lite.errors import AttackError, ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.results.schema import Row
from robustbench_lite.text import budget
from robustbench_lite.threat.rows import rows
from robustbench_lite.trust.certificates import Certificate, certify

if TYPE_CHECKING:
    from torch import nn

    from robustbench_lite.engine.inspection import Scorer
    from robustbench_lite.engine.trial import Trial
    from robustbench_lite.models.base import Classifier
    from robustbench_lite.runner.plan import Cell

__all__ = ["Proof", "Proofs"]

Key = tuple[str, str, str, float, str]  # dataset, classifier, norm, epsilon, method


@dataclass(frozen=True)
class Proof:
    """What is known of n samples: `margin` (n,), above 0 where it is proven `by` (n,) which method."""

    margin: torch.Tensor
    by: tuple[str, ...]
    seconds: float  # of those that nobody had looked at before
    skips: bool  # whether the attack leaves out what is proven
    where: str  # the budget, in words

    @property
    def proven(self) -> torch.Tensor:
        """(n,) whether nothing within the budget can fool the classifier."""
        return self.margin > 0

    def columns(self) -> list[Row]:
        """The columns of SAMPLES that say so, a row for each sample."""
        return [
            {
                "certified": bool(name),
                "certified_margin": margin if math.isfinite(margin) else None,
                "skipped": f"proven by {name}, {self.where}" if name and self.skips else None,
            }
            for name, margin in zip(self.by, self.margin.tolist(), strict=True)
        ]

    def check(self, success: torch.Tensor, ids: list[str], attack: str, model: str) -> None:
        """Raises AttackError where the judge has found an image that cannot be."""
        fooled = (success & self.proven).nonzero()[:, 0].tolist()
        if fooled:
            i = fooled[0]
            raise AttackError(
                f"certify: {len(fooled)} of {len(ids)} samples are fooled by {attack} although nothing {self.where} "
                f"can fool {model} there; the first is {ids[i]}, proven by {self.by[i]} with a margin of "
                f"{float(self.margin[i]):.4g}: the certificate or the judge is wrong, please report it"
            )

    def propose(
        self, trial: Trial, scorer: Scorer, members: tuple[nn.Module, ...], progress: Callable[[int], None]
    ) -> tuple[Outcome, Oracle]:
        """What the trial's attack makes of the images that are not proven; the others stay as they are."""
        rest = (~self.proven).nonzero()[:, 0]
        if len(rest) == 0:
            progress(len(trial.ids))
            return _untouched(trial), Oracle(scorer.module, scorer.device, scorer.size, members)
        job = trial.job
        part = Job(job.x[rest], rows(job.goal, rest), rows(job.draw, rest), job.setting, job.place)
        ids = [trial.ids[i] for i in rest.tolist()]
        gone = len(trial.ids) - len(rest)
        some = replace(trial, job=part, labels=trial.labels[rest], ids=ids)
        outcome, oracle = some.propose(scorer, members, lambda n: progress(gone + n))
        return _spread(outcome, _untouched(trial), rest), oracle


def _untouched(trial: Trial) -> Outcome:
    """Nothing is proposed but the images themselves."""
    attack, x = trial.attack, trial.job.x
    outcome = Outcome.empty(x, attack.names(trial.job.setting))
    outcome.tally = tuple(Tally(name, 0, 0, 0, 0) for name in attack.makers)
    if attack.makers:
        outcome.maker = torch.full((len(x),), -1)
    return outcome


def _spread(some: Outcome, whole: Outcome, at: torch.Tensor) -> Outcome:
    """What became of the samples `at` (m,), among all."""
    ledger = Ledger(
        whole.ledger.counts.index_copy(0, at, some.ledger.counts),
        whole.ledger.seconds.index_copy(0, at, some.ledger.seconds),
    )
    candidates = whole.candidates.index_copy(0, at, some.candidates)
    status, found = whole.status.index_copy(0, at, some.status), whole.found.index_copy(0, at, some.found)
    maker = whole.maker if some.maker is None or whole.maker is None else whole.maker.index_copy(0, at, some.maker)
    return replace(some, candidates=candidates, ledger=ledger, status=status, found=found, maker=maker)


@dataclass
class Proofs:
    """Proves each sample once, however many attacks there are within a budget."""

    _known: dict[Key, dict[int, tuple[float, str]]] = field(default_factory=dict)  # by the place in the pool

    def of(
        self, cell: Cell, classifier: Classifier, x: torch.Tensor, labels: torch.Tensor, keep: torch.Tensor
    ) -> Proof | None:
        """Of the images x (n, C, H, W) at the places `keep` (n,) of the pool; None where the cell asks for none."""
        attack, certificate = cell.attack, None
        if cell.certify is None or attack.threat is None or attack.threat == "l0" or attack.budget is None:
            return None
        method, places = cell.certify.method, keep.tolist()
        key = (cell.dataset, classifier.name, attack.threat, attack.budget, method)
        known = self._known.setdefault(key, {})
        if new := [i for i, place in enumerate(places) if place not in known]:
            certificate = _certified(classifier, x[new], labels[new], cell)
            told = zip(certificate.margin.tolist(), certificate.by, strict=True)
            known.update(zip((places[i] for i in new), told, strict=True))
        margin = torch.tensor([known[place][0] for place in places], dtype=torch.float64)
        return Proof(
            margin,
            tuple(known[place][1] for place in places),
            0.0 if certificate is None else certificate.seconds,
            skips=cell.certify.skip and attack.separable,
            where=f"within {attack.threat} {budget(attack.budget)}",
        )


def _certified(classifier: Classifier, x: torch.Tensor, labels: torch.Tensor, cell: Cell) -> Certificate:
    attack = cell.attack
    assert cell.certify is not None
    assert attack.budget is not None
    options = {"norm": attack.threat, "epsilon": attack.budget, "method": cell.certify.method}
    try:
        return certify(classifier.module, x, labels, **options)  # type: ignore[arg-type]
    except ModelError as error:
        raise ModelError(
            f"{classifier.name}: {error}; name the classifiers of which something is to be proven, "
            f"certify: {{method: {cell.certify.method}, models: [...]}}, or leave certify out"
        ) from error
