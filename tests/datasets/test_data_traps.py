"""Files of data that start programs, never end, or claim to be enormous: one sentence each, and no memory."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import EpsImagePlugin, Image

from robustbench_lite.datasets import _room as room
from robustbench_lite.datasets.folder import Folder
from robustbench_lite.datasets.idx import IDX, read_idx
from robustbench_lite.datasets.object3d import Object
from robustbench_lite.datasets.parquet import Parquet
from robustbench_lite.datasets.photographs import Photographs
from robustbench_lite.datasets.torchvision import Torchvision
from robustbench_lite.errors import DataError
from robustbench_lite.physical.mesh import read_obj

MIB = 2**20
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"


def png(*size, mode="L") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 200).save(out, "PNG")
    return out.getvalue()


def folder(place, *images) -> str:
    (place / "data" / "0").mkdir(parents=True)
    for i, data in enumerate(images):
        (place / "data" / "0" / f"{i}.png").write_bytes(data)
    return "data"


def table(place, images) -> str:
    column = pa.array([{"bytes": data, "path": "x"} for data in images])
    pq.write_table(pa.table({"image": column, "label": [0] * len(images)}), place / "d.parquet", compression="zstd")
    return "d.parquet"


@pytest.fixture
def small(monkeypatch):
    """A machine with room for 32 MiB of images."""
    monkeypatch.setattr(room, "_MOST", 32 * MIB)


@pytest.fixture
def ghost(tmp_path, monkeypatch):
    """A Ghostscript that leaves a mark where it is started."""
    (tmp_path / "bin").mkdir()
    program, mark = tmp_path / "bin" / "gs", tmp_path / "started"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    return mark


def test_the_ghost_is_seen(ghost):
    with pytest.raises(OSError):
        Image.open(io.BytesIO(EPS)).load()
    assert ghost.exists()


def test_postscript_that_calls_itself_a_picture_starts_nothing(tmp_path, ghost):
    (tmp_path / "p.csv").write_text("file,distance,angle\ndata/0/0.png,5,0\n")
    sources = [
        Folder(folder=folder(tmp_path, EPS)),
        Parquet(parquet=table(tmp_path, [EPS])),
        Photographs(photographs="p.csv"),
        Object(object="turtle", texture="data/0/0.png"),
    ]
    for source in sources:
        with pytest.raises(DataError, match="not a readable image"):
            source.load(tmp_path)
    assert not ghost.exists()


def test_postscript_as_the_texture_of_a_mesh_starts_nothing(tmp_path, ghost):
    pytest.importorskip("trimesh")
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"
    (tmp_path / "o.obj").write_text(f"mtllib o.mtl\nusemtl m\n{corners}")
    (tmp_path / "o.mtl").write_text("newmtl m\nmap_Kd skin.png\n")
    (tmp_path / "skin.png").write_bytes(EPS)
    with pytest.raises((DataError, OSError)):
        read_obj(tmp_path / "o.obj")
    assert not ghost.exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # torchvision leaves the file open
def test_postscript_among_torchvisions_signs_starts_nothing(tmp_path, ghost):
    signs = tmp_path / "gtsrb" / "GTSRB" / "Final_Test" / "Images"
    signs.mkdir(parents=True)
    (signs / "00000.ppm").write_bytes(EPS)
    (tmp_path / "gtsrb" / "GT-final_test.csv").write_text("Filename;ClassId\n00000.ppm;0\n")
    with pytest.raises(OSError, match="Unable to locate Ghostscript"):
        Torchvision(torchvision="GTSRB", root=".").load(tmp_path)
    assert not ghost.exists()


def test_pipes_devices_and_loops_are_no_data(tmp_path):
    for name in ("d.parquet", "p.csv", "0.png", "o.obj", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        for kind in ("pipe", "zero", "loop"):
            place = tmp_path / kind / "0" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "pipe":
                os.mkfifo(place)
            else:
                place.symlink_to("/dev/zero" if kind == "zero" else place)
    for kind in ("pipe", "zero", "loop"):
        for source in (
            Parquet(parquet=f"{kind}/0/d.parquet"),
            Parquet(parquet=f"{kind}/0"),
            Photographs(photographs=f"{kind}/0/p.csv"),
            Folder(folder=kind),
            IDX(idx=f"{kind}/0"),
            Object(object="turtle", texture=f"{kind}/0/0.png"),
            Object(object=f"{kind}/0/o.obj", label=0),
        ):
            with pytest.raises(DataError):
                source.load(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_as_far_as_they_say(tmp_path, suffix, small):
    opened = gzip.open if suffix else open
    path = tmp_path / f"images{suffix}"

    def written(sizes, data):
        with opened(path, "wb") as file:
            file.write(struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes) + data)
        return path

    assert read_idx(written([2, 2, 2], bytes(range(8)))).tolist() == np.arange(8).reshape(2, 2, 2).tolist()
    with pytest.raises(DataError, match="expected 8 bytes of data, got 7; is it truncated"):
        read_idx(written([2, 2, 2], bytes(7)))
    with pytest.raises(DataError, match="expected 8 bytes of data, got more"):
        read_idx(written([2, 2, 2], bytes(64 * MIB if suffix else 9)))
    for sizes in ([60000, 1000, 1000], [2**32 - 1] * 3, [2**32 - 1] * 200):
        with pytest.raises(DataError, match="GiB of memory would be needed"):
            read_idx(written(sizes, bytes(100)))
    path.write_bytes(b"\0\0\x08\xff1234") if not suffix else path.write_bytes(gzip.compress(b"\0\0\x08\xff1234"))
    with pytest.raises(DataError, match="expected 255 sizes; is it truncated"):
        read_idx(path)


def test_a_dictionary_that_stands_for_far_more_is_not_unfolded(tmp_path, small):
    name = table(tmp_path, [bytes(4 * MIB)] * 50)
    assert (tmp_path / name).stat().st_size < 10_000
    with pytest.raises(DataError, match=r"d.parquet, \d+ rows: .* GiB of memory would be needed"):
        Parquet(parquet=name).load(tmp_path)


def test_pages_that_unpack_to_too_much_are_not_unpacked(tmp_path, small):
    name = table(tmp_path, [bytes([i]) * 20 * MIB for i in range(3)])
    assert (tmp_path / name).stat().st_size < 50_000
    with pytest.raises(DataError, match=r"d.parquet, 3 rows: 0.1 GiB of memory would be needed"):
        Parquet(parquet=name).load(tmp_path)


def test_many_rows_and_row_groups_are_read_whole(tmp_path):
    images = [png(3, 3), png(4, 3)] * 700
    column = pa.array([{"bytes": data, "path": "x"} for data in images])
    labels = pa.array([i % 7 for i in range(len(images))])
    pq.write_table(pa.table({"image": column, "label": labels}), tmp_path / "d.parquet", row_group_size=300)
    found = Parquet(parquet="d.parquet", size=3).load(tmp_path)
    assert len(found) == 1400
    assert sorted(found.labels.tolist()) == sorted(labels.to_pylist())


SCALED = [
    ((9, 9), {"resize": 60_000}),
    ((9, 9), {"size": 60_000}),
    ((60_000, 1), {"size": 224}),
    ((1, 60_000), {"resize": 1100}),
]


@pytest.mark.parametrize(("size", "options"), SCALED, ids=str)
def test_scaling_makes_no_picture_that_is_too_large(tmp_path, size, options):
    data = png(*size)
    named, packed = folder(tmp_path, data), table(tmp_path, [data])
    for source in (Folder(folder=named, **options), Parquet(parquet=packed, **options)):
        with pytest.raises(DataError, match=r"(0.png|row 0): scaled from \d+x\d+ to \d+x\d+ pixels, at most 64000000"):
            source.load(tmp_path)


def test_many_large_images_without_size_are_counted_first(tmp_path, small):
    images = [png(3000, 2000, mode="RGB"), *[png(3000, 2000)] * 5]
    for source in (Folder(folder=folder(tmp_path, *images)), Parquet(parquet=table(tmp_path, images))):
        with pytest.raises(DataError, match=r"images of .*; take fewer samples, or set|differ in shape"):
            source.load(tmp_path)
    assert Folder(folder="data", size=8, channels=1).load(tmp_path).images.shape == (6, 1, 8, 8)


def test_corners_far_away_are_no_box(tmp_path):
    (tmp_path / "a.png").write_bytes(png(20, 20))
    head = "file,distance,angle,x1,y1,x2,y2,x3,y3,x4,y4\n"
    for far in ("1e9", "inf", "nan"):
        (tmp_path / "p.csv").write_text(f"{head}a.png,5,0,0,0,{far},0,9,9,0,9\n")
        with pytest.raises(DataError, match="the four corners span"):
            Photographs(photographs="p.csv").load(tmp_path)


def test_room_is_a_quarter_of_the_machine_and_no_more_than_16_gib():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert room.room() == min(16 * 2**30, memory // 4)
    room.check_room(room.room(), "x", "y")
    with pytest.raises(DataError):
        room.check_room(room.room() + 1, "x", "y")
