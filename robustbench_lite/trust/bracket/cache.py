"""Results of the bracket, kept in the user's cache folder: calibrated once per attack, code and machine."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from robustbench_lite.engine.attack import Attack
from robustbench_lite.guards.cache import place, recalled, remember
from robustbench_lite.lazy import torch
from robustbench_lite.registry import canonical, fingerprint
from robustbench_lite.results import provenance
from robustbench_lite.trust.bracket.bracket import summary

__all__ = ["calibrated", "folder", "key_of"]

_KIND = "calibration"
_PACKAGE = Path(__file__).parent.parent.parent


def calibrated(attack: Attack) -> dict[str, Any]:
    """What the bracket says of the attack, from the cache where it is there. What failed is tried anew every time."""
    key = key_of(attack)
    known = _read(key)
    if known is None:
        known = summary(attack)
        if not known["failed"]:
            remember(_KIND, key, known)
    facts = {"attack": attack.title, "params": canonical(attack.params()), "version": attack.version}
    return facts | {"fingerprint": attack.fingerprint(), "key": key} | known


def key_of(attack: Attack) -> str:
    """What a result of the bracket depends on: the attack and its parameters, all code, and the machine."""
    machine = provenance.machine(torch.device("cpu"))
    code = [_code(), _source(type(attack).__module__)]
    return fingerprint([attack.fingerprint(), attack.version, code, provenance.versions(), machine], 32)


def folder() -> Path | None:
    """Where results are kept; None: nowhere."""
    return place(_KIND)


@lru_cache(maxsize=1)
def _code() -> str:
    """Hash of our own files: an attack that was changed without a new version is calibrated anew, too."""
    return _digest(_PACKAGE, _PACKAGE.rglob("*.py"))


def _source(module: str) -> str:
    """Hash of the package, or file, that somebody else's attack is in; empty where it is one of ours."""
    home = sys.modules.get(module.partition(".")[0])
    path = getattr(home, "__file__", None)
    if path is None or Path(path).is_relative_to(_PACKAGE):
        return ""
    folder = Path(path).parent
    return _digest(folder, folder.rglob("*.py") if hasattr(home, "__path__") else [Path(path)])


def _digest(folder: Path, files: Iterable[Path]) -> str:
    """Hash of what the files are called in the folder, and of what is in them; as empty where one is gone."""
    digest = hashlib.sha256()
    for path in sorted(files):
        with suppress(OSError):
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


def _read(key: str) -> dict[str, Any] | None:
    """What is kept under the key; None where there is nothing, or nothing whole."""
    try:
        known = recalled(_KIND, key) or {}
        checks, seconds, whole = int(known["checks"]), float(known["seconds"]), known["failed"] == []
    except (ValueError, KeyError, TypeError):
        return None
    return {"checks": checks, "failed": [], "seconds": seconds} if whole and checks > 0 else None
