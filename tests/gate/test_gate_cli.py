"""The verbs through a real process: every exit code, what reaches stdout, what is imported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from tests.forks import heard, started
from tests.gates import robust, write
from tests.helpers import ROOT, cli

SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 5}},
    "models": ["fc500_150_10_mnist"],
    "attacks": ["fgsm"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`a`, `same`, `worse`, and the baseline of `a`."""
    folder = tmp_path_factory.mktemp("runs")
    write(folder / "a", robust())
    write(folder / "same", robust(), seed=3)
    write(folder / "worse", robust(lose=20), gate={"max_drop": 1})
    write(folder / "other", robust(), "fc")
    done = cli("baseline", str(folder / "a"), "-o", str(folder / "b.parquet"))
    assert (done.returncode, done.stdout) == (0, f"{folder / 'b.parquet'}\n")
    assert done.stderr.startswith("1 gate, ")
    return folder


def gate(runs, name, *options):
    return cli("check", str(runs / name), "--baseline", str(runs / "b.parquet"), *options)


def test_0_where_nothing_is_worse(runs):
    done = gate(runs, "same")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 gate passed\n")
    assert done.stderr == ""


def test_1_where_a_gate_failed(runs):
    done = gate(runs, "worse")
    assert done.returncode == 1
    assert "fell by 20.0 points, more than 1" in done.stdout
    assert gate(runs, "worse", "--max-drop", "25").returncode == 0
    assert gate(runs, "same", "--min-robust-accuracy", "60").returncode == 1


def test_2_for_a_wrong_rule_and_results_that_are_not_there(runs, tmp_path):
    assert gate(runs, "a", "--max-drop", "-1").returncode == 2
    assert "write 40 for 40 %" in gate(runs, "a", "--min-robust-accuracy", "0.4").stderr
    assert gate(runs, "a", "--format", "yaml").returncode == 2
    assert gate(runs, "nowhere").returncode == 2
    wrong = tmp_path / "s.yaml"
    wrong.write_text(json.dumps({**SUITE, "gate": {"max_dorp": 1}}))
    done = cli("validate", str(wrong))
    assert done.returncode == 2
    assert "did you mean 'max_drop'" in done.stderr


def test_3_for_a_run_with_failed_cells_which_is_no_baseline(tmp_path):
    (tmp_path / "nets.py").write_text("def broken():\n    raise RuntimeError('no weights today')\n")
    model = {"python": "nets.py:broken", "trust": True, "size": [1, 28, 28], "classes": 10}
    suite = tmp_path / "small.yaml"
    suite.write_text(json.dumps({**SUITE, "models": [model]}))
    done = cli("run", str(suite), "--results", str(tmp_path / "r"))
    assert done.returncode == 3, done.stderr
    refused = cli("baseline", str(tmp_path / "r" / "small"), "-o", str(tmp_path / "b.parquet"))
    assert refused.returncode == 4
    assert "no weights today" in refused.stderr
    assert not (tmp_path / "b.parquet").exists()


def test_4_for_a_baseline_that_is_missing_damaged_or_of_something_else(runs, tmp_path):
    cases = {"missing": tmp_path / "absent.parquet", "damaged": tmp_path / "cut.parquet", "suite": ROOT / "README.md"}
    cases["damaged"].write_bytes((runs / "b.parquet").read_bytes()[:-100])
    for file in cases.values():
        done = cli("check", str(runs / "a"), "--baseline", str(file))
        assert done.returncode == 4, done.stderr
        assert done.stderr.startswith(f"error: {file}: ")
        assert all(line.startswith("next: ") for line in done.stderr.splitlines()[1:])
        assert done.stdout == ""
    other = gate(runs, "other")
    assert other.returncode == 4
    assert "no gate matched: lenet · fgsm · mnist: no partner" in other.stderr


def test_4_for_a_cell_without_a_partner(runs, tmp_path):
    write(tmp_path / "r", robust())
    write(tmp_path / "r", robust(), "new")
    done = cli("check", str(tmp_path / "r"), "--baseline", str(runs / "b.parquet"))
    assert done.returncode == 4
    assert "ERROR  new · fgsm · mnist" in done.stdout
    assert "pass   lenet" in done.stdout
    assert done.stderr == "error: new · fgsm · mnist: no partner: the baseline has no such cell; write a new baseline\n"


def test_5_where_results_cannot_be_written(tmp_path):
    suite = tmp_path / "small.yaml"
    suite.write_text(json.dumps(SUITE))
    (tmp_path / "file").write_text("")
    done = cli("run", str(suite), "--results", str(tmp_path / "file"))
    assert done.returncode == 5
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_130_and_143_when_stopped(number, code, tmp_path):
    suite = tmp_path / "small.yaml"
    suite.write_text(json.dumps({**SUITE, "data": {"mnist": {"samples": 500}}, "attacks": ["fgsm", "lbfgs"]}))
    said = tmp_path / "said.txt"
    words = ["robustbench_lite", "run", str(suite), "--results", str(tmp_path / "r")]
    process = started(words, ROOT, os.environ, err=said)
    heard(process, "[1/2]", said)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == code
    half = cli("baseline", str(tmp_path / "r" / "small"), "-o", str(tmp_path / "b.parquet"))
    assert half.returncode == 4
    assert "lbfgs: not run yet" in half.stderr


def test_formats_reach_stdout_alone(runs, tmp_path):
    assert json.loads(gate(runs, "worse", "--format", "json").stdout)["exit_code"] == 1
    assert ET.fromstring(gate(runs, "worse", "--format", "junit").stdout).attrib["failures"] == "1"
    assert gate(runs, "worse", "--format", "markdown").stdout.startswith("**Robustness: 1 of 1 gates failed**")


def test_github_appends_to_the_job_summary_and_stays_below_a_mebibyte(runs, tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("# before\n")
    arguments = ("check", str(runs / "worse"), "--baseline", str(runs / "b.parquet"), "--format", "github")
    done = cli(*arguments, env={"GITHUB_STEP_SUMMARY": str(path)})
    assert done.returncode == 1
    assert done.stdout.startswith("::error title=Robustness%3A lenet · fgsm · mnist::robust accuracy fell by 20.0")
    text = path.read_text()
    assert text.startswith("# before\n**Robustness: 1 of 1 gates failed**")
    path.write_bytes(b"x" * (2**20 - 100))
    cli(*arguments, env={"GITHUB_STEP_SUMMARY": str(path)})
    assert path.stat().st_size < 2**20
    nowhere = cli(*arguments, env={"GITHUB_STEP_SUMMARY": str(path / "below")})
    assert nowhere.returncode == 1
    assert "cannot be written" in nowhere.stderr


@pytest.mark.parametrize("verb", ["baseline", "check"])
def test_the_verbs_do_not_import_torch_or_pandas(runs, tmp_path, verb):
    arguments = {
        "baseline": ["baseline", str(runs / "a"), "-o", str(tmp_path / "b.parquet")],
        "check": ["check", str(runs / "a"), "--baseline", str(runs / "b.parquet")],
    }[verb]
    code = (
        "import sys\nfrom robustbench_lite.cli.verbs import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as e: assert e.code == 0, e.code\n"
        "heavy = {'torch', 'pandas', 'torchvision', 'timm', 'kornia'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
