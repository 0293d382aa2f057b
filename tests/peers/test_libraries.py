"""Attacks of installed libraries, each on a real classifier: skipped where the library is not there."""

from __future__ import annotations

import numpy as np
import pytest

from robustbench_lite.errors import SuiteError
from robustbench_lite.peers import ART, AdvLib, Foolbox, OfficialAutoAttack, Peer, TorchAttacks
from robustbench_lite.results.evaluations import evaluations
from robustbench_lite.runner.run import Options, run_suite
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.tables.peers import missed, refused
from tests.attacks.test_attacks import digits
from tests.helpers import ROOT
from tests.peers.test_call import suite

quiet = pytest.mark.filterwarnings("ignore")
CASES = [
    (Foolbox, {"attack": "LinfPGD", "norm": "linf", "epsilon": 0.2}),
    (Foolbox, {"attack": "DDN", "norm": "l2"}),
    (Foolbox, {"attack": "LinfPGD", "norm": "linf", "epsilon": 0.3, "target": "next"}),
    (ART, {"attack": "CarliniL2Method", "norm": "l2", "args": {"initial_const": 10, "binary_search_steps": 2}}),
    (ART, {"attack": "FastGradientMethod", "norm": "linf", "epsilon": 0.2}),
    (TorchAttacks, {"attack": "APGD", "norm": "linf", "epsilon": 0.2, "args": {"steps": 20}}),
    (TorchAttacks, {"attack": "PGD", "norm": "linf", "epsilon": 0.3, "target": "next"}),
    (AdvLib, {"attack": "alma", "norm": "l2", "args": {"num_steps": 100}}),
    (AdvLib, {"attack": "apgd", "norm": "linf", "epsilon": 0.2, "args": {"n_iter": 20}}),
    (AdvLib, {"attack": "pgd_linf", "norm": "linf", "epsilon": 0.3, "target": "next"}),
    (OfficialAutoAttack, {"norm": "linf", "epsilon": 0.3}),
]


def there(record: type[Peer], params) -> Peer:
    """The attack, or a skip where its library is not installed."""
    made = record(**params)
    if "is not installed" in made.lacking:
        pytest.skip(made.lacking)
    return made


@quiet
@pytest.mark.parametrize(
    ("record", "params"),
    CASES,
    ids=lambda part: str(part.get("attack", "") if isinstance(part, dict) else part.__name__),
)
def test_what_it_claims_is_what_the_judge_finds_and_the_same_seed_gives_the_same(record, params):
    attack, (net, x, y) = there(record, params), digits(12)
    assert attack.lacking == ""
    result = attack(net, x, y, inspect=False)
    assert set(result.status) == {"ok"} and result.success.any()
    assert (result.claimed == result.success).float().mean() >= 0.9  # foolbox and adv_lib look again, the others once
    assert result.forwards.min() >= 1 and result.backwards.float().mean() >= 1
    assert net(x).isfinite().all() and not net.training
    again = attack(net, x, y, inspect=False)
    assert (again.images == result.images).all()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"foolbox:LinfPGDD": {"norm": "linf", "epsilon": 0.1}},
            "foolbox has no attack 'LinfPGDD'; did you mean 'LinfPGD'?",
        ),
        ({"foolbox:LinfPGD": {"norm": "linf"}}, "epsilon: foolbox:LinfPGD works within a budget; state it"),
        ({"foolbox:LinfPGD": {"norm": "l2", "epsilon": 1}}, "norm: foolbox:LinfPGD measures linf, got l2"),
        ({"foolbox:DDN": {"norm": "l2", "epsilon": 1}}, "epsilon: foolbox:DDN takes no budget; leave it out"),
        (
            {"foolbox:DDN": {"norm": "l2", "args": {"stepz": 1}}},
            "args: foolbox:DDN takes no 'stepz'; did you mean 'steps'?",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(given, sentence):
    pytest.importorskip("foolbox")
    with pytest.raises(SuiteError) as caught:
        suite(given)
    assert sentence in str(caught.value)


def test_a_library_that_is_not_there_is_said_and_the_others_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(TorchAttacks, "package", "torchattacks_that_nobody_has")
    entries = [{"torchattacks:PGD": {"norm": "linf", "epsilon": 0.1}}, {"fgsm": {"epsilon": 0.1}}]
    with pytest.raises(SuiteError, match="is not installed; pip install 'robustbench-lite"):
        suite(*entries)  # as `validate` looks at it
    plain = {"version": 1, "name": "t", "data": {"mnist": {"samples": 4}}, "models": ["lenet_mnist"]}
    results = run_suite(load({**plain, "attacks": entries}, root=ROOT), Options(results=tmp_path))
    cells = results.cells().set_index("attack")
    assert cells["status"].to_dict() == {"torchattacks:PGD": "failed", "fgsm": "ok"}
    assert "torchattacks_that_nobody_has is not installed" in cells.loc["torchattacks:PGD", "error"]
    assert cells.loc["torchattacks:PGD", "stage"] == "plan"


@quiet
@pytest.mark.peers
def test_strongest_misses_at_most_one_in_a_hundred_of_what_others_break(tmp_path):
    """The shipped suite as it is: computed from its rows, sample by sample."""
    for package in ("foolbox", "torchattacks", "adv_lib"):
        pytest.importorskip(package)
    results = run_suite(load(ROOT / "suites" / "peers.yaml"), Options(results=tmp_path, timing=False))
    found = [one for one in evaluations(results) if one.ok]
    assert {one.attack.partition(":")[0] for one in found} >= {"foolbox", "torchattacks", "adv_lib", "strongest"}
    best = {one.norm: one for one in found if one.attack == "strongest"}
    theirs = [one for one in found if ":" in one.attack]
    shares = {one.variant: float(np.mean(missed(one, best[one.norm]))) for one in theirs}
    assert len(shares) >= 6 and max(shares.values()) <= 0.01, shares
    for one in theirs:
        row = next(row for row in tables.make("peers", results).rows if row["attack"].text == one.variant)
        assert row["refused"].value == int(refused(one).sum())
        assert row["claimed"].value == int((one["claimed"] == True).sum())  # noqa: E712
