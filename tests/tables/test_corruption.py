"""The table of corruptions, from rows made by hand: mCE and relative mCE in closed form; published numbers below."""

from __future__ import annotations

import json

import pytest

from robustbench_lite.results.store import Store, read
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.references import load
from tests.synthetic import RUN, cell_row, sample_rows

N = 40
# of 40: wrong when clean, then wrong at severities 1 and 5
WRONG = {
    "reference": {"clean": 4, "fog": (8, 16), "contrast": (10, 30)},
    "other": {"clean": 2, "fog": (5, 13), "contrast": (6, 14)},
}


@pytest.fixture
def table(tmp_path):
    store = Store(tmp_path)
    store.write_run(RUN | {"reference": "hendrycks-readme", "models": list(WRONG)})
    for model, wrong in WRONG.items():
        for kind in ("fog", "contrast"):
            for severity, many in zip((1, 5), wrong[kind], strict=True):
                params = json.dumps({"kind": kind, "severity": severity})
                facts = {"params": params, "norm": None, "goal": "label", "variant": f"{kind} {severity}", "n": N}
                cell = cell_row(f"{model}-{kind}-{severity}", model, "corruption", **facts)
                rows = sample_rows(cell, N, wrong=wrong["clean"])
                for i, row in enumerate(rows):  # who is wrong when clean stays so
                    right = i >= wrong["clean"]
                    row |= {"clean_correct": right, "success": i < many, "label": 1, "adv_pred": 0 if i < many else 1}
                store.write(cell["cell"], rows, cell)
    made = tables.make("corruption", read(tmp_path))
    return made, {(row["model"].text, row["corruption"].text): row for row in made.rows}


def test_mce_and_relative_mce_are_the_papers_means_of_ratios(table):
    _, rows = table
    ce = {"fog": (5 + 13) / (8 + 16), "contrast": (6 + 14) / (10 + 30)}
    relative = {"fog": (5 + 13 - 4) / (8 + 16 - 8), "contrast": (6 + 14 - 4) / (10 + 30 - 8)}
    for kind, value in ce.items():
        assert rows["other", kind]["ce"].value == pytest.approx(100 * value)
        assert rows["other", kind]["relative"].value == pytest.approx(100 * relative[kind])
        assert rows["reference", kind]["ce"].value == rows["reference", kind]["relative"].value == pytest.approx(100)
    mean = rows["other", "all 2"]
    assert mean["ce"].value == pytest.approx(50 * sum(ce.values()))  # no ratio of sums, which is 38 / 64
    assert mean["relative"].value == pytest.approx(50 * sum(relative.values()))
    assert mean["error"].value == pytest.approx(100 * (5 + 13 + 6 + 14) / (4 * N))
    assert mean["worst"].value == pytest.approx(100 * 14 / N)
    assert rows["other", "none"]["error"].value == pytest.approx(100 * 2 / N)


def test_the_published_numbers_stand_below_and_say_that_they_do_not_compare(table):
    made, rows = table
    own = rows["ResNet-50", "all 15"]["ce"], rows["ResNet-50", "none"]["error"]
    assert [(one.value, one.kind) for one in own] == [(76.7, "published"), (23.85, "published")]
    assert sum(row["dataset"].text == "ImageNet-C" for row in made.rows) == 2 * len(load("hendrycks-readme").rows)
    assert any("no number here compares with them" in line for line in made.footnotes)
