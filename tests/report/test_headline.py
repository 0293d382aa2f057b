"""What is said of a ranking: a table of cases."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from robustbench_lite.report.headline import Entry, Lead, Ranking, amount
from robustbench_lite.results.statistics import Estimate
from robustbench_lite.text import budget, listed

INF, NAN = float("inf"), float("nan")


def entry(model: str, value: float, p: float | None = None, red: str = "") -> Entry:
    return Entry(model, Estimate(value, value - 0.05, value + 0.05, 20), p, ("pgd",), 0.9, (model,), red)


def ranking(*values, of="images", statistic="mean", red=None, difference=0.1, **lead) -> Ranking:
    """Classifiers v1, v2, ... with these values; a pair has the adjusted p-value too."""
    pairs = [value if isinstance(value, tuple) else (value, None) for value in values]
    entries = [entry(f"v{i}", *pair, red=(red or {}).get(f"v{i}", "")) for i, pair in enumerate(pairs, 1)]
    made = Ranking("mnist", "linf at most 8/255", "robust accuracy", of, statistic, tuple(entries), "exact test")
    if len(made.known) < 2:
        return made
    second = made.known[1]
    facts = {"larger": 3, "smaller": 1, "second": second.model, "p": second.p or 0.0} | lead
    return replace(made, ahead=Lead(Estimate(difference, difference - 0.05, difference + 0.05, 20), **facts))


SIZES, MEDIANS = {"of": ""}, {"of": "", "statistic": "median"}
RED = {"v1": "gradients: 29 of 30 samples met a zero gradient"}
CASES = [
    ((), {}, "Nothing can be said of : not defined on every sample"),
    ((0.8,), {}, "v1: 80.0 % of the images stay right"),
    ((0.0,), {}, "v1 does not hold out: every image is misclassified"),
    ((1.0,), {}, "v1: every image stays right"),
    ((0.8, (0.4, 0.001)), {}, "v1 holds out best: 80.0 % of the images stay right"),
    ((0.8, (0.7, 0.5)), {}, "v1 and v2 cannot be told apart (p = 0.5): 80.0 and 70.0 % of the images stay right"),
    ((0.8, (0.8, 1.0)), {}, "v1 and v2 cannot be told apart (p = 1): 80.0 % of the images stay right with each"),
    ((0.0, (0.0, 1.0)), {}, "Neither v1 nor v2 holds out: every image is misclassified"),
    ((1.0, (1.0, 1.0)), {}, "v1 and v2 cannot be told apart (p = 1): every image stays right with each"),
    (
        (0.8, (0.7, 0.5), (0.6, 0.3), (0.1, 0.001)),
        {},
        "v1, v2 and v3 hold out best and cannot be told apart (p ≥ 0.3): 60.0 to 80.0 % of the images stay right",
    ),
    ((0.0, *[(0.0, 1.0)] * 6), {}, "No classifier holds out: every image is misclassified"),
    (
        (0.3, *[(0.2, 0.4)] * 6),
        {},
        "None of 7 classifiers stands out (p ≥ 0.4): 20.0 to 30.0 % of the images stay right",
    ),
    (
        (0.3, *[(0.3, 1.0)] * 6, (0.1, 0.0)),
        {},
        "v1, v2, v3, v4 and 3 others hold out best and cannot be told apart (p = 1): "
        "30.0 % of the images stay right with each",
    ),
    ((NAN,), {}, "Nothing can be said of v1: not defined on every sample"),
    ((0.8, NAN), {}, "v1: 80.0 % of the images stay right"),
    ((0.05,), {"of": "views"}, "v1: 5.0 % of the views stay right"),
    ((0.0, (0.0, 1.0)), {"of": "views"}, "Neither v1 nor v2 holds out: every view is misclassified"),
    ((0.134, (0.1, 0.001)), SIZES, "v1 holds out best: an image must change by 13.4 % of its norm"),
    (
        (0.134, (0.131, 0.2)),
        SIZES,
        "v1 and v2 cannot be told apart (p = 0.2): an image must change by 13.4 and 13.1 % of its norm",
    ),
    ((INF, (0.1, 0.001)), MEDIANS, "v1 holds out best: half or more of the images are never broken"),
    (
        (0.2, (0.1, 0.001)),
        MEDIANS,
        "v1 holds out best: half of the images need a change of more than 20.0 % of their norm",
    ),
    (
        (INF, (INF, 1.0)),
        MEDIANS,
        "v1 and v2 cannot be told apart (p = 1): half or more of the images are never broken",
    ),
    (
        (INF, (0.2, 0.6)),
        MEDIANS,
        "v1 and v2 cannot be told apart (p = 0.6): half of the images need a change of more than 20.0 % of their norm "
        "with the one, half or more of the images are never broken with another",
    ),
    ((0.9,), {"red": RED}, "The number of v1 does not stand"),
    ((0.9, (0.5, None)), {"red": RED}, "v2: 50.0 % of the images stay right"),
    (
        (0.9, 0.5),
        {"red": RED | {"v2": "bracket"}},
        "None of these 2 numbers stands",
    ),
]


@pytest.mark.parametrize(("values", "facts", "answer"), CASES, ids=[answer[:60] for *_, answer in CASES])
def test_the_answer_says_what_its_test_says(values, facts, answer):
    made = ranking(*values, **facts)
    assert made.answer == answer
    said = f"{made.answer} {made.lead}"
    assert "nan" not in said and " inf" not in said and " 0.0 points" not in said
    assert len(set(re.findall(r"p = [\d.]+|p < 0.001", said))) <= 1  # one p
    best, *others = list(made.known) or [None]
    if any(one.tied for one in others) and best.estimate.value:
        assert "told apart" in made.answer or "stands out" in made.answer
        assert "real" not in made.lead or not others[0].tied


def test_the_lead_names_both_and_its_verdict_is_that_of_the_answer():
    sure = ranking(0.8, (0.7, 0.0004)).lead
    assert sure == (
        "v1 is 10.0 points [5.0, 15.0] ahead of v2 on the same 20 images. This is a real difference (exact test, "
        "p < 0.001)."
    )
    chance = ranking(0.8, (0.7, 0.2)).lead
    assert chance.endswith("This may be chance (exact test, p = 0.2).")
    same = ranking(0.8, (0.8, 1.0), difference=0.0).lead
    assert same == (
        "v1 and v2 come out the same on the same 20 images (3 better, 1 worse). This may be chance (exact test, p = 1)."
    )
    assert "is less than 0.1 points" in ranking(0.8, (0.7996, 0.01), difference=0.0004).lead
    few = replace(ranking(0.8, (0.7, 0.2)), ahead=Lead(Estimate(0.1, NAN, NAN, 5), 1, 0, "v2", p=1.0))
    assert few.lead.startswith("v1 is 10.0 points ahead of v2 on the same 5 images. This may be chance")


@pytest.mark.parametrize("value", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("kind", [{}, SIZES, {"of": "views"}])
def test_where_nothing_differs_there_is_no_talk_of_chance(value, kind):
    same = ranking(value, (value, 1.0), (value, 1.0), difference=0.0, larger=0, smaller=0, others=1, **kind)
    assert same.lead == "v1 and v2 (and 1 other with the same value) come out the same on each of the same 20 images."
    assert "chance" not in same.lead and "p =" not in same.lead


def test_equal_medians_of_equal_sizes_are_no_chance_either():
    same = ranking(0.2, (0.2, 1.0), difference=0.0, larger=0, smaller=0, **MEDIANS)
    assert same.lead == "v1 and v2 come out the same on each of the same 20 images."


def test_medians_are_compared_by_pairs():
    lead = ranking(INF, (0.1, 0.0002), larger=18, smaller=2, difference=NAN, **MEDIANS).lead
    assert lead == (
        "v1 beside v2 needs the larger change on 18 and the smaller on 2 of the same 20 images. This is a real "
        "difference (exact test, p < 0.001)."
    )


def test_what_does_not_stand_is_no_headline():
    made = ranking(0.9, (0.5, None), (0.4, 0.3), red=RED)
    assert made.answer.startswith("v2 and v3 cannot be told apart") and "v1" not in made.answer + made.lead


@pytest.mark.parametrize(
    ("epsilon", "text"),
    [
        *((k / 255, f"{k:g}/255") for k in (0.5, 1, 2, 4.5, 8, 16, 128)),
        *((value, f"{value:g}") for value in (0.03, 0.031, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0)),
        (0.123456, "0.1235"),
    ],
)
def test_a_radius_is_written_as_people_write_it(epsilon, text):
    assert budget(epsilon) == text


def test_names_in_a_sentence():
    assert [listed(list("abcdefg"[:n])) for n in (0, 1, 2, 3, 5)] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c, d and e",
    ]
    assert listed(list("abcdefg")) == "a, b, c, d and 3 others"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Estimate(0.5, 0.4, 0.6, 20), "50.0 [40.0, 60.0]\u00a0%"),
        (Estimate(0.5, NAN, NAN, 5), "50.0\u00a0%"),
        (Estimate(INF, 0.2, INF, 20), "half or more never broken"),
        (Estimate(NAN, NAN, NAN, 20), "not defined"),
    ],
)
def test_bars_have_words_for_what_has_no_number(found, text):
    assert amount(found) == text
