"""The attacks, as classes: `from robustbench_lite.attacks import PGD`; and what an attack of one's own derives from.

One attack per file; its decorator is what makes it appear here. Nothing is imported before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors; what there is at run time is what is registered
    from robustbench_lite.attacks.adversarial_patch import AdversarialPatch as AdversarialPatch
    from robustbench_lite.attacks.advgan import AdvGAN as AdvGAN
    from robustbench_lite.attacks.apgd import APGD as APGD
    from robustbench_lite.attacks.autoattack import AutoAttack as AutoAttack
    from robustbench_lite.attacks.base import Attack as Attack
    from robustbench_lite.attacks.base import AttackResult as AttackResult
    from robustbench_lite.attacks.base import Card as Card
    from robustbench_lite.attacks.base import Composition as Composition
    from robustbench_lite.attacks.base import Draw as Draw
    from robustbench_lite.attacks.base import Goal as Goal
    from robustbench_lite.attacks.base import Number as Number
    from robustbench_lite.attacks.base import Oracle as Oracle
    from robustbench_lite.attacks.base import Promise as Promise
    from robustbench_lite.attacks.base import SetAttack as SetAttack
    from robustbench_lite.attacks.base import State as State
    from robustbench_lite.attacks.base import StepAttack as StepAttack
    from robustbench_lite.attacks.base import attacks as attacks
    from robustbench_lite.attacks.cascade import Cascade as Cascade
    from robustbench_lite.attacks.corruption import Corruption as Corruption
    from robustbench_lite.attacks.cw import CW as CW
    from robustbench_lite.attacks.ddn import DDN as DDN
    from robustbench_lite.attacks.deepfool import DeepFool as DeepFool
    from robustbench_lite.attacks.ensemble import Ensemble as Ensemble
    from robustbench_lite.attacks.eot import EOT as EOT
    from robustbench_lite.attacks.eot3d import EOT3D as EOT3D
    from robustbench_lite.attacks.fab import FAB as FAB
    from robustbench_lite.attacks.fgsm import FGSM as FGSM
    from robustbench_lite.attacks.fmn import FMN as FMN
    from robustbench_lite.attacks.hop_skip_jump import HopSkipJump as HopSkipJump
    from robustbench_lite.attacks.latent import Latent as Latent
    from robustbench_lite.attacks.lbfgs import LBFGS as LBFGS
    from robustbench_lite.attacks.mifgsm import MIFGSM as MIFGSM
    from robustbench_lite.attacks.noise import Noise as Noise
    from robustbench_lite.attacks.pgd import PGD as PGD
    from robustbench_lite.attacks.recolor import Recolor as Recolor
    from robustbench_lite.attacks.rp2 import RP2 as RP2
    from robustbench_lite.attacks.sigma_zero import SigmaZero as SigmaZero
    from robustbench_lite.attacks.spatial import Spatial as Spatial
    from robustbench_lite.attacks.square import Square as Square
    from robustbench_lite.attacks.strongest import Strongest as Strongest
    from robustbench_lite.attacks.universal import Universal as Universal
    from robustbench_lite.attacks.universal_sgd import UniversalSGD as UniversalSGD

_BASE = "robustbench_lite.attacks.base"


def _classes() -> dict[str, type[Attack]]:
    """Every registered attack by the name of its class; ours before those of other packages."""
    registry = import_module(_BASE).attacks
    records = sorted((registry[name] for name in registry), key=lambda one: one.__module__.startswith(__name__))
    return {record.__name__: record for record in records}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted({*import_module(_BASE).__all__, *_classes()})
    if name.startswith("__"):  # the import machinery asks for some, also of files
        raise AttributeError(name)
    base = import_module(_BASE)
    if name in base.__all__:
        return getattr(base, name)
    classes = _classes()
    if name not in classes:
        from robustbench_lite.errors import did_you_mean

        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{did_you_mean(name, classes)}")
    return classes[name]


def __dir__() -> list[str]:
    return list(__getattr__("__all__"))
