"""Suites: YAML becomes records, or every problem with its place."""

from robustbench_lite.suite.builder import AttackEntry, DataEntry, Objects, Suite, load
from robustbench_lite.suite.compose import assignment
from robustbench_lite.suite.schema import schema_text
from robustbench_lite.suite.yaml import parse, read

__all__ = [
    "AttackEntry",
    "DataEntry",
    "Objects",
    "Suite",
    "assignment",
    "load",
    "parse",
    "read",
    "schema_text",
]
