"""Universal perturbations by stochastic gradients (Shafahi et al., https://arxiv.org/abs/1811.11304)."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt

from robustbench_lite.attacks._one_for_all import OneForAll
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import Fitting
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.norms import project, steepest
from robustbench_lite.threat.rows import rows

__all__ = ["UniversalSGD"]


@attacks.register("universal_sgd")
class UniversalSGD(OneForAll):
    """One perturbation for all images: steepest ascent on the clipped cross-entropy of minibatches, projected."""

    card: ClassVar[Card] = Card(
        title="Universal perturbation by stochastic gradients",
        paper="Shafahi et al., Universal Adversarial Training, AAAI 2020",
        arxiv="1811.11304",
        protocol="Minibatches in random order; cross-entropy clipped at `cap` so that no image dominates; projection.",
        deviations=(
            "The ascent direction is that of the log-odds, which does not vanish when the softmax saturates.",
            "The step is the steepest one of the norm, of a fixed size that falls to nothing over the epochs; the "
            "paper uses a sign step or Adam.",
            "Fooled means another prediction than on the clean image, as for the original universal perturbations.",
        ),
    )
    version: ClassVar[int] = 2

    norm: Literal["linf", "l2"] = Field("linf", description="Norm of the perturbation.")
    epsilon: Number = Field(10 / 255, gt=0, description="Its largest size, for images in [0, 1].")
    epochs: PositiveInt = Field(20, description="Passes over the fitting set.")
    batch: PositiveInt = Field(50, description="Images in a minibatch.")
    step_size: Number = Field(0.25, gt=0, description="Size of the first step, as a part of epsilon.")
    cap: Number = Field(9.0, gt=0, description="Cross-entropy above which an image pulls no more, nats.")

    @property
    def typical_passes(self) -> float:
        return 2.0 * self.epochs

    @property
    def promise(self) -> Promise:
        return Promise(straight=True)

    def tried(self, images: int) -> Self:
        """With as many minibatches in an epoch."""
        batches = max(1, self.fit // self.batch)
        return super().tried(images).model_copy(update={"batch": max(1, images // batches)})

    def fitted(self, oracle: Oracle, some: Fitting) -> tuple[torch.Tensor, tuple[str, ...]]:
        x = some.x
        v = torch.zeros_like(x[:1])
        size = min(self.batch, len(x))
        total = self.epochs * (len(x) // size)
        for epoch in range(self.epochs):
            order = some.draw.uniform("order", (1,), epoch)[:, 0].argsort()
            for i in range(len(x) // size):
                part = order[i * size : (i + 1) * size]
                left = 1 - (epoch * (len(x) // size) + i) / total
                step = self.step_size * self.epsilon * left
                ascent = steepest(self._ascent(oracle, some, v, part), self.norm)
                v = project(v + step * ascent, self.norm, self.epsilon)
        return v, ()

    def _ascent(self, oracle: Oracle, some: Fitting, v: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        """The gradient (1, C, H, W) of the mean clipped cross-entropy of the images `part` (m,) in v."""
        moved = self.apply(some.x[part], v)

        def gradients(piece: slice) -> torch.Tensor:
            own = rows(some.goal, part[piece])
            view = oracle.differentiate(moved[piece], part[piece])
            odds, seed = own.ascent(view.logits)
            below = torch.nn.functional.softplus(odds) < self.cap  # the cross-entropy
            gradient, _ = view.gradient(seed * below[:, None])
            return gradient

        gradient = oracle.chunked(gradients, len(part))
        free = ((some.x[part] + v) - moved).abs() == 0  # a clipped pixel does not move with v
        return (gradient * free).mean(0, keepdim=True)
