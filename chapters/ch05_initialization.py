"""Chapter 5: initial weights

Asks:    how large should weights be before the first step, and what goes wrong in a deep network where they are not?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 10 s (--quick 6 s) on two cores.
Claims:  5.1 5.2 5.3 5.4
"""

# %% [markdown]
# # Initial weights (权重初始化)
# Weights that are all alike learn alike; weights that are too small let signals die on their way through many layers,
# and weights that are too large drive them into saturation. Between lies a scale that keeps them as they are.

# %%
import numpy as np

from gluonbook import chapter, data, scratch
from gluonbook.plot import COLORS
from gluonbook.scratch import Dense, Network, ReLU, Tanh, init

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_units=chapter.option(400, quick=200, help="of each of the ten layers"),
    num_seeds=chapter.option(12, quick=4, help="networks trained with each bias"),
    num_epochs=chapter.option(20, quick=6, help="of those networks"),
)
rng = np.random.default_rng(opt.seed)
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
splits = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
learnt = splits.train.subset(slice(1200))
X, X_valid = data.scaled(learnt.images), data.scaled(splits.valid.images)
D, K = X[0].size, len(learnt.classes)

# %% [markdown]
# ## 5.1 All zeros (全零初始化)
# Hidden units that begin alike get the same gradient at every step, and stay alike: the layer is one unit wide. With
# zeros nothing even reaches them. With a constant other than zero they learn, all the same thing.


# %%
def build(fill):
    return Network([Dense(np.full((D, 20), fill), np.zeros(20)), Tanh(), Dense(np.full((20, K), fill), np.zeros(K))])


for fill in (0.0, 0.01):
    network = build(fill)
    list(scratch.train(network, X, learnt.labels, num_epochs=10, lr=0.1))
    W = network.layers[0].params["W"]  # (D, 20), a column a unit
    apart, moved = np.ptp(W, axis=1).max(), np.abs(W - fill).max()
    print(f"began with {fill}: weights moved by up to {moved:.3f}, and units differ by {apart:.1e}")
    chapter.claim("5.1", apart < 1e-12)
    if fill == 0 or not OWN:
        chapter.claim("5.1", moved == 0 if fill == 0 else moved > 0.1)
random = Network([Dense(scratch.weights((D, 20), "xavier", rng), np.zeros(20)), Tanh(), build(0.0).layers[2]])
list(scratch.train(random, X, learnt.labels, num_epochs=3, lr=0.1))
chapter.claim("5.1", np.ptp(random.layers[0].params["W"], axis=1).max() > 0.1)

# %% [markdown]
# ## 5.2 and 5.3 Ten layers (小随机数、1/√n 与 √(2/n))
# Random numbers enter a network of ten layers at one end, a random gradient enters at the other. Weights of mean 0 and
# standard deviation s, over n inputs x, multiply their mean square, E(x²), by n·s²; of that a ReLU drops half:
#
# $$
# z = \sum_{i=1}^{n} w_i x_i, \qquad \operatorname{Var}(z) = n s^2 \cdot \operatorname{E}(x^2), \qquad
# \operatorname{E}(\max(0, z)^2) = \frac{1}{2} \operatorname{Var}(z)
# $$
#
# 0.01·randn makes signals and gradients smaller at each layer. 1/√n keeps the variance of a tanh layer, as long as tanh
# is nearly straight, and √(2/n) that of a ReLU layer. The other way round, ReLU with 1/√n loses half of the variance at
# each layer, and tanh with √(2/n) is driven toward saturation.

# %%
n = opt.num_units
SIGNAL = 0.1  # standard deviation of what enters a tanh network: there it is nearly straight


def through(kind, activation, scale):
    """Return each layer's output, and the gradient that arrives at each layer's input."""
    rng = np.random.default_rng(opt.seed)
    X = rng.normal(size=(200, n)) * scale
    outputs, pairs = [], []
    for _ in range(10):
        pairs.append((Dense(init.weights((n, n), kind, rng), np.zeros(n)), activation()))
        X = pairs[-1][1].forward(pairs[-1][0].forward(X))
        outputs.append(X)
    gradient, gradients = rng.normal(size=X.shape), []
    for dense, active in reversed(pairs):
        gradient = dense.backward(active.backward(gradient))
        gradients.insert(0, gradient)
    return outputs, gradients


networks = {
    "tanh, 0.01": through("small", Tanh, SIGNAL),
    "tanh, 1/√n": through("xavier", Tanh, SIGNAL),
    "tanh, √(2/n)": through("he", Tanh, SIGNAL),
    "ReLU, 1/√n": through("xavier", ReLU, 1.0),
    "ReLU, √(2/n)": through("he", ReLU, 1.0),
}
size = {name: [np.sqrt((Y**2).mean()) for Y in outputs] for name, (outputs, _) in networks.items()}
arriving = {name: [np.sqrt((g**2).mean()) for g in gradients] for name, (_, gradients) in networks.items()}
kept = {name: float(values[-1] / values[0]) for name, values in size.items()}
back = {name: float(values[0] / values[-1]) for name, values in arriving.items()}
print("signal at layer 10 over layer 1:  ", {name: f"{value:.2g}" for name, value in kept.items()})
print("gradient at layer 1 over layer 10:", {name: f"{value:.2g}" for name, value in back.items()})
small = size["tanh, 0.01"]
chapter.claim("5.2", all(after < 0.5 * before for before, after in zip(small, small[1:])) and back["tanh, 0.01"] < 1e-3)
chapter.claim("5.3", 0.7 < kept["tanh, 1/√n"] < 1.1 and 0.5 < kept["ReLU, √(2/n)"] < 2)
chapter.claim("5.3", 0.7 < back["tanh, 1/√n"] < 1.3 and 0.5 < back["ReLU, √(2/n)"] < 2)
chapter.claim("5.3", kept["ReLU, 1/√n"] < 2 * 0.5**4.5 and kept["tanh, √(2/n)"] > 2)

# %%
axes = chapter.figure("layers", len(networks), 5, figsize=(9.4, 7.6))
for row, (name, (outputs, _)) in zip(axes, networks.items()):
    for ax, layer in zip(row, (0, 2, 4, 6, 9)):
        values = outputs[layer].ravel()
        values = values[values > 0] if name.startswith("ReLU") else values
        ax.hist(values, bins=50, range=(-1, 1) if name.startswith("tanh") else (0, 3), color=COLORS[0], density=True)
        ax.set_yticks([])
        ax.set_title(f"layer {layer + 1}: {size[name][layer]:.1e}", fontsize="small")
    row[0].set_ylabel(name)
axes = chapter.figure("sizes", 1, 2, figsize=(9, 3.3), sharey=True)
for ax, values, title in zip(axes, (size, arriving), ("signal after each layer", "gradient before each layer")):
    for color, (name, line) in zip(COLORS, values.items()):
        ax.semilogy(range(1, 11), line, color=color, label=name)
    ax.set(title=title, xlabel="layer")
axes[0].set_ylabel("root of the mean square")
axes[1].legend(fontsize="small")

# %% [markdown]
# ## 5.4 Biases (偏置的初始化)
# Some begin the biases of ReLU layers with 0.01, so that all units fire at first. Over many networks it makes no
# consistent difference: the mean of the differences is within twice its standard error.

# %%
differences = []
for seed in range(opt.num_seeds):
    scores = []
    for bias in (0.0, 0.01):
        drawn = np.random.default_rng(seed)
        layers = [Dense(scratch.weights((D, 50), "he", drawn), np.full(50, bias)), ReLU()]
        network = Network([*layers, Dense(scratch.weights((50, K), "he", drawn), np.zeros(K))])
        list(scratch.train(network, X, learnt.labels, opt.num_epochs, lr=0.1, seed=seed))
        scores.append(network.accuracy(X_valid, splits.valid.labels))
    differences.append(scores[1] - scores[0])
mean, error = float(np.mean(differences)), float(np.std(differences, ddof=1) / np.sqrt(opt.num_seeds))
better = sum(difference > 0 for difference in differences)
print(f"0.01 beside 0: accuracy {mean:+.4f} ± {error:.4f}; better {better} times of {opt.num_seeds}")
if not OWN:
    chapter.claim("5.4", abs(mean) < 2 * error + 0.002 and abs(mean) < 0.01)

# %%
chapter.report(signal_kept=kept, gradient_kept=back, bias_difference=mean, its_standard_error=error)
