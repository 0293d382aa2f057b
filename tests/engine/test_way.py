"""How far an attack says it is, beside the passes that it has really made by then."""

from __future__ import annotations

import pytest
from torch import nn

from robustbench_lite.engine import drive
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.engine.way import Way, behind, in_samples
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.helpers import CPU
from tests.linear import problems

CASCADE = {"attacks": [{"fgsm": {}}, {"apgd": {"steps": 40}}]}
RECORDS = {"cascade": CASCADE, "autoattack": {"edition": "rand"}, "pgd": {"steps": 40, "step_size": 0.01}}


class Counted(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.images = inner, 0

    def forward(self, x):
        self.images += len(x)
        return self.inner(x)


@pytest.mark.parametrize("batch_size", [64, 7])
@pytest.mark.parametrize("name", RECORDS)
def test_it_never_claims_more_than_the_passes_it_has_made(name, batch_size, monkeypatch):
    """Half of the samples fall at the first step, which is 2 % of the work and no 50 %."""
    monkeypatch.setattr(drive, "_SELDOM", 0.0)
    problem = problems(n=24)[0]
    logits = problem.logits()
    goal = Goal(logits.argmax(1), problem.classes)
    epsilon = float(problem.radius(goal, "linf").median())
    net = Counted(problem.module)
    told = list[tuple[int, int]]()
    record = attacks.build(name, {"epsilon": epsilon, **RECORDS[name]})
    job = Job(problem.x, goal, Draw(keys(0, "way", [str(i) for i in range(24)])))
    drive.run(record, Oracle(net, CPU, batch_size), job, lambda n: told.append((n, net.images)))
    assert told[-1][0] == 24 and [n for n, _ in told] == sorted(n for n, _ in told)
    assert len(told) > 5  # it moves on within an attack
    for n, made in told:
        assert n / 24 <= made / net.images + 0.1, told


def test_whoever_comes_next_has_those_that_still_stand():
    heard = list[Way]()
    behind(heard.append, 10.0, 5.0)(Way(3.0, 4.0, 2))
    assert heard == [Way(13.0, 14.0, 2)]
    told = list[int]()
    report = in_samples(told.append, 10)
    for made, left in ((1.0, 99.0), (30.0, 70.0), (20.0, 80.0), (31.0, 69.0), (100.0, 0.0), (99.9, 0.01)):
        report(Way(made, left, 1))
    assert told == [3, 9]  # never fewer, and all of them only when it is over
