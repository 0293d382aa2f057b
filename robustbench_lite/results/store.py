"""Results on disk: one immutable Parquet file per cell, written whole or not at all; reading survives anything.

A cell's row in `cells/` is written last and removed first, and is what makes the cell count: a run that is killed
leaves either all of a cell or nothing that is ever read.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from robustbench_lite.errors import NoResultsError, StoreError
from robustbench_lite.guards.sealed import atomically, flush, opened, parsed, rows_of, seal, sealed_json
from robustbench_lite.results.schema import ARTIFACTS, CELLS, FILE_VERSION, IMAGES, SAMPLES, Row, earliest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "Store", "read", "runs"]

_PARTS = {"samples": SAMPLES, "images": IMAGES, "artifacts": ARTIFACTS, "cells": CELLS}
_KEY = b"robustbench_lite.schema"
_NEWER = "is newer than this version's"
_MOST = 50  # problems that are told one by one
_TOGETHER = 256  # cells whose rows become one piece: a thousand pieces are slow to slice, one needs memory twice


@dataclass(frozen=True)
class Store:
    """Writes one results folder."""

    folder: Path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep a second run out of this folder while one is at work, and clear what a killed run left half-written.

        Raises StoreError where another run holds the folder. The lock goes with the process, however it ends. Results
        on a disk that nobody can write to need none.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # no link, no waiting pipe
            file = os.fdopen(os.open(self.folder / ".lock", flags, 0o644), "rb", buffering=0)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise StoreError(f"{self.folder}: another run is writing there; wait for it, or use --results") from None
        except OSError as error:
            if not self.read_only:
                raise _sentence(error, self.folder) from None
            yield
        else:
            with file:
                self._clear()
                yield

    @property
    def read_only(self) -> bool:
        """Whether there are results in the folder, and nothing can be added to them."""
        return (self.folder / "cells").is_dir() and not os.access(self.folder, os.W_OK)

    def _clear(self) -> None:
        for folder in (self.folder, *(self.folder / part for part in _PARTS)):
            for stale in folder.glob(".*.tmp"):
                with suppress(OSError):
                    stale.unlink()

    def write(
        self,
        cell: str,
        samples: list[Row],
        row: Row,
        images: list[Row] | None = None,
        artifacts: list[Row] | None = None,
    ) -> None:
        """Store one cell, replacing what was there. Raises StoreError (disk full, ...); then the cell does not count.

        Raises ValueError for a column that the schema lacks: pyarrow would drop it without a word.
        """
        contents = {"samples": samples, "images": images or [], "artifacts": artifacts or [], "cells": [row]}
        tables = {part: _table(rows, _PARTS[part]) for part, rows in contents.items()}
        self._drop(self._path("cells", cell))
        for part, table in tables.items():
            path = self._path(part, cell)
            if len(table):
                self._atomically(path, lambda temporary, table=table: _write_parquet(table, temporary))  # type: ignore[misc]
            else:
                self._drop(path)

    def relabel(self, cell: str, labels: Row, models: Mapping[str, str]) -> None:
        """Write a whole cell again under other names: columns of `cells`, and old to new classifiers. Images stay."""
        path = self._path("samples", cell)
        (row,), (samples, _) = self._sound([self._path("cells", cell)]), _read_file(path, SAMPLES)
        assert samples is not None
        warnings = [
            f"{models[name]}: {said}" if name in models else text  # "classifier: what is wrong"
            for text in row["warnings"] or []
            for name, _, said in [text.partition(": ")]
        ]
        columns = {key: value for key, value in labels.items() if key in SAMPLES.names and key != "weights"}
        rows = [old | columns | {"model": models.get(old["model"], old["model"])} for old in samples.to_pylist()]
        self._drop(self._path("cells", cell))
        for part, content in (("samples", rows), ("cells", [row | labels | {"warnings": warnings}])):
            table = _table(content, _PARTS[part])
            self._atomically(self._path(part, cell), lambda temporary, table=table: _write_parquet(table, temporary))  # type: ignore[misc]

    def remove(self, cell: str) -> None:
        """Take one cell out of the store; one that is not there is fine."""
        for part in ("cells", "samples", "images", "artifacts"):
            self._drop(self._path(part, cell))

    def has(self, cell: str) -> bool:
        """Whether the cell is whole in the store, be it finished or failed."""
        return any(row["cell"] == cell for row in self._sound([self._path("cells", cell)]))

    def finished(self) -> set[str]:
        """Ids of the cells that are whole in the store and did not fail."""
        return set(self.standing())

    def standing(self) -> dict[str, Row]:
        """The rows of the cells that are whole in the store and did not fail, by id."""
        return {row["cell"]: row for row in self._sound(_files(self.folder / "cells")) if row["status"] == "ok"}

    def _sound(self, marks: list[Path]) -> Iterator[Row]:
        for mark in marks:
            table, problem = _read_file(mark, CELLS)
            if _NEWER in problem:
                raise StoreError(f"{problem}, or use --results for another folder")
            row = table.to_pylist()[0] if table is not None else None
            if row and (row["status"] != "ok" or _stands(self._path("samples", row["cell"]))):
                yield row

    def write_run(self, run: dict[str, Any]) -> None:
        """Replace run.json. Raises StoreError."""
        content = sealed_json(run)
        self._atomically(self.folder / "run.json", lambda temporary: temporary.write_bytes(content))

    def write_figure(self, name: str, rows: pa.Table) -> Path:
        """Replace figures/NAME.parquet, the rows of a figure. Raises StoreError."""
        path = self.folder / "figures" / f"{name}.parquet"
        self._atomically(path, lambda temporary: _write_parquet(rows, temporary))
        return path

    def _path(self, part: str, cell: str) -> Path:
        return self.folder / part / f"{cell}.parquet"

    def _atomically(self, path: Path, write: Callable[[Path], object]) -> None:
        try:
            atomically(path, write)
        except OSError as error:
            raise _sentence(error, path) from None

    def _drop(self, path: Path) -> None:
        try:
            with suppress(FileNotFoundError):
                path.unlink()
                flush(path.parent)
        except OSError as error:
            raise _sentence(error, path) from None


def _table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    unknown = {key for row in rows for key in row} - set(schema.names)
    if unknown:
        raise ValueError(f"columns that record.py does not declare: {', '.join(sorted(unknown))}")
    table = pa.Table.from_pylist(rows, schema=schema)
    if empty := _nulls(table):
        raise ValueError(f"a null in '{empty}', which record.py declares without")
    return table


def _nulls(table: pa.Table) -> str:
    """The first column with a null that may have none; empty: no such column."""
    fields = (field.name for field in table.schema if not field.nullable)
    return next((name for name in fields if table[name].null_count), "")


def _write_parquet(table: pa.Table, path: Path) -> None:
    """Images shrink well; of small columns the fastest to read are those that are hardly compressed."""
    heavy = any(pa.types.is_binary(kind) for kind in table.schema.types)
    names = [field.name for field in table.schema if pa.types.is_string(field.type)]
    seal(table, path, compression="zstd" if heavy else "snappy", use_dictionary=names)


def _sentence(error: OSError, path: Path) -> StoreError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StoreError(f"{path}: the disk is full; make room, and the same command goes on where it stopped")
    return StoreError(f"{path}: cannot be written ({error.strerror or error}); use --results for another folder")


@dataclass(frozen=True)
class Results:
    """What is stored in one folder: Arrow tables inside, pandas DataFrames for users.

    `problems` names every file that could not be read; its cell counts as failed, or is absent.
    """

    folder: Path
    sample_table: pa.Table
    cell_table: pa.Table
    run: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    label: str = ""  # what its reader calls it beside others; empty: nothing was given
    memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)  # what was derived from it, once

    def samples(self) -> pd.DataFrame:
        """One row per sample and scored classifier."""
        frame: pd.DataFrame = self.sample_table.to_pandas()
        return frame

    def cells(self) -> pd.DataFrame:
        """One row per cell."""
        frame: pd.DataFrame = self.cell_table.to_pandas()
        return frame

    def images(self, cell: str | None = None) -> pa.Table:
        """The stored images of one cell, or of all; empty where none were kept. Raises StoreError where damaged."""
        return self._beside("images", cell)

    def artifacts(self, cell: str | None = None) -> pa.Table:
        """What the attacks of one cell, or of all, made for all samples together. Raises StoreError where damaged."""
        return self._beside("artifacts", cell)

    def _beside(self, part: str, cell: str | None) -> pa.Table:
        """The rows of one cell, or of all, in a part that not every cell has."""
        cells = self.cell_table["cell"].to_pylist() if cell is None else [cell]
        tables = [_empty(_PARTS[part])]
        for path in (self.folder / part / f"{one}.parquet" for one in cells):
            if path.is_file():
                table, problem = _read_file(path, _PARTS[part])
                if table is None:
                    raise StoreError(problem)
                tables.append(table)
        return pa.concat_tables(tables)


def read(folder: Path | str) -> Results:
    """The results in `folder`: cells in the order of the run, each with its samples.

    Files that cannot be read are left out and named in `problems`. Raises StoreError where there is no folder, or
    nothing in it that this version can read.
    """
    try:
        return _read(Path(folder))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read ({error.strerror or error})") from None


def _read(folder: Path) -> Results:
    if not folder.is_dir():
        raise NoResultsError(f"{folder}: no such folder; `run` writes results there")
    run, problems = _read_run(folder)
    cells = _read_cells(folder, run, problems)
    if not cells and not run:
        reason = problems[0] if problems else "expected a folder that `run` has written, such as results/NAME"
        raise NoResultsError(f"{folder}: no results there; {reason}")
    whole, samples = [_empty(CELLS)], [_empty(SAMPLES)]
    for start in range(0, len(cells), _TOGETHER):
        pairs = [_with_samples(folder, cell, problems) for cell in cells[start : start + _TOGETHER]]
        whole.append(pa.concat_tables(cell for cell, _ in pairs).combine_chunks())
        samples.append(pa.concat_tables(table for _, table in pairs).combine_chunks())
    if len(problems) > _MOST:
        problems = [*problems[:_MOST], f"{folder}: {len(problems) - _MOST} more files are left out for such reasons"]
    return Results(folder, pa.concat_tables(samples), pa.concat_tables(whole), run, tuple(problems))


def runs(folder: Path) -> list[Path]:
    """The results folders that `folder` stands for: itself, or those in it where it holds runs and is none."""
    try:
        if (folder / "run.json").exists() or (folder / "cells").is_dir() or not folder.is_dir():
            return [folder]
    except OSError:  # `read` says why
        return [folder]
    return sorted(path.parent for path in folder.glob("*/run.json")) or [folder]


def _read_run(folder: Path) -> tuple[dict[str, Any], list[str]]:
    path = folder / "run.json"
    try:
        return parsed(path), []
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{path}: damaged ({error}); left out"]


def _read_cells(folder: Path, run: dict[str, Any], problems: list[str]) -> list[pa.Table]:
    """The cells of the last run in its order, one row each; earlier versions of a suite may have left others."""
    found: dict[str, pa.Table] = {}
    for path in _files(folder / "cells"):
        table, problem = _read_file(path, CELLS)
        if table is None:
            problems.append(problem)
        else:
            found[path.stem] = table.slice(0, 1)
    planned = run.get("cells")
    if not isinstance(planned, list):
        return list(found.values())
    return [found[cell] for cell in planned if isinstance(cell, str) and cell in found]


def _with_samples(folder: Path, cell: pa.Table, problems: list[str]) -> tuple[pa.Table, pa.Table]:
    """A cell and its samples. Without them it is not finished, whatever its row says: it becomes a failed one."""
    name, status = cell["cell"][0].as_py(), cell["status"][0].as_py()
    path = folder / "samples" / f"{name}.parquet"
    table, problem = _read_file(path, SAMPLES) if path.is_file() else (None, f"{path}: missing")
    if table is not None:
        return cell, table
    if status == "ok":
        problems.append(problem)
        row = cell.to_pylist()[0] | {"status": "failed", "error": "its samples cannot be read; run the suite again"}
        cell = pa.Table.from_pylist([row], schema=CELLS)
    return cell, _empty(SAMPLES)


def _empty(schema: pa.Schema) -> pa.Table:
    """No rows; unlike `schema.empty_table()` it does not import pandas (`table` must answer at once)."""
    return pa.table([pa.nulls(0, kind) for kind in schema.types], schema=schema)


def _files(folder: Path) -> list[Path]:
    """The Parquet files in a folder, if there is one. Raises OSError where it cannot be looked into."""
    if not folder.is_dir():
        return []
    return sorted(folder / name for name in os.listdir(folder) if name.endswith(".parquet") and name[0] != ".")  # noqa: PTH208


def _stands(path: Path) -> bool:
    """Whether a file of samples is there, ours, and as it was written."""
    try:
        file, sealed = opened(path)
    except (pa.ArrowException, OSError, ValueError):
        return False
    return _KEY in (file.metadata.metadata or {}) if sealed else _read_file(path, SAMPLES)[0] is not None


def _read_file(path: Path, schema: pa.Schema) -> tuple[pa.Table | None, str]:
    """One file under our schema, or why not: columns that an older version did not write are null."""
    try:
        file, sealed = opened(path)
        version = int((file.metadata.metadata or {}).get(_KEY, b"0"))
        if version == 0:
            return None, f"{path}: not written by robustbench_lite; left out"
        if version > FILE_VERSION:
            return None, f"{path}: schema {version} {_NEWER} {FILE_VERSION}; upgrade to read it"
        if version == FILE_VERSION and not sealed:
            raise ValueError("its sha256 is missing")
        table = rows_of(file)
        if not (sealed and table.schema.equals(schema)):  # else it is what was checked when it was written
            table = _conform(table, schema)
        cells = set(table["cell"].to_pylist())
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return None, f"{path}: damaged ({reason[:100]}); left out"
    if cells != {path.stem}:
        return None, f"{path}: a copy, or renamed: its rows are of another cell; left out"
    return table, ""


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema`, in its order and types. Raises ValueError where some are missing or do not fit."""
    known = set(table.column_names)
    if missing := [name for name in earliest(schema) if name not in known]:
        raise ValueError(f"no column '{missing[0]}'")
    columns = [
        table[name].cast(kind) if name in known else pa.nulls(len(table), kind)
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    whole = pa.table(columns, schema=schema)
    whole.validate(full=True)
    if empty := _nulls(whole):
        raise ValueError(f"a null in '{empty}'")
    return whole
