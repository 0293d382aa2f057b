"""What became of a cell that makes a generator: its row, its losses, its images, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from robustbench_lite.registry import canonical
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.failure import failed_columns
from robustbench_lite.runner.generation.cell import GeneratorCell

__all__ = ["GeneratorReport", "GeneratorStage", "described"]

GeneratorStage = Literal["load", "train", "sample", "score", "store"]


@dataclass
class GeneratorReport:
    """A generator that is made and judged, or has failed; what it learnt until then is kept either way."""

    cell: GeneratorCell
    described: Row
    seconds: dict[str, float] = field(default_factory=dict)  # by stage
    summary: Row = field(default_factory=dict)
    training: list[Row] = field(default_factory=list)
    generated: list[Row] = field(default_factory=list)

    @property
    def row(self) -> Row:
        """The cell's own row."""
        stages = {stage: round(seconds, 6) for stage, seconds in self.seconds.items()}
        return self.described | {"seconds_stages": canonical(stages)} | self.summary

    @property
    def contents(self) -> dict[str, list[Row]]:
        """Rows by part, its own last."""
        return {"training": self.training, "generated": self.generated, "generators": [self.row]}

    @property
    def failed(self) -> bool:
        return bool(self.row["status"] != "ok")

    @property
    def said(self) -> str:
        """What became of it, in a few words."""
        row = self.row
        if self.failed:
            return f"FAILED: {row['error']}"
        word = row.get("outcome") or "not judged"
        text = word.upper() if row.get("collapsed") else word
        text += f" ({row['reason']})" if row.get("reason") else ""
        return text + (f", {row['seconds']:.1f} s of training" if row.get("seconds") is not None else "")

    def failure(self, error: BaseException, stage: GeneratorStage) -> GeneratorReport:
        """The same cell as one that has failed at this stage: a sentence and the whole traceback, and no scores.

        Where its rows cannot be stored its own is all that is left.
        """
        known = {key: value for key, value in self.summary.items() if key in _KEPT}
        known |= failed_columns(self.cell.name, error, stage)
        beside = ([], []) if stage == "store" else (self.training, self.generated)
        return GeneratorReport(self.cell, self.described, self.seconds, known, *beside)


_KEPT = ("outcome", "collapsed", "reason", "steps", "images_seen", "seconds")


def described(cell: GeneratorCell, device: str) -> Row:
    """Columns of its row that are known before it is made."""
    todo = cell.recipe
    return {
        "cell": cell.id,
        "suite": cell.suite,
        "name": cell.name,
        "dataset": cell.dataset,
        "architecture": cell.architecture,
        "objective": cell.objective,
        "bundled": cell.bundled or None,
        "recipe": None if todo is None else canonical(todo.model_dump(mode="json", exclude={"name"})),
        "size": list(cell.size),
        "data": cell.data,
        "judge": cell.judged.judge or None,
        "judge_weights": cell.judge_weights or None,
        "seed": cell.seed,
        "train_seed": None if todo is None else todo.seed,
        "steps": cell.steps,
        "status": "ok",
        "device": device,
    }
