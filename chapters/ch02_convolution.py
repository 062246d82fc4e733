"""Chapter 2: convolution

Asks:    what does a convolutional layer compute, how large is its output, how many weights has it, and what is im2col?
Needs:   scikit-learn's photograph and digits, no network, no GPU.  Time: 13 s (--quick 10 s) on two cores.
Claims:  2.1 2.2 2.3 2.4 2.5 2.6 2.7 2.8 2.9 2.10 2.11 2.12
"""

# %% [markdown]
# # Convolution (卷积)
# A dense layer forgets that a picture has an above and a beside. A convolutional layer keeps both: a small filter
# slides over the picture, and what it finds in one place it can find in every other.

# %%
import numpy as np
from matplotlib.patches import Rectangle
from scipy import signal

from gluonbook import chapter, data, scratch, training
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.plot import COLORS, MUTED
from gluonbook.scratch import Conv2D, LocallyConnected2D, convolution, output_size

opt = chapter.options(
    num_filters=chapter.option(96, quick=16, help="filters in the im2col example"),
    num_epochs=chapter.option(12, quick=5, help="of the training"),
)
rng = np.random.default_rng(opt.seed)

# %% [markdown]
# ## 2.1 A picture as a long column (拉长成矩阵)
# 32×32×3 numbers become a column of 3,072, and a neuron that sees all of them has as many weights. For 200×200×3 it has
# 120,000, and a layer has many neurons.

# %%
column = np.zeros((32, 32, 3)).reshape(-1, 1)
neuron = scratch.Dense(np.zeros((200 * 200 * 3, 1)), np.zeros(1))
print(f"32x32x3 becomes {column.shape}; a neuron over 200x200x3 has {neuron.params['W'].size:,} weights")
chapter.claim("2.1", column.shape == (3072, 1) and neuron.params["W"].size == 120_000)

# %% [markdown]
# ## 2.2 A filter goes through the whole depth (滤波器)
# A filter of 5×5 over three channels is 5×5×3: at each place a dot product of 75 numbers. With its weights W and its
# bias b, what it makes of a picture X at row i and column j is
#
# $$
# Y_{i,j} = b + \sum_c \sum_u \sum_v W_{c,u,v} \, X_{c,i+u,j+v}
# $$
#
# On 32×32 it fits 28×28 times; each further filter adds a map.

# %%
picture = rng.normal(size=(1, 3, 32, 32))
filters, biases = rng.normal(size=(2, 3, 5, 5)), rng.normal(size=2)
one = Conv2D(filters[:1], biases[:1]).forward(picture)  # (1, 1, 28, 28)
two = Conv2D(filters, biases).forward(picture)  # (1, 2, 28, 28)
here = picture[0, :, 10:15, 20:25]
chapter.claim("2.2", here.size == filters[0].size == 75)
chapter.claim("2.2", np.isclose(one[0, 0, 10, 20], here.ravel() @ filters[0].ravel() + biases[0]))
chapter.claim("2.2", one.shape == (1, 1, 28, 28) and two.shape == (1, 2, 28, 28))
chapter.claim("2.2", np.allclose(two[:, :1], one))

# %% [markdown]
# Three moments of a 3×3 filter with stride 2 on 7×7 pixels: the same nine weights each time.

# %%
tiny = rng.integers(0, 10, size=(7, 7)).astype(float)
edge = np.array([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]])
slid = Conv2D(edge[None, None], np.zeros(1), stride=2).forward(tiny[None, None])[0, 0]  # (3, 3)
axes = chapter.figure("sliding", 2, 3, figsize=(8.2, 5.6), height_ratios=[7, 3])
for (above, below), (i, j) in zip(axes.T, ((0, 0), (0, 1), (2, 2))):
    above.imshow(tiny, cmap="Greys", vmin=-4, vmax=22)
    above.add_patch(Rectangle((2 * j - 0.5, 2 * i - 0.5), 3, 3, fill=False, edgecolor=COLORS[1], linewidth=3))
    for (row, col), value in np.ndenumerate(tiny):
        above.text(col, row, f"{value:.0f}", ha="center", va="center", fontsize=8)
    for (row, col), weight in np.ndenumerate(edge):
        above.text(2 * j + col + 0.42, 2 * i + row + 0.42, f"×{weight:.0f}", color=COLORS[1], fontsize=6, ha="right")
    seen = np.full((3, 3), np.nan)
    seen.flat[: 3 * i + j + 1] = slid.flat[: 3 * i + j + 1]
    below.imshow(np.zeros((3, 3)), cmap="Greys", vmin=0, vmax=1)
    for (row, col), value in np.ndenumerate(seen):
        now = (row, col) == (i, j)
        color = COLORS[1] if now else MUTED
        below.text(col, row, "" if np.isnan(value) else f"{value:.0f}", ha="center", va="center", color=color)
    for ax in (above, below):
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(True)
axes[0, 0].set_title("picture, 7×7", fontsize="medium")
axes[1, 0].set_title("output, 3×3", fontsize="medium")

# %% [markdown]
# ## 2.3 How large the output is (输出大小)
# Along a side of N pixels with a padding P, a filter of F pixels that moves by a stride S has so many places:
#
# $$
# \frac{N - F + 2P}{S} + 1
# $$
#
# Where that is no whole number the filter does not end at the border: here it is refused. (MXNet takes the whole part
# and leaves the last pixels unseen.)

# %%
sizes = {
    (N, F, S, P): output_size(N, F, S, P) for N, F, S, P in ((7, 3, 1, 0), (7, 3, 2, 0), (7, 3, 1, 1), (32, 5, 1, 2))
}
print(sizes)
chapter.claim("2.3", list(sizes.values()) == [5, 3, 7, 32])
for (N, F, S, P), expected in sizes.items():
    layer = Conv2D(np.zeros((1, 1, F, F)), np.zeros(1), stride=S, padding=P)
    chapter.claim("2.3", layer.forward(np.zeros((1, 1, N, N))).shape[2:] == (expected, expected))
try:
    output_size(7, 3, stride=3)
    refused = ""
except ValueError as error:
    refused = str(error)
print("refused:", refused)
chapter.claim("2.3", "does not fit 7 pixels" in refused and "2.33" in refused)

# %% [markdown]
# ## 2.4 Why zeros around the picture (填充)
# How many windows hold each pixel: without padding a corner is read once, a pixel in the middle F² times. Padding lets
# windows reach over the border: the corner is read more often, and the output keeps the picture's size. The share that
# a corner has of a middle pixel's readings grows, but it does not become 1.

# %%
F = 5


def readings(size, padding):
    """Return how many windows hold each pixel, (size, size)."""
    places = output_size(size, F, padding=padding) ** 2
    return scratch.col2im(np.ones((1, F * F, places)), (1, 1, size, size), F, padding=padding)[0, 0]


axes = chapter.figure("padding", 1, 2, figsize=(7.2, 3.2))
counts = {padding: readings(14, padding) for padding in (0, (F - 1) // 2)}
for ax, (padding, count) in zip(axes, counts.items()):
    image = ax.imshow(count, cmap="viridis", vmin=0, vmax=F * F)
    ax.set(title=f"padding {padding}: corner {count[0, 0]:.0f}, middle {count[7, 7]:.0f}", xticks=[], yticks=[])
axes[0].figure.colorbar(image, ax=axes, label="windows that hold a pixel", shrink=0.8)
chapter.claim("2.4", counts[0][0, 0] == 1 and counts[0][7, 7] == F * F)
chapter.claim("2.4", counts[2][0, 0] == 9 and counts[2][7, 7] == F * F)
chapter.claim("2.4", output_size(14, F, padding=2) == 14)

# %% [markdown]
# ## 2.5 and 2.9 Shared weights, and none shared (参数共享、局部连接层)
# 96 filters of 11×11×3 over 227×227 with stride 4 give 55×55×96 outputs from 34,848 weights and 96 biases. Without
# sharing every position has filters of its own. A weight that is used everywhere gets the sum of the gradients of all
# places: the convolution's gradient is the locally connected layer's, added over the positions.

# %%
num_weights = 96 * 11 * 11 * 3
positions = output_size(227, 11, 4)
unshared = positions**2 * num_weights
print(f"shared: {num_weights:,} weights, {num_weights + 96:,} with biases; unshared: {unshared:,}")
chapter.claim("2.5", (num_weights, num_weights + 96) == (34_848, 34_944))
chapter.claim("2.9", unshared == 3025 * num_weights)

few, X = rng.normal(size=(2, 3, 3, 3)), rng.normal(size=(2, 3, 6, 6))
shared = Conv2D(few, np.zeros(2))
local = LocallyConnected2D(np.broadcast_to(few, (4, 4, *few.shape)), np.zeros((2, 4, 4)))
chapter.claim("2.9", np.allclose(shared.forward(X), local.forward(X)))
dY = rng.normal(size=(2, 2, 4, 4))
chapter.claim("2.5", np.allclose(shared.backward(dY), local.backward(dY)))
chapter.claim("2.5", np.allclose(shared.grads["W"], local.grads["W"].sum(axis=(0, 1))))
chapter.claim("2.9", local.params["W"].size == 16 * shared.params["W"].size and local.grads["W"].shape[:2] == (4, 4))

# %% [markdown]
# ## 2.6 What the entries of a filter sum to (滤波器元素之和与亮度)
# Where the entries sum to 1 the brightness stays, above it grows, below it falls, and at 0 all but the edges is nearly
# black.

# %%
photograph = data.sample_picture("china").astype(float) @ [0.299, 0.587, 0.114] / 255  # (H, W), from 0 to 1
blur = np.ones((5, 5)) / 25
kernels = {"sum 1": blur, "sum 1.5": 1.5 * blur, "sum 0.5": 0.5 * blur, "sum 0": np.full((3, 3), -1 / 8)}
kernels["sum 0"][1, 1] = 1
axes = chapter.figure("brightness", 1, 5, figsize=(11, 1.9))
brightness = {"picture": photograph.mean()}
axes[0].imshow(photograph, cmap="gray", vmin=0, vmax=1)
for ax, (name, kernel) in zip(axes[1:], kernels.items()):
    filtered = Conv2D(kernel[None, None], np.zeros(1)).forward(photograph[None, None])[0, 0]
    brightness[name] = np.abs(filtered).mean()
    ax.imshow(np.abs(filtered), cmap="gray", vmin=0, vmax=1)
for ax, (name, mean) in zip(axes, brightness.items()):
    ax.set(title=f"{name}: mean {mean:.2f}", xticks=[], yticks=[])
chapter.claim("2.6", abs(brightness["sum 1"] - brightness["picture"]) < 0.01)
chapter.claim("2.6", brightness["sum 1.5"] > 1.4 * brightness["picture"])
chapter.claim("2.6", brightness["sum 0.5"] < 0.6 * brightness["picture"])
chapter.claim("2.6", brightness["sum 0"] < 0.1 * brightness["picture"])

# %% [markdown]
# ## 2.7 A convolution turns its kernel round (卷积核翻转)
# In mathematics a convolution turns the kernel by 180° first. A network's layer does not: it is a cross-correlation,
# and since the kernel is learnt, it makes no difference to what can be learnt. SciPy has both.

# %%
kernel = rng.normal(size=(3, 3))
layer = Conv2D(kernel[None, None], np.zeros(1)).forward(tiny[None, None])[0, 0]
chapter.claim("2.7", np.allclose(layer, signal.correlate2d(tiny, kernel, mode="valid")))
chapter.claim("2.7", not np.allclose(layer, signal.convolve2d(tiny, kernel, mode="valid")))
turned = Conv2D(kernel[None, None, ::-1, ::-1], np.zeros(1)).forward(tiny[None, None])[0, 0]
chapter.claim("2.7", np.allclose(turned, signal.convolve2d(tiny, kernel, mode="valid")))

# %% [markdown]
# ## 2.8 The derivative of a picture (图像的求导)
# Pixels a b c / d e f / g h i: across, the notes take dx = f − d or f − e, which is right. Downward they give h − i:
# that is a difference of neighbours in one row. It must be h − b, or h − e. Two ramps tell them apart: one that grows
# downward, one that grows to the right. Sobel's dx and dy, as the notes have them, are right.

# %%
down, right = np.mgrid[0:3, 0:3].astype(float)


def derivatives(pixels):
    (_, b, _), (d, e, f), (_, h, i) = pixels
    return {"f-d": f - d, "f-e": f - e, "h-b": h - b, "h-e": h - e, "h-i": h - i}


of_down, of_right = derivatives(down), derivatives(right)
print("a ramp downward:", of_down)
print("a ramp to the right:", of_right)
chapter.claim("2.8", of_right["f-d"] == 2 and of_right["f-e"] == 1 and of_down["f-d"] == of_down["f-e"] == 0)
blind = of_down["h-i"] == 0 and of_right["h-i"] != 0
seeing = of_down["h-b"] == 2 and of_down["h-e"] == 1 and of_right["h-b"] == of_right["h-e"] == 0
chapter.erratum(
    "2.8",
    blind and seeing,
    notes="In the neighbourhood a b c / d e f / g h i the vertical derivative at e is dy = h − i (or h − e).",
    truth="h − i is a horizontal difference: 0 on a ramp that grows downward. It must be dy = h − b (or h − e).",
)

# %%
sobel_x = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])  # (c + 2f + i) − (a + 2d + g)
sobel_y = sobel_x.T  # (g + 2h + i) − (a + 2b + c)
both = Conv2D(np.stack([sobel_x, sobel_y])[:, None], np.zeros(2))
chapter.claim("2.8", both.forward(right[None, None]).ravel().tolist() == [8, 0])
chapter.claim("2.8", both.forward(down[None, None]).ravel().tolist() == [0, 8])
dx, dy = both.forward(photograph[None, None])[0]
axes = chapter.figure("edges", 1, 3, figsize=(10.4, 2.6))
for ax, (title, shown) in zip(axes, {"|dx|": np.abs(dx), "|dy|": np.abs(dy), "√(dx² + dy²)": np.hypot(dx, dy)}.items()):
    ax.imshow(shown, cmap="gray", vmin=0, vmax=2)
    ax.set(title=title, xticks=[], yticks=[])

# %% [markdown]
# ## 2.10 An example with numbers (卷积层例子)
# X is (11, 11, 4), F = 5, S = 2, P = 0: (11 − 5)/2 + 1 = 4 places a side. The notes list what each output is.

# %%
X, W, b = rng.normal(size=(11, 11, 4)), rng.normal(size=(2, 5, 5, 4)), rng.normal(size=2)
layer = Conv2D(W.transpose(0, 3, 1, 2), b, stride=2)  # filters (O, C, kh, kw)
V = layer.forward(X.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)
print("V has the shape", V.shape)
chapter.claim("2.10", V.shape == (4, 4, 2))
listed = {
    (0, 0, 0): X[:5, :5, :],
    (1, 0, 0): X[2:7, :5, :],
    (2, 0, 0): X[4:9, :5, :],
    (3, 0, 0): X[6:11, :5, :],
    (0, 1, 1): X[:5, 2:7, :],
    (2, 3, 1): X[4:9, 6:11, :],
}
for place, window in listed.items():
    chapter.claim("2.10", np.isclose(V[place], np.sum(window * W[place[2]]) + b[place[2]]))

# %% [markdown]
# ## 2.11 One large matrix product (im2col)
# Every window becomes a column; the filters become rows; one product gives all outputs. A 227×227×3 picture with
# filters of 11×11 and stride 4 becomes 363×3025. It costs memory: pixels stand in it once for each window around them.

# %%
O = opt.num_filters
image = rng.normal(size=(1, 3, 227, 227))
filters, biases = rng.normal(size=(O, 3, 11, 11)), rng.normal(size=O)
X_col = scratch.im2col(image, kernel=11, stride=4)[0]  # (363, 3025)
W_row = filters.reshape(O, -1)  # (O, 363)
result = (W_row @ X_col + biases[:, None]).reshape(O, 55, 55)
print(f"X_col {X_col.shape}, W_row {W_row.shape}, product {(W_row @ X_col).shape}, output {result.shape}")
chapter.claim("2.11", X_col.shape == (363, 3025) and W_row.shape == (O, 363) and result.shape == (O, 55, 55))
chapter.claim("2.11", np.allclose(result, Conv2D(filters, biases, stride=4).forward(image)[0]))
of_mxnet = nd.Convolution(
    *(nd.array(array, dtype="float64") for array in (image, filters, biases)),
    kernel=(11, 11),
    stride=(4, 4),
    num_filter=O,
)
chapter.claim("2.11", np.allclose(result, of_mxnet.asnumpy()[0]))
growth = X_col.nbytes / image.nbytes
view = convolution.windows(image, 11, stride=4)
print(f"the columns need {X_col.nbytes / 1e6:.1f} MB, {growth:.1f} times the picture; the view before them nothing")
chapter.claim("2.11", round(growth, 1) == 7.1 and np.shares_memory(view, image))

# %% [markdown]
# ## 2.12 What filters learn (边缘特征、边角与斑点)
# The notes: the first filters stand for edges, later ones for corners and spots. Two convolutional layers learn to tell
# enlarged digits apart. Noise on their pixels, new for each batch, keeps the filters from being smooth only because the
# pictures are.

# %%
SIDE = 24
splits = data.read_classes("digits", seed=opt.seed, size=SIDE)
mx.random.seed(opt.seed)
net = gluon.nn.HybridSequential()
net.add(
    gluon.nn.Conv2D(8, 7, activation="relu", weight_initializer=mx.init.Normal(0.01)),
    gluon.nn.MaxPool2D(2),
    gluon.nn.Conv2D(24, 5, activation="relu"),
    gluon.nn.GlobalMaxPool2D(),
    gluon.nn.Dense(10),
)
net.initialize(mx.init.Xavier(), ctx=opt.device)
net.hybridize()


def maps_of(pictures):
    """Return what both convolutional layers answer, (n, 8, 18, 18) and (n, 24, 5, 5)."""
    first = net[0](nd.array(pictures, ctx=opt.device))
    return first.asnumpy(), net[2](net[1](first)).asnumpy()


# %% [markdown]
# What does a unit miss where it is shown only what is straight: lines and edges of all directions, lines of several
# widths? Beside them it is shown strokes that bend, and rings, drawn as strongly. With m the largest answer anywhere in
# the pictures of a kind, what it misses is
#
# $$
# 1 - \frac{m_{\text{straight}}}{\max(m_{\text{straight}}, m_{\text{bent}})}
# $$
#
# Units that answer nothing of all this are left out.

# %%
y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
turns = np.arange(16) * np.pi / 8


def inside(distance):
    """Return 1 where a distance from the border is positive, 0 where it is negative, with a soft border."""
    return 1 / (1 + np.exp(-3 * distance))


def stroke(width, *angles):
    """Return a picture of straight arms that leave its middle at these angles."""
    arms = []
    for angle in angles:
        along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        arms.append(inside(width / 2 - np.where(along > 0, np.abs(across), np.hypot(x, y))))
    return np.max(arms, axis=0)


widths = (2, 3, 4, 5)
lines = [stroke(width, turn, turn + np.pi) for width in widths for turn in turns[:8]]
sides = [inside(np.cos(turn) * x + np.sin(turn) * y) for turn in turns]
bends = [stroke(width, t, t + bend) for width in widths for t in turns for bend in turns[2:7]]
rings = [inside(width / 2 - np.abs(np.hypot(x, y) - radius)) for width in widths for radius in (3, 4, 5, 6, 7, 8)]


def missed():
    """Return, by layer, what each unit misses that answers at all."""
    found = []
    kinds = [maps_of(np.stack(pictures)[:, None]) for pictures in (lines + sides, bends + rings)]
    for straight, bent in zip(*kinds):
        straight, best = (m.max(axis=(0, 2, 3)) for m in (straight, np.concatenate([straight, bent])))
        answers = best > 0.02 * best.max()
        found.append(1 - straight[answers] / best[answers])
    return found


# %%
before = missed()
fresh = net[0].weight.data().asnumpy()
noisy = data.Batches(splits.train, 50, opt.seed, lambda X, rng: X + nd.array(rng.normal(0, 0.15, X.shape)))
trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.005})
loss = gluon.loss.SoftmaxCrossEntropyLoss()
history = training.fit(net, noisy, data.Batches(splits.valid, 300), loss, trainer, opt.num_epochs, devices=[opt.device])
learnt = net[0].weight.data().asnumpy()
print(f"accuracy on the validation split: {history[-1]['valid_accuracy']:.2f}")

# %% [markdown]
# An edge filter is a slope under a Gaussian bell, a spot the bell itself, a line its second derivative. What share of a
# filter f of 49 weights lies in the space of these six, Q its orthonormal basis?
#
# $$
# \frac{\lVert Q^\top f \rVert^2}{\lVert f \rVert^2}
# $$
#
# By chance it is 6/49 = 0.12.

# %%
y, x = np.mgrid[-3:4, -3:4].astype(float)
simple = np.exp(-(x**2 + y**2) / 8) * np.stack([np.ones_like(x), x, y, x * x, x * y, y * y])
Q, _ = np.linalg.qr(simple.reshape(6, 49).T)
shares = {}
for name, weights in (("before", fresh), ("after", learnt)):
    columns = weights.reshape(8, 49).T
    shares[name] = float(np.mean(np.sum((Q.T @ columns) ** 2, axis=0) / np.sum(columns**2, axis=0)))
print("share in edges, lines and spots:", {name: round(share, 2) for name, share in shares.items()})
chapter.claim("2.12", shares["before"] < 0.25 and shares["after"] > 0.5)

# %% [markdown]
# With what is straight alone, the first layer misses little after training: an edge is all that it asks for. The second
# misses far more: its units answer better to what bends. But so did both layers before they had learnt anything, for
# random filters ask for no line. Training makes edges of the first layer, and of the second none.

# %%
after = missed()
for when, (of_first, of_second) in (("before", before), ("after", after)):
    print(f"missed where all is straight, {when}: first layer {of_first.mean():.3f}, second {of_second.mean():.3f}")
of_first, of_second = (float(of_layer.mean()) for of_layer in after)
chapter.claim("2.12", of_first < 0.12 and of_second > of_first + 0.05)

# %% [markdown]
# From above: the first layer's filters before and after training, a digit, what these filters and eight units of the
# second layer answer to it, and the parts of digits, 16×16 pixels, that excite each of the eight most. A filter that
# still looks like noise belongs to a unit that hardly answers.

# %%
first, second = maps_of(splits.valid.images)
busiest = np.argsort(-second.max(axis=(2, 3)).mean(axis=0))[:8]  # of the second layer's units
excite = np.zeros((3, 8, 16, 16))
for i, unit in enumerate(busiest):
    for rank, which in enumerate(np.argsort(-second[:, unit].max(axis=(1, 2)))[:3]):
        row, col = np.unravel_index(second[which, unit].argmax(), (5, 5))
        excite[rank, i] = splits.valid.images[which, 0, 2 * row : 2 * row + 16, 2 * col : 2 * col + 16]
digit = np.full((8, SIDE, SIDE), np.nan)
digit[0] = splits.valid.images[0, 0]
rows = {
    "filters before": (fresh[:, 0] / np.abs(fresh).max(axis=(1, 2, 3))[:, None, None], "RdBu_r"),
    "filters after": (learnt[:, 0] / np.abs(learnt).max(axis=(1, 2, 3))[:, None, None], "RdBu_r"),
    "a digit": (digit, "gray"),
    "layer 1": (first[0] / first[0].max(), "viridis"),
    "layer 2": (second[0, busiest] / second[0, busiest].max(), "viridis"),
    "excites layer 2": (excite[0], "gray"),
    "next": (excite[1], "gray"),
    "third": (excite[2], "gray"),
}
axes = chapter.figure("filters", len(rows), 1, figsize=(8, 7.6))
for ax, (title, (pictures, cmap)) in zip(axes, rows.items()):
    ax.spines[:].set_visible(False)
    ax.set_ylabel(title, rotation=0, ha="right", va="center")
    for i, pixels in enumerate(pictures):
        low = -1 if cmap == "RdBu_r" else 0
        ax.imshow(pixels, cmap=cmap, vmin=low, vmax=1, extent=(i, i + 0.92, 1, 0.08))
    ax.set(xlim=(0, 8), ylim=(1, 0), xticks=[], yticks=[])

# %%
chapter.report(
    weights=num_weights,
    unshared=unshared,
    brightness=brightness,
    growth_by_im2col=growth,
    simple_share=shares,
    missed_by_layer=[of_first, of_second],
)
