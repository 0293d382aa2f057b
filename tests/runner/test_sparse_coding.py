"""Sparse coding as cells: ids are content, a kill costs one cell, what goes wrong is a row, `verify` measures again."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.guards.limits import Stopped
from robustbench_lite.results.made import SPARSE_CODING
from robustbench_lite.results.store import Store, read
from robustbench_lite.runner import making
from robustbench_lite.runner.merge import merge
from robustbench_lite.runner.preview import preview
from robustbench_lite.runner.run import Options, run, run_suite
from robustbench_lite.runner.sparse_coding.cell import sparse_cells
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from tests.helpers import cli
from tests.runner.test_generation import Counting

SMALL = {
    "dictionaries": [{"orthogonal": {"side": 2}}, {"sparse": {"count": 2, "side": 4, "stride": 2}}],
    "positions": 4, "sparsity": [4, 1], "pursuit": "hard", "noise": 0.001, "signals": 6, "steps": 2,
}  # fmt: skip
TIMES = ["seconds", "provenance"]


def suite(*entries, **more):
    return {"version": 1, "name": "s", "sparse_coding": list(entries), **more}


def small(**more):
    return SMALL | more


def ids(*entries, **more):
    return [cell.id for cell in sparse_cells(load(suite(*entries, **more)))]


def test_an_id_is_what_changes_the_outcome():
    (one,) = ids(small())
    assert ids(small(**{"as": "other"})) == [one] == ids(small(set_for=0.001)) == ids(small(seed=0))
    written_out = [{"orthogonal": {"side": 2}}, {"sparse": {"count": 2, "side": 4, "stride": 2, "corner": 1}}]
    assert ids(small(dictionaries=written_out)) == [one]
    changes = [{"pursuit": "relu"}, {"noise": 0.002}, {"set_for": 0.002}, {"signals": 7}, {"steps": 3}, {"seed": 1}]
    changes += [{"positions": 5}, {"sparsity": [4, 2]}, {"iterations": 9}]
    assert len({one, *(ids(small(**change))[0] for change in changes)}) == len(changes) + 1
    assert ids(small(), seed=1) == ids(small(seed=1))
    assert len(set(ids(small(**{"as": "a"}), small(**{"as": "b"})))) == 2


def test_a_row_per_layer_says_what_was_measured(tmp_path):
    found = run(suite(small()), tmp_path).sparse_coding()
    assert found["layer"].tolist() == [1, 2] and found["model"].tolist() == ["orthogonal, sparse"] * 2
    assert (found["adversarial_worst"] >= found["random_worst"]).iloc[1]  # ascent is on the deepest error
    assert (found[["random_broken", "adversarial_broken"]] == 0).all(axis=None)
    assert found["support"].tolist() == [1, 1] and found["adversarial_recovered"].tolist() == [1, 1]
    assert (found["adversarial_worst"] <= found["bound"]).all()
    assert [list(shape) for shape in found["atoms_shape"]] == [[4, 1, 2, 2], [2, 1, 8, 8]]


def test_a_killed_run_loses_one_cell(tmp_path, monkeypatch):
    both = suite(small(), small(pursuit="basis_pursuit"))
    whole = run(both, tmp_path / "whole")
    measured = making.measured

    def killed(cell, timeout=None):
        if cell.entry.pursuit == "basis_pursuit":
            raise Stopped
        return measured(cell, timeout)

    monkeypatch.setattr(making, "measured", killed)
    with pytest.raises(Stopped):
        run(both, tmp_path)
    left = read(tmp_path / "s")
    assert left.sparse_coding()["pursuit"].tolist() == ["hard"] * 2 and left.run["finished"] is None
    monkeypatch.setattr(making, "measured", measured)
    told = Counting()
    resumed = run_suite(load(both), Options(results=tmp_path), told)
    assert told.names == ["orthogonal, sparse, basis_pursuit, noise 0.001"]
    same = [found.sparse_coding_table.drop_columns(TIMES) for found in (resumed, whole)]
    assert same[0].equals(same[1]) and resumed.run["finished"]


def test_what_is_there_takes_new_names(tmp_path):
    told = Counting()
    for name in ("first", "second"):
        made = run_suite(load(suite(small(**{"as": name}))), Options(results=tmp_path), told)
        assert made.sparse_coding()["model"].tolist() == [name] * 2
    run_suite(load(suite(small())), Options(results=tmp_path, fresh=True), told)
    assert told.names == ["first, hard, noise 0.001", "orthogonal, sparse, hard, noise 0.001"]


def test_what_fails_is_a_row_and_the_others_go_on(tmp_path):
    crowded = [{"orthogonal": {"side": 2}}, {"sparse": {"count": 40, "side": 4}}]
    entries = [small(**{"as": "loud"}, noise=0.9), small(**{"as": "crowded"}, dictionaries=crowded), small()]
    found = run(suite(*entries), tmp_path).sparse_coding()
    assert found["status"].tolist() == ["failed", "failed", "ok", "ok"] and found["stage"].tolist()[:2] == ["load"] * 2
    assert "expected a threshold above" in found["error"][0] and "found room for" in found["error"][1]
    assert found["layer"].isna().tolist() == [True, True, False, False]
    assert run(suite(*entries), tmp_path).sparse_coding()["status"].tolist() == ["failed", "failed", "ok", "ok"]


def test_the_command_line_says_so_and_ends_with_3(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(suite(small(**{"as": "loud"}, noise=0.9), small(), tables=["stability"])))
    done = cli("run", str(path), cwd=tmp_path)
    assert done.returncode == 3 and "failed: sparse coding · loud, hard, noise 0.9: " in done.stderr, done.stderr
    assert "every promise kept" in done.stderr and "there is none" in done.stdout
    planned = preview(load(path), Options(results=tmp_path / "results"))
    assert [row["state"].text for row in planned.rows] == ["to run", "in the store"]
    assert planned.rows[1]["seconds"].value > 0 and planned.title == "s: 2 cells"
    shown = cli("validate", str(path), cwd=tmp_path)
    assert shown.stdout.endswith("valid (2 sparse coding)\n")


def test_verify_measures_again(tmp_path):
    matrix = {"pursuit": ["hard", "basis_pursuit"], "noise": [0.001, 0.002]}
    entry = {key: value for key, value in SMALL.items() if key not in matrix} | {"matrix": matrix}
    folder = run(suite(entry), tmp_path).folder
    report = verify(folder)
    assert report.sound and report.rows == 8
    store, cell = Store(folder), read(folder).run["sparse_coding_cells"][1]
    stored = store.made("sparse_coding")[cell]
    store.write_made(cell, {"sparse_coding": [row | {"random_mean": 1.001 * row["random_mean"]} for row in stored]})
    wrong = verify(folder).disagreements
    assert {(one.cell, one.column) for one in wrong} == {(cell, "random_mean")} and len(wrong) == 2
    (folder / "sparse_coding" / f"{cell}.parquet").unlink()
    assert "is not in the results" in verify(folder).skipped[0]


def test_foreign_and_half_written_files_hide_nothing(tmp_path):
    folder = run(suite(small(), small(noise=0.002)), tmp_path).folder
    first, second = (folder / "sparse_coding" / f"{one}.parquet" for one in read(folder).run["sparse_coding_cells"])
    shutil.copy(first, folder / "sparse_coding" / "copy.parquet")
    second.write_bytes(second.read_bytes()[:-40])
    found = read(folder)
    assert found.sparse_coding()["noise"].tolist() == [0.001] * 2 and len(found.problems) == 2
    assert not Store(folder).made("sparse_coding").keys() - {first.stem}


def test_pandas_reads_a_folder_of_rows(tmp_path):
    folder = run(suite(small(), small(noise=0.002)), tmp_path).folder
    found = pd.read_parquet(folder / "sparse_coding")
    assert len(found) == 4 and list(found) == SPARSE_CODING.names


def test_options_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--jobs: sparse coding is measured by one process.*--shard"):
        run(suite(small()), tmp_path, jobs=2)
    assert run(suite(small()), tmp_path, limit=3).sparse_coding()["signals"].tolist() == [3, 3]


def test_shards_and_folders_become_one(tmp_path):
    three = suite(*(small(noise=noise) for noise in (0.001, 0.002, 0.003)))
    parts = [run(three, tmp_path / number, shard=f"{number}/2").folder for number in ("1", "2")]
    assert read(parts[0]).sparse_coding()["noise"].unique().tolist() == [0.001, 0.003]
    lacking = "sparse coding orthogonal, sparse, hard, noise 0.002: is missing, or has failed"
    assert merge(parts[:1], tmp_path / "half").missing == (lacking,)
    merged = merge(parts, tmp_path / "whole")
    assert (merged.whole, merged.planned, merged.missing) == (3, 3, ())
    found = read(tmp_path / "whole")
    assert found.sparse_coding()["noise"].unique().tolist() == [0.001, 0.002, 0.003] and found.run["finished"]
