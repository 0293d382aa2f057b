"""Entries of RobustBench, https://arxiv.org/abs/2010.09670: architectures of its package, weights in files of yours."""

from __future__ import annotations

import re
import sys
import warnings
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from robustbench_lite.errors import ModelError, nearest
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.models._checkpoint import load_state
from robustbench_lite.models._download import download
from robustbench_lite.models._extra import needed
from robustbench_lite.models._fit import fitting
from robustbench_lite.models._in_file import InFile
from robustbench_lite.models._published import Published
from robustbench_lite.models.base import Card, Classifier, Preprocess, models

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Robustbench"]

_CLASSES = {"cifar10": 10, "cifar100": 100, "imagenet": 1000}
_SIDE, _WHOLE = 32, 224
_DRIVE = "https://drive.usercontent.google.com/download?id={}&export=download&confirm=t"
_CONSTANTS = re.compile(r"(normalize\.)?(mu|sigma|mean|std)")  # of the normalisation, which some files leave out
_LEFT = re.compile(r"(.+\.)?(model_preact_hl1\..+|scores)")  # what some files hold beside the network
_LAST = re.compile(r"Kireev2021Effectiveness.*|Andriushchenko2020Understanding")  # they hold the best epoch too
_STEPS = re.compile(r"(Bicubic)?Res(\d+)(?:Crop(\d+))?")  # as the package names them
_INSTALL = "pip install --no-deps robustbench, then pip install geotorch torchdiffeq pyyaml"


@models.register("robustbench")
class Robustbench(InFile, Published):
    """A classifier of RobustBench by its name there; the package builds it, and no pickle is read."""

    robustbench: str = Field(description="Its name in the model zoo, such as Carmon2019Unlabeled.")
    dataset: Literal["cifar10", "cifar100", "imagenet"] = Field("cifar10", description="What it was trained on.")
    threat: Literal["Linf", "L2", "corruptions"] = Field("Linf", description="The threat model of its leaderboard.")
    weights: str | None = Field(
        None, description="The weights file; null: models/DATASET/THREAT/NAME.pt, where the package keeps it."
    )

    @property
    def place(self) -> str:
        return self.weights or f"models/{self.dataset}/{self.threat}/{self.robustbench}.pt"

    @property
    def title(self) -> str:
        return self.name or self.robustbench

    def _missing(self) -> str:
        return f"{super()._missing()}; `fetch` downloads it"

    def fetch(self, root: Path) -> None:
        """Download the weights; needs a connection, and `sha256`."""
        if self._path(root) is None:
            download(self._url(), root / self.place, self.sha256, self.title)
        self.present(root)

    def load(self, root: Path) -> Classifier:
        path, digest = self.present(root)
        with blamed(f"{self.title}: cannot be loaded", ModelError, "load"), undisturbed():
            net = self._net()
            told = self._fill(net, path)
            made = self.finished(self._card(digest), net)
        return replace(made, code=f"robustbench {version('robustbench')}", notes=(*told, *made.notes))

    def _fill(self, net: Any, path: Path) -> tuple[str, ...]:
        """The weights into the network, or, where the file has them without its normalisation, into what is behind."""
        key = "last" if _LAST.fullmatch(self.robustbench) else None
        behind = getattr(net, "model", None) if hasattr(net, "normalize") else None
        refused: ModelError | None = None
        for target in (net, behind) if behind is not None else (net,):
            constants = {name: value for name, value in target.state_dict().items() if _CONSTANTS.fullmatch(name)}
            part = fitting(target, path, self.title, key, frozenset(constants), _LEFT)
            try:
                load_state(target, constants | part.state, self.title, part.told(path.name))
            except ModelError as error:
                refused = refused or error
            else:
                return part.notes(path.name)
        assert refused is not None
        raise refused

    def _card(self, digest: str) -> Card:
        big = self.dataset == "imagenet"
        steps = self._steps() if big else None
        side = steps.crop[0] if steps else _WHOLE if big else _SIDE
        return Card(
            name=self.title,
            arch=f"robustbench {self.dataset} {self.threat} {self.robustbench}",
            classes=_CLASSES[self.dataset],
            size=(3, side, side),
            mean=self.mean or (0.0,),
            std=self.std or (1.0,),
            interpolation=steps.interpolation if steps else None,
            preprocess=steps,
            source=f"RobustBench {self.dataset} {self.threat}, {Path(self.place).name}",
            sha256=digest,
        )

    def _steps(self) -> Preprocess | None:
        found = _STEPS.fullmatch(self._entry.get("preprocessing") or "")
        if found is None:
            return None
        cubic, side, crop = found.groups()
        resize: int | tuple[int, int] = int(side) if crop else (int(side), int(side))
        out = int(crop or side)
        return Preprocess(resize=resize, crop=(out, out), interpolation="bicubic" if cubic else "bilinear")

    @property
    def _entry(self) -> dict[str, Any]:
        """What the package says of it. Raises ModelError."""
        known = {
            dataset.value: {threat.value: names for threat, names in threats.items()}
            for dataset, threats in _zoo(self.title).items()
        }
        names = known[self.dataset].get(self.threat, {})
        if self.robustbench not in names:
            near = nearest(self.robustbench, list(names))
            raise ModelError(
                f"{self.title}: RobustBench {version('robustbench')} has no '{self.robustbench}' for {self.dataset}, "
                f"{self.threat}{f'; did you mean {near}?' if near else ''}"
            )
        entry: dict[str, Any] = names[self.robustbench]
        if isinstance(entry["gdrive_id"], list):
            raise ModelError(f"{self.title}: it is put together of {len(entry['gdrive_id'])} files, which is not read")
        if entry["gdrive_id"] == "":
            raise ModelError(f"{self.title}: its weights are torchvision's: say torchvision: resnet50@IMAGENET1K_V1")
        return entry

    def _net(self) -> nn.Module:
        entry = self._entry
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net: nn.Module = entry["model"]() if entry["gdrive_id"] else self._of_timm()
        return net.eval()

    def _of_timm(self) -> Any:
        import timm  # seconds of import, paid only by those who use it

        name = f"{self.robustbench.lower().replace('-', '_')}_{self.dataset}_{self.threat.lower()}"
        return timm.create_model(name, num_classes=_CLASSES[self.dataset], pretrained=False)

    def _url(self) -> str:
        entry = self._entry
        if entry["gdrive_id"]:
            return _DRIVE.format(entry["gdrive_id"])
        net = self._of_timm()
        return str(getattr(net, "model", net).default_cfg["url"])


@cache
def _zoo(what: str) -> Any:
    """The tables of the package; its own first lines import other attacks and downloaders, and are gone round."""
    spec = find_spec("robustbench")
    if spec is None or spec.submodule_search_locations is None:
        raise ModelError(f"{what}: needs robustbench; {_INSTALL}")
    bare = "robustbench" not in sys.modules
    if bare:
        sys.modules["robustbench"] = package = ModuleType("robustbench")
        package.__path__, package.__spec__ = list(spec.submodule_search_locations), spec
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it asks timm for old names
            return needed("robustbench.model_zoo.models", what, _INSTALL).model_dicts
    finally:
        if bare:
            del sys.modules["robustbench"]
