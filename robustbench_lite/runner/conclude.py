"""All samples of a cell are attacked: its own row, from nothing else than its shards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

from robustbench_lite.engine.outcome import Tally
from robustbench_lite.results.schema import Row
from robustbench_lite.results.shards import Fit, Shard, Shards, in_order
from robustbench_lite.runner.cell_report import CellReport

__all__ = ["conclude", "summed"]

_SPENT = ("seconds", "seconds_forward", "seconds_backward", "seconds_judge")


def conclude(report: CellReport, done: Sequence[Shard], shards: Shards | None, fit: Fit | None = None) -> None:
    """Put rows, images and what sums them up into the report; `shards`: where images lie that are stored already.

    `fit`: what a universal attack has fitted.
    """
    facts = [shard.facts for shard in done]
    known = facts[0]["cell"]
    report.described |= known | {"notes": []}
    report.summary |= summed(done) | _spent(facts)
    report.summary["notes"] += known["notes"]
    report.samples = in_order(done)
    if fit is not None:
        report.artifacts = fit.artifacts.to_pylist()
        report.summary |= fit.facts["columns"]
    report.images = (one.images if shards is None or len(one.images) else shards.images(one) for one in done)


def summed(shards: Sequence[Shard]) -> Row:
    """What the cell's own row sums up of its shards."""
    facts = [shard.facts for shard in shards]
    counts = {name: sum(one[name] for one in facts) for name in ("near_ties", "forwards", "backwards")}
    tallies = zip(*([Tally(**tally) for tally in one["tally"]] for one in facts), strict=True)
    told = [reduce(add, members).told() for members in tallies]
    return counts | {"notes": [*dict.fromkeys(note for one in facts for note in one["notes"]), *told]} | _status(shards)


def _status(shards: Sequence[Shard]) -> Row:
    """One failed sample withholds the cell."""
    status = [text for shard in shards for text in shard.samples["status"].to_pylist()]
    failed = [text for text in status if text != "ok"]
    if not failed:
        return {}
    return {"status": "failed", "error": f"{len(failed)} of {len(status)} rows: {failed[0]}", "stage": "judge"}


def _spent(facts: Sequence[dict[str, Any]]) -> Row:
    timings = [one["seconds_timing"] for one in facts if one["seconds_timing"] is not None]
    return {name: sum(one[name] for one in facts) for name in _SPENT} | {
        "seconds_inspect": max(one["seconds_inspect"] for one in facts),
        "seconds_timing": sum(timings) if timings else None,
        "seconds_alone": next((one["seconds_alone"] for one in facts if one["seconds_alone"] is not None), None),
        "batch_size": facts[-1]["batch_size"],
    }
