"""What is left of a suite: from the clock of this run, and what finished cells took."""

from __future__ import annotations

import pytest

from robustbench_lite.runner.cell_report import CellReport
from robustbench_lite.runner.outlook import Outlook
from robustbench_lite.runner.plan import Cell
from robustbench_lite.suite.builder import load

ENTRY = load(
    {"version": 1, "name": "x", "data": {"mnist": {}}, "models": ["lenet_mnist"], "attacks": [{"pgd": {"steps": 5}}]}
).attacks[0]
PASSES = ENTRY.attack.typical_passes


def cell(name, source="a", n=100):
    return Cell(name, "x", "mnist", "{}", n, (source,), (source,), ENTRY.attack, "pgd", 0, {})


def report(of, seconds, passes=PASSES):
    row = {"status": "ok", "n": of.n, "forwards": of.n * passes, "backwards": 0, "seconds": seconds}
    return CellReport(of, row)


def test_it_learns_what_classifiers_cost():
    now = [0.0]
    outlook = Outlook(lambda: now[0])
    cells = (cell("1"), cell("2"), cell("3", "b"), cell("4"))
    outlook.planned(cells, {"4"})
    assert outlook.remaining is None and str(outlook) == ""
    outlook.begun(cells[0])
    now[0] = 10.0
    outlook.progressed(cells[0], 50)
    assert outlook.rate == 5.0 and outlook.remaining == pytest.approx(50.0)  # 50 samples done of 300
    outlook.finished(report(cells[0], 10.0))
    assert outlook.remaining == pytest.approx(20.0)
    outlook.progressed(cells[2], 10)  # while b takes nine times as long, of which nobody knows yet
    now[0] = 100.0
    outlook.finished(report(cells[2], 90.0))
    assert outlook.remaining == pytest.approx(10.0)
    assert (outlook.finished_cells, outlook.cells) == (3, 4)
    outlook.kept()
    assert str(outlook) == "1 shard stored, 2 samples/s, about 10 s left in all"


def test_two_workers_are_twice_as_quick_and_what_was_stored_is_no_merit():
    now = [0.0]
    outlook = Outlook(lambda: now[0])
    cells = (cell("1"), cell("2"), cell("3"))
    outlook.planned(cells, set())
    outlook.begun(cells[0])
    outlook.resumed(cells[0], 50)
    now[0] = 10.0
    outlook.finished(report(cells[0], 20.0))  # ten of these seconds in an earlier run
    outlook.finished(report(cells[1], 20.0))
    assert outlook.rate == 15.0
    assert outlook.remaining == pytest.approx(20.0 / 3.0)


def test_a_cell_that_is_dearer_than_its_kind_is_taken_at_its_own_pace():
    """An attack that broke one classifier at once is at work on another that holds out: 1 % of it took a minute."""
    now = [0.0]
    outlook = Outlook(lambda: now[0])
    cells = (cell("1"), cell("2", "b"))
    outlook.planned(cells, set())
    outlook.begun(cells[0])
    now[0] = 1.0
    outlook.finished(report(cells[0], 1.0))
    outlook.begun(cells[1])
    now[0] = 61.0
    outlook.progressed(cells[1], 1)
    assert outlook.remaining == pytest.approx(99 * 60)


def test_what_has_failed_takes_no_time():
    outlook = Outlook(iter([0.0, 1.0, 1.0, 1.0]).__next__)
    one = cell("1")
    outlook.planned((one,), set())
    outlook.begun(one)
    outlook.finished(CellReport(one, {"status": "failed"}))
    assert outlook.remaining is None and outlook.finished_cells == 1
