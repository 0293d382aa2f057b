"""The main job through its real doors: processes, signals, full disks, broken classifiers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

import robustbench_lite
from robustbench_lite.results.sealed import seal
from robustbench_lite.results.store import read
from robustbench_lite.runner.run import run
from robustbench_lite.tables.base import tables
from tests.forks import heard, started
from tests.helpers import ROOT, cli

TIMING = ["seconds"]
SUITE = {
    "version": 1,
    "name": "small",
    "seed": 0,
    "data": {"mnist": {"samples": 20}},
    "models": ["fc500_150_10_mnist"],
    "attacks": [{"pgd": {"epsilon": 0.1, "steps": 5}}, "deepfool", {"fgsm": {"epsilon": 0.1}}],
    "tables": ["accuracy"],
}


def written(folder: Path, **changes) -> Path:
    path = folder / "small.yaml"
    path.write_text(json.dumps({**SUITE, **changes}))
    return path


def test_a_run_leaves_rows_that_pandas_reads_as_they_are(tmp_path):
    results = run(SUITE, tmp_path)
    frame = pd.read_parquet(tmp_path / "small" / "samples")
    assert len(frame) == 60
    assert set(frame["status"]) == {"ok"}
    assert len(set(frame["weights"])) == 1
    cells = results.cells()
    assert list(cells["variant"]) == ["pgd", "deepfool", "fgsm"]
    assert (cells["clean_accuracy"] > 0.9).all()
    assert (frame["clean_correct"] == (frame["clean_pred"] == frame["label"])).all()
    away = frame[frame["goal"] == "prediction"]
    assert (away["success"] == (away["adv_pred"] != away["clean_pred"])).all()
    bounded = frame[frame["eps"].notna()]
    assert (bounded["linf"] <= bounded["eps"] * (1 + 1e-5) + 1e-6).all()
    assert robustbench_lite.load(tmp_path / "small").run["finished"]


def test_the_same_command_again_is_a_no_op_and_fresh_is_not(tmp_path):
    suite = written(tmp_path)
    assert cli("run", str(suite), "--results", str(tmp_path / "r")).returncode == 0
    again = cli("run", str(suite), "--results", str(tmp_path / "r"))
    assert again.returncode == 0
    assert "3 cells, 3 already in the store" in again.stderr
    assert "[1/3]" not in again.stderr
    fresh = cli("run", str(suite), "--results", str(tmp_path / "r"), "--fresh")
    assert "[3/3]" in fresh.stderr


def test_samples_of_the_targets_own_class_are_left_out(tmp_path):
    attack = {"epsilon": 0.1, "steps": 5}
    frame = run({**SUITE, "attacks": [{"pgd": attack}]}, tmp_path / "all").samples()
    target = int(frame["label"].mode()[0])
    others = frame.loc[frame["label"] != target, "sample"]
    results = run({**SUITE, "attacks": [{"pgd": attack | {"target": target}}]}, tmp_path / "targeted")
    assert 0 < len(others) < 20
    assert list(results.samples()["sample"]) == list(others)
    assert (results.samples()["target"] == target).all()
    cell = results.cells().iloc[0]
    assert cell["n"] == len(others)
    said = f"{20 - len(others)} of 20 samples are left out: the target is their own class"
    assert list(cell["warnings"]) == [said]
    assert said in tables.make("accuracy", results).footnotes[-1]


def test_a_target_that_the_classifier_does_not_have_is_named(tmp_path):
    attacks = [{"pgd": {"epsilon": 0.1, "target": 10}}, {"fgsm": {"epsilon": 0.1}}]
    cells = run({**SUITE, "attacks": attacks}, tmp_path).cells()
    assert list(cells["status"]) == ["failed", "ok"]
    assert cells["error"][0] == "target: expected a class below 10, as many as the classifier has; got 10"
    done = cli("validate", str(written(tmp_path, attacks=[{"pgd": {"epsilon": 0.1, "target": -1}}])))
    assert done.returncode == 2 and "target" in done.stderr


def test_batch_size_and_seed(tmp_path):
    frames = [run(SUITE, tmp_path / str(size), batch_size=size).samples() for size in (1, 7, 50)]
    for frame in frames[1:]:
        assert list(frame["success"]) == list(frames[0]["success"])
        assert list(frame["cell"]) == list(frames[0]["cell"])  # the batch size is not part of what a cell is
    other = run({**SUITE, "seed": 1}, tmp_path / "seed").samples()
    assert not set(other["cell"]) & set(frames[0]["cell"])


def test_stdout_carries_the_tables_and_nothing_else(tmp_path):
    done = cli("run", str(written(tmp_path)), "--results", str(tmp_path / "r"))
    assert done.stdout.startswith("Accuracy before and after the attacks")
    assert "cells" not in done.stdout.splitlines()[0]
    table = cli("table", str(tmp_path / "r" / "small"), "accuracy", "--format", "csv")
    assert table.returncode == 0
    assert len(table.stdout.splitlines()) == 4


def test_verify_agrees_and_notices_tampering(tmp_path):
    run(SUITE, tmp_path)
    folder = tmp_path / "small"
    good = cli("verify", str(folder))
    assert good.returncode == 0, good.stderr
    assert "60 rows re-scored, 0 values disagree" in good.stdout
    import pyarrow.parquet as pq

    path = min((folder / "samples").glob("*.parquet"))
    table = pq.read_table(path)
    column = table.schema.get_field_index("success")
    flipped = [not value for value in table["success"].to_pylist()]
    seal(table.set_column(column, "success", [flipped]).cast(table.schema), path)
    bad = cli("verify", str(folder))
    assert bad.returncode == 1
    assert "success is stored as" in bad.stdout


FACTORIES = """
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        generator = torch.Generator().manual_seed(0)
        for p in self.net.parameters():
            p.data = torch.randn(p.shape, generator=generator)
    def forward(self, x):
        return self.net(x)

class NaN(Base):
    def forward(self, x):
        return self.net(x) * float("nan")

class Softmax(Base):
    def forward(self, x):
        return self.net(x).softmax(1)

class Stuck(Base):
    def train(self, mode=True):
        self.training = True
        return self

class Dropout(Base):
    def forward(self, x):
        return nn.functional.dropout(self.net(x), training=True)

class Mixing(Base):
    def forward(self, x):
        z = self.net(x)
        return z - 3 * z.flip(0)

class Buffered(Base):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
    def forward(self, x):
        self.count += 1
        return self.net(x)

def fails():
    raise OSError("no such weights")

def text():
    return "model"
"""


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("NaN", "logits are not finite on"),
        ("Softmax", "outputs are probabilities"),
        ("Stuck", "training mode"),
        ("Dropout", "two calls on the same images give different logits"),
        ("Mixing", "change with the batch size"),
        ("Buffered", "parameters, buffers or answers changed"),
        ("fails", "no such weights"),
        ("text", "expected an nn.Module"),
    ],
)
def test_a_broken_classifier_fails_its_cells_and_no_others(factory, message, tmp_path):
    (tmp_path / "nets.py").write_text(FACTORIES)
    model = {"python": f"nets.py:{factory}", "trust": True, "size": [1, 28, 28], "classes": 10, "name": "broken"}
    done = cli(
        *("run", str(written(tmp_path, models=[model, "fc500_150_10_mnist"], attacks=["deepfool"]))),
        *("--results", str(tmp_path / "r")),
    )
    assert done.returncode == 3, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    cells = read(tmp_path / "r" / "small").cells().set_index("source")
    assert cells.loc["broken", "status"] == "failed"
    assert cells.loc["fc500_150_10_mnist", "status"] == "ok"
    lines = done.stdout.splitlines()
    heading = next(i for i, line in enumerate(lines) if "broken" in line and "mnist" in line)
    assert "—" in lines[heading] + lines[heading + 1]  # a mark, never a robust score


def test_code_needs_trust(tmp_path):
    (tmp_path / "nets.py").write_text(FACTORIES)
    model = {"python": "nets.py:Base", "size": [1, 28, 28], "classes": 10}
    done = cli("validate", str(written(tmp_path, models=[model])))
    assert done.returncode == 2
    assert "trust: true" in done.stderr


def test_a_malicious_pickle_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.system, (f"touch {tmp_path}/boom",))

    torch.save({"conv1.weight": Bomb()}, tmp_path / "evil.pth")
    model = {"file": "evil.pth", "arch": "lenet", "mean": [0], "std": [1], "size": [1, 28, 28], "classes": 10}
    done = cli("run", str(written(tmp_path, models=[model], attacks=["deepfool"])), "--results", str(tmp_path / "r"))
    assert done.returncode == 3
    assert "holds more than weights" in done.stderr
    assert not (tmp_path / "boom").exists()


def test_a_wrong_normalisation_is_a_loud_warning(tmp_path):
    model = {"zoo": "fc500_150_10_mnist", "mean": [3.0], "std": [0.1]}
    done = cli("run", str(written(tmp_path, models=[model])), "--results", str(tmp_path / "r"))
    assert "WARNING: clean accuracy" in done.stderr
    assert "is far from the card's" in done.stdout  # and in the table's footnotes


def test_usage_errors_are_one_sentence_and_exit_2(tmp_path):
    suite = str(written(tmp_path))
    cases = [
        ("run", suite, "--device", "abacus"),
        ("run", suite, "--batch-size", "many"),
        ("run", str(tmp_path / "absent.yaml")),
        ("run", suite, "--set", "attacks.0.pgd.stepz=3"),
        ("table", str(tmp_path), "accuracy"),
        ("describe", "deepfol"),
        ("list", "colours"),
        ("nonsense",),
    ]
    for case in cases:
        done = cli(*case)
        assert done.returncode in {2, 5}, (case, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    absent = cli("run", suite, "--device", "cuda:7")
    assert absent.returncode == 2
    assert "this machine has" in absent.stderr
    assert "did you mean 'deepfool'" in cli("describe", "deepfol").stderr


def test_an_interrupt_keeps_what_is_done(tmp_path):
    slow = [{"pgd": {"epsilon": 0.1, "steps": 5}}, {"lbfgs": {"targets": 9}}]
    suite = written(tmp_path, attacks=slow, data={"mnist": {"samples": 300}})
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        said = tmp_path / f"{code}.txt"
        words = ["robustbench_lite", "run", str(suite), "--results", str(tmp_path / str(code))]
        process = started(words, ROOT, os.environ, err=said)
        heard(process, "[1/2]", said)
        os.kill(process.pid, number)
        process.join(60)
        assert process.exitcode == code, said.read_text()
        assert "the same command goes on" in said.read_text()
        assert len(read(tmp_path / str(code) / "small").cells()) == 1


def test_fetch_without_a_connection_is_one_sentence(tmp_path):
    suite = written(tmp_path, data={"torchvision:CIFAR10": {"root": "here"}})
    done = cli("fetch", str(suite), env={"HTTPS_PROXY": "http://127.0.0.1:9"})
    assert done.returncode == 2, done.stderr
    assert "cannot be downloaded" in done.stderr
    assert "Traceback" not in done.stderr
    assert cli("fetch", str(written(tmp_path))).stdout == "mnist: ready\nfc500_150_10_mnist: ready\n"


def stored(folder):
    return set(folder.rglob("*.parquet"))


@pytest.mark.slow
def test_thirty_kills_leave_the_rows_of_an_uninterrupted_run(tmp_path):
    attacks = [{"pgd": {"epsilon": e / 100, "steps": 5}} for e in range(1, 13)]
    suite = written(tmp_path, attacks=attacks, data={"mnist": {"samples": 50}})
    run(suite, tmp_path / "whole")
    killed = tmp_path / "killed" / "small"
    words = ["run", str(suite), "--results", str(killed.parent)]
    random.seed(0)
    began, cells = time.monotonic(), []
    assert cli(*words[:3], str(tmp_path / "timed")).returncode == 0
    whole = time.monotonic() - began
    for turn in range(30):
        process, before = started(["robustbench_lite", *words], ROOT, os.environ), stored(killed)
        if turn % 2:
            process.join(random.uniform(0, whole))
        else:  # in the midst of its work: just after it has stored something
            while process.exitcode is None and stored(killed) == before:
                process.join(0.002)
            process.join(random.uniform(0, whole / 50))
        process.kill()
        process.join()
        if (killed / "run.json").exists():
            results = read(killed)
            assert not results.problems
            cells.append(len(results.cell_table))
    assert cells == sorted(cells) and len(set(cells)) > 3, "the kills must fall into its work"
    assert cli(*words).returncode == 0
    one, other = (read(tmp_path / name / "small").samples().drop(columns=TIMING) for name in ("whole", "killed"))
    pd.testing.assert_frame_equal(
        one.sort_values(["cell", "sample"], ignore_index=True), other.sort_values(["cell", "sample"], ignore_index=True)
    )


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/bin/mount").exists(), reason="needs root to mount a small tmpfs")
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(tmp_path):
    small = tmp_path / "disk"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", small], check=False, capture_output=True
    ).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        suite = written(tmp_path)
        full = cli("run", str(suite), "--results", str(small))
        assert full.returncode == 5, full.stderr
        assert "the disk is full" in full.stderr
        assert "Traceback" not in full.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        assert cli("run", str(suite), "--results", str(small)).returncode == 0
    finally:
        subprocess.run(["umount", small], check=False)
