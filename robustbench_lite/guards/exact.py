"""PyTorch's global switches on which the bits of a result depend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from robustbench_lite.lazy import torch

__all__ = ["deterministic"]


@contextmanager
def deterministic() -> Iterator[None]:
    """Same machine, versions and batch size: same bits; and no verdict depends on TensorFloat-32.

    Afterwards, also after an exception, PyTorch is set as it was.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    wanted: list[tuple[object, str, bool]] = [
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
        (cudnn, "allow_tf32", False),
    ]
    wanted.append((matmul, "allow_tf32", False))
    before = [(place, name, getattr(place, name)) for place, name, _ in wanted]
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


def _set(switches: list[tuple[object, str, bool]]) -> None:
    for place, name, value in switches:
        setattr(place, name, value)
