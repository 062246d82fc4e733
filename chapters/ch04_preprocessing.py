"""Chapter 4: preprocessing

Asks:    what do centring, scaling, PCA and whitening do to data, and from which part of it may they learn?
Needs:   scikit-learn's photograph and digits, no network, no GPU.  Time: 6 s (--quick 6 s) on two cores.
Claims:  4.1 4.2 4.3 4.4 4.5 4.6
"""

# %% [markdown]
# # Preprocessing (数据预处理)
# X is (N, D): N examples of D features. A transform is fitted on the training split, once, and then applied to every
# split: `fit_…` returns it, and it has no way to be fitted again.

# %%
import dataclasses

import numpy as np
from sklearn.decomposition import PCA

from gluonbook import chapter, data
from gluonbook.plot import COLORS
from gluonbook.scratch import preprocess

opt = chapter.options(num_patches=chapter.option(6000, quick=3000, help="N, patches cut out of the photograph"))
rng = np.random.default_rng(opt.seed)

# %% [markdown]
# ## 4.1 and 4.2 Mean and range (均值减法、归一化)
# A mean for each feature, one for all pixels, or one for each channel: afterwards it is 0. Then either the standard
# deviation of each feature becomes 1, or its range [−1, 1]. With a feature's mean μ, its deviation σ, its smallest
# value a and its largest b, these are
#
# $$
# \frac{x - \mu}{\sigma}, \qquad \frac{2 x - a - b}{b - a}
# $$

# %%
photograph = data.sample_picture("china") / 255.0  # (H, W, 3)
SIDE = 12
corners = rng.integers(0, np.array(photograph.shape[:2]) - SIDE, size=(opt.num_patches, 2))
patches = np.stack([photograph[i : i + SIDE, j : j + SIDE] for i, j in corners])  # (N, 12, 12, 3)
pictures = patches.transpose(0, 3, 1, 2)  # (N, C, H, W)
X = patches.reshape(opt.num_patches, -1)  # (N, 432)
per_feature = preprocess.fit_center(X).transform(X)
per_image = preprocess.fit_center(X, per="image").transform(X)
per_channel = preprocess.fit_center(pictures, per="channel").transform(pictures)
chapter.claim("4.1", np.allclose(per_feature.mean(axis=0), 0) and np.allclose(per_feature, X - np.mean(X, axis=0)))
chapter.claim("4.1", np.isclose(per_image.mean(), 0) and np.allclose(per_image, X - np.mean(X)))
chapter.claim("4.1", np.allclose(per_channel.mean(axis=(0, 2, 3)), 0))
chapter.claim("4.1", preprocess.fit_center(pictures, per="channel").shift.size == 3)

standard = preprocess.fit_standardize(X).transform(X)
ranged = preprocess.fit_range(X).transform(X)
chapter.claim("4.2", np.allclose(standard.mean(axis=0), 0) and np.allclose(standard.std(axis=0), 1))
chapter.claim("4.2", np.allclose(standard, (X - np.mean(X, axis=0)) / np.std(X, axis=0)))
chapter.claim("4.2", np.allclose(ranged.min(axis=0), -1) and np.allclose(ranged.max(axis=0), 1))

# %% [markdown]
# ## 4.3 The covariance and its directions (协方差矩阵、SVD)
# The covariance of centred data holds the variances on its diagonal; it is symmetric and positive semi-definite, so the
# same directions stand on both sides of its SVD:
#
# $$
# \operatorname{cov} = \frac{1}{N} X^\top X = U \operatorname{diag}(S) \, U^\top, \qquad U^\top U = I
# $$
#
# U's columns are these directions, orthonormal, the one of greatest variance first. Rotated to them, XU, the data are
# uncorrelated.

# %%
centred = X - np.mean(X, axis=0)
cov = np.dot(centred.T, centred) / centred.shape[0]
U, S, V = np.linalg.svd(cov)
chapter.claim("4.3", np.allclose(cov, cov.T) and np.linalg.eigvalsh(cov).min() > -1e-12)
chapter.claim("4.3", np.allclose(np.diag(cov), X.var(axis=0)) and np.allclose(U.T @ U, np.eye(len(U))))
chapter.claim("4.3", np.allclose(cov @ U, U * S))  # each column is an eigenvector
Xrot = np.dot(centred, U)
cov_rot = np.dot(Xrot.T, Xrot) / len(Xrot)
chapter.claim("4.3", np.allclose(cov_rot, np.diag(np.diag(cov_rot)), atol=1e-10) and (np.diff(S) <= 1e-12).all())

# %% [markdown]
# ## 4.4 What S holds (奇异值与特征值)
# The notes: because cov is symmetric and positive semi-definite, S holds "the squares of the eigenvalues". For such a
# matrix singular values and eigenvalues are the same numbers. They are squares of something else: of the singular
# values of X/√N.

# %%
eigenvalues = np.linalg.eigvalsh(cov)[::-1]
of_data = np.linalg.svd(centred / np.sqrt(len(centred)), compute_uv=False)
print("S                            ", S[:4].round(4))
print("eigenvalues of cov           ", eigenvalues[:4].round(4))
print("their squares                ", (eigenvalues[:4] ** 2).round(4))
print("singular values of X/√N, squared", (of_data[:4] ** 2).round(4))
chapter.claim("4.4", np.allclose(S, eigenvalues, atol=1e-10) and not np.allclose(S, eigenvalues**2, rtol=0.1))
chapter.erratum(
    "4.4",
    np.allclose(S, of_data**2, atol=1e-10),
    notes="The elements of S, from the SVD of the covariance matrix, are the squares of the eigenvalues.",
    truth="The covariance matrix is symmetric and positive semi-definite, so S holds its eigenvalues themselves; they "
    "are the squares of the singular values of X/√N.",
)

# %% [markdown]
# ## 4.5 Fewer dimensions, and white ones (PCA、白化)
# The first 100 of 432 components of the patches keep nearly all variance. Whitening divides each, j, by its standard
# deviation; an ε keeps from dividing by 0:
#
# $$
# Z_{n,j} = \frac{(X U)_{n,j}}{\sqrt{S_j + \epsilon}}
# $$
#
# With ε = 0 the covariance becomes the identity. Both equal scikit-learn's (which divides by N − 1 where the notes
# divide by N).

# %%
pca = preprocess.fit_pca(X, num_components=100)
reduced = pca.transform(X)
kept = pca.variances.sum() / S.sum()
print(f"{X.shape} becomes {reduced.shape}, {100 * kept:.2f} % of the variance is kept")
chapter.claim("4.5", reduced.shape == (len(X), 100) and np.allclose(np.abs(reduced), np.abs(Xrot[:, :100]), atol=1e-8))
lost = ((pca.inverse(reduced) - X) ** 2).sum(axis=1).mean()
chapter.claim("4.5", kept > 0.95 and np.isclose(kept, 1 - lost / S.sum()))
theirs = PCA(n_components=100, svd_solver="full").fit(X)
chapter.claim("4.5", np.allclose(theirs.explained_variance_ratio_, pca.variances / S.sum()))
chapter.claim("4.5", np.allclose(np.abs(theirs.transform(X)), np.abs(reduced), atol=1e-6))
white = preprocess.fit_pca(X, num_components=100, whiten=True, epsilon=0).transform(X)
chapter.claim("4.5", np.allclose(np.cov(white.T, bias=True), np.eye(100), atol=1e-8))
their_white = PCA(n_components=100, svd_solver="full", whiten=True).fit_transform(X) * np.sqrt(len(X) / (len(X) - 1))
chapter.claim("4.5", np.allclose(np.abs(their_white), np.abs(white), atol=1e-5))

# %% [markdown]
# What the steps do to a cloud of points, and what the directions of the patches look like: broad light and colour
# first, then ever finer waves.

# %%
cloud = rng.normal(size=(400, 2)) @ [[1.6, 0.9], [0.0, 0.5]] + [3, 2]
steps = {
    "data": cloud,
    "centred": preprocess.fit_center(cloud).transform(cloud),
    "standardised": preprocess.fit_standardize(cloud).transform(cloud),
    "decorrelated": preprocess.fit_pca(cloud).transform(cloud),
    "whitened": preprocess.fit_pca(cloud, whiten=True).transform(cloud),
}
axes = chapter.figure("cloud", 1, 5, figsize=(11.5, 2.6), sharex=True, sharey=True)
for ax, (title, points) in zip(axes, steps.items()):
    ax.scatter(*points.T, s=4, color=COLORS[0], alpha=0.6)
    ax.axhline(0, color="k", linewidth=0.6)
    ax.axvline(0, color="k", linewidth=0.6)
    ax.set(title=title, aspect="equal", xlim=(-8, 9), ylim=(-6, 6))
axes = chapter.figure("directions", 3, 12, figsize=(9.6, 2.5))
for ax, direction in zip(axes.flat, pca.rotation.T):
    image = direction.reshape(SIDE, SIDE, 3)
    ax.imshow(0.5 + image / (2 * np.abs(image).max()))
    ax.axis("off")
ax = chapter.figure("variance_kept", figsize=(5.2, 3))
ax.plot(range(1, len(S) + 1), np.cumsum(S) / S.sum(), color=COLORS[0])
ax.axvline(100, color=COLORS[1], linewidth=0.8)
ax.set(xscale="log", xlabel="components", ylabel="share of the variance kept")

# %% [markdown]
# ## 4.6 The common error (常见错误：统计量只能来自训练集)
# Split first, then fit on the training split alone. Fitted on everything, a PCA has seen the pictures that it will be
# judged by: it rebuilds the validation split better than pictures it has never seen, and the error that it reports is
# too small.

# %%
digits = data.read_classes("digits", seed=opt.seed)
train, valid, fresh = (part.images.reshape(len(part.images), -1).astype(np.float64) for part in digits)
train, valid, fresh = train[:60], valid[:60], fresh[:300]


def error(transform, X):
    return float(((transform.inverse(transform.transform(X)) - X) ** 2).mean())


honest = preprocess.fit_pca(train, num_components=25)
leaking = preprocess.fit_pca(np.concatenate([train, valid]), num_components=25)
errors = {
    "fitted on training, on validation": error(honest, valid),
    "fitted on both, on validation": error(leaking, valid),
    "fitted on both, on new pictures": error(leaking, fresh),
}
for name, value in errors.items():
    print(f"{name}: {value:.4f}")
optimism = 1 - errors["fitted on both, on validation"] / errors["fitted on both, on new pictures"]
print(f"the leak makes the reported error {100 * optimism:.0f} % too small")
chapter.claim("4.6", optimism > 0.2)
chapter.claim("4.6", errors["fitted on both, on validation"] < 0.8 * errors["fitted on training, on validation"])
before = honest.transform(train)
honest.transform(valid + 100)
chapter.claim("4.6", np.array_equal(before, honest.transform(train)) and not hasattr(honest, "fit"))
try:
    honest.shift = valid.mean(axis=0)
    changed = True
except dataclasses.FrozenInstanceError:
    changed = False
chapter.claim("4.6", not changed)

# %%
chapter.report(variance_kept=kept, reconstruction_errors=errors, optimism=optimism)
