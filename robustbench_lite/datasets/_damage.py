"""Damaged images left out of a selection: those next in rank take their places."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robustbench_lite.datasets._labels import Labelled, listed
from robustbench_lite.datasets._reader import Reader
from robustbench_lite.errors import DataError
from robustbench_lite.guards.cache import recalled, remember
from robustbench_lite.registry import fingerprint

__all__ = ["sound"]

_KIND = "damaged"
Choose = Callable[[str, Labelled], list[int]]  # the places that are selected of those that have labels


def sound(
    what: str, ids: Sequence[str], labels: Labelled, reader: Reader, choose: Choose, key: str
) -> tuple[Labelled, tuple[str, ...]]:
    """The labels without the damaged images that `choose` would take, and a sentence on these. Raises DataError.

    Only what would be selected is decoded; `key`: what pixels depend on beside the ids.
    """
    key = fingerprint([key, list(ids), list(labels.kept)], 32)
    known = set[str]((recalled(_KIND, key) or {}).get("ids", ()))
    looked, bad = set[int](), {place: "" for place in labels.kept if ids[place] in known}
    while True:
        rest = labels.without(bad)
        if not rest.kept:
            raise DataError(f"{what}: none of its {len(labels.kept)} images can be read")
        called = what if not bad else f"{what} without {len(bad)} damaged images"
        places = choose(called, rest)
        new = reader.damaged([place for place in places if place not in looked])
        looked |= set(places)
        if not new:
            break
        bad |= new
    remember(_KIND, key, {"ids": [ids[place] for place in bad]})
    return rest, _told(what, reader, sorted(bad), len(looked | set(bad)))


def _told(what: str, reader: Reader, bad: Sequence[int], looked: int) -> tuple[str, ...]:
    if not bad:
        return ()
    names = [name for name, _ in reader.read(bad)]
    verb = "image is" if len(bad) == 1 else "images are"
    return (f"{what}: {len(bad)} damaged {verb} left out, of {looked} looked at: {listed(names, 3)}",)
