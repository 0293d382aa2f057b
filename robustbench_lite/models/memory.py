"""A classifier that is in memory already: for tests of a module at hand. YAML cannot name it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from robustbench_lite.model import Card, Classifier, ModelSource
from robustbench_lite.models.common import finish

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
        return finish(card, copy.deepcopy(self._module).cpu())
