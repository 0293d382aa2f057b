"""What a page of the site takes from elsewhere, put in when it is read: registries, notebooks, files above `docs/`.

`<!-- made: attacks -->` becomes what `registries.attacks()` says now, `<!-- notebook: first_attack -->` the notebook of
that name in `examples/` with its committed outputs, so that nothing of it is committed twice or goes stale.
"""

from __future__ import annotations

import re
from typing import Any

import notebooks
import registries

MADE = re.compile(r"^<!-- (made|notebook): (\w+) -->$", re.MULTILINE)
ABOVE = {"../CONTRIBUTING.md": "contributing.md", "../README.md": "index.md"}


def _put_in(found: re.Match[str]) -> str:
    kind, name = found.groups()
    return registries.MADE[name]() if kind == "made" else notebooks.markdown(notebooks.EXAMPLES / f"{name}.ipynb")


def completed(text: str) -> str:
    """A page with what it takes from elsewhere; what the repository has above `docs/` has a page here."""
    for above, here in ABOVE.items():
        text = text.replace(f"]({above}", f"]({here}")
    return MADE.sub(_put_in, text)


def _read(app: Any, docname: str, source: list[str]) -> None:  # noqa: ARG001  (Sphinx calls it so)
    source[0] = completed(source[0])


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's entrance."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
