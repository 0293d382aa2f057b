"""The JSON schema of suite files, for editors: every attack, source and parameter with its description."""

from __future__ import annotations

import json

from robustbench_lite.suite._settings import ALONE, CLASSIC, SETTINGS
from robustbench_lite.suite._shapes import Schema, defense, distribution

__all__ = ["schema", "schema_text"]


def schema() -> Schema:
    """JSON schema (draft 2020-12) of a suite."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:robustbench-lite:suite:1",
        "title": "robustbench_lite suite",
        "type": "object",
        "additionalProperties": False,
        # a file with an include may leave what is required to the other file
        "if": {"not": {"required": ["include"]}},
        "then": {
            "required": [key for key, setting in SETTINGS.items() if setting.required],
            "anyOf": [{"required": list(CLASSIC)}, *({"required": [key]} for key in ALONE)],
        },
        "properties": {key: {"description": setting.says, **setting.shape()} for key, setting in SETTINGS.items()},
        "$defs": {"defense": defense(), "distribution": distribution()},
    }


def schema_text() -> str:
    """The schema as it is committed."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"
