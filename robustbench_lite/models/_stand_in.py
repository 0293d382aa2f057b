"""A differentiable stand-in of the user's for what gives no gradient: `backward: python:package.module:name`."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import UsageError
from robustbench_lite.guards.foreign import undisturbed
from robustbench_lite.lazy import torch
from robustbench_lite.models.finish import content_hash
from robustbench_lite.models.imported import Home
from robustbench_lite.registry import fingerprint

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Named", "imported", "in_memory"]

StandIn = Callable[["torch.Tensor"], Any]


@dataclass(frozen=True)
class Named:
    """A stand-in, what sentences call it, and its `code`, a hash that is asked for once it has been used."""

    stand_in: StandIn
    title: str
    code: Callable[[], str]


@contextmanager
def imported(place: str, name: str, root: Path) -> Iterator[Named]:
    """What a suite calls `place:name`, with its neighbours at hand. Raises UsageError, and what its code raises."""
    with undisturbed(), Home(place, root) as home:
        stand_in = _checked(home.get(name))
        yield Named(stand_in, f"{place}:{name}", lambda: _code(stand_in, {"stand_in": name, "sources": home.digest()}))


def in_memory(stand_in: Any) -> Named:
    """The function or module itself; its source is its code. Raises UsageError for anything else."""
    checked = _checked(copy.deepcopy(stand_in) if isinstance(stand_in, torch.nn.Module) else stand_in)
    module = isinstance(checked, torch.nn.Module)
    title = getattr(checked, "__name__", type(checked).__name__)
    return Named(checked, title, lambda: _code(checked, {"source": _source(type(checked) if module else checked)}))


def _checked(stand_in: Any) -> StandIn:
    if isinstance(stand_in, type) and issubclass(stand_in, torch.nn.Module):
        stand_in = stand_in()
    if isinstance(stand_in, type) or not callable(stand_in):
        got = f"the class {stand_in.__name__}" if isinstance(stand_in, type) else type(stand_in).__name__
        raise UsageError(f"expected a function of a tensor, an nn.Module or a class of such, got {got}")
    if isinstance(stand_in, torch.nn.Module):
        module: nn.Module = stand_in.eval().requires_grad_(requires_grad=False)
        return module
    function: StandIn = stand_in
    return function


def _code(stand_in: StandIn, facts: dict[str, str]) -> str:
    weights = {"weights": content_hash(stand_in)} if isinstance(stand_in, torch.nn.Module) else {}
    return fingerprint(facts | weights)


def _source(code: Any) -> str:
    """The source of a function or class; its name where none is kept."""
    try:
        return inspect.getsource(code)
    except (OSError, TypeError):
        return str(getattr(code, "__qualname__", type(code).__qualname__))
