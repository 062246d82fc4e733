"""What Sphinx is told beyond its settings: formulas without a script, the lines of claims, the two languages."""

import os
import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.search.zh import SearchChinese

# The head and the foot that sphinx-gallery gives a page; ours has its downloads at the top.
GALLERY_NOTE = re.compile(r"\.\. only:: html\n\n    \.\. note::\n[\s\S]*?to download.*\n")
GALLERY_FOOT = re.compile(r"\n\.\. _sphx_glr_download_[\s\S]*\Z")
# A call in a page's code: a string is one piece or three, and sphinx-gallery may have made the name a link.
QUOTE, NEXT = '(?:"|&quot;)', '(?:</span><span class="s2">)?'
CLAIM = re.compile(
    r'((?:<a [^>]*>)?<span class="n">chapter</span><span class="o">\.</span><span class="n">(?:claim|erratum)</span>'
    rf'(?:</a>)?<span class="p">\(</span>(?:\s|<span class="w">\s*</span>)*<span class="s2">{QUOTE}{NEXT})'
    rf"(\d+\.\d+)({NEXT}{QUOTE}</span>)"
)


def formula(as_block: bool) -> Any:
    """Return what writes a formula as MathML, which browsers typeset by themselves."""

    def visit(translator: Any, node: nodes.Element) -> None:
        made = tex2mathml(node.astext(), as_block=as_block)
        translator.body.append(f'<div class="formula">{made}</div>' if as_block else made)
        raise nodes.SkipNode

    return visit


def trim_gallery(_app: Sphinx, name: str, content: list[str]) -> None:
    """Take sphinx-gallery's own head and foot from a chapter."""
    if name.startswith("chapters/ch"):
        content[0] = GALLERY_FOOT.sub("\n", GALLERY_NOTE.sub("", content[0]))


def mark_claims(body: str) -> str:
    """Give the first line of each claim in a page's code the address ``#claim-16.1``."""
    seen: set[str] = set()

    def mark(match: re.Match[str]) -> str:
        before, claim, after = match.groups()
        if claim in seen:
            return match[0]
        seen.add(claim)
        return f'<span class="claim" id="claim-{claim}">{before}{claim}{after}</span>'

    return CLAIM.sub(mark, body)


def page_context(app: Sphinx, name: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """Give a page its marked claims, the address of itself in the other language, and whether it is translated."""
    if name.startswith("chapters/ch"):
        context["body"] = mark_claims(context["body"])
    own = app.builder.get_target_uri(name)
    in_chinese = app.config.language == "zh_CN"
    root = os.path.relpath(".", os.path.dirname(own) or ".")
    context["english"] = f"{root}/../{own}" if in_chinese else own.rpartition("/")[2]
    context["chinese"] = own.rpartition("/")[2] if in_chinese else f"{root}/zh/{own}"
    context["in_chinese"] = in_chinese
    context["translated"] = name in app.config.translated_pages


def skip_member(_app: Sphinx, _kind: str, _name: str, found: Any, skip: bool, _options: Any) -> bool:
    """Leave out a named tuple's fields, which its class tells of; autodoc would call them aliases."""
    return skip or (getattr(found, "__doc__", None) or "").startswith("Alias for field number")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register all of it."""
    SearchChinese.language_name = "English"  # Sphinx 9 calls the stemmer by it; the Chinese search has the English one
    app.add_config_value("translated_pages", [], "env")
    app.add_html_math_renderer("mathml", (formula(False), None), (formula(True), None))
    app.connect("source-read", trim_gallery)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("html-page-context", page_context)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
