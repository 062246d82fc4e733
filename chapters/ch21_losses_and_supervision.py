"""Chapter 21: losses and supervision

Asks:    why does stochastic gradient descent do, and which losses can be used where there are no labels?
Needs:   no data, no GPU.  Time: 5 s (--quick 5 s) on two cores.
Claims:  21.1 21.2
"""

# %% [markdown]
# # SGD, hinge and cross-entropy (SGD、hinge 与 cross-entropy)
# Two questions from the end of the notes: why batches are enough, and what "bounded" has to do with labels.

# %%
import math
import time

import numpy as np

from gluonbook import chapter, scratch
from gluonbook.plot import COLORS, INK, MUTED
from gluonbook.scratch import Dense, Network, hinge, sigmoid_cross_entropy

opt = chapter.options(
    num_examples=chapter.option(40000, help="of the logistic regression"),
    num_sets=chapter.option(10, quick=5, help="small semi-supervised sets, each drawn anew"),
)
rng = np.random.default_rng(opt.seed)

# %% [markdown]
# ## 21.1 Detours that are cheap (随机梯度下降)
# A logistic regression with two weights, so that the path can be drawn. Gradient descent takes all examples for each
# step, stochastic gradient descent a batch of 100. A batch's gradient is right on average only: the rate must be
# smaller (here a third), the path wanders, and it takes more steps. But each costs a small part of the work. At the end
# it does not come to rest: the noise of the batches keeps it moving about the minimum, unless the rate is lowered.

# %%
N, batch_size = opt.num_examples, 100
X = rng.normal(size=(N, 2)) @ np.array([[1.5, 0.9], [0.0, 0.8]])  # (N, 2), correlated: a long valley
y = (rng.random((N, 1)) < 1 / (1 + np.exp(-X @ [[2.0], [-1.5]]))).astype(float)  # (N, 1), 0 or 1
smoothness = 0.25 * np.linalg.eigvalsh(X.T @ X / N)[-1]  # the largest curvature of the loss


def step(w, rows, lr):
    """Return the weights (2, 1) after a step on the examples that rows names."""
    _, gradient = sigmoid_cross_entropy(X[rows] @ w, y[rows])
    return w - lr * X[rows].T @ gradient


def loss_at(w):
    return sigmoid_cross_entropy(X @ w, y)[0]


everything, num_batches = slice(None), N // batch_size
batches = np.split(rng.permutation(N)[: num_batches * batch_size], num_batches)
start = np.array([[-2.0], [2.0]])
full, stochastic = [start], [start]
for _ in range(150):
    full.append(step(full[-1], everything, 1 / smoothness))
for rows in batches:
    stochastic.append(step(stochastic[-1], rows, 1 / smoothness / 3))
least = loss_at(full[-1])
losses = {"gradient descent": [loss_at(w) for w in full], "SGD": [loss_at(w) for w in stochastic]}
target = least + 0.01
steps = {name: int(np.argmax(np.array(values) <= target)) for name, values in losses.items()}
examples = {"gradient descent": steps["gradient descent"] * N, "SGD": steps["SGD"] * batch_size}
print(f"least loss {least:.4f}; steps to {target:.4f}: {steps}, examples: {examples}")
chapter.claim("21.1", min(values[-1] for values in losses.values()) <= target and min(steps.values()) > 0)
chapter.claim("21.1", steps["SGD"] > 1.5 * steps["gradient descent"])
chapter.claim("21.1", examples["SGD"] < examples["gradient descent"] / 20)


# %%
def seconds(num_steps, rows_of_step, lr):
    """Return the least time of five runs; no losses are computed but the steps' own."""
    taken = []
    for _ in range(5):
        w, begin = start, time.perf_counter()
        for i in range(num_steps):
            w = step(w, rows_of_step(i), lr)
        taken.append(time.perf_counter() - begin)
    return min(taken)


times = {
    "gradient descent": seconds(steps["gradient descent"], lambda i: everything, 1 / smoothness),
    "SGD": seconds(steps["SGD"], lambda i: batches[i], 1 / smoothness / 3),
}
print("milliseconds:", {name: round(1000 * value, 2) for name, value in times.items()})
chapter.claim("21.1", times["SGD"] < times["gradient descent"])


def detour(path):
    """Return the length of a path over the distance of its ends."""
    path = np.array(path)[..., 0]
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum() / np.linalg.norm(path[-1] - path[0]))


paths = {"gradient descent": full, "SGD": stochastic}
detours = {name: detour(path) for name, path in paths.items()}
print("length of the path over its ends' distance:", {name: round(value, 2) for name, value in detours.items()})
chapter.claim("21.1", detours["SGD"] > 1.2 * detours["gradient descent"])
axes = chapter.figure("paths", 1, 2, figsize=(9.6, 3.8))
first, second = np.linspace(-2.6, 3.2, 32), np.linspace(-2.6, 2.6, 32)
heights = [[loss_at(np.array([[a], [b]])) for a in first] for b in second]
axes[0].contour(first, second, heights, levels=least + np.geomspace(0.01, 4, 10), colors=MUTED, linewidths=0.6)
for color, size, (name, path) in zip(COLORS, (2.5, 1.5), paths.items()):
    axes[0].plot(*np.array(path)[..., 0].T, "o-", color=color, markersize=size, linewidth=1, zorder=2 + size / 8)
    seen = np.arange(len(path)) * (N if name == "gradient descent" else batch_size)
    axes[1].plot(seen[1:], np.array(losses[name][1:]) - least + 1e-6, color=color, label=name)
axes[0].plot(*full[-1].ravel(), "*", color=INK, markersize=10, zorder=3)
axes[0].set(title="the same contours, one start", xlabel="first weight", ylabel="second weight")
axes[1].axhline(target - least, color=MUTED, linewidth=0.8)
axes[1].set(xscale="log", yscale="log", ylim=(1e-5, 10), xlabel="examples computed", title="loss above the least")
axes[1].legend(fontsize="small")

# %% [markdown]
# ## 21.2 Bounded, unbounded (有界与无界)
# The notes say that hinge is unbounded and for labels, and that the loss of the semi-supervised SVM must not go to
# infinity. Of one example with the output f and a label y, −1 or 1, hinge and cross-entropy are
#
# $$
# \max(0, 1 - y f), \qquad \log \left( 1 + e^{-y f} \right)
# $$
#
# In being unbounded they do not differ: both grow as fast as the margin y·f falls below zero. They differ at the other
# end. Hinge is exactly 0 past its margin, cross-entropy never: it goes on pushing what is right already, ever more
# weakly.
#
# Without a label one takes what the better answer would cost. Of hinge that is the hat of the transductive SVM
# (Joachims 1999); of cross-entropy the entropy of the network's own answer p takes that place (Grandvalet & Bengio
# 2005):
#
# $$
# \max(0, 1 - \left| f \right|), \qquad -p \log p - (1 - p) \log(1 - p) \quad \text{with } p = \sigma(f)
# $$
#
# These are bounded, by 1 and by log 2, and only those: so no unlabelled example, however wrong the guess, can drive the
# loss to infinity.


# %%
def hat(f):
    """Return the mean of max(0, 1 − |f|) over (N, 1) outputs, and its gradient."""
    return hinge(f, np.where(f >= 0, 1, -1))  # the better sign of the two


def entropy(z):
    """Return the mean entropy of σ(z) over (N, 1) logits, in nats, and its gradient, −z·σ(z)·(1 − σ(z)) / N."""
    p = 0.5 * np.tanh(0.5 * z) + 0.5
    return sigmoid_cross_entropy(z, p)[0], -z * p * (1 - p) / len(z)


def values(loss, margins):
    return np.array([loss(np.array([[m]]))[0] for m in margins])


def hinge_of_1(f):
    return hinge(f, np.ones_like(f))


def cross_entropy_of_1(z):
    return sigmoid_cross_entropy(z, np.ones_like(z))


margins = np.linspace(-6, 6, 241)
labelled = {"hinge": values(hinge_of_1, margins), "cross-entropy": values(cross_entropy_of_1, margins)}
unlabelled = {"hat, the better of both hinges": values(hat, margins), "entropy": values(entropy, margins)}
far = [values(loss, [-1e3, -1e6]) for loss in (hinge_of_1, cross_entropy_of_1)]
beyond = [values(loss, [1.0, 2.0, 30.0]) for loss in (hinge_of_1, cross_entropy_of_1)]
print("margins −1e3 and −1e6:", *far, "\nmargins 1, 2 and 30:", *beyond)
both_unbounded = np.allclose(far[0], [1e3 + 1, 1e6 + 1]) and np.allclose(far[1], [1e3, 1e6])
zero_past_margin = (beyond[0] == 0).all() and (beyond[1] > 0).all()
better = np.minimum(labelled["hinge"], labelled["hinge"][::-1])  # the other label turns the margin round
hats, entropies = unlabelled.values()
both_bounded = math.isclose(hats.max(), 1) and math.isclose(entropies.max(), math.log(2))
vanish = all(values(loss, [-1e6, 1e6]).max() < 1e-9 for loss in (hat, entropy))
chapter.claim("21.2", np.allclose(hats, better) and np.allclose(hats, np.maximum(0, 1 - np.abs(margins))))
for loss in (hat, entropy):
    z = rng.normal(size=(6, 1)) * 2
    chapter.claim("21.2", scratch.check_gradient(lambda z, loss=loss: loss(z)[0], z, loss(z)[1]).error < 1e-5)
chapter.erratum(
    "21.2",
    both_unbounded and zero_past_margin and both_bounded and vanish,
    notes="Hinge loss is unbounded and so for supervised learning; the SVM's hinge loss and cross-entropy are for "
    "semi-supervised learning, where there is no label and the loss must not go to infinity.",
    truth="With a label both are unbounded; hinge is exactly 0 past its margin, cross-entropy never is. Without one "
    "the better answer counts, max(0, 1 − abs(f)) (at most 1), or the entropy (at most log 2): these are bounded.",
)
axes = chapter.figure("losses", 1, 2, figsize=(9, 3.4), sharey=True)
for ax, curves in zip(axes, (labelled, unlabelled)):
    for color, (name, curve) in zip(COLORS, curves.items()):
        ax.plot(margins, curve, color=color, label=name)
    ax.legend(fontsize="small")
axes[0].set(title="with a label", xlabel="margin: output times the true sign", ylabel="loss", ylim=(0, 6))
axes[1].set(title="without", xlabel="output")

# %% [markdown]
# ## What unlabelled points are good for (半监督学习)
# Two clouds, two labels in each, and hundreds of points without. From the labels alone the boundary is a guess.
# The unlabelled term is smallest where no points lie within the margin: it turns the boundary into the gap between the
# clouds. It begins from what the labels taught, since the term has many minima and knows nothing of the classes' names;
# from a bad guess it may settle in the wrong one, so not every set gains.


# %%
def two_clouds(rng, num, num_labels=2):
    """Return points (num, 2), their signs (num, 1), and the rows of a few of each class, whose signs may be used."""
    signs = np.where(np.arange(num) % 2 == 0, 1, -1)
    points = np.column_stack([rng.normal(size=num), 0.9 * signs + 0.35 * rng.normal(size=num)])
    return points, signs[:, None], np.arange(2 * num_labels)


def train(network, points, signs, rows, labelled_loss, unlabelled_loss, num_steps=150, lr=0.2):
    """Train on the rows' labels and, unless it is None, on the unlabelled loss of all points."""
    states = {}
    for _ in range(num_steps):
        _, gradient = labelled_loss(network.forward(points[rows]), signs[rows])
        network.backward(gradient)
        of_labels = network.layers[0].grads
        if unlabelled_loss:
            network.backward(unlabelled_loss(network.forward(points))[1])
            network.layers[0].grads = {name: g + of_labels[name] for name, g in network.layers[0].grads.items()}
        scratch.update(network.layers, states, lr, weight_decay=0.01)


def cross_entropy(z, signs):
    return sigmoid_cross_entropy(z, (signs + 1) / 2)


kinds = {"hinge": (hinge, hat), "cross-entropy": (cross_entropy, entropy)}
titles = {name: (f"{name}, labels only", f"{name} and {'hat' if name == 'hinge' else 'entropy'}") for name in kinds}
accuracy = {title: [] for pair in titles.values() for title in pair}
boundaries = []
for i in range(opt.num_sets):
    points, signs, rows = two_clouds(np.random.default_rng([opt.seed, i]), 400)
    found = {}
    for name, (labelled_loss, unlabelled_loss) in kinds.items():
        network = Network([Dense(np.zeros((2, 1)), np.zeros(1))])
        for title, term in zip(titles[name], (None, unlabelled_loss)):
            train(network, points, signs, rows, labelled_loss, term)
            accuracy[title].append(float((np.sign(network.forward(points)) == signs).mean()))
            found[title] = [*network.layers[0].params["W"][:, 0], network.layers[0].params["b"][0]]
    boundaries.append(found)
mean = {title: float(np.mean(values)) for title, values in accuracy.items()}
gains = {name: np.subtract(accuracy[both], accuracy[alone]) for name, (alone, both) in titles.items()}
print("mean accuracy:", {title: round(value, 3) for title, value in mean.items()})
print("least and largest gain of a set:", {name: (g.min().round(3), g.max().round(3)) for name, g in gains.items()})
chapter.claim("21.2", min(gain.mean() for gain in gains.values()) > 0.01)
chapter.claim("21.2", min(mean[both] for _, both in titles.values()) > 0.96)

shown = int(np.argmax(gains["hinge"]))  # the set where the unlabelled points help most
points, signs, rows = two_clouds(np.random.default_rng([opt.seed, shown]), 400)
axes = chapter.figure("boundaries", 1, 2, figsize=(9.4, 4), sharey=True)
for ax, pair in zip(axes, titles.values()):
    ax.scatter(*points.T, s=6, color=MUTED, alpha=0.6)
    for sign, color in ((1, COLORS[0]), (-1, COLORS[1])):
        of_class = rows[signs[rows, 0] == sign]
        ax.scatter(*points[of_class].T, s=90, color=color, edgecolor=INK, zorder=3)
    for title, line in zip(pair, ("--", "-")):
        a, b, c = boundaries[shown][title]
        side = np.array([-3.5, 3.5])
        ax.plot(side, -(a * side + c) / b, line, color=INK, label=f"{title}: {accuracy[title][shown]:.3f} right")
    ax.set(xlim=(-3.5, 3.5), ylim=(-2.4, 3.4))
    ax.legend(loc="upper left", fontsize="small")

# %%
chapter.report(steps=steps, examples=examples, seconds=times, detours=detours, mean_accuracy=mean)
