"""Training images that are held out: how robust the network is after an epoch, and which epoch's weights are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from robustbench_lite.lazy import torch
from robustbench_lite.models.adversary import Ball, Madry
from robustbench_lite.models.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Held"]


@dataclass
class Held:
    """Images (N, C, H, W) uint8 and labels (N,): the weights that are robust on most of them are the best so far."""

    images: Tensor  # uint8
    labels: Tensor
    best: dict[str, Any] = field(default_factory=dict)  # robust: how many, net: the state then

    def look(self, epoch: int, todo: Recipe, net: nn.Module) -> str:
        """Measure, keep the network if none was better, and say so."""
        from robustbench_lite.models.archs.seen import Seen  # its class statement needs torch

        seen, n = Seen(net, todo.mean, todo.std).to(self.images.device), len(self.labels)
        right, robust = self.counts(seen.eval(), todo)
        net.train()
        whole = epoch + 1 >= todo.ramp  # before, the training was for a smaller ball
        if whole and robust >= self.best.get("robust", 0):
            self.best = {"robust": robust, "net": {k: v.clone() for k, v in net.state_dict().items()}}
        return f", of {n} held out {100 * right / n:.1f} % right, {100 * robust / n:.1f} % under attack"

    def counts(self, seen: nn.Module, todo: Recipe) -> tuple[int, int]:
        """How many are classified correctly, and how many after ten steps of PGD in the adversary's ball."""
        opponent, generator = todo.opponent, torch.Generator().manual_seed(todo.seed)
        assert isinstance(opponent, Ball)  # the recipe has been checked
        attacker, right, robust = Madry(norm=opponent.norm, epsilon=opponent.epsilon), 0, 0
        for part, y in zip(torch.split(self.images, 256), torch.split(self.labels, 256), strict=True):
            x = part.float() / 255
            adv = attacker.perturb(seen, x, y, generator)
            with torch.no_grad():
                right += int((seen(x).argmax(1) == y).sum())
                robust += int((seen(adv).argmax(1) == y).sum())
        return right, robust
