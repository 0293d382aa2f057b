"""Where an attacker may go: the ball around each image, cut with [0, 1]; and the least of what is linear there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_lite.lazy import torch
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.threat.norms import dual_size
from robustbench_lite.trust.certificates.rounding import OWN

if TYPE_CHECKING:
    from robustbench_lite.threat.norms import Ball

__all__ = ["Region"]

_HALVINGS = 20  # to a millionth of the best price


@dataclass(frozen=True)
class Region:
    """All images in [0, 1] that the judge takes as within `epsilon` of x (N, C, H, W), float64."""

    x: torch.Tensor
    norm: Ball
    epsilon: float

    @property
    def radius(self) -> float:
        """The size that the judge allows, which is a little more than the budget."""
        return allowed(self.epsilon) if self.epsilon else 0.0

    @property
    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The smallest box (N, C, H, W) that holds the region."""
        return (self.x - self.radius).clamp(0, 1), (self.x + self.radius).clamp(0, 1)

    def rows(self, index: torch.Tensor) -> Region:
        """That of the images `index` (n,) alone."""
        return Region(self.x[index], self.norm, self.epsilon)

    def least(self, w: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
        """A lower bound (R,) of w.x over the region of image `owner` (R,), w (R, C, H, W); exact but for rounding."""
        low, high = self.ends
        x, w = self.x[owner].flatten(1), w.flatten(1)
        at = (w * x).sum(1) - OWN * w.abs().sum(1)
        room = torch.where(w > 0, x - low[owner].flatten(1), high[owner].flatten(1) - x)
        in_box = (w.abs() * room).sum(1)
        if self.norm == "linf":
            return at - in_box
        return at - in_box.minimum(self._in_ball(w.abs(), room))

    def _in_ball(self, length: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
        """An upper bound (R,) of sum_i length_i r_i over 0 <= r <= room with ||r|| <= radius.

        By weak duality any price t >= 0 of the budget gives one, so that it holds however well the best is found.
        """
        ball = self.radius * dual_size(length, self.norm)
        price = (self._price_l1 if self.norm == "l1" else self._price_l2)(length, room)
        if self.norm == "l1":
            dual = ((length - price).clamp_min(0) * room).sum(1) + price[:, 0] * self.radius
        else:  # sum_i max_r length_i r - t r^2 / 2, and t radius^2 / 2
            r = (length / price.clamp_min(torch.finfo(length.dtype).tiny)).minimum(room)
            dual = (length * r - price * r.square() / 2).sum(1) + price[:, 0] * self.radius**2 / 2
        least: torch.Tensor = ball.minimum(dual)
        return least

    def _price_l1(self, length: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
        """The length (R, 1) of the first number, from the longest on, at which the room used reaches the radius."""
        order = length.argsort(dim=1, descending=True)
        full = room.gather(1, order).cumsum(1) >= self.radius
        at = length.gather(1, order).gather(1, full.int().argmax(1, keepdim=True))
        price: torch.Tensor = at.masked_fill(~full.any(1, keepdim=True), 0.0)
        return price

    def _price_l2(self, length: torch.Tensor, room: torch.Tensor) -> torch.Tensor:
        """The t (R, 1) at which min(length / t, room) has the radius as its l2 size, by bisection."""
        high: torch.Tensor = torch.linalg.vector_norm(length, dim=1, keepdim=True) / self.radius
        low = torch.zeros_like(high)
        for _ in range(_HALVINGS):
            t = (low + high) / 2
            r = (length / t.clamp_min(torch.finfo(length.dtype).tiny)).minimum(room)
            beyond = r.square().sum(1, keepdim=True) > self.radius**2
            low, high = torch.where(beyond, t, low), torch.where(beyond, high, t)
        return high
