from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from robustbench_lite.errors import StoreError, UsageError
from robustbench_lite.results.naming import labels_of, names_of
from robustbench_lite.results.paired_tests import mcnemar
from robustbench_lite.results.store import Store, read
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.compare import changes, compare, side, sides
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
    table = compare(*sides(str(a), str(b)))
    return list(table.rows), table


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
    assert "only in a: lenet, deepfool" in table.footnotes
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


def sentence(a, b):
    return changes(*sides(str(a), str(b))).sentence


def test_one_sentence_says_what_changed_and_whether_it_is_certain(tmp_path):
    facts = {"eps": 0.1, "variant": "pgd(steps=7)"}
    a = write(tmp_path / "v1", [True] * 40 + [False] * 20, **facts)
    b = write(tmp_path / "v2", [False] * 12 + [True] * 31 + [False] * 17, **facts)  # twelve lost, three won
    where = "under pgd(steps=7) (mnist, lenet)"
    assert sentence(a, b) == f"v2 loses 12 and wins 3 of 60 images beside v1 {where}: certain (p = 0.035)"
    assert sentence(b, a) == f"v1 loses 3 and wins 12 of 60 images beside v2 {where}: certain (p = 0.035)"
    close = write(tmp_path / "v3", [False] * 4 + [True] * 39 + [False] * 17, **facts)
    assert sentence(a, close).endswith(
        f"v3 loses 4 and wins 3 of 60 images beside v1 {where}: this may be chance (p = 1)"
    )
    assert sentence(a, a) == f"v1 (1) and v1 (2) agree on all 60 images {where}"
    assert compare(*sides(str(a), str(b))).title == sentence(a, b)


def test_many_comparisons_are_summed_up_with_an_adjusted_p(tmp_path):
    for name, lose in (("v1", 0), ("v2", 9)):
        for attack in ("fgsm", "pgd", "mifgsm"):
            losing = lose if attack == "pgd" else 0
            write(tmp_path / name, [False] * losing + [True] * (30 - losing), attack=attack, eps=0.1, norm="linf")
    found = sentence(tmp_path / "v1", tmp_path / "v2")
    assert found == (
        "v2 is certainly less robust in 1 of 3 comparisons; the surest loss: v2 loses 9 and wins 0 of 30 images beside "
        "v1 under pgd (mnist, lenet): certain (p = 0.012, adjusted for 3 comparisons)"
    )
    assert sentence(tmp_path / "v2", tmp_path / "v1").startswith("v1 is certainly more robust in 1 of 3 comparisons")
    assert sentence(tmp_path / "v1", tmp_path / "v1") == (
        "Nothing changed from v1 (1) to v1 (2): no verdict flipped in 3 comparisons"
    )
    for attack in ("fgsm", "pgd", "mifgsm"):
        write(tmp_path / "v3", [False] * 2 + [True] * 28, attack=attack, eps=0.1, norm="linf")
    assert sentence(tmp_path / "v1", tmp_path / "v3").startswith(
        "No certain change from v1 to v3 in 3 comparisons: 6 verdicts lost and 0 won of 90 in all, which may be chance"
    )


def sizes(folder, found):
    """A minimal attack with these sizes; infinite ones are failures, whose iterates have a size all the same."""
    cell = cell_row("c", "lenet", "deepfool", goal="label")
    rows = [
        row | {"clean_correct": True, "clean_pred": 0, "success": size != np.inf, "rho": min(size, 0.01)}
        | {"adv_pred": 3 if size != np.inf else 0, "rho": size if size != np.inf else 0.01}
        for row, size in zip(sample_rows(cell, len(found)), found, strict=True)
    ]  # fmt: skip
    Store(folder).write("c", rows, cell)
    Store(folder).write_run({"models": ["lenet"]})
    return folder


def test_sizes_are_compared_where_everything_is_broken(tmp_path):
    a = sizes(tmp_path / "v1", [0.1 + 0.001 * i for i in range(20)])
    b = sizes(tmp_path / "v2", [0.09 + 0.001 * i for i in range(20)])
    found = sentence(a, b)
    assert found.startswith("v2 needs a smaller change than v1 on 20 and a larger one on 0 of 20 images under deepfool")
    assert found.endswith("certain (p < 0.001)")
    (row,), _ = table_of(a, b)
    assert row["rho_difference"].value == pytest.approx(-0.01)


def test_sizes_of_failures_are_not_compared(tmp_path):
    """Half of B was never broken: its iterates are smaller than A's perturbations, and mean nothing."""
    a, b = sizes(tmp_path / "a", [0.1] * 20), sizes(tmp_path / "b", [0.1] * 8 + [np.inf] * 12)
    (row,), _ = table_of(a, b)
    assert row["rho_a"].text == "0.100" and row["rho_a"].value == pytest.approx(0.1)
    assert row["rho_b"].text == "half of 20 never broken" and row["rho_b"].value == np.inf
    assert row["rho_difference"].value is None
    assert "B needs a larger change on 12, a smaller on 0 (sign test, p = 0.00049)" in row["rho_difference"].note


def test_a_number_that_does_not_stand_is_no_gain(tmp_path):
    """Never broken without a budget: a smell. It is no gain in B, and losing it is no loss from A."""
    a, b = sizes(tmp_path / "a", [0.1] * 20), sizes(tmp_path / "b", [np.inf] * 20)
    why = "the number of b under deepfool does not stand: success without a budget: 0 of 20 samples were broken"
    assert sentence(a, b).startswith(f"a and b cannot be compared: {why}")
    assert sentence(b, a).startswith(f"b and a cannot be compared: {why}")
    assert any(note.startswith("[1] B does not stand") for note in table_of(a, b)[1].footnotes)
    c = sizes(tmp_path / "c", [0.1] * 8 + [np.inf] * 12)
    assert "cannot be compared" in sentence(c, b)  # neither stands
    for folder, robust in ((a, [True] * 20), (b, [False] * 9 + [True] * 11)):
        write(folder, robust, attack="pgd", eps=0.1)
    found = sentence(a, b)
    assert found.startswith("b loses 9 and wins 0 of 20 images beside a under pgd (mnist, lenet): certain (p = 0.0039)")
    assert found.endswith(why + ", without a budget")


def test_a_headline_says_the_first_reason_and_counts_the_others(tmp_path):
    """Of nine misses of the bracket one is said; table trust has all."""
    a, b = sizes(tmp_path / "a", [0.1] * 20), sizes(tmp_path / "b", [0.1] * 20)
    missed = [f"problem {i}: found at 1.4 of the exact distance, expected 1.05 at most" for i in range(9)]
    entry = {"checks": 9, "failed": missed}
    Store(b).write_run({"models": ["lenet", "fc"], "calibration": {"deepfool": entry}})
    found = sentence(a, b)
    assert found.endswith(f"does not stand: exact-answer bracket: {missed[0]}; and 8 more") and missed[1] not in found
    assert missed[8] not in " ".join(table_of(a, b)[1].footnotes)
    (told,) = [row["text"].text for row in tables.make("trust", read(b)).rows if row["level"].text == "RED"]
    assert told == "; ".join(missed)


def test_a_loss_counts_even_where_the_loser_looks_too_robust(tmp_path):
    """Nineteen of twenty are broken by half the change; that the last one is not is a smell, and no gain."""
    a, b = sizes(tmp_path / "a", [0.1] * 20), sizes(tmp_path / "b", [0.05] * 19 + [np.inf])
    assert sentence(a, b).startswith("b needs a smaller change than a on 19 and a larger one on 1 of 20 images")
    assert "a needs a smaller change than b on 1 and a larger one on 19" in sentence(b, a)  # more than an overstatement


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["v1", "v2"], ["v1", "v2"]),
        (["one/t", "two/t"], ["one", "two"]),
        (["one/x/t", "two/x/t"], ["one", "two"]),
        (["x/t", "t"], ["x", None]),  # the second by whatever it lies in
        (["t", "t"], ["t (1)", "t (2)"]),
        (["one/t", "two/t", "other"], ["one", "two", "other"]),
    ],
)
def test_folders_are_named_by_what_tells_them_apart(tmp_path, folders, names):
    found = names_of([tmp_path / folder for folder in folders])
    assert len(set(found)) == len(found)
    assert [name for name, wanted in zip(found, names, strict=True) if wanted] == [name for name in names if name]


def test_labels_are_names_and_wrong_ones_are_refused(tmp_path):
    a, b = tmp_path / "one", tmp_path / "two"
    assert names_of([a, b], labels_of([f"v1={a}", f"v2={tmp_path}/x/../two"], [a, b])) == ["v1", "v2"]
    for text, message in (
        ("v1", "expected NAME=FOLDER"),
        (f"={a}", "expected NAME=FOLDER"),
        (f"v1={tmp_path}", "none of the folders"),
    ):
        with pytest.raises(UsageError, match=message):
            labels_of([text], [a, b])
    with pytest.raises(UsageError, match="a label one folder"):
        labels_of([f"v={a}", f"v={b}"], [a, b])


def test_the_verb(tmp_path):
    a = write(tmp_path / "a", [True] * 10)
    b = write(tmp_path / "b", [False] * 10)
    done = cli("compare", str(a), str(b), "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert "-100.0" in done.stdout
    text = cli("compare", str(a), str(b), "--label", f"old={a}", "--label", f"new={b}").stdout
    assert text.startswith("new loses 10 and wins 0 of 10 images beside old under fgsm (mnist, lenet): certain")
    assert "A: old; B: new" in text
    wrong = cli("compare", str(a), str(tmp_path / "nowhere"))
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
