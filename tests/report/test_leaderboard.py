"""Leaderboards and the site: worst cases, who cannot be told from the first, links that lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from robustbench_lite.cli.exit import exit_code
from robustbench_lite.cli.verbs import cli
from robustbench_lite.report.leaderboard import boards
from robustbench_lite.report.model_info import model_infos
from robustbench_lite.report.page import page
from robustbench_lite.report.site import site
from robustbench_lite.results.naming import called
from robustbench_lite.results.statistics import wilson
from robustbench_lite.results.store import Store, read
from tests.synthetic import cell_row, two, write

KEYS = {
    "link", "name", "authors", "additional_data", "number_forward_passes", "dataset", "venue", "architecture", "eps",
    "clean_acc", "reported", "footnote",
}  # fmt: skip


def attacked(folder, right, *, eps=0.1, norm="linf", attack="pgd", first=0, **changes):
    """Classifiers, each with how many of 20 images stay right (a list of flags: which), in a run of their own."""
    for model, held in right.items():
        flags = [i < held for i in range(20)] if isinstance(held, int) else held
        row = cell_row(f"{folder.name}-{model}-{attack}", model, attack, norm=norm, eps=eps, goal="label", **changes)
        after, ids = [0 if flag else 2 for flag in flags], [f"s{first + i:03}" for i in range(20)]
        own = {"clean_correct": True, "adv_pred": after, "success": [not flag for flag in flags], "sample": ids}
        size = {norm: [eps] * 20}
        write(folder, row, images=2, **own, **size)
    cells = sorted(Store(folder).cells(), key=lambda cell: not cell.endswith("pgd"))
    Store(folder).write_run({"name": folder.name, "models": list(right), "cells": cells, "finished": "now"})
    return read(folder)


def test_runs_meet_on_one_board_and_a_red_number_has_no_rank(tmp_path):
    monday = attacked(tmp_path / "monday", {"lenet": 12, "fc": 2})
    warned = {"warnings": ["clean accuracy 10 % is far from the card's 99 %"]}
    tuesday = attacked(tmp_path / "tuesday", {"masked": 20}, **warned)
    (board,) = boards(called([monday, tuesday]))
    assert board.name == "mnist: linf at most 0.1"
    assert [(one.model, one.called, one.state) for one in board.standings] == [
        ("lenet", "monday", "first"), ("fc", "monday", "worse"), ("masked", "tuesday", "red"),
    ]  # fmt: skip
    first, second, red = board.standings
    assert first.robust == wilson(12, 20) and second.robust == wilson(2, 20) and first.clean == wilson(20, 20)
    assert first.passes == 5.0 and first.seconds == 0.5  # 60 forward and 40 backward passes for 20 images
    assert "clean accuracy" in red.red and red.trust == ("doubt", "does not stand")
    assert board.answer.startswith("lenet is first: 60.0 [")


def test_within_a_run_the_strongest_attack_counts_for_each_image(tmp_path):
    attacked(tmp_path / "run", {"lenet": [True] * 10 + [False] * 10})
    results = attacked(tmp_path / "run", {"lenet": [False] * 5 + [True] * 15}, attack="apgd")
    (board,) = boards([results])
    (one,) = board.standings
    assert one.robust == wilson(5, 20) and set(one.attacks) == {"pgd", "apgd"} and one.passes == 10


def test_who_cannot_be_told_from_the_first_is_tested_on_the_images_of_both(tmp_path):
    """Of 20 images each, 10 common: no test without them, and none by intervals."""
    a = attacked(tmp_path / "a", {"net": 19})
    b = attacked(tmp_path / "b", {"net": 18})
    c = attacked(tmp_path / "c", {"net": [False] * 20}, first=10)
    d = attacked(tmp_path / "d", {"net": 17}, first=50)
    (board,) = boards(called([a, b, c, d]))
    said = {one.called: (one.state, one.beside) for one in board.standings}
    assert said["a"] == ("first", "")
    assert said["b"] == ("tied", "cannot be told from the first (p = 1, 20 images)")
    assert said["c"][0] == "worse" and said["c"][1].endswith("10 images)")  # 9 lost, none won: p = 3 x 2 / 2^9
    assert said["d"] == ("apart", "on other images than the first")
    assert "b" not in board.answer.split(";")[0] and "net cannot be told from it" in board.answer
    assert any("not all were attacked on the same images" in text.lower() for text in board.cautions)


def test_other_norms_and_budgets_are_other_boards_and_other_attacks_are_said(tmp_path):
    a = attacked(tmp_path / "a", {"x": 5})
    attacked(tmp_path / "a", {"x": 8}, eps=0.2, attack="far")
    a = attacked(tmp_path / "a", {"x": 9}, eps=0.5, norm="l2", attack="round")
    b = attacked(tmp_path / "b", {"y": 5})
    found = boards(called([a, b]))
    assert [board.threat for board in found] == ["l2 at most 0.5", "linf at most 0.1", "linf at most 0.2"]
    assert [len(board.cautions) for board in found] == [0, 1, 0]
    assert "did not" not in found[1].answer and "met fewer" in found[1].cautions[0]


def test_robustbench_s_form(tmp_path):
    a = attacked(tmp_path / "a", {"net": 12}, eps=8 / 255)
    attacked(tmp_path / "a", {"net": 11}, eps=8 / 255, attack="autoattack")
    b = attacked(tmp_path / "b", {"net": 9}, eps=8 / 255)
    warned = {"warnings": ["clean accuracy 10 % is far from the card's 99 %"]}
    c = attacked(tmp_path / "c", {"masked": 20}, eps=8 / 255, **warned)
    files = dict(model_infos(boards(called([read(a.folder), b, c]))))
    assert list(files) == ["8_255/mnist/Linf/net.json", "8_255/mnist/Linf/net-b.json"]
    with_aa, without = files.values()
    assert with_aa.keys() == KEYS | {"external", "autoattack_acc"} and without.keys() == KEYS | {"external"}
    known = {"name": "net", "dataset": "mnist", "eps": "8/255", "clean_acc": "100.00", "external": "55.00"}
    assert {key: with_aa[key] for key in known} == known and with_aa["autoattack_acc"] == "55.00"
    low, high = (f"{100 * end:.2f}" for end in (wilson(11, 20).low, wilson(11, 20).high))
    assert f"55.00 [{low}, {high}] (95 % interval), n=20, worst case over pgd and autoattack" in with_aa["footnote"]


def test_the_form_has_the_fields_that_robustbench_declares(tmp_path):
    """Read from its source: importing it takes packages that need none of ours."""
    if (spec := importlib.util.find_spec("robustbench")) is None or spec.origin is None:
        pytest.skip("needs robustbench")
    source = (Path(spec.origin).parent / "utils.py").read_text(encoding="utf-8")
    (declared,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == "ModelInfo")
    fields = {node.target.id for node in declared.body if isinstance(node, ast.AnnAssign)}
    results = attacked(tmp_path / "a", {"net": 12}, eps=8 / 255, attack="autoattack", dataset="cifar10")
    ((_, said),) = model_infos(boards([results]))
    assert '("external", "autoattack_acc")' in source and said.keys() - fields == {"external"}
    assert all(name.startswith("corruptions") for name in fields - said.keys())


def test_a_page_of_several_runs_has_boards_with_every_number_and_one_of_one_run_has_none(tmp_path):
    runs = [attacked(tmp_path / name, {"lenet": held}) for name, held in (("a", 12), ("b", 8))]
    text = page(runs)
    board = text[text.index('id="leaderboards"') : text.index('id="changes"')]
    assert board.count("<tr") == 3 and 'href="#run1-answer"' in board and 'href="#run2-answer"' in board
    for held in (12, 8):
        robust = wilson(held, 20)
        assert f"<b>{100 * robust.value:.1f}</b> [{100 * robust.low:.1f}, {100 * robust.high:.1f}]" in board
    assert board.count("n=20") >= 2
    assert 'id="leaderboards"' not in page(runs[:1])


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    runs = [two(folder / "plain"), attacked(folder / "Plain", {"<b>$&": 12, "a/../b": 3}), two(folder / "o" / "plain")]
    return dict(site(runs))


def test_every_link_of_the_site_leads_somewhere(pages):
    folders = {path.split("/")[0] for path in pages if "/" in path} - {"model_info"}
    assert len({folder.lower() for folder in folders}) == 3  # for a file system that takes Plain for plain
    ids = {path: set(map(unescape, re.findall(r'id="([^"]*)"', text))) for path, text in pages.items()}
    for path, text in pages.items():
        assert ".." not in path and not path.startswith("/")
        if not path.endswith(".html"):
            json.loads(text)
            continue
        for href in map(unescape, re.findall(r'href="([^"]*)"', text)):
            name, _, anchor = unquote(href).partition("#")
            parts = (path.rsplit("/", 1)[0] + "/" + name if "/" in path else name).split("/")
            target = "/".join(parts[:-3] + parts[-1:] if ".." in parts else parts) if name else path
            assert target in pages, f"{path}: {href}"
            assert not anchor or anchor in ids[target], f"{path}: {href}"


def test_the_site_holds_what_the_page_does_and_each_cell_of_each_classifier(pages):
    own = {name: pages[path] for path in pages if (name := path.partition("/")[2]) and path.startswith("o/")}
    own = own or {path.partition("/")[2]: text for path, text in pages.items() if path.startswith("plain")}
    assert {"index.html", "charts.html", "tables.html", "images.html", "compare.html"} <= own.keys()
    ids = {name: set(re.findall(r'<section id="run1-(\w+)"', text)) for name, text in own.items()}
    assert {"answer", "trust", "provenance"} <= ids["index.html"] and ids["tables.html"] == {"tables"}
    assert 'id="compare-rows"' in own["compare.html"] and 'id="compare-rows"' not in own["index.html"]
    sheet = next(text for name, text in own.items() if name.startswith("classifier-lenet"))
    assert 'id="cell-lenet"' in sheet and "80.0 [" in sheet and "n=20" in sheet


def test_pages_stay_small_where_there_are_many_cells(tmp_path):
    """Twelve classifiers under five attacks: no page of the site has half of what the one page has."""
    rng = np.random.default_rng(0)
    for i in range(12):
        for j in range(5):
            row = cell_row(f"c{i:02}-{j}", f"net{i:02}", f"attack{j}", norm="linf", eps=0.1, goal="label")
            after = rng.integers(0, 3, 100).tolist()
            own = {"clean_correct": True, "adv_pred": after, "success": [one > 0 for one in after]}
            write(tmp_path / "many", row, n=100, images=3, **own)
    Store(tmp_path / "many").write_run({"name": "many", "finished": "now", "models": [f"net{i:02}" for i in range(12)]})
    results = read(tmp_path / "many")
    sizes = {path: len(text.encode()) for path, text in site([results])}
    assert max(sizes.values()) < len(page([results]).encode()) / 2 and len(sizes) > 12 + 6


def test_the_verb_writes_a_site_into_a_folder(tmp_path, capsys):
    two(tmp_path / "r" / "run")
    out = tmp_path / "site"
    ends = lambda where: exit_code(
        lambda: cli.main(["report", str(tmp_path / "r"), "-o", where], standalone_mode=False)
    )
    assert ends(f"{out}/") == 0 and capsys.readouterr().out.strip() == str(out / "index.html")
    assert 'id="leaderboards"' in (out / "index.html").read_text() and (out / "run" / "index.html").is_file()
    said = json.loads((out / "model_info" / "0.1" / "mnist" / "Linf" / "lenet.json").read_text())
    assert said["external"] == "80.00"
    assert ends(str(out)) == 0  # a folder that is there
    assert ends(str(tmp_path / "page.html")) == 0 and (tmp_path / "page.html").is_file()
