"""What an attack of others is here: code that proposes, batch by batch, on a classifier whose passes are counted.

Its word counts for nothing but the column `claimed`: candidates go to the judge as they come. It may draw from the
global generators, which begin anew for every batch at a number that follows from the suite's seed and the ids of the
samples in it. Batches are of a fixed size, a parameter, as what is drawn for a sample depends on its neighbours.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, PositiveInt, field_validator, model_validator

from robustbench_lite.attacks.base import SetAttack
from robustbench_lite.engine.card import Promise
from robustbench_lite.engine.job import Crafted, Job
from robustbench_lite.engine.oracle import Ledger, Oracle, logits_of
from robustbench_lite.engine.outcome import NO_CANDIDATE
from robustbench_lite.errors import AttackError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.guards.generators import seeded
from robustbench_lite.lazy import torch
from robustbench_lite.registry import Number, Records, canonical, fingerprint
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import Norm
from robustbench_lite.threat.rows import rows

__all__ = ["Batch", "Peer", "Proposal", "peers"]

_GENERATORS = 2**32  # numpy's begins at a number below


@dataclass(frozen=True)
class Batch:
    """What code of others is given: a module, copies of images (n, C, H, W) and of the labels or targets, a seed."""

    model: torch.nn.Module
    x: torch.Tensor
    goal: Goal
    seed: int


@dataclass(frozen=True)
class Proposal:
    """Candidates (n, C, H, W), and which of them (n,) it takes for successes itself; None: it does not say."""

    images: Any
    claimed: Any = None


class Peer(SetAttack):
    """An attack of others within a budget, or for the smallest change where there is no epsilon."""

    timed_alone: ClassVar[bool] = False  # its batches are its own, and one image may be one that it gives up

    norm: Norm | None = Field(description="Norm of the ball, or that is minimised; null: none describes the attack.")
    epsilon: Number | None = Field(
        None, gt=0, description="Radius of the ball, for images in [0, 1]; null: it looks for the smallest change."
    )
    args: dict[str, Any] = Field({}, description="Parameters of the peer's own, by its names: {steps: 40}.")
    batch: PositiveInt = Field(64, description="Images that it is given at once; its random numbers depend on it.")

    @field_validator("args")
    @classmethod
    def _plain(cls, args: dict[str, Any]) -> dict[str, Any]:
        canonical(args)  # plain data, as YAML has it
        return args

    @model_validator(mode="after")
    def _measured(self) -> Peer:
        if self.epsilon is not None and self.norm is None:
            raise ValueError("epsilon: expected a norm beside it, in which it is measured")
        return self

    @property
    def minimal(self) -> bool:  # type: ignore[override]  # of the class elsewhere
        return self.epsilon is None and self.norm is not None

    @property
    def spends(self) -> bool:
        """Where it fails it may well hand back the image itself."""
        return False

    @property
    def promise(self) -> Promise:
        return Promise(factor=float("inf"), reach=0)

    @property
    def bracket(self) -> str:
        return "theirs"

    @property
    def typical_passes(self) -> float:
        return 100.0

    @property
    def edition(self) -> str:
        """What tells two versions of its code apart, and a reader whose it is."""
        return ""

    def fingerprint(self) -> str:
        return fingerprint([super().fingerprint(), self.edition])

    def remarks(self, goal: Goal) -> tuple[str, ...]:  # noqa: ARG002
        return (f"proposed by {self.edition}, in batches of {self.batch}",)

    @abstractmethod
    def problems(self) -> Iterator[tuple[str, str]]:
        """(parameter, sentence) for each thing that is wrong with it here: not installed, no such name, ..."""

    @abstractmethod
    def propose(self, batch: Batch) -> Proposal:
        """What it makes of the images; it may raise what it likes."""

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from super().absent(root)
        yield from self.problems()

    @property
    def lacking(self) -> str:
        return "; ".join(dict.fromkeys(text for _, text in self.problems()))

    def craft(self, oracle: Oracle, job: Job) -> Crafted:
        if problem := self.lacking:
            raise AttackError(problem)
        ledger, n = oracle.ledger, len(job.x)
        found = [
            self._attempt(oracle, job, ledger, slice(at, min(at + self.batch, n))) for at in range(0, n, self.batch)
        ]
        oracle.ledger = ledger
        reasons = tuple(f"{NO_CANDIDATE}{error}" if error else "" for one in found for error in one.errors)
        if all(reasons):
            raise next(error for one in found for error in one.errors if error is not None)
        images, claimed = (torch.cat([getattr(one, name) for one in found]) for name in ("images", "claimed"))
        return Crafted(images, (_told(claimed),), claimed=claimed, reasons=reasons)

    def _attempt(self, oracle: Oracle, job: Job, ledger: Ledger, part: slice) -> _Attempt:
        """A batch; where that raises, each image by itself, so that one does not take the others with it."""
        start, stop = part.start, part.stop
        index = torch.arange(start, stop, device=job.x.device)
        some = Job(job.x[index], rows(job.goal, index), rows(job.draw, index))
        own = oracle.open(stop - start)
        try:
            images, claimed = self._asked(oracle, some)
        except AttackError as error:
            if stop - start == 1:
                return _Attempt(some.x, some.goal.label < 0, [error])
            return _joined([self._attempt(oracle, job, ledger, slice(i, i + 1)) for i in range(start, stop)])
        ledger.counts[index] += own.counts
        ledger.trouble = ledger.trouble or own.trouble
        return _Attempt(images, claimed, [None] * (stop - start))

    def _asked(self, oracle: Oracle, job: Job) -> tuple[torch.Tensor, torch.Tensor]:
        """Candidates for a batch, and its own verdicts. Raises AttackError for all that its code does wrong."""
        from robustbench_lite.engine.counted import Counted  # its class statement needs torch

        goal, seed = job.goal, _seed(job.draw)
        copy = Goal(goal.label.clone(), goal.classes, goal.targeted, goal.members)
        with blamed(self.title, AttackError, "attack"), undisturbed(), seeded(seed), torch.enable_grad():
            made = self.propose(Batch(Counted(oracle, len(job.x)), job.x.clone(), copy, seed))
            images = self._shaped(made.images, job.x.shape, "images").to(job.x.device, torch.float32).clone()
            if made.claimed is not None:
                claimed = self._shaped(made.claimed, job.x.shape[:1], "verdicts").to(job.x.device).bool()
                return images, claimed
        with torch.no_grad():  # no pass of its own: who uses it looks at what came out
            predicted = logits_of(oracle.module, images).argmax(1)
        return images, (predicted == goal.label) == goal.targeted

    def _shaped(self, value: Any, shape: torch.Size, what: str) -> torch.Tensor:
        tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
        if tensor.shape != shape:
            raise AttackError(f"{self.title}: expected {what} {tuple(shape)} back, got {tuple(tensor.shape)}")
        return tensor.detach()


peers: Records[Peer] = Records("peer", "robustbench_lite.peers")


@dataclass(frozen=True)
class _Attempt:
    """Of some samples (n,): candidates, what they are claimed to be, and what was raised in the place of one."""

    images: torch.Tensor
    claimed: torch.Tensor
    errors: list[AttackError | None]


def _joined(parts: list[_Attempt]) -> _Attempt:
    images, claimed = (torch.cat([getattr(part, name) for part in parts]) for name in ("images", "claimed"))
    return _Attempt(images, claimed, [error for part in parts for error in part.errors])


def _seed(draw: Draw) -> int:
    """Where the generators begin for samples with these keys (n,): of the suite's seed, the attack and their ids."""
    return int(fingerprint(draw.fork("generators").key.tolist()), 16) % _GENERATORS


def _told(claimed: torch.Tensor) -> str:
    return f"by its own account it succeeds on {int(claimed.sum())} of {len(claimed)}"
