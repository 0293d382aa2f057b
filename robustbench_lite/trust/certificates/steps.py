"""What functions and methods of tensors do to an image's numbers, by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.trust.certificates.layers import KNOWN, pooled
from robustbench_lite.trust.certificates.parts import Maximum

__all__ = ["ARITHMETIC", "AVERAGING", "check_type", "line", "maximum", "moving"]

ARITHMETIC = {
    "add": "add", "add_": "add", "iadd": "add", "sub": "sub", "sub_": "sub", "isub": "sub", "mul": "mul", "mul_": "mul",
    "imul": "mul", "truediv": "div", "div": "div", "div_": "div", "itruediv": "div",
}  # fmt: skip
AVERAGING = {"mean", "avg_pool2d", "adaptive_avg_pool2d"}


def check_type(name: str, given: Iterable[Any]) -> None:
    """Raises ModelError where a type is asked for whose rounding nobody accounts for."""
    for one in given:
        if isinstance(one, torch.dtype) and one not in {torch.float32, torch.float64}:
            raise ModelError(f"{name}({one}): its rounding is not accounted for; use float32")


def line(kind: str, constant: torch.Tensor, *, first: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift that a constant stands for; `first`: it is the right-hand side."""
    one, zero = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    if kind == "add":
        return one, constant
    if kind == "sub":
        return (one, -constant) if first else (-one, constant)
    if kind == "mul":
        return constant, zero
    if not first:
        raise ModelError("a constant divided by a layer: no bound is known")
    return 1 / constant, zero


def maximum(shape: tuple[int, ...], args: tuple[Any, ...], options: dict[str, Any]) -> Maximum:
    """The function max_pool2d of images (C, H, W)."""
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    given = dict(zip(names, args, strict=False)) | options
    if given.pop("return_indices", False):
        raise ModelError("max_pool2d with return_indices: no bound is known for the indices")
    kernel = given.pop("kernel_size")
    usual = {"stride": kernel, "padding": 0, "dilation": 1, "ceil_mode": False}
    return pooled(shape, kernel, **usual | {key: value for key, value in given.items() if value is not None})


def moving(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Callable[..., torch.Tensor]:
    """What moves or averages the numbers of each image. Raises ModelError for another name."""
    nn = torch.nn.functional
    padded = name == "pad" and options.get("mode", "constant") == "constant" and not any(args[1:])
    moves: dict[str, Callable[..., torch.Tensor]] = {
        "flatten": lambda x: torch.flatten(x, *args, **options),
        "getitem": lambda x: x[args[0]],
        "mean": lambda x: x.mean(*args, **options),
        "avg_pool2d": lambda x: nn.avg_pool2d(x, *args, **options),
        "adaptive_avg_pool2d": lambda x: nn.adaptive_avg_pool2d(x, *args, **options),
    }
    if name in {"view", "reshape"}:
        rest = (args[0] if len(args) == 1 and isinstance(args[0], tuple) else args)[1:]
        moves[name] = lambda x: x.reshape(len(x), *rest)
    if padded and not options.get("value"):
        moves[name] = lambda x: nn.pad(x, args[0] if args else options["pad"])
    if name not in moves:
        raise ModelError(f"no bound is known for {name}; known are {KNOWN}")
    return moves[name]
