"""A suite in several runs, each with its part: the same results as in one, on one folder or merged from several."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from robustbench_lite.errors import StoreError, UsageError
from robustbench_lite.results.store import Store, read
from robustbench_lite.runner import execute as executor
from robustbench_lite.runner.merge import merge
from robustbench_lite.runner.run import run
from robustbench_lite.runner.sizes import Share
from tests.helpers import cli
from tests.runner.test_shards import SUITE as SMALL
from tests.runner.test_shards import rows, summary

SUITE = {**SMALL, "name": "parts", "models": ["lenet_mnist"]}
OPTIONS = {"device": "cpu", "batch_size": 1, "timing": False}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(SUITE, tmp_path_factory.mktemp("whole"), **OPTIONS)


def same(found, whole):
    assert rows(found) == rows(whole) and summary(found) == summary(whole)
    assert found.images().to_pylist() == whole.images().to_pylist()
    assert found.artifacts().to_pylist() == whole.artifacts().to_pylist()
    assert not (found.folder / "shards").exists()


def counted(monkeypatch):
    """How many samples are attacked from now on, a list that grows."""
    made, inner = [], executor.attack
    monkeypatch.setattr(executor, "attack", lambda trial, *rest: (made.append(len(trial.ids)), inner(trial, *rest))[1])
    return made


@pytest.mark.parametrize("order", ["1/3 2/3 3/3", "3/3 1/3 2/3"])
def test_one_folder(whole, order, tmp_path, monkeypatch):
    """Whoever comes last puts a cell together; every sample is attacked once."""
    made = counted(monkeypatch)
    for place, shard in enumerate(order.split()):
        found = run(SUITE, tmp_path, shard=shard, shard_size=4, **OPTIONS)
        assert (found.run["finished"] is not None) == (place == 2)
    assert sum(made) == sum(row["n"] for row in whole.cell_table.to_pylist())
    same(found, whole)
    made.clear()
    run(SUITE, tmp_path, shard="2/3", **OPTIONS)
    assert made == []


def test_one_shard_and_then_all(whole, tmp_path, monkeypatch):
    """A run without --shard does what is left."""
    run(SUITE, tmp_path, shard="2/5", **OPTIONS)
    made = counted(monkeypatch)
    same(run(SUITE, tmp_path, **OPTIONS), whole)
    assert 0 < sum(made) < sum(row["n"] for row in whole.cell_table.to_pylist())


def test_shards_beside_each_other_in_several_processes(whole, tmp_path):
    """Also with workers of their own; each says what is left, and whoever is last has the tables."""
    file = tmp_path / "parts.yaml"
    file.write_text(json.dumps(SUITE))
    common = ["--device", "cpu", "--batch-size", "1", "--no-timing", "--results", str(tmp_path)]

    def shard(number, *more):
        return cli("run", str(file), *common, "--shard", f"{number}/2", *more)

    with ThreadPoolExecutor() as threads:
        done = list(threads.map(shard, [1, 2], ["--jobs=2", "--shard-size=auto"]))
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert any("wait for others" not in one.stderr for one in done)
    same(read(tmp_path / "parts"), whole)


def test_merged_from_several_folders(whole, tmp_path):
    folders = [tmp_path / shard / "parts" for shard in "123"]
    for folder in folders[:2]:
        run(SUITE, folder.parent, shard=f"{folder.parent.name}/3", **OPTIONS)
    out = tmp_path / "all" / "parts"
    part = merge(folders[:2], out)
    assert part.whole < part.planned == 5 and any("samples 14 to 20 are missing" in line for line in part.missing)
    assert read(out).run["finished"] is None
    run(SUITE, folders[2].parent, shard="3/3", **OPTIONS)
    done = cli("merge", str(folders[2]), str(folders[1]), "-o", str(out))
    assert (done.returncode, done.stdout) == (0, f"{out}: 5 of 5 cells\n"), done.stderr
    same(read(out), whole)
    assert merge(folders, out).missing == ()  # once more changes nothing
    same(read(out), whole)


def test_what_is_merged_is_of_one_suite(whole, tmp_path):
    other = run({**SUITE, "seed": 1, "attacks": SUITE["attacks"][1:2]}, tmp_path, **OPTIONS)
    with pytest.raises(StoreError, match="its cells are not those of"):
        merge([whole.folder, other.folder], tmp_path / "out")
    with pytest.raises(StoreError, match="expected the results folder of a run"):
        merge([tmp_path / "nowhere"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_cell_gives_way_to_a_whole_one(whole, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(whole.folder, broken)
    row = read(broken).cell_table.to_pylist()[0]
    Store(broken).write(row["cell"], [], row | {"status": "failed", "error": "a fuse"})
    assert merge([broken, whole.folder], tmp_path / "out").missing == ()
    same(read(tmp_path / "out"), whole)


def test_a_part_that_fails_is_done_again(tmp_path, monkeypatch):
    small = {**SUITE, "attacks": SUITE["attacks"][1:2]}
    run(small, tmp_path, shard="1/2", **OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(executor, "attack", lambda *_: 1 / 0)
        failed = run(small, tmp_path, shard="2/2", **OPTIONS)
    assert failed.cells()["status"].tolist() == ["failed"]
    made = counted(monkeypatch)
    found = run(small, tmp_path, shard="2/2", **OPTIONS)
    assert found.cells()["status"].tolist() == ["ok"] and made == [10] and len(found.sample_table) == 20


def test_who_may_be_there_at_once(tmp_path):
    store = Store(tmp_path)
    with store.lock("1-of-2"), store.lock("2-of-2"):
        for part in ("", "1-of-2"):
            with pytest.raises(StoreError, match="another run is writing there"), store.lock(part):
                pass
    with store.lock(), pytest.raises(StoreError, match="another run is writing there"), store.lock("1-of-2"):
        pass


def test_shares_of_shares():
    """They meet without a gap, whatever they are divided into."""
    for n in (0, 1, 7, 20, 101):
        ends = [Share(i, 3).part(k, 4).of(n) for i in range(3) for k in range(4)]
        assert [stop for _, stop in ends[:-1]] == [start for start, _ in ends[1:]] and ends[0][0] == 0
        assert ends[-1][1] == n and Share(1, 3).of(n) == (ends[4][0], ends[7][1])


@pytest.mark.parametrize("text", ["0/3", "4/3", "2", "a/b", "1/0", "-1/2", "1/3/4", "1.0/2"])
def test_bad_shards(text, tmp_path):
    with pytest.raises(UsageError, match=r"--shard: expected I/N with I from 1 to N"):
        run(SUITE, tmp_path, shard=text, **OPTIONS)


def test_fresh_would_take_out_what_others_have_done(tmp_path):
    with pytest.raises(UsageError, match="other shards"):
        run(SUITE, tmp_path, shard="1/2", fresh=True, **OPTIONS)
