"""One registry for records and functions: every member says what it is, and no two have one name."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from robustbench_lite import registry
from robustbench_lite.cli.catalogue import REGISTRIES
from robustbench_lite.registry import Config, SameNameError
from robustbench_lite.tables.base import Table, Tables
from robustbench_lite.trust.smell import Check

TABLE = "from tests.test_registry import FEW\n@FEW.register('few', 'What there is.')\ndef {}(results): return None\n"
FEW = Tables("table", "few_tables")


def said(member) -> list[str]:
    """Every sentence that a member owes its readers."""
    if isinstance(member, Check):
        return [member.title, member.why]
    if not isinstance(member, type):
        return [member.summary]
    return [member.__doc__ or "", *(field.description or "" for field in member.model_fields.values())]


def test_every_member_and_every_parameter_says_what_it_is():
    for known in REGISTRIES:
        assert known.problems == [] and len(list(known)) > 1
        for name, member in zip(known, known.values(), strict=True):
            assert all(said(member)), f"{known.kind} {name} {getattr(member, 'model_fields', {}).keys()}"


@pytest.mark.parametrize("known", REGISTRIES, ids=lambda known: known.kind)
def test_two_members_of_one_name_are_an_error_that_names_both_places(known, monkeypatch):
    name = next(iter(known))
    before, known_problems = known[name], list(known.problems)

    class Second(Config):
        """Another one."""

    with pytest.raises(SameNameError, match=rf"two {known.kind}s are called '{name}'") as caught:
        known.add(name, Second, Second)
    assert known.package in str(caught.value) and "tests.test_registry.test_two" in str(caught.value)
    assert known[name] is before and known.problems == known_problems


@pytest.fixture
def few(tmp_path, monkeypatch):
    """A package for tables that are registered, and a registry that has not looked yet."""
    (tmp_path / "few_tables").mkdir()
    (tmp_path / "few_tables" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys.modules[__name__], "FEW", Tables("table", "few_tables"))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith(("few_tables", "other_tables"))]:
        del sys.modules[name]


def test_two_of_our_own_tables_of_one_name_are_never_one_of_them(few):
    for name in ("one", "two"):
        (few / "few_tables" / f"{name}.py").write_text(TABLE.format(name))
    for _ in range(2):
        with pytest.raises(SameNameError, match=r"'few': few_tables.one.one and few_tables.two.two; give one of them"):
            list(FEW)


def test_of_two_packages_with_one_name_the_first_stays_and_the_other_is_said(few, monkeypatch):
    for i in range(2):
        (few / f"other_tables{i}.py").write_text(TABLE.format(f"made{i}"))
    points = [EntryPoint("few", f"other_tables{i}:made{i}", "few_tables") for i in range(2)]
    monkeypatch.setattr(registry, "_entry_points", lambda _: points)
    assert list(FEW) == ["few"] and FEW["few"].make.__name__ == "made0"
    (text,) = FEW.problems
    assert "entry point few (other_tables1:made1) cannot be loaded" in text
    assert "other_tables0.made0 and other_tables1.made1" in text


def test_a_function_of_another_package_must_register_itself(few, monkeypatch):
    (few / "other_tables.py").write_text("def plain(results): return None\n")
    monkeypatch.setattr(registry, "_entry_points", lambda _: [EntryPoint("few", "other_tables:plain", "few_tables")])
    assert list(FEW) == [] and "expected a table that registers itself as 'few'" in FEW.problems[0]


def test_a_table_comes_from_the_one_that_is_asked_for():
    known = Tables("table", "few_tables")
    known._loaded = True

    @known.register("small", "One row.")
    def small(results):
        return Table("small", str(results), (), ())

    assert known.make("small", "these").title == "these" and known.summary("small") == "One row."
    assert small("those").title == "those"
