"""What a classifier of the zoo says of generated images: a score, a distance, the classes that occur.

The formulas are those of the inception score (https://arxiv.org/abs/1606.03498) and of the Frechet inception distance
(https://arxiv.org/abs/1706.08500); the classifier is another, so the numbers are, too, and never to be called by those
names. Every number belongs to the classifier that it was taken with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Looked", "classifier_score", "frechet", "frechet_of_gaussians", "look", "shares", "unevenness"]


@dataclass(frozen=True)
class Looked:
    """What a classifier makes of images: probabilities (n, K), and what its last linear layer is given, (n, d)."""

    probabilities: torch.Tensor
    features: torch.Tensor


def look(classifier: nn.Module, images: torch.Tensor, rows: int = 256) -> Looked:
    """Probabilities and features of images (n, C, H, W) as the classifier takes them. Raises ModelError."""
    last = [part for part in classifier.modules() if isinstance(part, torch.nn.Linear)]
    if not last:
        raise ModelError("expected a classifier whose last layer is linear, got one without a linear layer")
    kept: list[torch.Tensor] = []

    def keep(_: Any, arguments: tuple[torch.Tensor, ...]) -> None:
        kept.append(arguments[0].flatten(1))

    hook = last[-1].register_forward_pre_hook(keep)
    try:
        with torch.no_grad():
            logits = torch.cat([classifier(part) for part in torch.split(images, rows)])
    finally:
        hook.remove()
    return Looked(logits.double().softmax(1), torch.cat(kept).double())


def classifier_score(probabilities: torch.Tensor) -> float:
    """Exp of the mean Kullback-Leibler divergence of p(y|x) from p(y): 1 at worst, the number of classes at best."""
    joint = torch.special.entr(probabilities.mean(0)).sum() - torch.special.entr(probabilities).sum(1).mean()
    return float(joint.exp())


def frechet(real: torch.Tensor, generated: torch.Tensor) -> float:
    """Squared Frechet distance of the Gaussians with the moments of features (n, d) and (m, d)."""
    both = (real.double(), generated.double())
    moments = [(one.mean(0), torch.cov(one.T).view(2 * one.shape[1:])) for one in both]
    return frechet_of_gaussians(*moments[0], *moments[1])


def frechet_of_gaussians(
    mean: torch.Tensor, covariance: torch.Tensor, other_mean: torch.Tensor, other: torch.Tensor
) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^1/2); the trace of the root is that of (C^1/2 C' C^1/2)^1/2."""
    values, vectors = torch.linalg.eigh(covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    between = torch.linalg.eigvalsh(root @ other @ root).clamp_min(0).sqrt().sum()
    return float((mean - other_mean).square().sum() + covariance.trace() + other.trace() - 2 * between)


def shares(probabilities: torch.Tensor) -> torch.Tensor:
    """The share (K,) of images that fall in each class."""
    counts = torch.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    return counts.double() / len(probabilities)


def unevenness(probabilities: torch.Tensor) -> float:
    """Total variation between the classes that occur and all alike: 0, or up to 1 - 1/K where only one occurs."""
    found = shares(probabilities)
    return float((found - 1 / len(found)).abs().sum() / 2)
