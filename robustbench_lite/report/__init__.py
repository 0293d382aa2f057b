"""The page that compares models, one self-contained HTML file, and the site of many runs."""

from robustbench_lite.report.page import page
from robustbench_lite.report.site import site

__all__ = ["page", "site"]
