"""Small pieces of SVG: elements with escaped text, and colours that colour-blind readers can tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterable

from robustbench_lite.text import for_attribute, for_html

__all__ = ["PALETTE", "document", "element", "round_up"]

# Okabe and Ito's eight, then Tol's muted ones that are far from them
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#332288", "#999999", "#882255",
    "#44AA99", "#DDCC77", "#661100", "#AA4499", "#117733", "#6699CC",
)  # fmt: skip


def element(name: str, content: str | Iterable[str] = "", **attributes: object) -> str:
    """One element. Text content must be escaped by `text=`; `content` is markup. Underscores become hyphens."""
    text = attributes.pop("text", None)
    inner = for_html(str(text)) if text is not None else content if isinstance(content, str) else "".join(content)
    given = "".join(f" {key.rstrip('_').replace('_', '-')}={for_attribute(_plain(v))}" for key, v in attributes.items())
    return f"<{name}{given}>{inner}</{name}>" if inner else f"<{name}{given}/>"


def document(width: float, height: float, title: str, description: str, parts: Iterable[str]) -> str:
    """A whole document with its title and description for those who cannot see it."""
    head = [element("title", text=title), element("desc", text=description)]
    return element(
        "svg",
        [*head, *parts],
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_plain(width)} {_plain(height)}",
        width=width,
        height=height,
        role="img",
        font_family="system-ui, sans-serif",
        font_size=11,
    )


def round_up(value: float) -> float:
    """The end of an axis whose quarters are round numbers: 0.04, 0.08, 0.12, 0.2, 0.4, ... times a power of ten."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return float(next(step * unit for step in (1.2, 1.6, 2, 4, 6, 8, 12) if step * unit >= value))


def _plain(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
