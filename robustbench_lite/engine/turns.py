"""Attacks in turn: each member of a composition works on the samples that none before it has broken."""

from __future__ import annotations

import time
from collections.abc import Callable

from robustbench_lite.engine.attack import Attack, Composition
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import BACKWARD, FORWARD, Oracle
from robustbench_lite.engine.outcome import OK, Outcome, Tally
from robustbench_lite.engine.way import Report, Way, behind
from robustbench_lite.lazy import torch
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.threat.norms import size
from robustbench_lite.threat.rows import rows

__all__ = ["Run", "in_turn"]

Run = Callable[[Attack, Oracle, Job, Report], Outcome]


def in_turn(attack: Composition, oracle: Oracle, job: Job, report: Report, run: Run) -> Outcome:
    """What the members make of those samples that none before them has broken; `run` drives one of them."""
    n, made, after = len(job.x), 0.0, attack.typical_passes * oracle.width
    outcome, rest = Outcome.empty(job.x), torch.arange(n, device=job.x.device)
    outcome.maker, margin = torch.full_like(rest, -1), torch.full((n,), float("-inf"), device=rest.device)
    for number, (name, member) in enumerate(attack.members.items()):
        part = Job(job.x[rest], rows(job.goal, rest), rows(job.draw, rest).fork(name))
        after -= member.typical_passes * oracle.width
        more = run(member, oracle, part, behind(report, made, after))
        won, gain = _reached(attack, oracle, part, more)
        better = gain > margin[rest]
        at = rest[better]
        outcome.candidates[at], margin[at], outcome.maker[at] = more.candidates[better], gain[better], number
        outcome.ledger.counts[rest] += more.ledger.counts
        outcome.ledger.seconds[rest] += more.ledger.seconds
        outcome.status[rest] = torch.where(outcome.status[rest] == OK, more.status, outcome.status[rest])
        outcome.tally += (_tally(name, won, more),)
        rest, made = rest[~won], made + float(more.ledger.counts[:, [FORWARD, BACKWARD]].sum())
        report(Way(made, after * len(rest), len(rest)))
    return outcome


def _reached(attack: Attack, oracle: Oracle, job: Job, outcome: Outcome) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether candidates (n,) reach the goal within the budget, so that nobody need go on; and the margin (n,) of it.

    A member may look for the smallest perturbation, which may be beyond; -inf: it is, or is none.
    """
    start, oracle.ledger = time.perf_counter(), outcome.ledger
    every = torch.arange(len(job.x), device=job.x.device)
    if not len(every):
        return every > 0, every.float()
    logits = oracle.chunked(lambda part: oracle.logits(outcome.candidates[part], every[part]), len(every))
    outcome.ledger.seconds += (time.perf_counter() - start) / len(every)
    most = float("inf") if attack.budget is None else allowed(attack.budget)
    within = size((outcome.candidates - job.x).double(), attack.threat or "linf") <= most
    margin = job.goal.margin(logits)
    return job.goal.secured(logits) & within, margin.masked_fill(~within | margin.isnan(), float("-inf"))


def _tally(name: str, won: torch.Tensor, outcome: Outcome) -> Tally:
    """What a member did; `won` (n,) are the samples that it broke."""
    passes = [int(column.sum()) for column in (outcome.forwards, outcome.backwards)]
    return Tally(name, int(won.sum()), len(won), *passes)
