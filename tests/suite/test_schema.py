"""The JSON schema for editors: as committed, well-formed, and about the same keys as the loader."""

from __future__ import annotations

import json

import pytest

from robustbench_lite.engine.attack import attacks
from robustbench_lite.suite import schema as suite_schema
from robustbench_lite.suite._settings import SETTINGS
from tests.helpers import ROOT

PACKAGE = ROOT / "robustbench_lite"
SUITES = sorted((ROOT / "suites").glob("*.yaml"))
KEYWORDS = {
    *("$schema", "$id", "title", "description", "type", "properties", "additionalProperties", "required", "items"),
    *("anyOf", "enum", "const", "default", "pattern", "minItems", "maxItems", "minProperties", "prefixItems"),
    *("$ref", "$defs", "patternProperties"),
    *("multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "if", "then", "not"),
}


def nodes(schema):
    """Every sub-schema."""
    yield schema
    for key, value in schema.items():
        if key in {"properties", "$defs", "patternProperties"}:
            for inner in value.values():
                yield from nodes(inner)
        elif key in {"anyOf", "prefixItems"}:
            for inner in value:
                yield from nodes(inner)
        elif key in {"items", "additionalProperties", "if", "then", "not"} and isinstance(value, dict):
            yield from nodes(value)


def test_the_committed_schema_is_current():
    committed = (PACKAGE / "suite.schema.json").read_text(encoding="utf-8")
    assert committed == suite_schema.schema_text(), "regenerate: robustbench-lite schema > suite.schema.json"


def test_the_text_is_stable_and_ends_in_a_newline():
    text = suite_schema.schema_text()
    assert text == suite_schema.schema_text()
    assert text.endswith("}\n")
    assert json.loads(text) == suite_schema.schema()


def test_only_known_keywords_are_used_and_they_are_well_formed():
    for node in nodes(suite_schema.schema()):
        assert set(node) <= KEYWORDS
        if "required" in node and "properties" in node:
            assert set(node["required"]) <= set(node["properties"])
        for key in ("anyOf", "enum"):
            assert node.get(key, [None])
        if node.get("type") == "object":
            assert "additionalProperties" in node


def test_top_level_keys_are_those_of_the_loader():
    schema = suite_schema.schema()
    assert set(schema["properties"]) == set(SETTINGS)
    either = [
        {"required": ["data", "models", "attacks"]},
        {"required": ["generators"]},
        {"required": ["sparse_coding"]},
    ]
    assert schema["then"] == {"required": ["version", "name"], "anyOf": either}
    assert all(part["description"] for part in schema["properties"].values())


def test_every_attack_and_parameter_is_described():
    choices = suite_schema.schema()["properties"]["attacks"]["items"]["anyOf"]
    assert choices[0] == {"enum": list(attacks)}
    for name, choice in zip(attacks, choices[1 : 1 + len(list(attacks))], strict=True):
        params = choice["properties"][name]["anyOf"][0]["properties"]
        assert set(params) == {*attacks[name].model_fields, "matrix", "exclude"}
        assert set(params["matrix"]["properties"]) == set(attacks[name].model_fields)


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_every_suite_names_its_schema_to_editors(path):
    first = path.read_text(encoding="utf-8").split("\n")[0]
    assert first == "# yaml-language-server: $schema=../robustbench_lite/suite.schema.json"
