"""Weights that claim to be far larger than their file are refused before that much memory is asked for."""

from __future__ import annotations

import io
import os
import struct
import zipfile

import pytest
import torch

from robustbench_lite.errors import ModelError
from robustbench_lite.models._bounds import check_file, check_tensors
from robustbench_lite.models._checkpoint import read_weights

MIB = 2**20


class Calls:
    """What the unpickler calls with arguments of the file's choice."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def archive(path, state, compression=zipfile.ZIP_STORED, comment=b"", before=b""):
    """PyTorch's archive of a state, written once more by another hand."""
    made = io.BytesIO()
    torch.save(state, made)
    with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.comment = comment
    if before:
        path.write_bytes(before + path.read_bytes())
    return path


def saved(path, state, **options):
    torch.save(state, path, **options)
    return path


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["archive", "stream"])
def test_honest_weights_pass(tmp_path, options):
    tied = torch.rand(100, 100)
    state = {"a": torch.rand(64, 3, 3, 3), "b": tied, "c": tied, "half": torch.rand(1000).half()}
    path = saved(tmp_path / "net.pt", state, **options)
    check_file(path, "net")
    check_tensors(state.values(), path.stat().st_size, "net", "net.pt")
    assert read_weights(path, "net").keys() == state.keys()


def test_other_archivers_may_store_and_deflate(tmp_path):
    state = {"a": torch.rand(5000)}
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert torch.equal(read_weights(archive(tmp_path / "net.pt", state, compression), "net")["a"], state["a"])


def test_an_archive_of_more_than_4_gib_is_measured_by_its_long_directory(tmp_path):
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("net/data.pkl", b"")
    content = path.read_bytes()
    length, start = struct.unpack("<2I", content[-10:-2])
    end = len(content) - 22
    long = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, length, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    path.write_bytes(content[:end] + long + locator + content[end:])
    check_file(path, "net")
    path.write_bytes(content[:end] + long[:-8] + struct.pack("<Q", start - 1) + locator + content[end:])
    with pytest.raises(ModelError, match="damaged or cut off"):
        check_file(path, "net")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_a_view_of_one_number_is_refused(tmp_path, dtype):
    path = saved(tmp_path / "net.pt", {"a": torch.zeros(1, dtype=dtype).expand(10_000, 10_000), "b": torch.rand(1)})
    assert path.stat().st_size < 3000
    with pytest.raises(ModelError, match=r"would unpack to [48]00,000,0.., more .* was not loaded"):
        read_weights(path, "net")


def test_deflated_zeros_are_refused(tmp_path):
    path = archive(tmp_path / "net.pt", {"a": torch.zeros(25_000_000)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < MIB
    with pytest.raises(ModelError, match=r"would unpack to 100,\d\d\d,\d\d\d, more"):
        read_weights(path, "net")


def test_entries_that_lie_over_each_other_count_each(tmp_path):
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("net/data/0", b"\0" * MIB)
        first = made.infolist()[0]
        for i in range(1, 50):
            other = zipfile.ZipInfo(f"net/data/{i}")
            other.header_offset, other.CRC = first.header_offset, first.CRC
            other.file_size = other.compress_size = first.file_size
            made.filelist.append(other)
    with pytest.raises(ModelError, match=r"would unpack to 52,\d\d\d,\d\d\d"):
        check_file(path, "net")


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}], ids=["archive", "stream"])
def test_a_number_that_becomes_as_many_bytes_is_refused(tmp_path, options):
    path = saved(tmp_path / "net.pt", {"a": torch.rand(3), "b": Calls(bytearray, 3 * 10**8)}, **options)
    with pytest.raises(ModelError, match="holds more than weights"):
        read_weights(path, "net")


def test_a_number_that_becomes_as_many_floats_is_refused(tmp_path):
    path = saved(tmp_path / "net.pt", {"a": Calls(torch.FloatTensor, 10**9)})
    with pytest.raises(ModelError, match="would unpack to 4,000,000,000"):
        read_weights(path, "net")


@pytest.mark.filterwarnings("ignore:torch.quantize", "ignore:Validating sparse", "ignore:TypedStorage")
def test_tensors_that_are_not_plain_are_refused(tmp_path):
    empty = torch.zeros(1, 0, dtype=torch.long), torch.zeros(0)
    sparse = Calls(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, (*empty, (10**10,), True))
    meta = Calls(torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (10,), (1,), False)
    quantised = torch.quantize_per_tensor(torch.rand(9), 0.1, 0, torch.qint8)
    for name, tensor in {"sparse": sparse, "meta": meta, "quantised": quantised}.items():
        with pytest.raises(ModelError, match=f"not plain .*{name}"):
            read_weights(saved(tmp_path / "net.pt", {"a": tensor, "b": torch.rand(2)}), "net")


def test_an_archive_that_readers_see_differently_is_refused(tmp_path):
    state = {"a": torch.rand(50)}
    inner = archive(tmp_path / "inner.pt", state).read_bytes()
    for path in (
        archive(tmp_path / "comment.pt", state, comment=b"PK\5\6"),
        archive(tmp_path / "before.pt", state, before=inner[: len(inner) - 22]),
    ):
        with pytest.raises(ModelError, match="damaged or cut off"):
            read_weights(path, "net")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_no_pipe_no_device_no_loop(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"loop{suffix}").symlink_to(tmp_path / f"loop{suffix}")
    for name in ("pipe", "zero", "loop"):
        with pytest.raises(ModelError, match="cannot be read"):
            read_weights(tmp_path / f"{name}{suffix}", "net")


def test_a_state_within_states_that_are_all_the_same_does_not_multiply(tmp_path):
    inner = {f"w{i}": torch.rand(1) for i in range(50)}
    for _ in range(8):
        inner = {f"k{i}": inner for i in range(2000)}  # 2000**8 ways through a small file
    with pytest.raises(ModelError, match="mappings within mappings"):
        read_weights(saved(tmp_path / "net.pt", inner), "net")
