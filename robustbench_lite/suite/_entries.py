"""The `data:` and `models:` of a suite: each entry becomes the record of its source."""

from __future__ import annotations

from typing import Any

from robustbench_lite.datasets.base import datasets
from robustbench_lite.datasets.on_demand import NAMES
from robustbench_lite.models.base import ModelSource, models
from robustbench_lite.models.python import told_apart
from robustbench_lite.suite.records import DataEntry, Parts, kind_of
from robustbench_lite.suite.yaml import Key

__all__ = ["classifiers", "data"]


def data(parts: Parts) -> tuple[DataEntry, ...]:
    value = parts.marked.data.get("data")
    found: list[tuple[Key, Any, Any]] = []
    if isinstance(value, str):
        found.append((("data",), value, {}))
    elif isinstance(value, dict) and value:
        if _unnamed(parts, ("data",), value):
            return parts.objects.data
        found += [(("data", name), name, options) for name, options in value.items()]
    elif isinstance(value, dict):
        parts.wrong(("data",), "data: expected at least one dataset, got an empty mapping")
    else:
        for i, entry in enumerate(parts.items("data")):
            if isinstance(entry, dict) and _unnamed(parts, ("data", i), entry):
                continue
            if isinstance(entry, dict):
                found += [(("data", i, name), name, options) for name, options in entry.items()]
            else:
                found.append((("data", i), entry, {}))
    entries = [entry for path, name, options in found if (entry := _dataset(parts, path, name, options))]
    named = [(path, str(name)) for path, name, _ in found]
    parts.unique("dataset", [*((("data",), entry.name) for entry in parts.objects.data), *named])
    return (*entries, *parts.objects.data)


def _unnamed(parts: Parts, path: Key, entry: dict[Any, Any]) -> bool:
    """Whether a source stands where the name of the data should; then it is said."""
    source = next((key for key, value in entry.items() if key in datasets and not isinstance(value, dict)), None)
    if source is None:
        return False
    options = ", ".join(f"{key}: {'...' if isinstance(value, (dict, list)) else value}" for key, value in entry.items())
    parts.wrong((*path, source), f"give it a name, here mine: `data: {{mine: {{{options}}}}}`")
    return True


def _dataset(parts: Parts, path: Key, name: Any, options: Any) -> DataEntry | None:
    options = {} if options is None else options
    if not isinstance(name, str) or not isinstance(options, dict):
        wrong = name if not isinstance(name, str) else options
        parts.wrong(path, f"expected the name of a dataset or a mapping with its options, got {kind_of(wrong)}")
        return None
    given = [key for key in options if key in datasets]
    if len(given) > 1:
        parts.wrong(path, f"expected one source of data, got {', '.join(given)}")
        return None
    if given:  # the name is free
        source = parts.record(datasets, given[0], options, path)
    else:
        kind, value = _source(name, "on_demand" if name in NAMES else "bundled")
        source = parts.record(datasets, kind, {**options, kind: value}, path)
    return None if source is None else DataEntry(name, source)


def classifiers(parts: Parts) -> tuple[ModelSource, ...]:
    value = parts.marked.data.get("models")
    entries = [value] if isinstance(value, str) else parts.items("models")
    built = []
    for i, entry in enumerate(entries):
        path: Key = ("models",) if isinstance(value, str) else ("models", i)
        source = _model(parts, path, entry)
        if source is not None:
            built.append((path, source))
    built = list(zip([path for path, _ in built], told_apart([source for _, source in built]), strict=True))
    every = [*((("models",), source) for source in parts.objects.models), *built]
    parts.unique("classifier", [(path, source.title) for path, source in every])
    sources = (*(source for _, source in built), *parts.objects.models)
    parts.titles = [source.title for source in sources]
    return sources


def _model(parts: Parts, path: Key, entry: Any) -> ModelSource | None:
    if isinstance(entry, str):
        kind, value = _source(entry, "zoo")
        params: dict[str, Any] = {kind: value}
    elif isinstance(entry, dict):
        kinds = [key for key in entry if key in models]
        if len(kinds) != 1:
            parts.wrong(path, f"expected exactly one of {', '.join(models)} in a classifier, got {list(entry)}")
            return None
        kind, params = kinds[0], entry
    else:
        parts.wrong(path, f"expected a classifier's name or a mapping, got {kind_of(entry)}")
        return None
    source = parts.record(models, kind, params, path)
    if source is not None and not source.trust and (source.runs_code or source.stand_in):
        what = f"{kind}:" if source.runs_code else "backward: python:"
        parts.wrong(path, f"'{what}' runs code that the suite names; say `trust: true` if you trust it")
    return source


def _source(text: str, plain: str) -> tuple[str, str]:
    """`source:value`, or a bare name, which belongs to the source `plain`."""
    prefix, colon, rest = text.partition(":")
    return (prefix, rest) if colon else (plain, text)
