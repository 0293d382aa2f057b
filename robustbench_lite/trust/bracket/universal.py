"""The bracket of one perturbation for all images: images on one side of a hyperplane, fitted on and tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.job import Fitting
from robustbench_lite.threat.goal import Goal
from robustbench_lite.trust.bracket.finding import Finding, attempt, guarded, job
from robustbench_lite.trust.bracket.problems import Problem, build
from robustbench_lite.trust.bracket.recipes import RECIPES, Task

__all__ = ["for_all"]


def for_all(attack: Attack, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:  # noqa: ARG001  (short)
    """What lies within reach must be fooled, up to the share that the attack promises; what is beyond cannot be."""
    promise = attack.promise
    task = Task(
        norm=attack.threat or "linf",
        size=attack.budget,
        factor=promise.factor,
        boxed=attack.boxed,
        straight=promise.straight,
        rivals=None,
        targeted=False,
        several=False,
        wrong=False,
        colour=False,
    )
    for recipe in (recipe for recipe in RECIPES if recipe.classes == 2):
        problem = build(recipe, task)
        for batch_size in batch_sizes if problem is not None else ():
            for own in (0, 1):
                assert problem is not None
                case = f"{recipe}, {attack.threat}, images of class {own}, batch {batch_size}"
                yield from guarded(attack, case, partial(_one_side, attack, problem, own, case, batch_size))


def _one_side(attack: Attack, problem: Problem, own: int, case: str, batch_size: int) -> Iterator[Finding]:
    side = (problem.goal.label == own).nonzero()[:, 0]
    x, goal = problem.x[side], Goal(problem.goal.label[side], 2)
    fitting = attack.tried(len(side))
    work = job(fitting, x, goal)
    work.setting = Fitting(work.x, work.goal, work.draw)
    verdicts, _ = attempt(fitting, problem.module, work, batch_size)
    budget = attack.budget or 0.0
    within = problem.promised[side] * attack.promise.factor + problem.blur <= budget
    beyond = problem.exact[side] * 0.98 - problem.blur > budget
    enough = min(int(within.sum()), -int(-attack.promise.share * len(side) // 1))
    won, impossible = int((verdicts.success & within).sum()), int((verdicts.success & beyond).sum())
    faults = [fault for fault in verdicts.fault if fault]
    found = f"{won}, {impossible} of {int(beyond.sum())} impossible"
    if faults:
        found += f", {len(faults)} contract violations: {faults[0]}"
    good = int(verdicts.success.sum()) >= enough and not impossible and not faults
    yield Finding(attack.registered, case, f"{enough} of {int(within.sum())} within reach", found, good)
