"""`check`: every gate of a run beside its partner in the baseline, and a verdict on each with its reason.

Partners have the same dataset, classifier name, sources, attack and parameters, and the same samples. The seed and the
weights may differ: what changed is what is asked. A classifier with another name is the one with the same weights.

A number that does not stand is no improvement: where a check is red that the baseline passed, or an attack without a
budget has stopped succeeding, the gate is incomparable, unless it also lost, which fails.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from robustbench_lite.errors import BaselineError, ExitCode
from robustbench_lite.gate.baseline import Baseline
from robustbench_lite.gate.rules import Gate
from robustbench_lite.gate.scores import Scores
from robustbench_lite.gate.statistics import Finding, Pairs, findings, floors
from robustbench_lite.registry import canonical
from robustbench_lite.results.statistics import ENOUGH
from robustbench_lite.text import budget, percent

__all__ = ["Report", "Verdict", "check"]

Status = Literal["incomparable", "failed", "improved", "passed"]
_ORDER = ("incomparable", "failed", "improved", "passed")
_SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class Verdict:
    """One gate. `reasons` says why it did not pass; `findings` are empty where nothing could be compared.

    `partner`: of the baseline, where its name or its experiment is another. `remarks`: what else to know of it.
    """

    scores: Scores
    status: Status
    reasons: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    partner: Scores | None = None
    remarks: tuple[str, ...] = ()

    @property
    def keys(self) -> set[tuple[str, ...]]:
        """The gates that this is about: two where a partner differs."""
        return {self.scores.key} | ({self.partner.key} if self.partner else set())

    @property
    def name(self) -> str:
        return self.scores.name

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
        if self.of("incomparable"):
            return ExitCode.BASELINE
        return ExitCode.FAILED_GATE if self.of("failed") else ExitCode.OK


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
    pairs = [(old[other], new[own]) for own, other in _partners(new, old).items()]
    found = {key for pair in pairs for key in (pair[0].key, pair[1].key)}
    alone = [{key: one for key, one in side.items() if key not in found} for side in (new, old)]
    if only is not None:
        pairs = [pair for pair in pairs if any(one.key in only for one in pair)]
        alone = [{key: one for key, one in side.items() if key in only} for side in alone]
    odd = list(_incomparable(*alone))
    if not pairs:
        hints = sorted(odd, key=lambda verdict: verdict.partner is None)
        reason = f"{hints[0].name}: {hints[0].reasons[0]}" if hints else "the run has no cells"
        raise BaselineError(f"no gate matched: {reason}")
    verdicts = [*_compared(pairs, gate), *odd]
    return Report(tuple(sorted(verdicts, key=lambda verdict: verdict._rank)), gate, baseline.about)  # noqa: SLF001


Key = tuple[str, ...]
Sides = dict[Key, Scores]


def _partners(new: Sides, old: Sides) -> dict[Key, Key]:
    """Which gate of the baseline each gate of the run goes with, in the baseline's order; renamed ones last."""
    found = {key: key for key in old if key in new}
    names = _renamed(new.values(), old.values())
    for key in new:
        if (other := _under(names, key)) in old and other not in new and key not in found:
            found[key] = other
    return found


def _renamed(new: Iterable[Scores], old: Iterable[Scores]) -> dict[str, str]:
    """New names of classifiers and their names in the baseline: the only ones with those weights on either side."""
    before, after = _by_weights(old), _by_weights(new)
    kept = {name for names in before.values() for name in names} & {name for names in after.values() for name in names}
    lone = {weights: (after[weights] - kept, before[weights] - kept) for weights in before.keys() & after.keys()}
    return {own.pop(): other.pop() for own, other in lone.values() if len(own) == len(other) == 1}


def _by_weights(scores: Iterable[Scores]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for one in scores:
        if one.facts["weights"]:
            found[one.facts["weights"]].add(one.model)
    return found


def _under(names: Mapping[str, str], key: Key) -> Key:
    """A gate's key under the names of the baseline: of the scored classifier, and of those that the attack saw."""
    dataset, source, model, attack, params = key
    seen = names.get(source) or "+".join(names.get(part, part) for part in source.split("+"))
    plain = json.loads(params)
    if isinstance(plain.get("sources"), list):
        params = canonical(plain | {"sources": [names.get(name, name) for name in plain["sources"]]})
    return dataset, seen, names.get(model, model), attack, params


def _compared(pairs: Sequence[tuple[Scores, Scores]], gate: Gate) -> Iterator[Verdict]:
    """Verdicts on the gates that both sides have, (before, after) each."""
    sound: list[tuple[Scores, Scores, Pairs]] = []
    for before, after in pairs:
        partner = before if before.key != after.key else None
        if after.trouble:
            yield Verdict(after, "failed", (after.trouble,), partner=partner)
        elif problem := _different(before, after):
            yield Verdict(after, "incomparable", (problem,), partner=partner)
        else:
            sound.append((before, after, _pairs(before, after, gate)))
    for (before, after, pair), found in zip(sound, findings([pair for *_, pair in sound], gate), strict=True):
        yield _verdict(before, after, pair, found, gate)


def _verdict(before: Scores, after: Scores, pair: Pairs, found: tuple[Finding, ...], gate: Gate) -> Verdict:
    reasons = [_fell(finding) for finding in found if finding.worse(gate)] + floors(pair, gate)
    most = pair.limits.max_cost
    if most is not None and (after.cost is None or after.cost > most):
        cost = "is not known" if after.cost is None else f"is {after.cost:.1f} passes per sample"
        reasons.append(f"the attack's time {cost}: at most {most:g} are allowed")
    doubts = list(_doubts(before, after))
    better = any(finding.better(gate) for finding in found) and not after.red
    status: Status = "failed" if reasons else "incomparable" if doubts else "improved" if better else "passed"
    renamed = before.key != after.key
    remarks = [f"called {before.name} in the baseline; the weights are the same"] if renamed else []
    if after.red and not doubts:
        remarks += [f"this number does not stand, nor does the baseline's; {doubt}" for doubt in after.doubts]
    partner = before if renamed else None
    return Verdict(after, status, (*reasons, *doubts), found, partner, tuple(remarks))


def _doubts(before: Scores, after: Scores) -> Iterator[str]:
    """Why the new number does not stand where the old one did."""
    shares = [float(side.success.mean()) for side in (before, after)]
    stopped = before.distances is not None and shares[0] >= ENOUGH > shares[1]
    if stopped:
        yield (
            f"not comparable: the attack has no budget and broke {percent(shares[0])} % of the samples in the "
            f"baseline, {percent(shares[1])} % here; an attack that stops succeeding is no sign of robustness: look "
            "at the gradients of the classifier"
        )
    known = "which the baseline's did" if before.red is not None else "and the baseline does not say whether its did"
    for doubt in after.doubts:
        if doubt.check not in (before.red or ()) and not (stopped and doubt.check == "unbounded"):
            yield f"not comparable: this number does not stand, {known}; {doubt}"


def _fell(finding: Finding) -> str:
    if finding.of_accuracy:
        return f"robust accuracy fell by {finding.drop:.1f} points, more than {finding.margin:g}"
    kind = "" if finding.of_median else "mean "
    return f"{kind}{finding.metric} fell by {finding.drop:.3g} %, more than {finding.margin:g}"


def _pairs(before: Scores, after: Scores, gate: Gate) -> Pairs:
    sizes = before.sizes, after.sizes
    distance = None if sizes[0] is None or sizes[1] is None else (sizes[0][gate.distance], sizes[1][gate.distance])
    rho = None if sizes[1] is None else sizes[1]["rho"]
    return Pairs((before.robust, after.robust), distance, rho, gate.limits(after), after.worst)


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
    seeds = [one.facts["seed"] for one in (before, after)]
    if json.loads(after.facts["params"]).get("target") == "random" and None not in seeds and seeds[0] != seeds[1]:
        return f"other targets: they are drawn by seed {seeds[1]}, in the baseline by {seeds[0]}; run with that seed"
    relabelled = int((before.labels != after.labels).sum())
    return f"other data: {relabelled} samples have another label than in the baseline" if relabelled else ""


def _incomparable(new: Sides, old: Sides) -> Iterator[Verdict]:
    """Gates without a partner, each with the reason."""
    left = dict(new)
    for one in old.values():
        partner = _nearest(one, left)
        if partner is None:
            reason = "it is in the baseline, and the run has no such cell; run it, or write a new baseline"
            yield Verdict(one, "incomparable", (f"no partner: {reason}{_namesake(one, new, 'the run')}",))
        else:
            del left[partner.key]
            yield Verdict(partner, "incomparable", (_other(one, partner),), partner=one)
    for one in left.values():
        reason = "the baseline has no such cell; write a new baseline"
        yield Verdict(one, "incomparable", (f"no partner: {reason}{_namesake(one, old, 'the baseline')}",))


def _namesake(one: Scores, others: Sides, where: str) -> str:
    """Whether it may be another name of the same classifier, and why that is not taken for granted."""
    fits = (other for other in others.values() if (other.dataset, *other.key[3:]) == (one.dataset, *one.key[3:]))
    names = list(dict.fromkeys(other.model for other in fits))
    if not names:
        return ""
    told = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    return (
        f"; {where} has {told} under the same attack: a renamed classifier is recognised where no other has its "
        "weights, else give it its old `name:`"
    )


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
    if name not in params:
        return "not there"
    value = params[name]
    return budget(value) if name == "epsilon" and value else json.dumps(value, ensure_ascii=False)


def _other(one: Scores, other: Scores) -> str:
    if one.dataset != other.dataset:
        return f"other data: the baseline has dataset '{one.dataset}'; write a new baseline"
    changed = _changed(one, other)
    more = f" (and {len(changed) - _SHOWN} more)" if len(changed) > _SHOWN else ""
    return f"other attack parameters: {'; '.join(changed[:_SHOWN])}{more}; write a new baseline"
