"""What an attack may do that no norm says, in words: what its parameters tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robustbench_lite.text import budget

__all__ = ["limits"]


def limits(p: Mapping[str, Any]) -> str:
    """Rotations, corruptions, a generator, a patch, colours; else empty."""
    if {"kind", "severity"} <= p.keys():
        return "common corruptions"
    if {"generator", "radius"} <= p.keys():
        return "images from a generator"
    if {"area", "smallest", "shape"} <= p.keys():
        return f"a patch of at most {100 * p['area']:g} %, anywhere"
    if {"brightness", "contrast", "saturation", "hue"} <= p.keys():
        return _coloured(p)
    return _moved(p) if {"rotation", "translation"} <= p.keys() else ""


def _moved(p: Mapping[str, Any]) -> str:
    text = f"±{p['rotation']:g}°, ±{p['translation']:g} px"
    text += f", ±{100 * p['scaling']:g} %" if p.get("scaling") else ""
    text += f", {p['fill']}" if p.get("fill", "zeros") != "zeros" else ""
    for name, inner in (p.get("then") or {}).items():
        text += f", then {name}" + (f" {budget(inner['epsilon'])}" if "epsilon" in inner else "")
    return text


def _coloured(p: Mapping[str, Any]) -> str:
    parts = [f"brightness ±{p['brightness']:g}"] if p["brightness"] else []
    parts += [f"{name} ±{100 * p[name]:g} %" for name in ("contrast", "saturation") if p[name]]
    return ", ".join([*parts, *([f"hue ±{p['hue']:g}°"] if p["hue"] else [])])
