"""How `run` ends: whatever fails after the cells, their tables, reasons and exit code are there all the same."""

from __future__ import annotations

import json

import pytest

from robustbench_lite.cli.verbs import main
from robustbench_lite.errors import UsageError
from robustbench_lite.tables.base import tables

FINE = {"fgsm": {"epsilon": 0.1}}
FAILING = {"fgsm": {"epsilon": 0.1, "target": 99}, "as": "nowhere"}
SUITE = {
    "version": 1,
    "name": "small",
    "data": {"mnist": {"samples": 3}},
    "models": ["lenet_mnist"],
    "attacks": [FINE, FAILING],
    "tables": ["accuracy"],
}
UNDRAWABLE = {**SUITE, "figures": ["poses"]}  # there are no photographs


def run(folder, suite, capsys):
    """Exit code, stdout and stderr of `run`."""
    (folder / "small.yaml").write_text(json.dumps(suite))
    with pytest.raises(SystemExit) as ended:
        main(["run", str(folder / "small.yaml"), "--results", str(folder / "r"), "--no-timing"])
    return ended.value.code, *capsys.readouterr()


def test_a_figure_that_cannot_be_drawn_hides_no_failed_cell(tmp_path, capsys):
    code, out, err = run(tmp_path, UNDRAWABLE, capsys)
    assert code == 3
    assert "lenet_mnist" in out
    assert "failed: mnist · lenet_mnist · nowhere: target: expected a class below 10" in err
    assert "error: " in err and "no stored photographs" in err
    assert "rows are in" in err


def test_where_every_cell_is_fine_the_figure_decides(tmp_path, capsys):
    code, out, err = run(tmp_path, {**UNDRAWABLE, "attacks": [FINE]}, capsys)
    assert code == 2
    assert "lenet_mnist" in out
    assert "no stored photographs" in err
    assert "rows are in" in err


@pytest.mark.parametrize(("error", "expected"), [(UsageError("nothing to show"), 3), (RuntimeError("a bug"), 5)])
def test_a_table_that_fails_hides_no_failed_cell(tmp_path, capsys, monkeypatch, error, expected):
    make = tables.make

    def fail(name, results):
        if name == "cost":
            raise error
        return make(name, results)

    monkeypatch.setattr(tables, "make", fail)
    code, out, err = run(tmp_path, {**SUITE, "tables": ["cost", "accuracy"]}, capsys)
    assert code == expected  # a bug is one, whatever has failed before it
    assert "failed: mnist · lenet_mnist · nowhere: " in err
    assert str(error) in err
    if expected == 3:  # the other tables are printed
        assert "lenet_mnist" in out
