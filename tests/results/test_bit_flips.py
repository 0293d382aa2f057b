"""One bit of a results folder or a baseline flips: every number stays as it was, or the file is named."""

from __future__ import annotations

import json
import random
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from robustbench_lite.errors import BaselineError, StoreError
from robustbench_lite.gate.baseline import baseline_of, read_baseline, write_baseline
from robustbench_lite.results.store import Store, read
from tests.gates import robust, write
from tests.synthetic import cell_row, image_rows, sample_rows

PARTS = ("samples", "cells", "images", "artifacts", "run.json", "baseline")


def artifact(cell):
    return {"cell": cell, "name": "perturbation", "shape": [1, 2, 2], "values": bytes(16)}


def made(folder: Path) -> dict[str, Path]:
    """A small run with images and an artifact, and a baseline; the file of each part."""
    store = Store(folder / "run")
    for name in ("a1", "a2"):
        cell = cell_row(name, goal="label", provenance=json.dumps({"x": "y" * 200}), warnings=["something"])
        store.write(name, sample_rows(cell), cell, image_rows(name), [artifact(name)])
    store.write_run({"name": "synthetic", "cells": ["a1", "a2"], "models": ["lenet"], "gate": {"min_rho": 0.125}})
    write(folder / "gate", robust(60), "lenet", "fgsm")
    write(folder / "gate", robust(40), "fc", "deepfool")
    write_baseline(baseline_of(read(folder / "gate")), folder / "b.parquet")
    of_a1 = {part: folder / "run" / part / "a1.parquet" for part in PARTS[:4]}
    return of_a1 | {"run.json": folder / "run" / "run.json", "baseline": folder / "b.parquet"}


def seen(folder: Path):
    """All that anybody reads: the parts that are whole, and whether something was said of the others."""
    results = read(folder / "run")
    whole, said = {}, list(results.problems)
    for row in results.cell_table.to_pylist():
        whole["cells", row["cell"]] = row
        rows = [sample for sample in results.sample_table.to_pylist() if sample["cell"] == row["cell"]]
        whole["samples", row["cell"]] = rows
        for part, table in (("images", results.images), ("artifacts", results.artifacts)):
            try:
                whole[part, row["cell"]] = table(row["cell"]).to_pylist()
            except StoreError as error:
                said.append(str(error))
    whole["run.json", ""] = results.run
    try:
        about = read_baseline(folder / "b.parquet")
        whole["baseline", ""] = (about.about, [repr(vars(one)) for one in about.scores])
    except BaselineError as error:
        said.append(str(error))
    return whole, said


def trials(folder: Path, path: Path, count: int, rng: random.Random) -> dict[str, int]:
    """Flip one bit of a file at a time: how often it was said, and how often nothing changed. Fails where it lied."""
    before, _ = seen(folder)
    content, outcomes = path.read_bytes(), {"said": 0, "as before": 0}
    for _ in range(count):
        place, bit = rng.randrange(len(content)), rng.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        after, said = seen(folder)
        if said:
            others = {key: value for key, value in after.items() if "a1" not in key and key in before}
            assert all(value == before[key] for key, value in others.items() if key[0] != "run.json"), (place, bit)
            assert any(path.name in text for text in said), (place, bit, said)
        else:
            assert after == before, (path.name, place, bit)
        outcomes["said" if said else "as before"] += 1
    path.write_bytes(content)
    return outcomes


@pytest.mark.parametrize("part", PARTS)
def test_a_flipped_bit_is_said_or_changes_nothing(tmp_path, part):
    path = made(tmp_path)[part]
    outcomes = trials(tmp_path, path, 25, random.Random(f"seed of {part}"))
    assert outcomes["said"] > 20


def test_bits_of_the_footer_are_covered_too(tmp_path):
    """Parquet has no checksum there: a bit in a column's name or type makes nulls of it."""
    path = made(tmp_path)["samples"]
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    rng = random.Random(5)
    for _ in range(40):
        flipped = bytearray(content)
        flipped[-8 - rng.randrange(1, length)] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        assert "a1.parquet: damaged" in read(tmp_path / "run").problems[0]


def test_a_digest_that_is_lost_is_damage(tmp_path):
    """Also of a file that is whole otherwise: a name of the digest with a flipped bit, or another program's copy."""
    path = made(tmp_path)["samples"]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"robustbench_lite.sha256", b"robustbench_lite.sha257"))
    assert "its sha256 is missing" in read(tmp_path / "run").problems[0]
    pq.write_table(pq.read_table(path), path)
    assert "a1.parquet: damaged (its sha256 is" in read(tmp_path / "run").problems[0]


def test_pandas_reads_the_files_as_they_are(tmp_path):
    import pandas as pd

    paths = made(tmp_path)
    assert len(pd.read_parquet(paths["samples"].parent)) == 40
    assert set(pd.read_parquet(paths["baseline"])["model"]) == {"lenet", "fc"}


@pytest.mark.slow
def test_three_thousand_flipped_bits(tmp_path):
    """The figures of docs/reliability.md."""
    paths, rng = made(tmp_path), random.Random(16)
    shutil.copytree(tmp_path, tmp_path / "kept")
    for part in PARTS:
        sys.stdout.write(f"{part}: {trials(tmp_path, paths[part], 500, rng)}\n")
