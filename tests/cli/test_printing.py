"""What the command line prints of results: as wide as the terminal, as asked for, and what no table shows."""

from __future__ import annotations

import csv
import io

import pytest

from robustbench_lite.cli.verbs import main
from robustbench_lite.results import glossary
from robustbench_lite.results.store import Store, read
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.render import render
from robustbench_lite.tables.values import left_out, number
from tests.helpers import ROOT
from tests.synthetic import cell_row, example, put, two


@pytest.fixture(autouse=True)
def _nobody_says_how_wide(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


def printed(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code, capsys.readouterr()


def ensemble(folder):
    """A cell attacked through two classifiers, that no table of single classifiers shows."""
    put(Store(folder), cell_row("a1"))
    put(Store(folder), cell_row("b1", "lenet + fc", "mifgsm", sources=["lenet", "fc"], models=["lenet"], eps=0.1))
    put(Store(folder), cell_row("c1", attack="deepfool", status="failed", error="no"))
    Store(folder).write_run({"models": ["lenet"], "tables": ["rho_adv"], "cells": ["a1", "b1", "c1"]})
    return read(folder)


def test_a_cell_that_no_table_shows_is_said(tmp_path):
    results = ensemble(tmp_path)
    rho = tables.make("rho_adv", results)
    assert left_out(results, [rho]) == "1 finished cell stands in no table above: mifgsm on lenet + fc (mnist)"
    assert left_out(results, [rho, tables.make("trust", results)]).startswith("1 finished")  # a check is no result
    assert left_out(results, [rho, tables.make("accuracy", results)]) == ""
    assert left_out(results, []).startswith("2 finished cells stand in no table above: deepfool on lenet (mnist); mif")


@pytest.mark.parametrize("name", [name for name in tables if name not in {"trust", "cost"}])
def test_every_table_says_which_cells_it_shows(tmp_path, name):
    made = tables.make(name, example(tmp_path))
    assert bool(made.cells) == bool(made.rows)


def test_run_says_what_it_did_not_show(tmp_path, capsys):
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "version: 1\nname: mix\ndata: {mnist: {samples: 4}}\nmodels: [lenet_mnist, fc500_150_10_mnist]\n"
        "attacks: [deepfool, {fgsm: {epsilon: 0.1}}]\ntables: [rho_adv]\nimages: none\n"
    )
    command = ("run", suite, "--results", tmp_path / "r", "--device", "cpu", "--set", "tables=[accuracy]")
    code, out = printed(capsys, *command)
    assert code == 0 and "stand in no table" not in out.out
    code, out = printed(capsys, "run", suite, "--results", tmp_path / "r", "--device", "cpu")
    said = " ".join(out.out.split())
    assert code == 0 and "2 finished cells stand in no table above: fgsm" in said
    assert (f"`robustbench-lite table {tmp_path / 'r' / 'mix'} accuracy` shows them") in said


def test_tables_are_as_wide_as_columns_says(tmp_path, capsys, monkeypatch):
    example(tmp_path)
    for width in (40, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        for name in ("rho_adv", "accuracy", "cost", "trust"):
            code, out = printed(capsys, "table", tmp_path, name)
            assert code == 0 and max(map(len, out.out.splitlines())) <= width
    monkeypatch.delenv("COLUMNS")
    whole = render(tables.make("rho_adv", read(tmp_path)), "text")
    assert printed(capsys, "table", tmp_path, "rho_adv")[1].out.startswith(whole)


def test_a_table_as_it_is_asked_for(tmp_path, capsys):
    two(tmp_path / "run")
    command = ("table", tmp_path / "run", "accuracy", "--format", "csv")
    _, out = printed(capsys, *command, "--columns", "robust, n", "--no-intervals")
    rows = list(csv.DictReader(io.StringIO(out.out)))
    assert list(rows[0]) == ["model", "dataset", "card", "attack", "robust", "n", "kind", "note"]
    assert [row["robust"] for row in rows] == ["80.0", "40.0"]
    file = tmp_path / "deep" / "t.tex"
    code, out = printed(capsys, "table", tmp_path / "run", "accuracy", "--format", "latex", "--transpose", "-o", file)
    assert (code, out.out) == (0, f"{file}\n")
    assert "robust (\\%) & 80.0 [58.4, 91.9]" in file.read_text()
    code, out = printed(capsys, "table", tmp_path / "run", "accuracy", "--columns", "robst")
    assert code == 2 and "no column 'robst'; did you mean 'robust'?" in out.err


def test_tiny_numbers_are_not_zero():
    assert number(3.21e-15, 2).text == "3.2e-15"
    assert [number(value, 2).text for value in (0.0, 0.00012, 1.0)] == ["0", "0.00012", "1.0"]


def test_words_are_explained_where_they_are_met(tmp_path, capsys):
    example(tmp_path)
    _, out = printed(capsys, "table", tmp_path, "cost")
    assert (
        "words: card, zero gradient, passes: `robustbench-lite describe WORD`, docs/glossary.md" in out.out
    )  # in its remark
    said = " ".join(out.out.split()).partition("words: ")[2]
    for word in said.partition(": `")[0].split(", "):
        code, out = printed(capsys, "describe", word)
        assert code == 0 and out.out.startswith(f"{word}: ")
    assert "words:" not in printed(capsys, "table", tmp_path, "cost", "--format", "markdown")[1].out


def test_the_glossary_of_the_docs_is_the_one_of_the_package():
    assert (ROOT / "docs" / "glossary.md").read_text() == glossary.markdown()
    for word in ("cell", "card", "sources", "bracket", "near tie", "survives in 8 bits", "rho_adv", "white box",
                 "black box", "threat model", "goal", "budget", "judge", "variant"):  # fmt: skip
        assert word in glossary.WORDS
    assert glossary.explained("ties; 2 near ties in the cells; discards") == ["cell", "near tie"]
