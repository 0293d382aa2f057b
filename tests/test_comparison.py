from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from robustbench_lite.comparison import compare, side
from robustbench_lite.errors import StoreError, UsageError
from robustbench_lite.measure import mcnemar
from robustbench_lite.store import Store
from tests.helpers import cli
from tests.synthetic import cell_row, sample_rows


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (0, 5), (3, 11), (40, 40), (2, 900)])
def test_mcnemar_is_the_exact_binomial_test(lost, won):
    expected = 1.0 if lost + won == 0 else binomtest(lost, lost + won, 0.5).pvalue
    assert mcnemar(lost, won) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(won, lost) == mcnemar(lost, won)


def test_mcnemar_counts():
    with pytest.raises(ValueError, match="expected counts"):
        mcnemar(-1, 2)


def write(folder, robust, model="lenet", attack="fgsm", **changes):
    """A run whose sample i is robust where `robust[i]` is true; rho is 0.1 (i + 1)."""
    cell = cell_row(f"{model}-{attack}", model, attack, **changes)
    rows = [
        row | {"clean_correct": True, "clean_pred": 0, "adv_pred": 0 if safe else 3, "rho": 0.1 * (i + 1)}
        for i, (row, safe) in enumerate(zip(sample_rows(cell, len(robust)), robust, strict=True))
    ]
    store = Store(folder)
    store.write(cell["cell"], rows, cell)
    store.write_run({"models": ["lenet", "fc"]})
    return folder


def table_of(a, b):
    table = compare(side(str(a)), side(str(b)))
    keys = [column.key for column in table.columns]
    return [dict(zip(keys, row, strict=True)) for row in table.rows], table


def test_the_differences_are_paired(tmp_path):
    a = write(tmp_path / "a", [True] * 12 + [False] * 8, eps=0.1)
    b = write(tmp_path / "b", [False] * 9 + [True] * 3 + [True] * 2 + [False] * 6, eps=0.1)
    (row,), table = table_of(a, b)
    assert (row["robust_a"].value, row["robust_b"].value) == pytest.approx((60.0, 25.0))
    assert row["difference"].value == pytest.approx(-35.0)
    assert row["difference"].low < -35 < row["difference"].high < 0
    assert (row["lost"].value, row["won"].value) == (9, 2)
    assert row["p"].value == pytest.approx(mcnemar(9, 2))
    assert row["n"].value == 20
    assert row["rho_a"].value is None  # a budget: no minimal size to compare
    assert table.footnotes[0].startswith("A: ")


def test_minimal_attacks_compare_sizes_too(tmp_path):
    a = write(tmp_path / "a", [False] * 10, attack="deepfool")
    b = write(tmp_path / "b", [False] * 10, attack="deepfool")
    (row,), _ = table_of(a, b)
    assert row["rho_a"].value == row["rho_b"].value == pytest.approx(np.mean(0.1 * np.arange(1, 11)))
    assert row["rho_difference"].value == 0


def test_two_classifiers_of_one_run(tmp_path):
    write(tmp_path, [True] * 20, "lenet")
    write(tmp_path, [True] * 5 + [False] * 15, "fc")
    (row,), _ = table_of(f"{tmp_path}:lenet", f"{tmp_path}:fc")
    assert row["model"].text == "lenet / fc"
    assert row["difference"].value == pytest.approx(-75.0)
    with pytest.raises(UsageError, match="did you mean 'lenet'"):
        side(f"{tmp_path}:lenot")
    with pytest.raises(UsageError, match="on both sides"):
        compare(side(f"{tmp_path}:lenet"), side(str(tmp_path)))


def test_what_has_no_partner_is_said_and_nothing_in_common_is_an_error(tmp_path):
    a = write(tmp_path / "a", [True] * 5)
    write(a, [True] * 5, attack="deepfool")
    b = write(tmp_path / "b", [True] * 5)
    rows, table = table_of(a, b)
    assert len(rows) == 1
    assert "only in A: lenet, deepfool" in table.footnotes
    with pytest.raises(UsageError, match="nothing to compare"):
        table_of(a, write(tmp_path / "c", [True] * 5, params='{"epsilon":0.2}'))
    with pytest.raises(StoreError):
        side(str(tmp_path / "nowhere"))


def test_a_failed_side_has_no_number(tmp_path):
    a = write(tmp_path / "a", [True] * 5)
    cell = cell_row("lenet-fgsm", attack="fgsm", status="failed", error="out of luck")
    Store(tmp_path / "b").write("lenet-fgsm", [], cell)
    (row,), table = table_of(a, tmp_path / "b")
    assert row["difference"].value is None
    assert any("out of luck" in note for note in table.footnotes)


def test_the_verb(tmp_path):
    a = write(tmp_path / "a", [True] * 10)
    b = write(tmp_path / "b", [False] * 10)
    done = cli("compare", str(a), str(b), "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert "-100.0" in done.stdout
    wrong = cli("compare", str(a), str(tmp_path / "nowhere"))
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
