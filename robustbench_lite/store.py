"""Results on disk: one immutable Parquet file per cell, written whole or not at all; reading survives anything.

A cell's row in `cells/` is written last and is what makes it count: a run that is killed leaves either all of a cell or
nothing that is ever read.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from robustbench_lite.errors import StoreError
from robustbench_lite.record import CELLS, IMAGES, SAMPLES, SCHEMA_VERSION, Row

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "Store", "read"]

_PARTS = {"samples": SAMPLES, "images": IMAGES, "cells": CELLS}
_KEY = b"robustbench_lite.schema"


@dataclass(frozen=True)
class Store:
    """Writes one results folder."""

    folder: Path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second run out of this folder while one is at work, and clear what a killed run left half-written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("w")
        except OSError as error:
            raise _sentence(error, self.folder) from None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StoreError(
                    f"{self.folder}: another run is writing there; wait for it, or use --results"
                ) from None
            for stale in self.folder.glob("**/.*.tmp"):
                stale.unlink(missing_ok=True)
            yield

    def write(self, cell: str, samples: list[Row], row: Row, images: list[Row]) -> None:
        """Store one cell. Raises StoreError (disk full, ...) and then leaves nothing that counts."""
        for part, rows in (("samples", samples), ("images", images), ("cells", [row])):
            path = self.folder / part / f"{cell}.parquet"
            if rows:
                self._put(path, pa.Table.from_pylist(rows, schema=_PARTS[part]))
            else:
                path.unlink(missing_ok=True)

    def finished(self) -> set[str]:
        """Ids of the cells that are stored and did not fail."""
        table, _ = _read_part(self.folder, "cells")
        return {row["cell"] for row in table.select(["cell", "status"]).to_pylist() if row["status"] == "ok"}

    def write_run(self, run: dict[str, Any]) -> None:
        """Replace run.json."""
        text = json.dumps(run, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        self._atomically(self.folder / "run.json", lambda path: path.write_text(text, encoding="utf-8"))

    def _put(self, path: Path, table: pa.Table) -> None:
        self._atomically(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))

    def _atomically(self, path: Path, write: Any) -> None:
        """Write to a dot-file that no reader looks at, flush it to the disk, then give it its name."""
        temporary = path.parent / f".{path.stem}.tmp"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            _flush(temporary)
            temporary.replace(path)
            _flush(path.parent)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _sentence(error, path) from None


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sentence(error: OSError, path: Path) -> StoreError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreError(f"{path}: the disk is full; make room, and the same command goes on where it stopped")
    return StoreError(f"{path}: cannot be written ({error.strerror or error}); use --results for another folder")


@dataclass(frozen=True)
class Results:
    """What is stored in one folder: Arrow tables inside, pandas DataFrames for users."""

    folder: Path
    sample_table: pa.Table
    cell_table: pa.Table
    run: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def samples(self) -> pd.DataFrame:
        """One row per sample and scored classifier."""
        frame: pd.DataFrame = self.sample_table.to_pandas()
        return frame

    def cells(self) -> pd.DataFrame:
        """One row per cell."""
        frame: pd.DataFrame = self.cell_table.to_pandas()
        return frame

    def images(self, cell: str) -> pa.Table:
        """The stored images of one cell; an empty table where none were kept. Raises StoreError for a damaged file."""
        path = self.folder / "images" / f"{cell}.parquet"
        if not path.is_file():
            return IMAGES.empty_table()
        table, problem = _read_file(path, IMAGES)
        if table is None:
            raise StoreError(problem)
        return table


def read(folder: Path | str) -> Results:
    """The results in `folder`. Files that cannot be read are left out and named in `problems`.

    Raises StoreError where there is no folder, or nothing in it that we wrote.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder; `run` writes results there")
    run, broken = _read_run(folder)
    cells, bad_cells = _read_part(folder, "cells")
    samples, bad_samples = _read_part(folder, "samples")
    if not run and len(cells) == 0:
        raise StoreError(f"{folder}: no results there; expected a folder that `run` has written, such as results/NAME")
    if planned := run.get("cells"):  # earlier versions of a suite may have left other cells
        cells = cells.filter(pc.is_in(cells["cell"], pa.array(planned, pa.string())))
        order = {cell: i for i, cell in enumerate(planned)}
        cells = cells.take(sorted(range(len(cells)), key=lambda i: order[cells["cell"][i].as_py()]))
    samples = samples.filter(pc.is_in(samples["cell"], cells["cell"].combine_chunks()))
    return Results(folder, samples, cells, run, (*broken, *bad_cells, *bad_samples))


def _read_run(folder: Path) -> tuple[dict[str, Any], list[str]]:
    path = folder / "run.json"
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as error:
        return {}, [f"{path}: cannot be read ({error})"]
    return (run, []) if isinstance(run, dict) else ({}, [f"{path}: expected a JSON object"])


def _read_part(folder: Path, part: str) -> tuple[pa.Table, list[str]]:
    """All readable files of one kind, in the order of their names."""
    tables, problems = [], []
    for path in sorted((folder / part).glob("*.parquet")):
        if path.name.startswith("."):
            continue
        table, problem = _read_file(path, _PARTS[part])
        if table is None:
            problems.append(problem)
        else:
            tables.append(table)
    return (pa.concat_tables(tables) if tables else _PARTS[part].empty_table()), problems


def _read_file(path: Path, schema: pa.Schema) -> tuple[pa.Table | None, str]:
    """One file under our schema: columns that an older version did not write are null."""
    try:
        file = pq.ParquetFile(path)
        written = file.schema_arrow.metadata or {}
        if _KEY not in written:
            return None, f"{path}: not written by robustbench_lite; left out"
        if int(written[_KEY]) > SCHEMA_VERSION:
            newer = written[_KEY].decode()
            return None, f"{path}: schema {newer} is newer than this version's {SCHEMA_VERSION}; upgrade to read it"
        table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        return None, f"{path}: damaged ({str(error).splitlines()[0][:100]}); left out"
    columns = [
        table[name].cast(schema.field(name).type)
        if name in table.column_names
        else pa.nulls(len(table), schema.field(name).type)
        for name in schema.names
    ]
    return pa.table(columns, schema=schema), ""
