"""What verbs write is whole or absent; how they end where nobody reads, or where what they need is gone."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robustbench_lite.cli.verbs import main
from robustbench_lite.errors import BaselineError
from robustbench_lite.gate.baseline import baseline_of, read_baseline, write_baseline
from robustbench_lite.results import sealed
from robustbench_lite.results.store import read
from tests.gates import robust, write
from tests.helpers import ROOT
from tests.synthetic import example


def ends(*arguments) -> int:
    """The exit code of a verb."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture
def gate(tmp_path):
    """A run with a floor that it reaches, and its baseline."""
    write(tmp_path / "r", robust(), "lenet", "fgsm", gate={"min_robust_accuracy": 40})
    write_baseline(baseline_of(read(tmp_path / "r")), tmp_path / "b.parquet")
    return tmp_path / "r", tmp_path / "b.parquet"


# --- outputs


@pytest.mark.parametrize("when", ["while it is written", "before it has its name"])
def test_a_report_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch, capsys, when):
    example(tmp_path / "r")
    out = tmp_path / "page.html"
    out.write_text("the old one")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    target = {"while it is written": "write_bytes", "before it has its name": "replace"}[when]
    monkeypatch.setattr(f"pathlib.Path.{target}", full)
    assert ends("report", tmp_path / "r", "-o", out) == 2
    assert "page.html: cannot be written (No space left on device)" in capsys.readouterr().err
    monkeypatch.undo()
    assert out.read_text() == "the old one" and not list(tmp_path.glob(".*"))
    assert ends("report", tmp_path / "r", "-o", out) == 0
    assert out.read_text().startswith("<!DOCTYPE html>") and not list(tmp_path.glob(".*"))


def test_a_table_and_a_figure_are_written_the_same_way(tmp_path, monkeypatch):
    written = []
    real = sealed.atomically
    monkeypatch.setattr(sealed, "atomically", lambda path, write: (written.append(path), real(path, write)))
    example(tmp_path / "r")
    assert ends("table", tmp_path / "r", "accuracy", "-o", tmp_path / "t.csv", "--format", "csv") == 0
    assert ends("describe", "noise", "--sheet", tmp_path / "s.svg") == 0
    assert written == [tmp_path / "t.csv", tmp_path / "s.svg"]


def test_a_link_and_a_pipe_stay_what_they_are(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "there" / "file.txt")
    sealed.write_text(link, "content")
    assert link.is_symlink() and (tmp_path / "there" / "file.txt").read_text() == "content"
    sealed.write_text(link, "\udc80")
    assert link.read_text() == "\\udc80"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["file.txt"]


# --- the gate


def test_the_gate_needs_run_json(gate, capsys):
    folder, baseline = gate
    assert ends("check", folder, "--baseline", baseline) == 0
    content = (folder / "run.json").read_text()
    for damage in ("{", content.replace("40", "4"), "[]", ""):
        (folder / "run.json").write_text(damage)
        assert ends("check", folder, "--baseline", baseline) == 4
        assert "run.json: damaged" in capsys.readouterr().err
    (folder / "run.json").unlink()
    assert ends("check", folder, "--baseline", baseline) == 4
    assert "run.json: missing; the limits of the gate are in it" in capsys.readouterr().err


@pytest.mark.parametrize("reader", [["true"], ["head", "-c", "10"]], ids=lambda words: words[0])
@pytest.mark.parametrize(("lose", "code"), [(0, 0), (30, 1)], ids=["passed", "failed"])
def test_a_verdict_does_not_depend_on_who_reads_it(gate, reader, lose, code):
    folder, baseline = gate
    write(folder, robust(lose=lose), "lenet", "fgsm", gate={})
    command = [sys.executable, "-m", "robustbench_lite", "check", str(folder), "--baseline", str(baseline)]
    read_end, write_end = os.pipe()
    with subprocess.Popen(reader, stdin=read_end, stdout=subprocess.DEVNULL) as other:
        os.close(read_end)
        if reader == ["true"]:
            other.wait()  # gone before anything is said
        done = subprocess.run(
            command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT,
        )  # fmt: skip
        os.close(write_end)
    assert (done.returncode, done.stderr) == (code, "")


def rewritten(path, change):
    """The baseline as version 1 wrote it, without a digest, and then changed."""
    table = pq.read_table(path)
    columns = {name: table[name] for name in table.column_names} | change(table)
    meta = {**table.schema.metadata, b"robustbench_lite.baseline": b"1"}
    pq.write_table(pa.table(columns).replace_schema_metadata(meta), path)


def nulls(name):
    return lambda table: {name: pa.nulls(len(table), table.schema.field(name).type)}


def one_null(name):
    return lambda table: {name: pa.array([None, *table[name].to_pylist()[1:]], table.schema.field(name).type)}


def one_nan(name):
    return lambda table: {name: pa.array([float("nan"), *table[name].to_pylist()[1:]], pa.float32())}


@pytest.mark.parametrize("name", ["robust", "success", "label", "sample", "gate", "rho", "l2", "params"])
@pytest.mark.parametrize("how", [nulls, one_null], ids=["all", "one"])
def test_a_null_in_a_baseline_is_damage(tmp_path, name, how):
    """Even of an old one: numpy makes `False` of a null."""
    write(tmp_path / "r", robust(), "lenet", "deepfool")
    write_baseline(baseline_of(read(tmp_path / "r")), tmp_path / "b.parquet")
    rewritten(tmp_path / "b.parquet", lambda _: {})
    assert len(read_baseline(tmp_path / "b.parquet").scores) == 1
    rewritten(tmp_path / "b.parquet", how(name))
    with pytest.raises(BaselineError, match=f"a null in '{name}'"):
        read_baseline(tmp_path / "b.parquet")


def test_nan_in_a_baseline_is_damage(tmp_path):
    write(tmp_path / "r", robust(), "lenet", "deepfool")
    write_baseline(baseline_of(read(tmp_path / "r")), tmp_path / "b.parquet")
    rewritten(tmp_path / "b.parquet", one_nan("rho"))
    with pytest.raises(BaselineError, match="a NaN in 'rho'"):
        read_baseline(tmp_path / "b.parquet")


def test_a_size_that_is_not_defined_is_infinite_in_a_baseline(tmp_path):
    """A black image has no length, so that the relative size of what was done to it is none."""
    write(tmp_path / "r", robust(20), "lenet", "deepfool")
    made = baseline_of(read(tmp_path / "r"))
    made.scores[0].distances["rho"][3] = np.nan
    write_baseline(made, tmp_path / "b.parquet")
    assert np.isinf(read_baseline(tmp_path / "b.parquet").scores[0].distances["rho"][3])


def test_a_sample_that_is_twice_in_a_baseline_is_damage(tmp_path):
    write(tmp_path / "r", robust(20), "lenet", "fgsm")
    write_baseline(baseline_of(read(tmp_path / "r")), tmp_path / "b.parquet")
    rewritten(tmp_path / "b.parquet", lambda table: {"sample": pa.array(["s0000"] * len(table))})
    with pytest.raises(BaselineError, match="one is there twice"):
        read_baseline(tmp_path / "b.parquet")


def test_the_committed_baseline_is_still_read():
    assert read_baseline(ROOT / "baselines" / "ci.parquet").scores
