"""What attacks cost: passes and time per sample, and how far from the limit that the passes set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustbench_lite.results.evaluation import Evaluation, through
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.tables.base import Column, Row, Table, filled, tables
from robustbench_lite.tables.values import MISSING, Footnotes, count, label, number

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["cost"]

COLUMNS = (
    Column("model", "classifier", numeric=False, group=True),
    Column("dataset", "dataset", numeric=False, group=True),
    Column("device", "device", numeric=False, group=True),
    Column("attack", "attack", numeric=False),
    Column("forwards", "forward"),
    Column("backwards", "backward"),
    Column("ms", "batched", "ms", better="lower"),
    Column("ms_alone", "alone", "ms", priority=2),
    Column("overhead", "overhead", "%", priority=2),
    Column("batch", "size", priority=3),
    Column("zero_gradient", "0 grad", priority=3),
    Column("near_ties", "ties", priority=3),
    Column("n", "n", priority=2),
)
_REMARK = (
    "forward, backward: passes per sample, where there are no backward ones the forward ones are queries of scores or "
    "decisions alone; ms: per sample, in batches of the given size and at size 1; overhead: wall "
    "time beyond the time inside the attack's own forward and backward passes, which are the limit; 0 grad: steps in "
    "which a sample's gradient was exactly zero; ties: verdicts so close that another batch size may decide otherwise"
)


@tables.register("cost", "Forward and backward passes, milliseconds per sample, overhead over the passes.")
def cost(results: Results) -> Table:
    notes = Footnotes()
    found = [one for one in evaluations(results) if one.model == _first(one)]
    devices = {(one.dataset, one.sources): one.cell["device"] for one in found if one.cell["device"]}
    rows = tuple(_row(one, devices, notes) for one in found)
    remarks = (_REMARK, *_untimed(found), *_bracket(results), *notes.lines(results))
    return Table("cost", "What the attacks cost", COLUMNS, rows, remarks)


def _untimed(found: list[Evaluation]) -> list[str]:
    """Why there are dashes in the column `alone`, where there are any."""
    if all(one.cell["seconds_alone"] is not None for one in found if one.ok):
        return []
    return [
        "alone is a dash where nothing was timed at batch size 1: attacks on a whole set, on several sources or of "
        "others, and cells that were run with --no-timing (run --fresh times them)"
    ]


def _bracket(results: Results) -> list[str]:
    """One line on the exact-answer checks that were run before the attacks."""
    calibration = results.run.get("calibration")
    if not isinstance(calibration, dict) or not calibration:
        return []
    checks, seconds = (sum(entry.get(key, 0) for entry in calibration.values()) for key in ("checks", "seconds"))
    failed = [name for name, entry in calibration.items() if entry["failed"]]
    said = f"{checks} checks of {', '.join(calibration)} where the answer is known exactly: "
    took = f" ({seconds:.1f} s, once on this machine)" if seconds else ""
    return [said + ("all passed" if not failed else f"{', '.join(failed)} failed some, see the table trust") + took]


def _first(one: Evaluation) -> str:
    """A cell's cost is said once, however many classifiers it is scored on."""
    return next((model for model in one.targets if one.sources == (model,)), one.targets[0])


def _row(one: Evaluation, devices: dict[tuple[str, tuple[str, ...]], str], notes: Footnotes) -> Row:
    cell, n = one.cell, one.cell["n"]
    head = {
        "model": label(through(cell)),
        "dataset": label(one.dataset),
        "device": label(cell["device"] or devices.get((one.dataset, one.sources))),
        "attack": notes.name(one.variant, one),
    }
    if not one.ok or not n:
        return filled(COLUMNS, head | {"n": count(n, "label")}, MISSING)
    return head | {
        "forwards": number(_each(cell["forwards"], n)),
        "backwards": number(_each(cell["backwards"], n)),
        "ms": number(_each(cell["seconds"], n, 1000)),
        "ms_alone": number(_each(cell["seconds_alone"], 1, 1000)),
        "overhead": number(_overhead(one), 2),
        "batch": count(cell["batch_size"]),
        "zero_gradient": count(int(np.nansum(one["zero_gradient"].astype(float)))),
        "near_ties": count(cell["near_ties"]),
        "n": count(n),
    }


def _each(total: float | None, n: int, scale: float = 1) -> float | None:
    return None if total is None else scale * total / n


def _overhead(one: Evaluation) -> float | None:
    total, forward, backward = (one.cell[name] for name in ("seconds", "seconds_forward", "seconds_backward"))
    if total is None or forward is None or backward is None or forward + backward <= 0:
        return None
    return float(100 * (total / (forward + backward) - 1))
