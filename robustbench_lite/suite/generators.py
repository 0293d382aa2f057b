"""The `generators:` of a suite: bundled ones that are judged, and trainings, matrices expanded, each with its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from robustbench_lite.datasets import bundled
from robustbench_lite.datasets.base import datasets
from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.generators import architectures, mixtures, objectives, zoo
from robustbench_lite.generators.recipe import Recipe, recipe, recipes
from robustbench_lite.models import zoo as classifiers
from robustbench_lite.registry import Config, Records
from robustbench_lite.suite._written import entry_of, expanded, origins, text_of, told_apart
from robustbench_lite.suite.records import Parts, kind_of
from robustbench_lite.suite.yaml import Key

__all__ = ["OWN", "GeneratorEntry", "Judged", "entries"]

NETS: dict[str, Records[Any]] = {"architecture": architectures, "objective": objectives, "points": mixtures}
OWN = ("generator", "recipe", "as", "matrix", "exclude", "images")  # keys beside those of a recipe
_WRITTEN = ("name", "dataset")  # keys of a recipe that a suite need not say


class Judged(Config):
    """What generated images are compared with, and by whom."""

    test: dict[str, Any] | None = Field(None, description="Real images that nobody trained on.")
    train: tuple[dict[str, Any], ...] = Field((), description="What it learnt from: copies are looked for there.")
    pad: NonNegativeInt = Field(0, description="Black pixels around every image, which classifiers do not see.")
    judge: str = Field("", description="Classifier of the zoo by which generated images are scored.")
    images: PositiveInt = Field(2000, description="Judged at most; half of the test images where those are fewer.")


@dataclass(frozen=True)
class GeneratorEntry:
    """A generator, what this suite calls it, and how it is judged."""

    name: str
    recipe: Recipe | None  # null: it is bundled, and nothing is trained
    bundled: str
    judged: Judged


def entries(parts: Parts) -> tuple[GeneratorEntry, ...]:
    """The generators of a suite, its matrices expanded."""
    found: list[tuple[Key, str | None, GeneratorEntry]] = []
    for i, entry in enumerate(parts.items("generators")):
        for path, label, params in _written(parts, ("generators", i), entry):
            if (built := _built(parts, path, params)) is not None:
                found.append((path, label, built))
    names = _names([(label, one) for _, label, one in found])
    parts.unique("generator", [(path, name) for (path, _, _), name in zip(found, names, strict=True)])
    return tuple(
        GeneratorEntry(name, one.recipe, one.bundled, one.judged)
        for name, (_, _, one) in zip(names, found, strict=True)
    )


def _written(parts: Parts, path: Key, entry: Any) -> Iterator[tuple[Key, str | None, dict[str, Any]]]:
    """(path, label, parameters) of an entry; a matrix becomes one for each of its combinations."""
    if isinstance(entry, str):
        known = [*zoo.available(), *recipes()]
        if entry in known:
            yield path, entry, {"generator" if entry in zoo.available() else "recipe": entry}
        else:
            parts.wrong(path, f"unknown generator or recipe '{entry}'{did_you_mean(entry, known)}")
        return
    if not isinstance(entry, dict):
        parts.wrong(path, f"expected a generator's name or a mapping, got {kind_of(entry)}")
        return
    for label, params, matrix in expanded(parts, path, entry):
        said = " ".join(_among(key, params[key], values) for key, values in matrix.items())
        yield path, label and f"{label} {said}".rstrip(), params


def _built(parts: Parts, path: Key, params: dict[str, Any]) -> GeneratorEntry | None:
    """The entry that parameters mean, its name aside."""
    if "generator" in params:
        return _bundled(parts, path, params)
    known = _recipe_of(parts, path, params.get("recipe"))
    if known is None:
        return None
    most = Judged.model_fields["images"].default
    own = {key: value for key, value in params.items() if key not in OWN}
    for key in NETS:
        if key in own:
            own[key] = entry_of(own[key])
    todo = parts.built(Recipe, _completed(parts, known | own), path, origins(parts, path))
    judged = _judged_of(parts, path, todo, params.get("images", most)) if todo is not None else None
    if todo is None or judged is None or not _sound(parts, path, todo):
        return None
    return GeneratorEntry(str(params.get("recipe", "")), todo, "", judged)


def _recipe_of(parts: Parts, path: Key, name: Any) -> dict[str, Any] | None:
    """What the committed recipe of this name says; none is named: nothing. None where there is none of this name."""
    if name is None:
        return {}
    try:
        return recipe(str(name)).model_dump(exclude_unset=True)
    except UsageError as error:
        parts.wrong((*path, "recipe"), str(error))
        return None


def _completed(parts: Parts, params: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a recipe with what the suite says for it: its seed, and what images are called."""
    points, train = params.get("points"), params.get("train") or [{}]
    first = train[0] if isinstance(train, list | tuple) and isinstance(train[0], dict) else {}
    said = next((str(value) for key, value in first.items() if key in datasets), "")
    named = next(iter(points), "") if isinstance(points, dict) else said.lower().replace("-", "_")
    rest = {"size": (2,)} if points else {}
    seed = parts.marked.data.get("seed")
    return {"name": "generator", "dataset": named, **rest, "seed": seed if isinstance(seed, int) else 0, **params}


def _judged_of(parts: Parts, path: Key, todo: Recipe, images: Any) -> Judged | None:
    facts = {"test": todo.test, "train": todo.train, "pad": todo.pad, "judge": todo.judge, "images": images}
    return parts.built(Judged, facts, path, origins(parts, path))


def _bundled(parts: Parts, path: Key, params: dict[str, Any]) -> GeneratorEntry | None:
    """One that is shipped: by default judged by its card's classifier, on bundled images of its dataset."""
    name = params["generator"]
    if name not in zoo.available():
        parts.wrong((*path, "generator"), f"unknown generator '{name}'{did_you_mean(str(name), zoo.available())}")
        return None
    card = zoo.card(name)
    facts: dict[str, Any] = {"judge": card.classifier}
    if card.dataset in {one.name for one in bundled.available()} and len(card.size) == 3:
        facts |= {"test": {"bundled": card.dataset}, "pad": recipe(name).pad}
    own = {key: value for key, value in params.items() if key != "generator"}
    judged = parts.built(Judged, facts | own, path, origins(parts, path))
    if judged is None or not _judge_sound(parts, path, judged):
        return None
    return GeneratorEntry(name, None, name, judged)


def _sound(parts: Parts, path: Key, todo: Recipe) -> bool:
    """Whether all that a recipe names is there under its name; says what is not."""
    before = len(parts.problems)
    places = origins(parts, path)
    for key, registry in NETS.items():
        entry: Mapping[str, Any] = getattr(todo, key)
        place = (*places.get(key, path), key)
        if len(entry) > 1 or (not entry and key != "points"):
            parts.wrong(place, f"{key}: expected one name, or one {{name: parameters}}, got {list(entry)}")
        for name, params in entry.items():
            parts.record(registry, name, params, (*place, name))
    for i, source in enumerate(todo.train):
        _source(parts, (*path, "train", i), source)
    return len(parts.problems) == before and _judge_sound(parts, path, Judged(test=todo.test, judge=todo.judge))


def _judge_sound(parts: Parts, path: Key, judged: Judged) -> bool:
    before = len(parts.problems)
    if judged.judge and judged.judge not in classifiers.available():
        hint = did_you_mean(judged.judge, classifiers.available())
        parts.wrong((*path, "judge"), f"judge: unknown classifier '{judged.judge}'{hint}")
    if judged.test is not None:
        _source(parts, (*path, "test"), judged.test)
    return len(parts.problems) == before


def _source(parts: Parts, path: Key, source: dict[str, Any]) -> None:
    """Images, whose files are looked for where the others are."""
    kind = next((key for key in source if key in datasets), None)
    if kind is None:
        parts.wrong(path, f"expected a source of data, one of {', '.join(datasets)}, got {list(source)}")
    else:
        parts.record(datasets, kind, source, path)


def _names(found: list[tuple[str | None, GeneratorEntry]]) -> list[str]:
    """Labels: as given, else objective and architecture, with what tells namesakes apart."""
    unlabelled = [(_title(one), _told(one)) for label, one in found if label is None]
    names = iter(told_apart(unlabelled))
    return [label or next(names) for label, _ in found]


def _title(one: GeneratorEntry) -> str:
    if one.name or one.recipe is None:
        return one.name
    return f"{next(iter(one.recipe.objective))} {next(iter(one.recipe.architecture))}"


def _told(one: GeneratorEntry) -> dict[str, Any]:
    """What can tell an entry from its namesakes."""
    own = {} if one.recipe is None else one.recipe.model_dump(mode="json", exclude=set(_WRITTEN))
    return own | one.judged.model_dump(mode="json")


def _among(key: str, value: Any, others: list[Any]) -> str:
    """What tells a value of a matrix from its others: of networks their name, where that is enough."""
    if key not in NETS:
        return f"{key}={text_of(value)}"
    names = ["".join(other) if isinstance(other, dict) else str(other) for other in others]
    return text_of(value) if len(set(names)) < len(names) else "".join(value)
