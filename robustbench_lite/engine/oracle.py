"""A classifier behind its access level: logits, and gradients in the image. Counts and times every pass, per row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from robustbench_lite.engine.access import Access, narrower, permit
from robustbench_lite.engine.clock import Clock
from robustbench_lite.engine.pullback import NO_GRADIENT, pullback
from robustbench_lite.errors import AttackError
from robustbench_lite.guards.memory import chunked
from robustbench_lite.guards.transfer import done
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from robustbench_lite.threat.goal import Goal

__all__ = [
    "BACKWARD",
    "BROKEN",
    "FORWARD",
    "ZERO_GRADIENT",
    "Ledger",
    "Oracle",
    "Pass",
    "interior",
    "logits_of",
]

_ABOVE_0, _BELOW_1 = 1e-30, 2.0**-24  # changes no sum; the distance from 1 to the number below it
FORWARD, BACKWARD, ZERO_GRADIENT, BROKEN = range(4)  # columns of a ledger


def logits_of(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Logits (N, K), float32 whatever the module computes in, of images (N, C, H, W); the one way to ask a classifier.

    It gets a copy: an operation in place is its own business. Both are inside the graph where there is one.
    """
    kept = torch.get_default_dtype(), torch.is_grad_enabled()
    logits: torch.Tensor = module(x.clone())
    if kept != (torch.get_default_dtype(), torch.is_grad_enabled()):  # what we compute next must not depend on it
        torch.set_default_dtype(kept[0])
        torch.set_grad_enabled(kept[1])
    return logits.float()


def interior(x: torch.Tensor) -> torch.Tensor:
    """The images with what is exactly 0 or 1 moved inwards by next to nothing: where gradients are taken.

    Most pixels of a digit are exactly 0. PyTorch's clamp has gradient 0 at its ends, and classifiers that clamp what
    they are shown would hide them all.
    """
    return x + (_ABOVE_0 * (x == 0) - _BELOW_1 * (x == 1))


@dataclass
class Ledger:
    """What every row (n,) has cost so far: `counts` (n, 4) of the events below, and its share of the seconds."""

    counts: torch.Tensor
    seconds: torch.Tensor
    trouble: bool = False  # some row may be broken

    @classmethod
    def empty(cls, n: int, device: torch.device) -> Ledger:
        """Nothing spent yet."""
        counts = torch.zeros((n, 4), dtype=torch.int64, device=device)
        return cls(counts, torch.zeros(n, dtype=torch.float64, device=device))

    def add(self, event: int, rows: torch.Tensor | None, times: torch.Tensor | int = 1) -> None:
        """Count `event` so often, or `times` (n,), for each of `rows` (n,), which may repeat; None: for all rows."""
        column = self.counts[:, event]
        if rows is None:
            column += times
        else:
            column.index_add_(0, rows, times if isinstance(times, torch.Tensor) else torch.full_like(rows, times))

    def snapshot(self) -> tuple[torch.Tensor, bool]:
        """What `restore` needs to take back what is counted from now on."""
        return self.counts.clone(), self.trouble

    def restore(self, before: tuple[torch.Tensor, bool]) -> None:
        """What was counted since `before` did not come to its end, and will be done again."""
        counts, self.trouble = before
        self.counts.copy_(counts)

    def shared(self, n: int, place: tuple[int, int] | None = None) -> Ledger:
        """The same in sum for n other rows, in equal shares: whole numbers.

        `place`: the first of them is at this place among so many that share it.
        """
        start, among = place or (0, n)
        total = self.counts.sum(0)
        first = torch.arange(start, start + n, device=total.device)[:, None] < total % among
        return Ledger(total // among + first, (self.seconds.sum() / among).expand(n).clone(), self.trouble)

    @property
    def broken(self) -> torch.Tensor:
        """Rows (n,) whose logits or gradients were not finite at least once."""
        return self.counts[:, BROKEN] > 0


@dataclass
class Oracle:
    """What an attack sees of a classifier. `ledger` belongs to the rows of the current window.

    `members` are the classifiers inside, where there are several: a pass counts once for each of them.
    `access`: what may be asked for. `ahead`: whether to put off or leave out what only saves work where the answer is
    known at once, as on a CPU; a GPU works on what it was told last, and asking it means to wait for it.
    """

    module: nn.Module
    device: torch.device
    batch_size: int = 128
    members: tuple[nn.Module, ...] = ()
    access: Access = "gradients"
    clock: Clock = field(init=False)
    ahead: bool = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.clock, self.ahead = Clock.of(self.device), self.device.type == "cuda"
        self.open(0)

    @property
    def width(self) -> int:
        """How many classifiers a pass goes through, and as how many it counts."""
        return max(1, len(self.members))

    def open(self, n: int) -> Ledger:
        """A fresh ledger for a window of n rows."""
        self.ledger = Ledger.empty(n, self.device)
        return self.ledger

    def each(self) -> list[Oracle]:
        """An oracle for every member, on the same clock and ledger; itself where there is only one."""
        if not self.members:
            return [self]
        parts = [replace(self, module=member, members=()) for member in self.members]
        for part in parts:
            part.clock, part.ahead, part.ledger = self.clock, self.ahead, self.ledger
        return parts

    @contextmanager
    def limited(self, access: Access) -> Iterator[None]:
        """What is asked for meanwhile is at most this."""
        kept, self.access = self.access, narrower(self.access, access)
        try:
            yield
        finally:
            self.access = kept

    def synchronize(self) -> None:
        """Wait until the device has done all that it was told."""
        done(self.device)

    def logits(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (n, K) of images (n, C, H, W), no graph. `rows` (n,): their rows in the window, may repeat."""
        permit(self.access, "scores")
        return self._look(x, rows)

    def reached(self, x: torch.Tensor, goal: Goal, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Whether the decision on each image is what the goal wants (n,), by more than rounding: no logits."""
        return goal.secured(self._look(x, rows))

    def _look(self, x: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        with self.clock("forward"), torch.no_grad():
            logits = logits_of(self.module, x)
        self.ledger.add(FORWARD, rows, self.width)
        self._check(logits, rows)
        return logits

    def differentiate(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> Pass:
        """A forward pass through which gradients in x (n, C, H, W) can be taken, several times."""
        permit(self.access, "gradients")
        with self.clock("forward"), torch.enable_grad():
            leaf = x.detach().requires_grad_()
            logits = logits_of(self.module, interior(leaf))
        if not logits.requires_grad:
            raise AttackError(NO_GRADIENT)
        self.ledger.add(FORWARD, rows, self.width)
        detached = logits.detach()
        self._check(detached, rows)
        return Pass(self, leaf, logits, detached, rows)

    def through(
        self,
        x: torch.Tensor,
        transform: Callable[[torch.Tensor], torch.Tensor],
        outer: Callable[[Pass], torch.Tensor],
        rows: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Pass]:
        """Gradient in x (n, ...) through what classifiers see of it, transform(x) (m, C, H, W); and the pass over that.

        `outer` is asked for the gradient (m, C, H, W) in what is seen: `view.gradient(seed)[0]`, and what else pulls.
        """
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            seen = transform(leaf)
        view = self.differentiate(seen.detach(), rows)
        gradient = outer(view)
        return gradient if seen is leaf else pullback(seen, leaf, gradient), view

    def chunked(self, work: Callable[[slice], torch.Tensor], n: int) -> torch.Tensor:
        """`work` on slices of at most `batch_size` of n rows, joined; halves the batch when memory runs out."""
        before = self.ledger.snapshot()

        def anew(part: slice) -> torch.Tensor:
            nonlocal before
            before = self.ledger.snapshot()
            return work(part)

        parts, self.batch_size = chunked(anew, n, self.batch_size, lambda: self.ledger.restore(before))
        return torch.cat(parts)

    def _check(self, logits: torch.Tensor, rows: torch.Tensor | None) -> None:
        if not self.ahead and math.isfinite(float(logits.sum())):  # an infinity or NaN among the terms shows in the sum
            return
        self.blame(~logits.isfinite().all(1), BROKEN, rows)

    def blame(self, which: torch.Tensor, event: int, rows: torch.Tensor | None) -> None:
        """Count `event` for those of a pass over `rows` (n,) where `which` (n,) holds."""
        self.ledger.add(event, rows, which.long())
        self.ledger.trouble = self.ledger.trouble or event == BROKEN


@dataclass
class Pass:
    """One forward pass with its graph: `logits` (n, K) are detached, `gradient` goes back to the image."""

    oracle: Oracle
    leaf: torch.Tensor
    graph: torch.Tensor
    logits: torch.Tensor
    rows: torch.Tensor | None
    wanted: torch.Tensor | None = None  # rows of this pass whose gradients count; None: all

    def gradient(self, seed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vector-Jacobian product of `seed` (n, K): gradients (n, C, H, W) and their l2 norms (n,)."""
        oracle = self.oracle
        with oracle.clock("backward"):
            gradient = pullback(self.graph, self.leaf, seed, again=True)
        oracle.ledger.add(BACKWARD, self.rows, oracle.width)  # all that were computed
        return gradient, self._account(gradient)

    def again(self, index: torch.Tensor) -> Pass:
        """A new pass over the rows `index` (m,), which may repeat: several gradients of a row in one batch."""
        return self.oracle.differentiate(self.leaf.detach()[index], self._charged(index))

    def narrow(self, index: torch.Tensor) -> tuple[Pass, torch.Tensor | None]:
        """A pass for the gradients of the rows `index` (m,), ascending, and where its rows come from.

        None: it has all rows of this one, and what it says of rows not in `index` is to be ignored. Moving whole
        windows about costs more than a few rows too many; a new pass over the few is made where that is cheaper.
        """
        if len(index) == len(self.logits):
            return self, None
        if 2 * len(index) < len(self.logits):
            return self.again(index), index
        return replace(self, wanted=index), None

    def _charged(self, which: torch.Tensor | None) -> torch.Tensor | None:
        """The rows of the window behind the rows `which` of this pass."""
        if self.rows is None or which is None:
            return self.rows if which is None else which
        return self.rows[which]

    def _account(self, gradient: torch.Tensor) -> torch.Tensor:
        norm: torch.Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
        if not self.oracle.ahead and math.isfinite(float(norm.log().sum())):  # neither zero, nor infinite, nor NaN
            return norm
        largest = gradient.flatten(1).abs().amax(1)  # look closely: squares overflow and underflow
        for event, suspects in ((ZERO_GRADIENT, largest == 0), (BROKEN, ~largest.isfinite())):
            counted = (
                suspects
                if self.wanted is None
                else suspects & torch.zeros_like(suspects).index_fill_(0, self.wanted, value=True)
            )
            self.oracle.blame(counted, event, self.rows)
        return norm
