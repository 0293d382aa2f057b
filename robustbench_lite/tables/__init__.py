"""Tables of results, one a file, in five formats; published numbers beside them; two runs compared."""

from robustbench_lite.tables.base import Column, Row, Table, Value, tables
from robustbench_lite.tables.compare import Changes, Side, changes, sides, split
from robustbench_lite.tables.curve import end, grouped
from robustbench_lite.tables.photographs import Shot, named, where
from robustbench_lite.tables.render import chosen, constant, constants, sentence, transposed, without, without_intervals
from robustbench_lite.tables.render.html import html
from robustbench_lite.tables.stability import stability_table
from robustbench_lite.tables.values import count, label, left_out, number, share, spread, unsaid

__all__ = [
    "Changes",
    "Column",
    "Row",
    "Shot",
    "Side",
    "Table",
    "Value",
    "changes",
    "chosen",
    "constant",
    "constants",
    "count",
    "end",
    "grouped",
    "html",
    "label",
    "left_out",
    "named",
    "number",
    "sentence",
    "share",
    "sides",
    "split",
    "spread",
    "stability_table",
    "tables",
    "transposed",
    "unsaid",
    "where",
    "without",
    "without_intervals",
]
