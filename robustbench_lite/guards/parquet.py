"""Parquet files of unknown origin, read in parts: dictionaries, runs and prefixes stand for more than they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["pieces", "stored_size", "unfolded"]

_PART, _ROWS = 2**30, 1 << 16  # bytes and rows that are decoded at once, where a file could be a trap
_PIECE = 64 * 2**20  # bytes of rows that are looked at one after another
_WIDEST = 16  # bytes of a value that has a fixed width


def unfolded(file: pq.ParquetFile, check: Callable[[int, int], None], columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a file, or of some columns. `check` (rows, bytes so far) raises where that is too much."""
    least, largest, most = _sizes(file.metadata, columns)
    check(file.metadata.num_rows, least)
    wanted = None if columns is None else list(columns)
    try:
        check(file.metadata.num_rows, most)
    except Exception:  # noqa: BLE001  (not certain: it may be as small as it looks)
        return _in_parts(file, check, wanted, max(1, min(_ROWS, _PART // max(1, largest))))
    return file.read(columns=wanted, use_threads=False)


def _in_parts(
    file: pq.ParquetFile, check: Callable[[int, int], None], columns: list[str] | None, rows: int
) -> pa.Table:
    batches, size, n = list[pa.RecordBatch](), 0, 0
    for batch in file.iter_batches(batch_size=rows, columns=columns, use_threads=False):
        size, n = size + batch.nbytes, n + len(batch)
        check(n, size)
        batches.append(batch)
    return pa.Table.from_batches(batches) if batches else file.read(columns=columns, use_threads=False)


def pieces(file: pq.ParquetFile, column: str, groups: Iterable[int]) -> Iterator[tuple[int, pa.Table]]:
    """The rows of some row groups in one column, some MiB at a time, and the number of the first of them."""
    counts = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    for group in groups:
        start, rows = sum(counts[:group]), counts[group]
        *_, most = _sizes(file.metadata, [column], [group])
        size = max(1, min(_ROWS, rows * _PIECE // max(most, 1)))
        for batch in file.iter_batches(size, row_groups=[group], columns=[column], use_threads=False):
            yield start, pa.Table.from_batches([batch])
            start += len(batch)


def stored_size(about: pq.FileMetaData, column: str | None = None) -> int:
    """Bytes of all pages, or of those of one column, unpacked but not unfolded, as the file says."""
    if column is not None:
        return _sizes(about, [column])[0]
    return sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))


def _sizes(
    about: pq.FileMetaData, columns: Sequence[str] | None, groups: Iterable[int] | None = None
) -> tuple[int, int, int]:
    """Bytes that the columns take at least, the largest value of all, and bytes that they take at most."""
    least = largest = most = 0
    for group in range(about.num_row_groups) if groups is None else groups:
        row_group = about.row_group(group)
        for i in range(row_group.num_columns):
            part = row_group.column(i)
            if columns is not None and part.path_in_schema.split(".")[0] not in columns:
                continue
            stored = part.total_uncompressed_size
            fixed = part.physical_type not in {"BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"}
            value = _WIDEST if fixed else stored  # no value is larger than its column
            largest = max(largest, value)
            least += stored
            most += part.num_values * value
    return least, largest, most
