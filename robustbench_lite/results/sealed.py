"""Files that are whole or absent, and Parquet files that notice when one of their bits has changed.

Parquet has checksums of pages but none of its directory, the footer: one bit flipped there can turn a column into nulls
without a word. So the footer of ours holds the sha256 of the whole file, taken with zeros in the digest's own place.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robustbench_lite.guards.files import contents
from robustbench_lite.guards.parquet import stored_size, unfolded

__all__ = [
    "atomically",
    "flush",
    "intact",
    "make",
    "opened",
    "parsed",
    "rows_of",
    "seal",
    "sealed_json",
    "write_bytes",
    "write_text",
]

DIGEST = b"robustbench_lite.sha256"
_KEY, _SEALED = "sha256", "sealed"  # of a JSON object: the digest of everything else in it, and that there is one
_BLANK = b"0" * 64
_MARK = DIGEST + b"\x18\x40"  # then come 64 bytes: Thrift's way to write a text of that length
_BLOCK = 1 << 20
_LARGEST, _LARGEST_JSON = 16 << 30, 256 << 20  # bytes that are read of one file
_UNFOLDED = 2 << 30  # bytes that the rows of any file may take in memory
_PACKED, _GROWTH = 200, 8  # or so many times the file's, and its pages'


def atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write to a dot-file that no reader looks at, flush it to the disk, then give it its name. Raises OSError.

    What is no regular file, such as /dev/stdout, is written to as it is; a link keeps leading to its file.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        write(path)
        return
    temporary = path.parent / f".{path.stem}.tmp"
    try:
        make(path.parent)
        write(temporary)
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def make(folder: Path) -> None:
    """Create a folder so that it is still there after a power cut. Raises OSError."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        flush(folder.parent)


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace a text file, whole or not at all; what is not Unicode becomes an escape. Raises OSError."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file, whole or not at all. Raises OSError."""
    atomically(path, lambda temporary: temporary.write_bytes(content))


def seal(table: pa.Table, path: Path, more: Iterable[pa.Table] = (), **options: Any) -> None:
    """Write a table, and `more` below it, as Parquet with checksums of its pages and a digest of the file.

    Raises OSError.
    """
    with pq.ParquetWriter(path, table.schema, write_page_checksum=True, **options) as writer:
        for part in chain([table], more):
            writer.write_table(part)
        writer.add_key_value_metadata({DIGEST: _BLANK})
    with path.open("r+b") as file:
        digest = hashlib.sha256()
        while block := file.read(_BLOCK):
            digest.update(block)
        file.seek(_place_in_footer(path))
        file.write(digest.hexdigest().encode())


def _place_in_footer(path: Path) -> int:
    """Where the digest of a file that was just written begins."""
    with path.open("rb") as file:
        end = file.seek(-8, os.SEEK_END)
        start = end - int.from_bytes(file.read(4), "little")
        file.seek(start)
        return start + file.read(end - start).rindex(_MARK) + len(_MARK)


def opened(path: Path) -> tuple[pq.ParquetFile, bool]:
    """A Parquet file in memory, and whether its digest vouches for every bit of it; older ones have none.

    Raises ValueError where the digest is not that of the file, and what pyarrow raises for what is no Parquet.
    """
    content, sealed = intact(path)
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=not sealed)
    if stored_size(file.metadata) > max(_UNFOLDED, _PACKED * len(content)):
        raise ValueError(f"its pages would unpack to more than {_PACKED} times its size")
    return file, sealed


def intact(path: Path) -> tuple[bytes, bool]:
    """What is in a Parquet file, and whether its digest vouches for every bit of it. Raises OSError, ValueError."""
    content = contents(path, _LARGEST)
    return content, _vouched(content)


def rows_of(file: pq.ParquetFile) -> pa.Table:
    """All rows of a file. Raises ValueError where they would take far more memory than results do."""
    limit = max(_UNFOLDED, _GROWTH * stored_size(file.metadata))

    def check(_: int, size: int) -> None:
        if size > limit:
            raise ValueError(f"its rows would take more than {limit / 2**30:.1f} GiB of memory")

    return unfolded(file, check)


def _vouched(content: bytes) -> bool:
    place = content.rfind(_MARK) + len(_MARK)
    if place < len(_MARK):
        return False
    view, end = memoryview(content), place + len(_BLANK)
    digest = hashlib.sha256(view[:place])
    digest.update(_BLANK)
    digest.update(view[end:])
    if digest.hexdigest().encode() != view[place:end]:
        raise ValueError("its sha256 is not the one that it was written with")
    return True


def sealed_json(content: dict[str, Any]) -> bytes:
    """A JSON object as text, with a digest of what it holds; what is not Unicode becomes an escape."""
    plain = json.loads(json.dumps(content)) | {_SEALED: True}
    text = json.dumps({**plain, _KEY: _digest(plain)}, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    return text.encode("utf-8", "backslashreplace")


def parsed(path: Path) -> dict[str, Any]:
    """The JSON object in a file; one without a digest was written by an older version.

    Raises OSError, and ValueError where it is damaged.
    """
    content = json.loads(contents(path, _LARGEST_JSON).decode("utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {type(content).__name__}")
    sealed = _KEY in content
    if sealed and content.pop(_KEY) != _digest(content):
        raise ValueError("its sha256 is not the one that it was written with")
    if content.pop(_SEALED, False) and not sealed:
        raise ValueError("its sha256 is missing")
    return content


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
