"""Textures that hold in every pose: exact gradients, reused views, fresh ones for the judge, all in bounded batches."""

from __future__ import annotations

import itertools

import kornia
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from robustbench_lite.attacks.eot3d import EOT3D, Sitter
from robustbench_lite.datasets.object3d import Object
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError, DataError, SuiteError, UsageError
from robustbench_lite.figures.turntable import Turntable
from robustbench_lite.physical.paints import made
from robustbench_lite.physical.scene import Pose, Scene
from robustbench_lite.results.statistics import wilson
from robustbench_lite.runner.assets import Assets, shown
from robustbench_lite.runner.figure import figure
from robustbench_lite.runner.plan import plan
from robustbench_lite.runner.preflight import Preflight
from robustbench_lite.runner.run import run as run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.helpers import CPU, ROOT, images

SIZE = 20
PLAIN = {"shading": 0, "noise": 0, "size": SIZE, "resolution": 32}


class Middle(nn.Module):
    """Logits are the mean colour of the middle, where a ball always is."""

    def forward(self, x):
        return 20 * x[:, :, SIZE // 2 - 2 : SIZE // 2 + 2, SIZE // 2 - 2 : SIZE // 2 + 2].mean((2, 3))


def middle():
    return Middle()


def suite(**changes):
    return {
        "version": 1,
        "name": "objects",
        "data": {"ball": {"object": "tennis_ball", "label": 0, **PLAIN}},
        "models": [
            {
                "python": "tests.attacks.test_eot3d:middle",
                "trust": True,
                "name": "middle",
                "size": [3, SIZE, SIZE],
                "classes": 3,
            }
        ],
        "attacks": [{"eot3d": {"target": 2, "steps": 70, "draws": 8, "fresh": 8, "step_size": 0.15, "penalty": [0]}}],
        **changes,
    }


class Watched(Scene):
    """A scene that remembers which views were asked for."""

    @property
    def asked(self):
        return self.__dict__.setdefault("_asked", [])

    def see(self, x, draw, step):
        self.asked.append(step.tolist())
        return super().see(x, draw, step)


def sitter(batch_size=4, net=None):
    scene = Watched(made("tennis_ball"), (SIZE, SIZE), shading=(0, 0.3), noise=(0, 0.02))
    x, draw = images(1, (3, 16, 16)), Draw(keys(0, "eot3d", ["ball"]))
    oracle = Oracle(net or Middle(), CPU, batch_size)
    oracle.open(1)
    return Sitter(oracle, 0, x, Goal(torch.tensor([2]), 3, targeted=True), draw, scene)


def crafted(**params):
    record, work = EOT3D(target=2, **params), sitter()
    return work, record.craft(work.oracle, Job(work.x, work.goal, work.draw, work.views))


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_the_gradient_is_that_of_the_objective(batch_size):
    work, weight, numbers = sitter(batch_size), 0.01, torch.arange(7)
    texture = (0.8 * work.x + 0.1).requires_grad_()
    seen, clean = work.see(texture, numbers), work.see(work.x, numbers)
    chance = Middle()(seen).log_softmax(1)[:, 2]
    apart = kornia.color.rgb_to_lab(seen) - kornia.color.rgb_to_lab(clean)
    objective = (chance - weight * apart.flatten(1).norm(dim=1)).mean()
    (expected,) = torch.autograd.grad(objective, texture)
    found = EOT3D()._gradient(work, texture.detach(), numbers, weight)
    assert torch.allclose(found, expected, atol=1e-7, rtol=1e-4)
    assert expected.abs().max() > 1e-3


def test_the_distance_has_no_gradient_where_there_is_none():
    work, numbers = sitter(), torch.arange(3)
    both = [EOT3D()._gradient(work, work.x, numbers, weight) for weight in (0, 10.0)]
    assert torch.equal(*both)


def test_views_are_reused_as_declared_and_held_out_ones_are_others():
    work, _ = crafted(steps=4, draws=10, fresh=3, penalty=[0.01, 0.001], held_out=9)
    numbers = [number for part in work.views.asked for number in part]
    assert {n for n in numbers if n < 0} == set(range(-9, 0))
    steps = [set(range(3 * step, 3 * step + 10)) for step in range(4)]
    assert {n for n in numbers if n >= 0} == set().union(*steps)
    assert all(len(one & other) == 7 for one, other in itertools.pairwise(steps))


def test_no_more_than_a_batch_of_views_is_in_memory():
    work, _ = crafted(steps=2, draws=11, fresh=11, penalty=[0.01, 0.001], held_out=13)
    assert max(map(len, work.views.asked)) == 4


def test_passes_are_counted_for_every_view():
    work, _ = crafted(steps=3, draws=5, fresh=1, penalty=[0])
    assert work.oracle.ledger.counts[0, :2].tolist() == [15, 15]


def test_the_judge_draws_what_no_attack_has_seen():
    cell = plan(load(suite()), Assets(load(suite()), CPU))[0]
    assert keys(0, "judge", ["ball"]) != keys(0, cell.attack.stream(), ["ball"])


@pytest.mark.parametrize("optimizer", ["adam", "signed"])
def test_it_finds_the_colour_that_the_classifier_wants(optimizer):
    work, found = crafted(steps=30, draws=8, fresh=4, step_size=0.1, penalty=[0], optimizer=optimizer)
    logits = Middle()(work.see(found.candidates, torch.arange(500, 560)))
    assert (logits.argmax(1) == 2).float().mean() > 0.95
    assert (Middle()(work.see(work.x, torch.arange(500, 560))).argmax(1) == 2).float().mean() < 0.6
    assert found.candidates.min() >= 0 and found.candidates.max() <= 1
    assert torch.equal(found.artifacts["texture"], found.candidates[0])


def test_a_larger_penalty_stays_nearer():
    near, far = (crafted(steps=15, draws=6, fresh=6, penalty=[weight]) for weight in (0.1, 0.0))
    distance = lambda pair: (pair[1].candidates - pair[0].x).norm()
    assert distance(near) < 0.7 * distance(far)


def test_of_several_weights_the_largest_that_suffices_counts():
    common = {"steps": 40, "draws": 6, "fresh": 6, "step_size": 0.1, "held_out": 30}
    _, several = crafted(penalty=[0.001, 100, 0], wanted=0.9, **common)
    _, alone = crafted(penalty=[0.001], **common)
    assert torch.equal(several.candidates, alone.candidates)
    (note,) = several.notes
    assert note.startswith("adversarial on 30 held-out views by penalty: 100: ")
    assert "0.001: " in note and ", 0: " not in note  # what is least visible ends the search


def test_where_no_weight_suffices_the_most_adversarial_counts():
    class Blind(Middle):
        def forward(self, x):
            return super().forward(x) * 0 + torch.tensor([1.0, 0, 0])

    record, work = EOT3D(target=2, steps=2, draws=2, fresh=2, penalty=[1, 0.1], held_out=3), sitter(net=Blind())
    found = record.craft(work.oracle, Job(work.x, work.goal, work.draw, work.views))
    assert "1: 0%, 0.1: 0%" in found.notes[0]
    assert torch.equal(found.candidates, record._optimise(work, 1))


def test_several_objects_are_worked_on_apart():
    scene = Scene(made("crate"), (SIZE, SIZE))
    x, draw = images(2, (3, 8, 8)), Draw(keys(0, "eot3d", ["a", "b"]))
    record = EOT3D(steps=3, draws=4, fresh=2, penalty=[0])
    both = run(record, Oracle(Middle(), CPU, 3), Job(x, Goal(torch.tensor([0, 1]), 3), draw, setting=scene))
    alone = run(
        record, Oracle(Middle(), CPU, 3), Job(x[1:], Goal(torch.tensor([1]), 3), Draw(draw.key[1:]), setting=scene)
    )
    assert torch.equal(both.candidates[1:], alone.candidates)
    assert set(both.artifacts) == {"texture 0", "texture 1"}


# a run


def test_a_run_counts_fresh_views_of_both_and_can_be_verified(tmp_path):
    results = run_suite(suite(tables=["eot"]), tmp_path)
    (row,) = results.samples().to_dict("records")
    assert results.cells()["status"].tolist() == ["ok"]
    assert row["draws"] == 100
    assert row["draws_target"] > 95 and row["draws_label"] == 0
    assert row["clean_draws_target"] == 0 and row["clean_draws_label"] < 10
    assert row["success"] and row["success_8bit"] and row["adv_pred"] == 2
    assert results.artifacts().to_pylist()[0]["shape"] == [3, 32, 32]
    (cells,) = tables.make("eot", results).rows
    assert cells["draws"].text == "100"
    assert cells["adversariality"].value == row["draws_target"]
    assert (cells["adversariality"].low, cells["adversariality"].n) == (100 * wilson(row["draws_target"], 100).low, 100)
    report = verify(tmp_path / "objects", trust=True)
    assert report.rows == 1 and not report.disagreements
    assert results.cells()["forwards"].item() == results.cells()["backwards"].item() == 70 * 8


def test_the_turntable_shows_original_and_adversarial(tmp_path):
    from PIL import Image

    run_suite(suite(), tmp_path)
    svg, stored = figure(tmp_path / "objects", "turntable", {"views": 4, "folder": str(tmp_path / "png")}, trust=True)
    rows = pq.read_table(stored).to_pylist()
    assert [(row["texture"], row["angle"]) for row in rows] == [
        (kind, angle) for kind in ("original", "adversarial") for angle in (0, 90, 180, 270)
    ]
    assert [row["outcome"] for row in rows[4:]] == ["target"] * 4
    assert svg.count("<image") == 8
    original, adversarial = sorted((tmp_path / "png").iterdir(), key=lambda path: "adversarial" in path.name)
    samples = Object(object="tennis_ball", **PLAIN).load(ROOT)
    with Image.open(original) as picture:
        assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), samples.images[0])
    again = {"ball": {"object": "tennis_ball", "label": 0, "texture": str(adversarial), **PLAIN}}
    (row,) = run_suite(suite(data=again, name="saved"), tmp_path).samples().to_dict("records")
    assert row["clean_draws_target"] > 95  # the picture on the disk does what was measured


def test_a_turn_begins_from_the_front_and_looks_down(tmp_path):
    scene = Scene(made("crate"), (SIZE, SIZE))
    black = Turntable(views=4, tilt=0)._turn(scene, torch.zeros(3, 32, 32))
    assert torch.equal((black[0] < 0.5).all(0), scene.shoot(Pose(distance=2.75), CPU).seen)
    red_above = torch.zeros(3, 32, 32)
    red_above[0, :16, 16:27] = 1  # the upper row of patches, the middle one: the crate's top
    tilted = Turntable(views=2, tilt=90)._turn(scene, red_above)[0]
    assert tilted[0, SIZE // 2, SIZE // 2] > 0.7
    assert tilted[1, SIZE // 2, SIZE // 2] < 0.1


def test_a_turntable_needs_objects(tmp_path):
    plain = {**suite(), "data": {"mnist": {"samples": 2}}, "models": ["lenet_mnist"], "attacks": ["fgsm"]}
    run_suite(plain, tmp_path)
    with pytest.raises(UsageError, match="no attacked object"):
        figure(tmp_path / "objects", "turntable", {})


def test_the_batch_size_changes_no_verdict(tmp_path):
    first, second = (run_suite(suite(), tmp_path / str(size), batch_size=size) for size in (1, 9))
    columns = ["draws_target", "draws_label", "clean_draws_target", "clean_draws_label", "success"]
    assert first.samples()[columns].equals(second.samples()[columns])
    assert first.cells()["cell"].tolist() == second.cells()["cell"].tolist()


def test_what_is_seen_changes_the_sample_and_so_the_cell():
    def ids(**options):
        return Object(object="tennis_ball", **{**PLAIN, **options}).load(ROOT).ids

    assert ids() == ids()
    assert len({ids(), ids(size=21), ids(resolution=33), ids(distance=[2.5, 2.6]), ids(noise=[0, 0.1])}) == 5


def test_the_inspection_looks_at_views(tmp_path):
    assets = Assets(load(suite()), CPU)
    found, samples = Preflight(assets).inspect("ball", "middle"), assets.samples("ball")
    views = shown(samples)
    assert views.shape == (100, 3, SIZE, SIZE)
    predicted = Middle()(views).argmax(1)
    assert found.accuracy == pytest.approx(float((predicted == 0).float().mean()))
    assert torch.allclose(found.logits.softmax(1), Middle()(views).softmax(1).mean(0, keepdim=True), atol=1e-5)


def test_other_attacks_do_not_run_on_objects_nor_this_one_on_images(tmp_path):
    wrong = run_suite(suite(attacks=["pgd"]), tmp_path)
    assert "seen in views; use eot3d" in wrong.cells()["error"].item()
    plain = {**suite(), "data": {"mnist": {"samples": 2}}, "models": ["lenet_mnist"], "name": "plain"}
    assert "`object:`), got images" in run_suite(plain, tmp_path).cells()["error"].item()


def test_under_changes_what_is_seen(tmp_path):
    entry = {"eot3d": {**suite()["attacks"][0]["eot3d"], "steps": 1, "under": [{"brightness": {"add": 1}}]}}
    (row,) = run_suite(suite(attacks=[entry]), tmp_path).samples().to_dict("records")
    assert row["clean_draws_label"] == 100  # all white: the first of three equal logits
    assert row["draws_target"] == 0


def test_a_distance_of_colours_needs_colours():
    scene = Scene(made("crate"), (SIZE, SIZE))
    with pytest.raises(AttackError, match="expected 3 channels, got 1"):
        run(EOT3D(penalty=[0.1]), Oracle(Middle(), CPU), Job(images(1), Goal(torch.tensor([0]), 3), None, scene))


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"draws": 4, "fresh": 5}, "at most the 4 views"),
        ({"penalty": [-1]}, "none below 0"),
        ({"penalty": []}, "at least one number"),
    ],
)
def test_impossible_parameters_are_refused(params, sentence):
    with pytest.raises(SuiteError, match=sentence):
        attacks.build("eot3d", params)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"object": "turtel"}, "did you mean 'turtle'"),
        ({"object": "turtle", "distance": [0.5, 3]}, "from 1.1"),
        ({"object": "turtle", "pad": 3}, "pad"),
        ({"object": "turtle", "background": [0.5, 2]}, "from 0 to 1"),
    ],
)
def test_impossible_objects_are_refused(options, sentence):
    with pytest.raises(SuiteError, match=sentence):
        load(suite(data={"thing": options}))


def test_a_texture_from_a_picture(tmp_path):
    from PIL import Image

    Image.new("RGB", (16, 16), (255, 0, 0)).save(tmp_path / "red.png")
    source = Object(object="crate", texture="red.png", label=7)
    samples = source.load(tmp_path)
    assert samples.images.shape == (1, 3, 16, 16)
    assert samples.labels.tolist() == [7]
    assert samples.classes[7] == "cock"
    with pytest.raises(DataError, match=r"no file or folder 'blue\.png'"):
        Object(object="crate", texture="blue.png").load(tmp_path)
