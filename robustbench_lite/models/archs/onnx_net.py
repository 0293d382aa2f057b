"""An ONNX graph as a module: converted to PyTorch, or asked through onnxruntime, which gives no gradient."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["AsTaken", "Runtime"]

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "float64": torch.float64}


class AsTaken(nn.Module):
    """`net` for images (N, C, H, W): in the layout, shape and type that it takes, and so many at a time."""

    def __init__(self, net: nn.Module, shape: tuple[int, ...] | None, dtype: str, group: int | None) -> None:
        """`shape`: of one image for the net; null: as it is. `group`: of how many images it takes; null: of any."""
        super().__init__()
        self.net, self.shape, self.dtype, self.group = net, shape, _DTYPES[dtype], group

    def forward(self, x: Tensor) -> Any:
        x = x.to(self.dtype)
        if self.shape is not None:
            last = len(self.shape) == x.ndim - 1 and self.shape[-1] == x.shape[1] and self.shape[0] != x.shape[1]
            x = x.permute(0, 2, 3, 1) if last else x.reshape(len(x), *self.shape)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using a non-tuple sequence")  # the converter's own slices
            return self.net(x) if self.group is None else _in_groups(self.net, x, self.group)


def _in_groups(net: Callable[[Tensor], Tensor], x: Tensor, n: int) -> Tensor:
    """Of exactly n images each; the last one is filled up with copies of its last image."""
    parts = [net(torch.cat([part, *[part[-1:]] * (n - len(part))]))[: len(part)] for part in torch.split(x, n)]
    return torch.cat(parts)


class Runtime(nn.Module):
    """The graph as onnxruntime runs it, on the CPU: logits without a gradient."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        self.model = model
        self._start()

    def _start(self) -> None:
        onnxruntime = import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        self.session = onnxruntime.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])
        self.given = self.session.get_inputs()[0].name

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._start()

    def forward(self, x: Tensor) -> Tensor:
        (out,) = self.session.run(None, {self.given: x.detach().cpu().contiguous().numpy()})
        return torch.from_numpy(out).to(x.device)
