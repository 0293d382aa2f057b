"""Distributions of transformations: a list of operations with ranges, drawn anew for every image and step.

One file for each family of operations in `operations/`. An operation takes images in [0, 1] and is differentiable in
them; what leaves the range is clipped after each. Draws are per image and step (rng.py), so that a view does not depend
on the batch around it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from robustbench_lite.errors import AttackError, SuiteError
from robustbench_lite.registry import Config, Number, Records
from robustbench_lite.threat.box import clip

if TYPE_CHECKING:
    from robustbench_lite.lazy import torch
    from robustbench_lite.threat.draws import Draw

__all__ = ["Distribution", "Operation", "Operations", "Range", "colour", "drawn", "operations", "or_word", "within"]

_NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\s*-?\d+\s*/\s*\d+\s*$"}]}


def _pair(value: object) -> object:
    """A number stands for the range that holds nothing else."""
    return value if isinstance(value, list | tuple) else (value, value)


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"expected [low, high], got [{value[0]:g}, {value[1]:g}]")
    return value


Range = Annotated[
    tuple[Number, Number],
    BeforeValidator(_pair),
    AfterValidator(_ordered),
    WithJsonSchema({"anyOf": [*_NUMBER["anyOf"], {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}]}),
]


def within(low: float, high: float = float("inf")) -> AfterValidator:
    """For a range that must lie in [low, high]."""

    def check(value: tuple[float, float]) -> tuple[float, float]:
        if not low <= value[0] <= value[1] <= high:
            raise ValueError(f"expected numbers from {low:g} to {high:g}, got [{value[0]:g}, {value[1]:g}]")
        return value

    return AfterValidator(check)


def or_word(*words: str) -> BeforeValidator:
    """For a field that holds one of these words, or else numbers."""

    def check(value: object) -> object:
        if isinstance(value, str) and value not in words and "/" not in value:
            raise ValueError(f"expected {', '.join(words)} or numbers, got {value!r}")
        return value

    return BeforeValidator(check)


def drawn(
    values: tuple[float, float], draw: Draw, name: str, step: torch.Tensor | int, shape: Sequence[int] = ()
) -> torch.Tensor:
    """Uniform numbers (n, *shape) in the range for every row and step; float32."""
    low, high = values
    return low + (high - low) * draw.uniform(name, tuple(shape), step)


def colour(operation: Operation, x: torch.Tensor) -> torch.Tensor:
    """The same images, where they have three channels. Raises AttackError."""
    if x.shape[1] != 3:
        raise AttackError(f"{operation.registered}: expected colour images (3 channels), got {x.shape[1]}")
    return x


class Operation(Config):
    """One random change of images."""

    @property
    @abstractmethod
    def still(self) -> bool:
        """Whether it does nothing, whatever is drawn: it is then left out, so that images stay as they are, exactly."""

    @abstractmethod
    def apply(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        """The images x (n, C, H, W) in [0, 1], changed; differentiable in x. `step`: (n,) or a number."""


operations: Records[Operation] = Records("operation", "robustbench_lite.transforms.operations")


@dataclass(frozen=True)
class Distribution:
    """The operations one after the other: random views of images."""

    operations: tuple[Operation, ...]

    @property
    def still(self) -> bool:
        """Whether every view is the image itself."""
        return all(operation.still for operation in self.operations)

    def see(self, x: torch.Tensor, draw: Draw, step: torch.Tensor | int) -> torch.Tensor:
        """One view of every image x (n, C, H, W) in [0, 1], in [0, 1] and differentiable in x; x itself if `still`."""
        for place, operation in enumerate(self.operations):
            if not operation.still:
                x = clip(operation.apply(x, draw.fork(f"{place} {operation.registered}"), step))
        return x


def _built(value: object) -> tuple[Operation, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("expected a list of operations, such as [{rotation: {degrees: 22.5}}]; null for none")
    return tuple(_operation(entry, f"operation {i}") for i, entry in enumerate(value, 1))


def _operation(entry: object, where: str) -> Operation:
    """The operation of an entry: a name, or {name: parameters}."""
    if isinstance(entry, Operation):
        return entry
    entry = {entry: None} if isinstance(entry, str) else entry
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError(f"{where}: expected the name of an operation, or {{name: parameters}}, got {entry!r}")
    ((name, params),) = entry.items()
    if params is not None and not isinstance(params, dict):
        raise ValueError(f"{where}: expected {{{name}: parameters}} with a mapping of parameters, got {params!r}")
    try:
        return operations.build(str(name), params)
    except SuiteError as error:
        raise ValueError("; ".join(f"{where}: {problem.message}" for problem in error.problems)) from None


_plain: Callable[[tuple[Operation, ...]], list[dict[str, Any]]] = lambda value: [
    {operation.registered: operation.params()} for operation in value
]
Operations = Annotated[
    tuple[Operation, ...],
    PlainValidator(_built),
    PlainSerializer(_plain),
    WithJsonSchema({"type": "array", "format": "distribution"}),  # written out once, in suite_schema.py
]
