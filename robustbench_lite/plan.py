"""From a suite to cells: one per dataset, attack and source. Pure: nothing runs, ids are hashes of what matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustbench_lite.attack import Attack
from robustbench_lite.errors import RobustbenchError
from robustbench_lite.record import SCHEMA_VERSION
from robustbench_lite.registry import canonical, fingerprint

if TYPE_CHECKING:
    from robustbench_lite.bench import Bench
    from robustbench_lite.suite import AttackEntry, DataEntry, Suite

__all__ = ["Cell", "plan"]


@dataclass(frozen=True)
class Cell:
    """One experiment: `attack` against `source` on a selection of data, scored on `targets`."""

    id: str
    suite: str
    dataset: str
    data: str  # canonical JSON of the selection
    n: int
    source: str
    targets: tuple[str, ...]
    attack: Attack
    variant: str
    seed: int
    weights: dict[str, str]
    error: str = ""  # why it cannot even be planned


def plan(suite: Suite, bench: Bench) -> tuple[Cell, ...]:
    """All cells of the suite, classifier by classifier. What cannot be loaded becomes a cell with an `error`."""
    return tuple(_cells(suite, bench))


def _cells(suite: Suite, bench: Bench) -> Iterator[Cell]:
    for data in suite.data:
        for model in suite.models:
            for entry in suite.attacks:
                yield _cell(suite, bench, data, model.title, entry)


def _cell(suite: Suite, bench: Bench, data: DataEntry, model: str, entry: AttackEntry) -> Cell:
    error = ""
    ids: tuple[str, ...] = ()
    weights: dict[str, str] = {}
    card: dict[str, Any] = {}
    try:
        ids = bench.samples(data.name).ids
        classifier = bench.classifier(model)
        weights = {model: classifier.weights}
        card = classifier.card.model_dump(mode="json", include={"mean", "std", "arch", "size"})
    except RobustbenchError as problem:
        error, card = str(problem), {"unavailable": model}
    selection = {**data.source.params(), "ids": fingerprint(list(ids))}
    identity = {
        "schema": SCHEMA_VERSION,
        "ids": selection["ids"],
        "keep": data.source.keep,
        "weights": sorted(weights.values()),
        "card": card,
        "attack": entry.attack.fingerprint(),
        "seed": suite.seed,
    }
    return Cell(
        id=fingerprint(identity),
        suite=suite.name,
        dataset=data.name,
        data=canonical(selection),
        n=len(ids),
        source=model,
        targets=(model,),
        attack=entry.attack,
        variant=entry.variant,
        seed=suite.seed,
        weights=weights,
        error=error,
    )
