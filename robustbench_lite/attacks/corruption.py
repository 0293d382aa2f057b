"""Common corruptions (Hendrycks and Dietterich, https://arxiv.org/abs/1903.12261): a control, nothing is optimised."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from robustbench_lite.attacks._corruption_tools import Chance
from robustbench_lite.attacks._corruptions import corrupted
from robustbench_lite.attacks.base import StepAttack
from robustbench_lite.engine.access import Access
from robustbench_lite.engine.attack import State, attacks
from robustbench_lite.engine.card import Card, Promise
from robustbench_lite.engine.oracle import Oracle
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.threat.draws import Draw
from robustbench_lite.threat.goal import Goal

__all__ = ["Corruption"]

Kind = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
    "speckle_noise",
    "gaussian_blur",
    "spatter",
    "saturate",
]


@dataclass
class CorruptionState(State):
    key: torch.Tensor  # (n, 2) what the random numbers of each image follow from, in two halves


@attacks.register("corruption")
class Corruption(StepAttack):
    """One of the common corruptions of ImageNet-C, at one of five severities."""

    card: ClassVar[Card] = Card(
        title="Common corruptions",
        paper="Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions, ICLR 2019",
        arxiv="1903.12261",
        protocol=(
            "15 corruptions and 4 more for validation, each at severities 1 to 5: those of the authors' CIFAR-10-C for "
            "images of up to 32 pixels, of ImageNet-C for larger ones."
        ),
        deviations=(
            "frost: the ice is procedural (ridges of plasma noise), the paper's is one of five photographs.",
            "The random numbers of an image are the same at all severities of a corruption; the paper draws anew.",
            "What comes out is rounded to 256 levels; the paper cuts off, and stores ImageNet-C as JPEG (quality 85).",
            "spatter: kornia's Canny, exact distances and Pillow's equalisation for OpenCV's.",
            "glass_blur copies a neighbour, as the paper's code does to colour images where it means to swap.",
            "Greyscale images have noise on their one channel, paint of its brightness, and no hue: saturate leaves "
            "them as they are.",
            "elastic_transform and fog follow the size of the image; the paper's code is for squares of 32 or 224.",
        ),
    )
    access: ClassVar[Access] = "labels"
    found: ClassVar[tuple[str, ...]] = ("key_high", "key_low")

    target: None = Field(None, description="Untargeted: nothing is aimed at.")
    kind: Kind = Field("gaussian_noise", description="Which corruption.")
    severity: Literal[1, 2, 3, 4, 5] = Field(3, description="How strong, from 1 to 5.")

    @property
    def typical_passes(self) -> float:
        return 1.0

    @property
    def promise(self) -> Promise:
        return Promise(factor=float("inf"))

    def stream(self) -> str:
        return f"{self.registered} {self.kind}"  # whatever the severity

    def start(self, x: torch.Tensor, goal: Goal, draw: Draw) -> CorruptionState:
        done = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        halves = torch.stack([draw.key >> 32, draw.key & 0xFFFFFFFF], 1).double()
        return CorruptionState(x, goal, draw, x, done.float(), done, halves)

    def step(self, oracle: Oracle, state: State) -> State:
        assert isinstance(state, CorruptionState)
        candidate = self.rebuild(state.x, state.key)
        reached = oracle.reached(candidate, state.goal)
        return replace(state, candidate=candidate, won=reached, done=torch.ones_like(reached))

    def details(self, state: State) -> torch.Tensor:
        assert isinstance(state, CorruptionState)
        return state.key

    def rebuild(self, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """The images x (n, C, H, W), each corrupted by itself on the CPU with the numbers of its key (n, 2)."""
        if x.shape[1] not in {1, 3}:
            raise AttackError(f"corruption: expected images of 1 or 3 channels, got {x.shape[1]}")
        high, low = found.cpu().long().unbind(1)
        keys = (high << 32) | low
        pairs = zip(x.cpu().permute(0, 2, 3, 1).double().numpy(), keys, strict=True)
        made = [corrupted(image, self.kind, self.severity, Chance(Draw(key[None]))) for image, key in pairs]
        return torch.stack([torch.from_numpy(one) for one in made]).permute(0, 3, 1, 2).to(x).contiguous()

    def faults(self, x: torch.Tensor, candidates: torch.Tensor, found: torch.Tensor) -> list[str]:
        """Per image: a candidate that its key does not give; else empty."""
        nothing = found.isnan().any(1)  # failed before there was one
        made = torch.where(nothing[:, None, None, None], x, self.rebuild(x, found.nan_to_num()))
        other = (candidates != made).flatten(1).any(1).tolist()
        return ["its random numbers give another image" if one else "" for one in other]
