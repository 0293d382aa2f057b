"""One check of the bracket, and how an attack is run and judged for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.drive import Outcome, run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.judge import Verdicts, judge, look
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal

__all__ = ["Finding", "attempt", "guarded", "job"]

CPU = "cpu"


@dataclass(frozen=True)
class Finding:
    """One check of the bracket."""

    attack: str
    case: str
    expected: str
    found: str
    passed: bool

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'} {self.attack:10} {self.case:50} {self.expected}: {self.found}"


def job(attack: Attack, x: torch.Tensor, goal: Goal, **more: Any) -> Job:
    """The images x (n, C, H, W) as a run would hand them to the attack; samples are called by their place."""
    return Job(x, goal, Draw(keys(0, attack.stream(), [str(i) for i in range(len(x))])), **more)


def attempt(attack: Attack, module: Any, work: Job, batch_size: int) -> tuple[Verdicts, Outcome]:
    """What the attack makes of the job, and what the judge says of that."""
    cpu = torch.device(CPU)
    outcome = run(attack, Oracle(module, cpu, batch_size), work)
    classify = lambda part: look(module, part, cpu, 64)
    found = outcome.found if attack.found else None
    return judge(attack, classify, work.x, outcome.candidates, work.goal, found), outcome


def guarded(attack: Attack, case: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of a check; what an attack raises is one of them."""
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001  (whatever an attack raises here is its mistake, and must not stop a run)
        text = " ".join(f"{type(error).__name__}: {error}".split())
        yield Finding(attack.registered, case, "an answer", text, passed=False)
