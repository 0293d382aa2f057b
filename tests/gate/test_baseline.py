from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robustbench_lite.errors import BaselineError
from robustbench_lite.gate import baseline as module
from robustbench_lite.gate.baseline import Baseline, baseline_of, read_baseline, write_baseline
from robustbench_lite.gate.scores import scores_of
from robustbench_lite.results.store import read
from tests.gates import robust, write


def made(folder, path):
    write_baseline(baseline_of(read(folder)), path)
    return path


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "r", robust(), "lenet", "fgsm")
    write(tmp_path / "r", robust(40), "fc", "deepfool")
    scores = {one.key: one for one in scores_of(read(tmp_path / "r"))}
    found = read_baseline(made(tmp_path / "r", tmp_path / "new" / "b.parquet"))
    assert len(found.scores) == 2
    for one in found.scores:
        other = scores[one.key]
        assert one.facts == other.facts
        assert one.samples == other.samples == sorted(one.samples)
        assert (one.labels == other.labels).all()
        assert (one.robust == other.robust).all() and one.robust.sum() == (24 if one.model == "fc" else 60)
        assert one.red == other.red == ()
        assert (one.distances is None) is (one.attack == "fgsm")
        if one.distances is not None and other.distances is not None:
            for name in ("rho", "l2"):
                np.testing.assert_array_equal(one.distances[name], other.distances[name])
    assert found.about["name"] == "synthetic"
    assert found.about["schema"] == 1


def test_equal_outcomes_give_equal_bytes(tmp_path):
    write(tmp_path / "a", robust(), "lenet", "fgsm")
    write(tmp_path / "a", robust(), "fc", "deepfool")
    write(tmp_path / "b", robust(), "fc", "deepfool", seconds=77.0)  # another order, another machine
    write(tmp_path / "b", robust(), "lenet", "fgsm", seconds=88.0)
    one, other = (made(tmp_path / name, tmp_path / f"{name}.parquet").read_bytes() for name in "ab")
    assert one == other
    write(tmp_path / "b", robust(lose=1), "lenet", "fgsm")
    assert made(tmp_path / "b", tmp_path / "b.parquet").read_bytes() != one


def test_forty_cells_of_a_thousand_samples_are_small(tmp_path):
    """Ids and distances are random: the worst that there can be."""
    rng = np.random.default_rng(0)
    ids = sorted(rng.bytes(8).hex() for _ in range(1000))
    facts = {"dataset": "d", "source": "m", "model": "m", "attack": "a", "variant": "a", "version": 1, "norm": "l2"}
    scores = tuple(
        module.Scores(
            facts | {"params": f'{{"i": {i}}}', "seed": 0, "weights": "w"},
            ids,
            rng.integers(0, 1000, 1000),
            rng.random(1000) < 0.5,
            rng.random(1000) < 0.5,
            {name: rng.random(1000).astype(np.float32).astype(float) for name in ("rho", "l2")},
        )
        for i in range(40)
    )
    write_baseline(Baseline(scores, {}), tmp_path / "b.parquet")
    assert (tmp_path / "b.parquet").stat().st_size < 500_000
    assert len(read_baseline(tmp_path / "b.parquet").scores) == 40


def test_pandas_reads_it_as_it_is(tmp_path):
    import pandas as pd

    write(tmp_path / "r", robust())
    frame = pd.read_parquet(made(tmp_path / "r", tmp_path / "b.parquet"))
    assert frame["robust"].mean() == pytest.approx(0.6)
    assert set(frame["model"]) == {"lenet"}


def test_a_baseline_needs_every_cell(tmp_path):
    write(tmp_path / "r", robust())
    write(tmp_path / "r", robust(), "fc", status="failed", error="out of luck")
    with pytest.raises(BaselineError, match="fc · fgsm: failed: out of luck; run the suite again"):
        baseline_of(read(tmp_path / "r"))


def newer(path):
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"robustbench_lite.baseline": b"9"}), path)


def foreign(path):
    pq.write_table(pa.table({"x": [1]}), path)


def no_column(path):
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["robust"]), path)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda path: path.unlink(), "no such baseline; write one with `robustbench-lite baseline RESULTS -o"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-300]), "damaged"),
        (newer, "schema 9, this version of robustbench_lite reads up to 2; write it again"),
        (foreign, "not a baseline"),
        (no_column, "damaged"),
    ],
    ids=["missing", "empty", "cut", "newer", "foreign", "no column"],
)
def test_what_cannot_be_read_is_one_sentence(break_it, message, tmp_path):
    write(tmp_path / "r", robust())
    path = made(tmp_path / "r", tmp_path / "b.parquet")
    break_it(path)
    with pytest.raises(BaselineError, match=message):
        read_baseline(path)


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    write(tmp_path / "r", robust())
    (tmp_path / "file").write_text("")
    with pytest.raises(BaselineError, match="cannot be written"):
        made(tmp_path / "r", tmp_path / "file" / "b.parquet")
