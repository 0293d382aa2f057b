"""A search in latent space: exact where generator and classifier are linear; a second classifier has the last word."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robustbench_lite import generators
from robustbench_lite.attacks import Latent
from robustbench_lite.attacks import latent as module
from robustbench_lite.engine.inspection import Scorer
from robustbench_lite.engine.trial import Trial
from robustbench_lite.errors import SuiteError, UsageError
from robustbench_lite.report.comparison import comparison
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.sealed import seal
from robustbench_lite.results.store import read
from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.latents import Latents
from robustbench_lite.trust.bracket import calibrate
from robustbench_lite.trust.bracket.latents import LinearLatents
from tests.helpers import CPU, images, mlp

SUITE = {
    "version": 1,
    "name": "latent",
    "data": {"mnist": {"samples": 16}},
    "models": ["lenet_mnist", "fc500_150_10_mnist"],
    "attacks": [{"latent": {"radius": 2, "starts": 8, "steps": 20}}],
}
WIDTH = 8


class Module(torch.nn.Module):
    """A linear classifier as a module."""

    def __init__(self, linear: LinearLatents) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


def trial(linear, radius, n=24, second=None, **params):
    """The attack on linear images of class 0, and what the judge needs beside it."""
    setting = linear.setting if second is None else replace(linear.setting, other=second)
    x = linear.images(torch.randn((n, WIDTH), generator=torch.Generator().manual_seed(2)))
    label = torch.zeros(n, dtype=torch.int64)
    record = Latent(radius=radius, starts=4, **params)
    names = [str(i) for i in range(n)]
    clean = linear.certain(x)
    return Trial.of(record, x, label, clean, names, 0, setting=setting), clean


def judged(linear, radius, second=None, **params):
    one, clean = trial(linear, radius, second=second, **params)
    scorer = Scorer("linear", Module(linear), CPU, 16)
    outcome, _ = one.propose(scorer)
    return one, outcome, one.score(outcome, scorer, clean)


def exact(linear, one, outcome):
    """How far the nearest latent that the classifier gets wrong is from where each search began."""
    return linear.distance(linear.setting.prior(one.job.draw, outcome.found[:, 0].long()))


def test_the_nearest_latent_decides():
    linear = LinearLatents(1.0)
    one, outcome, _ = judged(linear, 1.0)
    radii = exact(linear, one, outcome)
    between = radii[radii > 0.3].sort().values
    for share, expected in ((0.98, False), (1.05, True)):
        radius = float(between[len(between) // 2]) * share
        again, found, scored = judged(linear, radius)
        away = exact(linear, again, found)
        assert torch.equal(away, radii)  # the same starts, however far it looks
        assert bool(scored.verdicts.success[away < radius / 1.05].all())
        assert not bool(scored.verdicts.success[away * 0.98 > radius].any())
        middle = (away - between[len(between) // 2]).abs().argmin()
        assert bool(scored.verdicts.success[middle]) is expected
        assert bool((found.found[:, 1] >= away * (1 - 1e-4))[scored.verdicts.success].all())
        assert float(found.found[:, 1].max()) <= radius * (1 + 1e-5)
        assert torch.allclose(linear.images(found.found[:, 2:].float()), found.candidates, atol=1e-6)


def test_the_bracket_sees_what_is_wrong(monkeypatch):
    good = [str(finding) for finding in calibrate(Latent()) if not finding.passed]
    assert not good
    with monkeypatch.context() as patch:
        patch.setattr(module, "project", lambda r, _norm, _epsilon: r)
        assert "farther from its start" in str(next(iter(calibrate(Latent(step_size=2.0)))))
    with monkeypatch.context() as patch:
        patch.setattr(module, "steepest", lambda gradient, _norm: -gradient)
        assert not all(finding.passed for finding in calibrate(Latent()))
    assert not all(finding.passed for finding in calibrate(Latent(step_size=0.01, steps=5)))  # gets nowhere


def test_where_the_second_classifier_disagrees_there_is_no_success():
    linear = LinearLatents(0.0)
    _, _, alone = judged(linear, 3.0)
    assert bool(alone.verdicts.success.all()) and alone.opinion["second_opinion"].tolist() == [0] * 24

    def torn(x):
        """Says that every image which is darker than most shows something else."""
        dark = x.flatten(1).mean(1) < 0.5
        return torch.stack([1.0 - 2 * dark, 2.0 * dark - 1], 1)

    _, outcome, scored = judged(linear, 3.0, second=torn)
    other = outcome.candidates.flatten(1).mean(1) < 0.5
    assert 0 < int(other.sum()) < 24
    assert torch.equal(scored.verdicts.success, ~other) and not any(scored.verdicts.fault)
    assert torch.equal(scored.opinion["second_opinion"], other.long())
    blind = lambda x: torch.full((len(x), 2), float("nan"))
    assert not bool(judged(linear, 3.0, second=blind)[2].verdicts.success.any())


@pytest.mark.parametrize(
    ("column", "by", "fault"),
    [(2, 0.5, "another image"), (0, 1.0, "farther from its start"), (1, 0.1, "farther from its start")],
)
def test_the_judge_draws_the_start_and_makes_the_image_again(column, by, fault):
    linear = LinearLatents(1.0)
    one, outcome, _ = judged(linear, 2.0)
    found = outcome.found.clone()
    found[5, column] += by
    scored = one.score(
        replace(outcome, found=found), Scorer("linear", Module(linear), CPU, 16), linear.certain(one.job.x)
    )
    assert [i for i, text in enumerate(scored.verdicts.fault) if text] == [5]
    assert fault in scored.verdicts.fault[5] and not bool(scored.verdicts.success[5])


def test_it_begins_at_the_nearest_image_of_its_class():
    linear = LinearLatents(0.0)
    latents = linear.setting
    halves = lambda x: torch.stack([x.flatten(1)[:, 0] - 0.5, 0.5 - x.flatten(1)[:, 0]], 1)
    setting = Latents(latents.made, WIDTH, halves, halves)
    one, _ = trial(linear, 1.0)
    job = one.job
    number = Latent(starts=6)._nearest(job.x, job.goal, job.draw, setting)
    for i in range(len(job.x)):
        tried = [latents.made(latents.prior(job.draw, k))[i] for k in range(6)]
        right = [k for k in range(6) if float(tried[k].flatten()[0]) > 0.5]
        if right:
            assert int(number[i]) == min(right, key=lambda k: float((tried[k] - job.x[i]).norm()))
        else:
            assert int(number[i]) == max(range(6), key=lambda k: float(tried[k].flatten()[0]))


def test_names_are_looked_up_before_anything_is_loaded():
    def problem(**params):
        with pytest.raises(SuiteError) as caught:
            load({**SUITE, "attacks": [{"latent": params}]})
        return str(caught.value)

    assert "generator: unknown generator 'dcgan_mnits'; did you mean 'dcgan_mnist'?" in problem(generator="dcgan_mnits")
    assert "second: unknown classifier 'lenet_mnits'" in problem(second="lenet_mnits")
    assert "lenet_mnist steers the search already" in problem(auxiliary="lenet_mnist", second="lenet_mnist")
    with pytest.raises(
        UsageError, match="latent works on a generator and two classifiers that it names, not on images"
    ):
        Latent()(mlp(2, (1, 4, 4)), images(2, (1, 4, 4)), torch.zeros(2, dtype=torch.int64))


def test_who_is_attacked_cannot_be_the_second_opinion(tmp_path):
    attack = {"latent": {"second": "lenet_mnist", "steps": 1, "starts": 1}}
    cells = run({**SUITE, "attacks": [attack]}, tmp_path, device="cpu", timing=False).cells()
    assert list(cells["status"]) == ["failed", "ok"]
    assert "second: lenet_mnist is attacked itself" in cells["error"].iloc[0]


def test_what_stands_beside_the_classifiers_is_part_of_what_a_cell_is():
    def ids(**params):
        suite = load({**SUITE, "attacks": [{"latent": params}]})
        return {cell.id for cell in plan(suite, Assets(suite, CPU))}

    usual = ids()
    assert usual == ids(generator="dcgan_mnist") and len(usual) == 2
    swapped = ids(auxiliary="smallcnn_linf_mnist", second="smallcnn_l2_mnist")
    assert not usual & (swapped | ids(generator="wgan_gp_mnist"))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(SUITE, tmp_path_factory.mktemp("latent"), device="cpu", timing=False)


def test_rows_say_where_the_image_came_from_and_who_said_what(results):
    samples = results.samples()
    width = generators.load("dcgan_mnist").latent
    assert set(samples["status"]) == {"ok"} and results.cells()["norm"].isna().all()
    for row in samples.to_dict("records"):
        made = json.loads(row["transform"])
        assert 0 <= made["distance"] <= 2 + 1e-4 and made["start"] in range(8) and len(made) == 2 + width
        wrong = row["adv_pred"] != row["label"]
        assert row["success"] == (wrong and row["second_opinion"] == row["label"])
    assert samples["success"].sum() > 5
    for one in evaluations(results):
        shown = one["second_opinion"] == one["label"]
        assert np.array_equal(one.correct, (one["adv_pred"] == one["label"]) | ~shown)


def test_the_table_counts_what_the_second_classifier_confirms(results):
    samples = results.samples()
    for row in tables.make("latent", results).rows:
        some = samples[(samples["model"] == row["model"].text) & samples["clean_correct"]]
        errs = some["adv_pred"] != some["label"]
        assert row["errs"].value == pytest.approx(100 * errs.mean())
        assert row["agrees"].value == pytest.approx(100 * (some["second_opinion"] == some["label"])[errs].mean())
        assert row["success"].value == pytest.approx(100 * some["success"].mean())
        beside = (some["control_pred"] != some["label"]) & (some["control_second_opinion"] == some["label"])
        assert row["control"].value == pytest.approx(100 * beside.mean())


def test_the_page_compares_what_the_second_classifier_confirms(results):
    found = comparison([results])
    assert found is not None
    data = json.loads(str(found.json))
    arrays = [np.frombuffer(base64.b64decode(text), np.uint8) for text in data["arrays"]]
    known = {one.model: one for one in evaluations(results)}
    for cell in data["cells"]:
        one, width = known[found.entries[cell["entry"]]], cell["width"]
        pred, label = arrays[cell["pred"]][::width], arrays[cell["label"]][::2]
        assert (pred == label).tolist() == one.correct.tolist()


def test_shards_make_the_same_verdicts(results, tmp_path):
    again = run(SUITE, tmp_path, device="cpu", timing=False, shard_size=5)
    columns = ["sample", "model", "adv_pred", "success", "second_opinion", "control_pred"]
    assert again.samples()[columns].equals(results.samples()[columns])


def test_verify_makes_the_images_again_from_their_latents(results, tmp_path):
    assert not verify(results.folder, "cpu").disagreements
    folder = shutil.copytree(results.folder, tmp_path / "copy")
    path = next(folder.glob("samples/*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    made = json.loads(rows[3]["transform"])
    rows[3]["transform"] = json.dumps(made | {"z0": made["z0"] + 1.0})
    seal(pa.Table.from_pylist(rows, table.schema), path)
    wrong = verify(folder, "cpu").disagreements
    rejudged = [one for one in wrong if one.sample != "*"]  # and the cell as a whole
    assert {one.sample.split(" ")[0] for one in rejudged} == {rows[3]["sample"]}
    (said,) = (one for one in rejudged if one.column == "status")
    assert said.found == "its latent gives another image"
    assert len(read(folder).samples()) == len(results.samples())
