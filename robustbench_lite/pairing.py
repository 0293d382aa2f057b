"""`check`: every gate of a run beside its partner in the baseline, and a verdict on each with its reason.

Partners have the same dataset, classifier name, sources, attack and parameters, and the same samples. The seed and the
weights may differ: what changed is what is asked.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from robustbench_lite.baseline import Baseline, Scores
from robustbench_lite.errors import BaselineError
from robustbench_lite.gate import Gate
from robustbench_lite.regress import Finding, Pairs, findings, floors

__all__ = ["Report", "Verdict", "check"]

Status = Literal["incomparable", "failed", "improved", "passed"]
_ORDER = ("incomparable", "failed", "improved", "passed")
_SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class Verdict:
    """One gate. `reasons` says why it did not pass; `findings` are empty where nothing could be compared."""

    scores: Scores
    status: Status
    reasons: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    partner: Scores | None = None  # of the baseline, where that is not the same experiment

    @property
    def keys(self) -> set[tuple[str, ...]]:
        """The gates that this is about: two where a partner differs."""
        return {self.scores.key} | ({self.partner.key} if self.partner else set())

    @property
    def name(self) -> str:
        """Classifier, attack, dataset: what people call this gate."""
        seen = f" attacked through {self.scores.through}" if self.scores.through else ""
        return f"{self.scores.model}{seen} · {self.scores.variant} · {self.scores.dataset}"

    @property
    def passed(self) -> bool:
        return self.status in {"passed", "improved"}

    @property
    def _rank(self) -> tuple[int, float, str]:
        worst = max((finding.drop / max(finding.margin, 0.1) for finding in self.findings), default=float("inf"))
        return _ORDER.index(self.status), -worst, self.name


@dataclass(frozen=True)
class Report:
    """All verdicts of a run, worst first, and the rules that they follow."""

    verdicts: tuple[Verdict, ...]
    gate: Gate
    about: dict[str, Any]  # of the baseline

    def of(self, status: Status) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.status == status)

    @property
    def tests(self) -> int:
        return sum(finding.tested for verdict in self.verdicts for finding in verdict.findings)

    @property
    def exit_code(self) -> int:
        """4 where something could not be compared, 1 where something failed, else 0."""
        return BaselineError.exit_code if self.of("incomparable") else 1 if self.of("failed") else 0


def check(
    baseline: Baseline, scores: Sequence[Scores], gate: Gate, only: Container[tuple[str, ...]] | None = None
) -> Report:
    """A verdict on every gate of the baseline and of the run, or `only` on those with these keys.

    Raises BaselineError where nothing matches: no gate at all, or none that a rule of the gate names.
    """
    new, old = {one.key: one for one in scores}, {one.key: one for one in baseline.scores}
    for rule in gate.cells:
        if not any(rule.matches(one) for one in (*new.values(), *old.values())):
            raise BaselineError(f"gate: the rule for {rule} matches none of the {len(new)} gates; mind its patterns")
    if only is not None:
        new, old = ({key: one for key, one in side.items() if key in only} for side in (new, old))
    if not new.keys() & old.keys():
        hints = sorted(_incomparable(new, old), key=lambda verdict: verdict.partner is None)
        reason = f"{hints[0].name}: {hints[0].reasons[0]}" if hints else "the run has no cells"
        raise BaselineError(f"no gate matched: {reason}")
    verdicts = [*_compared(new, old, gate), *_incomparable(new, old)]
    return Report(tuple(sorted(verdicts, key=lambda verdict: verdict._rank)), gate, baseline.about)  # noqa: SLF001


Sides = dict[tuple[str, ...], Scores]


def _compared(new: Sides, old: Sides, gate: Gate) -> Iterator[Verdict]:
    """Verdicts on the gates that both sides have."""
    sound: list[tuple[Scores, Pairs]] = []
    for key in old:
        if key not in new:
            continue
        one = new[key]
        if one.trouble:
            yield Verdict(one, "failed", (one.trouble,))
        elif problem := _different(old[key], one):
            yield Verdict(one, "incomparable", (problem,))
        else:
            sound.append((one, _pairs(old[key], one, gate)))
    for (one, pair), found in zip(sound, findings([pair for _, pair in sound], gate), strict=True):
        yield _verdict(one, pair, found, gate)


def _verdict(one: Scores, pair: Pairs, found: tuple[Finding, ...], gate: Gate) -> Verdict:
    reasons = [_fell(finding) for finding in found if finding.worse(gate)] + floors(pair, gate)
    most = pair.limits.max_cost
    if most is not None and (one.cost is None or one.cost > most):
        cost = "is not known" if one.cost is None else f"is {one.cost:.1f} passes per sample"
        reasons.append(f"the attack's time {cost}: at most {most:g} are allowed")
    better = any(finding.better(gate) for finding in found)
    status: Status = "failed" if reasons else "improved" if better else "passed"
    return Verdict(one, status, tuple(reasons), found)


def _fell(finding: Finding) -> str:
    if finding.of_accuracy:
        return f"robust accuracy fell by {finding.drop:.1f} points, more than {finding.margin:g}"
    return f"mean {finding.metric} fell by {finding.drop:.3g} %, more than {finding.margin:g}"


def _pairs(before: Scores, after: Scores, gate: Gate) -> Pairs:
    limits, distance, rho = gate.limits(after), None, None
    if before.distances is not None and after.distances is not None:
        rho = after.distances["rho"]
        first, second = before.distances[gate.distance], after.distances[gate.distance]
        both = before.success & after.success & np.isfinite(first) & np.isfinite(second)
        distance = first[both], second[both]
    return Pairs((before.robust, after.robust), distance, rho, limits)


def _different(before: Scores, after: Scores) -> str:
    """Why two sides of one key are not the same experiment; empty where they are."""
    if before.facts["version"] != after.facts["version"]:
        versions = [one.facts["version"] for one in (before, after)]
        return f"the attack's code is version {versions[1]}, in the baseline {versions[0]}; write a new baseline"
    if before.samples != after.samples:
        common = len(set(before.samples) & set(after.samples))
        return (
            f"other data: {len(before.samples)} samples in the baseline, {len(after.samples)} here, {common} in common"
            "; run on the same samples, or write a new baseline"
        )
    relabelled = int((before.labels != after.labels).sum())
    return f"other data: {relabelled} samples have another label than in the baseline" if relabelled else ""


def _incomparable(new: Sides, old: Sides) -> Iterator[Verdict]:
    """Gates without a partner, each with the reason."""
    lone_new = {key: one for key, one in new.items() if key not in old}
    for key, one in old.items():
        if key not in new:
            partner = _nearest(one, lone_new)
            if partner is None:
                reason = (
                    "no partner: it is in the baseline, and the run has no such cell; run it, or write a new baseline"
                )
                yield Verdict(one, "incomparable", (reason,))
            else:
                del lone_new[partner.key]
                yield Verdict(partner, "incomparable", (_other(one, partner),), partner=one)
    for one in lone_new.values():
        yield Verdict(one, "incomparable", ("no partner: the baseline has no such cell; write a new baseline",))


def _nearest(one: Scores, others: Sides) -> Scores | None:
    """The other side that differs in the parameters only, or else in the data only."""
    same = [other for other in others.values() if other.key[:4] == one.key[:4]]
    if same:
        return min(same, key=lambda other: len(_changed(one, other)))
    return next((other for other in others.values() if other.key[1:] == one.key[1:]), None)


def _changed(one: Scores, other: Scores) -> list[str]:
    before, after = (json.loads(side.facts["params"]) for side in (one, other))
    absent = object()
    names = sorted(name for name in before | after if before.get(name, absent) != after.get(name, absent))
    return [f"{name} is {_shown(after, name)}, in the baseline {_shown(before, name)}" for name in names]


def _shown(params: dict[str, Any], name: str) -> str:
    return json.dumps(params[name], ensure_ascii=False) if name in params else "not there"


def _other(one: Scores, other: Scores) -> str:
    if one.dataset != other.dataset:
        return f"other data: the baseline has dataset '{one.dataset}'; write a new baseline"
    changed = _changed(one, other)
    more = f" (and {len(changed) - _SHOWN} more)" if len(changed) > _SHOWN else ""
    return f"other attack parameters: {'; '.join(changed[:_SHOWN])}{more}; write a new baseline"
