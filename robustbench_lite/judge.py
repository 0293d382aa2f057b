"""The judge: an attack proposes, this decides. Fresh forward passes, the contract checked, every distance measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_lite.attack import Attack
from robustbench_lite.lazy import torch
from robustbench_lite.threat import Goal, size, tie

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Verdicts", "judge", "look"]


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
    """Logits (N, K) of images (N, C, H, W) on the CPU, in batches, without gradients."""
    with torch.no_grad():
        return torch.cat([module(x[i : i + batch_size].to(device)).float().cpu() for i in range(0, len(x), batch_size)])


def judge(
    attack: Attack,
    classify: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    candidates: torch.Tensor,
    goal: Goal,
) -> Verdicts:
    """Verdicts on candidates (N, C, H, W) for the clean images x, all on the CPU; `classify` gives logits (N, K)."""
    fault = _faults(attack, x, candidates)
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
