"""Packages that only some sources need: an optional extra each, asked for when a classifier is loaded."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from robustbench_lite.errors import ModelError

__all__ = ["needed"]


def needed(module: str, what: str, how: str) -> Any:
    """The module. Raises ModelError where it is not installed; `how`: to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ModelError(f"{what}: needs {error.name or module}; {how}") from None
