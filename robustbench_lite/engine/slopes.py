"""Does a classifier's gradient predict how its loss changes? Differences in random directions, beside the gradient.

A gradient that is shattered, detached, clamped away or only a part of the true one sends attacks nowhere (Athalye,
Carlini and Wagner, https://arxiv.org/abs/1802.00420), and the classifier looks more robust than it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from robustbench_lite.engine.oracle import logits_of
from robustbench_lite.engine.pictures import Pictures
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from robustbench_lite.engine.inspection import Scorer

__all__ = ["LEAST", "agreement", "misleading"]

LEAST = 0.5  # agreement below which a gradient misleads: it explains less than a third of the change
_DIRECTIONS = 16  # of random signs: 16 are unrelated by chance to within 0.25
_IMAGES, _FEWER = 8, 4
_LARGE = 3 * 96 * 96
_STEPS, _SHORTER = (2 / 255, 4 / 255, 8 / 255), (0.5 / 255, 1 / 255, 2 / 255)  # of every pixel; of large images


def misleading(scorer: Scorer, x: Pictures) -> Iterator[str]:
    """A sentence where the gradient says nothing about the loss on most of a few of the images x (N, C, H, W)."""
    found = agreement(scorer, x)
    if found is not None and len(found) and float(found.median()) < LEAST:
        far = int((found < LEAST).sum())
        yield (
            f"the gradient does not predict how the loss changes on {far} of {len(found)} images (agreement "
            f"{max(0.0, float(found.median())):.2f}, 1 where it does): it is masked, and attacks that follow it find "
            "little; attack without gradients, or give the classifier without what hides them"
        )


def agreement(scorer: Scorer, x: Pictures) -> torch.Tensor | None:
    """Of a few of the images x (N, C, H, W) how well (m,) the gradient predicts the loss: 1 exactly, 0 not at all.

    2 <a, p> / (<a, a> + <p, p>) over random directions, a the change and p the gradient's prediction of it, at the
    best of several steps: kinks disturb long ones, rounding short ones. None: there is no gradient to be asked for.
    """
    large = math.prod(x.shape[1:]) > _LARGE
    steps, most = (_SHORTER, _FEWER) if large else (_STEPS, _IMAGES)
    places = torch.linspace(0, len(x) - 1, min(most, len(x))).round().long()
    inside = x[places].clamp(max(steps), 1 - max(steps))  # a step to either side stays an image
    labels = scorer.logits(inside).argmax(1)
    gradient = None
    with suppress(
        Exception, SystemExit
    ):  # whoever has no backward pass fails where it is attacked by one, and says so there
        gradient = _gradient(scorer, inside, labels)
    if gradient is None:
        return None
    signs = _signs(inside)
    slopes = gradient.flatten(1).double() @ signs.flatten(1).double().T  # (m, directions)
    best = slopes.new_zeros(len(inside))
    for step in steps:
        best = best.maximum(_agree(_change(scorer, inside, labels, step * signs), 2 * step * slopes))
        if float(best.median()) >= LEAST:
            break
    return best


def _signs(x: torch.Tensor) -> torch.Tensor:
    """Directions (d, C, H, W) of random signs, always the same."""
    generator = torch.Generator().manual_seed(0)
    return 2.0 * torch.randint(0, 2, (_DIRECTIONS, *x.shape[1:]), generator=generator) - 1


def _loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-odds (n,) of the labels: cross-entropy saturates, this does not."""
    logits, index = logits.double(), labels[:, None]
    return logits.scatter(1, index, float("-inf")).logsumexp(1) - logits.gather(1, index)[:, 0]


def _gradient(scorer: Scorer, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor | None:
    """Of the loss in each image, (n, C, H, W) on the CPU; None where the logits do not depend on it as PyTorch sees."""
    leaf = x.to(scorer.device).requires_grad_()
    with torch.enable_grad():
        logits = logits_of(scorer.module, leaf)
        if not logits.requires_grad:
            return None
        loss = _loss(logits, labels.to(scorer.device)).sum()
    return torch.autograd.grad(loss, leaf)[0].cpu()


def _change(scorer: Scorer, x: torch.Tensor, labels: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Of the loss (n, d) from each image x (n, C, H, W) minus each of the moves (d, C, H, W) to it plus the move."""
    ends = [(x[:, None] + side * moves).flatten(0, 1) for side in (1, -1)]
    own = labels.repeat_interleave(len(moves))
    above, below = scorer.logits(ends[0]), scorer.logits(ends[1])
    return (_loss(above, own) - _loss(below, own)).view(len(x), -1)


def _agree(change: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """2 <a, p> / (<a, a> + <p, p>) over directions (n, d): (n,); where neither is anything, no agreement."""
    total = (change**2 + predicted**2).sum(1)
    return 2 * (change * predicted).sum(1) / total.clamp(min=torch.finfo(torch.float64).tiny)
