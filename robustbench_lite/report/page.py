"""The page: everything that the template shows, gathered from results; one self-contained HTML document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from robustbench_lite.check import checks
from robustbench_lite.comparison import Side, compare
from robustbench_lite.errors import UsageError
from robustbench_lite.figure import figures
from robustbench_lite.groups import groups, through
from robustbench_lite.render import render
from robustbench_lite.report.charts import round_up
from robustbench_lite.report.made import made
from robustbench_lite.report.paired import paired
from robustbench_lite.report.pictures import MOST, pictures, specimen
from robustbench_lite.report.ranking import Ranking, rankings
from robustbench_lite.report.strength import Drawn, broken, costs
from robustbench_lite.table import Table, Value, tables
from robustbench_lite.text import visible

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["page"]

_FOLDER = Path(__file__).parent
_TABLES = ("accuracy", "cost", "trust")  # beside those that the suite names
_SCRIPTS = ("tables.js", "gallery.js", "statistics.js", "compare.js")
_SHOWN = 10  # classifiers of a ranking before the fold
_ROWS = 400  # of the trust table; above, the checks that passed are counted


def page(runs: Sequence[Results]) -> str:
    """The report on these results as HTML. Nothing in it comes from elsewhere."""
    loader = FileSystemLoader(_FOLDER)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    template = environment.get_template("page.html.j2")
    return template.render(
        runs=[_run(results, f"run{i}") for i, results in enumerate(runs, 1)],
        changes=_changes(runs),
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),  # noqa: S704  (our own file)
        script=Markup("\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)),  # noqa: S704
        compare=paired(runs),
        most=MOST,
        shown=_SHOWN,
    )


def _shown(value: object) -> object:
    """What the template prints: text of unknown origin cannot reverse a line."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(visible(line) for line in value.split("\n"))


def _changes(runs: Sequence[Results]) -> dict[str, Any] | None:
    """The paired differences where two runs are given that have something in common."""
    if len(runs) != 2:
        return None
    a, b = (Side(f"{r.run.get('name') or r.folder.name}, {r.run.get('started') or 'no date'}", r, None) for r in runs)
    try:
        return _table(compare(a, b))
    except UsageError:  # other attacks or data: two runs side by side, nothing to pair
        return None


def _run(results: Results, name: str) -> dict[str, Any]:
    """What the template shows of one run."""
    run, cells = results.run, results.cell_table.to_pylist()
    failed = [cell for cell in cells if cell["status"] != "ok"]
    planned = run.get("cells") or []
    shown, total = pictures(results)
    trust = tables.make("trust", results)
    names = [name for name in (run.get("tables") or []) if name in tables and name not in _TABLES]
    optional = {
        "curves": [_chart(one) for one in broken(results)],
        "cost": [_chart(one) for one in costs(results)],
        "transfer": list(_heats(results)),
        "made": made(results),
        "figures": list(_figures(results)),
    }
    return {
        "id": name,
        "parts": ("answer", *(name for name in optional if optional[name]), "tables", "images", "trust", "provenance"),
        **optional,
        "name": run.get("name") or results.folder.name,
        "title": run.get("title") or run.get("name") or results.folder.name,
        "state": _state(len(cells), len(planned), bool(run.get("finished"))),
        "finished": run.get("finished"),
        "failed": [f"{cell['dataset']}, {through(cell)}, {cell['variant']}: {cell['error']}" for cell in failed],
        "problems": list(results.problems),
        "rankings": [_ranking(one, results) for one in rankings(results)],
        "tables": [_table(tables.make(name, results)) for name in (*names, *_TABLES) if name != "trust"],
        "trust": _trust(trust) | {"why": name},
        "trust_line": trust.footnotes[0] if trust.footnotes else "",
        "smells": [(check.title, check.why) for check in checks()],
        "pictures": shown,
        "picture_rows": total,
        "filters": {k: sorted({getattr(p, k) for p in shown}) for k in ("model", "attack", "outcome", "label")},
        "provenance": _provenance(results),
        "suite": run.get("text") or "",
    }


def _state(cells: int, planned: int, finished: bool) -> str:
    if cells == 0:
        return "No cell of this run is finished; there is nothing to show yet."
    if cells < planned or not finished:
        return f"This run is not finished: {cells} of {planned} cells are in the store. What follows is about those."
    return ""


def _ranking(ranking: Ranking, results: Results) -> dict[str, Any]:
    top = min(100.0, round_up(max(100 * entry.estimate.high for entry in ranking.entries)))
    rows = []
    for entry in ranking.entries:
        found = entry.estimate
        value, low, high = (100 * part for part in (found.value, found.low, found.high))
        places = {name: f"{100 * min(1.0, part / top):.2f}%" for name, part in (("at", value), ("low", low))}
        places["width"] = f"{100 * (min(1.0, high / top) - min(1.0, low / top)):.2f}%"
        text = f"{value:.1f} [{low:.1f}, {high:.1f}]\u00a0%"
        views = f", {ranking.draws} views" if ranking.draws else ""
        said = f"n={found.n}{views}" + (f", {100 * entry.clean:.0f}\u00a0% before" if ranking.of else "")
        rows.append({"name": entry.model, "text": text, "said": said, "tied": entry.tied, **places})
    attacks = tuple(dict.fromkeys(name for entry in ranking.entries for name in entry.attacks))
    return {
        "dataset": ranking.dataset,
        "threat": ranking.threat,
        "metric": ranking.metric,
        "answer": ranking.answer,
        "lead": ranking.lead,
        "rows": rows,
        "ticks": [f"{share * top:.3g}\u00a0%" for share in (0, 0.5, 1)],
        "attacks": f"{', '.join(attacks[:6])}{f' and {len(attacks) - 6} others' if len(attacks) > 6 else ''}",
        "several": len(attacks) > 1,
        "test": ranking.test,
        "tied": any(entry.tied for entry in ranking.entries),
        "example": specimen(results, [(entry.model, cell) for entry in ranking.entries for cell in entry.cells]),
    }


def _trust(table: Table) -> dict[str, Any]:
    """The trust table; where it is long, without what passed."""
    if len(table.rows) <= _ROWS:
        return _table(table)
    rows = tuple(row for row in table.rows if row[4].text != "ok")
    note = f"{len(table.rows) - len(rows)} checks that found nothing are left out here; `table RESULTS trust` has all"
    return _table(replace(table, rows=rows[:_ROWS], footnotes=(note, *table.footnotes)))


def _chart(found: Drawn) -> dict[str, Any]:
    """A chart as the template wants it."""
    return {
        "title": found.title,
        "says": found.says,
        "chart": Markup(found.chart),  # noqa: S704  (our own SVG, names escaped)
        "legend": found.legend,
        "table": _table(found.table),
    }


def _heats(results: Results) -> Iterator[dict[str, Any]]:
    """Accuracy of every classifier on images made for others, one matrix per attack."""
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for group in groups(results):
        cell = group.cell
        if group.ok and len(cell["models"] or []) > 1:
            right = 100 * float((group["adv_pred"] == group["label"]).mean())
            block = found.setdefault((str(cell["dataset"]), str(cell["variant"])), {})
            block.setdefault(through(cell), {})[group.model] = right
    for (dataset, variant), block in found.items():
        columns = list(dict.fromkeys(model for row in block.values() for model in row))
        rows = [(name, [(row.get(model), _shade(row.get(model))) for model in columns]) for name, row in block.items()]
        title = f"{dataset}, {variant}: accuracy (%) on images made for the sources in the row"
        yield {"title": title, "columns": columns, "rows": rows}


def _shade(percent: float | None) -> str:
    """The class of the style sheet that colours a share."""
    return "" if percent is None else f"h{round(percent / 10)}"


def _figures(results: Results) -> Iterator[dict[str, Any]]:
    """What `figure` has stored beside the results, drawn again, with its data."""
    for path in sorted((results.folder / "figures").glob("*.parquet")):
        if path.stem in figures:
            kind = figures[path.stem]
            try:
                rows = pq.read_table(path)
                drawn, data = kind().draw(rows), _table(kind().data(rows))
            except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
                text = f"{path.name} is not a figure of ours, or damaged; draw it again with `figure`"
                yield {"title": path.stem, "svg": Markup.escape(text), "table": None}
            else:
                yield {"title": kind.title, "svg": Markup(drawn), "table": data}  # noqa: S704  (our own SVG)


def _table(table: Table) -> dict[str, Any]:
    """A table as the template wants it, with the texts that its copy buttons give."""
    return {
        "name": table.name,
        "title": table.title,
        "columns": table.columns,
        "rows": [(row, _published(table, row)) for row in table.rows],
        "footnotes": table.footnotes,
        "why": "",  # where a check's paragraph is
        "copies": {style: render(table, style) for style in ("markdown", "latex", "csv")},
    }


def _published(table: Table, row: tuple[Value, ...]) -> bool:
    """Whether a row is the paper's: columns that head a group may be published in our rows too."""
    pairs = zip(table.columns, row, strict=True)
    return any(value.kind == "published" for column, value in pairs if not column.group)


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
    seconds = sum(cell["seconds"] or 0 for cell in results.cell_table.to_pylist())
    lines.append(("seconds in attacks", f"{seconds:.1f}"))
    return [(name, str(value)) for name, value in lines if value not in {None, ""}]
