"""The chapters' prose, Markdown, as the reStructuredText that Sphinx reads.

It knows what the chapters use: headings, paragraphs, lists, fenced code, emphasis, code, links, TeX between dollars
(and between double ones, on lines of their own after an empty line).
Anything else is an error, not text that looks odd.
"""

import re
import textwrap
from collections.abc import Iterator

from docutils.utils import column_width
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from mdit_py_plugins.dollarmath import dollarmath_plugin

UNDERLINES = {"h1": "=", "h2": "-", "h3": "~"}
LOOKS_LIKE_A_BLOCK = re.compile(r"([-+•‣⁃]|\(?(\w|\d+|[ivxlcdm]+)[.)])\s|\.\. |__ |:[^:\s]|>>> |([!-/:-@[-`{-~])\3{3}")


def markdown_to_rst(text: str) -> str:
    """Return Markdown as reStructuredText.

    Args:
        text: of one prose cell, without comment marks.

    Returns:
        the same for docutils, ending with a newline; headings become sections (``=``, ``-``, ``~``).

    Raises:
        ValueError: the text uses something that is not known here; the message names it.

    >>> print(markdown_to_rst("The *mean* of `x` is $\\\\bar x$."), end="")
    The *mean* of ``x`` is :math:`\\bar x`.
    """
    parser = MarkdownIt("commonmark").use(dollarmath_plugin, allow_digits=False)
    return "\n\n".join(_blocks(SyntaxTreeNode(parser.parse(text)))) + "\n"


def _blocks(parent: SyntaxTreeNode) -> Iterator[str]:
    for node in parent.children:
        if node.type == "heading":
            title = _inline(node.children[0]).replace("\n", " ")
            if node.tag not in UNDERLINES:
                raise ValueError(f"a heading of level {node.tag} is not known, at most h3: {title!r}")
            yield f"{title}\n{UNDERLINES[node.tag] * column_width(title)}"
        elif node.type == "paragraph":
            yield _paragraph(node.children[0])
        elif node.type in ("bullet_list", "ordered_list"):
            yield "\n\n".join(_items(node))
        elif node.type == "fence":
            yield f".. code-block:: {node.info or 'none'}\n\n" + textwrap.indent(node.content.rstrip("\n"), "   ")
        elif node.type == "math_block":
            yield ".. math::\n\n" + textwrap.indent(node.content.strip("\n"), "   ")
        else:
            raise ValueError(f"Markdown of the kind {node.type!r} is not known: {_source(node)!r}")


def _items(node: SyntaxTreeNode) -> Iterator[str]:
    start = int(node.attrs.get("start", 1))
    for number, item in enumerate(node.children, start):
        mark = "- " if node.type == "bullet_list" else f"{number}. "
        inner = "\n\n".join(_blocks(item))
        yield mark + textwrap.indent(inner, " " * len(mark))[len(mark) :]


def _paragraph(inline: SyntaxTreeNode) -> str:
    text = _inline(inline)
    if inline.children and inline.children[0].type == "text" and LOOKS_LIKE_A_BLOCK.match(text):
        return "\\" + text
    return text


def _inline(node: SyntaxTreeNode) -> str:
    """Return the text of a run; where a marked word touches another, ``\\ `` stands between, which shows as nothing."""
    text, previous = "", "text"
    for child in node.children:
        piece = _piece(child)
        marked = not {"text", "softbreak"} >= {child.type, previous}
        if marked and text and not text[-1].isspace() and not piece[0].isspace():
            text += "\\ "
        text, previous = text + piece, child.type
    return text


def _piece(node: SyntaxTreeNode) -> str:
    if node.type == "text":
        return re.sub(r"([\\*`|_]|:(?=:))", r"\\\1", node.content)
    if node.type == "softbreak":
        return "\n"
    if node.type == "code_inline":
        return f"``{node.content}``"
    if node.type == "math_inline" and "\n" not in node.content:
        return f":math:`{node.content}`"
    if node.type in ("em", "strong") and all(child.type in ("text", "softbreak") for child in node.children):
        mark = "*" if node.type == "em" else "**"
        return mark + _inline(node) + mark
    if node.type == "link" and all(child.type == "text" for child in node.children):
        return f"`{_inline(node)} <{node.attrs['href']}>`__"
    raise ValueError(f"Markdown of the kind {node.type!r} is not known here: {_source(node)!r}")


def _source(node: SyntaxTreeNode) -> str:
    return node.content or "".join(child.content for child in node.walk() if child.type == "text")
