"""Sphinx: furo, MyST; the catalog pages are written from the classes at every build."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "_ext"))

import holdfast

project = "holdfast"
author = "The holdfast authors"
copyright = "The holdfast authors, Apache-2.0"
release = version = holdfast.__version__

extensions = ["myst_parser", "catalog"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"holdfast {release}"
exclude_patterns = ["_build", "_ext"]
nitpicky = True
