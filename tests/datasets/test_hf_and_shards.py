"""Folders of Hugging Face's `datasets` and shards of WebDataset: what their own libraries write is what is read."""

from __future__ import annotations

import csv
import gc
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustbench_lite.datasets.base import datasets
from robustbench_lite.datasets.classes import Classes, aligned
from robustbench_lite.errors import DataError

N = 9
PICTURES = np.random.default_rng(0).integers(0, 256, (N, 5, 5, 3), np.uint8)
LABELS = [i % 3 for i in range(N)]
NAMES = ["ice cream", "café", "犬"]
# both libraries leave files open
LEAKY = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
EXPECTED = {PICTURES[i].transpose(2, 0, 1).tobytes(): LABELS[i] for i in range(N)}


def png(i: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PICTURES[i]).save(out, "PNG")
    return out.getvalue()


def channels_first(image) -> bytes:
    return np.asarray(image).transpose(2, 0, 1).tobytes()


def read(place: Path, **entry):
    return datasets.build(next(iter(entry)), entry).load(place)


def pairs(samples) -> dict[bytes, int]:
    return {image.tobytes(): int(label) for image, label in zip(samples.images, samples.labels, strict=True)}


def refused(place: Path, said: str, **entry) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read(place, **entry)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """What `save_to_disk` writes: two splits, one in two shards, and one without splits."""
    hf = pytest.importorskip("datasets")
    hf.disable_progress_bars()
    place = tmp_path_factory.mktemp("saved")
    features = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=NAMES)})
    images = [Image.fromarray(x) for x in PICTURES]
    whole = hf.Dataset.from_dict({"image": images, "label": LABELS}, features=features)
    both = hf.DatasetDict({"train": whole.select([0, 1]), "test": whole})
    both.save_to_disk(str(place / "both"), num_shards={"train": 1, "test": 2})
    whole.shuffle(seed=1).save_to_disk(str(place / "mixed"))
    for i in range(N):
        (place / "files").mkdir(exist_ok=True)
        (place / "files" / f"{i}.png").write_bytes(png(i))
    paths = [str(place / "files" / f"{i}.png") for i in range(N)]
    hf.Dataset.from_dict({"image": paths, "label": LABELS}, features=features).save_to_disk(str(place / "by_path"))
    lists = hf.Dataset.from_dict({"image": PICTURES.tolist(), "label": [NAMES[label] for label in LABELS]})
    lists.save_to_disk(str(place / "lists"))
    return place


def test_a_saved_dataset_is_read_as_it_was_saved(saved):
    found = read(saved, hf="both", split="test")
    assert pairs(found) == EXPECTED
    assert found.classes == tuple(NAMES) and found.naming == "both"
    for name in ("mixed", "by_path"):
        other = read(saved, hf=name)
        assert other.ids == found.ids and pairs(other) == EXPECTED
    lists = read(saved, hf="lists", labels=NAMES)
    assert pairs(lists) == EXPECTED
    turned = aligned(found, Classes("net", 3, tuple(NAMES[::-1])))
    assert pairs(turned) == {image: 2 - label for image, label in EXPECTED.items()}


def test_only_rows_that_are_asked_for_are_read(saved, monkeypatch):
    from robustbench_lite.datasets import _arrow

    rows, inner = list[int](), _arrow.images_in
    monkeypatch.setattr(_arrow, "images_in", lambda column, *rest: rows.append(len(column)) or inner(column, *rest))
    monkeypatch.setattr(_arrow.ArrowRows, "ids", lambda self: [str(self.start + i) for i in range(len(self.labels))])
    assert len(read(saved, hf="both", split="test", samples=2)) == 2
    assert rows and set(rows) == {1}


def test_a_saved_dataset_that_is_unclear_or_not_whole_is_refused(saved, tmp_path):
    import shutil

    refused(saved, r"holds train, test; say which with `split: test`", hf="both")
    refused(saved, "no split 'tset'; did you mean 'test'", hf="both", split="tset")
    refused(saved, "holds no splits", hf="mixed", split="test")
    refused(saved, "one folder per class is read by `folder", hf="files")
    shutil.copytree(saved / "mixed", tmp_path / "d")
    (file,) = (tmp_path / "d").glob("*.arrow")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, r"\.arrow: not a readable Arrow file", hf="d")
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused(tmp_path, "Git LFS", hf="d")
    file.unlink()
    refused(tmp_path, "no file 'data-00000-of-00001.arrow', which state.json names", hf="d")
    (tmp_path / "d" / "state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}')
    refused(tmp_path, "expected files in its own folder", hf="d")


def listing(place: Path, kind: str, rows: list[dict], **options) -> Path:
    folder = place / "d"
    for i in range(N):
        (folder / "pictures of it").mkdir(parents=True, exist_ok=True)
        (folder / "pictures of it" / f"{i}.png").write_bytes(png(i))
    if kind == "csv":
        with (folder / "metadata.csv").open("w", newline="", encoding=options.get("encoding", "utf-8")) as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (folder / "metadata.jsonl").write_text(text + "\n", encoding="utf-8")
    return folder


ROWS = [{"file_name": f"pictures of it/{i}.png", "label": LABELS[i], "words": 'a, "b"\nc'} for i in range(N)]
NAMED = [row | {"label": NAMES[row["label"]]} for row in ROWS]


@LEAKY
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("rows", [ROWS, NAMED], ids=["numbers", "names"])
def test_images_that_a_table_names_are_read_as_datasets_reads_them(tmp_path, kind, rows):
    listing(tmp_path, kind, rows)
    found = read(tmp_path, hf="d", labels=NAMES)
    assert pairs(found) == EXPECTED
    hf = pytest.importorskip("datasets")
    theirs = hf.load_dataset("imagefolder", data_dir=str(tmp_path / "d"), cache_dir=str(tmp_path / "c"), split="train")
    numbers = [NAMES.index(label) if isinstance(label, str) else label for label in theirs["label"]]
    assert pairs(found) == {channels_first(image): n for image, n in zip(theirs["image"], numbers, strict=True)}
    del theirs
    gc.collect()


def test_tables_with_a_byte_order_mark_and_images_in_no_line(tmp_path):
    listing(tmp_path, "csv", ROWS[:-2], encoding="utf-8-sig")
    found = read(tmp_path, hf="d")
    assert len(found) == N - 2
    assert found.warnings[0].startswith("d: 2 images are left out, in no line of the table: pictures of it/7.png")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"file_name": "gone.png", "label": 0}, r"metadata.csv line 2: no file 'gone.png' beside it"),
        ({"file_name": "../../etc/passwd", "label": 0}, "expected a file in the folder of the table"),
        ({"file_name": "/etc/passwd", "label": 0}, "expected a file in the folder of the table"),
        ({"file_name": "", "label": 0}, "line 2: expected a path in 'file_name'"),
        ({"file": "a.png", "label": 0}, "no column 'file_name'.* it has file, label"),
        ({"file_name": "pictures of it/0.png", "kind": 0}, "no column 'label'; .*name it with `label: NAME`"),
        ({"file_name": "pictures of it/0.png", "label": ""}, r"0\.png: there is no label"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_the_line(tmp_path, row, said):
    listing(tmp_path, "csv", [row])
    refused(tmp_path, said, hf="d")


def shards(place: Path, split: list[list[int]], label=str, kind: str = "cls") -> None:
    """What the library's own writer writes."""
    wds = pytest.importorskip("webdataset")
    place.mkdir(exist_ok=True)
    for number, part in enumerate(split):
        with wds.TarWriter(str(place / f"test-{number:03d}.tar")) as writer:
            for i in part:
                content = label(LABELS[i])
                writer.write({"__key__": f"sub.d/{i:05d}", "png": png(i), kind: content, "note.txt": "x"})


@LEAKY
def test_shards_are_read_as_their_library_reads_them_in_any_order(tmp_path):
    wds = pytest.importorskip("webdataset")
    shards(tmp_path / "a", [[0, 1, 2, 3], [4, 5, 6], [7, 8]])
    shards(tmp_path / "b", [[8, 3], [6, 0, 2, 5], [4, 1, 7]])
    first, other = (read(tmp_path, webdataset=name) for name in "ab")
    assert pairs(first) == EXPECTED
    assert first.ids == other.ids and np.array_equal(first.images, other.images)
    assert np.array_equal(first.labels, other.labels)
    for pattern in ("a/test-{000..002}.tar", "a/test-*.tar", str(tmp_path / "a/test-00?.tar")):
        assert read(tmp_path, webdataset=pattern).ids == first.ids
    assert pairs(read(tmp_path, webdataset="a/test-{000..000}.tar")).items() <= EXPECTED.items()
    stream = wds.WebDataset([str(path) for path in sorted((tmp_path / "a").glob("*.tar"))], shardshuffle=False)
    assert pairs(first) == {channels_first(x): y for x, y in stream.decode("pil").to_tuple("png", "cls")}
    del stream
    gc.collect()


def test_labels_of_shards_may_be_names_or_lie_in_json(tmp_path):
    shards(tmp_path / "text", [list(range(N))], lambda label: NAMES[label], "txt")
    assert pairs(read(tmp_path, webdataset="text", label="txt", labels=NAMES)) == EXPECTED
    shards(tmp_path / "json", [list(range(N))], lambda label: {"class": label + 1}, "json")
    found = read(tmp_path, webdataset="json", label="json", field="class", labels={"from": 1})
    assert pairs(found) == EXPECTED
    refused(tmp_path, r"sample sub.d/00000: expected a field 'label' in its json", webdataset="json", label="json")
    refused(tmp_path, r"sample sub.d/00000: there is no label", webdataset="json")


def packed(path: Path, members: list[tuple[str, bytes]], mode: str = "w", link: str = "") -> None:
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo("2.png")
            info.type, info.linkname = tarfile.SYMTYPE, link
            archive.addfile(info)


PLAIN = [("1.png", png(1)), ("1.cls", b"0\n")]


@pytest.mark.parametrize(
    ("members", "options", "said"),
    [
        (PLAIN, {"mode": "w:gz"}, "is compressed, .*gunzip"),
        (PLAIN, {"link": "/etc/passwd"}, "2.png is a link"),
        ([*PLAIN, ("1.png", png(2))], {}, "holds 1.png twice"),
        ([*PLAIN, ("1.mask.png", png(2))], {}, "expected one image, got the members .*say which with `image:"),
        ([("1.cls", b"0")], {}, "sample 1: expected one image, got the members cls"),
        ([("1.png", png(1)), ("1.cls", b"\xff\xfe")], {}, "sample 1: expected text, which is its label"),
        ([("1.png", b"nothing"), ("1.cls", b"0")], {}, "sample 1: not a readable image .*mend or remove"),
    ],
)
def test_shards_that_are_wrong_are_refused_with_the_sample(tmp_path, members, options, said):
    packed(tmp_path / "s.tar", members, **options)
    refused(tmp_path, said, webdataset="s.tar")


def test_shards_that_are_not_whole_or_not_there_are_refused(tmp_path):
    packed(tmp_path / "s.tar", [*PLAIN, ("2.png", bytes(9000)), ("2.cls", b"1")])
    whole = (tmp_path / "s.tar").read_bytes()
    for end in (300, 700, 4000):
        (tmp_path / "s.tar").write_bytes(whole[:end])
        refused(tmp_path, r"s\.tar: (ends within|not a readable tar file)", webdataset="s.tar")
    (tmp_path / "s.tar").write_bytes(b"no tar" * 200)
    refused(tmp_path, r"s\.tar: not a readable tar file", webdataset="s.tar")
    refused(tmp_path, "no file or folder 's-1.tar'", webdataset="s-{0..1}.tar".replace("s-{0", "s-{1"))
    refused(tmp_path, "no shard 'x-\\*' in this folder", webdataset="x-*")
    refused(tmp_path, "stands for no shards", webdataset="s-{3..1}.tar")
    packed(tmp_path / "two.tar", [*PLAIN, ("1.mask.png", png(2)), (".hidden.png", b"x")])
    assert len(read(tmp_path, webdataset="two.tar", image="png")) == 1
