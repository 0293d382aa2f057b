"""Set attacks: all samples at once; or, of one perturbation for all images, as many of them as are asked for."""

from __future__ import annotations

import time

from robustbench_lite.engine.attack import SetAttack
from robustbench_lite.engine.job import PERTURBATION, Fitted, Job
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
    candidates = attack.apply(job.x, fit.artifacts[PERTURBATION])
    ledger = Ledger(fit.counts[None], torch.full((1,), fit.seconds, dtype=torch.float64, device=job.x.device))
    ledger = ledger.shared(n, job.place)
    oracle.synchronize()
    ledger.seconds += (time.perf_counter() - start) / n
    broken = (fit.counts[BROKEN] > 0).expand(n)
    return Outcome(candidates, ledger, broken * NOT_FINITE, _nothing(n), 0.0, fit.notes, fit.artifacts, fit=fit)


def _fit(attack: SetAttack, oracle: Oracle, job: Job) -> Fitted:
    start = time.perf_counter()
    assert job.setting is not None
    ledger = oracle.open(job.setting.others or 0)
    with oracle.limited(attack.access):
        crafted = attack.craft(oracle, job)
    oracle.synchronize()
    seconds = float(ledger.seconds.sum()) + time.perf_counter() - start
    return Fitted(crafted.artifacts, crafted.notes, ledger.counts.sum(0), seconds)


def _together(attack: SetAttack, oracle: Oracle, job: Job) -> Outcome:
    """What other images cost is shared by the samples."""
    start, n = time.perf_counter(), len(job.x)
    others = None if job.setting is None else job.setting.others
    ledger = oracle.open(n if others is None else others)
    with oracle.limited(attack.access):
        crafted = attack.craft(oracle, job)
    oracle.synchronize()
    seconds, broken = time.perf_counter() - start, ledger.broken
    if others is not None:
        ledger, broken = ledger.shared(n), ledger.broken.any().expand(n)
    ledger.seconds += seconds / max(n, 1)
    return Outcome(crafted.candidates, ledger, broken * NOT_FINITE, _nothing(n), 0.0, crafted.notes, crafted.artifacts)


def _nothing(n: int) -> torch.Tensor:
    """The numbers behind candidates that have none."""
    return torch.empty((n, 0), dtype=torch.float64)
