"""JSON schemas of what a suite holds, from the records that its entries become."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from robustbench_lite.datasets import bundled, on_demand
from robustbench_lite.datasets.base import datasets
from robustbench_lite.engine.attack import attacks
from robustbench_lite.gate.rules import Gate, Rule
from robustbench_lite.generators import zoo as generated
from robustbench_lite.generators.recipe import Recipe, recipes
from robustbench_lite.models import archs, zoo
from robustbench_lite.models.base import models
from robustbench_lite.models.defense import defenses
from robustbench_lite.registry import Config, Records
from robustbench_lite.sparse_coding import MODELS, designs
from robustbench_lite.suite.generators import NETS, Judged
from robustbench_lite.suite.sparse_coding import Measurement
from robustbench_lite.transforms.distribution import operations
from robustbench_lite.trust.certificates import METHODS, Certify

__all__ = [
    "TEXT",
    "Schema",
    "attack",
    "certify",
    "classifier",
    "data",
    "defaults",
    "defense",
    "distribution",
    "gate",
    "generator",
    "sparse_coding",
]

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
_ANYTHING: Schema = {}
# pydantic writes bounds like this where a number may also be a fraction in text
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def defaults() -> Schema:
    """Parameters by attack."""
    return _object({name: _params(attacks[name]) for name in attacks})


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    out: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return out | ({"required": list(required)} if required else {})


def _standard(part: Schema) -> Schema:
    """The same with the names of JSON schema for bounds, inside alternatives too; a distribution by reference."""
    if part.get("format") == "distribution":
        return {"$ref": "#/$defs/distribution"}
    if part.get("format") == "defense":
        return {"$ref": "#/$defs/defense"}
    out = {_BOUNDS.get(key, key): value for key, value in part.items()}
    return out | ({"anyOf": [_standard(choice) for choice in out["anyOf"]]} if "anyOf" in out else {})


def _params(record: type[Config], *, extra: Schema | None = None) -> Schema:
    """A record's parameters, its own description included."""
    own = record.model_json_schema()
    properties = {
        name: {key: value for key, value in _standard(part).items() if key != "title"}
        for name, part in own.get("properties", {}).items()
    }
    out = _object(properties | (extra or {})) | {"description": own.get("description", "")}
    return out | ({"$defs": own["$defs"]} if "$defs" in own else {})


def gate() -> Schema:
    rules = _params(Gate)
    rules["properties"]["cells"] = {"type": "array", "items": _params(Rule)}
    return {key: value for key, value in rules.items() if key not in {"$defs", "description"}}


def certify() -> Schema:
    """A method, or a mapping."""
    return {"anyOf": [{"enum": list(METHODS)}, _params(Certify)]}


def attack() -> Schema:
    label: Schema = {"type": "string", "description": "What tables call it."}
    choices = []
    for name in attacks:
        fields = list(attacks[name].model_fields)
        nullable = {"anyOf": [_params(attacks[name], extra=_matrix(fields)), {"type": "null"}]}
        choices.append(_object({name: nullable, "as": label}, (name,)) | {"description": attacks[name].card.title})
    return {"anyOf": [{"enum": list(attacks)}, *choices]}


def _matrix(fields: Iterable[str]) -> Schema:
    """The keys by which an entry becomes many."""
    return {
        "matrix": _object({field: {"type": "array", "minItems": 1} for field in fields}),
        "exclude": {"type": "array", "items": _object(dict.fromkeys(fields, _ANYTHING))},
    }


def distribution() -> Schema:
    """A list of operations, each a name or {name: parameters}."""
    choices = []
    for name in operations:
        params = _params(operations[name])
        choices.append(_object({name: {"anyOf": [params, {"type": "null"}]}}, (name,)))
    return {"type": "array", "minItems": 1, "items": {"anyOf": [{"enum": list(operations)}, *choices]}}


def defense() -> Schema:
    """A name, or {name: parameters}."""
    return _named(defenses)


def generator() -> Schema:
    """A name, a bundled one with how it is judged, or a recipe."""
    label: Schema = {"type": "string", "description": "What tables call it."}
    known = generated.available()
    names = {"enum": list(dict.fromkeys([*known, *recipes()]))}
    judged = _params(Judged, extra={"generator": {"enum": known} if known else TEXT, "as": label})
    todo = _params(Recipe, extra={"recipe": {"enum": recipes()}, "as": label})
    todo["properties"] |= {key: _named(registry) for key, registry in NETS.items()}
    todo["properties"]["images"] = judged["properties"]["images"]
    todo["properties"] |= _matrix([key for key in todo["properties"] if key not in {"as", "recipe"}])
    return {"anyOf": [names, judged | {"required": ["generator"]}, todo]}


def sparse_coding() -> Schema:
    """A model, a pursuit and noise."""
    label: Schema = {"type": "string", "description": "What tables call the model."}
    one = _params(Measurement, extra={"as": label} | _matrix(Measurement.model_fields))
    one["properties"]["model"] = {"enum": list(MODELS)}
    one["properties"]["dictionaries"] = {"type": "array", "minItems": 1, "items": _named(designs)}
    return one


def _named(registry: Records[Any]) -> Schema:
    """A name of the registry, or {name: parameters}."""
    choices = [_object({name: {"anyOf": [_params(registry[name]), {"type": "null"}]}}, (name,)) for name in registry]
    return {"anyOf": [{"enum": list(registry)}, *choices]}


def _source(registry: Records[Any], plain: str) -> list[Schema]:
    """Mappings with one source key, and `source:name` strings."""
    found = [_params(registry[name]) | {"required": [name]} for name in registry if name != plain]
    prefixes = "|".join(name for name in registry if name != plain)
    return [{"type": "string", "pattern": f"^({prefixes}):."}, *found]


def classifier() -> Schema:
    known = {"enum": zoo.known(), "description": "A classifier of the zoo."}
    choices = _source(models, "zoo")
    for choice in choices:
        if "arch" in choice.get("properties", {}):
            others = {"type": "string", "pattern": f"^({'|'.join(archs.LIBRARIES)}):."}
            choice["properties"]["arch"] = {"anyOf": [{"enum": list(archs.ARCHITECTURES)}, others]}
    return {"anyOf": [known, *choices, _params(models["zoo"]) | {"required": ["zoo"]}]}


def data() -> Schema:
    names = [*(facts.name for facts in bundled.available()), *on_demand.NAMES]
    options = _params(datasets["bundled"])
    del options["properties"]["bundled"]
    options.pop("required", None)
    any_source = {"anyOf": [{"type": "null"}, options, *_source(datasets, "bundled")[1:]]}
    mapping: Schema = {"type": "object", "minProperties": 1, "additionalProperties": any_source}
    mapping["properties"] = {name: {"anyOf": [{"type": "null"}, options]} for name in names}
    one = {"anyOf": [{"enum": names}, _source(datasets, "bundled")[0], mapping]}
    return {"anyOf": [*one["anyOf"], {"type": "array", "minItems": 1, "items": one}]}
