"""The parts of a network as bounds see them: affine maps, ReLU, maximum pooling.

An affine part has A x + b with the rounding of float32 beside it: what the network computes is A x + b + d with
|d| <= rounding, whatever the order of its sums.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustbench_lite.lazy import torch
from robustbench_lite.trust.certificates.rounding import gamma

__all__ = ["Affine", "Convolution", "Dense", "Maximum", "Moved", "Part", "Rectifier", "Scaled"]

if TYPE_CHECKING:  # whoever lists or validates need not wait for PyTorch
    Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Affine:
    """A x + b, of one input or several, each (n, ...), with a row per image."""

    @property
    def mixes(self) -> bool:
        """Whether a number of the result depends on several of an input."""
        return True

    def bounds(self, low: Tensors, high: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        """Interval arithmetic: where the result lies when each input lies between `low` and `high`."""
        middle = self.apply(*((a + b) / 2 for a, b in zip(low, high, strict=True)))
        radius = self.spread(*((b - a) / 2 for a, b in zip(low, high, strict=True)))
        radius = radius + self.rounding(*(a.abs().maximum(b.abs()) for a, b in zip(low, high, strict=True)))
        return middle - radius, middle + radius

    @abstractmethod
    def apply(self, *x: torch.Tensor) -> torch.Tensor:
        """A x + b."""

    @abstractmethod
    def spread(self, *r: torch.Tensor) -> torch.Tensor:
        """|A| r for r >= 0: how far the result may move where an input moves by r."""

    @abstractmethod
    def rounding(self, *size: torch.Tensor) -> torch.Tensor:
        """How far float32 may be from A x + b where |x| <= size."""

    @abstractmethod
    def pull(self, w: torch.Tensor) -> Tensors:
        """A^T w for every row of w (R, ...): what w.(A x + b) is in each input."""

    @abstractmethod
    def constant(self) -> torch.Tensor:
        """b, or what broadcasts to it."""


@dataclass(frozen=True)
class Dense(Affine):
    weight: torch.Tensor  # (outputs, inputs)
    bias: torch.Tensor  # (outputs,)

    def constant(self) -> torch.Tensor:
        return self.bias

    def apply(self, *x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x[0], self.weight, self.bias)

    def spread(self, *r: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(r[0], self.weight.abs())

    def rounding(self, *size: torch.Tensor) -> torch.Tensor:
        return gamma(self.weight.shape[1] + 1) * (self.spread(*size) + self.bias.abs())

    def pull(self, w: torch.Tensor) -> Tensors:
        return (w @ self.weight,)


@dataclass(frozen=True)
class Convolution(Affine):
    weight: torch.Tensor
    bias: torch.Tensor  # (outputs,)
    options: dict[str, Any]  # stride, padding, dilation, groups
    inside: tuple[int, int]  # H, W of what goes in

    def constant(self) -> torch.Tensor:
        return self.bias[:, None, None]

    def apply(self, *x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x[0], self.weight, self.bias, **self.options)

    def spread(self, *r: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(r[0], self.weight.abs(), **self.options)

    def rounding(self, *size: torch.Tensor) -> torch.Tensor:
        return gamma(self.weight[0].numel() + 1) * (self.spread(*size) + self.constant().abs())

    def pull(self, w: torch.Tensor) -> Tensors:
        o = self.options
        each = (self.inside, w.shape[2:], self.weight.shape[2:], o["stride"], o["padding"], o["dilation"])
        sides = zip(*each, strict=True)
        left = tuple(n - ((m - 1) * s - 2 * p + d * (k - 1) + 1) for n, m, k, s, p, d in sides)
        return (torch.nn.functional.conv_transpose2d(w, self.weight, output_padding=left, **o),)


@dataclass(frozen=True)
class Scaled(Affine):
    """Every number by itself: scale x + shift, in `operations` roundings of at most |scale x| + `carried`."""

    scale: torch.Tensor
    bias: torch.Tensor
    carried: torch.Tensor
    operations: int

    @property
    def mixes(self) -> bool:
        return False

    def constant(self) -> torch.Tensor:
        return self.bias

    def apply(self, *x: torch.Tensor) -> torch.Tensor:
        return x[0] * self.scale + self.bias

    def spread(self, *r: torch.Tensor) -> torch.Tensor:
        return r[0] * self.scale.abs()

    def rounding(self, *size: torch.Tensor) -> torch.Tensor:
        return gamma(self.operations) * (self.spread(*size) + self.carried)

    def pull(self, w: torch.Tensor) -> Tensors:
        return (w * self.scale,)


@dataclass(frozen=True)
class Moved(Affine):
    """What moves numbers, or adds or averages `terms` of them with weights that are not negative; 1: it only moves."""

    function: Callable[..., torch.Tensor]
    shapes: tuple[tuple[int, ...], ...]  # of one image, of each input
    terms: int

    @property
    def mixes(self) -> bool:
        return self.terms > 1

    def bounds(self, low: Tensors, high: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        off = self.rounding(*(a.abs().maximum(b.abs()) for a, b in zip(low, high, strict=True)))
        return self.function(*low) - off, self.function(*high) + off

    def constant(self) -> torch.Tensor:
        return torch.zeros((), dtype=torch.float64)

    def apply(self, *x: torch.Tensor) -> torch.Tensor:
        return self.function(*x)

    def spread(self, *r: torch.Tensor) -> torch.Tensor:
        return self.function(*r)

    def rounding(self, *size: torch.Tensor) -> torch.Tensor:
        return (gamma(self.terms) if self.terms > 1 else 0.0) * self.function(*size)

    def pull(self, w: torch.Tensor) -> Tensors:
        with torch.enable_grad():
            inputs = [w.new_zeros((len(w), *shape)).requires_grad_() for shape in self.shapes]
            out = self.function(*inputs)
            return torch.autograd.grad((out * w).sum(), inputs, create_graph=w.requires_grad)


@dataclass(frozen=True)
class Rectifier:
    """max(x, 0)."""

    def bounds(self, low: Tensors, high: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        return low[0].clamp_min(0), high[0].clamp_min(0)

    def open(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """Where it is not linear between these."""
        return (low < 0) & (high > 0)


@dataclass(frozen=True)
class Maximum:
    """Maximum pooling: `windows` (P, K) are places in a channel, the last of which is padding."""

    windows: torch.Tensor
    inside: tuple[int, ...]  # C, H, W of what goes in
    outside: tuple[int, ...]

    def bounds(self, low: Tensors, high: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(self.seen(end[0]).amax(3).view(-1, *self.outside) for end in (low, high))  # type: ignore[return-value]

    def seen(self, x: torch.Tensor) -> torch.Tensor:
        """What each window (N, C, P, K) sees of x (N, C, H, W); padding is -inf."""
        flat = torch.nn.functional.pad(x.flatten(2), (0, 1), value=float("-inf"))
        return flat[:, :, self.windows]

    def gathered(self, w: torch.Tensor) -> torch.Tensor:
        """The sum (R, C, H, W) over windows of what they (R, C, P, K) say of each number."""
        places = self.windows.flatten().expand(*w.shape[:2], -1)
        flat = w.new_zeros((*w.shape[:2], self.inside[1] * self.inside[2] + 1))
        return flat.scatter_add(2, places, w.flatten(2))[:, :, :-1].reshape(-1, *self.inside)

    def open(self, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
        """The numbers that may be the largest of a window in which another may be, too."""
        least, best = self.seen(low).max(3, keepdim=True)
        others = (self.seen(high) > least).scatter(3, best, value=False)
        may = others.scatter(3, best, others.any(3, keepdim=True))
        return self.gathered(may.double()) > 0


Part = Affine | Rectifier | Maximum
