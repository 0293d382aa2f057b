"""The keys of a suite, each declared once: what it says, the JSON schema of its value, and who reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robustbench_lite.figures.base import figures
from robustbench_lite.suite import _entries, _shapes, _values, attacks, generators, sparse_coding
from robustbench_lite.suite._shapes import TEXT, Schema
from robustbench_lite.suite.records import Parts
from robustbench_lite.tables import references
from robustbench_lite.tables.base import tables

__all__ = ["ALONE", "CLASSIC", "SETTINGS", "Setting"]

CLASSIC = ("data", "models", "attacks")  # what a suite attacks, and how
ALONE = ("generators", "sparse_coding")  # a suite with any of these need not attack


@dataclass(frozen=True)
class Setting:
    """One key: `shape` is the schema of its value, `read` makes of it what the suite holds under this name."""

    says: str
    shape: Callable[[], Schema]
    read: Callable[[Parts], Any] | None = None  # None: it is part of what another key says
    required: bool = False


def _named(known: Any) -> Schema:
    return {"type": "array", "items": {"enum": list(known)}}


SETTINGS = {
    "version": Setting("Version of this format: 1.", lambda: {"const": 1}, _values.version, required=True),
    "name": Setting(
        "Name of the suite and of its results folder.",
        lambda: {"type": "string", "pattern": f"^{_values.NAME.pattern}$"},
        _values.name,
        required=True,
    ),
    "title": Setting("What the tables are about.", lambda: TEXT, _values.title),
    "reference": Setting(
        "Id of the published table that is printed beside ours.",
        lambda: {"enum": references.known()},
        _values.reference,
    ),
    "seed": Setting(
        "Seed of everything random; default 0.",
        lambda: {"type": "integer", "minimum": 0, "maximum": _values.LARGEST_SEED, "default": 0},
        _values.seed,
    ),
    "timeout": Setting(
        "Seconds that a cell, or loading a classifier, may take; default: as long as it takes.",
        lambda: {"type": "number", "exclusiveMinimum": 0},
        _values.timeout,
    ),
    "data": Setting(
        "Datasets: a name, a list of names, or a mapping from names to options.",
        _shapes.data,
        _entries.data,
    ),
    "models": Setting(
        "Classifiers: names of the zoo, `source:name`, or mappings with a source.",
        lambda: {"type": "array", "minItems": 1, "items": _shapes.classifier()},
        _entries.classifiers,
    ),
    "attacks": Setting(  # after the classifiers, which their sources are
        "Attacks: names, or mappings from a name to parameters.",
        lambda: {"type": "array", "minItems": 1, "items": _shapes.attack()},
        attacks.entries,
    ),
    "generators": Setting(
        "Generators: names of bundled ones or of recipes, or mappings of architecture, objective and data.",
        lambda: {"type": "array", "minItems": 1, "items": _shapes.generator()},
        generators.entries,
    ),
    "certify": Setting(  # after the attacks, whose budgets it is about
        "What is proven before anything is attacked: a method (ibp, crown_ibp, crown, alpha_crown), or a mapping.",
        _shapes.certify,
        _values.certify,
    ),
    "sparse_coding": Setting(
        "Pursuits of the sparse-coding model, measured against its theorems under random and adversarial noise.",
        lambda: {"type": "array", "minItems": 1, "items": _shapes.sparse_coding()},
        sparse_coding.entries,
    ),
    "tables": Setting("Tables to print after the run.", lambda: _named(tables), _values.table_names),
    "figures": Setting("Figures to draw after the run, for the report.", lambda: _named(figures), _values.figure_names),
    "images": Setting(
        "Whether adversarial images are stored: all (default) or none.",
        lambda: {"enum": list(_values.IMAGES), "default": _values.IMAGES[0]},
        _values.images,
    ),
    "gate": Setting("What `check` lets pass: limits of every gate, and of some (`cells`).", _shapes.gate, _values.gate),
    "defaults": Setting("Parameters by attack that hold unless an entry says otherwise.", _shapes.defaults),
    "under": Setting(
        "A distribution of transformations that every attack is evaluated under, unless its entry says otherwise.",
        lambda: {"$ref": "#/$defs/distribution"},
    ),
    "include": Setting(
        "File, or list of files, whose keys this file extends; relative to it, within its folder.",
        lambda: {"anyOf": [TEXT, {"type": "array", "items": TEXT}]},
    ),
}
