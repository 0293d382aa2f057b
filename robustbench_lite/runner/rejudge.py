"""What a cell in the store would say if its stored images had just been proposed, beside what it says."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robustbench_lite.engine.attack import SetAttack
from robustbench_lite.engine.drive import REASONS, Outcome
from robustbench_lite.engine.job import PERTURBATION, Job
from robustbench_lite.engine.oracle import BACKWARD, FORWARD, ZERO_GRADIENT, Ledger
from robustbench_lite.lazy import torch
from robustbench_lite.results.schema import CELLS, SAMPLES, Row, earliest
from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.cell_trial import CellTrial
from robustbench_lite.runner.execute import judge_again
from robustbench_lite.runner.plan import Cell

__all__ = ["Disagreement", "Stored", "compared"]

_ROUNDING = 1e-6  # a device may add two numbers otherwise in the last bit
_NETWORK = 1e-4  # it may sum otherwise: so much in a pixel after ten layers
# what only the attack's own work would tell, and what belongs to the machine
_OF_THE_RUN = {
    "seconds", "seconds_forward", "seconds_backward", "seconds_judge", "seconds_alone", "seconds_inspect",
    "seconds_timing", "batch_size", "device", "provenance", "notes", "stage", "traceback", "probes", "seconds_stages",
    "seconds_certify",
}  # fmt: skip
_LOGITS = {"margin", "adv_confidence", "clean_confidence", "adv_second_confidence", "second_opinion_confidence"}
# what another machine may see otherwise where two logits are nearly equal
_SOFT = {
    "clean_pred", "clean_correct", "adv_pred", "adv_second", "success_8bit", "near_tie", "label_rank", "target_rank",
    "control_pred", "draws_target", "draws_label", "clean_draws_target", "clean_draws_label",
    "second_opinion", "clean_second_opinion", "control_second_opinion",
}  # fmt: skip
_SHARE = 0.01  # of the rows that may differ so on another machine
_LATER = {"warning_kinds", "l0_components", "rho_l0", "rho_l1", "spends"}  # not stored by versions of before
_WORDING = {"warnings", "error", "version"}  # another version of this package may say it otherwise


@dataclass(frozen=True)
class Disagreement:
    """One stored value that data, classifiers and images contradict."""

    cell: str
    sample: str  # or the classifier, or * for all of the cell
    column: str
    stored: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.cell} {self.sample}: {self.column} is stored as {self.stored}, recomputed it is {self.found}"


@dataclass(frozen=True)
class Stored:
    """All that a results folder has of one cell. `old`: written before files had digests."""

    row: Row
    samples: list[Row]
    images: dict[str, Row]
    artifacts: dict[str, Row]
    old: bool = False


@dataclass
class Differences:
    """What disagrees in a cell, and what another machine may see otherwise."""

    cell: str
    found: list[Disagreement] = field(default_factory=list)
    soft: dict[str, list[Disagreement]] = field(default_factory=lambda: defaultdict(list))

    def add(self, sample: str, column: str, stored: Any, found: Any) -> None:
        self.found.append(Disagreement(self.cell, sample, column, stored, found))

    def settle(self, n: int, *, exact: bool) -> int:
        """Soft ones count where there are many, or where machine and versions are the same; how many do not."""
        close = 0
        for entries in self.soft.values():
            if exact or len(entries) > max(1, _SHARE * n):
                self.found += entries
            else:
                close += len(entries)
        return close


def compared(trial: CellTrial, stored: Stored, *, exact: bool) -> tuple[list[Disagreement], int]:
    """What disagrees in the cell, and how many near ties fell the other way."""
    differences = Differences(stored.row["cell"])
    cell, ids = trial.cell, trial.ids
    _counted(cell, ids, stored, differences)
    if differences.found:
        return differences.found, 0
    _images(trial, stored, differences)
    report = judge_again(trial, _outcome(cell, ids, stored, cell.attack.names(trial.job.setting)))
    if isinstance(cell.attack, SetAttack) and cell.attack.universal and stored.artifacts:
        _fitted(cell.attack, trial.job, ids, stored, differences)
    close = _rows(report, stored, differences)
    _cell(report.row, stored, differences)
    return differences.found, close + differences.settle(len(stored.samples), exact=exact)


def _counted(cell: Cell, ids: Sequence[str], stored: Stored, differences: Differences) -> None:
    """Every sample once for every classifier, every image once, in the order of the plan; no more and no fewer."""
    wanted = Counter((model, sample) for model in cell.targets for sample in ids)
    there = Counter((row["model"], row["sample"]) for row in stored.samples)
    for model, sample in wanted | there:
        if there[model, sample] != wanted[model, sample]:
            differences.add(f"{sample} ({model})", "rows", there[model, sample], wanted[model, sample])
    missing, foreign = set(ids) - stored.images.keys(), stored.images.keys() - set(ids)
    for sample in sorted(missing):
        differences.add(sample, "image", "nothing", "one that was judged")
    for sample in sorted(foreign):
        differences.add(sample, "image", "one", "no such sample")


def _images(trial: CellTrial, stored: Stored, differences: Differences) -> None:
    """The clean images beside the adversarial ones are those of the data set."""
    for sample, image in zip(trial.ids, trial.pixels(), strict=True):
        row = stored.images[sample]
        if list(row["shape"]) != list(image.shape) or row["clean"] != image.tobytes():
            differences.add(sample, "clean image", "another", "that of the data set")


def _outcome(cell: Cell, ids: Sequence[str], stored: Stored, names: tuple[str, ...]) -> Outcome:
    """What the attack proposed, from the images, and what it spent, from the rows."""
    of = {row["sample"]: row for row in stored.samples if row["model"] == cell.targets[0]}
    rows, n = [of[sample] for sample in ids], len(ids)
    candidates = np.stack([_array(stored.images[sample], "adversarial") for sample in ids])
    codes = {text: code for code, text in REASONS.items()}
    ledger = Ledger.empty(n, torch.device("cpu"))
    for event, column in ((FORWARD, "forwards"), (BACKWARD, "backwards"), (ZERO_GRADIENT, "zero_gradient")):
        ledger.counts[:, event] = torch.tensor([row[column] or 0 for row in rows])
    ledger.seconds[:] = torch.tensor([row["seconds"] or 0.0 for row in rows])
    return Outcome(
        torch.from_numpy(candidates),
        ledger,
        torch.tensor([codes.get(row["status"], 0) for row in rows]),
        _made_with(names, rows),
        stored.row["seconds"] or 0.0,
        (),
        {name: torch.from_numpy(_array(row, "values")) for name, row in stored.artifacts.items()},
        _made_by(cell, rows),
        names=names,
    )


def _array(row: Row, column: str) -> npt.NDArray[np.float32]:
    return np.frombuffer(row[column], "<f4").reshape(row["shape"]).copy()


def _made_by(cell: Cell, rows: Sequence[Row]) -> torch.Tensor | None:
    """Which of the attacks inside (N,) the rows say made each candidate; -1: none of them."""
    names = cell.attack.makers
    numbers = [names.index(row["broken_by"]) if row["broken_by"] in names else -1 for row in rows]
    return torch.tensor(numbers) if names else None


def _made_with(names: Sequence[str], rows: Sequence[Row]) -> torch.Tensor:
    """The numbers (N, D) of these names that the rows say made the candidates."""
    made = [json.loads(row["transform"] or "{}") for row in rows]
    found = [[one.get(name, math.nan) for name in names] for one in made]
    return torch.tensor(found, dtype=torch.float64).view(len(rows), len(names))


def _fitted(attack: SetAttack, job: Job, ids: Sequence[str], stored: Stored, found: Differences) -> None:
    """The images are what the stored perturbation, or generator of such, makes of the clean ones."""
    made = {name: torch.from_numpy(_array(row, "values")) for name, row in stored.artifacts.items()}
    moved, rounding = attack.proposed(job.x, job.draw, made)[0].numpy(), _ROUNDING if PERTURBATION in made else _NETWORK
    for sample, image in zip(ids, moved, strict=True):
        gap = float(np.abs(image - _array(stored.images[sample], "adversarial")).max())
        if not gap <= rounding:
            found.add(sample, "perturbation", "another", f"a difference of {gap:.2g}")


def _rows(report: CellReport, stored: Stored, differences: Differences) -> int:
    """Compare all rows; how many near ties fell the other way."""
    there = {(row["model"], row["sample"]): row for row in stored.samples}
    absent = _absent(SAMPLES, stored.samples)
    names = [name for name in _written(SAMPLES, stored.samples, old=stored.old) if name not in absent]
    judged = report.rows()
    scale, ties = max(abs(row["margin"]) for row in judged), 0
    for row in judged:
        theirs = there[row["model"], row["sample"]]
        wrong = [name for name in names if not _same(name, theirs[name], row.get(name), scale)]
        if row["near_tie"] and "success" in wrong:  # ours, whatever the stored row says of itself
            ties += 1
            wrong = [name for name in wrong if name not in _SOFT | {"success"}]
        for name in wrong:
            place = f"{row['sample']} ({row['model']})"
            entry = Disagreement(differences.cell, place, name, theirs[name], row.get(name))
            (differences.soft[name] if name in _SOFT else differences.found).append(entry)
    return ties


def _cell(row: Row, stored: Stored, differences: Differences) -> None:
    """Compare the cell's own row: what the plan says of it, and what it sums up of its rows."""
    absent = _absent(CELLS, [stored.row])
    skipped = _OF_THE_RUN | absent | (_WORDING if stored.old else set())
    for name in _written(CELLS, [stored.row], old=stored.old):
        if name not in skipped and not _same(name, stored.row[name], row.get(name), 1.0):
            entry = Disagreement(differences.cell, "*", name, stored.row[name], row.get(name))
            (differences.soft[name] if name == "near_ties" else differences.found).append(entry)


def _absent(schema: pa.Schema, rows: Sequence[Row]) -> set[str]:
    """The columns that came later, and that whoever wrote the rows did not know."""
    return {name for name in _LATER & set(schema.names) if all(row[name] is None for row in rows)}


def _written(schema: pa.Schema, rows: Sequence[Row], *, old: bool) -> list[str]:
    """The columns to compare: all but the id, which the plan decides on; an old file lacks those that came later."""
    first = set(earliest(schema) if old else schema.names) - {"cell"}
    return [name for name in schema.names if name in first or (old and any(row[name] is not None for row in rows))]


def _same(name: str, stored: Any, found: Any, scale: float) -> bool:
    """Whether two values of a column are the same, up to rounding where they were computed."""
    if isinstance(stored, float) and isinstance(found, float | int):
        if name in _LOGITS:
            return abs(stored - found) <= 1e-3 * (scale if name == "margin" else 1.0)
        return bool(np.isclose(stored, found, rtol=1e-5, atol=1e-9, equal_nan=True))
    if name == "params" and stored is not None:
        return bool(json.loads(stored) == json.loads(found))
    return bool(stored == found)
