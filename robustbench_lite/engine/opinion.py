"""Where images are made and not changed: a second classifier says what they show. It must be of the sample's class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.judge import eight_bit
from robustbench_lite.lazy import torch

__all__ = ["Asked"]


@dataclass(frozen=True)
class Asked:
    """What `second`, images to logits (N, K), says of candidates (N, C, H, W) for the images x with labels (N,); CPU.

    `beside`: images that somebody else than the attack made, as a control; None: there are none.
    """

    second: Callable[[torch.Tensor], torch.Tensor]
    attack: Attack
    x: torch.Tensor
    candidates: torch.Tensor
    beside: torch.Tensor | None
    labels: torch.Tensor

    def agreed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether the candidate shows its label (N,), and whether it does as it is saved with 8 bits."""
        saved, savable = eight_bit(self.attack, self.x, self.candidates)
        rounded = self.second(saved)
        return self._shows(self._logits), self._shows(rounded) & savable

    def columns(self) -> dict[str, torch.Tensor]:
        """Columns of SAMPLES."""
        top = self._logits.double().softmax(1).nan_to_num().max(1)
        out = {
            "second_opinion": top.indices,
            "second_opinion_confidence": top.values,
            "clean_second_opinion": self.second(self.x).argmax(1),
        }
        return out if self.beside is None else out | {"control_second_opinion": self.second(self.beside).argmax(1)}

    @cached_property
    def _logits(self) -> torch.Tensor:
        return self.second(self.candidates.nan_to_num())

    def _shows(self, logits: torch.Tensor) -> torch.Tensor:
        return (logits.argmax(1) == self.labels) & logits.isfinite().all(1)
