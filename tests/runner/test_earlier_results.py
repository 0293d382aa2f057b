"""Results of an earlier version, every kind of attack on a few images: the same tables, nothing to run again, nothing
found by `verify`, a baseline that still gates. Whatever is added to tables later, what they said stays."""

from __future__ import annotations

import json
import shutil

import pytest

from robustbench_lite.gate.baseline import read_baseline
from robustbench_lite.gate.pairing import check
from robustbench_lite.gate.rules import Gate
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import Options, Silent, run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.render import render
from tests.helpers import ROOT

BEFORE = ROOT / "tests" / "data" / "before"
TABLES = json.loads((BEFORE / "tables.json").read_text(encoding="utf-8"))
SUITES = ["kinds", "sign", "turtle"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shutil.copytree(BEFORE, tmp_path_factory.mktemp("runs") / "before")


def plain(cell):
    """A value of a table as tables.json keeps it."""
    numbers = [cell[key] for key in ("value", "low", "high", "n")]
    return cell["text"] if numbers[0] is None else [cell["text"], *numbers]


@pytest.mark.parametrize("suite_and_table", TABLES, ids=lambda text: text.replace("/", "-"))
def test_tables_say_what_they_said(suite_and_table):
    suite, name = suite_and_table.split("/")
    rows = json.loads(render(tables.make(name, read(BEFORE / "results" / suite)), "json"))["rows"]
    told = [{key: plain(cell) for key, cell in row.items()} for row in rows]
    kept = iter(told)
    for row in TABLES[suite_and_table]:  # in this order; others may stand between them
        assert any(
            all(now.get(key) == pytest.approx(value, nan_ok=True) for key, value in row.items()) for now in kept
        ), row


class Counting(Silent):
    """Counts the cells that are run."""

    count = 0

    def started(self, cell):
        self.count += 1


@pytest.mark.parametrize("suite", SUITES)
def test_no_cell_is_run_again(folder, suite):
    observer = Counting()
    run_suite(load(folder / f"{suite}.yaml"), Options(results=folder / "results", device="cpu"), observer)
    assert observer.count == 0


@pytest.mark.parametrize("suite", ["kinds", "sign"])  # `turtle` keeps no images
def test_verify_finds_nothing(folder, suite):
    report = verify(folder / "results" / suite)
    assert report.rows > 10 and report.sound


def test_the_baseline_still_gates(folder):
    scores = scores_of(read(folder / "results" / "kinds"))
    report = check(read_baseline(folder / "baseline.parquet"), scores, Gate())
    assert len(report.verdicts) == 22 and {verdict.status for verdict in report.verdicts} == {"passed"}
