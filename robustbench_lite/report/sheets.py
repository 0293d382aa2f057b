"""The cells of one classifier, each with its numbers, what every check says of it, and what the attack looks like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from robustbench_lite.report.pictures import specimen
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.statistics import size_of, wilson
from robustbench_lite.results.worst_case import worst_case_of
from robustbench_lite.text import bracketed, duration, percent, significant
from robustbench_lite.trust.smell import findings

if TYPE_CHECKING:
    from robustbench_lite.report._shown import View
    from robustbench_lite.results.evaluation import Evaluation, Flags
    from robustbench_lite.results.store import Results
    from robustbench_lite.trust.smell import Check, Finding

__all__ = ["sheets"]

_LOUD = {"doubt", "warning"}
_WORDS = {"doubt": "red", "warning": "warning", "unknown": "cannot tell", "ok": "ok"}


def sheets(results: Results, view: View) -> list[dict[str, Any]]:
    """Of a page on one classifier all cells that scored it; of other pages none."""
    if not view.model:
        return []
    out, used = [], 0
    said = {case.cell["cell"]: every for case, every in findings(results)}
    for one in (one for one in evaluations(results) if one.model == view.model):
        example = specimen(results, [(one.model, one.id)]) if one.ok and (not view.bytes or used < view.bytes) else None
        used += len(example.clean + example.adversarial + example.difference) if example else 0
        found = sorted(_said(one, said.get(one.id, [])), key=lambda line: [*_WORDS].index(line[0]))
        out.append(
            {
                "id": one.id,
                "title": f"{one.dataset}: {one.variant}{f' made for {one.through}' if one.through else ''}",
                "trouble": one.trouble,
                "facts": list(_facts(results, one)) if one.ok else [],
                "findings": [line for line in found if line[0] in _LOUD],
                "fine": [line for line in found if line[0] not in _LOUD],
                "example": example,
            }
        )
    return out


def _said(one: Evaluation, every: list[tuple[Check, Finding]]) -> Iterator[tuple[str, str, str]]:
    """What each check says: its level, in a word, and the sentence; of this classifier where it speaks of each."""
    for check, finding in every:
        own = dict(finding.each).get(one.model, "") if finding.each else finding.text
        level = "doubt" if finding.red else finding.level
        if own:
            yield level, _WORDS[level], f"{check.title}: {own}"


def _facts(results: Results, one: Evaluation) -> Iterator[tuple[str, str]]:
    yield "right before the attack", _share(one["clean_correct"])
    if one.viewed:
        yield "right in fresh views", f"{percent(float(one.share_of_views('draws_label').mean()))} % (n={len(one)})"
    else:
        yield "right before and after", _share(one.robust)
    if case := worst_case_of(results, one):
        yield "and after every attack within the budget", _share(case.robust)
    yield "the attack reached its goal", _share(one.success)
    if one.minimal:
        size = size_of(one.size, one.success)
        found = (significant(part) for part in (size.estimate.value, size.estimate.low, size.estimate.high))
        yield f"{size.statistic} {one.norm} size", f"{bracketed(*found)} (n={size.estimate.n})"
    yield "survives in 8 bits", _share(one["success_8bit"])
    each = significant(one.passes / max(1, len(one)))
    yield "cost", f"{each} passes an image, {duration(float(one.cell['seconds'] or 0))} in all"
    yield "parameters", ", ".join(f"{key}={value}" for key, value in one.params.items())


def _share(flags: Flags) -> str:
    found = wilson(int(flags.sum()), len(flags))
    return f"{bracketed(*(percent(part) for part in (found.value, found.low, found.high)))} % (n={found.n})"
