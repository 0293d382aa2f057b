"""What is stored of a cell that is not finished: shards, some of its samples each, whole or absent.

Nothing but the run that goes on with the cell knows of them; when the cell is finished they are gone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from robustbench_lite.results._cell_files import empty, table_of, unwritable, write_parquet
from robustbench_lite.results.schema import ARTIFACTS, IMAGES, SAMPLES, Row
from robustbench_lite.results.sealed import atomically, opened, rows_of

__all__ = ["Fit", "Kept", "Shard", "Shards", "gaps", "in_order", "sharded"]

_FOLDER = "shards"
_FACTS = b"robustbench_lite.shard"


@dataclass(frozen=True)
class Shard:
    """The samples of a cell from `start` to `stop`: a row for each and every classifier, one classifier after another.

    `images` are empty where they lie in the file beside it; `facts`: what the cell's own row will sum up.
    """

    start: int
    stop: int
    samples: pa.Table
    images: pa.Table
    facts: dict[str, Any]

    @classmethod
    def of(cls, start: int, stop: int, samples: list[Row], images: list[Row], facts: dict[str, Any]) -> Shard:
        """The shard with these rows. Raises ValueError where the schema does not hold them."""
        return cls(start, stop, table_of(samples, SAMPLES), table_of(images, IMAGES), facts)

    def __len__(self) -> int:
        """How many samples these are."""
        return self.stop - self.start

    def without_images(self) -> Shard:
        """The same once they are stored."""
        return replace(self, images=empty(IMAGES))

    def without_rows(self) -> Shard:
        """What of it others must know: that it is there, and what it took."""
        return replace(self, samples=empty(SAMPLES), images=empty(IMAGES))


@dataclass(frozen=True)
class Fit:
    """What was made once for all shards of a cell: its artifacts, and `facts` that go with them."""

    artifacts: pa.Table
    facts: dict[str, Any]


class Kept(Protocol):
    """Where the shards of a cell are kept: in a results folder, or with whoever has one."""

    def add(self, shard: Shard) -> None: ...
    def add_fit(self, fit: Fit) -> None: ...
    def fit(self) -> Fit | None: ...
    def stored(self) -> list[Shard]: ...
    def images(self, shard: Shard) -> pa.Table: ...
    def remove(self, shard: Shard) -> None: ...
    def drop(self) -> None: ...


@dataclass(frozen=True)
class Shards:
    """The shards of one cell in a results folder."""

    results: Path
    cell: str

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.results / _FOLDER / self.cell

    def add(self, shard: Shard) -> None:
        """Store a shard. Raises StoreError; then it is absent."""
        if len(shard.images):
            self._write(shard.images, self._images(shard))
        self._write(_with(shard.facts, shard.samples), self._samples(shard.start, shard.stop))

    def add_fit(self, fit: Fit) -> None:
        """Store what all shards need. Raises StoreError; then it is absent."""
        self._write(_with(fit.facts, fit.artifacts), self._fit)

    def fit(self) -> Fit | None:
        """What `add_fit` has stored; None where it is absent or damaged."""
        try:
            table, facts = _read(self._fit)
            return Fit(table.cast(ARTIFACTS), facts)
        except (pa.ArrowException, OSError, ValueError, LookupError):
            return None

    def _write(self, table: pa.Table, path: Path) -> None:
        try:
            atomically(path, lambda temporary: write_parquet(table, temporary))
        except OSError as error:
            raise unwritable(error, path) from None

    def stored(self) -> list[Shard]:
        """The shards that are whole, in the order of their samples, without their images; no sample twice."""
        found, reached = [], 0
        for start, stop in sorted(self._places()):
            shard = self._read(start, stop) if start >= reached else None
            if shard is not None:
                found.append(shard)
                reached = stop
        return found

    def images(self, shard: Shard) -> pa.Table:
        """Its images, none where none were kept. Raises ValueError, OSError or pa.ArrowException where damaged."""
        path = self._images(shard)
        return rows_of(opened(path)[0]).cast(IMAGES) if path.exists() else empty(IMAGES)

    def remove(self, shard: Shard) -> None:
        """Take one out."""
        for path in (self._samples(shard.start, shard.stop), self._images(shard)):
            path.unlink(missing_ok=True)

    def drop(self) -> None:
        """Remove them all; those that cannot be removed do no harm."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()  # where no other cell has any

    def _read(self, start: int, stop: int) -> Shard | None:
        """None where it is damaged: then it is made again."""
        try:
            table, facts = _read(self._samples(start, stop))
            whole = set(table["cell"].to_pylist()) == {self.cell} and len(table) % (stop - start) == 0
            return Shard(start, stop, table.cast(SAMPLES), empty(IMAGES), facts) if whole else None
        except (pa.ArrowException, OSError, ValueError, LookupError):
            return None

    def _places(self) -> Iterator[tuple[int, int]]:
        for path in self.folder.glob("*.samples.parquet"):
            start, _, stop = path.name.partition(".")[0].partition("-")
            if start.isdigit() and stop.isdigit() and int(start) < int(stop):
                yield int(start), int(stop)

    @property
    def _fit(self) -> Path:
        return self.folder / "fit.parquet"

    def _samples(self, start: int, stop: int) -> Path:
        return self.folder / f"{start}-{stop}.samples.parquet"

    def _images(self, shard: Shard) -> Path:
        return self.folder / f"{shard.start}-{shard.stop}.images.parquet"


def _with(facts: dict[str, Any], table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _FACTS: json.dumps(facts).encode()})


def _read(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """A table and its facts. Raises ValueError, OSError, LookupError or pa.ArrowException where it is damaged."""
    file, sealed = opened(path)
    if not sealed:
        raise ValueError("its sha256 is missing")
    return rows_of(file), json.loads((file.metadata.metadata or {})[_FACTS])


def sharded(results: Path) -> set[str]:
    """The cells of which there are shards in a results folder."""
    return {path.name for path in (results / _FOLDER).glob("*")}


def gaps(shards: Iterable[Shard], n: int) -> list[tuple[int, int]]:
    """From which to which of n samples no shard has any; `shards` in the order of their samples."""
    out, reached = [], 0
    for shard in shards:
        if shard.start > reached:
            out.append((reached, shard.start))
        reached = shard.stop
    return [*out, (reached, n)] if reached < n else out


def in_order(shards: Iterable[Shard]) -> pa.Table:
    """The rows of all samples of a cell as one table: one classifier after another."""
    parts = [(shard.samples, len(shard)) for shard in shards]
    targets = len(parts[0][0]) // parts[0][1]
    pieces = [table.slice(k * n, n) for k in range(targets) for table, n in parts]
    return pa.concat_tables(pieces)
