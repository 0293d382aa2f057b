"""What is said of a ranking, in two sentences: a pure function of what was found, so it cannot contradict its test.

There is one p-value a comparison, the adjusted one. Classifiers that the test cannot tell apart are said to be a tie,
and a number that does not stand is no headline (`standing` says why, and what to do).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from robustbench_lite.results.statistics import Estimate
from robustbench_lite.text import bracketed, listed, p_equals, p_value, percent, plural

__all__ = ["ALPHA", "Entry", "Lead", "Ranking", "amount"]

ALPHA = 0.05
_NEVER = "half or more of the images are never broken"


@dataclass(frozen=True)
class Entry:
    """One classifier. `p`: of its difference to the best, adjusted; None: nothing was tested (the best; one apart)."""

    model: str
    estimate: Estimate
    p: float | None
    attacks: tuple[str, ...]
    clean: float  # share that was right before the attack
    cells: tuple[str, ...]
    red: str = ""  # why its number does not stand; empty: it does

    @property
    def tied(self) -> bool:
        """Whether the paired test cannot tell it from the best."""
        return self.p is not None and self.p > ALPHA


@dataclass(frozen=True)
class Lead:
    """The best beside the second on the same n samples: a difference, or of medians the larger and smaller sizes."""

    difference: Estimate
    larger: int  # samples on which the best scores more
    smaller: int
    second: str
    others: int = 0  # with the same value as the second
    p: float = 1.0  # adjusted


@dataclass(frozen=True)
class Ranking:
    """One threat model on one dataset: the best classifier first, those whose number does not stand last."""

    dataset: str
    threat: str
    metric: str
    of: str  # what the estimates are a share of: images, views of them; empty: they are sizes, of a norm
    statistic: Literal["mean", "median"]  # of sizes: a median where failures are among them, as infinite
    entries: tuple[Entry, ...]
    test: str  # how ties were decided
    ahead: Lead | None = None  # None: there is nobody to be ahead of
    reached: str = ""  # alone in views: what each attack achieves
    draws: int = 0  # views of each image; 0: the image itself

    @property
    def known(self) -> tuple[Entry, ...]:
        """Those that have a number that stands."""
        return tuple(entry for entry in self.entries if not entry.red and not math.isnan(entry.estimate.value))

    @property
    def answer(self) -> str:
        """One sentence that names its subject."""
        known = self.known
        if not known:
            return _nothing(self.entries)
        best = known[0]
        if self.of and best.estimate.value == 0:
            return f"{_nobody(known)}: every {self.of.removesuffix('s')} is misclassified"
        if len(known) == 1:
            return f"{best.model}: {self._said([best])}"
        tied = [best, *(entry for entry in known[1:] if entry.tied)]
        if len(tied) == 1:
            return f"{best.model} holds out best: {self._said(tied)}"
        return f"{self._tie(tied, known)}: {self._said(tied)}"

    def _tie(self, tied: Sequence[Entry], known: Sequence[Entry]) -> str:
        p = [entry.p for entry in tied if entry.p is not None]
        chance = f"p {'=' if len(p) == 1 or min(p) == 1 else '≥'} {p_value(min(p))}"
        if len(tied) == len(known) > 4:
            return f"None of {len(known)} classifiers stands out ({chance})"
        best = " hold out best and" if len(tied) < len(known) else ""
        return f"{listed([entry.model for entry in tied])}{best} cannot be told apart ({chance})"

    def _said(self, entries: Sequence[Entry]) -> str:
        """The value that all of these have, or from which to which they go."""
        values = sorted(entry.estimate.value for entry in entries)
        if self.statistic == "median" and not self.of:
            return _medians(values)
        low, high = percent(values[0]), percent(values[-1])
        span = f"{high} %" if low == high else f"{high} and {low} %" if len(values) == 2 else f"{low} to {high} %"
        each = " with each" if len(entries) > 1 and low == high else ""
        if not self.of:
            return f"an image must change by {span} of its norm{each}"
        if values[0] == 1:
            return f"every {self.of.removesuffix('s')} stays right{each}"
        return f"{span} of the {self.of} stay right{each}"

    @property
    def lead(self) -> str:
        """By how much the first is ahead of the second, by more than chance or not."""
        return self.reached if self.ahead is None else _ahead(self, self.ahead)


def _nothing(entries: Sequence[Entry]) -> str:
    red = [entry.model for entry in entries if entry.red]
    if not red:
        return f"Nothing can be said of {listed([entry.model for entry in entries])}: not defined on every sample"
    return f"The number of {red[0]} does not stand" if len(red) == 1 else f"None of these {len(red)} numbers stands"


def _nobody(known: Sequence[Entry]) -> str:
    names = [entry.model for entry in known]
    if len(names) == 1:
        return f"{names[0]} does not hold out"
    return f"Neither {' nor '.join(names)} holds out" if len(names) == 2 else "No classifier holds out"


def _medians(values: Sequence[float]) -> str:
    """Half of the images need more than the median; where that is infinite, most are never broken."""
    low, high = percent(values[0]), percent(values[-1])
    if math.isinf(values[0]):
        return _NEVER
    if math.isinf(values[-1]):
        return (
            f"half of the images need a change of more than {low} % of their norm with the one, {_NEVER} with another"
        )
    span = high if low == high else f"{low} to {high}"
    return f"half of the images need a change of more than {span} % of their norm"


def _ahead(ranking: Ranking, lead: Lead) -> str:
    best, n = ranking.known[0].model, lead.difference.n
    more = f"{plural(lead.others, 'other')} with the same value"
    others = f" (and {more})" if lead.others else ""
    second, same = f"{lead.second}{others}", f"the same {n} images" if n > 1 else "the same image"
    if lead.larger == lead.smaller == 0:  # nothing was seen that chance could explain
        return f"{best} and {second} come out the same on {'each of ' * (n > 1)}{same}."
    sure = "This may be chance" if lead.p > ALPHA else "This is a real difference"
    verdict = f"{sure} ({ranking.test}, {p_equals(lead.p)})."
    if ranking.statistic == "median" and not ranking.of:
        counts = f"needs the larger change on {lead.larger} and the smaller on {lead.smaller} of {same}"
        return f"{best} beside {second} {counts}. {verdict}"
    value, unit = lead.difference.value, "points" if ranking.of else "points of its norm"
    if value == 0:
        return (
            f"{best} and {second} come out the same on {same} ({lead.larger} better, {lead.smaller} worse). {verdict}"
        )
    size = f"{percent(value)} {unit}" if round(100 * value, 1) > 0 else f"less than 0.1 {unit}"
    return f"{best} is {size}{_interval(lead.difference)} ahead of {second} on {same}. {verdict}"


def _interval(found: Estimate) -> str:
    return "" if math.isnan(found.low) else f" [{percent(found.low)}, {percent(found.high)}]"


def amount(found: Estimate) -> str:
    """A share or a relative size in percent with its interval, as a bar is labelled; infinite: never broken."""
    if math.isinf(found.value):
        return "half or more never broken"
    if math.isnan(found.value):
        return "not defined"
    value, low, high = (percent(part) for part in (found.value, found.low, found.high))
    return f"{value}\u00a0%" if math.isnan(found.low) else f"{bracketed(value, low, high)}\u00a0%"
