"""Results on disk: one immutable Parquet file per cell, written whole or not at all; reading survives anything.

A cell's row in `cells/` is written last and removed first, and is what makes the cell count: a run that is killed
leaves either all of a cell or nothing that is ever read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from robustbench_lite.errors import StoreError
from robustbench_lite.guards.locking import UnlockableError, exclusive, shared
from robustbench_lite.results._cell_files import (
    NEWER,
    PARTS,
    empty,
    files,
    read_file,
    stands,
    table_of,
    unwritable,
    write_parquet,
)
from robustbench_lite.results._reading import Results, in_threads, read, read_all, runs
from robustbench_lite.results.made import MADE
from robustbench_lite.results.schema import ARTIFACTS, CELLS, IMAGES, SAMPLES, Row
from robustbench_lite.results.sealed import atomically, flush, sealed_json
from robustbench_lite.results.shards import Shards, sharded

__all__ = ["Results", "Store", "read", "runs"]

ATTACKED = ("samples", "images", "artifacts", "cells")  # the parts of a cell that attacks, its own row last


@dataclass(frozen=True)
class Store:
    """Writes one results folder."""

    folder: Path

    @contextmanager
    def lock(self, part: str = "") -> Iterator[None]:
        """Keep a second run out of this folder while one is at work, and clear what a killed run left half-written.

        `part`: of several runs that are at work here together, which this is; then each does so once, and what another
        is writing is not touched. Raises StoreError where another run holds the folder. The lock goes with the process,
        however it ends. Results on a disk that nobody can write to need none.
        """
        with ExitStack() as held:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                if part:
                    held.enter_context(shared(self.folder / ".lock"))
                held.enter_context(exclusive(self.folder / (f".lock-{part}" if part else ".lock")))
            except BlockingIOError:
                wait = "another run is writing there; wait for it, or use --results"
                raise StoreError(f"{self.folder}: {wait}") from None
            except UnlockableError as error:
                raise StoreError(f"{self.folder}: {error}; run there, results can be read anywhere") from None
            except OSError as error:
                if not self.read_only:
                    raise unwritable(error, self.folder) from None
            else:
                if not part:
                    self._clear()
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For a moment, of all runs that are at work here this is the only one: cells and run.json are written so.

        Raises StoreError.
        """
        with ExitStack() as held:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(exclusive(self.folder / ".writing", wait=True))
            except OSError as error:
                if not self.read_only:
                    raise unwritable(error, self.folder) from None
            yield

    @property
    def read_only(self) -> bool:
        """Whether there are results in the folder, and nothing can be added to them."""
        there = any((self.folder / part).is_dir() for part in ("cells", *MADE))
        return there and not os.access(self.folder, os.W_OK)

    def _clear(self) -> None:
        shards = (self.shards(cell).folder for cell in self.sharded())
        for folder in (self.folder, *(self.folder / part for part in PARTS), *shards):
            for stale in folder.glob(".*.tmp"):
                with suppress(OSError):
                    stale.unlink()

    def write(
        self,
        cell: str,
        samples: list[Row] | pa.Table,
        row: Row,
        images: list[Row] | Iterable[pa.Table] = (),
        artifacts: list[Row] | None = None,
    ) -> None:
        """Store one cell, replacing what was there; images may come in several tables, of which one is in memory.

        Raises StoreError (disk full, ...); then the cell does not count. Raises ValueError for a column that the schema
        lacks: pyarrow would drop it without a word.
        """
        contents: dict[str, Iterator[pa.Table]] = {
            "samples": iter([samples if isinstance(samples, pa.Table) else table_of(samples, SAMPLES)]),
            "images": iter([table_of(images, IMAGES)]) if isinstance(images, list) else iter(images),
            "artifacts": iter([table_of(artifacts or [], ARTIFACTS)]),
            "cells": iter([table_of([row], CELLS)]),
        }
        self._drop(self._path("cells", cell))
        for part, tables in contents.items():
            path, first = self._path(part, cell), next(tables, empty(PARTS[part]))
            if len(first):
                write = partial(write_parquet, first, more=tables)
                self._atomically(path, lambda temporary, write=write: write(temporary))  # type: ignore[misc]
            else:
                self._drop(path)

    def write_made(self, cell: str, contents: Mapping[str, list[Row]]) -> None:
        """Store a cell that attacks nothing: rows by part, its own last. Raises StoreError, ValueError as `write`."""
        tables = {part: table_of(rows, PARTS[part]) for part, rows in contents.items()}
        self._drop(self._path([*contents][-1], cell))
        for part, table in tables.items():
            if len(table):
                self._atomically(self._path(part, cell), lambda temporary, table=table: write_parquet(table, temporary))  # type: ignore[misc]
            else:
                self._drop(self._path(part, cell))

    def rename_made(self, kind: str, rows: list[Row]) -> None:
        """Replace the own rows of such a cell by those with other names. Raises StoreError."""
        table = table_of(rows, PARTS[kind])
        path = self._path(kind, rows[0]["cell"])
        self._atomically(path, lambda temporary: write_parquet(table, temporary))

    def made(self, kind: str) -> dict[str, list[Row]]:
        """The own rows of the cells of a kind of `MADE` that are in the store and did not fail, by id."""
        tables = (read_file(path, PARTS[kind])[0] for path in files(self.folder / kind))
        cells = [table.to_pylist() for table in tables if table is not None and len(table)]
        return {rows[0]["cell"]: rows for rows in cells if rows[0]["status"] == "ok"}

    def has_made(self, kind: str, cell: str) -> bool:
        """Whether such a cell is in the store, finished or failed."""
        return self._path(kind, cell).is_file()

    def shards(self, cell: str) -> Shards:
        """What is stored of a cell that is not finished."""
        return Shards(self.folder, cell)

    def sharded(self) -> set[str]:
        """The cells of which shards are stored."""
        return sharded(self.folder)

    def forget(self, cells: Iterable[str]) -> None:
        """Remove what shards there are of these cells: they are finished, or nobody asks for them."""
        for cell in self.sharded().intersection(cells):
            self.shards(cell).drop()

    def relabel(self, cell: str, labels: Row, models: Mapping[str, str]) -> None:
        """Write a whole cell again under other names: columns of `cells`, and old to new classifiers. Images stay."""
        path = self._path("samples", cell)
        (row,), (samples, _) = self._sound([self._path("cells", cell)]), read_file(path, SAMPLES)
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
            table = table_of(content, PARTS[part])
            self._atomically(self._path(part, cell), lambda temporary, table=table: write_parquet(table, temporary))  # type: ignore[misc]

    def remove(self, cell: str) -> None:
        """Take one cell out of the store; one that is not there is fine."""
        for part in reversed(ATTACKED):
            self._drop(self._path(part, cell))

    def copy(self, cell: str, source: Store, parts: Sequence[str] = ATTACKED) -> None:
        """Take a whole cell over from another folder, its own row, of the last part, last. Raises StoreError."""
        self._drop(self._path(parts[-1], cell))
        for part in parts:
            path = source._path(part, cell)
            if path.exists():
                self._atomically(self._path(part, cell), lambda temporary, path=path: shutil.copyfile(path, temporary))  # type: ignore[misc]

    def cells(self) -> list[str]:
        """Ids of all cells that are whole in the store, finished or failed."""
        return [row["cell"] for row in self._sound(files(self.folder / "cells"))]

    def has(self, cell: str) -> bool:
        """Whether the cell is whole in the store, be it finished or failed."""
        return bool(self._status(cell))

    def has_finished(self, cell: str) -> bool:
        """Whether it is there and did not fail."""
        return self._status(cell) == "ok"

    def _status(self, cell: str) -> str:
        rows = self._sound([self._path("cells", cell)])
        return next((str(row["status"]) for row in rows if row["cell"] == cell), "")

    def finished(self) -> set[str]:
        """Ids of the cells that are whole in the store and did not fail."""
        return set(self.standing())

    def standing(self) -> dict[str, Row]:
        """The rows of the cells that are whole in the store and did not fail, by id."""
        return {row["cell"]: row for row in self._sound(files(self.folder / "cells")) if row["status"] == "ok"}

    def _sound(self, marks: list[Path]) -> list[Row]:
        """The rows of those cells that are whole."""
        cells, problems = read_all(marks, CELLS, most=1)
        for problem in problems.values():
            if NEWER in problem:
                raise StoreError(f"{problem}, or use --results for another folder")
        rows = cells.to_pylist()
        samples = [self._path("samples", row["cell"]) for row in rows if row["status"] == "ok"]
        whole = {path.stem for some in in_threads(lambda part: list(filter(stands, part)), samples) for path in some}
        return [row for row in rows if row["status"] != "ok" or row["cell"] in whole]

    def write_run(self, run: dict[str, Any]) -> None:
        """Replace run.json. Raises StoreError."""
        content = sealed_json(run)
        with self.alone():
            self._atomically(self.folder / "run.json", lambda temporary: temporary.write_bytes(content))

    def write_figure(self, name: str, rows: pa.Table) -> Path:
        """Replace figures/NAME.parquet, the rows of a figure. Raises StoreError."""
        path = self.folder / "figures" / f"{name}.parquet"
        self._atomically(path, lambda temporary: write_parquet(rows, temporary))
        return path

    def _path(self, part: str, cell: str) -> Path:
        return self.folder / part / f"{cell}.parquet"

    def _atomically(self, path: Path, write: Callable[[Path], object]) -> None:
        try:
            atomically(path, write)
        except OSError as error:
            raise unwritable(error, path) from None

    def _drop(self, path: Path) -> None:
        try:
            with suppress(FileNotFoundError):
                path.unlink()
                flush(path.parent)
        except OSError as error:
            raise unwritable(error, path) from None
