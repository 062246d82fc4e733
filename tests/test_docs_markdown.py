"""The chapters' prose in the book: docutils reads it as Markdown shows it, or it is refused."""

import doctest
import html
import re
import sys
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from gluonbook import chapter, notebooks

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "docs" / "book")]
import markdown_to_rst as converter  # noqa: E402

HTML = MarkdownIt("commonmark").use(dollarmath_plugin, allow_digits=False)
SHOWN = {"emphasis": "em", "strong": "strong", "literal": "code", "reference": "a", "math": "span", "math_block": "div"}
SHOWN.update(bullet_list="ul", enumerated_list="ol", list_item="li", literal_block="pre", title="h1")
HIDDEN = ("document", "section", "paragraph", "Text")


def by_docutils(text, told=2):
    """The words of a text and its elements, or what docutils says of it, from level ``told`` (1: infos too) on."""
    quiet = {"warning_stream": False, "doctitle_xform": False, "_disable_config": True, "syntax_highlight": "none"}
    tree = publish_doctree(text, settings_overrides={"halt_level": told, "report_level": told, **quiet})
    for node in list(tree.findall(nodes.system_message)):
        node.parent.remove(node)
    kinds = [type(node).__name__ for node in tree.findall()]
    return tree.astext().split(), [SHOWN.get(kind, kind) for kind in kinds if kind not in HIDDEN]


def by_markdown_it(text):
    """The words and the elements that Markdown's own renderer gives."""
    made = re.sub(r"<h\d", "<h1", HTML.render(text)).replace("<pre><code", "<pre")
    return html.unescape(re.sub(r"<[^>]*>", "", made)).split(), re.findall(r"<(?!p>)(\w+)", made)


def prose():
    return [
        pytest.param(cell.source, id=f"{entry.path.name}:{cell.line}")
        for entry in chapter.chapters()
        for cell in notebooks.read_cells(entry.path)
        if cell.kind == "markdown"
    ]


@pytest.mark.parametrize(
    ("markdown", "rst"),
    [
        ("# 反向传播 (a)", "反向传播 (a)\n============"),  # a Chinese character is two columns wide
        ("## B\n### C", "B\n-\n\nC\n~"),
        ("A *b c* **d** `e`\nf.", "A *b c* **d** ``e``\nf."),
        ("中*文*字`x`和$x$的[a](b_)。", "中\\ *文*\\ 字\\ ``x``\\ 和\\ :math:`x`\\ 的\\ `a <b\\_>`__\\ 。"),
        ("n**o**t, `a`s, $k$-th", "n\\ **o**\\ t, ``a``\\ s, :math:`k`\\ -th"),
        ("**a** (*b*)", "**a** (\\ *b*\\ )"),
        ("- a\n  b\n- c\n\n  d", "- a\n  b\n\n- c\n\n  d"),
        ("1. a\n2. b\n   - c", "1. a\n\n2. b\n\n   - c"),
        ("```python\nx = 1\n\ny\n```", ".. code-block:: python\n\n   x = 1\n\n   y"),
        ("```\n- x\n```", ".. code-block:: none\n\n   - x"),
        ("a\n\n$$\nx_1 \\\\\ny\n$$\nb", "a\n\n.. math::\n\n   x_1 \\\\\n   y\n\nb"),
        ("it costs $5 and $6", "it costs $5 and $6"),
    ],
)
def test_each_construct(markdown, rst):
    assert converter.markdown_to_rst(markdown) == rst + "\n"
    assert by_docutils(rst, told=1) == by_markdown_it(markdown)


def test_the_address_of_a_link():
    tree = publish_doctree(converter.markdown_to_rst("[a](b_) [c](d_e.html#f-1.2) <http://a.b/c_>"))
    found = [(node.astext(), node["refuri"]) for node in tree.findall(nodes.reference)]
    assert found == [("a", "b_"), ("c", "d_e.html#f-1.2"), ("http://a.b/c_", "http://a.b/c_")]


@pytest.mark.parametrize(
    "text",
    [
        *("a * b * c", "`a`", "P(a|b|c)", "x_ and __init__ and a_b_", "so::", "::", "a: b::c", "a \\ b", "\\"),
        *("http://a.b/c", "mAP@0.5", ":a: b", ".. a", "..", "__ a", "a. b", "b)", "(iv) c", "IV. c", "- a", "•  a"),
        *("-x  an option", "--long", "/V", ">>> a", "| a", "= = =", "+-+-+", "a\n....", "====\na", "，\n++++++"),
    ],
)
def test_text_that_means_more_to_docutils_stays_text(text):
    markdown = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
    assert by_docutils(converter.markdown_to_rst(markdown), told=1) == (text.split(), [])


@pytest.mark.parametrize(
    ("markdown", "message"),
    [
        ("a <b>c</b>", "'html_inline' is not known here: '<b>'"),
        ("<div>\na\n</div>", "'html_block'"),
        ("![a](b.png)", "'image' is not known here: 'a'"),
        ("> a", "'blockquote' is not known here: 'a'"),
        ("a\n\n---", "'hr'"),
        ("#### a", "level h4 is not known, at most h3: 'a'"),
        ("#", "'heading'"),
        ("- # a", "'heading' is not known here: 'a'"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "'table'"),
        ("a  \nb", "'hardbreak'"),
        ("    a", "'code_block' is not known here: 'a"),
        ("```\n```", "'fence'"),
        ("a\n$$\nx\n$$", "'math_inline_double' is not known here: '\\\\nx\\\\n'"),
        ("a $$x$$ b", "'math_inline_double' is not known here: 'x'"),
        ("a $$ b", "'text' is not known here: 'a \\$\\$ b'"),
        ("$$\nx\n$$ (1)", "'math_block_label'"),
        ("a $x\ny$", "'math_inline'"),
        ("``a`b``", "'code_inline' is not known here: 'a`b'"),
        ("` `", "'code_inline'"),
        ("**a `b`**", "'strong' is not known here: 'a '"),
        ("[`a`](b)", "'link'"),
        ("[](b)", "'link'"),
        ("[a](b 'c')", "'link' is not known here: 'a'"),
    ],
)
def test_what_is_not_known_is_an_error(markdown, message):
    with pytest.raises(ValueError, match=message):
        converter.markdown_to_rst(markdown)


@pytest.mark.parametrize("markdown", prose())
def test_docutils_reads_each_cell_of_the_chapters_as_markdown_shows_it(markdown):
    assert by_docutils(converter.markdown_to_rst(markdown), told=1) == by_markdown_it(markdown)


@settings(max_examples=300, deadline=None)
@given(st.text("ab中，*_`$|:.-+1) \n@\\", max_size=14))
@example("__:).__")
@example("a\n****.\n++++")
@example("- a\n+ b")
def test_any_paragraph_is_refused_or_reads_the_same(markdown):
    try:
        rst = converter.markdown_to_rst(markdown)
    except ValueError:
        return
    assert by_docutils(rst) == by_markdown_it(markdown)


def test_the_example_of_the_docstring():
    assert doctest.testmod(converter) == (0, 1)
