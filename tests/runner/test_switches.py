"""Whoever calls us finds PyTorch set as it was, whatever happens inside; inside, bits can be reproduced."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.models.training import train
from robustbench_lite.pytest_plugin.session import GateSession
from robustbench_lite.runner.figure import contact_sheet, figure
from robustbench_lite.runner.preview import preview
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load

SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 2}},
    "models": ["lenet_mnist"],
    "attacks": [{"fgsm": {"epsilon": 0.1}}],
    "tables": ["accuracy"],
}
PLACES = [(torch.backends.cudnn, name) for name in ("benchmark", "deterministic", "allow_tf32")]
PLACES.append((torch.backends.cuda.matmul, "allow_tf32"))
OURS = [False, True, False, False]


def switches():
    return [getattr(place, name) for place, name in PLACES]


@pytest.fixture(params=[[not value for value in OURS], OURS], ids=["others", "ours"])
def before(request):
    kept = switches()
    for (place, name), value in zip(PLACES, request.param, strict=True):
        setattr(place, name, value)
    yield request.param
    for (place, name), value in zip(PLACES, kept, strict=True):
        setattr(place, name, value)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    run_suite(load(SUITE), Options(results=folder, timing=False))
    return folder / "small"


def watched(monkeypatch, place):
    """What the switches are whenever `place` is called."""
    name, _, attribute = place.rpartition(".")
    module = __import__(name, fromlist=[attribute])
    inner, seen = getattr(module, attribute), []
    monkeypatch.setattr(module, attribute, lambda *a, **k: seen.append(switches()) or inner(*a, **k))
    return seen


def test_inside_they_are_ours_and_afterwards_as_they_were(before):
    with deterministic():
        assert switches() == OURS
    assert switches() == before
    with pytest.raises(KeyError), deterministic():
        raise KeyError
    assert switches() == before


def test_a_run_leaves_them(before, tmp_path, monkeypatch):
    seen = watched(monkeypatch, "robustbench_lite.runner.executors.local.execute")
    run_suite(load(SUITE), Options(results=tmp_path, timing=False))
    assert seen == [OURS] and switches() == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_ends_early_leaves_them(before, tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("robustbench_lite.runner.executors.local.execute", fail)
    with pytest.raises(error):
        run_suite(load(SUITE), Options(results=tmp_path))
    assert switches() == before


def test_verify_leaves_them(before, results, monkeypatch):
    seen = watched(monkeypatch, "robustbench_lite.runner.verify.compared")
    assert verify(results, "cpu").sound
    assert seen == [OURS] and switches() == before
    monkeypatch.setattr("robustbench_lite.runner.verify.compared", lambda *_, **__: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):
        verify(results, "cpu")
    assert switches() == before


def test_figures_and_plans_are_made_under_them_and_leave_them(before, results, monkeypatch):
    seen = watched(monkeypatch, "robustbench_lite.engine.inspection.look")
    figure(results, "decision_regions", {"points": 3}, "cpu")
    contact_sheet("rotation")
    preview(load(SUITE), Options(results=results.parent, device="cpu"))
    assert seen and seen == [OURS] * len(seen) and switches() == before


def test_gates_are_timed_under_them_and_leave_them(before, tmp_path, monkeypatch):
    seen = watched(monkeypatch, "robustbench_lite.pytest_plugin.session.attack")
    session = GateSession(load(SUITE), tmp_path / "baseline.parquet", update=True)
    session.timed(session.gates[0]).run()
    assert seen == [OURS] and switches() == before


def test_training_leaves_random_numbers_and_switches(before, tmp_path, monkeypatch):
    class EarlyError(Exception):
        pass

    def stop(*_):
        raise EarlyError

    monkeypatch.setattr("robustbench_lite.models.training._training_data", stop)
    state = torch.get_rng_state()
    with pytest.raises(EarlyError):
        train("lenet_mnist", tmp_path)
    assert torch.equal(torch.get_rng_state(), state) and switches() == before
