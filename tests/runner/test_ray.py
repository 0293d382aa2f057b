"""Workers of a Ray cluster: the same bits as one process, nothing shared but the object store, deaths made up for."""

from __future__ import annotations

import os
import sys

import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.runner.executors.ray import fitting
from robustbench_lite.runner.run import run
from robustbench_lite.suite.builder import load
from tests.runner.test_jobs import OPTIONS, SUITE
from tests.runner.test_shards import rows, summary

NET = """
import os, signal, pathlib, torch

class Net(torch.nn.Module):
    def __init__(self, file, driver):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
        self.file, self.driver = pathlib.Path(file), driver

    def forward(self, x):
        deaths = len(self.file.read_text()) if self.file.exists() else 0
        if x.requires_grad and os.getpid() != self.driver and deaths < 2:
            self.file.write_text("x" * (deaths + 1))
            os.kill(os.getpid(), signal.SIGKILL)
        return self.net(x)

def make(**args):
    torch.manual_seed(0)
    return Net(**args)
"""


@pytest.fixture
def ray(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'robustbench_lite[ray]'")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else it writes into the home folder
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    return ray


def test_the_same_bits_as_one_process_although_workers_die(ray, tmp_path):
    """Code of the user's travels to them, rows and images come back; they have no results folder."""
    root = tmp_path / "suite"
    root.mkdir()
    (root / "net.py").write_text(NET)
    args = {"file": str(tmp_path / "deaths"), "driver": os.getpid()}
    mortal = {"python": "net.py:make", "size": [1, 28, 28], "classes": 10, "trust": True, "name": "mortal"}
    attacks = [{"deepfool": {"sources": "single"}}, {"pgd": {"epsilon": 0.1, "steps": 3}}]
    suite = {**SUITE, "models": [{**mortal, "args": args}, "lenet_mnist"], "attacks": attacks}
    suite["data"] = {"mnist": {"samples": 20}}
    alone = run(load(suite, root=root), tmp_path / "alone", **OPTIONS)
    found = run(load(suite, root=root), root / "out", **OPTIONS, executor="ray", jobs=2, shard_size=7)
    assert list(found.cells()["status"]) == ["ok"] * 4, list(found.cells()["error"])
    assert (tmp_path / "deaths").read_text() == "xx"
    assert rows(found) == rows(alone) and summary(found) == summary(alone)
    assert found.images().to_pylist() == alone.images().to_pylist()
    assert not (found.folder / "shards").exists() and not ray.is_initialized()


def test_a_request_that_cannot_be_met_is_refused(ray, tmp_path):
    with pytest.raises(UsageError, match=r"expected room for 9999 workers with 1 CPUs and 0\.5 GPUs each"):
        run(SUITE, tmp_path, **OPTIONS, executor="ray", jobs=9999, gpus=0.5)
    assert not list(tmp_path.iterdir()) and not ray.is_initialized()


def test_no_two_gpus_make_up_for_one_that_is_too_small():
    machine = {"CPU": 8.0, "GPU": 3.0}
    assert [fitting(machine, 1, gpus) for gpus in (0, 0.25, 0.5, 0.6, 1, 2, 4)] == [8, 8, 6, 3, 3, 1, 0]
    assert fitting(machine, 3, 0.5) == 2 and fitting({}, 1, 0) == 0


def test_without_ray_a_sentence_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'robustbench_lite\[ray\]'"):
        run(SUITE, tmp_path, **OPTIONS, executor="ray")


@pytest.mark.usefixtures("ray")
def test_where_nobody_listens_it_fails_at_once(tmp_path):
    with pytest.raises(UsageError, match=r"no Ray cluster answers at 127.0.0.1:1 "):
        run(SUITE, tmp_path, **OPTIONS, executor="ray", address="127.0.0.1:1")


def test_options_of_ray_are_for_ray(tmp_path):
    with pytest.raises(UsageError, match="are for --executor ray"):
        run(SUITE, tmp_path, **OPTIONS, gpus=1.0)
    with pytest.raises(UsageError, match="expected local or ray"):
        run(SUITE, tmp_path, **OPTIONS, executor="slurm")
