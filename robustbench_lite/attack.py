"""What an attack is: a frozen record of parameters that is also the algorithm. One per file in `attacks/`.

A `StepAttack` is a pair of pure functions over per-sample state (as optax writes optimisers): `start` makes the state,
`step` advances every row by about one forward and backward pass. It never loops over steps, batches or restarts: the
engine does, so that no sample waits for another. A `SetAttack` needs all samples at once (one epsilon for a data set).
A `StickerAttack` changes one object of which the samples are photographs.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from robustbench_lite.lazy import torch
from robustbench_lite.registry import Config, Registry, fingerprint

if TYPE_CHECKING:
    from robustbench_lite.oracle import Oracle
    from robustbench_lite.rng import Draw
    from robustbench_lite.threat import Goal, Norm
    from robustbench_lite.transforms.shots import Shots

__all__ = ["Attack", "Card", "Crafted", "SetAttack", "State", "StepAttack", "StickerAttack", "attacks"]

GoalName = Literal["label", "prediction"]
Target = Literal["random", "least_likely", "next"] | int
Sources = Literal["single", "leave_one_out", "all"] | tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """What a reviewer asks about an attack. `factor` bounds how far above the minimum a perturbation may lie."""

    title: str
    paper: str
    arxiv: str
    protocol: str
    deviations: tuple[str, ...] = ()
    factor: float = 1.0  # on a linear classifier: size found / exact size, at most this (minimal attacks)


@dataclass
class State:
    """Per-sample state: every field is a tensor with a row per sample (or a nested record of such tensors).

    `candidate` and `score` are what the last step evaluated; lower scores are better, +inf is not worth keeping. The
    engine keeps each row's best candidate, and retires a row when it is `done`.
    """

    x: torch.Tensor  # the clean images (n, C, H, W)
    goal: Goal
    draw: Draw
    candidate: torch.Tensor  # (n, C, H, W)
    score: torch.Tensor  # (n,)
    done: torch.Tensor  # (n,) bool


@dataclass
class Crafted:
    """What a set attack proposes: candidates (n, C, H, W), what it has to say about the set, and what it made."""

    candidates: torch.Tensor
    notes: tuple[str, ...] = ()
    artifacts: dict[str, torch.Tensor] = field(default_factory=dict)


class Attack(Config):
    """Common to all attacks. `version` changes when the same parameters would give another result."""

    version: ClassVar[int] = 1
    card: ClassVar[Card]
    minimal: ClassVar[bool] = False  # looks for the smallest perturbation instead of spending a budget

    goal: GoalName = Field(
        "label", description="Untargeted: leave the true label, or the prediction on the clean image."
    )
    target: Target | None = Field(
        None, description="Targeted: a class, or one per sample: random, least_likely or next; null: untargeted."
    )

    sources: Sources | None = Field(
        None,
        description=(
            "The classifiers that the attacker sees. null: each its own, and only it is scored. Else every classifier "
            "of the suite is scored: single (each in turn), leave_one_out (all but one), all, or a list of names. "
            "Several are attacked as the mean of their probabilities."
        ),
    )

    @field_validator("sources")
    @classmethod
    def _several(cls, sources: Sources | None) -> Sources | None:
        if isinstance(sources, tuple) and (not sources or len(set(sources)) < len(sources)):
            raise ValueError("expected names of different classifiers")
        return sources

    @property
    def shares(self) -> tuple[float, ...] | None:
        """The weights of the sources in their mean, in the order of `sources`; None: equal."""
        return None

    @property
    def threat(self) -> Norm | None:
        """The norm that is bounded or minimised; None: no norm describes this attack."""
        return getattr(self, "norm", None)

    @property
    def budget(self) -> float | None:
        """The largest allowed size in that norm; None: a minimal perturbation, without a budget."""
        return getattr(self, "epsilon", None)

    @property
    def typical_passes(self) -> float:
        """Forwards and backwards per sample that `plan` should expect; a guess, not a bound."""
        return 2.0

    @property
    def boxed(self) -> bool:
        """Whether candidates promise to stay in [0, 1]."""
        return True

    def fingerprint(self) -> str:
        """Hash of everything about the attack that changes its outcome, the classifiers aside."""
        params = {key: value for key, value in self.params().items() if key != "sources"}
        return fingerprint({"attack": self.registered, "version": self.version, "params": params})


class StepAttack(Attack):
    @abstractmethod
    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> State:
        """State of fresh samples x (n, C, H, W) in [0, 1]; no forward passes here."""

    @abstractmethod
    def step(self, oracle: Oracle, state: State) -> State:
        """Advance every row once; a new state, the old one is not changed (it may be retried in halves)."""


class SetAttack(Attack):
    @abstractmethod
    def craft(self, oracle: Oracle, x: torch.Tensor, goal: Goal, draw: Draw) -> Crafted:
        """Candidates for all samples x (N, C, H, W) in [0, 1]; the oracle splits large batches itself."""


class StickerAttack(Attack):
    """On an object: samples are photographs of it, and one sticker is made for all of them."""

    @abstractmethod
    def craft(self, oracle: Oracle, x: torch.Tensor, goal: Goal, draw: Draw, shots: Shots) -> Crafted:
        """Photographs x (N, C, H, W) in [0, 1] with the sticker on the object; `shots` says how it lies in them."""


attacks: Registry[Attack] = Registry("attack", "robustbench_lite.attacks")
