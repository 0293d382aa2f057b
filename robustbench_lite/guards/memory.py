"""Memory: how many images are looked at together; who says that it lacks and how; work in smaller parts then."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from robustbench_lite.lazy import torch

__all__ = ["auto_batch_size", "chunked", "give_back", "is_out_of_memory", "returned", "uncollected"]

T = TypeVar("T")
_WORDS = (
    "can't allocate memory",  # PyTorch's allocator on the CPU
    "not enough memory",  # the same on Windows
    "out of memory",  # CUDA as an error of the driver, MPS, XPU
    "could not create a memory object",  # oneDNN
    "bad_alloc",
    "cublas_status_alloc_failed",
    "cusolver_status_alloc_failed",
    "cusparse_status_insufficient_resources",
    "cudnn_status_alloc_failed",
    "cufft_alloc_failed",
    "insufficient memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Python and CUDA's allocator have classes of their own, libraries raise RuntimeError with words of theirs."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = " ".join(part for part in error.args if isinstance(part, str)).lower()
    return any(words in text for words in _WORDS)


def chunked(
    work: Callable[[slice], T], n: int, size: int, again: Callable[[], None] = lambda: None
) -> tuple[list[T], int]:
    """`work` on slices of at most `size` of n rows, and the size that it came to: half of it where memory runs out.

    `again` is called before a slice is tried anew. Raises what `work` raises, lack of memory at one row included.
    """
    parts: list[T] = []
    at = 0
    while at < n:
        try:
            parts.append(work(slice(at, min(at + size, n))))
            at += size
            continue
        except Exception as error:
            if not is_out_of_memory(error) or min(size, n - at) == 1:
                raise
        # outside of the handler: what failed no longer holds on to its tensors
        size = max(1, min(size, n - at) // 2)
        give_back()
        again()
    return parts, size


def give_back() -> None:
    """Let other allocations have what PyTorch keeps for itself."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # nothing where CUDA was not used


def returned() -> None:
    """Give free memory back to the system: what lies between things that live is not, and piles up shard by shard."""
    trim = getattr(_library(), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


@cache
def _library() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # a system without one
        return None


def auto_batch_size(x: torch.Tensor, device: torch.device, draws: int = 1) -> int:
    """A window that fills the device without thrashing its caches; the engine halves it when memory runs out.

    `draws`: passes of every image whose graphs live at the same time.
    """
    elements = x[0].numel() * draws
    if device.type == "cpu":
        return max(8, min(512, 2**19 // elements))
    return max(16, min(1024, 2**23 // elements))


@contextmanager
def uncollected() -> Iterator[None]:
    """For work on very many objects that all live until it is done: no looking for garbage among them."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
