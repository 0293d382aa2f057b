"""A large report: fifty classifiers under twenty attacks on a thousand samples each; seconds and bytes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from robustbench_lite.report.page import page
from robustbench_lite.report.site import site
from robustbench_lite.results.schema import CELLS, IMAGES, SAMPLES
from robustbench_lite.results.sealed import seal
from robustbench_lite.results.store import Store, read
from tests.synthetic import cell_row

CLASSIFIERS, ATTACKS, N = 50, 20, 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    for part in ("samples", "cells", "images"):
        (out / part).mkdir()
    ids, label = [f"{i:016x}" for i in range(N)], rng.integers(0, 10, N)
    cells = []
    for i in range(CLASSIFIERS):
        clean = np.where(rng.random(N) < 0.92, label, (label + 1) % 10)
        for j in range(ATTACKS):
            cell, row, columns = f"{i:02}{j:02}", *one(rng, i, j, label, clean)
            row |= {"cell": cell}
            facts = {
                name: [row[name]] * N
                for name in ("cell", "suite", "dataset", "source", "attack", "variant", "norm", "goal")
            }
            empty = {name: [None] * N for name in SAMPLES.names}
            table = pa.table(empty | columns | facts | {"sample": ids, "model": [row["source"]] * N}, schema=SAMPLES)
            pixels = rng.random((4, 3, 32, 32), dtype=np.float32)
            images = [
                {"cell": cell, "sample": ids[s], "shape": [3, 32, 32], "adversarial": pixels[s].tobytes(),
                 "clean": (255 * pixels[s]).astype(np.uint8).tobytes()}
                for s in range(len(pixels))
            ]  # fmt: skip
            seal(table, out / "samples" / f"{cell}.parquet")
            seal(pa.Table.from_pylist([row], schema=CELLS), out / "cells" / f"{cell}.parquet")
            seal(pa.Table.from_pylist(images, schema=IMAGES), out / "images" / f"{cell}.parquet")
            cells.append(cell)
    models = [f"model_{i:02}" for i in range(CLASSIFIERS)]
    Store(out).write_run({"name": "large", "models": models, "cells": cells, "finished": "now", "tables": ["rho_adv"]})
    return out


def one(rng, i, j, label, clean):
    """The row of a cell and the columns of its samples: every other attack is a minimal one."""
    minimal, size = j % 2 == 0, rng.gamma(4, 0.2 * (1 + i / CLASSIFIERS), N)
    eps = None if minimal else 0.03 * (1 + j // 4)
    row = cell_row("", f"model_{i:02}", f"attack{j:02}", n=N, norm="l2" if j % 4 < 2 else "linf", eps=eps, params="{}")
    row |= {"forwards": N * (5 + 3 * j), "backwards": N * (5 + 2 * j), "goal": "label"}
    success = rng.random(N) < (1 if minimal else 0.2 + 0.6 * rng.random())
    after = np.where(success, (label + rng.integers(1, 10, N)) % 10, clean)
    flags = {"clean_correct": clean == label, "success": after != label, "success_8bit": after != label}
    sizes = {"l2": size, "linf": size / 20, "rho": size / 9, "rho_linf": size / 20, "margin": size}
    shares = {"clean_confidence": rng.random(N), "adv_confidence": rng.random(N)}
    counts = {"label": label, "clean_pred": clean, "adv_pred": after, "zero_gradient": np.zeros(N, int)}
    return row, {**flags, **sizes, **shares, **counts, "near_tie": [False] * N, "status": ["ok"] * N}


def test_a_large_report(benchmark, folder):
    texts = []
    benchmark.pedantic(lambda: texts.append(page([read(folder)])), rounds=1)
    benchmark.extra_info["megabytes"] = len(texts[0].encode()) / 1e6
    assert read(folder).problems == ()
    assert benchmark.extra_info["megabytes"] < 10
    print(benchmark.extra_info)


def test_a_large_site(benchmark, folder):
    pages = []
    benchmark.pedantic(lambda: pages.extend(site([read(folder)])), rounds=1)
    largest = max(pages, key=lambda pair: len(pair[1].encode()))
    benchmark.extra_info |= {"pages": len(pages), "largest": largest[0], "kilobytes": len(largest[1].encode()) // 1000}
    assert benchmark.extra_info["kilobytes"] < 1000
    print(benchmark.extra_info)
