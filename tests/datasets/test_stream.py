"""Images that are decoded when they are asked for: the same as those that are kept, and no more than is asked for."""

from __future__ import annotations

import gzip
import io
import struct
import threading
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robustbench_lite.datasets import _decode, _known, _pictures, content, stream
from robustbench_lite.datasets import idx as idx_files
from robustbench_lite.datasets import parquet as parquet_files
from robustbench_lite.datasets.base import padded
from robustbench_lite.datasets.bundled import Bundled
from robustbench_lite.datasets.content import content_of
from robustbench_lite.datasets.folder import Folder
from robustbench_lite.datasets.idx import IDX
from robustbench_lite.datasets.on_demand import OnDemand
from robustbench_lite.datasets.parquet import Parquet
from robustbench_lite.datasets.torchvision import Torchvision
from robustbench_lite.errors import DataError

N = 30


def picture(i: int, size=(6, 6), mode="L") -> bytes:
    pixels = np.random.default_rng(i).integers(0, 256, (size[1], size[0], *([3] if mode == "RGB" else [])), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def folder(place, n=N):
    for i in range(n):
        (place / "data" / str(i % 3)).mkdir(parents=True, exist_ok=True)
        (place / "data" / str(i % 3) / f"{i}.png").write_bytes(picture(i))
    return Folder(folder="data")


def table(place, images, **options):
    (place / "cifar10").mkdir()
    columns = {"image": images, "label": [i % 3 for i in range(len(images))]}
    pq.write_table(pa.table(columns), place / "cifar10" / "test.parquet", **options)
    return "cifar10/test.parquet"


def encoded(place):
    return table(place, pa.array([{"bytes": picture(i), "path": "x"} for i in range(N)]), row_group_size=7)


def idx(place, packed):
    opened = gzip.open if packed else open
    pixels = np.random.default_rng(0).integers(0, 256, (N, 6, 6), np.uint8)
    for name, array in (("images-idx3", pixels), ("labels-idx1", np.arange(N, dtype=np.uint8) % 3)):
        head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        with opened(place / f"t10k-{name}-ubyte{'.gz' if packed else ''}", "wb") as file:
            file.write(head + array.tobytes())


def downloaded(place):
    """What torchvision leaves of MNIST."""
    raw = place / "MNIST" / "raw"
    raw.mkdir(parents=True)
    idx(raw, packed=False)
    for name in ("images-idx3", "labels-idx1"):
        (raw / f"train-{name}-ubyte").write_bytes((raw / f"t10k-{name}-ubyte").read_bytes())
    return {"torchvision": "MNIST", "root": "."}


def made(kind, place, **options):
    """A small source of a kind."""
    match kind:
        case "folder":
            source = folder(place).model_copy(update=options)
        case "encoded":
            source = Parquet(parquet=encoded(place), **options)
        case "lists":
            rows = np.random.default_rng(0).integers(0, 256, (N, 6, 6)).tolist()
            source = Parquet(parquet=table(place, rows, row_group_size=7), **options)
        case "on_demand":
            encoded(place)
            source = OnDemand(on_demand="cifar10", **options)
        case "torchvision":
            source = Torchvision(**downloaded(place), **options)
        case "bundled":
            source = Bundled(bundled="mnist", samples=N, **options)
        case _:
            idx(place, packed=kind == "packed")
            source = IDX(idx=str(place), **options)
    return source


@pytest.fixture
def streamed(monkeypatch):
    """Every dataset is too large to be kept."""
    monkeypatch.setattr(_decode, "_KEPT", 0)
    monkeypatch.setattr(idx_files, "_MAPPED", 0)


@pytest.fixture
def counted(monkeypatch):
    """The names of the images that were decoded."""
    done, inner = list[str](), _pictures.picture

    def counting(name, *rest):
        done.append(name)
        return inner(name, *rest)

    monkeypatch.setattr(_decode, "picture", counting)
    return done


@pytest.fixture
def settled(monkeypatch, tmp_path):
    """A cache of its own, that believes files which were written just now."""
    monkeypatch.setenv("ROBUSTBENCH_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_known, "_SETTLED", -(10**12))
    return tmp_path / "cache"


def decoding():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


KINDS = ["folder", "encoded", "lists", "on_demand", "torchvision", "bundled", "packed", "plain"]


@pytest.mark.parametrize("options", [{}, {"size": 5, "resize": 7, "channels": 3}], ids=["as they are", "scaled"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_samples_whether_kept_or_decoded_each_time(tmp_path, monkeypatch, kind, options):
    source = made(kind, tmp_path, **options)
    kept = source.load(tmp_path)
    monkeypatch.setattr(_decode, "_KEPT", 0)
    monkeypatch.setattr(idx_files, "_MAPPED", 0)
    monkeypatch.setattr(stream, "_WINDOW", 5 * kept.images[0].size)
    found = source.load(tmp_path)
    assert isinstance(kept.images, np.ndarray) and isinstance(found.images, stream.Stream)
    assert (found.ids, found.labels.tolist(), found.classes) == (kept.ids, kept.labels.tolist(), kept.classes)
    assert found.images.shape == kept.images.shape and found.images.dtype == kept.images.dtype
    assert np.array_equal(np.concatenate(list(stream.parts(found.images))), kept.images)
    index = np.array([N - 1, 3, 3, 0, *range(10, 20)])
    assert np.array_equal(found.images[index], kept.images[index])
    for change in (lambda some: some.taken([4, 2, 9]), lambda some: padded(some, 3), lambda some: some):
        one, other = change(found), change(kept)
        assert one.ids == other.ids and one.images.shape == other.images.shape
        assert np.array_equal(np.asarray(one.images), other.images)
        assert content_of(one) == content_of(other)
    assert found.doubts == kept.warnings
    assert not decoding()


def test_only_what_is_asked_for_is_decoded(tmp_path, streamed, counted):
    samples = folder(tmp_path).load(tmp_path)
    assert len(counted) == 1  # of which shape are they?
    samples.images[np.array([7, 3])]
    assert len(counted) == 3
    samples.images[:20]
    assert len(counted) == 23


def test_what_was_begun_is_not_decoded_again(tmp_path, streamed, counted):
    samples = folder(tmp_path).load(tmp_path)
    kept, before = np.asarray(samples.images), len(counted)
    stream.ahead(samples.images, slice(0, 10))
    assert decoding()
    assert np.array_equal(samples.images[:6], kept[:6])
    assert decoding()  # four are waiting
    assert np.array_equal(samples.images[6:20], kept[6:20])
    assert len(counted) == before + 20
    assert not decoding()


def test_what_nobody_asks_for_is_forgotten(tmp_path, streamed):
    samples = folder(tmp_path).load(tmp_path)
    stream.ahead(samples.images, slice(0, 10))
    stream.close(samples.images)
    assert not decoding() and not samples.images.decoder._begun


def test_row_groups_that_are_not_asked_for_are_not_read(tmp_path, streamed, monkeypatch):
    samples = Parquet(parquet=encoded(tmp_path)).load(tmp_path)
    read, inner = list[int](), parquet_files.pieces

    def pieces(file, column, groups):
        read.extend(groups)
        return inner(file, column, groups)

    monkeypatch.setattr(parquet_files, "pieces", pieces)
    place = int(samples.images.places[4])
    samples.images[[4]]
    assert read == [place // 7]


def test_a_large_row_group_is_read_in_pieces(tmp_path, streamed, monkeypatch):
    from robustbench_lite.guards import parquet as guard

    path = table(tmp_path, pa.array([{"bytes": picture(i), "path": "x"} for i in range(N)]))
    kept = Parquet(parquet=path).load(tmp_path)
    monkeypatch.setattr(guard, "_PIECE", 100)
    with pq.ParquetFile(tmp_path / path) as file:
        assert [(start, len(part)) for start, part in guard.pieces(file, "image", [0])] == [(i, 1) for i in range(N)]
    assert np.array_equal(np.asarray(Parquet(parquet=path).load(tmp_path).images), np.asarray(kept.images))


# what is wrong with a file

BROKEN = {
    "cannot be read": b"no picture",
    "another shape": picture(99, (7, 6)),
    "other channels": picture(98, mode="RGB"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("begun", [False, True], ids=["asked", "ahead"])
def test_the_same_sentence_as_where_all_are_kept(tmp_path, monkeypatch, data, begun):
    source = folder(tmp_path)
    bad = next(tmp_path.glob("data/*/17.png"))
    bad.write_bytes(data)
    with pytest.raises(DataError) as kept:
        source.load(tmp_path)
    monkeypatch.setattr(_decode, "_KEPT", 0)
    with pytest.raises(DataError) as found:  # noqa: PT012  (the first image may be the broken one)
        samples = source.load(tmp_path)
        if begun:
            stream.ahead(samples.images, slice(None))
        samples.images[:]
    assert str(found.value) == str(kept.value) and str(bad) in str(found.value)
    assert found.value.stage in {None, "load"}
    assert not decoding()


def test_others_are_decoded_beside_one_that_cannot_be(tmp_path, streamed):
    source = folder(tmp_path)
    sound = source.load(tmp_path)
    bad = int(sound.images.places[20])
    files = sorted(tmp_path.glob("data/*/*.png"))
    files[bad].write_bytes(b"broken since")
    stream.ahead(sound.images, slice(None))
    assert len(sound.images[:20]) == 20
    with pytest.raises(DataError, match="not a readable image"):
        sound.images[20:]


def test_what_only_fails_in_the_background_is_decoded_in_the_foreground(tmp_path, streamed, monkeypatch):
    """Such as a warning that is an error: filters belong to all threads, and nobody changes them in the background."""
    samples = folder(tmp_path).load(tmp_path)
    kept, inner = np.asarray(samples.images), _pictures.picture

    def picture(name, *rest):
        if threading.current_thread() is not threading.main_thread():
            raise DataError("a warning")
        return inner(name, *rest)

    monkeypatch.setattr(_decode, "picture", picture)
    stream.ahead(samples.images, slice(0, 10))
    assert np.array_equal(samples.images[:], kept)


def test_dark_images_are_told_of_once_all_have_been_seen(tmp_path, streamed):
    place = tmp_path / "data" / "0"
    place.mkdir(parents=True)
    for i in range(9):
        Image.fromarray(np.full((4, 4), i + 1, np.uint8)).save(place / f"{i}.png")
    samples = Folder(folder="data").load(tmp_path)
    content_of(samples)
    assert "brightest pixel of all images is 9 of 255" in samples.doubts[0]


# what is remembered of files


@pytest.fixture
def read(monkeypatch):
    """The files whose bytes were hashed."""
    done, inner = list[str](), _known.read_file

    def reading(path):
        done.append(path.name)
        return inner(path)

    monkeypatch.setattr(_known, "read_file", reading)
    return done


def test_an_unchanged_folder_is_not_read_again(tmp_path, settled, read):
    source = folder(tmp_path)
    first = source.load(tmp_path)
    assert len(read) == N
    assert source.load(tmp_path).ids == first.ids
    assert len(read) == N
    changed = next(tmp_path.glob("data/*/11.png"))
    changed.write_bytes(picture(1000))
    assert source.load(tmp_path).ids != first.ids
    assert read[N:] == ["11.png"]


def test_a_file_that_changed_a_moment_ago_is_not_believed(tmp_path, settled, read, monkeypatch):
    source = folder(tmp_path)
    monkeypatch.setattr(_known, "_SETTLED", 10**12)
    source.load(tmp_path)
    source.load(tmp_path)
    assert len(read) == 2 * N
    assert not settled.exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"0/0.png": [[1, 2, 3], "0000000000000000"]}'])
def test_a_damaged_cache_is_none(tmp_path, settled, read, damage):
    source = folder(tmp_path)
    first = source.load(tmp_path)
    for file in settled.rglob("*.json"):
        file.write_bytes(damage)
    assert source.load(tmp_path).ids == first.ids
    assert len(read) == 2 * N


def test_one_digit_of_an_id_that_changed_is_seen(tmp_path, settled):
    source = folder(tmp_path)
    first = source.load(tmp_path)
    for file in (settled / "ids").glob("*.json"):
        text, name = file.read_text(), first.ids[0]
        file.write_text(text.replace(name, ("1" if name[0] == "0" else "0") + name[1:]))
    assert source.load(tmp_path).ids == first.ids


@pytest.mark.parametrize("cache", ["", "file", "closed"])
def test_without_a_place_for_the_cache_files_are_read(tmp_path, settled, read, monkeypatch, cache):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setenv("ROBUSTBENCH_LITE_CACHE", str(tmp_path / cache / "x") if cache else "")
    source = folder(tmp_path)
    assert source.load(tmp_path).ids == source.load(tmp_path).ids
    assert len(read) in {N, 2 * N}  # root may write everywhere


def test_ids_of_an_unchanged_parquet_file_are_remembered(tmp_path, settled, streamed, monkeypatch):
    path = encoded(tmp_path)
    first = Parquet(parquet=path).load(tmp_path)
    monkeypatch.setattr(parquet_files, "row_id", lambda _: pytest.fail("read again"))
    assert Parquet(parquet=path).load(tmp_path).ids == first.ids
    (tmp_path / path).unlink()
    (tmp_path / "cifar10").rmdir()
    with pytest.raises(pytest.fail.Exception):
        Parquet(parquet=encoded(tmp_path)).load(tmp_path)


def test_what_images_are_is_remembered(tmp_path, settled, streamed, counted):
    source = folder(tmp_path)
    first = content_of(source.load(tmp_path))
    before = len(counted)
    assert content_of(source.load(tmp_path)) == first
    assert len(counted) == before + 1
    for other in (source.model_copy(update={"size": 5}), source.model_copy(update={"channels": 3})):
        assert content_of(other.load(tmp_path)) != first
    whole = source.load(tmp_path)
    assert content_of(padded(whole, 1)) != first
    assert content_of(replace(whole, labels=whole.labels + 1)) != first
    alike = np.flatnonzero(whole.labels == whole.labels[0]).tolist()
    assert content_of(whole.taken(alike[:2])) != content_of(whole.taken(alike[1::-1]))


def test_another_decoder_is_asked_anew(tmp_path, settled, streamed, counted, monkeypatch):
    source = folder(tmp_path)
    content_of(source.load(tmp_path))
    before = len(counted)
    monkeypatch.setattr(_decode, "decoders", lambda: ["another Pillow"])
    content_of(source.load(tmp_path))
    assert len(counted) == before + 1 + N
    assert content._KIND in {path.name for path in settled.iterdir()}
