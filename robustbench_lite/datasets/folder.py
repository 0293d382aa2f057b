"""A folder of images, one sub-folder per class, as torchvision's ImageFolder reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from robustbench_lite.dataset import Samples, datasets
from robustbench_lite.datasets.common import chosen, content_id, find, unique_ids
from robustbench_lite.datasets.decode import EncodedSource
from robustbench_lite.errors import DataError

__all__ = ["Folder"]

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".tif", ".tiff", ".gif"}


@datasets.register("folder")
class Folder(EncodedSource):
    """Image files in one folder per class; labels are the places of the folders' names in sorted order."""

    folder: str = Field(description="The folder that holds a folder per class.")

    def load(self, root: Path) -> Samples:
        base = find(self.folder, root, "folder")
        classes = tuple(sorted(path.name for path in base.iterdir() if path.is_dir()))
        files = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted((base / name).rglob("*"))
            if path.suffix.lower() in _IMAGES
        ]
        if not files:
            raise DataError(f"{base}: expected image files in a folder per class (class/image.png), found none")
        labels = np.array([label for _, label in files], np.int64)
        ids = unique_ids(content_id(path.read_bytes()) for path, _ in files)
        index = chosen(self, self.folder, ids, labels)
        images = self.decode_all((str(files[i][0]), files[i][0].read_bytes()) for i in index)
        return Samples(self.folder, tuple(ids[i] for i in index), images, labels[index], classes)
