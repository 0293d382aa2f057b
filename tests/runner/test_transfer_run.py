"""Transfer through the real doors: sources in a suite, cells, rows, tables, figures."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pandas as pd
import pytest
import torch

from robustbench_lite.datasets.base import images as as_images
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.errors import SuiteError, UsageError
from robustbench_lite.models.zoo import Zoo
from robustbench_lite.report.page import page
from robustbench_lite.results.statistics import wilson
from robustbench_lite.results.store import Results, read
from robustbench_lite.runner import preflight
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.figure import figure
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.references import load as reference
from tests.helpers import CPU, ROOT, cli

NETS = ["resnet8_fashion", "resnet14_fashion", "vgg_fashion"]
STEPS, N = 4, 12
SUITE = {
    "version": 1,
    "name": "small",
    "data": {"fashion_mnist": {"samples": N, "keep": "correct_by_all"}},
    "models": NETS,
    "attacks": [
        {"ensemble": {"steps": STEPS, "lr": 0.02}, "as": "ensemble"},
        {"mifgsm": {"steps": 2, "sources": "single"}},
        {"ensemble": {"steps": 2, "target": "random", "sources": "all"}, "as": "targeted"},
    ],
    "tables": ["leave_one_out", "transfer_matrix", "matching_rate"],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return run(SUITE, tmp_path_factory.mktemp("transfer"))


def test_adversarials_are_made_once_for_each_set_of_sources(results):
    cells = results.cells()
    assert list(cells["status"]) == ["ok"] * 7  # three single, three with one left out, one of all
    several = cells[cells["variant"] == "ensemble"]
    assert [set(NETS) - set(sources) for sources in several["sources"]] == [{name} for name in NETS]
    assert list(several["forwards"]) == [N * STEPS * 2] * 3  # two classifiers are seen, whatever is scored
    assert list(several["backwards"]) == [N * STEPS * 2] * 3
    assert all(list(models) == NETS for models in cells["models"])
    assert len(results.samples()) == 7 * N * 3


def test_clean_predictions_are_made_once_for_each_classifier(tmp_path, monkeypatch):
    inspected = []
    inner = preflight.looked
    monkeypatch.setattr(preflight, "looked", lambda asked, *rest: inspected.append(asked.name) or inner(asked, *rest))
    run({**SUITE, "attacks": ["ensemble"], "data": {"fashion_mnist": 2}} | {"data": {"fashion_mnist": {"samples": 2}}}
        | {"attacks": [{"ensemble": {"steps": 1}}]}, tmp_path)  # fmt: skip
    assert sorted(inspected) == sorted(NETS)


def test_every_kept_sample_is_right_everywhere_and_there_are_as_many_as_asked(results):
    rows = results.samples()
    assert rows["clean_correct"].all()
    assert rows.groupby("cell")["sample"].nunique().eq(N).all()


def test_rows_are_consistent(results):
    rows = results.samples()
    assert ((rows["label_rank"] == 0) == (rows["adv_pred"] == rows["label"])).all()
    targeted = rows[rows["goal"] == "target"]
    assert ((targeted["target_rank"] == 0) == (targeted["adv_pred"] == targeted["target"])).all()
    assert (targeted["success"] == (targeted["adv_pred"] == targeted["target"])).all()
    assert targeted.groupby("sample")["target"].nunique().eq(1).all()  # one target, whoever is scored
    away = rows[rows["goal"] == "label"]
    assert (away["success"] == (away["adv_pred"] != away["label"])).all()
    distances = rows.groupby(["cell", "sample"])["l2"].nunique()
    assert distances.eq(1).all()


def test_stored_adversarials_score_again_as_stored(results):
    report = verify(results.folder)
    assert report.rows == 7 * N * 3
    assert report.sound and not report.disagreements


def test_the_batch_size_changes_no_verdict_and_the_same_command_runs_nothing(results, tmp_path):
    small = run({**SUITE, "attacks": SUITE["attacks"][:1]}, tmp_path, batch_size=5).samples()
    same = results.samples()
    same = same[same["variant"] == "ensemble"].reset_index(drop=True)
    assert list(small["cell"]) == list(same["cell"])
    agree = small["success"] == same["success"]
    assert (agree | small["near_tie"] | same["near_tie"]).all()


def test_who_is_seen_and_who_is_scored_makes_the_cell():
    def ids(**changes):
        suite = load({**SUITE, "attacks": [{"ensemble": {"steps": 1, **changes.pop("attack", {})}}], **changes})
        from robustbench_lite.runner.plan import plan

        return [cell.id for cell in plan(suite, Assets(suite, CPU))]

    base = ids()
    assert len(set(base)) == 3
    assert set(ids(models=NETS[::-1])) == set(base)  # the order of the classifiers is not part of it
    assert ids(attack={"sources": [NETS[1], NETS[2]]}) == base[:1]  # the same set by another name
    assert not set(ids(models=[*NETS, "resnet20_fashion"])) & set(base)
    assert not set(ids(seed=1)) & set(base)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"ensemble": {"sources": ["resnet8_fashion", "vgg_fashon"]}}, "did you mean 'vgg_fashion'"),
        ({"ensemble": {"sources": []}}, "expected names of different classifiers"),
        ({"ensemble": {"sources": "all", "weights": [1, 2]}}, "weights: expected 3"),
        ({"ensemble": {"weights": [1, 2]}}, "only with update: joint"),
        ({"mifgsm": {"translation": 4}}, "expected an odd number"),
        ({"pgd": {"sources": "some"}}, "sources"),
    ],
)
def test_wrong_sources_are_one_sentence(attack, message):
    with pytest.raises(SuiteError, match=message):
        load({**SUITE, "attacks": [attack]})


def test_leaving_one_out_of_one_is_refused():
    with pytest.raises(SuiteError, match="needs two classifiers"):
        load({**SUITE, "models": NETS[:1]})


def test_weights_of_the_sources_count(tmp_path):
    def rmsd(weights):
        attack = {"ensemble": {"sources": NETS[:2], "steps": 2, "lr": 0.02, "weights": weights}}
        return list(run({**SUITE, "attacks": [attack]}, tmp_path / str(weights[0])).samples()["margin"])

    assert rmsd([1, 1]) != rmsd([1, 9])


def as_dicts(name, results):
    table = tables.make(name, results)
    return list(table.rows), table


def test_the_leave_one_out_table_says_what_the_rows_say(results):
    rows, table = as_dicts("leave_one_out", results)
    frame = results.samples()
    assert [row["row"].text for row in rows] == [f"-{name}" for name in NETS]
    for left, row in zip(NETS, rows, strict=True):
        own = frame[(frame["variant"] == "ensemble") & ~frame["source"].str.contains(left)]
        for name in NETS:
            correct = int((own[own["model"] == name]["adv_pred"] == own[own["model"] == name]["label"]).sum())
            expected = wilson(correct, N)
            value = row[name]
            assert (value.value, value.low, value.high) == tuple(
                100 * part for part in (expected.value, expected.low, expected.high)
            )
            assert (value.mark == "*") == (name == left)
        seen = own[own["model"] != left]
        assert row["others"].value == pytest.approx(100 * (seen["adv_pred"] == seen["label"]).mean())
        assert row["rmsd"].value == pytest.approx(own["rmsd"].mean())
        assert row["n"].value == N
    assert not any("published" in note for note in table.footnotes)  # five columns do not fit into three


def test_the_other_transfer_tables(results):
    rows, _ = as_dicts("transfer_matrix", results)
    assert [row["row"].text for row in rows] == NETS
    assert [[row[name].mark for name in NETS] for row in rows] == [["*", "", ""], ["", "*", ""], ["", "", "*"]]
    (row,), _ = as_dicts("matching_rate", results)
    frame = results.samples()
    hits = frame[(frame["goal"] == "target") & (frame["model"] == NETS[0])]
    assert row[NETS[0]].value == pytest.approx(100 * hits["success"].mean())
    assert row["row"].text == "none left out"


def test_the_published_table_stands_below_five_classifiers_and_top5_above_ten_classes(tmp_path):
    from robustbench_lite.results.store import Store
    from tests.synthetic import cell_row, sample_rows

    names = [f"net{i}" for i in range(5)]
    store = Store(tmp_path)
    cell = cell_row("c", "+".join(names[1:]), "ensemble", goal="label", classes=1000)
    cell |= {"sources": names[1:], "models": names, "params": "{}"}
    rows = []
    for name in names:
        rows += [row | {"model": name, "label_rank": i % 8, "rmsd": 17.0} for i, row in enumerate(sample_rows(cell))]
    store.write("c", rows, cell)
    store.write_run({"cells": ["c"], "models": names})
    found, table = as_dicts("leave_one_out", read(tmp_path))
    assert [row["top"].text for row in found[:2]] == ["1", "5"]
    assert [row["net0"].value for row in found[:2]] == pytest.approx([15.0, 70.0])  # ranks 0 to 7 in turn, of 20
    paper = reference("liu-t4")
    published = [row for row in found if row["row"].kind == "published"]
    assert [row["row"].text for row in published] == [entry["row"] for entry in paper.rows]
    assert [row["net3"].value for row in published] == [entry["VGG-16"] for entry in paper.rows]
    assert any("its columns are, in this order, ResNet-152" in note for note in table.footnotes)


def test_decision_regions_know_the_clean_label_and_mark_the_adversarials(results):
    options = {"points": 9, "extent": 30, "source": NETS[0]}
    svg, path = figure(results.folder, "decision_regions", options, "cpu")
    rows = pd.read_parquet(path)
    assert len(rows) == 3 * 81
    centre = rows[(rows["u"] == 0) & (rows["v"] == 0)]
    first = results.samples().iloc[0]
    assert set(centre["prediction"]) == {first["label"]}
    root = ET.fromstring(svg)
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]
    assert any(first["sample"] in text for text in texts)
    assert set(NETS) <= set(texts)
    assert sum("off the plane" in text or "beyond the frame" in text for text in texts) == 7
    assert "gradient of resnet8_fashion" in svg
    text = page([read(results.folder)])  # the report shows what is stored
    assert "gradient of resnet8_fashion" in text
    (results.folder / "figures" / "decision_regions.parquet").write_bytes(b"damaged")
    assert "is not a figure of ours" in page([read(results.folder)])
    along, _ = figure(results.folder, "decision_regions", {"points": 5, "toward": list(results.cells()["cell"][3:5])})
    assert "ensemble against all but resnet8_fashion" in along


def test_the_loss_landscape_is_the_cross_entropy_at_the_image_and_grows_along_the_gradient(results):
    options = {"points": 9, "extent": 2, "source": NETS[0]}
    svg, path = figure(results.folder, "loss_landscape", options, "cpu")
    rows = pd.read_parquet(path)
    assert len(rows) == 3 * 81
    first = results.samples().iloc[0]
    source = Bundled(bundled="fashion_mnist").load(ROOT)
    x = as_images(source)[source.ids.index(first["sample"])][None]
    for net in NETS:
        logits = Zoo(zoo=net).load(ROOT).module(x)
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor([first["label"]])).item()
        mine = rows[(rows["model"] == net) & (rows["u"] == 0) & (rows["v"] == 0)]
        assert mine["loss"].item() == pytest.approx(expected, rel=1e-3, abs=1e-6)
    along = rows[(rows["model"] == NETS[0]) & (rows["v"] == 0)].sort_values("u")["loss"].to_numpy()
    assert along[4] < along[5] < along[8]  # one step up the gradient, and further
    assert "gradient of resnet8_fashion" in svg
    assert ET.fromstring(svg).find("{http://www.w3.org/2000/svg}desc").text.startswith("Cross-entropy of")
    assert "Cross-entropy of the true class" in page([read(results.folder)])  # with its data


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "resnet9_fashion"}, "did you mean 'resnet8_fashion'"),
        ({"sample": "zzz"}, "expected one sample"),
        ({"toward": ["zz", "yy"]}, "expected one cell"),
        ({"points": 2}, "points"),
        ({"dataset": "mnist"}, "unknown dataset"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_one_sentence(results, options, message):
    with pytest.raises(UsageError, match=message):
        figure(results.folder, "decision_regions", options, "cpu")


def test_the_figure_verb(results, tmp_path):
    out = tmp_path / "plane.svg"
    done = cli("figure", str(results.folder), "decision_regions", "--set", "points=5", "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert out.read_text().startswith("<svg")
    assert done.stdout.strip() == str(out)
    wrong = cli("figure", str(results.folder), "decision_region")
    assert wrong.returncode == 2
    assert "did you mean 'decision_regions'" in wrong.stderr
