"""Runs on images that are decoded shard by shard: the same rows, errors in the right cell, memory of one shard."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
import torch
from PIL import Image

from robustbench_lite.datasets import _decode, base, stream
from robustbench_lite.engine import inspection
from robustbench_lite.guards.limits import Interrupted
from robustbench_lite.runner import _samples, cell_trial, sizes
from robustbench_lite.runner import execute as executor
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from tests.helpers import ROOT, mlp

N, SHAPE = 40, (1, 6, 6)
SUITE = {
    "version": 1,
    "name": "stream",
    "data": [{"a": {"folder": "data", "pad": 1}}, {"b": {"folder": "data", "size": 8, "samples": 20}}],
    "attacks": [{"pgd": {"epsilon": 0.1, "steps": 3}}, {"deepfool": {"steps": 3}}],
    "images": "all",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of random images, and one of dark ones."""
    (tmp_path / "dark" / "0").mkdir(parents=True)
    for i in range(1, 12):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / "dark" / "0" / f"{i}.png")
    for i in range(N):
        (tmp_path / "data" / str(i % 5)).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, SHAPE[1:], np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / str(i % 5) / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def streamed(monkeypatch):
    """Every dataset is too large to be kept; eight images are decoded in one go."""
    monkeypatch.setattr(_decode, "_KEPT", 0)
    monkeypatch.setattr(stream, "_WINDOW", 8 * 36)


def attacked(folder, suite=SUITE, **options):
    models = {"net": mlp(5, (1, 8, 8))}
    return run(suite, folder, models=models, device="cpu", batch_size=4, timing=False, **options)


def rows(results):
    """All rows without what is measured with a clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in results.sample_table.to_pylist()]


def decoding():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_the_same_cells_rows_and_images(place, monkeypatch):
    sizes = (7, None)
    whole = [attacked(place / f"kept {size}", shard_size=size) for size in sizes]
    monkeypatch.setattr(_decode, "_KEPT", 0)
    monkeypatch.setattr(stream, "_WINDOW", 8 * 36)
    for size, kept in zip(sizes, whole, strict=True):
        found = attacked(place / f"size {size}", shard_size=size)
        assert rows(found) == rows(kept) and len(rows(kept)) == 2 * (N + 20)
        assert found.images().to_pylist() == kept.images().to_pylist()
        names = ("cell", "warnings", "clean_accuracy", "n")
        told = [[[row[name] for name in names] for row in one.cell_table.to_pylist()] for one in (found, kept)]
        assert told[0] == told[1]
    assert not decoding()


def test_dark_images_are_told_of(place, streamed):
    suite = {**SUITE, "data": [{"d": {"folder": "dark"}}, {"b": SUITE["data"][1]["b"]}], "attacks": [{"fgsm": {}}]}
    dark, bright = attacked(place / "found", suite, shard_size=4).cell_table.to_pylist()
    said = "dark: the brightest pixel of all images is 11 of 255: what do the numbers mean?"
    assert dark["dataset"] == "d" and said in dark["warnings"] and not any("brightest" in t for t in bright["warnings"])


def test_verify_decodes_again(place, streamed):
    suite = {**SUITE, "models": [{"python": "net.py:make", "trust": True, "size": [1, 8, 8], "classes": 5}]}
    (place / "net.py").write_text("from tests.helpers import mlp\n\ndef make():\n    return mlp(5, (1, 8, 8))\n")
    found = run(suite, place, device="cpu", batch_size=4, timing=False)
    report = verify(found.folder, "cpu", trust=True)
    assert report.sound and report.rows == 2 * (N + 20)


def test_a_broken_image_fails_the_cells_of_its_data(place, monkeypatch):
    bad = next(place.glob("data/*/13.png"))
    bad.write_bytes(b"no picture")
    shutil.copytree(place / "data" / "1", place / "sound" / "1")
    suite = {**SUITE, "data": [*SUITE["data"], {"c": {"folder": "sound", "size": 8}}]}
    kept = attacked(place / "kept", suite).cell_table.to_pylist()
    monkeypatch.setattr(_decode, "_KEPT", 0)
    found = attacked(place / "found", suite).cell_table.to_pylist()
    told = [
        sorted((row["dataset"], row["status"], row["stage"], row["error"]) for row in some) for some in (found, kept)
    ]
    assert told[0] == told[1]
    assert {row["status"] for row in found if row["dataset"] == "c"} == {"ok"}
    (error,) = {row["error"] for row in found if row["dataset"] == "a"}
    assert str(bad.relative_to(place)) in error and "not a readable image" in error


def test_an_image_that_breaks_meanwhile_fails_its_cell(place, streamed, monkeypatch):
    """Decoded well when it was inspected, and no longer when it is attacked: the next shard was begun with."""
    inner = executor.attack

    def attack(trial, *rest):
        for file in place.glob("data/*/*.png"):
            file.write_bytes(b"gone")
        return inner(trial, *rest)

    suite = {**SUITE, "data": [{"a": {"folder": "data", "pad": 1}}], "attacks": SUITE["attacks"][:1]}
    monkeypatch.setattr(executor, "attack", attack)
    (cell,) = attacked(place / "found", suite, shard_size=16).cell_table.to_pylist()
    assert (cell["status"], cell["stage"]) == ("failed", "load") and "not a readable image" in cell["error"]
    assert not decoding()


def test_no_thread_is_left_when_a_run_is_stopped(place, streamed, monkeypatch):
    def stop(*_):
        assert decoding()  # at work on the next shard
        raise Interrupted

    monkeypatch.setattr(executor, "attack", stop)
    with pytest.raises(Interrupted):
        attacked(place / "found", shard_size=8)
    assert not decoding()


class Held:
    """How many images are in memory at the same time, of those that were decoded and of their floats."""

    def __init__(self, monkeypatch):
        self.alive, self.most = weakref.WeakValueDictionary(), 0
        self.counts = dict[int, int]()
        inner, floats = stream.Decoder.images, base.images

        def decoded(decoder, places):
            return self.seen(inner(decoder, places))

        def images(samples, places=None):
            return self.seen(floats(samples, places))

        monkeypatch.setattr(stream.Decoder, "images", decoded)
        for module in (cell_trial, _samples):
            monkeypatch.setattr(module, "images", images)

    def seen(self, some):
        name = len(self.counts)
        self.alive[name], self.counts[name] = some, len(some)
        self.most = max(self.most, sum(self.counts[name] for name in self.alive))
        return some


def test_what_is_held_does_not_grow_with_the_data(place, streamed, monkeypatch):
    held = Held(monkeypatch)
    monkeypatch.setattr(inspection, "_PROBE", 8)  # images, drawn over all
    suite = {**SUITE, "data": [{"a": {"folder": "data", "pad": 1}}], "images": "none"}
    found = attacked(place / "few", suite, shard_size=4, limit=16)
    few = held.most
    assert len(found.sample_table) == 2 * 16 and few <= 4 * 8
    attacked(place / "all", suite, shard_size=4)
    assert held.most == few


def test_shards_hold_no_more_images_than_fit(place, streamed, monkeypatch):
    monkeypatch.setattr(sizes, "_BYTES", 6 * 4 * 8 * 8)
    made, inner = list[int](), executor.attack

    def attack(trial, *rest):
        made.append(len(trial.ids))
        return inner(trial, *rest)

    monkeypatch.setattr(executor, "attack", attack)
    attacked(place / "found", {**SUITE, "attacks": SUITE["attacks"][:1]})
    assert max(made) <= 1.5 * 6 and sum(made) == N + 20


def test_a_large_dataset_is_inspected_batch_by_batch(place, streamed, monkeypatch):
    """The same logits as of all images together."""
    suite = load({**SUITE, "models": ["lenet_mnist"], "data": [{"a": {"folder": "data", "size": 28}}]}, root=place)
    assets = Assets(suite, torch.device("cpu"), 8)
    x = base.images(assets.samples("a"))
    logits = Preflight(assets).inspect("a", "lenet_mnist").logits
    assert torch.equal(logits, assets.scorer("lenet_mnist", x).logits(x))
    assert not decoding()


PEAK = """
import json, resource, sys
from robustbench_lite.datasets import _decode, stream
_decode._KEPT, stream._WINDOW = 1 << 20, 2 << 20
from robustbench_lite.runner.run import run
suite = json.loads(sys.argv[1])
found = run(suite, sys.argv[2], device="cpu", batch_size=64, shard_size=512, timing=False)
(cell,) = found.cell_table.to_pylist()
assert cell["status"] == "ok" and len(found.sample_table) == cell["n"], cell["error"]
print(cell["n"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_run_of_twenty_thousand_takes_the_memory_of_two_thousand(tmp_path):
    """Images of 3 x 48 x 48: 20,000 are 138 MB with 8 bits and 553 MB as floats, 2,000 a tenth of that."""
    side, n, peaks = 48, 20_000, {}
    for label in range(2):
        (tmp_path / "data" / str(label)).mkdir(parents=True)
    for i in range(n):
        pixel = np.array([[[i % 256, i // 256, 128]]], np.uint8)
        Image.fromarray(pixel).save(tmp_path / "data" / str(i % 2) / f"{i}.bmp")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\ndef make():\n"
        "    return nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(27, 2))\n"
    )
    net = {"python": "net.py:make", "trust": True, "size": [3, side, side], "classes": 2}
    for wanted in (2_000, n):
        data = {"folder": "data", "size": side, "samples": wanted}
        suite = {"version": 1, "name": f"peak{wanted}", "data": {"d": data}, "models": [net], "images": "none"}
        suite["attacks"] = [{"fgsm": {"epsilon": 0.1}}]
        arguments = [sys.executable, "-c", PEAK, json.dumps(suite), str(tmp_path / "results")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ROBUSTBENCH_LITE_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        count, peak = map(int, done.stdout.split())
        peaks[count] = peak
    assert peaks[n] <= 1.1 * peaks[2_000], peaks
