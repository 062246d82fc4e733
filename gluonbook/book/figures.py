"""The book's figures, on pyplot's current figure: in a notebook they appear, elsewhere they are shown or saved."""

import atexit
import importlib
import itertools
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from gluonbook import _check, plot
from gluonbook.chapter import in_notebook

FILE_BACKENDS = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}  # of matplotlib: they open no window
BOX_COLORS = ("b", "g", "r", "m", "k")
ORANGE, BLUE = "#ff7f0e", "#1f77b4"
FIGSIZE = (3.5, 2.5)  # inches

_waiting: list[Any] = []  # figures that nobody has seen yet


def use_svg_display() -> None:
    """Let a notebook draw figures as SVG; outside of a notebook nothing happens.

    >>> use_svg_display()
    """
    if not in_notebook():
        return
    try:
        backend = importlib.import_module("matplotlib_inline.backend_inline")
    except ImportError:  # IPython before 7.23 has the function itself
        backend = importlib.import_module("IPython.display")
    backend.set_matplotlib_formats("svg")


def set_figsize(figsize: tuple[float, float] = FIGSIZE) -> None:
    """Set the size of the figures that follow, and ``use_svg_display``.

    Args:
        figsize: width and height in inches.

    >>> set_figsize((3.5, 2.5))
    """
    import matplotlib.pyplot as plt

    use_svg_display()
    plt.rcParams["figure.figsize"] = figsize


def semilogy(
    x_vals: Sequence[float],
    y_vals: Sequence[float],
    x_label: str,
    y_label: str,
    x2_vals: Optional[Sequence[float]] = None,
    y2_vals: Optional[Sequence[float]] = None,
    legend: Optional[Sequence[str]] = None,
    figsize: tuple[float, float] = FIGSIZE,
) -> None:
    """Draw one curve, or two, with a logarithmic y axis, and show the figure.

    Where no window can be opened, the figure is saved to the current folder, and standard error says where.

    Args:
        x_vals, y_vals: (n,) each.
        x_label, y_label: of the axes.
        x2_vals, y2_vals: (m,) each, of the dotted second curve; None for none.
        legend: names of both curves; one curve alone has none.
        figsize: width and height in inches.

    Raises:
        ValueError: a curve's x and y are not equally long, or one of them is missing.

    >>> semilogy(range(1, 4), [9, 3, 1], "epochs", "loss", range(1, 4), [8, 5, 4], ["train", "test"])  # doctest: +SKIP
    """
    import matplotlib.pyplot as plt

    _check_curve("x_vals", x_vals, "y_vals", y_vals)
    if (x2_vals is None) != (y2_vals is None):
        raise ValueError(f"x2_vals and y2_vals must be given together, got {x2_vals!r:.40} and {y2_vals!r:.40}")
    if x2_vals is not None and y2_vals is not None:
        _check_curve("x2_vals", x2_vals, "y2_vals", y2_vals)
    set_figsize(figsize)
    figure = _canvas()
    plt.xlabel(x_label)
    plt.ylabel(y_label)
    plt.semilogy(x_vals, y_vals)
    if x2_vals is not None and y2_vals is not None:
        plt.semilogy(x2_vals, y2_vals, linestyle=":")
        if legend is not None:
            plt.legend(legend)
    _show(figure)


def plot_losses(losses: Sequence[float], num_epochs: int) -> None:
    """Draw losses that were noted at equal distances, over epochs."""
    import matplotlib.pyplot as plt

    set_figsize()
    figure = _canvas()
    plt.plot(np.linspace(0, num_epochs, len(losses)), losses)
    plt.xlabel("epoch")
    plt.ylabel("loss")
    _keep(figure)


def show_trace_2d(f: Callable[[Any, Any], Any], res: Sequence[tuple[float, float]]) -> None:
    """Draw the walk of a point over the contours of a function.

    Args:
        f: gives an array for x1 and x2, arrays of equal shape.
        res: points (x1, x2), at least one, as ``train_2d`` returns them.

    Raises:
        ValueError: the points are none, or not finite.

    >>> show_trace_2d(lambda x1, x2: x1**2 + 2 * x2**2, train_2d(gd_2d))  # doctest: +SKIP
    """
    import matplotlib.pyplot as plt

    points = _check.as_array("res", res, None, 2)
    if not len(points) or not np.isfinite(points).all():
        raise ValueError(f"res must be points of finite numbers, at least one, got {res!r:.80}")
    set_figsize()
    figure = _canvas()
    plt.plot(points[:, 0], points[:, 1], "-o", color=ORANGE)
    low, high = min(-3.0, float(points[:, 1].min()) - 1), max(1.0, float(points[:, 1].max()) + 1)
    x1, x2 = np.meshgrid(np.arange(-5.5, 1.0, 0.1), np.linspace(low, high, 100))
    plt.contour(x1, x2, f(x1, x2), colors=BLUE)
    plt.xlabel("x1")
    plt.ylabel("x2")
    _keep(figure)


def show_fashion_mnist(images: Any, labels: Sequence[str]) -> None:
    """Draw pictures of Fashion-MNIST in a row, each under its label.

    Args:
        images: n pictures, at least 1, nd of 784 values each: (28, 28), (28, 28, 1) or (1, 28, 28).
        labels: n titles, as ``get_fashion_mnist_labels`` gives them.

    Raises:
        ValueError: there are no pictures, or another number of labels.

    >>> show_fashion_mnist(X, get_fashion_mnist_labels(y))  # doctest: +SKIP
    """
    import matplotlib.pyplot as plt

    if not len(images) or len(images) != len(labels):
        raise ValueError(f"images and labels must be equally many, at least 1, got {len(images)} and {len(labels)}")
    use_svg_display()
    fig, axes = plt.subplots(1, len(images), figsize=(12, 12), squeeze=False)
    for ax, image, label in zip(axes[0], images, labels):
        ax.imshow(_check.as_array("image", image).reshape(28, 28))
        ax.set_title(label)
        ax.axes.get_xaxis().set_visible(False)
        ax.axes.get_yaxis().set_visible(False)
    _keep(fig)


def show_images(imgs: Sequence[Any], num_rows: int, num_cols: int, scale: float = 2) -> Any:
    """Draw pictures in a grid, row by row.

    Args:
        imgs: at least ``num_rows * num_cols`` pictures, nd or NumPy, as ``imshow`` takes them: (H, W) or (H, W, 3).
        num_rows, num_cols: at least 1.
        scale: side of a cell in inches.

    Returns:
        an array of Axes, (num_rows, num_cols).

    Raises:
        ValueError: there are too few pictures.

    >>> axes = show_images([nd.zeros((4, 4, 3))] * 2, 1, 2)  # doctest: +SKIP
    """
    import matplotlib.pyplot as plt

    count = _check.integer("num_rows", num_rows, at_least=1) * _check.integer("num_cols", num_cols, at_least=1)
    if len(imgs) < count:
        raise ValueError(f"imgs must be at least {num_rows} * {num_cols} pictures, got {len(imgs)}")
    fig, axes = plt.subplots(num_rows, num_cols, figsize=(num_cols * scale, num_rows * scale), squeeze=False)
    for ax, image in zip(axes.flat, imgs):
        ax.imshow(image.asnumpy() if hasattr(image, "asnumpy") else image)
        ax.axes.get_xaxis().set_visible(False)
        ax.axes.get_yaxis().set_visible(False)
    _keep(fig)
    return axes


def bbox_to_rect(bbox: Sequence[float], color: str) -> Any:
    """Turn a box into matplotlib's rectangle.

    Args:
        bbox: (4,) corners xmin, ymin, xmax, ymax, in the units of the Axes.
        color: of the edge.

    Returns:
        matplotlib's Rectangle, not filled, with an edge of 2 points.

    Raises:
        ValueError: the box is inverted or not finite; the message gives its value.

    >>> bbox_to_rect((60, 45, 378, 516), "blue").get_bbox().bounds
    (60.0, 45.0, 318.0, 471.0)
    """
    return _rectangle("bbox", bbox, color)


def show_bboxes(axes: Any, bboxes: Any, labels: Any = None, colors: Any = None) -> None:
    """Draw boxes over a picture, the first ones with their labels at their upper left corners.

    Args:
        axes: matplotlib's Axes.
        bboxes: M boxes, nd or NumPy (M, 4), or a list of (4,): corners in the units of the Axes.
        labels: at most M texts, or one; None for none.
        colors: taken in turn, or one; None for blue, green, red, magenta, black. Text on white is black, else white.

    Raises:
        ValueError: a box is inverted or not finite; the message gives its number and value. Or colors is empty.

    >>> show_bboxes(fig.axes, boxes, ["dog=0.9", "cat=0.8"])  # doctest: +SKIP
    """
    texts, edges = as_list(labels, ()), as_list(colors, BOX_COLORS)
    if not edges:
        raise ValueError(f"colors must be at least one, got {colors!r}")
    for i, bbox in enumerate(bboxes):
        color = edges[i % len(edges)]
        rectangle = _rectangle(f"bboxes[{i}]", bbox, color)
        axes.add_patch(rectangle)
        if i < len(texts):
            written = "k" if color == "w" else "w"
            ground = {"facecolor": color, "lw": 0}
            axes.text(*rectangle.xy, texts[i], va="center", ha="center", fontsize=9, color=written, bbox=ground)
    _keep(axes.figure.canvas.figure)  # of a subfigure, the whole one


def as_list(value: Any, default: Any = None) -> Any:
    """Return a list or tuple as it is, one value as a list of it, and the default for None."""
    if value is None:
        return default
    return value if isinstance(value, (list, tuple)) else [value]


def _rectangle(name: str, bbox: Any, color: str) -> Any:
    from matplotlib.patches import Rectangle

    left, top, right, bottom = _check.as_rectangle(name, bbox).tolist()
    return Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=color, linewidth=2)


def _check_curve(x_name: str, x: Sequence[float], y_name: str, y: Sequence[float]) -> None:
    if len(x) != len(y):
        raise ValueError(f"{x_name} and {y_name} must be equally long, got {len(x)} and {len(y)}")


# ---- seen by somebody ----


def _has_windows() -> bool:
    """Say whether the backend opens windows; a notebook's, which programs started from it inherit, does not."""
    import matplotlib.pyplot as plt

    backend = plt.get_backend().lower()
    return backend not in FILE_BACKENDS and not backend.endswith("inline")


def _is_open(figure: Any) -> bool:
    from matplotlib._pylab_helpers import Gcf  # a number says too little: the next figure takes it

    return any(manager.canvas.figure is figure for manager in Gcf.get_all_fig_managers())


def _canvas() -> Any:
    """Return the current figure; a new one where that holds a drawing of ours which still waits to be seen."""
    import matplotlib.pyplot as plt

    return plt.figure() if plt.get_fignums() and plt.gcf() in _waiting else plt.gcf()


def _show(figure: Any) -> None:
    """Show a figure now; where no window can be opened, save and close it."""
    import matplotlib.pyplot as plt

    if in_notebook() or _has_windows():
        plt.show()
        return
    _save(figure)
    plt.close(figure)


def _keep(figure: Any) -> None:
    """Let a figure be seen when the program ends, unless its maker has shown, saved or closed it by then."""
    if in_notebook() or figure in _waiting:
        return
    if not _waiting:
        atexit.register(_show_waiting)
    _waiting[:] = [*filter(_is_open, _waiting), figure]
    figure.canvas.mpl_connect("draw_event", _seen)


def _seen(event: Any) -> None:
    if event.canvas.figure in _waiting and (event.canvas.is_saving() or _has_windows()):
        _waiting.remove(event.canvas.figure)


def _show_waiting() -> None:
    import matplotlib.pyplot as plt

    left = list(filter(_is_open, _waiting))
    _waiting.clear()
    if left and _has_windows():
        plt.show()
        return
    for figure in left:
        _save(figure)


def _save(figure: Any) -> None:
    """Save a figure under the first free name in the current folder, or among temporary files where that is closed."""
    import matplotlib

    for folder in (os.getcwd, tempfile.gettempdir):
        try:
            path = _free_name(Path(folder()))
            with matplotlib.rc_context({"savefig.bbox": "tight", "savefig.dpi": 144}):  # else labels are cut off
                plot.save(figure, path)
        except OSError as error:
            failure = error
            continue
        print(f"figure saved: {path}", file=sys.stderr)
        return
    print(f"figure not saved: {failure}", file=sys.stderr)


def _free_name(folder: Path) -> Path:
    names = (f"gluonbook-figure-{n}.png" for n in itertools.count(1))
    return next(folder / name for name in names if not (folder / name).exists())
