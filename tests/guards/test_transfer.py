"""How tensors get to a device, on doubles of those that there need not be."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from robustbench_lite.guards.transfer import sent


@dataclass
class Double:
    """A tensor that writes down what is asked of it."""

    device: torch.device
    asked: list[object] = field(default_factory=list)

    def pin_memory(self) -> Double:
        self.asked.append("pinned")
        return self

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Double:
        self.asked.append((device.type, non_blocking))
        return Double(device, self.asked)


@pytest.mark.parametrize(
    ("there", "goal", "asked"),
    [
        ("cpu", "cuda", ["pinned", ("cuda", True)]),
        ("cpu", "cpu", [("cpu", False)]),
        ("cuda", "cuda", [("cuda", False)]),
        ("cuda", "cpu", [("cpu", False)]),  # whoever reads it there must find it whole
    ],
)
def test_nobody_waits_for_a_tensor_on_its_way_to_a_gpu(there, goal, asked):
    double = Double(torch.device(there))
    moved = sent(double, torch.device(goal))
    assert moved.device.type == goal
    assert double.asked == asked


def test_on_a_cpu_a_tensor_is_left_where_it_is():
    x = torch.ones(3)
    assert sent(x, x.device) is x
