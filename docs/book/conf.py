"""Sphinx's settings for the book; `make book` assembles what it reads and runs it once a language."""

import logging
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ["BOOK_BUILD"])
sys.path[:0] = [str(HERE), str(HERE.parent)]

import jieba  # noqa: E402
import pages  # noqa: E402

import gluonbook  # noqa: E402

jieba.setLogLevel("WARNING")
logging.getLogger("matplotlib.category").setLevel(logging.WARNING)

project = "gluonbook"
copyright = "the authors of gluonbook"
version = release = gluonbook.__version__
language = os.environ.get("BOOK_LANGUAGE", "en")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_gallery.gen_gallery", "extension"]
exclude_patterns = ["parts/*", "sg_execution_times.rst", "chapters/sg_execution_times.rst"]
smartquotes = False  # it would make a dash of the two in --quick
templates_path = ["templates"]

locale_dirs = [str(HERE / "locale")]
gettext_compact = False
gettext_location = False
translated_pages = list(pages.TRANSLATED)

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "forward, hybrid_forward"}  # Gluon's own, told by the class
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "gluonbook"
html_favicon = "static/icon.svg"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_domain_indices = False
html_show_copyright = False
html_theme_options = {"announcement": "languages", "top_of_page_buttons": []}
html_search_language = "zh" if language == "zh_CN" else "en"
html_search_options = {"dict": str(BUILD / "terms.txt")}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

sphinx_gallery_conf = {
    "examples_dirs": str(BUILD / "scripts"),
    "gallery_dirs": "chapters",
    "filename_pattern": r"/ch\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "parallel": 2,
    "capture_repr": (),  # what a cell prints is enough
    "reset_argv": "gallery.arguments",
    "reference_url": {"gluonbook": None},
    "doc_module": ("gluonbook",),
    "backreferences_dir": None,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 10**6,
    "write_computation_times": False,
    "matplotlib_animations": False,
    "image_srcset": [],
}
