"""The fixture `robustness`: run a suite in a test, on a module at hand, and check it against a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import UsageError
from robustbench_lite.gate.baseline import read_baseline, scores_of
from robustbench_lite.gate.pairing import Report
from robustbench_lite.gate.pairing import check as compare
from robustbench_lite.gate.render import render_report
from robustbench_lite.gate.rules import gate_of
from robustbench_lite.lazy import torch
from robustbench_lite.models.memory import Memory
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import Suite, load

if TYPE_CHECKING:
    from torch import nn

    from robustbench_lite.results.store import Results

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
        loaded = _load(suite, None if model is None else name)
        if model is not None:
            facts = {"name": name, "mean": mean, "std": std, **_shape(loaded, model)}
            loaded = replace(loaded, models=(Memory.of(model, **facts),))
        return run_suite(loaded, Options(results=self.folder, **options))

    def check(self, results: Results, baseline: str | Path, **limits: Any) -> Report:
        """Raise AssertionError with all sentences where a gate does not pass. `limits` replace those of the suite.

        Raises BaselineError where the baseline is missing or nothing matches.
        """
        gate = gate_of(results.run.get("gate"), limits)
        report = compare(read_baseline(Path(baseline)), scores_of(results), gate)
        if report.exit_code:
            raise AssertionError(render_report(report, "text"))
        return report


def _load(suite: str | Path | Mapping[str, Any], name: str | None) -> Suite:
    if not isinstance(suite, Mapping):
        return load(Path(suite))
    if name is None:
        return load(suite)
    stand_in = {"python": f"memory:{name}", "name": name, "size": [1, 1, 1], "classes": 2, "trust": True}
    return load({**suite, "models": [stand_in]})


def _shape(suite: Suite, model: nn.Module) -> dict[str, Any]:
    """What a classifier must state, seen on one image of the suite's data."""
    first = suite.data[0].source.load(suite.root)
    size = tuple(first.images.shape[1:])
    training = [part for part in model.modules() if part.training]
    try:
        weight = next(model.parameters(), torch.zeros(()))
        with torch.no_grad():
            out = model.eval()(torch.full((1, *size), 0.5, device=weight.device))
    finally:
        for part in training:
            part.training = True
    if isinstance(out, torch.Tensor) and out.numel() == 1:  # one logit
        return {"size": size, "classes": 1}
    if not isinstance(out, torch.Tensor) or out.ndim != 2:
        raise UsageError(
            f"model: expected logits (1, K) for an image of {list(size)}, got {getattr(out, 'shape', out)}"
        )
    return {"size": size, "classes": out.shape[1]}
