"""The plugin through real pytest processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from xml.etree import ElementTree as ET

import pytest

from robustbench_lite.gate.baseline import read_baseline, write_baseline
from robustbench_lite.pytest_plugin.session import GateSession
from tests.forks import finished
from tests.helpers import ROOT

SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 60}},
    "models": ["fc500_150_10_mnist"],
    "attacks": [{"pgd": {"epsilon": 0.05, "steps": 3}}, {"fgsm": {"epsilon": 0.05}}],
}
PLUGIN = "robustbench_lite.pytest_plugin"
PGD, FGSM = (f"suite.yaml::gate-mnist-fc500_150_10_mnist-{name}" for name in ("pgd", "fgsm"))


def ours(folder, *arguments):
    """The words after `python -m`, the folder and the environment of a pytest with the plugin."""
    installed = any(entry.value == PLUGIN for entry in entry_points(group="pytest11"))
    plugin = () if installed else ("-p", PLUGIN)
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment = alone | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "", "COLUMNS": "100"}
    return ["pytest", *plugin, "--benchmark-disable", *arguments], folder, environment


def run_pytest(folder, *arguments, timeout=180):
    return finished(*ours(folder, *arguments), timeout)


def gates(folder, *arguments):
    return run_pytest(folder, "--robustness", "suite.yaml", "--robustness-baseline", "b.parquet", *arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project with a suite and its baseline; pgd has lost 20 samples since."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "suite.yaml").write_text(json.dumps(SUITE))
    (folder / "test_own.py").write_text("def test_own():\n    pass\n")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = gates(folder, "--robustness-update", "-v")
    assert done.returncode == 0, done.stdout
    assert "this run is the baseline b.parquet" in done.stdout
    assert f"{PGD} PASSED" in done.stdout
    (folder / "good.parquet").write_bytes((folder / "b.parquet").read_bytes())
    baseline = read_baseline(folder / "b.parquet")
    for one in baseline.scores:
        if one.attack == "pgd":
            lost = (~one.robust).nonzero()[0]
            assert len(lost) >= 10, "the attack must break some, or there is nothing to lose"
            one.robust[lost] = True
    write_baseline(baseline, folder / "b.parquet")
    return folder


def test_the_entry_point_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"robustbench_lite": PLUGIN}


def test_a_failed_gate_is_a_failed_test_that_reads_well(made):
    done = gates(made)
    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout
    assert f"FAILED {PGD}" in done.stdout
    assert "robust accuracy fell by" in done.stdout
    assert "Traceback" not in done.stdout
    assert "pytest_items.py" not in done.stdout


def test_last_failed_and_k_run_only_what_is_selected(made):
    gates(made)
    last = gates(made, "--lf", "-v")
    assert last.returncode == 1
    assert FGSM not in last.stdout
    assert "over 1 test" in last.stdout or "1 failed" in last.stdout
    some = gates(made, "-k", "fgsm", "--robustness-results", "kept")
    assert some.returncode == 0
    assert "1 passed, 2 deselected" in some.stdout
    assert len(list((made / "kept" / "small" / "cells").glob("*.parquet"))) == 1
    one = gates(made, FGSM)
    assert "1 passed" in one.stdout


def test_xdist_runs_the_suite_once_and_junit_has_every_gate(made):
    done = gates(made, "-n", "2", "--junitxml", "j.xml", "--robustness-results", "once")
    assert done.returncode == 1
    assert "1 failed, 2 passed" in done.stdout
    cases = {case.attrib["name"]: case for case in ET.parse(made / "j.xml").getroot().iter("testcase")}
    assert set(cases) == {PGD.split("::")[1], FGSM.split("::")[1], "test_own"}
    failure = cases[PGD.split("::")[1]].find("failure")
    assert failure is not None
    assert "fell by" in str(failure.text)
    properties = {entry.attrib["name"]: entry.attrib["value"] for entry in cases[FGSM.split("::")[1]].iter("property")}
    assert properties["robustness"] == "passed"
    assert properties["robust accuracy n"] == "60"


def test_the_processes_of_one_session_run_once(made, tmp_path, monkeypatch):
    session = GateSession.of(made / "suite.yaml", made / "good.parquet")
    keys = frozenset(gate.key for gate in session.gates)
    first = session.report(keys, tmp_path, "session-1")
    assert [verdict.status for verdict in first.verdicts] == ["passed", "passed"]
    monkeypatch.setattr("robustbench_lite.pytest_plugin.session.run_suite", lambda *_: pytest.fail("ran twice"))
    assert GateSession.of(made / "suite.yaml", made / "good.parquet").report(keys, tmp_path, "session-1").tests == 2
    with pytest.raises(pytest.fail.Exception):
        session.report(keys, tmp_path, "session-2")


def test_hostile_names_do_not_break_the_junit_file(made, tmp_path):
    names = ["</testcase>&]]>", "a::b[c]", "x" * 300, "名 \u2028 é"]
    attacks = [{"fgsm": {"epsilon": 0.01 * (i + 1)}, "as": name} for i, name in enumerate(names) if name.isprintable()]
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "data": {"mnist": {"samples": 3}}, "attacks": attacks}))
    done = gates(tmp_path, "--robustness-update", "--junitxml", "j.xml")
    assert done.returncode == 0, done.stdout
    assert len(list(ET.parse(tmp_path / "j.xml").getroot().iter("testcase"))) == len(attacks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--robustness", "suite.yaml"), "needs --robustness-baseline FILE"),
        (("--robustness-baseline", "b.parquet"), "--robustness-baseline needs --robustness SUITE"),
        (("--robustness", "suite.yaml", "--robustness-baseline", "absent.parquet"), "no such baseline"),
        (("--robustness", "pytest.ini", "--robustness-baseline", "b.parquet"), "pytest.ini"),
    ],
    ids=["no baseline", "no suite", "absent", "not a suite"],
)
def test_wrong_options_are_one_sentence(made, arguments, message):
    done = run_pytest(made, *arguments)
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gate_that_only_the_baseline_has_fails(made, tmp_path):
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "attacks": SUITE["attacks"][:1]}))
    (tmp_path / "b.parquet").write_bytes((made / "good.parquet").read_bytes())
    done = gates(tmp_path)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "no partner: it is in the baseline, and the run has no such cell" in done.stdout
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "attacks": [{"pgd": {"epsilon": 0.06, "steps": 3}}]}))
    other = gates(tmp_path)
    assert "other attack parameters: epsilon is 0.06, in the baseline 0.05" in other.stdout
    assert other.returncode == 1


def test_a_failed_cell_fails_its_gate_and_is_no_baseline(tmp_path):
    (tmp_path / "nets.py").write_text("def broken():\n    raise RuntimeError('no weights today')\n")
    model = {"python": "nets.py:broken", "trust": True, "size": [1, 28, 28], "classes": 10}
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "models": [model]}))
    done = gates(tmp_path, "--robustness-update")
    assert done.returncode == 1
    assert "no weights today" in done.stdout
    assert not (tmp_path / "b.parquet").exists()


def test_a_baseline_of_numbers_that_do_not_stand_says_so(tmp_path):
    net = "nn.Sequential(Rounded(), nn.Flatten(), nn.Linear(784, 10))"
    code = "def forward(self, x): return (x * 7).round() / 7"
    (tmp_path / "nets.py").write_text(
        f"import torch\nfrom torch import nn\nclass Rounded(nn.Module):\n    {code}\n"
        f"def make():\n    torch.manual_seed(0)\n    return {net}\n"
    )
    model = {"python": "nets.py:make", "trust": True, "size": [1, 28, 28], "classes": 10}
    attacks = [{"fgsm": {"epsilon": 0.05, "goal": "prediction"}}]
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "models": [model], "attacks": attacks}))
    done = gates(tmp_path, "--robustness-update")
    assert done.returncode == 0, done.stdout
    assert "does not stand; gradients: " in done.stdout


HAND = """
import torch
from torch import nn

SUITE = {"version": 1, "name": "hand", "data": {"mnist": {"samples": 20}}, "attacks": [{"fgsm": {"epsilon": 0.05}}]}

def net(bias):
    torch.manual_seed(0)
    made = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(784, 10))
    made[2].bias.data += bias
    return made

def test_run(robustness):
    module = net(0).train()
    results = robustness.run(SUITE, model=module)
    assert len(results.samples()) == 20
    assert set(results.samples()["model"]) == {"model"}
    assert all(part.training for part in module.modules())
    assert module[2].weight.requires_grad
    from robustbench_lite.gate.baseline import baseline_of, write_baseline
    from pathlib import Path
    path = robustness.folder / "b.parquet"
    write_baseline(baseline_of(results), path)
    robustness.check(results, path)
    robustness.check(results, path, min_robust_accuracy=90)

def test_file(robustness):
    assert len(robustness.run("suite.yaml", samples_are_wrong=1).samples())
"""


def test_the_fixture_runs_a_module_and_checks(tmp_path):
    (tmp_path / "test_hand.py").write_text(HAND)
    done = run_pytest(tmp_path)
    assert done.returncode == 1
    assert "2 failed" in done.stdout
    assert "AssertionError: 1 of 1 gates failed" in done.stdout  # the last line of test_run, and no line before it
    assert "the floor is 90 %" in " ".join(done.stdout.replace("\nE ", "").split())
    assert "samples_are_wrong" in done.stdout


@pytest.mark.slow
def test_benchmarks_compare_and_do_not_vanish(made):
    (made / "test_speed.py").write_text("def test_speed(benchmark):\n    benchmark(sum, [1, 2])\n")
    shown = ("--benchmark-enable", "--robustness-benchmark", "-k", "cost or speed")
    first = gates(made, *shown, "--benchmark-json", "saved.json")
    assert first.returncode == 0, first.stdout
    saved = {entry["fullname"]: entry for entry in json.loads((made / "saved.json").read_text())["benchmarks"]}
    pgd = PGD.replace("gate-", "cost-")
    assert set(saved) == {pgd, FGSM.replace("gate-", "cost-"), "test_speed.py::test_speed"}
    # three steps: a gradient each; passes can only be counted upwards by overhead
    assert 5.5 <= saved[pgd]["extra_info"]["passes_per_sample"] < 30
    compared = gates(made, *shown, "--benchmark-compare", "saved.json", "--robustness-expect-benchmarks", "saved.json")
    assert compared.returncode == 0, compared.stdout
    assert "(saved)" in compared.stdout or "NOW" in compared.stdout
    (made / "test_speed.py").unlink()
    gone = gates(made, *shown, "--benchmark-compare", "saved.json", "--robustness-expect-benchmarks", "saved.json")
    assert gone.returncode == 1
    assert "test_speed.py::test_speed: expected by saved.json, but not measured in this run" in gone.stdout
    disabled = gates(made, "--robustness-benchmark", "-k", "cost", "--robustness-expect-benchmarks", "saved.json")
    assert disabled.returncode == 1
    nothing = run_pytest(made, "--robustness-expect-benchmarks", "b.parquet")
    assert "expected a file that pytest-benchmark has written" in nothing.stdout


def test_a_stated_ratio_is_a_limit_within_one_run(made, tmp_path):
    gate = {"max_cost": 1.5}
    (tmp_path / "suite.yaml").write_text(json.dumps({**SUITE, "gate": gate}))
    (tmp_path / "b.parquet").write_bytes((made / "good.parquet").read_bytes())
    done = gates(tmp_path, "--benchmark-enable", "--robustness-benchmark", "-k", "pgd")
    assert done.returncode == 1
    assert "passes per sample, at most 1.5 are allowed" in done.stdout
    assert "the attack's time is" in done.stdout  # the gate itself says so from the rows of its run


def test_without_the_option_nothing_of_ours_is_imported(tmp_path):
    code = (
        "import sys\n\ndef test_nothing():\n"
        "    ours = {name for name in sys.modules if name.startswith('robustbench_lite')}\n"
        f"    assert ours <= {{'robustbench_lite', '{PLUGIN}'}}, ours\n"
        "    assert not {'torch', 'numpy', 'pyarrow', 'pydantic'} & set(sys.modules)\n"
    )
    (tmp_path / "test_nothing.py").write_text(code)
    words, cwd, env = ours(tmp_path, "-p", "no:hypothesispytest")
    done = subprocess.run([sys.executable, "-m", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
