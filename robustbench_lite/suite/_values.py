"""The plain values of a suite: each read and judged, or its default."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from robustbench_lite.engine.attack import Attack
from robustbench_lite.errors import did_you_mean
from robustbench_lite.figures.base import figures
from robustbench_lite.gate.rules import Gate
from robustbench_lite.suite.records import Parts, kind_of
from robustbench_lite.suite.yaml import Key
from robustbench_lite.tables import references
from robustbench_lite.tables.base import tables
from robustbench_lite.trust.certificates import Certify

__all__ = [
    "IMAGES",
    "LARGEST_SEED",
    "NAME",
    "certify",
    "figure_names",
    "gate",
    "images",
    "name",
    "reference",
    "seed",
    "table_names",
    "timeout",
    "title",
    "version",
]

LARGEST_SEED = 2**63 - 1  # a column of the store holds it
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
IMAGES = ("all", "none")  # which of the adversarial ones are stored
_WORDS: dict[type, str] = {str: "text", int: "an integer"}


def _scalar(parts: Parts, name: str, kind: type, default: Any) -> Any:
    value = parts.marked.data.get(name)
    if value is None:
        return default
    if type(value) is not kind:
        parts.wrong((name,), f"{name}: expected {_WORDS[kind]}, got {value!r}")
        return default
    return value


def version(parts: Parts) -> None:
    value = parts.marked.data.get("version")
    if value is not None and (type(value) is not int or value != 1):
        parts.wrong(("version",), f"expected version 1, got {value!r}")


def title(parts: Parts) -> str:
    return str(_scalar(parts, "title", str, ""))


def images(parts: Parts) -> str:
    value = _scalar(parts, "images", str, IMAGES[0])
    if value not in IMAGES:
        parts.wrong(("images",), f"images: expected one of {', '.join(IMAGES)}, got {value!r}")
    return str(value)


def name(parts: Parts) -> str:
    value = str(_scalar(parts, "name", str, ""))
    if value and not NAME.fullmatch(value):
        parts.wrong(("name",), f"name: expected lower-case letters, digits, - and _ (it names a folder), got {value!r}")
    return value


def seed(parts: Parts) -> int:
    value = int(_scalar(parts, "seed", int, 0))
    if not 0 <= value <= LARGEST_SEED:
        parts.wrong(("seed",), f"seed: expected a number from 0 to 2^63 - 1, got {value}")
    return value


def timeout(parts: Parts) -> float | None:
    value = parts.marked.data.get("timeout")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST_SEED:
        parts.wrong(("timeout",), f"timeout: expected seconds above 0, got {value!r}")
        return None
    return float(value)


def reference(parts: Parts) -> str | None:
    value = _scalar(parts, "reference", str, None)
    if value is not None and value not in references.known():
        parts.wrong(("reference",), f"unknown reference '{value}'{did_you_mean(value, references.known())}")
    return value if value is None else str(value)


def table_names(parts: Parts) -> tuple[str, ...]:
    return _named(parts, "table", tables)


def figure_names(parts: Parts) -> tuple[str, ...]:
    return _named(parts, "figure", figures)


def _named(parts: Parts, what: str, known: Iterable[str]) -> tuple[str, ...]:
    """Names of tables or figures, none twice."""
    names, named = set(known), list[tuple[Key, str]]()
    for i, name in enumerate(parts.items(f"{what}s")):
        if not isinstance(name, str) or name not in names:
            parts.wrong((f"{what}s", i), f"unknown {what} '{name}'{did_you_mean(str(name), names)}")
        else:
            named.append(((f"{what}s", i), name))
    parts.unique(what, named)
    return tuple(name for _, name in named)


def gate(parts: Parts) -> Gate:
    value = parts.marked.data.get("gate")
    if value is not None and not isinstance(value, dict):
        parts.wrong(("gate",), f"gate: expected a mapping of limits, got {kind_of(value)}")
        return Gate()
    return parts.built(Gate, value or {}, ("gate",)) or Gate()


def certify(parts: Parts) -> Certify | None:
    """A method, or a mapping; some attack has to have a budget of which something can be proven."""
    value = parts.marked.data.get("certify")
    if value is None:
        return None
    if not isinstance(value, str | dict):
        parts.wrong(("certify",), f"certify: expected a method such as crown, or a mapping, got {kind_of(value)}")
        return None
    found = parts.built(Certify, {"method": value} if isinstance(value, str) else value, ("certify",))
    if found is None:
        return None
    for i, name in enumerate(found.models or ()):
        if name not in parts.titles:
            parts.wrong(("certify", "models", i), f"unknown classifier '{name}'{did_you_mean(name, parts.titles)}")
    attacks = [record for _, record in parts.records if isinstance(record, Attack)]
    if attacks and not any(found.covers(one) for one in attacks):
        parts.wrong(
            ("certify",),
            "certify: no attack of this suite has a budget in linf, l2 or l1, on one classifier and within [0, 1]: "
            "nothing can be proven of any; leave it out, or add such an attack",
        )
    return found
