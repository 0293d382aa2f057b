"""The Parquet files of a cell, one a part: written and read under the schema, or a sentence why not."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from robustbench_lite.errors import StoreError
from robustbench_lite.results.made import GENERATED, GENERATORS, SPARSE_CODING, TRAINING
from robustbench_lite.results.schema import (
    ARTIFACTS,
    CELLS,
    FILE_VERSION,
    IMAGES,
    SAMPLES,
    Row,
    earliest,
)
from robustbench_lite.results.sealed import intact, opened, rows_of, seal

__all__ = ["NEWER", "PARTS", "empty", "files", "read_file", "stands", "table_of", "unwritable", "write_parquet"]

PARTS = {"samples": SAMPLES, "images": IMAGES, "artifacts": ARTIFACTS, "cells": CELLS}
PARTS |= {"generators": GENERATORS, "training": TRAINING, "generated": GENERATED, "sparse_coding": SPARSE_CODING}
NEWER = "is newer than this version's"
_KEY = b"robustbench_lite.schema"


def table_of(rows: list[Row], schema: pa.Schema) -> pa.Table:
    """Rows under the schema. Raises ValueError for a column that it lacks: pyarrow would drop it without a word."""
    unknown = {key for row in rows for key in row} - set(schema.names)
    if unknown:
        raise ValueError(f"columns that schema.py does not declare: {', '.join(sorted(unknown))}")
    table = pa.Table.from_pylist(rows, schema=schema)
    if name := _nulls(table):
        raise ValueError(f"a null in '{name}', which schema.py declares without")
    return table


def _nulls(table: pa.Table) -> str:
    """The first column with a null that may have none; empty: no such column."""
    fields = (field.name for field in table.schema if not field.nullable)
    return next((name for name in fields if table[name].null_count), "")


def write_parquet(table: pa.Table, path: Path, more: Iterable[pa.Table] = ()) -> None:
    """A table, and `more` below it, which need not be in memory together.

    Images shrink well; of small columns the fastest to read are those that are hardly compressed.
    """
    heavy = any(pa.types.is_binary(kind) for kind in table.schema.types)
    names = [field.name for field in table.schema if pa.types.is_string(field.type)]
    seal(table, path, more, compression="zstd" if heavy else "snappy", use_dictionary=names)


def empty(schema: pa.Schema) -> pa.Table:
    """No rows; unlike `schema.empty_table()` it does not import pandas (`table` must answer at once)."""
    return pa.table([pa.nulls(0, kind) for kind in schema.types], schema=schema)


def files(folder: Path) -> list[Path]:
    """The Parquet files in a folder, if there is one. Raises OSError where it cannot be looked into."""
    if not folder.is_dir():
        return []
    return sorted(folder / name for name in os.listdir(folder) if name.endswith(".parquet") and name[0] != ".")  # noqa: PTH208


def stands(path: Path) -> bool:
    """Whether a file of samples is there, ours, and as it was written."""
    try:
        content, sealed = intact(path)
    except (OSError, ValueError):
        return False
    return _KEY in content if sealed else read_file(path, SAMPLES)[0] is not None


def read_file(path: Path, schema: pa.Schema) -> tuple[pa.Table | None, str]:
    """One file under our schema, or why not: columns that an older version did not write are null."""
    try:
        file, sealed = opened(path)
        version = int((file.metadata.metadata or {}).get(_KEY, b"0"))
        if version == 0:
            return None, f"{path}: not written by robustbench_lite; left out"
        if version > FILE_VERSION:
            return None, f"{path}: schema {version} {NEWER} {FILE_VERSION}; upgrade to read it"
        if version == FILE_VERSION and not sealed:
            raise ValueError("its sha256 is missing")
        table = rows_of(file)
        if not (sealed and table.schema.equals(schema)):  # else it is what was checked when it was written
            table = _conform(table, schema, sealed=sealed)
        cells = set(table["cell"].to_pylist())
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return None, f"{path}: damaged ({reason[:100]}); left out"
    if cells != {path.stem}:
        return None, f"{path}: a copy, or renamed: its rows are of another cell; left out"
    return table, ""


def _conform(table: pa.Table, schema: pa.Schema, *, sealed: bool) -> pa.Table:
    """The columns of `schema`, in its order and types. Raises ValueError where some are missing or do not fit.

    Values are as they were written where a digest vouches for them; those of older files are looked at one by one.
    """
    known = dict(zip(table.column_names, table.columns, strict=True))
    if missing := [name for name in earliest(schema) if name not in known]:
        raise ValueError(f"no column '{missing[0]}'")
    columns = [
        pa.nulls(len(table), kind) if (own := known.get(name)) is None else own if own.type == kind else own.cast(kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    whole = pa.table(columns, schema=schema)
    if not sealed:
        whole.validate(full=True)
    if name := _nulls(whole):
        raise ValueError(f"a null in '{name}'")
    return whole


def unwritable(error: OSError, path: Path) -> StoreError:
    """What the system refused, in a sentence."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreError(f"{path}: the disk is full; make room, and the same command goes on where it stopped")
    return StoreError(f"{path}: cannot be written ({error.strerror or error})")
