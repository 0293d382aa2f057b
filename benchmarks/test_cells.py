"""What a cell costs beside its attack: 200 cells of eight digits, and the same command again when all are done.

pytest benchmarks/test_cells.py --benchmark-enable -s
"""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from robustbench_lite.runner import execute
from robustbench_lite.runner.run import run

CLASSIFIERS, BUDGETS = 10, 10
MOST = 0.030  # seconds a cell


def tiny(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


@pytest.fixture
def suite() -> dict[str, object]:
    budgets = [(i + 1) / 100 for i in range(BUDGETS)]
    fgsm = [{"fgsm": {"epsilon": epsilon}, "as": f"fgsm {epsilon}"} for epsilon in budgets]
    pgd = [{"pgd": {"epsilon": epsilon, "steps": 3}, "as": f"pgd {epsilon}"} for epsilon in budgets]
    data = {"mnist": {"samples": 8}}
    return {"version": 1, "name": "tiny", "data": data, "attacks": [*fgsm, *pgd], "tables": ["accuracy"]}


def test_a_cell_beside_its_attack(benchmark, suite, tmp_path, monkeypatch):
    """Everything counts, from reading the suite to reading the rows back, but for the bracket, which is kept."""
    attacks, whole, again = [], [], []
    for name in ("attack", "_time_alone"):
        monkeypatch.setattr(execute, name, timed(getattr(execute, name), attacks))
    models = {f"tiny {i}": tiny(i) for i in range(CLASSIFIERS)}
    run(suite, tmp_path / "bracket", models=models)

    def once() -> None:
        attacks.clear()
        folder = tmp_path / str(len(whole))
        start = time.perf_counter()
        cells = len(run(suite, folder, models=models).cell_table)
        done = time.perf_counter()
        whole.append((done - start - sum(attacks)) / cells)
        run(suite, folder, models=models)
        again.append((time.perf_counter() - done) / cells)

    benchmark.pedantic(once, rounds=3)
    milliseconds = {"a cell": min(whole), "a cell that is done": min(again)}
    benchmark.extra_info |= {name: f"{1000 * seconds:.1f} ms" for name, seconds in milliseconds.items()}
    print(benchmark.extra_info)
    assert min(whole) <= MOST


def timed(work, seconds):
    def inside(*args, **options):
        start = time.perf_counter()
        try:
            return work(*args, **options)
        finally:
            seconds.append(time.perf_counter() - start)

    return inside
