"""Chapter 6: batch normalisation

Asks:    what does batch normalisation compute, forward and back, and what does it make a network indifferent to?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 10 s (--quick 5 s) on two cores.
Claims:  6.1 6.2 6.3
"""

# %% [markdown]
# # Batch normalisation (批量归一化)
# Preprocessing inside of the network: after a dense or convolutional layer, and before its activation, every feature x
# gets mean 0 and variance 1 over the batch, then a scale γ and a shift β that are learnt (Ioffe & Szegedy 2015). With
# the batch's mean μ and variance σ², and a small ε,
#
# $$
# \hat{x} = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad y = \gamma \hat{x} + \beta
# $$

# %%
import inspect

import numpy as np

from gluonbook import chapter, data, scratch
from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.plot import COLORS
from gluonbook.scratch import BatchNorm, Dense, Network, ReLU, Sigmoid, softmax_cross_entropy

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_epochs=chapter.option(15, quick=8, help="of each network"),
    num_seeds=chapter.option(3, quick=1, help="each network is trained so often"),
)
rng = np.random.default_rng(opt.seed)
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
splits = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
train, valid = splits.train.subset(slice(1200)), splits.valid
X_train, X_valid = data.scaled(train.images), data.scaled(valid.images)
D, K = X_train[0].size, len(train.classes)

# %% [markdown]
# ## 6.1 Forward and back (前向与反向)
# Mean and variance depend on every value of the batch, and so does the gradient: what is common to the batch, and what
# lies along the normalised values, is taken out of it. With dy, what arrives at the output, and means over the batch:
#
# $$
# g = \gamma \, dy, \qquad
# dx = \frac{g - \operatorname{mean}(g) - \hat{x} \operatorname{mean}(g \hat{x})}{\sqrt{\sigma^2 + \epsilon}}
# $$

# %%
print(inspect.getsource(BatchNorm.backward))
for shape in ((8, 4), (3, 4, 5, 5)):
    X, dY = rng.normal(size=shape) * 2 + 1, rng.normal(size=shape)
    gamma, beta = rng.normal(size=4), rng.normal(size=4)
    ours = BatchNorm(gamma, beta, momentum=0.9)
    theirs = gluon.nn.BatchNorm(momentum=0.9, epsilon=1e-5, in_channels=4)
    theirs.cast("float64")
    theirs.initialize()
    theirs.gamma.set_data(nd.array(gamma, dtype="float64"))
    theirs.beta.set_data(nd.array(beta, dtype="float64"))
    array = nd.array(X, dtype="float64")
    array.attach_grad()
    with autograd.record():
        output = theirs(array)
    output.backward(nd.array(dY, dtype="float64"))
    Y, dX = ours.forward(X, train=True), ours.backward(dY)
    chapter.claim("6.1", np.allclose(Y, output.asnumpy(), atol=1e-5))
    chapter.claim("6.1", np.allclose(dX, array.grad.asnumpy(), atol=1e-5))
    chapter.claim("6.1", np.allclose(ours.grads["gamma"], theirs.gamma.grad().asnumpy(), atol=1e-5))
    chapter.claim("6.1", np.allclose(ours.grads["beta"], theirs.beta.grad().asnumpy(), atol=1e-5))
    chapter.claim("6.1", np.allclose(ours.running_mean, theirs.running_mean.data().asnumpy(), atol=1e-6))
    chapter.claim("6.1", np.allclose(ours.running_var, theirs.running_var.data().asnumpy(), atol=1e-6))
    chapter.claim("6.1", np.allclose(ours.forward(X), theirs(array).asnumpy(), atol=1e-5))  # by the running statistics

    def f(X, gamma=gamma, beta=beta, dY=dY):
        return (BatchNorm(gamma, beta).forward(X, train=True) * dY).sum()

    checked = scratch.check_gradient(f, X, dX)
    print(f"{shape}: worst relative error of the gradient, numerically, {checked.error:.1e} at {checked.place}")
    chapter.claim("6.1", checked.error < 1e-5)
normal = BatchNorm(np.ones(4), np.zeros(4)).forward(rng.normal(size=(500, 4)) * 7 - 3, train=True)
chapter.claim("6.1", np.allclose(normal.mean(axis=0), 0) and np.allclose(normal.std(axis=0), 1, atol=1e-4))

# %% [markdown]
# ## 6.2 Bad initial scales (对不好的初始值更鲁棒)
# Six layers, whose weights begin ten times too small, right, or five times too large. The plain network learns with the
# right ones only. With batch normalisation between layer and activation all three learn: a scale of the weights is
# divided out again.


# %%
def build(scale, normalise, activation=ReLU, num_layers=6, seed=0):
    """Return hidden layers of 64 units, and a dense layer over the classes; only the former are scaled."""
    rng = np.random.default_rng(seed)
    layers = []
    for num_inputs in [D, *[64] * (num_layers - 2)]:
        layers.append(Dense(scale * scratch.weights((num_inputs, 64), "he", rng), np.zeros(64)))
        layers += [BatchNorm(np.ones(64), np.zeros(64))] if normalise else []
        layers.append(activation())
    return Network([*layers, Dense(scratch.weights((64, K), "he", rng), np.zeros(K))])


curves = {}
for normalise in (False, True):
    for scale in (0.1, 1.0, 5.0):
        runs = []
        for seed in range(opt.num_seeds):
            network, run = build(scale, normalise, seed=seed), []
            epochs = scratch.train(network, X_train, train.labels, opt.num_epochs, lr=0.1, seed=seed)
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    run += [network.accuracy(X_valid, valid.labels) for _ in epochs]
            except ArithmeticError as error:  # the guard against losses that are not finite
                print(f"scale {scale:g}, {'with' if normalise else 'without'}: {error}")
            runs.append(run + [1 / K] * (opt.num_epochs - len(run)))  # it says what a guess says
        curves[scale, normalise] = np.mean(runs, axis=0)
axes = chapter.figure("scales", 1, 2, figsize=(8.4, 3.2), sharey=True)
for (scale, normalise), values in curves.items():
    color = COLORS[(0.1, 1.0, 5.0).index(scale)]
    axes[int(normalise)].plot(range(1, opt.num_epochs + 1), values, color=color, label=f"weights × {scale:g}")
axes[0].set(title="without", xlabel="epoch", ylabel="accuracy on the validation split", ylim=(0, 1))
axes[1].set(title="with batch normalisation", xlabel="epoch")
axes[1].legend(loc="lower right")
final = {f"×{scale:g}, {'with' if n else 'without'}": float(values[-1]) for (scale, n), values in curves.items()}
print(final)
if not OWN:
    chapter.claim("6.2", min(curves[scale, True][-1] for scale in (0.1, 1.0, 5.0)) > 0.75)
    chapter.claim("6.2", curves[1.0, False][-1] > 0.75 and max(curves[0.1, False][-1], curves[5.0, False][-1]) < 0.4)

# %% [markdown]
# ## 6.3 Two cures for saturated sigmoids (从隐藏层与从输出层改进)
# A sigmoid near 0 or 1 hardly lets a gradient through. The notes compare two cures. Batch normalisation works on what
# goes *into* hidden sigmoids: fewer of them are saturated. Cross-entropy takes what comes *out of* the last one: where
# it is certain and wrong, the quadratic loss has a gradient near 0, cross-entropy one near 1.

# %%
X = X_train.reshape(len(X_train), -1)
shares, inputs = {}, {}
for name, normalise in (("without", False), ("with batch normalisation", True)):
    network = build(5.0, normalise, activation=Sigmoid, num_layers=4, seed=opt.seed)
    values, outputs = X, []
    for layer in network.layers[:-1]:
        previous, values = values, layer.forward(values, train=True)
        if isinstance(layer, Sigmoid):
            inputs.setdefault(name, previous.ravel())
            outputs.append(values)
    shares[name] = float(np.mean([(y < 0.05) | (y > 0.95) for y in outputs]))
print("share of saturated hidden sigmoids:", shares)
if not OWN:
    chapter.claim("6.3", shares["without"] > 0.3 and shares["with batch normalisation"] < 0.05)

z = np.linspace(-8, 8, 200)  # what goes into the last sigmoid; the truth is 0
output = 1 / (1 + np.exp(-z))
of_quadratic, of_cross_entropy = output * output * (1 - output), output
chapter.claim("6.3", of_quadratic[-1] < 0.01 and of_cross_entropy[-1] > 0.99)
two_logits = np.stack([np.zeros_like(z), z], axis=1)  # softmax of (0, z) is the sigmoid of z
_, gradient = softmax_cross_entropy(two_logits, np.zeros(len(z), int))
chapter.claim("6.3", np.allclose(gradient[:, 1] * len(z), of_cross_entropy))
axes = chapter.figure("saturation", 1, 2, figsize=(9, 3.2))
for color, (name, values) in zip(COLORS, inputs.items()):
    axes[0].hist(values, bins=80, range=(-20, 20), density=True, alpha=0.7, color=color, label=name)
axes[0].set(title="what goes into the first layer's sigmoids", yticks=[])
axes[0].legend(fontsize="small")
axes[1].plot(z, of_quadratic, color=COLORS[0], label="quadratic")
axes[1].plot(z, of_cross_entropy, color=COLORS[1], label="cross-entropy")
axes[1].set(title="gradient at the last sigmoid's input, truth 0", xlabel="input z: the larger, the more wrong")
axes[1].legend(fontsize="small")

# %%
chapter.report(accuracy=final, saturated=shares)
