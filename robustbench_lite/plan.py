"""From a suite to cells: one per dataset, attack and set of sources. Pure: ids are hashes of what matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustbench_lite.attack import Attack, FittedAttack, StickerAttack
from robustbench_lite.errors import RobustbenchError
from robustbench_lite.record import SCHEMA_VERSION
from robustbench_lite.registry import canonical, fingerprint
from robustbench_lite.transforms.shots import Shots

if TYPE_CHECKING:
    from robustbench_lite.bench import Bench
    from robustbench_lite.suite import AttackEntry, DataEntry, Suite

__all__ = ["TARGETS", "Cell", "experiments", "plan"]

TARGETS = "targets"  # the stream of random targets: of the suite's seed and the sample, whatever the attack
Names = tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One experiment: `attack` against `sources` on a selection of data, scored on `targets`."""

    id: str
    suite: str
    dataset: str
    data: str  # canonical JSON of the selection
    n: int  # samples wanted; `keep` may leave fewer
    sources: Names
    targets: Names
    attack: Attack
    variant: str
    seed: int
    weights: dict[str, str]
    error: str = ""  # why it cannot even be planned

    @property
    def source(self) -> str:
        """The sources in one word, as rows have it."""
        return "+".join(self.sources)


def plan(suite: Suite, bench: Bench) -> tuple[Cell, ...]:
    """All cells of the suite. What cannot be loaded becomes a cell with an `error`."""
    return tuple(_cells(suite, bench))


def _cells(suite: Suite, bench: Bench) -> Iterator[Cell]:
    for data, sources, targets, entry in experiments(suite):
        yield _cell(suite, bench, data, sources, targets, entry)


def experiments(suite: Suite) -> Iterator[tuple[DataEntry, Names, Names, AttackEntry]]:
    """(data, sources, targets, attack) of every cell, before anything is loaded.

    Classifier by classifier, then the attacks on several at once.
    """
    names = tuple(model.title for model in suite.models)
    for data in suite.data:
        for model in names:
            for entry in suite.attacks:
                if entry.attack.sources in {None, "single"}:
                    targets = (model,) if entry.attack.sources is None else names
                    yield data, (model,), targets, entry
        for entry in suite.attacks:
            for sources in _sets(entry.attack, names):
                yield data, sources, names, entry


def _sets(attack: Attack, names: Names) -> list[Names]:
    """The sets of sources of an attack that sees several classifiers."""
    if attack.sources == "leave_one_out":
        return [tuple(other for other in names if other != left) for left in names]
    if attack.sources == "all":
        return [names]
    return [attack.sources] if isinstance(attack.sources, tuple) else []


def _cell(suite: Suite, bench: Bench, data: DataEntry, sources: Names, targets: Names, entry: AttackEntry) -> Cell:
    error = ""
    ids: tuple[str, ...] = ()
    kept = data.source.keep != "all"
    everyone = tuple(model.title for model in suite.models) if kept else ()
    involved = tuple(dict.fromkeys((*sources, *targets, *everyone)))
    facts: dict[str, Any] = {}
    try:
        ids = bench.samples(data.name).ids
        facts = {name: _facts(bench, name) for name in involved}
    except RobustbenchError as problem:
        error, facts = str(problem), {name: {"weights": "", "unavailable": name} for name in involved}
    wanted = bench.wanted(data.name) if ids else data.source.samples
    selection = {**data.source.params(), "ids": fingerprint(list(ids))}
    identity = {
        "schema": SCHEMA_VERSION,
        "ids": selection["ids"],
        "keep": [data.source.keep, wanted, _sorted([facts[name] for name in everyone])] if kept else data.source.keep,
        "sources": [facts[name] for name in sources] if entry.attack.shares else _sorted([facts[n] for n in sources]),
        "targets": _sorted([facts[name] for name in targets]),
        "attack": entry.attack.fingerprint(),
        "seed": suite.seed,
    }
    if not error and isinstance(entry.attack.target, int) and entry.attack.target in bench.samples(data.name).labels:
        identity["without"] = "target"  # samples of the target's own class
    if entry.attack.target == "random":
        identity["stream"] = TARGETS  # they once depended on the attack's parameters
    if isinstance(entry.attack, FittedAttack) and not error:
        try:
            identity["fit"] = fingerprint(list(bench.fitting(data.name, entry.attack.fit).ids))
        except RobustbenchError as problem:
            error = str(problem)
    scene = None if error else bench.samples(data.name).scene
    if isinstance(entry.attack, StickerAttack) and isinstance(scene, Shots):
        identity["scene"] = scene.identity
    return Cell(
        id=fingerprint(identity),
        suite=suite.name,
        dataset=data.name,
        data=canonical(selection),
        n=min(len(ids), wanted) if wanted is not None else len(ids),
        sources=sources,
        targets=targets,
        attack=entry.attack,
        variant=entry.variant,
        seed=suite.seed,
        weights={name: facts[name]["weights"] for name in involved if facts[name]["weights"]},
        error=error,
    )


def _facts(bench: Bench, name: str) -> dict[str, Any]:
    """What of a classifier changes an outcome."""
    classifier = bench.classifier(name)
    card = classifier.card.model_dump(mode="json", include={"mean", "std", "arch", "size"})
    return {"weights": classifier.weights, **card}


def _sorted(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(parts, key=canonical)
