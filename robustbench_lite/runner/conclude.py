"""All samples of a cell are attacked: what is stored of it, from nothing else than its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import pyarrow as pa

from robustbench_lite.engine.outcome import Tally
from robustbench_lite.registry import canonical
from robustbench_lite.results.schema import Row
from robustbench_lite.results.shards import Fit, Kept, Shard, gaps, in_order

__all__ = ["Whole", "concluded", "joined", "summed"]

_SPENT = ("seconds", "seconds_forward", "seconds_backward", "seconds_judge")


@dataclass(frozen=True)
class Whole:
    """A cell: its own row, and those of its samples, images and artifacts."""

    row: Row
    samples: pa.Table
    images: Iterable[pa.Table]
    artifacts: list[Row]


def joined(shards: Kept) -> Whole | None:
    """The cell of which all shards are stored; None where some are missing, or what they need."""
    done = shards.stored()
    if not done or gaps(done, done[0].facts["cell"]["n"]):
        return None
    if any(one.facts["labels"] != done[0].facts["labels"] for one in done):  # of a suite that has changed meanwhile
        return None
    fit = shards.fit()
    return None if fit is None and done[0].facts["fitted"] else concluded(done, shards, fit)


def concluded(done: Sequence[Shard], shards: Kept | None, fit: Fit | None = None) -> Whole:
    """The cell of these shards; `shards`: where images lie that are stored already; `fit`: what all of them needed."""
    facts = [shard.facts for shard in done]
    known = facts[0]["cell"]
    row = known | summed(done) | _spent(facts) | {"provenance": facts[-1]["provenance"]} | facts[0]["columns"]
    row["notes"] += known["notes"]
    images = (one.images if shards is None or len(one.images) else shards.images(one) for one in done)
    artifacts = [] if fit is None else fit.artifacts.to_pylist()
    return Whole(row if fit is None else row | fit.facts["columns"], in_order(done), images, artifacts)


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
    proofs = [one["seconds_certify"] for one in facts if one.get("seconds_certify") is not None]
    stages = sum((Counter(one["stages"]) for one in facts), Counter[str]())
    return {name: sum(one[name] for one in facts) for name in _SPENT} | {
        "seconds_inspect": max(one["seconds_inspect"] for one in facts),
        "seconds_timing": sum(timings) if timings else None,
        "seconds_certify": sum(proofs) if proofs else None,
        "seconds_alone": next((one["seconds_alone"] for one in facts if one["seconds_alone"] is not None), None),
        "seconds_stages": canonical({name: round(seconds, 6) for name, seconds in stages.items()}),
        "batch_size": facts[-1]["batch_size"],
    }
