"""The same attack in another library, on the same classifier: `pytest -m peers`, where that library is installed."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.engine.attack import attacks
from robustbench_lite.threat.goal import Goal
from tests.attacks.test_attacks import digits
from tests.helpers import attack, images, mlp

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("steps", [1, 5, 10])
def test_mifgsm_makes_torchattacks_images(steps):
    torchattacks = pytest.importorskip("torchattacks")
    net, x, label = digits(100)
    theirs = torchattacks.MIFGSM(net, eps=0.2, alpha=0.2 / steps, steps=steps, decay=1.0)(x, label)
    record = attacks.build("mifgsm", {"epsilon": 0.2, "steps": steps})
    mine = attack(record, net, x, 100, Goal(label, 10)).candidates
    # cross-entropy's gradient underflows where the classifier is certain, and sign(0) is 0: there the two part
    alike = ((mine - theirs).abs() < 1e-5).flatten(1).float().mean(1)
    assert alike.median() > 0.99
    fooled = [(net(images).argmax(1) != label).float().mean() for images in (mine, theirs)]
    assert fooled[0] >= fooled[1] - 0.02


def coloured(n: int = 12):
    """A small classifier of 3x32x32 images, and images."""
    net, x = mlp(shape=(3, 32, 32), seed=5), images(n, (3, 32, 32))
    x = torch.nn.functional.avg_pool2d(x, 5, 1, 2)  # smooth, so that resamplers agree
    return net, x, net(x).argmax(1)


def test_foolboxes_grid_gives_the_same_verdicts():
    foolbox = pytest.importorskip("foolbox")
    net, x, label = coloured()
    options = {"max_translation": 3, "max_rotation": 20, "num_translations": 3, "num_rotations": 5}
    box = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    _, _, theirs = foolbox.attacks.SpatialAttack(**options, grid_search=True)(box, x, label)
    record = attacks.build("spatial", {"rotation": 20, "translation": 3, "angles": 5, "shifts": 3})
    mine = net(attack(record, net, x, goal=Goal(label, 5)).candidates).argmax(1) != label
    assert (mine == theirs).float().mean() >= 0.9  # foolbox rotates about another centre


def test_art_moves_the_whole_batch_alike_and_takes_the_channels_for_the_width():
    classification = pytest.importorskip("art.estimators.classification")
    evasion = pytest.importorskip("art.attacks.evasion")
    net, x, label = coloured(24)
    wrapped = classification.PyTorchClassifier(
        net, torch.nn.CrossEntropyLoss(), (3, 32, 32), 5, clip_values=(0.0, 1.0), device_type="cpu"
    )
    percent = 100 * 3 / 32  # of the side: three pixels
    theirs = evasion.SpatialTransformation(wrapped, percent, 3, 0.0, 1, verbose=False)
    candidates = torch.from_numpy(theirs.generate(x.numpy(), label.numpy()))
    assert theirs.attack_trans_x == 0  # 9 % of three channels are no pixel
    assert abs(theirs.attack_trans_y) == 3  # 9 % of 32 are three, for all images alike
    mine = attack(attacks.build("spatial", {"rotation": 0, "angles": 1, "shifts": 3}), net, x, goal=Goal(label, 5))
    assert len({tuple(row) for row in mine.found.tolist()}) > 3  # a transform for each image
    assert mine.found[:, 1].abs().max() == 3
    fallen = [(net(images).argmax(1) != label).sum() for images in (mine.candidates, candidates)]
    assert fallen[0] > fallen[1]
