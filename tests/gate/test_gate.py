"""Rules, partners and verdicts."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from robustbench_lite.errors import BaselineError, SuiteError, UsageError
from robustbench_lite.gate.baseline import baseline_of, read_baseline, write_baseline
from robustbench_lite.gate.pairing import check
from robustbench_lite.gate.render import headline
from robustbench_lite.gate.rules import gate_of
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import run
from robustbench_lite.suite.builder import load
from tests.gates import robust, write

SUITE = {"version": 1, "name": "s", "data": "mnist", "models": ["lenet_mnist"], "attacks": ["fgsm"]}


def report(before, after, **gate):
    return check(baseline_of(read(before)), scores_of(read(after)), gate_of(gate))


def test_nothing_changed_passes(tmp_path):
    write(tmp_path, robust())
    write(tmp_path, robust(), attack="deepfool")
    found = report(tmp_path, tmp_path)
    assert [verdict.status for verdict in found.verdicts] == ["passed", "passed"]
    assert found.exit_code == 0
    assert headline(found) == "all 2 gates passed"


def test_a_loss_fails_and_comes_first(tmp_path):
    for folder, lose in (("a", 0), ("b", 20)):
        write(tmp_path / folder, robust(), "fc")
        write(tmp_path / folder, robust(lose=lose), "lenet")
    found = report(tmp_path / "a", tmp_path / "b")
    assert [verdict.status for verdict in found.verdicts] == ["failed", "passed"]
    assert found.verdicts[0].reasons == ("robust accuracy fell by 20.0 points, more than 0.5",)
    assert found.verdicts[0].name == "lenet · fgsm · mnist"
    assert found.exit_code == 1
    better = report(tmp_path / "b", tmp_path / "a")
    assert [verdict.status for verdict in better.verdicts] == ["improved", "passed"]
    assert better.exit_code == 0


def test_smaller_distances_fail_in_the_unit_that_the_gate_names(tmp_path):
    write(tmp_path / "a", robust(), attack="deepfool")
    write(tmp_path / "b", robust(), attack="deepfool", scale=0.9)
    for distance in ("rho", "l2"):
        found = report(tmp_path / "a", tmp_path / "b", distance=distance)
        assert found.verdicts[0].reasons == (f"mean {distance} fell by 10 %, more than 2",)
    assert report(tmp_path / "a", tmp_path / "b", max_distance_drop=12).exit_code == 0


@pytest.mark.parametrize(
    ("before", "after", "status"), [(0, 0, "improved"), (0, 2, "incomparable"), (1, 1, "improved")]
)
def test_an_attack_that_stops_succeeding_is_no_improvement(before, after, status, tmp_path):
    """Of 100 samples this many are not broken without a budget; the sizes of the others have doubled."""
    write(tmp_path / "a", robust(share=0), attack="deepfool", failures=before)
    write(tmp_path / "b", robust(share=0), attack="deepfool", failures=after, scale=2)
    found = report(tmp_path / "a", tmp_path / "b")
    (verdict,) = found.verdicts
    assert verdict.status == status
    if status == "incomparable":
        assert "broke 100.0 % of the samples in the baseline, 98.0 % here" in verdict.reasons[0]
        assert (found.exit_code, len(verdict.reasons)) == (4, 1)
        assert [finding.metric for finding in verdict.findings] == ["robust accuracy", "median rho"]


def test_a_number_that_stopped_standing_is_not_compared(tmp_path):
    write(tmp_path / "a", robust(lose=20))
    write(tmp_path / "b", robust(), zero_gradient=1)  # a zero gradient on 60 samples that are not broken
    (verdict,) = report(tmp_path / "a", tmp_path / "b").verdicts
    assert (verdict.status, len(verdict.findings)) == ("incomparable", 1)
    assert verdict.reasons == (
        "not comparable: this number does not stand, which the baseline's did; gradients: 60 of 100 samples met a "
        "zero gradient and were not broken",
    )
    worse = report(tmp_path / "b", tmp_path / "a")  # and what stands again may be compared with what did not
    assert worse.verdicts[0].status == "failed"


def test_a_loss_fails_whatever_the_checks_say(tmp_path):
    write(tmp_path / "a", robust())
    write(tmp_path / "b", robust(lose=20), zero_gradient=1)
    found = report(tmp_path / "a", tmp_path / "b")
    assert found.exit_code == 1
    assert [reason.partition(" ")[0] for reason in found.verdicts[0].reasons] == ["robust", "not"]


def test_what_never_stood_passes_without_being_an_improvement(tmp_path):
    write(tmp_path / "a", robust(lose=20), zero_gradient=1)
    write(tmp_path / "b", robust(), zero_gradient=1)
    found = report(tmp_path / "a", tmp_path / "b")
    assert (found.verdicts[0].status, found.exit_code) == ("passed", 0)
    assert found.verdicts[0].remarks[0].startswith("this number does not stand, nor does the baseline's; gradients")


def test_an_older_baseline_does_not_know_and_the_run_decides(tmp_path):
    write(tmp_path / "a", robust())
    write(tmp_path / "b", robust(), zero_gradient=1)
    for side, code in (("a", 0), ("b", 4)):
        file = tmp_path / f"{side}.parquet"
        write_baseline(baseline_of(read(tmp_path / side)), file)
        table = pq.read_table(file)
        meta = table.schema.metadata | {b"robustbench_lite.baseline": b"1"}
        pq.write_table(table.drop_columns(["red"]).replace_schema_metadata(meta), file)  # as version 1 wrote it
        assert check(read_baseline(file), scores_of(read(tmp_path / side)), gate_of(None)).exit_code == code
    (verdict,) = check(read_baseline(file), scores_of(read(tmp_path / "b")), gate_of(None)).verdicts
    assert "and the baseline does not say whether its did" in verdict.reasons[0]


def test_a_renamed_classifier_is_found_by_its_weights(tmp_path):
    write(tmp_path / "a", robust(), "lenet", weights="w")
    write(tmp_path / "b", robust(lose=20), "candidate", weights="w")
    found = report(tmp_path / "a", tmp_path / "b")
    (verdict,) = found.verdicts
    assert (verdict.status, verdict.findings[0].lost) == ("failed", 20)
    assert verdict.remarks == ("called lenet · fgsm · mnist in the baseline; the weights are the same",)
    assert {key[2] for key in verdict.keys} == {"lenet", "candidate"}
    only = lambda name: {key for key in verdict.keys if key[2] == name}
    for name in ("lenet", "candidate"):
        before, after = baseline_of(read(tmp_path / "a")), scores_of(read(tmp_path / "b"))
        assert check(before, after, gate_of(None), only(name)).verdicts[0].status == "failed"


def test_a_renamed_source_is_found_too(tmp_path):
    """Images made for `one` and scored on `two`, by an attack that names its sources."""
    for side, names in (("a", ("one", "two")), ("b", ("uno", "due"))):
        for name in names:
            write(tmp_path / side, robust(), name, weights=f"w{names.index(name)}")
        params = json.dumps({"epsilon": 0.1, "sources": [names[0]], "steps": 1}, separators=(",", ":"))
        facts = {"source": names[0], "sources": [names[0]], "models": [names[1]], "weights": "w1"}
        write(tmp_path / side, robust(), names[1], params=params, cell="transfer", **facts)
    found = report(tmp_path / "a", tmp_path / "b")
    assert found.exit_code == 0 and len(found.verdicts) == 3


def test_equal_weights_under_several_names_are_not_guessed(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder, robust(), "anchor")
    for name in ("one", "two"):
        write(tmp_path / "a", robust(), name, weights="w")
    write(tmp_path / "b", robust(), "three", weights="w")
    found = report(tmp_path / "a", tmp_path / "b")
    reasons = [verdict.reasons[0] for verdict in found.of("incomparable")]
    assert found.exit_code == 4 and len(reasons) == 3
    assert any("a renamed classifier is recognised where no other has its weights" in reason for reason in reasons)


def test_partners_survive_another_seed_and_other_weights(tmp_path):
    write(tmp_path / "a", robust(), seed=0)
    write(tmp_path / "b", robust(), seed=1, cell="another-id")
    assert report(tmp_path / "a", tmp_path / "b").exit_code == 0


@pytest.mark.parametrize(("target", "seed", "code"), [("random", 1, 4), ("random", 0, 0), ("next", 1, 0), (3, 1, 0)])
def test_random_targets_of_another_seed_are_another_task(tmp_path, target, seed, code):
    facts = {"goal": "target", "params": json.dumps({"epsilon": 0.1, "target": target})}
    write(tmp_path / "a", robust(), seed=0, **facts)
    write(tmp_path / "b", robust(), seed=seed, **facts)
    found = report(tmp_path / "a", tmp_path / "b")
    assert found.exit_code == code
    told = [reason for verdict in found.verdicts for reason in verdict.reasons]
    assert any("other targets: they are drawn by seed 1, in the baseline by 0" in reason for reason in told) is (
        code == 4
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"params": '{"epsilon": 0.2, "steps": 1}'}, "other attack parameters: epsilon is 0.2, in the baseline 0.1"),
        ({"params": '{"epsilon": 0.03137254901960784, "steps": 1}'}, "epsilon is 8/255, in the baseline 0.1"),
        ({"params": '{"epsilon": 0.1, "new": null}'}, "new is null, in the baseline not there; steps is not there"),
        ({"prefix": "t"}, "other data: 100 samples in the baseline, 100 here, 0 in common"),
        ({"label": 3}, "other data: 100 samples have another label"),
        ({"dataset": "svhn"}, "other data: the baseline has dataset 'mnist'"),
        ({"version": 2}, "the attack's code is version 2, in the baseline 1"),
        ({"model": "fc"}, "no partner"),
        ({"attack": "pgd"}, "no partner"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_compared_says_why(change, sentence, tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder, robust(), "anchor")  # so that something matches
    write(tmp_path / "a", robust())
    write(tmp_path / "b", robust(), **change)
    found = report(tmp_path / "a", tmp_path / "b")
    assert found.exit_code == 4
    reasons = [reason for verdict in found.of("incomparable") for reason in verdict.reasons]
    assert any(sentence in reason for reason in reasons), reasons
    assert len(found.verdicts) == (3 if sentence == "no partner" else 2)


def test_a_matrix_of_parameters_finds_the_nearest(tmp_path):
    for folder, epsilons in (("a", (0.1, 0.2)), ("b", (0.1, 0.3))):
        for epsilon in epsilons:
            params = json.dumps({"epsilon": epsilon, "steps": 1})
            write(tmp_path / folder, robust(), params=params, prefix="s", model=f"m{int(epsilon > 0.15)}")
    (odd,) = report(tmp_path / "a", tmp_path / "b").of("incomparable")
    assert odd.reasons[0].startswith("other attack parameters: epsilon is 0.3, in the baseline 0.2")


def test_a_gate_that_matches_nothing_never_passes(tmp_path):
    write(tmp_path / "a", robust())
    write(tmp_path / "b", robust(), "fc")
    with pytest.raises(BaselineError, match="no gate matched: lenet · fgsm · mnist: no partner"):
        report(tmp_path / "a", tmp_path / "b")
    with pytest.raises(BaselineError, match=r"the rule for model: resnet\* matches none of the 1 gates"):
        report(tmp_path / "a", tmp_path / "a", cells=[{"model": "resnet*", "max_drop": 1}])


def test_failed_cells_and_those_not_run_fail_the_gate(tmp_path):
    write(tmp_path / "a", robust())
    write(tmp_path / "a", robust(), "fc")
    write(tmp_path / "b", robust())
    write(tmp_path / "b", robust(), "fc", status="failed", error="logits are not finite")
    found = report(tmp_path / "a", tmp_path / "b")
    assert [verdict.status for verdict in found.verdicts] == ["failed", "passed"]
    assert found.verdicts[0].reasons == ("failed: logits are not finite",)
    assert found.exit_code == 1


def test_rules_of_single_cells(tmp_path):
    for folder, lose in (("a", 0), ("b", 20)):
        write(tmp_path / folder, robust(lose=lose), "fc")
        write(tmp_path / folder, robust(lose=lose), "lenet")
    rules = [{"model": "f*", "max_drop": 30}, {"attack": "fgsm", "min_robust_accuracy": 10}]
    found = report(tmp_path / "a", tmp_path / "b", cells=rules)
    assert {verdict.scores.model: verdict.status for verdict in found.verdicts} == {"fc": "passed", "lenet": "failed"}
    floor = report(tmp_path / "a", tmp_path / "a", min_robust_accuracy=55)
    assert "the floor is 55 %" in floor.verdicts[0].reasons[0]
    assert report(tmp_path / "a", tmp_path / "a", min_robust_accuracy=45).exit_code == 0


def test_cost_has_a_ceiling_in_passes(tmp_path):
    # 0.5 s, of which 0.4 s inside 60 + 40 passes over 20 samples: 5 passes a sample, 25 % on top
    write(tmp_path, robust(20))
    (one,) = scores_of(read(tmp_path))
    assert one.cost == pytest.approx(6.25)
    assert report(tmp_path, tmp_path, max_cost=6.3).exit_code == 0
    found = report(tmp_path, tmp_path, max_cost=6.2)
    assert found.verdicts[0].reasons == ("the attack's time is 6.2 passes per sample: at most 6.2 are allowed",)


def test_rules_come_from_the_suite_and_are_stored_with_the_run(tmp_path):
    gate = {"max_drop": 1, "cells": [{"attack": "fgsm", "min_robust_accuracy": 5}]}
    suite = {**SUITE, "data": {"mnist": {"samples": 5}}, "gate": gate}
    results = run(suite, tmp_path)
    assert results.run["gate"] == {"max_drop": 1.0, "cells": [{"attack": "fgsm", "min_robust_accuracy": 5.0}]}
    (one,) = scores_of(results)
    limits = gate_of(results.run["gate"]).limits(one)
    assert (limits.max_drop, limits.min_robust_accuracy) == (1.0, 5.0)
    assert gate_of(results.run["gate"], {"max_drop": 2}).limits(one).max_drop == 2.0
    assert load(SUITE, ["gate.mode=point"]).gate.mode == "point"


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"max_dorp": 1}, "unknown key 'max_dorp'; did you mean 'max_drop'?"),
        ({"max_drop": -1}, "max_drop: expected greater than or equal to 0, got -1"),
        ({"min_robust_accuracy": 0.4}, "expected percent, got 0.4; write 40 for 40 %"),
        ({"cells": [{"modle": "x"}]}, "unknown key 'modle'"),
        ({"confidence": 1}, "confidence"),
        ([1], "expected a mapping of limits"),
    ],
    ids=str,
)
def test_wrong_rules_are_problems_of_the_suite(gate, message):
    with pytest.raises(SuiteError) as caught:
        load({**SUITE, "gate": gate})
    assert message in str(caught.value)
    if isinstance(gate, dict) and "cells" not in gate:
        with pytest.raises(UsageError, match="gate: "):
            gate_of(gate)
