"""What is said while a suite runs: every phase by its name, and what it took is stored."""

from __future__ import annotations

import io

from rich.console import Console

from robustbench_lite.cli.progress import Bars, Lines
from robustbench_lite.pytest_plugin.session import GateSession
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import Options, Silent, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables

SUITE = {
    "version": 1,
    "name": "phases",
    "data": {"mnist": {"samples": 6}},
    "models": ["fc500_150_10_mnist"],
    "attacks": [{"fgsm": {"epsilon": 0.1}}, {"pgd": {"epsilon": 0.1, "steps": 2}}],
    "tables": ["cost"],
}
STAGES = ["inspecting", "attacking", "timing at batch size 1", "judging"]


class Listener(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def entered(self, phase):
        self.heard.append(phase)

    def left(self, phase, seconds):
        assert seconds >= 0
        self.heard.append(f"end of {phase}")

    def started(self, cell):
        self.heard.append(f"cell {cell.variant}")


def test_no_phase_goes_unsaid(tmp_path):
    listener = Listener()
    results = run_suite(load(SUITE), Options(results=tmp_path), listener)
    before = ["loading", "end of loading", "calibrating", "calibrating fgsm (1 of 2)", "calibrating pgd (2 of 2)"]
    assert listener.heard == [*before, "end of calibrating", "cell fgsm", *STAGES, "cell pgd", *STAGES]
    assert set(results.run["seconds"]) == {"loading", "calibrating"}
    cells = results.cells()
    assert (cells[["seconds_inspect", "seconds_timing", "seconds_judge", "seconds_alone"]] > 0).all().all()
    assert (cells["seconds_timing"] >= cells["seconds_alone"]).all()  # several samples, one of them alone


def test_what_is_in_the_store_is_neither_calibrated_nor_timed(tmp_path):
    run_suite(load(SUITE), Options(results=tmp_path))
    listener = Listener()
    run_suite(load(SUITE), Options(results=tmp_path), listener)
    assert listener.heard == ["loading", "end of loading"]


def test_timing_can_be_left_out_and_made_up_for(tmp_path):
    listener = Listener()
    results = run_suite(load(SUITE), Options(results=tmp_path, timing=False), listener)
    assert "timing at batch size 1" not in listener.heard
    assert results.cells()[["seconds_alone", "seconds_timing"]].isna().all().all()
    table = tables.make("cost", results)
    assert {row["ms_alone"].text for row in table.rows} == {"—"}
    assert "--no-timing" in " ".join(table.footnotes)
    again = run_suite(load(SUITE), Options(results=tmp_path))
    assert again.cells()["seconds_alone"].isna().all()  # stored, and stays as it is
    fresh = run_suite(load(SUITE), Options(results=tmp_path, fresh=True))
    assert (fresh.cells()["seconds_alone"] > 0).all()
    assert "--no-timing" not in " ".join(tables.make("cost", fresh).footnotes)


def test_the_numbers_are_the_same_with_and_without_timing(tmp_path):
    first, second = (
        run_suite(load(SUITE), Options(results=tmp_path / str(timing), timing=timing)).samples().drop(columns="seconds")
        for timing in (True, False)
    )
    assert first.equals(second)


def test_gates_are_not_timed(tmp_path):
    session = GateSession(load(SUITE), tmp_path / "baseline.parquet", update=True)
    session.report(frozenset(gate.key for gate in session.gates), tmp_path)
    assert read(tmp_path / "phases").cells()["seconds_alone"].isna().all()


def test_lines_say_what_phases_took(tmp_path, monkeypatch):
    monkeypatch.setattr("robustbench_lite.cli.progress._WORTH_SAYING", 0.0)
    stream = io.StringIO()
    run_suite(load(SUITE), Options(results=tmp_path), Lines(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("loading: ")
    assert any(line.startswith("calibrating: ") and line.endswith(" s") for line in lines)
    (cell,) = [line for line in lines if "· fgsm" in line]
    assert all(f"{stage} " in cell for stage in ("inspecting", "timing at batch size 1", "judging"))


def test_a_bar_that_stands_says_what_is_going_on(tmp_path, monkeypatch):
    bars = Bars(Console(file=io.StringIO(), force_terminal=True, width=120))
    seen: list[str] = []
    entered = bars.entered

    def spy(phase):
        entered(phase)
        seen.extend(task.description for task in bars.progress.tasks if task.visible)

    monkeypatch.setattr(bars, "entered", spy)
    with bars:
        run_suite(load(SUITE), Options(results=tmp_path), bars)
    assert "loading" in seen
    assert "calibrating pgd (2 of 2)" in seen
    assert all(f"mnist · fc500_150_10_mnist · pgd: {stage}" in seen for stage in STAGES)
