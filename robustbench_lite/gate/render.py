"""What `check` says: text, JSON, GitHub annotations, JUnit, Markdown; every name is escaped for where it goes."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.gate.pairing import Report, Verdict
from robustbench_lite.gate.statistics import Finding
from robustbench_lite.text import (
    GATE_FORMATS,
    colored,
    for_annotation,
    for_annotation_title,
    for_markdown,
    for_xml,
    p_value,
    signed,
    visible,
)

__all__ = ["headline", "lines_of", "render_report", "summary"]

_WORDS = {"incomparable": "ERROR", "failed": "FAIL", "improved": "better", "passed": "pass"}
_TINY = 1e-4
_ANNOTATIONS = 10  # GitHub shows no more of a step
_COLUMNS = ("verdict", "gate", "before", "now", "change", "lost", "won", "n", "p", "adjusted", "detects")
_COLOURS = {"incomparable": 31, "failed": 31, "improved": 36, "passed": 32}


def render_report(report: Report, style: str, width: int | None = None, *, color: bool = False) -> str:
    """The report in one of `GATE_FORMATS`, ending with a newline. `width`: of the terminal, for text; None: 80."""
    if style == "text":
        return _text(report, max(40, min(width or 80, 120)), color)
    writers: dict[str, Callable[[Report], str]] = {
        "json": _json,
        "github": _github,
        "junit": _junit,
        "markdown": _markdown,
    }
    if style not in writers:
        raise UsageError(f"unknown format '{style}'{did_you_mean(style, GATE_FORMATS)}")
    return writers[style](report)


def headline(report: Report) -> str:
    """One sentence: how many gates, and how many of them did not pass."""
    n = len(report.verdicts)
    bad, odd = len(report.of("failed")), len(report.of("incomparable"))
    parts = [f"{bad} of {n} gates failed"] if bad else []
    parts += [f"{odd} of {n} could not be compared"] if odd else []
    gained = len(report.of("improved"))
    better = f"; {gained} improved" if gained else ""
    return (", ".join(parts) or f"{'all ' if n > 1 else ''}{n} gate{'s' if n > 1 else ''} passed") + better


def lines_of(verdict: Verdict) -> Iterator[str]:
    """Everything about one gate, in sentences: why it did not pass, what was measured, and what else to know."""
    yield from verdict.reasons
    for finding in verdict.findings:
        yield from _measured(finding)
    yield from verdict.remarks


def _measured(finding: Finding) -> Iterator[str]:
    accuracy = finding.of_accuracy
    values = (
        f"{finding.before:.1f} -> {finding.after:.1f} %" if accuracy else f"{finding.before:.4g} -> {finding.after:.4g}"
    )
    yield f"{finding.metric} {values}: {_change(finding, 'points' if accuracy else '%')}"
    words = ("lost", "won") if accuracy else ("smaller", "larger")
    yield (
        f"{finding.lost} {words[0]}, {finding.won} {words[1]} of n={finding.n}; p={_exact(finding.p)}, "
        f"adjusted {_exact(finding.adjusted)}; {_detects(finding)}"
    )


def _change(finding: Finding, unit: str) -> str:
    """The change with its interval, where there is one."""
    low, high = finding.interval.low, finding.interval.high
    if low == high == 0 or (math.isnan(low) and finding.drop == finding.lost == finding.won == 0):
        return "no change"
    text = f"{signed(-finding.drop)} {unit}".rstrip()
    return text if math.isnan(low) else f"{text} [{signed(-high)}, {signed(-low)}]"


def _detects(finding: Finding) -> str:
    if not finding.tested:
        return "nothing to lose"
    if math.isnan(finding.detectable):
        return "by the sign test, failures as infinite"
    if math.isinf(finding.detectable):
        return "too few samples to detect any drop"
    return f"detects {finding.detectable:.1f} {'points' if finding.of_accuracy else '%'}"


def _exact(p: float) -> str:
    return p_value(p, _TINY) if p >= _TINY else f"{p:.0e}"  # of many tests even a tiny one may matter


def _rules(report: Report) -> str:
    """How it was decided, in one paragraph."""
    gate = report.gate
    margin = f"a drop fails beyond {gate.max_drop:g} points (distances {gate.max_distance_drop:g} %)"
    if gate.mode == "point":
        return f"mode point: {margin}, chance included; no test is made"
    return (
        f"{margin} if certain: one-sided exact McNemar (distances: Wilcoxon; medians: signs), Holm over {report.tests} "
        f"test{'s' if report.tests != 1 else ''}, confidence {gate.confidence:g}; detects: the smallest drop that "
        "fails in 80 % of runs; [95 % paired bootstrap interval]"
    )


def _offer(report: Report) -> str:
    if not report.of("improved") or report.exit_code:
        return ""
    return "Improvements last only if they are the new baseline: robustbench-lite baseline RESULTS -o BASELINE"


def _text(report: Report, width: int, color: bool) -> str:
    def wrap(text: str, indent: str = "") -> list[str]:
        return textwrap.wrap(visible(text), width, initial_indent=indent, subsequent_indent=f"{indent}  ")

    lines = [*wrap(headline(report)), ""]
    for verdict in report.verdicts:
        word = f"{_WORDS[verdict.status]:7}"
        head, *rest = wrap(f"{word}{verdict.name}")
        start = colored(head[:7], _COLOURS[verdict.status]) if color else head[:7]
        lines += [f"{start}{head[7:]}", *rest]
        lines += [line for text in lines_of(verdict) for line in wrap(text, " " * 7)]
    lines += ["", *wrap(_rules(report)), *wrap(_offer(report))]
    return "\n".join(lines) + "\n"


def _markdown(report: Report) -> str:
    return "\n".join([*_markdown_lines(report)]) + "\n"


def _markdown_lines(report: Report) -> Iterator[str]:
    yield f"**Robustness: {for_markdown(headline(report))}**"
    yield ""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{'|'.join([':---', ':---', *['---:'] * (len(_COLUMNS) - 2)])}|"
    for verdict in report.verdicts:
        for row in _rows(verdict):
            yield f"| {' | '.join(map(for_markdown, row))} |"
    reasons = [(verdict.name, text) for verdict in report.verdicts for text in (*verdict.reasons, *verdict.remarks)]
    if reasons:
        yield ""
        yield from (f"- {for_markdown(name)}: {for_markdown(reason)}" for name, reason in reasons)
    yield ""
    yield for_markdown(_rules(report))
    if offer := _offer(report):
        yield ""
        yield for_markdown(offer)


def _rows(verdict: Verdict) -> Iterator[list[str]]:
    word = _WORDS[verdict.status]
    if not verdict.findings:
        yield [word, verdict.name, *["—"] * (len(_COLUMNS) - 2)]
    for finding in verdict.findings:
        accuracy = finding.of_accuracy
        unit = "" if accuracy else " %"
        values = [f"{v:.1f} %" if accuracy else f"{v:.4g}" for v in (finding.before, finding.after)]
        change = _change(finding, unit.strip())
        detects = f"{finding.detectable:.1f}{unit}" if math.isfinite(finding.detectable) else "—"
        counts = [str(finding.lost), str(finding.won), str(finding.n)]
        name = verdict.name if accuracy else f"{verdict.name}, {finding.metric}"
        yield [word, name, *values, change, *counts, _exact(finding.p), _exact(finding.adjusted), detects]


def summary(report: Report, room: int) -> str:
    """The Markdown in at most `room` bytes of UTF-8; what does not fit is said, where that fits."""
    whole = _markdown(report)
    if len(whole.encode("utf-8", "replace")) <= room:
        return whole
    last = "\nThe rest does not fit here: `--format text` prints it.\n"
    out, used = "", len(last)
    for line in _markdown_lines(report):
        used += len(line.encode("utf-8", "replace")) + 1
        if used > room:
            break
        out += f"{line}\n"
    return out + last if len(last) <= room else ""


def _github(report: Report) -> str:
    """GitHub workflow commands, worst first, at most ten; one notice where everything passed."""
    bad = [verdict for verdict in report.verdicts if not verdict.passed]
    if not bad:
        return f"::notice title=Robustness::{for_annotation(headline(report))}\n"
    shown = bad[: _ANNOTATIONS if len(bad) <= _ANNOTATIONS else _ANNOTATIONS - 1]
    lines = [_error(f"Robustness: {verdict.name}", "; ".join(lines_of(verdict))) for verdict in shown]
    if len(bad) > len(shown):
        lines.append(_error("Robustness", f"{headline(report)}; the {len(shown)} worst are shown"))
    return "\n".join(lines) + "\n"


def _error(title: str, text: str) -> str:
    return f"::error title={for_annotation_title(title)}::{for_annotation(text)}"


def _junit(report: Report) -> str:
    """One test case per gate: failures that failed, errors that could not be compared."""
    counts = {
        "tests": len(report.verdicts),
        "failures": len(report.of("failed")),
        "errors": len(report.of("incomparable")),
    }
    numbers = {key: str(value) for key, value in counts.items()}
    suites = ET.Element("testsuites", numbers)
    suite = ET.SubElement(suites, "testsuite", {"name": "robustness", **numbers, "skipped": "0"})
    for verdict in report.verdicts:
        case = ET.SubElement(suite, "testcase", {"classname": f"robustness.{for_xml(verdict.scores.dataset)}"})
        case.set("name", for_xml(verdict.name))
        if not verdict.passed:
            kind = "error" if verdict.status == "incomparable" else "failure"
            bad = ET.SubElement(case, kind, {"message": for_xml("; ".join(verdict.reasons)), "type": verdict.status})
            bad.text = for_xml("\n".join(lines_of(verdict)))
        else:
            ET.SubElement(case, "system-out").text = for_xml("\n".join(lines_of(verdict)))
    ET.indent(suites, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, "unicode")}\n'


def _json(report: Report) -> str:
    content = {
        "passed": report.exit_code == 0,
        "exit_code": report.exit_code,
        "headline": headline(report),
        "gate": report.gate.params() | {"cells": report.gate.plain().get("cells", [])},
        "baseline": report.about,
        "verdicts": [_verdict(verdict) for verdict in report.verdicts],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace").decode() + "\n"


def _verdict(verdict: Verdict) -> dict[str, Any]:
    facts = {name: verdict.scores.facts[name] for name in ("dataset", "source", "model", "attack", "variant", "seed")}
    found = [_finding(finding) for finding in verdict.findings]
    said = {"status": verdict.status, "reasons": list(verdict.reasons), "remarks": list(verdict.remarks)}
    red = None if verdict.scores.red is None else list(verdict.scores.red)
    return {**facts, **said, "red": red, "findings": found}


def _finding(finding: Finding) -> dict[str, Any]:
    names = ("metric", "before", "after", "drop", "margin", "lost", "won", "n", "p", "adjusted")
    found = finding.interval
    extra: dict[str, Any] = {"drop_low": found.low, "drop_high": found.high, "detectable": finding.detectable}
    extra["unit"] = "points" if finding.of_accuracy else "percent"
    return {name: _finite(value) for name, value in ({n: getattr(finding, n) for n in names} | extra).items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
