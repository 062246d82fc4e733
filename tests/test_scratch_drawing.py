"""Drawn graphs show every value in green, every gradient in red, gates by their names, and no two at one place."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Circle

from gluonbook.book import figures
from gluonbook.scratch import Node, draw, drawing, graph


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")
    figures._waiting.clear()


def circuit():
    x, y, z, w = Node(3, "x"), Node(-4, "y"), Node(2, "z"), Node(-1, "w")
    f = (x * y + graph.maximum(z, w)) * 2
    f.backward()
    return f


def texts(ax, color=None):
    return [t.get_text() for t in ax.texts if color is None or to_hex(t.get_color()) == color]


def places(ax):
    """Where inputs and gates stand: texts that are neither a value nor a gradient."""
    return [t.get_position() for t in ax.texts if to_hex(t.get_color()) not in (drawing.GREEN, drawing.RED)]


def random_graph(seed, num_gates=14):
    rng = np.random.default_rng(seed)
    nodes = [Node(rng.normal(), name) for name in "abcd"]
    gates = [graph.add, graph.multiply, graph.maximum, graph.tanh, graph.sigmoid, lambda x: x + 1]
    for _ in range(num_gates):
        gate = gates[rng.integers(len(gates))]
        chosen = [nodes[i] for i in rng.integers(0, len(nodes), 2)]
        nodes.append(gate(*chosen) if gate in gates[:3] else gate(chosen[0]))
    loose = nodes[-6:]
    f = loose[0]
    for node in loose[1:]:
        f = f + node
    f.backward()
    return f


def test_values_stand_in_green_and_gradients_in_red():
    ax = draw(circuit())
    assert sorted(texts(ax, drawing.GREEN)) == sorted(
        ["3.00", "−4.00", "−12.00", "2.00", "−1.00", "2.00", "−10.00", "−20.00"]
    )
    assert sorted(texts(ax, drawing.RED)) == sorted(["−8.00", "6.00", "2.00", "2.00", "0.00", "2.00", "2.00", "1.00"])


def test_gates_and_inputs_are_named():
    ax = draw(circuit())
    others = [t for t in texts(ax) if t not in texts(ax, drawing.GREEN) + texts(ax, drawing.RED)]
    assert sorted(others) == sorted(["x", "y", "z", "w", "×", "max", "+", "×2"])


def test_a_value_stands_above_its_edge_and_the_gradient_right_below():
    ax = draw(circuit())
    green = [t for t in ax.texts if to_hex(t.get_color()) == drawing.GREEN]
    red = [t for t in ax.texts if to_hex(t.get_color()) == drawing.RED]
    assert len(green) == len(red) == 8
    for value, gradient in zip(green, red):
        assert value.get_position()[0] == gradient.get_position()[0]
        assert value.get_position()[1] > gradient.get_position()[1]
        assert (value.get_verticalalignment(), gradient.get_verticalalignment()) == ("bottom", "top")
    pairs = {(v.get_text(), g.get_text()) for v, g in zip(green, red)}
    assert {("3.00", "−8.00"), ("−4.00", "6.00"), ("−1.00", "0.00"), ("−20.00", "1.00")} <= pairs


def test_every_gate_has_a_circle_at_its_name_and_inputs_have_none():
    ax = draw(circuit())
    circles = {tuple(patch.center) for patch in ax.patches if isinstance(patch, Circle)}
    named = {t.get_text(): t.get_position() for t in ax.texts}
    assert circles == {named[name] for name in ("×", "max", "+", "×2")}
    assert not circles & {named[name] for name in "xyzw"}


def test_an_edge_leads_from_every_input_of_a_gate_to_it_and_one_out_of_the_output():
    ax = draw(circuit())
    named = {t.get_text(): t.get_position() for t in ax.texts}
    edges = {tuple(zip(*line.get_data())) for line in ax.lines}
    pairs = [("x", "×"), ("y", "×"), ("z", "max"), ("w", "max"), ("×", "+"), ("max", "+"), ("+", "×2")]
    out = named["×2"]
    assert edges == {(named[a], named[b]) for a, b in pairs} | {(out, (out[0] + 1, out[1]))}


def test_an_edge_leads_to_the_right():
    for seed in range(10):
        ax = draw(random_graph(seed))
        assert all(line.get_xdata()[0] < line.get_xdata()[1] for line in ax.lines)
        plt.close("all")


@pytest.mark.parametrize("seed", range(12))
def test_no_two_nodes_stand_at_one_place(seed):
    f = random_graph(seed)
    found = places(draw(f))
    assert len(found) == len(graph.ancestors(f))
    distances = [np.hypot(a[0] - b[0], a[1] - b[1]) for i, a in enumerate(found) for b in found[:i]]
    assert min(distances) > 2 * drawing.RADIUS + 0.3


def test_an_input_stands_right_before_the_first_gate_that_takes_it():
    early, late = Node(1, "early"), Node(2, "late")
    f = graph.tanh(graph.tanh(graph.tanh(early))) * late
    ax = draw(f)
    named = {t.get_text(): t.get_position()[0] for t in ax.texts}
    assert named["late"] == pytest.approx(named["×"] - 1.3)
    assert named["early"] == pytest.approx(named["×"] - 4 * 1.3)


def test_a_node_that_several_gates_take_is_told_once():
    x = Node(3, "x")
    f = x * x + x
    f.backward()
    ax = draw(f)
    assert sorted(texts(ax, drawing.GREEN)) == sorted(["3.00", "9.00", "12.00"])
    assert sorted(texts(ax, drawing.RED)) == sorted(["7.00", "1.00", "1.00"])
    assert texts(ax).count("x") == 1


def test_an_input_alone_can_be_drawn():
    x = Node(1.5, "x")
    x.backward()
    assert sorted(texts(draw(x))) == sorted(["x", "1.50", "1.00"])


def test_before_backward_gradients_are_zero():
    assert texts(draw(Node(1, "x") * Node(2, "y")), drawing.RED) == ["0.00"] * 3


@pytest.mark.parametrize(("digits", "told"), [(0, "−1"), (1, "−1.2"), (4, "−1.2346")])
def test_digits_are_those_behind_the_point(digits, told):
    assert texts(draw(Node(-1.23456, "x"), digits=digits), drawing.GREEN) == [told]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([1.0, -2.0, 3.0], "1.00, −2.00, 3.00"),
        ([[1.0], [2.0]], "1.00, 2.00"),
        ([1.0, 2.0, 3.0, 4.0], "4"),
        (np.zeros((2, 3)), "2×3"),
        (np.zeros((2, 3, 4)), "2×3×4"),
    ],
)
def test_a_small_array_is_told_by_its_numbers_and_a_larger_one_by_its_shape(value, told):
    ax = draw(Node(value, "X"))
    assert texts(ax, drawing.GREEN) == [told]


def test_given_axes_are_drawn_on_and_returned():
    figure, axes = plt.subplots(1, 2)
    assert draw(circuit(), axes[1]) is axes[1]
    assert not axes[0].texts
    assert len(axes[1].texts) == 8 + 8 + 8
    assert plt.get_fignums() == [figure.number]
    assert not axes[1].axison


def test_without_axes_a_figure_is_made_that_grows_with_the_graph():
    small, large = draw(Node(1) * Node(2)), draw(random_graph(0))
    assert small.figure is not large.figure
    assert (small.figure.get_size_inches() < large.figure.get_size_inches()).all()


def test_a_drawing_can_be_written(tmp_path):
    ax = draw(circuit())
    ax.figure.savefig(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").stat().st_size > 1000


def test_a_drawing_leaves_the_graph_as_it_is():
    f = circuit()
    before = [(node.value.tolist(), node.grad.tolist()) for node in graph.ancestors(f)]
    draw(f)
    assert [(node.value.tolist(), node.grad.tolist()) for node in graph.ancestors(f)] == before
