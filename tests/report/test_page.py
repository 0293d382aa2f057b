"""What a reader finds on the page: overview, navigation, axes, colours, causes of failure, warnings, pictures."""

from __future__ import annotations

import json
import re

import pytest

from robustbench_lite.report.answers import answers, ends
from robustbench_lite.report.comparison import comparison
from robustbench_lite.report.page import page
from robustbench_lite.report.pictures import pictures, specimen
from robustbench_lite.report.ranking import rankings
from robustbench_lite.report.robustness import by_size
from robustbench_lite.report.strength import limits
from robustbench_lite.report.trust import failures, trust
from robustbench_lite.results.store import Store, read
from robustbench_lite.runner.run import run
from tests.results.test_worst_case import INF, plant, run_of
from tests.synthetic import cell_row, example, two, write


def minimal(folder, rho, **changes):
    """One classifier under DeepFool, all of whose sizes are `rho`."""
    cell = cell_row("m", "lenet", "deepfool", goal="label", **changes)
    write(folder, cell, rho=rho, l2=rho, clean_correct=True, adv_pred=2, success=True)
    Store(folder).write_run({"models": ["lenet"], "name": folder.name, "cells": ["m"], "finished": "now"})
    return read(folder)


def test_the_same_quantity_ends_at_the_same_place_all_over_a_page(tmp_path):
    runs = [two(tmp_path / "a"), two(tmp_path / "b", right=(2, 0)), minimal(tmp_path / "c", 0.1)]
    runs.append(minimal(tmp_path / "d", 0.9))
    tops = ends(runs)
    ticks = [it["ticks"] for results in runs for it in answers(results, tops)]
    assert ticks[0] == ticks[1] == ["0\u00a0%", "50\u00a0%", "100\u00a0%"]  # a share, however small
    assert ticks[2] == ticks[3] != ticks[0]
    assert limits(runs).size == limits(runs).middle == {"l2": pytest.approx(1.2)}
    text = page(runs)
    ended = re.findall(r'text-anchor="middle">([\d.]+)</text><text [^>]*>l2 size', text)
    assert len(ended) == 2 and set(ended) == {"1.2"}


def test_robust_accuracy_against_the_budget_stands_beside_what_each_attack_broke(tmp_path):
    """Of five samples one was wrong before, one is never broken; a budget lowers what the smallest sizes say."""
    clean = [False, True, True, True, True]
    plant(tmp_path, "deepfool", [0.0, 0.1, 0.3, 0.4, INF], clean=clean)
    plant(tmp_path, "pgd", [0.0, INF, 0.2, INF, INF], clean=clean, eps=0.2)
    plant(tmp_path, "fc", [0.1] * 4 + [INF], eps=0.1, model="fc")
    results = run_of(tmp_path)
    found = list(by_size(results, limits([results])))
    assert [one.title for one in found] == [
        "mnist: robust accuracy against the linf budget",
        "mnist: share of samples broken against the linf size",
    ]
    one = found[0]
    assert one.says.startswith("n = 5;") and "worst case over deepfool, pgd and fc" in one.says
    assert [name for name, *_ in one.legend] == ["lenet", "fc"]
    rows = {row["epsilon"].value: row for row in one.table.rows}
    shares = [rows[epsilon]["lenet"].value for epsilon in (0.0, 0.1, 0.2, 0.4)]
    assert shares == [80, pytest.approx(60), pytest.approx(40), pytest.approx(20)]
    assert all(row["lenet"].low < row["lenet"].value < row["lenet"].high for row in rows.values())
    assert rows[0.1]["fc"].value == pytest.approx(20) and rows[0.2]["fc"].value is None
    (stairs,) = re.findall(r'<polyline points="([^"]*)" fill="none" stroke="#0072B2"', one.chart)
    heights = [float(point.split(",")[1]) for point in stairs.split()]
    assert heights == sorted(heights) and heights[0] == heights[1] and len(set(heights)) == 4
    assert one.chart.count("<polygon") == 1 and one.chart.count("<circle") == 2  # fc: a mark at 0 and at its budget
    text = page([results])
    assert text.index(found[0].title) < text.index(found[1].title)


def test_a_curve_of_which_no_number_stands_says_so(tmp_path):
    plant(tmp_path, "deepfool", [0.1, 0.2, INF, INF])  # without a budget
    results = run_of(tmp_path)
    one, _ = by_size(results, limits([results]))
    assert [name for name, *_ in one.legend] == ["lenet, does not stand"]
    assert any("does not stand" in note for note in one.table.footnotes)


def test_without_smallest_sizes_there_is_no_curve(tmp_path):
    results = two(tmp_path)
    assert not list(by_size(results, limits([results])))
    assert "against the linf budget" not in page([results])


def test_colours_say_best_tied_worse_and_red(tmp_path):
    def states(results):
        return [row["state"] for row in answers(results, ends([results]))[0]["rows"]]

    assert states(two(tmp_path / "clear")) == ["best", "worse"]
    assert states(two(tmp_path / "close", right=(16, 14))) == ["tied", "tied"]
    for name in ("zero", "one"):
        warned = {"warnings": ["clean accuracy 10 % is far from the card's 99 %"]} if name == "one" else {}
        cell = cell_row(name, name, "pgd", norm="linf", eps=0.1, goal="label", params="{}", **warned)
        write(tmp_path / "red", cell, clean_correct=True, adv_pred=0, success=False)
    Store(tmp_path / "red").write_run({"models": ["zero", "one"]})
    results = read(tmp_path / "red")
    assert states(results) == ["only", "red"]
    text = page([results])
    assert '<i class="dot red"' in text and "The number of one does not stand; do not quote it." in text


def test_one_notice_a_cause(tmp_path):
    for i, (model, cause) in enumerate([("a", "no file"), ("a", "no file"), ("b", "moon"), ("a", "no file")]):
        Store(tmp_path).write(
            f"c{i}", [], cell_row(f"c{i}", model, f"x{i}", status="failed", error=cause, traceback=f"raise {cause}")
        )
    Store(tmp_path).write_run({"cells": ["c0", "c1", "c2", "c3"], "finished": "now"})
    results = read(tmp_path)
    assert [(it["cause"], len(it["cells"])) for it in failures(results)] == [("no file", 3), ("moon", 1)]
    text = page([results])
    assert text.count('class="notice bad"') == 2
    assert text.count("raise no file") == text.count("raise moon") == 1
    assert "<b>3 cells failed:</b> no file" in text and "<b>1 cell failed:</b> moon" in text


def test_warnings_are_folded_by_check_the_worst_first(tmp_path):
    said = trust(example(tmp_path))
    order = [check["level"] for check in said["checks"]]
    assert order == sorted(order, key=["doubt", "warning", "unknown", "ok"].index) and set(order) > {"ok", "warning"}
    for check in said["checks"]:
        named = [cell for _, _, _, cells in check["findings"] for cell in cells]
        assert len(named) == sum(check["counts"].values()) == 4  # finished cells
        assert len({(level, text) for level, _, text, _ in check["findings"]}) == len(check["findings"])
    text = page([read(tmp_path)])
    assert text.count('<details class="check') == len(said["checks"])
    assert said["line"] in text


def test_many_runs_open_with_a_line_each_and_links_are_in_page_order(tmp_path):
    runs = [two(tmp_path / name / "ci") for name in ("monday", "tuesday")] + [minimal(tmp_path / "c", 0.1)]
    runs.append(example(tmp_path / "half"))
    text = page(runs)
    overview = text[text.index('<ul class="overview">') : text.index("</ul>")]
    assert overview.count("<li>") == 4
    assert "not finished" in overview and "1 failed" in overview and "lenet holds out best" in overview
    assert "monday" in overview and "tuesday" in overview  # of one name: what tells their folders apart
    for many in (runs, runs[:1], runs[2:3]):
        text = page(many)
        place = {
            name: at.start() for at in re.finditer(r'<(?:section|article) id="([^"]+)"', text) for name in at.groups()
        }
        for nav in re.findall(r"<nav .*?</nav>", text, re.DOTALL):
            links = [link for link in re.findall(r'href="#([^"]+)"', nav) if "overview" not in link]
            assert [place[link] for link in links] == sorted(place[link] for link in links)


def test_what_never_changes_is_said_once(tmp_path):
    text = page([two(tmp_path)])
    table = text[text.index('data-name="accuracy"') :]
    assert "in every row: dataset mnist, attack" not in table  # the names of the rows stay
    assert re.search(r"<small>in every row: dataset mnist, .*n 20", table)
    assert '<th scope="col"><button type="button">dataset' not in table[: table.index("</figure>")]


def test_flipped_samples_have_pictures(tmp_path):
    found = comparison([two(tmp_path, right=(16, 2))])
    assert found is not None
    rows = json.loads(str(found.json))
    lenet, fc = rows["cells"]
    assert set(lenet["pictures"]) == set(fc["pictures"]) == {"2"}  # of 3 with an image, one was right for one only
    before, after = lenet["pictures"]["2"]
    assert before == fc["pictures"]["2"][0] != after and len(rows["pictures"]) > max(before, after)


def test_comparing_starts_where_there_is_something_to_see(tmp_path):
    for i, right in enumerate((8, 8, 3)):
        cell = cell_row(f"c{i}", f"m{i}", "pgd", norm="linf", eps=0.1)
        write(tmp_path, cell, clean_correct=True, adv_pred=[0] * right + [2] * (20 - right))
    Store(tmp_path).write_run({"models": ["m0", "m1", "m2"]})
    found = comparison([read(tmp_path)])
    assert found is not None and found.entries[found.against] == "m2"


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """A small run of everything that makes another kind of picture, with images that were wrong before."""
    suite = {
        "version": 1, "name": "kinds", "data": {"fashion_mnist": {"samples": 24}},
        "models": ["resnet8_fashion", "vgg_fashion"],
        "attacks": [
            {"spatial": {"search": "worst_of_k", "k": 3}}, {"fgsm": {"epsilon": 0.05}}, {"deepfool": {"steps": 20}},
            {"pgd": {"epsilon": 0.05, "steps": 3, "target": "random"}},
            {"ensemble": {"sources": ["resnet8_fashion"], "steps": 5}},
        ],
    }  # fmt: skip
    return [run(suite, results=tmp_path_factory.mktemp("bundled"), device="cpu")]


def test_every_picture_of_a_success_was_right_and_became_wrong(bundled):
    seen = 0
    for results in bundled:
        everything = [
            picture for picture in pictures(results)[0] if picture.outcome in {"easiest", "median", "hardest"}
        ]
        for ranking in rankings(results):
            shown = specimen(results, [(entry.model, cell) for entry in ranking.entries for cell in entry.cells])
            everything += [shown] if shown else []
        for picture in everything:
            before, after = (text.rpartition(" (")[0] for text in (picture.before, picture.after))
            assert before == picture.label != after
            seen += 1
    assert seen > 20
    assert any(picture.outcome == "wrong before" for results in bundled for picture in pictures(results)[0])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"brightness": -0.001, "contrast": 0.0, "saturation": 0.0, "hue": -133.2}, "hue -133\u00b0"),
        ({"brightness": 0.2, "contrast": -0.3, "saturation": 0.1, "hue": 0.2},
         "brightness +0.20, contrast -30\u00a0%, saturation +10\u00a0%"),
        ({"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}, "colours as they were"),
    ],
)  # fmt: skip
def test_colours_that_stayed_are_not_named(tmp_path, made, said):
    cell = cell_row("c", "lenet", "recolor", goal="label", norm=None)
    write(tmp_path, cell, images=3, clean_correct=True, adv_pred=2, success=True, transform=json.dumps(made))
    Store(tmp_path).write_run({"models": ["lenet"], "cells": ["c"], "finished": "now"})
    found, _ = pictures(read(tmp_path))
    assert {picture.size for picture in found} == {said}
