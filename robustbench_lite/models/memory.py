"""A classifier that is in memory already: for tests of a module at hand. YAML cannot name it."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from robustbench_lite.guards.foreign import installed
from robustbench_lite.models.base import Card, Classifier, ModelSource
from robustbench_lite.models.common import finish
from robustbench_lite.registry import fingerprint

__all__ = ["Memory"]


class Memory(ModelSource):
    """An nn.Module; a copy is attacked, so that its mode and its gradients stay as they are."""

    _module: Any = PrivateAttr(None)

    @classmethod
    def of(cls, module: Any, **facts: Any) -> Memory:
        source = cls(**facts)
        source._module = module
        return source

    @property
    def title(self) -> str:
        return self.name

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
