"""What a search in latent space needs beside the images: a generator, a classifier that steers, another that judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.setting import Setting

__all__ = ["Latents", "Named"]


class Named(NamedTuple):
    """What of this an attack asks for, by name: a generator, and two classifiers."""

    generator: str
    auxiliary: str
    second: str


@dataclass(frozen=True, eq=False)
class Latents(Setting):
    """`made` maps latents (n, width) to images (n, C, H, W) in [0, 1], differentiable, each by itself.

    `steer` and `other` map images to logits: the first is the attacker's, the other the judge's, who looks on the CPU.
    """

    title: ClassVar[str] = "a generator and two classifiers that it names"
    bracket: ClassVar[str] = "latents"

    made: Callable[[torch.Tensor], torch.Tensor]
    width: int
    steer: Callable[[torch.Tensor], torch.Tensor]
    other: Callable[[torch.Tensor], torch.Tensor]

    @property
    def second(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return self.other

    def prior(self, draw: Draw, number: torch.Tensor | int) -> torch.Tensor:
        """The latents (n, width) with these numbers, (n,) or one, of the rows of `draw`: standard normal."""
        return draw.normal("latent", (self.width,), number)

    def direction(self, draw: Draw) -> torch.Tensor:
        """A random direction (n, width) of length 1."""
        return torch.nn.functional.normalize(draw.normal("direction", (self.width,)))
