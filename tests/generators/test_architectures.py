"""Every architecture keeps the contract; what its paper fixes is there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_lite.errors import ModelError
from robustbench_lite.generators.architecture import architectures

SMALL = {
    "goodfellow_mlp": {"width": 16, "units": 8},
    "points_mlp": {"width": 16},
    "progressive": {"filters": 4},
    "resnet": {"filters": 16},
    "dcgan_mlp": {"filters": 4, "width": 16},
}
SEVEN = ["dcgan", "dcgan_constant", "dcgan_mlp", "dcgan_plain", "dcgan_gated", "dcgan_tanh", "resnet"]


def built(name, norm="layer", **params):
    """(architecture, size, generator, critic), small."""
    arch = architectures.build(name, {"latent": 6, **SMALL.get(name, {"filters": 4}), **params})
    size = (2,) if name == "points_mlp" else (3, 16, 16)
    torch.manual_seed(0)
    return arch, size, arch.generator(size), arch.critic(size, norm)


def kinds(net):
    return {type(part).__name__ for part in net.modules()}


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("name", list(architectures))
def test_latents_become_images_and_images_scores(name, norm):
    _, size, generator, critic = built(name, norm)
    images = generator(torch.randn(5, 6))
    assert images.shape == (5, *size) and torch.isfinite(images).all()
    scores = critic(images)
    assert scores.shape == (5,) and torch.isfinite(scores).all()


@pytest.mark.parametrize("name", sorted({*architectures} - {"progressive", "points_mlp"}))
def test_images_are_in_their_range(name):
    images = built(name)[2](100 * torch.randn(8, 6))
    assert images.min() >= -1 and images.max() <= 1


@pytest.mark.parametrize("name", list(architectures))
def test_an_image_does_not_depend_on_those_beside_it(name):
    generator, z = built(name)[2].eval().double(), torch.randn(7, 6).double()
    together = generator(z)
    assert torch.allclose(together, torch.cat([generator(one[None]) for one in z]))


@pytest.mark.parametrize("name", list(architectures))
def test_gradients_reach_every_parameter(name):
    """At some time of a training: a progressive pair does not use all of them at any one time."""
    arch, _, generator, critic = built(name)
    for progress in torch.linspace(0, 1, 11).tolist():
        arch.grow(generator, progress)
        arch.grow(critic, progress)
        critic(generator(torch.randn(8, 6))).square().sum().backward()
    for net in (generator, critic):
        without = [key for key, value in net.named_parameters() if value.grad is None or not value.grad.any()]
        assert not without


@pytest.mark.parametrize("name", list(architectures))
def test_critics_for_the_gradient_penalty_score_each_image_by_itself(name):
    """The paper's reason against batch norm; progressive growing's groups of four are its exception."""
    _, size, _, critic = built(name, "layer")
    assert "BatchNorm2d" not in kinds(critic)
    if name != "progressive":
        critic.eval().double()  # without dropout; norms of a layer do the same in training
        x = torch.randn(4, *size).double()
        assert torch.allclose(critic(x), torch.cat([critic(one[None]) for one in x]))


@pytest.mark.parametrize("name", SEVEN)
def test_the_critics_of_figure_2_normalise_as_they_are_told(name):
    for norm, layer in (("batch", "BatchNorm2d"), ("layer", "GroupNorm")):
        norms = kinds(built(name, norm)[3]) & {"BatchNorm2d", "GroupNorm"}
        assert norms == (set() if name == "dcgan_plain" else {layer})


@pytest.mark.parametrize("name", list(architectures))
def test_sizes_that_do_not_fit_are_told(name):
    wrong = (3, 16, 16) if name == "points_mlp" else (3, 28, 28)
    with pytest.raises(ModelError, match=rf"{name}: expected size"):
        architectures.build(name).generator(wrong)
    with pytest.raises(ModelError, match=rf"{name}: expected size"):
        architectures.build(name).critic(wrong, "layer")


def test_dcgan_begins_as_published():
    """N(0, 0.02) in every layer; no batch norm at the generator's output and the critic's input."""
    torch.manual_seed(0)
    arch = architectures.build("dcgan", {"filters": 32})
    generator, critic = arch.generator((3, 32, 32)), arch.critic((3, 32, 32), "batch")
    for net in (generator, critic):
        layers = [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        assert len(layers) == 4
        for layer in layers:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert abs(layer.weight.mean().item()) < 0.002
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                assert part.weight.mean().item() == pytest.approx(1, abs=0.02) and not part.bias.any()
    order = [type(part).__name__ for part in generator]
    assert order[-3:] == ["ReLU", "ConvTranspose2d", "Tanh"] and order.count("BatchNorm2d") == 3
    order = [type(part).__name__ for part in critic]
    assert order[:4] == ["Conv2d", "LeakyReLU", "Conv2d", "BatchNorm2d"] and order.count("BatchNorm2d") == 2
    assert {part.negative_slope for part in critic if isinstance(part, nn.LeakyReLU)} == {0.2}


def test_the_settings_differ_in_what_they_say():
    nets = {name: built(name, "batch")[2:] for name in SEVEN}
    assert "ConvTranspose2d" not in kinds(nets["dcgan_mlp"][0])
    assert not {"BatchNorm2d"} & (kinds(nets["dcgan_constant"][0]) | kinds(nets["dcgan_plain"][0]))
    widths = {part.out_channels for part in nets["dcgan_constant"][0] if isinstance(part, nn.ConvTranspose2d)}
    assert widths == {4, 3}
    assert not {"ReLU", "LeakyReLU"} & (kinds(nets["dcgan_tanh"][0]) | kinds(nets["dcgan_tanh"][1]))
    assert not {"ReLU", "LeakyReLU"} & (kinds(nets["dcgan_gated"][0]) | kinds(nets["dcgan_gated"][1]))


@pytest.mark.parametrize("depth", [17, 23, 101])
def test_the_residual_net_is_as_deep_as_it_says(depth):
    _, _, generator, critic = built("resnet", depth=depth)
    for net in (generator, critic):
        layers = [n for n, p in net.named_modules() if isinstance(p, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        assert len([name for name in layers if "shortcut" not in name]) == depth


def test_a_depth_that_does_not_fit_is_told():
    with pytest.raises(ModelError, match=r"resnet: expected depth 17, 20, \.\.\. for images of side 16, got 14"):
        built("resnet", depth=14)


def test_figure_2_has_its_101_layers_at_its_side():
    arch = architectures.build("resnet", {"depth": 101, "filters": 4})
    assert arch.generator((3, 64, 64))(torch.randn(1, 100)).shape == (1, 3, 64, 64)
