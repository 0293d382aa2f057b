"""What the pretrained configuration of a timm model says, as a card."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any

from robustbench_lite.models._published import Published
from robustbench_lite.models.base import Card, Preprocess

__all__ = ["described"]


def described(source: Published, arch: str, config: Mapping[str, Any]) -> Card:
    """The card of a model of this configuration, `size` that of the network."""
    return Card(
        name=source.title,
        arch=arch,
        classes=config["num_classes"],
        size=tuple(config["input_size"]),
        mean=source.mean or tuple(config["mean"]),
        std=source.std or tuple(config["std"]),
        interpolation=config["interpolation"],
        preprocess=_steps(config),
        licence=str(config.get("license") or ""),
        source=str(config.get("hf_hub_id") or config.get("url") or "timm"),
    )


def _steps(config: Mapping[str, Any]) -> Preprocess | None:
    """As `timm.data.create_transform` makes them; null for borders, which it invents."""
    _, height, width = config["input_size"]
    mode, part = config.get("crop_mode") or "center", config.get("crop_pct") or 0.875
    scaled = floor(height / part), floor(width / part)
    if mode not in {"center", "squash"}:
        return None
    shorter = mode == "center" and height == width
    return Preprocess(
        resize=scaled[0] if shorter else scaled, crop=(height, width), interpolation=config["interpolation"]
    )
