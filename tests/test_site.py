"""The site: built without a warning, every link inside it leads somewhere, for every reader; notebooks run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from itertools import product
from pathlib import Path
from urllib.parse import unquote

import pytest

from robustbench_lite.cli.catalogue import REGISTRIES
from tests.browser import shifted
from tests.helpers import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")  # playwright's own loop
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
_THEME = 0.001  # of the window: what scripts of the theme move; a picture without its size moves a hundred times that
PAGES = ["index", "guides/checkpoint", "reference/suite-keys", "notebooks/worst_case", "papers", "results/generators"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("furo", reason="needs the extra 'docs'")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", f"{out}-read", "-b", "html"]
    done = subprocess.run([*command, ROOT / "docs", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_link_inside_the_site_leads_somewhere(site):
    ids = {page: set(re.findall(r'\bid="([^"]+)"', text_of(page))) for page in site.rglob("*.html")}
    seen, broken = 0, []
    for page in ids:
        body = text_of(page).partition("<article")[2].partition("</article>")[0]
        for link in map(unescape, re.findall(r'(?:href|src)="([^"]+)"', body)):
            if re.match(r"[a-z]+:", link):  # outside: nothing here asks the network
                continue
            file, _, anchor = unquote(link).partition("#")
            to, seen = ((page.parent / file).resolve() if file else page), seen + 1
            if not to.exists() or (anchor and to in ids and anchor not in ids[to]):
                broken.append(f"{page.relative_to(site)}: {link}")
    assert not broken and seen > 300, broken


def test_all_that_is_registered_is_in_the_reference(site):
    said = "".join(text_of(page) for page in (site / "reference").glob("*.html"))
    absent = [name for one in REGISTRIES for name in one if f">{name}<" not in said]
    assert not absent


def test_the_site_asks_nobody_for_anything(site):
    outside = re.compile(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(?:https?:)?//')
    assert not [page for page in site.rglob("*.html") if outside.search(text_of(page))]


def test_axe_finds_no_violation_and_nothing_is_wider_than_the_window_or_moves(site):
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra 'dev'")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        wrong = [
            problem
            for scheme, width in product(("light", "dark"), (1280, 390))
            for context in [browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})]
            for name in PAGES
            for problem in problems(context.new_page(), (site / f"{name}.html").as_uri(), axe, width)
        ]
        browser.close()
    assert not wrong, "\n".join(wrong)


def problems(page, address, axe, width):
    page.goto(address)
    moved = shifted(page)
    found, wide = axe.run(page), page.evaluate("document.documentElement.scrollWidth")
    page.close()
    yield from [f"{address}: {found.generate_report()}"] if found.violations_count else []
    yield from [f"{address}: {wide} pixels wide"] if wide > width else []
    yield from [f"{address}: moves while it loads ({moved})"] if moved > _THEME else []


def test_notebooks_run_and_show_what_is_stored_in_them():
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    program = f"import json, pathlib, sys; sys.path.insert(0, {str(ROOT / 'docs' / '_ext')!r}); import notebooks; "
    program += "print(json.dumps([notebooks.executed(pathlib.Path(path)) for path in sys.argv[1:]]))"
    done = subprocess.run([sys.executable, "-c", program, *NOTEBOOKS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for path, book in zip(NOTEBOOKS, json.loads(done.stdout), strict=True):
        assert kinds(book) == kinds(json.loads(text_of(path))), path.name


def kinds(book):
    """How each cell shows what it shows; words may differ, for times do."""
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    return [[sorted(one.get("data", {"text": ""})) for one in cell["outputs"]] for cell in cells]
