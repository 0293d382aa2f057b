"""What becomes of the samples of a job: the proposed candidates, what each cost, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from robustbench_lite.engine.job import Fitted
from robustbench_lite.engine.oracle import BACKWARD, FORWARD, ZERO_GRADIENT, Ledger
from robustbench_lite.lazy import torch

__all__ = ["NOT_FINITE", "NO_CANDIDATE", "NO_MEMORY", "OK", "REASONS", "Outcome", "Tally"]

OK, NOT_FINITE, NO_MEMORY = 0, 1, 2
NO_CANDIDATE = "no candidate: "  # so begins what an attack says of a sample for which it proposes nothing
REASONS = {OK: "ok", NOT_FINITE: "gradient or logits not finite", NO_MEMORY: "out of memory at batch size 1"}


@dataclass(frozen=True)
class Tally:
    """What one of several attacks in turn did: samples that it was given and broke, and the passes that they cost."""

    name: str
    broken: int
    tried: int
    forwards: int
    backwards: int

    def __add__(self, other: Tally) -> Tally:
        """Of the samples of both."""
        counts = [getattr(self, name) + getattr(other, name) for name in ("broken", "tried", "forwards", "backwards")]
        return Tally(self.name, *counts)

    def told(self) -> str:
        """A sentence for the notes."""
        each = ", ".join(f"{passes / max(1, self.tried):.1f}" for passes in (self.forwards, self.backwards))
        return f"{self.name}: breaks {self.broken} of {self.tried}; forward, backward passes each: {each}"


@dataclass
class Outcome:
    """Per sample (N,): the proposed candidate, what it cost, and how it ended (a key of REASONS)."""

    candidates: torch.Tensor
    ledger: Ledger
    status: torch.Tensor
    found: torch.Tensor  # (N, D) the numbers behind each candidate, where the attack names them
    wall: float = 0.0
    notes: tuple[str, ...] = ()
    artifacts: dict[str, torch.Tensor] = field(default_factory=dict)  # what was made for all samples together
    maker: torch.Tensor | None = None  # (N,) which of the attacks inside made each candidate; -1: none did
    tally: tuple[Tally, ...] = ()  # of attacks in turn, one each
    names: tuple[str, ...] = ()  # (D) of the numbers in `found`
    fit: Fitted | None = None  # what a universal attack has made of its images to fit on
    claimed: torch.Tensor | None = None  # (N,) what the attack itself takes for a success
    said: tuple[str, ...] = ()  # (N,) why there is no candidate, by the attack's own account; empty: there is

    @classmethod
    def empty(cls, x: torch.Tensor, names: tuple[str, ...] = ()) -> Outcome:
        """Nothing proposed yet."""
        n, device = len(x), x.device
        found = torch.full((n, len(names)), float("nan"), dtype=torch.float64, device=device)
        status = torch.zeros(n, dtype=torch.int64, device=device)
        return cls(x.clone(), Ledger.empty(n, device), status, found, names=names)

    def cpu(self) -> Outcome:
        """The same, on the CPU."""
        ledger = Ledger(self.ledger.counts.cpu(), self.ledger.seconds.cpu())
        candidates, status, found = self.candidates.cpu(), self.status.cpu(), self.found.cpu()
        artifacts = {name: value.cpu() for name, value in self.artifacts.items()}
        out = replace(self, candidates=candidates, ledger=ledger, status=status)
        fit = None if self.fit is None else self.fit.to(torch.device("cpu"))
        maker = None if self.maker is None else self.maker.cpu()
        claimed = None if self.claimed is None else self.claimed.cpu()
        return replace(out, found=found, artifacts=artifacts, maker=maker, fit=fit, claimed=claimed)

    @property
    def forwards(self) -> torch.Tensor:
        """Forward passes of every sample (N,)."""
        return self.ledger.counts[:, FORWARD]

    @property
    def backwards(self) -> torch.Tensor:
        """Backward passes of every sample (N,)."""
        return self.ledger.counts[:, BACKWARD]

    @property
    def zero_gradient(self) -> torch.Tensor:
        """Backward passes that returned exactly zero (N,)."""
        return self.ledger.counts[:, ZERO_GRADIENT]

    @property
    def seconds(self) -> torch.Tensor:
        """Every sample's share of the wall time of the steps in which it was active (N,)."""
        return self.ledger.seconds

    def told(self) -> tuple[str, ...]:
        """All that is to be said of the samples together."""
        return (*self.notes, *(one.told() for one in self.tally))

    def reasons(self) -> list[str]:
        """Every sample's status in words (N,)."""
        said = self.said or ("",) * len(self.status)
        return [own or REASONS[code] for own, code in zip(said, self.status.tolist(), strict=True)]
