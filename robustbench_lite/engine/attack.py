"""What an attack is: a frozen record of parameters that is also the algorithm. One per file in `attacks/`.

A `StepAttack` is a pair of pure functions over per-sample state (as optax writes optimisers): `start` makes the state,
`step` advances every row by about one forward and backward pass. It never loops over steps, batches or restarts: the
engine does, so that no sample waits for another. A `SetAttack` needs all samples at once (one epsilon for a data set),
or a setting that it `needs`: an object before a camera, photographs of one object, other images to fit on. A
`Composition` is several attacks, one after another.

This file is the contract that the loop (drive.py) and the judge know; it imports neither of them.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import model_validator

from robustbench_lite.engine._code import source_of
from robustbench_lite.engine.access import Access
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.job import PERTURBATION
from robustbench_lite.engine.protocol import Protocol
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Records, fingerprint
from robustbench_lite.threat.setting import Setting

if TYPE_CHECKING:
    from robustbench_lite.engine.job import Crafted, Job
    from robustbench_lite.engine.oracle import Oracle
    from robustbench_lite.threat.draws import Draw
    from robustbench_lite.threat.goal import Goal
    from robustbench_lite.threat.latents import Named
    from robustbench_lite.threat.norms import Norm

    Made = Mapping[str, torch.Tensor]  # what a universal attack has made, by name

__all__ = ["Attack", "Composition", "SetAttack", "State", "StepAttack", "attacks"]


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


class Attack(Protocol):
    """Common to all attacks. `version` changes when the same parameters would give another result."""

    version: ClassVar[int] = 1
    source: ClassVar[str] = ""  # hash of the code, where that is not ours
    card: ClassVar[Card]
    access: ClassVar[Access] = "gradients"  # what it may ask of a classifier; the oracle refuses more
    needs: ClassVar[type[Setting] | None] = None  # what there has to be beside the images
    minimal: ClassVar[bool] = False  # looks for the smallest perturbation instead of spending a budget
    timed_alone: ClassVar[bool] = True  # a few samples at batch size 1, too, as papers have it
    found: ClassVar[tuple[str, ...]] = ()  # names of the numbers that made a candidate, stored in `transform`
    changes: ClassVar[tuple[str, ...]] = ("epsilon",)  # parameters that say how far an image, in [0, 1], is changed

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
    def title(self) -> str:
        """What rows call it, and tables where a suite says nothing else: as it is registered."""
        return self.registered

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
    def spends(self) -> bool:
        """Whether it ends far out in its budget where it fails; not if it is after the smallest perturbation."""
        return not self.minimal

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

    @property
    def bracket(self) -> str:
        """The exact answers that it has to find before it runs on anything else (docs/bracket.md)."""
        return "images" if self.needs is None else self.needs.bracket

    def tried(self, images: int) -> Self:  # noqa: ARG002  (for those that are fitted on them)
        """The attack as the bracket tries it on so many images, which are shown as they are."""
        return self.model_copy(update={"under": None})

    @property
    def images_to_fit(self) -> int:
        """How many other images the data have to give it to fit on (its setting is then `Fitting`); 0: none."""
        return 0

    @property
    def separable(self) -> bool:
        """Whether nothing that becomes of a sample depends on which others are attacked: then shards are attacked."""
        return False

    def apply(self, x: torch.Tensor, perturbation: torch.Tensor) -> torch.Tensor:
        """The images x (n, C, H, W) with the perturbation (n or 1, C, H, W) on them; in [0, 1] if they must be."""
        moved = x + perturbation
        return moved.clamp_(0, 1) if self.boxed else moved

    def fingerprint(self) -> str:
        """Hash of everything about the attack that changes its outcome, the classifiers aside."""
        params = {key: value for key, value in self.params().items() if key != "sources"}
        source = self.source or source_of(type(self), Attack)
        own = {"source": source} if source else {}
        return fingerprint({"attack": self.registered, "version": self.version, "params": params, **own})

    def stream(self) -> str:
        """What tells this attack's random numbers from those of others; usually everything about it."""
        return self.fingerprint()

    def faults(self, x: torch.Tensor, candidates: torch.Tensor, found: torch.Tensor) -> list[str]:  # noqa: ARG002
        """What else is wrong with each candidate (N,), made with `found` (N, D) from x; empty: nothing."""
        return [""] * len(x)

    @property
    def lacking(self) -> str:
        """Why it cannot run here, in a sentence: what it is made of is not installed, ...; empty: it can."""
        return ""

    def names(self, setting: Setting | None) -> tuple[str, ...]:  # noqa: ARG002
        """Of the numbers (D) behind a candidate in the setting."""
        return self.found

    @property
    def named(self) -> Named | None:
        """The generator and the classifiers that it asks for by name; None: it asks for none."""
        return None

    def contradicted(self, job: Job, candidates: torch.Tensor, found: torch.Tensor) -> list[str]:  # noqa: ARG002
        """What in the job, its setting and draws, is against each candidate (N,) made with `found`; empty: nothing."""
        return [""] * len(candidates)

    def as_far(self, job: Job, found: torch.Tensor) -> torch.Tensor | None:  # noqa: ARG002
        """For each candidate (N, C, H, W) a random one as far away, which is judged beside it; None: there is none."""
        return None

    def remarks(self, goal: Goal) -> tuple[str, ...]:  # noqa: ARG002
        """What a cell with such goals has to say of the attack, a sentence each: its notes begin with that."""
        return ()

    @property
    def makers(self) -> tuple[str, ...]:
        """What the attacks inside are called, of which one makes each candidate."""
        return ()

    @property
    def follow_up(self) -> StepAttack | None:
        """An attack that the engine lets go on from the candidates of this one that do not succeed."""
        return None


def _levels(value: float) -> str:
    """The same number as it may have been meant, in levels of 8 bits."""
    return f"; did you mean {value:g}/255?" if value <= 255 else ""


class StepAttack(Attack):
    fills: ClassVar[bool] = False  # a step evaluates as many images as a batch holds, however few rows there are

    @abstractmethod
    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> State:
        """State of fresh samples x (n, C, H, W) in [0, 1]; no forward passes here."""

    def begin(self, x: torch.Tensor, goal: Goal, draw: Draw, setting: Setting | None) -> State:  # noqa: ARG002
        """The same in the setting of the job: for an attack that asks for other images (`images_to_fit`)."""
        return self.start(x, goal, draw)

    @abstractmethod
    def step(self, oracle: Oracle, state: State) -> State:
        """Advance every row once; a new state, the old one is not changed (it may be retried in halves)."""

    @property
    def separable(self) -> bool:
        return self.needs is None

    def details(self, state: State) -> torch.Tensor:
        """The numbers (n, D) called `found` behind every row's best candidate; float64."""
        return state.score.new_zeros((len(state.score), 0))


class SetAttack(Attack):
    # its artifacts depend on the images to fit on alone, and candidates are `perturbed(x, artifacts)`: they are crafted
    # once, whatever part of the samples is asked for
    universal: ClassVar[bool] = False

    @abstractmethod
    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        """Candidates for all samples of the job, in its setting; the oracle splits large batches itself."""

    def perturbed(self, x: torch.Tensor, made: Made) -> torch.Tensor:
        """Of a universal attack: candidates for x (n, C, H, W) from its artifacts; by default PERTURBATION is added."""
        return self.apply(x, made[PERTURBATION])

    def proposed(self, x: torch.Tensor, draw: Draw, made: Made) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ARG002
        """The same, and the numbers (n, D) called `found` behind each; the draws have a row for each sample."""
        return self.perturbed(x, made), x.new_empty((len(x), 0), dtype=torch.float64)


class Composition(Attack):
    """Attacks of one budget, one after another, each on the samples that those before it did not break."""

    @property
    @abstractmethod
    def members(self) -> dict[str, Attack]:
        """The attacks by what they are called here, in their order."""

    @property
    def makers(self) -> tuple[str, ...]:
        return tuple(self.members)

    @property
    def spends(self) -> bool:
        return any(member.spends for member in self.members.values())

    @property
    def separable(self) -> bool:
        return all(member.separable for member in self.members.values())

    @property
    def typical_passes(self) -> float:
        return sum(member.typical_passes for member in self.members.values())

    @property
    def bracket(self) -> str:
        return "members"

    def fingerprint(self) -> str:
        return fingerprint([super().fingerprint(), [one.fingerprint() for one in self.members.values()]])

    def remarks(self, goal: Goal) -> tuple[str, ...]:
        said = ((name, text) for name, one in self.members.items() for text in one.remarks(goal))
        return tuple(f"{name}: {text}" for name, text in said)


attacks: Records[Attack] = Records("attack", "robustbench_lite.attacks")
