"""From a suite to cells: one per dataset, attack and set of sources. Pure: ids are hashes of what matters."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from robustbench_lite.datasets.content import content_of
from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.trial import TARGETS
from robustbench_lite.errors import AttackError, RobustbenchError
from robustbench_lite.guards.foreign import trace
from robustbench_lite.registry import canonical, fingerprint
from robustbench_lite.results.schema import SCHEMA_VERSION, Row
from robustbench_lite.runner.beside import identity_of

if TYPE_CHECKING:
    from robustbench_lite.models.base import Classifier
    from robustbench_lite.runner.assets import Assets
    from robustbench_lite.runner.probing import Probe
    from robustbench_lite.suite.builder import AttackEntry, DataEntry, Suite
    from robustbench_lite.trust.certificates import Certify

__all__ = ["Cell", "experiments", "labels", "plan", "renamed"]

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
    stage: str = ""  # and when, and the traceback of a user's code behind it
    traceback: str = ""
    probes: dict[str, Probe] = field(default_factory=dict)  # what classifiers of the user's own code say, some logits
    certify: Certify | None = None  # what is to be proven before it is attacked

    @property
    def source(self) -> str:
        """The sources in one word, as rows have it."""
        return "+".join(self.sources)


def plan(suite: Suite, assets: Assets) -> tuple[Cell, ...]:
    """All cells of the suite. What cannot be loaded becomes a cell with an `error`."""
    planner = _Planner(assets)
    return tuple(_told_apart([planner.cell(*parts) for parts in experiments(suite)]))


def _told_apart(cells: Sequence[Cell]) -> Iterator[Cell]:
    """The same; where a suite has two names for one classifier, dataset or attack, those names are in the ids."""
    count = Counter(cell.id for cell in cells)
    for cell in cells:
        names = [cell.dataset, list(cell.sources), list(cell.targets), cell.variant]
        yield cell if count[cell.id] == 1 else replace(cell, id=fingerprint([cell.id, names]))


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


@dataclass
class _Planner:
    """Names cells. Of each dataset and classifier it is asked once what changes an outcome."""

    assets: Assets
    _data: dict[str, _Data] = field(default_factory=dict)
    _facts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def cell(self, data: DataEntry, sources: Names, targets: Names, entry: AttackEntry) -> Cell:
        """One cell; what cannot be loaded becomes its `error`."""
        suite, attack = self.assets.suite, entry.attack
        everyone = self.assets.models if data.source.keep != "all" else ()
        involved = tuple(dict.fromkeys((*sources, *targets, *everyone)))
        facts: dict[str, dict[str, Any]] = {name: {"weights": "", "unavailable": name} for name in involved}
        selected, more = _Data(), dict[str, Any]()
        probes: dict[str, Probe] = {}
        problem: RobustbenchError | None = None
        try:
            selected = self.selected(data.name)
            facts = {name: self.facts(name) for name in involved}
            more = _more(self.assets, data.name, attack)
            if (named := attack.named) is not None:
                more["beside"] = [
                    identity_of(named, self.assets, self.assets.classifier(name)) for name in (*sources, *targets)
                ]
            probes = {name: probe for name in involved if (probe := self.assets.probe(data.name, name))}
        except RobustbenchError as error:
            problem = error
        wanted = self.assets.wanted(data.name) if selected.n else data.source.samples
        identity = {
            "schema": SCHEMA_VERSION,
            "ids": selected.ids,
            "samples": selected.content,
            "keep": [data.source.keep, wanted, _sorted(facts, everyone)] if everyone else data.source.keep,
            "sources": [facts[name] for name in sources] if attack.shares else _sorted(facts, sources),
            "targets": _sorted(facts, targets),
            "attack": attack.fingerprint(),
            "seed": suite.seed,
        }
        if attack.target == "random":
            identity["stream"] = TARGETS  # they once depended on the attack's parameters
        certify = suite.certify if suite.certify and suite.certify.asks(attack, sources[0]) else None
        if certify is not None:
            identity["certify"] = certify.identity()
        return Cell(
            id=fingerprint(identity | more),
            suite=suite.name,
            dataset=data.name,
            data=canonical({**data.source.params(), "ids": selected.ids}),
            n=min(selected.n, wanted) if wanted is not None else selected.n,
            sources=sources,
            targets=targets,
            attack=attack,
            variant=entry.variant,
            seed=suite.seed,
            weights={name: facts[name]["weights"] for name in involved if facts[name]["weights"]},
            error=str(problem) if problem else "",
            stage=problem.stage or "load" if problem else "",
            traceback=problem.traceback or trace(problem) if problem else "",
            probes=probes,
            certify=certify,
        )

    def selected(self, name: str) -> _Data:
        """What is known of the samples of a dataset. Raises DataError."""
        if name not in self._data:
            samples = self.assets.samples(name)
            self._data[name] = _Data(len(samples.ids), fingerprint(list(samples.ids)), content_of(samples))
        return self._data[name]

    def facts(self, name: str) -> dict[str, Any]:
        """What of a classifier changes an outcome. Raises ModelError."""
        if name not in self._facts:
            self._facts[name] = _facts(self.assets.classifier(name))
        return self._facts[name]


@dataclass(frozen=True)
class _Data:
    """The samples that are selected: how many, and hashes of their ids and of what they are."""

    n: int = 0
    ids: str = fingerprint([])
    content: str = ""


def _more(assets: Assets, data: str, attack: Attack) -> dict[str, Any]:
    """What else changes the outcome of some attacks: samples left out, others to fit on, an object's photographs."""
    samples, more = assets.samples(data), dict[str, Any]()
    if text := attack.lacking or attack.too_far(samples.images.shape[1:]):
        problem = AttackError(text)
        problem.stage = "plan"
        raise problem
    if isinstance(attack.target, int) and attack.target in samples.labels:
        more["without"] = "target"  # samples of the target's own class
    if attack.images_to_fit:
        fitting = assets.fitting(data, attack.images_to_fit)
        more["fit"] = [fingerprint(list(fitting.ids)), content_of(fitting)]
    if samples.scene is not None and isinstance(samples.scene, attack.needs or ()):
        more |= samples.scene.content()
    return more


def _facts(classifier: Classifier) -> dict[str, Any]:
    """What of a classifier changes an outcome; a user's code has no architecture's name but that of its file."""
    card = classifier.card.model_dump(mode="json", include={"mean", "std", "size"})
    arch = {} if classifier.opaque else {"arch": classifier.card.arch}
    return {"weights": classifier.weights, "code": classifier.code, **arch, **card}


def _sorted(facts: dict[str, dict[str, Any]], names: Names) -> list[dict[str, Any]]:
    return sorted((facts[name] for name in names), key=canonical)


def labels(cell: Cell) -> Row:
    """The columns of a cell that say what a suite calls things; they change no outcome."""
    return {
        "suite": cell.suite,
        "dataset": cell.dataset,
        "data": cell.data,
        "source": cell.source,
        "sources": list(cell.sources),
        "models": list(cell.targets),
        "weights": canonical(cell.weights),
        "variant": cell.variant,
    }


def renamed(cell: Cell, row: Row) -> dict[str, str] | None:
    """What the classifiers of a stored cell are called now; None where that cannot be told from their content."""
    if (row["sources"], row["models"]) == (list(cell.sources), list(cell.targets)):
        return {name: name for name in cell.targets}
    before, now = json.loads(row["weights"] or "{}"), {weights: name for name, weights in cell.weights.items()}
    if len(now) < len(cell.weights) or sorted(before.values()) != sorted(now):
        return None
    names = {name: now[weights] for name, weights in before.items()}
    moved = [{names.get(name) for name in row[key]} for key in ("sources", "models")]
    return names if moved == [set(cell.sources), set(cell.targets)] else None
