"""One perturbation for all images: exact on hyperplanes, fitted on some images and tested on others."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Fitting, Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import DataError
from robustbench_lite.results.schema import CELLS
from robustbench_lite.results.sealed import seal
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.run import run as run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import rescaled, size
from tests.helpers import CPU, images, mlp
from tests.linear import problems

KINDS = ("universal", "universal_sgd")
SUITE = {
    "version": 1,
    "name": "universal",
    "reference": "uap-t1",
    "data": {"mnist": {"samples": 40}},
    "models": ["lenet_mnist", "fc500_150_10_mnist"],
    "attacks": [
        {"universal_sgd": {"fit": 60, "epsilon": 0.3, "epochs": 3, "batch": 20, "sources": "single"}},
        {"universal": {"fit": 25, "epsilon": 2.5, "norm": "l2", "passes": 1}},
        {"pgd": {"steps": 2}},
    ],
}


def jobs(net, n=30, fit=40, shape=(1, 6, 6)):
    """Tested samples, with others to fit on."""

    def one(x, first):
        names = [str(first + i) for i in range(len(x))]
        return Job(x, Goal(net(x).argmax(1), 5), Draw(keys(0, "universal", names)))

    x = images(n + fit, shape)
    work = one(x[:n], 0)
    some = one(x[n:], n)
    work.setting = Fitting(some.x, some.goal, some.draw)
    return work


def fitted(name, net, work, batch_size=16, **params):
    return run(attacks.build(name, params), Oracle(net, CPU, batch_size), work)


def rate(net, some, outcome):
    moved = (some.x + outcome.artifacts["perturbation"]).clamp(0, 1)
    return float((net(moved).argmax(1) != some.goal.label).double().mean())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_perturbation_and_its_control_have_the_size_that_is_allowed(name, norm):
    net = mlp()
    work = jobs(net)
    outcome = fitted(name, net, work, norm=norm, epsilon=0.2, clip=False)
    v, control = outcome.artifacts["perturbation"], outcome.artifacts["control"]
    assert float(size(v, norm)) <= 0.2 + 1e-6
    assert float(size(control, norm)) == pytest.approx(float(size(v, norm)), rel=1e-5)
    assert torch.allclose(outcome.candidates, work.x + v)


@pytest.mark.parametrize(
    ("name", "norm", "params"),
    [
        ("universal", "l2", {"delta": 0}),
        ("universal", "linf", {"delta": 0, "inner": "linf"}),
        ("universal_sgd", "l2", {}),
        ("universal_sgd", "linf", {}),
    ],
)
def test_on_one_side_of_a_hyperplane_the_farthest_image_decides(name, norm, params):
    problem = problems()[0]
    label = problem.logits().argmax(1)
    side = (label == label.mode()[0]).nonzero()[:, 0]
    job = Job(problem.x[side], Goal(label[side], 2), Draw(keys(0, name, [str(i) for i in side.tolist()])))
    job.setting = Fitting(job.x, job.goal, job.draw)
    radius = problem.radius(Goal(label, 2), norm)[side]
    assert len(side) > 5
    for share, expected in ((1.001, torch.ones(len(side), dtype=torch.bool)), (0.999, radius < radius.max())):
        outcome = fitted(name, problem.module, job, norm=norm, epsilon=share * float(radius.max()), **params)
        assert torch.equal(problem.module(outcome.candidates).argmax(1) != job.goal.label, expected)


@pytest.mark.parametrize("name", KINDS)
def test_it_fools_other_images_more_often_than_chance(name):
    net = mlp(seed=4)
    work = jobs(net, 200, 100)
    record = attacks.build(name, {"epsilon": 0.15})
    outcome = run(record, Oracle(net, CPU, 64), work)
    share = lambda v: float((net(record.apply(work.x, v)).argmax(1) != work.goal.label).float().mean())
    assert share(outcome.artifacts["perturbation"]) > share(outcome.artifacts["control"]) + 0.2


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_the_batch_size_does_not_change_the_perturbation(name, batch_size):
    net = mlp()
    work = jobs(net)
    one, other = (fitted(name, net, work, each, epsilon=0.1) for each in (16, batch_size))
    assert torch.allclose(one.artifacts["perturbation"], other.artifacts["perturbation"], atol=1e-5)


def test_the_paper_stops_as_soon_as_enough_are_fooled():
    net = mlp(seed=4)
    work = jobs(net)
    easy = fitted("universal", net, work, epsilon=1.0, delta=0.9, norm="l2")
    assert rate(net, work.setting, easy) >= 0.1
    assert "after 1 passes (reached: 1 - delta)" in easy.notes[0]
    hard = fitted("universal", net, work, epsilon=1e-4, passes=2)
    assert rate(net, work.setting, hard) < 0.8
    assert f"fools {rate(net, work.setting, hard):.1%} of the 40 images" in hard.notes[0]
    assert "after 2 passes (not reached: 1 - delta)" in hard.notes[0]


def test_every_pass_is_counted_and_shared_by_the_tested_samples():
    net = mlp()
    work = jobs(net)
    seen = [0]
    handle = net.register_forward_hook(lambda _net, inputs, _out: seen.__setitem__(0, seen[0] + len(inputs[0])))
    outcome = fitted("universal", net, work, epsilon=0.1, passes=1)
    handle.remove()
    assert int(outcome.forwards.sum()) == seen[0]
    assert int(outcome.forwards.max() - outcome.forwards.min()) <= 1
    assert outcome.backwards.sum() > 0


def test_few_of_the_images_ahead_are_looked_at_in_vain():
    """While nobody is fooled yet each image is a DeepFool; a perturbation that fools all needs hardly any."""
    net = mlp(seed=4)
    work = jobs(net, 30, 200)
    outcome = fitted("universal", net, work, 64, epsilon=0.1, norm="linf", passes=1, delta=0)
    forwards = int(outcome.forwards.sum())
    assert forwards < 200 * (2 + 2 + 5) + 200  # looked at about twice, DeepFool's few steps, and the rate at the end


def test_the_square_root_rule():
    assert rescaled(2000 / 255, "l2", 3 * 224 * 224, 28 * 28) == pytest.approx(0.566, abs=5e-4)
    assert rescaled(2000 / 255, "l2", 3 * 224 * 224, 3 * 32 * 32) == pytest.approx(1.1204, abs=5e-4)
    assert rescaled(10 / 255, "linf", 3 * 224 * 224, 28 * 28) == 10 / 255
    flat = lambda n: size(torch.full((1, n), 0.01), "l2").item()
    assert rescaled(flat(150528), "l2", 150528, 784) == pytest.approx(flat(784), rel=1e-4)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run_suite(SUITE, tmp_path_factory.mktemp("results"), device="cpu")


def test_rows_cells_and_artifacts(results):
    cells, samples = results.cells(), results.samples()
    assert set(cells["status"]) == {"ok"}
    universal = cells[cells["attack"] != "pgd"]
    assert set(universal["fit_n"]) == {60, 25}
    assert cells[cells["attack"] == "pgd"]["fit_n"].isna().all()
    assert samples[samples["attack"] == "pgd"]["control_pred"].isna().all()
    assert samples[samples["attack"] != "pgd"]["control_pred"].notna().all()
    assert len(samples[samples["attack"] == "universal_sgd"]) == 2 * 2 * 40  # fitted for each, scored on both
    artifacts = results.artifacts().to_pylist()
    assert len(artifacts) == 2 * len(universal)
    said = {float(note.split("%")[0].removeprefix("fools ")) for notes in universal["notes"] for note in notes}
    paper = universal[universal["attack"] == "universal"]
    assert said == {round(100 * share, 1) for share in paper["fit_rate"]}  # the judge agrees with what the attack says
    stored = {(row["cell"], row["name"]): np.frombuffer(row["values"], "<f4") for row in artifacts}
    for row in universal.itertuples():
        kind = {"linf": np.inf, "l2": 2}[row.norm]
        for name in ("perturbation", "control"):
            found = np.linalg.norm(stored[row.cell, name].astype(float), ord=kind)
            assert found <= row.eps + 1e-6
    image = results.images(universal.iloc[0]["cell"]).to_pylist()[0]
    clean = np.frombuffer(image["clean"], np.uint8).astype(np.float32) / 255
    v = stored[universal.iloc[0]["cell"], "perturbation"]
    assert np.allclose(np.frombuffer(image["adversarial"], "<f4"), np.clip(clean + v, 0, 1), atol=1e-6)


def test_the_tables(results):
    rates = tables.make("fooling_rate", results)
    rows = rates.rows
    ours = [row for row in rows if row["model"].kind != "published"]
    samples = results.samples()
    own = samples[(samples["source"] == samples["model"]) & (samples["attack"] == "universal_sgd")]
    for row in ours[:2]:
        mine = own[own["model"] == row["model"].text]
        assert row["fooled"].value == pytest.approx(100 * (mine["adv_pred"] != mine["clean_pred"]).mean())
        assert row["control"].value == pytest.approx(100 * (mine["control_pred"] != mine["clean_pred"]).mean())
        assert row["n"].value == 40 and row["fit_n"].value == 60
    assert {row["fooled"].value for row in rows if row["model"].text == "ResNet-152"} == {88.5, 84.0}
    assert {row["fit"].value for row in rows if row["model"].text == "ResNet-152"} == {89.7, 85.4}
    across = tables.make("universal_matrix", results)
    assert len(across.rows) == 3  # two perturbations and the random direction
    assert across.rows[2]["row"].text == "random direction"
    assert "pgd" not in str(across.rows)


def test_the_published_matrix_is_cut_to_our_classifiers(results):
    cells = results.cell_table.to_pylist()
    row = next(i for i, cell in enumerate(cells) if cell["attack"] == "universal")
    paper = [
        cell | {"models": ["lenet_mnist", "fc500_150_10_mnist"]} if i == row else cell for i, cell in enumerate(cells)
    ]
    run = {
        **results.run,
        "published": {"lenet_mnist": {"classifier": "VGG-19"}, "fc500_150_10_mnist": {"classifier": "GoogLeNet"}},
    }

    def published(run):
        table = tables.make(
            "universal_matrix", replace(results, cell_table=pa.Table.from_pylist(paper, CELLS), run=run, memo={})
        )
        keys = ["row", *(column.key for column in table.columns if column.named)]
        return [[row[key].text for key in keys] for row in table.rows if row["row"].kind == "published"]

    assert published(run) == [["VGG-19", "77.8", "53.6"], ["GoogLeNet", "39.8", "78.9"]]
    assert published(results.run) == [["VGG-F", "93.7", "71.8"], ["CaffeNet", "74", "93.3"]]


def test_verify_sees_when_images_are_not_what_the_perturbation_makes(results, tmp_path):
    assert not verify(results.folder, "cpu").disagreements
    folder = tmp_path / "copy"
    shutil.copytree(results.folder, folder)
    path = next(folder.glob("artifacts/*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    values = np.frombuffer(rows[0]["values"], "<f4") + np.float32(0.01)
    rows[0]["values"] = values.tobytes()
    seal(pa.Table.from_pylist(rows, table.schema), path)
    wrong = verify(folder, "cpu").disagreements
    moved = [one for one in wrong if one.column == "perturbation"]
    assert len(moved) == 40 and {one.cell for one in wrong} == {path.stem}


def test_fooling_rates_by_size_of_the_fitting_set_stand_beside_figure_6(tmp_path):
    attacks_ = [{"universal_sgd": {"epsilon": 0.3, "epochs": 1, "batch": 10, "matrix": {"fit": [10, 40]}}}]
    results = run_suite({**SUITE, "models": ["fc500_150_10_mnist"], "attacks": attacks_}, tmp_path, device="cpu")
    table = tables.make("fooling_rate", results)
    sizes = [row["fit_n"].text for row in table.rows]
    assert sizes[:2] == ["10", "40"] and sizes[-4:] == ["500", "1000", "2000", "4000"]
    assert [row["fooled"].value for row in table.rows[-4:]] == [31, 37, 49, 69]


def test_what_is_tested_is_never_fitted_on():
    suite = load({**SUITE, "data": {"mnist": {"samples": 30, "stratified": True}}})
    assets = Assets(suite, CPU)
    tested, some = set(assets.samples("mnist").ids), assets.fitting("mnist", 100).ids
    assert len(some) == len(set(some)) == 100
    assert not tested & set(some)
    assert assets.fitting("mnist", 50).ids == some[:50]  # fewer are the first of more
    with pytest.raises(DataError, match="fit: 100000 images are wanted beside the 30 tested ones"):
        assets.fitting("mnist", 100_000)


def test_the_fitting_images_are_part_of_what_a_cell_is():
    def ids(**data):
        suite = load({**SUITE, "data": {"mnist": {"samples": 40, **data}}})
        return {cell.attack.registered: cell.id for cell in plan(suite, Assets(suite, CPU))}

    usual, other = ids(), ids(fit_from={"bundled": "mnist", "samples": 200, "stratified": True})
    assert usual["pgd"] == other["pgd"]
    assert usual["universal"] != other["universal"]


def test_too_few_images_fail_that_cell_only(tmp_path):
    suite = {**SUITE, "attacks": [{"universal": {"fit": 100_000}}, {"pgd": {"steps": 1}}], "models": ["lenet_mnist"]}
    cells: pd.DataFrame = run_suite(suite, tmp_path, device="cpu").cells()
    assert list(cells["status"]) == ["failed", "ok"]
    assert "fit: 100000 images are wanted" in cells["error"][0]


class Steep(torch.nn.Module):
    """Finite logits whose gradient is NaN everywhere: infinity times 0."""

    def forward(self, x):
        first = x.flatten(1)[:, :1]
        return mlp()(x) + (first - first.detach()).sqrt() * 0


@pytest.mark.parametrize("name", KINDS)
def test_gradients_that_are_not_finite_are_no_robustness(name):
    net = Steep().eval()
    assert set(fitted(name, net, jobs(net), epsilon=0.2).reasons()) == {"gradient or logits not finite"}


def test_images_to_fit_on_are_loaded_once(monkeypatch):
    loads, load_bundled = [], Bundled.load
    monkeypatch.setattr(Bundled, "load", lambda self, root: loads.append(self.samples) or load_bundled(self, root))
    suite = load(SUITE)
    plan(suite, Assets(suite, CPU))
    assert sorted(loads) == [40, 65, 100]  # the tested ones, and those for each size of the fitting set


def test_images_to_fit_on_have_the_size_of_those_tested():
    suite = load({**SUITE, "data": {"mnist": {"samples": 40, "pad": 2, "fit_from": {"bundled": "mnist"}}}})
    assets = Assets(suite, CPU)
    assert assets.fitting("mnist", 5).images.shape[1:] == (1, 32, 32)
    small = assets.samples("mnist")
    assets._samples["mnist"] = replace(small, images=small.images[:, :, :30])
    with pytest.raises(DataError, match="its images are 1x32x32, those tested 1x30x32"):
        assets.fitting("mnist", 6)
