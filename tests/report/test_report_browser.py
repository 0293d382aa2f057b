"""The page in a real browser: what a reader does with it, and that it is for every reader."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from statistics import NormalDist

import pytest

from robustbench_lite.report.page import page as html
from robustbench_lite.report.site import site
from robustbench_lite.results.store import Store, read
from robustbench_lite.runner.figure import figure
from robustbench_lite.runner.run import run
from robustbench_lite.tables.compare import compare, side
from tests.browser import shifted
from tests.helpers import ROOT
from tests.synthetic import cell_row, example, two, write

pytestmark = pytest.mark.filterwarnings("ignore")  # playwright's own loop
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra 'dev'")
LONG = "x" * 300
HOSTILE = "<script>alert(1)</script>=cmd()\u202eevil"


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


class Visit:
    """A page that is open, and what went wrong on it."""

    def __init__(self, browser, path, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests, self.errors = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        self.page.goto(path.as_uri())


@pytest.fixture
def visit(browser):
    opened = []

    def go(path, **options):
        opened.append(Visit(browser, path, **{"viewport": {"width": 1280, "height": 800}} | options))
        return opened[-1]

    yield go
    for one in opened:
        one.context.close()
        assert one.errors == []


def save(path, *runs):
    path.write_text(html(runs), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Both shipped digit classifiers under every attack of the DeepFool paper, on a few digits."""
    folder = tmp_path_factory.mktemp("real")
    run(ROOT / "suites" / "deepfool.yaml", results=folder, limit=12, device="cpu")
    return save(folder / "page.html", read(folder / "deepfool"))


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """Rotations with their landscape, and a universal perturbation."""
    folder = tmp_path_factory.mktemp("moved")
    suite = {
        "version": 1,
        "name": "moved",
        "data": {"fashion_mnist": {"samples": 12}},
        "models": ["resnet8_fashion", "vgg_fashion"],
        "attacks": [{"spatial": {"search": "worst_of_k", "k": 3}}, {"universal_sgd": {"fit": 30, "epochs": 2}}],
        "tables": ["spatial", "fooling_rate"],
    }
    results = run(suite, results=folder, device="cpu")
    figure(results.folder, "spatial_landscape", {"points": 7}, "cpu")
    return save(folder / "page.html", read(results.folder))


@pytest.fixture
def small(tmp_path):
    """Two classifiers under a budget, with images, and under a minimal attack."""
    results = two(tmp_path / "run")
    for i, model in enumerate(("lenet", "fc")):
        cell = cell_row(f"{model}min", model, "deepfool", goal="label")
        label, after = [k % 3 for k in range(20)], [(k + 1) % 3 for k in range(20)]
        rho = [0.1 + 0.01 * k + 0.02 * i for k in range(20)]
        columns = {"label": label, "clean_pred": label, "clean_correct": True, "adv_pred": after, "success": True}
        write(results.folder, cell, images=9, rho=rho, **columns)
    Store(results.folder).write_run(
        {"name": "two", "models": ["lenet", "fc"], "cells": ["lenet", "fc", "lenetmin", "fcmin"], "finished": "now",
         "classes": {"mnist": ["zero", "one", "two", *map(str, range(3, 10))]}}
    )  # fmt: skip
    return save(tmp_path / "page.html", read(results.folder)), read(results.folder)


def test_the_page_is_small_quick_still_and_asks_for_nothing(real, visit):
    assert real.stat().st_size < 1_500_000
    seen = visit(real)
    assert seen.requests == [real.as_uri()]
    page = seen.page
    paint = page.evaluate(
        "new Promise(r => new PerformanceObserver(l => r(l.getEntriesByName('first-contentful-paint')[0].startTime))"
        ".observe({type: 'paint', buffered: true}))"
    )
    assert paint < 1000
    assert shifted(page) == 0
    answer = page.locator(".answer").first
    assert "holds out best" in answer.inner_text()
    assert answer.bounding_box()["y"] < 400
    assert page.locator(".example img").first.bounding_box()["y"] < 700  # what an attack looks like, without scrolling


def test_tables_sort_filter_and_copy(small, visit):
    page = visit(small[0], permissions=["clipboard-read", "clipboard-write"]).page
    table = page.locator("figure.table[data-name=accuracy]")
    robust = table.get_by_role("columnheader", name="robust")
    for direction in ("ascending", "descending"):
        robust.get_by_role("button").click()
        assert robust.get_attribute("aria-sort") == direction
        column = [float(text) for text in table.locator("tbody tr").evaluate_all(
            "(rows, at) => rows.map((row) => row.cells[at].dataset.value)",
            robust.evaluate("(head) => head.cellIndex"),
        )]  # fmt: skip
        assert all(a <= b if direction == "ascending" else a >= b for a, b in pairwise(column))
        assert len(set(column)) > 1
    assert table.get_by_role("searchbox").count() == 0  # four rows need none
    copy = table.locator("[data-copy=latex]")
    copy.click()
    sync_api.expect(copy).to_have_text("copied")
    assert page.evaluate("navigator.clipboard.readText()").count("\\begin{tabular}") == 1


def test_rows_are_filtered_and_heads_stay_in_sight(real, visit):
    page = visit(real).page
    table = page.locator("figure.table[data-name=accuracy]")
    box, head = table.locator(".scroll"), table.locator("thead th").nth(1)
    box.evaluate("box => { box.style.maxHeight = '150px'; box.scrollTop = 80; box.scrollLeft = 40; }")
    place = box.bounding_box()
    assert head.bounding_box()["y"] == pytest.approx(place["y"], abs=1)
    assert table.locator("tbody tr").nth(4).locator("td").first.bounding_box()["x"] == pytest.approx(place["x"], abs=1)
    table.get_by_role("searchbox").fill("fc500")
    shown = table.locator("tbody tr:visible").all_inner_texts()
    assert len(shown) == 6
    assert all("fc500" in text for text in shown)


def test_comparing_gives_the_numbers_of_the_verb(small, visit):
    path, results = small
    page = visit(path).page
    page.locator("#compare-key").select_option(label="mnist: pgd (2 classifiers)")
    row = page.locator("#compare-found tbody tr").nth(1)
    heads = page.locator("#compare-found thead").first.locator("th").all_inner_texts()
    found = dict(zip(heads, row.locator("td").all_inner_texts(), strict=True))
    table = compare(side(f"{results.folder}:lenet"), side(f"{results.folder}:fc"))
    wanted = next(row for row in table.rows if row["attack"].text == "pgd")
    assert (int(found["lost"]), int(found["won"])) == (wanted["lost"].value, wanted["won"].value) == (8, 0)
    assert float(found["p (McNemar)"]) == pytest.approx(wanted["p"].value, rel=0.05)
    value, low, high = numbers(found["difference, points"])
    expected = wanted["difference"]
    assert value == pytest.approx(expected.value, abs=0.06)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=5.1)  # one sample of 20 is 5 points
    page.get_by_text("which samples flipped").click()
    assert "right for lenet, wrong for fc: 8" in page.locator("#compare-found").inner_text()

    page.locator("#compare-key").select_option(label="mnist: deepfool (2 classifiers)")
    page.locator("#compare-reference").select_option(label="fc")
    heads = page.locator("#compare-found thead").first.locator("th").all_inner_texts()
    line = page.locator("#compare-found tbody tr").nth(1)
    assert line.locator("th").inner_text() == "lenet"
    value, low, high = numbers(dict(zip(heads, line.locator("td").all_inner_texts(), strict=True))["difference, rho"])
    assert (value, low, high) == pytest.approx((-0.02, -0.02, -0.02), abs=1e-6)
    assert "two (n=6)" in page.locator("#compare-found").inner_text()  # per class, by name
    page.get_by_text("what was taken for what").click()
    first = page.locator("figure", has_text="fc: true class (row)").locator("tbody tr").first
    assert first.inner_text().split() == ["zero", "7"]  # all seven zeros are taken for ones


def numbers(text):
    return [float(part) for part in text.replace("[", " ").replace("]", " ").replace(",", " ").split()]


def test_the_statistics_of_the_page_are_those_of_the_package(small, visit):
    import numpy as np

    from robustbench_lite.results.paired_tests import mcnemar
    from robustbench_lite.results.statistics import bootstrap_mean, wilson

    page = visit(small[0]).page
    for count, n in ((0, 1), (0, 40), (7, 7), (3, 11), (500, 1000)):
        ours, wanted = page.evaluate(f"statistics.wilson({count}, {n})"), wilson(count, n)
        assert (ours["low"], ours["high"]) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    for lost, won in ((0, 0), (5, 0), (8, 3), (40, 22), (900, 1000)):
        assert page.evaluate(f"statistics.mcnemar({lost}, {won})") == pytest.approx(mcnemar(lost, won), rel=1e-9)
    for n in (10, 40, 200):
        values = np.random.default_rng(n).gamma(2, 1, n)
        ours = page.evaluate("(values) => statistics.bootstrap(values)", values.tolist())
        wanted = bootstrap_mean(values)
        assert ours["mean"] == pytest.approx(wanted.value)
        width = wanted.high - wanted.low
        assert (ours["low"], ours["high"]) == pytest.approx((wanted.low, wanted.high), abs=0.08 * width)
    few = page.evaluate("(values) => statistics.bootstrap(values)", values[:9].tolist())
    assert few["low"] is few["high"] is None
    same = page.evaluate("statistics.bootstrap(Array(20).fill(0.25))")
    assert (same["low"], same["high"]) == (0.25, 0.25)
    for share in (1e-6, 0.025, 0.5, 0.8, 0.999):
        assert page.evaluate(f"statistics.deviate({share})") == pytest.approx(NormalDist().inv_cdf(share), abs=1e-9)


def test_the_sizes_of_the_page_are_those_of_the_package(small, visit):
    """Failures count as infinite, and below 99 % success there is no mean."""
    import numpy as np

    from robustbench_lite.results.paired_tests import sign_test
    from robustbench_lite.results.statistics import size_of

    page = visit(small[0]).page
    for failures in (0, 1, 2, 60, 120):
        sizes = np.random.default_rng(failures).random(100)
        sizes[:failures] = np.inf
        wanted = size_of(sizes, np.isfinite(sizes))
        texts = f"[{', '.join('Infinity' if np.isinf(size) else str(size) for size in sizes)}]"
        ours = page.evaluate(
            f"(() => {{ const s = statistics.size({texts}); return [s.statistic, String(s.value)]; }})()"
        )
        assert ours[0] == wanted.statistic
        assert float(ours[1].replace("Infinity", "inf")) == pytest.approx(wanted.estimate.value)
    ours = page.evaluate("statistics.signs([Infinity, Infinity, 3, 1, 1], [2, Infinity, 2, 2, 0])")
    assert (ours["larger"], ours["smaller"], ours["p"]) == (3, 1, sign_test([9, 1, 3, 1, 1], [2, 1, 2, 2, 0]))


def test_images_filter_and_step_with_the_keyboard(small, visit):
    page = visit(small[0]).page
    gallery = page.locator(".gallery")
    gallery.get_by_label("classifier").select_option("lenet")
    shown = gallery.locator(".pictures figure:visible")
    count = shown.count()
    assert count > 1
    assert gallery.locator("output").inner_text() == f"{count} shown"
    shown.first.locator("button").focus()
    page.keyboard.press("Enter")
    viewer = page.locator("#viewer")
    assert viewer.locator("output").inner_text() == f"1 of {count}"
    first = viewer.locator("figcaption").inner_text()
    page.keyboard.press("ArrowRight")
    assert viewer.locator("output").inner_text() == f"2 of {count}"
    assert viewer.locator("figcaption").inner_text() != first
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert viewer.locator("output").inner_text() == f"1 of {count}"  # it stays at the end
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    assert page.evaluate("document.activeElement.className") == "open"  # back where it was opened


def test_dark_and_light(small, visit):
    page = visit(small[0], color_scheme="light").page
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="switch to dark").click()
    dark = page.evaluate(paper)
    assert light == "rgb(255, 255, 255)"
    assert dark != light
    page.get_by_role("button", name="switch to light").click()
    assert page.evaluate(paper) == light
    assert visit(small[0], color_scheme="dark").page.evaluate(paper) == dark  # what the system asks for


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violation(real, visit, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page = visit(real, color_scheme=scheme, viewport={"width": width, "height": 800}).page
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.fixture(scope="module")
def leaderboards(real, tmp_path_factory):
    """The site of four small runs: one of them red, one with a name that is long."""
    folder = tmp_path_factory.mktemp("site")
    runs = [two(folder / "monday", (16, 8)), two(folder / "tuesday", (15, 12)), read(real.parent / "deepfool")]
    red = cell_row(
        "red",
        LONG,
        "pgd",
        norm="linf",
        eps=0.1,
        goal="label",
        warnings=["clean accuracy 10 % is far from the card's 99 %"],
    )
    write(folder / "red", red, images=2, clean_correct=True, adv_pred=0, success=False)
    Store(folder / "red").write_run({"name": HOSTILE, "models": [LONG], "cells": ["red"], "finished": "now"})
    for name, text in site([*runs, read(folder / "red")]):
        path = folder / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "site"


def test_a_leaderboard_sorts_filters_and_leads_to_the_cell(leaderboards, visit):
    page = visit(leaderboards / "index.html").page
    assert page.locator("#leaderboards").bounding_box()["y"] < 300
    board = page.locator("figure.board", has_text="linf at most 0.1")
    names = lambda: [text.split("\n")[0][:6] for text in board.locator("tbody th a").all_inner_texts()]
    assert names()[:2] == ["lenet", "lenet"] and names()[-1] == "xxxxxx"
    assert board.locator("tbody tr").last.locator("td").first.inner_text() == "–"
    assert "does not stand" in board.locator("tbody tr.bad").inner_text()
    robust = board.get_by_role("columnheader", name="robust")
    robust.get_by_role("button").click()
    values = board.locator("tbody tr").evaluate_all("(rows) => rows.map((row) => Number(row.cells[2].dataset.value))")
    assert values == sorted(values) and len(set(values)) > 2
    board.get_by_role("searchbox").fill("tuesday")
    assert board.locator("tbody tr:visible").count() == 2
    board.locator("tbody tr:visible a").first.click()
    assert page.url.endswith("/tuesday/classifier-fc.html#cell-fc")
    assert "60.0 [" in page.locator("#cell-fc").inner_text()
    page.get_by_role("link", name="↑ all runs").click()
    assert page.url.endswith("/site/index.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_kind_of_page_of_the_site_is_for_every_reader(leaderboards, visit, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    pages = ["index.html", "red/index.html", "monday/classifier-fc.html", "monday/compare.html", "monday/tables.html"]
    for name in pages:
        seen = visit(leaderboards / name, color_scheme=scheme, viewport={"width": width, "height": 800})
        assert seen.page.evaluate("document.scrollingElement.scrollWidth") <= width, name
        assert seen.requests == [(leaderboards / name).as_uri()]
        assert shifted(seen.page) == 0, name
        seen.page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        found = axe.Axe().run(seen.page)
        assert found.violations_count == 0, (name, found.generate_report())


@pytest.fixture(scope="module")
def several(real, moved, tmp_path_factory):
    """Pages of every kind: one run, two to compare, seven, and one in which most things failed."""
    folder = tmp_path_factory.mktemp("several")
    both = [two(folder / name / "nightly", right) for name, right in (("monday", (16, 8)), ("tuesday", (9, 12)))]
    runs = [read(path) for path in (real.parent / "deepfool", moved.parent / "moved")]
    failing = example(folder / "failing")
    long = cell_row("c0", LONG, LONG, status="failed", error=LONG)
    Store(folder / "long").write("c0", [], long)
    Store(folder / "long").write_run({"title": LONG, "name": LONG, "cells": ["c0"]})
    seven = [*runs, *both, failing, read(folder / "long"), two(folder / "x")]
    pages = {"real": runs[:1], "moved": runs[1:], "two": both, "failing": [failing], "seven": seven}
    return {name: save(folder / f"{name}.html", *many) for name, many in pages.items()}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["real", "moved", "two", "failing", "seven"])
def test_no_page_is_wider_than_the_window(several, visit, name, width):
    page = visit(several[name], viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    page.wait_for_timeout(50)  # observers of size
    cut = "box => box.scrollWidth - box.clientWidth > 2"
    for box in page.locator(".scroll").all():
        assert box.evaluate(cut) == box.evaluate("box => box.hasAttribute('data-more')")  # a wide table says so
    if name == "seven":
        assert page.locator(".overview li").count() == 7
        assert page.locator(".overview").bounding_box()["y"] < 300


def test_navigation_stays_in_sight_and_goes_where_it_says(several, visit):
    page = visit(several["seven"]).page
    page.get_by_role("navigation", name="Runs").get_by_role("link", name="moved").click()
    nav = page.get_by_role("navigation", name=re.compile("^Sections of moved"))
    for part in ("tables", "images", "trust"):
        nav.get_by_role("link", name=part).click()
        assert abs(nav.bounding_box()["y"]) < 2
        place = page.locator(f"[id=run2-{part}] h2").bounding_box()["y"]
        assert 0 < place < 800
    nav.get_by_role("link", name="overview").click()
    assert page.locator(".overview").bounding_box()["y"] < 800


def test_flipped_samples_are_shown(several, visit):
    page = visit(several["two"]).page
    page.locator("#compare-reference").select_option(label="lenet (monday)")
    page.get_by_role("checkbox", name="lenet (tuesday)").check()
    page.get_by_role("checkbox", name="fc (monday)").uncheck()
    page.get_by_text("which samples flipped").click()
    flips = page.locator(".flips").first.locator("li")
    assert flips.count() == 7
    assert "0 for lenet (monday), 2 for lenet (tuesday) (no image is stored)" in flips.first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_rotations_and_universal_perturbations_are_shown(moved, visit, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    seen = visit(moved, color_scheme=scheme, viewport={"width": width, "height": 800})
    page = seen.page
    made = page.locator("section", has_text="Made for all images together").locator("figure")
    assert made.count() == 2
    assert made.first.locator("img").count() == 2
    assert "change \u00d7" in made.first.inner_text()
    assert "px right" in page.locator(".gallery").inner_text()
    assert "Loss under rotations and translations" in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [1280, 390])
def test_names_of_any_kind_stay_inside_the_page(tmp_path, visit, width):
    for i, name in enumerate((LONG, HOSTILE)):
        cell = cell_row(f"c{i}", name, "pgd", norm="linf", eps=0.1, goal="label", dataset=HOSTILE, notes=[name])
        write(tmp_path / "run", cell, images=2, clean_correct=True, adv_pred=[0] * (9 - i) + [2] * (11 + i))
    names = {"models": [LONG, HOSTILE], "title": LONG, "text": LONG, "command": HOSTILE, "name": HOSTILE}
    Store(tmp_path / "run").write_run({**names, "cells": ["c0", "c1"], "finished": "now"})
    page = visit(save(tmp_path / "page.html", read(tmp_path / "run")), viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert "<script>alert(1)</script>=cmd()<U+202E>evil" in page.locator(".rank").first.text_content()
    assert "\u202e" not in page.content()
    assert page.locator("#compare-found table").count() > 0
