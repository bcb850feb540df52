"""How Sphinx makes the site of this folder; `make docs` runs it."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

project = "prod_jax"
author = "prod_jax maintainers"
extensions = [
  "myst_parser",
  "sphinx.ext.autodoc",
  "sphinx.ext.napoleon",
  "fields",
  "helps",
  "mathml",
  "offline",
  "rooms",
]
exclude_patterns = ["_ext"]

# Anchors as GitHub makes them, so that a page's links hold in both places.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "dollarmath"]

# "" in a table is the empty string.
smartquotes = False
highlight_language = "none"  # where a block names none
# Annotations that are strings, "Run", may be of two modules.
suppress_warnings = ["ref.python"]

autodoc_mock_imports = ["onnx", "onnxruntime"]  # of an extra
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True

html_theme = "furo"
html_title = "prod_jax"
html_show_sphinx = False
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# The colours of a run's report: blue is the student's.
html_theme_options = {
  "light_css_variables": {
    "color-brand-primary": "#0a5f9e",
    "color-brand-content": "#0a5f9e",
    "color-brand-visited": "#0a5f9e",
  },
  "dark_css_variables": {
    "color-brand-primary": "#72b7ee",
    "color-brand-content": "#72b7ee",
    "color-brand-visited": "#72b7ee",
  },
}
