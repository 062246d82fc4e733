"""Chapter 22: manifold learning

Asks:    which methods unroll a rolled sheet, what do they make of digits, and how is that told by a number?
Needs:   scikit-learn's rolled sheet and digits, no network, no GPU.  Time: 9 s (--quick 8 s) on two cores.
Claims:  22.1
"""

# %% [markdown]
# # Manifold learning (流形学习)
# Points of many coordinates often lie near a surface of few: a manifold. A sheet that is rolled up in space has three
# coordinates a point, yet two say all. Six methods of scikit-learn draw such points in the plane; what they have been
# told is only where the points lie, not how they were rolled.

# %%
import numpy as np
from matplotlib import colormaps
from sklearn.datasets import load_digits, make_swiss_roll
from sklearn.decomposition import PCA
from sklearn.manifold import MDS, TSNE, Isomap, LocallyLinearEmbedding, SpectralEmbedding, trustworthiness
from sklearn.neighbors import NearestNeighbors

from gluonbook import chapter

opt = chapter.options(
    num_points=chapter.option(800, help="of the sheet; far fewer, and points of two turns are neighbours"),
    num_digits=chapter.option(800, quick=400, help="of scikit-learn's 1797"),
    num_neighbors=chapter.option(7, help="k, of the graphs and of the scores"),
)
k = opt.num_neighbors

# %% [markdown]
# ## A score (近邻保持率)
# What a drawing should keep is who is near to whom. For each of n points take its k nearest neighbours before, B, and
# after, A. The score is the share of the former that are among the latter:
#
# $$
# \frac{1}{n k} \sum_{i=1}^{n} \left| B_i \cap A_i \right|
# $$
#
# A copy keeps all; points thrown down at random keep k/(n − 1), what chance gives. On a line that is read off by hand:
# when the first and the third of 0, 1, 3, 10 change places, two of the four nearest neighbours remain.


# %%
def kept_neighbors(X, Y, k):
    """Return the share of the k nearest neighbours in X that are among the k nearest in Y: (n, D) and (n, d)."""
    before, after = (NearestNeighbors(n_neighbors=k).fit(Z).kneighbors(return_distance=False) for Z in (X, Y))  # (n, k)
    return float((before[:, :, None] == after[:, None, :]).any(axis=2).mean())


rolled, angle = make_swiss_roll(opt.num_points, random_state=opt.seed)  # (n, 3), (n,)
length = (angle * np.sqrt(1 + angle**2) + np.arcsinh(angle)) / 2  # of the spiral r = angle, from its middle
sheet = np.column_stack([length, rolled[:, 1]])  # (n, 2), as it was before it was rolled
line = np.array([[0.0], [1.0], [3.0], [10.0]])
scattered = np.random.default_rng(opt.seed).normal(size=sheet.shape)
chance = k / (len(sheet) - 1)
by_hand = kept_neighbors(line, line[[2, 1, 0, 3]], k=1)
print(f"a copy {kept_neighbors(sheet, sheet, k)}, the line {by_hand}")
print(f"at random {kept_neighbors(sheet, scattered, k):.4f}, expected {chance:.4f}")
chapter.claim("22.1", kept_neighbors(sheet, sheet, k) == 1 and by_hand == 0.5)
chapter.claim("22.1", abs(kept_neighbors(sheet, scattered, k) - chance) < 0.006)
chapter.claim("22.1", kept_neighbors(sheet, rolled, k) > 0.9)  # nearly nothing is lost where it is only rolled

# %% [markdown]
# Two more numbers stand beside it. *Trustworthiness* (Venna & Kaski 2001, scikit-learn's) asks the reverse: whether
# points that are near in the drawing were near before, and how far off the strangers come from. And of the sheet alone,
# whether it was *unrolled*: is there a direction of the drawing along which the points stand in the order that they
# have along the sheet? That is the best rank correlation over all directions, 1 if the order is right throughout.


# %%
def order_kept(Y, positions, num_directions=90):
    """Return the largest rank correlation, of either sign, of positions (n,) with a direction of the plane Y (n, 2)."""
    turns = np.linspace(0, np.pi, num_directions, endpoint=False)
    ranks = (Y @ np.stack([np.cos(turns), np.sin(turns)])).argsort(axis=0).argsort(axis=0)  # (n, directions)
    truth = positions.argsort().argsort()
    return max(abs(float(np.corrcoef(column, truth)[0, 1])) for column in ranks.T)


turned = sheet @ np.array([[0.8, 0.6], [-0.6, 0.8]])
print(f"order of the sheet, turned: {order_kept(turned, length):.3f}, at random {order_kept(scattered, length):.3f}")
chapter.claim("22.1", order_kept(turned, length) > 0.99 and order_kept(scattered, length) < 0.2)

# %% [markdown]
# ## 22.1 Six methods (六种方法)
# - **PCA** turns the points so that the plane has the most of their variance: a shadow, linear.
# - **MDS** keeps all distances, as the crow flies, as well as it can (Kruskal 1964): through the roll, not along it.
# - **Isomap** measures along a graph of neighbours instead, and keeps those distances (Tenenbaum et al. 2000).
# - **LLE** writes each point as a mixture of its neighbours and keeps the mixtures (Roweis & Saul 2000).
# - **Laplacian eigenmaps** let neighbours lie as near together as they can be while the whole keeps its spread
#   (Belkin & Niyogi 2003).
# - **t-SNE** turns distances into probabilities of being neighbours, and keeps these (van der Maaten & Hinton 2008).


# %%
def methods():
    """Return the six by name; every setting whose default differs between versions of scikit-learn is given."""
    seed = opt.seed
    return {
        "PCA": PCA(2, random_state=seed),
        "MDS": MDS(2, n_init=1, max_iter=100, eps=1e-9, random_state=seed),
        "Isomap": Isomap(n_neighbors=k, n_components=2),
        "LLE": LocallyLinearEmbedding(n_neighbors=k, n_components=2, eigen_solver="dense", random_state=seed),
        "Laplacian eigenmaps": SpectralEmbedding(2, affinity="nearest_neighbors", n_neighbors=k, random_state=seed),
        "t-SNE": TSNE(2, perplexity=30, init="random", learning_rate="auto", random_state=seed),
    }


digits = load_digits()
chosen = np.random.default_rng(opt.seed).permutation(len(digits.data))[: opt.num_digits]
pixels, labels = digits.data[chosen] / 16, digits.target[chosen]  # (n, 64) from 0 to 1
of_sheet = {name: method.fit_transform(rolled) for name, method in methods().items()}
of_digits = {name: method.fit_transform(pixels) for name, method in methods().items()}

# %%
kept = {name: kept_neighbors(sheet, Y, k) for name, Y in of_sheet.items()}
order = {name: order_kept(Y, length) for name, Y in of_sheet.items()}
kept_digits = {name: kept_neighbors(pixels, Y, k) for name, Y in of_digits.items()}
trust = {name: float(trustworthiness(sheet, Y, n_neighbors=k)) for name, Y in of_sheet.items()}
trust_digits = {name: float(trustworthiness(pixels, Y, n_neighbors=k)) for name, Y in of_digits.items()}

palette = np.array(colormaps["tab10"].colors)  # (10, 3)
axes = chapter.figure("manifolds", 2, 7, figsize=(15.4, 5.4))
depth = rolled[:, 0] + 0.25 * rolled[:, 1], rolled[:, 2] + 0.35 * rolled[:, 1]
axes[0, 0].scatter(*depth, c=length, s=6)
axes[0, 0].set_title("the rolled sheet,\nin three dimensions", fontsize="small")
firsts = [digits.images[digits.target == digit][0] / 16 for digit in range(10)]  # each (8, 8)
tinted = [1 - (1 - palette[digit]) * image[:, :, None] for digit, image in enumerate(firsts)]
axes[1, 0].imshow(np.vstack([np.hstack(tinted[row : row + 2]) for row in range(0, 10, 2)]))
axes[1, 0].set_title("the digits, 64 pixels each,\nin the colours of the drawings", fontsize="small")
for i, name in enumerate(of_sheet, start=1):
    axes[0, i].scatter(*of_sheet[name].T, c=length, s=6)
    scores = f"kept {kept[name]:.2f}, trust {trust[name]:.2f}\norder {order[name]:.2f}"
    axes[0, i].set_title(f"{name}\n{scores}", fontsize="small")
    axes[1, i].scatter(*of_digits[name].T, c=palette[labels], s=6)
    axes[1, i].set_title(f"kept {kept_digits[name]:.2f}, trust {trust_digits[name]:.2f}", fontsize="small")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)

# %% [markdown]
# PCA and MDS show the roll from the side: points of different turns lie upon each other or side by side, and the
# colours come in the wrong order. The three methods in the middle have unrolled it. Isomap keeps the sheet's shape and
# so its neighbours; LLE and the eigenmaps keep the order and not the shape: what lies *across* the sheet is pressed
# together, which costs them many neighbours. t-SNE keeps the most neighbours of all and yet asks for nothing more: it
# may tear the sheet and lay its pieces down somewhere, so its order is a matter of luck. Of the digits that is just
# what one wants to see; there the pieces are the classes.

# %%
print("the sheet's neighbours kept:", {name: round(value, 2) for name, value in kept.items()})
print("its order kept:             ", {name: round(value, 2) for name, value in order.items()})
print("the digits' neighbours kept:", {name: round(value, 2) for name, value in kept_digits.items()})
flat, unrolling = ("PCA", "MDS"), ("Isomap", "LLE", "Laplacian eigenmaps")
chapter.claim("22.1", min(order[name] for name in unrolling) > 0.9 and max(order[name] for name in flat) < 0.5)
chapter.claim("22.1", min(kept["Isomap"], kept["t-SNE"]) > max(kept[name] for name in flat) + 0.1)
chapter.claim("22.1", min(trust["Isomap"], trust["t-SNE"]) > 0.98)
chapter.claim("22.1", kept_digits["t-SNE"] > kept_digits["PCA"] + 0.25)
chapter.claim("22.1", trust_digits["t-SNE"] > trust_digits["PCA"] + 0.05)

# %%
chapter.report(
    sheet_neighbors_kept=kept,
    sheet_order_kept=order,
    sheet_trustworthiness=trust,
    digits_neighbors_kept=kept_digits,
    digits_trustworthiness=trust_digits,
)
