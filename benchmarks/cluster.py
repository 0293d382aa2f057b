"""What many workers give: `python -m benchmarks.cluster` measures one and two here, and plays through up to 256.

The model: a worker starts; when it first needs a classifier it loads it and looks at all clean images; it does the
shares that `schedule` hands out; when the last share of a cell is done the driver puts the cell together. What these
steps take is measured in one process; the runs with one and two workers of one thread each are the check.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from robustbench_lite.results.shards import Shard
from robustbench_lite.results.store import Results, Store
from robustbench_lite.runner.executors.jobs import split
from robustbench_lite.runner.executors.schedule import finish
from robustbench_lite.runner.run import run

MODELS = ["lenet_mnist", "smallcnn_linf_mnist", "smallcnn_l2_mnist", "fc500_150_10_mnist"]
PGD = {"pgd": {"epsilon": 0.1, "steps": 150, "stop": "never"}}
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# passes of an image, seconds of one, seconds of a forward pass, five classifiers, 50,000 images
GPU, CORE = 1e-4, 2e-2  # a pass of a network of ResNet-18's size on 32 x 32: an A100 as people report it, a core here
WORK = {
    "autoattack, 4000 passes, a GPU each": (4000, GPU),
    "autoattack, 4000 passes, a core each": (4000, CORE),
    "pgd-40, 80 passes, a GPU each": (80, GPU),
}
N, CLASSIFIERS = 50_000, 5


@dataclass(frozen=True)
class Piece:
    """A share of a cell, as `schedule` looks at it."""

    seconds: float
    classifiers: frozenset[str]


@dataclass(frozen=True)
class Model:
    """Seconds of a worker's start, of loading a classifier, of looking at a clean image, of putting a row together."""

    start: float
    load: float
    look: float
    row: float

    def wall(self, work: dict[str, float], n: int, workers: int) -> float:
        """Seconds until cells of n samples, {classifier: seconds of its attack}, are done by so many workers."""
        total = sum(work.values())
        pieces = [piece for name, seconds in work.items() for piece in _pieces(name, seconds, total, n, workers)]
        attacked = finish(pieces, workers, lambda _: self.load + n * self.look, self.start)
        return attacked + n * self.row  # of the last cell; others are put together meanwhile


def _pieces(name: str, seconds: float, total: float, n: int, workers: int) -> list[Piece]:
    parts = split(n, workers * seconds / total)
    return [Piece(seconds / one.parts, frozenset({name})) for one in parts]


def suite(n: int, attack: dict[str, Any], models: list[str] = MODELS) -> dict[str, Any]:
    """Cells of n digits."""
    data = {"mnist": {"samples": n}}
    return {"version": 1, "name": "cluster", "data": data, "models": models, "attacks": [attack]}


def timed(what: dict[str, Any], jobs: int = 1) -> tuple[float, Results]:
    """Wall seconds of a suite with so many workers, and its results; the bracket is known already."""
    with TemporaryDirectory() as folder:
        start = time.perf_counter()
        results = run(what, folder, device="cpu", batch_size=64, timing=False, jobs=jobs)
        return time.perf_counter() - start, results


def calibrated() -> Model:
    """The model's numbers on this machine."""
    code = "from robustbench_lite.runner.executors.worker import Worker; import torch, kornia"
    start = min(_seconds_of([sys.executable, "-c", code]) for _ in range(3))
    few, many = 64, 512
    looks = [_inspecting(n) for n in (few, many)]
    look = max(0.0, (looks[1] - looks[0]) / (many - few))
    return Model(start, max(0.0, looks[0] - few * look), look, _row())


def _inspecting(n: int) -> float:
    _, results = timed(suite(n, {"fgsm": {"epsilon": 0.1}}, MODELS[1:2]))
    return float(results.cell_table["seconds_inspect"][0].as_py())


def _seconds_of(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def _row() -> float:
    """Seconds to read a row of shards and to write it into its cell."""
    _, results = timed(suite(512, {"fgsm": {"epsilon": 0.1}}, MODELS[:1]))
    with TemporaryDirectory() as folder:
        store, cell = Store(Path(folder)), results.cell_table.to_pylist()[0]
        facts = {"cell": {"n": 512, "notes": []}, "labels": [], "fitted": False}
        store.shards(cell["cell"]).add(Shard(0, 512, results.sample_table, results.images().slice(0, 0), facts))
        start = time.perf_counter()
        done = store.shards(cell["cell"]).stored()
        store.write(cell["cell"], done[0].samples, cell)
        return (time.perf_counter() - start) / 512


def checked(model: Model, n: int = 256) -> None:
    """The wall time of one and two workers beside what the model says, in the same run; one thread each."""
    torch.set_num_threads(1)
    what = suite(n, PGD)
    alone, results = timed(what)
    work = {row["source"]: row["seconds"] + row["seconds_judge"] for row in results.cell_table.to_pylist()}
    own = sum(work.values()) + len(work) * (model.load + n * (model.look + model.row))
    print(f"1 process: {alone:.1f} s, of which attacks {sum(work.values()):.1f} s; the model says {own:.1f} s")
    both, _ = timed(what, 2)
    print(f"2 workers: {both:.1f} s, {both / alone:.2f} of one; the model says {model.wall(work, n, 2):.1f} s")


def played(model: Model) -> None:
    """Wall time, and the share of the workers' time that goes into attacks, for more of them."""
    for title, (passes, seconds) in WORK.items():
        each = Model(model.start, model.load, seconds / 3, model.row)  # a forward pass is a third of both
        work = {f"classifier {i}": N * passes / 2 * seconds for i in range(CLASSIFIERS)}
        total = sum(work.values())
        print(f"\n{title}: {CLASSIFIERS} classifiers, {N:,} images, {total / 3600:,.1f} hours of one worker")
        for workers in WORKERS:
            wall = each.wall(work, N, workers)
            print(
                f"  {workers:4d} workers: {wall / 3600:9.2f} h, {total / wall / workers:6.1%} of their time in attacks"
            )


if __name__ == "__main__":
    numbers = calibrated()
    print(numbers)
    checked(numbers)
    played(numbers)
