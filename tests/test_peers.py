"""The same attack in another library, on the same classifier: `pytest -m peers`, where that library is installed."""

from __future__ import annotations

import pytest

from robustbench_lite.attack import attacks
from robustbench_lite.threat import Goal
from tests.helpers import attack
from tests.test_attacks import digits

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
