"""PyTorch's global switches on which the bits of a result depend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from robustbench_lite.lazy import torch

__all__ = ["deterministic", "one_thread"]

Switch = tuple[object, str, bool]  # the place, the name of the switch there, on or off


@contextmanager
def deterministic() -> Iterator[None]:
    """Same machine, versions and batch size: same bits; and no verdict depends on TensorFloat-32.

    Afterwards, also after an exception, PyTorch is set as it was.
    """
    cudnn = torch.backends.cudnn
    wanted: list[Switch] = [(cudnn, "benchmark", False), (cudnn, "deterministic", True), (cudnn, "allow_tf32", False)]
    wanted.append((torch.backends.cuda.matmul, "allow_tf32", False))
    before: list[Switch] = [(place, name, getattr(place, name)) for place, name, _ in wanted]
    _set(wanted)
    try:
        yield
    finally:
        _set(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """On a CPU: the same bits with however many threads the rest runs; sums over threads differ in the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _set(switches: list[Switch]) -> None:
    for place, name, value in switches:
        setattr(place, name, value)
