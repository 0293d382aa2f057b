"""The bracket of attacks that others wrote: they promise nothing, but nobody does the impossible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robustbench_lite.engine.attack import Attack
from robustbench_lite.trust.bracket.finding import Finding, attempt, guarded, job
from robustbench_lite.trust.bracket.problems import Problem, build
from robustbench_lite.trust.bracket.recipes import PICTURES, Task

__all__ = ["of_others"]

_RESOLUTION = 0.98  # nothing succeeds below this share of the exact radius


def of_others(attack: Attack, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:  # noqa: ARG001
    """One problem of ten classes, in the attack's own batches."""
    attack = attack.tried(0)
    targeted, norm = attack.target is not None, attack.threat or "linf"
    task = Task(
        norm=norm,
        size=attack.budget,
        factor=1.0,
        boxed=True,
        straight=False,
        rivals=None,
        targeted=targeted,
        several=not targeted,
        wrong=False,
        colour=attack.threat is None,
    )
    problem = build(PICTURES, task)
    if problem is not None:
        case = f"{problem.name}, {attack.threat or 'no norm'}{', targeted' * targeted}"
        yield from guarded(attack, case, lambda: iter([_judged(attack, problem, case)]))


def _judged(attack: Attack, problem: Problem, case: str) -> Finding:
    verdicts, outcome = attempt(attack, problem.module, job(attack, problem.x, problem.goal), len(problem.x))
    won, used = verdicts.success, verdicts.size(attack.threat or "linf")
    impossible = int((won & (used < problem.exact * _RESOLUTION - problem.blur)).sum())
    faults = [text for text in (*verdicts.fault, *(text for text in outcome.said)) if text]
    said = f"{int(won.sum())} of {len(won)} succeed, {impossible} impossible"
    said += f", {len(faults)} contract violations: {faults[0]}" if faults else ""
    return Finding(attack.title, case, "none impossible", said, not (impossible or faults))
