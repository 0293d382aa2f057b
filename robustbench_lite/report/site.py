"""A results folder as a site of small pages: leaderboards, the parts of every run, the cells of each classifier."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from robustbench_lite.report._shown import View
from robustbench_lite.report.comparison import comparable
from robustbench_lite.report.leaderboard import boards
from robustbench_lite.report.model_info import model_infos, slug
from robustbench_lite.report.page import page
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.naming import called

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["site"]

_PAGES = {
    "index": ("answer", "generators", "learning", "certified", "sparse", "trust", "provenance"),
    "charts": ("curves", "cost", "transfer", "perturbations", "figures"),
    "tables": ("tables",),
    "images": ("images",),
    "compare": ("compare",),
}
_BYTES = 350_000  # of pictures, or of the rows behind comparisons, on one page
_ROWS = 200  # of a table
_SMALL = View(bytes=_BYTES, rows=_ROWS)


def site(runs: Sequence[Results]) -> Iterator[tuple[str, str]]:
    """Every file of the site: its path, and what is in it. No page asks for anything but other pages by a link."""
    runs = called(runs)
    folders = _folders([results.label or results.folder.name for results in runs])
    sheets = {
        (place, model): f"{folders[place]}/{name}.html"
        for place, results in enumerate(runs)
        for model, name in _names(results).items()
    }
    found, places = boards(runs), tuple(f"{folder}/index.html" for folder in folders)
    many = sum(len(board.standings) for board in found) > _ROWS
    start = View(frozenset({"boards"}), runs=places, sheets=sheets, rows=_ROWS if many else 0)
    yield "index.html", page(runs, start)
    for path, said in model_infos(found):
        yield f"model_info/{path}", json.dumps(said, indent=2) + "\n"
    for place, results in enumerate(runs):
        own = {model: path for (at, model), path in sheets.items() if at == place}
        yield from _run(results, folders[place], own)


def _run(results: Results, folder: str, sheets: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The pages of one run, without those that would be empty."""
    names = [name for name in _PAGES if name != "compare" or comparable([results])]
    for name in names:
        places = {other if other != "index" else "answer": f"{other}.html" for other in names if other != name}
        if name != "index":
            places["trust"] = "index.html#run1-trust"
        view = replace(_SMALL, sections=frozenset(_PAGES[name]), places=places, home="../index.html")
        yield f"{folder}/{name}.html", page([results], view)
    places = {other if other != "index" else "answer": f"{other}.html" for other in names}
    for model, path in sheets.items():
        view = replace(_SMALL, sections=frozenset({"cells"}), places=places, home="../index.html", model=model)
        yield path, page([results], view)


def _folders(names: Sequence[str]) -> list[str]:
    """A folder for each run; two names that are the same to a file system are numbered."""
    out: list[str] = []
    for name in map(slug, names):
        out.append(name if name.lower() not in {one.lower() for one in out} else f"{name}-{len(out) + 1}")
    return out


def _names(results: Results) -> dict[str, str]:
    """A file for each classifier."""
    models = list(dict.fromkeys(one.model for one in evaluations(results)))
    return dict(zip(models, _folders([f"classifier-{model}" for model in models]), strict=True))
