"""What an attack on tensors at hand came to: the judge's verdicts, sizes and costs, a row per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_lite.engine.attack import Attack
from robustbench_lite.engine.columns import Scored, Written, called
from robustbench_lite.engine.drive import Outcome
from robustbench_lite.errors import UsageError, did_you_mean
from robustbench_lite.lazy import torch
from robustbench_lite.results.schema import SAMPLES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AttackResult"]


@dataclass(frozen=True, repr=False)
class AttackResult:
    """Verdicts on N images. Tensors lie on the device of the images that were given, in their order.

    `images` (N, C, H, W) are what the attack proposes, also where that is no success; `labels` (N,) the true ones.
    `warnings`: what a reader must know before believing a number; `notes`: what the attack has to say, such as an
    epsilon that it chose; `artifacts`: what it made for all images together.
    """

    attack: Attack
    images: torch.Tensor
    labels: torch.Tensor
    ids: tuple[str, ...]  # content hashes of the clean images
    warnings: tuple[str, ...]
    scored: Scored
    outcome: Outcome  # on the CPU, as is `scored`

    def __len__(self) -> int:
        return len(self.images)

    @property
    def success(self) -> torch.Tensor:
        """Whether the goal is reached (N,), in the judge's own forward pass and within the contract."""
        return self._here(self.scored.verdicts.success)

    @property
    def success_8bit(self) -> torch.Tensor:
        """Whether it still is when the image is saved with 8 bits (N,)."""
        return self._here(self.scored.verdicts.success_8bit)

    @property
    def claimed(self) -> torch.Tensor | None:
        """What the attack itself takes for a success (N,); None: attacks of ours leave that to the judge."""
        claimed = self.outcome.claimed
        return None if claimed is None else self._here(claimed)

    @property
    def margin(self) -> torch.Tensor:
        """Logit gap (N,) in the goal's direction: positive where it is reached."""
        return self._here(self.scored.verdicts.margin)

    @property
    def predictions(self) -> torch.Tensor:
        """The classes (N,) of `images`."""
        return self._here(self.scored.verdicts.predictions)

    @property
    def clean_correct(self) -> torch.Tensor:
        """Whether the clean image is classified as its label (N,)."""
        return self._here(self.scored.clean.argmax(1)) == self.labels

    @property
    def robust(self) -> torch.Tensor:
        """Whether the clean image is classified as its label and the attack, which did not fail, changes nothing (N,).

        For a targeted attack: nothing that it was after.
        """
        sound = torch.tensor([status == "ok" for status in self.status], device=self.images.device)
        return self.clean_correct & ~self.success & sound

    @property
    def forwards(self) -> torch.Tensor:
        """Forward passes that the attack spent on each image (N,)."""
        return self._here(self.outcome.forwards)

    @property
    def backwards(self) -> torch.Tensor:
        """Backward passes that the attack spent on each image (N,)."""
        return self._here(self.outcome.backwards)

    @property
    def seconds(self) -> float:
        """Wall time of the attack, without the judge."""
        return self.outcome.wall

    @property
    def status(self) -> tuple[str, ...]:
        """For each image "ok", or why the attack on it failed: neither a success, nor robust."""
        return tuple(self._written().status())

    @property
    def notes(self) -> tuple[str, ...]:
        return self.outcome.told()

    @property
    def artifacts(self) -> dict[str, torch.Tensor]:
        return {name: self._here(value) for name, value in self.outcome.artifacts.items()}

    def size(self, norm: str) -> torch.Tensor:
        """The size (N,) of every perturbation, float64: l0 (pixels), l0_components, l1, l2, linf; rmsd (0-255).

        rho, rho_linf, rho_l1, rho_l0: l2, linf, ... divided by that of the clean image. Raises UsageError for another.
        """
        sizes = self.scored.verdicts.sizes
        if norm not in sizes:
            raise UsageError(f"unknown norm '{norm}'{did_you_mean(norm, sizes)}")
        return self._here(sizes[norm])

    def frame(self) -> pd.DataFrame:
        """One row per image, with the columns that a run stores (docs/results-format.md)."""
        import pyarrow as pa

        table = pa.Table.from_pylist(self._written().rows(), schema=SAMPLES)
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def __repr__(self) -> str:
        n, right = len(self), int(self.clean_correct.sum())
        failed = sum(status != "ok" for status in self.status)
        parts = [
            f"{called(self.attack)} on {self.scored.target}: {_count(n, 'image')}",
            f"{right} classified correctly, {int(self.robust.sum())} of them robust",
            f"{_count(int(self.success.sum()), 'success')} ({int(self.success_8bit.sum())} in 8 bits)",
            *([f"{failed} FAILED ({next(status for status in self.status if status != 'ok')})"] if failed else []),
            f"{int(self.forwards.sum())} forwards, {int(self.backwards.sum())} backwards",
            f"{self.seconds:.2f} s",
            *(f"warning: {text}" for text in self.warnings),
        ]
        return f"<AttackResult {'; '.join(parts)}>"

    def _written(self) -> Written:
        names = dict.fromkeys(("cell", "suite", "dataset"), "") | {"source": self.scored.target}
        named = names | {"variant": called(self.attack)}
        labels = self.labels.cpu()
        return Written(self.attack, named, self.scored, list(self.ids), labels, self.outcome)

    def _here(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.images.device)


def _count(n: int, word: str) -> str:
    plural = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{n} {word if n == 1 else plural}"
