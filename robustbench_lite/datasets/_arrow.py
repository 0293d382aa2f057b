"""Arrow files as Hugging Face's `save_to_disk` writes them: streams of record batches, mapped instead of read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from robustbench_lite.datasets._columns import IMAGES, LABELS, class_names, column_named, images_in, labels_in
from robustbench_lite.datasets._known import ids_of_rows
from robustbench_lite.datasets._parts import Encoded, FileRows, row_id
from robustbench_lite.datasets._paths import read_file
from robustbench_lite.datasets._pictures import is_pointer
from robustbench_lite.errors import DataError
from robustbench_lite.guards.files import regular

__all__ = ["STATE", "ArrowRows", "arrow_files", "arrow_rows", "json_of"]

STATE = "state.json"  # which files hold the rows


class ArrowRows(FileRows):
    """What one file holds, as a `Part`."""

    def ids(self) -> list[str]:
        """Of all rows; an unchanged file is not read again."""
        return ids_of_rows(self.file, self.image, self._ids)

    def _ids(self) -> list[str]:
        with _readable(self.file) as opened:
            return [row_id(one) for start, batch in _batches(opened) for one in self._images(batch, start)]

    def images(self, rows: Iterable[int]) -> dict[int, Encoded]:
        """Some of them; of the others no page is touched."""
        wanted, found = sorted(rows), dict[int, Encoded]()
        with _readable(self.file) as opened:
            for start, batch in _batches(opened):
                for row in wanted:
                    if start <= row < start + len(batch):
                        (found[row],) = self._images(batch.slice(row - start, 1), row)
        return found

    def _images(self, batch: pa.RecordBatch, start: int) -> list[Encoded]:
        column = pa.chunked_array([batch.column(self.image)])
        return images_in(column, self.image, lambda i: self.place(start + i))


def arrow_files(folder: Path) -> list[Path]:
    """The files of a saved dataset, in their order. Raises DataError."""
    state = json_of(folder / STATE)
    if state.get("_indices_data_files"):
        raise DataError(f"{folder}: its rows are picked by a list of indices; save it after `flatten_indices()`")
    try:
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError):
        raise DataError(f"{folder / STATE}: expected the names of files in _data_files") from None
    if strange := next((name for name in names if Path(name).name != name), None):
        raise DataError(f"{folder / STATE}: expected files in its own folder, got '{strange}'")
    if gone := next((name for name in names if not (folder / name).exists()), None):
        raise DataError(f"{folder}: no file '{gone}', which {STATE} names; copy the whole folder")
    return [folder / name for name in names]


def json_of(path: Path) -> dict[str, Any]:
    """The object in a small file of JSON. Raises DataError."""
    try:
        found = json.loads(read_file(path))
    except (ValueError, RecursionError):
        raise DataError(f"{path}: not readable as JSON") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected an object of JSON")
    return found


def arrow_rows(file: Path, image: str, label: str, start: int) -> ArrowRows:
    """All of a file but its images. Raises DataError."""
    with _readable(file) as opened:
        names = opened.schema.names
        image = column_named(image, IMAGES, names, str(file))
        label = column_named(label, LABELS, names, str(file))
        found = [batch.column(label) for _, batch in _batches(opened)]
        column = pa.chunked_array(found, opened.schema.field(label).type)
        labels = labels_in(column, label, lambda row: f"{file} row {row}")
        return ArrowRows(file, image, labels, class_names(opened.schema, label), start)


def _batches(opened: pa.RecordBatchReader) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Record batches, with the number of their first row."""
    start = 0
    for batch in opened:
        yield start, batch
        start += len(batch)


@contextmanager
def _readable(file: Path) -> Iterator[pa.RecordBatchReader]:
    """The open file. Raises DataError, also for what goes wrong inside."""
    try:
        with regular(file).open("rb") as start:
            if is_pointer(start.read(64)):
                raise DataError(f"{file}: only a pointer of Git LFS lies here, not the file; run `git lfs pull`")
        with pa.memory_map(str(file)) as mapped, pa.ipc.open_stream(mapped) as opened:
            yield opened
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{file}: not a readable Arrow file ({reason}); save the dataset again") from None
