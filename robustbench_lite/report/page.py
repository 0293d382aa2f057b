"""The page: everything that the template shows, gathered from results; one self-contained HTML document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from robustbench_lite.comparison import Side, compare
from robustbench_lite.errors import UsageError
from robustbench_lite.figure import figures
from robustbench_lite.groups import groups, through
from robustbench_lite.render import render
from robustbench_lite.report.charts import Bar, Line, curves, heat, intervals, round_up
from robustbench_lite.report.pictures import MOST, pictures
from robustbench_lite.report.ranking import Ranking, rankings
from robustbench_lite.svg import PALETTE
from robustbench_lite.table import Column, Table, Value, tables

if TYPE_CHECKING:
    from robustbench_lite.store import Results

__all__ = ["page"]

_FOLDER = Path(__file__).parent
_TABLES = ("accuracy", "cost", "trust")  # beside those that the suite names


def page(runs: Sequence[Results]) -> str:
    """The report on these results as HTML. Nothing in it comes from elsewhere."""
    loader = FileSystemLoader(_FOLDER)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("page.html.j2")
    return template.render(
        runs=[_run(results) | {"id": f"run{i}"} for i, results in enumerate(runs, 1)],
        changes=_changes(runs),
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),  # noqa: S704  (our own file)
        script=Markup((_FOLDER / "script.js").read_text(encoding="utf-8")),  # noqa: S704
        most=MOST,
    )


def _changes(runs: Sequence[Results]) -> dict[str, Any] | None:
    """The paired differences where two runs are given that have something in common."""
    if len(runs) != 2:
        return None
    a, b = (Side(f"{r.run.get('name') or r.folder.name}, {r.run.get('started') or 'no date'}", r, None) for r in runs)
    try:
        return _table(compare(a, b))
    except UsageError:  # other attacks or data: two runs side by side, nothing to pair
        return None


def _run(results: Results) -> dict[str, Any]:
    """What the template shows of one run."""
    run, cells = results.run, results.cell_table.to_pylist()
    failed = [cell for cell in cells if cell["status"] != "ok"]
    planned = run.get("cells") or []
    shown, total = pictures(results)
    trust = tables.make("trust", results)
    names = [name for name in (run.get("tables") or []) if name in tables and name not in _TABLES]
    optional = {"curves": list(_curves(results)), "transfer": list(_heats(results)), "figures": list(_figures(results))}
    return {
        "parts": ("answer", *(name for name in optional if optional[name]), "tables", "images", "trust", "provenance"),
        **optional,
        "name": run.get("name") or results.folder.name,
        "title": run.get("title") or run.get("name") or results.folder.name,
        "state": _state(len(cells), len(planned), bool(run.get("finished"))),
        "finished": run.get("finished"),
        "failed": [f"{cell['dataset']}, {through(cell)}, {cell['variant']}: {cell['error']}" for cell in failed],
        "problems": list(results.problems),
        "rankings": [_ranking(one) for one in rankings(results)],
        "tables": [_table(tables.make(name, results)) for name in (*names, *_TABLES)],
        "trust": trust.footnotes[0] if trust.footnotes else "",
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


def _ranking(ranking: Ranking) -> dict[str, Any]:
    scale, unit = (100.0, " %") if ranking.percent else (1.0, "")
    top = 100.0 if ranking.percent else round_up(max(entry.estimate.high for entry in ranking.entries))
    bars = []
    for entry in ranking.entries:
        found = entry.estimate
        value, low, high = (scale * part for part in (found.value, found.low, found.high))
        text = f"{value:.3g} [{low:.3g}, {high:.3g}]{unit}, n={found.n}"
        bars.append(Bar(entry.model, value, low, high, text, entry.tied))
    title = f"{ranking.dataset}, {ranking.threat}: {ranking.metric} of each classifier with its 95 % interval"
    return {
        "dataset": ranking.dataset,
        "threat": ranking.threat,
        "metric": ranking.metric,
        "answer": ranking.answer,
        "chart": Markup(intervals(bars, top, unit, title)),  # noqa: S704  (our own SVG, names escaped)
        "attacks": ", ".join(dict.fromkeys(name for entry in ranking.entries for name in entry.attacks)),
        "test": ranking.test,
        "tied": any(entry.tied for entry in ranking.entries),
    }


def _curves(results: Results) -> Iterator[dict[str, Any]]:
    """Share of samples broken as the perturbation grows, from the sizes of minimal attacks' successes."""
    found: dict[tuple[str, str], list[Line]] = {}
    for group in groups(results):
        cell = group.cell
        if not group.ok or cell["eps"] is not None or cell["norm"] is None or (cell["sources"] or []) != [group.model]:
            continue
        size = np.sort(group[cell["norm"]].astype(float)[group["success"].astype(bool)])
        share = 100 * np.arange(1, len(size) + 1) / len(group.rows)
        x, y = np.repeat(np.concatenate([[0.0], size]), 2)[1:], np.repeat(np.concatenate([[0.0], share]), 2)[:-1]
        thin = np.unique(np.linspace(0, len(x) - 1, min(len(x), 400)).astype(int))
        line = Line(f"{group.model}, {cell['variant']}", x[thin], y[thin])
        found.setdefault((str(cell["dataset"]), str(cell["norm"])), []).append(line)
    for (dataset, norm), lines in found.items():
        title = f"{dataset}: share of samples broken against the {norm} size of the perturbation"
        yield {
            "title": title,
            "chart": Markup(curves(lines, f"{norm} size, images in [0, 1]", title)),  # noqa: S704
            "legend": [(line.name, PALETTE[i % 8], i // 4 % 4) for i, line in enumerate(lines)],
            "table": _table(_quantiles(lines)),
        }


def _quantiles(lines: Sequence[Line]) -> Table:
    """The data behind a curve: the size at which a share of the samples is broken."""
    columns = (Column("name", "classifier, attack", numeric=False), *(Column(str(q), f"{q} %") for q in (10, 50, 90)))
    rows = []
    for line in lines:
        row = [Value(line.name, kind="label")]
        for q in (10, 50, 90):
            reached = line.x[line.y >= q]
            value = float(reached[0]) if len(reached) else float("inf")
            row.append(Value(f"{value:.3g}" if len(reached) else "never", value))
        rows.append(tuple(row))
    return Table("sizes", "Size at which so many samples are broken", columns, tuple(rows))


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
        values = np.array([[row.get(model, np.nan) for model in columns] for row in block.values()])
        title = f"{dataset}, {variant}: accuracy (%) on images made for the sources in the row"
        yield {"title": title, "chart": Markup(heat(list(block), columns, values, title))}  # noqa: S704


def _figures(results: Results) -> Iterator[Markup]:
    """What `figure` has stored beside the results, drawn again."""
    for path in sorted((results.folder / "figures").glob("*.parquet")):
        if path.stem in figures:
            try:
                drawn = figures[path.stem]().draw(pq.read_table(path))
            except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
                yield Markup.escape(f"{path.name} is not a figure of ours, or damaged; draw it again with `figure`")
            else:
                yield Markup(drawn)  # noqa: S704  (our own SVG, names escaped)


def _table(table: Table) -> dict[str, Any]:
    """A table as the template wants it, with the texts that its copy buttons give."""
    return {
        "name": table.name,
        "title": table.title,
        "columns": table.columns,
        "rows": [(row, _published(table, row)) for row in table.rows],
        "footnotes": table.footnotes,
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
