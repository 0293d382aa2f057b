"""Bounds on every number of a network over a region: interval arithmetic forwards, linear bounds backwards (CROWN).

A bound says where what the network computes in float32 lies for every image of the region: each affine part may be off
by its `rounding`, which is subtracted on the way back, weighted by what it does to the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from robustbench_lite.lazy import torch
from robustbench_lite.trust.certificates.parts import Affine, Maximum, Part, Rectifier
from robustbench_lite.trust.certificates.region import Region
from robustbench_lite.trust.certificates.relaxations import MaximumLines, RectifierLines

__all__ = ["Bounds", "Inner", "Node", "bounds_of", "value_of"]

Inner = Literal["intervals", "linear"]
if TYPE_CHECKING:
    Slopes = Mapping[int, torch.Tensor]  # of a rectifier's node: lower slopes (R, ...) to take in place of its own
_NUMBERS = 2**18  # that the rows which go backwards together may have in the widest layer: 2 MB, which caches hold


@dataclass(frozen=True)
class Node:
    """A part applied to earlier nodes; no part: the image. `shape`: of the result for one image."""

    part: Part | None
    parents: tuple[int, ...]
    shape: tuple[int, ...]


@dataclass
class Bounds:
    """Of every node the ends (N, ...) of what it computes, and the lines that stand for what is not linear."""

    nodes: Sequence[Node]
    region: Region
    low: list[torch.Tensor] = field(default_factory=list)
    high: list[torch.Tensor] = field(default_factory=list)
    rounding: dict[int, torch.Tensor] = field(default_factory=dict)
    lines: dict[int, RectifierLines | MaximumLines] = field(default_factory=dict)

    def least(self, node: int, w: torch.Tensor, owner: torch.Tensor, slopes: Slopes | None = None) -> torch.Tensor:
        """A lower bound (R,) of w.z, z what `node` computes for image `owner` (R,), for rows w (R, ...): CROWN."""
        total, pending = w.new_zeros(len(w)), {node: w}
        for at in range(node, -1, -1):
            if at not in pending:
                continue
            w = pending.pop(at)
            part, parents = self.nodes[at].part, self.nodes[at].parents
            if part is None:
                total = total + self.region.least(w, owner)
                continue
            if isinstance(part, Affine):
                total = total + (w * part.constant()).flatten(1).sum(1)
                total = total - (w.abs() * self.rounding[at][owner]).flatten(1).sum(1)
                pulled = part.pull(w)
            else:
                v, constant = self.lines[at].pull(w, owner, (slopes or {}).get(at))
                total, pulled = total + constant, (v,)
            for parent, v in zip(parents, pulled, strict=True):
                pending[parent] = pending[parent] + v if parent in pending else v
        return total

    def add(self, *, tighten: bool) -> None:
        """The next node: its interval, and before what is not linear that of its parent by linear bounds."""
        at = len(self.low)
        part, parents = self.nodes[at].part, self.nodes[at].parents
        if part is None:
            low, high = self.region.ends
        else:
            if not isinstance(part, Affine):
                if tighten:
                    self._tighten(parents[0], part)
                self.lines[at] = self._between(part, parents[0])
            ends = [tuple(end[parent] for parent in parents) for end in (self.low, self.high)]
            low, high = part.bounds(*ends)
            if isinstance(part, Affine):
                size = (a.abs().maximum(b.abs()) for a, b in zip(*ends, strict=True))
                self.rounding[at] = part.rounding(*size).expand_as(low)
        self.low.append(low)
        self.high.append(high)

    def _between(self, part: Rectifier | Maximum, parent: int) -> RectifierLines | MaximumLines:
        low, high = self.low[parent], self.high[parent]
        if isinstance(part, Maximum):
            return MaximumLines.between(part, low, high)
        return RectifierLines.between(low, high)

    def _tighten(self, node: int, part: Rectifier | Maximum) -> None:
        """Linear bounds on those numbers of `node` on which it depends what `part` does."""
        if self.region.norm == "linf" and self._direct(node):
            return
        for end, sign in ((self.low, 1.0), (self.high, -1.0)):
            index = part.open(self.low[node], self.high[node]).flatten(1).nonzero()
            width = max(math.prod(one.shape) for one in self.nodes[: node + 1])
            flat = end[node].flatten(1).clone()
            for some in torch.split(index, max(1, _NUMBERS // width)):
                owner, place = some.unbind(1)
                w = flat.new_zeros((len(some), flat.shape[1])).scatter_(1, place[:, None], sign)
                found = sign * self.least(node, w.view(-1, *self.nodes[node].shape), owner)
                known = flat[owner, place]
                flat[owner, place] = known.maximum(found) if sign > 0 else known.minimum(found)
            end[node] = flat.view_as(end[node])

    def _direct(self, node: int) -> bool:
        """Whether each number is one sum over the image's own, of which intervals say all in linf."""
        sums = 0
        while (part := self.nodes[node].part) is not None:
            if not isinstance(part, Affine) or len(self.nodes[node].parents) > 1:
                return False
            sums += part.mixes
            node = self.nodes[node].parents[0]
        return sums <= 1


def bounds_of(nodes: Sequence[Node], region: Region, inner: Inner) -> Bounds:
    """Of all nodes; `inner`: how those before ReLU and pooling are found."""
    bounds = Bounds(nodes, region)
    with torch.no_grad():
        for _ in nodes:
            bounds.add(tighten=inner == "linear")
    return bounds


def value_of(nodes: Sequence[Node], x: torch.Tensor) -> torch.Tensor:
    """The logits (n, K) of images x (n, C, H, W) in float64."""
    values: list[torch.Tensor] = []
    for node in nodes:
        given = tuple(values[parent] for parent in node.parents)
        if node.part is None:
            values.append(x)
        elif isinstance(node.part, Affine):
            values.append(node.part.apply(*given))
        else:
            values.append(node.part.bounds(given, given)[0])
    return values[-1]
