from __future__ import annotations

import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robustbench_lite.datasets import bundled
from robustbench_lite.datasets.base import datasets
from robustbench_lite.errors import DataError, SuiteError
from robustbench_lite.threat import ids


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "png")
    return out.getvalue()


def pictures(n: int = 12, shape=(8, 8, 3), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_bundled_samples_are_a_thousand_in_ten_equal_classes(name, tmp_path):
    samples = datasets.build("bundled", {"bundled": name}).load(tmp_path)
    assert samples.images.shape == (1000, 1, 28, 28)
    assert np.bincount(samples.labels).tolist() == [100] * 10
    assert samples.ids == tuple(ids.pixel_ids(samples.images))
    assert len(samples.classes) == 10
    facts = {one.name: one for one in bundled.available()}[name]
    assert facts.licence
    assert facts.source


def test_a_smaller_selection_is_part_of_a_larger_one(tmp_path):
    load = lambda **options: datasets.build("bundled", {"bundled": "mnist", **options}).load(tmp_path).ids
    assert load(samples=50) == load(samples=200)[:50]
    few, many = load(samples=50, stratified=True), load(samples=200, stratified=True)
    assert set(few) < set(many)
    labels = datasets.build("bundled", {"bundled": "mnist", "samples": 50, "stratified": True}).load(tmp_path).labels
    assert np.bincount(labels).tolist() == [5] * 10
    with pytest.raises(DataError, match="1001 samples are wanted, but there are only 1000"):
        load(samples=1001)


def test_an_unknown_bundled_name_gets_a_hint():
    for name, meant in (
        ("mnits", "mnist"),
        ("MNIST", "mnist"),
        ("CIFAR-10", "cifar10"),
        ("FashionMNIST", "fashion_mnist"),
    ):
        with pytest.raises(SuiteError, match=f"did you mean '{meant}'"):
            datasets.build("bundled", {"bundled": name})


def write_idx(folder, images, labels, *, zipped=True):
    folder.mkdir(parents=True)
    opened, tail = (gzip.open, ".gz") if zipped else (open, "")
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        head = bytes([0, 0, 8, array.ndim]) + b"".join(int(side).to_bytes(4, "big") for side in array.shape)
        with opened(folder / f"t10k-{name}-ubyte{tail}", "wb") as file:
            file.write(head + array.tobytes())


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_are_found_where_torchvision_puts_them(tmp_path, zipped):
    images, labels = pictures(shape=(5, 5)), np.arange(12, dtype=np.uint8) % 3
    write_idx(tmp_path / "data" / "MNIST" / "raw", images, labels, zipped=zipped)
    samples = datasets.build("idx", {"idx": "data/MNIST"}).load(tmp_path)
    assert len(samples) == 12
    order = [ids.pixel_ids(images[:, None]).index(name) for name in samples.ids]
    assert np.array_equal(samples.images[:, 0], images[order])
    assert np.array_equal(samples.labels, labels[order])


def test_a_truncated_idx_file_is_named(tmp_path):
    write_idx(tmp_path / "raw", pictures(shape=(5, 5)), np.zeros(12, np.uint8), zipped=False)
    path = tmp_path / "raw" / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="truncated"):
        datasets.build("idx", {"idx": "raw"}).load(tmp_path)


def test_ids_do_not_depend_on_names_order_or_source(tmp_path):
    images = pictures()
    for i, image in enumerate(images):
        place = tmp_path / "folder" / f"class{i % 3}" / f"{99 - i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(image))
    rows = [{"image": {"bytes": png(images[i]), "path": None}, "label": i % 3} for i in range(12)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    one = datasets.build("folder", {"folder": "folder"}).load(tmp_path)
    other = datasets.build("parquet", {"parquet": "set.parquet"}).load(tmp_path)
    assert one.ids == other.ids
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.labels, other.labels)
    assert one.classes == ("class0", "class1", "class2")


def test_equal_images_have_ids_of_their_own():
    assert ids.unique_ids(["a", "b", "a", "a"]) == ("a", "b", "a-1", "a-2")


def test_images_are_scaled_and_cropped_alike(tmp_path):
    rows = [
        {"image": {"bytes": png(pictures(1, shape)[0]), "path": None}, "label": 0}
        for shape in ((20, 30, 3), (40, 16, 3))
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    with pytest.raises(DataError, match=r"images differ in shape.*set size"):
        datasets.build("parquet", {"parquet": "set.parquet"}).load(tmp_path)
    samples = datasets.build("parquet", {"parquet": "set.parquet", "size": 14, "resize": 16}).load(tmp_path)
    assert samples.images.shape == (2, 3, 14, 14)
    grey = datasets.build("parquet", {"parquet": "set.parquet", "size": 14, "channels": 1}).load(tmp_path)
    assert grey.images.shape == (2, 1, 14, 14)


@pytest.mark.parametrize("data", [b"", b"no image", png(pictures(1)[0])[:60]])
def test_files_that_are_no_images_are_named(tmp_path, data):
    (tmp_path / "f" / "a").mkdir(parents=True)
    (tmp_path / "f" / "a" / "bad.png").write_bytes(data)
    with pytest.raises(DataError, match=r"bad\.png: not a readable image"):
        datasets.build("folder", {"folder": "f"}).load(tmp_path)


def test_a_decompression_bomb_is_refused(tmp_path):
    (tmp_path / "f" / "a").mkdir(parents=True)
    bomb = Image.new("1", (20_000, 20_000))
    bomb.save(tmp_path / "f" / "a" / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png"):
        datasets.build("folder", {"folder": "f"}).load(tmp_path)


@pytest.mark.parametrize(("kind", "value"), [("folder", "nowhere"), ("idx", "nowhere"), ("parquet", "nowhere.parquet")])
def test_missing_data_says_where_it_was_looked_for(tmp_path, kind, value):
    with pytest.raises(DataError, match="ROBUSTBENCH_LITE_DATA"):
        datasets.build(kind, {kind: value}).load(tmp_path)


def test_a_missing_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTBENCH_LITE_DATA", str(tmp_path))
    with pytest.raises(DataError, match="run `fetch`"):
        datasets.build("torchvision", {"torchvision": "CIFAR10"}).load(tmp_path)
    with pytest.raises(DataError, match="did you mean 'CIFAR10'"):
        datasets.build("torchvision", {"torchvision": "CIFAR01"}).load(tmp_path)


def test_data_are_found_under_the_data_variable(tmp_path, monkeypatch):
    write_idx(tmp_path / "elsewhere" / "raw", pictures(shape=(5, 5)), np.zeros(12, np.uint8))
    monkeypatch.setenv("ROBUSTBENCH_LITE_DATA", str(tmp_path / "elsewhere"))
    assert len(datasets.build("idx", {"idx": "raw"}).load(tmp_path / "suite")) == 12


def test_the_bundled_digits_are_training_digits_that_no_shipped_classifier_saw(shared):
    from robustbench_lite.models.recipe import recipe
    from robustbench_lite.models.training import _training_data

    train = datasets.build("idx", {"idx": "MNIST", "split": "train"}).load(shared / "data")
    digits = datasets.build("bundled", {"bundled": "mnist"}).load(shared)
    assert set(digits.ids) <= set(train.ids)
    images, _ = _training_data(recipe("lenet_mnist"), shared / "data")
    assert len(images) == 55_000
    assert not set(digits.ids) & set(ids.pixel_ids(images.numpy()))
