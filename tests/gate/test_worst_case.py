"""The gate and the worst case: a loss is one under its own attack, a gain one that no other attack takes back."""

from __future__ import annotations

import numpy as np
import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.gate.baseline import baseline_of, read_baseline, write_baseline
from robustbench_lite.gate.pairing import check
from robustbench_lite.gate.rules import Gate, Limits, gate_of
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.gate.statistics import Pairs, findings, floors
from robustbench_lite.results.statistics import clopper_pearson
from tests.results.test_worst_case import plant, run_of

INF, N = np.inf, 60


def broken(count):
    return [0.1] * count + [INF] * (N - count)


def verdicts(tmp_path, before, after, passes=50, **gate):
    """`before`, `after`: how many of 60 pgd breaks in 20 passes each, and how many DeepFool within its budget."""
    cost = [{"forwards": count, "backwards": 0} for count in (20, passes)]
    for name, (pgd, deepfool) in {"a": before, "b": after}.items():
        plant(tmp_path / name, "pgd", broken(pgd), eps=0.1, columns=cost[0])
        plant(tmp_path / name, "deepfool", [0.05] * deepfool + [0.5] * (N - deepfool), columns=cost[1])
    found = check(baseline_of(run_of(tmp_path / "a")), scores_of(run_of(tmp_path / "b")), gate_of(gate))
    return {verdict.scores.variant: verdict for verdict in found.verdicts}


def test_a_gain_that_another_attack_takes_back_is_none(tmp_path):
    """PGD stops working, as where gradients are masked; DeepFool still breaks as many within the budget."""
    assert verdicts(tmp_path / "real", (40, 40), (5, 5))["pgd"].status == "improved"
    assert verdicts(tmp_path / "masked", (40, 40), (5, 40))["pgd"].status == "passed"
    cheaper = verdicts(tmp_path / "cheaper", (40, 40), (5, 40), passes=10)["pgd"]  # then trust says so
    assert cheaper.status == "incomparable"


def test_a_loss_is_one_under_its_own_attack(tmp_path):
    """Numbers of a cell stay those of its attack: what others break is no loss of this cell."""
    same = verdicts(tmp_path / "same", (10, 0), (10, 12))["pgd"]
    assert same.status == "passed" and (same.findings[0].before, same.findings[0].after) == (250 / 3, 250 / 3)
    lost = verdicts(tmp_path / "lost", (10, 12), (30, 32))["pgd"]
    assert lost.status == "failed" and lost.findings[0].lost == 20


def test_a_floor_can_be_on_either_number(tmp_path):
    for limits, status in (
        ({"min_robust_accuracy": 60}, "passed"),
        ({"min_worst_case": 60}, "failed"),
        ({"min_worst_case": 15}, "passed"),
    ):
        rule = {"attack": "pgd"} | limits
        found = verdicts(tmp_path / f"{limits}", (10, 40), (10, 40), cells=[rule])["pgd"]
        assert found.status == status, limits
    (reason,) = verdicts(tmp_path / "said", (10, 40), (10, 40), cells=[{"attack": "pgd", "min_worst_case": 60}])[
        "pgd"
    ].reasons
    low = 100 * clopper_pearson(20, N)[0]
    assert reason.startswith(f"robust accuracy, worst case, is 33.3 %, at least {low:.1f} %")


def test_a_floor_is_in_percent():
    with pytest.raises(UsageError, match="write 40 for 40 %"):
        gate_of({"min_worst_case": 0.4})


def test_without_other_attacks_a_gain_is_what_it_was():
    before, after = np.array([True] * 20 + [False] * 20), np.array([True] * 38 + [False] * 2)
    ((alone,),) = findings([Pairs((before, after))], Gate())
    ((known,),) = findings([Pairs((before, after), worst=after)], Gate())
    assert (alone.gain, alone.p_gain) == (known.gain, known.p_gain) == (-alone.drop, alone.p_gain)
    assert alone.better(Gate()) and not floors(Pairs((before, after), limits=Limits(min_worst_case=50)), Gate())


def test_a_baseline_holds_what_it_held(tmp_path):
    """The worst case is worked out anew from the run that is checked; a baseline of before has all that it takes."""
    plant(tmp_path, "pgd", broken(10), eps=0.1)
    plant(tmp_path, "deepfool", [0.05] * 40 + [0.5] * 20)
    results = run_of(tmp_path)
    write_baseline(baseline_of(results), tmp_path / "b.parquet")
    (stored,) = [one for one in read_baseline(tmp_path / "b.parquet").scores if one.variant == "pgd"]
    (fresh,) = [one for one in scores_of(results) if one.variant == "pgd"]
    assert stored.worst is None and stored.robust.tolist() == fresh.robust.tolist()
    assert fresh.worst.sum() == 20 and fresh.robust.sum() == 50
