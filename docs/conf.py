"""The documentation site: `sphinx-build -W --keep-going -b html docs OUT`, with the extra `docs`."""

from __future__ import annotations

import sys
from pathlib import Path

import robustbench_lite

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "robustbench_lite"
version = release = robustbench_lite.__version__
extensions = ["myst_parser", "sphinx_copybutton", "site_pages"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext"]
root_doc = "index"
nitpicky = True

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a page that is included or made may begin below the first level

html_theme = "furo"
html_title = "robustbench_lite"
html_show_copyright = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
