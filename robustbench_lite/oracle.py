"""A classifier behind its access level: logits, and gradients in the image. Counts and times every pass, per row."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Ledger", "Oracle", "Pass", "is_out_of_memory"]


@dataclass
class Ledger:
    """Per row (n,): passes, steps with a zero gradient, and whether something was not finite."""

    forwards: torch.Tensor
    backwards: torch.Tensor
    zero_gradient: torch.Tensor
    broken: torch.Tensor

    @classmethod
    def empty(cls, n: int, device: torch.device) -> Ledger:
        count = torch.zeros((3, n), dtype=torch.int64, device=device)
        return cls(count[0], count[1], count[2], torch.zeros(n, dtype=torch.bool, device=device))


@dataclass
class Clock:
    """Seconds inside forward and backward passes, summed over everything this oracle did."""

    forward: float = 0.0
    backward: float = 0.0


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA says it with a class of its own, the CPU allocator with a RuntimeError."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in text or "not enough memory" in text)
    )


@dataclass
class Oracle:
    """What an attack sees of a classifier. `ledger` belongs to the rows of the current window."""

    module: nn.Module
    device: torch.device
    batch_size: int = 128
    clock: Clock = field(default_factory=Clock)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.open(0)

    def open(self, n: int) -> Ledger:
        """A fresh ledger for a window of n rows."""
        self.ledger = Ledger.empty(n, self.device)
        return self.ledger

    def synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def logits(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (n, K) of images (n, C, H, W), no graph. `rows` (n,): their rows in the window, may repeat."""
        start = time.perf_counter()
        with torch.no_grad():
            logits: torch.Tensor = self.module(x)
        self.synchronize()
        self.clock.forward += time.perf_counter() - start
        self._count(self.ledger.forwards, rows)
        self._check(logits, rows)
        return logits

    def differentiate(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> Pass:
        """A forward pass through which gradients in x (n, C, H, W) can be taken, several times."""
        start = time.perf_counter()
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            logits: torch.Tensor = self.module(leaf)
        self.synchronize()
        self.clock.forward += time.perf_counter() - start
        self._count(self.ledger.forwards, rows)
        detached = logits.detach()
        self._check(detached, rows)
        return Pass(self, leaf, logits, detached, rows)

    def chunked(self, work: Callable[[slice], torch.Tensor], n: int) -> torch.Tensor:
        """`work` on slices of at most `batch_size` of n rows, joined; halves the batch when memory runs out."""
        parts: list[torch.Tensor] = []
        at = 0
        while at < n:
            try:
                parts.append(work(slice(at, min(at + self.batch_size, n))))
                at += self.batch_size
            except Exception as error:
                if not is_out_of_memory(error) or self.batch_size == 1:
                    raise
                self.batch_size //= 2
        return torch.cat(parts)

    def _count(self, counter: torch.Tensor, rows: torch.Tensor | None) -> None:
        if rows is None:
            counter += 1
        else:
            counter.index_add_(0, rows, torch.ones_like(rows))

    def _check(self, values: torch.Tensor, rows: torch.Tensor | None) -> None:
        if bool(values.isfinite().all()):
            return
        bad = ~values.isfinite().all(1)
        if rows is None:
            self.ledger.broken |= bad
        else:
            self.ledger.broken[rows[bad]] = True


@dataclass
class Pass:
    """One forward pass with its graph: `logits` (n, K) are detached, `gradient` goes back to the image."""

    oracle: Oracle
    leaf: torch.Tensor
    graph: torch.Tensor
    logits: torch.Tensor
    rows: torch.Tensor | None
    kept: torch.Tensor | None = None  # of a wider graph, the rows that are still wanted

    def gradient(self, seed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vector-Jacobian product of `seed` (n, K): gradients (n, C, H, W) and their l2 norms (n,)."""
        oracle, kept = self.oracle, self.kept
        start = time.perf_counter()
        full = seed if kept is None else torch.zeros_like(self.graph).index_copy_(0, kept, seed)
        (gradient,) = torch.autograd.grad(self.graph, self.leaf, full, retain_graph=True)
        oracle.synchronize()
        oracle.clock.backward += time.perf_counter() - start
        if kept is not None:
            gradient = gradient.index_select(0, kept)
        oracle._count(oracle.ledger.backwards, self.rows)  # noqa: SLF001  (a pass is the oracle's other half)
        return gradient, self._account(gradient)

    @property
    def images(self) -> torch.Tensor:
        """The images (n, C, H, W) of this pass."""
        leaf = self.leaf.detach()
        return leaf if self.kept is None else leaf[self.kept]

    def again(self, index: torch.Tensor) -> Pass:
        """A new pass over the rows `index` (m,), which may repeat: several gradients of a row in one batch."""
        return self.oracle.differentiate(self.images[index], index if self.rows is None else self.rows[index])

    def narrow(self, index: torch.Tensor, backwards: int = 1) -> Pass:
        """Only the rows `index` (m,), ascending; runs them anew where that saves more backward work than it costs."""
        if len(index) == len(self.logits):
            return self
        at = index if self.rows is None else self.rows[index]
        if len(index) * (backwards + 1) < self.graph.shape[0] * backwards:
            return self.again(index)
        kept = index if self.kept is None else self.kept[index]
        return Pass(self.oracle, self.leaf, self.graph, self.logits[index], at, kept)

    def _account(self, gradient: torch.Tensor) -> torch.Tensor:
        norm: torch.Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
        if bool(norm.amin() > 0) and bool(norm.amax() < float("inf")):  # NaN fails both
            return norm
        largest = gradient.flatten(1).abs().amax(1)  # look closely: squares overflow and underflow
        zero, broken = largest == 0, ~largest.isfinite()
        ledger = self.oracle.ledger
        if self.rows is None:
            ledger.zero_gradient += zero
            ledger.broken |= broken
        else:
            ledger.zero_gradient.index_add_(0, self.rows, zero.long())
            ledger.broken[self.rows[broken]] = True
        return norm
