"""The same attack in another library, on the same classifier: `pytest -m peers`, where that library is installed."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.attacks import CW, DDN, FMN, SigmaZero
from robustbench_lite.engine.attack import attacks
from robustbench_lite.threat.goal import Goal
from robustbench_lite.threat.norms import size
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


def median(candidates, x, net, label, norm):
    """The median size of successes, failures being infinite."""
    fooled = net(candidates).argmax(1) != label
    return float(torch.where(fooled, size(candidates - x, norm), float("inf")).median())


@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_fmn_is_no_larger_than_that_of_others(norm):
    foolbox, adv_lib = pytest.importorskip("foolbox"), pytest.importorskip("adv_lib.attacks")
    net, x, _ = digits(100)
    label = net(x).argmax(1)
    mine = median(attack(FMN(norm=norm), net, x, 100).candidates, x, net, label, norm)
    order = {"l0": 0, "l1": 1, "l2": 2, "linf": float("inf")}[norm]
    theirs = adv_lib.fmn(net, x, label, norm=order, steps=100)
    assert mine <= median(theirs, x, net, label, norm) * 1.005
    box = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    record = {"l0": "L0", "l1": "L1", "l2": "L2", "linf": "LInf"}[norm]
    _, theirs, _ = getattr(foolbox.attacks, f"{record}FMNAttack")(steps=100)(box, x, label, epsilons=None)
    assert mine <= median(theirs, x, net, label, norm) * 1.005


def test_ddn_and_cw_are_no_larger_than_those_of_others():
    foolbox, adv_lib = pytest.importorskip("foolbox"), pytest.importorskip("adv_lib.attacks")
    net, x, _ = digits(100)
    label = net(x).argmax(1)
    ddn, cw = (median(attack(one, net, x, 100).candidates, x, net, label, "l2") for one in (DDN(), CW()))
    box = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    assert ddn <= median(adv_lib.ddn(net, x, label, steps=100, levels=None), x, net, label, "l2") * 1.005
    theirs = foolbox.attacks.DDNAttack(steps=100)(box, x, label, epsilons=None)[1]
    assert ddn <= median(theirs, x, net, label, "l2") * 1.005
    steps = {"binary_search_steps": 5, "steps": 60}  # as many passes as ours
    theirs = foolbox.attacks.L2CarliniWagnerAttack(**steps)(box, x, label, epsilons=None)[1]
    assert cw <= median(theirs, x, net, label, "l2")


def test_sigma_zero_is_no_larger_than_that_of_others():
    adv_lib = pytest.importorskip("adv_lib.attacks")
    net, x, _ = digits(100)
    label = net(x).argmax(1)
    mine = attack(SigmaZero(), net, x, 100).candidates
    theirs = adv_lib.sigma_zero(net, x, label, num_steps=300)
    sizes = [size(images - x, "l0").mean() for images in (mine, theirs) if (net(images).argmax(1) != label).all()]
    assert len(sizes) == 2 and sizes[0] <= sizes[1]
    assert median(mine, x, net, label, "l0") <= median(theirs, x, net, label, "l0")


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


class Spent(Exception):  # noqa: N818  (no error: the peer has asked as often as it may)
    pass


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_hop_skip_jump_comes_nearer_than_foolboxes_with_as_many_decisions(norm):
    """The nearest adversarial image that each has seen after 1,000 decisions an image."""
    foolbox = pytest.importorskip("foolbox")
    net, x, label = digits(20)
    nearest, asked = torch.full((len(x),), float("inf")), []

    class Watched(torch.nn.Module):
        def forward(self, images):
            logits = net(images)
            near = torch.where(logits.argmax(1) != label, size(images - x, norm), float("inf"))
            torch.minimum(nearest, near, out=nearest)
            asked.append(len(images))
            if len(asked) == 1000:
                raise Spent
            return logits

    box = foolbox.PyTorchModel(Watched().eval(), bounds=(0, 1), device="cpu")
    with pytest.raises(Spent):
        foolbox.attacks.HopSkipJumpAttack(steps=10_000, constraint=norm)(box, x, label, epsilons=None)
    outcome = attack(attacks.build("hop_skip_jump", {"norm": norm, "n_queries": 1000}), net, x, 128, Goal(label, 10))
    assert outcome.forwards.max() <= 1000
    assert size(outcome.candidates - x, norm).median() < nearest.median()


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.15), ("l2", 2.0), ("l1", 15.0)])
def test_square_breaks_as_many_as_the_official_one(norm, epsilon):
    """Within the noise of 100 images: each has its own random squares."""
    official = pytest.importorskip("autoattack.square")
    net, x, label = digits(100)
    options = {"eps": epsilon, "n_queries": 1000, "p_init": 0.8, "seed": 0, "resc_schedule": True, "device": "cpu"}
    with torch.no_grad():
        theirs = official.SquareAttack(net, norm=norm.replace("l", "L"), verbose=False, **options).perturb(x, label)
    record = attacks.build("square", {"norm": norm, "epsilon": epsilon, "n_queries": 1000})
    outcome = attack(record, net, x, 100, Goal(label, 10))
    broken = [int((net(images).argmax(1) != label).sum()) for images in (outcome.candidates, theirs)]
    assert broken[0] >= broken[1] - 5
