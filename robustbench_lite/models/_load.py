"""A classifier by name, for Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.models.attackable import attackable
from robustbench_lite.models.base import models

if TYPE_CHECKING:
    from torch import nn

__all__ = ["load"]


def load(name: str, **options: Any) -> nn.Module:
    """The classifier that a suite calls `name`: of the zoo, or `source:name` (docs/models.md) with the options of it.

    It maps images (N, C, H, W) in [0, 1] to logits (N, K), on the CPU, in eval mode, its parameters frozen; move it as
    you like. Raises SuiteError for an unknown name, ModelError where it cannot be loaded.
    """
    kind, colon, value = name.partition(":")
    source = models.build(*((kind, {kind: value, **options}) if colon else ("zoo", {"zoo": name, **options})))
    module = attackable(source, Path.cwd()).module
    vars(module)["name"] = source.title  # what results call it
    return module
