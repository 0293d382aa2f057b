"""The page: what it answers, that it needs nothing else, and that nothing in it can run."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from robustbench_lite.figures.svg import round_up
from robustbench_lite.report.page import page
from robustbench_lite.report.pictures import MOST, pictures, specimen
from robustbench_lite.report.ranking import rankings
from robustbench_lite.results.naming import called
from robustbench_lite.results.store import Store, read
from tests.helpers import ROOT, cli
from tests.results.test_store import older
from tests.synthetic import cell_row, example, sample_rows, two, write


class Seen(HTMLParser):
    """Every tag with its attributes, and whether the tags that must be closed are."""

    void = frozenset({"meta", "img", "input", "br", "line", "rect", "circle", "polyline", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag


def test_a_ranking_answers_and_says_what_is_a_tie(tmp_path):
    (clear,) = rankings(two(tmp_path / "a"))
    assert [entry.model for entry in clear.entries] == ["lenet", "fc"]
    assert [entry.estimate.value for entry in clear.entries] == [0.8, 0.4]
    assert not clear.entries[1].tied
    assert clear.threat == "linf at most 0.1"
    (close,) = rankings(two(tmp_path / "b", right=(16, 14)))
    assert close.entries[1].tied
    assert close.answer == "lenet and fc cannot be told apart (p = 0.5): 80.0 and 70.0 % of the images stay right"
    assert "This may be chance" in close.lead
    assert clear.answer == "lenet holds out best: 80.0 % of the images stay right"
    assert clear.lead.startswith("lenet is 40.0 points [")
    assert "ahead of fc on the same 20 images. This is a real difference (exact McNemar test, p = 0.0078)" in clear.lead


def test_many_comparisons_need_more_evidence(tmp_path):
    for i, right in enumerate((6, 0, 0, 0, 0)):  # one in five is ahead by six images: McNemar's p is 0.03
        cell = cell_row(f"c{i}", f"m{i}", "pgd", norm="linf", eps=0.1)
        write(tmp_path, cell, clean_correct=True, adv_pred=[0] * right + [2] * (20 - right))
    Store(tmp_path).write_run({"models": [f"m{i}" for i in range(5)]})
    (ranking,) = rankings(read(tmp_path))
    assert [entry.tied for entry in ranking.entries] == [False, True, True, True, True]
    said = "None of 5 classifiers stands out (p ≥ 0.12): 0.0 to 30.0 % of the images stay right"
    assert ranking.answer == said  # four times 0.03125
    assert "ahead of m1 (and 3 others with the same value)" in ranking.lead
    assert "This may be chance (exact McNemar test, adjusted for 4 comparisons, p = 0.12)" in ranking.lead


def test_the_strongest_attack_counts_per_sample(tmp_path):
    for name, wrong in (("pgd", range(5)), ("fgsm", range(3, 9))):
        cell = cell_row(name, "lenet", name, norm="linf", eps=0.1, params="{}")
        write(tmp_path, cell, clean_correct=True, adv_pred=[2 if i in wrong else 0 for i in range(20)])
    Store(tmp_path).write_run({"models": ["lenet"]})
    (ranking,) = rankings(read(tmp_path))
    assert ranking.entries[0].estimate.value == pytest.approx(11 / 20)  # 0 to 8 are broken by one or the other


def viewed(folder, right, n):
    """Two attacks in 100 views of n images; `right`: of each classifier under the stronger, the other leaves 90."""
    for model, left in right.items():
        for attack, label in (("pgd", 90), ("eot", left)):
            cell = cell_row(f"{model}-{attack}", model, attack, norm="linf", eps=0.1, goal="target")
            views = {"draws": 100, "draws_label": label, "draws_target": 95 - label, "clean_draws_label": 95}
            write(folder, cell, n=n, clean_correct=True, adv_pred=2, **views)
    Store(folder).write_run({"models": list(right)})
    (found,) = rankings(read(folder))
    return found


def test_where_images_were_seen_in_views_those_count(tmp_path):
    alone = viewed(tmp_path / "one", {"lenet": 5}, 20)
    assert (alone.threat, alone.draws, alone.metric) == (
        "linf at most 0.1, in random views", 100, "accuracy in fresh random views",
    )  # fmt: skip
    assert alone.answer == "lenet: 5.0 % of the views stay right"
    assert alone.lead == ("Goal reached in 90.0 [90.0, 90.0]\u00a0% of the views (eot), 5.0 [5.0, 5.0]\u00a0% (pgd).")
    assert (round(alone.entries[0].clean, 6), alone.entries[0].estimate.n) == (0.95, 20)
    assert "95.0\u00a0% right before, n=20 \u00d7 100 views" in page([read(tmp_path / "one")])


def test_of_one_image_the_views_tell_classifiers_apart(tmp_path):
    clear, close = (
        viewed(tmp_path / "a", {"lenet": 60, "fc": 20}, 1),
        viewed(tmp_path / "b", {"lenet": 22, "fc": 20}, 1),
    )
    assert [entry.tied for entry in clear.entries] == [False, False] and clear.test.startswith("Newcombe")
    assert "lenet is 40.0 points [26.8, 51.2] ahead of fc on the same image. This is a real difference" in clear.lead
    assert "p < 0.001" in clear.lead and "p = 0.73" in close.lead  # 22 and 20 of 100: z is 0.35 with Wilson's intervals
    assert [entry.tied for entry in close.entries] == [False, True] and "This may be chance" in close.lead


def test_black_boxes_rank_those_who_were_not_seen(tmp_path):
    cell = cell_row("c", "fc", "ensemble", norm=None, goal="label", models=["lenet", "fc"], sources=["fc"])
    rows = [row | {"model": m, "clean_correct": True} for m in ("lenet", "fc") for row in sample_rows(cell)]
    Store(tmp_path).write("c", rows, cell)
    Store(tmp_path).write_run({"models": ["lenet", "fc"]})
    found = {ranking.threat: [entry.model for entry in ranking.entries] for ranking in rankings(read(tmp_path))}
    assert found["images made for other classifiers (black box)"] == ["lenet"]


def test_the_page_needs_nothing_else_and_every_tag_is_closed(tmp_path):
    text = page([two(tmp_path)])
    seen = Seen(text)
    assert seen.open == []
    for tag, attributes in seen.tags:
        assert tag not in {"link", "iframe", "object", "embed"}
        assert (attributes.get("src") or "data:").startswith("data:image/png;base64,") or not attributes.get("src")
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for _, attributes in seen.tags if "href" in attributes}
    assert links <= set(ids)
    images = [attributes for tag, attributes in seen.tags if tag == "img"]
    assert images
    assert all(attributes["alt"] and attributes["width"] and attributes["height"] for attributes in images)
    assert text == page([read(tmp_path)])  # the same results, the same bytes


def test_two_runs_say_what_changed_between_them(tmp_path):
    text = page([two(tmp_path / "a"), two(tmp_path / "b", right=(6, 8))])
    assert "b loses 10 and wins 0 of 20 images beside a under pgd (mnist, lenet): certain" in text
    assert "What changed from a to b" in text and "two (a)" in text and "two (b)" in text
    assert "-50.0 [" in text
    assert text.count("certainly worse") >= 2  # in the legend of the chart, and in its data
    named = page(called([read(tmp_path / "a"), read(tmp_path / "b")], {(tmp_path / "a").resolve(): "v1"}))
    assert "What changed from v1 to b" in named and "lenet (v1)" in named
    assert Seen(text).open == []
    cell = cell_row("x", "other", "deepfool")
    write(tmp_path / "c", cell)
    Store(tmp_path / "c").write_run({"models": ["other"], "name": "c"})
    assert "What changed" not in page([read(tmp_path / "a"), read(tmp_path / "c")])


def test_names_cannot_run(tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    cell = cell_row("c", evil, "pgd", norm="linf", eps=0.1, warnings=[evil], notes=[evil], dataset=evil)
    write(tmp_path, cell, images=3)
    run = {"models": [evil], "title": evil, "text": evil, "command": evil, "tables": ["accuracy"], "name": evil}
    Store(tmp_path).write_run(run)
    text = page([read(tmp_path)])
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert sum(tag == "script" for tag, _ in Seen(text).tags) == 1


def test_pictures_are_the_exact_pixels_and_a_deterministic_choice(tmp_path):
    results = two(tmp_path, right=(19, 19))
    found, total = pictures(results)
    assert total == 40
    assert len(found) <= MOST
    stored = {row["sample"]: row for row in results.images("lenet").to_pylist()}
    assert found
    for picture in found:
        png = base64.b64decode(picture.clean.partition(",")[2])
        pixels = np.array(Image.open(io.BytesIO(png)))
        assert pixels.tobytes() == stored[picture.sample]["clean"]
        adversarial = np.frombuffer(stored[picture.sample]["adversarial"], "<f4").reshape(4, 4)
        shown = np.array(Image.open(io.BytesIO(base64.b64decode(picture.adversarial.partition(",")[2]))))
        assert np.array_equal(shown, np.floor(adversarial * 255 + 0.5).astype(np.uint8))


def claims(picture):
    """What a picture says: true class, class before, class after."""
    return picture.label, *(text.rpartition(" (")[0] for text in (picture.before, picture.after))


def test_a_picture_that_claims_success_was_right_and_became_wrong(tmp_path):
    wrong = [i < 6 for i in range(20)]  # the goal "reached" where nothing was to be reached, with the smallest change
    label, before = [k % 3 for k in range(20)], [(k + w) % 3 for k, w in enumerate(wrong)]
    after = [b if w else (b + 2) % 3 for b, w in zip(before, wrong, strict=True)]
    for name, columns in {
        "pgd": {"success": True, "adv_pred": after},
        "nothing": {"success": wrong, "adv_pred": before},  # only what was wrong before
    }.items():
        cell = cell_row(name, "lenet", name, norm="linf", eps=0.1, goal="label")
        right = [not w for w in wrong]
        sizes = [0.01 * (k + 1) for k in range(20)]
        write(tmp_path, cell, images=12, label=label, clean_pred=before, clean_correct=right, l2=sizes, **columns)
    names = ["Coat", "Coat", "Bag", *map(str, range(3, 10))]  # two classes of one name are told apart
    Store(tmp_path).write_run({"models": ["lenet"], "classes": {"mnist": names}})
    results = read(tmp_path)
    found, _ = pictures(results)
    by_outcome = {(picture.attack, picture.outcome): picture for picture in found}
    assert {outcome for attack, outcome in by_outcome if attack == "pgd"} == {
        "easiest", "median", "hardest", "wrong before",
    }  # fmt: skip
    assert {outcome for attack, outcome in by_outcome if attack == "nothing"} == {"failed", "wrong before"}
    assert (by_outcome["pgd", "easiest"].sample, by_outcome["pgd", "hardest"].sample) == ("s006", "s011")
    for picture in found:
        true, was, became = claims(picture)
        if picture.outcome in {"easiest", "median", "hardest"}:
            assert was == true and became != was
        assert (picture.outcome == "wrong before") == (was != true)
    shown = specimen(results, [("lenet", "nothing"), ("lenet", "pgd")])
    assert shown is not None and shown.attack == "pgd"
    assert specimen(results, [("lenet", "nothing")]) is None
    assert "there is no picture" not in page([results])
    pgd = next((tmp_path / "samples").glob("pgd*"))
    pgd.unlink()
    assert "No stored image was right before and wrong after it, so that there is no picture." in page([read(tmp_path)])


def test_the_example_is_of_the_strongest_attack_on_the_best_and_can_be_seen(tmp_path):
    for model, attack, right, linf in (
        ("best", "weak", 15, 0.1), ("best", "strong", 8, [0.001 * k for k in range(20)]), ("worse", "strong", 2, 0.1),
    ):  # fmt: skip
        after = [2 if k < 20 - right else 0 for k in range(20)]
        cell = cell_row(f"{model}-{attack}", model, attack, norm="linf", eps=0.1, goal="label")
        write(tmp_path, cell, images=20, clean_pred=0, clean_correct=True, adv_pred=after, linf=linf,
              success=[p == 2 for p in after], success_8bit=[p == 2 and k != 11 for k, p in enumerate(after)],
              l2=[float(k) for k in range(20)])  # fmt: skip
    Store(tmp_path).write_run({"models": ["best", "worse"]})
    results = read(tmp_path)
    wanted = [("best", "best-weak"), ("best", "best-strong"), ("worse", "worse-strong")]
    shown = specimen(results, wanted)
    assert (shown.model, shown.attack) == ("best", "strong")
    # 0 to 11 are broken: none of them can be seen (8/255 is 0.031), so the median of all
    assert shown.sample == "s006"
    assert shown.label == "0" and shown.before.startswith("0 (") and shown.after.startswith("2 (")


def test_half_finished_failed_and_empty_runs_say_so(tmp_path):
    half = page([example(tmp_path / "half")])
    assert "This run is not finished: 5 of 6 cells" in half
    assert "<b>1 cell failed:</b> ModelError: logits are not finite" in half
    assert "mnist · fc · fgsm" in half
    Store(tmp_path / "empty").write_run({"cells": [], "name": "empty"})
    assert "No cell of this run is finished" in page([read(tmp_path / "empty")])


def test_an_older_schema_and_a_foreign_file_do_not_break_the_page(tmp_path):
    import pyarrow.parquet as pq

    two(tmp_path)
    for path in (tmp_path / "samples").glob("*.parquet"):
        older(path, pq.read_table(path).drop_columns(["label_rank", "target_rank"]))
    (tmp_path / "cells" / "foreign.parquet").write_bytes(b"not a table")
    text = page([read(tmp_path)])
    assert "lenet holds out best" in text
    assert "foreign.parquet" in text


@pytest.mark.parametrize(
    ("value", "end"), [(0.173, 0.2), (0.11, 0.12), (2.9, 4), (1.0, 1.2), (9, 12), (0, 1), (float("inf"), 1)]
)
def test_axes_end_at_round_numbers(value, end):
    assert round_up(value) == pytest.approx(end)


def test_the_verb(tmp_path):
    two(tmp_path / "run")
    out = tmp_path / "reports" / "r.html"
    done = cli("report", str(tmp_path / "run"), "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out)
    assert out.stat().st_size > 10_000
    two(tmp_path / "several" / "one")
    two(tmp_path / "several" / "two", right=(6, 8))
    (tmp_path / "several" / "notes").mkdir()
    assert cli("report", str(tmp_path / "several"), "-o", str(out)).returncode == 0  # all that are in there
    assert "What changed from one to two" in out.read_text()
    one, two_ = (f"{name}={tmp_path / 'several' / folder}" for name, folder in (("v1", "one"), ("v2", "two")))
    assert cli("report", str(tmp_path / "several"), "-o", str(out), "--label", one, "--label", two_).returncode == 0
    assert "What changed from v1 to v2" in out.read_text()
    nothing = cli("report", str(tmp_path / "several" / "notes"), "-o", str(out))
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("error: ")
    assert all(line.startswith("next: ") for line in nothing.stderr.splitlines()[1:])
    missing = cli("report", str(tmp_path / "nowhere"))
    assert missing.returncode == 2
    assert "no such folder" in missing.stderr


@pytest.mark.parametrize("verb", ["report", "compare", "table"])
def test_verbs_on_results_do_not_import_torch(tmp_path, verb):
    two(tmp_path / "run")
    folder, out = str(tmp_path / "run"), str(tmp_path / "r.html")
    arguments = {
        "report": ["report", folder, "-o", out],
        "compare": ["compare", f"{folder}:lenet", f"{folder}:fc"],
        "table": ["table", folder, "trust"],
    }[verb]
    code = (
        "import sys\nfrom robustbench_lite.cli.verbs import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as e: assert e.code == 0, e.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
