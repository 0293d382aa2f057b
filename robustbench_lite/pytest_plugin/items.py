"""What a suite is to pytest: a file with one test per gate, and a benchmark per gate where those are asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from robustbench_lite.errors import RobustbenchError
from robustbench_lite.gate.pairing import Report, Verdict
from robustbench_lite.gate.render import lines_of
from robustbench_lite.pytest_plugin.session import GateSession, Planned

__all__ = ["GateFailedError", "GateItem", "GateRun", "SuiteFile"]

_ROUNDS = 3


class GateFailedError(AssertionError):
    """A gate did not pass; the text says why."""


class SuiteFile(pytest.Module):
    """The suite as a module whose tests are its gates."""

    session_of_gates: GateSession
    benchmarks: bool

    def _getobj(self) -> ModuleType:
        return ModuleType(self.path.stem)

    def collect(self) -> Iterator[pytest.Item]:
        for gate in self.session_of_gates.gates:
            yield self._item(f"gate-{gate.id}", _gate(gate), gate)
        for gate in self.session_of_gates.gates if self.benchmarks else ():
            yield self._item(f"cost-{gate.id}", _cost(gate, self.session_of_gates), None)

    def _item(self, name: str, call: Callable[..., None], gate: Planned | None) -> GateItem:
        item: GateItem = GateItem.from_parent(self, name=name, callobj=call)
        item.gate = gate
        return item


class GateItem(pytest.Function):
    """A test that fails with sentences instead of a traceback."""

    gate: Planned | None

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *arguments: Any, **options: Any) -> Any:
        if isinstance(excinfo.value, GateFailedError | RobustbenchError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *arguments, **options)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


class GateRun:
    """Runs what this session has selected, once, at the first question."""

    def __init__(self, gates: GateSession, items: list[pytest.Item], folder: Path, token: str) -> None:
        keys = [item.gate.key for item in items if isinstance(item, GateItem) and item.gate]
        self.gates, self.selected, self.folder, self.token = gates, frozenset(keys), folder, token
        self._report: Report | RobustbenchError | None = None

    def verdict(self, gate: Planned) -> Verdict:
        """Raises RobustbenchError, the same one every time, where the run or the comparison is not possible."""
        if self._report is None:
            try:
                self._report = self.gates.report(self.selected, self.folder, self.token)
            except RobustbenchError as error:
                self._report = error
        if isinstance(self._report, RobustbenchError):
            raise self._report
        return self.gates.verdict(self._report, gate)


def _gate(gate: Planned) -> Callable[..., None]:
    def test(robustness_run: GateRun, request: pytest.FixtureRequest) -> None:
        verdict = robustness_run.verdict(gate)
        request.node.user_properties += _properties(verdict)
        text = "\n".join([verdict.name, *(f"  {line}" for line in lines_of(verdict))])
        if not verdict.passed:
            raise GateFailedError(text)
        sys.stdout.write(f"{text}\n")  # pytest keeps it: -rP, JUnit

    return test


def _properties(verdict: Verdict) -> list[tuple[str, str]]:
    """What JUnit files and the summary get to know."""
    names = ("before", "after", "drop", "lost", "won", "n", "p", "adjusted")
    found = [(f"{one.metric} {name}", f"{getattr(one, name):.6g}") for one in verdict.findings for name in names]
    doubts = [("does not stand", str(doubt)) for doubt in verdict.scores.doubts]
    return [("robustness", verdict.status), *found, *doubts]


def _cost(gate: Planned, gates: GateSession) -> Callable[..., None]:
    def test(benchmark: Any) -> None:
        timed = gates.timed(gate)
        passes: list[float] = []

        def once() -> None:
            outcome, oracle = timed.run()
            inside = oracle.clock.forward + oracle.clock.backward
            passes.append(float((outcome.forwards + outcome.backwards).sum()) / timed.n * outcome.wall / inside)

        benchmark.pedantic(once, rounds=_ROUNDS, warmup_rounds=1)
        cost = min(passes)
        benchmark.extra_info |= {"passes_per_sample": cost, "samples": timed.n}
        most = timed.limits.max_cost
        if most is not None and cost > most:
            raise GateFailedError(
                f"{gate.id}: the attack costs {cost:.1f} passes per sample, at most {most:g} are allowed"
            )

    return test
