"""One perturbation for all images: exact on hyperplanes, fitted on some images and tested on others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from robustbench_lite.attack import attacks
from robustbench_lite.bench import Bench
from robustbench_lite.engine import Job, run
from robustbench_lite.errors import DataError
from robustbench_lite.oracle import Oracle
from robustbench_lite.plan import plan
from robustbench_lite.rng import Draw, keys
from robustbench_lite.runner import run as run_suite
from robustbench_lite.suite import load
from robustbench_lite.table import tables
from robustbench_lite.threat import Goal, rescaled, size
from tests.helpers import CPU, images, mlp

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
    work.fitting = one(x[n:], n)
    return work


def fitted(name, net, work, batch_size=16, **params):
    return run(attacks.build(name, params), Oracle(net, CPU, batch_size), work)


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
    assert outcome.fit[0] == 40
    record = attacks.build(name, {"norm": norm, "epsilon": 0.2, "clip": False})
    some = work.fitting
    rate = (net(record.apply(some.x, v)).argmax(1) != some.goal.label).float().mean()
    assert outcome.fit[1] == pytest.approx(float(rate), abs=1 / 40)


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
    assert one.fit == other.fit


def test_the_paper_stops_as_soon_as_enough_are_fooled():
    net = mlp(seed=4)
    work = jobs(net)
    easy = fitted("universal", net, work, epsilon=1.0, delta=0.9, norm="l2")
    assert easy.fit[1] >= 0.1
    assert "after 1 passes (reached: 1 - delta)" in easy.notes[0]
    hard = fitted("universal", net, work, epsilon=1e-4, passes=2)
    assert hard.fit[1] < 0.8
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
    keys_ = [column.key for column in rates.columns]
    rows = [dict(zip(keys_, row, strict=True)) for row in rates.rows]
    ours = [row for row in rows if row["model"].kind != "published"]
    samples = results.samples()
    own = samples[(samples["source"] == samples["model"]) & (samples["attack"] == "universal_sgd")]
    for row in ours[:2]:
        mine = own[own["model"] == row["model"].text]
        assert row["fooled"].value == pytest.approx(100 * (mine["adv_pred"] != mine["clean_pred"]).mean())
        assert row["control"].value == pytest.approx(100 * (mine["control_pred"] != mine["clean_pred"]).mean())
        assert row["n"].value == 40 and row["fit_n"].value == 60
    assert {row["fooled"].value for row in rows if row["model"].text == "ResNet-152"} == {88.5, 84.0}
    across = tables.make("universal_matrix", results)
    assert len(across.rows) == 3  # two perturbations and the random direction
    assert across.rows[2][2].text == "random direction"
    assert "pgd" not in str(across.rows)


def test_what_is_tested_is_never_fitted_on():
    suite = load({**SUITE, "data": {"mnist": {"samples": 30, "stratified": True}}})
    bench = Bench(suite, CPU)
    tested, some = set(bench.samples("mnist").ids), bench.fitting("mnist", 100).ids
    assert len(some) == len(set(some)) == 100
    assert not tested & set(some)
    assert bench.fitting("mnist", 50).ids == some[:50]  # fewer are the first of more
    with pytest.raises(DataError, match="fit: 100000 images are wanted beside the 30 tested ones"):
        bench.fitting("mnist", 100_000)


def test_the_fitting_images_are_part_of_what_a_cell_is():
    def ids(**data):
        suite = load({**SUITE, "data": {"mnist": {"samples": 40, **data}}})
        return {cell.attack.registered: cell.id for cell in plan(suite, Bench(suite, CPU))}

    usual, other = ids(), ids(fit_from={"bundled": "mnist", "samples": 200, "stratified": True})
    assert usual["pgd"] == other["pgd"]
    assert usual["universal"] != other["universal"]


def test_too_few_images_fail_that_cell_only(tmp_path):
    suite = {**SUITE, "attacks": [{"universal": {"fit": 100_000}}, {"pgd": {"steps": 1}}], "models": ["lenet_mnist"]}
    cells: pd.DataFrame = run_suite(suite, tmp_path, device="cpu").cells()
    assert list(cells["status"]) == ["failed", "ok"]
    assert "fit: 100000 images are wanted" in cells["error"][0]
