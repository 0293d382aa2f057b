"""The fast gradient sign method (Goodfellow et al., https://arxiv.org/abs/1412.6572), in any norm."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from robustbench_lite.attacks.base import SetAttack
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import Crafted, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number
from robustbench_lite.threat.box import steepest_within
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import steepest
from robustbench_lite.threat.rows import rows

__all__ = ["FGSM", "enough"]


@attacks.register("fgsm")
class FGSM(SetAttack):
    """One steepest-ascent step, of a given size or of the smallest size that fools a fraction of the data."""

    card: ClassVar[Card] = Card(
        title="Fast gradient sign method",
        paper="Goodfellow et al., Explaining and Harnessing Adversarial Examples, ICLR 2015",
        arxiv="1412.6572",
        protocol=(
            "x + epsilon sign(grad J(x, y)) with the true label y and no clipping (clip: false). DeepFool's tables use "
            "one epsilon per classifier and data set, the smallest that misclassifies 90 % of the data: fraction: 0.9."
        ),
        deviations=(
            "clip: true, the default, keeps the image valid; the paper does not clip. The step is then the steepest "
            "within the box: l2 and l1 spend all of epsilon, on the numbers that can still move.",
            "The direction is taken from the log-odds, which does not underflow where cross-entropy does.",
            "fraction climbs a ladder of sizes and bisects its first rung that suffices: the error need not grow "
            "with epsilon, so a smaller epsilon between two rungs can be missed.",
        ),
    )

    version: ClassVar[int] = 2

    norm: Literal["linf", "l2", "l1"] = Field("linf", description="Norm in which epsilon is measured.")
    epsilon: Number | None = Field(8 / 255, gt=0, description="Size of the step, for images in [0, 1].")
    fraction: Number | None = Field(
        None, gt=0, le=1, description="Instead of epsilon: the smallest size that misclassifies this share of the data."
    )
    largest: Number = Field(4.0, gt=0, description="Where the search of `fraction` gives up, in units of a full pixel.")
    tolerance: Number = Field(0.002, gt=0, description="Relative precision of the epsilon found by `fraction`.")
    clip: bool = Field(default=True, description="Clip to [0, 1]; false: as in the paper, the image may leave the box.")

    @model_validator(mode="before")
    @classmethod
    def _one_of_two(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("fraction") is not None:
            if data.get("epsilon") is not None:
                raise ValueError("expected either epsilon or fraction, got both")
            return {**data, "epsilon": None}
        return data

    @property
    def typical_passes(self) -> float:
        return 2.0 if self.fraction is None else 35.0

    @property
    def separable(self) -> bool:
        return self.fraction is None

    @property
    def boxed(self) -> bool:
        return self.clip

    @property
    def promise(self) -> Promise:
        return Promise(share=1.0 if self.fraction is None else self.fraction)

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        x, goal = job.x, job.goal
        direction = oracle.chunked(lambda part: self._direction(oracle, x, goal, part), len(x))
        if self.epsilon is not None:
            return Crafted(self._move(x, direction, self.epsilon))
        epsilon, fooled = self._search(oracle, x, goal, direction)
        assert self.fraction is not None
        note = f"epsilon {epsilon:.5g} misclassifies {fooled:.1%} of the data"
        if fooled < self.fraction:
            note = (
                f"no epsilon up to {epsilon:.3g} misclassifies {self.fraction:.0%} of the data ({fooled:.1%} at most)"
            )
        return Crafted(self._move(x, direction, epsilon), (note,))

    def _direction(self, oracle: Oracle, x: torch.Tensor, goal: Goal, part: slice) -> torch.Tensor:
        index = torch.arange(len(x), device=x.device)[part]
        view = oracle.differentiate(x[part], index)
        gradient, _ = view.gradient(rows(goal, index).seed(view.logits))
        return steepest(gradient, self.norm) if self._straight else gradient

    @property
    def _straight(self) -> bool:
        """Whether a step of any size goes the same way: without the box, or where clipping is all it takes."""
        return self.norm == "linf" or not self.clip

    def _move(self, x: torch.Tensor, direction: torch.Tensor, epsilon: float) -> torch.Tensor:
        straight = self._straight
        return self.apply(x, epsilon * direction if straight else steepest_within(x, direction, self.norm, epsilon))

    def _search(self, oracle: Oracle, x: torch.Tensor, goal: Goal, direction: torch.Tensor) -> tuple[float, float]:
        """The smallest epsilon that fools `fraction`, and the share that it fools; the largest if none does."""
        assert self.fraction is not None
        wanted = enough(self.fraction, len(x))
        unit = {"linf": 1.0, "l2": x[0].numel() ** 0.5, "l1": float(x[0].numel())}[self.norm]

        def fooled(height: float) -> int:
            return int(self._fooled(oracle, x, goal, direction, height * unit).sum())

        low, high = 0.0, 1 / 512
        while (count := fooled(high)) < wanted:
            if high >= self.largest:
                return high * unit, count / len(x)
            low, high = high, min(high * 1.25, self.largest)
        while high - low > self.tolerance * high:
            middle = (low + high) / 2
            low, high = (low, middle) if fooled(middle) >= wanted else (middle, high)
        return high * unit, fooled(high) / len(x)

    def _fooled(
        self, oracle: Oracle, x: torch.Tensor, goal: Goal, direction: torch.Tensor, epsilon: float
    ) -> torch.Tensor:
        index = torch.arange(len(x), device=x.device)

        def part_fooled(part: slice) -> torch.Tensor:
            logits = oracle.logits(self._move(x[part], direction[part], epsilon), index[part])
            return rows(goal, index[part]).secured(logits)

        return oracle.chunked(part_fooled, len(x))


def enough(share: float, n: int) -> int:
    """The smallest count that is at least this share of n, of the number as it is written: 0.55 of 100 are 55."""
    return ceil(Fraction(str(share)) * n)
