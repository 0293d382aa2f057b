"""Weights that would unpack to far more than their file are refused before anything of that size is allocated.

PyTorch's unpickler runs no code, but it follows sizes that a file only claims: deflated entries, views of one number
with a billion rows, `bytearray(10**11)`. Honest weights are about as large as their file.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.files import regular
from robustbench_lite.lazy import torch

__all__ = ["DEEPEST", "LARGEST", "check_file", "check_nesting", "check_tensors"]

LARGEST = 32 * 2**30  # bytes of a file; the largest published image classifiers have half of that
DEEPEST, _MOST = 3, 20_000  # mappings within mappings that are looked into, and how many of them
_GROWTH = 8  # eight bits become float32, and two names may share a tensor
_SPARE = 2**20  # bytes; small files are mostly names
_END, _END64, _LOCATOR = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_END_BYTES, _LOCATOR_BYTES, _END64_BYTES = 22, 20, 56
_ZIP = b"PK\3\4"
_BYTES = b"\nbytearray\n"  # a global that PyTorch's unpickler allows: its argument is a number of bytes


def check_file(path: Path, what: str) -> None:
    """Raises ModelError for a file of weights that is a trap; nothing of it is unpacked."""
    try:
        size = regular(path, LARGEST).stat().st_size
        with path.open("rb") as file:
            is_zip = file.read(4) == _ZIP  # as PyTorch decides it
        foreign = is_zip and _archived(path, size, what)
        foreign = foreign or (not is_zip and path.suffix != ".safetensors" and _streamed(path))
    except OSError as error:
        raise ModelError(f"{what}: '{path.name}' cannot be read ({error.strerror or error})") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        raise ModelError(f"{what}: '{path.name}' is damaged or cut off ({error}); save or download it again") from None
    if foreign:
        raise ModelError(f"{what}: '{path.name}' holds more than weights (bytearray), and was not loaded")


def _archived(path: Path, size: int, what: str) -> bool:
    """Whether PyTorch's archive names `bytearray`; its entries must not be larger than its file explains."""
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        if not _has_one_directory(path, size):
            raise zipfile.BadZipFile("its directory is not where it must be")
        inside = sum(entry.file_size for entry in archive.infolist())
        _check_growth(inside, size, what, path.name)
        pickles = [entry for entry in archive.infolist() if entry.filename.rpartition("/")[2] == "data.pkl"]
        return any(_BYTES in archive.read(entry) for entry in pickles)


def _streamed(path: Path) -> bool:
    """The same of a file in PyTorch's old format, pickles and numbers one after the other."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_BYTES) >= 0


def _has_one_directory(path: Path, size: int) -> bool:
    """Whether the directory ends where the end record begins, so that all readers of archives see the same one."""
    with path.open("rb") as file:
        file.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES - _END64_BYTES))
        tail = file.read()
    end, locator = tail[-_END_BYTES:], tail[-_END_BYTES - _LOCATOR_BYTES : -_END_BYTES]
    if end[:4] != _END or end[-2:] != b"\0\0":  # or a comment, in which another end may hide
        return False
    if locator[:4] != _LOCATOR:
        length, start = struct.unpack("<2I", end[12:20])
        return bool(start + length == size - _END_BYTES)
    (place,) = struct.unpack("<Q", locator[8:16])
    length, start = struct.unpack("<2Q", tail[40:56])
    return tail[:4] == _END64 and place == size - len(tail) == start + length


def check_nesting(state: object, what: str, file: str) -> None:
    """Raises ModelError where mappings hold mappings without end: a file can name one a thousand times."""
    level = [state]
    for _ in range(DEEPEST + 1):
        inner = (value for one in level if isinstance(one, Mapping) for value in one.values())
        level = list(islice((value for value in inner if isinstance(value, Mapping)), _MOST + 1))
        if len(level) > _MOST:
            raise ModelError(f"{what}: '{file}' holds more than {_MOST:,} mappings within mappings, and was not loaded")


def check_tensors(tensors: Iterable[torch.Tensor], size: int, what: str, file: str) -> None:
    """Raises ModelError for what is no plain tensor, and where all as float32 need far more than the file's `size`."""
    total = 0
    for tensor in tensors:
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            kind = "quantised" if tensor.is_quantized else f"{tensor.layout} on {tensor.device.type}"
            raise ModelError(f"{what}: '{file}' holds a tensor that is not plain ({kind}); save the weights as float32")
        total += tensor.numel() * max(tensor.element_size(), 4)
    _check_growth(total, size, what, file)


def _check_growth(inside: int, size: int, what: str, file: str) -> None:
    if inside > _GROWTH * size + _SPARE:
        raise ModelError(
            f"{what}: '{file}' has {size:,} bytes and would unpack to {inside:,}, more than {_GROWTH} times as many, "
            "and was not loaded; are there tensors that are views of fewer numbers? save copies of them"
        )
