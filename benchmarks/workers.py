"""What a second worker gives: a suite of equal cells by one process and by two, each with one thread.

    OMP_NUM_THREADS=1 python benchmarks/workers.py --cells 16 --repeat 3

Each run is a process of its own. Wall times are right only while nobody else uses the cores: `busy` says how much of
them others took meanwhile. Seconds of work of all processes of a run (user + sys) do not depend on others, or little.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
CODE = """
import json, sys
from robustbench_lite.runner.run import run
if __name__ == "__main__":
    suite, out, options = sys.argv[1:]
    run(json.loads(suite), out, device="cpu", timing=False, **json.loads(options))
"""


@dataclass(frozen=True)
class Lap:
    """Seconds by the clock, seconds of work, and the share of the machine's cores that others used."""

    wall: float
    work: float
    busy: float


def suite(cells: int, samples: int, steps: int) -> dict:
    """Cells that take equally long: one attack of as many steps for every image, within several budgets."""
    budgets = [(i + 1) / 255 for i in range(cells)]
    attacks = [{"pgd": {"epsilon": budget, "steps": steps, "stop": "never"}} for budget in budgets]
    data = {"fashion_mnist": {"samples": samples}}
    return {"version": 1, "name": "equal", "data": data, "models": ["resnet20_fashion"], "attacks": attacks}


def lap(plain: dict, options: dict) -> Lap:
    """One run, from nothing to the last row."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "driver.py"
        script.write_text(CODE)
        before, idle, start = _worked(), psutil.cpu_times(), time.perf_counter()
        command = [sys.executable, str(script), json.dumps(plain), f"{folder}/out", json.dumps(options)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
        wall, work, after = time.perf_counter() - start, _worked() - before, psutil.cpu_times()
    all_cores = wall * (os.cpu_count() or 1)
    return Lap(wall, work, 1 - (after.idle + after.iowait - idle.idle - idle.iowait + work) / all_cores)


def _worked() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    plain = suite(given.cells, given.samples, given.steps)
    laps: dict[int, list[Lap]] = {1: [], 2: []}
    for _ in range(given.repeat):  # in turn, so that others disturb both alike
        for jobs, own in laps.items():
            own.append(lap(plain, {"jobs": jobs}))
            print(
                f"--jobs {jobs}: {own[-1].wall:6.1f} s, {own[-1].work:6.1f} s of work, others {own[-1].busy:4.0%}",
                flush=True,
            )
    one, two = ([best.wall for best in own] for own in laps.values())
    medians = [statistics.median(best.work for best in own) for own in laps.values()]
    print(f"two workers take {min(two) / min(one):.2f} of one's time, with {medians[1] / medians[0]:.2f} of its work")


if __name__ == "__main__":
    main()
