"""Parquet files in the layout of Hugging Face: `image: struct<bytes, path>` and `label`, or with pixels in lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from robustbench_lite.datasets._columns import IMAGES, LABELS, class_names, column_named, images_in, labels_in
from robustbench_lite.datasets._known import ids_of_rows
from robustbench_lite.datasets._labels import listed
from robustbench_lite.datasets._parts import Encoded, FileRows, RowSource, row_id
from robustbench_lite.datasets._paths import find, missing
from robustbench_lite.datasets._pictures import is_pointer
from robustbench_lite.datasets._room import check_room, room
from robustbench_lite.datasets.base import Samples, datasets
from robustbench_lite.errors import DataError
from robustbench_lite.guards.files import regular
from robustbench_lite.guards.parquet import pieces, stored_size, unfolded

__all__ = ["Parquet"]

_GROWTH = 64  # times as many bytes as a file has may its images take, where that is more than there is room for
_BUFFER = 2**20  # bytes that are read of a file at once
_ADVICE = "split the file, or take a smaller one"
_HALF = re.compile(r"(train|training|val|valid|validation|dev|test|extra)(?![a-z])", re.IGNORECASE)


class Rows(FileRows):
    """What one file holds, as a `Part`."""

    def ids(self) -> list[str]:
        """Of all rows; an unchanged file is not read again."""
        return ids_of_rows(self.file, self.image, lambda: [row_id(image) for _, image in self._all()])

    def images(self, rows: Iterable[int]) -> dict[int, Encoded]:
        """Some of them: row groups that hold none are not read."""
        wanted = np.array(sorted(rows))
        with _readable(self.file) as opened:
            counts = [opened.metadata.row_group(group).num_rows for group in range(opened.num_row_groups)]
            held = np.unique(np.searchsorted(np.cumsum(counts), wanted, side="right"))
            found = dict[int, Encoded]()
            for start, table in pieces(opened, self.image, held.tolist()):
                here = wanted[(wanted >= start) & (wanted < start + len(table))]
                found.update(self._images(table.take(here - start), here.tolist()))
        return found

    def _all(self) -> Iterator[tuple[int, Encoded]]:
        """Raises DataError where the file stands for far more than it holds."""
        with _readable(self.file) as opened:
            most = max(room(), _GROWTH * self.file.stat().st_size)
            self._check(stored_size(opened.metadata, self.image), most)
            size = 0
            for start, table in pieces(opened, self.image, range(opened.num_row_groups)):
                size += table.nbytes
                self._check(size, most)
                yield from self._images(table, range(start, start + len(table)))

    def _check(self, size: int, most: int) -> None:
        if size > most:
            check_room(size, f"{self.file}, {len(self.labels)} rows", _ADVICE)

    def _images(self, table: pa.Table, rows: Sequence[int]) -> Iterable[tuple[int, Encoded]]:
        found = images_in(table[self.image], self.image, lambda i: self.place(rows[i]) if len(rows) else str(self.file))
        return zip(rows, found, strict=True)


@datasets.register("parquet")
class Parquet(RowSource):
    """Images and labels in one Parquet file, or in several: those of a folder, or of a pattern such as test-*."""

    parquet: str = Field(description="The file, a folder of files, or a pattern such as data/test-*.parquet.")
    image: str = Field(
        "image",
        description="Column of the images: bytes, a struct with a field bytes, or lists of rows of pixels.",
    )
    label: str = Field("label", description="Column of the labels: numbers, names, or one-hot lists.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from missing("parquet", lambda: self._files(root))
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        parts, n = list[Rows](), 0
        for file in self._files(root):
            parts.append(self._read(file, n))
            n += len(parts[-1].labels)
        return self.of_parts(self.parquet, parts)

    def _folder_of_pattern(self) -> Path | None:
        path = Path(self.parquet)
        return path.parent if any(sign in path.name for sign in "*?[") else None

    def _files(self, root: Path) -> list[Path]:
        folder = self._folder_of_pattern()
        path = find(str(folder) if folder else self.parquet, root, "parquet")
        if folder is None and not path.is_dir():
            return [path]
        pattern = Path(self.parquet).name if folder else "*.parquet"
        files = sorted(file for file in path.glob(pattern) if not file.name.startswith("."))
        if not files:
            deeper = next(path.glob("*/*.parquet"), None)
            hint = f"; there are some in {deeper.parent}" if deeper else ""
            raise DataError(f"{path}: no Parquet file '{pattern}' in this folder{hint}")
        halves = sorted({match[1].lower() for file in files if (match := _HALF.match(file.name))})
        if len(halves) > 1:
            raise DataError(
                f"{path}: holds {listed(halves)}; name one, such as `parquet: {path.name}/{halves[0]}*.parquet`"
            )
        return files

    def _read(self, file: Path, start: int) -> Rows:
        """All but its images."""
        with _readable(file) as opened:
            schema = opened.schema_arrow
            image = column_named(self.image, IMAGES, schema.names, str(file))
            label = column_named(self.label, LABELS, schema.names, str(file))
            check = lambda n, size: check_room(size, f"{file}, {n} rows", _ADVICE)
            table = unfolded(opened, check, [label])
        n = len(table)
        place = lambda row: f"{file} row {row}" if row < n else str(file)
        return Rows(file, image, labels_in(table[label], label, place), class_names(schema, label), start)


@contextmanager
def _readable(file: Path) -> Iterator[pq.ParquetFile]:
    """The open file. Raises DataError, also for what goes wrong inside."""
    try:
        with regular(file).open("rb") as start:
            if is_pointer(start.read(64)):
                raise DataError(f"{file}: only a pointer of Git LFS lies here, not the file; run `git lfs pull`")
        with pq.ParquetFile(file, buffer_size=_BUFFER) as opened:
            yield opened
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{file}: not a readable Parquet file ({reason})") from None
