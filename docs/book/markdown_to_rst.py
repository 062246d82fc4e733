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
PUNCTUATION = r"[!-/:-@\[-`{-~]"
LOOKS_LIKE_A_BLOCK = re.compile(r"[!-/:-@\[\]-`{-~•‣⁃]|(\w|\d+|[ivxlcdm]+|[IVXLCDM]+)[.)](\s|\Z)")
LOOKS_LIKE_A_RULE = re.compile(rf"^({PUNCTUATION})\1*$", re.MULTILINE)  # above or below a title
ONE_RUN = re.compile(r"[^\s`]([^\n`]*[^\s`])?")


def markdown_to_rst(text: str) -> str:
    """Return Markdown as reStructuredText.

    Args:
        text: of one prose cell, without comment marks.

    Returns:
        the same for docutils, ending with a newline; headings become sections (``=``, ``-``, ``~``).

    Raises:
        ValueError: the text uses something that is not known here; the message names it.

    >>> print(markdown_to_rst("The *mean* $m$ of `x` is 2."), end="")
    The *mean* :math:`m` of ``x`` is 2.
    """
    parser = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, allow_digits=False, double_inline=True)
    return "\n\n".join(_blocks(SyntaxTreeNode(parser.parse(text)))) + "\n"


def _blocks(parent: SyntaxTreeNode) -> Iterator[str]:
    for node in parent.children:
        if node.type == "heading" and parent.is_root and node.children[0].content:
            title = _paragraph(node.children[0]).replace("\n", " ")
            if node.tag not in UNDERLINES:
                raise ValueError(f"a heading of level {node.tag} is not known, at most h3: {title!r}")
            yield f"{title}\n{UNDERLINES[node.tag] * column_width(title)}"
        elif node.type == "paragraph":
            yield _paragraph(node.children[0])
        elif node.type in ("bullet_list", "ordered_list"):
            yield "\n\n".join(_items(node))
        elif node.type == "fence" and node.content.strip() and re.fullmatch(r"[\w+-]*", node.info):
            yield f".. code-block:: {node.info or 'none'}\n\n" + textwrap.indent(node.content.rstrip("\n"), "   ")
        elif node.type == "math_block" and node.content.strip():
            yield ".. math::\n\n" + textwrap.indent(node.content.strip("\n"), "   ")
        else:
            raise ValueError(f"Markdown of the kind {node.type!r} is not known here: {_source(node)!r}")


def _items(node: SyntaxTreeNode) -> Iterator[str]:
    start = int(node.attrs.get("start", 1))
    for number, item in enumerate(node.children, start):
        mark = f"{item.markup} " if node.type == "bullet_list" else f"{number}{item.markup} "
        inner = "\n\n".join(_blocks(item))
        yield mark + textwrap.indent(inner, " " * len(mark))[len(mark) :]


def _paragraph(inline: SyntaxTreeNode) -> str:
    text = LOOKS_LIKE_A_RULE.sub(r"\\ \g<0>", _inline(inline))
    first = next(child for child in inline.children if child.type != "text" or child.content)
    if first.type == "text" and LOOKS_LIKE_A_BLOCK.match(text):
        return "\\" + text
    return text


def _inline(node: SyntaxTreeNode) -> str:
    """Return the text of a run; where a marked word touches another, ``\\ `` stands between, which shows as nothing."""
    text, previous = "", "text"
    for child in node.children:
        piece = _piece(child)
        if not piece:
            continue
        marked = not {"text", "softbreak"} >= {child.type, previous}
        if marked and text and not text[-1].isspace() and not piece[0].isspace():
            text += "\\ "
        text, previous = text + piece, child.type
    return text


def _piece(node: SyntaxTreeNode) -> str:
    if node.type == "text" and "$$" not in node.content:
        return re.sub(r"([\\*`|_@]|:(?=\S))", r"\\\1", node.content)  # @ and : would make addresses into links
    if node.type == "softbreak":
        return "\n"
    if node.type == "code_inline" and ONE_RUN.fullmatch(node.content):
        return f"``{node.content}``"
    if node.type == "math_inline" and ONE_RUN.fullmatch(node.content):
        return f":math:`{node.content}`"
    if node.type in ("em", "strong") and all(child.type in ("text", "softbreak") for child in node.children):
        mark = "*" if node.type == "em" else "**"
        return mark + _inline(node) + mark
    if node.type == "link" and all(child.type == "text" for child in node.children) and set(node.attrs) == {"href"}:
        text, address = _inline(node), str(node.attrs["href"])
        if text.strip() == text != "" != address:
            return f"`{text} <{address.replace('_', chr(92) + '_')}>`__"
    raise ValueError(f"Markdown of the kind {node.type!r} is not known here: {_source(node)!r}")


def _source(node: SyntaxTreeNode) -> str:
    return node.content or "".join(child.content for child in node.walk() if child.type == "text")
