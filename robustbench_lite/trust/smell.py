"""Evaluation smells: each check looks at one cell's rows and says whether its numbers can be believed.

One check per file in `smells/`. `Check.why` is the paragraph that a report shows beside a warning, `Check.remedy` what
to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from robustbench_lite.registry import Registry
from robustbench_lite.results.evaluation import Evaluation
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.text import first_of

if TYPE_CHECKING:
    from robustbench_lite.results.schema import Row
    from robustbench_lite.results.store import Results

__all__ = [
    "Case",
    "Check",
    "Doubt",
    "Finding",
    "advised",
    "alike",
    "cases",
    "checks",
    "doubt",
    "doubt_each",
    "doubts",
    "doubts_of",
    "findings",
    "fine",
    "register",
    "unknown",
    "warning",
]

Level = Literal["ok", "warning", "unknown"]


@dataclass(frozen=True)
class Case:
    """One cell with an evaluation for each scored classifier, among all cells of the results."""

    scored: tuple[Evaluation, ...]
    results: Results

    @property
    def cell(self) -> Row:
        return self.scored[0].cell

    @property
    def params(self) -> Mapping[str, Any]:
        """Every parameter of the attack."""
        return self.scored[0].params

    @property
    def seen(self) -> tuple[Evaluation, ...]:
        """Of the scored classifiers those that the attack saw."""
        return tuple(one for one in self.scored if one.white_box)

    def warnings(self, kind: str) -> list[str]:
        """What was found of this kind while the cell ran."""
        return [caveat.text for caveat in self.scored[0].caveats if caveat.kind == kind]


@dataclass(frozen=True)
class Finding:
    """What a check says of a cell, in one sentence. `unknown`: these results cannot tell, and why.

    `red`: a warning after which the number itself cannot be believed, so it is no headline, and no improvement.
    """

    level: Level
    text: str
    red: bool = False
    each: tuple[tuple[str, str], ...] = ()  # (classifier, sentence): about whose numbers it is; empty: the whole cell's
    brief: str = ""  # the first of several sentences, and how many more there are; empty: there is one


@dataclass(frozen=True)
class Doubt:
    """Why a number cannot be believed: the check's name and title, and what it found."""

    check: str
    title: str
    text: str
    brief: str = ""  # where that is long

    def __str__(self) -> str:
        """What a headline or a footnote has room for; table trust has the whole text."""
        return f"{self.title}: {self.brief or self.text}"


@dataclass(frozen=True)
class Check:
    """A named check: `why` is a paragraph on the smell, `remedy` what whoever finds it can do."""

    name: str
    title: str
    why: str
    look: Callable[[Case, tuple[Case, ...]], Finding]
    remedy: str = ""


checks: Registry[Check] = Registry("check", "robustbench_lite.trust.smells")


def advised(check: Check) -> str:
    """The paragraph on a smell, and what to do where it is found."""
    return f"{check.why} What to do: {check.remedy}" if check.remedy else check.why


def register(
    name: str, title: str, why: str, remedy: str = ""
) -> Callable[[Callable[[Case, tuple[Case, ...]], Finding]], Check]:
    """Decorate `look(case, all_cases) -> Finding` with this."""

    def add(look: Callable[[Case, tuple[Case, ...]], Finding]) -> Check:
        return checks.add(name, Check(name, title, why, look, remedy), look)

    return add


def cases(results: Results) -> tuple[Case, ...]:
    """The finished cells of the results, in the order of the run. A failed cell has no number to doubt."""
    found: dict[str, list[Evaluation]] = {}
    for one in evaluations(results):
        found.setdefault(one.id, []).append(one)
    return tuple(
        Case(tuple(members), results)
        for members in found.values()
        if members[0].cell["status"] == "ok" and all(len(one) for one in members)
    )


def alike(case: Case, everything: tuple[Case, ...], name: str, key: Callable[[Case], Any]) -> list[Case]:
    """The cases with the same key, this one included; `name` says which key. All are looked through only once."""
    index = case.results.memo.get(f"alike in {name}")
    if index is None:
        index = case.results.memo[f"alike in {name}"] = {}
        for other in everything:
            index.setdefault(key(other), []).append(other)
    return list(index.get(key(case), []))


def findings(results: Results) -> list[tuple[Case, list[tuple[Check, Finding]]]]:
    """Every finished cell with what each check says of it, worked out once."""
    if "findings" not in results.memo:
        everything, known = cases(results), list(checks.values())
        results.memo["findings"] = [
            (case, [(check, check.look(case, everything)) for check in known]) for case in everything
        ]
    return list(results.memo["findings"])


def doubts(results: Results) -> dict[str, tuple[Doubt, ...]]:
    """Of each finished cell, by its id, the checks that are red; empty where the number can be believed."""
    if "doubts" not in results.memo:
        results.memo["doubts"] = {
            case.cell["cell"]: tuple(
                Doubt(check.name, check.title, one.text, one.brief) for check, one in said if one.red and not one.each
            )
            for case, said in findings(results)
        }
    return dict(results.memo["doubts"])


def doubts_of(results: Results, one: Evaluation) -> tuple[Doubt, ...]:
    """The same of an evaluation: what is red about its cell, and about this classifier among those that it scores."""
    if "doubts of" not in results.memo:
        found: dict[tuple[str, str], list[Doubt]] = {}
        for case, said in findings(results):
            for check, finding in said:
                for model, text in finding.each if finding.red else ():
                    found.setdefault((case.cell["cell"], model), []).append(Doubt(check.name, check.title, text))
        results.memo["doubts of"] = found
    own = results.memo["doubts of"].get((one.id, one.model), [])
    return (*doubts(results).get(one.id, ()), *own)


def fine(text: str) -> Finding:
    return Finding("ok", text)


def warning(text: str) -> Finding:
    """What a reader must know; the number stands."""
    return Finding("warning", text)


def doubt(*sentences: str) -> Finding:
    """A warning after which the number does not stand."""
    return Finding("warning", "; ".join(sentences), red=True, brief=first_of(sentences))


def doubt_each(each: Mapping[str, str]) -> Finding:
    """The same of some classifiers that the cell scores, by their names, and of no others."""
    text = "; ".join(f"{model}: {one}" for model, one in each.items())
    return Finding("warning", text, red=True, each=tuple(each.items()))


def unknown(text: str) -> Finding:
    return Finding("unknown", text)
