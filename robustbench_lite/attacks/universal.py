"""Universal adversarial perturbations (Moosavi-Dezfooli et al., https://arxiv.org/abs/1610.08401)."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from robustbench_lite.attacks._one_for_all import OneForAll
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.drive import NO_MEMORY, REASONS, run
from robustbench_lite.engine.job import Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.norms import project
from robustbench_lite.threat.rows import rows

__all__ = ["Universal"]


@attacks.register("universal")
class Universal(OneForAll):
    """One perturbation for all images: DeepFool's step for each that it does not fool yet, added and projected."""

    card: ClassVar[Card] = Card(
        title="Universal adversarial perturbation",
        paper="Moosavi-Dezfooli et al., Universal adversarial perturbations, CVPR 2017",
        arxiv="1610.08401",
        protocol=(
            "Passes over the fitting set in random order; from each x + v that is not fooled a DeepFool step (10 "
            "classes, overshoot 0.02, at most 10 iterations, only if it succeeds) is added to v, and v is projected; "
            "until 1 - delta of the fitting set is fooled. Fooled: another prediction than on the clean image."
        ),
        deviations=(
            "The perturbation of the pass that fools most of the fitting set is kept; the paper keeps the last.",
            "clip: true, the default, clips x + v to [0, 1]; the paper does not clip.",
            "The sizes of the paper, linf 10 and l2 2000 on the 0-255 scale, are for 224 x 224 x 3.",
        ),
    )
    version: ClassVar[int] = 2

    norm: Literal["linf", "l2"] = Field("linf", description="Norm of the perturbation.")
    epsilon: Number = Field(10 / 255, gt=0, description="Its largest size (the paper's xi), for images in [0, 1].")
    inner: Literal["l2", "linf"] = Field("l2", description="Norm of DeepFool's steps; the paper's is l2 for both.")
    delta: Number = Field(0.2, ge=0, lt=1, description="Stop when 1 - delta of the fitting set is fooled.")
    passes: PositiveInt = Field(5, description="Passes over the fitting set at most.")
    steps: PositiveInt = Field(10, description="DeepFool iterations for an image at most.")
    overshoot: Number = Field(0.02, ge=0, description="DeepFool's overshoot.")
    candidates: PositiveInt = Field(10, ge=2, description="DeepFool's classes, the own one included.")

    @property
    def typical_passes(self) -> float:
        return 13.0 * self.passes

    @property
    def promise(self) -> Promise:
        return Promise(factor=1.35, straight=True, share=1 - self.delta)  # the projection takes a part of every step

    def fitted(self, oracle: Oracle, some: Fitting) -> tuple[torch.Tensor, tuple[str, ...]]:
        v = best = torch.zeros_like(some.x[:1])
        most, passes, n = -1, 0, len(some.x)
        wanted = n - floor(Fraction(str(self.delta)) * n)
        while passes < self.passes and most < wanted:
            order = some.draw.uniform("order", (1,), passes)[:, 0].argsort()
            v = self._pass(oracle, some, v, order)
            fooled = self._count(oracle, some, v)
            passes += 1
            if fooled > most:
                best, most = v, fooled
        stopped = "reached" if most >= wanted else "not reached"
        rate = most / n
        note = f"fools {rate:.1%} of the {n} images it was fitted on after {passes} passes ({stopped}: 1 - delta)"
        return best, (note,)

    def _pass(self, oracle: Oracle, some: Fitting, v: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """The perturbation after every image had its turn.

        While v stands, images are looked at many at once; the first that it does not fool changes v, and what was seen
        of those behind it does not count.
        """
        at, ahead = 0, 1
        while at < len(order):
            part = order[at : at + min(ahead, oracle.batch_size)]
            fooled = self._fooled(oracle, some, v, part)
            unfooled = (~fooled).nonzero()[:1, 0].tolist()
            if not unfooled:
                at, ahead = at + len(part), 2 * ahead
                continue
            (first,) = unfooled
            v = self._step(oracle, some, v, part[first : first + 1])
            at, ahead = at + first + 1, first + 1  # about as many as it took this time
        return v

    def _step(self, oracle: Oracle, some: Fitting, v: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        """v, moved so that the image `row` (1,) is fooled as well, and projected; v where DeepFool fails."""
        deepfool = attacks.build(
            "deepfool",
            {
                "norm": self.inner,
                "steps": self.steps,
                "overshoot": self.overshoot,
                "candidates": self.candidates,
                "clip": self.clip,
            },
        )
        start, ledger = self.apply(some.x[row], v), oracle.ledger
        found = run(deepfool, oracle, Job(start, rows(some.goal, row), rows(some.draw, row)))
        oracle.ledger = ledger
        ledger.counts.index_add_(0, row, found.ledger.counts)
        if bool((found.status == NO_MEMORY).any()):
            raise AttackError(f"DeepFool on one of the images to fit on: {REASONS[NO_MEMORY]}")
        if not bool(rows(some.goal, row).secured(oracle.logits(found.candidates, row)).all()):
            return v
        return project(v + (found.candidates - start), self.norm, self.epsilon)

    def _fooled(self, oracle: Oracle, some: Fitting, v: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        """Which of the images `part` (m,) the perturbation fools (m,)."""
        work = lambda piece: oracle.logits(self.apply(some.x[part[piece]], v), part[piece])
        logits = oracle.chunked(work, len(part))
        return rows(some.goal, part).secured(logits)

    def _count(self, oracle: Oracle, some: Fitting, v: torch.Tensor) -> int:
        everyone = torch.arange(len(some.x), device=some.x.device)
        return int(self._fooled(oracle, some, v, everyone).sum())
