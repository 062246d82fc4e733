"""Chapter 1: back-propagation

Asks:    what does each gate of a computational graph do to a gradient, and what follows for weights, inputs and sizes?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 10 s (--quick 5 s) on two cores.
Claims:  1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9
"""

# %% [markdown]
# # Computational graphs and back-propagation (计算图与反向传播)
# A formula is a graph of small gates. Each gate knows one thing: how its output changes with each of its inputs. Values
# flow forward, gradients flow back, and the chain rule is a multiplication at every gate. An x that goes into several
# gates, whose outputs are q, collects from all of them:
#
# $$
# \frac{\partial f}{\partial x} = \sum_q \frac{\partial f}{\partial q} \cdot \frac{\partial q}{\partial x}
# $$

# %%
import math

import numpy as np

from gluonbook import chapter, data, scratch
from gluonbook._mxnet import autograd, nd
from gluonbook.plot import COLORS
from gluonbook.scratch import Node, graph

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_train=chapter.option(150, help="digits that the networks of the last section learn from"),
    num_epochs=chapter.option(200, quick=150, help="of those networks"),
    num_seeds=chapter.option(3, quick=1, help="each network is trained so often"),
)
rng = np.random.default_rng(opt.seed)

# %% [markdown]
# ## Three gates (加法门、取最大值门、乘法门)
# The notes' example: f = 2 (x·y + max(z, w)) with x = 3, y = −4, z = 2, w = −1. Above each edge stands the value, below
# it the gradient of f.

# %%
x, y, z, w = Node(3, "x"), Node(-4, "y"), Node(2, "z"), Node(-1, "w")
product, larger = x * y, graph.maximum(z, w)
total = product + larger
f = total * 2
f.backward()
scratch.draw(f, chapter.figure("gates", figsize=(7.4, 4.2)))

# %% [markdown]
# The add gate hands its gradient on to both inputs, 2.00 to each, and would do so whatever they were; the max gate
# routes all of it to the larger input; the multiply gate swaps its inputs: x gets y times 2, y gets x times 2. Of two
# inputs a and b the first has these local gradients:
#
# $$
# \frac{\partial (a + b)}{\partial a} = 1, \qquad
# \frac{\partial \max(a, b)}{\partial a} = 1 \text{ if } a \ge b, \text{ else } 0, \qquad
# \frac{\partial (a b)}{\partial a} = b
# $$

# %%
chapter.claim("1.1", product.grad == larger.grad == total.grad == 2)
for _ in range(20):
    a, b = Node(rng.normal()), Node(rng.normal())
    ((a + b) * 2).backward()
    chapter.claim("1.1", a.grad == b.grad == 2)
chapter.claim("1.2", z.grad == 2 and w.grad == 0)
chapter.claim("1.3", [float(node.grad) for node in (x, y, z, w)] == [-8, 6, 2, 0])

# %% [markdown]
# ## 1.4 Small inputs get large gradients (乘法门的不直观影响)
# In w·x the weight's gradient is the input. Inputs a thousand times larger make the weights' gradients a thousand times
# larger, and the loss a thousand times steeper: a learning rate that was right is now far too large. Below, a line is
# fitted by gradient descent; with inputs ×1000 the same rate diverges, and a rate 1000² times smaller takes the very
# same path (once for the gradient, once for the weight, which must become a thousand times smaller).

# %%
small, large = Node(0.001), Node(1000)
(small * large).backward()
chapter.claim("1.4", small.grad == 1000 and large.grad == 0.001)
inputs = rng.normal(size=50)
targets = 3 * inputs


def fit_line(inputs, lr, num_steps=100):
    """Return the losses of gradient descent on the mean of (w x − y)² / 2, and the first gradient."""
    weight, losses, first = 0.0, [], None
    for _ in range(num_steps):
        residuals = weight * inputs - targets
        losses.append(float((residuals**2).mean() / 2))
        gradient = (residuals * inputs).mean()
        first = gradient if first is None else first
        weight -= lr * gradient
        if losses[-1] > 1e12:
            break
    return losses, first


losses, gradient = fit_line(inputs, lr=0.3)
scaled_losses, scaled_gradient = fit_line(1000 * inputs, lr=0.3)
mended_losses, _ = fit_line(1000 * inputs, lr=0.3 / 1000**2)
print(f"first gradient {gradient:.3f}, with inputs x1000 {scaled_gradient:.1f}")
print(
    f"last loss {losses[-1]:.1e}; inputs x1000: {scaled_losses[-1]:.1e}; and the rate /1000²: {mended_losses[-1]:.1e}"
)
chapter.claim("1.4", math.isclose(scaled_gradient, 1000 * gradient))
chapter.claim("1.4", losses[-1] < 1e-6 * losses[0] and scaled_losses[-1] > losses[0])
chapter.claim("1.4", np.allclose(mended_losses, losses))

# %% [markdown]
# ## 1.5 and 1.6 A neuron, in pieces and as one gate (简化计算图)
# The notes' neuron has w = [2, −3, −3] and x = [−1, −2]; its sigmoid is four gates or one. The one gate has the local
# gradient f (1 − f), and the gradients are the same.

# %%
values = {"w0": 2, "x0": -1, "w1": -3, "x1": -2, "w2": -3}


def neuron(collapsed):
    """Return the dot product, the output, and the inputs by name, with gradients."""
    nodes = {name: Node(value, name) for name, value in values.items()}
    dot = nodes["w0"] * nodes["x0"] + nodes["w1"] * nodes["x1"] + nodes["w2"]
    output = graph.sigmoid(dot) if collapsed else 1 / (graph.exp(-dot) + 1)
    output.backward()
    return dot, output, nodes


dot, output, pieces = neuron(collapsed=False)
_, one_gate, collapsed = neuron(collapsed=True)
axes = chapter.figure("neuron", 2, 1, figsize=(9.4, 8.2))
scratch.draw(output, axes[0]).set_title("in pieces")
scratch.draw(one_gate, axes[1]).set_title("the sigmoid as one gate")
dx = [float(pieces[name].grad) for name in ("x0", "x1")]
dw = [float(pieces[name].grad) for name in ("w0", "w1", "w2")]
print(f"dot {float(dot.value)}, f {float(output.value):.3f}, dx {np.round(dx, 3)}, dw {np.round(dw, 3)}")
chapter.claim("1.5", dot.value == 1 and round(float(output.value), 3) == 0.731)
chapter.claim(
    "1.5", np.round(dx, 3).tolist() == [0.393, -0.590] and np.round(dw, 3).tolist() == [-0.197, -0.393, 0.197]
)
chapter.claim("1.6", all(math.isclose(pieces[name].grad, collapsed[name].grad, rel_tol=1e-12) for name in values))
f_value = float(one_gate.value)
chapter.claim("1.6", math.isclose(one_gate.parents[0].grad, f_value * (1 - f_value)))

# %% [markdown]
# ## 1.7 Matrices (矩阵的导数)
# For Y = XW each gradient has the shape of its variable, and there is only one way in which the shapes fit:
# dX = dY·Wᵀ, dW = Xᵀ·dY. The full Jacobian says the same, at a hundred times the size: its entry for Y's place (i, k)
# and W's place (j, l) is X[i, j] where k = l, and 0 elsewhere.

# %%
N, D, K = 4, 5, 3
X, W, dY = rng.normal(size=(N, D)), rng.normal(size=(D, K)), rng.normal(size=(N, K))
X_node, W_node = Node(X, "X"), Node(W, "W")
(X_node @ W_node).backward(dY)
chapter.claim("1.7", X_node.grad.shape == X.shape and W_node.grad.shape == W.shape)
chapter.claim("1.7", np.allclose(X_node.grad, dY @ W.T) and np.allclose(W_node.grad, X.T @ dY))
jacobian_W = np.einsum("ij,kl->ikjl", X, np.eye(K)).reshape(N * K, D * K)
jacobian_X = np.einsum("in,jk->iknj", np.eye(N), W).reshape(N * K, N * D)
chapter.claim("1.7", np.allclose(jacobian_W.T @ dY.ravel(), W_node.grad.ravel()))
chapter.claim("1.7", np.allclose(jacobian_X.T @ dY.ravel(), X_node.grad.ravel()))
print(f"the Jacobian of Y by W is {jacobian_W.shape}, dW is {W.shape}")

# %% [markdown]
# ## 1.8 The δ of a neuron (输出层与隐藏层的误差)
# The loss is quadratic, the neurons are sigmoids. An output neuron l is compared with its target t; an inner neuron j
# collects the δ of all neurons l downstream, each times the weight that leads there:
#
# $$
# \delta_l = (o_l - t_l) \, o_l (1 - o_l), \qquad \delta_j = \left( \sum_l \delta_l w_{jl} \right) o_j (1 - o_j)
# $$
#
# A weight's gradient is its input times the δ of the neuron that it feeds; the update subtracts the learning rate times
# that.

# %%
lr = 0.5
start = np.array([0.35, 0.9])
W1, W2 = np.array([[0.1, 0.4], [0.8, 0.6]]), np.array([[0.3, 0.5], [0.9, 0.2]])
target = np.array([0.5, 0.1])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


hidden = sigmoid(start @ W1)
outputs = sigmoid(hidden @ W2)
delta_out = (outputs - target) * outputs * (1 - outputs)
delta_hidden = np.array(
    [sum(delta_out[l] * W2[j, l] for l in range(2)) * hidden[j] * (1 - hidden[j]) for j in range(2)]
)
new_W2, new_W1 = W2 - lr * np.outer(hidden, delta_out), W1 - lr * np.outer(start, delta_hidden)
print(f"hidden {hidden.round(3)}, outputs {outputs.round(3)}, δ {delta_out.round(4)}, inner δ {delta_hidden.round(5)}")

params = [nd.array(matrix, dtype="float64") for matrix in (W1, W2)]
for param in params:
    param.attach_grad()
with autograd.record():
    o = nd.sigmoid(nd.dot(nd.sigmoid(nd.dot(nd.array([start], dtype="float64"), params[0])), params[1]))
    loss = ((o - nd.array([target], dtype="float64")) ** 2).sum() / 2
loss.backward()
for param, new in zip(params, (new_W1, new_W2)):
    chapter.claim("1.8", np.allclose((param - lr * param.grad).asnumpy(), new, rtol=1e-12, atol=0))
before, after = (((sigmoid(sigmoid(start @ a) @ b) - target) ** 2).sum() / 2 for a, b in ((W1, W2), (new_W1, new_W2)))
print(f"one update takes the loss from {before:.5f} to {after:.5f}")
chapter.claim("1.8", after < before)

# %% [markdown]
# ## 1.9 Large and held back, or small (大网络加正则化)
# The notes: do not take a small network for fear of overfitting; take a large one and regularise it. A few digits, a
# quarter of which have a wrong label, invite overfitting. Four hidden units cannot learn them by heart; 200 can; 200
# with weight decay could, but do not.

# %%
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
splits = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
few, valid = splits.train.subset(slice(opt.num_train)), splits.valid
X_few, X_valid, K = data.scaled(few.images), data.scaled(valid.images), len(few.classes)
wrong = rng.random(len(few.labels)) < 0.3
labels = np.where(wrong, rng.integers(K, size=len(few.labels)), few.labels)


def build(num_hiddens, seed):
    rng = np.random.default_rng(seed)
    sizes = [X_few[0].size, num_hiddens, K]
    layers = [scratch.Dense(scratch.weights(pair, "he", rng), np.zeros(pair[1])) for pair in zip(sizes, sizes[1:])]
    return scratch.Network([layers[0], scratch.ReLU(), layers[1]])


networks = {"4 units": (4, 0.0), "200 units": (200, 0.0), "200 units, weight decay": (200, 0.04)}
curves = {name: [] for name in networks}
for name, (num_hiddens, decay) in networks.items():
    for seed in range(opt.num_seeds):
        network = build(num_hiddens, seed)
        epochs = scratch.train(network, X_few, labels, opt.num_epochs, lr=0.1, weight_decay=decay, seed=seed)
        curves[name].append([network.accuracy(X_valid, valid.labels) for _ in epochs])
ax = chapter.figure("sizes", figsize=(6.4, 3.6))
for color, (name, runs) in zip(COLORS, curves.items()):
    ax.plot(range(1, opt.num_epochs + 1), np.mean(runs, axis=0), color=color, label=name)
ax.set(xlabel="epoch", ylabel="accuracy on the validation split")
ax.legend()
final = {name: float(np.mean(runs, axis=0)[-5:].mean()) for name, runs in curves.items()}
if not OWN:
    chapter.claim("1.9", final["200 units, weight decay"] > final["4 units"] + 0.1)
    chapter.claim("1.9", final["200 units, weight decay"] > final["200 units"] + 0.03)

# %%
chapter.report(neuron_output=float(output.value), dx=dx, dw=dw, accuracy=final)
