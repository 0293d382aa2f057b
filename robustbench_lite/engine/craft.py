"""Set attacks: all samples at once; or, of what is fitted on other images, as many of them as are asked for."""

from __future__ import annotations

import time

from robustbench_lite.engine.attack import SetAttack
from robustbench_lite.engine.job import Crafted, Fitted, Job
from robustbench_lite.engine.oracle import BROKEN, Ledger, Oracle
from robustbench_lite.engine.outcome import NOT_FINITE, Outcome
from robustbench_lite.lazy import torch

__all__ = ["craft"]


def craft(attack: SetAttack, oracle: Oracle, job: Job) -> Outcome:
    """Candidates for the samples of the job. Where one of the images to fit on is broken, so is everything."""
    if not attack.universal:
        return _together(attack, oracle, job)
    fit = job.setting if isinstance(job.setting, Fitted) else _fit(attack, oracle, job)
    start, n = time.perf_counter(), len(job.x)
    candidates, found = attack.proposed(job.x, job.draw, fit.artifacts)
    ledger = Ledger(fit.counts[None], torch.full((1,), fit.seconds, dtype=torch.float64, device=job.x.device))
    ledger = ledger.shared(n, job.place)
    oracle.synchronize()
    ledger.seconds += (time.perf_counter() - start) / n
    broken = (fit.counts[BROKEN] > 0).expand(n)
    status = broken * NOT_FINITE
    return Outcome(candidates, ledger, status, found, 0.0, fit.notes, fit.artifacts, names=attack.found, fit=fit)


def _fit(attack: SetAttack, oracle: Oracle, job: Job) -> Fitted:
    crafted, ledger, seconds = _crafted(attack, oracle, job)
    return Fitted(crafted.artifacts, crafted.notes, ledger.counts.sum(0), float(ledger.seconds.sum()) + seconds)


def _crafted(attack: SetAttack, oracle: Oracle, job: Job) -> tuple[Crafted, Ledger, float]:
    """What the attack makes, what that cost the samples or the other images, and how many seconds it took."""
    start, others = time.perf_counter(), None if job.setting is None else job.setting.others
    ledger = oracle.open(len(job.x) if others is None else others)
    with oracle.limited(attack.access):
        crafted = attack.craft(oracle, job)
    oracle.synchronize()
    return crafted, ledger, time.perf_counter() - start


def _together(attack: SetAttack, oracle: Oracle, job: Job) -> Outcome:
    """What other images cost is shared by the samples."""
    n, (crafted, ledger, seconds) = len(job.x), _crafted(attack, oracle, job)
    broken = ledger.broken
    if job.setting is not None and job.setting.others is not None:
        ledger, broken = ledger.shared(n), ledger.broken.any().expand(n)
    ledger.seconds += seconds / max(n, 1)
    return Outcome(crafted.candidates, ledger, broken * NOT_FINITE, _nothing(n), 0.0, crafted.notes, crafted.artifacts)


def _nothing(n: int) -> torch.Tensor:
    """The numbers behind candidates that have none."""
    return torch.empty((n, 0), dtype=torch.float64)
