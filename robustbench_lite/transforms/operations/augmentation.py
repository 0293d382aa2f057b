"""Any augmentation of kornia by its name. Its random numbers come from the draw, a row at a time."""

from __future__ import annotations

import ast
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from robustbench_lite.errors import AttackError, did_you_mean
from robustbench_lite.lazy import kornia, torch
from robustbench_lite.registry import one_of
from robustbench_lite.threat.draws import Draw
from robustbench_lite.transforms.distribution import Operation, operations

__all__ = ["Augmentation"]


@lru_cache(maxsize=1)
def _known() -> dict[str, frozenset[str]]:
    """The parameters of every random 2D augmentation, read from kornia's source: importing it would take seconds."""
    spec = find_spec("kornia")
    home = Path((spec.submodule_search_locations or [""])[0] if spec else "") / "augmentation" / "_2d"
    return {
        node.name: frozenset(part.arg for part in (*made.args.args, *made.args.kwonlyargs)) - {"self"}
        for folder in ("geometric", "intensity")
        for path in (home / folder).glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name.startswith(("Random", "Color"))
        for made in node.body
        if isinstance(made, ast.FunctionDef) and made.name == "__init__"
    }


@operations.register("kornia")
class Augmentation(Operation):
    """An augmentation of kornia with its own parameters; slower than the others, as rows go through it one by one."""

    name: Annotated[str, one_of("augmentation of kornia", _known)] = Field(
        description="Its class, such as RandomMotionBlur."
    )
    parameters: dict[str, Any] = Field({}, description="Its parameters; those left out are kornia's own, p among them.")

    @model_validator(mode="after")
    def _known_parameters(self) -> Self:
        known = _known()[self.name]
        for key in self.parameters:
            if key not in known:
                raise ValueError(f"{self.name} has no parameter '{key}'{did_you_mean(key, known)}")
        return self

    @property
    def still(self) -> bool:
        return False

    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        seeds = (draw.bits("kornia", (), step) >> 1).tolist()
        augment = self._augment()
        parts = []
        with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
            for i, seed in enumerate(seeds):
                torch.manual_seed(seed)
                parts.append(augment(x[i : i + 1]))
        return torch.cat(parts)

    def _augment(self) -> Any:
        try:
            return getattr(kornia.augmentation, self.name)(**self.parameters)
        except Exception as error:  # noqa: BLE001  (whatever kornia raises is about the parameters)
            raise AttackError(f"kornia's {self.name} does not take these parameters: {error}") from None
