"""Chapter 9: cross-entropy and softmax

Asks:    why does cross-entropy learn faster than the quadratic cost, and does it take probabilities or logits?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 9 s (--quick 4 s) on two cores.
Claims:  9.1 9.2 9.3
"""

# %% [markdown]
# # Cross-entropy and softmax (交叉熵与 softmax)
# A neuron that is badly wrong should learn fast. Whether it does depends on the cost: the quadratic one is multiplied
# by the sigmoid's slope, which is nearly 0 where the neuron is sure, and cross-entropy is not.

# %%
import math

import numpy as np

from gluonbook import chapter, data, scratch
from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.plot import COLORS, MUTED
from gluonbook.scratch import Dense, Network, Sigmoid

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_epochs=chapter.option(20, quick=6, help="of each training on pictures"),
)
rng = np.random.default_rng(opt.seed)
COSTS = {"quadratic": scratch.quadratic, "cross-entropy": scratch.sigmoid_cross_entropy}


def build(cost, *layers):
    """Return a network for a cost: the quadratic one takes what comes out of a sigmoid, cross-entropy what goes in."""
    return Network([*layers, Sigmoid()] if cost == "quadratic" else layers)


def sigmoid(z):
    return Sigmoid().forward(np.asarray(z, np.float64))


def with_slope(function, x):
    """Return a function's values, and the gradient of their sum by MXNet's autograd."""
    x = nd.array(x, dtype=x.dtype)
    x.attach_grad()
    with autograd.record():
        out = function(x)
    out.backward()
    return out.asnumpy(), x.grad.asnumpy()


# %% [markdown]
# ## 9.1 One neuron (错误大，学得快)
# One neuron, its input 1, its target 0, with two starts: an output that is wrong, and one that is badly wrong. With the
# quadratic cost the worse start hardly moves for a long time. With cross-entropy its weights move faster at first.

# %%
STARTS = {"wrong": 0.6, "badly wrong": 2.0}  # w and b
outputs, moved = {}, {}
for cost, loss in COSTS.items():
    for start, value in STARTS.items():
        neuron = build(cost, Dense([[value]], [value]))
        dense = neuron.layers[0]
        steps = scratch.train(neuron, np.ones((1, 1)), np.zeros((1, 1)), num_epochs=300, lr=0.15, loss=loss)
        outputs[cost, start] = [sigmoid(2 * value).item()] + [
            sigmoid(dense.params["W"] + dense.params["b"]).item() for _ in steps
        ]
        a = outputs[cost, start][10]
        moved[cost, start] = (value - math.log(a / (1 - a)) / 2) / 10  # w = b = z / 2 all the while
needed = {key: int(np.argmax(np.array(line) < 0.5)) for key, line in outputs.items()}
for key, fall in moved.items():
    print(f"{', '.join(key)}: w falls by {fall:.4f} a step at first; right after {needed[key]} steps")
chapter.claim("9.1", moved["quadratic", "badly wrong"] < moved["quadratic", "wrong"] / 5)
chapter.claim("9.1", moved["cross-entropy", "badly wrong"] > moved["cross-entropy", "wrong"] * 1.2)
chapter.claim("9.1", 0 < 5 * needed["cross-entropy", "badly wrong"] < needed["quadratic", "badly wrong"])
axes = chapter.figure("neuron", 1, 2, figsize=(9, 3.2), sharey=True)
for ax, cost in zip(axes, COSTS):
    for color, start in zip(COLORS, STARTS):
        ax.plot(outputs[cost, start], color=color, label=f"{start}: w = b = {STARTS[start]}")
    ax.set(title=f"{cost} cost", xlabel="step", ylim=(0, 1))
axes[0].set_ylabel("output a; it should be 0")
axes[1].legend()

# %% [markdown]
# ## Why (为什么交叉熵学得快)
# Of an output a = σ(z) and its target y, the quadratic cost and cross-entropy are
#
# $$
# C = \frac{(a - y)^2}{2}, \qquad C = -y \log a - (1 - y) \log(1 - a)
# $$
#
# The derivative with respect to z, the neuron's weighted input, is (a − y)·σ′(z) for the quadratic cost, where
# σ′(z) = a(1 − a), and a − y for cross-entropy. For y = 0 the first peaks at a = 2/3 and falls to 0 at a = 1, where the
# answer is most wrong; the second keeps growing with the error.

# %%
z = np.linspace(-8, 8, 401)[:, None]  # (N, 1)
a, target = sigmoid(z), np.zeros_like(z)
slope = {}
for cost, loss in COSTS.items():
    network = build(cost, Dense([[1.0]], [0.0]))
    slope[cost] = network.backward(loss(network.forward(z), target)[1]) * len(z)  # of each example, not of the mean
chapter.claim("9.1", np.allclose(slope["quadratic"], a * a * (1 - a), rtol=1e-9))
chapter.claim("9.1", np.allclose(slope["cross-entropy"], a, rtol=1e-9))
steepest = float(a[slope["quadratic"].argmax(), 0])
ax = chapter.figure("slope", figsize=(5.6, 3.4))
for color, (cost, line) in zip(COLORS, slope.items()):
    ax.plot(a, np.abs(line), color=color, label=f"{cost} cost")
for start, value in STARTS.items():
    ax.axvline(sigmoid(2 * value), color=MUTED, linewidth=0.8, linestyle=":")
    ax.text(sigmoid(2 * value) - 0.01, 0.6, start, color=MUTED, rotation=90, ha="right", va="top")
ax.set(xlabel="output a; it should be 0", ylabel="|∂C/∂z|", ylim=(0, 1))
ax.legend(loc="upper left")

# %% [markdown]
# ## On pictures (权重一开始就很大)
# Sigmoids throughout, and weights that begin large: many of the ten outputs begin sure and wrong. So that neither cost
# is judged by a learning rate that suits the other, each is trained with several, and its best one counts.

# %%
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
splits = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
learnt, valid = splits.train.subset(slice(1000)), splits.valid
X, X_valid = data.scaled(learnt.images), data.scaled(valid.images)
D, K = X[0].size, len(learnt.classes)
one_hot = np.eye(K)[learnt.labels]
W1, W2 = rng.normal(size=(D, 30)), rng.normal(size=(30, K)) * 3
RATES = (0.3, 1.0, 3.0, 10.0)
curves = {}
for cost, loss in COSTS.items():
    for lr in RATES:
        network = build(cost, Dense(W1, np.zeros(30)), Sigmoid(), Dense(W2, np.zeros(K)))
        epochs = scratch.train(network, X, one_hot, opt.num_epochs, lr, 20, seed=opt.seed, loss=loss)
        scores = [network.accuracy(X_valid, valid.labels)]
        scores += [network.accuracy(X_valid, valid.labels) for _ in epochs]
        curves[cost, lr] = scores
early = {cost: max(line[3] for (name, _), line in curves.items() if name == cost) for cost in COSTS}
best = {cost: max((line[-1], lr) for (name, lr), line in curves.items() if name == cost)[1] for cost in COSTS}
print("accuracy after 3 epochs, best rate:", {cost: round(value, 3) for cost, value in early.items()})
margin = 0.05 if opt.data == "digits" else 0.0
if not OWN:
    chapter.claim("9.1", early["cross-entropy"] > early["quadratic"] + margin)
axes = chapter.figure("digits", 1, 2, figsize=(9, 3.2), sharey=True)
for ax, cost in zip(axes, COSTS):
    for color, lr in zip(COLORS, RATES):
        ax.plot(curves[cost, lr], color=color, label=f"learning rate {lr:g}")
    ax.set(title=f"{cost} cost", xlabel="epoch", ylim=(0, 1))
    ax.locator_params(axis="x", integer=True)
axes[0].set_ylabel("accuracy on the validation split")
axes[0].legend(loc="upper left")

# %% [markdown]
# ## 9.2 The gradients (对 w 与偏置的偏导)
# With a sigmoid no σ′ is left. The gradients of the mean over N examples are
#
# $$
# \frac{\partial C}{\partial w} = \frac{1}{N} \sum_x x (\sigma(z) - y), \qquad
# \frac{\partial C}{\partial b} = \frac{1}{N} \sum_x (\sigma(z) - y)
# $$
#
# With softmax and the log-likelihood it is p − y in the same place. A bias is the weight of an input that is always 1,
# so one formula holds for both. Each gradient is computed four ways: by it, by the layers' way back, by differences,
# and by autograd.

# %%
X = np.hstack([rng.normal(size=(6, 3)), np.ones((6, 1))])  # (N, D + 1)
V = rng.normal(size=(4, 4))  # W, and b as its last row
labels = rng.integers(0, 4, 6)
truth = {"sigmoid": (rng.random((6, 4)) < 0.5).astype(float), "softmax": labels}
y = {"sigmoid": truth["sigmoid"], "softmax": np.eye(4)[labels]}
by_sigmoid, by_softmax = gluon.loss.SigmoidBCELoss(), gluon.loss.SoftmaxCrossEntropyLoss()
gluons = {"sigmoid": lambda z, y: 4 * by_sigmoid(z, y), "softmax": by_softmax}  # the former is the outputs' mean
apart = {}


def compare(kind, activation, loss):
    dense = Dense(V[:3], V[3])
    logits = dense.forward(X[:, :3])
    dense.backward(loss(logits, truth[kind])[1])
    formula = X.T @ (activation(logits) - y[kind]) / len(X)
    inputs, targets = (nd.array(values, dtype="float64") for values in (X, truth[kind]))
    ways = {
        "layers": np.vstack([dense.grads["W"], dense.grads["b"]]),
        "differences": scratch.numeric_gradient(lambda V: loss(X @ V, truth[kind])[0], V),
        "autograd": with_slope(lambda V: gluons[kind](nd.dot(inputs, V), targets).mean(), V)[1],
    }
    apart.update({f"{kind}, {way}": float(np.abs(formula - found).max()) for way, found in ways.items()})


compare("sigmoid", sigmoid, scratch.sigmoid_cross_entropy)
compare("softmax", scratch.softmax, scratch.softmax_cross_entropy)
print({name: f"{value:.0e}" for name, value in apart.items()})
chapter.claim("9.2", all(value < (1e-8 if "differences" in name else 1e-12) for name, value in apart.items()))

# %% [markdown]
# ## 9.3 Softmax of large logits (softmax 的数值稳定)
# Softmax's rows sum to 1. e¹⁰⁰⁰ is beyond float64; subtracting m, a row's largest logit, first changes no probability,
# and nothing overflows any more:
#
# $$
# p_k = \frac{e^{z_k}}{\sum_j e^{z_j}} = \frac{e^{z_k - m}}{\sum_j e^{z_j - m}}, \qquad m = \max_j z_j
# $$

# %%
logits = np.array([[1000.0, 999.0, -1000.0], [-1000.0, -1000.0, -1000.0], [1.0, 2.0, 3.0]])
with np.errstate(over="ignore", invalid="ignore"):
    powers = np.exp(logits)
    naive = powers / powers.sum(axis=1, keepdims=True)
p = scratch.softmax(logits)
print("e^z / Σ e^z as written:", naive[:2].tolist())
print("the largest subtracted:", p[:2].round(4).tolist())
chapter.claim("9.3", np.allclose(p.sum(axis=1), 1, rtol=1e-14, atol=0))
chapter.claim("9.3", np.allclose(p[2], naive[2], rtol=1e-14, atol=0))
chapter.claim("9.3", np.isnan(naive[:2]).any(axis=1).all() and np.isfinite(p).all())

# %% [markdown]
# ## Probabilities or logits (交叉熵接收概率)
# As a formula, cross-entropy takes probabilities, what comes after the sigmoid or the softmax. As a program it should
# take logits: the number is the same wherever both can be computed, but a probability that rounds to 0 has no
# logarithm. Gluon's `SoftmaxCrossEntropyLoss` takes logits, and with `from_logits=True`, in spite of the name,
# log-probabilities. `SigmoidBCELoss(from_sigmoid=True)` takes probabilities and adds 1e-12 to them, which bounds the
# loss.

# %%
logits, labels = rng.normal(size=(6, 10)) * 3, rng.integers(0, 10, 6)
p = scratch.softmax(logits)
z64, p64, y64 = (nd.array(values, dtype="float64") for values in (logits, p, labels))
ways = {
    "probabilities": float(-np.log(p[np.arange(6), labels]).mean()),
    "logits": scratch.softmax_cross_entropy(logits, labels)[0],
    "Gluon, logits": by_softmax(z64, y64).mean().asscalar(),
    "Gluon, log-probabilities": gluon.loss.SoftmaxCrossEntropyLoss(from_logits=True)(p64.log(), y64).mean().asscalar(),
}
print({name: round(float(value), 6) for name, value in ways.items()})
chapter.claim("9.3", np.ptp(list(ways.values())) < 1e-12)

# %% [markdown]
# Probabilities where logits are expected go through softmax twice. Nothing complains, and even a perfect answer keeps a
# loss far above 0.

# %%
perfect = np.eye(10)[labels]
twice = float(by_softmax(nd.array(perfect, dtype="float64"), y64).mean().asscalar())
print(f"perfect probabilities, taken as logits: {twice:.4f}")
chapter.claim("9.3", abs(twice - math.log(1 + 9 / math.e)) < 1e-12)

# %% [markdown]
# Below, the target is 1 and z goes far to the wrong side, in float32 as Gluon computes. From the logit the loss grows
# with −z and its slope is −1: the neuron finds back. From the probability the loss becomes infinite where σ(z) rounds
# to 0, and its slope is no number. With 1e-12 added the loss is finite but flat: a neuron that is wrong enough learns
# nothing, as with the quadratic cost.

# %%
z = np.linspace(-120, 5, 250, dtype=np.float32)
FROM = {
    "logit": lambda z: by_sigmoid(z, nd.ones_like(z)),
    "probability": lambda z: -nd.log(nd.sigmoid(z)),
    "probability + 1e-12": lambda z: gluon.loss.SigmoidBCELoss(from_sigmoid=True)(nd.sigmoid(z), nd.ones_like(z)),
}
losses, slopes = {}, {}
for name, each in FROM.items():
    losses[name], slopes[name] = with_slope(each, z)
    print(f"z = {z[0]:.0f}, from the {name}: loss {losses[name][0]:.1f}, slope {slopes[name][0]:.1e}")
near = np.abs(z) < 10
chapter.claim("9.3", all(np.allclose(losses[name][near], losses["logit"][near], rtol=1e-3) for name in FROM))
chapter.claim("9.3", losses["logit"][0] == 120 and slopes["logit"][0] == -1)
chapter.claim("9.3", np.isinf(losses["probability"][0]) and np.isnan(slopes["probability"][0]))
chapter.claim("9.3", losses["probability + 1e-12"].max() < 28 and abs(slopes["probability + 1e-12"][0]) < 1e-6)
axes = chapter.figure("from_probabilities", 1, 2, figsize=(9, 3.2))
for ax, lines in zip(axes, (losses, slopes)):
    for color, width, (name, line) in zip(COLORS, (5, 2, 2), lines.items()):
        shown = np.isfinite(line)
        ax.plot(z[shown], line[shown], color=color, linewidth=width, label=f"from the {name}")
    ax.set_xlabel("z; the target is 1")
edge = z[np.isfinite(losses["probability"])][0]
axes[0].plot(edge, -edge, "o", color=COLORS[1])
axes[0].text(edge + 4, -edge + 2, "further left it is infinite", color=COLORS[1])
axes[0].set(ylabel="loss", ylim=(0, 122))
axes[1].set(ylabel="slope, ∂C/∂z")
axes[1].legend(loc="center left")

# %% [markdown]
# One place is left out of the figure: at z = 0 exactly, where σ(z) − y is ±1/2, Gluon's loss of logits has the gradient
# −y. It is put together of max(z, 0) and |z|, and each of them has the slope 0 there. An output layer that begins with
# zeros learns in its first step from the targets that are 1 alone.

# %%
targets = nd.array([0, 1])
gluons_slopes = with_slope(lambda z: by_sigmoid(z, targets), np.zeros(2, np.float32))[1].tolist()
ours = 2 * scratch.sigmoid_cross_entropy(np.zeros((2, 1)), [[0], [1]])[1]
print(f"slopes at z = 0 for the targets 0 and 1: {ours[:, 0].tolist()}, Gluon's {gluons_slopes}")
chapter.claim("9.2", ours[:, 0].tolist() == [0.5, -0.5])

# %%
chapter.report(
    steps_until_right={f"{cost}, {start}": steps for (cost, start), steps in needed.items()},
    steepest_output_of_the_quadratic_cost=steepest,
    accuracy_after_3_epochs=early,
    best_rates=best,
    gradients_apart=apart,
    loss_of_perfect_probabilities_taken_as_logits=twice,
    gluons_slopes_at_zero=gluons_slopes,
    highest_loss_from_probabilities=float(losses["probability + 1e-12"].max()),
)
