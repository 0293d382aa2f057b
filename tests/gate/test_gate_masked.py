"""A classifier that hides its gradient, or has another name, in front of the gate: the verbs, on shipped digits."""

from __future__ import annotations

import json

import pytest
from torch import nn

from robustbench_lite.models.zoo import Zoo
from robustbench_lite.pytest_plugin.fixture import Robustness
from robustbench_lite.runner.run import run
from robustbench_lite.trust.smell import doubts
from tests.helpers import ROOT, cli

SUITE = {"version": 1, "name": "t", "data": {"mnist": {"samples": 30}}, "images": "none"}
ATTACKS = [{"pgd": {"epsilon": 0.1, "steps": 5}}, "deepfool"]


class Rounded(nn.Module):
    """The same digits to the eye, and a gradient that is zero everywhere."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net((x * 15).round() / 15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`honest` and `masked`, of one name, and the baseline of each."""
    folder = tmp_path_factory.mktemp("masked")
    net = Zoo(zoo="lenet_mnist").load(ROOT).module
    for name, module in (("honest", net), ("masked", Rounded(net))):
        Robustness(folder / name).run({**SUITE, "attacks": ATTACKS}, module, name="mine")
        done = cli("baseline", str(folder / name / "t"), "-o", str(folder / f"{name}.parquet"))
        assert done.returncode == 0, done.stderr
        assert ("this number does not stand; gradients" in done.stderr) is (name == "masked"), done.stderr
    return folder


def gate(folder, name, baseline, *options):
    return cli("check", str(folder / name / "t"), "--baseline", str(folder / f"{baseline}.parquet"), *options)


def test_a_hidden_gradient_is_not_an_improvement(folder):
    done = gate(folder, "masked", "honest", "--format", "json")
    assert done.returncode == 4
    found = {one["attack"]: one for one in json.loads(done.stdout)["verdicts"]}
    assert {one["status"] for one in found.values()} == {"incomparable"}
    assert "of 30 samples met a zero gradient" in " ".join(found["pgd"]["reasons"])
    assert "broke 100.0 % of the samples in the baseline, " in found["deepfool"]["reasons"][0]
    assert found["pgd"]["findings"][0]["drop"] < 0  # it looked better
    assert "improved" not in done.stdout


def test_it_passes_where_it_always_was_so_and_is_never_offered(folder):
    done = gate(folder, "masked", "masked")
    assert done.returncode == 0
    assert "this number does not stand, nor does the baseline's" in " ".join(done.stdout.split())
    assert gate(folder, "honest", "honest").returncode == 0
    back = gate(folder, "honest", "masked")
    assert back.returncode == 1  # the honest one looks worse: a new baseline is called for, and is no offer
    assert "robustbench-lite baseline RESULTS" not in back.stdout


def test_a_renamed_classifier_is_compared_with_itself(tmp_path):
    attacks = [{"fgsm": {"epsilon": 0.1}}]
    for name, model in (("a", "lenet_mnist"), ("b", {"zoo": "lenet_mnist", "name": "candidate"})):
        results = run({**SUITE, "models": [model], "attacks": attacks}, tmp_path / name)
        assert not any(doubts(results).values())
    assert cli("baseline", str(tmp_path / "a" / "t"), "-o", str(tmp_path / "a.parquet")).returncode == 0
    done = gate(tmp_path, "b", "a")
    assert done.returncode == 0, done.stderr
    assert "called lenet_mnist · fgsm · mnist in the baseline; the weights are the same" in " ".join(
        done.stdout.split()
    )


# the whole way on the command line: run, baseline, report, table, check

NETS = """
from robustbench_lite.models.zoo import Zoo
from tests.helpers import ROOT
from tests.masked import HONEST, MASKED

def net(kind):
    return (MASKED | HONEST)[kind](Zoo(zoo="lenet_mnist").load(ROOT).module).eval()
"""


def written(folder, kind):
    """A suite of one classifier, `mine`, of that kind; the folder of its results after `run`."""
    model = {"python": "nets.py:net", "args": {"kind": kind}, "size": [1, 28, 28], "classes": 10, "trust": True}
    suite = {**SUITE, "models": [model | {"name": "mine"}], "attacks": ATTACKS}
    place = folder / kind.replace(" ", "-")
    place.mkdir()
    (place / "nets.py").write_text(NETS)
    (place / "t.yaml").write_text(json.dumps(suite))  # JSON is YAML
    done = cli("run", str(place / "t.yaml"), "--results", str(place / "results"), timeout=300)
    assert done.returncode == 0, done.stderr
    return place / "results" / "t"


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    results = written(folder, "itself")
    assert cli("baseline", str(results), "-o", str(folder / "baseline.parquet")).returncode == 0
    return folder


@pytest.mark.parametrize("kind", ["clamped logarithm", "partial rounding"])
def test_a_masked_classifier_goes_from_run_to_the_gate_without_ever_being_better(before, kind):
    results, page = written(before, kind), before / f"{kind}.html"
    table = cli("table", str(results), "trust", "--format", "csv").stdout
    looked = [line for line in table.splitlines() if "gradient predicts the loss" in line]
    assert len(looked) == len(ATTACKS)
    assert all(",RED," in line for line in looked)
    assert cli("report", str(results), "-o", str(page)).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert ">does not stand</a>" in text
    assert '<i class="dot best"' not in text and '<i class="dot only"' not in text
    done = cli("check", str(results), "--baseline", str(before / "baseline.parquet"), "--format", "json")
    assert done.returncode == 4, done.stderr
    assert {one["status"] for one in json.loads(done.stdout)["verdicts"]} == {"incomparable"}
    assert "improved" not in done.stdout
    told = " ".join(cli("check", str(results), "--baseline", str(before / "baseline.parquet")).stdout.split())
    assert "not comparable" in told and "improved" not in told
