from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _calibrated_here(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Results of the bracket are shared by the tests of all workers, and never those of whoever runs them."""
    base = tmp_path_factory.getbasetemp()
    os.environ["ROBUSTBENCH_LITE_CACHE"] = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache")


@pytest.fixture
def shared() -> Path:
    """Real data beside the checkout; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("ROBUSTBENCH_LITE_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("needs the folder shared/ with real data beside the checkout")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: what is left when one of several workers is done are then the quick ones."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
