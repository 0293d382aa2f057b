"""From the generators of a suite to cells. Ids are hashes of what changes an outcome, not of names and paths."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustbench_lite.errors import RobustbenchError, UsageError
from robustbench_lite.generators import architectures, loaded, mixtures, objectives, zoo
from robustbench_lite.generators.recipe import Recipe
from robustbench_lite.guards.foreign import trace
from robustbench_lite.models import zoo as classifiers
from robustbench_lite.registry import canonical, fingerprint
from robustbench_lite.results.schema import Row
from robustbench_lite.runner.apart import told_apart
from robustbench_lite.suite.generators import GeneratorEntry, Judged

if TYPE_CHECKING:
    from robustbench_lite.suite.builder import Suite

__all__ = ["FEWEST", "POINTS", "GeneratorCell", "generator_cells"]

VERSION = 1  # of training and scores: part of a cell's id
FEWEST = 16  # images of which anything can be said
POINTS = 2500  # of a mixture that are judged
_UNNAMED = {"name", "dataset", "save_every", *("train", "test", "judge", "architecture", "objective", "points")}


@dataclass(frozen=True)
class GeneratorCell:
    """One generator: trained by `recipe`, or the bundled one; `judged` says how its images are looked at."""

    id: str
    suite: str
    name: str
    dataset: str
    recipe: Recipe | None
    bundled: str
    judged: Judged
    n: int  # images judged, at most
    seed: int  # of those images
    data: str = ""  # canonical JSON: content hashes
    judge_weights: str = ""
    error: str = ""  # why it cannot even be planned
    traceback: str = ""

    kind: ClassVar[str] = "generators"  # of `MADE`

    @property
    def names(self) -> Row:
        """What it is called, which decides no outcome."""
        return {"suite": self.suite, "name": self.name, "dataset": self.dataset}

    @property
    def what(self) -> str:
        """What is trained, or judged."""
        return self.name if self.bundled else f"{self.architecture} under {self.objective}"

    @property
    def architecture(self) -> str:
        return next(iter((self.recipe or zoo.card(self.bundled)).architecture))

    @property
    def objective(self) -> str:
        return next(iter((self.recipe or zoo.card(self.bundled)).objective))

    @property
    def size(self) -> tuple[int, ...]:
        return (self.recipe or zoo.card(self.bundled)).size

    @property
    def steps(self) -> int:
        return (self.recipe or zoo.card(self.bundled)).steps


def generator_cells(suite: Suite, limit: int | None = None) -> tuple[GeneratorCell, ...]:
    """A cell for each generator of the suite, nothing trained. Raises UsageError for a limit that is too small."""
    if suite.generators and limit is not None and limit < FEWEST:
        raise UsageError(f"--limit: generators are judged by {FEWEST} images at least, got {limit}")
    hashes: dict[str, str] = {}
    cells = [_cell(suite, entry, limit, hashes) for entry in suite.generators]
    ids = told_apart([(cell.id, cell.name) for cell in cells])
    return tuple(replace(cell, id=own) for cell, own in zip(cells, ids, strict=True))


def _cell(suite: Suite, entry: GeneratorEntry, limit: int | None, hashes: dict[str, str]) -> GeneratorCell:
    todo, judged = entry.recipe, entry.judged
    n = min(POINTS if todo is not None and todo.points else judged.images, limit or judged.images + POINTS)
    dataset = zoo.card(entry.bundled).dataset if todo is None else todo.dataset
    cell = GeneratorCell("", suite.name, entry.name, dataset, todo, entry.bundled, judged, n, suite.seed)
    weights = classifiers.card(judged.judge).sha256 if judged.judge else ""
    cell = replace(cell, judge_weights=weights)
    try:
        data = canonical(_content(judged, suite.root, hashes))
    except RobustbenchError as error:
        unavailable = fingerprint([_what(cell), "unavailable", judged.model_dump(mode="json")])
        return replace(cell, id=unavailable, error=str(error), traceback=error.traceback or trace(error))
    return replace(cell, id=fingerprint([_what(cell), data]), data=data)


def _content(judged: Judged, root: Path, hashes: dict[str, str]) -> dict[str, Any]:
    """Hashes of the pixels that are learnt from and compared with. Raises DataError."""
    train = [_hash(source, root, hashes) for source in judged.train]
    test = {} if judged.test is None else {"test": _hash(judged.test, root, hashes)}
    return ({"train": train} if train else {}) | test


def _hash(source: dict[str, Any], root: Path, hashes: dict[str, str]) -> str:
    key = canonical(source)
    if key not in hashes:
        images = loaded(source, root).images
        digest = hashlib.sha256(f"{images.dtype}|{images.shape}|".encode())
        digest.update(np.ascontiguousarray(images).tobytes())
        hashes[key] = digest.hexdigest()[:16]
    return hashes[key]


def _what(cell: GeneratorCell) -> dict[str, Any]:
    """Everything about a cell that changes its outcome, the data aside."""
    told = {"version": VERSION, "n": cell.n, "seed": cell.seed, "judge": cell.judge_weights, "pad": cell.judged.pad}
    if cell.recipe is None:
        return told | {"bundled": zoo.card(cell.bundled).sha256}
    todo = cell.recipe
    parts = ((architectures, todo.architecture), (objectives, todo.objective), (mixtures, todo.points))
    nets = [[name, registry.build(name, params).params()] for registry, one in parts for name, params in one.items()]
    since = {"anneal"} if not todo.anneal else set()  # ids from before there was such a key are those without it
    return told | {"recipe": todo.model_dump(mode="json", exclude=_UNNAMED | since), "nets": nets}
