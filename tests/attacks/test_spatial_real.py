"""Rotations and translations of real CIFAR-10 images on the published ResNet-20; needs the folder shared/."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from robustbench_lite.results.store import Results
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.transforms.warp import warp
from tests.helpers import ROOT

SHARED = ROOT.parent / "shared"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="needs the folder shared/ beside the checkout"),
]
SUITE = {
    "version": 1,
    "name": "spatial",
    "data": {"cifar10": {"parquet": str(SHARED / "data/cifar10/test_lossless_500.parquet"), "samples": 12}},
    "models": [
        {
            "file": str(SHARED / "weights/cifar10_resnet20_idelbayev.safetensors"),
            "arch": "resnet20",
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
            "size": [3, 32, 32],
            "classes": 10,
            "name": "published",
        }
    ],
    "attacks": [
        {"spatial": {"search": "random"}, "as": "random"},
        {"spatial": {"search": "worst_of_k"}, "as": "worst of 10"},
        {"spatial": {"search": "grid", "k": 10}, "as": "grid and draws"},
        {"spatial": {"search": "grid"}, "as": "grid"},
        {"spatial": {"search": "first_order"}, "as": "first order"},
    ],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return run(SUITE, tmp_path_factory.mktemp("results"), device="cpu")


def right(results: Results, variant: str) -> np.ndarray:
    rows = results.samples().query("variant == @variant").sort_values("sample")
    return (rows["adv_pred"] == rows["label"]).to_numpy()


def test_on_every_image_more_candidates_find_at_least_as_much(results):
    order = ["grid and draws", "worst of 10", "random"]
    assert all((right(results, a) <= right(results, b)).all() for a, b in itertools.pairwise(order))
    assert (right(results, "grid and draws") <= right(results, "grid")).all()
    assert right(results, "random").sum() > right(results, "grid").sum()


def test_first_order_search_is_weaker_than_the_grid(results):
    assert right(results, "first order").sum() > right(results, "grid").sum()


def test_the_worst_transforms_give_the_stored_images(results):
    assert not verify(results.folder, "cpu").disagreements
    samples = results.samples()
    for cell in results.cells()["cell"]:
        stored = {row["sample"]: row for row in results.images(cell).to_pylist()}
        for row in samples[samples["cell"] == cell].itertuples():
            image, made = stored[row.sample], json.loads(row.transform)
            x = torch.from_numpy(np.frombuffer(image["clean"], np.uint8).copy()).view(1, 3, 32, 32).float() / 255
            rebuilt = warp(
                x, *(torch.tensor([made[name]], dtype=torch.float64) for name in ("angle", "dx", "dy", "scale"))
            )
            assert torch.equal(rebuilt.flatten(), torch.from_numpy(np.frombuffer(image["adversarial"], "<f4").copy()))


def test_one_image_and_candidate_at_a_time_gives_the_same_verdicts(results):
    from robustbench_lite.runner.assets import Assets, images
    from robustbench_lite.suite.builder import load

    assets = Assets(load(SUITE), torch.device("cpu"))
    samples, net = assets.samples("cifar10"), assets.classifier("published").module
    found = {row.sample: row.adv_pred == row.label for row in results.samples().query("variant == 'grid'").itertuples()}
    turns, moves = torch.linspace(-30, 30, 31).tolist(), torch.linspace(-3, 3, 5).tolist()
    for i in range(4):
        x, holds = images(samples)[i : i + 1], True
        for angle, dx, dy in itertools.product(turns, moves, moves):
            logits = net(warp(x, torch.tensor([angle]), torch.tensor([dx]), torch.tensor([dy])))
            if int(logits.argmax()) != samples.labels[i]:
                holds = False
                break
        assert found[samples.ids[i]] == holds
