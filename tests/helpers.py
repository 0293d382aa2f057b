"""Small classifiers and jobs for tests; doubles enter by the real doors."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.drive import Outcome, run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.forks import finished

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")


def mlp(classes: int = 5, shape: tuple[int, int, int] = (1, 6, 6), seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    inputs = shape[0] * shape[1] * shape[2]
    net = nn.Sequential(nn.Flatten(), nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, classes))
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    return net.eval().requires_grad_(requires_grad=False)


def images(n: int = 40, shape: tuple[int, int, int] = (1, 6, 6), seed: int = 1) -> torch.Tensor:
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed))


def attack(record: Attack, net: nn.Module, x: torch.Tensor, batch_size: int = 16, goal: Goal | None = None) -> Outcome:
    logits = net(x).detach()
    goal = goal or Goal(logits.argmax(1), logits.shape[1])
    draw = Draw(keys(0, record.stream(), [str(i) for i in range(len(x))]))
    return run(record, Oracle(net, CPU, batch_size), Job(x, goal, draw))


def cli(*arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 120):
    """The command line in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "", **(env or {})}
    return finished(["robustbench_lite", *arguments], cwd or ROOT, environment, timeout)
