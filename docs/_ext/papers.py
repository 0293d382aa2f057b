"""The page of papers: `docs/papers.yaml` has our numbers and why they differ, stored references what was printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from robustbench_lite.tables import references

FILE = Path(__file__).parents[1] / "papers.yaml"
Entry = dict[str, Any]


def compared() -> list[Entry]:
    """Published tables with something of ours to say of them."""
    return list(_file()["compared"])


def absent() -> list[Entry]:
    """Published tables that nothing here stands beside."""
    return list(_file()["absent"])


def _file() -> Entry:
    said: Entry = YAML(typ="safe", pure=True).load(FILE.read_text(encoding="utf-8"))
    return said


def page() -> str:
    """Every table of every paper."""
    entries = [(entry, references.load(entry["table"])) for entry in compared()]
    parts = []
    for paper, arxiv in dict.fromkeys((one.paper, one.arxiv) for _, one in entries):
        parts.append(f"## {paper}\n\n[arXiv:{arxiv}](https://arxiv.org/abs/{arxiv})")
        parts += [_table(entry, one) for entry, one in entries if one.paper == paper]
    return "\n\n".join([*parts, _absent()])


def _table(entry: Entry, one: references.Reference) -> str:
    parts = [f"### {one.table}: `{one.id}`", f"What is counted: {one.quantity}."]
    if entry["rows"]:
        heads = ["what", "ours [95 %]", "n", "published"]
        parts.append(
            rows(heads, [[row["what"], _whole(row["ours"]), row["n"], published(one, row)] for row in entry["rows"]])
        )
    parts.append(f"**Why it differs.** {entry['why']}")
    parts.append(f"How our numbers were measured: {', '.join(_measured(entry, name) for name in entry['suites'])}.")
    heads = list(dict.fromkeys(key for row in one.rows for key in row))
    printed = rows(heads, [[_text(row.get(key, "")) for key in heads] for row in one.rows])
    protocol = f"*Protocol.* {one.protocol} {one.note}".strip()
    folded = f"<details>\n<summary>All that is printed there</summary>\n\n{protocol}\n\n{printed}\n\n</details>"
    return "\n\n".join([*parts, folded])


def _whole(number: str) -> str:
    """A number whose interval is not broken."""
    return re.sub(r"(\[\S+) ", r"\1&nbsp;", number)


def _measured(entry: Entry, suite: str) -> str:
    """Results have a heading for each suite; other pages say it somewhere."""
    anchor = f"#suites{suite}yaml" if entry["in"].startswith("results/") else ""
    return f"[`suites/{suite}.yaml`]({entry['in']}{anchor})"


def published(one: references.Reference, row: Entry) -> str:
    """What the paper has beside a number of ours, from the stored table; nothing where it has none."""
    if "at" not in row:
        return str(row.get("published", ""))
    match, column = row["at"]
    found = one.row(**match)
    if found is None or column not in found:
        raise ValueError(f"papers.yaml: {one.id}: expected a row {match} with '{column}'")
    return _text(found[column])


def _text(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(", ".join(map(str, part)) if isinstance(part, list) else str(part) for part in value)
    return "" if value is None else str(value)


def _absent() -> str:
    lines = [
        [f"{one['paper']}, [{one['arxiv']}](https://arxiv.org/abs/{one['arxiv']})", one["table"], one["why"]]
        for one in absent()
    ]
    return f"## Not here, and why\n\n{rows(['paper', 'table', 'why'], lines)}"


def rows(heads: list[str], lines: list[list[Any]]) -> str:
    """A table in Markdown."""
    cells = [heads, ["---"] * len(heads), *([" ".join(str(one).split()) for one in line] for line in lines)]
    return "\n".join(f"| {' | '.join(str(one).replace('|', chr(92) + '|') for one in line)} |" for line in cells)
