"""Settings of the site. One command builds it, offline: sphinx-build -W -n -b html docs build/docs."""

import sys
from pathlib import Path

import hashkit

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "hashkit"
version = release = hashkit.__version__
project_copyright = "the hashkit developers"  # the year changes nothing, and a build should repeat

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "command_pages",
]
nitpicky = True
default_role = "literal"
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3  # the anchors of GitHub, so that a link works in both places

autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # numpydoc sections have the types, with shapes and dtypes
autodoc_class_signature = "mixed"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# Names that docstrings may refer to without a page here: the standard library's and Ray's.
nitpick_ignore_regex = [("py:mod", "copy|pickle"), ("py:meth", r"ray\..*"), ("py:func", r"numpy\..*")]

html_theme = "furo"
html_title = f"hashkit {release}"
html_theme_options = {"navigation_with_keys": True}
html_show_sphinx = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
