"""Whether the numbers of a ranking stand, in words: what the checks found about its cells, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_lite.text import listed
from robustbench_lite.trust.smell import Check, Finding, findings

if TYPE_CHECKING:
    from robustbench_lite.report.headline import Entry, Ranking
    from robustbench_lite.results.store import Results

__all__ = ["Reason", "Standing", "standing"]


_ALONE = 24  # characters of a finding that says what it is about


@dataclass(frozen=True)
class Reason:
    """Why numbers do not stand: of whom, what was found, and what to do."""

    models: str
    title: str
    texts: tuple[str, ...]
    remedy: str


@dataclass(frozen=True)
class Standing:
    """The trust state of a ranking: `ok`, `warning` (the numbers stand) or `doubt` (some do not)."""

    level: str
    said: str
    reasons: tuple[Reason, ...] = ()


def standing(results: Results, ranking: Ranking) -> Standing:
    """What a reader must know before quoting these numbers."""
    red = [entry for entry in ranking.entries if entry.red]
    found = _found(results, dict.fromkeys(cell for entry in ranking.entries for cell in entry.cells))
    if red:
        return Standing("doubt", _doubted(ranking, red), tuple(_reasons(found, red)))
    if warned := [
        _warned(check, said) for check, said in found.items() if any(one.level == "warning" for _, one in said)
    ]:
        return Standing("warning", f"These numbers stand. Before you quote them: {'; '.join(warned)}.")
    return Standing("ok", "No check warns of these numbers." if found else "Nothing has checked these numbers.")


def _warned(check: Check, said: list[tuple[str, Finding]]) -> str:
    """What a check warns of, the first of its sentences."""
    texts = list(dict.fromkeys(finding.text for _, finding in said if finding.level == "warning"))
    first = texts[0] if len(texts[0]) > _ALONE else f"{check.title}: {texts[0]}"
    return first + (f" (and {len(texts) - 1} more of the kind)" if len(texts) > 1 else "")


def _doubted(ranking: Ranking, red: list[Entry]) -> str:
    if len(red) == len(ranking.entries) > 1:
        return "None of these numbers stands; do not quote them."
    models = listed([entry.model for entry in red])
    many = len(red) > 1
    said = f"The number{'s' * many} of {models} {'do' if many else 'does'} not stand"
    return f"{said}; do not quote {'them' if many else 'it'}."


def _found(results: Results, cells: Iterable[str]) -> dict[Check, list[tuple[str, Finding]]]:
    """What each check says of these cells, by the cell's id."""
    if "findings of cells" not in results.memo:
        results.memo["findings of cells"] = {case.cell["cell"]: every for case, every in findings(results)}
    known, out = results.memo["findings of cells"], dict[Check, list[tuple[str, Finding]]]()
    for cell in cells:
        for check, finding in known.get(cell, ()):
            out.setdefault(check, []).append((cell, finding))
    return out


def _reasons(found: dict[Check, list[tuple[str, Finding]]], red: list[Entry]) -> list[Reason]:
    """One a check that is red about these classifiers, with whom it is about and each of its sentences once."""
    out = []
    for check, said in found.items():
        models: dict[str, None] = {}
        texts: dict[str, None] = {}
        for cell, finding in said if any(finding.red for _, finding in said) else ():
            own = dict(finding.each)
            for entry in red if finding.red else ():
                if cell in entry.cells and (not own or entry.model in own):
                    models[entry.model] = texts[own.get(entry.model, finding.text)] = None
        if models:
            out.append(Reason(listed(list(models)), check.title, tuple(texts), check.remedy))
    return out
