"""PyTorch and kornia on first use: declaring an attack must not cost the seconds that importing them does.

`from robustbench_lite.lazy import torch` gives a stand-in that imports the real module at its first attribute.
So `list`, `validate`, `describe` and `--help` answer at once, and an attack is still one file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["kornia", "torch"]

if TYPE_CHECKING:
    import kornia as kornia  # noqa: PLC0414  (an explicit re-export)
    import torch as torch  # noqa: PLC0414  (an explicit re-export)
else:

    class _Lazy:
        def __init__(self, name: str) -> None:
            self.__dict__["_name"] = name

        def __getattr__(self, attribute: str) -> Any:
            if attribute.startswith("__"):  # inspection (doctest, pydantic) must not load torch
                raise AttributeError(attribute)
            value = getattr(import_module(self._name), attribute)
            self.__dict__[attribute] = value  # the second look-up is an ordinary one
            return value

    kornia = _Lazy("kornia")
    torch = _Lazy("torch")
