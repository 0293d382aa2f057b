from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from robustbench_lite.datasets.base import datasets, images
from robustbench_lite.engine.attack import attacks
from robustbench_lite.engine.drive import run
from robustbench_lite.engine.job import Job
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError, SuiteError
from robustbench_lite.models import archs, zoo
from robustbench_lite.models.base import models
from robustbench_lite.physical import printing
from robustbench_lite.physical.shots import paste
from robustbench_lite.runner.run import run as run_suite
from robustbench_lite.runner.verify import verify
from robustbench_lite.tables.base import tables
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.helpers import CPU

HERE, SIDE, SIZE = Path(), 32, 12
QUICK = {"steps": 6, "draws": 4}


class Colours(nn.Module):
    """Logits are the mean red, green and blue of the middle, where the sign always is."""

    def forward(self, x):
        return 20 * x[:, :, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4].mean((2, 3))


class Bars(Colours):
    """The same, and bars of 2 pixels for which the best sticker is anything but smooth."""

    def forward(self, x):
        return super().forward(x * (1 - 2 * (torch.arange(SIZE) // 2 % 2)))


def photographs(**options):
    return datasets.build("sign", {"sign": "stop", "size": SIZE, "resolution": SIDE, **options}).load(HERE)


def crafted(batch_size=4, target: int | None = 2, samples=None, labels=None, net=None, **options):
    samples = photographs() if samples is None else samples
    record = attacks.build("rp2", {"target": target, **QUICK, **options})
    label = torch.full((len(samples),), 0 if target is None else target) if labels is None else labels
    draw = Draw(keys(0, record.stream(), samples.ids))
    job = Job(images(samples), Goal(label, 3, targeted=target is not None), draw, setting=samples.scene)
    return samples, run(record, Oracle(net or Colours(), CPU, batch_size), job)


def test_named_masks_lie_in_each_other_and_on_the_sign():
    stripes, octagon, poster = (printing.mask(name, 128) for name in ("two_stripes", "octagon", "poster"))
    assert set(torch.cat([stripes, octagon, poster]).unique().tolist()) == {0.0, 1.0}
    assert 0 < stripes.sum() < octagon.sum() < poster.sum() < 128 * 128
    assert (stripes <= octagon).all()
    assert (octagon <= poster).all()
    assert torch.equal(stripes[40:88], torch.zeros(48, 128))  # not on the word


def test_a_mask_from_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = np.zeros((16, 16), np.uint8)
    picture[4:8, 8:12] = 255
    Image.fromarray(picture).save("mask.png")
    expected = torch.zeros(32, 32)
    expected[8:16, 16:24] = 1
    assert torch.equal(printing.mask("mask.png", 32), expected)
    with pytest.raises(AttackError, match=r"no file 'none\.png'"):
        printing.mask("none.png", 32)
    Path("text.png").write_text("no picture")
    with pytest.raises(AttackError, match="expected a PNG"):
        printing.mask("text.png", 32)
    Image.fromarray(picture * 0).save("black.png")
    with pytest.raises(AttackError, match="is empty"):
        crafted(mask="black.png")
    one = attacks.build("rp2", {"mask": "mask.png"}).fingerprint()
    Image.fromarray(255 - picture).save("mask.png")
    assert attacks.build("rp2", {"mask": "mask.png"}).fingerprint() != one  # another picture, another attack


def test_non_printability_is_zero_exactly_for_printable_colours():
    inks = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]], dtype=torch.float64)
    assert float(printing.non_printability(inks, inks)) == pytest.approx(0, abs=1e-8)
    one = torch.tensor([[0.0, 0, 1]], dtype=torch.float64)
    assert float(printing.non_printability(one, inks)) == pytest.approx(1 * 2**0.5 * 2**0.5)
    assert float(printing.non_printability(torch.cat([one, inks, one]), inks)) == pytest.approx(4)


def test_printable_colours_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("inks.txt").write_text("0.1,0.2,0.3\n\n1 0 0\n")
    assert printing.triplets("inks.txt").tolist() == [pytest.approx([0.1, 0.2, 0.3]), [1, 0, 0]]
    Path("bytes.txt").write_text("255,0,51\n")
    assert printing.triplets("bytes.txt").tolist() == [pytest.approx([1, 0, 0.2])]
    for text in ("1,2\n", "red\n", "-1,0,0\n", "300,0,0\n"):
        Path("bad.txt").write_text(text)
        with pytest.raises(AttackError, match="printable: expected"):
            printing.triplets("bad.txt")
    spread = printing.palette(30)
    assert spread.shape == (30, 3)
    assert 0.05 <= float(spread.min()) < 0.15
    assert 0.8 < float(spread.max()) <= 0.92


def test_the_variation_of_a_step_is_its_height_times_its_length():
    step = torch.zeros(3, 8, 8)
    step[:, :, 4:] = 0.5
    assert float(printing.total_variation(step)) == pytest.approx(3 * 8 * 0.5)


def test_shuffling_keeps_the_patches_and_moves_them():
    where = torch.zeros(32, 32)
    where[8:24, :] = 1
    patches = torch.rand(3, 4, 4)
    colours = patches.repeat_interleave(8, 1).repeat_interleave(8, 2)
    found = printing.shuffled(colours, where, torch.rand(64))
    before, after = (part[:, 1:3].flatten(1).T for part in (patches, found[:, ::8, ::8]))
    np.testing.assert_allclose(sorted(map(tuple, after.tolist())), sorted(map(tuple, before.tolist())), atol=1e-6)
    assert not torch.allclose(before, after)


def test_no_sticker_changes_no_bit_and_the_gradient_is_exact():
    samples = photographs()
    x, placed = images(samples), samples.scene.placed
    assert torch.equal(paste(x, torch.zeros(3, SIDE, SIDE), placed), x)
    small = photographs(size=4, resolution=32, samples=1)
    delta = (0.01 * torch.randn(1, 32, 32, dtype=torch.float64)).requires_grad_()
    grey = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64)
    exact = small.scene.placed.to(grey)
    assert torch.autograd.gradcheck(lambda d: paste(grey, d, exact).sum((0, 1)), delta, atol=1e-6)


@pytest.mark.parametrize("mask", ["two_stripes", "poster", "l1"])
def test_the_sticker_stays_in_its_mask_and_in_range(mask):
    samples, outcome = crafted(mask=mask)
    where, worn = outcome.artifacts["mask"], outcome.artifacts["object"]
    assert torch.equal(worn * (1 - where), samples.scene.texture * (1 - where))
    assert 0 <= float(worn.min()) <= float(worn.max()) <= 1
    assert not torch.equal(worn, samples.scene.texture)
    assert torch.equal(outcome.artifacts["sticker"], worn * where)
    assert outcome.candidates.shape == samples.images.shape
    again = paste(images(samples), worn - samples.scene.texture, samples.scene.placed)
    torch.testing.assert_close(outcome.candidates, again, atol=1e-6, rtol=0)


def test_a_found_mask_covers_the_wanted_share():
    _, outcome = crafted(mask="l1", area=0.25)
    poster = printing.mask("poster", SIDE)
    assert float(outcome.artifacts["mask"].sum() / poster.sum()) == pytest.approx(0.25, abs=0.08)


def test_the_batch_size_changes_nothing_and_neither_does_a_second_run():
    found = [crafted(size)[1].candidates for size in (1, 4, 64, 64)]
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, atol=1e-5, rtol=0)
    assert torch.equal(found[2], found[3])


def test_the_passes_are_counted():
    _, outcome = crafted()
    assert int(outcome.forwards.sum()) == int(outcome.backwards.sum()) == QUICK["steps"] * QUICK["draws"]
    _, found = crafted(mask="l1")
    assert int(found.forwards.sum()) == 2 * QUICK["steps"] * QUICK["draws"]


def test_it_reaches_its_goal():
    _, targeted = crafted(mask="octagon", target=1, steps=40)
    assert (Colours()(targeted.candidates).argmax(1) == 1).all()
    samples, _ = crafted()
    assert (Colours()(images(samples)).argmax(1) == 0).all()  # the sign is red
    _, any_other = crafted(mask="octagon", target=None, steps=40)
    assert (Colours()(any_other.candidates).argmax(1) != 0).all()


def test_the_control_has_the_same_mask_and_colours_elsewhere():
    options = {"mask": "poster", "steps": 20}
    _, sticker = crafted(**options)
    _, control = crafted(**options, control=True)
    assert torch.equal(sticker.artifacts["mask"], control.artifacts["mask"])
    assert not torch.equal(sticker.artifacts["sticker"], control.artifacts["sticker"])
    means = [float(one.artifacts["sticker"].sum() / one.artifacts["mask"].sum()) for one in (sticker, control)]
    assert means[0] == pytest.approx(means[1], rel=0.1)


def test_a_price_makes_the_sticker_smaller_and_smoother():
    def noise(**options):
        samples, outcome = crafted(steps=40, mask="octagon", **options)
        return outcome.artifacts["object"] - samples.scene.texture, outcome.artifacts["object"]

    free, dear = noise(penalty=0)[0], noise(penalty=1, p=1)[0]
    assert dear.abs().sum() < 0.5 * free.abs().sum()
    rough, smooth = noise(net=Bars(), penalty=0)[1], noise(net=Bars(), penalty=0, variation=3)[1]
    assert printing.total_variation(smooth) < 0.9 * printing.total_variation(rough)
    where = printing.mask("octagon", SIDE) > 0
    inks = torch.tensor([[170.0, 22, 32], [232, 232, 228]]) / 255
    path = Path("inks.txt")
    score = lambda worn: float(printing.non_printability(worn[:, where].T, inks))
    path.write_text("170,22,32\n232,232,228\n")
    assert score(noise(penalty=0, printability=100, printable="inks.txt")[1]) < score(noise(penalty=0)[1])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_cannot_be_attacked_is_one_sentence():
    with pytest.raises(AttackError, match="one sticker has one goal"):
        crafted(labels=torch.arange(15) % 3)
    with pytest.raises(AttackError, match="source `sign:`"):
        crafted(samples=replace(photographs(), scene=None))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"angle": [-90, 10]}, "less than 90 degrees"),
        ({"distance": [0, 10]}, "above 0"),
        ({"distance": [10, 5]}, "smaller bound first"),
        ({"p": 3}, "p"),
        ({"area": 0}, "area"),
    ],
)
def test_bad_parameters_are_one_sentence(options, says):
    with pytest.raises(SuiteError, match=says):
        attacks.build("rp2", options)


def test_lisa_cnn_is_the_papers():
    net = archs.build("lisa_cnn", 3, 17)
    shapes = [tuple(value.shape) for name, value in net.state_dict().items() if name.endswith("weight")]
    assert shapes == [(64, 3, 8, 8), (128, 64, 6, 6), (128, 128, 5, 5), (17, 512)]
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 17)


def test_the_embedded_sign_is_a_stop_sign_in_every_pose():
    classifier = models.build("zoo", {"zoo": "gtsrb_cnn"}).load(HERE)
    samples = datasets.build("sign", {"sign": "stop", "poses": ["stationary", "approach"]}).load(HERE)
    with torch.no_grad():
        assert (classifier.module(images(samples)).argmax(1) == 14).all()
    assert "gtsrb_cnn" in zoo.available()


def suite(**changes):
    return {
        "version": 1,
        "name": "signs",
        "reference": "rp2-t3",
        "data": {"stop": {"sign": "stop", "poses": ["stationary", "approach"], "every": 50}},
        "models": ["gtsrb_cnn"],
        "attacks": [
            {"rp2": {"target": 5, "steps": 2, "draws": 2}, "as": "stripes"},
            {"rp2": {"target": 5, "steps": 2, "draws": 2, "control": True}, "as": "control"},
        ],
        **changes,
    }


def test_tables_of_a_run(tmp_path):
    results = run_suite(suite(), results=tmp_path)
    stored = results.samples()
    table = tables.make("pose", results)
    assert len(table.rows) == 3 * 16  # two attacks and the paper's
    for variant in ("stripes", "control"):
        mine = [row for row in table.rows if row["attack"].text == variant]
        poses = stored[(stored["variant"] == variant) & ~stored["transform"].str.contains("frame")]
        assert [row["pose"].text for row in mine[:3]] == [f"5 ft, {angle}\u00b0" for angle in (0, 15, 30)]
        assert mine[-1]["success"].value == pytest.approx(100 * poses["success"].mean())
        assert mine[-1]["right"].value == pytest.approx(100 * poses["clean_correct"].mean())
        assert all(row["clean"].text == "Stop" for row in mine[:-1])
    paper = [row for row in table.rows if row["attack"].text == "camouflage art"]
    assert paper[-1]["success"].value == pytest.approx(80)
    drive = tables.make("drive_by", results)
    assert [row["frames"].value for row in drive.rows] == [3, 1, 2] * 2
    assert any("84.8" in line for line in drive.footnotes)
    assert not verify(tmp_path / "signs").disagreements


def test_tables_without_poses_say_so(tmp_path):
    plain = suite(name="plain", data="mnist", models=["lenet_mnist"], attacks=["fgsm"])
    results = run_suite(plain, results=tmp_path, limit=2)
    for name in ("pose", "drive_by"):
        table = tables.make(name, results)
        assert not table.rows
        assert table.footnotes[0].startswith("no cell of these results")


def test_other_attacks_run_on_the_photographs_and_rp2_not_on_images(tmp_path):
    results = run_suite(suite(attacks=["fgsm"], name="plain"), results=tmp_path)
    assert set(results.cells()["status"]) == {"ok"}
    wrong = suite(attacks=["rp2"], data="mnist", models=["lenet_mnist"], name="wrong")
    (cell,) = run_suite(wrong, results=tmp_path, limit=2).cells().to_dict("records")
    assert cell["status"] == "failed"
    assert "source `sign:`" in cell["error"]


@pytest.mark.slow
def test_graffiti_reaches_its_target_in_twelve_of_fifteen_poses(tmp_path):
    attack = {"target": 5}
    record = suite(data={"stop": {"sign": "stop"}}, attacks=[{"rp2": attack}, {"rp2": {**attack, "control": True}}])
    stored = run_suite(record, results=tmp_path).samples()
    won = stored.groupby(stored["params"].str.contains('"control":true'))["success"].sum()
    assert stored["clean_correct"].all()
    assert won[False] >= 12
    assert won[True] <= 1
