"""What entries have in common that attack nothing: a matrix, a label, and names that tell each from its namesakes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from robustbench_lite.registry import canonical
from robustbench_lite.suite._matrix import combinations
from robustbench_lite.suite.records import Parts
from robustbench_lite.suite.yaml import Key

__all__ = ["entry_of", "expanded", "origins", "text_of", "told_apart"]


def expanded(
    parts: Parts, path: Key, entry: dict[str, Any]
) -> Iterator[tuple[str | None, dict[str, Any], dict[str, list[Any]]]]:
    """(label, parameters, matrix) of an entry: one for each of the combinations of its matrix, if it has one."""
    label, params = entry.get("as"), {key: value for key, value in entry.items() if key != "as"}
    if label is not None and (not isinstance(label, str) or not label or not label.isprintable()):
        parts.wrong((*path, "as"), f"as: expected a label on one line, got {label!r}")
    elif "matrix" in params or "exclude" in params:
        for combined in combinations(path, dict(params), parts.wrong):
            yield label, combined, params["matrix"]
    else:
        yield label, params, {}


def origins(parts: Parts, path: Key) -> dict[str, Key]:
    """Where parameters are written that stand in a matrix, and not beside it."""
    written = parts.marked.data[path[0]][path[1]]
    matrix = written.get("matrix") if isinstance(written, dict) else None
    return dict.fromkeys(matrix, (*path, "matrix")) if isinstance(matrix, dict) else {}


def entry_of(value: Any) -> Any:
    """`dcgan` and `dcgan:` are `{dcgan: {}}`; what is no entry is left to whoever checks it."""
    if isinstance(value, str):
        return {value: {}}
    if isinstance(value, dict):
        return {name: {} if params is None else params for name, params in value.items()}
    return value


def told_apart(titled: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Each title, with those of its parameters in which its namesakes differ."""
    alike: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for title, own in titled:
        alike[title].append(own)
    names = []
    for title, own in titled:
        telling = [key for key in own if len({canonical(other.get(key)) for other in alike[title]}) > 1]
        text = ", ".join(f"{key}={text_of(own[key])}" for key in telling)
        names.append(f"{title}({text})" if text else title)
    return names


def text_of(value: Any) -> str:
    """A value in few words: {dcgan: {filters: 8}} is dcgan(filters=8)."""
    if isinstance(value, dict):
        inner = [f"{name}({_pairs(params)})" if params else str(name) for name, params in value.items()]
        return " ".join(inner)
    if isinstance(value, list):
        return " ".join(map(text_of, value))
    return "null" if value is None else str(value).lower()


def _pairs(params: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items()) if isinstance(params, dict) else str(params)
