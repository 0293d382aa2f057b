"""Generators as cells: ids are content, a kill changes no bit, what goes wrong is a row, nothing spoils a folder."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from robustbench_lite.errors import UsageError
from robustbench_lite.generators import Training
from robustbench_lite.guards.limits import Stopped
from robustbench_lite.report.page import page
from robustbench_lite.results.store import Store, read
from robustbench_lite.runner import making
from robustbench_lite.runner.generation.cell import generator_cells
from robustbench_lite.runner.generation.makers import Maker, Makers
from robustbench_lite.runner.merge import merge
from robustbench_lite.runner.preview import preview
from robustbench_lite.runner.run import Options, Silent, run, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.render import render
from tests.helpers import cli

SMALL = {"architecture": {"points_mlp": {"width": 8}}, "points": "ring", "steps": 24, "batch_size": 16}
EVERY = {"log_every": 2, "save_every": 5}
PIXELS = {
    "architecture": {"dcgan": {"filters": 2, "latent": 4}}, "objective": "non_saturating", "judge": "lenet_mnist",
    "train": [{"bundled": "mnist", "samples": 64}], "test": {"bundled": "mnist", "samples": 66},
    "pad": 2, "size": [1, 32, 32], "steps": 4, "batch_size": 8, "log_every": 1, "save_every": 2,
}  # fmt: skip
TIMES = ["seconds", "seconds_sample", "seconds_score", "seconds_stages", "provenance"]


def suite(*entries, **more):
    return {"version": 1, "name": "g", "generators": list(entries), **more}


def points(**more):
    return SMALL | EVERY | {"objective": "minimax"} | more


def ids(*entries, **more):
    return [cell.id for cell in generator_cells(load(suite(*entries, **more)))]


def rows(table, *without):
    frame = table.to_pandas() if hasattr(table, "to_pandas") else table
    return frame.drop(columns=list(without)).to_json(orient="records", default_handler=str)


@dataclass(frozen=True)
class Mortal(Maker):
    """Its process is killed once, at step 8."""

    def make(self, cell, told):
        once = self.folder.parent / "once"

        class Killing(Silent):
            def trained(self, _, steps):
                if steps == 8 and once.exists():
                    once.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)

        return super().make(cell, Killing())


class Counting(Silent):
    def __init__(self):
        self.names = []

    def making(self, cell, number, total):
        self.names.append(cell.name)


def test_an_id_is_what_changes_the_outcome():
    (one,) = ids(points())
    assert ids(points(**{"as": "other"})) == [one] == ids(points(save_every=7, anneal=0))
    assert ids(points(objective={"minimax": {"lr": 2e-4}})) == [one]  # the default, written out
    others = [
        points(steps=25),
        points(anneal=0.5),
        points(seed=1),
        points(objective="wgan"),
        points(points={"ring": {"modes": 7}}),
    ]
    found = {one, *(ids(other)[0] for other in others), ids(points(), seed=1)[0]}
    assert len(found) == len(others) + 2
    assert len(set(ids(points(**{"as": "a"}), points(**{"as": "b"})))) == 2
    (images,) = ids(PIXELS)
    assert images != ids(PIXELS | {"images": 20})[0] != ids(PIXELS | {"judge": "resnet20_fashion"})[0]
    assert ids(PIXELS | {"train": [{"bundled": "mnist", "samples": 63}]})[0] != images


@pytest.mark.parametrize("entry", [points(), PIXELS], ids=["points", "images"])
def test_a_killed_run_goes_on_bit_for_bit(entry, tmp_path, monkeypatch):
    whole = run(suite(entry), tmp_path / "whole")
    advance, steps = Training._advance, []

    def killed(training):
        if len(steps) == entry["steps"] - 1:
            raise Stopped
        steps.append(training.step)
        return advance(training)

    monkeypatch.setattr(Training, "_advance", killed)
    with pytest.raises(Stopped):
        run(suite(entry), tmp_path)
    assert list((tmp_path / "g" / "trainings").iterdir()) and not len(read(tmp_path / "g").generator_table)
    monkeypatch.setattr(Training, "_advance", advance)
    torch.manual_seed(5)
    resumed = run(suite(entry | {"as": "renamed meanwhile"}), tmp_path)
    assert rows(resumed.generators(), *TIMES, "name", "recipe") == rows(whole.generators(), *TIMES, "name", "recipe")
    assert rows(resumed.training(), "seconds") == rows(whole.training(), "seconds")
    assert resumed.generated().equals(whole.generated()) and len(whole.generated())
    assert not list((tmp_path / "g" / "trainings").iterdir())  # the checkpoint went with the cell


def test_several_processes_make_the_same_bits_and_whoever_dies_is_replaced(tmp_path):
    """One that trains is killed once: another goes on from its checkpoint."""
    both = load(suite(points(**{"as": "a"}), PIXELS | {"as": "b"}))
    alone = run_suite(both, Options(results=tmp_path / "alone", device="cpu"))
    (tmp_path / "several" / "g").mkdir(parents=True)
    (tmp_path / "several" / "g" / "once").touch()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(making, "Maker", Mortal)
        told = Counting()
        found = run_suite(both, Options(results=tmp_path / "several", device="cpu", jobs=2), told)
    assert sorted(told.names) == ["a", "b"] and not (found.folder / "once").exists()
    assert rows(found.generators(), *TIMES) == rows(alone.generators(), *TIMES)
    for cell in found.generators()["cell"]:
        assert rows(found.training(cell), "seconds") == rows(alone.training(cell), "seconds")
        assert found.generated(cell).equals(alone.generated(cell)) and len(found.generated(cell))
    assert not list((found.folder / "trainings").iterdir())  # checkpoints went with the cells


def test_a_training_that_kills_three_processes_has_failed(tmp_path):
    """Unless something of it was stored in between."""
    (cell,) = generator_cells(load(suite(points(**{"as": "a"}))))
    maker = Maker(tmp_path, tmp_path, torch.device("cpu"))
    makers, given = Makers(maker, 2, Silent()), []
    crew = SimpleNamespace(begin=lambda place: None, give=lambda place, cell: given.append(place))
    makers._at[1] = cell
    die = lambda: list(makers._heard(1, "died", "killed by signal 9", crew))
    assert die() == die() == []
    (tmp_path / cell.id).mkdir()
    (tmp_path / cell.id / "checkpoint.pt").touch()
    assert die() == die() == [] and given == [1] * 4
    (report,) = die()
    assert report.failed and "a: 3 processes have died of it (killed by signal 9" in report.row["error"]
    assert not makers._at


def test_a_training_on_a_cpu_has_one_thread_whatever_the_rest_has(tmp_path, monkeypatch):
    seen, advance = [], Training._advance
    monkeypatch.setattr(Training, "_advance", lambda self: seen.append(torch.get_num_threads()) or advance(self))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(suite(points()), tmp_path, device="cpu")
        assert set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_what_is_there_is_not_made_again_and_takes_new_names(tmp_path):
    told = Counting()
    for name in ("first", "second"):
        made = run_suite(load(suite(points(**{"as": name}))), Options(results=tmp_path), told)
        assert made.generators()["name"].tolist() == [name]
    assert told.names == ["first"]
    run_suite(load(suite(points(**{"as": "third"}))), Options(results=tmp_path, fresh=True), told)
    assert told.names == ["first", "third"]


def test_what_fails_is_a_row_and_the_others_go_on(tmp_path):
    entries = [
        points(**{"as": "wild", "objective": {"wgan_gp": {"lr": 1e30}}}),
        PIXELS | {"as": "lost", "train": [{"idx": "nowhere"}]},
        points(**{"as": "odd", "size": [3]}),
        points(**{"as": "sound"}),
    ]
    made = run(suite(*entries), tmp_path)
    found = made.generators().set_index("name")
    assert found["status"].tolist() == ["failed", "failed", "failed", "ok"]
    assert found["stage"].tolist()[:2] == ["train", "load"]
    assert found.loc["wild", "outcome"] == "diverged" and bool(found.loc["wild", "collapsed"])
    assert "diverged at step" in found.loc["wild", "error"] and "ModelError" in found.loc["wild", "traceback"]
    assert "nowhere" in found.loc["lost", "error"]
    assert len(made.training(found.loc["wild", "cell"])) > 0  # the losses until then
    text = page([made])
    assert "3 cells failed" in text or text.count("cell failed") == 3


def test_the_command_line_says_so_and_ends_with_3(tmp_path):
    path = tmp_path / "g.yaml"
    path.write_text(
        "version: 1\nname: g\ntables: [gan_scores]\ngenerators:\n"
        "  - {as: wild, architecture: points_mlp, points: ring, steps: 4, objective: {wgan_gp: {lr: 1.0e+30}}}\n"
    )
    done = cli("run", str(path), cwd=tmp_path)
    assert done.returncode == 3 and "diverged" in done.stdout and "failed: ring · wild" in done.stderr, done.stderr
    planned = preview(load(path), Options(results=tmp_path / "results"))
    assert [row["state"].text for row in planned.rows] == ["to run"] and planned.rows[0]["attack"].text == "wild"


def test_foreign_and_half_written_files_hide_nothing(tmp_path):
    folder = run(suite(points(**{"as": "a"}), points(**{"as": "b", "seed": 1})), tmp_path).folder
    a, b = (folder / "generators" / f"{cell}.parquet" for cell in read(folder).run["generator_cells"])
    shutil.copy(a, folder / "generators" / "copy.parquet")
    pd.DataFrame({"cell": ["x"]}).to_parquet(folder / "generators" / "x.parquet")
    b.write_bytes(b.read_bytes()[:-40])
    (folder / "generated" / a.name).write_bytes(b"half")
    found = read(folder)
    assert found.generators()["name"].tolist() == ["a"] and len(found.problems) == 3
    assert "damaged" in page([found])
    assert "a" in render(tables.make("gan_scores", found), "text")
    assert not Store(folder).made("generators").keys() - {a.stem}


def test_pandas_reads_a_folder_of_rows(tmp_path):
    folder = run(suite(points(**{"as": "a"}), points(**{"as": "b", "seed": 1})), tmp_path).folder
    assert sorted(pd.read_parquet(folder / "generators")["name"]) == ["a", "b"]
    assert {"step", "wasserstein", "critic_loss"} <= set(pq.read_table(folder / "training").column_names)


def test_options_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--executor ray: a training goes on from files of this machine; use --jobs"):
        run(suite(points()), tmp_path, executor="ray")
    with pytest.raises(UsageError, match="--limit: generators are judged by 16 images at least, got 3"):
        run(suite(points()), tmp_path, limit=3)
    assert run(suite(points()), tmp_path, limit=20).generators()["n"].tolist() == [20]


def test_folders_of_two_machines_become_one(tmp_path):
    both = suite(points(**{"as": "a"}), points(**{"as": "b", "seed": 1}))
    parts = [run(both, tmp_path / number, shard=f"{number}/2").folder for number in ("1", "2")]
    assert merge(parts[:1], tmp_path / "half").missing == ("generator b: is missing, or has failed",)
    merged = merge(parts, tmp_path / "whole")
    assert (merged.whole, merged.planned, merged.missing) == (2, 2, ())
    found = read(tmp_path / "whole")
    assert found.generators()["name"].tolist() == ["a", "b"] and found.run["finished"]
    assert len(found.generated()) and len(found.training())


def test_shards_share_the_generators(tmp_path):
    both = suite(points(**{"as": "a"}), points(**{"as": "b", "seed": 1}), points(**{"as": "c", "seed": 2}))
    first = run(both, tmp_path, shard="1/2")
    assert first.generators()["name"].tolist() == ["a", "c"] and first.run["finished"] is None
    second = run(both, tmp_path, shard="2/2")
    assert second.generators()["name"].tolist() == ["a", "b", "c"] and second.run["finished"]
