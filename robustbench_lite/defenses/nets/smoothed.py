"""The smoothed classifier of Cohen, Rosenfeld and Kolter, https://arxiv.org/abs/1902.02918."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from robustbench_lite.engine.certificate import Certificate
from robustbench_lite.engine.mixture import mix
from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.models.archs.behind import Behind
from robustbench_lite.models.archs.straight import led

__all__ = ["Smoothed"]

_TOGETHER = 512  # noisy images in one pass of a certificate
_TIE = 0.5  # of a vote: what mean probabilities weigh beside it, less than any lead


class Smoothing(Protocol):
    """What a certificate needs: how many draws, their noise, and what follows from their votes."""

    n0: int
    n: int

    def noise(self, x: Tensor, name: str, seed: int, steps: Tensor) -> Tensor: ...

    def certificate(self, first: Tensor, votes: Tensor) -> Certificate: ...


class Smoothed(Behind):
    """Logits (N, K) whose largest is the class that most noisy copies of an image (N, C, H, W) are given."""

    def forward(self, x: Tensor) -> Tensor:
        logits = [logits_of(self.net, self.shown(x, number)) for number in range(self.defense.draws)]
        soft = mix(logits)
        with torch.no_grad():
            votes = torch.stack([_votes(z) for z in logits]).sum(0)
            answer = ((votes + _TIE * soft.exp()) / (len(logits) + _TIE)).log()
        return led(soft, answer.clamp_min(torch.finfo(answer.dtype).min))

    def certify(self, x: Tensor, ids: Sequence[str], seed: int = 0) -> Certificate:
        """What is proven around images x (N, C, H, W), each with noise of its own that depends on (seed, id) alone."""
        smoothing = cast("Smoothing", self.defense)
        first = self._counts(x, ids, seed, 0, smoothing.n0)
        return smoothing.certificate(first, self._counts(x, ids, seed, smoothing.n0, smoothing.n))

    def _counts(self, x: Tensor, ids: Sequence[str], seed: int, first: int, draws: int) -> Tensor:
        """How often (N, K) each class wins in the draws from number `first` on, on the CPU."""
        classes = [
            self._count(image, name, seed, range(first, first + draws)) for image, name in zip(x, ids, strict=True)
        ]
        return torch.stack(classes)

    def _count(self, image: Tensor, name: str, seed: int, draws: range) -> Tensor:
        """The same (K,) of one image (C, H, W), a part of the draws at a time."""
        smoothing, image = cast("Smoothing", self.defense), image[None].to(self.known.device)
        votes: list[Tensor] = []
        for start in draws[::_TOGETHER]:
            steps = torch.arange(start, min(start + _TOGETHER, draws.stop))
            with torch.no_grad():
                logits = logits_of(self.net, smoothing.noise(image, name, seed, steps))
            votes.append(_votes(logits).sum(0).cpu())
        return torch.stack(votes).sum(0)


def _votes(logits: Tensor) -> Tensor:
    """One for the largest logit of each row (N, K), int64."""
    return torch.nn.functional.one_hot(logits.argmax(1), logits.shape[1])
