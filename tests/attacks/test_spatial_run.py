"""Rotations through the real doors: a suite, rows, the table, the figure, the page, a canvas."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
import torch

from robustbench_lite.errors import SuiteError, UsageError
from robustbench_lite.report.page import page
from robustbench_lite.results.store import Results, read
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.figure import figure
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables

SMALL = {"angles": 5, "shifts": 3}
SUITE = {
    "version": 1,
    "name": "spatial",
    "reference": "engstrom-readme",
    "data": {"fashion_mnist": {"samples": 12}},
    "models": ["resnet8_fashion", "vgg_fashion"],
    "attacks": [
        {"spatial": {"search": "random"}, "as": "random"},
        {"spatial": {"search": "worst_of_k", "k": 4}, "as": "worst"},
        {"spatial": {"search": "grid", "k": 4, **SMALL}, "as": "grid"},
        {"spatial": {"search": "worst_of_k", "k": 4, "then": {"pgd": {"epsilon": "2/255", "steps": 3}}}, "as": "both"},
    ],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return run(SUITE, tmp_path_factory.mktemp("results"), device="cpu")


def rows_of(results: Results) -> list[dict]:
    table = tables.make("spatial", results)
    return list(table.rows)


def test_the_table_has_a_column_for_each_search(results):
    rows, samples = rows_of(results), results.samples()
    ours = [row for row in rows if row["model"].kind != "published"]
    assert [row["limits"].text for row in ours] == ["±30°, ±3 px", "±30°, ±3 px, then pgd 2/255"] * 2
    for search, variant in (("random", "random"), ("worst_of_k", "worst"), ("grid", "grid")):
        mine = samples[(samples["model"] == "resnet8_fashion") & (samples["variant"] == variant)]
        assert ours[0][search].value == pytest.approx(100 * (mine["adv_pred"] == mine["label"]).mean())
        assert ours[0][search].n == 12
    assert ours[0]["natural"].value >= ours[0]["grid"].value
    assert ours[0]["random"].value >= ours[0]["worst_of_k"].value >= ours[0]["grid"].value
    assert ours[0]["worst_of_k"].value >= ours[1]["worst_of_k"].value
    assert [row["grid"].value for row in rows if row["model"].kind == "published"] == [20.9, 11.8, 38.1, 38.8, 48.1]
    assert any(
        "45 candidates: 5 angles, 3 x 3 shifts, then 4 draws" in note
        for note in tables.make("spatial", results).footnotes
    )


def test_parameters_are_stored_and_verified(results):
    samples = results.samples()
    made = pd.DataFrame(samples["transform"].map(json.loads).tolist())
    assert list(made.columns) == ["angle", "dx", "dy", "scale"]
    assert made["angle"].abs().max() <= 30
    assert made[["dx", "dy"]].abs().max().max() <= 3
    assert (made["scale"] == 1).all()
    assert samples["norm"].isna().all()
    assert not verify(results.folder, "cpu").disagreements


def test_the_landscape_is_the_cross_entropy_of_the_turned_image(results):
    svg, path = figure(results.folder, "spatial_landscape", {"points": 5, "rotation": 90}, "cpu")
    rows = pd.read_parquet(path)
    assert len(rows) == 2 * 25
    first = results.samples().iloc[0]
    assets = Assets(load(SUITE), torch.device("cpu"))
    samples = assets.samples("fashion_mnist")
    x = torch.from_numpy(samples.images[samples.ids.index(first["sample"])][None]).float() / 255
    label = torch.tensor([first["label"]])
    net = assets.classifier("resnet8_fashion").module
    mine = rows[rows["model"] == "resnet8_fashion"].set_index(["u", "v"])["loss"]
    for angle, turned in ((0.0, x), (90.0, torch.rot90(x, 1, (2, 3))), (-90.0, torch.rot90(x, -1, (2, 3)))):
        expected = torch.nn.functional.cross_entropy(net(turned), label).item()
        assert mine[angle, 0.0] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    texts = ["".join(node.itertext()) for node in ET.fromstring(svg).iter() if node.tag.endswith("text")]
    assert "across: rotation; up: shift to the right" in texts
    assert sum("off the plane" in text or "beyond the frame" in text for text in texts) == 8
    shown = page([read(results.folder)])
    assert "across: rotation" in shown
    assert "px right" in shown
    assert "±30°, ±3 px" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [({"across": "dx", "up": "dx"}, "two different"), ({"across": "dz"}, "across"), ({"rotation": 0}, "rotation")],
)
def test_a_landscape_that_cannot_be_drawn_is_one_sentence(results, options, message):
    with pytest.raises(UsageError, match=message):
        figure(results.folder, "spatial_landscape", options, "cpu")


def test_a_canvas_is_other_data(tmp_path):
    data = {
        "crop": {"bundled": "fashion_mnist", "samples": 6},
        "canvas": {"bundled": "fashion_mnist", "samples": 6, "pad": 9},
    }
    suite = load({**SUITE, "data": data, "models": ["resnet8_fashion"]})
    assets = Assets(suite, torch.device("cpu"))
    crop, canvas = assets.samples("crop"), assets.samples("canvas")
    assert canvas.images.shape == (6, 1, 46, 46)
    assert np.array_equal(canvas.images[:, :, 9:37, 9:37], crop.images)
    assert canvas.images.sum() == crop.images.sum()
    assert [one.split("+")[0] for one in canvas.ids] == list(crop.ids)
    assert not set(canvas.ids) & set(crop.ids)
    preflight = Preflight(assets)
    assert preflight.inspect("canvas", "resnet8_fashion").card_accuracy is None  # the card speaks of other images
    assert preflight.inspect("crop", "resnet8_fashion").card_accuracy is not None


def test_a_classifier_of_one_size_refuses_a_canvas(tmp_path):
    data = {"canvas": {"bundled": "mnist", "samples": 4, "pad": 9}}
    attacks = [{"spatial": {"search": "random"}}]
    cells = run({**SUITE, "data": data, "models": ["lenet_mnist"], "attacks": attacks}, tmp_path, device="cpu").cells()
    assert cells["error"][0].startswith(
        "lenet_mnist takes images of 1x28x28 only, dataset 'mnist padded by 9' has 1x46x46"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"fit_from": {"parquett": "x"}}, "expected one of bundled"),
        ({"fit_from": {"parquet": "x", "sample": 3}}, "unknown key 'sample'"),
        ({"pad": -1}, "pad"),
    ],
)
def test_bad_options_of_data_are_sentences(data, message):
    with pytest.raises(SuiteError, match=message):
        load({**SUITE, "data": {"mnist": data}})
