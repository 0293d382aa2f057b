"""Cells in shards: the same rows for any size, a run that is stopped goes on where it was, nothing is made twice."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest

from robustbench_lite.attacks import UniversalSGD
from robustbench_lite.errors import StoreError
from robustbench_lite.results.shards import Shard, Shards, gaps, in_order
from robustbench_lite.results.store import Store
from robustbench_lite.runner import execute as executor
from robustbench_lite.runner.run import Options, run, run_suite
from robustbench_lite.runner.sizes import Sizes
from robustbench_lite.suite.builder import load
from tests.synthetic import cell_row, image_rows, sample_rows

N = 20
SUITE = {
    "version": 1,
    "name": "shards",
    "data": {"mnist": {"samples": N}},
    "models": ["lenet_mnist", "fc500_150_10_mnist"],
    "attacks": [
        {"deepfool": {"sources": "single"}},
        {"pgd": {"epsilon": 0.1, "steps": 5}},
        {"cascade": {"epsilon": 0.1, "attacks": ["fgsm", {"pgd": {"steps": 5}}]}},
        {"fgsm": {"epsilon": 0.1, "target": 3}},
        {"universal_sgd": {"epsilon": 0.2, "epochs": 1, "fit": 17}},
    ],
    "images": "all",
}


def rows(results):
    """All rows without what is measured with a clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in results.sample_table.to_pylist()]


def summary(results):
    """What cells say of their samples."""
    names = (
        "cell",
        "n",
        "status",
        "warnings",
        "notes",
        "forwards",
        "backwards",
        "near_ties",
        "clean_accuracy",
        "classes",
    )
    return [{name: row[name] for name in names} for row in results.cell_table.to_pylist()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(SUITE, tmp_path_factory.mktemp("whole"), device="cpu", batch_size=1, timing=False)


@pytest.mark.parametrize("size", [1, 7, 19, 20, 64])
def test_rows_and_images_are_the_same_for_any_size(whole, size, tmp_path):
    """The same bits where the batch size is the same."""
    found = run(SUITE, tmp_path, device="cpu", batch_size=1, timing=False, shard_size=size)
    assert rows(found) == rows(whole) and summary(found) == summary(whole)
    assert found.images().to_pylist() == whole.images().to_pylist()
    assert not (found.folder / "shards").exists()


def test_verdicts_are_the_same_for_any_window(whole, tmp_path):
    found = run(SUITE, tmp_path, device="cpu", batch_size=8, timing=False, shard_size=7)
    names = ("cell", "model", "sample", "success", "adv_pred", "broken_by")
    assert [[row[name] for name in names] for row in rows(found)] == [
        [row[name] for name in names] for row in rows(whole)
    ]


class Stop(KeyboardInterrupt):
    """As a user stops a run."""


def stopped(folder, monkeypatch, after, size=7, suite=SUITE):
    """Run until so many shards are attacked; how many were attacked altogether is in the list that comes back."""
    made, inner = list[int](), executor.attack

    def attack(trial, *rest):
        if len(made) == after:
            raise Stop
        made.append(len(trial.ids))
        return inner(trial, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(executor, "attack", attack)
        with suppress(Stop):
            run(suite, folder, device="cpu", batch_size=1, timing=False, shard_size=size)
    return made


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8])
def test_a_run_that_is_stopped_goes_on_where_it_was(whole, after, tmp_path, monkeypatch):
    first = stopped(tmp_path, monkeypatch, after)
    second = stopped(tmp_path, monkeypatch, None, size=5)
    asked = sum(row["n"] for row in whole.cell_table.to_pylist())
    assert len(first) == after and sum(first) + sum(second) == asked  # none was attacked twice
    found = run(SUITE, tmp_path, device="cpu", batch_size=1, timing=False)
    assert rows(found) == rows(whole) and found.images().to_pylist() == whole.images().to_pylist()


def test_a_shard_that_is_damaged_or_of_another_name_is_made_again(whole, tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch, 2)
    (folder,) = (tmp_path / "shards" / "shards").glob("*")
    first, _ = sorted(folder.glob("*.samples.parquet"), key=lambda path: int(path.name.split("-")[0]))
    first.write_bytes(first.read_bytes()[:-40])
    assert [shard.start for shard in Shards(tmp_path / "shards", folder.name).stored()] == [7]
    assert stopped(tmp_path, monkeypatch, 1) == [7]
    renamed = {**SUITE, "models": [{"zoo": "lenet_mnist", "name": "other"}, "fc500_150_10_mnist"]}
    found = run(renamed, tmp_path, device="cpu", batch_size=1, timing=False)
    assert {row["model"] for row in rows(found)} == {"other", "fc500_150_10_mnist"}
    assert [row["success"] for row in rows(found)] == [row["success"] for row in rows(whole)]


def test_fresh_begins_from_nothing_and_shards_of_other_suites_go(tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch, 2)
    store = Store(tmp_path / "shards")
    assert len(store.sharded()) == 1
    small = {**SUITE, "attacks": [{"fgsm": {"epsilon": 0.2}}], "models": SUITE["models"][:1]}
    run(small, tmp_path, device="cpu", timing=False)
    assert store.sharded() == set()
    stopped(tmp_path, monkeypatch, 2)
    made, inner = [], executor.attack
    monkeypatch.setattr(executor, "attack", lambda trial, *rest: (made.append(len(trial.ids)), inner(trial, *rest))[1])
    run_suite(load(SUITE), Options(results=tmp_path, device="cpu", timing=False, fresh=True))
    assert made[0] == N


def test_what_is_fitted_on_all_is_one_piece(tmp_path, monkeypatch):
    made, inner = [], executor.attack
    monkeypatch.setattr(executor, "attack", lambda trial, *rest: (made.append(len(trial.ids)), inner(trial, *rest))[1])
    attacks = [{"fgsm": {"fraction": 0.5}}]
    run({**SUITE, "attacks": attacks, "models": SUITE["models"][:1]}, tmp_path, device="cpu", shard_size=7)
    assert made == [N]


@pytest.mark.parametrize("after", [1, 2])
def test_a_universal_perturbation_is_fitted_once(after, tmp_path, monkeypatch):
    """Whatever the size of the shards, and where a run is stopped; what it cost is shared by all samples."""
    fits, inner = [], UniversalSGD.fitted
    monkeypatch.setattr(UniversalSGD, "fitted", lambda *given: (fits.append(len(given[2].x)), inner(*given))[1])
    suite = {**SUITE, "attacks": SUITE["attacks"][-1:], "models": SUITE["models"][:1]}
    whole = run(suite, tmp_path / "whole", device="cpu", batch_size=1, timing=False)
    fits.clear()
    stopped(tmp_path, monkeypatch, after, size=9, suite=suite)
    found = run(suite, tmp_path, device="cpu", batch_size=1, timing=False, shard_size=9)
    assert fits.count(17) == 1 and rows(found) == rows(whole) and summary(found) == summary(whole)
    assert found.artifacts().to_pylist() == whole.artifacts().to_pylist()
    (one,), (other,) = (results.cell_table.to_pylist() for results in (found, whole))
    assert (one["fit_n"], one["fit_rate"]) == (other["fit_n"], other["fit_rate"]) == (17, one["fit_rate"])


def test_without_what_was_fitted_its_shards_are_worth_nothing(tmp_path, monkeypatch):
    suite = {**SUITE, "attacks": SUITE["attacks"][-1:], "models": SUITE["models"][:1]}
    stopped(tmp_path, monkeypatch, 2, size=9, suite=suite)
    (fit,) = (tmp_path / "shards" / "shards").glob("*/fit.parquet")
    fit.write_bytes(fit.read_bytes()[:-40])
    assert stopped(tmp_path, monkeypatch, None, size=9, suite=suite) == [9, 9, 2]


def test_a_failure_keeps_what_was_done_before_it(tmp_path, monkeypatch):
    inner, calls = executor.attack, []

    def attack(trial, *rest):
        calls.append(len(trial.ids))
        if len(calls) == 3:
            raise RuntimeError("a fuse")
        return inner(trial, *rest)

    small = {**SUITE, "attacks": SUITE["attacks"][1:2], "models": SUITE["models"][:1]}
    monkeypatch.setattr(executor, "attack", attack)
    failed = run(small, tmp_path, device="cpu", batch_size=1, timing=False, shard_size=6)
    assert (
        failed.cells()["error"].iloc[0].startswith("lenet_mnist: RuntimeError: a fuse")
        and len(failed.sample_table) == 0
    )
    calls[:] = [0] * 3
    found = run(small, tmp_path, device="cpu", batch_size=1, timing=False, shard_size=6)
    assert calls[3:] == [6, 2] and len(found.sample_table) == N


CELL = "a" * 16


def shard(start, stop):
    rows = sample_rows(cell_row(CELL))[: stop - start]
    return Shard.of(start, stop, rows, image_rows(CELL, stop - start), {"seconds": 1.0})


def test_gaps_and_order():
    parts = [shard(2, 4), shard(4, 5), shard(7, 9)]
    assert gaps(parts, 12) == [(0, 2), (5, 7), (9, 12)] and gaps([], 3) == [(0, 3)] and gaps([shard(0, 3)], 3) == []
    assert len(in_order(parts)) == 5


def test_no_sample_is_taken_twice_and_a_full_disk_is_said(tmp_path, monkeypatch):
    shards = Shards(tmp_path, CELL)
    for one in (shard(0, 4), shard(2, 6), shard(6, 8)):
        shards.add(one)
    assert [(one.start, one.stop) for one in shards.stored()] == [(0, 4), (6, 8)]
    assert json.dumps(shards.stored()[0].facts) == '{"seconds": 1.0}'
    assert len(shards.images(shards.stored()[0])) == 4
    shards.drop()
    assert shards.stored() == [] and not (tmp_path / "shards").exists()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("robustbench_lite.results.shards.atomically", full)
    with pytest.raises(StoreError, match=r"disk is full.*same command"):
        shards.add(shard(0, 4))


def test_sizes_follow_time_and_memory():
    """Two minutes of work, a window at least, what fits into memory at most; no small rest is left over."""
    first = [
        next(Sizes(n, None, 16, 500, expected).parts([])) for n, expected in ((1000, 10.0), (1000, 0.5), (9000, 1e-6))
    ]
    assert first == [(0, 16), (0, 240), (0, 500)]
    assert next(Sizes(700, None, 16, 500, 1e-6).parts([])) == (0, 700)
    done = [replace(shard(0, 4), facts={"seconds": 3.0, "seconds_judge": 1.0})]
    assert next(Sizes(1000, None, 16, 500, 10.0).parts(done)) == (4, 124)  # as long as they really took
    assert next(Sizes(700, 7, 16, 500, 1.0).parts(done)) == (4, 11)
