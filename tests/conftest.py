from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def shared() -> Path:
    """Real data beside the checkout; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("ROBUSTBENCH_LITE_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("needs the folder shared/ with real data beside the checkout")
    return folder
