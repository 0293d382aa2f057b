"""The layers that certificates know: from a module of torch to a part, with a sentence for what they do not know."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from robustbench_lite.errors import ModelError
from robustbench_lite.lazy import torch
from robustbench_lite.trust.certificates.parts import (
    Convolution,
    Dense,
    Maximum,
    Moved,
    Part,
    Rectifier,
    Scaled,
)

if TYPE_CHECKING:
    from torch import nn

__all__ = ["KNOWN", "part_of", "pooled"]

Shape = tuple[int, ...]
KNOWN = (
    "Linear, Conv2d, ReLU, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, BatchNorm1d and 2d in eval mode, Flatten, Dropout "
    "in eval mode, Identity, normalisation by constants, sums of layers (residual networks), cat, pad, slices, mean"
)


def part_of(module: nn.Module, shape: Shape) -> Part | None:
    """What a layer does to one input whose images are `shape`; None: nothing. Raises ModelError."""
    kind = type(module)
    make = _layers().get(kind)
    if make is None:
        raise ModelError(f"no bound is known for {kind.__name__}; known are {KNOWN}")
    if module.training and not isinstance(module, torch.nn.Linear):
        raise ModelError(f"{kind.__name__} is in training mode; call eval() first")
    tensors = [*module.parameters(), *(one for one in module.buffers() if one.is_floating_point())]
    if odd := next((one.dtype for one in tensors if one.dtype not in {torch.float32, torch.float64}), None):
        raise ModelError(f"{kind.__name__} computes in {odd}, whose rounding is not accounted for; use float32")
    return make(module, shape)


def _layers() -> dict[type, Callable[[Any, Shape], Part | None]]:
    nn = torch.nn
    plain = dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Identity), _nothing)
    return plain | {
        nn.Linear: _dense,
        nn.Conv2d: _convolution,
        nn.ReLU: lambda _, __: Rectifier(),
        nn.Flatten: _flatten,
        nn.MaxPool2d: _maximum,
        nn.AvgPool2d: _average,
        nn.AdaptiveAvgPool2d: _averages,
        nn.BatchNorm1d: _batch_norm,
        nn.BatchNorm2d: _batch_norm,
    }


def _nothing(_: nn.Module, __: Shape) -> None:
    return None


def _double(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().double().cpu()


def _dense(module: nn.Linear, shape: Shape) -> Dense:
    if len(shape) != 1:
        raise ModelError(f"Linear on images of {shape}: expected flat ones; put a Flatten before it")
    weight = _double(module.weight)
    return Dense(weight, weight.new_zeros(len(weight)) if module.bias is None else _double(module.bias))


def _convolution(module: nn.Conv2d, shape: Shape) -> Convolution:
    if isinstance(module.padding, str) or module.padding_mode != "zeros":
        raise ModelError(
            f"Conv2d with padding={module.padding!r}, padding_mode={module.padding_mode!r}: expected a number of zeros"
        )
    weight = _double(module.weight)
    bias = weight.new_zeros(len(weight)) if module.bias is None else _double(module.bias)
    options = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "groups")}
    return Convolution(weight, bias, options, (shape[1], shape[2]))


def _batch_norm(module: nn.BatchNorm2d, shape: Shape) -> Scaled:
    if module.running_mean is None or module.running_var is None:
        raise ModelError("BatchNorm without running statistics: an image's logits depend on the others of its batch")
    mean, var = _double(module.running_mean), _double(module.running_var)
    scale = (var + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * _double(module.weight)
    own = torch.zeros_like(mean) if module.bias is None else _double(module.bias)
    shift, carried = own - mean * scale, own.abs() + (mean * scale).abs()
    around = (1, -1, *[1] * (len(shape) - 1))
    return Scaled(scale.view(around), shift.view(around), carried.view(around), operations=10)


def _flatten(module: nn.Flatten, shape: Shape) -> Moved:
    if module.start_dim != 1:
        raise ModelError(f"Flatten from dimension {module.start_dim}: expected 1, one row for each image")
    end = module.end_dim
    return Moved(lambda x: x.flatten(1, end), (shape,), terms=1)


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _average(module: nn.AvgPool2d, shape: Shape) -> Moved:
    options = {key: getattr(module, key) for key in ("stride", "padding", "ceil_mode", "count_include_pad")}
    pool = partial(torch.nn.functional.avg_pool2d, kernel_size=module.kernel_size, **options)
    if module.divisor_override:
        pool = partial(pool, divisor_override=module.divisor_override)
    height, width = _pair(module.kernel_size)
    return Moved(pool, (shape,), terms=height * width + 2)


def _averages(module: nn.AdaptiveAvgPool2d, shape: Shape) -> Moved:
    pool = partial(torch.nn.functional.adaptive_avg_pool2d, output_size=module.output_size)
    return Moved(pool, (shape,), terms=shape[1] * shape[2] + 2)


def _maximum(module: nn.MaxPool2d, shape: Shape) -> Maximum:
    options = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "ceil_mode")}
    return pooled(shape, kernel=module.kernel_size, **options)


def pooled(shape: Shape, kernel: Any, stride: Any, padding: Any, dilation: Any, *, ceil_mode: bool) -> Maximum:
    """Maximum pooling of images (C, H, W) as torch does it."""
    channels, height, width = shape
    pool = partial(torch.nn.functional.max_pool2d, kernel_size=kernel, stride=stride, padding=padding)
    out = pool(torch.zeros(1, *shape, device="meta"), dilation=dilation, ceil_mode=ceil_mode).shape
    sizes = zip((height, width), out[2:], *map(_pair, (kernel, stride, padding, dilation)), strict=True)
    rows, columns = (_reach(*one) for one in sizes)  # (OH, KH), (OW, KW)
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[None, :, None]
    places = rows[:, None, :, None] * width + columns[None, :, None]
    windows = torch.where(inside, places, height * width).flatten(2).flatten(0, 1)
    return Maximum(windows, shape, (channels, out[2], out[3]))


def _reach(size: int, out: int, kernel: int, stride: int, padding: int, dilation: int) -> torch.Tensor:  # noqa: ARG001
    """Where (out, kernel) each window looks along one side; outside of it: padding."""
    return torch.arange(out)[:, None] * stride - padding + dilation * torch.arange(kernel)
