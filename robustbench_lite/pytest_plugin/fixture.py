"""The fixture `robustness`: run a suite in a test, on a module at hand, and check it against a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.api import Results, run
from robustbench_lite.gate.baseline import read_baseline
from robustbench_lite.gate.pairing import Report
from robustbench_lite.gate.pairing import check as compare
from robustbench_lite.gate.render import render_report
from robustbench_lite.gate.rules import gate_of
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.models.memory import Memory
from robustbench_lite.runner.objects import in_memory
from robustbench_lite.suite.builder import load

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Robustness"]


@dataclass(frozen=True)
class Robustness:
    """Runs suites into `folder`, which pytest gives to this one test."""

    folder: Path

    def run(
        self,
        suite: str | Path | Mapping[str, Any],
        model: nn.Module | None = None,
        *,
        name: str = "model",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **options: Any,
    ) -> Results:
        """Run a suite, on `model` in place of its classifiers where that is given; without mean and std it normalises.

        Raises SuiteError, and ModelError where the module breaks its contract. Failed cells are rows, as in `run`.
        """
        if model is None:
            return run(suite, self.folder, **options)
        plain = {key: value for key, value in suite.items() if key != "models"} if isinstance(suite, Mapping) else suite
        objects = in_memory({name: Memory.of(model, name=name, mean=mean, std=std)}, None)
        return run(replace(load(plain, objects=objects), models=objects.models), self.folder, **options)

    def check(self, results: Results, baseline: str | Path, **limits: Any) -> Report:
        """Raise AssertionError with all sentences where a gate does not pass. `limits` replace those of the suite.

        Raises BaselineError where the baseline is missing or nothing matches.
        """
        gate = gate_of(results.run.get("gate"), limits)
        report = compare(read_baseline(Path(baseline)), scores_of(results), gate)
        if report.exit_code:
            raise AssertionError(render_report(report, "text"))
        return report
