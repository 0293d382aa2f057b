"""An object before a camera: its texture is the sample, and classifiers are shown views of it (`object:`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from robustbench_lite.datasets._paths import absent, find, read_file
from robustbench_lite.datasets._pictures import picture
from robustbench_lite.datasets.base import DataSource, Samples, datasets
from robustbench_lite.errors import DataError, did_you_mean
from robustbench_lite.physical.mesh import Mesh, read_obj, unit
from robustbench_lite.physical.paints import OBJECTS, made, painted
from robustbench_lite.physical.scene import Scene
from robustbench_lite.registry import Number, canonical
from robustbench_lite.threat.ids import content_id
from robustbench_lite.transforms.distribution import Range, within

__all__ = ["Object"]


def _known(name: str) -> str:
    if name not in OBJECTS and Path(name).suffix.lower() != ".obj":
        raise ValueError(f"expected a bundled object or an .obj file, got '{name}'{did_you_mean(name, OBJECTS)}")
    return name


@datasets.register("object")
class Object(DataSource):
    """One textured object, in random poses before plain backgrounds; its label and class names are ImageNet's."""

    object: Annotated[str, AfterValidator(_known)] = Field(
        description=f"A bundled object ({', '.join(OBJECTS)}), or an OBJ file with texture coordinates."
    )
    texture: str | None = Field(
        None, description="A picture to use as its texture, on white where it is transparent; null: its own."
    )
    label: NonNegativeInt | None = Field(None, description="Its class; null: that of the bundled object.")
    resolution: int = Field(256, ge=8, le=4096, description="Side of a bundled object's texture, texels.")
    size: PositiveInt = Field(224, description="Side of a view, pixels.")
    distance: Annotated[Range, within(1.1)] = Field(
        (2.5, 3.0), description="From the camera; the object fits a sphere of radius 1."
    )
    shift: Number = Field(0.05, ge=0, description="Largest move across and up, either way.")
    field: Number = Field(50, gt=0, lt=170, description="The camera's angle of view, degrees.")
    background: Annotated[Range, within(0, 1)] = Field((0.1, 1.0), description="Each channel of the plain background.")
    shading: Annotated[Range, within(0, 1)] = Field(
        (0.0, 0.3), description="How much darker a surface is that turns away from the light; its direction is random."
    )
    noise: Annotated[Range, within(0)] = Field((0.0, 0.02), description="Standard deviation of the sensor's noise.")
    pad: Literal[0] = Field(0, description="Nothing to pad: views are rendered anew.")

    def absent(self, root: Path) -> Iterator[tuple[str, str]]:
        if self.object not in OBJECTS:
            yield from absent("object", self.object, root)
        if self.texture is not None:
            yield from absent("texture", self.texture, root)
        yield from super().absent(root)

    def load(self, root: Path) -> Samples:
        mesh, pixels = self._read(root)
        if self.texture is not None:
            path = find(self.texture, root, "texture")
            image = picture(path.name, read_file(path), "white").convert("RGB")
            pixels = np.ascontiguousarray(np.asarray(image, np.uint8).transpose(2, 0, 1))
        if pixels is None:
            raise DataError(f"{self.object}: its material names no texture; give one with `texture`")
        if self.label is None and self.object not in OBJECTS:
            raise DataError(f"{self.object}: give its class with `label`")
        label = OBJECTS[self.object].label if self.label is None else self.label
        if self.samples not in {None, 1}:
            raise DataError(f"{self.object}: {self.samples} samples are wanted, but there is only one object")
        ranges = self.distance, self.shift, self.field, self.background, self.shading, self.noise
        scene = Scene(mesh, (self.size, self.size), *ranges)
        parts = (mesh.vertices, mesh.faces, mesh.uv, mesh.normals, pixels)
        facts = canonical([self.size, *ranges, list(pixels.shape)]).encode()
        name = content_id(b"".join(np.ascontiguousarray(part).tobytes() for part in parts) + facts)
        return Samples(self.object, (name,), pixels[None], np.array([label], np.int64), _imagenet(), scene)

    def _read(self, root: Path) -> tuple[Mesh, npt.NDArray[np.uint8] | None]:
        if self.object in OBJECTS:
            return made(self.object), painted(self.object, self.resolution)
        mesh, pixels = read_obj(find(self.object, root, "object"))
        return unit(mesh), pixels


def _imagenet() -> tuple[str, ...]:
    from torchvision.models import ResNet18_Weights  # seconds of import

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
