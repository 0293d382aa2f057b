"""What an attacker wants of logits: the only place that knows "targeted"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robustbench_lite.lazy import torch
from robustbench_lite.threat.ties import rounding

__all__ = ["Goal"]


@dataclass
class Goal:
    """What the attacker wants of `classes` classes: away from `label` (n,), or towards it when `targeted`."""

    label: torch.Tensor
    classes: int
    targeted: bool = False
    members: int = 1  # how many classifiers the attacker sees

    def reached(self, logits: torch.Tensor) -> torch.Tensor:
        """Whether the prediction (n, K) is what the attacker wants (n,); logits that are not finite never are."""
        hit = logits.argmax(1) == self.label
        return (hit if self.targeted else ~hit) & logits.isfinite().all(1)

    def secured(self, logits: torch.Tensor, least: torch.Tensor | None = None) -> torch.Tensor:
        """Reached by more than rounding, and by more than `least` (n,): a fresh look at the same image will agree.

        False where a logit is not finite.
        """
        needed = self.pair(logits, rounding)
        needed = needed if least is None else needed.maximum(least)
        return (self.margin(logits) > needed) & logits.isfinite().all(1)

    def margin(self, logits: torch.Tensor) -> torch.Tensor:
        """Logit gap (n,) in the goal's direction: positive when reached, negative when not."""
        gap = self.pair(logits, torch.sub)
        return gap if self.targeted else -gap

    def pair(self, logits: torch.Tensor, what: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """`what` (n,) of the two logits (n,) that decide: the label's, and the largest of the others."""
        own, others = self._split(logits)
        return what(own, others.amax(1))

    def loss(self, logits: torch.Tensor) -> torch.Tensor:
        """Log-odds (n,) of the goal, log (1 - p) / p: a monotone function of cross-entropy that never saturates."""
        return self.ascent(logits)[0]

    def seed(self, logits: torch.Tensor) -> torch.Tensor:
        """Gradient of `loss` in the logits (n, K): cross-entropy's direction, not scaled by 1 - p, so never 0."""
        return self.ascent(logits)[1]

    def ascent(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`loss` (n,) and `seed` (n, K)."""
        own, others = self._split(logits)
        total = others.logsumexp(1)
        seed = (others - total[:, None]).exp_().scatter_(1, self.label[:, None], -1.0)
        return (own - total, -seed) if self.targeted else (total - own, seed)

    def nll(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Negative log-likelihood of the goal (n,), -log(1 - p) or targeted -log p, and its gradient (n, K)."""
        loss, seed = self.ascent(logits)
        return torch.nn.functional.softplus(-loss), -torch.sigmoid(-loss)[:, None] * seed

    def _split(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        index = self.label[:, None]
        return logits.gather(1, index)[:, 0], logits.scatter(1, index, float("-inf"))
