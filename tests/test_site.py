"""The site: built without a warning, every link inside it leads somewhere, for every reader; notebooks run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from robustbench_lite.cli.catalogue import REGISTRIES
from tests.browser import shifted
from tests.helpers import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")  # playwright's own loop
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
PAGES = ["index", "start", "guides/checkpoint", "reference/attacks", "notebooks/worst_case", "results"]


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


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra 'dev'")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violation_and_nothing_is_wider_than_the_window_or_moves(site, browser, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    wrong: list[str] = []
    for name in PAGES:
        page = context.new_page()
        page.goto((site / f"{name}.html").as_uri())
        moved = shifted(page)
        wrong += [f"{name}: moves while it loads ({moved})"] if moved else []
        found = axe.Axe().run(page)
        wrong += [f"{name}: {found.generate_report()}"] if found.violations_count else []
        wide = page.evaluate("document.documentElement.scrollWidth")
        wrong += [f"{name}: {wide} pixels wide"] if wide > width else []
        page.close()
    context.close()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_is_stored_in_it(path):
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    program = f"import json, pathlib, sys; sys.path.insert(0, {str(ROOT / 'docs' / '_ext')!r}); import notebooks; "
    program += f"print(json.dumps(notebooks.executed(pathlib.Path({str(path)!r}))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert kinds(json.loads(done.stdout)) == kinds(json.loads(text_of(path)))


def kinds(book):
    """How each cell shows what it shows; words may differ, for times do."""
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    return [[sorted(one.get("data", {"text": ""})) for one in cell["outputs"]] for cell in cells]
