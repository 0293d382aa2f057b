"""All that one cell needs, in one record: the attack on its samples, who is attacked, and who is scored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from robustbench_lite.datasets.base import Samples, images
from robustbench_lite.datasets.stream import ahead, close
from robustbench_lite.engine.attack import SetAttack
from robustbench_lite.engine.certificate import Certificate
from robustbench_lite.engine.inspection import Scorer
from robustbench_lite.engine.job import Fitted, Job
from robustbench_lite.engine.pictures import Pictures
from robustbench_lite.engine.trial import Trial, fitting
from robustbench_lite.errors import AttackError
from robustbench_lite.lazy import torch
from robustbench_lite.models.base import Classifier
from robustbench_lite.results.schema import Caveat, Row
from robustbench_lite.runner._samples import Shown
from robustbench_lite.runner.assets import Victim
from robustbench_lite.runner.beside import latents_of
from robustbench_lite.runner.plan import Cell
from robustbench_lite.runner.preflight import Inspection, Preflight
from robustbench_lite.runner.proofs import Proof
from robustbench_lite.threat.rows import rows
from robustbench_lite.threat.setting import Setting

__all__ = ["CellTrial", "Prepared", "Target", "prepare"]


@dataclass(frozen=True)
class Target:
    """A classifier that is scored, and its logits (n, K) on the clean samples."""

    classifier: Classifier
    scorer: Scorer
    clean: torch.Tensor
    certificate: Certificate | None  # of these samples


@dataclass(frozen=True)
class CellTrial:
    """The trial of a cell. `keep` (n,) are the places of its samples in the pool `samples`; on the CPU.

    `facts`: columns of the cell's own row that are known before it is attacked, `notes` among them.
    """

    cell: Cell
    trial: Trial
    victim: Victim
    targets: tuple[Target, ...]
    samples: Samples
    keep: torch.Tensor
    facts: Row
    stores_images: bool
    proof: Proof | None = None  # what is proven of them; None: nothing was asked

    @property
    def job(self) -> Job:
        """The samples as the attack is given them."""
        return self.trial.job

    @property
    def ids(self) -> list[str]:
        """The ids of the samples, in their order."""
        return self.trial.ids

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The images (n, C, H, W) as the data have them."""
        pixels: npt.NDArray[np.uint8] = (self.job.x.cpu() * 255).round().to(torch.uint8).numpy()
        return pixels


def prepare(cell: Cell, preflight: Preflight) -> CellTrial:
    """All samples of a cell. Raises RobustbenchError where what it needs cannot be loaded or attacked."""
    return Prepared.of(cell, preflight).part()


@dataclass(frozen=True)
class Prepared:
    """A cell that can be attacked: what it needs is loaded and inspected. `keep` (n,): as in `CellTrial`."""

    cell: Cell
    preflight: Preflight
    samples: Samples
    keep: torch.Tensor
    clean: torch.Tensor  # logits (N, K) on the pool of what is attacked
    facts: Row

    @classmethod
    def of(cls, cell: Cell, preflight: Preflight) -> Prepared:
        """Load and inspect. Raises RobustbenchError."""
        if cell.error:
            problem = AttackError(cell.error)
            problem.stage, problem.traceback = cell.stage, cell.traceback
            raise problem
        samples, kept = preflight.assets.samples(cell.dataset), preflight.kept(cell.dataset)
        keep = _without_target(cell, samples, kept)
        clean = preflight.clean_logits(cell.dataset, cell.sources, cell.attack.shares)
        facts = _facts(cell, preflight, samples, clean, kept=len(kept), n=len(keep))
        return cls(cell, preflight, samples, keep, clean, facts)

    def __len__(self) -> int:
        """How many samples are attacked."""
        return len(self.keep)

    @property
    def pace(self) -> float:
        """Seconds that a forward pass of an image took through all sources, when they were inspected."""
        return sum(self.preflight.inspect(self.cell.dataset, name).pace for name in self.cell.sources)

    def like(self) -> Pictures:
        """The images, some of which are attacked: of what size they are."""
        return Shown(self.samples)

    def ahead(self, start: int, stop: int) -> None:
        """Decode the samples from `start` to `stop` in the background: they are attacked next."""
        ahead(self.samples.images, self.keep[start:stop].numpy())

    def close(self) -> None:
        """Nothing is attacked next."""
        close(self.samples.images)

    @property
    def separable(self) -> bool:
        """Whether its samples can be attacked some at a time."""
        return (self.cell.attack.separable or self.universal) and self.samples.scene is None

    @property
    def universal(self) -> bool:
        """Whether one perturbation is fitted before any sample is looked at."""
        return isinstance(self.cell.attack, SetAttack) and self.cell.attack.universal

    def part(self, start: int = 0, stop: int | None = None, fit: Fitted | None = None) -> CellTrial:
        """The samples from `start` to `stop`; all of them: to the end. `fit`: what a universal attack has fitted."""
        cell, attack, assets = self.cell, self.cell.attack, self.preflight.assets
        samples, keep = self.samples, self.keep[start:stop]
        x, labels = images(samples, keep), torch.from_numpy(samples.labels)[keep]
        ids = [samples.ids[i] for i in keep.tolist()]
        victim = assets.victim(cell.sources, attack.shares, x, scene := _scene(cell, samples, keep))
        setting = fit or self._beside(x) or scene
        clean, n = self.clean[keep], len(cell.sources)
        place = (start, len(self.keep))
        trial = Trial.of(attack, x, labels, clean, ids, cell.seed, setting=setting, members=n, place=place)
        targets = tuple(self._target(name, x, scene, keep) for name in cell.targets)
        proof = None
        if cell.certify is not None:
            proof = self.preflight.proofs.of(cell, assets.classifier(cell.source), x, labels, keep)
        stores = assets.suite.images == "all"
        return CellTrial(cell, trial, victim, targets, samples, keep, self.facts, stores_images=stores, proof=proof)

    def _target(self, name: str, x: torch.Tensor, scene: Setting | None, keep: torch.Tensor) -> Target:
        assets, inspection = self.preflight.assets, self.preflight.inspect(self.cell.dataset, name)
        proven = inspection.certificate and rows(inspection.certificate, keep)
        return Target(assets.classifier(name), assets.scorer(name, x, scene), inspection.logits[keep], proven)

    def _beside(self, x: torch.Tensor) -> Setting | None:
        """What the attack needs that does not come with images x (n, C, H, W)."""
        attack = self.cell.attack
        if attack.named is not None:
            return latents_of(attack.named, self.preflight.assets, (x.shape[1], x.shape[2], x.shape[3]))
        return self._fitting if attack.images_to_fit else None

    @cached_property
    def _fitting(self) -> Setting:
        """Other images than those tested, with the victim's predictions on them."""
        cell, assets = self.cell, self.preflight.assets
        others = assets.fitting(cell.dataset, cell.attack.images_to_fit)
        victim = assets.victim(cell.sources, cell.attack.shares, x := images(others))
        return fitting(cell.attack, victim.scorer, x, others.ids, cell.seed, len(cell.sources))


def _facts(cell: Cell, preflight: Preflight, samples: Samples, clean: torch.Tensor, *, kept: int, n: int) -> Row:
    """Columns of CELLS, from the logits (N, K) on the pool, of which `kept` take part, and n are attacked."""
    assets, names = preflight.assets, tuple(dict.fromkeys((*cell.sources, *cell.targets)))
    inspections = {name: preflight.inspect(cell.dataset, name) for name in names}
    alone = inspections[cell.source] if len(cell.sources) == 1 else None
    labels = torch.from_numpy(samples.labels)
    others = [*samples.doubts, *_left_out(cell, kept=kept, n=n)]
    caveats = [*_doubts(inspections), *(Caveat("other", text) for text in others)]
    return {
        "n": n,
        "warnings": [text for _, text in caveats],
        "warning_kinds": [kind for kind, _ in caveats],
        "notes": [f"{name}: {note}" for name in names for note in assets.classifier(name).notes],
        "clean_accuracy": float((clean.argmax(1) == labels).double().mean()),
        "card_accuracy": alone.card_accuracy if alone else None,
        "card_test_error": assets.classifier(cell.source).card.test_error if alone else None,
        "classes": clean.shape[1],
    }


def _without_target(cell: Cell, samples: Samples, keep: torch.Tensor) -> torch.Tensor:
    """Places (n,) of the samples that are attacked: not of the target's own class. Raises AttackError for none."""
    if len(keep) == 0:
        raise AttackError("no sample is left to attack: keep: correct_by_all left none")
    if isinstance(target := cell.attack.target, int):
        keep = keep[torch.from_numpy(samples.labels)[keep] != target]
        if len(keep) == 0:
            raise AttackError(f"target: expected another class than {target}, which every sample is of itself")
    return keep


def _scene(cell: Cell, samples: Samples, keep: torch.Tensor) -> Setting | None:
    """Where the samples `keep` (n,) are attacked. Raises AttackError where the data are not what the attack needs."""
    attack, scene = cell.attack, samples.scene
    if scene is not None and scene.views is not None and not isinstance(scene, attack.needs or ()):
        raise AttackError(f"{attack.registered}: '{cell.dataset}' is an object that is seen in views; use eot3d")
    scene = None if scene is None else scene.pick(keep)
    return (
        scene
        if attack.needs is None or attack.images_to_fit or attack.named
        else attack.needs.of(scene, attack.registered)
    )


def _doubts(inspections: dict[str, Inspection]) -> list[Caveat]:
    """What inspecting the classifiers has shown, by their names where there are several."""
    several = len(inspections) > 1
    doubts = ((name, *caveat) for name, inspection in inspections.items() for caveat in inspection.warnings)
    return [Caveat(kind, f"{name}: {text}" if several else text) for name, kind, text in doubts]


def _left_out(cell: Cell, *, kept: int, n: int) -> list[str]:
    """Warnings about samples that are not attacked."""
    warnings = []
    if kept < cell.n:
        warnings.append(f"{cell.n} samples are wanted, every classifier gets only {kept} of those looked at right")
    if n < kept:
        warnings.append(f"{kept - n} of {kept} samples are left out: the target is their own class")
    return warnings
