"""Chapter 17: transposed convolution

Asks:    what does a transposed convolution compute, how large is its output, and is it a convolution's inverse?
Needs:   scikit-learn's photograph, no network, no GPU.  Time: 6 s (--quick 5 s) on two cores.
Claims:  17.1
"""

# %% [markdown]
# # Transposed convolution (转置卷积)
# A network that paints, or that says for each pixel what it shows, must get from few pixels to many. A transposed
# convolution does it with weights that can be learnt: each input pixel adds its multiple of the kernel to the output.

# %%
import numpy as np
from scipy import ndimage

from gluonbook import chapter, data
from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.plot import COLORS, MUTED
from gluonbook.scratch.convolution import Conv2D, output_size
from gluonbook.scratch.transposed import ConvTranspose2D, bilinear_kernel, convolution_matrix, transposed_size

opt = chapter.options()
rng = np.random.default_rng(opt.seed)


def on_device(array):
    return nd.array(array, ctx=opt.device, dtype="float64")


# %% [markdown]
# ## A convolution is a matrix (卷积写成矩阵)
# A kernel of 3×3 on 4×4 pixels has 2×2 outputs. With the pixels x in one column that is a matrix M with a row for each
# output: the nine weights stand in each row, moved, and all else is 0. Its transpose takes 2×2 pixels y to 4×4. Beside
# the convolution, on the left, that is the transposed convolution with the same kernel, and its name:
#
# $$
# x \mapsto M x, \qquad y \mapsto M^\top y
# $$

# %%
kernel = np.arange(1.0, 10).reshape(3, 3)
M = convolution_matrix(kernel, (4, 4))  # (4, 16)
pixels = rng.integers(0, 4, size=(4, 4)).astype(float)
few = np.array([[1.0, 0], [0, 2]])
convolution = Conv2D(kernel[None, None], [0])
transposed = ConvTranspose2D(kernel[None, None], [0])
convolved = convolution.forward(pixels[None, None])[0, 0]  # (2, 2)
spread = transposed.forward(few[None, None])[0, 0]  # (4, 4)
print(f"M is {M.shape}: 4x4 pixels become {convolved.shape}; its transpose makes 2x2 pixels {spread.shape}")
chapter.claim("17.1", M.shape == (4, 16) and np.allclose(M @ pixels.ravel(), convolved.ravel()))
chapter.claim("17.1", spread.shape == (4, 4) and np.allclose(M.T @ few.ravel(), spread.ravel()))


def show(ax, array, title):
    """Draw an array with its numbers; 0 stays white."""
    ax.imshow(array, cmap="Blues", vmin=0, vmax=1.6 * max(array.max(), 1), aspect="equal")
    for (row, column), value in np.ndenumerate(array):
        ax.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=MUTED if value == 0 else "k")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize="medium")
    ax.spines[:].set_visible(True)


axes = chapter.figure("matrix", 2, 3, figsize=(9.4, 6), width_ratios=[16, 6, 6], height_ratios=[4, 10])
for ax, array, title in (
    (axes[0, 0], M, "M, 4×16: the convolution"),
    (axes[0, 1], pixels, "4×4 pixels in"),
    (axes[0, 2], convolved, "2×2 out: M times them"),
    (axes[1, 0], M.T, "Mᵀ, 16×4: the transposed convolution"),
    (axes[1, 1], few, "2×2 pixels in"),
    (axes[1, 2], spread, "4×4 out: Mᵀ times them"),
):
    show(ax, array, title)

# %% [markdown]
# ## How large the output is (输出大小)
# N pixels lie S apart, the kernel F reaches beyond the last one, and the padding P is cut off on both sides:
#
# $$
# (N - 1) \cdot S - 2P + F
# $$
#
# It is the convolution's formula, solved for the input; and what Gluon makes.

# %%
checked = 0
for N, F, S, P in np.ndindex(5, 5, 3, 3):
    N, F, S = N + 1, F + 1, S + 1
    if (N - 1) * S - 2 * P + F < 1:
        continue
    layer = gluon.nn.Conv2DTranspose(1, F, S, P, in_channels=1)
    layer.initialize(ctx=opt.device)
    made = layer(nd.zeros((1, 1, N, N), ctx=opt.device)).shape
    size = transposed_size(N, F, S, P)
    chapter.claim("17.1", made == (1, 1, size, size) and output_size(size, F, S, P) == N)
    checked += 1
print(f"{checked} settings of N, F, S and P: the formula's size is Gluon's")

# %% [markdown]
# ## Gluon's layer (与 Gluon 一致)
# Outputs and gradients, with channels, a stride and padding. The weights are (in, out, height, width): the order of the
# convolution whose way back it is, so the input's channels come first.

# %%
X, W, b = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(3, 2, 4, 3)), rng.normal(size=2)
ours = ConvTranspose2D(W, b, stride=2, padding=1)
theirs = gluon.nn.Conv2DTranspose(2, (4, 3), strides=2, padding=1, in_channels=3)
theirs.cast("float64")
theirs.initialize(ctx=opt.device)
theirs.weight.set_data(on_device(W))
theirs.bias.set_data(on_device(b))
x = on_device(X)
x.attach_grad()
with autograd.record():
    y = theirs(x)
Y = ours.forward(X)
dY = rng.normal(size=Y.shape)
y.backward(on_device(dY))
pairs = {"output": (Y, y), "dX": (ours.backward(dY), x.grad)}
pairs["dW"] = (ours.grads["W"], theirs.weight.grad())
pairs["db"] = (ours.grads["b"], theirs.bias.grad())
errors = {name: float(np.abs(mine - gluons.asnumpy()).max()) for name, (mine, gluons) in pairs.items()}
print("largest difference to Gluon:", {name: f"{error:.0e}" for name, error in errors.items()})
chapter.claim("17.1", max(errors.values()) < 1e-9)

# %% [markdown]
# ## The gradient of a convolution (卷积的梯度)
# Going back through a convolution multiplies by Mᵀ as well. So the gradient that autograd finds for a convolution's
# input is a transposed convolution of the output's gradient, with the same weights.

# %%
picture = on_device(rng.normal(size=Y.shape))
picture.attach_grad()
with autograd.record():
    z = nd.Convolution(picture, on_device(W), kernel=(4, 3), stride=(2, 2), pad=(1, 1), num_filter=3, no_bias=True)
z.backward(on_device(X))
by_hand = ConvTranspose2D(W, np.zeros(2), stride=2, padding=1).forward(X)
chapter.claim("17.1", z.shape == X.shape and np.allclose(picture.grad.asnumpy(), by_hand))

# %% [markdown]
# ## It is no inverse (不是卷积的逆)
# Shapes come back, values do not. M has fewer rows than columns: many pictures have the same convolution, and nothing
# can tell which one it was. (For this reason the name "deconvolution" misleads.) Here the mean of 4×4 pixels is taken
# with stride 2, and the transposed convolution spreads these means. A pixel stands in four windows, with a sixteenth in
# each: a quarter of its brightness comes back. With that made good, the details are still lost.

# %%
photograph = data.sample_picture("china").astype(float) @ [0.299, 0.587, 0.114] / 255  # (H, W), from 0 to 1
crop = photograph[120:248, 250:378]  # (128, 128)
box = np.full((1, 1, 4, 4), 1 / 16)
smaller = Conv2D(box, [0], stride=2, padding=1).forward(crop[None, None])  # (1, 1, 64, 64)
back = ConvTranspose2D(box, [0], stride=2, padding=1).forward(smaller)[0, 0]
off = {"as it comes": np.abs(back - crop).mean(), "four times as bright": np.abs(4 * back - crop).mean()}
rank = np.linalg.matrix_rank(M)
print(f"{crop.shape} -> {smaller.shape[2:]} -> {back.shape}; M has rank {rank} of 16")
print("mean difference to the picture:", {name: f"{value:.3f}" for name, value in off.items()})
chapter.claim("17.1", back.shape == crop.shape and min(off.values()) > 0.03)
chapter.claim("17.1", rank == 4 and not np.allclose(M.T @ convolved.ravel(), pixels.ravel()))
axes = chapter.figure("no_inverse", 1, 4, figsize=(11, 3.2))
shown = {"picture": crop, "convolved": smaller[0, 0], "transposed convolution": back, "four times as bright": 4 * back}
for ax, (title, array) in zip(axes, shown.items()):
    ax.imshow(array, cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], title=f"{title}\n{array.shape[0]}×{array.shape[1]}")

# %% [markdown]
# ## Enlarging a picture (双线性插值)
# With a triangle as its kernel the layer interpolates between the pixels: networks for segmentation begin with these
# weights and learn from there (Long, Shelhamer & Darrell 2015). SciPy's interpolation gives the same picture; only at
# the border, beyond which the layer sees zeros, it is darker than one that repeats the last pixels.

# %%
factor = 4
patch = crop[30:62, 50:82]  # (32, 32)
weights = bilinear_kernel(factor)
enlarged = ConvTranspose2D(weights, [0], stride=factor, padding=factor // 2).forward(patch[None, None])[0, 0]
places = (np.mgrid[: enlarged.shape[0], : enlarged.shape[1]] + 0.5) / factor - 0.5  # in pixels of the patch
interpolated = ndimage.map_coordinates(patch, places, order=1, mode="nearest")
difference = np.abs(enlarged - interpolated)
inside = difference[factor:-factor, factor:-factor].max()
print(f"{patch.shape} -> {enlarged.shape}; to SciPy's: inside {inside:.0e}, at the border {difference.max():.2f}")
chapter.claim("17.1", enlarged.shape == (128, 128) and inside < 1e-12)
axes = chapter.figure("bilinear", 1, 4, figsize=(11, 3))
axes[0].imshow(weights[0, 0], cmap="Blues", vmin=0)
axes[0].set_title(f"kernel, {weights.shape[2]}×{weights.shape[3]}")
for ax, array, title in ((axes[1], patch, "picture, 32×32"), (axes[2], enlarged, f"enlarged {factor} times, 128×128")):
    ax.imshow(array, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title)
axes[3].imshow(difference, cmap="Blues", vmin=0)
axes[3].set_title(f"difference to SciPy's, 0 to {difference.max():.2f}")
for ax in axes:
    ax.set(xticks=[], yticks=[])

# %% [markdown]
# ## Checkerboards (棋盘格)
# How many copies of the kernel cover a pixel? Where the stride does not divide the kernel, some get more than their
# neighbours: a pattern of squares that a network must learn to undo, and that generated pictures often show (Odena,
# Dumoulin & Olah 2016).

# %%
axes = chapter.figure("checkerboard", 2, 4, figsize=(9.6, 5), height_ratios=[3, 1.4])
coverage = {}
for (above, below), (F, S) in zip(axes.T, ((3, 2), (4, 2), (5, 3), (6, 3))):
    count = ConvTranspose2D(np.ones((1, 1, F, F)), [0], stride=S).forward(np.ones((1, 1, 8, 8)))[0, 0]
    within = count[F:-F, F:-F]
    coverage[f"F={F}, S={S}"] = f"{within.min():.0f} to {within.max():.0f}"
    chapter.claim("17.1", (within.min() == within.max()) == (F % S == 0))
    above.imshow(count, cmap="Blues", vmin=0, vmax=4.5)
    above.set(xticks=[], yticks=[], title=f"kernel {F}, stride {S}:\n{coverage[f'F={F}, S={S}']} copies")
    row = count[4 * S]  # through the upper left pixel of a copy
    below.step(range(len(row)), row, where="mid", color=COLORS[F % S > 0])
    below.set(ylim=(0, 4.5), xlabel="pixel of one row")
axes[1, 0].set_ylabel("copies")
print("copies that cover a pixel inside:", coverage)

# %%
chapter.report(sizes=checked, to_gluon=max(errors.values()), no_inverse=off, to_scipy=inside, coverage=coverage)
