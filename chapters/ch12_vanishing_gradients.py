"""Chapter 12: vanishing gradients

Asks:    why do the first layers of a deep network of sigmoids hardly learn, and what does ReLU change?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 8 s (--quick 7 s) on two cores.
Claims:  12.1 12.2
"""

# %% [markdown]
# # Vanishing gradients (梯度消失)
# On its way back through a network a gradient is multiplied, at each layer, by the weights and by the slope of the
# activation. A sigmoid's slope is at most a quarter: after a few layers little is left, and the first layers hardly
# move.

# %%
import numpy as np

from gluonbook import chapter, data, scratch, training
from gluonbook._mxnet import autograd, nd
from gluonbook.plot import COLORS, MUTED
from gluonbook.scratch import Dense, Network, ReLU, Sigmoid, Tanh

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_epochs=chapter.option(20, quick=8, help="of each training"),
)
rng = np.random.default_rng(opt.seed)
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
splits = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
learnt, valid = splits.train.subset(slice(1000)), splits.valid
learnt, valid = (part._replace(images=data.scaled(part.images)) for part in (learnt, valid))
D, K = learnt.images[0].size, len(learnt.classes)
DEPTHS = (2, 3, 4, 5, 6)  # hidden layers
DEEP = 5
START = {Sigmoid: "xavier", ReLU: "he"}  # each activation begins with the weights that suit it
SCALE = {Sigmoid: "1/√n", ReLU: "√(2/n)"}


def build(depth, activation):
    """Return a network of hidden layers of 30 units."""
    rng = np.random.default_rng(opt.seed)
    sizes = [D, *[30] * depth]
    layers = []
    for n, units in zip(sizes, sizes[1:]):
        layers += [Dense(scratch.weights((n, units), START[activation], rng), np.zeros(units)), activation()]
    return Network([*layers, Dense(scratch.weights((30, K), START[activation], rng), np.zeros(K))])


def gradient_norms(network):
    """Return the norm of the gradient of each layer's weights, over all examples; the last is the output layer's."""
    network.backward(scratch.softmax_cross_entropy(network.forward(learnt.images), learnt.labels)[1])
    return [float(np.linalg.norm(layer.grads["W"])) for layer in network.layers if isinstance(layer, Dense)]


# %% [markdown]
# ## 12.1 The product (连乘)
# A chain of six neurons, one a layer. The derivative of its output a by the first bias is a product, with σ′ for the
# bias's own layer and a factor for each later one:
#
# $$
# \frac{\partial a}{\partial b_1} = \sigma'(z_1) \prod_{l=2}^{6} w_l \sigma'(z_l)
# $$

# %%
w = rng.normal(size=6)
chain = Network([layer for value in w for layer in (Dense([[value]], [0.0]), Sigmoid())])
a = np.array([[rng.normal()]])
slopes = []
for layer in chain.layers:
    a = layer.forward(a)
    if isinstance(layer, Sigmoid):
        slopes.append((a * (1 - a)).item())
chain.backward(np.ones((1, 1)))
found = chain.layers[0].grads["b"].item()
product = slopes[0] * np.prod([weight * slope for weight, slope in zip(w[1:], slopes[1:])])
print("factors:", [round(weight * slope, 3) for weight, slope in zip(w[1:], slopes[1:])])
print(f"their product {product:.3e}, the network's gradient {found:.3e}")
chapter.claim("12.1", abs(found - product) < 1e-12 * abs(product))
chapter.claim("12.1", max(slopes) <= 0.25 and abs(found) <= 0.25**6 * np.abs(w[1:]).prod())

# %% [markdown]
# ## 12.2 Three slopes (导数)
# Of the sigmoid and of tanh the slopes are
#
# $$
# \sigma'(z) = \sigma(z) (1 - \sigma(z)), \qquad \tanh'(z) = 1 - \tanh(z)^2
# $$
#
# σ′ is a quarter at 0 and less elsewhere; tanh′ is 1 at 0 alone; that of ReLU is exactly 1 for all positive inputs, and
# exactly 0 for negative ones: a path through active ReLUs is multiplied by its weights and nothing else.

# %%
z = np.linspace(-6, 6, 241)
gluons = {"σ′": nd.sigmoid, "tanh′": nd.tanh, "ReLU′": nd.relu}
derivative = {}
for (name, operator), layer in zip(gluons.items(), (Sigmoid(), Tanh(), ReLU())):
    layer.forward(z)
    derivative[name] = layer.backward(np.ones_like(z))
    x = nd.array(z, dtype="float64")
    x.attach_grad()
    with autograd.record():
        out = operator(x)
    out.backward()
    apart = float(np.abs(derivative[name] - x.grad.asnumpy()).max())
    print(f"{name} is at most {derivative[name].max():.2f}; from autograd's it differs by {apart:.0e}")
    chapter.claim("12.2", apart < 1e-12)
chapter.claim("12.1", derivative["σ′"].max() == 0.25 and z[derivative["σ′"].argmax()] == 0)
chapter.claim("12.2", (derivative["ReLU′"][z > 0] == 1).all() and (derivative["ReLU′"][z <= 0] == 0).all())
ax = chapter.figure("slopes", figsize=(5.6, 3.2))
for color, (name, line) in zip(COLORS, derivative.items()):
    ax.plot(z, line, color=color, label=name)
ax.axhline(0.25, color=MUTED, linewidth=0.8, linestyle=":")
ax.set(xlabel="z", ylabel="derivative", yticks=(0, 0.25, 0.5, 0.75, 1))
ax.legend()

# %% [markdown]
# ## 12.1 and 12.2 Before the first step (层数越多，前面的层越慢)
# Networks of two to six hidden layers, before any training. With sigmoids the gradient of the weights shrinks by a
# factor at each layer on the way back, so the deeper a network is, the less arrives at the first layer. With ReLU, and
# He's weights, all layers get about as much.

# %%
at_start = {kind: {depth: gradient_norms(build(depth, kind)) for depth in DEPTHS} for kind in START}
ratio = {  # first hidden layer over last hidden layer
    kind.__name__: {depth: norms[0] / norms[-2] for depth, norms in lines.items()} for kind, lines in at_start.items()
}
for name, values in ratio.items():
    print(f"{name}: first layer over last, by depth:", {depth: f"{value:.1e}" for depth, value in values.items()})
sigmoids = at_start[Sigmoid].values()
begin = 0 if opt.data == "digits" else 1  # with more pixels the first layer has many more weights than the others
if not OWN:
    chapter.claim("12.1", all(norms[i] < norms[i + 1] for norms in sigmoids for i in range(begin, len(norms) - 2)))
    chapter.claim("12.1", all(ratio["Sigmoid"][depth + 1] < 0.7 * ratio["Sigmoid"][depth] for depth in DEPTHS[:-1]))
    chapter.claim("12.1", ratio["Sigmoid"][6] < 0.01)
    chapter.claim("12.2", all(0.2 < value < 20 for value in ratio["ReLU"].values()))
axes = chapter.figure("depths", 1, 2, figsize=(9, 3.4), sharey=True)
for ax, (kind, lines) in zip(axes, at_start.items()):
    for color, (depth, norms) in zip(COLORS, lines.items()):
        ax.semilogy(range(1, depth + 1), norms[:-1], "o-", color=color, label=f"{depth} hidden layers", markersize=4)
    ax.set(title=f"{kind.__name__}, weights {SCALE[kind]}", xlabel="hidden layer", xticks=range(1, max(DEPTHS) + 1))
axes[0].set_ylabel("norm of the gradient at the start")
axes[1].legend(fontsize="small")

# %% [markdown]
# ## During a training (训练过程中)
# The same network of five hidden layers with both activations, at several learning rates: for each activation the rate
# counts whose accuracy is best at the end. The sigmoids stay near chance with each of them. A line that falls to 0 is a
# training whose loss overflowed.

# %%
RATES = (0.03, 0.1, 0.3, 1.0)
runs = {}
np.seterr(over="ignore", invalid="ignore")  # where a rate is too large, the loop says so
for kind in START:
    for lr in RATES:
        network = build(DEEP, kind)
        norms, accuracies = [gradient_norms(network)], [network.accuracy(valid.images, valid.labels)]
        try:
            for _ in scratch.train(network, learnt.images, learnt.labels, opt.num_epochs, lr, 20, seed=opt.seed):
                norms.append(gradient_norms(network))
                accuracies.append(network.accuracy(valid.images, valid.labels))
        except training.NonFiniteLoss as error:
            print(f"{kind.__name__}: {error}")
            accuracies.append(0.0)
        runs[kind.__name__, lr] = np.array(norms), accuracies
best = {name: max(RATES, key=lambda lr: runs[name, lr][1][-1]) for name in ("Sigmoid", "ReLU")}
accuracy = {name: runs[name, lr][1][-1] for name, lr in best.items()}
kept = {name: runs[name, 0.1][0] for name in best}  # (epochs + 1, layers), at the same rate
middle = {name: float(np.median(norms[1:, 0] / norms[1:, -2])) for name, norms in kept.items()}
print("accuracy:", accuracy, "with the rates", best)
print("first layer's gradient over the last hidden one's, median of the epochs:", middle)
margin = 0.3 if opt.data == "digits" else 0.1
if not OWN:
    chapter.claim("12.1", (kept["Sigmoid"][:, 0] < kept["Sigmoid"][:, -2] / 3).all())
    chapter.claim("12.2", middle["ReLU"] > 0.3 and middle["ReLU"] > 3 * middle["Sigmoid"])
    chapter.claim("12.2", accuracy["ReLU"] > accuracy["Sigmoid"] + margin)

# %%
axes = chapter.figure("epochs", 1, 2, figsize=(9, 3.4), sharey=True)
for ax, (name, norms) in zip(axes, kept.items()):
    for number, color in zip(range(DEEP), COLORS):
        ax.semilogy(norms[:, number], color=color, label=f"hidden layer {number + 1}")
    ax.set(title=f"{name}, learning rate 0.1", xlabel="epoch")
    ax.locator_params(axis="x", integer=True)
axes[0].set_ylabel("norm of the gradient")
axes[1].legend(fontsize="small", ncols=2, loc="lower left")
axes = chapter.figure("accuracy", 1, 2, figsize=(9, 3.2), sharey=True)
for ax, name in zip(axes, best):
    for color, lr in zip(COLORS, RATES):
        ax.plot(runs[name, lr][1], color=color, label=f"learning rate {lr:g}")
    ax.set(title=f"{name}, five hidden layers", xlabel="epoch", ylim=(0, 1))
    ax.locator_params(axis="x", integer=True)
axes[0].set_ylabel("accuracy on the validation split")
axes[0].legend(loc="upper left")

# %%
chapter.report(
    first_over_last_with_sigmoids=ratio["Sigmoid"],
    first_over_last_with_relu=ratio["ReLU"],
    first_over_last_while_training=middle,
    accuracy=accuracy,
    best_rates=best,
)
