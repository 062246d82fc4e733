"""Figures. Every function takes ``ax=None`` and returns the Axes; none shows or saves anything."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Optional

from gluonbook import _files

INK, MUTED = "#333333", "#888888"
COLORS = ("#1f6f8b", "#d1603d", "#5c8a3a", "#7d5ba6", "#b8860b")
SYSTEM_CJK = ("Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei")
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": "medium",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 144,
    "axes.unicode_minus": False,
}


@lru_cache(maxsize=1)
def cjk_font() -> str:
    """Register the font that travels with the package and return its name: figures can write Chinese anywhere."""
    from matplotlib import font_manager

    path = _files.packaged("datasets") / "fonts" / "gluonbook-cjk.otf"
    font_manager.fontManager.addfont(str(path))
    return str(font_manager.FontProperties(fname=str(path)).get_name())


def style() -> dict[str, Any]:
    """Return the rcParams of the package's figures; Chinese falls back to the package's font, then to the system's."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    rare = [family for family in SYSTEM_CJK if family in installed]
    return {**STYLE, "font.family": ["DejaVu Sans", cjk_font(), *rare]}


def figure(*grid: int, **options: Any) -> tuple[Any, Any]:
    """Make a figure in the package's style: ``plt.subplots`` with constrained layout, Chinese text included.

    Args:
        grid: rows and columns of Axes.
        options: of ``plt.subplots``.

    Returns:
        the Figure, and its Axes as ``plt.subplots`` gives them.
    """
    import matplotlib.pyplot as plt

    settings: Any = style()  # newer stubs of matplotlib want each key's name
    plt.rcParams.update(settings)
    return plt.subplots(*grid, layout="constrained", **options)


def axes(ax: Any = None) -> Any:
    """Return ``ax``, or the Axes of a new figure where it is None."""
    return figure()[1] if ax is None else ax


def perplexity_curves(curves: Mapping[str, Sequence[float]], ax: Any = None, bound: Optional[float] = None) -> Any:
    """Draw perplexity over epochs, on a logarithmic scale.

    Args:
        curves: by label, one value an epoch from the first on.
        ax: where; None makes a figure.
        bound: a perplexity to mark.

    Returns:
        the Axes.
    """
    ax = axes(ax)
    for i, (label, values) in enumerate(curves.items()):
        ax.semilogy(range(1, len(values) + 1), values, color=COLORS[i % len(COLORS)], label=label)
    if bound is not None:
        ax.axhline(bound, color=MUTED, linewidth=0.8)
        ax.annotate(f"{bound:g}", (1, bound), xycoords=("axes fraction", "data"), color=MUTED, va="bottom", ha="right")
    _plain_log_ticks(ax)
    ax.set(xlabel="epoch", ylabel="perplexity")
    if len(curves) > 1:
        ax.legend()
    return ax


def history_curves(history: Sequence[Mapping[str, Any]], ax: Any = None) -> Any:
    """Draw a training's history: perplexity on the training text, and on the held-out tail where there is one.

    Args:
        history: dicts with ``train`` and ``held_out``, one an epoch.
        ax: where; None makes a figure.

    Returns:
        the Axes.
    """
    curves = {"training text": [entry["train"] for entry in history]}
    if all(entry["held_out"] is not None for entry in history):
        curves["held-out tail"] = [entry["held_out"] for entry in history]
    return perplexity_curves(curves, ax)


def bars(values: Mapping[str, float], ax: Any = None, digits: int = 2) -> Any:
    """Draw horizontal bars, the first on top, each with its value beside it.

    Args:
        values: by label, at least 0.
        ax: where; None makes a figure.
        digits: behind the point, of the values.

    Returns:
        the Axes.
    """
    ax = axes(ax)
    drawn = ax.barh(range(len(values)), list(values.values()), color=COLORS[0], height=0.7)
    ax.bar_label(drawn, fmt=f"%.{digits}f", padding=3, color=INK)
    ax.set_yticks(range(len(values)), list(values))
    ax.invert_yaxis()
    ax.set_xlim(0, (max(values.values(), default=0) or 1) * 1.2)
    ax.tick_params(axis="y", length=0)
    return ax


def picture(pixels: Any, ax: Any = None) -> Any:
    """Show a picture without axes.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        ax: where; None makes a figure.

    Returns:
        the Axes.
    """
    ax = axes(ax)
    height, width = pixels.shape[:2]
    ax.imshow(pixels, extent=(0, width, height, 0))  # a box's edge at 0 or at the width lies on the picture's
    ax.axis("off")
    return ax


def activation_map(pixels: Any, heat: Any, ax: Any = None) -> Any:
    """Show a picture in grey under a map of activations: red where it is above 0, blue where it is below.

    Args:
        pixels: (H, W), (H, W, 1) or (H, W, 3), uint8, or floats from 0 to 1.
        heat: (H', W'), stretched over the picture; where it is 0 the picture shows through.
        ax: where; None makes a figure.

    Returns:
        the Axes.
    """
    ax = axes(ax)
    grey = pixels.mean(2) if pixels.ndim == 3 else pixels
    height, width = grey.shape
    extent = (0, width, height, 0)
    ax.imshow(grey, cmap="gray", vmin=0, vmax=255 if pixels.dtype.kind == "u" else 1, extent=extent)
    strongest = abs(heat).max() or 1
    opacity = 0.8 * abs(heat) / strongest
    ax.imshow(heat, cmap="coolwarm", vmin=-strongest, vmax=strongest, alpha=opacity, extent=extent)
    ax.axis("off")
    return ax


def boxes(
    corners: Any,
    ax: Any,
    labels: Sequence[str] = (),
    colors: Sequence[str] = COLORS,
    dashed: bool = False,
) -> Any:
    """Draw boxes over a picture, each with its label, if any, at its upper left corner.

    Args:
        corners: (M, 4), in the units of the Axes: pixels over a picture.
        ax: where.
        labels: of the first boxes.
        colors: taken in turn.
        dashed: for the truth beside a detection.

    Returns:
        the Axes.
    """
    for i, (left, top, right, bottom) in enumerate(corners):
        color = colors[i % len(colors)]
        style = {"linestyle": "--", "linewidth": 1.2} if dashed else {"linewidth": 1.8}
        ax.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=color, **style)
        if i < len(labels):
            ground = {"facecolor": color, "edgecolor": "none", "pad": 1.5}
            ax.text(left, top, labels[i], color="white", fontsize="x-small", va="bottom", bbox=ground, clip_on=False)
    return ax


def detections(pixels: Any, rows: Any, classes: Sequence[str], truth: Any, ax: Any = None) -> Any:
    """Show a picture with what was found in it, and the truth as dashed white boxes.

    Args:
        pixels: (H, W, 3) uint8, RGB.
        rows: (k, 6), rows (class, score, xmin, ymin, xmax, ymax), corners as fractions.
        classes: K names; a class keeps its colour.
        truth: (M, 5), rows (class, xmin, ymin, xmax, ymax).
        ax: where; None makes a figure.

    Returns:
        the Axes.
    """
    ax = picture(pixels, ax)
    height, width = pixels.shape[:2]
    scale = (width, height, width, height)
    boxes(truth[:, 1:] * scale, ax, colors=["white"], dashed=True)
    rows = rows[::-1]  # the best on top
    names = [f"{classes[int(row[0])]} {row[1]:.2f}" for row in rows]
    return boxes(rows[:, 2:] * scale, ax, names, [COLORS[int(row[0]) % len(COLORS)] for row in rows])


def detector_history(history: Sequence[Mapping[str, Any]], axes_pair: Any = None) -> Any:
    """Draw a detector's training: its losses, and mAP on the validation set, over epochs.

    Args:
        history: dicts with ``cls``, ``box``, ``voc07`` and ``voc12``, one an epoch; of a YOLO with ``objectness``, too.
        axes_pair: two Axes; None makes a figure.

    Returns:
        the two Axes.
    """
    left, right = figure(1, 2, figsize=(9, 3.4))[1] if axes_pair is None else axes_pair
    epochs = [entry["epoch"] for entry in history]
    losses, divided_by = {"cls": "classes", "box": "boxes"}, "a matched anchor"
    if any("objectness" in entry for entry in history):
        losses, divided_by = {**losses, "objectness": "objectness"}, "a picture"
    for ax, names in ((left, losses), (right, {"voc07": "VOC 2007", "voc12": "VOC 2012"})):
        for color, (key, label) in zip(COLORS, names.items()):
            ax.plot(epochs, [entry[key] for entry in history], color=color, label=label, marker="o", markersize=3)
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        ax.set_xlabel("epoch")
        ax.legend()
    left.set(title=f"loss, {divided_by}", ylim=(0, None))
    right.set(title="mAP@0.5 on the validation set", ylim=(0, 1))
    return left, right


def transfer_losses(history: Sequence[Mapping[str, Any]], ax: Any = None) -> Any:
    """Draw the losses of a style transfer over its steps, on a logarithmic scale; lines divide the stages.

    Args:
        history: dicts with ``stage``, ``content``, ``style`` and ``tv``, one a step.
        ax: where; None makes a figure.

    Returns:
        the Axes.
    """
    ax = axes(ax)
    steps = range(1, len(history) + 1)
    names = {"content": "content", "style": "style", "tv": "total variation"}
    for color, (key, label) in zip(COLORS, names.items()):
        values = [entry[key] for entry in history]
        if any(value > 0 for value in values):  # a loss whose weight is 0 has no logarithm
            ax.semilogy(steps, values, color=color, label=label)
    for step in steps[1:]:
        if history[step - 1]["stage"] != history[step - 2]["stage"]:
            ax.axvline(step - 0.5, color=MUTED, linewidth=0.8)
    ax.set(xlabel="step", ylabel="loss, with its weight")
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax


def classifier_history(history: Sequence[Mapping[str, Any]], axes_pair: Any = None) -> Any:
    """Draw a classifier's training: loss and accuracy on the training and on the validation split, over epochs.

    Args:
        history: as ``training.fit`` returns it.
        axes_pair: two Axes; None makes a figure.

    Returns:
        the two Axes.
    """
    left, right = figure(1, 2, figsize=(9, 3.2))[1] if axes_pair is None else axes_pair
    epochs = [entry["epoch"] for entry in history]
    for ax, key in ((left, "loss"), (right, "accuracy")):
        ax.plot(epochs, [entry[key] for entry in history], color=COLORS[0], label="training, while it was learnt")
        ax.plot(epochs, [entry[f"valid_{key}"] for entry in history], color=COLORS[1], label="validation, after it")
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        ax.set(title=key, xlabel="epoch")
    left.set_ylim(0, None)
    right.set_ylim(None, 1)
    left.legend(fontsize="small")
    return left, right


def trials(stages: Mapping[str, Sequence[Any]], x: str, y: str, ax: Any = None) -> Any:
    """Draw the trials of a search over two of their settings, on logarithmic scales, coloured by score.

    Args:
        stages: by label, the trials of each stage, as ``search.random_search`` returns them.
        x, y: the settings' names.
        ax: where; None makes a figure.

    Returns:
        the Axes.
    """
    ax = axes(ax)
    scores = [trial.score for found in stages.values() for trial in found if trial.score > float("-inf")]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    dots = None
    for i, (label, found) in enumerate(stages.items()):
        places = [[trial.settings[name] for trial in found] for name in (x, y)]
        colors = [max(trial.score, low) for trial in found]
        look = {"s": 30 + 40 * i, "marker": "osD^v"[i % 5], "edgecolor": INK, "linewidth": 0.5}
        dots = ax.scatter(*places, c=colors, vmin=low, vmax=high, label=label, **look)
    ax.set(xscale="log", yscale="log", xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))
    if dots is not None:
        ax.figure.colorbar(dots, ax=ax, label="score")
    if len(stages) > 1:
        ax.legend(fontsize="small")
    return ax


def save(fig: Any, path: _files.PathLike) -> None:
    """Write a figure to a file whose name says the format, whole or not at all."""
    with _files.replacing(path) as neighbour:
        fig.savefig(neighbour)


def _plain_log_ticks(ax: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
