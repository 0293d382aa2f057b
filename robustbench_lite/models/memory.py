"""A classifier that is in memory already. YAML cannot name it.

Cells are named by its parameters and buffers, and by the sources of the classes inside that are the user's own (of
installed ones by their names); what else it may depend on shows in its answers, some of which are stored.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from robustbench_lite.guards.foreign import installed
from robustbench_lite.models.base import Card, Classifier, ModelSource
from robustbench_lite.models.finish import finish
from robustbench_lite.registry import fingerprint

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Memory"]


class Memory(ModelSource):
    """An nn.Module; a copy is attacked, so that its mode and its gradients stay as they are."""

    _module: Any = PrivateAttr(None)
    _stand_in: Any = PrivateAttr(None)

    @classmethod
    def of(cls, module: Any, *, backward: Any = None, **facts: Any) -> Memory:
        """`backward`: identity, or a stand-in itself."""
        source = cls(backward=backward if isinstance(backward, str) else None, **facts)
        source._module = module
        source._stand_in = None if isinstance(backward, str) else backward
        return source

    @property
    def title(self) -> str:
        return self.name

    @property
    def module(self) -> nn.Module:
        """The module itself, of which `load` gives a copy."""
        module: nn.Module = self._module
        return module

    @property
    def stand_in_memory(self) -> Any:
        return self._stand_in

    def load(self, root: Path) -> Classifier:  # noqa: ARG002  (nothing is on the disk)
        assert self.size and self.classes
        card = Card(
            name=self.title,
            arch=type(self._module).__name__,
            classes=self.classes,
            size=self.size,
            mean=self.mean or (0.0,),
            std=self.std or (1.0,),
            source="memory",
        )
        classifier = finish(card, copy.deepcopy(self._module).cpu())
        code = _code(self._module)
        return replace(classifier, weights=fingerprint([classifier.weights, code]), code=code, opaque=True)


def _code(module: Any) -> str:
    """A hash of the sources of the classes inside that are the user's own; of their names where there are none."""
    return fingerprint(sorted({_source(type(part)) for part in module.modules()}))


def _source(record: type) -> str:
    """A class's source; an installed one's name, which does not change by itself."""
    try:
        file = inspect.getsourcefile(record)
        return record.__qualname__ if file and installed(file) else inspect.getsource(record)
    except (OSError, TypeError):  # made where no source is kept
        return record.__qualname__
