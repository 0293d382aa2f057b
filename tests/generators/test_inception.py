"""The real inception score and FID: with whose weights, and that it is torch-fidelity that takes them."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.errors import ModelError
from robustbench_lite.generators import inception_scores
from robustbench_lite.generators.metrics import inception
from robustbench_lite.generators.metrics.classified import frechet

HINT = "needs torch-fidelity: an extra, `pip install 'robustbench_lite[inception]'`"


def images(n, seed=0):
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(seed))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch_fidelity", None)
    with pytest.raises(ModelError, match=r"pip install 'robustbench_lite\[inception\]'"):
        inception_scores(images(10), images(10), "weights.pth")


def test_no_number_is_called_so_with_other_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(inception, "_calculate", lambda: pytest.fail)
    with pytest.raises(ModelError, match=r"expected the file weights-inception-2015-12-05-6726825d\.pth"):
        inception_scores(images(10), images(10), tmp_path / "nowhere.pth")
    path = tmp_path / "weights.pth"
    path.write_bytes(b"another network")
    with pytest.raises(ModelError, match="expected a SHA-256 that begins with 6726825d"):
        inception_scores(images(10), images(10), path)
    monkeypatch.setattr(inception, "SHA256", "")
    with pytest.raises(ModelError, match="expected at least 10 images of each kind, got 9, 10"):
        inception_scores(images(9), images(10), path)


@pytest.mark.peers  # seconds an image
def test_they_are_of_the_network_in_the_file(monkeypatch, tmp_path):
    """A network of random weights in the place of Inception: the distance is ours, in its features."""
    extractors = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason=HINT)
    kind = extractors.FeatureExtractorInceptionV3
    with monkeypatch.context() as patched:
        torch.manual_seed(0)
        patched.setattr(extractors, "load_state_dict_from_url", lambda *_, **__: {})
        patched.setattr(kind, "load_state_dict", lambda *_: None)
        net = kind("inception-v3-compat", ["2048"])
    path = tmp_path / "weights.pth"
    torch.save(net.state_dict(), path)
    monkeypatch.setattr(inception, "SHA256", "")
    ours, real = images(10), images(12, seed=1).square()
    found = inception_scores(ours, real, path)
    features = [net((x.expand(-1, 3, -1, -1) * 255).round().to(torch.uint8))[0] for x in (real, ours)]
    assert found["fid"] == pytest.approx(frechet(*features), rel=1e-2, abs=1e-6)
    assert found["inception_score"] >= 1 and found["inception_score_deviation"] >= 0
