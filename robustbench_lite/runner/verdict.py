"""What an attack proposed becomes rows: the judge scores it on every target; images and artifacts stand beside."""

from __future__ import annotations

from collections.abc import Iterator

from robustbench_lite.engine.columns import Written
from robustbench_lite.engine.drive import Outcome
from robustbench_lite.engine.job import PERTURBATION, Fitting
from robustbench_lite.engine.judge import finite
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.cell_trial import CellTrial

__all__ = ["add_verdicts"]


def add_verdicts(report: CellReport, cell: CellTrial, outcome: Outcome) -> None:
    """Add the rows of all targets to the report, and what the cell's own row sums up of them."""
    samples, near_ties = list[Row](), 0
    scene = cell.samples.scene
    origins = None if scene is None else scene.pick(cell.keep).origins()
    for target in cell.targets:
        scored = cell.trial.score(outcome, target.scorer, target.clean, target.classifier.weights)
        near_ties += int(scored.verdicts.near_tie.sum())
        written = Written(cell.cell.attack, _named(cell), scored, cell.ids, cell.trial.labels, outcome, origins)
        samples += written.rows()
    report.samples, report.images = samples, list(_images(cell, outcome)) if cell.stores_images else []
    report.artifacts = list(_artifacts(cell, outcome))
    report.summary |= cell.facts | _status(samples) | _on_fitting_set(cell, outcome)
    report.summary |= {"notes": [*outcome.notes, *cell.facts["notes"]], "near_ties": near_ties}
    report.summary |= {"forwards": int(outcome.forwards.sum()), "backwards": int(outcome.backwards.sum())}


def _named(cell: CellTrial) -> Row:
    """The columns of a sample that say which cell it is of."""
    of = cell.cell
    return {"cell": of.id, "suite": of.suite, "dataset": of.dataset, "source": of.source, "variant": of.variant}


def _status(samples: list[Row]) -> Row:
    """One failed sample withholds the cell."""
    failed = [row["status"] for row in samples if row["status"] != "ok"]
    if not failed:
        return {}
    return {"status": "failed", "error": f"{len(failed)} of {len(samples)} rows: {failed[0]}", "stage": "judge"}


def _on_fitting_set(cell: CellTrial, outcome: Outcome) -> Row:
    """How many images a perturbation was fitted on, and how many of them it fools: here too the judge looks."""
    fitting = cell.job.setting
    if not isinstance(fitting, Fitting) or PERTURBATION not in outcome.artifacts:
        return {}
    x = cell.cell.attack.apply(fitting.x, outcome.artifacts[PERTURBATION])
    after = finite(cell.victim.scorer.logits(x), "perturbed images that it was fitted on").argmax(1)
    return {"fit_n": len(x), "fit_rate": float((after != fitting.goal.label).double().mean())}


def _artifacts(cell: CellTrial, outcome: Outcome) -> Iterator[Row]:
    """What was made for all samples together."""
    for name, value in outcome.artifacts.items():
        content = value.numpy().astype("<f4").tobytes()
        yield {"cell": cell.cell.id, "name": name, "shape": list(value.shape), "values": content}


def _images(cell: CellTrial, outcome: Outcome) -> Iterator[Row]:
    """Every clean image beside its candidate."""
    for i, candidate in zip(cell.keep.tolist(), outcome.candidates, strict=True):
        clean, adversarial = cell.samples.images[i], candidate.numpy().astype("<f4").tobytes()
        facts = {"cell": cell.cell.id, "sample": cell.samples.ids[i], "shape": list(clean.shape)}
        yield facts | {"clean": clean.tobytes(), "adversarial": adversarial}
