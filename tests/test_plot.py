"""Figures draw the numbers they are given, on the Axes they are given, and can write Chinese."""

import os
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from gluonbook import _files, plot, search
from gluonbook.data import embedded_songs

HISTORY = [{"train": 90.0, "held_out": 95.0}, {"train": 20.0, "held_out": 60.0}, {"train": 2.0, "held_out": 80.0}]
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
ROWS = np.array([[2, 0.98, 0.25, 0.5, 0.75, 1.0], [0, 0.5, 0.0, 0.0, 1.0, 0.1]])  # by falling score
TRUTH = np.array([[2, 0.25, 0.4, 0.75, 0.9]])
CLASSES = ("cat", "dog", "鱼")
EPOCHS = [
    {"epoch": epoch, "cls": 3 / epoch, "box": 1 / epoch, "voc07": 0.2 * epoch, "voc12": 0.25 * epoch}
    for epoch in (1, 2, 3)
]
STEPS = [
    {"stage": stage, "content": 4.0 / step, "style": 90.0 / step, "tv": 2.0, "seconds": step}
    for step, stage in enumerate([1, 1, 1, 2, 2, 3], 1)
]
FITTED = [
    {
        "epoch": epoch,
        "loss": 2.0 / epoch,
        "valid_loss": 2.2 / epoch,
        "accuracy": 0.3 * epoch,
        "valid_accuracy": 0.25 * epoch,
    }
    for epoch in (1, 2, 3)
]
COARSE = [search.Trial(i, {"lr": 10.0**-i, "weight_decay": 10.0 ** (i - 6)}, 0.2 * i) for i in range(1, 4)]
FINE = [
    search.Trial(0, {"lr": 0.02, "weight_decay": 1e-4}, 0.9),
    search.Trial(1, {"lr": 1.0, "weight_decay": 1e-3}, -np.inf),
]
DRAW = {
    "perplexity_curves": lambda ax: plot.perplexity_curves({"a": [9.0, 3.0]}, ax),
    "history_curves": lambda ax: plot.history_curves(HISTORY, ax),
    "bars": lambda ax: plot.bars({"分": 0.5, "开": 0.25}, ax),
    "picture": lambda ax: plot.picture(PIXELS, ax),
    "detections": lambda ax: plot.detections(PIXELS, ROWS, CLASSES, TRUTH, ax),
    "activation_map": lambda ax: plot.activation_map(PIXELS, np.eye(3), ax),
    "trials": lambda ax: plot.trials({"coarse": COARSE, "fine": FINE}, "lr", "weight_decay", ax),
    "transfer_losses": lambda ax: plot.transfer_losses(STEPS, ax),
}


@pytest.fixture(autouse=True)
def closed():
    """Give matplotlib's settings back, and close what was drawn."""
    with mpl.rc_context():
        yield
    plt.close("all")


def points(line):
    return list(zip(*(values.tolist() for values in line.get_data())))


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_the_axes_given_are_drawn_on_and_returned(draw):
    _, (left, right) = plt.subplots(1, 2)
    plt.sca(right)
    assert draw(left) is left
    assert left.has_data()
    assert not right.has_data()


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_without_axes_a_figure_is_made_and_not_shown(draw, monkeypatch):
    def refuse(*arguments, **settings):
        raise AssertionError("a figure was shown")

    monkeypatch.setattr(plt, "show", refuse)
    first, second = draw(None), draw(None)
    assert first.figure is not second.figure
    assert first.has_data()


def test_curves_are_the_numbers_from_epoch_one_on():
    ax = plot.perplexity_curves({"RNN": [90.0, 20.0, 2.0], "GRU": [80.0, 10.0]})
    assert [line.get_label() for line in ax.lines] == ["RNN", "GRU"]
    assert points(ax.lines[0]) == [(1, 90), (2, 20), (3, 2)]
    assert points(ax.lines[1]) == [(1, 80), (2, 10)]
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "perplexity")
    assert [entry.get_text() for entry in ax.get_legend().get_texts()] == ["RNN", "GRU"]


def test_one_curve_needs_no_legend():
    assert plot.perplexity_curves({"RNN": [9.0, 2.0]}).get_legend() is None


def test_curves_have_their_own_colours():
    ax = plot.perplexity_curves({"a": [2.0], "b": [3.0], "c": [2.0]})
    assert len({line.get_color() for line in ax.lines}) == 3


def test_a_bound_is_marked_with_its_value():
    ax = plot.perplexity_curves({"a": [9.0, 1.1]}, bound=1.3)
    assert list(ax.lines[-1].get_ydata()) == [1.3, 1.3]
    assert [text.get_text() for text in ax.texts] == ["1.3"]


def test_ticks_are_plain_numbers():
    ax = plot.perplexity_curves({"a": [1000.0, 1.5]})
    ax.figure.canvas.draw()
    assert {"2", "10", "1000"} <= {tick.get_text() for tick in ax.get_yticklabels()}


def test_a_history_is_two_curves():
    ax = plot.history_curves(HISTORY)
    assert {line.get_label(): list(line.get_ydata()) for line in ax.lines} == {
        "training text": [90, 20, 2],
        "held-out tail": [95, 60, 80],
    }


def test_a_history_without_a_tail_is_one_curve():
    ax = plot.history_curves([{**entry, "held_out": None} for entry in HISTORY])
    assert [list(line.get_ydata()) for line in ax.lines] == [[90, 20, 2]]


def test_bars_are_the_values_the_first_on_top_each_with_its_number():
    ax = plot.bars({"分": 0.5, "开": 0.254}, digits=2)
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.254]
    assert [text.get_text() for text in ax.texts] == ["0.50", "0.25"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["分", "开"]
    bottom, top = ax.get_ylim()
    assert bottom > 1 > 0 > top
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlim()[1] > 0.5


@pytest.mark.parametrize("values", [{"a": 0.0, "b": 0.0}, {}])
def test_bars_of_nothing_are_drawn_in_silence(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(plot.bars(values).patches) == len(values)


def test_a_picture_is_its_pixels_without_axes():
    ax = plot.picture(PIXELS)
    np.testing.assert_array_equal(ax.images[0].get_array(), PIXELS)
    assert not ax.axison


def test_a_picture_fills_its_axes_from_its_left_and_upper_edge_to_the_right_and_lower():
    ax = plot.picture(PIXELS)
    assert ax.images[0].get_extent() == [0, 40, 30, 0]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 40), (30, 0))


def test_boxes_are_closed_outlines_with_labels_at_their_upper_left_corners():
    _, ax = plt.subplots()
    assert plot.boxes([[1, 2, 5, 4], [10, 20, 30, 25]], ax, ["cat", "dog"]) is ax
    assert points(ax.lines[0]) == [(1, 2), (5, 2), (5, 4), (1, 4), (1, 2)]
    assert points(ax.lines[1]) == [(10, 20), (30, 20), (30, 25), (10, 25), (10, 20)]
    assert [(text.get_text(), text.get_position()) for text in ax.texts] == [("cat", (1, 2)), ("dog", (10, 20))]
    assert [text.get_bbox_patch().get_facecolor()[:3] for text in ax.texts] == [
        mpl.colors.to_rgb(line.get_color()) for line in ax.lines
    ]


def test_boxes_take_colours_in_turn_and_only_the_first_have_labels():
    _, ax = plt.subplots()
    plot.boxes([[0, 0, i, i] for i in (1, 2, 3)], ax, ["one"], ["red", "blue"])
    assert [line.get_color() for line in ax.lines] == ["red", "blue", "red"]
    assert [text.get_text() for text in ax.texts] == ["one"]
    plot.boxes([[0, 0, i, i] for i in range(6)], ax)
    assert [line.get_color() for line in ax.lines[3:]] == [*plot.COLORS, plot.COLORS[0]]


def test_dashed_boxes_are_dashed_and_others_are_not():
    _, ax = plt.subplots()
    plot.boxes([[0, 0, 1, 1]], ax)
    plot.boxes([[0, 0, 1, 1]], ax, dashed=True)
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]


def test_no_boxes_draw_nothing():
    _, ax = plt.subplots()
    plot.boxes(np.zeros((0, 4)), ax, ["cat"])
    assert (len(ax.lines), len(ax.texts)) == (0, 0)


def test_detections_are_what_was_found_over_the_truth_in_pixels():
    ax = plot.detections(PIXELS, ROWS, CLASSES, TRUTH)
    truth, *found = ax.lines
    found = found[::-1]  # the best is drawn last, on top
    assert (truth.get_linestyle(), truth.get_color()) == ("--", "white")
    assert points(truth) == [(10, 12), (30, 12), (30, 27), (10, 27), (10, 12)]  # of 40×30 pixels
    assert points(found[0]) == [(10, 15), (30, 15), (30, 30), (10, 30), (10, 15)]
    assert points(found[1]) == [(0, 0), (40, 0), (40, 3), (0, 3), (0, 0)]
    assert [line.get_color() for line in found] == [plot.COLORS[2], plot.COLORS[0]]
    assert [text.get_text() for text in ax.texts] == ["cat 0.50", "鱼 0.98"]
    np.testing.assert_array_equal(ax.images[0].get_array(), PIXELS)


def test_detections_at_the_border_leave_the_picture_as_large_as_it_is():
    ax = plot.detections(PIXELS, ROWS, CLASSES, np.array([[0, 0, 0, 1, 1]]))
    ax.figure.canvas.draw()
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 40), (30, 0))


def test_detections_of_nothing_are_the_picture():
    ax = plot.detections(PIXELS, np.zeros((0, 6)), CLASSES, np.zeros((0, 5)))
    assert (len(ax.images), len(ax.lines), len(ax.texts)) == (1, 0, 0)


def test_a_detectors_history_is_its_losses_and_its_map():
    left, right = plot.detector_history(EPOCHS)
    assert {line.get_label(): points(line) for line in left.lines} == {
        "classes": [(1, 3), (2, 1.5), (3, 1)],
        "boxes": [(1, 1), (2, 0.5), (3, 1 / 3)],
    }
    assert {line.get_label(): list(line.get_ydata()) for line in right.lines} == {
        "VOC 2007": [entry["voc07"] for entry in EPOCHS],
        "VOC 2012": [entry["voc12"] for entry in EPOCHS],
    }
    for ax in (left, right):
        assert ax.get_xlabel() == "epoch"
        assert len(ax.get_legend().get_texts()) == 2
        assert len({line.get_color() for line in ax.lines}) == 2
    assert left.get_ylim()[0] == 0
    assert left.get_ylim()[1] > 3
    assert right.get_ylim() == (0, 1)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_detectors_history_counts_whole_epochs(count):
    left, right = plot.detector_history(EPOCHS[:count])
    for ax in (left, right):
        ax.figure.canvas.draw()
        low, high = ax.get_xlim()
        ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
        assert ticks == list(range(1, count + 1))


def test_a_detectors_history_is_drawn_on_the_pair_that_is_given():
    _, pair = plt.subplots(1, 2)
    drawn = plot.detector_history(EPOCHS, pair)
    assert [one is other for one, other in zip(drawn, pair)] == [True, True]
    first, second = plot.detector_history(EPOCHS)[0], plot.detector_history(EPOCHS)[0]
    assert first.figure is not second.figure


def test_a_transfers_losses_are_the_numbers_from_step_one_on():
    ax = plot.transfer_losses(STEPS)
    lines = {line.get_label(): points(line) for line in ax.lines[:3]}
    assert lines == {
        name: [(step, entry[key]) for step, entry in enumerate(STEPS, 1)]
        for name, key in (("content", "content"), ("style", "style"), ("total variation", "tv"))
    }
    assert ax.get_yscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "loss, with its weight")
    assert [entry.get_text() for entry in ax.get_legend().get_texts()] == list(lines)
    assert len({line.get_color() for line in ax.lines[:3]}) == 3


def test_lines_divide_the_stages_of_a_transfer():
    """The first stage has three steps, the second two."""
    dividers = plot.transfer_losses(STEPS).lines[3:]
    assert [list(line.get_xdata()) for line in dividers] == [[3.5, 3.5], [5.5, 5.5]]
    assert {line.get_color() for line in dividers} == {plot.MUTED}
    assert len(plot.transfer_losses(STEPS[:3]).lines) == 3


@pytest.mark.parametrize("name", ["content", "style", "tv"])
def test_a_loss_whose_weight_is_0_is_not_drawn(name):
    """A logarithm of 0 is none; the others keep their colours."""
    full = {line.get_label(): line.get_color() for line in plot.transfer_losses(STEPS).lines[:3]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plot.transfer_losses([{**entry, name: 0.0} for entry in STEPS])
        ax.figure.canvas.draw()
    missing = {"tv": "total variation"}.get(name, name)
    drawn = {line.get_label(): line.get_color() for line in ax.lines[:2]}
    assert drawn == {label: color for label, color in full.items() if label != missing}


@pytest.mark.parametrize("history", [[], [{"stage": i, "content": 0.0, "style": 0.0, "tv": 0.0} for i in (1, 2)]])
def test_a_transfer_that_lost_nothing_is_drawn_in_silence(history):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plot.transfer_losses(history)
        ax.figure.canvas.draw()
    assert ax.get_legend() is None


def test_a_transfers_single_step_is_drawn():
    ax = plot.transfer_losses(STEPS[:1])
    assert [points(line) for line in ax.lines] == [[(1, 4)], [(1, 90)], [(1, 2)]]


def test_chinese_is_drawn_with_the_packages_own_font(tmp_path):
    characters = sorted(set(embedded_songs()) - {"\n"})
    lines = ["".join(characters[i : i + 60]) for i in range(0, len(characters), 60)]
    fig, ax = plot.figure(figsize=(9, 6))
    ax.set_title("困惑度：循环神经网络，相邻采样（不分开）")
    fig.text(0, 0, "\n".join(lines), fontsize=5, in_layout=False)
    plot.perplexity_curves({"训练": [9.0, 2.0], "测试": [9.0, 5.0]}, ax)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot.save(fig, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_packages_font_is_the_one_that_is_found():
    from matplotlib import font_manager

    assert font_manager.findfont(plot.cjk_font()) == str(_files.packaged("datasets") / "fonts" / "gluonbook-cjk.otf")
    face = font_manager.get_font(font_manager.findfont(plot.cjk_font()))
    assert [c for c in "".join(sorted(set(embedded_songs()))) if c != "\n" and not face.get_char_index(ord(c))] == []


def test_the_style_is_the_same_however_often_it_is_set():
    plot.figure()
    once = dict(mpl.rcParams)
    plot.figure()
    assert dict(mpl.rcParams) == once


def test_a_figure_has_the_grid_that_is_asked_for():
    fig, axes = plot.figure(2, 3, figsize=(5, 4))
    assert axes.shape == (2, 3)
    assert fig.get_size_inches().tolist() == [5, 4]


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_a_figure_is_written_in_the_format_of_its_name(tmp_path, name, start):
    plot.save(plot.bars({"a": 1.0}).figure, tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_bytes().startswith(start)
    assert os.listdir(tmp_path / "new") == [name]


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path):
    class Broken:
        def savefig(self, path):
            path.write_bytes(b"half")
            raise OSError("disk full")

    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        plot.save(Broken(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_classifiers_history_has_both_splits_in_both_axes():
    left, right = plot.classifier_history(FITTED)
    for ax, key in ((left, "loss"), (right, "accuracy")):
        training, validation = ax.get_lines()
        assert points(training) == [(entry["epoch"], entry[key]) for entry in FITTED]
        assert points(validation) == [(entry["epoch"], entry[f"valid_{key}"]) for entry in FITTED]
        assert (ax.get_title(), ax.get_xlabel()) == (key, "epoch")
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "training, while it was learnt",
        "validation, after it",
    ]
    assert right.get_ylim()[1] == 1


def test_a_classifiers_history_is_drawn_on_the_axes_given():
    _, pair = plt.subplots(1, 2)
    assert plot.classifier_history(FITTED, pair) == tuple(pair)


def test_trials_stand_at_their_settings_coloured_by_score():
    ax = plot.trials({"coarse": COARSE, "fine": FINE}, "lr", "weight_decay")
    coarse, fine = ax.collections[:2]
    np.testing.assert_allclose(coarse.get_offsets(), [[0.1, 1e-5], [0.01, 1e-4], [0.001, 1e-3]])
    np.testing.assert_allclose(fine.get_offsets(), [[0.02, 1e-4], [1.0, 1e-3]])
    np.testing.assert_allclose(coarse.get_array(), [0.2, 0.4, 0.6])
    np.testing.assert_allclose(fine.get_array(), [0.9, 0.2])  # one that failed has the lowest colour
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "log", "lr", "weight decay")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["coarse", "fine"]
    assert coarse.get_clim() == fine.get_clim() == (0.2, 0.9)


def test_one_stage_of_trials_needs_no_legend():
    assert plot.trials({"all": COARSE}, "lr", "weight_decay").get_legend() is None


@pytest.mark.parametrize(
    ("pixels", "white"),
    [(PIXELS, 255), (PIXELS[..., 0], 255), (PIXELS[..., :1], 255), (PIXELS / 255, 1), (np.zeros((30, 40)), 1)],
)
def test_an_activation_map_lies_over_the_whole_picture_in_grey(pixels, white):
    heat = np.array([[4.0, 0.0], [-2.0, 1.0]])
    under, over = plot.activation_map(pixels, heat).get_images()
    assert under.get_extent() == over.get_extent() == [0, 40, 30, 0]
    np.testing.assert_allclose(under.get_array(), pixels.reshape(30, 40, -1).mean(2))
    assert under.get_clim() == (0, white)
    np.testing.assert_array_equal(over.get_array(), heat)
    assert over.get_clim() == (-4, 4)
    np.testing.assert_allclose(over.get_alpha(), [[0.8, 0], [0.4, 0.2]])


def test_an_activation_map_of_zeros_leaves_the_picture_as_it_is():
    assert not plot.activation_map(PIXELS, np.zeros((3, 4))).get_images()[1].get_alpha().any()
