"""Real digits in every layout of files that users have: the same pixels, the same labels, the same numbers."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robustbench_lite.datasets.base import datasets
from robustbench_lite.errors import DataError
from robustbench_lite.runner.run import run
from tests.datasets.test_datasets import write_idx

OPTIONS = {"samples": 40, "stratified": True}
MNIST = datasets.build("bundled", {"bundled": "mnist", **OPTIONS}).load(Path())
IMAGES, LABELS = MNIST.images[:, 0], MNIST.labels
TEXT = [f"digit {label}" for label in LABELS]
# of lenet_mnist on these digits, as two independent implementations of FGSM (0.1) have it: 33 of 40
ROBUST = 82.5


def coded(image, kind="PNG", **options) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def saved(folder: Path, suffix: str = "png", code=coded, names=LABELS) -> Path:
    """One folder per class, one file per digit."""
    for i, (image, name) in enumerate(zip(IMAGES, names, strict=True)):
        path = folder / str(name) / f"{i:04d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(code(image))
    return folder


def table(path: Path, images=None, labels=LABELS, image="image", label="label", **types) -> Path:
    """One Parquet file, of PNGs in structs unless other columns are given."""
    column = [{"bytes": coded(one), "path": None} for one in IMAGES] if images is None else images
    columns = {image: column, label: pa.array(labels, **types) if isinstance(labels, list) else labels}
    pq.write_table(pa.table(columns), path)
    return path


def turned(image) -> bytes:
    note = Image.Exif()
    note[0x0112] = 6
    return coded(np.rot90(image).copy(), exif=note)


def alpha(mode):
    white = lambda image: [Image.new("L", image.shape[::-1], 255)] * (len(mode) - 1)
    return lambda image: coded(Image.merge(mode, [*white(image), Image.fromarray(image)]))


def opaque(image) -> bytes:
    return coded(Image.fromarray(image).convert("RGBA"))


def half(path: Path, part: slice, kind) -> None:
    rows = [{"bytes": coded(one)} for one in IMAGES[part]]
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": rows, "label": pa.array(LABELS[part], kind)}), path)


def shards(folder: Path) -> Path:
    half(folder / "0.parquet", slice(0, 20), pa.int64())
    half(folder / "1.parquet", slice(20, 40), pa.int32())
    return folder


def tensors() -> pa.Array:
    kind = pa.fixed_shape_tensor(pa.uint8(), (28, 28))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(IMAGES.reshape(-1)), 784)
    return pa.ExtensionArray.from_storage(kind, flat)


def index(folder: Path, offset: int) -> Path:
    write_idx(folder, IMAGES, (LABELS + offset).astype(np.uint8))
    return folder


def jfif(folder: Path) -> Path:
    saved(folder)
    for path in (folder / "3").iterdir():
        path.with_suffix(".jfif").write_bytes(coded(Image.open(path), "JPEG", quality=100))
        path.unlink()
    return folder


def littered(folder: Path) -> Path:
    saved(folder)
    (folder / "00_unused").mkdir()
    (folder / ".hidden").mkdir()
    (folder / "__MACOSX").mkdir()
    for name in ("4/._0000.png", "4/.DS_Store", "4/Thumbs.db", ".hidden/a.png", "__MACOSX/a.png", ".DS_Store"):
        (folder / name).write_bytes(b"Mac OS X")
    return folder


ONE_HOT = [[float(k == label) for k in range(10)] for label in LABELS]
EXPLAINED = {"labels": {f"digit {k}": k for k in range(10)}}
# how to write the digits, and the entry that reads them
LAYOUTS = {
    "l8": (saved, "folder", {}),
    "u16": (lambda to: saved(to, code=lambda a: coded(a.astype(np.uint16) * 257)), "folder", {}),
    "u16_tiff": (lambda to: saved(to, "tif", lambda a: coded(a.astype(np.uint16) * 257, "TIFF")), "folder", {}),
    "f32": (lambda to: saved(to, "tif", lambda a: coded(a.astype(np.float32) / 255, "TIFF")), "folder", {}),
    "exif": (lambda to: saved(to, code=turned), "folder", {}),
    "la": (lambda to: saved(to, code=alpha("LA")), "folder", {"background": "black"}),
    "rgba": (lambda to: saved(to, code=alpha("RGBA")), "folder", {"background": "black", "channels": 1}),
    "opaque": (lambda to: saved(to, code=opaque), "folder", {"channels": 1}),
    "palette": (lambda to: saved(to, code=lambda a: coded(Image.fromarray(a).convert("P"))), "folder", {"channels": 1}),
    "littered": (littered, "folder", {}),
    "jfif": (jfif, "folder", {}),
    "words": (lambda to: saved(to, names=TEXT), "folder", EXPLAINED),
    "padded": (lambda to: saved(to, names=[f"{label:05d}" for label in LABELS]), "folder", {}),
    "struct": (table, "parquet", {}),
    "data": (lambda to: table(to, [{"data": coded(a)} for a in IMAGES]), "parquet", {}),
    "bytes": (lambda to: table(to, [coded(a) for a in IMAGES]), "parquet", {}),
    "img": (lambda to: table(to, image="img", label="fine_label"), "parquet", {}),
    "pixels": (lambda to: table(to, [a.tolist() for a in IMAGES]), "parquet", {}),
    "pixels_hwc": (lambda to: table(to, [a[..., None].tolist() for a in IMAGES]), "parquet", {}),
    "pixels_chw": (lambda to: table(to, [a[None].tolist() for a in IMAGES], image="pixel_values"), "parquet", {}),
    "floats": (lambda to: table(to, [(a / np.float32(255)).tolist() for a in IMAGES]), "parquet", {}),
    "tensors": (lambda to: table(to, tensors()), "parquet", {}),
    "onehot": (lambda to: table(to, labels=ONE_HOT), "parquet", {}),
    "text": (lambda to: table(to, labels=list(map(str, LABELS))), "parquet", {}),
    "explained": (lambda to: table(to, labels=TEXT), "parquet", EXPLAINED),
    "categories": (lambda to: table(to, labels=pa.array(list(map(str, LABELS))).dictionary_encode()), "parquet", {}),
    "small": (lambda to: table(to, labels=list(LABELS.tolist()), type=pa.uint8()), "parquet", {}),
    "pointed": (lambda to: table(to, labels=list(LABELS.tolist()), type=pa.float64()), "parquet", {}),
    "shards": (shards, "parquet", {}),
    "idx": (lambda to: index(to, 0), "idx", {}),
    "idx1": (lambda to: index(to, 1), "idx", {"labels": {"from": 1}}),
}
LOSSY = {"jfif"}


def pairs(samples) -> list[tuple[int, bytes]]:
    """What tells neither order nor ids."""
    named = samples.naming == "names"
    labels = [int(samples.classes[label].split()[-1]) if named else int(label) for label in samples.labels]
    return sorted(zip(labels, (image.tobytes() for image in samples.images), strict=True))


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name not in LOSSY])
def test_every_layout_has_the_same_pixels_and_labels(tmp_path, name):
    write, kind, options = LAYOUTS[name]
    samples = datasets.build(kind, {kind: str(write(tmp_path / "d")), **options}).load(tmp_path)
    assert pairs(samples) == pairs(MNIST)
    assert samples.warnings == ()


def test_every_layout_gives_the_right_numbers(tmp_path):
    """One run over all: 100 % clean, and what FGSM leaves of lenet_mnist."""
    data = {name: {kind: str(write(tmp_path / name)), **options} for name, (write, kind, options) in LAYOUTS.items()}
    suite = {"version": 1, "name": "layouts", "data": data, "models": ["lenet_mnist"], "images": "none"}
    results = run({**suite, "attacks": [{"fgsm": {"epsilon": 0.1}}]}, tmp_path / "results")
    cells, samples = results.cells(), results.samples()
    assert set(cells["status"]) == {"ok"}, list(cells["error"].dropna())
    assert set(cells["clean_accuracy"]) == {1.0}
    assert {name: list(said) for name, said in zip(cells["dataset"], cells["warnings"], strict=True) if len(said)} == {}
    robust = 100 * (1 - samples.groupby("dataset")["success"].mean())
    assert robust.to_dict() == dict.fromkeys(LAYOUTS, ROBUST)


def test_the_advice_on_a_folder_that_is_no_class_can_be_taken(tmp_path):
    folder = saved(tmp_path / "d")
    (folder / "extra").mkdir()
    (folder / "extra" / "a.png").write_bytes(coded(IMAGES[0]))
    suite = {"version": 1, "name": "t", "models": ["lenet_mnist"], "attacks": [{"fgsm": {"epsilon": 0.1}}]}
    (cell,) = run({**suite, "data": {"d": {"folder": str(folder)}}}, tmp_path).cells().to_dict("records")
    assert cell["status"] == "failed"
    assert "does not know extra; say which class each is, or null to leave it out" in cell["error"]
    entry = {"folder": str(folder), "labels": {"extra": None}}
    (cell,) = run({**suite, "data": {"d": entry}}, tmp_path).cells().to_dict("records")
    assert (cell["status"], cell["n"], cell["clean_accuracy"]) == ("ok", 40, 1.0)


def test_a_class_that_is_missing_shifts_nothing(tmp_path):
    folder = saved(tmp_path / "d")
    for path in (folder / "4").iterdir():
        path.unlink()
    (folder / "4").rmdir()
    full = saved(tmp_path / "all")
    suite = {"version": 1, "name": "t", "models": ["lenet_mnist"], "attacks": [{"fgsm": {"epsilon": 0.1}}]}
    results = run({**suite, "data": {"d": {"folder": str(folder)}, "all": {"folder": str(full)}}}, tmp_path)
    cells = results.cells().set_index("dataset")
    assert cells["clean_accuracy"].to_dict() == {"d": 1.0, "all": 1.0}
    assert list(cells["warnings"]["d"]) == [f"{folder}: no sample of the class 4"]
    rows = results.samples().set_index(["dataset", "sample"])["success"]
    assert rows["d"].to_dict() == {name: rows["all"][name] for name in rows["d"].index}
    assert len(rows["d"]) == 36


REFUSED = {
    "alpha": (lambda to: saved(to, code=alpha("LA")), "folder", "some pixels are transparent"),
    "floats": (lambda to: saved(to, "tif", lambda a: coded(a.astype(np.float32), "TIFF")), "folder", "floating-point"),
    "lfs": (
        lambda to: saved(to, code=lambda _: b"version https://git-lfs.github.com/spec/v1\noid"),
        "folder",
        "Git LFS",
    ),
    "minus": (lambda to: table(to, labels=[-1] * 40), "parquet", "row 0: the label is -1"),
    "null": (
        lambda to: table(to, labels=[None if k == 3 else int(k) for k in LABELS]),
        "parquet",
        r"row \d+: there is no label",
    ),
    "soft": (lambda to: table(to, labels=[[0.5, 0.5]] * 40), "parquet", r"row 0: .* the list \[0.5, 0.5\]"),
    "half": (lambda to: table(to, labels=[0.5] * 40), "parquet", "row 0: .* the label 0.5"),
    "dates": (lambda to: table(to, labels=[0] * 40, type=pa.date32()), "parquet", "holds date32"),
    "flat": (lambda to: table(to, [a.reshape(-1).tolist() for a in IMAGES]), "parquet", "row 0: .* holds pixels 784"),
    "ragged": (lambda to: table(to, [[[1], [1, 2]]] * 40), "parquet", "row 0: .* of different lengths"),
    "large": (lambda to: table(to, [[[300]]] * 40), "parquet", "row 0: .* from 300 to 300, expected 0 to 255"),
    "paths": (lambda to: table(to, ["a.png"] * 40), "parquet", "holds string, expected encoded images"),
    "empty": (lambda to: table(to, [None] * 39 + [b"x"]), "parquet", "row 0: column 'image' holds no bytes"),
    "two": (
        lambda to: pq.write_table(pa.table({"img": [b""], "png": [b""], "label": [0]}), to) or to,
        "parquet",
        "no column 'image', but img, png; say which",
    ),
    "none": (lambda to: pq.write_table(pa.table({"x": [b""], "label": [0]}), to) or to, "parquet", "known: label, x"),
    "pointer": (
        lambda to: to.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid") and to,
        "parquet",
        "Git LFS",
    ),
    "halves": (lambda to: saved(to / "train").parent, "folder", "train are parts of a dataset, .*`folder: d/train`"),
    "images": (lambda to: saved(to / "test", names=[""] * 40).parent, "folder", "test are parts of a dataset"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_layouts_are_refused_in_a_sentence_with_the_place(tmp_path, name):
    write, kind, said = REFUSED[name]
    path = write(tmp_path / "d")
    with pytest.raises(DataError, match=said) as caught:
        datasets.build(kind, {kind: str(path)}).load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_halves_of_a_parquet_dataset_are_not_mixed(tmp_path):
    for name in ("train-00000-of-00001", "test-00000-of-00002", "test-00001-of-00002"):
        table(tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"holds test, train; name one, such as .*test\*\.parquet"):
        datasets.build("parquet", {"parquet": str(tmp_path)}).load(tmp_path)
    some = datasets.build("parquet", {"parquet": "test-*.parquet"}).load(tmp_path)
    assert len(some) == 80
    with pytest.raises(DataError, match=r"no Parquet file 'val\*'"):
        datasets.build("parquet", {"parquet": "val*"}).load(tmp_path)


def test_all_shards_of_a_known_dataset_are_read(tmp_path):
    (tmp_path / "cifar10").mkdir()
    for part in (0, 1):
        rows = [{"bytes": coded(np.full((4, 4, 3), 20 * part + k, np.uint8))} for k in range(10)]
        path = tmp_path / "cifar10" / f"test-0000{part}-of-00002.parquet"
        pq.write_table(pa.table({"img": rows, "label": list(range(10))}), path)
    assert len(datasets.build("on_demand", {"on_demand": "cifar10"}).load(tmp_path)) == 20


def test_files_that_are_left_out_are_said(tmp_path):
    folder = saved(tmp_path / "d")
    for name in ("0/a.heic", "0/b.txt", "1/c", "stray.png", "labels.csv"):
        (folder / name).write_bytes(b"x")
    (said,) = datasets.build("folder", {"folder": "d"}).load(tmp_path).warnings
    assert said.startswith("d: 4 files are left out, no image of a class: stray.png, ")
    assert said.endswith(" and 1 more")
    (folder / "0" / os.fsdecode(b"0\xff.txt")).write_bytes(b"x")
    (said,) = datasets.build("folder", {"folder": "d"}).load(tmp_path).warnings
    said.encode()  # can be stored


def test_images_that_are_as_good_as_black_are_said(tmp_path):
    write_idx(
        tmp_path / "d", (IMAGES > 127).astype(np.uint8), LABELS.astype(np.uint8)
    )  # 0 and 1, meant as black and white
    (said,) = datasets.build("idx", {"idx": "d"}).load(tmp_path).warnings
    assert "brightest pixel of all images is 1 of 255" in said


def test_every_source_of_images_takes_size_and_channels(tmp_path, monkeypatch):
    """The same options give the same pixels wherever the digits come from."""
    monkeypatch.setenv("ROBUSTBENCH_LITE_DATA", str(tmp_path))
    write_idx(tmp_path / "MNIST" / "raw", IMAGES, LABELS.astype(np.uint8), zipped=False)
    write_idx(tmp_path / "d", IMAGES, LABELS.astype(np.uint8))
    options = {"size": 32, "resize": 36, "channels": 3, "interpolation": "bicubic"}
    entries = [
        {"bundled": "mnist", **OPTIONS},
        {"idx": "d"},
        {"folder": str(saved(tmp_path / "f"))},
        {"parquet": str(table(tmp_path / "p.parquet"))},
    ]
    sources = [datasets.build(next(iter(entry)), {**entry, **options}) for entry in entries]
    first, *others = [pairs(source.load(tmp_path)) for source in sources]
    assert all(other == first for other in others)
    picture = Image.fromarray(IMAGES[0]).convert("RGB").resize((36, 36), Image.Resampling.BICUBIC)
    expected = np.asarray(picture.crop((2, 2, 34, 34))).transpose(2, 0, 1)
    assert (int(LABELS[0]), expected.tobytes()) in first


def test_resize_alone_scales_and_is_never_smaller_than_size(tmp_path):
    samples = datasets.build("bundled", {"bundled": "mnist", "samples": 1, "resize": 14}).load(tmp_path)
    assert samples.images.shape == (1, 1, 14, 14)
    with pytest.raises(Exception, match="resize: expected at least size, 28"):
        datasets.build("bundled", {"bundled": "mnist", "size": 28, "resize": 20})


def test_class_names_of_the_data_meet_those_of_the_card(tmp_path):
    """Two classes of Fashion-MNIST, numbered by their own file, are the card's classes of these names."""
    fashion = datasets.build("bundled", {"bundled": "fashion_mnist", "samples": 60}).load(tmp_path)
    picked = [i for i, label in enumerate(fashion.labels) if label in {1, 9}]
    rows = [{"bytes": coded(fashion.images[i, 0])} for i in picked]
    names = {"info": {"features": {"label": {"names": ["Ankle boot", "Trouser"], "_type": "ClassLabel"}}}}
    labels = [0 if fashion.labels[i] == 9 else 1 for i in picked]
    built = pa.table({"image": rows, "label": labels}).replace_schema_metadata({"huggingface": json.dumps(names)})
    pq.write_table(built, tmp_path / "two.parquet")
    suite = {"version": 1, "name": "t", "models": ["resnet8_fashion"], "attacks": [{"fgsm": {"epsilon": 0.01}}]}
    results = run({**suite, "data": {"two": {"parquet": str(tmp_path / "two.parquet")}}}, tmp_path)
    assert set(results.samples()["label"]) == {1, 9}
    assert results.cells()["clean_accuracy"][0] > 0.9
    assert results.run["classes"]["two"] == list(fashion.classes)


def test_classifiers_that_number_the_classes_otherwise_are_refused(tmp_path, monkeypatch):
    from robustbench_lite.models import zoo

    card = zoo.card
    mixed = tuple(str(digit) for digit in (1, 0, *range(2, 10)))
    turn = lambda name: card(name).model_copy(update={"labels": mixed}) if name.startswith("fc") else card(name)
    monkeypatch.setattr(zoo, "card", turn)
    folder = saved(tmp_path / "d", names=LABELS)
    suite = {"version": 1, "name": "t", "models": ["lenet_mnist", "fc500_150_10_mnist"], "attacks": ["fgsm"]}
    cells = run({**suite, "data": {"d": {"folder": str(folder)}}}, tmp_path).cells().set_index("source")
    assert cells["status"].to_dict() == {"lenet_mnist": "ok", "fc500_150_10_mnist": "failed"}
    assert "numbers the classes of dataset" in cells["error"]["fc500_150_10_mnist"]


def test_the_advice_on_shapes_can_be_taken(tmp_path):
    net = "from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))\n"
    (tmp_path / "net.py").write_text(net)
    model = {"python": str(tmp_path / "net.py:make"), "size": [3, 32, 32], "classes": 10, "trust": True}
    suite = {"version": 1, "name": "t", "models": [model], "attacks": ["fgsm"]}
    (cell,) = run({**suite, "data": {"mnist": {"samples": 5}}}, tmp_path).cells().to_dict("records")
    assert cell["error"].endswith("say `size: 32, channels: 3` on the dataset")
    again = {**suite, "data": {"mnist": {"samples": 5, "size": 32, "channels": 3}}}
    assert list(run(again, tmp_path).cells()["status"]) == ["ok"]
