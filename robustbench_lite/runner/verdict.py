"""What an attack proposed becomes rows: the judge scores it on every target; images and artifacts stand beside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from robustbench_lite.engine.attack import SetAttack
from robustbench_lite.engine.columns import Written
from robustbench_lite.engine.drive import Outcome
from robustbench_lite.engine.job import PERTURBATION, Fitting
from robustbench_lite.engine.judge import finite
from robustbench_lite.results.schema import Row
from robustbench_lite.results.shards import Shard
from robustbench_lite.runner.cell_trial import CellTrial

__all__ = ["artifacts", "fitted", "judged"]


def judged(cell: CellTrial, outcome: Outcome, start: int = 0) -> Shard:
    """The rows of all targets for these samples, the first of which is the cell's number `start`; and their images."""
    samples, near_ties = list[Row](), 0
    scene = cell.samples.scene
    origins = None if scene is None else scene.pick(cell.keep).origins()
    for target in cell.targets:
        scored = cell.trial.score(outcome, target.scorer, target.clean, target.classifier.weights)
        scored.certificate = target.certificate
        near_ties += int(scored.verdicts.near_tie.sum())
        written = Written(cell.cell.attack, _named(cell), scored, cell.ids, cell.trial.labels, outcome, origins)
        samples += _proven(cell, written)
    images = list(_images(cell, outcome)) if cell.stores_images else []
    facts = {
        "near_ties": near_ties,
        "forwards": int(outcome.forwards.sum()),
        "backwards": int(outcome.backwards.sum()),
        "notes": list(outcome.notes),
        "tally": [asdict(one) for one in outcome.tally],
    }
    return Shard.of(start, start + len(cell.ids), samples, images, facts)


def _proven(cell: CellTrial, written: Written) -> list[Row]:
    """The rows, with what was proven before. Raises AttackError where the judge saw what was proven not to be."""
    rows, proof = written.rows(), cell.proof
    if proof is None:
        return rows
    proof.check(written.scored.verdicts.success, cell.ids, cell.cell.variant, written.scored.target)
    return [row | said for row, said in zip(rows, proof.columns(), strict=True)]


def _named(cell: CellTrial) -> Row:
    """The columns of a sample that say which cell it is of."""
    of = cell.cell
    return {"cell": of.id, "suite": of.suite, "dataset": of.dataset, "source": of.source, "variant": of.variant}


def fitted(cell: CellTrial, outcome: Outcome) -> Row:
    """How many images an attack was fitted on, and how many of them it fools: here too the judge looks."""
    attack, fitting = cell.cell.attack, cell.job.setting
    if not isinstance(fitting, Fitting) or not isinstance(attack, SetAttack):
        return {}
    if not attack.universal and PERTURBATION not in outcome.artifacts:
        return {}
    x = attack.proposed(fitting.x, fitting.draw, outcome.artifacts)[0]
    after = finite(cell.victim.scorer.logits(x), "perturbed images that it was fitted on").argmax(1)
    return {"fit_n": len(x), "fit_rate": float((after != fitting.goal.label).double().mean())}


def artifacts(cell: CellTrial, outcome: Outcome) -> Iterator[Row]:
    """What was made for all samples together."""
    for name, value in outcome.artifacts.items():
        content = value.numpy().astype("<f4").tobytes()
        yield {"cell": cell.cell.id, "name": name, "shape": list(value.shape), "values": content}


def _images(cell: CellTrial, outcome: Outcome) -> Iterator[Row]:
    """Every clean image beside its candidate."""
    for sample, clean, candidate in zip(cell.ids, cell.pixels(), outcome.candidates, strict=True):
        adversarial = candidate.numpy().astype("<f4").tobytes()
        facts = {"cell": cell.cell.id, "sample": sample, "shape": list(clean.shape)}
        yield facts | {"clean": clean.tobytes(), "adversarial": adversarial}
