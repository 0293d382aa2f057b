"""Datasets as they are in the wild: whatever Pillow can write is seen rightly or refused with the fix.

Damaged files are counted, names are names in every script, and what is not there is said before a run.
"""

from __future__ import annotations

import io
import runpy
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from robustbench_lite.cli.verbs import main
from robustbench_lite.datasets import _decode
from robustbench_lite.datasets._labels import folded
from robustbench_lite.datasets._pictures import FORMATS
from robustbench_lite.datasets.base import datasets
from robustbench_lite.datasets.classes import Classes, aligned
from robustbench_lite.datasets.content import content_of
from robustbench_lite.errors import DataError
from robustbench_lite.results.store import read

MODES = [
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "F",
    "I;16",
]
FIXES = "save|scale|say|set|mend|expected grey"


def coded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def grey(seed: int = 0) -> Image.Image:
    return Image.fromarray(noise(seed, 6, 6))


def colour(seed: int = 0) -> Image.Image:
    return Image.fromarray(noise(seed, 6, 6, 3))


def folder(place: Path, files: dict[str, bytes], **options):
    for name, data in files.items():
        (place / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "d" / name).write_bytes(data)
    return datasets.build("folder", {"folder": "d", **options})


def in_mode(mode: str, seed: int, side: int) -> Image.Image:
    draw = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(draw.integers(0, 2**16, (side, side), dtype=np.uint16))
    if mode == "I":
        return Image.fromarray(draw.integers(0, 2**16, (side, side), dtype=np.int32))
    if mode == "F":
        return Image.fromarray(draw.random((side, side), dtype=np.float32))
    if mode in {"1", "P"}:
        return Image.fromarray(noise(seed, side, side)).convert(mode)
    bands = len(Image.new(mode, (1, 1)).getbands())
    plain = (
        Image.merge("CMYK" if bands == 4 else "RGB", [Image.fromarray(x) for x in noise(seed, bands, side, side)])
        if bands > 2
        else Image.merge("LA", [Image.fromarray(x) for x in noise(seed, 2, side, side)])
    )
    return Image.frombytes(mode, (side, side), plain.tobytes())


def as_seen(image: Image.Image, background: int) -> np.ndarray:
    """A second opinion in numpy: (H, W) or (H, W, 3), floats, of what Pillow reads back from the file."""
    whole = {"PA": "RGBA", "RGBa": "RGBA", "La": "LA"} | ({"P": "RGBA"} if "transparency" in image.info else {})
    image = image.convert(whole.get(image.mode, image.mode))
    x, mode = np.asarray(image).astype(np.float64), image.mode
    if mode in {"1", "F", "I;16", "I", "I;16B"}:
        return np.floor(x * (255 if mode in {"1", "F"} else 1 / 257) + 0.5)
    if mode == "CMYK":
        return (255 - x[..., :3]) * (255 - x[..., 3:]) / 255
    if mode == "YCbCr":
        y, b, r = x[..., 0], x[..., 1] - 128, x[..., 2] - 128
        return np.stack([y + 1.402 * r, y - 0.344136 * b - 0.714136 * r, y + 1.772 * b], -1).clip(0, 255)
    if mode in {"LA", "RGBA"}:
        a = x[..., -1:] / 255
        seen = x[..., :-1] * a + background * (1 - a)
        return seen[..., 0] if mode == "LA" else seen
    return np.asarray(image.convert("RGB"), np.float64) if mode in {"P", "RGBX"} else x


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mode=st.sampled_from(MODES),
    kind=st.sampled_from(sorted(FORMATS)),
    seed=st.integers(0, 9),
    side=st.sampled_from([1, 2, 7, 16]),
    background=st.sampled_from([None, "white", "black"]),
)
def test_whatever_pillow_writes_is_seen_rightly_or_refused_with_the_fix(tmp_path, mode, kind, seed, side, background):
    try:
        data = coded(in_mode(mode, seed, side), kind)
    except (OSError, ValueError, KeyError, TypeError, SystemError):
        return  # this format does not hold this mode
    source = folder(tmp_path, {"a b/ü.png": data}, background=background)
    try:
        seen = source.load(tmp_path).images[0]
    except DataError as error:
        said = str(error)
        assert "a b/ü.png" in said and "\n" not in said and any(fix in said for fix in FIXES.split("|"))
        return
    written = as_seen(Image.open(io.BytesIO(data)), 255 if background == "white" else 0)
    seen = seen[0] if len(seen) == 1 else seen.transpose(1, 2, 0)
    assert seen.shape == written.shape
    assert np.abs(seen - written).max() <= 1  # rounding


def test_what_was_decided_about_pixels_is_said_once_with_a_count(tmp_path):
    note = Image.Exif()
    note[0x0112] = 6
    wide = Image.fromarray(noise(1, 6, 6).astype(np.uint16) * 257)
    glass = Image.merge("RGBA", [*colour(2).split(), grey(3)])
    files = {
        "a/plain.png": coded(colour(4)),
        "a/turned.png": coded(colour(5), exif=note),
        "a/turned_too.jpg": coded(colour(5), "JPEG", exif=note),
        "b/wide.png": coded(wide),
        "b/cmyk.tif": coded(colour(6).convert("CMYK"), "TIFF"),
        "b/glass.png": coded(glass),
        "b/grey.png": coded(grey(7)),
    }
    source = folder(tmp_path, files, background="white", channels=3)
    assert source.load(tmp_path).notes == (
        "d: 2 of 7 images are turned upright, as their EXIF orientation says",
        "d: 1 of 7 images is grey of more than 8 bits, rounded to the nearest of 256 levels",
        "d: 1 of 7 images is CMYK, made RGB by (255 - C)(255 - K) / 255, without a colour profile",
        "d: 1 of 7 images is partly transparent, laid on white",
        "d: 2 of 7 images are grey, made colour by three equal channels",
    )
    plain = folder(tmp_path / "other", {"a/plain.png": coded(colour(4))})
    assert plain.load(tmp_path / "other").notes == ()


def test_a_stream_says_the_same_also_where_it_is_not_decoded_again(tmp_path, monkeypatch):
    monkeypatch.setattr(_decode, "_KEPT", 0)
    monkeypatch.setenv("ROBUSTBENCH_LITE_CACHE", str(tmp_path / "cache"))
    files = {f"a/{i}.tif": coded(colour(i).convert("CMYK" if i < 3 else "RGB"), "TIFF") for i in range(8)}
    source = folder(tmp_path, files)
    said = []
    for _ in range(2):
        samples = source.load(tmp_path)
        content_of(samples)
        said.append(samples.notes)
    assert said[0] == said[1]
    assert "3 of 8 images are CMYK" in said[0][0]
    half = [i for i, name in enumerate(samples.ids) if i % 2]
    assert samples.taken(half).notes != said[0]


def test_a_run_says_it_once_however_many_cells_and_tables(tmp_path, monkeypatch, capsys):
    digits = datasets.build("bundled", {"bundled": "mnist", "samples": 6}).load(tmp_path)
    for i, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        path = tmp_path / "d" / str(label) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            coded(Image.fromarray(image[0].astype(np.uint16) * 257) if i < 4 else Image.fromarray(image[0]))
        )
    (tmp_path / "s.yaml").write_text(
        "version: 1\nname: t\ndata: {d: {folder: d}}\nmodels: [lenet_mnist, fc500_150_10_mnist]\n"
        "attacks: [fgsm, {pgd: {steps: 2}}]\ntables: [accuracy, rho_adv]\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["run", "s.yaml", "--no-timing"])
    said = "d: 4 of 6 images are grey of more than 8 bits, rounded to the nearest of 256 levels"
    assert " ".join(capsys.readouterr().out.split()).count(f"note: {said}") == 1
    assert read("results/t").run["data_notes"] == {"d": [said]}
    with pytest.raises(SystemExit, match="0"):
        main(["report", "results/t", "-o", "page.html"])
    assert Path("page.html").read_text().count(said) == 1


DAMAGED = {"cut": coded(colour(9))[:60], "empty": b"", "words": b"no image", "cut_jpeg": coded(colour(9), "JPEG")[:200]}


def good(n: int) -> dict[str, bytes]:
    return {f"{i % 2}/{i}.png": coded(colour(i)) for i in range(n)}


def test_damaged_files_are_refused_with_their_count_and_the_fix(tmp_path):
    source = folder(tmp_path, good(8) | {f"1/{name}.png": data for name, data in DAMAGED.items()})
    with pytest.raises(DataError) as caught:
        source.load(tmp_path)
    said = str(caught.value)
    assert "not a readable image" in said and "3 more of the 12 images looked at cannot be read: " in said
    assert sum(f"{name}.png" in said for name in DAMAGED) == 4
    assert said.endswith("; mend or remove them, or say `damaged: skip` on the dataset")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("options", [{}, {"samples": 5}, {"samples": 6, "stratified": True}])
def test_skipped_damaged_files_change_nothing_else(tmp_path, monkeypatch, streamed, options):
    """The selection is that from a folder without them; those that were met are named."""
    if streamed:
        monkeypatch.setattr(_decode, "_KEPT", 0)
    broken = {f"{i % 2}/{name}.png": data for i, (name, data) in enumerate(DAMAGED.items())}
    whole = folder(tmp_path / "whole", good(8), **options).load(tmp_path / "whole")
    source = folder(tmp_path, good(8) | broken, damaged="skip", **options)
    found = source.load(tmp_path)
    assert found.ids == whole.ids
    assert np.array_equal(found.images[:], whole.images[:])
    if not options:
        assert found.warnings[0].startswith("d: 4 damaged images are left out, of 12 looked at: ")
    assert source.load(tmp_path).warnings == found.warnings  # also where it is remembered


def test_what_is_refused_for_another_reason_is_not_skipped(tmp_path):
    clear = Image.merge("RGBA", [*colour(2).split(), grey(3)])
    with pytest.raises(DataError, match="transparent"):
        folder(tmp_path, good(3) | {"0/x.png": coded(clear)}, damaged="skip").load(tmp_path)
    with pytest.raises(DataError, match="none of its 2 images can be read"):
        folder(tmp_path / "b", {"0/x.png": b"", "0/y.png": b"1"}, damaged="skip").load(tmp_path / "b")
    with pytest.raises(DataError, match="d without 1 damaged images: 4 samples are wanted, but there are only 3"):
        folder(tmp_path / "c", good(3) | {"0/x.png": b""}, damaged="skip", samples=4).load(tmp_path / "c")


def test_damaged_rows_of_parquet_are_skipped_too(tmp_path):
    rows = [{"bytes": data} for data in (coded(colour(1)), b"broken", coded(colour(2)))]
    pq.write_table(pa.table({"image": rows, "label": [0, 1, 2]}), tmp_path / "p.parquet")
    found = datasets.build("parquet", {"parquet": "p.parquet", "damaged": "skip"}).load(tmp_path)
    assert sorted(found.labels.tolist()) == [0, 2]
    assert "p.parquet row 1" in found.warnings[0]
    with pytest.raises(DataError, match=r"p\.parquet row 1: not a readable image .*say `damaged: skip`"):
        datasets.build("parquet", {"parquet": "p.parquet"}).load(tmp_path)


NAMES = ["ice cream", "Café", "犬", "ice_skate", "🐈", "हिंदी की", "हिंदी का", "naïve façade"]


def test_class_names_with_spaces_and_in_every_script_meet_the_classifiers(tmp_path):
    """Folders as macOS writes them, taken apart, against a card in composed Unicode, in another order."""
    files = {f"{unicodedata.normalize('NFD', name)}/x y.png": coded(grey(i)) for i, name in enumerate(NAMES)}
    order = NAMES[::-1]
    found = aligned(folder(tmp_path, files).load(tmp_path), Classes("net", len(NAMES), tuple(order)))
    met = {int(label): image.tobytes() for label, image in zip(found.labels, found.images, strict=True)}
    assert found.notes[0].startswith("d: labels are the class numbers of net: ")
    assert "Café 6" in unicodedata.normalize("NFC", found.notes[0])
    assert found.notes[0].endswith(" and 3 other classes likewise")
    assert met == {order.index(name): np.asarray(grey(i)).tobytes() for i, name in enumerate(NAMES)}
    mapped = folder(tmp_path, {}, labels={name: i for i, name in enumerate(NAMES)}).load(tmp_path)
    assert sorted(mapped.labels.tolist()) == list(range(len(NAMES)))


@given(st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=2, unique=True))
def test_names_that_differ_in_letters_are_different(names):
    letters = [[c for c in unicodedata.normalize("NFKC", name).casefold() if c.isalpha()] for name in names]
    assert (letters[0] == letters[1]) or folded(names[0]) != folded(names[1])
    for name in names:
        assert folded(unicodedata.normalize("NFD", name)) == folded(name)


def test_empty_class_folders_shift_nothing_and_are_said(tmp_path):
    (tmp_path / "d" / "bird").mkdir(parents=True)
    source = folder(tmp_path, {"cat/a.png": coded(grey(0)), "dog/a.png": coded(grey(1))})
    found = aligned(source.load(tmp_path), Classes("net", 3, ("bird", "cat", "dog")))
    assert sorted(found.labels.tolist()) == [1, 2]
    assert found.warnings == ("d: no sample of the class bird",)


def test_grey_among_colour_is_refused_with_the_option_and_read_with_it(tmp_path):
    files = {"a/grey.png": coded(grey(0)), "a/colour.png": coded(colour(1))}
    with pytest.raises(DataError, match=r"images differ in shape: .*set channels on the dataset"):
        folder(tmp_path, files).load(tmp_path)
    found = folder(tmp_path, files, channels=3).load(tmp_path)
    assert {image.tobytes() for image in found.images} == {
        np.repeat(np.asarray(grey(0))[None], 3, 0).tobytes(),
        np.asarray(colour(1)).transpose(2, 0, 1).tobytes(),
    }


MISSING = {
    "on_demand": {"on_demand": "cifar10"},
    "svhn": {"on_demand": "svhn"},
    "torchvision": {"torchvision": "GTSRB"},
    "folder": {"folder": "gone"},
    "parquet": {"parquet": "gone.parquet"},
    "pattern": {"parquet": "here/test-*.parquet"},
    "idx": {"idx": "here"},
    "hf": {"hf": "gone"},
    "hf_without": {"hf": "here"},
    "webdataset": {"webdataset": "gone.tar"},
    "shards": {"webdataset": "here/x-{000..002}.tar"},
    "photographs": {"photographs": "gone.csv"},
    "object": {"object": "gone.obj", "label": 1},
    "texture": {"object": "turtle", "texture": "gone.png"},
    "fit_from": {"bundled": "mnist", "fit_from": {"on_demand": "cifar10"}},
}


@pytest.mark.parametrize("entry", MISSING.values(), ids=MISSING)
def test_every_source_says_before_a_run_what_is_not_there(tmp_path, monkeypatch, entry):
    monkeypatch.setenv("ROBUSTBENCH_LITE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    kind = next(key for key in entry if key in datasets)
    ((option, said),) = datasets.build(kind, entry).absent(tmp_path)
    assert option in entry
    assert any(word in said for word in ("no file", "not found", "not on this machine", "no Parquet", "expected what"))


def test_every_source_is_asked_what_is_not_there():
    asked = {next(key for key in entry if key in datasets) for entry in MISSING.values()}
    nothing_to_miss = {"sign"}  # it is drawn
    assert asked == set(datasets) - nothing_to_miss


def test_known_datasets_that_are_there_are_not_missed(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTBENCH_LITE_DATA", str(tmp_path))
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert not list(datasets.build("on_demand", {"on_demand": "cifar10"}).absent(tmp_path))
    assert not list(datasets.build("torchvision", {"torchvision": "CIFAR10"}).absent(tmp_path))
    (tmp_path / "cifar-10-batches-py").rmdir()
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "test.parquet").write_bytes(b"")
    assert not list(datasets.build("on_demand", {"on_demand": "cifar10"}).absent(tmp_path))


KINDS = {  # of the cases: what reads them, or what they are told
    **{kind: {"folder": "d"} for kind in ("l8", "u16", "f32", "exif")},
    "la": {"folder": "d", "background": "black"},
    "rgba": {"folder": "d", "background": "black", "channels": 1},
    **{
        kind: {"parquet": "d"} for kind in ("parquet_onehot", "parquet_pixels", "parquet_data", "parquet_img", "shards")
    },
    "parquet_str": {"parquet": "d", "labels": [f"digit {k}" for k in range(10)]},
    "idx1": {"idx": "d", "labels": {"from": 1}},
    "parquet_neg": "the label is -1, ",
    "parquet_null": "there is no label; ",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_digits_of_the_cases_are_the_digits_or_one_sentence(shared, tmp_path, monkeypatch, kind):
    """`shared/cases/make_data.py` writes 40 digits in every form that users have complained about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_data.py", kind, "d"])
    runpy.run_path(str(shared / "cases" / "make_data.py"))
    told = KINDS[kind]
    if isinstance(told, str):
        with pytest.raises(DataError, match=told):
            datasets.build("parquet", {"parquet": "d"}).load(tmp_path)
        return
    found = datasets.build(next(iter(told)), told).load(tmp_path)
    digits = datasets.build("bundled", {"bundled": "mnist", "samples": 40, "stratified": True}).load(tmp_path)
    if kind == "exif":  # a JPEG
        near = [np.abs(digits.images.astype(int) - image).mean((1, 2, 3)) for image in found.images.astype(int)]
        assert max(one.min() for one in near) < 3
        assert [digits.labels[one.argmin()] for one in near] == found.labels.tolist()
        return
    both = [zip(one.labels.tolist(), one.images, strict=True) for one in (found, digits)]
    assert len({tuple(sorted((label, image.tobytes()) for label, image in one)) for one in both}) == 1
