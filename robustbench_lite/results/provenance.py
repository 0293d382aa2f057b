"""Where numbers come from: versions, machine, times. Nothing here enters a cell's id."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from robustbench_lite import __version__
from robustbench_lite.lazy import torch

__all__ = ["machine", "of_cell", "versions"]

_PACKAGES = ("torch", "torchvision", "timm", "kornia", "numpy", "pandas", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of this package, Python, and the libraries that results depend on."""
    found = {"robustbench_lite": __version__, "python": platform.python_version()}
    return found | {package: _installed(package) for package in _PACKAGES}


@cache  # every cell asks, and the answer takes 4 ms
def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def machine(device: torch.device) -> dict[str, Any]:
    """What the device is called, and how many cores or how much memory it has."""
    facts: dict[str, Any] = {"system": platform.system(), "processor": _processor(), "cores": os.cpu_count()}
    facts["threads"] = torch.get_num_threads()
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {"gpu": properties.name, "gpu_memory_gib": round(properties.total_memory / 2**30, 1)}
    return facts


def of_cell(device: torch.device, started: datetime) -> dict[str, Any]:
    """The provenance of one cell."""
    now = datetime.now(UTC)
    return {
        "versions": versions(),
        "machine": machine(device),
        "started": started.isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123  (a device file)
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
