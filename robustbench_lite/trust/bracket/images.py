"""The bracket of attacks on single images: with a budget, minimal, of one size for all, or without a norm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.card import Promise
from robustbench_lite.engine.job import Fitting
from robustbench_lite.engine.judge import Verdicts
from robustbench_lite.threat.goal import Goal
from robustbench_lite.trust.bracket.finding import Finding, attempt, guarded, job
from robustbench_lite.trust.bracket.problems import Problem, build
from robustbench_lite.trust.bracket.recipes import RECIPES, N, Recipe, Task

__all__ = ["LONG", "on_images"]

_RESOLUTION = 0.98  # nothing succeeds below this share of the exact radius
_TINY = 1e-6  # sizes of perturbations that are none


def on_images(
    attack: Attack, batch_sizes: Sequence[int], *, whole: bool, recipes: Sequence[Recipe] = RECIPES
) -> Iterator[Finding]:
    """The attack as it is configured, its views aside, on every problem; `whole`: also those that take long."""
    attack = attack.tried(N)
    promise = attack.promise  # before it runs
    task = _task(attack, promise)
    for recipe in recipes:
        if attack.threat is None and recipe.gap < 1:
            continue  # what such an attack does depends on the scale of the logits: it may pay for distance
        if not whole and not recipe.plain and attack.typical_passes > LONG:
            continue
        problem = build(recipe, task)
        for batch_size in _sizes(attack, recipe, batch_sizes) if problem is not None else ():
            assert problem is not None
            case = f"{problem.name}, {attack.threat or 'no norm'}{', targeted' * task.targeted}, batch {batch_size}"
            yield from guarded(attack, case, partial(_checked, attack, promise, problem, case, batch_size))


LONG = 500  # passes of an image


def _sizes(attack: Attack, recipe: Recipe, batch_sizes: Sequence[int]) -> Sequence[int]:
    """The batch sizes to try: all on plain problems, one on others, where images alone would take most of the time.

    Of an attack that asks for thousands of passes not each image alone.
    """
    if len(batch_sizes) == 1:
        return batch_sizes
    lengthy = attack.access != "gradients" and attack.typical_passes > LONG
    if recipe.plain:
        return batch_sizes[1:] if lengthy else batch_sizes
    return batch_sizes[-1:] if lengthy else batch_sizes[1:2]


def _task(attack: Attack, promise: Promise) -> Task:
    targeted = attack.target is not None
    return Task(
        norm=attack.threat or "linf",
        size=promise.reach if attack.threat is None else attack.budget,
        factor=promise.factor,
        boxed=attack.boxed,
        straight=promise.straight,
        rivals=promise.rivals,
        targeted=targeted,
        several=attack.minimal and not targeted,
        wrong=attack.goal == "label",
        colour=attack.threat is None,
    )


def _checked(attack: Attack, promise: Promise, problem: Problem, case: str, batch_size: int) -> Iterator[Finding]:
    if promise.pair and problem.goal.classes > 2:
        problem = replace(problem, promised=problem.promised.masked_fill(problem.promised > 0, float("inf")))
    work = job(attack, problem.x, problem.goal)
    if attack.images_to_fit:
        seen = Goal(problem.module(problem.x).argmax(1), problem.goal.classes)
        work.setting = Fitting(work.x, seen, work.draw)
    verdicts, _ = attempt(attack, problem.module, work, batch_size)
    if attack.threat is None:
        yield _free(attack, promise, problem, case, verdicts)
    elif attack.minimal:
        yield _minimal(attack, promise, problem, case, verdicts)
    elif attack.budget is None:
        yield _shared(attack, promise, problem, case, verdicts)
    else:
        yield _bounded(attack, promise, problem, case, verdicts)


def _bounded(attack: Attack, promise: Promise, problem: Problem, case: str, verdicts: Verdicts) -> Finding:
    """One budget for all: what lies clearly within it must fall, what lies clearly beyond cannot."""
    budget = attack.budget or 0.0
    within = problem.promised * promise.factor + problem.blur <= budget
    beyond = problem.exact * _RESOLUTION - problem.blur > budget
    missed, impossible = int((within & ~verdicts.success).sum()), int((beyond & verdicts.success).sum())
    said = f"{missed} of {int(within.sum())} missed, {impossible} of {int(beyond.sum())} impossible"
    return _finding(attack, case, "none", said, verdicts, good=not (missed or impossible))


def _minimal(attack: Attack, promise: Promise, problem: Problem, case: str, verdicts: Verdicts) -> Finding:
    """Everything falls, and not much above the exact radius, nor below it."""
    factor, blur = promise.factor, problem.blur + _TINY
    found, won = verdicts.size(attack.threat or "l2"), verdicts.success
    good = won & (found <= problem.promised * factor + blur)
    impossible = int((won & (found < problem.exact * _RESOLUTION - blur)).sum())
    ratio = ((found - blur) / problem.promised)[won & (problem.promised > 0)]
    worst = float(ratio.max()) if len(ratio) else float("nan")
    said = f"{int(won.sum())}/{len(won)} succeed, up to {worst:.4f} of the exact radius, {impossible} impossible"
    expected = f"all, up to {factor:.2f}"
    return _finding(attack, case, expected, said, verdicts, good=bool(good.all()) and not impossible)


def _shared(attack: Attack, promise: Promise, problem: Problem, case: str, verdicts: Verdicts) -> Finding:
    """One size for all, chosen by the attack: the smallest that breaks the share of them that it promises."""
    norm, won = attack.threat or "l2", verdicts.success
    wanted = -int(-promise.share * len(won) // 1)
    most = float(problem.promised.sort().values[wanted - 1]) * promise.factor + problem.blur
    used = float(verdicts.size(norm).max())
    impossible = int((won & (problem.exact * _RESOLUTION > used + problem.blur)).sum())
    said = f"{int(won.sum())} succeed, size {used:.4g}, {impossible} impossible"
    good = int(won.sum()) >= wanted and used <= most and not impossible
    return _finding(attack, case, f"{wanted} at a size up to {most:.4g}", said, verdicts, good=good)


def _free(attack: Attack, promise: Promise, problem: Problem, case: str, verdicts: Verdicts) -> Finding:
    """Without a norm: what lies within reach falls, and nothing does with less than the exact radius."""
    within = problem.promised * promise.factor <= promise.reach
    used = verdicts.sizes["linf"]
    impossible = int((verdicts.success & (used < problem.exact * _RESOLUTION - problem.blur)).sum())
    missed = int((within & ~verdicts.success).sum())
    said = f"{missed} of {int(within.sum())} missed, {impossible} impossible"
    return _finding(attack, case, "none", said, verdicts, good=not (missed or impossible))


def _finding(attack: Attack, case: str, expected: str, said: str, verdicts: Verdicts, *, good: bool) -> Finding:
    faults = [fault for fault in verdicts.fault if fault]
    if faults:
        said += f", {len(faults)} contract violations: {faults[0]}"
    return Finding(attack.registered, case, expected, said, good and not faults)
