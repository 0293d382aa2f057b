"""Several processes: the same rows as one, and nothing lost or made twice whoever dies."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from robustbench_lite.errors import UsageError
from robustbench_lite.results.store import Store
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.execute import Watch, execute
from robustbench_lite.runner.executors.jobs import Order, shares, split
from robustbench_lite.runner.executors.pool import devices, threads
from robustbench_lite.runner.executors.worker import Worker
from robustbench_lite.runner.pace import Pace
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.run import run
from robustbench_lite.runner.sizes import Share
from robustbench_lite.suite.builder import load
from tests.helpers import ROOT, cli
from tests.runner.test_shards import SUITE as SMALL
from tests.runner.test_shards import rows, summary

N = 40
SUITE = {**SMALL, "name": "jobs", "data": {"mnist": {"samples": N}}, "models": ["lenet_mnist"]}
OPTIONS = {"device": "cpu", "batch_size": 1, "timing": False}
MODEL = """
import multiprocessing, os, signal, pathlib, torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))

    def forward(self, x):
        file = pathlib.Path(__file__).with_name("deaths")
        deaths = len(file.read_text()) if file.exists() else 0
        if x.requires_grad and multiprocessing.parent_process() is not None and deaths < LIMIT:
            file.write_text("x" * (deaths + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return self.net(x)

def make():
    torch.manual_seed(0)
    return Net()
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run(SUITE, tmp_path_factory.mktemp("alone"), **OPTIONS)


def test_rows_and_images_are_those_of_one_process(alone, tmp_path):
    found = run(SUITE, tmp_path, **OPTIONS, jobs=2, shard_size=7)
    assert rows(found) == rows(alone) and summary(found) == summary(alone)
    assert found.images().to_pylist() == alone.images().to_pylist()
    assert not (found.folder / "shards").exists()


@pytest.mark.parametrize(("deaths", "status"), [(2, "ok"), (99, "failed")])
def test_a_worker_that_dies_is_replaced_and_a_job_that_kills_three_fails_its_cell(deaths, status, tmp_path):
    (tmp_path / "net.py").write_text(MODEL.replace("LIMIT", str(deaths)))
    models = [{"python": "net.py:make", "size": [1, 28, 28], "classes": 10, "trust": True, "name": "mortal"}]
    suite = {**SUITE, "models": [*models, "lenet_mnist"], "attacks": [{"fgsm": {"epsilon": 0.1}}]}
    found = run(load(suite, root=tmp_path), tmp_path / "out", **OPTIONS, jobs=2)
    cells = found.cells().set_index("source")
    assert cells.loc["mortal", "status"] == status
    assert cells.loc["lenet_mnist", "status"] == "ok", cells.loc["lenet_mnist", "error"]
    if status == "failed":
        assert "3 processes have died of it (killed by signal 9" in cells.loc["mortal", "error"]


def test_whoever_is_killed_nothing_is_lost_or_made_twice():
    """Two workers and a driver; `benchmarks/kills.py` kills more of them, and those of Ray."""
    command = [sys.executable, "benchmarks/kills.py", "--workers", "2", "--drivers", "1", "--samples", "24"]
    done = subprocess.run([*command, "--pause", "0.2"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 workers and 1 drivers killed" in done.stdout and ", 0 of those that were stored" in done.stdout


def test_long_cells_are_done_in_shares_and_the_longest_begin():
    suite = load({**SUITE, "data": {"mnist": {"samples": 200}}})
    assets = Assets(suite, torch.device("cpu"))
    cells = [cell for cell in plan(suite, assets) if not cell.error]
    seconds = {cell.id: 10.0 / (i + 1) for i, cell in enumerate(cells)}

    class Known(Pace):
        def seconds(self, cell):
            return seconds[cell.id]

    jobs = shares(cells, Known(assets), 2)
    parts = {cell.id: [job.share for job in jobs if job.cell.id == cell.id] for cell in cells}
    assert len(parts[cells[0].id]) > len(parts[cells[-1].id]) >= 1
    for found in parts.values():
        edges = sorted(share.of(199) for share in found)
        assert edges[0][0] == 0 and edges[-1][1] == 199
        assert all(before[1] == after[0] for before, after in pairwise(edges))
    each = [seconds[job.cell.id] / job.share.parts for job in jobs]
    assert each == sorted(each, reverse=True)
    halved = split(1000, 1.5)
    sizes = [stop - start for start, stop in (share.of(1000) for share in halved)]
    assert sum(sizes) == 1000 and sizes[:3] == [250, 250, 125] and min(sizes) >= 16
    assert [share.parts for share in halved] == sorted(share.parts for share in halved)
    assert split(31, 5.0) == [Share()] and len(split(64, 100.0)) == 4
    assert Share().of(5) == (0, 5) and devices("cpu", 3) == ["cpu"] * 3 and threads(10_000) == 1


def test_a_worker_counts_the_samples_of_its_share(tmp_path):
    """Not those that others have stored of the same cell."""
    suite = load(SUITE)
    assets = Assets(suite, torch.device("cpu"), 1)
    cell = plan(suite, assets)[0]
    shards = Store(tmp_path).shards(cell.id)
    for number in (0, 1):
        told, kept = [], []
        watch = Watch(told.append, kept=lambda: kept.append(1))  # noqa: B023
        report = execute(
            cell, Preflight(assets), watch, timing=False, shards=shards, shard_size=7, share=Share(number, 2)
        )
        assert (told[0], max(told), len(kept)) == (0, N // 2, 3)
        assert report.whole == bool(number)


def test_a_worker_sets_the_switches_on_which_bits_depend(monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    order = {"suite": SUITE, "root": None, "device": "cpu", "threads": torch.get_num_threads(), "timing": False}
    nothing = dict.fromkeys(("batch_size", "limit", "timeout", "shard_size"))
    worker = Worker(Order(**order, **nothing))
    assert torch.backends.cudnn.deterministic
    worker.held.close()
    assert not torch.backends.cudnn.deterministic


def test_what_is_in_memory_stays_in_one_process(tmp_path):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)).eval()
    with pytest.raises(UsageError, match="--jobs: modules and data in memory cannot be sent"):
        run(SUITE, tmp_path, models={"mine": net}, jobs=2)


def test_the_command_line_runs_jobs(tmp_path):
    done = cli("run", "ci", "--results", str(tmp_path), "--limit", "20", "--jobs", "2", "--no-timing")
    assert done.returncode == 0, done.stderr
    assert cli("run", "ci", "--limit", "20", "--jobs", "0").returncode == 2
