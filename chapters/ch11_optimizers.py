"""Chapter 11: optimisers

Asks:    what do the rules that take the place of gradient descent do with a gradient, and which one to begin with?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 15 s (--quick 8 s) on two cores.
Claims:  11.1 11.2 11.3 11.4
"""

# %% [markdown]
# # Optimisers (优化算法)
# The gradient says where the loss falls. What is made of it, how long a step is and in which direction, is the
# optimiser's choice. Seven rules, each a few lines, first on problems of two weights, then in a race.

# %%
import inspect
import time
from functools import partial

import numpy as np

from gluonbook import chapter, data, scratch
from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.plot import COLORS, INK, MUTED
from gluonbook.scratch import Dense, Network, ReLU, softmax_cross_entropy

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_epochs=chapter.option(10, quick=5, help="of the race"),
    search_epochs=chapter.option(4, quick=3, help="of each trial of a learning rate"),
    num_seeds=chapter.option(3, quick=2, help="each rule races so often"),
)
rng = np.random.default_rng(opt.seed)
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
splits = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
num_train = min(1170, len(splits.train.labels) // 30 * 30)  # batches of 30, all of them whole
if num_train < 60:
    raise ValueError(
        f"--data {opt.data} has {len(splits.train.labels)} pictures to learn from; 60 or more are needed here"
    )
train, valid, test = splits.train.subset(slice(num_train)), splits.valid, splits.test
train, valid, test = (part._replace(images=data.scaled(part.images)) for part in (train, valid, test))
D, K = train.images[0].size, len(train.classes)
# The rule, what Gluon calls it, with which settings, and the learning rates that it tries in section 11.4.
TABLE = {
    "SGD": (scratch.sgd, "sgd", {}, (0.1, 0.2, 0.4, 0.8)),
    "momentum": (scratch.momentum, "sgd", {"momentum": 0.9}, (0.01, 0.02, 0.04, 0.08)),
    "Nesterov": (scratch.nesterov, "nag", {"momentum": 0.9}, (0.01, 0.02, 0.04, 0.08)),
    "AdaGrad": (scratch.adagrad, "adagrad", {}, (0.02, 0.04, 0.08, 0.16)),
    "RMSProp": (scratch.rmsprop, "rmsprop", {}, (0.002, 0.004, 0.008, 0.016)),
    "AdaDelta": (scratch.adadelta, "adadelta", {}, (0.5, 1.0, 2.0, 4.0)),
    "Adam": (scratch.adam, "adam", {}, (0.004, 0.008, 0.016, 0.032)),
}
RULES = {name: row[0] for name, row in TABLE.items()}
LOOKS = dict(zip(RULES, (INK, COLORS[0], COLORS[1], COLORS[4], COLORS[2], MUTED, COLORS[3])))


def build(seed):
    """Return two hidden layers of 64 units, and a dense layer over the classes."""
    rng = np.random.default_rng(seed)
    layers = []
    for num_inputs in (D, 64):
        layers += [Dense(scratch.weights((num_inputs, 64), "he", rng), np.zeros(64)), ReLU()]
    return Network([*layers, Dense(scratch.weights((64, K), "he", rng), np.zeros(K))])


def backward(network, rows):
    """Fill the gradients of the mean loss over some rows of the training split."""
    network.backward(softmax_cross_entropy(network.forward(train.images[rows]), train.labels[rows])[1])


def full_loss(network):
    return softmax_cross_entropy(network.forward(train.images), train.labels)[0]


# %% [markdown]
# ## 11.1 A batch at a time (随机梯度下降: 有波动, 但平均在下降)
# The gradient of a batch points where the batch's loss falls, and that of all examples may rise meanwhile. But the mean
# of the batches' gradients is the full gradient: on average the steps go down. And each costs a batch, not the whole
# set: for the examples of one full step, descent by batches makes as many steps as there are batches.

# %%
N, lr = 30, 0.1
network, whole = build(opt.seed), np.arange(len(train.labels))
backward(network, whole)
full_gradient = network.layers[0].grads["W"]
parts = []
for rows in np.split(whole, len(whole) // N):
    backward(network, rows)
    parts.append(network.layers[0].grads["W"])
chapter.claim("11.1", np.allclose(np.mean(parts, axis=0), full_gradient, rtol=0, atol=1e-12))


def descend(batch_size, num_epochs=6):
    """Return the full loss after each update, and the shortest time that one took, in milliseconds."""
    network, rng = build(opt.seed), np.random.default_rng(opt.seed)
    losses, times = [full_loss(network)], []
    for _ in range(num_epochs):
        for rows in np.split(rng.permutation(len(whole)), len(whole) // batch_size):
            start = time.perf_counter()
            backward(network, rows)
            scratch.update(network.layers, {}, lr)
            times.append(1000 * (time.perf_counter() - start))
            losses.append(full_loss(network))
    return np.array(losses), min(times)


by_batches, batch_time = descend(N)
by_all, all_time = descend(len(whole))
rises = float((np.diff(by_batches) > 0).mean())
quarters = [float(part.mean()) for part in np.array_split(by_batches[1:], 4)]
print(f"updates for {6 * len(whole)} examples: {len(by_batches) - 1} and {len(by_all) - 1}")
print(f"an update takes {batch_time:.2f} ms with {N} examples, {all_time:.2f} ms with {len(whole)}")
print(f"share of updates at which the full loss rose: {rises:.2f}; its mean by quarters:", np.round(quarters, 3))
if not OWN:
    chapter.claim("11.1", 0.1 < rises < 0.5 and (np.diff(quarters) < 0).all())
    chapter.claim("11.1", by_batches[-1] < 0.5 * by_all[-1] and (np.diff(by_all) < 0).all())
    chapter.claim("11.1", (len(by_batches) - 1) * N == (len(by_all) - 1) * len(whole) and batch_time < all_time / 2)

# %% [markdown]
# On the left a regression with two weights, where the path can be drawn: each dot is one update, by one example or by
# all of them. On the right the network above.

# %%
inputs = rng.normal(size=(200, 2)) @ np.array([[1.0, 0.5], [0.5, 0.6]])
targets = inputs @ [1.0, -1.0] + 0.7 * rng.normal(size=200)


def regression_path(batch_size, num_steps=100, lr=0.06):
    w, rng, path = np.array([-2.0, -1.0]), np.random.default_rng(opt.seed), []
    for _ in range(num_steps):
        path.append(w.copy())
        rows = rng.choice(200, batch_size, replace=False)
        scratch.sgd(w, inputs[rows].T @ (inputs[rows] @ w - targets[rows]) / batch_size, {}, lr)
    return np.array(path)


def contours(ax, f, xlim, ylim):
    grid = np.stack(np.meshgrid(np.linspace(*xlim, 121), np.linspace(*ylim, 121)), axis=-1)
    values = f(grid)
    levels = np.quantile(values, np.linspace(0.02, 0.98, 9))
    ax.contour(*grid.transpose(2, 0, 1), values, levels=levels, colors="#cccccc", linewidths=0.8)
    ax.set(xlim=xlim, ylim=ylim, xticks=[], yticks=[])


axes = chapter.figure("batches", 1, 2, figsize=(9.4, 3.8))
contours(axes[0], lambda w: ((w @ inputs.T - targets) ** 2).mean(axis=-1), (-2.3, 1.9), (-1.9, 1.1))
for batch_size, color, label in ((1, COLORS[1], "by one example"), (200, COLORS[0], "by all 200")):
    path = regression_path(batch_size)
    axes[0].plot(*path.T, color=color, marker="o", markersize=2.5, linewidth=1, label=label)
axes[0].set(title="two weights: 100 updates each")
axes[0].legend(loc="upper left", fontsize="small")
seen = np.arange(len(by_batches)) * N / len(whole)
axes[1].plot(seen, by_batches, color=COLORS[1], linewidth=1, label=f"by {N} examples")
axes[1].plot(by_all, color=COLORS[0], marker="o", markersize=4, label=f"by all {len(whole)}")
axes[1].set(title="the network: loss over all examples", xlabel="epochs of examples seen", ylim=(0, None))
axes[1].legend(fontsize="small")

# %% [markdown]
# ## 11.2 Seven rules (七种更新规则)
# Momentum adds the gradients g, times the learning rate η, up to a velocity v and steps along it; Nesterov's, on the
# right, looks one step ahead:
#
# $$
# v \leftarrow \mu v - \eta g, \qquad w \leftarrow w + v, \qquad w \leftarrow w + \mu v - \eta g
# $$
#
# AdaGrad, RMSProp and AdaDelta divide each weight's step by the size that its gradients had. AdaGrad sums their
# squares, RMSProp takes a moving mean:
#
# $$
# s \leftarrow s + g^2, \qquad s \leftarrow \gamma s + (1 - \gamma) g^2, \qquad
# w \leftarrow w - \frac{\eta g}{\sqrt{s + \epsilon}}
# $$
#
# AdaDelta takes the mean, too, and multiplies the step by √(u + ε), where u is such a mean of its own steps' squares.
# Adam, at its step t, does both:
#
# $$
# m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
# w \leftarrow w - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \cdot \frac{m}{\sqrt{v} + \epsilon}
# $$
#
# Each beside `gluon.Trainer`'s, on the same gradients: those of 30 batches at the network's output layer.

# %%
for rule in (scratch.nesterov, scratch.adam):
    print(inspect.getsource(rule).split('"""')[-1].strip("\n"), "\n")
network, gradients = build(opt.seed), []
for rows in np.split(whole[:900], 30):
    backward(network, rows)
    gradients.append(network.layers[-1].grads["W"].astype("float32"))
    scratch.update(network.layers, {}, lr)
start = network.layers[-1].params["W"].astype("float32")


def path_of(rule, lr):
    """Return the weights after each step, by our rule, in float64."""
    w, state, path = start.astype(np.float64), {}, []
    for gradient in gradients:
        rule(w, gradient.astype(np.float64), state, lr)
        path.append(w.copy())
    return np.array(path)


def trainers_path(name, **settings):
    """Return the same by a trainer, which takes its steps in float32; the loss Σ g·w has the gradient g."""
    param = gluon.Parameter("w", shape=start.shape)
    param.initialize(ctx=opt.device)
    param.set_data(nd.array(start))
    trainer, path = gluon.Trainer([param], name, settings), []
    for gradient in gradients:
        with autograd.record():
            loss = (param.data() * nd.array(gradient, ctx=opt.device)).sum()
        loss.backward()
        trainer.step(1)
        path.append(param.data().asnumpy().astype(np.float64))
    return np.array(path)


differences = {}
print("rule       way of a weight   largest difference, relative to the longest")
for name, (rule, called, settings, _) in TABLE.items():
    lr = 1.0 if name == "AdaDelta" else 0.01
    ours, theirs = path_of(rule, lr), trainers_path(called, learning_rate=lr, **settings)
    way = np.abs(np.diff(ours, axis=0, prepend=start[None])).sum(axis=0)
    differences[name] = float(np.abs(ours - theirs).max() / way.max())
    print(f"{name:<10} {way.mean():10.4f}        {differences[name]:.1e}")
chapter.claim("11.2", max(differences.values()) < 1e-4)

# %% [markdown]
# Seven walks on the same ravine, twenty times as steep across as along. Each with the best of a row of learning rates:
# the one whose last five of 40 steps stay lowest. Plain descent must take the steep direction's rate for both.
# Momentum swings from side to side. Adam's mean of squares remembers the steep beginning: on so short a walk it is
# slow.

# %%
turn = np.pi / 6
axis = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
curvature = axis @ np.diag([1.0, 20.0]) @ axis.T


def height(w):
    return 0.5 * ((w @ curvature) * w).sum(axis=-1)


def walk(rule, lr, num_steps=40, scales=(1.0, 1.0)):
    """Return the weights before each step and after the last; the gradient's entries are rescaled."""
    w, state, path = np.array([-4.0, -0.5]), {}, []
    for _ in range(num_steps):
        path.append(w.copy())
        rule(w, np.array(scales) * (curvature @ w), state, lr)
    return np.array([*path, w])


rates = np.geomspace(0.001, 1000, 61)
best = {}
for name, rule in RULES.items():
    with np.errstate(over="ignore"):
        best[name] = min(rates, key=lambda lr, rule=rule: height(walk(rule, lr)[-5:]).max())
axes = chapter.figure("ravine", 2, 4, figsize=(12, 5.4)).ravel()
for ax, (name, rule) in zip(axes, RULES.items()):
    path = walk(rule, best[name])
    contours(ax, height, (-4.6, 2.2), (-3.3, 1.9))
    ax.plot(*path.T, color=LOOKS[name], marker="o", markersize=3, linewidth=1)
    ax.plot(0, 0, "+", color=INK, markersize=10)
    ax.set(title=f"{name}, rate {best[name]:.2g}", aspect="equal")
    axes[-1].semilogy(height(path), color=LOOKS[name], label=name)
axes[-1].set(title="height over steps", ylim=(1e-7, None))
axes[-1].yaxis.tick_right()
axes[-1].spines[["left", "right"]].set_visible(False)
axes[-1].legend(fontsize="x-small", ncols=2, loc="lower left")
heights = {name: float(height(walk(rule, best[name])[-1])) for name, rule in RULES.items()}

# %% [markdown]
# ## 11.3 Adam and the scale of a gradient (梯度对角缩放的不变性)
# Multiply each entry of every gradient by a positive number of its own: Adam's mean and the root of its mean square
# grow alike, and their ratio stays (Kingma & Ba 2015, section 2.1). With ε = 0 and powers of two no bit changes. Plain
# descent's steps grow with the entries. The ε of practice takes something of it away where gradients are tiny.

# %%
exact = partial(scratch.adam, epsilon=0)
scales = (1.0, 2.0**-4, 2.0**4)
adams = [walk(exact, 0.3, scales=(1.0, scale)) for scale in scales]
plains = [walk(scratch.sgd, best["SGD"] / 2, scales=(1.0, scale)) for scale in scales[:2]]
chapter.claim("11.3", all(np.array_equal(adams[0], path) for path in adams[1:]))
chapter.claim("11.3", np.abs(plains[0] - plains[1]).max() > 0.1)
by_three = walk(exact, 0.3, scales=(3.0, 0.7))
chapter.claim("11.3", np.allclose(by_three, adams[0], rtol=0, atol=1e-9))
tiny = {scale: np.abs(walk(scratch.adam, 0.3, scales=(1.0, scale)) - adams[0]).max() for scale in (1.0, 1e-4, 1e-8)}
print("with ε = 1e-8, the path is off by:", {f"× {scale:g}": f"{value:.1e}" for scale, value in tiny.items()})
axes = chapter.figure("rescaling", 1, 2, figsize=(9, 3.6))
for ax, title, paths in ((axes[0], "SGD", plains), (axes[1], "Adam, ε = 0", adams[:2])):
    contours(ax, height, (-4.6, 2.2), (-3.0, 1.8))
    for i, path in enumerate(paths):
        look = {"color": COLORS[i], "linewidth": 3 - 2 * i, "marker": "o", "markersize": 6 - 3 * i}
        ax.plot(*path.T, **look, label=("the gradient", "its second entry × 1/16")[i])
    ax.set(title=title, aspect="equal")
axes[0].legend(fontsize="small", loc="upper left")

# %% [markdown]
# ## 11.4 Which one to begin with? (推荐 Adam 或 SGD + Nesterov 动量)
# A race on pictures. Each rule first tries four learning rates, and keeps the one with the lowest loss on the
# validation split over a few epochs. Then all start from the same weights and see the same batches; each line is a
# mean over seeds. What is compared is the training loss over the whole race, for how soon, and the accuracy on the test
# split, for how well. A race on one problem crowns nobody: it shows whether the two are a choice that one need not
# regret.


# %%
def run(rule, lr, num_epochs, seed):
    """Return the trained network, and after each epoch the loss on the training and on the validation split."""
    network, curves = build(seed), []
    for epoch in scratch.train(network, train.images, train.labels, num_epochs, lr, seed=seed, rule=rule):
        on_valid = softmax_cross_entropy(network.forward(valid.images), valid.labels)[0]
        curves.append((epoch.loss, on_valid))
    return network, np.array(curves).T


def searched(rule, rates):
    """Return the rate with the lowest validation loss, the mean over a few epochs of two trainings."""
    found = {lr: [run(rule, lr, opt.search_epochs, opt.seed + i)[1][1].mean() for i in range(2)] for lr in rates}
    return min(rates, key=lambda lr: np.mean(found[lr]))


chosen, losses, accuracies = {}, {}, {}
for name, rule in RULES.items():
    chosen[name] = searched(rule, TABLE[name][3])
    runs = [run(rule, chosen[name], opt.num_epochs, opt.seed + 100 + i) for i in range(opt.num_seeds)]
    losses[name] = np.mean([curves[0] for _, curves in runs], axis=0)
    accuracies[name] = float(np.mean([network.accuracy(test.images, test.labels) for network, _ in runs]))
    print(f"{name:<9} rate {chosen[name]:<6g} mean loss {losses[name].mean():.3f}, test {accuracies[name]:.3f}")
means = {name: float(values.mean()) for name, values in losses.items()}
for name in ("Adam", "Nesterov"):
    if not OWN:
        chapter.claim("11.4", means[name] < 0.95 * means["SGD"])
        chapter.claim("11.4", accuracies[name] > max(accuracies.values()) - 0.06)
axes = chapter.figure("race", 1, 2, figsize=(10, 3.8), width_ratios=(3, 2))
for name, values in losses.items():
    width = 2.4 if name in ("Adam", "Nesterov") else 1.2
    axes[0].semilogy(range(1, opt.num_epochs + 1), values, color=LOOKS[name], linewidth=width, label=name)
axes[0].set(title="training loss", xlabel="epoch")
axes[0].locator_params(axis="x", integer=True)
axes[0].legend(fontsize="small", ncols=2)
order = sorted(means, key=means.get)
axes[1].barh(range(7), [means[name] for name in order], color=[LOOKS[name] for name in order])
axes[1].set(title="its mean over the race", yticks=range(7), yticklabels=order)
axes[1].invert_yaxis()
axes[1].bar_label(axes[1].containers[0], fmt="%.3f", padding=3)
axes[1].set_xlim(0, 1.2 * max(means.values()))

# %%
chapter.report(rises=rises, batch_ms=batch_time, all_ms=all_time, ravine=heights, loss=means, accuracy=accuracies)
