"""The book's figures: what they draw, and that each is seen, by a window, a notebook or a file, and by one alone."""

import os
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

import gluonbook as gb
from gluonbook._mxnet import nd
from gluonbook.book import figures

ROOT = Path(gb.__file__).resolve().parents[1]
INLINE = "module://matplotlib_inline.backend_inline"
PIXELS = [np.full((3, 5, 3), shade, np.uint8) for shade in (0, 50, 100, 150, 200, 250)]
BOXES = [[1.0, 2, 11, 22], [0, 0, 5, 5], [3, 4, 5, 8], [7, 7, 9, 8], [2, 2, 3, 3], [4, 1, 6, 9], [5, 5, 8, 8]]
# A backend that opens windows: they are drawn and, once the program has waited for them, closed.
WINDOWS = """
from matplotlib.backends.backend_agg import FigureCanvasAgg as FigureCanvas, FigureManagerBase as FigureManager
from matplotlib._pylab_helpers import Gcf
shown = []
def show(block=None):
    managers = Gcf.get_all_fig_managers()
    shown.append([manager.num for manager in managers])
    print("shown", shown[-1], flush=True)
    for manager in managers:
        manager.canvas.draw()
    if block is not False:
        Gcf.destroy_all()
"""


@pytest.fixture(autouse=True)
def closed():
    """Give matplotlib's settings back; close what was drawn, so that nothing is saved when pytest ends."""
    plt.close("all")
    with mpl.rc_context():
        yield
    plt.close("all")
    figures._waiting.clear()


@pytest.fixture
def here(isolated):
    """The working folder; it is empty."""
    return Path.cwd()


@pytest.fixture
def windows(tmp_path, monkeypatch):
    """The backend that opens windows is in use; returns its module."""
    (tmp_path / "windows_of_the_test.py").write_text(WINDOWS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    plt.switch_backend("module://windows_of_the_test")
    yield sys.modules["windows_of_the_test"]
    plt.switch_backend("agg")
    del sys.modules["windows_of_the_test"]


@pytest.fixture
def script(tmp_path):
    """Run a program in an empty folder; returns its standard output, standard error, and the folder's files."""

    def run(code, backend="agg", **environment):
        folder = tmp_path / "program"
        folder.mkdir()
        (tmp_path / "windows_of_the_test.py").write_text(WINDOWS, encoding="utf-8")
        env = {**os.environ, "MPLBACKEND": backend, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
        command = [sys.executable, "-c", "import gluonbook as gb, numpy as np\n" + code]
        done = subprocess.run(command, env={**env, **environment}, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr, sorted(path.name for path in folder.iterdir())

    return run


def points(line):
    return list(zip(*(np.asarray(values).tolist() for values in line.get_data())))


def saved(*numbers):
    return [f"gluonbook-figure-{number}.png" for number in numbers]


def told(folder, *numbers):
    return "".join(f"figure saved: {folder / name}\n" for name in saved(*numbers))


def keep_open(monkeypatch):
    """Let the tests look at what semilogy drew; returns the list of figures that it would have shown or saved."""
    seen = []
    monkeypatch.setattr(figures, "_show", seen.append)
    return seen


# ---- semilogy ----


def test_semilogy_draws_a_curve_on_a_logarithmic_scale(monkeypatch):
    seen = keep_open(monkeypatch)
    assert gb.semilogy(range(1, 4), [9.0, 3.0, 1.0], "epochs", "loss") is None
    (ax,) = seen[0].axes
    assert [points(line) for line in ax.lines] == [[(1, 9), (2, 3), (3, 1)]]
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epochs", "loss")
    assert ax.lines[0].get_linestyle() == "-"
    assert seen[0].get_size_inches().tolist() == [3.5, 2.5]


def test_semilogys_second_curve_is_dotted_and_has_the_legend(monkeypatch):
    seen = keep_open(monkeypatch)
    gb.semilogy([1, 2, 3], [9, 3, 1], "x", "y", [1, 3], [8, 5], ["train", "test"], figsize=(5, 4))
    (ax,) = seen[0].axes
    assert [points(line) for line in ax.lines] == [[(1, 9), (2, 3), (3, 1)], [(1, 8), (3, 5)]]
    assert [line.get_linestyle() for line in ax.lines] == ["-", ":"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "test"]
    assert ax.get_yscale() == "log"
    assert seen[0].get_size_inches().tolist() == [5, 4]


def test_semilogy_has_a_legend_with_two_curves_only(monkeypatch):
    seen = keep_open(monkeypatch)
    gb.semilogy([1, 2], [9, 3], "x", "y", legend=["train"])
    assert seen[0].axes[0].get_legend() is None
    plt.close("all")
    gb.semilogy([1, 2], [9, 3], "x", "y", [1, 2], [8, 5])
    assert seen[1].axes[0].get_legend() is None
    assert len(seen[1].axes[0].lines) == 2


def test_semilogy_draws_on_the_current_figure(monkeypatch):
    seen = keep_open(monkeypatch)
    figure, (left, right) = plt.subplots(1, 2)
    plt.sca(left)
    gb.semilogy([1, 2], [9, 3], "x", "y")
    assert seen == [figure]
    assert points(left.lines[0]) == [(1, 9), (2, 3)]
    assert not right.lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1], "x", "y"), "x_vals and y_vals must be equally long, got 2 and 1"),
        (([1, 2], [1, 2], "x", "y", [1], [1, 2]), "x2_vals and y2_vals must be equally long, got 1 and 2"),
        (([1], [1], "x", "y", [1, 2]), "x2_vals and y2_vals must be given together, got [1, 2] and None"),
        (([1], [1], "x", "y", None, [3]), "x2_vals and y2_vals must be given together, got None and [3]"),
    ],
)
def test_semilogy_refuses_half_a_curve_before_it_draws(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        gb.semilogy(*arguments)
    assert plt.get_fignums() == []


def test_semilogy_is_saved_where_no_window_can_be_opened_and_never_over_a_file(here, capsys):
    for number in (1, 2):
        gb.semilogy([1, 2], [9, 3], "x", "y")
        assert plt.get_fignums() == []
        out, err = capsys.readouterr()
        assert (out, err) == ("", told(here, number))
    (here / saved(4)[0]).write_bytes(b"somebody's own")
    gb.semilogy([1, 2], [9, 3], "x", "y")
    gb.semilogy([1, 2], [9, 3], "x", "y")
    assert capsys.readouterr().err == told(here, 3, 5)
    assert (here / saved(4)[0]).read_bytes() == b"somebody's own"
    assert sorted(path.name for path in here.iterdir()) == saved(1, 2, 3, 4, 5)
    with Image.open(here / saved(1)[0]) as picture:
        assert picture.format == "PNG"
        assert picture.width > 3.5 * 144 * 0.8  # cut to the drawing, labels included


def test_semilogys_files_are_whole_pictures_of_their_own_curves(here):
    gb.semilogy([1, 2], [9, 3], "x", "y")
    gb.semilogy([1, 2], [3, 9], "x", "y")
    first, second = (np.asarray(Image.open(here / name)) for name in saved(1, 2))
    assert first.shape != second.shape or (first != second).any()
    for pixels in (first, second):  # one blue curve each, not the one over the other
        blue = (pixels[..., 2] > 150) & (pixels[..., 0] < 100)
        assert 0 < blue.mean() < 0.05


def test_semilogy_is_shown_and_not_saved_where_windows_can_be_opened(here, windows, capsys):
    gb.semilogy([1, 2], [9, 3], "x", "y")
    assert windows.shown == [[1]]
    assert list(here.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_the_backend_of_a_notebook_opens_no_window_elsewhere(script):
    """A notebook's ``!python train.py`` inherits it."""
    pytest.importorskip("matplotlib_inline")
    out, err, files = script("gb.semilogy([1, 2], [9, 3], 'x', 'y')\ngb.show_images([np.zeros((2, 2))], 1, 1)", INLINE)
    assert files == saved(1, 2)
    assert out == ""
    assert err.count("figure saved: ") == 2


def test_an_unwritable_folder_falls_back_to_that_of_temporary_files(here, tmp_path, monkeypatch, capsys):
    other, save = tmp_path / "temporary", figures.plot.save
    other.mkdir()

    def refuse_here(figure, path):
        if path.parent == here:
            raise PermissionError(13, "Permission denied", str(path))
        save(figure, path)

    monkeypatch.setattr(figures.plot, "save", refuse_here)
    monkeypatch.setattr(figures.tempfile, "gettempdir", lambda: str(other))
    (other / saved(1)[0]).write_bytes(b"somebody's own")
    gb.semilogy([1, 2], [9, 3], "x", "y")
    assert capsys.readouterr().err == told(other, 2)
    assert list(here.iterdir()) == []
    assert (other / saved(1)[0]).read_bytes() == b"somebody's own"


def test_a_working_folder_that_is_gone_falls_back_too(tmp_path, monkeypatch, capsys):
    def gone():
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(figures.os, "getcwd", gone)
    monkeypatch.setattr(figures.tempfile, "gettempdir", lambda: str(tmp_path))
    gb.semilogy([1, 2], [9, 3], "x", "y")
    assert capsys.readouterr().err == told(tmp_path, 1)


def test_a_figure_that_no_folder_takes_is_told_and_stops_no_program(here, monkeypatch, capsys):
    def refuse(figure, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figures.plot, "save", refuse)
    gb.semilogy([1, 2], [9, 3], "x", "y")
    assert capsys.readouterr().err == "figure not saved: [Errno 28] No space left on device\n"


# ---- the other figures ----


def test_set_figsize_sets_the_size_of_the_figures_that_follow():
    assert gb.set_figsize() is None
    assert plt.figure().get_size_inches().tolist() == [3.5, 2.5]
    gb.set_figsize((6, 1.5))
    assert plt.figure().get_size_inches().tolist() == [6, 1.5]


def test_losses_are_drawn_over_epochs():
    figures.plot_losses([4.0, 2.0, 1.0, 0.5, 0.25], 2)
    (ax,) = plt.gcf().axes
    assert [points(line) for line in ax.lines] == [[(0, 4), (0.5, 2), (1, 1), (1.5, 0.5), (2, 0.25)]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")


def bowl(x1, x2):
    return 0.1 * x1**2 + 2 * x2**2


def test_a_trace_is_drawn_over_the_contours(monkeypatch):
    asked = []
    monkeypatch.setattr(plt, "contour", lambda x1, x2, z, **settings: asked.append((x1, x2, z, settings)))
    assert gb.show_trace_2d(bowl, [(-5, -2), (-4, 0.4), (-3.2, -0.1)]) is None
    (ax,) = plt.gcf().axes
    (line,) = ax.lines
    np.testing.assert_allclose(points(line), [(-5, -2), (-4, 0.4), (-3.2, -0.1)], rtol=1e-6)
    assert (line.get_marker(), line.get_linestyle(), line.get_color()) == ("o", "-", "#ff7f0e")
    ((x1, x2, z, settings),) = asked
    assert x1.shape == x2.shape == z.shape
    np.testing.assert_allclose(x1[0], np.arange(-5.5, 1.0, 0.1))
    assert (x1 == x1[0]).all()
    assert (x2 == x2[:, :1]).all()
    np.testing.assert_array_equal(z, bowl(x1, x2))
    assert settings == {"colors": "#1f77b4"}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x1", "x2")


def test_a_traces_contours_are_those_of_its_function():
    gb.show_trace_2d(bowl, [(-5, -2)])
    (ax,) = plt.gcf().axes
    levels = 0
    for collection in ax.collections:
        for path in collection.get_paths():
            if len(path.vertices) > 20:
                heights = bowl(*path.vertices[:-1].T)
                np.testing.assert_allclose(heights, np.median(heights), rtol=0.05, atol=0.05)
                levels += 1
        assert np.allclose(to_rgba("#1f77b4"), collection.get_edgecolor())
    assert levels >= 3


@pytest.mark.parametrize(
    ("x2", "low", "high"),
    [((-2, 0), -3, 1), ((-2.5, 0), -3.5, 1), ((-2, 0.5), -3, 1.5), ((-9, 7), -10, 8), ((1e6, -1e6), -1e6 - 1, 1e6 + 1)],
)
def test_a_traces_range_widens_with_the_data(monkeypatch, x2, low, high):
    asked = []
    monkeypatch.setattr(plt, "contour", lambda x1, x2, z, **settings: asked.append(x2))
    gb.show_trace_2d(bowl, [(-5, value) for value in x2])
    assert asked[0].min() == pytest.approx(low)
    assert asked[0].max() == pytest.approx(high)


def test_a_diverging_trace_needs_no_more_memory_than_another():
    """A grid of 0.1, as the book has it, would hold 65 * 2e10 points."""
    sizes = []
    tracemalloc.start()
    gb.show_trace_2d(lambda x1, x2: sizes.append(x1.size) or bowl(x1, x2), [(-5, -2), (-4, 1e9), (1e9, -1e9)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes[0] < 10_000
    assert peak < 50e6


@pytest.mark.parametrize(
    ("res", "error", "message"),
    [
        ([], ValueError, "res must have the shape (any, 2), got (0,)"),
        (np.zeros((0, 2)), ValueError, "res must be points of finite numbers, at least one, got array("),
        (
            [(-5, -2), (float("nan"), 0)],
            ValueError,
            "res must be points of finite numbers, at least one, got [(-5, -2)",
        ),
        ([(-5, float("inf"))], ValueError, "res must be points of finite numbers, at least one, got [(-5, inf)]"),
        ([(1, 2, 3)], ValueError, "res must have the shape (any, 2), got (1, 3)"),
        ("walk", TypeError, "res must be an array of numbers, got 'walk'"),
    ],
)
def test_a_trace_refuses_what_are_no_points(res, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        gb.show_trace_2d(bowl, res)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 3), (3, 1), (2, 3)])
@pytest.mark.parametrize("kind", [np.array, nd.array], ids=["NumPy", "nd"])
def test_pictures_stand_in_a_grid_row_by_row(rows, cols, kind):
    axes = gb.show_images([kind(pixels) / 255 for pixels in PIXELS], rows, cols, scale=1.5)
    assert isinstance(axes, np.ndarray)
    assert axes.shape == (rows, cols)
    assert plt.gcf().get_size_inches().tolist() == [cols * 1.5, rows * 1.5]
    assert list(axes.flat) == plt.gcf().axes
    for ax, pixels in zip(axes.flat, PIXELS):
        np.testing.assert_allclose(ax.images[0].get_array(), pixels / 255, rtol=1e-6)
        assert not ax.axes.get_xaxis().get_visible()
        assert not ax.axes.get_yaxis().get_visible()


def test_pictures_are_two_inches_wide_and_may_be_grey():
    axes = gb.show_images([nd.array([[0, 1], [2, 3]])] * 2, 1, 2)
    assert plt.gcf().get_size_inches().tolist() == [4, 2]
    assert axes[0, 1].images[0].get_array().tolist() == [[0, 1], [2, 3]]


def test_a_batch_of_pictures_is_shown_as_a_list_of_them():
    axes = gb.show_images(nd.array(np.stack(PIXELS)).astype("uint8"), 2, 3)
    np.testing.assert_array_equal(axes[1, 0].images[0].get_array(), PIXELS[3])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((PIXELS[:3], 2, 2), ValueError, "imgs must be at least 2 * 2 pictures, got 3"),
        (([], 1, 1), ValueError, "imgs must be at least 1 * 1 pictures, got 0"),
        ((PIXELS, 0, 2), ValueError, "num_rows must be at least 1, got 0"),
        ((PIXELS, 2, 0), ValueError, "num_cols must be at least 1, got 0"),
        ((PIXELS, 2.0, 1), TypeError, "num_rows must be a whole number, got 2.0 (float)"),
    ],
)
def test_a_grid_that_cannot_be_filled_is_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        gb.show_images(*arguments)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (1, 28, 28)])
@pytest.mark.parametrize("count", [1, 4])
def test_fashion_stands_in_a_row_each_under_its_label(shape, count):
    generator = np.random.default_rng(0)
    images = generator.random((count, *shape), np.float32)
    labels = gb.get_fashion_mnist_labels(list(range(count)))
    assert gb.show_fashion_mnist(nd.array(images), labels) is None
    figure = plt.gcf()
    assert figure.get_size_inches().tolist() == [12, 12]
    assert [ax.get_title() for ax in figure.axes] == labels
    for ax, image in zip(figure.axes, images):
        np.testing.assert_array_equal(ax.images[0].get_array(), image.reshape(28, 28))
        assert not ax.get_xaxis().get_visible()
        assert not ax.get_yaxis().get_visible()
    lefts = [ax.get_position().x0 for ax in figure.axes]
    assert lefts == sorted(set(lefts))
    assert len({round(ax.get_position().y0, 9) for ax in figure.axes}) == 1


@pytest.mark.parametrize(("images", "labels"), [(0, []), (2, ["a"]), (1, ["a", "b"])])
def test_fashion_without_pictures_or_with_other_labels_is_refused(images, labels):
    message = f"^images and labels must be equally many, at least 1, got {images} and {len(labels)}$"
    with pytest.raises(ValueError, match=message):
        gb.show_fashion_mnist([nd.zeros((28, 28))] * images, labels)
    assert plt.get_fignums() == []


# ---- boxes ----


@pytest.mark.parametrize("bbox", [(60, 45, 378, 516), np.array([60.0, 45, 378, 516]), nd.array([60, 45, 378, 516])])
def test_a_box_becomes_an_unfilled_rectangle(bbox):
    rectangle = gb.bbox_to_rect(bbox, "red")
    assert type(rectangle) is Rectangle
    assert rectangle.get_xy() == (60, 45)
    assert (rectangle.get_width(), rectangle.get_height()) == (318, 471)
    assert not rectangle.get_fill()
    assert rectangle.get_edgecolor() == to_rgba("red")
    assert rectangle.get_linewidth() == 2


def test_an_inverted_box_is_refused_with_its_value():
    with pytest.raises(ValueError, match=r"^bbox: box \(4, 2, 3, 9\) is inverted: xmax must be above xmin$"):
        gb.bbox_to_rect((4, 2, 3, 9), "red")


@pytest.fixture
def ax():
    return plt.imshow(np.zeros((30, 30))).axes


def drawn(ax):
    """The rectangles (corners, colour) and the texts (text, place, colour, ground) of Axes."""
    rectangles = [
        (
            (*patch.get_xy(), patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height()),
            patch.get_edgecolor(),
        )
        for patch in ax.patches
    ]
    texts = [
        (text.get_text(), text.get_position(), text.get_color(), text.get_bbox_patch().get_facecolor())
        for text in ax.texts
    ]
    return rectangles, texts


@pytest.mark.parametrize("kind", [list, np.array, nd.array, lambda boxes: [nd.array(box) for box in boxes]])
def test_seven_boxes_and_two_labels_are_seven_rectangles_and_two_texts(ax, kind):
    assert gb.show_bboxes(ax, kind(BOXES), ["dog", "cat"]) is None
    rectangles, texts = drawn(ax)
    assert rectangles == [(tuple(box), to_rgba(color)) for box, color in zip(BOXES, "bgrmkbg")]
    assert texts == [("dog", (1, 2), "w", to_rgba("b")), ("cat", (0, 0), "w", to_rgba("g"))]
    assert all(not patch.get_fill() and patch.get_linewidth() == 2 for patch in ax.patches)
    for text in ax.texts:
        assert (text.get_ha(), text.get_va(), text.get_fontsize()) == ("center", "center", 9)
        assert text.get_bbox_patch().get_linewidth() == 0


def test_boxes_without_labels_have_no_texts(ax):
    gb.show_bboxes(ax, BOXES)
    assert (len(ax.patches), len(ax.texts)) == (7, 0)


def test_a_single_label_and_a_single_colour_need_no_list(ax):
    gb.show_bboxes(ax, BOXES[:3], "dog=0.9", "y")
    rectangles, texts = drawn(ax)
    assert [color for _, color in rectangles] == [to_rgba("y")] * 3
    assert texts == [("dog=0.9", (1, 2), "w", to_rgba("y"))]


def test_text_on_white_is_black_and_on_other_grounds_white(ax):
    gb.show_bboxes(ax, BOXES[:4], ["a", "b", "c", "d"], ["w", "black", "r"])
    _, texts = drawn(ax)
    grounds = [to_rgba(color) for color in ("w", "black", "r", "w")]
    assert [(color, ground) for _, _, color, ground in texts] == list(zip("kwwk", grounds))


def test_a_tuple_of_labels_and_of_colours_is_a_list_of_them(ax):
    gb.show_bboxes(ax, BOXES[:2], ("a", "b"), ("c", "m"))
    rectangles, texts = drawn(ax)
    assert [color for _, color in rectangles] == [to_rgba("c"), to_rgba("m")]
    assert [text for text, *_ in texts] == ["a", "b"]


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4))])
def test_no_boxes_draw_nothing(ax, boxes):
    gb.show_bboxes(ax, boxes, ["dog"])
    assert drawn(ax) == ([], [])


@pytest.mark.parametrize("kind", [list, nd.array])
def test_a_wrong_box_is_refused_with_its_number_and_value(ax, kind):
    boxes = [*BOXES[:2], [3, 8, 5, 4]]
    with pytest.raises(ValueError, match=r"^bboxes\[2\]: box \(3, 8, 5, 4\) is inverted: ymax must be above ymin$"):
        gb.show_bboxes(ax, kind(boxes))
    with pytest.raises(ValueError, match=r"^bboxes\[0\]: box \(0, 0, inf, 1\) is not finite$"):
        gb.show_bboxes(ax, kind([[0, 0, float("inf"), 1]]))
    with pytest.raises(ValueError, match=r"^bboxes\[0\] must have the shape \(4\), got \(3,\)$"):
        gb.show_bboxes(ax, kind([[0, 0, 1]]))


def test_no_colours_are_refused(ax):
    with pytest.raises(ValueError, match=r"^colors must be at least one, got \[\]$"):
        gb.show_bboxes(ax, BOXES, colors=[])


# ---- seen by somebody ----

# Each draws one figure of its own.
DRAWINGS = {
    "show_images": "gb.show_images([np.zeros((4, 4, 3))] * 2, 1, 2)",
    "plot_losses": "from gluonbook.book.figures import plot_losses; plot_losses([3.0, 2.0, 1.0], 2)",
    "show_trace_2d": "gb.show_trace_2d(lambda x1, x2: x1**2 + x2**2, [(-5, -2), (-1, 0)])",
    "show_bboxes": "gb.show_bboxes(gb.plt.figure().subplots(), [[0, 0, 1, 1]], 'dog')",
    "show_fashion_mnist": "gb.show_fashion_mnist(np.zeros((2, 28, 28)), ['coat', 'bag'])",
}
ALL = "\n".join([*DRAWINGS.values(), DRAWINGS["plot_losses"]])
EACH_DRAWING = pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=DRAWINGS)


def draw(code):
    exec(code, {"gb": gb, "np": np})


def test_a_program_that_shows_nothing_finds_each_figure_in_a_file_of_its_own_when_it_ends(script, tmp_path):
    out, err, files = script(ALL + "\nprint('the end')")
    numbers = range(1, 7)
    assert (out, err) == ("the end\n", told(tmp_path / "program", *numbers))
    assert files == saved(*numbers)
    pictures = [(tmp_path / "program" / name).read_bytes() for name in files]
    assert len(set(pictures)) == 5
    assert pictures[1] == pictures[5]  # two drawings of the same losses: not the one over the other


def test_a_program_that_fails_finds_its_figures_too(tmp_path):
    code = f"import gluonbook as gb, numpy as np\n{DRAWINGS['show_images']}\nraise SystemExit(3)"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, told(tmp_path, 1))


def test_what_a_program_saved_or_closed_itself_is_not_saved_again(script, tmp_path):
    code = f"""
for kind in ("png", "pdf", "svg"):
    {DRAWINGS["show_images"]}
    gb.plt.savefig(f"own.{{kind}}")
{DRAWINGS["show_trace_2d"]}
gb.plt.close()
{DRAWINGS["plot_losses"]}
"""
    _, err, files = script(code)
    assert files == [*saved(1), "own.pdf", "own.png", "own.svg"]
    assert err == told(tmp_path / "program", 1)


def test_a_program_with_windows_shows_them_at_its_end_and_saves_nothing(script):
    out, err, files = script(ALL + "\nprint('the end')", "module://windows_of_the_test")
    assert (out, err, files) == ("the end\nshown [1, 2, 3, 4, 5, 6]\n", "", [])


def test_a_program_that_showed_its_windows_shows_none_at_its_end(script):
    out, err, files = script(ALL + "\ngb.plt.show()\nprint('the end')", "module://windows_of_the_test")
    assert (out, err, files) == ("shown [1, 2, 3, 4, 5, 6]\nthe end\n", "", [])


def test_windows_shown_without_waiting_are_seen(windows):
    draw(DRAWINGS["show_images"])
    plt.show(block=False)
    figures._show_waiting()
    assert windows.shown == [[1]]


def test_a_window_closed_before_the_end_is_not_shown(windows):
    draw(DRAWINGS["show_images"])
    plt.close()
    figures._show_waiting()
    assert windows.shown == []


@EACH_DRAWING
def test_a_figure_waits_until_it_is_saved(drawing, here, capsys):
    draw(drawing)
    assert figures._waiting == [plt.gcf()]
    assert list(here.iterdir()) == []
    plt.savefig("own.pdf")
    assert figures._waiting == []
    figures._show_waiting()
    assert [path.name for path in here.iterdir()] == ["own.pdf"]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "looked_at",
    [
        plt.draw,
        plt.tight_layout,
        lambda: plt.gcf().canvas.draw(),
        lambda: plt.gcf().get_tightbbox(plt.gcf().canvas.get_renderer()),
        lambda: plt.gcf().draw_without_rendering(),
        plt.show,
    ],
    ids=["draw", "tight_layout", "canvas.draw", "get_tightbbox", "draw_without_rendering", "show"],
)
@pytest.mark.filterwarnings("ignore:.*non-GUI backend:UserWarning", "ignore:.*non-interactive:UserWarning")
def test_a_figure_that_was_drawn_into_memory_is_still_to_be_seen(here, looked_at):
    draw(DRAWINGS["show_images"])
    looked_at()
    figures._show_waiting()
    assert [path.name for path in here.iterdir()] == saved(1)


def test_figures_are_saved_once(here):
    draw(DRAWINGS["show_images"])
    figures._show_waiting()
    figures._show_waiting()
    assert [path.name for path in here.iterdir()] == saved(1)


def test_a_closed_figure_is_not_taken_for_the_next_one_which_has_its_number(here):
    draw(DRAWINGS["show_images"])
    number = plt.gcf().number
    plt.close()
    draw(DRAWINGS["show_trace_2d"])
    assert plt.gcf().number == number
    figures._show_waiting()
    assert [path.name for path in here.iterdir()] == saved(1)


def test_closed_figures_are_let_go():
    """A program may draw, save and close thousands."""
    for _ in range(5):
        draw(DRAWINGS["show_images"])
        plt.close()
    assert len(figures._waiting) == 1


def test_two_comparisons_of_losses_are_two_figures():
    figures.plot_losses([3.0, 2.0], 1)
    figures.plot_losses([9.0, 8.0], 1)
    first, second = figures._waiting
    assert [points(line) for figure in (first, second) for line in figure.axes[0].lines] == [
        [(0, 3), (1, 2)],
        [(0, 9), (1, 8)],
    ]


def test_a_drawing_goes_on_a_figure_that_the_program_has_prepared():
    figure, (left, right) = plt.subplots(1, 2)
    plt.sca(left)
    figures.plot_losses([3.0, 2.0], 1)
    assert figures._waiting == [figure]
    assert (len(left.lines), len(right.lines)) == (1, 0)


def test_semilogy_leaves_a_figure_that_waits_alone(here):
    draw(DRAWINGS["show_images"])
    waiting = plt.gcf()
    gb.semilogy([1, 2], [9, 3], "x", "y")
    assert figures._waiting == [waiting]
    assert plt.get_fignums() == [waiting.number]
    assert not waiting.axes[-1].lines
    assert [path.name for path in here.iterdir()] == saved(1)


def test_boxes_on_the_pictures_of_show_images_are_one_figure():
    axes = gb.show_images(PIXELS, 2, 3)
    for ax in axes.flat:
        gb.show_bboxes(ax, [[0, 0, 2, 2]])
    assert figures._waiting == [axes[0, 0].figure]


def test_boxes_on_a_subfigure_are_seen_with_the_whole(here, capsys):
    figure = plt.figure()
    gb.show_bboxes(figure.subfigures(1, 2)[0].subplots(), BOXES)
    assert figures._waiting == [figure]
    figures._show_waiting()
    assert capsys.readouterr().err == told(here, 1)


def test_a_figure_that_pyplot_does_not_know_is_its_makers(here):
    gb.show_bboxes(Figure().subplots(), BOXES)
    figures._show_waiting()
    assert list(here.iterdir()) == []


def test_no_figure_waits_for_nothing(here, capsys):
    figures._show_waiting()
    assert list(here.iterdir()) == []
    assert capsys.readouterr() == ("", "")
