"""Text of unknown origin, made safe for where it goes, and numbers as people write them: the only place for either.

Every escape begins with `visible`, so that no name moves a cursor, reverses a line or looks like another; what is said
of a format's own markup is beside it.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

__all__ = [
    "GATE_FORMATS",
    "TABLE_FORMATS",
    "beside",
    "bracketed",
    "budget",
    "colored",
    "duration",
    "first_of",
    "for_annotation",
    "for_annotation_title",
    "for_attribute",
    "for_csv",
    "for_html",
    "for_latex",
    "for_markdown",
    "for_script",
    "for_xml",
    "levels",
    "lines",
    "listed",
    "p_equals",
    "p_value",
    "percent",
    "plural",
    "shortened",
    "signed",
    "significant",
    "storable",
    "visible",
]

TABLE_FORMATS = ("text", "markdown", "latex", "csv", "json")
GATE_FORMATS = ("text", "json", "github", "junit", "markdown")
_LONGEST = 20_000  # characters of one text; what is longer holds up a terminal, a page, a log
_SLACK = 64  # more: as many as the remark on what was left out takes
_FEWEST = 1_000  # of it that are shown at the end
# letters, marks and symbols that are drawn as nothing at all: Unicode calls them default ignorable
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
_HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"}
_TINY = 1e-5  # below it numbers are written with an exponent
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", '"': r"\char34{}", "—": "---", "·": r"\textperiodcentered{}",
    "…": r"\ldots{}", "\0": "{}",
}  # fmt: skip
_TEX_CHARS = str.maketrans(_TEX)
_MARKDOWN_CHARS = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"} | {char: f"\\{char}" for char in "\\`*_[]|~#"}
)
_NUMBERS = re.compile(r"[0-9.][0-9., \[\]]*")  # which most cells of tables are: nothing in them is markup
_MATH = {
    "||r|| / ||x||": r"\|r\| / \|x\|", "rho_adv": r"\hat{\rho}_{\mathrm{adv}}", "rho": r"\rho", "epsilon": r"\epsilon",
    "l0": r"\ell_0", "l1": r"\ell_1", "l2": r"\ell_2", "linf": r"\ell_\infty", "inf": r"\infty",
    "±": r"\pm", "°": r"^\circ", "\u00d7": r"\times", "≤": r"\le", "≥": r"\ge",
}  # fmt: skip
_WORDS = re.compile(
    "|".join(rf"(?<![\w-]){re.escape(word)}(?![\w-])" if word.isidentifier() else re.escape(word) for word in _MATH)
)


def visible(text: str, most: int = _LONGEST) -> str:
    """Control, direction and invisible characters as their code points, and no more than about `most` characters.

    So a name cannot move the cursor, reverse the line, look like another, or fill the screen.
    """
    if len(text) <= most and text.isascii() and text.isprintable():
        return text  # most are
    text = shortened(text, most)
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join(f"<U+{ord(char):04X}>" if _is_hidden(char) else char for char in text)


def lines(text: str, most: int = _LONGEST) -> str:
    """The same for a text of several lines, which stay apart."""
    return "\n".join(visible(line) for line in shortened(text, most).split("\n"))


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN or _BLANK.match(char) is not None


def shortened(text: str, most: int = _LONGEST) -> str:
    """The beginning and the end of what is too long, and how much is missing; what was shortened stays as it is."""
    if len(text) <= most + _SLACK:
        return text
    end = min(_FEWEST, most // 4)
    start = most - end
    return f"{text[:start]} ... {len(text) - most:,} characters left out ... {text[-end:]}"


def storable(text: str) -> str:
    """The same as valid Unicode: halves of a pair, which no file can hold, as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def budget(epsilon: float) -> str:
    """A radius for images in [0, 1]: 8/255 where it is a whole or half number of grey levels and no short decimal."""
    levels = 255 * epsilon
    if float(f"{epsilon:.2g}") == epsilon or abs(2 * levels - round(2 * levels)) > 1e-6 * levels:
        return f"{epsilon:.4g}"
    return f"{round(2 * levels) / 2:g}/255"


def levels(size: float, digits: int = 3) -> str:
    """A measured change, for images in [0, 1], in grey levels: 7.97/255."""
    return f"{255 * size:.{digits}g}/255"


def beside(size: float, epsilon: float, digits: int = 4) -> str:
    """A measured size in the unit in which its budget is shown."""
    return levels(size, digits) if budget(epsilon).endswith("/255") else f"{size:.{digits}g}"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits; with an exponent only where it is tiny."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < _TINY:
        return f"{value:.{digits - 1}e}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(places, 8)}f}"


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, with so many digits behind the point and without the sign."""
    return f"{100 * share:.{digits}f}"


def signed(value: float, style: str = ".1f") -> str:
    """A difference; no negative zero."""
    return f"{value + 0.0:+{style}}"


def bracketed(value: str, low: str, high: str) -> str:
    """A number with the ends of its interval."""
    return f"{value} [{low}, {high}]"


def p_value(p: float, least: float = 0.001) -> str:
    """Never 0: below `least` only that much is said."""
    return f"< {least:g}" if p < least else f"{p:.2g}"


def p_equals(p: float) -> str:
    """The same in a sentence."""
    return f"p {'' if p < 0.001 else '= '}{p_value(p)}"


def plural(count: int, one: str, several: str = "") -> str:
    """So many of something: 1 cell, 2 cells, 2 classes."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def duration(seconds: float) -> str:
    """How long something takes, in a word or two."""
    minutes = round(seconds / 60)
    if seconds < 600:
        return f"{max(1, round(seconds))} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in a sentence: a, b and c; beyond `most` the others are counted."""
    if len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} others"]
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def first_of(sentences: Sequence[str]) -> str:
    """What a headline has room for: the first, and how many more there are."""
    more = f"; and {len(sentences) - 1} more" if len(sentences) > 1 else ""
    return f"{sentences[0]}{more}" if sentences else ""


def for_markdown(text: str) -> str:
    """No markup, no HTML, no mention of a user."""
    return visible(text).translate(_MARKDOWN_CHARS)


def for_latex(text: str) -> str:
    """No name is a command, and what is mathematics is set as such."""
    text = visible(text)
    if _NUMBERS.fullmatch(text):
        return text
    out, start = [], 0
    for word in _WORDS.finditer(text):
        out += [_for_tex(text[start : word.start()]), f"${_MATH[word.group()]}$"]
        start = word.end()
    whole = "".join([*out, _for_tex(text[start:])])
    return f"{{}}{whole}" if whole[:1] in {"[", "*"} else whole  # after \\ these would be its argument


def _for_tex(text: str) -> str:
    apart = re.sub("-(?=-)", "-\0", text)  # or LaTeX would make a dash of them; text has no control characters
    return apart.translate(_TEX_CHARS)


def for_csv(text: str) -> str:
    """A spreadsheet must not take a name for a formula."""
    text = visible(text).strip()
    return f"'{text}" if text[:1] in {"=", "+", "-", "@"} else text


def for_html(text: str) -> str:
    """The content of an element of HTML or SVG."""
    return escape(visible(text))


def for_attribute(text: str) -> str:
    """The value of an attribute of HTML or SVG, with its quotes."""
    return quoteattr(visible(text))


def for_script(data: object) -> str:
    """Plain data as JSON that cannot end the element of HTML that holds it."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def for_xml(text: str) -> str:
    """Lines are kept; whatever else XML 1.0 cannot hold is shown as its code point or left out."""
    return _NOT_XML.sub("", "\n".join(visible(line) for line in text.split("\n")))


def for_annotation(text: str) -> str:
    """The message of a GitHub workflow command."""
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def for_annotation_title(text: str) -> str:
    """A property of a GitHub workflow command."""
    return for_annotation(text).replace(":", "%3A").replace(",", "%2C")


def colored(text: str, code: int) -> str:
    """Text of a terminal in one of its colours (SGR); the text must be visible already."""
    return f"\x1b[{code}m{text}\x1b[0m"
