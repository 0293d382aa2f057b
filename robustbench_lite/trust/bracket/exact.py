"""Exact distances: how far an image lies from where a function that is linear in it has grown by so much, box and all.

Found by bisection along the one path that is optimal in its norm, in float64: the reference for whatever an attack does
more cleverly. Images and gradients are flat here, (n, D).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from robustbench_lite.lazy import torch
from robustbench_lite.threat.norms import Norm, size

__all__ = ["Slope"]

_HALVINGS = 48  # of 22 decades: to 13 digits
_LEAST, _MOST = 1e-12, 1e10


@dataclass(frozen=True)
class Slope:
    """A linear function with gradient w (n, D) at the images x (n, D), float64, and what may be done to them.

    l0: greedy is optimal. Number i gains at most g_i = |w_i| room_i, whatever the others do, so that k numbers gain at
    most the sum of their g_i, and no k numbers have a larger sum than the k with the largest g_i. The fewest that can
    reach a gain are therefore the first of that order whose sum does.

    `boxed`: images stay in [0, 1]. `straight`: one steepest step that is clipped, instead of the best perturbation.
    """

    x: torch.Tensor
    w: torch.Tensor
    norm: Norm
    boxed: bool = True
    straight: bool = False

    def radius(self, gain: torch.Tensor) -> torch.Tensor:
        """The size (n,) of the smallest perturbation that makes the function grow by `gain` (n,); inf: none does."""
        at = self._bisect(lambda t: self._gain(t) >= gain)
        short = self._gain(at) < gain * (1 - 1e-9)
        return self._size(at).masked_fill(short, float("inf")).masked_fill(gain <= 0, 0.0)

    def gain(self, wanted: torch.Tensor) -> torch.Tensor:
        """How much (n,) the function can grow within a ball of the size `wanted` (n,).

        l0: of a size between two whole ones, that share of the way from one to the other, where one more is needed.
        """
        if self.norm == "l0":
            return self._gain(wanted)
        return self._gain(self._bisect(lambda t: self._size(t) >= wanted))

    def _bisect(self, enough: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """How far along the path (n,) is just enough, by geometric bisection."""
        low, high = (torch.full((len(self.x),), end, dtype=torch.float64) for end in (_LEAST, _MOST))
        for _ in range(_HALVINGS):
            middle = (low * high).sqrt()
            good = enough(middle)
            low, high = torch.where(good, low, middle), torch.where(good, middle, high)
        return high

    @cached_property
    def _speed(self) -> torch.Tensor:
        """|w| (n, D) relative to its largest."""
        return self.w.abs() / self.w.abs().amax(1, keepdim=True).clamp_min(1e-300)

    @cached_property
    def _pace(self) -> torch.Tensor:
        """How fast each number goes (n, D): all alike (linf), as the gradient has it (l2), the steepest alone (l1)."""
        if self.norm == "linf":
            return (self._speed > 0).double()
        if self.norm == "l2":
            return self._speed
        return torch.zeros_like(self._speed).scatter(1, self._speed.argmax(1, keepdim=True), 1.0)

    @cached_property
    def _rank(self) -> torch.Tensor:
        """How many numbers have more to gain than each (n, D); those without anything to gain come last."""
        return (self.w.abs() * self._room).argsort(dim=1, descending=True).argsort(dim=1)

    @cached_property
    def _room(self) -> torch.Tensor:
        """How far (n, D) each number may go uphill."""
        if not self.boxed:
            return torch.full_like(self.w, float("inf"))
        return torch.where(self.w > 0, 1 - self.x, self.x)

    @cached_property
    def _queue(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The numbers in the order of their gradients (n, D), and how much room those before each have."""
        order = self._speed.argsort(dim=1, descending=True)
        room = self._room.gather(1, order)
        return order, room.cumsum(1) - room

    def _path(self, t: torch.Tensor) -> torch.Tensor:
        """|r| (n, D) at t (n,); l1 and l0 in a box: one number up to its end, then the next."""
        if self.norm == "l0":
            return (t[:, None] - self._rank).clamp(0, 1) * self._room
        if self.norm == "l1" and self.boxed and not self.straight:
            order, before = self._queue
            return torch.zeros_like(before).scatter(1, order, (t[:, None] - before).clamp_min(0)).minimum(self._room)
        return (t[:, None] * self._pace).minimum(self._room)

    def _gain(self, t: torch.Tensor) -> torch.Tensor:
        return (self.w.abs() * self._path(t)).sum(1)

    def _size(self, t: torch.Tensor) -> torch.Tensor:
        return t * size(self._pace, self.norm) if self.straight else size(self._path(t), self.norm)
