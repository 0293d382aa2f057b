"""What people copy: the example project alone in a folder, the snippets of docs/ci.md, our own gate."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from ruamel.yaml import YAML

from robustbench_lite.cli.verbs import cli as commands
from robustbench_lite.engine.attack import attacks
from robustbench_lite.gate.baseline import read_baseline
from robustbench_lite.gate.rules import gate_of
from robustbench_lite.pytest_plugin.session import GateSession
from tests.helpers import ROOT, cli
from tests.pytest_plugin.test_pytest_plugin import run_pytest

DOCS = (ROOT / "docs" / "ci.md").read_text()


@pytest.fixture
def project(tmp_path):
    shutil.copytree(ROOT / "examples" / "ci_gate", tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_the_example_passes_alone_in_a_folder_and_fails_when_the_classifier_is_worse(project):
    done = run_pytest(project)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    code = (project / "digits.py").read_text()
    weaker = code.replace("return net\n\n\ndef train", "net[0].weight.data *= 3\n    return net\n\n\ndef train")
    assert weaker != code
    (project / "digits.py").write_text(weaker)
    failed = run_pytest(project, "-k", "gate")
    assert failed.returncode == 1
    assert "robust accuracy fell by" in failed.stdout


def test_the_example_through_the_command_line(project):
    assert cli("run", "suite.yaml", cwd=project).returncode == 0
    done = cli("check", "results/digits", "--baseline", "baseline.parquet", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("all 3 gates passed\n")


def test_our_own_baseline_is_of_our_own_suite():
    gates = GateSession.of(ROOT / "suites" / "ci.yaml", ROOT / "baselines" / "ci.parquet").gates
    baseline = read_baseline(ROOT / "baselines" / "ci.parquet")
    assert {gate.key for gate in gates} == {one.key for one in baseline.scores}
    assert len(gates) == 6
    assert all(len(one.samples) == 1000 for one in baseline.scores)


def test_the_capture_fits_eighty_columns_and_snippets_are_valid():
    blocks = re.findall(r"```(\w+)\n(.*?)```", DOCS, re.DOTALL)
    assert max(len(line) for kind, text in blocks if kind == "console" for line in text.splitlines()) <= 80
    loaded = [YAML(typ="safe").load(text) for kind, text in blocks if kind == "yaml"]
    assert [set(part) for part in loaded] == [{"gate"}, {"name", "on", "permissions", "jobs"}, {"robustness"}]
    gate_of(loaded[0]["gate"])


def test_the_commands_of_the_docs_exist():
    lines = re.findall(r"robustbench-lite (\w+)([^`\n|>]*)", DOCS)
    assert len(lines) > 8
    for verb, rest in lines:
        options = {
            text
            for parameter in commands.commands[verb].params
            for text in (*parameter.opts, *parameter.secondary_opts)
        }
        assert set(re.findall(r"(?<!\S)--?[a-z-]+", rest)) <= options, (verb, rest)
    plugin = (ROOT / "robustbench_lite" / "pytest_plugin" / "__init__.py").read_text()
    assert all(f'"{name}"' in plugin for name in re.findall(r"--robustness[a-z-]*", DOCS))


def test_expected_benchmarks_are_attacks():
    names = [
        entry["fullname"] for entry in json.loads((ROOT / "benchmarks" / "expected.json").read_text())["benchmarks"]
    ]
    assert names
    assert {name.partition("[")[2].rstrip("]") for name in names} <= set(attacks)
