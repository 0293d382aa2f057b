"""The statistics of the gate: against outside references, and against the truth in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, wilcoxon

from benchmarks.gate_simulation import alarms
from robustbench_lite.gate import Gate, Limits
from robustbench_lite.measure import clopper_pearson, mcnemar
from robustbench_lite.regress import Pairs, detectable, findings, floors, holm

GATE = Gate()


def pair(lost: int, won: int, kept: int = 50, never: int = 30, **limits) -> Pairs:
    """`kept` samples are robust both times, `never` neither time."""
    before = np.array([True] * (kept + lost) + [False] * (never + won))
    after = np.array([True] * kept + [False] * (lost + never) + [True] * won)
    return Pairs((before, after), limits=Limits(**limits))


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (0, 5), (3, 11), (11, 3), (40, 40), (900, 2)])
def test_one_sided_mcnemar_is_the_exact_binomial_test(lost, won):
    expected = 1.0 if lost + won == 0 else binomtest(lost, lost + won, 0.5, alternative="greater").pvalue
    assert mcnemar(lost, won, one_sided=True) == pytest.approx(expected, rel=1e-9)


def test_holm_is_that_of_the_textbook():
    # R: p.adjust(c(.01, .04, .03, .005), "holm") is .03, .06, .06, .02
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("lost", "won", "limits", "fails"),
    [
        (20, 2, {}, True),  # certain and large
        (5, 3, {}, False),  # 2 points, but a coin toss
        (20, 2, {"max_drop": 20}, False),  # certain, but within the margin
        (2, 20, {}, False),  # a gain
        (0, 0, {"max_drop": 0}, False),
    ],
)
def test_a_loss_fails_when_it_is_certain_and_beyond_the_margin(lost, won, limits, fails):
    ((found,),) = findings([pair(lost, won, **limits)], GATE)
    assert found.worse(GATE) is fails
    assert found.drop == pytest.approx(100 * (lost - won) / (80 + lost + won))
    assert (found.lost, found.won, found.n) == (lost, won, 80 + lost + won)
    assert found.interval.low <= found.drop <= found.interval.high
    assert found.better(GATE) is (won == 20)


def test_mode_point_fails_by_chance_too():
    point = Gate(mode="point")
    ((found,),) = findings([pair(5, 3)], point)
    assert found.worse(point)
    ((found,),) = findings([pair(5, 3, max_drop=3)], point)
    assert not found.worse(point)


def test_the_correction_is_over_the_run_and_only_over_what_could_fall():
    one = pair(9, 1)
    alone = findings([one], GATE)[0][0]
    assert alone.p == pytest.approx(11 / 1024)
    assert alone.worse(GATE)
    among = findings([one, *[pair(0, 0)] * 9], GATE)[0][0]
    assert among.adjusted == pytest.approx(10 * alone.p)
    assert not among.worse(GATE)
    hopeless = pair(0, 3, kept=0)  # nothing was robust before
    beside = findings([one, *[hopeless] * 9], GATE)
    assert beside[0][0].adjusted == alone.adjusted
    assert not beside[1][0].tested
    assert beside[1][0].detectable == float("inf")


def distances(before, after, **limits) -> Pairs:
    robust = np.zeros(len(before), bool)
    return Pairs((robust, robust), (np.asarray(before), np.asarray(after)), limits=Limits(**limits))


def test_distances_are_compared_by_wilcoxons_test():
    rng = np.random.default_rng(0)
    before = rng.uniform(0.1, 0.3, 60)
    after = before * rng.normal(0.95, 0.02, 60)
    _, found = findings([distances(before, after)], GATE)[0]
    assert found.metric == "rho"
    assert found.p == pytest.approx(wilcoxon(before, after, alternative="greater", correction=True).pvalue)
    assert found.drop == pytest.approx(100 * (1 - after.mean() / before.mean()))
    assert found.worse(GATE)
    assert not findings([distances(before, after, max_distance_drop=10)], GATE)[0][1].worse(GATE)
    assert findings([distances(after, before)], GATE)[0][1].better(GATE)
    same = findings([distances(before, before)], GATE)[0][1]
    assert (same.p, same.drop) == (1.0, 0.0)


def test_noise_around_the_same_distances_passes():
    rng = np.random.default_rng(1)
    before = rng.uniform(0.1, 0.3, 200)
    found = findings([distances(before, before * rng.normal(1, 0.2, 200))], GATE)[0][1]
    assert not found.worse(GATE)
    assert 2 < found.detectable < 5  # 20 % / sqrt(200) is 1.4 %; (1.64 + 0.84) times that


def test_floors_are_on_the_bound_and_not_on_the_estimate():
    robust = np.array([True] * 60 + [False] * 40)
    low = 100 * clopper_pearson(60, 100)[0]
    high_enough = Pairs((robust, robust), limits=Limits(min_robust_accuracy=low - 0.1))
    too_low = Pairs((robust, robust), limits=Limits(min_robust_accuracy=low + 0.1))
    assert floors(high_enough, GATE) == []
    (sentence,) = floors(too_low, GATE)
    assert f"robust accuracy is 60.0 %, at least {low:.1f} %" in sentence
    assert floors(too_low, Gate(mode="point")) == []
    rho = np.linspace(0.1, 0.3, 100)
    assert floors(Pairs((robust, robust), rho=rho, limits=Limits(min_rho=0.18)), GATE) == []
    (sentence,) = floors(Pairs((robust, robust), rho=rho, limits=Limits(min_rho=0.2)), GATE)
    assert "mean rho is 0.2, at least 0.18" in sentence
    broken = np.array([0.1, np.nan])
    assert floors(Pairs((robust, robust), rho=broken, limits=Limits(min_rho=0)), GATE)


def test_what_can_be_detected():
    # without any flips by chance k losses are certain when 2^-k <= 0.05, and k of n must exceed the margin
    assert detectable(100, 0, 0.05, 0) == pytest.approx(5.0)
    assert detectable(1000, 0, 0.05, 0.5) == pytest.approx(0.6)
    assert detectable(4, 0, 0.05, 0) == float("inf")
    assert detectable(500, 0, 0.05 / 40, 0.5) < detectable(500, 5, 0.05 / 40, 0.5)


@pytest.mark.parametrize(("n", "won"), [(500, 5), (1000, 10), (200, 0)])
def test_what_can_be_detected_is_detected_in_four_of_five_runs(n, won):
    """Simulated: exactly `won + extra` losses and `won` gains on average."""
    rng, level = np.random.default_rng(3), 0.05 / 40
    share = detectable(n, won, level, 0.5) / 100
    flips = rng.multinomial(n, [share + won / n, won / n, 1 - share - 2 * won / n], 2000)
    caught = np.mean(
        [
            mcnemar(lost, gained, one_sided=True) <= level and lost - gained > 0.005 * n
            for lost, gained, _ in flips.tolist()
        ]
    )
    # flips vary here and are fixed in the formula, so the share is about, not exactly, 0.8
    assert 0.7 < caught < 0.95 or won == 0


def test_without_a_change_at_most_one_run_in_twenty_alarms():
    """40 gates, n = 500, 2 % churn; the full simulation is in benchmarks/gate_simulation.py."""
    assert alarms(np.random.default_rng(0), 150, GATE, 40, 500) <= 0.05


def test_a_drop_of_three_points_is_caught():
    assert alarms(np.random.default_rng(0), 150, GATE, 40, 1000, 0.03) >= 0.85


def test_a_plain_threshold_would_toss_coins():
    """The same runs under `mode: point`: what the test is for."""
    assert alarms(np.random.default_rng(0), 20, Gate(mode="point"), 40, 500) >= 0.95
