"""`certify:` through the real doors: rows, what attacks leave out, the judge's last word, tables, `verify`."""

from __future__ import annotations

import pytest
import torch

from robustbench_lite.errors import SuiteError
from robustbench_lite.results.store import Results
from robustbench_lite.runner.run import run
from robustbench_lite.runner.verify import verify
from robustbench_lite.suite.builder import load
from robustbench_lite.tables.base import tables
from robustbench_lite.trust import findings
from robustbench_lite.trust.certificates import Certificate, certify
from tests.helpers import images, mlp

N, EPSILON = 24, 0.02
SUITE = {
    "version": 1,
    "name": "proofs",
    "certify": "crown",
    "attacks": [
        {"pgd": {"epsilon": EPSILON, "steps": 10}, "as": "pgd"},
        {"cascade": {"epsilon": EPSILON}},
        {"pgd": {"norm": "l2", "epsilon": 0.1, "steps": 5}, "as": "l2"},
        {"fmn": {"norm": "linf", "steps": 40}},
    ],
    "tables": ["certified", "robust_accuracy"],
}
BUNDLED = {"version": 1, "name": "x", "data": "mnist", "models": ["lenet_mnist"]}


def held(classes: int = 5):
    """As a suite stores images: in 8 bits."""
    x = (images(N) * 255).round() / 255
    return {"models": {"net": mlp(classes)}, "data": {"d": (x, mlp(classes)(x).argmax(1).detach())}, "timing": False}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return run(SUITE, tmp_path_factory.mktemp("proofs"), **held())


def rows_of(results: Results, variant: str):
    rows = results.samples()
    return rows[rows["variant"] == variant]


def test_what_is_proven_is_stored_and_not_attacked(results):
    x, y = held()["data"]["d"]
    known = certify(mlp(), x, y, epsilon=EPSILON)
    assert list(results.cells()["status"]) == ["ok"] * 4
    for variant in ("pgd", "cascade"):
        rows = rows_of(results, variant)
        proven = rows["certified"].to_numpy(bool)
        assert proven.sum() == int(known.proven.sum()) and 3 < proven.sum() < N - 3
        assert sorted(rows["certified_margin"]) == pytest.approx(sorted(known.margin.tolist()))
        assert (rows["forwards"] == 0).to_numpy().tolist() == proven.tolist() == (rows["linf"] == 0).tolist()
        assert (rows["status"] == "ok").all() and not rows["success"][proven].any() and rows["success"].any()
        said = rows["skipped"]
        assert said[~proven].isna().all() and said[proven].str.fullmatch(r"proven by \w+, within linf 0\.02").all()
    cells = results.cells().set_index("variant")
    assert cells["certify"].fillna("").to_dict() == {"pgd": "crown", "cascade": "crown", "l2": "crown", "fmn": ""}
    assert rows_of(results, "fmn")["certified"].isna().all() and (rows_of(results, "fmn")["forwards"] > 0).all()
    assert cells["seconds_certify"]["pgd"] > 0 and cells["seconds_certify"]["cascade"] == 0  # once for each budget


def test_others_are_attacked_as_if_nothing_had_been_proven(results, tmp_path):
    plain = run({key: value for key, value in SUITE.items() if key != "certify"}, tmp_path, **held())
    for variant in ("pgd", "l2"):
        theirs, ours = (rows_of(one, variant).set_index("sample") for one in (plain, results))
        tried = ours.index[ours["skipped"].isna()]
        assert (theirs.loc[tried, "success"] == ours.loc[tried, "success"]).all()
        assert theirs["success"].sum() == ours["success"].sum()
    with_proofs, without = (dict(zip(r.cells()["variant"], r.cells()["cell"], strict=True)) for r in (results, plain))
    assert {name for name in without if without[name] == with_proofs[name]} == {"fmn"}  # the id of what is not changed


def test_tables_have_both_ends_with_their_intervals(results):
    for row in tables.make("certified", results).rows:
        assert row["proven"].value <= row["attacked"].value <= row["clean"].value == 100
        assert row["open"].value == pytest.approx(row["attacked"].value - row["proven"].value)
        assert row["proven"].low < row["proven"].value < row["proven"].high and row["n"].value == N
    said = [(row["attack"].text, row["robust"].value) for row in tables.make("robust_accuracy", results).rows]
    assert [name for name, _ in said].count("proven by crown") == 2
    lower = [value for name, value in said if name == "proven by crown"]
    upper = [value for name, value in said if name == "worst case"]
    assert all(a <= b for a, b in zip(lower, upper, strict=True))


def test_no_smell_takes_what_was_left_out_for_a_weak_attack(results):
    red = [(case.cell["variant"], check.name) for case, said in findings(results) for check, one in said if one.red]
    assert not red


def every(model, x, y, *, norm, epsilon, method):
    """A certificate that proves everything."""
    return Certificate(torch.ones(len(x)) > 0, torch.ones(len(x)).double(), ("crown",) * len(x), norm, epsilon, 0.1)


def test_verify_proves_it_again(tmp_path, monkeypatch):
    suite = BUNDLED | {"data": {"mnist": {"samples": 6}}, "models": ["fc500_150_10_mnist"], "certify": "crown"}
    results = run(suite | {"attacks": [{"fgsm": {"epsilon": 0.02}}]}, tmp_path, timing=False)
    assert results.samples()["certified"].any() and verify(results.folder).sound
    monkeypatch.setattr("robustbench_lite.runner.proofs.certify", every)
    assert "certified_margin" in {one.column for one in verify(results.folder).disagreements}


@pytest.fixture
def credulous(monkeypatch):
    monkeypatch.setattr("robustbench_lite.runner.proofs.certify", every)


def test_the_judge_has_the_last_word(credulous, tmp_path):
    """Where attacks try what is proven, a success fails the cell, with a sentence that says whose fault it is."""
    suite = SUITE | {"certify": {"method": "crown", "skip": False}}
    cells = run(suite, tmp_path, **held()).cells().set_index("variant")
    for name in ("pgd", "cascade"):
        assert cells["status"][name] == "failed" and cells["stage"][name] == "judge"
        assert "the certificate or the judge is wrong, please report it" in cells["error"][name]
    assert cells["status"]["fmn"] == "ok"


def test_an_attack_that_knows_nothing_of_the_budget_shows_it_too(credulous, tmp_path):
    """`fmn` has no budget and leaves nothing out: small successes turn every proof red, and the table says so."""
    results = run(SUITE, tmp_path, **held())
    red = {case.cell["variant"] for case, said in findings(results) for check, one in said
           if one.red and check.name == "certificate"}  # fmt: skip
    assert red == {"pgd", "cascade", "l2"}
    notes = " ".join(tables.make("robust_accuracy", results).footnotes)
    assert "samples are proven and broken; the proof or the judge is wrong" in notes


def test_a_classifier_of_which_no_bound_is_known_fails_its_cells_with_the_fix(tmp_path):
    net = torch.nn.Sequential(torch.nn.Tanh(), mlp())
    given = held() | {"models": {"smooth": net, "net": mlp()}}
    suite = SUITE | {"attacks": SUITE["attacks"][:1]}
    error = run(suite, tmp_path / "all", **given).cells().set_index("source")["error"]
    assert (
        "no bound is known for Tanh" in error["smooth"] and "models: [...]" in error["smooth"] and error.isna()["net"]
    )
    named = run(suite | {"certify": {"models": ["net"]}}, tmp_path / "some", **given)
    assert list(named.cells()["status"]) == ["ok", "ok"]
    assert named.samples().groupby("model")["certified"].count().to_dict() == {"net": N, "smooth": 0}


@pytest.mark.parametrize(
    ("value", "attacks", "said"),
    [
        (
            "crwn",
            ["pgd"],
            "method: expected 'ibp', 'crown_ibp', 'crown' or 'alpha_crown', got 'crwn'; did you mean 'crown'?",
        ),
        (3, ["pgd"], "certify: expected a method such as crown, or a mapping, got 3"),
        ({"models": ["lenet"]}, ["pgd"], "unknown classifier 'lenet'; did you mean 'lenet_mnist'?"),
        ("crown", ["deepfool"], "no attack of this suite has a budget in linf, l2 or l1"),
    ],
)
def test_what_cannot_be_is_said_with_its_place(value, attacks, said):
    with pytest.raises(SuiteError) as raised:
        load(BUNDLED | {"attacks": attacks, "certify": value})
    assert said in str(raised.value) and "certify" in str(raised.value)
