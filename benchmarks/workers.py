"""What a second worker gives: a suite of equal cells by one process and by two, each with one thread.

    OMP_NUM_THREADS=1 python benchmarks/workers.py --cells 16 --repeat 3

Each run is a process of its own. Wall times are right only while nobody else uses the cores, so it says how much of
them others took meanwhile. Seconds of work (user + sys) depend little on others: those of the driver and of one worker
together are what a run takes on idle cores at most, for the driver works while they do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
CODE = """
import json, resource, sys
from robustbench_lite.runner.run import run
if __name__ == "__main__":
    suite, out, options = sys.argv[1:]
    run(json.loads(suite), out, device="cpu", timing=False, **json.loads(options))
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        print(usage.ru_utime + usage.ru_stime)
"""


@dataclass(frozen=True)
class Lap:
    """Seconds by the clock, of work of the driver and of a worker, and the share of the cores that others used."""

    wall: float
    driver: float
    worker: float
    busy: float

    @property
    def idle(self) -> float:
        """Seconds on idle cores, or a little less."""
        return self.driver + self.worker


def suite(cells: int, samples: int, steps: int) -> dict:
    """Cells that take equally long: one attack of as many steps for every image, within several budgets."""
    budgets = [(i + 1) / 255 for i in range(cells)]
    attacks = [{"pgd": {"epsilon": budget, "steps": steps, "stop": "never"}} for budget in budgets]
    data = {"fashion_mnist": {"samples": samples}}
    return {"version": 1, "name": "equal", "data": data, "models": ["resnet20_fashion"], "attacks": attacks}


def lap(plain: dict, jobs: int) -> Lap:
    """One run, from nothing to the last row."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "driver.py"
        script.write_text(CODE)
        idle, start = psutil.cpu_times(), time.perf_counter()
        command = [sys.executable, str(script), json.dumps(plain), f"{folder}/out", json.dumps({"jobs": jobs})]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
        wall, after = time.perf_counter() - start, psutil.cpu_times()
    driver, workers = map(float, done.stdout.split())
    unused = after.idle + after.iowait - idle.idle - idle.iowait
    busy = 1 - (unused + driver + workers) / (wall * (os.cpu_count() or 1))
    return Lap(wall, driver, workers / jobs, busy)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    plain = suite(given.cells, given.samples, given.steps)
    laps: dict[int, list[Lap]] = {1: [], 2: []}
    for _ in range(given.repeat):  # in turn, so that others disturb both alike
        for jobs, own in laps.items():
            own.append(one := lap(plain, jobs))
            print(
                f"--jobs {jobs}: {one.wall:6.1f} s, others {one.busy:4.0%}; work: driver {one.driver:5.1f} s, "
                f"each worker {one.worker:5.1f} s",
                flush=True,
            )
    walls = [min(one.wall for one in own) for own in laps.values()]
    idle = [min(one.idle for one in own) for own in laps.values()]
    print(f"two workers take {walls[1] / walls[0]:.2f} of one's time; on idle cores {idle[1] / idle[0]:.2f}")


if __name__ == "__main__":
    main()
