"""Settings of the site for Sphinx, which `tools/website.py` runs on a copy of the repository.

Everything the pages load lies in the site itself. Notebooks are shown as they are committed.
"""

import sys
from pathlib import Path

from docutils import nodes

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import website  # noqa: E402

project = "bana"
author = project_copyright = "The bana tutorial authors"
html_title = "From boxes to segmentation"
language = "en"

root_doc = "index"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
include_patterns = ["*.md", "docs/*.md", "notebooks/*.ipynb", "api/*.md", "bana/pretrained/*.md"]

nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}  # no notebook has a widget of a kernel, and these would come from the web
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

mathjax_path = "mathjax/es5/tex-svg.js"
mathjax3_config = {"svg": {"scale": 0.92}}  # as on the slides; the longest line of 05 fits

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # AUTHORS_UNARY, and not all that it holds
add_module_names = False
maximum_signature_line_length = 70
default_role = "py:obj"  # a name in backticks leads to its entry where there is one
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "sphinx_book_theme"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_show_sphinx = False
html_theme_options = website.theme_options(website.repository())


def _pictures(app, doctree):
    """Give output pictures their notebook's words; what is shown smaller leads to itself, whole."""
    shown = app.env.shown = getattr(app.env, "shown", None) or website.pictures(Path(app.srcdir))
    for image in doctree.findall(nodes.image):
        about = shown.get(Path(image["uri"]).stem)
        if about is not None:
            image["alt"] = about.alt
        image["width"] = f"{about.width}px" if about else "100%"


def _language(app, pagename, templatename, context, doctree):
    if pagename.endswith(".zh"):
        context["language"] = "zh-CN"


def _docstring(app, what, name, obj, options, lines):
    lines[:] = website.restructured(lines)


def _skipped(app, what, name, obj, skip, options):
    # The fields of a named tuple are in its signature, with their shapes.
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field") else None


def _made_files(app, config):
    config.html_static_path.append(str(app.srcdir / "assets"))
    config.html_extra_path = [str(app.srcdir / name) for name in ("playground.html", "noise.html")]


def setup(app):
    """Connect the functions above."""
    app.connect("config-inited", _made_files, priority=100)  # before Sphinx checks the paths
    app.connect("doctree-read", _pictures)
    app.connect("html-page-context", _language)
    app.connect("autodoc-process-docstring", _docstring, priority=100)  # before napoleon
    app.connect("autodoc-skip-member", _skipped)
