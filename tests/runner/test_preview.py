"""The estimate of `plan`: what finished cells took, else the best of a few windows; nothing here looks at a clock."""

from __future__ import annotations

from itertools import chain, repeat

import pytest
import torch

from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.pace import Pace
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.preview import preview
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load

SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 40}},
    "models": ["lenet_mnist"],
    "attacks": [{"fgsm": {"epsilon": 0.1}}, {"deepfool": {}}],
    "tables": ["accuracy"],
}


@pytest.fixture(autouse=True)
def one_thread():
    """So that nobody asks how much longer fewer threads take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clock(*laps):
    """Readings that make every lap take so many seconds, the last one for ever."""
    now, readings = 0.0, []
    for lap in laps:
        readings += [now, now + lap]
        now += lap
    return chain(readings, (now + i * laps[-1] for i in range(1000))).__next__


def estimates(suite, folder, **more):
    table = preview(load(suite), Options(results=folder, device="cpu", **more.pop("options", {})), **more)
    return {row["attack"].text: (row["passes"].value, row["seconds"].value) for row in table.rows}


def test_the_best_of_a_few_laps_counts(tmp_path):
    found = estimates(SUITE, tmp_path, clock=clock(0.5, 0.08, 0.04, 0.1, 0.2))
    assert found["fgsm"] == (2, pytest.approx(40 * 2 * 0.04 / 40 / 2))
    assert found["deepfool"][1] == pytest.approx(40 * found["deepfool"][0] * 0.04 / 40 / 2)


def test_a_slow_classifier_is_not_timed_again_and_again(tmp_path, monkeypatch):
    seen = []
    inner = Oracle.differentiate
    monkeypatch.setattr(Oracle, "differentiate", lambda self, x, *rest: seen.append(len(x)) or inner(self, x, *rest))
    assert estimates(SUITE, tmp_path, clock=clock(7.0))["fgsm"][1] == pytest.approx(7.0)
    assert seen == [1, 40]  # the first warms up


@pytest.mark.parametrize(("options", "window"), [({}, 512), ({"batch_size": 7}, 7), ({"limit": 20}, 20)])
def test_the_window_of_the_run_is_timed(tmp_path, monkeypatch, options, window):
    seen = []
    inner = Oracle.differentiate
    monkeypatch.setattr(Oracle, "differentiate", lambda self, x, *rest: seen.append(len(x)) or inner(self, x, *rest))
    estimates({**SUITE, "data": {"mnist": {"samples": 600}}}, tmp_path, options=options, clock=clock(0.1))
    assert set(seen[1:]) == {window}


def test_a_window_that_memory_does_not_hold_is_halved(tmp_path, monkeypatch):
    inner = Oracle.differentiate

    def small(self, x, *rest):
        if len(x) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(self, x, *rest)

    monkeypatch.setattr(Oracle, "differentiate", small)
    assert estimates(SUITE, tmp_path, clock=clock(0.1))["fgsm"][1] == pytest.approx(0.1)


def as_recorded(folder, monkeypatch, **columns):
    """Run the suite on fewer samples, and say that every cell took what `columns` say."""
    from robustbench_lite.results.store import Store

    run_suite(load(SUITE), Options(results=folder, device="cpu", limit=10, timing=False))
    rows = {name: row | columns for name, row in Store(folder / "small").standing().items()}
    monkeypatch.setattr(Store, "standing", lambda _: rows)


def test_finished_cells_say_how_long_the_others_take(tmp_path, monkeypatch):
    as_recorded(tmp_path, monkeypatch, forwards=60, backwards=40, seconds=2.0)
    never = repeat(None)  # nothing is timed
    found = estimates(SUITE, tmp_path, clock=never.__next__)
    assert found == {"fgsm": (10, pytest.approx(40 * 0.2)), "deepfool": (10, pytest.approx(40 * 0.2))}
    more = {**SUITE, "attacks": ["pgd"]}  # the pace of this classifier, the passes that are typical of another attack
    assert estimates(more, tmp_path, clock=never.__next__)["pgd"] == (80, pytest.approx(40 * 80 * 0.02))
    other = {**SUITE, "models": ["fc500_150_10_mnist"]}  # the passes that this attack took, the pace of another
    assert estimates(other, tmp_path, clock=clock(0.4))["fgsm"] == (10, pytest.approx(40 * 10 * 0.4 / 40 / 2))


def test_cells_of_another_machine_say_nothing(tmp_path, monkeypatch):
    as_recorded(tmp_path, monkeypatch, forwards=60, backwards=40, seconds=2.0, provenance='{"machine": {"cores": 0}}')
    assert estimates(SUITE, tmp_path, clock=clock(0.4))["fgsm"] == (2, pytest.approx(0.4))


def test_a_cell_that_is_in_the_store_is_not_estimated(tmp_path):
    run_suite(load(SUITE), Options(results=tmp_path, device="cpu", timing=False))
    assert [seconds for _, seconds in estimates(SUITE, tmp_path, clock=repeat(None).__next__).values()] == [None, None]


def test_more_workers_take_less_and_each_one_begins(tmp_path, monkeypatch):
    as_recorded(tmp_path, monkeypatch, forwards=60, backwards=40, seconds=20.0, seconds_inspect=1.0)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    table = preview(load(SUITE), Options(results=tmp_path, device="cpu"), repeat(None).__next__)
    # two cells of 80 s; the classifier is loaded in 1 s by everybody, a worker begins in 3 s
    assert "expected wall time: 1 process 161 s, --jobs 2 84 s, --jobs 4 44 s" in table.footnotes


def test_with_fewer_threads_work_takes_longer(tmp_path):
    torch.set_num_threads(2)
    suite = load(SUITE)
    assets = Assets(suite, torch.device("cpu"))
    pace = Pace(assets, clock=clock(1.5, 1.8))
    cell = plan(suite, assets)[0]
    assert pace.slower(cell, 2) == 1.0
    assert pace.slower(cell, 1) == pytest.approx(1.2)
    assert torch.get_num_threads() == 2
