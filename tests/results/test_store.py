from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robustbench_lite.errors import StoreError
from robustbench_lite.results import store as module
from robustbench_lite.results._cell_files import read_file
from robustbench_lite.results.made import GENERATORS
from robustbench_lite.results.schema import CELLS, IMAGES, SAMPLES
from robustbench_lite.results.sealed import seal
from robustbench_lite.results.store import Store, read
from tests.synthetic import cell_row, example, image_rows, put, sample_rows

HERE = str(Path(__file__).parents[2])
KEY = b"robustbench_lite.schema"


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_read(tmp_path):
    store, cell = Store(tmp_path), cell_row("a1")
    store.write("a1", sample_rows(cell), cell, image_rows("a1"))
    results = read(tmp_path)
    assert results.problems == ()
    assert results.cell_table.to_pylist() == [cell]
    assert results.sample_table.to_pylist() == sample_rows(cell)
    assert results.sample_table.schema.equals(SAMPLES) and results.cell_table.schema.equals(CELLS)
    assert len(results.samples()) == 20 and results.cells()["variant"].tolist() == ["deepfool"]


def test_images_are_exact(tmp_path):
    Store(tmp_path).write("a1", sample_rows(cell_row("a1")), cell_row("a1"), image_rows("a1"))
    results = read(tmp_path)
    for table in (results.images("a1"), results.images()):
        assert table.to_pylist() == image_rows("a1")
    assert len(results.images("unknown")) == 0


def test_pandas_reads_the_samples_as_they_are(tmp_path):
    example(tmp_path)
    (tmp_path / "samples" / ".half.tmp").write_bytes(b"PAR1")
    frame = pd.read_parquet(tmp_path / "samples")
    assert len(frame) == 80 and list(frame.columns) == SAMPLES.names


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        put(Store(tmp_path / name), cell_row("a1"))
    for part in ("samples/a1.parquet", "cells/a1.parquet"):
        assert (tmp_path / "one" / part).read_bytes() == (tmp_path / "two" / part).read_bytes()


def test_finished_leaves_out_failed_cells(tmp_path):
    example(tmp_path)
    store = Store(tmp_path)
    assert store.finished() == {"a1", "a2", "a3", "b1"}
    assert store.has("b2") and not store.has("b3")


def test_a_cell_is_replaced_and_removed_whole(tmp_path):
    store = Store(tmp_path)
    store.write("a1", sample_rows(cell_row("a1")), cell_row("a1"), image_rows("a1"))
    put(store, cell_row("a1", status="failed", error="why"))
    assert files(tmp_path) == {"cells/a1.parquet"}
    put(store, cell_row("a1"))
    store.remove("a1")
    store.remove("a1")
    assert files(tmp_path) == set() and store.finished() == set()


def test_a_column_that_the_schema_lacks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="susccess"):
        Store(tmp_path).write("a1", [{"cell": "a1", "susccess": True}], cell_row("a1"))
    assert files(tmp_path) == set()


@pytest.mark.parametrize("part", ["samples", "images", "cells"])
def test_a_full_disk_leaves_a_cell_that_does_not_count(tmp_path, monkeypatch, part):
    store, cell = Store(tmp_path), cell_row("a1")
    put(store, cell)
    real = module.write_parquet

    def full(table, path, more=()):
        path.write_bytes(b"PAR1")
        if path.parent.name == part:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(table, path, more)

    monkeypatch.setattr(module, "write_parquet", full)
    with pytest.raises(StoreError, match=r"disk is full.*same command"):
        store.write("a1", sample_rows(cell), cell, image_rows("a1"))
    assert not store.has("a1") and not any(name.endswith(".tmp") for name in files(tmp_path))
    monkeypatch.undo()
    put(store, cell)
    assert store.finished() == {"a1"}


def test_what_the_system_refuses_is_said_in_one_sentence(tmp_path):
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; "
        "from tests.synthetic import cell_row, put; from robustbench_lite.results.store import Store; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); put(Store(Path(sys.argv[1])), cell_row('a1'))"
    )
    command = [sys.executable, "-c", code, str(tmp_path), HERE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "StoreError" in done.stderr and "cannot be written" in done.stderr and files(tmp_path) == set()


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for action in (
        lambda: put(Store(tmp_path / "file"), cell_row("a1")),
        lambda: Store(tmp_path / "file").write_run({}),
    ):
        with pytest.raises(StoreError, match="cannot be written"):
            action()
    with pytest.raises(StoreError, match="cannot be written"), Store(tmp_path / "file").lock():
        pass


KILLED = """
import sys, itertools
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from tests.synthetic import cell_row, image_rows, sample_rows
from robustbench_lite.results.store import Store
store = Store(Path(sys.argv[1]))
with store.lock():
    for i in itertools.count():
        if i == 3:
            print("go", flush=True)
        cell = cell_row(f"c{i % 7}", n=i)
        rows = [row | {"margin": float(i)} for row in sample_rows(cell, 40)]
        store.write(cell["cell"], rows, cell, image_rows(cell["cell"], 40))
"""


def test_a_killed_write_leaves_whole_cells_only(tmp_path):
    random.seed(3)
    for _ in range(6):
        command = [sys.executable, "-c", KILLED, str(tmp_path), HERE]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"go\n"
            time.sleep(random.uniform(0, 0.1))
            child.send_signal(signal.SIGKILL)
        results = read(tmp_path)
        assert results.problems == () and len(results.cell_table) >= 2
        for cell in results.cell_table.to_pylist():
            rows = [row for row in results.sample_table.to_pylist() if row["cell"] == cell["cell"]]
            assert [row["margin"] for row in rows] == [float(cell["n"])] * 40
            assert len(results.images(cell["cell"])) == 40
    with Store(tmp_path).lock():
        assert not list(tmp_path.rglob(".*.tmp"))


def test_a_second_run_is_kept_out_and_the_lock_goes_with_the_first(tmp_path):
    store = Store(tmp_path)
    with store.lock(), pytest.raises(StoreError, match="another run"), Store(tmp_path).lock():
        pass
    with pytest.raises(KeyboardInterrupt), store.lock():
        raise KeyboardInterrupt
    with store.lock():
        pass


def test_run_json_survives_any_name(tmp_path):
    put(Store(tmp_path), cell_row("a1"))
    Store(tmp_path).write_run({"title": "π \udc80 \x1b"})
    assert read(tmp_path).run == {"title": "π \udc80 \x1b"}


# --- reading what is not as it should be


def damaged(path, how):
    content = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "truncated": content[:-20], "foreign": b"hello", "half": content[: len(content) // 2]}[how]
    )


@pytest.mark.parametrize("how", ["empty", "truncated", "foreign", "half"])
def test_damaged_samples_fail_their_cell_and_no_other(tmp_path, how):
    example(tmp_path)
    damaged(tmp_path / "samples" / "a1.parquet", how)
    results = read(tmp_path)
    cells = {row["cell"]: row for row in results.cell_table.to_pylist()}
    assert cells["a1"]["status"] == "failed" and "cannot be read" in cells["a1"]["error"]
    assert cells["a2"]["status"] == "ok" and len(results.sample_table) == 60
    assert len(results.problems) == 1 and "a1.parquet" in results.problems[0]
    assert "a1" not in Store(tmp_path).finished()


@pytest.mark.parametrize("how", ["empty", "truncated", "foreign", "half"])
def test_a_damaged_cell_is_absent_and_named(tmp_path, how):
    example(tmp_path)
    damaged(tmp_path / "cells" / "a1.parquet", how)
    results = read(tmp_path)
    assert "a1" not in results.cell_table["cell"].to_pylist()
    assert "a1" not in results.sample_table["cell"].to_pylist()
    assert len(results.problems) == 1 and "a1.parquet" in results.problems[0]
    assert Store(tmp_path).finished() == {"a2", "a3", "b1"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_never_makes_a_folder_unreadable(tmp_path, share, bit):
    put(Store(tmp_path), cell_row("a1"))
    put(Store(tmp_path), cell_row("a2"))
    path = tmp_path / "samples" / "a1.parquet"
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1 << bit
    path.write_bytes(content)
    results = read(tmp_path)
    rows = results.sample_table.to_pylist()
    assert [row for row in rows if row["cell"] == "a2"] == sample_rows(cell_row("a2"))


def test_missing_samples_fail_their_cell(tmp_path):
    example(tmp_path)
    (tmp_path / "samples" / "a1.parquet").unlink()
    assert any("a1.parquet: missing" in problem for problem in read(tmp_path).problems)
    assert "a1" not in Store(tmp_path).finished()


def test_samples_without_a_cell_are_ignored(tmp_path):
    example(tmp_path)
    (tmp_path / "cells" / "a1.parquet").unlink()
    results = read(tmp_path)
    assert "a1" not in results.sample_table["cell"].to_pylist() and results.problems == ()


def test_a_copied_file_does_not_count_twice(tmp_path):
    example(tmp_path)
    copy = tmp_path / "cells" / "a1 (conflicted copy).parquet"
    copy.write_bytes((tmp_path / "cells" / "a1.parquet").read_bytes())
    results = read(tmp_path)
    assert results.cell_table["cell"].to_pylist().count("a1") == 1 and "a copy" in results.problems[0]


def older(path, table):
    """As version 1 wrote it: without a digest, every column may be null."""
    fields = [field.with_nullable(True) for field in table.schema]
    plain = pa.table(table.columns, schema=pa.schema(fields, metadata={KEY: b"1"}))
    pq.write_table(plain, path, compression="zstd", write_page_checksum=True)


def test_an_older_file_lacks_columns_and_a_newer_one_has_more(tmp_path):
    example(tmp_path)
    path = tmp_path / "samples" / "a1.parquet"
    table = pq.read_table(path)
    older(path, table.drop_columns(SAMPLES.names[SAMPLES.get_field_index("label_rank") :]))
    results = read(tmp_path)
    assert results.problems == () and results.sample_table.schema.names == SAMPLES.names
    assert results.sample_table["label_rank"].null_count == 80
    seal(table.append_column("novel", pa.array([1] * 20)), path)
    assert read(tmp_path).problems == () and read(tmp_path).sample_table.schema.names == SAMPLES.names
    assert Store(tmp_path).finished() == {"a1", "a2", "a3", "b1"}


def test_a_generator_that_was_judged_before_features_were_looked_at_is_read(tmp_path):
    path, text = tmp_path / "g1.parquet", {"cell": "g1", "status": "ok", "warnings": [], "notes": []}
    kept = [field for field in GENERATORS if field.name not in {"copies_features", "nearer_features"}]
    row = {field.name: None if field.nullable else "x" for field in kept} | text
    seal(pa.Table.from_pylist([row], pa.schema(kept, metadata={KEY: b"1"})), path)
    table, problem = read_file(path, GENERATORS)
    assert not problem and table["copies_features"].null_count == 1


@pytest.mark.parametrize("name", ["success", "rmsd", "adv_pred"])
def test_a_column_that_every_version_writes_is_not_filled_with_nulls(tmp_path, name):
    """A bit of an old footer that flips in a column's name takes the column away."""
    example(tmp_path)
    path = tmp_path / "samples" / "a1.parquet"
    older(path, pq.read_table(path).drop_columns([name]))
    assert f"damaged (no column '{name}')" in read(tmp_path).problems[0]


def test_a_null_where_none_may_be_is_damage(tmp_path):
    example(tmp_path)
    path = tmp_path / "samples" / "a1.parquet"
    table = pq.read_table(path)
    index = table.schema.get_field_index("success")
    older(path, table.set_column(index, "success", pa.nulls(20, pa.bool_())))
    assert "damaged (a null in 'success')" in read(tmp_path).problems[0]
    with pytest.raises(ValueError, match="a null in 'success'"):
        Store(tmp_path).write("a1", [row | {"success": None} for row in sample_rows(cell_row("a1"))], cell_row("a1"))


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [({KEY: b"99"}, "schema 99 is newer"), ({}, "not written by"), ({KEY: b"x"}, "damaged")],
)
def test_a_file_of_another_schema_is_left_out_and_named(tmp_path, metadata, sentence):
    example(tmp_path)
    path = tmp_path / "cells" / "a1.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path)
    assert sentence in read(tmp_path).problems[0]


def test_a_column_of_another_type_is_damage(tmp_path):
    example(tmp_path)
    path = tmp_path / "samples" / "a1.parquet"
    table = pq.read_table(path)
    index = table.schema.get_field_index("rho")
    older(path, table.set_column(index, "rho", pa.array(["much"] * 20)))
    assert "damaged" in read(tmp_path).problems[0]


def test_a_damaged_run_json_is_named(tmp_path):
    example(tmp_path)
    for text in ("{", "[]", ""):
        (tmp_path / "run.json").write_text(text)
        results = read(tmp_path)
        assert "run.json" in results.problems[0] and len(results.cell_table) == 5


def test_damaged_images_are_said(tmp_path):
    Store(tmp_path).write("a1", sample_rows(cell_row("a1")), cell_row("a1"), image_rows("a1"))
    damaged(tmp_path / "images" / "a1.parquet", "half")
    results = read(tmp_path)
    assert len(results.sample_table) == 20
    with pytest.raises(StoreError, match="damaged"):
        results.images()


def test_nothing_to_read_is_a_sentence(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        read(tmp_path / "missing")
    with pytest.raises(StoreError, match="no results there"):
        read(tmp_path)


def test_the_cells_of_the_last_run_count_in_its_order(tmp_path):
    example(tmp_path)
    Store(tmp_path).write_run({"cells": ["b1", "a1", "zz"]})
    results = read(tmp_path)
    assert results.cell_table["cell"].to_pylist() == ["b1", "a1"]
    assert list(dict.fromkeys(results.sample_table["cell"].to_pylist())) == ["b1", "a1"]


def test_tables_need_neither_torch_nor_pandas(tmp_path):
    example(tmp_path)
    code = (
        "import sys; from robustbench_lite.results.store import read; from robustbench_lite.tables.base import tables; "
        "from robustbench_lite.tables.render import render; import robustbench_lite.results.statistics; "
        "results = read(sys.argv[1]); "
        "[render(tables.make(name, results), 'text') for name in ('rho_adv', 'accuracy', 'cost')]; "
        "print(sorted({'torch', 'pandas', 'scipy', 'ruamel', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_images_have_the_bytes_of_float32():
    pixels = np.frombuffer(image_rows("a")[0]["adversarial"], "<f4")
    assert pixels.shape == (16,) and IMAGES.field("adversarial").type == pa.binary()


# --- disks and folders that are not as they should be


def test_results_on_a_disk_that_nobody_can_write_to_are_read_without_a_lock(tmp_path, monkeypatch):
    example(tmp_path)
    before = files(tmp_path)
    real, opened = Path.open, os.open

    def refused(path, mode="r", *args, **kwargs):
        if "w" in mode:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, mode, *args, **kwargs)

    def not_created(path, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(module.os, "open", not_created)
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    with Store(tmp_path).lock():
        assert Store(tmp_path).finished() == {"a1", "a2", "a3", "b1"}
        with pytest.raises(StoreError, match="cannot be written"):
            Store(tmp_path).write_run({})
    assert files(tmp_path) == before
    with pytest.raises(StoreError, match="cannot be written"), Store(tmp_path / "nothing there").lock():
        pass


def test_a_folder_that_cannot_be_looked_into_is_a_sentence(tmp_path, monkeypatch):
    example(tmp_path)

    def refused(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module.os, "listdir", refused)
    with pytest.raises(StoreError, match=r"cannot be read \(Permission denied\)"):
        read(tmp_path)


def test_cells_of_a_newer_version_are_not_run_over(tmp_path):
    example(tmp_path)
    path = tmp_path / "cells" / "a1.parquet"
    seal(pq.read_table(path).replace_schema_metadata({KEY: b"3"}), path)
    with pytest.raises(StoreError, match=r"schema 3 is newer.*--results for another folder"):
        Store(tmp_path).finished()
    assert "schema 3 is newer" in read(tmp_path).problems[0]


def test_a_pipe_among_the_results_is_no_reason_to_wait(tmp_path):
    example(tmp_path)
    for name in ("samples/a1.parquet", "cells/a2.parquet"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
    problems = " ".join(read(tmp_path).problems)
    assert all(f"{name}.parquet: damaged (expected a regular file, got a pipe" in problems for name in ("a1", "a2"))


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_lock_that_is_no_file_neither_waits_nor_empties_another(tmp_path, kind):
    other = tmp_path / "precious"
    other.write_text("kept")
    folder = tmp_path / "run"
    folder.mkdir()
    if kind == "pipe":
        os.mkfifo(folder / ".lock")
        with Store(folder).lock():
            pass
    else:
        (folder / ".lock").symlink_to(other)
        with pytest.raises(StoreError), Store(folder).lock():
            pass
    assert other.read_text() == "kept"


WITHOUT_LOCKS = """
import sys
sys.modules["fcntl"] = None  # as on Windows
from pathlib import Path
from robustbench_lite.cli.verbs import cli
folder = sys.argv[1]
for arguments in (["table", folder, "accuracy"], ["report", folder, "-o", folder + "/page.html"]):
    cli.main(arguments, standalone_mode=False)
from robustbench_lite.results.store import Store, read
assert len(read(folder).cell_table) == 5
import robustbench_lite.pytest_plugin.session
with Store(Path(folder)).lock():
    pass
"""


def test_results_are_read_where_nothing_can_be_locked(tmp_path):
    example(tmp_path)
    command = [sys.executable, "-c", WITHOUT_LOCKS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (tmp_path / "page.html").exists() and "Accuracy before and after" in done.stdout, done.stderr
    assert "StoreError" in done.stderr.splitlines()[-1] and "no file locks (fcntl)" in done.stderr
