"""Drives attacks: one full window of active samples, refilled as soon as a sample is done (continuous batching).

DeepFool needs 2 to 4 steps for most images and 50 for a few; PGD on an undefended classifier one or two of its 40. In a
window nobody waits for the slowest. The engine keeps each sample's best candidate, halves the window when memory runs
out, retires samples whose gradient or logits are not finite, counts passes, and shares out the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from robustbench_lite.engine.attack import Attack, Composition, SetAttack, State, StepAttack
from robustbench_lite.engine.craft import craft
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import BACKWARD, FORWARD, Ledger, Oracle
from robustbench_lite.engine.outcome import NO_MEMORY, NOT_FINITE, OK, REASONS, Outcome
from robustbench_lite.engine.turns import in_turn
from robustbench_lite.engine.way import Report, Way, behind, in_samples
from robustbench_lite.guards.memory import is_out_of_memory
from robustbench_lite.lazy import torch
from robustbench_lite.threat.rows import per_row, put, rows

__all__ = ["NO_MEMORY", "REASONS", "Outcome", "run"]

_PASSES = [FORWARD, BACKWARD]
_SELDOM = 0.2  # seconds between two words about how far it is: on a GPU each of them waits for it
_LEAST = 0.05  # of the passes that are expected of a sample: those that are still to be expected of one at work


@dataclass
class Window:
    """The active samples: `index` (n,) into the job, state, best candidate so far, how good it is, what they cost."""

    index: torch.Tensor
    state: State
    best: torch.Tensor
    won: torch.Tensor
    score: torch.Tensor
    ledger: Ledger


def run(attack: Attack, oracle: Oracle, job: Job, progress: Callable[[int], None] = lambda _: None) -> Outcome:
    """Candidates for every sample of the job. Raises whatever the attack raises, but neither NaN nor lack of memory.

    `progress`: is told how far it is, in samples' worth of work, and of all of them at the end.
    """
    outcome = _run(attack, oracle, job, in_samples(progress, len(job.x)))
    progress(len(job.x))
    return outcome


def _run(attack: Attack, oracle: Oracle, job: Job, report: Report) -> Outcome:
    start = time.perf_counter()
    if isinstance(attack, StepAttack):
        outcome = _stepped(attack, oracle, job, report)
    elif isinstance(attack, SetAttack):
        outcome = craft(attack, oracle, job)
    elif isinstance(attack, Composition):
        outcome = in_turn(attack, oracle, job, report, _run)
    else:
        raise TypeError(f"expected a StepAttack, a SetAttack or a Composition, got {type(attack).__name__}")
    oracle.synchronize()
    outcome.wall = time.perf_counter() - start
    outcome.notes = (*attack.remarks(job.goal), *outcome.notes)
    return outcome


def _stepped(attack: StepAttack, oracle: Oracle, job: Job, report: Report) -> Outcome:
    """What it makes of the job, and the attack that goes on from there, where there is one."""
    last = attack.follow_up
    if last is None:
        return _Drive(attack, oracle, job, report, attack.typical_passes).finish()
    own = behind(report, 0.0, last.typical_passes * oracle.width)
    outcome = _Drive(attack, oracle, job, own, attack.typical_passes - last.typical_passes).finish()
    made = float(outcome.ledger.counts[:, _PASSES].sum())
    return _go_on(last, oracle, job, outcome, behind(report, made, 0.0))


def _go_on(attack: StepAttack, oracle: Oracle, job: Job, outcome: Outcome, report: Report) -> Outcome:
    """The same outcome with candidates that do not succeed replaced by what `attack` makes of them."""
    start, oracle.ledger = time.perf_counter(), outcome.ledger
    every = torch.arange(len(job.x), device=job.x.device)
    logits = oracle.chunked(lambda part: oracle.logits(outcome.candidates[part], every[part]), len(job.x))
    rest = (~job.goal.secured(logits) & (outcome.status == OK)).nonzero()[:, 0]
    outcome.ledger.seconds += (time.perf_counter() - start) / len(job.x)
    if len(rest) == 0:
        return outcome
    again = Job(outcome.candidates[rest], rows(job.goal, rest), rows(job.draw, rest))
    more = _Drive(attack, oracle, again, report, attack.typical_passes).finish()
    outcome.candidates[rest] = more.candidates
    outcome.status[rest] = more.status
    outcome.ledger.counts[rest] += more.ledger.counts
    outcome.ledger.seconds[rest] += more.ledger.seconds
    return outcome


@dataclass
class _Drive:
    attack: StepAttack
    oracle: Oracle
    job: Job
    report: Report
    each: float  # passes through a classifier that a sample is expected to take
    queued: int = 0  # samples below this index have entered the window
    told: float = field(default_factory=time.perf_counter)  # when it was last said how far it is
    charged: float = field(default_factory=time.perf_counter)  # when time was last shared out
    parked: list[Window] = field(default_factory=list)  # halves that wait for memory
    outcome: Outcome = field(init=False)

    def __post_init__(self) -> None:
        self.outcome = Outcome.empty(self.job.x, self.attack.names(self.job.setting))
        self.broken = self.job.x.new_zeros((), dtype=torch.int64)  # of the samples that are done

    def finish(self) -> Outcome:
        window = self._next()
        while window is not None:
            self.oracle.ledger = window.ledger
            before = window.ledger.snapshot()
            try:
                with self.oracle.limited(self.attack.access):
                    window.state = self.attack.step(self.oracle, window.state)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                window.ledger.restore(before)
                window = self._halve(window)
                continue
            _keep_best(window, ahead=self.oracle.ahead)
            out = self._leaving(window)
            self._charge(window.ledger)
            window = self._retire(window, out) if len(out) else window
            if window is not None and self.charged - self.told >= _SELDOM:
                self._tell(window)
        return self.outcome

    def _tell(self, window: Window) -> None:
        """How far it is; samples that still wait are expected to cost as much as those that have come so far."""
        self.told, n = self.charged, len(self.job.x)
        spent = torch.cat([one.ledger.counts[:, _PASSES].sum(1) for one in (window, *self.parked)])
        each = self.each * self.oracle.width
        left = float((each - spent).clamp(min=_LEAST * each).sum())
        made = float(spent.sum() + self.outcome.ledger.counts[:, _PASSES].sum())
        waiting = (n - self.queued) * (made + left) / self.queued
        self.report(Way(made, left + waiting, n - int(self.broken)))

    def _charge(self, ledger: Ledger) -> None:
        """The time since the last charge, in equal shares; what retiring takes is on the bill of the next step.

        Whoever has asked which rows leave has waited for the device.
        """
        now = time.perf_counter()
        ledger.seconds += (now - self.charged) / len(ledger.seconds)
        self.charged = now

    def _leaving(self, window: Window) -> torch.Tensor:
        """Indices in the window of the rows that are done or broken."""
        done = window.state.done
        return (done | window.ledger.broken if window.ledger.trouble else done).nonzero()[:, 0]

    def _next(self) -> Window | None:
        """A window for nobody's place: what was parked, or fresh samples."""
        if self.parked:
            return self.parked.pop()
        return self._enter(self.oracle.batch_size)

    def _enter(self, room: int) -> Window | None:
        """Up to `room` fresh samples from the queue."""
        start, stop = self.queued, min(self.queued + room, len(self.job.x))
        if start == stop:
            return None
        self.queued = stop
        index = torch.arange(start, stop, device=self.job.x.device)
        x = rows(self.job.x, index)
        state = self.attack.begin(x, rows(self.job.goal, index), rows(self.job.draw, index), self.job.setting)
        score = torch.full((stop - start,), float("inf"), device=x.device)
        won = torch.zeros_like(score, dtype=torch.bool)
        return Window(index, state, x.clone(), won, score, Ledger.empty(stop - start, x.device))

    def _retire(self, window: Window, out: torch.Tensor) -> Window | None:
        """Hand in the rows `out` (m,); fresh samples take their places, else the window shrinks."""
        index, n = window.index[out], len(window.index)
        ledger, done = rows(window.ledger, out), self.outcome
        done.candidates.index_copy_(0, index, window.best[out])
        done.ledger = put(done.ledger, index, ledger)
        if done.names:
            done.found.index_copy_(0, index, self.attack.details(rows(window.state, out)))
        if ledger.trouble:
            done.status.index_copy_(0, index, ledger.broken * NOT_FINITE)
        self.broken += window.won[out].sum()
        if len(out) == n:
            return self._next()
        fresh = None if self.parked else self._enter(len(out))
        if fresh is not None:
            window = put(window, out[: len(fresh.index)], fresh)
            out = out[len(fresh.index) :]
        if len(out) == 0:
            return window
        staying = torch.ones(n, dtype=torch.bool, device=out.device).index_fill_(0, out, value=False)
        return rows(window, staying.nonzero()[:, 0])

    def _halve(self, window: Window) -> Window | None:
        if self.oracle.device.type == "cuda":
            torch.cuda.empty_cache()
        n = len(window.index)
        size = max(n, self.oracle.batch_size) if self.attack.fills else n
        if size == 1:
            self.outcome.status[window.index] = NO_MEMORY
            return self._next()
        self.oracle.batch_size = max(1, size // 2)
        if n <= self.oracle.batch_size:
            return window
        index = torch.arange(n, device=window.index.device)
        self.parked.append(rows(window, index[n // 2 :]))
        return rows(window, index[: n // 2])


def _keep_best(window: Window, *, ahead: bool) -> None:
    """Every row's candidate of the last step, where it wins as the first, or scores lower than all of its kind.

    `ahead`: without waiting for the device to say which these are.
    """
    won, score, candidate = window.state.won, window.state.score, window.state.candidate
    better = (won & ~window.won) | ((won == window.won) & (score < window.score))  # NaN is never better
    better = better & (score < float("inf"))
    if ahead:
        window.best = torch.where(per_row(better, candidate), candidate, window.best)
        window.score, window.won = torch.where(better, score, window.score), torch.where(better, won, window.won)
        return
    which = better.nonzero()[:, 0]
    if len(which) == len(score):
        window.best.copy_(candidate)
    elif len(which):
        window.best.index_copy_(0, which, candidate[which])
    if len(which):
        window.score = window.score.index_copy(0, which, score[which])
        window.won = window.won.index_copy(0, which, won[which])
