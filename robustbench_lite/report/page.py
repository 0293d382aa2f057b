"""The page: everything that the template shows, gathered from results; one self-contained HTML document."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from robustbench_lite.figures.base import figures
from robustbench_lite.guards.memory import uncollected
from robustbench_lite.report._boards import drawn
from robustbench_lite.report._shown import View, chart, table
from robustbench_lite.report.answers import answers, ends, ranked
from robustbench_lite.report.certified import between
from robustbench_lite.report.changes import run_changes
from robustbench_lite.report.comparison import comparison
from robustbench_lite.report.generators import headline
from robustbench_lite.report.generators import made as generators
from robustbench_lite.report.leaderboard import boards
from robustbench_lite.report.learning import learning
from robustbench_lite.report.perturbations import perturbations
from robustbench_lite.report.pictures import MOST, gallery
from robustbench_lite.report.robustness import by_size
from robustbench_lite.report.sheets import sheets
from robustbench_lite.report.sparse_coding import codings, recovered
from robustbench_lite.report.sparse_coding import headline as coded
from robustbench_lite.report.strength import Limits, costs, limits
from robustbench_lite.report.trust import failures, trust
from robustbench_lite.results.evaluation import through
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.results.glossary import WORDS
from robustbench_lite.results.made import MADE
from robustbench_lite.results.naming import called
from robustbench_lite.results.sealed import opened
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.values import unsaid
from robustbench_lite.text import visible

if TYPE_CHECKING:
    from robustbench_lite.results.store import Results

__all__ = ["page"]

WHOLE = View()

_FOLDER = Path(__file__).parent
_TABLES = ("accuracy", "cost")  # beside those that the suite names
_SCRIPTS = ("tables.js", "gallery.js", "statistics.js", "compare.js")
_SHOWN = 10  # classifiers of a ranking before the fold
_FEWEST = 12  # pictures of a run, however many runs there are
_UNFOLDED = 12  # of them before the fold
_QUESTIONS = {
    "generators": "What have these generators learnt, and what have they lost?",
    "sparse_coding": "How far can noise lead a sparse code astray?",
}
_CHECKED = "trust"  # the table that stands with the checks


@uncollected()
def page(runs: Sequence[Results], view: View = WHOLE) -> str:
    """The report on these results as HTML, or the part of it that a page of a site shows. Nothing is from elsewhere."""
    loader = FileSystemLoader(_FOLDER)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    template = environment.get_template("page.html.j2")
    runs = called(runs)
    most = max(_FEWEST, MOST // max(1, len(runs)))
    shared = _Shared(ends(runs), limits(runs), most, view)
    several = len(runs) > 1 or bool(view.runs)
    return template.render(
        runs=[_run(results, f"run{i}", shared) for i, results in enumerate(runs, 1)],
        names=[_title(results) for results in runs],
        view=view,
        several=several,
        boards=[drawn(one, view, i) for i, one in enumerate(boards(runs), 1)] if view.has("boards") and several else [],
        changes=_changes(runs, view) if view.has("changes") else None,
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),  # noqa: S704  (our own file)
        script=Markup("\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)),  # noqa: S704
        compare=comparison(runs, view.bytes) if view.has("compare") else None,
        most=most,
        shown=_SHOWN,
        unfolded=_UNFOLDED,
        question=_question(runs),
        words=WORDS,
    )


@dataclass(frozen=True)
class _Shared:
    """What all runs of a page have in common: where axes end, and how many pictures each may show."""

    tops: dict[str, float]
    limits: Limits
    most: int
    view: View


def _shown(value: object) -> object:
    """What the template prints: text of unknown origin cannot reverse a line."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(visible(line) for line in value.split("\n")) if "\n" in value else visible(value)


def _changes(runs: Sequence[Results], view: View) -> dict[str, Any] | None:
    """What changed between two runs that have something in common."""
    found = run_changes(runs)
    if found is None:
        return None
    charts = [chart(one, view) for one in found.charts]
    return {"sentence": found.sentence, "charts": charts, "table": table(found.table, view)}


def _run(results: Results, name: str, shared: _Shared) -> dict[str, Any]:
    """What the template shows of one run."""
    run, cells, view = results.run, results.cell_table.to_pylist(), shared.view
    planned = run.get("cells") or []
    answered = frozenset(cell for ranking in ranked(results) for entry in ranking.entries for cell in entry.cells)
    made, others = results.made(), [cell for kind in MADE.values() for cell in run.get(kind.planned) or []]
    attacks = bool(cells or planned or not (made or others))
    usual = ("images", "trust") if attacks else ()
    makers: dict[str, Callable[[], list[Any]]] = {
        "generators": lambda: generators(results),
        "learning": lambda: [chart(one, view) for one in learning(results)],
        "certified": lambda: [chart(one, view) for one in between(results)],
        "sparse": lambda: codings(results),
        "curves": lambda: [chart(one, view) for one in by_size(results, shared.limits)],
        "cost": lambda: [chart(one, view) for one in costs(results, shared.limits)],
        "transfer": lambda: list(_heats(results)),
        "perturbations": lambda: perturbations(results),
        "figures": lambda: list(_figures(results, view)),
        "cells": lambda: sheets(results, view),
    }
    optional = {key: make() if view.has(key) else [] for key, make in makers.items()}
    shown = _tables(results, view, attacks=attacks) if view.has("tables") else []
    some = (*(key for key in optional if optional[key]), *(("tables",) if shown else ()))
    parts = ("answer", *some, *usual, "provenance")
    own = [part for part in parts if view.has(part)]
    pictured, total = gallery(results, shared.most, view.bytes) if "images" in own else ([], 0)
    return {
        "id": name,
        "parts": own,
        "links": [*((part, f"#{name}-{part}") for part in own), *view.places.items()],
        "at": {part: f"#{name}-{part}" for part in parts} | dict(view.places),
        **optional,
        "attacks": attacks,
        "generated": headline(results),
        "coded": coded(results),
        "recovered": [chart(one, view) for one in recovered(results)] if optional["sparse"] else [],
        "short": results.label or run.get("name") or results.folder.name,
        "state": _state(
            len(cells) + len(made),
            len(planned) + len(others),
            finished=bool(run.get("finished")),
        ),
        "failed": failures(results),
        "failures": sum(cell["status"] != "ok" for cell in (*cells, *made)),
        "problems": list(results.problems),
        "rankings": answers(results, shared.tops, view.bytes),
        "unranked": unsaid(results, answered, "in no ranking above"),
        "tables": shown,
        "trust": trust(results),
        "checked": _checked(results, view) if "trust" in own else None,
        "pictures": pictured,
        "picture_rows": total,
        "filters": {k: sorted({getattr(p, k) for p in pictured}) for k in ("model", "attack", "outcome", "label")},
        "provenance": _provenance(results),
        "suite": run.get("text") or "",
    }


def _tables(results: Results, view: View, *, attacks: bool) -> list[dict[str, Any]]:
    """Those that the suite names, and those of every run."""
    names = [name for name in _named(results) if name not in {*_TABLES, _CHECKED}]
    return [table(tables.make(name, results), view) for name in (*names, *(_TABLES if attacks else ()))]


def _checked(results: Results, view: View) -> dict[str, Any] | None:
    """The table of all checks, where the suite names it."""
    return table(tables.make(_CHECKED, results), view) if _CHECKED in _named(results) else None


def _named(results: Results) -> list[str]:
    """The tables that the suite names."""
    return [name for name in (results.run.get("tables") or []) if name in tables]


def _question(runs: Sequence[Results]) -> str:
    """What a page on these runs answers: about classifiers, unless none was to be attacked."""
    if not any(results.run.get("cells") or len(results.cell_table) for results in runs):
        for kind, question in _QUESTIONS.items():
            if any(results.run.get(MADE[kind].planned) for results in runs):
                return question
    return "How well do these classifiers resist images that were altered to fool them?"


def _title(results: Results) -> str:
    """What the suite is called, and what tells this run from others."""
    title = str(results.run.get("title") or results.run.get("name") or results.folder.name)
    return f"{title} ({results.label})" if results.label and results.label != title else title


def _state(cells: int, planned: int, *, finished: bool) -> str:
    if cells == 0:
        return "No cell of this run is finished; there is nothing to show yet."
    if cells < planned or not finished:
        return f"This run is not finished: {cells} of {planned} cells are in the store. What follows is about those."
    return ""


def _heats(results: Results) -> Iterator[dict[str, Any]]:
    """Accuracy of every classifier on images made for others, one matrix per attack."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for one in evaluations(results):
        if one.ok and len(one.targets) > 1:
            block = found.setdefault((one.dataset, one.variant), {})
            block.setdefault(through(one.cell), {})[one.model] = 100 * float(one.correct.mean())
    for (dataset, variant), block in found.items():
        columns = list(dict.fromkeys(model for row in block.values() for model in row))
        rows = [(name, [(row.get(model), _shade(row.get(model))) for model in columns]) for name, row in block.items()]
        title = f"{dataset}, {variant}: accuracy (%) on images made for the sources in the row"
        yield {"title": title, "columns": columns, "rows": rows}


def _shade(percent: float | None) -> str:
    """The class of the style sheet that colours a share."""
    return "" if percent is None else f"h{round(percent / 10)}"


def _figures(results: Results, view: View) -> Iterator[dict[str, Any]]:
    """What `figure` has stored beside the results, drawn again, with its data."""
    for path in sorted((results.folder / "figures").glob("*.parquet")):
        if path.stem in figures:
            kind = figures[path.stem]
            try:
                rows = opened(path)[0].read()
                drawn, data = kind().draw(rows), table(kind().data(rows), view)
            except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
                text = f"{path.name} is not a figure of ours, or damaged; draw it again with `figure`"
                yield {"title": path.stem, "svg": Markup.escape(text), "table": None}
            else:
                yield {"title": kind.title, "svg": Markup(drawn), "table": data}  # noqa: S704  (our own SVG)


def _provenance(results: Results) -> list[tuple[str, str]]:
    """Name and value of what the numbers depend on. The folder of the suite on that machine is nobody's business."""
    run = results.run
    lines = [("command", run.get("command") or ""), ("seed", run.get("seed")), ("started", run.get("started"))]
    lines += [("finished", run.get("finished")), ("limit", run.get("limit"))]
    lines += sorted((run.get("versions") or {}).items()) + sorted((run.get("machine") or {}).items())
    weights: dict[str, str] = {}
    data: dict[str, str] = {}
    for cell in results.cell_table.to_pylist():
        weights |= json.loads(cell["weights"] or "{}")
        data[str(cell["dataset"])] = str(json.loads(cell["data"] or "{}").get("ids", ""))
    lines += [(f"weights of {name}", value) for name, value in sorted(weights.items())]
    lines += [(f"samples of {name}", value) for name, value in sorted(data.items())]
    lines += [(f"notes on {name}", note) for name, notes in (run.get("data_notes") or {}).items() for note in notes]
    seconds = sum(cell["seconds"] or 0 for cell in results.cell_table.to_pylist())
    if len(results.cell_table) or not results.made():
        lines.append(("seconds in attacks", f"{seconds:.1f}"))
    for cell in results.generator_table.to_pylist():
        lines.append((f"images of {cell['name']}", cell["data"] if cell["data"] != "{}" else ""))
    return [(name, str(value)) for name, value in lines if value not in {None, ""}]
