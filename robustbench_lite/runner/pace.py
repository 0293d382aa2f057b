"""How long a cell will take: as cells took that finished on this machine, else as a pass takes that is timed now."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import ModelError
from robustbench_lite.guards.determinism import deterministic
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.guards.memory import chunked
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical
from robustbench_lite.results.provenance import machine
from robustbench_lite.results.schema import Row
from robustbench_lite.runner._samples import Shown, head
from robustbench_lite.runner.assets import Assets, shown
from robustbench_lite.runner.plan import Cell
from robustbench_lite.threat.goal import Goal

__all__ = ["Pace"]

_LAPS, _ENOUGH = 5, 1.0  # times that a window is timed, but no longer than so many seconds altogether
Key = tuple[str, ...]


@dataclass
class Spent:
    """What finished cells have spent together: passes through each source, images, seconds of the attack."""

    passes: float = 0.0
    images: int = 0
    seconds: float = 0.0

    def add(self, row: Row) -> None:
        """One more finished cell."""
        self.passes += ((row["forwards"] or 0) + (row["backwards"] or 0)) / len(row["sources"] or [1])
        self.images += row["fit_n"] or row["n"]
        self.seconds += row["seconds"] or 0.0


@dataclass
class Pace:
    """Passes and seconds of the cells to come. `finished`: rows of cells; those of other machines say nothing here."""

    assets: Assets
    finished: Iterable[Row] = ()
    clock: Callable[[], float] = time.perf_counter
    _spent: dict[Key, Spent] = field(default_factory=lambda: defaultdict(Spent))
    _timed: dict[Key, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        here = _place(machine(self.assets.device))
        for row in self.finished:
            made = json.loads(row["provenance"] or "{}").get("machine") or {}
            if _place(made) == here and row["device"] == str(self.assets.device):
                for key in _keys(row["dataset"], row["source"], row["attack"], row["params"]):
                    self._spent[key].add(row)

    def passes(self, cell: Cell) -> float:
        """Forwards and backwards per image: of the same attack, on these data and sources if possible; else a guess."""
        exactly, _, attack = self._known(cell)
        known = next((spent for spent in (exactly, attack) if spent.images), None)
        return known.passes / known.images if known else cell.attack.typical_passes

    def seconds(self, cell: Cell) -> float:
        """Of the attack. Raises ModelError where a source cannot be attacked."""
        images = cell.attack.images_to_fit if cell.attack.needs else cell.n
        return images * self.passes(cell) * self._per_pass(cell)

    def slower(self, cell: Cell, threads: int) -> float:
        """How many times as long a pass through its first source takes with fewer threads than this process has."""
        usual = torch.get_num_threads()
        if self.assets.device.type == "cuda" or threads >= usual:
            return 1.0
        with blamed(cell.sources[0], ModelError, "attack"), undisturbed(), deterministic():
            before = self._lap(cell.dataset, cell.sources[0])
            torch.set_num_threads(threads)
            try:
                return max(1.0, self._lap(cell.dataset, cell.sources[0]) / before)
            finally:
                torch.set_num_threads(usual)

    def _per_pass(self, cell: Cell) -> float:
        """Seconds of one pass of one image through all sources."""
        exactly, sources, _ = self._known(cell)
        known = next((spent for spent in (exactly, sources) if spent.passes), None)
        return known.seconds / known.passes if known else sum(self._now(cell.dataset, name) for name in cell.sources)

    def _known(self, cell: Cell) -> tuple[Spent, ...]:
        attack = cell.attack
        names = _keys(cell.dataset, cell.source, attack.title, canonical(attack.params()))
        return tuple(self._spent.get(key, Spent()) for key in names)

    def _now(self, dataset: str, name: str) -> float:
        """Half of one forward and backward pass of an image, timed once in the window that the run will use."""
        if (dataset, name) not in self._timed:
            with blamed(name, ModelError, "attack"), undisturbed(), deterministic():
                self._timed[dataset, name] = self._lap(dataset, name)
        return self._timed[dataset, name]

    def _lap(self, dataset: str, name: str) -> float:
        samples = self.assets.samples(dataset)
        scorer = self.assets.scorer(name, Shown(samples), samples.scene)
        size = scorer.size
        x = shown(head(samples, size), looks=-(-size // len(samples)))[:size].to(scorer.device)
        oracle, laps = Oracle(scorer.module, scorer.device, size), list[float]()
        _pass(oracle, x[:1])  # whatever PyTorch does the first time
        while len(laps) < _LAPS and sum(laps) < _ENOUGH:
            start = self.clock()
            chunked(lambda part: _pass(oracle, x[part]), len(x), size)
            laps.append(self.clock() - start)
        return min(laps) / len(x) / 2


def _place(machine: Mapping[str, Any]) -> list[Any]:
    """What of a machine decides on its pace; how many threads there are changes it by less than another attack does."""
    return [machine.get(name) for name in ("system", "processor", "gpu")]


def _keys(dataset: str, source: str, attack: str, params: str) -> tuple[Key, Key, Key]:
    """What cells are told apart by: all of it, data and sources alone, the attack alone."""
    return (dataset, source, attack, params), (dataset, source, ""), (attack, params)


def _pass(oracle: Oracle, x: torch.Tensor) -> None:
    """One forward and backward pass of images x (n, C, H, W)."""
    oracle.open(len(x))
    view = oracle.differentiate(x)
    view.gradient(Goal(view.logits.argmax(1), view.logits.shape[1]).seed(view.logits))
    oracle.synchronize()
