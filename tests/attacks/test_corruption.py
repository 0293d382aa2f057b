"""Common corruptions: closed forms, the same bits for any batch, severities, the table's ratios."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustbench_lite.attacks._corruption_tools import Chance, moved
from robustbench_lite.attacks._corruptions import CORRUPTIONS, corrupted
from robustbench_lite.attacks.corruption import Corruption
from robustbench_lite.engine.judge import judge
from robustbench_lite.errors import AttackError, UsageError
from robustbench_lite.report.ranking import rankings
from robustbench_lite.runner.run import run
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.corruption import _mean_of_ratios
from robustbench_lite.threat.draws import Draw, keys
from robustbench_lite.threat.goal import Goal
from tests.attacks.test_attacks import digits
from tests.helpers import attack, mlp

LEVEL = 1 / 255
STILL = ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "contrast", "elastic_transform", "pixelate",
         "gaussian_blur")  # fmt: skip
# not the others: the paper's severities of some trade one thing for another, or change a drop of water for mud
RISING = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "defocus_blur", "motion_blur", "zoom_blur",
          "gaussian_blur", "brightness", "contrast", "jpeg_compression")  # fmt: skip


def chance(sample: str = "0") -> Chance:
    return Chance(Draw(keys(0, "corruption", [sample])))


def flat(value: float, channels: int = 3, side: int = 32) -> np.ndarray:
    return np.full((side, side, channels), round(255 * value) / 255)


def close(made: np.ndarray, expected: float | list[float]) -> bool:
    """Up to the rounding to 256 levels."""
    return bool((np.abs(made - expected) <= 0.501 * LEVEL).all())


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize("kind", STILL)
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 48, 3)])
def test_blurs_and_movements_leave_a_constant_image_as_it_is(kind, severity, shape):
    x = np.full(shape, 100 / 255)
    assert np.abs(corrupted(x, kind, severity, chance()) - x).max() <= (LEVEL * 1.01 if kind == "glass_blur" else 1e-9)


@pytest.mark.parametrize(("side", "more", "less"), [(32, 0.15, 0.4), (64, 0.3, 0.2)])
def test_brightness_and_contrast_have_closed_forms_for_cifar_and_for_imagenet(side, more, less):
    x = flat(0.4, side=side)
    assert close(corrupted(x, "brightness", 3, chance()), 0.4 + more)
    x[: side // 2] = 0.2
    assert close(np.unique(corrupted(x, "contrast", 3, chance())), [0.3 - 0.1 * less, 0.3 + 0.1 * less])


def test_brightness_keeps_the_hue_and_saturate_takes_or_gives_colour():
    x = np.broadcast_to(np.array([0.6, 0.2, 0.4]), (32, 32, 3)).copy()
    assert close(corrupted(x, "brightness", 5, chance())[0, 0], [v * 0.9 / 0.6 for v in (0.6, 0.2, 0.4)])
    assert close(corrupted(x, "saturate", 1, chance())[0, 0], [0.6, 0.6 * 0.8, 0.6 * 0.9])
    assert (corrupted(flat(0.4, 1), "saturate", 5, chance()) == flat(0.4, 1)).all()


@pytest.mark.parametrize(("kind", "variance"), [("shot_noise", 0.4 / 100), ("gaussian_noise", 0.08**2),
                                                ("speckle_noise", (0.4 * 0.12) ** 2)])  # fmt: skip
def test_noise_has_its_variance_and_no_bias(kind, variance):
    x = flat(0.4)
    made = np.stack([corrupted(x, kind, 3, chance(str(i))) for i in range(20)])
    n = made.size  # 5 standard errors
    assert made.var() == pytest.approx(variance, rel=5 * (2 / n) ** 0.5 + 0.01)
    assert abs(made.mean() - 0.4) < 5 * (variance / n) ** 0.5 + 1e-4
    assert (corrupted(flat(0), kind, 3, chance()) == 0).all() == (kind != "gaussian_noise")


def test_impulses_are_as_many_as_said_and_half_of_them_white():
    made = np.stack([corrupted(flat(0.4), "impulse_noise", 5, chance(str(i))) for i in range(20)])
    assert (made == 0).mean() == pytest.approx(0.035, abs=0.004)
    assert (made == 1).mean() == pytest.approx(0.035, abs=0.004)


def test_motion_goes_in_the_direction_of_the_angle():
    x = np.zeros((9, 9, 1))
    x[4, 4] = 1
    weights = np.exp(-(np.arange(5) ** 2) / 8)
    made = moved(x, 2, 2, 0)[..., 0]
    assert np.allclose(made[4, :5][::-1], weights / weights.sum())
    assert made.sum() == pytest.approx(1)
    assert np.allclose(moved(x, 2, 2, 90)[..., 0], made.T)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_every_corruption_changes_digits_and_stays_in_the_box_for_grey_and_colour(kind):
    grey = digits(3)[1].permute(0, 2, 3, 1).double().numpy()
    for images in (grey, np.repeat(grey, 3, 3) * [1, 0.8, 0.5]):
        made = np.stack([corrupted(x, kind, 4, chance()) for x in images])
        assert made.shape == images.shape and made.min() >= 0 and made.max() <= 1
        assert (
            (np.abs(made - images) > 0.9 * LEVEL).any((1, 2, 3)) == (kind != "saturate" or images.shape[3] == 3)
        ).all()


@pytest.mark.parametrize("kind", RISING)
def test_severities_change_digits_more_and_more(kind):
    images = digits(10)[1].permute(0, 2, 3, 1).double().numpy()
    change = [np.mean([(corrupted(x, kind, s, chance()) - x) ** 2 for x in images]) for s in range(1, 6)]
    assert (np.diff(change) >= 0).all() and change[-1] > change[0]


@pytest.mark.parametrize("kind", ["shot_noise", "glass_blur", "motion_blur", "snow", "frost", "elastic_transform"])
def test_a_sample_has_the_same_bits_in_any_batch(kind):
    net, x = mlp(shape=(1, 28, 28)), digits(7)[1]
    one, seven = (attack(Corruption(kind=kind), net, x, size) for size in (1, 7))
    assert torch.equal(one.candidates, seven.candidates) and torch.equal(one.found, seven.found)
    assert (one.forwards == 1).all() and (one.backwards == 0).all()
    assert not torch.equal(one.candidates[0] - x[0], one.candidates[1] - x[1])


def test_the_judge_makes_the_corruption_again_and_refuses_another_image():
    net, x = mlp(shape=(1, 28, 28)), digits(4)[1]
    record, goal = Corruption(kind="fog"), Goal(net(x).argmax(1), 5)
    made = attack(record, net, x, goal=goal)
    assert judge(record, net, x, made.candidates, goal, made.found).fault == [""] * 4
    other = replace(made, candidates=made.candidates.flip(0))
    assert all(judge(record, net, x, other.candidates, goal, made.found).fault)


def test_what_cannot_be_corrupted_is_a_sentence():
    with pytest.raises(UsageError, match="severity"):
        Corruption(severity=6)
    with pytest.raises(AttackError, match="expected images of 1 or 3 channels, got 2"):
        Corruption().rebuild(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, dtype=torch.float64))


def test_the_mean_of_ratios_is_that_of_the_paper_and_missing_where_the_reference_has_no_error():
    a, b = np.array([1.0, 0, 1, 0] * 5), np.array([1.0, 1, 0, 0] * 5)
    found = _mean_of_ratios([(a, b), (a / 2, b)])
    assert found.value == pytest.approx(0.75) and found.low < 0.75 < found.high
    same = _mean_of_ratios([(b, b)])
    assert (same.value, same.low, same.high) == pytest.approx((1, 1, 1))
    assert np.isnan(_mean_of_ratios([(a, 0 * b)]).value)


def test_the_table_is_of_the_rows_and_the_page_says_what_was_done(tmp_path):
    kinds, severities = ["contrast", "pixelate"], [1, 5]
    suite = {"version": 1, "name": "c", "data": {"mnist": {"samples": 30}}, "tables": ["corruption"]}
    suite |= {"models": ["lenet_mnist", "fc500_150_10_mnist"]}
    suite |= {"attacks": [{"corruption": {"matrix": {"kind": kinds, "severity": severities}}}]}
    results = run(suite, tmp_path, device="cpu", timing=False)
    samples = results.samples()
    wrong = samples.assign(kind=samples["params"].str.extract('"kind":"([a-z_]+)"')[0])
    wrong["wrong"] = wrong["adv_pred"] != wrong["label"]
    table = tables.make("corruption", results)
    rows = {(row["model"].text, row["corruption"].text): row for row in table.rows}
    error = wrong.groupby(["model", "kind"])["wrong"].mean()
    for (model, kind), value in error.items():
        assert rows[model, kind]["error"].value == pytest.approx(100 * value)
        ratio = value / error["lenet_mnist", kind] if error["lenet_mnist", kind] else None
        if rows[model, kind]["ce"].value is not None:
            assert rows[model, kind]["ce"].value == pytest.approx(100 * ratio)
    assert rows["fc500_150_10_mnist", "contrast"]["ce"].value is not None  # the reference errs there for certain
    assert rows["fc500_150_10_mnist", "pixelate"]["relative"].value is None  # and loses nothing there
    assert {one.threat for one in rankings(results)} == {"common corruptions"}
