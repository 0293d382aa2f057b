"""What is sent to a device, and when it is done there."""

from __future__ import annotations

from robustbench_lite.lazy import torch

__all__ = ["done", "sent"]


def sent(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """X on the device. To a GPU through memory that is not paged, without waiting: its queue keeps the order."""
    if device.type != "cuda" or x.device.type != "cpu":
        return x.to(device)
    return x.pin_memory().to(device, non_blocking=True)


def done(device: torch.device) -> None:
    """Wait until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
