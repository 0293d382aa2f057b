"""The suite that a results folder records: loaded again to verify or to draw, without running code that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from robustbench_lite.errors import NoResultsError, UsageError
from robustbench_lite.results.made import MADE
from robustbench_lite.results.store import Results
from robustbench_lite.suite.builder import Suite, load
from robustbench_lite.text import visible

__all__ = ["suite_of"]

_SHOWN = 3
_LONGEST = 200  # characters of one entry that are shown


def suite_of(results: Results, *, trust: bool) -> Suite:
    """The suite behind results. Raises NoResultsError where they do not say, UsageError where it would run code.

    A folder may come from anybody, so that its own word for the code that it names is worth nothing: `trust` is the
    word of whoever calls this.
    """
    if objects := results.run.get("objects"):
        named = ", ".join(visible(f"'{name}'", _LONGEST) for name in objects[:_SHOWN])
        raise UsageError(
            f"{results.folder}: {named} were objects in memory, without which nothing of this can be computed again; "
            "call robustbench_lite.run with them once more, which runs what is missing"
        )
    plain, root = results.run.get("suite"), results.run.get("root")
    if not isinstance(plain, dict) or not isinstance(root, str):
        raise NoResultsError(f"{results.folder}: run.json does not say which suite this was; run the suite again")
    code = [] if trust else list(_trusting(plain))
    if code:
        more = f" (and {len(code) - _SHOWN} more)" if len(code) > _SHOWN else ""
        raise UsageError(
            f"{results.folder}: its suite names code that would run here: {', '.join(code[:_SHOWN])}{more}; that "
            f"run.json says `trust` counts for nothing; read the code under {visible(root)}, and say --trust if you "
            "trust it"
        )
    return _in_order(load({**plain}, root=Path(root)), results.run)


def _in_order(suite: Suite, run: Mapping[str, Any]) -> Suite:
    """The same with all entries as they ran: run.json sorts the keys under which a suite names them."""
    ordered: dict[str, Any] = {
        key: tuple(_ordered(getattr(suite, key), run.get(key) or [])) for key in ("data", "attacks", *MADE)
    }
    return replace(suite, **ordered)


def _ordered(entries: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Entries by the places of their names; what is not named comes last."""
    places = {name: i for i, name in enumerate(names)}
    return sorted(entries, key=lambda one: places.get(getattr(one, "variant", getattr(one, "name", "")), len(places)))


def _trusting(part: Any) -> Iterator[str]:
    """Every entry of a suite that says that it may be trusted, in few words; whatever kind of entry it is."""
    if isinstance(part, dict):
        if part.get("trust", False) is not False:
            others = {key: value for key, value in part.items() if key != "trust" and isinstance(value, str)}
            code = [key for key, value in others.items() if key == "python" or value.startswith("python:")]
            for key in sorted(code, reverse=True) or list(others)[:1] or [""]:
                yield visible(f"{key}: {others[key]}" if key else "trust", _LONGEST)
        for inner in part.values():
            yield from _trusting(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _trusting(inner)
