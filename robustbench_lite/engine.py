"""Drives attacks: one full window of active samples, refilled as soon as a sample is done (continuous batching).

DeepFool needs 2 to 4 steps for most images and 50 for a few; PGD on an undefended classifier one or two of its 40. In a
window nobody waits for the slowest. The engine keeps each sample's best candidate, halves the window when memory runs
out, retires samples whose gradient or logits are not finite, counts passes, and shares out the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from robustbench_lite.attack import Attack, SetAttack, State, StepAttack
from robustbench_lite.batch import put, rows
from robustbench_lite.lazy import torch
from robustbench_lite.oracle import Ledger, Oracle, is_out_of_memory
from robustbench_lite.rng import Draw
from robustbench_lite.threat import Goal

__all__ = ["Job", "Outcome", "run"]

OK, BROKEN, NO_MEMORY = 0, 1, 2
REASONS = {OK: "ok", BROKEN: "gradient or logits not finite", NO_MEMORY: "out of memory at batch size 1"}


@dataclass
class Job:
    """The samples to attack: images (N, C, H, W) in [0, 1], the goal and the draws, a row each."""

    x: torch.Tensor
    goal: Goal
    draw: Draw


@dataclass
class Outcome:
    """Per sample (N,): the proposed candidate, what it cost, and how it ended (a key of REASONS)."""

    candidates: torch.Tensor
    forwards: torch.Tensor
    backwards: torch.Tensor
    zero_gradient: torch.Tensor
    seconds: torch.Tensor
    status: torch.Tensor
    wall: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def empty(cls, x: torch.Tensor) -> Outcome:
        counts = torch.zeros((4, len(x)), dtype=torch.int64, device=x.device)
        seconds = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        return cls(x.clone(), counts[0], counts[1], counts[2], seconds, counts[3])

    def reasons(self) -> list[str]:
        """Every sample's status in words (N,)."""
        return [REASONS[code] for code in self.status.tolist()]


@dataclass
class Window:
    """The active samples: `index` (n,) into the job, their state, the best candidate so far and its score."""

    index: torch.Tensor
    state: State
    best: torch.Tensor
    score: torch.Tensor


Progress = Callable[[int], None]


def run(attack: Attack, oracle: Oracle, job: Job, progress: Progress = lambda _: None) -> Outcome:
    """Candidates for every sample of the job. Raises whatever the attack raises, but neither NaN nor lack of memory."""
    start = time.perf_counter()
    if isinstance(attack, StepAttack):
        outcome = _Drive(attack, oracle, job, progress).finish()
    elif isinstance(attack, SetAttack):
        outcome = _craft(attack, oracle, job)
    else:
        raise TypeError(f"expected a StepAttack or a SetAttack, got {type(attack).__name__}")
    oracle.synchronize()
    outcome.wall = time.perf_counter() - start
    progress(len(job.x))
    return outcome


def _craft(attack: SetAttack, oracle: Oracle, job: Job) -> Outcome:
    start, n = time.perf_counter(), len(job.x)
    ledger = oracle.open(n)
    crafted = attack.craft(oracle, job.x, job.goal, job.draw)
    outcome = Outcome.empty(job.x)
    outcome.candidates, outcome.notes = crafted.candidates, crafted.notes
    outcome.forwards, outcome.backwards = ledger.forwards, ledger.backwards
    outcome.zero_gradient, outcome.status = ledger.zero_gradient, ledger.broken.long() * BROKEN
    oracle.synchronize()
    outcome.seconds += (time.perf_counter() - start) / max(n, 1)
    return outcome


@dataclass
class _Drive:
    attack: StepAttack
    oracle: Oracle
    job: Job
    progress: Progress
    queued: int = 0  # samples below this index have entered the window
    finished: int = 0
    parked: list[Window] = field(default_factory=list)  # halves that wait for memory
    outcome: Outcome = field(init=False)

    def __post_init__(self) -> None:
        self.outcome = Outcome.empty(self.job.x)

    def finish(self) -> Outcome:
        window = self._next()
        while window is not None:
            start = time.perf_counter()
            ledger = self.oracle.open(len(window.index))
            try:
                state = self.attack.step(self.oracle, window.state)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                window = self._halve(window)
                continue
            window = self._keep_best(replace(window, state=state))
            index, leaving = window.index.clone(), state.done | ledger.broken  # a refill writes the index in place
            following = self._retire(window, leaving, ledger) if bool(leaving.any()) else window
            self._charge(index, ledger, start)
            window = following
        return self.outcome

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
        state = self.attack.start(x, rows(self.job.goal, index), rows(self.job.draw, index))
        return Window(index, state, x.clone(), torch.full((stop - start,), float("inf"), device=x.device))

    def _keep_best(self, window: Window) -> Window:
        better = window.state.score < window.score
        which = better.nonzero()[:, 0]
        if len(which) == 0:
            return window
        if len(which) == len(better):
            best = window.state.candidate.clone()
        else:
            best = window.best.index_copy(0, which, window.state.candidate[which])
        return replace(window, best=best, score=torch.where(better, window.state.score, window.score))

    def _charge(self, index: torch.Tensor, ledger: Ledger, start: float) -> None:
        self.outcome.forwards.index_add_(0, index, ledger.forwards)
        self.outcome.backwards.index_add_(0, index, ledger.backwards)
        self.outcome.zero_gradient.index_add_(0, index, ledger.zero_gradient)
        self.oracle.synchronize()
        self.outcome.seconds[index] += (time.perf_counter() - start) / len(index)

    def _retire(self, window: Window, leaving: torch.Tensor, ledger: Ledger) -> Window | None:
        """Hand in the rows that leave; fresh samples take their places, else the window shrinks."""
        out = leaving.nonzero()[:, 0]
        index = window.index[out]
        self.outcome.candidates.index_copy_(0, index, window.best[out])
        self.outcome.status[index] = ledger.broken[out].long() * BROKEN
        self.finished += len(out)
        self.progress(self.finished)
        if len(out) == len(leaving):
            return self._next()
        fresh = None if self.parked else self._enter(len(out))
        if fresh is None:
            return rows(window, (~leaving).nonzero()[:, 0])
        taken, empty = out[: len(fresh.index)], out[len(fresh.index) :]
        window = put(window, taken, fresh)
        if len(empty) == 0:
            return window
        staying = torch.ones_like(leaving).index_fill_(0, empty, value=False)
        return rows(window, staying.nonzero()[:, 0])

    def _halve(self, window: Window) -> Window | None:
        if self.oracle.device.type == "cuda":
            torch.cuda.empty_cache()
        n = len(window.index)
        if n == 1:
            self.outcome.status[window.index] = NO_MEMORY
            self.finished += 1
            return self._next()
        self.oracle.batch_size = max(1, n // 2)
        index = torch.arange(n, device=window.index.device)
        self.parked.append(rows(window, index[n // 2 :]))
        return rows(window, index[: n // 2])
