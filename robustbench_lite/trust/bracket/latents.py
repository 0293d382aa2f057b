"""The bracket of a search in latent space: generator and classifier are linear, so the nearest latent is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.judge import judge, look
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.results.worst_case import allowed
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.latents import Latents
from robustbench_lite.trust.bracket.finding import CPU, Finding, guarded, job

__all__ = ["LinearLatents", "in_latents"]

_N, _WIDTH, _SIDE, _SCALE = 48, 8, 4, 0.05  # images; numbers of a latent; pixels; of pixels to latents
_SURE = 20.0  # logits of who is certain


class LinearLatents:
    """G(z) = 1/2 + A z, A with orthogonal columns, and a classifier with the logit gap u.z + offset, |u| = 1.

    Everything is said to be of class 0; where the gap is negative the classifier errs. So the nearest latent at which
    it does is u.z + offset away.
    """

    def __init__(self, offset: float) -> None:
        generator = torch.Generator().manual_seed(0)
        self.columns = torch.linalg.qr(torch.randn((_SIDE**2, _WIDTH), generator=generator))[0]
        self.u = torch.nn.functional.normalize(torch.randn(_WIDTH, generator=generator), dim=0)
        self.offset = offset

    def images(self, z: torch.Tensor) -> torch.Tensor:
        """The images (n, 1, S, S) of latents (n, width)."""
        flat: torch.Tensor = 0.5 + _SCALE * z @ self.columns.T
        return flat.view(-1, 1, _SIDE, _SIDE)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, 2) of images (n, 1, S, S)."""
        gap = (x.flatten(1) - 0.5) @ self.columns @ self.u / _SCALE + self.offset
        return torch.stack([gap / 2, -gap / 2], 1)

    def certain(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, 2) of who says class 0 whatever it sees."""
        zero = x.flatten(1).sum(1) * 0
        return torch.stack([zero + _SURE, zero - _SURE], 1)

    def distance(self, origin: torch.Tensor) -> torch.Tensor:
        """How far (n,) the nearest latent of another class is from these (n, width)."""
        return (origin @ self.u + self.offset).clamp_min(0)

    @property
    def setting(self) -> Latents:
        return Latents(self.images, _WIDTH, self.certain, self.certain)


def in_latents(attack: Attack, batch_sizes: Sequence[int], *, whole: bool) -> Iterator[Finding]:  # noqa: ARG001  (short)
    """The attack as it is configured: half of the nearest latents lie within its radius, half beyond."""
    for batch_size in batch_sizes:
        case = f"linear generator and classifier, batch {batch_size}"
        yield from guarded(attack, case, partial(_tried, attack.tried(_N), batch_size, case))


def _tried(attack: Attack, batch_size: int, case: str) -> Iterator[Finding]:
    radius = float(attack.params()["radius"])
    linear = LinearLatents(radius)
    x = linear.images(torch.randn((_N, _WIDTH), generator=torch.Generator().manual_seed(1)))
    work = job(attack, x, Goal(torch.zeros(_N, dtype=torch.int64), 2), setting=linear.setting)
    cpu = torch.device(CPU)
    outcome = run(attack, Oracle(linear, cpu, batch_size), work)  # type: ignore[arg-type]  # called, and no more
    verdicts = judge(attack, lambda part: look(linear, part, cpu, 64), x, outcome.candidates, work.goal)  # type: ignore[arg-type]
    faults = [text for text in attack.contradicted(work, outcome.candidates, outcome.found) if text]
    exact = linear.distance(linear.setting.prior(work.draw, outcome.found[:, 0].long())).double()
    within, beyond = exact * attack.promise.factor <= radius, exact * 0.98 > allowed(radius)
    won, impossible = int((verdicts.success & within).sum()), int((verdicts.success & beyond).sum())
    found = f"{won}, {impossible} of {int(beyond.sum())} impossible" + (f", {faults[0]}" if faults else "")
    good = won == int(within.sum()) and not impossible and not faults
    yield Finding(attack.registered, case, f"all of {int(within.sum())} within reach", found, good)
