"""`doctor`: what this machine has that results depend on."""

from __future__ import annotations

from collections.abc import Iterator

from robustbench_lite.results import provenance
from robustbench_lite.runner.run import device_named

__all__ = ["environment"]


def environment() -> Iterator[tuple[str, str]]:
    """(name, value) of what results depend on here."""
    yield from provenance.versions().items()
    device = device_named("auto")
    yield "device", str(device)
    for name, value in provenance.machine(device).items():
        yield name, str(value)
