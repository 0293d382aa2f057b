"""A classifier that the user's own code makes: `python: package.module:factory`. Runs that code, so needs trust."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.model import Card, Classifier, ModelSource, models
from robustbench_lite.models.common import finish

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Python"]


@models.register("python")
class Python(ModelSource):
    """A function without arguments that returns an nn.Module; without mean and std it normalises images itself."""

    python: str = Field(description="`package.module:factory` or `path/to/file.py:factory`.")

    @model_validator(mode="after")
    def _stated(self) -> Python:
        if ":" not in self.python:
            raise ValueError(f"expected module:factory, got '{self.python}'")
        missing = [key for key in ("size", "classes") if getattr(self, key) is None]
        if missing:
            raise ValueError(f"'{', '.join(missing)}' must be stated for a factory")
        if (self.mean is None) != (self.std is None):
            raise ValueError("state both mean and std, or neither when the factory's module normalises itself")
        return self

    @property
    def title(self) -> str:
        return self.name or self.python.rpartition(":")[2]

    @property
    def runs_code(self) -> bool:
        return True

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        place = self.python.rpartition(":")[0]
        if place.endswith(".py") and not (root / place).is_file():
            yield "python", f"no file '{place}' under the suite's folder"

    def load(self, root: Path) -> Classifier:
        if not self.trust:
            raise ModelError(f"{self.title}: 'python:' runs code; say `trust: true` if you trust it")
        where, _, factory = self.python.rpartition(":")
        try:
            net = getattr(_module(where, root), factory)()
        except ModelError:
            raise
        except Exception as error:  # noqa: BLE001  (the user's code fails in its own ways)
            raise ModelError(f"{self.title}: {self.python} failed: {type(error).__name__}: {error}") from None
        if not isinstance(net, torch.nn.Module):
            raise ModelError(f"{self.title}: {self.python} returned {type(net).__name__}, expected an nn.Module")
        assert self.size and self.classes
        card = Card(
            name=self.title,
            arch=self.python,
            classes=self.classes,
            size=self.size,
            mean=self.mean or (0.0,),
            std=self.std or (1.0,),
            source=f"python {self.python}",
        )
        return finish(card, net)


def _module(where: str, root: Path) -> ModuleType:
    if not where.endswith(".py"):
        sys.path.insert(0, str(root))
        try:
            return importlib.import_module(where)
        finally:
            sys.path.remove(str(root))
    path = root / where
    if not path.is_file():
        raise ModelError(f"no file '{where}' under the suite's folder")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
