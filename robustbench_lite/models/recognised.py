"""Which architecture the weights in a file are of: the one with the same names and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.models import archs
from robustbench_lite.models._checkpoint import State, read_states
from robustbench_lite.models._fit import fits

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Recognised", "recognised"]

_SEVERAL = 2  # layers at the end that may be the last
_CHANNELS = (1, 3)
_CONVOLUTION = 4  # dimensions of its weights


@dataclass(frozen=True)
class Recognised:
    """An architecture whose names and shapes are those of the weights."""

    arch: str
    channels: int
    classes: int


def recognised(path: Path, arch: str | None = None) -> Recognised:
    """The architecture of the weights: `arch`, ours, torchvision's, or the one that timm wrote beside them.

    Raises ModelError where there is none.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file of weights")
    states = read_states(path, path.name)
    for name in [arch] if arch else [*archs.ARCHITECTURES, *_others(path)]:
        for channels, classes in _shapes(states):
            net = _empty(name, channels, classes, wanted=arch is not None)
            if net is None:
                break
            if fits(net, states):
                return Recognised(name, channels, classes)
            if not fits(net, states, shapes=False):
                break  # its names are others, whatever the number of classes
    raise ModelError(_unknown(path, states, arch))


def _empty(name: str, channels: int, classes: int, *, wanted: bool) -> nn.Module | None:
    """The network without memory for its weights; None where it cannot be made so, unless it is `wanted`.

    Raises ModelError.
    """
    try:
        with torch.device("meta"):
            return archs.build(name, channels, classes)
    except NotImplementedError:  # torchvision's RegNets compute their widths with tensors
        return archs.build(name, channels, classes) if wanted else None
    except ModelError:
        if wanted:
            raise
        return None


def _shapes(states: dict[str, State]) -> Iterator[tuple[int, int]]:
    """(channels, classes) that weights may be for: the last tensors have a row for each class."""
    first = {value.shape[1] for state in states.values() for value in _layers(state)[:1] if value.ndim == _CONVOLUTION}
    for channels in sorted(first & set(_CHANNELS)) or _CHANNELS:
        for classes in sorted({rows for state in states.values() for rows in _rows(state)}):
            yield channels, classes


def _layers(state: State) -> list[torch.Tensor]:
    """Weights of linear layers and convolutions, in their order."""
    return [value for value in state.values() if value.ndim in {2, _CONVOLUTION}]


def _rows(state: State) -> list[int]:
    """How many outputs its layers have that may be the last: of those with a weight matrix or a 1 x 1 convolution."""
    return [len(value) for value in _layers(state)[-_SEVERAL:] if len(value) > 1]


def _others(path: Path) -> Iterator[str]:
    """Of timm the architecture that its training script names in the checkpoint; those of torchvision."""
    from torchvision import models as known

    if (name := _named(path)) is not None:
        yield f"timm:{name}"
    yield from (f"torchvision:{name}" for name in known.list_models(module=known))


def _named(path: Path) -> str | None:
    if path.suffix == ".safetensors":
        return None
    found = torch.load(path, map_location="cpu", weights_only=True, mmap=_mappable(path))
    name = found.get("arch") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def _mappable(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _unknown(path: Path, states: dict[str, State], arch: str | None) -> str:
    """What is in the file, and what to say instead."""
    biggest = max(states.values(), key=len)
    ends = [f"{name} {list(value.shape)}" for name, value in (*list(biggest.items())[:1], *list(biggest.items())[-1:])]
    wanted = f"not those of '{arch}'" if arch else "those of no architecture of this package or torchvision"
    return (
        f"'{path.name}' holds {len(biggest)} tensors, from {ends[0]} to {ends[-1]}: names and shapes are {wanted}; "
        "name the architecture with `--arch timm:NAME`, or the code that builds it with `--python file.py:factory`"
    )
