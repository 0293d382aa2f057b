"""What is worth keeping from one run to the next, in the user's cache folder: whole or not at all, or nowhere."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from robustbench_lite.guards.files import contents
from robustbench_lite.guards.locking import exclusive

__all__ = ["alone", "place", "recalled", "remember"]

FOLDER = "ROBUSTBENCH_LITE_CACHE"  # the environment's word on where the cache is; empty: nowhere
_KEY = "sha256"
_LARGEST = 256 << 20  # bytes of a file that is read


def place(kind: str) -> Path | None:
    """Where things of a kind are kept; None: nowhere, as there is no home or the environment says so."""
    named = os.environ.get(FOLDER)
    if named is not None:
        return Path(named) / kind if named else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "robustbench_lite" / kind
    except RuntimeError:  # no home
        return None


def recalled(kind: str, key: str) -> dict[str, Any] | None:
    """What is kept under the key; None where there is nothing, or nothing whole."""
    at = place(kind)
    if at is None:
        return None
    try:
        known = json.loads(contents(at / f"{key}.json", _LARGEST))
        return known if known.pop(_KEY) == _digest(known) else None
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError):
        return None


def remember(kind: str, key: str, content: dict[str, Any]) -> None:
    """Keep an object of JSON, whole or not at all; a folder that cannot be written to is no reason to stop."""
    at = place(kind)
    if at is None:
        return
    try:
        at.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=at, prefix=".", delete=False, encoding="utf-8") as file:
            json.dump(content | {_KEY: _digest(content)}, file)
        Path(file.name).replace(at / f"{key}.json")
    except OSError:
        return


@contextmanager
def alone(kind: str) -> Iterator[None]:
    """Meanwhile no other process is in here for things of this kind; where none can be kept all are."""
    at = place(kind)
    with ExitStack() as held:
        if at is not None:
            with suppress(OSError):
                at.mkdir(parents=True, exist_ok=True)
                held.enter_context(exclusive(at / ".lock", wait=True))
        yield


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
