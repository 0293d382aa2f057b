"""The box of rotations, translations and scales that a spatial attack may use, and its grid."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_lite.lazy import torch

__all__ = ["PARAMETERS", "Limits"]

PARAMETERS = ("angle", "dx", "dy", "scale")  # degrees, pixels, pixels, factor: the columns of every tensor here


@dataclass(frozen=True)
class Limits:
    """Angles within +-rotation (degrees), dx and dy within +-translation (pixels), scale within 1 +- scaling."""

    rotation: float
    translation: float
    scaling: float = 0.0

    def at(self, unit: torch.Tensor) -> torch.Tensor:
        """Parameters (..., 4) at the coordinates `unit` (..., 4) of the box, each from -1 to 1; float64."""
        size = torch.tensor([self.rotation, self.translation, self.translation, self.scaling], dtype=torch.float64)
        middle = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
        return middle.to(unit.device) + unit.double() * size.to(unit.device)

    def contain(self, parameters: torch.Tensor) -> torch.Tensor:
        """Whether each row of parameters (n, 4) lies in the box (n,)."""
        one = torch.ones(4, dtype=torch.float64, device=parameters.device)
        return ((parameters >= self.at(-one) - 1e-9) & (parameters <= self.at(one) + 1e-9)).all(1)

    def grid(self, angles: int, shifts: int, scales: int = 1) -> torch.Tensor:
        """All combinations (angles * shifts^2 * scales, 4) of evenly spaced values, the limits included.

        Each comes as far as possible from all before it, corners first: whoever stops at the first success has then
        looked everywhere soon. The set does not depend on the order.
        """
        counts = (angles, shifts, shifts, scales)
        axes = [torch.linspace(-1, 1, count, dtype=torch.float64) if count > 1 else torch.zeros(1) for count in counts]
        unit = torch.cartesian_prod(*(axis.double() for axis in axes)).view(-1, 4)
        return self.at(unit[_farthest_first(unit)])


def _farthest_first(points: torch.Tensor) -> torch.Tensor:
    """An order (n,) of points (n, d): the first, then always the one farthest from those already taken."""
    order = torch.zeros(len(points), dtype=torch.int64)
    distance = (points - points[0]).square().sum(1)
    for i in range(1, len(points)):
        order[i] = distance.argmax()
        distance = distance.minimum((points - points[order[i]]).square().sum(1))
        distance[order[: i + 1]] = -1
    return order
