"""Chapter 3: pooling

Asks:    what does pooling keep and drop, how does a gradient find its way back, and what do the first layers cost?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 40 s (--quick 5 s) on two cores.
Claims:  3.1 3.2 3.3 3.4 3.5 3.6 3.7
"""

# %% [markdown]
# # Pooling (汇聚层)
# Between convolutions a pooling layer makes maps smaller: of each window it keeps the maximum, channel by channel.

# %%
import numpy as np

from gluonbook import chapter, data, scratch, training
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.plot import COLORS
from gluonbook.scratch import Conv2D, MaxPool2D, output_size

opt = chapter.options(
    data=chapter.option("digits", help="digits or fashion_mnist; the bounds were measured on digits"),
    num_epochs=chapter.option(15, quick=5, help="of the networks with and without pooling"),
    num_seeds=chapter.option(3, quick=1, help="each of them is trained so often"),
)
rng = np.random.default_rng(opt.seed)

# %% [markdown]
# ## 3.1 Sizes (汇聚层的尺寸)
# A window of F pixels a side moves by S over a side of W₁ pixels; u and v go from 0 to F − 1:
#
# $$
# Y_{c,i,j} = \max_{u,v} X_{c, S i + u, S j + v}, \qquad W_2 = \frac{W_1 - F}{S} + 1
# $$
#
# The depth stays, nothing is learnt. F = 2, S = 2 drops three of four activations; with F = 3, S = 2 the windows
# overlap.

# %%
X = rng.normal(size=(2, 5, 8, 8))
pool = MaxPool2D(2)
Y = pool.forward(X)
print(f"{X.shape} becomes {Y.shape}")
chapter.claim("3.1", Y.shape == (2, 5, output_size(8, 2, 2), output_size(8, 2, 2)) and not pool.params)
chapter.claim("3.1", 1 - Y.size / X.size == 0.75)
overlapping = MaxPool2D(3, stride=2).forward(rng.normal(size=(1, 1, 7, 7)))
held = scratch.col2im(np.ones((1, 9, 9)), (1, 1, 7, 7), 3, stride=2)[0, 0]  # windows that hold each pixel
chapter.claim("3.1", overlapping.shape == (1, 1, 3, 3) and held.max() == 4 and held.min() == 1)
apart = scratch.col2im(np.ones((1, 4, 16)), (1, 1, 8, 8), 2, stride=2)
chapter.claim("3.1", (apart == 1).all())

# %% [markdown]
# ## 3.2 The way back (道岔)
# Forward, the layer notes where each maximum was: the switches. Back, the gradient goes there and nowhere else.

# %%
small = rng.permutation(16).reshape(1, 1, 4, 4).astype(float)
pool = MaxPool2D(2)
maxima = pool.forward(small)
back = pool.backward(np.arange(1.0, 5).reshape(maxima.shape))
axes = chapter.figure("switches", 1, 3, figsize=(8.2, 2.9), width_ratios=[4, 2, 4])
for ax, shown, title in zip(axes, (small, maxima, back), ("input", "maxima", "gradient, sent back")):
    image = shown[0, 0]
    ax.imshow(image > 0 if title.startswith("gradient") else np.isin(image, maxima), cmap="Greys", vmin=0, vmax=3)
    for (row, col), value in np.ndenumerate(image):
        ax.text(col, row, f"{value:.0f}", ha="center", va="center")
    ax.set(title=title, xticks=[], yticks=[])
    for line in range(2, len(image), 2):
        ax.axhline(line - 0.5, color=COLORS[1])
        ax.axvline(line - 0.5, color=COLORS[1])
chapter.claim("3.2", ((back > 0) == np.isin(small, maxima)).all() and sorted(back[back > 0]) == [1, 2, 3, 4])

for size, stride in ((2, 2), (3, 2)):
    X = rng.normal(size=(2, 3, 9, 9) if size == 3 else (2, 3, 8, 8))
    pool = MaxPool2D(size, stride)
    dY = rng.normal(size=pool.forward(X).shape)
    array = nd.array(X, dtype="float64")
    array.attach_grad()
    with autograd.record():
        pooled = nd.Pooling(array, kernel=(size, size), stride=(stride, stride), pool_type="max")
    pooled.backward(nd.array(dY, dtype="float64"))
    chapter.claim("3.2", np.allclose(pool.forward(X), pooled.asnumpy()))
    chapter.claim("3.2", np.allclose(pool.backward(dY), array.grad.asnumpy()))

# %% [markdown]
# ## 3.3 Small shifts (平移的容忍)
# Two networks learn the digits as they stand; then they are shown digits moved by one pixel, an eighth of the picture.
# They differ in one thing only: after the convolution the first keeps the maximum of each 2×2 window, the second the
# upper left value of it. Both have equally many weights.

# %%
splits = data.read_classes(opt.data, seed=opt.seed)
learnt = splits.train.subset(slice(1200))


class UpperLeft(gluon.nn.HybridBlock):
    """Of each 2x2 window the upper left value: (N, C, H, W) to (N, C, H/2, W/2)."""

    def hybrid_forward(self, F, X):
        return F.slice(X, begin=(None, None, None, None), end=(None, None, None, None), step=(1, 1, 2, 2))


def build(pooling, seed):
    mx.random.seed(seed)
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(32, 3, padding=1, activation="relu"))
    net.add(gluon.nn.MaxPool2D(2) if pooling else UpperLeft())
    net.add(gluon.nn.Conv2D(32, 3, padding=1, activation="relu"))
    net.add(gluon.nn.MaxPool2D(2) if pooling else UpperLeft())
    net.add(gluon.nn.Dense(10))
    net.initialize(mx.init.Xavier(), ctx=opt.device)
    net.hybridize()
    return net


def shifted(images, down, right):
    """Move pictures (n, C, H, W); what comes in is black."""
    moved = np.zeros_like(images)
    H, W = images.shape[2:]
    moved[:, :, max(down, 0) : H + min(down, 0), max(right, 0) : W + min(right, 0)] = images[
        :, :, max(-down, 0) : H + min(-down, 0), max(-right, 0) : W + min(-right, 0)
    ]
    return moved


moves = [(0, 1), (0, -1), (1, 0), (-1, 0)]
loss = gluon.loss.SoftmaxCrossEntropyLoss()
results = {"with pooling": [], "without": []}
for name, runs in results.items():
    for seed in range(opt.num_seeds):
        net = build(name == "with pooling", opt.seed + seed)
        trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.003})
        batches = data.Batches(learnt, 32, seed=seed)
        training.fit(net, batches, data.Batches(splits.valid, 300), loss, trainer, opt.num_epochs, devices=[opt.device])
        found = []
        for down, right in [(0, 0), *moves]:
            moved = splits.test._replace(images=shifted(splits.test.images, down, right))
            found.append(training.accuracy(data.Batches(moved, 300), net, [opt.device]))
        runs.append((found[0], np.mean(found[1:])))
accuracy = {name: np.mean(runs, axis=0) for name, runs in results.items()}
ax = chapter.figure("shifts", figsize=(5.4, 3.2))
for i, (name, values) in enumerate(accuracy.items()):
    drawn = ax.bar(np.arange(2) + 0.38 * (i - 0.5), values, width=0.36, color=COLORS[i], label=name)
    ax.bar_label(drawn, fmt="%.2f", padding=2)
ax.set_xticks([0, 1], ["as learnt", "moved by a pixel"])
ax.set(ylabel="accuracy on the test split", ylim=(0, 1.15))
ax.legend(loc="upper right")
print({name: values.round(3).tolist() for name, values in accuracy.items()})
chapter.claim("3.3", accuracy["with pooling"][1] > accuracy["without"][1] + 0.05)

# %% [markdown]
# ## 3.4 Strides in place of pooling (不使用汇聚层)
# The all-convolutional net (Springenberg et al. 2015) drops pooling: a convolution with stride 2 makes maps as small.
# Its weights learn what to keep.

# %%
X = rng.normal(size=(1, 3, 32, 32))
keeping = Conv2D(rng.normal(size=(8, 3, 3, 3)), np.zeros(8), padding=1)
pooled = MaxPool2D(2).forward(keeping.forward(X))
strided = Conv2D(rng.normal(size=(8, 3, 2, 2)), np.zeros(8), stride=2).forward(X)
print(f"convolution and pooling {pooled.shape}, one convolution with stride 2 {strided.shape}")
chapter.claim("3.4", pooled.shape == strided.shape == (1, 8, 16, 16))

# %% [markdown]
# ## 3.5 Padding that keeps the size (零填充)
# With S = 1, P = (F − 1)/2 keeps the size.

# %%
paddings = {F: (F - 1) // 2 for F in (1, 3, 5, 7)}
chapter.claim("3.5", paddings[3] == 1 and paddings[5] == 2)
chapter.claim("3.5", all(output_size(224, F, 1, P) == 224 for F, P in paddings.items()))

# %% [markdown]
# ## 3.6 and 3.7 What the first layer costs (内存限制)
# The notes: 64 filters of 3×3 on 224×224×3 give [224×224×64], "ten million activations, 72 MB". One such volume is 3.2
# million numbers, 12.25 MiB in float32. Three layers of that size are ten million activations, and with their gradients
# they fill 73.5 MiB: that is where the notes' numbers belong. Networks that save memory do it in the first layer.
# (On 224 pixels ZFNet's 7×7 with stride 2 does not end at the border, whatever the padding: its 110 are those of 225.)

# %%
volume = 224 * 224 * 64
megabytes = 4 * volume / 2**20
print(f"one volume: {volume:,} activations, {megabytes} MiB; three: {3 * volume:,}, with gradients {6 * megabytes} MiB")
chapter.claim("3.6", volume == 3_211_264 and megabytes == 12.25)
chapter.erratum(
    "3.6",
    volume < 10_000_000 / 3 and round(3 * volume, -6) == 10_000_000 and 72 <= 6 * megabytes < 74,
    notes="64 filters of 3×3 on 224×224×3 give ten million activations, 72 MB a picture.",
    truth="One volume of 224×224×64 is 3.2 million numbers, 12.25 MiB in float32; three layers of it, activations and "
    "gradients together, are 73.5 MiB.",
)
first_layers = {
    "3×3, stride 1": (output_size(224, 3, 1, 1), 64),
    "ZFNet 7×7, stride 2": (output_size(225, 7, 2), 96),
    "AlexNet 11×11, stride 4": (output_size(227, 11, 4), 96),
}
cost = {name: 4 * side**2 * maps / 2**20 for name, (side, maps) in first_layers.items()}
print({name: side for name, (side, _) in first_layers.items()})
chapter.claim("3.7", [side for side, _ in first_layers.values()] == [224, 110, 55])
chapter.claim("3.7", cost["3×3, stride 1"] > 2 * cost["ZFNet 7×7, stride 2"] > 4 * cost["AlexNet 11×11, stride 4"])
ax = chapter.figure("first_layers", figsize=(6.4, 2.2))
ax.barh(list(cost), list(cost.values()), color=COLORS[0], height=0.6)
ax.bar_label(ax.containers[0], fmt="%.1f", padding=3)
ax.invert_yaxis()
ax.set(xlabel="MiB of activations a picture", xlim=(0, 15))

# %%
chapter.report(accuracy={name: values.tolist() for name, values in accuracy.items()}, first_layer_mebibytes=cost)
