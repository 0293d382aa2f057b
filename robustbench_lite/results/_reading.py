"""What a run has left, read back: files that cannot be read are left out, and named."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from robustbench_lite.errors import NoResultsError, StoreError, nearest
from robustbench_lite.guards.memory import uncollected
from robustbench_lite.results._cell_files import PARTS, empty, files, read_file
from robustbench_lite.results.made import GENERATORS, MADE, SPARSE_CODING
from robustbench_lite.results.run_json import misfit
from robustbench_lite.results.schema import CELLS, SAMPLES, Row
from robustbench_lite.results.sealed import parsed
from robustbench_lite.text import listed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "in_threads", "read", "read_all", "runs"]

T = TypeVar("T")

_MOST = 50  # problems that are told one by one
_AT_A_TIME = 4  # files
# a part, and where run.json has its cells in order
_PLANNED = {"cells": "cells"} | {part: kind.planned for part, kind in MADE.items()}
_TOGETHER = 128  # files whose rows become one piece: a thousand pieces are slow to slice, one needs memory twice


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
    generator_table: pa.Table = field(default_factory=lambda: empty(GENERATORS))
    sparse_coding_table: pa.Table = field(default_factory=lambda: empty(SPARSE_CODING))
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

    def generators(self) -> pd.DataFrame:
        """One row per cell that makes and judges a generator."""
        frame: pd.DataFrame = self.generator_table.to_pandas()
        return frame

    def training(self, cell: str | None = None) -> pa.Table:
        """Losses and scores on the way, a row per logged step, of one generator or of all."""
        return self._beside("training", cell, self.generator_table)

    def generated(self, cell: str | None = None) -> pa.Table:
        """The stored images of one generator, or of all. Raises StoreError where damaged."""
        return self._beside("generated", cell, self.generator_table)

    def sparse_coding(self) -> pd.DataFrame:
        """One row per layer of a measured pursuit."""
        frame: pd.DataFrame = self.sparse_coding_table.to_pandas()
        return frame

    def made(self) -> list[Row]:
        """A row for each cell that attacks nothing: its id, dataset and name, whether and why it has failed."""
        columns = ["cell", "name", "status", "error", "traceback"]
        sparse = {row["cell"]: row for row in self.sparse_coding_table.select(columns).to_pylist()}
        known: list[Row] = self.generator_table.select([*columns, "dataset"]).to_pylist()
        return known + [row | {"dataset": MADE["sparse_coding"].word} for row in sparse.values()]

    def _beside(self, part: str, cell: str | None, of: pa.Table | None = None) -> pa.Table:
        """The rows of one cell, or of all of a table, in a part that not every cell has."""
        table = self.cell_table if of is None else of
        cells = table["cell"].to_pylist() if cell is None else [cell]
        tables = [empty(PARTS[part])]
        for path in (self.folder / part / f"{one}.parquet" for one in cells):
            if path.is_file():
                found, problem = read_file(path, PARTS[part])
                if found is None:
                    raise StoreError(problem)
                tables.append(found)
        return pa.concat_tables(tables)


@uncollected()
def read(folder: Path | str) -> Results:
    """The results in `folder`: cells in the order of the run, each with its samples.

    Files that cannot be read are left out and named in `problems`. Raises StoreError where there is no folder, or
    nothing in it that this version can read.
    """
    try:
        return _read(Path(folder))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read ({error.strerror or error})") from None


def _meant(folder: Path) -> str:
    """A question after a folder of a similar name beside it, or of its name under results/; empty: there is none."""
    inside = Path("results") / folder
    known = [one.name for one in folder.parent.iterdir() if one.is_dir()] if folder.parent.is_dir() else []
    near = folder.parent / found if (found := nearest(folder.name, known)) else None
    there = inside if inside.is_dir() else near
    return f"; did you mean '{there}'?" if there else ""


def _read(folder: Path) -> Results:
    if not folder.is_dir():
        raise NoResultsError(f"{folder}: no such folder{_meant(folder) or '; `run` writes results there'}")
    run, problems = _read_run(folder)
    cells = _read_cells(folder, run, problems)
    generators = _read_cells(folder, run, problems, "generators", GENERATORS)
    sparse = _read_cells(folder, run, problems, "sparse_coding", SPARSE_CODING, most=None)
    if not (len(cells) or len(generators) or len(sparse) or run):
        inside = [str(path) for path in runs(folder) if path != folder]
        hint = f"it holds {listed(inside)}: name one of them" if inside else "expected a folder that `run` has written"
        reason = problems[0] if problems else hint if inside else f"{hint}, such as results/NAME"
        raise NoResultsError(f"{folder}: no results there; {reason}")
    cells, samples = _with_samples(folder, cells, problems)
    if len(problems) > _MOST:
        problems = [*problems[:_MOST], f"{folder}: {len(problems) - _MOST} more files are left out for such reasons"]
    tables = {"generator_table": generators, "sparse_coding_table": sparse}
    return Results(folder, samples, cells, run, tuple(problems), **tables)


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
        run = parsed(path)
        if wrong := misfit(run):
            raise ValueError(wrong)
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{path}: damaged ({error}); left out"]
    return run, []


def _read_cells(
    folder: Path,
    run: dict[str, Any],
    problems: list[str],
    part: str = "cells",
    schema: pa.Schema = CELLS,
    most: int | None = 1,
) -> pa.Table:
    """The cells of the last run in its order, `most` rows each; earlier versions of a suite may have left others."""
    found = {path.stem: path for path in files(folder / part)}
    planned = run.get(_PLANNED[part])
    order = found if not isinstance(planned, list) else dict.fromkeys(c for c in planned if isinstance(c, str))
    cells, damaged = read_all([found.pop(cell) for cell in list(order) if cell in found], schema, most)
    _, others = read_all(list(found.values()), schema, most=0)  # which of them are damaged is all that is asked
    problems += [*damaged.values(), *others.values()]
    return cells


def _with_samples(folder: Path, cells: pa.Table, problems: list[str]) -> tuple[pa.Table, pa.Table]:
    """Cells and their samples. A cell without them is not finished, whatever its row says: it becomes a failed one."""
    ids, ok = cells["cell"].to_pylist(), [status == "ok" for status in cells["status"].to_pylist()]
    samples, lost = read_all([folder / "samples" / f"{cell}.parquet" for cell in ids], SAMPLES)
    failed = [i for i, cell in enumerate(ids) if ok[i] and cell in lost]
    problems += [lost[ids[i]] for i in failed]
    pieces, start = [], 0
    for i in failed:
        row = cells.slice(i, 1).to_pylist()[0]
        row |= {"status": "failed", "error": "its samples cannot be read; run the suite again"}
        pieces += [cells.slice(start, i - start), pa.Table.from_pylist([row], schema=CELLS)]
        start = i + 1
    return pa.concat_tables([*pieces, cells.slice(start)]).combine_chunks(), samples


def in_threads(work: Callable[[Sequence[Path]], T], paths: Sequence[Path]) -> list[T]:
    """`work` on some of the files after the others, several at a time: digests and unpacking hold no lock of Python."""
    parts = [paths[start : start + _TOGETHER] for start in range(0, len(paths), _TOGETHER)]
    with ThreadPoolExecutor(min(_AT_A_TIME, os.cpu_count() or 1)) as pool:
        return list(pool.map(work, parts))


def read_all(paths: Sequence[Path], schema: pa.Schema, most: int | None = None) -> tuple[pa.Table, dict[str, str]]:
    """The rows of all files, of each at most so many, and why a file cannot be read, by its cell."""
    read = in_threads(partial(_read_some, schema=schema, most=most), paths)
    return pa.concat_tables([empty(schema), *(table for table, _ in read)]), {
        k: v for _, one in read for k, v in one.items()
    }


def _read_some(paths: Sequence[Path], schema: pa.Schema, most: int | None) -> tuple[pa.Table, dict[str, str]]:
    """The same of some files, in one piece: small tables that are kept make every later one slower to allocate."""
    tables, wrong = [empty(schema)], {}
    for path in paths:
        table, problem = read_file(path, schema) if path.exists() else (None, f"{path}: missing")
        if table is None:
            wrong[path.stem] = problem
        else:
            tables.append(table.slice(0, most))
    return pa.concat_tables(tables).combine_chunks(), wrong
