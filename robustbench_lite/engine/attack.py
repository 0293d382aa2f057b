"""What an attack is: a frozen record of parameters that is also the algorithm. One per file in `attacks/`.

A `StepAttack` is a pair of pure functions over per-sample state (as optax writes optimisers): `start` makes the state,
`step` advances every row by about one forward and backward pass. It never loops over steps, batches or restarts: the
engine does, so that no sample waits for another. A `SetAttack` needs all samples at once (one epsilon for a data set).
A `FittedAttack` finds one perturbation on some images, to be tested on others. A `SceneAttack` changes the textures of
objects of which classifiers are shown views, a `StickerAttack` one object of which the samples are photographs.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from abc import abstractmethod
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from robustbench_lite.engine.views import Chain
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.physical.scene import Scene
from robustbench_lite.physical.shots import Shots
from robustbench_lite.registry import Config, Records, fingerprint
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.norms import size, steepest
from robustbench_lite.transforms.distribution import Distribution, Operations

if TYPE_CHECKING:
    from robustbench_lite.engine.oracle import Oracle
    from robustbench_lite.engine.views import Views
    from robustbench_lite.threat.norms import Goal, Norm

__all__ = [
    "Attack",
    "Card",
    "Crafted",
    "Fitted",
    "FittedAttack",
    "Promise",
    "SceneAttack",
    "SetAttack",
    "State",
    "StepAttack",
    "StickerAttack",
    "attacks",
    "enough",
]

GoalName = Literal["label", "prediction"]
Target = Literal["random", "least_likely", "next"] | NonNegativeInt
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


@dataclass(frozen=True)
class Promise:
    """What an attack answers for where the answer is known: on classifiers that are linear in the image.

    With a budget it breaks every image whose exact radius, the box included, is at most budget / factor; without one
    it finds a perturbation of at most `factor` times the exact radius. inf: a baseline, which promises nothing.
    `rivals`: only where the nearest class is among the likeliest so many others; null: always. `straight`: the radius
    is that of one steepest step, clipped, which is not the best thing to do where the box binds (but in linf it is).
    `share`: of all images, those for which it holds. `reach`: attacks without a norm break boundaries up to this far
    away in linf.
    """

    factor: float = 1.05
    rivals: int | None = None
    straight: bool = False
    share: float = 1.0
    reach: float = 1 / 255  # less than one grey level: no attack that does anything is too weak for that


@dataclass
class State:
    """Per-sample state: every field is a tensor with a row per sample (or a nested record of such tensors).

    `candidate` is what the last step evaluated, `won` whether it reaches the goal, and `score` how good it is beside
    others that do, or others that do not: lower is better, +inf is not worth keeping. The engine keeps each row's best
    candidate, one that has won before any that has not, and retires a row when it is `done`.
    """

    x: torch.Tensor  # the clean images (n, C, H, W)
    goal: Goal
    draw: Draw
    candidate: torch.Tensor  # (n, C, H, W)
    score: torch.Tensor  # (n,)
    done: torch.Tensor  # (n,) bool
    won: torch.Tensor = field(kw_only=True, default_factory=lambda: torch.empty(0, dtype=torch.bool))  # (n,); none yet

    def __post_init__(self) -> None:
        if len(self.won) != len(self.done):
            self.won = torch.zeros_like(self.done, dtype=torch.bool)


@dataclass
class Crafted:
    """What a set attack proposes: candidates (n, C, H, W), what it has to say about the set, and what it made."""

    candidates: torch.Tensor
    notes: tuple[str, ...] = ()
    artifacts: dict[str, torch.Tensor] = field(default_factory=dict)


class Attack(Config):
    """Common to all attacks. `version` changes when the same parameters would give another result."""

    version: ClassVar[int] = 1
    source: ClassVar[str] = ""  # hash of the code, where that is not ours
    card: ClassVar[Card]
    minimal: ClassVar[bool] = False  # looks for the smallest perturbation instead of spending a budget
    found: ClassVar[tuple[str, ...]] = ()  # names of the numbers that made a candidate, stored in `transform`
    changes: ClassVar[tuple[str, ...]] = ("epsilon",)  # parameters that say how far an image, in [0, 1], is changed

    goal: GoalName = Field(
        "label", description="Untargeted: leave the true label, or the prediction on the clean image."
    )
    target: Target | None = Field(
        None,
        description=(
            "Targeted: a class, by its number (samples of that class are left out), or one per sample: random, "
            "least_likely or next; null: untargeted."
        ),
    )

    sources: Sources | None = Field(
        None,
        description=(
            "The classifiers that the attacker sees. null: each its own, and only it is scored. Else every classifier "
            "of the suite is scored: single (each in turn), leave_one_out (all but one), all, or a list of names. "
            "Several are attacked as the mean of their probabilities."
        ),
    )

    under: Operations | None = Field(
        None,
        description=(
            "A distribution of transformations, a list of operations: beside the image itself the judge scores fresh "
            "views of it, and of the original, drawn from there. null: no views."
        ),
    )
    evaluation_draws: PositiveInt = Field(1000, description="Views of each image that the judge scores.")

    @field_validator("sources")
    @classmethod
    def _several(cls, sources: Sources | None) -> Sources | None:
        if isinstance(sources, tuple) and (not sources or len(set(sources)) < len(sources)):
            raise ValueError("expected names of different classifiers")
        return sources

    @model_validator(mode="after")
    def _within_the_range(self) -> Self:
        """A change of a pixel by more than the whole range is a slip of units: 8 for 8/255."""
        for key in self.changes if self.threat in {None, "linf"} else ():
            value = getattr(self, key, None)
            if value is not None and value > 1:
                raise ValueError(f"{key}: {value:g} is larger than the whole range [0, 1] of a pixel{_levels(value)}")
        return self

    def too_far(self, shape: tuple[int, ...]) -> str:
        """What is wrong with changes in l1 or l2 that reach beyond all images (C, H, W) in [0, 1]; empty: nothing."""
        pixels = math.prod(shape)
        across = {"l1": float(pixels), "l2": math.sqrt(pixels)}.get(self.threat or "", math.inf)
        for key in self.changes:
            value = getattr(self, key, None)
            if value is not None and value > across:
                return (
                    f"{key}: {value:g} in {self.threat} is larger than {across:.4g}, the distance of black from white "
                    f"images of {'x'.join(map(str, shape))} in [0, 1]{_levels(value)}"
                )
        return ""

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
        """Forwards and backwards per sample, or image to fit on, that `plan` should expect; a guess, not a bound."""
        return 2.0

    @property
    def boxed(self) -> bool:
        """Whether candidates promise to stay in [0, 1]."""
        return True

    @property
    def promise(self) -> Promise:
        """What the bracket holds this attack to, with these parameters."""
        return Promise(factor=self.card.factor) if self.minimal else Promise()

    def views(self, scene: object | None = None) -> Views | None:  # noqa: ARG002  (for attacks on scenes)
        """What classifiers are shown of an image; None: the image itself."""
        return None if self.under is None else Distribution(self.under)

    def params(self) -> dict[str, Any]:
        """Every parameter; those about views only where there are any, so that what was stored before stands."""
        own = super().params()
        if self.under is None:
            defaults = {key: type(self).model_fields[key].default for key in ("under", "evaluation_draws")}
            return {key: value for key, value in own.items() if key not in defaults or value != defaults[key]}
        return own

    def fingerprint(self) -> str:
        """Hash of everything about the attack that changes its outcome, the classifiers aside."""
        params = {key: value for key, value in self.params().items() if key != "sources"}
        source = type(self).source or _source(type(self))
        own = {"source": source} if source else {}
        return fingerprint({"attack": self.registered, "version": self.version, "params": params, **own})

    def stream(self) -> str:
        """What tells this attack's random numbers from those of others; usually everything about it."""
        return self.fingerprint()

    def faults(self, x: torch.Tensor, candidates: torch.Tensor, found: torch.Tensor) -> list[str]:  # noqa: ARG002
        """What else is wrong with each candidate (N,), made with `found` (N, D) from x; empty: nothing."""
        return [""] * len(x)

    @property
    def follow_up(self) -> StepAttack | None:
        """An attack that the engine lets go on from the candidates of this one that do not succeed."""
        return None


def _levels(value: float) -> str:
    """The same number as it may have been meant, in levels of 8 bits."""
    return f"; did you mean {value:g}/255?" if value <= 255 else ""


@cache
def _source(record: type[Attack]) -> str:
    """Hash of the files that define an attack which is not ours, of an installed package; empty: it is ours."""
    files = {inspect.getsourcefile(part) for part in record.__mro__ if issubclass(part, Attack) and not _ours(part)}
    contents = [Path(file).read_bytes() for file in files if file and Path(file).is_file()]
    return fingerprint(sorted(hashlib.sha256(content).hexdigest() for content in contents)) if contents else ""


def _ours(record: type) -> bool:
    return record.__module__.startswith("robustbench_lite.")


class StepAttack(Attack):
    fills: ClassVar[bool] = False  # a step evaluates as many images as a batch holds, however few rows there are

    @abstractmethod
    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> State:
        """State of fresh samples x (n, C, H, W) in [0, 1]; no forward passes here."""

    @abstractmethod
    def step(self, oracle: Oracle, state: State) -> State:
        """Advance every row once; a new state, the old one is not changed (it may be retried in halves)."""

    def details(self, state: State) -> torch.Tensor:
        """The numbers (n, D) called `found` behind every row's best candidate; float64."""
        return state.score.new_zeros((len(state.score), 0))


class SetAttack(Attack):
    @abstractmethod
    def craft(self, oracle: Oracle, x: torch.Tensor, goal: Goal, draw: Draw) -> Crafted:
        """Candidates for all samples x (N, C, H, W) in [0, 1]; the oracle splits large batches itself."""


class SceneAttack(Attack):
    """On objects before a camera: samples are their textures, and classifiers are only ever shown views."""

    evaluation_draws: PositiveInt = Field(100, description="Views of each object that the judge scores.")

    def views(self, scene: object | None = None) -> Views:
        """The scene's views, and what `under` does to them. Raises AttackError where there is no scene."""
        if not isinstance(scene, Scene):
            raise AttackError(
                f"{self.registered}: expected an object (a dataset with the source `object:`), got images"
            )
        return scene if self.under is None else Chain((scene, Distribution(self.under)))

    @abstractmethod
    def craft(self, oracle: Oracle, x: torch.Tensor, goal: Goal, draw: Draw, views: Views) -> Crafted:
        """Textures for all samples, from their textures x (N, C, T, T) in [0, 1], that work in their views."""


@dataclass
class Fitted:
    """What fits a whole set: one perturbation (1, C, H, W), and what there is to say about it."""

    perturbation: torch.Tensor
    notes: tuple[str, ...] = ()


class FittedAttack(Attack):
    """One perturbation for all images: fitted on some, always tested on others."""

    goal: Literal["prediction"] = Field("prediction", description="Fooled: the prediction is not the clean one.")
    target: None = Field(None, description="Untargeted.")
    fit: PositiveInt = Field(
        500, description="Images to fit on: those next in rank after the tested samples, or of `fit_from` of the data."
    )
    clip: bool = Field(default=True, description="Clip perturbed images to [0, 1]; false: as in the paper.")

    @abstractmethod
    def fitted(self, oracle: Oracle, x: torch.Tensor, goal: Goal, draw: Draw) -> Fitted:
        """The perturbation for the images x (M, C, H, W); passes are counted in the oracle's ledger of M rows."""

    def apply(self, x: torch.Tensor, perturbation: torch.Tensor) -> torch.Tensor:
        """The images x (n, C, H, W) with the perturbation (1, C, H, W) on them."""
        moved = x + perturbation
        return moved.clamp_(0, 1) if self.clip else moved

    def control(self, perturbation: torch.Tensor) -> torch.Tensor:
        """A random direction (1, C, H, W) of the same size in the attack's norm: what anything of that size does."""
        norm = self.threat or "linf"
        draw = Draw(keys(0, "control", [self.fingerprint()]).to(perturbation.device))
        direction = draw.normal("control", tuple(perturbation.shape[1:]))
        return steepest(direction, norm) * size(perturbation, norm)

    @property
    def boxed(self) -> bool:
        return self.clip


class StickerAttack(Attack):
    """On one object: samples are photographs of it, and one sticker is made for all of them."""

    def shots(self, scene: object | None) -> Shots:
        """How the object lies in the photographs. Raises AttackError where there is none."""
        if not isinstance(scene, Shots):
            raise AttackError(
                f"{self.registered}: expected photographs of one object (a dataset with the source `sign:` or "
                "`photographs:`), got unrelated images"
            )
        return scene

    @abstractmethod
    def craft(self, oracle: Oracle, x: torch.Tensor, goal: Goal, draw: Draw, shots: Shots) -> Crafted:
        """Photographs x (N, C, H, W) in [0, 1] with the sticker on the object; `shots` says how it lies in them."""


def enough(share: float, n: int) -> int:
    """The smallest count that is at least this share of n, of the number as it is written: 0.55 of 100 are 55."""
    return math.ceil(Fraction(str(share)) * n)


attacks: Records[Attack] = Records("attack", "robustbench_lite.attacks")
