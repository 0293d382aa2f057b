"""What is known of files that have not changed since they were read: kept beside their sizes and times.

A file that was changed a moment ago is not believed: it could change again within the same tick of the file system.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from robustbench_lite.datasets._paths import read_file
from robustbench_lite.guards.cache import recalled, remember
from robustbench_lite.threat.ids import content_id

__all__ = ["ids_of_files", "ids_of_rows"]

_KIND = "ids"
_SETTLED = 2 * 10**9  # nanoseconds: file systems count time in steps of up to two seconds
Stamp = list[int]


def ids_of_files(base: Path, files: Sequence[Path]) -> list[str]:
    """Ids of files under `base`, hashes of their bytes; those that are unchanged are not read. Raises DataError."""
    key = _key(str(base.resolve()))
    known, now = recalled(_KIND, key) or {}, dict[str, Any]()
    ids, grown = list[str](), False
    for path in files:
        name, stamp = str(path.relative_to(base)), _stamp(path)
        entry = known.get(name)
        if stamp is None or entry is None or entry[0] != stamp:
            entry = [stamp, content_id(read_file(path))]
            grown = grown or stamp is not None
        ids.append(entry[1])
        if stamp is not None:
            now[name] = entry
    if grown:
        remember(_KIND, key, now)
    return ids


def ids_of_rows(file: Path, column: str, read: Callable[[], list[str]]) -> list[str]:
    """Ids of the rows of a file, from `read` unless it is unchanged."""
    key, stamp = _key(f"{file.resolve()}|{column}"), _stamp(file)
    known = recalled(_KIND, key)
    if stamp is not None and known is not None and known["stamp"] == stamp:
        return list(known["ids"])
    ids = read()
    if stamp is not None:
        remember(_KIND, key, {"stamp": stamp, "ids": ids})
    return ids


def _stamp(path: Path) -> Stamp | None:
    """Size and times of a file; None: they say nothing."""
    try:
        found = path.stat()
    except OSError:  # whoever reads it says why
        return None
    newest = max(found.st_mtime_ns, found.st_ctime_ns)
    settled = newest < time.time_ns() - _SETTLED
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns] if settled else None


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]
