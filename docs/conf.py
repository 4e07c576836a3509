"""Configuration of the documentation site.

Build it with ``sphinx-build -W docs docs/_build/html``. The build runs the fast examples, draws
nothing from the network, and runs no notebook: the tests run those.
"""

import os
import re
from pathlib import Path

import matplotlib
from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from imageio_ffmpeg import get_ffmpeg_exe

# The gallery imports the names that a script imports, also of those that it does not run.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

import skrl

# Animations are written by the program that records videos. The gallery restores the defaults
# before each example.
matplotlib.rcParamsDefault["animation.ffmpeg_path"] = get_ffmpeg_exe()

# Examples show their own output, without messages of TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "skrl-toolkit"
author = "the skrl-toolkit developers"
copyright = author
release = version = skrl.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "docker", "auto_examples/**.ipynb", "**/.ipynb_checkpoints"]
# examples/study.py and examples/benchmarks/study.py; the second is not in the gallery.
suppress_warnings = ["sphinx_gallery.duplicate_filename"]
default_role = "py:obj"  # `GymEnvironment` in a docstring is a link, if there is such an object

# ---- pages: Markdown and notebooks ---------------------------------------------------------------

nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# ---- the reference -------------------------------------------------------------------------------

autodoc_typehints = "none"  # numpydoc's sections give shapes and dtypes
autosummary_generate = True
numpydoc_show_class_members = False  # the template of a class shows them

# ---- the gallery ---------------------------------------------------------------------------------

# Scripts that take minutes, or start other processes, are shown without their output.
NOT_RUN = "cross_validation|dask_cluster|fitted_q_iteration|grid_search|halving"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "ignore_pattern": r"readme_pictures\.py$",  # writes files for the README
    "filename_pattern": rf"/(?!({NOT_RUN})\.py)\w+\.py$",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "default_thumb_file": str(Path(__file__).parent / "_static" / "thumbnail.png"),
    "matplotlib_animations": (True, "html5"),  # a video within the page
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
}

# ---- the look ------------------------------------------------------------------------------------

html_math_renderer = "mathml"  # browsers draw it themselves: no script from the network
html_theme = "pydata_sphinx_theme"
html_title = "skrl-toolkit"
html_static_path = ["_static"]
html_css_files = ["skrl.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is set
html_show_sourcelink = False
html_use_index = html_domain_indices = False  # the reference and the search find a name
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 8,
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"tour": [], "interfaces": []}  # pages without a chapter of others


def map_links(app, page, source):
    """Let links out of `docs`, which work in the repository, work on the site as well."""
    source[0] = re.sub(
        r"\]\(\.\./examples/benchmarks/README\.md", "](benchmarks_method.md", source[0]
    )
    source[0] = re.sub(r"\]\(\.\./examples/(\w+)\.py", r"](auto_examples/\1.rst", source[0])


def keep_benchmarks_out(app):
    """Make sections only of folders with a header in reStructuredText, not of `benchmarks`."""
    app.config.sphinx_gallery_conf["source_suffix"] = {".rst": "restructuredtext"}


def escape_shapes(app, what, name, obj, options, lines):
    """Let ``of shape (*batch, n_envs_)`` be no markup: a star and a final underscore are plain."""
    for i, line in enumerate(lines):
        if "of shape (" in line:
            lines[i] = re.sub(
                r"\([\w*, ]*\)", lambda shape: re.sub(r"(\*|_\b)", r"\\\1", shape[0]), line
            )


def to_mathml(node, as_block=False):
    """Translate a formula, with primes as they are typeset, and the dots that docutils knows."""
    formula = node.astext().replace("'", r"^{\prime}").replace(r"\dots", r"\ldots")
    return tex2mathml(formula, as_block)


def inline_math(translator, node):
    """Write a formula within a line."""
    translator.body.append(to_mathml(node))
    raise SkipNode


def block_math(translator, node):
    """Write a formula on its own line."""
    translator.body.append(f'<div class="math">{to_mathml(node, as_block=True)}</div>')
    raise SkipNode


def play_animations(app, page, template, context, doctree):
    """Let animations play by themselves: browsers only start videos that have no sound."""
    if "body" in context:
        context["body"] = context["body"].replace(" autoplay loop>", " autoplay loop muted>")


def setup(app):
    """Connect the functions of this file to Sphinx."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    app.connect("autodoc-process-docstring", escape_shapes, priority=100)  # before numpydoc
    app.connect("source-read", map_links)
    app.connect("html-page-context", play_animations)
    app.connect("builder-inited", keep_benchmarks_out, priority=20)  # before the gallery is made
