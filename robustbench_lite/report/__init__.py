"""The page that compares models: one self-contained HTML file."""

from robustbench_lite.report.page import page

__all__ = ["page"]
