"""The code of an attack that is not ours: what tells two versions of it apart."""

from __future__ import annotations

import hashlib
import inspect
from functools import cache
from pathlib import Path

from robustbench_lite.registry import fingerprint

__all__ = ["source_of"]


@cache
def source_of(record: type, base: type) -> str:
    """Hash of the files that define a kind of `base` which is not ours, of an installed package; empty: it is ours."""
    parts = [part for part in record.__mro__ if issubclass(part, base) and not _ours(part)]
    contents = {content for part in parts if (content := _defining(part))}
    return fingerprint(sorted(hashlib.sha256(content).hexdigest() for content in contents)) if contents else ""


def _defining(record: type) -> bytes:
    """The file that defines a class; what a notebook or a prompt keeps of it; nothing where that is nothing."""
    try:
        file = inspect.getsourcefile(record)
        return Path(file).read_bytes() if file and Path(file).is_file() else inspect.getsource(record).encode()
    except (OSError, TypeError):
        return b""


def _ours(record: type) -> bool:
    return record.__module__.startswith("robustbench_lite.")
