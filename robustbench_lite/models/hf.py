"""Image classifiers as the Hugging Face Hub has them: `hf: owner/name` of one commit, or a folder of yours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from robustbench_lite.errors import ModelError
from robustbench_lite.guards.files import contents
from robustbench_lite.guards.foreign import blamed, undisturbed
from robustbench_lite.models._checkpoint import load_state, read_weights
from robustbench_lite.models._processor import processed
from robustbench_lite.models._published import Published
from robustbench_lite.models._timm import described
from robustbench_lite.models.base import Card, Classifier, models

__all__ = ["Hf"]

_HUB = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = ["config.json", "preprocessor_config.json", "processor_config.json"]
_FILES += ["*.safetensors", "*.safetensors.index.json"]
_OURS = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable"}
_LARGEST = 2**24  # bytes of a configuration; class names take most of it


@models.register("hf")
class Hf(Published):
    """A classifier of transformers or timm in safetensors; no code of the repository runs."""

    hf: str = Field(description="`owner/name` on the Hub, or a folder that save_pretrained wrote: ./mine.")
    revision: str | None = Field(
        None,
        pattern="^[0-9a-f]{40}$",
        description="The whole hash of the commit, 40 digits; a name on the Hub needs it.",
    )

    @model_validator(mode="after")
    def _pinned(self) -> Hf:
        if self._is_folder and self.revision is not None:
            raise ValueError("revision: a folder has none; leave it out")
        if not self._is_folder and not _HUB.fullmatch(self.hf):
            raise ValueError(f"hf: expected owner/name of the Hub, or ./folder, got '{self.hf}'")
        if not self._is_folder and self.revision is None:
            raise ValueError(
                "revision: state the commit, 40 digits (on the Hub under Files, History): a branch or tag may move"
            )
        return self

    @property
    def _is_folder(self) -> bool:
        return self.hf.startswith(("./", "../", "/"))

    @property
    def title(self) -> str:
        return self.name or self.hf.rstrip("/").rpartition("/")[2]

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        yield from super().absent(root)
        if self._is_folder and not (root / self.hf / "config.json").is_file():
            yield "hf", f"{self.title}: no config.json in the folder '{self.hf}', as seen from the suite's"

    def fetch(self, root: Path) -> None:
        """Download into the cache of huggingface_hub; needs a connection."""
        if not self._is_folder:
            self._folder(root, local=False)

    def load(self, root: Path) -> Classifier:
        folder = self._folder(root, local=True)
        config = self._json(folder, "config.json")
        with blamed(f"{self.title}: cannot be loaded", ModelError, "load"), undisturbed():
            return self._of_timm(folder, config) if "architecture" in config else self._of_transformers(folder)

    def _folder(self, root: Path, *, local: bool) -> Path:
        if self._is_folder:
            return root / self.hf
        from huggingface_hub import snapshot_download

        try:
            found = snapshot_download(self.hf, revision=self.revision, allow_patterns=_FILES, local_files_only=local)
        except Exception as error:  # noqa: BLE001  (hub, network and file errors have no common base)
            raise ModelError(
                f"{self.title}: {self.hf} at {self.revision} is not in the hub's cache and cannot be downloaded "
                f"({type(error).__name__}); run `fetch` on this suite where there is a connection, and carry the cache "
                "over"
            ) from None
        return Path(found)

    def _json(self, folder: Path, name: str) -> dict[str, Any]:
        try:
            found = json.loads(contents(folder / name, _LARGEST))
        except (OSError, ValueError) as error:
            raise ModelError(f"{self.title}: {name} cannot be read ({error})") from None
        if not isinstance(found, dict):
            raise ModelError(f"{self.title}: {name}: expected a mapping, got {type(found).__name__}")
        return found

    def _of_timm(self, folder: Path, config: dict[str, Any]) -> Classifier:
        """As timm's `push_to_hf_hub` and `save_for_hf` write it."""
        import timm  # seconds of import, paid only by those who use it

        arch, facts = str(config["architecture"]), dict(config.get("pretrained_cfg") or {})
        if not timm.is_model(arch):
            raise ModelError(f"{self.title}: timm {timm.__version__} has no architecture '{arch}'")
        facts["num_classes"] = config.get("num_classes", facts.get("num_classes"))
        given = dict(config.get("model_args") or {})
        if _OURS & given.keys():
            raise ModelError(f"{self.title}: model_args in config.json: {', '.join(_OURS & given.keys())} is not taken")
        net: Any = timm.create_model(arch, pretrained=False, **{**given, "num_classes": facts["num_classes"]})
        path = self._weights(folder)
        load_state(net, read_weights(path, self.title), self.title)
        missing = [key for key in ("input_size", "mean", "std", "interpolation") if key not in facts]
        if missing:
            raise ModelError(f"{self.title}: pretrained_cfg in config.json does not say {', '.join(missing)}")
        labels = tuple(map(str, config.get("label_names") or ()))
        card = described(self, arch, facts).model_copy(update={"labels": labels, "source": self._source})
        return replace(self.finished(card, net), code=f"timm {timm.__version__}")

    def _weights(self, folder: Path) -> Path:
        path = folder / "model.safetensors"
        if not path.is_file():
            raise ModelError(
                f"{self.title}: expected model.safetensors, found none; pickled weights are not read: convert them"
            )
        return path

    @property
    def _source(self) -> str:
        return self.hf if self._is_folder else f"{self.hf} at {self.revision}"

    def _of_transformers(self, folder: Path) -> Classifier:
        from robustbench_lite.models._extra import needed

        transformers = needed("transformers", self.title, "pip install '.[hf]'")
        if not list(folder.glob("*.safetensors")):
            self._weights(folder)
        transformers.utils.logging.disable_progress_bar()
        net, loading = transformers.AutoModelForImageClassification.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation="eager",  # others may come from the Hub, as code
            dtype="float32",
        )
        self._check(net.config, loading)
        labels = tuple(str(net.config.id2label[i]) for i in range(net.config.num_labels))
        known = any(label != f"LABEL_{i}" for i, label in enumerate(labels))
        seen = processed(self, folder, net.config, transformers)
        card = Card(
            name=self.title,
            arch=type(net).__name__,
            classes=net.config.num_labels,
            **seen,
            labels=labels if known else (),
            source=self._source,
        )
        return replace(self.finished(card, net), code=f"transformers {transformers.__version__}")

    def _check(self, config: Any, loading: dict[str, Any]) -> None:
        """Raises ModelError for what would be initialised at random, and for what is no classifier of one label."""
        wrong = {key: sorted(map(str, loading[f"{key}_keys"])) for key in ("missing", "unexpected", "mismatched")}
        told = "; ".join(f"{key} {', '.join(names[:3])}" for key, names in wrong.items() if names)
        if told:
            raise ModelError(f"{self.title}: the weights are not those of the classifier in config.json: {told}")
        if config.problem_type in {"regression", "multi_label_classification"}:
            raise ModelError(f"{self.title}: expected a classifier of one label an image, got {config.problem_type}")
