"""What is worth keeping between runs: a JSON object under a key, in the user's cache folder, whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from robustbench_lite.guards.locking import exclusive

__all__ = ["alone", "folder", "keep", "kept"]

_FOLDER = "ROBUSTBENCH_LITE_CACHE"  # the environment's word on where the cache is; empty: nowhere


def folder(of: str) -> Path | None:
    """Where things of one kind are kept; None: nowhere, as there is no home or the environment says so."""
    named = os.environ.get(_FOLDER)
    if named is not None:
        return Path(named) / of if named else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "robustbench_lite" / of
    except RuntimeError:  # no home
        return None


def kept(of: str, key: str) -> dict[str, Any]:
    """What is kept under the key; empty where there is nothing, or nothing whole."""
    at = folder(of)
    if at is None:
        return {}
    try:
        known = json.loads((at / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def keep(of: str, key: str, content: dict[str, Any]) -> None:
    """Keep it; a folder that cannot be written to is no reason to stop."""
    at = folder(of)
    if at is None:
        return
    try:
        at.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=at, prefix=".", delete=False, encoding="utf-8") as file:
            json.dump(content, file)
        Path(file.name).replace(at / f"{key}.json")
    except OSError:
        return


@contextmanager
def alone(of: str) -> Iterator[None]:
    """Meanwhile no other process is in here for things of this kind; where none can be kept all are."""
    at = folder(of)
    with ExitStack() as held:
        if at is not None:
            with suppress(OSError):
                at.mkdir(parents=True, exist_ok=True)
                held.enter_context(exclusive(at / ".lock", wait=True))
        yield
