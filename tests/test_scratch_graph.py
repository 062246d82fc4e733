"""Claims 1.1 to 1.7: gates pass values forward and gradients back, by the chain rule, however they are put together."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scratch_helpers import numeric_of

from gluonbook._mxnet import autograd, nd
from gluonbook.scratch import Node, graph


def grads(*nodes):
    return [node.grad.tolist() for node in nodes]


def test_claims_1_1_to_1_3_the_circuit_of_the_notes():
    x, y, z, w = Node(3), Node(-4), Node(2), Node(-1)
    product, larger = x * y, graph.maximum(z, w)
    both = product + larger
    f = both * 2
    assert [float(node.value) for node in (product, larger, both, f)] == [-12, 2, -10, -20]
    f.backward()
    assert grads(f, both, product, larger) == [1, 2, 2, 2]
    assert grads(x, y, z, w) == [-8, 6, 2, 0]


def test_claim_1_5_the_neuron_of_the_notes():
    weights, inputs = [Node(value) for value in (2, -3, -3)], [Node(value) for value in (-1, -2)]
    dot = weights[0] * inputs[0] + weights[1] * inputs[1] + weights[2]
    f = graph.sigmoid(dot)
    f.backward()
    assert (float(dot.value), round(float(f.value), 3)) == (1, 0.731)
    assert np.round(grads(*weights), 3).tolist() == [-0.197, -0.393, 0.197]
    assert np.round(grads(*inputs), 3).tolist() == [0.393, -0.590]


def test_claim_1_6_the_sigmoid_gate_equals_its_pieces():
    for value in (-3.0, 0.0, 1.0, 4.5):
        x, same = Node(value), Node(value)
        whole, pieces = graph.sigmoid(x), 1 / (1 + graph.exp(-same))
        whole.backward(1.5)
        pieces.backward(1.5)
        assert float(pieces.value) == pytest.approx(float(whole.value), rel=1e-14)
        assert float(same.grad) == pytest.approx(float(x.grad), rel=1e-12)


def test_the_sigmoid_gate_does_not_overflow():
    x = Node([-1000.0, 1000.0])
    with np.errstate(all="raise"):
        f = graph.sigmoid(x)
        f.backward()
    assert f.value.tolist() == [0, 1]
    assert x.grad.tolist() == [0, 0]


def test_claim_1_7_the_matrix_gate_equals_the_full_jacobian_product():
    rng = np.random.default_rng(0)
    X, W, dY = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    a, b = Node(X), Node(W)
    (a @ b).backward(dY)
    assert (a.grad.shape, b.grad.shape) == (X.shape, W.shape)
    by_x, by_w = np.zeros((2, 4, 2, 3)), np.zeros((2, 4, 3, 4))
    for n in range(2):
        for k in range(4):
            by_x[n, k, n] = W[:, k]
            by_w[n, k, :, k] = X[n]
    np.testing.assert_allclose(a.grad, np.einsum("nk,nkij->ij", dY, by_x), atol=1e-14)
    np.testing.assert_allclose(b.grad, np.einsum("nk,nkij->ij", dY, by_w), atol=1e-14)


# By name: the gate on nodes, the same on NumPy arrays, the same on MXNet arrays.
ONE_INPUT = {
    "reciprocal": (graph.reciprocal, lambda x: 1 / x, lambda x: 1 / x),
    "exp": (graph.exp, np.exp, lambda x: nd.exp(x)),
    "log": (graph.log, np.log, lambda x: nd.log(x)),
    "sigmoid": (graph.sigmoid, lambda x: 1 / (1 + np.exp(-x)), lambda x: nd.sigmoid(x)),
    "tanh": (graph.tanh, np.tanh, lambda x: nd.tanh(x)),
    "relu": (graph.relu, lambda x: x * (x > 0), lambda x: nd.relu(x)),
    "total": (graph.total, np.sum, lambda x: nd.sum(x)),
    "negative": (lambda x: -x, np.negative, lambda x: -x),
    "plus a number": (lambda x: 2.5 + x, lambda x: 2.5 + x, lambda x: 2.5 + x),
    "minus a number": (lambda x: x - 2.5, lambda x: x - 2.5, lambda x: x - 2.5),
    "from a number": (lambda x: 2.5 - x, lambda x: 2.5 - x, lambda x: 2.5 - x),
    "times a number": (lambda x: x * -3, lambda x: x * -3, lambda x: x * -3),
    "by a number": (lambda x: x / 4, lambda x: x / 4, lambda x: x / 4),
    "one by it": (lambda x: 1 / x, lambda x: 1 / x, lambda x: 1 / x),
    "a number by it": (lambda x: 3 / x, lambda x: 3 / x, lambda x: 3 / x),
}
TWO_INPUTS = {
    "add": (lambda a, b: a + b, lambda a, b: a + b),
    "subtract": (lambda a, b: a - b, lambda a, b: a - b),
    "multiply": (lambda a, b: a * b, lambda a, b: a * b),
    "divide": (lambda a, b: a / b, lambda a, b: a / b),
    "maximum": (graph.maximum, lambda a, b: nd.maximum(a, b)),
    "matmul": (lambda a, b: a @ b, lambda a, b: nd.dot(a, b)),
}


def weighted(values, like):
    """A sum in which every entry counts differently: no two mixed up entries go unnoticed."""
    return (values * np.arange(1.0, np.size(like) + 1).reshape(np.shape(like))).sum()


@pytest.mark.parametrize("name", ONE_INPUT)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_a_gate_of_one_input_equals_numpy_numeric_gradients_and_mxnet(name, shape):
    gate, in_numpy, in_mxnet = ONE_INPUT[name]
    value = np.random.default_rng(1).uniform(0.3, 2, shape)
    if name not in ("log", "reciprocal"):
        value = value * np.where(np.arange(value.size).reshape(shape) % 2, -1, 1)
    x = Node(value)
    y = gate(x)
    np.testing.assert_allclose(y.value, in_numpy(value), rtol=1e-13)
    gradient = np.arange(1.0, y.value.size + 1).reshape(y.value.shape)
    y.backward(gradient)
    np.testing.assert_allclose(
        x.grad, numeric_of(lambda v: weighted(in_numpy(v), gradient), value), rtol=1e-7, atol=1e-9
    )
    theirs = nd.array(value.reshape(shape or (1,)), dtype="float64")
    theirs.attach_grad()
    with autograd.record():
        output = in_mxnet(theirs)
    output.backward(nd.array(np.broadcast_to(gradient, output.shape), dtype="float64"))
    np.testing.assert_allclose(x.grad.reshape(theirs.shape), theirs.grad.asnumpy(), rtol=1e-12)


@pytest.mark.parametrize("name", TWO_INPUTS)
def test_a_gate_of_two_inputs_equals_numeric_gradients_and_mxnet(name):
    gate, in_mxnet = TWO_INPUTS[name]
    rng = np.random.default_rng(2)
    values = [rng.normal(size=(3, 3)), rng.normal(size=(3, 3)) + 3]
    a, b = nodes = [Node(value) for value in values]
    y = gate(a, b)
    gradient = np.arange(1.0, 10).reshape(3, 3)
    y.backward(gradient)
    for i in (0, 1):

        def moved(v, i=i):
            return weighted(gate(*[Node(v if j == i else value) for j, value in enumerate(values)]).value, gradient)

        np.testing.assert_allclose(nodes[i].grad, numeric_of(moved, values[i]), rtol=1e-6, atol=1e-8)
    theirs = [nd.array(value, dtype="float64") for value in values]
    for array in theirs:
        array.attach_grad()
    with autograd.record():
        output = in_mxnet(*theirs)
    output.backward(nd.array(gradient, dtype="float64"))
    np.testing.assert_allclose(y.value, output.asnumpy(), rtol=1e-13)
    for node, array in zip(nodes, theirs):
        np.testing.assert_allclose(node.grad, array.grad.asnumpy(), rtol=1e-11)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((), (2, 3)),
        ((2, 3), (3,)),
        ((3,), (2, 3)),
        ((2, 1), (2, 3)),
        ((2, 1), (3,)),
        ((1, 1), (2, 3)),
        ((1, 3), (2, 1)),
    ],
)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum"])
def test_a_repeated_input_gets_the_sum_of_its_gradients(name, left, right):
    gate = TWO_INPUTS[name][0]
    rng = np.random.default_rng(3)
    values = [rng.normal(size=left), rng.normal(size=right) + 2.5]
    nodes = [Node(value) for value in values]
    y = gate(*nodes)
    assert y.value.shape == np.broadcast_shapes(left, right)
    gradient = np.arange(1.0, y.value.size + 1).reshape(y.value.shape)
    y.backward(gradient)
    for i in (0, 1):

        def moved(v, i=i):
            return weighted(gate(*[Node(v if j == i else value) for j, value in enumerate(values)]).value, gradient)

        assert nodes[i].grad.shape == values[i].shape
        np.testing.assert_allclose(nodes[i].grad, numeric_of(moved, values[i]), rtol=1e-6, atol=1e-7)


def test_a_node_used_several_times_gets_the_sum():
    x = Node(3)
    (x * x * x + x * 2 + x).backward()
    assert float(x.grad) == 3 * 9 + 2 + 1


def test_paths_that_part_and_meet_again_add_up():
    x = Node(0.7)
    a = graph.exp(x)
    b, c = graph.tanh(a), a * x
    f = b * c + graph.log(a)
    f.backward()

    def slow(v):
        e = np.exp(v)
        return np.tanh(e) * e * v + np.log(e)

    assert float(f.value) == pytest.approx(slow(0.7), rel=1e-14)
    assert float(x.grad) == pytest.approx((slow(0.7 + 1e-6) - slow(0.7 - 1e-6)) / 2e-6, rel=1e-8)


def test_a_gate_whose_both_inputs_are_one_node():
    x = Node([[1.0, 2.0], [3.0, 4.0]])
    (x @ x).backward(np.ones((2, 2)))
    a = x.value
    np.testing.assert_array_equal(x.grad, np.ones((2, 2)) @ a.T + a.T @ np.ones((2, 2)))
    y = Node(2.0)
    graph.maximum(y, y).backward()
    assert float(y.grad) == 1


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_graph_of_smooth_gates_has_the_gradients_of_mxnets_autograd(data):
    """Gates drawn at random over all nodes so far, the same in both; values and local gradients stay within 1."""
    values = data.draw(st.lists(st.floats(-1, 1), min_size=2, max_size=4))
    ours, theirs = [Node(v) for v in values], [nd.array([v], dtype="float64") for v in values]
    for array in theirs:
        array.attach_grad()
    kinds = data.draw(st.lists(st.sampled_from(["+", "*", "-", "tanh", "sigmoid"]), min_size=1, max_size=8))
    with autograd.record():
        for kind in kinds:
            i, j = (data.draw(st.integers(0, len(ours) - 1)) for _ in range(2))
            for nodes, tanh, sigmoid in ((ours, graph.tanh, graph.sigmoid), (theirs, nd.tanh, nd.sigmoid)):
                a, b = nodes[i], nodes[j]
                if kind in ("tanh", "sigmoid"):
                    nodes.append({"tanh": tanh, "sigmoid": sigmoid}[kind](a))
                else:
                    nodes.append({"+": a * 0.5 + b / 2, "*": a * b, "-": 0.5 * a - 0.5 * b}[kind])
    ours[-1].backward()
    theirs[-1].backward()
    assert float(ours[-1].value) == pytest.approx(theirs[-1].asscalar(), rel=1e-12, abs=1e-12)
    used = {id(node) for node in graph.ancestors(ours[-1])}
    for node, array in zip(ours[: len(values)], theirs):
        expected = array.grad.asscalar() if id(node) in used else 0  # MXNet leaves what it was for an unused one
        assert float(node.grad) == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_the_larger_input_gets_all_and_of_equals_the_first():
    a, b = Node([1.0, 5.0, 2.0]), Node([3.0, 4.0, 2.0])
    f = graph.maximum(a, b)
    f.backward([10, 20, 30])
    assert f.value.tolist() == [3, 5, 2]
    assert grads(a, b) == [[0, 20, 30], [10, 0, 0]]


def test_relu_passes_nothing_at_zero():
    x = Node([-1.0, 0.0, 2.0])
    f = graph.relu(x)
    f.backward([5, 6, 7])
    assert (f.value.tolist(), x.grad.tolist()) == ([0, 0, 2], [0, 0, 7])


def test_a_branch_that_leads_elsewhere_gets_no_gradient():
    x, y = Node(2), Node(3)
    elsewhere = x * y
    (x * 5).backward()
    assert grads(x, y, elsewhere) == [5, 0, 0]


def test_a_second_backward_starts_from_zero():
    x, y = Node(2), Node(3)
    f = x * y + x
    f.backward()
    f.backward()
    assert grads(x, y, f) == [4, 2, 1]
    f.backward(10)
    assert grads(x, y, f) == [40, 20, 10]


def test_backward_from_another_output_forgets_the_first_ones():
    x = Node(2)
    f, g = x * 3, x * 7
    f.backward()
    g.backward()
    assert float(x.grad) == 7


def test_backward_from_the_middle_leaves_what_comes_after():
    x = Node(2)
    middle = x * 3
    f = middle * 5
    f.backward()
    middle.backward()
    assert grads(x, middle, f) == [3, 1, 1]


def test_before_backward_every_gradient_is_zero_and_of_the_values_shape():
    x = Node([[1, 2, 3]])
    f = x * 2
    assert (x.grad.tolist(), f.grad.tolist()) == ([[0, 0, 0]], [[0, 0, 0]])
    assert (x.value.dtype, x.grad.dtype, f.value.dtype) == (np.float64,) * 3


def test_an_input_is_its_own_graph():
    x = Node(4)
    x.backward()
    assert float(x.grad) == 1
    assert graph.ancestors(x) == [x]


@pytest.mark.parametrize("number", [1.5, 2, np.float32(1.5), np.int64(2), np.array(1.5)])
def test_numbers_of_any_kind_stand_on_either_side(number):
    x, v = Node([1.0, 2.0]), np.array([1.0, 2.0])
    for f, g in [
        (x + number, v + number),
        (number + x, number + v),
        (x - number, v - number),
        (number - x, number - v),
    ]:
        np.testing.assert_array_equal(f.value, g)
    for f, g in [
        (x * number, v * number),
        (number * x, number * v),
        (x / number, v / number),
        (number / x, number / v),
    ]:
        np.testing.assert_allclose(f.value, g, rtol=1e-15)
    assert (x + number).parents == (x,)
    assert (number * x).parents == (x,)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8"])
def test_arrays_stand_on_either_side(dtype):
    array, v = np.array([[1, 2], [3, 4]], dtype), np.array([[2.0, 0.5], [4.0, 8.0]])
    x, whole = Node(v), array.astype(np.float64)
    pairs = [(x + array, v + whole), (array + x, whole + v), (x - array, v - whole), (array - x, whole - v)]
    pairs += [(x * array, v * whole), (array * x, whole * v), (x / array, v / whole), (array / x, whole / v)]
    pairs += [(x @ array, v @ whole), (array @ x, whole @ v)]
    for f, expected in pairs:
        assert isinstance(f, Node)
        np.testing.assert_allclose(f.value, expected, rtol=1e-15)
        f.backward()
        assert x.grad.shape == v.shape


def test_an_array_beside_an_operator_becomes_an_input_and_a_number_part_of_the_gate():
    x = Node([1.0, 2.0])
    f = x * np.array([3.0, 4.0])
    assert (len(f.parents), f.gate) == (2, "×")
    assert f.parents[1].gate == "input"
    assert ((x * 3).gate, (x + 3).gate, (x - 3).gate, (-x).gate) == ("×3", "+3", "−3", "×−1")


@pytest.mark.parametrize(
    ("gate", "name"),
    [
        (lambda x: x + x, "+"),
        (lambda x: x * x, "×"),
        (lambda x: graph.maximum(x, x), "max"),
        (graph.reciprocal, "1/x"),
        (lambda x: 1 / x, "1/x"),
        (graph.exp, "exp"),
        (graph.log, "log"),
        (graph.sigmoid, "σ"),
        (graph.tanh, "tanh"),
        (graph.relu, "ReLU"),
        (graph.total, "Σ"),
        (lambda x: x @ x, "·"),
    ],
)
def test_gates_have_names(gate, name):
    node = gate(Node([[2.0]]))
    assert node.gate == name
    assert repr(node) == f"Node({node.value.tolist()}, {name!r})"


def test_a_node_says_what_it_is():
    assert repr(Node(3, "x")) == "Node(3.0, 'x')"
    assert repr(Node([1, 2])) == "Node([1.0, 2.0], 'input')"


def test_gates_take_plain_numbers_and_arrays():
    assert float(graph.add(1, 2).value) == 3
    assert float(graph.multiply(3, 2).value) == 6
    assert graph.exp([0, 0]).value.tolist() == [1, 1]
    assert graph.maximum([1, 5], 3).value.tolist() == [3, 5]


def test_a_graph_of_10_000_gates_needs_no_deeper_stack():
    x = node = Node(1)
    for i in range(10_000):
        node = node * -1 if i % 2 else node + 1
    assert 2 * sys.getrecursionlimit() < 10_000
    node.backward()
    assert abs(float(x.grad)) == 1
    assert len(graph.ancestors(node)) == 10_001


def test_a_graph_with_2_to_the_60_paths_is_walked_once():
    x = node = Node(1)
    for _ in range(60):
        node = node + node
    node.backward()
    assert float(x.grad) == 2.0**60
    assert len(graph.ancestors(node)) == 61


def test_ancestors_come_before_what_they_go_into_and_once():
    x, y = Node(1, "x"), Node(2, "y")
    a = x * y
    f = (a + x) * a
    order = graph.ancestors(f)
    assert len(order) == len({id(node) for node in order}) == 5
    place = {id(node): i for i, node in enumerate(order)}
    assert all(place[id(parent)] < place[id(node)] for node in order for parent in node.parents)
    assert order[-1] is f
    assert order[:2] == [x, y]


@pytest.mark.parametrize("gradient", [[1.0, 2.0, 3.0], [[1.0, 2.0]], [1.0]])
def test_a_gradient_of_another_shape_is_refused(gradient):
    with pytest.raises(ValueError, match=r"^gradient must have the value's shape \(2,\), got \(.+\)$"):
        (Node([1.0, 2.0]) * 2).backward(gradient)


@pytest.mark.parametrize(
    ("a", "b", "shapes"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), r"\(2, 3\) and \(2, 3\)"),
        (np.zeros(3), np.zeros((3, 2)), r"\(3,\) and \(3, 2\)"),
        (np.zeros((2, 3)), np.zeros(3), r"\(2, 3\) and \(3,\)"),
        (np.zeros((2, 3)), 2.0, r"\(2, 3\) and \(\)"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(a, b, shapes):
    with pytest.raises(ValueError, match=rf"^a and b must be matrices \(n, d\) and \(d, k\), got {shapes}$"):
        Node(a) @ b


def test_the_given_gradient_is_not_kept():
    gradient = np.ones(2)
    x = Node([1.0, 2.0])
    f = x * 3
    f.backward(gradient)
    gradient[:] = 7
    assert f.grad.tolist() == [1, 1]
    f.grad[:] = 9
    assert x.grad.tolist() == [3, 3]
