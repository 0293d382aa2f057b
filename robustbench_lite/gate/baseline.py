"""The baseline of a gate: per cell and sample what a comparison needs, in one small Parquet file with fixed bytes.

One row per sample and scored classifier. Names are dictionaries with run lengths, flags are bits, distances float32:
40 cells of 1,000 samples take less than half a megabyte. No times and no machine: equal outcomes give equal bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from robustbench_lite.errors import BaselineError
from robustbench_lite.gate.scores import FACTS, Scores, scores_of
from robustbench_lite.registry import canonical
from robustbench_lite.results.schema import SCHEMA_VERSION
from robustbench_lite.results.sealed import atomically, opened, rows_of, seal

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["BASELINE_VERSION", "Baseline", "baseline_of", "read_baseline", "write_baseline"]

BASELINE_VERSION = 2  # since 2 a digest vouches for every bit
_VERSION, _ABOUT = b"robustbench_lite.baseline", b"robustbench_lite.provenance"
_text, _flag, _real = pa.string(), pa.bool_(), pa.float32()
_SCHEMA = pa.schema(
    [
        ("gate", pa.int32()),  # rows of one gate are together
        ("dataset", _text),
        ("source", _text),  # the classifier(s) that the attack saw
        ("model", _text),  # the classifier that was scored
        ("attack", _text),
        ("variant", _text),
        ("params", _text),
        ("version", pa.int64()),  # of the attack's code
        ("norm", _text),
        ("seed", pa.int64()),
        ("weights", _text),  # content hash of the scored classifier
        ("sample", _text),
        ("label", pa.int32()),
        ("robust", _flag),  # correct before and after the attack
        ("success", _flag),  # the attack reached its goal
        ("rho", _real),  # minimal attacks only; in the attack's norm
        ("l2", _real),  # minimal attacks only
        ("red", _text),  # names of the checks after which the number does not stand, JSON; null: not known
    ]
)
_LATER = {"red"}  # columns that older baselines lack
_NAMES = [field.name for field in _SCHEMA if field.type not in {_flag, _real}]
_EMPTY = {"norm", "seed", "version", "weights", "red"}  # columns in which a null says that there is nothing to say
_PACKED: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 19,
    "use_dictionary": _NAMES,
    "column_encoding": {"robust": "RLE", "success": "RLE", "rho": "BYTE_STREAM_SPLIT", "l2": "BYTE_STREAM_SPLIT"},
    "data_page_version": "2.0",
    "write_statistics": False,
}


@dataclass(frozen=True)
class Baseline:
    """What a run is compared with, and where it comes from."""

    scores: tuple[Scores, ...]
    about: dict[str, Any]


def baseline_of(results: Results) -> Baseline:
    """The run as a baseline. Raises BaselineError where it has no cells, or one that failed or has not run."""
    scores = scores_of(results)
    troubled = [f"{one.model} · {one.variant}: {one.trouble}" for one in scores if one.trouble]
    if troubled:
        more = f" (and {len(troubled) - 1} more)" if len(troubled) > 1 else ""
        raise BaselineError(f"a baseline needs every cell; {troubled[0]}{more}; run the suite again, then `baseline`")
    if not scores:
        raise BaselineError(f"{results.folder}: no cells, so there is nothing that a baseline could hold")
    run = results.run
    kept = {name: run.get(name) for name in ("name", "title", "seed", "limit", "suite", "versions")}
    return Baseline(scores, kept | {"schema": SCHEMA_VERSION})


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write the file whole or not at all. Raises BaselineError where that cannot be done."""
    meta = {_VERSION: str(BASELINE_VERSION).encode(), _ABOUT: canonical(baseline.about).encode("utf-8", "replace")}
    ordered = sorted(baseline.scores, key=lambda one: one.key)
    table = pa.concat_tables(_table(i, one) for i, one in enumerate(ordered)).replace_schema_metadata(meta)
    try:
        atomically(path, lambda temporary: seal(table.combine_chunks(), temporary, **_PACKED))
    except OSError as error:
        raise BaselineError(f"{path}: cannot be written ({error.strerror or error})") from None


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file. Raises BaselineError where there is none, or none that this version reads."""
    if not path.is_file():
        raise BaselineError(f"{path}: no such baseline; write one with `robustbench-lite baseline RESULTS -o {path}`")
    try:
        file, sealed = opened(path)
        meta = file.metadata.metadata or {}
        version = int(meta.get(_VERSION, b"0"))
        if not 1 <= version <= BASELINE_VERSION:
            raise BaselineError(_other_version(path, version))
        if version > 1 and not sealed:
            raise ValueError("its sha256 is missing")
        table = _complete(rows_of(file))
        about = json.loads(meta.get(_ABOUT, b"{}"))
        scores = tuple(_read(table))
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BaselineError(
            f"{path}: damaged ({reason[:100]}); write it again with `robustbench-lite baseline`"
        ) from None
    if not scores:
        raise BaselineError(f"{path}: an empty baseline; write it again with `robustbench-lite baseline`")
    return Baseline(scores, about)


def _complete(table: pa.Table) -> pa.Table:
    """The columns of a baseline; those that older ones lack are null. Raises LookupError or ValueError."""
    missing = _LATER - set(table.column_names)
    table = table.select([name for name in _SCHEMA.names if name not in missing])
    for name in _SCHEMA.names:
        if name not in missing | _EMPTY and table[name].null_count:
            raise ValueError(f"a null in '{name}'")
    for name in sorted(missing):
        table = table.append_column(name, pa.nulls(len(table), _SCHEMA.field(name).type))
    return table


def _other_version(path: Path, version: int) -> str:
    if version == 0:
        return f"{path}: not a baseline; expected a file that `robustbench-lite baseline` has written"
    return (
        f"{path}: schema {version}, this version of robustbench_lite reads up to {BASELINE_VERSION}; write it again "
        "with `robustbench-lite baseline`"
    )


def _table(gate: int, one: Scores) -> pa.Table:
    n = len(one.samples)
    columns: dict[str, Any] = {name: [one.facts[name]] * n for name in FACTS}
    columns |= {"gate": [gate] * n, "sample": one.samples, "label": one.labels}
    columns |= {"robust": one.robust, "success": one.success}
    columns |= _sizes(one)
    columns["red"] = [None if one.red is None else json.dumps(one.red)] * n
    return pa.table([_column(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)


def _sizes(one: Scores) -> dict[str, npt.NDArray[np.float64]]:
    """Sizes for the file: NaN only in all rows of a gate. One that is not defined (of a black image) is infinite."""
    known = one.distances or dict.fromkeys(("rho", "l2"), np.full(len(one.samples), np.nan))
    return {
        name: values if np.isnan(values).all() else np.where(np.isnan(values), np.inf, values)
        for name, values in known.items()
    }


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    """From buffers: `pyarrow.array` imports pandas, which takes 0.4 s. Facts (all equal) may be None."""
    n = len(values)
    if n == 0 or values[0] is None:
        return pa.nulls(n, kind)
    if pa.types.is_string(kind):
        texts = [value.encode("utf-8", "replace") for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pa.StringArray.from_buffers(n, pa.py_buffer(ends), pa.py_buffer(b"".join(texts)))
    packed = np.packbits(values, bitorder="little") if kind == _flag else np.array(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, n, [None, pa.py_buffer(packed)])


def _read(table: pa.Table) -> list[Scores]:
    gates = np.array(table["gate"].to_pylist(), np.int64)
    starts = [0, *(np.flatnonzero(np.diff(gates)) + 1).tolist(), len(gates)]
    parts = [table.slice(low, high - low) for low, high in pairwise(starts) if high > low]
    return [_read_one(part) for part in parts]


def _read_one(part: pa.Table) -> Scores:
    facts = {name: part[name][0].as_py() for name in FACTS}
    distances = {name: np.array(part[name].to_pylist(), np.float64) for name in ("rho", "l2")}
    for name, values in distances.items():
        if np.isnan(values).any() and not np.isnan(values).all():
            raise ValueError(f"a NaN in '{name}'")
    red, samples = part["red"][0].as_py(), part["sample"].to_pylist()
    if any(one >= other for one, other in pairwise(samples)):
        raise ValueError("its samples are not in order, or one is there twice")
    return Scores(
        facts,
        samples,
        np.array(part["label"].to_pylist(), np.int64),
        np.array(part["robust"].to_pylist(), np.bool_),
        np.array(part["success"].to_pylist(), np.bool_),
        distances if np.isfinite(distances["rho"]).any() else None,
        red=None if red is None else tuple(json.loads(red)),
    )
