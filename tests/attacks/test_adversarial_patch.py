"""A patch that is stuck anywhere: what it covers, a classifier that looks for one picture, what the judge wants."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robustbench_lite.attacks import AdversarialPatch
from robustbench_lite.engine.drive import run as drive
from robustbench_lite.engine.job import Fitting, Job
from robustbench_lite.engine.judge import judge
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.results.sealed import seal
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from robustbench_lite.transforms.warp import warp
from robustbench_lite.trust.bracket import calibrate
from tests.helpers import CPU, images, mlp

SUITE = {
    "version": 1,
    "name": "patch",
    "data": {"fashion_mnist": {"samples": 20}},
    "models": ["smallcnn_linf_fashion"],
    "attacks": [{"adversarial_patch": {"target": 8, "fit": 30, "steps": 3, "batch": 10, "area": 0.2}}],
    "tables": ["patch"],
}


def draws(n: int, name: str = "t") -> Draw:
    return Draw(keys(0, name, [str(i) for i in range(n)]))


def work(x: torch.Tensor, fit: torch.Tensor, target: int | None, classes: int = 2) -> Job:
    label = torch.zeros(len(x), dtype=torch.int64)
    goal = Goal(label, classes) if target is None else Goal(label + target, classes, targeted=True)
    setting = Fitting(fit, Goal(torch.zeros(len(fit), dtype=torch.int64), classes), draws(len(fit), "fit"))
    return Job(x, goal, draws(len(x)), setting)


@pytest.mark.parametrize("shape", ["circle", "square"])
def test_it_covers_its_area_lies_in_the_image_and_nothing_else_changes(shape):
    record, x = AdversarialPatch(area=0.12, smallest=0.5, rotation=180, shape=shape), images(200, (3, 40, 56))
    found = record.places(x, draws(200), 0)
    seen = record.stuck(x, torch.full((1, 3, 9, 9), 2.0), found)  # a colour that no image has
    inside = (seen == 2).all(1)
    assert torch.equal(inside, (seen != x).any(1))
    covered = inside.flatten(1).double().mean(1)
    assert ((covered - found[:, 3]).abs() < 0.02).all() and abs(float((covered - found[:, 3]).mean())) < 1e-3
    assert 0.03 <= found[:, 3].min() < 0.04 and 0.11 < found[:, 3].max() <= 0.12  # half of the diameter
    assert found[:, 2].min() < -160 and found[:, 2].max() > 160
    whole = found[:, 3].gt(0.119)  # all of a large one is there: the border cuts nothing off
    assert (covered[whole] > 0.113).all()


def test_it_is_the_picture_turned_as_a_warp_turns_it():
    """A square patch of the image's own size in its middle is the whole picture; the angle is that of `warp`."""
    picture = torch.nn.functional.avg_pool2d(images(1, (1, 21, 21)), 5, 1, 2)
    record = AdversarialPatch(area=0.5, shape="square")
    half = 21 / math.sqrt(2)  # the side of half of the area
    found = torch.tensor([[10.0, 10.0, 30.0, 0.5]], dtype=torch.float64)
    seen = record.stuck(torch.zeros(1, 1, 21, 21), picture, found)
    nothing = torch.zeros(1)
    expected = warp(picture, torch.tensor([30.0]), nothing, nothing, torch.tensor([half / 21]))
    core = (slice(None), slice(None), slice(5, 16), slice(5, 16))
    assert (seen - expected)[core].abs().max() < 1e-5


def test_one_that_does_not_fit_is_refused():
    with pytest.raises(AttackError, match="a circle of 50 % does not fit into images of 10x40; expected a smaller one"):
        AdversarialPatch(area=0.5).places(images(2, (1, 10, 40)), draws(2), 0)


class Template(torch.nn.Module):
    """Class 1 where the brightest response to a picture (S, S), anywhere on the image, exceeds a threshold."""

    def __init__(self, template: torch.Tensor, threshold: float) -> None:
        super().__init__()
        self.kernel, self.threshold = (template - template.mean())[None, None], threshold

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gap = torch.nn.functional.conv2d(x, self.kernel).flatten(1).amax(1) - self.threshold
        return torch.stack([-gap, gap], 1)


@pytest.mark.parametrize(("share", "success"), [(0.65, True), (1.01, False)])
def test_it_finds_the_picture_that_a_classifier_looks_for(share, success):
    """Of pictures with values in [0, 1] the template itself responds most: by the sum of its positive numbers."""
    template = torch.zeros(6, 6)
    template[:3, :3] = template[3:, 3:] = 1
    best = float((template - template.mean()).clamp_min(0).sum())
    net = Template(template, share * best).eval()
    record = AdversarialPatch(
        area=64 / 1024, smallest=1, rotation=0, shape="square", target=1, fit=20, steps=120, batch=10
    )
    job = work(torch.zeros(12, 1, 32, 32), torch.zeros(20, 1, 32, 32), 1)
    outcome = drive(record, Oracle(net, CPU, 16), job)
    assert bool((net(outcome.candidates).argmax(1) == int(success)).all())
    white = record.stuck(job.x, torch.ones(1, 1, 8, 8), outcome.found)
    assert not net(white).argmax(1).any()  # half of the best: a corner looks like a quarter of the template
    assert not success or torch.equal(net(outcome.artifacts["patch"]).argmax(1), torch.ones(1, dtype=torch.int64))


def test_neither_batches_nor_the_other_samples_change_what_is_stuck_where():
    net = mlp(2, (1, 12, 12))
    record = AdversarialPatch(fit=20, steps=3, batch=8, area=0.2)
    job = work(images(30, (1, 12, 12)), images(20, (1, 12, 12), seed=5), None)
    first, other = (drive(record, Oracle(net, CPU, size), job) for size in (16, 3))
    assert torch.equal(first.found, other.found) and (first.candidates - other.candidates).abs().max() < 1e-5
    part = record.proposed(job.x[3:9], Draw(job.draw.key[3:9]), first.artifacts)
    assert torch.equal(part[0], first.candidates[3:9]) and torch.equal(part[1], first.found[3:9])
    assert int(first.forwards.sum()) == int(first.backwards.sum()) == 3 * 8


def test_the_judge_wants_the_rest_of_the_image_unchanged_and_the_patch_small_enough():
    net, x = mlp(2, (1, 12, 12)), images(4, (1, 12, 12))
    record = AdversarialPatch(area=0.2, target=1)
    found = record.places(x, draws(4), 0)
    candidates = record.stuck(x, torch.ones(1, 1, 5, 5), found)
    outside = (~record._seen(x, found)[1])[1].nonzero()[0]
    candidates[1, 0, outside[0], outside[1]] += 1e-6
    found[2, 3] = 0.21
    goal = Goal(torch.ones(4, dtype=torch.int64), 2, targeted=True)
    fault = judge(record, net, x, candidates, goal, found).fault
    assert fault[0] == fault[3] == "" and fault[1] == "a pixel outside of the patch has changed"
    assert fault[2] == "the patch covers 21 %, more than 20 % of the image"


@pytest.mark.parametrize("broken", [{"steps": 1, "step_size": 1e-3}, {}])
def test_the_bracket_sees_one_that_was_not_fitted(broken):
    findings = list(calibrate(AdversarialPatch(target=3, **broken)))
    assert len(findings) == 2 and all(finding.passed for finding in findings) == (not broken)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return run(SUITE, tmp_path_factory.mktemp("patch"), device="cpu", timing=False)


def test_the_table_counts_what_the_judge_saw(results):
    samples = results.samples()
    (row,) = tables.make("patch", results).rows
    right = samples[samples["clean_correct"]]
    assert (row["target"].text, row["area"].value, row["fit_n"].value) == ("Bag", 20, 30)
    assert row["success"].value == pytest.approx(100 * right["success"].mean())
    assert row["control"].value == pytest.approx(100 * (right["control_pred"] == 8).mean())
    places = [json.loads(text) for text in samples["transform"]]
    assert all(place["area"] <= 0.2 and abs(place["angle"]) <= 22.5 for place in places)
    assert len({place["x"] for place in places}) == len(places)


def test_shards_make_the_same_rows(results, tmp_path):
    again = run(SUITE, tmp_path, device="cpu", timing=False, shard_size=7, batch_size=16)
    one, other = (
        [(row["sample"], row["transform"], row["adv_pred"]) for row in found.sample_table.to_pylist()]
        for found in (results, again)
    )
    assert one == other


def test_verify_sees_when_images_do_not_have_the_stored_patch_on_them(results, tmp_path):
    assert not verify(results.folder, "cpu").disagreements
    folder = shutil.copytree(results.folder, tmp_path / "copy")
    (path,) = (folder / "artifacts").glob("*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    (row,) = (row for row in rows if row["name"] == "patch")
    row["values"] = (1 - np.frombuffer(row["values"], "<f4")).tobytes()
    seal(pa.Table.from_pylist(rows, table.schema), path)
    assert {one.column for one in verify(folder, "cpu").disagreements} >= {"perturbation"}
