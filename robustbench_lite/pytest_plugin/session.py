"""One run of a suite for many gates that are asked one by one, perhaps by several processes: what the plugin drives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from robustbench_lite.engine.drive import Outcome
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import BaselineError, StoreError
from robustbench_lite.gate.baseline import Baseline, baseline_of, read_baseline, write_baseline
from robustbench_lite.gate.pairing import Report, Verdict, check
from robustbench_lite.gate.rules import Limits
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.guards.locking import UnlockableError, exclusive
from robustbench_lite.registry import canonical
from robustbench_lite.results.store import Results, read
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.cell_trial import prepare
from robustbench_lite.runner.execute import attack
from robustbench_lite.runner.plan import Cell, experiments, plan
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.run import Options, device_named, run_suite
from robustbench_lite.suite.builder import Suite, load

__all__ = ["GateSession", "Planned", "Timed"]

Key = tuple[str, ...]
_TIMED = 64  # samples of a benchmark


@dataclass(frozen=True)
class Planned:
    """A gate before anything has run. `id` depends on nothing but its own names."""

    key: Key
    id: str
    dataset: str
    model: str
    attack: str
    variant: str


@dataclass(frozen=True)
class Timed:
    """One attack that can be run again and again."""

    run: Callable[[], tuple[Outcome, Oracle]]
    n: int
    limits: Limits


@dataclass
class GateSession:
    """A suite, its baseline, and where results go. Raises SuiteError or BaselineError as soon as it is made."""

    suite: Suite
    baseline: Path
    update: bool = False
    device: str = "auto"

    @classmethod
    def of(cls, suite: Path, baseline: Path, *, update: bool = False, device: str = "auto") -> GateSession:
        session = cls(load(suite), baseline, update, device)
        session.before  # noqa: B018  (a missing baseline is said before anything runs)
        return session

    @cached_property
    def before(self) -> Baseline:
        return Baseline((), {}) if self.update else read_baseline(self.baseline)

    @cached_property
    def gates(self) -> tuple[Planned, ...]:
        """Those of the suite, then those that only the baseline has: they must not vanish without a word."""
        own = {gate.key: gate for gate in _planned(self.suite)}
        lone = [one for one in self.before.scores if one.key not in own]
        names = {gate.id for gate in own.values()}
        for one in lone:
            gate = _gate(one.key, one.variant)
            taken = gate.id in names  # the same names with other parameters
            own[one.key] = Planned(**(vars(gate) | {"id": f"{gate.id} of the baseline"})) if taken else gate
        return tuple(own.values())

    def report(self, selected: frozenset[Key], folder: Path, token: str = "") -> Report:
        """Run the selected gates in `folder`, and judge them; the correction is over those.

        `token`: what processes of one session share; the first of them runs, the others wait and read.
        """
        with _turn(folder):
            results = self._results(selected, folder, token)
            if self.update and not (token and _stamp(folder) == token):
                write_baseline(baseline_of(results), self.baseline)
            if token:
                (folder / ".token").write_text(token, encoding="utf-8")
        before = read_baseline(self.baseline) if self.update else self.before
        return check(before, scores_of(results), self.suite.gate, selected)

    def _results(self, selected: frozenset[Key], folder: Path, token: str) -> Results:
        if token and _stamp(folder) == token:
            return read(folder / self.suite.name)
        only = lambda cell: not selected.isdisjoint(_keys(cell))
        return run_suite(self.suite, Options(results=folder, device=self.device, only=only, timing=False))

    def verdict(self, report: Report, gate: Planned) -> Verdict:
        """The verdict on one gate. Raises BaselineError where the report has none."""
        for verdict in report.verdicts:
            if gate.key in verdict.keys:
                return verdict
        raise BaselineError(f"{gate.id}: nothing was run and nothing is in the baseline")

    @cached_property
    def _plan(self) -> tuple[Preflight, tuple[Cell, ...]]:
        assets = Assets(self.suite, device_named(self.device), limit=_TIMED)
        with deterministic():
            return Preflight(assets), plan(self.suite, assets)

    def timed(self, gate: Planned) -> Timed:
        """The gate's attack on 64 samples at most. Raises RobustbenchError where it cannot be run."""
        preflight, cells = self._plan
        cell = next((cell for cell in cells if gate.key in _keys(cell)), None)
        if cell is None:
            raise BaselineError(f"{gate.id}: the suite has no such cell to be timed")
        with deterministic():
            trial = prepare(cell, preflight)

        @deterministic()
        def once() -> tuple[Outcome, Oracle]:
            return attack(trial)

        return Timed(once, len(trial.ids), self.suite.gate.limits(gate))


def _planned(suite: Suite) -> Iterator[Planned]:
    for data, sources, targets, entry in experiments(suite):
        for model in targets:
            key = (data.name, "+".join(sources), model, entry.attack.title, canonical(entry.attack.params()))
            yield _gate(key, entry.variant)


def _gate(key: Key, variant: str) -> Planned:
    dataset, source, model, attack, _ = key
    seen = "" if source == model else f"-through-{source}"
    name = f"{dataset}-{model}{seen}-{variant}"
    for taken, free in (("::", ":"), ("[", "("), ("]", ")")):  # pytest takes node ids apart at these
        name = name.replace(taken, free)
    return Planned(key, name, dataset, model, attack, variant)


def _keys(cell: Cell) -> set[Key]:
    params = canonical(cell.attack.params())
    return {(cell.dataset, cell.source, model, cell.attack.title, params) for model in cell.targets}


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """One process at a time; the others wait. Raises StoreError where nothing can be locked."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(exclusive(folder / ".turn", wait=True))
        except UnlockableError as error:
            raise StoreError(f"{folder}: {error}; gates run there") from None
        yield


def _stamp(folder: Path) -> str:
    path = folder / ".token"
    return path.read_text(encoding="utf-8") if path.exists() else ""
