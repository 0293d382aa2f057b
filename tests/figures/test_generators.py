"""Pictures of generators: what is stored is what is drawn, and what cannot be drawn is said."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.figures.base import figures
from robustbench_lite.report.page import page
from robustbench_lite.runner.run import run

STEPS = 24
SUITE = {
    "version": 1,
    "name": "drawn",
    "generators": [
        {
            "as": "digits",
            "train": [{"bundled": "mnist", "samples": 64}],
            "test": {"bundled": "mnist", "samples": 66},
            "pad": 2,
            "judge": "lenet_mnist",
            "images": 16,
            "size": [1, 32, 32],
            "steps": STEPS,
            "log_every": 1,
            "batch_size": 4,
            "architecture": {"dcgan": {"filters": 2, "latent": 4}},
            "objective": {"non_saturating": {}},
        },
        {
            "as": "points",
            "points": "ring",
            "steps": STEPS,
            "batch_size": 4,
            "log_every": 1,
            "architecture": {"points_mlp": {"width": 4}},
            "objective": {"minimax": {}},
        },
    ],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(SUITE, tmp_path_factory.mktemp("drawn"), device="cpu")


def rows(results, **options):
    figure = figures["generated"](**options)
    return figure, figure.compute(results, None)


@pytest.mark.parametrize(
    ("show", "strips"),
    [
        ("training", [f"step {step}" for step in range(0, STEPS + 1, 2)]),
        ("interpolation", ["pair 1", "pair 2"]),
        ("neighbours", ["generated", "nearest"]),
    ],
)
def test_a_row_of_images_for_all_that_is_stored(results, show, strips):
    figure, table = rows(results, show=show, images=4)
    assert list(dict.fromkeys(table["strip"].to_pylist())) == strips
    assert set(table["generator"].to_pylist()) == {"digits"}
    svg = figure.draw(table)
    assert svg.count("<image") == len(table) and all(f">{strip}<" in svg for strip in strips)
    assert len(figure.data(table).rows) == len(strips)


def test_neighbours_stand_beneath_their_images(results):
    _, table = rows(results, show="neighbours", images=4)
    found = {(row["strip"], row["number"]): row for row in table.to_pylist()}
    for number in range(4):
        ours, near = (np.frombuffer(found[strip, number]["pixels"], np.uint8) for strip in ("generated", "nearest"))
        far = np.linalg.norm((ours.astype(float) - near.astype(float)).reshape(32, 32)[2:-2, 2:-2] / 255)
        assert found["nearest", number]["distance"] == pytest.approx(far, abs=0.05)  # pixels are stored in 8 bits


def test_sums_of_latents_are_drawn_with_their_shares(tmp_path):
    """What is stored; from the package's own digits, since a generator of a few steps makes one class."""
    suite = {"version": 1, "name": "sums", "generators": [{"generator": "wgan_gp_small", "images": 100}]}
    results = run(suite, tmp_path, device="cpu")
    figure = figures["latent_arithmetic"]()
    table = figure.compute(results, None)
    assert len(table) == 4 * 13 and table["number"].to_pylist() == list(range(52))
    svg = figure.draw(table)
    assert svg.count("<image") == 52 and ">less thin<" in svg and ">sum 4<" in svg
    scores = json.loads(results.generators()["scores"][0])
    sums, control = figure.data(table).rows
    assert sums["both"].value == pytest.approx(100 * scores["arithmetic"]) and sums["both"].n == sums["n"].value
    assert sums["ink"].low > control["ink"].high  # the claim of the figure
    assert f"{scores['arithmetic_sums']:,.0f} sums" in page([results])
    with pytest.raises(UsageError, match="no generator 'x'"):
        figures["latent_arithmetic"](generator="x").compute(results, None)


def test_scores_are_drawn_where_they_were_taken(results):
    figure = figures["learning"]()
    table = figure.compute(results, None)
    lines = re.findall(r'points="([^"]+)"', figure.draw(table))
    assert len(lines) == 4  # two generators, against steps and against seconds
    assert len(lines[0].split()) == STEPS // 2 + 1
    values = [row["value"] for row in table.to_pylist() if row["generator"] == "digits"]
    heights = [float(point.split(",")[1]) for point in lines[0].split()]
    assert np.argsort(values).tolist() == np.argsort([-y for y in heights]).tolist()
    only = figures["learning"](architecture="dcgan").compute(results, None)
    assert set(only["generator"].to_pylist()) == {"digits"}


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("generated", {"generator": "digit"}, "no generator 'digit'.*did you mean 'digits'"),
        ("generated", {"generator": "points"}, "nothing of training is stored"),
        ("learning", {"architecture": "resnet"}, "no training is stored there in which 'score'"),
    ],
)
def test_what_cannot_be_drawn_is_said(results, name, options, says):
    with pytest.raises(UsageError, match=says):
        figures[name](**options).compute(results, None)
