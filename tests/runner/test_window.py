"""How many images are looked at together on a GPU: the search on models of one, and where it is asked for."""

from __future__ import annotations

import json

import pytest
import torch

from robustbench_lite.runner.assets import Assets
from robustbench_lite.runner.executors.pool import devices
from robustbench_lite.runner.window import grown, window
from robustbench_lite.suite.builder import load
from tests.helpers import CPU, images

SUITE = {"version": 1, "name": "w", "data": {"mnist": {"samples": 4}}, "models": ["fc500_150_10_mnist"]}
SUITE |= {"attacks": ["fgsm"], "tables": ["accuracy"]}


def device(fits: int, full: int):
    """Images a second on a device that `full` images keep busy, and whose memory holds `fits`."""

    def pace(n: int) -> float:
        tried.append(n)
        if n > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return min(n, full) / 0.01

    tried: list[int] = []
    return pace, tried


@pytest.mark.parametrize(
    ("fits", "full", "found"),
    [(10**9, 500, 512), (10**9, 512, 512), (10**9, 10**9, 8192), (300, 10**9, 128), (20, 10**9, 16), (3, 1, 16)],
)
def test_a_window_grows_until_throughput_stops_or_memory_does(fits, full, found):
    pace, tried = device(fits, full)
    assert grown(pace) == found
    assert tried == sorted(set(tried))
    assert max(tried) <= 8192


def test_one_size_that_is_slow_does_not_end_the_search():
    whole, _ = device(10**9, 2000)
    assert grown(lambda n: whole(n) * (0.4 if n in {64, 128} else 1)) == 2048


def test_where_memory_ends_it_the_attack_gets_as_much_again():
    pace, _ = device(300, 10**9)
    assert 2 * grown(pace) <= 300


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def pace(n: int) -> float:
        raise RuntimeError("sizes of tensors must match")

    with pytest.raises(RuntimeError, match="must match"):
        grown(pace)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTBENCH_LITE_CACHE", str(tmp_path))
    return tmp_path / "windows"


@pytest.fixture
def assets():
    return Assets(load(SUITE), CPU)


def test_it_is_found_once_for_a_classifier_and_a_shape(own_cache, assets):
    net = assets.classifier("fc500_150_10_mnist")
    pace, tried = device(10**9, 60)
    assert window(net, CPU, (1, 28, 28), pace) == 64
    asked = len(tried)
    assert window(net, CPU, (1, 28, 28), pace) == 64
    assert len(tried) == asked
    window(net, CPU, (3, 28, 28), pace)
    assert len(tried) == 2 * asked


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"size": "64"}', '{"size": 0}', '{"size": 1e9}'])
def test_what_is_damaged_is_measured_anew(own_cache, assets, text):
    net = assets.classifier("fc500_150_10_mnist")
    window(net, CPU, (1, 28, 28), device(10**9, 60)[0])
    (file,) = own_cache.glob("*.json")
    file.write_text(text)
    assert window(net, CPU, (1, 28, 28), device(10**9, 120)[0]) == 128
    assert json.loads(file.read_text())["size"] == 128


def test_without_a_cache_it_is_measured_every_time(monkeypatch, assets):
    monkeypatch.setenv("ROBUSTBENCH_LITE_CACHE", "")
    net = assets.classifier("fc500_150_10_mnist")
    pace, tried = device(10**9, 60)
    for _ in range(2):
        assert window(net, CPU, (1, 28, 28), pace) == 64
    assert tried.count(16) == 2


def searched(monkeypatch, size: int) -> list[tuple[int, ...]]:
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(
        "robustbench_lite.runner.assets.window", lambda _net, _device, shape: asked.append(shape) or size
    )
    return asked


def test_on_a_cpu_and_where_it_is_chosen_nothing_is_searched(monkeypatch, assets):
    asked, x = searched(monkeypatch, 77), images(2, (1, 28, 28))
    assert assets.scorer("fc500_150_10_mnist", x).size == assets.batch_for(x) == 512
    assets.device, assets.batch_size = torch.device("cuda"), 9
    assert assets.scorer("fc500_150_10_mnist", x).size == 9
    assert not asked


def test_on_a_gpu_it_is_asked_for_once(monkeypatch, assets):
    asked, x = searched(monkeypatch, 77), images(2, (1, 28, 28))
    assets.classifier("fc500_150_10_mnist")  # there is no such device: it stays where it is
    assets.device = torch.device("cuda")
    assert [assets.scorer("fc500_150_10_mnist", x).size for _ in range(3)] == [77] * 3
    assert assets.victim(("fc500_150_10_mnist",) * 2, None, x).scorer.size == 77
    assert asked == [(1, 28, 28)]


@pytest.mark.parametrize(("gpus", "places"), [(1, ["cuda:0"] * 3), (2, ["cuda:0", "cuda:1", "cuda:0"])])
def test_more_workers_than_gpus_share_them(monkeypatch, gpus, places):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert devices("cuda", 3) == places
