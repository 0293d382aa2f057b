"""What a classifier is: logits from images in [0, 1], with its own normalisation inside, described by its card.

`ModelSource` is the record that a suite's `models:` entry becomes; one source per file in `models/`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, PositiveInt, WithJsonSchema

from robustbench_lite.registry import Config, Number, Records

if TYPE_CHECKING:
    from torch import nn

    from robustbench_lite.engine.certificate import Certificate
    from robustbench_lite.lazy import torch

__all__ = ["Card", "Classifier", "ModelSource", "Preprocess", "Withstood", "models"]

Check = Callable[["torch.Tensor"], None]  # images (n, C, H, W); raises ModelError
Certify = Callable[["torch.Tensor", Sequence[str], int], "Certificate"]  # images, their sample ids, the suite's seed
_STAND_IN = re.compile(r"python:(?P<place>.+):(?P<name>[^:]+)")


def _backward(text: str) -> str:
    if text != "identity" and not _STAND_IN.fullmatch(text):
        raise ValueError(f"expected identity, python:package.module:name or python:path/to/file.py:name, got '{text}'")
    return text


_SHAPES = {"anyOf": [{"const": "identity"}, {"type": "string", "pattern": "^python:.+:.+$"}]}
Backward = Annotated[str, AfterValidator(_backward), WithJsonSchema(_SHAPES)]


class Withstood(Config):
    """How many of `n` images a classifier gets right under an attack in a ball, as measured."""

    dataset: str
    norm: str
    epsilon: Number
    attack: str
    correct: int
    n: int


class Preprocess(Config):
    """How images were prepared for a published classifier, before its normalisation."""

    resize: int | tuple[int, int]  # of the shorter side, or height and width
    crop: tuple[int, int]  # height and width of the middle that is cut out
    interpolation: str

    def told(self) -> str:
        scaled = f"a shorter side of {self.resize}" if isinstance(self.resize, int) else "{} x {}".format(*self.resize)
        return (
            f"inside it images are scaled to {scaled} ({self.interpolation}), and the middle {self.crop[0]} x "
            f"{self.crop[1]} is cut out: attacks see them before that"
        )


class Card(Config):
    """What is known of a classifier before it runs; nothing here is a default that somebody guessed."""

    name: str
    arch: str
    classes: PositiveInt
    size: tuple[int, int, int]  # channels, height, width
    mean: tuple[Number, ...]
    std: tuple[Number, ...]
    interpolation: str | None = None
    preprocess: Preprocess | None = None  # as published; done inside the classifier only where the suite says so
    labels: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""  # where the weights come from, or the recipe that made them
    sha256: str = ""  # of the weights file
    accuracy: dict[str, tuple[int, int]] = {}  # dataset -> (correct, n), measured
    robust: tuple[Withstood, ...] = ()  # of a defended classifier, against the ball it was trained against
    test_error: Number | None = None  # in percent, on the official test set of `dataset`
    dataset: str = ""
    published: dict[str, str] = {}  # what the papers call it: {classifier: LeNet, dataset: MNIST}


@dataclass(frozen=True)
class Classifier:
    """A loaded classifier: eval mode, frozen parameters, normalisation inside `module`."""

    name: str
    card: Card
    module: nn.Module
    weights: str  # content hash of parameters and buffers, and of the code where that is the user's
    warnings: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())  # how it was understood
    draws: int = 1  # passes that one of `module` consists of: of the classifier's own randomness
    code: str = ""  # hash of what computes the logits, or its version
    opaque: bool = False  # what it computes may depend on more than `weights` and `code` say: settings, other files
    certify: Certify | None = None  # what is proven of it around each image; null: nothing is
    check: Check | None = None  # held against what it was converted from, on images of a run; null: it was not


class ModelSource(Config, ABC):
    """Where a classifier comes from, as declared in a suite."""

    name: str = Field("", description="What rows and tables call it; empty: the source's own name.")
    mean: tuple[Number, ...] | None = Field(
        None, description="Subtracted from each channel of images in [0, 1]; null: what the source's card says."
    )
    std: tuple[Number, ...] | None = Field(
        None, description="Each channel is divided by it afterwards; null: what the source's card says."
    )
    size: tuple[int, int, int] | None = Field(
        None, description="Channels, height and width of the images; null: what the source's card says."
    )
    classes: PositiveInt | None = Field(None, description="Number of classes; null: what the source's card says.")
    expectation: PositiveInt | None = Field(
        None,
        description="Of a classifier that is random: logits, and with them gradients and verdicts, are the mean of its "
        "probabilities over so many draws of its own randomness; null: it is not random, and refused where it is.",
    )
    backward: Backward | None = Field(
        None,
        description="Of parts that give no gradient (rounding, quantising; BPDA). identity: gradients go straight "
        "through them; `python:package.module:name` or `python:path/to/file.py:name`: through that function of a "
        "tensor, or module, in their place; null: they are what PyTorch says.",
    )
    trust: bool = Field(default=False, description="Whether this source may run code that the suite names.")

    @property
    @abstractmethod
    def title(self) -> str:
        """`name`, or the source's own name."""

    @property
    def runs_code(self) -> bool:
        """Whether loading executes code that the suite names (then `trust: true` is required)."""
        return False

    @property
    def stand_in(self) -> tuple[str, str] | None:
        """The module or file, and the name in it, of what parts without a gradient are differentiated as."""
        parts = _STAND_IN.fullmatch(self.backward or "")
        return (parts["place"], parts["name"]) if parts else None

    @property
    def stand_in_memory(self) -> Callable[[Any], Any] | None:
        """The same where it is in memory already."""
        return None

    @property
    def defense(self) -> dict[str, str]:
        """Of a classifier behind a defence: which `classifier`, `by` which defence with which `params`; else empty."""
        return {}

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        file = self.stand_in[0] if self.stand_in else ""
        if file.endswith(".py") and not (root / file).is_file():
            yield "backward", f"no file '{file}' under the suite's folder"

    @abstractmethod
    def load(self, root: Path) -> Classifier:
        """The classifier, ready to be attacked, on the CPU. Raises ModelError."""

    def fetch(self, root: Path) -> None:
        """Download what is missing, on a connected machine; most sources have nothing to download."""


models: Records[ModelSource] = Records("model source", "robustbench_lite.models")
