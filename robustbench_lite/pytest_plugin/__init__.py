"""The pytest plugin: `pytest --robustness SUITE --robustness-baseline FILE` yields one test per gate.

Without these options nothing of this package is imported; the fixture `robustness` is there for hand-written tests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from robustbench_lite.pytest_plugin.fixture import Robustness
    from robustbench_lite.pytest_plugin.items import GateRun, SuiteFile
    from robustbench_lite.pytest_plugin.session import GateSession

__all__ = ["robustness", "robustness_run"]

_GATES: pytest.StashKey[GateSession] = pytest.StashKey()
_DESELECTED = pytest.StashKey[list[str]]()
_VANISHED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("robustness", "adversarial robustness (robustbench_lite)")
    group.addoption("--robustness", metavar="SUITE", help="Run this suite; each of its gates is a test.")
    group.addoption("--robustness-baseline", metavar="FILE", help="What the gates compare with.")
    group.addoption("--robustness-update", action="store_true", help="Write the baseline from this run.")
    group.addoption(
        "--robustness-results", metavar="DIR", help="Keep results there; else in pytest's temporary folder."
    )
    group.addoption("--robustness-device", metavar="NAME", default="auto", help="auto, cpu, cuda or cuda:N.")
    group.addoption("--robustness-benchmark", action="store_true", help="Also time each cell, with pytest-benchmark.")
    group.addoption(
        "--robustness-expect-benchmarks",
        metavar="FILE",
        help="Fail where a benchmark of this file (of --benchmark-json or --benchmark-save) has not been measured.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_DESELECTED] = []
    if config.getoption("--robustness") is None:
        alone = [
            name for name in ("baseline", "update", "results", "benchmark") if config.getoption(f"robustness_{name}")
        ]
        if alone:
            raise pytest.UsageError(f"--robustness-{alone[0]} needs --robustness SUITE")
    else:
        _configure(config)


def _configure(config: pytest.Config) -> None:
    """Load suite and baseline, so that what is wrong with them is said at once, and collect the suite."""
    from robustbench_lite.errors import RobustbenchError
    from robustbench_lite.pytest_plugin.session import GateSession

    suite, baseline = _path(config, "robustness"), _path(config, "robustness_baseline")
    assert suite is not None
    if baseline is None:
        raise pytest.UsageError(
            "--robustness needs --robustness-baseline FILE (and once --robustness-update to write it)"
        )
    if config.getoption("robustness_benchmark") and not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("--robustness-benchmark needs pytest-benchmark")
    update, device = config.getoption("robustness_update"), config.getoption("robustness_device")
    try:
        config.stash[_GATES] = GateSession.of(suite, baseline, update=update, device=device)
    except RobustbenchError as error:
        raise pytest.UsageError(str(error)) from None
    named = [Path(config.invocation_params.dir, argument.split("::")[0]).resolve() for argument in config.args]
    if suite not in named:
        config.args.append(str(suite))


def _path(config: pytest.Config, option: str) -> Path | None:
    value = config.getoption(option)
    return None if value is None else Path(config.invocation_params.dir, value).resolve()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    gates = parent.config.stash.get(_GATES, None)
    if gates is None or file_path.resolve() != _path(parent.config, "robustness"):
        return None
    from robustbench_lite.pytest_plugin.items import SuiteFile

    file: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
    file.session_of_gates, file.benchmarks = gates, parent.config.getoption("robustness_benchmark")
    return file


@pytest.fixture(scope="session")
def robustness_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GateRun:
    """The run behind the gates of `--robustness`; under xdist one worker runs, the others read."""
    from robustbench_lite.pytest_plugin.items import GateRun

    worker = getattr(request.config, "workerinput", None)
    base = tmp_path_factory.getbasetemp()
    folder = _path(request.config, "robustness_results") or (base.parent if worker else base) / "robustness"
    token = worker["testrunuid"] if worker else ""
    return GateRun(request.config.stash[_GATES], request.session.items, folder, token)


@pytest.fixture
def robustness(tmp_path: Path) -> Robustness:
    """For hand-written tests: `robustness.run(suite, model=my_module)` and `robustness.check(results, baseline)`."""
    from robustbench_lite.pytest_plugin.fixture import Robustness

    return Robustness(tmp_path)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        item.config.stash[_DESELECTED].append(item.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """pytest-benchmark passes where a benchmark is gone; this does not."""
    file = _path(session.config, "robustness_expect_benchmarks")
    if file is None or hasattr(session.config, "workerinput") or session.config.option.collectonly:
        return
    vanished = session.config.stash[_VANISHED] = list(_vanished(session.config, file))
    if vanished and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _vanished(config: pytest.Config, file: Path) -> Iterator[str]:
    """A sentence for each expected benchmark that was neither measured nor deselected."""
    try:
        expected = {str(entry["fullname"]) for entry in json.loads(file.read_text(encoding="utf-8"))["benchmarks"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{file}: expected a file that pytest-benchmark has written ({type(error).__name__})"
        return
    if not expected:
        yield f"{file}: no benchmarks in it, so nothing would be checked"
    measured = getattr(getattr(config, "_benchmarksession", None), "benchmarks", [])
    done = {bench.fullname for bench in measured if not bench.has_error and bench.stats.rounds}
    for name in sorted(expected - done - {*config.stash[_DESELECTED]}):
        yield f"{name}: expected by {file.name}, but not measured in this run"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    vanished = config.stash.get(_VANISHED, [])
    if vanished:
        terminalreporter.section("benchmarks that have disappeared", red=True)
        for line in vanished:
            terminalreporter.write_line(line)
    if config.stash.get(_GATES, None) is None:
        return
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    counts = Counter(dict(report.user_properties).get("robustness") for report in reports)
    if config.getoption("robustness_update"):
        terminalreporter.write_line(f"robustness: this run is the baseline {config.getoption('robustness_baseline')}")
        for report in reports:
            if (doubt := dict(report.user_properties).get("does not stand")) is not None:
                terminalreporter.write_line(f"robustness: the number of {report.nodeid} does not stand; {doubt}")
    elif counts["improved"]:
        terminalreporter.write_line(f"robustness: {counts['improved']} improved; --robustness-update makes that last")
