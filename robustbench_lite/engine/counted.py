"""A classifier as code that is not ours is shown it: its passes are counted and timed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustbench_lite.engine.access import permit
from robustbench_lite.engine.clock import Way
from robustbench_lite.engine.oracle import BACKWARD, BROKEN, FORWARD, ZERO_GRADIENT, Oracle, logits_of

__all__ = ["Counted"]


class Counted(nn.Module):
    """Images (m, C, H, W) to logits (m, K) of what an oracle asks: a module without layers, always in eval mode.

    Who asks about some of the `n` images of the batch does not say which: such passes are shared out in turn.
    """

    def __init__(self, oracle: Oracle, n: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(0, device=oracle.device), requires_grad=False)  # where images shall lie
        self.oracle, self.n, self._turn = oracle, n, 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        oracle, follows = self.oracle, torch.is_grad_enabled() and x.requires_grad
        permit(oracle.access, "gradients" if follows else "scores")
        seen = x.float().view_as(x)  # a node of its own in the graph
        with oracle.clock("forward"):
            logits = logits_of(oracle.module, seen)
        rows = self._rows(len(x))
        self._count(FORWARD, rows)
        self._blame(x.detach(), ~logits.detach().isfinite().all(1), BROKEN, rows)
        if follows and logits.requires_grad:
            self._watch(seen, logits, rows)
        return logits

    def _watch(self, seen: Tensor, logits: Tensor, rows: Tensor | None) -> None:
        """Count and time every pass back from the logits to the images."""
        under_way: list[tuple[Tensor, _Lap]] = []

        def begin(seed: Tensor) -> None:
            self._count(BACKWARD, rows)
            under_way.append((seed, _Lap(self.oracle, "backward")))

        def end(gradient: Tensor) -> None:
            if under_way:
                seed, lap = under_way.pop()
                lap.end()
                self._blame(seed, ~gradient.flatten(1).isfinite().all(1), BROKEN, rows)
                if rows is None:
                    self._blame(seed, (gradient.flatten(1) == 0).all(1), ZERO_GRADIENT, rows)

        logits.register_hook(begin)  # type: ignore[no-untyped-call]
        seen.register_hook(end)  # type: ignore[no-untyped-call]

    def _rows(self, m: int) -> Tensor | None:
        """The rows (m,) of the ledger that pay for a pass; None: each image for itself."""
        if m == self.n:
            return None
        rows = (self._turn + torch.arange(m, device=self.oracle.device)) % self.n
        self._turn = (self._turn + m) % self.n
        return rows

    def _count(self, event: int, rows: Tensor | None) -> None:
        self.oracle.ledger.add(event, rows, max(1, len(self.oracle.members)))

    def _blame(self, given: Tensor, which: Tensor, event: int, rows: Tensor | None) -> None:
        """Count `event` where `which` (m,) holds of what was `given` (m, ...) finite; for all if unknown."""
        which = which & given.flatten(1).isfinite().all(1)
        if bool(which.any()):
            self.oracle.blame(which if rows is None else which.any().expand(self.n), event, None)


class _Lap:
    """A pass that is timed from now to its `end`."""

    def __init__(self, oracle: Oracle, way: Way) -> None:
        self._pass = oracle.clock(way)
        self._pass.__enter__()

    def end(self) -> None:
        self._pass.__exit__(None, None, None)
