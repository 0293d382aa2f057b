"""What a run has left, read back: files that cannot be read are left out, and named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from robustbench_lite.errors import NoResultsError, StoreError
from robustbench_lite.results._cell_files import PARTS, empty, files, read_file
from robustbench_lite.results.run_json import misfit
from robustbench_lite.results.schema import CELLS, SAMPLES
from robustbench_lite.results.sealed import parsed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "read", "runs"]

_MOST = 50  # problems that are told one by one
_AT_A_TIME = 4  # files
_TOGETHER = 256  # cells whose rows become one piece: a thousand pieces are slow to slice, one needs memory twice


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
        tables = [empty(PARTS[part])]
        for path in (self.folder / part / f"{one}.parquet" for one in cells):
            if path.is_file():
                table, problem = read_file(path, PARTS[part])
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
    whole, samples = [empty(CELLS)], [empty(SAMPLES)]
    for start in range(0, len(cells), _TOGETHER):
        some = cells[start : start + _TOGETHER]
        found = _read_all([folder / "samples" / f"{cell['cell'][0].as_py()}.parquet" for cell in some], SAMPLES)
        pairs = [_with_samples(cell, *one, problems) for cell, one in zip(some, found, strict=True)]
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
        run = parsed(path)
        if wrong := misfit(run):
            raise ValueError(wrong)
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"{path}: damaged ({error}); left out"]
    return run, []


def _read_cells(folder: Path, run: dict[str, Any], problems: list[str]) -> list[pa.Table]:
    """The cells of the last run in its order, one row each; earlier versions of a suite may have left others."""
    found: dict[str, pa.Table] = {}
    paths = list(files(folder / "cells"))
    for path, (table, problem) in zip(paths, _read_all(paths, CELLS), strict=True):
        if table is None:
            problems.append(problem)
        else:
            found[path.stem] = table.slice(0, 1)
    planned = run.get("cells")
    if not isinstance(planned, list):
        return list(found.values())
    return [found[cell] for cell in planned if isinstance(cell, str) and cell in found]


def _read_all(paths: Sequence[Path], schema: pa.Schema) -> list[tuple[pa.Table | None, str]]:
    """Each file's rows, or None and why not; several at a time, as digests and unpacking hold no lock of Python."""
    with ThreadPoolExecutor(min(_AT_A_TIME, os.cpu_count() or 1)) as pool:
        return list(pool.map(partial(_read_one, schema=schema), paths))


def _read_one(path: Path, schema: pa.Schema) -> tuple[pa.Table | None, str]:
    return read_file(path, schema) if path.exists() else (None, f"{path}: missing")


def _with_samples(
    cell: pa.Table, table: pa.Table | None, problem: str, problems: list[str]
) -> tuple[pa.Table, pa.Table]:
    """A cell and its samples. Without them it is not finished, whatever its row says: it becomes a failed one."""
    if table is not None:
        return cell, table
    if cell["status"][0].as_py() == "ok":
        problems.append(problem)
        row = cell.to_pylist()[0] | {"status": "failed", "error": "its samples cannot be read; run the suite again"}
        cell = pa.Table.from_pylist([row], schema=CELLS)
    return cell, empty(SAMPLES)
