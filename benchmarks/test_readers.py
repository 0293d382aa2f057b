"""Reading large folders: against pyarrow alone, and twice as many cells in twice the time.

pytest benchmarks/test_readers.py --benchmark-enable -s
python -m benchmarks.test_readers FOLDER      # 2,000 cells of 100 samples, to time the verbs on
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robustbench_lite.gate.baseline import baseline_of, read_baseline, write_baseline
from robustbench_lite.gate.pairing import check
from robustbench_lite.gate.rules import Gate
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.report.page import page
from robustbench_lite.results.schema import CELLS, SAMPLES
from robustbench_lite.results.sealed import seal
from robustbench_lite.results.store import Store, read
from robustbench_lite.tables.base import tables
from tests.synthetic import cell_row

ATTACKS, N = 20, 100


def build(folder: Path, cells: int) -> Path:
    """A run of `cells` cells: classifiers under twenty attacks, every other one minimal."""
    rng, rows = np.random.default_rng(0), []
    ids, label = [f"{i:016x}" for i in range(N)], rng.integers(0, 10, N)
    for part in ("samples", "cells"):
        (folder / part).mkdir(parents=True)
    for i in range(cells):
        model, j = f"model_{i // ATTACKS:03}", i % ATTACKS
        row = cell_row(f"{i:016x}", model, f"attack{j:02}", n=N, goal="label", eps=0.03 * j if j % 2 else None)
        row |= {
            "norm": "linf" if j % 4 > 1 else "l2",
            "params": json.dumps({"steps": j}),
            "weights": "{}",
            "data": "{}",
        }
        rows.append(row | {"provenance": json.dumps({"versions": "x" * 600})})
        table = pa.table(columns(rng, row, ids, label), schema=SAMPLES)
        seal(table, folder / "samples" / f"{row['cell']}.parquet", compression="snappy")
        seal(pa.Table.from_pylist([rows[-1]], CELLS), folder / "cells" / f"{row['cell']}.parquet", compression="snappy")
    planned = ("cell", "dataset", "source", "sources", "models", "variant", "attack", "params", "norm", "eps", "goal")
    run = {"name": "large", "data": ["mnist"], "models": sorted({row["source"] for row in rows}), "finished": "now"}
    run |= {"cells": [row["cell"] for row in rows], "planned": [{name: row[name] for name in planned} for row in rows]}
    Store(folder).write_run(run | {"tables": ["rho_adv"], "gate": {}, "seed": 0})
    return folder


def columns(rng, row, ids, label):
    """The columns of a cell's samples."""
    clean = np.where(rng.random(N) < 0.92, label, (label + 1) % 10)
    broken = rng.random(N) < (1 if row["eps"] is None else 0.2 + 0.6 * rng.random())
    after, size = np.where(broken, (label + rng.integers(1, 10, N)) % 10, clean), rng.gamma(4, 0.2, N)
    out = {name: [None] * N for name in SAMPLES.names} | {
        name: [row[name]] * N for name in row if name in SAMPLES.names
    }
    out |= {"sample": ids, "label": label, "model": [row["source"]] * N, "clean_pred": clean, "adv_pred": after}
    out |= {"clean_correct": clean == label, "success": after != label, "success_8bit": after != label}
    out |= dict.fromkeys(("l1", "l2", "linf", "rho", "rho_linf", "rmsd", "margin"), size)
    out |= {name: rng.random(N) for name in ("clean_confidence", "adv_confidence", "seconds")}
    return out | {"near_tie": [False] * N, "zero_gradient": np.zeros(N, int), "status": ["ok"] * N}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [build(tmp_path_factory.mktemp("readers") / str(cells), cells) for cells in (200, 400)]


def plain(folder):
    """What pyarrow needs for the same files, without a look at anything."""
    return [pq.read_table(path, partitioning=None) for path in folder.glob("*/*.parquet")]


def gate(folder):
    before = folder.with_suffix(".parquet")
    if not before.exists():
        write_baseline(baseline_of(read(folder)), before)
    return check(read_baseline(before), scores_of(read(folder)), Gate())


READERS = {
    "read": read,
    "table": lambda folder: tables.make("accuracy", read(folder)),
    "check": gate,
    "report": lambda folder: page([read(folder)]),
}


def seconds(work, folder):
    start = time.process_time()
    work(folder)
    return time.process_time() - start


def test_reading_against_pyarrow(benchmark, folders):
    """Digests, schema and all: not slower than the files alone, one by one, through pyarrow's usual door."""
    read(folders[0])
    ratio = min(seconds(read, folders[0]) / seconds(plain, folders[0]) for _ in range(3))
    benchmark.extra_info["times pyarrow"] = round(ratio, 2)
    benchmark.pedantic(read, args=(folders[0],), rounds=1)
    print(benchmark.extra_info)
    assert ratio < 1.2


@pytest.mark.parametrize("name", READERS)
def test_twice_the_cells_take_twice_the_time(benchmark, folders, name):
    work = READERS[name]
    work(folders[0])
    ratio = min(seconds(work, folders[1]) / seconds(work, folders[0]) for _ in range(3))
    benchmark.extra_info["times half the cells"] = round(ratio, 2)
    benchmark.pedantic(work, args=(folders[0],), rounds=1)
    print(benchmark.extra_info)
    assert ratio < 2.6


if __name__ == "__main__":
    build(Path(sys.argv[1]), 2000)
