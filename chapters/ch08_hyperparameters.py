"""Chapter 8: hyper-parameters

Asks:    in which order are learning rate, λ, batch size and the rest tried, and is a grid or chance the better guide?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 25 s (--quick 12 s) on two cores.
Claims:  8.1 8.2 8.3 8.4 8.5 8.6 8.7 8.8
"""

# %% [markdown]
# # Hyper-parameters (超参数搜索)
# What a training cannot learn has to be tried: start with something small that answers quickly, find the learning rate
# first, then the rest, and where there are more than a few of them let chance choose.

# %%
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from gluonbook import chapter, data, plot, scratch, search, training
from gluonbook._mxnet import gluon, mx
from gluonbook.plot import COLORS, MUTED
from gluonbook.scratch import Dense, Network, ReLU, Sigmoid

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_epochs=chapter.option(30, quick=8, help="of each training"),
    num_repeats=chapter.option(10, quick=4, help="of the searches that are compared"),
)
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
splits = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
splits = splits._replace(train=splits.train.subset(slice(1200)))
splits = splits._make(part._replace(images=data.scaled(part.images)) for part in splits)
num_inputs, K = splits.train.images[0].size, len(splits.train.classes)


def build(*sizes, activation=Sigmoid, seed=0):
    """Return dense layers with activations between, for the given numbers of units."""
    rng = np.random.default_rng([opt.seed, seed])
    layers = []
    for pair in zip(sizes, sizes[1:]):
        kind = "he" if activation is ReLU else "xavier"
        layers += [Dense(scratch.weights(pair, kind, rng), np.zeros(pair[1])), activation()]
    return Network(layers[:-1])


def fit(network, part, num_epochs=opt.num_epochs, **settings):
    """Train on a split; return the loss and the validation accuracy of each epoch."""
    found = []
    for epoch in scratch.train(network, part.images, part.labels, num_epochs, seed=opt.seed, **settings):
        found.append((epoch.loss, network.accuracy(valid.images, valid.labels)))
    return np.array(found).T


# %% [markdown]
# ## 8.1 Start simple (从简单的出发)
# Zeros and ones alone are a fifth of the data, and a network without a hidden layer answers sooner than one with thirty
# units. A hundred validation pictures after every 1000 training pictures tell as much as all of them after an epoch.

# %%
two, valid = splits.train.of_classes([0, 1]), splits.valid.of_classes([0, 1])
saved = 1 - len(two.labels) / len(splits.train.labels)
small, hidden = build(num_inputs, 2), build(num_inputs, 30, 2)
weights = [sum(layer.params["W"].size for layer in net.layers if layer.params) for net in (small, hidden)]
reached = {}
for name, network in (("[D, 2]", small), ("[D, 30, 2]", hidden)):
    start = time.perf_counter()
    reached[name] = float(fit(network, two, num_epochs=5, lr=0.5, batch_size=10)[1][-1])
    print(f"{name}: {time.perf_counter() - start:.2f} s, accuracy {reached[name]:.3f}")
print(f"{100 * saved:.0f} % of the data is left out; weights {weights}")
if not OWN:
    chapter.claim("8.1", abs(saved - 0.8) < 0.02 and weights[1] > 15 * weights[0] and min(reached.values()) > 0.95)
few = valid.subset(slice(min(100, len(valid.labels))))
seen, early = 0, []
network = build(num_inputs, 2)
for start in range(0, 3000, 1000):
    rows = np.arange(start, start + 1000) % len(two.labels)
    list(scratch.train(network, two.images[rows], two.labels[rows], num_epochs=1, lr=0.5, batch_size=10))
    seen += 1000
    early.append(network.accuracy(few.images, few.labels))
    print(f"after {seen} pictures: {early[-1]:.2f} of {len(few.labels)}")
if not OWN:
    chapter.claim("8.1", early[0] > 0.9)
valid = splits.valid

# %% [markdown]
# ## 8.2 λ goes with the number of examples (权重衰减与训练集大小)
# In the notes' formula a step shrinks each weight, besides going against the gradient g of the loss without penalty:
#
# $$
# w \leftarrow \left( 1 - \frac{\eta \lambda}{n} \right) w - \eta g
# $$
#
# Fewer examples, n, need a smaller λ for the same decay: 1000 at 50,000 examples is 20 at 1000.

# %%
lr = 0.5
decay = {(lam, n): 1 - lr * lam / n for lam, n in ((1000, 50_000), (20, 1000), (1000, 1000))}
print(decay)
chapter.claim("8.2", 1000 * 1000 / 50_000 == 20 and decay[1000, 50_000] == decay[20, 1000] != decay[1000, 1000])
layer = Dense(np.full((3, 2), 2.0), np.zeros(2))
layer.grads = {"W": np.zeros((3, 2)), "b": np.zeros(2)}
scratch.update([layer], {}, lr, weight_decay=20 / 1000)
chapter.claim("8.2", np.allclose(layer.params["W"], 2 * decay[20, 1000]))

# %% [markdown]
# ## 8.3 The learning rate first (学习率)
# 30 hidden units, batches of 10, λ = 5: 0.025 crawls, 0.25 falls quickly, 2.5 is restless. A scan by decades finds the
# order of magnitude, a finer one the rate.

# %%
lam = 5.0
settings = {"batch_size": 10, "weight_decay": lam / len(splits.train.labels)}
rates = {lr: fit(build(num_inputs, 30, K), splits.train, lr=lr, **settings) for lr in (0.025, 0.25, 2.5)}
ax = chapter.figure("rates", figsize=(6, 3.3))
for color, (lr, (losses, _)) in zip(COLORS, rates.items()):
    ax.plot(range(1, opt.num_epochs + 1), losses, color=color, label=f"learning rate {lr:g}")
ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
ax.legend()
last = {lr: float(losses[-3:].mean()) for lr, (losses, _) in rates.items()}
if not OWN:
    chapter.claim("8.3", last[0.25] < 0.7 * min(last[0.025], last[2.5]))


def loss_after(lr, num_epochs=3):
    try:
        return float(fit(build(num_inputs, 30, K), splits.train, num_epochs, lr=lr, batch_size=10)[0][-1])
    except ArithmeticError:
        return np.inf


decades = {lr: loss_after(lr) for lr in (0.001, 0.01, 0.1, 1.0, 10.0)}
coarse = min(decades, key=decades.get)
finer = {coarse * factor: loss_after(coarse * factor) for factor in (0.25, 0.5, 1, 2, 4)}
chosen = min(finer, key=finer.get)
print("by decades:", {lr: round(value, 3) for lr, value in decades.items()})
print("finer:     ", {lr: round(value, 3) for lr, value in finer.items()})
if not OWN:
    chapter.claim("8.3", coarse in (0.1, 1.0) and finer[chosen] <= decades[coarse] and decades[10.0] > decades[coarse])

# %% [markdown]
# ## 8.4 When to stop, and when to slow down (提前停止、学习率衰减、λ)
# `training.fit` divides the rate when the validation accuracy stalls, and stops when it has stalled for long. Then λ:
# without it first, then 1, 10, 100.

# %%
loss = gluon.loss.SoftmaxCrossEntropyLoss()


def fit_gluon(num_epochs, **how):
    mx.random.seed(opt.seed)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(30, activation="relu"), gluon.nn.Dense(K))
    net.initialize(mx.init.Xavier(), ctx=opt.device)
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.5})
    batches = data.Batches(splits.train, 20, seed=opt.seed)
    return training.fit(net, batches, data.Batches(valid, 300), loss, trainer, num_epochs, devices=[opt.device], **how)


most = 4 * opt.num_epochs
histories = {
    factor: fit_gluon(most, plateau=training.Plateau(factor, patience=2), patience=8, min_change=0.001)
    for factor in (2.0, 3.0)
}
axes = chapter.figure("plateau", 1, 2, figsize=(8.6, 3))
for color, (factor, history) in zip(COLORS, histories.items()):
    epochs = [entry["epoch"] for entry in history]
    axes[0].plot(epochs, [entry["valid_accuracy"] for entry in history], color=color, label=f"divided by {factor:g}")
    axes[1].plot(epochs, [entry["lr"] for entry in history], color=color)
    print(f"divided by {factor:g}: stopped after {len(history)} of {most} epochs, rate {history[-1]['lr']:.3g}")
axes[0].set(title="accuracy on the validation split", xlabel="epoch")
axes[1].set(title="learning rate", xlabel="epoch")
axes[0].legend()
for factor, history in histories.items():
    rates_seen = [entry["lr"] for entry in history]
    falls = [a / b for a, b in zip(rates_seen, rates_seen[1:]) if a != b]
    best_so_far = np.maximum.accumulate([entry["valid_accuracy"] for entry in history])
    if not OWN:
        chapter.claim("8.4", len(history) < most and falls and np.allclose(falls, factor))
        chapter.claim("8.4", best_so_far[-1] <= best_so_far[-9] + 8 * 0.001 and best_so_far[-1] > 0.93)
by_lambda = {}
for lam in (0.0, 1.0, 10.0, 100.0):
    settings = {"lr": chosen, "batch_size": 10, "weight_decay": lam / len(splits.train.labels)}
    try:
        by_lambda[lam] = float(fit(build(num_inputs, 30, K), splits.train, 5, **settings)[1][-1])
    except ArithmeticError:  # few pictures of one's own: λ/n is beyond what a step can bear
        by_lambda[lam] = 0.0
print("accuracy by λ:", by_lambda)
if not OWN:
    chapter.claim("8.4", by_lambda[100.0] < max(by_lambda.values()) - 0.02)

# %% [markdown]
# ## 8.5 Batch size (小批量的大小)
# One example at a time leaves the matrix library idle; a thousand at a time update the weights once an epoch.

# %%
spent, accuracy = {}, {}
for batch_size in (1, 10, 100, 1000):
    network, start = build(num_inputs, 30, K), time.perf_counter()
    accuracy[batch_size] = float(fit(network, splits.train, 5, lr=0.25, batch_size=batch_size)[1][-1])
    spent[batch_size] = time.perf_counter() - start
axes = chapter.figure("batch_sizes", 1, 2, figsize=(7.6, 2.8))
for ax, values, title in zip(axes, (spent, accuracy), ("seconds for five epochs", "accuracy after them")):
    bars = ax.bar([str(size) for size in values], list(values.values()), color=COLORS[0])
    ax.bar_label(bars, fmt="%.2f", padding=2)
    ax.set(title=title, xlabel="batch size", ylim=(0, 1.15 * max(values.values())))
if not OWN:
    chapter.claim("8.5", spent[1] > 3 * spent[100] and accuracy[1000] < accuracy[10] - 0.2)

# %% [markdown]
# ## 8.6 A grid (网格搜索)
# The notes' grid for a support vector machine: four values of C with a linear kernel, four by two with an RBF kernel:
# twelve candidates.

# %%
part = splits.train.subset(slice(600))
X, y = part.images.reshape(len(part.labels), -1), part.labels
param_grid = [
    {"C": [1, 10, 100, 1000], "kernel": ["linear"]},
    {"C": [1, 10, 100, 1000], "gamma": [0.001, 0.0001], "kernel": ["rbf"]},
]
grid = GridSearchCV(SVC(), param_grid, cv=3).fit(X, y)
print(f"{len(grid.cv_results_['params'])} candidates, best {grid.best_params_}: {grid.best_score_:.3f}")
chapter.claim("8.6", len(grid.cv_results_["params"]) == 12 and grid.best_params_ in grid.cv_results_["params"])
chapter.claim("8.6", grid.best_score_ == max(grid.cv_results_["mean_test_score"]) > (0.0 if OWN else 0.9))

# %% [markdown]
# ## 8.7 Chance beats the grid (随机搜索)
# Sixteen trials. With one setting a grid tries sixteen values of it; with four settings only two values of each, while
# chance still tries sixteen of every one. Of these four the learning rate matters far more than the others: that is
# where the grid misses (Bergstra & Bengio 2012). Both searches are repeated, each grid at another place of the range.

# %%
SPACE = {
    "lr": search.LogUniform(1e-6, 1e2),
    "weight_decay": search.LogUniform(1e-8, 1e-2),
    "num_hiddens": search.LogUniform(16, 64),
    "batch_size": search.LogUniform(16, 64),
}
BUDGET = 16
few = splits.train.subset(slice(400))


def score(lr, weight_decay=1e-5, num_hiddens=32, batch_size=32):
    """Return the accuracy after three epochs on 400 pictures; 0 where the loss overflows."""
    network = build(num_inputs, round(num_hiddens), K, activation=ReLU)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            settings = {"lr": lr, "weight_decay": weight_decay, "batch_size": round(batch_size)}
            list(scratch.train(network, few.images, few.labels, 3, seed=opt.seed, **settings))
    except ArithmeticError:
        return 0.0
    return network.accuracy(valid.images, valid.labels)


def best_of_grid(names, shift):
    """Return the best of a grid whose points lie at the same place of each cell; ``shift`` from 0 to 1."""
    places = (np.arange(round(BUDGET ** (1 / len(names)))) + shift) / round(BUDGET ** (1 / len(names)))
    axes = [SPACE[name].low * (SPACE[name].high / SPACE[name].low) ** places for name in names]
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(names))
    return max(score(**dict(zip(names, map(float, point)))) for point in points)


def best_at_random(names, seed):
    return search.best(search.random_search(score, {name: SPACE[name] for name in names}, BUDGET, seed)).score


compared = {}
for count in (1, 2, 4):
    names = list(SPACE)[:count]
    shifts = (np.arange(opt.num_repeats) + 0.5) / opt.num_repeats
    compared[count] = (
        float(np.mean([best_of_grid(names, shift) for shift in shifts])),
        float(np.mean([best_at_random(names, opt.seed + 100 * repeat) for repeat in range(opt.num_repeats)])),
    )
    print(f"{count} settings, {BUDGET} trials: grid {compared[count][0]:.3f}, random {compared[count][1]:.3f}")
if not OWN:
    chapter.claim("8.7", compared[4][1] > compared[4][0] + 0.05)
    chapter.claim("8.7", compared[4][1] - compared[4][0] > compared[1][1] - compared[1][0])

# %%
lrs = np.geomspace(1e-6, 1e2, 40)
profile = [score(float(lr)) for lr in lrs]
drawn = [search.draw({name: SPACE[name] for name in ("lr", "weight_decay")}, opt.seed, i) for i in range(BUDGET)]
cells = (np.arange(4) + 0.5) / 4
grid_points = np.stack(np.meshgrid(1e-6 * 1e8**cells, 1e-8 * 1e6**cells), axis=-1).reshape(-1, 2)
random_points = np.array([[settings["lr"], settings["weight_decay"]] for settings in drawn])
axes = chapter.figure("grid_or_chance", 2, 2, figsize=(8, 4.8), sharex=True, sharey="row", height_ratios=[1, 2])
for (above, below), points, title in zip(axes.T, (grid_points, random_points), ("grid", "random")):
    seen = np.interp(np.log(points[:, 0]), np.log(lrs), profile)
    above.plot(lrs, profile, color=COLORS[2])
    above.plot(points[:, 0], seen, "o", color=COLORS[1], markersize=4)
    values = len(np.unique(points[:, 0].round(12)))
    above.set(title=f"{title}: {values} learning rates tried", ylabel="accuracy", ylim=(0, 1.05))
    for lr in points[:, 0]:
        below.axvline(lr, color=MUTED, linewidth=0.4)
    below.loglog(*points.T, "o", color=COLORS[1], markersize=5)
    below.set(xlabel="learning rate, which matters", ylabel="weight decay, which hardly does")

# %% [markdown]
# Coarse to fine: short trainings in a wide range, then longer ones in the range that the best of them span. A trial's
# settings depend on the seed and its number alone, and the results are written after each: a search that was stopped
# goes on to the same end.


# %%
def try_network(stage, lr, weight_decay):
    network = build(num_inputs, 30, K, activation=ReLU)
    return float(fit(network, splits.train, (1, 4)[stage], lr=lr, weight_decay=weight_decay)[1][-1])


space = {"lr": search.LogUniform(1e-4, 10), "weight_decay": search.LogUniform(1e-6, 1e-1)}
with tempfile.TemporaryDirectory() as folder, np.errstate(over="ignore", invalid="ignore"):
    stages = search.coarse_to_fine(try_network, space, [12, 6], opt.seed, path=folder)
    half = Path(folder) / "half.json"
    search.random_search(lambda **s: try_network(0, **s), space, 5, opt.seed, half)
    resumed = search.random_search(lambda **s: try_network(0, **s), space, 12, opt.seed, half)
named = {"coarse, one epoch": stages[0], "fine, four epochs": stages[1]}
plot.trials(named, "lr", "weight_decay", chapter.figure("coarse_to_fine", figsize=(6, 3.4)))
for name, trials in named.items():
    print(f"{name}\n{search.table(trials, most=4)}")
best_coarse, best_fine = (search.best(trials) for trials in stages)
print(f"coarse {best_coarse.score:.3f}, fine {best_fine.score:.3f} with {best_fine.settings}")
if not OWN:
    chapter.claim("8.7", best_fine.score >= best_coarse.score and resumed == stages[0])

# %% [markdown]
# ## 8.8 Several networks together (模型集成)
# Seven networks that differ in their first weights alone; their probabilities are averaged.

# %%
part = splits.train.subset(slice(150))
members = [build(num_inputs, 12, K, activation=ReLU, seed=seed) for seed in range(7)]
for network in members:
    fit(network, part, 25, lr=0.2, batch_size=10)
test = splits.test
probabilities = [scratch.softmax(network.forward(test.images)) for network in members]
alone = [float((p.argmax(axis=1) == test.labels).mean()) for p in probabilities]
together = float((np.mean(probabilities, axis=0).argmax(axis=1) == test.labels).mean())
print(f"alone {np.round(alone, 3)}, mean {np.mean(alone):.3f}; together {together:.3f}")
if not OWN:
    chapter.claim("8.8", together > np.mean(alone) + 0.005 and together >= np.median(alone))

# %%
chapter.report(
    last_losses={str(lr): value for lr, value in last.items()},
    chosen_rate=chosen,
    accuracy_by_lambda={str(lam): value for lam, value in by_lambda.items()},
    seconds_by_batch_size=spent,
    grid_and_random=compared,
    ensemble=together,
    its_members=alone,
)
