from __future__ import annotations

import pytest

from robustbench_lite.errors import UsageError
from robustbench_lite.tables.references import known, load


@pytest.mark.parametrize("name", known())
def test_every_published_table_has_numbers_and_a_source(name):
    reference = load(name)
    assert reference.id == name and reference.rows and reference.quantity and reference.protocol
    assert reference.checked in {"stored-copy", "recalled"}
    assert reference.arxiv in reference.source and reference.table in reference.source


def test_the_tables_of_the_first_suites_are_there():
    assert {"deepfool-t1", "deepfool-t2", "liu-t1a", "liu-t1b", "liu-t2", "liu-t3", "liu-t4"} <= set(known())


def test_deepfools_ratios_are_those_of_the_paper():
    ratios = [row["rho_adv_fgsm"] / row["rho_adv_deepfool"] for row in load("deepfool-t1").rows]
    assert ratios == pytest.approx([5.0, 3.5, 5.2, 4.3, 13, 25], rel=0.02)
    ratios = [row["fgsm"] / row["deepfool"] for row in load("deepfool-t2").rows]
    assert ratios == pytest.approx([2.6, 2.75, 3.0, 1.9], rel=0.02)


def test_leave_one_out_tables_have_a_row_per_left_out_classifier():
    for name in ("liu-t3", "liu-t4"):
        for row in load(name).rows:
            assert set(row) == {"row", "rmsd", "ResNet-152", "ResNet-101", "ResNet-50", "VGG-16", "GoogLeNet"}
            assert row["row"].removeprefix("-") in row


def test_a_row_is_found_by_its_values():
    assert load("deepfool-t1").row(classifier="LeNet", dataset="CIFAR-10")["rho_adv_deepfool"] == 0.03
    assert load("deepfool-t1").row(classifier="LeNet", dataset="SVHN") is None


def test_an_unknown_table_is_a_sentence():
    with pytest.raises(UsageError, match="did you mean 'deepfool-t"):
        load("deepfool-t")
    with pytest.raises(UsageError):
        load("../secrets")
