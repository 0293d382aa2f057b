"""Notebooks of `examples/`: run them, store what they show, and show it as a page.

`python docs/_ext/notebooks.py examples/*.ipynb` runs each in a folder of its own and stores its outputs. A cell shows
what it prints, the figures that it leaves open, and its last value, as in Jupyter; no kernel is needed for that.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
Cell = dict[str, Any]


def executed(path: Path) -> dict[str, Any]:
    """The notebook with the outputs of a fresh run. What a cell raises is raised."""
    book: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for number, cell in enumerate((one for one in book["cells"] if one["cell_type"] == "code"), 1):
                cell["execution_count"], cell["outputs"] = number, _outputs(cell, names, number)
        finally:
            os.chdir(here)
    return book


def _outputs(cell: Cell, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        value = _run("".join(cell["source"]), names)
    outputs: list[dict[str, Any]] = []
    if said.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(said.getvalue())})
    outputs += [{"data": data, "metadata": {}, "output_type": "display_data"} for data in _figures()]
    if value is not None:
        shown = {"data": _shown(value), "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        outputs.append(shown)
    return outputs


def _run(text: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, if that is an expression without a semicolon."""
    body = ast.parse(text).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) and not text.rstrip().endswith(";") else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)  # noqa: S102  (that is what a notebook is)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None  # noqa: S307


def _figures() -> list[dict[str, str]]:
    """The open figures of pyplot as PNG; they are closed, as Jupyter does."""
    plots = sys.modules.get("matplotlib.pyplot")
    found = []
    for number in plots.get_fignums() if plots else []:
        data = io.BytesIO()
        plots.figure(number).savefig(data, format="png", dpi=80, metadata={"Software": None})  # type: ignore[union-attr]
        found.append({"image/png": base64.b64encode(data.getvalue()).decode(), "text/plain": "<Figure>"})
    if plots:
        plots.close("all")
    return found


def _shown(value: object) -> dict[str, list[str]]:
    html = getattr(value, "_repr_html_", lambda: None)()
    return {"text/plain": _lines(repr(value))} | ({"text/html": _lines(html)} if html else {})


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def markdown(path: Path) -> str:
    """The notebook as a page: texts, code, and the outputs that are stored in it."""
    return "\n\n".join(_cell(cell) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])


def _cell(cell: Cell) -> str:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return text
    return "\n\n".join([f"```python\n{text}\n```", *(_output(one, cell) for one in cell["outputs"])])


def _output(output: dict[str, Any], cell: Cell) -> str:
    if "text" in output:
        return f"```text\n{''.join(output['text'])}\n```"
    data = output["data"]
    if "image/png" in data:
        return f"![{cell['metadata']['alt']}](data:image/png;base64,{''.join(data['image/png'])})"
    if "text/html" in data:
        return f'<div class="output" tabindex="0">\n{"".join(data["text/html"]).strip()}\n</div>'
    return f"```text\n{''.join(data['text/plain'])}\n```"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        made = json.dumps(executed(Path(name)), indent=1, ensure_ascii=False)
        Path(name).write_text(made + "\n", encoding="utf-8")
