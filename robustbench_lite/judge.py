"""The judge: an attack proposes, this decides. Fresh forward passes, the contract checked, every distance measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_lite.attack import Attack
from robustbench_lite.lazy import torch
from robustbench_lite.memory import chunked
from robustbench_lite.oracle import logits_of
from robustbench_lite.rng import Draw, keys
from robustbench_lite.threat import Goal, size, tie
from robustbench_lite.views import Views, pairs

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Panel", "Verdicts", "judge", "look", "pooled", "rank"]


@dataclass
class Verdicts:
    """Per sample (N,), on the CPU. `fault` is empty or says how the candidate breaks the contract."""

    logits: torch.Tensor
    predictions: torch.Tensor
    confidences: torch.Tensor
    second: torch.Tensor  # the class after the predicted one, and its confidence
    second_confidences: torch.Tensor
    success: torch.Tensor
    success_8bit: torch.Tensor
    margin: torch.Tensor
    near_tie: torch.Tensor
    sizes: dict[str, torch.Tensor]  # l0 (pixels), l1, l2, linf, rho, rho_linf, rmsd (0-255)
    fault: list[str]


def look(module: nn.Module, x: torch.Tensor, device: torch.device, batch_size: int) -> torch.Tensor:
    """Logits (N, K) of images (N, C, H, W) on the CPU, without gradients, in batches: smaller ones without memory."""
    with torch.no_grad():
        parts, _ = chunked(lambda part: logits_of(module, x[part].to(device)).cpu(), len(x), batch_size)
    return torch.cat(parts)


def pooled(logits: torch.Tensor, n: int) -> torch.Tensor:
    """Log of the mean probabilities (n, K) of n samples, from the logits (n * views, K) of their views, row by row."""
    views = logits.double().view(n, -1, logits.shape[1])
    return (views.log_softmax(2).logsumexp(1) - math.log(views.shape[1])).float()


@dataclass(frozen=True)
class Panel:
    """Scores images in fresh random views: `draws` of each, the same for all images and attacks of a seed and sample.

    No attack draws from here. At most `most` views are in memory at once.
    """

    views: Views
    module: nn.Module
    device: torch.device
    most: int
    draws: int
    seed: int
    ids: list[str]

    def columns(
        self, x: torch.Tensor, candidates: torch.Tensor, labels: torch.Tensor, goal: Goal
    ) -> dict[str, torch.Tensor]:
        """How often (N,) the candidates and the clean images x (N, C, H, W) are taken for what; columns of SAMPLES."""
        names = {"label": labels} | ({"target": goal.label} if goal.targeted else {})
        out = {"draws": torch.full_like(labels, self.draws)}
        for prefix, images in (("", candidates), ("clean_", x)):
            counts = self.count(images, torch.stack(list(names.values()), 1))
            out |= {f"{prefix}draws_{name}": column for name, column in zip(names, counts.unbind(1), strict=True)}
        return out

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Log of the probabilities (N, K), averaged over the views of each image x (N, C, H, W); CPU.

        Keeps N x draws x K numbers: 0.4 MB for each object, 100 views and 1000 classes.
        """
        return pooled(torch.cat([self._see(x, *pair) for pair in pairs(len(x), self.draws, self.most)]), len(x))

    def _see(self, x: torch.Tensor, row: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
        """Logits (m, K) of the views with these numbers (m,) of the images in these rows (m,) of x; CPU."""
        key = keys(self.seed, "judge", self.ids)[row]

        def some(part: slice) -> torch.Tensor:
            place, draw = x[row[part]].to(self.device), Draw(key[part].to(self.device))
            return logits_of(self.module, self.views.see(place, draw, number[part].to(self.device))).cpu()

        with torch.no_grad():
            parts, _ = chunked(some, len(row), self.most)
        return torch.cat(parts)

    def count(self, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """In how many views of each image x (N, C, H, W) each of its classes (N, L) is predicted: (N, L), CPU."""
        found = torch.zeros_like(classes)
        for row, number in pairs(len(x), self.draws, self.most):
            predicted = self._see(x, row, number).argmax(1)
            found.index_add_(0, row, (predicted[:, None] == classes[row]).to(found.dtype))
        return found


def judge(
    attack: Attack,
    classify: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    candidates: torch.Tensor,
    goal: Goal,
    found: torch.Tensor | None = None,
) -> Verdicts:
    """Verdicts on candidates (N, C, H, W) for the clean images x, all on the CPU; `classify` gives logits (N, K).

    `found` (N, D) are the numbers that the attack says it made them with.
    """
    fault = _faults(attack, x, candidates)
    if found is not None:
        fault = [own or other for own, other in zip(fault, attack.faults(x, candidates, found), strict=True)]
    sound = torch.tensor([not text for text in fault])
    logits = classify(torch.where(sound.view(-1, 1, 1, 1), candidates, x))
    rounded = (candidates.nan_to_num().clamp(0, 1) * 255).round() / 255
    margin = goal.margin(logits)
    top = logits.double().softmax(1).topk(2, dim=1)
    return Verdicts(
        logits=logits,
        predictions=logits.argmax(1),
        confidences=top.values[:, 0],
        second=top.indices[:, 1],
        second_confidences=top.values[:, 1],
        success=goal.reached(logits) & sound,
        success_8bit=goal.reached(classify(rounded)) & sound,
        margin=margin,
        near_tie=margin.abs() <= tie(logits),
        sizes=_sizes(x, candidates),
        fault=fault,
    )


def _faults(attack: Attack, x: torch.Tensor, candidates: torch.Tensor) -> list[str]:
    flat = candidates.flatten(1)
    finite = flat.isfinite().all(1)
    outside = torch.zeros_like(finite)
    if attack.boxed:
        outside = (flat.amin(1) < 0) | (flat.amax(1) > 1)
    beyond = torch.zeros_like(finite)
    used = torch.zeros(len(x))
    if attack.threat is not None and attack.budget is not None:
        used = size((candidates - x).double(), attack.threat)
        beyond = used > attack.budget * (1 + 1e-5) + 1e-6
    return [
        "candidate not finite"
        if not finite[i]
        else "candidate leaves [0, 1]"
        if outside[i]
        else f"{attack.threat} size {float(used[i]):.6g} exceeds epsilon {attack.budget:.6g}"
        if beyond[i]
        else ""
        for i in range(len(x))
    ]


def _sizes(x: torch.Tensor, candidates: torch.Tensor) -> dict[str, torch.Tensor]:
    x, r = x.double(), candidates.double() - x.double()
    l2, linf = size(r, "l2"), size(r, "linf")
    return {
        "l0": (r != 0).any(1).flatten(1).sum(1),
        "l1": size(r, "l1"),
        "l2": l2,
        "linf": linf,
        "rho": l2 / size(x, "l2"),
        "rho_linf": linf / size(x, "linf"),
        "rmsd": 255 * l2 / x[0].numel() ** 0.5,
    }


def rank(logits: torch.Tensor, label: torch.Tensor) -> list[int]:
    """How many classes score above `label` (N,) in logits (N, K)."""
    ranks: list[int] = (logits > logits.gather(1, label[:, None])).sum(1).tolist()
    return ranks
