"""A stand-in in the backward pass (BPDA; Athalye, Carlini and Wagner, https://arxiv.org/abs/1802.00420)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustbench_lite.guards.foreign import told

__all__ = ["Detour", "StandIn", "go_straight", "itself", "led"]

StandIn = Callable[[Tensor], Any]


def itself(x: Tensor) -> Tensor:
    """The stand-in of `backward: identity`."""
    return x


@dataclass
class Detour:
    """Names of the parts in whose place the stand-in is; where there is none, why it is in that of no other."""

    taken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class _Part(NamedTuple):
    """A module inside, what it was given (N, ...), and the shape of what it returned."""

    name: str
    module: nn.Module
    given: Tensor
    shape: torch.Size


class _Backward(torch.autograd.Function):
    """What a part returns, and in the backward pass what its stand-in does."""

    generate_vmap_rule = True

    @staticmethod
    def forward(instead: Tensor, returned: Tensor) -> Tensor:  # noqa: ARG004
        return returned.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradient, None


def led(instead: Tensor, returned: Tensor) -> Tensor:
    """`returned` to the bit, and in the backward pass `instead`; of one shape."""
    out: Tensor = _Backward.apply(instead, returned)
    return out


def go_straight(module: nn.Module, x: Tensor, stand_in: StandIn = itself, within: nn.Module | None = None) -> Detour:
    """Gradients go through the stand-in in the place of the parts that give none, as images x (N, C, H, W) show.

    A part is a module `within` the module, or the whole of it, that makes one tensor of one; of nested ones the
    outermost that returns what has the shape of the stand-in's. What the module computes does not change by a bit.
    """
    taken, unfit = list[str](), list[tuple[_Part, str]]()
    for part in _parts(module, x, within or module):
        if any(not outer or part.name.startswith(f"{outer}.") for outer in taken):
            continue
        if problem := _unfit(stand_in, part):
            unfit.append((part, problem))
        elif _gives_none(part.module, part.given):
            _replace(part.module, stand_in)
            taken.append(part.name)
    if taken or stand_in is itself:
        return Detour(taken)
    shut = [(part, problem) for part, problem in unfit if _gives_none(part.module, part.given)]
    return Detour(refused=[f"{part.name or 'the whole'}: {problem}" for part, problem in shut])


def _replace(part: nn.Module, stand_in: StandIn) -> None:
    """From now on gradients are the stand-in's; whoever asks for none gets the part as it was."""
    own = part.forward

    def forward(x: Tensor, **options: Any) -> Tensor:
        if not torch.is_grad_enabled():
            return own(x, **options)  # type: ignore[no-any-return]
        instead = stand_in(x)
        with torch.no_grad():  # nothing goes back through it; and it may work in place
            returned = own(x.clone(), **options)
        return led(instead, returned)

    part.forward = forward


def _parts(module: nn.Module, x: Tensor, within: nn.Module) -> list[_Part]:
    """The parts that make one tensor of one, outermost first."""
    seen: dict[nn.Module, tuple[Tensor, torch.Size]] = {}
    names = {part: name for name, part in within.named_modules()}

    def watch(part: nn.Module, given: tuple[Any, ...], options: dict[str, Any], returned: Any) -> None:
        alone = len(given) == 1 and not options
        if alone and all(isinstance(one, Tensor) and one.is_floating_point() for one in (given[0], returned)):
            seen[part] = given[0].detach().clone(), returned.shape

    with torch.no_grad(), ExitStack() as stack:
        for part in names:
            stack.callback(part.register_forward_hook(watch, with_kwargs=True).remove)
        module(x.clone())
    return [_Part(name, part, *seen[part]) for part, name in names.items() if part in seen]


def _gives_none(part: StandIn, given: Tensor) -> bool:
    """Whether no gradient comes back through it, or one that is zero throughout."""
    with torch.enable_grad():
        leaf = given.detach().requires_grad_()
        returned = part(leaf.clone())
    if not returned.requires_grad:
        return True
    (gradient,) = torch.autograd.grad(returned.sum(), leaf, allow_unused=True)
    return gradient is None or not bool(gradient.any())


def _unfit(stand_in: StandIn, part: _Part) -> str:
    """Why the stand-in cannot take the part's place; empty where it can."""
    wanted = f"{tuple(part.given.shape)} became {tuple(part.shape)}, of which the stand-in"
    try:
        instead = stand_in(part.given.clone())
        if not isinstance(instead, Tensor):
            return f"{wanted} makes no tensor, but {type(instead).__name__}"
        if instead.shape != part.shape:
            return f"{wanted} makes {tuple(instead.shape)}"
        return f"{wanted} gives no gradient either" if _gives_none(stand_in, part.given) else ""
    except Exception as error:  # noqa: BLE001  (somebody's code fails in its own ways)
        return f"{wanted} makes nothing: {told(error)}"
