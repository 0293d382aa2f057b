"""The first screen: rankings as the template draws them, on axes that end at the same place for the same quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustbench_lite.figures.svg import round_up
from robustbench_lite.report.headline import amount
from robustbench_lite.report.pictures import specimen
from robustbench_lite.report.ranking import Entry, Ranking, rankings
from robustbench_lite.report.standing import standing
from robustbench_lite.text import listed, percent

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["answers", "ends", "ranked"]

_NAMED = 6  # attacks
_VERDICTS = {"best": "best", "tied": "tied", "worse": "worse", "red": "does not stand"}
_HEADS = {"images": "stay right", "views": "views that stay right"}  # over the numbers, by what they are a share of


def ranked(results: Results) -> list[Ranking]:
    """The rankings of a run, worked out once."""
    if "rankings" not in results.memo:
        results.memo["rankings"] = rankings(results)
    return list(results.memo["rankings"])


def ends(runs: Sequence[Results]) -> dict[str, float]:
    """Where the axis of each quantity ends, in percent: shares at 100, sizes at a round number above all of them."""
    out: dict[str, float] = {}
    for ranking in (one for results in runs for one in ranked(results)):
        said = [100 * end for one in ranking.entries for end in (one.estimate.value, one.estimate.high)]
        top = 100.0 if ranking.of else round_up(max([end for end in said if math.isfinite(end)], default=1.0))
        out[ranking.metric] = max(top, out.get(ranking.metric, 0))
    return out


def answers(results: Results, tops: dict[str, float], room: int = 0) -> list[dict[str, Any]]:
    """Every ranking of a run; `room`: the bytes that there are for what attacks look like, 0: as many as it takes."""
    found = [_answer(ranking, results, tops[ranking.metric]) for ranking in ranked(results)]
    used = 0
    for one in found if room else []:
        example = one["example"]
        used += len(example.clean + example.adversarial + example.difference) if example else 0
        one["example"] = example if used <= room else None
    return found


def _answer(ranking: Ranking, results: Results, top: float) -> dict[str, Any]:
    states = _states(ranking)
    paired = zip(ranking.entries, states, strict=True)
    rows = [_row(entry, state, top) | _facts(ranking, entry) for entry, state in paired]
    attacks = tuple(dict.fromkeys(name for entry in ranking.entries for name in entry.attacks))
    return {
        "dataset": ranking.dataset,
        "threat": ranking.threat,
        "metric": ranking.metric,
        "head": _HEADS.get(ranking.of, "rho"),
        "answer": ranking.answer,
        "lead": ranking.lead,
        "standing": standing(results, ranking),
        "rows": rows,
        "ticks": [f"{share * top:.3g}\u00a0%" for share in (0, 0.5, 1)],
        "attacks": listed(attacks, _NAMED) if not any("," in name for name in attacks) else "; ".join(attacks),
        "several": len(attacks) > 1,
        "test": ranking.test,
        "states": set(states),
        "key": set(states) != {"only"},
        "example": specimen(results, [(entry.model, cell) for entry in ranking.entries for cell in entry.cells]),
    }


def _facts(ranking: Ranking, entry: Entry) -> dict[str, str]:
    """What the number of a classifier rests on: its samples, their views, and how many were right before."""
    n = str(entry.estimate.n)
    return {"n": f"{n} \u00d7 {ranking.draws} views" if ranking.draws else n, "clean": f"{percent(entry.clean)}\u00a0%"}


def _states(ranking: Ranking) -> list[str]:
    """What the colour of a classifier says: the best, tied with it, worse, red; where all are tied none is the best."""
    known = ranking.known
    worse = any(not entry.tied for entry in known[1:])
    out = []
    for entry in ranking.entries:
        if entry not in known:
            out.append("red" if entry.red else "only")
        elif len(known) == 1:
            out.append("only")
        elif entry is known[0]:
            out.append("best" if worse else "tied")
        else:
            out.append("tied" if entry.tied else "worse")
    return out


def _row(entry: Entry, state: str, top: float) -> dict[str, Any]:
    """Where value and interval lie on an axis that ends at `top` percent; what is infinite at its end."""
    found = entry.estimate
    value, low, high = (min(1.0, 100 * part / top) for part in (found.value, found.low, found.high))
    low, high = (value if math.isnan(end) else end for end in (low, high))
    at, low, high = (0.0 if math.isnan(part) else part for part in (value, low, high))
    places = {"at": f"{100 * at:.2f}%", "low": f"{100 * low:.2f}%", "width": f"{100 * (high - low):.2f}%"}
    verdict = _VERDICTS.get(state, "")
    return {"name": entry.model, "text": amount(found), "state": state, "verdict": verdict, "red": entry.red, **places}
