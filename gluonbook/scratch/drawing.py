"""A computational graph as the field draws it: values in green above each edge, gradients in red below."""

from typing import Any

import numpy as np

from gluonbook import plot
from gluonbook.scratch.graph import Node, ancestors

GREEN, RED = "#2e7d32", "#c62828"
RADIUS = 0.2  # of a gate
MOST_NUMBERS = 3  # of an array that are written; a larger one shows its shape


def draw(output: Node, ax: Any = None, digits: int = 2) -> Any:
    """Draw a graph from its inputs on the left to its output on the right.

    Args:
        output: of the graph; after ``backward`` its gradients are there to be seen.
        ax: matplotlib's Axes; None makes a figure.
        digits: behind the point.

    Returns:
        the Axes.
    """
    nodes = ancestors(output)
    places = _layout(nodes)
    if ax is None:
        width, height = np.ptp([*places.values()], axis=0) + 1
        _, ax = plot.figure(figsize=(1.7 * width + 0.6, 1.05 * height + 0.3))
    labelled: set[int] = set()
    for node in nodes:
        for parent in node.parents:
            _edge(ax, parent, places[id(parent)], places[id(node)], id(parent) not in labelled, digits)
            labelled.add(id(parent))
    x, y = places[id(output)]
    _edge(ax, output, (x, y), (x + 1, y), True, digits)
    for node in nodes:
        _node(ax, node, *places[id(node)])
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _layout(nodes: list[Node]) -> dict[int, tuple[float, float]]:
    """Give each node a column by its distance from the inputs, and a row between its parents'."""
    depth: dict[int, int] = {}
    for node in nodes:
        depth[id(node)] = 1 + max((depth[id(parent)] for parent in node.parents), default=-1)
    for node in reversed(nodes):  # an input stands right before the first gate that takes it
        children = [depth[id(child)] for child in nodes if any(parent is node for parent in child.parents)]
        if not node.parents and children:
            depth[id(node)] = min(children) - 1
    rows: dict[int, float] = {}
    for node in nodes:
        if node.parents:
            rows[id(node)] = float(np.mean([rows[id(parent)] for parent in node.parents]))
        else:
            rows[id(node)] = -float(sum(not before.parents for before in nodes[: nodes.index(node)]))
    for column in set(depth.values()):  # no two at one place
        members = sorted((node for node in nodes if depth[id(node)] == column), key=lambda n: -rows[id(n)])
        for above, below in zip(members, members[1:]):
            rows[id(below)] = min(rows[id(below)], rows[id(above)] - 0.8)
    return {id(node): (1.3 * depth[id(node)], rows[id(node)]) for node in nodes}


def _edge(
    ax: Any, node: Node, start: tuple[float, float], end: tuple[float, float], labelled: bool, digits: int
) -> None:
    ax.plot([start[0], end[0]], [start[1], end[1]], color=plot.MUTED, linewidth=1, zorder=1)
    if not labelled:
        return
    share = 0.5 if node.parents else 0.58  # an input's name takes room
    x, y = (a + share * (b - a) for a, b in zip(start, end))
    for value, color, side, va in ((node.value, GREEN, 0.05, "bottom"), (node.grad, RED, -0.05, "top")):
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.4}
        style: dict[str, Any] = {"color": color, "ha": "center", "va": va, "fontsize": 8, "bbox": ground, "zorder": 2}
        ax.text(x, y + side, _told(value, digits), **style)


def _node(ax: Any, node: Node, x: float, y: float) -> None:
    from matplotlib.patches import Circle

    if node.parents:
        ax.add_patch(Circle((x, y), RADIUS, facecolor="white", edgecolor=plot.INK, linewidth=1, zorder=2))
    text = node.gate if node.parents else node.name
    ground = None if node.parents else {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    ax.text(
        x, y, text, color=plot.INK, ha="center", va="center", fontsize=9 if len(text) < 4 else 7, zorder=3, bbox=ground
    )


def _told(value: np.ndarray, digits: int) -> str:
    if value.size > MOST_NUMBERS:
        return "×".join(map(str, value.shape))
    return ", ".join(f"{number:.{digits}f}".replace("-", "−") for number in value.ravel())
