"""The statistics of the gate: against outside references, and against the truth in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest, wilcoxon

from benchmarks.gate_simulation import alarms
from robustbench_lite.gate.power import detectable
from robustbench_lite.gate.rules import Gate, Limits
from robustbench_lite.gate.statistics import Pairs, findings, floors
from robustbench_lite.results.paired_tests import holm, mcnemar
from robustbench_lite.results.statistics import clopper_pearson

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


def caught(rng, n: int, churn: float, drops: np.ndarray, level: float, margin: float) -> float:
    """The share of runs that fail, simulated: each sample is lost with `churn + drop` and won with `churn`."""
    lost = rng.binomial(n, churn + drops)
    won = rng.binomial(n - lost, churn / (1 - churn - drops))
    certain = binom.sf(lost - 1, lost + won, 0.5) <= level
    return float((certain & (lost - won > margin * n / 100)).mean())


@pytest.mark.parametrize("level", [0.05, 0.05 / 40])
@pytest.mark.parametrize("n", [100, 500, 1000])
def test_what_can_be_detected_is_detected_in_four_of_five_runs(n, level):
    """Whatever the true churn, also where none was won; the drop that is stated depends on the run that states it."""
    rng = np.random.default_rng(3)
    known = {won: detectable(n, won, level, 0.5) / 100 for won in range(n // 10 + 10)}
    for churn in (0.0, 0.0005, 0.002, 0.01, 0.03):
        stated = np.array([known[won] for won in rng.binomial(n, churn, 4000)])
        assert np.isfinite(stated).all()
        found = caught(rng, n, churn, stated, level, 0.5)
        assert found >= 0.79, churn  # 0.8 less two standard errors
        assert found < 0.995 or churn < 1 / n, churn  # not simply a large number


def test_the_smallest_drop_that_can_be_detected_is_the_smallest():
    churn = 1 - 0.2 ** (1 / 500)  # none of 500 won: the upper 80 % bound in closed form
    drop = detectable(500, 0, 0.05, 0.5) / 100
    rng = np.random.default_rng(0)
    assert caught(rng, 500, churn, np.full(20000, drop), 0.05, 0.5) >= 0.795
    assert caught(rng, 500, churn, np.full(20000, drop - 1 / 500), 0.05, 0.5) < 0.805


def test_what_cannot_be_detected():
    assert detectable(4, 0, 0.05, 0) == float("inf")  # even four of four lost are not certain
    assert detectable(10, 10, 0.05, 0) == float("inf")
    assert detectable(500, 0, 0.05 / 40, 0.5) < detectable(500, 5, 0.05 / 40, 0.5)
    assert detectable(100, 0, 0.05, 20) > 20


def test_drops_of_distances_must_also_pass_the_margin():
    """At a true drop as large as the margin half of the runs fail, not 80 %: simulated with the test of the gate."""
    rng, gate = np.random.default_rng(2), Gate(max_distance_drop=5)
    before = rng.uniform(0.1, 0.3, 200)

    def finding(drop: float):
        return findings([distances(before, before * rng.normal(1 - drop / 100, 0.1, 200), max_distance_drop=5)], gate)

    drop = finding(0)[0][1].detectable
    assert drop > 5.3
    assert np.mean([finding(drop)[0][1].worse(gate) for _ in range(150)]) == pytest.approx(0.8, abs=0.1)


def test_distances_with_failures_are_compared_by_medians_and_signs():
    inf = float("inf")
    before, after = np.array([0.2] * 30 + [inf] * 10), np.array([0.1] * 30 + [inf] * 10)
    found = findings([distances(before, after)], GATE)[0][1]
    assert (found.metric, found.before, found.after, found.drop) == ("median rho", 0.2, 0.1, 50.0)
    assert (found.lost, found.won, found.n) == (30, 0, 40) and found.p == 2**-30
    assert found.worse(GATE) and np.isnan(found.interval.low) and np.isnan(found.detectable)
    gone = findings([distances(before, np.full(40, inf))], GATE)[0][1]
    assert gone.after == inf and gone.drop == -inf and not gone.worse(GATE)
    back = findings([distances(np.full(40, inf), before)], GATE)[0][1]
    assert back.drop == 100.0 and back.worse(GATE)
    assert findings([distances(np.full(4, inf), np.full(4, inf))], GATE)[0][1].drop == 0


def test_a_floor_of_rho_counts_failures_as_infinite():
    """Half are broken at 0.1 to 0.2, the others never: no mean, and a median whose lower end is among the broken."""
    rho = np.concatenate([np.linspace(0.1, 0.2, 30), np.full(30, np.inf)])
    robust = np.zeros(60, bool)
    low = float(np.sort(rho)[22 - 1])  # P(fewer than 22 of 60 coins show heads) is 0.0137, of 23: 0.0259
    assert binom.cdf(21, 60, 0.5) <= 0.025 < binom.cdf(22, 60, 0.5)
    assert floors(Pairs((robust, robust), rho=rho, limits=Limits(min_rho=low - 1e-6)), GATE) == []
    (sentence,) = floors(Pairs((robust, robust), rho=rho, limits=Limits(min_rho=low + 1e-6)), GATE)
    assert f"median rho is inf, at least {low:.3g} (n=60, 50.0 % broken)" in sentence
    few = Pairs((robust[:5], robust[:5]), rho=np.full(5, 0.3), limits=Limits(min_rho=0.1))
    assert "too few samples for a bound (n=5)" in floors(few, GATE)[0]


def test_without_a_change_at_most_one_run_in_twenty_alarms():
    """40 gates, n = 500, 2 % churn; the full simulation is in benchmarks/gate_simulation.py."""
    assert alarms(np.random.default_rng(0), 150, GATE, 40, 500) <= 0.05


def test_a_drop_of_three_points_is_caught():
    assert alarms(np.random.default_rng(0), 150, GATE, 40, 1000, 0.03) >= 0.85


def test_a_plain_threshold_would_toss_coins():
    """The same runs under `mode: point`: what the test is for."""
    assert alarms(np.random.default_rng(0), 20, Gate(mode="point"), 40, 500) >= 0.95
