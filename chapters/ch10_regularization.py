"""Chapter 10: regularisation

Asks:    when does a network overfit, and what do weight penalties, dropout, augmentation and batch norm do against it?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 25 s (--quick 10 s) on two cores.
Claims:  10.1 10.2 10.3 10.4 10.5 10.6
"""

# %% [markdown]
# # Regularisation (正则化)
# Everything here is `gluonbook.scratch`: two hidden layers on digits. Few examples, so that there is something to cure.
# What depends on chance is repeated with other weights and other examples, and the mean is told.

# %%
import itertools

import numpy as np

from gluonbook import chapter, data, plot
from gluonbook._mxnet import nd
from gluonbook.data import distort
from gluonbook.plot import COLORS, MUTED
from gluonbook.scratch import BatchNorm, Dense, Dropout, Network, ReLU, softmax, softmax_cross_entropy, train, update
from gluonbook.scratch import weights as draw_weights

opt = chapter.options(
    data=chapter.option("digits", help="digits or fashion_mnist; the bounds were measured on digits"),
    num_few=chapter.option(100, help="examples of the small set"),
    num_epochs=chapter.option(60, quick=40, help="of a training on the small set"),
    num_seeds=chapter.option(5, quick=3, help="trainings of each kind"),
)
SPLITS = [data.read_classes(opt.data, seed=opt.seed + i) for i in range(opt.num_seeds)]
H, K, BATCH, LR = 100, len(SPLITS[0].train.classes), 20, 0.1


def rows_of(pictures):
    return data.scaled(pictures.images).reshape(len(pictures.labels), -1).astype(np.float64)  # (n, D)


FEW = [splits.train.subset(slice(opt.num_few)) for splits in SPLITS]
VALID = [(rows_of(splits.valid), splits.valid.labels) for splits in SPLITS]


def build(seed, normalise=False, dropout=0.0):
    """Return two hidden layers, each with batch norm or dropout or neither."""
    rng = np.random.default_rng(seed)
    layers = []
    for D in (VALID[0][0].shape[1], H):
        layers.append(Dense(draw_weights((D, H), "he", rng), np.zeros(H)))
        layers += [BatchNorm(np.ones(H), np.zeros(H))] if normalise else []
        layers += [ReLU()] + ([Dropout(dropout, rng)] if dropout else [])
    return Network([*layers, Dense(draw_weights((H, K), "he", rng), np.zeros(K))])


def fitted(number, net=None, X=None, y=None, num_epochs=None, **settings):
    """Return a network that learnt the small set of that number, or X and y."""
    net = net or build(number)
    if X is None:
        X, y = rows_of(FEW[number]), FEW[number].labels
    for _ in train(net, X, y, num_epochs or opt.num_epochs, LR, BATCH, seed=number, **settings):
        pass
    return net


def measured(net, X, y):
    return np.array([net.accuracy(X, y), softmax_cross_entropy(net.forward(X), y)[0]])


# %% [markdown]
# ## 10.1 Few examples (数据太少则过拟合)
# With few examples the network knows them all by heart and is worse on others: the distance of the two curves is the
# overfitting. With all examples, and as many updates, it is smaller.


# %%
def curves(number, pictures):
    """Return accuracy and loss on what was learnt and on the validation split, after each tenth of the updates."""
    X, y = rows_of(pictures), pictures.labels
    num_epochs = max(10, opt.num_epochs * opt.num_few // len(y) // 10 * 10)
    net, found = build(number), []
    for epoch in train(net, X, y, num_epochs, LR, BATCH, seed=number):
        if epoch.number % (num_epochs // 10) == 0:
            found.append([measured(net, X, y), measured(net, *VALID[number])])
    return np.array(found)  # (10, split, (accuracy, loss))


by_size = {
    f"{opt.num_few} examples": np.mean([curves(i, FEW[i]) for i in range(opt.num_seeds)], axis=0),
    "all examples": np.mean([curves(i, SPLITS[i].train) for i in range(opt.num_seeds)], axis=0),
}
gap = {name: float(found[-1, 1, 1] - found[-1, 0, 1]) for name, found in by_size.items()}
axes = chapter.figure("overfitting", 1, 2, figsize=(8.4, 3.2), sharey=True)
for ax, (name, found) in zip(axes, by_size.items()):
    ax.plot(range(10, 101, 10), found[:, 0, 1], color=COLORS[0], label="what was learnt")
    ax.plot(range(10, 101, 10), found[:, 1, 1], color=COLORS[1], label="validation")
    ax.set(title=name, xlabel="per cent of the updates", ylim=(0, None))
axes[0].set_ylabel("cross-entropy")
axes[0].legend(fontsize="small")
print("validation loss minus training loss:", {name: round(value, 3) for name, value in gap.items()})
chapter.claim("10.1", gap[f"{opt.num_few} examples"] > 0.2 and gap["all examples"] < 0.7 * max(gap.values()))

# %% [markdown]
# The notes add a penalty to the loss C₀ of the n examples:
#
# $$
# C = C_0 + \frac{\lambda}{2n} \sum w^2
# $$
#
# A step of the learning rate η shrinks a weight by η·λ/n of itself. With ten times the examples, λ must be ten times
# larger for the same shrinking, as when the notes' 1,000 became 50,000.

# %%
LAMBDA = 2.0
norms = {}
for n, lam in ((opt.num_few, LAMBDA), (10 * opt.num_few, LAMBDA), (10 * opt.num_few, 10 * LAMBDA)):
    pictures = SPLITS[0].train.subset(slice(n))
    num_epochs = opt.num_epochs * opt.num_few // n
    net = fitted(0, None, rows_of(pictures), pictures.labels, num_epochs, weight_decay=lam / n)
    norms[n, lam] = float(np.sqrt(sum((layer.params["W"] ** 2).sum() for layer in net.layers if layer.params)))
    print(
        f"{n} examples, λ = {lam:g}: every step takes {LR * lam / n:.0e} of a weight; their norm is {norms[n, lam]:.2f}"
    )
small, unscaled, rescaled = norms.values()
chapter.claim("10.1", abs(rescaled - small) < 0.5 * (unscaled - small))

# %% [markdown]
# ## 10.2 A ratio or an amount (L2 按比例，L1 按常量)
# Without a gradient, L2 takes the same share of each weight, L1, whose penalty is λ/n·Σ|w|, the same amount:
#
# $$
# w \leftarrow w - \frac{\eta \lambda}{n} w, \qquad w \leftarrow w - \frac{\eta \lambda}{n} \operatorname{sign}(w)
# $$
#
# So L2 leaves many small weights, L1 many that are nearly 0, and a few large ones.

# %%
before = np.array([[-2.0, -0.5, 0.0, 0.25, 4.0]])
after = {}
for name, settings in {"L2": {"weight_decay": 0.5}, "L1": {"l1": 0.5}}.items():
    layer = Dense(before.copy(), np.zeros(5))
    layer.grads = {"W": np.zeros((1, 5)), "b": np.zeros(5)}
    update([layer], {}, lr=0.25, **settings)
    after[name] = layer.params["W"]
    print(f"{name}: {before[0].tolist()} → {after[name][0].tolist()}")
chapter.claim("10.2", np.array_equal(after["L2"], before * (1 - 0.25 * 0.5)))
chapter.claim("10.2", np.array_equal(after["L1"], before - 0.25 * 0.5 * np.sign(before)))
penalised = {
    "no penalty": [fitted(i) for i in range(opt.num_seeds)],
    "L2": [fitted(i, weight_decay=0.02) for i in range(opt.num_seeds)],
    "L1": [fitted(i, l1=0.002) for i in range(opt.num_seeds)],
}
axes = chapter.figure("histograms", 1, 3, figsize=(9, 2.8), sharex=True, sharey=True)
near_zero, largest = {}, {}
for ax, (name, nets) in zip(axes, penalised.items()):
    W = nets[0].layers[0].params["W"].ravel()
    near_zero[name], largest[name] = float((np.abs(W) < 0.01).mean()), float(np.abs(W).max())
    ax.hist(W, bins=np.linspace(-0.6, 0.6, 61), color=COLORS[0])
    ax.set(title=f"{name}: {100 * near_zero[name]:.0f} % below 0.01", xlabel="weight of the first layer", yscale="log")
print("share of weights within 0.01 of 0:", {name: round(value, 3) for name, value in near_zero.items()})
chapter.claim("10.2", near_zero["L1"] > 2 * near_zero["L2"])

# %% [markdown]
# ## 10.3 Small weights, calm answers (小权重与噪声)
# Noise on the pixels moves the logits. It moves those of small weights less.

# %%
noise = np.linspace(0, 0.4, 9)
moves = {}
for name, nets in penalised.items():
    rng = np.random.default_rng(opt.seed)
    X = VALID[0][0]
    drift = [
        np.abs(nets[0].forward(X + sigma * rng.normal(size=X.shape)) - nets[0].forward(X)).mean() for sigma in noise
    ]
    moves[name] = np.array(drift)
ax = chapter.figure("noise", figsize=(5.4, 3.2))
for color, (name, drift) in zip(COLORS, moves.items()):
    ax.plot(noise, drift, color=color, label=name)
ax.set(xlabel="deviation of the noise on each pixel", ylabel="mean change of a logit")
ax.legend(fontsize="small")
chapter.claim("10.3", all((moves[name][1:] < 0.8 * moves["no penalty"][1:]).all() for name in ("L1", "L2")))

# %% [markdown]
# ## 10.4 Dropout (随机失活)
# The mask m of a unit x is 0 with the probability r, and otherwise 1. A unit that stays is scaled up, so that the mean
# E over all masks is what the whole layer gives:
#
# $$
# y = \frac{m}{1 - r} x, \qquad \operatorname{E}(y) = x
# $$
#
# Below that is shown for all 2⁴ masks of four units, and it is exact. When it predicts, nothing is dropped.

# %%
x, W = np.array([[1.0, -2.0, 0.5, 3.0]]), np.array([[1.0], [0.5], [-1.0], [0.25]])
masks = np.array(list(itertools.product((0, 1), repeat=4)))
chapter.claim("10.4", (x * masks / 0.5 @ W).mean() == (x @ W).item())
layer = Dropout(0.3, np.random.default_rng(opt.seed))
values = np.random.default_rng(opt.seed).normal(size=(1, 50))
means = np.mean([layer.forward(values, train=True) for _ in range(4000)], axis=0)
error = np.abs(values) * np.sqrt(0.3 / 0.7 / 4000)  # of a mean of 4,000, one deviation
chapter.claim("10.4", (np.abs(means - values) < 5 * error).all() and np.array_equal(layer.forward(values), values))

# %% [markdown]
# Each mask is a thinner network. A network that learnt with dropout behaves as the average of them: the more of them
# are asked, the nearer their mean logits come to the answer of the whole network, which costs one pass.

# %%
net = fitted(0, build(0, dropout=0.5))
X, y = VALID[0]
drawn = np.array([net.forward(X, train=True) for _ in range(100)])  # (100, n, K)
whole, whole_right = softmax(net.forward(X)), net.accuracy(X, y)
counts = [1, 2, 3, 5, 10, 20, 50, 100]
averages = [softmax(drawn[:count].mean(axis=0)) for count in counts]
right = [float((p.argmax(axis=1) == y).mean()) for p in averages]
distance = [float(np.abs(p - whole).sum(axis=1).mean() / 2) for p in averages]
each = (drawn.argmax(axis=2) == y).mean(axis=1)  # (100,)
axes = chapter.figure("ensemble", 1, 2, figsize=(8.8, 3.2))
axes[0].scatter(np.ones(len(each)), each, s=8, color=MUTED, alpha=0.5, label="each thinned network")
axes[0].semilogx(counts, right, "o-", color=COLORS[0], label="mean of their answers")
axes[0].axhline(whole_right, color=COLORS[1], label="the whole network, once")
axes[0].set(xlabel="thinned networks", ylabel="accuracy")
axes[0].legend(fontsize="small", loc="lower right")
axes[1].semilogx(counts, distance, "o-", color=COLORS[0])
axes[1].set(xlabel="thinned networks", ylabel="distance from the whole network", ylim=(0, None))
for ax in axes:
    ax.set_xticks([1, 10, 100], ["1", "10", "100"])
print(f"a thinned network alone {each.mean():.3f}, their mean {right[-1]:.3f}, the whole one {whole_right:.3f}")
print("distance from the whole network:", {count: round(value, 3) for count, value in zip(counts, distance)})
chapter.claim("10.4", distance[-1] < 0.5 * distance[0] and right[-1] > each.mean() + 0.02)
chapter.claim("10.4", abs(right[-1] - whole_right) < 0.03)

# %% [markdown]
# ## 10.5 Augmentation (数据增强)
# Turned pictures are new examples, where such pictures occur. Digits are written at a slant, but not upside down: a 6
# that is turned by 180° is a 9. All are tried on digits as they are, and on digits at a slant of up to 15°.

# %%
COPIES = 9


def turned(pictures, degrees, seed):
    return distort(nd.array(data.scaled(pictures.images)), np.random.default_rng(seed), degrees=degrees)


sample = FEW[0].subset(slice(8))
axes = chapter.figure("augmentation", 3, 8, figsize=(8, 3.2))
for row, degrees in zip(axes, (0, 15, 180)):
    for ax, pixels in zip(row, turned(sample, degrees, opt.seed).asnumpy()):
        ax.imshow(pixels[0], cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(f"±{degrees}°", rotation=0, ha="right", va="center")
accuracy = {}
for degrees in (0, 15, 180):
    found = []
    for i in range(opt.num_seeds):
        copies = [turned(FEW[i], degrees, seed).asnumpy() for seed in range(COPIES)] if degrees else []
        X = np.concatenate([data.scaled(FEW[i].images), *copies]).astype(np.float64)
        y = np.tile(FEW[i].labels, 1 + len(copies))
        net = fitted(i, None, X, y, opt.num_epochs // (3 if degrees else 1))
        slanted = turned(SPLITS[i].valid, 15, 1000 + i).asnumpy().astype(np.float64)
        found.append([net.accuracy(*VALID[i]), net.accuracy(slanted, VALID[i][1])])
    accuracy[degrees] = np.mean(found, axis=0)
    print(f"learnt with ±{degrees}°: {accuracy[degrees][0]:.3f} as they are, {accuracy[degrees][1]:.3f} at a slant")
chapter.claim("10.5", accuracy[15][1] > accuracy[0][1] + 0.02 and accuracy[15][0] > accuracy[0][0] - 0.01)
chapter.claim("10.5", accuracy[180][0] < accuracy[0][0] - 0.03)

# %% [markdown]
# ## 10.6 Batch norm, then more (先用批量归一化，再加 L2 或 dropout)
# Batch norm alone still knows the small set by heart. Where that overfits, L2 or dropout beside it bring the accuracy
# on other pictures up. Dropout learns more slowly, and is given three times the epochs.

# %%
recipes = {
    "plain": {},
    "batch norm": {"normalise": True},
    "batch norm, L2": {"normalise": True, "weight_decay": 0.03},
    "batch norm, dropout": {"normalise": True, "dropout": 0.5},
}
scores = {}
for name, settings in recipes.items():
    found = []
    for i in range(opt.num_seeds):
        net = build(i, settings.get("normalise", False), settings.get("dropout", 0.0))
        num_epochs = opt.num_epochs * (3 if "dropout" in settings else 1)
        net = fitted(i, net, num_epochs=num_epochs, weight_decay=settings.get("weight_decay", 0.0))
        found.append([measured(net, rows_of(FEW[i]), FEW[i].labels), measured(net, *VALID[i])])
    scores[name] = np.mean(found, axis=0)  # (split, (accuracy, loss))
    (known, _), (others, loss) = scores[name]
    print(f"{name}: {known:.3f} of what it learnt, {others:.3f} of others, their loss {loss:.3f}")
ax = chapter.figure("recipes", figsize=(6.4, 2.4))
plot.bars({name: 1 - found[1, 0] for name, found in scores.items()}, ax, digits=3).set(xlabel="error, validation")
chapter.claim("10.6", scores["batch norm"][0, 0] > 0.99 and scores["batch norm"][1, 0] < 0.95)
chapter.claim("10.6", max(scores[name][1, 0] for name in list(scores)[2:]) > scores["batch norm"][1, 0] + 0.002)

# %%
chapter.report(
    loss_gap=gap,
    weights_near_zero=near_zero,
    thinned_and_whole=[float(each.mean()), right[-1], whole_right],
    accuracy_turned={f"±{degrees}°": found for degrees, found in accuracy.items()},
    validation_accuracy={name: float(found[1, 0]) for name, found in scores.items()},
)
