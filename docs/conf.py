"""How the documentation is built: `make docs`. Nothing is fetched, then or when it is read."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import stemscale  # noqa: E402

project = "stemscale"
release = version = stemscale.__version__
copyright = "the stemscale authors, GPL-3.0-or-later"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "command_pages",
    "docstrings",
    "local_math",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
nitpicky = True
# Names of other packages have no page here, and a build that fetched theirs would need the network.
# Nor have our own modules below a room, stemscale.room.module.name.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!stemscale\.).*"),
    (r"py:.*", r"stemscale\.\w+\.\w+\.\w+"),
]
default_role = "py:obj"

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"
nb_execution_timeout = 300  # seconds a cell
# What fails is a warning with its traceback, and warnings are errors (`make docs`).
nb_execution_show_tb = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # numpydoc tells types in the words of the field
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"stemscale {release}"
html_static_path = ["_static"]
html_css_files = ["stemscale.css"]
html_math_renderer = "local"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0072b2",
        "color-brand-content": "#0072b2",
        "font-stack": "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
    },
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
