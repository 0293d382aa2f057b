"""Parquet files of results and baselines that stand for far more than they are: damage, not memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robustbench_lite.errors import BaselineError
from robustbench_lite.gate.baseline import read_baseline
from robustbench_lite.guards.parquet import unfolded
from robustbench_lite.results import sealed

MIB = 2**20


def limit(most):
    def check(_, size):
        if size > most:
            raise ValueError(f"more than {most} bytes")

    return check


def written(path, table, **options):
    pq.write_table(table, path, compression="zstd", **options)
    return path


MANY = 13_000_000
TABLES = {
    "dictionary": lambda: pa.table({"a": ["x" * MIB] * 100}),
    "prefix": lambda: pa.table({"a": ["x" * MIB + str(i) for i in range(100)]}),
    "run": lambda: pa.table({"a": np.full(MANY, 7)}),
    "bits": lambda: pa.table({"a": np.full(MANY, fill_value=True), "b": np.zeros(MANY, int)}),
}
OPTIONS = {"prefix": {"use_dictionary": False, "column_encoding": "DELTA_BYTE_ARRAY"}}


@pytest.mark.parametrize("name", TABLES)
def test_what_unfolds_to_too_much_is_not_unfolded(tmp_path, name):
    table = TABLES[name]()
    path = written(tmp_path / "t.parquet", table, **OPTIONS.get(name, {}))
    assert path.stat().st_size < 2 * MIB
    with pq.ParquetFile(path) as file, pytest.raises(ValueError, match="more than 50000000 bytes"):
        unfolded(file, limit(50_000_000))
    with pq.ParquetFile(path) as file:
        assert unfolded(file, limit(500_000_000)).equals(table)


def test_some_columns_count_only_themselves(tmp_path):
    table = pa.table({"a": ["x" * MIB] * 100, "b": list(range(100)), "c": [{"d": b"1"}] * 100})
    with pq.ParquetFile(written(tmp_path / "t.parquet", table)) as file:
        assert unfolded(file, limit(10_000_000), ["b", "c"]).equals(table.select(["b", "c"]))


def test_no_rows_are_no_rows(tmp_path):
    table = pa.table({"a": pa.array([], pa.string())})
    with pq.ParquetFile(written(tmp_path / "t.parquet", table)) as file:
        assert unfolded(file, limit(1000)).equals(table)


def test_files_of_results_and_baselines_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(sealed, "_UNFOLDED", 10 * MIB)
    path = written(tmp_path / "folded.parquet", TABLES["dictionary"]())
    file, _ = sealed.opened(path)
    with pytest.raises(ValueError, match=r"its rows would take more than 0.0 GiB of memory"):
        sealed.rows_of(file)
    path = written(tmp_path / "packed.parquet", pa.table({"a": [bytes([i]) * MIB for i in range(50)]}))
    with pytest.raises(ValueError, match="unpack to more than 200 times its size"):
        sealed.opened(path)
    with pytest.raises(BaselineError, match=r"damaged .its pages would unpack"):
        read_baseline(path)
