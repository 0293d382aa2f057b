"""What attacks derive from: the contract that loop and judge know, and the call on a classifier and images at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from robustbench_lite.engine import attack as contract
from robustbench_lite.engine.attack import Attack, State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.evaluate import evaluate
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.engine.result import AttackResult
from robustbench_lite.errors import UsageError, problems_of
from robustbench_lite.registry import Number
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "Attack",
    "AttackResult",
    "Card",
    "Composition",
    "Draw",
    "Goal",
    "Number",
    "Oracle",
    "Promise",
    "SetAttack",
    "State",
    "StepAttack",
    "attacks",
]


class _Called(Attack):
    def __init__(self, **params: Any) -> None:
        """The attack with these parameters. Raises UsageError, a sentence for each that is wrong."""
        try:
            super().__init__(**params)
        except ValidationError as error:
            name = type(self).__name__
            raise UsageError("; ".join(f"{name}: {text}" for _, text in problems_of(error, type(self)))) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # who validates data gets pydantic's own error

    def __call__(
        self,
        model: nn.Module | Sequence[nn.Module],
        x: torch.Tensor,
        y: torch.Tensor | None = None,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        fit: torch.Tensor | None = None,
        inspect: bool = True,
        expectation: int | None = None,
    ) -> AttackResult:
        """Attack images x (N, C, H, W) float32 in [0, 1] with true labels y (N,), and let the judge decide.

        `model` maps such images to logits (N, K), wherever it lies; of several modules the mean of the probabilities is
        attacked. It is in eval mode and frozen meanwhile, and as it was afterwards. Without y the labels are what it
        predicts (goal: prediction only). The same images, seed and model give what a suite's run gives.

        `batch_size`: active samples, halved when memory runs out. `fit`: other images, for attacks that are fitted on
        such. `inspect`: ask the model in batches of 1, 7 and all, with gradients and without, and refuse one whose
        answers differ. `expectation`: attack and judge the mean of so many draws of a model that is random.
        Raises UsageError, ModelError or AttackError, a sentence each.
        """
        options: dict[str, Any] = {"fit": fit, "inspect": inspect, "expectation": expectation}
        return evaluate(self, model, x, y, seed=seed, batch_size=batch_size, **options)


class StepAttack(_Called, contract.StepAttack):
    """Two pure functions over per-sample state: `start` makes it, `step` advances every row by about one pass."""


class SetAttack(_Called, contract.SetAttack):
    """All samples at once: `craft`."""


class Composition(_Called, contract.Composition):
    """Attacks of one budget, one after another: `members`."""
