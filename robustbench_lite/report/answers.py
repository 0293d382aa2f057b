"""The first screen: rankings as the template draws them, on axes that end at the same place for the same quantity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from robustbench_lite.check import doubts
from robustbench_lite.report.charts import round_up
from robustbench_lite.report.pictures import specimen
from robustbench_lite.report.ranking import Entry, Ranking, rankings

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["answers", "ends", "ranked"]

_NAMED = 6  # attacks


def ranked(results: Results) -> list[Ranking]:
    """The rankings of a run, worked out once."""
    if "rankings" not in results.memo:
        results.memo["rankings"] = rankings(results)
    return list(results.memo["rankings"])


def ends(runs: Sequence[Results]) -> dict[str, float]:
    """Where the axis of each quantity ends, in percent: shares at 100, sizes at a round number above all of them."""
    out: dict[str, float] = {}
    for ranking in (one for results in runs for one in ranked(results)):
        top = 100.0 if ranking.of else round_up(max(100 * entry.estimate.high for entry in ranking.entries))
        out[ranking.metric] = max(top, out.get(ranking.metric, 0))
    return out


def answers(results: Results, tops: dict[str, float]) -> list[dict[str, Any]]:
    """Every ranking of a run."""
    return [_answer(ranking, results, tops[ranking.metric]) for ranking in ranked(results)]


def _answer(ranking: Ranking, results: Results, top: float) -> dict[str, Any]:
    said = [", ".join(_facts(ranking, entry)) for entry in ranking.entries]
    same = said[0] if len(set(said)) == 1 else ""
    rows = [
        _row(entry, state, top) | {"said": "" if same else facts, "doubts": _doubts(entry, results)}
        for entry, facts, state in zip(ranking.entries, said, _states(ranking), strict=True)
    ]
    attacks = tuple(dict.fromkeys(name for entry in ranking.entries for name in entry.attacks))
    more = len(attacks) - _NAMED
    return {
        "dataset": ranking.dataset,
        "threat": ranking.threat,
        "metric": ranking.metric,
        "answer": ranking.answer,
        "lead": ranking.lead,
        "rows": rows,
        "same": same,
        "ticks": [f"{share * top:.3g}\u00a0%" for share in (0, 0.5, 1)],
        "attacks": f"{', '.join(attacks[:_NAMED])}{f' and {more} others' if more > 0 else ''}",
        "several": len(attacks) > 1,
        "test": ranking.test,
        "states": {row["state"] for row in rows},
        "example": specimen(results, [(entry.model, cell) for entry in ranking.entries for cell in entry.cells]),
    }


def _facts(ranking: Ranking, entry: Entry) -> Iterator[str]:
    """What the number of a classifier rests on."""
    yield f"n={entry.estimate.n}"
    if ranking.draws:
        yield f"{ranking.draws} views"
    if ranking.of:
        yield f"{100 * entry.clean:.0f}\u00a0% before"


def _states(ranking: Ranking) -> list[str]:
    """What the colour of a classifier says: the best, tied with it, worse; where all are tied there is no best."""
    if len(ranking.entries) == 1:
        return ["only"]
    others = ["tied" if entry.tied else "worse" for entry in ranking.entries[1:]]
    return ["best" if "worse" in others else "tied", *others]


def _row(entry: Entry, state: str, top: float) -> dict[str, Any]:
    value, low, high = (100 * part for part in (entry.estimate.value, entry.estimate.low, entry.estimate.high))
    places = {name: f"{100 * min(1.0, part / top):.2f}%" for name, part in (("at", value), ("low", low))}
    places["width"] = f"{100 * (min(1.0, high / top) - min(1.0, low / top)):.2f}%"
    return {"name": entry.model, "text": f"{value:.1f} [{low:.1f}, {high:.1f}]\u00a0%", "state": state, **places}


def _doubts(entry: Entry, results: Results) -> str:
    """Why the number cannot be believed; empty where it can."""
    found = doubts(results)
    return "; ".join(dict.fromkeys(str(doubt) for cell in entry.cells for doubt in found.get(cell, ())))
