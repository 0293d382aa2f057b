"""Attacks in files of the user's: `{python: my_attack.py:Noise, trust: true, epsilon: 0.1}`."""

from __future__ import annotations

import inspect
import sys
from contextlib import nullcontext
from pathlib import Path

from robustbench_lite.engine.attack import Attack, Composition, SetAttack, StepAttack, attacks
from robustbench_lite.errors import UsageError
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.models.imported import Home

__all__ = ["own_attack"]

_KINDS = (StepAttack, SetAttack, Composition)


def own_attack(python: str, root: Path) -> type[Attack]:
    """The class that `my_attack.py:Noise` or `package.module:Noise` names, registered. Raises UsageError.

    Its name is that of its decorator, else the class's in lower case. Its code, neighbours included, is its `source`.
    """
    where, _, name = python.rpartition(":")
    if not where or not name:
        raise UsageError(f"python: expected path/to/file.py:Class or package.module:Class, got '{python}'")
    list(attacks)  # ours come first: theirs must not take a name before
    state = undisturbed() if "torch" in sys.modules else nullcontext()  # `validate` must not load it
    with blamed(f"'{python}' cannot be loaded", UsageError, "load"):
        with state, Home(where, root) as home:
            record = _checked(home.get(name), python)
            record.source = home.digest()
        if "registered" not in vars(record):
            attacks.register(name.lower())(record)
    return record


def _checked(record: object, python: str) -> type[Attack]:
    if not (isinstance(record, type) and issubclass(record, _KINDS)):
        kinds = ", ".join(kind.__name__ for kind in _KINDS)
        raise UsageError(f"'{python}': expected a class derived from {kinds}, got {record!r}")
    missing = sorted(getattr(record, "__abstractmethods__", ()))
    if missing or inspect.isabstract(record):
        raise UsageError(f"'{python}': the class does not define {', '.join(missing)}")
    if not hasattr(record, "card"):
        raise UsageError(f"'{python}': the class has no `card`, which says what it is")
    return record
